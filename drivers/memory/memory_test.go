package memory_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/go-es/es/driver"
	"github.com/go-es/es/drivers/memory"
)

func open(t *testing.T, dsn string) (driver.Store, error) {
	t.Helper()
	d, ok := driver.Lookup("memory")
	if !ok {
		t.Fatal("the driver is not registered")
	}
	s, err := d.Open(t.Context(), dsn)
	if err == nil {
		t.Cleanup(func() { s.Close() })
	}
	return s, err
}

func TestDataSourceNames(t *testing.T) {
	for _, dsn := range []string{"", "a", "Orders-2.test_1", strings.Repeat("n", driver.MaxNameBytes)} {
		if _, err := open(t, dsn); err != nil {
			t.Errorf("%.20q: %v", dsn, err)
		}
	}
	for _, dsn := range []string{" ", "memory://a", "a?limit=1", "a b", "é", "a\x00", strings.Repeat("n", driver.MaxNameBytes+1)} {
		_, err := open(t, dsn)
		if err == nil || !strings.HasPrefix(err.Error(), "es: memory: the data source name ") {
			t.Errorf("%.20q: error %v", dsn, err)
		}
	}
}

func TestWhoSharesData(t *testing.T) {
	write := func(s driver.Store) {
		t.Helper()
		rec := driver.Record{ID: driver.NewID(time.Now()), Type: "t", Encoding: "json", Time: time.Now()}
		_, err := s.Append(t.Context(), driver.AppendRequest{Parts: []driver.Part{{Stream: "s", Expected: driver.Any, Records: []driver.Record{rec}}}})
		if err != nil {
			t.Fatal(err)
		}
	}
	head := func(s driver.Store) driver.Position {
		t.Helper()
		p, err := s.Head(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	must := func(s driver.Store, err error) driver.Store {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	a, b, other := must(open(t, "who")), must(open(t, "who")), must(open(t, "Who"))
	private, private2, made := must(open(t, "")), must(open(t, "")), memory.New()
	write(a)
	write(private)
	for _, c := range []struct {
		name  string
		store driver.Store
		want  driver.Position
	}{
		{"the same name", b, 1}, {"another name", other, 0}, {"no name", private, 1}, {"no name again", private2, 0}, {"New", made, 0},
	} {
		if got := head(c.store); got != c.want {
			t.Errorf("%s: head %d, want %d", c.name, got, c.want)
		}
	}
	a.Close()
	a.Close() // counts once
	if head(b) != 1 || head(must(open(t, "who"))) != 1 {
		t.Error("the data went with the first of its stores")
	}
}

func TestDataGoesWithTheLastStore(t *testing.T) {
	a, err := open(t, "gone")
	if err != nil {
		t.Fatal(err)
	}
	b, err := open(t, "gone")
	if err != nil {
		t.Fatal(err)
	}
	cp := driver.Checkpoint{Name: "c", Revision: driver.NewID(time.Now())}
	if err := a.(driver.CheckpointStore).SaveCheckpoint(t.Context(), cp, driver.Revision{}); err != nil {
		t.Fatal(err)
	}
	a.Close()
	b.Close()
	c, err := open(t, "gone")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := c.(driver.CheckpointStore).LoadCheckpoint(t.Context(), "c"); err != nil || got != (driver.Checkpoint{}) {
		t.Errorf("LoadCheckpoint = %+v, %v", got, err)
	}
}

func TestOpenWithAnEndedContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	d, _ := driver.Lookup("memory")
	if _, err := d.Open(ctx, "ended"); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

// A call looks at a part of the feed, and holds no lock for long, however few
// events match.
func TestFilterOverALongStretch(t *testing.T) {
	s := memory.New()
	defer s.Close()
	const n = 60_000
	for done := 0; done < n; done += 1000 {
		recs := make([]driver.Record, 1000)
		for i := range recs {
			recs[i] = driver.Record{ID: driver.NewID(time.Now()), Type: "common", Encoding: "json", Time: time.Now()}
		}
		if done+1000 == n {
			recs[999].Type = "rare"
		}
		_, err := s.Append(t.Context(), driver.AppendRequest{Parts: []driver.Part{{Stream: "long", Expected: driver.Any, Records: recs}}})
		if err != nil {
			t.Fatal(err)
		}
	}
	q := driver.FeedQuery{Filter: driver.Filter{Types: []string{"rare"}}}
	var found []driver.Position
	for pages := 1; ; pages++ {
		page, err := s.ReadAll(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range page.Records {
			found = append(found, r.Position)
		}
		if page.End {
			if pages < 2 || page.Next != n {
				t.Errorf("End on page %d, at %d", pages, page.Next)
			}
			break
		}
		if page.Next <= q.After {
			t.Fatalf("page %d does not move Next from %d", pages, q.After)
		}
		q.After = page.Next
	}
	if len(found) != 1 || found[0] != n {
		t.Errorf("found %v, want [%d]", found, n)
	}
}

// A page has some MiB at most, and one event at least.
func TestPagesOfLargeEvents(t *testing.T) {
	s := memory.New()
	defer s.Close()
	rec := func() driver.Record {
		return driver.Record{ID: driver.NewID(time.Now()), Type: "t", Encoding: "e", Time: time.Now(), Data: make([]byte, 1<<20-100)}
	}
	for range 10 {
		if _, err := s.Append(t.Context(), driver.AppendRequest{Parts: []driver.Part{{Stream: "s", Expected: driver.Any, Records: []driver.Record{rec()}}}}); err != nil {
			t.Fatal(err)
		}
	}
	page, err := s.ReadStream(t.Context(), driver.StreamQuery{Stream: "s"})
	if err != nil || len(page.Records) == 0 || len(page.Records) == 10 || page.End {
		t.Errorf("a page of a stream has %d of 10 MiB, End %t, error %v", len(page.Records), page.End, err)
	}
	feed, err := s.ReadAll(t.Context(), driver.FeedQuery{})
	if err != nil || len(feed.Records) == 0 || len(feed.Records) == 10 || feed.End {
		t.Errorf("a page of the feed has %d of 10 MiB, End %t, error %v", len(feed.Records), feed.End, err)
	}
}
