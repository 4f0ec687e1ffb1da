package mongo

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/readpref"

	"github.com/go-es/es/driver"
)

// Config is what a data source name says; see [ParseDSN].
type Config struct {
	// Client says how to connect. [New] takes a client instead, and it is nil.
	// What it says of read and write concerns and of the read preference does not
	// count: the store reads and writes with its own.
	Client *options.ClientOptions

	// Database is the database that the collections are in.
	Database string

	// Prefix tells several stores in one database apart: up to 24 of a-z, 0-9 and
	// _. The collections are es_NAME, or es_PREFIX_NAME.
	Prefix string

	// CheckOnly lets Open create nothing: where something is missing, it fails
	// with [driver.ErrSchema].
	CheckOnly bool

	// Settle is how long a write whose answer was lost, or whose context ended
	// after it was sent, may go on to find out what became of it. 2 seconds if 0,
	// not at all below 0.
	Settle time.Duration
}

const (
	defaultSettle = 2 * time.Second
	maxPrefix     = 24
	maxDatabase   = 63 // bytes, in MongoDB
)

// ParseDSN reads a data source name: a connection string of MongoDB with a database
// in it.
//
//	mongodb://user:password@host1,host2,host3/database?replicaSet=rs0&tls=true
//	mongodb+srv://user:password@cluster.example.com/database
//
// As with all clients of MongoDB, the database is also where the user is looked up
// unless authSource says another one. Besides the client's own parameters it may
// have
//
//	prefix=NAME        see Config.Prefix
//	ddl=create|check   check: create nothing; see Config.CheckOnly
//	settle=DURATION    such as 500ms or 5s; see Config.Settle
//
// Parameters that ask for less than the store needs are refused: w other than
// majority, journal=false, readConcernLevel other than majority and linearizable,
// readPreference other than primary. A mongodb+srv name is looked up in the DNS here.
// What cannot be read is a *driver.InvalidError, which has nothing of the name in it
// but the parameter that is wrong.
func ParseDSN(dsn string) (Config, error) {
	var cfg Config
	if !strings.HasPrefix(dsn, "mongodb://") && !strings.HasPrefix(dsn, "mongodb+srv://") {
		return cfg, malformed("it does not begin with mongodb:// or mongodb+srv://")
	}
	start, query, _ := strings.Cut(dsn, "?")
	var rest []string
	seen := map[string]bool{}
	for param := range strings.SplitSeq(query, "&") {
		name, value, _ := strings.Cut(param, "=")
		switch name {
		case "prefix", "ddl", "settle":
			if seen[name] {
				return cfg, malformed(name + " occurs twice")
			}
			seen[name] = true
			value, err := url.QueryUnescape(value)
			if err != nil {
				return cfg, malformed(name + " cannot be read")
			}
			if err := cfg.set(name, value); err != nil {
				return cfg, malformed(err.Error())
			}
		default:
			rest = append(rest, param)
		}
	}
	_, hosts, _ := strings.Cut(start, "://")
	_, path, _ := strings.Cut(hosts[strings.LastIndexByte(hosts, '@')+1:], "/")
	database, err := url.PathUnescape(path)
	if err != nil {
		return cfg, malformed("the database cannot be read")
	}
	cfg.Database = database
	if len(rest) > 0 {
		start += "?" + strings.Join(rest, "&")
	}
	cfg.Client = options.Client().ApplyURI(start)
	if err := cfg.Client.Validate(); err != nil {
		return Config{}, malformed(parseReason(err))
	}
	if err := cfg.checkClient(); err != nil {
		return Config{}, malformed(err.Error())
	}
	if err := cfg.check(); err != nil {
		return Config{}, malformed(err.Error())
	}
	return cfg, nil
}

// parseReason says what the client could not read. Its own text may quote anything
// that was given, a password too, so only the name of a parameter is used.
func parseReason(err error) string {
	text := strings.ToLower(err.Error())
	for _, name := range []string{"authMechanismProperties", "authMechanism", "authSource", "connectTimeoutMS", "compressors", "directConnection",
		"heartbeatFrequencyMS", "loadBalanced", "localThresholdMS", "maxConnecting", "maxIdleTimeMS", "maxPoolSize", "minPoolSize", "maxStaleness",
		"readConcernLevel", "readPreferenceTags", "readPreference", "replicaSet", "retryReads", "retryWrites", "serverSelectionTimeoutMS",
		"socketTimeoutMS", "srvMaxHosts", "srvServiceName", "timeoutMS", "tlsCAFile", "tlsCertificateKeyFile", "tlsInsecure", "journal", "wTimeoutMS"} {
		if strings.Contains(text, strings.ToLower(name)) {
			return "the parameter " + name + " cannot be read, or does not go with the others"
		}
	}
	if strings.Contains(text, "lookup") {
		return "the name of the cluster is not found in the DNS"
	}
	return "it is no connection string, such as mongodb://user:password@host:27017/database?replicaSet=rs0"
}

func malformed(reason string) error {
	return &driver.InvalidError{What: "mongo: data source name", Reason: reason}
}

// invalid returns the error of a configuration that cannot be.
func invalid(reason string) error {
	return &driver.InvalidError{What: "mongo", Reason: reason}
}

func (cfg *Config) set(name, value string) error {
	switch name {
	case "prefix":
		if cfg.Prefix = value; value == "" {
			return errors.New("prefix= is empty")
		}
	case "ddl":
		if value != "create" && value != "check" {
			return fmt.Errorf("ddl=%s: it is create or check", value)
		}
		cfg.CheckOnly = value == "check"
	case "settle":
		d, err := time.ParseDuration(value)
		if err != nil || d == 0 {
			return fmt.Errorf("settle=%s: it is a duration such as 500ms or 5s", value)
		}
		cfg.Settle = d
	}
	return nil
}

// checkClient refuses what was said in a data source name and would not be done.
func (cfg *Config) checkClient() error {
	c := cfg.Client
	if w := c.WriteConcern; w != nil {
		if w.W != nil && w.W != "majority" {
			return fmt.Errorf("w=%v: an event that was acknowledged could be lost when a primary fails; the store writes with w=majority", w.W)
		}
		if w.Journal != nil && !*w.Journal {
			return errors.New("journal=false: an event that was acknowledged could be lost with the power; the store writes with journal=true")
		}
	}
	if r := c.ReadConcern; r != nil && r.Level != "" && r.Level != "majority" && r.Level != "linearizable" {
		return fmt.Errorf("readConcernLevel=%s: what is read could be rolled back; the store reads with majority and linearizable", r.Level)
	}
	if p := c.ReadPreference; p != nil && p.Mode() != readpref.PrimaryMode {
		return fmt.Errorf("readPreference=%v: a secondary lags behind; the store reads from the primary", p.Mode())
	}
	if c.LoadBalanced != nil && *c.LoadBalanced {
		return errors.New("loadBalanced=true: the store needs a replica set, not a balancer before mongos")
	}
	return nil
}

// check returns an error for values that cannot be.
func (cfg *Config) check() error {
	if cfg.Database == "" {
		return errors.New("it names no database: mongodb://host:27017/database")
	}
	if len(cfg.Database) > maxDatabase || strings.ContainsAny(cfg.Database, "/\\. \"$*<>:|?\x00") {
		return fmt.Errorf("database %q: it has up to %d bytes without blanks and / \\ . \" $ * < > : | ?", cfg.Database, maxDatabase)
	}
	if len(cfg.Prefix) > maxPrefix || strings.Trim(cfg.Prefix, "abcdefghijklmnopqrstuvwxyz0123456789_") != "" {
		return fmt.Errorf("prefix %q: it has up to %d of a-z, 0-9 and _", cfg.Prefix, maxPrefix)
	}
	return nil
}

// collection returns the name of a collection.
func (cfg *Config) collection(name string) string {
	if cfg.Prefix == "" {
		return "es_" + name
	}
	return "es_" + cfg.Prefix + "_" + name
}

func (cfg *Config) settle() time.Duration {
	if cfg.Settle == 0 {
		return defaultSettle
	}
	return max(cfg.Settle, 0)
}
