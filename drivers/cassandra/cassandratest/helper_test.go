package cassandratest

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gocql/gocql"

	"github.com/go-es/es/conformance"
	"github.com/go-es/es/driver"
	"github.com/go-es/es/drivers/cassandra"
	"github.com/go-es/es/internal/servers"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func open(ctx context.Context, dsn string) (driver.Store, error) {
	d, _ := driver.Lookup("cassandra")
	return d.Open(ctx, dsn)
}

func server(t testing.TB) string { return servers.DSN(t, "cassandra") }

// with returns a data source name with parameters added, each NAME=VALUE.
func with(dsn string, params ...string) string {
	for _, p := range params {
		name, value, _ := strings.Cut(p, "=")
		sep := "?"
		if strings.Contains(dsn, "?") {
			sep = "&"
		}
		dsn += sep + name + "=" + url.QueryEscape(value)
	}
	return dsn
}

// cluster returns how to reach a server, without a keyspace.
func cluster(t conformance.TB, dsn string) *gocql.ClusterConfig {
	cfg, err := cassandra.ParseDSN(at(dsn, "any"))
	if err != nil {
		t.Fatalf("%v", err)
	}
	cfg.Cluster.Timeout = 10 * time.Minute // to drop many tables takes long
	return cfg.Cluster
}

// at returns a data source name with another keyspace.
func at(dsn, keyspace string) string {
	u, err := url.Parse(dsn)
	if err != nil {
		panic(err)
	}
	u.Path = "/" + keyspace
	return u.String()
}

// admins are sessions of the tests' own, one for each server, for the whole run.
var admins struct {
	sync.Mutex
	of map[string]*gocql.Session
}

func admin(t conformance.TB, dsn string) *gocql.Session {
	cfg := cluster(t, dsn)
	key := fmt.Sprint(cfg.Hosts, cfg.Port)
	admins.Lock()
	defer admins.Unlock()
	if s := admins.of[key]; s != nil {
		return s
	}
	s, err := cfg.CreateSession()
	if err != nil {
		t.Fatalf("%v", err)
	}
	if admins.of == nil {
		admins.of = map[string]*gocql.Session{}
	}
	admins.of[key] = s
	return s
}

// createKeyspace is the statement that creates one.
func createKeyspace(name string, replication int) string {
	return fmt.Sprintf("CREATE KEYSPACE %s WITH replication = {'class': 'SimpleStrategy', 'replication_factor': %d}", name, replication)
}

// own runs servers of the test's own, one or three, with a keyspace, and returns its
// data source name. They go with all that is in it.
func own(t conformance.TB, nodes int) ([]*servers.Server, string) {
	tb, ok := t.(testing.TB)
	if !ok {
		t.Fatalf("%T is no testing.TB", t)
	}
	var all []*servers.Server
	if nodes == 1 {
		all = []*servers.Server{servers.Run(tb, "cassandra")}
	} else {
		all = servers.RunThree(tb, "cassandra")
	}
	session, err := cluster(t, all[0].DSN).CreateSession()
	must(tb, err)
	defer session.Close() // it would go on looking for the servers
	must(tb, session.Query(createKeyspace("own", nodes)).Exec())
	return all, at(all[0].DSN, "own")
}

func execute(t conformance.TB, dsn string, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if err := admin(t, dsn).Query(text).Consistency(gocql.Quorum).Exec(); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
	}
}

var keyspaces, prefixes atomic.Int64

// keyspace makes a keyspace of a test's own and returns its data source name.
func keyspace(t conformance.TB, server string, replication int) string {
	ks, drop := makeKeyspace(t, server, replication)
	t.Cleanup(func() {
		if err := drop(); err != nil {
			t.Errorf("%v", err)
		}
	})
	return ks
}

func makeKeyspace(t conformance.TB, server string, replication int) (ks string, drop func() error) {
	name := fmt.Sprintf("es_%x_%d", time.Now().UnixNano(), keyspaces.Add(1))
	execute(t, server, createKeyspace(name, replication))
	s := admin(t, server)
	return at(server, name), func() error { return s.Query("DROP KEYSPACE IF EXISTS " + name).Exec() }
}

// data returns the name of a store that does not exist: a prefix in a keyspace, with
// which it goes.
func data(t conformance.TB, keyspace string) string {
	return with(keyspace, fmt.Sprintf("prefix=p%d_%d", os.Getpid(), prefixes.Add(1)))
}

// shared are stores that tests use again, each in a keyspace of its own, which clients
// read whole when they connect: to create six tables takes a node longer than to
// empty them.
var shared struct {
	sync.Mutex
	used  map[string][]string // by parameters: of tests that have ended, the last one at the end
	drops []func() error
}

// fresh returns the name of a store that does not exist.
func fresh(t conformance.TB, server string, params ...string) string {
	ks, drop := makeKeyspace(t, server, 1)
	shared.Lock()
	defer shared.Unlock()
	shared.drops = append(shared.drops, drop)
	return with(ks, params...)
}

// empty returns the name of a store that is empty, or does not exist. A store is used
// again when some others were used meanwhile: what was under way to it has come by
// then.
func empty(t conformance.TB, server string, params ...string) string {
	const others = 4
	key, dsn := fmt.Sprint(params), ""
	shared.Lock()
	if used := shared.used[key]; len(used) > others {
		dsn, shared.used[key] = used[0], used[1:]
	}
	shared.Unlock()
	if dsn == "" {
		dsn = fresh(t, server, params...)
	} else {
		truncate(t, dsn)
	}
	t.Cleanup(func() {
		shared.Lock()
		defer shared.Unlock()
		if shared.used == nil {
			shared.used = map[string][]string{}
		}
		shared.used[key] = append(shared.used[key], dsn)
	})
	return dsn
}

// truncate empties the tables of a store that exist.
func truncate(t conformance.TB, dsn string) {
	it := admin(t, dsn).Query("SELECT table_name FROM system_schema.tables WHERE keyspace_name = ?", keyspaceOf(dsn)).Iter()
	var name string
	var all sync.WaitGroup
	for it.Scan(&name) {
		if name == "es_meta" { // of the tables, not of what is in them
			continue
		}
		text := "TRUNCATE " + keyspaceOf(dsn) + "." + name
		all.Go(func() {
			if err := admin(t, dsn).Query(text).Exec(); err != nil {
				t.Errorf("%s: %v", text, err)
			}
		})
	}
	all.Wait()
	if err := it.Close(); err != nil {
		t.Fatalf("%v", err)
	}
}

func keyspaceOf(dsn string) string {
	name, _, _ := strings.Cut(table(dsn, ""), ".")
	return name
}

// table returns the name of a table of a store.
func table(dsn, name string) string {
	cfg, err := cassandra.ParseDSN(dsn)
	if err != nil {
		panic(err)
	}
	if cfg.Prefix != "" {
		name = cfg.Prefix + "_" + name
	}
	return cfg.Keyspace + ".es_" + name
}

// again calls f again for as long as that may help.
func again(f func() error) (err error) {
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		if err = f(); !driver.IsTransient(err) {
			break
		}
	}
	return err
}
