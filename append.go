package es

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/go-es/es/driver"
)

// Part is what an append does to one stream; make it with [To].
type Part struct {
	Stream   string
	Expected Expected
	Events   []Event
}

// To appends events to a stream, as a part of [Store.AppendAll]. Without events
// it checks the stream's version only.
func To(stream string, expected Expected, events ...Event) Part {
	return Part{stream, expected, events}
}

// Append appends events to a stream, all or none, if the stream is at the
// expected version. Once it has returned, every reader of the stream sees them, and
// every reader of the feed where Caps.PositionOnAppend; elsewhere the feed of another
// process has them a moment later.
//
// Errors: a [*ConflictError] if the stream is not at the expected version; a
// [*StreamError] if it was deleted; a [*TooLargeError], an [*InvalidError] or an
// error of the codec or the keys before anything is written; an
// [*UnknownOutcomeError] if the connection broke and the store could not find
// out; the context's if it ended before anything was sent.
//
// At an exact version, appending the same ids again succeeds and writes nothing.
func (s *Store) Append(ctx context.Context, stream string, expected Expected, events ...Event) (Appended, error) {
	out, err := s.AppendAll(ctx, Part{stream, expected, events})
	if err != nil {
		return Appended{}, err
	}
	return out[0], nil
}

// AppendAll appends to several streams, all or nothing, and returns one Appended
// a part, in order. A store may allow one stream only, or a number: see
// Caps.MaxStreams; above it the error is errors.ErrUnsupported or a
// [*TooLargeError]. Other errors as for [Store.Append].
func (s *Store) AppendAll(ctx context.Context, parts ...Part) ([]Appended, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	req, err := s.request(ctx, parts)
	if err != nil {
		return nil, err
	}
	return s.send(ctx, req)
}

func (s *Store) request(ctx context.Context, parts []Part) (driver.AppendRequest, error) {
	req := driver.AppendRequest{Parts: make([]driver.Part, len(parts))}
	meta, err := encodeMetadata(contextMetadata(ctx))
	if err != nil {
		return req, err
	}
	for i, p := range parts {
		if err := driver.CheckName("stream", p.Stream); err != nil {
			return req, err
		}
		records := make([]driver.Record, len(p.Events))
		for j, ev := range p.Events {
			if records[j], err = s.record(ctx, p.Stream, ev, meta); err != nil {
				return req, fmt.Errorf("es: event %d for stream %q: %w", j, p.Stream, bare{err})
			}
		}
		req.Parts[i] = driver.Part{Stream: p.Stream, Expected: p.Expected, Records: records}
	}
	return req, driver.Check(s.caps, req)
}

// record makes the record of an event; meta is the metadata of the context.
func (s *Store) record(ctx context.Context, stream string, ev Event, meta []byte) (driver.Record, error) {
	u, err := s.complete(ev)
	if err != nil {
		return driver.Record{}, err
	}
	if len(u.Metadata) > 0 {
		if meta, err = encodeMetadata(merge(contextMetadata(ctx), u.Metadata)); err != nil {
			return driver.Record{}, err
		}
	}
	return s.encode(ctx, stream, &u, meta)
}

// complete takes an event apart and gives it what it lacks.
func (s *Store) complete(ev Event) (unwrapped, error) {
	u, err := unwrap(ev)
	if err != nil {
		return u, err
	}
	if u.ID.IsZero() {
		u.ID = s.ids()
	}
	if u.Time.IsZero() {
		u.Time = s.clock()
	}
	if cut := driver.FromMicros(driver.Micros(u.Time)); cut.Year() == u.Time.UTC().Year() {
		u.Time = cut
	} // else it is out of range, which driver.Check refuses
	return u, nil
}

// Freeze gives an event its id and time, and encodes it with its codec as an
// append would. The result can be appended later, and again: what becomes of the
// event's value meanwhile changes nothing of it. Errors: an [*InvalidError], or
// one of the codec.
func (s *Store) Freeze(ev Event) (Envelope, error) {
	u, err := s.complete(ev)
	if err != nil {
		return Envelope{}, err
	}
	raw := Raw{Type: u.name}
	if raw.Data, raw.Encoding, err = s.marshal(&u); err != nil {
		return Envelope{}, err
	}
	if u.raw != nil {
		raw.Data = bytes.Clone(raw.Data)
	}
	u.Event = raw
	u.Metadata, u.Tags = maps.Clone(u.Metadata), slices.Clone(u.Tags)
	return u.Envelope, nil
}

// send writes a request that was checked.
func (s *Store) send(ctx context.Context, req driver.AppendRequest) ([]Appended, error) {
	op := Op{Name: "append", Stream: req.Parts[0].Stream, Streams: len(req.Parts)}
	for i := range req.Parts {
		op.Events += len(req.Parts[i].Records)
		for j := range req.Parts[i].Records {
			op.Bytes += driver.Size(&req.Parts[i].Records[j])
		}
	}
	var out driver.AppendResult
	err := s.call(ctx, op, func(ctx context.Context) (int, error) {
		var err error
		if s.queue != nil && len(req.Parts) == 1 {
			out, err = s.queue.append(ctx, req, op.Events, op.Bytes)
		} else {
			out, err = s.drv.Append(ctx, req)
		}
		if err == nil && len(out.Parts) != len(req.Parts) {
			err = fmt.Errorf("es: the driver says where %d parts of an append of %d are", len(out.Parts), len(req.Parts))
		}
		if err != nil {
			return 0, err
		}
		return op.Events, nil
	})
	if err != nil {
		if !errors.Is(err, ErrUnknownOutcome) {
			return nil, err
		}
		sent := owned(req)
		return nil, s.unknown(err, func(ctx context.Context, bases []driver.UnknownPart) ([]Appended, error) {
			return s.send(ctx, driver.Rebase(sent, bases))
		})
	}
	s.hub.wake()
	return out.Parts, nil
}

// owned returns a copy that shares nothing with the caller's events: it may be
// sent when they have changed.
func owned(req driver.AppendRequest) driver.AppendRequest {
	req.Parts = slices.Clone(req.Parts)
	for i := range req.Parts {
		records := slices.Clone(req.Parts[i].Records)
		for j := range records {
			records[j].Data = bytes.Clone(records[j].Data)
			records[j].Tags = slices.Clone(records[j].Tags)
		}
		req.Parts[i].Records = records
	}
	return req
}

// unknown gives an error of unknown outcome its Resend; other errors stay.
// resend is given the exact versions at which the first was sent.
func (s *Store) unknown(err error, resend func(context.Context, []driver.UnknownPart) ([]Appended, error)) error {
	var u *driver.UnknownOutcomeError
	if !errors.As(err, &u) {
		return err
	}
	s.hub.wake() // it may be there
	unknown := &UnknownOutcomeError{Parts: u.Parts, Err: u.Err}
	unknown.resend = func(ctx context.Context) ([]Appended, error) {
		out, err := resend(ctx, u.Parts)
		var c *ConflictError
		if errors.As(err, &c) && c.Expected.MayHold(c.Actual) {
			// What was sent may yet arrive, and find the stream as it expects it.
			return nil, &UnknownOutcomeError{Parts: u.Parts, Err: errors.New(err.Error()), resend: unknown.resend}
		}
		return out, err
	}
	return unknown
}

// Delete closes a stream for good, if it is at the expected version: from then
// on appends and reads fail with [ErrStreamDeleted]. Its last event, of type
// [TypeDeleted] and with the context's metadata, tells readers of the feed.
// Purge erases the other events and the snapshots as well, also of a stream that
// was closed before.
//
// Errors: a [*StreamError] if the stream does not exist or was deleted; the
// others as for [Store.Append].
func (s *Store) Delete(ctx context.Context, stream string, expected Expected, mode DeleteMode) (Appended, error) {
	if err := ctx.Err(); err != nil {
		return Appended{}, err
	}
	if err := driver.CheckName("stream", stream); err != nil {
		return Appended{}, err
	}
	u := unwrapped{name: TypeDeleted, raw: &Raw{TypeDeleted, "json", []byte("{}")}}
	u.ID, u.Time = s.ids(), s.Now()
	meta, err := encodeMetadata(contextMetadata(ctx))
	if err != nil {
		return Appended{}, err
	}
	rec, err := s.encode(ctx, stream, &u, meta)
	if err != nil {
		return Appended{}, err
	}
	req := driver.DeleteRequest{Stream: stream, Expected: expected, Mode: mode, Record: rec}
	if err := driver.Check(s.caps, req); err != nil {
		return Appended{}, err
	}
	return s.delete(ctx, req)
}

func (s *Store) delete(ctx context.Context, req driver.DeleteRequest) (Appended, error) {
	var out Appended
	op := Op{Name: "delete", Stream: req.Stream, Streams: 1, Events: 1, Bytes: driver.Size(&req.Record)}
	err := s.call(ctx, op, func(ctx context.Context) (int, error) {
		var err error
		if out, err = s.drv.Delete(ctx, req); err != nil {
			return 0, err
		}
		return 1, nil
	})
	if err != nil {
		return Appended{}, s.unknown(err, func(ctx context.Context, bases []driver.UnknownPart) ([]Appended, error) {
			again := req
			for _, b := range bases {
				again.Expected = driver.Exactly(b.Base) // of the one stream
			}
			out, err := s.delete(ctx, again)
			return []Appended{out}, err
		})
	}
	s.hub.wake()
	return out, nil
}
