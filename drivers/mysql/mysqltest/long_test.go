package mysqltest

import (
	"database/sql"
	"strings"
	"testing"

	"github.com/go-es/es/driver"
	"github.com/go-es/es/drivers/mysql"
)

// What the server reads for a page of a long stream does not depend on where in the
// stream the page lies.
func TestLongStream(t *testing.T) {
	onBoth(t, func(t *testing.T, server string) {
		const events, limit = 50_000, 100
		dsn := newDatabase(t, server)
		openStore(t, dsn).Close()
		fillStream(t, dsn, "long", events)
		execute(t, dsn, "ANALYZE TABLE es_events")
		db := pool(t, dsn)
		db.SetMaxOpenConns(1) // the counters are a connection's
		s, err := mysql.New(t.Context(), db, mysql.Config{})
		must(t, err)
		t.Cleanup(func() { s.Close() })
		for _, from := range []driver.Version{0, 2, 100, events / 2, events - 50, events, events + 1} {
			for _, backward := range []bool{false, true} {
				before := rowsRead(t, db)
				page, err := s.ReadStream(t.Context(), driver.StreamQuery{Stream: "long", From: from, Limit: limit, Backward: backward})
				must(t, err)
				if page.Head != events || len(page.Records) > limit || len(page.Records) == 0 && from <= events {
					t.Errorf("from %d, backward %v: %d records, the last version %d", from, backward, len(page.Records), page.Head)
				}
				if n := rowsRead(t, db) - before; n > 2*limit {
					t.Errorf("from %d, backward %v: the server read %d rows for %d events", from, backward, n, len(page.Records))
				}
			}
		}
	})
}

// A page without a limit has a thousand events of the largest size that is read with
// the others, and events about that size come as they were stored.
func TestInlineSize(t *testing.T) {
	onBoth(t, func(t *testing.T, server string) {
		const inline = 4 << 10
		s := openStore(t, newDatabase(t, server))
		var records []driver.Record
		for _, size := range []int{inline + 1, 2*inline + 1, inline, inline - 1} {
			records = append(records, record(strings.Repeat("d", size)))
			parted := record(strings.Repeat("d", size-100))
			parted.Metadata = []byte(strings.Repeat("m", 100))
			records = append(records, parted)
		}
		for len(records) < 1_000 {
			records = append(records, record(strings.Repeat("d", inline)))
		}
		for i, from := range [][]driver.Record{records[8:], records[:8]} {
			_, err := s.Append(t.Context(), to("large", driver.Exactly(driver.Version(i*992)), from...))
			must(t, err)
		}
		records = append(records[8:], records[:8]...)
		page, err := s.ReadStream(t.Context(), driver.StreamQuery{Stream: "large"})
		must(t, err)
		if !page.End || len(page.Records) != len(records) {
			t.Fatalf("%d records, the end: %v", len(page.Records), page.End)
		}
		for i, got := range [][]driver.Record{page.Records, feed(t, s)} {
			if len(got) != len(records) {
				t.Fatalf("read %d: %d records", i, len(got))
			}
			for j, r := range got {
				if want := records[j]; r.ID != want.ID || string(r.Data) != string(want.Data) || string(r.Metadata) != string(want.Metadata) {
					t.Fatalf("read %d, record %d: %d bytes of data and %d of metadata, want %d and %d", i, j, len(r.Data), len(r.Metadata), len(want.Data), len(want.Metadata))
				}
			}
		}
	})
}

// rowsRead returns how many rows the only connection of a pool has read from indexes.
func rowsRead(t tester, db *sql.DB) (n int) {
	t.Helper()
	rows, err := db.Query("SHOW SESSION STATUS LIKE 'Handler_read%'")
	must(t, err)
	defer rows.Close()
	for rows.Next() {
		var name string
		var count int
		must(t, rows.Scan(&name, &count))
		if !strings.HasSuffix(name, "_rnd_next") { // SHOW itself reads a table
			n += count
		}
	}
	must(t, rows.Err())
	return n
}
