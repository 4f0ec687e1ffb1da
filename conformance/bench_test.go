package conformance

import (
	"context"
	"flag"
	"testing"
	"time"

	"github.com/go-es/es/driver"
)

// runBench runs Bench once, as -benchtime 1x does, and returns how many
// benchmarks had data of their own, and whether it failed.
func runBench(t *testing.T, cfg Config) (with int, failed bool) {
	t.Helper()
	f := flag.Lookup("test.benchtime")
	before := f.Value.String()
	f.Value.Set("1x")
	defer f.Value.Set(before)
	dsn, asked := cfg.DSN, map[TB]bool{}
	cfg.DSN = func(b TB) string {
		asked[b] = true
		return dsn(b)
	}
	r := testing.Benchmark(func(b *testing.B) {
		defer func() { failed = b.Failed() }()
		Bench(b, cfg)
	})
	return len(asked) - 1, failed || r.N == 0 // Bench itself asks for what is read
}

func TestBench(t *testing.T) {
	for _, row := range []struct {
		name string
		set  func(*toy)
		bare bool // with the methods of a Store and no others
		want int
	}{
		{"all", func(*toy) {}, false, 8},
		{"tiny limits", func(y *toy) {
			y.caps = driver.Caps{MaxEventBytes: 1 << 10, MaxAppendEvents: 1, MaxAppendBytes: 1 << 10, MaxSnapshotBytes: 100, PositionOnAppend: true}
		}, false, 7},
		{"no limits", func(y *toy) { y.caps = driver.Caps{PositionOnAppend: true} }, false, 8},
		{"nine methods", func(*toy) {}, true, 4},
		{"late positions, with gaps", func(y *toy) { y.late, y.step, y.caps.PositionOnAppend, y.caps.Gapless = true, 9, false, false }, false, 8},
		{"short and empty pages", func(y *toy) { y.page, y.idle = 30, true }, false, 8},
		{"transient errors", func(y *toy) { y.flaky = true }, false, 8},
	} {
		t.Run(row.name, func(t *testing.T) {
			y := newToy()
			row.set(y)
			cfg := y.config(30 * time.Second)
			if open := cfg.Open; row.bare {
				cfg.Open = func(ctx context.Context, dsn string) (driver.Store, error) {
					s, err := open(ctx, dsn)
					return struct{ driver.Store }{s}, err
				}
			}
			n, failed := runBench(t, cfg)
			if failed {
				t.Error("it failed")
			}
			if n != row.want {
				t.Errorf("%d benchmarks had data, want %d", n, row.want)
			}
		})
	}
}

// loses drops the last record of each page of the feed.
type loses struct{ driver.Store }

func (s loses) ReadAll(ctx context.Context, q driver.FeedQuery) (driver.FeedPage, error) {
	page, err := s.Store.ReadAll(ctx, q)
	if n := len(page.Records); n > 0 {
		page.Records = page.Records[:n-1]
	}
	return page, err
}

func TestBenchFails(t *testing.T) {
	for name, wrap := range map[string]func(driver.Store) driver.Store{
		"a feed that loses events": func(s driver.Store) driver.Store { return loses{s} },
		"a store that is closed":   func(s driver.Store) driver.Store { s.Close(); return s },
	} {
		cfg := newToy().config(time.Second)
		open := cfg.Open
		cfg.Open = func(ctx context.Context, dsn string) (driver.Store, error) {
			s, err := open(ctx, dsn)
			return wrap(s), err
		}
		if _, failed := runBench(t, cfg); !failed {
			t.Errorf("%s passes", name)
		}
	}
}
