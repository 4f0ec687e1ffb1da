package cassandratest

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gocql/gocql"

	"github.com/go-es/es/driver"
)

// found counts the marks that each of the indexes has shown.
type found struct{ dirty, overdue atomic.Int64 }

// ObserveQuery counts those of one query.
func (f *found) ObserveQuery(_ context.Context, q gocql.ObservedQuery) {
	switch {
	case indexed(q, "dirty"):
		f.dirty.Add(int64(q.Rows))
	case indexed(q, "overdue"):
		f.overdue.Add(int64(q.Rows))
	}
}

// Queries make an index lose entries that are just being written. None of the events
// may stay out of the feed.
func TestLostEntries(t *testing.T) {
	const writers, readers, askers, streams = 16, 2, 6, 1200
	dsn := empty(t, server(t))
	w, err := open(t.Context(), dsn)
	must(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var reading, writing sync.WaitGroup
	for range readers {
		s, err := open(t.Context(), dsn)
		must(t, err)
		reading.Go(func() {
			defer s.Close()
			for after := driver.Position(0); ctx.Err() == nil; {
				page, err := s.ReadAll(ctx, driver.FeedQuery{After: after})
				if err != nil && ctx.Err() == nil && !driver.IsTransient(err) {
					t.Errorf("%v", err)
					return
				}
				after = max(after, page.Next)
			}
		})
	}
	for range askers {
		reading.Go(func() {
			text := "SELECT DISTINCT stream, bucket, head, writetime(dirty) FROM " + table(dsn, "events") + " WHERE dirty = ? LIMIT 1000"
			for ctx.Err() == nil {
				admin(t, dsn).Query(text, int(time.Now().Unix()%64)).WithContext(ctx).Consistency(gocql.Quorum).Exec()
			}
		})
	}
	for i := range writers {
		writing.Go(func() {
			for k := range streams {
				must(t, appendTo(t.Context(), w, fmt.Sprint("s", i, "-", k), driver.NoStream, 1))
			}
		})
	}
	writing.Wait()
	must(t, w.Close()) // nobody knows any more what was written
	cancel()
	reading.Wait()

	begin := time.Now()
	var f found
	s := observed(t, dsn, &f)
	var after driver.Position
	var last time.Duration
	for time.Since(begin) < 40*time.Second && after < writers*streams {
		page, err := s.ReadAll(t.Context(), driver.FeedQuery{After: after})
		must(t, err)
		if page.Next > after {
			after, last = page.Next, time.Since(begin)
		}
	}
	t.Logf("%d of %d events, the last one after %v; marks shown by dirty %d, by overdue %d", after, writers*streams, last.Round(time.Millisecond), f.dirty.Load(), f.overdue.Load())
	if after != writers*streams {
		t.Errorf("the feed ends at position %d of %d", after, writers*streams)
	}
}

// Of an event one mark may be lost: the other one brings it into the feed.
func TestOneMark(t *testing.T) {
	for _, lost := range []string{"dirty", "overdue"} {
		t.Run(lost, func(t *testing.T) {
			t.Parallel()
			dsn := empty(t, server(t))
			s, err := open(t.Context(), dsn)
			must(t, err)
			defer s.Close()
			w, err := open(t.Context(), dsn)
			must(t, err)
			must(t, appendTo(t.Context(), w, "s", driver.NoStream, 1))
			must(t, w.Close())
			events := table(dsn, "events")
			var written int64
			must(t, admin(t, dsn).Query("SELECT writetime("+lost+") FROM "+events+" WHERE stream = 's' AND bucket = 0").Consistency(gocql.Quorum).Scan(&written))
			execute(t, dsn, fmt.Sprintf("DELETE %s FROM %s USING TIMESTAMP %d WHERE stream = 's' AND bucket = 0", lost, events, written))
			begin := time.Now()
			drain(t, s, 1)
			if took := time.Since(begin); took > 25*time.Second {
				t.Errorf("the event came after %v", took)
			}
		})
	}
}
