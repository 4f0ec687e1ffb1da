package filestore

import (
	"bytes"
	"context"

	"github.com/go-es/es/driver"
)

var _ driver.SnapshotStore = (*Store)(nil)

// LoadSnapshot returns a snapshot, or the zero one.
func (s *Store) LoadSnapshot(ctx context.Context, stream, kind string) (driver.Snapshot, error) {
	if err := s.begin(ctx); err != nil {
		return driver.Snapshot{}, err
	}
	defer s.end()
	s.data.mu.RLock()
	defer s.data.mu.RUnlock()
	snap := s.data.snapshots[snapshotKey{stream, kind}]
	snap.Data = bytes.Clone(snap.Data)
	return snap, nil
}

// SaveSnapshot keeps a snapshot unless there is a newer one.
func (s *Store) SaveSnapshot(ctx context.Context, snap driver.Snapshot) error {
	if err := s.beginWrite(ctx); err != nil {
		return err
	}
	defer s.endWrite()
	d := s.data
	if d.state(snap.Stream).Closed {
		return &driver.StreamError{Stream: snap.Stream, Err: driver.ErrStreamDeleted}
	}
	if snap.Version < d.snapshots[snapshotKey{snap.Stream, snap.Kind}].Version {
		return nil
	}
	snap.Data = bytes.Clone(snap.Data)
	if err := d.write(entry{kind: savedSnapshot, snapshot: snap}); err != nil {
		return d.failed(err)
	}
	return nil
}

// DeleteSnapshot removes a snapshot.
func (s *Store) DeleteSnapshot(ctx context.Context, stream, kind string) error {
	if err := s.beginWrite(ctx); err != nil {
		return err
	}
	defer s.endWrite()
	d := s.data
	if _, ok := d.snapshots[snapshotKey{stream, kind}]; !ok {
		return nil
	}
	if err := d.write(entry{kind: deletedSnapshot, snapshot: driver.Snapshot{Stream: stream, Kind: kind}}); err != nil {
		return d.failed(err)
	}
	return nil
}
