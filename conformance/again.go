package conformance

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/go-es/es/driver"
)

var againChecks = []check{
	{"again/exact", "I1 I2", nil, checkAgainExact},
	{"again/concurrently", "I1", nil, checkAgainConcurrently},
	{"again/pieces", "I3", []need{needBatch}, checkAgainInPieces},
	{"again/partly", "I4", nil, checkAgainPartly},
	{"again/ids", "I5", nil, checkSameIDs},
	{"again/streams", "I6", []need{needStreams}, checkAgainStreams},
	{"again/any", "I7", nil, checkAgainAny},
	{"again/closed", "I8", nil, checkAgainClosed},
}

// recognised ends the check unless an append sent again returned the versions
// that the first returned, and its position or none.
func (t *test) recognised(rule, when string, want, got driver.AppendResult, err error) {
	t.Helper()
	if err != nil {
		t.broken(rule, "%s: the append was not recognised, and failed: %v", when, err)
	}
	for i, w := range want.Parts {
		g := got.Parts[i]
		if g.First != w.First || g.Last != w.Last || g.Position != w.Position && w.Position != 0 && (g.Position != 0 || t.caps.PositionOnAppend) {
			t.broken(rule, "%s: part %d returned %s; the first time it was %s", when, i, brief(g), brief(w))
		}
	}
}

func checkAgainExact(t *test) {
	cs := t.openAll(2)
	a, b := cs[0], cs[1]
	a.fill("grown", 0, 1)
	for base := driver.Version(0); base < 2; base++ {
		stream := []string{"new", "grown"}[base]
		req := to(stream, driver.Exactly(base), records(t.batch(3))...)
		first, err := a.Append(t.ctx, req)
		t.must(err)
		last := first.Parts[0].Last
		again := func(c *client, when string) {
			t.Helper()
			res, err := c.Append(t.ctx, req)
			t.recognised("I1", when, first, res, err)
			other := cloneRequest(req)
			for i := range other.Parts[0].Records {
				r := &other.Parts[0].Records[i]
				r.Type, r.Encoding, r.Data, r.Metadata, r.Tags, r.Time = "other", "other", []byte("other"), []byte("other"), []string{"other"}, time.Now()
			}
			res, err = c.Append(t.ctx, other)
			t.recognised("I2", when+", with other payloads", first, res, err)
			if got := c.head(stream); got != last {
				t.broken("I1", "%s: the stream went from version %d to %d", when, last, got)
			}
		}
		again(a, "sent again at once")
		again(b, "sent again by another client")
		last = a.append(stream, driver.Exactly(last), record()).Last
		again(a, "sent again after the stream grew by one")
		a.whole(0) // positions that come late are known now
		a.fill(stream, last, 5)
		last += 5
		again(b, "sent again after the stream grew by more")
		for i, r := range a.stream(driver.StreamQuery{Stream: stream, From: base + 1, Limit: len(req.Parts[0].Records)})[:len(req.Parts[0].Records)] {
			r2 := req.Parts[0].Records[i]
			r2.Stream, r2.Version = stream, r.Version
			t.same("I2", "after the append was sent again with other payloads", []driver.Record{r2}, []driver.Record{r})
		}
	}
	a.whole(0)
	t.noStrangers(a)
}

// checkAgainConcurrently sends one append many times at once.
func checkAgainConcurrently(t *test) {
	cs := t.openAll(4)
	for round := range t.scale(20) {
		stream := fmt.Sprint("again-", round%5)
		base := cs[0].head(stream)
		req := to(stream, driver.Exactly(base), records(t.batch(2))...)
		var mu sync.Mutex
		var first *driver.AppendResult
		t.together(16, func(i int) {
			res, err := cs[i%len(cs)].appendSurely(req)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err != nil:
				t.wrong("I1", "one append sent 16 times at once, at version %d of stream %q: %v", base, stream, err)
			case first == nil:
				first = &res
			case res.Parts[0].First != first.Parts[0].First || res.Parts[0].Last != first.Parts[0].Last:
				t.wrong("I1", "one append sent 16 times at once returned %s and %s", brief(*first), brief(res))
			}
		})
		if got, want := cs[1].head(stream), base+driver.Version(len(req.Parts[0].Records)); got != want {
			t.broken("I1", "one append of %d sent 16 times at once at version %d left the stream at version %d", len(req.Parts[0].Records), base, got)
		}
	}
	cs[0].whole(0)
}

func checkAgainInPieces(t *test) {
	cs := t.openAll(2)
	a, b := cs[0], cs[1]
	n := t.batch(4)
	recs := records(n)
	whole := to("whole", driver.NoStream, recs...)
	first, err := a.Append(t.ctx, whole)
	t.must(err)
	for from := range n {
		for end := from + 1; end <= n; end++ {
			res, err := b.Append(t.ctx, to("whole", driver.Exactly(driver.Version(from)), recs[from:end]...))
			want := driver.AppendResult{Parts: []driver.Appended{{First: driver.Version(from + 1), Last: driver.Version(end)}}}
			if end == n {
				want.Parts[0].Position = first.Parts[0].Position
			}
			t.recognised("I3", fmt.Sprintf("events %d to %d of an append of %d", from+1, end, n), want, res, err)
		}
	}
	for i, r := range recs {
		a.append("single", driver.Exactly(driver.Version(i)), r)
	}
	res, err := b.Append(t.ctx, to("single", driver.NoStream, recs...))
	t.recognised("I3", fmt.Sprintf("%d appends of one event, sent again as one", n), driver.AppendResult{Parts: []driver.Appended{{First: 1, Last: driver.Version(n)}}}, res, err)
	a.whole(0)
	t.noStrangers(a)
}

func checkAgainPartly(t *test) {
	cs := t.openAll(2)
	a, b := cs[0], cs[1]
	recs := a.fill("partly", 0, 4)
	for i := range recs {
		recs[i].Stream, recs[i].Version = "", 0
	}
	fresh := records(4)
	cases := []struct {
		name string
		base driver.Version
		recs []driver.Record
	}{
		{"another id", 0, fresh[:1]},
		{"an id of another version", 1, recs[:1]},
		{"an id of the version before", 2, recs[1:2]},
		{"the first id and another", 0, []driver.Record{recs[0], fresh[0]}},
		{"another id and the second", 0, []driver.Record{fresh[0], recs[1]}},
		{"two ids in another order", 0, []driver.Record{recs[1], recs[0]}},
		{"the ends and another between", 0, []driver.Record{recs[0], fresh[0], recs[2]}},
		{"the last id and one beyond", 3, []driver.Record{recs[3], fresh[0]}},
		{"all ids and one beyond", 0, []driver.Record{recs[0], recs[1], recs[2], recs[3], fresh[0]}},
		{"a version left out", 0, []driver.Record{recs[0], recs[2]}},
		{"a version beyond the last", 5, recs[:1]},
	}
	for _, c := range cases {
		if t.batch(len(c.recs)) < len(c.recs) {
			continue
		}
		if _, err := b.Append(t.ctx, to("partly", driver.Exactly(c.base), c.recs...)); !errors.Is(err, driver.ErrConflict) {
			t.broken("I4", "%s, at version %d of a stream at version 4: error %v", c.name, c.base, err)
		}
		if got := a.head("partly"); got != 4 {
			t.broken("I4", "%s, at version %d: the stream went from version 4 to %d", c.name, c.base, got)
		}
	}
	a.whole(0)
	t.noStrangers(a)
}

func checkSameIDs(t *test) {
	a := t.open()
	recs := records(t.batch(2))
	a.append("one", driver.NoStream, recs...)
	n := driver.Version(len(recs))
	for i, stream := range []string{"one", "two"} {
		if _, err := a.Append(t.ctx, to(stream, driver.Exactly(n*driver.Version(1-i)), recs...)); err != nil {
			t.broken("I5", "the ids of the first events of stream %q again, in stream %q: %v", "one", stream, err)
		}
	}
	if t.caps.MaxStreams > 1 && t.batch(2) > 1 {
		// Not twice in one append, but an id that is elsewhere is legal there too.
		req := toEach(driver.Part{Stream: "three", Records: recs[:1]}, driver.Part{Stream: "four", Records: records(1)})
		if _, err := a.Append(t.ctx, req); err != nil {
			t.broken("I5", "an id of another stream, in an append to two streams: %v", err)
		}
	}
	if got := a.head("one"); got != 2*n {
		t.broken("I5", "stream %q is at version %d instead of %d", "one", got, 2*n)
	}
	if got := a.head("two"); got != n {
		t.broken("I5", "stream %q is at version %d instead of %d", "two", got, n)
	}
	a.whole(0)
}

func checkAgainStreams(t *test) {
	cs := t.openAll(2)
	a, b := cs[0], cs[1]
	part := func(stream string, e driver.Expected, recs ...driver.Record) driver.Part {
		return driver.Part{Stream: stream, Expected: e, Records: recs}
	}
	heads := map[string]driver.Version{}
	refused := func(name string, req driver.AppendRequest, stream string, want error) {
		t.Helper()
		for _, p := range req.Parts {
			heads[p.Stream] = a.head(p.Stream)
		}
		_, err := b.Append(t.ctx, req)
		if !errors.Is(err, want) {
			t.broken("I6", "%s: error %v instead of %v", name, err, want)
		}
		c, conflict := errors.AsType[*driver.ConflictError](err)
		s, closed := errors.AsType[*driver.StreamError](err)
		if conflict && c.Stream != stream || closed && s.Stream != stream {
			t.broken("I6", "%s: the error names another stream than %q: %v", name, stream, err)
		}
		for _, p := range req.Parts {
			if got := a.head(p.Stream); got != heads[p.Stream] {
				t.broken("I6", "%s: stream %q went from version %d to %d", name, p.Stream, heads[p.Stream], got)
			}
		}
	}
	x, y := record(), record()
	both := toEach(part("x", driver.NoStream, x), part("y", driver.NoStream, y))
	first, err := a.Append(t.ctx, both)
	t.must(err)
	res, err := b.Append(t.ctx, both)
	t.recognised("I6", "an append to two streams, sent again", first, res, err)
	a.append("y", 1, record())
	res, err = b.Append(t.ctx, both)
	t.recognised("I6", "an append to two streams, sent again after one grew", first, res, err)
	// Each stream on its own recognises its part, and so do both after two appends.
	res, err = b.Append(t.ctx, to("x", driver.NoStream, x))
	t.recognised("I3", "a part of an append to two streams, sent alone", driver.AppendResult{Parts: first.Parts[:1]}, res, err)

	refused("the second part was never appended", toEach(part("x", driver.NoStream, x), part("z", driver.NoStream, record())), "x", driver.ErrConflict)
	refused("the second part has another id", toEach(part("x", driver.NoStream, x), part("y", driver.NoStream, record())), "x", driver.ErrConflict)
	refused("the first part has another id", toEach(part("x", driver.NoStream, record()), part("y", driver.NoStream, y)), "x", driver.ErrConflict)
	refused("the second part holds and is new", toEach(part("x", driver.NoStream, x), part("y", 2, record())), "x", driver.ErrConflict)
	refused("the first part may hold later, and the second cannot", toEach(part("z", driver.Exists), part("y", driver.NoStream, record())), "y", driver.ErrConflict)
	refused("both parts may hold later", toEach(part("z", driver.Exists), part("y", 100, record())), "z", driver.ErrConflict)
	refused("the first part holds and is new", toEach(part("y", 2, record()), part("x", driver.NoStream, x)), "x", driver.ErrConflict)
	refused("the second part expects any version", toEach(part("x", driver.NoStream, x), part("y", driver.Any, y)), "x", driver.ErrConflict)
	refused("the second part expects that the stream exists", toEach(part("x", driver.NoStream, x), part("y", driver.Exists, y)), "x", driver.ErrConflict)

	// Parts without records count as matched, although their stream moved on.
	a.append("checked", driver.NoStream, record())
	with := toEach(part("checked", 1), part("w", driver.NoStream, record()))
	first, err = a.Append(t.ctx, with)
	t.must(err)
	a.append("checked", 1, record())
	res, err = b.Append(t.ctx, with)
	t.recognised("I6", "an append beside a check, sent again after the checked stream moved on", first, res, err)
	a.delete("checked", driver.Tombstone)
	res, err = b.Append(t.ctx, with)
	t.recognised("I6", "an append beside a check, sent again after the checked stream was closed", first, res, err)
	a.append("checked-2", driver.NoStream, record())
	a.append("checked-2", 1, record())
	refused("a check that does not hold beside a part that is new", toEach(part("checked-2", 1), part("w", 1, record())), "checked-2", driver.ErrConflict)

	// A closed stream decides before a part that does not hold.
	a.append("gone", driver.NoStream, record())
	a.delete("gone", driver.Tombstone)
	refused("the second stream is closed, the first does not hold", toEach(part("x", 7, record()), part("gone", driver.Any, record())), "gone", driver.ErrStreamDeleted)
	refused("the first stream is closed, the second does not hold", toEach(part("gone", driver.Any, record()), part("x", 7, record())), "gone", driver.ErrStreamDeleted)
	refused("one is recognised, the other closed", toEach(part("x", driver.NoStream, x), part("gone", driver.NoStream, record())), "gone", driver.ErrStreamDeleted)
	a.whole(0)
	t.noStrangers(a)
}

func checkAgainAny(t *test) {
	cs := t.openAll(2)
	a := cs[0]
	for _, e := range []driver.Expected{driver.Any, driver.Exists} {
		stream := "again-" + e.String()
		a.append(stream, driver.NoStream, record())
		recs := records(t.batch(2))
		n := driver.Version(len(recs))
		for i := range driver.Version(3) {
			got := cs[i%2].append(stream, e, recs...)
			if want := 1 + i*n + 1; got.First != want {
				t.broken("I7", "call %d of an append at %v returned first version %d instead of %d", i+1, e, got.First, want)
			}
		}
		if got := a.head(stream); got != 1+3*n {
			t.broken("I7", "an append of %d at %v was made three times on a stream at version 1, which is now at %d", n, e, got)
		}
	}
	a.whole(0)
}

func checkAgainClosed(t *test) {
	cs := t.openAll(2)
	a, b := cs[0], cs[1]
	for _, mode := range []driver.DeleteMode{driver.Tombstone, driver.Purge} {
		stream := fmt.Sprint("closed-", mode)
		recs := a.fill(stream, 0, 3)
		a.delete(stream, mode)
		for i, r := range recs {
			r.Stream, r.Version = "", 0
			if _, err := b.Append(t.ctx, to(stream, driver.Exactly(driver.Version(i)), r)); !errors.Is(err, driver.ErrStreamDeleted) {
				t.broken("I8", "an append at version %d, sent again after its stream was closed: error %v", i, err)
			}
		}
		if got := a.head(stream); got != 4 {
			t.broken("I8", "appends sent again to a closed stream took it from version 4 to %d", got)
		}
	}
	a.whole(0)
}
