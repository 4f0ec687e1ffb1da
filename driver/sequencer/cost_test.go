package sequencer_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-es/es/driver"
	"github.com/go-es/es/driver/sequencer"
)

// requests returns how many requests a world got, and forgets them.
func (w *world) requests() (all int, by map[string]int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	by, w.count = w.count, map[string]int{}
	for n := range maps.Values(by) {
		all += n
	}
	return all, by
}

// fill appends commits of one event, each to a stream of its own.
func (w *world) fill(t *testing.T, n int) {
	p := &process{world: w}
	for i := range n {
		if ok, err := p.append(t.Context(), fmt.Sprint("filled-", i), 0, 1, driver.ID{1, byte(i), byte(i >> 8)}); !ok || err != nil {
			t.Fatalf("append: %t, %v", ok, err)
		}
	}
}

// toEnd reads on until the feed says End.
func toEnd(t *testing.T, s *sequencer.Sequencer, q driver.FeedQuery) driver.FeedQuery {
	for {
		page, err := s.ReadAll(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		if page.Next > q.After {
			q.Seen = page.Seen
		}
		if q.After = page.Next; page.End {
			return q
		}
		time.Sleep(time.Millisecond)
	}
}

// TestIdle counts what polls of a store at rest cost.
func TestIdle(t *testing.T) {
	for _, kind := range kinds {
		t.Run(string(kind), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(kind, 1)
				w.fill(t, 10)
				s := sequencer.New((&process{world: w}).backend(), sequencer.Config{})
				q := toEnd(t, s, driver.FeedQuery{})
				time.Sleep(time.Second)
				toEnd(t, s, q) // what was left to be cleared is
				w.requests()
				time.Sleep(time.Second)
				if q.After != 10 {
					t.Errorf("read up to %d", q.After)
				}

				toEnd(t, s, q)
				one, by := w.requests()
				t.Logf("a poll that finds nothing: %d requests: %v", one, by)
				if one > 2 {
					t.Errorf("a poll at rest takes %d requests", one)
				}
				const span = 60 * time.Second
				for _, readers := range []int{1, 20} {
					var wait sync.WaitGroup
					for i := range readers {
						wait.Go(func() {
							time.Sleep(time.Duration(i) * 7 * time.Millisecond)
							for begin := time.Now(); time.Since(begin) < span; time.Sleep(500 * time.Millisecond) {
								toEnd(t, s, q)
							}
						})
					}
					wait.Wait()
					n, _ := w.requests()
					rate := float64(n) / span.Seconds()
					t.Logf("%d readers that poll every 500 ms: %.1f requests a second", readers, rate)
					if rate > 8.5 {
						t.Errorf("%d readers make %.1f requests a second", readers, rate)
					}
				}

				cold := sequencer.New((&process{world: w}).backend(), sequencer.Config{})
				toEnd(t, cold, driver.FeedQuery{After: q.After})
				n, by := w.requests()
				t.Logf("the first poll of a process that finds nothing: %d requests: %v", n, by)
				if n > 3 {
					t.Errorf("the first poll of a process takes %d requests", n)
				}
			})
		})
	}
}

// TestOneEvent counts what it costs to give a position to one event, and how soon
// it is delivered.
func TestOneEvent(t *testing.T) {
	for _, kind := range kinds {
		t.Run(string(kind), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(kind, 1)
				w.lag = func(string, int) time.Duration { return time.Millisecond / 2 }
				p := &process{world: w}
				s := sequencer.New(p.backend(), sequencer.Config{})
				w.fill(t, 10)
				q := toEnd(t, s, driver.FeedQuery{})
				time.Sleep(time.Second)
				for _, v := range []driver.Version{1, 2} { // the stream is not known, and then it is
					if _, err := p.append(t.Context(), "one", v-1, 1, driver.ID{2, byte(v)}); err != nil {
						t.Fatal(err)
					}
					w.requests()
					begin := time.Now()
					page, err := s.ReadAll(t.Context(), q)
					if err != nil || len(page.Records) != 1 {
						t.Fatalf("%d records, %v", len(page.Records), err)
					}
					took := time.Since(begin)
					first, _ := w.requests()
					q = toEnd(t, s, driver.FeedQuery{After: page.Next})
					rest, by := w.requests()
					t.Logf("version %d: %d requests, one after the other: %v; then %d: %v", v, first, took, rest, by)
					if want := 5; first > want || took > time.Duration(want)*time.Millisecond || rest > 2 {
						t.Errorf("version %d takes %d requests, %v, and then %d", v, first, took, rest)
					}
					time.Sleep(time.Second)
				}
			})
		})
	}
}

// latency is how long requests of n things take on a server, from one to one more.
type latency map[string]func(n int) time.Duration

func (l latency) of(op string, n int) time.Duration {
	if f := l[op]; f != nil {
		return f(n) / 2 // each way
	}
	return time.Millisecond / 2
}

// servers have the latencies that were measured, in milliseconds.
var servers = func() (rows []server) {
	each := func(base, one float64) func(int) time.Duration {
		return func(n int) time.Duration {
			return time.Duration((base + one*float64(n)) * float64(time.Millisecond))
		}
	}
	return []server{
		{"as Cassandra", perStream, latency{"append": each(5, 0), "log": each(2, 0), "dirty": each(23, 0), "sequenced": each(2, .01), "put": each(3, 0), "raise": each(3, .02), "clear": each(3, .06), "fetch": each(3, .02)}},
		{"as DynamoDB", perCommit, latency{"append": each(16, 0), "log": each(3, 0), "dirty": each(15, 0), "sequenced": each(3, .02), "put": each(3, 0), "raise": each(5, .5), "clear": each(5, .5), "fetch": each(3, .04)}},
		{"as MongoDB", exact, latency{"append": each(5, 0), "log": each(1, 0), "dirty": each(5, 0), "put": each(2, 0), "clear": each(2, .015), "fetch": each(2, .005)}},
	}
}()

type server struct {
	name string
	kind kind
	lag  latency
}

// TestManySequencers lets several processes read and sequence a backlog, and
// compares how fast.
func TestManySequencers(t *testing.T) {
	const events = 10_000
	for _, row := range servers {
		t.Run(row.name, func(t *testing.T) {
			var alone float64
			for _, n := range []int{1, 2, 4} {
				rate, puts, cleared := drain(t, row.kind, events, n, row.lag.of)
				if n == 1 {
					alone = rate
				}
				t.Logf("%d processes: %.0f events a second, %.2f of one; %d puts, %d marks cleared", n, rate, rate/alone, puts, cleared)
				if rate < .8*alone {
					t.Errorf("%d processes sequence %.2f as fast as one", n, rate/alone)
				}
				if cleared > events+events/10 {
					t.Errorf("%d processes clear %d marks of %d commits", n, cleared, events)
				}
			}
		})
	}
}

// TestLag measures how long after its append an event is read, while 16 writers
// append and several processes read and sequence.
func TestLag(t *testing.T) {
	for _, row := range servers {
		t.Run(row.name, func(t *testing.T) {
			alone := 0
			for _, n := range []int{1, 2, 4} {
				lags, left, by := chase(t, row, n)
				if n == 1 {
					alone = by["dirty"]
				}
				if got := by["dirty"]; got > alone+alone/3 {
					t.Errorf("%d processes list %d times, and one %d times", n, got, alone)
				}
				half, most := lags[len(lags)/2], lags[len(lags)*99/100]
				t.Logf("%d processes: half of %d events after %d ms, 99 %% after %d ms; %.1f %% were left when the writers stopped; %d lists, %d puts",
					n, len(lags), half.Milliseconds(), most.Milliseconds(), left*100, by["dirty"], by["put"])
				if most > time.Second || left > .2 {
					t.Errorf("%d processes do not keep up with 16 writers", n)
				}
			}
		})
	}
}

// chase returns how long after their appends the events were read, sorted, and
// which part of them had no position when the writers stopped.
func chase(t *testing.T, row server, processes int) (lags []time.Duration, left float64, by map[string]int) {
	const span = 2 * time.Second
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(row.kind, 1)
		w.lag = func(op string, n int) time.Duration { return row.lag.of(op, n) + w.rand(200*time.Microsecond) }
		var mu sync.Mutex
		acked := map[driver.ID]time.Time{}
		var writers, readers sync.WaitGroup
		for i := range 16 {
			writers.Go(func() {
				p := &process{world: w}
				for k, begin := 0, time.Now(); time.Since(begin) < span; k++ {
					id := driver.ID{byte(i + 1), byte(k), byte(k >> 8)}
					v := driver.Version(k%10 + 1)
					if _, err := p.append(t.Context(), fmt.Sprint(i, "-", k/10), v-1, 1, id); err != nil {
						t.Error(err)
						return
					}
					mu.Lock()
					acked[eventID(id, v)] = time.Now()
					mu.Unlock()
				}
			})
		}
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		total := -1
		for i := range processes {
			readers.Go(func() {
				s := sequencer.New((&process{world: w}).backend(), sequencer.Config{})
				var after driver.Position
				for pause := time.Duration(0); ctx.Err() == nil; {
					page, err := s.ReadAll(ctx, driver.FeedQuery{After: after})
					if err != nil {
						if !errors.Is(err, context.Canceled) {
							t.Error(err)
						}
						return
					}
					mu.Lock()
					for _, r := range page.Records {
						if at, ok := acked[r.ID]; ok && i == 0 {
							lags = append(lags, time.Since(at))
						}
					}
					done := total >= 0 && int(page.Next) == total
					mu.Unlock()
					if done {
						stop()
					}
					if pause = min(max(2*pause, 10*time.Millisecond), 500*time.Millisecond); page.Next > after {
						pause = 0
					}
					after = page.Next
					time.Sleep(pause)
				}
			})
		}
		writers.Wait()
		w.mu.Lock()
		placed := 0
		if n := len(w.log); n > 0 {
			placed = int(w.log[n-1].Next()) - 1
		}
		w.mu.Unlock()
		mu.Lock()
		total = len(acked)
		left = 1 - float64(placed)/float64(total)
		mu.Unlock()
		readers.Wait()
		_, by = w.requests()
	})
	slices.Sort(lags)
	return lags, left, by
}

// drain returns how many events a second some processes sequence, how many batches
// they put, and how many marks they clear.
func drain(t *testing.T, kind kind, events, processes int, lag func(string, int) time.Duration) (rate float64, puts, cleared int) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(kind, 1)
		w.lag = func(string, int) time.Duration { return 0 }
		w.fill(t, events)
		w.requests()
		w.lag = func(op string, n int) time.Duration { return lag(op, n) + w.rand(200*time.Microsecond) }
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		begin := time.Now()
		var wait sync.WaitGroup
		for i := range processes {
			wait.Go(func() {
				time.Sleep(time.Duration(i) * 3 * time.Millisecond)
				s := sequencer.New((&process{world: w}).backend(), sequencer.Config{})
				var after driver.Position
				for pause := time.Duration(0); after < driver.Position(events); {
					page, err := s.ReadAll(ctx, driver.FeedQuery{After: after})
					if errors.Is(err, context.Canceled) {
						return
					}
					if err != nil {
						t.Error(err)
						return
					}
					if page.Next > after { // as es does it
						after, pause = page.Next, 0
					} else {
						pause = min(max(2*pause, 10*time.Millisecond), 500*time.Millisecond)
						time.Sleep(pause)
					}
				}
				stop()
			})
		}
		wait.Wait()
		rate = float64(events) / time.Since(begin).Seconds()
		_, by := w.requests()
		puts, cleared = by["put"], w.things["clear"]
	})
	return rate, puts, cleared
}

// TestClearedOnce looks at an index that shows for seconds what was cleared.
func TestClearedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(perCommit, 1)
		w.gone = 3 * time.Second
		w.fill(t, 10)
		s := sequencer.New((&process{world: w}).backend(), sequencer.Config{})
		w.requests()
		for range 10 {
			toEnd(t, s, driver.FeedQuery{})
			time.Sleep(200 * time.Millisecond)
		}
		if _, by := w.requests(); by["clear"] != 1 || by["dirty"] < 5 {
			t.Errorf("%v", by)
		}
		// It is cleared again if it stays.
		w.mu.Lock()
		w.commits["filled-3"][0].marked = true
		w.mu.Unlock()
		toEnd(t, s, driver.FeedQuery{})
		time.Sleep(20 * time.Second)
		for range 10 { // a listing may hide it
			toEnd(t, s, driver.FeedQuery{})
			time.Sleep(200 * time.Millisecond)
		}
		if w.commits["filled-3"][0].marked {
			t.Error("a mark that came back was not cleared")
		}
	})
}

// TestBatchLimits puts a backlog of many streams, and of long names.
func TestBatchLimits(t *testing.T) {
	for _, name := range []string{"s", strings.Repeat("n", 240)} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(perCommit, 1)
			w.lag = func(string, int) time.Duration { return 0 }
			p := &process{world: w}
			for i := range 1100 {
				if _, err := p.append(t.Context(), fmt.Sprint(name, i), 0, 1, driver.ID{1, byte(i), byte(i >> 8)}); err != nil {
					t.Fatal(err)
				}
			}
			if q := toEnd(t, sequencer.New(p.backend(), sequencer.Config{}), driver.FeedQuery{}); q.After != 1100 {
				t.Errorf("End at %d", q.After)
			}
			for i, e := range w.log {
				n, size := len(e.Spans), len(sequencer.AppendSpans(nil, e.Spans))
				if n > 500 || size > 100_000 || i < len(w.log)-1 && n < 500 && size < 90_000 {
					t.Errorf("batch %d of %d has %d spans in %d bytes", i, len(w.log), n, size)
				}
			}
		})
	}
}

// TestClearedByOne lets processes list at the same time, so that they put the same
// batches: each mark is cleared once, by the process whose put it was. What that one
// leaves is cleared by another.
func TestClearedByOne(t *testing.T) {
	for _, kind := range []kind{perCommit, perStream} {
		for _, crash := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				const events = 3000
				w := newWorld(kind, 1)
				w.lag = func(string, int) time.Duration { return 0 }
				w.fill(t, events)
				w.lag = func(op string, _ int) time.Duration {
					if op == "clear" {
						return 300 * time.Millisecond // long enough for another to take over
					}
					return time.Millisecond
				}
				first := &process{world: w}
				if crash {
					time.AfterFunc(100*time.Millisecond, first.crash)
				}
				var wait sync.WaitGroup
				for i, p := range []*process{first, {world: w}, {world: w}} {
					wait.Go(func() {
						s := sequencer.New(p.backend(), sequencer.Config{})
						for q, begin := (driver.FeedQuery{}), time.Now(); time.Since(begin) < 30*time.Second; {
							page, err := s.ReadAll(t.Context(), q)
							if p.dead() {
								return
							}
							if err != nil {
								t.Errorf("process %d: %v", i, err)
								return
							}
							if q.After, q.Seen = page.Next, page.Seen; len(page.Records) == 0 {
								time.Sleep(20 * time.Millisecond)
							}
						}
						if got, err := s.Head(t.Context()); err != nil || got != events {
							t.Errorf("process %d: Head is %d, %v", i, got, err)
						}
					})
				}
				wait.Wait()
				// A process that begins does not know who put the batch that is the last
				// one then, and what a process had begun to clear is cleared again.
				most := events + 500
				if crash {
					most += 500
				}
				if n := w.things["clear"]; n > most {
					t.Errorf("%s, crash %v: %d marks were cleared, of %d commits", kind, crash, n, events)
				}
				left := 0
				for stream, cs := range w.commits {
					for _, c := range cs {
						if kind == perCommit && c.marked || kind == perStream && w.heads[stream].marked {
							left++
						}
					}
				}
				if left > 0 {
					t.Errorf("%s, crash %v: %d marks are left", kind, crash, left)
				}
			})
		}
	}
}
