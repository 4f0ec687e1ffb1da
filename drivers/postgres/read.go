package postgres

import (
	"context"

	"github.com/go-es/es/driver"
)

// The sizes of a page. A page ends where it gets one of them, whatever its limit.
const (
	pageRecords = 1000    // where the caller sets no limit
	pageMax     = 4000    // records
	pageBytes   = 4 << 20 // of data and metadata of large events

	arenaBytes = 64 << 10 // of memory that data and metadata are cut from
)

// pageSize returns how many records a page of that limit may have.
func pageSize(limit int) int {
	if limit == 0 {
		return pageRecords
	}
	return min(limit, pageMax)
}

// ReadStream returns a page of one stream.
func (s *Store) ReadStream(ctx context.Context, q driver.StreamQuery) (page driver.StreamPage, err error) {
	err = s.read(ctx, func(ctx context.Context, ses *session) error {
		page, err = readStream(ctx, ses, q)
		return err
	})
	return page, err
}

func readStream(ctx context.Context, ses *session, q driver.StreamQuery) (driver.StreamPage, error) {
	for {
		page, again, err := readStreamOnce(ctx, ses, q)
		if err != nil {
			return driver.StreamPage{}, err
		}
		if !again {
			return page, nil
		}
	}
}

// readStreamOnce reports whether the stream was purged while it was read.
func readStreamOnce(ctx context.Context, ses *session, q driver.StreamQuery) (page driver.StreamPage, again bool, err error) {
	n := pageSize(q.Limit)
	p := reader{stream: q.Stream}
	var closed uint64
	exists := false
	st, from := readForward, uint64(q.From)
	if q.Backward {
		st = readBackward
		if from == 0 {
			from = 1<<63 - 1
		}
	}
	err = ses.run(ctx, st, func(row [][]byte) error {
		if row[3] != nil {
			return p.add(row)
		}
		head, ok1 := natural(row[2])
		var ok2 bool
		closed, ok2 = natural(row[0])
		page.Head, exists = driver.Version(head), true
		if !ok1 || !ok2 {
			return corrupt("stream %q: its row cannot be", q.Stream)
		}
		if q.Backward {
			p.expect(min(head, from), n)
		} else if from <= head {
			p.expect(head-max(from, 1)+1, n)
		}
		return nil
	}, []byte(q.Stream), bigint(from), bigint(uint64(n)))
	switch {
	case err != nil:
		return page, false, err
	case !exists:
		return page, false, &driver.StreamError{Stream: q.Stream, Err: driver.ErrStreamNotFound}
	case closed != open && !q.Deleted:
		return page, false, deleted(q.Stream)
	}
	// The versions first to last are wanted; all of them are there.
	first, last := driver.Version(1), page.Head
	if closed >= purged {
		first = last
	}
	if !q.Backward {
		first = max(first, q.From)
	} else if q.From != 0 {
		last = min(last, q.From)
	}
	page.End = true
	if first > last {
		if len(p.records) > 0 {
			return page, false, corrupt("stream %q: version %d is above its last", q.Stream, p.records[0].Version)
		}
		return page, false, nil
	}
	want := int(min(last-first+1, driver.Version(n)))
	page.End = driver.Version(want) == last-first+1
	if len(p.records) < want {
		return page, false, corrupt("stream %q: of the versions from %d to %d there are %d", q.Stream, first, last, len(p.records))
	}
	for i := range p.records {
		v := first + driver.Version(i)
		if q.Backward {
			v = last - driver.Version(i)
		}
		if p.records[i].Version != v {
			return page, false, corrupt("stream %q: version %d is missing", q.Stream, v)
		}
		if p.records[i].Type == "" {
			return page, false, corrupt("stream %q: version %d is blank", q.Stream, v)
		}
	}
	cut, gone, err := p.readLarge(ctx, ses)
	if err != nil || gone {
		return page, gone, err
	}
	if cut {
		page.End = false
	}
	page.Records = p.records
	return page, false, nil
}

// reader gathers the records of a page.
type reader struct {
	stream  string // of all of them; "" in the feed
	records []driver.Record
	large   []large // those whose bytes were left out
	arena   []byte
}

// expect makes room for as many records as there are likely to be, up to a limit.
func (p *reader) expect(records uint64, limit int) {
	if p.records == nil {
		p.records = make([]driver.Record, 0, min(records, uint64(limit)))
	}
}

// large is an event that is read by itself.
type large struct {
	at   int // in records
	size int
}

// add adds the record of a row. The type of one that was purged is empty.
func (p *reader) add(row [][]byte) error {
	position, ok1 := natural(row[0])
	version, ok2 := natural(row[2])
	micros, ok3 := integer(row[6])
	size, ok4 := natural(row[10])
	if row[10] == nil {
		ok4 = row[9] != nil
	}
	rec := driver.Record{
		Stream:   p.stream,
		Version:  driver.Version(version),
		Position: driver.Position(position),
		Type:     p.text(row[4]),
		Encoding: p.text(row[5]),
		Time:     driver.FromMicros(micros + epoch),
	}
	ok5 := copy(rec.ID[:], row[3]) == len(rec.ID)
	ok6 := row[7] == nil || elements(row[7], func(b []byte) bool {
		rec.Tags = append(rec.Tags, string(b))
		return b != nil
	})
	if !ok1 || !ok2 || !ok3 || !ok4 || !ok5 || !ok6 || position == 0 || version == 0 || (rec.Type == "") != (rec.Encoding == "") {
		return corrupt("the event at position %d cannot be what was stored", position)
	}
	if rec.Stream == "" {
		rec.Stream = p.text(row[1])
	}
	rec.Tags = rec.Tags[:len(rec.Tags):len(rec.Tags)]
	if row[10] != nil {
		p.large = append(p.large, large{len(p.records), int(size)})
	} else {
		rec.Metadata, rec.Data = p.keep(row[8]), p.keep(row[9])
	}
	p.records = append(p.records, rec)
	return nil
}

// text copies a text. Types and encodings are few: the one before is often the same.
func (p *reader) text(b []byte) string {
	if n := len(p.records); n > 0 {
		r := &p.records[n-1]
		switch string(b) {
		case r.Type:
			return r.Type
		case r.Encoding:
			return r.Encoding
		case r.Stream:
			return r.Stream
		}
	}
	return string(b)
}

// keep copies bytes of a row, which are the connection's.
func (p *reader) keep(b []byte) []byte {
	if len(b) == 0 {
		return nil
	}
	if len(b) > cap(p.arena)-len(p.arena) {
		p.arena = make([]byte, 0, max(len(b), min(max(2*cap(p.arena), 1<<10), arenaBytes)))
	}
	from := len(p.arena)
	p.arena = append(p.arena, b...)
	return p.arena[from:len(p.arena):len(p.arena)]
}

// readLarge reads the events whose bytes were left out, up to as many bytes as a
// page has, and at least one; cut says that records end there. gone says that one
// has been purged meanwhile.
func (p *reader) readLarge(ctx context.Context, ses *session) (cut, gone bool, err error) {
	if len(p.large) == 0 {
		return false, false, nil
	}
	n, bytes := 0, 0
	for n < len(p.large) && (n == 0 || bytes+p.large[n].size <= pageBytes) {
		bytes += p.large[n].size
		n++
	}
	if n < len(p.large) {
		p.records = p.records[:p.large[n].at]
		cut = true
	}
	at := make(map[driver.Position]*driver.Record, n)
	positions := newArray(oidBigint, n, 8*n)
	for _, l := range p.large[:n] {
		rec := &p.records[l.at]
		at[rec.Position] = rec
		positions.bigint(int64(rec.Position))
	}
	err = ses.run(ctx, readLarge, one(func(row [][]byte) bool {
		pos, ok := natural(row[0])
		rec := at[driver.Position(pos)]
		if !ok || rec == nil {
			return false
		}
		delete(at, rec.Position)
		if len(row[1]) == 0 {
			gone = true
			rec.Type = ""
			return true
		}
		rec.Metadata, rec.Data = p.keep(row[2]), p.keep(row[3])
		return true
	}), positions.done())
	if err == nil && len(at) > 0 {
		for pos := range at {
			err = corrupt("the event at position %d is gone", pos)
		}
	}
	return cut, gone, err
}
