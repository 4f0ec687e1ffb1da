package sequencer_test

import (
	"context"
	"encoding/binary"
	"errors"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/go-es/es/driver"
	"github.com/go-es/es/driver/sequencer"
)

// A world is a simulated database, in fake time, with what can go wrong in one.
// It is one of three kinds, for the three kinds of databases that there are.
type world struct {
	kind   kind
	faults bool
	gone   time.Duration // how long the index shows what was cleared; with faults it varies
	rng    *rand.Rand
	lag    func(op string, n int) time.Duration // how long a request of n things takes, each way
	count  map[string]int                       // requests
	things map[string]int                       // that they were of

	mu      sync.Mutex
	commits map[string][]commit // by stream, in order
	heads   map[string]*head    // marks, of kind perStream
	log     []entry             // in order
	seqv    map[string]driver.Version
	wrong   wrong
	older   [][]sequencer.Mark // what was listed before, for an exact list that is stale
}

type kind string

const (
	perCommit kind = "a mark for each commit, an index that lags, registers"    // as DynamoDB
	perStream kind = "a mark for each stream with its write time, registers"    // as Cassandra
	exact     kind = "a mark in each commit, a scan from high to low, no other" // as MongoDB
)

// wrong is what makes a variant that cannot work.
type wrong struct {
	lowers     bool // a register can go back
	clearNow   bool // whatever the mark's time is
	ascending  bool // the scan goes from low to high
	overwrites bool // a put replaces what is there
	stale      bool // an exact list is as of a while ago
	hides      bool // an exact list leaves things out
}

type commit struct {
	first, last driver.Version
	id          driver.ID
	marked      bool
	shown, gone time.Time // when the index shows it, and when it no longer does
}

type head struct {
	marked  bool
	written time.Time
}

type entry struct {
	sequencer.Batch
	at time.Time
}

func newWorld(kind kind, seed uint64) *world {
	w := &world{kind: kind, rng: rand.New(rand.NewPCG(seed, 1)), count: map[string]int{}, things: map[string]int{}, commits: map[string][]commit{}, heads: map[string]*head{}, seqv: map[string]driver.Version{}}
	w.lag = func(string, int) time.Duration { return w.rand(4 * time.Millisecond) }
	return w
}

func (w *world) rand(d time.Duration) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return time.Duration(w.rng.Int64N(int64(d)))
}

func (w *world) chance(p float64) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.faults && w.rng.Float64() < p
}

var (
	errLost    = errors.New("the connection broke")
	errCrashed = errors.New("the process has crashed")
)

// process is a client of a world. Its requests are carried out, or not, or
// answered, or not, or carried out again later; what was sent before a crash may
// be carried out after it.
type process struct {
	*world
	crashed bool // guarded by world.mu
}

func (p *process) dead() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.crashed
}

func (p *process) crash() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.crashed = true
}

// read is a request that changes nothing.
func (p *process) read(ctx context.Context, op string, n int, do func()) error {
	return p.request(ctx, op, n, false, do)
}

// write is a request that does.
func (p *process) write(ctx context.Context, op string, n int, do func()) error {
	return p.request(ctx, op, n, true, do)
}

func (p *process) request(ctx context.Context, op string, n int, writes bool, do func()) error {
	if p.dead() {
		return errCrashed
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	carryOut := func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		do()
	}
	p.mu.Lock()
	p.count[op]++
	p.things[op] += n
	p.mu.Unlock()
	time.Sleep(p.lag(op, n))
	switch {
	case p.chance(0.03):
		return errLost // before it was carried out
	case writes && p.chance(0.03):
		late := p.rand(300 * time.Millisecond)
		go func() { time.Sleep(late); carryOut() }()
		return errLost // and it is carried out later
	}
	carryOut()
	if writes && p.chance(0.05) {
		late := p.rand(300 * time.Millisecond)
		go func() { time.Sleep(late); carryOut() }() // once more
	}
	time.Sleep(p.lag(op, n))
	if p.chance(0.03) {
		return errLost
	}
	if p.dead() {
		return errCrashed
	}
	return nil
}

// append appends a commit of n events after version base, with its mark.
func (p *process) append(ctx context.Context, stream string, base driver.Version, n int, id driver.ID) (ok bool, err error) {
	err = p.write(ctx, "append", n, func() {
		cs := p.commits[stream]
		if len(cs) > 0 && cs[len(cs)-1].last != base || len(cs) == 0 && base != 0 {
			i := slices.IndexFunc(cs, func(c commit) bool { return c.id == id })
			ok = i >= 0
			return
		}
		now := time.Now()
		c := commit{first: base + 1, last: base + driver.Version(n), id: id, marked: true, shown: now}
		if p.faults {
			c.shown = now.Add(time.Duration(p.rng.Int64N(int64(50 * time.Millisecond))))
		}
		p.commits[stream] = append(cs, c)
		p.heads[stream] = &head{true, now}
		ok = true
	})
	return ok, err
}

func (p *process) head(ctx context.Context, stream string) (v driver.Version, err error) {
	err = p.read(ctx, "head", 1, func() { v = p.headOf(stream) })
	return v, err
}

func (w *world) headOf(stream string) driver.Version {
	if cs := w.commits[stream]; len(cs) > 0 {
		return cs[len(cs)-1].last
	}
	return 0
}

func (p *process) Tip(ctx context.Context, known driver.Position) (b sequencer.Batch, err error) {
	err = p.read(ctx, "tip", 1, func() {
		if n := len(p.log); n > 0 {
			b = p.log[n-1].Batch
		}
	})
	return b, err
}

func (p *process) Find(ctx context.Context, at driver.Position) (b sequencer.Batch, err error) {
	err = p.read(ctx, "find", 1, func() {
		for _, e := range p.log {
			if e.First <= at && at < e.Next() {
				b = e.Batch
			}
		}
	})
	return b, err
}

func (p *process) Log(ctx context.Context, first driver.Position, limit int) (bs []sequencer.Batch, err error) {
	err = p.read(ctx, "log", 1, func() {
		asOf := time.Now()
		if p.faults {
			asOf = asOf.Add(-time.Duration(p.rng.Int64N(int64(60 * time.Millisecond))))
		}
		for _, e := range p.log {
			switch {
			case e.First < first || len(bs) == limit || e.at.After(asOf):
			case p.faults && p.rng.IntN(8) == 0: // not here yet
			default:
				bs = append(bs, e.Batch)
			}
		}
	})
	return bs, err
}

func (p *process) Put(ctx context.Context, b sequencer.Batch) (there sequencer.Batch, put bool, err error) {
	b.Spans = slices.Clone(b.Spans)
	err = p.write(ctx, "put", len(b.Spans), func() {
		i, taken := slices.BinarySearchFunc(p.log, b.First, func(e entry, first driver.Position) int { return int(e.First) - int(first) })
		if taken && !p.wrong.overwrites {
			there, put = p.log[i].Batch, false
			return
		}
		if there, put = b, true; taken {
			p.log[i] = entry{b, time.Now()}
		} else {
			p.log = slices.Insert(p.log, i, entry{b, time.Now()})
		}
	})
	return there, put, err
}

func (p *process) Dirty(ctx context.Context, wish int) (marks []sequencer.Mark, err error) {
	switch p.kind {
	case perCommit:
		err = p.read(ctx, "dirty", 1, func() { marks = p.index() })
	case perStream:
		err = p.read(ctx, "dirty", 1, func() {
			for stream, h := range p.heads {
				if h.marked && !(p.faults && p.rng.IntN(10) < 3) {
					marks = append(marks, sequencer.Mark{Stream: stream, Last: p.headOf(stream), Handle: h.written})
				}
			}
		})
	case exact:
		return p.scan(ctx)
	}
	slices.SortFunc(marks, func(a, b sequencer.Mark) int { return int(a.Last) - int(b.Last) })
	p.mu.Lock()
	if n := len(marks); n > 0 && p.faults {
		marks = append(marks, marks[p.rng.IntN(n)]) // shown twice
	}
	p.rng.Shuffle(len(marks), func(i, j int) { marks[i], marks[j] = marks[j], marks[i] })
	p.mu.Unlock()
	return marks[:min(wish, len(marks))], err
}

// index is what an index shows that lags behind, and hides things. Call it locked.
func (w *world) index() (marks []sequencer.Mark) {
	now := time.Now()
	for stream, cs := range w.commits {
		for _, c := range cs {
			if now.Before(c.shown) || !c.marked && !now.Before(c.gone) || w.faults && w.rng.IntN(10) < 3 {
				continue
			}
			marks = append(marks, sequencer.Mark{Stream: stream, First: c.first, Last: c.last})
		}
	}
	return marks
}

// scan goes through the marks in two parts, from high first versions to low ones,
// while others go on.
func (p *process) scan(ctx context.Context) (marks []sequencer.Mark, err error) {
	cut := map[string]driver.Version{}
	part := func(high bool) {
		for stream, cs := range p.commits {
			at, there := cut[stream]
			if !there {
				at = 2
			}
			for _, c := range cs {
				if c.marked && (c.first >= at) == high && !(p.wrong.hides && p.rng.IntN(10) == 0) {
					marks = append(marks, sequencer.Mark{Stream: stream, First: c.first, Last: c.last})
				}
			}
		}
	}
	err = p.read(ctx, "dirty", 1, func() {
		for _, stream := range slices.Sorted(maps.Keys(p.commits)) {
			cut[stream] = p.headOf(stream) + driver.Version(p.rng.IntN(4))
		}
		part(!p.wrong.ascending)
	})
	if err != nil {
		return nil, err
	}
	if p.chance(0.5) {
		time.Sleep(p.rand(100 * time.Millisecond))
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	part(p.wrong.ascending)
	if p.crashed {
		return nil, errCrashed
	}
	if p.wrong.stale {
		p.older = append(p.older, marks)
		marks = p.older[max(0, len(p.older)-6)]
	}
	return marks, nil
}

func (p *process) Clear(ctx context.Context, marks []sequencer.Mark) error {
	marks = slices.Clone(marks)
	for len(marks) > 0 { // a few requests, each of its own fate
		n := p.some(len(marks))
		some := marks[:n]
		marks = marks[n:]
		if err := p.write(ctx, "clear", n, func() { p.clear(some) }); err != nil {
			return err
		}
	}
	return nil
}

// some is how many of n things go into one request.
func (p *process) some(n int) int {
	if p.chance(1) {
		return min(n, 1+int(p.rand(5)))
	}
	return n
}

func (w *world) clear(marks []sequencer.Mark) {
	for _, m := range marks {
		if w.kind == perStream {
			h := w.heads[m.Stream]
			if at, ok := m.Handle.(time.Time); ok && (!h.written.After(at) || w.wrong.clearNow) {
				h.marked = false
			}
			continue
		}
		for i := range w.commits[m.Stream] {
			if c := &w.commits[m.Stream][i]; c.first == m.First && c.marked {
				c.marked, c.gone = false, time.Now().Add(w.gone)
				if w.faults {
					c.gone = c.gone.Add(time.Duration(w.rng.Int64N(int64(80 * time.Millisecond))))
				}
			}
		}
	}
}

func (p *process) Fetch(ctx context.Context, runs []sequencer.Run) (events []sequencer.Event, err error) {
	runs = slices.Clone(runs)
	err = p.read(ctx, "fetch", len(runs), func() {
		events = nil
		for _, run := range runs {
			for v := run.From; v <= run.To; v++ {
				i := slices.IndexFunc(p.commits[run.Stream], func(c commit) bool { return c.first <= v && v <= c.last })
				if i < 0 {
					return
				}
				events = append(events, sequencer.Event{Record: driver.Record{Stream: run.Stream, Version: v, ID: eventID(p.commits[run.Stream][i].id, v)}})
			}
		}
	})
	if len(events) > 1 && p.chance(0.1) {
		events = events[:1+int(p.rand(time.Duration(len(events)-1)))]
	}
	return events, err
}

// eventID is the id of an event of a commit.
func eventID(commit driver.ID, v driver.Version) driver.ID {
	binary.BigEndian.PutUint32(commit[12:], uint32(v))
	return commit
}

// registers is a process of a world that has registers.
type registers struct{ *process }

func (p registers) Sequenced(ctx context.Context, streams []string) (vs []driver.Version, err error) {
	err = p.read(ctx, "sequenced", len(streams), func() {
		vs = nil
		for _, stream := range streams {
			vs = append(vs, p.seqv[stream])
		}
	})
	return vs, err
}

func (p registers) Raise(ctx context.Context, spans []sequencer.Span) error {
	spans = slices.Clone(spans)
	for len(spans) > 0 {
		n := p.some(len(spans))
		some := spans[:n]
		spans = spans[n:]
		if err := p.write(ctx, "raise", n, func() {
			for _, sp := range some {
				if p.wrong.lowers || p.seqv[sp.Stream] < sp.Last {
					p.seqv[sp.Stream] = sp.Last
				}
			}
		}); err != nil {
			return err
		}
	}
	return nil
}

// backend returns the process as what a Sequencer gets.
func (p *process) backend() sequencer.Backend {
	if p.kind == exact {
		return p
	}
	return registers{p}
}
