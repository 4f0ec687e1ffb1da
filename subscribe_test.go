package es_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-es/es"
	"github.com/go-es/es/driver"
	"github.com/go-es/es/drivers/memory"
)

// follower is a subscription that runs in a goroutine of its own.
type follower struct {
	mu   sync.Mutex
	got  []es.Record
	at   []time.Time
	err  error
	done chan struct{}
}

func follow(ctx context.Context, s *es.Store, opts ...es.FeedOption) *follower {
	f := &follower{done: make(chan struct{})}
	go func() {
		defer close(f.done)
		for r, err := range s.Subscribe(ctx, opts...) {
			f.mu.Lock()
			if err != nil {
				f.err = err
			} else {
				f.got, f.at = append(f.got, r), append(f.at, time.Now())
			}
			f.mu.Unlock()
		}
	}()
	return f
}

func (f *follower) seen() []es.Record {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.got)
}

func (f *follower) lastAt() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.at[len(f.at)-1]
}

// A subscription sees what its own store wrote without waiting for anything. The
// driver sends no wake-ups here.
func TestSubscriptionsWakeAtOnce(t *testing.T) {
	for _, write := range []struct {
		name string
		do   func(ctx context.Context, s *es.Store) error
	}{
		{"append", func(ctx context.Context, s *es.Store) error {
			_, err := s.Append(ctx, "s", es.Any, tick{})
			return err
		}},
		{"append to several", func(ctx context.Context, s *es.Store) error {
			_, err := s.AppendAll(ctx, es.To("t", es.Any, tick{}), es.To("s", 1))
			return err
		}},
		{"delete", func(ctx context.Context, s *es.Store) error {
			_, err := s.Delete(ctx, "s", es.Any, es.Tombstone)
			return err
		}},
	} {
		synctest.Test(t, func(t *testing.T) {
			f := overMemory()
			s := over(t, f, es.PollEvery(time.Hour))
			put(t, s, "s", tick{})
			ctx, cancel := context.WithCancel(t.Context())
			sub := follow(ctx, s, es.After(1))
			time.Sleep(3 * time.Hour) // it polls once an hour now
			start := time.Now()
			if err := write.do(ctx, s); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			if len(sub.seen()) != 1 || time.Since(start) != 0 {
				t.Errorf("%s: %d events after %v", write.name, len(sub.seen()), time.Since(start))
			}
			cancel()
			<-sub.done
			is(t, write.name, sub.err, context.Canceled)
		})
	}
}

// A write whose outcome is unknown may be there, and wakes as well.
func TestUnknownOutcomesWake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLossy(0, true)
		s := over(t, l, es.PollEvery(time.Hour))
		put(t, s, "s", tick{})
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		sub := follow(ctx, s)
		time.Sleep(3 * time.Hour)
		start := time.Now()
		l.lose = 2
		_, err := s.Append(ctx, "s", es.Any, tick{})
		is(t, "Append", err, io.ErrUnexpectedEOF)
		synctest.Wait()
		if len(sub.seen()) != 2 || time.Since(start) != 0 {
			t.Errorf("%d events after %v", len(sub.seen()), time.Since(start))
		}
		_, err = s.Delete(ctx, "s", es.Any, es.Tombstone)
		is(t, "Delete", err, io.ErrUnexpectedEOF)
		synctest.Wait()
		if len(sub.seen()) != 3 || time.Since(start) != 0 {
			t.Errorf("%d events after %v", len(sub.seen()), time.Since(start))
		}
	})
}

// An append while a subscription is between reading the end and resting must not
// be slept through.
func TestWakeBeforeTheRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := overMemory()
		var s *es.Store
		n := 0
		f.onFeed = func(ctx context.Context, q driver.FeedQuery) (driver.FeedPage, error) {
			page, err := f.Store.ReadAll(ctx, q)
			if n++; n <= 5 { // after the page was read, and before it is returned
				put(t, s, "s", tick{n})
			}
			return page, err
		}
		s = over(t, f, es.PollEvery(time.Hour))
		start := time.Now()
		if got := all(t, s.Subscribe(t.Context(), es.Limit(5))); len(got) != 5 || time.Since(start) != 0 {
			t.Errorf("%d events after %v", len(got), time.Since(start))
		}
	})
}

// So must an append in the loop's body, whatever page the store has read by then.
func TestWakeFromTheLoopsBody(t *testing.T) {
	for _, page := range []int{1, 2, 3, 100} {
		synctest.Test(t, func(t *testing.T) {
			s := over(t, overMemory(), es.PollEvery(time.Hour))
			put(t, s, "s", ticks(1, 6)...)
			start, n := time.Now(), 0
			for r, err := range s.Subscribe(t.Context(), es.PageSize(page), es.Limit(12)) {
				if err != nil {
					t.Fatal(err)
				}
				synctest.Wait() // for all that goes on beside the loop
				if n++; int(r.Position) != n {
					t.Errorf("position %d is event %d", r.Position, n)
				}
				if n == 1 || n == 5 {
					put(t, s, "s", tick{}, tick{}, tick{})
				}
			}
			if d := time.Since(start); n != 12 || d != 0 {
				t.Errorf("pages of %d: %d events after %v", page, n, d)
			}
		})
	}
}

// others appends to the data of a store as another process does.
func others(t *testing.T, f *fake, n int) {
	t.Helper()
	rec := driver.Record{ID: driver.NewID(time.Now()), Type: "tick", Encoding: "json", Data: fmt.Appendf(nil, `{"N":%d}`, n), Time: time.Now()}
	if _, err := f.Store.Append(t.Context(), driver.AppendRequest{Parts: []driver.Part{{Stream: "other", Expected: driver.Any, Records: []driver.Record{rec}}}}); err != nil {
		t.Fatal(err)
	}
}

func TestPollingForOthers(t *testing.T) {
	for _, row := range []struct {
		name string
		opts []es.Option
		most time.Duration
	}{
		{"by default", nil, 500 * time.Millisecond},
		{"every 50 ms", []es.Option{es.PollEvery(50 * time.Millisecond)}, 50 * time.Millisecond},
		{"every minute", []es.Option{es.PollEvery(time.Minute)}, time.Minute},
		{"every ms", []es.Option{es.PollEvery(time.Millisecond)}, time.Millisecond},
	} {
		synctest.Test(t, func(t *testing.T) {
			f := overMemory()
			s := over(t, f, row.opts...)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			sub := follow(ctx, s)
			time.Sleep(20*row.most + row.most/3)
			for i := range 3 {
				start := time.Now()
				others(t, f, i)
				time.Sleep(row.most)
				synctest.Wait()
				if len(sub.seen()) != i+1 {
					t.Fatalf("%s: event %d was not seen within %v", row.name, i, row.most)
				}
				if d := sub.lastAt().Sub(start); d > row.most {
					t.Errorf("%s: event %d was seen after %v", row.name, i, d)
				}
				time.Sleep(20 * row.most)
			}
			// At rest there is one call a poll, and no more.
			before := f.calls()
			time.Sleep(100 * row.most)
			if n := f.calls() - before; n < 99 || n > 101 {
				t.Errorf("%s: %d calls in the time of 100", row.name, n)
			}
		})
	}
}

// Soon after events a subscription polls more often, at pauses that double.
func TestPollingSlowsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := overMemory()
		var at []time.Duration
		start := time.Now()
		f.onFeed = func(ctx context.Context, q driver.FeedQuery) (driver.FeedPage, error) {
			at = append(at, time.Since(start)/time.Millisecond)
			return f.Store.ReadAll(ctx, q)
		}
		s := over(t, f)
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		sub := follow(ctx, s)
		time.Sleep(time.Second)
		others(t, f, 1)
		<-sub.done
		if want := []time.Duration{0, 10, 30, 70, 150, 310, 630, 1130, 1140, 1160, 1200, 1280, 1440, 1760}; !slices.Equal(at, want) {
			t.Errorf("it polled at %v, want %v", at, want)
		}
	})
}

// Where the driver sends wake-ups, they are enough: polling is only the net below.
func TestWakeUpsOfTheDriver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wakes := make(chan struct{})
		f := fakeNotifier{fake: overMemory(), onListen: func(ctx context.Context, wake func()) error {
			for {
				select {
				case <-ctx.Done():
					return ctx.Err()
				case <-wakes:
					wake()
				}
			}
		}}
		s := over(t, f)
		ctx, cancel := context.WithCancel(t.Context())
		sub := follow(ctx, s)
		time.Sleep(time.Minute + time.Second)
		start := time.Now()
		others(t, f.fake, 1)
		wakes <- struct{}{}
		synctest.Wait()
		if len(sub.seen()) != 1 || time.Since(start) != 0 {
			t.Errorf("%d events after %v", len(sub.seen()), time.Since(start))
		}
		// Without cause they do no harm, and lost ones are made up for.
		wakes <- struct{}{}
		time.Sleep(time.Minute)
		others(t, f.fake, 2)
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if len(sub.seen()) != 2 {
			t.Error("a wake-up that was lost is not made up for within 5 seconds")
		}
		time.Sleep(time.Minute)
		before := f.calls("feed")
		time.Sleep(time.Minute)
		if n := f.calls("feed") - before; n != 12 {
			t.Errorf("at rest there were %d calls in a minute, want 12", n)
		}
		if n := f.calls("listen"); n != 1 {
			t.Errorf("Listen was called %d times", n)
		}
		cancel()
		<-sub.done
	})
}

// A driver whose stores cannot all listen says so; then half a second it is.
func TestDriverThatCannotListen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := fakeNotifier{fake: overMemory(), onListen: func(context.Context, func()) error {
			return fmt.Errorf("es: not here: %w", errors.ErrUnsupported)
		}}
		s := over(t, f)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		sub := follow(ctx, s)
		time.Sleep(time.Minute)
		for i := range 11 { // at different moments of its polls
			others(t, f.fake, i)
			time.Sleep(530 * time.Millisecond)
			if n := len(sub.seen()); n != i+1 {
				t.Errorf("%d events were seen of %d", n, i+1)
			}
			time.Sleep(10 * time.Second)
		}
		if n := f.calls("listen"); n != 1 {
			t.Errorf("Listen was called %d times", n)
		}
	})
}

// A Listen that fails is called again, not too often, and each time the feed is
// looked at for what was missed.
func TestListenThatFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := fakeNotifier{fake: overMemory(), onListen: func(context.Context, func()) error { return errBroken }}
		s := over(t, f, es.PollEvery(time.Hour))
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		sub := follow(ctx, s)
		time.Sleep(time.Minute)
		if n := f.calls("listen"); n < 60 || n > 75 {
			t.Errorf("Listen was called %d times in a minute", n)
		}
		others(t, f.fake, 1)
		time.Sleep(time.Second)
		synctest.Wait()
		if len(sub.seen()) != 1 {
			t.Error("what was missed is not looked for")
		}
	})
}

// A subscription that has been told of news that the feed does not show yet looks
// again soon.
func TestLatePositions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := overMemory()
		f.caps = func(c driver.Caps) driver.Caps { c.PositionOnAppend, c.Gapless = false, false; return c }
		var visible atomic.Uint64
		f.onAppend = func(ctx context.Context, req driver.AppendRequest) (driver.AppendResult, error) {
			out, err := f.Store.Append(ctx, req)
			if err == nil {
				p := out.Parts[0].Position
				out.Parts[0].Position = 0
				time.AfterFunc(30*time.Millisecond, func() { visible.Store(uint64(p)) })
			}
			return out, err
		}
		f.onFeed = func(ctx context.Context, q driver.FeedQuery) (driver.FeedPage, error) {
			page, err := f.Store.ReadAll(ctx, q)
			until := driver.Position(visible.Load())
			page.Records = slices.DeleteFunc(page.Records, func(r driver.Record) bool { return r.Position > until })
			page.Next, page.Seen = max(q.After, until), q.Seen
			return page, err // with End: what has no position yet does not count
		}
		s := over(t, f, es.PollEvery(time.Hour))
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		sub := follow(ctx, s)
		for i := range 3 {
			time.Sleep(10 * time.Hour)
			start := time.Now()
			if out := put(t, s, "s", tick{i}); out.Position != 0 {
				t.Errorf("position %d", out.Position)
			}
			time.Sleep(time.Second)
			if len(sub.seen()) != i+1 {
				t.Fatal("it was not seen within a second")
			}
			if d := sub.lastAt().Sub(start); d < 30*time.Millisecond || d > 100*time.Millisecond {
				t.Errorf("it was seen after %v", d)
			}
		}
	})
}

func TestSubscriptionsEnd(t *testing.T) {
	t.Run("with the context", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := over(t, memory.New())
			put(t, s, "s", tick{})
			ctx, cancel := context.WithTimeout(t.Context(), 777*time.Millisecond)
			defer cancel()
			start := time.Now()
			sub := follow(ctx, s)
			<-sub.done
			is(t, "Subscribe", sub.err, context.DeadlineExceeded)
			if d := time.Since(start); d != 777*time.Millisecond || len(sub.got) != 1 {
				t.Errorf("after %v, with %d events", d, len(sub.got))
			}
			is(t, "Subscribe with a context that has ended", last(s.Subscribe(ctx)), context.DeadlineExceeded)
		})
	})
	t.Run("with the store", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			for _, drv := range []driver.Store{memory.New(), overMemory()} {
				s := over(t, drv)
				put(t, s, "s", tick{})
				var subs []*follower
				for range 5 {
					subs = append(subs, follow(t.Context(), s))
				}
				time.Sleep(time.Minute)
				start := time.Now()
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
				for _, sub := range subs {
					<-sub.done
					is(t, "Subscribe", sub.err, es.ErrClosed)
				}
				if d := time.Since(start); d != 0 {
					t.Errorf("it took %v", d)
				}
				is(t, "Subscribe after Close", last(s.Subscribe(t.Context())), es.ErrClosed)
				is(t, "Pages after Close", last(s.Pages(t.Context())), es.ErrClosed)
			}
		})
	})
	t.Run("with the store, from the loop's body", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := over(t, memory.New())
			put(t, s, "s", tick{})
			var got error
			for _, err := range s.Subscribe(t.Context()) {
				if err == nil {
					if err := s.Close(); err != nil {
						t.Error(err)
					}
				}
				got = err
			}
			is(t, "Subscribe", got, es.ErrClosed)
		})
	})
	t.Run("with an error that lasts", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := overMemory()
			s := over(t, f, es.RetryFor(10*time.Second))
			put(t, s, "s", tick{})
			var broken atomic.Bool
			f.onFeed = func(ctx context.Context, q driver.FeedQuery) (driver.FeedPage, error) {
				if broken.Load() {
					return driver.FeedPage{}, errBusy
				}
				return f.Store.ReadAll(ctx, q)
			}
			sub := follow(t.Context(), s)
			time.Sleep(time.Minute)
			broken.Store(true)
			time.Sleep(8 * time.Second)
			broken.Store(false)
			put(t, s, "s", tick{})
			time.Sleep(time.Second)
			if len(sub.seen()) != 2 {
				t.Errorf("after a fault of 8 seconds %d events were seen", len(sub.seen()))
			}
			broken.Store(true)
			time.Sleep(11 * time.Second)
			<-sub.done
			is(t, "Subscribe", sub.err, errBroken)
		})
	})
	t.Run("with its limit", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := over(t, memory.New())
			go func() {
				for i := range 5 {
					time.Sleep(time.Hour)
					put(t, s, "s", tick{i}, tock{i})
				}
			}()
			if got := all(t, s.Subscribe(t.Context(), es.Limit(3), es.Types("tock"))); len(got) != 3 || number(t, got[2]) != 2 {
				t.Errorf("%v", got)
			}
			pages := 0
			for p, err := range s.Pages(t.Context(), es.Limit(4)) {
				if err != nil {
					t.Fatal(err)
				}
				pages += len(p.Events)
			}
			if pages != 4 {
				t.Errorf("%d events", pages)
			}
			time.Sleep(10 * time.Hour)
		})
	})
}

// Pages goes on after it has caught up, and says so each time.
func TestPagesLive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := over(t, overMemory())
		put(t, s, "s", ticks(1, 5)...)
		go func() {
			for i := range 3 {
				time.Sleep(time.Minute)
				put(t, s, "s", tick{i})
			}
		}()
		var sizes []int
		var caught []bool
		for p, err := range s.Pages(t.Context(), es.PageSize(2), es.Limit(8)) {
			if err != nil {
				t.Fatal(err)
			}
			sizes, caught = append(sizes, len(p.Events)), append(caught, p.CaughtUp)
		}
		if !slices.Equal(sizes, []int{2, 2, 1, 1, 1, 1}) || !slices.Equal(caught, []bool{false, false, true, true, true, true}) {
			t.Errorf("pages of %v, caught up: %v", sizes, caught)
		}
	})
}

// A panic in the loop's body, and a loop that is left, take their subscription
// with them and leave the store as it was.
func TestPanicInTheBodyOfASubscription(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var listening atomic.Int32
		f := fakeNotifier{fake: overMemory(), onListen: func(ctx context.Context, _ func()) error {
			listening.Add(1)
			defer listening.Add(-1)
			<-ctx.Done()
			return ctx.Err()
		}}
		s := over(t, f)
		put(t, s, "s", tick{1})
		for range 3 {
			if p := caught(func() {
				for range s.Subscribe(t.Context()) {
					synctest.Wait()
					if n := listening.Load(); n != 1 {
						t.Errorf("%d listen", n)
					}
					panic("body")
				}
			}); p != "body" {
				t.Errorf("panic %v", p)
			}
			for range s.Pages(t.Context()) {
				break
			}
			synctest.Wait()
			if n := listening.Load(); n != 0 {
				t.Errorf("%d still listen", n)
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		sub := follow(ctx, s)
		put(t, s, "s", tick{2})
		synctest.Wait()
		if len(sub.seen()) != 2 {
			t.Errorf("%d events", len(sub.seen()))
		}
		cancel()
		<-sub.done
	})
}

// ReadAll does not listen, and a store made by With neither.
func TestWhoListens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := fakeNotifier{fake: overMemory(), onListen: func(ctx context.Context, _ func()) error {
			<-ctx.Done()
			return ctx.Err()
		}}
		s := over(t, f)
		put(t, s, "s", tick{1})
		all(t, s.ReadAll(t.Context()))
		all(t, s.With(f).Subscribe(t.Context(), es.Limit(1)))
		synctest.Wait()
		if n := f.calls("listen"); n != 0 {
			t.Errorf("Listen was called %d times", n)
		}
	})
}

// A driver that was closed beneath its store is not asked again.
func TestListenOfAClosedDriver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := fakeNotifier{fake: overMemory(), onListen: func(context.Context, func()) error { return driver.ErrClosed }}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		is(t, "Subscribe", last(over(t, f).Subscribe(ctx)), context.DeadlineExceeded)
		if n := f.calls("listen"); n != 1 {
			t.Errorf("Listen was called %d times", n)
		}
	})
}

// After Close nobody listens any more.
func TestNobodyListensAfterClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := fakeNotifier{fake: overMemory(), onListen: func(ctx context.Context, _ func()) error {
			<-ctx.Done()
			return ctx.Err()
		}}
		s := over(t, f)
		s.Close()
		is(t, "Subscribe", last(s.Subscribe(t.Context())), es.ErrClosed)
		synctest.Wait()
		if n := f.calls("listen"); n != 0 {
			t.Errorf("Listen was called %d times", n)
		}
	})
}

// Subscribers that come and go, while the store listens and stops: at most one
// Listen runs at a time, one does when somebody subscribes, and none is left.
func TestSubscribersComeAndGo(t *testing.T) {
	var running, most atomic.Int32
	f := fakeNotifier{fake: overMemory(), onListen: func(ctx context.Context, wake func()) error {
		if n := running.Add(1); n > most.Load() {
			most.Store(n)
		}
		defer running.Add(-1)
		for {
			select {
			case <-ctx.Done():
				time.Sleep(50 * time.Microsecond) // it takes a moment to stop
				return ctx.Err()
			case <-time.After(100 * time.Microsecond):
				wake()
			}
		}
	}}
	s, err := es.New(f, es.PollEvery(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Append(t.Context(), "s", es.Any, ticks(1, 5)...); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for i := range 60 {
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(w*i%7)*100*time.Microsecond)
				n := 0
				for r, err := range s.Subscribe(ctx, es.PageSize(2)) {
					if err != nil {
						if !errors.Is(err, context.DeadlineExceeded) {
							t.Errorf("Subscribe: %v", err)
						}
						continue
					}
					if n++; int(r.Version) != n {
						t.Errorf("event %d has version %d", n, r.Version)
					}
					if i%3 == 0 && n == 2 {
						break
					}
				}
				cancel()
			}
		})
	}
	wg.Wait()
	// The last to come is served: by a wake-up of the driver, since it polls once
	// an hour.
	sub := follow(t.Context(), s, es.After(5), es.Limit(1))
	others(t, f.fake, 6)
	select {
	case <-sub.done:
	case <-time.After(10 * time.Second):
		t.Error("nobody listens for the last subscription")
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if n := running.Load(); n != 0 {
		t.Errorf("after Close %d still listen", n)
	}
	if n := most.Load(); n != 1 {
		t.Errorf("%d listened at once", n)
	}
}

// 16 subscribers, some of which come late, and 16 writers: every subscriber gets
// every event once, in order.
func TestManySubscribersAndWriters(t *testing.T) {
	stores := map[string]func() driver.Store{
		"memory":         func() driver.Store { return memory.New() },
		"no wake-ups":    func() driver.Store { return overMemory() },
		"groups, filter": func() driver.Store { return fakeGroup{fake: overMemory()} },
	}
	for name, open := range stores {
		t.Run(name, func(t *testing.T) {
			const writers, each, subscribers = 16, 25, 16
			s := over(t, open())
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			var wg sync.WaitGroup
			for w := range writers {
				wg.Go(func() {
					for i := range each {
						if _, err := s.Append(ctx, fmt.Sprint("s", w%5), es.Any, tick{w*each + i}); err != nil {
							t.Errorf("writer %d: %v", w, err)
						}
						if i%5 == w%5 {
							time.Sleep(200 * time.Microsecond)
						}
					}
				})
			}
			for n := range subscribers {
				wg.Go(func() {
					time.Sleep(time.Duration(n) * 300 * time.Microsecond)
					opts := []es.FeedOption{es.PageSize(n % 4), es.Limit(writers * each)}
					var last es.Position
					seen := map[int]bool{}
					versions := map[string]es.Version{}
					for r, err := range s.Subscribe(ctx, opts...) {
						if err != nil {
							t.Errorf("subscriber %d: %v", n, err)
							return
						}
						if r.Position <= last {
							t.Errorf("subscriber %d: position %d after %d", n, r.Position, last)
						}
						last = r.Position
						if r.Version != versions[r.Stream]+1 {
							t.Errorf("subscriber %d: version %d of %s after %d", n, r.Version, r.Stream, versions[r.Stream])
						}
						versions[r.Stream] = r.Version
						seen[number(t, r)] = true
					}
					if len(seen) != writers*each {
						t.Errorf("subscriber %d saw %d events of %d", n, len(seen), writers*each)
					}
				})
			}
			wg.Wait()
		})
	}
}

// On real time: what this process writes is seen much sooner than polling would.
func TestWakeTakesNoPoll(t *testing.T) {
	s := over(t, overMemory(), es.PollEvery(time.Minute))
	sub := follow(t.Context(), s)
	for i := range 20 {
		start := time.Now()
		put(t, s, "s", tick{i})
		for len(sub.seen()) != i+1 {
			if time.Since(start) > 5*time.Second {
				t.Fatalf("event %d is not seen after 5 seconds", i)
			}
			time.Sleep(100 * time.Microsecond)
		}
		time.Sleep(time.Duration(i) * time.Millisecond)
	}
}
