package benchtest

import (
	"database/sql"
	"encoding/json"
)

// SQLEvent is what raw code scans of an event.
type SQLEvent struct {
	Position, Version, Time int64
	Stream, Type, Encoding  string
	ID, Metadata, Data      []byte
}

// DecodeRows calls f with the event of each row, scanned and decoded one by one, and
// closes the rows. columns says where a row's values go.
func DecodeRows(rows *sql.Rows, f func(*Deposited), columns func(*SQLEvent) []any) error {
	defer rows.Close()
	for rows.Next() {
		var e SQLEvent
		if err := rows.Scan(columns(&e)...); err != nil {
			return err
		}
		var d Deposited
		if err := json.Unmarshal(e.Data, &d); err != nil {
			return err
		}
		f(&d)
	}
	return rows.Err()
}
