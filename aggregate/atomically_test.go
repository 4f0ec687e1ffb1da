package aggregate_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/go-es/es"
	"github.com/go-es/es/aggregate"
	"github.com/go-es/es/driver"
)

func TestAtomically(t *testing.T) {
	ctx := t.Context()
	store, f := newStore(t)
	accounts := Accounts.Repository(store)
	fill(t, accounts, "1", 2)
	fill(t, accounts, "2", 1)
	must[aggregate.Result](t)(accounts.Create(ctx, "gone", deposit(1)))
	must[aggregate.Result](t)(accounts.Delete(ctx, "gone", es.Tombstone))
	type tx = aggregate.Tx
	get := func(tx *tx, id string) *Account { return must[*Account](t)(aggregate.Get(tx, Accounts, id)) }
	mine := errors.New("mine")
	for _, row := range []struct {
		name  string
		do    func(tx *tx) error
		want  []aggregate.Result
		is    error
		err   string
		sends int
	}{
		{"nothing", func(tx *tx) error { return nil }, nil, nil, "<nil>", 0},
		{"looking only", func(tx *tx) error { get(tx, "1"); return nil }, nil, nil, "<nil>", 0},
		{"one", func(tx *tx) error { return get(tx, "1").Deposit(1) },
			[]aggregate.Result{{Stream: "account-1", First: 3, Last: 3, Position: 6, Version: 3}}, nil, "<nil>", 1},
		{"two and one looked at", func(tx *tx) error {
			b, a := get(tx, "2"), get(tx, "1")
			o, err := aggregate.GetOrNew(tx, Odds, "1")
			if err != nil {
				return err
			}
			if _, err := aggregate.GetOrNew(tx, Odds, "2"); err != nil {
				return err
			}
			return errors.Join(a.Deposit(1), o.Raise(Ignored{}), a.Deposit(1), b.Raise(Opened{}))
		}, []aggregate.Result{
			{Stream: "account-2", First: 2, Last: 2, Position: 7, Version: 2},
			{Stream: "account-1", First: 4, Last: 5, Position: 9, Version: 5},
			{Stream: "odd-1", First: 1, Last: 1, Position: 10, Version: 1},
		}, nil, "<nil>", 1},
		{"the same twice", func(tx *tx) error {
			a, b := get(tx, "2"), get(tx, "2")
			if a != b {
				t.Error("there are two of one aggregate")
			}
			return errors.Join(a.Deposit(1), b.Deposit(1))
		}, []aggregate.Result{{Stream: "account-2", First: 3, Last: 4, Position: 12, Version: 4}}, nil, "<nil>", 1},
		{"an error of the function", func(tx *tx) error {
			get(tx, "2").Deposit(1)
			return mine
		}, nil, mine, "mine", 0},
		{"an error of Raise that is not looked at", func(tx *tx) error {
			get(tx, "2").Raise(Unknown{})
			return get(tx, "1").Deposit(1)
		}, nil, aggregate.ErrNoHandler, `es: atomically account "2" at version 4: no handler for events of type "odd.unknown": give the definition one, or let it ignore the type`, 0},
		{"not there", func(tx *tx) error {
			_, err := aggregate.Get(tx, Accounts, "3")
			return err
		}, nil, es.ErrStreamNotFound, `es: get account "3": stream not found: "account-3"`, 0},
		{"not there, and then made", func(tx *tx) error {
			_, err := aggregate.Get(tx, Accounts, "3")
			if !errors.Is(err, es.ErrStreamNotFound) {
				return err
			}
			a, err := aggregate.New(tx, Accounts, "3")
			if err != nil {
				return err
			}
			if get(tx, "3") != a {
				t.Error("what was made is not what is there")
			}
			return a.Deposit(1)
		}, []aggregate.Result{{Stream: "account-3", First: 1, Last: 1, Position: 13, Version: 1}}, nil, "<nil>", 1},
		{"made twice", func(tx *tx) error {
			aggregate.New(tx, Accounts, "4")
			_, err := aggregate.New(tx, Accounts, "4")
			return err
		}, nil, es.ErrInvalid, `es: get account "4": aggregate: was made in this Tx before`, 0},
		{"looked at, then new", func(tx *tx) error {
			get(tx, "3")
			_, err := aggregate.New(tx, Accounts, "3")
			return err
		}, nil, es.ErrConflict, `es: get account "3": conflict: stream "account-3" is at version 1, expected: no stream`, 0},
		{"new, and there is one", func(tx *tx) error {
			a, err := aggregate.New(tx, Accounts, "3")
			return errors.Join(err, a.Deposit(1))
		}, nil, es.ErrConflict, `es: atomically account "3" at version 1: conflict: stream "account-3" is at version 1, expected: no stream`, 1},
		{"deleted", func(tx *tx) error {
			_, err := aggregate.Get(tx, Accounts, "gone")
			return err
		}, nil, es.ErrStreamDeleted, `es: get account "gone": stream deleted: "account-gone"`, 0},
		{"new, and deleted", func(tx *tx) error {
			a, err := aggregate.New(tx, Accounts, "gone")
			return errors.Join(err, a.Deposit(1))
		}, nil, es.ErrStreamDeleted, `es: atomically account "gone" at version 1: stream deleted: "account-gone"`, 1},
		{"an id that is none", func(tx *tx) error {
			_, err := aggregate.Get(tx, Accounts, "")
			return err
		}, nil, es.ErrInvalid, `es: get account "": id: is empty`, 0},
		{"saved by itself", func(tx *tx) error {
			a := get(tx, "1")
			a.Deposit(1)
			_, err := accounts.Save(ctx, a)
			return err
		}, nil, es.ErrInvalid, `es: save account "1" at version 6: aggregate: belongs to Atomically, which saves it`, 0},
	} {
		sends := 0
		f.beforeAppend = func(driver.AppendRequest) error { sends++; return nil }
		got, err := aggregate.Atomically(ctx, store, row.do)
		if fmt.Sprint(got) != fmt.Sprint(row.want) || text(err) != row.err || row.is != nil && !errors.Is(err, row.is) {
			t.Errorf("%s:\n got %+v, %v\nwant %+v, %v", row.name, got, err, row.want, row.err)
		}
		if sends != row.sends {
			t.Errorf("%s: %d appends were sent", row.name, sends)
		}
	}
}

func TestTxIsOver(t *testing.T) {
	store, _ := newStore(t)
	accounts := Accounts.Repository(store)
	fill(t, accounts, "1", 1)
	var kept *aggregate.Tx
	var a *Account
	keep := func(err error) func(*aggregate.Tx) error {
		return func(tx *aggregate.Tx) error {
			kept = tx
			a = must[*Account](t)(aggregate.Get(tx, Accounts, "1"))
			return errors.Join(a.Deposit(1), err)
		}
	}
	must[[]aggregate.Result](t)(aggregate.Atomically(t.Context(), store, keep(nil)))
	if _, err := aggregate.Get(kept, Accounts, "1"); text(err) != `es: get account "1": Tx: is over: it ends with the function that it was given to` {
		t.Error(err)
	}
	a.Deposit(1) // what was stored goes on
	if res, err := accounts.Save(t.Context(), a); err != nil || res.First != 3 {
		t.Errorf("%+v, %v", res, err)
	}
	aggregate.Atomically(t.Context(), store, keep(errors.New("no")))
	if _, err := accounts.Save(t.Context(), a); !errors.Is(err, es.ErrInvalid) || !strings.Contains(err.Error(), "was in an Atomically that did not store it") {
		t.Error(err)
	}
	if a := must[*Account](t)(accounts.Load(t.Context(), "1")); a.Balance != 3 {
		t.Errorf("balance %d", a.Balance)
	}
}

func TestStoreOfOneStream(t *testing.T) {
	for _, streams := range []int{0, 1} {
		caps := driver.Caps{MaxStreams: streams, PositionOnAppend: true, Gapless: true, FilterFeed: true}
		store, f := newStoreWith(t, &faulty{caps: &caps})
		accounts := Accounts.Repository(store)
		fill(t, accounts, "1", 1)
		fill(t, accounts, "2", 1)
		change := func(ids ...string) func(*aggregate.Tx) error {
			return func(tx *aggregate.Tx) error {
				for i, id := range ids {
					a, err := aggregate.Get(tx, Accounts, id)
					if err != nil {
						return err
					}
					if i == 0 {
						a.Deposit(1)
					}
				}
				return nil
			}
		}
		if _, err := aggregate.Atomically(t.Context(), store, change("1")); err != nil {
			t.Errorf("one: %v", err)
		}
		before := f.appends
		_, err := aggregate.Atomically(t.Context(), store, change("1", "2"))
		if !errors.Is(err, errors.ErrUnsupported) || text(err) != "es: atomically: append to 2 streams at once: this store appends to one: unsupported operation" || f.appends != before {
			t.Errorf("two: %v", err)
		}
	}
}

// Of two doctors on call one may leave, if the other stays: the rule spans two
// aggregates, each changes its own, and both look at the other's.
func TestNoWriteSkew(t *testing.T) {
	const rounds, doctors = 40, 4
	store, _ := newStore(t)
	accounts := Accounts.Repository(store)
	for round := range rounds {
		id := func(n int) string { return fmt.Sprint(round, "/", n) }
		for n := range doctors / 2 { // the others are not there yet: that counts as well
			must[aggregate.Result](t)(accounts.Create(t.Context(), id(n), deposit(1)))
		}
		leave := func(tx *aggregate.Tx, me int) error {
			var own *Account
			on := int64(0)
			for n := range doctors {
				a, err := aggregate.Get(tx, Accounts, id(n))
				if errors.Is(err, es.ErrStreamNotFound) {
					continue
				}
				if err != nil {
					return err
				}
				on += a.Balance
				if n == me {
					own = a
				}
			}
			switch {
			case own == nil && on == 1: // only as long as one is missing
				a, err := aggregate.New(tx, Accounts, id(me))
				return errors.Join(err, a.Deposit(1))
			case own != nil && on > 1 && own.Balance > 0:
				return own.Withdraw(1)
			}
			return nil
		}
		var wg sync.WaitGroup
		for me := range doctors {
			wg.Go(func() {
				for range 2 {
					if _, err := aggregate.Atomically(t.Context(), store, func(tx *aggregate.Tx) error { return leave(tx, me) }, aggregate.Retries(200)); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		on := int64(0)
		for n := range doctors {
			if a, err := accounts.Load(t.Context(), id(n)); err == nil {
				on += a.Balance
			}
		}
		if on < 1 || on > 2 {
			t.Fatalf("round %d: %d doctors are on call", round, on)
		}
	}
}

// What a function only looked at must be the same when its events are stored: else
// it is called again.
func TestChangedMeanwhile(t *testing.T) {
	for _, row := range []struct {
		name   string
		before int // events of the account that is looked at
	}{
		{"changed", 1}, {"made", 0},
	} {
		store, _ := newStore(t)
		accounts := Accounts.Repository(store)
		if row.before > 0 {
			fill(t, accounts, "other", row.before)
		}
		calls := 0
		var seen []es.Version
		res, err := aggregate.Atomically(t.Context(), store, func(tx *aggregate.Tx) error {
			calls++
			other, err := aggregate.Get(tx, Accounts, "other")
			switch {
			case err == nil:
				seen = append(seen, other.Version())
			case errors.Is(err, es.ErrStreamNotFound):
				seen = append(seen, 0)
			default:
				return err
			}
			if calls == 1 {
				fill(t, accounts, "other", 1)
			}
			a, err := aggregate.New(tx, Accounts, "mine")
			return errors.Join(err, a.Deposit(1))
		})
		if err != nil || len(res) != 1 || calls != 2 || fmt.Sprint(seen) != fmt.Sprint([]int{row.before, row.before + 1}) {
			t.Errorf("%s: %+v, %v, seen %v", row.name, res, err, seen)
		}
	}
}

// Money that is sent to and fro stays as much as it was.
func TestTransfers(t *testing.T) {
	const n, writers, each = 5, 6, 25
	store, _ := newStore(t)
	accounts := Accounts.Repository(store, aggregate.SnapshotEvery(5))
	for i := range n {
		must[aggregate.Result](t)(accounts.Create(t.Context(), fmt.Sprint(i), deposit(100)))
	}
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(w), 1))
			for range each {
				from, to := rng.IntN(n), rng.IntN(n)
				amount := rng.Int64N(60) + 1
				_, err := aggregate.Atomically(t.Context(), store, func(tx *aggregate.Tx) error {
					a, err := aggregate.Get(tx, Accounts, fmt.Sprint(from))
					if err != nil {
						return err
					}
					b, err := aggregate.Get(tx, Accounts, fmt.Sprint(to))
					if err != nil {
						return err
					}
					if err := a.Withdraw(amount); err != nil {
						return err
					}
					return b.Deposit(amount)
				}, aggregate.Retries(1000), aggregate.SnapshotEvery(5))
				if err != nil && !errors.Is(err, errFunds) {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	sum := int64(0)
	for i := range n {
		a := must[*Account](t)(accounts.Load(t.Context(), fmt.Sprint(i)))
		if a.Balance < 0 {
			t.Errorf("account %d has %d", i, a.Balance)
		}
		sum += a.Balance
	}
	if sum != n*100 {
		t.Errorf("all have %d", sum)
	}
}

// A command over several aggregates is recognised by any that it changed.
func TestRepeatedTransfer(t *testing.T) {
	for _, lost := range []bool{false, true} {
		store, f := newStore(t)
		accounts := Accounts.Repository(store)
		for _, id := range []string{"looked at", "from", "to"} {
			must[aggregate.Result](t)(accounts.Create(t.Context(), id, deposit(100)))
		}
		calls := 0
		transfer := func(order ...string) ([]aggregate.Result, error) {
			return aggregate.Atomically(t.Context(), store, func(tx *aggregate.Tx) error {
				all := map[string]*Account{}
				for _, id := range order {
					a, err := aggregate.Get(tx, Accounts, id)
					if err != nil {
						return fmt.Errorf("wrapped: %w", err)
					}
					all[id] = a
				}
				fresh, err := aggregate.New(tx, Accounts, "new")
				if err != nil {
					return err
				}
				calls++
				return errors.Join(all["from"].Withdraw(60), all["to"].Deposit(50), fresh.Deposit(10))
			}, aggregate.CommandID("transfer"))
		}
		if lost {
			f.lose(100, unknown)
		}
		first, err := transfer("looked at", "from", "to")
		if lost == (err == nil) {
			t.Fatalf("%+v, %v", first, err)
		}
		f.afterAppend = nil
		must[aggregate.Result](t)(accounts.Update(t.Context(), "from", deposit(1)))
		before := f.appends
		for _, order := range [][]string{{"looked at", "from", "to"}, {"to", "looked at", "from"}} {
			again, err := transfer(order...)
			if err != nil || len(again) != 1 || !again[0].Repeated || again[0].First != 2 {
				t.Errorf("%v: %+v, %v", order, again, err)
			}
		}
		if calls != 1 || f.appends != before {
			t.Errorf("%d calls, %d appends", calls, f.appends-before)
		}
		for id, want := range map[string]int64{"looked at": 100, "from": 41, "to": 150, "new": 10} {
			if a := must[*Account](t)(accounts.Load(t.Context(), id)); a.Balance != want {
				t.Errorf("%s has %d, want %d", id, a.Balance, want)
			}
		}
	}
}

// Two that run the same command at once have one effect.
func TestSameCommandAtOnce(t *testing.T) {
	store, _ := newStore(t)
	accounts := Accounts.Repository(store)
	for round := range 30 {
		from, to := fmt.Sprint("from ", round), fmt.Sprint("to ", round)
		must[aggregate.Result](t)(accounts.Create(t.Context(), from, deposit(100)))
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				_, err := aggregate.Atomically(t.Context(), store, func(tx *aggregate.Tx) error {
					a, err := aggregate.Get(tx, Accounts, from)
					if err != nil {
						return err
					}
					b, err := aggregate.GetOrNew(tx, Accounts, to)
					if err != nil {
						return err
					}
					return errors.Join(a.Withdraw(10), b.Deposit(10))
				}, aggregate.CommandID("c"), aggregate.Retries(200))
				if err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		a := must[*Account](t)(accounts.Load(t.Context(), from))
		b := must[*Account](t)(accounts.Load(t.Context(), to))
		if a.Balance != 90 || b.Balance != 10 {
			t.Fatalf("round %d: %d and %d", round, a.Balance, b.Balance)
		}
	}
}

func TestAtomicallyWithAnEndedContext(t *testing.T) {
	store, f := newStore(t)
	ctx, cancel := context.WithCancel(t.Context())
	_, err := aggregate.Atomically(ctx, store, func(tx *aggregate.Tx) error {
		a, err := aggregate.New(tx, Accounts, "1")
		cancel()
		return errors.Join(err, a.Deposit(1))
	})
	if !errors.Is(err, context.Canceled) || f.appends > 0 {
		t.Errorf("%v, %d appends", err, f.appends)
	}
}
