package mysql

import (
	"context"
	sqldriver "database/sql/driver"
	"strings"

	"github.com/go-es/es/driver"
)

// ListStreams returns a page of the names of streams.
func (s *Store) ListStreams(ctx context.Context, q driver.ListQuery) (page driver.ListPage, err error) {
	err = s.read(ctx, func(ctx context.Context, ses *session) error {
		page, err = s.list(ctx, ses, q)
		return err
	})
	if err != nil {
		return driver.ListPage{}, err
	}
	return page, nil
}

func (s *Store) list(ctx context.Context, ses *session, q driver.ListQuery) (driver.ListPage, error) {
	n := pageSize(q.Limit)
	// The names are found by jumping from one to the next in the key; fillers
	// have the empty name.
	var t text
	t.add("SELECT t.stream,t.v,e.kind FROM (SELECT stream,MAX(version) v FROM ", s.events, " WHERE stream>", name(q.After))
	if q.Prefix > q.After {
		t.add(" AND stream>=", name(q.Prefix))
	}
	t.add(" GROUP BY stream ORDER BY stream LIMIT ", n+1, ") t JOIN ", s.events, " e ON e.stream=t.stream AND e.version=t.v ORDER BY t.stream")
	page := driver.ListPage{End: true}
	err := ses.query(ctx, string(t), func(row []sqldriver.Value) error {
		stream, version, kind := str(row[0]), integer(row[1]), integer(row[2])
		if stream == "" || version < 1 || kind != kindEvent && kind != kindTombstone && kind != kindPurge {
			return corrupt("the last event of stream %q cannot be what was stored", stream)
		}
		if !strings.HasPrefix(stream, q.Prefix) {
			return errStop
		}
		if len(page.Streams) == n {
			page.End = false
			return errStop
		}
		page.Streams = append(page.Streams, driver.StreamInfo{Stream: stream, Version: driver.Version(version), Closed: kind != kindEvent})
		page.Next = stream
		return nil
	})
	return page, err
}
