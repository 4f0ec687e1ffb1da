package sqlite_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/go-es/es/driver"
	"github.com/go-es/es/drivers/sqlite"
)

// An event that is blank, in a stream that was not purged, is told and not left out.
func TestBlankEvent(t *testing.T) {
	file := newFile(t)
	s := open(t, file)
	appendTo(t, s, "s", driver.NoStream, 3)
	execute(t, file, "UPDATE es_events SET type = '' WHERE version = 2")
	for name, read := range map[string]func() error{
		"forward":  func() error { _, err := s.ReadStream(ctx, driver.StreamQuery{Stream: "s"}); return err },
		"backward": func() error { _, err := s.ReadStream(ctx, driver.StreamQuery{Stream: "s", Backward: true}); return err },
		"the feed": func() error { _, err := s.ReadAll(ctx, driver.FeedQuery{}); return err },
		"by type": func() error {
			_, err := s.ReadAll(ctx, driver.FeedQuery{Filter: driver.Filter{Types: []string{"happened"}}})
			return err
		},
		"by prefix": func() error {
			_, err := s.ReadAll(ctx, driver.FeedQuery{Filter: driver.Filter{Prefixes: []string{"other"}}})
			return err
		},
	} {
		if err := read(); !errors.Is(err, driver.ErrCorrupt) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Versions that are no whole numbers do not fit between others.
func TestVersionBetween(t *testing.T) {
	file := newFile(t)
	s := open(t, file)
	rs := records(2, "{}")
	_, err := s.Append(ctx, one("s", driver.NoStream, rs...))
	must(t, err)
	execute(t, file, "INSERT INTO es_events SELECT 9, stream_id, 1.5, (SELECT id FROM es_events WHERE version = 2), type, encoding, time, tags, metadata, data FROM es_events WHERE version = 1",
		"UPDATE es_events SET version = 3 WHERE version = 2", "UPDATE es_events SET version = 2 WHERE version = 3")
	execute(t, file, "INSERT INTO es_events SELECT 10, stream_id, 1.7, id, type, encoding, time, tags, metadata, data FROM es_events WHERE version = 2")
	if _, err := s.Append(ctx, one("s", driver.NoStream, rs...)); err != nil && !errors.Is(err, driver.ErrCorrupt) && !errors.Is(err, driver.ErrConflict) {
		t.Errorf("%v", err)
	}
	appendTo(t, s, "other", driver.NoStream, 1) // the lock is free
}

// Tables that lack something are not those of this version.
func TestTablesNotWhole(t *testing.T) {
	for _, change := range []string{"DROP TABLE es_snapshots", "DROP TABLE es_meta", "ALTER TABLE es_checkpoints RENAME COLUMN revision TO rev"} {
		file := newFile(t)
		s, err := sqlite.Open(ctx, sqlite.Config{Path: file})
		must(t, err)
		must(t, s.Close())
		execute(t, file, change)
		for _, check := range []bool{true, false} {
			if _, err := sqlite.Open(ctx, sqlite.Config{Path: file, CheckOnly: check}); !errors.Is(err, driver.ErrSchema) {
				t.Errorf("%s, check only %t: %v", change, check, err)
			}
		}
	}
}

// A page looks at fewer positions the more prefixes there are: nothing interrupts it.
func TestManyPrefixes(t *testing.T) {
	s := open(t, newFile(t))
	for range 6 {
		appendTo(t, s, "s", driver.Any, 1000)
	}
	prefixes := make([]string, 1000)
	for i := range prefixes {
		prefixes[i] = fmt.Sprint("none-", i)
	}
	q := driver.FeedQuery{Filter: driver.Filter{Prefixes: prefixes}}
	page, err := s.ReadAll(ctx, q)
	if err != nil || page.Next == 0 || page.Next > 500 || page.End {
		t.Errorf("%d prefixes: up to %d, end %t: %v", len(prefixes), page.Next, page.End, err)
	}
	q.Filter.Prefixes = prefixes[:5]
	if page, err = s.ReadAll(ctx, q); err != nil || page.Next != 6000 || !page.End {
		t.Errorf("a few: up to %d, end %t: %v", page.Next, page.End, err)
	}
}
