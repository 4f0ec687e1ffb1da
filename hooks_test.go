package es_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-es/es"
	"github.com/go-es/es/driver"
	"github.com/go-es/es/drivers/memory"
)

type spanKey struct{}

// trace is hooks that note what they are told.
type trace struct {
	mu     sync.Mutex
	starts []es.Op
	ends   []es.Op
	out    []es.OpResult
}

func (tr *trace) hooks(t *testing.T) es.Hooks {
	return es.Hooks{
		Start: func(ctx context.Context, op es.Op) context.Context {
			tr.mu.Lock()
			defer tr.mu.Unlock()
			tr.starts = append(tr.starts, op)
			return context.WithValue(ctx, spanKey{}, op.Name)
		},
		End: func(ctx context.Context, op es.Op, out es.OpResult) {
			tr.mu.Lock()
			defer tr.mu.Unlock()
			if ctx.Value(spanKey{}) != op.Name {
				t.Errorf("%s: End has the context of %v", op.Name, ctx.Value(spanKey{}))
			}
			tr.ends, tr.out = append(tr.ends, op), append(tr.out, out)
		},
		Retry: func(ctx context.Context, op es.Op, attempt int, err error) {
			if ctx.Value(spanKey{}) != op.Name {
				t.Errorf("%s: Retry has the context of %v", op.Name, ctx.Value(spanKey{}))
			}
		},
	}
}

// Every operation is reported, with what it is about and how it ended.
func TestHooks(t *testing.T) {
	const size = 64 + len("tick") + len("json") + len(`{"N":0}`)
	want := map[string]struct {
		op     es.Op
		events int
		is     error
	}{
		"append":            {es.Op{Name: "append", Stream: "s", Streams: 1, Events: 1, Bytes: size}, 1, nil},
		"append all":        {es.Op{Name: "append", Stream: "s", Streams: 2, Events: 2, Bytes: 2 * size}, 2, nil},
		"read":              {es.Op{Name: "read", Stream: "s"}, 2, nil},
		"version":           {es.Op{Name: "read", Stream: "s"}, 1, nil},
		"read all":          {es.Op{Name: "feed"}, 2, nil},
		"subscribe":         {es.Op{Name: "feed"}, 2, nil},
		"pages":             {es.Op{Name: "feed"}, 2, nil},
		"streams":           {es.Op{Name: "list"}, 0, nil},
		"head":              {es.Op{Name: "head"}, 0, nil},
		"settled":           {es.Op{Name: "settled", Stream: "s"}, 0, nil},
		"ping":              {es.Op{Name: "ping"}, 0, nil},
		"load checkpoint":   {es.Op{Name: "load checkpoint"}, 0, nil},
		"save checkpoint":   {es.Op{Name: "save checkpoint"}, 0, nil},
		"list checkpoints":  {es.Op{Name: "list checkpoints"}, 0, nil},
		"delete checkpoint": {es.Op{Name: "delete checkpoint"}, 0, nil},
		"load snapshot":     {es.Op{Name: "load snapshot", Stream: "s"}, 0, nil},
		"save snapshot":     {es.Op{Name: "save snapshot", Stream: "s"}, 0, nil},
		"delete snapshot":   {es.Op{Name: "delete snapshot", Stream: "s"}, 0, nil},
		"delete":            {es.Op{Name: "delete", Stream: "s", Streams: 1, Events: 1, Bytes: 64 + len(es.TypeDeleted) + len("json") + len("{}")}, 1, nil},
	}
	for _, op := range operations {
		for _, fails := range []error{nil, errBroken} {
			for _, bare := range []bool{false, true} {
				synctest.Test(t, func(t *testing.T) {
					tr := &trace{}
					s, _ := troubled(t, func(string) error { time.Sleep(time.Second); return fails }, es.WithHooks(tr.hooks(t)))
					tr.starts, tr.ends, tr.out = nil, nil, nil
					if bare {
						s = s.With(s.Driver())
					}
					is(t, op.name, op.call(t.Context(), s), fails)
					w, ok := want[op.name]
					if !ok {
						t.Fatalf("%s: no row", op.name)
					}
					if !slices.Equal(tr.starts, []es.Op{w.op}) || !slices.Equal(tr.ends, []es.Op{w.op}) {
						t.Errorf("%s: begun %+v, ended %+v, want %+v", op.name, tr.starts, tr.ends, w.op)
					}
					res := es.OpResult{Events: w.events, Duration: time.Second}
					if fails != nil {
						res.Err, res.Events = fails, 0
					}
					if !slices.Equal(tr.out, []es.OpResult{res}) {
						t.Errorf("%s, error %v: %+v, want %+v", op.name, fails, tr.out, res)
					}
				})
			}
		}
	}
}

// Several events to one stream, and several pages.
func TestHooksCountEvents(t *testing.T) {
	tr := &trace{}
	s := over(t, memory.New(), es.WithHooks(tr.hooks(t)))
	put(t, s, "s", ticks(1, 5)...)
	if tr.out[0].Events != 5 || tr.starts[0].Events != 5 {
		t.Errorf("an append of 5 events: %+v, %+v", tr.starts[0], tr.out[0])
	}
	all(t, s.Read(t.Context(), "s", es.PageSize(2)))
	all(t, s.ReadAll(t.Context(), es.PageSize(3)))
	var events []int
	var after []es.Position
	for i, out := range tr.out {
		events, after = append(events, out.Events), append(after, tr.starts[i].Position)
	}
	if !slices.Equal(events, []int{5, 2, 2, 1, 3, 2}) || !slices.Equal(after, []es.Position{0, 0, 0, 0, 0, 3}) {
		t.Errorf("events %v, positions %v", events, after)
	}
}

// Retries count as one operation, which lasts from its start to its end.
func TestHooksAndRetries(t *testing.T) {
	for _, op := range operations {
		synctest.Test(t, func(t *testing.T) {
			tr := &trace{}
			n := 0
			s, _ := troubled(t, func(string) error {
				time.Sleep(time.Second)
				if n++; n <= 3 {
					return errBusy
				}
				return nil
			}, es.WithHooks(tr.hooks(t)))
			tr.starts, tr.ends, tr.out = nil, nil, nil
			start := time.Now()
			if err := op.call(t.Context(), s); err != nil {
				t.Errorf("%s: %v", op.name, err)
			}
			if len(tr.out) != 1 || tr.out[0].Retries != 3 || tr.out[0].Duration != time.Since(start) || tr.out[0].Err != nil {
				t.Errorf("%s: %+v in %v", op.name, tr.out, time.Since(start))
			}
		})
	}
}

// What Start returns reaches the driver.
func TestContextOfStartReachesTheDriver(t *testing.T) {
	f := fakeGroup{fake: overMemory()}
	check := func(ctx context.Context, want string) {
		if got := ctx.Value(spanKey{}); got != want {
			t.Errorf("the driver has the context of %v, want %s", got, want)
		}
	}
	f.onAppend = func(ctx context.Context, req driver.AppendRequest) (driver.AppendResult, error) {
		check(ctx, "append")
		return f.Store.Append(ctx, req)
	}
	f.onGroup = func(ctx context.Context, reqs []driver.AppendRequest) []driver.Outcome {
		check(ctx, "append")
		return f.Store.(driver.GroupAppender).AppendGroup(ctx, reqs)
	}
	f.onStream = func(ctx context.Context, q driver.StreamQuery) (driver.StreamPage, error) {
		check(ctx, "read")
		return f.Store.ReadStream(ctx, q)
	}
	f.onFeed = func(ctx context.Context, q driver.FeedQuery) (driver.FeedPage, error) {
		check(ctx, "feed")
		return f.Store.ReadAll(ctx, q)
	}
	f.onDelete = func(ctx context.Context, req driver.DeleteRequest) (driver.Appended, error) {
		check(ctx, "delete")
		return f.Store.Delete(ctx, req)
	}
	tr := &trace{}
	s := over(t, f, es.WithHooks(tr.hooks(t)))
	var wg sync.WaitGroup
	for w := range 16 {
		wg.Go(func() { put(t, s, fmt.Sprint("s", w), tick{w}) })
	}
	wg.Wait()
	put(t, s, "s", tick{1})
	all(t, s.Read(t.Context(), "s"))
	all(t, s.ReadAll(t.Context()))
	if _, err := s.Delete(t.Context(), "s", es.Any, es.Tombstone); err != nil {
		t.Error(err)
	}
	if len(tr.starts) != 16+4 || len(tr.ends) != 16+4 {
		t.Errorf("%d begun, %d ended", len(tr.starts), len(tr.ends))
	}
}

// What is refused before any I/O is no operation.
func TestHooksOfWhatIsRefused(t *testing.T) {
	tr := &trace{}
	s := over(t, memory.New(), es.WithHooks(tr.hooks(t)))
	_, err := s.Append(t.Context(), "", es.Any, tick{})
	is(t, "Append", err, es.ErrInvalid)
	_, err = s.Delete(t.Context(), "s", -9, es.Purge)
	is(t, "Delete", err, es.ErrInvalid)
	is(t, "ReadAll", last(s.ReadAll(t.Context(), es.Limit(-1))), es.ErrInvalid)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = s.Append(ctx, "s", es.Any, tick{})
	is(t, "Append", err, context.Canceled)
	if len(tr.starts) != 0 || len(tr.ends) != 0 {
		t.Errorf("%+v", tr.starts)
	}
}

// Any of the hooks may be left out.
func TestFewHooks(t *testing.T) {
	var names []string
	end := func(_ context.Context, op es.Op, _ es.OpResult) { names = append(names, op.Name) }
	for _, hooks := range []es.Hooks{
		{}, {End: end}, {Start: func(ctx context.Context, _ es.Op) context.Context { return ctx }},
		{Retry: func(context.Context, es.Op, int, error) {}},
	} {
		n := 0
		s, _ := troubled(t, func(string) error {
			if n++; n == 1 {
				return errBusy
			}
			return nil
		}, es.WithHooks(hooks))
		put(t, s, "s", tick{})
	}
	if !slices.Equal(names, []string{"append", "append"}) {
		t.Errorf("%q", names)
	}
}
