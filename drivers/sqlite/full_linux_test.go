//go:build cgo

package sqlite_test

import (
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/mattn/go-sqlite3"

	"github.com/go-es/es/driver"
	"github.com/go-es/es/drivers/sqlite"
)

// fillUp appends until an append fails, and checks that it failed well. It
// returns how many events were acknowledged.
func fillUp(t *testing.T, s driver.Store, size int) int {
	t.Helper()
	data := fmt.Sprintf("%q", strings.Repeat("x", size))
	for n := 0; n < 10_000; n += 3 {
		_, err := s.Append(ctx, one("s", driver.Exactly(driver.Version(n)), records(3, data)...))
		if err == nil {
			continue
		}
		if !strings.HasPrefix(err.Error(), "es: ") || !strings.Contains(err.Error(), "full") ||
			errors.Is(err, driver.ErrUnknownOutcome) || driver.IsTransient(err) {
			t.Fatalf("%v", err)
		}
		if cause := (sqlite3.Error{}); !errors.As(err, &cause) || cause.Code != sqlite3.ErrFull && cause.Code != sqlite3.ErrIoErr {
			t.Errorf("%v: its cause is not reachable", err)
		}
		if got := len(feed(t, s)); got != n {
			t.Errorf("%d events, %d were acknowledged", got, n)
		}
		return n
	}
	t.Fatal("nothing was ever full")
	return 0
}

func TestDiskFull(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=3m"); err != nil {
		t.Skipf("this user cannot mount a small disk: %v", err)
	}
	t.Cleanup(func() { must(t, syscall.Unmount(dir, syscall.MNT_DETACH)) })
	ballast, file := filepath.Join(dir, "ballast"), filepath.Join(dir, "es.db")
	must(t, os.WriteFile(ballast, make([]byte, 1<<20), 0o600))

	s := open(t, file)
	n := fillUp(t, s, 5000)
	must(t, os.Remove(ballast))
	appendTo(t, s, "s", driver.Exactly(driver.Version(n)), 1)

	n2 := fillUp2(t, s, n+1)
	must(t, s.Close())
	intact(t, file)
	s = open(t, file)
	if got := len(feed(t, s)); got != n2 {
		t.Errorf("%d events, %d were acknowledged", got, n2)
	}
	must(t, s.Close())

	// A disk that is full when the database is made.
	f, err := os.Create(ballast)
	for err == nil {
		_, err = f.Write(make([]byte, 4096))
	}
	f.Close()
	if _, err := sqlite.Open(ctx, sqlite.Config{Path: filepath.Join(dir, "new.db")}); err == nil || !strings.Contains(err.Error(), "full") {
		t.Errorf("%v", err)
	}
	for _, f := range []string{ballast, file, file + "-wal", file + "-shm"} { // the log cannot be copied where there is no room
		os.Remove(f)
	}
	appendTo(t, open(t, filepath.Join(dir, "new.db")), "s", driver.NoStream, 1)
}

// fillUp2 appends single events after the first n until the disk is full again,
// and returns how many there are then.
func fillUp2(t *testing.T, s driver.Store, n int) int {
	t.Helper()
	for ; ; n++ {
		if _, err := s.Append(ctx, one("s", driver.Exactly(driver.Version(n)), records(1, strings.Repeat("y", 900))...)); err != nil {
			if !strings.Contains(err.Error(), "full") {
				t.Fatal(err)
			}
			return n
		}
	}
}

// A database that may not grow: the statement fails, and not the COMMIT.
func TestDatabaseFull(t *testing.T) {
	pages := 100
	sql.Register("sqlite3-small", &sqlite3.SQLiteDriver{ConnectHook: func(c *sqlite3.SQLiteConn) error {
		_, err := c.Exec(fmt.Sprintf("PRAGMA max_page_count = %d", pages), nil)
		return err
	}})
	file := newFile(t)
	for ; pages < 400; pages += 100 {
		db, err := sql.Open("sqlite3-small", "file:"+file)
		must(t, err)
		s, err := sqlite.New(ctx, db, sqlite.Config{})
		must(t, err)
		if pages == 100 {
			fillUp(t, s, 5000)
		} else {
			n := fillUp2(t, s, len(feed(t, s)))
			if got := len(feed(t, s)); got != n {
				t.Errorf("%d events, %d were acknowledged", got, n)
			}
		}
		must(t, s.Close())
		must(t, db.Close())
		intact(t, file)
	}
}
