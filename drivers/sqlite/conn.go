package sqlite

import (
	"context"
	"database/sql"
	sqldriver "database/sql/driver"
	"errors"
	"io"
	"time"
)

// session runs statements: on a connection of the store's, or inside a
// transaction of the caller's. Arguments are int64, string, []byte and nil.
type session interface {
	// exec returns the rowid of the last row inserted and the number of rows
	// changed.
	exec(st stmt, args ...sqldriver.Value) (id, rows int64, err error)
	// query calls row for each row of the result, until it returns an error;
	// errStop ends the query without one. The row is valid during the call.
	query(st stmt, row func([]sqldriver.Value) error, args ...sqldriver.Value) error
}

var errStop = errors.New("stop")

// conn is a connection with the statements that were prepared on it. It goes
// below database/sql, which costs half as much for each row, and by nothing but
// the interfaces of database/sql/driver. It has one user at a time.
type conn struct {
	pooled *sql.Conn // nil if the connection is the store's own
	raw    sqldriver.Conn
	texts  *texts
	stmts  [stmts]sqldriver.Stmt
	args   []sqldriver.NamedValue
	row    []sqldriver.Value
	log    *identity // of the file's log, if this is the writer's connection
	logAt  time.Time // when it was looked at
	broken bool      // a transaction could not be rolled back
}

// take returns a connection of a pool.
func take(ctx context.Context, db *sql.DB, t *texts) (*conn, error) {
	pooled, err := db.Conn(ctx)
	if err != nil {
		return nil, fail(err)
	}
	c := &conn{pooled: pooled, texts: t}
	pooled.Raw(func(raw any) error {
		c.raw, _ = raw.(sqldriver.Conn)
		return nil
	})
	if c.raw == nil {
		pooled.Close()
		return nil, errors.New("es: sqlite: the pool's driver hides its connections")
	}
	return c, nil
}

// do calls f while the driver's connection may be used.
func (c *conn) do(f func() error) error {
	if c.pooled == nil {
		return f()
	}
	return c.pooled.Raw(func(any) error { return f() })
}

// background is what the driver gets to see: nothing interrupts a statement, so
// that what it did is known. They are short; callers look at their contexts
// between them.
var background = context.Background()

func (c *conn) prepare(text string) (sqldriver.Stmt, error) {
	p, ok := c.raw.(sqldriver.ConnPrepareContext)
	if !ok {
		return c.raw.Prepare(text)
	}
	return p.PrepareContext(background, text)
}

func (c *conn) prepared(st stmt) (sqldriver.Stmt, error) {
	if s := c.stmts[st]; s != nil {
		return s, nil
	}
	s, err := c.prepare(c.texts[st])
	if err != nil {
		return nil, err
	}
	c.stmts[st] = s
	return s, nil
}

func (c *conn) named(args []sqldriver.Value) []sqldriver.NamedValue {
	c.args = c.args[:0]
	for i, a := range args {
		c.args = append(c.args, sqldriver.NamedValue{Ordinal: i + 1, Value: a})
	}
	return c.args
}

func (c *conn) exec(st stmt, args ...sqldriver.Value) (id, rows int64, err error) {
	err = c.do(func() error {
		s, err := c.prepared(st)
		if err != nil {
			return err
		}
		e, ok := s.(sqldriver.StmtExecContext)
		if !ok {
			return errOldDriver
		}
		res, err := e.ExecContext(background, c.named(args))
		clear(c.args)
		if err != nil {
			return err
		}
		if id, err = res.LastInsertId(); err != nil {
			return err
		}
		rows, err = res.RowsAffected()
		return err
	})
	return id, rows, fail(err)
}

func (c *conn) query(st stmt, row func([]sqldriver.Value) error, args ...sqldriver.Value) error {
	return c.do(func() error {
		s, err := c.prepared(st)
		if err != nil {
			return fail(err)
		}
		return c.rows(s, row, args)
	})
}

func (c *conn) rows(s sqldriver.Stmt, row func([]sqldriver.Value) error, args []sqldriver.Value) error {
	q, ok := s.(sqldriver.StmtQueryContext)
	if !ok {
		return errOldDriver
	}
	rows, err := q.QueryContext(background, c.named(args))
	clear(c.args)
	if err != nil {
		return fail(err)
	}
	n := len(rows.Columns())
	if cap(c.row) < n {
		c.row = make([]sqldriver.Value, n)
	}
	dest := c.row[:n]
	for {
		if err = rows.Next(dest); err != nil {
			if err = fail(err); errors.Is(err, io.EOF) {
				err = nil
			}
			break
		}
		if err = row(dest); err != nil {
			if err == errStop {
				err = nil
			}
			break
		}
	}
	clear(dest)
	if e := rows.Close(); err == nil {
		err = fail(e)
	}
	return err
}

// run runs a statement that is not prepared ahead, and returns the first column
// of its first row, if there is one.
func (c *conn) run(text string) (v sqldriver.Value, err error) {
	err = c.do(func() error {
		s, err := c.prepare(text)
		if err != nil {
			return fail(err)
		}
		defer s.Close()
		return c.rows(s, func(row []sqldriver.Value) error {
			if v == nil && len(row) > 0 {
				v = row[0]
			}
			return nil
		}, nil)
	})
	return v, err
}

// rollback ends a transaction without effect, if there is one: SQLite ends some
// itself when they fail.
func (c *conn) rollback() {
	if _, _, err := c.exec(rollback); err != nil && primary(err) != codeError {
		c.broken = true
	}
}

// close gives the connection back to its pool or closes it. With discard the
// pool closes it as well, because its settings were changed.
func (c *conn) close(discard bool) error {
	err := c.do(func() error {
		for i, s := range c.stmts {
			if s != nil {
				s.Close()
				c.stmts[i] = nil
			}
		}
		return nil
	})
	if c.pooled == nil {
		return c.raw.Close()
	}
	if discard {
		c.pooled.Raw(func(any) error { return sqldriver.ErrBadConn })
		return nil
	}
	if e := c.pooled.Close(); err == nil {
		err = e
	}
	return err
}

// callers is a session inside a transaction of the caller's.
type callers struct {
	tx    *sql.Tx
	texts *texts
}

func (c *callers) exec(st stmt, args ...sqldriver.Value) (id, rows int64, err error) {
	res, err := c.tx.ExecContext(background, c.texts[st], anys(args)...)
	if err != nil {
		return 0, 0, fail(err)
	}
	if id, err = res.LastInsertId(); err == nil {
		rows, err = res.RowsAffected()
	}
	return id, rows, fail(err)
}

func (c *callers) query(st stmt, row func([]sqldriver.Value) error, args ...sqldriver.Value) error {
	rows, err := c.tx.QueryContext(background, c.texts[st], anys(args)...)
	if err != nil {
		return fail(err)
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		return fail(err)
	}
	values := make([]sqldriver.Value, len(columns))
	dest := make([]any, len(columns))
	for i := range values {
		dest[i] = (*any)(&values[i])
	}
	for rows.Next() {
		if err := rows.Scan(dest...); err != nil {
			return fail(err)
		}
		if err := row(values); err != nil {
			if err == errStop {
				return nil
			}
			return err
		}
	}
	return fail(rows.Err())
}

func (c *callers) run(text string) (v sqldriver.Value, err error) {
	err = c.tx.QueryRowContext(background, text).Scan((*any)(&v))
	return v, fail(err)
}

func anys(values []sqldriver.Value) []any {
	out := make([]any, len(values))
	for i, v := range values {
		out[i] = v
	}
	return out
}
