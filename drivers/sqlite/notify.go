package sqlite

import (
	"context"
	"errors"
	"path/filepath"
	"time"

	"github.com/go-es/es/driver"
	"github.com/go-es/es/internal/hub"
)

// listenEvery is how often Listen looks for what other processes appended.
const listenEvery = 15 * time.Millisecond

// Listen calls wake at once when a store of this process has written to the
// file, and when it sees that another process has appended: it asks for the last
// position every 15 ms while it runs.
func (s *Store) Listen(ctx context.Context, wake func()) error {
	if err := s.gate.Enter(ctx); err != nil {
		return err
	}
	defer s.gate.Leave()
	var last driver.Position
	if pos, err := s.Head(ctx); err == nil {
		last = pos
	}
	damaged := false
	tick := time.NewTicker(listenEvery)
	defer tick.Stop()
	news := s.hub.Watch()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-s.gate.Closing():
			return driver.ErrClosed
		case <-news:
			news = s.hub.Watch()
			wake()
			continue
		case <-tick.C:
		}
		pos, err := s.Head(ctx)
		if bad := errors.Is(err, driver.ErrCorrupt); bad != damaged {
			damaged = bad
			wake() // who reads is told
		}
		if err == nil && pos != last { // an error may pass
			last = pos
			wake()
		}
	}
}

// joinHub returns the hub of a file. A database in memory has one of its own.
func joinHub(file string) *hub.Hub {
	if real, err := filepath.EvalSymlinks(file); file != "" && err == nil {
		file = real
	}
	return hub.Join(file)
}
