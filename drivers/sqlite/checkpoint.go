package sqlite

import (
	"context"
	sqldriver "database/sql/driver"
	"errors"

	"github.com/go-es/es/driver"
)

// LoadCheckpoint returns the checkpoint, or the zero Checkpoint.
func (s *Store) LoadCheckpoint(ctx context.Context, name string) (cp driver.Checkpoint, err error) {
	err = s.read(ctx, func(ses session) error {
		cp, err = checkpoint(ses, name)
		return err
	})
	return cp, err
}

func checkpoint(ses session, name string) (cp driver.Checkpoint, err error) {
	err = ses.query(loadCheckpoint, func(row []sqldriver.Value) error {
		if cp, err = toCheckpoint(row); err != nil {
			return err
		}
		return errStop
	}, name)
	return cp, err
}

func toCheckpoint(row []sqldriver.Value) (cp driver.Checkpoint, err error) {
	name, ok1 := row[0].(string)
	position, ok2 := row[1].(int64)
	seenAt, ok3 := row[2].(int64)
	seenID, ok4 := row[3].([]byte)
	revision, ok5 := row[4].([]byte)
	if !ok1 || !ok2 || !ok3 || !ok4 || !ok5 || len(seenID) != len(cp.SeenID) || len(revision) != len(cp.Revision) {
		return cp, corrupt("the checkpoint %v is %v", row[0], row)
	}
	return driver.Checkpoint{
		Name:     name,
		Position: driver.Position(position),
		SeenAt:   driver.Position(seenAt),
		SeenID:   driver.ID(seenID),
		Revision: driver.Revision(revision),
	}, nil
}

// SaveCheckpoint replaces the checkpoint of revision prev.
func (s *Store) SaveCheckpoint(ctx context.Context, cp driver.Checkpoint, prev driver.Revision) error {
	return s.writeAgain(ctx, func(ses session) error {
		is, err := checkpoint(ses, cp.Name)
		switch {
		case err != nil:
			return err
		case is.Revision == cp.Revision:
			return nil // it was saved before
		case is.Revision != prev:
			return driver.ErrCheckpointConflict
		}
		_, _, err = ses.exec(saveCheckpoint, cp.Name, int64(cp.Position), int64(cp.SeenAt), cp.SeenID[:], cp.Revision[:])
		return err
	})
}

// ListCheckpoints returns a page of the checkpoints.
func (s *Store) ListCheckpoints(ctx context.Context, q driver.CheckpointQuery) (driver.CheckpointPage, error) {
	n := pageSize(q.Limit)
	var page driver.CheckpointPage
	err := s.read(ctx, func(ses session) error {
		page = driver.CheckpointPage{End: true}
		return ses.query(listCheckpoints, func(row []sqldriver.Value) error {
			if len(page.Checkpoints) == n {
				page.End = false
				return errStop
			}
			cp, err := toCheckpoint(row)
			if err != nil {
				return err
			}
			page.Checkpoints = append(page.Checkpoints, cp)
			page.Next = cp.Name
			return ctx.Err()
		}, q.After, int64(n)+1)
	})
	if err != nil {
		return driver.CheckpointPage{}, err
	}
	return page, nil
}

// DeleteCheckpoint removes a checkpoint, if it is there.
func (s *Store) DeleteCheckpoint(ctx context.Context, name string) error {
	return s.writeAgain(ctx, func(ses session) error {
		_, _, err := ses.exec(deleteCheckpoint, name)
		return err
	})
}

// writeAgain is write for what may be called again and has no streams.
func (s *Store) writeAgain(ctx context.Context, f func(session) error) error {
	err := s.write(ctx, func(_ context.Context, ses session) error { return f(ses) })
	var u *unsureError
	if errors.As(err, &u) {
		return &driver.UnknownOutcomeError{Err: u.err}
	}
	return err
}
