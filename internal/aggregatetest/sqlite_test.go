package aggregatetest

import (
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"testing"

	"github.com/go-es/es"
	"github.com/go-es/es/aggregate"
	"github.com/go-es/es/drivers/sqlite"
)

type Account struct {
	aggregate.Root
	Balance int64
}

type Deposited struct{ Amount int64 }

type Withdrawn struct{ Amount int64 }

func (Deposited) EventType() string { return "account.deposited" }
func (Withdrawn) EventType() string { return "account.withdrawn" }

var Accounts = aggregate.Define("account",
	aggregate.On(func(a *Account, e Deposited) { a.Balance += e.Amount }),
	aggregate.On(func(a *Account, e Withdrawn) { a.Balance -= e.Amount }),
	aggregate.Snapshot("v1", func(a *Account) int64 { return a.Balance }, func(a *Account, s int64) { a.Balance = s }),
)

var errFunds = errors.New("not enough money")

func deposit(n int64) func(*Account) error {
	return func(a *Account) error { return a.Raise(Deposited{n}) }
}

func (a *Account) withdraw(n int64) error {
	if n > a.Balance {
		return errFunds
	}
	return a.Raise(Withdrawn{n})
}

func open(t *testing.T, path string) *es.Store {
	t.Helper()
	s, err := es.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func balance(t *testing.T, s *es.Store, id string) int64 {
	t.Helper()
	a, err := Accounts.Repository(s).Load(t.Context(), id)
	if errors.Is(err, es.ErrStreamNotFound) {
		return 0
	}
	if err != nil {
		t.Fatal(err)
	}
	return a.Balance
}

// Several stores on one file, as in several processes: no change is lost, none
// happens twice, and the money stays as much as it was.
func TestManyStores(t *testing.T) {
	path := filepath.Join(t.TempDir(), "bank.db")
	const stores, writers, each, accounts = 2, 2, 8, 3
	var wg sync.WaitGroup
	for i := range stores {
		store := open(t, path)
		repo := Accounts.Repository(store, aggregate.SnapshotEvery(5), aggregate.OnSnapshotError(func(err error) { t.Error(err) }))
		for w := range writers {
			wg.Go(func() {
				for n := range each {
					id := fmt.Sprint(n % accounts)
					command := aggregate.CommandID(fmt.Sprint(w, n)) // of both stores
					if _, err := repo.Update(t.Context(), id, deposit(10), aggregate.OrNew(), command); err != nil {
						t.Error(err)
					}
					_, err := aggregate.Atomically(t.Context(), store, func(tx *aggregate.Tx) error {
						from, err := aggregate.Get(tx, Accounts, id)
						if err != nil {
							return err
						}
						to, err := aggregate.GetOrNew(tx, Accounts, fmt.Sprint((n+1)%accounts))
						if err != nil {
							return err
						}
						return errors.Join(from.withdraw(3), deposit(3)(to))
					}, aggregate.SnapshotEvery(5))
					if err != nil && !errors.Is(err, errFunds) {
						t.Error(i, err)
					}
				}
			})
		}
	}
	wg.Wait()
	after := open(t, path)
	sum := int64(0)
	for i := range accounts {
		sum += balance(t, after, fmt.Sprint(i))
	}
	if sum != writers*each*10 {
		t.Errorf("there is %d, want %d", sum, writers*each*10)
	}
	res, err := Accounts.Repository(after).Update(t.Context(), "0", deposit(10), aggregate.CommandID("0 0"))
	if err != nil || !res.Repeated {
		t.Errorf("a repeat after the restart: %+v, %v", res, err)
	}
}

// Repositories and Atomically work in a transaction of the caller's, beside its own
// tables.
func TestInTx(t *testing.T) {
	ctx := t.Context()
	db, err := sql.Open("sqlite3", "file:"+filepath.Join(t.TempDir(), "bank.db")+"?_txlock=immediate&_synchronous=FULL")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	driver, err := sqlite.New(ctx, db, sqlite.Config{})
	if err != nil {
		t.Fatal(err)
	}
	store, err := es.New(driver)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	if _, err := db.Exec("CREATE TABLE balances (id TEXT PRIMARY KEY, amount INTEGER)"); err != nil {
		t.Fatal(err)
	}
	// in runs f in a transaction, which is committed unless f fails.
	in := func(f func(s *es.Store, tx *sql.Tx) error) error {
		tx, err := db.BeginTx(ctx, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer tx.Rollback()
		if err := f(store.With(driver.InTx(tx)), tx); err != nil {
			return err
		}
		return tx.Commit()
	}
	change := func(n int64, fail error) error {
		return in(func(s *es.Store, tx *sql.Tx) error {
			accounts := Accounts.Repository(s, aggregate.SnapshotEvery(1))
			if _, err := accounts.Update(ctx, "1", deposit(n), aggregate.OrNew()); err != nil {
				return err
			}
			a, err := accounts.Load(ctx, "1") // what the transaction itself wrote
			if err != nil {
				return err
			}
			if _, err := tx.Exec("INSERT INTO balances VALUES ('1', ?) ON CONFLICT DO UPDATE SET amount = excluded.amount", a.Balance); err != nil {
				return err
			}
			return fail
		})
	}
	check := func(what string, want int64) {
		t.Helper()
		var amount int64
		if err := db.QueryRow("SELECT coalesce(max(amount), 0) FROM balances WHERE id = '1'").Scan(&amount); err != nil {
			t.Fatal(err)
		}
		if got := balance(t, store, "1"); got != want || amount != want {
			t.Errorf("%s: balance %d, in the table %d, want %d", what, got, amount, want)
		}
	}
	mine := errors.New("mine")
	for _, row := range []struct {
		name string
		n    int64
		fail error
		want int64
	}{
		{"rolled back, new", 5, mine, 0},
		{"committed, new", 10, nil, 10},
		{"rolled back", 5, mine, 10},
		{"committed", 7, nil, 17},
	} {
		if err := change(row.n, row.fail); err != row.fail {
			t.Errorf("%s: %v", row.name, err)
		}
		check(row.name, row.want)
	}
	if snap, ok, err := store.LoadSnapshot(ctx, "account-1", "account/v1"); err != nil || ok {
		t.Errorf("a snapshot was taken in a transaction: %+v, %v", snap, err)
	}

	move := func(fail error) error {
		return in(func(s *es.Store, tx *sql.Tx) error {
			_, err := aggregate.Atomically(ctx, s, func(tx *aggregate.Tx) error {
				from, err := aggregate.Get(tx, Accounts, "1")
				if err != nil {
					return err
				}
				to, err := aggregate.GetOrNew(tx, Accounts, "2")
				return errors.Join(err, from.withdraw(7), deposit(7)(to))
			})
			return errors.Join(err, fail)
		})
	}
	for _, row := range []struct {
		fail     error
		one, two int64
	}{{mine, 17, 0}, {nil, 10, 7}} {
		if err := move(row.fail); !errors.Is(err, row.fail) {
			t.Error(err)
		}
		if one, two := balance(t, store, "1"), balance(t, store, "2"); one != row.one || two != row.two {
			t.Errorf("atomically: %d and %d, want %d and %d", one, two, row.one, row.two)
		}
	}

	// A conflict is the caller's, who rolls back.
	stale, err := Accounts.Repository(store).Load(ctx, "1")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Accounts.Repository(store).Update(ctx, "1", deposit(1)); err != nil {
		t.Fatal(err)
	}
	deposit(100)(stale)
	err = in(func(s *es.Store, tx *sql.Tx) error {
		_, err := Accounts.Repository(s).Save(ctx, stale)
		return err
	})
	if !errors.Is(err, es.ErrConflict) {
		t.Errorf("a stale aggregate in a transaction: %v", err)
	}
	if got := balance(t, store, "1"); got != 11 {
		t.Errorf("balance %d", got)
	}
}
