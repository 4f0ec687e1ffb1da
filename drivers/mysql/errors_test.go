package mysql

import (
	"testing"

	client "github.com/go-sql-driver/mysql"
)

// An answer that is not the server's own says nothing of what became of a statement, nor
// does one that comes when other members of a group may have the transaction, or when a
// file could not be written.
func TestForeignErrors(t *testing.T) {
	for number, unsure := range map[uint16]bool{
		1062: false, 1142: false, 1205: false, 1290: false, // the server's
		3: true, 29: true, 999: true, // of files
		3100: true, 3101: true, // group replication, at the commit
		1053: true, 1105: true,
		2006: true, 2013: true, // "Lost connection to server during query", of ProxySQL
		9001: true, // "Max connect timeout reached", of ProxySQL
	} {
		if err := answer(&client.MySQLError{Number: number}); lost(err) != unsure || unsent(err) || serverError(err) != number {
			t.Errorf("%d: %T", number, err)
		}
	}
}
