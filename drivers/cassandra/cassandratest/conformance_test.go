package cassandratest

import (
	"context"
	"crypto/md5"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gocql/gocql"

	"github.com/go-es/es/conformance"
	"github.com/go-es/es/driver"
	"github.com/go-es/es/drivers/cassandra"
	"github.com/go-es/es/internal/cut"
	"github.com/go-es/es/internal/servers"
)

var caps = driver.Caps{
	MaxEventBytes:    1 << 20,
	MaxAppendEvents:  1000,
	MaxAppendBytes:   1 << 20,
	MaxSnapshotBytes: 1 << 20,
	Gapless:          true,
	FilterFeed:       true,
	ListLag:          true,
}

func TestConformance(t *testing.T) {
	server := server(t)
	some := at(server, "some")
	brittle, made := at(server, fmt.Sprint("es_brittle_", os.Getpid())), at(server, fmt.Sprint("es_made_", os.Getpid()))
	refused := sync.OnceFunc(func() { makeRefused(t, brittle, made) }) // not in a process of the suite's
	conformance.Run(t, conformance.Config{
		Open:      open,
		DSN:       func(t conformance.TB) string { refused(); return unused(t, server) },
		Caps:      caps,
		FeedBound: 3 * servers.Bound, // what one index has lost comes late
		Processes: true,
		Beside:    func(t conformance.TB, dsn string) string { return with(dsn, "prefix=beside") },
		Restore:   restore,
		Malformed: []string{"", "nothing", "cassandra://", "cassandra:///ks", "cassandra://127.0.0.1", "cassandra://127.0.0.1:x/ks", "postgres://127.0.0.1/ks", "cassandra://127.0.0.1/a-b",
			with(some, "prefix=A"), with(some, "prefix="+strings.Repeat("a", 25)), with(some, "ddl=no"), with(some, "settle=5"), with(some, "bucket=3"), with(some, "conns=0"),
			with(some, "consistency=one"), with(some, "consistency=local_quorum", "dc=datacenter1"), with(some, "consistency=local_quorum", "serial=local_serial"),
			with(some, "nothing_such=1"), with(some, "tls=perhaps"), with(some, "timeout=-1s"), some + "?dc=a&dc=b"},
		Foreign: []func(conformance.TB) (string, func() error){
			foreign(server, "events", "CREATE TABLE T (x int PRIMARY KEY)", "INSERT INTO T (x) VALUES (1)"),
			foreign(server, "meta", "CREATE TABLE T (x int PRIMARY KEY)", "INSERT INTO T (x) VALUES (1)"),
			foreign(server, "snapshots", "CREATE TABLE T (stream text PRIMARY KEY, data text)", "INSERT INTO T (stream, data) VALUES ('a', 'b')"),
		},
		Newer: func(t conformance.TB, dsn string) func() {
			set := func(version int) {
				execute(t, dsn, fmt.Sprintf("UPDATE %s SET version = %d WHERE key = 'store' IF EXISTS", table(dsn, "meta"), version))
			}
			set(2)
			return func() { set(1) }
		},
		Secrets: []conformance.Secret{
			{DSN: "cassandra://es:hunter2x@127.0.0.1:1/es", Secret: "hunter2x"},
			{DSN: "cassandra://es:hunter2x@127.0.0.1:port/es", Secret: "hunter2x"},
			{DSN: "cassandra://es:hunter2x@[127.0.0.1/es", Secret: "hunter2x"},
			{DSN: "cassandra://es:hunter2x@127.0.0.1/es?consistency=hunter", Secret: "hunter2x"},
			{DSN: "cassandra:es:hunter2x@127.0.0.1/es", Secret: "hunter2x"},
		},
		Refused: []conformance.Refused{
			{DSN: brittle, Word: "durable_writes"},
			{DSN: with(made, "bucket=32"), Word: "bucket"},
			{DSN: with(made, "consistency=local_quorum", "serial=local_serial", "dc=datacenter1"), Word: "SERIAL"},
			{DSN: with(made, "consistency=local_quorum", "serial=local_serial", "dc=elsewhere"), Word: "elsewhere"},
		},
		CheckOnly: func(dsn string) string { return with(dsn, "ddl=check") },
		Corrupt: []func(conformance.TB, string, string){
			damage(func(data []byte) []byte { return data[:len(data)-1] }),
			damage(func(data []byte) []byte { data[len(data)/2] ^= 1; return data }),
			damage(nil),
		},
		Fault: fault,
		Crash: crash,
	})
}

// crash makes data on a server of its own.
func crash(t conformance.TB) (dsn string, kill, revive func()) {
	nodes, dsn := own(t, 1)
	return dsn, nodes[0].Kill, nodes[0].Start
}

// makeRefused makes a keyspace that may lose what is acknowledged, and one with a store.
func makeRefused(t *testing.T, brittle, made string) {
	for _, dsn := range []string{brittle, made} {
		name := keyspaceOf(dsn)
		execute(t, dsn, createKeyspace(name, 1))
		t.Cleanup(func() { execute(t, dsn, "DROP KEYSPACE "+name) })
		if dsn == brittle {
			execute(t, dsn, "ALTER KEYSPACE "+name+" WITH durable_writes = false")
			continue
		}
		s, err := open(t.Context(), dsn)
		must(t, err)
		must(t, s.Close())
	}
}

// unused returns the name of an empty store, which does not exist where a check is
// about what Open creates.
func unused(t conformance.TB, server string) string {
	if name := t.Name(); strings.Contains(name, "/opening/") || strings.HasSuffix(name, "/at-once") {
		return fresh(t, server)
	}
	return empty(t, server)
}

// Buckets of 16 versions: the same with rollovers everywhere.
func TestConformanceBuckets(t *testing.T) {
	server := server(t)
	small := caps
	small.MaxAppendEvents = 16
	conformance.Run(t, conformance.Config{
		Open:      openSession,
		DSN:       func(t conformance.TB) string { return empty(t, server, "bucket=16") },
		Caps:      small,
		FeedBound: 3 * servers.Bound, // what one index has lost comes late
		Fault:     fault,
	})
}

// ours is a store on a session of the test's, which it closes with itself.
type ours struct {
	*cassandra.Store
	session *gocql.Session
	line    *cut.Line
}

func (o ours) Close() error {
	err := o.Store.Close()
	o.session.Close()
	if o.line != nil {
		err = errors.Join(err, o.line.Close())
	}
	return err
}

func openSession(ctx context.Context, dsn string) (driver.Store, error) {
	return openLine(ctx, dsn, nil)
}

// openLine opens a store on a session of the test's, which retries what it should
// not, if it could.
func openLine(ctx context.Context, dsn string, line *cut.Line) (driver.Store, error) {
	cfg, err := cassandra.ParseDSN(dsn)
	if err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	c := *cfg.Cluster
	cfg.Cluster = nil
	c.RetryPolicy = &gocql.SimpleRetryPolicy{NumRetries: 3}
	c.DefaultIdempotence = true
	c.Consistency = gocql.One
	c.ReconnectInterval = time.Second
	if line != nil { // gocql reads a node's port off its connection
		addr, err := line.Proxy("tcp", net.JoinHostPort(c.Hosts[0], strconv.Itoa(c.Port)))
		if err != nil {
			return nil, err
		}
		host, port, err := net.SplitHostPort(addr)
		if err != nil {
			return nil, err
		}
		c.Hosts = []string{host}
		if c.Port, err = strconv.Atoi(port); err != nil {
			return nil, err
		}
	}
	session, err := c.CreateSession()
	if err != nil {
		return nil, err
	}
	s, err := cassandra.New(ctx, session, cfg)
	if err != nil {
		session.Close()
		return nil, err
	}
	return ours{s, session, line}, nil
}

// fault opens a client whose connections are cut on demand.
func fault(t conformance.TB, dsn string) conformance.Faulty {
	p := protocol{keyspaceOf(dsn), map[string]bool{}}
	line := &cut.Line{Writes: p.writes}
	s, err := openLine(t.Context(), dsn, line)
	if err != nil {
		t.Fatalf("%v", err)
	}
	return conformance.Faulty{
		Store:   s,
		Break:   line.Break,
		BreakAt: line.BreakAt,
		Late:    line.Late,
		Down:    func() func() { return line.Down(cut.Held) },
	}
}

// protocol reads frames of version 4 that a client sends.
type protocol struct {
	keyspace string
	writing  map[string]bool // ids of prepared statements that write
}

var changes = regexp.MustCompile(`^\s*(INSERT|UPDATE|DELETE)`)

// writes reports whether what a client sent has a frame that changes something. The
// server makes the id of a prepared statement of its text.
func (p *protocol) writes(sent []byte) bool {
	const header = 9
	found := false
	for len(sent) >= header {
		n := int(binary.BigEndian.Uint32(sent[5:]))
		if n < 0 || header+n > len(sent) {
			break
		}
		body := sent[header : header+n]
		switch sent[4] {
		case 0x09: // PREPARE
			if text := string(body[4:]); changes.MatchString(text) {
				for _, id := range [][md5.Size]byte{md5.Sum([]byte(text)), md5.Sum([]byte(p.keyspace + text))} {
					p.writing[string(id[:])] = true
				}
			}
		case 0x0A: // EXECUTE
			found = found || p.writing[string(body[2:2+binary.BigEndian.Uint16(body)])]
		case 0x0D: // BATCH
			found = true
		}
		sent = sent[header+n:]
	}
	return found
}

// restore copies the rows of all tables, with the times at which they were written,
// and puts them back into tables that it empties.
func restore(t conformance.TB, dsn string) func() {
	type saved struct {
		text   string
		values []any
	}
	var all []saved
	s := admin(t, dsn)
	for _, x := range []struct{ name, key, columns string }{
		{"events", "stream, bucket, first", "id, data"},
		{"events", "stream, bucket", "head, dirty, overdue, purged"},
		{"log", "bucket, first", "spans"},
		{"seqv", "shard, stream", "v"},
		{"checkpoints", "name", "rev, position, seen_at, seen_id"},
		{"snapshots", "stream, kind, generation", "data"},
	} {
		for column := range strings.SplitSeq(x.columns, ", ") {
			distinct := ""
			if x.key == "stream, bucket" {
				distinct = "DISTINCT "
			}
			it := s.Query(fmt.Sprintf("SELECT %s%s, %s, writetime(%s) AS written FROM %s", distinct, x.key, column, column, table(dsn, x.name))).Consistency(gocql.Quorum).Iter()
			for {
				row := map[string]any{}
				if !it.MapScan(row) {
					break
				}
				if row["written"].(int64) == 0 {
					continue
				}
				var values []any
				for key := range strings.SplitSeq(x.key, ", ") {
					values = append(values, row[key])
				}
				values = append(values, row[column], row["written"])
				all = append(all, saved{fmt.Sprintf("INSERT INTO %s (%s, %s) VALUES (%s?) USING TIMESTAMP ?", table(dsn, x.name), x.key, column, strings.Repeat("?, ", len(values)-2)), values})
			}
			if err := it.Close(); err != nil {
				t.Fatalf("%v", err)
			}
		}
	}
	return func() {
		for _, name := range []string{"events", "log", "seqv", "checkpoints", "snapshots"} {
			execute(t, dsn, "TRUNCATE "+table(dsn, name))
		}
		for _, row := range all {
			if err := s.Query(row.text, row.values...).Consistency(gocql.Quorum).DefaultTimestamp(false).Exec(); err != nil {
				t.Fatalf("%s: %v", row.text, err)
			}
		}
	}
}

// foreign makes a table of another program's under a name that the driver uses.
func foreign(server, name string, texts ...string) func(conformance.TB) (string, func() error) {
	return func(t conformance.TB) (string, func() error) {
		dsn := fresh(t, server)
		for _, text := range texts {
			execute(t, dsn, strings.ReplaceAll(text, " T ", " "+table(dsn, name)+" "))
		}
		look := func() (string, error) {
			rows, err := admin(t, dsn).Query("SELECT * FROM " + table(dsn, name)).Iter().SliceMap()
			if err != nil {
				return "", err
			}
			tables, err := admin(t, dsn).Query("SELECT table_name, id FROM system_schema.tables WHERE keyspace_name = ?", keyspaceOf(dsn)).Iter().SliceMap()
			tables = slices.DeleteFunc(tables, func(row map[string]any) bool {
				return !strings.HasPrefix(row["table_name"].(string), strings.TrimSuffix(strings.Split(table(dsn, name), ".")[1], name))
			})
			return fmt.Sprint(rows, tables), err
		}
		before, err := look()
		if err != nil {
			t.Fatalf("%v", err)
		}
		return dsn, func() error {
			after, err := look()
			if err == nil && after != before {
				err = fmt.Errorf("the tables were changed:\n%s\n%s", before, after)
			}
			return err
		}
	}
}

// damage changes the row that holds the second event of a stream, or removes it.
func damage(change func([]byte) []byte) func(conformance.TB, string, string) {
	return func(t conformance.TB, dsn, stream string) {
		s := admin(t, dsn)
		var first, written int64
		var data []byte
		key := " WHERE stream = ? AND bucket = 0 AND first "
		err := s.Query("SELECT first, data, writetime(data) FROM "+table(dsn, "events")+key+"<= 2 ORDER BY first DESC LIMIT 1", stream).Scan(&first, &data, &written)
		if err == nil && change == nil {
			err = s.Query("DELETE FROM "+table(dsn, "events")+" USING TIMESTAMP ?"+key+"= ?", written, stream, first).DefaultTimestamp(false).Exec()
		} else if err == nil {
			err = s.Query("UPDATE "+table(dsn, "events")+" USING TIMESTAMP ? SET data = ?"+key+"= ?", written+1, change(data), stream, first).DefaultTimestamp(false).Exec()
		}
		if err != nil {
			t.Fatalf("%v", err)
		}
	}
}
