package mysql

import (
	"context"
	"time"

	"github.com/go-es/es/driver"
)

// How often Listen asks for the last position: often while events come, and ever
// more seldom while none do.
const (
	listenOften  = 10 * time.Millisecond
	listenSeldom = 100 * time.Millisecond
)

// Listen calls wake at once when a store of this process has appended to the same
// tables, and when it sees that another process has: it asks for the last position
// every 10 to 100 ms while it runs.
func (s *Store) Listen(ctx context.Context, wake func()) error {
	ctx, done, err := s.gate.Begin(ctx)
	if err != nil {
		return err
	}
	defer done()
	look := func() (pos driver.Position, err error) {
		err = s.reading(ctx, func(ses *session) error {
			pos, err = s.lastPosition(ctx, ses)
			return err
		})
		return pos, err
	}
	last, err := look()
	broken := err != nil
	every := listenOften
	timer := time.NewTimer(every)
	defer timer.Stop()
	news := s.hub.Watch()
	for {
		select {
		case <-ctx.Done():
			return endOf(ctx)
		case <-s.gate.Closing():
			return driver.ErrClosed
		case <-news:
			news = s.hub.Watch()
			wake()
			every = listenOften
			continue
		case <-timer.C:
		}
		pos, err := look()
		switch {
		case err == nil && (pos != last || broken): // while it could not look, something may have come
			last, broken, every = pos, false, listenOften
			wake()
		case err != nil:
			broken, every = true, listenSeldom
		default:
			every = min(every+every/4, listenSeldom)
		}
		timer.Reset(every)
	}
}
