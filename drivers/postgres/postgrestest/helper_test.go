package postgrestest

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/go-es/es/conformance"
	"github.com/go-es/es/driver"
	"github.com/go-es/es/drivers/postgres"
	"github.com/go-es/es/internal/servers"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func open(ctx context.Context, dsn string) (driver.Store, error) {
	d, _ := driver.Lookup("postgres")
	return d.Open(ctx, dsn)
}

// with returns a data source name with parameters added, each NAME=VALUE.
func with(dsn string, params ...string) string {
	for _, p := range params {
		name, value, _ := strings.Cut(p, "=")
		sep := "?"
		if strings.Contains(dsn, "?") {
			sep = "&"
		}
		dsn += sep + name + "=" + url.PathEscape(value)
	}
	return dsn
}

var schemas atomic.Int64

// data returns the name of an empty store on a server: a schema of its own, which
// is removed at the end.
func data(t conformance.TB, server string) string {
	schema := fmt.Sprintf("es_%x_%d", time.Now().UnixNano(), schemas.Add(1))
	t.Cleanup(func() {
		if err := execute(context.Background(), server, "DROP SCHEMA IF EXISTS "+schema+" CASCADE"); err != nil {
			t.Errorf("%v", err)
		}
	})
	return with(server, "schema="+schema)
}

// table returns the name of a table of a store.
func table(dsn, name string) string {
	cfg, err := postgres.ParseDSN(dsn)
	if err != nil {
		panic(err)
	}
	if cfg.Prefix != "" {
		name = cfg.Prefix + "_" + name
	}
	if cfg.Schema == "" {
		cfg.Schema = "public"
	}
	return cfg.Schema + ".es_" + name
}

// connect opens a connection of the test's to a store's database.
func connect(ctx context.Context, dsn string) (*pgx.Conn, error) {
	cfg, err := postgres.ParseDSN(dsn)
	if err != nil {
		return nil, err
	}
	return pgx.ConnectConfig(ctx, cfg.Pool.ConnConfig)
}

// execute runs statements on a connection of its own.
func execute(ctx context.Context, dsn string, texts ...string) error {
	c, err := connect(ctx, dsn)
	if err != nil {
		return err
	}
	defer c.Close(ctx)
	for _, text := range texts {
		if _, err := c.Exec(ctx, text); err != nil {
			return fmt.Errorf("%s: %w", text, err)
		}
	}
	return nil
}

func server(t testing.TB) string { return servers.DSN(t, "postgres") }

// config returns the configuration of a store.
func (p pooled) config(t testing.TB) postgres.Config {
	t.Helper()
	cfg, err := postgres.ParseDSN(p.dsn)
	must(t, err)
	return cfg
}
