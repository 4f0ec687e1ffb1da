// Package gate is the door of a driver's store: it lets calls in until the store is
// closed, and lets Close wait for those that run.
package gate

import (
	"context"
	"sync"
	"time"

	"github.com/go-es/es/driver"
)

// Gate is made by [New]. Its methods may be called concurrently.
type Gate struct {
	mu      sync.RWMutex
	closed  bool
	calls   sync.WaitGroup
	once    sync.Once
	closing chan struct{}
	abort   context.Context // ends when Close waits no longer
	stop    context.CancelCauseFunc
}

// New returns an open gate.
func New() *Gate {
	g := &Gate{closing: make(chan struct{})}
	g.abort, g.stop = context.WithCancelCause(context.Background())
	return g
}

// Enter begins a call, which [Gate.Leave] ends. Errors: driver.ErrClosed after Close,
// or the context's; the call has not begun then.
func (g *Gate) Enter(ctx context.Context) error {
	g.mu.RLock()
	defer g.mu.RUnlock()
	if g.closed {
		return driver.ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	g.calls.Add(1)
	return nil
}

// Leave ends a call that has entered.
func (g *Gate) Leave() { g.calls.Done() }

// Bound returns a context that also ends when Close waits no longer, with
// driver.ErrClosed as its cause. To call cancel when it is not needed any more
// releases what it holds.
func (g *Gate) Bound(ctx context.Context) (bound context.Context, cancel func()) {
	bound, end := context.WithCancelCause(ctx)
	stop := context.AfterFunc(g.abort, func() { end(driver.ErrClosed) })
	return bound, func() {
		stop()
		end(nil)
	}
}

// Begin begins a call on a context that [Gate.Bound] returns, and which is not the one to
// tell callers of; end releases that and ends the call. Errors: see [Gate.Enter].
func (g *Gate) Begin(ctx context.Context) (bound context.Context, end func(), err error) {
	if err := g.Enter(ctx); err != nil {
		return nil, nil, err
	}
	bound, cancel := g.Bound(ctx)
	return bound, func() {
		cancel()
		g.Leave()
	}, nil
}

// Closing returns a channel that is closed when Close begins: what waits without doing
// anything ends then.
func (g *Gate) Closing() <-chan struct{} { return g.closing }

// Abort returns the context that ends when Close waits no longer.
func (g *Gate) Abort() context.Context { return g.abort }

// Aborted reports whether Close waits no longer.
func (g *Gate) Aborted() bool { return g.abort.Err() != nil }

// Close lets no further call in, waits for those that run, and ends the contexts of
// those that run for longer than wait; 0 is no limit. Then it calls last, for what
// comes after them. A second Close does nothing, and waits for the first.
func (g *Gate) Close(wait time.Duration, last func()) {
	g.once.Do(func() {
		g.mu.Lock()
		g.closed = true
		g.mu.Unlock()
		close(g.closing)
		if wait > 0 {
			t := time.AfterFunc(wait, func() { g.stop(driver.ErrClosed) })
			defer t.Stop()
		}
		g.calls.Wait()
		last()
		g.stop(driver.ErrClosed)
	})
}
