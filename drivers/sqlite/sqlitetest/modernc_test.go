package sqlitetest

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-es/es/driver"
	"github.com/go-es/es/drivers/sqlite"
)

// A transaction of the driver without C.
func TestModerncInTx(t *testing.T) {
	ctx := context.Background()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(t.TempDir(), "es.db")+"?_txlock=immediate&_pragma=synchronous(FULL)&_pragma=busy_timeout(1000)")
	must(t, err)
	defer db.Close()
	s, err := sqlite.New(ctx, db, sqlite.Config{})
	must(t, err)
	defer s.Close()
	for _, commit := range []bool{false, true} {
		tx, err := db.Begin()
		must(t, err)
		in := s.InTx(tx)
		res, err := in.Append(ctx, request("s", driver.NoStream, 3))
		must(t, err)
		if res.Parts[0] != (driver.Appended{First: 1, Last: 3, Position: 3}) {
			t.Errorf("%+v", res)
		}
		if _, err := in.Append(ctx, request("s", driver.NoStream, 1)); !errors.Is(err, driver.ErrConflict) {
			t.Error(err)
		}
		page, err := in.ReadStream(ctx, driver.StreamQuery{Stream: "s"})
		if err != nil || len(page.Records) != 3 || string(page.Records[2].Data) != string(payload) {
			t.Errorf("%+v, %v", page, err)
		}
		if commit {
			must(t, tx.Commit())
		} else {
			must(t, tx.Rollback())
		}
	}
	if head, err := s.Head(ctx); err != nil || head != 3 {
		t.Errorf("%d, %v", head, err)
	}
}

// Settings of such a pool under which a promise would not hold.
func TestModerncRefused(t *testing.T) {
	for _, pragma := range []string{"read_uncommitted(1)", "query_only(1)", "locking_mode(EXCLUSIVE)", "encoding('UTF-16')"} {
		db, err := sql.Open("sqlite", "file:"+filepath.Join(t.TempDir(), "es.db")+"?_pragma="+pragma)
		must(t, err)
		if s, err := sqlite.New(context.Background(), db, sqlite.Config{}); err == nil {
			t.Errorf("%s: opened", pragma)
			s.Close()
		} else if name, _, _ := strings.Cut(pragma, "("); !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", pragma, err)
		}
		must(t, db.Close())
	}
}

// A file that was replaced while such a pool had it open takes nothing any more.
func TestModerncReplaced(t *testing.T) {
	ctx := context.Background()
	file := filepath.Join(t.TempDir(), "es.db")
	db, err := sql.Open("sqlite", "file:"+file)
	must(t, err)
	defer db.Close()
	s, err := sqlite.New(ctx, db, sqlite.Config{})
	must(t, err)
	defer s.Close()
	_, err = s.Append(ctx, request("s", driver.NoStream, 3))
	must(t, err)
	must(t, os.Rename(file, file+".old"))
	if _, err = s.Append(ctx, request("s", driver.Any, 1)); !errors.Is(err, driver.ErrCorrupt) {
		t.Error(err)
	}
	if _, err := s.Head(ctx); !errors.Is(err, driver.ErrCorrupt) {
		t.Error(err)
	}
	if _, err := os.Stat(file); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("something was made in its place (%v)", err)
	}
	must(t, os.Rename(file+".old", file))
	if res, err := s.Append(ctx, request("s", driver.Exactly(3), 1)); err != nil || res.Parts[0].Position != 4 {
		t.Errorf("%+v, %v", res, err)
	}
}

var payload = []byte(`{"account":"4b2c8a6e","amount":1250,"currency":"EUR"}`)

// request is an append of n events with fresh ids.
func request(stream string, expected driver.Expected, n int) driver.AppendRequest {
	now := time.Now()
	records := make([]driver.Record, n)
	for i := range records {
		records[i] = driver.Record{ID: driver.NewID(now), Type: "account.deposited", Encoding: "json", Time: now, Data: payload}
	}
	return driver.AppendRequest{Parts: []driver.Part{{Stream: stream, Expected: expected, Records: records}}}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
