//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package filestore

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"syscall"

	"github.com/go-es/es/conformance"
	"github.com/go-es/es/driver"
)

// on puts a disk of a test's between a store and its file.
func on(s *Store, wrap func(disk) disk) *Store {
	s.data.writer <- struct{}{}
	defer func() { <-s.data.writer }()
	if f, ok := s.data.log.disk.(file); ok { // not yet
		s.data.log.disk = wrap(f)
	}
	return s
}

// faulty is a disk that a test lets fail. Each write, sync and cut is a request.
type faulty struct {
	disk
	mu    sync.Mutex
	off   bool              // requests are not counted and do not fail
	seen  []string          // the requests
	fails func(n int) error // what becomes of the n-th, from 1 on; errCarriedOut, too
}

var (
	errDisk       = syscall.EIO
	errCarriedOut = fmt.Errorf("%w, after all was done", errDisk)
)

func (f *faulty) do(what string, request func() error) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.off {
		return request()
	}
	f.seen = append(f.seen, what)
	if f.fails != nil {
		if err := f.fails(len(f.seen)); err == errCarriedOut {
			return errors.Join(request(), err)
		} else if err != nil {
			return err
		}
	}
	return request()
}

func (f *faulty) WriteAt(b []byte, at int64) (n int, err error) {
	err = f.do("write", func() error {
		n, err = f.disk.WriteAt(b, at)
		return err
	})
	return n, err
}

func (f *faulty) Sync() error { return f.do("sync", f.disk.Sync) }

func (f *faulty) Truncate(size int64) error {
	return f.do("cut", func() error { return f.disk.Truncate(size) })
}

// failAt lets requests from now on fail with an error, first to last; 1 is the
// next. What it returns ends that, and reports whether the first was made.
func (f *faulty) failAt(first, last int, err error) (made func() bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	first, last = first+len(f.seen), last+len(f.seen)
	f.fails = func(n int) error {
		if n < first || n > last {
			return nil
		}
		return err
	}
	return func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.fails = nil
		return len(f.seen) >= first
	}
}

// onFaulty puts a faulty disk below a store.
func onFaulty(s driver.Store) (f *faulty) {
	on(s.(*Store), func(d disk) disk {
		f = &faulty{disk: d}
		return f
	})
	return f
}

// fault is Config.Fault, with the file for the connection.
func fault(t conformance.TB, dsn string) conformance.Faulty {
	s, err := fileDriver{}.Open(t.Context(), dsn)
	if err != nil {
		t.Fatalf("%v", err)
	}
	f := onFaulty(s)
	f.off = true
	breakAt := func(n int, reply bool) func() bool {
		if reply {
			return f.failAt(n, n, errCarriedOut)
		}
		return f.failAt(n, n, errDisk)
	}
	return conformance.Faulty{
		Store: faultyStore{s.(*Store), f},
		Break: func(reply bool) func() bool {
			if reply {
				return breakAt(2, true) // the sync
			}
			return breakAt(1, false) // the write
		},
		BreakAt: breakAt,
	}
}

// faultyStore has the faulty disk to itself: other stores share the file, and only
// its own writes are to fail.
type faultyStore struct {
	*Store
	f *faulty
}

// on switches the faults on, and returns what switches them off.
func (s faultyStore) on() (off func()) {
	set := func(off bool) {
		s.f.mu.Lock()
		defer s.f.mu.Unlock()
		s.f.off = off
	}
	set(false)
	return func() { set(true) }
}

func (s faultyStore) Append(ctx context.Context, req driver.AppendRequest) (driver.AppendResult, error) {
	defer s.on()()
	return s.Store.Append(ctx, req)
}

func (s faultyStore) AppendGroup(ctx context.Context, reqs []driver.AppendRequest) []driver.Outcome {
	defer s.on()()
	return s.Store.AppendGroup(ctx, reqs)
}

func (s faultyStore) Delete(ctx context.Context, req driver.DeleteRequest) (driver.Appended, error) {
	defer s.on()()
	return s.Store.Delete(ctx, req)
}

func (s faultyStore) SaveCheckpoint(ctx context.Context, cp driver.Checkpoint, prev driver.Revision) error {
	defer s.on()()
	return s.Store.SaveCheckpoint(ctx, cp, prev)
}

func (s faultyStore) DeleteCheckpoint(ctx context.Context, name string) error {
	defer s.on()()
	return s.Store.DeleteCheckpoint(ctx, name)
}

func (s faultyStore) SaveSnapshot(ctx context.Context, snap driver.Snapshot) error {
	defer s.on()()
	return s.Store.SaveSnapshot(ctx, snap)
}

func (s faultyStore) DeleteSnapshot(ctx context.Context, stream, kind string) error {
	defer s.on()()
	return s.Store.DeleteSnapshot(ctx, stream, kind)
}
