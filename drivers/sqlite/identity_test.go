package sqlite_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-es/es/driver"
	"github.com/go-es/es/drivers/sqlite"
)

// kinds open a store on a file in each of the ways there are.
var kinds = map[string]func(t *testing.T, file string) *sqlite.Store{
	"Open": func(t *testing.T, file string) *sqlite.Store { return open(t, file) },
	"New": func(t *testing.T, file string) *sqlite.Store {
		s, err := sqlite.New(ctx, pool(t, "file:"+file), sqlite.Config{})
		must(t, err)
		t.Cleanup(func() { must(t, s.Close()) })
		return s
	},
}

// replaced checks that a call noticed that the file is another one.
func replaced(t *testing.T, what string, err error) {
	t.Helper()
	if !errors.Is(err, driver.ErrCorrupt) || driver.IsTransient(err) || errors.Is(err, driver.ErrUnknownOutcome) ||
		!strings.Contains(err.Error(), "close the store and open it again") {
		t.Errorf("%s: %v", what, err)
	}
}

// A database that was removed or replaced by name takes nothing any more, and
// shows nothing; what has its name now stays as it is.
func TestReplaced(t *testing.T) {
	for how, replace := range map[string]func(t *testing.T, file, other string){
		"removed": func(t *testing.T, file, other string) { must(t, os.Remove(file)) },
		"moved":   func(t *testing.T, file, other string) { must(t, os.Rename(file, file+".old")) },
		"another": func(t *testing.T, file, other string) { must(t, os.Rename(other, file)) },
		"without its log": func(t *testing.T, file, other string) {
			must(t, os.Rename(other, file))
			must(t, os.Remove(file+"-wal"))
			must(t, os.Remove(file+"-shm"))
		},
	} {
		for kind, openKind := range kinds {
			for _, warm := range []bool{false, true} { // a connection for reading is open before
				t.Run(fmt.Sprint(how, "/", kind, "/", warm), func(t *testing.T) {
					file := newFile(t)
					s := openKind(t, file)
					appendTo(t, s, "s", driver.NoStream, 3)
					other := filepath.Join(t.TempDir(), "other.db")
					execute(t, file, "VACUUM INTO '"+other+"'")
					appendTo(t, s, "s", driver.Exactly(3), 3)
					if warm {
						feed(t, s)
					}
					replace(t, file, other)
					before, _ := os.ReadFile(file) // nil: it is gone

					_, err := s.Append(ctx, one("s", driver.Any, records(1, "{}")...))
					replaced(t, "Append", err)
					for i, out := range s.AppendGroup(ctx, []driver.AppendRequest{one("s", driver.Any, records(1, "{}")...), one("x", driver.NoStream, records(1, "{}")...)}) {
						replaced(t, fmt.Sprint("AppendGroup ", i), out.Err)
					}
					_, err = s.Append(ctx, one("s", driver.Exactly(3), records(1, "{}")...)) // a conflict in what is no more
					replaced(t, "Append at a version", err)
					_, err = s.Delete(ctx, driver.DeleteRequest{Stream: "s", Expected: driver.Any, Record: records(1, "{}")[0]})
					replaced(t, "Delete", err)
					replaced(t, "SaveCheckpoint", s.SaveCheckpoint(ctx, driver.Checkpoint{Name: "c", Revision: driver.Revision{1}}, driver.Revision{}))
					_, err = s.ReadAll(ctx, driver.FeedQuery{})
					replaced(t, "ReadAll", err)
					_, err = s.ReadStream(ctx, driver.StreamQuery{Stream: "s"})
					replaced(t, "ReadStream", err)
					replaced(t, "Ping", s.Ping(ctx))
					must(t, s.Close())

					after, err := os.ReadFile(file)
					if string(after) != string(before) || (before == nil) != errors.Is(err, os.ErrNotExist) {
						t.Errorf("%d bytes of the new file were %d before (%v)", len(after), len(before), err)
					}
				})
			}
		}
	}
}

// What a store leaves at its end does not harm the database that was put in
// place of its own, and is in use.
func TestReplacedAndInUse(t *testing.T) {
	for kind, openKind := range kinds {
		t.Run(kind, func(t *testing.T) {
			file := newFile(t)
			s := openKind(t, file)
			appendTo(t, s, "s", driver.NoStream, 3)
			other := filepath.Join(t.TempDir(), "other.db")
			execute(t, file, "VACUUM INTO '"+other+"'")
			must(t, os.Remove(file+"-wal"))
			must(t, os.Remove(file+"-shm"))
			must(t, os.Rename(other, file))

			fresh := open(t, file)
			appendTo(t, fresh, "s", driver.Exactly(3), 1)
			must(t, s.Close())
			appendTo(t, fresh, "s", driver.Exactly(4), 1)
			if n := len(feed(t, open(t, file))); n != 5 {
				t.Errorf("%d events", n)
			}
		})
	}
}

// A log that was removed takes nothing any more.
func TestRemovedLog(t *testing.T) {
	file := newFile(t)
	s := open(t, file)
	appendTo(t, s, "s", driver.NoStream, 3)
	must(t, os.Remove(file+"-wal"))
	time.Sleep(150 * time.Millisecond) // it is looked at ten times a second
	_, err := s.Append(ctx, one("s", driver.Any, records(1, "{}")...))
	replaced(t, "Append", err)
}

// A transaction of the caller's, on a connection of before.
func TestReplacedInTx(t *testing.T) {
	file := newFile(t)
	db := pool(t, "file:"+file+"?_txlock=immediate&_sync=full")
	s, err := sqlite.New(ctx, db, sqlite.Config{})
	must(t, err)
	defer s.Close()
	tx, err := db.Begin()
	must(t, err)
	defer tx.Rollback()
	must(t, os.Rename(file, file+".old"))
	_, err = s.InTx(tx).Append(ctx, one("s", driver.NoStream, records(1, "{}")...))
	replaced(t, "Append", err)
}

// Who listens is woken when the file is replaced.
func TestReplacedListen(t *testing.T) {
	file := newFile(t)
	s := open(t, file)
	woken := make(chan bool, 100)
	done := make(chan error)
	go func() { done <- s.Listen(ctx, func() { woken <- true }) }()
	time.Sleep(50 * time.Millisecond)
	must(t, os.Rename(file, file+".old"))
	select {
	case <-woken:
	case <-time.After(10 * time.Second):
		t.Error("nobody was woken")
	}
	must(t, s.Close())
	if err := <-done; !errors.Is(err, driver.ErrClosed) {
		t.Error(err)
	}
}

// What keeps the file keeps the store going.
func TestNotReplaced(t *testing.T) {
	for kind, openKind := range kinds {
		for how, do := range map[string]func(t *testing.T, file string){
			"vacuum":         func(t *testing.T, file string) { execute(t, file, "VACUUM") },
			"checkpoint":     func(t *testing.T, file string) { execute(t, file, "PRAGMA wal_checkpoint(TRUNCATE)") },
			"moved and back": func(t *testing.T, file string) { os.Rename(file, file+"x"); os.Rename(file+"x", file) },
			"another store":  func(t *testing.T, file string) { must(t, open(t, file).Close()) },
			"another process": func(t *testing.T, file string) {
				must(t, process(t, "write", file).Run())
			},
		} {
			t.Run(kind+"/"+how, func(t *testing.T) {
				file := newFile(t)
				s := openKind(t, file)
				for range 3 {
					appendTo(t, s, "x", driver.Any, 3)
					feed(t, s)
					do(t, file)
					appendTo(t, s, "x", driver.Any, 1)
					feed(t, s)
				}
			})
		}
	}
}

// A link to the file may be used as its name.
func TestLink(t *testing.T) {
	dir := t.TempDir()
	must(t, os.Mkdir(filepath.Join(dir, "a"), 0o755))
	if err := os.Symlink("a", filepath.Join(dir, "b")); err != nil {
		t.Skip(err)
	}
	must(t, os.Symlink("es.db", filepath.Join(dir, "a", "link.db")))
	s := open(t, filepath.Join(dir, "b", "link.db"))
	appendTo(t, s, "s", driver.NoStream, 1)
	must(t, os.Rename(filepath.Join(dir, "a", "es.db"), filepath.Join(dir, "old.db")))
	_, err := s.Append(ctx, one("s", driver.Any, records(1, "{}")...))
	replaced(t, "Append", err)
}
