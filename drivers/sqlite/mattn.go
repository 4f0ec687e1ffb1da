//go:build cgo

package sqlite

import (
	sqldriver "database/sql/driver"
	"errors"

	"github.com/mattn/go-sqlite3"
)

// connect opens a connection of the store's own.
func connect(uri string) (sqldriver.Conn, error) {
	return new(sqlite3.SQLiteDriver).Open(uri)
}

// mattnCode returns the extended result code of an error of mattn/go-sqlite3,
// whose errors have fields and no methods, or 0.
func mattnCode(err error) int {
	var e sqlite3.Error
	if !errors.As(err, &e) {
		return 0
	}
	return max(int(e.ExtendedCode), int(e.Code))
}
