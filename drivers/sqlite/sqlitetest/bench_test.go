package sqlitetest

import (
	"context"
	"database/sql"
	"fmt"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-es/es/driver"
)

// The benchmarks put the driver beside code that a careful programmer writes by
// hand on mattn/go-sqlite3, with the same durability: one statement an event,
// which relies on UNIQUE(stream, version) for the expected version.

const rawOptions = "?_journal_mode=WAL&_synchronous=FULL&_busy_timeout=5000&_txlock=immediate"

var payload = []byte(`{"account":"4b2c8a6e","amount":1250,"currency":"EUR","reference":"invoice 2024-0117","note":"` + string(make200()) + `"}`)

func make200() []byte {
	b := make([]byte, 200)
	for i := range b {
		b[i] = 'a' + byte(i%26)
	}
	return b
}

type rawStore struct {
	db                          *sql.DB
	insert, readStream, readAll *sql.Stmt
}

func openRaw(b *testing.B) *rawStore {
	b.Helper()
	db, err := sql.Open("sqlite3", "file:"+filepath.Join(b.TempDir(), "raw.db")+rawOptions)
	must(b, err)
	db.SetMaxOpenConns(1)
	_, err = db.Exec(`CREATE TABLE events (
		position INTEGER PRIMARY KEY AUTOINCREMENT, stream TEXT NOT NULL, version INTEGER NOT NULL,
		id BLOB NOT NULL, type TEXT NOT NULL, encoding TEXT NOT NULL, time INTEGER NOT NULL,
		metadata BLOB, data BLOB NOT NULL, UNIQUE (stream, version))`)
	must(b, err)
	r := &rawStore{db: db}
	for text, st := range map[string]**sql.Stmt{
		`INSERT INTO events (stream, version, id, type, encoding, time, metadata, data) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`:                   &r.insert,
		`SELECT position, version, id, type, encoding, time, metadata, data FROM events WHERE stream = ? AND version > ? ORDER BY version`: &r.readStream,
		`SELECT position, stream, version, id, type, encoding, time, metadata, data FROM events WHERE position > ? ORDER BY position`:      &r.readAll,
	} {
		*st, err = db.Prepare(text)
		must(b, err)
	}
	b.Cleanup(func() { db.Close() })
	return r
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (r *rawStore) append(ctx context.Context, stream string, base driver.Version, n int) error {
	ids := newIDs(n)
	now := time.Now().UnixMicro()
	if n == 1 {
		_, err := r.insert.ExecContext(ctx, stream, int64(base)+1, ids[0][:], "account.deposited", "json", now, nil, payload)
		return err
	}
	tx, err := r.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	st := tx.StmtContext(ctx, r.insert)
	for i := range ids {
		if _, err := st.ExecContext(ctx, stream, int64(base)+1+int64(i), ids[i][:], "account.deposited", "json", now, nil, payload); err != nil {
			return err
		}
	}
	return tx.Commit()
}

type rawEvent struct {
	Position, Version, Time int64
	Stream, Type, Encoding  string
	ID, Metadata, Data      []byte
}

func newIDs(n int) []driver.ID {
	ids := make([]driver.ID, n)
	now := time.Now()
	for i := range ids {
		ids[i] = driver.NewID(now)
	}
	return ids
}

func request(stream string, expected driver.Expected, n int) driver.AppendRequest {
	now := time.Now()
	records := make([]driver.Record, n)
	for i, id := range newIDs(n) {
		records[i] = driver.Record{ID: id, Type: "account.deposited", Encoding: "json", Time: now, Data: payload}
	}
	return driver.AppendRequest{Parts: []driver.Part{{Stream: stream, Expected: expected, Records: records}}}
}

func openBench(b *testing.B) driver.Store {
	b.Helper()
	s, err := open(b.Context(), filepath.Join(b.TempDir(), "es.db"))
	must(b, err)
	b.Cleanup(func() { must(b, s.Close()) })
	return s
}

// fill stores events of streams in turn, so that none lies together on disk.
func fill(b *testing.B, streams, each int, add func(stream string, base driver.Version, n int) error) {
	b.Helper()
	for v := 0; v < each; v += 10 {
		for i := range streams {
			must(b, add(fmt.Sprintf("account-%06d", i), driver.Version(v), 10))
		}
	}
}

func (r *rawStore) fill(b *testing.B, streams, each int) {
	b.Helper()
	_, err := r.db.Exec(`PRAGMA synchronous = OFF`)
	must(b, err)
	fill(b, streams, each, func(s string, v driver.Version, n int) error { return r.append(b.Context(), s, v, n) })
	_, err = r.db.Exec(`PRAGMA synchronous = FULL`)
	must(b, err)
}

func fillStore(b *testing.B, s driver.Store, streams, each int) {
	b.Helper()
	fill(b, streams, each, func(st string, v driver.Version, n int) error {
		_, err := s.Append(b.Context(), request(st, driver.Exactly(v), n))
		return err
	})
}

func BenchmarkAppend(b *testing.B) {
	for _, n := range []int{1, 10} {
		b.Run(fmt.Sprintf("%d/raw", n), func(b *testing.B) {
			r := openRaw(b)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				must(b, r.append(b.Context(), fmt.Sprintf("account-%06d", i%1000), driver.Version(i/1000*n), n))
			}
		})
		b.Run(fmt.Sprintf("%d/driver", n), func(b *testing.B) {
			s := openBench(b)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				_, err := s.Append(b.Context(), request(fmt.Sprintf("account-%06d", i%1000), driver.Exactly(driver.Version(i/1000*n)), n))
				must(b, err)
			}
		})
	}
}

// BenchmarkWriters has 16 writers with a stream each. The driver gets the groups
// that package es would form of them.
func BenchmarkWriters(b *testing.B) {
	const writers = 16
	b.Run("raw", func(b *testing.B) {
		r := openRaw(b)
		b.SetParallelism(writers / 2)
		var next atomic.Int64
		b.RunParallel(func(pb *testing.PB) {
			stream := fmt.Sprintf("account-%06d", next.Add(1))
			for v := driver.Version(0); pb.Next(); v++ {
				must(b, r.append(b.Context(), stream, v, 1))
			}
		})
	})
	b.Run("driver", func(b *testing.B) {
		s := openBench(b)
		b.ReportAllocs()
		reqs := make([]driver.AppendRequest, writers)
		for v := driver.Version(0); int(v)*writers < b.N; v++ {
			for i := range reqs {
				reqs[i] = request(fmt.Sprintf("account-%06d", i), driver.Exactly(v), 1)
			}
			for _, out := range s.(driver.GroupAppender).AppendGroup(b.Context(), reqs) {
				must(b, out.Err)
			}
		}
	})
}

func BenchmarkReadStream(b *testing.B) {
	b.Run("raw", func(b *testing.B) {
		r := openRaw(b)
		r.fill(b, 50, 1000)
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			rows, err := r.readStream.QueryContext(b.Context(), fmt.Sprintf("account-%06d", i%50), 0)
			must(b, err)
			var events []rawEvent
			for rows.Next() {
				var e rawEvent
				must(b, rows.Scan(&e.Position, &e.Version, &e.ID, &e.Type, &e.Encoding, &e.Time, &e.Metadata, &e.Data))
				events = append(events, e)
			}
			must(b, rows.Close())
			if len(events) != 1000 {
				b.Fatalf("%d events", len(events))
			}
		}
	})
	b.Run("driver", func(b *testing.B) {
		s := openBench(b)
		fillStore(b, s, 50, 1000)
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			page, err := s.ReadStream(b.Context(), driver.StreamQuery{Stream: fmt.Sprintf("account-%06d", i%50), Limit: 1000})
			must(b, err)
			if len(page.Records) != 1000 {
				b.Fatalf("%d events", len(page.Records))
			}
		}
	})
}

func BenchmarkFeed(b *testing.B) {
	const streams, each = 1000, 100
	b.Run("raw", func(b *testing.B) {
		r := openRaw(b)
		r.fill(b, streams, each)
		b.ReportAllocs()
		for b.Loop() {
			rows, err := r.readAll.QueryContext(b.Context(), 0)
			must(b, err)
			n := 0
			for rows.Next() {
				var e rawEvent
				must(b, rows.Scan(&e.Position, &e.Stream, &e.Version, &e.ID, &e.Type, &e.Encoding, &e.Time, &e.Metadata, &e.Data))
				n++
			}
			must(b, rows.Close())
			if n != streams*each {
				b.Fatalf("%d events", n)
			}
		}
	})
	s := openBench(b)
	fillStore(b, s, streams, each)
	feed := func(filter driver.Filter, want int) func(*testing.B) {
		return func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				n := 0
				for q := (driver.FeedQuery{Filter: filter}); ; {
					page, err := s.ReadAll(b.Context(), q)
					must(b, err)
					n += len(page.Records)
					if q.After = page.Next; page.End {
						break
					}
				}
				if n != want {
					b.Fatalf("%d events", n)
				}
			}
		}
	}
	b.Run("driver", feed(driver.Filter{}, streams*each))
	b.Run("driver/types", feed(driver.Filter{Types: []string{"other", "another"}}, 0))
	b.Run("driver/prefixes", feed(driver.Filter{Prefixes: []string{"account-00000", "x"}}, 10*each))
}
