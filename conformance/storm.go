package conformance

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-es/es/driver"
)

// The feed while many write to it.

var stormChecks = []check{
	{"feed/writers", "F1 F2 F6 F13", nil, checkFeedUnderWriters},
	{"feed/filtered", "F1 F2 F5 F10", []need{needFilter}, checkFilterUnderWriters},
	{"feed/end", "F9", []need{needPosition}, checkEndUnderWriters},
	{"feed/order", "F7 F14", []need{needPosition}, checkOrderUnderWriters},
	{"feed/held", "F1 F2 F5 F9", []need{needHold}, checkHeld},
	{"feed/rolled-back", "F5", []need{needHold}, checkRolledBack},
	{"feed/held-among-writers", "F1 F2 F5", []need{needHold}, checkHeldAmongWriters},
}

// storm is writers at work.
type storm struct {
	t     *test
	clock atomic.Int64
	stop  chan struct{}
	done  sync.WaitGroup

	mu   sync.Mutex
	acks []ack
}

// ack is an append that was acknowledged, and when, on the clock of the storm.
type ack struct {
	begin, end int64
	ids        []driver.ID
	position   driver.Position
}

// start lets n writers append to a few streams, with several clients, in every
// way that the store has: at any version and at exact ones, several streams and
// groups, with conflicts and with contexts that end.
func (t *test) start(cs []*client, n int) *storm {
	s := &storm{t: t, stop: make(chan struct{})}
	for w := range t.crowd(n) {
		s.done.Go(func() { s.write(cs[w%len(cs)], w) })
	}
	return s
}

// wait lets the storm go on for the span of the check and ends it.
func (s *storm) wait() {
	select {
	case <-time.After(s.t.span()):
	case <-s.t.ctx.Done():
	}
	close(s.stop)
	s.done.Wait()
}

func (s *storm) stopped() bool {
	select {
	case <-s.stop:
		return true
	default:
		return false
	}
}

// stormEvents bounds what one writer appends.
const stormEvents = 250

func (s *storm) write(c *client, w int) {
	t := s.t
	rng := rand.New(rand.NewPCG(uint64(w), uint64(time.Now().UnixNano())))
	most, slow := stormEvents, 1
	if isLong() {
		most, slow = 8*stormEvents, 1+w%8
	}
	for k, events := 0, 0; events < most && (k < 5 || !s.stopped()); k++ {
		stream := fmt.Sprint("storm-", rng.IntN(8))
		req := to(stream, driver.Any, batchOf(t.batch(1+rng.IntN(4)))...)
		ctx, cancel := t.ctx, func() {}
		switch kind := rng.IntN(20); {
		case kind < 4:
			page, err := c.ReadStream(t.ctx, driver.StreamQuery{Stream: stream, Backward: true, Limit: 1})
			if err != nil && !errors.Is(err, driver.ErrStreamNotFound) {
				t.wrong("F1", "ReadStream: %v", err)
				return
			}
			req.Parts[0].Expected = driver.Exactly(page.Head)
		case kind < 6:
			req.Parts[0].Expected = driver.Exactly(1 << 40)
		case kind < 8:
			ctx, cancel = context.WithTimeout(t.ctx, time.Duration(rng.IntN(2000))*time.Microsecond)
		case kind < 10 && t.caps.MaxStreams > 1 && t.batch(2) > 1:
			req = toEach(req.Parts[0], driver.Part{Stream: fmt.Sprint("storm-many-", rng.IntN(3)), Expected: driver.Any, Records: records(1)})
			req.Parts[0].Records = req.Parts[0].Records[:1]
		case kind < 12 && implementing[driver.GroupAppender](c.s) && t.batch(2) > 1:
			reqs := []driver.AppendRequest{to(stream, driver.Any, records(1)...), to(fmt.Sprint("storm-group-", rng.IntN(3)), driver.Any, records(1)...)}
			begin := s.clock.Add(1)
			outs := c.AppendGroup(ctx, reqs)
			end := s.clock.Add(1)
			for i, o := range outs {
				s.note(reqs[i], o.Result, o.Err, begin, end)
			}
			events += 2
			continue
		}
		begin := s.clock.Add(1)
		res, err := c.Append(ctx, req)
		if _, unknown := errors.AsType[*driver.UnknownOutcomeError](err); unknown && ctx == t.ctx {
			res, err = c.appendSurely(req)
		}
		s.note(req, res, err, begin, s.clock.Add(1))
		cancel()
		events += len(req.Parts[0].Records)
		time.Sleep(time.Duration(slow*(200+rng.IntN(1500))) * time.Microsecond)
	}
}

func (s *storm) note(req driver.AppendRequest, res driver.AppendResult, err error, begin, end int64) {
	switch {
	case err == nil:
	case errors.Is(err, driver.ErrConflict), errors.Is(err, driver.ErrUnknownOutcome), errors.Is(err, context.DeadlineExceeded), driver.IsTransient(err):
		return
	default:
		s.t.wrong("F1", "an append among many: %v", err)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, p := range req.Parts {
		a := ack{begin: begin, end: end, position: res.Parts[i].Position}
		for _, r := range p.Records {
			a.ids = append(a.ids, r.ID)
		}
		s.acks = append(s.acks, a)
	}
}

// follower reads the feed from its beginning, on and on.
type follower struct {
	c      *client
	limit  int
	pause  time.Duration
	filter driver.Filter
	after  driver.Position
	all    []driver.Record
}

// step reads one page and reports whether it was an End.
func (f *follower) step() (bool, error) {
	page, err := f.c.ReadAll(f.c.t.ctx, driver.FeedQuery{After: f.after, Limit: f.limit, Filter: f.filter})
	if err != nil {
		return false, err
	}
	f.all = append(f.all, page.Records...)
	if page.Next == f.after && !page.End { // something is held back for a moment
		time.Sleep(200 * time.Microsecond)
	}
	f.after = page.Next
	return page.End, nil
}

// follow reads until the storm has ended and the feed with it.
func (f *follower) follow(s *storm) {
	moved, was := time.Now(), f.after
	for {
		over := s.stopped()
		end, err := f.step()
		if err != nil {
			f.c.t.wrong("F1", "ReadAll: %v", err)
			return
		}
		if end && over {
			return
		}
		if f.after > was || !over {
			moved, was = time.Now(), f.after
		} else if bound := f.c.t.cfg.FeedBound; time.Since(moved) > bound {
			f.c.t.exposes(f.c.log, f.all, f.c.stuckAt(stuck, f.after, fmt.Sprintf("the writers have ended, and for %v the pages after %d were neither the End nor moved Next", bound, f.after)))
			return
		}
		if !over {
			time.Sleep(f.pause + 200*time.Microsecond)
		}
	}
}

// jump reads pages from positions where some reader has been.
func jump(c *client, s *storm, seed int) {
	t := c.t
	rng := rand.New(rand.NewPCG(uint64(seed), 5))
	been := []driver.Position{0}
	least := 0 // as much as the store sees fit
	if isLong() {
		least = 1 // or the history would not fit into memory
	}
	for !s.stopped() {
		after := been[rng.IntN(len(been))]
		for range 1 + rng.IntN(3) {
			page, err := c.ReadAll(t.ctx, driver.FeedQuery{After: after, Limit: least + rng.IntN(20)})
			if err != nil {
				t.wrong("F1", "ReadAll: %v", err)
				return
			}
			been = append(been, page.Next)
			for _, r := range page.Records {
				been = append(been, r.Position)
			}
			after = page.Next
		}
		if _, err := c.Head(t.ctx); err != nil {
			t.wrong("F13", "Head: %v", err)
			return
		}
		time.Sleep(time.Millisecond)
	}
}

// readers starts readers of every kind on a storm.
func (s *storm) readers(cs []*client) (wait func() []*follower) {
	var wg sync.WaitGroup
	fs := []*follower{
		{c: cs[0], limit: 0},
		{c: cs[1%len(cs)], limit: 1},
		{c: cs[2%len(cs)], limit: 7},
		{c: cs[3%len(cs)], limit: 50, pause: 20 * time.Millisecond}, // slow
	}
	for _, f := range fs {
		wg.Go(func() { f.follow(s) })
	}
	for i := range 2 {
		wg.Go(func() { jump(cs[i%len(cs)], s, i) })
	}
	return func() []*follower {
		wg.Wait()
		return fs
	}
}

// agree ends the check unless the followers, once they have read on to the end,
// got the whole feed, or what their filter lets through of it.
func (t *test) agree(c *client, fs []*follower) []driver.Record {
	t.Helper()
	whole := c.whole(0)
	for _, f := range fs {
		all := matching(whole, f.filter)
		recs, next := f.c.readFiltered(f.after, f.limit, f.filter)
		f.after = next
		if f.all = append(f.all, recs...); !t.caps.PositionOnAppend && len(f.all) < len(all) {
			t.eventually(func() bool {
				_, err := f.step()
				t.must(err)
				return len(f.all) >= len(all)
			})
		}
		if found := f.c.differs("F2", fmt.Sprintf("a reader that followed the feed with limit %d", f.limit), all, f.all); found != nil {
			if len(f.all) != len(all) {
				found.rule = "F1"
			}
			t.exposed(c.log, whole, *found)
		}
	}
	return whole
}

func checkFeedUnderWriters(t *test) {
	cs := t.openAll(4)
	s := t.start(cs, 16)
	wait := s.readers(cs)
	s.wait()
	t.agree(cs[0], wait())
}

// checkFilterUnderWriters follows the feed through filters: what holds of the feed
// holds of it, and where positions come late these readers alone get to the end.
func checkFilterUnderWriters(t *test) {
	cs := t.openAll(4)
	s := t.start(cs, 12)
	fs := []*follower{
		{c: cs[0], filter: driver.Filter{Prefixes: []string{"storm-1", "storm-many-"}}},
		{c: cs[1], limit: 1, filter: driver.Filter{Prefixes: []string{"storm-2"}}},
		{c: cs[2], limit: 7, filter: driver.Filter{Types: []string{"happened", "other"}}},
		{c: cs[3], limit: 3, filter: driver.Filter{Types: []string{"other"}}},
	}
	var wg sync.WaitGroup
	for _, f := range fs {
		wg.Go(func() { f.follow(s) })
	}
	s.wait()
	wg.Wait()
	if t.Failed() {
		return
	}
	for _, f := range fs { // nobody reads without a filter yet
		want := 0
		for p := range cs[0].log.acknowledged() {
			if f.filter.Match(&driver.Record{Stream: p.stream, Type: "happened"}) {
				want++
			}
		}
		for len(f.all) < want {
			if was := f.after; !t.eventually(func() bool {
				_, err := f.step()
				t.must(err)
				return f.after > was
			}) {
				t.broken("F5", "%d events that match the types %q and the prefixes %q were acknowledged; a reader with this filter got %d of them, and for %v Next has not moved from %d", want, f.filter.Types, f.filter.Prefixes, len(f.all), t.cfg.FeedBound, was)
			}
		}
	}
	t.agree(cs[0], fs)
}

// checkEndUnderWriters reads to an End, and asks for all that was acknowledged
// before that page was asked for.
func checkEndUnderWriters(t *test) {
	cs := t.openAll(4)
	s := t.start(cs, 12)
	var wg sync.WaitGroup
	for i := range 3 {
		wg.Go(func() {
			f := follower{c: cs[i%len(cs)], limit: []int{0, 3, 20}[i]}
			have := map[place]bool{}
			for !s.stopped() {
				acked := f.c.log.acknowledged()
				n := len(f.all)
				end, err := f.step()
				if err != nil {
					t.wrong("F9", "ReadAll: %v", err)
					return
				}
				for _, r := range f.all[n:] {
					have[place{r.Stream, r.Version}] = true
				}
				if end {
					for p, id := range acked {
						if !have[p] {
							lost := f.c.lost("F9", p, id, f.after)
							lost.seen = fmt.Sprintf("the page of client %d that ends at %d is the End, and version %d of stream %.60q, which was acknowledged before, was not returned", f.c.n, f.after, p.version, p.stream)
							t.exposes(f.c.log, f.all, lost)
							return
						}
					}
				}
				time.Sleep(2 * time.Millisecond)
			}
		})
	}
	s.wait()
	wg.Wait()
	cs[0].whole(0)
}

// checkOrderUnderWriters compares the order of acknowledgements with that of
// positions.
func checkOrderUnderWriters(t *test) {
	cs := t.openAll(4)
	s := t.start(cs, 16)
	s.wait()
	at := map[driver.ID]driver.Position{}
	all := cs[0].whole(0)
	for i, r := range all {
		at[r.ID] = r.Position
		if t.caps.Gapless && r.Position != driver.Position(i+1) {
			t.broken("F14", "event %d of the feed is at position %d", i+1, r.Position)
		}
	}
	// In the order of their begins; those that ended by then are in ended.
	byBegin, byEnd := slices.Clone(s.acks), slices.Clone(s.acks)
	slices.SortFunc(byBegin, func(a, b ack) int { return cmp.Compare(a.begin, b.begin) })
	slices.SortFunc(byEnd, func(a, b ack) int { return cmp.Compare(a.end, b.end) })
	var highest driver.Position // of the appends that had ended
	i := 0
	for _, a := range byBegin {
		for ; i < len(byEnd) && byEnd[i].end < a.begin; i++ {
			highest = max(highest, byEnd[i].position)
		}
		for _, id := range a.ids {
			if at[id] <= highest {
				t.exposed(cs[0].log, all, finding{
					rule: "F7", fault: moved, event: positioned(all, at[id]), other: positioned(all, highest),
					seen: fmt.Sprintf("an append began after another one was acknowledged at position %d, and has an event at %d", highest, at[id]),
				})
			}
		}
	}
}

// positioned is the event at a position, or one that says no more than that.
func positioned(all []driver.Record, p driver.Position) seenRecord {
	for i := range all {
		if all[i].Position == p {
			return seen(&all[i])
		}
	}
	return seenRecord{position: p}
}

// hold holds one append open and notes it as acknowledged once it is committed.
// Either function may be called on any goroutine.
func (t *test) hold(c *client, stream string, n int) (commit, rollback func()) {
	t.Helper()
	req := to(stream, driver.NoStream, records(n)...)
	w := c.log.writing(0, "Append", t.now(), req.Parts...)
	doCommit, doRollback := t.cfg.Hold(t.TB, t.data(), req)
	t.trace.add(traced{0, "hold open Append", req, nil, nil})
	commit = func() {
		c.log.settling(w, t.now(), false)
		err := doCommit()
		c.log.written(w, t.now(), err)
		if err != nil {
			t.wrong("F1", "the commit of an append that was held open: %v", err)
			return
		}
		t.trace.add(traced{0, "commit the held Append", req, nil, nil})
		for i, r := range req.Parts[0].Records {
			c.log.ack(place{stream, driver.Version(i + 1)}, r.ID)
		}
	}
	rollback = func() {
		c.log.settling(w, t.now(), true)
		err := doRollback()
		c.log.written(w, t.now(), err)
		if err != nil {
			t.wrong("F1", "the rollback of an append that was held open: %v", err)
		}
		t.trace.add(traced{0, "roll back the held Append", req, nil, nil})
	}
	return commit, rollback
}

// checkHeld reads the feed while an append that began before others is open.
func checkHeld(t *test) {
	cs := t.openAll(2)
	a, b := cs[0], cs[1]
	for round := range t.scale(5) {
		a.append("before", driver.Any, record())
		commit, _ := t.hold(a, fmt.Sprint("held-", round), t.batch(3))
		stream, last := fmt.Sprint("after-", round%2), record()
		after := a.append(stream, driver.Any, last)
		fs := []*follower{{c: b, limit: round % 3}}
		if t.caps.FilterFeed {
			fs = append(fs, &follower{c: b, limit: round % 3, filter: driver.Filter{Types: []string{"happened"}, Prefixes: []string{"held-", "after-"}}})
		}
		for _, f := range fs {
			for range 20 {
				end, err := f.step()
				t.must(err)
				got := slices.ContainsFunc(f.all, func(r driver.Record) bool { return r.Position == after.Position })
				if end && t.caps.PositionOnAppend && !got {
					lost := b.lost("F9", place{stream, after.Last}, last.ID, f.after)
					lost.seen = fmt.Sprintf("an append is open; one that was acknowledged at %d is not returned, and the page that ends at %d is the End", after.Position, f.after)
					t.exposed(b.log, f.all, lost)
				}
				time.Sleep(time.Millisecond)
			}
		}
		commit()
		t.agree(a, fs)
	}
}

// checkRolledBack asks for what lies behind appends that were never committed.
func checkRolledBack(t *test) {
	cs := t.openAll(2)
	a := cs[0]
	for round := range t.scale(5) {
		var rollbacks []func()
		for i := range 3 {
			_, rollback := t.hold(a, fmt.Sprint("held-", round, "-", i), t.batch(1+4*i))
			rollbacks = append(rollbacks, rollback)
			a.append("between", driver.Any, record())
		}
		f := follower{c: cs[1], limit: 2}
		_, err := f.step()
		t.must(err)
		for _, rollback := range rollbacks {
			rollback()
		}
		t.agree(a, []*follower{&f})
	}
	t.noStrangers(a)
}

// checkHeldAmongWriters holds appends open for some time, again and again, while
// others write and read.
func checkHeldAmongWriters(t *test) {
	cs := t.openAll(4)
	s := t.start(cs, 8)
	wait := s.readers(cs)
	var wg sync.WaitGroup
	for w := range 3 {
		// The hook may call Fatalf, which has to be on this goroutine: hold here.
		var holds [2]func()
		for i := range holds {
			commit, rollback := t.hold(cs[0], fmt.Sprint("held-", w, "-", i), t.batch(2))
			if holds[i] = commit; (w+i)%2 == 1 {
				holds[i] = rollback
			}
		}
		wg.Go(func() {
			for i, end := range holds {
				time.Sleep(time.Duration(20*(w+1)*(i+1)) * time.Millisecond)
				end()
			}
		})
		time.Sleep(t.span() / 8)
	}
	wg.Wait()
	s.wait()
	t.agree(cs[0], wait())
}
