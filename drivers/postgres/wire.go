package postgres

import (
	"encoding/binary"
	"math"
	"strings"

	"github.com/go-es/es/driver"
)

// All that goes to the database and comes from it is in its binary form: 8 bytes
// of an integer, the highest first, 16 of a uuid, and texts and bytes as they are.

// epoch is 2000-01-01 in microseconds since 1970: times count from there.
const epoch = 946_684_800_000_000

// The numbers of the types that arrays are made of.
const (
	oidBytea       = 17
	oidBigint      = 20
	oidText        = 25
	oidTimestamptz = 1184
	oidUUID        = 2950
)

func bigint(v uint64) []byte { return binary.BigEndian.AppendUint64(nil, v) }

// integer reads a bigint that is not NULL.
func integer(b []byte) (int64, bool) {
	if len(b) != 8 {
		return 0, false
	}
	return int64(binary.BigEndian.Uint64(b)), true
}

// natural is integer for what is never below zero.
func natural(b []byte) (uint64, bool) {
	n, ok := integer(b)
	return uint64(n), ok && n >= 0
}

// array builds the binary form of an array of one dimension.
type array struct {
	b []byte
	n uint32
}

const arrayHeader = 20

// newArray begins an array; size is what its elements take, about.
func newArray(oid uint32, n, size int) *array {
	a := &array{b: make([]byte, arrayHeader, arrayHeader+4*n+size)}
	binary.BigEndian.PutUint32(a.b[8:], oid)
	return a
}

func (a *array) length(n int) {
	a.n++
	a.b = binary.BigEndian.AppendUint32(a.b, uint32(n))
}

func (a *array) text(s string)  { a.length(len(s)); a.b = append(a.b, s...) }
func (a *array) bytes(s []byte) { a.length(len(s)); a.b = append(a.b, s...) }
func (a *array) bigint(v int64) { a.length(8); a.b = binary.BigEndian.AppendUint64(a.b, uint64(v)) }
func (a *array) null() {
	a.n++
	a.b = binary.BigEndian.AppendUint32(a.b, math.MaxUint32)
	a.b[7] = 1
}

// done returns the array, which must have an element at least.
func (a *array) done() []byte {
	binary.BigEndian.PutUint32(a.b, 1)
	binary.BigEndian.PutUint32(a.b[12:], a.n)
	binary.BigEndian.PutUint32(a.b[16:], 1)
	return a.b
}

// textArray returns an array of texts, or NULL for none.
func textArray(texts []string) []byte {
	if len(texts) == 0 {
		return nil
	}
	size := 0
	for _, t := range texts {
		size += len(t)
	}
	a := newArray(oidText, len(texts), size)
	for _, t := range texts {
		a.text(t)
	}
	return a.done()
}

// elements calls f with each element of an array, nil for NULL, and reports
// whether it is one of at most one dimension.
func elements(b []byte, f func(b []byte) bool) bool {
	if len(b) < 12 {
		return false
	}
	dimensions := binary.BigEndian.Uint32(b)
	if dimensions == 0 {
		return true
	}
	if dimensions != 1 || len(b) < arrayHeader {
		return false
	}
	n := binary.BigEndian.Uint32(b[12:])
	b = b[arrayHeader:]
	for range n {
		if len(b) < 4 {
			return false
		}
		size := int(int32(binary.BigEndian.Uint32(b)))
		b = b[4:]
		if size < 0 {
			if !f(nil) {
				return false
			}
			continue
		}
		if size > len(b) || !f(b[:size:size]) {
			return false
		}
		b = b[size:]
	}
	return len(b) == 0
}

// tagsLiteral is an array of tags as PostgreSQL writes it: an array of arrays
// would need them to be of one length.
func tagsLiteral(tags []string) string {
	var b strings.Builder
	b.WriteByte('{')
	for i, t := range tags {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteByte('"')
		for _, c := range []byte(t) {
			if c == '"' || c == '\\' {
				b.WriteByte('\\')
			}
			b.WriteByte(c)
		}
		b.WriteByte('"')
	}
	b.WriteByte('}')
	return b.String()
}

// columns are arrays of the columns of records.
type columns struct {
	id, typ, encoding, time, tags, metadata, data *array
}

func newColumns(parts ...*driver.Part) *columns {
	var n, types, encodings, metadata, data int
	for _, p := range parts {
		n += len(p.Records)
		for i := range p.Records {
			r := &p.Records[i]
			types += len(r.Type)
			encodings += len(r.Encoding)
			metadata += len(r.Metadata)
			data += len(r.Data)
		}
	}
	c := &columns{
		id:       newArray(oidUUID, n, 16*n),
		typ:      newArray(oidText, n, types),
		encoding: newArray(oidText, n, encodings),
		time:     newArray(oidTimestamptz, n, 8*n),
		tags:     newArray(oidText, n, 0),
		metadata: newArray(oidBytea, n, metadata),
		data:     newArray(oidBytea, n, data),
	}
	for _, p := range parts {
		for i := range p.Records {
			c.add(&p.Records[i])
		}
	}
	return c
}

func (c *columns) add(r *driver.Record) {
	c.id.bytes(r.ID[:])
	c.typ.text(r.Type)
	c.encoding.text(r.Encoding)
	c.time.bigint(driver.Micros(r.Time) - epoch)
	if len(r.Tags) > 0 {
		c.tags.text(tagsLiteral(r.Tags))
	} else {
		c.tags.null()
	}
	if len(r.Metadata) > 0 {
		c.metadata.bytes(r.Metadata)
	} else {
		c.metadata.null()
	}
	c.data.bytes(r.Data)
}

// recordArgs returns a stream, the columns of one record in the order of columns,
// and the version before it.
func recordArgs(stream string, r *driver.Record, base driver.Version) [][]byte {
	var tags, metadata []byte
	if len(r.Tags) > 0 {
		tags = []byte(tagsLiteral(r.Tags))
	}
	if len(r.Metadata) > 0 {
		metadata = r.Metadata
	}
	data := r.Data
	if data == nil {
		data = []byte{} // nil is NULL
	}
	b := make([]byte, 0, len(stream)+len(r.Type)+len(r.Encoding)+16)
	b = append(append(append(b, stream...), r.Type...), r.Encoding...)
	b = binary.BigEndian.AppendUint64(b, uint64(driver.Micros(r.Time)-epoch))
	b = binary.BigEndian.AppendUint64(b, uint64(base))
	next := func(n int) (arg []byte) {
		arg, b = b[:n:n], b[n:]
		return arg
	}
	return [][]byte{next(len(stream)), r.ID[:], next(len(r.Type)), next(len(r.Encoding)), next(8), tags, metadata, data, next(8)}
}

// args returns the arrays in the order in which statements take them.
func (c *columns) args() [][]byte {
	return [][]byte{c.id.done(), c.typ.done(), c.encoding.done(), c.time.done(), c.tags.done(), c.metadata.done(), c.data.done()}
}
