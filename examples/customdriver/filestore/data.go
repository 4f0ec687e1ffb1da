package filestore

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/go-es/es/driver"
)

// data is what the stores of one path share: the log, and in maps what it says.
type data struct {
	users int // guarded by shared

	// writer is held, by a value in it, from deciding until what was decided is
	// synced and shown. It is a channel so that who waits for it can give up.
	writer chan struct{}
	log    *log // guarded by writer

	// What follows is guarded by mu. Only the one who holds writer changes it
	// (listeners apart), so that one needs mu for changes only. Readers hold mu
	// alone, and never wait for the disk.
	mu          sync.RWMutex
	events      []event // the event at position p is events[p-1]
	streams     map[string]*stream
	checkpoints map[string]driver.Checkpoint
	snapshots   map[snapshotKey]driver.Snapshot
	listeners   map[chan struct{}]bool
}

// event is a record with its stream, version and position. Of one that was purged
// only the id is left.
type event struct {
	driver.Record
	purged bool
}

// stream is where the events of a stream are: version v is at positions[v-1].
type stream struct {
	positions []driver.Position
	closed    bool
	purged    bool
}

type snapshotKey struct{ stream, kind string }

// open reads a file into maps.
func open(path string) (*data, error) {
	d := &data{
		writer:      make(chan struct{}, 1),
		streams:     map[string]*stream{},
		checkpoints: map[string]driver.Checkpoint{},
		snapshots:   map[snapshotKey]driver.Snapshot{},
		listeners:   map[chan struct{}]bool{},
	}
	var err error
	d.log, err = openLog(path, func(content []byte) error {
		e, err := decode(content)
		if err != nil {
			return err
		}
		return d.apply(&e)
	})
	return d, err
}

// write makes changes: first in the log, then in the maps, where all see them. The
// caller holds writer, and gives away what the entries have.
func (d *data) write(entries ...entry) error {
	contents := make([][]byte, len(entries))
	for i := range entries {
		contents[i] = entries[i].encode()
	}
	if err := d.log.append(contents...); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for i := range entries {
		if err := d.apply(&entries[i]); err != nil {
			return err
		}
	}
	for c := range d.listeners {
		select {
		case c <- struct{}{}:
		default: // there is a wake-up already that it has not seen
		}
	}
	return nil
}

// failed is the error of a write that failed: it tells whether anything may be
// stored. parts are what was to be written.
func (d *data) failed(err error, parts ...driver.UnknownPart) error {
	if d.log.broken != nil {
		return &driver.UnknownOutcomeError{Parts: parts, Err: err}
	}
	return err
}

// apply changes the maps. It fails if the entry does not fit, which only damage of
// the file can do.
func (d *data) apply(e *entry) error {
	switch e.kind {
	case appended, deleted:
		for _, r := range e.events {
			st := d.streams[r.Stream]
			if st == nil {
				st = &stream{}
				d.streams[r.Stream] = st
			}
			if st.closed || r.Version != driver.Version(len(st.positions)+1) {
				return fmt.Errorf("version %d of stream %q comes after version %d", r.Version, r.Stream, len(st.positions))
			}
			r.Position = driver.Position(len(d.events) + 1)
			d.events = append(d.events, event{Record: r})
			st.positions = append(st.positions, r.Position)
			if e.kind == deleted {
				st.closed = true
				maps.DeleteFunc(d.snapshots, func(k snapshotKey, _ driver.Snapshot) bool { return k.stream == r.Stream })
			}
		}
	case purged:
		st := d.streams[e.name]
		if st == nil || !st.closed {
			return errors.New("a purge of a stream that is open")
		}
		st.purged = true
		for _, p := range st.positions[:len(st.positions)-1] {
			d.events[p-1] = event{Record: driver.Record{ID: d.events[p-1].ID}, purged: true}
		}
	case savedCheckpoint:
		d.checkpoints[e.checkpoint.Name] = e.checkpoint
	case deletedCheckpoint:
		delete(d.checkpoints, e.name)
	case savedSnapshot:
		d.snapshots[snapshotKey{e.snapshot.Stream, e.snapshot.Kind}] = e.snapshot
	case deletedSnapshot:
		delete(d.snapshots, snapshotKey{e.snapshot.Stream, e.snapshot.Kind})
	}
	return nil
}

// state is what an append must know of a stream.
func (d *data) state(name string) driver.StreamState {
	st := d.streams[name]
	if st == nil {
		return driver.StreamState{}
	}
	return driver.StreamState{Head: driver.Version(len(st.positions)), Closed: st.closed}
}

// event returns the event at a version of a stream.
func (d *data) event(name string, v driver.Version) *event {
	return &d.events[d.streams[name].positions[v-1]-1]
}

// stored is a record as it is kept at a version of a stream. It shares no memory
// with r.
func stored(name string, v driver.Version, r *driver.Record) driver.Record {
	c := clone(r)
	c.Stream, c.Version = name, v
	c.Time = driver.FromMicros(driver.Micros(r.Time))
	return c
}

// clone returns a copy of a record that shares no memory with it.
func clone(r *driver.Record) driver.Record {
	c := *r
	c.Tags, c.Data, c.Metadata = slices.Clone(r.Tags), bytes.Clone(r.Data), bytes.Clone(r.Metadata)
	return c
}
