package cut_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/go-es/es/internal/cut"
)

// server answers each line with "ok" and the line, in two pieces.
type server struct {
	net.Listener
	running sync.WaitGroup
	mu      sync.Mutex
	got     []string
	conns   []net.Conn
	slow    time.Duration // between the pieces of an answer
}

func serve(t *testing.T) *server {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &server{Listener: ln}
	s.running.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			s.conns = append(s.conns, c)
			s.mu.Unlock()
			s.running.Go(func() { s.answer(c) })
		}
	})
	t.Cleanup(func() {
		ln.Close()
		s.mu.Lock()
		for _, c := range s.conns {
			c.Close()
		}
		s.mu.Unlock()
		s.running.Wait()
	})
	return s
}

func (s *server) answer(c net.Conn) {
	defer c.Close()
	for lines := bufio.NewScanner(c); lines.Scan(); {
		s.mu.Lock()
		s.got = append(s.got, lines.Text())
		slow := s.slow
		s.mu.Unlock()
		io.WriteString(c, "ok ")
		time.Sleep(slow)
		fmt.Fprintln(c, lines.Text())
	}
}

func (s *server) heard(line string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Contains(s.got, line)
}

func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(5 * time.Second); !f(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("after 5 seconds still not so: %s", what)
		}
	}
}

// client is one connection to the server.
type client struct {
	t *testing.T
	net.Conn
	in *bufio.Reader
}

func (c *client) ask(line string) (string, error) {
	c.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err := io.WriteString(c, line+"\n"); err != nil {
		return "", err
	}
	answer, err := c.in.ReadString('\n')
	return strings.TrimSpace(answer), err
}

func (c *client) works(line string) {
	c.t.Helper()
	if got, err := c.ask(line); got != "ok "+line || err != nil {
		c.t.Fatalf("%q was answered with %q, %v", line, got, err)
	}
}

// broken fails unless the line breaks the connection before a byte of an answer.
func (c *client) broken(line string) {
	c.t.Helper()
	got, err := c.ask(line)
	if timeout, ok := errors.AsType[net.Error](err); got != "" || err == nil || ok && timeout.Timeout() {
		c.t.Fatalf("%q was answered with %q, %v; the connection was to break", line, got, err)
	}
}

func writes(sent []byte) bool { return bytes.Contains(sent, []byte("INSERT")) }

// eachWay runs a test with connections that are dialled through a line, and with
// those through its proxy.
func eachWay(t *testing.T, f func(t *testing.T, s *server, l *cut.Line, connect func() *client)) {
	for _, way := range []string{"dial", "proxy"} {
		t.Run(way, func(t *testing.T) {
			noneLeft(t)
			s := serve(t)
			l := &cut.Line{Writes: writes}
			t.Cleanup(func() { l.Close() })
			addr := s.Addr().String()
			dial := l.DialContext
			if way == "proxy" {
				var err error
				if addr, err = l.Proxy("tcp", addr); err != nil {
					t.Fatal(err)
				}
				dial = new(net.Dialer).DialContext
			}
			f(t, s, l, func() *client {
				t.Helper()
				c, err := dial(t.Context(), "tcp", addr)
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { c.Close() })
				return &client{t, c, bufio.NewReader(c)}
			})
		})
	}
}

// noneLeft fails if goroutines are left at the end.
func noneLeft(t *testing.T) {
	before := runtime.NumGoroutine()
	t.Cleanup(func() {
		eventually(t, "no goroutine is left", func() bool { return runtime.NumGoroutine() <= before })
	})
}

func TestBreak(t *testing.T) {
	eachWay(t, func(t *testing.T, s *server, l *cut.Line, connect func() *client) {
		other := connect()
		for i, reply := range []bool{false, true} {
			c := connect()
			line := fmt.Sprint("INSERT ", i)
			c.works(line + " before")
			l.Break(reply)
			c.works("SELECT")
			c.broken(line)
			if s.heard(line) != reply {
				t.Errorf("Break(%t): the server heard %q: %t", reply, line, !reply)
			}
			other.works(line + " on another connection")
			connect().works(line + " on a new connection")
			if l.Cuts() != i+1 {
				t.Errorf("%d cuts are counted, %d were made", l.Cuts(), i+1)
			}
		}
		time.Sleep(10 * time.Millisecond)
		if s.heard("INSERT 0") {
			t.Error("what was cut before it was sent arrived later")
		}
	})
}

func TestBreakAt(t *testing.T) {
	eachWay(t, func(t *testing.T, s *server, l *cut.Line, connect func() *client) {
		for _, reply := range []bool{false, true} {
			broke := l.BreakAt(3, reply)
			c := connect()
			c.works("INSERT 1")
			connect().works("SELECT 2")
			if reply && broke() {
				t.Error("a fault is said to have happened that has not")
			} else if reply {
				broke = l.BreakAt(1, reply)
			}
			c.broken(fmt.Sprint("SELECT 3 ", reply))
			if !broke() {
				t.Error("a fault is said not to have happened that has")
			}
			connect().works("INSERT 4")
			broke = l.BreakAt(2, reply)
			c = connect()
			c.works("INSERT 5")
			if broke() {
				t.Error("a fault is said to have happened that was taken back")
			}
			c.works("INSERT 6")
		}
		if s.heard("SELECT 3 false") || !s.heard("SELECT 3 true") || l.Cuts() != 2 {
			t.Errorf("%d cuts; the server heard %q", l.Cuts(), s.got)
		}
	})
}

// A request that is held back arrives when it is delivered, and not before.
func TestLate(t *testing.T) {
	eachWay(t, func(t *testing.T, s *server, l *cut.Line, connect func() *client) {
		for i, n := range []int{1, 3} {
			c, other := connect(), connect()
			line := fmt.Sprint("INSERT ", i)
			c.works(line + " before")
			deliver := l.Late(n)
			for range n - 1 {
				c.works("INSERT that passes")
			}
			c.works("SELECT")
			c.broken(line)
			other.works(line + " on another connection")
			connect().works(line + " on a new connection")
			time.Sleep(30 * time.Millisecond)
			if s.heard(line) {
				t.Errorf("%q was held back, and the server heard it", line)
			}
			if !deliver() || !s.heard(line) {
				t.Errorf("%q was delivered, and the server heard %q", line, s.got)
			}
			if deliver() {
				t.Errorf("%q is delivered twice", line)
			}
			other.works(line + " after it")
			if l.Cuts() != i+1 {
				t.Errorf("%d cuts are counted, %d were made", l.Cuts(), i+1)
			}
		}
		deliver := l.Late(1)
		if deliver() {
			t.Error("something is delivered, and nothing was held back")
		}
		connect().works("INSERT after the fault was taken back")
	})
}

// A request that is held back keeps its pieces together. deliver returns once the
// server has answered whole.
func TestLatePieces(t *testing.T) {
	noneLeft(t)
	s := serve(t)
	s.slow = 100 * time.Millisecond
	var mu sync.Mutex
	var last string
	l := &cut.Line{Writes: writes, Done: func(answer []byte) bool {
		mu.Lock()
		defer mu.Unlock()
		last = string(answer)
		return bytes.HasSuffix(answer, []byte("\n"))
	}}
	defer l.Close()
	conn, err := l.DialContext(t.Context(), "tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	line := "INSERT " + strings.Repeat("x", 40_000)
	deliver := l.Late(1)
	(&client{t, conn, bufio.NewReader(conn)}).broken(line)
	if !deliver() || !s.heard(line) {
		t.Errorf("the server did not hear the request whole")
	}
	mu.Lock()
	defer mu.Unlock()
	if last != "ok "+line+"\n" {
		t.Errorf("deliver returned when %d bytes had been answered", len(last))
	}
}

// A request that is held back is lost when the server ends the connection, or Close.
func TestLateLost(t *testing.T) {
	eachWay(t, func(t *testing.T, s *server, l *cut.Line, connect func() *client) {
		for i, end := range []func(){
			func() {
				s.mu.Lock()
				defer s.mu.Unlock()
				s.conns[len(s.conns)-1].Close()
			},
			func() { l.Close() },
		} {
			c := connect()
			c.works("SELECT")
			deliver := l.Late(1)
			line := fmt.Sprint("INSERT ", i)
			c.broken(line)
			end()
			time.Sleep(300 * time.Millisecond)
			if deliver() || s.heard(line) {
				t.Errorf("%q was delivered on a connection that had ended", line)
			}
		}
	})
}

// A request that comes in pieces.
func TestPieces(t *testing.T) {
	eachWay(t, func(t *testing.T, s *server, l *cut.Line, connect func() *client) {
		c := connect()
		c.works("SELECT")
		l.Break(false)
		for _, piece := range []string{"INS", "ERT pieces\n"} {
			io.WriteString(c, piece)
			time.Sleep(20 * time.Millisecond)
		}
		c.broken("SELECT")
		if s.heard("INSERT pieces") {
			t.Error("the request arrived whole")
		}
	})
}

// An answer that comes in pieces is waited for.
func TestDone(t *testing.T) {
	noneLeft(t)
	s := serve(t)
	s.slow = 100 * time.Millisecond
	answers := make(chan string, 100)
	l := &cut.Line{Writes: writes, Done: func(answer []byte) bool {
		answers <- string(answer)
		return bytes.HasSuffix(answer, []byte("\n"))
	}}
	defer l.Close()
	conn, err := l.DialContext(t.Context(), "tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	c := &client{t, conn, bufio.NewReader(conn)}
	c.works("INSERT before")
	l.Break(true)
	c.broken("INSERT slowly")
	l.Close()
	close(answers)
	var last string
	for last = range answers {
	}
	if last != "ok INSERT slowly\n" {
		t.Errorf("the connection broke when this had been answered: %q", last)
	}
}

func TestHeld(t *testing.T) {
	eachWay(t, func(t *testing.T, s *server, l *cut.Line, connect func() *client) {
		stays, leaves := connect(), connect()
		stays.works("SELECT 1")
		up := l.Down(cut.Held)
		io.WriteString(stays, "INSERT held\n")
		io.WriteString(leaves, "INSERT left behind\n")
		leaves.Close()
		stays.SetReadDeadline(time.Now().Add(30 * time.Millisecond))
		if got, err := stays.in.ReadString('\n'); !errors.Is(err, context.DeadlineExceeded) && !isTimeout(err) {
			t.Errorf("while the server was down it answered %q, %v", got, err)
		}
		if s.heard("INSERT held") || s.heard("INSERT left behind") {
			t.Error("what was sent while the server was down arrived")
		}
		up()
		up()
		stays.SetReadDeadline(time.Now().Add(5 * time.Second))
		if got, err := stays.in.ReadString('\n'); got != "ok INSERT held\n" || err != nil {
			t.Errorf("after the server came up it answered %q, %v", got, err)
		}
		eventually(t, "what a client had sent that gave up is delivered", func() bool { return s.heard("INSERT left behind") })
		stays.works("INSERT later")
	})
}

func isTimeout(err error) bool {
	e, ok := errors.AsType[net.Error](err)
	return ok && e.Timeout()
}

func TestLost(t *testing.T) {
	eachWay(t, func(t *testing.T, s *server, l *cut.Line, connect func() *client) {
		used, idle := connect(), connect()
		used.works("SELECT 1")
		idle.works("SELECT 2")
		up := l.Down(cut.Lost)
		io.WriteString(used, "INSERT lost\n")
		used.SetReadDeadline(time.Now().Add(30 * time.Millisecond))
		if got, err := used.in.ReadString('\n'); !isTimeout(err) {
			t.Errorf("while the server was down it answered %q, %v", got, err)
		}
		up()
		used.broken("INSERT with a hole before it")
		idle.works("INSERT later")
		if s.heard("INSERT lost") || s.heard("INSERT with a hole before it") {
			t.Errorf("the server heard %q", s.got)
		}
	})
}

func TestRefused(t *testing.T) {
	eachWay(t, func(t *testing.T, s *server, l *cut.Line, connect func() *client) {
		c := connect()
		c.works("SELECT")
		up := l.Down(cut.Refused)
		c.broken("INSERT refused")
		up()
		connect().works("INSERT later")
		if s.heard("INSERT refused") {
			t.Errorf("the server heard %q", s.got)
		}
	})
}

// Who dials while the server is down waits, or is refused.
func TestDialDown(t *testing.T) {
	noneLeft(t)
	s := serve(t)
	l := new(cut.Line)
	defer l.Close()
	dial := func(ctx context.Context) error {
		c, err := l.DialContext(ctx, "tcp", s.Addr().String())
		if err == nil {
			c.Close()
		}
		return err
	}
	up := l.Down(cut.Refused)
	if err := dial(t.Context()); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("refused: %v", err)
	}
	up()
	for _, how := range []cut.Outage{cut.Held, cut.Lost} {
		up := l.Down(how)
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		if err := dial(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("outage %d: %v", how, err)
		}
		cancel()
		done := make(chan error)
		go func() { done <- dial(t.Context()) }()
		select {
		case err := <-done:
			t.Errorf("outage %d: dialled: %v", how, err)
		case <-time.After(20 * time.Millisecond):
			up()
			if err := <-done; err != nil {
				t.Errorf("outage %d, after it: %v", how, err)
			}
		}
	}
}

// Close ends everything, in an outage too, and nothing works after it.
func TestClose(t *testing.T) {
	noneLeft(t)
	s := serve(t)
	l := new(cut.Line)
	addr, err := l.Proxy("tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	a := &client{t, c, bufio.NewReader(c)}
	a.works("SELECT")
	l.Down(cut.Held)
	late, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer late.Close()
	waits := make(chan error)
	go func() {
		_, err := l.DialContext(t.Context(), "tcp", s.Addr().String())
		waits <- err
	}()
	time.Sleep(10 * time.Millisecond)
	l.Close()
	l.Close()
	if err := <-waits; !errors.Is(err, net.ErrClosed) {
		t.Errorf("DialContext while Close was called: %v", err)
	}
	a.broken("SELECT")
	if _, err := l.DialContext(t.Context(), "tcp", s.Addr().String()); !errors.Is(err, net.ErrClosed) {
		t.Errorf("DialContext after Close: %v", err)
	}
	if _, err := l.Proxy("tcp", s.Addr().String()); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Proxy after Close: %v", err)
	}
	if _, err := net.Dial("tcp", addr); err == nil {
		t.Error("the proxy listens after Close")
	}
}

// The server's end is passed on, and the client's.
func TestEnds(t *testing.T) {
	eachWay(t, func(t *testing.T, s *server, l *cut.Line, connect func() *client) {
		c := connect()
		c.works("SELECT")
		c.Conn.(*net.TCPConn).CloseWrite()
		if got, err := c.in.ReadString('\n'); got != "" || err != io.EOF {
			t.Errorf("after the client's end came %q, %v", got, err)
		}
		c = connect()
		c.works("SELECT")
		s.mu.Lock()
		s.conns[len(s.conns)-1].Close()
		s.mu.Unlock()
		c.broken("SELECT")
	})
}

// Many connections at once, large requests and answers, unchanged.
func TestLoad(t *testing.T) {
	eachWay(t, func(t *testing.T, s *server, l *cut.Line, connect func() *client) {
		line := strings.Repeat("x", 60_000)
		var all sync.WaitGroup
		for range 8 {
			c := connect()
			all.Go(func() {
				for range 20 {
					if got, err := c.ask(line); got != "ok "+line || err != nil {
						t.Errorf("%d bytes came back as %d: %v", len(line), len(got), err)
						return
					}
				}
			})
		}
		all.Wait()
	})
}
