// Package cut breaks the connection between a client and its server on demand,
// for the tests of drivers: conformance.Config.Fault.
package cut

import (
	"context"
	"net"
	"sync"
	"syscall"
	"time"
)

// Line carries the connections of one client: those that it dials with
// DialContext, and those that it makes to an address of Proxy. Its fields are set
// before it is used; what they see is what was sent, so there must be no TLS. The
// functions are called one at a time. All methods may be called concurrently.
type Line struct {
	// Writes reports whether a request writes. It is asked again with each piece
	// that the client sends, armed or not, and gets what was sent on the
	// connection since the server last answered: the last 64 KiB of it. A
	// transaction of several requests takes effect with its last one: count
	// COMMIT then, and not INSERT, or Break(true) cuts before anything is stored.
	// Nil counts every request.
	Writes func(sent []byte) bool

	// Done reports whether an answer is whole. Nil: it is when the server has
	// sent something and then nothing for 20 ms.
	Done func(answer []byte) bool

	mu        sync.Mutex
	asking    sync.Mutex // held while Writes or Done runs
	closed    bool
	closing   chan struct{} // made with the first connection or outage
	listeners []net.Listener
	conns     map[*conn]bool
	running   sync.WaitGroup
	fault     *fault // that is to happen; nil: none
	cuts      int
	outage    Outage
	up        chan struct{} // closed when the outage ends; nil: there is none
}

// fault says where a connection is to break.
type fault struct {
	n      int  // at the n-th request from now; 0: it has happened
	writes bool // that writes
	reply  bool // with the answer

	late chan held // the request is held back, and comes here; nil: it is lost
}

// Outage says what happens while the server is down.
type Outage int

const (
	// Held: nothing gets through in either direction; what is sent is delivered
	// when the server is up again, also if the client has given up meanwhile.
	// Who dials waits.
	Held Outage = iota + 1
	// Lost: nothing gets through, and what is sent is lost. Connections that were
	// used hang, and break when the server is up again. Who dials waits.
	Lost
	// Refused: open connections break at once, and new ones are refused.
	Refused
)

const (
	quiet  = 20 * time.Millisecond // without a byte, and an answer is whole
	most   = 5 * time.Second       // that an answer may take to be whole
	recall = 64 << 10              // bytes of a request that Writes gets
)

// Break breaks the connection once, at the next request that writes: before
// anything of it has been passed to the server (what a client sends in several
// pieces may have been passed up to the piece at which Writes says so), or, with
// reply, after the server has answered and before the client gets a byte of it.
// What comes after that passes. The function that it returns takes the fault back if
// it has not happened, and reports whether it has.
func (l *Line) Break(reply bool) (broke func() bool) {
	return l.breaks(&fault{n: 1, reply: reply, writes: true})
}

// BreakAt is Break at the n-th request from now (1 is the next one), whatever it
// does. A request is what a client sends on a connection until the server answers
// there.
func (l *Line) BreakAt(n int, reply bool) (broke func() bool) {
	return l.breaks(&fault{n: n, reply: reply})
}

func (l *Line) breaks(f *fault) (broke func() bool) {
	l.arm(f)
	return func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.fault == f {
			l.fault = nil
		}
		return f.n == 0
	}
}

// Late breaks the connection once, at the n-th request from now that writes (1 is the
// next one), and holds the request back: the client finds its connection reset, and
// the server gets the request when deliver is called, on the connection that it knows,
// which stays open for that. What comes after it passes. deliver returns when the
// server has answered, or has ended the connection, or after 10 seconds; it reports
// whether there was something to deliver. It takes the fault back if it has not
// happened.
func (l *Line) Late(n int) (deliver func() bool) {
	f := &fault{n: n, writes: true, late: make(chan held, 1)}
	l.arm(f)
	return func() bool {
		l.mu.Lock()
		if l.fault == f {
			l.fault = nil
		}
		happened := f.n == 0
		f.n = -1
		l.mu.Unlock()
		return happened && (<-f.late).deliver()
	}
}

func (l *Line) arm(f *fault) {
	l.mu.Lock()
	l.fault = f
	conns := l.all()
	l.mu.Unlock()
	for _, c := range conns {
		c.request.Lock()
		c.request.sent, c.request.wrote = nil, false
		c.request.Unlock()
	}
}

// Cuts returns how many connections Break, Late and their likes have broken: a test that
// looks at it knows that there was something to survive.
func (l *Line) Cuts() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.cuts
}

// Down cuts the server off until up is called, which may be called again. A
// second Down ends the first.
func (l *Line) Down(how Outage) (up func()) {
	l.end(nil)
	l.mu.Lock()
	done := make(chan struct{})
	l.outage, l.up = how, done
	conns := l.all()
	l.mu.Unlock()
	if how == Refused {
		for _, c := range conns {
			c.reset()
		}
	}
	return func() { l.end(done) }
}

// end ends the outage, if it is that one or which is nil.
func (l *Line) end(which chan struct{}) {
	l.mu.Lock()
	if l.up == nil || which != nil && l.up != which {
		l.mu.Unlock()
		return
	}
	close(l.up)
	l.outage, l.up = 0, nil
	conns := l.all()
	l.mu.Unlock()
	for _, c := range conns {
		c.forth.release()
		c.back.release()
	}
}

// down returns the outage, and what is closed when it ends.
func (l *Line) down() (Outage, chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.outage, l.up
}

func (l *Line) all() []*conn {
	conns := make([]*conn, 0, len(l.conns))
	for c := range l.conns {
		conns = append(conns, c)
	}
	return conns
}

// begin makes the line ready and reports whether it is open; if it is, the
// caller's work counts as running.
func (l *Line) begin() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return false
	}
	if l.conns == nil {
		l.conns, l.closing = map[*conn]bool{}, make(chan struct{})
	}
	l.running.Add(1)
	return true
}

// passes waits until the server is not cut off, and reports what is wrong.
func (l *Line) passes(ctx context.Context) error {
	for {
		how, up := l.down()
		if how == 0 {
			return ctx.Err()
		}
		if how == Refused {
			return syscall.ECONNREFUSED
		}
		select {
		case <-up:
		case <-l.closing:
			return net.ErrClosed
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// DialContext dials a server through the line. It fits the hooks of clients that
// let one dial.
func (l *Line) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	near, err := l.dial(ctx, network, addr)
	if err != nil {
		return nil, &net.OpError{Op: "dial", Net: network, Err: err}
	}
	return near, nil
}

func (l *Line) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	if !l.begin() {
		return nil, net.ErrClosed
	}
	defer l.running.Done()
	if err := l.passes(ctx); err != nil {
		return nil, err
	}
	far, err := new(net.Dialer).DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	client, near, err := pair()
	if err != nil {
		far.Close()
		return nil, err
	}
	l.carry(near, far)
	return client, nil
}

// pair returns the two ends of a connection on loopback: a client may look at
// the socket, or at what an error is, which a net.Pipe does not have.
func pair() (a, b net.Conn, err error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, nil, err
	}
	defer ln.Close()
	a, err = net.Dial("tcp", ln.Addr().String())
	if err != nil {
		return nil, nil, err
	}
	for {
		b, err = ln.Accept()
		if err != nil {
			a.Close()
			return nil, nil, err
		}
		if b.RemoteAddr().String() == a.LocalAddr().String() {
			return a, b, nil
		}
		b.Close() // a stranger
	}
}

// Proxy listens on a free port of 127.0.0.1 until Close and carries each
// connection on to the server. It returns the address that it listens on.
func (l *Line) Proxy(network, addr string) (string, error) {
	if !l.begin() {
		return "", net.ErrClosed
	}
	defer l.running.Done()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		ln.Close()
		return "", net.ErrClosed
	}
	l.listeners = append(l.listeners, ln)
	l.running.Go(func() {
		for {
			near, err := ln.Accept()
			if err != nil {
				return
			}
			l.running.Go(func() { l.accept(near, network, addr) })
		}
	})
	return ln.Addr().String(), nil
}

// accept carries on a connection that the proxy got. It is there for the client
// while the server is cut off, and nothing answers.
func (l *Line) accept(near net.Conn, network, addr string) {
	how, _ := l.down()
	if err := l.passes(context.Background()); err != nil || how == Lost {
		reset(near)
		return
	}
	far, err := net.DialTimeout(network, addr, 10*time.Second)
	if err != nil {
		reset(near)
		return
	}
	l.carry(near, far)
}

// carry carries a connection. The caller counts as running.
func (l *Line) carry(near, far net.Conn) {
	c := &conn{line: l, near: near, far: far, gone: make(chan struct{})}
	c.forth = half{c: c, from: near, to: far, filter: c.sent}
	c.back = half{c: c, from: far, to: near, filter: c.answered}
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		c.reset()
		return
	}
	l.conns[c] = true
	l.mu.Unlock()
	var both sync.WaitGroup
	both.Go(c.forth.run)
	both.Go(c.back.run)
	l.running.Go(func() {
		both.Wait()
		c.close()
		close(c.gone)
		l.mu.Lock()
		delete(l.conns, c)
		l.mu.Unlock()
	})
}

// Close breaks what is open and waits until nothing of the line runs. Close the
// client first.
func (l *Line) Close() error {
	l.mu.Lock()
	if !l.closed && l.closing != nil {
		close(l.closing)
	}
	l.closed = true
	for _, ln := range l.listeners {
		ln.Close()
	}
	conns := l.all()
	l.mu.Unlock()
	for _, c := range conns {
		c.reset()
	}
	l.running.Wait()
	return nil
}
