package es_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-es/es"
	"github.com/go-es/es/driver"
)

// writeTime is how long a commit of slowGroup takes.
const writeTime = 10 * time.Millisecond

type callerKey struct{}

// slowGroup is a driver store in memory whose commits take their time, one after
// the other, as on a disk. It records the groups that it is given; an append by
// itself is a group of one.
type slowGroup struct {
	fakeGroup
	mu     sync.Mutex
	groups [][]driver.AppendRequest
	leader []any // the caller whose context each was written with
	one    atomic.Int32
	twoAt  atomic.Bool // two were written at once
}

func newSlowGroup() *slowGroup {
	g := &slowGroup{fakeGroup: fakeGroup{fake: overMemory()}}
	g.onAppend = func(ctx context.Context, req driver.AppendRequest) (driver.AppendResult, error) {
		defer g.record(ctx, req)()
		return g.Store.Append(ctx, req)
	}
	g.onGroup = func(ctx context.Context, reqs []driver.AppendRequest) []driver.Outcome {
		defer g.record(ctx, reqs...)()
		return g.Store.(driver.GroupAppender).AppendGroup(ctx, reqs)
	}
	return g
}

// AppendGroup is the embedded one's: that of fakeGroup, whose onGroup is set.
func (g *slowGroup) record(ctx context.Context, reqs ...driver.AppendRequest) func() {
	if g.one.Add(1) > 1 {
		g.twoAt.Store(true)
	}
	g.mu.Lock()
	g.groups = append(g.groups, slices.Clone(reqs))
	g.leader = append(g.leader, ctx.Value(callerKey{}))
	g.mu.Unlock()
	time.Sleep(writeTime)
	return func() { g.one.Add(-1) }
}

// sizes returns the number of appends of each group.
func (g *slowGroup) sizes() (out []int) {
	for _, group := range g.groups {
		out = append(out, len(group))
	}
	return out
}

func TestALoneWriterIsNotDelayed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newSlowGroup()
		s := over(t, g)
		start := time.Now()
		for i := range 50 {
			put(t, s, "s", tick{i})
		}
		if d := time.Since(start); d != 50*writeTime {
			t.Errorf("50 appends took %v, want %v", d, 50*writeTime)
		}
		if g.calls("append") != 50 || g.calls("group") != 0 {
			t.Errorf("%d appends and %d groups", g.calls("append"), g.calls("group"))
		}
	})
}

// 64 writers share two commits: the first has one to itself.
func TestWritersShareACommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newSlowGroup()
		s := over(t, g)
		start := time.Now()
		var wg sync.WaitGroup
		for w := range 64 {
			wg.Go(func() {
				stream := fmt.Sprint("s", w)
				out, err := s.Append(t.Context(), stream, es.NoStream, ticks(w, w+w%3)...)
				if err != nil || out.First != 1 || out.Last != es.Version(1+w%3) || out.Position == 0 {
					t.Errorf("%s: %+v, error %v", stream, out, err)
				}
				for i, r := range all(t, s.Read(t.Context(), stream)) {
					if number(t, r) != w+i {
						t.Errorf("%s: event %d is %d", stream, i, number(t, r))
					}
				}
			})
		}
		wg.Wait()
		if !slices.Equal(g.sizes(), []int{1, 63}) {
			t.Errorf("groups of %v", g.sizes())
		}
		if d := time.Since(start); d != 2*writeTime {
			t.Errorf("it took %v", d)
		}
	})
}

// Writers that append on and on stay together: they do not split into two crowds
// that take turns, which would take twice as many commits.
func TestWritersStayTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const writers, each = 16, 50
		g := newSlowGroup()
		s := over(t, g)
		var wg sync.WaitGroup
		for w := range writers {
			wg.Go(func() {
				for i := range each {
					put(t, s, fmt.Sprint("s", w), tick{i})
				}
			})
		}
		wg.Wait()
		if n := len(g.groups); n > each*3/2 {
			t.Errorf("%d appends of each of %d writers took %d commits: %v", each, writers, n, g.sizes())
		}
	})
}

// Appends at Any to one stream share commits, too; at exact versions only one of
// them can be right.
func TestWritersOfAStreamShareACommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newSlowGroup()
		s := over(t, g)
		start := time.Now()
		var wg sync.WaitGroup
		for w := range 64 {
			wg.Go(func() {
				out, err := s.Append(t.Context(), "s", es.Any, ticks(w, w+w%3)...)
				if err != nil || int(out.Last-out.First) != w%3 {
					t.Errorf("%d: %+v, error %v", w, out, err)
					return
				}
				for i, r := range all(t, s.Read(t.Context(), "s", es.From(out.First), es.Limit(1+w%3))) {
					if number(t, r) != w+i {
						t.Errorf("%d: version %d is %d", w, r.Version, number(t, r))
					}
				}
			})
		}
		wg.Wait()
		if d := time.Since(start); d != 2*writeTime {
			t.Errorf("it took %v: groups of %v", d, g.sizes())
		}
	})
}

// An append to several streams goes by itself, beside the groups.
func TestAppendsToSeveralStreamsAreNotGrouped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newSlowGroup()
		s := over(t, g)
		var wg sync.WaitGroup
		for w := range 8 {
			wg.Go(func() {
				if _, err := s.AppendAll(t.Context(), es.To(fmt.Sprint("s", w), es.Any, tick{}), es.To(fmt.Sprint("t", w), es.Any, tick{})); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if g.calls("group") != 0 || g.calls("append") != 8 {
			t.Errorf("groups of %v", g.sizes())
		}
	})
}

// Whatever the mix, a group has each stream once, or appends at Any to it alone,
// and keeps to the limits, the appends of a stream are written in the order in
// which they came, nobody waits longer than those before it need, and one group
// is written at a time.
func TestGroups(t *testing.T) {
	size := func(req driver.AppendRequest) (events, bytes int) {
		for _, p := range req.Parts {
			for i := range p.Records {
				events++
				bytes += driver.Size(&p.Records[i])
			}
		}
		return events, bytes
	}
	for seed := range uint64(30) {
		synctest.Test(t, func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(seed, 1))
			caps := driver.Caps{FilterFeed: true, PositionOnAppend: true}
			if rnd.IntN(2) == 0 {
				caps.MaxAppendEvents = 4 + rnd.IntN(8)
			}
			if rnd.IntN(2) == 0 {
				caps.MaxAppendBytes = 800 + rnd.IntN(800)
			}
			streams := 1 + rnd.IntN(20)
			exists := rnd.IntN(3) // so many of ten expect it
			g := newSlowGroup()
			g.caps = func(driver.Caps) driver.Caps { return caps }
			s := over(t, g)
			var wg sync.WaitGroup
			sent := map[string][]int{}
			for w := range 64 {
				stream := fmt.Sprint("s", rnd.IntN(streams))
				events := ticks(1000*w, 1000*w+rnd.IntN(4))
				for _, e := range events {
					sent[stream] = append(sent[stream], e.(tick).N)
				}
				expected := es.Any
				if len(sent[stream]) > len(events) && rnd.IntN(10) < exists {
					expected = es.Exists
				}
				wg.Go(func() {
					out, err := s.Append(context.WithValue(t.Context(), callerKey{}, w), stream, expected, events...)
					if err != nil || int(out.Last-out.First)+1 != len(events) {
						t.Errorf("seed %d: %+v, error %v", seed, out, err)
						return
					}
					got := all(t, s.Read(t.Context(), stream, es.From(out.First), es.Limit(len(events))))
					if len(got) != len(events) || number(t, got[0]) != 1000*w {
						t.Errorf("seed %d: writer %d is told of %+v, where there is %v", seed, w, out, got)
					}
				})
				time.Sleep(time.Duration(rnd.IntN(1000)) * time.Microsecond)
			}
			wg.Wait()
			n := 0
			for i, group := range g.groups {
				names := map[string]driver.Expected{}
				var events, bytes int
				for _, req := range group {
					n++
					p := req.Parts[0]
					if e, twice := names[p.Stream]; twice && (e != driver.Any || p.Expected != driver.Any) {
						t.Errorf("seed %d: group %d has two appends to one stream, at %v and %v", seed, i, e, p.Expected)
					}
					names[p.Stream] = p.Expected
					e, b := size(req)
					events, bytes = events+e, bytes+b
				}
				if max := caps.MaxAppendEvents; max > 0 && events > max {
					t.Errorf("seed %d: group %d has %d events, the limit is %d", seed, i, events, max)
				}
				if max := caps.MaxAppendBytes; max > 0 && bytes > max {
					t.Errorf("seed %d: group %d has %d bytes, the limit is %d", seed, i, bytes, max)
				}
			}
			if n != 64 || g.twoAt.Load() {
				t.Errorf("seed %d: %d appends were written, two at once: %v", seed, n, g.twoAt.Load())
			}
			if len(g.groups) == 64 {
				t.Errorf("seed %d: nothing was grouped", seed)
			}
			leaders := slices.DeleteFunc(slices.Clone(g.leader), func(v any) bool { return v == nil })
			slices.SortFunc(leaders, func(a, b any) int { return a.(int) - b.(int) })
			if len(leaders) != len(g.groups) || len(slices.Compact(leaders)) != len(g.groups) {
				t.Errorf("seed %d: some caller wrote more than one group: %v", seed, g.leader)
			}
			for _, stream := range slices.Sorted(maps.Keys(sent)) {
				var got []int
				for _, r := range all(t, s.Read(t.Context(), stream)) {
					got = append(got, number(t, r))
				}
				if !slices.Equal(got, sent[stream]) {
					t.Errorf("seed %d: stream %s has %v, sent were %v", seed, stream, got, sent[stream])
				}
			}
		})
	}
}

// An append that does not fit into any group but one of its own is written.
func TestAGroupOfOneAtTheLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newSlowGroup()
		g.caps = func(c driver.Caps) driver.Caps { c.MaxAppendEvents = 5; return c }
		s := over(t, g)
		var wg sync.WaitGroup
		for w := range 6 {
			wg.Go(func() { put(t, s, fmt.Sprint("s", w), ticks(1, 5)...) })
		}
		wg.Wait()
		if !slices.Equal(g.sizes(), []int{1, 1, 1, 1, 1, 1}) {
			t.Errorf("groups of %v", g.sizes())
		}
	})
}

// The first that waits is in the next group, however many smaller ones come.
func TestNobodyStarves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newSlowGroup()
		g.caps = func(c driver.Caps) driver.Caps { c.MaxAppendEvents = 10; return c }
		s := over(t, g)
		stop := make(chan struct{})
		var wg sync.WaitGroup
		for w := range 20 {
			wg.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
						put(t, s, fmt.Sprint("s", w), tick{})
					}
				}
			})
		}
		time.Sleep(5*writeTime + writeTime/2)
		start := time.Now()
		put(t, s, "large", ticks(1, 10)...)
		if d := time.Since(start); d > 5*writeTime {
			t.Errorf("a large append waited for %v", d)
		}
		close(stop)
		wg.Wait()
	})
}

func TestOutcomesGoToTheirCallers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newSlowGroup()
		s := over(t, g)
		for w := range 30 {
			put(t, s, fmt.Sprint("s", w), ticks(1, w+1)...)
		}
		if _, err := s.Delete(t.Context(), "s7", es.Any, es.Tombstone); err != nil {
			t.Fatal(err)
		}
		own := g.onGroup
		g.onGroup = func(ctx context.Context, reqs []driver.AppendRequest) []driver.Outcome {
			outs := own(ctx, reqs)
			for i := range reqs {
				if reqs[i].Parts[0].Stream == "s9" {
					outs[i] = driver.Outcome{Err: errBroken}
				}
				if reqs[i].Parts[0].Stream == "s11" {
					outs[i] = driver.Outcome{Err: &driver.UnknownOutcomeError{Parts: []driver.UnknownPart{{Stream: "s11", Base: 12}}}}
				}
			}
			return outs
		}
		g.groups = nil
		var wg sync.WaitGroup
		for w := range 30 {
			wg.Go(func() {
				stream := fmt.Sprint("s", w)
				expected := es.Exactly(es.Version(w + 1))
				if w%3 == 2 && w > 0 {
					expected++
				}
				time.Sleep(time.Duration(w) * time.Microsecond)
				out, err := s.Append(t.Context(), stream, expected, tick{w})
				var conflict *es.ConflictError
				switch {
				case w == 7:
					is(t, stream, err, es.ErrStreamDeleted)
				case w == 9:
					is(t, stream, err, errBroken)
				case w == 11:
					var u *es.UnknownOutcomeError
					if !errors.As(err, &u) || u.Parts[0] != (es.UnknownPart{Stream: "s11", Base: 12}) {
						t.Errorf("%s: error %v", stream, err)
					}
				case w%3 == 2:
					if !errors.As(err, &conflict) || conflict.Stream != stream || conflict.Actual != es.Version(w+1) {
						t.Errorf("%s: error %v", stream, err)
					}
				case err != nil || out.First != es.Version(w+2) || out.Last != out.First:
					t.Errorf("%s: %+v, error %v", stream, out, err)
				}
			})
		}
		wg.Wait()
		if !slices.Equal(g.sizes(), []int{1, 29}) {
			t.Errorf("groups of %v", g.sizes())
		}
	})
}

func TestContextThatEndsInTheQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newSlowGroup()
		s := over(t, g)
		var wg sync.WaitGroup
		wg.Go(func() { put(t, s, "first", tick{}) })
		synctest.Wait()
		for w := range 5 {
			wg.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(w+1)*time.Millisecond)
				defer cancel()
				start := time.Now()
				_, err := s.Append(ctx, fmt.Sprint("s", w), es.Any, tick{})
				is(t, "Append", err, context.DeadlineExceeded)
				if d := time.Since(start); d != time.Duration(w+1)*time.Millisecond {
					t.Errorf("it returned after %v", d)
				}
			})
		}
		synctest.Wait()
		wg.Go(func() { put(t, s, "last", tick{}) })
		wg.Wait()
		var got []string
		for _, r := range all(t, s.ReadAll(t.Context())) {
			got = append(got, r.Stream)
		}
		if !slices.Equal(got, []string{"first", "last"}) {
			t.Errorf("written were %q", got)
		}
	})
}

// One whose context ends while its group is written is told the truth, and the
// others are not disturbed.
func TestContextThatEndsWhileAGroupIsWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newSlowGroup()
		s := over(t, g)
		var wg sync.WaitGroup
		start := time.Now()
		for w := range 6 {
			wg.Go(func() {
				time.Sleep(time.Duration(w) * time.Microsecond) // in this order
				ctx, cancel := t.Context(), context.CancelFunc(func() {})
				if w%2 == 1 { // the leader of the group is 1
					ctx, cancel = context.WithTimeout(ctx, writeTime+writeTime/2)
				}
				defer cancel()
				out, err := s.Append(ctx, fmt.Sprint("s", w), es.Any, tick{})
				if err != nil || out.Last != 1 {
					t.Errorf("writer %d: %+v, error %v", w, out, err)
				}
				if d := time.Since(start); w > 0 && d != 2*writeTime {
					t.Errorf("writer %d: it returned after %v", w, d)
				}
			})
		}
		wg.Wait()
		if !slices.Equal(g.sizes(), []int{1, 5}) {
			t.Errorf("groups of %v", g.sizes())
		}
	})
}

func TestContextOfAGroup(t *testing.T) {
	for _, row := range []struct {
		name string
		ends []time.Duration // of the members' contexts; 0 for one that does not end
		want time.Duration   // 0: it does not end
	}{
		{"all end", []time.Duration{30, 15, 20}, 30},
		{"the leader lasts", []time.Duration{0, 15, 20}, 0},
		{"another lasts", []time.Duration{15, 20, 0}, 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			g := newSlowGroup()
			s := over(t, g)
			start := time.Now()
			var ended time.Duration
			g.onGroup = func(ctx context.Context, reqs []driver.AppendRequest) []driver.Outcome {
				if v := ctx.Value(callerKey{}); v != 0 {
					t.Errorf("%s: the group has the context of writer %v", row.name, v)
				}
				select {
				case <-ctx.Done():
					ended = time.Since(start)
				case <-time.After(time.Second):
				}
				outs := make([]driver.Outcome, len(reqs))
				for i := range outs {
					outs[i].Err = errBroken
				}
				return outs
			}
			var wg sync.WaitGroup
			wg.Go(func() { put(t, s, "first", tick{}) })
			for w, end := range row.ends {
				wg.Go(func() {
					time.Sleep(time.Duration(w+1) * time.Microsecond) // in this order
					ctx := context.WithValue(context.WithoutCancel(t.Context()), callerKey{}, w)
					if end > 0 {
						c, cancel := context.WithDeadline(ctx, start.Add(end*time.Millisecond))
						defer cancel()
						ctx = c
					}
					_, err := s.Append(ctx, fmt.Sprint("s", w), es.Any, tick{})
					is(t, row.name, err, errBroken)
				})
			}
			wg.Wait()
			if ended != row.want*time.Millisecond {
				t.Errorf("%s: the context of the group ended after %v", row.name, ended)
			}
		})
	}
}

// caught runs f and returns what it panics with.
func caught(f func()) (v any) {
	defer func() { v = recover() }()
	f()
	return nil
}

// A driver that panics takes its caller with it, and nobody else.
func TestDriverThatPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newSlowGroup()
		own, ownGroup := g.onAppend, g.onGroup
		bad := true // the next write panics
		g.onAppend = func(ctx context.Context, req driver.AppendRequest) (driver.AppendResult, error) {
			if bad {
				time.Sleep(writeTime)
				panic("append")
			}
			return own(ctx, req)
		}
		groups := 0
		g.onGroup = func(ctx context.Context, reqs []driver.AppendRequest) []driver.Outcome {
			if bad {
				bad = false
				time.Sleep(writeTime)
				g.Store.(driver.GroupAppender).AppendGroup(ctx, reqs[1:3])
				panic("group")
			}
			groups++
			return ownGroup(ctx, reqs)
		}
		s := over(t, g)
		var wg sync.WaitGroup
		for w := range 8 { // 0 writes alone, 1 leads all others
			wg.Go(func() {
				time.Sleep(time.Duration(w) * time.Microsecond)
				expected := es.NoStream
				if w >= 5 {
					expected = es.Any
				}
				stream := fmt.Sprint("s", w)
				var err error
				p := caught(func() { _, err = s.Append(t.Context(), stream, expected, tick{w}) })
				switch w {
				case 0:
					if p != "append" {
						t.Errorf("the first: panic %v, error %v", p, err)
					}
					return
				case 1:
					if p != "group" {
						t.Errorf("the leader: panic %v, error %v", p, err)
					}
					return
				}
				if p != nil {
					t.Errorf("writer %d: panic %v", w, p)
				}
				is(t, stream, err, es.ErrUnknownOutcome)
				if es.IsTransient(err) {
					t.Errorf("%s: it is transient", stream)
				}
				var u *es.UnknownOutcomeError
				if resend := errors.As(err, &u); resend != (w < 5) { // at Any it cannot be sent again safely
					t.Errorf("%s: error %T", stream, err)
				} else if resend {
					if !slices.Equal(u.Parts, []es.UnknownPart{{Stream: stream}}) {
						t.Errorf("%s: parts %+v", stream, u.Parts)
					}
					if out, err := u.Resend(t.Context()); err != nil || out[0].Last != 1 {
						t.Errorf("%s: Resend: %+v, error %v", stream, out, err)
					}
				}
			})
		}
		for w := 8; w < 12; w++ { // while the group is written
			wg.Go(func() {
				time.Sleep(writeTime + writeTime/2)
				put(t, s, fmt.Sprint("s", w), tick{w})
			})
		}
		wg.Wait()
		for w := range 12 {
			stream := fmt.Sprint("s", w)
			v, err := s.Version(t.Context(), stream)
			want := es.Version(1)
			if w <= 1 || w >= 5 && w < 8 {
				want = 0
			}
			if err != nil || v != want {
				t.Errorf("%s is at version %d, error %v, want %d", stream, v, err, want)
			}
		}
		if groups == 0 {
			t.Error("no group was written after the panic")
		}
		put(t, s, "after", tick{})
	})
}

// A driver that returns more or fewer outcomes than there were requests is not
// believed.
func TestDriverThatMiscounts(t *testing.T) {
	for _, n := range []int{-5, -1, 1} {
		synctest.Test(t, func(t *testing.T) {
			g := newSlowGroup()
			own := g.onGroup
			g.onGroup = func(ctx context.Context, reqs []driver.AppendRequest) []driver.Outcome {
				g.onGroup = own
				outs := append(own(ctx, reqs), driver.Outcome{})
				return outs[:len(reqs)+n]
			}
			s := over(t, g)
			var wg sync.WaitGroup
			for w := range 6 {
				wg.Go(func() {
					time.Sleep(time.Duration(w) * time.Microsecond)
					_, err := s.Append(t.Context(), fmt.Sprint("s", w), es.NoStream, tick{w})
					if w == 0 {
						if err != nil {
							t.Errorf("the first: %v", err)
						}
						return
					}
					var u *es.UnknownOutcomeError
					if !errors.As(err, &u) {
						t.Errorf("%d: writer %d: error %v", n, w, err)
					} else if out, err := u.Resend(t.Context()); err != nil || out[0].Last != 1 {
						t.Errorf("%d: writer %d: Resend: %+v, error %v", n, w, out, err)
					}
				})
			}
			wg.Wait()
		})
	}
}

func TestCloseDrainsTheQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newSlowGroup()
		g.caps = func(c driver.Caps) driver.Caps { c.MaxAppendEvents = 3; return c }
		start := time.Now()
		g.onClose = func() error {
			if d := time.Since(start); d != 4*writeTime {
				t.Errorf("the driver was closed after %v", d)
			}
			return g.Store.Close()
		}
		s, err := es.New(g)
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		for w := range 10 { // 1 + 3 + 3 + 3
			wg.Go(func() {
				if out, err := s.Append(t.Context(), fmt.Sprint("s", w), es.Any, tick{}); err != nil || out.Last != 1 {
					t.Errorf("writer %d: %+v, error %v", w, out, err)
				}
			})
		}
		time.Sleep(writeTime / 2)
		for range 3 {
			wg.Go(func() {
				if err := s.Close(); err != nil {
					t.Errorf("Close: %v", err)
				}
				if d := time.Since(start); d != 4*writeTime {
					t.Errorf("Close took %v", d)
				}
			})
		}
		synctest.Wait()
		_, err = s.Append(t.Context(), "late", es.Any, tick{})
		is(t, "an append while the store closes", err, es.ErrClosed)
		wg.Wait()
		_, err = s.Append(t.Context(), "late", es.Any, tick{})
		is(t, "an append after Close", err, es.ErrClosed)
		if !slices.Equal(g.sizes(), []int{1, 3, 3, 3}) {
			t.Errorf("groups of %v", g.sizes())
		}
	})
}

// Contexts that end at random, at random moments of the queue: what was
// acknowledged is there once, what was refused is not, and nobody is lost.
func TestQueueUnderCancellation(t *testing.T) {
	for seed := range uint64(10) {
		synctest.Test(t, func(t *testing.T) {
			g := newSlowGroup()
			s := over(t, g)
			var wg sync.WaitGroup
			var mu sync.Mutex
			said := map[int]error{}
			for w := range 40 {
				rnd := rand.New(rand.NewPCG(seed, uint64(w)))
				wg.Go(func() {
					for i := range 10 {
						time.Sleep(time.Duration(rnd.IntN(20_000)) * time.Microsecond)
						ctx, cancel := context.WithTimeout(t.Context(), time.Duration(rnd.IntN(25_000))*time.Microsecond)
						n := 100*w + i
						_, err := s.Append(ctx, fmt.Sprint("s", rnd.IntN(30)), es.Any, tick{n})
						cancel()
						if err != nil && !errors.Is(err, context.DeadlineExceeded) {
							t.Errorf("seed %d: %v", seed, err)
						}
						mu.Lock()
						said[n] = err
						mu.Unlock()
					}
				})
			}
			wg.Wait()
			there := map[int]int{}
			for _, r := range all(t, s.ReadAll(t.Context())) {
				there[number(t, r)]++
			}
			refused := 0
			for n, err := range said {
				if (err == nil) != (there[n] == 1) || there[n] > 1 {
					t.Errorf("seed %d: event %d is there %d times, and the append said %v", seed, n, there[n], err)
				}
				if err != nil {
					refused++
				}
			}
			if refused == 0 || refused == len(said) {
				t.Errorf("seed %d: %d of %d were refused", seed, refused, len(said))
			}
		})
	}
}

// The same on real time: many writers, few streams.
func TestQueueInParallel(t *testing.T) {
	f := fakeGroup{fake: overMemory()}
	var grouped atomic.Int64
	f.onAppend = func(ctx context.Context, req driver.AppendRequest) (driver.AppendResult, error) {
		time.Sleep(20 * time.Microsecond)
		return f.Store.Append(ctx, req)
	}
	f.onGroup = func(ctx context.Context, reqs []driver.AppendRequest) []driver.Outcome {
		time.Sleep(20 * time.Microsecond)
		grouped.Add(int64(len(reqs)))
		return f.Store.(driver.GroupAppender).AppendGroup(ctx, reqs)
	}
	s := over(t, f)
	const writers, each = 64, 30
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				stream := fmt.Sprint("s", (w+i)%20)
				if _, err := s.Append(t.Context(), stream, es.Any, tick{w*each + i}); err != nil {
					t.Errorf("writer %d: %v", w, err)
				}
			}
		})
	}
	wg.Wait()
	seen := map[int]bool{}
	for _, r := range all(t, s.ReadAll(t.Context())) {
		seen[number(t, r)] = true
	}
	if len(seen) != writers*each {
		t.Errorf("%d events, want %d", len(seen), writers*each)
	}
	if grouped.Load() == 0 {
		t.Error("no group was formed")
	}
}

// A database that stays busy does not hold Close up for every append that waits:
// after the write that runs, nothing more is sent.
func TestCloseWhileTheDatabaseIsBusy(t *testing.T) {
	for _, row := range []struct {
		name   string
		stream func(w int) string
		sizes  []int // of the groups that are sent
		closes time.Duration
		from   time.Duration // Close begins
	}{
		{"one stream", func(int) string { return "s" }, []int{1}, writeTime, writeTime / 2},
		{"a group runs", func(w int) string { return fmt.Sprint("s", w/2) }, []int{1, 4}, 2 * writeTime, writeTime + writeTime/4},
	} {
		synctest.Test(t, func(t *testing.T) {
			g := newSlowGroup()
			g.onAppend = func(ctx context.Context, req driver.AppendRequest) (driver.AppendResult, error) {
				defer g.record(ctx, req)()
				return driver.AppendResult{}, errBusy
			}
			g.onGroup = func(ctx context.Context, reqs []driver.AppendRequest) []driver.Outcome {
				defer g.record(ctx, reqs...)()
				outs := make([]driver.Outcome, len(reqs))
				for i := range outs {
					outs[i].Err = errBusy
				}
				return outs
			}
			s, err := es.New(g)
			if err != nil {
				t.Fatal(err)
			}
			start := time.Now()
			var busy, unsent atomic.Int32
			var wg sync.WaitGroup
			for w := range 7 {
				wg.Go(func() {
					time.Sleep(time.Duration(w) * time.Microsecond) // in this order
					_, err := s.Append(t.Context(), row.stream(w), es.Exists, tick{})
					is(t, row.name, err, es.ErrClosed)
					if errors.Is(err, errBroken) {
						busy.Add(1)
					} else {
						unsent.Add(1)
					}
					if d := time.Since(start); d != row.closes {
						t.Errorf("%s: append %d ended after %v", row.name, w, d)
					}
				})
			}
			time.Sleep(row.from)
			if err := s.Close(); err != nil {
				t.Errorf("%s: Close: %v", row.name, err)
			}
			if d := time.Since(start); d != row.closes {
				t.Errorf("%s: it was closed after %v, want %v", row.name, d, row.closes)
			}
			wg.Wait()
			sent := 0
			for _, n := range row.sizes {
				sent += n
			}
			if !slices.Equal(g.sizes(), row.sizes) || int(busy.Load()) > sent || busy.Load() == 0 || busy.Load()+unsent.Load() != 7 {
				t.Errorf("%s: groups of %v; %d were told that the database is busy, %d that they were not sent", row.name, g.sizes(), busy.Load(), unsent.Load())
			}
		})
	}
}

// While the database is not busy, a closing store writes what waits, whatever else
// goes wrong.
func TestCloseAfterOtherErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newSlowGroup()
		g.onAppend = func(ctx context.Context, req driver.AppendRequest) (driver.AppendResult, error) {
			defer g.record(ctx, req)()
			return driver.AppendResult{}, errBroken
		}
		s, err := es.New(g)
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				_, err := s.Append(t.Context(), "s", es.Exists, tick{})
				is(t, "Append", err, errBroken)
			})
		}
		time.Sleep(writeTime / 2)
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		wg.Wait()
		if !slices.Equal(g.sizes(), []int{1, 1, 1, 1}) {
			t.Errorf("groups of %v", g.sizes())
		}
	})
}

// A group that is stuck, as behind the lock of another's transaction, does not keep a
// member whose context has ended for long, and the others are written without it.
func TestAGroupThatIsStuck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const patience = 2 * time.Second
		g := newSlowGroup()
		g.onGroup = func(ctx context.Context, reqs []driver.AppendRequest) []driver.Outcome {
			g.record(ctx, reqs...)()
			outs := make([]driver.Outcome, len(reqs))
			if slices.ContainsFunc(reqs, func(r driver.AppendRequest) bool { return r.Parts[0].Stream == "s1" }) {
				<-ctx.Done()
				for i := range outs {
					outs[i].Err = ctx.Err()
				}
				return outs
			}
			return g.Store.(driver.GroupAppender).AppendGroup(ctx, reqs)
		}
		s := over(t, g)
		var wg sync.WaitGroup
		start := time.Now()
		for w := range 4 {
			wg.Go(func() {
				time.Sleep(time.Duration(w) * time.Microsecond) // in this order
				ctx := t.Context()
				if w == 1 {
					c, cancel := context.WithDeadline(ctx, start.Add(50*time.Millisecond))
					defer cancel()
					ctx = c
				}
				out, err := s.Append(ctx, fmt.Sprint("s", w), es.NoStream, tick{})
				if w == 1 {
					is(t, "the one whose context ended", err, context.DeadlineExceeded)
				} else if err != nil || out.Last != 1 {
					t.Errorf("writer %d: %+v, error %v", w, out, err)
				}
				if d := time.Since(start); d > patience+100*time.Millisecond {
					t.Errorf("writer %d: it returned after %v", w, d)
				}
			})
		}
		wg.Wait()
		// The two come again, together or one after the other.
		if sizes := g.sizes(); !slices.Equal(sizes, []int{1, 3, 2}) && !slices.Equal(sizes, []int{1, 3, 1, 1}) {
			t.Errorf("groups of %v", sizes)
		}
	})
}

// Close comes to the driver's own also while a write does not end: the driver ends it.
func TestCloseWhileAWriteIsStuck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newSlowGroup()
		closed := make(chan struct{})
		g.onAppend = func(ctx context.Context, req driver.AppendRequest) (driver.AppendResult, error) {
			defer g.record(ctx, req)()
			<-closed
			return driver.AppendResult{}, es.ErrClosed
		}
		g.onClose = func() error { close(closed); return nil }
		s, err := es.New(g)
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		for range 5 {
			wg.Go(func() {
				_, err := s.Append(t.Context(), "s", es.Any, tick{})
				is(t, "an append", err, es.ErrClosed)
			})
		}
		synctest.Wait()
		start := time.Now()
		if err := s.Close(); err != nil || time.Since(start) != 2*time.Second {
			t.Errorf("closed after %v: %v", time.Since(start), err)
		}
		wg.Wait()
		if !slices.Equal(g.sizes(), []int{1}) {
			t.Errorf("groups of %v", g.sizes())
		}
	})
}

// A database that does not answer is waited for once, and not for each append that
// waits.
func TestCloseWhileOutcomesAreUnknown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newSlowGroup()
		g.onAppend = func(ctx context.Context, req driver.AppendRequest) (driver.AppendResult, error) {
			defer g.record(ctx, req)()
			return driver.AppendResult{}, &driver.UnknownOutcomeError{Parts: []driver.UnknownPart{{Stream: "s"}}, Err: errBroken}
		}
		s, err := es.New(g, es.RetryFor(0))
		if err != nil {
			t.Fatal(err)
		}
		var unknown atomic.Int32
		var wg sync.WaitGroup
		for range 5 {
			wg.Go(func() {
				if _, err := s.Append(t.Context(), "s", es.Exists, tick{}); errors.Is(err, es.ErrUnknownOutcome) {
					unknown.Add(1)
				} else {
					is(t, "an append that was not sent", err, es.ErrClosed)
				}
			})
		}
		synctest.Wait()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		wg.Wait()
		if !slices.Equal(g.sizes(), []int{1}) || unknown.Load() != 1 {
			t.Errorf("groups of %v, %d unknown outcomes", g.sizes(), unknown.Load())
		}
	})
}

// What a driver says of another number of parts than it was given is no success.
func TestDriverThatMiscountsParts(t *testing.T) {
	f := overMemory()
	f.onAppend = func(context.Context, driver.AppendRequest) (driver.AppendResult, error) {
		return driver.AppendResult{}, nil
	}
	if out, err := over(t, f).Append(t.Context(), "s", es.Any, tick{}); err == nil {
		t.Errorf("an append without a result: %+v", out)
	}
}
