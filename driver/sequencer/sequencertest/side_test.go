package sequencertest

import (
	"bytes"
	"context"
	"fmt"

	"github.com/go-es/es/driver"
)

// LoadCheckpoint returns a checkpoint, or the zero one.
func (s *Store) LoadCheckpoint(ctx context.Context, name string) (driver.Checkpoint, error) {
	if err := s.check(ctx); err != nil {
		return driver.Checkpoint{}, err
	}
	item, err := s.db.get(ctx, "c"+name)
	cp, _ := item.(driver.Checkpoint)
	return cp, err
}

// SaveCheckpoint writes a checkpoint if the revision is as it was.
func (s *Store) SaveCheckpoint(ctx context.Context, cp driver.Checkpoint, prev driver.Revision) error {
	if err := s.check(ctx); err != nil {
		return err
	}
	return settle(ctx, nil, func(ctx context.Context) error {
		there, _, err := s.db.update(ctx, "c"+cp.Name, func(old any) (any, bool) {
			was, _ := old.(driver.Checkpoint)
			return cp, was.Revision == prev
		})
		if now, _ := there.(driver.Checkpoint); err == nil && now.Revision != cp.Revision {
			return fmt.Errorf("%w: %q", driver.ErrCheckpointConflict, cp.Name)
		}
		return err
	})
}

// ListCheckpoints returns a page of the checkpoints.
func (s *Store) ListCheckpoints(ctx context.Context, q driver.CheckpointQuery) (driver.CheckpointPage, error) {
	if err := s.check(ctx); err != nil {
		return driver.CheckpointPage{}, err
	}
	items, err := s.db.query(ctx, "c"+q.After+"\x00", "d", false, limited(q.Limit)+1)
	if err != nil {
		return driver.CheckpointPage{}, err
	}
	page := driver.CheckpointPage{End: true}
	for _, item := range items {
		cp, ok := item.(driver.Checkpoint)
		if !ok {
			break
		}
		if len(page.Checkpoints) == limited(q.Limit) {
			page.End = false
			break
		}
		page.Checkpoints = append(page.Checkpoints, cp)
		page.Next = cp.Name
	}
	return page, nil
}

// DeleteCheckpoint removes a checkpoint.
func (s *Store) DeleteCheckpoint(ctx context.Context, name string) error {
	if err := s.check(ctx); err != nil {
		return err
	}
	return s.remove(ctx, "c"+name)
}

func (s *Store) remove(ctx context.Context, key string) error {
	return settle(ctx, nil, func(ctx context.Context) error {
		_, _, err := s.db.update(ctx, key, func(any) (any, bool) { return nil, true })
		return err
	})
}

func snapshotKey(stream, kind string) string { return "p" + stream + "\x00" + kind }

// LoadSnapshot returns a snapshot, or the zero one.
func (s *Store) LoadSnapshot(ctx context.Context, stream, kind string) (driver.Snapshot, error) {
	if err := s.check(ctx); err != nil {
		return driver.Snapshot{}, err
	}
	item, err := s.db.get(ctx, snapshotKey(stream, kind))
	snap, _ := item.(driver.Snapshot)
	snap.Data = bytes.Clone(snap.Data)
	return snap, err
}

// SaveSnapshot writes first, and looks then whether the stream is closed.
func (s *Store) SaveSnapshot(ctx context.Context, snap driver.Snapshot) error {
	if err := s.check(ctx); err != nil {
		return err
	}
	snap.Data = bytes.Clone(snap.Data)
	return settle(ctx, nil, func(ctx context.Context) error {
		_, _, err := s.db.update(ctx, snapshotKey(snap.Stream, snap.Kind), func(old any) (any, bool) {
			was, _ := old.(driver.Snapshot)
			return snap, was.Version <= snap.Version
		})
		if err != nil {
			return err
		}
		tail, err := s.tail(ctx, snap.Stream)
		if err != nil {
			return &sentError{err}
		}
		if tail.closes {
			if err := s.db.removeAll(ctx, "p"+snap.Stream+"\x00"); err != nil {
				return &sentError{err}
			}
			return &driver.StreamError{Stream: snap.Stream, Err: driver.ErrStreamDeleted}
		}
		return nil
	})
}

// DeleteSnapshot removes a snapshot.
func (s *Store) DeleteSnapshot(ctx context.Context, stream, kind string) error {
	if err := s.check(ctx); err != nil {
		return err
	}
	return s.remove(ctx, snapshotKey(stream, kind))
}
