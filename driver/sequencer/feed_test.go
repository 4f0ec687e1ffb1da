package sequencer_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-es/es/driver"
	"github.com/go-es/es/driver/sequencer"
)

// logged returns a world whose log has batches of commits of several sizes, and the
// events of its feed.
func logged(t *testing.T, batches int) (*world, []sequencer.Event) {
	w := newWorld(exact, 1)
	w.lag = func(string, int) time.Duration { return 0 }
	p := &process{world: w}
	heads := map[string]driver.Version{}
	var all []sequencer.Event
	for i := range batches {
		b := sequencer.Batch{First: driver.Position(len(all) + 1)}
		for j := range 1 + i%3 {
			stream := fmt.Sprintf("%c-%d", 'a'+i%2, j)
			n := driver.Version(1 + (i+j)%4)
			id := driver.ID{byte(i + 1), byte(j + 1)}
			if _, err := p.append(t.Context(), stream, heads[stream], int(n), id); err != nil {
				t.Fatal(err)
			}
			sp := sequencer.Span{Stream: stream, First: heads[stream] + 1, Last: heads[stream] + n}
			heads[stream] = sp.Last
			b.Spans = append(b.Spans, sp)
			for v := sp.First; v <= sp.Last; v++ {
				all = append(all, sequencer.Event{Record: driver.Record{Stream: stream, Version: v, ID: eventID(id, v), Position: driver.Position(len(all) + 1)}})
			}
			if err := p.Clear(t.Context(), []sequencer.Mark{{Stream: stream, First: sp.First, Last: sp.Last}}); err != nil {
				t.Fatal(err)
			}
		}
		w.log = append(w.log, entry{b, time.Now()})
	}
	return w, all
}

// TestPages reads with all limits, from all positions, with filters, fetches that
// are cut, and purged events with ids and without, and compares with what has to come.
func TestPages(t *testing.T) {
	w, all := logged(t, 60)
	if len(all) < 250 {
		t.Fatalf("only %d events", len(all))
	}
	purged := func(p driver.Position) (bool, bool) { // and whether its id is kept
		return p%5 == 0 || p > 60 && p < 75 || p < 4 || p > 135, p%10 == 0 && p < 135
	}
	h := &hook{Backend: &process{world: w}}
	cut := 0
	h.fetch = func(ctx context.Context, runs []sequencer.Run) ([]sequencer.Event, error) {
		var events []sequencer.Event
		for _, run := range runs {
			for v := run.From; v <= run.To; v++ {
				e := all[run.Position+driver.Position(v-run.From)-1]
				if e.Record.Stream != run.Stream || e.Record.Version != v || v < run.First || v > run.Last {
					t.Fatalf("%+v is not %+v", run, e.Record)
				}
				if gone, id := purged(e.Record.Position); gone && id {
					e = sequencer.Event{Record: driver.Record{ID: e.Record.ID}, Purged: true}
				} else if gone {
					e = sequencer.Event{Purged: true}
				}
				e.Record.Position = 0
				events = append(events, e)
			}
		}
		if cut++; cut%3 == 0 {
			events = events[:1+len(events)/2]
		}
		return events, nil
	}
	end := driver.Position(len(all))
	for _, filter := range []driver.Filter{{}, {Prefixes: []string{"b"}}, {Prefixes: []string{"a-1", "b-2"}}, {Prefixes: []string{"none"}}} {
		for _, limit := range []int{0, 1, 2, 3, 7, 50, 1000} {
			for _, start := range []driver.Position{0, 1, 2, 59, 60, 73, end - 1} {
				s := sequencer.New(h, sequencer.Config{PageEvents: 40})
				q := driver.FeedQuery{After: start, Limit: limit, Filter: filter}
				var got []driver.Record
				for {
					page, err := s.ReadAll(t.Context(), q)
					if err != nil {
						t.Fatal(err)
					}
					if limit > 0 && len(page.Records) > limit {
						t.Fatalf("limit %d: %d records", limit, len(page.Records))
					}
					got = append(got, page.Records...)
					if page.Next > q.After {
						var want driver.Seen // F16
						for p := page.Next; p > 0 && want.Position == 0; p-- {
							if gone, id := purged(p); !gone || id {
								want = driver.Seen{Position: p, ID: all[p-1].Record.ID}
							}
						}
						if page.Seen != want {
							t.Fatalf("after %d, limit %d, %v: seen %v at %d, want %v at %d", q.After, limit, filter.Prefixes, page.Seen.ID, page.Seen.Position, want.ID, want.Position)
						}
						q.Seen = page.Seen
					}
					if q.After = page.Next; page.End {
						break
					}
				}
				i := 0
				for p := start + 1; p <= end; p++ {
					r := &all[p-1].Record
					if gone, _ := purged(p); gone || !filter.Match(r) {
						continue
					}
					if i == len(got) || got[i].Position != p || got[i].ID != r.ID {
						t.Fatalf("after %d, limit %d, %v: position %d did not come, or not at its place", start, limit, filter.Prefixes, p)
					}
					i++
				}
				if i != len(got) || q.After != end {
					t.Errorf("after %d, limit %d, %v: %d events and Next %d, want %d and %d", start, limit, filter.Prefixes, len(got), q.After, i, end)
				}
			}
		}
	}
	// What a reader saw.
	s := sequencer.New(h, sequencer.Config{})
	for p := driver.Position(1); p <= end; p++ {
		gone, id := purged(p)
		for _, right := range []bool{true, false, true} {
			seen := driver.Seen{Position: p, ID: all[p-1].Record.ID}
			if !right {
				seen.ID[15]++
			}
			_, err := s.ReadAll(t.Context(), driver.FeedQuery{After: end, Seen: seen})
			if ok := right || gone && !id; ok != (err == nil) || !ok && !errors.Is(err, driver.ErrCheckpointAhead) {
				t.Errorf("position %d, purged %t, id kept %t, seen rightly %t: %v", p, gone, id, right, err)
			}
		}
	}
	for _, after := range []driver.Position{end + 1, end + 1000} {
		if _, err := s.ReadAll(t.Context(), driver.FeedQuery{After: after}); !errors.Is(err, driver.ErrCheckpointAhead) {
			t.Errorf("after %d: %v", after, err)
		}
	}
}

// TestSeenIsRemembered counts what a poll costs a reader that says what it saw.
func TestSeenIsRemembered(t *testing.T) {
	w, all := logged(t, 10)
	s := sequencer.New(&process{world: w}, sequencer.Config{})
	seen := driver.Seen{Position: 3, ID: all[2].Record.ID}
	for i, want := range []int{1, 0, 0} {
		w.requests()
		if _, err := s.ReadAll(t.Context(), driver.FeedQuery{After: driver.Position(len(all)), Seen: seen}); err != nil {
			t.Fatal(err)
		}
		if _, by := w.requests(); by["fetch"] != want {
			t.Errorf("query %d: %v", i, by)
		}
	}
}

// TestDamagedLog reads a log that cannot be what was written.
func TestDamagedLog(t *testing.T) {
	for _, row := range []struct {
		name   string
		damage func(*world, *hook)
	}{
		{"a batch is gone", func(w *world, h *hook) { w.log = append(w.log[:4], w.log[5:]...) }},
		{"the first batch is gone", func(w *world, h *hook) { w.log = w.log[1:] }},
		{"an event is gone", func(w *world, h *hook) { w.commits["a-0"] = w.commits["a-0"][:1] }},
		{"another event is there", func(w *world, h *hook) {
			h.fetch = func(ctx context.Context, runs []sequencer.Run) ([]sequencer.Event, error) {
				events, err := h.Backend.Fetch(ctx, runs)
				events[len(events)/2].Record.Version++
				return events, err
			}
		}},
		{"too many events are there", func(w *world, h *hook) {
			h.fetch = func(ctx context.Context, runs []sequencer.Run) ([]sequencer.Event, error) {
				events, err := h.Backend.Fetch(ctx, runs)
				return append(events, events[0]), err
			}
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			w, all := logged(t, 10)
			h := &hook{Backend: &process{world: w}}
			row.damage(w, h)
			s := sequencer.New(h, sequencer.Config{})
			var after driver.Position
			for {
				page, err := s.ReadAll(t.Context(), driver.FeedQuery{After: after, Limit: 3})
				if errors.Is(err, driver.ErrCorrupt) {
					return
				}
				if err != nil || page.End {
					t.Fatalf("read up to %d of %d: %v", after, len(all), err)
				}
				after = page.Next
			}
		})
	}
}

// TestEndWaitsForAppends appends where the index shows nothing for a while.
func TestEndWaitsForAppends(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(perCommit, 1)
		p := &process{world: w}
		s := sequencer.New(p.backend(), sequencer.Config{})
		toEnd(t, s, driver.FeedQuery{})
		for v := range driver.Version(3) {
			if _, err := p.append(t.Context(), "a", v, 1, driver.ID{byte(v + 1)}); err != nil {
				t.Fatal(err)
			}
			c := &w.commits["a"][v]
			c.shown = c.shown.Add(2 * time.Second)
			s.Appended("a", v+1)
			if q := toEnd(t, s, driver.FeedQuery{}); q.After != driver.Position(v+1) {
				t.Errorf("End at %d, and %d events were appended here", q.After, v+1)
			}
		}
		// Another process was quicker than this one could tell.
		if _, err := p.append(t.Context(), "a", 3, 1, driver.ID{4}); err != nil {
			t.Fatal(err)
		}
		other := sequencer.New((&process{world: w}).backend(), sequencer.Config{})
		toEnd(t, other, driver.FeedQuery{After: 3})
		s.Appended("a", 4)
		if q := toEnd(t, s, driver.FeedQuery{After: 3}); q.After != 4 {
			t.Errorf("End at %d", q.After)
		}
		fresh := sequencer.New(p.backend(), sequencer.Config{})
		fresh.Appended("a", 4)
		toEnd(t, fresh, driver.FeedQuery{After: 4})
	})
}

// TestContext ends the contexts of calls while another one has its turn.
func TestContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(perCommit, 1)
		w.lag = func(string, int) time.Duration { return time.Second }
		s := sequencer.New((&process{world: w}).backend(), sequencer.Config{})
		go s.ReadAll(t.Context(), driver.FeedQuery{})
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		begin := time.Now()
		if _, err := s.ReadAll(ctx, driver.FeedQuery{}); !errors.Is(err, context.DeadlineExceeded) || time.Since(begin) > 20*time.Millisecond {
			t.Errorf("after %v: %v", time.Since(begin), err)
		}
		time.Sleep(10 * time.Second)
		begin = time.Now()
		if _, err := s.ReadAll(ctx, driver.FeedQuery{}); !errors.Is(err, context.DeadlineExceeded) || time.Since(begin) > 0 {
			t.Errorf("after %v: %v", time.Since(begin), err)
		}
	})
}

// neverRaises is a process whose registers cannot be written.
type neverRaises struct{ registers }

func (neverRaises) Raise(context.Context, []sequencer.Span) error { return errLost }

// Marks are cleared only when the registers have what they marked: who finds no marks
// at rest looks no further.
func TestRaisedBeforeCleared(t *testing.T) {
	for _, kind := range []kind{perCommit, perStream} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(kind, 1)
			w.fill(t, 5)
			first := sequencer.New(neverRaises{registers{&process{world: w}}}, sequencer.Config{})
			var q driver.FeedQuery
			for range 10 {
				page, err := first.ReadAll(t.Context(), q)
				if err == nil {
					q.After = page.Next
				}
				time.Sleep(time.Second)
			}
			if q.After != 5 {
				t.Fatalf("%s: read up to %d", kind, q.After)
			}
			toEnd(t, sequencer.New((&process{world: w}).backend(), sequencer.Config{}), driver.FeedQuery{})
			for i := range 5 {
				if v := w.seqv[fmt.Sprint("filled-", i)]; v != 1 {
					t.Errorf("%s: the register of stream %d is %d", kind, i, v)
				}
			}
		})
	}
}
