package cassandra

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/gocql/gocql"

	"github.com/go-es/es/driver"
)

// A request that writes and fails may have been carried out, or may yet be:
// Cassandra answers with a timeout of any kind, or says that too few nodes are
// there, also after it has decided. What is certain is in these two lists.

// refused are the codes of requests that the server did not begin to carry out.
var refused = map[int]string{
	gocql.ErrCodeSyntax:       "the server does not understand a statement",
	gocql.ErrCodeInvalid:      "the server refuses a statement",
	gocql.ErrCodeUnauthorized: "the role lacks a right",
	gocql.ErrCodeCredentials:  "the server refused the user or the password",
	gocql.ErrCodeConfig:       "the server's configuration does not allow it",
}

// unsent are the client's errors for what did not leave it.
var unsent = []error{gocql.ErrNoConnections, gocql.ErrNoStreams, gocql.ErrSessionClosed, gocql.ErrNoHosts, gocql.ErrUnavailable, gocql.ErrUnsupported, gocql.ErrTooManyStmts}

// fate says what is known of a request that failed.
type fate int

const (
	unsure  fate = iota // it may have been carried out, or may yet be
	notSent             // it was not, and may be sent later
	wrong               // it was not, and never will be
)

func fateOf(err error) fate {
	if isOurs(err) {
		return wrong
	}
	if e, ok := errors.AsType[gocql.RequestError](err); ok {
		if _, ok := refused[e.Code()]; ok {
			return wrong
		}
		return unsure
	}
	for _, e := range unsent {
		if errors.Is(err, e) {
			return notSent
		}
	}
	return unsure
}

// fail says what an error of the cluster or its client means. For a read, all but
// what is wrong for good may be tried again; see [Store.read].
func fail(err error) error {
	if err == nil || isOurs(err) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	e, ok := errors.AsType[gocql.RequestError](err)
	switch {
	case isMissing(err):
		return fmt.Errorf("%w: a table or the keyspace is missing: open the store again, without ddl=check: %w", driver.ErrSchema, err)
	case ok && refused[e.Code()] != "":
		return fmt.Errorf("es: cassandra: %s: %w", refused[e.Code()], err)
	case ok:
		return fmt.Errorf("es: cassandra: the cluster did not answer as it should: %w", err)
	case errors.Is(err, gocql.ErrSessionClosed):
		return fmt.Errorf("es: cassandra: the session is closed: %w", err)
	}
	return fmt.Errorf("es: cassandra: the connection was lost, or there is none: %w", err)
}

// isOurs reports whether an error has its meaning already.
func isOurs(err error) bool { return strings.HasPrefix(err.Error(), "es: ") }

// unsureError says that it is not known what became of a write.
type unsureError struct{ err error }

func (e *unsureError) Error() string { return e.err.Error() }
func (e *unsureError) Unwrap() error { return e.err }

func isUnsure(err error) bool {
	_, ok := errors.AsType[*unsureError](err)
	return ok
}

// decided reports whether err says what became of a request, and that nothing of it
// was stored.
func decided(err error) bool {
	return !isUnsure(err) && (errors.Is(err, driver.ErrConflict) || errors.Is(err, driver.ErrStreamDeleted) ||
		errors.Is(err, driver.ErrStreamNotFound) || errors.Is(err, driver.ErrCheckpointConflict))
}

func corrupt(format string, args ...any) error {
	return fmt.Errorf("%w: %s", driver.ErrCorrupt, fmt.Sprintf(format, args...))
}

func deleted(stream string) error {
	return &driver.StreamError{Stream: stream, Err: driver.ErrStreamDeleted}
}

func notFound(stream string) error {
	return &driver.StreamError{Stream: stream, Err: driver.ErrStreamNotFound}
}

// invalid returns the error of a configuration that cannot be.
func invalid(reason string) error {
	return &driver.InvalidError{What: "cassandra", Reason: reason}
}
