package mysql

import (
	"cmp"
	"context"
	sqldriver "database/sql/driver"
	"errors"

	"github.com/go-es/es/driver"
)

// filterSpan is how many positions a page with a filter looks at.
const filterSpan = 10_000

// Head returns the last position.
func (s *Store) Head(ctx context.Context) (pos driver.Position, err error) {
	err = s.read(ctx, func(ctx context.Context, ses *session) error {
		if pos, err = s.lastPosition(ctx, ses); err != nil || uint64(pos) <= s.safe.Load() {
			return err
		}
		return s.flushed(ctx, ses) // or a crash may give it to another event, which a reader that begins here would miss
	})
	return pos, err
}

// ReadAll returns a page of the feed. It fills positions that nobody has written
// for a while.
func (s *Store) ReadAll(ctx context.Context, q driver.FeedQuery) (page driver.FeedPage, err error) {
	err = s.read(ctx, func(ctx context.Context, ses *session) error {
		page, err = s.readAll(ctx, ses, q)
		return err
	})
	if err != nil {
		return driver.FeedPage{}, err
	}
	return page, nil
}

// durable makes sure that what a page shows survives a crash of the server: its
// events must not be given to a reader, vanish, and leave their positions to
// others.
func (s *Store) durable(ctx context.Context, ses *session, after driver.Position, page driver.FeedPage) error {
	if s.hasLog(ses) || uint64(page.Next) <= s.safe.Load() || ses.tx != nil {
		return nil
	}
	if err := s.flushed(ctx, ses); err != nil {
		return err
	}
	for {
		safe := s.safe.Load()
		if uint64(page.Next) <= safe || uint64(after) > safe || s.safe.CompareAndSwap(safe, uint64(page.Next)) {
			return nil
		}
	}
}

func (s *Store) readAll(ctx context.Context, ses *session, q driver.FeedQuery) (driver.FeedPage, error) {
	for filled := false; ; filled = true {
		page, gap, err := s.feedPage(ctx, ses, q)
		if errors.Is(err, driver.ErrCheckpointAhead) { // a primary that was replaced may be behind
			return page, cmp.Or(ses.takesWrites(ctx), err)
		}
		if err == nil && page.Next > q.After {
			return page, s.durable(ctx, ses, q.After, page)
		}
		if err != nil || gap.to == 0 || filled {
			return page, err
		}
		if ok, err := s.fill(ctx, ses, gap); err != nil || !ok {
			return page, err
		}
	}
}

// gap is positions without a row, below one that has one.
type gap struct {
	from, to driver.Position // the first missing one, and the one above the last
}

// feedPage returns the page up to the first position that has no row yet. If that
// is why it ends, there is a gap.
func (s *Store) feedPage(ctx context.Context, ses *session, q driver.FeedQuery) (driver.FeedPage, gap, error) {
	if !q.Filter.IsZero() {
		return s.filteredPage(ctx, ses, q)
	}
	n := pageSize(q.Limit)
	p := newReader(n, 0)
	page := driver.FeedPage{Next: q.After, Seen: q.Seen}
	rows, seen := 0, q.Seen.Position == 0
	var missing gap
	st, args := readFeed, []any{int64(q.After), int64(n) + 1} // one tells whether there is more
	if !seen {
		st, args = readFeedSince, []any{int64(q.After), int64(q.Seen.Position), int64(n) + 2}
	}
	events, more := false, false
	err := s.ask(ctx, ses, st, func(row []sqldriver.Value) error {
		r, ok := unpack(row[0])
		position := driver.Position(r.position)
		if !seen {
			seen = true
			if position != q.Seen.Position || r.id != q.Seen.ID {
				return driver.ErrCheckpointAhead
			}
			return nil // what has become of its data does not matter any more
		}
		if !ok {
			return corrupt("the event after position %d cannot be what was stored", page.Next)
		}
		if position > page.Next+1 {
			missing = gap{page.Next + 1, position}
			return errStop
		}
		if rows == n || p.isFull() {
			more = true
			return errStop
		}
		rows++
		page.Next = position
		if r.kind == kindFiller {
			return nil
		}
		page.Seen = driver.Seen{Position: position, ID: r.id}
		events = true
		if len(r.stream) == 0 {
			return corrupt("the event at position %d has no stream", position)
		}
		if r.kind != kindPurged {
			p.add(&r, "")
		}
		return nil
	}, args...)
	if err == nil && !seen {
		err = driver.ErrCheckpointAhead
	}
	if err != nil {
		return driver.FeedPage{}, gap{}, err
	}
	if page.Next == q.After && missing.to == 0 {
		if page.Seen.Position != q.After { // nothing says that q.After was ever there
			err = s.reached(ctx, ses, q.After)
		}
		page.End = true
		return page, gap{}, err
	}
	page.End = !more && missing.to == 0
	if page.Records, err = s.complete(ctx, ses, p); err == nil && !events && page.Next > q.After {
		page.Seen, err = s.lastSeen(ctx, ses, page.Next)
	}
	return page, missing, err
}

// reached returns ErrCheckpointAhead if no row has a position so high.
func (s *Store) reached(ctx context.Context, ses *session, p driver.Position) error {
	if p == 0 {
		return nil
	}
	last, err := s.lastPosition(ctx, ses)
	if err == nil && p > last {
		err = driver.ErrCheckpointAhead
	}
	return err
}

// lastSeen returns the last event at or below a position.
func (s *Store) lastSeen(ctx context.Context, ses *session, p driver.Position) (seen driver.Seen, err error) {
	var t text
	t.add("SELECT position,id FROM ", s.events, " WHERE position<=", int64(p), " AND kind<>1 ORDER BY position DESC LIMIT 1")
	err = ses.query(ctx, string(t), func(row []sqldriver.Value) error {
		id, ok := row[1].([]byte)
		if !ok || len(id) != len(seen.ID) {
			return corrupt("the event at position %v has the id %v", row[0], row[1])
		}
		seen = driver.Seen{Position: driver.Position(integer(row[0])), ID: driver.ID(id)}
		return nil
	})
	return seen, err
}

// filteredPage is feedPage with a filter. First it finds out how far positions go
// without a gap; what is there at that time does not change any more.
func (s *Store) filteredPage(ctx context.Context, ses *session, q driver.FeedQuery) (driver.FeedPage, gap, error) {
	page := driver.FeedPage{Next: q.After, Seen: q.Seen}
	if q.Seen.Position != 0 {
		var t text
		t.add("SELECT position,id FROM ", s.events, " WHERE position=", int64(q.Seen.Position))
		err := error(driver.ErrCheckpointAhead)
		if failed := ses.query(ctx, string(t), func(row []sqldriver.Value) error {
			if id, ok := row[1].([]byte); ok && string(id) == string(q.Seen.ID[:]) {
				err = nil
			}
			return nil
		}); failed != nil || err != nil {
			return driver.FeedPage{}, gap{}, cmp.Or(failed, err)
		}
	}
	last, count, missing, err := s.span(ctx, ses, q.After)
	if err != nil {
		return driver.FeedPage{}, gap{}, err
	}
	if last == q.After {
		if missing.to == 0 {
			err = s.reached(ctx, ses, q.After)
		}
		page.End = missing.to == 0
		return page, missing, err
	}
	n := pageSize(q.Limit)
	p := newReader(n, 0)
	t := make(text, 0, 1024)
	t.add("SELECT "+ofFeed+" FROM ", s.events, " WHERE position>", int64(q.After), " AND position<=", int64(last), " AND kind IN (0,3,4)")
	t.filter(q.Filter)
	t.add(" ORDER BY position LIMIT ", n)
	more := false
	err = ses.query(ctx, string(t), func(row []sqldriver.Value) error {
		r, ok := unpack(row[0])
		if !ok || len(r.stream) == 0 {
			return corrupt("an event after position %d cannot be what was stored", q.After)
		}
		if p.isFull() {
			more = true
			return errStop
		}
		p.add(&r, "")
		return nil
	})
	if err != nil {
		return driver.FeedPage{}, gap{}, err
	}
	page.Next = last
	if l := len(p.records); l == n || more {
		page.Next = p.records[l-1].Position
	}
	page.End = page.Next == last && missing.to == 0 && count < filterSpan
	if page.Records, err = s.complete(ctx, ses, p); err == nil {
		page.Seen, err = s.lastSeen(ctx, ses, page.Next)
	}
	return page, missing, err
}

// span returns the position up to which there are rows without a gap, and how
// many rows it looked at.
func (s *Store) span(ctx context.Context, ses *session, after driver.Position) (last driver.Position, count int, missing gap, err error) {
	last = after
	var t text
	t.add("SELECT COUNT(*),MAX(position) FROM (SELECT position FROM ", s.events, " WHERE position>", int64(after), " ORDER BY position LIMIT ", filterSpan, ") t")
	var most driver.Position
	err = ses.query(ctx, string(t), func(row []sqldriver.Value) error {
		if count = int(integer(row[0])); count > 0 {
			most = driver.Position(integer(row[1]))
		}
		return nil
	})
	if err != nil || count == 0 {
		return last, count, missing, err
	}
	if most == after+driver.Position(count) {
		return most, count, missing, nil
	}
	t = t[:0]
	t.add("SELECT position FROM ", s.events, " WHERE position>", int64(after), " ORDER BY position LIMIT ", filterSpan)
	err = ses.query(ctx, string(t), func(row []sqldriver.Value) error {
		position := driver.Position(integer(row[0]))
		if position > last+1 {
			missing = gap{last + 1, position}
			return errStop
		}
		last = position
		return nil
	})
	return last, count, missing, err
}

// filter adds the conditions of a filter.
func (t *text) filter(f driver.Filter) {
	if len(f.Types) > 0 {
		t.add(" AND type IN (")
		for i, typ := range f.Types {
			if i > 0 {
				t.add(",")
			}
			t.add(name(typ))
		}
		t.add(")")
	}
	if len(f.Prefixes) > 0 {
		t.add(" AND (")
		for i, prefix := range f.Prefixes {
			if i > 0 {
				t.add(" OR ")
			}
			t.add("LEFT(stream,", len(prefix), ")=", name(prefix))
		}
		t.add(")")
	}
}
