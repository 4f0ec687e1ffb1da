package cassandra

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gocql/gocql"

	"github.com/go-es/es/driver"
)

// Config is what a data source name says; see [ParseDSN].
type Config struct {
	// Cluster says how to reach the cluster. Consistency levels, retries,
	// timestamps and speculative executions are the store's to set, for each
	// statement. For [New] it is nil.
	Cluster *gocql.ClusterConfig

	// Keyspace is where the tables are. It must exist, with the replication that
	// the data needs: nobody but its administrator can know that.
	Keyspace string

	// Prefix tells several stores in one keyspace apart: up to 24 of a-z, 0-9 and
	// _. The tables are es_NAME, or es_PREFIX_NAME.
	Prefix string

	// CheckOnly lets Open create nothing, and need no right to: where a table is
	// missing, it fails with [driver.ErrSchema]. [Config.CQL] has the tables.
	CheckOnly bool

	// DC is the data centre whose nodes coordinate the requests of a store that
	// [Open] made; empty: any.
	DC string

	// Local lets the store work with LOCAL_QUORUM and LOCAL_SERIAL in the data
	// centre DC, instead of QUORUM and SERIAL across all of them. Whoever uses the
	// data must do the same: the choice is stored when the tables are created, and
	// Open refuses another one.
	Local bool

	// Settle is how long a write whose outcome is not known is sent again to find
	// it out, and how long one that was sent goes on after the end of its
	// context. 2 seconds if 0; below 0, not at all.
	Settle time.Duration

	// Bucket is how many versions of a stream lie in one partition, from 16 to
	// 100,000; 0 is 1,000, or what the tables were created with. It is stored
	// when the tables are created, and Open refuses another one.
	Bucket int
}

const (
	defaultSettle  = 2 * time.Second
	defaultBucket  = 1000
	minBucket      = 16
	maxBucket      = 100_000
	defaultTimeout = 6 * time.Second // the server's own are at most 5 seconds
	maxPrefix      = 24
	maxKeyspace    = 48
)

// ParseDSN reads a data source name, a URL with one host or more:
//
//	cassandra://user:password@host1,host2:9042/keyspace?parameter=value
//
// Special signs of the user and the password are escaped (%40 for @). A port
// holds for all hosts that have none of their own. The parameters are
//
//	dc=NAME                                       see Config.DC
//	consistency=quorum|local_quorum               with serial=serial|local_serial; see Config.Local
//	prefix=NAME                                   see Config.Prefix
//	ddl=create|check                              check: create nothing; see Config.CheckOnly
//	settle=DURATION                               such as 500ms or 5s; see Config.Settle
//	bucket=N                                      see Config.Bucket
//	timeout=DURATION                              of one request, 6s by default; keep it above the server's own
//	conns=N                                       connections to each node, 2 by default
//	tls=true                                      with the certificates that the system trusts
//
// What cannot be read is a *driver.InvalidError, which shows neither the user nor
// the password.
func ParseDSN(dsn string) (Config, error) {
	cfg, err := parseDSN(dsn)
	if err == nil {
		err = cfg.check()
	}
	if err != nil {
		return Config{}, &driver.InvalidError{What: "cassandra: data source name", Reason: err.Error()}
	}
	return cfg, nil
}

var errForm = errors.New("it is not of the form cassandra://user:password@host1,host2:9042/keyspace, with special signs of the user and the password escaped (%40 for @)")

func parseDSN(dsn string) (Config, error) {
	u, err := url.Parse(dsn) // its error quotes the name
	if err != nil || u.Scheme != "cassandra" || u.Host == "" || u.Opaque != "" || u.Fragment != "" {
		return Config{}, errForm
	}
	cluster := gocql.NewCluster()
	cluster.Timeout, cluster.WriteTimeout, cluster.ConnectTimeout = defaultTimeout, defaultTimeout, defaultTimeout
	cluster.WriteCoalesceWaitTime = 0 // a request would wait for others: a millisecond, if there are none
	cfg := Config{Cluster: cluster, Keyspace: strings.TrimPrefix(u.Path, "/")}
	hosts := strings.Split(u.Host, ",")
	for i, host := range hosts {
		name, port, err := net.SplitHostPort(host)
		if err != nil {
			name, port = strings.Trim(host, "[]"), ""
		}
		n, err := strconv.ParseUint(port, 10, 16)
		switch {
		case name == "", port != "" && (err != nil || n == 0):
			return Config{}, errForm
		case port != "" && i == len(hosts)-1:
			cluster.Port = int(n)
		case port != "":
			name = net.JoinHostPort(name, port)
		}
		cluster.Hosts = append(cluster.Hosts, name)
	}
	if u.User != nil {
		password, _ := u.User.Password()
		cluster.Authenticator = gocql.PasswordAuthenticator{Username: u.User.Username(), Password: password}
	}
	values, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return Config{}, errors.New("its parameters cannot be read")
	}
	names := make([]string, 0, len(values))
	for name := range values {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if len(values[name]) > 1 {
			return Config{}, fmt.Errorf("the parameter %s stands there twice", name)
		}
		if err := cfg.set(name, values.Get(name)); err != nil {
			return Config{}, err
		}
	}
	if local := values.Get("serial") == "local_serial"; local != cfg.Local {
		return Config{}, errors.New("consistency=local_quorum and serial=local_serial go together, and so do quorum and serial: SERIAL and LOCAL_SERIAL know nothing of each other")
	}
	return cfg, nil
}

func (cfg *Config) set(name, value string) error {
	one := func(of ...string) error {
		if slices.Contains(of, value) {
			return nil
		}
		return fmt.Errorf("%s=%s: it is %s", name, value, strings.Join(of, " or "))
	}
	duration := func(to *time.Duration) error {
		d, err := time.ParseDuration(value)
		if err != nil || d == 0 {
			return fmt.Errorf("%s=%s: it is a duration such as 500ms or 5s", name, value)
		}
		*to = d
		return nil
	}
	number := func(to *int) error {
		n, err := strconv.Atoi(value)
		if err != nil || n <= 0 {
			return fmt.Errorf("%s=%s: it is a number above 0", name, value)
		}
		*to = n
		return nil
	}
	switch name {
	case "dc":
		cfg.DC = value
		if value == "" {
			return errors.New("dc= is empty")
		}
	case "consistency":
		cfg.Local = value == "local_quorum"
		return one("quorum", "local_quorum")
	case "serial":
		return one("serial", "local_serial")
	case "prefix":
		cfg.Prefix = value
	case "ddl":
		cfg.CheckOnly = value == "check"
		return one("create", "check")
	case "settle":
		return duration(&cfg.Settle)
	case "bucket":
		return number(&cfg.Bucket)
	case "timeout":
		c := cfg.Cluster
		if err := duration(&c.Timeout); err != nil || c.Timeout < 0 {
			return fmt.Errorf("timeout=%s: it is a duration such as 6s", value)
		}
		c.WriteTimeout, c.ConnectTimeout = c.Timeout, c.Timeout
	case "conns":
		return number(&cfg.Cluster.NumConns)
	case "tls":
		if value == "true" {
			cfg.Cluster.SslOpts = &gocql.SslOptions{Config: &tls.Config{MinVersion: tls.VersionTLS12}, EnableHostVerification: true}
		}
		return one("true", "false")
	default:
		return fmt.Errorf("there is no parameter %s", name)
	}
	return nil
}

// check returns an error for values that cannot be.
func (cfg *Config) check() error {
	const letters = "abcdefghijklmnopqrstuvwxyz0123456789_"
	if len(cfg.Prefix) > maxPrefix || strings.Trim(cfg.Prefix, letters) != "" {
		return fmt.Errorf("prefix %q: it has up to %d of a-z, 0-9 and _", cfg.Prefix, maxPrefix)
	}
	if cfg.Keyspace == "" {
		return errors.New("it names no keyspace: cassandra://host:9042/keyspace")
	}
	if len(cfg.Keyspace) > maxKeyspace || strings.Trim(cfg.Keyspace, letters+strings.ToUpper(letters)) != "" {
		return fmt.Errorf("keyspace %q: it has up to %d of a-z, A-Z, 0-9 and _", cfg.Keyspace, maxKeyspace)
	}
	if cfg.Bucket != 0 && (cfg.Bucket < minBucket || cfg.Bucket > maxBucket) {
		return fmt.Errorf("bucket %d: it is %d to %d", cfg.Bucket, minBucket, maxBucket)
	}
	if cfg.Local && cfg.DC == "" {
		return errors.New("consistency=local_quorum: name the data centre with dc=")
	}
	return nil
}

func (cfg *Config) settle() time.Duration {
	if cfg.Settle == 0 {
		return defaultSettle
	}
	return max(cfg.Settle, 0)
}

// levels are the consistency levels of a store.
type levels struct {
	quorum gocql.Consistency
	serial gocql.SerialConsistency
	name   string // as it is stored
}

func (cfg *Config) levels() levels {
	if cfg.Local {
		return levels{gocql.LocalQuorum, gocql.LocalSerial, "local_serial " + cfg.DC}
	}
	return levels{gocql.Quorum, gocql.Serial, "serial"}
}
