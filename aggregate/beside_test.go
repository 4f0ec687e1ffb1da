package aggregate_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-es/es"
	"github.com/go-es/es/aggregate"
	"github.com/go-es/es/driver"
	"github.com/go-es/es/drivers/memory"
)

// distant is a driver's store whose reads take a second each.
type distant struct {
	*memory.Store
	requests atomic.Int64
	afterAll func() // called once, after the next page was read
	panics   bool   // when a snapshot is loaded
}

func (d *distant) ReadStream(ctx context.Context, q driver.StreamQuery) (driver.StreamPage, error) {
	page, err := d.Store.ReadStream(ctx, q)
	if f := d.afterAll; f != nil {
		d.afterAll = nil
		f()
	}
	d.requests.Add(1)
	time.Sleep(time.Second)
	return page, err
}

func (d *distant) LoadSnapshot(ctx context.Context, stream, kind string) (driver.Snapshot, error) {
	time.Sleep(time.Second)
	d.requests.Add(1)
	if d.panics {
		panic("by a test")
	}
	return d.Store.LoadSnapshot(ctx, stream, kind)
}

// Once it was seen where a stream's snapshot is, that and what comes after it are
// read at the same time. Whatever has happened to either since, the aggregate is what
// its events say.
func TestLoadBeside(t *testing.T) {
	type world struct {
		*testing.T
		d     *distant
		store *es.Store // on which the aggregate is loaded
		other *es.Store // of another process
	}
	fill := func(w *world, n int, every int) {
		settings := []aggregate.Setting{}
		if every > 0 {
			settings = append(settings, aggregate.SnapshotEvery(every))
		}
		fill(w, Accounts.Repository(w.other, settings...), "1", n)
	}
	for name, row := range map[string]struct {
		do       func(w *world)
		balance  int64
		requests int64
		took     time.Duration
		snapshot es.Version // that is there in the end
	}{
		"nothing":          {func(*world) {}, 1000, 2, time.Second, 1000},
		"more events":      {func(w *world) { fill(w, 30, 0) }, 1030, 2, time.Second, 1000},
		"a newer one":      {func(w *world) { fill(w, 30, 20) }, 1030, 2, time.Second, 1030},
		"a much newer one": {func(w *world) { fill(w, 500, 100); fill(w, 10, 0) }, 1510, 3, 2 * time.Second, 1500},
		"a newer one than the events": {func(w *world) {
			w.d.afterAll = func() { fill(w, 30, 20) }
		}, 1030, 3, 2 * time.Second, 1030},
		"none": {func(w *world) {
			if err := w.other.DeleteSnapshot(w.Context(), Accounts.Stream("1"), kind); err != nil {
				w.Fatal(err)
			}
		}, 1000, 3, 2 * time.Second, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				mem := memory.New()
				other, err := es.New(mem)
				if err != nil {
					t.Fatal(err)
				}
				w := &world{T: t, d: &distant{Store: mem}, other: other}
				if w.store, err = es.New(w.d); err != nil {
					t.Fatal(err)
				}
				defer w.store.Close()
				var errs told
				accounts := Accounts.Repository(w.store, aggregate.OnSnapshotError(errs.tell))
				fill(w, 1000, 1000)
				begin := time.Now()
				must[*Account](t)(accounts.Load(t.Context(), "1"))
				if took := time.Since(begin); took != 2*time.Second || w.d.requests.Load() != 2 {
					t.Errorf("the first time: %d requests in %v", w.d.requests.Load(), took)
				}
				row.do(w)
				w.d.requests.Store(0)
				begin = time.Now()
				a := must[*Account](t)(accounts.Load(t.Context(), "1"))
				if took := time.Since(begin); a.Balance != row.balance || took != row.took || w.d.requests.Load() != row.requests {
					t.Errorf("balance %d after %d requests in %v; want %d, %d, %v", a.Balance, w.d.requests.Load(), took, row.balance, row.requests, row.took)
				}
				if v := snapshotVersion(t, w.other, Accounts.Stream("1")); v != row.snapshot {
					t.Errorf("the snapshot is at version %d, want %d", v, row.snapshot)
				}
				// And the next time it is as at first.
				w.d.requests.Store(0)
				a = must[*Account](t)(accounts.Load(t.Context(), "1"))
				if a.Balance != row.balance || w.d.requests.Load() != 2 {
					t.Errorf("afterwards: balance %d after %d requests", a.Balance, w.d.requests.Load())
				}
				if got := errs.take(); len(got) > 0 {
					t.Errorf("%v", got)
				}
			})
		})
	}
}

// A snapshot of another history is found out, wherever it is looked for.
func TestLoadBesideAnotherHistory(t *testing.T) {
	for _, n := range []int{500, 1000, 1500} {
		d := &faulty{}
		store, _ := newStoreWith(t, d)
		var errs told
		accounts := Accounts.Repository(store, aggregate.SnapshotEvery(1000), aggregate.OnSnapshotError(errs.tell))
		fill(t, accounts, "1", 1000)
		must[*Account](t)(accounts.Load(t.Context(), "1"))
		snap := must[driver.Snapshot](t)(d.Store.LoadSnapshot(t.Context(), Accounts.Stream("1"), kind))
		d.Store = memory.New() // as if it was put back
		fill(t, Accounts.Repository(store), "1", n)
		if err := d.Store.SaveSnapshot(t.Context(), snap); err != nil {
			t.Fatal(err)
		}
		if a := must[*Account](t)(accounts.Load(t.Context(), "1")); a.Balance != int64(n) {
			t.Errorf("%d events: balance %d", n, a.Balance)
		}
		if got := errs.take(); len(got) != 1 || snapshotVersion(t, store, Accounts.Stream("1")) != 0 {
			t.Errorf("%d events: the snapshot is there, or was not told of once: %v", n, got)
		}
	}
}

// What panics while a snapshot is loaded beside the events panics in the caller, who
// can recover.
func TestLoadBesidePanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &distant{Store: memory.New()}
		store, err := es.New(d)
		if err != nil {
			t.Fatal(err)
		}
		defer store.Close()
		accounts := Accounts.Repository(store, aggregate.SnapshotEvery(10))
		fill(t, accounts, "1", 10)
		must[*Account](t)(accounts.Load(t.Context(), "1"))
		d.panics = true
		func() {
			defer func() {
				if recover() != "by a test" {
					t.Error("the panic was lost")
				}
			}()
			accounts.Load(t.Context(), "1")
		}()
	})
}
