package filestore

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/go-es/es/driver"
)

// Bounds of a page and of the work for it.
const (
	pageRecords = 500
	pageBytes   = 4 << 20 // and one record
	pageLooks   = 10_000  // events of the feed that a filter may leave out
)

// limited is how many things a page has at most.
func limited(limit int) int {
	if limit == 0 {
		return pageRecords
	}
	return min(limit, pageRecords)
}

// page is the records of a page.
type page struct {
	records []driver.Record
	limit   int
	bytes   int
}

func (p *page) full() bool { return len(p.records) == p.limit || p.bytes >= pageBytes }

func (p *page) add(r *driver.Record) {
	p.records = append(p.records, clone(r))
	p.bytes += driver.Size(r)
}

// ReadStream returns a page of one stream.
func (s *Store) ReadStream(ctx context.Context, q driver.StreamQuery) (driver.StreamPage, error) {
	if err := s.begin(ctx); err != nil {
		return driver.StreamPage{}, err
	}
	defer s.end()
	d := s.data
	d.mu.RLock()
	defer d.mu.RUnlock()
	state := d.state(q.Stream)
	switch {
	case state.Head == 0:
		return driver.StreamPage{}, &driver.StreamError{Stream: q.Stream, Err: driver.ErrStreamNotFound}
	case state.Closed && !q.Deleted:
		return driver.StreamPage{}, &driver.StreamError{Stream: q.Stream, Err: driver.ErrStreamDeleted}
	}
	v, step := max(q.From, 1), 1 // versions are unsigned: the step is added as an int
	if q.Backward {
		v, step = min(q.From, state.Head), -1
		if q.From == 0 {
			v = state.Head
		}
	}
	p := page{limit: limited(q.Limit)}
	for ; v >= 1 && v <= state.Head; v = driver.Version(int(v) + step) {
		e := d.event(q.Stream, v)
		if e.purged {
			continue
		}
		if p.full() {
			return driver.StreamPage{Records: p.records, Head: state.Head}, nil
		}
		p.add(&e.Record)
	}
	return driver.StreamPage{Records: p.records, Head: state.Head, End: true}, nil
}

// ReadAll returns a page of the feed.
func (s *Store) ReadAll(ctx context.Context, q driver.FeedQuery) (driver.FeedPage, error) {
	if err := s.begin(ctx); err != nil {
		return driver.FeedPage{}, err
	}
	defer s.end()
	d := s.data
	d.mu.RLock()
	defer d.mu.RUnlock()
	head := driver.Position(len(d.events))
	if at := max(q.After, q.Seen.Position); at > head {
		return driver.FeedPage{}, fmt.Errorf("%w: it is at position %d, and the last event is at %d", driver.ErrCheckpointAhead, at, head)
	}
	if p := q.Seen.Position; p > 0 && d.events[p-1].ID != q.Seen.ID {
		return driver.FeedPage{}, fmt.Errorf("%w: there is another event at position %d", driver.ErrCheckpointAhead, p)
	}
	p, next := page{limit: limited(q.Limit)}, q.After
	for next < head && next < q.After+pageLooks && !p.full() {
		if e := &d.events[next]; !e.purged && q.Filter.Match(&e.Record) {
			p.add(&e.Record)
		}
		next++
	}
	result := driver.FeedPage{Records: p.records, Next: next, End: next == head}
	if next > 0 {
		result.Seen = driver.Seen{Position: next, ID: d.events[next-1].ID}
	}
	return result, nil
}

// Head returns the position of the last event.
func (s *Store) Head(ctx context.Context) (driver.Position, error) {
	if err := s.begin(ctx); err != nil {
		return 0, err
	}
	defer s.end()
	s.data.mu.RLock()
	defer s.data.mu.RUnlock()
	return driver.Position(len(s.data.events)), nil
}

// ListStreams returns a page of the names of streams.
func (s *Store) ListStreams(ctx context.Context, q driver.ListQuery) (driver.ListPage, error) {
	if err := s.begin(ctx); err != nil {
		return driver.ListPage{}, err
	}
	defer s.end()
	d := s.data
	d.mu.RLock()
	defer d.mu.RUnlock()
	names, end := names(d.streams, q.Prefix, q.After, q.Limit)
	page := driver.ListPage{End: end}
	for _, name := range names {
		state := d.state(name)
		page.Streams = append(page.Streams, driver.StreamInfo{Stream: name, Version: state.Head, Closed: state.Closed})
		page.Next = name
	}
	return page, nil
}

// names returns the keys of m that have the prefix and come after another, in
// byte order, and whether these are all.
func names[V any](m map[string]V, prefix, after string, limit int) (page []string, end bool) {
	for _, name := range slices.Sorted(maps.Keys(m)) {
		if name <= after || !strings.HasPrefix(name, prefix) {
			continue
		}
		if len(page) == limited(limit) {
			return page, false
		}
		page = append(page, name)
	}
	return page, true
}
