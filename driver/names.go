package driver

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math"
	"strconv"
	"time"
)

// MaxNameBytes is the length that streams, types, tags, checkpoint names and
// snapshot kinds may have.
const MaxNameBytes = 255

// Limits that hold on every store.
const (
	MaxEncodingBytes = 64 // bytes of Record.Encoding and Snapshot.Encoding, ASCII
	MaxTags          = 32 // tags of one record
)

// TypeDeleted is the type of the record that closes a stream. Types that begin
// with "$" are reserved: [Check] refuses them in an append.
const TypeDeleted = "$deleted"

// Version counts the events of one stream: the first has version 1, and 0 is
// the version of a stream that does not exist.
type Version uint64

// Position is the place of an event in the one order of all events of a store.
// 0 lies before the first event.
type Position uint64

// maxNumber bounds versions and positions: databases have signed integers.
const maxNumber = math.MaxInt64

// Expected says which version a stream must have for an append or a delete to
// happen: an exact version from 0 on, or [Any], or [Exists]. The zero value is
// [NoStream].
type Expected int64

const (
	// NoStream expects that the stream does not exist.
	NoStream Expected = 0
	// Any expects nothing.
	Any Expected = -1
	// Exists expects that the stream has at least one event.
	Exists Expected = -2
)

// Exactly expects the stream's last version to be v.
func Exactly(v Version) Expected {
	if v > maxNumber {
		return math.MinInt64 // which Check refuses
	}
	return Expected(v)
}

// Exact returns the version that e expects, and false for Any, Exists and
// invalid values.
func (e Expected) Exact() (Version, bool) {
	if e < 0 {
		return 0, false
	}
	return Version(e), true
}

// Holds reports whether e holds for a stream that is not closed and whose last
// version is head (0: it does not exist).
func (e Expected) Holds(head Version) bool {
	switch {
	case e == Any:
		return true
	case e == Exists:
		return head > 0
	default:
		return e >= 0 && Version(e) == head
	}
}

// MayHold reports whether e holds for a stream that is not closed and whose last
// version is head, or may hold once that has grown. Where it is false, e never will.
func (e Expected) MayHold(head Version) bool { return e < 0 || Version(e) >= head }

// String returns "no stream", "any", "exists" or "version N".
func (e Expected) String() string {
	switch {
	case e == NoStream:
		return "no stream"
	case e == Any:
		return "any"
	case e == Exists:
		return "exists"
	case e < 0:
		return "invalid (" + strconv.FormatInt(int64(e), 10) + ")"
	default:
		return "version " + strconv.FormatInt(int64(e), 10)
	}
}

// ID identifies an event; it is also the form of a checkpoint's revision. The
// text form is that of a UUID.
type ID [16]byte

// NewID returns a fresh id: a UUID of version 7 (RFC 9562), whose first 48 bits
// are the Unix time t in milliseconds and the rest random.
func NewID(t time.Time) ID {
	var id ID
	rand.Read(id[6:]) // never fails: see crypto/rand
	var ms [8]byte
	binary.BigEndian.PutUint64(ms[:], uint64(t.UnixMilli()))
	copy(id[:6], ms[2:])
	id[6] = id[6]&0x0f | 0x70
	id[8] = id[8]&0x3f | 0x80
	return id
}

// IsZero reports whether all bytes are zero, which is no valid id of an event.
func (id ID) IsZero() bool { return id == ID{} }

// String returns the id in the form of a UUID, in lower case.
func (id ID) String() string {
	var b [36]byte
	hex.Encode(b[:8], id[:4])
	hex.Encode(b[9:13], id[4:6])
	hex.Encode(b[14:18], id[6:8])
	hex.Encode(b[19:23], id[8:10])
	hex.Encode(b[24:], id[10:])
	b[8], b[13], b[18], b[23] = '-', '-', '-', '-'
	return string(b[:])
}

// ParseID reads what [ID.String] writes, in either case.
func ParseID(s string) (ID, error) {
	var id ID
	if len(s) != 36 || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
		return ID{}, fmt.Errorf("es: %.64q is not an id of the form xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx", s)
	}
	digits := s[:8] + s[9:13] + s[14:18] + s[19:23] + s[24:]
	if _, err := hex.Decode(id[:], []byte(digits)); err != nil {
		return ID{}, fmt.Errorf("es: %q is not an id: %w", s, err)
	}
	return id, nil
}

// MarshalText implements encoding.TextMarshaler.
func (id ID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (id *ID) UnmarshalText(text []byte) error {
	v, err := ParseID(string(text))
	if err == nil {
		*id = v
	}
	return err
}

// Micros is the time as drivers store it: microseconds since 1970 in UTC, cut
// toward the past.
func Micros(t time.Time) int64 { return t.UnixMicro() }

// FromMicros is the inverse of [Micros], in UTC.
func FromMicros(us int64) time.Time { return time.UnixMicro(us).UTC() }
