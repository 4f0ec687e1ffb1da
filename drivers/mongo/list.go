package mongo

import (
	"context"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/go-es/es/driver"
)

const (
	// listStreams is how many streams a page has without a limit, and at most.
	listStreams = 500

	// A listing looks at so many commits at a time: at more where streams are short,
	// and at fewer where they are long.
	fewCommits, someCommits, manyCommits = 4, 64, 512
)

// justEnds is what of a commit says where it ends.
var justEnds = bson.D{{Key: fieldCount, Value: 1}, {Key: fieldCloses, Value: 1}}

// ListStreams returns a page of the names of streams.
func (s *Store) ListStreams(ctx context.Context, q driver.ListQuery) (page driver.ListPage, _ error) {
	limit := listStreams
	if q.Limit > 0 {
		limit = min(q.Limit, listStreams)
	}
	err := s.read(ctx, func(ctx context.Context) (err error) {
		page.Streams, page.End, err = s.list(ctx, q, limit)
		return err
	})
	if err != nil {
		return driver.ListPage{}, err
	}
	if n := len(page.Streams); n > 0 {
		page.Next = page.Streams[n-1].Stream
	}
	return page, nil
}

// list returns up to limit streams, and whether there are no more. The index of _id has the commits in order of
// their streams: short streams are read from one to the next, with all of their
// commits, and of a long one the rest is left out.
func (s *Store) list(ctx context.Context, q driver.ListQuery, limit int) (streams []driver.StreamInfo, end bool, _ error) {
	streams, end = make([]driver.StreamInfo, 0, limit), true
	var long []*driver.StreamInfo // those of which the end was not seen
	for from, size := max(q.Prefix, high(q.After)), someCommits; ; {
		seen, begun := 0, 0
		cur, err := s.commits.Find(ctx, bson.D{{Key: fieldID, Value: bson.D{{Key: "$gte", Value: from}}}},
			options.Find().SetSort(ascending).SetProjection(justEnds).SetLimit(int64(size)).SetBatchSize(int32(size)+1))
		all, err := scan(ctx, cur, err, func(doc bson.Raw) (bool, error) {
			stream, last, closes, err := endOf(doc)
			if err != nil || !strings.HasPrefix(stream, q.Prefix) {
				return false, err
			}
			seen++
			if n := len(streams); n == 0 || streams[n-1].Stream != stream {
				if n == limit {
					end = false
					return false, nil
				}
				streams = append(streams, driver.StreamInfo{Stream: stream})
				begun++
			}
			info := &streams[len(streams)-1]
			info.Version, info.Closed = last, closes
			return true, nil
		})
		if err != nil {
			return nil, false, err
		}
		if !all || seen < size {
			break
		}
		info := &streams[len(streams)-1]
		if begun >= max(size/4, 2) {
			from, size = key(info.Stream, info.Version+1), min(2*size, manyCommits)
		} else {
			long = append(long, info)
			from, size = high(info.Stream), max(size/2, fewCommits)
		}
	}
	return streams, end, together(long, func(info *driver.StreamInfo) error {
		last, err := s.tail(ctx, info.Stream)
		info.Version, info.Closed = last.state().Head, last.state().Closed
		return err
	})
}

// endOf returns with which version of its stream a commit ends, and whether that
// closes the stream.
func endOf(doc bson.Raw) (stream string, last driver.Version, closes bool, _ error) {
	id, _ := lookup(doc, fieldID)
	k, _ := id.text()
	name, first, ok := split(k)
	n, _ := lookup(doc, fieldCount)
	count, whole := n.number()
	if !ok || !whole || count < 1 {
		return "", 0, false, corrupt("the commit %q cannot be read", k)
	}
	_, closes = lookup(doc, fieldCloses)
	return string(name), first + driver.Version(count) - 1, closes, nil
}
