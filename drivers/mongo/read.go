package mongo

import (
	"context"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/go-es/es/driver"
)

const (
	pageRecords = 1000    // of a page without a limit
	pageMost    = 4000    // of any page
	pageBytes   = 4 << 20 // after which a page ends; it may be one commit larger
)

func limited(n int) int {
	if n == 0 {
		return pageRecords
	}
	return min(n, pageMost)
}

// ReadStream returns a page of one stream. A page that ends with the last event is
// one command, others are two.
func (s *Store) ReadStream(ctx context.Context, q driver.StreamQuery) (driver.StreamPage, error) {
	p := streamPage{s: s, q: q, limit: limited(q.Limit)}
	err := s.read(ctx, func(ctx context.Context) error {
		if done, err := p.part(ctx); err != nil || done {
			return err
		}
		if q.Backward {
			return p.backward(ctx)
		}
		return p.forward(ctx)
	})
	if err != nil {
		return driver.StreamPage{}, err
	}
	if !p.closed {
		s.heads.set(q.Stream, p.page.Head)
	}
	return p.page, nil
}

// streamPage is a page while it is read.
type streamPage struct {
	s      *Store
	q      driver.StreamQuery
	limit  int
	page   driver.StreamPage
	closed bool
	bytes  int
}

// entry is where a read may begin that wants a version from first to last: at the
// key of first. That a commit has these versions, or begins there if it is there at
// all, stays true for ever.
type entry struct{ first, last driver.Version }

// keep remembers where this page began, or the next one begins.
func (p *streamPage) keep(at entry) {
	p.s.entries.Set(p.q.Stream, func(entry) entry { return at })
}

// head sets the page's head.
func (p *streamPage) head(last *commit) error {
	switch {
	case last == nil:
		return missing(p.q.Stream)
	case last.closes && !p.q.Deleted:
		return deleted(p.q.Stream)
	}
	p.page.Head, p.closed = last.last, last.closes
	return nil
}

// full reports whether the page has enough.
func (p *streamPage) full() bool {
	return len(p.page.Records) >= p.limit || p.bytes >= pageBytes
}

// add adds the record of a commit at a version.
func (p *streamPage) add(c *commit, v driver.Version) {
	r := c.records[v-c.first]
	p.page.Records = append(p.page.Records, r)
	p.bytes += driver.Size(&r)
}

// commits asks for as many commits as a page can need: each has an event at least.
func (p *streamPage) commits() *options.FindOptionsBuilder {
	return options.Find().SetLimit(int64(p.limit)).SetBatchSize(int32(p.limit + 1))
}

// part reads a short page from the middle of a large commit, without the rest of
// that. It reports whether that is what was asked for.
func (p *streamPage) part(ctx context.Context) (done bool, err error) {
	v := p.q.From
	if p.limit > fewEvents || v <= 1 {
		return false, nil
	}
	c, err := lastBelow(ctx, p.s.commits.Collection, p.q.Stream, key(p.q.Stream, v+1))
	if err != nil || c == nil || c.last < v || len(c.ids) <= fewEvents {
		return false, err
	}
	from, to := v, v
	if p.q.Backward {
		from = max(c.first, v-min(v, driver.Version(p.limit))+1)
	} else {
		to = min(c.last, v+driver.Version(p.limit)-1)
	}
	if c, err = p.s.commitPart(ctx, p.q.Stream, c.first, from, to); err != nil || c == nil || c.purged {
		return false, err
	}
	for i := range c.records {
		if p.q.Backward {
			i = len(c.records) - 1 - i
		}
		p.page.Records = append(p.page.Records, c.records[i])
	}
	tail, err := p.s.tail(ctx, p.q.Stream)
	if err != nil {
		return false, err
	}
	if tail == nil || tail.last < c.last {
		tail = c
	}
	err = p.head(tail)
	p.page.End = p.q.Backward && from == 1 || !p.q.Backward && to == p.page.Head
	return true, err
}

func (p *streamPage) forward(ctx context.Context) error {
	next := max(p.q.From, 1)
	begin := next
	// The commit that begins before may have next. Without an entry it is read at the
	// same time.
	below := func() (*commit, error) { return p.before(ctx, next) }
	if at, ok := p.s.entries.Get(p.q.Stream); ok && at.first <= next && next <= at.last {
		begin = at.first
	} else if from := next; from > 1 {
		below = beside(func() (*commit, error) { return p.before(ctx, from) })
		defer below()
	}
	var last *commit // that was seen
	for {
		seen, cut := 0, false
		take := func(c *commit) error {
			last = c
			if c.first > next {
				return corrupt("version %d of stream %q is missing", next, p.q.Stream)
			}
			if c.purged && !p.q.Deleted {
				return deleted(p.q.Stream) // it was closed meanwhile
			}
			if next == p.q.From && next > 1 && next <= c.last {
				p.keep(entry{c.first, c.last})
			}
			for ; next <= c.last; next++ {
				if p.full() {
					cut = true
					return nil
				}
				if !c.purged {
					p.add(c, next)
				}
			}
			return nil
		}
		cur, err := p.s.commits.Find(ctx, between(key(p.q.Stream, begin), high(p.q.Stream)), p.commits().SetSort(ascending))
		_, err = scan(ctx, cur, err, func(doc bson.Raw) (bool, error) {
			c, err := decode(doc)
			if err != nil {
				return false, err
			}
			if seen++; seen == 1 && c.first > next && last == nil {
				if err := takeOf(below, take); err != nil || cut {
					return false, err
				}
				if c.first > next { // one may have been appended before this one, and after that was read
					err := takeOf(func() (*commit, error) { return p.before(ctx, next) }, take)
					if err != nil || cut {
						return false, err
					}
				}
			}
			err = take(c)
			return err == nil && !cut, err
		})
		if err == nil && seen == 0 && last == nil {
			err = takeOf(below, take)
		}
		if err != nil {
			return err
		}
		if !cut && seen < p.limit { // there was no more
			p.page.End = true
			return p.head(last)
		}
		if len(p.page.Records) == 0 {
			begin = next
			continue // what was there is purged
		}
		if last.last < next { // the page ends with a commit
			p.keep(entry{next, next})
		} else {
			p.keep(entry{last.first, last.last})
		}
		tail, err := p.s.tail(ctx, p.q.Stream)
		if err != nil {
			return err
		}
		if tail == nil || tail.last < last.last {
			tail = last // the tail is as old as another primary's
		}
		if err := p.head(tail); err != nil {
			return err
		}
		p.page.End = next > p.page.Head
		return nil
	}
}

// before returns the commit that begins below a version, the last one, or nil.
func (p *streamPage) before(ctx context.Context, v driver.Version) (*commit, error) {
	if v == 1 {
		return nil, nil
	}
	doc, err := one(p.s.commits.FindOne(ctx, between(low(p.q.Stream), key(p.q.Stream, v)), options.FindOne().SetSort(descending)))
	if err != nil || doc == nil {
		return nil, err
	}
	return decode(doc)
}

// takeOf takes the commit that get returns, if there is one.
func takeOf(get func() (*commit, error), take func(*commit) error) error {
	c, err := get()
	if err != nil || c == nil {
		return err
	}
	return take(c)
}

// beside calls f while its caller goes on, and returns what waits for its result.
func beside[T any](f func() (T, error)) func() (T, error) {
	var got T
	var err error
	done := make(chan struct{})
	go func() {
		defer close(done)
		got, err = f()
	}()
	return func() (T, error) {
		<-done
		return got, err
	}
}

func (p *streamPage) backward(ctx context.Context) error {
	var first *commit // that was seen, the last of the stream if From is 0
	below := high(p.q.Stream)
	if p.q.From > 0 {
		below = key(p.q.Stream, p.q.From+1)
	}
	for {
		var last *commit
		seen, cut := 0, false
		cur, err := p.s.commits.Find(ctx, between(low(p.q.Stream), below), p.commits().SetSort(descending))
		_, err = scan(ctx, cur, err, func(doc bson.Raw) (bool, error) {
			c, err := decode(doc)
			switch {
			case err != nil:
				return false, err
			case c.purged && !p.q.Deleted:
				return false, deleted(p.q.Stream)
			case last != nil && c.last+1 != last.first:
				return false, corrupt("version %d of stream %q is missing", last.first-1, p.q.Stream)
			}
			if seen++; first == nil {
				first = c
			}
			v := c.last
			if p.q.From > 0 {
				v = min(v, p.q.From)
			}
			for ; v >= c.first && !c.purged; v-- {
				if p.full() {
					cut = true
					return false, nil
				}
				p.add(c, v)
			}
			last = c
			return true, nil
		})
		if err != nil {
			return err
		}
		if last != nil {
			below = key(p.q.Stream, last.first)
		}
		if !cut && seen < p.limit {
			if last != nil && last.first > 1 || last == nil && first != nil && below != key(p.q.Stream, 1) {
				return corrupt("version 1 of stream %q is missing", p.q.Stream)
			}
			p.page.End = true
		} else if last != nil && last.first == 1 && !cut {
			p.page.End = true
		} else if len(p.page.Records) == 0 {
			continue // what was there is purged
		}
		tail := first
		if p.q.From > 0 {
			if tail, err = p.s.tail(ctx, p.q.Stream); err != nil {
				return err
			}
			if tail == nil || first != nil && tail.last < first.last {
				tail = first
			}
		}
		return p.head(tail)
	}
}
