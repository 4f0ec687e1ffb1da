package mysql

import (
	"context"
	"database/sql"
	sqldriver "database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"reflect"
	"strings"
	"sync"
	"time"

	client "github.com/go-sql-driver/mysql"

	"github.com/go-es/es/driver"
)

// connector opens the connections of a store's own pool, and gives each the
// session that the store needs.
type connector struct {
	sqldriver.Connector
	atomicPages bool
}

func newConnector(cfg Config) (connector, error) {
	c := cfg.Client.Clone()
	c.Params = map[string]string{
		"sql_mode": "'STRICT_ALL_TABLES'", "autocommit": "1", "wait_timeout": "60", "innodb_lock_wait_timeout": lockWait,
		"unique_checks": "1", "completion_type": "0", "sql_select_limit": noLimit,
	}
	c.ClientFoundRows, c.ColumnsWithAlias, c.InterpolateParams, c.MultiStatements, c.ParseTime = false, false, false, false, false
	c.Collation = ""
	if err := c.Apply(client.Charset("binary", "")); err != nil {
		return connector{}, err
	}
	c.Logger = &client.NopLogger{}
	from, err := client.NewConnector(c)
	return connector{from, cfg.AtomicPages}, err
}

const (
	lockWait = "3"                    // seconds that a statement of the store's own connections waits for a lock
	noLimit  = "18446744073709551615" // of sql_select_limit
)

// readBuffer is the size of the client's buffer of one connection.
const readBuffer = 32 << 10

// idleTime is how long a connection of the store's own pool is kept unused. It is
// below the wait_timeout of its session.
const idleTime = 45 // seconds

// connectTime bounds opening a connection, whatever the caller's context says: who
// waits for a connection of the pool waits for it, too.
const connectTime = 30 * time.Second

// Connect opens a connection, and refuses a server under which a promise cannot
// be kept: behind one address there may be another one than at Open.
func (c connector) Connect(ctx context.Context) (sqldriver.Conn, error) {
	bounded, cancel := context.WithTimeout(ctx, connectTime)
	defer cancel()
	conn, err := c.connect(bounded)
	if err != nil && bounded.Err() != nil && ctx.Err() == nil {
		err = fmt.Errorf("the server has not answered for %v", connectTime) // the caller's context has not ended
	}
	return conn, err
}

func (c connector) connect(ctx context.Context) (sqldriver.Conn, error) {
	raw, err := c.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	own := &ownConn{Conn: raw}
	ses := &session{on: own, own: own}
	// The client's buffer for what it reads is as large as the largest statement
	// that it has sent; it reads a page in many small pieces if that is small.
	if _, err := ses.exec(ctx, "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED"+strings.Repeat(" ", readBuffer)); err != nil {
		raw.Close()
		return nil, err
	}
	vars, err := ses.server(ctx)
	if err == nil {
		err = vars.check(c.atomicPages)
	}
	if err != nil {
		raw.Close()
		return nil, err
	}
	own.server = vars.identity()
	own.logged = vars.logged()
	own.opened = time.Now()
	return own, nil
}

// ownConn is a connection of a store's own pool.
type ownConn struct {
	sqldriver.Conn
	server string // which server it leads to
	opened time.Time
	logged bool // variables.logged

	prepared [stmts]sqldriver.Stmt // nil where it is not
	plain    bool                  // the server prepares no more statements
}

func (c *ownConn) ResetSession(ctx context.Context) error {
	return c.Conn.(sqldriver.SessionResetter).ResetSession(ctx)
}

func (c *ownConn) IsValid() bool { return c.Conn.(sqldriver.Validator).IsValid() }

func (c *ownConn) ExecContext(ctx context.Context, text string, args []sqldriver.NamedValue) (sqldriver.Result, error) {
	return c.Conn.(sqldriver.ExecerContext).ExecContext(ctx, text, args)
}

func (c *ownConn) QueryContext(ctx context.Context, text string, args []sqldriver.NamedValue) (sqldriver.Rows, error) {
	return c.Conn.(sqldriver.QueryerContext).QueryContext(ctx, text, args)
}

// session runs statements on one connection, or in a transaction of a caller's.
type session struct {
	on interface {
		sqldriver.ExecerContext
		sqldriver.QueryerContext
	}
	own   *ownConn  // nil on a connection of a caller's pool
	tx    *sql.Tx   // instead of on
	drop  bool      // the connection is of no more use
	locks bool      // it reads the states of streams with locks, as they are now: in a transaction
	since time.Time // before its first statement
}

// exec runs a statement, and returns its result or an error as answer makes it.
func (ses *session) exec(ctx context.Context, text string) (sqldriver.Result, error) {
	if ses.tx != nil {
		res, err := ses.tx.ExecContext(ctx, text)
		return res, answer(err)
	}
	res, err := ses.on.ExecContext(ctx, text, nil)
	if meaningOf(serverError(err)) == demoted {
		ses.drop = true
	}
	return res, answer(err)
}

// errStop ends a query early, without an error.
var errStop = errors.New("stop")

// query calls f with each row. The bytes of a row are valid until f returns.
func (ses *session) query(ctx context.Context, text string, f func(row []sqldriver.Value) error) error {
	if ses.tx != nil {
		return ses.queryTx(ctx, text, f)
	}
	rows, err := ses.on.QueryContext(ctx, text, nil)
	if err != nil {
		return answer(err)
	}
	return eachRow(rows, f)
}

func eachRow(rows sqldriver.Rows, f func(row []sqldriver.Value) error) error {
	row := make([]sqldriver.Value, len(rows.Columns()))
	for {
		err := rows.Next(row)
		if err == io.EOF {
			err = rows.Close()
			return answer(err)
		}
		if err != nil {
			rows.Close()
			return answer(err)
		}
		if err = f(row); err != nil {
			closing := rows.Close()
			if err == errStop {
				err = answer(closing)
			}
			return err
		}
	}
}

func (ses *session) queryTx(ctx context.Context, text string, f func(row []sqldriver.Value) error) error {
	rows, err := ses.tx.QueryContext(ctx, text)
	if err != nil {
		return answer(err)
	}
	defer rows.Close()
	names, err := rows.Columns()
	if err != nil {
		return answer(err)
	}
	row, into := make([]sqldriver.Value, len(names)), make([]any, len(names))
	for i := range row {
		into[i] = (*any)(&row[i])
	}
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return answer(err)
		}
		if err := f(row); err != nil {
			if err == errStop {
				err = nil
			}
			return err
		}
	}
	return answer(rows.Err())
}

// withSession calls f with a session on a connection of the pool.
func (s *Store) withSession(ctx context.Context, f func(*session) error) error {
	c, err := s.db.Conn(ctx)
	if err != nil {
		return s.unreachable(ctx, err)
	}
	defer c.Close()
	called := false
	var got error
	err = c.Raw(func(raw any) error {
		called = true
		ses := &session{since: time.Now()}
		var ok bool
		if ses.on, ok = raw.(interface {
			sqldriver.ExecerContext
			sqldriver.QueryerContext
		}); !ok {
			got = invalid("the pool's driver is not github.com/go-sql-driver/mysql")
			return nil
		}
		ses.own, _ = raw.(*ownConn)
		if got = s.looks.at(ctx, ses, raw); got == nil {
			got = f(ses)
		}
		if ses.drop || lost(got) || unsent(got) {
			return sqldriver.ErrBadConn // a wrapper of the client may not say so itself
		}
		return nil
	})
	if !called {
		return &unsentError{err}
	}
	return got
}

// looks remembers at which connections the store has looked lately whether their server
// still takes writes. A primary that was replaced keeps its connections.
type looks struct {
	mu    sync.Mutex
	since time.Time
	seen  map[any]bool // the connections since then
}

// lookEvery is how long a look at a connection is good for.
const lookEvery = time.Second

// at looks at the server of a connection, unless it has within the last second.
func (l *looks) at(ctx context.Context, ses *session, raw any) error {
	known := reflect.ValueOf(raw).Comparable() // or a strange wrapper
	l.mu.Lock()
	if l.seen == nil || time.Since(l.since) >= lookEvery {
		l.seen, l.since = make(map[any]bool), time.Now()
	}
	seen := known && l.seen[raw]
	l.mu.Unlock()
	if seen {
		return nil
	}
	err := ses.takesWrites(ctx)
	if err == nil && known {
		l.mu.Lock()
		l.seen[raw] = true
		l.mu.Unlock()
	}
	if lost(err) || ses.drop {
		err = &unsentError{err} // the next connection may do
	}
	return err
}

// takesWrites returns an error if the server of a session takes no writes any more. The
// connection is of no more use then: the next one may lead to another server.
func (ses *session) takesWrites(ctx context.Context) error {
	is := ""
	err := ses.query(ctx, "SELECT CAST(@@GLOBAL.read_only AS CHAR)", first(&is))
	if err == nil && is != "0" && is != "OFF" {
		ses.drop = true
		err = asError(errReadOnly)
	}
	return err
}

// unreachable says what an error of opening a connection means.
func (s *Store) unreachable(ctx context.Context, err error) error {
	if ended := endOf(ctx); ended != nil {
		return ended
	}
	var timeout net.Error
	if end, ok := ctx.Deadline(); ok && errors.As(err, &timeout) && timeout.Timeout() && !time.Now().Before(end) {
		<-ctx.Done() // which the dialer noticed first
		return endOf(ctx)
	}
	if isOurs(err) || driver.IsTransient(err) {
		return err
	}
	if n := serverError(err); n != 0 && meaningOf(n) == refused {
		return err
	}
	if errors.Is(err, errRefused) {
		return asError(err)
	}
	return &unsentError{err}
}

// read calls f with a session, again on another connection if one breaks.
func (s *Store) read(ctx context.Context, f func(context.Context, *session) error) error {
	ctx, done, err := s.gate.Begin(ctx)
	if err != nil {
		return err
	}
	defer done()
	return fail(s.reading(ctx, func(ses *session) error { return f(ctx, ses) }))
}

func (s *Store) reading(ctx context.Context, f func(*session) error) (err error) {
	for range 3 {
		err = s.withSession(ctx, f)
		if ended := endOf(ctx); err != nil && ended != nil && !isOurs(err) {
			return ended
		}
		if !unsent(err) && !lost(err) {
			return err
		}
	}
	return err
}

// endOf returns why the context of a call has ended: the caller's did, or Close has
// waited long enough. Nil if it has not.
func endOf(ctx context.Context) error {
	if context.Cause(ctx) == driver.ErrClosed {
		return driver.ErrClosed
	}
	return ctx.Err()
}

// bounded returns a context for a write that is to be sent. It does not end with
// ctx, but half the time to settle later: what was sent is carried out all the
// same, and the answer says how it went.
func (s *Store) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	inner, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var mu sync.Mutex
	var end func() bool
	stop := context.AfterFunc(ctx, func() {
		mu.Lock()
		defer mu.Unlock()
		end = time.AfterFunc(s.settle/2, cancel).Stop
	})
	return inner, func() {
		stop()
		mu.Lock()
		defer mu.Unlock()
		if end != nil {
			end()
		}
		cancel()
	}
}

// writing is a write that is tried until it is known what became of it.
type writing struct {
	s        *Store
	ctx      context.Context // bounds the tries: the caller's, and another one while it settles
	sending  context.Context // bounds what is sent
	cancel   context.CancelFunc
	settling bool
	tries    int
}

// writing begins a write; call end when it has ended.
func (s *Store) writing(ctx context.Context) *writing {
	sending, cancel := s.bounded(ctx)
	return &writing{s: s, ctx: ctx, sending: sending, cancel: cancel}
}

func (w *writing) end() { w.cancel() }

// again reports whether a write that failed is to be tried again: one that may have been
// carried out to find out, until the time to settle is over, and another one a few times
// if what was in its way passes at once. It waits for a moment.
func (w *writing) again(maybe bool, err error) bool {
	if maybe && !w.settling && w.s.settle > 0 {
		w.settling = true
		left := w.s.settle
		if w.ctx.Err() != nil {
			left /= 2 // bounded took the other half
		}
		bounded := w.cancel
		settling, cancel := context.WithTimeout(context.WithoutCancel(w.ctx), left)
		w.ctx, w.sending = settling, settling
		w.cancel = func() { cancel(); bounded() }
	}
	w.tries++
	return (maybe && w.settling || !maybe && short(err) && w.tries < again) && pause(w.ctx, w.tries) == nil
}

// short reports whether what kept a write from being carried out passes at once, or is
// not there on another connection.
func short(err error) bool {
	n := serverError(err)
	return unsent(err) || lost(err) || meaningOf(n) == demoted || n == errDeadlock
}

func str(v sqldriver.Value) string {
	switch v := v.(type) {
	case string:
		return v
	case []byte:
		return string(v)
	}
	return ""
}

func integer(v sqldriver.Value) int64 {
	switch v := v.(type) {
	case int64:
		return v
	case uint64:
		return int64(v)
	}
	return -1
}

// first returns a function for query that keeps the text of the first column.
func first(into *string) func([]sqldriver.Value) error {
	return func(row []sqldriver.Value) error {
		*into = str(row[0])
		return nil
	}
}

func discard([]sqldriver.Value) error { return nil }
