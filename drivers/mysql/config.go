package mysql

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	client "github.com/go-sql-driver/mysql"

	"github.com/go-es/es/driver"
)

// Config is what a data source name says; see [ParseDSN].
type Config struct {
	// Client says how to reach the server. Its Loc, ParseTime, ClientFoundRows,
	// ColumnsWithAlias, InterpolateParams, MultiStatements, Collation and Params
	// are the store's to set, and its Logger is left out. For [New] it is nil.
	Client *client.Config

	// Prefix tells several stores in one database apart: up to 24 of a-z, 0-9
	// and _. The tables are es_NAME, or es_PREFIX_NAME.
	Prefix string

	// CheckOnly lets Open create nothing, and need no right to: where a table is
	// missing, it fails with [driver.ErrSchema].
	CheckOnly bool

	// AtomicPages says that the storage of the server writes pages of 16 KiB as a
	// whole or not at all, as some file systems (ZFS) and cloud services do (with
	// "optimized writes"), and admits a server with innodb_doublewrite off. On any
	// other storage a loss of power would damage what was acknowledged.
	AtomicPages bool

	// Settle is how long a write whose outcome is not known is sent again to find
	// it out, and how long one that was sent goes on after the end of its
	// context. 2 seconds if 0; below 0, not at all.
	Settle time.Duration

	// Conns is how many connections [Open] opens at most; 32 if 0. For [New], the
	// pool's own limit holds, and it is 0.
	Conns int
}

const (
	defaultSettle = 2 * time.Second
	defaultConns  = 32
	maxPrefix     = 24
)

// ParseDSN reads a data source name, in the form of github.com/go-sql-driver/mysql
// or as a URL, in which special signs of the user and the password are escaped:
//
//	user:password@tcp(host:port)/database?parameter=value
//	user:password@unix(/path/to/socket)/database
//	mysql://user:password@host:port/database?parameter=value
//
// The parameters of es are
//
//	prefix=NAME             see Config.Prefix
//	ddl=create|check        check: create nothing; see Config.CheckOnly
//	atomicpages=true|false  see Config.AtomicPages
//	settle=DURATION         such as 500ms or 5s; see Config.Settle
//	conns=N                 see Config.Conns
//
// and those of the client that say how to connect pass: tls, timeout,
// readTimeout, writeTimeout, compress, maxAllowedPacket, rejectReadOnly,
// serverPubKey, connectionAttributes, checkConnLiveness and allow... . Parameters that
// change what a query means or returns are the store's to set and are taken no
// notice of; variables of the server are refused.
//
// What cannot be read is a *driver.InvalidError, which shows neither the user nor
// the password.
func ParseDSN(dsn string) (Config, error) {
	cfg, err := parseDSN(dsn)
	if err == nil {
		err = cfg.check()
	}
	if err != nil {
		return Config{}, &driver.InvalidError{What: "mysql: data source name", Reason: err.Error()}
	}
	return cfg, nil
}

var errForm = errors.New("it is not of the form user:password@tcp(host:port)/database, or mysql://user:password@host:port/database with special signs in the user and the password escaped (%40 for @)")

func parseDSN(dsn string) (Config, error) {
	address, query, err := split(dsn)
	if err != nil {
		return Config{}, err
	}
	cfg := Config{}
	options, err := cfg.parameters(query)
	if err != nil {
		return Config{}, err
	}
	// The errors of the client's parser may quote what it took for an address.
	if _, err := client.ParseDSN("tcp(127.0.0.1:1)/x?" + options); err != nil {
		return Config{}, fmt.Errorf("its parameters: %w", err)
	}
	if strings.HasPrefix(dsn, urlScheme) {
		cfg.Client, err = parseURL(address, options)
	} else if cfg.Client, err = client.ParseDSN(address + "?" + options); err != nil {
		err = errForm
	}
	if err == nil && strings.TrimSpace(cfg.Client.DBName) == "" {
		err = errors.New("it names no database: user:password@tcp(host:port)/database")
	}
	if err == nil && cfg.Client.Net != "tcp" && cfg.Client.Net != "unix" && !strings.Contains(address, "(") {
		err = errForm
	}
	return cfg, err
}

const urlScheme = "mysql://"

// split returns what is before the parameters, and the parameters. As in the
// client, the last slash comes before the name of the database: a password may
// hold one.
func split(dsn string) (address, query string, err error) {
	if dsn == "" {
		return "", "", errors.New("it is empty")
	}
	if scheme, _, ok := strings.Cut(dsn, "://"); ok && !strings.ContainsAny(scheme, ":@(/") && scheme != "mysql" {
		return "", "", errors.New("it is the address of another database: it begins with mysql://, or is user:password@tcp(host:port)/database")
	}
	slash := strings.LastIndexByte(dsn, '/')
	if rest, ok := strings.CutPrefix(dsn, urlScheme); ok { // in a URL the password is escaped
		before, _, _ := strings.Cut(rest, "?")
		slash = strings.LastIndexByte(before, '/')
		if slash >= 0 {
			slash += len(urlScheme)
		}
	}
	if slash < 0 {
		return "", "", errForm
	}
	name, query, _ := strings.Cut(dsn[slash:], "?")
	return dsn[:slash] + name, query, nil
}

func parseURL(address, options string) (*client.Config, error) {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || strings.ContainsAny(u.Host, "()") || strings.Contains(strings.TrimPrefix(u.Path, "/"), "/") {
		return nil, errForm // the error itself may hold the password
	}
	c, err := client.ParseDSN("tcp(" + u.Host + ")/?" + options)
	if err != nil {
		return nil, errForm
	}
	c.DBName = strings.TrimPrefix(u.Path, "/")
	c.User = u.User.Username()
	c.Passwd, _ = u.User.Password()
	return c, nil
}

// Parameters of the client: those that say how to connect, and those that the
// store sets itself.
var (
	connecting = []string{
		"allowAllFiles", "allowCleartextPasswords", "allowFallbackToPlaintext", "allowNativePasswords", "allowOldPasswords",
		"checkConnLiveness", "compress", "connectionAttributes", "maxAllowedPacket", "readTimeout", "rejectReadOnly",
		"serverPubKey", "timeout", "tls", "writeTimeout",
	}
	overridden = []string{
		"charset", "clientFoundRows", "collation", "columnsWithAlias", "interpolateParams", "loc", "multiStatements",
		"parseTime", "timeTruncate",
	}
)

// parameters sets what is es's, and returns what is the client's.
func (cfg *Config) parameters(query string) (string, error) {
	var rest []string
	seen := map[string]bool{}
	for pair := range strings.SplitSeq(query, "&") {
		if pair == "" {
			continue
		}
		name, value, ok := strings.Cut(pair, "=")
		if !ok {
			return "", fmt.Errorf("parameter %q has no value", name)
		}
		if seen[name] {
			return "", fmt.Errorf("parameter %q occurs twice", name)
		}
		seen[name] = true
		if slices.Contains(connecting, name) {
			rest = append(rest, pair)
			continue
		}
		if slices.Contains(overridden, name) {
			continue
		}
		value, err := url.QueryUnescape(value)
		if err != nil {
			return "", fmt.Errorf("parameter %q: its value is not escaped as in a URL", name)
		}
		if err := cfg.set(name, value); err != nil {
			return "", err
		}
	}
	return strings.Join(rest, "&"), nil
}

func (cfg *Config) set(name, value string) (err error) {
	switch name {
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
	case "atomicpages":
		switch value {
		case "true":
			cfg.AtomicPages = true
		case "false":
		default:
			return fmt.Errorf("atomicpages=%s: it is true or false", value)
		}
	case "settle":
		if cfg.Settle, err = time.ParseDuration(value); err != nil || cfg.Settle == 0 {
			return fmt.Errorf("settle=%s: it is a duration such as 500ms or 5s", value)
		}
	case "conns":
		if cfg.Conns, err = strconv.Atoi(value); err != nil || cfg.Conns < 1 {
			return fmt.Errorf("conns=%s: it is the number of connections", value)
		}
	default:
		return fmt.Errorf("unknown parameter %q: es has prefix, ddl, atomicpages, settle and conns, the client has those that say how to connect, and the variables of the session are es's to set", name)
	}
	return nil
}

// check returns an error for values that no DSN can have.
func (cfg *Config) check() error {
	if len(cfg.Prefix) > maxPrefix || strings.Trim(cfg.Prefix, "abcdefghijklmnopqrstuvwxyz0123456789_") != "" {
		return fmt.Errorf("prefix %q: it has up to %d of a-z, 0-9 and _", cfg.Prefix, maxPrefix)
	}
	if cfg.Conns < 0 {
		return fmt.Errorf("field Conns: %d is negative", cfg.Conns)
	}
	if c := cfg.Client; c != nil && c.MaxAllowedPacket > 0 && c.MaxAllowedPacket < packetBytes {
		return fmt.Errorf("maxAllowedPacket=%d: the store needs %d", c.MaxAllowedPacket, packetBytes)
	}
	return nil
}

func invalid(reason string) error {
	return &driver.InvalidError{What: "mysql", Reason: reason}
}
