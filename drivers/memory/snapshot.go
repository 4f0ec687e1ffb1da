package memory

import (
	"bytes"
	"context"

	"github.com/go-es/es/driver"
)

// LoadSnapshot returns a snapshot, or the zero one.
func (s *Store) LoadSnapshot(ctx context.Context, stream, kind string) (driver.Snapshot, error) {
	if err := s.check(ctx); err != nil {
		return driver.Snapshot{}, err
	}
	s.data.mu.RLock()
	defer s.data.mu.RUnlock()
	snap := s.data.snapshots[stream][kind]
	snap.Data = bytes.Clone(snap.Data)
	return snap, nil
}

// SaveSnapshot keeps a snapshot unless there is a newer one.
func (s *Store) SaveSnapshot(ctx context.Context, snap driver.Snapshot) error {
	if err := s.check(ctx); err != nil {
		return err
	}
	d := s.data
	d.mu.Lock()
	defer d.mu.Unlock()
	if st := d.streams[snap.Stream]; st != nil && st.closed {
		return &driver.StreamError{Stream: snap.Stream, Err: driver.ErrStreamDeleted}
	}
	kinds := d.snapshots[snap.Stream]
	if kinds == nil {
		kinds = map[string]driver.Snapshot{}
		d.snapshots[snap.Stream] = kinds
	}
	if snap.Version >= kinds[snap.Kind].Version {
		snap.Data = bytes.Clone(snap.Data)
		kinds[snap.Kind] = snap
	}
	return nil
}

// DeleteSnapshot removes a snapshot.
func (s *Store) DeleteSnapshot(ctx context.Context, stream, kind string) error {
	if err := s.check(ctx); err != nil {
		return err
	}
	s.data.mu.Lock()
	defer s.data.mu.Unlock()
	delete(s.data.snapshots[stream], kind)
	return nil
}
