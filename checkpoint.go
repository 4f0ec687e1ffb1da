package es

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/go-es/es/driver"
)

// Checkpoint is how far a reader of the feed has come. Load it, read on from it
// with [Resume], move it with [Page.Checkpoint] or [Record.Seen], and save it.
type Checkpoint = driver.Checkpoint

// Checkpoint loads a checkpoint; one that was never saved is at position 0. The
// error is errors.ErrUnsupported where the driver keeps none.
func (s *Store) Checkpoint(ctx context.Context, name string) (cp Checkpoint, err error) {
	c, err := driver.Checkpoints(s.drv)
	if err != nil {
		return cp, err
	}
	if err := driver.CheckName("checkpoint", name); err != nil {
		return cp, err
	}
	err = s.call(ctx, Op{Name: "load checkpoint"}, func(ctx context.Context) (int, error) {
		cp, err = c.LoadCheckpoint(ctx, name)
		return 0, err
	})
	cp.Name = name
	return cp, err
}

// SaveCheckpoint saves a checkpoint that was loaded or saved before and moved
// since. It fails with [ErrCheckpointConflict] if another has saved it meanwhile,
// so that of two readers of one name one stops. It returns the checkpoint to go
// on with. After [ErrUnknownOutcome], load the checkpoint: it is the one saved or the one
// before, and to save again would meet one's own as another's.
func (s *Store) SaveCheckpoint(ctx context.Context, cp Checkpoint) (Checkpoint, error) {
	c, err := driver.Checkpoints(s.drv)
	if err != nil {
		return cp, err
	}
	next := cp
	next.Revision = driver.NewID(s.clock())
	if err := driver.Check(s.caps, next); err != nil {
		return cp, err
	}
	err = s.call(ctx, Op{Name: "save checkpoint"}, func(ctx context.Context) (int, error) {
		return 0, idempotent(c.SaveCheckpoint(ctx, next, cp.Revision)) // it recognises its own revision
	})
	if errors.Is(err, ErrCheckpointConflict) {
		err = fmt.Errorf("%w: %q", ErrCheckpointConflict, cp.Name)
	}
	if err != nil {
		return cp, err
	}
	return next, nil
}

// Checkpoints lists all checkpoints in byte order of their names. An error is the
// last thing that it gives.
func (s *Store) Checkpoints(ctx context.Context) iter.Seq2[Checkpoint, error] {
	return func(yield func(Checkpoint, error) bool) {
		if err := s.listCheckpoints(ctx, func(cp Checkpoint) bool { return yield(cp, nil) }); err != nil {
			yield(Checkpoint{}, err)
		}
	}
}

func (s *Store) listCheckpoints(ctx context.Context, yield func(Checkpoint) bool) error {
	c, err := driver.Checkpoints(s.drv)
	if err != nil {
		return err
	}
	for q := (driver.CheckpointQuery{}); ; {
		var page driver.CheckpointPage
		err := s.call(ctx, Op{Name: "list checkpoints"}, func(ctx context.Context) (int, error) {
			var err error
			page, err = c.ListCheckpoints(ctx, q)
			return 0, err
		})
		if err != nil {
			return err
		}
		for _, cp := range page.Checkpoints {
			if !yield(cp) {
				return nil
			}
		}
		if page.End {
			return nil
		}
		if page.Next <= q.After {
			return fmt.Errorf("%w: the listing of checkpoints does not go on after %q", ErrCorrupt, q.After)
		}
		q.After = page.Next
	}
}

// DeleteCheckpoint removes a checkpoint, if it is there; its reader begins anew. End the
// reader first. If its connection broke while it saved for the first time, that save may
// still be on its way, and bring the checkpoint back.
func (s *Store) DeleteCheckpoint(ctx context.Context, name string) error {
	c, err := driver.Checkpoints(s.drv)
	if err != nil {
		return err
	}
	if err := driver.CheckName("checkpoint", name); err != nil {
		return err
	}
	return s.call(ctx, Op{Name: "delete checkpoint"}, func(ctx context.Context) (int, error) {
		return 0, idempotent(c.DeleteCheckpoint(ctx, name))
	})
}
