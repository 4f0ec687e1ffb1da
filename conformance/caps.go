package conformance

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"github.com/go-es/es/driver"
)

var capsChecks = []check{
	{"caps/constant", "M1", nil, checkCapsConstant},
	{"caps/limits", "M2 N2", nil, checkLimits},
	{"caps/group", "M2", []need{needGroups}, checkGroupLimits},
	{"caps/unclaimed", "M3", nil, checkUnclaimed},
}

func checkCapsConstant(t *test) {
	cs := t.openAll(2)
	want := t.caps
	if given := t.cfg.Caps; given != (driver.Caps{}) && given != want {
		t.broken("M1", "the store claims other Caps than Config.Caps has: %s", capsDifference(want, given))
	}
	for i := range 3 {
		for _, c := range cs {
			if got := c.s.Caps(); got != want {
				t.broken("M1", "client %d claims other Caps than the store claimed before: %s", c.n, capsDifference(got, want))
			}
		}
		cs[0].mixed(fmt.Sprint("claimed-", i), 2)
	}
	if c := want; c.MaxEventBytes < 0 || c.MaxAppendEvents < 0 || c.MaxAppendBytes < 0 || c.MaxStreams < 0 || c.MaxSnapshotBytes < 0 {
		t.broken("M1", "a limit is negative: %+v", c)
	}
}

// atLimits returns an append that reaches every limit of caps at once, with the
// longest names for which there is room.
func atLimits(caps driver.Caps) driver.AppendRequest {
	events := caps.MaxAppendEvents
	if events == 0 {
		events = 200
	}
	most := caps.MaxAppendBytes
	if most == 0 {
		most = max(2<<20, 2*caps.MaxEventBytes)
	}
	each := caps.MaxEventBytes
	if each == 0 {
		each = most / 2
	}
	// Every event is as small as its names allow; the rest is shared out.
	bare := driver.Record{Type: "t", Encoding: "e"}
	events = min(events, most/driver.Size(&bare))
	streams := max(1, min(caps.MaxStreams, events))
	typ, enc := long(driver.MaxNameBytes, "T", ""), strings.Repeat("e", driver.MaxEncodingBytes)
	named := driver.Record{Type: typ, Encoding: enc}
	recs := records(events)
	left := most
	for i := range recs {
		r := &recs[i]
		r.Data = nil
		after := (events - i - 1) * driver.Size(&bare) // what those that follow need at least
		if r.Type, r.Encoding = typ, enc; driver.Size(&named) > each || driver.Size(&named) > left-after {
			r.Type, r.Encoding = "t", "e"
		}
		for len(r.Tags) < driver.MaxTags && i == 0 {
			r.Tags = append(r.Tags, typ)
			if n := driver.Size(r); n > each || n > left-after {
				r.Tags = r.Tags[:len(r.Tags)-1]
				break
			}
		}
		if i == events-1 || driver.Size(r)+each <= left-after { // fill it up
			room := min(each, left-after) - driver.Size(r)
			r.Data = bytes.Repeat([]byte{byte(i)}, max(room, 0))
		}
		left -= driver.Size(r)
	}
	parts := make([]driver.Part, streams)
	for i := range parts {
		parts[i] = driver.Part{Stream: long(driver.MaxNameBytes, "中", fmt.Sprint(i)), Expected: driver.NoStream}
	}
	for i, r := range recs {
		p := &parts[i%streams]
		p.Records = append(p.Records, r)
	}
	return toEach(parts...)
}

func checkLimits(t *test) {
	cs := t.openAll(2)
	a, b := cs[0], cs[1]
	req := atLimits(t.caps)
	if err := driver.Check(t.caps, req); err != nil {
		t.Fatalf("the suite made a request that Check refuses: %v", err)
	}
	if _, err := a.Append(t.ctx, req); err != nil {
		t.broken("M2", "an append at every limit of %+v: %v", t.caps, err)
	}
	for _, p := range req.Parts {
		for i := range p.Records {
			p.Records[i].Stream, p.Records[i].Version = p.Stream, driver.Version(i+1)
		}
		t.same("M2", "an append at every limit", p.Records, b.stream(driver.StreamQuery{Stream: p.Stream}))
	}
	b.whole(0)
	for _, p := range req.Parts {
		for i := range p.Records {
			p.Records[i].Stream, p.Records[i].Version = "", 0
		}
	}
	if _, err := b.Append(t.ctx, req); err != nil {
		t.broken("I1", "an append at every limit, sent again: %v", err)
	}
	if n := t.batch(t.caps.MaxAppendEvents); n > 1 { // all of them to one stream
		want := records(n)
		if _, err := a.Append(t.ctx, to("all", driver.Any, want...)); err != nil {
			t.broken("M2", "an append of %d small events to one stream, with a limit of %d: %v", n, t.caps.MaxAppendEvents, err)
		}
		for i := range want {
			want[i].Stream, want[i].Version = "all", driver.Version(i+1)
		}
		t.same("M2", "as many events as one append may have, in one stream", want, b.stream(driver.StreamQuery{Stream: "all"}))
	}
	stream := req.Parts[0].Stream
	if implementing[driver.SnapshotStore](a.s) {
		size := t.caps.MaxSnapshotBytes
		if size == 0 {
			size = 2 << 20
		}
		s := driver.Snapshot{Stream: stream, Kind: long(driver.MaxNameBytes, "k", ""), Version: 1, EventID: record().ID, Encoding: strings.Repeat("e", driver.MaxEncodingBytes)}
		s.Data = bytes.Repeat([]byte("s"), size-driver.SnapshotSize(&s))
		if err := a.SaveSnapshot(t.ctx, s); err != nil {
			t.broken("M2", "a snapshot at the limit: %v", err)
		}
		t.keeps(b, "M2", "a snapshot at the limit", s)
	}
	d := deletion(stream, driver.Any, driver.Tombstone)
	room := t.caps.MaxEventBytes
	if most := t.caps.MaxAppendBytes; most > 0 && (room == 0 || most < room) {
		room = most
	}
	if room == 0 {
		room = 1 << 20
	}
	d.Record.Metadata = bytes.Repeat([]byte("m"), room-driver.Size(&d.Record))
	if _, err := a.Delete(t.ctx, d); err != nil {
		t.broken("M2", "a delete whose record is at the limit: %v", err)
	}
	page, err := b.ReadStream(t.ctx, driver.StreamQuery{Stream: stream, Deleted: true, Backward: true, Limit: 1})
	t.must(err)
	d.Record.Stream, d.Record.Version = stream, page.Head
	t.same("M2", "the record of a delete at the limit", []driver.Record{d.Record}, page.Records)
	b.whole(0)
}

// checkGroupLimits gives a group the limits of one append.
func checkGroupLimits(t *test) {
	a := t.open()
	caps := t.caps
	caps.MaxStreams = 1
	all := atLimits(caps).Parts[0].Records
	var reqs []driver.AppendRequest
	for i, r := range all {
		reqs = append(reqs, to(long(driver.MaxNameBytes, "g", fmt.Sprint(i)), driver.Any, r))
	}
	for i, o := range a.groupSurely(reqs) {
		if o.Err != nil {
			t.broken("M2", "member %d of a group of %d at every limit of an append: %v", i, len(reqs), o.Err)
		}
	}
	if n := len(a.whole(0)); n != len(reqs) {
		t.broken("M2", "a group of %d at every limit of an append has stored %d events", len(reqs), n)
	}
}

// checkUnclaimed asks for what the store does not claim.
func checkUnclaimed(t *test) {
	a := t.open()
	unsupported := func(what string, err error) {
		t.Helper()
		if !errors.Is(err, errors.ErrUnsupported) {
			t.broken("M3", "%s, which this store does not claim: error %v", what, err)
		}
	}
	a.append("claimed", driver.NoStream, record())
	if t.caps.MaxStreams <= 1 {
		_, err := a.Append(t.ctx, toEach(driver.Part{Stream: "x", Records: records(1)}, driver.Part{Stream: "y", Records: records(1)}))
		unsupported("an append to two streams", err)
		if a.head("x") != 0 || a.head("y") != 0 {
			t.broken("M3", "an append to two streams, which this store does not claim, has written")
		}
	}
	if !t.caps.FilterFeed {
		_, err := a.ReadAll(t.ctx, driver.FeedQuery{Filter: driver.Filter{Types: []string{"t"}}})
		unsupported("a filter of types", err)
		_, err = a.ReadAll(t.ctx, driver.FeedQuery{Filter: driver.Filter{Prefixes: []string{"p"}}})
		unsupported("a filter of prefixes", err)
	}
	if !implementing[driver.CheckpointStore](a.s) {
		_, err := driver.Checkpoints(a.s)
		unsupported("checkpoints", err)
	}
	if !implementing[driver.SnapshotStore](a.s) {
		_, err := driver.Snapshots(a.s)
		unsupported("snapshots", err)
	}
	if !implementing[driver.Notifier](a.s) {
		unsupported("wake-ups", driver.Listen(t.ctx, a.s, func() {}))
	}
	if !t.caps.PositionOnAppend && !implementing[driver.Settler](a.s) {
		t.broken("T1", "a store without Caps.PositionOnAppend that is no Settler")
	}
	if n := len(a.whole(0)); n != 1 {
		t.broken("M3", "what is not claimed has left %d events in the feed", n-1)
	}
}
