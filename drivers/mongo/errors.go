package mongo

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/x/mongo/driver/topology"

	"github.com/go-es/es/driver"
)

// duplicateKey is the code of a document whose _id is taken.
const duplicateKey = 11000

// meaning is what an error of the server means to a caller.
type meaning struct {
	code      int
	sentinel  error // nil: only the text
	transient bool  // the same may be sent again
	refused   bool  // nothing of the command was carried out
	text      string
}

var meanings = []meaning{
	{10107, nil, true, true, "the server is no primary"},
	{13435, nil, true, true, "the server is no primary"},
	{13436, nil, true, true, "the server is no primary, nor a secondary"},
	{16908292, nil, true, true, "a deadlock with another write was broken"}, // FerretDB
	{112, nil, true, true, "another write was in the way"},
	{189, nil, true, false, "the primary stepped down"},
	{11600, nil, true, false, "the server is shutting down"},
	{11602, nil, true, false, "an election interrupted the command"},
	{91, nil, true, false, "the server is shutting down"},
	{64, nil, true, false, "a majority of the servers did not answer in time"},
	{100, nil, true, false, "there is no majority of the servers"},
	{134, nil, true, true, "the server has no state that a majority has"},
	{50, nil, true, false, "the time for the command was over"},
	{262, nil, true, false, "the time for the command was over"},
	{24, nil, true, false, "a lock was not free in time"},
	{6, nil, true, false, "a server cannot be reached"},
	{7, nil, true, false, "a server cannot be reached"},
	{89, nil, true, false, "a server did not answer in time"},
	{9001, nil, true, false, "a connection broke"},
	{43, nil, true, true, "the cursor was gone"},
	{13, nil, false, true, "the user lacks a right: it needs readWrite on the database"},
	{18, nil, false, true, "the server refused the user or the password"},
	{8000, nil, false, true, "the server refused the user or the password"},
	{26, driver.ErrSchema, false, true, "a collection is missing"},
	{27, driver.ErrSchema, false, true, "an index is missing: open the store again, without ddl=check"},
	{121, driver.ErrSchema, false, true, "a validator of the collection refused the document: the collections are the store's own"},
	{123, nil, false, true, "the server is no member of a replica set"},
	{10334, nil, false, true, "the document is larger than the server takes"},
}

// codeOf returns the code of an error of the server.
func codeOf(err error) (int, bool) {
	if e, ok := errors.AsType[mongo.CommandError](err); ok && e.Code != 0 {
		return int(e.Code), true
	}
	if e, ok := errors.AsType[mongo.WriteError](err); ok {
		return e.Code, true
	}
	if e, ok := errors.AsType[mongo.WriteException](err); ok {
		return codeOfWrites(len(e.WriteErrors), func() int { return e.WriteErrors[0].Code }, e.WriteConcernError)
	}
	if e, ok := errors.AsType[mongo.BulkWriteException](err); ok {
		return codeOfWrites(len(e.WriteErrors), func() int { return e.WriteErrors[0].Code }, e.WriteConcernError)
	}
	return 0, false
}

func codeOfWrites(n int, first func() int, concern *mongo.WriteConcernError) (int, bool) {
	switch {
	case n > 0:
		return first(), true
	case concern != nil:
		return concern.Code, true
	}
	return 0, false
}

func meaningOf(err error) (meaning, bool) {
	code, ok := codeOf(err)
	for _, m := range meanings {
		if ok && m.code == code {
			return m, true
		}
	}
	return meaning{}, false
}

// fail says what an error of the database or its client means.
func fail(err error) error {
	if err == nil || isOurs(err) {
		return err
	}
	if m, ok := meaningOf(err); ok {
		if m.sentinel != nil {
			return fmt.Errorf("%w: %s: %w", m.sentinel, m.text, err)
		}
		return fmt.Errorf("es: mongo: %s: %w", m.text, err)
	}
	if _, ok := codeOf(err); ok {
		return fmt.Errorf("es: mongo: %w", err)
	}
	if errors.Is(err, mongo.ErrClientDisconnected) {
		return fmt.Errorf("es: mongo: the client was disconnected: %w", err)
	}
	return fmt.Errorf("es: mongo: no answer: %w", err)
}

// failRead is fail for what only read: it can be made again if the connection was
// lost, whatever became of it.
func (s *Store) failRead(ctx context.Context, err error) error {
	switch {
	case err == nil || isOurs(err):
		return err
	case s.gate.Aborted():
		return driver.ErrClosed
	case ctx.Err() != nil:
		return ctx.Err()
	case isTransient(err):
		return driver.Transient(fail(err))
	}
	return fail(err)
}

// isTransient reports whether err is of the moment: of the connection, or of a server
// that was about to do something else.
func isTransient(err error) bool {
	if isOverloaded(err) {
		return true
	}
	if m, ok := meaningOf(err); ok {
		return m.transient
	}
	if _, ok := codeOf(err); ok {
		return false
	}
	return !errors.Is(err, mongo.ErrClientDisconnected)
}

// isOverloaded reports whether a server refused to begin, for it has too much to do.
func isOverloaded(err error) bool {
	e, ok := errors.AsType[mongo.LabeledError](err)
	return ok && e.HasErrorLabel("SystemOverloadedError")
}

// failWrite is fail for what may have written. What the server refused was not
// carried out, unless it may have been the second request; of everything else it is not known, unless nothing was sent.
func (s *Store) failWrite(ctx context.Context, err error) error {
	if read, ok := errors.AsType[*readError](err); ok {
		return read.err
	}
	switch {
	case err == nil || isOurs(err):
		return err
	case s.isUnsent(err):
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if s.gate.Aborted() {
			return driver.ErrClosed
		}
		if errors.Is(err, mongo.ErrClientDisconnected) {
			return fail(err)
		}
		return driver.Transient(fail(err))
	case isRefused(err) && (s.own || !isNotPrimary(err) && !isOverloaded(err)):
		if isTransient(err) {
			return driver.Transient(fail(err))
		}
		return fail(err)
	}
	return &unsureError{fail(err)}
}

// failLook is failRead for what is read on the way to a write: the write was not
// sent.
func (s *Store) failLook(ctx context.Context, err error) error {
	if err = s.failRead(ctx, err); err != nil {
		return &readError{err}
	}
	return nil
}

// readError is of a read on the way to a write.
type readError struct{ err error }

func (e *readError) Error() string { return e.err.Error() }
func (e *readError) Unwrap() error { return e.err }

// isUnsent reports whether nothing was sent to a server.
func (s *Store) isUnsent(err error) bool {
	if _, answered := codeOf(err); answered {
		return false
	}
	// A request waited in the queue of the pool. That of a client that retries writes may
	// be the second one, and says nothing of the first.
	var cleared interface{ Retryable() bool }
	return errors.As(err, new(topology.ServerSelectionError)) || errors.As(err, new(topology.WaitQueueTimeoutError)) ||
		s.own && errors.As(err, &cleared) || errors.Is(err, mongo.ErrClientDisconnected)
}

// isRefused reports whether the server answered that it has not done, and will not
// do, what was asked.
func isRefused(err error) bool {
	m, known := meaningOf(err)
	if e, ok := errors.AsType[mongo.WriteException](err); ok && (len(e.WriteErrors) == 0 || e.WriteConcernError != nil) {
		return false // it was written, and it is not known for how long
	} else if ok || known && m.refused || isOverloaded(err) {
		return true
	}
	if e, ok := errors.AsType[mongo.CommandError](err); ok && !known {
		return e.Code == 2 || e.Code == 9 || e.Code == 20 || e.Code == 59 // it does not know the command
	}
	return false
}

// isNotPrimary reports whether the server refused a write because it is no primary.
// A client that retries writes, as a caller's may, has then sent it twice: what became
// of the first request, its error does not say.
func isNotPrimary(err error) bool {
	code, _ := codeOf(err)
	return code == 10107 || code == 13435 || code == 13436
}

// isDuplicate reports whether the write was refused because its _id is taken.
func isDuplicate(err error) bool {
	e, ok := errors.AsType[mongo.WriteException](err)
	return ok && len(e.WriteErrors) > 0 && e.WriteErrors[0].Code == duplicateKey
}

// isOurs reports whether an error has its meaning already.
func isOurs(err error) bool { return strings.HasPrefix(err.Error(), "es: ") }

// unsureError says that it is not known what became of a write.
type unsureError struct{ err error }

func (e *unsureError) Error() string { return e.err.Error() }
func (e *unsureError) Unwrap() error { return e.err }

// isDecided reports whether err says what became of a request, and that nothing of
// it was stored.
func isDecided(err error) bool {
	return errors.Is(err, driver.ErrConflict) || errors.Is(err, driver.ErrStreamDeleted) ||
		errors.Is(err, driver.ErrStreamNotFound) || errors.Is(err, driver.ErrCheckpointConflict)
}

// unknown makes of what settle left open an *driver.UnknownOutcomeError.
func unknown(err error, parts ...driver.UnknownPart) error {
	u, ok := errors.AsType[*unsureError](err)
	if !ok {
		return err
	}
	return &driver.UnknownOutcomeError{Parts: parts, Err: u.err}
}

func deleted(stream string) error {
	return &driver.StreamError{Stream: stream, Err: driver.ErrStreamDeleted}
}

func missing(stream string) error {
	return &driver.StreamError{Stream: stream, Err: driver.ErrStreamNotFound}
}
