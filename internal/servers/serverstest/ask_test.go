//go:build linux

package serverstest

import (
	"context"
	"database/sql"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// ask runs a statement on a connection of its own, and returns the first column
// of the first row, if it has rows.
func ask(t *testing.T, client, dsn, statement string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	db, err := sql.Open(client, dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	rows, err := db.QueryContext(ctx, statement)
	if err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
	defer rows.Close()
	var v string
	if rows.Next() {
		if err := rows.Scan(&v); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
	if err := rows.Err(); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
	return v
}

// script runs scripts/servers and returns what it prints.
func script(t *testing.T, arg ...string) string {
	t.Helper()
	cmd := exec.Command("../../../scripts/servers", arg...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("scripts/servers %s: %v\n%s", strings.Join(arg, " "), err, stderr.String())
	}
	return string(out)
}

// start starts servers and returns the variables that are exported. They are
// stopped with the test.
func start(t *testing.T, name ...string) map[string]string {
	t.Helper()
	vars := map[string]string{}
	for _, m := range regexp.MustCompile(`(ES_\w+)='([^']*)'`).FindAllStringSubmatch(script(t, append([]string{"start"}, name...)...), -1) {
		vars[m[1]] = m[2]
	}
	run := vars["ES_SERVERS_RUN"]
	if run == "" {
		t.Fatalf("start does not say which run it is: %v", vars)
	}
	t.Cleanup(func() {
		if _, err := os.Stat(run); err == nil {
			stop(t, run)
		}
	})
	return vars
}

func stop(t *testing.T, run string) {
	t.Helper()
	script(t, "stop", run)
}

// processes returns those that a run has started.
func processes(t *testing.T, run string) (pids []int) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(run, "processes"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		var name string
		var pid, born int
		if _, err := fmt.Sscan(line, &name, &pid, &born); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		pids = append(pids, pid)
	}
	return pids
}

func nobodyListens(t *testing.T, port int) {
	t.Helper()
	conn, err := net.DialTimeout("tcp", fmt.Sprintf("127.0.0.1:%d", port), time.Second)
	if err == nil {
		conn.Close()
		t.Errorf("somebody listens on port %d", port)
	}
}

// gone waits for a process that was stopped to be gone: who has to take note of
// its death may be slow.
func gone(t *testing.T, pid int) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); syscall.Kill(pid, 0) != syscall.ESRCH; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("process %d is still there", pid)
		}
	}
}

// nobodyWorksIn checks that soon no process has its working directory or an open
// file in a folder.
func nobodyWorksIn(t *testing.T, dir string) {
	t.Helper()
	var left []string
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if left = links(t, dir); len(left) == 0 {
			return
		}
	}
	t.Errorf("processes work in %s:\n%s", dir, strings.Join(left, "\n"))
}

func links(t *testing.T, dir string) (found []string) {
	t.Helper()
	all, err := filepath.Glob("/proc/[0-9]*/cwd")
	if err != nil || len(all) == 0 {
		t.Fatalf("/proc cannot be read: %v", err)
	}
	files, err := filepath.Glob("/proc/[0-9]*/fd/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, link := range append(all, files...) {
		if to, err := os.Readlink(link); err == nil && strings.HasPrefix(to, dir+"/") {
			found = append(found, link+" is "+to)
		}
	}
	return found
}
