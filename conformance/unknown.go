package conformance

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/go-es/es/driver"
)

var unknownChecks = []check{
	{"unknown/ended", "U1", nil, checkEndedContext},
	{"unknown/cancelled", "U2 U3", nil, checkCancelled},
	{"unknown/kept", "U2 U3", []need{needKept}, checkCancelledKept},
	{"unknown/transient", "U4", nil, checkTransient},
	{"unknown/soon", "U5", nil, checkEndsSoon},
	{"unknown/blocked", "U2 U5", []need{needHold, needClients}, checkBlocked},
	{"unknown/lost", "U2 U3 U4", []need{needFault}, checkLostConnection},
	{"unknown/each-request", "U2 U3 U4 D4 D8", []need{needFault}, checkEachRequest},
	{"unknown/late", "U2 U3 D4 D5 D8 C2 C6 P2 P4", []need{needFault}, checkLate},
	{"unknown/down", "U2 U3 U5 X5", []need{needFault}, checkDown},
}

// settleTime is how long a call may go on after its context has ended: what the
// specification allows for settling, and more for a machine under load.
var settleTime = 10 * time.Second

// checkEndedContext makes every call with a context that has ended.
func checkEndedContext(t *test) {
	a := t.open()
	recs := a.fill("ended", 0, 2)
	before := len(a.whole(0))
	cancelled, cancel := context.WithCancel(t.ctx)
	cancel()
	expired, cancel2 := context.WithDeadline(t.ctx, time.Now().Add(-time.Second))
	defer cancel2()
	for _, ctx := range []context.Context{cancelled, expired} {
		for name, err := range a.callAll(ctx, "ended", 2, recs[1]) {
			if !errors.Is(err, ctx.Err()) {
				t.broken("U1", "%s with a context that had ended (%v): error %v", name, ctx.Err(), err)
			}
		}
		if s, err := t.openStore(ctx, t.data()); err == nil {
			s.Close()
			t.broken("U1", "Open with a context that had ended (%v) succeeded", ctx.Err())
		} else if !errors.Is(err, ctx.Err()) {
			t.broken("U1", "Open with a context that had ended (%v): error %v", ctx.Err(), err)
		}
	}
	time.Sleep(50 * time.Millisecond)
	if got := a.head("ended"); got != 2 {
		t.broken("U1", "calls whose context had ended took the stream from version 2 to %d", got)
	}
	if after := len(a.whole(0)); after != before {
		t.broken("U1", "calls whose context had ended took the feed from %d events to %d", before, after)
	}
	if _, ok := a.s.(driver.CheckpointStore); ok {
		if cp, err := a.LoadCheckpoint(t.ctx, "called"); err != nil || cp != (driver.Checkpoint{}) {
			t.broken("U1", "SaveCheckpoint with a context that had ended saved %+v, error %v", cp, err)
		}
	}
	if _, ok := a.s.(driver.SnapshotStore); ok {
		if s, err := a.LoadSnapshot(t.ctx, "ended", "called"); err != nil || s.Version != 0 {
			t.broken("U1", "SaveSnapshot with a context that had ended saved %+v, error %v", s, err)
		}
	}
}

// callAll makes every call that the store has, and returns the errors by name.
// The stream exists, at a version, and last is its last record.
func (c *client) callAll(ctx context.Context, stream string, head driver.Version, last driver.Record) map[string]error {
	errs := map[string]error{}
	note := func(name string, err error) { errs[name] = err }
	_, err := c.Append(ctx, to(stream, driver.Any, record()))
	note("Append at any version", err)
	_, err = c.Append(ctx, to(stream, driver.Exactly(head), record()))
	note("Append at an exact version", err)
	last.Stream, last.Version, last.Position = "", 0, 0
	_, err = c.Append(ctx, to(stream, driver.Exactly(head-1), last))
	note("Append again", err)
	_, err = c.ReadStream(ctx, driver.StreamQuery{Stream: stream})
	note("ReadStream", err)
	_, err = c.ReadStream(ctx, driver.StreamQuery{Stream: "no " + stream})
	note("ReadStream of a missing stream", err)
	_, err = c.ReadAll(ctx, driver.FeedQuery{})
	note("ReadAll", err)
	_, err = c.Head(ctx)
	note("Head", err)
	_, err = c.ListStreams(ctx, driver.ListQuery{})
	note("ListStreams", err)
	_, err = c.Delete(ctx, deletion(stream, driver.Any, driver.Tombstone))
	note("Delete", err)
	note("Ping", c.Ping(ctx))
	if _, ok := c.s.(driver.CheckpointStore); ok {
		_, err = c.LoadCheckpoint(ctx, "called")
		note("LoadCheckpoint", err)
		note("SaveCheckpoint", c.SaveCheckpoint(ctx, driver.Checkpoint{Name: "called", Position: 1, Revision: record().ID}, driver.Revision{}))
		_, err = c.ListCheckpoints(ctx, driver.CheckpointQuery{})
		note("ListCheckpoints", err)
		note("DeleteCheckpoint", c.DeleteCheckpoint(ctx, "called"))
	}
	if _, ok := c.s.(driver.SnapshotStore); ok {
		note("SaveSnapshot", c.SaveSnapshot(ctx, snapshot(stream, "called", 1)))
		_, err = c.LoadSnapshot(ctx, stream, "called")
		note("LoadSnapshot", err)
		note("DeleteSnapshot", c.DeleteSnapshot(ctx, stream, "called"))
	}
	if _, ok := c.s.(driver.GroupAppender); ok {
		note("AppendGroup", c.AppendGroup(ctx, []driver.AppendRequest{to(stream, driver.Any, record())})[0].Err)
	}
	if s, ok := c.s.(driver.Settler); ok {
		_, err = s.Settled(ctx, stream)
		note("Settled", err)
	}
	if n, ok := c.s.(driver.Notifier); ok {
		done := make(chan error, 1)
		go func() { done <- n.Listen(ctx, func() {}) }()
		select {
		case err := <-done:
			if !errors.Is(err, errors.ErrUnsupported) { // where this store cannot listen
				note("Listen", err)
			}
		case <-time.After(c.t.cfg.FeedBound):
			note("Listen", errors.New("did not return"))
		}
	}
	return errs
}

// attempt is a write whose context ended at some moment, and what it returned.
type attempt struct {
	req    driver.AppendRequest
	res    driver.AppendResult
	delete *driver.DeleteRequest
	err    error
}

// checkCancelled ends the contexts of appends, groups and deletes at random
// moments, and then asks each what it said against what is stored.
func checkCancelled(t *test) {
	cs := t.openAll(4)
	for i := range 4 {
		cs[0].append(fmt.Sprint("cancelled-", i), driver.NoStream, record())
	}
	begin := time.Now()
	for range 3 {
		cs[0].append("cancelled-0", driver.Any, record())
	}
	usual := max(time.Since(begin)/3, 20*time.Microsecond)
	var mu sync.Mutex
	var attempts []attempt
	deadline := time.Now().Add(t.span())
	t.together(8, func(w int) {
		rng := rand.New(rand.NewPCG(uint64(w), 11))
		c := cs[w%len(cs)]
		for k := 0; k < 150 && (k < 10 || time.Now().Before(deadline)); k++ {
			ctx, cancel := context.WithCancel(t.ctx)
			timer := time.AfterFunc(time.Duration(rng.Int64N(int64(2*usual))), cancel)
			for _, a := range c.attempt(ctx, rng, fmt.Sprint(w, "-", k)) {
				mu.Lock()
				attempts = append(attempts, a)
				mu.Unlock()
			}
			timer.Stop()
			cancel()
			time.Sleep(time.Duration(rng.IntN(500)) * time.Microsecond)
		}
	})
	cs[0].judge(attempts)
}

// attempt makes one write of some kind.
func (c *client) attempt(ctx context.Context, rng *rand.Rand, unique string) []attempt {
	t := c.t
	stream := fmt.Sprint("cancelled-", rng.IntN(4))
	req := to(stream, driver.Any, records(t.batch(1+rng.IntN(3)))...)
	switch k := rng.IntN(10); {
	case k == 0:
		stream = "deleted-" + unique
		if _, err := c.appendSurely(to(stream, driver.NoStream, record())); err != nil {
			t.wrong("U2", "Append: %v", err)
			return nil
		}
		d := deletion(stream, []driver.Expected{driver.Any, 1, driver.Exists}[rng.IntN(3)], modes[rng.IntN(2)])
		_, err := c.Delete(ctx, d)
		return []attempt{{delete: &d, err: err}}
	case k == 1 && t.caps.MaxStreams > 1 && t.batch(2) > 1:
		req = toEach(driver.Part{Stream: stream, Expected: driver.Any, Records: records(1)}, driver.Part{Stream: "new-" + unique, Expected: driver.NoStream, Records: records(1)})
	case k == 2 && implementing[driver.GroupAppender](c.s):
		reqs := []driver.AppendRequest{to(stream, driver.Any, records(1)...)}
		if t.batch(2) > 1 {
			reqs = append(reqs, to("group-"+unique, driver.NoStream, records(1)...))
		}
		var as []attempt
		for i, o := range c.AppendGroup(ctx, reqs) {
			as = append(as, attempt{req: reqs[i], res: o.Result, err: o.Err})
		}
		return as
	case k < 5:
		req = to("new-"+unique, driver.NoStream, records(t.batch(2))...)
	case k < 7:
		page, err := c.ReadStream(t.ctx, driver.StreamQuery{Stream: stream, Backward: true, Limit: 1})
		if err != nil {
			t.wrong("U2", "ReadStream: %v", err)
			return nil
		}
		req.Parts[0].Expected = driver.Exactly(page.Head)
	case k < 8:
		req.Parts[0].Expected = driver.Exists
	}
	res, err := c.Append(ctx, req)
	return []attempt{{req: req, res: res, err: err}}
}

// judge decides attempts of unknown outcome by sending them again, and then
// holds what each write returned against what is stored.
func (c *client) judge(attempts []attempt) {
	t := c.t
	t.Helper()
	for i := range attempts {
		a := &attempts[i]
		e, unknown := errors.AsType[*driver.UnknownOutcomeError](a.err)
		if !unknown {
			continue
		}
		if a.delete != nil {
			d := *a.delete
			if len(e.Parts) == 1 {
				d.Expected = driver.Exactly(e.Parts[0].Base)
			}
			_, a.err = c.Delete(t.ctx, d)
		} else {
			a.res, a.err = c.appendSurely(driver.Rebase(a.req, e.Parts))
		}
		if a.err != nil && !errors.Is(a.err, driver.ErrConflict) && !errors.Is(a.err, driver.ErrStreamDeleted) {
			t.broken("U3", "a write of unknown outcome, sent again at its base: %v", a.err)
		}
	}
	look := func(when string) {
		t.Helper()
		at := map[driver.ID][]place{}
		for _, r := range c.whole(0) {
			at[r.ID] = append(at[r.ID], place{r.Stream, r.Version})
		}
		for _, a := range attempts {
			a.judge(t, when, at)
		}
	}
	look("when all calls had returned")
	time.Sleep(20 * time.Millisecond)
	look("a little later")
}

func (a *attempt) judge(t *test, when string, at map[driver.ID][]place) {
	t.Helper()
	if a.delete != nil {
		n := len(at[a.delete.Record.ID])
		if a.err == nil && n != 1 || a.err != nil && n != 0 && !errors.Is(a.err, driver.ErrStreamDeleted) {
			t.broken("U2", "%s, a delete of stream %q with error %v is stored %d times", when, a.delete.Stream, a.err, n)
		}
		return
	}
	for i, p := range a.req.Parts {
		for j, r := range p.Records {
			places := at[r.ID]
			switch {
			case a.err == nil && (len(places) != 1 || places[0] != place{p.Stream, a.res.Parts[i].First + driver.Version(j)}):
				t.broken("U2", "%s, event %d of an append to stream %q at %v, which succeeded with %s, is stored at %v", when, j, p.Stream, p.Expected, brief(a.res.Parts[i]), places)
			case a.err != nil && len(places) > 0 && !errors.Is(a.err, driver.ErrStreamDeleted):
				t.broken("U2", "%s, event %d of an append to stream %q at %v, which failed with %v, is stored at %v", when, j, p.Stream, p.Expected, a.err, places)
			}
		}
	}
}

var needKept = need{"CheckpointStore or SnapshotStore", func(p *probe) bool { return needCheckpoints.has(p) || needSnapshots.has(p) }}

// checkCancelledKept ends the contexts of saves while they run, and asks each for
// the truth.
func checkCancelledKept(t *test) {
	cs := t.openAll(2)
	a, b := cs[0], cs[1]
	a.append("kept", driver.NoStream, record())
	rng := rand.New(rand.NewPCG(1, 19))
	var last driver.Checkpoint
	var lastSnap driver.Snapshot
	deadline := time.Now().Add(t.span())
	for k := 0; k < 150 && (k < 30 || time.Now().Before(deadline)); k++ {
		if implementing[driver.CheckpointStore](a.s) {
			next := at("kept", driver.Position(k+1))
			err := cancelling(t.ctx, rng, func(ctx context.Context) error { return a.SaveCheckpoint(ctx, next, last.Revision) })
			got, lerr := b.LoadCheckpoint(t.ctx, "kept")
			t.must(lerr)
			unknown := errors.Is(err, driver.ErrUnknownOutcome)
			if got != next && (err == nil || got != last) || got == next && err != nil && !unknown {
				t.broken("U2", "SaveCheckpoint of %+v over %+v, whose context ended while it ran: error %v, and %+v is loaded", next, last, err, got)
			}
			if unknown { // the same call decides it
				if err := a.SaveCheckpoint(t.ctx, next, last.Revision); err != nil {
					t.broken("U3", "SaveCheckpoint of unknown outcome, made again: %v", err)
				}
				got = next
			}
			last = got
		}
		if implementing[driver.SnapshotStore](a.s) {
			next := snapshot("kept", "state", driver.Version(k+1))
			err := cancelling(t.ctx, rng, func(ctx context.Context) error { return a.SaveSnapshot(ctx, next) })
			got, lerr := b.LoadSnapshot(t.ctx, "kept", "state")
			t.must(lerr)
			isNext, isLast := snapshotDifference(next, got) == "", snapshotDifference(lastSnap, got) == ""
			if !isNext && (err == nil || !isLast) || isNext && err != nil && !errors.Is(err, driver.ErrUnknownOutcome) {
				t.broken("U2", "SaveSnapshot of version %d over %d, whose context ended while it ran: error %v, and version %d is loaded", next.Version, lastSnap.Version, err, got.Version)
			}
			if lastSnap = got; errors.Is(err, driver.ErrUnknownOutcome) {
				if err := a.SaveSnapshot(t.ctx, next); err != nil {
					t.broken("U3", "SaveSnapshot of unknown outcome, made again: %v", err)
				}
				lastSnap = next
			}
		}
	}
}

// cancelling makes a call whose context ends at some moment while it runs.
func cancelling(ctx context.Context, rng *rand.Rand, call func(ctx context.Context) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	timer := time.AfterFunc(time.Duration(rng.IntN(1000))*time.Microsecond, cancel)
	defer timer.Stop()
	return call(ctx)
}

// checkTransient writes with as much contention as can be had. Half of the
// writers make the call again after a transient error; the others do not, and
// then nothing may be stored.
func checkTransient(t *test) {
	cs := t.openAll(4)
	var mu sync.Mutex
	var attempts []attempt
	deadline := time.Now().Add(t.span())
	t.together(16, func(w int) {
		c := cs[w%len(cs)]
		for k := 0; k < 60 && (k < 3 || time.Now().Before(deadline)); k++ {
			req := to(fmt.Sprint("hot-", k%2), driver.Any, records(1)...)
			if t.caps.MaxStreams > 1 && t.batch(2) > 1 && k%3 == 0 {
				req = toEach(driver.Part{Stream: fmt.Sprint("hot-", w%2), Expected: driver.Any, Records: records(1)}, driver.Part{Stream: fmt.Sprint("hot-", 1-w%2), Expected: driver.Any, Records: records(1)})
			}
			a := attempt{req: req}
			if w%2 == 0 {
				a.res, a.err = c.appendSurely(req)
				if a.err != nil {
					t.wrong("U4", "an append at any version, made again after transient errors for up to %v: %v", transientTime, a.err)
					return
				}
			} else if a.res, a.err = c.s.Append(t.ctx, req); a.err == nil {
				c.lookAtAppend(req, a.res)
			} else if !driver.IsTransient(a.err) && !errors.Is(a.err, driver.ErrUnknownOutcome) {
				t.wrong("U4", "an append at any version: %v", a.err)
				return
			}
			mu.Lock()
			attempts = append(attempts, a)
			mu.Unlock()
			time.Sleep(500 * time.Microsecond)
		}
	})
	cs[0].judge(attempts)
}

// checkEndsSoon ends the contexts of reads and writes while they run.
func checkEndsSoon(t *test) {
	a := t.open()
	n := t.scale(1000)
	recs := a.fill("long", 0, n)
	a.whole(0)
	calls := map[string]func(ctx context.Context) error{
		"ReadStream": func(ctx context.Context) error {
			_, err := a.ReadStream(ctx, driver.StreamQuery{Stream: "long"})
			return err
		},
		"ReadAll":     func(ctx context.Context) error { _, err := a.ReadAll(ctx, driver.FeedQuery{}); return err },
		"ListStreams": func(ctx context.Context) error { _, err := a.ListStreams(ctx, driver.ListQuery{}); return err },
		"Head":        func(ctx context.Context) error { _, err := a.Head(ctx); return err },
		"Append again": func(ctx context.Context) error {
			r := recs[0]
			r.Stream, r.Version = "", 0
			_, err := a.Append(ctx, to("long", driver.NoStream, r))
			return err
		},
	}
	for name, f := range calls {
		for i := range 10 {
			after := time.Duration(i*i) * 20 * time.Microsecond
			ctx, cancel := context.WithTimeout(t.ctx, after)
			begin := time.Now()
			err := f(ctx)
			took := time.Since(begin)
			cancel()
			if took > after+settleTime {
				t.broken("U5", "%s returned %v after its context had ended", name, took-after)
			}
			sent := name == "Append again" && errors.Is(err, driver.ErrUnknownOutcome)
			if err != nil && !errors.Is(err, context.DeadlineExceeded) && !sent {
				t.broken("U5", "%s, whose context ended while it ran: error %v", name, err)
			}
		}
	}
}

// checkBlocked lets an append wait for another one that is held open.
func checkBlocked(t *test) {
	a := t.open()
	for _, committed := range []bool{true, false} {
		stream := fmt.Sprint("blocked-", committed)
		a.append(stream, driver.NoStream, record())
		held := record()
		commit, rollback := t.cfg.Hold(t.TB, t.data(), to(stream, 1, held))
		var attempts []attempt
		for _, e := range []driver.Expected{1, driver.Any} {
			ctx, cancel := context.WithTimeout(t.ctx, 100*time.Millisecond)
			req := to(stream, e, record())
			begin := time.Now()
			res, err := a.Append(ctx, req)
			took := time.Since(begin)
			cancel()
			if took > settleTime {
				t.broken("U5", "an append at %v that another one kept waiting returned after %v; its context had 100 ms", e, took)
			}
			attempts = append(attempts, attempt{req: req, res: res, err: err})
		}
		if committed {
			t.must(commit())
			a.log.ack(place{stream, 2}, held.ID)
		} else {
			t.must(rollback())
		}
		a.judge(attempts)
	}
}

// checkLostConnection breaks the connection at every kind of write, before the
// request and after the commit.
func checkLostConnection(t *test) {
	a, c, f := t.openFaulty()
	var attempts []attempt
	for _, reply := range []bool{false, true} {
		for _, e := range []driver.Expected{driver.NoStream, 2, driver.Any, driver.Exists} {
			stream := fmt.Sprintf("lost-%t-%d", reply, e)
			if e != driver.NoStream {
				a.fill(stream, 0, 2)
			}
			req := to(stream, e, records(t.batch(2))...)
			broken := t.breakNext(f, reply)
			res, err := c.s.Append(t.ctx, req)
			broken("Append")
			t.trace.add(traced{c.n, fmt.Sprintf("Append with the connection lost (reply %t)", reply), req, res, err})
			if err == nil {
				c.lookAtAppend(req, res)
			} else if errors.Is(err, driver.ErrConflict) {
				t.broken("U2", "an append to stream %q at %v, which holds, with the connection lost (reply %t): %v", stream, e, reply, err)
			}
			attempts = append(attempts, attempt{req: req, res: res, err: err})
			if driver.IsTransient(err) {
				res, err := c.Append(t.ctx, req)
				if err != nil {
					t.broken("U4", "an append to stream %q at %v, made again after a transient error: %v", stream, e, err)
				}
				attempts[len(attempts)-1] = attempt{req: req, res: res}
			}
		}
		stream := fmt.Sprintf("lost-%t-delete", reply)
		a.fill(stream, 0, 2)
		d := deletion(stream, driver.Exactly(2), driver.Tombstone)
		broken := t.breakNext(f, reply)
		got, err := c.s.Delete(t.ctx, d)
		broken("Delete")
		t.trace.add(traced{c.n, fmt.Sprintf("Delete with the connection lost (reply %t)", reply), d, got, err})
		if err == nil {
			c.lookAtDelete(d, got)
		}
		attempts = append(attempts, attempt{delete: &d, err: err})
		if implementing[driver.GroupAppender](c.s) {
			var reqs []driver.AppendRequest
			for i := range t.batch(3) {
				reqs = append(reqs, to(fmt.Sprintf("lost-%t-group-%d", reply, i), []driver.Expected{driver.NoStream, driver.Any}[i%2], record()))
			}
			broken := t.breakNext(f, reply)
			for i, o := range c.AppendGroup(t.ctx, reqs) {
				attempts = append(attempts, attempt{req: reqs[i], res: o.Result, err: o.Err})
			}
			broken("AppendGroup")
		}
		if implementing[driver.CheckpointStore](c.s) {
			cp := at(stream, 1)
			t.lost(f, reply, "SaveCheckpoint", func() error { return c.SaveCheckpoint(t.ctx, cp, driver.Revision{}) })
			t.loads(a, "U3", "after its connection was lost", cp)
			t.lost(f, reply, "DeleteCheckpoint", func() error { return c.DeleteCheckpoint(t.ctx, cp.Name) })
			if got := a.checkpoints(0); len(got) != 0 {
				t.broken("U3", "DeleteCheckpoint succeeded, and there is %+v", got[0])
			}
		}
		if implementing[driver.SnapshotStore](c.s) {
			name := fmt.Sprintf("lost-%t-snapshot", reply)
			a.fill(name, 0, 1)
			snap := snapshot(name, "state", 1)
			t.lost(f, reply, "SaveSnapshot", func() error { return c.SaveSnapshot(t.ctx, snap) })
			t.keeps(a, "U3", "after its connection was lost", snap)
			t.lost(f, reply, "DeleteSnapshot", func() error { return c.DeleteSnapshot(t.ctx, name, "state") })
			t.keepsNone(a, "U3", "after its connection was lost", name, "state")
		}
	}
	a.judge(attempts)
}

// breakNext breaks the connection at the next request that writes. The call that it
// returns goes behind the write, which is named.
func (t *test) breakNext(f Faulty, reply bool) (write func(name string)) {
	at := f.Break
	if at == nil {
		at = func(reply bool) func() bool { return f.BreakAt(1, reply) }
	}
	broke := at(reply)
	return func(name string) {
		t.Helper()
		if !broke() {
			t.wrong("U2", "%s with the connection lost (reply %t): the hook Break did not break it, so that nothing was tried", name, reply)
		}
	}
}

// lost makes a call whose connection is lost, and makes it again if its outcome
// is unknown. (client makes it again if the error is transient.)
func (t *test) lost(f Faulty, reply bool, name string, call func() error) {
	t.Helper()
	broken := t.breakNext(f, reply)
	t.repeat(name, call)
	broken(name)
}

// repeat makes a call that changes no stream, and makes it again if it failed:
// either its outcome is unknown, or nothing was done.
func (t *test) repeat(name string, call func() error) {
	t.Helper()
	err := call()
	if err == nil {
		return
	}
	if e, unknown := errors.AsType[*driver.UnknownOutcomeError](err); unknown && len(e.Parts) > 0 {
		t.broken("U3", "%s, which changes no stream, has the unknown outcome of %d parts", name, len(e.Parts))
	}
	if again := call(); again != nil {
		t.broken("U3", "%s with the connection lost failed with %v, and then, made again, with %v", name, err, again)
	}
}

// checkDown cuts the database off while writes run.
func checkDown(t *test) {
	dsn := t.data()
	a := t.open()
	f := t.cfg.Fault(t.TB, dsn)
	if f.Down == nil {
		t.Skipf("for want of Faulty.Down")
	}
	c := t.adopt(dsn, f.Store)
	c.faulty = true
	var attempts []attempt
	for _, e := range []driver.Expected{driver.NoStream, 2, driver.Any} {
		stream := fmt.Sprintf("down-%d", e)
		if e != driver.NoStream {
			a.fill(stream, 0, 2)
		}
		_, err := c.tryStream(driver.StreamQuery{Stream: stream})
		if err != nil && !errors.Is(err, driver.ErrStreamNotFound) {
			t.must(err)
		}
		req := to(stream, e, record())
		up := f.Down()
		ctx, cancel := context.WithTimeout(t.ctx, 200*time.Millisecond)
		begin := time.Now()
		res, err := c.s.Append(ctx, req)
		took := time.Since(begin)
		t.trace.add(traced{c.n, "Append with the database cut off", req, res, err})
		c.lookAtRefusal(err, req.Parts...)
		cancel()
		if took > 200*time.Millisecond+settleTime {
			t.broken("U5", "an append with the database cut off returned after %v; its context had 200 ms", took)
		}
		ctx, cancel = context.WithTimeout(t.ctx, 200*time.Millisecond)
		begin = time.Now()
		_, rerr := c.s.ReadStream(ctx, driver.StreamQuery{Stream: stream})
		cancel()
		if took := time.Since(begin); took > 200*time.Millisecond+settleTime {
			t.broken("U5", "ReadStream with the database cut off returned after %v, error %v; its context had 200 ms", took, rerr)
		}
		up()
		attempts = append(attempts, attempt{req: req, res: res, err: err})
	}
	var err error
	if !t.eventually(func() bool {
		ctx, cancel := context.WithTimeout(t.ctx, callTime)
		defer cancel()
		var res driver.AppendResult
		req := to("down-after", driver.Any, record())
		res, err = c.s.Append(ctx, req)
		attempts = append(attempts, attempt{req: req, res: res, err: err})
		if err == nil {
			c.lookAtAppend(req, res) // so that the feed is read until it has it
		}
		return err == nil
	}) {
		t.broken("X5", "the database can be reached for %v, and an append fails: %v", t.cfg.FeedBound, err)
	}
	a.judge(attempts)
}
