package aggregate_test

import (
	"fmt"
	"testing"

	"github.com/go-es/es"
	"github.com/go-es/es/aggregate"
)

func BenchmarkLoad(b *testing.B) {
	for _, n := range []int{1, 10, 1000} {
		for _, snapshot := range []bool{false, true} {
			b.Run(fmt.Sprintf("events=%d/snapshot=%v", n, snapshot), func(b *testing.B) {
				store, _ := newStore(b)
				accounts := Accounts.Repository(store)
				if snapshot {
					accounts = Accounts.Repository(store, aggregate.SnapshotEvery(n))
				}
				fill(b, accounts, "1", n)
				b.ReportAllocs()
				for b.Loop() {
					if a, err := accounts.Load(b.Context(), "1"); err != nil || a.Balance != int64(n) {
						b.Fatal(a, err)
					}
				}
			})
		}
	}
}

func BenchmarkRead(b *testing.B) { // what Load cannot be faster than
	store, _ := newStore(b)
	fill(b, Accounts.Repository(store), "1", 1000)
	b.ReportAllocs()
	for b.Loop() {
		n := int64(0)
		for rec, err := range store.Read(b.Context(), "account-1") {
			if err != nil {
				b.Fatal(err)
			}
			e, err := es.As[Deposited](rec)
			if err != nil {
				b.Fatal(err)
			}
			n += e.Amount
		}
		if n != 1000 {
			b.Fatal(n)
		}
	}
}

func BenchmarkUpdate(b *testing.B) {
	for _, name := range []string{"plain", "snapshot", "command"} {
		b.Run(name, func(b *testing.B) {
			store, _ := newStore(b)
			accounts := Accounts.Repository(store, aggregate.SnapshotEvery(100))
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				id, options := fmt.Sprint(i), []aggregate.UpdateOption{aggregate.OrNew()}
				switch name {
				case "snapshot":
					id = "1"
				case "command":
					options = append(options, aggregate.CommandID("c"))
				}
				if _, err := accounts.Update(b.Context(), id, deposit(1), options...); err != nil {
					b.Fatal(err)
				}
				i++
			}
		})
	}
}

func BenchmarkRaise(b *testing.B) {
	store, _ := newStore(b)
	accounts := Accounts.Repository(store)
	a := Accounts.New("1")
	if _, err := accounts.Save(b.Context(), a); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := a.Deposit(1); err != nil {
			b.Fatal(err)
		}
	}
}
