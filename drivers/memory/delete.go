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
	var state driver.StreamState
	if st != nil {
		state = driver.StreamState{Head: st.head(), Closed: st.closed}
	}
	write, _, err := driver.DecideDelete(req, state, func() (driver.ID, driver.Position, error) {
		pos := st.positions[st.head()-1]
		return d.feed[pos-1].ID, pos, nil
	})
	if err != nil {
		return driver.Appended{}, err
	}
	if write {
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
