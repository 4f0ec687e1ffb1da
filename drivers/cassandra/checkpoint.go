package cassandra

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/gocql/gocql"

	"github.com/go-es/es/driver"
)

// LoadCheckpoint returns a checkpoint, or the zero one.
func (s *Store) LoadCheckpoint(ctx context.Context, name string) (cp driver.Checkpoint, err error) {
	err = s.reading(ctx, func(ctx context.Context) error {
		var rev, seen []byte
		var position, at int64
		err := s.query(ctx, s.texts.loadCheckpoint, name).Scan(&rev, &position, &at, &seen)
		if errors.Is(err, gocql.ErrNotFound) {
			return nil
		}
		if err == nil {
			cp, err = checkpointOf(name, rev, position, at, seen)
		}
		return err
	})
	return cp, err
}

func checkpointOf(name string, rev []byte, position, at int64, seen []byte) (driver.Checkpoint, error) {
	cp := driver.Checkpoint{Name: name, Position: driver.Position(position), SeenAt: driver.Position(at)}
	if len(rev) != len(cp.Revision) || len(seen) != len(cp.SeenID) || position < 0 || at < 0 {
		return driver.Checkpoint{}, corrupt("the checkpoint %q is not what was saved", name)
	}
	copy(cp.Revision[:], rev)
	copy(cp.SeenID[:], seen)
	return cp, nil
}

// SaveCheckpoint replaces a checkpoint by a conditional write.
func (s *Store) SaveCheckpoint(ctx context.Context, cp driver.Checkpoint, prev driver.Revision) error {
	return unknownSave(s.writing(ctx, func(c call) error {
		var q *gocql.Query
		rev, at, seenAt, seen := cp.Revision[:], int64(cp.Position), int64(cp.SeenAt), cp.SeenID[:]
		if prev.IsZero() {
			q = s.query(c.write, s.texts.firstCheckpoint, cp.Name, rev, at, seenAt, seen)
		} else {
			q = s.query(c.write, s.texts.nextCheckpoint, rev, at, seenAt, seen, cp.Name, prev[:])
		}
		var there *[]byte
		applied, err := conditional(q.NoSkipMetadata().Iter(), columns{"rev": &there})
		if err == nil && !applied && (there == nil || string(*there) != string(rev)) {
			return driver.ErrCheckpointConflict
		}
		return sent(err)
	}))
}

// unknownSave makes what stayed unsure the error that callers know.
func unknownSave(err error) error {
	if u, ok := errors.AsType[*unsureError](err); ok {
		return &driver.UnknownOutcomeError{Err: u.err}
	}
	return err
}

// ListCheckpoints reads all of them: they are few, and in no order.
func (s *Store) ListCheckpoints(ctx context.Context, q driver.CheckpointQuery) (driver.CheckpointPage, error) {
	var all []driver.Checkpoint
	err := s.reading(ctx, func(ctx context.Context) error {
		it := s.query(ctx, s.texts.listCheckpoints).PageSize(1000).Iter()
		var name string
		var rev, seen []byte
		var position, at int64
		for it.Scan(&name, &rev, &position, &at, &seen) {
			cp, err := checkpointOf(name, rev, position, at, seen)
			if err != nil {
				it.Close()
				return err
			}
			if name > q.After {
				all = append(all, cp)
			}
		}
		return it.Close()
	})
	if err != nil {
		return driver.CheckpointPage{}, err
	}
	slices.SortFunc(all, func(a, b driver.Checkpoint) int { return strings.Compare(a.Name, b.Name) })
	page := driver.CheckpointPage{Checkpoints: all, End: true}
	if limit := limited(q.Limit); len(all) > limit {
		page.Checkpoints, page.End = slices.Clip(all[:limit]), false
	}
	if n := len(page.Checkpoints); n > 0 {
		page.Next = page.Checkpoints[n-1].Name
	}
	return page, nil
}

// DeleteCheckpoint removes a checkpoint.
func (s *Store) DeleteCheckpoint(ctx context.Context, name string) error {
	return unknownSave(s.writing(ctx, func(c call) error {
		_, err := conditional(s.query(c.write, s.texts.deleteCheckpoint, name).NoSkipMetadata().Iter(), nil)
		return sent(err)
	}))
}
