package cassandra

import (
	"context"
	"slices"

	"github.com/go-es/es/driver"
)

const (
	pageRecords = 1000
	pageBytes   = 4 << 20
	coldRows    = 128      // of the first page of rows, where nothing is known of the stream
	spareBytes  = 64 << 10 // that are read in vain at most to save a request
)

// piece is a run of versions of a stream, whole commits or parts of them.
type piece struct {
	first, last driver.Version
	records     []driver.Record // nil: they were purged
}

// rows are rows of one bucket, in either direction.
type rows struct {
	state  state
	pieces []piece
	more   bool // there may be more of what was asked for
}

// rows reads the rows of a bucket that begin at versions from low to high: those of so
// many records, and perhaps some more.
func (s *Store) rows(ctx context.Context, stream string, bucket int64, low, high driver.Version, backward, serial bool, limit int) (rows, error) {
	text := s.texts.forward
	if backward {
		text = s.texts.backward
	}
	q := s.query(ctx, text, stream, bucket, int64(low), int64(high), limit).PageSize(coldRows)
	if known := s.heads.get(stream); known.bytes > 0 {
		q.PageSize(rowsOf(known.bytes))
	}
	if serial {
		s.serially(q)
	}
	r := rows{state: state{bucket: bucket}}
	var first number
	var data []byte
	var c statics
	var last names
	dest := []any{&first, &data, &c.head, ignored{}, ignored{}, &c.purged}
	bytes, n, found := 0, 0, 0
	seen := row{}
	for next := []byte(nil); ; {
		it := q.PageState(next).Iter()
		r.pieces = slices.Grow(r.pieces, it.NumRows())
		for it.Scan(dest...) {
			if err := c.set(&r.state, stream); err != nil {
				it.Close()
				return r, err
			}
			n++
			bytes += len(data)
			if v := driver.Version(first); !r.state.purged || r.state.closed() && v == r.state.version() {
				records, err := unpack(data, stream, v, &last)
				if err != nil {
					it.Close()
					return r, err
				}
				r.pieces = append(r.pieces, piece{v, v + driver.Version(len(records)) - 1, records})
				seen.span = max(seen.span, len(records))
				found += int(min(v+driver.Version(len(records))-1, high)-v) + 1
			}
			data = nil // the records have it
			if r.more = bytes > pageBytes || max(n, found) >= limit; r.more {
				break
			}
		}
		next = it.PageState()
		if err := it.Close(); err != nil {
			return r, err
		}
		if r.more || len(next) == 0 {
			break
		}
		if n > 0 {
			q.PageSize(rowsOf(bytes / n))
		}
	}
	if n > 0 {
		seen.bytes = bytes/n + 64
		s.learn(stream, &r.state, seen)
		return r, nil
	}
	q = s.query(ctx, s.texts.state, stream, bucket)
	if serial {
		s.serially(q)
	}
	var err error
	r.state, err = s.readState(q, stream, bucket)
	return r, err
}

// rowsOf is how many rows of a size are asked for at once.
func rowsOf(bytes int) int { return min(max(pageBytes/max(bytes, 1), 16), 5000) }

// walk reads versions that exist.
type walk struct {
	s        *Store
	stream   string
	from, to driver.Version
	start    driver.Version // where a commit begins, at or below from; 0: not known

	have  *rows // what was read already, of the bucket of from
	limit int   // records, about; 0: no limit
	bytes int   // likewise

	pieces []piece
	next   driver.Version // that no piece has
	found  int
	size   int
}

// all returns the pieces from the first version wanted on, in ascending order,
// without gaps: up to the last one unless a limit was reached.
func (w *walk) all(ctx context.Context) ([]piece, error) {
	begin := w.start // of a commit, if all is well
	if begin == 0 {
		begin = w.from
	}
	w.next = w.from
	looked, serial := false, false
	for w.next <= w.to && !w.enough() {
		r := w.have
		if w.have = nil; r == nil {
			read, err := w.s.rows(ctx, w.stream, w.s.bucketOf(begin-1), begin, w.to, false, serial, w.wish())
			if err != nil {
				return nil, err
			}
			r = &read
		}
		if w.take(r) {
			begin, looked, serial = w.next, false, false
			continue
		}
		if !looked { // it may lie inside a commit
			looked = true
			before, err := w.s.holding(ctx, w.stream, w.next, serial)
			if err != nil {
				return nil, err
			}
			if before.state.purged && w.take(&before) {
				begin, looked, serial = w.next, false, false
				continue
			}
			if len(before.pieces) > 0 && before.pieces[0].first < begin {
				begin = before.pieces[0].first
				continue
			}
		}
		if serial {
			return nil, corrupt("version %d of stream %q is missing", w.next, w.stream)
		}
		looked, serial = false, true // a quorum need not show what a consensus has
	}
	return w.pieces, nil
}

func (w *walk) enough() bool {
	return w.limit > 0 && w.found >= w.limit || w.bytes > 0 && w.size >= w.bytes
}

// wish is how many rows are needed at most.
func (w *walk) wish() int {
	n := int(min(w.to-w.next+1, 1<<30))
	if w.limit > 0 {
		n = min(n, w.limit-w.found)
	}
	return n
}

// cut leaves of a piece what lies between from and to.
func (w *walk) cut(p piece) piece {
	if p.first < w.from {
		if p.records != nil {
			p.records = p.records[w.from-p.first:]
		}
		p.first = w.from
	}
	if p.last > w.to {
		if p.records != nil {
			p.records = p.records[:w.to-p.first+1]
		}
		p.last = w.to
	}
	return p
}

// take adds what follows in rows, and reports whether something did.
func (w *walk) take(r *rows) bool {
	was := w.next
	if end := r.state.version(); r.state.purged {
		if r.state.closed() {
			end--
		}
		if end >= w.next {
			w.add(piece{first: w.next, last: end})
		}
	}
	for _, p := range r.pieces {
		if p.last >= w.next {
			if p.first > w.next || w.next > w.to {
				break
			}
			w.add(p)
		}
	}
	return w.next > was
}

func (w *walk) add(p piece) {
	p = w.cut(p)
	w.pieces = append(w.pieces, p)
	w.next = p.last + 1
	w.found += int(p.last-p.first) + 1
	for i := range p.records {
		w.size += driver.Size(&p.records[i])
	}
}

// holding returns the row of the commit that holds a version: it may lie in the
// bucket before. Where there is none, it returns the state of that one.
func (s *Store) holding(ctx context.Context, stream string, v driver.Version, serial bool) (rows, error) {
	b := s.bucketOf(v - 1)
	for {
		r, err := s.rows(ctx, stream, b, 1, v, true, serial, 1)
		if err != nil || len(r.pieces) > 0 || b == 0 || b < s.bucketOf(v-1) {
			return r, err
		}
		b--
	}
}

// ReadStream returns a page of one stream.
func (s *Store) ReadStream(ctx context.Context, q driver.StreamQuery) (driver.StreamPage, error) {
	var page driver.StreamPage
	err := s.reading(ctx, func(ctx context.Context) (err error) {
		if q.Backward {
			page, err = s.readBackward(ctx, q)
		} else {
			page, err = s.readForward(ctx, q)
		}
		return err
	})
	if err != nil {
		return driver.StreamPage{}, err
	}
	return page, nil
}

func limited(n int) int {
	if n == 0 {
		return pageRecords
	}
	return min(n, pageRecords)
}

// visible says whether a page of a stream in a state may be read.
func visible(q *driver.StreamQuery, st *state) error {
	switch {
	case st.head == 0:
		return notFound(q.Stream)
	case st.closed() && !q.Deleted:
		return deleted(q.Stream)
	}
	return nil
}

func (s *Store) readForward(ctx context.Context, q driver.StreamQuery) (driver.StreamPage, error) {
	from, limit := max(q.From, 1), limited(q.Limit)
	r, st, err := s.begin(ctx, q.Stream, from, limit)
	if err != nil {
		return driver.StreamPage{}, err
	}
	if err := visible(&q, &st); err != nil {
		return driver.StreamPage{}, err
	}
	page := driver.StreamPage{Head: st.version(), End: true}
	have := &r
	if r.state.head == 0 {
		have = nil
	}
	for from <= page.Head && len(page.Records) == 0 {
		w := walk{s: s, stream: q.Stream, from: from, to: page.Head, have: have, limit: limit, bytes: pageBytes}
		have = nil
		pieces, err := w.all(ctx)
		if err != nil {
			return driver.StreamPage{}, err
		}
		n := 0
		for _, p := range pieces {
			n += len(p.records)
		}
		page.Records = make([]driver.Record, 0, n)
		for _, p := range pieces {
			if p.records == nil && !st.closed() { // the rows are newer
				if err := s.mustBeClosed(ctx, q.Stream); err != nil {
					return driver.StreamPage{}, err
				}
				return s.readForward(ctx, q)
			}
			from = p.last + 1
			page.Records = append(page.Records, p.records...)
		}
	}
	// Unless fewer are wanted, a page ends where a commit does: the next one begins
	// with a row.
	if page.End = from > page.Head; q.Limit > 0 && len(page.Records) > limit {
		page.Records, page.End = slices.Clip(page.Records[:limit]), false
	}
	return page, nil
}

// begin reads the first rows of a page, and the state of the last bucket of the
// stream. Mostly one statement has both. Otherwise what is known of the stream says
// what else is wanted, and that is asked for at the same time.
func (s *Store) begin(ctx context.Context, stream string, from driver.Version, limit int) (r rows, st state, err error) {
	bucket := s.bucketOf(from - 1)
	known := s.heads.get(stream)
	goesOn := s.full(&state{bucket: bucket, head: int64(known.version)})
	// The commit that has from may begin before it, and there may be nothing after it.
	low, inside := from, false
	if from > 1 {
		if n := known.span; n > 0 && n*known.bytes <= spareBytes {
			low = max(from, driver.Version(n)+1) - driver.Version(n)
			limit += n
		} else {
			inside = true
		}
	}
	var before rows
	asks := []func(ctx context.Context) error{func(ctx context.Context) (err error) {
		r, err = s.rows(ctx, stream, bucket, low, 1<<62, false, false, limit)
		return err
	}}
	if inside {
		asks = append(asks, func(ctx context.Context) (err error) {
			before, err = s.rows(ctx, stream, bucket, 1, from-1, true, false, 1)
			return err
		})
	}
	if goesOn {
		asks = append(asks, func(ctx context.Context) (err error) {
			st, err = s.last(ctx, stream)
			return err
		})
	}
	if err := s.each(ctx, len(asks), func(ctx context.Context, i int) error { return asks[i](ctx) }); err != nil {
		return r, st, err
	}
	if len(before.pieces) > 0 && !r.state.purged && before.pieces[0].last >= from {
		r.pieces = slices.Insert(r.pieces, 0, before.pieces[0])
	}
	switch {
	case r.state.head == 0:
		st, err = s.last(ctx, stream)
	case !s.full(&r.state):
		st = r.state
	case !goesOn:
		st, err = s.lastFrom(ctx, stream, r.state)
	}
	return r, st, err
}

// mustBeClosed returns an error if a stream of which a bucket was purged is open.
func (s *Store) mustBeClosed(ctx context.Context, stream string) error {
	st, err := s.last(ctx, stream)
	if err == nil && !st.closed() {
		err = corrupt("stream %q was purged, and is not closed", stream)
	}
	return err
}

func (s *Store) readBackward(ctx context.Context, q driver.StreamQuery) (driver.StreamPage, error) {
	limit := limited(q.Limit)
	high := q.From
	if high == 0 {
		high = 1 << 62
	}
	r, st, err := s.beginBackward(ctx, q.Stream, high, limit)
	if err != nil {
		return driver.StreamPage{}, err
	}
	if err := visible(&q, &st); err != nil {
		return driver.StreamPage{}, err
	}
	page := driver.StreamPage{Head: st.version()}
	high = min(high, page.Head)
	bucket := min(st.bucket, s.bucketOf(high-1))
	have := bucket == r.state.bucket
	bytes := 0
	enough := func() bool { return high == 0 || len(page.Records) >= limit || bytes >= pageBytes }
	for serial := false; !enough(); {
		if !have {
			if r, err = s.rows(ctx, q.Stream, bucket, 1, high, true, serial, limit-len(page.Records)); err != nil {
				return driver.StreamPage{}, err
			}
		}
		have = false
		before := high
		for _, p := range r.pieces {
			if p.last < high {
				break
			}
			for v := high; v >= p.first && len(page.Records) < limit; v-- {
				page.Records = append(page.Records, p.records[v-p.first])
				bytes += driver.Size(&p.records[v-p.first])
				high = v - 1
			}
		}
		if high < before {
			serial = false
			if enough() || r.more || bucket == 0 {
				continue
			}
		}
		if r.state.purged && !st.closed() { // the rows are newer
			if err := s.mustBeClosed(ctx, q.Stream); err != nil {
				return driver.StreamPage{}, err
			}
			return s.readBackward(ctx, q)
		}
		if bucket > 0 { // its commit began there, or the others of this one were purged
			prev, err := s.rows(ctx, q.Stream, bucket-1, 1, high, true, serial, limit-len(page.Records))
			if err != nil {
				return driver.StreamPage{}, err
			}
			if end := prev.state.version(); r.state.purged || end >= high {
				r, have = prev, true
				bucket, high = bucket-1, min(high, end)
				continue
			}
		} else if r.state.purged {
			high = 0
			continue
		}
		if serial {
			return driver.StreamPage{}, corrupt("version %d of stream %q is missing", high, q.Stream)
		}
		serial = true // a quorum need not show what a consensus has
	}
	page.End = high == 0
	return page, nil
}

// beginBackward reads the rows of the bucket in which a page probably begins, and the
// state of the last bucket of the stream: mostly that is the same one.
func (s *Store) beginBackward(ctx context.Context, stream string, high driver.Version, limit int) (r rows, st state, err error) {
	known := s.heads.get(stream)
	bucket := min(known.bucket, s.bucketOf(high-1))
	goesOn := bucket < known.bucket || s.full(&state{bucket: bucket, head: int64(known.version)})
	n := 1
	if goesOn {
		n = 2
	}
	err = s.each(ctx, n, func(ctx context.Context, i int) (err error) {
		if i == 0 {
			r, err = s.rows(ctx, stream, bucket, 1, high, true, false, limit)
		} else {
			st, err = s.last(ctx, stream)
		}
		return err
	})
	switch {
	case err != nil:
	case r.state.head == 0 && bucket > 0:
		err = corrupt("bucket %d of stream %q is gone", bucket, stream)
	case !s.full(&r.state):
		st = r.state
	case !goesOn:
		st, err = s.lastFrom(ctx, stream, r.state)
	}
	return r, st, err
}
