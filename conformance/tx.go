package conformance

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/go-es/es/driver"
)

// A store inside a transaction of the caller's.

var txChecks = []check{
	{"tx/inside", "K1 R1 N1 V2 V3 V4 A4 I1 D6 D7", []need{needInTx}, checkInside},
	{"tx/outside", "K2 A5 A6 F7", []need{needInTx}, checkOutside},
	{"tx/rolled-back", "K3 F5", []need{needInTx}, checkTxRolledBack},
	{"tx/errors", "K6", []need{needInTx}, checkTxErrors},
	{"tx/close", "K7", []need{needInTx}, checkTxClose},
	{"tx/ended", "K8", []need{needInTx}, checkTxEnded},
	{"tx/feed", "K4 F1 F2 F5 F9", []need{needInTx, needHold}, checkTxFeed},
	{"tx/writers", "K4 F1 F2 F5", []need{needInTx, needHold}, checkTxAmongWriters},
	{"tx/race", "K5 V5", []need{needInTx, needHold}, checkTxRace},
}

// inside is a client in a transaction. It has a log of its own, which is held
// against the whole feed once the transaction is committed.
type inside struct {
	*client
	outer         *feedLog
	once          sync.Once
	commit, abort func() // the second that is called does nothing
}

// begin begins a transaction beside a client.
func (t *test) begin(beside *client) *inside {
	t.Helper()
	in := &inside{outer: beside.log}
	s, commit, rollback := t.cfg.InTx(t.TB, t.data())
	in.client = t.adopt(fmt.Sprint(t.data(), "#tx", len(t.clients)), s)
	in.inTx = true
	t.trace.add(traced{in.n, "begin a transaction", nil, nil, nil})
	in.commit = func() { in.ends("commit", commit) }
	in.abort = func() { in.ends("rollback", rollback) }
	t.Cleanup(in.abort) // of a check that failed, or a client would wait for it
	return in
}

// ends ends the transaction, unless that was done, and tells the log of the others.
func (in *inside) ends(how string, end func() error) {
	in.once.Do(func() {
		t, back := in.t, how == "rollback"
		begin := t.now()
		err := end()
		t.trace.add(traced{in.n, how, nil, nil, err})
		if err != nil {
			t.wrong(map[bool]string{false: "K2", true: "K3"}[back], "the %s of a transaction in which nothing failed: %v", how, err)
			return
		}
		in.outer.take(in.log, begin, t.now(), back)
	})
}

// take adds what a transaction did, which has ended, and what its reader saw.
func (l *feedLog) take(tx *feedLog, settle, end time.Duration, back bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	tx.mu.Lock()
	defer tx.mu.Unlock()
	for _, w := range tx.writes {
		if w.err == nil {
			w.client, w.settle, w.end, w.back, w.inTx = 0, settle, end, back, true
			l.writes = append(l.writes, w)
		}
	}
	if back {
		return
	}
	l.raise(driver.Position(tx.high.Load()))
	l.pages = append(l.pages, tx.pages...)
	for p, id := range tx.acked {
		l.acked[p] = id
	}
	for p, pos := range tx.positions {
		l.positions[p] = pos
	}
	for s := range tx.purged {
		l.purged[s] = true
	}
	for s, v := range tx.closed {
		l.closed[s] = v
		first(l.closedAt, s, end)
	}
	for s := range tx.erasedAt {
		first(l.erasedAt, s, end)
	}
}

// tries makes a call that has to fail with an error of the contract.
func (in *inside) tries(rule, what string, want error, call func() error) {
	t := in.t
	t.Helper()
	if err := call(); !errors.Is(err, want) {
		t.broken(rule, "in a transaction, %s: error %v instead of %q", what, err, want)
	}
}

func (in *inside) tryAppend(req driver.AppendRequest) func() error {
	return func() error { _, err := in.Append(in.t.ctx, req); return err }
}

func (in *inside) tryDelete(req driver.DeleteRequest) func() error {
	return func() error { _, err := in.Delete(in.t.ctx, req); return err }
}

func (in *inside) tryRead(stream string) func() error {
	return func() error { _, err := in.tryStream(driver.StreamQuery{Stream: stream}); return err }
}

// reads is stream, where an error breaks K1.
func (c *client) reads(where string, q driver.StreamQuery) []driver.Record {
	c.t.Helper()
	recs, err := c.tryStream(q)
	if err != nil {
		c.t.broken("K1", "%s, stream %.60q, which the transaction wrote or found: %v", where, q.Stream, err)
	}
	return recs
}

// feedSoFar reads the feed, and all of it unless it is held back in a transaction.
func (c *client) feedSoFar() (recs []driver.Record, whole bool) {
	f := follower{c: c, limit: 2}
	for was, tries := f.after, 0; c.inTx; tries++ {
		end, err := f.step()
		c.t.must(err)
		if f.after > was {
			was, tries = f.after, 0
		}
		if end {
			break
		}
		if tries == 20 {
			return f.all, false
		}
	}
	return c.whole(2), true
}

// lists ends the check unless a listing of a client names certain streams, and
// others not.
func (t *test) lists(c *client, rule, when string, with, without []string) {
	t.Helper()
	var odd string
	t.eventually(func() bool {
		odd = ""
		all := c.list(driver.ListQuery{})
		names := func(s string) bool {
			return slices.ContainsFunc(all, func(i driver.StreamInfo) bool { return i.Stream == s })
		}
		for _, s := range with {
			if !names(s) {
				odd = fmt.Sprintf("does not name stream %.60q", s)
			}
		}
		for _, s := range without {
			if names(s) {
				odd = fmt.Sprintf("names stream %.60q", s)
				return true
			}
		}
		return odd == "" || !t.caps.ListLag
	})
	if odd != "" {
		t.broken(rule, "%s, ListStreams %s", when, odd)
	}
}

// checkInside does in a transaction what can be done, and reads it there and, once
// it is committed, outside.
func checkInside(t *test) {
	cs := t.openAll(2)
	a, b := cs[0], cs[1]
	for round := range t.scale(3) {
		name := func(s string) string { return fmt.Sprint(s, "-", round) }
		old := a.fill(name("old"), 0, 3)
		sent := records(t.batch(2))
		first := a.append(name("sent"), driver.NoStream, sent...)
		tombstoned := a.fill(name("tombstoned"), 0, 2)
		a.fill(name("purged"), 0, 3)
		in := t.begin(a)

		t.same("K1", "in a transaction, a stream that was there", old, in.reads("in a transaction", driver.StreamQuery{Stream: name("old")}))
		more := in.fill(name("old"), 3, 4)
		made := in.fill(name("new"), 0, 5)
		last := record()
		in.append(name("new"), driver.Any, last)
		last.Stream, last.Version = name("new"), 6
		made = append(made, last)
		last = record()
		in.append(name("new"), driver.Exists, last)
		last.Stream, last.Version = name("new"), 7
		made = append(made, last)

		// What it was given before is recognised, within it and from before it.
		again := records(t.batch(2))
		were := in.append(name("new"), 7, again...)
		in.append(name("new"), driver.Any, record())
		res, err := in.Append(t.ctx, to(name("new"), 7, again...))
		if err != nil || res.Parts[0] != were {
			t.broken("I1", "in a transaction, an append that was made in it is sent again: %s, error %v, and before that %s", brief(res), err, brief(were))
		}
		res, err = in.Append(t.ctx, to(name("sent"), driver.NoStream, sent...))
		if err != nil || res.Parts[0].First != first.First || res.Parts[0].Last != first.Last {
			t.broken("I1", "in a transaction, an append that was made before it is sent again: %s, error %v, and before that %s", brief(res), err, brief(first))
		}
		all := in.reads("in a transaction", driver.StreamQuery{Stream: name("new")})
		if len(all) != len(made)+len(again)+1 {
			t.broken("K1", "in a transaction, %d records of a stream to which it has appended %d", len(all), len(made)+len(again)+1)
		}
		t.same("K1", "in a transaction, a stream that it has made", made, all[:len(made)])
		made = all
		if t.caps.MaxStreams > 2 && t.batch(3) > 2 {
			res, err := in.Append(t.ctx, toEach(
				driver.Part{Stream: name("part-1"), Expected: driver.NoStream, Records: records(1)},
				driver.Part{Stream: name("old"), Expected: 7},
				driver.Part{Stream: name("part-2"), Expected: driver.Any, Records: records(1)},
			))
			t.must(err)
			if res.Parts[0].Last != 1 || res.Parts[2].Last != 1 {
				t.broken("K1", "in a transaction, an append to two new streams: %s", brief(res))
			}
			in.tries("A4", "an append with a check of a version that does not hold", driver.ErrConflict, in.tryAppend(toEach(
				driver.Part{Stream: name("part-1"), Expected: 1, Records: records(1)},
				driver.Part{Stream: name("old"), Expected: 3},
			)))
		}
		in.tries("V2", "an append at a version that the transaction has passed", driver.ErrConflict, in.tryAppend(to(name("new"), 2, record())))
		in.tries("V2", "an append at NoStream to a stream that it has made", driver.ErrConflict, in.tryAppend(to(name("new"), driver.NoStream, record())))
		in.tries("V3", "an append at Exists to a missing stream", driver.ErrConflict, in.tryAppend(to(name("missing"), driver.Exists, record())))
		in.tries("K1", "a missing stream", driver.ErrStreamNotFound, in.tryRead(name("missing")))

		// Deletes.
		gone := deletion(name("tombstoned"), 2, driver.Tombstone)
		deleted, err := in.Delete(t.ctx, gone)
		t.must(err)
		if got, err := in.Delete(t.ctx, gone); err != nil || got != deleted {
			t.broken("D6", "in a transaction, a delete that was made in it is sent again: %s, error %v, and before that %s", brief(got), err, brief(deleted))
		}
		in.delete(name("purged"), driver.Purge)
		in.tries("D7", "a delete of a missing stream", driver.ErrStreamNotFound, in.tryDelete(deletion(name("missing"), driver.Any, driver.Tombstone)))
		for _, s := range []string{name("tombstoned"), name("purged")} {
			in.tries("K1", "a stream that it has deleted", driver.ErrStreamDeleted, in.tryRead(s))
			in.tries("K1", "an append to a stream that it has deleted", driver.ErrStreamDeleted, in.tryAppend(to(s, driver.Any, record())))
		}
		tombstone := gone.Record
		tombstone.Stream, tombstone.Version = gone.Stream, 3
		tombstoned = append(tombstoned, tombstone)

		t.lists(in.client, "K1", "in a transaction", []string{name("old"), name("new"), name("purged")}, []string{name("missing")})
		want := map[string][]driver.Record{name("old"): append(old, more...), name("new"): made, name("tombstoned"): tombstoned}
		if round == 0 {
			in.oddities(want)
		}
		look := func(c *client, where string) {
			t.Helper()
			for s, recs := range want {
				t.same("K1", where+", a stream", recs, c.reads(where, driver.StreamQuery{Stream: s, Deleted: true}))
				back := slices.Clone(recs)
				slices.Reverse(back)
				t.same("K1", where+", a stream backward", back, c.reads(where, driver.StreamQuery{Stream: s, Deleted: true, Backward: true, Limit: 3}))
			}
			if recs := c.reads(where, driver.StreamQuery{Stream: name("purged"), Deleted: true}); len(recs) != 1 || recs[0].Type != driver.TypeDeleted {
				t.broken("K1", "%s, a stream that was purged in it has %d records", where, len(recs))
			}
			feed, whole := c.feedSoFar()
			for s, recs := range want {
				got := ofStream(feed, s)
				if !whole {
					recs = recs[:min(len(got), len(recs))]
				}
				t.same("K1", where+", a stream in the feed", recs, got)
			}
		}
		look(in.client, "in a transaction")
		in.commit()
		look(b, "after the commit")
		t.noStrangers(a)
	}
}

// oddities appends records that are easily changed, and to streams whose names are
// easily taken for each other, and adds to want what is to be read.
func (in *inside) oddities(want map[string][]driver.Record) {
	t := in.t
	t.Helper()
	awkward := smallOf(t.awkward())
	in.put("awkward", 0, awkward)
	want["awkward"] = awkward
	for i, name := range confusable() {
		r := record()
		r.Type, r.Tags = name, []string{name}
		if _, err := in.Append(t.ctx, to(name, driver.NoStream, r)); err != nil {
			t.broken("N1", "in a transaction, the first append to stream %q, beside names that are nearly the same: %v", name, err)
		}
		r.Stream, r.Version = name, 1
		want[name] = []driver.Record{r}
		if i%2 == 0 {
			continue
		}
		d := deletion(name, 1, driver.Tombstone)
		_, err := in.Delete(t.ctx, d)
		t.must(err)
		d.Record.Stream, d.Record.Version = name, 2
		want[name] = append(want[name], d.Record)
	}
}

// checkOutside looks at a transaction from outside, before and after its commit.
func checkOutside(t *test) {
	cs := t.openAll(2)
	for round := range t.scale(5) {
		name := func(s string) string { return fmt.Sprint(s, "-", round) }
		a, b := cs[0], cs[1]
		a.fill(name("old"), 0, 2)
		a.fill(name("gone"), 0, 2)
		snap := driver.Snapshot{Stream: name("gone"), Kind: "state", Version: 2, EventID: record().ID, Encoding: "json", Data: []byte("1")}
		snapshots := implementing[driver.SnapshotStore](a.s)
		if snapshots {
			t.must(a.SaveSnapshot(t.ctx, snap))
		}
		before := len(a.whole(0))
		in := t.begin(a)
		unseen := func(c *client, after string) {
			t.Helper()
			when := "a transaction is open and has " + after
			if got := c.head(name("old")); got != 2 {
				t.broken("K2", "%s; for others the stream is at version %d instead of 2", when, got)
			}
			if got := c.head(name("new")); got != 0 {
				t.broken("K2", "%s; for others a new stream is at version %d", when, got)
			}
			if _, err := c.tryStream(driver.StreamQuery{Stream: name("gone")}); err != nil {
				t.broken("K2", "%s; for others the stream that it deletes: %v", when, err)
			}
			if snapshots {
				t.keeps(c, "K2", when+"; for others the snapshot of the stream that it deletes", snap)
			}
			t.lists(c, "K2", when, nil, []string{name("new")})
			page, err := c.ReadAll(t.ctx, driver.FeedQuery{})
			t.must(err)
			recs := page.Records
			for range 3 {
				page, err = c.ReadAll(t.ctx, driver.FeedQuery{After: page.Next})
				t.must(err)
				recs = append(recs, page.Records...)
			}
			if len(recs) > before {
				r := recs[len(recs)-1]
				t.broken("K2", "%s; for others version %d of stream %.60q is in the feed at %d", when, r.Version, r.Stream, r.Position)
			}
		}
		everyone := func(after string) {
			t.Helper()
			unseen(a, after)
			unseen(b, after)
			late := t.other(a)
			unseen(late, after)
			t.must(in.Ping(t.ctx))
		}
		var highest driver.Position
		at := map[string]driver.Appended{}
		does := func(stream string, e driver.Expected, n int) {
			t.Helper()
			at[stream] = in.append(stream, e, records(t.batch(n))...)
			highest = max(highest, at[stream].Position)
		}
		does(name("old"), 2, 3)
		everyone("appended")
		does(name("new"), driver.NoStream, 2)
		at[name("gone")] = in.delete(name("gone"), modes[round%2])
		highest = max(highest, at[name("gone")].Position)
		everyone("appended to two streams and deleted one")
		in.commit()
		for _, c := range cs {
			for stream, want := range at {
				if got := c.head(stream); got != want.Last {
					t.broken("A5", "a transaction was committed; stream %.60q is at version %d, and its append returned %d", stream, got, want.Last)
				}
			}
			c.whole(0) // at the positions that were returned
		}
		if after := b.append("after", driver.Any, record()); t.caps.PositionOnAppend && after.Position <= highest {
			t.broken("F7", "an append began after the commit of a transaction that has an event at %d, and is at %d", highest, after.Position)
		}
		if t.cfg.Volatile {
			continue
		}
		heads := map[string]driver.Version{}
		for stream := range at {
			heads[stream] = a.head(stream)
		}
		for _, c := range t.clients {
			if !c.inTx && !c.closed.Load() {
				t.must(c.Close())
			}
		}
		cs = t.openAll(2)
		for stream, want := range heads {
			if got := cs[0].head(stream); got != want {
				t.broken("A6", "opened anew after the commit of a transaction: stream %.60q is at version %d instead of %d", stream, got, want)
			}
		}
		cs[1].whole(0)
	}
}

// checkTxRolledBack looks for what a rollback leaves, and does all of it again.
func checkTxRolledBack(t *test) {
	cs := t.openAll(2)
	a, b := cs[0], cs[1]
	for round := range t.scale(5) {
		name := func(s string) string { return fmt.Sprint(s, "-", round) }
		want := map[string][]driver.Record{}
		for _, s := range []string{name("old"), name("tombstoned"), name("purged")} {
			want[s] = a.fill(s, 0, 3)
		}
		snap := driver.Snapshot{Stream: name("tombstoned"), Kind: "state", Version: 2, EventID: record().ID, Encoding: "json", Data: []byte("1")}
		snapshots := implementing[driver.SnapshotStore](a.s)
		if snapshots {
			t.must(a.SaveSnapshot(t.ctx, snap))
		}
		reqs := []driver.AppendRequest{to(name("old"), 3, records(t.batch(3))...), to(name("new"), driver.NoStream, records(t.batch(2))...)}
		dels := []driver.DeleteRequest{deletion(name("tombstoned"), 3, driver.Tombstone), deletion(name("purged"), 3, driver.Purge)}
		do := func(c *client) {
			t.Helper()
			for _, req := range reqs {
				if _, err := c.Append(t.ctx, req); err != nil {
					t.broken("K3", "an append to stream %.60q, after %d rollbacks: %v", req.Parts[0].Stream, round+1, err)
				}
			}
			for _, req := range dels {
				if _, err := c.Delete(t.ctx, req); err != nil {
					t.broken("K3", "a delete of stream %.60q, after %d rollbacks: %v", req.Stream, round+1, err)
				}
			}
		}
		in := t.begin(a)
		do(in.client)
		f := follower{c: b}
		_, err := f.step()
		t.must(err)
		in.abort()
		for _, c := range cs {
			for s, recs := range want {
				got, err := c.tryStream(driver.StreamQuery{Stream: s})
				if err != nil {
					t.broken("K3", "a transaction was rolled back; stream %.60q: %v", s, err)
				}
				t.same("K3", "a transaction was rolled back; a stream", recs, got)
			}
			if got := c.head(name("new")); got != 0 {
				t.broken("K3", "a transaction was rolled back; the stream that it made is at version %d", got)
			}
			t.lists(c, "K3", "a transaction was rolled back", nil, []string{name("new")})
			if snapshots {
				t.keeps(c, "K3", "a transaction was rolled back; the snapshot of the stream that it deleted", snap)
			}
		}
		t.agree(a, []*follower{&f})
		t.noStrangers(a)
		do(a)
		b.whole(0)
	}
}

// checkTxErrors makes calls in a transaction that fail, and goes on.
func checkTxErrors(t *test) {
	cs := t.openAll(2)
	a, b := cs[0], cs[1]
	for round := range t.scale(3) {
		name := func(s string) string { return fmt.Sprint(s, "-", round) }
		a.fill(name("old"), 0, 3)
		a.fill(name("closed"), 0, 2)
		a.delete(name("closed"), driver.Tombstone)
		before := a.whole(0)
		in := t.begin(a)
		var n driver.Version
		goesOn := func(what string) {
			t.Helper()
			if _, err := in.Append(t.ctx, to(name("going-on"), driver.Exactly(n), record())); err != nil {
				t.broken("K6", "in a transaction, after %s: an append fails with: %v", what, err)
			}
			n++
		}
		fails := func(what string, want error, call func() error) {
			t.Helper()
			in.tries("K6", what, want, call)
			goesOn(what)
		}
		goesOn("nothing")
		fails("a conflict", driver.ErrConflict, in.tryAppend(to(name("old"), 1, record())))
		fails("a conflict on a new stream", driver.ErrConflict, in.tryAppend(to(name("new"), 4, record())))
		fails("a conflict with what it has done", driver.ErrConflict, in.tryAppend(to(name("going-on"), driver.NoStream, record())))
		fails("an append to a closed stream", driver.ErrStreamDeleted, in.tryAppend(to(name("closed"), driver.Any, record())))
		fails("reading a missing stream", driver.ErrStreamNotFound, in.tryRead(name("missing")))
		fails("reading a closed stream", driver.ErrStreamDeleted, in.tryRead(name("closed")))
		fails("a delete of a missing stream", driver.ErrStreamNotFound, in.tryDelete(deletion(name("missing"), driver.Any, driver.Purge)))
		fails("a delete of a closed stream", driver.ErrStreamDeleted, in.tryDelete(deletion(name("closed"), driver.Any, driver.Tombstone)))
		fails("a delete at another version", driver.ErrConflict, in.tryDelete(deletion(name("old"), 2, driver.Purge)))
		fails("reading the feed from beyond its head", driver.ErrCheckpointAhead, func() error {
			_, err := in.ReadAll(t.ctx, driver.FeedQuery{After: 1 << 62})
			return err
		})
		if t.caps.MaxStreams > 1 && t.batch(2) > 1 {
			fails("an append to two streams, of which the second is at another version", driver.ErrConflict, in.tryAppend(toEach(
				driver.Part{Stream: name("new"), Expected: driver.NoStream, Records: records(1)},
				driver.Part{Stream: name("old"), Expected: 2, Records: records(1)},
			)))
			fails("an append to two streams, of which the second is closed", driver.ErrStreamDeleted, in.tryAppend(toEach(
				driver.Part{Stream: name("old"), Expected: driver.Any, Records: records(1)},
				driver.Part{Stream: name("closed"), Expected: driver.Any, Records: records(1)},
			)))
		}
		look := func(c *client, when string) {
			t.Helper()
			for s, want := range map[string]driver.Version{"going-on": n, "old": 3, "closed": 3, "new": 0, "missing": 0} {
				if got := c.head(name(s)); got != want {
					t.broken("K6", "%s: stream %.60q is at version %d instead of %d", when, name(s), got, want)
				}
			}
			t.lists(c, "K6", when, nil, []string{name("new"), name("missing")})
		}
		look(in.client, "in a transaction, after calls that failed")
		in.commit()
		look(b, "after the commit of a transaction with calls that failed")
		if got, want := len(a.whole(0)), len(before)+int(n); got != want {
			t.broken("K6", "after the commit of a transaction with calls that failed, the feed has %d events instead of %d", got, want)
		}
	}
}

// checkTxClose closes stores in transactions.
func checkTxClose(t *test) {
	a := t.open()
	for round := range t.scale(4) {
		stream := fmt.Sprint("closed-", round)
		in := t.begin(a)
		for name, has := range map[string]bool{
			"CheckpointStore": implementing[driver.CheckpointStore](in.s), "SnapshotStore": implementing[driver.SnapshotStore](in.s),
			"GroupAppender": implementing[driver.GroupAppender](in.s), "Notifier": implementing[driver.Notifier](in.s), "Settler": implementing[driver.Settler](in.s),
		} {
			if has {
				t.broken("K7", "the store in a transaction is a %s", name)
			}
		}
		if d := capsDifference(in.s.Caps(), t.caps); d != "" {
			t.broken("K7", "the store in a transaction claims other Caps: %s", d)
		}
		in.append(stream, driver.NoStream, record())
		for range 2 {
			if err := in.Close(); err != nil {
				t.broken("K7", "Close of a store in a transaction: %v", err)
			}
		}
		if got := a.head(stream); got != 0 {
			t.broken("K7", "after Close of a store in a transaction others see what was not committed, at version %d", got)
		}
		if _, err := in.Append(t.ctx, to(stream, 1, record())); err != nil {
			t.broken("K7", "an append after Close of a store in a transaction: %v", err)
		}
		var want driver.Version
		if round%2 == 0 {
			in.commit()
			want = 2
		} else {
			in.abort()
		}
		if got := a.head(stream); got != want {
			t.broken("K7", "a store in a transaction was closed and then the transaction ended; its stream is at version %d instead of %d", got, want)
		}
	}
	a.whole(0)
}

// checkTxEnded calls stores whose transactions have ended.
func checkTxEnded(t *test) {
	a := t.open()
	a.fill("there", 0, 2)
	for round := range t.scale(4) {
		in := t.begin(a)
		in.append("ended", driver.Any, record())
		if round%2 == 0 {
			in.commit()
		} else {
			in.abort()
		}
		was, there := a.head("ended"), len(a.whole(0))
		for name, call := range map[string]func() error{
			"Append":      func() error { _, err := in.s.Append(t.ctx, to("ended", driver.Any, record())); return err },
			"Delete":      func() error { _, err := in.s.Delete(t.ctx, deletion("there", driver.Any, driver.Purge)); return err },
			"ReadStream":  func() error { _, err := in.s.ReadStream(t.ctx, driver.StreamQuery{Stream: "there"}); return err },
			"ReadAll":     func() error { _, err := in.s.ReadAll(t.ctx, driver.FeedQuery{}); return err },
			"Head":        func() error { _, err := in.s.Head(t.ctx); return err },
			"ListStreams": func() error { _, err := in.s.ListStreams(t.ctx, driver.ListQuery{}); return err },
			"Ping":        func() error { return in.s.Ping(t.ctx) },
		} {
			err := call()
			t.trace.add(traced{in.n, name, nil, nil, err})
			if err == nil {
				t.broken("K8", "%s succeeds in a transaction that has ended", name)
			}
			in.lookAtTransient(name, err)
		}
		if got := a.head("ended"); got != was {
			t.broken("K8", "calls in a transaction that had ended took a stream from version %d to %d", was, got)
		}
		if got := len(a.whole(0)); got != there || a.head("there") != 2 {
			t.broken("K8", "calls in a transaction that had ended took the feed from %d events to %d", there, got)
		}
	}
}

// checkTxFeed reads the feed while a transaction is open that began before others
// appended, and appends again after them.
func checkTxFeed(t *test) {
	cs := t.openAll(2)
	a, b := cs[0], cs[1]
	for round := range t.scale(6) {
		a.append("before", driver.Any, record())
		in := t.begin(a)
		in.append(fmt.Sprint("early-", round), driver.NoStream, records(t.batch(3))...)
		last := record()
		after := a.append("between", driver.Any, last)
		in.append(fmt.Sprint("late-", round), driver.NoStream, record())
		a.append("between", driver.Any, record())
		f, within := follower{c: b, limit: round % 3}, follower{c: in.client}
		for range 20 {
			end, err := f.step()
			t.must(err)
			got := slices.ContainsFunc(f.all, func(r driver.Record) bool { return r.Position == after.Position })
			if end && t.caps.PositionOnAppend && !got {
				lost := b.lost("F9", place{"between", after.Last}, last.ID, f.after)
				lost.seen = fmt.Sprintf("a transaction is open; an append that was acknowledged at %d beside it is not returned, and the page that ends at %d is the End", after.Position, f.after)
				t.exposed(b.log, f.all, lost)
			}
			_, err = within.step()
			t.must(err)
			time.Sleep(time.Millisecond)
		}
		if round%2 == 0 {
			in.commit()
		} else {
			in.abort()
		}
		t.agree(a, []*follower{&f})
	}
	t.noStrangers(a)
}

// checkTxAmongWriters has transactions open for some time, again and again, while
// others write and read.
func checkTxAmongWriters(t *test) {
	cs := t.openAll(4)
	s := t.start(cs, 6)
	wait := s.readers(cs)
	var wg sync.WaitGroup
	for w := range 3 {
		// The hook may call Fatalf, which has to be on this goroutine: begin here.
		var ins [2]*inside
		for i := range ins {
			ins[i] = t.begin(cs[0])
		}
		wg.Go(func() {
			for i, in := range ins {
				for k := range 3 {
					if _, err := in.Append(t.ctx, to(fmt.Sprint("tx-", w, "-", i, "-", k%2), driver.Any, records(t.batch(2))...)); err != nil {
						t.wrong("K4", "an append in a transaction, to a stream of its own: %v", err)
					}
					time.Sleep(time.Duration(5*(w+1)) * time.Millisecond)
				}
				if (w+i)%2 == 0 {
					in.commit()
				} else {
					in.abort()
				}
			}
		})
		time.Sleep(t.span() / 8)
	}
	wg.Wait()
	s.wait()
	t.agree(cs[0], wait())
}

// checkTxRace lets two transactions and an append come to one version of a stream.
func checkTxRace(t *test) {
	cs := t.openAll(2)
	a, b := cs[0], cs[1]
	for round := range t.scale(8) {
		stream := fmt.Sprint("race-", round%3)
		at := driver.Exactly(a.head(stream))
		first, second := t.begin(a), t.begin(a)
		second.faulty = true // a database may find the two in each other's way
		first.append(stream, at, records(t.batch(2))...)
		stored := make([]bool, 2)
		reqs := []driver.AppendRequest{to(stream, at, record()), to(stream, at, record())}
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, err := second.Append(t.ctx, reqs[0]); err != nil {
				second.abort()
				return
			}
			stored[0] = true
			second.commit()
		})
		wg.Go(func() {
			_, err := b.Append(t.ctx, reqs[1])
			if stored[1] = err == nil; err != nil && !errors.Is(err, driver.ErrConflict) {
				t.wrong("K5", "an append at a version of a stream at which transactions append, too: %v", err)
			}
		})
		time.Sleep(time.Duration(round%3) * 5 * time.Millisecond)
		committed := round%2 == 0
		if committed {
			first.commit()
		} else {
			first.abort()
		}
		wg.Wait()
		n := 0
		for _, s := range append(stored, committed) {
			if s {
				n++
			}
		}
		if n != 1 {
			t.broken("V5", "two transactions and an append at version %d of stream %.60q: %d of them are said to be stored", at, stream, n)
		}
		got := a.stream(driver.StreamQuery{Stream: stream, From: driver.Version(at) + 1})
		if len(got) == 0 {
			t.broken("K5", "two transactions and an append at version %d of stream %.60q: one of them is said to be stored, and nothing is", at, stream)
		}
		for i, req := range reqs {
			if is := got[0].ID == req.Parts[0].Records[0].ID; is != stored[i] {
				t.broken("K5", "two transactions and an append at version %d of stream %.60q: %s is stored: %t, and it was said that it is: %t", at, stream, [...]string{"the second transaction", "the append"}[i], is, stored[i])
			}
		}
		t.noStrangers(b)
	}
}
