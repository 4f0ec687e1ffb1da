package benchtest

import (
	"github.com/go-es/es/aggregate"
)

// Deposited is an event of 190 bytes of JSON.
type Deposited struct {
	Account   string `json:"account"`
	Amount    int64  `json:"amount"`
	Currency  string `json:"currency"`
	Reference string `json:"reference"`
	Note      string `json:"note"`
}

// EventType is the name that both store.
func (Deposited) EventType() string { return "account.deposited" }

func deposit(i int) Deposited {
	return Deposited{"4b2c8a6e-0000", int64(i), "EUR", "invoice 2024-0117", "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijklm"}
}

// account is an aggregate of deposits.
type account struct {
	aggregate.Root
	total
}

// total is what a reader makes of the events.
type total struct {
	Amount int64
	Events int
}

func (t *total) add(e *Deposited) {
	t.Amount += e.Amount
	t.Events++
}

var accounts = aggregate.Define("account",
	aggregate.On(func(a *account, e Deposited) { a.add(&e) }),
	aggregate.Snapshot("v1",
		func(a *account) total { return a.total },
		func(a *account, t total) { a.total = t }),
)
