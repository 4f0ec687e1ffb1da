package es_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"strings"
	"time"

	"github.com/go-es/es"
	_ "github.com/go-es/es/drivers/memory"
)

type Opened struct{ Owner string }

func (Opened) EventType() string { return "account.opened" }

type Deposited struct{ Amount int }

func (Deposited) EventType() string { return "account.deposited" }

type Withdrawn struct{ Amount int }

func (Withdrawn) EventType() string { return "account.withdrawn" }

func openStore() *es.Store {
	store, err := es.Open("memory", "")
	if err != nil {
		log.Fatal(err)
	}
	return store
}

func Example() {
	store, err := es.Open("memory", "") // or "sqlite", "bank.db"
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()
	ctx := context.Background()

	if _, err := store.Append(ctx, "account-42", es.NoStream, Opened{"Ada"}, Deposited{100}, Deposited{20}); err != nil {
		log.Fatal(err)
	}

	balance := 0
	for rec, err := range store.Read(ctx, "account-42") {
		if err != nil {
			log.Fatal(err)
		}
		switch rec.Type {
		case "account.opened":
			e, err := es.As[Opened](rec)
			if err != nil {
				log.Fatal(err)
			}
			fmt.Println("opened by", e.Owner)
		case "account.deposited":
			e, err := es.As[Deposited](rec)
			if err != nil {
				log.Fatal(err)
			}
			balance += e.Amount
		}
	}
	fmt.Println("balance:", balance)
	// Output:
	// opened by Ada
	// balance: 120
}

// Of two that decide at the same version one wins; the other decides anew.
func ExampleStore_Append_conflict() {
	store := openStore()
	defer store.Close()
	ctx := context.Background()

	if _, err := store.Append(ctx, "account-42", es.NoStream, Opened{"Ada"}); err != nil {
		log.Fatal(err)
	}
	version := es.Version(1) // what we have read
	if _, err := store.Append(ctx, "account-42", es.Exactly(version), Deposited{100}); err != nil {
		log.Fatal(err) // this is another
	}

	for {
		_, err := store.Append(ctx, "account-42", es.Exactly(version), Withdrawn{30})
		var conflict *es.ConflictError
		if errors.As(err, &conflict) {
			fmt.Printf("%s moved on: read from %d and decide again\n", conflict.Stream, version+1)
			for rec, err := range store.Read(ctx, "account-42", es.From(version+1)) {
				if err != nil {
					log.Fatal(err)
				}
				version = rec.Version
			}
			continue
		}
		if err != nil {
			log.Fatal(err)
		}
		break
	}
	fmt.Println(store.Version(ctx, "account-42"))
	// Output:
	// account-42 moved on: read from 2 and decide again
	// 3 <nil>
}

// All or nothing, and only if the limit that was read is still the same: a part
// without events checks its stream.
func ExampleStore_AppendAll() {
	store := openStore()
	defer store.Close()
	ctx := context.Background()

	for _, stream := range []string{"account-1", "account-2", "limits"} {
		if _, err := store.Append(ctx, stream, es.NoStream, Opened{"Ada"}); err != nil {
			log.Fatal(err)
		}
	}
	out, err := store.AppendAll(ctx,
		es.To("account-1", 1, Withdrawn{30}),
		es.To("account-2", es.Exists, Deposited{30}),
		es.To("limits", 1),
	)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("account-1 is at", out[0].Last)
	fmt.Println("account-2 is at", out[1].Last)

	_, err = store.AppendAll(ctx,
		es.To("account-1", 2, Withdrawn{30}),
		es.To("account-2", 1, Deposited{30}),
	)
	fmt.Println(err)
	fmt.Println(store.Version(ctx, "account-1"))
	// Output:
	// account-1 is at 2
	// account-2 is at 2
	// es: conflict: stream "account-2" is at version 2, expected: version 1
	// 2 <nil>
}

// Everything in the store, in one order, to its end.
func ExampleStore_ReadAll() {
	store := openStore()
	defer store.Close()
	ctx := context.Background()

	for stream, events := range map[string][]es.Event{"account-1": {Opened{"Ada"}, Deposited{5}}, "account-2": {Opened{"Bob"}, Deposited{7}}} {
		if _, err := store.Append(ctx, stream, es.NoStream, events...); err != nil {
			log.Fatal(err)
		}
	}
	total := 0
	for rec, err := range store.ReadAll(ctx, es.Types("account.deposited"), es.Prefixes("account-")) {
		if err != nil {
			log.Fatal(err)
		}
		e, err := es.As[Deposited](rec)
		if err != nil {
			log.Fatal(err)
		}
		total += e.Amount
	}
	fmt.Println(total)
	// Output: 12
}

// A subscription goes on where it stopped: its checkpoint is kept in the store.
func ExampleStore_Subscribe() {
	store := openStore()
	defer store.Close()
	ctx := context.Background()

	follow := func(n int) {
		cp, err := store.Checkpoint(ctx, "printer")
		if err != nil {
			log.Fatal(err)
		}
		for rec, err := range store.Subscribe(ctx, es.Resume(cp)) {
			if err != nil {
				log.Fatal(err)
			}
			fmt.Printf("%d: %s\n", rec.Position, rec.Type)
			if cp, err = store.SaveCheckpoint(ctx, rec.Seen(cp)); err != nil {
				log.Fatal(err)
			}
			if n--; n == 0 {
				break
			}
		}
	}

	if _, err := store.Append(ctx, "account-42", es.NoStream, Opened{"Ada"}, Deposited{100}); err != nil {
		log.Fatal(err)
	}
	follow(2)
	go store.Append(ctx, "account-42", es.Exists, Withdrawn{30}) // comes while it waits
	follow(1)
	// Output:
	// 1: account.opened
	// 2: account.deposited
	// 3: account.withdrawn
}

// Pages give a batch of events and how far it goes, which are stored together, so
// that neither is ever without the other.
func ExampleStore_Pages() {
	store := openStore()
	defer store.Close()
	ctx := context.Background()

	if _, err := store.Append(ctx, "account-42", es.NoStream, Opened{"Ada"}, Deposited{100}, Deposited{20}, Withdrawn{30}); err != nil {
		log.Fatal(err)
	}
	var view struct { // a table of one's own
		deposits int
		read     es.Checkpoint
	}
	for page, err := range store.Pages(ctx, es.Resume(view.read), es.Types("account.deposited"), es.PageSize(100)) {
		if err != nil {
			log.Fatal(err)
		}
		view.deposits += len(page.Events)
		view.read = page.Checkpoint(view.read)
		if page.CaughtUp {
			break
		}
	}
	fmt.Println(view.deposits, "deposits; read up to", view.read.Position)
	// Output: 2 deposits; read up to 4
}

// What the store otherwise chooses for an event is given with an Envelope;
// metadata for all events of a request is carried by its context.
func ExampleEnvelope() {
	store := openStore()
	defer store.Close()

	ctx := es.WithMetadata(context.Background(), map[string]string{"user": "ada", "ip": "::1"})
	_, err := store.Append(ctx, "account-42", es.NoStream,
		Opened{"Ada"},
		es.Envelope{
			Event:    Deposited{100},
			Time:     time.Date(2024, 5, 6, 7, 8, 9, 0, time.UTC), // when it happened, not when it was told
			Metadata: map[string]string{"user": "bank"},
			Tags:     []string{"imported"},
		})
	if err != nil {
		log.Fatal(err)
	}
	for rec, err := range store.Read(ctx, "account-42", es.From(2)) {
		if err != nil {
			log.Fatal(err)
		}
		meta, err := rec.Metadata()
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(rec.Type, rec.Time.Format(time.DateOnly), meta, rec.Tags)
	}
	// Output: account.deposited 2024-05-06 map[ip:::1 user:bank] [imported]
}

// What is appended in answer to an event says so.
func ExampleRecord_Cause() {
	store := openStore()
	defer store.Close()
	ctx := context.Background()

	if _, err := store.Append(ctx, "account-42", es.NoStream, Opened{"Ada"}); err != nil {
		log.Fatal(err)
	}
	for rec, err := range store.ReadAll(ctx) {
		if err != nil {
			log.Fatal(err)
		}
		if _, err := store.Append(rec.Cause(ctx), "welcome-42", es.NoStream, Deposited{5}); err != nil {
			log.Fatal(err)
		}
	}
	records := map[string]es.Record{}
	for rec, err := range store.ReadAll(ctx) {
		if err != nil {
			log.Fatal(err)
		}
		records[rec.Stream] = rec
	}
	meta, err := records["welcome-42"].Metadata()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(meta[es.CausationID] == records["account-42"].ID.String())
	// Output: true
}

// A stream is closed for good; Purge erases what was in it.
func ExampleStore_Delete() {
	store := openStore()
	defer store.Close()
	ctx := context.Background()

	if _, err := store.Append(ctx, "account-42", es.NoStream, Opened{"Ada"}, Deposited{100}); err != nil {
		log.Fatal(err)
	}
	if _, err := store.Delete(ctx, "account-42", 2, es.Purge); err != nil {
		log.Fatal(err)
	}
	_, err := store.Append(ctx, "account-42", es.Any, Deposited{1})
	fmt.Println(errors.Is(err, es.ErrStreamDeleted), err)

	for rec, err := range store.ReadAll(ctx) { // readers of the feed learn of it
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(rec.Position, rec.Stream, rec.Version, rec.Type)
	}
	// Output:
	// true es: stream deleted: "account-42"
	// 3 account-42 3 $deleted
}

// The connection broke after the append was sent, and nobody knows what became of
// it: sending the very same again decides it, without doing it twice.
func ExampleUnknownOutcomeError_Resend() {
	store := openStore()
	defer store.Close()
	ctx := context.Background()

	deposit := func() (es.Version, error) {
		out, err := store.Append(ctx, "account-42", es.Any, Deposited{100})
		var unknown *es.UnknownOutcomeError
		for errors.As(err, &unknown) && ctx.Err() == nil {
			var parts []es.Appended
			if parts, err = unknown.Resend(ctx); err == nil {
				out = parts[0]
			}
		}
		return out.Last, err
	}
	fmt.Println(deposit())
	// Output: 1 <nil>
}

// Streams are listed by the beginning of their names.
func ExampleStore_Streams() {
	store := openStore()
	defer store.Close()
	ctx := context.Background()

	for _, stream := range []string{"account-1", "order-7", "account-2"} {
		if _, err := store.Append(ctx, stream, es.NoStream, Opened{"Ada"}); err != nil {
			log.Fatal(err)
		}
	}
	for info, err := range store.Streams(ctx, es.Prefix("account-")) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(info.Stream, info.Version)
	}
	// Output:
	// account-1 1
	// account-2 1
}

// An operator wants to know what is slow and what was repeated.
func ExampleWithHooks() {
	store, err := es.Open("memory", "", es.WithHooks(es.Hooks{
		End: func(ctx context.Context, op es.Op, out es.OpResult) {
			fmt.Println(op.Name, op.Stream, "events:", out.Events, "error:", out.Err)
		},
	}))
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()
	ctx := context.Background()
	store.Append(ctx, "account-42", es.NoStream, Opened{"Ada"}, Deposited{100})
	store.Append(ctx, "account-42", es.NoStream, Opened{"Bob"})
	// Output:
	// append account-42 events: 2 error: <nil>
	// append account-42 events: 0 error: es: conflict: stream "account-42" is at version 2, expected: no stream
}

// Renamed had one string, Name, before it had two.
type Renamed struct{ First, Last string }

func (Renamed) EventType() string { return "customer.renamed" }

// UnmarshalJSON is the upcaster: it makes what was stored then what it is now.
func (r *Renamed) UnmarshalJSON(data []byte) error {
	type now Renamed // without this method
	var old struct {
		now
		Name string
	}
	if err := json.Unmarshal(data, &old); err != nil {
		return err
	}
	if *r = Renamed(old.now); old.Name != "" {
		r.First, r.Last, _ = strings.Cut(old.Name, " ")
	}
	return nil
}

// Stored events never change, and Go types do. A type that reads its older forms too
// needs no other change anywhere: not in aggregates, and not in projections.
func Example_upcaster() {
	store := openStore()
	defer store.Close()
	ctx := context.Background()
	old := es.Raw{Type: "customer.renamed", Encoding: "json", Data: []byte(`{"Name":"Ada Lovelace"}`)}
	if _, err := store.Append(ctx, "customer-1", es.NoStream, old, Renamed{"Grace", "Hopper"}); err != nil {
		log.Fatal(err)
	}
	for rec, err := range store.Read(ctx, "customer-1") {
		if err != nil {
			log.Fatal(err)
		}
		e, err := es.As[Renamed](rec)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%s, %s\n", e.Last, e.First)
	}
	// Output:
	// Lovelace, Ada
	// Hopper, Grace
}
