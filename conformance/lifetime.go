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

var lifetimeChecks = []check{
	{"lifetime/concurrent", "X1", nil, checkConcurrentCalls},
	{"lifetime/closed", "X2", nil, checkClosed},
	{"lifetime/closing", "X1 X3", nil, checkClosing},
	{"lifetime/goroutines", "X3", nil, checkGoroutines},
	{"lifetime/acknowledged", "X3 X4", []need{needLasting}, checkCloseLosesNothing},
	{"lifetime/acknowledged-beside", "X3 X4", []need{needClients}, checkCloseBesideOthers},
}

// checkConcurrentCalls makes all calls of the store at once.
func checkConcurrentCalls(t *test) {
	cs := t.openAll(2)
	for i := range 4 {
		cs[0].fill(fmt.Sprint("shared-", i), 0, 3)
	}
	deadline := time.Now().Add(t.span())
	t.together(12, func(w int) {
		rng := rand.New(rand.NewPCG(uint64(w), 13))
		c := cs[w%2]
		for k := 0; k < 200 && (k < 10 || time.Now().Before(deadline)); k++ {
			if err := c.anyCall(t.ctx, rng, fmt.Sprint(w, "-", k)); err != nil && !errors.Is(err, driver.ErrUnknownOutcome) {
				t.wrong("X1", "a call beside others: %v", err)
				return
			}
			time.Sleep(200 * time.Microsecond)
		}
	})
	cs[0].whole(0)
}

// anyCall makes some call and returns an error that it should not have.
func (c *client) anyCall(ctx context.Context, rng *rand.Rand, unique string) error {
	t := c.t
	stream := fmt.Sprint("shared-", rng.IntN(4))
	var err error
	switch k := rng.IntN(12); k {
	case 0, 1:
		_, err = c.Append(ctx, to(stream, driver.Any, records(t.batch(2))...))
	case 2:
		_, err = c.ReadStream(ctx, driver.StreamQuery{Stream: stream, Backward: rng.IntN(2) == 0, Limit: rng.IntN(4)})
	case 3:
		_, err = c.ReadAll(ctx, driver.FeedQuery{Limit: rng.IntN(20)})
	case 4:
		_, err = c.Head(ctx)
	case 5:
		_, err = c.ListStreams(ctx, driver.ListQuery{Prefix: "shared-", Limit: rng.IntN(3)})
	case 6:
		if _, err = c.Append(ctx, to("once-"+unique, driver.NoStream, record())); err == nil {
			_, err = c.Delete(ctx, deletion("once-"+unique, driver.Any, modes[rng.IntN(2)]))
		}
	case 7:
		err = c.Ping(ctx)
	case 8:
		if implementing[driver.CheckpointStore](c.s) {
			var cp driver.Checkpoint
			if cp, err = c.LoadCheckpoint(ctx, "shared"); err == nil {
				if err = c.SaveCheckpoint(ctx, at("shared", 1), cp.Revision); errors.Is(err, driver.ErrCheckpointConflict) {
					err = nil
				}
			}
			if err == nil {
				_, err = c.ListCheckpoints(ctx, driver.CheckpointQuery{})
			}
		}
	case 9:
		if implementing[driver.SnapshotStore](c.s) {
			if err = c.SaveSnapshot(ctx, snapshot(stream, "state", driver.Version(rng.IntN(100)+1))); err == nil {
				_, err = c.LoadSnapshot(ctx, stream, "state")
			}
		}
	case 10:
		if implementing[driver.GroupAppender](c.s) {
			err = c.groupSurely([]driver.AppendRequest{to(stream, driver.Any, record())})[0].Err
		}
	default:
		if n, ok := c.s.(driver.Notifier); ok {
			short, cancel := context.WithTimeout(ctx, time.Millisecond)
			err = n.Listen(short, func() {})
			cancel()
			if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, errors.ErrUnsupported) {
				err = nil
			}
		}
	}
	return err
}

func checkClosed(t *test) {
	a := t.open()
	recs := a.fill("closed", 0, 2)
	caps := a.s.Caps()
	for i := range 3 {
		if err := a.Close(); err != nil {
			t.broken("X2", "call %d of Close: %v", i+1, err)
		}
	}
	for name, err := range a.callAll(t.ctx, "closed", 2, recs[1]) {
		if !errors.Is(err, driver.ErrClosed) {
			t.broken("X2", "%s after Close: error %v", name, err)
		}
	}
	if got := a.s.Caps(); got != caps {
		t.broken("M1", "Caps after Close are other ones than before: %s", capsDifference(got, caps))
	}
	t.together(4, func(int) {
		if err := a.s.Close(); err != nil {
			t.wrong("X2", "Close again: %v", err)
		}
	})
	if p := t.cfg; !p.Private && !p.Volatile {
		b := t.open()
		if got := b.head("closed"); got != 2 {
			t.broken("X2", "calls after Close took a stream from version 2 to %d", got)
		}
		b.whole(0)
	}
}

// checkClosing closes stores while all calls are made on them.
func checkClosing(t *test) {
	before := goroutines()
	for round := range t.scale(10) {
		a := t.open()
		for i := range 4 {
			a.fill(fmt.Sprint("shared-", i), a.head(fmt.Sprint("shared-", i)), 1)
		}
		stop := make(chan struct{})
		var wg sync.WaitGroup
		for w := range 8 {
			wg.Go(func() {
				rng := rand.New(rand.NewPCG(uint64(w), uint64(round)))
				for k := 0; ; k++ {
					err := a.anyCall(t.ctx, rng, fmt.Sprint(round, "-", w, "-", k))
					if errors.Is(err, driver.ErrClosed) {
						return
					}
					if err != nil && !errors.Is(err, driver.ErrUnknownOutcome) { // Close does not wait for ever
						t.wrong("X3", "a call while the store was closed: %v", err)
						return
					}
					select {
					case <-stop:
						t.wrong("X2", "calls succeed after Close has returned")
						return
					default:
					}
				}
			})
		}
		time.Sleep(time.Duration(round) * time.Millisecond)
		closing := make(chan error, 2)
		for range 2 {
			go func() { closing <- a.Close() }()
		}
		for range 2 {
			select {
			case err := <-closing:
				if err != nil {
					t.broken("X3", "Close while calls ran: %v", err)
				}
			case <-time.After(t.cfg.FeedBound + settleTime):
				t.broken("X3", "Close did not return within %v while calls ran", t.cfg.FeedBound+settleTime)
			}
		}
		time.AfterFunc(t.cfg.FeedBound, func() { close(stop) })
		wg.Wait()
		if t.cfg.Private {
			continue
		}
	}
	if stacks := leaked(before); len(stacks) > 0 {
		t.broken("X3", "%d goroutines are left after Close, such as:\n%s", len(stacks), stacks[0])
	}
}

func checkGoroutines(t *test) {
	dsn := t.data()
	before := goroutines()
	for range 3 {
		c, err := t.openDSN(dsn)
		t.must(err)
		ctx, cancel := context.WithCancel(t.ctx)
		var done chan error
		if implementing[driver.Notifier](c.s) {
			done = c.listen(ctx, func() {})
		}
		c.append("leak", driver.Any, record())
		rng := rand.New(rand.NewPCG(1, 2))
		c.fill("shared-0", c.head("shared-0"), 1)
		for i := range 4 {
			c.append(fmt.Sprint("shared-", i), driver.Any, record())
		}
		for k := range 30 {
			t.must(c.anyCall(t.ctx, rng, driver.NewID(time.Now()).String()+fmt.Sprint(k)))
		}
		short, stop := context.WithCancel(t.ctx)
		stop()
		c.Append(short, to("leak", driver.Any, record()))
		t.must(c.Close())
		if done != nil {
			select {
			case <-done:
			case <-time.After(t.cfg.FeedBound):
				t.broken("W2", "Listen did not return within %v of Close", t.cfg.FeedBound)
			}
		}
		cancel()
	}
	if stacks := leaked(before); len(stacks) > 0 {
		t.broken("X3", "%d goroutines are left after Close, such as:\n%s", len(stacks), stacks[0])
	}
}

// writeUntilClosed appends from several goroutines until the store is closed,
// and returns what each append returned.
func (c *client) writeUntilClosed(prefix string, closeAfter time.Duration) []attempt {
	t := c.t
	var mu sync.Mutex
	var attempts []attempt
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for k := range 150 {
				req := to(fmt.Sprint(prefix, (w+k)%3), driver.Any, records(t.batch(2))...)
				if k%2 == 1 {
					req = to(fmt.Sprint(prefix, w, "-", k), driver.NoStream, records(1)...)
				}
				res, err := c.Append(t.ctx, req)
				mu.Lock()
				attempts = append(attempts, attempt{req: req, res: res, err: err})
				mu.Unlock()
				if err != nil {
					if !errors.Is(err, driver.ErrClosed) && !errors.Is(err, driver.ErrUnknownOutcome) {
						t.wrong("X3", "an append while the store was closed: %v", err)
					}
					return
				}
			}
		})
	}
	time.Sleep(closeAfter)
	if err := c.Close(); err != nil {
		t.wrong("X3", "Close while appends ran: %v", err)
	}
	wg.Wait()
	return attempts
}

// judgeClosed holds the appends that a Close met against what is stored.
func (c *client) judgeClosed(attempts []attempt) {
	t := c.t
	t.Helper()
	at := map[driver.ID]int{}
	for _, r := range c.everything() {
		at[r.ID]++
	}
	for _, a := range attempts {
		for _, r := range a.req.Parts[0].Records {
			switch n := at[r.ID]; {
			case a.err == nil && n != 1:
				t.broken("X4", "an append was acknowledged with %s before or while the store was closed, and its event %v is stored %d times", brief(a.res), r.ID, n)
			case errors.Is(a.err, driver.ErrClosed) && n != 0:
				t.broken("X3", "an append failed with ErrClosed, and its event %v is stored", r.ID)
			}
		}
	}
	c.whole(0)
}

func checkCloseLosesNothing(t *test) {
	var attempts []attempt
	for round := range t.scale(10) {
		a := t.open()
		attempts = append(attempts, a.writeUntilClosed(fmt.Sprint("round-", round, "-"), time.Duration(round*round)*time.Millisecond/4)...)
		b := t.open()
		b.judgeClosed(attempts)
		t.must(b.Close())
	}
}

func checkCloseBesideOthers(t *test) {
	b := t.open()
	var attempts []attempt
	for round := range t.scale(10) {
		a := t.open()
		attempts = append(attempts, a.writeUntilClosed(fmt.Sprint("round-", round, "-"), time.Duration(round*round)*time.Millisecond/4)...)
		b.judgeClosed(attempts)
	}
}
