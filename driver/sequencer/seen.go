package sequencer

import (
	"context"
	"fmt"

	"github.com/go-es/es/driver"
)

// maxSeen bounds what is remembered of events that were seen.
const maxSeen = 4096

// seen remembers ids of events at positions that pages ended with, so that the
// next query of the same reader costs nothing.
type seen struct {
	ids map[driver.Position]driver.ID
	// last has, for places where no id is known, the last event below that has one.
	last map[driver.Position]driver.Seen
}

// remember notes what a page up to next said was seen.
func (s *Sequencer) remember(next driver.Position, at driver.Seen) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.seen.ids == nil || len(s.seen.ids)+len(s.seen.last) > maxSeen {
		s.seen = seen{map[driver.Position]driver.ID{}, map[driver.Position]driver.Seen{}}
	}
	if at.Position > 0 {
		s.seen.ids[at.Position] = at.ID
	}
	if at.Position < next {
		s.seen.last[next] = at
	}
}

// verify fails unless the event that a reader saw is in the feed.
func (s *Sequencer) verify(ctx context.Context, q driver.Seen) error {
	if q.Position == 0 {
		return nil
	}
	s.mu.Lock()
	known := s.seen.ids[q.Position] == q.ID
	s.mu.Unlock()
	if known {
		return nil
	}
	runs, err := s.runs(ctx, q.Position, 1)
	if err != nil {
		return err
	}
	events, err := s.fetch(ctx, runs)
	if err != nil {
		return err
	}
	switch e := &events[0]; {
	case e.Record.ID == q.ID:
		s.remember(q.Position, q)
	case !e.Purged || !e.Record.ID.IsZero():
		return fmt.Errorf("%w: the event at position %d is %v, and the reader saw %v there", driver.ErrCheckpointAhead, q.Position, e.Record.ID, q.ID)
	}
	return nil
}

// lastSeen returns the last event at or below a position that has an id.
func (s *Sequencer) lastSeen(ctx context.Context, at driver.Position) (driver.Seen, error) {
	const step = 100
	for at > 0 {
		s.mu.Lock()
		id, known := s.seen.ids[at]
		last, ok := s.seen.last[at]
		s.mu.Unlock()
		if known {
			return driver.Seen{Position: at, ID: id}, nil
		}
		if ok {
			return last, nil
		}
		from := max(at, step) - step + 1
		var found driver.Seen
		for p := from; p <= at; {
			runs, err := s.runs(ctx, p, int(at-p)+1)
			if err != nil {
				return driver.Seen{}, err
			}
			events, err := s.fetch(ctx, runs)
			if err != nil {
				return driver.Seen{}, err
			}
			for i := range events {
				if id := events[i].Record.ID; !id.IsZero() {
					found = driver.Seen{Position: p, ID: id}
				}
				p++
			}
		}
		if found.Position > 0 {
			return found, nil
		}
		at = from - 1
	}
	return driver.Seen{}, nil
}
