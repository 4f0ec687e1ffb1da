package aggregate_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/go-es/es"
	"github.com/go-es/es/aggregate"
)

// The ids are stored: their derivation must never change.
func TestCommandIDsNeverChange(t *testing.T) {
	store, _ := newStore(t)
	must[aggregate.Result](t)(Accounts.Repository(store).Create(t.Context(), "42", func(a *Account) error {
		return errors.Join(a.Open("Ada"), a.Deposit(1))
	}, aggregate.CommandID("open-42")))
	for i, want := range []string{"2510d5d6-fd5d-8ca8-bab3-f9c74defa57f", "6ea4f6ec-1249-8da6-a637-086492e0aa0a"} {
		if got := records(t, store, "account-42")[i].ID.String(); got != want {
			t.Errorf("event %d has id %s, want %s", i, got, want)
		}
	}
}

func TestCommandIDsDiffer(t *testing.T) {
	store, _ := newStore(t)
	accounts := Accounts.Repository(store)
	seen := map[es.ID]string{}
	for _, id := range []string{"1", "11"} {
		for _, command := range []string{"a", "1a", "ab", "b"} {
			must[aggregate.Result](t)(accounts.Update(t.Context(), id, func(a *Account) error {
				return errors.Join(a.Deposit(1), a.Deposit(1), a.Deposit(1))
			}, aggregate.OrNew(), aggregate.CommandID(command)))
		}
		for _, rec := range records(t, store, Accounts.Stream(id)) {
			what := fmt.Sprint(id, " ", rec.Version)
			if before, twice := seen[rec.ID]; twice {
				t.Errorf("%s and %s have id %v", before, what, rec.ID)
			}
			seen[rec.ID] = what
		}
	}
	if len(seen) != 24 {
		t.Errorf("%d ids", len(seen))
	}
}

// A command is repeated at once, after other events, after others of its kind, and
// with a snapshot before, within and after it: nothing changes.
func TestRepeatedCommand(t *testing.T) {
	for _, every := range []int{0, 1, 2, 3, 5, 100} {
		t.Run(fmt.Sprint("snapshots every ", every), func(t *testing.T) {
			store, f := newStore(t)
			var settings []aggregate.Setting
			if every > 0 {
				settings = append(settings, aggregate.SnapshotEvery(every))
			}
			accounts := Accounts.Repository(store, settings...)
			must[aggregate.Result](t)(accounts.Create(t.Context(), "1", deposit(100)))
			calls := 0
			two := func(a *Account) error {
				calls++
				return errors.Join(a.Deposit(10), a.Withdraw(3))
			}
			first, err := accounts.Update(t.Context(), "1", two, aggregate.CommandID("c"))
			if err != nil || first.Repeated || first.First != 2 || first.Last != 3 || first.Version != 3 {
				t.Fatalf("%+v, %v", first, err)
			}
			want := first
			want.Repeated = true
			repeat := func(what string) {
				t.Helper()
				before := f.appends
				res, err := accounts.Update(t.Context(), "1", two, aggregate.CommandID("c"))
				if err != nil || res != want {
					t.Errorf("%s: %+v, %v; want %+v", what, res, err, want)
				}
				res, err = accounts.Update(t.Context(), "1", two, aggregate.CommandID("c"), aggregate.IfVersion(1), aggregate.OrNew())
				if err != nil || res != want {
					t.Errorf("%s, if it is at version 1: %+v, %v; want %+v", what, res, err, want)
				}
				all, err := aggregate.Atomically(t.Context(), store, func(tx *aggregate.Tx) error {
					a, err := aggregate.Get(tx, Accounts, "1")
					if err != nil {
						return err
					}
					return two(a)
				}, aggregate.CommandID("c"))
				if err != nil || len(all) != 1 || all[0] != want {
					t.Errorf("%s, atomically: %+v, %v; want %+v", what, all, err, want)
				}
				if f.appends != before || calls != 1 {
					t.Errorf("%s: %d appends, %d calls", what, f.appends-before, calls)
				}
			}
			repeat("at once")
			for i := range 10 {
				must[aggregate.Result](t)(accounts.Update(t.Context(), "1", deposit(1), aggregate.CommandID(fmt.Sprint("other ", i))))
				repeat(fmt.Sprint("after other events: ", i))
			}
			if a := must[*Account](t)(accounts.Load(t.Context(), "1")); a.Balance != 117 || a.Version() != 13 {
				t.Errorf("balance %d at version %d", a.Balance, a.Version())
			}
		})
	}
}

func TestCommandWindow(t *testing.T) {
	store, _ := newStore(t)
	accounts := Accounts.Repository(store, aggregate.SnapshotEvery(1), aggregate.CommandWindow(3))
	must[aggregate.Result](t)(accounts.Create(t.Context(), "1", deposit(1), aggregate.CommandID("c")))
	for v := 2; v <= 4; v++ {
		must[aggregate.Result](t)(accounts.Update(t.Context(), "1", deposit(1)))
		res, err := accounts.Update(t.Context(), "1", deposit(1), aggregate.CommandID("c"))
		if err != nil || !res.Repeated || res.First != 1 || res.Last != 1 {
			t.Errorf("at version %d: %+v, %v", v, res, err)
		}
	}
	must[aggregate.Result](t)(accounts.Update(t.Context(), "1", deposit(1)))
	// The snapshot is at version 5, and the window goes back to version 2.
	res, err := accounts.Update(t.Context(), "1", deposit(1), aggregate.CommandID("c"))
	if err != nil || res.Repeated || res.First != 6 {
		t.Errorf("before the window: %+v, %v", res, err)
	}
	// A repository with a larger one sees the first.
	res, err = Accounts.Repository(store).Update(t.Context(), "1", deposit(1), aggregate.CommandID("c"))
	if err != nil || !res.Repeated || res.First != 1 {
		t.Errorf("with a larger window: %+v, %v", res, err)
	}
	// One without snapshots reads all.
	none := Accounts.Repository(store, aggregate.CommandWindow(0))
	res, err = none.Update(t.Context(), "1", deposit(1), aggregate.CommandID("c"))
	if err != nil || !res.Repeated || res.First != 6 {
		t.Errorf("without a window: %+v, %v", res, err)
	}
}

func TestRepeatedCreate(t *testing.T) {
	store, f := newStore(t)
	accounts := Accounts.Repository(store)
	create := func(command string) (aggregate.Result, error) {
		return accounts.Create(t.Context(), "1", func(a *Account) error { return errors.Join(a.Open("Ada"), a.Deposit(5)) }, aggregate.CommandID(command))
	}
	must[aggregate.Result](t)(create("c"))
	must[aggregate.Result](t)(accounts.Update(t.Context(), "1", deposit(1)))
	res, err := create("c")
	if want := (aggregate.Result{Stream: "account-1", First: 1, Last: 2, Position: 2, Version: 2, Repeated: true}); err != nil || res != want {
		t.Errorf("%+v, %v", res, err)
	}
	if _, err := create("another"); !errors.Is(err, es.ErrConflict) {
		t.Errorf("another command: %v", err)
	}
	if f.appends != 2 {
		t.Errorf("%d appends", f.appends)
	}
}

// A command that raised nothing is run again.
func TestCommandWithoutEvents(t *testing.T) {
	store, _ := newStore(t)
	accounts := Accounts.Repository(store)
	must[aggregate.Result](t)(accounts.Create(t.Context(), "1", deposit(1)))
	calls := 0
	for range 2 {
		res, err := accounts.Update(t.Context(), "1", func(*Account) error { calls++; return nil }, aggregate.CommandID("c"))
		if err != nil || res.Repeated || res.First != 0 || res.Version != 1 {
			t.Errorf("%+v, %v", res, err)
		}
	}
	if calls != 2 {
		t.Errorf("%d calls", calls)
	}
}

// What is raised after the command has ended is not the command's.
func TestCommandEnds(t *testing.T) {
	store, _ := newStore(t)
	accounts := Accounts.Repository(store)
	var kept *Account
	must[aggregate.Result](t)(accounts.Create(t.Context(), "1", func(a *Account) error {
		kept = a
		return a.Deposit(1)
	}, aggregate.CommandID("c")))
	kept.Deposit(2)
	must[aggregate.Result](t)(accounts.Save(t.Context(), kept))
	res, err := accounts.Update(t.Context(), "1", deposit(1), aggregate.CommandID("c"))
	if err != nil || !res.Repeated || res.First != 1 || res.Last != 1 {
		t.Errorf("%+v, %v", res, err)
	}
}
