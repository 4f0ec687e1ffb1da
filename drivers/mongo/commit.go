package mongo

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/go-es/es/driver"
)

// The fields of a commit's document. doc.go says what they are.
const (
	fieldID     = "_id"
	fieldCount  = "n"
	fieldIDs    = "i"
	fieldEvents = "e"
	fieldDirty  = "u"
	fieldCloses = "x"

	fieldType     = "t"
	fieldEncoding = "c"
	fieldTags     = "g"
	fieldTime     = "w"
	fieldData     = "d"
	fieldMetadata = "m"
)

// commit is what one append wrote to a stream: one document.
type commit struct {
	stream      string
	first, last driver.Version
	ids         []driver.ID
	records     []driver.Record // of a purged one, and where they were not asked for, none
	purged      bool
	closes      bool // last is the event that closes the stream
}

// keyDigits is how many digits a version has in a key.
const keyDigits = 16

// key returns the _id of a commit. Keys are ordered as streams and versions are.
func key(stream string, first driver.Version) string {
	b := make([]byte, 0, len(stream)+1+keyDigits)
	b = append(append(b, stream...), 0)
	const digits = "0123456789abcdef"
	for shift := 4 * (keyDigits - 1); shift >= 0; shift -= 4 {
		b = append(b, digits[uint64(first)>>shift&15])
	}
	return string(b)
}

// split is the inverse of key.
func split(key []byte) (stream []byte, first driver.Version, ok bool) {
	i := len(key) - keyDigits - 1
	if i <= 0 || key[i] != 0 {
		return nil, 0, false
	}
	n, err := strconv.ParseUint(string(key[i+1:]), 16, 63)
	return key[:i], driver.Version(n), err == nil && n > 0
}

// low and high are around the keys of a stream: at or above low, and below high.
func low(stream string) string  { return stream + "\x00" }
func high(stream string) string { return stream + "\x01" }

// encode returns the document of a new commit, which has no position yet.
func encode(stream string, base driver.Version, records []driver.Record, closes bool) bson.Raw {
	size := len(stream) + 128
	for i := range records {
		size += driver.Size(&records[i]) + 96
	}
	b, doc := open(make([]byte, 0, size))
	b = appendString(b, fieldID, key(stream, base+1))
	b = appendInt32(b, fieldCount, len(records))
	b = appendName(b, typeArray, fieldIDs)
	b, array := open(b)
	for i := range records {
		b = appendBytes(appendIndex(b, typeBinary, i), subtypeUUID, records[i].ID[:])
	}
	b = shut(b, array)
	b = appendName(b, typeArray, fieldEvents)
	b, array = open(b)
	for i := range records {
		b = appendRecord(appendIndex(b, typeDoc, i), &records[i])
	}
	b = shut(b, array)
	b = appendInt64(b, fieldDirty, int64(base)+1)
	if closes {
		b = append(appendName(b, typeBoolean, fieldCloses), 1)
	}
	return shut(b, doc)
}

func appendRecord(b []byte, r *driver.Record) []byte {
	b, doc := open(b)
	b = appendString(b, fieldType, r.Type)
	b = appendString(b, fieldEncoding, r.Encoding)
	if len(r.Tags) > 0 {
		b = appendName(b, typeArray, fieldTags)
		var array int
		b, array = open(b)
		for i, tag := range r.Tags {
			b = appendText(appendIndex(b, typeString, i), tag)
		}
		b = shut(b, array)
	}
	b = appendInt64(b, fieldTime, driver.Micros(r.Time))
	b = appendBinary(b, fieldData, 0, r.Data)
	if len(r.Metadata) > 0 {
		b = appendBinary(b, fieldMetadata, 0, r.Metadata)
	}
	return shut(b, doc)
}

// decode reads a commit, with its records if they are there. Nothing of it is part
// of the document's memory.
func decode(doc bson.Raw) (*commit, error) { return decodePart(doc, 0, driver.Version(1)<<62) }

// decodePart is decode for a document that has n of the events, those after the first
// skip ones, or fewer at its end.
func decodePart(doc bson.Raw, skip, n driver.Version) (*commit, error) {
	c := new(commit)
	count := int64(-1)
	var k, events []byte
	good := each(doc, func(e element) (ok bool) {
		switch string(e.name) {
		case fieldID:
			k, ok = e.text()
		case fieldCount:
			count, ok = e.number()
		case fieldIDs:
			ok = e.kind == typeArray && each(e.data, func(e element) bool {
				id, ok := e.bytes()
				if ok = ok && len(id) == len(driver.ID{}); ok {
					c.ids = append(c.ids, driver.ID(id))
				}
				return ok
			})
		case fieldEvents:
			events, ok = e.data, e.kind == typeArray
		case fieldCloses:
			c.closes, ok = true, true
		default:
			ok = true
		}
		return ok
	})
	stream, first, ok := split(k)
	if !good || !ok || count < 1 || int64(len(c.ids)) != count {
		return nil, corrupt("the commit %q cannot be read", k)
	}
	c.stream, c.first, c.last = string(stream), first, first+driver.Version(count)-1
	if c.last < c.first {
		return nil, corrupt("the commit %q cannot be read", k)
	}
	if events == nil {
		c.purged = true
		return c, nil
	}
	skip = min(skip, driver.Version(count))
	ids := c.ids[skip:min(skip+n, driver.Version(count))]
	c.records = make([]driver.Record, 0, len(ids))
	good = each(events, func(e element) bool {
		i := len(c.records)
		if i == len(ids) || e.kind != typeDoc {
			return false
		}
		r := driver.Record{Stream: c.stream, Version: c.first + skip + driver.Version(i), ID: ids[i]}
		ok := decodeRecord(e.data, &r)
		c.records = append(c.records, r)
		return ok
	})
	if !good || len(c.records) != len(ids) {
		return nil, corrupt("the events of the commit %q cannot be read", k)
	}
	return c, nil
}

func decodeRecord(doc []byte, r *driver.Record) bool {
	seen := 0
	good := each(doc, func(e element) (ok bool) {
		ok = true
		var b []byte
		switch string(e.name) {
		case fieldType:
			b, ok = e.text()
			r.Type = string(b)
			seen++
		case fieldEncoding:
			b, ok = e.text()
			r.Encoding = string(b)
			seen++
		case fieldTags:
			ok = e.kind == typeArray && each(e.data, func(e element) bool {
				b, ok := e.text()
				r.Tags = append(r.Tags, string(b))
				return ok
			})
		case fieldTime:
			var us int64
			us, ok = e.number()
			r.Time = driver.FromMicros(us)
			seen++
		case fieldData:
			b, ok = e.bytes()
			r.Data = bytes.Clone(b)
			seen++
		case fieldMetadata:
			b, ok = e.bytes()
			r.Metadata = bytes.Clone(b)
		}
		return ok
	})
	return good && seen == 4 && r.Type != "" && r.Encoding != ""
}

// holds reports whether the commit has the ids of records, and no others.
func (c *commit) holds(records []driver.Record) bool {
	if len(c.ids) != len(records) {
		return false
	}
	for i := range records {
		if c.ids[i] != records[i].ID {
			return false
		}
	}
	return true
}

// state is what an append must know of the stream whose last commit c is; nil for
// one that does not exist.
func (c *commit) state() driver.StreamState {
	if c == nil {
		return driver.StreamState{}
	}
	return driver.StreamState{Head: c.last, Closed: c.closes}
}

func corrupt(format string, args ...any) error {
	return fmt.Errorf("%w: %s", driver.ErrCorrupt, strings.ReplaceAll(fmt.Sprintf(format, args...), "\x00", " "))
}
