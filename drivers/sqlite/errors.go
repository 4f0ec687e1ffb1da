package sqlite

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/go-es/es/driver"
)

// The result codes of SQLite that the driver tells apart. The low eight bits of
// an extended code are the primary one.
const (
	codeError    = 1
	codeBusy     = 5
	codeLocked   = 6
	codeReadonly = 8
	codeCorrupt  = 11
	codeFull     = 13
	codeCantOpen = 14
	codeProtocol = 15
	codeNotADB   = 26

	codeIOWrite      = 10 | 3<<8
	codeBusySnapshot = 5 | 2<<8
)

// code returns the extended result code that an error of SQLite's has, or 0. It
// knows the errors of mattn/go-sqlite3, and those with a method Code, such as
// modernc.org/sqlite's.
func code(err error) int {
	if c := mattnCode(err); c != 0 {
		return c
	}
	var coded interface {
		error
		Code() int
	}
	if errors.As(err, &coded) {
		return coded.Code()
	}
	return 0
}

func primary(err error) int { return code(err) & 0xff }

// Errors that are the driver's own, and not of a database.
var (
	errNoSQLite  = errors.New("es: sqlite: this program was built without cgo and has no SQLite in it: install a C compiler and build it with CGO_ENABLED=1, or open the database with modernc.org/sqlite, which needs none, and pass the *sql.DB to sqlite.New")
	errOldDriver = errors.New("es: sqlite: the pool's driver has statements without contexts")
)

// fail says what an error of the database means. Errors that did not come from
// there stay as they are.
func fail(err error) error {
	if err == nil || err == io.EOF || err == errOldDriver || err == errNoSQLite {
		return err
	}
	switch c := code(err); c & 0xff {
	case codeBusy, codeLocked, codeProtocol:
		if c == codeBusySnapshot {
			return fmt.Errorf("es: sqlite: another connection has written since the transaction began to read: begin it with BEGIN IMMEDIATE (mattn: _txlock=immediate), roll back and try again: %w", err)
		}
		return driver.Transient(fmt.Errorf("es: sqlite: another connection holds the lock: %w", err))
	case codeReadonly:
		return fmt.Errorf("es: sqlite: the database cannot be written; are the file and its directory read-only? %w", err)
	case codeCorrupt:
		return fmt.Errorf("%w: %w", driver.ErrCorrupt, err)
	case codeFull:
		return fmt.Errorf("es: sqlite: the disk is full: %w", err)
	case codeCantOpen:
		return fmt.Errorf("es: sqlite: the file cannot be opened; does its directory exist, and may it be written? %w", err)
	case codeNotADB:
		return fmt.Errorf("%w: the file is no SQLite database, or it is encrypted: %w", driver.ErrCorrupt, err)
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return fmt.Errorf("es: sqlite: %w", err)
}

// locked reports whether a statement failed because another connection is in
// the way for now.
func locked(err error) bool {
	switch primary(err) {
	case codeBusy, codeLocked, codeProtocol:
		return true
	}
	return false
}

// unsureError says that a COMMIT failed in a way that does not tell whether the
// transaction will be found after a crash.
type unsureError struct{ err error }

func (e *unsureError) Error() string { return e.err.Error() }
func (e *unsureError) Unwrap() error { return e.err }

// unsure reports whether a COMMIT that failed with err may have happened. A
// write that failed, for want of space or otherwise, was one at or before the
// frame of the log that commits; all else, a failed sync above all, may have
// left that frame behind, and SQLite would find it when it recovers.
func unsure(err error) bool {
	switch primary(err) {
	case codeFull, codeReadonly, codeBusy, codeLocked:
		return false
	}
	return code(err) != codeIOWrite
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
