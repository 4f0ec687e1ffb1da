package memory_test

import (
	"context"
	"fmt"
	"time"

	"github.com/go-es/es/driver"
	"github.com/go-es/es/drivers/memory"
)

func ExampleNew() {
	store := memory.New()
	defer store.Close()

	ctx := context.Background()
	_, err := store.Append(ctx, driver.AppendRequest{Parts: []driver.Part{{
		Stream:   "account-42",
		Expected: driver.NoStream,
		Records: []driver.Record{{
			ID:       driver.NewID(time.Now()),
			Type:     "account.opened",
			Encoding: "json",
			Data:     []byte(`{"owner":"Ada"}`),
			Time:     time.Now(),
		}},
	}}})
	if err != nil {
		fmt.Println(err)
		return
	}
	page, err := store.ReadStream(ctx, driver.StreamQuery{Stream: "account-42"})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, r := range page.Records {
		fmt.Printf("%s/%d at %d: %s %s\n", r.Stream, r.Version, r.Position, r.Type, r.Data)
	}
	// Output: account-42/1 at 1: account.opened {"owner":"Ada"}
}

// Two stores that are opened with one name share their data.
func Example_shared() {
	d, _ := driver.Lookup("memory")
	ctx := context.Background()
	writer, err := d.Open(ctx, "orders")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer writer.Close()
	reader, err := d.Open(ctx, "orders")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer reader.Close()

	_, err = writer.Append(ctx, driver.AppendRequest{Parts: []driver.Part{{
		Stream:   "order-7",
		Expected: driver.Any,
		Records:  []driver.Record{{ID: driver.NewID(time.Now()), Type: "order.placed", Encoding: "json", Time: time.Now()}},
	}}})
	if err != nil {
		fmt.Println(err)
		return
	}
	head, _ := reader.Head(ctx)
	fmt.Println(head)
	// Output: 1
}
