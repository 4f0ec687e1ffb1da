package postgres

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/go-es/es/driver"
)

// What a pooler says that has no server passes: a read may be made again, and so may
// what was not sent; a write may have been carried out.
func TestPoolerWithoutServer(t *testing.T) {
	for _, severity := range []string{"ERROR", "FATAL"} {
		err := &pgconn.PgError{Code: "08P01", SeverityUnlocalized: severity, Message: "server login has been failing"}
		if !driver.IsTransient(failRead(err)) || !driver.IsTransient(notSent(context.Background(), err)) {
			t.Errorf("%s: %v is for good", severity, failRead(err))
		}
		if !unsure(err) {
			t.Errorf("%s: a write was not carried out, it says", severity)
		}
	}
	if err := fail(&pgconn.PgError{Code: "25006", SeverityUnlocalized: "ERROR"}); !driver.IsTransient(err) {
		t.Errorf("%v is for good", err)
	}
}
