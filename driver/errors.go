package driver

import (
	"errors"
	"fmt"
	"strings"
)

// The errors that mean the same on every store. Test for them with errors.Is.
var (
	// ErrConflict says that an expected version did not hold. See [ConflictError].
	ErrConflict = errors.New("es: conflict")
	// ErrStreamNotFound says that a stream does not exist. See [StreamError].
	ErrStreamNotFound = errors.New("es: stream not found")
	// ErrStreamDeleted says that a stream is closed. See [StreamError].
	ErrStreamDeleted = errors.New("es: stream deleted")
	// ErrInvalid says that a request is wrong in itself. See [InvalidError].
	ErrInvalid = errors.New("es: invalid request")
	// ErrTooLarge says that a request is above a limit. See [TooLargeError].
	ErrTooLarge = errors.New("es: too large")
	// ErrUnknownOutcome says that a write may have happened or not. See
	// [UnknownOutcomeError].
	ErrUnknownOutcome = errors.New("es: unknown outcome")
	// ErrCheckpointAhead says that a reader has seen what the store does not
	// have: it was restored, failed over or replaced.
	ErrCheckpointAhead = errors.New("es: the checkpoint is not of this feed")
	// ErrCheckpointConflict says that another has saved the checkpoint.
	ErrCheckpointConflict = errors.New("es: the checkpoint was saved by another")
	// ErrCorrupt says that what is stored cannot be what was stored.
	ErrCorrupt = errors.New("es: corrupt data")
	// ErrSchema says that the database's schema is not the driver's. See
	// [SchemaError].
	ErrSchema = errors.New("es: schema mismatch")
	// ErrClosed says that the store is closed.
	ErrClosed = errors.New("es: store is closed")
)

// ConflictError says which stream was not as expected. It is [ErrConflict].
type ConflictError struct {
	Stream   string
	Expected Expected
	Actual   Version // a version that the stream has had, normally its last; 0: it does not exist
}

func (e *ConflictError) Error() string {
	is := "does not exist"
	if e.Actual > 0 {
		is = fmt.Sprintf("is at version %d", e.Actual)
	}
	return fmt.Sprintf("es: conflict: stream %q %s, expected: %v", e.Stream, is, e.Expected)
}

// Is reports whether target is ErrConflict.
func (e *ConflictError) Is(target error) bool { return target == ErrConflict }

// StreamError says of which stream something holds. Err is [ErrStreamNotFound]
// or [ErrStreamDeleted].
type StreamError struct {
	Stream string
	Err    error
}

func (e *StreamError) Error() string {
	return fmt.Sprintf("%v: %q", e.Err, e.Stream)
}

// Unwrap returns Err.
func (e *StreamError) Unwrap() error { return e.Err }

// InvalidError says what is wrong in a request. It is [ErrInvalid].
type InvalidError struct {
	What   string // the field, with the stream or the index where it helps
	Reason string
}

func (e *InvalidError) Error() string { return "es: " + e.What + ": " + e.Reason }

// Is reports whether target is ErrInvalid.
func (e *InvalidError) Is(target error) bool { return target == ErrInvalid }

// TooLargeError says what is above which limit. It is [ErrTooLarge].
type TooLargeError struct {
	What       string
	Limit, Got int
}

func (e *TooLargeError) Error() string {
	return fmt.Sprintf("es: too large: %s: %d, the limit is %d", e.What, e.Got, e.Limit)
}

// Is reports whether target is ErrTooLarge.
func (e *TooLargeError) Is(target error) bool { return target == ErrTooLarge }

// UnknownPart is a stream that a request of unknown outcome would change.
type UnknownPart struct {
	Stream string
	Base   Version // the exact version at which the request was sent
}

// UnknownOutcomeError says that a write may have happened or not. The same
// request (the same ids) sent again with every part's exact Base as its expected
// version decides it. It is [ErrUnknownOutcome] and wraps the cause.
type UnknownOutcomeError struct {
	Parts []UnknownPart
	Err   error
}

func (e *UnknownOutcomeError) Error() string {
	var b strings.Builder
	b.WriteString("es: unknown outcome")
	for i, p := range e.Parts {
		sep := ", "
		if i == 0 {
			sep = " of a write to "
		}
		fmt.Fprintf(&b, "%s%q at version %d", sep, p.Stream, p.Base)
	}
	if e.Err != nil {
		b.WriteString(": ")
		b.WriteString(e.Err.Error())
	}
	return b.String()
}

// Is reports whether target is ErrUnknownOutcome.
func (e *UnknownOutcomeError) Is(target error) bool { return target == ErrUnknownOutcome }

// Unwrap returns the cause.
func (e *UnknownOutcomeError) Unwrap() error { return e.Err }

// SchemaError says that the data was written by a newer version of a driver, or
// that its tables are missing or old and may not be made. It is [ErrSchema].
type SchemaError struct {
	Found, Known int
}

func (e *SchemaError) Error() string {
	if e.Found < e.Known {
		return fmt.Sprintf("es: the data has schema version %d and this driver needs %d: open it once with the right to create tables", e.Found, e.Known)
	}
	return fmt.Sprintf("es: the data has schema version %d and this driver knows versions up to %d: use a newer release", e.Found, e.Known)
}

// Is reports whether target is ErrSchema.
func (e *SchemaError) Is(target error) bool { return target == ErrSchema }

// Transient marks an error as one after which the same call may be made again,
// because nothing was applied (U4). It returns nil for nil.
func Transient(err error) error {
	if err == nil {
		return nil
	}
	return &transientError{err}
}

// IsTransient reports whether err was marked by [Transient]. An unknown outcome
// is never transient, whatever its cause is.
func IsTransient(err error) bool {
	_, ok := errors.AsType[*transientError](err)
	return ok && !errors.Is(err, ErrUnknownOutcome)
}

type transientError struct{ err error }

func (e *transientError) Error() string { return e.err.Error() }
func (e *transientError) Unwrap() error { return e.err }
