package sqlite_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/go-es/es/driver"
	"github.com/go-es/es/drivers/sqlite"
)

// listen calls Listen and returns its wake-ups and its error.
func listen(ctx context.Context, s *sqlite.Store) (<-chan time.Time, <-chan error) {
	woken, done := make(chan time.Time, 100), make(chan error, 1)
	go func() {
		done <- s.Listen(ctx, func() {
			select {
			case woken <- time.Now():
			default:
			}
		})
	}()
	time.Sleep(30 * time.Millisecond) // until it listens
	return woken, done
}

func TestListen(t *testing.T) {
	file := newFile(t)
	s, beside := open(t, file), open(t, file)
	link := filepath.Join(t.TempDir(), "link.db")
	must(t, os.Symlink(file, link))
	linked := open(t, link)
	other := open(t, newFile(t))
	c, cancel := context.WithCancel(ctx)
	woken, done := listen(c, s)

	for end := time.Now().Add(20 * time.Second); len(woken) == 0; time.Sleep(5 * time.Millisecond) { // until it listens
		if time.Now().After(end) {
			t.Fatal("it is not woken")
		}
		appendTo(t, beside, "s", driver.Any, 1)
	}
	wait := func(what string) {
		t.Helper()
		select {
		case <-woken:
		case <-time.After(20 * time.Second):
			t.Errorf("%s: not woken", what)
		}
		time.Sleep(40 * time.Millisecond) // what else may come
		for len(woken) > 0 {
			<-woken
		}
	}
	wait("another store of this process")
	appendTo(t, beside, "s", driver.Any, 1)
	wait("another store of this process, again")
	for i := range 20 {
		must(t, beside.SaveCheckpoint(ctx, driver.Checkpoint{Name: "c", Revision: driver.Revision{byte(i + 1)}}, driver.Revision{byte(i)}))
	}
	time.Sleep(40 * time.Millisecond)
	if n := len(woken); n > 3 { // the last append may be noticed twice
		t.Errorf("%d wakes by checkpoints", n)
	}
	appendTo(t, linked, "s", driver.Any, 1)
	wait("another name of the file")
	if out, err := process(t, "write", file).Output(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	wait("another process")

	appendTo(t, other, "s", driver.Any, 1)
	must(t, func() error { _, err := s.Head(ctx); return err }())
	time.Sleep(50 * time.Millisecond)
	if len(woken) > 0 {
		t.Error("woken by another file")
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	_, done = listen(ctx, beside)
	must(t, beside.Close())
	if err := <-done; !errors.Is(err, driver.ErrClosed) {
		t.Error(err)
	}
	if err := beside.Listen(ctx, func() {}); !errors.Is(err, driver.ErrClosed) {
		t.Error(err)
	}
}
