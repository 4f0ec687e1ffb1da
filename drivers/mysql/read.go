package mysql

import (
	"cmp"
	"context"
	sqldriver "database/sql/driver"
	"slices"
	"strings"

	"github.com/go-es/es/driver"
)

// The sizes of a page. A page ends where it gets one of them, whatever its limit.
const (
	pageRecords = 1_000   // where the caller sets no limit
	pageMax     = 2_000   // records
	pageBytes   = 4 << 20 // of data and metadata
	inlineBytes = 4 << 10 // what has more comes in a query of its own: so a page cannot be gigabytes, and pageRecords of what has less fit into one
	arenaBytes  = 64 << 10
)

// pageSize returns how many records a page of that limit may have.
func pageSize(limit int) int {
	if limit == 0 {
		return pageRecords
	}
	return min(limit, pageMax)
}

// A record is read as one string: a column of its own for each part would cost the
// client more than everything else. It is made of a byte each for the kind and the
// lengths of stream, type and encoding; of six numbers with a blank behind each;
// of the id; and of stream, type, encoding, tags, metadata and data. In a page of
// one stream its name is left out.
const (
	ofStream = "CONCAT(CHAR(kind,0,LENGTH(type),LENGTH(encoding))," + numbers + ",id,type,encoding," + rest + ")"
	ofFeed   = "CONCAT(CHAR(kind,LENGTH(stream),LENGTH(type),LENGTH(encoding))," + numbers + ",id,stream,type,encoding," + rest + ")"
	numbers  = "position,' ',version,' ',time,' ',size,' ',LENGTH(tags),' ',LENGTH(metadata),' '"
	rest     = "tags,IF(size>4096,'',metadata),IF(size>4096,'',data)"
)

// packed is a record as it was read. Its bytes are the connection's.
type packed struct {
	kind                    int
	position, version       int64
	micros, size            int64
	id                      driver.ID
	stream, typ, encoding   []byte
	tags, metadata, content []byte
}

// unpack takes a record apart. It reports whether it can be one; if not, it may still
// have a position and an id.
func unpack(v sqldriver.Value) (r packed, ok bool) {
	b, ok := v.([]byte)
	if !ok || len(b) < 4 {
		return r, false
	}
	r.kind = int(b[0])
	stream, typ, encoding := int(b[1]), int(b[2]), int(b[3])
	b = b[4:]
	var tags, metadata int64
	for _, into := range [...]*int64{&r.position, &r.version, &r.micros, &r.size, &tags, &metadata} {
		if *into, b, ok = number(b); !ok {
			return r, false
		}
	}
	cut := func(n int) []byte {
		piece := b[:n:n]
		b = b[n:]
		return piece
	}
	if len(b) < len(r.id) {
		return r, false
	}
	r.id = driver.ID(cut(len(r.id)))
	content := r.size - metadata
	if r.size > inlineBytes {
		metadata, content = 0, 0
	}
	if tags < 0 || metadata < 0 || content < 0 || int64(len(b)) != int64(stream+typ+encoding)+tags+metadata+content {
		return r, false
	}
	r.stream, r.typ, r.encoding = cut(stream), cut(typ), cut(encoding)
	r.tags, r.metadata, r.content = cut(int(tags)), cut(int(metadata)), cut(int(content))
	switch r.kind {
	case kindEvent, kindTombstone, kindPurge:
		ok = len(r.typ) > 0
	case kindFiller, kindPurged:
	default:
		ok = false
	}
	return r, ok && r.position > 0 && r.version > 0
}

// number reads a number and the blank behind it.
func number(b []byte) (n int64, after []byte, ok bool) {
	i := 0
	negative := len(b) > 0 && b[0] == '-'
	if negative {
		i++
	}
	from := i
	for ; i < len(b) && i-from < 19 && b[i]-'0' <= 9; i++ {
		n = n*10 + int64(b[i]-'0')
	}
	if i == from || i == len(b) || b[i] != ' ' || n < 0 {
		return 0, nil, false
	}
	if negative {
		n = -n
	}
	return n, b[i+1:], true
}

// ReadStream returns a page of one stream.
func (s *Store) ReadStream(ctx context.Context, q driver.StreamQuery) (page driver.StreamPage, err error) {
	err = s.read(ctx, func(ctx context.Context, ses *session) error {
		page, err = s.readStream(ctx, ses, q)
		return err
	})
	if err != nil {
		return driver.StreamPage{}, err
	}
	return page, nil
}

// readStream reads a page. Where the rows of a stream end, the last one says what
// the stream is: so a page begins with the row before the wanted ones and asks for
// one more behind them. Only where that is there, or where a page goes backward from
// the middle, the last row has to be read: with a query of its own, or, where the
// stream is known to go on behind the page, with the row behind it.
func (s *Store) readStream(ctx context.Context, ses *session, q driver.StreamQuery) (page driver.StreamPage, err error) {
	n := pageSize(q.Limit)
	for tries := 0; ; {
		first := max(q.From, 1)
		guess, _ := s.heads.get(q.Stream)
		expect := 0
		if !q.Backward && guess.head >= first {
			expect = int(min(guess.head-first+1, driver.Version(n)))
		}
		r := streamRows{q: q, n: n, p: newReader(n, expect)}
		var head state
		if q.Backward && q.From > 0 {
			if head, err = s.readable(ctx, ses, q); err != nil {
				return page, err
			}
			r.q.From = min(q.From, head.Head)
		}
		behind := int64(first) + int64(n)
		st, args := readForward, []any{q.Stream, int64(first) - 1, behind}
		switch {
		case !q.Backward && int64(guess.head) >= behind:
			st, args = readMiddle, []any{behind, q.Stream, q.Stream, int64(first) - 1, behind}
		case q.Backward && q.From > 0:
			st, args = readBackward, []any{q.Stream, int64(r.q.From) - int64(n), int64(r.q.From)}
		case q.Backward:
			st, args = readLast, []any{q.Stream, int64(n) + 1}
		}
		if err = s.ask(ctx, ses, st, r.add, args...); err != nil {
			return page, err
		}
		switch {
		case q.Backward && q.From > 0:
		case r.rows > 0 && (q.Backward || !r.more):
			head = r.top
			if err = openTo(q, head); err != nil {
				return page, err
			}
		case r.more && r.head.Head > 0:
			head = r.head
			if err = openTo(q, head); err != nil {
				return page, err
			}
		default:
			if head, err = s.readable(ctx, ses, q); err != nil {
				return page, err
			}
		}
		if head.kind == kindPurge { // only its last record is there
			return s.readPurged(ctx, ses, q, head.Head)
		}
		if r.blank && !head.Closed || r.rows == 0 && (q.Backward || head.Head >= max(q.From, 2)-1) {
			if tries++; tries < 3 {
				continue // it was appended to, or purged, a moment ago
			}
			return page, corrupt("stream %q: some events at or before version %d are missing", q.Stream, head.Head)
		}
		if head.Head < r.last || q.Backward && !r.more && r.last > 1 {
			return page, corrupt("stream %q, which has %d events: those about version %d are missing", q.Stream, head.Head, r.last)
		}
		page = driver.StreamPage{Head: head.Head, End: !r.more}
		if page.Records, err = s.complete(ctx, ses, r.p); err != nil {
			return driver.StreamPage{}, err
		}
		if len(page.Records) < len(r.p.records) && !q.Deleted {
			continue // some were purged meanwhile: the stream is closed
		}
		if !head.Closed {
			s.heads.put(q.Stream, head.Head, ses)
		}
		if len(page.Records) > 0 || page.End {
			return page, nil
		}
		if q.From = r.last + 1; q.Backward { // all of it was purged while it was read
			q.From = r.last - 1
		}
	}
}

// streamRows takes in the rows of a page of a stream.
type streamRows struct {
	q     driver.StreamQuery
	n     int
	p     *reader
	rows  int
	in    int            // of them in the page, shown or not
	top   state          // the row with the highest version
	head  state          // the last row of the stream, if it came with the one behind the page
	last  driver.Version // that is in the page, or just before it
	more  bool           // there are rows behind the page
	blank bool           // there are purged ones in it
}

func (r *streamRows) add(row []sqldriver.Value) error {
	e, ok := unpack(row[0])
	if !ok || e.kind == kindFiller {
		return corrupt("stream %q: an event near version %d cannot be what was stored", r.q.Stream, max(r.last, r.q.From))
	}
	v := driver.Version(e.version)
	want := r.last + 1
	switch {
	case r.rows == 0 && r.q.Backward:
		want = cmp.Or(r.q.From, v)
	case r.rows == 0:
		want = max(r.q.From, 2) - 1
	case r.q.Backward:
		want = r.last - 1
	}
	if v != want {
		return corrupt("stream %q: version %d is missing", r.q.Stream, want)
	}
	if r.rows++; r.rows == 1 || !r.q.Backward {
		r.top = state{StreamState: driver.StreamState{Head: v, Closed: e.kind != kindEvent}, kind: int64(e.kind)}
	}
	if !r.q.Backward && v < r.q.From {
		r.last = v
		return nil
	}
	if r.in == r.n || r.p.isFull() {
		r.more = true
		if len(row) > 1 && row[1] != nil {
			last := integer(row[1])
			r.head = state{StreamState: driver.StreamState{Head: driver.Version(last >> 3), Closed: last&7 != kindEvent}, kind: last & 7}
			if last>>3 < e.version {
				return corrupt("stream %q: its last version is %v", r.q.Stream, row[1])
			}
		}
		return errStop
	}
	r.in++
	r.last = v
	if e.kind == kindPurged {
		r.blank = true
		return nil
	}
	r.p.add(&e, r.q.Stream)
	return nil
}

// readable returns the state of a stream that may be read.
func (s *Store) readable(ctx context.Context, ses *session, q driver.StreamQuery) (state, error) {
	st, err := s.stateOf(ctx, ses, q.Stream)
	if err == nil {
		err = openTo(q, st)
	}
	return st, err
}

func openTo(q driver.StreamQuery, st state) error {
	switch {
	case st.Head == 0:
		return &driver.StreamError{Stream: q.Stream, Err: driver.ErrStreamNotFound}
	case st.Closed && !q.Deleted:
		return &driver.StreamError{Stream: q.Stream, Err: driver.ErrStreamDeleted}
	}
	return nil
}

// readPurged returns the page of a stream of which only the closing record is left.
func (s *Store) readPurged(ctx context.Context, ses *session, q driver.StreamQuery, head driver.Version) (driver.StreamPage, error) {
	page := driver.StreamPage{Head: head, End: true}
	if q.Backward && q.From != 0 && q.From < head || !q.Backward && q.From > head {
		return page, nil
	}
	p := newReader(1, 1)
	err := s.ask(ctx, ses, readForward, func(row []sqldriver.Value) error {
		r, ok := unpack(row[0])
		if !ok || r.kind != kindPurge {
			return corrupt("stream %q: its last event cannot be what was stored", q.Stream)
		}
		p.add(&r, q.Stream)
		return nil
	}, q.Stream, int64(head), int64(head))
	if err == nil && len(p.records) != 1 {
		err = corrupt("stream %q: version %d is missing", q.Stream, head)
	}
	if err != nil {
		return driver.StreamPage{}, err
	}
	page.Records, err = s.complete(ctx, ses, p)
	return page, err
}

// reader gathers the records of a page.
type reader struct {
	records []driver.Record
	large   []driver.Position // of records whose data is still to be read
	bytes   int
	arena   []byte
}

// newReader returns one for up to n records, of which so many are expected.
func newReader(n, expect int) *reader {
	return &reader{records: make([]driver.Record, 0, min(n, max(expect, 16)))}
}

func (p *reader) isFull() bool { return p.bytes >= pageBytes }

// add appends a record. Its stream is as given, or else its own.
func (p *reader) add(r *packed, stream string) {
	if len(p.records) == cap(p.records) {
		p.records = slices.Grow(p.records, 3*cap(p.records))
	}
	p.records = append(p.records, driver.Record{
		Stream:   stream,
		Version:  driver.Version(r.version),
		Position: driver.Position(r.position),
		ID:       r.id,
		Time:     driver.FromMicros(r.micros),
		Metadata: p.keep(r.metadata),
		Data:     p.keep(r.content),
	})
	rec := &p.records[len(p.records)-1]
	var before driver.Record
	if n := len(p.records); n > 1 {
		before = p.records[n-2]
	}
	if stream == "" {
		rec.Stream = same(before.Stream, r.stream)
	}
	rec.Type, rec.Encoding = same(before.Type, r.typ), same(before.Encoding, r.encoding)
	if len(r.tags) > 0 {
		rec.Tags = strings.Split(string(r.tags), "\x00")
	}
	p.bytes += int(r.size)
	if r.size > inlineBytes {
		p.large = append(p.large, rec.Position)
	}
}

// same returns the text of b, which is s if they are equal.
func same(s string, b []byte) string {
	if s == string(b) {
		return s
	}
	return string(b)
}

// keep copies bytes of a row, which are the connection's.
func (p *reader) keep(b []byte) []byte {
	if len(b) == 0 {
		return nil
	}
	if len(b) > cap(p.arena)-len(p.arena) {
		p.arena = make([]byte, 0, max(len(b), min(max(4*cap(p.arena), 1024), arenaBytes)))
	}
	from := len(p.arena)
	p.arena = append(p.arena, b...)
	return p.arena[from:len(p.arena):len(p.arena)]
}

// complete reads the data of the large records of a page, and returns its records.
func (s *Store) complete(ctx context.Context, ses *session, p *reader) ([]driver.Record, error) {
	if len(p.large) == 0 {
		return p.records, nil
	}
	t := make(text, 0, 128+20*len(p.large))
	t.add("SELECT position,kind,size,metadata,data FROM ", s.events, " WHERE position IN (")
	t.list(p.large)
	t.add(") ORDER BY position")
	type content struct {
		metadata, data []byte
	}
	contents := make(map[driver.Position]content, len(p.large))
	err := ses.query(ctx, string(t), func(row []sqldriver.Value) error {
		position := driver.Position(integer(row[0]))
		metadata, ok1 := row[3].([]byte)
		data, ok2 := row[4].([]byte)
		if !ok1 || !ok2 || integer(row[2]) != int64(len(data)+len(metadata)) {
			return corrupt("the event at position %d cannot be what was stored", position)
		}
		if integer(row[1]) != kindPurged {
			contents[position] = content{p.keep(metadata), p.keep(data)}
		} else {
			contents[position] = content{}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	left := p.records[:0]
	next := 0
	for _, rec := range p.records {
		if next < len(p.large) && p.large[next] == rec.Position {
			next++
			c, ok := contents[rec.Position]
			if !ok {
				return nil, corrupt("the event at position %d is gone", rec.Position)
			}
			if c.data == nil && c.metadata == nil {
				continue // purged meanwhile
			}
			rec.Metadata, rec.Data = c.metadata, c.data
		}
		left = append(left, rec)
	}
	return left, nil
}
