package sequencer

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/go-es/es/driver"
)

// maxAsked bounds how many streams that no mark was shown of are looked up.
const maxAsked = 500

// plan makes items of marks: of each stream those that follow, without a hole,
// what the log has of it. The others are cleared, if the log has them, or wait.
// waiting is what was known to wait before the marks were listed.
func (r *round) plan(ctx context.Context, marks []Mark, waiting map[string]driver.Version) error {
	var streams []string // in the order of the listing
	by := map[string][]Mark{}
	for _, m := range marks {
		if by[m.Stream] == nil {
			streams = append(streams, m.Stream)
		}
		by[m.Stream] = append(by[m.Stream], m)
	}
	if err := r.lookUp(ctx, streams, waiting); err != nil {
		return err
	}
	s := r.s
	s.mu.Lock()
	defer s.mu.Unlock()
	for stream, v := range waiting {
		at, known := r.cache[stream]
		if !known && s.reg == nil && by[stream] == nil && !r.more {
			at = v // an exact listing of all would have shown it
		}
		s.placed(stream, at)
	}
	for _, stream := range streams {
		if err := r.chain(stream, by[stream]); err != nil {
			r.todo = nil
			return err
		}
	}
	return nil
}

// lookUp fills the cache with registers.
func (r *round) lookUp(ctx context.Context, streams []string, waiting map[string]driver.Version) error {
	if r.s.reg == nil {
		return nil
	}
	asked := map[string]bool{}
	for _, stream := range streams {
		if _, known := r.cache[stream]; !known {
			asked[stream] = true
		}
	}
	n := len(asked)
	for stream := range waiting {
		if _, known := r.cache[stream]; !known && len(asked) < n+maxAsked {
			asked[stream] = true
		}
	}
	if len(asked) == 0 {
		return nil
	}
	names := make([]string, 0, len(asked))
	for stream := range asked {
		names = append(names, stream)
	}
	slices.Sort(names)
	at, err := r.sequenced(ctx, names)
	if err != nil {
		return err
	}
	for i, stream := range names {
		r.know(stream, at[i])
	}
	return nil
}

// chain makes items of the marks of one stream.
func (r *round) chain(stream string, marks []Mark) error {
	slices.SortFunc(marks, func(a, b Mark) int { return cmp.Or(cmp.Compare(a.Last, b.Last), cmp.Compare(a.First, b.First)) })
	logged, known := r.cache[stream]
	if !known {
		logged = marks[0].First - 1 // without registers: an exact listing has no lower one
	}
	s := r.s
	base := logged // moves on with what is to be put
	for _, m := range marks {
		switch {
		case m.First > m.Last, m.First == 0 && s.reg == nil:
			return fmt.Errorf("%w: a mark of stream %q says versions %d to %d", driver.ErrCorrupt, stream, m.First, m.Last)
		case m.Last <= logged:
			if !r.cleared.has(m) {
				r.marks = append(r.marks, m)
			}
			continue
		case m.Last <= base: // shown twice
			continue
		case m.First == 0:
			m.First = base + 1
		case m.First <= base:
			return fmt.Errorf("%w: stream %q has a commit of versions %d to %d, and another one that ends at %d", driver.ErrCorrupt, stream, m.First, m.Last, base)
		case m.First > base+1: // what lies between is not shown yet
			s.expect(stream, marks[len(marks)-1].Last)
			return nil
		}
		r.todo = append(r.todo, item{Span{stream, m.First, m.Last, m.Closed}, m})
		base = m.Last
	}
	if base == logged {
		return nil // the log has all that was shown: nothing waits
	}
	s.expect(stream, base)
	return nil
}
