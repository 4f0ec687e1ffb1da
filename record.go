package es

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/go-es/es/driver"
)

// Record is an event as a store returns it. Its data and metadata are decrypted
// and decoded when they are asked for, each time anew, so that a reader pays for
// what it looks at, and one bad record does not stop a reader of the others. A
// Record is a value: it can be copied, kept and used concurrently, and nothing
// changes it. One that is kept may hold in memory what was read together with it,
// some 64 KiB; what it was decoded into does not.
type Record struct {
	Stream   string
	Version  Version  // of the stream after this event
	Position Position // in the feed; 0 where it is not known yet
	ID       ID
	Type     string
	Time     time.Time // UTC, to the microsecond
	Tags     []string

	encoding string
	data     []byte
	meta     []byte
	dec      *decoder
}

// decoder is what the records of one read share.
type decoder struct {
	*coder
	ctx context.Context // of the read, for Keys; without its end
}

func (c *coder) decoder(ctx context.Context) *decoder {
	return &decoder{c, context.WithoutCancel(ctx)}
}

func (d *decoder) record(r *driver.Record) Record {
	return Record{r.Stream, r.Version, r.Position, r.ID, r.Type, r.Time, r.Tags, r.Encoding, r.Data, r.Metadata, d}
}

func (r *Record) place() place { return place{r.Stream, string(r.ID[:]), r.Type, r.encoding} }

func (r *Record) fail(err error) error {
	return &DecodeError{r.Stream, r.Version, r.Position, r.Type, err}
}

// open returns the data as its codec encoded it, and the name of the codec.
func (r *Record) open() (data []byte, codec string, err error) {
	if r.dec == nil {
		return nil, "", r.fail(errNotRead)
	}
	if strings.IndexByte(r.encoding, '+') < 0 { // as most are: neither compressed nor encrypted
		return r.data, r.encoding, nil
	}
	data, codec, err = r.dec.open(r.dec.ctx, purposeData, r.place(), r.data)
	if err != nil {
		return nil, "", r.fail(err)
	}
	return data, codec, nil
}

// Err returns nil if the record can be read: decrypted, decompressed, with a
// codec that the store knows and metadata that is whole. Otherwise it returns a
// [*DecodeError]; skipping, parking or stopping is the reader's choice. Whether
// the data fits a Go type only [As] tells.
func (r Record) Err() error {
	_, codec, err := r.open()
	if err != nil {
		return err
	}
	if _, err := r.dec.codecFor(codec); err != nil {
		return r.fail(err)
	}
	_, err = r.Metadata()
	return err
}

// Metadata returns the record's metadata, which may be nil. The error is a
// [*DecodeError].
func (r Record) Metadata() (map[string]string, error) {
	if r.dec == nil {
		return nil, r.fail(errNotRead)
	}
	m, err := r.dec.metadata(r.dec.ctx, r.place(), r.meta)
	if err != nil {
		return nil, r.fail(err)
	}
	return m, nil
}

// Raw returns the event as its codec encoded it, decrypted and decompressed. The
// data belongs to the caller. The error is a [*DecodeError].
func (r Record) Raw() (Raw, error) {
	data, codec, err := r.open()
	if err != nil {
		return Raw{}, err
	}
	return Raw{r.Type, codec, slices.Clone(data)}, nil
}

// Envelope returns the whole event, to be appended as it is to another store or
// stream: id, time, metadata and tags stay. The error is a [*DecodeError].
//
// Not all of a store can be copied so. A record whose key was deleted is
// [ErrShredded]; where it is left out, all that follow it have lower versions in the
// copy. The last event of a deleted stream, of type [TypeDeleted], cannot be appended,
// but made with [Store.Delete], with another id; a record does not tell a tombstone
// from a purge. Of a purged stream that event alone is left: before its copy can be
// deleted, and closed for good, an event of your own must be appended to it. Positions
// are new. Where both stores are of one database, use its own means of copying.
func (r Record) Envelope() (Envelope, error) {
	raw, err := r.Raw()
	if err != nil {
		return Envelope{}, err
	}
	meta, err := r.Metadata()
	if err != nil {
		return Envelope{}, err
	}
	return Envelope{raw, r.ID, r.Time, meta, r.Tags}, nil
}

// Subject returns the subject whose key the record is encrypted with, and false
// if it is not encrypted.
func (r Record) Subject() (string, bool) { return sealedSubject(r.encoding, r.data) }

// Cause returns a context for what is appended in answer to the record: it sets
// [CausationID] to the record's id and [CorrelationID] to the record's, or if it
// has none to its id.
func (r Record) Cause(ctx context.Context) context.Context {
	correlation := r.ID.String()
	if m, err := r.Metadata(); err == nil && m[CorrelationID] != "" {
		correlation = m[CorrelationID]
	}
	return WithMetadata(ctx, map[string]string{CorrelationID: correlation, CausationID: r.ID.String()})
}

// Seen returns the checkpoint cp moved to this record: the record is the last
// that was read. The record must come from the feed.
func (r Record) Seen(cp Checkpoint) Checkpoint {
	cp.Position, cp.SeenAt, cp.SeenID = r.Position, r.Position, r.ID
	return cp
}
