package postgrestest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/go-es/es/conformance"
	"github.com/go-es/es/driver"
	"github.com/go-es/es/drivers/postgres"
	"github.com/go-es/es/internal/cut"
	"github.com/go-es/es/internal/servers"
)

var caps = driver.Caps{
	MaxEventBytes:    16 << 20,
	MaxAppendEvents:  10_000,
	MaxAppendBytes:   64 << 20,
	MaxStreams:       1_000,
	MaxSnapshotBytes: 16 << 20,
	PositionOnAppend: true,
	FilterFeed:       true,
}

func TestConformance(t *testing.T) {
	server := server(t)
	conformance.Run(t, conformance.Config{
		Open:      open,
		DSN:       func(t conformance.TB) string { return data(t, server) },
		Caps:      caps,
		FeedBound: servers.Bound,
		Processes: true,
		Beside:    func(t conformance.TB, dsn string) string { return with(dsn, "prefix=beside") },
		Hold:      hold,
		InTx:      inTx,
		Restore:   restore,
		Malformed: []string{"postgres://localhost:port/db", "mysql://root@127.0.0.1/db", "nothing", with(server, "prefix=A"), with(server, "ddl=no"),
			with(server, "settle=5"), with(server, "search_path=es"), with(server, "sslmode=perhaps"), with(server, "es_nothing_such=1"),
			with(server, "prefix="+strings.Repeat("a", 25)), with(server, "schema="+strings.Repeat("a", 64))},
		Foreign: []func(conformance.TB) (string, func() error){
			foreign(server, "CREATE TABLE S.es_events (x int)", "INSERT INTO S.es_events VALUES (1)"),
			foreign(server, "CREATE TABLE S.es_meta (key text, value text)", "INSERT INTO S.es_meta VALUES ('schema', 'theirs')"),
			foreign(server, "CREATE TABLE S.es_meta (key text, value bigint)", "INSERT INTO S.es_meta VALUES ('schema', 1)", "CREATE TABLE S.es_streams (x int)"),
			foreign(server, "CREATE TABLE S.es_meta (x int)"),
		},
		Newer: func(t conformance.TB, dsn string) func() {
			set := func(version int) {
				if err := execute(t.Context(), dsn, fmt.Sprintf("UPDATE %s SET value = %d WHERE key = 'schema'", table(dsn, "meta"), version)); err != nil {
					t.Fatalf("%v", err)
				}
			}
			set(2)
			return func() { set(1) }
		},
		Secrets: []conformance.Secret{
			{DSN: "postgres://es:hunter2x@127.0.0.1:1/es", Secret: "hunter2x"},
			{DSN: "postgres://es:hunter2x@127.0.0.1:port/es", Secret: "hunter2x"},
			{DSN: "postgres://es:hunter2x@[127.0.0.1/es", Secret: "hunter2x"},
			{DSN: "host=127.0.0.1 password='hunter2x", Secret: "hunter2x"},
			{DSN: "host=127.0.0.1 password=hunter2x sslmode=hunter2x", Secret: "hunter2x"},
			{DSN: "host=127.0.0.1 port=1 password=hunter2x", Secret: "hunter2x"},
			{DSN: "es:hunter2x@tcp(127.0.0.1:1)/es", Secret: "hunter2x"},
		},
		Refused: []conformance.Refused{
			{DSN: with(server, "synchronous_commit=off"), Word: "synchronous_commit"},
			{DSN: with(server, "default_transaction_read_only=on"), Word: "default_transaction_read_only"},
			{DSN: with(server, "client_encoding=LATIN1"), Word: "client_encoding"},
		},
		CheckOnly: func(dsn string) string { return with(dsn, "ddl=check") },
		Corrupt: []func(conformance.TB, string, string){
			damage("type = '', encoding = ''"),
			damage("encoding = ''"),
			damage("version = -2"),
		},
		Fault: fault,
		Crash: crash,
	})
}

// crash makes data on a server of its own.
func crash(t conformance.TB) (dsn string, kill, revive func()) {
	tb, ok := t.(testing.TB)
	if !ok {
		t.Fatalf("%T is no testing.TB", t)
	}
	s := servers.Run(tb, "postgres")
	return with(s.DSN, "schema=crashed"), s.Kill, s.Start
}

// pooled is a store in a pool of the test's, which it closes with itself.
type pooled struct {
	*postgres.Store
	pool *pgxpool.Pool
	dsn  string
	line *cut.Line
}

func (p pooled) Close() error {
	err := p.Store.Close()
	p.pool.Close()
	if p.line != nil {
		err = errors.Join(err, p.line.Close())
	}
	return err
}

// openPool opens a store in a pool of the test's.
func openPool(ctx context.Context, dsn string, line *cut.Line) (driver.Store, error) {
	cfg, err := postgres.ParseDSN(dsn)
	if err != nil {
		return nil, err
	}
	if line != nil {
		cfg.Pool.ConnConfig.DialFunc = line.DialContext
	}
	pool, err := pgxpool.NewWithConfig(ctx, cfg.Pool)
	if err != nil {
		return nil, err
	}
	cfg.Pool = nil
	s, err := postgres.New(ctx, pool, cfg)
	if err != nil {
		pool.Close()
		return nil, err
	}
	return pooled{s, pool, dsn, line}, nil
}

// inTx begins a transaction as a program with a pool of its own does.
func inTx(t conformance.TB, dsn string) (store driver.Store, commit, rollback func() error) {
	ctx := context.Background()
	s, err := openPool(ctx, dsn, nil)
	if err != nil {
		t.Fatalf("%v", err)
	}
	p := s.(pooled)
	t.Cleanup(func() { p.Close() })
	tx, err := p.pool.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.ReadCommitted})
	if err != nil {
		t.Fatalf("%v", err)
	}
	return p.InTx(tx), func() error { return tx.Commit(ctx) }, func() error { return tx.Rollback(ctx) }
}

// hold appends by hand, as the driver does, and leaves the transaction open.
func hold(t conformance.TB, dsn string, req driver.AppendRequest) (commit, rollback func() error) {
	ctx := context.Background()
	s, err := openPool(ctx, dsn, nil)
	if err != nil {
		t.Fatalf("%v", err)
	}
	p := s.(pooled)
	tx, err := p.pool.Begin(ctx)
	if err != nil {
		t.Fatalf("%v", err)
	}
	if _, err := p.InTx(tx).Append(ctx, req); err != nil {
		t.Fatalf("%v", err)
	}
	end := func(f func(context.Context) error) func() error {
		return func() error { return errors.Join(f(ctx), p.Close()) }
	}
	return end(tx.Commit), end(tx.Rollback)
}

// restore copies the tables, and back.
func restore(t conformance.TB, dsn string) func() {
	var out, back []string
	for _, name := range []string{"streams", "events", "checkpoints", "snapshots"} {
		name = table(dsn, name)
		out = append(out, "CREATE TABLE "+name+"_copy AS TABLE "+name)
		back = append(back, "TRUNCATE "+name, "INSERT INTO "+name+" TABLE "+name+"_copy")
	}
	back = append(back, fmt.Sprintf("SELECT setval('%s', (SELECT max(position) FROM %s))", table(dsn, "positions"), table(dsn, "events")))
	if err := execute(t.Context(), dsn, out...); err != nil {
		t.Fatalf("%v", err)
	}
	return func() {
		if err := execute(t.Context(), dsn, back...); err != nil {
			t.Fatalf("%v", err)
		}
	}
}

// foreign makes tables that are not a store's.
func foreign(server string, texts ...string) func(conformance.TB) (string, func() error) {
	return func(t conformance.TB) (string, func() error) {
		dsn := data(t, server)
		schema := strings.TrimSuffix(table(dsn, ""), ".es_")
		ctx := context.Background()
		if err := execute(ctx, dsn, "CREATE SCHEMA "+schema); err != nil {
			t.Fatalf("%v", err)
		}
		for _, text := range texts {
			if err := execute(ctx, dsn, strings.ReplaceAll(text, "S.", schema+".")); err != nil {
				t.Fatalf("%v", err)
			}
		}
		look := func() (string, error) {
			c, err := connect(ctx, dsn)
			if err != nil {
				return "", err
			}
			defer c.Close(ctx)
			var s string
			err = c.QueryRow(ctx, "SELECT schema_to_xml($1, true, false, '')::text", schema).Scan(&s)
			return s, err
		}
		before, err := look()
		if err != nil {
			t.Fatalf("%v", err)
		}
		return dsn, func() error {
			after, err := look()
			if err == nil && after != before {
				err = fmt.Errorf("the tables were changed:\n%s\n%s", before, after)
			}
			return err
		}
	}
}

func damage(set string) func(conformance.TB, string, string) {
	return func(t conformance.TB, dsn, stream string) {
		err := execute(t.Context(), dsn, fmt.Sprintf("UPDATE %s SET %s WHERE version = 2 AND stream = '%s'", table(dsn, "events"), set, stream))
		if err != nil {
			t.Fatalf("%v", err)
		}
	}
}

// fault opens a client whose connections are cut on demand.
func fault(t conformance.TB, dsn string) conformance.Faulty {
	p := protocol{texts: map[string]string{}}
	line := &cut.Line{Writes: p.writes, Done: answered}
	s, err := openPool(t.Context(), dsn, line)
	if err != nil {
		t.Fatalf("%v", err)
	}
	return conformance.Faulty{
		Store:   s,
		Break:   line.Break,
		BreakAt: line.BreakAt,
		Late:    line.Late,
		Down:    func() func() { return line.Down(cut.Held) },
	}
}
