package postgres

import (
	"context"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/go-es/es/driver"
)

// writing is a call that writes. As a context it ends with the caller's, or when
// Close waits no longer, and nothing is sent from then on. For what was sent the
// server is asked to cancel it, and the answer is waited for.
//
// Statements run without a context of their own: one would have to be made for each
// call, and watched by pgconn for each statement.
type writing struct {
	context.Context // the caller's
	s               *Store
	done            chan struct{}
	stop            func() bool // watching the caller's context; nil if that never ends

	mu    sync.Mutex
	err   error          // why it has ended
	pc    *pgconn.PgConn // on which it runs statements
	wait  time.Duration  // for their answers, once it has ended
	over  chan struct{}  // closed when they have answered; nil unless it has ended before
	asked chan struct{}  // closed when the server is not asked any more
}

// begin begins a call that writes, which ends with finish.
func (s *Store) begin(ctx context.Context) *writing {
	w := &writing{Context: ctx, s: s, done: make(chan struct{})}
	if ctx.Done() != nil {
		w.stop = context.AfterFunc(ctx, func() { w.end(ctx.Err()) })
	}
	s.writers.Lock()
	defer s.writers.Unlock()
	s.writings[w] = struct{}{}
	if s.gate.Aborted() {
		w.end(driver.ErrClosed)
	}
	if err := ctx.Err(); err != nil { // stop may be told a moment later
		w.end(err)
	}
	return w
}

// finish ends what watches the call.
func (w *writing) finish() {
	if w.stop != nil {
		w.stop()
	}
	w.s.writers.Lock()
	delete(w.s.writings, w)
	w.s.writers.Unlock()
}

// endWritings ends the calls that write, when Close waits no longer.
func (s *Store) endWritings() {
	s.writers.Lock()
	defer s.writers.Unlock()
	for w := range s.writings {
		w.end(driver.ErrClosed)
	}
}

// Done is of the interface context.Context.
func (w *writing) Done() <-chan struct{} { return w.done }

// Err is of the interface context.Context.
func (w *writing) Err() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}

func (w *writing) end(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err != nil {
		return
	}
	w.err = err
	close(w.done)
	if w.pc != nil {
		w.over, w.asked = make(chan struct{}), make(chan struct{})
		go w.interrupt(w.pc)
	}
}

// sends says that statements are run on a connection, and for how long they are
// waited for when the call has ended. It returns an error if that has ended already.
func (w *writing) sends(pc *pgconn.PgConn, wait time.Duration) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err == nil {
		w.pc, w.wait = pc, wait
	}
	return w.err
}

// answered says that no statement runs any more. It reports whether the server was
// asked to cancel one.
func (w *writing) answered() (cancelled bool) {
	w.mu.Lock()
	pc := w.pc
	w.pc = nil
	w.mu.Unlock()
	if w.over == nil {
		return false
	}
	close(w.over)
	<-w.asked
	// The cancellation may yet arrive: it must not meet another statement.
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	pc.Close(ctx)
	return w.wait > 0
}

// interrupt asks the server to cancel what runs, and breaks the connection if no
// answer comes in time.
func (w *writing) interrupt(pc *pgconn.PgConn) {
	defer close(w.asked)
	if w.wait > 0 {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(w.Context), w.wait)
		defer cancel()
		go func() {
			select {
			case <-w.over:
				cancel()
			case <-ctx.Done():
			}
		}()
		pc.CancelRequest(ctx) // whatever comes of it
		<-ctx.Done()
	}
	select {
	case <-w.over:
	default:
		pc.Conn().SetDeadline(time.Unix(1, 0))
	}
}
