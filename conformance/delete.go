package conformance

import (
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/go-es/es/driver"
)

var deleteChecks = []check{
	{"delete/closes", "D1", nil, checkDeleteCloses},
	{"delete/read", "D2", nil, checkReadDeleted},
	{"delete/purge", "D3", nil, checkPurge},
	{"delete/purge-closed", "D4", nil, checkPurgeClosed},
	{"delete/taken", "D5 I8", nil, checkTaken},
	{"delete/again", "D6", nil, checkDeleteAgain},
	{"delete/expected", "D7 V4", nil, checkDeleteExpected},
	{"delete/snapshots", "D8 P4", []need{needSnapshots}, checkDeleteSnapshots},
	{"delete/race", "D1 D3 V5", nil, checkDeleteRace},
	{"delete/readers", "D3 F1", nil, checkPurgeUnderReaders},
}

var modes = []driver.DeleteMode{driver.Tombstone, driver.Purge}

func modeName(m driver.DeleteMode) string {
	if m == driver.Purge {
		return "purged"
	}
	return "tombstoned"
}

func checkDeleteCloses(t *test) {
	cs := t.openAll(2)
	a, b := cs[0], cs[1]
	for _, mode := range modes {
		stream := modeName(mode)
		a.fill(stream, 0, 3)
		a.fill(stream+"-2", 0, 1) // a neighbour, which stays
		b.stream(driver.StreamQuery{Stream: stream})
		b.stream(driver.StreamQuery{Stream: stream, Limit: 1}) // this client has seen it open
		req := deletion(stream, 3, mode)
		req.Record.Data, req.Record.Metadata, req.Record.Tags = []byte("\x00why\xff"), []byte(" who\x00\xfe"), []string{"tag", " tag "}
		got, err := a.Delete(t.ctx, req)
		t.must(err)
		if got.First != 4 || got.Last != 4 {
			t.broken("D1", "a stream at version 3 was %s, and Delete returned %s", stream, brief(got))
		}
		want := req.Record
		want.Stream, want.Version = stream, 4
		last := a.stream(driver.StreamQuery{Stream: stream, Deleted: true, From: 4})
		t.same("D1", "the last record of the stream", []driver.Record{want}, last)
		inFeed := ofStream(b.whole(0), stream)
		if len(inFeed) == 0 {
			t.broken("D1", "the record of the delete is not in the feed")
		}
		t.same("D1", "the last record of the stream in the feed", []driver.Record{want}, inFeed[len(inFeed)-1:])
		for _, c := range cs {
			for _, e := range []driver.Expected{driver.NoStream, 1, 3, 4, 5, driver.Any, driver.Exists} {
				closed(t, c, fmt.Sprintf("Append at %v", e), stream, func() error {
					_, err := c.Append(t.ctx, to(stream, e, record()))
					return err
				})
				closed(t, c, fmt.Sprintf("a second Delete at %v", e), stream, func() error {
					_, err := c.Delete(t.ctx, deletion(stream, e, driver.Tombstone))
					return err
				})
			}
			for _, q := range []driver.StreamQuery{{}, {Limit: 1}, {From: 2, Limit: 1}, {From: 4}, {From: 5}, {From: 100}, {Backward: true}, {Backward: true, From: 1}} {
				q.Stream = stream
				closed(t, c, "ReadStream("+brief(q)+")", stream, func() error {
					_, err := c.ReadStream(t.ctx, q)
					return err
				})
			}
			if got := c.head(stream); got != 4 {
				t.broken("D1", "a closed stream went from version 4 to %d", got)
			}
			if got := c.head(stream + "-2"); got != 1 {
				t.broken("D1", "stream %q beside the deleted one is at version %d instead of 1", stream+"-2", got)
			}
			if _, err := c.tryStream(driver.StreamQuery{Stream: stream + "-2"}); err != nil {
				t.broken("D1", "stream %q beside the deleted one: %v", stream+"-2", err)
			}
		}
	}
	t.noStrangers(a)
}

func closed(t *test, c *client, what, stream string, f func() error) {
	t.Helper()
	err := f()
	if e, ok := errors.AsType[*driver.StreamError](err); !ok || e.Stream != stream || !errors.Is(err, driver.ErrStreamDeleted) {
		t.broken("D1", "client %d, %s on a closed stream: error %v", c.n, what, err)
	}
}

func checkReadDeleted(t *test) {
	cs := t.openAll(2)
	a := cs[0]
	want := a.fill("gone", 0, 4)
	req := deletion("gone", driver.Any, driver.Tombstone)
	_, err := a.Delete(t.ctx, req)
	t.must(err)
	last := req.Record
	last.Stream, last.Version = "gone", 5
	want = append(want, last)
	for _, limit := range []int{0, 1, 2, 5} {
		for from := range driver.Version(7) {
			q := driver.StreamQuery{Stream: "gone", Deleted: true, From: from, Limit: limit}
			t.deletedIs(cs[1], q, want[min(max(int(from), 1)-1, 5):])
			q.Backward = true
			back := slices.Clone(want)
			if from > 0 {
				back = back[:min(int(from), 5)]
			}
			slices.Reverse(back)
			t.deletedIs(cs[1], q, back)
		}
	}
	page, err := cs[1].ReadStream(t.ctx, driver.StreamQuery{Stream: "gone", Deleted: true, Limit: 1})
	if err != nil || page.Head != 5 {
		t.broken("D2", "the head of a stream of 4 events that was tombstoned: %s, error %v", brief(page), err)
	}
	// Deleted does not change how other streams are read.
	live := a.fill("live", 0, 2)
	t.same("D2", "a stream that is not deleted, read with Deleted", live, cs[1].stream(driver.StreamQuery{Stream: "live", Deleted: true}))
	a.whole(0)
}

// deletedIs ends the check unless a deleted stream is read like that.
func (t *test) deletedIs(c *client, q driver.StreamQuery, want []driver.Record) {
	t.Helper()
	got, err := c.tryStream(q)
	if err != nil {
		t.broken("D2", "ReadStream(%s): %v", brief(q), err)
	}
	t.same("D2", "ReadStream("+brief(q)+")", want, got)
}

func checkPurge(t *test) {
	cs := t.openAll(2)
	a, b := cs[0], cs[1]
	for i := range 4 {
		a.append("kept", driver.Any, record())
		a.fill("purged", driver.Version(3*i), 3)
	}
	before := a.whole(0)
	for _, limit := range []int{0, 1, 3} { // the other client has read all of it as well
		b.stream(driver.StreamQuery{Stream: "purged", Limit: limit})
		b.whole(limit)
	}
	req := deletion("purged", 12, driver.Purge)
	got, err := a.Delete(t.ctx, req)
	t.must(err)
	last := req.Record
	last.Stream, last.Version = "purged", 13
	var want []driver.Record // the feed now
	for _, r := range before {
		if r.Stream != "purged" {
			want = append(want, r)
		}
	}
	want = append(want, last)
	for _, c := range []*client{b, a} {
		for _, limit := range []int{0, 1, 3} {
			for _, backward := range []bool{false, true} {
				for _, from := range []driver.Version{0, 1, 5, 13} {
					q := driver.StreamQuery{Stream: "purged", Deleted: true, From: from, Limit: limit, Backward: backward}
					left := []driver.Record{last}
					if backward && from > 0 && from < 13 {
						left = nil
					}
					t.same("D3", "ReadStream("+brief(q)+") of a purged stream", left, c.stream(q))
				}
			}
			t.same("D3", fmt.Sprintf("the feed after a purge, limit %d", limit), want, c.whole(limit))
			if f := (driver.Filter{Types: []string{"happened"}, Prefixes: []string{"purged", "kept"}}); t.caps.FilterFeed {
				got, _ := c.readFiltered(0, limit, f)
				t.same("D3", fmt.Sprintf("the feed after a purge, through a filter, limit %d", limit), matching(want, f), got)
			}
		}
		// Readers that are in the middle of what is gone go on.
		for _, r := range before {
			recs, _ := c.readOn(r.Position, 2)
			if len(recs) == 0 || recs[len(recs)-1].ID != last.ID {
				t.broken("D3", "after %d, where an event was purged, the feed does not end with the record of the delete: %s", r.Position, briefRecords(recs))
			}
		}
	}
	if head := a.head("purged"); head != 13 || got.Last != 13 {
		t.broken("D3", "a purged stream of 12 events has head %d, and Delete returned %s", head, brief(got))
	}
	page, err := b.ReadStream(t.ctx, driver.StreamQuery{Stream: "purged", Deleted: true, From: 3, Backward: true})
	if err != nil || len(page.Records) > 0 || !page.End || page.Head != 13 {
		t.broken("D3", "a purged stream, backward from version 3: %s, error %v", brief(page), err)
	}
}

func checkPurgeClosed(t *test) {
	cs := t.openAll(2)
	a, b := cs[0], cs[1]
	for i, e := range []driver.Expected{driver.Any, 4, 3, driver.NoStream, driver.Exists, 99} {
		stream := fmt.Sprint("closed-", i)
		a.fill(stream, 0, 3)
		if implementing[driver.SnapshotStore](a.s) {
			t.must(a.SaveSnapshot(t.ctx, snapshot(stream, "state", 3)))
		}
		first := a.delete(stream, driver.Tombstone)
		tombstone := a.stream(driver.StreamQuery{Stream: stream, Deleted: true, From: 4})
		for try := range 2 {
			got, err := b.Delete(t.ctx, deletion(stream, e, driver.Purge))
			if err != nil {
				t.broken("D4", "purge %d of a tombstoned stream, expected %v: %v", try+1, e, err)
			}
			t.sameAppended("D4", fmt.Sprintf("purge %d of a tombstoned stream", try+1), first, got)
			for _, c := range cs {
				t.same("D4", "a tombstoned stream after its purge", tombstone, c.stream(driver.StreamQuery{Stream: stream, Deleted: true}))
			}
			if feed := ofStream(b.whole(0), stream); len(feed) != 1 || feed[0].ID != tombstone[0].ID {
				t.broken("D4", "the feed has %s of a tombstoned stream after its purge", briefRecords(feed))
			}
			if implementing[driver.SnapshotStore](a.s) {
				if s, err := a.LoadSnapshot(t.ctx, stream, "state"); err != nil || s.Version != 0 {
					t.broken("D4", "the snapshot of a purged stream is still there: %+v, error %v", s, err)
				}
			}
		}
	}
}

// sameAppended ends the check unless a delete returned what the first one did.
func (t *test) sameAppended(rule, when string, want, got driver.Appended) {
	t.Helper()
	if got.First != want.First || got.Last != want.Last || got.Position != want.Position && want.Position != 0 && (got.Position != 0 || t.caps.PositionOnAppend) {
		t.broken(rule, "%s returned %s; the first Delete returned %s", when, brief(got), brief(want))
	}
}

// checkTaken sends the appends of a purged stream again.
func checkTaken(t *test) {
	cs := t.openAll(2)
	a, b := cs[0], cs[1]
	var late []driver.AppendRequest
	for i := range 3 {
		req := to("taken", driver.Exactly(a.head("taken")), records(t.batch(1+i))...)
		a.append("taken", req.Parts[0].Expected, req.Parts[0].Records...)
		late = append(late, req)
	}
	head := a.delete("taken", driver.Purge)
	top, err := a.Head(t.ctx)
	t.must(err)
	for i, req := range append(late, to("taken", driver.Any, record()), to("taken", driver.Exactly(head.Last), record())) {
		if _, err := b.Append(t.ctx, req); !errors.Is(err, driver.ErrStreamDeleted) {
			t.broken("D5", "append %d, late, to a purged stream at %v: error %v", i, req.Parts[0].Expected, err)
		}
	}
	got := b.stream(driver.StreamQuery{Stream: "taken", Deleted: true})
	if len(got) != 1 || got[0].Version != head.Last || b.head("taken") != head.Last {
		t.broken("D5", "a purged stream at version %d, after late appends: %s", head.Last, briefRecords(got))
	}
	next := b.append("other", driver.NoStream, record())
	if feed := b.whole(0); len(feed) != 2 || t.caps.PositionOnAppend && next.Position <= top {
		t.broken("D5", "Head was %d after a purge; the next append got %s; the feed is %s", top, brief(next), briefRecords(feed))
	}
}

func checkDeleteAgain(t *test) {
	cs := t.openAll(2)
	a, b := cs[0], cs[1]
	for _, mode := range modes {
		for i, e := range []driver.Expected{driver.Any, driver.Exists, 3, 4, driver.NoStream, 77} {
			stream := fmt.Sprint(modeName(mode), "-", i)
			a.fill(stream, 0, 3)
			req := deletion(stream, 3, mode)
			first, err := a.Delete(t.ctx, req)
			t.must(err)
			req.Expected = e
			for _, again := range modes {
				req.Mode = again
				got, err := b.Delete(t.ctx, req)
				if err != nil {
					t.broken("D6", "a Delete of a %s stream, sent again as %s with the same id, expected %v: %v", modeName(mode), modeName(again), e, err)
				}
				t.sameAppended("D6", "a Delete sent again", first, got)
			}
			// The last of these was a purge.
			if left := b.stream(driver.StreamQuery{Stream: stream, Deleted: true}); len(left) != 1 || left[0].ID != req.Record.ID {
				t.broken("D6", "a Delete sent again as a purge left %s", briefRecords(left))
			}
		}
	}
	for i, r := range perStream(a.whole(0)) {
		if len(r) != 1 {
			t.broken("D6", "stream %q has %d records in the feed after a delete that was sent again", i, len(r))
		}
	}
}

func checkDeleteExpected(t *test) {
	cs := t.openAll(2)
	a, b := cs[0], cs[1]
	for _, mode := range modes {
		for _, e := range []driver.Expected{driver.NoStream, 1, 5, driver.Any, driver.Exists} {
			got, err := b.Delete(t.ctx, deletion("missing", e, mode))
			if s, ok := errors.AsType[*driver.StreamError](err); !ok || s.Stream != "missing" || !errors.Is(err, driver.ErrStreamNotFound) {
				t.broken("D7", "Delete of a missing stream, expected %v: %s, error %v", e, brief(got), err)
			}
		}
		for _, e := range []driver.Expected{driver.NoStream, 1, 3, 1 << 40} {
			stream := fmt.Sprintf("%s-%d", modeName(mode), e)
			want := a.fill(stream, 0, 2)
			got, err := b.Delete(t.ctx, deletion(stream, e, mode))
			if _, ok := errors.AsType[*driver.ConflictError](err); !ok {
				t.broken("D7", "Delete of a stream at version 2, expected %v: %s, error %v", e, brief(got), err)
			}
			t.same("D7", "a stream whose Delete was refused", want, a.stream(driver.StreamQuery{Stream: stream}))
			a.append(stream, 2, record())
		}
		for _, e := range []driver.Expected{2, driver.Any, driver.Exists} {
			stream := fmt.Sprintf("%s-%d-holds", modeName(mode), e)
			a.fill(stream, 0, 2)
			if got, err := b.Delete(t.ctx, deletion(stream, e, mode)); err != nil || got.Last != 3 {
				t.broken("D7", "Delete of a stream at version 2, expected %v: %s, error %v", e, brief(got), err)
			}
		}
	}
	if got := a.head("missing"); got != 0 {
		t.broken("D7", "Delete of a missing stream left one at version %d", got)
	}
	t.listed(a, "L1", driver.ListQuery{Prefix: "missing"}, nil)
	a.whole(0)
}

func checkDeleteSnapshots(t *test) {
	cs := t.openAll(2)
	a, b := cs[0], cs[1]
	for _, mode := range modes {
		stream := modeName(mode)
		a.fill(stream, 0, 3)
		a.fill(stream+"-2", 0, 3)
		for _, s := range []string{stream, stream + "-2"} {
			for _, kind := range []string{"one", "two"} {
				t.must(a.SaveSnapshot(t.ctx, snapshot(s, kind, 3)))
			}
		}
		a.delete(stream, mode)
		for _, c := range cs {
			for _, kind := range []string{"one", "two"} {
				if s, err := c.LoadSnapshot(t.ctx, stream, kind); err != nil || s.Version != 0 || len(s.Data) > 0 {
					t.broken("D8", "the %q snapshot of a %s stream: %+v, error %v", kind, stream, s, err)
				}
				if s, err := c.LoadSnapshot(t.ctx, stream+"-2", kind); err != nil || s.Version != 3 {
					t.broken("D8", "the snapshot of another stream than the deleted one: %+v, error %v", s, err)
				}
			}
			if err := c.SaveSnapshot(t.ctx, snapshot(stream, "one", 9)); !errors.Is(err, driver.ErrStreamDeleted) {
				t.broken("P4", "SaveSnapshot for a %s stream: error %v", stream, err)
			}
			if s, err := b.LoadSnapshot(t.ctx, stream, "one"); err != nil || s.Version != 0 {
				t.broken("P4", "SaveSnapshot for a %s stream was refused, and kept %+v, error %v", stream, s, err)
			}
		}
	}
	// Savers beside the delete leave nothing behind.
	for round := range t.scale(20) {
		stream := fmt.Sprint("raced-", round)
		a.fill(stream, 0, 2)
		t.together(8, func(i int) {
			c := cs[i%2]
			if i == 0 {
				if _, err := c.deleteSurely(deletion(stream, driver.Any, modes[round%2])); err != nil {
					t.wrong("D8", "Delete: %v", err)
				}
				return
			}
			if err := c.SaveSnapshot(t.ctx, snapshot(stream, "state", driver.Version(i))); err != nil && !errors.Is(err, driver.ErrStreamDeleted) && !errors.Is(err, driver.ErrUnknownOutcome) {
				t.wrong("P4", "SaveSnapshot beside a delete: %v", err)
			}
		})
		if s, err := b.LoadSnapshot(t.ctx, stream, "state"); err != nil || s.Version != 0 {
			t.broken("P4", "after Delete and every SaveSnapshot beside it had returned: %+v, error %v", s, err)
		}
	}
}

// checkDeleteRace lets several delete one stream while others append to it.
func checkDeleteRace(t *test) {
	cs := t.openAll(4)
	for round := range t.scale(20) {
		stream := fmt.Sprint("race-", round)
		mode := modes[round%2]
		cs[0].fill(stream, 0, 2)
		var mu sync.Mutex
		deleted := map[driver.ID]driver.Appended{}
		t.together(12, func(i int) {
			c := cs[i%len(cs)]
			if i%3 == 0 {
				req := deletion(stream, driver.Any, mode)
				a, err := c.deleteSurely(req)
				mu.Lock()
				defer mu.Unlock()
				switch {
				case err == nil:
					deleted[req.Record.ID] = a
				case mode == driver.Purge || !errors.Is(err, driver.ErrStreamDeleted):
					t.wrong("D1", "one of 4 deletes at once (purge %t): %v", mode == driver.Purge, err)
				}
				return
			}
			for range 60 {
				_, err := c.appendSurely(to(stream, driver.Any, records(t.batch(2))...))
				if err != nil {
					if !errors.Is(err, driver.ErrStreamDeleted) {
						t.wrong("D1", "an append beside a delete: %v", err)
					}
					return
				}
			}
		})
		left := cs[0].stream(driver.StreamQuery{Stream: stream, Deleted: true})
		if len(left) == 0 {
			t.broken("D1", "nothing is left of a deleted stream")
		}
		last := left[len(left)-1]
		switch {
		case mode == driver.Tombstone && len(deleted) != 1:
			t.broken("D1", "%d of 4 deletes at once succeeded", len(deleted))
		case len(deleted) == 0:
			t.broken("D1", "none of 4 deletes at once succeeded")
		case last.Type != driver.TypeDeleted:
			t.broken("D1", "version %d of type %q is the last of a deleted stream", last.Version, last.Type)
		}
		for id, a := range deleted { // of two purges both succeed, with the first's record
			if mode == driver.Tombstone && id != last.ID || a.Last != last.Version {
				t.broken("D1", "a delete returned %s; the last record of the stream is version %d, id %v", brief(a), last.Version, last.ID)
			}
		}
		if mode == driver.Purge && len(left) != 1 {
			t.broken("D3", "a stream that was purged while others appended to it has %s", briefRecords(left))
		}
		if mode == driver.Purge {
			if feed := ofStream(cs[1].whole(0), stream); len(feed) != 1 {
				t.broken("D3", "the feed has %s of a stream that was purged while others appended to it", briefRecords(feed))
			}
		}
	}
	cs[0].whole(0)
}

// checkPurgeUnderReaders purges streams while the feed and the streams are read:
// nothing else goes missing, and what is returned is whole.
func checkPurgeUnderReaders(t *test) {
	cs := t.openAll(3)
	n := t.scale(30)
	want := map[driver.ID]driver.Record{}
	for i := range n {
		stream := fmt.Sprint([]string{"kept-", "purged-"}[i%2], i)
		for _, r := range cs[0].fill(stream, 0, 3) {
			want[r.ID] = r
		}
	}
	kept := 0
	for _, r := range want {
		if r.Stream[0] == 'k' {
			kept++
		}
	}
	cs[0].whole(0)
	purged := make(chan struct{})
	t.together(4, func(i int) {
		c := cs[i%len(cs)]
		switch i {
		case 0:
			defer close(purged)
			for k := 1; k < n; k += 2 {
				if _, err := c.deleteSurely(deletion(fmt.Sprint("purged-", k), driver.Any, driver.Purge)); err != nil {
					t.wrong("D3", "Delete: %v", err)
				}
			}
		case 1:
			for k := 1; k < n; k += 2 {
				recs, err := c.tryStream(driver.StreamQuery{Stream: fmt.Sprint("purged-", k), Limit: 1})
				if err != nil && !errors.Is(err, driver.ErrStreamDeleted) {
					t.wrong("D3", "a stream that is purged while it is read: %v", err)
				}
				for _, r := range recs {
					if d := difference(want[r.ID], r); d != "" {
						t.wrong("D3", "a record of a stream that is purged while it is read: %s", d)
					}
				}
			}
		default:
			for over := false; !over; {
				select {
				case <-purged:
					over = true // and once more
				default:
				}
				if !c.readsKept(want, kept) {
					return
				}
			}
		}
	})
	cs[0].whole(0)
}

// readsKept reads the feed from its beginning while streams are purged: what it
// gets is whole, and nothing of the streams that are kept is missing.
func (c *client) readsKept(want map[driver.ID]driver.Record, kept int) bool {
	t := c.t
	f := follower{c: c, limit: 5}
	for end, pages := false, 0; !end; pages++ {
		var err error
		if end, err = f.step(); err != nil || pages > 20_000 {
			t.wrong("D3", "after %d pages: %v", pages, err)
			return false
		}
	}
	got := 0
	for _, r := range f.all {
		if r.Type == driver.TypeDeleted {
			continue
		}
		if d := difference(want[r.ID], r); d != "" {
			t.wrong("D3", "a record of the feed, while streams are purged: %s", d)
			return false
		}
		if r.Stream[0] == 'k' {
			got++
		}
	}
	if got != kept {
		t.wrong("F1", "while streams were purged, a reader got %d of the %d events of other streams", got, kept)
	}
	return got == kept
}
