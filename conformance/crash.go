package conformance

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-es/es/driver"
)

// The database is killed while clients use it, and comes back.

var crashChecks = []check{
	{"crash/writers", "A1 A6 F1 F2 F5 U2 U3 X5", []need{needCrash, needLasting}, checkCrash},
	{"crash/rest", "A6 C4 D5 P3 X5", []need{needCrash, needLasting}, checkCrashAtRest},
	{"crash/listen", "W2", []need{needCrash, needLasting, needNotifier, needClients}, checkCrashOfListener},
}

var needCrash = need{"Config.Crash", func(p *probe) bool { return p.cfg.Crash != nil }}

// crashes are writers who go on whatever happens, and what each write returned.
type crashes struct {
	t        *test
	stop     chan struct{}
	done     sync.WaitGroup
	acks     []atomic.Int64 // by client
	mu       sync.Mutex
	attempts []attempt
}

// callTime bounds a call to a database that may be dead.
const callTime = 2 * time.Second

// writers starts n writers.
func (t *test) writers(cs []*client, n int) *crashes {
	w := &crashes{t: t, stop: make(chan struct{}), acks: make([]atomic.Int64, len(cs))}
	for i := range n {
		w.done.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(i), 17))
			for k := 0; ; k++ {
				select {
				case <-w.stop:
					return
				case <-time.After(time.Duration(500+rng.IntN(2000)) * time.Microsecond):
					w.write(cs[i%len(cs)], i%len(cs), rng, fmt.Sprint(i, "-", k))
				}
			}
		})
	}
	return w
}

// write makes one append, once: what the client cannot settle stays unknown.
func (w *crashes) write(c *client, n int, rng *rand.Rand, unique string) {
	t := w.t
	ctx, cancel := context.WithTimeout(t.ctx, callTime)
	defer cancel()
	req := to(fmt.Sprint("crash-", rng.IntN(6)), driver.Any, batchOf(t.batch(1+rng.IntN(4)))...)
	switch kind := rng.IntN(6); {
	case kind < 2:
		req.Parts[0].Stream, req.Parts[0].Expected = "crash-"+unique, driver.NoStream
	case kind < 3 && t.caps.MaxStreams > 1 && t.batch(2) > 1:
		recs := batchOf(2)
		req = toEach(driver.Part{Stream: "crash-0", Expected: driver.Any, Records: recs[:1]}, driver.Part{Stream: "crash-" + unique, Expected: driver.NoStream, Records: recs[1:]})
	}
	res, err := c.s.Append(ctx, req)
	t.trace.add(traced{c.n, "Append", req, res, err})
	c.lookAtTransient("Append", err)
	if err == nil {
		c.lookAtAppend(req, res)
		w.acks[n].Add(1)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.attempts = append(w.attempts, attempt{req: req, res: res, err: err})
}

// goOn waits until every client has made a number of further appends.
func (w *crashes) goOn(n int64) bool {
	want := make([]int64, len(w.acks))
	for i := range want {
		want[i] = w.acks[i].Load() + n
	}
	return w.t.eventually(func() bool {
		for i := range want {
			if w.acks[i].Load() < want[i] {
				return false
			}
		}
		return true
	})
}

// end stops the writers and returns what they did.
func (w *crashes) end() []attempt {
	close(w.stop)
	w.done.Wait()
	return w.attempts
}

// follow reads the feed on and on, and past what fails.
func (w *crashes) follow(f *follower) {
	w.done.Go(func() {
		for {
			select {
			case <-w.stop:
				return
			case <-time.After(time.Millisecond):
			}
			ctx, cancel := context.WithTimeout(w.t.ctx, callTime)
			if page, err := f.c.ReadAll(ctx, driver.FeedQuery{After: f.after, Limit: f.limit}); err == nil {
				f.all, f.after = append(f.all, page.Records...), page.Next
			} else if errors.Is(err, driver.ErrCheckpointAhead) {
				w.t.wrong("F2", "ReadAll(after %d), which is a Next that ReadAll returned: %v", f.after, err)
			}
			cancel()
		}
	})
}

// crash kills the database, waits, and brings it back.
func (t *test) crash(kill, revive func(), dead time.Duration) {
	t.trace.add(traced{0, "kill the database", nil, nil, nil})
	kill()
	time.Sleep(dead)
	t.trace.add(traced{0, "bring the database back", nil, nil, nil})
	revive()
}

// checkCrash kills the database while 16 writers and some readers use it.
func checkCrash(t *test) {
	dsn, kill, revive := t.cfg.Crash(t.TB)
	t.dsn = dsn
	cs := t.openAll(4)
	for _, c := range cs {
		c.faulty = true
	}
	fs := []*follower{{c: cs[0]}, {c: cs[1], limit: 3}}
	for round := range t.scale(3) {
		w := t.writers(cs, 16)
		for _, f := range fs {
			w.follow(f)
		}
		if !w.goOn(3) {
			w.end()
			t.broken("X5", "round %d: for %v not every client could append to a database that runs", round, t.cfg.FeedBound)
		}
		time.Sleep(time.Duration(rand.Int64N(int64(t.span() / 8))))
		t.crash(kill, revive, time.Duration(round)*100*time.Millisecond)
		again := w.goOn(3)
		attempts := w.end()
		if !again {
			t.broken("X5", "round %d: the database has been back for %v, and not every client could append", round, t.cfg.FeedBound)
		}
		fresh := t.other(cs[0])
		t.wholeOrNot(fresh, round, attempts)
		stored := map[place]driver.ID{}
		for _, r := range fresh.everything() {
			stored[place{r.Stream, r.Version}] = r.ID
		}
		for p, id := range fresh.log.acknowledged() {
			if stored[p] != id {
				t.broken("A6", "round %d: version %d of stream %q, id %v, was acknowledged before the database was killed; in the feed is %v", round, p.version, p.stream, id, stored[p])
			}
		}
		fresh.judge(attempts)
		t.agree(cs[0], fs)
		if fresh != cs[0] {
			t.must(fresh.Close())
		}
	}
}

// wholeOrNot asks of every append of unknown outcome for all or nothing.
func (t *test) wholeOrNot(c *client, round int, attempts []attempt) {
	t.Helper()
	stored := map[string]map[driver.ID]bool{}
	for _, a := range attempts {
		if !errors.Is(a.err, driver.ErrUnknownOutcome) {
			continue
		}
		n, all := 0, 0
		for _, p := range a.req.Parts {
			if stored[p.Stream] == nil {
				stored[p.Stream] = map[driver.ID]bool{}
				recs, err := c.tryStream(driver.StreamQuery{Stream: p.Stream})
				if !errors.Is(err, driver.ErrStreamNotFound) {
					t.must(err)
				}
				for _, r := range recs {
					stored[p.Stream][r.ID] = true
				}
			}
			for _, r := range p.Records {
				if all++; stored[p.Stream][r.ID] {
					n++
				}
			}
		}
		if n != 0 && n != all {
			t.broken("A1", "round %d: after the database was killed, %d of the %d events of an append to stream %q, which failed with %v, are stored", round, n, all, a.req.Parts[0].Stream, a.err)
		}
	}
}

// checkCrashAtRest kills a database that nobody uses, and looks at all that was
// acknowledged before.
func checkCrashAtRest(t *test) {
	dsn, kill, revive := t.cfg.Crash(t.TB)
	t.dsn = dsn
	a := t.open()
	recs := a.fill("kept", 0, 5)
	a.fill("closed", 0, 3)
	a.delete("closed", driver.Tombstone)
	late := to("purged", driver.NoStream, records(t.batch(2))...)
	_, err := a.Append(t.ctx, late)
	t.must(err)
	a.delete("purged", driver.Purge)
	cp := at("reader", 3)
	if implementing[driver.CheckpointStore](a.s) {
		t.must(a.SaveCheckpoint(t.ctx, cp, driver.Revision{}))
	}
	snap := snapshot("kept", "state", 4)
	if implementing[driver.SnapshotStore](a.s) {
		t.must(a.SaveSnapshot(t.ctx, snap))
	}
	t.crash(kill, revive, 0)
	a.faulty = true
	if !t.eventually(func() bool {
		ctx, cancel := context.WithTimeout(t.ctx, callTime)
		defer cancel()
		err = a.s.Ping(ctx)
		return err == nil
	}) {
		t.broken("X5", "the database has been back for %v, and Ping fails: %v", t.cfg.FeedBound, err)
	}
	b := t.other(a)
	for _, c := range []*client{a, b} {
		t.same("A6", "after the database was killed", recs, c.stream(driver.StreamQuery{Stream: "kept"}))
		for _, stream := range []string{"closed", "purged"} {
			if _, err := c.tryStream(driver.StreamQuery{Stream: stream}); !errors.Is(err, driver.ErrStreamDeleted) {
				t.broken("A6", "stream %q was deleted before the database was killed; ReadStream: error %v", stream, err)
			}
		}
		if _, err := c.Append(t.ctx, late); !errors.Is(err, driver.ErrStreamDeleted) {
			t.broken("D5", "a late duplicate of an append to a stream that was purged before the database was killed: error %v", err)
		}
		if implementing[driver.CheckpointStore](c.s) {
			t.loads(c, "C4", "after the database was killed", cp)
		}
		if implementing[driver.SnapshotStore](c.s) {
			t.keeps(c, "P3", "after the database was killed", snap)
		}
		c.whole(0)
	}
}

// checkCrashOfListener wakes a listener whose database was killed.
func checkCrashOfListener(t *test) {
	dsn, kill, revive := t.cfg.Crash(t.TB)
	t.dsn = dsn
	cs := t.openAll(2)
	var wakes atomic.Int64
	ctx, cancel := context.WithCancel(t.ctx)
	defer cancel()
	done := cs[1].listen(ctx, func() { wakes.Add(1) })
	for _, c := range cs {
		c.faulty = true
	}
	t.wakes(cs[0], done, &wakes, "before the database was killed")
	t.crash(kill, revive, 50*time.Millisecond)
	time.Sleep(50 * time.Millisecond) // a wake-up of a break is legal
	t.wakes(cs[0], done, &wakes, "after the database was back")
	cancel()
	t.ended(done, &wakes, context.Canceled)
}
