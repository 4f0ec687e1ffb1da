// Package aggregate holds domain objects whose state is made of events.
//
// An aggregate is a struct that embeds a [Root]. A [Definition] says what each
// type of events does to it, one typed line each; methods decide and raise events:
//
//	type Account struct {
//		aggregate.Root
//		Balance int64
//	}
//
//	var Accounts = aggregate.Define("account",
//		aggregate.On(func(a *Account, e Opened) {}),
//		aggregate.On(func(a *Account, e Deposited) { a.Balance += e.Amount }),
//	)
//
//	func (a *Account) Deposit(n int64) error {
//		if n <= 0 {
//			return ErrAmount
//		}
//		return a.Raise(Deposited{n})
//	}
//
// A [Repository] loads and saves the aggregates of one definition in one store:
//
//	accounts := Accounts.Repository(store)
//	res, err := accounts.Update(ctx, "42", func(a *Account) error { return a.Deposit(10) })
//
// # Once, and only once
//
// Events get their ids and their time when they are raised, and leave the
// aggregate only when it is certain that they are stored. If an acknowledgement is
// lost, the same events are sent again, and the store recognises them. For commands
// that may come twice by themselves there is [CommandID].
//
// # Conflicts
//
// Of two that change one aggregate at the same time, one succeeds; the other has a
// conflict. [Repository.Update] then loads it again and calls its function again,
// [Repository.Save] fails. [Atomically] changes several aggregates at once, and is
// never mistaken about those that it only looked at.
//
// # Entities
//
// What lies within an aggregate, such as the lines of an order, is plain Go: values
// that hold a pointer to the aggregate, raise events through it, and are changed by
// its handlers. See the example of an order.
//
// # Handlers
//
// A handler changes the aggregate, and nothing else: it is called when an event is
// raised and each time it is loaded, so it must give the same result always. It has
// no error: what must not happen is refused before the event is raised. It must not
// change what the event holds; from a slice or a map that the aggregate is to
// change later it takes a copy.
package aggregate
