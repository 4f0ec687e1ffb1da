//go:build linux

package serverstest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	_ "github.com/go-sql-driver/mysql"
	_ "github.com/jackc/pgx/v5/stdlib"

	"github.com/go-es/es/internal/servers"
)

// clients say which driver of database/sql talks to a server.
var clients = map[string]string{"postgres": "pgx", "mysql": "mysql", "mariadb": "mysql"}

// Whatever a server has confirmed is there after a crash and after a restart.
func TestRun(t *testing.T) {
	for name, client := range clients {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := servers.Run(t, name)
			dsn := s.DSN
			ask(t, client, dsn, "create table kept (v int)")
			ask(t, client, dsn, "insert into kept values (41)")
			s.Kill()
			nobodyListens(t, s.Port)
			s.Start()
			ask(t, client, dsn, "insert into kept values (1)")
			s.Stop()
			nobodyListens(t, s.Port)
			s.Start()
			if got := ask(t, client, dsn, "select sum(v) from kept"); got != "42" {
				t.Errorf("after a crash and a restart: %q, want 42", got)
			}
			if s.DSN != dsn {
				t.Errorf("another DSN after a restart: %s, was %s", s.DSN, dsn)
			}
			pid := s.Pid()
			s.Stop()
			gone(t, pid)
			nobodyWorksIn(t, s.Dir)
		})
	}
}

// Options reach the server.
func TestOptions(t *testing.T) {
	for name, row := range map[string]struct{ option, statement string }{
		"postgres": {"--max_connections=17", "select current_setting('max_connections')"},
		"mysql":    {"--max-connections=17", "select @@max_connections"},
		"mariadb":  {"--max-connections=17", "select @@max_connections"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := servers.Run(t, name, row.option)
			if got := ask(t, clients[name], s.DSN, row.statement); got != "17" {
				t.Errorf("max_connections is %s, want 17", got)
			}
		})
	}
}

// What a server confirms is on disk, with the settings that it has by itself.
func TestDurable(t *testing.T) {
	for name, row := range map[string]struct{ statement, want string }{
		"postgres": {"select current_setting('fsync') || current_setting('synchronous_commit') || current_setting('full_page_writes')", "ononon"},
		"mysql":    {"select concat(@@innodb_flush_log_at_trx_commit, @@innodb_doublewrite, @@sync_binlog)", "1ON1"},
		"mariadb":  {"select concat(@@innodb_flush_log_at_trx_commit, @@innodb_doublewrite)", "1ON"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := ask(t, clients[name], servers.DSN(t, name), row.statement); got != row.want {
				t.Errorf("%s is %s, want %s", row.statement, got, row.want)
			}
		})
	}
}

// Two runs stand side by side, and stop ends its own.
func TestStartAndStop(t *testing.T) {
	for name, client := range clients {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if !servers.Installed(name) {
				servers.Run(t, name) // says so
			}
			a, b := start(t, name), start(t, name)
			variable := "ES_TEST_" + strings.ToUpper(name)
			if a[variable] == b[variable] || a["ES_SERVERS_RUN"] == b["ES_SERVERS_RUN"] {
				t.Fatalf("two runs are one: %v, %v", a, b)
			}
			ask(t, client, a[variable], "create table own (v int)")
			ask(t, client, b[variable], "create table own (v int)")
			pids := processes(t, a["ES_SERVERS_RUN"])
			if len(pids) != 1 || syscall.Kill(pids[0], 0) != nil {
				t.Fatalf("the run's processes: %v", pids)
			}
			stop(t, a["ES_SERVERS_RUN"])
			for _, pid := range pids {
				gone(t, pid)
			}
			nobodyWorksIn(t, a["ES_SERVERS_RUN"])
			if _, err := os.Stat(a["ES_SERVERS_RUN"]); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("after stop: the folder of the run: %v", err)
			}
			ask(t, client, b[variable], "insert into own values (1)")
		})
	}
}

// A server that a test has started does not outlive a test that is killed.
func TestEndsWithItsParent(t *testing.T) {
	if os.Getenv("ES_SERVERS_CHILD") != "" {
		s := servers.Run(t, "postgres")
		fmt.Printf("running %d %s\n", s.Pid(), s.Dir)
		select {}
	}
	if !servers.Installed("postgres") {
		servers.Run(t, "postgres") // says so
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestEndsWithItsParent$")
	cmd.Env = append(os.Environ(), "ES_SERVERS_CHILD=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var pid int
	var dir string
	_, err = fmt.Fscanf(out, "running %d %s\n", &pid, &dir)
	cmd.Process.Kill()
	cmd.Wait()
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	gone(t, pid)
}
