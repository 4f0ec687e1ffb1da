package mysqltest

import (
	"errors"
	"testing"

	"github.com/go-es/es/driver"
)

// A row that is gone is noticed by who reads its stream, also from the middle and
// from the end, and a stream whose last row is damaged takes no other with it.
func TestCorrupt(t *testing.T) {
	onBoth(t, func(t *testing.T, server string) {
		dsn := newDatabase(t, server)
		s := openStore(t, dsn)
		ctx := t.Context()
		_, err := s.Append(ctx, to("gone", driver.NoStream, record("1"), record("2"), record("3"), record("4")))
		must(t, err)
		_, err = s.Append(ctx, to("damaged", driver.NoStream, record("1"), record("2")))
		must(t, err)
		execute(t, dsn, "DELETE FROM es_events WHERE stream = 'gone' AND version = 3", "UPDATE es_events SET kind = 9 WHERE stream = 'damaged' AND version = 2")
		for _, q := range []driver.StreamQuery{{}, {From: 2}, {From: 3}, {Backward: true}, {From: 3, Backward: true}, {Limit: 3}} {
			q.Stream = "gone"
			if _, err := s.ReadStream(ctx, q); !errors.Is(err, driver.ErrCorrupt) {
				t.Errorf("%+v: %v, want ErrCorrupt", q, err)
			}
		}
		fresh := openStore(t, dsn) // which has no guess
		out := fresh.AppendGroup(ctx, []driver.AppendRequest{to("damaged", driver.Any, record("x")), to("other", driver.Any, record("1"))})
		if !errors.Is(out[0].Err, driver.ErrCorrupt) || out[1].Err != nil {
			t.Errorf("a group with a damaged stream: %v, %v", out[0].Err, out[1].Err)
		}
		// A reader that has passed an event before it was damaged goes on.
		first, err := s.ReadAll(ctx, driver.FeedQuery{Limit: 1})
		must(t, err)
		execute(t, dsn, "UPDATE es_events SET type = '' WHERE stream = 'gone' AND version = 1")
		next, err := s.ReadAll(ctx, driver.FeedQuery{After: first.Next, Seen: first.Seen, Limit: 1})
		if err != nil || len(next.Records) != 1 || next.Records[0].Version != 2 {
			t.Errorf("behind an event that was damaged after it was read: %+v, %v", next, err)
		}
		if _, err := s.ReadAll(ctx, driver.FeedQuery{}); !errors.Is(err, driver.ErrCorrupt) {
			t.Errorf("a damaged event in the feed: %v", err)
		}
		if _, err := fresh.Append(ctx, to("damaged", driver.Exactly(2), record("x"))); !errors.Is(err, driver.ErrCorrupt) {
			t.Errorf("an append to a damaged stream: %v", err)
		}
	})
}
