package dynamodb

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws/ratelimit"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/go-es/es/driver"
)

// meaning is what an error of the database means to a caller.
type meaning struct {
	code     string
	sentinel error // nil: only the text
	busy     bool  // the request was not carried out, and may be sent again
	text     string
}

// meanings are of errors after which a request is known not to have been carried
// out. What is not named here may have happened.
var meanings = []meaning{
	{"ProvisionedThroughputExceededException", nil, true, "the table's throughput is exceeded"},
	{"ThrottlingException", nil, true, "the requests are throttled"},
	{"ThrottlingError", nil, true, "the requests are throttled"},
	{"ProvisionedThroughputExceeded", nil, true, "the table's throughput is exceeded"},
	{"RequestLimitExceeded", nil, true, "the account's throughput is exceeded"},
	{"LimitExceededException", nil, true, "too much is being done to tables at the same time"},
	{"TransactionConflictException", nil, true, "another append to several streams is in the way"},
	{"TransactionConflict", nil, true, "another append to several streams is in the way"},
	{"ReplicatedWriteConflictException", nil, true, "another region writes to the same item"},
	{"RequestTimeTooSkewed", nil, true, "the clocks differ"},
	{"ResourceInUseException", nil, true, "the table is being changed"},

	{"ResourceNotFoundException", driver.ErrSchema, false, "the table is missing: open the store again, without ddl=check"},
	{"AccessDeniedException", nil, false, "the credentials lack a right"},
	{"UnrecognizedClientException", nil, false, "the credentials are not valid"},
	{"MissingAuthenticationTokenException", nil, false, "there are no credentials"},
	{"IncompleteSignatureException", nil, false, "the credentials are not valid"},
	{"InvalidSignatureException", nil, false, "the credentials are not valid"},
	{"ExpiredTokenException", nil, false, "the credentials have expired"},
	{"ValidationException", nil, false, "the request was refused"},
	{"ValidationError", nil, false, "the request was refused"},
	{"ItemCollectionSizeLimitExceeded", nil, false, "the table has a local index, whose collections have a limit"},
	{"ItemCollectionSizeLimitExceededException", nil, false, "the table has a local index, whose collections have a limit"},
	{"UnknownOperationException", nil, false, "the server does not know the request: it is not DynamoDB"},
}

// meaningOf returns what an error code means, nil if it says nothing.
func meaningOf(code string) *meaning {
	for i := range meanings {
		if meanings[i].code == code {
			return &meanings[i]
		}
	}
	return nil
}

// cancelled is the answer to a transaction that was not carried out for other
// reasons than conditions.
type cancelled struct {
	code string
	err  error
}

func (e *cancelled) Error() string { return e.err.Error() }
func (e *cancelled) Unwrap() error { return e.err }

// code returns the error code of an answer, if there was one.
func codeOf(err error) string {
	if c, ok := errors.AsType[*cancelled](err); ok {
		return c.code
	}
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		return api.ErrorCode()
	}
	return ""
}

// fail says what an error of the database or its client means.
func fail(err error) error {
	if err == nil || isOurs(err) {
		return err
	}
	if m := meaningOf(codeOf(err)); m != nil {
		if m.sentinel != nil {
			return fmt.Errorf("%w: %s: %w", m.sentinel, m.text, err)
		}
		out := fmt.Errorf("es: dynamodb: %s: %w", m.text, err)
		if m.busy {
			return driver.Transient(out)
		}
		return out
	}
	switch ended := errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded); {
	case ended && isSlow(err):
		return fmt.Errorf("es: dynamodb: no answer in time: %v", err)
	case ended:
		return err
	}
	return fmt.Errorf("es: dynamodb: %w", err)
}

// failRead is fail for a request that only reads, or may be made again whatever
// became of it.
func failRead(err error) error {
	if err == nil || isOurs(err) {
		return err
	}
	out := fail(err) // hides the time of the transport
	if errors.Is(out, context.Canceled) || errors.Is(out, context.DeadlineExceeded) {
		return out
	}
	api, ok := errors.AsType[smithy.APIError](err)
	if !ok && isOfNetwork(err) || ok && api.ErrorFault() == smithy.FaultServer {
		return driver.Transient(out)
	}
	return out
}

// isOfNetwork reports whether the answer to a request was lost, or the request was
// never sent: what is no network's is of the client's configuration, such as no
// credentials.
func isOfNetwork(err error) bool {
	_, send := errors.AsType[*smithyhttp.RequestSendError](err)
	_, read := errors.AsType[*smithy.DeserializationError](err)
	_, quota := errors.AsType[ratelimit.QuotaExceededError](err) // of the client's own retries
	return send || read || quota
}

// isSlow reports whether a request could not be sent in the time that the client's
// transport has for it: the caller's context, which would be named so too, has not ended.
func isSlow(err error) bool {
	_, send := errors.AsType[*smithyhttp.RequestSendError](err)
	_, ended := errors.AsType[*smithy.CanceledError](err)
	return send && !ended
}

// isOurs reports whether an error has its meaning already.
func isOurs(err error) bool { return strings.HasPrefix(err.Error(), "es: ") }

// unsureError says that it is not known what became of a write.
type unsureError struct{ err error }

func (e *unsureError) Error() string { return e.err.Error() }
func (e *unsureError) Unwrap() error { return e.err }

// unknown returns the error of a write to parts whose outcome is not known, if err
// says so, and otherwise err.
func unknown(err error, parts ...driver.UnknownPart) error {
	u, ok := err.(*unsureError)
	if !ok {
		return err
	}
	return &driver.UnknownOutcomeError{Parts: parts, Err: fail(u.err)}
}

// refusedError says that a condition did not hold, and which item stood there: nil
// if there is none. There is one for each action of a transaction.
type refusedError struct {
	items []item
	err   error
}

func (e *refusedError) Error() string { return e.err.Error() }
func (e *refusedError) Unwrap() error { return e.err }

// refusal returns what a failed condition says, or err.
func refusal(err error) error {
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*types.ConditionalCheckFailedException](err); ok {
		return &refusedError{[]item{e.Item}, err}
	}
	e, ok := errors.AsType[*types.TransactionCanceledException](err)
	if !ok {
		return err
	}
	r := &refusedError{make([]item, len(e.CancellationReasons)), err}
	failed := false
	for i, why := range e.CancellationReasons {
		code := "None"
		if why.Code != nil {
			code = *why.Code
		}
		switch code {
		case "None":
		case "ConditionalCheckFailed":
			r.items[i], failed = why.Item, true
		default: // and the conditions may not all have been looked at
			return &cancelled{code, err}
		}
	}
	if !failed {
		return err
	}
	return r
}

func corrupt(format string, args ...any) error {
	return fmt.Errorf("%w: %s", driver.ErrCorrupt, fmt.Sprintf(format, args...))
}

func deleted(stream string) error {
	return &driver.StreamError{Stream: stream, Err: driver.ErrStreamDeleted}
}

// decided reports whether err says what became of a request, and that nothing of it
// was stored.
func decided(err error) bool {
	return errors.Is(err, driver.ErrConflict) || errors.Is(err, driver.ErrStreamDeleted) || errors.Is(err, driver.ErrStreamNotFound)
}
