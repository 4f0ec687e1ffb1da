package conformance

import (
	"errors"
	"fmt"
	"time"

	"github.com/go-es/es/driver"
)

// What the checks append, and how they read it again.

// noon is the time of the records; the store must not mind that all have one.
var noon = time.Date(2024, 2, 29, 12, 0, 0, 123456000, time.UTC)

// record returns an event with a fresh id.
func record() driver.Record {
	return driver.Record{
		ID:       driver.NewID(time.Now()),
		Type:     "happened",
		Encoding: "json",
		Data:     []byte(`{"n":1}`),
		Time:     noon,
	}
}

// records returns n events with fresh ids.
func records(n int) []driver.Record {
	recs := make([]driver.Record, n)
	for i := range recs {
		recs[i] = record()
		recs[i].Data = fmt.Appendf(nil, `{"n":%d}`, i)
	}
	return recs
}

// deletion returns a request that closes a stream.
func deletion(stream string, expected driver.Expected, mode driver.DeleteMode) driver.DeleteRequest {
	r := record()
	r.Type = driver.TypeDeleted
	return driver.DeleteRequest{Stream: stream, Expected: expected, Mode: mode, Record: r}
}

// to is an append to one stream.
func to(stream string, expected driver.Expected, recs ...driver.Record) driver.AppendRequest {
	return driver.AppendRequest{Parts: []driver.Part{{Stream: stream, Expected: expected, Records: recs}}}
}

// toEach is an append to several streams.
func toEach(parts ...driver.Part) driver.AppendRequest { return driver.AppendRequest{Parts: parts} }

// batch is how many small events fit into one append: n, or fewer.
func (t *test) batch(n int) int {
	if most := t.caps.MaxAppendEvents; most > 0 {
		n = min(n, most)
	}
	r := record()
	if most := t.caps.MaxAppendBytes; most > 0 {
		n = min(n, max(1, most/(driver.Size(&r)+16)))
	}
	return n
}

// append appends to one stream and returns where it went.
func (c *client) append(stream string, expected driver.Expected, recs ...driver.Record) driver.Appended {
	c.t.Helper()
	res, err := c.appendSurely(to(stream, expected, recs...))
	c.t.must(err)
	return res.Parts[0]
}

// fill appends n events to a stream whose last version is base, in as few
// appends as the limits allow, and returns them as they are to be read.
func (c *client) fill(stream string, base driver.Version, n int) []driver.Record {
	c.t.Helper()
	recs := records(n)
	c.put(stream, base, recs)
	return recs
}

// put appends records to a stream whose last version is base, and sets what
// reading them has to return.
func (c *client) put(stream string, base driver.Version, recs []driver.Record) {
	c.t.Helper()
	for done := 0; done < len(recs); {
		n := c.t.batch(len(recs) - done)
		for c.t.tooLarge(recs[done:done+n]) && n > 1 {
			n--
		}
		c.append(stream, driver.Exactly(base+driver.Version(done)), recs[done:done+n]...)
		done += n
	}
	for i := range recs {
		recs[i].Stream, recs[i].Version = stream, base+driver.Version(i)+1
	}
}

// tooLarge reports whether records are too large for one append.
func (t *test) tooLarge(recs []driver.Record) bool {
	size := 0
	for i := range recs {
		size += driver.Size(&recs[i])
	}
	return t.caps.MaxAppendBytes > 0 && size > t.caps.MaxAppendBytes
}

// delete closes a stream and returns where the record went.
func (c *client) delete(stream string, mode driver.DeleteMode) driver.Appended {
	c.t.Helper()
	a, err := c.deleteSurely(deletion(stream, driver.Any, mode))
	c.t.must(err)
	return a
}

// stream reads a stream page by page, as q asks, to the end.
func (c *client) stream(q driver.StreamQuery) []driver.Record {
	c.t.Helper()
	recs, err := c.tryStream(q)
	c.t.must(err)
	return recs
}

func (c *client) tryStream(q driver.StreamQuery) ([]driver.Record, error) {
	var all []driver.Record
	for {
		page, err := c.ReadStream(c.t.ctx, q)
		if err != nil {
			return all, err
		}
		all = append(all, page.Records...)
		if page.End || len(page.Records) == 0 {
			return all, nil
		}
		last := page.Records[len(page.Records)-1].Version
		if q.From = last + 1; q.Backward {
			if q.From = last - 1; q.From == 0 {
				return all, nil
			}
		}
	}
}

// head returns the last version of a stream, closed or not; 0 if there is none.
func (c *client) head(stream string) driver.Version {
	c.t.Helper()
	page, err := c.ReadStream(c.t.ctx, driver.StreamQuery{Stream: stream, Backward: true, Limit: 1, Deleted: true})
	if errors.Is(err, driver.ErrStreamNotFound) {
		return 0
	}
	c.t.must(err)
	return page.Head
}

// list lists streams page by page, to the end.
func (c *client) list(q driver.ListQuery) []driver.StreamInfo {
	c.t.Helper()
	var all []driver.StreamInfo
	for {
		page, err := c.ListStreams(c.t.ctx, q)
		c.t.must(err)
		all = append(all, page.Streams...)
		if page.End {
			return all
		}
		if page.Next <= q.After {
			c.t.broken("L2", "a page that is not the End and whose Next, %.60q, does not lie after After, %.60q", page.Next, q.After)
		}
		q.After = page.Next
	}
}
