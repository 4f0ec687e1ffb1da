package aggregate_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"

	"github.com/go-es/es"
	"github.com/go-es/es/aggregate"
	"github.com/go-es/es/driver"
	"github.com/go-es/es/drivers/memory"
)

type Opened struct{ Owner string }

type Deposited struct{ Amount int64 }

type Withdrawn struct{ Amount int64 }

func (Opened) EventType() string    { return "account.opened" }
func (Deposited) EventType() string { return "account.deposited" }
func (Withdrawn) EventType() string { return "account.withdrawn" }

type Account struct {
	aggregate.Root
	Owner   string
	Balance int64
}

type accountState struct {
	Owner   string
	Balance int64
}

var Accounts = aggregate.Define("account",
	aggregate.On(func(a *Account, e Opened) { a.Owner = e.Owner }),
	aggregate.On(func(a *Account, e Deposited) { a.Balance += e.Amount }),
	aggregate.On(func(a *Account, e Withdrawn) { a.Balance -= e.Amount }),
	aggregate.Snapshot("v1",
		func(a *Account) accountState { return accountState{a.Owner, a.Balance} },
		func(a *Account, s accountState) { a.Owner, a.Balance = s.Owner, s.Balance }),
)

var errFunds = errors.New("not enough money")

func (a *Account) Open(owner string) error { return a.Raise(Opened{owner}) }

func (a *Account) Deposit(n int64) error { return a.Raise(Deposited{n}) }

func (a *Account) Withdraw(n int64) error {
	if n > a.Balance {
		return errFunds
	}
	return a.Raise(Withdrawn{n})
}

func deposit(n int64) func(*Account) error {
	return func(a *Account) error { return a.Deposit(n) }
}

// newStore returns a store over memory, and what can go wrong with it.
func newStore(t testing.TB, opts ...es.Option) (*es.Store, *faulty) {
	t.Helper()
	return newStoreWith(t, &faulty{}, opts...)
}

func newStoreWith(t testing.TB, f *faulty, opts ...es.Option) (*es.Store, *faulty) {
	t.Helper()
	f.Store = memory.New()
	s, err := es.New(f, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s, f
}

// faulty is a driver's store with whose calls one can interfere. It has the
// snapshots of the store in it, and counts what it does.
type faulty struct {
	*memory.Store

	mu           sync.Mutex
	appends      int // that reached the store in it
	read         int // records
	reads        int // calls
	beforeAppend func(driver.AppendRequest) error
	afterAppend  func(driver.AppendRequest) error // the append was made
	caps         *driver.Caps
	beforeSave   func(driver.Snapshot) error
	beforeDelete func() error
	loseDeletes  int
	dropVersion  driver.Version // is not read
}

func (f *faulty) Caps() driver.Caps {
	if f.caps != nil {
		return *f.caps
	}
	return f.Store.Caps()
}

func call[T any](f *faulty, hook func(T) error, v T) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if hook == nil {
		return nil
	}
	return hook(v)
}

func (f *faulty) Append(ctx context.Context, req driver.AppendRequest) (driver.AppendResult, error) {
	if err := call(f, f.beforeAppend, req); err != nil {
		return driver.AppendResult{}, err
	}
	res, err := f.Store.Append(ctx, req)
	if err != nil {
		return res, err
	}
	f.mu.Lock()
	f.appends++
	f.mu.Unlock()
	if err := call(f, f.afterAppend, req); err != nil {
		return driver.AppendResult{}, err
	}
	return res, nil
}

func (f *faulty) AppendGroup(ctx context.Context, reqs []driver.AppendRequest) []driver.Outcome {
	outs := make([]driver.Outcome, len(reqs))
	for i := range reqs {
		outs[i].Result, outs[i].Err = f.Append(ctx, reqs[i])
	}
	return outs
}

func (f *faulty) ReadStream(ctx context.Context, q driver.StreamQuery) (driver.StreamPage, error) {
	page, err := f.Store.ReadStream(ctx, q)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.reads++
	f.read += len(page.Records)
	if f.dropVersion > 0 {
		page.Records = slices.DeleteFunc(page.Records, func(r driver.Record) bool { return r.Version == f.dropVersion })
	}
	return page, err
}

func (f *faulty) Delete(ctx context.Context, req driver.DeleteRequest) (driver.Appended, error) {
	if f.beforeDelete != nil {
		if err := f.beforeDelete(); err != nil {
			return driver.Appended{}, err
		}
	}
	out, err := f.Store.Delete(ctx, req)
	if f.loseDeletes--; err == nil && f.loseDeletes >= 0 {
		v := out.First - 1
		return driver.Appended{}, &driver.UnknownOutcomeError{Parts: []driver.UnknownPart{{Stream: req.Stream, Base: v}}, Err: errors.New("connection lost")}
	}
	return out, err
}

func (f *faulty) SaveSnapshot(ctx context.Context, s driver.Snapshot) error {
	if err := call(f, f.beforeSave, s); err != nil {
		return err
	}
	return f.Store.SaveSnapshot(ctx, s)
}

// unknown is what a driver says when it lost the acknowledgement of an append.
func unknown(req driver.AppendRequest) error {
	e := &driver.UnknownOutcomeError{Err: errors.New("connection lost")}
	for _, p := range req.Parts {
		if v, ok := p.Expected.Exact(); ok && len(p.Records) > 0 {
			e.Parts = append(e.Parts, driver.UnknownPart{Stream: p.Stream, Base: v})
		}
	}
	return e
}

// lose makes the next n appends lose their acknowledgement.
func (f *faulty) lose(n int, lost func(driver.AppendRequest) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.afterAppend = func(req driver.AppendRequest) error {
		if n--; n < 0 {
			return nil
		}
		return lost(req)
	}
}

func must[T any](t testing.TB) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// records returns the records of a stream.
func records(t testing.TB, s *es.Store, stream string) []es.Record {
	t.Helper()
	var all []es.Record
	for rec, err := range s.Read(context.Background(), stream) {
		if errors.Is(err, es.ErrStreamNotFound) {
			return nil
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, rec)
	}
	return all
}

func text(err error) string {
	if err == nil {
		return "<nil>"
	}
	return err.Error()
}
