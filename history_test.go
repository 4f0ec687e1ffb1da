package es_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/go-es/es"
	"github.com/go-es/es/driver"
)

// flaky is a driver store in memory over a bad connection: calls fail before they
// reach it, and acknowledgements are lost: of what was written, of what was not,
// and of what is still on its way and arrives later.
type flaky struct {
	fakeGroup
	mu   sync.Mutex
	rnd  *rand.Rand
	late sync.WaitGroup
}

func newFlaky(seed uint64) *flaky {
	f := &flaky{fakeGroup: fakeGroup{fake: overMemory()}, rnd: rand.New(rand.NewPCG(seed, 7))}
	f.onAppend = f.append
	f.onGroup = func(ctx context.Context, reqs []driver.AppendRequest) []driver.Outcome {
		outs := make([]driver.Outcome, len(reqs))
		for i := range reqs {
			outs[i].Result, outs[i].Err = f.append(ctx, reqs[i])
		}
		return outs
	}
	f.onDelete = func(ctx context.Context, req driver.DeleteRequest) (driver.Appended, error) {
		if f.roll(10) == 0 {
			return driver.Appended{}, errBusy
		}
		return f.Store.Delete(ctx, req)
	}
	f.onStream = func(ctx context.Context, q driver.StreamQuery) (driver.StreamPage, error) {
		if f.roll(20) == 0 {
			return driver.StreamPage{}, errBusy
		}
		return f.Store.ReadStream(ctx, q)
	}
	f.onFeed = func(ctx context.Context, q driver.FeedQuery) (driver.FeedPage, error) {
		if f.roll(20) == 0 {
			return driver.FeedPage{}, errBusy
		}
		if q.Limit = min(q.Limit, 5); q.Limit == 0 {
			q.Limit = 5
		}
		return f.Store.ReadAll(ctx, q)
	}
	return f
}

func (f *flaky) roll(n int) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.rnd.IntN(n)
}

func (f *flaky) append(ctx context.Context, req driver.AppendRequest) (driver.AppendResult, error) {
	fate := f.roll(30)
	if fate > 5 {
		return f.Store.Append(ctx, req)
	}
	if fate > 2 || ctx.Err() != nil {
		return driver.AppendResult{}, errBusy
	}
	lost := &driver.UnknownOutcomeError{Err: errBroken}
	exact := driver.AppendRequest{Parts: slices.Clone(req.Parts)}
	for i := range exact.Parts {
		p := &exact.Parts[i]
		if len(p.Records) == 0 {
			continue
		}
		base, ok := p.Expected.Exact()
		if !ok {
			page, err := f.Store.ReadStream(ctx, driver.StreamQuery{Stream: p.Stream, Backward: true, Limit: 1})
			if errors.Is(err, driver.ErrStreamDeleted) || err != nil && p.Expected == driver.Exists {
				return driver.AppendResult{}, errBusy
			}
			base = page.Head
		}
		p.Expected = driver.Exactly(base)
		lost.Parts = append(lost.Parts, driver.UnknownPart{Stream: p.Stream, Base: base})
	}
	switch fate {
	case 0:
		f.Store.Append(ctx, exact) // or another was there first: that is unknown as well
	case 1:
		f.late.Go(func() {
			time.Sleep(time.Duration(f.roll(1000)) * time.Microsecond)
			f.Store.Append(context.WithoutCancel(ctx), exact)
		})
	}
	return driver.AppendResult{}, lost
}

// ledger is what the writers of a history were told.
type ledger struct {
	mu     sync.Mutex
	sent   map[int]string     // the stream of each event
	stored map[int]es.Version // the version of each that was acknowledged
	never  map[int]bool       // of each that was refused
	groups [][]int            // what was appended together
	purged map[string]bool
	ends   map[string]es.Version // of deleted streams
	next   int
	gen    [8]int // how often each stream was deleted

	tombstoned map[string]bool // by a call that said so
}

func (l *ledger) name(n int) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return fmt.Sprintf("s%d.%d", n, l.gen[n])
}

// numbers gives n fresh events.
func (l *ledger) numbers(n int) (events []es.Event, numbers []int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for range n {
		l.next++
		events, numbers = append(events, tick{l.next}), append(numbers, l.next)
	}
	return events, numbers
}

// TestHistory runs random operations at once on a store with a bad connection,
// and looks in the end whether everything that was said is true.
func TestHistory(t *testing.T) {
	for seed := range uint64(3) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) { testHistory(t, seed) })
	}
}

func testHistory(t *testing.T, seed uint64) {
	const writers, steps = 10, 60
	f := newFlaky(seed)
	s := over(t, f)
	l := &ledger{sent: map[int]string{}, stored: map[int]es.Version{}, never: map[int]bool{}, purged: map[string]bool{}, ends: map[string]es.Version{}, tombstoned: map[string]bool{}}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	live, stop := context.WithCancel(ctx)
	defer stop()
	subs := []*follower{follow(live, s), follow(live, s, es.PageSize(2)), follow(live, s, es.Types("tick", es.TypeDeleted))}

	var wg sync.WaitGroup
	for w := range writers {
		rnd := rand.New(rand.NewPCG(seed, uint64(100+w)))
		wg.Go(func() {
			for range steps {
				switch n := rnd.IntN(20); {
				case n < 12:
					l.append(t, ctx, s, rnd, 1)
				case n < 16:
					l.append(t, ctx, s, rnd, 2+rnd.IntN(2))
				case n < 19:
					l.read(t, ctx, s, rnd)
				default:
					l.delete(t, ctx, s, rnd)
				}
			}
		})
	}
	wg.Wait()
	f.late.Wait()

	feed := all(t, s.ReadAll(ctx))
	head := map[string]es.Version{}
	closed := map[string]bool{}
	there := map[int]bool{}
	var position es.Position
	for _, r := range feed {
		if r.Position <= position {
			t.Errorf("position %d after %d", r.Position, position)
		}
		position = r.Position
		if closed[r.Stream] {
			t.Errorf("%s goes on after its end", r.Stream)
		}
		if r.Version != head[r.Stream]+1 && !l.purged[r.Stream] {
			t.Errorf("version %d of %s after %d", r.Version, r.Stream, head[r.Stream])
		}
		head[r.Stream] = r.Version
		if r.Type == es.TypeDeleted {
			closed[r.Stream] = true
			if l.ends[r.Stream] != r.Version {
				t.Errorf("%s ends at %d, and Delete said %d", r.Stream, r.Version, l.ends[r.Stream])
			}
			continue
		}
		n := number(t, r)
		if there[n] {
			t.Errorf("event %d is there twice", n)
		}
		there[n] = true
		if v, ok := l.stored[n]; l.sent[n] != r.Stream || ok && v != r.Version {
			t.Errorf("event %d is at %s/%d, and Append said %s/%d", n, r.Stream, r.Version, l.sent[n], v)
		}
		if l.never[n] {
			t.Errorf("event %d was refused, and is there", n)
		}
	}
	for n := range l.stored {
		if !there[n] && !l.purged[l.sent[n]] {
			t.Errorf("event %d of %s was acknowledged, and is not there", n, l.sent[n])
		}
	}
	for _, group := range l.groups {
		group = slices.DeleteFunc(group, func(n int) bool { return l.purged[l.sent[n]] })
		if len(group) > 0 && slices.ContainsFunc(group, func(n int) bool { return there[n] != there[group[0]] }) {
			t.Errorf("of the events %v only some are there", group)
		}
	}
	if len(l.stored) < writers*steps/4 || len(l.never) == 0 || len(l.ends) == 0 {
		t.Errorf("%d events were acknowledged, %d refused, %d streams deleted: that proves little", len(l.stored), len(l.never), len(l.ends))
	}
	for stream := range head {
		var version es.Version
		for r, err := range s.Read(ctx, stream, es.Deleted(), es.PageSize(7)) {
			if err != nil {
				t.Fatal(err)
			}
			if r.Version != version+1 && version+1 != 1 {
				t.Errorf("%s: version %d after %d", stream, r.Version, version)
			}
			version = r.Version
		}
		if version != head[stream] {
			t.Errorf("%s ends at %d, in the feed at %d", stream, version, head[stream])
		}
	}

	// The subscriptions saw the feed as it is, and what was purged later.
	for i, sub := range subs {
		for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
			if seen := sub.seen(); len(seen) > 0 && seen[len(seen)-1].Position == position {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("subscription %d has seen %d events of %d", i, len(sub.seen()), len(feed))
			}
		}
	}
	stop()
	for i, sub := range subs {
		<-sub.done
		is(t, "Subscribe", sub.err, context.Canceled)
		inFeed := map[es.Position]bool{}
		for _, r := range feed {
			inFeed[r.Position] = true
		}
		got := slices.DeleteFunc(sub.got, func(r es.Record) bool { return !inFeed[r.Position] && l.purged[r.Stream] })
		if !slices.Equal(positions(got), positions(feed)) {
			t.Errorf("subscription %d saw %d events of %d, or others", i, len(got), len(feed))
		}
	}
}

// append appends to so many streams, and settles what is unknown.
func (l *ledger) append(t *testing.T, ctx context.Context, s *es.Store, rnd *rand.Rand, streams int) {
	var parts []es.Part
	var sent [][]int // the numbers of each part
	var group []int
	for _, n := range rnd.Perm(8)[:streams] {
		stream := l.name(n)
		events, numbers := l.numbers(1 + rnd.IntN(3))
		expected := es.Any
		if rnd.IntN(3) > 0 {
			v, err := s.Version(ctx, stream)
			if errors.Is(err, es.ErrStreamDeleted) {
				return
			} else if err != nil {
				t.Errorf("Version: %v", err)
				return
			}
			expected = es.Exactly(v)
		} else if rnd.IntN(4) == 0 {
			expected = es.Exists
		}
		if streams == 3 && len(parts) == 2 && expected != es.Any {
			events, numbers = nil, nil // a check
		}
		parts, sent, group = append(parts, es.To(stream, expected, events...)), append(sent, numbers), append(group, numbers...)
	}
	call := ctx
	if rnd.IntN(5) == 0 {
		c, cancel := context.WithTimeout(ctx, time.Duration(rnd.IntN(300))*time.Microsecond)
		defer cancel()
		call = c
	}
	out, err := s.AppendAll(call, parts...)
	var u *es.UnknownOutcomeError
	for tries := 0; errors.As(err, &u) && tries < 100; tries++ {
		out, err = u.Resend(ctx)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.groups = append(l.groups, group)
	for i, numbers := range sent {
		for _, n := range numbers {
			l.sent[n] = parts[i].Stream
		}
	}
	switch {
	case err == nil:
		for i, numbers := range sent {
			if len(numbers) > 0 && int(out[i].Last-out[i].First)+1 != len(numbers) || len(numbers) == 0 && out[i] != (es.Appended{}) {
				t.Errorf("an append of %d events gives %+v", len(numbers), out[i])
			}
			for j, n := range numbers {
				l.stored[n] = out[i].First + es.Version(j)
			}
		}
	case errors.Is(err, es.ErrStreamDeleted) && u != nil: // it does not say (I8)
	case errors.Is(err, es.ErrUnknownOutcome): // as long as a stream that it needs does not exist
	case errors.Is(err, es.ErrConflict), errors.Is(err, es.ErrStreamDeleted), errors.Is(err, context.DeadlineExceeded):
		for _, n := range group {
			l.never[n] = true
		}
	default:
		t.Errorf("AppendAll: %v", err)
	}
}

// read reads a stream, which must not have holes.
func (l *ledger) read(t *testing.T, ctx context.Context, s *es.Store, rnd *rand.Rand) {
	stream := l.name(rnd.IntN(8))
	var version es.Version
	for r, err := range s.Read(ctx, stream, es.PageSize(1+rnd.IntN(5))) {
		if errors.Is(err, es.ErrStreamNotFound) || errors.Is(err, es.ErrStreamDeleted) {
			return
		} else if err != nil {
			t.Errorf("Read: %v", err)
			return
		}
		if r.Version != version+1 {
			t.Errorf("Read: version %d of %s after %d", r.Version, stream, version)
		}
		version = r.Version
	}
}

func (l *ledger) delete(t *testing.T, ctx context.Context, s *es.Store, rnd *rand.Rand) {
	n := rnd.IntN(8)
	stream := l.name(n)
	mode := es.DeleteMode(rnd.IntN(2))
	l.mu.Lock()
	if mode == es.Purge {
		l.purged[stream] = true // or soon will be
	}
	wasClosed := l.ends[stream] > 0
	l.mu.Unlock()
	out, err := s.Delete(ctx, stream, es.Any, mode)
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case err == nil:
		l.purged[stream] = l.purged[stream] || mode == es.Purge
		if before, again := l.ends[stream]; again && before != out.Last {
			t.Errorf("Delete of %s says %d, and before %d", stream, out.Last, before)
		}
		if mode == es.Tombstone && (wasClosed || l.tombstoned[stream]) {
			t.Errorf("Delete of %s succeeded, which was closed before", stream)
		}
		l.tombstoned[stream] = l.tombstoned[stream] || mode == es.Tombstone
		if l.ends[stream] = out.Last; stream == fmt.Sprintf("s%d.%d", n, l.gen[n]) {
			l.gen[n]++
		}
	case errors.Is(err, es.ErrStreamNotFound):
		if l.ends[stream] == 0 {
			delete(l.purged, stream)
		}
	case errors.Is(err, es.ErrStreamDeleted):
	default:
		t.Errorf("Delete: %v", err)
	}
}
