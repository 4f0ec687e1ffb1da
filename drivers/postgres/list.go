package postgres

import (
	"context"
	"strings"

	"github.com/go-es/es/driver"
)

// ListStreams returns a page of the names of streams.
func (s *Store) ListStreams(ctx context.Context, q driver.ListQuery) (page driver.ListPage, err error) {
	err = s.read(ctx, func(ctx context.Context, ses *session) error {
		page, err = list(ctx, ses, q)
		return err
	})
	return page, err
}

func list(ctx context.Context, ses *session, q driver.ListQuery) (driver.ListPage, error) {
	n := pageSize(q.Limit)
	page := driver.ListPage{End: true}
	done := false
	err := ses.run(ctx, listStreams, func(row [][]byte) error {
		name := string(row[0])
		version, ok1 := natural(row[1])
		closed, ok2 := natural(row[2])
		if !ok1 || !ok2 {
			return corrupt("the row of stream %q cannot be", name)
		}
		if done = done || !strings.HasPrefix(name, q.Prefix); done {
			return nil
		}
		if len(page.Streams) == n {
			page.End = false
			return nil
		}
		page.Streams = append(page.Streams, driver.StreamInfo{Stream: name, Version: driver.Version(version), Closed: closed != open})
		page.Next = name
		return nil
	}, []byte(q.After), []byte(q.Prefix), bigint(uint64(n)+1))
	if err != nil {
		return driver.ListPage{}, err
	}
	return page, nil
}
