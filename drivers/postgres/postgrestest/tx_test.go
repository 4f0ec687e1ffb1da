package postgrestest

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/go-es/es"
	"github.com/go-es/es/driver"
)

// withTables makes an application's own table beside the store.
func withTable(t *testing.T, p pooled) (name string) {
	t.Helper()
	name = table(p.dsn, "positions") + "_app"
	_, err := p.pool.Exec(t.Context(), "CREATE TABLE "+name+" (name text PRIMARY KEY, n int NOT NULL)")
	must(t, err)
	return name
}

func count(t *testing.T, p pooled, table string) (n int) {
	t.Helper()
	must(t, p.pool.QueryRow(context.Background(), "SELECT count(*) FROM "+table).Scan(&n))
	return n
}

type noted struct{ Text string }

func (noted) EventType() string { return "noted" }

// An application's table and its events change in one commit, or not.
func TestInTx(t *testing.T) {
	p := opened(t, data(t, server(t)))
	ctx := t.Context()
	app := withTable(t, p)
	store, err := es.New(p.Store)
	must(t, err)
	for i, commit := range []bool{true, false} {
		tx, err := p.pool.Begin(ctx)
		must(t, err)
		_, err = tx.Exec(ctx, "INSERT INTO "+app+" VALUES ($1, 1)", fmt.Sprint(i))
		must(t, err)
		in := store.With(p.InTx(tx))
		_, err = in.Append(ctx, fmt.Sprint("account-", i), es.NoStream, noted{"a"}, noted{"b"})
		must(t, err)
		_, err = in.Append(ctx, fmt.Sprint("account-", i), es.Exactly(2), noted{"c"})
		must(t, err)
		_, err = in.AppendAll(ctx, es.To(fmt.Sprint("account-", i), es.Any, noted{"d"}), es.To(fmt.Sprint("other-", i), es.NoStream, noted{"e"}), es.To("missing", es.NoStream))
		must(t, err)
		n := 0
		for _, err := range in.Read(ctx, fmt.Sprint("account-", i)) { // its own
			must(t, err)
			n++
		}
		if n != 4 {
			t.Errorf("within the transaction there are %d events of 4", n)
		}
		if _, err := p.ReadStream(ctx, driver.StreamQuery{Stream: fmt.Sprint("account-", i)}); !errors.Is(err, driver.ErrStreamNotFound) {
			t.Errorf("others see it before the commit: %v", err)
		}
		if commit {
			must(t, tx.Commit(ctx))
		} else {
			must(t, tx.Rollback(ctx))
		}
	}
	if n := count(t, p, app); n != 1 {
		t.Errorf("%d rows, and not 1", n)
	}
	page, err := p.ReadStream(ctx, driver.StreamQuery{Stream: "account-0"})
	if must(t, err); len(page.Records) != 4 {
		t.Errorf("%d events of 4", len(page.Records))
	}
	if _, err := p.ReadStream(ctx, driver.StreamQuery{Stream: "account-1"}); !errors.Is(err, driver.ErrStreamNotFound) {
		t.Errorf("after a rollback: %v", err)
	}
	if n := count(t, p, table(p.dsn, "streams")); n != 2 {
		t.Errorf("%d streams, and not 2: one that was locked was left", n)
	}
	feed, err := p.ReadAll(ctx, driver.FeedQuery{})
	if must(t, err); len(feed.Records) != 5 {
		t.Errorf("%d events of 5 in the feed", len(feed.Records))
	}
}

// Within a transaction the same request is recognised, conflicts are told, and
// what is not written leaves nothing behind.
func TestInTxDecides(t *testing.T) {
	p := opened(t, data(t, server(t)))
	ctx := t.Context()
	a, b := record("a"), record("b")
	_, err := p.Append(ctx, to("s", driver.NoStream, a, b))
	must(t, err)
	inTx := func(name string, f func(in driver.Store) error, want error) {
		t.Run(name, func(t *testing.T) {
			for _, isolation := range []pgx.TxIsoLevel{pgx.ReadCommitted, pgx.RepeatableRead, pgx.Serializable} {
				before := count(t, p, table(p.dsn, "events"))
				tx, err := p.pool.BeginTx(ctx, pgx.TxOptions{IsoLevel: isolation})
				must(t, err)
				err = f(p.InTx(tx))
				if err == errHeldBack && isolation != pgx.ReadCommitted {
					err = nil // what is missing never comes to light in it
				}
				if !errors.Is(err, want) {
					t.Errorf("%s: error %v, and not %v", isolation, err, want)
				}
				if want == nil { // the transaction goes on
					_, err := tx.Exec(ctx, "SELECT 1")
					must(t, err)
				}
				must(t, tx.Rollback(ctx))
				if after := count(t, p, table(p.dsn, "events")); after != before {
					t.Errorf("%d events, and before that %d", after, before)
				}
			}
		})
	}
	same := func(result driver.AppendResult, err error) error {
		if err == nil && result.Parts[0].Last != 2 {
			return fmt.Errorf("%+v", result)
		}
		return err
	}
	inTx("again", func(in driver.Store) error { return same(in.Append(ctx, to("s", driver.NoStream, a, b))) }, nil)
	inTx("again, and a check", func(in driver.Store) error {
		req := to("s", driver.NoStream, a, b)
		req.Parts = append(req.Parts, driver.Part{Stream: "missing", Expected: driver.NoStream})
		return same(in.Append(ctx, req))
	}, nil)
	inTx("conflict", func(in driver.Store) error { _, err := in.Append(ctx, to("s", 1, record("c"))); return err }, driver.ErrConflict)
	inTx("exists", func(in driver.Store) error {
		_, err := in.Append(ctx, to("missing", driver.Exists, record("c")))
		return err
	}, driver.ErrConflict)
	inTx("missing", func(in driver.Store) error {
		_, err := in.ReadStream(ctx, driver.StreamQuery{Stream: "missing"})
		return err
	}, driver.ErrStreamNotFound)
	inTx("purge", func(in driver.Store) error {
		tomb := record("")
		tomb.Type = driver.TypeDeleted
		req := driver.DeleteRequest{Stream: "s", Expected: 2, Mode: driver.Purge, Record: tomb}
		if _, err := in.Delete(ctx, req); err != nil {
			return err
		}
		if _, err := in.Delete(ctx, req); err != nil {
			return err
		}
		page, err := in.ReadStream(ctx, driver.StreamQuery{Stream: "s", Deleted: true})
		if err == nil && len(page.Records) != 1 {
			err = fmt.Errorf("%d records", len(page.Records))
		}
		if err != nil {
			return err
		}
		_, err = in.Append(ctx, to("s", driver.Any, record("c")))
		return err
	}, driver.ErrStreamDeleted)
	inTx("feed", func(in driver.Store) error {
		if _, err := in.Append(ctx, to("t", driver.Any, record("c"))); err != nil {
			return err
		}
		var after driver.Position
		n := 0
		for range 10 {
			page, err := in.ReadAll(ctx, driver.FeedQuery{After: after})
			if err != nil {
				return err
			}
			n, after = n+len(page.Records), page.Next
			if page.End && n == 3 {
				return nil
			}
		}
		head, _ := in.Head(ctx)
		if n == 2 && after == 2 {
			return errHeldBack // by the gaps of what was rolled back above
		}
		return fmt.Errorf("%d events of 3, up to %d, head %d", n, after, head)
	}, nil)
}

// A conflict leaves no row of a stream that was locked and does not exist.
func TestInTxConflict(t *testing.T) {
	p := opened(t, data(t, server(t)))
	ctx := t.Context()
	for _, text := range []string{"1", "2", "3"} {
		add(t, p, "old", text)
	}
	tx, err := p.pool.Begin(ctx)
	must(t, err)
	defer tx.Rollback(ctx)
	req := to("new", driver.NoStream, record("1"))
	req.Parts = append(req.Parts, driver.Part{Stream: "old", Expected: 2, Records: []driver.Record{record("4")}})
	if _, err := p.InTx(tx).Append(ctx, req); !errors.Is(err, driver.ErrConflict) {
		t.Errorf("%v", err)
	}
	must(t, tx.Commit(ctx))
	if n := count(t, p, table(p.dsn, "streams")); n != 1 {
		t.Errorf("%d streams, and not 1: one that does not exist was left", n)
	}
}

var errHeldBack = errors.New("the feed is held back")

// A transaction that has ended, or failed, says so; and nobody is told to make a
// call again in it.
func TestInTxEnded(t *testing.T) {
	p := opened(t, data(t, server(t)))
	ctx := t.Context()
	tx, err := p.pool.Begin(ctx)
	must(t, err)
	in := p.InTx(tx)
	must(t, tx.Commit(ctx))
	if _, err := in.Append(ctx, to("s", driver.Any, record("a"))); err == nil {
		t.Error("an append in a transaction that had ended succeeded")
	}

	// Its connection may be in the next transaction by now, which is not its own.
	tx, err = p.pool.Begin(ctx)
	must(t, err)
	in = p.InTx(tx)
	conn := tx.Conn()
	must(t, tx.Rollback(ctx))
	next, err := conn.Begin(ctx)
	must(t, err)
	if _, err := in.Append(ctx, to("s", driver.Any, record("a"))); err == nil {
		t.Error("an append went into a transaction that followed")
	}
	must(t, next.Rollback(ctx))
	add(t, p, "s", "1")
	tx, err = p.pool.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead})
	must(t, err)
	defer tx.Rollback(ctx)
	in = p.InTx(tx)
	if _, err := in.Head(ctx); err != nil {
		t.Fatal(err)
	}
	add(t, p, "s", "2")
	for range 2 {
		_, err = in.Append(ctx, to("s", driver.Any, record("3")))
		if err == nil || driver.IsTransient(err) {
			t.Errorf("after another has appended: %v", err)
		}
	}
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := in.Append(cancelled, to("s", driver.Any, record("3"))); !errors.Is(err, context.Canceled) {
		t.Errorf("with a context that had ended: %v", err)
	}
}

// Two transactions that take streams in different orders: one of them ends, and
// appends of the store's own are in nobody's way.
func TestInTxDeadlock(t *testing.T) {
	p := opened(t, data(t, server(t)))
	ctx := t.Context()
	add(t, p, "a", "1")
	add(t, p, "b", "1")
	one, two := begin(t, p, "a", "2"), begin(t, p, "b", "2")
	errs := make(chan error, 2)
	go func() {
		_, err := p.InTx(one).Append(ctx, to("b", driver.Any, record("3")))
		errs <- errors.Join(err, one.Rollback(ctx))
	}()
	go func() {
		_, err := p.InTx(two).Append(ctx, to("a", driver.Any, record("3")))
		errs <- errors.Join(err, two.Rollback(ctx))
	}()
	first, second := <-errs, <-errs
	if first == nil || second != nil {
		t.Errorf("of two transactions in each other's way: %v, then %v", first, second)
	}
	if driver.IsTransient(first) {
		t.Errorf("it says that the call may be made again, in a transaction that failed: %v", first)
	}
	add(t, p, "a", "4")
}
