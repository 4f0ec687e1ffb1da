package aggregate_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/go-es/es"
	"github.com/go-es/es/aggregate"
	"github.com/go-es/es/driver"
)

func TestRepository(t *testing.T) {
	ctx := t.Context()
	store, _ := newStore(t)
	accounts := Accounts.Repository(store)

	check := func(what string, got aggregate.Result, err error, want aggregate.Result) {
		t.Helper()
		if err != nil || got != want {
			t.Errorf("%s: %+v, %v; want %+v", what, got, err, want)
		}
	}
	fails := func(what string, err, is error, want string) {
		t.Helper()
		if !errors.Is(err, is) || text(err) != want {
			t.Errorf("%s:\n got %v\nwant %s", what, err, want)
		}
	}

	_, err := accounts.Load(ctx, "1")
	fails("load what is not there", err, es.ErrStreamNotFound, `es: load account "1": stream not found: "account-1"`)
	_, err = accounts.Update(ctx, "1", deposit(1))
	fails("update what is not there", err, es.ErrStreamNotFound, `es: update account "1": stream not found: "account-1"`)
	_, err = accounts.Delete(ctx, "1", es.Tombstone)
	fails("delete what is not there", err, es.ErrStreamNotFound, `es: delete account "1": stream not found: "account-1"`)

	res, err := accounts.Create(ctx, "1", func(a *Account) error { return errors.Join(a.Open("Ada"), a.Deposit(100)) })
	check("create", res, err, aggregate.Result{Stream: "account-1", First: 1, Last: 2, Position: 2, Version: 2})
	_, err = accounts.Create(ctx, "1", func(a *Account) error { return a.Open("Bob") })
	fails("create again", err, es.ErrConflict, `es: create account "1" at version 1: conflict: stream "account-1" is at version 2, expected: no stream`)

	res, err = accounts.Update(ctx, "1", deposit(10))
	check("update", res, err, aggregate.Result{Stream: "account-1", First: 3, Last: 3, Position: 3, Version: 3})
	res, err = accounts.Update(ctx, "1", func(*Account) error { return nil })
	check("update without events", res, err, aggregate.Result{Stream: "account-1", Version: 3})
	_, err = accounts.Update(ctx, "1", func(a *Account) error { return a.Withdraw(1000) })
	if err != errFunds {
		t.Errorf("the error of the function is %v", err)
	}
	res, err = accounts.Update(ctx, "2", deposit(5), aggregate.OrNew())
	check("update of a new one", res, err, aggregate.Result{Stream: "account-2", First: 1, Last: 1, Position: 4, Version: 1})
	res, err = accounts.Update(ctx, "2", deposit(5), aggregate.OrNew())
	check("update of an old one", res, err, aggregate.Result{Stream: "account-2", First: 2, Last: 2, Position: 5, Version: 2})

	a := must[*Account](t)(accounts.Load(ctx, "1"))
	if a.ID() != "1" || a.Version() != 3 || a.Owner != "Ada" || a.Balance != 110 {
		t.Errorf("loaded %+v at version %d", a, a.Version())
	}
	for v, want := range []int64{0, 0, 100, 110} {
		if v == 0 {
			continue
		}
		a, err := accounts.LoadAt(ctx, "1", es.Version(v))
		if err != nil || a.Balance != want || a.Version() != es.Version(v) {
			t.Errorf("at version %d: %+v, %v", v, a, err)
		}
	}
	_, err = accounts.LoadAt(ctx, "1", 4)
	fails("load beyond the end", err, es.ErrInvalid, `es: load account "1" at version 3: version: 4 is wanted, and the aggregate is at version 3`)
	_, err = accounts.LoadAt(ctx, "1", 1<<62)
	fails("load far beyond the end", err, es.ErrInvalid, `es: load account "1" at version 3: version: 4611686018427387904 is wanted, and the aggregate is at version 3`)
	_, err = accounts.LoadAt(ctx, "1", 0)
	fails("load at 0", err, es.ErrInvalid, `es: load account "1": version: is 0`)
	_, err = accounts.LoadAt(ctx, "3", 1)
	fails("load what is not there at 1", err, es.ErrStreamNotFound, `es: load account "3": stream not found: "account-3"`)

	_, err = accounts.Update(ctx, "1", deposit(1), aggregate.IfVersion(2))
	fails("update of another version", err, es.ErrConflict, `es: update account "1": conflict: stream "account-1" is at version 3, expected: version 2`)
	res, err = accounts.Update(ctx, "1", deposit(1), aggregate.IfVersion(3))
	check("update of this version", res, err, aggregate.Result{Stream: "account-1", First: 4, Last: 4, Position: 6, Version: 4})
	_, err = accounts.Update(ctx, "1", deposit(1), aggregate.IfVersion(0), aggregate.OrNew())
	fails("update of none", err, es.ErrConflict, `es: update account "1": conflict: stream "account-1" is at version 4, expected: no stream`)

	a.Deposit(7)
	_, err = accounts.Save(ctx, a, aggregate.IfVersion(2))
	fails("save of another version", err, es.ErrConflict, `es: save account "1" at version 4: conflict: stream "account-1" is at version 3, expected: version 2`)
	_, err = accounts.Save(ctx, a)
	fails("save of an old one", err, es.ErrConflict, `es: save account "1" at version 4: conflict: stream "account-1" is at version 4, expected: version 3`)
	const reload = `: it must be loaded again: conflict: stream "account-1" is at version 4, expected: version 3`
	_, err = accounts.Save(ctx, a)
	fails("save after a conflict", err, es.ErrConflict, `es: save account "1" at version 4`+reload)
	fails("raise after a conflict", a.Deposit(1), es.ErrConflict, `es: raise account "1" at version 4`+reload)

	a = must[*Account](t)(accounts.Load(ctx, "1"))
	res, err = accounts.Save(ctx, a)
	check("save of nothing", res, err, aggregate.Result{Stream: "account-1", Version: 4})
	for i := range 2 {
		a.Deposit(1)
		a.Deposit(1)
		v := es.Version(4 + 2*i)
		res, err = accounts.Save(ctx, a, aggregate.IfVersion(v))
		check("save", res, err, aggregate.Result{Stream: "account-1", First: v + 1, Last: v + 2, Position: es.Position(v + 4), Version: v + 2})
	}

	_, err = accounts.Delete(ctx, "1", es.Purge, aggregate.IfVersion(7))
	fails("delete of another version", err, es.ErrConflict, `es: delete account "1": conflict: stream "account-1" is at version 8, expected: version 7`)
	res, err = accounts.Delete(ctx, "1", es.Purge, aggregate.IfVersion(8))
	check("delete", res, err, aggregate.Result{Stream: "account-1", First: 9, Last: 9, Position: 11, Version: 9})
	a.Deposit(1)
	_, err = accounts.Save(ctx, a)
	fails("save of a deleted one", err, es.ErrStreamDeleted, `es: save account "1" at version 9: stream deleted: "account-1"`)
	_, err = accounts.Save(ctx, a)
	fails("save of a deleted one again", err, es.ErrStreamDeleted, `es: save account "1" at version 9: it must be loaded again: stream deleted: "account-1"`)
	_, err = accounts.Load(ctx, "1")
	fails("load of a deleted one", err, es.ErrStreamDeleted, `es: load account "1": stream deleted: "account-1"`)
	_, err = accounts.Update(ctx, "1", deposit(1), aggregate.OrNew())
	fails("update of a deleted one", err, es.ErrStreamDeleted, `es: update account "1": stream deleted: "account-1"`)
	_, err = accounts.Create(ctx, "1", func(a *Account) error { return a.Open("Ada") })
	fails("create of a deleted one", err, es.ErrStreamDeleted, `es: create account "1" at version 1: stream deleted: "account-1"`)
}

func TestUnknownTypeInAStream(t *testing.T) {
	store, _ := newStore(t)
	must[es.Appended](t)(store.Append(t.Context(), "odd-1", es.NoStream, Ignored{}, Named{[]string{"a"}}, Unknown{}))
	must[es.Appended](t)(store.Append(t.Context(), "odd-2", es.NoStream, es.Raw{Type: "odd.named", Encoding: "json", Data: []byte(`{"Names":7}`)}))
	must[es.Appended](t)(store.Append(t.Context(), "odd-3", es.NoStream, Nested{}))
	odds := Odds.Repository(store)
	for _, row := range []struct {
		id   string
		is   error
		want string
	}{
		{"1", aggregate.ErrNoHandler, `es: load odd "1" at version 2: no handler for events of type "odd.unknown": give the definition one, or let it ignore the type`},
		{"2", es.ErrCorrupt, `es: load odd "2" at version 1: event 1 of stream "odd-2" (type "odd.named", position 4): `},
		{"3", es.ErrInvalid, `es: load odd "3" at version 1: event: was raised inside a handler: a handler changes the state and does nothing else`},
	} {
		if _, err := odds.Load(t.Context(), row.id); !errors.Is(err, row.is) || !strings.HasPrefix(text(err), row.want) {
			t.Errorf("%s: got %v, want %s", row.id, err, row.want)
		}
	}
	o := must[*Odd](t)(odds.LoadAt(t.Context(), "1", 2))
	if o.Version() != 2 || o.names[0] != "a" {
		t.Errorf("before the unknown type: %+v", o)
	}
}

// A store that leaves out an event is found out.
func TestGapInAStream(t *testing.T) {
	store, f := newStore(t)
	accounts := Accounts.Repository(store)
	fill(t, accounts, "1", 3)
	f.dropVersion = 2
	if _, err := accounts.Load(t.Context(), "1"); !errors.Is(err, es.ErrCorrupt) || text(err) != `es: load account "1" at version 1: corrupt data: version 3 of the stream follows version 1` {
		t.Errorf("got %v", err)
	}
}

func TestManyWriters(t *testing.T) {
	const writers, each = 12, 20
	for _, name := range []string{"plain", "snapshots", "commands"} {
		t.Run(name, func(t *testing.T) {
			store, _ := newStore(t)
			var settings []aggregate.Setting
			if name == "snapshots" {
				settings = append(settings, aggregate.SnapshotEvery(7))
			}
			accounts := Accounts.Repository(store, settings...)
			must[aggregate.Result](t)(accounts.Create(t.Context(), "1", func(a *Account) error { return a.Open("Ada") }))
			var wg sync.WaitGroup
			for w := range writers {
				wg.Go(func() {
					for i := range each {
						var options []aggregate.UpdateOption
						if name == "commands" { // each twice
							options = append(options, aggregate.CommandID(fmt.Sprint(w/2, " ", i)))
						}
						if _, err := accounts.Update(t.Context(), "1", deposit(1), options...); err != nil {
							t.Error(err)
						}
					}
				})
			}
			wg.Wait()
			want := int64(writers * each)
			if name == "commands" {
				want /= 2
			}
			a := must[*Account](t)(accounts.Load(t.Context(), "1"))
			if a.Balance != want || a.Version() != es.Version(want)+1 {
				t.Errorf("balance %d at version %d, want %d", a.Balance, a.Version(), want)
			}
		})
	}
}

func TestRetries(t *testing.T) {
	conflict := func(req driver.AppendRequest) error {
		return &driver.ConflictError{Stream: req.Parts[0].Stream, Expected: req.Parts[0].Expected, Actual: 99}
	}
	for _, row := range []struct {
		name    string
		setting int // -1: none
		bare    bool
		calls   int
	}{
		{"none", 0, false, 1},
		{"two", 2, false, 3},
		{"inside a transaction", 2, true, 1},
	} {
		store, f := newStore(t)
		f.beforeAppend = conflict
		s := store
		if row.bare {
			s = store.With(f)
		}
		accounts := Accounts.Repository(s, aggregate.Retries(row.setting))
		calls := 0
		_, err := accounts.Update(t.Context(), "1", func(a *Account) error {
			calls++
			return a.Deposit(1)
		}, aggregate.OrNew())
		if !errors.Is(err, es.ErrConflict) || calls != row.calls {
			t.Errorf("%s: %d calls, %v", row.name, calls, err)
		}
		calls = 0
		_, err = aggregate.Atomically(t.Context(), s, func(tx *aggregate.Tx) error {
			calls++
			a, err := aggregate.GetOrNew(tx, Accounts, "1")
			return errors.Join(err, a.Deposit(1))
		}, aggregate.Retries(row.setting))
		if !errors.Is(err, es.ErrConflict) || calls != row.calls {
			t.Errorf("%s, atomically: %d calls, %v", row.name, calls, err)
		}
		// A conflict of the function's own is not the aggregate's.
		calls = 0
		_, err = accounts.Update(t.Context(), "1", func(a *Account) error {
			calls++
			return es.ErrConflict
		}, aggregate.OrNew())
		if err != es.ErrConflict || calls != 1 {
			t.Errorf("%s, of the function: %d calls, %v", row.name, calls, err)
		}
	}
}

func TestContextEnds(t *testing.T) {
	store, f := newStore(t)
	accounts := Accounts.Repository(store)
	must[aggregate.Result](t)(accounts.Create(t.Context(), "1", deposit(1)))
	a := must[*Account](t)(accounts.Load(t.Context(), "1"))
	a.Deposit(1)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for what, do := range map[string]func() error{
		"load":   func() error { _, err := accounts.Load(ended, "1"); return err },
		"update": func() error { _, err := accounts.Update(ended, "1", deposit(1)); return err },
		"create": func() error { _, err := accounts.Create(ended, "2", deposit(1)); return err },
		"save":   func() error { _, err := accounts.Save(ended, a); return err },
		"delete": func() error { _, err := accounts.Delete(ended, "1", es.Tombstone); return err },
	} {
		if err := do(); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if f.appends != 1 {
		t.Errorf("%d appends were made", f.appends)
	}
	if _, err := accounts.Save(t.Context(), a); err != nil || a.Version() != 2 {
		t.Errorf("save afterwards: %v", err)
	}
	// It ends between two tries.
	ctx, cancel := context.WithCancel(t.Context())
	f.beforeAppend = func(req driver.AppendRequest) error {
		cancel()
		return &driver.ConflictError{Stream: req.Parts[0].Stream, Expected: req.Parts[0].Expected, Actual: 99}
	}
	if _, err := accounts.Update(ctx, "1", deposit(1)); !errors.Is(err, es.ErrConflict) {
		t.Errorf("between two tries: %v", err)
	}
}

// What a function refused, nobody can store later.
func TestAggregateOfARefusedChange(t *testing.T) {
	errNo := errors.New("no")
	for _, row := range []struct {
		name   string
		change func(r *aggregate.Repository[Account], f func(*Account) error) error
	}{
		{"update", func(r *aggregate.Repository[Account], f func(*Account) error) error {
			_, err := r.Update(context.Background(), "old", f)
			return err
		}},
		{"update of a new one", func(r *aggregate.Repository[Account], f func(*Account) error) error {
			_, err := r.Update(context.Background(), "new", f, aggregate.OrNew(), aggregate.CommandID("c"))
			return err
		}},
		{"create", func(r *aggregate.Repository[Account], f func(*Account) error) error {
			_, err := r.Create(context.Background(), "new", f)
			return err
		}},
	} {
		for what, end := range map[string]func() error{
			"error": func() error { return errNo },
			"panic": func() error { panic(errNo) },
		} {
			name := row.name + ", " + what
			store, f := newStore(t)
			accounts := Accounts.Repository(store)
			fill(t, accounts, "old", 1)
			var leaked *Account
			err := func() (err error) {
				defer func() {
					if p := recover(); p != nil {
						err = p.(error)
					}
				}()
				return row.change(accounts, func(a *Account) error {
					leaked = a
					return errors.Join(a.Deposit(9), end())
				})
			}()
			if !errors.Is(err, errNo) {
				t.Errorf("%s: %v", name, err)
			}
			appends := f.appends
			if _, err := accounts.Save(t.Context(), leaked); !errors.Is(err, es.ErrInvalid) || !strings.Contains(text(err), "did not store it: load it again") {
				t.Errorf("%s: Save: %v", name, err)
			}
			if err := leaked.Deposit(1); !errors.Is(err, es.ErrInvalid) {
				t.Errorf("%s: Raise: %v", name, err)
			}
			if f.appends != appends {
				t.Errorf("%s: it was stored", name)
			}
		}
	}

	// One that was stored can be used on.
	store, _ := newStore(t)
	accounts := Accounts.Repository(store)
	var kept *Account
	must[aggregate.Result](t)(accounts.Create(t.Context(), "1", func(a *Account) error { kept = a; return a.Deposit(1) }))
	if err := kept.Deposit(2); err != nil {
		t.Error(err)
	}
	if res, err := accounts.Save(t.Context(), kept); err != nil || res.Version != 2 {
		t.Errorf("%+v, %v", res, err)
	}
}

// An id is cut in errors, at the end of a character.
func TestLongIDsInErrors(t *testing.T) {
	store, _ := newStore(t)
	for _, row := range []struct{ id, says string }{
		{strings.Repeat("x", 80), `"` + strings.Repeat("x", 80) + `"`},
		{strings.Repeat("x", 81), `"` + strings.Repeat("x", 80) + `"…`},
		{strings.Repeat("x", 1<<20), `"` + strings.Repeat("x", 80) + `"…`},
		{strings.Repeat("€", 40), `"` + strings.Repeat("€", 26) + `"…`},
	} {
		_, err := Accounts.Repository(store).Update(t.Context(), row.id, deposit(1))
		var e *aggregate.Error
		if !errors.As(err, &e) || e.ID != row.id || !strings.HasPrefix(err.Error(), "es: update account "+row.says+": ") {
			t.Errorf("an id of %d bytes: %.300v", len(row.id), err)
		}
	}
}
