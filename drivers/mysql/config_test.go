package mysql_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/go-es/es/driver"
	"github.com/go-es/es/drivers/mysql"
)

func TestParseDSN(t *testing.T) {
	for dsn, want := range map[string]string{ // address, user, password, database, prefix
		"ada:pw@tcp(h:1)/shop":                              "h:1 ada pw shop ",
		"ada:p/w?@x@tcp(h:1)/shop":                          "h:1 ada p/w?@x shop ",
		"tcp(h)/shop?prefix=a_1":                            "h:3306   shop a_1",
		"ada@unix(/run/m.sock)/shop?parseTime=true":         "/run/m.sock ada  shop ",
		"mysql://ada:p%40%2Fw@h:1/shop?prefix=x&timeout=1s": "h:1 ada p@/w shop x",
		"mysql://h/shop":                                    "h:3306   shop ",
		"mysql://ada@[::1]:1/shop":                          "[::1]:1 ada  shop ",
	} {
		cfg, err := mysql.ParseDSN(dsn)
		if err != nil {
			t.Errorf("%s: %v", dsn, err)
			continue
		}
		c := cfg.Client
		if got := strings.Join([]string{c.Addr, c.User, c.Passwd, c.DBName, cfg.Prefix}, " "); got != want {
			t.Errorf("%s: %q, want %q", dsn, got, want)
		}
	}
	cfg, err := mysql.ParseDSN("tcp(h)/shop?ddl=check&settle=-1s&conns=3&atomicpages=true&tls=skip-verify&maxAllowedPacket=16777216")
	if err != nil || !cfg.CheckOnly || !cfg.AtomicPages || cfg.Settle != -time.Second || cfg.Conns != 3 || cfg.Client.TLSConfig != "skip-verify" {
		t.Errorf("%+v, %v", cfg, err)
	}
}

// What cannot be read says why, and shows no secret.
func TestMalformed(t *testing.T) {
	for dsn, word := range map[string]string{
		"":                                "empty",
		"shop":                            "form",
		"ada:t0p@tcp(h:1)":                "form",
		"ada:t0p@h:1/shop":                "form",
		"mysql://ada:t0p@tcp(h:1)/shop":   "form",
		"mysql://ada:t0p@h:port/shop":     "form",
		"mysql://ada:t0p%zz@h/shop":       "form",
		"mysql://ada:t0p@h":               "form",
		"mysql://ada:t0p@h/":              "database",
		"ada:t0p@tcp(h:1)/":               "database",
		"postgres://ada:t0p@h/shop":       "another database",
		"ada:t0p@tcp(h)/shop?prefix=Shop": "prefix",
		"ada:t0p@tcp(h)/shop?prefix=" + strings.Repeat("a", 25): "prefix",
		"ada:t0p@tcp(h)/shop?ddl=no":                            "ddl",
		"ada:t0p@tcp(h)/shop?atomicpages=1":                     "atomicpages",
		"ada:t0p@tcp(h)/shop?settle=0":                          "settle",
		"ada:t0p@tcp(h)/shop?conns=many":                        "conns",
		"ada:t0p@tcp(h)/shop?sql_mode=''":                       `"sql_mode"`,
		"ada:t0p@tcp(h)/shop?tx_isolation=x":                    `"tx_isolation"`,
		"ada:t0p@tcp(h)/shop?ddl":                               `"ddl"`,
		"ada:t0p@tcp(h)/shop?ddl=check&ddl=check":               "twice",
		"ada:t0p@tcp(h)/shop?maxAllowedPacket=1":                "maxAllowedPacket",
		"ada:t0p@tcp(h)/shop?timeout=soon":                      "soon",
		"ada:t0p@tcp(h)/shop?tls=none-such":                     "none-such",
	} {
		_, err := mysql.ParseDSN(dsn)
		var invalid *driver.InvalidError
		if !errors.As(err, &invalid) || !strings.Contains(err.Error(), word) || strings.Contains(err.Error(), "t0p") {
			t.Errorf("%s: %v, want an InvalidError with %q and no password", dsn, err, word)
		}
	}
}

func TestConfig(t *testing.T) {
	ctx := context.Background()
	for _, cfg := range []mysql.Config{{}, {Prefix: "A"}, {Conns: -1}} {
		if _, err := mysql.Open(ctx, cfg); !errors.Is(err, driver.ErrInvalid) {
			t.Errorf("Open(%+v): %v", cfg, err)
		}
	}
	if _, err := mysql.New(ctx, nil, mysql.Config{}); !errors.Is(err, driver.ErrInvalid) {
		t.Errorf("New without a pool: %v", err)
	}
	if _, err := mysql.Schema("A B"); !errors.Is(err, driver.ErrInvalid) {
		t.Errorf("Schema: %v", err)
	}
}
