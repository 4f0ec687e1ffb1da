package es

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-es/es/driver"
)

// queue gathers appends that come while another is being written, and writes
// them as one group. It has no goroutine of its own: a caller that finds nobody
// writing writes at once, from its own goroutine; the others wait, and when the
// writer has finished, the first of them writes for all. So one writer alone
// waits for nobody, and many share a commit.
//
// Writers that append again as soon as they are told would split into two crowds
// that take turns, at worst one writer and all others: who writes next therefore
// lets those run that were just told, and then takes along who has come.
type queue struct {
	group  driver.GroupAppender
	single func(context.Context, driver.AppendRequest) (driver.AppendResult, error)
	caps   driver.Caps

	mu      sync.Mutex
	busy    bool       // somebody writes
	last    int        // how many the last write was of
	waiting []*waiter  // in the order they came
	idle    *sync.Cond // signalled when nobody writes any more, and with late
	closed  bool
	late    bool // Close waits no longer
}

// waiter is an append that waits for its turn.
type waiter struct {
	ctx           context.Context
	req           driver.AppendRequest
	events, bytes int

	ready chan struct{} // closed when lead or out is set
	lead  bool          // it is to write a group
	out   driver.Outcome
	again bool // nothing of it was stored, because another member's context had ended
	taken bool // it leads or is in a group; guarded by queue.mu
}

func newQueue(g driver.GroupAppender, single func(context.Context, driver.AppendRequest) (driver.AppendResult, error), caps driver.Caps) *queue {
	q := &queue{group: g, single: single, caps: caps}
	q.idle = sync.NewCond(&q.mu)
	return q
}

// append writes a request of one part.
func (q *queue) append(ctx context.Context, req driver.AppendRequest, events, bytes int) (driver.AppendResult, error) {
	for {
		out, again := q.try(ctx, req, events, bytes)
		if !again {
			return out.Result, out.Err
		}
	}
}

// try is append but for what has to be done again.
func (q *queue) try(ctx context.Context, req driver.AppendRequest, events, bytes int) (out driver.Outcome, again bool) {
	if err := ctx.Err(); err != nil {
		return driver.Outcome{Err: err}, false
	}
	q.mu.Lock()
	if q.closed {
		q.mu.Unlock()
		return driver.Outcome{Err: ErrClosed}, false
	}
	if !q.busy && q.last > 1 { // those of the last group may be about to come
		q.busy = true
		q.mu.Unlock()
		w := &waiter{ctx: ctx, req: req, events: events, bytes: bytes, taken: true}
		q.write(w)
		return w.out, w.again
	}
	if !q.busy {
		q.busy = true
		q.mu.Unlock()
		busy := false
		defer func() { q.pass(1, busy) }()
		out.Result, out.Err = q.single(ctx, req)
		busy = isBusy(out.Err)
		return out, false
	}
	w := &waiter{ctx: ctx, req: req, events: events, bytes: bytes, ready: make(chan struct{})}
	q.waiting = append(q.waiting, w)
	q.mu.Unlock()

	select {
	case <-w.ready:
	case <-ctx.Done():
		if q.leave(w) {
			return driver.Outcome{Err: ctx.Err()}, false
		}
		<-w.ready // it is being written: the driver ends soon, with the truth
	}
	if w.lead {
		q.write(w)
	}
	return w.out, w.again
}

// isBusy reports whether a write failed because the database was busy, or the like.
func isBusy(err error) bool { return IsTransient(err) || errors.Is(err, ErrUnknownOutcome) }

// leave takes a waiter out of the queue, unless it is being written already.
func (q *queue) leave(w *waiter) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if w.taken {
		return false
	}
	q.waiting = slices.DeleteFunc(q.waiting, func(o *waiter) bool { return o == w })
	return true
}

// write writes the group that w leads, and lets the next one begin.
func (q *queue) write(w *waiter) {
	group := q.gather(w)
	done, busy := false, false
	defer func() {
		for _, m := range group {
			busy = busy || isBusy(m.out.Err)
			if !done {
				m.out = driver.Outcome{Err: lost(m.req, "the driver panicked while it wrote a group")}
			}
			if m != w {
				close(m.ready)
			}
		}
		q.pass(len(group), busy)
	}()
	if len(group) == 1 {
		w.out.Result, w.out.Err = q.single(w.ctx, w.req)
		done = true
		return
	}
	ctx, cancel := groupContext(group)
	defer cancel()
	reqs := make([]driver.AppendRequest, len(group))
	for i, m := range group {
		reqs[i] = m.req
	}
	outs := q.group.AppendGroup(ctx, reqs)
	for i, m := range group {
		if len(outs) != len(group) {
			m.out.Err = lost(m.req, fmt.Sprintf("the driver returned %d outcomes of %d appends", len(outs), len(group)))
			continue
		}
		m.out = outs[i]
		if !errors.Is(m.out.Err, context.Canceled) || errors.Is(m.out.Err, ErrUnknownOutcome) {
			continue
		}
		if own := m.ctx.Err(); own != nil {
			m.out.Err = own // why its context ended, and not that the group's did
		} else {
			m.again = ctx.Err() != nil
		}
	}
	done = true
}

// lost is what becomes of a request of a group when the driver does not say it.
// With Any or Exists nobody knows its base, so that it cannot be sent again.
func lost(req driver.AppendRequest, why string) error {
	p := &req.Parts[0]
	base, ok := p.Expected.Exact()
	if !ok {
		return fmt.Errorf("%w of a write to %q: %s", ErrUnknownOutcome, p.Stream, why)
	}
	return &driver.UnknownOutcomeError{Parts: []driver.UnknownPart{{Stream: p.Stream, Base: base}}, Err: errors.New(why)}
}

// patience is how long a group goes on when the context of a member has ended, and how
// long Close waits for what waits.
const patience = 2 * time.Second

// groupContext returns a context with the values of the first member's. It ends when
// all members' have ended, or some time after the first one has: that member waits no
// longer for what the others would still wait for, and these begin again.
func groupContext(group []*waiter) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(group[0].ctx))
	left, first := new(atomic.Int64), new(sync.Once)
	left.Store(int64(len(group)))
	stops := make([]func() bool, len(group))
	for i, m := range group {
		stops[i] = context.AfterFunc(m.ctx, func() {
			if left.Add(-1) == 0 {
				cancel()
				return
			}
			first.Do(func() {
				t := time.AfterFunc(patience, cancel)
				context.AfterFunc(ctx, func() { t.Stop() })
			})
		})
	}
	return ctx, func() {
		for _, stop := range stops {
			stop()
		}
		cancel()
	}
}

// gather returns the group that w leads: w, and all that can go along.
func (q *queue) gather(w *waiter) []*waiter {
	q.mu.Lock()
	defer q.mu.Unlock()
	for range 2 {
		if 1+len(q.waiting) >= q.last {
			break
		}
		q.mu.Unlock()
		runtime.Gosched() // those of the last group may have come again
		q.mu.Lock()
	}
	group := []*waiter{w}
	events, bytes := w.events, w.bytes
	// The streams so far, and whether a further append may join.
	joins := make(map[string]bool, 1+len(q.waiting))
	joins[w.req.Parts[0].Stream] = w.req.Parts[0].Expected == Any
	rest := q.waiting[:0]
	for _, w := range q.waiting {
		p := &w.req.Parts[0]
		join, twice := joins[p.Stream]
		if twice && !(join && p.Expected == Any) || above(events+w.events, q.caps.MaxAppendEvents) || above(bytes+w.bytes, q.caps.MaxAppendBytes) {
			joins[p.Stream] = false // a stream's appends keep their order
			rest = append(rest, w)
			continue
		}
		joins[p.Stream] = p.Expected == Any
		w.taken = true
		group = append(group, w)
		events += w.events
		bytes += w.bytes
	}
	clear(q.waiting[len(rest):])
	q.waiting = rest
	return group
}

// pass hands the writing on to the first that waits, after a write of n appends. If
// the store is closing and the database was just busy, the next write may wait for
// it as long as the last: those that wait are refused instead.
func (q *queue) pass(n int, busy bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed && busy || q.late {
		q.refuse()
	}
	q.last = n
	if len(q.waiting) == 0 {
		q.busy = false
		q.idle.Broadcast()
		return
	}
	w := q.waiting[0]
	q.waiting = slices.Delete(q.waiting, 0, 1)
	w.taken, w.lead = true, true
	close(w.ready)
}

// refuse tells those that wait that the store was closed.
func (q *queue) refuse() {
	for _, w := range q.waiting {
		w.taken, w.out.Err = true, ErrClosed
		close(w.ready)
	}
	q.waiting = nil
}

func above(n, limit int) bool { return limit > 0 && n > limit }

// close lets what waits be written, as long as the database is not busy and for a
// bounded time, and nothing new in. What is being written then is the driver's to end.
func (q *queue) close() {
	if q == nil {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	t := time.AfterFunc(patience, func() {
		q.mu.Lock()
		defer q.mu.Unlock()
		q.late = true
		q.refuse()
		q.idle.Broadcast()
	})
	defer t.Stop()
	for q.busy && !q.late {
		q.idle.Wait()
	}
}
