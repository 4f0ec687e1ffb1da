package mysqltest

import (
	"context"
	"database/sql"
	"fmt"
	"testing"
	"time"

	"github.com/go-es/es/driver"
	"github.com/go-es/es/internal/servers"
)

// A transaction that is prepared holds the feed back at its event, also after the
// server was killed and started again, until it is committed or rolled back.
func TestPreparedTransaction(t *testing.T) {
	for _, name := range both {
		for _, end := range []string{"COMMIT", "ROLLBACK"} {
			t.Run(name+"/"+end, func(t *testing.T) {
				t.Parallel()
				server := servers.Run(t, name)
				dsn := newDatabase(t, at(server.DSN))
				s := openStore(t, dsn)
				ctx := t.Context()
				_, err := s.Append(ctx, to("before", driver.NoStream, record("1")))
				must(t, err)
				c, err := pool(t, dsn).Conn(ctx)
				must(t, err)
				for _, text := range []string{
					"XA START 'held'",
					"INSERT INTO es_events (kind,stream,version,id,type,encoding,time,size,tags,metadata,data) VALUES (0,'held',1,REPEAT('i',16),'held','json',1,0,'','','')",
					"XA END 'held'",
					"XA PREPARE 'held'",
				} {
					_, err = c.ExecContext(ctx, text)
					must(t, err)
				}
				must(t, c.Close())
				_, err = s.Append(ctx, to("after", driver.NoStream, record("1")))
				must(t, err)

				server.Kill()
				server.Start()
				fresh := openStore(t, dsn)
				var page driver.FeedPage
				for range 5 {
					page, err = fresh.ReadAll(ctx, driver.FeedQuery{After: page.Next, Seen: page.Seen})
					must(t, err)
					if page.Next > 1 || page.End {
						t.Fatalf("the feed goes to %d, End %v, past a prepared transaction", page.Next, page.End)
					}
					time.Sleep(2 * 10 * time.Millisecond) // the gap gets old
				}
				execute(t, dsn, "XA "+end+" 'held'")
				want := "[before@1 held@2 after@3]"
				if end == "ROLLBACK" {
					want = "[before@1 after@3]"
				}
				var got []string
				for _, rec := range feed(t, fresh) {
					got = append(got, fmt.Sprintf("%s@%d", rec.Stream, rec.Position))
				}
				if fmt.Sprint(got) != want {
					t.Errorf("the feed has %v, want %s", got, want)
				}
			})
		}
	}
}

// What is undone to a savepoint leaves nothing behind, and can be appended again in
// the same transaction; nobody reads past what is still open.
func TestSavepoint(t *testing.T) {
	onBoth(t, func(t *testing.T, server string) {
		dsn := newDatabase(t, server)
		s := openStore(t, dsn)
		ctx := context.Background()
		tx, err := pool(t, dsn).BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelReadCommitted})
		must(t, err)
		defer tx.Rollback()
		in := s.InTx(tx)
		exec := func(text string) {
			t.Helper()
			_, err := tx.Exec(text)
			must(t, err)
		}
		one, two := record("1"), record("2")
		_, err = in.Append(ctx, to("a", driver.NoStream, one))
		must(t, err)
		exec("SAVEPOINT here")
		_, err = in.Append(ctx, to("a", driver.Exactly(1), two))
		must(t, err)
		_, err = s.Append(ctx, to("b", driver.NoStream, record("1")))
		must(t, err)
		exec("ROLLBACK TO SAVEPOINT here")
		for range 3 {
			page, err := s.ReadAll(ctx, driver.FeedQuery{})
			must(t, err)
			if page.Next != 0 || page.End {
				t.Fatalf("the feed goes to %d, End %v, past a transaction", page.Next, page.End)
			}
			time.Sleep(20 * time.Millisecond)
		}
		res, err := in.Append(ctx, to("a", driver.Exactly(1), two))
		if err != nil || res.Parts[0].Position <= 3 {
			t.Fatalf("the append again: %+v, %v", res, err)
		}
		exec("RELEASE SAVEPOINT here")
		must(t, tx.Commit())
		var got []string
		for _, rec := range feed(t, s) {
			got = append(got, fmt.Sprintf("%s/%d@%d", rec.Stream, rec.Version, rec.Position))
		}
		if want := "[a/1@1 b/1@3 a/2@4]"; fmt.Sprint(got) != want {
			t.Errorf("the feed has %v, want %s", got, want)
		}
	})
}
