package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/go-es/es/driver"
)

// session runs a store's statements on one connection.
type session struct {
	pc    *pgconn.PgConn
	texts *texts
	known *[stmts]*pgconn.StatementDescription // those that are prepared; nil: none is to be
	inTx  bool                                 // inside a transaction of the caller's
	begin bool                                 // a write needs a transaction of its own
	waits bool                                 // commits wait for a standby

	doubtful bool // such a wait may have been cancelled
}

// binary says that parameters or columns, all of them, are in binary form.
var binary1 = []int16{1}

// call is a statement with its parameters, and what is done with each row, whose
// bytes are the connection's.
type call struct {
	st   stmt
	args [][]byte
	row  func(row [][]byte) error
}

// run runs a statement that reads, as a transaction of its own unless there is one.
func (s *session) run(ctx context.Context, st stmt, row func([][]byte) error, args ...[]byte) error {
	for again := true; ; again = false {
		d, err := s.prepare(ctx, st)
		if err != nil {
			return err
		}
		var rr *pgconn.ResultReader
		if d != nil {
			rr = s.pc.ExecStatement(ctx, d, args, binary1, binary1)
		} else {
			rr = s.pc.ExecParams(ctx, s.texts.of[st], args, nil, binary1, binary1)
		}
		err = readRows(rr, row)
		if again && s.stale(ctx, err, st) {
			continue
		}
		return err
	}
}

// readRows gives each row to a function. The error of a commit comes last.
func readRows(rr *pgconn.ResultReader, row func([][]byte) error) error {
	var wrong error
	for rr.NextRow() {
		if wrong == nil && row != nil {
			wrong = row(rr.Values())
		}
	}
	if _, err := rr.Close(); err != nil {
		return err
	}
	return wrong
}

// write runs a statement that writes. Where the session's transactions are not of
// READ COMMITTED it begins one of its own.
func (s *session) write(ctx context.Context, st stmt, row func([][]byte) error, args ...[]byte) error {
	if !s.begin || s.inTx {
		return s.run(ctx, st, row, args...)
	}
	return s.together(ctx, both, call{st, args, row})
}

// confirm waits, where commits do, until a standby has what the session sees: it may
// be of a commit whose wait was cancelled. If that fails nothing is known of it.
func (s *session) confirm(ctx context.Context) error {
	if !s.waits {
		return nil
	}
	if err := s.run(ctx, confirm, nil); err != nil {
		return &unsureError{fail(err)}
	}
	return nil
}

// What together puts around its statements.
type around int

const (
	inside around = iota
	begins        // begins a transaction, which stays open
	ends          // commits the transaction
	both
)

// beginText begins a transaction in which every statement sees what was committed
// before it.
const beginText = `BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE`

// silent ends a transaction whose client has gone silent between two of its
// statements: it holds locks, and the feed back.
const silent = `SET LOCAL idle_in_transaction_session_timeout = '10s'`

// together sends several statements at once, which takes one round trip.
func (s *session) together(ctx context.Context, how around, calls ...call) error {
	ds := make([]*pgconn.StatementDescription, len(calls))
	for i, c := range calls {
		d, err := s.prepare(ctx, c.st)
		if err != nil {
			return err
		}
		ds[i] = d
	}
	p := s.pc.StartPipeline(ctx)
	var rows []func([][]byte) error
	send := func(text string) {
		p.SendQueryParams(text, nil, nil, nil, nil)
		rows = append(rows, nil)
	}
	if how == begins || how == both {
		send(beginText)
	}
	if how == begins {
		send(silent)
	}
	for i, c := range calls {
		if ds[i] != nil {
			p.SendQueryStatement(ds[i], c.args, binary1, binary1)
		} else {
			p.SendQueryParams(s.texts.of[c.st], c.args, nil, binary1, binary1)
		}
		rows = append(rows, c.row)
	}
	if how == ends || how == both {
		send("COMMIT")
	}
	err := p.Sync()
	var wrong error // of a row
	for _, row := range rows {
		if err != nil {
			break
		}
		var res any
		if res, err = p.GetResults(); err != nil {
			break
		}
		rr, ok := res.(*pgconn.ResultReader)
		if !ok {
			err = fmt.Errorf("es: postgres: the client returned %T", res)
			break
		}
		if bad := readPiped(rr, row, &err); wrong == nil {
			wrong = bad
		}
	}
	if closed := p.Close(); err == nil {
		err = closed
	}
	if err != nil || wrong != nil && how != inside {
		s.rollback(ctx)
	}
	if err != nil {
		for _, c := range calls {
			s.stale(ctx, err, c.st)
		}
		return err
	}
	return wrong
}

func readPiped(rr *pgconn.ResultReader, row func([][]byte) error, err *error) (wrong error) {
	wrong = readRows(rr, row)
	if _, failed := rr.Close(); failed != nil {
		*err = failed
		return nil
	}
	return wrong
}

// rollback ends a transaction that is open, if it is the session's own. If that
// fails the connection is of no use any more.
func (s *session) rollback(ctx context.Context) {
	if s.inTx || s.pc.IsClosed() || s.pc.TxStatus() == 'I' {
		return
	}
	if _, err := s.pc.Exec(ctx, "ROLLBACK").ReadAll(); err != nil {
		s.pc.Close(ctx)
	}
}

// prepare prepares a statement, if that is to be done and was not.
func (s *session) prepare(ctx context.Context, st stmt) (*pgconn.StatementDescription, error) {
	if s.known == nil {
		return nil, nil
	}
	if d := s.known[st]; d != nil {
		return d, nil
	}
	d, err := s.pc.Prepare(ctx, s.texts.name[st], s.texts.of[st], nil)
	if err != nil {
		return nil, &prepareError{err}
	}
	s.known[st] = d
	return d, nil
}

// prepareError is an error by which nothing was carried out.
type prepareError struct{ err error }

func (e *prepareError) Error() string     { return e.err.Error() }
func (e *prepareError) Unwrap() error     { return e.err }
func (e *prepareError) SafeToRetry() bool { return true }

// stale reports whether a statement failed because it has to be prepared anew:
// the caller's DISCARD ALL, or a change of a table.
func (s *session) stale(ctx context.Context, err error, st stmt) bool {
	pg, ok := errors.AsType[*pgconn.PgError](err)
	if !ok || s.known == nil || s.known[st] == nil {
		return false
	}
	gone := pg.Code == "26000"
	changed := pg.Code == "0A000" && strings.Contains(pg.Message, "cached plan")
	if !gone && !changed {
		return false
	}
	s.known[st] = nil
	if changed && s.pc.TxStatus() == 'I' && s.pc.Deallocate(ctx, s.texts.name[st]) != nil {
		return false
	}
	return s.pc.TxStatus() == 'I'
}

// one returns a function for a statement with one row, that reads it.
func one(read func(row [][]byte) bool) func([][]byte) error {
	return func(row [][]byte) error {
		if !read(row) {
			return fmt.Errorf("%w: the server returned a row that cannot be", driver.ErrCorrupt)
		}
		return nil
	}
}
