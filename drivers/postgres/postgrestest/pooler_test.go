package postgrestest

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/go-es/es/conformance"
	"github.com/go-es/es/driver"
	"github.com/go-es/es/drivers/postgres"
	"github.com/go-es/es/internal/servers"
)

// pooler stands between clients and a server, as PgBouncer does in transaction
// mode: each transaction of a client gets some session of a few, and what is
// prepared in one is not there in another.
type pooler struct {
	listener net.Listener
	sessions chan *backend
	running  sync.WaitGroup

	mu    sync.Mutex
	conns map[net.Conn]bool
	ended bool
}

// backend is a session of the server's.
type backend struct {
	conn     net.Conn
	frontend *pgproto3.Frontend
	settings []*pgproto3.ParameterStatus
}

// startPooler starts one with eight sessions.
func startPooler(t testing.TB, server string) *pooler {
	t.Helper()
	cfg, err := postgres.ParseDSN(server)
	must(t, err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	p := &pooler{listener: l, sessions: make(chan *backend, 8), conns: map[net.Conn]bool{}}
	for range cap(p.sessions) {
		c, err := pgx.ConnectConfig(context.Background(), cfg.Pool.ConnConfig)
		must(t, err)
		h, err := c.PgConn().Hijack()
		must(t, err)
		s := &backend{conn: h.Conn, frontend: h.Frontend}
		for name, value := range h.ParameterStatuses {
			s.settings = append(s.settings, &pgproto3.ParameterStatus{Name: name, Value: value})
		}
		p.sessions <- s
	}
	p.running.Go(p.accept)
	t.Cleanup(func() {
		l.Close()
		p.mu.Lock()
		p.ended = true
		for c := range p.conns {
			c.Close()
		}
		p.mu.Unlock()
		p.running.Wait()
		for range len(p.sessions) {
			(<-p.sessions).conn.Close()
		}
	})
	return p
}

// dsn returns the name of the data of another one, through the pooler.
func (p *pooler) dsn(of string) string {
	u, err := url.Parse(of)
	if err != nil {
		panic(err)
	}
	u.Host = p.listener.Addr().String()
	return u.String()
}

func (p *pooler) accept() {
	for {
		c, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.mu.Lock()
		if p.ended {
			c.Close()
		}
		p.conns[c] = true
		p.mu.Unlock()
		p.running.Go(func() {
			p.serve(c)
			c.Close()
			p.mu.Lock()
			delete(p.conns, c)
			p.mu.Unlock()
		})
	}
}

// serve carries the transactions of a client to sessions.
func (p *pooler) serve(c net.Conn) {
	client := pgproto3.NewBackend(c, c)
	first, err := client.ReceiveStartupMessage()
	if err != nil {
		return
	}
	if _, ok := first.(*pgproto3.StartupMessage); !ok {
		return // a request to cancel, or TLS
	}
	s := <-p.sessions
	client.Send(&pgproto3.AuthenticationOk{})
	for _, set := range s.settings {
		client.Send(set)
	}
	p.sessions <- s
	client.Send(&pgproto3.BackendKeyData{ProcessID: rand.Uint32(), SecretKey: []byte{1, 2, 3, 4}})
	client.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
	if client.Flush() != nil {
		return
	}
	for p.transaction(client) {
	}
}

// transaction carries messages between a client and one session until the
// transaction has ended.
func (p *pooler) transaction(client *pgproto3.Backend) bool {
	var s *backend
	for {
		msg, err := client.Receive()
		if err != nil || isTerminate(msg) {
			if s != nil { // in the middle of a transaction
				s.frontend.Send(&pgproto3.Query{String: "ROLLBACK"})
				s.frontend.Flush()
				p.answer(s, nil)
				p.sessions <- s
			}
			return false
		}
		if s == nil {
			s = <-p.sessions
		}
		s.frontend.Send(msg)
		switch msg.(type) {
		case *pgproto3.Query, *pgproto3.Sync:
		default:
			continue
		}
		if s.frontend.Flush() != nil {
			return false
		}
		status, err := p.answer(s, client)
		if status == 'I' {
			p.sessions <- s
			return err == nil
		}
		if err != nil {
			return false
		}
	}
}

func isTerminate(msg pgproto3.FrontendMessage) bool {
	_, ok := msg.(*pgproto3.Terminate)
	return ok
}

// answer carries the answer to a request back.
func (p *pooler) answer(s *backend, client *pgproto3.Backend) (status byte, err error) {
	for {
		msg, err := s.frontend.Receive()
		if err != nil {
			return 0, err
		}
		if client != nil {
			client.Send(msg)
		}
		if ready, ok := msg.(*pgproto3.ReadyForQuery); ok {
			if client != nil {
				err = client.Flush()
			}
			return ready.TxStatus, err
		}
	}
}

// A pool of the caller's, behind a pooler, with sessions that are as inconvenient
// as they may be: nothing stays in them, and they are SERIALIZABLE.
func TestConformancePooler(t *testing.T) {
	server := server(t)
	p := startPooler(t, with(server, "default_transaction_isolation=serializable"))
	conformance.Run(t, conformance.Config{
		Open:    func(ctx context.Context, dsn string) (driver.Store, error) { return openPool(ctx, dsn, nil) },
		DSN:     func(t conformance.TB) string { return p.dsn(with(data(t, server), "pool_max_conns=2")) },
		Caps:    caps,
		Hold:    hold,
		Restore: restore,
		Fault:   fault,

		FeedBound: servers.Bound,
	})
}

func TestPoolerListen(t *testing.T) {
	server := server(t)
	s, err := open(t.Context(), startPooler(t, server).dsn(data(t, server)))
	must(t, err)
	defer s.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if err := driver.Listen(ctx, s, func() {}); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("%v", err)
	}
}
