package dynamodb

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http/httptrace"
	"sync"
	"time"

	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/go-es/es/driver"
)

const (
	busyTries    = 5                     // of a write that is told to come back
	busyPause    = 10 * time.Millisecond // after the first one; it doubles
	busyMost     = 200 * time.Millisecond
	answerWithin = 10 * time.Second // DynamoDB answers in some ms, or never
)

// write makes one conditional write, which is recognised when it is made again:
// once makes one request of it, always the same one. Where the outcome of a request
// is not known, the same is sent again, on a context of its own and for a bounded
// time, until an answer tells.
//
// Errors: refusedError; unsureError if it is not known whether the write was or
// will be carried out. All others say that it was not and will not be.
//
// The client's own retries are off here (Store.once): an error would be that of the
// last of several requests, and say nothing of the first.
func (s *Store) write(ctx context.Context, once func(ctx context.Context) error) error {
	w := &writing{s: s, ctx: ctx}
	return w.run(once)
}

type writing struct {
	s   *Store
	ctx context.Context

	mu      sync.Mutex
	reached reached
	abandon func() // ends a request that was not sent
	unsure  error  // why it is not known what became of an earlier request
}

// reached says how far a request has come.
type reached int

const (
	begun   reached = iota // or the client does not tell
	waiting                // for a connection
	sent                   // or it may have been
)

func (w *writing) run(once func(ctx context.Context) error) error {
	settle := w.s.cfg.settle()
	all, cancel := context.WithCancel(context.WithoutCancel(w.ctx))
	defer cancel()
	var bound sync.Once
	limit := func() { bound.Do(func() { time.AfterFunc(settle, cancel) }) }
	defer context.AfterFunc(w.ctx, func() {
		limit()
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.reached == waiting && w.unsure == nil {
			w.abandon()
		}
	})()
	pause := busyPause
	for try := 1; ; try++ {
		within := answerWithin
		if w.unsure != nil && settle > 0 {
			within = max(settle/4, 50*time.Millisecond)
		}
		err := w.send(all, within, once)
		if err == nil {
			return nil
		}
		if _, refused := err.(*refusedError); refused {
			return err
		}
		m := meaningOf(codeOf(err))
		switch {
		case w.unsure != nil: // this one was not carried out, or nobody knows: the earlier one still counts
		case m != nil && !m.busy:
			return fail(err)
		case m != nil || w.unsent(err):
			if w.ctx.Err() != nil {
				return w.ctx.Err()
			}
			if _, slow := errors.AsType[*smithy.CanceledError](err); slow {
				err = fmt.Errorf("es: dynamodb: there was no connection within %v: %v", within, err)
			} else if m == nil && !isOfNetwork(err) {
				return fail(err) // the client could not even make the request
			}
			if try == busyTries || m == nil && try > 1 {
				return driver.Transient(fail(err))
			}
		default:
			w.unsure = err
			if limit(); settle == 0 {
				return &unsureError{err}
			}
		}
		t := time.NewTimer(pause/2 + rand.N(pause))
		pause = min(2*pause, busyMost)
		done := all.Done()
		if w.unsure == nil {
			done = w.ctx.Done()
		}
		select {
		case <-done:
			t.Stop()
			if w.unsure != nil {
				return &unsureError{w.unsure}
			}
			return w.ctx.Err()
		case <-t.C:
		}
	}
}

// send makes one request.
func (w *writing) send(ctx context.Context, within time.Duration, once func(ctx context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	w.mu.Lock()
	w.reached, w.abandon = begun, cancel
	w.mu.Unlock()
	return refusal(once(httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GetConn: func(string) {
			w.s.traces.Store(true)
			w.mu.Lock()
			defer w.mu.Unlock()
			if w.reached = max(w.reached, waiting); w.unsure == nil && w.reached == waiting && w.ctx.Err() != nil {
				w.abandon()
			}
		},
		GotConn: func(httptrace.GotConnInfo) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.reached = sent
		},
	})))
}

// unsent reports whether a request that failed never left this process.
func (w *writing) unsent(err error) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.reached == sent:
		return false
	case w.reached == waiting, w.s.traces.Load():
		return true
	}
	// The client's transport does not tell.
	_, send := errors.AsType[*smithyhttp.RequestSendError](err)
	_, answer := errors.AsType[*smithyhttp.ResponseError](err)
	_, read := errors.AsType[*smithy.DeserializationError](err)
	_, ended := errors.AsType[*smithy.CanceledError](err)
	return !send && !answer && !read && !ended
}

// outlive returns a context for what has to follow a write that was sent: it goes
// on for the time of Config.Settle after ctx has ended.
func (s *Store) outlive(ctx context.Context) (context.Context, func()) {
	out, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(s.cfg.settle(), cancel) })
	return out, func() { stop(); cancel() }
}

// pause waits a moment before something is tried again that another one was faster
// with.
func pause(ctx context.Context, tries int) error {
	if tries < 2 {
		return ctx.Err()
	}
	t := time.NewTimer(rand.N(min(time.Millisecond<<min(tries, 6), 50*time.Millisecond)))
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
