package mysqltest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	client "github.com/go-sql-driver/mysql"

	"github.com/go-es/es/driver"
	"github.com/go-es/es/drivers/mysql"
)

// A purge of many events, some of them large, goes in steps: each statement is a
// transaction of its own and overwrites a bounded number of rows and of bytes. One
// that broke off in the middle is finished by the next.
func TestPurgeInSteps(t *testing.T) {
	onBoth(t, func(t *testing.T, server string) {
		const events, large = 100_000, 12
		dsn := newDatabase(t, server)
		openStore(t, dsn).Close()
		fillStream(t, dsn, "big", events)
		execute(t, dsn, fmt.Sprintf("UPDATE es_events SET data=REPEAT('x',2000000),size=2000000 WHERE version<=%d", large))

		cfg, err := client.ParseDSN(dsn)
		must(t, err)
		from, err := client.NewConnector(cfg)
		must(t, err)
		r := &recorder{Connector: from}
		db := sql.OpenDB(r)
		t.Cleanup(func() { db.Close() })
		s, err := mysql.New(t.Context(), db, mysql.Config{Settle: -1})
		must(t, err)
		t.Cleanup(func() { s.Close() })
		must(t, s.SaveSnapshot(t.Context(), driver.Snapshot{Stream: "big", Kind: "k", Version: 3, EventID: driver.ID{1}, Encoding: "json", Data: []byte("x")}))
		gone := record("")
		gone.Type = driver.TypeDeleted
		req := driver.DeleteRequest{Stream: "big", Expected: driver.Any, Mode: driver.Purge, Record: gone}

		// It breaks off after some steps.
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		steps := 0
		r.seen = func(text string) {
			if strings.HasPrefix(text, "UPDATE es_events SET kind=2") {
				if steps++; steps == 20 {
					cancel()
				}
			}
		}
		first, err := s.Delete(ctx, req)
		if !errors.Is(err, driver.ErrUnknownOutcome) {
			t.Fatalf("a purge that breaks off: %+v, %v", first, err)
		}
		// The server may still be busy with the last step.
		other := pool(t, dsn)
		for busy := 1; busy > 0; time.Sleep(time.Millisecond) {
			must(t, other.QueryRow("SELECT COUNT(*) FROM information_schema.processlist WHERE db = DATABASE() AND id <> CONNECTION_ID()").Scan(&busy))
		}
		left := ofKind(t, dsn, 0)
		if left == 0 || left == events {
			t.Fatalf("%d events of %d were left when it broke off", left, events)
		}
		if _, err := s.Append(t.Context(), to("big", driver.Any, record("x"))); !errors.Is(err, driver.ErrStreamDeleted) {
			t.Errorf("an append after it broke off: %v", err)
		}
		// What is left of it can be read by those who ask for it, and by nobody else.
		if _, err := s.ReadStream(t.Context(), driver.StreamQuery{Stream: "big"}); !errors.Is(err, driver.ErrStreamDeleted) {
			t.Errorf("a read after it broke off: %v", err)
		}
		if n := len(stream(t, s, "big", false)); n != left+1 {
			t.Errorf("after it broke off %d events are read, want the %d that are left and the last", n, left)
		}
		if n := len(stream(t, s, "big", true)); n != left+1 {
			t.Errorf("backward, %d events are read, want %d", n, left+1)
		}

		res, err := s.Delete(t.Context(), req)
		if err != nil || res.Last != events+1 {
			t.Fatalf("the purge again: %+v, %v", res, err)
		}
		if n := ofKind(t, dsn, 0); n != 0 {
			t.Errorf("%d events are left", n)
		}
		if n := ofKind(t, dsn, 2); n != events {
			t.Errorf("%d events are blank, want %d", n, events)
		}
		for _, backward := range []bool{false, true} {
			if all := stream(t, s, "big", backward); len(all) != 1 || all[0].ID != gone.ID {
				t.Errorf("backward %v: %d events are read, want the last alone", backward, len(all))
			}
		}
		if all := feed(t, s); len(all) != 1 || all[0].ID != gone.ID {
			t.Errorf("the feed has %d events, want the last alone", len(all))
		}
		if snap, err := s.LoadSnapshot(t.Context(), "big", "k"); err != nil || snap.Version != 0 {
			t.Errorf("the snapshot is %+v, %v", snap, err)
		}
		updates := 0
		for _, text := range r.texts {
			var from, last int
			if _, between, ok := strings.Cut(text, " AND version BETWEEN "); !ok || !strings.HasPrefix(text, "UPDATE") {
				continue
			} else if _, err := fmt.Sscanf(between, "%d AND %d", &from, &last); err != nil {
				t.Fatal(err)
			}
			updates++
			bytes := 2_000_000 * max(0, min(last, large)-from+1)
			if last-from >= 1000 || bytes > 4<<20 {
				t.Errorf("a statement overwrote the versions %d to %d, with %d bytes", from, last, bytes)
			}
		}
		if updates < events/1000 {
			t.Errorf("%d steps were seen", updates)
		}
	})
}

// A purge between the two statements of a page with large events takes these: what is
// left is no page of a stream that is open.
func TestPurgeWithinRead(t *testing.T) {
	onBoth(t, func(t *testing.T, server string) {
		dsn := newDatabase(t, server)
		cfg, err := client.ParseDSN(dsn)
		must(t, err)
		from, err := client.NewConnector(cfg)
		must(t, err)
		r := &recorder{Connector: from}
		db := sql.OpenDB(r)
		t.Cleanup(func() { db.Close() })
		s, err := mysql.New(t.Context(), db, mysql.Config{})
		must(t, err)
		t.Cleanup(func() { s.Close() })
		other := openStore(t, dsn)
		for i, q := range []driver.StreamQuery{{}, {From: 2}, {Backward: true}, {Backward: true, From: 3}, {Limit: 3}} {
			q.Stream = fmt.Sprint("s", i)
			_, err := other.Append(t.Context(), to(q.Stream, driver.NoStream, record("1"), record(strings.Repeat("x", 10_000)), record("3"), record("4")))
			must(t, err)
			purged := false
			r.seen = func(text string) {
				if !purged && strings.HasPrefix(text, "SELECT position,kind,size,metadata,data") {
					purged = true
					gone := record("")
					gone.Type = driver.TypeDeleted
					_, err := other.Delete(t.Context(), driver.DeleteRequest{Stream: q.Stream, Expected: driver.Any, Mode: driver.Purge, Record: gone})
					must(t, err)
				}
			}
			page, err := s.ReadStream(t.Context(), q)
			if !purged || !errors.Is(err, driver.ErrStreamDeleted) {
				t.Errorf("%+v, purged %v: %d records, %v", q, purged, len(page.Records), err)
			}
		}
	})
}

// fillStream writes events of one stream past the store.
func fillStream(t tester, dsn, stream string, n int) {
	t.Helper()
	execute(t, dsn,
		"CREATE TABLE digits (d INT)", "INSERT INTO digits VALUES (0),(1),(2),(3),(4),(5),(6),(7),(8),(9)",
		"INSERT INTO es_events (position,kind,stream,version,id,type,encoding,time,size,tags,metadata,data) SELECT n,0,'"+stream+"',n,LPAD(n,16,'0'),'noted','json',1,1,'','','x' FROM "+
			"(SELECT 1+a.d+10*b.d+100*c.d+1000*d.d+10000*e.d+100000*f.d n FROM digits a,digits b,digits c,digits d,digits e,digits f) t WHERE n<="+fmt.Sprint(n)+" ORDER BY n",
		"DROP TABLE digits")
}

// ofKind returns how many rows there are of a kind.
func ofKind(t tester, dsn string, kind int) (n int) {
	t.Helper()
	db := pool(t, dsn)
	defer db.Close()
	must(t, db.QueryRow("SELECT COUNT(*) FROM es_events WHERE kind = ?", kind).Scan(&n))
	return n
}

// stream reads a stream that may be deleted, page by page.
func stream(t tester, s driver.Store, name string, backward bool) (all []driver.Record) {
	t.Helper()
	for q := (driver.StreamQuery{Stream: name, Backward: backward, Deleted: true, Limit: 1000}); ; {
		page, err := s.ReadStream(context.Background(), q)
		must(t, err)
		all = append(all, page.Records...)
		if page.End {
			return all
		}
		if q.From = page.Records[len(page.Records)-1].Version + 1; backward {
			q.From -= 2
		}
	}
}
