package driver

import (
	"context"
	"errors"
	"fmt"
)

// Notifier is a [Store] that can tell when others have appended (W1, W2).
type Notifier interface {
	// Listen calls wake when there may be something new in the feed, and
	// returns when ctx ends or the store closes. wake must not block.
	Listen(ctx context.Context, wake func()) error
}

// Listen calls the store's Listen, or returns an error that is
// errors.ErrUnsupported.
func Listen(ctx context.Context, s Store, wake func()) error {
	if n, ok := s.(Notifier); ok {
		return n.Listen(ctx, wake)
	}
	return fmt.Errorf("es: this store sends no wake-ups: %w", errors.ErrUnsupported)
}
