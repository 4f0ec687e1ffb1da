package mysqltest

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/hex"
	"strings"
	"testing"
	"time"

	"github.com/go-es/es/driver"
	"github.com/go-es/es/drivers/mysql"
	"github.com/go-es/es/internal/servers"
)

// both are the names of the servers that everything is tried on.
var both = []string{"mariadb", "mysql"}

// onBoth runs a test on each server, with the data source name of its databases
// without the name of one.
func onBoth(t *testing.T, f func(t *testing.T, server string)) {
	for _, name := range both {
		t.Run(name, func(t *testing.T) { f(t, at(servers.DSN(t, name))) })
	}
}

// at returns a data source name without its database.
func at(dsn string) string { return dsn[:strings.LastIndexByte(dsn, '/')+1] }

type tester interface {
	Helper()
	Cleanup(func())
	Fatalf(format string, args ...any)
}

func must(t tester, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%v", err)
	}
}

func open(ctx context.Context, dsn string) (driver.Store, error) {
	d, _ := driver.Lookup("mysql")
	return d.Open(ctx, dsn)
}

// pool returns a pool of the client's own, with what a program would set.
func pool(t tester, dsn string) *sql.DB {
	t.Helper()
	dsn, _, _ = strings.Cut(dsn, "?")
	db, err := sql.Open("mysql", dsn)
	must(t, err)
	t.Cleanup(func() { db.Close() })
	return db
}

// newDatabase makes a database of the test's own.
func newDatabase(t tester, server string) string {
	t.Helper()
	var b [6]byte
	rand.Read(b[:])
	name := "es_" + hex.EncodeToString(b[:])
	db := pool(t, server)
	_, err := db.Exec("CREATE DATABASE " + name)
	must(t, err)
	db.Close()
	t.Cleanup(func() {
		db := pool(t, server)
		defer db.Close()
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if _, err := db.ExecContext(ctx, "DROP DATABASE "+name); err != nil {
			t.Fatalf("%v", err)
		}
	})
	return server + name
}

func execute(t tester, dsn string, texts ...string) {
	t.Helper()
	db := pool(t, dsn)
	defer db.Close()
	for _, text := range texts {
		if _, err := db.Exec(text); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
	}
}

func openStore(t tester, dsn string) *mysql.Store {
	t.Helper()
	cfg, err := mysql.ParseDSN(dsn)
	must(t, err)
	s, err := mysql.Open(context.Background(), cfg)
	must(t, err)
	t.Cleanup(func() { s.Close() })
	return s
}

func record(data string) driver.Record {
	now := time.Now()
	return driver.Record{ID: driver.NewID(now), Type: "tested", Encoding: "json", Data: []byte(data), Time: now}
}

func to(stream string, expected driver.Expected, records ...driver.Record) driver.AppendRequest {
	return driver.AppendRequest{Parts: []driver.Part{{Stream: stream, Expected: expected, Records: records}}}
}

// feed reads the whole feed.
func feed(t tester, s driver.Store) []driver.Record {
	t.Helper()
	var all []driver.Record
	q := driver.FeedQuery{}
	for start := time.Now(); ; {
		page, err := s.ReadAll(context.Background(), q)
		must(t, err)
		all = append(all, page.Records...)
		if page.End {
			return all
		}
		if page.Next == q.After {
			if time.Since(start) > 20*time.Second {
				t.Fatalf("the feed does not get past position %d", q.After)
			}
			time.Sleep(2 * time.Millisecond)
		}
		q.After, q.Seen = page.Next, page.Seen
	}
}
