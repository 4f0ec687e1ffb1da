//go:build cgo

package sqlitetest

import (
	"context"
	"database/sql"
	sqldriver "database/sql/driver"
	"errors"
	"sync"

	"github.com/mattn/go-sqlite3"

	"github.com/go-es/es/conformance"
	"github.com/go-es/es/drivers/sqlite"
)

// faulty is a database of which a COMMIT, or the n-th statement, fails: before it
// is carried out, or after it, with an error that does not tell.
type faulty struct {
	source string
	*failure
}

type failure struct {
	mu     sync.Mutex
	n      int  // the statement that fails: 1 is the next; 0: none
	commit bool // only COMMIT counts
	after  bool
	failed int
}

func (f *failure) arm(n int, commit, after bool) (failed int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.n, f.commit, f.after = n, commit, after
	return f.failed
}

// next says what becomes of a statement.
func (f *failure) next(text string) (fails, after bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.n == 0 || f.commit && text != "COMMIT" || text == "ROLLBACK" {
		return false, false
	}
	if f.n--; f.n > 0 {
		return false, false
	}
	f.failed++
	return true, f.after
}

func openMattnFaulty(t conformance.TB, dsn string) conformance.Faulty {
	f := faulty{"file:" + dsn, new(failure)}
	db := sql.OpenDB(f)
	s, err := sqlite.New(t.Context(), db, sqlite.Config{})
	if err != nil {
		t.Fatalf("%v", err)
	}
	breaks := func(n int, commit, reply bool) func() bool {
		before := f.arm(n, commit, reply)
		return func() bool { return f.arm(0, false, false) > before }
	}
	return conformance.Faulty{
		Store:   pooled{s, db},
		Break:   func(reply bool) func() bool { return breaks(1, true, reply) },
		BreakAt: func(n int, reply bool) func() bool { return breaks(n, false, reply) },
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
	if err != nil {
		return nil, err
	}
	return faultyStmt{s, c.f, text}, nil
}

type faultyStmt struct {
	sqldriver.Stmt
	f    faulty
	text string
}

var errFault = sqlite3.Error{Code: sqlite3.ErrIoErr, ExtendedCode: sqlite3.ErrIoErrFsync}

func (s faultyStmt) ExecContext(ctx context.Context, args []sqldriver.NamedValue) (sqldriver.Result, error) {
	fails, after := s.f.next(s.text)
	if fails && !after {
		return nil, errFault // the store rolls back
	}
	res, err := s.Stmt.(sqldriver.StmtExecContext).ExecContext(ctx, args)
	if err == nil && fails {
		return nil, errFault
	}
	return res, err
}

func (s faultyStmt) QueryContext(ctx context.Context, args []sqldriver.NamedValue) (sqldriver.Rows, error) {
	fails, after := s.f.next(s.text)
	if fails && !after {
		return nil, errFault
	}
	rows, err := s.Stmt.(sqldriver.StmtQueryContext).QueryContext(ctx, args)
	if err == nil && fails {
		return nil, errors.Join(errFault, rows.Close())
	}
	return rows, err
}

func init() { openFaulty = openMattnFaulty }
