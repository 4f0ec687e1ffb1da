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
