package postgres

import (
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/go-es/es/driver"
)

// Config is what a data source name says; see [ParseDSN].
type Config struct {
	// Pool says how to connect, and with how many connections. [New] takes a pool
	// instead, and it is nil.
	Pool *pgxpool.Config

	// Schema is the database schema that the tables are in: "public" if it is
	// empty. Open creates it where it is missing. search_path counts for nothing.
	Schema string

	// Prefix tells several stores in one schema apart: up to 24 of a-z, 0-9 and
	// _. The tables are es_NAME, or es_PREFIX_NAME.
	Prefix string

	// CheckOnly lets Open create and change nothing: where the tables are
	// missing, it fails with [driver.ErrSchema]. [Config.SQL] creates them.
	CheckOnly bool

	// Settle is how long a write whose answer was lost, or whose context ended
	// after it was sent, may go on to find out what became of it. 2 seconds if 0,
	// not at all below 0.
	Settle time.Duration

	// NoTornPages says that the server's storage never writes half a page, as ZFS
	// or Amazon Aurora, so that full_page_writes=off is accepted.
	NoTornPages bool
}

const (
	defaultSchema = "public"
	defaultSettle = 2 * time.Second
	maxPrefix     = 24
	maxIdentifier = 63 // bytes, in PostgreSQL
)

// ParseDSN reads a data source name, which is a URL or the keywords and values
// that libpq, psql and pgx know, with environment variables such as PGPASSWORD
// and PGSERVICE behind it:
//
//	postgres://user:password@host:5432/database?sslmode=verify-full
//	host=/run/postgresql dbname=database user=me
//
// Besides pgx's own parameters (sslmode, pool_max_conns, connect_timeout,
// default_query_exec_mode and others) and settings of the server, it may have
//
//	schema=NAME           see Config.Schema
//	prefix=NAME           see Config.Prefix
//	ddl=create|check      check: create and change nothing; see Config.CheckOnly
//	settle=DURATION       such as 500ms or 5s; see Config.Settle
//	no_torn_pages=true    see Config.NoTornPages
//
// search_path is refused: the tables are named with their schema. What cannot be
// read is a *driver.InvalidError, which has nothing of the name in it but the
// parameter that is wrong.
func ParseDSN(dsn string) (Config, error) {
	pool, err := pgxpool.ParseConfig(dsn)
	if err != nil {
		return Config{}, malformed(parseReason(err))
	}
	cfg := Config{Pool: pool}
	params := pool.ConnConfig.RuntimeParams
	for _, name := range []string{"schema", "prefix", "ddl", "settle", "no_torn_pages"} {
		value, ok := params[name]
		if !ok {
			continue
		}
		delete(params, name)
		if err := cfg.set(name, value); err != nil {
			return Config{}, malformed(err.Error())
		}
	}
	if err := cfg.check(); err != nil {
		return Config{}, malformed(err.Error())
	}
	return cfg, nil
}

// parseReason says what pgx could not read. Its own text may quote anything that
// was given, a password that it took for something else too, so only the part
// that is a fixed text is used.
func parseReason(err error) string {
	const fallback = "it is neither a URL, such as postgres://user:password@host:5432/database, nor keywords and values, such as host=localhost dbname=database"
	var parse *pgconn.ParseConfigError
	if !errors.As(err, &parse) {
		return fallback
	}
	text := strings.ReplaceAll(err.Error(), parse.ConnString, "")
	for _, name := range []string{"sslmode", "sslrootcert", "port", "connect_timeout", "target_session_attrs", "pool_max_conns", "default_query_exec_mode", "service"} {
		if strings.Contains(text, "invalid "+name) || strings.Contains(text, name+" ") {
			return "the parameter " + name + " cannot be read"
		}
	}
	return fallback
}

func malformed(reason string) error {
	return &driver.InvalidError{What: "postgres: data source name", Reason: reason}
}

// invalid returns the error of a configuration that cannot be.
func invalid(reason string) error {
	return &driver.InvalidError{What: "postgres", Reason: reason}
}

func (cfg *Config) set(name, value string) error {
	switch name {
	case "schema":
		if value == "" {
			return errors.New("schema= is empty")
		}
		cfg.Schema = value
	case "prefix":
		cfg.Prefix = value
	case "ddl":
		switch value {
		case "create":
		case "check":
			cfg.CheckOnly = true
		default:
			return fmt.Errorf("ddl=%s: it is create or check", value)
		}
	case "settle":
		d, err := time.ParseDuration(value)
		if err != nil || d == 0 {
			return fmt.Errorf("settle=%s: it is a duration such as 500ms or 5s", value)
		}
		cfg.Settle = d
	case "no_torn_pages":
		if value != "true" && value != "false" {
			return fmt.Errorf("no_torn_pages=%s: it is true or false", value)
		}
		cfg.NoTornPages = value == "true"
	}
	return nil
}

// check returns an error for values that cannot be.
func (cfg *Config) check() error {
	if len(cfg.Prefix) > maxPrefix || strings.Trim(cfg.Prefix, "abcdefghijklmnopqrstuvwxyz0123456789_") != "" {
		return fmt.Errorf("prefix %q: it has up to %d of a-z, 0-9 and _", cfg.Prefix, maxPrefix)
	}
	if len(cfg.Schema) > maxIdentifier || !utf8.ValidString(cfg.Schema) || strings.ContainsAny(cfg.Schema, "\x00{}") {
		return fmt.Errorf("schema %q: it has up to %d bytes of UTF-8, without braces", cfg.Schema, maxIdentifier)
	}
	if cfg.Pool != nil {
		if _, ok := cfg.Pool.ConnConfig.RuntimeParams["search_path"]; ok {
			return errors.New("search_path: the tables are named with their schema, which is the parameter schema")
		}
	}
	return nil
}

func (cfg *Config) schema() string {
	if cfg.Schema == "" {
		return defaultSchema
	}
	return cfg.Schema
}

func (cfg *Config) settle() time.Duration {
	if cfg.Settle == 0 {
		return defaultSettle
	}
	return max(cfg.Settle, 0)
}
