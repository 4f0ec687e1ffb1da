package mongo

import (
	"encoding/binary"
	"math"
	"strconv"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// Documents are written and read by hand: reflection over them would cost more than
// the network on a machine of one's own.

// Types of BSON that are used here.
const (
	typeString  = 0x02
	typeDoc     = 0x03
	typeArray   = 0x04
	typeBinary  = 0x05
	typeBoolean = 0x08
	typeInt32   = 0x10
	typeInt64   = 0x12

	subtypeUUID = 0x04
)

// open begins a document, and returns where its length stands.
func open(b []byte) ([]byte, int) { return append(b, 0, 0, 0, 0), len(b) }

// shut ends the document that begins at a place.
func shut(b []byte, at int) []byte {
	b = append(b, 0)
	binary.LittleEndian.PutUint32(b[at:], uint32(len(b)-at))
	return b
}

func appendName(b []byte, kind byte, name string) []byte {
	return append(append(append(b, kind), name...), 0)
}

func appendIndex(b []byte, kind byte, i int) []byte {
	return append(strconv.AppendInt(append(b, kind), int64(i), 10), 0)
}

func appendText(b []byte, s string) []byte {
	b = binary.LittleEndian.AppendUint32(b, uint32(len(s)+1))
	return append(append(b, s...), 0)
}

func appendBytes(b []byte, subtype byte, data []byte) []byte {
	b = binary.LittleEndian.AppendUint32(b, uint32(len(data)))
	return append(append(b, subtype), data...)
}

func appendInt32(b []byte, name string, n int) []byte {
	return binary.LittleEndian.AppendUint32(appendName(b, typeInt32, name), uint32(n))
}

func appendInt64(b []byte, name string, n int64) []byte {
	return binary.LittleEndian.AppendUint64(appendName(b, typeInt64, name), uint64(n))
}

func appendString(b []byte, name, s string) []byte {
	return appendText(appendName(b, typeString, name), s)
}

func appendBinary(b []byte, name string, subtype byte, data []byte) []byte {
	return appendBytes(appendName(b, typeBinary, name), subtype, data)
}

// element is one of a document. Its bytes are part of the document's.
type element struct {
	kind byte
	name []byte
	data []byte
}

// each calls f with the elements of a document until it returns false. It returns
// false then, and for what is no document.
func each(doc []byte, f func(e element) bool) bool {
	if len(doc) < 5 || binary.LittleEndian.Uint32(doc) != uint32(len(doc)) || doc[len(doc)-1] != 0 {
		return false
	}
	rest := doc[4 : len(doc)-1]
	for len(rest) > 0 {
		e := element{kind: rest[0]}
		i := 1
		for i < len(rest) && rest[i] != 0 {
			i++
		}
		if i == len(rest) {
			return false
		}
		e.name, rest = rest[1:i], rest[i+1:]
		size, ok := sizeOf(e.kind, rest)
		if !ok || size > len(rest) {
			return false
		}
		e.data, rest = rest[:size], rest[size:]
		if !f(e) {
			return false
		}
	}
	return true
}

// sizeOf returns how many bytes a value of a type has.
func sizeOf(kind byte, b []byte) (int, bool) {
	length := func(more int) (int, bool) {
		if len(b) < 4 {
			return 0, false
		}
		n := binary.LittleEndian.Uint32(b)
		return int(n) + more, n <= math.MaxInt32
	}
	switch kind {
	case typeString:
		return length(4)
	case typeDoc, typeArray:
		return length(0)
	case typeBinary:
		return length(5)
	case typeBoolean:
		return 1, true
	case typeInt32:
		return 4, true
	case typeInt64, 0x01, 0x09, 0x11: // and double, date and timestamp
		return 8, true
	case 0x0a, 0x7f, 0xff: // null and the keys that bound all
		return 0, true
	case 0x07: // object id
		return 12, true
	case 0x13: // decimal
		return 16, true
	}
	return 0, false
}

// text returns a string, which shares the document's memory.
func (e element) text() ([]byte, bool) {
	if e.kind != typeString || len(e.data) < 5 || e.data[len(e.data)-1] != 0 {
		return nil, false
	}
	return e.data[4 : len(e.data)-1], true
}

// bytes returns binary data, which shares the document's memory.
func (e element) bytes() ([]byte, bool) {
	if e.kind != typeBinary || len(e.data) < 5 {
		return nil, false
	}
	return e.data[5:], true
}

// number returns a whole number. Whoever looks at data by hand may have made
// another type of it.
func (e element) number() (int64, bool) {
	switch e.kind {
	case typeInt32:
		return int64(int32(binary.LittleEndian.Uint32(e.data))), true
	case typeInt64:
		return int64(binary.LittleEndian.Uint64(e.data)), true
	case 0x01:
		f := math.Float64frombits(binary.LittleEndian.Uint64(e.data))
		return int64(f), f == math.Trunc(f) && math.Abs(f) < 1<<53
	}
	return 0, false
}

// lookup returns an element of an answer, or none.
func lookup(doc bson.Raw, name string) (found element, ok bool) {
	each(doc, func(e element) bool {
		if string(e.name) == name {
			found, ok = e, true
		}
		return !ok
	})
	return found, ok
}
