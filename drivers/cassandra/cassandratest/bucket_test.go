package cassandratest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gocql/gocql"

	"github.com/go-es/es/driver"
	"github.com/go-es/es/drivers/cassandra"
)

func record(kind string) driver.Record {
	now := time.Now()
	return driver.Record{ID: driver.NewID(now), Type: kind, Encoding: "json", Data: []byte("{}"), Time: now}
}

func appendTo(ctx context.Context, s driver.Store, stream string, e driver.Expected, n int) error {
	records := make([]driver.Record, n)
	for i := range records {
		records[i] = record("added")
	}
	_, err := s.Append(ctx, driver.AppendRequest{Parts: []driver.Part{{Stream: stream, Expected: e, Records: records}}})
	return err
}

// At the border of a bucket a delete races with the append that begins the next
// one. If the event that closes the stream went to the bucket that is full, both
// would succeed.
func TestDeleteAtBorder(t *testing.T) {
	const bucket = 16
	dsn := empty(t, server(t), fmt.Sprint("bucket=", bucket))
	ctx := t.Context()
	var clients [2]driver.Store
	for i := range clients {
		s, err := open(ctx, dsn)
		must(t, err)
		defer s.Close()
		clients[i] = s
	}
	deletes := 0
	for round := range 40 {
		stream := fmt.Sprint("s", round)
		for v := 0; v < bucket; v += 8 {
			must(t, appendTo(ctx, clients[0], stream, driver.Exactly(driver.Version(v)), 8))
		}
		var appended, closed error
		var both sync.WaitGroup
		both.Go(func() {
			time.Sleep(time.Duration(round%8) * time.Millisecond)
			appended = appendTo(ctx, clients[0], stream, bucket, 1)
		})
		both.Go(func() {
			_, closed = clients[1].Delete(ctx, driver.DeleteRequest{Stream: stream, Expected: bucket, Record: record(driver.TypeDeleted)})
		})
		both.Wait()
		if (appended == nil) == (closed == nil) {
			t.Fatalf("stream %s at the border: the append: %v; the delete: %v", stream, appended, closed)
		}
		if closed == nil {
			deletes++
			if !errors.Is(appended, driver.ErrStreamDeleted) {
				t.Errorf("an append after the delete: %v", appended)
			}
		} else if !errors.Is(closed, driver.ErrConflict) {
			t.Errorf("a delete after the append: %v", closed)
		}
		page, err := clients[1].ReadStream(ctx, driver.StreamQuery{Stream: stream, Deleted: true})
		if err != nil || page.Head != bucket+1 || len(page.Records) != bucket+1 {
			t.Fatalf("stream %s has %d records, head %d: %v", stream, len(page.Records), page.Head, err)
		}
	}
	t.Logf("%d of 40 streams were deleted", deletes)
}

// The event that closes a stream is the last one of its bucket: the next bucket
// never begins.
func TestClosedAtBorder(t *testing.T) {
	const bucket = 16
	dsn := empty(t, server(t), fmt.Sprint("bucket=", bucket))
	ctx := t.Context()
	s, err := open(ctx, dsn)
	must(t, err)
	defer s.Close()
	must(t, appendTo(ctx, s, "s", driver.NoStream, bucket-1))
	_, err = s.Delete(ctx, driver.DeleteRequest{Stream: "s", Expected: driver.Any, Record: record(driver.TypeDeleted)})
	must(t, err)
	s.ReadStream(ctx, driver.StreamQuery{Stream: "s", Deleted: true})
	fresh, err := open(ctx, dsn)
	must(t, err)
	defer fresh.Close()
	for _, c := range []driver.Store{s, fresh, s} {
		for _, e := range []driver.Expected{bucket, driver.Any, driver.Exists, bucket - 1, bucket + 1} {
			if err := appendTo(ctx, c, "s", e, 1); !errors.Is(err, driver.ErrStreamDeleted) {
				t.Errorf("an append at %v to a closed stream: %v", e, err)
			}
		}
	}
}

// A client that knows nothing finds the end of a stream of many buckets, from all
// directions, and writes there.
func TestManyBuckets(t *testing.T) {
	const bucket, events = 16, 1000
	dsn := empty(t, server(t), fmt.Sprint("bucket=", bucket))
	ctx := t.Context()
	s, err := open(ctx, dsn)
	must(t, err)
	defer s.Close()
	for v, n := 0, 1; v < events; n = n%bucket + 1 { // commits of all lengths
		n = min(n, events-v)
		must(t, appendTo(ctx, s, "long", driver.Exactly(driver.Version(v)), n))
		v += n
	}
	for _, test := range []struct {
		name string
		do   func(s driver.Store) (driver.StreamPage, error)
		n    int
	}{
		{"forward", func(s driver.Store) (driver.StreamPage, error) {
			return s.ReadStream(ctx, driver.StreamQuery{Stream: "long"})
		}, events},
		{"backward", func(s driver.Store) (driver.StreamPage, error) {
			return s.ReadStream(ctx, driver.StreamQuery{Stream: "long", Backward: true})
		}, events},
		{"the last", func(s driver.Store) (driver.StreamPage, error) {
			return s.ReadStream(ctx, driver.StreamQuery{Stream: "long", Backward: true, Limit: 1})
		}, 1},
		{"beyond", func(s driver.Store) (driver.StreamPage, error) {
			return s.ReadStream(ctx, driver.StreamQuery{Stream: "long", From: events + 1})
		}, 0},
	} {
		fresh, err := open(ctx, dsn)
		must(t, err)
		page, err := test.do(fresh)
		if err != nil || len(page.Records) != test.n || page.Head != events {
			t.Errorf("%s: %d records, head %d: %v", test.name, len(page.Records), page.Head, err)
		}
		must(t, fresh.Close())
	}
	for from := driver.Version(1); from <= events; from += 7 {
		for _, backward := range []bool{false, true} {
			page, err := s.ReadStream(ctx, driver.StreamQuery{Stream: "long", From: from, Backward: backward, Limit: 3})
			if err != nil || len(page.Records) == 0 || page.Records[0].Version != from {
				t.Fatalf("from %d, backward %t: %d records: %v", from, backward, len(page.Records), err)
			}
		}
	}
	for _, e := range []driver.Expected{driver.Any, events + 1, driver.Exists} {
		fresh, err := open(ctx, dsn)
		must(t, err)
		if e == driver.Exists {
			e = events + 2
			if err := appendTo(ctx, fresh, "long", 500, 1); !errors.Is(err, driver.ErrConflict) {
				t.Errorf("an append at version 500: %v", err)
			}
		}
		must(t, appendTo(ctx, fresh, "long", e, 1))
		must(t, fresh.Close())
	}
	fresh, err := open(ctx, dsn)
	must(t, err)
	defer fresh.Close()
	_, err = fresh.Delete(ctx, driver.DeleteRequest{Stream: "long", Expected: driver.Any, Mode: driver.Purge, Record: record(driver.TypeDeleted)})
	must(t, err)
	for _, backward := range []bool{false, true} {
		page, err := s.ReadStream(ctx, driver.StreamQuery{Stream: "long", Backward: backward, Deleted: true})
		if err != nil || len(page.Records) != 1 || page.Records[0].Version != events+4 {
			t.Errorf("after a purge, backward %t: %d records: %v", backward, len(page.Records), err)
		}
	}
}

// observer is called after each query, before its answer is given.
type observer func(q gocql.ObservedQuery)

func (f observer) ObserveQuery(_ context.Context, q gocql.ObservedQuery) { f(q) }

// An append that is refused, at a version to which the stream grows while the refusal
// is looked into, is made.
func TestGrowsMeanwhile(t *testing.T) {
	const bucket = 16
	dsn := empty(t, server(t), fmt.Sprint("bucket=", bucket))
	ctx := t.Context()
	other, err := open(ctx, dsn)
	must(t, err)
	defer other.Close()
	must(t, appendTo(ctx, other, "s", driver.NoStream, 8))

	cfg, err := cassandra.ParseDSN(dsn)
	must(t, err)
	var grow sync.Once
	cfg.Cluster.QueryObserver = observer(func(q gocql.ObservedQuery) {
		if strings.HasPrefix(q.Statement, "SELECT DISTINCT") && len(q.Values) == 2 && fmt.Sprint(q.Values...) == "s1" {
			grow.Do(func() {
				if err := errors.Join(appendTo(ctx, other, "s", 8, 16), appendTo(ctx, other, "s", 24, 8)); err != nil {
					t.Error(err)
				}
			})
		}
	})
	s, err := cassandra.Open(ctx, cfg)
	must(t, err)
	defer s.Close()
	must(t, appendTo(ctx, s, "s", 32, 3))
	page, err := other.ReadStream(ctx, driver.StreamQuery{Stream: "s"})
	must(t, err)
	if page.Head != 35 || len(page.Records) != 35 {
		t.Errorf("head %d, %d records", page.Head, len(page.Records))
	}
	grow.Do(func() { t.Error("the stream did not grow between") })
}

// The event at a version is there, and its bucket says nothing of it; a register has no
// version.
func TestRowsNotWhole(t *testing.T) {
	dsn := empty(t, server(t))
	s, err := open(t.Context(), dsn)
	must(t, err)
	defer s.Close()
	execute(t, dsn, fmt.Sprintf("INSERT INTO %s (stream, bucket, first, id, data) VALUES ('s', 0, 1, 0x00, 0x00)", table(dsn, "events")))
	for _, e := range []driver.Expected{driver.NoStream, driver.Any} {
		if err := appendTo(t.Context(), s, "s", e, 1); !errors.Is(err, driver.ErrCorrupt) {
			t.Errorf("an append at %v: %v", e, err)
		}
	}
	execute(t, dsn, fmt.Sprintf("INSERT INTO %s (shard, stream) VALUES (3, 's')", table(dsn, "seqv")))
	if _, err := s.ListStreams(t.Context(), driver.ListQuery{}); !errors.Is(err, driver.ErrCorrupt) {
		t.Errorf("a listing: %v", err)
	}
}

// What a replica brings back after gc_grace does not make the snapshot of a closed
// stream come back.
func TestSnapshotStaysDeleted(t *testing.T) {
	dsn := empty(t, server(t))
	ctx := t.Context()
	opened, err := open(ctx, dsn)
	must(t, err)
	defer opened.Close()
	s := opened.(driver.SnapshotStore)
	snap := driver.Snapshot{Stream: "s", Kind: "k", Version: 1, EventID: driver.NewID(time.Now()), Encoding: "json", Data: []byte("{}")}
	must(t, appendTo(ctx, opened, "s", driver.NoStream, 1))
	must(t, s.SaveSnapshot(ctx, snap))
	var data []byte
	must(t, admin(t, dsn).Query("SELECT data FROM "+table(dsn, "snapshots")+" WHERE stream = 's'").Scan(&data))
	_, err = opened.Delete(ctx, driver.DeleteRequest{Stream: "s", Expected: driver.Any, Mode: driver.Purge, Record: record(driver.TypeDeleted)})
	must(t, err)
	// As if the deletion had been forgotten: above it.
	back := fmt.Sprintf("INSERT INTO %s (stream, kind, generation, data) VALUES ('s', 'k', 0, 0x%x) USING TIMESTAMP %d", table(dsn, "snapshots"), data, int64(math.MaxInt64))
	execute(t, dsn, back)
	var rows int
	must(t, admin(t, dsn).Query("SELECT count(*) FROM "+table(dsn, "snapshots")+" WHERE stream = 's' AND kind = 'k'").Scan(&rows))
	if rows != 1 {
		t.Fatalf("%d rows: the deletion covers what was brought back", rows)
	}
	if got, err := s.LoadSnapshot(ctx, "s", "k"); err != nil || got.Version != 0 {
		t.Errorf("a snapshot at version %d came back: %v", got.Version, err)
	}
}

// A store that works in one data centre asks no node of another one, also when it has
// no others.
func TestLocal(t *testing.T) {
	dsn := with(fresh(t, server(t)), "consistency=local_quorum", "serial=local_serial")
	ctx := t.Context()
	s, err := open(ctx, with(dsn, "dc=datacenter1"))
	must(t, err)
	must(t, appendTo(ctx, s, "s", driver.NoStream, 1))
	must(t, s.Close())
	if _, err = open(ctx, with(dsn, "dc=elsewhere")); err == nil || !strings.Contains(err.Error(), `no node of data centre "elsewhere"`) {
		t.Errorf("another data centre: %v", err)
	}
}
