// Customdriver shows a driver of one's own at work: package filestore, which
// keeps events in a file.
//
//	go run ./examples/customdriver [file]
//
// Without a file it works on one that it removes at the end.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/go-es/es"

	_ "github.com/go-es/es/examples/customdriver/filestore" // registers "file"
)

// Placed and Shipped are what happens to an order.
type (
	Placed  struct{ Item string }
	Shipped struct{ Parcel int }
)

// EventType is how the event is stored.
func (Placed) EventType() string { return "order.placed" }

// EventType is how the event is stored.
func (Shipped) EventType() string { return "order.shipped" }

func main() {
	if err := run(context.Background(), os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "customdriver:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	var name string
	switch len(args) {
	case 0:
		dir, err := os.MkdirTemp("", "customdriver")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		name = filepath.Join(dir, "orders.log")
	case 1:
		name = args[0]
	default:
		return errors.New("usage: customdriver [file]")
	}
	if err := sell(ctx, name, out); err != nil {
		return err
	}
	if err := tear(name); err != nil {
		return err
	}
	fmt.Fprintln(out, "the file now ends with a part of an entry, as after a kill")
	return report(ctx, name, out)
}

// sell appends two orders.
func sell(ctx context.Context, name string, out io.Writer) error {
	store, err := es.Open("file", name)
	if err != nil {
		return err
	}
	defer store.Close()
	for i, item := range []string{"lamp", "chair"} {
		order := "order-" + store.NewID().String()
		placed, err := store.Append(ctx, order, es.NoStream, Placed{item})
		if err != nil {
			return err
		}
		if _, err := store.Append(ctx, order, es.Exactly(placed.Last), Shipped{Parcel: i + 1}); err != nil {
			return err
		}
		// Another clerk, who has seen the order before it was shipped.
		_, err = store.Append(ctx, order, es.Exactly(placed.Last), Shipped{Parcel: 100})
		fmt.Fprintf(out, "%s: shipped; once more: conflict is %t\n", item, errors.Is(err, es.ErrConflict))
	}
	return nil
}

// tear leaves behind what a write that did not end does.
func tear(name string) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	_, err = f.Write([]byte("\x60\x00\x00\x00\x05\x00\x00"))
	return errors.Join(err, f.Close())
}

// report reads what is new in the feed since the last report.
func report(ctx context.Context, name string, out io.Writer) error {
	store, err := es.Open("file", name)
	if err != nil {
		return err
	}
	defer store.Close()
	cp, err := store.Checkpoint(ctx, "report")
	if err != nil {
		return err
	}
	for rec, err := range store.ReadAll(ctx, es.Resume(cp)) {
		if err != nil {
			return err
		}
		switch rec.Type {
		case "order.placed":
			e, err := es.As[Placed](rec)
			if err != nil {
				return err
			}
			fmt.Fprintf(out, "%d: placed, a %s\n", rec.Position, e.Item)
		case "order.shipped":
			e, err := es.As[Shipped](rec)
			if err != nil {
				return err
			}
			fmt.Fprintf(out, "%d: shipped as parcel %d\n", rec.Position, e.Parcel)
		}
		cp = rec.Seen(cp)
	}
	_, err = store.SaveCheckpoint(ctx, cp)
	return err
}
