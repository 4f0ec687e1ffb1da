package driver

import (
	"context"
	"errors"
	"fmt"
)

// Revision tells one state of a checkpoint from another: 16 random bytes that
// the saver chooses, so that it recognises its own when it must send again.
type Revision = ID

// Checkpoint is how far a reader of the feed has come.
type Checkpoint struct {
	Name     string
	Position Position // read up to here, inclusive
	SeenAt   Position // of the last event delivered; at or below Position; 0 if none
	SeenID   ID       // the id of that event
	Revision Revision
}

// CheckpointStore is a [Store] that keeps checkpoints (C1 to C6).
type CheckpointStore interface {
	// LoadCheckpoint returns the checkpoint, or the zero Checkpoint.
	LoadCheckpoint(ctx context.Context, name string) (Checkpoint, error)
	// SaveCheckpoint replaces the checkpoint of revision prev, or creates it if
	// prev is zero. Errors: ErrCheckpointConflict, ErrUnknownOutcome: save the
	// same again.
	SaveCheckpoint(ctx context.Context, cp Checkpoint, prev Revision) error
	// ListCheckpoints returns a page of the checkpoints.
	ListCheckpoints(ctx context.Context, q CheckpointQuery) (CheckpointPage, error)
	// DeleteCheckpoint removes a checkpoint, if it is there.
	DeleteCheckpoint(ctx context.Context, name string) error
}

// CheckpointQuery asks for a page of the checkpoints after a name.
type CheckpointQuery struct {
	After string
	Limit int // at most so many; 0 is the store's choice
}

// CheckpointPage is a page of the checkpoints.
type CheckpointPage struct {
	Checkpoints []Checkpoint
	Next        string // the After of the following page
	End         bool
}

// Checkpoints returns the store's CheckpointStore, or an error that is
// errors.ErrUnsupported.
func Checkpoints(s Store) (CheckpointStore, error) {
	if c, ok := s.(CheckpointStore); ok {
		return c, nil
	}
	return nil, fmt.Errorf("es: this store keeps no checkpoints: %w", errors.ErrUnsupported)
}
