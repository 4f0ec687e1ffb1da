package dynamodb

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/go-es/es/driver"
)

// The items of a table, by their keys pk and sk (strings):
//
//	s#STREAM   first version       a commit: what one append wrote to one stream
//	n#SHARD    stream              how far the stream is sequenced; the listing
//	l#BUCKET   first position      a batch of the log
//	c          name                a checkpoint
//	p#STREAM   kind                a snapshot
//	m          meta                the version of the schema, the region
//
// Numbers in keys are 16 hexadecimal digits. A commit that has no position yet has
// the attributes u and ts as well, the keys of the index "dirty".
const (
	pk = "pk"
	sk = "sk"

	attrLast     = "to"     // N: the last version of a commit
	attrClosed   = "closed" // BOOL: the commit, or the stream, is closed by its last event
	attrIDs      = "ids"    // B: 16 bytes for each event
	attrEvents   = "ev"     // B: the events, see appendEvents; missing in a purged commit
	attrPurged   = "x"      // BOOL
	attrWriter   = "w"      // B: which call wrote the commit
	attrPosition = "pos"    // N: of the first event, once it is known
	attrShard    = "u"      // S: the partition of the index
	attrSince    = "ts"     // S: when it was written; orders the index, and decides nothing
	attrVersion  = "v"      // N: of a stream or a snapshot
	attrSpans    = "spans"  // B: see sequencer.AppendSpans
)

type item = map[string]types.AttributeValue

func str(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }
func yes() types.AttributeValue         { return &types.AttributeValueMemberBOOL{Value: true} }

// bin returns bytes, of which none must not be nil: that would be no value at all.
func bin(b []byte) types.AttributeValue {
	if b == nil {
		b = []byte{}
	}
	return &types.AttributeValueMemberB{Value: b}
}

func num[N ~uint64 | ~int](n N) types.AttributeValue {
	return &types.AttributeValueMemberN{Value: strconv.FormatUint(uint64(n), 10)}
}

func keyOf(p, s string) item { return item{pk: str(p), sk: str(s)} }

// ordered writes a number so that the order of the strings is that of the numbers.
func ordered(n uint64) string { return fmt.Sprintf("%016x", n) }

func getString(it item, name string) string {
	s, _ := it[name].(*types.AttributeValueMemberS)
	if s == nil {
		return ""
	}
	return s.Value
}

func getBytes(it item, name string) []byte {
	b, _ := it[name].(*types.AttributeValueMemberB)
	if b == nil {
		return nil
	}
	return b.Value
}

func getBool(it item, name string) bool {
	b, _ := it[name].(*types.AttributeValueMemberBOOL)
	return b != nil && b.Value
}

// getNumber returns 0 for a number that is not there.
func getNumber(it item, name string) (uint64, error) {
	a, there := it[name]
	if !there {
		return 0, nil
	}
	n, _ := a.(*types.AttributeValueMemberN)
	if n == nil {
		return 0, corrupt("the attribute %s is no number", name)
	}
	v, err := strconv.ParseUint(n.Value, 10, 63)
	if err != nil {
		return 0, corrupt("the attribute %s is not a number that can be there", name)
	}
	return v, nil
}

const (
	shards     = 16
	streamsKey = "s#"
	marksKey   = "u#"
)

func streamKey(stream string) string    { return streamsKey + stream }
func snapshotsKey(stream string) string { return "p#" + stream }

// shard returns the partition that something of a stream is in: 16 of them take
// what one partition cannot.
func shard(prefix, stream string, more uint64) string {
	h := fnv.New32a()
	h.Write([]byte(stream))
	return fmt.Sprintf("%s%x", prefix, (h.Sum32()^h.Sum32()>>16^uint32(more))%shards)
}

func registerKey(stream string) item { return keyOf(shard("n#", stream, 0), stream) }

// writer tells which call wrote a commit, so that the call knows its own when the
// answer to a request was lost: at any version the ids cannot tell, as two calls may
// have the same.
type writer [16]byte

func newWriter() (w writer) {
	binary.LittleEndian.PutUint64(w[:], rand.Uint64())
	binary.LittleEndian.PutUint64(w[8:], rand.Uint64())
	return w
}

// commit is what one append wrote to one stream.
type commit struct {
	stream      string
	first, last driver.Version
	closes      bool // last is the event that closes the stream
	purged      bool
	ids         []byte
	events      []byte
	writer      writer
	position    driver.Position // of the first event; 0 if not known
}

func newCommit(stream string, base driver.Version, records []driver.Record, w writer) *commit {
	c := &commit{stream: stream, first: base + 1, last: base + driver.Version(len(records)), writer: w}
	c.ids = make([]byte, 0, 16*len(records))
	size := 1
	for i := range records {
		c.ids = append(c.ids, records[i].ID[:]...)
		size += driver.Size(&records[i])
	}
	c.events = append(make([]byte, 0, size), eventsFormat)
	for i := range records {
		c.events = appendEvent(c.events, &records[i])
	}
	return c
}

// item returns the commit with its mark.
func (c *commit) item() item {
	it := item{
		pk:         str(streamKey(c.stream)),
		sk:         str(ordered(uint64(c.first))),
		attrLast:   num(c.last),
		attrIDs:    bin(c.ids),
		attrEvents: bin(c.events),
		attrWriter: bin(c.writer[:]),
		attrShard:  str(shard(marksKey, c.stream, uint64(c.first))),
		attrSince:  str(ordered(uint64(time.Now().UnixMicro()))),
	}
	if c.closes {
		it[attrClosed] = yes()
	}
	return it
}

// parseCommit reads an item, or the part of it that was asked for.
func parseCommit(it item) (*commit, error) {
	c := &commit{closes: getBool(it, attrClosed), purged: getBool(it, attrPurged), ids: getBytes(it, attrIDs), events: getBytes(it, attrEvents)}
	copy(c.writer[:], getBytes(it, attrWriter))
	key := getString(it, pk)
	if len(key) <= len(streamsKey) || key[:len(streamsKey)] != streamsKey {
		return nil, corrupt("the item with the key %.100q is no commit", key)
	}
	c.stream = key[len(streamsKey):]
	first, err := strconv.ParseUint(getString(it, sk), 16, 63)
	if err != nil || first == 0 {
		return nil, corrupt("a commit of stream %q has no version", c.stream)
	}
	c.first = driver.Version(first)
	last, err := getNumber(it, attrLast)
	if err != nil || last < first {
		return nil, corrupt("the commit of stream %q at version %d ends at version %d", c.stream, first, last)
	}
	c.last = driver.Version(last)
	pos, err := getNumber(it, attrPosition)
	if err != nil {
		return nil, err
	}
	c.position = driver.Position(pos)
	return c, nil
}

// state is that of a stream whose last commit is c; nil is a stream that does not
// exist.
func (c *commit) state() driver.StreamState {
	if c == nil {
		return driver.StreamState{}
	}
	return driver.StreamState{Head: c.last, Closed: c.closes}
}

// len is how many events the commit has.
func (c *commit) len() int { return int(c.last-c.first) + 1 }

// id returns the id of the i-th event.
func (c *commit) id(i int) (id driver.ID) {
	copy(id[:], c.ids[16*i:])
	return id
}

// whole fails unless there is an id for each event.
func (c *commit) whole() error {
	if len(c.ids)%16 != 0 || uint64(len(c.ids)/16) != uint64(c.last-c.first+1) {
		return corrupt("the commit of stream %q at version %d has %d events and %d bytes of ids", c.stream, c.first, c.last-c.first+1, len(c.ids))
	}
	return nil
}

// records returns the records of a commit that is not purged.
func (c *commit) records() ([]driver.Record, error) {
	if err := c.whole(); err != nil {
		return nil, err
	}
	wrong := func() ([]driver.Record, error) {
		return nil, corrupt("the events of the commit of stream %q at version %d cannot be read", c.stream, c.first)
	}
	if len(c.events) == 0 || c.events[0] != eventsFormat {
		return wrong()
	}
	records := make([]driver.Record, c.len())
	b := c.events[1:]
	for i := range records {
		r := &records[i]
		if !takeEvent(&b, r) {
			return wrong()
		}
		r.Stream, r.Version, r.ID = c.stream, c.first+driver.Version(i), c.id(i)
		if r.ID.IsZero() {
			return wrong()
		}
		if c.position > 0 {
			r.Position = c.position + driver.Position(i)
		}
	}
	if len(b) > 0 {
		return wrong()
	}
	return records, nil
}

// eventsFormat is the first byte of the events of a commit.
const eventsFormat = 1

// appendEvent appends an event without its id: type, encoding, time, tags, metadata
// and data, each with its length before it. It takes less than driver.Size counts
// for it.
func appendEvent(b []byte, r *driver.Record) []byte {
	b = appendBytes(b, r.Type)
	b = appendBytes(b, r.Encoding)
	b = binary.AppendVarint(b, driver.Micros(r.Time))
	b = binary.AppendUvarint(b, uint64(len(r.Tags)))
	for _, t := range r.Tags {
		b = appendBytes(b, t)
	}
	b = appendBytes(b, r.Metadata)
	return appendBytes(b, r.Data)
}

func appendBytes[B ~string | ~[]byte](b []byte, s B) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// takeEvent reads the next event of b.
func takeEvent(b *[]byte, r *driver.Record) bool {
	typ, ok1 := takeBytes(b)
	encoding, ok2 := takeBytes(b)
	micros, n := binary.Varint(*b)
	if !ok1 || !ok2 || n <= 0 || len(typ) == 0 || len(encoding) == 0 {
		return false
	}
	*b = (*b)[n:]
	r.Type, r.Encoding, r.Time = string(typ), string(encoding), driver.FromMicros(micros)
	tags, n := binary.Uvarint(*b)
	if n <= 0 || tags > driver.MaxTags {
		return false
	}
	*b = (*b)[n:]
	for range tags {
		t, ok := takeBytes(b)
		if !ok {
			return false
		}
		r.Tags = append(r.Tags, string(t))
	}
	r.Metadata, ok1 = takeBytes(b)
	r.Data, ok2 = takeBytes(b)
	return ok1 && ok2
}

func takeBytes(b *[]byte) ([]byte, bool) {
	n, k := binary.Uvarint(*b)
	if k <= 0 || n > uint64(len(*b)-k) {
		return nil, false
	}
	end := k + int(n)
	out := (*b)[k:end:end]
	*b = (*b)[end:]
	if n == 0 {
		return nil, true
	}
	return out, true
}
