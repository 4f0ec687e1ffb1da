package sequencer

import (
	"context"
	"fmt"

	"github.com/go-es/es/driver"
)

// ReadAll is the ReadAll of a driver.Store, filters included (Caps.FilterFeed).
// At the end of the log it looks for more, and sequences what it finds. End says
// that nothing is known that has no position yet, all appends that Appended told
// of among it.
func (s *Sequencer) ReadAll(ctx context.Context, q driver.FeedQuery) (driver.FeedPage, error) {
	if err := ctx.Err(); err != nil {
		return driver.FeedPage{}, err
	}
	if err := s.reach(ctx, q.After); err != nil {
		return driver.FeedPage{}, err
	}
	if err := s.verify(ctx, q.Seen); err != nil {
		return driver.FeedPage{}, err
	}
	if s.position() == q.After {
		if err := s.look(ctx, q.After); err != nil {
			return driver.FeedPage{}, err
		}
		if s.position() == q.After {
			return driver.FeedPage{Next: q.After, End: !s.waits()}, nil
		}
	}
	return s.page(ctx, q)
}

// reach makes sure that the log goes to a position.
func (s *Sequencer) reach(ctx context.Context, after driver.Position) error {
	s.mu.Lock()
	ok, end := s.known && after <= s.end, s.end
	s.mu.Unlock()
	if ok {
		return nil
	}
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
		return ctx.Err()
	}
	tip, err := s.b.Tip(ctx, end)
	if err != nil {
		return err
	}
	s.round.jump(tip)
	if end = s.position(); after > end {
		return fmt.Errorf("%w: the last event is at position %d", driver.ErrCheckpointAhead, end)
	}
	return nil
}

// page reads events that the log has.
func (s *Sequencer) page(ctx context.Context, q driver.FeedQuery) (driver.FeedPage, error) {
	limit, scan := q.Limit, q.Limit
	if limit == 0 || limit > s.cfg.PageEvents {
		limit, scan = s.cfg.PageEvents, s.cfg.PageEvents
	}
	if !q.Filter.IsZero() {
		scan = s.cfg.PageEvents
	}
	runs, err := s.runs(ctx, q.After+1, scan)
	if err != nil {
		return driver.FeedPage{}, err
	}
	wanted := matching(runs, q.Filter)
	events, err := s.fetch(ctx, wanted)
	if err != nil {
		return driver.FeedPage{}, err
	}
	page := driver.FeedPage{}
	for i := range events {
		e := &events[i]
		p := e.Record.Position
		match := !e.Purged && q.Filter.Match(&e.Record)
		if match && len(page.Records) == limit {
			break
		}
		page.Next = p
		if !e.Record.ID.IsZero() {
			page.Seen = driver.Seen{Position: p, ID: e.Record.ID}
		}
		if match {
			page.Records = append(page.Records, e.Record)
		}
	}
	if page.Seen.Position < page.Next && len(wanted) < len(runs) || page.Seen.Position == 0 {
		// The events that were skipped may have ids, or those before the page.
		if page.Seen, err = s.lastSeen(ctx, page.Next); err != nil {
			return driver.FeedPage{}, err
		}
	}
	s.remember(page.Next, page.Seen)
	return page, nil
}

// matching returns the runs of streams that a filter lets through, and the last
// event of all, which says what was seen.
func matching(runs []Run, f driver.Filter) []Run {
	if len(f.Prefixes) == 0 {
		return runs
	}
	var out []Run
	for i, run := range runs {
		switch {
		case (driver.Filter{Prefixes: f.Prefixes}).Match(&driver.Record{Stream: run.Stream}):
		case i < len(runs)-1:
			continue
		default:
			run.Position += driver.Position(run.To - run.From)
			run.From = run.To
		}
		out = append(out, run)
	}
	return out
}

// fetch returns the events of runs, at least the first, with their positions.
func (s *Sequencer) fetch(ctx context.Context, runs []Run) ([]Event, error) {
	events, err := s.b.Fetch(ctx, runs)
	if err != nil {
		return nil, err
	}
	if len(events) == 0 {
		return nil, fmt.Errorf("%w: version %d of stream %q is in the log at position %d, and is not there", driver.ErrCorrupt, runs[0].From, runs[0].Stream, runs[0].Position)
	}
	i := 0
	for _, run := range runs {
		for v := run.From; v <= run.To && i < len(events); v++ {
			r := &events[i].Record
			if r.Position = run.Position + driver.Position(v-run.From); !events[i].Purged && (r.Stream != run.Stream || r.Version != v) {
				return nil, fmt.Errorf("%w: version %d of stream %q is in the log at position %d, and version %d of stream %q was found", driver.ErrCorrupt, v, run.Stream, r.Position, r.Version, r.Stream)
			}
			i++
		}
	}
	if i < len(events) {
		return nil, fmt.Errorf("%w: %d events of the log were asked for, and %d were found", driver.ErrCorrupt, i, len(events))
	}
	return events, nil
}

// runs returns the runs of up to n positions from at on, which the log has.
func (s *Sequencer) runs(ctx context.Context, at driver.Position, n int) ([]Run, error) {
	var runs []Run
	for n > 0 && at <= s.position() {
		b, err := s.batch(ctx, at, len(runs) > 0)
		if err != nil {
			return nil, err
		}
		if len(b.Spans) == 0 {
			break // a page may end anywhere
		}
		p := b.First
		for i := range b.Spans {
			sp := &b.Spans[i]
			next := p + driver.Position(sp.Last-sp.First+1)
			if next > at && n > 0 {
				run := Run{Stream: sp.Stream, First: sp.First, Last: sp.Last, From: sp.First + driver.Version(at-p), To: sp.Last, Position: at}
				if most := run.From + driver.Version(n) - 1; run.To > most {
					run.To = most
				}
				runs = append(runs, run)
				n -= int(run.To-run.From) + 1
				at = next
			}
			p = next
		}
	}
	return runs, nil
}

// batch returns the batch that holds a position of the log. Where it may, it
// returns the zero batch instead of asking in a way that costs more.
func (s *Sequencer) batch(ctx context.Context, at driver.Position, may bool) (Batch, error) {
	s.mu.Lock()
	b, ok := s.log.holding(at)
	before, follows := s.log.holding(at - 1)
	s.mu.Unlock()
	if ok {
		return b, nil
	}
	if at == 1 || follows && before.Next() == at {
		read, err := s.b.Log(ctx, at, logBatches)
		if err != nil {
			return Batch{}, err
		}
		next := at
		s.mu.Lock()
		for _, b := range read {
			if b.First != next {
				break
			}
			s.log.add(b)
			next = b.Next()
		}
		s.mu.Unlock()
		if next > at {
			return read[0], nil
		}
	}
	if may {
		return Batch{}, nil
	}
	b, err := s.b.Find(ctx, at)
	if err != nil {
		return Batch{}, err
	}
	if b.First == 0 || b.First > at || b.Next() <= at {
		return Batch{}, fmt.Errorf("%w: the log has no batch that holds position %d, and goes on after it", driver.ErrCorrupt, at)
	}
	s.mu.Lock()
	s.log.add(b)
	s.mu.Unlock()
	return b, nil
}
