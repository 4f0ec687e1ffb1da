package mysqltest

import (
	"context"
	"database/sql"
	sqldriver "database/sql/driver"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	client "github.com/go-sql-driver/mysql"

	"github.com/go-es/es/driver"
	"github.com/go-es/es/drivers/mysql"
)

// recorder is a connector whose connections keep the statements that they run.
type recorder struct {
	sqldriver.Connector
	mu    sync.Mutex
	texts []string
	seen  func(text string) // is called with each; may be nil
}

func (r *recorder) Connect(ctx context.Context) (sqldriver.Conn, error) {
	c, err := r.Connector.Connect(ctx)
	return recorded{c, r}, err
}

func (r *recorder) add(text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.texts = append(r.texts, text)
	if r.seen != nil {
		r.seen(text)
	}
}

type recorded struct {
	sqldriver.Conn
	r *recorder
}

func (c recorded) ExecContext(ctx context.Context, text string, args []sqldriver.NamedValue) (sqldriver.Result, error) {
	c.r.add(text)
	return c.Conn.(sqldriver.ExecerContext).ExecContext(ctx, text, args)
}

func (c recorded) QueryContext(ctx context.Context, text string, args []sqldriver.NamedValue) (sqldriver.Rows, error) {
	c.r.add(text)
	return c.Conn.(sqldriver.QueryerContext).QueryContext(ctx, text, args)
}

// Each statement that a store runs finds its rows by a key, in a table of 30,000 events.
func TestExplain(t *testing.T) {
	onBoth(t, func(t *testing.T, server string) {
		dsn := newDatabase(t, server)
		cfg, err := client.ParseDSN(dsn)
		must(t, err)
		from, err := client.NewConnector(cfg)
		must(t, err)
		r := &recorder{Connector: from}
		db := sql.OpenDB(r)
		t.Cleanup(func() { db.Close() })
		ctx := t.Context()
		s, err := mysql.New(ctx, db, mysql.Config{})
		must(t, err)
		t.Cleanup(func() { s.Close() })
		for i := range 30 {
			recs := make([]driver.Record, 1000)
			for j := range recs {
				recs[j] = record("{}")
			}
			_, err := s.Append(ctx, to(fmt.Sprintf("stream-%04d", i), driver.NoStream, recs...))
			must(t, err)
		}
		execute(t, dsn, "ANALYZE TABLE es_events", "INSERT INTO es_checkpoints SELECT CONCAT('c', position), position, 0, '', id FROM es_events LIMIT 1000")
		tx, err := db.Begin()
		must(t, err)
		_, err = s.InTx(tx).Append(ctx, to("undone", driver.NoStream, record("1"), record("2"), record("3")))
		must(t, err)
		must(t, tx.Rollback())
		r.texts = nil
		exercise(t, s)
		if !slices.ContainsFunc(r.texts, func(text string) bool { return strings.Contains(text, "NOWAIT") && strings.Contains(text, ",") }) {
			t.Error("no gap of several positions was filled")
		}
		seen := map[string]bool{}
		for _, text := range r.texts {
			shape := literals.ReplaceAllString(text, "?")
			text = strings.TrimPrefix(text, "SET STATEMENT innodb_lock_wait_timeout=0 FOR ")
			verb, _, _ := strings.Cut(strings.TrimLeft(text, "("), " ")
			if seen[shape] || !strings.Contains("SELECT INSERT UPDATE DELETE", verb) || strings.Contains(text, "DATABASE()") {
				continue
			}
			seen[shape] = true
			explain(t, dsn, text, shape)
		}
		if len(seen) < 20 {
			t.Errorf("only %d statements were seen", len(seen))
		}
	})
}

var literals = regexp.MustCompile(`x'[0-9a-f]*'|\b[0-9]+\b`)

// exercise calls every method, in every form that has a statement of its own.
func exercise(t *testing.T, s *mysql.Store) {
	ctx := t.Context()
	_, err := s.Append(ctx, to("stream-0003", driver.Exactly(1000), record("1")))
	must(t, err)
	_, err = s.Append(ctx, to("stream-0003", driver.Exactly(1000), record("1")))
	if err == nil {
		t.Error("no conflict")
	}
	_, err = s.Append(ctx, driver.AppendRequest{Parts: []driver.Part{
		{Stream: "stream-0005", Expected: driver.Exists, Records: []driver.Record{record("1")}},
		{Stream: "stream-0006", Expected: driver.Exactly(1000)},
	}})
	must(t, err)
	for _, o := range s.AppendGroup(ctx, []driver.AppendRequest{to("stream-0007", driver.Any, record("1")), to("stream-0008", driver.Any, record("1"))}) {
		must(t, o.Err)
	}
	for _, q := range []driver.StreamQuery{{}, {From: 500}, {From: 1001}, {Backward: true}, {From: 500, Backward: true}, {Limit: 3}} {
		q.Stream = "stream-0010"
		_, err := s.ReadStream(ctx, q)
		must(t, err)
	}
	first, err := s.ReadAll(ctx, driver.FeedQuery{Limit: 10})
	must(t, err)
	for _, f := range []driver.Filter{{}, {Types: []string{"tested", "x"}}, {Prefixes: []string{"stream-001", "y"}}} {
		_, err := s.ReadAll(ctx, driver.FeedQuery{After: first.Next, Seen: first.Seen, Filter: f})
		must(t, err)
	}
	feed(t, s)
	head, err := s.Head(ctx)
	must(t, err)
	_, err = s.ReadAll(ctx, driver.FeedQuery{After: head})
	must(t, err)
	time.Sleep(20 * time.Millisecond)
	for _, q := range []driver.ListQuery{{}, {Prefix: "stream-001"}, {After: "stream-0020", Limit: 5}} {
		_, err := s.ListStreams(ctx, q)
		must(t, err)
	}
	cp := driver.Checkpoint{Name: "c", Position: 1, Revision: driver.NewID(time.Now())}
	must(t, s.SaveCheckpoint(ctx, cp, driver.Revision{}))
	prev := cp.Revision
	cp.Revision = driver.NewID(time.Now())
	must(t, s.SaveCheckpoint(ctx, cp, prev))
	_, err = s.LoadCheckpoint(ctx, "c")
	must(t, err)
	_, err = s.ListCheckpoints(ctx, driver.CheckpointQuery{After: "a"})
	must(t, err)
	must(t, s.DeleteCheckpoint(ctx, "c"))
	must(t, s.SaveSnapshot(ctx, driver.Snapshot{Stream: "stream-0010", Kind: "k", Version: 3, EventID: prev, Encoding: "json"}))
	_, err = s.LoadSnapshot(ctx, "stream-0010", "k")
	must(t, err)
	must(t, s.DeleteSnapshot(ctx, "stream-0010", "k"))
	gone := record("")
	gone.Type = driver.TypeDeleted
	_, err = s.Delete(ctx, driver.DeleteRequest{Stream: "stream-0011", Expected: driver.Any, Mode: driver.Purge, Record: gone})
	must(t, err)
	_, err = s.ReadStream(ctx, driver.StreamQuery{Stream: "stream-0011", Deleted: true})
	must(t, err)
}

// explain fails if a statement reads a table from end to end.
func explain(t *testing.T, dsn, text, shape string) {
	t.Helper()
	db := pool(t, dsn)
	defer db.Close()
	rows, err := db.Query("EXPLAIN " + text)
	if err != nil {
		t.Errorf("EXPLAIN %.300s: %v", shape, err)
		return
	}
	defer rows.Close()
	names, err := rows.Columns()
	must(t, err)
	for rows.Next() {
		values, into := make([]sql.NullString, len(names)), make([]any, len(names))
		for i := range values {
			into[i] = &values[i]
		}
		must(t, rows.Scan(into...))
		row := map[string]string{}
		for i, n := range names {
			row[n] = values[i].String
		}
		switch {
		case row["select_type"] == "INSERT", strings.HasPrefix(row["table"], "<"), row["table"] == "", row["table"] == "es_meta", row["table"] == "es_snapshots":
		case row["type"] == "ALL", row["type"] == "index" && !strings.Contains(row["Extra"], "group-by"), row["key"] == "":
			if strings.HasPrefix(shape, "INSERT") && row["select_type"] == "SIMPLE" {
				continue // MariaDB's row for the table that is inserted into
			}
			if strings.HasPrefix(shape, "INSERT") && row["select_type"] == "PRIMARY" {
				continue
			}
			t.Errorf("%.400s\n\treads %v", shape, row)
		}
	}
	must(t, rows.Err())
}
