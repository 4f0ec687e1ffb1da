package conformance

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/go-es/es/driver"
)

// toyInTx is the toy's store in a transaction. It keeps what it has done as a list
// and does that again on a copy of the data for each call, and at the commit.
type toyInTx struct {
	toy *toy
	d   *toyData

	mu    sync.Mutex
	over  bool
	done  []func(d *toyData)
	tx    *toyTx
	holds map[*toyStream]bool
}

// inTx is Config.InTx.
func (y *toy) inTx(_ TB, dsn string) (driver.Store, func() error, func() error) {
	in := y.begin(dsn)
	return in, in.commit, in.rollback
}

func (y *toy) begin(dsn string) *toyInTx {
	return &toyInTx{toy: y, d: y.of(dsn), tx: &toyTx{began: time.Now()}, holds: map[*toyStream]bool{}}
}

func (in *toyInTx) commit() error   { return in.end(true) }
func (in *toyInTx) rollback() error { return in.end(false) }

func (in *toyInTx) end(commit bool) error {
	in.mu.Lock()
	defer in.mu.Unlock()
	d := in.d
	d.mu.Lock()
	defer d.mu.Unlock()
	if in.over {
		return errTxEnded
	}
	in.over = true
	for st := range in.holds {
		st.holder = nil
	}
	if commit || !in.toy.stuck {
		d.open = slices.DeleteFunc(d.open, func(o *toyTx) bool { return o == in.tx })
	}
	if commit {
		for _, do := range in.done {
			do(d)
		}
		d.wake()
	}
	return nil
}

var errTxEnded = errors.New("es: toy: the transaction has ended")

// do waits until no other transaction holds certain streams, holds them, and calls
// f with a store on a copy of the data, in which the transaction is done so far.
func (in *toyInTx) do(ctx context.Context, streams []string, f func(s *toyStore) error) error {
	in.mu.Lock()
	defer in.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	if in.over {
		return errTxEnded
	}
	if err := in.d.free(ctx, in.tx, streams); err != nil {
		return err
	}
	defer in.d.mu.Unlock()
	for _, name := range streams {
		st := in.d.stream(name)
		st.holder = in.tx
		in.holds[st] = true
	}
	view := in.d.clone()
	view.open = slices.DeleteFunc(slices.Clone(in.d.open), func(o *toyTx) bool { return o == in.tx })
	for _, do := range in.done {
		do(view)
	}
	return f(&toyStore{toy: in.toy, d: view, done: make(chan struct{})})
}

// free locks the data once nobody but tx holds certain streams.
func (d *toyData) free(ctx context.Context, tx *toyTx, streams []string) error {
	for {
		d.mu.Lock()
		if !slices.ContainsFunc(streams, func(name string) bool {
			st := d.streams[name]
			return st != nil && st.holder != nil && st.holder != tx
		}) {
			return nil
		}
		d.mu.Unlock()
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Millisecond):
		}
	}
}

// takes takes positions for good, which others see as open.
func (in *toyInTx) takes(n int) []driver.Position {
	real := &toyStore{toy: in.toy, d: in.d}
	from := len(in.tx.positions)
	for range n {
		in.tx.positions = append(in.tx.positions, real.take())
	}
	if from == 0 && n > 0 {
		in.d.open = append(in.d.open, in.tx)
	}
	return in.tx.positions[from:]
}

func (in *toyInTx) Append(ctx context.Context, req driver.AppendRequest) (res driver.AppendResult, err error) {
	var streams []string
	for _, p := range req.Parts {
		streams = append(streams, p.Stream)
	}
	err = in.do(ctx, streams, func(s *toyStore) error {
		was := len(s.d.log)
		if res, err = s.write(req); err != nil || len(s.d.log) == was {
			return err
		}
		n := 0
		for _, p := range req.Parts {
			n += len(p.Records)
		}
		at, kept, now := in.takes(n), cloneRequest(req), time.Now()
		i := 0
		for k, p := range req.Parts {
			if i += len(p.Records); len(p.Records) > 0 {
				res.Parts[k].Position = at[i-1]
			}
		}
		in.done = append(in.done, func(d *toyData) {
			i := 0
			for _, p := range kept.Parts {
				for _, r := range p.Records {
					row := d.add(p.Stream, r)
					if row.rec.Version == 1 {
						d.born[p.Stream] = now
					}
					d.place(row, at[i])
					i++
				}
			}
		})
		return nil
	})
	return res, err
}

func (in *toyInTx) Delete(ctx context.Context, req driver.DeleteRequest) (a driver.Appended, err error) {
	err = in.do(ctx, []string{req.Stream}, func(s *toyStore) error {
		was := len(s.d.log)
		if a, err = s.closes(req); err != nil {
			return err
		}
		var at driver.Position
		if len(s.d.log) > was {
			at = in.takes(1)[0]
			a.Position = at
		}
		in.done = append(in.done, func(d *toyData) { d.close(req, at) })
		return nil
	})
	return a, err
}

// close does a delete that was decided, at a position; 0 if its record is there.
func (d *toyData) close(req driver.DeleteRequest, at driver.Position) {
	st := d.stream(req.Stream)
	if at > 0 {
		d.place(d.add(req.Stream, req.Record), at)
		st.closed = true
		for key := range d.snapshots {
			if key[0] == req.Stream {
				delete(d.snapshots, key)
			}
		}
	}
	if req.Mode == driver.Purge {
		st.purged = true
		for _, r := range st.rows[:len(st.rows)-1] {
			r.purged = true
		}
	}
}

func (in *toyInTx) ReadStream(ctx context.Context, q driver.StreamQuery) (page driver.StreamPage, err error) {
	err = in.do(ctx, nil, func(s *toyStore) error { page, err = s.ReadStream(ctx, q); return err })
	return page, err
}

func (in *toyInTx) ReadAll(ctx context.Context, q driver.FeedQuery) (page driver.FeedPage, err error) {
	err = in.do(ctx, nil, func(s *toyStore) error { page, err = s.ReadAll(ctx, q); return err })
	return page, err
}

func (in *toyInTx) Head(ctx context.Context) (p driver.Position, err error) {
	err = in.do(ctx, nil, func(s *toyStore) error { p, err = s.Head(ctx); return err })
	return p, err
}

func (in *toyInTx) ListStreams(ctx context.Context, q driver.ListQuery) (page driver.ListPage, err error) {
	err = in.do(ctx, nil, func(s *toyStore) error { page, err = s.ListStreams(ctx, q); return err })
	return page, err
}

func (in *toyInTx) Caps() driver.Caps { return in.toy.caps }

func (in *toyInTx) Ping(ctx context.Context) error {
	return in.do(ctx, nil, func(s *toyStore) error { return nil })
}

func (in *toyInTx) Close() error { return nil }

// wrongInTx is a toy's store in a transaction of which some methods, or ends, are
// other ones.
type wrongInTx struct {
	*toyInTx
	o inTxOverrides
}

type inTxOverrides struct {
	append           func(ctx context.Context, req driver.AppendRequest) (driver.AppendResult, error)
	stream           func(ctx context.Context, q driver.StreamQuery) (driver.StreamPage, error)
	feed             func(ctx context.Context, q driver.FeedQuery) (driver.FeedPage, error)
	list             func(ctx context.Context, q driver.ListQuery) (driver.ListPage, error)
	delete           func(ctx context.Context, req driver.DeleteRequest) (driver.Appended, error)
	caps             func() driver.Caps
	close            func() error
	commit, rollback func() error
}

func (w *wrongInTx) Append(ctx context.Context, req driver.AppendRequest) (driver.AppendResult, error) {
	if f := w.o.append; f != nil {
		return f(ctx, req)
	}
	return w.toyInTx.Append(ctx, req)
}

func (w *wrongInTx) ReadStream(ctx context.Context, q driver.StreamQuery) (driver.StreamPage, error) {
	if f := w.o.stream; f != nil {
		return f(ctx, q)
	}
	return w.toyInTx.ReadStream(ctx, q)
}

func (w *wrongInTx) ReadAll(ctx context.Context, q driver.FeedQuery) (driver.FeedPage, error) {
	if f := w.o.feed; f != nil {
		return f(ctx, q)
	}
	return w.toyInTx.ReadAll(ctx, q)
}

func (w *wrongInTx) ListStreams(ctx context.Context, q driver.ListQuery) (driver.ListPage, error) {
	if f := w.o.list; f != nil {
		return f(ctx, q)
	}
	return w.toyInTx.ListStreams(ctx, q)
}

func (w *wrongInTx) Delete(ctx context.Context, req driver.DeleteRequest) (driver.Appended, error) {
	if f := w.o.delete; f != nil {
		return f(ctx, req)
	}
	return w.toyInTx.Delete(ctx, req)
}

func (w *wrongInTx) Caps() driver.Caps {
	if f := w.o.caps; f != nil {
		return f()
	}
	return w.toyInTx.Caps()
}

func (w *wrongInTx) Close() error {
	if f := w.o.close; f != nil {
		return f()
	}
	return w.toyInTx.Close()
}

// within lets the toy's transactions be wrong. The overrides get the transaction
// and a client beside it, whose methods are right.
func within(f func(in *toyInTx, beside *toyStore) inTxOverrides) func(*Config, *toy) {
	return func(c *Config, y *toy) {
		c.InTx = func(tb TB, dsn string) (driver.Store, func() error, func() error) {
			beside, err := y.Open(context.Background(), dsn)
			if err != nil {
				tb.Fatalf("Open: %v", err)
			}
			in := y.begin(dsn)
			w := &wrongInTx{in, f(in, beside)}
			commit, rollback := in.commit, in.rollback
			if w.o.commit != nil {
				commit = w.o.commit
			}
			if w.o.rollback != nil {
				rollback = w.o.rollback
			}
			return w, commit, rollback
		}
	}
}

// withinAppends is within for another Append.
func withinAppends(f func(in *toyInTx, beside *toyStore, ctx context.Context, req driver.AppendRequest) (driver.AppendResult, error)) func(*Config, *toy) {
	return within(func(in *toyInTx, beside *toyStore) inTxOverrides {
		return inTxOverrides{append: func(ctx context.Context, req driver.AppendRequest) (driver.AppendResult, error) {
			return f(in, beside, ctx, req)
		}}
	})
}
