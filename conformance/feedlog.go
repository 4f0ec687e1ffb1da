package conformance

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

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
	closedAt  map[string]time.Duration  // when the first of these was acknowledged
	erasedAt  map[string]time.Duration  // when the first purge was acknowledged
	starts    map[driver.Position]bool  // positions that ReadAll returned: F2 speaks of reading from these
	pages     []*feedPage               // every page of the feed, as they came
	writes    []*write                  // every call that wrote, as they began
}

type place struct {
	stream  string
	version driver.Version
}

type feedPage struct {
	client      int
	after, next driver.Position
	limit       int
	last        bool // it is the End
	counts      bool // F2 speaks of it
	filter      driver.Filter
	records     []seenRecord
	begin, end  time.Duration // since the check began
}

type seenRecord struct {
	position driver.Position
	id       driver.ID
	place    place
}

func newFeedLog() *feedLog {
	return &feedLog{
		acked: map[place]driver.ID{}, positions: map[place]driver.Position{}, purged: map[string]bool{}, closed: map[string]driver.Version{},
		closedAt: map[string]time.Duration{}, erasedAt: map[string]time.Duration{},
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

// ended notes an acknowledged delete.
func (l *feedLog) ended(req driver.DeleteRequest, v driver.Version, now time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed[req.Stream] = v
	first(l.closedAt, req.Stream, now)
	if req.Mode == driver.Purge {
		first(l.erasedAt, req.Stream, now)
	}
}

// first keeps the time at which something happened first.
func first(at map[string]time.Duration, stream string, now time.Duration) {
	if was, ok := at[stream]; !ok || now < was {
		at[stream] = now
	}
}

// closedBefore and erasedBefore report whether a delete, or a purge, of a stream was
// acknowledged before a call began, and when.
func (l *feedLog) closedBefore(stream string, begin time.Duration) (time.Duration, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	at, ok := l.closedAt[stream]
	return at, ok && at < begin
}

func (l *feedLog) erasedBefore(stream string, begin time.Duration) (time.Duration, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	at, ok := l.erasedAt[stream]
	return at, ok && at < begin
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
		p, id, miss := c.log.missing(all)
		if !miss {
			break
		}
		if t.caps.PositionOnAppend {
			t.exposed(c.log, all, c.lost("F9", p, id, after))
		}
		more, n := true, len(all)
		for more && !slices.ContainsFunc(all[n:], func(r driver.Record) bool { return r.Stream == p.stream && r.Version == p.version }) {
			n = len(all)
			more = t.eventually(func() bool {
				page, err := c.ReadAll(t.ctx, driver.FeedQuery{After: after, Limit: limit})
				t.must(err)
				moved := page.Next > after
				all, after = append(all, page.Records...), page.Next
				return moved
			})
		}
		if !more {
			f := c.lost("F5", p, id, after)
			f.seen = fmt.Sprintf("nothing new for %v after position %d, and version %d of stream %.60q, which was acknowledged, was never returned", t.cfg.FeedBound, after, p.version, p.stream)
			t.exposed(c.log, all, f)
		}
	}
	all = append(all, c.reachHead(after)...)
	if f := c.log.compare(t.caps, all); f != nil {
		t.exposed(c.log, all, *f)
	}
	return all
}

// lost is the finding that an acknowledged event was not returned up to an End.
func (c *client) lost(rule string, p place, id driver.ID, end driver.Position) finding {
	f := finding{
		rule: rule, fault: missing, event: seenRecord{id: id, place: p}, page: c.log.lastPage(c.n, end),
		seen: fmt.Sprintf("client %d read the feed to its End at %d, and version %d of stream %.60q, which was acknowledged, was not there", c.n, end, p.version, p.stream),
	}
	c.log.mu.Lock()
	f.event.position = c.log.positions[p]
	for _, w := range c.log.writes {
		if id.IsZero() && w.name == "Delete" && w.events[0].stream == p.stream && w.stored() {
			f.event.id = w.events[0].id
		}
	}
	c.log.mu.Unlock()
	if f.event.position > 0 {
		if page := c.log.passing(c.n, f.event); page != nil {
			f.fault, f.page = passed, page
		}
	}
	return f
}

// differs is the finding that a client read other events of the feed, or others
// at the same place, than there are; nil if it did not.
func (c *client) differs(rule, what string, want, got []driver.Record) *finding {
	where := func(recs []driver.Record, e seenRecord) int {
		return slices.IndexFunc(recs, func(r driver.Record) bool {
			return r.ID == e.id && r.Stream == e.place.stream && r.Version == e.place.version
		})
	}
	for i := range max(len(want), len(got)) {
		if i < len(want) && i < len(got) && seen(&want[i]) == seen(&got[i]) {
			continue
		}
		if i < len(want) {
			if e := seen(&want[i]); where(got, e) < 0 {
				return &finding{rule: rule, fault: passed, event: e, page: c.log.passing(c.n, e), seen: fmt.Sprintf("%s: %d events, and there are %d; version %d of stream %.60q at position %d is left out", what, len(got), len(want), e.place.version, e.place.stream, e.position)}
			}
		}
		if i == len(got) { // what follows was there before
			e := seen(&want[i])
			return &finding{rule: rule, fault: moved, event: e, page: c.log.lastWith(c.n, e), seen: fmt.Sprintf("%s: %d events, and there are %d", what, len(got), len(want))}
		}
		e := seen(&got[i])
		f := &finding{rule: rule, event: e, page: c.log.lastWith(c.n, e)}
		switch at := where(want, e); {
		case at < 0:
			f.fault = vanished
			f.seen = fmt.Sprintf("%s: event %d is version %d of stream %.60q at position %d, which is not in the feed as it was read otherwise", what, i, e.place.version, e.place.stream, e.position)
		case where(got[:i], e) >= 0:
			f.fault = repeated
			f.seen = fmt.Sprintf("%s: version %d of stream %.60q was returned twice, as event %d and as event %d", what, e.place.version, e.place.stream, where(got, e), i)
		default:
			f.fault, f.other = moved, seen(&want[at])
			f.seen = fmt.Sprintf("%s: version %d of stream %.60q is event %d, at position %d; read otherwise it is event %d, at position %d", what, e.place.version, e.place.stream, i, e.position, at, want[at].Position)
		}
		return f
	}
	return nil
}

// stuckAt is the finding that the feed does not get further.
func (c *client) stuckAt(how fault, after driver.Position, seen string) finding {
	return finding{rule: map[fault]string{stuck: "F5", unreached: "F13"}[how], fault: how, event: c.log.acknowledgedAfter(after), page: c.log.lastPage(c.n, after), seen: seen}
}

// acknowledgedAfter is the first event after a position that is known to lie there.
func (l *feedLog) acknowledgedAfter(after driver.Position) (first seenRecord) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for p, pos := range l.positions {
		if id, ok := l.acked[p]; ok && pos > after && (first.position == 0 || pos < first.position) {
			first = seenRecord{pos, id, p}
		}
	}
	return first
}

// lastPage is the last page that a client got and whose Next is a position.
func (l *feedLog) lastPage(client int, next driver.Position) *feedPage {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, p := range slices.Backward(l.pages) {
		if p.client == client && p.next == next {
			return p
		}
	}
	return nil
}

// passing is the last page of a client that went past an event without it.
func (l *feedLog) passing(client int, e seenRecord) *feedPage {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, p := range slices.Backward(l.pages) {
		if p.client == client && p.after < e.position && e.position <= p.next && p.filter.IsZero() && !p.has(e) {
			return p
		}
	}
	return nil
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
	var seen driver.Seen // of the page before, as a reader that follows would say it
	for {
		var page driver.FeedPage
		moved := t.eventually(func() bool {
			var err error
			page, err = c.ReadAll(t.ctx, driver.FeedQuery{After: after, Limit: limit, Filter: f, Seen: seen})
			t.must(err)
			return page.End || page.Next > after
		})
		if !moved {
			t.exposed(c.log, all, c.stuckAt(stuck, after, fmt.Sprintf("for %v the pages after %d were neither the End nor moved Next", t.cfg.FeedBound, after)))
		}
		if page.Next > after {
			seen = page.Seen
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
			t.exposed(c.log, found, c.stuckAt(unreached, after, fmt.Sprintf("Head is %d, and ReadAll got no further than %d within %v", head, after, t.cfg.FeedBound)))
		}
	}
	return found
}

// seen is what a history keeps of a record.
func seen(r *driver.Record) seenRecord {
	return seenRecord{r.Position, r.ID, place{r.Stream, r.Version}}
}

// compare holds all that was seen of the feed against the whole of it.
func (l *feedLog) compare(caps driver.Caps, all []driver.Record) *finding {
	l.mu.Lock()
	defer l.mu.Unlock()
	at := make(map[place]driver.Position, len(all))
	last := make(map[string]*driver.Record)
	for i := range all {
		r := &all[i]
		e := seen(r)
		p := e.place
		if first, twice := at[p]; twice {
			return &finding{
				rule: "F1", fault: repeated, event: e, page: l.with(e),
				seen: fmt.Sprintf("version %d of stream %.60q is in the feed twice, at positions %d and %d", p.version, p.stream, first, r.Position),
			}
		}
		at[p] = r.Position
		if prev, ok := last[r.Stream]; ok && r.Version <= prev.Version {
			return &finding{
				rule: "F6", fault: moved, event: e, other: seen(prev), page: l.with(e),
				seen: fmt.Sprintf("stream %.60q: version %d is at position %d and version %d at %d", r.Stream, prev.Version, prev.Position, r.Version, r.Position),
			}
		}
		last[r.Stream] = r
		if id, ok := l.acked[p]; ok && id != r.ID {
			return &finding{
				rule: "F1", fault: elsewhere, event: seenRecord{id: id, place: p}, other: e, page: l.with(e),
				seen: fmt.Sprintf("version %d of stream %.60q was acknowledged with id %v and is in the feed with %v", p.version, p.stream, id, r.ID),
			}
		}
	}
	for i := range all {
		e := seen(&all[i])
		if pos, ok := l.positions[e.place]; ok && pos != e.position {
			rule := "R4"
			if caps.PositionOnAppend {
				rule = "F7"
			}
			return &finding{
				rule: rule, fault: elsewhere, event: e, page: l.with(e),
				seen: fmt.Sprintf("version %d of stream %.60q: Append or ReadStream said position %d, the feed has it at %d", e.place.version, e.place.stream, pos, e.position),
			}
		}
	}
	for _, page := range l.pages {
		if page.counts {
			if f := l.comparePage(page, all); f != nil {
				return f
			}
		}
	}
	return nil
}

// lastWith is the last page of a client that had an event at its place.
func (l *feedLog) lastWith(client int, e seenRecord) *feedPage {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, p := range slices.Backward(l.pages) {
		if p.client == client && slices.Contains(p.records, e) {
			return p
		}
	}
	return nil
}

// with is the first page that had an event at its place. Call it locked.
func (l *feedLog) with(e seenRecord) *feedPage {
	for _, p := range l.pages {
		if slices.Contains(p.records, e) {
			return p
		}
	}
	return nil
}

// comparePage holds a page that was read at some time against the whole feed:
// it must have had all that lies between After and Next.
func (l *feedLog) comparePage(page *feedPage, all []driver.Record) *finding {
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
			return &finding{
				rule: "F2", fault: passed, event: seen(r), page: page,
				seen: fmt.Sprintf("client %d read the page after %d and got %s and Next = %d; now version %d of stream %.60q is there at position %d", page.client, page.after, counted(len(page.records), "record"), page.next, r.Version, r.Stream, r.Position),
			}
		}
		if rest[0].position != r.Position || rest[0].id != r.ID {
			return &finding{
				rule: "F2", fault: vanished, event: rest[0], other: seen(r), page: page,
				seen: fmt.Sprintf("client %d read the page after %d and got id %v at position %d; now id %v is at position %d", page.client, page.after, rest[0].id, rest[0].position, r.ID, r.Position),
			}
		}
		rest = rest[1:]
	}
	for _, r := range rest {
		if !l.erased(r.place) {
			return &finding{
				rule: "F2", fault: vanished, event: r, page: page,
				seen: fmt.Sprintf("client %d read the page after %d and got id %v at position %d, which is no longer there", page.client, page.after, r.id, r.position),
			}
		}
	}
	return nil
}
