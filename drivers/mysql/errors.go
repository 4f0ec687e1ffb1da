package mysql

import (
	"context"
	sqldriver "database/sql/driver"
	"errors"
	"fmt"

	client "github.com/go-sql-driver/mysql"

	"github.com/go-es/es/driver"
)

// Numbers of errors that the store does not only report.
const (
	errNotNull       = 1048
	errUnknownColumn = 1054
	errDuplicate     = 1062
	errNoTable       = 1146
	errLockWait      = 1205
	errDeadlock      = 1213
	errNoWait        = 3572 // of MySQL; MariaDB has 1205
)

// meaning is what an error of the server says about the statement that it answers.
type meaning int

const (
	refused meaning = iota // it was not carried out, and would not be the next time
	passing                // it was not carried out, and may be made again
	demoted                // as passing, on another connection: the server does not take writes any more
	unsure                 // it may have been carried out
)

// meanings are those of all errors that are not plainly refused.
var meanings = map[uint16]meaning{
	1020: passing, // a row has changed: innodb_snapshot_isolation of MariaDB
	1040: passing, // too many connections
	1041: passing, // out of memory
	1203: passing, // the user's connections
	1205: passing, // lock wait timeout: the statement was undone
	1206: passing, // the table of locks is full
	1213: passing, // deadlock: the transaction was undone
	1226: passing, // the user's resources
	1317: passing, // the statement was killed
	1615: passing, // a statement is to be prepared again
	1637: passing, // too many transactions
	1969: passing, // max_statement_time of MariaDB
	3024: passing, // max_execution_time of MySQL
	3572: passing, // NOWAIT

	1290: demoted, // --read-only
	1792: demoted, // a transaction that only reads
	1836: demoted, // read-only mode
	3750: demoted, // a primary that is stepping down

	1026: unsure, // writing the binary log
	1030: unsure, // the storage engine
	1053: unsure, // the server is shutting down
	1077: unsure,
	1105: unsure, // unknown: of a plug-in, or of a proxy
	1152: unsure, // the connection was aborted
	1158: unsure,
	1159: unsure,
	1160: unsure,
	1161: unsure,
	1180: unsure, // during COMMIT
	1598: unsure, // the binary log cannot be written
	1927: unsure, // the connection was killed
	3100: unsure, // group replication, at the commit: the other members may have got the transaction, and commit it
	3101: unsure, // the same, where the server undid its own
	3169: unsure, // the session was killed
	4031: unsure, // the client was idle for too long
}

// meaningOf returns what an error says. The numbers from 2000 on are of clients, and
// those from 9000 on of proxies: a server has none of them. A proxy answers with them
// when it has lost its own connection to the server, which may have carried it out.
// Those below 1000 are of files, the binary log among them: a sync that failed may
// come after the commit.
func meaningOf(n uint16) meaning {
	if n > 0 && n < 1000 || n/1000 == 2 || n/1000 == 9 {
		return unsure
	}
	return meanings[n]
}

// hints say what to do about errors that a user can do something about.
var hints = map[uint16]string{
	1040: "the server has no more connections",
	1044: "the user has no right to the database",
	1045: "the user or the password is wrong",
	1049: "the database does not exist: create it first",
	1114: "the table is full: the server has no more space",
	1021: "the disk is full",
	1142: "the user lacks a right: SELECT, INSERT, UPDATE and DELETE on the tables, and CREATE without ddl=check",
	1143: "the user lacks a right: SELECT, INSERT, UPDATE and DELETE on the tables",
	1146: "a table is missing",
	1153: "max_allowed_packet of the server is too small",
	1205: "another transaction holds the lock",
	1213: "two transactions waited for each other",
	1290: "the server takes no writes",
	1836: "the server takes no writes",
}

// serverError returns the number of an error with which the server answered, or 0.
func serverError(err error) uint16 {
	var e *client.MySQLError
	if errors.As(err, &e) {
		return e.Number
	}
	return 0
}

// lostError says that the connection broke, or that the answer did not come in
// time: what was sent may have been carried out.
type lostError struct{ err error }

func (e *lostError) Error() string { return e.err.Error() }
func (e *lostError) Unwrap() error { return e.err }

func lost(err error) bool {
	var l *lostError
	return errors.As(err, &l)
}

// unsentError says that a statement did not get to the server.
type unsentError struct{ err error }

func (e *unsentError) Error() string { return "es: mysql: no connection: " + e.err.Error() }
func (e *unsentError) Unwrap() error { return e.err }

func unsent(err error) bool {
	var u *unsentError
	return errors.As(err, &u)
}

// answer makes of an error of the client what it says about the statement: an
// error of the server, an unsentError or a lostError.
func answer(err error) error {
	switch n := serverError(err); {
	case err == nil:
		return nil
	case n != 0 && meaningOf(n) != unsure:
		return err
	case errors.Is(err, sqldriver.ErrBadConn):
		return &unsentError{err}
	case errors.Is(err, client.ErrPktTooLarge):
		return err
	}
	return &lostError{err}
}

// fail says what an error means to a caller. Of a write it must be known that
// nothing was applied.
func fail(err error) error {
	switch {
	case err == nil, driver.IsTransient(err), isOurs(err):
		return err
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	case unsent(err):
		return driver.Transient(err)
	case lost(err):
		return driver.Transient(fmt.Errorf("es: mysql: the connection broke: %w", err))
	}
	n := serverError(err)
	text := err
	if hint := hints[n]; hint != "" {
		text = fmt.Errorf("es: mysql: %s: %w", hint, err)
	} else if n != 0 {
		text = fmt.Errorf("es: mysql: %w", err)
	}
	if m := meaningOf(n); m == passing || m == demoted {
		return driver.Transient(text)
	}
	return text
}

// ours are the errors that mean the same on every store.
var ours = []error{
	driver.ErrConflict, driver.ErrStreamNotFound, driver.ErrStreamDeleted, driver.ErrInvalid, driver.ErrTooLarge,
	driver.ErrUnknownOutcome, driver.ErrCheckpointAhead, driver.ErrCheckpointConflict, driver.ErrCorrupt, driver.ErrSchema,
	driver.ErrClosed, errors.ErrUnsupported,
}

func isOurs(err error) bool {
	for _, e := range ours {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

func corrupt(format string, args ...any) error {
	return fmt.Errorf("%w: %s", driver.ErrCorrupt, fmt.Sprintf(format, args...))
}
