package conformance

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/go-es/es/driver"
)

var wakeChecks = []check{
	{"wake/soon", "W1", []need{needNotifier, needClients}, checkWake},
	{"wake/ends", "W2", []need{needNotifier}, checkListenEnds},
	{"wake/reconnects", "W2", []need{needNotifier, needFault}, checkListenReconnects},
	{"settle/reaches", "T1", []need{needLate}, checkSettled},
	{"settle/writers", "T1", []need{needLate}, checkSettledUnderWriters},
}

// listen starts Listen on a goroutine.
func (c *client) listen(ctx context.Context, wake func()) (done chan error) {
	done = make(chan error, 1)
	go func() { done <- c.s.(driver.Notifier).Listen(ctx, wake) }()
	return done
}

func checkWake(t *test) {
	cs := t.openAll(2)
	wakers := cs[0].wakers()
	ctx, cancel := context.WithCancel(t.ctx)
	var wakes atomic.Int64
	done := cs[1].listen(ctx, func() { wakes.Add(1) })
	for round, w := range wakers {
		before := wakes.Load()
		// A call may be lost, and Listen may not run yet: append again.
		if !t.eventually(func() bool {
			select {
			case err := <-done:
				if errors.Is(err, errors.ErrUnsupported) {
					cancel()
					t.Skipf("this store cannot listen: %v", err)
				}
				t.broken("W2", "Listen returned although its context had not ended and the store was open: %v", err)
			default:
			}
			w.write()
			time.Sleep(5 * time.Millisecond)
			return wakes.Load() > before
		}) {
			t.broken("W1", "round %d: another client has %s for %v, and wake was not called", round, w.name, t.cfg.FeedBound)
		}
	}
	cancel()
	t.ended(done, &wakes, context.Canceled)
	cs[0].append("waking", driver.Any, record())
}

// waker is a call after which others are to be woken.
type waker struct {
	name  string
	write func()
}

// wakers are those that the store has. What they need is there when it returns.
func (c *client) wakers() []waker {
	t := c.t
	once := func() { c.append("waking", driver.Any, record()) }
	all := []waker{{"appended", once}, {"appended", once}, {"appended", once}}
	if t.caps.MaxStreams > 1 && t.batch(2) > 1 {
		all = append(all, waker{"appended to two streams at once", func() {
			_, err := c.appendSurely(toEach(
				driver.Part{Stream: "waking", Expected: driver.Any, Records: records(1)},
				driver.Part{Stream: "waking-2", Expected: driver.Any, Records: records(1)},
			))
			t.must(err)
		}})
	}
	if implementing[driver.GroupAppender](c.s) {
		all = append(all, waker{"appended groups", func() {
			t.must(c.groupSurely([]driver.AppendRequest{to("waking", driver.Any, record())})[0].Err)
		}})
	}
	const streams = 20
	for i := range streams {
		c.append(fmt.Sprint("waking-", i), driver.NoStream, record())
	}
	gone := 0
	return append(all, waker{"deleted streams", func() {
		if gone < streams {
			c.delete(fmt.Sprint("waking-", gone), driver.Tombstone)
			gone++
		}
	}})
}

// ended ends the check unless Listen returns an error and calls wake no more.
func (t *test) ended(done chan error, wakes *atomic.Int64, want error) {
	t.Helper()
	select {
	case err := <-done:
		if errors.Is(err, errors.ErrUnsupported) {
			t.Skipf("this store cannot listen: %v", err)
		}
		if !errors.Is(err, want) {
			t.broken("W2", "Listen returned %v instead of %v", err, want)
		}
	case <-time.After(t.cfg.FeedBound):
		t.broken("W2", "Listen did not return within %v: %v was expected", t.cfg.FeedBound, want)
	}
	before := wakes.Load()
	for _, c := range t.clients {
		if _, err := c.s.Append(t.ctx, to("late", driver.Any, record())); err == nil {
			break
		}
	}
	time.Sleep(30 * time.Millisecond)
	if after := wakes.Load(); after != before {
		t.broken("W2", "wake was called %d times after Listen had returned", after-before)
	}
}

func checkListenEnds(t *test) {
	a := t.open()
	var wakes atomic.Int64
	ctx, cancel := context.WithCancel(t.ctx)
	done := a.listen(ctx, func() { wakes.Add(1) })
	a.append("woken", driver.Any, record())
	time.Sleep(10 * time.Millisecond)
	cancel()
	t.ended(done, &wakes, context.Canceled)

	ctx, cancel = context.WithTimeout(t.ctx, 20*time.Millisecond)
	defer cancel()
	t.ended(a.listen(ctx, func() { wakes.Add(1) }), &wakes, context.DeadlineExceeded)

	b := t.other(a)
	done = b.listen(t.ctx, func() { wakes.Add(1) })
	done2 := b.listen(t.ctx, func() { wakes.Add(1) })
	b.append("woken", driver.Any, record())
	time.Sleep(10 * time.Millisecond)
	t.must(b.Close())
	t.ended(done, &wakes, driver.ErrClosed)
	t.ended(done2, &wakes, driver.ErrClosed)
}

// checkListenReconnects cuts the database off for a client that listens.
func checkListenReconnects(t *test) {
	a := t.open()
	f := t.cfg.Fault(t.TB, t.data())
	c := t.adopt(t.data(), f.Store)
	c.faulty = true
	if f.Down == nil {
		t.Skipf("for want of Faulty.Down")
	}
	ctx, cancel := context.WithCancel(t.ctx)
	var wakes atomic.Int64
	done := c.listen(ctx, func() { wakes.Add(1) })
	t.wakes(a, done, &wakes, "before the database was cut off")
	up := f.Down()
	time.Sleep(50 * time.Millisecond)
	up()
	time.Sleep(50 * time.Millisecond)
	t.wakes(a, done, &wakes, "after the database had been cut off")
	cancel()
	t.ended(done, &wakes, context.Canceled)
}

// wakes appends until a listener is woken.
func (t *test) wakes(writer *client, done chan error, wakes *atomic.Int64, when string) {
	t.Helper()
	before := wakes.Load()
	if !t.eventually(func() bool {
		select {
		case err := <-done:
			if errors.Is(err, errors.ErrUnsupported) {
				t.Skipf("this store cannot listen: %v", err)
			}
			t.broken("W2", "%s, Listen returned although its context had not ended and the store was open: %v", when, err)
		default:
		}
		ctx, cancel := context.WithTimeout(t.ctx, callTime)
		defer cancel()
		writer.s.Append(ctx, to("waking", driver.Any, record()))
		time.Sleep(5 * time.Millisecond)
		return wakes.Load() > before
	}) {
		t.broken("W2", "%s, another client has appended for %v, and wake was not called", when, t.cfg.FeedBound)
	}
}

// settles waits until every version of a stream has a position, and asks for
// what that means.
func (t *test) settles(reader, asked *client, stream string, head driver.Version) {
	t.Helper()
	var last driver.Version
	ok := t.eventually(func() bool {
		v, err := asked.Settled(t.ctx, stream)
		t.must(err)
		if v < last || v > head {
			t.broken("T1", "Settled of stream %q at version %d was %d, and is %d", stream, head, last, v)
		}
		if v > last {
			top, err := asked.Head(t.ctx)
			t.must(err)
			recs, _ := reader.readOn(0, 0)
			n := driver.Version(0)
			for _, r := range ofStream(recs, stream) {
				if r.Position <= top {
					n = max(n, r.Version)
				}
			}
			if n < v {
				t.broken("T1", "Settled of stream %q is %d, Head is %d, and the feed has the stream up to version %d there", stream, v, top, n)
			}
		}
		last = v
		_, err = reader.ReadAll(t.ctx, driver.FeedQuery{After: driver.Position(reader.log.high.Load())})
		t.must(err)
		return v == head
	})
	if !ok {
		t.broken("T1", "stream %q is at version %d, and after %v of ReadAll Settled is %d", stream, head, t.cfg.FeedBound, last)
	}
}

func checkSettled(t *test) {
	cs := t.openAll(2)
	a, b := cs[0], cs[1]
	if v, err := a.Settled(t.ctx, "missing"); err != nil || v != 0 {
		t.broken("T1", "Settled of a missing stream is %d, error %v", v, err)
	}
	heads := map[string]driver.Version{}
	for i := range 6 {
		stream := fmt.Sprint("settled-", i%3)
		heads[stream] = a.append(stream, driver.Any, records(t.batch(3))...).Last
		t.settles(b, a, stream, heads[stream])
	}
	for i, mode := range modes {
		stream := fmt.Sprint("settled-", i)
		heads[stream] = a.delete(stream, mode).Last
		last, err := a.Settled(t.ctx, stream)
		t.must(err)
		if last > heads[stream] {
			t.broken("T1", "Settled of a closed stream at version %d is %d", heads[stream], last)
		}
		if !t.eventually(func() bool {
			_, err := b.ReadAll(t.ctx, driver.FeedQuery{After: driver.Position(b.log.high.Load())})
			t.must(err)
			v, err := a.Settled(t.ctx, stream)
			t.must(err)
			return v == heads[stream]
		}) {
			t.broken("T1", "a closed stream is at version %d, and after %v of ReadAll Settled is less", heads[stream], t.cfg.FeedBound)
		}
	}
	a.whole(0)
}

func checkSettledUnderWriters(t *test) {
	cs := t.openAll(4)
	s := t.start(cs, 8)
	wait := s.readers(cs)
	last := map[string]driver.Version{}
	heads := map[place]driver.Position{} // Head, once Settled had returned a version
	for i := 0; !s.stopped() && i < 200; i++ {
		stream := fmt.Sprint("storm-", i%8)
		v, err := cs[i%4].Settled(t.ctx, stream)
		t.must(err)
		if v < last[stream] {
			t.broken("T1", "Settled of stream %q was %d, and is %d", stream, last[stream], v)
		}
		last[stream] = v
		head, err := cs[i%4].Head(t.ctx)
		t.must(err)
		if _, known := heads[place{stream, v}]; !known && v > 0 {
			heads[place{stream, v}] = head
		}
		time.Sleep(2 * time.Millisecond)
		if i == 100 {
			break
		}
	}
	s.wait()
	for _, r := range t.agree(cs[0], wait()) {
		for p, head := range heads {
			if r.Stream == p.stream && r.Version <= p.version && r.Position > head {
				t.broken("T1", "Settled of stream %q was %d when Head was %d, and version %d is at position %d", p.stream, p.version, head, r.Version, r.Position)
			}
		}
	}
	for i := range 8 {
		stream := fmt.Sprint("storm-", i)
		if head := cs[0].head(stream); head > 0 {
			t.settles(cs[1], cs[2], stream, head)
		}
	}
}
