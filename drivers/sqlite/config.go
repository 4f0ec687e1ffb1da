package sqlite

import (
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/go-es/es/driver"
)

// Config is what a data source name says; see [ParseDSN].
type Config struct {
	// Path is the database file; ":memory:" is a private database in memory. A
	// relative path is taken from the directory that is current at Open. For
	// [New] it is empty.
	Path string

	// Prefix tells several stores in one database apart: up to 24 of a-z, 0-9
	// and _. The tables are es_NAME, or es_PREFIX_NAME.
	Prefix string

	// CheckOnly lets Open create and change nothing: where the file or the
	// tables are missing, it fails with [driver.ErrSchema].
	CheckOnly bool

	// Sync says how durable a commit is.
	Sync Sync

	// Busy is how long a write waits for one of another process, or of another
	// connection, before it fails with a transient error. 5 seconds if 0.
	Busy time.Duration
}

// Sync is how durable a commit is.
type Sync int

const (
	// SyncFull is the default: what was acknowledged survives a loss of power.
	SyncFull Sync = iota
	// SyncNormal is several times as fast for single appends. What was
	// acknowledged survives the kill of the process; the last moments may be
	// gone after a loss of power or a crash of the operating system, and their
	// positions are then given to other events.
	SyncNormal
)

const (
	memory      = ":memory:"
	defaultBusy = 5 * time.Second
	maxPrefix   = 24
)

// ParseDSN reads a data source name: a file name, a file: URI or ":memory:", and
// after a question mark any of
//
//	prefix=NAME       see Config.Prefix
//	ddl=create|check  check: create and change nothing; see Config.CheckOnly
//	sync=full|normal  see Config.Sync
//	busy=DURATION     such as 500ms or 5s; see Config.Busy
//
// There are no others: es sets SQLite's own settings itself. The name of a file
// with a question mark in it is written as a URI: file:a%3Fb.db.
//
// What cannot be read is a *driver.InvalidError; so is a name with the scheme of
// another database, or with "sqlite:" before it. A file that is called so is
// written ./sqlite:x or as a URI.
func ParseDSN(dsn string) (Config, error) {
	for _, scheme := range []string{"sqlite:", "sqlite3:"} {
		if strings.HasPrefix(dsn, scheme) {
			return Config{}, malformed(dsn, fmt.Sprintf("leave out %q: it is the name of a file, such as history.db, or file:history.db", scheme))
		}
	}
	path, query, _ := strings.Cut(dsn, "?")
	if rest, ok := strings.CutPrefix(path, "file:"); ok {
		var err error
		if path, err = uriPath(rest); err != nil {
			return Config{}, malformed(dsn, err.Error())
		}
	}
	if !strings.HasPrefix(dsn, "file:") && strings.Contains(path, "://") {
		return Config{}, malformed(dsn, "it is the address of another database, and no file name")
	}
	cfg := Config{Path: path}
	if path == "" {
		return Config{}, malformed(dsn, `it names no file; ":memory:" is a private database in memory`)
	}
	params, err := url.ParseQuery(query)
	if err != nil {
		return Config{}, malformed(dsn, err.Error())
	}
	for name, values := range params {
		if len(values) > 1 {
			return Config{}, malformed(dsn, fmt.Sprintf("parameter %q occurs %d times", name, len(values)))
		}
		if err := cfg.set(name, values[0]); err != nil {
			return Config{}, malformed(dsn, err.Error())
		}
	}
	if err := cfg.check(); err != nil {
		return Config{}, malformed(dsn, err.Error())
	}
	return cfg, nil
}

func malformed(dsn, reason string) error {
	return &driver.InvalidError{What: fmt.Sprintf("sqlite: data source name %q", withoutSecrets(dsn)), Reason: reason}
}

// withoutSecrets cuts the user and the password out of an address: all between
// :// and the last @, because a password may hold any other sign.
func withoutSecrets(dsn string) string {
	scheme, rest, ok := strings.Cut(dsn, "://")
	if !ok {
		return dsn
	}
	if at := strings.LastIndexByte(rest, '@'); at >= 0 {
		rest = "..." + rest[at:]
	}
	if scheme != "file" {
		rest, _, _ = strings.Cut(rest, "?") // another database's settings
	}
	return scheme + "://" + rest
}

// invalid returns the error of a configuration that cannot be.
func invalid(reason string) error {
	return &driver.InvalidError{What: "sqlite", Reason: reason}
}

// uriPath returns the path of a URI without its scheme and its parameters.
func uriPath(s string) (string, error) {
	if strings.Contains(s, "#") {
		return "", fmt.Errorf("a # in a file name is written %%23")
	}
	if rest, ok := strings.CutPrefix(s, "//"); ok {
		host, path, _ := strings.Cut(rest, "/")
		if host != "" && host != "localhost" {
			return "", fmt.Errorf("it names a host; a URI is file:PATH or file:///PATH")
		}
		s = "/" + path
	}
	path, err := url.PathUnescape(s)
	if err != nil {
		return "", err
	}
	return path, nil
}

func (cfg *Config) set(name, value string) error {
	switch name {
	case "prefix":
		cfg.Prefix = value
		return nil
	case "ddl":
		switch value {
		case "create":
			return nil
		case "check":
			cfg.CheckOnly = true
			return nil
		}
		return fmt.Errorf("ddl=%s: it is create or check", value)
	case "sync":
		switch value {
		case "full":
			return nil
		case "normal":
			cfg.Sync = SyncNormal
			return nil
		}
		return fmt.Errorf("sync=%s: it is full or normal", value)
	case "busy":
		d, err := time.ParseDuration(value)
		if err != nil || d <= 0 {
			return fmt.Errorf("busy=%s: it is a duration such as 500ms or 5s", value)
		}
		cfg.Busy = d
		return nil
	default:
		return fmt.Errorf("unknown parameter %q: there are prefix, ddl, sync and busy; es sets SQLite's own settings itself", name)
	}
}

// check returns an error for values that no DSN can have.
func (cfg *Config) check() error {
	if strings.IndexByte(cfg.Path, 0) >= 0 {
		return fmt.Errorf("the path contains a NUL byte")
	}
	if len(cfg.Prefix) > maxPrefix || strings.Trim(cfg.Prefix, "abcdefghijklmnopqrstuvwxyz0123456789_") != "" {
		return fmt.Errorf("prefix %q: it has up to %d of a-z, 0-9 and _", cfg.Prefix, maxPrefix)
	}
	if cfg.Sync != SyncFull && cfg.Sync != SyncNormal {
		return fmt.Errorf("field Sync: %d is neither SyncFull nor SyncNormal", cfg.Sync)
	}
	if cfg.Busy < 0 {
		return fmt.Errorf("field Busy: %v is negative", cfg.Busy)
	}
	return nil
}
