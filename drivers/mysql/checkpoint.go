package mysql

import (
	"context"
	sqldriver "database/sql/driver"

	"github.com/go-es/es/driver"
)

// LoadCheckpoint returns the checkpoint, or the zero Checkpoint.
func (s *Store) LoadCheckpoint(ctx context.Context, name string) (cp driver.Checkpoint, err error) {
	err = s.read(ctx, func(ctx context.Context, ses *session) error {
		cp, err = s.checkpoint(ctx, ses, name)
		return err
	})
	return cp, err
}

func (s *Store) checkpoint(ctx context.Context, ses *session, called string) (cp driver.Checkpoint, err error) {
	var t text
	t.add("SELECT name,position,seen_at,seen_id,revision FROM ", s.checkpoints(), " WHERE name=", name(called))
	err = ses.query(ctx, string(t), func(row []sqldriver.Value) error {
		cp, err = toCheckpoint(row)
		return err
	})
	return cp, err
}

func (s *Store) checkpoints() string { return tableName(s.cfg.Prefix, "checkpoints") }

func toCheckpoint(row []sqldriver.Value) (cp driver.Checkpoint, err error) {
	position, seenAt := integer(row[1]), integer(row[2])
	seenID, ok1 := row[3].([]byte)
	revision, ok2 := row[4].([]byte)
	if !ok1 || !ok2 || position < 0 || seenAt < 0 || len(seenID) != len(cp.SeenID) || len(revision) != len(cp.Revision) {
		return cp, corrupt("the checkpoint %q cannot be what was stored", str(row[0]))
	}
	return driver.Checkpoint{
		Name:     str(row[0]),
		Position: driver.Position(position),
		SeenAt:   driver.Position(seenAt),
		SeenID:   driver.ID(seenID),
		Revision: driver.Revision(revision),
	}, nil
}

// SaveCheckpoint replaces the checkpoint of revision prev.
func (s *Store) SaveCheckpoint(ctx context.Context, cp driver.Checkpoint, prev driver.Revision) error {
	var t text
	if prev.IsZero() {
		t.add("INSERT INTO ", s.checkpoints(), " (name,position,seen_at,seen_id,revision) VALUES (", name(cp.Name), ",",
			int64(cp.Position), ",", int64(cp.SeenAt), ",", cp.SeenID[:], ",", cp.Revision[:], ")")
	} else {
		t.add("UPDATE ", s.checkpoints(), " SET position=", int64(cp.Position), ",seen_at=", int64(cp.SeenAt), ",seen_id=", cp.SeenID[:],
			",revision=", cp.Revision[:], " WHERE name=", name(cp.Name), " AND revision=", prev[:])
	}
	return s.change(ctx, func(ctx context.Context, ses *session) error {
		res, err := ses.exec(ctx, string(t))
		if err == nil {
			if n, err := res.RowsAffected(); err != nil || n == 1 {
				return err
			}
		} else if serverError(err) != errDuplicate {
			return err
		}
		is, err := s.checkpoint(ctx, ses, cp.Name)
		if err == nil {
			err = s.flushed(ctx, ses) // what is there may not be durable yet
		}
		if err == nil && is.Revision != cp.Revision {
			err = driver.ErrCheckpointConflict
		}
		return err // nil if it was saved before
	})
}

// ListCheckpoints returns a page of the checkpoints.
func (s *Store) ListCheckpoints(ctx context.Context, q driver.CheckpointQuery) (driver.CheckpointPage, error) {
	n := pageSize(q.Limit)
	var page driver.CheckpointPage
	var t text
	t.add("SELECT name,position,seen_at,seen_id,revision FROM ", s.checkpoints(), " WHERE name>", name(q.After), " ORDER BY name LIMIT ", n+1)
	err := s.read(ctx, func(ctx context.Context, ses *session) error {
		page = driver.CheckpointPage{End: true}
		return ses.query(ctx, string(t), func(row []sqldriver.Value) error {
			if len(page.Checkpoints) == n {
				page.End = false
				return errStop
			}
			cp, err := toCheckpoint(row)
			page.Checkpoints = append(page.Checkpoints, cp)
			page.Next = cp.Name
			return err
		})
	})
	if err != nil {
		return driver.CheckpointPage{}, err
	}
	return page, nil
}

// DeleteCheckpoint removes a checkpoint, if it is there.
func (s *Store) DeleteCheckpoint(ctx context.Context, called string) error {
	var t text
	t.add("DELETE FROM ", s.checkpoints(), " WHERE name=", name(called))
	return s.change(ctx, func(ctx context.Context, ses *session) error {
		_, err := ses.exec(ctx, string(t))
		return err
	})
}

// change makes a change that may be made twice, again until its outcome is known.
func (s *Store) change(ctx context.Context, f func(context.Context, *session) error) error {
	ctx, done, err := s.gate.Begin(ctx)
	if err != nil {
		return err
	}
	defer done()
	try := s.writing(ctx)
	defer try.end()
	sent := false
	for {
		err := s.withSession(try.ctx, func(ses *session) error {
			if err := endOf(try.ctx); err != nil {
				return err
			}
			return f(try.sending, ses)
		})
		if err == nil || isOurs(err) {
			return err
		}
		sent = sent || lost(err)
		if try.again(sent, err) {
			continue
		}
		if sent {
			return &driver.UnknownOutcomeError{Err: err}
		}
		return fail(endedBy(try.ctx, err))
	}
}
