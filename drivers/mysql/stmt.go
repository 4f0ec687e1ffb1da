package mysql

import (
	"context"
	sqldriver "database/sql/driver"
	"strings"
)

// The statements that are run most are prepared on the store's own connections:
// the server need not read them again, and what they bring comes as it is. On
// other connections their parameters are written into the text, which takes one
// round trip as well.

type stmt int

const (
	readForward   stmt = iota // the versions of a stream from one to another
	readMiddle                // the same, and with the last of them what the stream's last row is
	readBackward              // the same, downward
	readLast                  // the last ones, downward
	readFeed                  // a page of the feed, after a position
	readFeedSince             // the same, and the event at another position before
	readState                 // the last row of a stream
	readSnapshot
	insertOne // an event whose base was checked
	stmts
)

// stmtTexts are the texts: {NAME} is a table with the store's prefix.
var stmtTexts = [stmts]string{
	// With both ends of the range the server sees that it is small. MariaDB else
	// reads the stream from its beginning, and passes over what is not wanted.
	readForward:   "SELECT " + ofStream + " FROM {events} WHERE stream=? AND version BETWEEN ? AND ? ORDER BY version",
	readMiddle:    "SELECT " + ofStream + ",IF(version=?,(SELECT version*8+kind FROM {events} WHERE stream=? ORDER BY version DESC LIMIT 1),NULL) FROM {events} WHERE stream=? AND version BETWEEN ? AND ? ORDER BY version",
	readBackward:  "SELECT " + ofStream + " FROM {events} WHERE stream=? AND version BETWEEN ? AND ? ORDER BY version DESC",
	readLast:      "SELECT " + ofStream + " FROM {events} WHERE stream=? ORDER BY version DESC LIMIT ?",
	readFeed:      "SELECT " + ofFeed + " FROM {events} WHERE position>? ORDER BY position LIMIT ?",
	readFeedSince: "SELECT " + ofFeed + " FROM {events} WHERE position>? OR position=? ORDER BY position LIMIT ?",
	readState:     "SELECT " + stateColumns + " FROM {events} WHERE stream=? ORDER BY version DESC LIMIT 1",
	readSnapshot:  "SELECT version,event_id,encoding,data FROM {snapshots} WHERE stream=? AND kind=?",
	insertOne:     "INSERT INTO {events} (kind,stream,version,id,type,encoding,time,size,tags,metadata,data) VALUES (0,?,?,?,?,?,?,?,?,?,?)",
}

// Errors of a server about prepared statements.
const (
	errUnknownStmt = 1243
	errManyStmts   = 1461
)

// named returns arguments as the client takes them: strings, bytes and int64.
func named(args []any) []sqldriver.NamedValue {
	values := make([]sqldriver.NamedValue, len(args))
	for i, a := range args {
		values[i] = sqldriver.NamedValue{Ordinal: i + 1, Value: a}
	}
	return values
}

// ask runs a statement, and calls f with each row, as session.query does.
func (s *Store) ask(ctx context.Context, ses *session, st stmt, f func(row []sqldriver.Value) error, args ...any) error {
	for again := true; ; again = false {
		p, err := s.prepare(ctx, ses, st)
		if err != nil {
			return err
		}
		if p == nil {
			return ses.query(ctx, filled(s.texts[st], args), f)
		}
		rows, err := p.(sqldriver.StmtQueryContext).QueryContext(ctx, named(args))
		if err == nil {
			return eachRow(rows, f)
		}
		if serverError(err) == errUnknownStmt && again {
			ses.own.prepared[st] = nil
			continue
		}
		return answer(err)
	}
}

// do runs a statement that has no rows.
func (s *Store) do(ctx context.Context, ses *session, st stmt, args ...any) (sqldriver.Result, error) {
	for again := true; ; again = false {
		p, err := s.prepare(ctx, ses, st)
		if err != nil {
			return nil, err
		}
		if p == nil {
			return ses.exec(ctx, filled(s.texts[st], args))
		}
		res, err := p.(sqldriver.StmtExecContext).ExecContext(ctx, named(args))
		if serverError(err) == errUnknownStmt && again {
			ses.own.prepared[st] = nil
			continue
		}
		if meaningOf(serverError(err)) == demoted {
			ses.drop = true
		}
		return res, answer(err)
	}
}

// prepare returns the statement prepared on the session's connection, nil if it is
// to be sent as text.
func (s *Store) prepare(ctx context.Context, ses *session, st stmt) (sqldriver.Stmt, error) {
	own := ses.own
	if own == nil || own.plain {
		return nil, nil
	}
	if p := own.prepared[st]; p != nil {
		return p, nil
	}
	p, err := own.Conn.(sqldriver.ConnPrepareContext).PrepareContext(ctx, s.texts[st])
	if serverError(err) == errManyStmts {
		own.plain = true
		return nil, nil
	}
	if err != nil {
		if err = answer(err); lost(err) {
			err = &unsentError{err} // nothing was carried out
		}
		return nil, err
	}
	own.prepared[st] = p
	return p, nil
}

// filled returns a text with arguments in the places of its question marks.
func filled(template string, args []any) string {
	t := make(text, 0, len(template)+64*len(args))
	for _, a := range args {
		before, after, _ := strings.Cut(template, "?")
		t = append(t, before...)
		if s, ok := a.(string); ok {
			a = name(s)
		}
		t.add(a)
		template = after
	}
	return string(append(t, template...))
}
