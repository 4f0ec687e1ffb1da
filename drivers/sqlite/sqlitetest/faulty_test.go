//go:build cgo

package sqlitetest

import (
	"context"
	"database/sql"
	sqldriver "database/sql/driver"
	"sync/atomic"

	"github.com/mattn/go-sqlite3"

	"github.com/go-es/es/conformance"
	"github.com/go-es/es/drivers/sqlite"
)

// faulty is a database whose next COMMIT fails: before it is carried out (1), or
// after it (2), with an error that does not tell.
type faulty struct {
	source string
	broken *atomic.Int32
}

func openMattnFaulty(t conformance.TB, dsn string) conformance.Faulty {
	f := faulty{"file:" + dsn, new(atomic.Int32)}
	db := sql.OpenDB(f)
	s, err := sqlite.New(t.Context(), db, sqlite.Config{})
	if err != nil {
		t.Fatalf("%v", err)
	}
	return conformance.Faulty{
		Store: pooled{s, db},
		Break: func(reply bool) {
			if reply {
				f.broken.Store(2)
			} else {
				f.broken.Store(1)
			}
		},
	}
}

func (f faulty) Driver() sqldriver.Driver { return new(sqlite3.SQLiteDriver) }

func (f faulty) Connect(context.Context) (sqldriver.Conn, error) {
	c, err := f.Driver().Open(f.source)
	if err != nil {
		return nil, err
	}
	return faultyConn{c, f}, nil
}

type faultyConn struct {
	sqldriver.Conn
	f faulty
}

func (c faultyConn) PrepareContext(ctx context.Context, text string) (sqldriver.Stmt, error) {
	s, err := c.Conn.(sqldriver.ConnPrepareContext).PrepareContext(ctx, text)
	if err != nil || text != "COMMIT" {
		return s, err
	}
	return faultyCommit{s, c}, nil
}

type faultyCommit struct {
	sqldriver.Stmt
	c faultyConn
}

func (s faultyCommit) ExecContext(ctx context.Context, args []sqldriver.NamedValue) (sqldriver.Result, error) {
	failure := sqlite3.Error{Code: sqlite3.ErrIoErr, ExtendedCode: sqlite3.ErrIoErrFsync}
	broken := s.c.f.broken.Swap(0)
	if broken == 1 {
		return nil, failure // the store rolls back
	}
	res, err := s.Stmt.(sqldriver.StmtExecContext).ExecContext(ctx, args)
	if err == nil && broken == 2 {
		return nil, failure
	}
	return res, err
}

func init() { openFaulty = openMattnFaulty }
