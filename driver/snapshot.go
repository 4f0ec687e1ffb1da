package driver

import (
	"context"
	"errors"
	"fmt"
)

// Snapshot is a state that was computed from a stream.
type Snapshot struct {
	Stream   string
	Kind     string  // what the state is of; one snapshot is kept for each
	Version  Version // of the last event that went into it
	EventID  ID      // the id of that event: tells when the history was replaced
	Encoding string
	Data     []byte
}

// SnapshotSize is what a snapshot counts against Caps.MaxSnapshotBytes.
func SnapshotSize(s *Snapshot) int {
	return recordOverhead + len(s.Data) + len(s.Encoding)
}

// SnapshotStore is a [Store] that keeps snapshots (P1 to P6, D8). To keep a
// race from leaving data behind, a delete writes its tombstone first and then
// erases the snapshots, and a saver writes first, then looks at the stream's
// head and erases its own if the stream is closed; or both are one transaction.
type SnapshotStore interface {
	// LoadSnapshot returns the snapshot, or the zero Snapshot.
	LoadSnapshot(ctx context.Context, stream, kind string) (Snapshot, error)
	// SaveSnapshot keeps s unless there is a newer one. It does not compare
	// s.Version with the stream's.
	SaveSnapshot(ctx context.Context, s Snapshot) error
	// DeleteSnapshot removes a snapshot, if it is there.
	DeleteSnapshot(ctx context.Context, stream, kind string) error
}

// Snapshots returns the store's SnapshotStore, or an error that is
// errors.ErrUnsupported.
func Snapshots(s Store) (SnapshotStore, error) {
	if c, ok := s.(SnapshotStore); ok {
		return c, nil
	}
	return nil, fmt.Errorf("es: this store keeps no snapshots: %w", errors.ErrUnsupported)
}
