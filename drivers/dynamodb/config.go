package dynamodb

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/go-es/es/driver"
)

// Config is what a data source name says; see [ParseDSN].
type Config struct {
	// Region is the region that the store is in, such as "eu-west-1". If it is
	// empty, it is the one of the environment or the profile. "local" is for
	// DynamoDB Local and its like: no credentials are looked for then.
	Region string

	// Table is the table that holds the store, and nothing else: 3 to 255 of a-z,
	// A-Z, 0-9, "_", "-" and ".". It is "es-store" if it is empty. Open creates it
	// where it is missing.
	Table string

	// Endpoint is where the requests go, such as "http://127.0.0.1:8000", instead
	// of the region's own endpoint.
	Endpoint string

	// Profile is the profile of the shared configuration files of AWS to use.
	Profile string

	// CheckOnly lets Open create nothing: where the table is missing, or was
	// never opened before, it fails with [driver.ErrSchema].
	CheckOnly bool

	// Settle is how long a write whose answer was lost, or whose context ended
	// after it was sent, may go on to find out what became of it. 2 seconds if 0,
	// not at all below 0.
	Settle time.Duration
}

const (
	defaultTable  = "es-store"
	defaultSettle = 2 * time.Second
	localRegion   = "local"
)

// ParseDSN reads a data source name, which is a URL:
//
//	dynamodb://eu-west-1/table
//	dynamodb://local/table?endpoint=http://127.0.0.1:8000
//
// Both the region and the table may be left out, see [Config]. Parameters are
//
//	endpoint=URL          see Config.Endpoint
//	profile=NAME          see Config.Profile
//	ddl=create|check      check: create nothing; see Config.CheckOnly
//	settle=DURATION       such as 500ms or 5s; see Config.Settle
//
// Credentials are not part of it: they come from the environment, the shared
// files or the role of the machine, as with every program of AWS. What cannot be
// read is a *driver.InvalidError, which has nothing of the name in it but the
// parameter that is wrong.
func ParseDSN(dsn string) (Config, error) {
	u, err := url.Parse(dsn)
	if err != nil || u.Scheme != "dynamodb" || u.Opaque != "" || u.Fragment != "" {
		return Config{}, malformed("it is not a URL such as dynamodb://eu-west-1/table")
	}
	if u.User != nil {
		return Config{}, malformed("it has a user or a password: credentials come from the environment, the shared files or the role of the machine")
	}
	cfg := Config{Region: u.Host, Table: strings.TrimPrefix(u.Path, "/")}
	params, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return Config{}, malformed("its parameters cannot be read")
	}
	for name, values := range params {
		if len(values) > 1 {
			return Config{}, malformed(fmt.Sprintf("the parameter %.40q is there twice", name))
		}
		if err := cfg.set(name, values[0]); err != nil {
			return Config{}, malformed(err.Error())
		}
	}
	if err := cfg.check(); err != nil {
		return Config{}, malformed(err.Error())
	}
	return cfg, nil
}

func malformed(reason string) error {
	return &driver.InvalidError{What: "dynamodb: data source name", Reason: reason}
}

// invalid returns the error of a configuration that cannot be.
func invalid(reason string) error {
	return &driver.InvalidError{What: "dynamodb", Reason: reason}
}

func (cfg *Config) set(name, value string) error {
	switch name {
	case "endpoint":
		if value == "" {
			return errors.New("endpoint= is empty")
		}
		cfg.Endpoint = value
	case "profile":
		if value == "" {
			return errors.New("profile= is empty")
		}
		cfg.Profile = value
	case "ddl":
		switch value {
		case "create":
		case "check":
			cfg.CheckOnly = true
		default:
			return errors.New("ddl= is create or check")
		}
	case "settle":
		d, err := time.ParseDuration(value)
		if err != nil || d == 0 {
			return errors.New("settle= is a duration such as 500ms or 5s")
		}
		cfg.Settle = d
	case "prefix":
		return errors.New("there is no prefix=: a store is a table, and another table is another store")
	default:
		return fmt.Errorf("there is no parameter %.40q", name)
	}
	return nil
}

// check returns an error for values that cannot be. It has no value in it that may
// be a secret in the wrong place.
func (cfg *Config) check() error {
	if strings.Trim(cfg.Region, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
		return errors.New("the region has other characters than a-z, 0-9 and -, as in eu-west-1")
	}
	if t := cfg.Table; t != "" && (len(t) < 3 || len(t) > 255 ||
		strings.Trim(t, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.") != "") {
		return errors.New("the table's name is not 3 to 255 of the characters a-z, A-Z, 0-9 and \"_-.\"")
	}
	if cfg.Endpoint != "" {
		u, err := url.Parse(cfg.Endpoint)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil {
			return errors.New("the endpoint is not a URL such as http://127.0.0.1:8000")
		}
	}
	return nil
}

func (cfg *Config) table() string {
	if cfg.Table == "" {
		return defaultTable
	}
	return cfg.Table
}

func (cfg *Config) settle() time.Duration {
	if cfg.Settle == 0 {
		return defaultSettle
	}
	return max(cfg.Settle, 0)
}
