package es

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"
)

const (
	firstPause = time.Millisecond
	lastPause  = 250 * time.Millisecond
)

// retry calls f until it gives something else than a transient error, the
// context ends, or the time for retries is over. Pauses double, with jitter.
func (s *Store) retry(ctx context.Context, op Op, f func(ctx context.Context) (int, error)) (n, retries int, err error) {
	n, err = f(ctx)
	if err == nil || s.bare || !IsTransient(err) {
		return n, 0, err
	}
	deadline := time.Now().Add(s.retryFor)
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		wait := pause/2 + rand.N(pause)
		if time.Now().Add(wait).After(deadline) {
			return n, retries, err
		}
		if ctxErr := sleep(ctx, wait); ctxErr != nil {
			return n, retries, fmt.Errorf("es: %s: %w; before that: %w", op.Name, ctxErr, err)
		}
		retries++
		if s.hooks != nil && s.hooks.Retry != nil {
			s.hooks.Retry(ctx, op, retries, err)
		}
		if n, err = f(ctx); err == nil || !IsTransient(err) {
			return n, retries, err
		}
	}
}

// sleep waits, and returns the context's error if that ends first.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
