package es_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/go-es/es"
	"github.com/go-es/es/driver"
	"github.com/go-es/es/drivers/memory"
)

func at(first, last es.Version, p es.Position) es.Appended {
	return es.Appended{First: first, Last: last, Position: p}
}

// history makes the stream "s" of some tests: missing, three, tombstoned, purged.
func history(t *testing.T, s *es.Store, state string) {
	t.Helper()
	if state == "missing" {
		return
	}
	put(t, s, "s", ticks(1, 3)...)
	mode, deleted := map[string]es.DeleteMode{"tombstoned": es.Tombstone, "purged": es.Purge}[state]
	if !deleted {
		return
	}
	if _, err := s.Delete(t.Context(), "s", 3, mode); err != nil {
		t.Fatal(err)
	}
}

func TestExpectedVersions(t *testing.T) {
	conflict := func(e es.Expected, actual es.Version) error {
		return &es.ConflictError{Stream: "s", Expected: e, Actual: actual}
	}
	deleted := &es.StreamError{Stream: "s", Err: es.ErrStreamDeleted}
	missing := &es.StreamError{Stream: "s", Err: es.ErrStreamNotFound}
	for _, row := range []struct {
		state    string
		expected es.Expected
		appendTo error // of Append
		delete   error // of Delete
	}{
		{"missing", es.NoStream, nil, missing},
		{"missing", es.Exactly(0), nil, missing},
		{"missing", es.Any, nil, missing},
		{"missing", es.Exists, conflict(es.Exists, 0), missing},
		{"missing", es.Exactly(1), conflict(1, 0), missing},
		{"three", es.Exactly(3), nil, nil},
		{"three", es.Any, nil, nil},
		{"three", es.Exists, nil, nil},
		{"three", es.NoStream, conflict(0, 3), conflict(0, 3)},
		{"three", es.Exactly(2), conflict(2, 3), conflict(2, 3)},
		{"three", es.Exactly(4), conflict(4, 3), conflict(4, 3)},
		{"three", es.Exactly(math.MaxInt64 - 2), conflict(math.MaxInt64-2, 3), conflict(math.MaxInt64-2, 3)},
		{"tombstoned", es.Exactly(4), deleted, deleted},
		{"tombstoned", es.Any, deleted, deleted},
		{"tombstoned", es.Exists, deleted, deleted},
		{"tombstoned", es.NoStream, deleted, deleted},
		{"purged", es.Exactly(4), deleted, deleted},
		{"purged", es.Any, deleted, deleted},
		{"purged", es.NoStream, deleted, deleted},
	} {
		t.Run(fmt.Sprintf("%s, %v", row.state, row.expected), func(t *testing.T) {
			same := func(what string, err, want error) {
				t.Helper()
				if want == nil && err != nil || want != nil && (err == nil || err.Error() != want.Error()) {
					t.Errorf("%s: error %v, want %v", what, err, want)
				}
				for _, is := range []error{es.ErrConflict, es.ErrStreamDeleted, es.ErrStreamNotFound} {
					if errors.Is(err, is) != errors.Is(want, is) {
						t.Errorf("%s: error %v is %v: %v", what, err, is, errors.Is(err, is))
					}
				}
			}
			s := over(t, memory.New())
			history(t, s, row.state)
			head, _ := s.Head(t.Context())
			out, err := s.Append(t.Context(), "s", row.expected, tick{4}, tick{5})
			same("Append", err, row.appendTo)
			want := es.Appended{}
			if err == nil {
				base := es.Version(head)
				want = at(base+1, base+2, head+2)
			}
			if out != want {
				t.Errorf("Append: %+v, want %+v", out, want)
			}
			if now, _ := s.Head(t.Context()); err != nil && now != head {
				t.Errorf("an append that failed wrote %d events", now-head)
			}

			s = over(t, memory.New())
			history(t, s, row.state)
			out, err = s.Delete(t.Context(), "s", row.expected, es.Tombstone)
			same("Delete", err, row.delete)
			want = es.Appended{}
			if err == nil {
				want = at(4, 4, 4)
			}
			if out != want {
				t.Errorf("Delete: %+v, want %+v", out, want)
			}
		})
	}
}

func TestAppendAll(t *testing.T) {
	for _, row := range []struct {
		name  string
		parts []es.Part
		want  []es.Appended
		err   error
	}{
		{"one", []es.Part{es.To("a", es.NoStream, tick{1})}, []es.Appended{at(1, 1, 4)}, nil},
		{"three", []es.Part{es.To("z", es.NoStream, tick{1}), es.To("s", 3, tick{2}, tick{3}), es.To("a", es.Any, tick{4})}, []es.Appended{at(1, 1, 4), at(4, 5, 6), at(1, 1, 7)}, nil},
		{"check first", []es.Part{es.To("s", 3), es.To("a", es.NoStream, tick{1})}, []es.Appended{at(0, 0, 0), at(1, 1, 4)}, nil},
		{"check last", []es.Part{es.To("a", es.NoStream, tick{1}), es.To("s", es.Exists)}, []es.Appended{at(1, 1, 4), at(0, 0, 0)}, nil},
		{"check of a missing stream", []es.Part{es.To("a", es.NoStream, tick{1}), es.To("b", es.NoStream)}, []es.Appended{at(1, 1, 4), at(0, 0, 0)}, nil},
		{"check fails", []es.Part{es.To("a", es.NoStream, tick{1}), es.To("s", 2)}, nil, &es.ConflictError{Stream: "s", Expected: 2, Actual: 3}},
		{"check of a missing stream fails", []es.Part{es.To("s", es.NoStream), es.To("a", es.NoStream, tick{1})}, nil, &es.ConflictError{Stream: "s", Expected: 0, Actual: 3}},
		{"the last part fails", []es.Part{es.To("a", es.NoStream, tick{1}), es.To("b", es.Exists, tick{1})}, nil, &es.ConflictError{Stream: "b", Expected: es.Exists}},
		{"a closed stream", []es.Part{es.To("a", es.NoStream, tick{1}), es.To("gone", es.Any, tick{1})}, nil, &es.StreamError{Stream: "gone", Err: es.ErrStreamDeleted}},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := over(t, memory.New())
			put(t, s, "s", tick{1})
			put(t, s, "gone", tick{1})
			if _, err := s.Delete(t.Context(), "gone", es.Any, es.Purge); err != nil {
				t.Fatal(err)
			}
			put(t, s, "s", tick{2}, tick{3})
			head, _ := s.Head(t.Context())
			out, err := s.AppendAll(t.Context(), row.parts...)
			if !reflect.DeepEqual(err, row.err) {
				t.Fatalf("error %v, want %v", err, row.err)
			}
			for i := range out { // as if the store had had three events
				if out[i].Position > 0 {
					out[i].Position -= head - 3
				}
			}
			if !slices.Equal(out, row.want) {
				t.Errorf("%+v, want %+v", out, row.want)
			}
			if now, _ := s.Head(t.Context()); err != nil && now != head {
				t.Errorf("an append that failed wrote %d events", now-head)
			}
		})
	}
}

func TestTheSameAppendAgain(t *testing.T) {
	s := over(t, memory.New())
	put(t, s, "s", tick{1})
	env := es.Envelope{Event: tick{2}, ID: s.NewID()}
	first, err := s.Append(t.Context(), "s", 1, env)
	if err != nil {
		t.Fatal(err)
	}
	put(t, s, "s", tick{3})
	if again, err := s.Append(t.Context(), "s", 1, env); err != nil || again != first {
		t.Errorf("again: %+v, error %v, want %+v", again, err, first)
	}
	if _, err := s.Append(t.Context(), "s", 1, tick{2}); !errors.Is(err, es.ErrConflict) {
		t.Errorf("another event at the same version: error %v", err)
	}
	if again, err := s.Append(t.Context(), "s", es.Any, env); err != nil || again.First != 4 {
		t.Errorf("at any version: %+v, error %v, want a second append", again, err)
	}
	if got := versions(all(t, s.Read(t.Context(), "s"))); len(got) != 4 {
		t.Errorf("versions %v", got)
	}
}

// What is wrong in itself is refused before any call of the driver.
func TestAppendRefuses(t *testing.T) {
	long := strings.Repeat("n", 256)
	id := es.ID{1}
	twin := es.Envelope{Event: tick{}, ID: id}
	one := func(stream string, e es.Expected, events ...es.Event) []es.Part {
		return []es.Part{es.To(stream, e, events...)}
	}
	several := func(n int) (parts []es.Part) {
		for i := range n {
			parts = append(parts, es.To(fmt.Sprint("s", i), es.Any, tick{}))
		}
		return parts
	}
	for _, row := range []struct {
		name       string
		maxStreams int
		parts      []es.Part
		is         error
		says       string
	}{
		{"no parts", 3, nil, es.ErrInvalid, "it has no streams"},
		{"no events", 3, one("s", 0), es.ErrInvalid, "it has no events"},
		{"no events, any", 3, one("s", es.Any), es.ErrInvalid, "it has no events"},
		{"checks only", 3, []es.Part{es.To("a", 0), es.To("b", 0)}, es.ErrInvalid, "it has no events"},
		{"a part that would do nothing", 3, []es.Part{es.To("a", 0, tick{}), es.To("b", es.Any)}, es.ErrInvalid, "it would do nothing"},
		{"expected version -3", 3, one("s", -3, tick{}), es.ErrInvalid, "-3 is neither an exact version nor"},
		{"smallest expected version", 3, one("s", math.MinInt64, tick{}), es.ErrInvalid, "is neither an exact version nor"},
		{"expected version 2^63", 3, one("s", es.Exactly(1<<63), tick{}), es.ErrInvalid, "is neither an exact version nor"},
		{"expected version without room", 3, one("s", math.MaxInt64, tick{}), es.ErrInvalid, "leaves no room for 1 more"},
		{"empty stream", 3, one("", 0, tick{}), es.ErrInvalid, "stream: is empty"},
		{"empty stream and no events", 3, one("", 0), es.ErrInvalid, "stream: is empty"},
		{"long stream", 3, one(long, 0, tick{}), es.ErrInvalid, "has 256 bytes, the limit is 255"},
		{"stream with NUL", 3, one("a\x00b", 0, tick{}), es.ErrInvalid, "contains a NUL byte"},
		{"stream that is no UTF-8", 3, one("a\xff", 0, tick{}), es.ErrInvalid, "is not valid UTF-8"},
		{"the second stream", 3, []es.Part{es.To("a", 0, tick{}), es.To(long, 0, tick{})}, es.ErrInvalid, "has 256 bytes"},
		{"a stream twice", 3, []es.Part{es.To("a", 0, tick{}), es.To("b", 0, tick{}), es.To("a", 1, tick{})}, es.ErrInvalid, `stream "a": it occurs twice`},
		{"an id twice", 3, one("s", 0, twin, tick{}, twin), es.ErrInvalid, "it occurs twice in one append"},
		{"an id twice in two parts", 3, []es.Part{es.To("a", 0, twin), es.To("b", 0, twin)}, es.ErrInvalid, "it occurs twice in one append"},
		{"nil event", 3, one("s", 0, tick{}, nil), es.ErrInvalid, "event 1 for stream"},
		{"reserved type", 3, one("s", 0, es.Raw{Type: es.TypeDeleted, Encoding: "json"}), es.ErrInvalid, "reserved"},
		{"tags", 3, one("s", 0, es.Envelope{Event: tick{}, Tags: make([]string, 33)}), es.ErrTooLarge, "33, the limit is 32"},
		{"several streams where one is allowed", 1, several(2), errors.ErrUnsupported, "append to 2 streams at once"},
		{"several streams where none is said", 0, several(2), errors.ErrUnsupported, "append to 2 streams at once"},
		{"too many streams", 3, several(4), es.ErrTooLarge, "streams of an append: 4, the limit is 3"},
	} {
		t.Run(row.name, func(t *testing.T) {
			f := overMemory()
			f.caps = func(c driver.Caps) driver.Caps { c.MaxStreams = row.maxStreams; return c }
			s := over(t, fakeGroup{fake: f})
			out, err := s.AppendAll(t.Context(), row.parts...)
			if out != nil || !errors.Is(err, row.is) || !strings.Contains(err.Error(), row.says) {
				t.Errorf("%+v, error %v, want one that says %s", out, err, row.says)
			}
			if !strings.HasPrefix(err.Error(), "es: ") {
				t.Errorf("error %q does not begin with es:", err)
			}
			if n := f.calls(); n != 0 {
				t.Errorf("the driver was called %d times", n)
			}
		})
	}
	for _, row := range []struct {
		name     string
		stream   string
		expected es.Expected
		mode     es.DeleteMode
	}{
		{"empty stream", "", es.Any, es.Tombstone},
		{"long stream", long, es.Any, es.Purge},
		{"expected version", "s", -3, es.Tombstone},
		{"mode", "s", es.Any, 2},
	} {
		f := overMemory()
		if _, err := over(t, f).Delete(t.Context(), row.stream, row.expected, row.mode); !errors.Is(err, es.ErrInvalid) {
			t.Errorf("delete: %s: error %v", row.name, err)
		}
		if n := f.calls(); n != 0 {
			t.Errorf("delete: %s: the driver was called %d times", row.name, n)
		}
	}
}

func TestLongestNames(t *testing.T) {
	long := strings.Repeat("é", 127) + "n"
	s := over(t, memory.New())
	put(t, s, long, es.Raw{Type: long, Encoding: "json", Data: []byte("1")})
	if got := all(t, s.Read(t.Context(), long)); len(got) != 1 || got[0].Stream != long || got[0].Type != long {
		t.Errorf("%v", got)
	}
}

// One below a limit and at it an append goes to the driver, once; above it it
// does not.
func TestLimits(t *testing.T) {
	raw := func(bytes int) es.Event { return es.Raw{Type: "type", Encoding: "json", Data: make([]byte, bytes)} }
	const overhead = 64 + 4 + 4 // of such an event
	events := func(n int) []es.Event { return slices.Repeat([]es.Event{raw(0)}, n) }
	streams := func(n int) (parts []es.Part) {
		for i := range n {
			parts = append(parts, es.To(fmt.Sprint("s", i), es.Any, raw(0)))
		}
		return parts
	}
	for _, row := range []struct {
		name  string
		caps  driver.Caps
		parts func(n int) []es.Part // of the size n
		limit int
		what  string
	}{
		{"event", driver.Caps{MaxEventBytes: 100}, func(n int) []es.Part {
			return []es.Part{es.To("s", es.Any, raw(0), raw(n-overhead))}
		}, 100, "bytes of event 1 to stream \"s\""},
		{"events", driver.Caps{MaxAppendEvents: 20}, func(n int) []es.Part {
			return []es.Part{es.To("s", es.Any, events(n)...)}
		}, 20, "events of an append"},
		{"events of several streams", driver.Caps{MaxAppendEvents: 20, MaxStreams: 2}, func(n int) []es.Part {
			return []es.Part{es.To("s", es.Any, events(10)...), es.To("t", es.Any, events(n-10)...)}
		}, 20, "events of an append"},
		{"bytes", driver.Caps{MaxAppendBytes: 1000}, func(n int) []es.Part {
			return []es.Part{es.To("s", es.Any, raw(400), raw(n-400-2*overhead))}
		}, 1000, "bytes of an append"},
		{"bytes of several streams", driver.Caps{MaxAppendBytes: 1000, MaxStreams: 2}, func(n int) []es.Part {
			return []es.Part{es.To("s", es.Any, raw(400)), es.To("t", es.Any, raw(n-400-2*overhead))}
		}, 1000, "bytes of an append"},
		{"streams", driver.Caps{MaxStreams: 5}, streams, 5, "streams of an append"},
	} {
		for n := row.limit - 1; n <= row.limit+1; n++ {
			f := overMemory()
			f.caps = func(driver.Caps) driver.Caps { return row.caps }
			s := over(t, fakeGroup{fake: f})
			_, err := s.AppendAll(t.Context(), row.parts(n)...)
			calls := f.calls()
			if n <= row.limit {
				if err != nil || calls != 1 {
					t.Errorf("%s: %d of %d: error %v, %d calls", row.name, n, row.limit, err, calls)
				}
				continue
			}
			var large *es.TooLargeError
			if !errors.As(err, &large) || *large != (es.TooLargeError{What: row.what, Limit: row.limit, Got: n}) || calls != 0 {
				t.Errorf("%s: %d of %d: error %v, %d calls", row.name, n, row.limit, err, calls)
			}
		}
	}

	// The record of a delete has a size as well.
	const deletion = 64 + len(es.TypeDeleted) + len("json") + len("{}")
	for limit := deletion - 1; limit <= deletion; limit++ {
		for _, caps := range []driver.Caps{{MaxEventBytes: limit}, {MaxAppendBytes: limit}} {
			f := overMemory()
			s := over(t, f)
			put(t, s, "s", tick{})
			f.caps = func(driver.Caps) driver.Caps { return caps }
			s = over(t, f)
			before := f.calls()
			_, err := s.Delete(t.Context(), "s", es.Any, es.Tombstone)
			if limit >= deletion && err != nil || limit < deletion && (!errors.Is(err, es.ErrTooLarge) || f.calls() != before) {
				t.Errorf("delete of %d bytes with a limit of %d: error %v, %d calls", deletion, limit, err, f.calls()-before)
			}
		}
	}
}

func TestAppendChangesNothingOfTheCallers(t *testing.T) {
	s := over(t, memory.New())
	meta := map[string]string{"k": "v"}
	env := es.Envelope{Event: es.Raw{Type: "raw", Encoding: "json", Data: []byte(`{}`)}, Metadata: meta, Tags: []string{"t"}}
	ctx := es.WithMetadata(t.Context(), map[string]string{"of": "context"})
	for range 2 { // the id is chosen anew
		if _, err := s.Append(ctx, "s", es.Any, env); err != nil {
			t.Fatal(err)
		}
	}
	if !env.ID.IsZero() || !env.Time.IsZero() || len(meta) != 1 {
		t.Errorf("the event was changed: %+v", env)
	}
	if got := all(t, s.Read(ctx, "s")); got[0].ID == got[1].ID {
		t.Error("two appends of one value have the same id")
	}
}

// What the context carries is checked before any call, for a delete as well.
func TestDeleteChecksItsMetadata(t *testing.T) {
	f := overMemory()
	s := over(t, f)
	_, err := s.Delete(es.WithMetadata(t.Context(), map[string]string{"k": "\xff"}), "s", es.Any, es.Tombstone)
	is(t, "Delete", err, es.ErrInvalid)
	if n := f.calls(); n != 0 {
		t.Errorf("the driver was called %d times", n)
	}
}

// lossy is a driver store that loses the acknowledgement of the first writes.
type lossy struct {
	*fake
	lose    int  // so many are lost yet
	applied bool // what is lost was written
	sent    []driver.AppendRequest
	deletes []driver.DeleteRequest
}

func newLossy(lose int, applied bool) *lossy {
	l := &lossy{fake: overMemory(), lose: lose, applied: applied}
	l.onAppend = l.append
	l.onDelete = l.delete
	return l
}

func (l *lossy) head(stream string) driver.Version {
	page, err := l.Store.ReadStream(context.Background(), driver.StreamQuery{Stream: stream, Backward: true, Limit: 1})
	if err != nil {
		return 0
	}
	return page.Head
}

func (l *lossy) append(ctx context.Context, req driver.AppendRequest) (driver.AppendResult, error) {
	l.sent = append(l.sent, req)
	if l.lose == 0 {
		return l.Store.Append(ctx, req)
	}
	l.lose--
	lost := &driver.UnknownOutcomeError{Err: io.ErrUnexpectedEOF}
	for _, p := range req.Parts {
		if len(p.Records) == 0 {
			continue
		}
		base, ok := p.Expected.Exact()
		if !ok {
			base = l.head(p.Stream)
		}
		lost.Parts = append(lost.Parts, driver.UnknownPart{Stream: p.Stream, Base: base})
	}
	if l.applied {
		if _, err := l.Store.Append(ctx, req); err != nil {
			return driver.AppendResult{}, err
		}
	}
	return driver.AppendResult{}, fmt.Errorf("wrapped: %w", lost)
}

func (l *lossy) delete(ctx context.Context, req driver.DeleteRequest) (driver.Appended, error) {
	l.deletes = append(l.deletes, req)
	if l.lose == 0 {
		return l.Store.Delete(ctx, req)
	}
	l.lose--
	lost := &driver.UnknownOutcomeError{Parts: []driver.UnknownPart{{Stream: req.Stream, Base: l.head(req.Stream)}}, Err: io.ErrUnexpectedEOF}
	if l.applied {
		if _, err := l.Store.Delete(ctx, req); err != nil {
			return driver.Appended{}, err
		}
	}
	return driver.Appended{}, lost
}

func unknownOutcome(t *testing.T, err error) *es.UnknownOutcomeError {
	t.Helper()
	var u *es.UnknownOutcomeError
	if !errors.As(err, &u) {
		t.Fatalf("error %v, want an unknown outcome", err)
	}
	is(t, "the error", err, es.ErrUnknownOutcome)
	is(t, "its cause", err, io.ErrUnexpectedEOF)
	if es.IsTransient(err) {
		t.Error("an unknown outcome is transient")
	}
	if text := err.Error(); !strings.HasPrefix(text, fmt.Sprintf("es: unknown outcome of a write to %q at version %d", u.Parts[0].Stream, u.Parts[0].Base)) || !strings.HasSuffix(text, ": unexpected EOF") {
		t.Errorf("error %s", text)
	}
	return u
}

func TestUnknownOutcome(t *testing.T) {
	conflict := func(stream string, e es.Expected, actual es.Version) error {
		return &es.ConflictError{Stream: stream, Expected: e, Actual: actual}
	}
	type row struct {
		name      string
		parts     []es.Part
		applied   bool
		meanwhile string // the stream that another appends to before the resend
		want      []es.Appended
		err       error
		final     string // the streams at the end: "s:3 t:1"
	}
	s := func(e es.Expected) []es.Part { return []es.Part{es.To("s", e, tick{3}, tick{4})} }
	st := func(e es.Expected) []es.Part {
		return []es.Part{es.To("s", e, tick{3}), es.To("t", es.NoStream, tick{4}), es.To("check", 1)}
	}
	for _, row := range []row{
		{"exact, not applied", s(2), false, "", []es.Appended{at(3, 4, 5)}, nil, "s:4 check:1"},
		{"exact, applied", s(2), true, "", []es.Appended{at(3, 4, 5)}, nil, "s:4 check:1"},
		{"exact, not applied, another came", s(2), false, "s", nil, conflict("s", 2, 3), "s:3 check:1"},
		{"exact, applied, another came", s(2), true, "s", []es.Appended{at(3, 4, 5)}, nil, "s:5 check:1"},
		{"any, not applied", s(es.Any), false, "", []es.Appended{at(3, 4, 5)}, nil, "s:4 check:1"},
		{"any, applied", s(es.Any), true, "", []es.Appended{at(3, 4, 5)}, nil, "s:4 check:1"},
		{"any, not applied, another came", s(es.Any), false, "s", nil, conflict("s", 2, 3), "s:3 check:1"},
		{"any, applied, another came", s(es.Any), true, "s", []es.Appended{at(3, 4, 5)}, nil, "s:5 check:1"},
		{"exists, not applied", s(es.Exists), false, "", []es.Appended{at(3, 4, 5)}, nil, "s:4 check:1"},
		{"exists, applied, another came", s(es.Exists), true, "s", []es.Appended{at(3, 4, 5)}, nil, "s:5 check:1"},
		{"several, not applied", st(2), false, "", []es.Appended{at(3, 3, 4), at(1, 1, 5), at(0, 0, 0)}, nil, "s:3 t:1 check:1"},
		{"several, applied", st(2), true, "", []es.Appended{at(3, 3, 4), at(1, 1, 5), at(0, 0, 0)}, nil, "s:3 t:1 check:1"},
		{"several, any, applied", st(es.Any), true, "", []es.Appended{at(3, 3, 4), at(1, 1, 5), at(0, 0, 0)}, nil, "s:3 t:1 check:1"},
		{"several, not applied, one has moved", st(2), false, "t", nil, conflict("t", 0, 1), "s:2 t:1 check:1"},
		{"several, not applied, any, one has moved", st(es.Any), false, "s", nil, conflict("s", 2, 3), "s:3 check:1"},
		{"several, not applied, the check fails", st(2), false, "check", nil, conflict("check", 1, 2), "s:2 check:2"},
		{"several, applied, the check would fail", st(2), true, "check", []es.Appended{at(3, 3, 4), at(1, 1, 5), at(0, 0, 0)}, nil, "s:3 t:1 check:2"},
	} {
		t.Run(row.name, func(t *testing.T) {
			l := newLossy(0, row.applied)
			s := over(t, l)
			put(t, s, "s", tick{1}, tick{2})
			put(t, s, "check", tick{1})
			l.lose, l.sent = 1, nil
			out, err := s.AppendAll(t.Context(), row.parts...)
			if out != nil {
				t.Errorf("an unknown outcome returns %v", out)
			}
			u := unknownOutcome(t, err)
			for _, p := range u.Parts {
				if want := map[string]es.Version{"s": 2, "t": 0}[p.Stream]; p.Base != want || p.Stream == "check" {
					t.Errorf("part %+v", p)
				}
			}
			if len(l.sent) != 1 {
				t.Errorf("it was sent %d times before Resend", len(l.sent))
			}
			if row.meanwhile != "" {
				put(t, s, row.meanwhile, tock{9})
				l.sent = l.sent[:1]
			}
			for range 2 {
				out, err := u.Resend(t.Context())
				if !reflect.DeepEqual(err, row.err) {
					t.Fatalf("Resend: error %v, want %v", err, row.err)
				}
				slack := es.Position(0)
				if row.meanwhile != "" && !row.applied {
					slack = 1
				}
				for i := range out {
					if out[i].Position > 0 {
						out[i].Position -= slack
					}
				}
				if !slices.Equal(out, row.want) {
					t.Errorf("Resend: %+v, want %+v", out, row.want)
				}
			}
			if len(l.sent) != 3 {
				t.Fatalf("%d requests, want 3", len(l.sent))
			}
			for _, again := range l.sent[1:] {
				for i, p := range again.Parts {
					first := l.sent[0].Parts[i]
					if !reflect.DeepEqual(p.Records, first.Records) {
						t.Errorf("part %d sent again is %+v, and was %+v", i, p.Records, first.Records)
					}
					if _, exact := p.Expected.Exact(); !exact {
						t.Errorf("part %d is sent again at %v", i, p.Expected)
					}
				}
			}
			var final []string
			for _, stream := range []string{"s", "t", "check"} {
				if v, err := s.Version(t.Context(), stream); err != nil {
					t.Error(err)
				} else if v > 0 {
					final = append(final, fmt.Sprintf("%s:%d", stream, v))
				}
			}
			if got := strings.Join(final, " "); got != row.final {
				t.Errorf("at the end %s, want %s", got, row.final)
			}
		})
	}
}

// A resend may be lost as well; what it returns can be sent again.
func TestUnknownOutcomeOfAResend(t *testing.T) {
	for _, applied := range []bool{false, true} {
		l := newLossy(3, applied)
		s := over(t, l)
		_, err := s.Append(t.Context(), "s", es.Any, tick{1})
		for range 2 {
			_, err = unknownOutcome(t, err).Resend(t.Context())
		}
		out, err := unknownOutcome(t, err).Resend(t.Context())
		if err != nil || len(out) != 1 || out[0] != (at(1, 1, 1)) {
			t.Errorf("applied %v: %+v, error %v", applied, out, err)
		}
		if got := all(t, s.Read(t.Context(), "s")); len(got) != 1 || number(t, got[0]) != 1 {
			t.Errorf("applied %v: %v", applied, got)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err = s.Append(t.Context(), "s", es.Any, tick{2})
		if err != nil {
			t.Fatal(err)
		}
		l.lose = 1
		_, err = s.Append(t.Context(), "s", es.Any, tick{3})
		_, err = unknownOutcome(t, err).Resend(ctx)
		is(t, "Resend with a context that has ended", err, context.Canceled)
	}
}

// Two appends to one stream were sent together, and it is not known whether they
// arrived. The second cannot be decided before the first: its base is above what is
// there, and the two may still be on their way.
func TestUnknownOutcomeOfAGroup(t *testing.T) {
	for _, arrives := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			unknown := func(err error) *es.UnknownOutcomeError {
				u, ok := errors.AsType[*es.UnknownOutcomeError](err)
				if !ok {
					t.Fatalf("error %v, want an unknown outcome", err)
				}
				return u
			}
			f := fakeGroup{fake: overMemory()}
			var late func()
			entered, leave := make(chan struct{}), make(chan struct{})
			f.onAppend = func(ctx context.Context, req driver.AppendRequest) (driver.AppendResult, error) {
				if req.Parts[0].Stream == "first" {
					close(entered)
					<-leave
				}
				return f.Store.Append(ctx, req)
			}
			f.onGroup = func(_ context.Context, reqs []driver.AppendRequest) []driver.Outcome {
				outs := make([]driver.Outcome, len(reqs))
				for i, req := range reqs {
					outs[i].Err = &driver.UnknownOutcomeError{Parts: []driver.UnknownPart{{Stream: req.Parts[0].Stream, Base: es.Version(i)}}, Err: errBroken}
				}
				late = func() { f.Store.(driver.GroupAppender).AppendGroup(context.Background(), reqs) }
				return outs
			}
			s := over(t, f)
			var wg sync.WaitGroup
			wg.Go(func() { put(t, s, "first", tick{0}) })
			<-entered
			errs := make(chan error, 2)
			for i := range 2 {
				wg.Go(func() {
					_, err := s.Append(t.Context(), "s", es.Any, tick{i})
					errs <- err
				})
			}
			synctest.Wait() // both wait
			close(leave)
			wg.Wait()
			us := []*es.UnknownOutcomeError{unknown(<-errs), unknown(<-errs)}
			if us[0].Parts[0].Base > us[1].Parts[0].Base {
				us[0], us[1] = us[1], us[0]
			}
			_, err := us[1].Resend(t.Context())
			again := unknown(err)
			if errors.Is(err, es.ErrConflict) {
				t.Errorf("%v is a conflict, and may yet arrive", err)
			}
			if arrives {
				late()
			} else if out, err := us[0].Resend(t.Context()); err != nil || out[0].Last != 1 {
				t.Errorf("the first: %+v, error %v", out, err)
			}
			for _, u := range []*es.UnknownOutcomeError{again, us[1]} {
				if out, err := u.Resend(t.Context()); err != nil || out[0].Last != 2 {
					t.Errorf("the second: %+v, error %v", out, err)
				}
			}
			if n := len(all(t, s.Read(t.Context(), "s"))); n != 2 {
				t.Errorf("%d events are stored, want 2", n)
			}
		})
	}
}

// A write that was sent may still be on its way when it is sent again and refused
// because a stream has not come to what is expected of it: once it has, the first may
// arrive. Only what can never hold again settles it.
func TestUnknownOutcomeAheadOfAStream(t *testing.T) {
	for _, row := range []struct {
		name  string
		check es.Expected // of a stream that does not exist when it is sent again, and then does
		final bool        // the refusal is
	}{
		{"exists", es.Exists, false},
		{"a version to come", 1, false},
		{"a version that passed", es.NoStream, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			l := newLossy(0, false)
			s := over(t, l)
			if row.final {
				put(t, s, "check", tick{0})
			}
			l.lose = 1
			_, err := s.AppendAll(t.Context(), es.To("s", es.NoStream, tick{1}), es.To("check", row.check))
			u := unknownOutcome(t, err)
			late := l.sent[len(l.sent)-1]
			_, err = u.Resend(t.Context())
			if errors.Is(err, es.ErrConflict) != row.final || errors.Is(err, es.ErrUnknownOutcome) == row.final {
				t.Fatalf("Resend: %v", err)
			}
			put(t, s, "check", tick{0})
			_, err = l.Store.Append(t.Context(), late)
			if arrived := err == nil; arrived == row.final {
				t.Errorf("the first arrives: error %v", err)
			}
			out, err := u.Resend(t.Context())
			if row.final {
				is(t, "Resend", err, es.ErrConflict)
			} else if err != nil || out[0].Last != 1 {
				t.Errorf("Resend: %+v, error %v", out, err)
			}
		})
	}
}

// What can never hold again settles it, wherever it stands beside what may hold yet.
func TestUnknownOutcomeSettledByAnotherStream(t *testing.T) {
	l := newLossy(0, false)
	s := over(t, l)
	l.lose = 1
	_, err := s.AppendAll(t.Context(), es.To("check", es.Exists), es.To("s", es.NoStream, tick{1}))
	u := unknownOutcome(t, err)
	_, err = u.Resend(t.Context())
	is(t, "Resend, while it may hold yet", err, es.ErrUnknownOutcome)
	put(t, s, "s", tick{2})
	_, err = u.Resend(t.Context())
	var c *es.ConflictError
	if !errors.As(err, &c) || c.Stream != "s" || c.Actual != 1 {
		t.Errorf("Resend, when another has written: %v", err)
	}
}

func TestUnknownOutcomeOfADelete(t *testing.T) {
	for _, row := range []struct {
		name      string
		expected  es.Expected
		mode      es.DeleteMode
		applied   bool
		meanwhile bool
		conflict  bool
	}{
		{"exact, not applied", 2, es.Tombstone, false, false, false},
		{"exact, applied", 2, es.Tombstone, true, false, false},
		{"exact, not applied, another came", 2, es.Tombstone, false, true, true},
		{"any, not applied", es.Any, es.Tombstone, false, false, false},
		{"any, applied", es.Any, es.Tombstone, true, false, false},
		{"any, not applied, another came", es.Any, es.Tombstone, false, true, true},
		{"exists, purge, applied", es.Exists, es.Purge, true, false, false},
		{"exists, purge, not applied", es.Exists, es.Purge, false, false, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			l := newLossy(0, row.applied)
			s := over(t, l)
			put(t, s, "s", tick{1}, tick{2})
			l.lose = 1
			_, err := s.Delete(t.Context(), "s", row.expected, row.mode)
			u := unknownOutcome(t, err)
			if !slices.Equal(u.Parts, []es.UnknownPart{{Stream: "s", Base: 2}}) {
				t.Errorf("parts %+v", u.Parts)
			}
			if row.meanwhile {
				put(t, s, "s", tick{3})
			}
			for range 2 {
				out, err := u.Resend(t.Context())
				if row.conflict {
					is(t, "Resend", err, es.ErrConflict)
					continue
				}
				if err != nil || len(out) != 1 || out[0] != (at(3, 3, 3)) {
					t.Errorf("Resend: %+v, error %v", out, err)
				}
			}
			for _, d := range l.deletes[1:] {
				if !reflect.DeepEqual(d.Record, l.deletes[0].Record) || d.Expected != 2 || d.Mode != row.mode {
					t.Errorf("sent again is %+v, and was %+v", d, l.deletes[0])
				}
			}
			got := all(t, s.Read(t.Context(), "s", es.Deleted(), es.Backward(), es.Limit(1)))
			if got[0].Version != 3 || (got[0].Type == es.TypeDeleted) == row.conflict {
				t.Errorf("the last event is %+v", got[0])
			}
		})
	}
}

func TestDelete(t *testing.T) {
	for _, row := range []struct {
		mode es.DeleteMode
		left []es.Version // what a reader of the deleted stream sees
	}{
		{es.Tombstone, span[es.Version](1, 4)},
		{es.Purge, []es.Version{4}},
	} {
		s := over(t, memory.New())
		history(t, s, "three")
		put(t, s, "other", tick{4})
		ctx := es.WithMetadata(t.Context(), map[string]string{"by": "Ada"})
		out, err := s.Delete(ctx, "s", 3, row.mode)
		if want := (at(4, 4, 5)); err != nil || out != want {
			t.Fatalf("Delete: %+v, error %v, want %+v", out, err, want)
		}
		_, err = collect(t, s.Read(ctx, "s"))
		is(t, "Read", err, es.ErrStreamDeleted)
		_, err = s.Version(ctx, "s")
		is(t, "Version", err, es.ErrStreamDeleted)
		_, err = s.Delete(ctx, "s", es.Any, es.Tombstone)
		is(t, "a second Delete", err, es.ErrStreamDeleted)
		got := all(t, s.Read(ctx, "s", es.Deleted()))
		if !slices.Equal(versions(got), row.left) {
			t.Errorf("versions left: %v", versions(got))
		}
		end := got[len(got)-1]
		if meta, err := end.Metadata(); err != nil || meta["by"] != "Ada" || end.Type != es.TypeDeleted {
			t.Errorf("the last event: %+v, metadata %v, error %v", end, meta, err)
		}
		if err := end.Err(); err != nil {
			t.Errorf("the last event cannot be read: %v", err)
		}
		feed := all(t, s.ReadAll(ctx))
		if want := len(row.left) + 1; len(feed) != want || feed[want-1].Type != es.TypeDeleted || feed[want-1].Stream != "s" {
			t.Errorf("the feed: %v", feed)
		}
		// Purge finishes whatever was begun, with the same answer.
		if again, err := s.Delete(ctx, "s", 99, es.Purge); err != nil || again != out {
			t.Errorf("Purge of what is deleted: %+v, error %v", again, err)
		}
		if got := all(t, s.Read(ctx, "s", es.Deleted())); !slices.Equal(versions(got), []es.Version{4}) {
			t.Errorf("after the purge: %v", versions(got))
		}
	}
}
