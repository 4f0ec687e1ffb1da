package driver

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"time"
	"unicode/utf8"
)

// Request is what [Check] checks: an [AppendRequest], [DeleteRequest],
// [StreamQuery], [FeedQuery], [ListQuery], [Checkpoint], [CheckpointQuery] or
// [Snapshot].
type Request interface {
	check(Caps) error
}

// Check returns an error if the request is wrong in itself or above a limit of
// caps: an [*InvalidError], a [*TooLargeError], or one that is
// errors.ErrUnsupported. es calls it before any I/O; a store may rely on that.
func Check(caps Caps, r Request) error { return r.check(caps) }

// CheckName returns an [*InvalidError] unless name is one: valid UTF-8 without
// NUL, 1 to 255 bytes. What names the field in the error.
func CheckName(what, name string) error {
	switch {
	case name == "":
		return &InvalidError{what, "is empty"}
	case len(name) > MaxNameBytes:
		return &InvalidError{what, fmt.Sprintf("%.40q… has %d bytes, the limit is %d", name, len(name), MaxNameBytes)}
	case strings.IndexByte(name, 0) >= 0:
		return &InvalidError{what, fmt.Sprintf("%q contains a NUL byte", name)}
	case !utf8.ValidString(name):
		return &InvalidError{what, fmt.Sprintf("%q is not valid UTF-8", name)}
	}
	return nil
}

func checkPrefix(what, s string) error {
	if s == "" {
		return nil
	}
	return CheckName(what, s)
}

// checkExpected checks the expected version of a stream that n events go to.
func checkExpected(stream string, e Expected, n int) error {
	if e < Exists {
		return &InvalidError{fmt.Sprintf("expected version of stream %q", stream), fmt.Sprintf("%d is neither an exact version nor NoStream, Any or Exists", int64(e))}
	}
	if v, ok := e.Exact(); ok && uint64(v)+uint64(n) > maxNumber {
		return &InvalidError{fmt.Sprintf("expected version of stream %q", stream), fmt.Sprintf("%d leaves no room for %d more", v, n)}
	}
	return nil
}

func checkLimit(limit int) error {
	if limit < 0 {
		return &InvalidError{"limit", fmt.Sprintf("%d is negative", limit)}
	}
	if limit > math.MaxInt32 {
		return &InvalidError{"limit", fmt.Sprintf("%d is above 2^31-1", limit)}
	}
	return nil
}

func checkNumber(what string, n uint64) error {
	if n > maxNumber {
		return &InvalidError{what, fmt.Sprintf("%d is above 2^63-1", n)}
	}
	return nil
}

func (r AppendRequest) check(caps Caps) error {
	if len(r.Parts) == 0 {
		return &InvalidError{"append", "it has no streams"}
	}
	if n := len(r.Parts); n > 1 {
		if caps.MaxStreams <= 1 {
			return fmt.Errorf("es: append to %d streams at once: this store appends to one: %w", n, errors.ErrUnsupported)
		}
		if n > caps.MaxStreams {
			return &TooLargeError{"streams of an append", caps.MaxStreams, n}
		}
		if s, twice := duplicate(n, func(i int) string { return r.Parts[i].Stream }); twice {
			return &InvalidError{fmt.Sprintf("stream %q", s), "it occurs twice in one append"}
		}
	}
	var events, bytes int
	for i := range r.Parts {
		p := &r.Parts[i]
		if err := CheckName("stream", p.Stream); err != nil {
			return err
		}
		if err := checkExpected(p.Stream, p.Expected, len(p.Records)); err != nil {
			return err
		}
		if len(p.Records) == 0 && p.Expected == Any && len(r.Parts) > 1 {
			return &InvalidError{fmt.Sprintf("append to stream %q", p.Stream), "it has no events, and expects any version: it would do nothing"}
		}
		for j := range p.Records {
			rec := &p.Records[j]
			if strings.HasPrefix(rec.Type, "$") {
				return &InvalidError{fmt.Sprintf("type %q of event %d to stream %q", rec.Type, j, p.Stream), `types that begin with "$" are reserved`}
			}
			size, err := rec.check(caps)
			if err != nil {
				return of(err, fmt.Sprintf("event %d to stream %q", j, p.Stream))
			}
			bytes += size
		}
		events += len(p.Records)
	}
	if events == 0 {
		return &InvalidError{"append", "it has no events"}
	}
	if caps.MaxAppendEvents > 0 && events > caps.MaxAppendEvents {
		return &TooLargeError{"events of an append", caps.MaxAppendEvents, events}
	}
	if caps.MaxAppendBytes > 0 && bytes > caps.MaxAppendBytes {
		return &TooLargeError{"bytes of an append", caps.MaxAppendBytes, bytes}
	}
	return r.checkIDs(events)
}

func (r AppendRequest) checkIDs(events int) error {
	if events == 1 {
		return nil
	}
	ids := make([]ID, 0, events)
	for i := range r.Parts {
		for j := range r.Parts[i].Records {
			ids = append(ids, r.Parts[i].Records[j].ID)
		}
	}
	if id, twice := duplicate(events, func(i int) ID { return ids[i] }); twice {
		return &InvalidError{fmt.Sprintf("id %v", id), "it occurs twice in one append"}
	}
	return nil
}

// duplicate returns a key that occurs twice among n, if any.
func duplicate[K comparable](n int, key func(int) K) (k K, twice bool) {
	if n <= 16 {
		for i := range n {
			for j := range i {
				if key(i) == key(j) {
					return key(i), true
				}
			}
		}
		return k, false
	}
	seen := make(map[K]struct{}, n)
	for i := range n {
		seen[key(i)] = struct{}{}
		if len(seen) == i {
			return key(i), true
		}
	}
	return k, false
}

// of says in an error of Record.check which record it is about.
func of(err error, record string) error {
	switch e := err.(type) {
	case *InvalidError:
		e.What += " of " + record
	case *TooLargeError:
		e.What += " of " + record
	}
	return err
}

// check returns the record's size.
func (rec *Record) check(caps Caps) (int, error) {
	if rec.ID.IsZero() {
		return 0, &InvalidError{"id", "is zero"}
	}
	if err := CheckName("type", rec.Type); err != nil {
		return 0, err
	}
	if err := checkEncoding(rec.Encoding); err != nil {
		return 0, err
	}
	if len(rec.Tags) > MaxTags {
		return 0, &TooLargeError{"tags", MaxTags, len(rec.Tags)}
	}
	for _, t := range rec.Tags {
		if err := CheckName("tag", t); err != nil {
			return 0, err
		}
	}
	if Micros(rec.Time) == Micros(time.Time{}) {
		return 0, &InvalidError{"time", "is zero"}
	}
	if y := rec.Time.UTC().Year(); y < 1 || y > 9999 {
		return 0, &InvalidError{"time", fmt.Sprintf("%s is not within the years 1 to 9999", rec.Time.Format(time.RFC3339))}
	}
	size := Size(rec)
	if caps.MaxEventBytes > 0 && size > caps.MaxEventBytes {
		return 0, &TooLargeError{"bytes", caps.MaxEventBytes, size}
	}
	return size, nil
}

func checkEncoding(enc string) error {
	if enc == "" {
		return &InvalidError{"encoding", "is empty"}
	}
	if len(enc) > MaxEncodingBytes {
		return &InvalidError{"encoding", fmt.Sprintf("%.40q… has %d bytes, the limit is %d", enc, len(enc), MaxEncodingBytes)}
	}
	for _, c := range []byte(enc) {
		if c < '!' || c > '~' {
			return &InvalidError{"encoding", fmt.Sprintf("%q is not printable ASCII", enc)}
		}
	}
	return nil
}

func (r DeleteRequest) check(caps Caps) error {
	if err := CheckName("stream", r.Stream); err != nil {
		return err
	}
	if err := checkExpected(r.Stream, r.Expected, 1); err != nil {
		return err
	}
	if r.Mode != Tombstone && r.Mode != Purge {
		return &InvalidError{"delete mode", fmt.Sprintf("%d is neither Tombstone nor Purge", r.Mode)}
	}
	if r.Record.Type != TypeDeleted {
		return &InvalidError{fmt.Sprintf("type %q of the record of a delete", r.Record.Type), "it must be " + TypeDeleted}
	}
	size, err := r.Record.check(caps)
	if err == nil && caps.MaxAppendBytes > 0 && size > caps.MaxAppendBytes {
		err = &TooLargeError{"bytes", caps.MaxAppendBytes, size}
	}
	if err != nil {
		return of(err, "the record of a delete")
	}
	return nil
}

func (q StreamQuery) check(Caps) error {
	if err := CheckName("stream", q.Stream); err != nil {
		return err
	}
	if err := checkNumber("version to read from", uint64(q.From)); err != nil {
		return err
	}
	return checkLimit(q.Limit)
}

func (q FeedQuery) check(caps Caps) error {
	if err := checkNumber("position to read after", uint64(q.After)); err != nil {
		return err
	}
	if err := checkNumber("position seen", uint64(q.Seen.Position)); err != nil {
		return err
	}
	if (q.Seen.Position == 0) != q.Seen.ID.IsZero() {
		return &InvalidError{"seen", "it has a position or an id, and not both"}
	}
	if q.Seen.Position > q.After {
		return &InvalidError{"seen", fmt.Sprintf("its position %d is above the position to read after, %d", q.Seen.Position, q.After)}
	}
	if err := CheckFilter(q.Filter); err != nil {
		return err
	}
	if !caps.FilterFeed && !q.Filter.IsZero() {
		return fmt.Errorf("es: a filter: this store does not filter the feed: %w", errors.ErrUnsupported)
	}
	return checkLimit(q.Limit)
}

func (q ListQuery) check(Caps) error {
	if err := checkPrefix("prefix", q.Prefix); err != nil {
		return err
	}
	if err := checkPrefix("stream to list after", q.After); err != nil {
		return err
	}
	return checkLimit(q.Limit)
}

func (q CheckpointQuery) check(Caps) error {
	if err := checkPrefix("checkpoint to list after", q.After); err != nil {
		return err
	}
	return checkLimit(q.Limit)
}

func (c Checkpoint) check(Caps) error {
	if err := CheckName("checkpoint", c.Name); err != nil {
		return err
	}
	if err := checkNumber("position of the checkpoint", uint64(c.Position)); err != nil {
		return err
	}
	if c.SeenAt > c.Position {
		return &InvalidError{fmt.Sprintf("checkpoint %q", c.Name), fmt.Sprintf("the event seen, at %d, lies after its position %d", c.SeenAt, c.Position)}
	}
	if (c.SeenAt == 0) != c.SeenID.IsZero() {
		return &InvalidError{fmt.Sprintf("checkpoint %q", c.Name), "it has the position or the id of the event seen, and not both"}
	}
	if c.Revision.IsZero() {
		return &InvalidError{fmt.Sprintf("checkpoint %q", c.Name), "its revision is zero"}
	}
	return nil
}

func (s Snapshot) check(caps Caps) error {
	if err := CheckName("stream", s.Stream); err != nil {
		return err
	}
	if err := CheckName("snapshot kind", s.Kind); err != nil {
		return err
	}
	if s.Version == 0 {
		return &InvalidError{fmt.Sprintf("snapshot of stream %q", s.Stream), "its version is 0"}
	}
	if uint64(s.Version) >= maxNumber { // a stream that has it could not be closed any more
		return &InvalidError{"version of the snapshot", fmt.Sprintf("%d is above 2^63-2", s.Version)}
	}
	if s.EventID.IsZero() {
		return &InvalidError{fmt.Sprintf("snapshot of stream %q", s.Stream), "the id of its last event is zero"}
	}
	if err := checkEncoding(s.Encoding); err != nil {
		return err
	}
	if n := SnapshotSize(&s); caps.MaxSnapshotBytes > 0 && n > caps.MaxSnapshotBytes {
		return &TooLargeError{"bytes of a snapshot", caps.MaxSnapshotBytes, n}
	}
	return nil
}
