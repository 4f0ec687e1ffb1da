package sqlite

import (
	"context"
	sqldriver "database/sql/driver"
	"strings"

	"github.com/go-es/es/driver"
)

// ListStreams returns a page of the names of streams.
func (s *Store) ListStreams(ctx context.Context, q driver.ListQuery) (page driver.ListPage, err error) {
	err = s.read(ctx, func(ses session) error {
		page, err = list(ctx, ses, q)
		return err
	})
	return page, err
}

func list(ctx context.Context, ses session, q driver.ListQuery) (driver.ListPage, error) {
	n := pageSize(q.Limit)
	page := driver.ListPage{End: true}
	err := ses.query(listStreams, func(row []sqldriver.Value) error {
		name, ok1 := row[0].(string)
		closed, ok2 := row[1].(int64)
		version, ok3 := row[2].(int64)
		if !ok1 || !ok2 || !ok3 {
			return corrupt("the row of stream %v is %v", row[0], row)
		}
		if !strings.HasPrefix(name, q.Prefix) {
			return errStop
		}
		if len(page.Streams) == n {
			page.End = false
			return errStop
		}
		page.Streams = append(page.Streams, driver.StreamInfo{Stream: name, Version: driver.Version(version), Closed: closed != open})
		page.Next = name
		if len(page.Streams)%64 == 0 {
			return ctx.Err()
		}
		return nil
	}, q.After, q.Prefix, int64(n)+1)
	if err != nil {
		return driver.ListPage{}, err
	}
	return page, nil
}
