package conformance

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/go-es/es/driver"
)

var streamChecks = []check{
	{"stream/forward", "S1 S3", nil, func(t *test) { checkStreamPages(t, false) }},
	{"stream/backward", "S2 S3", nil, func(t *test) { checkStreamPages(t, true) }},
	{"stream/missing", "S4", nil, checkMissingStream},
	{"stream/beyond", "S5", nil, checkBeyondStream},
	{"stream/head", "S6", nil, checkStreamHead},
	{"stream/growing", "S1 S6", nil, checkGrowingStream},
	{"stream/born", "S3 S4", nil, checkBornStream},
	{"stream/large", "S1 S2 S3 D3 I1", nil, checkLargeStream},
}

// checkStreamPages reads a stream from every version with every limit.
func checkStreamPages(t *test, backward bool) {
	cs := t.openAll(2)
	a := cs[0]
	const n = 7
	rule := "S1"
	if backward {
		rule = "S2"
	}
	// Neighbours, before and after it in every order, in between, and some whose names
	// are its own and what a key may have behind it.
	for _, sep := range separators {
		a.append("paged-2"+sep, driver.Any, record())
		a.append("paged-2"+sep+"1", driver.Any, record())
	}
	var want []driver.Record
	for i := range driver.Version(n) {
		a.append("paged", driver.Any, record())
		rec := records(1)
		a.put("paged-2", i, rec)
		want = append(want, rec...)
		a.append("paged-20", driver.Any, record())
	}
	for _, from := range []driver.Version{0, 1, 2, 4, 6, 7, 8, 100, math.MaxInt64} {
		var rest []driver.Record
		for _, r := range want {
			if !backward && r.Version >= from || backward && (from == 0 || r.Version <= from) {
				rest = append(rest, r)
			}
		}
		if backward {
			slices.Reverse(rest)
		}
		for _, limit := range []int{0, 1, 2, 3, 6, 7, 8, 1000, math.MaxInt32} {
			got := cs[1].stream(driver.StreamQuery{Stream: "paged-2", From: from, Limit: limit, Backward: backward})
			t.same(rule, fmt.Sprintf("from %d, limit %d, backward %t", from, limit, backward), rest, got)
		}
	}
	a.whole(0)
}

func checkMissingStream(t *test) {
	a := t.open()
	a.append("there", driver.NoStream, record())
	if _, err := a.Append(t.ctx, to("refused", driver.Exactly(1), record())); err == nil {
		t.broken("V2", "an append at version 1 of a stream that does not exist succeeded")
	}
	for _, stream := range []string{"missing", "There", "ther", "there-", "refused"} {
		for _, q := range []driver.StreamQuery{{}, {From: 5}, {Backward: true}, {Backward: true, From: 3, Limit: 1}, {Deleted: true}, {Deleted: true, Backward: true}} {
			q.Stream = stream
			page, err := a.ReadStream(t.ctx, q)
			if e, ok := errors.AsType[*driver.StreamError](err); !ok || e.Stream != stream || !errors.Is(err, driver.ErrStreamNotFound) {
				t.broken("S4", "ReadStream(%s), which does not exist, is %s, error %v", brief(q), brief(page), err)
			}
		}
	}
}

func checkBeyondStream(t *test) {
	a := t.open()
	a.fill("short", 0, 3)
	for _, from := range []driver.Version{4, 5, 1000, 1 << 40, math.MaxInt64} {
		for _, limit := range []int{0, 1, 10} {
			page, err := a.ReadStream(t.ctx, driver.StreamQuery{Stream: "short", From: from, Limit: limit})
			if err != nil || len(page.Records) != 0 || !page.End || page.Head != 3 {
				t.broken("S5", "from %d, beyond version 3, limit %d: %s, error %v", from, limit, brief(page), err)
			}
			got, err := a.tryStream(driver.StreamQuery{Stream: "short", From: from, Limit: limit, Backward: true})
			if err != nil || len(got) != 3 {
				t.broken("S2", "backward from %d, beyond version 3, limit %d: %s, error %v", from, limit, briefRecords(got), err)
			}
		}
	}
}

func checkStreamHead(t *test) {
	cs := t.openAll(2)
	for i := range driver.Version(6) {
		cs[0].append("headed", driver.Exactly(i), record())
		cs[0].append("other", driver.Any, record())
		for _, q := range []driver.StreamQuery{{}, {Limit: 1}, {From: 2, Limit: 1}, {From: 100}, {Backward: true}, {Backward: true, Limit: 1}, {Backward: true, From: 1}} {
			q.Stream = "headed"
			page, err := cs[1].ReadStream(t.ctx, q)
			t.must(err)
			if page.Head != i+1 {
				t.broken("S6", "a stream of %d events: ReadStream(%s) has head %d", i+1, brief(q), page.Head)
			}
		}
	}
}

// checkGrowingStream reads page by page while the stream grows.
func checkGrowingStream(t *test) {
	cs := t.openAll(2)
	a, b := cs[0], cs[1]
	want := a.fill("growing", 0, 3)
	var got []driver.Record
	q := driver.StreamQuery{Stream: "growing", Limit: 2}
	for i := 0; ; i++ {
		page, err := b.ReadStream(t.ctx, q)
		t.must(err)
		if int(page.Head) != len(want) {
			t.broken("S6", "the stream has %d events, and the page has head %d", len(want), page.Head)
		}
		got = append(got, page.Records...)
		if page.End {
			break
		}
		q.From = got[len(got)-1].Version + 1
		if i < 6 {
			want = append(want, a.fill("growing", driver.Version(len(want)), 1)...)
		}
	}
	t.same("S1", "read while it grew", want, got)
}

// checkBornStream reads streams while they get their first events: each read finds
// either no stream, or one with events.
func checkBornStream(t *test) {
	cs := t.openAll(4)
	for round := range t.scale(30) {
		stream := fmt.Sprint("born-", round)
		t.together(len(cs), func(n int) {
			if n == 0 {
				if _, err := cs[0].Append(t.ctx, to(stream, driver.NoStream, record())); err != nil {
					t.wrong("V2", "an append to a stream that does not exist: %v", err)
				}
				return
			}
			q := driver.StreamQuery{Stream: stream, Backward: n == 2}
			if !t.eventually(func() bool {
				page, err := cs[n].ReadStream(t.ctx, q)
				if errors.Is(err, driver.ErrStreamNotFound) {
					return false
				}
				if err != nil || len(page.Records) != 1 || page.Head != 1 {
					t.wrong("S3", "a read beside the first append of stream %q, which has one event: %d records, head %d, error %v", stream, len(page.Records), page.Head, err)
				}
				return true
			}) {
				t.wrong("S4", "stream %q was not found", stream)
			}
		})
	}
}

// checkLargeStream reads more events, and more bytes, than a page is likely to
// have, sends the first of them again, and purges them all.
func checkLargeStream(t *test) {
	a := t.open()
	want := records(t.scale(1500))
	for i := range want {
		want[i].Data = make([]byte, 200)
		want[i].Data[i%200] = byte(i)
	}
	a.put("large", 0, want)
	t.same("S1", "a large stream", want, a.stream(driver.StreamQuery{Stream: "large"}))
	back := a.stream(driver.StreamQuery{Stream: "large", Backward: true})
	slices.Reverse(back)
	t.same("S2", "a large stream, backward", want, back)
	t.same("S3", "a large stream, 333 a page", want, a.stream(driver.StreamQuery{Stream: "large", Limit: 333}))
	b := t.other(a)
	for _, v := range []int{0, len(want) / 2} {
		if res, err := b.Append(t.ctx, to("large", driver.Exactly(driver.Version(v)), want[v])); err != nil || res.Parts[0].Last != driver.Version(v+1) {
			t.broken("I1", "an append at version %d of a stream that is now at %d, sent again: %s, error %v", v, len(want), brief(res), err)
		}
	}
	if size := 1 << 20; t.caps.MaxEventBytes == 0 || t.caps.MaxEventBytes >= size {
		heavy := records(8)
		for i := range heavy {
			heavy[i].Data = make([]byte, size-1000)
			heavy[i].Data[i] = 1
		}
		if _, err := checkedSize(t.caps, heavy[0]); err == nil {
			for i := range heavy {
				a.append("heavy", driver.Exactly(driver.Version(i)), heavy[i])
				heavy[i].Stream, heavy[i].Version = "heavy", driver.Version(i+1)
			}
			t.same("S1", "a stream of large events", heavy, a.stream(driver.StreamQuery{Stream: "heavy"}))
		}
	}
	a.whole(0)
	b.delete("large", driver.Purge)
	for _, c := range []*client{a, b} {
		if left := c.stream(driver.StreamQuery{Stream: "large", Deleted: true}); len(left) != 1 || left[0].Type != driver.TypeDeleted {
			t.broken("D3", "a stream of %d events was purged, and %s are left", len(want), briefRecords(left))
		}
		if left := ofStream(c.whole(0), "large"); len(left) != 1 {
			t.broken("D3", "a stream of %d events was purged, and %s are left in the feed", len(want), briefRecords(left))
		}
	}
}
