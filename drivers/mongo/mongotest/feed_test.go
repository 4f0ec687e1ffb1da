package mongotest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	client "go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/go-es/es"
	"github.com/go-es/es/driver"
	"github.com/go-es/es/internal/snapshottest"
)

func record(typ string) driver.Record {
	now := time.Now()
	return driver.Record{ID: driver.NewID(now), Type: typ, Encoding: "json", Data: []byte("{}"), Time: now}
}

func records(n int) []driver.Record {
	out := make([]driver.Record, n)
	for i := range out {
		out[i] = record("happened")
	}
	return out
}

func to(stream string, e driver.Expected, rs ...driver.Record) driver.AppendRequest {
	return driver.AppendRequest{Parts: []driver.Part{{Stream: stream, Expected: e, Records: rs}}}
}

func openStore(t testing.TB, dsn string) driver.Store {
	t.Helper()
	s, err := open(t.Context(), dsn)
	must(t, err)
	t.Cleanup(func() { must(t, s.Close()) })
	return s
}

// follow reads the feed to its end, and returns what it has, by stream.
func follow(ctx context.Context, s driver.Store, limit int, want int) (map[string][]driver.Version, error) {
	seen := map[string][]driver.Version{}
	q := driver.FeedQuery{Limit: limit}
	for n := 0; n < want; {
		page, err := s.ReadAll(ctx, q)
		if driver.IsTransient(err) {
			continue
		}
		if err != nil {
			return nil, err
		}
		for i := range page.Records {
			r := &page.Records[i]
			if n++; r.Position != driver.Position(n) {
				return nil, fmt.Errorf("%s/%d is at %d and not at %d", r.Stream, r.Version, r.Position, n)
			}
			seen[r.Stream] = append(seen[r.Stream], r.Version)
		}
		if q.After, q.Seen = page.Next, page.Seen; len(page.Records) == 0 {
			time.Sleep(5 * time.Millisecond)
		}
	}
	return seen, nil
}

// More marks than are listed at once: some streams are long, and many have one
// event. Two clients that both give positions find all of them, while others append.
func TestBacklog(t *testing.T) {
	dsn := data(t, server(t))
	s := openStore(t, dsn).(driver.GroupAppender)
	ctx := t.Context()
	heads := map[string]driver.Version{}
	total := 0
	write := func(stream string, times, n int) {
		for ; times > 0; times-- {
			out := s.AppendGroup(ctx, []driver.AppendRequest{to(stream, driver.Exactly(heads[stream]), records(n)...)})
			must(t, out[0].Err)
			heads[stream] += driver.Version(n)
			total += n
		}
	}
	const short = 2500
	for i := 0; i < short; i += 100 {
		var reqs []driver.AppendRequest
		for j := range 100 {
			reqs = append(reqs, to(fmt.Sprint("short-", i+j), driver.NoStream, record("made")))
		}
		for j, out := range s.AppendGroup(ctx, reqs) {
			must(t, out.Err)
			heads[fmt.Sprint("short-", i+j)] = 1
			total++
		}
	}
	for i := range 4 {
		write(fmt.Sprint("long-", i), 150, 1)
		write(fmt.Sprint("wide-", i), 10, 20)
	}
	done := total + 200
	var wg sync.WaitGroup
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for i, limit := range []int{0, 77} {
		reader := openStore(t, dsn)
		wg.Go(func() {
			seen, err := follow(ctx, reader, limit, done)
			if err != nil {
				t.Errorf("reader %d: %v", i, err)
				return
			}
			for stream, versions := range seen {
				for j, v := range versions {
					if v != driver.Version(j+1) {
						t.Errorf("reader %d: version %d of %s comes after %d others", i, v, stream, j)
						return
					}
				}
			}
		})
	}
	for range 50 { // below the marks that are listed, and above them
		write("long-0", 1, 1)
		write("wide-1", 1, 2)
		write("late", 1, 1)
	}
	wg.Wait()
	for stream := range heads {
		settled, err := driver.Settled(ctx, openedSettler(t, dsn), stream)
		must(t, err)
		if settled != heads[stream] {
			t.Errorf("%s: settled %d of %d", stream, settled, heads[stream])
		}
		break
	}
}

func openedSettler(t testing.TB, dsn string) driver.Store { return openStore(t, dsn) }

// What was lost of the log's commits, or of a stream's middle, is told, and not
// passed.
func TestMissingCommit(t *testing.T) {
	dsn := data(t, server(t))
	s := openStore(t, dsn)
	ctx := t.Context()
	for v := range 3 {
		_, err := s.Append(ctx, to("s", driver.Exactly(driver.Version(v)), record("happened")))
		must(t, err)
	}
	_, err := follow(ctx, s, 0, 3)
	must(t, err)
	must(t, use(dsn, func(ctx context.Context, db *client.Database) error {
		_, err := db.Collection(collection(dsn, "commits")).DeleteOne(ctx, bson.D{{Key: "_id", Value: "s\x000000000000000002"}})
		return err
	}))
	other := openStore(t, dsn)
	if _, err := follow(ctx, other, 0, 3); !errors.Is(err, driver.ErrCorrupt) {
		t.Errorf("the feed: %v", err)
	}
	for _, q := range []driver.StreamQuery{{Stream: "s"}, {Stream: "s", Backward: true}, {Stream: "s", From: 2}} {
		if page, err := other.ReadStream(ctx, q); !errors.Is(err, driver.ErrCorrupt) {
			t.Errorf("%+v: %+v, %v", q, page, err)
		}
	}
}

// A request that arrives when the stream was purged long ago brings nothing back.
func TestLateDuplicate(t *testing.T) {
	dsn := data(t, server(t))
	s := openStore(t, dsn)
	ctx := t.Context()
	req := to("s", driver.NoStream, records(2)...)
	_, err := s.Append(ctx, req)
	must(t, err)
	var late bson.Raw
	commit := bson.D{{Key: "_id", Value: "s\x000000000000000001"}}
	must(t, use(dsn, func(ctx context.Context, db *client.Database) error {
		late, err = db.Collection(collection(dsn, "commits")).FindOne(ctx, commit).Raw()
		return err
	}))
	_, err = s.Delete(ctx, driver.DeleteRequest{Stream: "s", Expected: driver.Any, Mode: driver.Purge, Record: record(driver.TypeDeleted)})
	must(t, err)
	must(t, use(dsn, func(ctx context.Context, db *client.Database) error {
		if _, err := db.Collection(collection(dsn, "commits")).InsertOne(ctx, late); !client.IsDuplicateKeyError(err) {
			return fmt.Errorf("it was inserted: %v", err)
		}
		return nil
	}))
	other := openStore(t, dsn)
	if _, err := other.Append(ctx, req); !errors.Is(err, driver.ErrStreamDeleted) {
		t.Errorf("the append again: %v", err)
	}
	page, err := other.ReadStream(ctx, driver.StreamQuery{Stream: "s", Deleted: true})
	if err != nil || len(page.Records) != 1 || page.Records[0].Version != 3 {
		t.Errorf("what is left: %+v, %v", page, err)
	}
}

// What one process knows of a stream's end is old, and the ids are those of another
// append: at any version that is a second append.
func TestAnyTwice(t *testing.T) {
	dsn := data(t, server(t))
	a, b := openStore(t, dsn), openStore(t, dsn)
	ctx := t.Context()
	_, err := a.Append(ctx, to("s", driver.Any, record("happened")))
	must(t, err)
	req := to("s", driver.Any, record("happened"))
	_, err = b.Append(ctx, req)
	must(t, err)
	got, err := a.Append(ctx, req) // a still takes version 1 for the last
	must(t, err)
	if got.Parts[0].First != 3 {
		t.Errorf("%+v", got)
	}
}

// A poll of a store at rest takes two commands, and there are few of them.
func TestIdlePolls(t *testing.T) {
	dsn := data(t, server(t))
	_, err := openStore(t, dsn).Append(t.Context(), to("s", driver.Any, record("happened")))
	must(t, err)
	s, count := openCounted(t, dsn)
	_, err = follow(t.Context(), s, 0, 1)
	must(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	q := driver.FeedQuery{After: 1}
	for i := 0; ctx.Err() == nil; i++ {
		if ctx.Err() == nil && i == 20 {
			count.Store(0)
		}
		if _, err := s.ReadAll(ctx, q); err != nil && ctx.Err() == nil {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Millisecond)
	}
	if n := count.Load(); n < 4 || n > 2*14 {
		t.Errorf("%d commands in 2.6 seconds, and not two for each of some ten polls", n)
	} else {
		t.Logf("%d commands in 2.6 seconds", n)
	}
}

// An append of which the store knows where its stream ends is one command.
func TestCommands(t *testing.T) {
	dsn := data(t, server(t))
	s, count := openCounted(t, dsn)
	ctx := t.Context()
	for _, step := range []struct {
		name string
		want int64
		do   func() error
	}{
		{"new stream", 1, func() error { _, err := s.Append(ctx, to("s", driver.NoStream, record("a"))); return err }},
		{"known end", 1, func() error { _, err := s.Append(ctx, to("s", 1, record("a"))); return err }},
		{"any, known", 1, func() error { _, err := s.Append(ctx, to("s", driver.Any, record("a"))); return err }},
		{"any, unknown", 2, func() error { _, err := s.Append(ctx, to("other", driver.Any, record("a"))); return err }},
		{"whole stream", 1, func() error { _, err := s.ReadStream(ctx, driver.StreamQuery{Stream: "s"}); return err }},
		{"conflict", 1, func() error {
			_, err := s.Append(ctx, to("s", 2, record("a")))
			if !errors.Is(err, driver.ErrConflict) {
				return fmt.Errorf("no conflict: %v", err)
			}
			return nil
		}},
	} {
		count.Store(0)
		must(t, step.do())
		if n := count.Load(); n != step.want {
			t.Errorf("%s: %d commands, and not %d", step.name, n, step.want)
		}
	}
}

// A load with a snapshot is two finds at the same time.
func TestSnapshotLoad(t *testing.T) {
	dsn := data(t, server(t))
	var r snapshottest.Requests
	writer, err := es.New(openStore(t, dsn))
	must(t, err)
	reader, err := es.New(openTold(t, dsn, r.Begin))
	must(t, err)
	snapshottest.Run(t, &r, writer, reader)
}
