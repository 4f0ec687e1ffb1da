//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package filestore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-es/es/driver"
)

// What the suite cannot see from outside: each length of a torn tail, each byte of
// damage, each request to the disk.

func openStore(t *testing.T, name string) *Store {
	t.Helper()
	s, err := fileDriver{}.Open(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s.(*Store)
}

func request(stream string, expected driver.Expected, n int) driver.AppendRequest {
	recs := make([]driver.Record, n)
	for i := range recs {
		recs[i] = driver.Record{ID: driver.NewID(time.Now()), Type: "happened", Encoding: "raw", Tags: []string{"tag"}, Data: bytes.Repeat([]byte{byte(i)}, 20), Time: time.Now()}
	}
	return driver.AppendRequest{Parts: []driver.Part{{Stream: stream, Expected: expected, Records: recs}}}
}

func appendTo(t *testing.T, s *Store, req driver.AppendRequest) {
	t.Helper()
	if _, err := s.Append(t.Context(), req); err != nil {
		t.Fatal(err)
	}
}

// head returns the position of the last event of a file, which it opens.
func head(t *testing.T, name string) driver.Position {
	t.Helper()
	s := openStore(t, name)
	defer s.Close()
	p, err := s.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// small returns the path and the bytes of a file of three entries, and where the
// last begins.
func small(t *testing.T) (name string, b []byte, last int) {
	t.Helper()
	name = filepath.Join(t.TempDir(), "events.log")
	s := openStore(t, name)
	appendTo(t, s, request("a", driver.NoStream, 1))
	appendTo(t, s, request("b", driver.NoStream, 2))
	last = len(readFile(t, name))
	appendTo(t, s, request("a", driver.Any, 3))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return name, readFile(t, name), last
}

func TestTornTail(t *testing.T) {
	name, whole, last := small(t)
	for length := last; length <= len(whole); length++ {
		for _, tail := range []struct {
			name string
			b    []byte
		}{
			{"cut", nil},
			{"zeros", make([]byte, len(whole)-length)},
			{"other bytes", bytes.Repeat([]byte{0xa5}, 30)},
		} {
			want := driver.Position(3)
			if length == len(whole) {
				want = 6
			}
			writeFile(t, name, append(slices.Clone(whole[:length]), tail.b...))
			s := openStore(t, name)
			if got, err := s.Head(t.Context()); got != want || err != nil {
				t.Fatalf("cut at %d, %s: the last event is at %d, want %d, error %v", length, tail.name, got, want, err)
			}
			appendTo(t, s, request("c", driver.Any, 1))
			s.Close()
			if got := head(t, name); got != want+1 {
				t.Fatalf("cut at %d, %s: after another append the last event is at %d, want %d", length, tail.name, got, want+1)
			}
		}
	}
}

func TestDamage(t *testing.T) {
	name, whole, last := small(t)
	for at := len(header); at < last; at++ {
		b := slices.Clone(whole)
		b[at] ^= 0x10
		writeFile(t, name, b)
		if _, err := (fileDriver{}).Open(t.Context(), name); !errors.Is(err, driver.ErrCorrupt) {
			t.Fatalf("with byte %d of %d changed Open says %v", at, len(b), err)
		}
		if !bytes.Equal(readFile(t, name), b) {
			t.Fatalf("with byte %d of %d changed Open changed the file", at, len(b))
		}
	}
	for at := range len(header) { // of a file that was being created
		writeFile(t, name, whole[:at])
		if got := head(t, name); got != 0 {
			t.Fatalf("a file of %d bytes has its last event at %d", at, got)
		}
	}
}

// TestOneSync looks at what is asked of the disk, and in which order.
func TestOneSync(t *testing.T) {
	s := openStore(t, filepath.Join(t.TempDir(), "events.log"))
	f := onFaulty(s)
	old := request("a", driver.NoStream, 2)
	for _, row := range []struct {
		name string
		do   func() error
		want []string
	}{
		{"an append", func() error { _, err := s.Append(t.Context(), old); return err }, []string{"write", "sync"}},
		{"the same again", func() error { _, err := s.Append(t.Context(), old); return err }, nil},
		{"a group", func() error {
			var reqs []driver.AppendRequest
			for i := range 50 {
				reqs = append(reqs, request(fmt.Sprint("group-", i%10), driver.Any, 2))
			}
			for _, o := range s.AppendGroup(t.Context(), reqs) {
				if o.Err != nil {
					return o.Err
				}
			}
			return nil
		}, []string{"write", "sync"}},
		{"a purge", func() error {
			d := driver.DeleteRequest{Stream: "a", Expected: driver.Any, Mode: driver.Purge, Record: request("", 0, 1).Parts[0].Records[0]}
			_, err := s.Delete(t.Context(), d)
			return err
		}, []string{"write", "sync"}},
	} {
		f.seen = nil
		if err := row.do(); err != nil {
			t.Fatalf("%s: %v", row.name, err)
		}
		if !slices.Equal(f.seen, row.want) {
			t.Errorf("%s asks the disk for %q, want %q", row.name, f.seen, row.want)
		}
	}
}

// TestShownAfterSync stops the disk within a sync: readers go on and see nothing
// of it, and a writer that waits can give up.
func TestShownAfterSync(t *testing.T) {
	name := filepath.Join(t.TempDir(), "events.log")
	synctest.Test(t, func(t *testing.T) {
		s := openStore(t, name)
		f, sync := onFaulty(s), make(chan error)
		f.fails = func(n int) error {
			if f.seen[n-1] == "sync" {
				return <-sync
			}
			return nil
		}
		done := make(chan error)
		go func() {
			_, err := s.Append(t.Context(), request("a", driver.NoStream, 1))
			done <- err
		}()
		synctest.Wait()
		if p, err := s.Head(t.Context()); p != 0 || err != nil {
			t.Errorf("before the sync has ended the head is %d, error %v", p, err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := s.Append(ctx, request("b", driver.NoStream, 1)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a writer that waited for a second: %v", err)
		}
		sync <- nil
		if err := <-done; err != nil {
			t.Error(err)
		}
		if p, err := s.Head(t.Context()); p != 1 || err != nil {
			t.Errorf("after the sync the head is %d, error %v", p, err)
		}
	})
}

// TestReplaced puts another file in the place of an open one.
func TestReplaced(t *testing.T) {
	name, whole, _ := small(t)
	s := openStore(t, name)
	writeFile(t, name+".backup", whole)
	if err := os.Rename(name+".backup", name); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Append(t.Context(), request("a", driver.Any, 1)); !errors.Is(err, driver.ErrCorrupt) {
		t.Errorf("an append to a file that was replaced: %v", err)
	}
	s.Close()
	s = openStore(t, name)
	appendTo(t, s, request("a", driver.Any, 1))
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Append(t.Context(), request("a", driver.Any, 1)); !errors.Is(err, driver.ErrCorrupt) {
		t.Errorf("an append to a file that was removed: %v", err)
	}
}

// TestDiskFails lets requests to the disk fail, from one of them on.
func TestDiskFails(t *testing.T) {
	for _, row := range []struct {
		name        string
		first, last int // of the requests of the append that fail
		err         error
		unknown     bool
		stored      bool // after it was opened again
	}{
		{"the write", 1, 1, errDisk, false, false},
		{"the write, after it was done", 1, 1, errCarriedOut, false, false},
		{"the sync", 2, 2, errDisk, false, false},
		{"the sync, after it was done", 2, 2, errCarriedOut, false, false},
		{"the write, and nothing goes well after it", 1, 9, errDisk, true, false},
		{"the sync, and nothing goes well after it", 2, 9, errDisk, true, true},
		{"the write, and the cut", 1, 2, errDisk, true, false},
	} {
		name := filepath.Join(t.TempDir(), "events.log")
		s := openStore(t, name)
		appendTo(t, s, request("a", driver.NoStream, 2))
		f, req := onFaulty(s), request("a", driver.Any, 3)
		f.failAt(row.first, row.last, row.err)
		_, err := s.Append(t.Context(), req)
		if !errors.Is(err, errDisk) || errors.Is(err, driver.ErrUnknownOutcome) != row.unknown {
			t.Errorf("%s fails: %v", row.name, err)
		}
		if unknown, ok := errors.AsType[*driver.UnknownOutcomeError](err); ok {
			req = driver.Rebase(req, unknown.Parts)
			if base, _ := req.Parts[0].Expected.Exact(); base != 2 {
				t.Errorf("%s fails: the base is %d", row.name, base)
			}
			if _, err := s.Append(t.Context(), req); !errors.Is(err, driver.ErrUnknownOutcome) {
				t.Errorf("%s fails, and again: %v", row.name, err)
			}
			if _, err := s.ReadStream(t.Context(), driver.StreamQuery{Stream: "a"}); err != nil {
				t.Errorf("%s fails: a read: %v", row.name, err)
			}
			s.Close()
			want := driver.Position(2)
			if row.stored {
				want = 5
			}
			if got := head(t, name); got != want {
				t.Errorf("%s fails: opened again, the last event is at %d, want %d", row.name, got, want)
			}
			s = openStore(t, name)
		}
		appendTo(t, s, req)
		if p, err := s.Head(t.Context()); p != 5 || err != nil {
			t.Errorf("%s fails: at the end the last event is at %d, error %v", row.name, p, err)
		}
	}
}
