package aggregate_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/go-es/es"
	"github.com/go-es/es/aggregate"
	_ "github.com/go-es/es/drivers/memory"
)

// The account of these examples is in account_test.go.
func Example() {
	ctx := context.Background()
	store, err := es.Open("memory", "")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer store.Close()

	accounts := Accounts.Repository(store)
	res, err := accounts.Create(ctx, "42", func(a *Account) error {
		if err := a.Open("Ada"); err != nil {
			return err
		}
		return a.Deposit(100)
	})
	fmt.Println(res.Version, err)
	res, err = accounts.Update(ctx, "42", func(a *Account) error { return a.Withdraw(30) })
	fmt.Println(res.Version, err)
	_, err = accounts.Update(ctx, "42", func(a *Account) error { return a.Withdraw(300) })
	fmt.Println(err)

	a, err := accounts.Load(ctx, "42")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(a.ID(), a.Owner, a.Balance)
	// Output:
	// 2 <nil>
	// 3 <nil>
	// not enough money
	// 42 Ada 70
}

// A transfer changes two accounts, or none.
func ExampleAtomically() {
	ctx := context.Background()
	store, err := es.Open("memory", "")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer store.Close()
	accounts := Accounts.Repository(store)
	for _, id := range []string{"ada", "bob"} {
		accounts.Create(ctx, id, func(a *Account) error { return errors.Join(a.Open(id), a.Deposit(100)) })
	}

	transfer := func(from, to string, amount int64) error {
		_, err := aggregate.Atomically(ctx, store, func(tx *aggregate.Tx) error {
			a, err := aggregate.Get(tx, Accounts, from)
			if err != nil {
				return err
			}
			b, err := aggregate.Get(tx, Accounts, to)
			if err != nil {
				return err
			}
			if err := a.Withdraw(amount); err != nil {
				return err
			}
			return b.Deposit(amount)
		})
		return err
	}
	fmt.Println(transfer("ada", "bob", 70))
	fmt.Println(transfer("ada", "bob", 70))
	fmt.Println(transfer("ada", "eve", 1))
	for _, id := range []string{"ada", "bob"} {
		a, _ := accounts.Load(ctx, id)
		fmt.Println(id, a.Balance)
	}
	// Output:
	// <nil>
	// not enough money
	// es: get account "eve": stream not found: "account-eve"
	// ada 30
	// bob 170
}

// A message that comes twice withdraws once.
func ExampleCommandID() {
	ctx := context.Background()
	store, err := es.Open("memory", "")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer store.Close()
	accounts := Accounts.Repository(store)
	accounts.Create(ctx, "42", func(a *Account) error { return errors.Join(a.Open("Ada"), a.Deposit(100)) })

	for range 2 {
		res, err := accounts.Update(ctx, "42", func(a *Account) error { return a.Withdraw(60) },
			aggregate.CommandID("message-7"))
		fmt.Println(res.First, res.Repeated, err)
	}
	// Output:
	// 3 false <nil>
	// 3 true <nil>
}

// An order has lines. A line is plain Go: it knows its order, raises events through
// it, and is changed by the order's handlers.
type Order struct {
	aggregate.Root
	lines map[string]*Line
}

type Line struct {
	order    *Order
	sku      string
	quantity int
}

type LineAdded struct {
	SKU      string
	Quantity int
}

type QuantityChanged struct {
	SKU      string
	Quantity int
}

type LineRemoved struct{ SKU string }

func (LineAdded) EventType() string       { return "order.line_added" }
func (QuantityChanged) EventType() string { return "order.quantity_changed" }
func (LineRemoved) EventType() string     { return "order.line_removed" }

var Orders = aggregate.Define("order",
	aggregate.On(func(o *Order, e LineAdded) { o.lines[e.SKU] = &Line{o, e.SKU, e.Quantity} }),
	aggregate.On(func(o *Order, e QuantityChanged) { o.lines[e.SKU].quantity = e.Quantity }),
	aggregate.On(func(o *Order, e LineRemoved) { delete(o.lines, e.SKU) }),
	// A snapshot has no pointers back to the order: they are made anew.
	aggregate.Snapshot("v1",
		func(o *Order) map[string]int {
			state := map[string]int{}
			for sku, l := range o.lines {
				state[sku] = l.quantity
			}
			return state
		},
		func(o *Order, state map[string]int) {
			for sku, n := range state {
				o.lines[sku] = &Line{o, sku, n}
			}
		}),
).Init(func(o *Order) { o.lines = map[string]*Line{} })

var errNoLine = errors.New("no such line")

func (o *Order) Add(sku string, n int) error {
	if l := o.lines[sku]; l != nil {
		return l.SetQuantity(l.quantity + n)
	}
	return o.Raise(LineAdded{sku, n})
}

func (o *Order) Line(sku string) (*Line, error) {
	if l := o.lines[sku]; l != nil {
		return l, nil
	}
	return nil, fmt.Errorf("%w: %s", errNoLine, sku)
}

func (l *Line) SetQuantity(n int) error {
	if n == 0 {
		return l.order.Raise(LineRemoved{l.sku})
	}
	return l.order.Raise(QuantityChanged{l.sku, n})
}

func (o *Order) String() string {
	var lines []string
	for _, sku := range slices.Sorted(maps.Keys(o.lines)) {
		lines = append(lines, fmt.Sprintf("%d×%s", o.lines[sku].quantity, sku))
	}
	return strings.Join(lines, " ")
}

func Example_entities() {
	ctx := context.Background()
	store, err := es.Open("memory", "")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer store.Close()
	orders := Orders.Repository(store)

	orders.Create(ctx, "7", func(o *Order) error {
		return errors.Join(o.Add("pen", 1), o.Add("ink", 2), o.Add("pen", 2), o.Add("pad", 1))
	})
	_, err = orders.Update(ctx, "7", func(o *Order) error {
		ink, err := o.Line("ink")
		if err != nil {
			return err
		}
		return ink.SetQuantity(0)
	})
	fmt.Println(err)
	_, err = orders.Update(ctx, "7", func(o *Order) error {
		_, err := o.Line("ink")
		return err
	})
	fmt.Println(err)
	o, _ := orders.Load(ctx, "7")
	fmt.Println(o.Version(), o)
	before, _ := orders.LoadAt(ctx, "7", 2)
	fmt.Println(before.Version(), before)
	// Output:
	// <nil>
	// no such line: ink
	// 5 1×pad 3×pen
	// 2 2×ink 1×pen
}

// What an aggregate does is tested without a store.
func ExampleDefinition_Given() {
	a := Accounts.Given("42", Opened{"Ada"}, Deposited{100})

	fmt.Println(a.Withdraw(500))
	fmt.Println(a.Withdraw(40))
	fmt.Println(Accounts.Pending(a), a.Balance)
	// Output:
	// not enough money
	// <nil>
	// [{40}] 60
}

// A shipment is another context's: it learns of orders by their events alone.
type Shipment struct {
	aggregate.Root
	planned time.Time
	items   int
}

type ShipmentPlanned struct{ Items int }

func (ShipmentPlanned) EventType() string { return "shipment.planned" }

var Shipments = aggregate.Define("shipment",
	aggregate.OnRecorded(func(s *Shipment, e ShipmentPlanned, rec es.Record) {
		s.items, s.planned = e.Items, rec.Time
	}),
)

// Each order gets one shipment, however often its events are read.
func ExampleOrNew() {
	ctx := context.Background()
	noon := time.Date(2025, 1, 1, 12, 0, 0, 0, time.UTC)
	store, err := es.Open("memory", "", es.WithClock(func() time.Time { return noon }))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer store.Close()
	Orders.Repository(store).Create(ctx, "7", func(o *Order) error { return o.Add("pen", 3) })

	shipments := Shipments.Repository(store)
	for range 2 { // the second run might follow a crash
		for rec, err := range store.ReadAll(ctx, es.Types("order.line_added")) {
			if err != nil {
				fmt.Println(err)
				return
			}
			order, _ := Orders.ID(rec.Stream)
			e, err := es.As[LineAdded](rec)
			if err != nil {
				fmt.Println(err)
				return
			}
			_, err = shipments.Update(rec.Cause(ctx), order,
				func(s *Shipment) error { return s.Raise(ShipmentPlanned{s.items + e.Quantity}) },
				aggregate.OrNew(), aggregate.CommandID(rec.ID.String()))
			if err != nil {
				fmt.Println(err)
				return
			}
		}
	}
	s, _ := shipments.Load(ctx, "7")
	fmt.Println(s.items, s.planned.Format(time.Kitchen), s.Version())
	// Output: 3 12:00PM 1
}
