package cassandra

import (
	"encoding/binary"
	"hash/crc32"

	"github.com/go-es/es/driver"
)

// A row holds a commit, what one append wrote to one stream, as one value: a
// column for each part of each event would cost more to write, to read and to
// compare, and Cassandra could repair one without the others.
//
//	format  1 byte: 1
//	crc     4 bytes, CRC-32C of what follows, little-endian
//	count   of records, then for each
//	        id, 16 bytes; time in microseconds, zigzag;
//	        type, encoding, number of tags, tags, metadata, data: each string
//	        after its length. Numbers are varints.
const (
	packed     = 1
	packHeader = 5
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func pack(records []driver.Record) []byte {
	size := packHeader + binary.MaxVarintLen32
	for i := range records {
		size += driver.Size(&records[i])
	}
	b := make([]byte, packHeader, size)
	b[0] = packed
	b = binary.AppendUvarint(b, uint64(len(records)))
	for i := range records {
		r := &records[i]
		b = append(b, r.ID[:]...)
		b = binary.AppendVarint(b, driver.Micros(r.Time))
		b = appendString(b, r.Type)
		b = appendString(b, r.Encoding)
		b = binary.AppendUvarint(b, uint64(len(r.Tags)))
		for _, t := range r.Tags {
			b = appendString(b, t)
		}
		b = appendString(b, r.Metadata)
		b = appendString(b, r.Data)
	}
	binary.LittleEndian.PutUint32(b[1:], crc32.Checksum(b[packHeader:], castagnoli))
	return b
}

func appendString[T string | []byte](b []byte, s T) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}

// unpack returns the records of a commit that begins at a version of a stream.
func unpack(b []byte, stream string, first driver.Version, last *names) ([]driver.Record, error) {
	damaged := func() ([]driver.Record, error) {
		return nil, corrupt("the row of stream %q at version %d is not what was stored", stream, first)
	}
	if len(b) < packHeader || b[0] != packed || binary.LittleEndian.Uint32(b[1:]) != crc32.Checksum(b[packHeader:], castagnoli) {
		return damaged()
	}
	p := parser{rest: b[packHeader:]}
	n := p.number()
	if n == 0 || n > uint64(len(b)) {
		return damaged()
	}
	records := make([]driver.Record, n)
	for i := range records {
		r := &records[i]
		r.Stream, r.Version = stream, first+driver.Version(i)
		copy(r.ID[:], p.bytes(uint64(len(r.ID))))
		r.Time = driver.FromMicros(p.signed())
		r.Type = again(&last.typ, p.bytes(p.number()))
		r.Encoding = again(&last.encoding, p.bytes(p.number()))
		if tags := p.number(); tags > 0 && tags <= uint64(len(p.rest)) {
			r.Tags = make([]string, tags)
			for j := range r.Tags {
				r.Tags[j] = string(p.bytes(p.number()))
			}
		}
		r.Metadata = clipped(p.bytes(p.number()))
		r.Data = clipped(p.bytes(p.number()))
	}
	if p.failed || len(p.rest) > 0 {
		return damaged()
	}
	return records, nil
}

// names are those of the record before, which mostly are those of the next one.
type names struct {
	typ, encoding string
}

// again returns b as a string: the last one, if that is the same.
func again(last *string, b []byte) string {
	if string(b) != *last {
		*last = string(b)
	}
	return *last
}

// clipped lets what is appended to b not reach what lies behind it.
func clipped(b []byte) []byte {
	if len(b) == 0 {
		return nil
	}
	return b[:len(b):len(b)]
}

// parser takes values from bytes, until one is not there.
type parser struct {
	rest   []byte
	failed bool
}

func (p *parser) number() uint64 {
	v, n := binary.Uvarint(p.rest)
	return took(p, v, n)
}

func (p *parser) signed() int64 {
	v, n := binary.Varint(p.rest)
	return took(p, v, n)
}

func took[T uint64 | int64](p *parser, v T, n int) T {
	if n <= 0 {
		p.failed = true
		p.rest = nil
		return 0
	}
	p.rest = p.rest[n:]
	return v
}

func (p *parser) bytes(n uint64) []byte {
	if n > uint64(len(p.rest)) {
		p.failed = true
		p.rest = nil
		return nil
	}
	b := p.rest[:n]
	p.rest = p.rest[n:]
	return b
}
