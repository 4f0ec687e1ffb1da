package cassandra

import (
	"context"
	"encoding/binary"
	"time"

	"github.com/gocql/gocql"

	"github.com/go-es/es/driver"
)

// query prepares a statement with the store's own levels. Nothing is ever sent
// twice without the store's knowing, and no timestamp comes from this machine's
// clock.
func (s *Store) query(ctx context.Context, text string, args ...any) *gocql.Query {
	return s.client.Query(text, args...).WithContext(ctx).
		Consistency(s.levels.quorum).SerialConsistency(s.levels.serial).
		RetryPolicy(nil).SetSpeculativeExecutionPolicy(gocql.NonSpeculativeExecution{}).Idempotent(false).
		DefaultTimestamp(false).Prefetch(0)
}

// serially makes a query see all that was decided, and finish what was not.
func (s *Store) serially(q *gocql.Query) *gocql.Query {
	return q.Consistency(gocql.Consistency(s.levels.serial))
}

// batch is an unlogged batch of statements that carry their own timestamps.
func (s *Store) batch(ctx context.Context) *gocql.Batch {
	b := s.client.NewBatch(gocql.UnloggedBatch).WithContext(ctx).
		RetryPolicy(nil).SpeculativeExecutionPolicy(gocql.NonSpeculativeExecution{}).
		SerialConsistency(s.levels.serial).DefaultTimestamp(false)
	b.SetConsistency(s.levels.quorum)
	return b
}

// columns are pointers to pointers to values, by name: null is nil.
type columns map[string]any

// conditional reads the answer to a conditional statement, and reports whether it
// was applied. If not, the columns get what is there.
func conditional(it *gocql.Iter, into columns) (applied bool, err error) {
	dest := make([]any, 0, 8)
	for _, c := range it.Columns() {
		switch to, ok := into[c.Name]; {
		case c.Name == "[applied]":
			dest = append(dest, &applied)
		case ok:
			dest = append(dest, to)
		default:
			dest = append(dest, ignored{})
		}
	}
	it.Scan(dest...)
	return applied, it.Close()
}

// ignored takes a value of any type.
type ignored struct{}

// UnmarshalCQL takes the value.
func (ignored) UnmarshalCQL(gocql.TypeInfo, []byte) error { return nil }

// number takes a bigint, and 0 for null.
type number int64

// UnmarshalCQL takes the value.
func (n *number) UnmarshalCQL(_ gocql.TypeInfo, b []byte) error {
	switch len(b) {
	case 0:
		*n = 0
	case 8:
		*n = number(binary.BigEndian.Uint64(b))
	default:
		return corrupt("a bigint has %d bytes", len(b))
	}
	return nil
}

// flag takes a boolean, and false for null.
type flag bool

// UnmarshalCQL takes the value.
func (f *flag) UnmarshalCQL(_ gocql.TypeInfo, b []byte) error {
	*f = len(b) > 0 && b[0] != 0
	return nil
}

// reading makes a call that only reads.
func (s *Store) reading(ctx context.Context, f func(ctx context.Context) error) error {
	rctx, end, err := s.gate.Begin(ctx)
	if err != nil {
		return err
	}
	defer end()
	err = f(rctx)
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case s.gate.Aborted():
		return driver.ErrClosed
	case fateOf(err) != wrong:
		return driver.Transient(fail(err)) // a read can be made again whatever became of it
	}
	return fail(err)
}

// call is a call that writes. What it reads ends with the caller's context, as
// long as nothing was sent that may have been carried out. What it writes is given
// some time after that.
type call struct {
	read, write context.Context
}

// writing makes a call that writes. try does all of it, and recognises what an
// earlier try did. Where it returns an unsureError it is called again, on a context
// that outlives the caller's, until that tells, or for a bounded time: then writing
// returns the first unsureError.
func (s *Store) writing(ctx context.Context, try func(c call) error) error {
	if err := s.gate.Enter(ctx); err != nil {
		return err
	}
	defer s.gate.Leave()
	wctx, cancel := s.gate.Bound(context.WithoutCancel(ctx))
	defer cancel()
	rctx, rcancel := s.gate.Bound(ctx)
	defer rcancel()
	bound := func() {
		t := time.AfterFunc(s.cfg.settle(), cancel)
		context.AfterFunc(wctx, func() { t.Stop() })
	}
	defer context.AfterFunc(ctx, bound)()

	c := call{rctx, wctx}
	var first error
	for pause := time.Millisecond; ; pause = min(2*pause, 100*time.Millisecond) {
		err := try(c)
		switch {
		case err == nil:
			return nil
		case first == nil && !isUnsure(err):
			return s.refusal(ctx, err)
		case first == nil:
			first = err
			c.read = wctx
			bound()
		case decided(err):
			return err
		}
		t := time.NewTimer(pause)
		select {
		case <-wctx.Done():
			t.Stop()
			return first
		case <-t.C:
		}
	}
}

// refusal returns the error of a write of which nothing was sent, or which was
// refused.
func (s *Store) refusal(ctx context.Context, err error) error {
	switch {
	case isOurs(err):
		return err
	case ctx.Err() != nil:
		return ctx.Err()
	case s.gate.Aborted():
		return driver.ErrClosed
	case fateOf(err) == wrong:
		return fail(err)
	}
	return driver.Transient(fail(err))
}

// sent returns the error of a request that writes: an unsureError if it may have
// been carried out.
func sent(err error) error {
	if err != nil && fateOf(err) == unsure {
		return &unsureError{fail(err)}
	}
	return err
}
