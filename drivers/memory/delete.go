package memory

import (
	"context"

	"github.com/go-es/es/driver"
)

// Delete closes a stream for good.
func (s *Store) Delete(ctx context.Context, req driver.DeleteRequest) (driver.Appended, error) {
	if err := s.check(ctx); err != nil {
		return driver.Appended{}, err
	}
	d := s.data
	d.mu.Lock()
	defer d.mu.Unlock()
	st := d.streams[req.Stream]
	switch {
	case st == nil:
		return driver.Appended{}, &driver.StreamError{Stream: req.Stream, Err: driver.ErrStreamNotFound}
	case st.closed:
		last := d.feed[st.positions[st.head()-1]-1]
		if last.ID != req.Record.ID && req.Mode != driver.Purge {
			return driver.Appended{}, &driver.StreamError{Stream: req.Stream, Err: driver.ErrStreamDeleted}
		}
	case !req.Expected.Holds(st.head()):
		return driver.Appended{}, &driver.ConflictError{Stream: req.Stream, Expected: req.Expected, Actual: st.head()}
	default:
		d.add(st, req.Stream, &req.Record)
		st.closed = true
		delete(d.snapshots, req.Stream)
		d.listeners.wake()
	}
	if req.Mode == driver.Purge {
		d.purge(st)
	}
	v := st.head()
	return driver.Appended{First: v, Last: v, Position: st.positions[v-1]}, nil
}

// purge erases all events of a closed stream but the last. Their places and ids
// stay taken.
func (d *data) purge(st *stream) {
	if st.purged {
		return
	}
	st.purged = true
	for _, p := range st.positions[:len(st.positions)-1] {
		d.feed[p-1] = event{Record: driver.Record{ID: d.feed[p-1].ID}, purged: true}
	}
}
