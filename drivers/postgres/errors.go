package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/go-es/es/driver"
)

// meaning is what an error of the server means to a caller.
type meaning struct {
	code      string // an SQLSTATE, or the two signs of a class
	sentinel  error  // nil: only the text
	transient bool   // nothing was applied, and the same may be sent again
	text      string
}

// meanings are looked through from the top.
var meanings = []meaning{
	{"40001", nil, true, "another transaction was in the way"},
	{"40P01", nil, true, "a deadlock with another transaction was broken"},
	{"55P03", nil, true, "a lock was not free within lock_timeout"},
	{"57014", nil, true, "the statement was cancelled, by statement_timeout or by an administrator"},
	{"53300", nil, true, "the server has no connection free (max_connections)"},
	{"57P03", nil, true, "the server is starting up or shutting down"},
	{"57P0", nil, true, "the server ended the connection"},
	{"26000", nil, true, "a prepared statement was gone"},
	{"23505", driver.ErrCorrupt, false, "an event stands where none can be: was the sequence set back, or a table restored without the others?"},
	{"23", driver.ErrCorrupt, false, "the tables hold what cannot be there"},
	{"XX001", driver.ErrCorrupt, false, "the server found damaged data"},
	{"XX002", driver.ErrCorrupt, false, "the server found a damaged index"},
	{"42P01", driver.ErrSchema, false, "a table is missing: open the store again, without ddl=check"},
	{"42703", driver.ErrSchema, false, "a table is not es's: choose a prefix or a schema"},
	{"3F000", driver.ErrSchema, false, "the schema is missing"},
	{"42501", nil, false, "the role lacks a right"},
	{"08", nil, true, "the connection to the server failed, or a pooler has none"},
	{"25006", nil, true, readOnly},
	{"53100", nil, false, "the server's disk is full"},
	{"53200", nil, false, "the server is out of memory"},
	{"28", nil, false, "the server refused the user or the password"},
	{"3D000", nil, false, "the database does not exist"},
	{"42704", nil, false, "the server does not know a setting that was asked for"},
	{"25P02", nil, false, "the transaction has failed before: roll it back"},
}

const readOnly = "the server or the session is read-only: es needs the primary, and default_transaction_read_only=off"

// fail says what an error of the database or its client means.
func fail(err error) error {
	if err == nil || isOurs(err) {
		return err
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	pg, ok := errors.AsType[*pgconn.PgError](err)
	if !ok {
		return fmt.Errorf("es: postgres: the connection was lost: %w", withoutConfig(err))
	}
	for _, m := range meanings {
		if !strings.HasPrefix(pg.Code, m.code) {
			continue
		}
		if m.sentinel != nil {
			return fmt.Errorf("%w: %s: %w", m.sentinel, m.text, pg)
		}
		err := fmt.Errorf("es: postgres: %s: %w", m.text, pg)
		if m.transient {
			return driver.Transient(err)
		}
		return err
	}
	return fmt.Errorf("es: postgres: %w", pg)
}

// isOurs reports whether an error has its meaning already.
func isOurs(err error) bool {
	return strings.HasPrefix(err.Error(), "es: ")
}

// withoutConfig leaves out of an error what holds the configuration, and the
// password with it.
func withoutConfig(err error) error {
	if c, ok := errors.AsType[*pgconn.ConnectError](err); ok {
		return c.Unwrap()
	}
	if _, ok := errors.AsType[*pgconn.ParseConfigError](err); ok {
		return errors.New("the configuration cannot be read")
	}
	return err
}

// unsureError says that it is not known what became of a write.
type unsureError struct{ err error }

func (e *unsureError) Error() string { return e.err.Error() }
func (e *unsureError) Unwrap() error { return e.err }

// notYet is the error where a stream has not reached the version at which something
// was sent: what was sent may arrive when it has grown. It is no conflict.
func notYet(err error) error {
	return &unsureError{fmt.Errorf("es: postgres: the answer was lost, and a stream has not reached the version that was expected: %v", err)}
}

// unsure reports whether what was sent may have been carried out, or may yet be,
// although it failed with err. The server takes back what it answers with an
// error, unless that ends the connection.
func unsure(err error) bool {
	if pgconn.SafeToRetry(err) {
		return false // nothing was sent
	}
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		return pg.SeverityUnlocalized != "ERROR" || strings.HasPrefix(pg.Code, "08")
	}
	return true
}

// isLost reports whether err is of the connection, and not of what was sent on it.
func isLost(err error) bool {
	pg, ok := errors.AsType[*pgconn.PgError](err)
	return !ok || pg.SeverityUnlocalized != "ERROR"
}

// failRead is fail for what only read: it can be made again if the connection was
// lost, whatever became of it.
func failRead(err error) error {
	if err != nil && !isOurs(err) && isLost(err) {
		return driver.Transient(fail(err))
	}
	return fail(err)
}

// decided reports whether err says what became of a request, and that nothing
// of it was stored.
func decided(err error) bool {
	return errors.Is(err, driver.ErrConflict) || errors.Is(err, driver.ErrStreamDeleted) ||
		errors.Is(err, driver.ErrStreamNotFound) || errors.Is(err, driver.ErrCheckpointConflict)
}

func corrupt(format string, args ...any) error {
	return fmt.Errorf("%w: %s", driver.ErrCorrupt, fmt.Sprintf(format, args...))
}

func deleted(stream string) error {
	return &driver.StreamError{Stream: stream, Err: driver.ErrStreamDeleted}
}
