package sqlite_test

import (
	"context"
	"database/sql"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"time"

	"github.com/go-es/es/driver"
	"github.com/go-es/es/drivers/sqlite"
)

// An order and its event are stored together, or neither is.
func ExampleStore_InTx() {
	dir, err := os.MkdirTemp("", "es")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	ctx := context.Background()

	db, err := sql.Open("sqlite3", "file:"+filepath.Join(dir, "shop.db")+"?_txlock=immediate&_synchronous=FULL")
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	store, err := sqlite.New(ctx, db, sqlite.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()
	if _, err := db.Exec("CREATE TABLE orders (id TEXT PRIMARY KEY)"); err != nil {
		log.Fatal(err)
	}

	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer tx.Rollback()
	if _, err := tx.Exec("INSERT INTO orders VALUES ('4711')"); err != nil {
		log.Fatal(err)
	}
	res, err := store.InTx(tx).Append(ctx, driver.AppendRequest{Parts: []driver.Part{{
		Stream:   "order-4711",
		Expected: driver.NoStream,
		Records: []driver.Record{{
			ID: driver.NewID(time.Now()), Type: "order.placed", Encoding: "json", Data: []byte(`{"id":"4711"}`), Time: time.Now(),
		}},
	}}})
	if err != nil {
		log.Fatal(err)
	}
	if err := tx.Commit(); err != nil {
		log.Fatal(err)
	}
	fmt.Println("position", res.Parts[0].Position)
	// Output: position 1
}

func ExampleOpen() {
	store, err := sqlite.Open(context.Background(), sqlite.Config{Path: ":memory:"})
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()
	head, err := store.Head(context.Background())
	fmt.Println(head, err)
	// Output: 0 <nil>
}
