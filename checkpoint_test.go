package es_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/go-es/es"
	"github.com/go-es/es/driver"
	"github.com/go-es/es/drivers/memory"
)

// savedCheckpoints collects the names and positions of all checkpoints.
func savedCheckpoints(t *testing.T, s *es.Store) (out []string) {
	t.Helper()
	for cp, err := range s.Checkpoints(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, fmt.Sprint(cp.Name, ":", cp.Position))
	}
	return out
}

func TestCheckpoints(t *testing.T) {
	s := over(t, memory.New())
	ctx := t.Context()
	if got := savedCheckpoints(t, s); len(got) != 0 {
		t.Errorf("an empty store has %v", got)
	}
	cp, err := s.Checkpoint(ctx, "reader")
	if err != nil || cp != (es.Checkpoint{Name: "reader"}) {
		t.Fatalf("one that was never saved: %+v, error %v", cp, err)
	}
	cp.Position, cp.SeenAt, cp.SeenID = 7, 5, es.ID{5}
	for i := range 3 {
		cp.Position++
		saved, err := s.SaveCheckpoint(ctx, cp)
		if err != nil {
			t.Fatal(err)
		}
		if saved.Revision == cp.Revision || saved.Revision.IsZero() {
			t.Errorf("save %d: revision %v after %v", i, saved.Revision, cp.Revision)
		}
		if saved.Revision, cp.Revision = cp.Revision, saved.Revision; saved != (es.Checkpoint{Name: "reader", Position: cp.Position, SeenAt: 5, SeenID: es.ID{5}, Revision: saved.Revision}) {
			t.Errorf("save %d: %+v", i, saved)
		}
		if got, err := s.Checkpoint(ctx, "reader"); err != nil || got != cp {
			t.Errorf("save %d: loaded %+v, error %v, want %+v", i, got, err, cp)
		}
	}
	for _, name := range []string{"z", "a", "Reader"} {
		if _, err := s.SaveCheckpoint(ctx, es.Checkpoint{Name: name, Position: 1}); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := savedCheckpoints(t, s), []string{"Reader:1", "a:1", "reader:10", "z:1"}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	n := 0
	for range s.Checkpoints(ctx) {
		if n++; n == 2 {
			break
		}
	}
	for range 2 {
		if err := s.DeleteCheckpoint(ctx, "reader"); err != nil {
			t.Error(err)
		}
	}
	if got, want := savedCheckpoints(t, s), []string{"Reader:1", "a:1", "z:1"}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	_, err = s.SaveCheckpoint(ctx, cp)
	is(t, "SaveCheckpoint of one that was deleted", err, es.ErrCheckpointConflict)
	if cp, err = s.Checkpoint(ctx, "reader"); err != nil || cp.Position != 0 {
		t.Errorf("%+v, error %v", cp, err)
	}
	if _, err := s.SaveCheckpoint(ctx, cp); err != nil {
		t.Errorf("a reader that begins anew: %v", err)
	}
}

func TestCheckpointsOfManyPages(t *testing.T) {
	f := fakeKeeper{fake: overMemory()}
	s := over(t, twoAtATime{f})
	var want []string
	for i := range 7 {
		name := fmt.Sprint("c", i)
		if _, err := s.SaveCheckpoint(t.Context(), es.Checkpoint{Name: name}); err != nil {
			t.Fatal(err)
		}
		want = append(want, name+":0")
	}
	if got := savedCheckpoints(t, s); !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	if n := f.calls("list checkpoints"); n != 4 {
		t.Errorf("%d pages", n)
	}
}

// twoAtATime lists two checkpoints a page.
type twoAtATime struct{ fakeKeeper }

func (f twoAtATime) ListCheckpoints(ctx context.Context, q driver.CheckpointQuery) (driver.CheckpointPage, error) {
	q.Limit = 2
	return f.fakeKeeper.ListCheckpoints(ctx, q)
}

// Of two readers of one name one stops.
func TestTwoSavers(t *testing.T) {
	s := over(t, memory.New())
	for _, saved := range []bool{false, true} {
		name := fmt.Sprint("reader", saved)
		if saved {
			if _, err := s.SaveCheckpoint(t.Context(), es.Checkpoint{Name: name}); err != nil {
				t.Fatal(err)
			}
		}
		const readers, saves = 8, 20
		var wg sync.WaitGroup
		var mu sync.Mutex
		won := 0
		start := make(chan struct{})
		for r := range readers {
			cp, err := s.Checkpoint(t.Context(), name)
			if err != nil {
				t.Fatal(err)
			}
			wg.Go(func() {
				<-start
				for i := range saves {
					cp.Position = es.Position(1000*r + i)
					next, err := s.SaveCheckpoint(t.Context(), cp)
					if err != nil {
						is(t, "SaveCheckpoint", err, es.ErrCheckpointConflict)
						if next != cp {
							t.Errorf("a save that failed returns %+v, want %+v", next, cp)
						}
						return
					}
					cp = next
				}
				mu.Lock()
				won++
				mu.Unlock()
			})
		}
		close(start)
		wg.Wait()
		if won != 1 {
			t.Errorf("%d of %d readers went on", won, readers)
		}
	}
}

func TestCheckpointsRefuse(t *testing.T) {
	f := fakeKeeper{fake: overMemory()}
	s := over(t, f)
	long := strings.Repeat("n", 256)
	id := es.ID{1}
	for _, cp := range []es.Checkpoint{
		{}, {Name: long}, {Name: "\x00"}, {Name: "c", Position: 1 << 63}, {Name: "c", Position: 1, SeenAt: 2, SeenID: id},
		{Name: "c", Position: 1, SeenAt: 1}, {Name: "c", Position: 1, SeenID: id},
	} {
		if _, err := s.SaveCheckpoint(t.Context(), cp); !errors.Is(err, es.ErrInvalid) {
			t.Errorf("save of %+v: error %v", cp, err)
		}
	}
	for _, name := range []string{"", long, "\xff"} {
		_, err := s.Checkpoint(t.Context(), name)
		is(t, "load", err, es.ErrInvalid)
		is(t, "delete", s.DeleteCheckpoint(t.Context(), name), es.ErrInvalid)
	}
	if n := f.calls(); n != 0 {
		t.Errorf("the driver was called %d times", n)
	}
}

// What the driver has not says so.
func TestUnsupported(t *testing.T) {
	f := overMemory() // without optional interfaces
	s := over(t, f)
	ctx := t.Context()
	_, err := s.Checkpoint(ctx, "c")
	is(t, "Checkpoint", err, errors.ErrUnsupported)
	_, err = s.SaveCheckpoint(ctx, es.Checkpoint{Name: "c"})
	is(t, "SaveCheckpoint", err, errors.ErrUnsupported)
	is(t, "Checkpoints", last(s.Checkpoints(ctx)), errors.ErrUnsupported)
	is(t, "DeleteCheckpoint", s.DeleteCheckpoint(ctx, "c"), errors.ErrUnsupported)
	_, _, err = s.LoadSnapshot(ctx, "s", "k")
	is(t, "LoadSnapshot", err, errors.ErrUnsupported)
	is(t, "SaveSnapshot", s.SaveSnapshot(ctx, es.Snapshot{Stream: "s", Kind: "k", Version: 1, EventID: es.ID{1}}, 1, es.SnapshotSettings{}), errors.ErrUnsupported)
	is(t, "DeleteSnapshot", s.DeleteSnapshot(ctx, "s", "k"), errors.ErrUnsupported)
	f.caps = func(c driver.Caps) driver.Caps { c.PositionOnAppend = false; return c }
	_, err = over(t, f).Settled(ctx, "s")
	is(t, "Settled", err, errors.ErrUnsupported)
	if n := f.calls(); n != 0 {
		t.Errorf("the driver was called %d times", n)
	}
}

// settler is a store whose positions come late.
type settler struct{ *fake }

func (settler) Settled(_ context.Context, stream string) (driver.Version, error) {
	if stream == "broken" {
		return 0, errBroken
	}
	return 3, nil
}

func TestSettled(t *testing.T) {
	f := settler{overMemory()}
	f.caps = func(c driver.Caps) driver.Caps { c.PositionOnAppend = false; return c }
	s := over(t, f)
	put(t, s, "s", ticks(1, 5)...)
	if v, err := s.Settled(t.Context(), "s"); v != 3 || err != nil {
		t.Errorf("%d, error %v", v, err)
	}
	_, err := s.Settled(t.Context(), "broken")
	is(t, "Settled", err, errBroken)
	_, err = s.Settled(t.Context(), "")
	is(t, "Settled of no name", err, es.ErrInvalid)
	if p, err := s.Head(t.Context()); p != 5 || err != nil {
		t.Errorf("Head: %d, error %v", p, err)
	}
}

type balance struct{ Cents int }

func TestSnapshots(t *testing.T) {
	f := fakeKeeper{fake: overMemory()}
	f.caps = func(c driver.Caps) driver.Caps { c.MaxSnapshotBytes = 100; return c }
	s := over(t, f)
	ctx := t.Context()
	put(t, s, "s", ticks(1, 5)...)
	save := func(v es.Version, cents int) error {
		return s.SaveSnapshot(ctx, es.Snapshot{Stream: "s", Kind: "k", Version: v, EventID: es.ID{byte(v)}}, balance{cents}, es.SnapshotSettings{})
	}
	load := func() (es.Version, int) {
		t.Helper()
		sn, found, err := s.LoadSnapshot(ctx, "s", "k")
		if err != nil {
			t.Fatal(err)
		}
		if !found {
			if sn.Version != 0 || sn.Decode(new(balance)) == nil {
				t.Errorf("not found, and %+v", sn)
			}
			return 0, 0
		}
		var b balance
		if err := sn.Decode(&b); err != nil {
			t.Error(err)
		}
		if sn.Stream != "s" || sn.Kind != "k" || sn.EventID != (es.ID{byte(sn.Version)}) {
			t.Errorf("%+v", sn)
		}
		return sn.Version, b.Cents
	}
	for _, step := range []struct {
		version es.Version
		want    es.Version
	}{{0, 0}, {3, 3}, {2, 3}, {5, 5}} {
		if step.version > 0 {
			if err := save(step.version, 100*int(step.version)); err != nil {
				t.Error(err)
			}
		}
		if v, cents := load(); v != step.want || cents != 100*int(v) {
			t.Errorf("after a save of version %d: version %d with %d", step.version, v, cents)
		}
	}
	if _, found, err := s.LoadSnapshot(ctx, "s", "other"); found || err != nil {
		t.Errorf("another kind: %v, error %v", found, err)
	}
	sn, _, _ := s.LoadSnapshot(ctx, "s", "k")
	for _, v := range []any{nil, balance{}, (*balance)(nil)} {
		if err := sn.Decode(v); !errors.Is(err, es.ErrInvalid) || errors.Is(err, es.ErrCorrupt) {
			t.Errorf("decoded into %#v: %v", v, err)
		}
	}
	if err := sn.Decode(new([]string)); !errors.Is(err, es.ErrCorrupt) || !strings.Contains(err.Error(), `snapshot "k" of stream "s" at version 5`) {
		t.Errorf("decoded as another type: %v", err)
	}
	for range 2 {
		if err := s.DeleteSnapshot(ctx, "s", "k"); err != nil {
			t.Error(err)
		}
	}
	if v, _ := load(); v != 0 {
		t.Errorf("after DeleteSnapshot: version %d", v)
	}

	before := f.calls()
	good := es.Snapshot{Stream: "s", Kind: "k", Version: 1, EventID: es.ID{1}}
	for name, row := range map[string]struct {
		change func(*es.Snapshot)
		state  any
		want   error
	}{
		"stream":    {func(sn *es.Snapshot) { sn.Stream = "" }, 1, es.ErrInvalid},
		"kind":      {func(sn *es.Snapshot) { sn.Kind = "\x00" }, 1, es.ErrInvalid},
		"version":   {func(sn *es.Snapshot) { sn.Version = 0 }, 1, es.ErrInvalid},
		"2^63":      {func(sn *es.Snapshot) { sn.Version = 1 << 63 }, 1, es.ErrInvalid},
		"event id":  {func(sn *es.Snapshot) { sn.EventID = es.ID{} }, 1, es.ErrInvalid},
		"too large": {func(*es.Snapshot) {}, strings.Repeat("n", 31), es.ErrTooLarge}, // 64 + 4 + 33
		"state":     {func(*es.Snapshot) {}, make(chan int), nil},
	} {
		bad := good
		row.change(&bad)
		err := s.SaveSnapshot(ctx, bad, row.state, es.SnapshotSettings{})
		if err == nil || row.want != nil && !errors.Is(err, row.want) {
			t.Errorf("%s: error %v", name, err)
		}
	}
	for _, name := range []string{"", "\xff"} {
		_, _, err := s.LoadSnapshot(ctx, name, "k")
		is(t, "load", err, es.ErrInvalid)
		_, _, err = s.LoadSnapshot(ctx, "s", name)
		is(t, "load", err, es.ErrInvalid)
		is(t, "delete", s.DeleteSnapshot(ctx, name, "k"), es.ErrInvalid)
		is(t, "delete", s.DeleteSnapshot(ctx, "s", name), es.ErrInvalid)
	}
	if n := f.calls() - before; n != 0 {
		t.Errorf("the driver was called %d times", n)
	}
	if err := s.SaveSnapshot(ctx, good, strings.Repeat("n", 30), es.SnapshotSettings{}); err != nil {
		t.Errorf("at the limit: %v", err)
	}
	if _, err := s.Delete(ctx, "s", es.Any, es.Purge); err != nil {
		t.Fatal(err)
	}
	if v, _ := load(); v != 0 {
		t.Errorf("after Purge: version %d", v)
	}
	is(t, "SaveSnapshot of a deleted stream", save(6, 1), es.ErrStreamDeleted)
}

// The checkpoint of a reader with a filter knows the last event that it passed, and
// not only the last that it was given: in a store that was restored, and has grown
// past the checkpoint since, events that match may lie below it.
func TestCheckpointOfAFilter(t *testing.T) {
	ids := func(first byte) es.Option {
		n := first
		return es.WithIDs(func() es.ID { n++; return es.ID{15: n} })
	}
	old := over(t, memory.New(), ids(0))
	put(t, old, "a", ticks(1, 1)...)
	put(t, old, "b", ticks(2, 9)...)
	for _, filter := range []es.FeedOption{es.Prefixes("a"), es.Prefixes("none")} {
		var cp es.Checkpoint
		for page, err := range old.Pages(t.Context(), filter) {
			if err != nil {
				t.Fatal(err)
			}
			if cp = page.Checkpoint(cp); page.CaughtUp {
				break
			}
		}
		if cp.Position != 9 || cp.SeenAt != 9 || cp.SeenID != (es.ID{15: 9}) {
			t.Errorf("the checkpoint is %+v", cp)
		}
		restored := over(t, memory.New(), ids(0))
		put(t, restored, "a", ticks(1, 1)...)
		restored = over(t, restored.Driver(), ids(100))
		put(t, restored, "a", ticks(2, 20)...)
		_, err := collect(t, restored.ReadAll(t.Context(), es.Resume(cp), filter))
		is(t, "ReadAll of a restored store", err, es.ErrCheckpointAhead)
	}
}
