package cut

import (
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

// conn is one connection, carried between the client (near) and the server (far).
type conn struct {
	line        *Line
	near, far   net.Conn
	forth, back half

	request struct {
		sync.Mutex
		sent    []byte // since the server last answered
		wrote   bool   // it was counted as one that writes
		old     bool   // the server has answered
		cutting bool   // the connection breaks with the answer
	}

	gone chan struct{} // closed when the line carries it no more
}

var (
	errCut  = errors.New("cut")  // the connection is broken by Break
	errLate = errors.New("late") // the request is held back by Late
)

// half is one direction of a connection.
type half struct {
	c        *conn
	from, to net.Conn
	filter   func(piece []byte) error // looks at what is to be passed on

	mu     sync.Mutex
	held   []byte
	lost   bool // something was
	ended  bool // from has ended
	broken bool
}

func (h *half) run() {
	piece := make([]byte, 32<<10)
	for {
		n, err := h.from.Read(piece)
		if n > 0 && !h.pass(piece[:n]) {
			return
		}
		if err != nil {
			if !errors.Is(err, io.EOF) && h == &h.c.back {
				h.c.reset() // the server broke it
			}
			h.finish()
			return
		}
	}
}

// pass passes a piece on, or does with it what the outage says. It reports
// whether the connection goes on.
func (h *half) pass(piece []byte) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch how, _ := h.c.line.down(); how {
	case Held:
		h.held = append(h.held, piece...)
		return true
	case Lost:
		h.lost = true
		return true
	}
	if h.lost {
		h.c.reset()
		return false
	}
	return h.write(piece)
}

// write passes on what was held, and then the piece.
func (h *half) write(piece []byte) bool {
	if h.broken {
		return false
	}
	all := append(h.held, piece...)
	h.held = nil
	if len(all) == 0 {
		return true
	}
	err := h.filter(all)
	if err == nil {
		_, err = h.to.Write(all)
		if err != nil && h == &h.c.back {
			err = nil // the client is gone; what it sent is carried out all the same
		}
	}
	switch err {
	case nil:
		return true
	case errLate:
		reset(h.from)
	default:
		h.c.reset()
	}
	h.broken = true
	return false
}

// finish passes the end of a direction on.
func (h *half) finish() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ended = true
	if how, _ := h.c.line.down(); how == Held || how == Lost {
		return // release does it
	}
	h.end()
}

func (h *half) end() {
	if h.write(nil) {
		if c, ok := h.to.(interface{ CloseWrite() error }); ok {
			c.CloseWrite()
		}
	}
}

// release does what the end of an outage brings.
func (h *half) release() {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.lost:
		h.c.reset()
	case h.ended:
		h.end()
	default:
		h.write(nil)
	}
}

// sent looks at what the client sent, and says whether it may pass.
func (c *conn) sent(piece []byte) error {
	r := &c.request
	r.Lock()
	defer r.Unlock()
	if r.cutting {
		return nil // more of the request that is to be answered in vain
	}
	if r.old {
		r.sent, r.wrote, r.old = nil, false, false
	}
	begins := len(r.sent) == 0
	r.sent = append(r.sent, piece...)
	if n := len(r.sent) - max(recall, len(piece)); n > 0 {
		r.sent = r.sent[n:]
	}
	writes := c.line.writes(r.sent) && !r.wrote
	r.wrote = r.wrote || writes
	f := c.line.count(begins, writes)
	switch {
	case f == nil:
		return nil
	case f.late != nil:
		f.late <- held{c, c.rest(piece)}
		return errLate
	case f.reply:
		r.cutting = true
		return nil
	}
	return errCut
}

// rest returns a piece and what the client sends with it: a request that is held
// back arrives whole.
func (c *conn) rest(piece []byte) []byte {
	all := append([]byte(nil), piece...)
	more := make([]byte, 32<<10)
	for end := time.Now().Add(most); time.Now().Before(end); {
		c.near.SetReadDeadline(time.Now().Add(quiet))
		n, err := c.near.Read(more)
		all = append(all, more[:n]...)
		if err != nil {
			break
		}
	}
	return all
}

// answered looks at what the server answered, and says whether it may pass.
func (c *conn) answered(piece []byte) error {
	c.request.Lock()
	c.request.old = true
	cutting := c.request.cutting
	c.request.Unlock()
	if !cutting {
		return nil
	}
	answer := append([]byte(nil), piece...)
	for end := time.Now().Add(most); time.Now().Before(end); {
		if c.line.done(answer) {
			break
		}
		wait := quiet
		if c.line.Done != nil {
			wait = time.Until(end)
		}
		c.far.SetReadDeadline(time.Now().Add(wait))
		more := make([]byte, 32<<10)
		n, err := c.far.Read(more)
		answer = append(answer, more[:n]...)
		if err != nil {
			break
		}
	}
	return errCut
}

func (l *Line) writes(sent []byte) bool {
	if l.Writes == nil {
		return true
	}
	l.asking.Lock()
	defer l.asking.Unlock()
	return l.Writes(sent)
}

func (l *Line) done(answer []byte) bool {
	if l.Done == nil {
		return false
	}
	l.asking.Lock()
	defer l.asking.Unlock()
	return l.Done(answer)
}

// count counts a request that begins, or is seen to write, and returns the fault that
// happens to it.
func (l *Line) count(begins, writes bool) *fault {
	l.mu.Lock()
	defer l.mu.Unlock()
	f := l.fault
	if f == nil || f.writes && !writes || !f.writes && !begins {
		return nil
	}
	f.n--
	if f.n > 0 {
		return nil
	}
	l.fault = nil
	l.cuts++
	return f
}

// held is a request that Late holds back.
type held struct {
	c       *conn
	request []byte
}

// deliver sends the request, and waits until the server has answered: the connection
// breaks then.
func (h held) deliver() bool {
	select {
	case <-h.c.gone:
		return false
	default:
	}
	h.c.request.Lock()
	h.c.request.cutting = true
	h.c.request.Unlock()
	h.c.far.SetWriteDeadline(time.Now().Add(most))
	if _, err := h.c.far.Write(h.request); err != nil {
		h.c.reset()
	}
	select {
	case <-h.c.gone:
	case <-time.After(2 * most):
		h.c.reset()
		<-h.c.gone
	}
	return true
}

// reset breaks both sides. The client finds its connection reset.
func (c *conn) reset() {
	reset(c.near)
	reset(c.far)
}

func (c *conn) close() {
	c.near.Close()
	c.far.Close()
}

func reset(n net.Conn) {
	if t, ok := n.(*net.TCPConn); ok {
		t.SetLinger(0)
	}
	n.Close()
}
