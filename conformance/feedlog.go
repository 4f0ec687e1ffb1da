package conformance

import (
	"cmp"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/go-es/es/driver"
)

// feedLog is what the clients of some data have seen of its feed and its
// appends. What they saw is compared with the whole feed once all is at rest.
type feedLog struct {
	high atomic.Uint64 // the highest position or Next that was returned

	mu        sync.Mutex
	acked     map[place]driver.ID       // what was acknowledged
	positions map[place]driver.Position // what Append and ReadStream said
	purged    map[string]bool           // streams that a purge was asked for
	closed    map[string]driver.Version // the version of an acknowledged delete
	starts    map[driver.Position]bool  // positions that ReadAll returned: F2 speaks of reading from these
	pages     []feedPage
}

type place struct {
	stream  string
	version driver.Version
}

type feedPage struct {
	client      int
	after, next driver.Position
	filter      driver.Filter
	records     []seenRecord
}

type seenRecord struct {
	position driver.Position
	id       driver.ID
	place    place
}

func newFeedLog() *feedLog {
	return &feedLog{
		acked: map[place]driver.ID{}, positions: map[place]driver.Position{}, purged: map[string]bool{}, closed: map[string]driver.Version{},
		starts: map[driver.Position]bool{0: true},
	}
}

func (l *feedLog) raise(p driver.Position) {
	for {
		old := l.high.Load()
		if uint64(p) <= old || l.high.CompareAndSwap(old, uint64(p)) {
			return
		}
	}
}

func (l *feedLog) purging(stream string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.purged[stream] = true
}

func (l *feedLog) isPurged(stream string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.purged[stream]
}

// ack notes an acknowledged record and returns the id that was acknowledged at
// its place before, if it is another one.
func (l *feedLog) ack(p place, id driver.ID) (driver.ID, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if old, ok := l.acked[p]; ok && old != id {
		return old, true
	}
	l.acked[p] = id
	return id, false
}

// placed notes a position and returns the one that was said before, if it is
// another one.
func (l *feedLog) placed(p place, pos driver.Position) (driver.Position, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if old, ok := l.positions[p]; ok && old != pos {
		return old, true
	}
	l.positions[p] = pos
	return pos, false
}

// missing returns an acknowledged event that is not among what was read.
func (l *feedLog) missing(all []driver.Record) (place, driver.ID, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	have := make(map[place]driver.ID, len(all))
	for i := range all {
		have[place{all[i].Stream, all[i].Version}] = all[i].ID
	}
	for p, id := range l.acked {
		if _, ok := have[p]; !ok && !l.erased(p) {
			return p, id, true
		}
	}
	for stream, v := range l.closed {
		p := place{stream, v}
		if _, ok := have[p]; !ok {
			return p, driver.ID{}, true
		}
	}
	return place{}, driver.ID{}, false
}

// erased reports whether a purge may have taken an event. Call it locked.
func (l *feedLog) erased(p place) bool {
	return l.purged[p.stream] && l.closed[p.stream] != p.version
}

// acknowledged returns what was acknowledged up to now.
func (l *feedLog) acknowledged() map[place]driver.ID {
	l.mu.Lock()
	defer l.mu.Unlock()
	return maps.Clone(l.acked)
}

// whole reads the feed from its beginning to its end, on a store at rest, until
// every acknowledged event was there, and compares it with all that was seen
// before.
func (c *client) whole(limit int) []driver.Record {
	t := c.t
	t.Helper()
	var all []driver.Record
	var after driver.Position
	for {
		recs, next := c.readOn(after, limit)
		all, after = append(all, recs...), next
		p, id, missing := c.log.missing(all)
		if !missing {
			break
		}
		if t.caps.PositionOnAppend {
			t.broken("F9", "the feed was read to its End at %d, and event %d of stream %.60q, id %v, which was acknowledged, was not there", after, p.version, p.stream, id)
		}
		more := t.eventually(func() bool {
			page, err := c.ReadAll(t.ctx, driver.FeedQuery{After: after, Limit: limit})
			t.must(err)
			moved := page.Next > after
			all, after = append(all, page.Records...), page.Next
			return moved
		})
		if !more {
			t.broken("F5", "nothing new for %v at %d, and event %d of stream %.60q, id %v, was never returned", t.cfg.FeedBound, after, p.version, p.stream, id)
		}
	}
	all = append(all, c.reachHead(after)...)
	c.compare(all)
	return all
}

// everything reads the feed and leaves it to the caller to look for what is
// missing, where that can be told by an End.
func (c *client) everything() []driver.Record {
	c.t.Helper()
	if !c.t.caps.PositionOnAppend {
		return c.whole(0)
	}
	all, _ := c.readOn(0, 0)
	return all
}

// readOn reads the feed after a position up to an End.
func (c *client) readOn(after driver.Position, limit int) ([]driver.Record, driver.Position) {
	c.t.Helper()
	return c.readFiltered(after, limit, driver.Filter{})
}

func (c *client) readFiltered(after driver.Position, limit int, f driver.Filter) ([]driver.Record, driver.Position) {
	t := c.t
	t.Helper()
	var all []driver.Record
	for {
		var page driver.FeedPage
		moved := t.eventually(func() bool {
			var err error
			page, err = c.ReadAll(t.ctx, driver.FeedQuery{After: after, Limit: limit, Filter: f})
			t.must(err)
			return page.End || page.Next > after
		})
		if !moved {
			t.broken("F5", "for %v the pages after %d were neither the End nor moved Next", t.cfg.FeedBound, after)
		}
		all, after = append(all, page.Records...), page.Next
		if page.End {
			return all, after
		}
	}
}

// reachHead reads on until Next is the head, and returns what it found.
func (c *client) reachHead(after driver.Position) (found []driver.Record) {
	t := c.t
	t.Helper()
	head, err := c.Head(t.ctx)
	t.must(err)
	for after < head {
		if !t.eventually(func() bool {
			page, err := c.ReadAll(t.ctx, driver.FeedQuery{After: after})
			t.must(err)
			moved := page.Next > after
			found, after = append(found, page.Records...), page.Next
			return moved
		}) {
			t.broken("F13", "Head is %d, and ReadAll got no further than %d within %v", head, after, t.cfg.FeedBound)
		}
	}
	return found
}

// compare holds all that was seen of the feed against the whole of it.
func (c *client) compare(all []driver.Record) {
	t, l := c.t, c.log
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	at := make(map[place]driver.Position, len(all))
	last := make(map[string]driver.Record)
	for i := range all {
		r := &all[i]
		p := place{r.Stream, r.Version}
		if other, twice := at[p]; twice {
			t.broken("F1", "version %d of stream %.60q is in the feed twice, at %d and %d", p.version, p.stream, other, r.Position)
		}
		at[p] = r.Position
		if prev, ok := last[r.Stream]; ok && r.Version <= prev.Version {
			t.broken("F6", "stream %.60q: version %d is at position %d and version %d at %d", r.Stream, prev.Version, prev.Position, r.Version, r.Position)
		}
		last[r.Stream] = *r
		if id, ok := l.acked[p]; ok && id != r.ID {
			t.broken("F1", "version %d of stream %.60q was acknowledged with id %v and is in the feed with %v", p.version, p.stream, id, r.ID)
		}
	}
	for p, pos := range l.positions {
		if got, ok := at[p]; ok && got != pos {
			rule := "R4"
			if t.caps.PositionOnAppend {
				rule = "F7"
			}
			t.broken(rule, "version %d of stream %.60q: Append or ReadStream said position %d, the feed has it at %d", p.version, p.stream, pos, got)
		}
	}
	for _, page := range l.pages {
		t.comparePage(l, page, all)
	}
}

// comparePage holds a page that was read at some time against the whole feed:
// it must have had all that lies between After and Next.
func (t *test) comparePage(l *feedLog, page feedPage, all []driver.Record) {
	t.Helper()
	i, _ := slices.BinarySearchFunc(all, page.after+1, func(r driver.Record, p driver.Position) int { return cmp.Compare(r.Position, p) })
	rest := page.records
	for ; i < len(all) && all[i].Position <= page.next; i++ {
		r := &all[i]
		if !page.filter.Match(r) {
			continue
		}
		for len(rest) > 0 && rest[0].position < r.Position && l.erased(rest[0].place) {
			rest = rest[1:]
		}
		if len(rest) == 0 || rest[0].position > r.Position {
			t.broken("F2", "client %d read the page after %d and got %d records and Next = %d; now event %d of stream %.60q, id %v, is there at position %d", page.client, page.after, len(page.records), page.next, r.Version, r.Stream, r.ID, r.Position)
		}
		if rest[0].position != r.Position || rest[0].id != r.ID {
			t.broken("F2", "client %d read the page after %d and got id %v at position %d; now id %v is at position %d", page.client, page.after, rest[0].id, rest[0].position, r.ID, r.Position)
		}
		rest = rest[1:]
	}
	for _, r := range rest {
		if !l.erased(r.place) {
			t.broken("F2", "client %d read the page after %d and got id %v at position %d, which is no longer there", page.client, page.after, r.id, r.position)
		}
	}
}
