package postgrestest

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/go-es/es/driver"
	"github.com/go-es/es/internal/cut"
	"github.com/go-es/es/internal/servers"
)

// opened is a store with a pool of the test's beside it.
func opened(t *testing.T, dsn string) pooled {
	t.Helper()
	var s driver.Store
	again(t, func() (err error) {
		s, err = openPool(t.Context(), dsn, nil)
		return err
	})
	t.Cleanup(func() { s.Close() })
	return s.(pooled)
}

func record(data string) driver.Record {
	now := time.Now()
	return driver.Record{ID: driver.NewID(now), Type: "noted", Encoding: "json", Time: now, Data: []byte(data)}
}

func to(stream string, e driver.Expected, recs ...driver.Record) driver.AppendRequest {
	return driver.AppendRequest{Parts: []driver.Part{{Stream: stream, Expected: e, Records: recs}}}
}

func add(t *testing.T, s driver.Store, stream, data string) driver.Appended {
	t.Helper()
	res, err := s.Append(context.Background(), to(stream, driver.Any, record(data)))
	must(t, err)
	return res.Parts[0]
}

// begin appends in a transaction that stays open.
func begin(t *testing.T, p pooled, stream, data string) pgx.Tx {
	t.Helper()
	tx, err := p.pool.Begin(context.Background())
	must(t, err)
	t.Cleanup(func() { tx.Rollback(context.Background()) })
	add(t, p.InTx(tx), stream, data)
	return tx
}

// follower reads the feed and remembers what it has had.
type follower struct {
	s    driver.Store
	next driver.Position
	seen driver.Seen
	had  []string
}

func (f *follower) read(t *testing.T) driver.FeedPage {
	t.Helper()
	var page driver.FeedPage
	again(t, func() (err error) {
		page, err = f.s.ReadAll(context.Background(), driver.FeedQuery{After: f.next, Seen: f.seen})
		return err
	})
	if page.Next > f.next {
		f.next, f.seen = page.Next, page.Seen
	}
	for _, r := range page.Records {
		f.had = append(f.had, string(r.Data))
	}
	return page
}

// stays reads several times, and wants to get what is said and no more.
func (f *follower) stays(t *testing.T, want string) {
	t.Helper()
	for range 5 {
		if page := f.read(t); page.End || strings.Join(f.had, " ") != want {
			t.Fatalf("the reader has %q, End %v; %q and not End was expected", f.had, page.End, want)
		}
	}
}

// reaches reads until the End, which must come at once, and wants to have what is
// said.
func (f *follower) reaches(t *testing.T, want string) {
	t.Helper()
	for range 10 {
		if f.read(t).End {
			break
		}
		time.Sleep(time.Millisecond)
	}
	if got := strings.Join(f.had, " "); got != want || !f.read(t).End {
		t.Fatalf("the reader has %q, and %q was expected, with End", got, want)
	}
}

// The reader of a feed with a gap waits for who may fill it, and for nobody else.
func TestGap(t *testing.T) {
	for _, commit := range []bool{true, false} {
		for _, filter := range []bool{true, false} {
			t.Run(fmt.Sprintf("commit=%v,filter=%v", commit, filter), func(t *testing.T) {
				p := opened(t, data(t, server(t)))
				add(t, p, "a", "1")
				f := &follower{s: p}
				if filter {
					f.s = filtered{p}
				}
				f.reaches(t, "1")
				tx := begin(t, p, "slow", "2")
				add(t, p, "a", "3")
				f.stays(t, "1")
				later := begin(t, p, "later", "4") // began when the gap was there
				add(t, p, "a", "5")
				f.stays(t, "1")
				if commit {
					must(t, tx.Commit(t.Context()))
					f.stays(t, "1 2 3")
					must(t, later.Rollback(t.Context()))
					f.reaches(t, "1 2 3 5")
				} else {
					must(t, tx.Rollback(t.Context()))
					f.stays(t, "1 3")
					must(t, later.Commit(t.Context()))
					f.reaches(t, "1 3 4 5")
				}
			})
		}
	}
}

// filtered reads the feed by a filter that everything matches.
type filtered struct{ driver.Store }

func (f filtered) ReadAll(ctx context.Context, q driver.FeedQuery) (driver.FeedPage, error) {
	q.Filter.Types = []string{"noted"}
	return f.Store.ReadAll(ctx, q)
}

// Old gaps cost a new reader one look, however many there are.
func TestManyGaps(t *testing.T) {
	p := opened(t, data(t, server(t)))
	ctx := t.Context()
	var want []string
	for i := range 50 {
		tx, err := p.pool.Begin(ctx)
		must(t, err)
		if i == 20 { // more than a page with a filter looks at
			_, err = tx.Exec(ctx, "SELECT nextval('"+table(p.dsn, "positions")+"') FROM generate_series(1, 50000)")
			must(t, err)
		}
		add(t, p.InTx(tx), "lost", "lost")
		must(t, tx.Rollback(ctx))
		add(t, p, "a", fmt.Sprint(i))
		want = append(want, fmt.Sprint(i))
	}
	for _, s := range []driver.Store{p, filtered{p}, opened(t, p.dsn), filtered{opened(t, p.dsn)}} {
		f := &follower{s: s}
		for range 20 {
			if f.read(t).End {
				break
			}
		}
		f.reaches(t, strings.Join(want, " "))
	}
}

// What is written elsewhere is in nobody's way.
func TestGapBesideOthers(t *testing.T) {
	server := server(t)
	p := opened(t, data(t, server))
	ctx := t.Context()
	other := fmt.Sprintf("es_other_%x", time.Now().UnixNano())
	must(t, execute(ctx, server, "CREATE DATABASE "+other))
	defer func() { must(t, execute(context.Background(), server, "DROP DATABASE "+other+" WITH (FORCE)")) }()
	hold := func(dsn string, texts ...string) {
		c, err := connect(ctx, dsn)
		must(t, err)
		t.Cleanup(func() { c.Close(context.Background()) })
		for _, text := range append([]string{"BEGIN"}, texts...) {
			_, err := c.Exec(ctx, text)
			must(t, err)
		}
	}
	base, rest, _ := strings.Cut(server, "/postgres?")
	hold(base+"/"+other+"?"+rest, "CREATE TABLE t (x int)", "INSERT INTO t VALUES (1)")
	hold(server, "CREATE TEMP TABLE t (x int)", "INSERT INTO t VALUES (1)")
	beside := opened(t, data(t, server))
	begin(t, beside, "slow", "x")
	hold(p.dsn, "SELECT * FROM "+table(p.dsn, "events")+" FOR SHARE")

	must(t, begin(t, p, "lost", "x").Rollback(ctx))
	add(t, p, "a", "1")
	(&follower{s: p}).reaches(t, "1")
}

// A savepoint that is rolled back gives its position up.
func TestGapOfSavepoint(t *testing.T) {
	p := opened(t, data(t, server(t)))
	ctx := t.Context()
	tx, err := p.pool.Begin(ctx)
	must(t, err)
	defer tx.Rollback(ctx)
	inner, err := tx.Begin(ctx)
	must(t, err)
	add(t, p.InTx(inner), "lost", "x")
	must(t, inner.Rollback(ctx))
	add(t, p, "a", "1")
	f := &follower{s: p}
	f.reaches(t, "1")
	add(t, p.InTx(tx), "kept", "2")
	inner, err = tx.Begin(ctx)
	must(t, err)
	add(t, p.InTx(inner), "kept", "3")
	must(t, inner.Commit(ctx)) // RELEASE SAVEPOINT
	add(t, p, "a", "4")
	f.stays(t, "1")
	must(t, tx.Commit(ctx))
	f.reaches(t, "1 2 3 4")
}

// A transaction that was prepared outlives the server, and its name does not.
func TestGapOfPrepared(t *testing.T) {
	s := servers.Run(t, "postgres", "-c", "max_prepared_transactions=5")
	for _, how := range []string{"nothing", "restart", "kill", "backend"} {
		for _, commit := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s,commit=%v", how, commit), func(t *testing.T) {
				p := opened(t, data(t, s.DSN))
				ctx := t.Context()
				add(t, p, "a", "1")
				f := &follower{s: p}
				f.reaches(t, "1")
				tx := begin(t, p, "slow", "2")
				_, err := tx.Exec(ctx, "PREPARE TRANSACTION 'x'")
				must(t, err)
				tx.Rollback(ctx)
				add(t, p, "a", "3")
				f.stays(t, "1")
				switch how {
				case "restart":
					s.Stop()
					s.Start()
				case "kill":
					s.Kill()
					s.Start()
				case "backend": // the others go with it, and pg_postmaster_start_time stays
					c, err := connect(ctx, s.DSN)
					must(t, err)
					backend, err := os.FindProcess(int(c.PgConn().PID()))
					must(t, err)
					must(t, backend.Kill())
					for c.Ping(ctx) == nil {
						time.Sleep(time.Millisecond)
					}
					c.Close(ctx)
				}
				f.stays(t, "1")
				fresh := &follower{s: opened(t, p.dsn)}
				fresh.stays(t, "1")
				if commit {
					must(t, execute(ctx, s.DSN, "COMMIT PREPARED 'x'"))
					f.reaches(t, "1 2 3")
					fresh.reaches(t, "1 2 3")
				} else {
					must(t, execute(ctx, s.DSN, "ROLLBACK PREPARED 'x'"))
					f.reaches(t, "1 3")
					fresh.reaches(t, "1 3")
				}
			})
		}
	}
}

// again makes a call until it succeeds, after errors by which nothing was applied.
func again(t *testing.T, f func() error) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for {
		err := f()
		if err == nil {
			return
		}
		if !driver.IsTransient(err) || time.Now().After(deadline) {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// A restore under an open store: what it knew of positions holds no more.
func TestRestoredUnderneath(t *testing.T) {
	p := opened(t, data(t, server(t)))
	for i := range 5 {
		add(t, p, "a", fmt.Sprint(i))
	}
	(&follower{s: p}).reaches(t, "0 1 2 3 4")
	must(t, execute(t.Context(), p.dsn, "TRUNCATE "+table(p.dsn, "events")+", "+table(p.dsn, "streams"),
		"SELECT setval('"+table(p.dsn, "positions")+"', 1, false)"))
	tx := begin(t, p, "slow", "1")
	add(t, p, "b", "2")
	for _, s := range []driver.Store{p, filtered{p}} {
		f := &follower{s: s}
		f.stays(t, "")
	}
	must(t, tx.Commit(t.Context()))
	(&follower{s: p}).reaches(t, "1 2")
}

// The first page that a process reads is read once, and so is that of a transaction.
func TestFirstPage(t *testing.T) {
	dsn := data(t, server(t))
	other := opened(t, dsn)
	add(t, other, "a", "1")
	add(t, other, "b", "2")
	for name, test := range map[string]struct {
		filter   driver.Filter
		requests int
	}{
		"all":      {driver.Filter{}, 1},
		"filtered": {driver.Filter{Types: []string{"noted"}}, 3},
	} {
		line := new(cut.Line)
		s, err := openPool(t.Context(), with(dsn, "pool_max_conns=1"), line)
		must(t, err)
		t.Cleanup(func() { s.Close() })
		p := s.(pooled)
		read := func(where string, s driver.Store) {
			t.Helper()
			broke := line.BreakAt(test.requests+1, false)
			page, err := s.ReadAll(t.Context(), driver.FeedQuery{Filter: test.filter})
			if broke() {
				t.Errorf("%s, %s: there were more requests than %d", name, where, test.requests)
			}
			if must(t, err); len(page.Records) != 2 || !page.End {
				t.Errorf("%s, %s: %+v", name, where, page)
			}
		}
		read("a process", p.Store)
		tx, err := p.pool.Begin(t.Context())
		must(t, err)
		read("a transaction", p.InTx(tx))
		must(t, tx.Rollback(t.Context()))
	}
}
