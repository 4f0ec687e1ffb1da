// Package readerstest measures readers that give positions at the same time, on a
// database whose feed is made by them.
package readerstest

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/go-es/es/driver"
)

// events is how many each run gives positions to: one an append, ten a stream.
const events = 5000

// Bench writes a backlog and lets one client read it, then two, then four, each with a
// sequencer of its own, in turns. It prints how many events a second are given
// positions and read, and how that compares with one client. Data returns the name of
// empty data.
func Bench(b *testing.B, data func() string, open func(ctx context.Context, dsn string) (driver.Store, error)) {
	rates := map[int][]float64{}
	clients := []int{1, 2, 4}
	for b.Loop() {
		for _, n := range clients {
			rates[n] = append(rates[n], drain(b, n, data(), open))
		}
	}
	one := median(rates[1])
	for _, n := range clients {
		b.ReportMetric(median(rates[n]), fmt.Sprintf("events/s-of-%d", n))
		if n > 1 {
			b.ReportMetric(median(rates[n])/one, fmt.Sprintf("%d/1", n))
		}
	}
	b.ReportMetric(0, "ns/op")
}

func median(all []float64) float64 {
	slices.Sort(all)
	return all[len(all)/2]
}

// drain returns how many events a second n clients read, until all have read all.
func drain(b *testing.B, n int, dsn string, open func(ctx context.Context, dsn string) (driver.Store, error)) float64 {
	ctx := b.Context()
	must := func(err error) {
		if err != nil {
			b.Error(err)
		}
	}
	opened := func() driver.Store {
		s, err := open(ctx, dsn)
		if err != nil {
			b.Fatal(err)
		}
		return s
	}
	s := opened()
	var wait sync.WaitGroup
	const writers = 16
	for w := range writers {
		wait.Go(func() {
			for i := w; i < events; i += writers {
				now := time.Now()
				r := driver.Record{ID: driver.NewID(now), Type: "happened", Encoding: "json", Data: []byte(`{"amount":1}`), Time: now}
				_, err := s.Append(ctx, driver.AppendRequest{Parts: []driver.Part{{
					Stream: fmt.Sprint(w, "-", i/writers/10), Expected: driver.Any, Records: []driver.Record{r},
				}}})
				must(err)
			}
		})
	}
	wait.Wait()
	must(s.Close())
	readers := make([]driver.Store, n)
	for i := range readers {
		readers[i] = opened()
	}
	begin := time.Now()
	for _, s := range readers {
		wait.Go(func() {
			pause := time.Duration(0)
			for q := (driver.FeedQuery{}); q.After < events; {
				page, err := s.ReadAll(ctx, q)
				if err != nil && !driver.IsTransient(err) {
					b.Error(err)
					return
				}
				if pause = min(max(2*pause, 10*time.Millisecond), 500*time.Millisecond); err == nil && page.Next > q.After { // as es does it
					pause = 0
					q.After, q.Seen = page.Next, page.Seen
				}
				time.Sleep(pause)
			}
		})
	}
	wait.Wait()
	took := time.Since(begin)
	for _, s := range readers {
		must(s.Close())
	}
	return events / took.Seconds()
}
