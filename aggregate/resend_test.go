package aggregate_test

import (
	"context"
	"errors"
	"reflect"
	"testing"

	"github.com/go-es/es"
	"github.com/go-es/es/aggregate"
	"github.com/go-es/es/driver"
)

// What a driver may say of an append that it made.
var lost = map[string]func(driver.AppendRequest) error{
	"unknown outcome":     unknown,
	"a plain error":       func(driver.AppendRequest) error { return errors.New("connection lost") },
	"the context's error": func(driver.AppendRequest) error { return context.DeadlineExceeded },
	"unknown after a conflict": func(req driver.AppendRequest) error {
		e := unknown(req).(*driver.UnknownOutcomeError)
		e.Err = driver.ErrConflict // whatever it is that the driver met
		return e
	},
}

// The acknowledgement of a save is lost: saved again, nothing happens twice.
func TestSaveAgain(t *testing.T) {
	for name, say := range lost {
		t.Run(name, func(t *testing.T) {
			store, f := newStore(t)
			accounts := Accounts.Repository(store)
			must[aggregate.Result](t)(accounts.Create(t.Context(), "1", deposit(100)))
			a := must[*Account](t)(accounts.Load(t.Context(), "1"))
			a.Deposit(10)
			a.Withdraw(5)
			f.lose(2, say)
			for range 2 {
				if _, err := accounts.Save(es.WithMetadata(t.Context(), map[string]string{"try": "first"}), a); err == nil {
					t.Fatal("the acknowledgement was not lost")
				}
				if n := len(Accounts.Pending(a)); n != 2 {
					t.Fatalf("%d events are pending", n)
				}
			}
			res, err := accounts.Save(t.Context(), a)
			if want := (aggregate.Result{Stream: "account-1", First: 2, Last: 3, Position: 3, Version: 3}); err != nil || res != want {
				t.Errorf("saved again: %+v, %v", res, err)
			}
			if n := len(Accounts.Pending(a)); n != 0 {
				t.Errorf("%d events are pending", n)
			}
			a.Deposit(1)
			must[aggregate.Result](t)(accounts.Save(t.Context(), a))
			if b := must[*Account](t)(accounts.Load(t.Context(), "1")); b.Balance != 106 || a.Balance != 106 || b.Version() != 4 {
				t.Errorf("balance %d, loaded %d at version %d", a.Balance, b.Balance, b.Version())
			}
		})
	}
}

// What is raised between the two saves is stored after what is sent again.
func TestRaiseBeforeSavingAgain(t *testing.T) {
	for _, applied := range []bool{true, false} {
		for name, say := range lost {
			store, f := newStore(t)
			accounts := Accounts.Repository(store)
			a := Accounts.New("1")
			a.Open("Ada")
			if applied {
				f.lose(1, say)
			} else {
				f.beforeAppend = say
			}
			if _, err := accounts.Save(t.Context(), a); err == nil {
				t.Fatal("the acknowledgement was not lost")
			}
			f.beforeAppend = nil
			a.Deposit(10)
			a.Deposit(20)
			res, err := accounts.Save(t.Context(), a, aggregate.IfVersion(0))
			if want := (aggregate.Result{Stream: "account-1", First: 1, Last: 3, Position: 3, Version: 3}); err != nil || res != want {
				t.Errorf("%s, applied %v: %+v, %v", name, applied, res, err)
			}
			if b := must[*Account](t)(accounts.Load(t.Context(), "1")); b.Balance != 30 || b.Owner != "Ada" {
				t.Errorf("%s, applied %v: %+v", name, applied, b)
			}
		}
	}
}

// What is sent again is what was sent: ids, times and metadata, at the same base.
func TestSentUnchanged(t *testing.T) {
	store, f := newStore(t)
	accounts := Accounts.Repository(store)
	var sent []driver.AppendRequest
	f.beforeAppend = func(req driver.AppendRequest) error {
		sent = append(sent, req)
		if len(sent) < 3 {
			return unknown(req) // and it did not arrive
		}
		return nil
	}
	a := Accounts.New("1")
	a.Open("Ada")
	type key struct{}
	first := context.WithValue(es.WithMetadata(t.Context(), map[string]string{"user": "ada"}), key{}, 1)
	for i, ctx := range []context.Context{first, t.Context(), es.WithMetadata(t.Context(), map[string]string{"other": "bob"})} {
		if _, err := accounts.Save(ctx, a); (err == nil) != (i == 2) {
			t.Fatal(i, err)
		}
		a.Deposit(1)
	}
	if len(sent) != 4 { // the last one is of what was raised meanwhile
		t.Fatalf("%d appends", len(sent))
	}
	for i := range 3 {
		if !reflect.DeepEqual(sent[i], sent[0]) {
			t.Errorf("%d: %+v\nand not %+v", i, sent[i], sent[0])
		}
	}
	all := records(t, store, "account-1")
	for i, want := range []map[string]string{{"user": "ada"}, {"other": "bob"}, {"other": "bob"}} {
		if got, err := all[i].Metadata(); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("metadata of event %d: %v, %v", i+1, got, err)
		}
	}
	// The second context ends what is sent again.
	f.beforeAppend = unknown
	accounts.Save(t.Context(), a)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := accounts.Save(ended, a); !errors.Is(err, context.Canceled) {
		t.Errorf("with a context that ended: %v", err)
	}
}

// An append of unknown outcome that another one overtook was not made.
func TestOvertaken(t *testing.T) {
	store, f := newStore(t)
	accounts := Accounts.Repository(store)
	must[aggregate.Result](t)(accounts.Create(t.Context(), "1", deposit(100)))
	a := must[*Account](t)(accounts.Load(t.Context(), "1"))
	a.Deposit(10)
	f.beforeAppend = unknown
	if _, err := accounts.Save(t.Context(), a); !errors.Is(err, es.ErrUnknownOutcome) {
		t.Fatal(err)
	}
	f.beforeAppend = nil
	must[aggregate.Result](t)(accounts.Update(t.Context(), "1", deposit(1)))
	for range 2 {
		if _, err := accounts.Save(t.Context(), a); !errors.Is(err, es.ErrConflict) {
			t.Errorf("save: %v", err)
		}
	}
	if b := must[*Account](t)(accounts.Load(t.Context(), "1")); b.Balance != 101 {
		t.Errorf("balance %d", b.Balance)
	}
}

// Update, Create and Atomically send again by themselves.
func TestUpdateSendsAgain(t *testing.T) {
	for name, say := range lost {
		for _, arrived := range []bool{true, false} {
			store, f := newStore(t)
			accounts := Accounts.Repository(store)
			lose := func() {
				if arrived {
					f.lose(2, say)
					return
				}
				n := 2
				f.beforeAppend = func(req driver.AppendRequest) error {
					if n--; n < 0 {
						return nil
					}
					return say(req)
				}
			}
			calls := 0
			change := func(n int64) func(*Account) error {
				return func(a *Account) error {
					calls++
					return a.Deposit(n)
				}
			}
			lose()
			res, err := accounts.Create(t.Context(), "1", change(100))
			if err != nil || res.First != 1 || res.Last != 1 || res.Repeated {
				t.Errorf("create, %s, arrived %v: %+v, %v", name, arrived, res, err)
			}
			lose()
			res, err = accounts.Update(t.Context(), "1", change(10))
			if err != nil || res.First != 2 || res.Last != 2 || res.Repeated {
				t.Errorf("update, %s, arrived %v: %+v, %v", name, arrived, res, err)
			}
			lose()
			all, err := aggregate.Atomically(t.Context(), store, func(tx *aggregate.Tx) error {
				a, err := aggregate.Get(tx, Accounts, "1")
				if err != nil {
					return err
				}
				b, err := aggregate.New(tx, Accounts, "2")
				return errors.Join(err, change(1)(a), change(1)(b))
			})
			if err != nil || len(all) != 2 || all[0].Last != 3 || all[1].Last != 1 {
				t.Errorf("atomically, %s, arrived %v: %+v, %v", name, arrived, all, err)
			}
			a := must[*Account](t)(accounts.Load(t.Context(), "1"))
			if a.Balance != 111 || calls != 4 {
				t.Errorf("%s, arrived %v: balance %d, %d calls", name, arrived, a.Balance, calls)
			}
		}
	}
}

// When it cannot be found out, the caller hears so, and a command can be repeated.
func TestUnknownForLong(t *testing.T) {
	for _, arrived := range []bool{true, false} {
		store, f := newStore(t)
		accounts := Accounts.Repository(store)
		must[aggregate.Result](t)(accounts.Create(t.Context(), "1", deposit(100)))
		command := aggregate.CommandID("c")
		if arrived {
			f.lose(100, unknown)
		} else {
			f.beforeAppend = unknown
		}
		_, err := accounts.Update(t.Context(), "1", deposit(10), command)
		var u *es.UnknownOutcomeError
		if !errors.As(err, &u) || !errors.Is(err, es.ErrUnknownOutcome) {
			t.Fatalf("arrived %v: %v", arrived, err)
		}
		_, err = accounts.Delete(t.Context(), "0", es.Tombstone)
		if !errors.Is(err, es.ErrStreamNotFound) {
			t.Error(err)
		}
		f.beforeAppend, f.afterAppend = nil, nil
		res, err := accounts.Update(t.Context(), "1", deposit(10), command)
		if err != nil || res.Repeated != arrived || res.First != 2 {
			t.Errorf("arrived %v: %+v, %v", arrived, res, err)
		}
		if _, err := u.Resend(t.Context()); err != nil {
			t.Errorf("arrived %v: resend: %v", arrived, err)
		}
		if a := must[*Account](t)(accounts.Load(t.Context(), "1")); a.Balance != 110 || a.Version() != 2 {
			t.Errorf("arrived %v: balance %d at version %d", arrived, a.Balance, a.Version())
		}
	}
}

// What certainly was not written stays pending, and more can be raised beside it.
func TestCertainFailures(t *testing.T) {
	small := driver.Caps{MaxStreams: 10, PositionOnAppend: true, Gapless: true, FilterFeed: true, MaxAppendEvents: 1}
	store, f := newStoreWith(t, &faulty{caps: &small})
	accounts := Accounts.Repository(store)
	a := Accounts.New("1")
	a.Deposit(1)
	a.Deposit(2)
	if _, err := accounts.Save(t.Context(), a); !errors.Is(err, es.ErrTooLarge) {
		t.Errorf("two events: %v", err)
	}
	if _, err := accounts.Create(t.Context(), "2", func(a *Account) error { return errors.Join(a.Deposit(1), a.Deposit(2)) }); !errors.Is(err, es.ErrTooLarge) {
		t.Errorf("create: %v", err)
	}
	if len(Accounts.Pending(a)) != 2 || f.appends != 0 {
		t.Errorf("%d are pending, %d were appended", len(Accounts.Pending(a)), f.appends)
	}
	large, lf := newStore(t)
	a.Deposit(3)
	res, err := Accounts.Repository(large).Save(t.Context(), a) // it is not tied to one store
	if err != nil || res.First != 1 || res.Last != 3 || len(records(t, large, "account-1")) != 3 || lf.appends != 1 {
		t.Errorf("another store: %+v, %v, %d appends", res, err, lf.appends)
	}
}

// A delete is sent again as well.
func TestDeleteAgain(t *testing.T) {
	store, f := newStore(t)
	accounts := Accounts.Repository(store)
	must[aggregate.Result](t)(accounts.Create(t.Context(), "1", deposit(100)))
	f.loseDeletes = 2
	res, err := accounts.Delete(t.Context(), "1", es.Tombstone)
	if err != nil || res.Last != 2 || res.Version != 2 {
		t.Errorf("%+v, %v", res, err)
	}
	must[aggregate.Result](t)(accounts.Create(t.Context(), "2", deposit(100)))
	f.loseDeletes = 100
	if _, err := accounts.Delete(t.Context(), "2", es.Tombstone); !errors.Is(err, es.ErrUnknownOutcome) {
		t.Errorf("lost for good: %v", err)
	}
}

// Once a write may be stored, what becomes of the next request says nothing of it: the
// caller, who would do it again after any other error, hears that the outcome is unknown.
func TestUnknownThenOthers(t *testing.T) {
	for name, then := range map[string]func(cancel func()) error{
		"the database is away":   func(func()) error { return driver.Transient(errors.New("es: refused")) },
		"the store is closed":    func(func()) error { return es.ErrClosed },
		"the context has ended":  func(cancel func()) error { cancel(); return context.Canceled },
		"a conflict that passes": func(func()) error { return &es.ConflictError{Stream: "account-1", Expected: 1, Actual: 0} },
	} {
		for _, op := range []string{"update", "atomically", "delete"} {
			drv := &faulty{}
			store, f := newStoreWith(t, drv, es.RetryFor(0))
			accounts := Accounts.Repository(store)
			must[aggregate.Result](t)(accounts.Create(t.Context(), "1", deposit(100)))
			ctx, cancel := context.WithCancel(t.Context())
			sent, calls := 0, 0
			f.beforeAppend = func(driver.AppendRequest) error {
				if sent++; sent > 1 {
					return then(cancel)
				}
				return nil
			}
			f.lose(1, unknown)
			f.beforeDelete = func() error { return f.beforeAppend(driver.AppendRequest{}) }
			f.loseDeletes = 1
			count := func(a *Account) error { calls++; return a.Deposit(10) }
			var err error
			switch op {
			case "update":
				_, err = accounts.Update(ctx, "1", count)
			case "atomically":
				_, err = aggregate.Atomically(ctx, store, func(tx *aggregate.Tx) error {
					a, err := aggregate.Get(tx, Accounts, "1")
					if err != nil {
						return err
					}
					return count(a)
				})
			case "delete":
				_, err = accounts.Delete(ctx, "1", es.Tombstone)
			}
			cancel()
			if !errors.Is(err, es.ErrUnknownOutcome) || es.IsTransient(err) || errors.Is(err, es.ErrConflict) || errors.Is(err, es.ErrClosed) || calls > 1 || sent < 2 {
				t.Errorf("%s, then %s: %v (%d calls, sent %d times)", op, name, err, calls, sent)
			}
		}
	}
}
