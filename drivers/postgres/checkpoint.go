package postgres

import (
	"context"
	"errors"

	"github.com/go-es/es/driver"
)

// LoadCheckpoint returns the checkpoint, or the zero Checkpoint.
func (s *Store) LoadCheckpoint(ctx context.Context, name string) (cp driver.Checkpoint, err error) {
	err = s.read(ctx, func(ctx context.Context, ses *session) error {
		cp = driver.Checkpoint{}
		return ses.run(ctx, loadCheckpoint, func(row [][]byte) error {
			cp, err = toCheckpoint(row)
			return err
		}, []byte(name))
	})
	return cp, err
}

func toCheckpoint(row [][]byte) (cp driver.Checkpoint, err error) {
	position, ok1 := natural(row[1])
	seenAt, ok2 := natural(row[2])
	cp = driver.Checkpoint{Name: string(row[0]), Position: driver.Position(position), SeenAt: driver.Position(seenAt)}
	ok3 := copy(cp.SeenID[:], row[3]) == len(cp.SeenID)
	ok4 := copy(cp.Revision[:], row[4]) == len(cp.Revision)
	if !ok1 || !ok2 || !ok3 || !ok4 {
		return driver.Checkpoint{}, corrupt("the checkpoint %q cannot be what was stored", row[0])
	}
	return cp, nil
}

// SaveCheckpoint replaces the checkpoint of revision prev.
func (s *Store) SaveCheckpoint(ctx context.Context, cp driver.Checkpoint, prev driver.Revision) error {
	st, args := createCheckpoint, [][]byte{[]byte(cp.Name), bigint(uint64(cp.Position)), bigint(uint64(cp.SeenAt)), cp.SeenID[:], cp.Revision[:]}
	if !prev.IsZero() {
		st, args = replaceCheckpoint, append(args, prev[:])
	}
	return s.writeAgain(ctx, func(ctx context.Context, ses *session) error {
		saved := false
		err := ses.write(ctx, st, func([][]byte) error { saved = true; return nil }, args...)
		if err == nil && !saved {
			err = driver.ErrCheckpointConflict
		}
		return err
	})
}

// ListCheckpoints returns a page of the checkpoints.
func (s *Store) ListCheckpoints(ctx context.Context, q driver.CheckpointQuery) (page driver.CheckpointPage, err error) {
	n := pageSize(q.Limit)
	err = s.read(ctx, func(ctx context.Context, ses *session) error {
		page = driver.CheckpointPage{End: true}
		return ses.run(ctx, listCheckpoints, func(row [][]byte) error {
			if len(page.Checkpoints) == n {
				page.End = false
				return nil
			}
			cp, err := toCheckpoint(row)
			if err != nil {
				return err
			}
			page.Checkpoints = append(page.Checkpoints, cp)
			page.Next = cp.Name
			return nil
		}, []byte(q.After), bigint(uint64(n)+1))
	})
	if err != nil {
		return driver.CheckpointPage{}, err
	}
	return page, nil
}

// DeleteCheckpoint removes a checkpoint, if it is there.
func (s *Store) DeleteCheckpoint(ctx context.Context, name string) error {
	return s.remove(ctx, deleteCheckpoint, []byte(name))
}

// remove runs a statement that deletes a row, if it is there.
func (s *Store) remove(ctx context.Context, st stmt, args ...[]byte) error {
	return s.writeAgain(ctx, func(ctx context.Context, ses *session) error {
		gone := true
		err := ses.write(ctx, st, func([][]byte) error { gone = false; return nil }, args...)
		if err == nil && gone {
			err = ses.confirm(ctx)
		}
		return err
	})
}

// writeAgain writes what may be written again and has no streams.
func (s *Store) writeAgain(ctx context.Context, f func(ctx context.Context, ses *session) error) error {
	err := s.settle(ctx, func(ctx context.Context, again bool) error { return s.write(ctx, again, f) })
	if u, ok := errors.AsType[*unsureError](err); ok {
		return &driver.UnknownOutcomeError{Err: u.err}
	}
	return err
}
