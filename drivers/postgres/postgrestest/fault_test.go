package postgrestest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/go-es/es/driver"
	"github.com/go-es/es/internal/servers"
)

// blocked makes an append that waits for a transaction that is open, with settings
// of the sessions, and returns its error.
func blocked(t *testing.T, within time.Duration, params ...string) (check func(), err error) {
	t.Helper()
	p := opened(t, data(t, server(t)))
	add(t, p, "s", "1")
	tx := begin(t, p, "s", "2")
	s, err := open(t.Context(), with(p.dsn, params...))
	must(t, err)
	t.Cleanup(func() { s.Close() })
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	_, err = s.Append(ctx, to("s", 1, record("3")))
	return func() {
		t.Helper()
		must(t, tx.Rollback(context.Background()))
		page, err := p.ReadStream(context.Background(), driver.StreamQuery{Stream: "s"})
		must(t, err)
		if len(page.Records) != 1 {
			t.Errorf("%d events: what had failed was stored", len(page.Records))
		}
		if _, err := s.Append(context.Background(), to("s", 1, record("3"))); err != nil {
			t.Errorf("the store does not go on: %v", err)
		}
	}, err
}

func TestLockTimeout(t *testing.T) {
	for _, setting := range []string{"lock_timeout=1s", "statement_timeout=1s"} {
		after, err := blocked(t, 20*time.Second, setting)
		if !driver.IsTransient(err) {
			t.Errorf("%s: %v", setting, err)
		}
		after()
	}
}

func TestCancelled(t *testing.T) {
	after, err := blocked(t, 500*time.Millisecond)
	if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, driver.ErrUnknownOutcome) {
		t.Errorf("%v: the server says what became of a statement that it cancelled", err)
	}
	after()
}

// A pool without a free connection is waited for, as long as the context lasts.
func TestPoolExhausted(t *testing.T) {
	p := opened(t, with(data(t, server(t)), "pool_max_conns=1"))
	tx := begin(t, p, "s", "1")
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := p.Append(ctx, to("t", driver.Any, record("1"))); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, driver.ErrUnknownOutcome) {
		t.Errorf("%v", err)
	}
	if _, err := p.ReadAll(ctx, driver.FeedQuery{}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
	must(t, tx.Rollback(t.Context()))
	add(t, p, "t", "1")
}

// Whatever isolation sessions have by default: concurrent appends to one stream
// and to several in all orders, by single calls and groups, without a deadlock.
func TestIsolation(t *testing.T) {
	for _, isolation := range []string{"read committed", "repeatable read", "serializable"} {
		t.Run(isolation, func(t *testing.T) {
			p := opened(t, with(data(t, server(t)), "default_transaction_isolation="+isolation, "pool_max_conns=8"))
			var wg sync.WaitGroup
			for w := range 8 {
				wg.Go(func() {
					for i := range 10 {
						var err error
						switch (w + i) % 3 {
						case 0:
							_, err = p.Append(t.Context(), to("a", driver.Any, record("1")))
						case 1:
							req := to("b", driver.Any, record("1"))
							req.Parts = append(req.Parts, driver.Part{Stream: "a", Expected: driver.Any, Records: []driver.Record{record("1")}})
							if w%2 == 0 {
								req.Parts[0], req.Parts[1] = req.Parts[1], req.Parts[0]
							}
							_, err = p.Append(t.Context(), req)
						default:
							outs := p.AppendGroup(t.Context(), []driver.AppendRequest{to("b", driver.Any, record("1")), to(fmt.Sprint("new-", i), driver.Any, record("1")), to("a", driver.Any, record("1"))})
							err = errors.Join(outs[0].Err, outs[1].Err, outs[2].Err)
						}
						if err != nil {
							t.Errorf("%v", err)
						}
					}
				})
			}
			wg.Wait()
			f := &follower{s: p}
			for !f.read(t).End {
			}
			if n := count(t, p, table(p.dsn, "events")); len(f.had) != n {
				t.Errorf("%d events of %d", len(f.had), n)
			}
		})
	}
}

// A setting that was changed after Open, for the role or the session, does not
// make commits less durable.
func TestDurable(t *testing.T) {
	own := servers.Run(t, "postgres", "-c", "autovacuum=off") // where nobody else writes
	p := opened(t, with(data(t, own.DSN), "pool_max_conns=1"))
	ctx := t.Context()
	_, err := p.pool.Exec(ctx, "SET synchronous_commit = off")
	must(t, err)
	unflushed := func() (n int64) {
		must(t, p.pool.QueryRow(ctx, "SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), pg_current_wal_flush_lsn())").Scan(&n))
		return n
	}
	writes := map[string]func(){
		"append": func() { add(t, p, "s", "1") },
		"new":    func() { add(t, p, fmt.Sprint(driver.NewID(time.Now())), "1") },
		"group": func() {
			for _, o := range p.AppendGroup(ctx, []driver.AppendRequest{to("s", driver.Any, record("1")), to(fmt.Sprint(driver.NewID(time.Now())), driver.Any, record("1"))}) {
				must(t, o.Err)
			}
		},
		"streams": func() {
			req := to("s", driver.Any, record("1"))
			req.Parts = append(req.Parts, driver.Part{Stream: "t", Expected: driver.Any, Records: []driver.Record{record("1")}})
			_, err := p.Append(ctx, req)
			must(t, err)
		},
		"delete": func() {
			stream := fmt.Sprint(driver.NewID(time.Now()))
			add(t, p, stream, "1")
			tomb := record("")
			tomb.Type = driver.TypeDeleted
			_, err := p.Delete(ctx, driver.DeleteRequest{Stream: stream, Expected: driver.Any, Mode: driver.Purge, Record: tomb})
			must(t, err)
		},
		"checkpoint": func() {
			must(t, p.SaveCheckpoint(ctx, driver.Checkpoint{Name: fmt.Sprint(driver.NewID(time.Now())), Revision: driver.NewID(time.Now())}, driver.Revision{}))
		},
		"snapshot": func() {
			must(t, p.SaveSnapshot(ctx, driver.Snapshot{Stream: "s", Kind: "k", Version: 1, EventID: driver.NewID(time.Now()), Encoding: "json"}))
		},
		"in a transaction": func() {
			tx, err := p.pool.Begin(ctx)
			must(t, err)
			add(t, p.InTx(tx), "s", "1")
			must(t, tx.Commit(ctx))
		},
	}
	lost := false
	for range 20 { // the server's own writer may flush at any moment
		_, err := p.pool.Exec(ctx, "UPDATE "+table(p.dsn, "meta")+" SET value = 1")
		must(t, err)
		lost = lost || unflushed() > 0
	}
	if !lost {
		t.Fatal("with synchronous_commit=off everything was flushed: this test shows nothing")
	}
	for name, write := range writes {
		least := int64(1 << 62)
		for range 5 { // others write to the server as well
			write()
			least = min(least, unflushed())
		}
		if least > 48 { // the notification of other processes is 40, and need not be durable
			t.Errorf("%s: %d bytes of the log were not flushed", name, least)
		}
	}
}

// What the server returns of an append is no proof before the commit: that comes
// last, and may fail.
func TestCommitFails(t *testing.T) {
	p := opened(t, data(t, server(t)))
	add(t, p, "s", "1")
	must(t, execute(t.Context(), p.dsn,
		"CREATE FUNCTION "+table(p.dsn, "no")+"() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE ''not today''; END'",
		"CREATE CONSTRAINT TRIGGER no AFTER INSERT ON "+table(p.dsn, "events")+" DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION "+table(p.dsn, "no")+"()"))
	check := func(what string, err error) {
		t.Helper()
		if pg, ok := errors.AsType[*pgconn.PgError](err); !ok || pg.Message != "not today" || errors.Is(err, driver.ErrUnknownOutcome) {
			t.Errorf("%s: %v", what, err)
		}
	}
	for what, req := range map[string]driver.AppendRequest{
		"first":        to("new", driver.NoStream, record("2")),
		"first of any": to("new", driver.Any, record("2")),
		"first two":    to("new", driver.NoStream, record("2"), record("3")),
		"next":         to("s", 1, record("2")),
		"next of any":  to("s", driver.Any, record("2")),
		"next two":     to("s", 1, record("2"), record("3")),
	} {
		_, err := p.Append(t.Context(), req)
		check(what, err)
	}
	for _, out := range p.AppendGroup(t.Context(), []driver.AppendRequest{to("s", 1, record("2")), to("new", driver.NoStream, record("2"))}) {
		check("group", out.Err)
	}
	two := to("s", 1, record("2"))
	two.Parts = append(two.Parts, driver.Part{Stream: "new", Records: []driver.Record{record("2")}})
	_, err := p.Append(t.Context(), two)
	check("two streams", err)
	tomb := record("{}")
	tomb.Type = driver.TypeDeleted
	_, err = p.Delete(t.Context(), driver.DeleteRequest{Stream: "s", Expected: driver.Any, Record: tomb})
	check("delete", err)
	if n := count(t, p, table(p.dsn, "events")); n != 1 {
		t.Errorf("%d events", n)
	}
	must(t, execute(t.Context(), p.dsn, "DROP TRIGGER no ON "+table(p.dsn, "events")))
	add(t, p, "s", "2")
	add(t, p, "new", "1")
}
