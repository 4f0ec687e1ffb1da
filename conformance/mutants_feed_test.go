package conformance

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"sync"

	"github.com/go-es/es/driver"
)

// Mutants: the feed.
var feedMutants = []mutant{
	{name: "skips an event between pages", rules: "F1 F2 F9 F3", checks: "feed/pages feed/large", with: fedPaged(func(q feedQuery, p *page) {
		if !p.End && q.Limit > 0 {
			p.Next++
		}
	})},
	{name: "repeats the last event of a page", rules: "F1 F3", checks: "feed/pages", with: fedPaged(func(q feedQuery, p *page) {
		if !p.End && len(p.Records) > 1 {
			last := p.Records[len(p.Records)-2]
			p.Next, p.Seen = last.Position, driver.Seen{Position: last.Position, ID: last.ID}
		}
	})},
	{name: "returns more than the limit", rules: "F4", checks: "feed/pages", with: fed(func(s *toyStore, ctx context.Context, q feedQuery) (page, error) {
		if q.Limit > 0 && q.Limit < 1000 {
			q.Limit++
		}
		return s.ReadAll(ctx, q)
	})},
	{name: "returns After again", rules: "F3 F1", checks: "feed/pages", with: fed(func(s *toyStore, ctx context.Context, q feedQuery) (page, error) {
		p, err := s.ReadAll(ctx, q)
		if q.After > 0 && err == nil {
			before, _ := s.ReadAll(ctx, feedQuery{After: q.After - 1, Limit: 1})
			p.Records = append(before.Records, p.Records...)
			p.Records = p.Records[:max(0, min(len(p.Records), cmp.Or(q.Limit, 1000)))]
		}
		return p, err
	})},
	{name: "goes back", rules: "F3", checks: "feed/pages", with: fedPaged(func(q feedQuery, p *page) {
		if len(p.Records) == 0 {
			p.Next = 0
		}
	})},
	{name: "never says End", rules: "F5", checks: "feed/rest", with: fedPaged(func(q feedQuery, p *page) { p.End = false })},
	{name: "says End too early", rules: "F9", checks: "feed/rest feed/end", with: fedPaged(func(q feedQuery, p *page) { p.End = len(p.Records) < 4 || p.End })},
	{name: "returns other positions from Append", rules: "F7 R4", checks: "feed/positions", with: appended(func(s *toyStore, ctx context.Context, req appendRequest) (appendResult, error) {
		res, err := s.Append(ctx, req)
		for i := range res.Parts {
			res.Parts[i].Position++
		}
		return res, err
	})},
	{name: "gives each client a block of positions", rules: "F2 F6 F7 F8", checks: "feed/positions feed/answers feed/order feed/writers", set: func(y *toy) { y.blocks, y.caps.Gapless = true, false }},
	{name: "puts what comes late first", rules: "F2 F8", checks: "feed/answers", set: func(y *toy) {
		y.blocks, y.caps.Gapless, y.caps.PositionOnAppend = true, false, false
	}, with: func() overrides {
		return overrides{append: func(s *toyStore, ctx context.Context, req appendRequest) (appendResult, error) {
			res, err := s.Append(ctx, req)
			for i := range res.Parts {
				res.Parts[i].Position = 0
			}
			return res, err
		}}
	}},
	{name: "filters by a part of the stream's name", rules: "F10", checks: "feed/filter", with: fed(func(s *toyStore, ctx context.Context, q feedQuery) (page, error) {
		f := q.Filter
		q.Filter = driver.Filter{Types: f.Types}
		p, err := s.ReadAll(ctx, q)
		p.Records = slices.DeleteFunc(p.Records, func(r stored) bool {
			return len(f.Prefixes) > 0 && !slices.ContainsFunc(f.Prefixes, func(p string) bool { return strings.Contains(r.Stream, p) })
		})
		return p, err
	})},
	{name: "looks at the first type alone", rules: "F10", checks: "feed/filter", with: fed(func(s *toyStore, ctx context.Context, q feedQuery) (page, error) {
		q.Filter.Types = q.Filter.Types[:min(len(q.Filter.Types), 1)]
		return s.ReadAll(ctx, q)
	})},
	{name: "stays at the last match", rules: "F10 F5", checks: "feed/filter", with: fedPaged(func(q feedQuery, p *page) {
		if p.Next = q.After; len(p.Records) > 0 {
			p.Next = p.Records[len(p.Records)-1].Position
		}
	})},
	{name: "reads beyond the end", rules: "F11", checks: "feed/beyond", with: fed(func(s *toyStore, ctx context.Context, q feedQuery) (page, error) {
		p, err := s.ReadAll(ctx, q)
		if errors.Is(err, driver.ErrCheckpointAhead) && q.Seen.Position == 0 {
			return page{Next: q.After, End: true}, nil
		}
		return p, err
	})},
	{name: "knows its end late", rules: "F11", checks: "feed/beyond", with: func() overrides {
		var mu sync.Mutex
		known := map[*toyStore]driver.Position{}
		return overrides{feed: func(s *toyStore, ctx context.Context, q feedQuery) (page, error) {
			mu.Lock()
			defer mu.Unlock()
			if q.After > known[s] && known[s] > 0 {
				known[s], _ = s.Head(ctx) // a replica: the next call knows more
				return page{}, driver.ErrCheckpointAhead
			}
			p, err := s.ReadAll(ctx, q)
			known[s] = max(known[s], p.Next)
			return p, err
		}}
	}},
	{name: "does not look at what was seen", rules: "F12", checks: "feed/seen feed/restored", with: fed(func(s *toyStore, ctx context.Context, q feedQuery) (page, error) {
		q.Seen = driver.Seen{}
		return s.ReadAll(ctx, q)
	})},
	{name: "counts the event that was seen as one of the page", rules: "F9 F1", checks: "feed/pages", with: fedPaged(func(q feedQuery, p *page) {
		p.End = p.End || q.Seen.Position > 0 && len(p.Records) > 0 && len(p.Records) == q.Limit
	})},
	{name: "says that the last match was seen last", rules: "F16", checks: "feed/page-seen", with: fed(func(s *toyStore, ctx context.Context, q feedQuery) (page, error) {
		p, err := s.ReadAll(ctx, q)
		if p.Seen = q.Seen; len(p.Records) > 0 {
			last := p.Records[len(p.Records)-1]
			p.Seen = driver.Seen{Position: last.Position, ID: last.ID}
		}
		return p, err
	})},
	{name: "says that another event was seen last", rules: "F16", checks: "feed/page-seen", with: fed(func(s *toyStore, ctx context.Context, q feedQuery) (page, error) {
		p, err := s.ReadAll(ctx, q)
		p.Seen.ID[0]++
		return p, err
	})},
	{name: "looks at what was seen through the filter", rules: "F12", checks: "feed/seen", with: fed(func(s *toyStore, ctx context.Context, q feedQuery) (page, error) {
		if q.Seen.Position > 0 {
			p, err := s.ReadAll(ctx, feedQuery{After: q.Seen.Position - 1, Limit: 1, Filter: q.Filter})
			if err != nil || len(p.Records) == 0 || p.Records[0].ID != q.Seen.ID {
				return page{}, driver.ErrCheckpointAhead
			}
		}
		return s.ReadAll(ctx, q)
	})},
	{name: "begins Head at 1", rules: "F13", checks: "feed/head", with: func() overrides {
		return overrides{head: func(s *toyStore, ctx context.Context) (driver.Position, error) {
			p, err := s.Head(ctx)
			return max(p, 1), err
		}}
	}},
	{name: "has a Head that is behind", rules: "F13", checks: "feed/head", with: func() overrides {
		return overrides{head: func(s *toyStore, ctx context.Context) (driver.Position, error) {
			p, err := s.Head(ctx)
			return p - min(p, 1), err
		}}
	}},
	{name: "has a Head that is out of reach", rules: "F13", checks: "feed/head", with: func() overrides {
		return overrides{head: func(s *toyStore, ctx context.Context) (driver.Position, error) {
			p, err := s.Head(ctx)
			if p > 0 {
				p += 3
			}
			return p, err
		}}
	}},
	{name: "has gaps", rules: "F14", checks: "feed/gapless", set: func(y *toy) { y.step = 3 }},
	{name: "takes a position for what it refuses", rules: "F14 R4 F7", checks: "feed/gapless feed/order", with: appended(func(s *toyStore, ctx context.Context, req appendRequest) (appendResult, error) {
		res, err := s.Append(ctx, req)
		if errors.Is(err, driver.ErrConflict) {
			s.d.mu.Lock()
			defer s.d.mu.Unlock()
			s.d.last++
		}
		return res, err
	})},
	{name: "turns the events of an append around", rules: "F15 F6 F1", checks: "feed/pieces", with: fedPaged(func(q feedQuery, p *page) {
		for i := 1; i < len(p.Records); i++ {
			a, b := &p.Records[i-1], &p.Records[i]
			if a.Stream == b.Stream && i%2 == 1 {
				*a, *b = *b, *a
				a.Position, b.Position = b.Position, a.Position
			}
		}
	})},
	{name: "passes what is being written", rules: "F2 F1 F5 F9", checks: "feed/held feed/held-among-writers", set: func(y *toy) { y.naive, y.caps.Gapless = true, false }},
	{name: "waits for what was rolled back", rules: "F5", checks: "feed/rolled-back feed/held-among-writers", set: func(y *toy) { y.stuck, y.caps.Gapless = true, false }},
}
