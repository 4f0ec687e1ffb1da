package cassandra

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/gocql/gocql"

	"github.com/go-es/es/driver"
)

// minMajor is the least major version of Cassandra that is accepted.
const minMajor = 4

// server is what a node says of itself.
type server struct {
	version, cluster, dc string
	keyspaces            map[string]bool // of the system
	tables               map[string]bool // of the keyspace system
}

// refusal returns why a server is not one that keeps what the driver needs: a
// conditional write and a secondary index of the same partition that change in one
// step, on every replica.
func (n *server) refusal() error {
	look := func(name, why string) error {
		return fmt.Errorf("es: cassandra: the server is %s, and not Apache Cassandra: %s", name, why)
	}
	const index = "its secondary indexes do not change together with the row, so the feed would lose events"
	switch {
	case n.tables["scylla_local"] || n.keyspaces["system_replicated_keys"] || strings.Contains(strings.ToLower(n.version), "scylla"):
		return look("ScyllaDB", index)
	case n.keyspaces["system_schema_mcs"] || strings.Contains(n.cluster, "Amazon Keyspaces"):
		return look("Amazon Keyspaces", "it has no secondary indexes")
	case strings.Contains(strings.ToLower(n.cluster), "cosmos"):
		return look("Azure Cosmos DB", index)
	case n.tables["partitions"] && strings.HasSuffix(n.version, "SNAPSHOT"):
		return look("YugabyteDB", index)
	}
	major, _, _ := strings.Cut(n.version, ".")
	if m, err := strconv.Atoi(major); err != nil || m < minMajor {
		return fmt.Errorf("es: cassandra: the server has version %q, and the driver needs Apache Cassandra %d or later", n.version, minMajor)
	}
	return nil
}

// checkServer returns an error if the server, or the keyspace, cannot keep what is
// promised.
func (s *Store) checkServer(ctx context.Context) error {
	n := server{keyspaces: map[string]bool{}, tables: map[string]bool{}}
	one := func(text string, args ...any) *gocql.Query { return s.query(ctx, text, args...).Consistency(gocql.One) }
	if err := one("SELECT release_version, cluster_name, data_center FROM system.local").Scan(&n.version, &n.cluster, &n.dc); err != nil {
		return err
	}
	var name string
	for text, names := range map[string]map[string]bool{
		"SELECT keyspace_name FROM system_schema.keyspaces":                          n.keyspaces,
		"SELECT table_name FROM system_schema.tables WHERE keyspace_name = 'system'": n.tables,
	} {
		it := one(text).Iter()
		for it.Scan(&name) {
			names[name] = true
		}
		if err := it.Close(); err != nil {
			return err
		}
	}
	if err := n.refusal(); err != nil {
		return err
	}
	if s.cfg.Local && n.dc != s.cfg.DC {
		return fmt.Errorf("es: cassandra: the session works with data centre %q, and dc is %q", n.dc, s.cfg.DC)
	}
	var durable bool
	err := one("SELECT durable_writes FROM system_schema.keyspaces WHERE keyspace_name = ?", s.cfg.Keyspace).Scan(&durable)
	switch {
	case errors.Is(err, gocql.ErrNotFound):
		return noKeyspace(&s.cfg)
	case err != nil:
		return err
	case !durable:
		return fmt.Errorf("es: cassandra: the keyspace %q has durable_writes = false: what is acknowledged would be lost with the process of a node", s.cfg.Keyspace)
	}
	return nil
}

func noKeyspace(cfg *Config) error {
	return fmt.Errorf("%w: the keyspace %q does not exist: create it, with the replication that the data needs", driver.ErrSchema, cfg.Keyspace)
}

// notConnected says why no session could be opened. gocql's errors are texts.
func notConnected(cfg *Config, err error) error {
	switch {
	case err == nil:
		return nil
	case strings.Contains(err.Error(), "does not exist"):
		return noKeyspace(cfg)
	case strings.Contains(err.Error(), "host was filtered"):
		return driver.Transient(fmt.Errorf("es: cassandra: no node of data centre %q is reached by the hosts that were given", cfg.DC))
	}
	text := err.Error()
	if p, ok := cfg.Cluster.Authenticator.(gocql.PasswordAuthenticator); ok && p.Password != "" {
		text = strings.ReplaceAll(text, p.Password, "…")
		err = errors.New(text)
	}
	return driver.Transient(fmt.Errorf("es: cassandra: no session: %w", err))
}
