package driver_test

import (
	"errors"
	"reflect"
	"testing"

	"github.com/go-es/es/driver"
)

// A stream is what Decide decides over: its ids by version, from 1 on.
type stream struct {
	ids    []byte
	closed bool
}

// position is the position of a version of the i-th stream of a test.
func position(i int, v driver.Version) driver.Position {
	return driver.Position(1000*(i+1)) + driver.Position(v)
}

// decide calls Decide over streams, one a part.
func decide(t *testing.T, req driver.AppendRequest, streams []stream) (bool, driver.AppendResult, error) {
	t.Helper()
	states := make([]driver.StreamState, len(streams))
	for i, s := range streams {
		states[i] = driver.StreamState{Head: driver.Version(len(s.ids)), Closed: s.closed}
	}
	return driver.Decide(req, states, func(i int) (driver.Position, bool, error) {
		p, s := req.Parts[i], streams[i]
		base, exact := p.Expected.Exact()
		if len(p.Records) == 0 || !exact {
			t.Fatalf("found was called for part %d: %v", i, p)
		}
		for j, r := range p.Records {
			if v := int(base) + j; v >= len(s.ids) || r.ID != id(s.ids[v]) {
				return 0, false, nil
			}
		}
		return position(i, base+driver.Version(len(p.Records))), true, nil
	})
}

func TestDecide(t *testing.T) {
	open := func(ids ...byte) stream { return stream{ids: ids} }
	shut := func(ids ...byte) stream { return stream{ids, true} }
	state := func(s ...stream) []stream { return s }
	got := func(i int, first, last driver.Version) driver.Appended {
		return driver.Appended{First: first, Last: last, Position: position(i, last)}
	}
	result := func(parts ...driver.Appended) *driver.AppendResult { return &driver.AppendResult{Parts: parts} }
	conflict := func(stream string, e driver.Expected, actual driver.Version) error {
		return &driver.ConflictError{Stream: stream, Expected: e, Actual: actual}
	}
	deleted := func(stream string) error { return &driver.StreamError{Stream: stream, Err: driver.ErrStreamDeleted} }

	for _, row := range []struct {
		name    string
		streams []stream
		req     driver.AppendRequest
		again   *driver.AppendResult // made before
		err     error                // refused; neither: to be written
	}{
		// One part: V2, V3.
		{"no stream, none", state(open()), appendOf(part("s", driver.NoStream, rec(1))), nil, nil},
		{"no stream, one", state(open(1)), appendOf(part("s", driver.NoStream, rec(2))), nil, conflict("s", 0, 1)},
		{"exact, holds", state(open(1, 2)), appendOf(part("s", 2, recs(3, 4)...)), nil, nil},
		{"exact, too low", state(open(1, 2)), appendOf(part("s", 1, rec(3))), nil, conflict("s", 1, 2)},
		{"exact, too high", state(open(1, 2)), appendOf(part("s", 3, rec(3))), nil, conflict("s", 3, 2)},
		{"exact, no stream", state(open()), appendOf(part("s", 3, rec(3))), nil, conflict("s", 3, 0)},
		{"any, none", state(open()), appendOf(part("s", driver.Any, rec(1))), nil, nil},
		{"any, some", state(open(1, 2)), appendOf(part("s", driver.Any, rec(3))), nil, nil},
		{"exists, none", state(open()), appendOf(part("s", driver.Exists, rec(1))), nil, conflict("s", driver.Exists, 0)},
		{"exists, some", state(open(1)), appendOf(part("s", driver.Exists, rec(2))), nil, nil},

		// D1, I8.
		{"closed, no stream", state(shut(1, 9)), appendOf(part("s", driver.NoStream, rec(2))), nil, deleted("s")},
		{"closed, exact", state(shut(1, 9)), appendOf(part("s", 2, rec(2))), nil, deleted("s")},
		{"closed, any", state(shut(1, 9)), appendOf(part("s", driver.Any, rec(2))), nil, deleted("s")},
		{"closed, exists", state(shut(1, 9)), appendOf(part("s", driver.Exists, rec(2))), nil, deleted("s")},
		{"closed, sent again", state(shut(1, 2, 9)), appendOf(part("s", 0, recs(1, 2)...)), nil, deleted("s")},

		// I1, I2.
		{"sent again", state(open(1, 2)), appendOf(part("s", 0, recs(1, 2)...)), result(got(0, 1, 2)), nil},
		{"sent again in the middle", state(open(1, 2, 3)), appendOf(part("s", 1, recs(2, 3)...)), result(got(0, 2, 3)), nil},
		{"sent again after the stream has grown", state(open(1, 2, 3, 4)), appendOf(part("s", 1, recs(2, 3)...)), result(got(0, 2, 3)), nil},
		{"sent again with another payload", state(open(1)), one(with(func(r *driver.Record) { r.Type, r.Data = "other", []byte("other") })), result(got(0, 1, 1)), nil},

		// I3.
		{"first half of an append", state(open(1, 2)), appendOf(part("s", 0, rec(1))), result(got(0, 1, 1)), nil},
		{"second half of an append", state(open(1, 2)), appendOf(part("s", 1, rec(2))), result(got(0, 2, 2)), nil},

		// I4.
		{"only the first is there", state(open(1)), appendOf(part("s", 0, recs(1, 2)...)), nil, conflict("s", 0, 1)},
		{"only the first is there, then others", state(open(1, 7)), appendOf(part("s", 0, recs(1, 2)...)), nil, conflict("s", 0, 2)},
		{"only the last is there", state(open(7, 2)), appendOf(part("s", 0, recs(1, 2)...)), nil, conflict("s", 0, 2)},
		{"another order", state(open(2, 1)), appendOf(part("s", 0, recs(1, 2)...)), nil, conflict("s", 0, 2)},

		// I5.
		{"the ids at other versions", state(open(7, 1, 2)), appendOf(part("s", 0, recs(1, 2)...)), nil, conflict("s", 0, 3)},
		{"the ids at lower versions", state(open(1, 2)), appendOf(part("s", 2, recs(1, 2)...)), nil, nil},
		{"the ids beyond the head", state(open(1, 2)), appendOf(part("s", 5, recs(1, 2)...)), nil, conflict("s", 5, 2)},

		// I7.
		{"any, sent again", state(open(1, 2)), appendOf(part("s", driver.Any, recs(1, 2)...)), nil, nil},
		{"exists, sent again", state(open(1, 2)), appendOf(part("s", driver.Exists, rec(2))), nil, nil},

		// Several parts: A2, V4, I6, I8.
		{"all hold", state(open(1), open()), appendOf(part("a", 1, rec(2)), part("b", 0, rec(3))), nil, nil},
		{"all hold, one only checks", state(open(1), open(5)), appendOf(part("a", 1, rec(2)), part("b", 1)), nil, nil},
		{"the first does not hold", state(open(1, 7), open()), appendOf(part("a", 1, rec(2)), part("b", 0, rec(3))), nil, conflict("a", 1, 2)},
		{"the second does not hold", state(open(1), open(7)), appendOf(part("a", 1, rec(2)), part("b", 0, rec(3))), nil, conflict("b", 0, 1)},
		{"neither holds: the first is named", state(open(7), open(7)), appendOf(part("a", 0, rec(2)), part("b", 0, rec(3))), nil, conflict("a", 0, 1)},
		{"a check does not hold", state(open(1), open(5)), appendOf(part("a", 1, rec(2)), part("b", 0)), nil, conflict("b", 0, 1)},
		{"the first may hold later, the second cannot: it is named", state(open(), open(7)), appendOf(part("a", driver.Exists), part("b", 0, rec(3))), nil, conflict("b", 0, 1)},
		{"the first is behind, the second beyond", state(open(1), open(7, 8)), appendOf(part("a", 2, rec(2)), part("b", 1)), nil, conflict("b", 1, 2)},
		{"both may hold later: the first is named", state(open(), open(7)), appendOf(part("a", driver.Exists), part("b", 5, rec(3))), nil, conflict("a", driver.Exists, 0)},
		{"a check for existence does not hold", state(open(1), open()), appendOf(part("a", 1, rec(2)), part("b", driver.Exists)), nil, conflict("b", driver.Exists, 0)},
		{"closed before a conflict", state(shut(1), open(7)), appendOf(part("a", 1, rec(2)), part("b", 0, rec(3))), nil, deleted("a")},
		{"a conflict before closed", state(open(7), shut(1)), appendOf(part("a", 0, rec(2)), part("b", 1, rec(3))), nil, deleted("b")},
		{"a conflict before two that are closed", state(open(7), shut(1), shut(1)), appendOf(part("a", 0, rec(2)), part("b", driver.Any, rec(3)), part("c", 1, rec(4))), nil, deleted("b")},
		{"a check of a closed stream", state(open(1), shut(5)), appendOf(part("a", 1, rec(2)), part("b", 1)), nil, deleted("b")},

		{"both sent again", state(open(1), open(7, 2, 3, 8)), appendOf(part("a", 0, rec(1)), part("b", 1, recs(2, 3)...)), result(got(0, 1, 1), got(1, 2, 3)), nil},
		{"a check that held", state(open(1), open(5)), appendOf(part("a", 0, rec(1)), part("b", 1)), result(got(0, 1, 1), driver.Appended{}), nil},
		{"a check that holds no more", state(open(5, 6), open(1)), appendOf(part("a", 1), part("b", 0, rec(1))), result(driver.Appended{}, got(1, 1, 1)), nil},
		{"a check for existence, sent again", state(open(1), open(5)), appendOf(part("a", 0, rec(1)), part("b", driver.Exists)), result(got(0, 1, 1), driver.Appended{}), nil},
		{"a check of a stream that was closed since", state(open(1), shut(5, 9)), appendOf(part("a", 0, rec(1)), part("b", 1)), result(got(0, 1, 1), driver.Appended{}), nil},
		{"one is there, the other would hold", state(open(1), open()), appendOf(part("a", 0, rec(1)), part("b", 0, rec(2))), nil, conflict("a", 0, 1)},
		{"one is there, the other is not", state(open(1), open(7)), appendOf(part("a", 0, rec(1)), part("b", 0, rec(2))), nil, conflict("a", 0, 1)},
		{"one is there, the other was closed since", state(open(1), shut(2, 9)), appendOf(part("a", 0, rec(1)), part("b", 0, rec(2))), nil, deleted("b")},
		{"one is there, the other is any", state(open(1), open(2)), appendOf(part("a", 0, rec(1)), part("b", driver.Any, rec(2))), nil, conflict("a", 0, 1)},
		{"one is there, the other exists", state(open(1), open(2)), appendOf(part("a", 0, rec(1)), part("b", driver.Exists, rec(2))), nil, conflict("a", 0, 1)},
		{"one is any, the other is there", state(open(2), open(1)), appendOf(part("a", driver.Any, rec(2)), part("b", 0, rec(1))), nil, conflict("b", 0, 1)},
	} {
		t.Run(row.name, func(t *testing.T) {
			caps := driver.Caps{MaxStreams: 10}
			if err := driver.Check(caps, row.req); err != nil {
				t.Fatalf("the test is wrong: %v", err)
			}
			write, result, err := decide(t, row.req, row.streams)
			if want := row.again == nil && row.err == nil; write != want {
				t.Errorf("write is %v", write)
			}
			if row.again == nil {
				row.again = &driver.AppendResult{}
			}
			if !reflect.DeepEqual(result, *row.again) {
				t.Errorf("the result is %v, want %v", result, *row.again)
			}
			if !reflect.DeepEqual(err, row.err) {
				t.Errorf("the error is %v, want %v", err, row.err)
			}
		})
	}
}

func TestDecideFailsWithFound(t *testing.T) {
	failed := errors.New("disk on fire")
	calls := 0
	req := appendOf(part("a", 0, rec(1)), part("b", 0, rec(2)), part("c", 0, rec(3)))
	states := []driver.StreamState{{Head: 1}, {Head: 1}, {Head: 1}}
	write, result, err := driver.Decide(req, states, func(i int) (driver.Position, bool, error) {
		calls++
		if i == 1 {
			return 5, true, failed
		}
		return 4, true, nil
	})
	if write || result.Parts != nil || err != failed || calls != 2 {
		t.Errorf("got %v, %v, %v after %d calls, want the error of found after 2", write, result, err, calls)
	}
}

func TestDecideDelete(t *testing.T) {
	mine, others := rec(1), rec(2)
	del := func(e driver.Expected, mode driver.DeleteMode) driver.DeleteRequest {
		return driver.DeleteRequest{Stream: "a", Expected: e, Mode: mode, Record: mine}
	}
	shut := driver.StreamState{Head: 5, Closed: true}
	first := driver.Appended{First: 5, Last: 5, Position: 50}
	missing := &driver.StreamError{Stream: "a", Err: driver.ErrStreamNotFound}
	deleted := &driver.StreamError{Stream: "a", Err: driver.ErrStreamDeleted}
	failed := errors.New("disk on fire")
	for _, row := range []struct {
		name   string
		req    driver.DeleteRequest
		state  driver.StreamState
		closer driver.Record // of the stream
		err    error         // of closing
		write  bool
		result driver.Appended
		want   error
	}{
		{"any", del(driver.Any, driver.Tombstone), driver.StreamState{Head: 4}, others, nil, true, driver.Appended{}, nil},
		{"exists", del(driver.Exists, driver.Purge), driver.StreamState{Head: 4}, others, nil, true, driver.Appended{}, nil},
		{"exact", del(4, driver.Purge), driver.StreamState{Head: 4}, others, nil, true, driver.Appended{}, nil},
		{"another version", del(3, driver.Purge), driver.StreamState{Head: 4}, others, nil, false, driver.Appended{}, &driver.ConflictError{Stream: "a", Expected: 3, Actual: 4}},
		{"missing", del(driver.Any, driver.Tombstone), driver.StreamState{}, others, nil, false, driver.Appended{}, missing},
		{"missing as expected", del(driver.NoStream, driver.Tombstone), driver.StreamState{}, others, nil, false, driver.Appended{}, missing},
		{"missing, exact", del(3, driver.Purge), driver.StreamState{}, others, nil, false, driver.Appended{}, missing},
		{"closed by another", del(driver.Any, driver.Tombstone), shut, others, nil, false, driver.Appended{}, deleted},
		{"closed by another, at a version that does not hold", del(3, driver.Tombstone), shut, others, nil, false, driver.Appended{}, deleted},
		{"sent again", del(4, driver.Tombstone), shut, mine, nil, false, first, nil},
		{"sent again, at a version that does not hold", del(2, driver.Tombstone), shut, mine, nil, false, first, nil},
		{"a purge of what another closed", del(2, driver.Purge), shut, others, nil, false, first, nil},
		{"closing failed", del(4, driver.Purge), shut, mine, failed, false, driver.Appended{}, failed},
	} {
		t.Run(row.name, func(t *testing.T) {
			write, result, err := driver.DecideDelete(row.req, row.state, func() (driver.ID, driver.Position, error) {
				if !row.state.Closed {
					t.Error("closing was called for a stream that is open")
				}
				return row.closer.ID, 50, row.err
			})
			if write != row.write || result != row.result || !reflect.DeepEqual(err, row.want) {
				t.Errorf("got %v, %v, %v; want %v, %v, %v", write, result, err, row.write, row.result, row.want)
			}
		})
	}
}

func TestMayHold(t *testing.T) {
	open := func(head driver.Version) driver.StreamState { return driver.StreamState{Head: head} }
	closed := driver.StreamState{Head: 1, Closed: true}
	for _, row := range []struct {
		name   string
		req    driver.AppendRequest
		states []driver.StreamState
		want   bool
	}{
		{"behind the version", appendOf(part("s", 3, rec(1))), []driver.StreamState{open(2)}, true},
		{"at the version", appendOf(part("s", 3, rec(1))), []driver.StreamState{open(3)}, true},
		{"beyond the version", appendOf(part("s", 3, rec(1))), []driver.StreamState{open(4)}, false},
		{"there already", appendOf(part("s", driver.NoStream, rec(1))), []driver.StreamState{open(1)}, false},
		{"missing", appendOf(part("s", driver.Exists, rec(1))), []driver.StreamState{open(0)}, true},
		{"any", appendOf(part("s", driver.Any, rec(1))), []driver.StreamState{open(7)}, true},
		{"closed", appendOf(part("s", driver.Any, rec(1))), []driver.StreamState{closed}, false},
		{"a check of a missing stream", appendOf(part("a", 0, rec(1)), part("b", driver.Exists)), []driver.StreamState{open(0), open(0)}, true},
		{"a check of a version to come", appendOf(part("a", 0, rec(1)), part("b", 2)), []driver.StreamState{open(0), open(1)}, true},
		{"one to come, one passed", appendOf(part("a", 5, rec(1)), part("b", 2)), []driver.StreamState{open(4), open(3)}, false},
		{"one to come, one closed", appendOf(part("a", 5, rec(1)), part("b", driver.Exists)), []driver.StreamState{open(4), closed}, false},
	} {
		if got := driver.MayHold(row.req, row.states); got != row.want {
			t.Errorf("%s: %t", row.name, got)
		}
	}
}

func TestRebase(t *testing.T) {
	req := appendOf(part("a", driver.Any, rec(1)), part("b", 3), part("c", 7, rec(2)), part("d", driver.Exists, rec(3)))
	bases := []driver.UnknownPart{{Stream: "a", Base: 0}, {Stream: "b", Base: 9}, {Stream: "d", Base: 4}}
	got := driver.Rebase(req, bases)
	for i, want := range []driver.Expected{driver.NoStream, 3, 7, 4} {
		if got.Parts[i].Expected != want {
			t.Errorf("part %d expects %v, want %v", i, got.Parts[i].Expected, want)
		}
	}
	if req.Parts[0].Expected != driver.Any {
		t.Error("the request was changed")
	}
}
