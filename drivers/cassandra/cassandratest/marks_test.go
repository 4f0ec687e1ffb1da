package cassandratest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gocql/gocql"

	"github.com/go-es/es/driver"
)

// found counts the marks that each of the indexes has shown, and the queries of overdue
// about seconds that may be being written.
type found struct{ dirty, overdue, wrong atomic.Int64 }

// ObserveQuery looks at one query.
func (f *found) ObserveQuery(_ context.Context, q gocql.ObservedQuery) {
	switch {
	case indexed(q, "dirty"):
		f.dirty.Add(int64(q.Rows))
	case indexed(q, "overdue"):
		f.overdue.Add(int64(q.Rows))
		for d := -6; d <= 6; d++ {
			if q.Values[0] == any(slotOf(q.Start.Add(time.Duration(d)*time.Second))) {
				f.wrong.Add(1)
			}
		}
	}
}

// slotOf is that of a mark which is written now.
func slotOf(now time.Time) int { return int(now.Unix() % 61) }

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
				if page.Next == after {
					time.Sleep(5 * time.Millisecond)
				}
				after = max(after, page.Next)
			}
		})
	}
	for range askers {
		reading.Go(func() {
			text := "SELECT DISTINCT stream, bucket, head, writetime(dirty) FROM " + table(dsn, "events") + " WHERE dirty = ? LIMIT 1000"
			for ctx.Err() == nil {
				admin(t, dsn).Query(text, slotOf(time.Now())).WithContext(ctx).Consistency(gocql.Quorum).Exec()
			}
		})
	}
	for i := range writers {
		writing.Go(func() {
			for k := range streams {
				part := driver.Part{Stream: fmt.Sprint("s", i, "-", k), Expected: driver.NoStream, Records: []driver.Record{record("added")}}
				err := again(func() error {
					_, err := w.Append(t.Context(), driver.AppendRequest{Parts: []driver.Part{part}})
					if errors.Is(err, driver.ErrUnknownOutcome) {
						err = driver.Transient(err) // the same ids at the same version: it is told
					}
					return err
				})
				if err != nil {
					t.Errorf("Append: %v", err)
					return
				}
			}
		})
	}
	writing.Wait()
	must(t, w.Close()) // nobody knows any more what was written
	cancel()
	reading.Wait()

	var f found
	s := observed(t, dsn, &f)
	begin := time.Now()
	drain(t, s, writers*streams)
	t.Logf("the last event came after %v; marks shown by dirty %d, by overdue %d", time.Since(begin).Round(time.Millisecond), f.dirty.Load(), f.overdue.Load())
	if n := f.wrong.Load(); n > 0 {
		t.Errorf("overdue was asked %d times about seconds that may be being written", n)
	}
}

// Of an event one mark may be lost: the other one brings it into the feed.
func TestOneMark(t *testing.T) {
	for _, lost := range []string{"dirty", "overdue"} {
		t.Run(lost, func(t *testing.T) {
			dsn := empty(t, server(t))
			var f found
			s := observed(t, dsn, &f)
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
			t.Logf("the event came after %v", time.Since(begin).Round(time.Millisecond))
			if by, other := f.dirty.Load(), f.overdue.Load(); lost == "dirty" && by > 0 || lost == "overdue" && other > 0 {
				t.Errorf("%s was lost; dirty showed %d marks, overdue %d", lost, by, other)
			}
			if n := f.wrong.Load(); n > 0 {
				t.Errorf("overdue was asked %d times about seconds that may be being written", n)
			}
		})
	}
}
