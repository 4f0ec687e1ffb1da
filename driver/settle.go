package driver

import (
	"context"
	"errors"
	"fmt"
)

// Settler is a [Store] whose positions come after the append (T1).
type Settler interface {
	// Settled returns the last version of the stream that has a position in the
	// feed. It does not help to assign one: ReadAll does.
	Settled(ctx context.Context, stream string) (Version, error)
}

// Settled calls the store's Settled. Where positions come with the append it
// returns the stream's head, 0 for a stream that does not exist.
func Settled(ctx context.Context, s Store, stream string) (Version, error) {
	if t, ok := s.(Settler); ok {
		return t.Settled(ctx, stream)
	}
	if !s.Caps().PositionOnAppend {
		return 0, fmt.Errorf("es: this store has late positions and no Settled: %w", errors.ErrUnsupported)
	}
	page, err := s.ReadStream(ctx, StreamQuery{Stream: stream, Backward: true, Limit: 1, Deleted: true})
	if errors.Is(err, ErrStreamNotFound) {
		return 0, nil
	}
	return page.Head, err
}
