package conformance

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/go-es/es/driver"
)

var appendChecks = []check{
	{"append/refused", "A1 V4", []need{needBatch}, checkRefusedAppend},
	{"append/whole", "A1 S7", []need{needBatch}, checkWholeAppends},
	{"append/streams", "A2", []need{needStreams}, checkAppendToStreams},
	{"append/transfers", "A2", []need{needStreams}, checkTransfers},
	{"append/result", "A3", nil, checkAppendResult},
	{"append/versions", "A4", []need{needStreams}, checkVersionParts},
	{"append/skew", "A4", []need{needStreams}, checkWriteSkew},
	{"append/visible", "A5", nil, checkVisible},
	{"append/durable", "A6 O2", []need{needLasting}, checkDurable},
}

func checkRefusedAppend(t *test) {
	cs := t.openAll(2)
	a := cs[0]
	a.fill("half", 0, 2)
	n := t.batch(4)
	for _, e := range []driver.Expected{driver.NoStream, 1, 3, 100} {
		// The first ids are those of the stream, so that a part of it "is there".
		recs := records(n)
		recs[0].ID = a.stream(driver.StreamQuery{Stream: "half"})[1].ID
		if _, err := cs[1].Append(t.ctx, to("half", e, recs...)); !errors.Is(err, driver.ErrConflict) {
			t.broken("V4", "a stream at version 2, expected %v: error %v", e, err)
		}
		if got := a.head("half"); got != 2 {
			t.broken("A1", "after an append of %d events at %v was refused, the stream is at version %d instead of 2", n, e, got)
		}
	}
	if _, err := a.Append(t.ctx, to("never", driver.Exists, records(n)...)); !errors.Is(err, driver.ErrConflict) {
		t.broken("V4", "a stream that does not exist, expected %v: error %v", driver.Exists, err)
	}
	if got := a.head("never"); got != 0 {
		t.broken("A1", "after an append was refused, its stream is at version %d", got)
	}
	t.noStrangers(a)
	t.listed(a, "L1", driver.ListQuery{}, []string{"half"})
}

// checkWholeAppends lets readers look for a part of an append while writers
// write, and asks for the whole of each at the end.
func checkWholeAppends(t *test) {
	cs := t.openAll(4)
	n := t.batch(5)
	stop := make(chan struct{})
	var readers sync.WaitGroup
	cs[0].append("whole", driver.NoStream, batchOf(n)...)
	for i := range 4 {
		readers.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(i), 7))
			head := driver.Version(0)
			for looking := true; looking; {
				select {
				case <-stop:
					return
				case <-time.After(time.Millisecond):
				}
				head, looking = lookForParts(cs[i], "whole", n, head, rng)
			}
		})
	}
	deadline := time.Now().Add(t.span())
	t.together(8, func(i int) {
		c := cs[i%len(cs)]
		for k := 0; k < 100 && (k < 5 || time.Now().Before(deadline)); k++ {
			if _, err := c.appendSurely(to("whole", driver.Any, batchOf(n)...)); err != nil {
				t.wrong("A1", "Append: %v", err)
				return
			}
			time.Sleep(time.Millisecond)
		}
	})
	close(stop)
	readers.Wait()
	rng := rand.New(rand.NewPCG(1, 7))
	for range 50 { // with nothing behind the last append
		lookForParts(cs[1], "whole", n, cs[0].head("whole"), rng)
	}
	got := cs[0].stream(driver.StreamQuery{Stream: "whole"})
	for i := range got {
		if first := i - i%n; string(got[i].Metadata) != string(got[first].Metadata) {
			t.broken("A1", "appends of %d events: version %d is of another append than version %d", n, got[i].Version, got[first].Version)
		}
	}
	if len(got)%n != 0 {
		t.broken("A1", "appends of %d events have left %d in the stream", n, len(got))
	}
	cs[0].whole(0)
}

// batchOf returns n records that carry the id of the first.
func batchOf(n int) []driver.Record {
	recs := records(n)
	for i := range recs {
		recs[i].Metadata = []byte(recs[0].ID.String())
	}
	return recs
}

// lookForParts reads a page of a stream that is written n events at a time and
// was at version head before. Where the page ends within an append, the next call
// has to return more of it. It returns the head, and false at an error.
func lookForParts(c *client, stream string, n int, head driver.Version, rng *rand.Rand) (driver.Version, bool) {
	t := c.t
	q := driver.StreamQuery{Stream: stream, Limit: rng.IntN(2 * n), Backward: rng.IntN(2) == 0}
	if head > 0 && rng.IntN(3) > 0 { // near the head, where others write
		q.From = max(head, 8) - driver.Version(rng.IntN(8))
	}
	page, err := c.ReadStream(t.ctx, q)
	if err != nil {
		t.wrong("S7", "ReadStream: %v", err)
		return 0, false
	}
	top := driver.Version(0) // the last version that the page shows
	for _, r := range page.Records {
		top = max(top, r.Version)
	}
	for top%driver.Version(n) != 0 {
		next, err := c.ReadStream(t.ctx, driver.StreamQuery{Stream: stream, From: top + 1})
		if err != nil || len(next.Records) == 0 {
			t.wrong("S7", "a page of appends of %d events ends at version %d, and the next call returns nothing: %s, error %v", n, top, brief(next), err)
			return 0, false
		}
		top = next.Records[len(next.Records)-1].Version
	}
	return page.Head, true
}

// streamCount is how many streams an append of the checks goes to.
func (t *test) streamCount(n int) int { return min(n, t.caps.MaxStreams, t.batch(n)) }

func checkAppendToStreams(t *test) {
	cs := t.openAll(2)
	a, b := cs[0], cs[1]
	n := t.streamCount(4)
	bad := []struct {
		name     string
		make     func(stream string)
		expected driver.Expected
		err      error
	}{
		{"exact", func(s string) { a.fill(s, 0, 2) }, 1, driver.ErrConflict},
		{"ahead", func(s string) { a.fill(s, 0, 2) }, 3, driver.ErrConflict},
		{"there", func(s string) { a.fill(s, 0, 1) }, driver.NoStream, driver.ErrConflict},
		{"missing", func(string) {}, driver.Exists, driver.ErrConflict},
		{"unborn", func(string) {}, 5, driver.ErrConflict},
		{"closed", func(s string) { a.fill(s, 0, 1); a.delete(s, driver.Tombstone) }, driver.Any, driver.ErrStreamDeleted},
	}
	for _, c := range bad {
		for at := range n {
			var parts []driver.Part
			heads := map[string]driver.Version{}
			for i := range n {
				p := driver.Part{Stream: fmt.Sprintf("%s-%d-%d", c.name, at, n-i), Expected: driver.Any, Records: records(1)}
				if i == at {
					p.Expected = c.expected
					c.make(p.Stream)
				} else if i%2 == 0 {
					a.append(p.Stream, driver.NoStream, record())
					p.Expected = 1
				}
				heads[p.Stream] = a.head(p.Stream)
				parts = append(parts, p)
			}
			_, err := b.Append(t.ctx, toEach(parts...))
			if !errors.Is(err, c.err) {
				t.broken("A2", "part %d of %d is %q: error %v", at, n, c.name, err)
			}
			if e, ok := errors.AsType[*driver.ConflictError](err); ok && e.Stream != parts[at].Stream {
				t.broken("V4", "part %d does not hold, and the conflict names stream %q: %v", at, e.Stream, err)
			}
			for stream, head := range heads {
				if got := a.head(stream); got != head {
					t.broken("A2", "part %d of %d (%q) stopped the append, and stream %q went from version %d to %d", at, n, c.name, stream, head, got)
				}
			}
		}
	}
	t.noStrangers(a)
}

// checkTransfers lets workers write to two streams of a few at a time, in either
// order: each pair is in both streams or in neither, and nothing blocks for good.
func checkTransfers(t *test) {
	cs := t.openAll(4)
	const accounts = 4
	name := func(i int) string { return fmt.Sprint("account-", i) }
	for i := range accounts {
		cs[0].append(name(i), driver.NoStream, record())
	}
	var mu sync.Mutex
	outcome := map[string]bool{} // by the id that a pair carries
	deadline := time.Now().Add(t.span())
	t.together(8, func(w int) {
		c := cs[w%len(cs)]
		rng := rand.New(rand.NewPCG(uint64(w), 3))
		for k := 0; k < 60 && (k < 5 || time.Now().Before(deadline)); k++ {
			from := rng.IntN(accounts)
			into := (from + 1 + rng.IntN(accounts-1)) % accounts
			recs := batchOf(2)
			req := toEach(driver.Part{Stream: name(from), Expected: driver.Any, Records: recs[:1]}, driver.Part{Stream: name(into), Expected: driver.Any, Records: recs[1:]})
			if k%2 == 0 {
				for i := range req.Parts {
					page, err := c.ReadStream(t.ctx, driver.StreamQuery{Stream: req.Parts[i].Stream, Backward: true, Limit: 1})
					if err != nil {
						t.wrong("A2", "ReadStream: %v", err)
						return
					}
					req.Parts[i].Expected = driver.Exactly(page.Head)
				}
				time.Sleep(time.Duration(rng.IntN(500)) * time.Microsecond) // others come between
			}
			_, err := c.appendSurely(req)
			if err != nil && !errors.Is(err, driver.ErrConflict) {
				t.wrong("A2", "an append to two streams: %v", err)
				return
			}
			mu.Lock()
			outcome[recs[0].ID.String()] = err == nil
			mu.Unlock()
			time.Sleep(time.Duration(rng.IntN(1000)) * time.Microsecond)
		}
	})
	count := map[string]int{}
	for i := range accounts {
		for _, r := range cs[0].stream(driver.StreamQuery{Stream: name(i)}) {
			count[string(r.Metadata)]++
		}
	}
	for pair, ok := range outcome {
		if n := count[pair]; ok && n != 2 || !ok && n != 0 {
			t.broken("A2", "an append to two streams was acknowledged: %t; of its 2 events %d are stored", ok, n)
		}
	}
	cs[0].whole(0)
}

func checkAppendResult(t *test) {
	cs := t.openAll(2)
	a, b := cs[0], cs[1]
	heads := map[string]driver.Version{"m": 2}
	a.fill("m", 0, 2)
	reqs := []driver.AppendRequest{
		to("z", driver.NoStream, records(t.batch(3))...),
		to("z", driver.Any, records(t.batch(2))...),
		to("m", driver.Exists, records(1)...),
	}
	if n := t.streamCount(4); n > 1 {
		parts := []driver.Part{
			{Stream: "y", Expected: driver.NoStream, Records: records(1)},
			{Stream: "m", Expected: driver.Exists, Records: records(1)},
			{Stream: "z", Expected: driver.Any, Records: records(1)},
			{Stream: "b", Expected: driver.Any, Records: records(1)},
		}[:n]
		if room := t.batch(7) - n; room > 0 {
			parts[0].Records = records(1 + min(room, 3))
		}
		reqs = append(reqs, toEach(parts...))
	}
	last := map[place]driver.Position{}
	for _, req := range reqs {
		res, err := b.Append(t.ctx, req)
		t.must(err)
		for i, p := range req.Parts {
			want := driver.Appended{First: heads[p.Stream] + 1, Last: heads[p.Stream] + driver.Version(len(p.Records))}
			heads[p.Stream] = want.Last
			got := res.Parts[i]
			if got.First != want.First || got.Last != want.Last {
				t.broken("A3", "part %d, %d events to stream %q at version %d, returned %s", i, len(p.Records), p.Stream, want.First-1, brief(got))
			}
			last[place{p.Stream, got.Last}] = got.Position
		}
	}
	for _, r := range a.whole(0) {
		if pos := last[place{r.Stream, r.Version}]; pos != 0 && pos != r.Position {
			t.broken("A3", "the position of version %d of stream %q is %d, and Append returned %d for its part", r.Version, r.Stream, r.Position, pos)
		}
	}
}

func checkVersionParts(t *test) {
	cs := t.openAll(2)
	a, b := cs[0], cs[1]
	a.fill("three", 0, 3)
	a.fill("closed", 0, 1)
	a.delete("closed", driver.Tombstone)
	cases := []struct {
		stream   string
		expected driver.Expected
		err      error
	}{
		{"three", 3, nil}, {"three", driver.Exists, nil}, {"none", driver.NoStream, nil},
		{"three", 2, driver.ErrConflict}, {"three", 4, driver.ErrConflict}, {"three", driver.NoStream, driver.ErrConflict},
		{"none", 1, driver.ErrConflict}, {"none", driver.Exists, driver.ErrConflict},
		{"closed", 2, driver.ErrStreamDeleted}, {"closed", driver.NoStream, driver.ErrStreamDeleted}, {"closed", driver.Exists, driver.ErrStreamDeleted},
	}
	streams := []string{"closed", "three"}
	for i, c := range cases {
		for _, first := range []bool{true, false} {
			stream := fmt.Sprintf("with-%d-%t", i, first)
			parts := []driver.Part{{Stream: c.stream, Expected: c.expected}, {Stream: stream, Expected: driver.NoStream, Records: records(1)}}
			if !first {
				slices.Reverse(parts)
			}
			_, err := b.Append(t.ctx, toEach(parts...))
			if c.err == nil {
				if err != nil {
					t.broken("A4", "a part that only checks that stream %q is at %v, which it is: %v", c.stream, c.expected, err)
				}
				streams = append(streams, stream)
				continue
			}
			if !errors.Is(err, c.err) {
				t.broken("A4", "a part that only checks that stream %q is at %v: error %v instead of %v", c.stream, c.expected, err, c.err)
			}
			if got := a.head(stream); got != 0 {
				t.broken("A4", "a part that only checks stream %q failed, and stream %q beside it is at version %d", c.stream, stream, got)
			}
		}
	}
	if t.caps.MaxStreams > 2 { // each of several is looked at
		for i := range 3 {
			parts := []driver.Part{{Stream: "three", Expected: 3}, {Stream: "none", Expected: driver.Exists}, {Stream: "with-two", Expected: driver.NoStream, Records: records(1)}}
			parts = append(parts[i:], parts[:i]...)
			if _, err := b.Append(t.ctx, toEach(parts...)); !errors.Is(err, driver.ErrConflict) {
				t.broken("A4", "of two parts that only check a version one does not hold: error %v", err)
			}
		}
		if got := a.head("with-two"); got != 0 {
			t.broken("A4", "a part that only checks a version failed, and stream %q beside it is at version %d", "with-two", got)
		}
	}
	if got := a.head("three"); got != 3 {
		t.broken("A4", "parts without records took stream %q from version 3 to %d", "three", got)
	}
	slices.Sort(streams)
	t.listed(a, "L1", driver.ListQuery{}, streams) // "none" is not among them
	t.noStrangers(a)
}

// checkWriteSkew runs appends in pairs of which each checks what the other
// writes.
func checkWriteSkew(t *test) {
	cs := t.openAll(2)
	for round := range t.scale(40) {
		streams := [2]string{fmt.Sprint("left-", round), fmt.Sprint("right-", round)}
		expected := driver.NoStream
		if round%2 == 1 {
			for _, s := range streams {
				cs[0].append(s, driver.NoStream, record())
			}
			expected = driver.Exactly(1)
		}
		var errs [2]error
		t.together(2, func(i int) {
			parts := []driver.Part{{Stream: streams[i], Expected: driver.Any, Records: records(1)}, {Stream: streams[1-i], Expected: expected}}
			if round%4 > 1 {
				slices.Reverse(parts)
			}
			_, errs[i] = cs[i].appendSurely(toEach(parts...))
		})
		for _, err := range errs {
			if err != nil && !errors.Is(err, driver.ErrConflict) {
				t.broken("A4", "an append that checks another stream: %v", err)
			}
		}
		if errs[0] == nil && errs[1] == nil {
			t.broken("A4", "two concurrent appends, each to one of %q under the condition that the other is at %v, both succeeded", streams, expected)
		}
	}
	t.noStrangers(cs[0])
}

func checkVisible(t *test) {
	cs := t.openAll(4)
	for i := range t.scale(20) {
		stream := fmt.Sprint("visible-", i%3)
		recs := records(t.batch(2))
		writer := cs[i%len(cs)]
		a := writer.append(stream, driver.Any, recs...)
		for _, reader := range cs {
			got, err := reader.tryStream(driver.StreamQuery{Stream: stream, From: a.First})
			if err != nil || len(got) != len(recs) || got[0].ID != recs[0].ID {
				t.broken("A5", "client %d appended %s, and client %d then reads %s, error %v", writer.n, brief(a), reader.n, briefRecords(got), err)
			}
		}
	}
	// The same beside other writers.
	t.together(8, func(i int) {
		for range t.scale(20) {
			recs := records(1)
			res, err := cs[i%len(cs)].appendSurely(to(fmt.Sprint("busy-", i%3), driver.Any, recs...))
			if err != nil {
				t.wrong("A5", "Append: %v", err)
				return
			}
			got, err := cs[(i+1)%len(cs)].ReadStream(t.ctx, driver.StreamQuery{Stream: fmt.Sprint("busy-", i%3), From: res.Parts[0].First, Limit: 1})
			if err != nil || len(got.Records) != 1 || got.Records[0].ID != recs[0].ID {
				t.wrong("A5", "an append returned %s, and another client then reads %s, error %v", brief(res), brief(got), err)
				return
			}
		}
	})
	cs[0].whole(0)
}

// checkDurable closes every client and looks for everything that there was.
func checkDurable(t *test) {
	a := t.open()
	want := t.awkward()
	a.put("lasting", 0, want)
	a.fill("tombstoned", 0, 2)
	a.delete("tombstoned", driver.Tombstone)
	a.fill("purged", 0, 2)
	a.delete("purged", driver.Purge)
	cp := driver.Checkpoint{Name: "reader", Position: 3, SeenAt: 2, SeenID: want[1].ID, Revision: record().ID}
	if cs, ok := a.s.(driver.CheckpointStore); ok {
		t.must(cs.SaveCheckpoint(t.ctx, cp, driver.Revision{}))
	}
	if ss, ok := a.s.(driver.SnapshotStore); ok {
		t.must(ss.SaveSnapshot(t.ctx, snapshot("lasting", "state", 2)))
	}
	before := a.whole(0)
	head, err := a.Head(t.ctx)
	t.must(err)
	t.must(a.Close())

	for i := range 2 {
		b := t.open()
		t.same("A6", "the stream, opened anew", want, b.stream(driver.StreamQuery{Stream: "lasting"}))
		t.same("O2", "the feed, opened anew", before, b.whole(0))
		if got, err := b.Head(t.ctx); err != nil || got != head {
			t.broken("O2", "Head was %d; opened anew it is %d, error %v", head, got, err)
		}
		for _, stream := range []string{"tombstoned", "purged"} {
			if _, err := b.tryStream(driver.StreamQuery{Stream: stream}); !errors.Is(err, driver.ErrStreamDeleted) {
				t.broken("O2", "the deleted stream %q, opened anew: error %v", stream, err)
			}
		}
		t.listed(b, "O2", driver.ListQuery{}, []string{"lasting", "purged", "tombstoned"})
		if _, ok := b.s.(driver.CheckpointStore); ok {
			if got, err := b.LoadCheckpoint(t.ctx, "reader"); err != nil || got != cp {
				t.broken("O2", "the checkpoint, opened anew, is %+v, error %v; it was %+v", got, err, cp)
			}
		}
		if _, ok := b.s.(driver.SnapshotStore); ok {
			got, err := b.LoadSnapshot(t.ctx, "lasting", "state")
			if d := snapshotDifference(snapshot("lasting", "state", 2), got); err != nil || d != "" {
				t.broken("O2", "the snapshot, opened anew: %s, error %v", d, err)
			}
		}
		// What follows goes on where it was.
		next := b.append("lasting", driver.Exactly(want[len(want)-1].Version), record())
		if t.caps.PositionOnAppend && next.Position <= head {
			t.broken("F7", "opened anew, an append got position %d; Head was %d", next.Position, head)
		}
		before = b.whole(0)
		want = ofStream(before, "lasting")
		head, err = b.Head(t.ctx)
		t.must(err)
		if i == 0 {
			t.must(b.Close())
		}
	}
}
