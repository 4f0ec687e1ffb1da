//go:build !cgo

package sqlite

import (
	sqldriver "database/sql/driver"
	"errors"
)

func connect(string) (sqldriver.Conn, error) {
	return nil, errors.New("es: sqlite: this program was built without cgo and has no SQLite in it: install a C compiler and build it with CGO_ENABLED=1, or open the database with modernc.org/sqlite, which needs none, and pass the *sql.DB to sqlite.New")
}

func mattnCode(error) int { return 0 }
