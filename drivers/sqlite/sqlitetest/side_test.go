package sqlitetest

import (
	"context"
	"database/sql"
	"encoding/json"
	"path/filepath"
	"testing"
	"time"

	"github.com/go-es/es"
	"github.com/go-es/es/driver"
	"github.com/go-es/es/internal/benchtest"
)

const rawOptions = "?_journal_mode=WAL&_synchronous=FULL&_busy_timeout=5000&_txlock=immediate"

// BenchmarkES puts package es on this driver beside hand-written code on mattn's.
func BenchmarkES(b *testing.B) { benchtest.Beside(b, beside) }

// BenchmarkLate is how late events are delivered.
func BenchmarkLate(b *testing.B) { benchtest.Late(b, beside) }

// BenchmarkGrowth compares small stores with large ones.
func BenchmarkGrowth(b *testing.B) { benchtest.Growth(b, many) }

// BenchmarkMemory is what is in memory while much is read.
func BenchmarkMemory(b *testing.B) { benchtest.Memory(b, many) }

// BenchmarkSealed is what compression and encryption cost.
func BenchmarkSealed(b *testing.B) {
	benchtest.Sealed(b, func(b *testing.B, opts ...es.Option) *es.Store {
		return openES(b, filepath.Join(b.TempDir(), "es.db"), opts...)
	})
}

var beside = benchtest.Config{
	Server: func(b *testing.B) (version string) {
		db, err := sql.Open("sqlite3", ":memory:")
		must(b, err)
		defer db.Close()
		must(b, db.QueryRow("SELECT 'SQLite ' || sqlite_version()").Scan(&version))
		return version
	},
	Data: data,
	Raw:  func(b *testing.B, dir string, create bool) benchtest.Raw { return openRaw(b, dir, create) },
	Open: func(b *testing.B, dir string) *es.Store { return openES(b, filepath.Join(dir, "es.db")) },
	Fast: func(b *testing.B, r benchtest.Raw, f func()) { r.(*rawStore).fast(b, f) },
}

var many = benchtest.GrowthConfig{Data: beside.Data, Open: beside.Open}

func data(b *testing.B) string { return b.TempDir() }

func openES(b *testing.B, path string, opts ...es.Option) *es.Store {
	s, err := es.Open("sqlite", path, opts...)
	must(b, err)
	b.Cleanup(func() { must(b, s.Close()) })
	return s
}

// rawStore keeps events as a careful programmer does on mattn/go-sqlite3, with the
// same durability: one statement an event, which relies on UNIQUE(stream, version)
// for the expected version, and one connection.
type rawStore struct {
	db                                *sql.DB
	insert, last, readStream, readAll *sql.Stmt
}

func openRaw(b *testing.B, dir string, create bool) *rawStore {
	b.Helper()
	db, err := sql.Open("sqlite3", "file:"+filepath.Join(dir, "raw.db")+rawOptions)
	must(b, err)
	db.SetMaxOpenConns(1)
	if create {
		_, err = db.Exec(`CREATE TABLE events (
			position INTEGER PRIMARY KEY AUTOINCREMENT, stream TEXT NOT NULL, version INTEGER NOT NULL,
			id BLOB NOT NULL, type TEXT NOT NULL, encoding TEXT NOT NULL, time INTEGER NOT NULL,
			metadata BLOB, data BLOB NOT NULL, UNIQUE (stream, version))`)
		must(b, err)
	}
	r := &rawStore{db: db}
	for text, st := range map[string]**sql.Stmt{
		`INSERT INTO events (stream, version, id, type, encoding, time, metadata, data) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`:                   &r.insert,
		`SELECT coalesce(max(version), 0) FROM events WHERE stream = ?`:                                                                    &r.last,
		`SELECT position, version, id, type, encoding, time, metadata, data FROM events WHERE stream = ? AND version > ? ORDER BY version`: &r.readStream,
		`SELECT position, stream, version, id, type, encoding, time, metadata, data FROM events WHERE position > ? ORDER BY position`:      &r.readAll,
	} {
		*st, err = db.Prepare(text)
		must(b, err)
	}
	b.Cleanup(func() { db.Close() })
	return r
}

// fast calls f while commits do not wait for the disk.
func (r *rawStore) fast(b *testing.B, f func()) {
	b.Helper()
	_, err := r.db.Exec(`PRAGMA synchronous = OFF`)
	must(b, err)
	f()
	_, err = r.db.Exec(`PRAGMA synchronous = FULL`)
	must(b, err)
}

func (r *rawStore) Append(ctx context.Context, stream string, base int, events ...benchtest.Deposited) error {
	if len(events) == 1 {
		return insertValue(ctx, r.insert.ExecContext, stream, base+1, events[0])
	}
	return r.transact(ctx, func(tx *sql.Tx) error {
		return insertValues(ctx, tx.StmtContext(ctx, r.insert), stream, base, events)
	})
}

// AppendAny needs no second attempt: the transaction is the only one that writes.
func (r *rawStore) AppendAny(ctx context.Context, stream string, events ...benchtest.Deposited) error {
	return r.transact(ctx, func(tx *sql.Tx) error {
		var base int
		if err := tx.StmtContext(ctx, r.last).QueryRowContext(ctx, stream).Scan(&base); err != nil {
			return err
		}
		return insertValues(ctx, tx.StmtContext(ctx, r.insert), stream, base, events)
	})
}

func (r *rawStore) transact(ctx context.Context, f func(tx *sql.Tx) error) error {
	tx, err := r.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	if err := f(tx); err != nil {
		return err
	}
	return tx.Commit()
}

func insertValues(ctx context.Context, insert *sql.Stmt, stream string, base int, events []benchtest.Deposited) error {
	for i, e := range events {
		if err := insertValue(ctx, insert.ExecContext, stream, base+1+i, e); err != nil {
			return err
		}
	}
	return nil
}

func insertValue(ctx context.Context, exec func(context.Context, ...any) (sql.Result, error), stream string, version int, e benchtest.Deposited) error {
	data, err := json.Marshal(e)
	if err != nil {
		return err
	}
	now := time.Now()
	id := driver.NewID(now)
	_, err = exec(ctx, stream, version, id[:], e.EventType(), "json", now.UnixMicro(), nil, data)
	return err
}

func (r *rawStore) ReadStream(ctx context.Context, stream string, f func(*benchtest.Deposited)) error {
	rows, err := r.readStream.QueryContext(ctx, stream, 0)
	if err != nil {
		return err
	}
	return benchtest.DecodeRows(rows, f, func(e *benchtest.SQLEvent) []any {
		return []any{&e.Position, &e.Version, &e.ID, &e.Type, &e.Encoding, &e.Time, &e.Metadata, &e.Data}
	})
}

func (r *rawStore) ReadAll(ctx context.Context, _ []benchtest.Run, f func(*benchtest.Deposited)) error {
	rows, err := r.readAll.QueryContext(ctx, 0)
	if err != nil {
		return err
	}
	return benchtest.DecodeRows(rows, f, func(e *benchtest.SQLEvent) []any {
		return []any{&e.Position, &e.Stream, &e.Version, &e.ID, &e.Type, &e.Encoding, &e.Time, &e.Metadata, &e.Data}
	})
}
