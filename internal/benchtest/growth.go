package benchtest

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"testing"

	"github.com/go-es/es"
	"github.com/go-es/es/driver"
)

// perStream is how many events a stream has where many are stored.
const perStream = 100

// GrowthConfig says how to store many events.
type GrowthConfig struct {
	// Data and Open are as in [Config].
	Data func(b *testing.B) string
	Open func(b *testing.B, data string) *es.Store

	// Settle, if not nil, lets a server do at once what it would do some time after
	// it has got many rows, so that it does not do it while the clock runs.
	Settle func(b *testing.B, data string)
}

// many is a store with n events.
func (cfg *GrowthConfig) many(b *testing.B, n int) *es.Store {
	data := cfg.Data(b)
	s := cfg.Open(b, data)
	fillStore(b, s, n/perStream, perStream/perAppend)
	if cfg.Settle != nil {
		cfg.Settle(b, data)
	}
	return s
}

// Growth puts stores of ten thousand and of a million events side by side, and one
// of as many as the environment variable ES_GROWTH says: an append of an event to a
// new stream and to one that exists, a read of a stream of 100, and pages of 1,000
// of the feed, in its middle and at its end. The ratios say how many times as fast a
// larger store is as the smallest.
func Growth(b *testing.B, cfg GrowthConfig) {
	sizes := []int{10_000, 1_000_000}
	if few() {
		sizes = []int{2_000, 10_000}
	}
	if text := os.Getenv("ES_GROWTH"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n%10_000 != 0 {
			b.Fatalf("ES_GROWTH=%q is no number of events that 10,000 divides", text)
		}
		sizes = append(sizes, n)
	}
	stores := make([]*es.Store, len(sizes))
	at := make([]driver.Position, len(sizes)) // the middle
	end := make([]driver.Position, len(sizes))
	for i, n := range sizes {
		stores[i] = cfg.many(b, n)
		at[i], end[i] = places(b, stores[i])
	}
	run := func(name string, ops int, f func(i, call int)) {
		b.Run(name, func(b *testing.B) {
			all := make([]*contender, len(sizes))
			for i, n := range sizes {
				all[i] = calls(fmt.Sprintf("%dk", n/1000), ops, func(call int) { f(i, call) })
			}
			inTurns(b, all...)
		})
	}
	ctx := b.Context()
	calls := make([]int, len(sizes))
	run("append-new", 1, func(i, _ int) {
		calls[i]++
		_, err := stores[i].Append(ctx, fmt.Sprintf("account-new-%d", calls[i]), es.NoStream, deposit(0))
		must(b, err)
	})
	some := func(i, call int) string { return stream(call * 7919 % (sizes[i] / perStream)) }
	run("append-existing", 1, func(i, call int) {
		_, err := stores[i].Append(ctx, some(i, call), es.Exists, deposit(0))
		must(b, err)
	})
	run("stream", perStream, func(i, call int) {
		n := 0
		for _, err := range stores[i].Read(ctx, some(i, call), es.Limit(perStream)) {
			must(b, err)
			n++
		}
		if n != perStream {
			b.Fatalf("%d events of a stream", n)
		}
	})
	for _, p := range []struct {
		name  string
		after []driver.Position
	}{{"page-middle", at}, {"page-end", end}} {
		run(p.name, 1000, func(i, _ int) {
			page, err := stores[i].Driver().ReadAll(ctx, driver.FeedQuery{After: p.after[i], Limit: 1000})
			must(b, err)
			if len(page.Records) != 1000 {
				b.Fatalf("%d records", len(page.Records))
			}
		})
	}
}

// places returns a position of the feed about its middle, and the one after which
// there are a thousand events. Nobody writes meanwhile.
func places(b *testing.B, s *es.Store) (middle, end driver.Position) {
	head, err := s.Head(b.Context())
	must(b, err)
	after := func(p driver.Position, limit int) (out []driver.Position) {
		for rec, err := range s.ReadAll(b.Context(), es.After(p), es.Limit(limit)) {
			must(b, err)
			out = append(out, rec.Position)
		}
		return out
	}
	last := after(head-min(head, 2000), 2000) // there may be gaps
	if len(last) < 1001 {
		b.Fatalf("there are %d events among the last 2,000 positions", len(last))
	}
	return after(head/2, 1)[0], last[len(last)-1001]
}

// Memory reads a feed of a million events, to its end and as a subscription, and
// prints the memory that is in use, in MB: after a collection when a tenth and when
// all was read (live-first-MB, live-last-MB), and the most that there was, garbage
// and all (heap-MB).
func Memory(b *testing.B, cfg GrowthConfig) {
	n := 1_000_000
	if few() {
		n = 20_000
	}
	s := cfg.many(b, n)
	for _, way := range []struct {
		name string
		read func(func(es.Record, error) bool)
	}{{"feed", s.ReadAll(b.Context())}, {"subscription", s.Subscribe(b.Context())}} {
		b.Run(way.name, func(b *testing.B) {
			var first, last, most uint64
			for b.Loop() {
				var t total
				for rec, err := range way.read {
					must(b, err)
					e, err := es.As[Deposited](rec)
					must(b, err)
					t.add(&e)
					if t.Events%(n/100) == 0 {
						most = max(most, heap())
					}
					if t.Events == n/10 {
						first = live()
					} else if t.Events == n {
						last = live()
						break
					}
				}
				if t.Events != n {
					b.Fatalf("%d events of %d", t.Events, n)
				}
			}
			b.ReportMetric(float64(b.Elapsed())/float64(b.N*n), "ns/op")
			b.ReportMetric(float64(first)/1e6, "live-first-MB")
			b.ReportMetric(float64(last)/1e6, "live-last-MB")
			b.ReportMetric(float64(most)/1e6, "heap-MB")
		})
	}
}

func heap() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func live() uint64 {
	runtime.GC()
	return heap()
}
