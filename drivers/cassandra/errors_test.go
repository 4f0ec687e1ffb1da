package cassandra

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"github.com/gocql/gocql"

	"github.com/go-es/es/driver"
	"github.com/go-es/es/internal/gate"
)

// refusal is an error of the server's that gocql has no type of its own for.
type refusal struct {
	code    int
	message string
}

func (e refusal) Code() int       { return e.code }
func (e refusal) Message() string { return e.message }
func (e refusal) Error() string   { return e.message }

// What is known of a request by its error: only what the server or the client says
// before anything is carried out is certain.
func TestFates(t *testing.T) {
	for _, c := range []struct {
		err  error
		want fate
	}{
		{&gocql.RequestErrWriteTimeout{WriteType: "CAS"}, unsure},
		{&gocql.RequestErrWriteTimeout{WriteType: "SIMPLE"}, unsure},
		{&gocql.RequestErrReadTimeout{}, unsure},
		{&gocql.RequestErrUnavailable{}, unsure},
		{&gocql.RequestErrWriteFailure{}, unsure},
		{&gocql.RequestErrReadFailure{}, unsure},
		{&gocql.RequestErrCASWriteUnknown{}, unsure},
		{refusal{gocql.ErrCodeServer, "no"}, unsure},
		{refusal{gocql.ErrCodeOverloaded, "no"}, unsure},
		{refusal{gocql.ErrCodeBootstrapping, "no"}, unsure},
		{refusal{gocql.ErrCodeTruncate, "no"}, unsure},
		{refusal{0x7fff, "no"}, unsure},
		{gocql.ErrTimeoutNoResponse, unsure},
		{gocql.ErrConnectionClosed, unsure},
		{&net.OpError{Op: "write", Err: errors.New("reset")}, unsure},
		{io.EOF, unsure},
		{context.DeadlineExceeded, unsure},
		{errors.New("something new"), unsure},
		{refusal{gocql.ErrCodeSyntax, "no"}, wrong},
		{refusal{gocql.ErrCodeInvalid, "no"}, wrong},
		{refusal{gocql.ErrCodeUnauthorized, "no"}, wrong},
		{gocql.ErrNoConnections, notSent},
		{gocql.ErrNoStreams, notSent},
		{gocql.ErrSessionClosed, notSent},
		{fmt.Errorf("%w: x", driver.ErrCorrupt), wrong},
	} {
		for _, err := range []error{c.err, fmt.Errorf("wrapped: %w", c.err)} {
			if isOurs(c.err) && err != c.err {
				continue
			}
			if got := fateOf(err); got != c.want {
				t.Errorf("%T %v: %d, want %d", err, err, got, c.want)
			}
			if got := isUnsure(sent(err)); got != (c.want == unsure) {
				t.Errorf("%T %v, of a request that writes: unsure %t", err, err, got)
			}
		}
	}
	if !errors.Is(fail(fmt.Errorf("x: %w", io.EOF)), io.EOF) {
		t.Error("the cause of an error is lost")
	}
}

// A table that is being created by another process is missing in more than one way.
func TestMissing(t *testing.T) {
	for _, c := range []struct {
		err  error
		want bool
	}{
		{refusal{gocql.ErrCodeInvalid, "table es_meta does not exist"}, true},
		{refusal{gocql.ErrCodeInvalid, "keyspace es does not exist"}, true},
		{refusal{gocql.ErrCodeServer, "java.lang.IllegalArgumentException: Unknown CF 5713f7b6-123c-5a57-b96a-5911636875c8"}, true},
		{refusal{gocql.ErrCodeServer, "java.lang.NullPointerException"}, false},
		{refusal{gocql.ErrCodeInvalid, "Unknown identifier x"}, false},
		{gocql.ErrNoConnections, false},
	} {
		if got := isMissing(c.err); got != c.want {
			t.Errorf("%v: %t", c.err, got)
		}
	}
}

// Once a request was sent of which nobody knows what became, only what decides it ends
// the call: that the stream cannot be read says nothing of the request.
func TestSettle(t *testing.T) {
	lost := &unsureError{errors.New("lost")}
	conflict := &driver.ConflictError{Stream: "s", Expected: 1, Actual: 2}
	for _, c := range []struct {
		tries []error
		want  error
	}{
		{[]error{lost, nil}, nil},
		{[]error{lost, conflict}, conflict},
		{[]error{lost, corrupt("by a test"), nil}, nil},
		{[]error{lost, corrupt("by a test"), conflict}, conflict},
		{[]error{lost, corrupt("by a test")}, lost}, // and so on
		{[]error{corrupt("by a test")}, driver.ErrCorrupt},
	} {
		settle := 10 * time.Second
		if c.want == error(lost) {
			settle = 50 * time.Millisecond
		}
		s := &Store{gate: gate.New(), cfg: Config{Settle: settle}}
		tries := 0
		err := s.writing(t.Context(), func(call) error {
			tries++
			return c.tries[min(tries, len(c.tries))-1]
		})
		if !errors.Is(err, c.want) {
			t.Errorf("%v: %v", c.tries, err)
		}
	}
}
