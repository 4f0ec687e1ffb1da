package es

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/go-es/es/driver"
)

// The errors of every store; see package driver. Test for them with errors.Is.
var (
	ErrConflict           = driver.ErrConflict
	ErrStreamNotFound     = driver.ErrStreamNotFound
	ErrStreamDeleted      = driver.ErrStreamDeleted
	ErrInvalid            = driver.ErrInvalid
	ErrTooLarge           = driver.ErrTooLarge
	ErrUnknownOutcome     = driver.ErrUnknownOutcome
	ErrCheckpointAhead    = driver.ErrCheckpointAhead
	ErrCheckpointConflict = driver.ErrCheckpointConflict
	ErrCorrupt            = driver.ErrCorrupt
	ErrSchema             = driver.ErrSchema
	ErrClosed             = driver.ErrClosed
)

// The errors that carry data; see package driver. Find them with errors.As.
type (
	ConflictError = driver.ConflictError
	StreamError   = driver.StreamError
	InvalidError  = driver.InvalidError
	TooLargeError = driver.TooLargeError
	SchemaError   = driver.SchemaError
	UnknownPart   = driver.UnknownPart
)

// IsTransient reports whether an error says that nothing was written and that
// the same call may be made again. A store has made it again already, for as
// long as [RetryFor] says.
func IsTransient(err error) bool { return driver.IsTransient(err) }

// UnknownOutcomeError says that a write may have happened or not: the connection
// broke after it was sent, and the store could not find out in time. It is
// [ErrUnknownOutcome] and wraps the cause. Resend decides it.
type UnknownOutcomeError struct {
	Parts []UnknownPart // the streams, each with the version at which the write was sent
	Err   error

	resend func(ctx context.Context) ([]Appended, error)
}

func (e *UnknownOutcomeError) Error() string {
	return (&driver.UnknownOutcomeError{Parts: e.Parts, Err: e.Err}).Error()
}

// Is reports whether target is ErrUnknownOutcome.
func (e *UnknownOutcomeError) Is(target error) bool { return target == ErrUnknownOutcome }

// Unwrap returns the cause.
func (e *UnknownOutcomeError) Unwrap() error { return e.Err }

// Resend sends the very same write again: the same ids and bytes at the same
// versions. It succeeds, writing nothing twice, whether the first did or not;
// or it fails with a [*ConflictError] when the first did not and another came
// before. It may be called again. It fails with an UnknownOutcomeError as long as a
// stream has not come to the version that the write expects: the first may still be
// on its way, and find it there.
func (e *UnknownOutcomeError) Resend(ctx context.Context) ([]Appended, error) { return e.resend(ctx) }

// DecodeError says which record cannot be read, and why: errors.Is tells
// [ErrCorrupt], [ErrShredded], [ErrNoKey] or [ErrUnknownEncoding].
type DecodeError struct {
	Stream   string
	Version  Version
	Position Position
	Type     string
	Err      error
}

func (e *DecodeError) Error() string {
	return fmt.Sprintf("es: event %d of stream %q (type %q, position %d): %v", e.Version, e.Stream, e.Type, e.Position, bare{e.Err})
}

// Unwrap returns the cause.
func (e *DecodeError) Unwrap() error { return e.Err }

// bare is an error without its "es: ", for the inside of a sentence that begins
// with it.
type bare struct{ error }

func (e bare) Error() string { return strings.TrimPrefix(e.error.Error(), "es: ") }

func (e bare) Unwrap() error { return e.error }

var errNotRead = errors.New("the record was not read from a store")
