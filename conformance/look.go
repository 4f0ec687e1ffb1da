package conformance

import (
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/go-es/es/driver"
)

// What every result must be, whichever check asked for it.

func (c *client) lookAtAppend(req driver.AppendRequest, res driver.AppendResult) {
	t := c.t
	if len(res.Parts) != len(req.Parts) {
		t.wrong("A3", "%d parts in the result of an append of %d", len(res.Parts), len(req.Parts))
		return
	}
	for i, p := range req.Parts {
		a := res.Parts[i]
		if len(p.Records) == 0 {
			if a != (driver.Appended{}) {
				t.wrong("A4", "part %d only checks a version, and its result is %s", i, brief(a))
			}
			continue
		}
		if a.First == 0 || a.Last-a.First+1 != driver.Version(len(p.Records)) {
			t.wrong("A3", "part %d has %d records, and its result is %s", i, len(p.Records), brief(a))
			continue
		}
		if v, exact := p.Expected.Exact(); exact && a.First != v+1 {
			t.wrong("V2", "an append to stream %.60q at version %d returned %s, which does not begin with the next version: it was written behind another head than the one that was compared", p.Stream, v, brief(a))
		}
		for j := range p.Records {
			c.acknowledge(place{p.Stream, a.First + driver.Version(j)}, p.Records[j].ID)
		}
		c.located(place{p.Stream, a.Last}, a.Position, "Append")
	}
}

// lookAtRefusal looks at what an error says of the streams of a request.
func (c *client) lookAtRefusal(err error, parts ...driver.Part) {
	t := c.t
	if e, ok := errors.AsType[*driver.ConflictError](err); ok {
		i := slices.IndexFunc(parts, func(p driver.Part) bool { return p.Stream == e.Stream })
		switch {
		case i < 0:
			t.wrong("V4", "a conflict on stream %.60q, which is not in the request: %v", e.Stream, err)
		case parts[i].Expected != e.Expected:
			t.wrong("V4", "a conflict that expected %v, where the request expected %v: %v", e.Expected, parts[i].Expected, err)
		case e.Expected == driver.Any, e.Expected == driver.Exists && e.Actual != 0, e.Expected == driver.Expected(e.Actual):
			t.wrong("V4", "a conflict, and the version that is given for it is one that was expected: %v", err)
		}
	}
	if e, ok := errors.AsType[*driver.StreamError](err); ok {
		if !slices.ContainsFunc(parts, func(p driver.Part) bool { return p.Stream == e.Stream }) {
			t.wrong("E1", "an error about stream %.60q, which is not in the request: %v", e.Stream, err)
		}
	}
	if e, ok := errors.AsType[*driver.UnknownOutcomeError](err); ok {
		if e.Err == nil {
			t.wrong("E1", "an unknown outcome without its cause: %v", err)
		}
		parts := slices.DeleteFunc(slices.Clone(parts), func(p driver.Part) bool { return len(p.Records) == 0 })
		if len(e.Parts) != len(parts) {
			t.wrong("U3", "an unknown outcome with %d bases for %d parts with records: %v", len(e.Parts), len(parts), err)
			return
		}
		for i, u := range e.Parts {
			if v, exact := parts[i].Expected.Exact(); u.Stream != parts[i].Stream || exact && u.Base != v {
				t.wrong("U3", "part %d, stream %.60q, %v, has stream %.60q and base %d in the error", i, parts[i].Stream, parts[i].Expected, u.Stream, u.Base)
			}
		}
	}
}

func (c *client) acknowledge(p place, id driver.ID) {
	if old, other := c.log.ack(p, id); other {
		c.t.wrong("V5", "version %d of stream %.60q was acknowledged with id %v, and again with id %v", p.version, p.stream, old, id)
	}
}

// located looks at a position that a call other than ReadAll returned.
func (c *client) located(p place, pos driver.Position, by string) {
	if pos == 0 {
		if c.t.caps.PositionOnAppend {
			rule := "R4"
			if by != "ReadStream" {
				rule = "F7"
			}
			c.t.wrong(rule, "%s returned no position for version %d of stream %.60q", by, p.version, p.stream)
		}
		return
	}
	c.log.raise(pos)
	if old, other := c.log.placed(p, pos); other {
		c.t.wrong("R4", "%s returned position %d for version %d of stream %.60q, and before that %d was returned", by, pos, p.version, p.stream, old)
	}
}

func (c *client) lookAtDelete(req driver.DeleteRequest, a driver.Appended) {
	if a.First == 0 || a.First != a.Last {
		c.t.wrong("D1", "Delete writes one record, and returned %s", brief(a))
		return
	}
	c.log.ended(req, a.Last, c.t.now())
	c.located(place{req.Stream, a.Last}, a.Position, "Delete")
}

func (c *client) lookAtStream(q driver.StreamQuery, page driver.StreamPage, begin time.Duration) {
	t := c.t
	recs := page.Records
	if at, closed := c.log.closedBefore(q.Stream, begin); closed && !q.Deleted {
		t.wrong("D1", "a delete of stream %.60q was acknowledged at %s, and ReadStream(%s), called after that, returned %s", q.Stream, us(at), brief(q), brief(page))
	}
	if at, erased := c.log.erasedBefore(q.Stream, begin); erased && (len(recs) > 1 || len(recs) == 1 && recs[0].Version != page.Head) {
		t.wrong("D3", "a purge of stream %.60q was acknowledged at %s, and ReadStream(%s), called after that, returned %s", q.Stream, us(at), brief(q), brief(page))
	}
	order := "S1"
	if q.Backward {
		order = "S2"
	}
	switch {
	case q.Limit > 0 && len(recs) > q.Limit:
		t.wrong("S3", "a page of %d records, with limit %d", len(recs), q.Limit)
	case len(recs) == 0 && !page.End:
		t.wrong("S3", "an empty page that is not the End: ReadStream(%s)", brief(q))
	}
	if q.Backward && !page.End && len(recs) > 0 && recs[len(recs)-1].Version <= 1 {
		t.wrong("S3", "a page has version 1, read backward, and is not the End: ReadStream(%s) = %s", brief(q), brief(page))
	}
	// A purged stream has no more than its last record.
	purged := q.Deleted && c.log.isPurged(q.Stream)
	for i := range recs {
		r := &recs[i]
		if r.Stream != q.Stream {
			t.wrong("R4", "a record of stream %.60q in a page of stream %.60q", r.Stream, q.Stream)
			return
		}
		want := max(q.From, 1) + driver.Version(i)
		if q.Backward {
			if want = page.Head - driver.Version(i); q.From > 0 {
				want = min(page.Head, q.From) - driver.Version(i)
			}
		}
		if r.Version != want && !purged {
			t.wrong(order, "record %d of the page has version %d instead of %d: ReadStream(%s) = %s", i, r.Version, want, brief(q), brief(page))
			return
		}
		if r.Version > page.Head {
			t.wrong("S6", "version %d in a page with head %d", r.Version, page.Head)
		}
		if i > 0 && r.Position > 0 && recs[i-1].Position > 0 && (r.Position > recs[i-1].Position) == q.Backward {
			t.wrong("F6", "stream %.60q: version %d has position %d, version %d has position %d", q.Stream, recs[i-1].Version, recs[i-1].Position, r.Version, r.Position)
		}
		c.located(place{r.Stream, r.Version}, r.Position, "ReadStream")
	}
	if page.Head == 0 {
		t.wrong("S6", "a page of stream %.60q has head 0", q.Stream)
	}
	if page.End && !purged {
		switch {
		case q.Backward && (len(recs) == 0 || recs[len(recs)-1].Version != 1):
			t.wrong("S3", "End before version 1 was returned: ReadStream(%s) = %s", brief(q), brief(page))
		case !q.Backward && q.From <= page.Head && (len(recs) == 0 || recs[len(recs)-1].Version != page.Head):
			t.wrong("S3", "End before the head was returned: ReadStream(%s) = %s", brief(q), brief(page))
		}
	}
}

func (c *client) lookAtFeed(q driver.FeedQuery, page driver.FeedPage, begin, end time.Duration) {
	t := c.t
	recs := page.Records
	if q.Limit > 0 && len(recs) > q.Limit {
		t.wrong("F4", "a page of %d records, with limit %d", len(recs), q.Limit)
	}
	if page.Next < q.After {
		t.wrong("F3", "Next is %d, below After %d", page.Next, q.After)
	}
	seen := make([]seenRecord, len(recs))
	prev := q.After
	for i := range recs {
		r := &recs[i]
		seen[i] = seenRecord{r.Position, r.ID, place{r.Stream, r.Version}}
		switch {
		case r.Stream == "" || r.Version == 0 || r.Position == 0:
			t.wrong("R4", "a record of the feed without stream, version or position: %.60q, %d, %d", r.Stream, r.Version, r.Position)
		case r.Position <= q.After || r.Position > page.Next:
			t.wrong("F3", "position %d in a page after %d with Next %d", r.Position, q.After, page.Next)
		case r.Position <= prev:
			t.wrong("F1", "position %d comes after position %d: ReadAll(%s) = %s", r.Position, prev, brief(q), brief(page))
		case !q.Filter.Match(r):
			t.wrong("F10", "a record of type %.60q in stream %.60q does not match the filter: ReadAll(%s)", r.Type, r.Stream, brief(q))
		}
		if at, erased := c.log.erasedBefore(r.Stream, begin); erased && r.Type != driver.TypeDeleted {
			t.wrong("D3", "a purge of stream %.60q was acknowledged at %s, and ReadAll(%s), called after that, returned its version %d", r.Stream, us(at), brief(q), r.Version)
		}
		prev = r.Position
	}
	c.lookAtSeen(q, page)
	c.log.raise(page.Next)
	c.log.mu.Lock()
	defer c.log.mu.Unlock()
	c.log.pages = append(c.log.pages, &feedPage{
		client: c.n, after: q.After, next: page.Next, limit: q.Limit, last: page.End, counts: c.log.starts[q.After] && page.Next > q.After,
		filter: q.Filter, records: seen, begin: begin, end: end,
	})
	c.log.starts[page.Next] = true
	for _, r := range seen {
		c.log.starts[r.position] = true
	}
}

// lookAtSeen looks at what a page says was seen.
func (c *client) lookAtSeen(q driver.FeedQuery, page driver.FeedPage) {
	if page.Next <= q.After {
		return
	}
	seen, n := page.Seen, len(page.Records)
	switch {
	case (seen.Position == 0) != seen.ID.IsZero():
		c.t.wrong("F16", "Seen has the position %d and the id %v: ReadAll(%s) = %s", seen.Position, seen.ID, brief(q), brief(page))
	case seen.Position > page.Next:
		c.t.wrong("F16", "Seen is at position %d, above Next %d: ReadAll(%s)", seen.Position, page.Next, brief(q))
	case n > 0 && seen.Position < page.Records[n-1].Position:
		c.t.wrong("F16", "Seen is at position %d, and the last record of the page at %d: ReadAll(%s)", seen.Position, page.Records[n-1].Position, brief(q))
	case n > 0 && seen.Position == page.Records[n-1].Position && seen.ID != page.Records[n-1].ID:
		c.t.wrong("F16", "Seen has the id %v at position %d, and the record there %v: ReadAll(%s)", seen.ID, seen.Position, page.Records[n-1].ID, brief(q))
	}
}

func (c *client) lookAtList(q driver.ListQuery, page driver.ListPage) {
	t := c.t
	if q.Limit > 0 && len(page.Streams) > q.Limit {
		t.wrong("L2", "a page of %d streams, with limit %d", len(page.Streams), q.Limit)
	}
	prev := q.After
	for _, s := range page.Streams {
		if s.Stream <= prev || !strings.HasPrefix(s.Stream, q.Prefix) {
			what := "which does not lie after it"
			if s.Stream > prev {
				what = "which does not have the prefix"
			}
			t.wrong("L1", "ListStreams(%s) lists %.60q after %.60q, %s", brief(q), s.Stream, prev, what)
		}
		prev = s.Stream
	}
	switch {
	case !page.End && len(page.Streams) == 0:
		t.wrong("L2", "an empty page that is not the End: ListStreams(%s)", brief(q))
	case !page.End && page.Next != prev:
		t.wrong("L2", "Next is %.60q, and the last stream of the page is %.60q", page.Next, prev)
	}
}
