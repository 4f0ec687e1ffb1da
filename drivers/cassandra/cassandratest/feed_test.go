package cassandratest

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gocql/gocql"

	"github.com/go-es/es/driver"
	"github.com/go-es/es/drivers/cassandra"
)

// counter counts the statements of a session.
type counter struct{ all, index atomic.Int64 }

// ObserveQuery counts one.
func (c *counter) ObserveQuery(_ context.Context, q gocql.ObservedQuery) {
	c.all.Add(1)
	if indexed(q, "dirty") || indexed(q, "overdue") {
		c.index.Add(1)
	}
}

// What a store at rest costs, as the driver's page says: however many readers there
// are, four looks a second, each of one query of the log and some of the index.
func TestIdle(t *testing.T) {
	var count counter
	s := observed(t, empty(t, server(t)), &count)
	for i := range 10 {
		must(t, appendTo(t.Context(), s, fmt.Sprint("s", i), driver.NoStream, 1))
	}
	drain(t, s, 10)
	for begin := time.Now(); time.Since(begin) < 3*time.Second; { // marks are cleared, and their slots empty
		drain(t, s, 10)
	}
	count.all.Store(0)
	count.index.Store(0)
	begin := time.Now()
	var readers sync.WaitGroup
	for range 20 {
		readers.Go(func() {
			for time.Since(begin) < 5*time.Second {
				page, err := s.ReadAll(t.Context(), driver.FeedQuery{After: 10})
				if err != nil || len(page.Records) > 0 {
					t.Errorf("a poll at rest: %d records, %v", len(page.Records), err)
					return
				}
				time.Sleep(50 * time.Millisecond)
			}
		})
	}
	readers.Wait()
	looks := 4*time.Since(begin).Seconds() + 4
	t.Logf("20 readers at rest: %d statements in %v, %d of them of the index", count.all.Load(), time.Since(begin).Round(time.Millisecond), count.index.Load())
	if all, index := float64(count.all.Load()), float64(count.index.Load()); index == 0 || index > 7*looks+61 || all-index > looks {
		t.Errorf("20 readers at rest made %.0f statements, %.0f of them of the index, for at most %.0f looks", all, index, looks)
	}
}

// drain reads the feed until it has been given a number of events.
func drain(t testing.TB, s driver.Store, n int) {
	t.Helper()
	var after driver.Position
	for last := time.Now(); int(after) < n; {
		page, err := s.ReadAll(t.Context(), driver.FeedQuery{After: after})
		must(t, err)
		switch {
		case page.Next > after:
			after, last = page.Next, time.Now()
		case time.Since(last) > 90*time.Second:
			t.Fatalf("the feed ends at position %d of %d", after, n)
		default:
			time.Sleep(time.Millisecond)
		}
	}
}

// BenchmarkSequence gives positions to a backlog, each event in a stream of its own,
// by one reader, or by several processes' at once.
func BenchmarkSequence(b *testing.B) {
	const events = 5000
	for _, readers := range []int{1, 2, 4} {
		b.Run(fmt.Sprint("readers=", readers), func(b *testing.B) {
			var spent time.Duration
			for range b.N {
				b.StopTimer()
				dsn := empty(b, server(b))
				w, err := open(b.Context(), dsn)
				must(b, err)
				var writers sync.WaitGroup
				for i := range 16 {
					writers.Go(func() {
						for k := i; k < events; k += 16 {
							must(b, appendTo(b.Context(), w, fmt.Sprint("s", k), driver.NoStream, 1))
						}
					})
				}
				writers.Wait()
				must(b, w.Close())
				var stores []driver.Store
				for range readers {
					s, err := open(b.Context(), dsn)
					must(b, err)
					stores = append(stores, s)
				}
				b.StartTimer()
				begin := time.Now()
				var all sync.WaitGroup
				for _, s := range stores {
					all.Go(func() { drain(b, s, events) })
				}
				all.Wait()
				spent += time.Since(begin)
				b.StopTimer()
				for _, s := range stores {
					must(b, s.Close())
				}
				b.StartTimer()
			}
			b.ReportMetric(events*float64(b.N)/spent.Seconds(), "events/s")
		})
	}
}

// indexed reports whether a query was one of the index of a column.
func indexed(q gocql.ObservedQuery, column string) bool {
	return strings.Contains(q.Statement, "WHERE "+column+" = ?")
}

// observed opens a store whose queries are observed.
func observed(t testing.TB, dsn string, by gocql.QueryObserver) driver.Store {
	t.Helper()
	cfg, err := cassandra.ParseDSN(dsn)
	must(t, err)
	c := *cfg.Cluster
	cfg.Cluster = nil
	c.QueryObserver = by
	session, err := c.CreateSession()
	must(t, err)
	t.Cleanup(session.Close)
	s, err := cassandra.New(t.Context(), session, cfg)
	must(t, err)
	t.Cleanup(func() { s.Close() })
	return s
}
