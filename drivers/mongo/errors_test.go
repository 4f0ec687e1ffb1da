package mongo

import (
	"testing"

	client "go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/go-es/es/driver"
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
