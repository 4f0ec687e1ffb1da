package mongo

import (
	"testing"

	client "go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/go-es/es/driver"
	"github.com/go-es/es/internal/gate"
)

// Where the client may have sent a write twice, a refusal by a server that is no
// primary is that of the second request: the first may have been carried out.
func TestNotPrimary(t *testing.T) {
	for _, err := range []error{
		client.CommandError{Code: 10107},
		client.WriteException{WriteErrors: client.WriteErrors{{Code: 13435}}},
	} {
		if own := (&Store{own: true}).failWrite(t.Context(), err); !driver.IsTransient(own) {
			t.Errorf("%v, of a client without retries: %v", err, own)
		}
		if other := (&Store{}).failWrite(t.Context(), err); driver.IsTransient(other) || !isUnsure(other) {
			t.Errorf("%v, of a caller's client: %v", err, other)
		}
	}
	all := options.MergeClientOptions(options.Client().ApplyURI("mongodb://h/d?retryWrites=true"), ownRetries())
	if all.RetryWrites == nil || *all.RetryWrites {
		t.Error("the client's own retries of writes are on")
	}
}

// cleared is how the client says that a request waited for a connection of a pool that
// was cleared.
type cleared struct{}

func (cleared) Error() string   { return "pool cleared" }
func (cleared) Retryable() bool { return true }

// What a client says of the last of several requests is nothing of the first one; and
// what it says of a write concern is nothing against the write.
func TestUnsure(t *testing.T) {
	overloaded := client.CommandError{Code: 462, Labels: []string{"SystemOverloadedError"}}
	concern := client.WriteException{WriteConcernError: &client.WriteConcernError{Code: 10107}}
	for _, row := range []struct {
		name       string
		err        error
		own, other bool // whether the outcome is known
	}{
		{"the pool was cleared", cleared{}, true, false},
		{"too much to do", overloaded, true, false},
		{"a write concern", concern, false, false},
	} {
		for _, own := range []bool{true, false} {
			s := &Store{own: own, gate: gate.New()}
			err := s.failWrite(t.Context(), row.err)
			if known := row.own && own || row.other && !own; isUnsure(err) == known || known && !driver.IsTransient(err) {
				t.Errorf("%s, own client %t: %v", row.name, own, err)
			}
		}
	}
	if err := (&Store{gate: gate.New()}).failRead(t.Context(), overloaded); !driver.IsTransient(err) {
		t.Errorf("a read: %v", err)
	}
}
