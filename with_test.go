package es_test

import (
	"context"
	"fmt"
	"iter"
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

// A store made by With gathers no groups and repeats nothing.
func TestWithNeitherGroupsNorRetries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newSlowGroup()
		s := over(t, memory.New()).With(g)
		var wg sync.WaitGroup
		for w := range 8 {
			wg.Go(func() { put(t, s, fmt.Sprint("s", w), tick{w}) })
		}
		wg.Wait()
		if g.calls("group") != 0 || g.calls("append") != 8 || !g.twoAt.Load() {
			t.Errorf("%d groups, %d appends, two at once: %v", g.calls("group"), g.calls("append"), g.twoAt.Load())
		}
	})
	for _, op := range operations {
		for _, fault := range []error{errBusy, unknown()} {
			synctest.Test(t, func(t *testing.T) {
				n := 0
				f := failing(func(string) error { n++; return fault })
				retried := false
				s := over(t, memory.New(), es.WithHooks(es.Hooks{Retry: func(context.Context, es.Op, int, error) { retried = true }})).With(f)
				is(t, op.name, op.call(t.Context(), s), errBroken)
				if n != 1 || retried {
					t.Errorf("%s: %d calls", op.name, n)
				}
			})
		}
	}
}

// It calls its driver store, which may be a transaction, for one thing at a time:
// no page is read ahead while the caller does something else with it.
func TestWithReadsNothingAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := overMemory()
		var body atomic.Bool // the loop's body runs
		f.onStream = func(ctx context.Context, q driver.StreamQuery) (driver.StreamPage, error) {
			if body.Load() {
				t.Error("a page is read while the body of the loop runs")
			}
			return f.Store.ReadStream(ctx, q)
		}
		f.onFeed = func(ctx context.Context, q driver.FeedQuery) (driver.FeedPage, error) {
			if body.Load() {
				t.Error("a page of the feed is read while the body of the loop runs")
			}
			return f.Store.ReadAll(ctx, q)
		}
		s := over(t, memory.New()).With(f)
		put(t, s, "s", ticks(1, 10)...)
		for name, seq := range map[string]iter.Seq2[es.Record, error]{
			"Read": s.Read(t.Context(), "s", es.PageSize(3)), "ReadAll": s.ReadAll(t.Context(), es.PageSize(3)),
		} {
			n := 0
			for _, err := range seq {
				if err != nil {
					t.Fatal(err)
				}
				body.Store(true)
				n++
				time.Sleep(time.Second)
				body.Store(false)
			}
			if n != 10 {
				t.Errorf("%s: %d events", name, n)
			}
		}
		if n := f.calls("read", "feed"); n != 8 {
			t.Errorf("%d pages", n)
		}
	})
}

// It wakes nobody, and nobody wakes it: it is polled.
func TestWithWakesNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := overMemory()
		s := over(t, f, es.PollEvery(10*time.Minute))
		bare := s.With(f)
		ctx, cancel := context.WithCancel(t.Context())
		sub, bareSub := follow(ctx, s), follow(ctx, bare)
		time.Sleep(100 * time.Hour)
		start := time.Now()
		put(t, bare, "s", tick{1})
		if _, err := bare.Delete(ctx, "s", es.Any, es.Tombstone); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if len(sub.seen())+len(bareSub.seen()) != 0 {
			t.Error("an append by With woke somebody")
		}
		put(t, s, "t", tick{2})
		synctest.Wait()
		if len(sub.seen()) != 3 || len(bareSub.seen()) != 0 {
			t.Errorf("%d and %d events", len(sub.seen()), len(bareSub.seen()))
		}
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if len(bareSub.seen()) != 3 {
			t.Errorf("%d events after %v", len(bareSub.seen()), time.Since(start))
		}
		cancel()
		<-sub.done
		<-bareSub.done
		is(t, "Subscribe", bareSub.err, context.Canceled)
	})
}

// Its Close closes nothing, neither its driver store nor the store that it was
// made of; and it goes on when that one is closed.
func TestWithCloses(t *testing.T) {
	inner, outer := overMemory(), overMemory()
	s, err := es.New(outer)
	if err != nil {
		t.Fatal(err)
	}
	bare := s.With(inner)
	for range 2 {
		if err := bare.Close(); err != nil {
			t.Error(err)
		}
	}
	put(t, bare, "s", tick{1})
	put(t, s, "s", tick{1})
	if inner.calls("close") != 0 || outer.calls("close") != 0 {
		t.Errorf("%d and %d stores were closed", inner.calls("close"), outer.calls("close"))
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if inner.calls("close") != 0 || outer.calls("close") != 1 {
		t.Errorf("%d and %d stores were closed", inner.calls("close"), outer.calls("close"))
	}
	put(t, bare, "s", tick{2})
}

// It goes to the other driver store, with that one's limits, and has everything
// else of the store that it was made of.
func TestWithShares(t *testing.T) {
	var names []string
	clock := time.Date(2024, 1, 2, 3, 4, 5, 6000, time.UTC)
	n := byte(0)
	outer, inner := overMemory(), overMemory()
	inner.caps = func(driver.Caps) driver.Caps { return driver.Caps{MaxAppendEvents: 2} }
	s := over(t, outer,
		es.WithCodec(upper{}), es.Compress(es.Zstd),
		es.WithClock(func() time.Time { return clock }),
		es.WithIDs(func() es.ID { n++; return es.ID{15: n} }),
		es.WithHooks(es.Hooks{End: func(_ context.Context, op es.Op, _ es.OpResult) { names = append(names, op.Name) }}))
	bare := s.With(inner)
	if bare.Driver() != inner || bare.Caps() != (driver.Caps{MaxAppendEvents: 2}) {
		t.Errorf("driver store %v, caps %+v", bare.Driver(), bare.Caps())
	}
	put(t, bare, "s", tick{1})
	_, err := bare.Append(t.Context(), "s", es.Any, ticks(1, 3)...)
	is(t, "Append", err, es.ErrTooLarge)
	put(t, s, "s", ticks(1, 3)...)
	got := all(t, bare.Read(t.Context(), "s"))
	if len(got) != 1 || got[0].ID != (es.ID{15: 1}) || !got[0].Time.Equal(clock) {
		t.Fatalf("%+v", got)
	}
	if raw, err := got[0].Raw(); err != nil || raw.Encoding != "upper" {
		t.Errorf("%+v, error %v", raw, err)
	}
	if !slices.Equal(names, []string{"append", "append", "read"}) {
		t.Errorf("hooks of %q", names)
	}
	type key struct{}
	bare.Attach(key{}, 1)
	if v, had := s.Attach(key{}, 2); v != 1 || !had {
		t.Errorf("attached: %v, %v", v, had)
	}
	again := bare.With(outer)
	if got := all(t, again.Read(t.Context(), "s")); len(got) != 3 {
		t.Errorf("With of With: %v", got)
	}
}

// upper is a codec of its own name.
type upper struct{}

func (upper) Name() string                       { return "upper" }
func (upper) Marshal(v any) ([]byte, error)      { return es.JSON.Marshal(v) }
func (upper) Unmarshal(data []byte, v any) error { return es.JSON.Unmarshal(data, v) }
