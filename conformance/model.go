package conformance

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"pgregory.net/rapid"

	"github.com/go-es/es/driver"
)

var modelChecks = []check{
	{"model/random", "R1 V1 V2 V3 V4 A3 A4 I1 I3 I4 I6 I7 I8 S1 S2 S6 F1 D1 D2 D3 D4 D6 D7 L1 C2 P2", nil, checkModel},
}

// model is what a store has to be like after a sequence of calls, in the
// simplest words.
type model struct {
	streams     map[string]*modelStream
	feed        []*modelEvent // in the order in which they were appended
	checkpoints map[string]driver.Checkpoint
	snapshots   map[[2]string]driver.Snapshot
	requests    []driver.AppendRequest // that were made, to be made again
	deletes     []driver.DeleteRequest
	writes      int
}

type modelStream struct {
	events         []*modelEvent
	closed, purged bool
}

type modelEvent struct {
	rec    driver.Record
	write  int // events of one append have the same
	purged bool
}

func (m *model) head(stream string) driver.Version {
	if s := m.streams[stream]; s != nil {
		return driver.Version(len(s.events))
	}
	return 0
}

func (m *model) isClosed(stream string) bool { s := m.streams[stream]; return s != nil && s.closed }

func (m *model) holds(stream string, e driver.Expected) bool {
	head := m.head(stream)
	switch {
	case m.isClosed(stream):
		return false
	case e == driver.Any:
		return true
	case e == driver.Exists:
		return head > 0
	}
	return int64(e) == int64(head)
}

// wasMade reports whether an append is one that was made before.
func (m *model) wasMade(req driver.AppendRequest) bool {
	for _, p := range req.Parts {
		if len(p.Records) == 0 {
			continue
		}
		base := int(p.Expected)
		if base < 0 || m.isClosed(p.Stream) || base+len(p.Records) > int(m.head(p.Stream)) {
			return false
		}
		for i, r := range p.Records {
			if m.streams[p.Stream].events[base+i].rec.ID != r.ID {
				return false
			}
		}
	}
	return true
}

// append returns what an append has to return, positions left out.
func (m *model) append(req driver.AppendRequest) ([]driver.Appended, error) {
	bad, closed, never := -1, -1, false
	for i, p := range req.Parts {
		if closed < 0 && m.isClosed(p.Stream) {
			closed = i
		}
		switch beyond := !p.Expected.MayHold(m.head(p.Stream)); {
		case beyond && !never: // it can never hold again
			bad, never = i, true
		case bad < 0 && !m.holds(p.Stream, p.Expected):
			bad = i
		}
	}
	out := make([]driver.Appended, len(req.Parts))
	if bad >= 0 && m.wasMade(req) {
		for i, p := range req.Parts {
			if n := driver.Version(len(p.Records)); n > 0 {
				out[i] = driver.Appended{First: driver.Version(p.Expected) + 1, Last: driver.Version(p.Expected) + n}
			}
		}
		return out, nil
	}
	if closed >= 0 {
		return nil, &driver.StreamError{Stream: req.Parts[closed].Stream, Err: driver.ErrStreamDeleted}
	}
	if bad >= 0 {
		p := req.Parts[bad]
		return nil, &driver.ConflictError{Stream: p.Stream, Expected: p.Expected, Actual: m.head(p.Stream)}
	}
	m.writes++
	for i, p := range req.Parts {
		for _, r := range p.Records {
			last := m.write(p.Stream, r)
			if out[i].Last = last; out[i].First == 0 {
				out[i].First = last
			}
		}
	}
	return out, nil
}

func (m *model) write(stream string, r driver.Record) driver.Version {
	s := m.streams[stream]
	if s == nil {
		s = &modelStream{}
		m.streams[stream] = s
	}
	r.Stream, r.Version = stream, driver.Version(len(s.events)+1)
	e := &modelEvent{rec: r, write: m.writes}
	s.events = append(s.events, e)
	m.feed = append(m.feed, e)
	return r.Version
}

func (m *model) delete(req driver.DeleteRequest) (driver.Appended, error) {
	s := m.streams[req.Stream]
	switch {
	case s == nil:
		return driver.Appended{}, &driver.StreamError{Stream: req.Stream, Err: driver.ErrStreamNotFound}
	case s.closed:
		if s.events[len(s.events)-1].rec.ID != req.Record.ID && req.Mode != driver.Purge {
			return driver.Appended{}, &driver.StreamError{Stream: req.Stream, Err: driver.ErrStreamDeleted}
		}
	case !m.holds(req.Stream, req.Expected):
		return driver.Appended{}, &driver.ConflictError{Stream: req.Stream, Expected: req.Expected, Actual: m.head(req.Stream)}
	default:
		m.writes++
		m.write(req.Stream, req.Record)
		s.closed = true
		for key := range m.snapshots {
			if key[0] == req.Stream {
				delete(m.snapshots, key)
			}
		}
	}
	if req.Mode == driver.Purge {
		s.purged = true
		for _, e := range s.events[:len(s.events)-1] {
			e.purged = true
		}
	}
	v := driver.Version(len(s.events))
	return driver.Appended{First: v, Last: v}, nil
}

// read returns the records that a query returns, over all of its pages.
func (m *model) read(q driver.StreamQuery) ([]driver.Record, error) {
	s := m.streams[q.Stream]
	if s == nil {
		return nil, &driver.StreamError{Stream: q.Stream, Err: driver.ErrStreamNotFound}
	}
	if s.closed && !q.Deleted {
		return nil, &driver.StreamError{Stream: q.Stream, Err: driver.ErrStreamDeleted}
	}
	var recs []driver.Record
	for _, e := range s.events {
		if v := e.rec.Version; !e.purged && (q.Backward && (q.From == 0 || v <= q.From) || !q.Backward && v >= q.From) {
			recs = append(recs, e.rec)
		}
	}
	if q.Backward {
		slices.Reverse(recs)
	}
	return recs, nil
}

// op is one step of a random sequence: numbers that choose among what the model
// knows, so that a shorter sequence still means something.
type op struct {
	Kind             int
	Stream, Other    int
	Expected, N, Any int
}

// GoString names the call for the log of rapid; the trace of a run has it whole.
func (o op) GoString() string {
	kinds := [16]string{"append", "append to two", "append to two", "append again", "append again", "append a part again", "delete", "delete again", "read", "read", "read", "checkpoint", "snapshot", "list", "append", "append"}
	return fmt.Sprintf("%s(s%d)", kinds[o.Kind%16], o.Stream)
}

func genOp() *rapid.Generator[op] {
	return rapid.Custom(func(t *rapid.T) op {
		// Of bits: rapid prefers small numbers, and here none is special.
		n := func(label string, bits int) (v int) {
			for range bits {
				if v *= 2; rapid.Bool().Draw(t, label) {
					v++
				}
			}
			return v
		}
		return op{n("kind", 4), n("stream", 2), n("other", 2), n("expected", 3), n("n", 2), n("any", 6)}
	})
}

func checkModel(t *test) {
	a := t.open()
	begin := time.Now()
	runs, failed := 0, false
	try := func(rt *rapid.T) {
		ops := rapid.SliceOfN(genOp(), 1, 60).Draw(rt, "ops")
		if !failed && time.Since(begin) > modelTime() {
			return
		}
		runs++
		// Each run has streams of its own, and a test of its own that fails by
		// itself, so that rapid can look for a shorter sequence.
		done := false
		defer func() { failed = failed || !done || rt.Failed() }()
		inner := &test{TB: innerTB{rt, t.TB}, cfg: t.cfg, check: t.check, caps: t.caps, ctx: t.ctx}
		inner.trace.began = t.trace.began
		c := &client{t: inner, s: a.s, n: a.n, log: newFeedLog()}
		play(c, fmt.Sprint("run-", runs, "-"), ops)
		done = true
	}
	rapid.Check(rapidTB{t.TB}, try)
	for isLong() && time.Since(begin) < modelTime() {
		rapid.Check(rapidTB{t.TB}, try)
	}
}

// rapidTB is what rapid wants of a test.
type rapidTB struct{ TB }

func (t rapidTB) Log(args ...any)   { t.Logf("%s", fmt.Sprint(args...)) }
func (t rapidTB) Error(args ...any) { t.Errorf("%s", fmt.Sprint(args...)) }
func (t rapidTB) Fatal(args ...any) { t.Fatalf("%s", fmt.Sprint(args...)) }
func (t rapidTB) Skip(args ...any)  { t.Skipf("%s", fmt.Sprint(args...)) }
func (t rapidTB) SkipNow()          { t.Skipf("skipped") }
func (t rapidTB) FailNow()          { t.Fatalf("a random sequence of calls breaks the model") }
func (t rapidTB) Fail()             { t.Errorf("a random sequence of calls breaks the model") }

// innerTB is a run of rapid as a TB.
type innerTB struct {
	*rapid.T
	outer TB
}

func (t innerTB) TempDir() string { return t.outer.TempDir() }

// play makes the calls of a sequence on a store and on a model, and compares.
func play(c *client, prefix string, ops []op) {
	t := c.t
	m := &model{streams: map[string]*modelStream{}, checkpoints: map[string]driver.Checkpoint{}, snapshots: map[[2]string]driver.Snapshot{}}
	head, err := c.Head(t.ctx)
	t.must(err)
	start := head
	for _, o := range ops {
		c.step(m, prefix, o)
	}
	c.sameAsModel(m, prefix, start)
}

// expected chooses an expected version for a stream.
func (o op) expected(head driver.Version) driver.Expected {
	switch o.Expected {
	default:
		return driver.Exactly(head)
	case 3:
		return driver.Any
	case 4:
		return driver.Exists
	case 5:
		return driver.NoStream
	case 6:
		return driver.Exactly(head + 1)
	case 7:
		return driver.Exactly(head - min(head, 1))
	}
}

func (c *client) step(m *model, prefix string, o op) {
	t := c.t
	t.Helper()
	name := func(i int) string { return fmt.Sprint(prefix, "s", i) }
	stream := name(o.Stream)
	switch o.Kind {
	default: // 0, 14 and 15
		c.appendAsModel(m, to(stream, o.expected(m.head(stream)), records(t.batch(1+o.N))...))
	case 1, 2:
		n := t.batch(2)
		if t.caps.MaxStreams <= 1 || n < 2 || o.Stream == o.Other {
			return
		}
		parts := []driver.Part{
			{Stream: stream, Expected: o.expected(m.head(stream)), Records: records(1)},
			{Stream: name(o.Other), Expected: driver.Exactly(m.head(name(o.Other))), Records: records(1)},
		}
		if o.N == 0 {
			parts[1].Records = nil
		}
		if o.Any%2 == 0 {
			slices.Reverse(parts)
		}
		c.appendAsModel(m, toEach(parts...))
	case 3, 4:
		if len(m.requests) > 0 {
			c.appendAsModel(m, m.requests[o.Any%len(m.requests)])
		}
	case 5: // a part of an earlier one, or one with another id
		if len(m.requests) == 0 {
			return
		}
		p := m.requests[o.Any%len(m.requests)].Parts[0]
		if v, exact := p.Expected.Exact(); exact && len(p.Records) > 0 {
			from := o.N % len(p.Records)
			recs := slices.Clone(p.Records[from:])
			if o.Expected == 6 {
				recs[len(recs)-1].ID = record().ID
			}
			c.appendAsModel(m, to(p.Stream, driver.Exactly(v+driver.Version(from)), recs...))
		}
	case 6:
		c.deleteAsModel(m, deletion(stream, o.expected(m.head(stream)), modes[o.N%2]))
	case 7:
		if len(m.deletes) > 0 {
			d := m.deletes[o.Any%len(m.deletes)]
			d.Mode, d.Expected = modes[o.N%2], o.expected(m.head(d.Stream))
			c.deleteAsModel(m, d)
		}
	case 8, 9, 10:
		q := driver.StreamQuery{Stream: stream, From: driver.Version(o.Any % 6), Backward: o.N%2 == 1, Limit: o.Expected % 4, Deleted: o.Other == 0}
		want, werr := m.read(q)
		got, err := c.tryStream(q)
		t.sameError("ReadStream("+brief(q)+")", werr, err)
		t.same("S1", "ReadStream("+brief(q)+")", want, got)
	case 11:
		if implementing[driver.CheckpointStore](c.s) {
			c.checkpointAsModel(m, stream, o)
		}
	case 12:
		if implementing[driver.SnapshotStore](c.s) && m.head(stream) > 0 {
			c.snapshotAsModel(m, stream, o)
		}
	case 13:
		c.listAsModel(m, prefix, o.Expected%4)
	}
}

// sameError ends the check unless both errors mean the same.
func (t *test) sameError(what string, want, got error) {
	t.Helper()
	if meaning(want) != meaning(got) {
		t.broken("E1", "%s returned %q; by the model it is %q", what, meaning(got), meaning(want))
	}
}

// meaning is what an error says, versions left out.
func meaning(err error) string {
	if e, ok := errors.AsType[*driver.ConflictError](err); ok {
		return fmt.Sprintf("conflict on %q, expected %v", e.Stream, e.Expected)
	}
	if e, ok := errors.AsType[*driver.StreamError](err); ok {
		return e.Error()
	}
	if errors.Is(err, driver.ErrCheckpointConflict) {
		return driver.ErrCheckpointConflict.Error()
	}
	if err != nil {
		return err.Error()
	}
	return "no error"
}

func (c *client) appendAsModel(m *model, req driver.AppendRequest) {
	t := c.t
	t.Helper()
	if driver.Check(t.caps, req) != nil {
		return
	}
	want, werr := m.append(req)
	res, err := c.Append(t.ctx, req)
	rule := "V4"
	if werr == nil {
		rule = "A3"
	}
	if meaning(werr) != meaning(err) {
		t.broken(rule, "Append(%s) returned %q; by the model it is %q", brief(req), meaning(err), meaning(werr))
	}
	for i, w := range want {
		if g := res.Parts[i]; g.First != w.First || g.Last != w.Last {
			t.broken(rule, "Append(%s) returned %s for part %d; by the model it is %s", brief(req), brief(g), i, brief(w))
		}
	}
	m.requests = append(m.requests, req)
}

func (c *client) deleteAsModel(m *model, req driver.DeleteRequest) {
	t := c.t
	t.Helper()
	want, werr := m.delete(req)
	got, err := c.Delete(t.ctx, req)
	t.sameError("Delete("+brief(req)+")", werr, err)
	if got.First != want.First || got.Last != want.Last {
		t.broken("D1", "Delete(%s) returned %s; by the model it is %s", brief(req), brief(got), brief(want))
	}
	m.deletes = append(m.deletes, req)
}

func (c *client) checkpointAsModel(m *model, name string, o op) {
	t := c.t
	t.Helper()
	now := m.checkpoints[name]
	switch o.N {
	case 0: // with the right revision
		cp := at(name, driver.Position(o.Any))
		t.must(c.SaveCheckpoint(t.ctx, cp, now.Revision))
		m.checkpoints[name] = cp
	case 1: // with a wrong one
		if err := c.SaveCheckpoint(t.ctx, at(name, 1), record().ID); !errors.Is(err, driver.ErrCheckpointConflict) {
			t.broken("C2", "SaveCheckpoint with a revision that is not the checkpoint's: %v", err)
		}
	case 2: // again
		if now.Name != "" {
			t.must(c.SaveCheckpoint(t.ctx, now, driver.Revision{}))
		}
	case 3:
		if o.Any%4 == 0 {
			t.must(c.DeleteCheckpoint(t.ctx, name))
			delete(m.checkpoints, name)
		}
	}
	if got, err := c.LoadCheckpoint(t.ctx, name); err != nil || got != m.checkpoints[name] {
		t.broken("C2", "checkpoint %q is %+v, error %v; by the model it is %+v", name, got, err, m.checkpoints[name])
	}
}

func (c *client) snapshotAsModel(m *model, stream string, o op) {
	t := c.t
	t.Helper()
	key := [2]string{stream, fmt.Sprint("kind-", o.Other%2)}
	now := m.snapshots[key]
	switch {
	case o.N == 3:
		t.must(c.DeleteSnapshot(t.ctx, key[0], key[1]))
		delete(m.snapshots, key)
	default:
		s := snapshot(key[0], key[1], driver.Version(o.Any+1))
		err := c.SaveSnapshot(t.ctx, s)
		if m.isClosed(stream) {
			if !errors.Is(err, driver.ErrStreamDeleted) {
				t.broken("P4", "SaveSnapshot for a closed stream: %v", err)
			}
			break
		}
		t.must(err)
		if s.Version >= now.Version {
			m.snapshots[key] = s
		}
	}
	got, err := c.LoadSnapshot(t.ctx, key[0], key[1])
	if d := snapshotDifference(m.snapshots[key], got); err != nil || d != "" {
		t.broken("P2", "LoadSnapshot: %s, error %v", d, err)
	}
}

func (c *client) listAsModel(m *model, prefix string, limit int) {
	t := c.t
	t.Helper()
	var want []string
	for name, s := range m.streams {
		want = append(want, fmt.Sprintf("%s closed %t", name, s.closed))
	}
	slices.Sort(want)
	var got []string
	same := func() bool {
		got = nil
		for _, s := range c.list(driver.ListQuery{Prefix: prefix, Limit: limit}) {
			got = append(got, fmt.Sprintf("%s closed %t", s.Stream, s.Closed))
		}
		return slices.Equal(got, want)
	}
	if !same() && !(t.caps.ListLag && t.eventually(same)) {
		t.broken("L1", "the listing is %q; by the model it is %q", got, want)
	}
}

// sameAsModel compares all that there is.
func (c *client) sameAsModel(m *model, prefix string, start driver.Position) {
	t := c.t
	t.Helper()
	for name := range m.streams {
		q := driver.StreamQuery{Stream: name, Deleted: true}
		want, _ := m.read(q)
		t.same("S1", "in the end, ReadStream("+brief(q)+")", want, c.stream(q))
	}
	c.listAsModel(m, prefix, 0)
	var want []driver.Record
	var writes []int
	for _, e := range m.feed {
		if !e.purged {
			want, writes = append(want, e.rec), append(writes, e.write)
		}
	}
	var got []driver.Record
	after := start
	t.eventually(func() bool {
		recs, next := c.readOn(after, 0)
		after = next
		for _, r := range recs {
			if strings.HasPrefix(r.Stream, prefix) {
				got = append(got, r)
			}
		}
		return len(got) >= len(want) || t.caps.PositionOnAppend
	})
	byStream := func(a, b driver.Record) int { return strings.Compare(a.Stream, b.Stream) }
	if !t.caps.PositionOnAppend { // then only the order within a stream is fixed
		slices.SortStableFunc(want, byStream)
		slices.SortStableFunc(got, byStream)
	} else if len(got) == len(want) { // the parts of one append may come in any order (F15)
		for i := 0; i < len(want); {
			j := i + 1
			for j < len(want) && writes[j] == writes[i] {
				j++
			}
			slices.SortStableFunc(want[i:j], byStream)
			slices.SortStableFunc(got[i:j], byStream)
			i = j
		}
	}
	t.same("F1", "in the end, the feed", want, got)
}
