package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/go-es/es/driver"
	"github.com/go-es/es/drivers/postgres"
)

func TestParseDSN(t *testing.T) {
	const url = "postgres://me:secret@localhost:5433/db"
	for _, test := range []struct {
		dsn  string
		want string // schema, prefix, check only, settle, no torn pages, settings of the server
		err  string // a part of it
	}{
		{url, "||false|0s|false|map[]", ""},
		{url + "?schema=shop&prefix=a_1&ddl=check&settle=3s&no_torn_pages=true", "shop|a_1|true|3s|true|map[]", ""},
		{url + "?ddl=create&no_torn_pages=false&settle=-1s&application_name=x", "||false|-1s|false|map[application_name:x]", ""},
		{url + "?schema=My%20Shop", "My Shop||false|0s|false|map[]", ""},
		{"host=localhost user=me password=secret schema='my shop' prefix=p", "my shop|p|false|0s|false|map[]", ""},
		{url + "?prefix=" + strings.Repeat("a", 24), "|" + strings.Repeat("a", 24) + "|false|0s|false|map[]", ""},
		{url + "?prefix=" + strings.Repeat("a", 25), "", "prefix"},
		{url + "?prefix=a-b", "", "prefix"},
		{url + "?prefix=A", "", "prefix"},
		{url + "?schema=", "", "schema"},
		{url + "?schema=" + strings.Repeat("a", 64), "", "schema"},
		{url + "?ddl=drop", "", "ddl=drop"},
		{url + "?settle=5", "", "settle=5"},
		{url + "?settle=0", "", "settle=0"},
		{url + "?no_torn_pages=1", "", "no_torn_pages=1"},
		{url + "?search_path=shop", "", "search_path"},
		{url + "?sslmode=secret", "", "sslmode"},
		{url + "?connect_timeout=secret", "", "connect_timeout"},
		{url + "?pool_max_conns=secret", "", "pool_max_conns"},
		{"postgres://me:secret@localhost:port/db", "", "port"},
		{"postgres://me:secret@[localhost/db", "", "URL"},
		{"mysql://me:secret@localhost/db", "", "URL"},
		{"me:secret@tcp(localhost)/db", "", "URL"},
		{"secret", "", "URL"},
		{"host=localhost password='secret", "", "URL"},
	} {
		cfg, err := postgres.ParseDSN(test.dsn)
		if test.err != "" {
			if !errors.Is(err, driver.ErrInvalid) || !strings.Contains(err.Error(), test.err) || strings.Contains(err.Error(), "secret") {
				t.Errorf("%q: %v", test.dsn, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%q: %v", test.dsn, err)
			continue
		}
		got := fmt.Sprintf("%s|%s|%v|%v|%v|%v", cfg.Schema, cfg.Prefix, cfg.CheckOnly, cfg.Settle, cfg.NoTornPages, cfg.Pool.ConnConfig.RuntimeParams)
		if got != test.want {
			t.Errorf("%q: %s, and not %s", test.dsn, got, test.want)
		}
	}
}

func TestInvalid(t *testing.T) {
	ctx := context.Background()
	pool, err := pgxpool.New(ctx, "postgres://localhost:1/db") // which connects when it is used
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	for name, open := range map[string]func() (*postgres.Store, error){
		"Open without a pool":   func() (*postgres.Store, error) { return postgres.Open(ctx, postgres.Config{}) },
		"New without a pool":    func() (*postgres.Store, error) { return postgres.New(ctx, nil, postgres.Config{}) },
		"New with two":          func() (*postgres.Store, error) { return postgres.New(ctx, pool, postgres.Config{Pool: pool.Config()}) },
		"New with a bad prefix": func() (*postgres.Store, error) { return postgres.New(ctx, pool, postgres.Config{Prefix: "-"}) },
		"Open with a bad schema": func() (*postgres.Store, error) {
			return postgres.Open(ctx, postgres.Config{Pool: pool.Config(), Schema: "\x00"})
		},
	} {
		if s, err := open(); s != nil || !errors.Is(err, driver.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if s, err := postgres.New(ctx, pool, postgres.Config{}); s != nil || !driver.IsTransient(err) {
		t.Errorf("nobody listens: %v", err)
	}
}
