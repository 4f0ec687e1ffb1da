package aggregate

import (
	"crypto/sha256"
	"encoding/binary"

	"github.com/go-es/es"
)

// CommandOption is made by [CommandID].
type CommandOption struct{ id string }

// CommandID makes a command, such as a message or a request that may come twice,
// have its effect once: if the stream of the aggregate has the command's events
// already, the function is not called, nothing is appended, and the result is that
// of the first time, with Repeated set.
//
// The events get ids that derive from the stream, the command's id and their
// ordinal, and are looked for among the events that are loaded. Where a snapshot
// spares the loading, only the last events before it are searched, see
// [CommandWindow]: a repeat from further back is not recognised. A command that
// raised no events leaves no trace, and is run again.
//
// The id of an event is the first 16 bytes of the SHA-256 of the four parts
// "es command event", the stream, the command's id (each with its length before
// it, as a varint of encoding/binary) and the ordinal from 0 (8 bytes, big endian),
// with the version and variant bits of a UUID of version 8. This never changes.
func CommandID(id string) CommandOption { return CommandOption{id} }

func (o CommandOption) apply(c *call) error {
	if o.id == "" {
		return invalid("CommandID", "is empty")
	}
	c.command = o.id
	return nil
}

func (o CommandOption) applyCreate(c *call) error     { return o.apply(c) }
func (o CommandOption) applyUpdate(c *call) error     { return o.apply(c) }
func (o CommandOption) applyAtomically(c *call) error { return o.apply(c) }

func commandEventID(stream, command string, ordinal int) es.ID {
	b := make([]byte, 0, 64+len(stream)+len(command))
	for _, s := range [...]string{"es command event", stream, command} {
		b = binary.AppendUvarint(b, uint64(len(s)))
		b = append(b, s...)
	}
	b = binary.BigEndian.AppendUint64(b, uint64(ordinal))
	sum := sha256.Sum256(b)
	id := es.ID(sum[:16])
	id[6] = id[6]&0x0f | 0x80
	id[8] = id[8]&0x3f | 0x80
	return id
}

// search looks for the events of a command among those of a stream.
type search struct {
	stream  string
	command string // "": for nothing
	next    es.ID  // the id of the next event
	found   Result
	n       int // events found
}

func newSearch(stream, command string) search {
	s := search{stream: stream, command: command}
	if command != "" {
		s.next = commandEventID(stream, command, 0)
	}
	return s
}

// see looks at the next event, and returns true once the last of the command's
// events was seen.
func (s *search) see(rec *es.Record) (over bool) {
	if s.command == "" {
		return false
	}
	if rec.ID != s.next {
		return s.n > 0
	}
	if s.n == 0 {
		s.found = Result{Stream: s.stream, First: rec.Version, Repeated: true}
	}
	s.n++
	s.found.Last, s.found.Version, s.found.Position = rec.Version, rec.Version, rec.Position
	s.next = commandEventID(s.stream, s.command, s.n)
	return false
}
