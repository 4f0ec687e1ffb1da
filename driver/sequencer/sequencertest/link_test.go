package sequencertest

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/go-es/es/driver"
)

// A link is a client's connection to a database, with the methods of one. It can
// break.
type link struct {
	db *database

	mu    sync.Mutex
	fault *fault
	down  chan struct{} // closed when the database can be reached again
}

// fault is a connection that breaks, once.
type fault struct {
	in     int  // at the request that makes it 0
	writes bool // only those that write count
	reply  bool // the answer is lost, and not the request
}

// sentError is of a write that was sent, and not answered.
type sentError struct{ error }

func (e *sentError) Unwrap() error { return e.error }

var errLost = errors.New("the connection broke")

// request carries out a request. An error that is no sentError says that nothing
// was sent.
func (l *link) request(ctx context.Context, writes bool, do func()) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	l.mu.Lock()
	down := l.down
	var broken *fault
	if f := l.fault; f != nil && (writes || !f.writes) {
		if f.in--; f.in == 0 {
			broken, l.fault = f, nil
		}
	}
	l.mu.Unlock()
	if down != nil {
		select {
		case <-down:
		case <-ctx.Done():
			if writes {
				return &sentError{ctx.Err()}
			}
			return ctx.Err()
		}
	}
	switch {
	case broken == nil:
		do()
		return nil
	case !writes:
		return driver.Transient(errLost)
	case broken.reply:
		do()
	}
	return &sentError{errLost}
}

// breakNext, breakAt and goDown are those of conformance.Faulty.
func (l *link) breakNext(reply bool) (broke func() bool) { return l.breaks(1, true, reply) }

func (l *link) breakAt(n int, reply bool) (broke func() bool) { return l.breaks(n, false, reply) }

func (l *link) breaks(n int, writes, reply bool) (broke func() bool) {
	f := &fault{n, writes, reply}
	l.set(f)
	return func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		happened := l.fault != f
		l.fault = nil
		return happened
	}
}

func (l *link) set(f *fault) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fault = f
}

func (l *link) goDown() (up func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	down := make(chan struct{})
	l.down = down
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.down = nil
		close(down)
	}
}

func (l *link) get(ctx context.Context, key string) (item any, err error) {
	err = l.request(ctx, false, func() { item = l.db.get(key) })
	return item, err
}

func (l *link) query(ctx context.Context, low, high string, backward bool, limit int) (items []any, err error) {
	err = l.request(ctx, false, func() { items = l.db.query(low, high, backward, limit) })
	return items, err
}

func (l *link) listMarked(ctx context.Context, limit int) (keys []string, err error) {
	err = l.request(ctx, false, func() { keys = l.db.listMarked(limit) })
	return keys, err
}

func (l *link) putIfAbsent(ctx context.Context, key string, item any) (there any, put bool, err error) {
	err = l.request(ctx, true, func() { there, put = l.db.putIfAbsent(key, item) })
	return there, put, err
}

func (l *link) update(ctx context.Context, key string, change func(old any) (any, bool)) (item any, ok bool, err error) {
	err = l.request(ctx, true, func() { item, ok = l.db.update(key, change) })
	return item, ok, err
}

func (l *link) removeAll(ctx context.Context, prefix string) error {
	return l.request(ctx, true, func() { l.db.removeAll(prefix) })
}

// settleTime bounds how long a write without an answer is sent again.
const settleTime = 2 * time.Second

// settle does a write that may be done again, until it is answered. What stays open
// is an unknown outcome of the parts.
func settle(ctx context.Context, parts []driver.UnknownPart, write func(context.Context) error) error {
	err := write(ctx)
	var sent *sentError
	if !errors.As(err, &sent) {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTime)
	defer cancel()
	for ctx.Err() == nil {
		err := write(ctx)
		if again := errors.As(err, &sent) || driver.IsTransient(err) || ctx.Err() != nil; !again {
			return err
		}
		select {
		case <-ctx.Done():
		case <-time.After(5 * time.Millisecond):
		}
	}
	return &driver.UnknownOutcomeError{Parts: parts, Err: sent.error}
}
