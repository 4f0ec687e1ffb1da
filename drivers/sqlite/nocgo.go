//go:build !cgo

package sqlite

import sqldriver "database/sql/driver"

func connect(string) (sqldriver.Conn, error) { return nil, errNoSQLite }

func mattnCode(error) int { return 0 }
