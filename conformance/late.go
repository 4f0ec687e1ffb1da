package conformance

import (
	"errors"
	"fmt"
	"slices"

	"github.com/go-es/es/driver"
)

// A request whose connection broke may still be under way, in a proxy or a queue,
// when the call has ended: it arrives late, after others have gone on.

// lateWrite is a kind of call of which a request arrives late.
type lateWrite struct {
	name  string
	needs []need
	make  func(l *lateCall)
}

// lateCall is one call of a lateWrite.
type lateCall struct {
	t      *test
	a, c   *client // a is well, of c a request is held back
	stream string  // of this call alone
	then   turn
	late   func(n int) (deliver func() bool)
	n      int // which of the requests that write is held back

	deliver  func() bool
	arrived  bool
	attempts []attempt
}

// turn is what becomes of a stream before the request arrives, and the sentence by
// which it then changes nothing.
type turn struct {
	name, rule string
	take       func(c *client, stream string)
}

var turns = []turn{
	{"the stream grew", "U2", func(c *client, stream string) { c.append(stream, driver.Any, record()) }},
	{"the stream was closed", "D5", func(c *client, stream string) { c.delete(stream, driver.Tombstone) }},
	{"the stream was purged", "D5", func(c *client, stream string) { c.delete(stream, driver.Purge) }},
}

// lateAppends are made once for each turn.
var lateAppends = []lateWrite{
	{"Append to a new stream", nil, func(l *lateCall) { l.append(to(l.stream, driver.NoStream, records(l.t.batch(2))...)) }},
	{"Append at an exact version", nil, func(l *lateCall) { l.append(to(l.fill(), 3, records(l.t.batch(2))...)) }},
	{"Append at any version", nil, func(l *lateCall) { l.append(to(l.fill(), driver.Any, records(l.t.batch(2))...)) }},
	{"Append to what exists", nil, func(l *lateCall) { l.append(to(l.fill(), driver.Exists, record())) }},
	{"Append to several streams", []need{needStreams}, func(l *lateCall) {
		l.append(toEach(
			driver.Part{Stream: l.fill(), Expected: driver.Any, Records: records(1)},
			driver.Part{Stream: l.stream + "-new", Expected: driver.NoStream, Records: records(1)}))
	}},
	{"Append beside a check", []need{needStreams}, func(l *lateCall) {
		l.a.fill(l.stream+"-check", 0, 2)
		l.append(toEach(
			driver.Part{Stream: l.stream + "-check", Expected: 2},
			driver.Part{Stream: l.fill(), Expected: 3, Records: records(1)}))
	}},
	{"AppendGroup", []need{needGroups}, func(l *lateCall) {
		var reqs []driver.AppendRequest
		for i := range l.t.batch(3) {
			reqs = append(reqs, to(fmt.Sprint(l.stream, "-", i), []driver.Expected{driver.NoStream, driver.Any}[i%2], record()))
		}
		l.hold()
		var as []attempt
		for i, o := range l.c.s.(driver.GroupAppender).AppendGroup(l.t.ctx, reqs) {
			l.trace("AppendGroup", reqs[i], o.Err)
			as = append(as, l.look(reqs[i], o.Result, o.Err))
		}
		l.appended(as...)
	}},
}

// lateOthers are made once, each with turns of its own. What C6 and P5 leave open, a
// first checkpoint that comes back, say, is not among them.
var lateOthers = []lateWrite{
	{"Append beside a check of the next version", []need{needStreams}, func(l *lateCall) {
		l.a.fill(l.stream+"-check", 0, 2)
		l.early(toEach(
			driver.Part{Stream: l.stream, Expected: driver.NoStream, Records: records(1)},
			driver.Part{Stream: l.stream + "-check", Expected: 3}))
	}},
	{"Append beside a check that a stream exists", []need{needStreams}, func(l *lateCall) {
		l.early(toEach(
			driver.Part{Stream: l.stream + "-check", Expected: driver.Exists},
			driver.Part{Stream: l.fill(), Expected: driver.Any, Records: records(1)}))
	}},
	{"Delete", nil, func(l *lateCall) { l.delete(driver.Tombstone, driver.Any) }},
	{"Delete at an exact version", nil, func(l *lateCall) { l.delete(driver.Tombstone, 3) }},
	{"Purge", nil, func(l *lateCall) { l.delete(driver.Purge, driver.Any) }},
	{"SaveCheckpoint, and another saved", []need{needCheckpoints}, func(l *lateCall) {
		cp := l.saveCheckpoint(driver.Revision{})
		next := at(l.stream, 2)
		l.t.must(l.a.SaveCheckpoint(l.t.ctx, next, cp.Revision))
		l.arrives()
		l.t.loads(l.a, "C2", l.after("another was saved"), next)
	}},
	{"SaveCheckpoint over another, and a third saved", []need{needCheckpoints}, func(l *lateCall) {
		cp := l.saveCheckpoint(l.first().Revision)
		next := at(l.stream, 3)
		l.t.must(l.a.SaveCheckpoint(l.t.ctx, next, cp.Revision))
		l.arrives()
		l.t.loads(l.a, "C2", l.after("another was saved"), next)
	}},
	{"SaveCheckpoint over another, and it was deleted", []need{needCheckpoints}, func(l *lateCall) {
		l.saveCheckpoint(l.first().Revision)
		l.t.must(l.a.DeleteCheckpoint(l.t.ctx, l.stream))
		l.arrives()
		l.none()
	}},
	{"SaveCheckpoint, and it was deleted and saved anew", []need{needCheckpoints}, func(l *lateCall) {
		l.saveCheckpoint(driver.Revision{})
		l.t.must(l.a.DeleteCheckpoint(l.t.ctx, l.stream))
		anew := at(l.stream, 2)
		l.t.must(l.a.SaveCheckpoint(l.t.ctx, anew, driver.Revision{}))
		l.arrives()
		l.t.loads(l.a, "C2", l.after("it was deleted and saved anew"), anew)
	}},
	{"SaveSnapshot, and a newer one saved", []need{needSnapshots}, func(l *lateCall) {
		l.saveSnapshot()
		newer := snapshot(l.stream, "state", 3)
		l.t.must(l.a.SaveSnapshot(l.t.ctx, newer))
		l.arrives()
		l.t.keeps(l.a, "P2", l.after("a newer one was saved"), newer)
	}},
	{"SaveSnapshot, and its stream was closed", []need{needSnapshots}, func(l *lateCall) {
		l.saveSnapshot()
		l.a.delete(l.stream, driver.Tombstone)
		l.arrives()
		l.t.keepsNone(l.a, "P4", l.after("its stream was closed"), l.stream, "state")
	}},
	{"SaveSnapshot, and it was deleted, and its stream purged", []need{needSnapshots}, func(l *lateCall) {
		l.saveSnapshot()
		l.t.must(l.a.DeleteSnapshot(l.t.ctx, l.stream, "state"))
		l.a.delete(l.stream, driver.Purge)
		l.arrives()
		l.t.keepsNone(l.a, "P4", l.after("it was deleted and its stream purged"), l.stream, "state")
	}},
	{"DeleteSnapshot, and another saved, and its stream purged", []need{needSnapshots}, func(l *lateCall) {
		l.t.must(l.a.SaveSnapshot(l.t.ctx, snapshot(l.fill(), "state", 2)))
		l.hold()
		l.t.repeat("DeleteSnapshot", func() error { return l.c.DeleteSnapshot(l.t.ctx, l.stream, "state") })
		l.t.must(l.a.SaveSnapshot(l.t.ctx, snapshot(l.stream, "state", 3)))
		l.a.delete(l.stream, driver.Purge)
		l.arrives()
		l.t.keepsNone(l.a, "P4", l.after("another was saved and its stream purged"), l.stream, "state")
	}},
	{"SaveSnapshot, and its stream was purged", []need{needSnapshots}, func(l *lateCall) {
		l.saveSnapshot()
		l.a.delete(l.stream, driver.Purge)
		l.arrives()
		l.t.keepsNone(l.a, "P4", l.after("its stream was purged"), l.stream, "state")
	}},
}

// lateRequests bounds how many requests of one call are held back in turn: others that
// write may be a client's own, beside the call.
const lateRequests = 4

// checkLate lets each request of each kind of write arrive when its call has ended and
// others have gone on.
func checkLate(t *test) {
	a, c, faulty := t.openFaulty()
	if faulty.Late == nil {
		t.Skipf("for want of Faulty.Late")
	}
	p := &probe{cfg: t.cfg, caps: t.caps, store: c.s}
	var attempts []attempt
	calls := 0
	try := func(w *lateWrite, then turn) {
		if (&check{needs: w.needs}).missing(p) != "" {
			return
		}
		for n := 1; n <= lateRequests; n++ {
			calls++
			l := &lateCall{t: t, a: a, c: c, stream: fmt.Sprint("late-", calls), then: then, late: faulty.Late, n: n}
			t.trace.add(traced{c.n, fmt.Sprintf("%s, of which request %d arrives late", w.name, n), nil, nil, nil})
			w.make(l)
			attempts = append(attempts, l.attempts...)
			if !l.arrived {
				break
			}
		}
	}
	for i := range lateAppends {
		for _, then := range turns {
			try(&lateAppends[i], then)
		}
	}
	for i := range lateOthers {
		try(&lateOthers[i], turn{})
	}
	a.judge(attempts)
}

// fill makes a stream of three events.
func (l *lateCall) fill() string {
	l.a.fill(l.stream, 0, 3)
	return l.stream
}

// hold lets a request of the call be held back.
func (l *lateCall) hold() { l.deliver = l.late(l.n) }

// arrives delivers what was held back.
func (l *lateCall) arrives() {
	l.t.Helper()
	if l.arrived = l.deliver(); !l.arrived && l.n == 1 {
		l.t.Fatalf("%s: Faulty.Late held no request back\n    done last:\n%s", l.t.check.name, l.t.trace.String())
	}
	l.t.trace.add(traced{l.c.n, "the request arrived late", nil, nil, nil})
}

func (l *lateCall) after(what string) string {
	return "a request whose connection was lost arrived after " + what
}

func (l *lateCall) trace(name string, args any, err error) {
	l.t.trace.add(traced{l.c.n, name + " with a request held back", args, nil, err})
}

// look looks at what an append whose request is held back returned.
func (l *lateCall) look(req driver.AppendRequest, res driver.AppendResult, err error) attempt {
	l.c.lookAtTransient("Append", err)
	l.c.lookAtRefusal(err, req.Parts...)
	if err == nil {
		l.c.lookAtAppend(req, res)
	}
	return attempt{req: req, res: res, err: err}
}

// append makes an append of which all parts hold.
func (l *lateCall) append(req driver.AppendRequest) {
	l.t.Helper()
	l.hold()
	res, err := l.c.s.Append(l.t.ctx, req)
	l.trace("Append", req, err)
	l.appended(l.look(req, res, err))
}

// appended goes on after appends that hold: their streams take their turn, and what
// arrives then changes nothing. One of unknown outcome may still hold locks, and is
// decided when its request has arrived.
func (l *lateCall) appended(as ...attempt) {
	t := l.t
	t.Helper()
	if slices.ContainsFunc(as, func(a attempt) bool { return errors.Is(a.err, driver.ErrUnknownOutcome) }) {
		l.arrives()
		l.attempts = append(l.attempts, as...)
		return
	}
	var streams []string
	for _, a := range as {
		if errors.Is(a.err, driver.ErrConflict) {
			t.broken("U2", "an append to stream %q at %v, which holds, with the connection lost: %v", a.req.Parts[0].Stream, a.req.Parts[0].Expected, a.err)
		}
		for _, p := range a.req.Parts {
			if len(p.Records) > 0 {
				streams = append(streams, p.Stream)
			}
		}
	}
	l.a.judge(as)
	var before [][]driver.Record
	for _, s := range streams {
		if l.a.head(s) > 0 {
			l.then.take(l.a, s)
		}
		before = append(before, l.whole(s))
	}
	l.arrives()
	for i, s := range streams {
		l.unchanged(l.then.rule, l.after(l.then.name), before[i], l.whole(s))
	}
}

// whole returns what there is of a stream.
func (l *lateCall) whole(stream string) []driver.Record {
	l.t.Helper()
	recs, err := l.a.tryStream(driver.StreamQuery{Stream: stream, Deleted: true})
	if !errors.Is(err, driver.ErrStreamNotFound) {
		l.t.must(err)
	}
	return recs
}

// unchanged ends the check unless a stream is as it was.
func (l *lateCall) unchanged(rule, when string, before, now []driver.Record) {
	l.t.Helper()
	same := len(before) == len(now)
	for i := 0; same && i < len(now); i++ {
		same = before[i].Version == now[i].Version && before[i].ID == now[i].ID
	}
	if !same {
		l.t.broken(rule, "%s, and its stream, which was %s, is %s", when, briefRecords(before), briefRecords(now))
	}
}

// early makes an append beside a check that does not hold yet, lets it come to hold,
// and delivers the request then.
func (l *lateCall) early(req driver.AppendRequest) {
	t := l.t
	t.Helper()
	l.hold()
	res, err := l.c.s.Append(t.ctx, req)
	l.trace("Append", req, err)
	made := l.look(req, res, err)
	if err == nil {
		t.broken("A4", "an append beside a check of stream %q, which does not hold, succeeded", l.stream+"-check")
	}
	l.a.append(l.stream+"-check", driver.Any, record())
	l.arrived = l.deliver() // a store that has looked at the check first has sent nothing
	l.attempts = append(l.attempts, made)
}

// delete closes a stream, and lets another client purge it before the request
// arrives.
func (l *lateCall) delete(mode driver.DeleteMode, e driver.Expected) {
	t := l.t
	t.Helper()
	d := deletion(l.fill(), e, mode)
	if implementing[driver.SnapshotStore](l.a.s) {
		t.must(l.a.SaveSnapshot(t.ctx, snapshot(l.stream, "state", 2)))
	}
	if mode == driver.Purge {
		l.a.log.purging(l.stream)
	}
	l.hold()
	got, err := l.c.s.Delete(t.ctx, d)
	l.trace("Delete", d, err)
	l.c.lookAtTransient("Delete", err)
	l.c.lookAtRefusal(err, driver.Part{Stream: d.Stream, Expected: d.Expected, Records: []driver.Record{d.Record}})
	if err == nil {
		l.c.lookAtDelete(d, got)
	}
	l.attempts = append(l.attempts, attempt{delete: &d, err: err})
	rule, when := "D4", "it was purged"
	switch {
	case errors.Is(err, driver.ErrUnknownOutcome): // as in appended
		l.arrives()
		return
	case err != nil: // it is not closed, and never will be by this call
		rule, when = "U2", "its stream grew"
		l.a.append(l.stream, driver.Any, record())
	default:
		l.a.delete(l.stream, driver.Purge)
	}
	before := l.whole(l.stream)
	l.arrives()
	l.unchanged(rule, l.after(when), before, l.whole(l.stream))
	if err == nil && implementing[driver.SnapshotStore](l.a.s) {
		t.keepsNone(l.a, "D8", l.after(when), l.stream, "state")
	}
}

// first saves a checkpoint in the ordinary way.
func (l *lateCall) first() driver.Checkpoint {
	l.t.Helper()
	cp := at(l.stream, 1)
	l.t.must(l.a.SaveCheckpoint(l.t.ctx, cp, driver.Revision{}))
	return cp
}

// saveCheckpoint saves one whose request is held back.
func (l *lateCall) saveCheckpoint(prev driver.Revision) driver.Checkpoint {
	l.t.Helper()
	cp := at(l.stream, 1)
	l.hold()
	l.t.repeat("SaveCheckpoint", func() error { return l.c.SaveCheckpoint(l.t.ctx, cp, prev) })
	l.t.loads(l.a, "U3", "after its connection was lost", cp)
	return cp
}

// none ends the check unless a checkpoint that was deleted has stayed so.
func (l *lateCall) none() {
	l.t.Helper()
	got, err := l.a.LoadCheckpoint(l.t.ctx, l.stream)
	if err != nil || got != (driver.Checkpoint{}) {
		l.t.broken("C6", "%s: there is %+v, error %v", l.after("it was deleted"), got, err)
	}
}

// saveSnapshot saves one of version 2 whose request is held back.
func (l *lateCall) saveSnapshot() {
	l.t.Helper()
	snap := snapshot(l.fill(), "state", 2)
	l.hold()
	l.t.repeat("SaveSnapshot", func() error { return l.c.SaveSnapshot(l.t.ctx, snap) })
	l.t.keeps(l.a, "U3", "after its connection was lost", snap)
}
