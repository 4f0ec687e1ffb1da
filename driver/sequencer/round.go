package sequencer

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"time"

	"github.com/go-es/es/driver"
)

const (
	logBatches = 16      // of one read of the log
	maxCached  = 100_000 // streams whose last sequenced version is kept in memory
)

// round is the state of the one round that a process does at a time.
type round struct {
	s *Sequencer

	tip  Batch // the last batch that is known; zero for none
	own  bool  // the tip was put here, and its registers are still to be raised
	done bool  // they were raised, by this process, after the tip was put

	// cache has for some streams, those of the tip among them, the last version in
	// the log, as of the tip or of a later batch. A put that wins proves that there
	// was no later one.
	cache map[string]driver.Version

	todo    []item    // what the last listing showed and no batch has yet
	more    bool      // the listing may have been cut
	wish    int       // for the next one
	marks   []Mark    // to clear
	cleared cleared   // those that were
	alone   time.Time // until then another one sequences
}

// item is a span that can be put, and the mark that told of it.
type item struct {
	span Span
	mark Mark
}

// do looks for what others have put; and if there is nothing, and no other is at
// work, it puts the next batch.
func (r *round) do(ctx context.Context) error {
	if !r.s.known {
		tip, err := r.s.b.Tip(ctx, 0)
		if err != nil {
			return err
		}
		r.jump(tip)
	}
	unsettled := r.settle(ctx)
	now := time.Now()
	if unsettled == nil && len(r.todo) > 0 {
		return r.put(ctx)
	}
	if !r.s.due(now) {
		return unsettled
	}
	news, err := r.follow(ctx)
	if err == nil && !news {
		err = unsettled
	}
	if err != nil || news || now.Before(r.alone) {
		r.s.rest(now, news)
		return err
	}
	if err := r.list(ctx); err != nil {
		r.s.rest(now, false)
		return err
	}
	r.s.rest(now, len(r.todo) > 0)
	if len(r.todo) > 0 {
		return r.put(ctx)
	}
	return r.settle(ctx)
}

// jump takes a tip that was read for the last batch.
func (r *round) jump(tip Batch) {
	s := r.s
	if end := s.position(); s.known && tip.end() <= end {
		return
	} else if s.known && tip.First == end+1 {
		r.follows(tip)
		return
	}
	// What lies between was not seen: what is known of streams may be too old.
	r.tip, r.own, r.done, r.todo = tip, false, false, nil
	r.cache = map[string]driver.Version{}
	if len(tip.Spans) == 0 {
		s.mu.Lock()
		s.known = true
		s.mu.Unlock()
		return
	}
	r.learn(tip)
	s.extend(tip)
}

// follows takes a batch that another put after the tip. That one clears its marks; who
// still sees them in a while clears them again.
func (r *round) follows(b Batch) {
	r.take(b)
	alone := r.s.cfg.Alone
	r.alone = time.Now().Add(alone + rand.N(alone))
	if r.s.reg != nil {
		r.cleared.add(marksOf(b))
	}
}

// take makes of a batch that follows the tip the tip.
func (r *round) take(b Batch) {
	r.todo = nil // it may have what was to be put
	r.tip, r.own, r.done = b, false, false
	r.learn(b)
	r.s.extend(b)
}

// marksOf returns the marks of a batch as far as the log tells of them.
func marksOf(b Batch) []Mark {
	marks := make([]Mark, len(b.Spans))
	at := b.First
	for i, sp := range b.Spans {
		marks[i] = Mark{Stream: sp.Stream, First: sp.First, Last: sp.Last, Closed: sp.Closed, Position: at}
		at += driver.Position(sp.Last - sp.First + 1)
	}
	return marks
}

func (r *round) learn(b Batch) {
	if len(r.cache) > maxCached {
		clear(r.cache)
	}
	for i := range b.Spans {
		r.know(b.Spans[i].Stream, b.Spans[i].Last)
	}
}

func (r *round) know(stream string, v driver.Version) {
	r.cache[stream] = max(r.cache[stream], v)
}

// follow reads what others have put after the tip.
func (r *round) follow(ctx context.Context) (news bool, err error) {
	s := r.s
	next := s.position() + 1
	read, err := s.b.Log(ctx, next, logBatches)
	if err != nil {
		return false, err
	}
	for i := range read {
		if read[i].First != next {
			if news {
				break // a later read shows what lies between
			}
			b, err := s.b.Find(ctx, next)
			if err != nil {
				return false, err
			}
			if b.First != next {
				return false, fmt.Errorf("%w: the log has a batch at position %d and none at %d", driver.ErrCorrupt, read[i].First, next)
			}
			read[i] = b
		}
		r.follows(read[i])
		news, next = true, s.position()+1
	}
	return news, nil
}

// list asks for marks and makes of them what can be put.
func (r *round) list(ctx context.Context) error {
	s := r.s
	wish := max(r.wish, 4*s.cfg.BatchSpans)
	waiting, marks, err := r.dirty(ctx, wish)
	if err != nil || len(marks)+len(waiting) == 0 {
		return err
	}
	if len(marks) > 0 && !r.done {
		if err := r.redo(ctx); err != nil {
			return err
		}
	}
	r.more = len(marks) >= wish
	if err := r.plan(ctx, marks, waiting); err != nil {
		return err
	}
	if r.wish = 0; r.more && len(r.todo) == 0 && len(r.marks) == 0 {
		r.wish = 2 * wish // nothing but what waits for marks that were not shown
	}
	return nil
}

// dirty lists marks, and what was known to wait before that.
func (r *round) dirty(ctx context.Context, wish int) (waiting map[string]driver.Version, marks []Mark, err error) {
	r.s.mu.Lock()
	waiting = maps.Clone(r.s.pending)
	r.s.mu.Unlock()
	marks, err = r.s.b.Dirty(ctx, wish)
	return waiting, marks, err
}

// redo makes sure that the registers have the tip, or that its marks are cleared,
// whoever put it and whatever became of him.
func (r *round) redo(ctx context.Context) error {
	if len(r.tip.Spans) > 0 {
		if err := r.redoTip(ctx); err != nil {
			return err
		}
	}
	r.done = true
	return nil
}

func (r *round) redoTip(ctx context.Context) error {
	reg := r.s.reg
	if reg == nil {
		return r.s.b.Clear(ctx, marksOf(r.tip))
	}
	spans := tops(r.tip.Spans)
	streams := make([]string, len(spans))
	for i := range spans {
		streams[i] = spans[i].Stream
	}
	at, err := r.sequenced(ctx, streams)
	if err != nil {
		return err
	}
	var low []Span
	for i := range spans {
		if at[i] < spans[i].Last {
			low = append(low, spans[i])
		}
	}
	if len(low) == 0 {
		return nil
	}
	return reg.Raise(ctx, low)
}

// sequenced reads registers.
func (r *round) sequenced(ctx context.Context, streams []string) ([]driver.Version, error) {
	at, err := r.s.reg.Sequenced(ctx, streams)
	if err == nil && len(at) != len(streams) {
		err = fmt.Errorf("es: the registers of %d streams were asked for, and %d came", len(streams), len(at))
	}
	return at, err
}

// tops returns the last span of each stream.
func tops(spans []Span) []Span {
	at := make(map[string]int, len(spans))
	var out []Span
	for _, sp := range spans {
		if i, there := at[sp.Stream]; there {
			out[i] = sp
			continue
		}
		at[sp.Stream] = len(out)
		out = append(out, sp)
	}
	return out
}

// put puts the next batch.
func (r *round) put(ctx context.Context) error {
	s := r.s
	b := Batch{First: s.position() + 1}
	var marks []Mark
	at, bytes := b.First, 0
	for i := range r.todo {
		it := &r.todo[i]
		if bytes += it.span.size(); i > 0 && (i == s.cfg.BatchSpans || bytes > s.cfg.BatchBytes) {
			break
		}
		it.mark.Position = at
		b.Spans = append(b.Spans, it.span)
		marks = append(marks, it.mark)
		at += driver.Position(it.span.Last - it.span.First + 1)
	}
	there, put, err := s.b.Put(ctx, b)
	if err != nil {
		r.todo = nil
		return err
	}
	if there.First != b.First || len(there.Spans) == 0 {
		return fmt.Errorf("%w: a batch was put at position %d, and the one there begins at %d", driver.ErrCorrupt, b.First, there.First)
	}
	if !put { // even if it says the same: then another has listed at the same time
		r.follows(there)
		return nil
	}
	rest := r.todo[len(b.Spans):]
	r.take(b)
	r.own, r.marks = true, append(r.marks, marks...)
	r.todo, r.alone = rest, time.Time{}
	if len(rest) == 0 && r.more {
		s.soon()
	}
	return nil
}

// settle ends what the last put began: the registers are raised, which has to
// succeed before the next put, and the marks cleared. Without registers the marks
// are what has to be cleared before the next put.
func (r *round) settle(ctx context.Context) error {
	marks := r.marks
	if r.s.reg == nil {
		if len(marks) == 0 {
			return nil
		}
		if err := r.s.b.Clear(ctx, marks); err != nil {
			return err
		}
		r.marks, r.done, r.own = nil, r.done || r.own, false
		return nil
	}
	// Whoever finds no marks looks at no registers: they have to be raised before.
	if r.own {
		if err := r.s.reg.Raise(ctx, tops(r.tip.Spans)); err != nil {
			return err
		}
		r.own, r.done = false, true
	}
	if r.marks = nil; len(marks) == 0 {
		return nil
	}
	err := r.s.b.Clear(ctx, marks)
	if err == nil { // what was not cleared is listed again
		r.cleared.add(marks)
	}
	return err
}
