package benchtest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-es/es"
	"github.com/go-es/es/aggregate"
)

// crowd is writers that append at once.
type crowd struct {
	writers int
	events  int // of an append
	write   func(w, i int) error

	next []int // append of each writer
}

func newCrowd(writers, events int, write func(w, i int) error) *crowd {
	return &crowd{writers, events, write, make([]int, writers)}
}

// run lets the writers append for some time. The rate is the sum of the writers'
// own, each until its last append was acknowledged: so neither the appends that
// some finish while others have ended nor those that are cut off count.
func (c *crowd) run(long time.Duration) (t turn, err error) {
	var wg sync.WaitGroup
	errs, rates, done := make([]error, c.writers), make([]float64, c.writers), make([]int, c.writers)
	t.allocs = allocs(func() {
		start := time.Now()
		for w := range c.writers {
			wg.Go(func() {
				for rates[w] == 0 {
					if errs[w] = c.write(w, c.next[w]); errs[w] != nil {
						return
					}
					c.next[w]++
					done[w] += c.events
					if d := time.Since(start); d >= long {
						rates[w] = float64(done[w]) / d.Seconds()
					}
				}
			})
		}
		wg.Wait()
	})
	for w := range c.writers {
		t.ops += done[w]
		t.rate += rates[w]
	}
	return t, errors.Join(errs...)
}

func (c *crowd) contender(b *testing.B, name string, long time.Duration) *contender {
	return &contender{name: name, turn: func() turn {
		t, err := c.run(long)
		must(b, err)
		return t
	}}
}

// workload is one of those that append.
type workload struct {
	name    string
	writers int
	events  int  // of an append
	own     bool // each writer has a stream; else all have one
	fresh   bool // each append has a stream
}

const writers = 16

var appends = []workload{
	{name: "W1", writers: 1, events: 1, fresh: true},
	{name: "W2", writers: 1, events: 10, fresh: true},
	{name: "W3", writers: writers, events: 1, own: true},
	{name: "W4", writers: writers, events: 1},
}

// raw and es make an append of the workload.
func (l *workload) raw(ctx context.Context, r Raw) func(w, i int) error {
	events := make([]Deposited, l.events)
	for i := range events {
		events[i] = deposit(i)
	}
	return func(w, i int) error {
		switch {
		case l.fresh:
			return r.Append(ctx, stream(i), 0, events...)
		case l.own:
			return r.Append(ctx, stream(w), i*l.events, events...)
		}
		return r.AppendAny(ctx, stream(0), events...)
	}
}

func (l *workload) es(ctx context.Context, s *es.Store) func(w, i int) error {
	events := make([]es.Event, l.events)
	for i := range events {
		events[i] = deposit(i)
	}
	return func(w, i int) (err error) {
		switch {
		case l.fresh:
			_, err = s.Append(ctx, stream(i), es.NoStream, events...)
		case l.own:
			_, err = s.Append(ctx, stream(w), es.Exactly(es.Version(i*l.events)), events...)
		default:
			_, err = s.Append(ctx, stream(0), es.Any, events...)
		}
		return err
	}
}

func (m *bench) append(b *testing.B, l workload, followed bool) {
	r, s := m.Raw(b, m.Data(b), true), m.Open(b, m.Data(b))
	if followed && s.Caps().PositionOnAppend {
		b.Skip("positions are known at once: nobody need follow")
	}
	long := 20 * time.Millisecond
	if l.writers > 1 {
		long *= 5
	}
	if followed {
		long = 500 * time.Millisecond
	}
	ctx := b.Context()
	raw := newCrowd(l.writers, l.events, l.raw(ctx, r)).contender(b, "raw", long)
	ess := newCrowd(l.writers, l.events, l.es(ctx, s))
	switch {
	case followed:
		f := follow(b, s)
		inTurns(b, raw, f.beside(b, ess, long))
		f.report(b)
	case !l.own && !l.fresh:
		inTurns(b, raw, ess.contender(b, "es", long), m.update(b, s, long))
	default:
		inTurns(b, raw, ess.contender(b, "es", long))
	}
}

// update is a contender that updates one aggregate.
func (m *bench) update(b *testing.B, s *es.Store, long time.Duration) *contender {
	ctx := b.Context()
	// However many conflicts there are: these are what is measured.
	repo := accounts.Repository(s, aggregate.SnapshotEvery(100), aggregate.Retries(10_000))
	_, err := repo.Create(ctx, "updated", func(a *account) error { return a.Raise(deposit(0)) })
	must(b, err)
	return newCrowd(writers, 1, func(_, i int) error {
		_, err := repo.Update(ctx, "updated", func(a *account) error { return a.Raise(deposit(i)) })
		return err
	}).contender(b, "update", long)
}

// follower reads the feed while writers append, and so gives positions to what
// they append.
type follower struct {
	seen      atomic.Int64
	failed    chan error // takes the error by which it ended
	written   int64
	whole     int // events of all turns
	sequenced int // of these, those that were read when the writers stopped
}

// follow reads a feed until b ends.
func follow(b *testing.B, s *es.Store) *follower {
	ctx, cancel := context.WithCancel(b.Context())
	f := &follower{failed: make(chan error, 1)}
	go func() {
		for _, err := range s.Subscribe(ctx) {
			if err != nil {
				f.failed <- err
				return
			}
			f.seen.Add(1)
		}
	}()
	b.Cleanup(func() { // before the store is closed
		cancel()
		if err := <-f.failed; !errors.Is(err, context.Canceled) {
			b.Error(err)
		}
	})
	return f
}

// beside is a contender whose turns end when writers stop. What the reader has not
// read by then it reads before the next contender's turn.
func (f *follower) beside(b *testing.B, c *crowd, long time.Duration) *contender {
	return &contender{name: "es", turn: func() turn {
		t, err := c.run(long)
		must(b, err)
		f.written += int64(t.ops)
		f.whole += t.ops
		f.sequenced += t.ops - int(f.written-f.seen.Load())
		for end := time.Now().Add(time.Minute); f.seen.Load() < f.written; time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				b.Fatalf("the reader has read %d events of %d", f.seen.Load(), f.written)
			}
		}
		return t
	}}
}

func (f *follower) report(b *testing.B) {
	b.ReportMetric(100*float64(f.sequenced)/float64(f.whole), "%sequenced")
}

// fill appends to so many streams, round by round, so that the events of a stream
// lie far apart. A round is several appends at a time.
func fill(b *testing.B, streams, rounds int, store func(i, v int, events []Deposited) error) {
	b.Helper()
	for round := range rounds {
		events := make([]Deposited, perAppend)
		for i := range events {
			events[i] = deposit(round*perAppend + i)
		}
		var wg sync.WaitGroup
		var next atomic.Int64
		errs := make([]error, writers)
		for w := range errs {
			wg.Go(func() {
				for errs[w] == nil {
					i := int(next.Add(1)) - 1
					if i >= streams {
						return
					}
					if err := store(i, round*perAppend, events); err != nil {
						errs[w] = fmt.Errorf("stream %d, version %d: %w", i, round*perAppend, err)
					}
				}
			})
		}
		wg.Wait()
		must(b, errors.Join(errs...))
	}
}

// fillStore is fill of a store, by appends to as many streams as it takes.
func fillStore(b *testing.B, s *es.Store, streams, rounds int) {
	b.Helper()
	most := max(1, min(s.Caps().MaxStreams, s.Caps().MaxAppendEvents/perAppend, 100))
	fill(b, (streams+most-1)/most, rounds, func(n, v int, events []Deposited) error {
		evs := make([]es.Event, len(events))
		for i := range events {
			evs[i] = events[i]
		}
		var parts []es.Part
		for i := n * most; i < min((n+1)*most, streams); i++ {
			parts = append(parts, es.To(stream(i), es.Exactly(es.Version(v)), evs...))
		}
		_, err := s.AppendAll(b.Context(), parts...)
		return err
	})
}
