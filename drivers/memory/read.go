package memory

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/go-es/es/driver"
)

// A page has at most pageSize records or names, and records of pageBytes; a call
// looks at scanSize records of the feed. So long others wait for the lock.
const (
	pageSize  = 1000
	pageBytes = 4 << 20
	scanSize  = 50_000
)

func limited(limit int) int {
	if limit == 0 {
		return pageSize
	}
	return min(limit, pageSize)
}

// room is what still fits into a page.
type room struct{ records, bytes int }

func newRoom(limit int) room { return room{limited(limit), pageBytes} }

// take reports whether a record fits. The first one always does.
func (m *room) take(r *driver.Record) bool {
	if m.records <= 0 || m.bytes <= 0 {
		return false
	}
	m.records--
	m.bytes -= driver.Size(r)
	return true
}

// ReadStream returns a page of one stream.
func (s *Store) ReadStream(ctx context.Context, q driver.StreamQuery) (driver.StreamPage, error) {
	if err := s.check(ctx); err != nil {
		return driver.StreamPage{}, err
	}
	d := s.data
	d.mu.RLock()
	defer d.mu.RUnlock()
	st := d.streams[q.Stream]
	if st == nil {
		return driver.StreamPage{}, &driver.StreamError{Stream: q.Stream, Err: driver.ErrStreamNotFound}
	}
	if st.closed && !q.Deleted {
		return driver.StreamPage{}, &driver.StreamError{Stream: q.Stream, Err: driver.ErrStreamDeleted}
	}
	page := driver.StreamPage{Head: st.head()}
	// What is left of the stream are the versions from first to the head.
	first, last := driver.Version(1), page.Head
	if st.purged {
		first = last
	}
	room := newRoom(q.Limit)
	page.End = true
	take := func(v driver.Version) bool {
		r := &d.feed[st.positions[v-1]-1].Record
		if page.End = room.take(r); page.End {
			page.Records = append(page.Records, clone(r))
		}
		return page.End
	}
	if q.Backward {
		if q.From > 0 {
			last = min(last, q.From)
		}
		for v := last; v >= first && take(v); v-- {
		}
	} else {
		for v := max(first, q.From); v <= last && take(v); v++ {
		}
	}
	return page, nil
}

// ReadAll returns a page of the feed.
func (s *Store) ReadAll(ctx context.Context, q driver.FeedQuery) (driver.FeedPage, error) {
	if err := s.check(ctx); err != nil {
		return driver.FeedPage{}, err
	}
	d := s.data
	d.mu.RLock()
	defer d.mu.RUnlock()
	head := driver.Position(len(d.feed))
	if q.After > head {
		return driver.FeedPage{}, fmt.Errorf("%w: the last event is at position %d", driver.ErrCheckpointAhead, head)
	}
	if p := q.Seen.Position; p > 0 && d.feed[p-1].ID != q.Seen.ID {
		return driver.FeedPage{}, fmt.Errorf("%w: the event at position %d is %v, and the reader saw %v there", driver.ErrCheckpointAhead, p, d.feed[p-1].ID, q.Seen.ID)
	}
	room := newRoom(q.Limit)
	all := q.Filter.IsZero()
	page := driver.FeedPage{Next: q.After}
	for page.Next < head && page.Next-q.After < scanSize {
		if e := &d.feed[page.Next]; !e.purged && (all || q.Filter.Match(&e.Record)) {
			if !room.take(&e.Record) {
				break
			}
			page.Records = append(page.Records, clone(&e.Record))
		}
		page.Next++
	}
	page.End = page.Next == head
	if page.Next > q.After {
		page.Seen = driver.Seen{Position: page.Next, ID: d.feed[page.Next-1].ID}
	}
	return page, nil
}

// Head returns the position of the last event.
func (s *Store) Head(ctx context.Context) (driver.Position, error) {
	if err := s.check(ctx); err != nil {
		return 0, err
	}
	s.data.mu.RLock()
	defer s.data.mu.RUnlock()
	return driver.Position(len(s.data.feed)), nil
}

// ListStreams returns a page of the names of streams.
func (s *Store) ListStreams(ctx context.Context, q driver.ListQuery) (driver.ListPage, error) {
	if err := s.check(ctx); err != nil {
		return driver.ListPage{}, err
	}
	d := s.data
	defer d.lockSorted()()
	from, found := slices.BinarySearch(d.names, max(q.After, q.Prefix))
	if found && q.After >= q.Prefix {
		from++
	}
	limit := limited(q.Limit)
	page := driver.ListPage{End: true}
	for _, name := range d.names[from:] {
		if !strings.HasPrefix(name, q.Prefix) {
			break
		}
		if len(page.Streams) == limit {
			page.End = false
			break
		}
		st := d.streams[name]
		page.Streams = append(page.Streams, driver.StreamInfo{Stream: name, Version: st.head(), Closed: st.closed})
		page.Next = name
	}
	return page, nil
}

// lockSorted takes a lock under which names has all names: that of readers, or that of
// writers where there are new ones. It returns what gives it back.
func (d *data) lockSorted() (unlock func()) {
	d.mu.RLock()
	if len(d.fresh) == 0 {
		return d.mu.RUnlock
	}
	d.mu.RUnlock()
	d.mu.Lock()
	d.names = append(d.names, d.fresh...)
	d.fresh = nil
	slices.Sort(d.names)
	return d.mu.Unlock
}
