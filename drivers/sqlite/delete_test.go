package sqlite_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-es/es/driver"
)

// holds reports which of the database's files have the bytes in them.
func holds(t testing.TB, file string, what string) (in []string) {
	t.Helper()
	files, err := filepath.Glob(file + "*")
	must(t, err)
	for _, f := range files {
		data, err := os.ReadFile(f)
		must(t, err)
		if n := bytes.Count(data, []byte(what)); n > 0 {
			in = append(in, fmt.Sprintf("%s (%d times)", filepath.Base(f), n))
		}
	}
	return in
}

// After a purge the bytes of the events, and of snapshots old and new, are gone
// from the database's files.
func TestPurgeErases(t *testing.T) {
	file := newFile(t)
	s := open(t, file)
	const secret = "a name that must be forgotten"
	rec := func(i int, size int) driver.Record {
		r := records(1, fmt.Sprintf("%q", secret+strings.Repeat("!", size)))[0]
		r.Type = "registered " + secret
		r.Metadata = []byte(secret)
		r.Tags = []string{secret, "tag"}
		return r
	}
	for i := range 300 {
		_, err := s.Append(ctx, one("person-1", driver.Exactly(driver.Version(i)), rec(i, i*i%9000)))
		must(t, err)
		appendTo(t, s, fmt.Sprintf("other-%d", i%7), driver.Any, 1+i%3)
		if i%10 == 9 {
			must(t, s.SaveSnapshot(ctx, driver.Snapshot{Stream: "person-1", Kind: "k", Version: driver.Version(i + 1), EventID: driver.ID{1}, Encoding: "json", Data: []byte(strings.Repeat(secret, 1+i))}))
		}
	}
	if len(holds(t, file, secret)) == 0 {
		t.Fatal("the test looks for the wrong bytes")
	}
	before := len(feed(t, s))
	got, err := s.Delete(ctx, deletion("person-1", driver.Purge))
	if err != nil || got.First != 301 || got.Position != driver.Position(before+1) {
		t.Fatalf("%+v, %v", got, err)
	}
	if in := holds(t, file, secret); len(in) > 0 {
		t.Errorf("the bytes are still in %v", in)
	}
	must(t, s.Close())
	intact(t, file)
	if in := holds(t, file, secret); len(in) > 0 {
		t.Errorf("after closing, the bytes are in %v", in)
	}
}

// Purged events keep their place: version, position, id.
func TestPurgeKeepsPlaces(t *testing.T) {
	s := open(t, newFile(t))
	recs := records(5, "{}")
	_, err := s.Append(ctx, one("s", driver.NoStream, recs...))
	must(t, err)
	appendTo(t, s, "t", driver.NoStream, 2)
	del := deletion("s", driver.Purge)
	_, err = s.Delete(ctx, del)
	must(t, err)

	for at, id := range map[driver.Position]driver.ID{1: recs[0].ID, 5: recs[4].ID, 8: del.Record.ID} {
		if _, err := s.ReadAll(ctx, driver.FeedQuery{After: 8, Seen: driver.Seen{Position: at, ID: id}}); err != nil {
			t.Errorf("seen at %d: %v", at, err)
		}
	}
	if _, err := s.ReadAll(ctx, driver.FeedQuery{After: 8, Seen: driver.Seen{Position: 5, ID: recs[3].ID}}); !errors.Is(err, driver.ErrCheckpointAhead) {
		t.Error(err)
	}
	for _, filter := range []driver.Filter{{}, {Prefixes: []string{"s", "t"}}, {Types: []string{"happened", driver.TypeDeleted}}} {
		var got []driver.Position
		for after := driver.Position(0); ; {
			page, err := s.ReadAll(ctx, driver.FeedQuery{After: after, Limit: 2, Filter: filter})
			must(t, err)
			for _, r := range page.Records {
				got = append(got, r.Position)
			}
			if after = page.Next; page.End {
				break
			}
		}
		if fmt.Sprint(got) != "[6 7 8]" {
			t.Errorf("%+v: positions %v", filter, got)
		}
	}
	for q, want := range map[driver.StreamQuery]int{
		{Stream: "s", Deleted: true}:                          1,
		{Stream: "s", Deleted: true, From: 3}:                 1,
		{Stream: "s", Deleted: true, From: 7}:                 0,
		{Stream: "s", Deleted: true, Backward: true}:          1,
		{Stream: "s", Deleted: true, Backward: true, From: 6}: 1,
		{Stream: "s", Deleted: true, Backward: true, From: 5}: 0,
	} {
		page, err := s.ReadStream(ctx, q)
		if err != nil || len(page.Records) != want || !page.End || page.Head != 6 {
			t.Errorf("%+v: %+v, %v", q, page, err)
		}
	}
}

// A context that ends while a purge runs leaves everything as it was.
func TestPurgeCancelled(t *testing.T) {
	s := open(t, newFile(t))
	for i := range 3 {
		appendTo(t, s, "s", driver.Exactly(driver.Version(i*2000)), 2000)
	}
	ends := &endsAfter{Context: ctx, n: 4}
	if _, err := s.Delete(ends, deletion("s", driver.Purge)); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if n := len(feed(t, s)); n != 6000 {
		t.Errorf("%d events", n)
	}
	if got := appendTo(t, s, "s", 6000, 1); got.Position != 6001 {
		t.Errorf("%+v", got)
	}
}

// endsAfter is a context that ends when it was asked n times.
type endsAfter struct {
	context.Context
	n int
}

func (c *endsAfter) Err() error {
	if c.n--; c.n < 0 {
		return context.Canceled
	}
	return nil
}
