package memory

import (
	"context"
	"sync"

	"github.com/go-es/es/driver"
)

// listeners are the calls of Listen that run on some data.
type listeners struct {
	mu    sync.Mutex
	wakes map[chan struct{}]bool // each with room for one
}

// wake lets every Listen call its wake, once for all that came since the last.
func (l *listeners) wake() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.wakes {
		select {
		case c <- struct{}{}:
		default:
		}
	}
}

func (l *listeners) add(c chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.wakes == nil {
		l.wakes = map[chan struct{}]bool{}
	}
	l.wakes[c] = true
}

func (l *listeners) remove(c chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.wakes, c)
}

// Listen calls wake after appends by any store of the same data, this one too.
func (s *Store) Listen(ctx context.Context, wake func()) error {
	if err := s.check(ctx); err != nil {
		return err
	}
	c := make(chan struct{}, 1)
	s.data.listeners.add(c)
	defer s.data.listeners.remove(c)
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
