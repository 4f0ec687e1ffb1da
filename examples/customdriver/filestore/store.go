// Package filestore keeps events in one file, to which it only ever appends. It is
// the example of docs/writing-a-driver.md for a store on a file: complete, and
// small enough to copy from.
//
//	store, err := es.Open(ctx, "file", "orders.log")
//
// The data source name is the path of the file, which is created if it is missing;
// its folder is not. One process at a time can have it open (Caps.SingleProcess),
// as often as it likes.
//
// All events are in memory as well, and Open reads the whole file. An append costs
// one write and one fdatasync, and so does a group of appends, a delete, or a save
// of a checkpoint or a snapshot; reads cost no I/O. Nothing shrinks the file: what
// was purged is returned by no call, and its bytes are still there.
//
// An append that was answered survives a loss of power if the disk keeps what it
// confirmed. After a write or a sync that failed, nothing of it is stored. Where it
// could not be taken back, every write ends as ErrUnknownOutcome until all stores of
// the file are closed and it is opened again; replace such a disk first, for the
// operating system may show what the disk does not have. Use a local disk: flock
// does not reach other machines on every network file system.
//
// Damage is found at Open, which fails with ErrCorrupt. Only in the last entry it
// looks like a write that a kill has cut, and is cut off. A file that is removed or
// replaced while it is open takes no more writes; close all stores before a restore.
//
// The feed is safe because there is one writer: an event gets its position, is
// written, synced and shown before the next event gets one. So what a reader sees
// is always all events up to some position.
package filestore

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"

	"github.com/go-es/es/driver"
)

func init() { driver.Register("file", fileDriver{}) }

type fileDriver struct{}

// shared is the data that this process has open, by path.
var shared = struct {
	sync.Mutex
	data map[string]*data
}{data: map[string]*data{}}

// Open opens the file at a path. All stores of one path share its data.
func (fileDriver) Open(ctx context.Context, dsn string) (driver.Store, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if dsn == "" || strings.ContainsRune(dsn, 0) {
		return nil, errors.New("es: filestore: the data source name must be the path of a file")
	}
	path, err := filepath.Abs(dsn)
	if err != nil {
		return nil, fmt.Errorf("es: filestore: %w", err)
	}
	shared.Lock()
	defer shared.Unlock()
	d := shared.data[path]
	if d == nil {
		if d, err = open(path); err != nil {
			return nil, fmt.Errorf("es: filestore: %s: %w", dsn, err)
		}
		shared.data[path] = d
	}
	d.users++
	return &Store{data: d, path: path, done: make(chan struct{})}, nil
}

// Store is an open store. Its methods are those of package driver.
type Store struct {
	data *data
	path string

	calls  sync.RWMutex // read-locked while a call runs, locked by Close
	closed bool
	done   chan struct{} // closed with the store
}

// begin is the first thing that each call does. Where it returns nil, end is the
// last.
func (s *Store) begin(ctx context.Context) error {
	s.calls.RLock()
	err := ctx.Err()
	if s.closed {
		err = driver.ErrClosed
	}
	if err != nil {
		s.calls.RUnlock()
	}
	return err
}

func (s *Store) end() { s.calls.RUnlock() }

// beginWrite is begin for a call that writes: it waits until no other does.
// Where it returns nil, endWrite is the last thing that the call does.
func (s *Store) beginWrite(ctx context.Context) error {
	if err := s.begin(ctx); err != nil {
		return err
	}
	select {
	case s.data.writer <- struct{}{}:
		return nil
	case <-ctx.Done(): // nothing was sent
		s.end()
		return ctx.Err()
	}
}

func (s *Store) endWrite() {
	<-s.data.writer
	s.end()
}

// Caps returns what every store of this package claims.
func (s *Store) Caps() driver.Caps {
	return driver.Caps{
		MaxEventBytes:    1 << 20,
		MaxAppendEvents:  1000,
		MaxAppendBytes:   16 << 20,
		MaxStreams:       100,
		MaxSnapshotBytes: 1 << 20,
		PositionOnAppend: true,
		Gapless:          true,
		FilterFeed:       true,
		SingleProcess:    true,
	}
}

// Ping fails only if the store is closed or the context has ended.
func (s *Store) Ping(ctx context.Context) error {
	err := s.begin(ctx)
	if err == nil {
		s.end()
	}
	return err
}

// Close waits for the calls that run, and ends the store. The last store of a
// path closes the file.
func (s *Store) Close() error {
	s.calls.Lock()
	defer s.calls.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	close(s.done)
	shared.Lock()
	defer shared.Unlock()
	if s.data.users--; s.data.users > 0 {
		return nil
	}
	delete(shared.data, s.path)
	if err := s.data.log.disk.Close(); err != nil {
		return fmt.Errorf("es: filestore: %w", err)
	}
	return nil
}
