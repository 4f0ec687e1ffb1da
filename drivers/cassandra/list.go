package cassandra

import (
	"context"
	"slices"
	"strings"

	"github.com/go-es/es/driver"
)

// ListStreams merges the shards of the registers, which follow the feed.
func (s *Store) ListStreams(ctx context.Context, q driver.ListQuery) (page driver.ListPage, err error) {
	err = s.reading(ctx, func(ctx context.Context) error {
		if err := s.seq.Advance(ctx); err != nil {
			return err
		}
		page, err = s.list(ctx, q)
		return err
	})
	if err != nil {
		return driver.ListPage{}, err
	}
	return page, nil
}

func (s *Store) list(ctx context.Context, q driver.ListQuery) (driver.ListPage, error) {
	limit := limited(q.Limit)
	low := q.Prefix
	if q.After >= low {
		low = q.After + "\x00"
	}
	each := limit/shards + 8
	found := make([][]driver.StreamInfo, shards)
	cut := make([]bool, shards)
	err := s.each(ctx, shards, func(ctx context.Context, shard int) error {
		it := s.query(ctx, s.texts.list, shard, low, each).Iter()
		var name string
		var v *int64
		n := 0
		for it.Scan(&name, &v) {
			if n++; !strings.HasPrefix(name, q.Prefix) {
				return it.Close()
			}
			if v == nil {
				it.Close()
				return corrupt("the register of stream %q has no version", name)
			}
			at := state{head: *v}
			found[shard] = append(found[shard], driver.StreamInfo{Stream: name, Version: at.version(), Closed: at.closed()})
		}
		cut[shard] = n == each
		return it.Close()
	})
	if err != nil {
		return driver.ListPage{}, err
	}
	var all []driver.StreamInfo
	end, last := true, ""
	for shard := range found {
		all = append(all, found[shard]...)
		if f := found[shard]; cut[shard] { // beyond its last one the others are ahead
			if name := f[len(f)-1].Stream; end || name < last {
				end, last = false, name
			}
		}
	}
	slices.SortFunc(all, func(a, b driver.StreamInfo) int { return strings.Compare(a.Stream, b.Stream) })
	page := driver.ListPage{End: end}
	for _, info := range all {
		if !end && info.Stream > last {
			break
		}
		if len(page.Streams) == limit {
			page.End = false
			break
		}
		page.Streams = append(page.Streams, info)
		page.Next = info.Stream
	}
	return page, nil
}
