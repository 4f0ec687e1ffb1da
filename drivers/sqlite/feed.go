package sqlite

import (
	"context"
	sqldriver "database/sql/driver"
	"encoding/json"
	"fmt"

	"github.com/go-es/es/driver"
)

// filterSpan is how many positions a page with a filter looks at.
const filterSpan = 20_000

// Head returns the last position.
func (s *Store) Head(ctx context.Context) (pos driver.Position, err error) {
	err = s.read(ctx, func(ses session) error {
		pos, err = lastPosition(ses)
		return err
	})
	return pos, err
}

func lastPosition(ses session) (driver.Position, error) {
	var last int64
	err := ses.query(head, func(row []sqldriver.Value) error {
		last, _ = row[0].(int64)
		return errStop
	})
	return driver.Position(last), err
}

// ReadAll returns a page of the feed.
func (s *Store) ReadAll(ctx context.Context, q driver.FeedQuery) (page driver.FeedPage, err error) {
	err = s.read(ctx, func(ses session) error {
		page, err = readAll(ctx, ses, q)
		return err
	})
	return page, err
}

func readAll(ctx context.Context, ses session, q driver.FeedQuery) (driver.FeedPage, error) {
	// The transaction that writes is alone until it has committed, and positions
	// count up: what is there up to the last position is all that ever will be.
	end, err := lastPosition(ses)
	if err != nil {
		return driver.FeedPage{}, err
	}
	if q.After > end {
		return driver.FeedPage{}, fmt.Errorf("%w: the last event is at position %d", driver.ErrCheckpointAhead, end)
	}
	if q.Seen.Position != 0 {
		if err := seen(ses, q.Seen); err != nil {
			return driver.FeedPage{}, err
		}
	}
	n := pageSize(q.Limit)
	span := driver.Position(n)
	if !q.Filter.IsZero() {
		// Nothing interrupts a statement: it looks at each position for each prefix.
		span = max(filterSpan/driver.Position(1+len(q.Filter.Prefixes)/20), 100)
	}
	last := end // of the positions that the page looks at
	if end-q.After > span {
		last = q.After + span
	}
	page := driver.FeedPage{Next: last, End: last == end}
	if last == q.After {
		return page, nil
	}
	p := newReader(ctx, int(min(span, last-q.After, driver.Position(n))))
	if q.Filter.IsZero() {
		next := q.After
		err = ses.query(readFeed, func(row []sqldriver.Value) error {
			next++
			return p.add(row, next)
		}, int64(q.After), int64(last))
		if err == nil && next < last && !p.isFull() {
			err = corrupt("position %d is missing", next+1)
		}
		if next < last {
			page.Next, page.End = next, false
		}
	} else {
		err = p.filter(ses, q, &page, n)
	}
	if err != nil {
		return driver.FeedPage{}, err
	}
	page.Records = p.records
	page.Seen.Position = page.Next
	if n := len(p.records); n > 0 && p.records[n-1].Position == page.Next {
		page.Seen.ID = p.records[n-1].ID
		return page, nil
	}
	page.Seen.ID, err = idAt(ses, page.Next)
	return page, err
}

// add appends the record of a row of the feed, unless it was purged. It has to
// be at the given position, if that is not 0.
func (p *reader) add(row []sqldriver.Value, want driver.Position) error {
	rec, err := p.decode(row, "")
	if err != nil {
		return err
	}
	if want != 0 && rec.Position != want {
		return corrupt("position %d is missing", want)
	}
	if rec.Type == "" {
		p.records = p.records[:len(p.records)-1]
		return nil
	}
	return p.full()
}

// filter reads up to n records that match, up to page.Next.
func (p *reader) filter(ses session, q driver.FeedQuery, page *driver.FeedPage, n int) error {
	last := page.Next
	err := ses.query(filterFeed, func(row []sqldriver.Value) error { return p.add(row, 0) },
		int64(q.After), int64(last), int64(n), array(q.Filter.Types), array(q.Filter.Prefixes))
	if err != nil {
		return err
	}
	if len(p.records) > 0 && (len(p.records) == n || p.isFull()) {
		page.Next = p.records[len(p.records)-1].Position
		page.End = page.End && page.Next == last
	}
	count := int64(-1)
	err = ses.query(countFeed, func(row []sqldriver.Value) error {
		count, _ = row[0].(int64)
		return errStop
	}, int64(q.After), int64(page.Next))
	if err == nil && count != int64(page.Next-q.After) {
		err = corrupt("of the positions %d to %d there are %d", q.After+1, page.Next, count)
	}
	return err
}

// array returns a JSON array of names, or NULL for none.
func array(names []string) sqldriver.Value {
	if len(names) == 0 {
		return nil
	}
	text, err := json.Marshal(names)
	if err != nil {
		panic(err) // strings have a JSON form
	}
	return string(text)
}

// seen returns ErrCheckpointAhead unless the event is where the reader saw it.
func seen(ses session, want driver.Seen) error {
	id, err := idAt(ses, want.Position)
	if err == nil && id != want.ID {
		err = fmt.Errorf("%w: the event at position %d is %v, and the reader saw %v there", driver.ErrCheckpointAhead, want.Position, id, want.ID)
	}
	return err
}

// idAt returns the id of the event at a position, zero if there is none.
func idAt(ses session, p driver.Position) (id driver.ID, err error) {
	err = ses.query(seenID, func(row []sqldriver.Value) error {
		b, _ := row[0].([]byte)
		copy(id[:], b)
		return errStop
	}, int64(p))
	return id, err
}
