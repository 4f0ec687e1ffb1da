package mysqltest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	client "github.com/go-sql-driver/mysql"

	"github.com/go-es/es/driver"
	"github.com/go-es/es/drivers/mysql"
)

// late is a statement of three rows that takes three positions, inserts one, and
// then stalls until a named lock is free.
func late(stream, lock string) string {
	row := func(version string) string {
		return fmt.Sprintf("(0,'%s',%s,REPEAT('i',16),'late','json',1,0,'','','')", stream, version)
	}
	return "INSERT INTO es_events (kind,stream,version,id,type,encoding,time,size,tags,metadata,data) VALUES " +
		row("1") + "," + row(fmt.Sprintf("IF(GET_LOCK('%s',60)=1,RELEASE_LOCK('%[1]s')+1,2)", lock)) + "," + row("3")
}

// A writer that has inserted the first of its rows and stalls is left alone,
// although the others are missing: nobody reads past it, and nothing is filled.
func TestSlowWriter(t *testing.T) {
	onBoth(t, func(t *testing.T, server string) {
		dsn := newDatabase(t, server)
		s := openStore(t, dsn)
		ctx := t.Context()
		db := pool(t, dsn)
		release := holdLock(t, db, databaseOf(dsn))
		stalled := make(chan error, 1)
		go func() {
			_, err := db.ExecContext(ctx, late("slow", databaseOf(dsn)))
			stalled <- err
		}()
		waitForLocked(t, db)
		res, err := s.Append(ctx, to("fast", driver.NoStream, record("1")))
		must(t, err)
		if got := res.Parts[0].Position; got != 4 {
			t.Fatalf("the other append is at position %d, want 4: the statement has not taken three", got)
		}
		for range 3 {
			page, err := s.ReadAll(ctx, driver.FeedQuery{})
			must(t, err)
			if page.Next != 0 || page.End {
				t.Fatalf("the feed goes to %d, End %v, past a writer", page.Next, page.End)
			}
			time.Sleep(20 * time.Millisecond)
		}
		release()
		all := feed(t, s)
		must(t, <-stalled)
		if len(all) != 4 || fillers(t, dsn) != 0 {
			t.Errorf("the feed has %d events, and there are %d fillers", len(all), fillers(t, dsn))
		}
	})
}

// A gap that nobody will close is filled, in one go.
func TestDeadGap(t *testing.T) {
	onBoth(t, func(t *testing.T, server string) {
		dsn := newDatabase(t, server)
		s := openStore(t, dsn)
		db := pool(t, dsn)
		tx, err := db.BeginTx(t.Context(), &sql.TxOptions{Isolation: sql.LevelReadCommitted})
		must(t, err)
		recs := make([]driver.Record, 1000)
		for i := range recs {
			recs[i] = record("x")
		}
		for i := range 3 {
			_, err = s.InTx(tx).Append(t.Context(), to("undone", driver.Exactly(driver.Version(1000*i)), recs...))
			must(t, err)
			for j := range recs {
				recs[j].ID = driver.NewID(time.Now())
			}
		}
		must(t, tx.Rollback())
		_, err = s.Append(t.Context(), to("a", driver.NoStream, record("1")))
		must(t, err)
		start := time.Now()
		if all := feed(t, s); len(all) != 1 || all[0].Position != 3001 || fillers(t, dsn) != 3000 {
			t.Errorf("the feed has %d events, and there are %d fillers", len(all), fillers(t, dsn))
		}
		t.Logf("3,000 positions filled in %v", time.Since(start))
	})
}

// A reader that is behind waits at the first of many dead gaps, and at no other that
// was there by then.
func TestDeadGapsBehind(t *testing.T) {
	onBoth(t, func(t *testing.T, server string) {
		const gaps = 20
		dsn := newDatabase(t, server)
		s := openStore(t, dsn)
		db := pool(t, dsn)
		for i := range gaps {
			tx, err := db.BeginTx(t.Context(), &sql.TxOptions{Isolation: sql.LevelReadCommitted})
			must(t, err)
			_, err = s.InTx(tx).Append(t.Context(), to("undone", driver.NoStream, record("x"), record("y")))
			must(t, err)
			must(t, tx.Rollback())
			_, err = s.Append(t.Context(), to("a", driver.Exactly(driver.Version(i)), record("x")))
			must(t, err)
		}
		reader := openStore(t, dsn) // which has seen nothing yet
		q, events, waits := driver.FeedQuery{}, 0, 0
		for start := time.Now(); events < gaps; {
			page, err := reader.ReadAll(t.Context(), q)
			must(t, err)
			if page.Next > q.After {
				events += len(page.Records)
				q.After, q.Seen = page.Next, page.Seen
				continue
			}
			if events > 0 {
				waits++
			}
			if time.Since(start) > 20*time.Second {
				t.Fatalf("the feed does not get past position %d", q.After)
			}
			time.Sleep(2 * time.Millisecond)
		}
		if waits > 0 {
			t.Errorf("it waited %d times behind the first gap", waits)
		}
	})
}

// A transaction that appends behind the event above a dead gap, and so has a lock on it,
// does not hold the feed back before it.
func TestDeadGapBelowTransaction(t *testing.T) {
	onBoth(t, func(t *testing.T, server string) {
		for n, expected := range map[driver.Position]driver.Expected{1: driver.Exactly(7), 2: driver.Any, 30: driver.Any} {
			dsn := newDatabase(t, server)
			s := openStore(t, dsn)
			db := pool(t, dsn)
			ctx := t.Context()
			begin := func() *sql.Tx {
				tx, err := db.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelReadCommitted})
				must(t, err)
				t.Cleanup(func() { tx.Rollback() })
				return tx
			}
			for i := range 6 {
				_, err := s.Append(ctx, to("s", driver.Exactly(driver.Version(i)), record("x")))
				must(t, err)
			}
			for i := range 4 {
				_, err := s.Append(ctx, to("other", driver.Exactly(driver.Version(i)), record("x")))
				must(t, err)
			}
			recs := make([]driver.Record, n)
			for i := range recs {
				recs[i] = record("x")
			}
			undone := begin()
			_, err := s.InTx(undone).Append(ctx, to("undone", driver.NoStream, recs...))
			must(t, err)
			must(t, undone.Rollback())
			res, err := s.Append(ctx, to("s", driver.Exactly(6), record("x")))
			must(t, err)
			if got := res.Parts[0].Position; got != 11+n {
				t.Fatalf("the event above the gap is at %d", got)
			}
			_, err = s.InTx(begin()).Append(ctx, to("s", expected, record("x")))
			must(t, err)
			for end := time.Now().Add(3 * time.Second); ; time.Sleep(2 * time.Millisecond) {
				page, err := s.ReadAll(ctx, driver.FeedQuery{After: 10})
				must(t, err)
				if page.Next == 11+n && len(page.Records) == 1 {
					break
				}
				if page.Next > 11+n || time.Now().After(end) {
					t.Fatalf("with %d dead positions and expected %v, the feed after 10 goes to %d with %d events", n, expected, page.Next, len(page.Records))
				}
			}
		}
	})
}

func fillers(t tester, dsn string) (n int) {
	t.Helper()
	db := pool(t, dsn)
	defer db.Close()
	must(t, db.QueryRow("SELECT COUNT(*) FROM es_events WHERE kind = 1").Scan(&n))
	return n
}

// The store's own append has taken its positions, and a reader fills one of them
// before it gets there: the append is refused, and made again by itself.
func TestLateAppend(t *testing.T) {
	onBoth(t, func(t *testing.T, server string) {
		dsn := newDatabase(t, server)
		s := openStore(t, dsn)
		ctx := t.Context()
		db := pool(t, dsn)
		// A trigger stalls the second row of the append, once.
		lock := databaseOf(dsn)
		release := holdLock(t, db, lock)
		execute(t, dsn, "CREATE TABLE stall (x INT)", "INSERT INTO stall VALUES (0)")
		_, err := db.Exec(`CREATE TRIGGER stalling BEFORE INSERT ON es_events FOR EACH ROW
			BEGIN IF NEW.type = 'stalls' AND NEW.version = 2 AND IS_FREE_LOCK('` + lock + `') = 0 THEN
				DO GET_LOCK('` + lock + `', 60); DO RELEASE_LOCK('` + lock + `'); END IF; END`)
		if err != nil {
			t.Skipf("no right to create a trigger: %v", err)
		}
		recs := []driver.Record{record("1"), record("2"), record("3")}
		for i := range recs {
			recs[i].Type = "stalls"
		}
		type outcome struct {
			res driver.AppendResult
			err error
		}
		done := make(chan outcome, 1)
		go func() {
			res, err := s.Append(ctx, to("slow", driver.NoStream, recs...))
			done <- outcome{res, err}
		}()
		waitForLocked(t, db)
		_, err = s.Append(ctx, to("fast", driver.NoStream, record("1")))
		must(t, err)
		_, err = db.Exec("INSERT INTO es_events (position,kind,stream,version,id,type,encoding,time,size,tags,metadata,data) VALUES (3,1,'',3,'','','',0,0,'','','')")
		must(t, err)
		release()
		got := <-done
		must(t, got.err)
		if p := got.res.Parts[0]; p.First != 1 || p.Last != 3 || p.Position <= 4 {
			t.Errorf("the append returned %+v, want versions 1 to 3 at later positions: it was not late", p)
		}
		if all := feed(t, s); len(all) != 4 || all[0].Position != 4 {
			t.Errorf("the feed has %d events", len(all))
		}
	})
}

// holdLock takes a named lock, for as long as the returned function is not called.
func holdLock(t *testing.T, db *sql.DB, name string) (release func()) {
	t.Helper()
	c, err := db.Conn(t.Context())
	must(t, err)
	t.Cleanup(func() { c.Close() })
	var got int
	must(t, c.QueryRowContext(t.Context(), "SELECT GET_LOCK(?, 0)", name).Scan(&got))
	if got != 1 {
		t.Fatalf("the lock %s is taken", name)
	}
	return func() {
		must(t, c.QueryRowContext(t.Context(), "SELECT RELEASE_LOCK(?)", name).Scan(&got))
	}
}

// waitForLocked waits until a statement in the database of db waits for a named lock.
func waitForLocked(t *testing.T, db *sql.DB) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		var n int
		must(t, db.QueryRow("SELECT COUNT(*) FROM information_schema.processlist WHERE db = DATABASE() AND state = 'User lock'").Scan(&n))
		if n > 0 {
			return
		}
		if time.Now().After(end) {
			t.Fatal("no statement waits for a named lock")
		}
	}
}

func databaseOf(dsn string) string { return dsn[strings.LastIndexByte(dsn, '/')+1:] }

// A transaction in another database stands open for seconds: the feed goes on.
func TestOtherDatabase(t *testing.T) {
	onBoth(t, func(t *testing.T, server string) {
		s := openStore(t, newDatabase(t, server))
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { otherTransaction(ctx, t, server) })
		defer wg.Wait()
		defer cancel()
		time.Sleep(100 * time.Millisecond)
		_, err := s.Append(t.Context(), to("a", driver.Any, record("1")))
		must(t, err)
		if n := len(feed(t, s)); n != 1 { // the other transaction stays open
			t.Errorf("the feed had %d events", n)
		}
	})
}

// An application changes its own table and appends in one transaction.
func TestInTx(t *testing.T) {
	onBoth(t, func(t *testing.T, server string) {
		dsn := newDatabase(t, server)
		s := openStore(t, dsn)
		ctx := t.Context()
		execute(t, dsn, "CREATE TABLE orders (id INT PRIMARY KEY)")
		db := pool(t, dsn)
		begin := func() *sql.Tx {
			tx, err := db.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelReadCommitted})
			must(t, err)
			return tx
		}
		orders := func() (n int) {
			must(t, db.QueryRow("SELECT COUNT(*) FROM orders").Scan(&n))
			return n
		}
		for i, end := range []func(*sql.Tx) error{(*sql.Tx).Rollback, (*sql.Tx).Commit} {
			tx := begin()
			in := s.InTx(tx)
			_, err := tx.Exec("INSERT INTO orders VALUES (1)")
			must(t, err)
			one := record("1")
			_, err = in.Append(ctx, to("order", driver.NoStream, one))
			must(t, err)
			again, err := in.Append(ctx, to("order", driver.NoStream, one))
			if err != nil || again.Parts[0].Last != 1 {
				t.Errorf("the same append again in the transaction: %+v, %v", again, err)
			}
			if _, err = in.Append(ctx, to("order", driver.Any, record("2"))); err != nil {
				t.Fatal(err)
			}
			if page, err := in.ReadStream(ctx, driver.StreamQuery{Stream: "order"}); err != nil || len(page.Records) != 2 {
				t.Errorf("within it the stream has %d events, %v", len(page.Records), err)
			}
			if _, err := s.ReadStream(ctx, driver.StreamQuery{Stream: "order"}); !errors.Is(err, driver.ErrStreamNotFound) {
				t.Errorf("outside of it the stream is there before the commit: %v", err)
			}
			if _, err := in.Append(ctx, to("order", driver.NoStream, record("x"))); !errors.Is(err, driver.ErrConflict) {
				t.Errorf("a conflict within it is %v", err)
			}
			must(t, in.Close())
			must(t, end(tx))
			if n := orders(); n != i {
				t.Errorf("%d orders, want %d", n, i)
			}
			if n := len(feed(t, s)); n != 2*i {
				t.Errorf("%d events, want %d", n, 2*i)
			}
		}
		// An old snapshot of REPEATABLE READ does not keep it from the truth.
		tx, err := db.BeginTx(ctx, nil)
		must(t, err)
		in := s.InTx(tx)
		if _, err := in.ReadStream(ctx, driver.StreamQuery{Stream: "order"}); err != nil {
			t.Fatal(err)
		}
		_, err = s.Append(ctx, to("order", driver.Exactly(2), record("3")))
		must(t, err)
		if _, err := in.Append(ctx, to("order", driver.Exactly(2), record("x"))); !errors.Is(err, driver.ErrConflict) {
			t.Errorf("an append at a version that is taken, behind an old snapshot: %v", err)
		}
		res, err := in.Append(ctx, to("order", driver.Any, record("4")))
		if err != nil || res.Parts[0].First != 4 {
			t.Errorf("Any behind an old snapshot: %+v, %v", res, err)
		}
		must(t, tx.Commit())
		if page, err := s.ReadStream(ctx, driver.StreamQuery{Stream: "order"}); err != nil || page.Head != 4 {
			t.Errorf("the stream has %d events, %v", page.Head, err)
		}
		gone := record("")
		gone.Type = driver.TypeDeleted
		for name, write := range map[string]func(in driver.Store, stream string) error{
			"Append(Exists)": func(in driver.Store, stream string) error {
				_, err := in.Append(ctx, to(stream, driver.Exists, record("2")))
				return err
			},
			"Delete(Exactly)": func(in driver.Store, stream string) error {
				_, err := in.Delete(ctx, driver.DeleteRequest{Stream: stream, Expected: driver.Exactly(1), Record: gone})
				return err
			},
			"Delete(Exists)": func(in driver.Store, stream string) error {
				_, err := in.Delete(ctx, driver.DeleteRequest{Stream: stream, Expected: driver.Exists, Record: gone})
				return err
			},
		} {
			tx, err := db.BeginTx(ctx, nil)
			must(t, err)
			in := s.InTx(tx)
			if _, err := in.Head(ctx); err != nil { // from now on it has an old snapshot
				t.Fatal(err)
			}
			_, err = s.Append(ctx, to("new "+name, driver.NoStream, record("1")))
			must(t, err)
			if err := write(in, "new "+name); err != nil {
				t.Errorf("%s of a stream that is newer than the snapshot: %v", name, err)
			}
			must(t, tx.Commit())
		}
	})
}

// What passes by itself is marked as such, and nothing of it was stored.
func TestPassing(t *testing.T) {
	onBoth(t, func(t *testing.T, server string) {
		dsn := newDatabase(t, server)
		s := openStore(t, dsn)
		db := pool(t, dsn)
		ctx := t.Context()
		tx, err := db.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelReadCommitted})
		must(t, err)
		_, err = s.InTx(tx).Append(ctx, to("held", driver.NoStream, record("1")))
		must(t, err)
		start := time.Now()
		_, err = s.Append(ctx, to("held", driver.NoStream, record("2")))
		var answer *client.MySQLError
		if !driver.IsTransient(err) || !errors.As(err, &answer) || answer.Number != 1205 {
			t.Errorf("behind a lock: %v after %v, want a transient 1205", err, time.Since(start))
		}
		must(t, tx.Rollback())
		_, err = s.Append(ctx, to("held", driver.NoStream, record("3")))
		must(t, err)
		if all := feed(t, s); len(all) != 1 || string(all[0].Data) != "3" {
			t.Errorf("the feed has %v", all)
		}
		// A pool that is used up: the call ends with its context, and nothing is stored.
		small := openStore(t, dsn+"?conns=1&prefix=small")
		done := make(chan struct{})
		go func() {
			defer close(done)
			tx, err := db.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelReadCommitted})
			if err != nil {
				return
			}
			defer tx.Rollback()
			small.InTx(tx).Append(ctx, to("held", driver.NoStream, record("1")))
			small.Append(ctx, to("held", driver.NoStream, record("2"))) // has the only connection, and waits
		}()
		time.Sleep(time.Second) // of the 3 that it waits for the lock
		blocked, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
		defer cancel()
		if _, err := small.Append(blocked, to("other", driver.Any, record("x"))); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, driver.ErrUnknownOutcome) {
			t.Errorf("without a connection: %v", err)
		}
		<-done
		if all := feed(t, small); len(all) != 0 {
			t.Errorf("the feed has %v", all)
		}
	})
}

// Transactions that wait for each other: one is told, and everything is stored once.
func TestDeadlocks(t *testing.T) {
	onBoth(t, func(t *testing.T, server string) {
		s := openStore(t, newDatabase(t, server))
		ctx := t.Context()
		const writers, rounds = 8, 20
		var wg sync.WaitGroup
		for w := range writers {
			wg.Go(func() {
				for range rounds {
					a, b := "a", "b"
					if w%2 == 0 {
						a, b = b, a
					}
					req := driver.AppendRequest{Parts: []driver.Part{
						{Stream: a, Expected: driver.Any, Records: []driver.Record{record("1")}},
						{Stream: b, Expected: driver.Any, Records: []driver.Record{record("1")}},
					}}
					for {
						_, err := s.Append(ctx, req)
						if err == nil {
							break
						}
						if !driver.IsTransient(err) {
							t.Errorf("an append to both: %v", err)
							return
						}
					}
				}
			})
		}
		wg.Wait()
		if n := len(feed(t, s)); n != 2*writers*rounds {
			t.Errorf("%d events, want %d", n, 2*writers*rounds)
		}
	})
}

// Every refusal names what is wrong.
func TestPoolSessions(t *testing.T) {
	onBoth(t, func(t *testing.T, server string) {
		dsn := newDatabase(t, server)
		for param, word := range map[string]string{
			"sql_mode=''":                  "sql_mode",
			"autocommit=0":                 "autocommit",
			"unique_checks=0":              "unique_checks",
			"completion_type=1":            "completion_type",
			"sql_select_limit=1":           "sql_select_limit",
			"sql_select_limit=1000":        "sql_select_limit",
			"auto_increment_increment=2":   "auto_increment_increment",
			"parseTime=true&loc=Local":     "-",
			"clientFoundRows=true":         "-",
			"multiStatements=true":         "-",
			"columnsWithAlias=true":        "-",
			"collation=utf8mb4_general_ci": "-",
		} {
			db, err := sql.Open("mysql", dsn+"?"+param)
			must(t, err)
			s, err := mysql.New(t.Context(), db, mysql.Config{})
			switch {
			case word != "-" && (err == nil || !strings.Contains(err.Error(), word)):
				t.Errorf("%s: New returned %v, want an error that names %s", param, err, word)
			case word == "-" && err != nil:
				t.Errorf("%s: New returned %v", param, err)
			case err == nil:
				if _, err := s.Append(t.Context(), to(param, driver.NoStream, record("1"), record("2"))); err != nil {
					t.Errorf("%s: %v", param, err)
				}
				if page, err := s.ReadStream(t.Context(), driver.StreamQuery{Stream: param}); err != nil || len(page.Records) != 2 {
					t.Errorf("%s: %d records, %v", param, len(page.Records), err)
				}
				must(t, s.Close())
			}
			must(t, db.Close())
		}
	})
}
