package conformance

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-es/es/driver"
)

// Mutants: reading a stream, and listing them.
var streamMutants = []mutant{
	// Reading a stream.
	{name: "reads from one later", rules: "S1", checks: "stream/forward", with: streamed(func(s *toyStore, ctx context.Context, q streamQuery) (streamPage, error) {
		if !q.Backward && q.From > 1 {
			q.From++
		}
		return s.ReadStream(ctx, q)
	})},
	{name: "takes a full page for the end", rules: "S3", checks: "stream/forward", with: streamPaged(func(q streamQuery, p *streamPage) {
		p.End = p.End || len(p.Records) == 2
	})},
	{name: "ignores limits", rules: "S3", checks: "stream/forward stream/backward", with: streamed(func(s *toyStore, ctx context.Context, q streamQuery) (streamPage, error) {
		q.Limit = 0
		return s.ReadStream(ctx, q)
	})},
	{name: "reads backward below From", rules: "S2", checks: "stream/backward", with: streamed(func(s *toyStore, ctx context.Context, q streamQuery) (streamPage, error) {
		if q.Backward && q.From > 1 {
			q.From--
		}
		return s.ReadStream(ctx, q)
	})},
	{name: "reads pages of a backward read forward", rules: "S2", checks: "stream/backward", with: streamPaged(func(q streamQuery, p *streamPage) {
		if q.Backward {
			slices.Reverse(p.Records)
		}
	})},
	{name: "has no missing streams", rules: "S4", checks: "stream/missing", with: streamed(func(s *toyStore, ctx context.Context, q streamQuery) (streamPage, error) {
		p, err := s.ReadStream(ctx, q)
		if errors.Is(err, driver.ErrStreamNotFound) {
			return streamPage{End: true}, nil
		}
		return p, err
	})},
	{name: "finds nothing beyond the end", rules: "S5", checks: "stream/beyond", with: streamed(func(s *toyStore, ctx context.Context, q streamQuery) (streamPage, error) {
		p, err := s.ReadStream(ctx, q)
		if err == nil && len(p.Records) == 0 {
			return streamPage{}, &driver.StreamError{Stream: q.Stream, Err: driver.ErrStreamNotFound}
		}
		return p, err
	})},
	{name: "takes the last record of the page for the head", rules: "S6 S2 S5", checks: "stream/head stream/beyond", with: streamPaged(func(q streamQuery, p *streamPage) {
		p.Head = 0
		for _, r := range p.Records {
			p.Head = max(p.Head, r.Version)
		}
	})},
	{name: "pages by number", rules: "S1", checks: "stream/growing stream/large", with: streamed(func(s *toyStore, ctx context.Context, q streamQuery) (streamPage, error) {
		p, err := s.ReadStream(ctx, q)
		if err == nil && q.From > 2 && !q.Backward && len(p.Records) > 1 {
			p.Records = p.Records[1:]
		}
		return p, err
	})},
	{name: "looks for the events of a stream, and then whether there is one", rules: "S3", checks: "stream/born", with: streamed(func(s *toyStore, ctx context.Context, q streamQuery) (streamPage, error) {
		p, err := s.ReadStream(ctx, q)
		if errors.Is(err, driver.ErrStreamNotFound) {
			time.Sleep(time.Millisecond)
			if p, err := s.ReadStream(ctx, q); err == nil {
				p.Records = nil
				return p, nil
			}
		}
		return p, err
	})},
	{name: "loses what does not fit into a page", rules: "S1 S2 S3", checks: "stream/large", set: func(y *toy) { y.page = 100 }, with: streamPaged(func(q streamQuery, p *streamPage) {
		p.End = p.End || len(p.Records) == 100
	})},

	// Listing.
	{name: "lists in an order of its own", rules: "L1 L2", checks: "list/order names/streams", with: listed(func(s *toyStore, ctx context.Context, q driver.ListQuery) (driver.ListPage, error) {
		p, err := s.ListStreams(ctx, q)
		slices.SortFunc(p.Streams, func(a, b driver.StreamInfo) int {
			return cmp.Or(cmp.Compare(strings.ToLower(a.Stream), strings.ToLower(b.Stream)), cmp.Compare(a.Stream, b.Stream))
		})
		return p, err
	})},
	{name: "lists prefixes as patterns", rules: "L1", checks: "list/order", with: listed(func(s *toyStore, ctx context.Context, q driver.ListQuery) (driver.ListPage, error) {
		if before, _, found := strings.Cut(q.Prefix, "%"); found {
			q.Prefix = before
		}
		return s.ListStreams(ctx, q)
	})},
	{name: "lists After again", rules: "L1 L2", checks: "list/order list/pages", with: listed(func(s *toyStore, ctx context.Context, q driver.ListQuery) (driver.ListPage, error) {
		after := q.After
		if q.After != "" {
			q.After = q.After[:len(q.After)-1]
		}
		p, err := s.ListStreams(ctx, q)
		p.Streams = slices.DeleteFunc(p.Streams, func(i driver.StreamInfo) bool { return i.Stream < after })
		return p, err
	})},
	{name: "lists streams that were never born", rules: "L1 L2", checks: "list/order", with: func() overrides {
		var mu sync.Mutex
		tried := map[string]bool{}
		return overrides{
			append: func(s *toyStore, ctx context.Context, req appendRequest) (appendResult, error) {
				mu.Lock()
				tried[req.Parts[0].Stream] = true
				mu.Unlock()
				return s.Append(ctx, req)
			},
			list: func(s *toyStore, ctx context.Context, q driver.ListQuery) (driver.ListPage, error) {
				mu.Lock()
				defer mu.Unlock()
				page := driver.ListPage{End: true}
				for name := range tried {
					if strings.HasPrefix(name, q.Prefix) && name > q.After {
						page.Streams = append(page.Streams, driver.StreamInfo{Stream: name})
					}
				}
				slices.SortFunc(page.Streams, func(a, b driver.StreamInfo) int { return cmp.Compare(a.Stream, b.Stream) })
				return page, nil
			},
		}
	}},
	{name: "takes a full page of a listing for the end", rules: "L2", checks: "list/pages", with: listed(func(s *toyStore, ctx context.Context, q driver.ListQuery) (driver.ListPage, error) {
		p, err := s.ListStreams(ctx, q)
		p.End = p.End || len(p.Streams) == 7
		return p, err
	})},
	{name: "skips a stream between pages", rules: "L2", checks: "list/pages", with: listed(func(s *toyStore, ctx context.Context, q driver.ListQuery) (driver.ListPage, error) {
		p, err := s.ListStreams(ctx, q)
		if !p.End {
			p.Next += "0"
		}
		return p, err
	})},
	{name: "lists a version too many", rules: "L3", checks: "list/versions", with: listed(func(s *toyStore, ctx context.Context, q driver.ListQuery) (driver.ListPage, error) {
		p, err := s.ListStreams(ctx, q)
		for i := range p.Streams {
			p.Streams[i].Version++
		}
		return p, err
	})},
	{name: "does not list that streams are closed", rules: "L3", checks: "list/versions", with: listed(func(s *toyStore, ctx context.Context, q driver.ListQuery) (driver.ListPage, error) {
		p, err := s.ListStreams(ctx, q)
		for i := range p.Streams {
			p.Streams[i].Closed = false
		}
		return p, err
	})},
	{name: "lists what was", rules: "L4", checks: "list/current", set: func(y *toy) { y.lag = 5 * time.Millisecond }},
	{name: "lags for ever", rules: "L4", checks: "list/current", set: func(y *toy) { y.caps.ListLag, y.lag = true, time.Hour }},
}
