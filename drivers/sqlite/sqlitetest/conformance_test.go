package sqlitetest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	_ "modernc.org/sqlite"

	"github.com/go-es/es/conformance"
	"github.com/go-es/es/driver"
	"github.com/go-es/es/drivers/sqlite"
	"github.com/go-es/es/internal/servers"
)

func open(ctx context.Context, dsn string) (driver.Store, error) {
	d, _ := driver.Lookup("sqlite")
	return d.Open(ctx, dsn)
}

// pooled is a store in a pool of the test's, which it closes with itself.
type pooled struct {
	*sqlite.Store
	db *sql.DB
}

func (p pooled) Close() error { return errors.Join(p.Store.Close(), p.db.Close()) }

// openPool opens a store in a pool of a database/sql driver. The limit of its
// connections is 0 for none.
func openPool(name, options string, limit int) func(context.Context, string) (driver.Store, error) {
	return func(ctx context.Context, dsn string) (driver.Store, error) {
		cfg, err := sqlite.ParseDSN(dsn)
		if err != nil {
			return nil, err
		}
		source := cfg.Path
		if source != ":memory:" {
			source = "file:" + cfg.Path + options
		}
		cfg.Path = ""
		db, err := sql.Open(name, source)
		if err != nil {
			return nil, err
		}
		db.SetMaxOpenConns(limit)
		s, err := sqlite.New(ctx, db, cfg)
		if err != nil {
			return nil, errors.Join(err, db.Close())
		}
		return pooled{s, db}, nil
	}
}

func file(t conformance.TB) string { return filepath.Join(t.TempDir(), "es.db") }

var caps = driver.Caps{
	MaxEventBytes:    16 << 20,
	MaxAppendEvents:  10_000,
	MaxAppendBytes:   64 << 20,
	MaxStreams:       10_000,
	MaxSnapshotBytes: 16 << 20,
	PositionOnAppend: true,
	Gapless:          true,
	FilterFeed:       true,
}

// openFaulty is set where mattn's driver is built.
var openFaulty func(t conformance.TB, dsn string) conformance.Faulty

func TestConformance(t *testing.T) {
	conformance.Run(t, conformance.Config{
		Open:      open,
		DSN:       file,
		Caps:      caps,
		Processes: true,
		Beside:    func(t conformance.TB, dsn string) string { return dsn + "?prefix=beside" },
		InTx:      inTx("sqlite3", "?_txlock=immediate&_synchronous=FULL&_busy_timeout=5000"),
		Restore:   restore,
		Malformed: []string{"", "file:", "file:a%zz.db", "es.db?mode=ro", "es.db?_journal_mode=OFF", "es.db?prefix=A", "es.db?sync=off", "es.db?busy=5", "es.db?ddl=no"},
		Foreign: []func(conformance.TB) (string, func() error){
			foreign(func(path string) error { return os.WriteFile(path, []byte(strings.Repeat("text\n", 1000)), 0o600) }),
			foreign(func(path string) error {
				return execute(path, "CREATE TABLE es_events (x)", "INSERT INTO es_events VALUES ('theirs')")
			}),
			foreign(func(path string) error {
				return execute(path, "CREATE TABLE es_meta (key, value)", "INSERT INTO es_meta VALUES ('schema', 'theirs')")
			}),
		},
		Newer: func(t conformance.TB, dsn string) func() {
			set := func(version int) {
				if err := execute(dsn, fmt.Sprintf("UPDATE es_meta SET value = %d WHERE key = 'schema'", version)); err != nil {
					t.Fatalf("%v", err)
				}
			}
			set(2)
			return func() { set(1) }
		},
		Refused:   refused(t),
		CheckOnly: func(dsn string) string { return dsn + "?ddl=check" },
		Corrupt: []func(conformance.TB, string, string){
			damage("DELETE FROM es_events"),
			damage("UPDATE es_events SET id = substr(id, 2)"),
			damage("UPDATE es_events SET tags = '['"),
		},
		Fault:     openFaulty,
		FeedBound: servers.Bound,
	})
}

func TestConformanceMemory(t *testing.T) {
	conformance.Run(t, conformance.Config{
		Open:      open,
		DSN:       func(conformance.TB) string { return ":memory:" },
		FeedBound: servers.Bound,
		Caps:      caps,
		Private:   true,
		Volatile:  true,
	})
}

// A pool of the driver without C, with as few connections as there may be.
func TestConformanceModernc(t *testing.T) {
	conformance.Run(t, conformance.Config{
		Open:    openPool("sqlite", "?_pragma=busy_timeout(100)", 2),
		DSN:     file,
		Caps:    caps,
		Beside:  func(t conformance.TB, dsn string) string { return dsn + "?prefix=beside" },
		InTx:    inTx("sqlite", "?_txlock=immediate&_pragma=synchronous(FULL)&_pragma=busy_timeout(5000)"),
		Restore: restore,

		FeedBound: time.Minute, // with the race detector it is a tenth as fast as the one in C
	})
}

func TestConformancePoolInMemory(t *testing.T) {
	conformance.Run(t, conformance.Config{
		Open:      openPool("sqlite3", "", 1),
		DSN:       func(conformance.TB) string { return ":memory:" },
		FeedBound: servers.Bound,
		Caps:      caps,
		Private:   true,
		Volatile:  true,
	})
}

// inTx begins a transaction in a pool of a database/sql driver.
func inTx(name, options string) func(conformance.TB, string) (driver.Store, func() error, func() error) {
	return func(t conformance.TB, dsn string) (driver.Store, func() error, func() error) {
		s, err := openPool(name, options, 0)(t.Context(), dsn)
		if err != nil {
			t.Fatalf("%v", err)
		}
		t.Cleanup(func() { s.Close() })
		p := s.(pooled)
		tx, err := p.db.Begin()
		if err != nil {
			t.Fatalf("%v", err)
		}
		return p.InTx(tx), tx.Commit, tx.Rollback
	}
}

// restore copies the file, and back.
func restore(t conformance.TB, dsn string) func() {
	backup, err := os.ReadFile(dsn)
	if err != nil {
		t.Fatalf("%v", err)
	}
	return func() {
		os.Remove(dsn + "-wal")
		os.Remove(dsn + "-shm")
		if err := os.WriteFile(dsn, backup, 0o600); err != nil {
			t.Fatalf("%v", err)
		}
	}
}

// foreign makes a file that is not a store's.
func foreign(write func(path string) error) func(conformance.TB) (string, func() error) {
	return func(t conformance.TB) (string, func() error) {
		path := file(t)
		if err := write(path); err != nil {
			t.Fatalf("%v", err)
		}
		before, err := os.ReadFile(path)
		if err != nil {
			t.Fatalf("%v", err)
		}
		return path, func() error {
			after, err := os.ReadFile(path)
			if err == nil && string(after) != string(before) {
				err = errors.New("the file was changed")
			}
			return err
		}
	}
}

func refused(t *testing.T) []conformance.Refused {
	path := filepath.Join(t.TempDir(), "utf16.db")
	must(t, execute(path, "PRAGMA encoding = 'UTF-16'", "CREATE TABLE x (y)"))
	return []conformance.Refused{{DSN: path, Word: "encoding"}}
}

func damage(text string) func(conformance.TB, string, string) {
	return func(t conformance.TB, dsn, stream string) {
		err := execute(dsn, text+" WHERE version = 2 AND stream_id = (SELECT id FROM es_streams WHERE stream = '"+strings.ReplaceAll(stream, "'", "''")+"')")
		if err != nil {
			t.Fatalf("%v", err)
		}
	}
}

// execute runs statements on a file, on a connection of their own.
func execute(path string, texts ...string) error {
	db, err := sql.Open("sqlite3", "file:"+path)
	if err != nil {
		return err
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	for _, text := range texts {
		if _, err := db.Exec(text); err != nil {
			return fmt.Errorf("%s: %w", text, err)
		}
	}
	return nil
}
