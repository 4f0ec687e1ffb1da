// Package servers gives tests the real database servers that scripts/servers
// installs and starts.
package servers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// patience is how long a server may take to start, or to stop.
const patience = 2 * time.Minute

// Bound is how long what takes moments may take where the tests of several drivers
// share a machine with all of their servers: conformance.Config.FeedBound.
const Bound = 30 * time.Second

// DSN returns the data source name of a shared server, which is in the variable
// ES_TEST_ and its name: postgres, mysql, mariadb, dynamodb, mongo, cassandra, or
// cassandra3 for three nodes. Without one the test is skipped, and fails where CI
// is true. Tests share the server: each uses a database, a schema or a prefix of
// its own.
func DSN(t testing.TB, name string) string {
	t.Helper()
	variable := "ES_TEST_" + strings.ToUpper(name)
	dsn := os.Getenv(variable)
	if dsn == "" {
		missing(t, fmt.Sprintf(`no server: set %s, or eval "$(scripts/servers start %s)"`, variable, name))
	}
	return dsn
}

// missing ends a test for want of a server.
func missing(t testing.TB, why string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatal(why)
	}
	t.Skip(why)
}

// Installed reports whether [Run] can start a server of a name: whether it is
// installed in the folder that ES_SERVERS names.
func Installed(name string) bool {
	dir := os.Getenv("ES_SERVERS")
	if dir == "" {
		return false
	}
	found, err := filepath.Glob(filepath.Join(dir, name+"-*", "complete"))
	return err == nil && len(found) > 0
}

// A Server is one that a test has for itself, to kill and to start again. Its
// methods fail the test themselves, and are for its goroutine only.
type Server struct {
	DSN  string // the same all the time
	Dir  string // what it writes, its log among it
	Port int

	t      testing.TB
	name   string
	option []string
	script string
	cmd    *exec.Cmd
	stdin  io.Closer     // while it is open, the server lives
	ended  chan struct{} // closed when the process is gone
}

// Run starts a server with data of its own, which ends with the test. Options are
// those of the server's program, for instance "-c", "fsync=off". Where nothing is
// installed the test is skipped, and fails where CI is true.
func Run(t testing.TB, name string, option ...string) *Server {
	t.Helper()
	return run(t, name, [][]string{option})[0]
}

// RunThree starts three nodes of a Cassandra, as [Run] does; the name may be
// "cassandra" only. Their DSN names all of them.
func RunThree(t testing.TB, name string) []*Server {
	t.Helper()
	return run(t, name, [][]string{{"node=1"}, {"node=2"}, {"node=3"}})
}

func run(t testing.TB, name string, options [][]string) []*Server {
	t.Helper()
	if !Installed(name) {
		missing(t, fmt.Sprintf(`no server to start and kill: eval "$(scripts/servers start %s)"`, name))
	}
	script, err := findScript()
	if err != nil {
		t.Fatal(err)
	}
	var nodes []*Server
	for _, option := range options {
		nodes = append(nodes, newServer(t, name, script, option))
	}
	for range 3 { // somebody else may take the port meanwhile
		port := freePort(t)
		for _, s := range nodes {
			s.Port = port
			if err = s.start(); err != nil {
				break
			}
		}
		if err == nil {
			return nodes
		}
		for _, s := range nodes {
			s.Stop()
		}
	}
	t.Fatal(err)
	return nil
}

func newServer(t testing.TB, name, script string, option []string) *Server {
	t.Helper()
	dir, err := os.MkdirTemp("", "es-"+name+"-")
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{Dir: dir, t: t, name: name, option: option, script: script}
	t.Cleanup(func() {
		s.Stop()
		if t.Failed() {
			t.Logf("the end of the log of %s:\n%s", name, s.log())
		}
		for end := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
			err := os.RemoveAll(dir) // fails while a process of a killed server still writes
			if err == nil {
				return
			}
			if time.Now().After(end) {
				t.Error(err)
				return
			}
		}
	})
	return s
}

// Start starts the server again after Kill or Stop, on the same port with the
// same data, and returns when it answers.
func (s *Server) Start() {
	s.t.Helper()
	if s.cmd != nil {
		s.t.Fatal("Start: the server runs")
	}
	if err := s.start(); err != nil {
		s.t.Fatalf("%v\n%s", err, s.log())
	}
}

func (s *Server) start() error {
	log, err := os.OpenFile(filepath.Join(s.Dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(s.script, append([]string{"run", "-i", s.name, s.Dir, strconv.Itoa(s.Port)}, s.option...)...)
	cmd.Stdout, cmd.Stderr = log, log
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		cmd.Wait() // how it ended stands in the log
	}()
	s.cmd, s.stdin, s.ended = cmd, stdin, ended

	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var stderr bytes.Buffer
	wait := exec.CommandContext(ctx, s.script, "wait", s.name, s.Dir, strconv.Itoa(s.Port), strconv.Itoa(cmd.Process.Pid))
	wait.Stderr = &stderr
	dsn, err := wait.Output()
	if err != nil {
		s.Kill()
		return fmt.Errorf("%s did not start: %w: %s", s.name, err, stderr.String())
	}
	s.DSN = strings.TrimSpace(string(dsn))
	return nil
}

// Kill ends the server at once, as a crash of it does, and returns when the
// process is gone.
func (s *Server) Kill() {
	s.t.Helper()
	if s.cmd == nil {
		return
	}
	if err := s.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		s.t.Error(err)
	}
	s.gone()
}

// Stop ends the server as its administrator would, and returns when it is gone.
func (s *Server) Stop() {
	s.t.Helper()
	if s.cmd == nil {
		return
	}
	s.stdin.Close()
	s.gone()
}

func (s *Server) gone() {
	s.t.Helper()
	select {
	case <-s.ended:
	case <-time.After(patience):
		s.t.Errorf("%s does not end", s.name)
		s.cmd.Process.Kill()
		<-s.ended
	}
	s.stdin.Close()
	s.cmd = nil
}

// Pid returns the number of the server's process, 0 when it does not run.
func (s *Server) Pid() int {
	if s.cmd == nil {
		return 0
	}
	return s.cmd.Process.Pid
}

// log returns the end of what the server wrote.
func (s *Server) log() []byte {
	b, err := os.ReadFile(filepath.Join(s.Dir, "log"))
	if err != nil {
		return []byte(err.Error())
	}
	return b[max(0, len(b)-4000):]
}

// freePort returns a port that nobody listens on, and that no client gets while
// the server is down.
func freePort(t testing.TB) int {
	t.Helper()
	for range 100 {
		port := 20000 + rand.IntN(12000)
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err == nil {
			l.Close()
			return port
		}
	}
	t.Fatal("there is no free port")
	return 0
}

// findScript looks for scripts/servers above the folder of the test.
func findScript() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for ; ; dir = filepath.Dir(dir) {
		script := filepath.Join(dir, "scripts", "servers")
		if _, err := os.Stat(script); err == nil {
			return script, nil
		}
		if dir == filepath.Dir(dir) {
			return "", errors.New("there is no scripts/servers above the folder of the test")
		}
	}
}
