package memory

import (
	"context"
	"maps"
	"slices"

	"github.com/go-es/es/driver"
)

// LoadCheckpoint returns a checkpoint, or the zero one.
func (s *Store) LoadCheckpoint(ctx context.Context, name string) (driver.Checkpoint, error) {
	if err := s.check(ctx); err != nil {
		return driver.Checkpoint{}, err
	}
	s.data.mu.RLock()
	defer s.data.mu.RUnlock()
	return s.data.checkpoints[name], nil
}

// SaveCheckpoint replaces the checkpoint of revision prev.
func (s *Store) SaveCheckpoint(ctx context.Context, cp driver.Checkpoint, prev driver.Revision) error {
	if err := s.check(ctx); err != nil {
		return err
	}
	d := s.data
	d.mu.Lock()
	defer d.mu.Unlock()
	switch d.checkpoints[cp.Name].Revision {
	case cp.Revision:
		return nil
	case prev:
		d.checkpoints[cp.Name] = cp
		return nil
	}
	return driver.ErrCheckpointConflict
}

// ListCheckpoints returns a page of the checkpoints.
func (s *Store) ListCheckpoints(ctx context.Context, q driver.CheckpointQuery) (driver.CheckpointPage, error) {
	if err := s.check(ctx); err != nil {
		return driver.CheckpointPage{}, err
	}
	d := s.data
	d.mu.RLock()
	defer d.mu.RUnlock()
	names := slices.Sorted(maps.Keys(d.checkpoints))
	from, found := slices.BinarySearch(names, q.After)
	if found {
		from++
	}
	names = names[from:]
	page := driver.CheckpointPage{End: true}
	if limit := limited(q.Limit); len(names) > limit {
		names, page.End = names[:limit], false
	}
	for _, name := range names {
		page.Checkpoints = append(page.Checkpoints, d.checkpoints[name])
		page.Next = name
	}
	return page, nil
}

// DeleteCheckpoint removes a checkpoint.
func (s *Store) DeleteCheckpoint(ctx context.Context, name string) error {
	if err := s.check(ctx); err != nil {
		return err
	}
	s.data.mu.Lock()
	defer s.data.mu.Unlock()
	delete(s.data.checkpoints, name)
	return nil
}
