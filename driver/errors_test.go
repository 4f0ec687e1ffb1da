package driver_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"testing"

	"github.com/go-es/es/driver"
)

var sentinels = []error{
	driver.ErrConflict, driver.ErrStreamNotFound, driver.ErrStreamDeleted, driver.ErrInvalid, driver.ErrTooLarge, driver.ErrUnknownOutcome,
	driver.ErrCheckpointAhead, driver.ErrCheckpointConflict, driver.ErrCorrupt, driver.ErrSchema, driver.ErrClosed, errors.ErrUnsupported, context.Canceled,
}

func TestErrors(t *testing.T) {
	cause := errors.New("connection reset")
	for _, row := range []struct {
		err  error
		text string
		is   []error // of sentinels
	}{
		{&driver.ConflictError{Stream: "s", Expected: 3, Actual: 5}, `es: conflict: stream "s" is at version 5, expected: version 3`, []error{driver.ErrConflict}},
		{&driver.ConflictError{Stream: "s", Expected: driver.NoStream, Actual: 1}, `es: conflict: stream "s" is at version 1, expected: no stream`, []error{driver.ErrConflict}},
		{&driver.ConflictError{Stream: "a\nb", Expected: driver.Exists}, `es: conflict: stream "a\nb" does not exist, expected: exists`, []error{driver.ErrConflict}},
		{&driver.StreamError{Stream: "s", Err: driver.ErrStreamNotFound}, `es: stream not found: "s"`, []error{driver.ErrStreamNotFound}},
		{&driver.StreamError{Stream: "s", Err: driver.ErrStreamDeleted}, `es: stream deleted: "s"`, []error{driver.ErrStreamDeleted}},
		{&driver.InvalidError{What: "limit", Reason: "-1 is negative"}, "es: limit: -1 is negative", []error{driver.ErrInvalid}},
		{&driver.TooLargeError{What: "bytes of an append", Limit: 10, Got: 11}, "es: too large: bytes of an append: 11, the limit is 10", []error{driver.ErrTooLarge}},
		{&driver.UnknownOutcomeError{}, "es: unknown outcome", []error{driver.ErrUnknownOutcome}},
		{&driver.UnknownOutcomeError{Err: cause}, "es: unknown outcome: connection reset", []error{driver.ErrUnknownOutcome}},
		{&driver.UnknownOutcomeError{Parts: []driver.UnknownPart{{"a", 3}, {"b", 0}}, Err: context.Canceled}, `es: unknown outcome of a write to "a" at version 3, "b" at version 0: context canceled`, []error{driver.ErrUnknownOutcome, context.Canceled}},
		{&driver.SchemaError{Found: 7, Known: 2}, "es: the data has schema version 7 and this driver knows versions up to 2: use a newer release", []error{driver.ErrSchema}},
		{&driver.SchemaError{Known: 2}, "es: the data has schema version 0 and this driver needs 2: open it once with the right to create tables", []error{driver.ErrSchema}},
		{driver.Transient(cause), "connection reset", nil},
		{driver.Transient(context.Canceled), "context canceled", []error{context.Canceled}},
	} {
		if row.err.Error() != row.text {
			t.Errorf("got  %s\nwant %s", row.err, row.text)
		}
		for _, err := range []error{row.err, fmt.Errorf("while testing: %w", row.err)} {
			for _, s := range sentinels {
				want := false
				for _, is := range row.is {
					want = want || is == s
				}
				if errors.Is(err, s) != want {
					t.Errorf("%q: errors.Is %q is %v", err, s, !want)
				}
			}
			// errors.As finds the type again.
			target := reflect.New(reflect.TypeOf(row.err))
			if !errors.As(err, target.Interface()) || target.Elem().Interface() != any(row.err) {
				t.Errorf("%q: errors.As finds no %T", err, row.err)
			}
		}
	}
	if err := (&driver.UnknownOutcomeError{Err: cause}); !errors.Is(err, cause) {
		t.Error("the cause of an unknown outcome is not reachable")
	}
}

func TestTransient(t *testing.T) {
	if driver.Transient(nil) != nil {
		t.Error("Transient(nil) is an error")
	}
	cause := &driver.ConflictError{Stream: "s"}
	err := driver.Transient(cause)
	var conflict *driver.ConflictError
	if !errors.As(err, &conflict) || conflict != cause {
		t.Error("the cause is not reachable")
	}
	for _, row := range []struct {
		err  error
		want bool
	}{
		{nil, false},
		{cause, false},
		{driver.ErrClosed, false},
		{err, true},
		{fmt.Errorf("append: %w", err), true},
		{errors.Join(driver.ErrClosed, err), true},
		{driver.Transient(err), true},
		{&driver.UnknownOutcomeError{Err: err}, false},
		{driver.Transient(&driver.UnknownOutcomeError{}), false},
	} {
		if got := driver.IsTransient(row.err); got != row.want {
			t.Errorf("IsTransient(%v) is %v", row.err, got)
		}
	}
}
