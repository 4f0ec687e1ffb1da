package gate_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-es/es/driver"
	"github.com/go-es/es/internal/gate"
)

func TestClose(t *testing.T) {
	for _, row := range []struct {
		name       string
		call, wait time.Duration // 0 waits for as long as it takes
		aborted    bool
		took       time.Duration
	}{
		{"no call", 0, time.Second, false, 0},
		{"a short call", 500 * time.Millisecond, time.Second, false, 500 * time.Millisecond},
		{"a long call", time.Minute, time.Second, true, time.Second},
		{"no limit", time.Minute, 0, false, time.Minute},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := gate.New()
				var calls sync.WaitGroup
				if row.call > 0 {
					ctx, end, err := g.Begin(t.Context())
					if err != nil {
						t.Fatal(err)
					}
					calls.Go(func() {
						defer end()
						select {
						case <-ctx.Done():
						case <-time.After(row.call):
						}
						if aborted := context.Cause(ctx) == driver.ErrClosed; aborted != row.aborted || g.Aborted() != row.aborted {
							t.Errorf("aborted: %t, %t", aborted, g.Aborted())
						}
					})
				}
				waits := make(chan struct{})
				go func() { <-g.Closing(); close(waits) }()
				begin, last := time.Now(), 0
				g.Close(row.wait, func() {
					calls.Wait()
					last++
				})
				if took := time.Since(begin); took != row.took {
					t.Errorf("Close took %v", took)
				}
				<-waits
				g.Close(row.wait, func() { last++ })
				if last != 1 || !g.Aborted() || g.Abort().Err() == nil {
					t.Errorf("last was called %d times; aborted: %t", last, g.Aborted())
				}
				if err := g.Enter(t.Context()); err != driver.ErrClosed {
					t.Errorf("Enter after Close: %v", err)
				}
				if _, _, err := g.Begin(t.Context()); err != driver.ErrClosed {
					t.Errorf("Begin after Close: %v", err)
				}
			})
		})
	}
}

func TestEnter(t *testing.T) {
	g := gate.New()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := g.Enter(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Enter with a context that has ended: %v", err)
	}
	bound, end := g.Bound(t.Context())
	if bound.Err() != nil {
		t.Error(bound.Err())
	}
	end()
	if context.Cause(bound) != context.Canceled {
		t.Errorf("cause %v", context.Cause(bound))
	}
	g.Close(0, func() {}) // no call has entered
}
