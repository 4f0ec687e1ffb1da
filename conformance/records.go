package conformance

import (
	"bytes"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/go-es/es/driver"
)

var recordChecks = []check{
	{"records/bytes", "R1", nil, checkRecordBytes},
	{"records/time", "R2", nil, checkRecordTime},
	{"records/ownership", "R3", nil, checkOwnership},
	{"records/concurrent-ownership", "R3", nil, checkConcurrentOwnership},
	{"records/place", "R4", nil, checkRecordPlace},
}

// awkward are records that a column of the wrong type, a text encoding or a
// NULL changes.
func (t *test) awkward() []driver.Record {
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	var recs []driver.Record
	add := func(change func(*driver.Record)) {
		r := record()
		change(&r)
		if _, err := checkedSize(t.caps, r); err == nil {
			recs = append(recs, r)
		}
	}
	payloads := [][]byte{
		nil, {}, {0}, {0, 0, 0}, []byte("null"), []byte(`{ "b": 1.0, "a":1e2,  "a" :2 }` + "\n"), []byte("  blanks  "),
		[]byte("\xff\xfe\x00invalid UTF-8\x80"), []byte("é \u0000 \u2028 \U0001F600"), every, []byte("0x41"), []byte(`\x41\\`),
		[]byte("''; --\x1a%_"), bytes.Repeat([]byte("0123456789"), 7000), bytes.Repeat([]byte{0}, 300_000),
	}
	for _, p := range payloads {
		add(func(r *driver.Record) { r.Data = p })
		add(func(r *driver.Record) { r.Data, r.Metadata = []byte("{}"), p })
	}
	for _, id := range []driver.ID{{15: 1}, {0: 1}, {0: 0xff, 15: 0xff}, driver.ID(bytes.Repeat([]byte{0xff}, 16)), driver.ID(bytes.Repeat([]byte{' '}, 16)), driver.ID([]byte("a\x00b\x00cdefghijklm\x00"))} {
		add(func(r *driver.Record) { r.ID = id })
	}
	for _, tags := range [][]string{
		nil, {}, {"a"}, {"b", "a"}, {"a", "a"}, {" a ", "a,b", `"`, `\`, "{}", "NULL", "null", "é", "e\u0301", "\t\n"},
		{strings.Repeat("t", driver.MaxNameBytes), "x"}, slices.Repeat([]string{"tag"}, driver.MaxTags),
	} {
		add(func(r *driver.Record) { r.Tags = tags })
	}
	for _, enc := range []string{"json", "J", "json+zstd+aead1", strings.Repeat("~", driver.MaxEncodingBytes), `!"#$%&'()*+,-./:;<=>?@[\]^_{|}~`} {
		add(func(r *driver.Record) { r.Encoding = enc })
	}
	return recs
}

// checkedSize says whether a record passes Check.
func checkedSize(caps driver.Caps, r driver.Record) (int, error) {
	return driver.Size(&r), driver.Check(caps, to("s", driver.Any, r))
}

func checkRecordBytes(t *test) {
	a := t.open()
	want := t.awkward()
	for i := range want {
		// One at a time: together they may exceed the limits of an append.
		a.append("awkward", driver.Exactly(driver.Version(i)), want[i])
		want[i].Stream, want[i].Version = "awkward", driver.Version(i)+1
	}
	b := t.other(a)
	for i, w := range a.ways() {
		stream := fmt.Sprint("way-", i)
		small := smallOf(want)
		for done := 0; done < len(small); {
			recs := small[done:min(done+t.batch(5)-w.beside, len(small))]
			t.must(w.append(stream, driver.Version(done), recs))
			for j := range recs {
				recs[j].Stream, recs[j].Version = stream, driver.Version(done+j)+1
			}
			done += len(recs)
		}
		t.same("R1", w.name, small, b.stream(driver.StreamQuery{Stream: stream}))
	}
	t.same("R1", "read from the stream", want, b.stream(driver.StreamQuery{Stream: "awkward"}))
	t.same("R1", "read from the stream, two a page", want, b.stream(driver.StreamQuery{Stream: "awkward", Limit: 2}))
	back := b.stream(driver.StreamQuery{Stream: "awkward", Backward: true})
	slices.Reverse(back)
	t.same("R1", "read backward", want, back)
	t.same("R1", "read from the feed", want, ofStream(b.whole(0), "awkward"))
}

// smallOf returns those of some records of which several fit into an append.
func smallOf(recs []driver.Record) []driver.Record {
	return slices.DeleteFunc(slices.Clone(recs), func(r driver.Record) bool { return driver.Size(&r) > 150 })
}

// way is one of the ways in which records get into a stream that is at a version: a
// store may have code of its own for each.
type way struct {
	name   string
	beside int // how many events are appended beside them
	append func(stream string, base driver.Version, recs []driver.Record) error
}

// ways are those that the store has.
func (c *client) ways() []way {
	t := c.t
	expecting := func(e func(base driver.Version) driver.Expected) func(string, driver.Version, []driver.Record) error {
		return func(stream string, base driver.Version, recs []driver.Record) error {
			_, err := c.appendSurely(to(stream, e(base), recs...))
			return err
		}
	}
	all := []way{
		{"appended at an exact version", 0, expecting(driver.Exactly)},
		{"appended at any version", 0, expecting(func(driver.Version) driver.Expected { return driver.Any })},
		{"appended to what exists", 0, expecting(func(base driver.Version) driver.Expected {
			if base == 0 {
				return driver.NoStream
			}
			return driver.Exists
		})},
	}
	if implementing[driver.GroupAppender](c.s) && t.batch(3) > 2 {
		all = append(all, way{"appended in a group", 2, func(stream string, _ driver.Version, recs []driver.Record) error {
			return c.groupSurely([]driver.AppendRequest{
				to(stream+"-before", driver.Any, record()), to(stream, driver.Any, recs...), to(stream+"-after", driver.Any, record()),
			})[1].Err
		}})
	}
	if t.caps.MaxStreams > 1 && t.batch(2) > 1 {
		all = append(all, way{"appended beside another stream", 1, func(stream string, base driver.Version, recs []driver.Record) error {
			_, err := c.appendSurely(toEach(
				driver.Part{Stream: stream + "-before", Expected: driver.Any, Records: records(1)},
				driver.Part{Stream: stream, Expected: driver.Exactly(base), Records: recs},
			))
			return err
		}})
	}
	return all
}

// ofStream returns the records of one stream.
func ofStream(recs []driver.Record, stream string) []driver.Record {
	return slices.DeleteFunc(slices.Clone(recs), func(r driver.Record) bool { return r.Stream != stream })
}

// same ends the check unless got is what was appended.
func (t *test) same(rule, what string, want, got []driver.Record) {
	t.Helper()
	if len(want) != len(got) {
		i := 0
		for i < min(len(want), len(got)) && want[i].ID == got[i].ID {
			i++
		}
		if i < len(want) {
			t.broken(rule, "%s: %d records instead of %d; record %d should be version %d of stream %.60q, and is not", what, len(got), len(want), i, want[i].Version, want[i].Stream)
		}
		t.broken(rule, "%s: %d records instead of %d; record %d, version %d of stream %.60q, should not be there", what, len(got), len(want), i, got[i].Version, got[i].Stream)
	}
	for i := range want {
		if d := difference(want[i], got[i]); d != "" {
			t.broken(rule, "%s: record %d (%.60q, version %d): %s", what, i, want[i].Stream, want[i].Version, d)
		}
	}
}

// difference says how a record that was read differs from what was appended; it
// leaves the position out.
func difference(want, got driver.Record) string {
	field := func(name string, want, got any) string {
		return fmt.Sprintf("%s is %.200q, appended was %.200q", name, got, want)
	}
	switch {
	case want.Stream != got.Stream:
		return field("stream", want.Stream, got.Stream)
	case want.Version != got.Version:
		return fmt.Sprintf("version is %d, appended was %d", got.Version, want.Version)
	case want.ID != got.ID:
		return field("id", want.ID.String(), got.ID.String())
	case want.Type != got.Type:
		return field("type", want.Type, got.Type)
	case want.Encoding != got.Encoding:
		return field("encoding", want.Encoding, got.Encoding)
	case !slices.Equal(want.Tags, got.Tags):
		return fmt.Sprintf("tags are %.200q, appended were %.200q", got.Tags, want.Tags)
	case !bytes.Equal(want.Data, got.Data):
		return fmt.Sprintf("data has %d bytes, %.100q, appended were %d, %.100q", len(got.Data), got.Data, len(want.Data), want.Data)
	case !bytes.Equal(want.Metadata, got.Metadata):
		return fmt.Sprintf("metadata has %d bytes, %.100q, appended were %d, %.100q", len(got.Metadata), got.Metadata, len(want.Metadata), want.Metadata)
	}
	if cut := driver.FromMicros(driver.Micros(want.Time)); !got.Time.Equal(cut) || got.Time.Location() != time.UTC {
		return fmt.Sprintf("time is %v, appended was %v, in UTC and cut to the microsecond %v", got.Time, want.Time.Round(0), cut)
	}
	return ""
}

func checkRecordTime(t *test) {
	a := t.open()
	east := time.FixedZone("east", 5*3600+1800)
	times := []time.Time{
		time.Now(), time.Now().UTC(),
		time.Date(1, 1, 1, 0, 0, 0, 1000, time.UTC),
		time.Date(9999, 12, 31, 23, 59, 59, 999_999_999, time.UTC),
		time.Date(9999, 12, 31, 23, 59, 59, 999_999_999, east), // another day in UTC
		time.Date(1969, 12, 31, 23, 59, 59, 999_999_999, time.UTC),
		time.Date(1969, 12, 31, 23, 59, 59, 1, time.UTC),
		time.Unix(0, 0), time.Unix(0, 999), time.Unix(0, 1000),
		time.Date(1582, 10, 10, 12, 0, 0, 0, time.UTC), time.Date(1900, 2, 28, 23, 59, 59, 999_999_000, time.UTC),
		time.Date(2000, 2, 29, 0, 0, 0, 123_456_789, east), time.Date(2038, 1, 19, 3, 14, 8, 0, time.UTC),
		time.Date(2262, 4, 12, 0, 0, 0, 0, time.UTC), time.Date(1677, 9, 20, 0, 0, 0, 0, time.UTC), // beyond 64 bits of nanoseconds
		time.Date(2016, 12, 31, 23, 59, 59, 500_000_000, time.UTC), time.Date(4000, 1, 1, 0, 0, 0, 1001, time.UTC),
	}
	want := records(len(times))
	for i := range want {
		want[i].Time = times[i]
	}
	a.put("times", 0, want)
	b := t.other(a)
	t.same("R2", "read from the stream", want, b.stream(driver.StreamQuery{Stream: "times"}))
	t.same("R2", "read from the feed", want, ofStream(b.whole(0), "times"))

	// No ordering depends on it: times that fall, in one stream and over several.
	var order []driver.ID
	for i := range 12 {
		r := record()
		r.Time = noon.AddDate(-i, 0, 0)
		b.append(fmt.Sprint("falling-", i%2), driver.Any, r)
		order = append(order, r.ID)
		if !t.caps.PositionOnAppend {
			b.whole(0) // gives it a place before the next one
		}
	}
	feed := b.whole(3)
	var got []driver.ID
	for _, r := range feed {
		if strings.HasPrefix(r.Stream, "falling-") {
			got = append(got, r.ID)
		}
	}
	if !slices.Equal(got, order) {
		t.broken("R2", "events whose times fall are not in the order in which they were appended: %v instead of %v", got, order)
	}
}

func checkOwnership(t *test) {
	a := t.open()
	n := t.batch(3)
	reqs := []driver.AppendRequest{to("owned", driver.NoStream, records(n)...)}
	if t.caps.MaxStreams > 1 && t.batch(2) > 1 {
		reqs = append(reqs, toEach(driver.Part{Stream: "owned-3", Records: records(1)}, driver.Part{Stream: "owned-2", Records: records(1)}))
	}
	var want, feed []driver.Record
	for _, req := range reqs {
		for _, p := range req.Parts {
			for i := range p.Records {
				r := &p.Records[i]
				r.Tags, r.Metadata = []string{"one", "two"}, []byte("metadata")
				// What a store sets when it is read is ignored, and left alone.
				r.Stream, r.Version, r.Position = "elsewhere", 77, 99
				w := clone(*r)
				w.Stream, w.Version = p.Stream, driver.Version(i)+1
				want = append(want, w)
			}
		}
		before := cloneRequest(req)
		res, err := a.Append(t.ctx, req)
		t.must(err)
		if d := requestDifference(before, req); d != "" {
			t.broken("R3", "Append changed the request: %s", d)
		}
		scribbleRequest(req)
		first := driver.AppendResult{Parts: slices.Clone(res.Parts)}
		for range 2 {
			for i := range res.Parts {
				res.Parts[i] = driver.Appended{First: 1 << 40, Last: 1 << 41, Position: 1 << 42}
			}
			res, err = a.Append(t.ctx, cloneRequest(before))
			t.recognised("R3", "after its result was overwritten", first, res, err)
		}
	}
	read := func(c *client, when, again string) {
		t.Helper()
		page, err := c.ReadAll(t.ctx, driver.FeedQuery{})
		t.must(err)
		t.noSharedCapacity("from the feed", page.Records)
		sp, err := c.ReadStream(t.ctx, driver.StreamQuery{Stream: "owned"})
		t.must(err)
		t.noSharedCapacity("from the stream", sp.Records)
		for _, limit := range []int{0, 1} {
			for _, w := range []string{"owned", "owned-2", "owned-3"} {
				of := ofStream(want, w)
				if len(of) == 0 {
					continue
				}
				page, err := c.ReadStream(t.ctx, driver.StreamQuery{Stream: w, Limit: limit})
				t.must(err)
				t.same("R3", when+", from the stream", of[:len(page.Records)], page.Records)
				scribble(page.Records)
				when = again
			}
			page, err := c.ReadAll(t.ctx, driver.FeedQuery{Limit: limit})
			t.must(err)
			t.same("R3", when+", from the feed", feed[:len(page.Records)], page.Records)
			scribble(page.Records)
			when = again
		}
	}
	for _, r := range a.whole(0) { // the order of the streams may be any
		i := slices.IndexFunc(want, func(w driver.Record) bool { return w.Stream == r.Stream && w.Version == r.Version })
		if i < 0 {
			t.broken("R3", "after the request was overwritten, the feed has version %d of stream %q", r.Version, r.Stream)
		}
		feed = append(feed, want[i])
	}
	t.filterStays(a)
	t.pagesStay(a, feed)
	const overwritten = "after what was read before was overwritten"
	read(a, "after the request was overwritten", overwritten)
	read(a, overwritten, overwritten)
	read(t.other(a), overwritten+", by another client", overwritten+", by another client")

	req := deletion("owned", driver.Any, driver.Tombstone)
	req.Record.Stream, req.Record.Version, req.Record.Position = "elsewhere", 77, 99
	tombstone := clone(req.Record)
	_, err := a.Delete(t.ctx, req)
	t.must(err)
	if !reflect.DeepEqual(tombstone, req.Record) {
		t.broken("R3", "Delete changed the record of the request: %+v, was %+v", req.Record, tombstone)
	}
	tombstone.Stream, tombstone.Version, tombstone.Position = "owned", driver.Version(n)+1, 0
	scribble([]driver.Record{req.Record})
	got := a.stream(driver.StreamQuery{Stream: "owned", Deleted: true, From: tombstone.Version})
	t.same("R3", "the record of a delete, after the request was overwritten", []driver.Record{tombstone}, got)
}

// filterStays ends the check unless reading the feed leaves its filter alone.
func (t *test) filterStays(c *client) {
	t.Helper()
	if !t.caps.FilterFeed {
		return
	}
	q := driver.FeedQuery{Filter: driver.Filter{Types: []string{"z", "happened", "a", "a"}, Prefixes: []string{"z", "owned", "a", "a"}}}
	was := driver.Filter{Types: slices.Clone(q.Filter.Types), Prefixes: slices.Clone(q.Filter.Prefixes)}
	_, err := c.ReadAll(t.ctx, q)
	t.must(err)
	if !reflect.DeepEqual(q.Filter, was) {
		t.broken("R3", "ReadAll changed the filter of the request: it is %q, and was %q", q.Filter, was)
	}
}

// pagesStay appends to the records of each page, and looks whether that changes the
// page behind it.
func (t *test) pagesStay(c *client, feed []driver.Record) {
	t.Helper()
	for stream, recs := range perStream(feed) {
		q := driver.StreamQuery{Stream: stream, Limit: 1}
		for i := range recs {
			page, err := c.ReadStream(t.ctx, q)
			t.must(err)
			t.same("R3", "after a record was appended to the page before, from the stream", recs[i:i+1], page.Records)
			_ = append(page.Records, driver.Record{ID: record().ID})
			q.From = page.Records[0].Version + 1
		}
	}
	q := driver.FeedQuery{Limit: 1}
	for i := 0; i < len(feed); {
		page, err := c.ReadAll(t.ctx, q)
		t.must(err)
		t.same("R3", "after a record was appended to the page before, from the feed", feed[i:i+len(page.Records)], page.Records)
		_ = append(page.Records, driver.Record{ID: record().ID})
		i, q.After = i+len(page.Records), page.Next
	}
}

// noSharedCapacity appends to each slice of some records and looks whether that
// changes another one.
func (t *test) noSharedCapacity(what string, recs []driver.Record) {
	t.Helper()
	want := make([]driver.Record, len(recs))
	for i := range recs {
		want[i] = clone(recs[i])
	}
	for i := range recs {
		_ = append(recs[i].Data, "########"...)
		_ = append(recs[i].Metadata, "########"...)
		_ = append(recs[i].Tags, "overwritten")
	}
	for i := range recs {
		if !reflect.DeepEqual(want[i], recs[i]) {
			t.broken("R3", "%s: appending to a slice of one record changed record %d: %+v was %+v", what, i, recs[i], want[i])
		}
	}
}

func checkRecordPlace(t *test) {
	a := t.open()
	for i := range 6 {
		a.append(fmt.Sprint("placed-", i%2), driver.Any, record())
	}
	b := t.other(a)
	feed := b.whole(0)
	for _, backward := range []bool{false, true} {
		for _, stream := range []string{"placed-0", "placed-1"} {
			got := b.stream(driver.StreamQuery{Stream: stream, Backward: backward})
			if backward {
				slices.Reverse(got)
			}
			want := ofStream(feed, stream)
			t.same("R4", "a stream as it is in the feed", want, got)
			for i := range got {
				if p := got[i].Position; p != want[i].Position && (p != 0 || t.caps.PositionOnAppend) {
					t.broken("R4", "version %d of stream %q is at position %d in the feed, and has position %d read from the stream", got[i].Version, stream, want[i].Position, p)
				}
			}
		}
	}
}

// checkConcurrentOwnership lets readers overwrite what they got while others
// read the same: the race detector or a wrong byte tells.
func checkConcurrentOwnership(t *test) {
	a := t.open()
	want := a.fill("shared", 0, 5)
	for i := range want {
		want[i].Data = bytes.Clone(want[i].Data)
	}
	a.whole(0)
	t.together(4, func(i int) {
		for range t.scale(20) {
			var recs []driver.Record
			if i%2 == 0 {
				page, err := a.ReadStream(t.ctx, driver.StreamQuery{Stream: "shared"})
				if err != nil {
					t.wrong("X1", "ReadStream: %v", err)
					return
				}
				recs = page.Records
			} else {
				page, err := a.ReadAll(t.ctx, driver.FeedQuery{})
				if err != nil {
					t.wrong("X1", "ReadAll: %v", err)
					return
				}
				recs = page.Records
			}
			for j, r := range recs {
				if d := difference(want[j], r); d != "" {
					t.wrong("R3", "while other readers overwrite what they got: record %d: %s", j, d)
					return
				}
			}
			scribble(recs)
		}
	})
}

func clone(r driver.Record) driver.Record {
	r.Tags, r.Data, r.Metadata = slices.Clone(r.Tags), bytes.Clone(r.Data), bytes.Clone(r.Metadata)
	return r
}

func cloneRequest(req driver.AppendRequest) driver.AppendRequest {
	req.Parts = slices.Clone(req.Parts)
	for i := range req.Parts {
		req.Parts[i].Records = slices.Clone(req.Parts[i].Records)
		for j := range req.Parts[i].Records {
			req.Parts[i].Records[j] = clone(req.Parts[i].Records[j])
		}
	}
	return req
}

func requestDifference(want, got driver.AppendRequest) string {
	for i := range want.Parts {
		w, g := want.Parts[i], got.Parts[i]
		if w.Stream != g.Stream || w.Expected != g.Expected || len(w.Records) != len(g.Records) {
			return fmt.Sprintf("part %d is %.60q, %v, %d records and was %.60q, %v, %d records", i, g.Stream, g.Expected, len(g.Records), w.Stream, w.Expected, len(w.Records))
		}
		for j := range w.Records {
			if !reflect.DeepEqual(w.Records[j], g.Records[j]) {
				words := inShort([]any{j, i, g.Records[j], w.Records[j]})
				return fmt.Sprintf("record %d of part %d is now %v; it was %v", words...)
			}
		}
	}
	return ""
}

func scribbleRequest(req driver.AppendRequest) {
	for i := range req.Parts {
		scribble(req.Parts[i].Records)
		req.Parts[i] = driver.Part{Stream: "overwritten", Expected: 12}
	}
}

// scribble overwrites records and all that they refer to, beyond their lengths
// as well: append must not reach what another holds.
func scribble(recs []driver.Record) {
	for i := range recs {
		r := &recs[i]
		for _, b := range [][]byte{r.Data[:cap(r.Data)], r.Metadata[:cap(r.Metadata)]} {
			for j := range b {
				b[j] = '#'
			}
		}
		for j := range r.Tags[:cap(r.Tags)] {
			r.Tags[:cap(r.Tags)][j] = "overwritten"
		}
		*r = driver.Record{Stream: "overwritten", Version: 1 << 40, Position: 1 << 40, Type: "overwritten"}
	}
}
