package filestore

import (
	"context"
	"fmt"

	"github.com/go-es/es/driver"
)

var _ driver.CheckpointStore = (*Store)(nil)

// LoadCheckpoint returns a checkpoint, or the zero one.
func (s *Store) LoadCheckpoint(ctx context.Context, name string) (driver.Checkpoint, error) {
	if err := s.begin(ctx); err != nil {
		return driver.Checkpoint{}, err
	}
	defer s.end()
	s.data.mu.RLock()
	defer s.data.mu.RUnlock()
	return s.data.checkpoints[name], nil
}

// SaveCheckpoint replaces the checkpoint of revision prev.
func (s *Store) SaveCheckpoint(ctx context.Context, cp driver.Checkpoint, prev driver.Revision) error {
	if err := s.beginWrite(ctx); err != nil {
		return err
	}
	defer s.endWrite()
	d := s.data
	switch d.checkpoints[cp.Name].Revision {
	case cp.Revision:
		return nil // it is sent again
	case prev: // zero, too, if there is none
		if err := d.write(entry{kind: savedCheckpoint, checkpoint: cp}); err != nil {
			return d.failed(err)
		}
		return nil
	}
	return fmt.Errorf("%w: %q", driver.ErrCheckpointConflict, cp.Name)
}

// ListCheckpoints returns a page of the checkpoints.
func (s *Store) ListCheckpoints(ctx context.Context, q driver.CheckpointQuery) (driver.CheckpointPage, error) {
	if err := s.begin(ctx); err != nil {
		return driver.CheckpointPage{}, err
	}
	defer s.end()
	s.data.mu.RLock()
	defer s.data.mu.RUnlock()
	names, end := names(s.data.checkpoints, "", q.After, q.Limit)
	page := driver.CheckpointPage{End: end}
	for _, name := range names {
		page.Checkpoints = append(page.Checkpoints, s.data.checkpoints[name])
		page.Next = name
	}
	return page, nil
}

// DeleteCheckpoint removes a checkpoint.
func (s *Store) DeleteCheckpoint(ctx context.Context, name string) error {
	if err := s.beginWrite(ctx); err != nil {
		return err
	}
	defer s.endWrite()
	d := s.data
	if _, ok := d.checkpoints[name]; !ok {
		return nil
	}
	if err := d.write(entry{kind: deletedCheckpoint, name: name}); err != nil {
		return d.failed(err)
	}
	return nil
}
