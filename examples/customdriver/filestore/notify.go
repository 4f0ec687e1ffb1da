package filestore

import (
	"context"

	"github.com/go-es/es/driver"
)

var _ driver.Notifier = (*Store)(nil)

// Listen calls wake after appends by any store of the same path.
func (s *Store) Listen(ctx context.Context, wake func()) error {
	if err := s.begin(ctx); err != nil {
		return err
	}
	s.end() // Close does not wait for it, but ends it
	d, c := s.data, make(chan struct{}, 1)
	d.mu.Lock()
	d.listeners[c] = true
	d.mu.Unlock()
	defer func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		delete(d.listeners, c)
	}()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-s.done:
			return driver.ErrClosed
		case <-c:
			wake()
		}
	}
}
