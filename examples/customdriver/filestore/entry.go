package filestore

import (
	"encoding/binary"
	"errors"

	"github.com/go-es/es/driver"
)

// kind says what an entry changes. The numbers are stored.
type kind byte

const (
	appended          kind = iota + 1 // events
	deleted                           // events: the one that closes its stream
	purged                            // name is the stream
	savedCheckpoint                   // checkpoint
	deletedCheckpoint                 // name
	savedSnapshot                     // snapshot
	deletedSnapshot                   // snapshot, of which only stream and kind are there
)

// entry is one change. It is written whole or not at all.
type entry struct {
	kind       kind
	events     []driver.Record // with stream and version
	name       string
	checkpoint driver.Checkpoint
	snapshot   driver.Snapshot
}

// encode returns the entry as bytes: numbers as varints, and all that has a length
// behind its length.
func (e *entry) encode() []byte {
	w := writer{byte(e.kind)}
	switch e.kind {
	case appended, deleted:
		w.uint(uint64(len(e.events)))
		for i := range e.events {
			r := &e.events[i]
			w.text(r.Stream)
			w.uint(uint64(r.Version))
			w = append(w, r.ID[:]...)
			w.text(r.Type)
			w.text(r.Encoding)
			w.uint(uint64(len(r.Tags)))
			for _, tag := range r.Tags {
				w.text(tag)
			}
			w.bytes(r.Data)
			w.bytes(r.Metadata)
			w.uint(uint64(driver.Micros(r.Time)))
		}
	case purged, deletedCheckpoint:
		w.text(e.name)
	case savedCheckpoint:
		c := &e.checkpoint
		w.text(c.Name)
		w.uint(uint64(c.Position))
		w.uint(uint64(c.SeenAt))
		w = append(w, c.SeenID[:]...)
		w = append(w, c.Revision[:]...)
	case savedSnapshot, deletedSnapshot:
		s := &e.snapshot
		w.text(s.Stream)
		w.text(s.Kind)
		w.uint(uint64(s.Version))
		w = append(w, s.EventID[:]...)
		w.text(s.Encoding)
		w.bytes(s.Data)
	}
	return w
}

// decode is the inverse of encode. What it returns shares memory with b.
func decode(b []byte) (e entry, err error) {
	r := reader{b: b}
	e.kind = kind(r.take(1)[0])
	switch e.kind {
	case appended, deleted:
		for n := r.uint(); n > 0 && !r.bad; n-- {
			var v driver.Record
			v.Stream = r.text()
			v.Version = driver.Version(r.uint())
			v.ID = r.id()
			v.Type = r.text()
			v.Encoding = r.text()
			for n := r.uint(); n > 0 && !r.bad; n-- {
				v.Tags = append(v.Tags, r.text())
			}
			v.Data = r.bytes()
			v.Metadata = r.bytes()
			v.Time = driver.FromMicros(int64(r.uint()))
			e.events = append(e.events, v)
		}
	case purged, deletedCheckpoint:
		e.name = r.text()
	case savedCheckpoint:
		c := &e.checkpoint
		c.Name = r.text()
		c.Position = driver.Position(r.uint())
		c.SeenAt = driver.Position(r.uint())
		c.SeenID = r.id()
		c.Revision = r.id()
	case savedSnapshot, deletedSnapshot:
		s := &e.snapshot
		s.Stream = r.text()
		s.Kind = r.text()
		s.Version = driver.Version(r.uint())
		s.EventID = r.id()
		s.Encoding = r.text()
		s.Data = r.bytes()
	default:
		r.bad = true
	}
	if r.bad || len(r.b) > 0 {
		return e, errors.New("it cannot be read")
	}
	return e, nil
}

type writer []byte

func (w *writer) uint(n uint64) { *w = binary.AppendUvarint(*w, n) }

func (w *writer) text(s string) {
	w.uint(uint64(len(s)))
	*w = append(*w, s...)
}

func (w *writer) bytes(b []byte) {
	w.uint(uint64(len(b)))
	*w = append(*w, b...)
}

// reader takes values off the beginning of b. Once something is missing it is bad,
// and returns zeros.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) take(n uint64) []byte {
	if n > uint64(len(r.b)) {
		r.bad, r.b = true, nil
		return make([]byte, min(n, 16)) // as much as anyone looks at
	}
	b := r.b[:n:n]
	r.b = r.b[n:]
	return b
}

func (r *reader) uint() uint64 {
	n, size := binary.Uvarint(r.b)
	if size <= 0 {
		r.bad, r.b = true, nil
		return 0
	}
	r.b = r.b[size:]
	return n
}

func (r *reader) bytes() []byte { return r.take(r.uint()) }
func (r *reader) text() string  { return string(r.bytes()) }
func (r *reader) id() driver.ID { return driver.ID(r.take(16)) }
