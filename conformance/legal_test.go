package conformance

import (
	"context"
	"testing"
	"time"

	"github.com/go-es/es/driver"
)

// TestStrangeButLegalStores runs the suite on stores that keep the contract in
// unusual ways.
func TestStrangeButLegalStores(t *testing.T) {
	for _, c := range []struct {
		name string
		set  func(*toy)
	}{
		{"plain", func(*toy) {}},
		{"gaps", func(y *toy) { y.caps.Gapless, y.step = false, 1_000_000 }},
		{"late", func(y *toy) {
			y.caps.Gapless, y.caps.PositionOnAppend, y.late = false, false, true
		}},
		{"late with gaps", func(y *toy) {
			y.caps = driver.Caps{MaxStreams: 100, MaxAppendEvents: 50}
			y.step, y.late, y.page = 100, true, 3
		}},
		{"one record a page", func(y *toy) { y.page = 1 }},
		{"empty pages", func(y *toy) { y.caps.Gapless, y.step, y.page, y.idle = false, 10, 2, true }},
		{"tiny limits", func(y *toy) {
			y.caps = driver.Caps{MaxEventBytes: 1 << 10, MaxAppendEvents: 3, MaxAppendBytes: 2 << 10, MaxStreams: 2, MaxSnapshotBytes: 1 << 10, PositionOnAppend: true}
		}},
		{"one event an append", func(y *toy) {
			y.caps = driver.Caps{MaxEventBytes: 1 << 10, MaxAppendEvents: 1, MaxAppendBytes: 1 << 10, PositionOnAppend: true, FilterFeed: true}
		}},
		{"no limits", func(y *toy) { y.caps = driver.Caps{MaxStreams: 5, PositionOnAppend: true, Gapless: true} }},
		{"slow", func(y *toy) { y.slow = time.Millisecond }},
		{"flaky", func(y *toy) { y.flaky = true }},
		{"lagging listings", func(y *toy) { y.caps.ListLag, y.lag = true, 20*time.Millisecond }},
	} {
		t.Run(c.name, func(t *testing.T) {
			if testing.Short() && c.name != "plain" && c.name != "late with gaps" && c.name != "empty pages" {
				t.Skip("-short")
			}
			y := newToy()
			c.set(y)
			cfg := y.config(3 * time.Second)
			if y.late {
				cfg.Hold, cfg.Fault = nil, nil
			}
			if y.flaky {
				cfg.Fault = nil
			}
			Run(t, cfg)
		})
	}
}

// TestBareStore runs the suite on a store that has nothing but the methods of
// driver.Store, and no second client.
func TestBareStore(t *testing.T) {
	y := newToy()
	y.caps = driver.Caps{PositionOnAppend: true}
	cfg := y.config(3 * time.Second)
	cfg = Config{Open: cfg.Open, DSN: cfg.DSN, FeedBound: cfg.FeedBound, Alone: true, Volatile: true}
	open := cfg.Open
	cfg.Open = func(ctx context.Context, dsn string) (driver.Store, error) {
		s, err := open(ctx, dsn)
		if err != nil {
			return nil, err
		}
		return bare{s}, nil
	}
	Run(t, cfg)
}

// bare hides the optional interfaces of a store.
type bare struct{ driver.Store }
