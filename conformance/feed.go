package conformance

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/go-es/es/driver"
)

var feedChecks = []check{
	{"feed/pages", "F1 F3 F4 F6", nil, checkFeedPages},
	{"feed/rest", "F5 F9", nil, checkFeedAtRest},
	{"feed/positions", "F7", []need{needPosition}, checkPositions},
	{"feed/answers", "F8", nil, checkAnswers},
	{"feed/filter", "F10 F11", []need{needFilter}, checkFilter},
	{"feed/beyond", "F11", nil, checkBeyondFeed},
	{"feed/seen", "F12", nil, checkSeen},
	{"feed/page-seen", "F16", nil, checkPageSeen},
	{"feed/restored", "F12 C2", []need{needRestore, needLasting}, checkRestored},
	{"feed/head", "F13", nil, checkFeedHead},
	{"feed/gapless", "F14", []need{needGapless}, checkGapless},
	{"feed/pieces", "F15 F6", nil, checkPieces},
	{"feed/large", "F1 F4", nil, checkLargeFeed},
}

// mixed appends events to a few streams, in appends of several sizes.
func (c *client) mixed(prefix string, n int) {
	t := c.t
	t.Helper()
	for i := range n {
		c.append(fmt.Sprint(prefix, i%3), driver.Any, records(t.batch(1+i%3))...)
		if t.caps.MaxStreams > 1 && t.batch(2) > 1 && i%4 == 3 {
			_, err := c.Append(t.ctx, toEach(
				driver.Part{Stream: prefix + "2", Expected: driver.Any, Records: records(1)},
				driver.Part{Stream: prefix + "0", Expected: driver.Any, Records: records(1)},
			))
			t.must(err)
		}
	}
}

func checkFeedPages(t *test) {
	cs := t.openAll(2)
	cs[0].mixed("paged-", 12)
	cs[1].mixed("paged-", 5)
	all := cs[0].whole(0)
	for _, c := range cs {
		for _, limit := range []int{1, 2, 3, 7, len(all) - 1, len(all), len(all) + 1, 1000, math.MaxInt32} {
			got, _ := c.readOn(0, limit)
			c.sameFeed("F1", fmt.Sprintf("read with limit %d", limit), all, got)
		}
	}
	// From every place, those without an event too.
	last := all[len(all)-1].Position
	var afters []driver.Position
	for i, r := range all {
		afters = append(afters, r.Position-1, r.Position)
		if i > 0 {
			afters = append(afters, all[i-1].Position+(r.Position-all[i-1].Position)/2)
		}
	}
	for _, after := range append(afters, last) {
		i := 0
		for i < len(all) && all[i].Position <= after {
			i++
		}
		for _, limit := range []int{0, 2} {
			got, _ := cs[1].readOn(after, limit)
			cs[1].sameFeed("F1", fmt.Sprintf("read after %d with limit %d", after, limit), all[i:], got)
		}
	}
	for stream, want := range perStream(all) {
		t.same("F6", fmt.Sprintf("stream %q as the feed has it", stream), want, cs[0].stream(driver.StreamQuery{Stream: stream}))
	}
}

// sameFeed ends the check unless both are the same events at the same positions.
func (c *client) sameFeed(rule, what string, want, got []driver.Record) {
	t := c.t
	t.Helper()
	if f := c.differs(rule, what, want, got); f != nil {
		if rule == "F10" { // the time of a call does not matter to a filter
			t.broken(rule, "%s", f.seen)
		}
		t.exposed(c.log, want, *f)
	}
	t.same(rule, what, want, got)
}

func perStream(recs []driver.Record) map[string][]driver.Record {
	by := map[string][]driver.Record{}
	for _, r := range recs {
		by[r.Stream] = append(by[r.Stream], r)
	}
	return by
}

// checkFeedAtRest looks at a feed after appends that succeeded, failed and were
// cancelled: a client that does nothing but read gets all of it, and then End.
func checkFeedAtRest(t *test) {
	a := t.open()
	page, err := a.ReadAll(t.ctx, driver.FeedQuery{})
	if err != nil || len(page.Records) != 0 || !page.End || page.Next != 0 {
		t.broken("F5", "the feed of an empty store is %s, error %v", brief(page), err)
	}
	for round := range 3 {
		b := t.other(a)
		b.mixed(fmt.Sprint("rest-", round, "-"), 5)
		for range 3 { // they may leave gaps
			b.Append(t.ctx, to(fmt.Sprint("rest-", round, "-0"), driver.Exactly(900), records(t.batch(3))...))
			b.Append(t.ctx, to("never", driver.Exists, record()))
		}
		begin := time.Now()
		var after driver.Position
		all, after := a.readOn(0, 3)
		if !t.caps.PositionOnAppend {
			all = a.whole(3)
			after = all[len(all)-1].Position
			begin = time.Now() // positions may have taken as long
		}
		if p, id, missing := a.log.missing(all); missing {
			t.exposed(a.log, all, a.lost("F9", p, id, after))
		}
		a.reachHead(after)
		if took := time.Since(begin); took > t.cfg.FeedBound {
			t.broken("F5", "reading a store at rest to its End took %v, longer than %v", took, t.cfg.FeedBound)
		}
	}
	a.whole(0)
}

// checkPositions appends from several clients in turn.
func checkPositions(t *test) {
	cs := t.openAll(3)
	var last driver.Position
	var before seenRecord
	for i := range 30 {
		stream := fmt.Sprint("positions-", i%4)
		recs := records(t.batch(1 + i%3))
		a := cs[i%3].append(stream, driver.Any, recs...)
		e := seenRecord{a.Position, recs[len(recs)-1].ID, place{stream, a.Last}}
		if a.Position <= last {
			t.exposed(cs[0].log, nil, finding{
				rule: "F7", fault: moved, event: e, other: before,
				seen: fmt.Sprintf("after an event had been acknowledged at position %d, append %d was acknowledged at %d", last, i, a.Position),
			})
		}
		before = e
		if i%5 == 0 {
			d := "positions-deleted-" + fmt.Sprint(i)
			cs[0].append(d, driver.NoStream, record())
			if del := cs[1].delete(d, driver.Tombstone); del.Position <= a.Position {
				t.broken("F7", "an append was acknowledged at position %d, a delete after it at %d", a.Position, del.Position)
			} else {
				a, before = del, seenRecord{}
			}
		}
		last = a.Position
	}
	all := cs[0].whole(0) // compares the positions as well
	if got := all[len(all)-1].Position; got != last {
		t.broken("F7", "the last append returned position %d, and the last event of the feed is at %d", last, got)
	}
}

// checkAnswers appends in answer to events that were read from the feed.
func checkAnswers(t *test) {
	cs := t.openAll(3)
	ask := record()
	cs[0].append("asked", driver.NoStream, ask)
	for i := range t.scale(15) {
		reader := cs[(i+1)%3]
		var at driver.Position
		if !t.eventually(func() bool {
			recs, _ := reader.readOn(0, 0)
			for _, r := range recs {
				if r.ID == ask.ID {
					at = r.Position
				}
			}
			return at > 0
		}) {
			t.broken("F5", "event %v was not returned within %v", ask.ID, t.cfg.FeedBound)
		}
		answer := record()
		cs[(i+2)%3].append(fmt.Sprint("answers-", i%5), driver.Any, answer)
		if i%4 == 3 {
			reader.append("noise", driver.Any, record())
		}
		for _, r := range cs[i%3].whole(0) {
			if r.ID == answer.ID && r.Position <= at {
				t.broken("F8", "an event was read at position %d, and one appended after that is at %d", at, r.Position)
			}
		}
		ask = answer
	}
}

func checkFilter(t *test) {
	a := t.open()
	types := []string{"opened", "closed", "Opened", "open"}
	streams := []string{"order-1", "order-2", "order", "Order-1", "orders-1", "customer-1", "reorder-1"}
	for i := range 56 {
		r := record()
		r.Type = types[i%len(types)]
		a.append(streams[i*5%len(streams)], driver.Any, r)
	}
	a.delete("order-2", driver.Tombstone)
	for range 30 { // a long stretch of what hardly anybody wants
		r := record()
		r.Type = "rare"
		a.append("rare-1", driver.Any, r)
	}
	all := a.whole(0)
	filters := []driver.Filter{
		{Types: []string{"opened"}}, {Types: []string{"opened", "closed"}}, {Types: []string{"open"}}, {Types: []string{"none"}}, {Types: []string{driver.TypeDeleted}},
		{Types: []string{"opened", "opened"}},
		{Prefixes: []string{"order-"}}, {Prefixes: []string{"order"}}, {Prefixes: []string{"order-1", "customer-"}}, {Prefixes: []string{"order", "order-1"}}, {Prefixes: []string{"none-"}}, {Prefixes: []string{"o%"}}, {Prefixes: []string{"order_"}},
		{Types: []string{"opened"}, Prefixes: []string{"order-"}}, {Types: []string{"rare"}, Prefixes: []string{"order-"}}, {Types: []string{"closed", "rare"}, Prefixes: []string{"rare-", "customer-1"}},
	}
	many := driver.Filter{Types: []string{"opened"}, Prefixes: []string{"customer-"}}
	for i := range 500 {
		many.Types = append(many.Types, fmt.Sprint("type-", i))
		if i%5 == 0 {
			many.Prefixes = append(many.Prefixes, fmt.Sprint("stream-", i))
		}
	}
	filters = append(filters, many)
	b := t.other(a)
	head, err := a.Head(t.ctx)
	t.must(err)
	for _, f := range filters {
		if page, err := b.ReadAll(t.ctx, driver.FeedQuery{After: head + 1, Filter: f}); !errors.Is(err, driver.ErrCheckpointAhead) {
			t.broken("F11", "ReadAll after %d, beyond the end of the feed, with a filter, returned %s, error %v", head+1, brief(page), err)
		}
		want := matching(all, f)
		for _, limit := range []int{0, 1, 3} {
			got, next := b.readFiltered(0, limit, f)
			b.sameFeed("F10", fmt.Sprintf("types %q, prefixes %q, limit %d", f.Types, f.Prefixes, limit), want, got)
			if next < all[len(all)-1].Position {
				t.broken("F10", "types %q, prefixes %q: End with Next %d, and the last event, which does not match, is at %d", f.Types, f.Prefixes, next, all[len(all)-1].Position)
			}
		}
		if _, next := b.readFiltered(head, 0, f); next < head {
			t.broken("F10", "after the head, %d: Next is %d", head, next)
		}
	}
}

func checkBeyondFeed(t *test) {
	cs := t.openAll(2)
	a, b := cs[0], cs[1]
	ahead := func(after driver.Position) {
		t.Helper()
		for _, limit := range []int{0, 1} {
			for _, c := range cs {
				if page, err := c.ReadAll(t.ctx, driver.FeedQuery{After: after, Limit: limit}); !errors.Is(err, driver.ErrCheckpointAhead) {
					t.broken("F11", "ReadAll after %d, beyond the end of the feed, returned %s, error %v", after, brief(page), err)
				}
			}
		}
	}
	ahead(1)
	ahead(math.MaxInt64)
	a.mixed("beyond-", 4)
	b.whole(0)
	head, err := b.Head(t.ctx)
	t.must(err)
	for _, after := range []driver.Position{head + 1, head + 2, head + 1000, 1 << 40, math.MaxInt64 - 1, math.MaxInt64} {
		if after > head {
			ahead(after)
		}
	}
	for _, c := range cs {
		if page, err := c.ReadAll(t.ctx, driver.FeedQuery{After: head}); err != nil || len(page.Records) > 0 || page.Next != head {
			t.broken("F11", "after %d, the head: %s, error %v", head, brief(page), err)
		}
	}
	// What one client got, another one may read after at once.
	for i := range 10 {
		got := a.append("beyond-0", driver.Any, record())
		after := got.Position
		if after == 0 {
			after, err = a.Head(t.ctx)
			t.must(err)
		}
		if _, err := b.ReadAll(t.ctx, driver.FeedQuery{After: after}); err != nil {
			t.broken("F11", "append %d: one client got position %d, and another cannot read after it: %v", i, after, err)
		}
	}
}

func checkSeen(t *test) {
	cs := t.openAll(2)
	a, b := cs[0], cs[1]
	a.mixed("seen-", 6)
	a.fill("purged", 0, 3)
	before := a.whole(0)
	a.delete("purged", driver.Purge)
	a.delete("seen-2", driver.Tombstone)
	all := b.whole(0)
	head, err := b.Head(t.ctx)
	t.must(err)
	used := map[driver.Position]bool{}
	filters := []driver.Filter{{}}
	if t.caps.FilterFeed {
		filters = append(filters, driver.Filter{Types: []string{"none"}}, driver.Filter{Prefixes: []string{"seen-0"}})
	}
	ask := func(seen driver.Seen, after driver.Position, f driver.Filter) error {
		_, err := b.ReadAll(t.ctx, driver.FeedQuery{After: after, Seen: seen, Filter: f, Limit: 1})
		return err
	}
	for _, r := range append(before, all...) {
		used[r.Position] = true
		for _, f := range filters {
			for _, after := range []driver.Position{r.Position, head} {
				if err := ask(driver.Seen{Position: r.Position, ID: r.ID}, after, f); err != nil {
					t.broken("F12", "the event at %d is %v of stream %q, as the reader saw it; after %d, types %q: %v", r.Position, r.ID, r.Stream, after, f.Types, err)
				}
				if r.Stream == "purged" && r.Type != driver.TypeDeleted {
					continue // its id may be gone
				}
				for _, id := range []driver.ID{record().ID, other(all, r.ID)} {
					if err := ask(driver.Seen{Position: r.Position, ID: id}, after, f); !errors.Is(err, driver.ErrCheckpointAhead) {
						t.broken("F12", "the event at %d is %v, and the reader saw %v there; after %d, types %q, prefixes %q: error %v", r.Position, r.ID, id, after, f.Types, f.Prefixes, err)
					}
				}
			}
		}
	}
	for i := 1; i < len(all); i++ { // what lies in a gap is no event
		if p := all[i].Position - 1; !used[p] && p > 0 {
			if err := ask(driver.Seen{Position: p, ID: all[i].ID}, head, driver.Filter{}); !errors.Is(err, driver.ErrCheckpointAhead) {
				t.broken("F12", "there is no event at %d, and the reader saw one: error %v", p, err)
			}
		}
	}
}

// other is the id of an event that is not the given one.
func other(recs []driver.Record, id driver.ID) driver.ID {
	if recs[0].ID != id {
		return recs[0].ID
	}
	return recs[1].ID
}

// checkPageSeen reads the feed through filters that let little or nothing through,
// and compares what each page says was seen last with all that is there.
func checkPageSeen(t *test) {
	a := t.open()
	a.mixed("seen-", 6)
	a.fill("purged", 0, 3)
	ids, kept := map[driver.Position]driver.ID{}, map[driver.Position]bool{}
	before := a.whole(0)
	a.delete("purged", driver.Purge)
	for _, r := range append(before, a.whole(0)...) {
		ids[r.Position] = r.ID
		kept[r.Position] = r.Stream != "purged" || r.Type == driver.TypeDeleted
	}
	filters := []driver.Filter{{}}
	if t.caps.FilterFeed {
		filters = append(filters, driver.Filter{Types: []string{"none"}}, driver.Filter{Prefixes: []string{"seen-0", "seen-3"}})
	}
	for _, f := range filters {
		for _, limit := range []int{1, 3, 0} {
			q := driver.FeedQuery{Filter: f, Limit: limit}
			for deadline := time.Now().Add(t.cfg.FeedBound); ; {
				page, err := a.ReadAll(t.ctx, q)
				t.must(err)
				if page.Next > q.After {
					var last driver.Position // whose id is not erased
					for p := range kept {
						if p <= page.Next && kept[p] {
							last = max(last, p)
						}
					}
					if id, ok := ids[page.Seen.Position]; page.Seen.Position < last || last > 0 && (!ok || id != page.Seen.ID) {
						t.broken("F16", "a page up to %d says that %v at %d was seen last, and the last event there is %v at %d: ReadAll(%s)",
							page.Next, page.Seen.ID, page.Seen.Position, ids[last], last, brief(q))
					}
					q.Seen = page.Seen
				}
				if q.After = page.Next; page.End {
					break
				}
				if time.Now().After(deadline) {
					t.broken("F5", "the feed did not come to its End: ReadAll(%s)", brief(q))
				}
			}
		}
	}
}

// checkRestored puts an older state of the data back under a reader.
func checkRestored(t *test) {
	a := t.open()
	a.mixed("restored-", 4)
	old := a.whole(0)
	kept, gone := at("reader", 1), at("reader", 2)
	checkpoints := implementing[driver.CheckpointStore](a.s)
	if checkpoints {
		t.must(a.SaveCheckpoint(t.ctx, kept, driver.Revision{}))
	}
	t.must(a.Close())
	put := t.cfg.Restore(t.TB, t.data())
	a = t.open()
	a.mixed("restored-", 6)
	all := a.whole(0)
	last := all[len(all)-1]
	if checkpoints {
		t.must(a.SaveCheckpoint(t.ctx, gone, kept.Revision))
	}
	t.must(a.Close())
	put()

	delete(t.logs, t.data()) // what was seen is no longer so
	b := t.open()
	t.same("F12", "after the restore", old, b.whole(0))
	seen := driver.Seen{Position: last.Position, ID: last.ID}
	if _, err := b.ReadAll(t.ctx, driver.FeedQuery{After: last.Position, Seen: seen}); !errors.Is(err, driver.ErrCheckpointAhead) {
		t.broken("F12", "the reader saw %v at %d, and the data is older now: error %v", last.ID, last.Position, err)
	}
	for i := 0; ; i++ { // other events take its place
		b.mixed("other-", 3)
		now := b.whole(0)
		if now[len(now)-1].Position > last.Position || i == 50 {
			break
		}
	}
	if _, err := b.ReadAll(t.ctx, driver.FeedQuery{After: last.Position, Seen: seen}); !errors.Is(err, driver.ErrCheckpointAhead) {
		t.broken("F12", "the reader saw %v at %d, where another event is now: error %v", last.ID, last.Position, err)
	}
	still := old[len(old)-1]
	if _, err := b.ReadAll(t.ctx, driver.FeedQuery{After: still.Position, Seen: driver.Seen{Position: still.Position, ID: still.ID}}); err != nil {
		t.broken("F12", "the reader saw %v at %d, which the restored data has: %v", still.ID, still.Position, err)
	}
	if !checkpoints {
		return
	}
	now, err := b.LoadCheckpoint(t.ctx, "reader")
	t.must(err)
	if now == kept { // and not kept elsewhere, where no backup reaches
		if err := b.SaveCheckpoint(t.ctx, at("reader", 3), gone.Revision); !errors.Is(err, driver.ErrCheckpointConflict) {
			t.broken("C2", "a saver that loaded a checkpoint which the restored data does not have: error %v", err)
		}
		t.loads(b, "C2", "after the restore", kept)
	}
}

func checkFeedHead(t *test) {
	cs := t.openAll(2)
	for _, c := range cs {
		if head, err := c.Head(t.ctx); err != nil || head != 0 {
			t.broken("F13", "Head of an empty store is %d, error %v", head, err)
		}
	}
	for i := range 8 {
		// client.Head compares with all that was returned before.
		a := cs[i%2].append(fmt.Sprint("headed-", i%3), driver.Any, records(t.batch(1+i%3))...)
		for _, c := range cs {
			head, err := c.Head(t.ctx)
			t.must(err)
			if head < a.Position {
				t.broken("F13", "Append returned position %d, and Head of client %d is %d", a.Position, c.n, head)
			}
			c.reachHead(0)
		}
		if i == 3 {
			cs[0].fill("purged", 0, 3)
			cs[0].delete("purged", driver.Purge)
		}
	}
	all := cs[0].whole(0)
	head, err := cs[1].Head(t.ctx)
	t.must(err)
	if last := all[len(all)-1].Position; head < last {
		t.broken("F13", "the last event is at %d, and Head is %d", last, head)
	}
}

func checkGapless(t *test) {
	cs := t.openAll(2)
	a := cs[0]
	for i := range 6 {
		a.mixed("gapless-", 2)
		cs[1].Append(t.ctx, to("gapless-0", driver.Exactly(900), records(t.batch(3))...))
		cs[1].Append(t.ctx, to("never", driver.Exists, record()))
		if i%2 == 1 {
			stream := fmt.Sprint("deleted-", i)
			a.fill(stream, 0, 2)
			a.delete(stream, driver.Tombstone)
			cs[1].Append(t.ctx, to(stream, driver.Any, record()))
		}
	}
	for i, r := range a.whole(0) {
		if r.Position != driver.Position(i+1) {
			t.broken("F14", "event %d of the feed is at position %d", i+1, r.Position)
		}
	}
	a.fill("purged", 0, 3)
	gone := map[driver.Position]bool{}
	for _, r := range ofStream(a.whole(0), "purged") {
		gone[r.Position] = true
	}
	a.delete("purged", driver.Purge)
	a.mixed("gapless-", 2)
	want := driver.Position(1)
	for _, r := range a.whole(0) {
		for gone[want] {
			want++
		}
		if r.Position != want {
			t.broken("F14", "the event after position %d, purged ones left out, is at %d", want-1, r.Position)
		}
		want++
	}
}

// checkPieces looks at the order of the events of one append in the feed.
func checkPieces(t *test) {
	cs := t.openAll(2)
	n := t.batch(10)
	appends := map[string][]driver.ID{}
	for i := range 10 {
		recs := records(n)
		stream := fmt.Sprint("pieces-", i%3)
		cs[i%2].append(stream, driver.Any, recs...)
		for _, r := range recs {
			appends[stream] = append(appends[stream], r.ID)
		}
		if t.caps.MaxStreams > 1 && n > 3 {
			recs := records(4)
			_, err := cs[i%2].Append(t.ctx, toEach(
				driver.Part{Stream: "pieces-2", Expected: driver.Any, Records: recs[:2]},
				driver.Part{Stream: "pieces-1", Expected: driver.Any, Records: recs[2:]},
			))
			t.must(err)
			appends["pieces-2"] = append(appends["pieces-2"], recs[0].ID, recs[1].ID)
			appends["pieces-1"] = append(appends["pieces-1"], recs[2].ID, recs[3].ID)
		}
	}
	for stream, got := range perStream(cs[0].whole(3)) {
		if want := appends[stream]; !slices.EqualFunc(got, want, func(r driver.Record, id driver.ID) bool { return r.ID == id }) {
			t.broken("F15", "stream %q: the feed has its %d events in another order than they were appended", stream, len(got))
		}
	}
}

// checkLargeFeed reads more events, and more bytes, than a page is likely to
// have.
func checkLargeFeed(t *test) {
	a := t.open()
	n := t.scale(1500)
	for i := range 5 {
		recs := records(n / 5)
		for j := range recs {
			recs[j].Data = make([]byte, 300)
		}
		a.put(fmt.Sprint("large-", i), 0, recs)
	}
	all := a.whole(0)
	if len(all) != n/5*5 {
		t.broken("F1", "%d events were appended, and the feed has %d", n/5*5, len(all))
	}
	for _, limit := range []int{100, 999} {
		b := t.other(a)
		got, _ := b.readOn(0, limit)
		b.sameFeed("F1", fmt.Sprintf("read with limit %d", limit), all, got)
	}
}
