package es

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

const (
	firstPause = time.Millisecond
	lastPause  = 250 * time.Millisecond
)

// repeatable is an error of unknown outcome of a call that does no more when it is
// made twice.
type repeatable struct{ error }

func (e repeatable) Unwrap() error { return e.error }

// idempotent marks an error of a call that does no more when it is made twice, so
// that retry makes it again where its outcome is unknown.
func idempotent(err error) error {
	if errors.Is(err, ErrUnknownOutcome) {
		return repeatable{err}
	}
	return err
}

func again(err error) bool { return IsTransient(err) || errors.As(err, new(repeatable)) }

// retry calls f until it gives something else than an error after which it may be
// called again, the context ends, the store closes, or the time for retries is over.
// Pauses double, with jitter. Where the outcome of a call was unknown and none came after
// it that settles it, that is the error.
func (s *Store) retry(ctx context.Context, op Op, f func(ctx context.Context) (int, error)) (n, retries int, err error) {
	n, err = f(ctx)
	if err == nil || s.bare || !again(err) {
		return n, 0, err
	}
	var open error // the last one of unknown outcome
	told := func() error {
		if open == nil || errors.Is(err, ErrUnknownOutcome) {
			return err
		}
		return fmt.Errorf("%w; and then: %v", open, bare{err})
	}
	deadline := time.Now().Add(s.retryFor)
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		if errors.Is(err, ErrUnknownOutcome) {
			open = err
		}
		wait := pause/2 + rand.N(pause)
		if time.Now().Add(wait).After(deadline) {
			return n, retries, told()
		}
		if ended := sleepOpen(ctx, wait, s.closing); ended != nil {
			return n, retries, fmt.Errorf("es: %s: %w; before that: %w", op.Name, bare{ended}, bare{told()})
		}
		retries++
		if s.hooks != nil && s.hooks.Retry != nil {
			s.hooks.Retry(ctx, op, retries, err)
		}
		if n, err = f(ctx); err == nil || !again(err) {
			if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, ErrClosed) {
				err = told()
			}
			return n, retries, err
		}
	}
}

// sleep waits, and returns the context's error if that ends first.
func sleep(ctx context.Context, d time.Duration) error { return sleepOpen(ctx, d, nil) }

// sleepOpen is sleep, and returns ErrClosed if closing is closed first.
func sleepOpen(ctx context.Context, d time.Duration, closing <-chan struct{}) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-closing:
		return ErrClosed
	}
}
