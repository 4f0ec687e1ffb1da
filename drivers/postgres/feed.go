package postgres

import (
	"context"
	"errors"

	"github.com/go-es/es/driver"
)

// filterSpan is how many events a page with a filter looks at.
const filterSpan = 20_000

// Head returns the last position that is visible.
func (s *Store) Head(ctx context.Context) (pos driver.Position, err error) {
	err = s.read(ctx, func(ctx context.Context, ses *session) error {
		pos, err = lastPosition(ctx, ses)
		return err
	})
	return pos, err
}

func lastPosition(ctx context.Context, ses *session) (pos driver.Position, err error) {
	var replica bool
	err = ses.run(ctx, head, one(func(row [][]byte) bool {
		n, ok1 := natural(row[0])
		r, ok2 := natural(row[1])
		pos, replica = driver.Position(n), r != 0
		return ok1 && ok2
	}))
	if err == nil && replica {
		err = errReplica
	}
	return pos, err
}

// ReadAll returns a page of the feed. It takes one statement, or three with a filter;
// where a position is missing, one more, and then those of the page again if nobody is
// writing it any more. Large events, and purged ones, take one more each time.
func (s *Store) ReadAll(ctx context.Context, q driver.FeedQuery) (page driver.FeedPage, err error) {
	err = s.read(ctx, func(ctx context.Context, ses *session) error {
		f := feed{ses: ses, fence: &s.fence}
		page, err = f.read(ctx, q)
		return err
	})
	return page, err
}

// feed reads a page.
type feed struct {
	ses    *session
	fence  *fenced
	inTx   bool // in the caller's transaction, which is not its own hindrance
	frozen bool // statements see what the first one saw: nothing missing comes to light
}

func (f *feed) read(ctx context.Context, q driver.FeedQuery) (driver.FeedPage, error) {
	looked := false
	for restarts := 0; ; {
		v := f.fence.view()
		page, missing, stale, err := f.once(ctx, q, v)
		if err != nil {
			return driver.FeedPage{}, err
		}
		if stale {
			if restarts++; restarts > 3 {
				return driver.FeedPage{}, driver.Transient(errors.New("es: postgres: statements reach different servers: es needs the primary, and it alone"))
			}
			continue
		}
		if !missing || looked || f.frozen {
			return page, nil
		}
		// Who is in the way? If nobody is any more, a new statement sees all.
		looked = true
		v = f.fence.view()
		now, server, err := f.writers(ctx)
		if err != nil {
			return driver.FeedPage{}, err
		}
		if f.frozen {
			return page, nil
		}
		if f.fence.restarted(v, server, now.last) {
			v = f.fence.view()
			v.waiting = nil
		}
		f.fence.look(v, server, now)
		if f.fence.view().final <= page.Next {
			return page, nil
		}
	}
}

// writers asks who holds the lock.
func (f *feed) writers(ctx context.Context) (now *writers, server int64, err error) {
	var replica bool
	own := []byte{0}
	if f.inTx {
		own[0] = 1
	}
	err = f.ses.run(ctx, fence, one(func(row [][]byte) bool {
		r, ok1 := natural(row[0])
		start, ok2 := integer(row[1])
		last, ok3 := natural(row[2])
		now = &writers{last: driver.Position(last)}
		ok4 := elements(row[3], func(b []byte) bool {
			now.holders = append(now.holders, string(b))
			return b != nil
		})
		replica, server = r != 0, start
		f.frozen = f.inTx && string(row[4]) != "read committed" && string(row[4]) != "read uncommitted"
		return ok1 && ok2 && ok3 && ok4
	}), own)
	if err == nil && replica {
		err = errReplica
	}
	return now, server, err
}

// stale reports whether a page must not build on a view: what it says is final is of
// another server, or of other tables. A view by which nothing is final says nothing.
func (f *feed) stale(v view, server int64, head driver.Position) bool {
	return f.fence.restarted(v, server, head) && v.final > 0
}

// once reads a page with one view of what is final. missing says that it ends
// before a position that may yet appear, stale that the view does not hold.
func (f *feed) once(ctx context.Context, q driver.FeedQuery, v view) (page driver.FeedPage, missing, stale bool, err error) {
	if !q.Filter.IsZero() {
		return f.filtered(ctx, q, v)
	}
	n := pageSize(q.Limit)
	p := reader{}
	h := header{want: q.Seen}
	err = f.ses.run(ctx, readFeed, func(row [][]byte) error {
		if row[1] != nil {
			return p.add(row)
		}
		err := h.read(row)
		if err == nil && h.head > q.After {
			p.expect(uint64(h.head-q.After), n)
		}
		return err
	}, bigint(uint64(q.After)), bigint(uint64(n)), bigint(uint64(q.Seen.Position)))
	if err == nil {
		err = h.check(q)
	}
	if err != nil || f.stale(v, h.server, h.head) {
		return page, false, true, err
	}
	full := len(p.records) == n
	page.Next = q.After
	known := max(q.After, v.final) // up to here nothing can appear
	for i := range p.records {
		at := p.records[i].Position
		if at > known+1 {
			p.records, missing = p.records[:i], true
			break
		}
		known = max(known, at)
		page.Next = at
	}
	if q.After <= v.final {
		f.fence.raise(h.server, page.Next)
	}
	for len(p.large) > 0 && p.large[len(p.large)-1].at >= len(p.records) {
		p.large = p.large[:len(p.large)-1]
	}
	cut, _, err := p.readLarge(ctx, f.ses) // what is gone is left out
	if err != nil {
		return page, false, false, err
	}
	if cut {
		missing = false
	}
	page.End = !cut && !missing && (!full || page.Next == h.head)
	if n := len(p.records); n > 0 {
		last := &p.records[n-1]
		page.Next, page.Seen = last.Position, driver.Seen{Position: last.Position, ID: last.ID}
	}
	page.Records, err = p.kept(ctx, f.ses)
	return page, missing, false, err
}

// filtered is once with a filter. What does not match is not sent, so it looks
// first how far the positions have no gap.
func (f *feed) filtered(ctx context.Context, q driver.FeedQuery, v view) (page driver.FeedPage, missing, stale bool, err error) {
	server := v.server         // of which to is
	to := q.After + filterSpan // is looked at
	if v.final >= to {
		// After many appends that failed there may be no event so far.
		if page.Next, err = f.next(ctx, q.After); err != nil {
			return page, false, false, err
		}
		to = min(v.final, max(to, page.Next))
	} else {
		var end, last uint64
		var replica bool
		from := max(q.After, v.final)
		err = f.ses.run(ctx, prefixEnd, one(func(row [][]byte) bool {
			r, ok1 := natural(row[0])
			start, ok2 := integer(row[1])
			var ok3, ok4 bool
			end, ok3 = natural(row[2])
			last, ok4 = natural(row[3])
			replica, server = r != 0, start
			return ok1 && ok2 && ok3 && ok4
		}), bigint(uint64(from)), bigint(filterSpan))
		if err == nil && replica {
			err = errReplica
		}
		if err != nil || f.stale(v, server, v.final) {
			return page, false, true, err
		}
		to = driver.Position(end)
		missing = end < last
		if q.After <= v.final {
			f.fence.raise(server, to)
		}
	}
	n := pageSize(q.Limit)
	p := reader{}
	h := header{want: q.Seen}
	err = f.ses.run(ctx, filterFeed, func(row [][]byte) error {
		if row[1] == nil {
			return h.read(row)
		}
		return p.add(row)
	}, bigint(uint64(q.After)), bigint(uint64(n)), bigint(uint64(q.Seen.Position)), bigint(uint64(to)),
		textArray(q.Filter.Types), textArray(q.Filter.Prefixes))
	if err == nil {
		err = h.check(q)
	}
	if err != nil || f.stale(v, h.server, h.head) || server != h.server {
		return page, false, true, err
	}
	cut, _, err := p.readLarge(ctx, f.ses)
	if err != nil {
		return page, false, false, err
	}
	page.Next = max(q.After, h.upTo) // an event, so that it is not beyond the last
	if k := len(p.records); k > 0 && (cut || k == n) {
		page.Next = p.records[k-1].Position
	}
	missing = missing && page.Next >= h.upTo
	page.End = !missing && page.Next >= h.head
	page.Records, err = p.kept(ctx, f.ses)
	if err == nil && page.Next > q.After {
		page.Seen.Position = page.Next
		page.Seen.ID, err = idAt(ctx, f.ses, page.Next)
	}
	return page, missing, false, err
}

// next returns the position of the first event after another one, 0 if there is none.
func (f *feed) next(ctx context.Context, after driver.Position) (pos driver.Position, err error) {
	err = f.ses.run(ctx, eventAfter, one(func(row [][]byte) bool {
		n, ok := natural(row[0])
		pos = driver.Position(n)
		return ok
	}), bigint(uint64(after)))
	return pos, err
}

// header is the first row of a page: what its statement saw besides the events.
type header struct {
	want   driver.Seen
	head   driver.Position
	upTo   driver.Position // the last event that was looked at, with a filter
	server int64
	seen   driver.ID
	bad    bool
	found  bool
}

func (h *header) read(row [][]byte) error {
	head, ok1 := natural(row[0])
	replica, ok2 := natural(row[2])
	start, ok3 := integer(row[6])
	if !ok1 || !ok2 || !ok3 {
		return corrupt("what the server returned of the feed cannot be")
	}
	h.head, h.server, h.found = driver.Position(head), start, true
	h.bad = replica != 0
	copy(h.seen[:], row[3])
	if upTo, ok := natural(row[10]); ok {
		h.upTo = driver.Position(upTo)
	}
	return nil
}

// check returns an error where the reader has seen another feed than this, or
// this server must not be read from.
func (h *header) check(q driver.FeedQuery) error {
	switch {
	case !h.found:
		return corrupt("the server returned nothing of the feed")
	case h.bad:
		return errReplica
	case q.After > h.head:
		return driver.ErrCheckpointAhead
	case h.want.Position != 0 && h.want.ID != h.seen:
		return driver.ErrCheckpointAhead
	}
	return nil
}

// kept returns the records that are not purged. A blank one of a stream that is
// not closed is no purged one.
func (p *reader) kept(ctx context.Context, ses *session) ([]driver.Record, error) {
	first := 0
	for first < len(p.records) && p.records[first].Type != "" {
		first++
	}
	if first == len(p.records) {
		return p.records, nil
	}
	kept := p.records[:first]
	var blank map[string]driver.Position
	for i := first; i < len(p.records); i++ {
		rec := &p.records[i]
		if rec.Type != "" {
			kept = append(kept, *rec)
		} else if _, ok := blank[rec.Stream]; !ok {
			if blank == nil {
				blank = make(map[string]driver.Position)
			}
			blank[rec.Stream] = rec.Position
		}
	}
	clear(p.records[len(kept):])
	asks := newLooking(len(blank))
	var streams []string
	for stream := range blank {
		asks.add(&driver.Part{Stream: stream}, 0)
		streams = append(streams, stream)
	}
	if err := ses.run(ctx, look, asks.row, asks.args()...); err != nil {
		return nil, err
	}
	for i, f := range asks.found {
		if !f.state.Closed {
			return nil, corrupt("the event at position %d, of stream %q, is blank", blank[streams[i]], streams[i])
		}
	}
	return kept, nil
}

// idAt returns the id of the event at a position.
func idAt(ctx context.Context, ses *session, pos driver.Position) (id driver.ID, err error) {
	found := false
	err = ses.run(ctx, eventAt, one(func(row [][]byte) bool {
		found = copy(id[:], row[0]) == len(id)
		return found
	}), bigint(uint64(pos)))
	if err == nil && !found {
		err = corrupt("the event at position %d is gone", pos)
	}
	return id, err
}
