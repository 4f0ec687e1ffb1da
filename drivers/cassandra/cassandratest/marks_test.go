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

// Readers that look all the time make an index lose entries that are just being
// written. None of the events may stay out of the feed.
func TestLostEntries(t *testing.T) {
	const writers, readers, streams = 16, 6, 1200
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
