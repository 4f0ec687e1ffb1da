package sequencer_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"iter"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-es/es/driver"
	"github.com/go-es/es/driver/sequencer"
)

var simulations = flag.Int("simulations", 0, "how many simulations to run of each kind; 0: as many as fit into a few seconds")

// seeds are those of the simulations of a test: n, or as many as fit into the budget
// if that is enough, or as many as the flag says.
func seeds(t *testing.T, n int, budget time.Duration, enough func() bool) iter.Seq[uint64] {
	if *simulations > 0 {
		n = *simulations
	}
	if testing.Short() {
		n /= 10
	}
	begin := time.Now()
	return func(yield func(uint64) bool) {
		for seed := range uint64(n) {
			if *simulations == 0 && time.Since(begin) > budget && enough() || !yield(seed) {
				return
			}
		}
	}
}

var kinds = []kind{perCommit, perStream, exact}

// TestSimulation lets writers, readers that sequence, and crashes of both loose on
// each kind of database.
func TestSimulation(t *testing.T) {
	for _, kind := range kinds {
		t.Run(string(kind), func(t *testing.T) {
			var all tally
			n, begin := 0, time.Now()
			for seed := range seeds(t, 400, 2*time.Second, func() bool { return true }) {
				n++
				got := simulate(t, kind, seed, variant{short: seed%4 == 3})
				all.add(got)
				for _, b := range got.bad {
					t.Errorf("seed %d: %s", seed, b)
				}
				if t.Failed() {
					return
				}
			}
			t.Logf("%d runs, no violation: %v, in %.1f s", n, &all, time.Since(begin).Seconds())
		})
	}
}

// TestWrongVariants makes sure that the simulation sees what is wrong.
func TestWrongVariants(t *testing.T) {
	both := []kind{perCommit, perStream}
	for _, v := range []struct {
		variant
		kinds []kind
	}{
		{variant{name: "without redo", wrap: withoutRedo}, kinds},
		{variant{name: "cleared before it is put", wrap: clearFirst}, kinds},
		{variant{name: "a register can go back", wrong: wrong{lowers: true}, often: 5}, both},
		{variant{name: "raised without waiting for it", wrap: raiseLater}, both},
		{variant{name: "a refused put is taken for a success", wrap: alwaysPut}, kinds},
		{variant{name: "a put that replaces what is there", wrong: wrong{overwrites: true}}, kinds},
		{variant{name: "marks cleared at now", wrong: wrong{clearNow: true}}, []kind{perStream}},
		{variant{name: "an ascending scan", wrong: wrong{ascending: true}, short: true, alone: true, often: 3}, []kind{exact}},
		{variant{name: "no registers and a stale list", wrong: wrong{stale: true}, short: true}, []kind{exact}},
		{variant{name: "no registers and hidden entries", wrong: wrong{hides: true}}, []kind{exact}},
		{variant{name: "no registers and an index that lags", wrap: hideRegisters}, []kind{perCommit}},
		{variant{name: "a page that is cut in a batch goes on after it", naive: true}, kinds},
	} {
		for _, kind := range v.kinds {
			t.Run(v.name+"/"+string(kind), func(t *testing.T) {
				n, caught := 0, 0
				var what string
				for seed := range seeds(t, 100*max(1, v.often), 300*time.Millisecond, func() bool { return caught > 0 }) {
					n++
					if got := simulate(t, kind, seed, v.variant); len(got.bad) > 0 {
						caught++
						what = got.bad[0]
					}
				}
				t.Logf("%d runs, violations in %d, such as: %s", n, caught, what)
				if caught == 0 && !testing.Short() {
					t.Errorf("%d runs did not see what is wrong", n)
				}
			})
		}
	}
}

// variant is a way to go wrong.
type variant struct {
	name  string
	wrong wrong
	wrap  func(sequencer.Backend) sequencer.Backend
	naive bool // the reader
	alone bool // one process reads, so that what it does counts, however slow it is
	often int  // so many times as many runs
	short bool // each call by a program of its own, which remembers nothing
}

// tally is what happened in simulations.
type tally struct {
	events, batches, crashes, pages int
	bad                             []string
}

func (a *tally) add(b tally) {
	a.events += b.events
	a.batches += b.batches
	a.crashes += b.crashes
	a.pages += b.pages
}

func (a *tally) String() string {
	return fmt.Sprintf("%d events in %d batches, %d pages, %d crashes", a.events, a.batches, a.pages, a.crashes)
}

// observer holds what all readers saw against each other.
type observer struct {
	mu    sync.Mutex
	ids   map[driver.Position]driver.ID
	high  driver.Position // that somebody has read to
	tally tally
}

func (o *observer) wrong(format string, args ...any) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.tally.bad) < 5 {
		o.tally.bad = append(o.tally.bad, fmt.Sprintf(format, args...))
	}
}

func (o *observer) page(after driver.Position, page driver.FeedPage) {
	if n := driver.Position(len(page.Records)); page.Next != after+n {
		o.wrong("a page after %d with %d events has Next %d", after, n, page.Next)
	}
	o.mu.Lock()
	var was, is driver.ID
	var at driver.Position
	for i := range page.Records {
		r := &page.Records[i]
		if old, there := o.ids[r.Position]; there && old != r.ID {
			was, is, at = old, r.ID, r.Position
		}
		o.ids[r.Position] = r.ID
	}
	o.high = max(o.high, page.Next)
	o.tally.pages++
	o.mu.Unlock()
	if at > 0 {
		o.wrong("position %d was %v and is %v", at, was, is)
	}
}

type feed interface {
	ReadAll(context.Context, driver.FeedQuery) (driver.FeedPage, error)
	Appended(stream string, v driver.Version)
}

// simulate runs one history. Processes write and read, and crash; at the end a
// single one that only reads has to come to everything, in order.
func simulate(t *testing.T, kind kind, seed uint64, v variant) (result tally) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(kind, seed)
		w.faults, w.wrong = true, v.wrong
		o := &observer{ids: map[driver.Position]driver.ID{}}
		open := func() (*process, feed) {
			p := &process{world: w}
			b := p.backend()
			if v.wrap != nil {
				b = v.wrap(b)
			}
			cfg := sequencer.Config{BatchSpans: 4, Alone: 20 * time.Millisecond, Rest: 40 * time.Millisecond, Busy: 2 * time.Millisecond}
			s := sequencer.New(b, cfg)
			switch {
			case v.naive:
				return p, &naive{s, b}
			case v.short:
				return p, short{func() *sequencer.Sequencer { return sequencer.New(b, cfg) }}
			}
			return p, s
		}
		var wait sync.WaitGroup
		for i := range 3 {
			wait.Go(func() {
				var after driver.Position
				for life := range 3 {
					p, s := open()
					time.AfterFunc(20*time.Millisecond+w.rand(250*time.Millisecond), p.crash)
					wait.Go(func() { write(p, s, fmt.Sprint(i, life)) })
					if v.alone && i > 0 {
						for !p.dead() {
							time.Sleep(10 * time.Millisecond)
						}
					} else {
						after = follow(p, s, o, after)
					}
					if w.chance(0.3) {
						after = 0
					}
					o.mu.Lock()
					o.tally.crashes++
					o.mu.Unlock()
					time.Sleep(w.rand(30 * time.Millisecond))
				}
			})
		}
		wait.Wait()
		time.Sleep(time.Second) // what was sent late has come
		w.mu.Lock()
		w.faults = false
		o.tally.batches = len(w.log)
		for _, cs := range w.commits {
			o.tally.events += int(cs[len(cs)-1].last)
		}
		w.mu.Unlock()
		_, s := open()
		finish(w, s, o)
		result = o.tally
	})
	return result
}

// write appends to streams that others write to as well, until it crashes.
func write(p *process, s feed, name string) {
	ctx := context.Background()
	var stream string
	for i := 0; i < 60 && !p.dead(); i++ {
		if p.rand(3) == 0 || i == 0 { // a few appends to one stream, then to another
			if stream = fmt.Sprint("stream-", int(p.rand(30))); p.rand(2) == 0 {
				stream += name
			}
			time.Sleep(p.rand(30 * time.Millisecond))
		}
		base, err := p.head(ctx, stream)
		if err != nil {
			continue
		}
		n := 1 + int(p.rand(3))
		var id driver.ID
		copy(id[:], fmt.Sprint(name, "-", i, "........."))
		ok, err := p.append(ctx, stream, base, n, id)
		for try := 0; errors.Is(err, errLost) && try < 2; try++ {
			ok, err = p.append(ctx, stream, base, n, id)
		}
		if ok && err == nil {
			s.Appended(stream, base+driver.Version(n))
		}
	}
}

// follow reads until the process crashes, and returns how far it came.
func follow(p *process, s feed, o *observer, after driver.Position) driver.Position {
	for {
		page, err := s.ReadAll(context.Background(), driver.FeedQuery{After: after, Limit: int(p.rand(8))})
		switch {
		case p.dead():
			return after
		case errors.Is(err, errLost):
			time.Sleep(p.rand(5 * time.Millisecond))
		case err != nil:
			o.wrong("after %d: %v", after, err)
			return after
		default:
			if o.page(after, page); page.Next == after {
				time.Sleep(p.rand(10 * time.Millisecond))
			}
			after = page.Next
			if p.rand(20) == 0 { // go on where another reader is
				o.mu.Lock()
				after = o.high
				o.mu.Unlock()
			}
		}
	}
}

// finish reads the feed from the beginning, and compares it with the streams.
func finish(w *world, s feed, o *observer) {
	var all []driver.Record
	var after driver.Position
	left := o.tally.events
	for idle := 0; idle < 100 && (len(all) < left || idle < 3); {
		page, err := s.ReadAll(context.Background(), driver.FeedQuery{After: after})
		if err != nil {
			o.wrong("at rest, after %d: %v", after, err)
			return
		}
		o.page(after, page)
		all = append(all, page.Records...)
		idle++
		if page.Next > after {
			idle = 0
		} else {
			time.Sleep(20 * time.Millisecond)
		}
		if after = page.Next; page.End && len(all) < left && w.kind == exact && idle > 3 {
			o.wrong("End at %d, and there are %d events", after, left)
			return
		}
	}
	if len(all) < left {
		o.wrong("lost: %d of %d events came", len(all), left)
	}
	versions := map[string]driver.Version{}
	for i, r := range all {
		if r.Position != driver.Position(i+1) {
			o.wrong("event %d is at position %d", i+1, r.Position)
		}
		if want := versions[r.Stream] + 1; r.Version != want {
			o.wrong("position %d: version %d of %s comes after version %d", r.Position, r.Version, r.Stream, want-1)
		}
		versions[r.Stream] = max(versions[r.Stream], r.Version)
	}
	if w.kind == exact {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for stream, v := range versions {
		if w.seqv[stream] != v {
			o.wrong("at rest, the register of %s is %d, and its last version %d", stream, w.seqv[stream], v)
		}
	}
	for p, id := range o.ids {
		if int(p) > len(all) || all[p-1].ID != id {
			o.wrong("position %d was %v once, and is not now", p, id)
		}
	}
}

// hook replaces some of the methods of a backend.
type hook struct {
	sequencer.Backend
	put   func(context.Context, sequencer.Batch) (sequencer.Batch, bool, error)
	clear func(context.Context, []sequencer.Mark) error
	raise func(context.Context, []sequencer.Span) error
	fetch func(context.Context, []sequencer.Run) ([]sequencer.Event, error)
}

func (h *hook) Fetch(ctx context.Context, runs []sequencer.Run) ([]sequencer.Event, error) {
	if h.fetch != nil {
		return h.fetch(ctx, runs)
	}
	return h.Backend.Fetch(ctx, runs)
}

func (h *hook) Put(ctx context.Context, b sequencer.Batch) (sequencer.Batch, bool, error) {
	if h.put != nil {
		return h.put(ctx, b)
	}
	return h.Backend.Put(ctx, b)
}

func (h *hook) Clear(ctx context.Context, marks []sequencer.Mark) error {
	if h.clear != nil {
		return h.clear(ctx, marks)
	}
	return h.Backend.Clear(ctx, marks)
}

type hookRegisters struct {
	*hook
	sequencer.Register
}

func (h hookRegisters) Raise(ctx context.Context, spans []sequencer.Span) error {
	if h.raise != nil {
		return h.raise(ctx, spans)
	}
	return h.Register.Raise(ctx, spans)
}

func (h *hook) backend() sequencer.Backend {
	if r, ok := h.Backend.(sequencer.Register); ok {
		return hookRegisters{h, r}
	}
	return h
}

// withoutRedo raises, or clears, only what this process has put.
func withoutRedo(b sequencer.Backend) sequencer.Backend {
	h := &hook{Backend: b}
	var mu sync.Mutex
	mine := map[sequencer.Span]bool{}
	h.put = func(ctx context.Context, b sequencer.Batch) (sequencer.Batch, bool, error) {
		mu.Lock()
		for _, sp := range b.Spans {
			mine[sp] = true
		}
		mu.Unlock()
		return h.Backend.Put(ctx, b)
	}
	h.raise = func(ctx context.Context, spans []sequencer.Span) error {
		mu.Lock()
		spans = slices.DeleteFunc(slices.Clone(spans), func(sp sequencer.Span) bool { return !mine[sp] })
		mu.Unlock()
		return b.(sequencer.Register).Raise(ctx, spans)
	}
	if _, ok := b.(sequencer.Register); !ok {
		h.clear = func(ctx context.Context, marks []sequencer.Mark) error {
			mu.Lock()
			marks = slices.DeleteFunc(slices.Clone(marks), func(m sequencer.Mark) bool {
				return !mine[sequencer.Span{Stream: m.Stream, First: m.First, Last: m.Last}]
			})
			mu.Unlock()
			return b.Clear(ctx, marks)
		}
	}
	return h.backend()
}

// clearFirst clears the marks of a batch before it puts it.
func clearFirst(b sequencer.Backend) sequencer.Backend {
	h := &hook{Backend: b}
	h.put = func(ctx context.Context, batch sequencer.Batch) (sequencer.Batch, bool, error) {
		var marks []sequencer.Mark
		for _, sp := range batch.Spans {
			marks = append(marks, sequencer.Mark{Stream: sp.Stream, First: sp.First, Last: sp.Last, Handle: time.Now()})
		}
		if err := b.Clear(ctx, marks); err != nil {
			return sequencer.Batch{}, false, err
		}
		return b.Put(ctx, batch)
	}
	return h.backend()
}

// raiseLater raises in the background.
func raiseLater(b sequencer.Backend) sequencer.Backend {
	h := &hook{Backend: b}
	h.raise = func(ctx context.Context, spans []sequencer.Span) error {
		spans = slices.Clone(spans)
		go func() {
			time.Sleep(20 * time.Millisecond)
			b.(sequencer.Register).Raise(ctx, spans)
		}()
		return nil
	}
	return h.backend()
}

// alwaysPut believes that it has put.
func alwaysPut(b sequencer.Backend) sequencer.Backend {
	h := &hook{Backend: b}
	h.put = func(ctx context.Context, batch sequencer.Batch) (sequencer.Batch, bool, error) {
		_, _, err := b.Put(ctx, batch)
		return batch, true, err
	}
	return h.backend()
}

// hideRegisters leaves the marks as all there is.
func hideRegisters(b sequencer.Backend) sequencer.Backend {
	return struct{ sequencer.Backend }{b}
}

// short is what programs are that read a page and end.
type short struct{ open func() *sequencer.Sequencer }

func (s short) ReadAll(ctx context.Context, q driver.FeedQuery) (driver.FeedPage, error) {
	return s.open().ReadAll(ctx, q)
}

func (s short) Appended(string, driver.Version) {}

// naive reads on at the next batch, wherever its last page ended.
type naive struct {
	*sequencer.Sequencer
	b sequencer.Backend
}

func (n *naive) ReadAll(ctx context.Context, q driver.FeedQuery) (driver.FeedPage, error) {
	if err := n.Advance(ctx); err != nil {
		return driver.FeedPage{}, err
	}
	page := driver.FeedPage{Next: q.After, End: true}
	read, err := n.b.Log(ctx, q.After+1, 1)
	if err != nil || len(read) == 0 {
		return page, err
	}
	at := read[0].First
	for _, sp := range read[0].Spans {
		events, err := n.b.Fetch(ctx, []sequencer.Run{{Stream: sp.Stream, First: sp.First, Last: sp.Last, From: sp.First, To: sp.Last, Position: at}})
		if err != nil {
			return driver.FeedPage{}, err
		}
		for i := range events {
			events[i].Record.Position = at
			page.Records = append(page.Records, events[i].Record)
			at++
		}
	}
	if q.Limit > 0 && len(page.Records) > q.Limit {
		page.Records = page.Records[:q.Limit]
	}
	page.Next = page.Records[len(page.Records)-1].Position
	return page, nil
}
