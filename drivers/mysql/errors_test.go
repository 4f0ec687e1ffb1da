package mysql

import (
	"testing"

	client "github.com/go-sql-driver/mysql"
)

// An answer that is not the server's own says nothing of what became of a statement.
func TestForeignErrors(t *testing.T) {
	for number, unsure := range map[uint16]bool{
		1062: false, 1142: false, 1205: false, 3100: false, // the server's
		1053: true, 1105: true,
		2006: true, 2013: true, // "Lost connection to server during query", of ProxySQL
		9001: true, // "Max connect timeout reached", of ProxySQL
	} {
		if err := answer(&client.MySQLError{Number: number}); lost(err) != unsure || unsent(err) || serverError(err) != number {
			t.Errorf("%d: %T", number, err)
		}
	}
}
