package benchtest

import (
	"context"
	"flag"
	"runtime"
	"runtime/pprof"
	"slices"
	"strings"
	"testing"
	"time"
)

// turn is what a contender did in one of its turns.
type turn struct {
	ops    int
	rate   float64 // operations a second
	allocs uint64
}

// contender is one of those that run in turns.
type contender struct {
	name string
	turn func() turn

	ops    int
	took   float64 // seconds that the operations would have taken one after the other
	allocs uint64
}

// calls is a contender that calls f, which gets the number of the call, and does n
// operations each time.
func calls(name string, n int, f func(call int)) *contender {
	const long = 20 * time.Millisecond
	next := 0
	return &contender{name: name, turn: func() turn {
		var t turn
		t.allocs = allocs(func() {
			start := time.Now()
			for t.rate == 0 {
				f(next)
				next++
				t.ops += n
				if d := time.Since(start); d >= long {
					t.rate = float64(t.ops) / d.Seconds()
				}
			}
		})
		return t
	}}
}

// allocs counts what f allocates.
func allocs(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.Mallocs - before.Mallocs
}

// inTurns runs contenders in turns until the benchmark has enough. In a profile
// they have the label "contender".
func inTurns(b *testing.B, all ...*contender) {
	b.Helper()
	labelled := func(c *contender) (t turn) {
		pprof.Do(b.Context(), pprof.Labels("contender", c.name), func(context.Context) { t = c.turn() })
		return t
	}
	if !few() {
		for _, c := range all { // to prepare statements, and the like
			labelled(c)
		}
	}
	ratios := make([][]float64, len(all))
	for b.Loop() {
		var first float64
		for i, c := range all {
			t := labelled(c)
			c.ops += t.ops
			c.took += float64(t.ops) / t.rate
			c.allocs += t.allocs
			if i == 0 {
				first = t.rate
			}
			ratios[i] = append(ratios[i], t.rate/first)
		}
	}
	b.ReportMetric(0, "ns/op")
	perOp := func(c *contender) float64 { return c.took * 1e9 / float64(c.ops) }
	for i, c := range all {
		b.ReportMetric(perOp(c), c.name+"-ns/op")
		b.ReportMetric(float64(c.allocs)/float64(c.ops), c.name+"-allocs/op")
		if i > 0 {
			b.ReportMetric(perOp(all[0])/perOp(c), c.name+"-x")
			b.ReportMetric(quantile(ratios[i], 0.25), c.name+"-low")
			b.ReportMetric(quantile(ratios[i], 0.75), c.name+"-high")
		}
	}
}

// quantile returns the value below which a part of the values lies; it sorts them.
func quantile[T int64 | float64](values []T, part float64) T {
	if len(values) == 0 {
		return 0
	}
	slices.Sort(values)
	return values[min(int(part*float64(len(values))), len(values)-1)]
}

// few reports whether the benchmarks only show that they work.
func few() bool {
	f := flag.Lookup("test.benchtime")
	return testing.Short() || f != nil && len(f.Value.String()) == 2 && strings.HasSuffix(f.Value.String(), "x")
}
