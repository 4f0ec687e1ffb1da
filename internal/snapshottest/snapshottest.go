// Package snapshottest counts what loading an aggregate with a snapshot costs on a
// database that is reached by requests.
package snapshottest

import (
	"sync"
	"testing"
	"time"

	"github.com/go-es/es"
	"github.com/go-es/es/aggregate"
)

// Requests are told of each request of a client.
type Requests struct {
	mu    sync.Mutex
	ops   []string
	all   chan struct{} // closed when as many have begun as are wanted
	want  int           // 0: they are only counted
	alone bool          // one waited in vain
}

// Begin is called at the beginning of a request, in the goroutine that makes it. It
// may wait there for another one to begin.
func (r *Requests) Begin(op string) {
	r.mu.Lock()
	r.ops = append(r.ops, op)
	all := r.all
	if len(r.ops) == r.want {
		close(all)
	}
	r.mu.Unlock()
	if all != nil {
		select {
		case <-all:
		case <-time.After(10 * time.Second): // they are made one after the other
			r.mu.Lock()
			r.alone = true
			r.mu.Unlock()
		}
	}
}

func (r *Requests) expect(want int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ops, r.want, r.all, r.alone = nil, want, nil, false
	if want > 0 {
		r.all = make(chan struct{})
	}
}

// begun returns which requests have begun, and whether all that were wanted had
// before one ended.
func (r *Requests) begun() (ops []string, together bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.ops, len(r.ops) >= r.want && !r.alone
}

type deposited struct{ Amount int }

func (deposited) EventType() string { return "account.deposited" }

type account struct {
	aggregate.Root
	balance int
}

var accounts = aggregate.Define("account",
	aggregate.On(func(a *account, e deposited) { a.balance += e.Amount }),
	aggregate.Snapshot("v1", func(a *account) int { return a.balance }, func(a *account, balance int) { a.balance = balance }),
)

// Run loads an aggregate whose snapshot ends within an append, with events after it.
// The first load of a client asks for the snapshot, and then makes at most two requests
// for the events, for the append that it is in has to be found. Each later one is two
// requests at the same time. The reader is a client of its own, of which r is told.
func Run(t testing.TB, r *Requests, writer, reader *es.Store) {
	t.Helper()
	deposit := func(n int, settings ...aggregate.Setting) {
		_, err := accounts.Repository(writer, settings...).Update(t.Context(), "1", func(a *account) error {
			for range n {
				if err := a.Raise(deposited{1}); err != nil {
					return err
				}
			}
			return nil
		}, aggregate.OrNew())
		if err != nil {
			t.Fatal(err)
		}
	}
	load := func(want int) {
		a, err := accounts.Repository(reader, aggregate.OnSnapshotError(func(err error) { t.Error(err) })).Load(t.Context(), "1")
		if err != nil {
			t.Fatal(err)
		}
		if a.balance != want {
			t.Errorf("the balance is %d, want %d", a.balance, want)
		}
	}
	for range 3 {
		deposit(5, aggregate.SnapshotEvery(15))
	}
	deposit(1)
	deposit(2)
	r.expect(0)
	load(18)
	if ops, _ := r.begun(); len(ops) > 3 {
		t.Errorf("the first load took %d requests: %v", len(ops), ops)
	}
	for range 3 {
		r.expect(2)
		load(18)
		if ops, together := r.begun(); len(ops) != 2 || !together {
			t.Errorf("a load took %d requests, together: %v: %v", len(ops), together, ops)
		}
	}
}
