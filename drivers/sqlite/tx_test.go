package sqlite_test

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"testing"

	"github.com/go-es/es/driver"
	"github.com/go-es/es/drivers/sqlite"
)

const txOptions = "?_txlock=immediate&_synchronous=FULL&_busy_timeout=5000"

func TestInTx(t *testing.T) {
	file := newFile(t)
	db := pool(t, "file:"+file+txOptions)
	s, err := sqlite.New(ctx, db, sqlite.Config{})
	must(t, err)
	defer s.Close()
	_, err = db.Exec("CREATE TABLE orders (id)")
	must(t, err)
	appendTo(t, s, "s", driver.NoStream, 2)

	// Committed: the order and the event, or none.
	for _, commit := range []bool{false, true} {
		tx, err := db.Begin()
		must(t, err)
		in := s.InTx(tx)
		_, err = tx.Exec("INSERT INTO orders VALUES (1)")
		must(t, err)
		req := driver.AppendRequest{Parts: []driver.Part{
			{Stream: "s", Expected: 2, Records: records(2, "{}")},
			{Stream: "new", Expected: driver.Any, Records: records(1, "{}")},
		}}
		res, err := in.Append(ctx, req)
		must(t, err)
		if res.Parts[0] != (driver.Appended{First: 3, Last: 4, Position: 4}) || res.Parts[1] != (driver.Appended{First: 1, Last: 1, Position: 5}) {
			t.Errorf("%+v", res)
		}
		if n := len(feed(t, in)); n != 5 {
			t.Errorf("inside, the feed has %d events", n)
		}
		if n := len(feed(t, s)); n != 2 {
			t.Errorf("outside, the feed has %d events", n)
		}
		req.Parts = req.Parts[:1]
		if again, err := in.Append(ctx, req); err != nil || again.Parts[0] != res.Parts[0] {
			t.Errorf("again: %+v, %v", again, err)
		}
		if _, err := in.Append(ctx, one("s", 2, records(1, "{}")...)); !errors.Is(err, driver.ErrConflict) {
			t.Error(err)
		}
		if _, err := in.Append(ctx, one("s", driver.Any, records(1, "{}")...)); err != nil {
			t.Error(err)
		}
		page, err := in.ReadStream(ctx, driver.StreamQuery{Stream: "s", Backward: true, Limit: 2})
		if err != nil || page.Head != 5 || len(page.Records) != 2 || page.Records[0].Version != 5 {
			t.Errorf("%+v, %v", page, err)
		}
		list, err := in.ListStreams(ctx, driver.ListQuery{})
		if err != nil || len(list.Streams) != 2 {
			t.Errorf("%+v, %v", list, err)
		}
		if _, err := in.Delete(ctx, deletion("new", driver.Purge)); err != nil {
			t.Error(err)
		}
		must(t, in.Ping(ctx))
		must(t, in.Close())
		if commit {
			must(t, tx.Commit())
		} else {
			must(t, tx.Rollback())
		}
		if _, err := in.Head(ctx); err == nil {
			t.Error("the transaction is over, and its store is not")
		}
	}
	var orders int
	must(t, db.QueryRow("SELECT count(*) FROM orders").Scan(&orders))
	page, err := s.ReadAll(ctx, driver.FeedQuery{})
	must(t, err)
	if orders != 1 || len(page.Records) != 6 || page.Next != 7 { // 5 is purged
		t.Errorf("%d orders, %d events up to %d", orders, len(page.Records), page.Next)
	}
	if in := s.InTx(nil); in.Caps() != s.Caps() {
		t.Error("other caps")
	}
}

func TestInTxRefuses(t *testing.T) {
	file := newFile(t)
	s := open(t, file)
	appendTo(t, s, "s", driver.NoStream, 1)

	// A connection whose commits do not survive a loss of power.
	tx, err := pool(t, "file:"+file+"?_txlock=immediate&_synchronous=NORMAL").Begin()
	must(t, err)
	_, err = s.InTx(tx).Append(ctx, one("s", 1, records(1, "{}")...))
	if err == nil || !strings.Contains(err.Error(), "synchronous") || !strings.Contains(err.Error(), "_sync=full") {
		t.Error(err)
	}
	must(t, tx.Rollback())

	// Where the store does not promise that either, it is enough.
	loose := open(t, file+"?sync=normal")
	tx, err = pool(t, "file:"+file+"?_txlock=immediate&_synchronous=NORMAL").Begin()
	must(t, err)
	_, err = loose.InTx(tx).Append(ctx, one("other", driver.Any, records(1, "{}")...))
	must(t, err)
	must(t, tx.Rollback())

	// A transaction that began to read before another wrote.
	tx, err = pool(t, "file:"+file+"?_synchronous=FULL").Begin()
	must(t, err)
	if n := len(feed(t, s.InTx(tx))); n != 1 {
		t.Errorf("%d events", n)
	}
	appendTo(t, s, "s", 1, 1)
	_, err = s.InTx(tx).Append(ctx, one("s", driver.Any, records(1, "{}")...))
	if err == nil || driver.IsTransient(err) || !strings.Contains(err.Error(), "BEGIN IMMEDIATE") {
		t.Error(err)
	}
	must(t, tx.Rollback())

	// A context that has ended.
	tx, err = pool(t, "file:"+file+txOptions).Begin()
	must(t, err)
	ended, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := s.InTx(tx).Append(ended, one("s", driver.Any, records(1, "{}")...)); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	must(t, tx.Commit())
	if n := len(feed(t, s)); n != 2 {
		t.Errorf("%d events", n)
	}
}

// SQLite ends a transaction by itself when some statements fail, and database/sql does
// not notice: nothing is stored then that a rollback would not take away.
func TestInTxThatSQLiteEnded(t *testing.T) {
	file := newFile(t)
	s := open(t, file)
	db := pool(t, "file:"+file+txOptions)
	_, err := db.Exec("CREATE TABLE orders (id PRIMARY KEY)")
	must(t, err)
	tx, err := db.Begin()
	must(t, err)
	in := s.InTx(tx)
	_, err = in.Append(ctx, one("a", driver.Any, records(1, "{}")...))
	must(t, err)
	_, err = tx.Exec("INSERT INTO orders VALUES (1)")
	must(t, err)
	if _, err = tx.Exec("INSERT OR ROLLBACK INTO orders VALUES (1)"); err == nil {
		t.Fatal("it did not fail")
	}
	for range 2 {
		if _, err = in.Append(ctx, one("a", driver.Any, records(18, "{}")...)); !errors.Is(err, sql.ErrTxDone) {
			t.Errorf("an append: %v", err)
		}
	}
	if _, err = in.Head(ctx); !errors.Is(err, sql.ErrTxDone) {
		t.Errorf("Head: %v", err)
	}
	tx.Rollback()
	if n := len(feed(t, s)); n != 0 {
		t.Errorf("%d events were stored", n)
	}
}

// Inside a transaction nothing is to be tried again.
func TestInTxBehindALock(t *testing.T) {
	file := newFile(t)
	s := open(t, file)
	holder, err := pool(t, "file:"+file+txOptions).Begin()
	must(t, err)
	defer holder.Rollback()
	tx, err := pool(t, "file:"+file+"?_synchronous=FULL&_busy_timeout=10").Begin()
	must(t, err)
	defer tx.Rollback()
	if _, err = s.InTx(tx).Append(ctx, one("a", driver.Any, records(1, "{}")...)); err == nil || driver.IsTransient(err) {
		t.Errorf("%v", err)
	}
}
