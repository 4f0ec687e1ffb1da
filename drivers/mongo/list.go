package mongo

import (
	"context"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/go-es/es/driver"
)

// listStreams is how many streams a page has without a limit, and at most.
const listStreams = 500

// ListStreams returns a page of the names of streams: one command for the names and
// one for each stream, several at a time.
func (s *Store) ListStreams(ctx context.Context, q driver.ListQuery) (driver.ListPage, error) {
	limit := listStreams
	if q.Limit > 0 {
		limit = min(q.Limit, listStreams)
	}
	page := driver.ListPage{End: true}
	err := s.read(ctx, func(ctx context.Context) error {
		filter := bson.D{{Key: fieldStream, Value: bson.D{{Key: "$gte", Value: q.Prefix}, {Key: "$gt", Value: q.After}}}}
		opts := options.Find().SetSort(byField(fieldStream, 1)).SetHint(streamIndex).SetProjection(bson.D{{Key: fieldStream, Value: 1}}).
			SetLimit(int64(limit) + 1).SetBatchSize(int32(limit) + 2)
		cur, err := s.commits.Find(ctx, filter, opts)
		_, err = scan(ctx, cur, err, func(doc bson.Raw) (bool, error) {
			e, _ := lookup(doc, fieldStream)
			name, ok := e.text()
			switch {
			case !ok:
				return false, corrupt("a commit whose field %s is no string", fieldStream)
			case !strings.HasPrefix(string(name), q.Prefix):
				return false, nil
			case len(page.Streams) == limit:
				page.End = false
				return false, nil
			}
			page.Streams = append(page.Streams, driver.StreamInfo{Stream: string(name)})
			return true, nil
		})
		if err != nil {
			return err
		}
		at := make([]*driver.StreamInfo, len(page.Streams))
		for i := range page.Streams {
			at[i] = &page.Streams[i]
		}
		return together(at, func(info *driver.StreamInfo) error {
			last, err := s.tail(ctx, info.Stream)
			info.Version, info.Closed = last.state().Head, last.state().Closed
			return err
		})
	})
	if err != nil {
		return driver.ListPage{}, err
	}
	if n := len(page.Streams); n > 0 {
		page.Next = page.Streams[n-1].Stream
	}
	return page, nil
}
