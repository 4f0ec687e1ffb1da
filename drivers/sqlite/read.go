package sqlite

import (
	"context"
	sqldriver "database/sql/driver"
	"encoding/json"
	"strings"

	"github.com/go-es/es/driver"
)

// The sizes of a page. A page ends where it gets one of them, whatever its limit.
const (
	pageRecords = 256      // where the caller sets no limit
	pageMax     = 10_000   // records
	pageBytes   = 4 << 20  // of data and metadata
	arenaBytes  = 64 << 10 // of memory that data and metadata are cut from
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
	err = s.read(ctx, func(ses session) error {
		page, err = readStream(ctx, ses, q)
		return err
	})
	return page, err
}

func readStream(ctx context.Context, ses session, q driver.StreamQuery) (driver.StreamPage, error) {
	page, blank, err := readOnce(ctx, ses, q)
	if blank && err == nil { // the stream was purged a moment ago
		if page, blank, err = readOnce(ctx, ses, q); blank && err == nil {
			err = corrupt("stream %q has a blank event, and was not purged", q.Stream)
		}
	}
	if err != nil {
		return driver.StreamPage{}, err
	}
	return page, nil
}

// readOnce returns a page of a stream. blank says that an event of it is, although the
// stream had not been purged before.
func readOnce(ctx context.Context, ses session, q driver.StreamQuery) (page driver.StreamPage, blank bool, _ error) {
	st, err := lookup(ses, q.Stream)
	switch {
	case err != nil:
		return page, false, err
	case st.id == 0:
		return page, false, &driver.StreamError{Stream: q.Stream, Err: driver.ErrStreamNotFound}
	case st.closed != open && !q.Deleted:
		return page, false, &driver.StreamError{Stream: q.Stream, Err: driver.ErrStreamDeleted}
	}
	// The versions first to last are wanted; all of them are there.
	first, last := driver.Version(1), st.head
	if st.closed == purged {
		first = last
	}
	if q.Backward && q.From != 0 {
		last = min(last, q.From)
	} else if !q.Backward {
		first = max(first, q.From)
	}
	page = driver.StreamPage{Head: st.head, End: true}
	if first > last {
		return page, false, nil
	}
	if n := driver.Version(pageSize(q.Limit)); last-first >= n {
		page.End = false
		if q.Backward {
			first = last - n + 1
		} else {
			last = first + n - 1
		}
	}
	read, next, step := readForward, first, driver.Version(1)
	if q.Backward {
		read, next, step = readBackward, last, ^driver.Version(0)
	}
	p := newReader(ctx, int(last-first)+1)
	err = ses.query(read, func(row []sqldriver.Value) error {
		rec, err := p.decode(row, q.Stream)
		if err != nil {
			return err
		}
		if rec.Version != next {
			return corrupt("stream %q: version %d is missing", q.Stream, next)
		}
		if rec.Type == "" {
			blank = true
			return errStop
		}
		next += step
		return p.full()
	}, st.id, int64(first), int64(last))
	switch n := len(p.records); {
	case err != nil:
		return page, false, err
	case blank && st.closed == purged:
		return page, false, corrupt("stream %q: version %d is blank", q.Stream, next)
	case blank:
		return page, true, nil
	case n <= int(last-first) && !p.isFull():
		return page, false, corrupt("stream %q: version %d is missing", q.Stream, next)
	case n <= int(last-first):
		page.End = false
	}
	page.Records = p.records
	return page, false, nil
}

// reader gathers the records of a page.
type reader struct {
	ctx     context.Context
	records []driver.Record
	bytes   int
	arena   []byte
}

func newReader(ctx context.Context, n int) *reader {
	return &reader{ctx: ctx, records: make([]driver.Record, 0, n)}
}

// full returns errStop when the page has enough bytes, and an error when the
// context has ended.
func (p *reader) full() error {
	if p.isFull() {
		return errStop
	}
	if len(p.records)%64 == 0 {
		return p.ctx.Err()
	}
	return nil
}

func (p *reader) isFull() bool { return p.bytes >= pageBytes }

// decode appends the record of a row: position, version, time, header, metadata,
// data. The stream's name ends the header unless it is given.
func (p *reader) decode(row []sqldriver.Value, stream string) (*driver.Record, error) {
	position, ok1 := row[0].(int64)
	version, ok2 := row[1].(int64)
	micros, ok3 := row[2].(int64)
	head, ok4 := row[3].(string)
	metadata, ok5 := blob(row[4])
	data, ok6 := blob(row[5])
	if !ok1 || !ok2 || !ok3 || !ok4 || !ok5 || !ok6 || row[5] == nil {
		return nil, corrupt("the event at position %v cannot be what was stored", row[0])
	}
	p.records = append(p.records, driver.Record{
		Stream:   stream,
		Version:  driver.Version(version),
		Position: driver.Position(position),
		Time:     driver.FromMicros(micros),
		Metadata: p.keep(metadata),
		Data:     p.keep(data),
	})
	rec := &p.records[len(p.records)-1]
	p.bytes += len(metadata) + len(data)
	copy(rec.ID[:], head)
	rest := head[len(rec.ID):]
	var tags string
	var ok [3]bool
	rec.Type, rest, ok[0] = strings.Cut(rest, "\x00")
	rec.Encoding, rest, ok[1] = strings.Cut(rest, "\x00")
	tags, rest, ok[2] = strings.Cut(rest, "\x00")
	if !ok[0] || !ok[1] || !ok[2] {
		return nil, corrupt("the event at position %d cannot be what was stored", position)
	}
	if stream == "" {
		rec.Stream = rest
	}
	if tags != "" {
		if err := json.Unmarshal([]byte(tags), &rec.Tags); err != nil {
			return nil, corrupt("the tags of the event at position %d: %v", position, err)
		}
	}
	return rec, nil
}

func blob(v sqldriver.Value) ([]byte, bool) {
	if v == nil {
		return nil, true
	}
	b, ok := v.([]byte)
	return b, ok
}

// keep copies bytes of a row, which are the database's.
func (p *reader) keep(b []byte) []byte {
	if len(b) == 0 {
		return nil
	}
	if len(b) > cap(p.arena)-len(p.arena) {
		left := cap(p.records) - len(p.records) + 1 // as large as this one, perhaps
		p.arena = make([]byte, 0, max(len(b), min(len(b)*left, arenaBytes)))
	}
	from := len(p.arena)
	p.arena = append(p.arena, b...)
	return p.arena[from:len(p.arena):len(p.arena)]
}
