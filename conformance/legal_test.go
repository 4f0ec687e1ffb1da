package conformance

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-es/es/driver"
)

// legalStores keep the contract in unusual ways.
var legalStores = []struct {
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
	{"slow", func(y *toy) { y.slow = 300 * time.Microsecond }},
	{"flaky", func(y *toy) { y.flaky = true }},
	{"late, one event at a time", func(y *toy) {
		y.caps.Gapless, y.caps.PositionOnAppend, y.late, y.singly, y.blind = false, false, true, true, true
	}},
	{"takes a base for any version", func(y *toy) { y.based = true }},
	{"says what it knows and no more", func(y *toy) { y.older, y.unsure, y.coy = true, true, true }},
	{"forgets what is purged", func(y *toy) { y.forgets = true }},
	{"snapshots by other rules", func(y *toy) { y.equal, y.strict = true, true }},
	{"lagging listings", func(y *toy) { y.caps.ListLag, y.lag = true, 20*time.Millisecond }},
}

// TestStrangeButLegalStores runs the suite on them: in parallel what bears it,
// and then what looks for goroutines.
func TestStrangeButLegalStores(t *testing.T) {
	looks := func(c check) bool {
		return strings.HasPrefix(c.name, "lifetime/") || strings.HasPrefix(c.name, "opening/")
	}
	for _, alone := range []bool{false, true} {
		some := slices.DeleteFunc(slices.Clone(checks), func(c check) bool { return looks(c) != alone })
		t.Run(map[bool]string{false: "together", true: "alone"}[alone], func(t *testing.T) {
			for _, l := range legalStores {
				full := l.name == "plain" || l.name == "late with gaps"
				t.Run(l.name, func(t *testing.T) {
					if testing.Short() && !full && l.name != "empty pages" {
						t.Skip("-short")
					}
					if !alone {
						t.Parallel()
					}
					y := newToy()
					l.set(y)
					cfg := y.config(30 * time.Second)
					cfg.quick = !full
					if y.late {
						cfg.Hold, cfg.InTx, cfg.Fault = nil, nil, nil
					}
					if y.flaky {
						cfg.Fault = nil
					}
					if y.slow == 0 {
						run(t, cfg, some)
						return
					}
					const parts = 6 // at once, as it sleeps most of the time
					for i := range parts {
						t.Run(fmt.Sprint("part-", i), func(t *testing.T) {
							if !alone {
								t.Parallel()
							}
							var mine []check
							for k := i; k < len(some); k += parts {
								mine = append(mine, some[k])
							}
							run(t, cfg, mine)
						})
					}
				})
			}
		})
	}
}

// TestWrappedErrors runs the suite on a store that wraps what it returns.
func TestWrappedErrors(t *testing.T) {
	wrap := func(err error) error {
		if err == nil {
			return nil
		}
		return fmt.Errorf("toy: node 7: %w", err)
	}
	o := &overrides{
		append: func(s *toyStore, ctx context.Context, req driver.AppendRequest) (driver.AppendResult, error) {
			res, err := s.Append(ctx, req)
			return res, wrap(err)
		},
		stream: func(s *toyStore, ctx context.Context, q driver.StreamQuery) (driver.StreamPage, error) {
			page, err := s.ReadStream(ctx, q)
			return page, wrap(err)
		},
		feed: func(s *toyStore, ctx context.Context, q driver.FeedQuery) (driver.FeedPage, error) {
			page, err := s.ReadAll(ctx, q)
			return page, wrap(err)
		},
		head: func(s *toyStore, ctx context.Context) (driver.Position, error) {
			p, err := s.Head(ctx)
			return p, wrap(err)
		},
		list: func(s *toyStore, ctx context.Context, q driver.ListQuery) (driver.ListPage, error) {
			page, err := s.ListStreams(ctx, q)
			return page, wrap(err)
		},
		delete: func(s *toyStore, ctx context.Context, req driver.DeleteRequest) (driver.Appended, error) {
			a, err := s.Delete(ctx, req)
			return a, wrap(err)
		},
		save: func(s *toyStore, ctx context.Context, cp driver.Checkpoint, prev driver.Revision) error {
			return wrap(s.SaveCheckpoint(ctx, cp, prev))
		},
		saveSnap: func(s *toyStore, ctx context.Context, snap driver.Snapshot) error {
			return wrap(s.SaveSnapshot(ctx, snap))
		},
	}
	y := newToy()
	cfg := y.config(30 * time.Second)
	cfg.Fault, cfg.Hold = nil, nil
	cfg.Open = func(ctx context.Context, dsn string) (driver.Store, error) {
		s, err := y.Open(ctx, dsn)
		if err != nil {
			return nil, wrap(err)
		}
		return &wrong{s, o}, nil
	}
	Run(t, cfg)
}

func TestKnownFailures(t *testing.T) {
	y := newToy()
	y.step = 3 // which Gapless does not allow
	cfg := y.config(time.Second).withDefaults()
	p, err := probeStore(t, &cfg)
	if err != nil {
		t.Fatal(err)
	}
	cfg.Fault = func(tb TB, dsn string) Faulty {
		s, err := cfg.Open(tb.Context(), dsn)
		if err != nil {
			tb.Fatalf("%v", err)
		}
		return Faulty{Store: s}
	}
	for _, c := range []struct {
		check string
		fails bool
		said  string
	}{
		{"unknown/down", false, "for want of Faulty.Down"},
		{"feed/gapless", false, "known: for a reason\nfeed/gapless: F14 does not hold"},
		{"feed/head", true, "passes, and is in Config.Known: for a reason"},
	} {
		r := newRecorder(t.Context(), t.Name())
		i := slices.IndexFunc(checks, func(k check) bool { return k.name == c.check })
		r.run(func() { runKnown(r, &cfg, p, &checks[i], "for a reason") })
		if r.Failed() != c.fails || !strings.HasPrefix(r.log(), c.said) {
			t.Errorf("%s: failed %t, said %q", c.check, r.Failed(), r.log())
		}
	}
}

// TestBareStore runs the suite on a store that has nothing but the methods of
// driver.Store, and no second client.
func TestBareStore(t *testing.T) {
	y := newToy()
	y.caps = driver.Caps{PositionOnAppend: true}
	cfg := y.config(30 * time.Second)
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
