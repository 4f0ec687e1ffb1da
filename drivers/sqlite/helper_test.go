package sqlite_test

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	_ "github.com/mattn/go-sqlite3"

	"github.com/go-es/es/driver"
	"github.com/go-es/es/drivers/sqlite"
	"github.com/go-es/es/internal/cgo"
)

// TestMain lets a test start this program again, to do one of the jobs in
// another process.
func TestMain(m *testing.M) {
	if job := os.Getenv("SQLITE_TEST_JOB"); job != "" {
		if err := jobs[job](os.Args[1:]); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	cgo.OrExit()
	os.Exit(m.Run())
}

var jobs = map[string]func(args []string) error{
	"write": func(args []string) error {
		s, err := sqlite.Open(ctx, sqlite.Config{Path: args[0]})
		if err != nil {
			return err
		}
		if _, err := s.Append(ctx, one("s", driver.Any, records(1, "{}")...)); err != nil {
			return err
		}
		return s.Close()
	},
}

// process returns the command that does a job in another process.
func process(t testing.TB, job string, args ...string) *exec.Cmd {
	t.Helper()
	exe, err := os.Executable()
	must(t, err)
	cmd := exec.Command(exe, args...)
	cmd.Env = append(os.Environ(), "SQLITE_TEST_JOB="+job)
	cmd.Stderr = os.Stderr
	return cmd
}

var ctx = context.Background()

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func newFile(t testing.TB) string { return filepath.Join(t.TempDir(), "es.db") }

// open opens a store by a data source name, and closes it with the test.
func open(t testing.TB, dsn string) *sqlite.Store {
	t.Helper()
	cfg, err := sqlite.ParseDSN(dsn)
	must(t, err)
	s, err := sqlite.Open(ctx, cfg)
	must(t, err)
	t.Cleanup(func() { must(t, s.Close()) })
	return s
}

// pool opens a *sql.DB, and closes it with the test.
func pool(t testing.TB, dsn string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite3", dsn)
	must(t, err)
	t.Cleanup(func() { db.Close() })
	return db
}

// execute runs statements on a database, on a connection of their own.
func execute(t testing.TB, file string, texts ...string) {
	t.Helper()
	db, err := sql.Open("sqlite3", "file:"+file)
	must(t, err)
	defer db.Close()
	db.SetMaxOpenConns(1)
	for _, text := range texts {
		if _, err := db.Exec(text); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
	}
}

// value returns the first column of the first row of a query.
func value(t testing.TB, file, query string) any {
	t.Helper()
	db, err := sql.Open("sqlite3", "file:"+file)
	must(t, err)
	defer db.Close()
	var v any
	must(t, db.QueryRow(query).Scan(&v))
	return v
}

func records(n int, data string) []driver.Record {
	now := time.Now()
	out := make([]driver.Record, n)
	for i := range out {
		out[i] = driver.Record{ID: driver.NewID(now), Type: "happened", Encoding: "json", Data: []byte(data), Time: now}
	}
	return out
}

func one(stream string, expected driver.Expected, records ...driver.Record) driver.AppendRequest {
	return driver.AppendRequest{Parts: []driver.Part{{Stream: stream, Expected: expected, Records: records}}}
}

func appendTo(t testing.TB, s driver.Store, stream string, expected driver.Expected, n int) driver.Appended {
	t.Helper()
	res, err := s.Append(ctx, one(stream, expected, records(n, `{"n":1}`)...))
	must(t, err)
	return res.Parts[0]
}

func deletion(stream string, mode driver.DeleteMode) driver.DeleteRequest {
	rec := records(1, "")[0]
	rec.Type = driver.TypeDeleted
	return driver.DeleteRequest{Stream: stream, Expected: driver.Any, Mode: mode, Record: rec}
}

// feed returns the whole feed, and fails unless it has the positions 1 to n.
func feed(t testing.TB, s driver.Store) []driver.Record {
	t.Helper()
	var all []driver.Record
	for q := (driver.FeedQuery{}); ; {
		page, err := s.ReadAll(ctx, q)
		must(t, err)
		all = append(all, page.Records...)
		if q.After = page.Next; page.End {
			break
		}
	}
	for i, r := range all {
		if r.Position != driver.Position(i+1) {
			t.Fatalf("event %d of the feed has position %d", i+1, r.Position)
		}
	}
	return all
}

// intact fails unless SQLite finds nothing wrong with a file.
func intact(t testing.TB, file string) {
	t.Helper()
	if v := value(t, file, "PRAGMA integrity_check"); v != "ok" {
		t.Fatalf("integrity_check: %v", v)
	}
}
