package memory

import (
	"bytes"
	"context"
	"slices"
	"sync"

	"github.com/go-es/es/driver"
)

// data is what stores of one name share.
type data struct {
	stores int // that have it open; guarded by shared

	mu          sync.RWMutex
	feed        []event // the event at position p is feed[p-1]
	streams     map[string]*stream
	names       []string // of the streams, sorted
	fresh       []string // of streams that are not in names yet
	checkpoints map[string]driver.Checkpoint
	snapshots   map[string]map[string]driver.Snapshot // by stream and kind

	listeners listeners
}

// event is a record with its stream, version and position set. Only the id of a
// purged one counts.
type event struct {
	driver.Record
	purged bool
}

// stream is where the events of a stream are in the feed: version v is at
// positions[v-1].
type stream struct {
	positions []driver.Position
	closed    bool
	purged    bool
}

func (st *stream) head() driver.Version { return driver.Version(len(st.positions)) }

func newData() *data {
	return &data{
		streams:     map[string]*stream{},
		checkpoints: map[string]driver.Checkpoint{},
		snapshots:   map[string]map[string]driver.Snapshot{},
	}
}

// Append stores the records of a request.
func (s *Store) Append(ctx context.Context, req driver.AppendRequest) (driver.AppendResult, error) {
	if err := s.check(ctx); err != nil {
		return driver.AppendResult{}, err
	}
	d := s.data
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.append(req)
}

// AppendGroup appends the requests one after the other.
func (s *Store) AppendGroup(ctx context.Context, reqs []driver.AppendRequest) []driver.Outcome {
	outs := make([]driver.Outcome, len(reqs))
	if err := s.check(ctx); err != nil {
		for i := range outs {
			outs[i].Err = err
		}
		return outs
	}
	d := s.data
	d.mu.Lock()
	defer d.mu.Unlock()
	for i := range reqs {
		outs[i].Result, outs[i].Err = d.append(reqs[i])
	}
	return outs
}

func (d *data) append(req driver.AppendRequest) (driver.AppendResult, error) {
	states := make([]driver.StreamState, len(req.Parts))
	for i := range req.Parts {
		if st := d.streams[req.Parts[i].Stream]; st != nil {
			states[i] = driver.StreamState{Head: st.head(), Closed: st.closed}
		}
	}
	write, result, err := driver.Decide(req, states, func(part int) (driver.Position, bool, error) {
		pos, ok := d.holds(&req.Parts[part])
		return pos, ok, nil
	})
	if !write {
		return result, err
	}
	result.Parts = make([]driver.Appended, len(req.Parts))
	for i := range req.Parts {
		p := &req.Parts[i]
		if len(p.Records) == 0 {
			continue
		}
		st := d.stream(p.Stream)
		a := &result.Parts[i]
		a.First = st.head() + 1
		for j := range p.Records {
			a.Position = d.add(st, p.Stream, &p.Records[j])
		}
		a.Last = st.head()
	}
	d.listeners.wake()
	return result, nil
}

// holds reports whether the versions that a part would take have the ids of its
// records, and the position of the last one.
func (d *data) holds(p *driver.Part) (driver.Position, bool) {
	base, _ := p.Expected.Exact()
	positions := d.streams[p.Stream].positions[base:]
	for i := range p.Records {
		if d.feed[positions[i]-1].ID != p.Records[i].ID {
			return 0, false
		}
	}
	return positions[len(p.Records)-1], true
}

// stream returns a stream, and makes it if there is none.
func (d *data) stream(name string) *stream {
	st := d.streams[name]
	if st == nil {
		st = &stream{}
		d.streams[name] = st
		d.fresh = append(d.fresh, name)
	}
	return st
}

// add appends a copy of a record to the feed and to its stream.
func (d *data) add(st *stream, name string, r *driver.Record) driver.Position {
	e := event{Record: clone(r)}
	e.Stream = name
	e.Version = st.head() + 1
	e.Position = driver.Position(len(d.feed) + 1)
	e.Time = driver.FromMicros(driver.Micros(r.Time))
	d.feed = append(d.feed, e)
	st.positions = append(st.positions, e.Position)
	return e.Position
}

// clone returns a copy of a record that shares no memory with it.
func clone(r *driver.Record) driver.Record {
	c := *r
	c.Tags, c.Data, c.Metadata = slices.Clone(r.Tags), bytes.Clone(r.Data), bytes.Clone(r.Metadata)
	return c
}
