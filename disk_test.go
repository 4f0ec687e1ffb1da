package es_test

import (
	"bytes"
	"context"
	"fmt"
	"testing"

	"github.com/go-es/es"
	"github.com/go-es/es/driver"
	"github.com/go-es/es/keys"
)

// edited is a driver store whose records and snapshots were changed behind its
// back, as they are when it returns them.
type edited struct {
	driver.Store
	record   func(*driver.Record)
	snapshot func(*driver.Snapshot)
}

func (e edited) edit(records []driver.Record) {
	for i := range records {
		if e.record != nil {
			e.record(&records[i])
		}
	}
}

func (e edited) ReadStream(ctx context.Context, q driver.StreamQuery) (driver.StreamPage, error) {
	page, err := e.Store.ReadStream(ctx, q)
	e.edit(page.Records)
	return page, err
}

func (e edited) ReadAll(ctx context.Context, q driver.FeedQuery) (driver.FeedPage, error) {
	page, err := e.Store.ReadAll(ctx, q)
	e.edit(page.Records)
	return page, err
}

func (e edited) LoadSnapshot(ctx context.Context, stream, kind string) (driver.Snapshot, error) {
	s, err := e.Store.(driver.SnapshotStore).LoadSnapshot(ctx, stream, kind)
	if err == nil && s.Version != 0 && e.snapshot != nil {
		e.snapshot(&s)
	}
	return s, err
}

func (e edited) SaveSnapshot(ctx context.Context, s driver.Snapshot) error {
	return e.Store.(driver.SnapshotStore).SaveSnapshot(ctx, s)
}

func (e edited) DeleteSnapshot(ctx context.Context, stream, kind string) error {
	return e.Store.(driver.SnapshotStore).DeleteSnapshot(ctx, stream, kind)
}

// onDisk returns all records as the driver has them.
func onDisk(t testing.TB, drv driver.Store) (records []driver.Record) {
	t.Helper()
	for q := (driver.FeedQuery{}); ; {
		page, err := drv.ReadAll(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		records = append(records, page.Records...)
		if page.End {
			return records
		}
		q.After = page.Next
	}
}

// snapshotOnDisk returns a snapshot as the driver has it.
func snapshotOnDisk(t testing.TB, drv driver.Store, stream, kind string) driver.Snapshot {
	t.Helper()
	s, err := drv.(driver.SnapshotStore).LoadSnapshot(t.Context(), stream, kind)
	if err != nil {
		t.Fatal(err)
	}
	if s.Version == 0 {
		t.Fatalf("there is no snapshot %q of %q", kind, stream)
	}
	return s
}

// showsIn reports whether a text stands anywhere in what the driver has of events
// and of the snapshot "k" of each of their streams.
func showsIn(t testing.TB, drv driver.Store, text string) bool {
	t.Helper()
	var all bytes.Buffer
	for _, r := range onDisk(t, drv) {
		s, err := drv.(driver.SnapshotStore).LoadSnapshot(t.Context(), r.Stream, "k")
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&all, "%s\n%s\n%s\n%s\n%q\n%s\n%s\n%s\n", r.Stream, r.Type, r.Encoding, r.Data, r.Tags, r.Metadata, s.Data, s.Encoding)
	}
	return bytes.Contains(all.Bytes(), []byte(text))
}

// newRing returns a key ring of one new key.
func newRing(t testing.TB) *keys.Ring {
	t.Helper()
	r, err := keys.NewRing(keys.GenerateKey())
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// renamedCompression is a compression under another name.
type renamedCompression struct {
	es.Compression
	name string
}

func (c renamedCompression) Name() string { return c.name }
