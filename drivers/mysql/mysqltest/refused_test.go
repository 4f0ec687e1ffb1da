package mysqltest

import (
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	client "github.com/go-sql-driver/mysql"

	"github.com/go-es/es/driver"
	"github.com/go-es/es/drivers/mysql"
	"github.com/go-es/es/internal/servers"
)

// A server under which a promise cannot be kept is refused, by name: at Open, and
// by the next connection of a store that was open before.
func TestRefused(t *testing.T) {
	for _, name := range both {
		t.Run(name, func(t *testing.T) {
			server := servers.Run(t, name)
			dsn := newDatabase(t, at(server.DSN))
			before := openStore(t, dsn)
			_, err := before.Append(t.Context(), to("a", driver.NoStream, record("1")))
			must(t, err)
			set := func(variable, bad, good string) refusedCase {
				return refusedCase{name: variable + " = " + bad, set: []string{"SET GLOBAL " + variable + " = " + bad}, back: []string{"SET GLOBAL " + variable + " = " + good}, words: []string{variable, bad}}
			}
			cases := []refusedCase{
				set("auto_increment_increment", "2", "1"),
				set("innodb_flush_log_at_trx_commit", "2", "1"),
				set("innodb_flush_log_at_trx_commit", "0", "1"),
				set("max_allowed_packet", "1048576", "67108864"),
				{name: "read_only", set: []string{"SET GLOBAL read_only = 1"}, back: []string{"SET GLOBAL read_only = 0"}, words: []string{"read_only"}, passing: true},
			}
			if name == "mysql" {
				cases = append(cases,
					set("sync_binlog", "0", "1"),
					set("sync_binlog", "100", "1"),
					set("binlog_format", "STATEMENT", "ROW"),
					set("innodb_doublewrite", "DETECT_ONLY", "DETECT_AND_RECOVER"),
					set("innodb_checksum_algorithm", "none", "crc32"),
					set("innodb_checksum_algorithm", "strict_none", "crc32"),
					set("innodb_log_checksums", "OFF", "ON"),
					refusedCase{name: "redo log", set: []string{"ALTER INSTANCE DISABLE INNODB REDO_LOG"}, back: []string{"ALTER INSTANCE ENABLE INNODB REDO_LOG"}, words: []string{"redo log", "ENABLE"}},
					refusedCase{name: "replica", passing: true, words: []string{"replica"},
						set:  []string{"CHANGE REPLICATION SOURCE TO SOURCE_HOST='127.0.0.1', SOURCE_PORT=1, SOURCE_USER='x', SOURCE_PASSWORD='x'", "START REPLICA SQL_THREAD"},
						back: []string{"STOP REPLICA", "RESET REPLICA ALL"}},
				)
			} else {
				cases = append(cases, refusedCase{name: "replica", passing: true, words: []string{"replica"},
					set:  []string{"CHANGE MASTER TO MASTER_HOST='127.0.0.1', MASTER_PORT=1, MASTER_USER='x', MASTER_PASSWORD='x'", "START SLAVE SQL_THREAD"},
					back: []string{"STOP SLAVE", "RESET SLAVE ALL"}})
			}
			for _, c := range cases {
				execute(t, dsn, c.set...)
				c.check(t, dsn)
				execute(t, dsn, c.back...)
				s, err := open(t.Context(), dsn)
				must(t, err)
				must(t, s.Close())
			}
			if name == "mysql" {
				return
			}
			// What was open when the server changed: its next connection looks.
			execute(t, dsn, "SET GLOBAL innodb_flush_log_at_trx_commit = 0")
			server.Stop()
			server.Start() // with its own settings again
			deadline := time.Now().Add(20 * time.Second)
			for {
				_, err := before.Append(t.Context(), to("a", driver.Exactly(1), record("2")))
				if err == nil {
					break
				}
				if !driver.IsTransient(err) || time.Now().After(deadline) {
					t.Fatalf("after the server was started again: %v", err)
				}
				time.Sleep(10 * time.Millisecond)
			}
		})
	}
}

// refusedCase is a setting with which Open is refused.
type refusedCase struct {
	name      string
	set, back []string
	words     []string // of the error
	passing   bool     // it may be otherwise a moment later
}

func (c *refusedCase) check(t *testing.T, dsn string) {
	t.Helper()
	s, err := open(t.Context(), dsn)
	if err == nil {
		s.Close()
		t.Errorf("%s: Open refuses nothing", c.name)
		return
	}
	for _, word := range c.words {
		if !strings.Contains(strings.ToLower(err.Error()), strings.ToLower(word)) {
			t.Errorf("%s: Open returned %v, want an error that says %q", c.name, err, word)
		}
	}
	if driver.IsTransient(err) != c.passing {
		t.Errorf("%s: transient %v, want %v: %v", c.name, !c.passing, c.passing, err)
	}
	// A pool of the program's own is refused as well.
	db := pool(t, dsn)
	defer db.Close()
	if s, err := mysql.New(t.Context(), db, mysql.Config{}); err == nil {
		s.Close()
		t.Errorf("%s: New refuses nothing", c.name)
	}
}

// The same with settings that a server has from its start.
func TestRefusedOptions(t *testing.T) {
	for _, c := range []struct {
		server  string
		options []string
		words   []string // none: it is not refused
		dsn     string   // parameters with which it is not
	}{
		{server: "mariadb", options: []string{"--skip-innodb-doublewrite"}, words: []string{"innodb_doublewrite", "OFF", "atomicpages"}, dsn: "?atomicpages=true"},
		{server: "mariadb", options: []string{"--innodb-flush-method=nosync"}, words: []string{"innodb_flush_method", "nosync"}},
		{server: "mariadb", options: []string{"--innodb-flush-method=O_DIRECT_NO_FSYNC"}, words: []string{"innodb_flush_method", "O_DIRECT_NO_FSYNC"}},
		{server: "mariadb", options: []string{"--log-bin=b", "--sync-binlog=0"}, words: []string{"sync_binlog", "0"}},
		{server: "mariadb", options: []string{"--log-bin=b", "--sync-binlog=1", "--binlog-format=STATEMENT"}, words: []string{"binlog_format", "STATEMENT"}},
		{server: "mariadb", options: []string{"--log-bin=b", "--sync-binlog=1", "--innodb-flush-method=fsync"}},
		{server: "mariadb", options: []string{"--innodb-force-recovery=1"}, words: []string{"innodb_force_recovery", "1"}},
		{server: "mariadb", options: []string{"--version=5.7.25-TiDB-v7.5.1"}, words: []string{"TiDB", "locks"}},
		{server: "mariadb", options: []string{"--version=8.0.30-Vitess"}, words: []string{"Vitess", "locks"}},
		{server: "mariadb", options: []string{"--version=10.5.9-MariaDB"}, words: []string{"10.5.9", "10.6"}},
		{server: "mysql", options: []string{"--innodb-doublewrite=OFF"}, words: []string{"innodb_doublewrite", "OFF", "atomicpages"}, dsn: "?atomicpages=true"},
		{server: "mysql", options: []string{"--innodb-flush-method=littlesync"}, words: []string{"innodb_flush_method", "littlesync"}},
	} {
		t.Run(c.server+strings.Join(c.options, ""), func(t *testing.T) {
			t.Parallel()
			dsn := newDatabase(t, at(servers.Run(t, c.server, c.options...).DSN))
			if len(c.words) > 0 {
				(&refusedCase{name: strings.Join(c.options, " "), words: c.words}).check(t, dsn)
			}
			if len(c.words) > 0 && c.dsn == "" {
				return
			}
			s := openStore(t, dsn+c.dsn)
			_, err := s.Append(t.Context(), to("a", driver.NoStream, record("1")))
			must(t, err)
			if n := len(feed(t, s)); n != 1 {
				t.Errorf("the feed has %d events", n)
			}
		})
	}
}

// Where the binary log leaves the database out, it says nothing of what is durable,
// and readers of the feed wait for InnoDB's log as without one, and so does who is told
// of a conflict.
func TestLeftOutOfTheLog(t *testing.T) {
	for _, name := range both {
		for _, logged := range []bool{true, false} {
			t.Run(fmt.Sprint(name, "/", logged), func(t *testing.T) {
				t.Parallel()
				options := []string{"--log-bin=b", "--sync-binlog=1"}
				if !logged {
					options = append(options, "--binlog-do-db=other")
				}
				dsn := newDatabase(t, at(servers.Run(t, name, options...).DSN))
				cfg, err := client.ParseDSN(dsn)
				must(t, err)
				from, err := client.NewConnector(cfg)
				must(t, err)
				r := &recorder{Connector: from}
				db := sql.OpenDB(r)
				t.Cleanup(func() { db.Close() })
				s, err := mysql.New(t.Context(), db, mysql.Config{})
				must(t, err)
				t.Cleanup(func() { s.Close() })
				_, err = s.Append(t.Context(), to("a", driver.NoStream, record("1")))
				must(t, err)
				gone := record("")
				gone.Type = driver.TypeDeleted
				for what, call := range map[string]func() error{
					"Head":    func() error { _, err := s.Head(t.Context()); return err },
					"ReadAll": func() error { _, err := s.ReadAll(t.Context(), driver.FeedQuery{}); return err },
					"SaveCheckpoint": func() error {
						return s.SaveCheckpoint(t.Context(), driver.Checkpoint{Name: "c", Revision: driver.NewID(time.Now())}, driver.NewID(time.Now()))
					},
					"Append": func() error {
						_, err := s.Append(t.Context(), to("a", driver.NoStream, record("x")))
						return err
					},
					"Delete": func() error {
						_, err := s.Delete(t.Context(), driver.DeleteRequest{Stream: "a", Expected: driver.NoStream, Record: gone})
						return err
					},
				} {
					_, err = s.Append(t.Context(), to(what, driver.NoStream, record("1")))
					must(t, err)
					r.texts = nil
					if err := call(); err != nil && !errors.Is(err, driver.ErrConflict) && !errors.Is(err, driver.ErrCheckpointConflict) {
						t.Errorf("%s: %v", what, err)
					}
					asks := slices.ContainsFunc(r.texts, func(text string) bool { return strings.Contains(text, "lsn") })
					if asks == logged {
						t.Errorf("%s asked for the place of InnoDB's log: %v", what, asks)
					}
				}
			})
		}
	}
}

// A user without the right to write is refused, also one who only wants to read.
func TestRights(t *testing.T) {
	onBoth(t, func(t *testing.T, server string) {
		dsn := newDatabase(t, server)
		openStore(t, dsn).Close()
		user := databaseOf(dsn)
		execute(t, dsn, "CREATE USER '"+user+"'@'%' IDENTIFIED BY 'x'", "GRANT SELECT ON "+user+".* TO '"+user+"'@'%'")
		t.Cleanup(func() { execute(t, server, "DROP USER '"+user+"'@'%'") })
		theirs := strings.Replace(dsn, "root@", user+":x@", 1)
		for _, param := range []string{"", "?ddl=check"} {
			if _, err := open(t.Context(), theirs+param); err == nil || !strings.Contains(err.Error(), "INSERT") {
				t.Errorf("Open%s with SELECT alone: %v, want an error that names the rights", param, err)
			}
		}
		execute(t, dsn, "GRANT INSERT, UPDATE, DELETE ON "+user+".* TO '"+user+"'@'%'")
		s, err := open(t.Context(), theirs+"?ddl=check")
		must(t, err)
		_, err = s.Append(t.Context(), to("a", driver.NoStream, record("1")))
		must(t, err)
		if n := len(feed(t, s)); n != 1 {
			t.Errorf("the feed has %d events", n)
		}
		must(t, s.Close())
	})
}
