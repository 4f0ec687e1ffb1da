package conformance

import (
	"errors"
	"fmt"

	"github.com/go-es/es/driver"
)

// The connection breaks at each of the requests of a call in turn.

// mostRequests bounds how many requests of one call are broken.
const mostRequests = 40

// faultyWrite is a kind of call whose connection breaks: what has to be there
// before, the call, and what has to hold once it is decided.
type faultyWrite struct {
	name  string
	needs []need
	make  func(f *faultyCall)
}

// faultyCall is one call of a faultyWrite.
type faultyCall struct {
	t      *test
	a, c   *client // a is well, c breaks
	stream string  // of this call alone
	arm    func()  // breaks the connection from here on; called once by make

	attempts []attempt
}

var faultyWrites = []faultyWrite{
	{"Append to a new stream", nil, func(f *faultyCall) { f.append(driver.NoStream) }},
	{"Append at an exact version", nil, func(f *faultyCall) { f.append(3) }},
	{"Append at any version", nil, func(f *faultyCall) { f.append(driver.Any) }},
	{"Append to what exists", nil, func(f *faultyCall) { f.append(driver.Exists) }},
	{"Append to several streams", []need{needStreams}, func(f *faultyCall) {
		f.a.fill(f.stream, 0, 3)
		parts := []driver.Part{
			{Stream: f.stream, Expected: driver.Any, Records: records(1)},
			{Stream: f.stream + "-new", Expected: driver.NoStream, Records: records(f.t.batch(3) - 1)},
		}
		if f.t.caps.MaxStreams > 2 {
			parts = append(parts, driver.Part{Stream: f.stream + "-none", Expected: driver.NoStream})
		}
		f.write(toEach(parts...))
	}},
	{"AppendGroup", []need{needGroups}, func(f *faultyCall) {
		var reqs []driver.AppendRequest
		for i := range f.t.batch(3) {
			reqs = append(reqs, to(fmt.Sprint(f.stream, "-", i), []driver.Expected{driver.NoStream, driver.Any}[i%2], record()))
		}
		f.arm()
		for i, o := range f.c.AppendGroup(f.t.ctx, reqs) {
			f.attempts = append(f.attempts, attempt{req: reqs[i], res: o.Result, err: o.Err})
		}
	}},
	{"Delete", nil, func(f *faultyCall) { f.delete(driver.Tombstone, driver.Any) }},
	{"Delete at an exact version", nil, func(f *faultyCall) { f.delete(driver.Tombstone, 3) }},
	{"Purge", nil, func(f *faultyCall) { f.delete(driver.Purge, driver.Any) }},
	{"Purge of a closed stream", nil, func(f *faultyCall) {
		f.fill()
		f.a.delete(f.stream, driver.Tombstone)
		d := deletion(f.stream, driver.Any, driver.Purge)
		f.a.log.purging(f.stream)
		f.arm()
		_, err := f.c.s.Delete(f.t.ctx, d)
		f.trace("Purge", d, err)
		if err == nil {
			f.erased("which had succeeded")
		}
		f.a.delete(f.stream, driver.Purge)
		f.erased("and was purged again")
	}},
	{"SaveCheckpoint", []need{needCheckpoints}, func(f *faultyCall) {
		cp := at(f.stream, 1)
		f.repeat("SaveCheckpoint", func() error { return f.c.SaveCheckpoint(f.t.ctx, cp, driver.Revision{}) })
		f.t.loads(f.a, "U3", "after its connection was lost", cp)
		f.t.must(f.a.DeleteCheckpoint(f.t.ctx, cp.Name))
	}},
	{"DeleteCheckpoint", []need{needCheckpoints}, func(f *faultyCall) {
		f.t.must(f.a.SaveCheckpoint(f.t.ctx, at(f.stream, 1), driver.Revision{}))
		f.repeat("DeleteCheckpoint", func() error { return f.c.DeleteCheckpoint(f.t.ctx, f.stream) })
		if got := f.a.checkpoints(0); len(got) != 0 {
			f.t.broken("U3", "DeleteCheckpoint succeeded, and there is %+v", got[0])
		}
	}},
	{"SaveSnapshot", []need{needSnapshots}, func(f *faultyCall) {
		f.a.fill(f.stream, 0, 3)
		snap := snapshot(f.stream, "state", 2)
		f.repeat("SaveSnapshot", func() error { return f.c.SaveSnapshot(f.t.ctx, snap) })
		f.t.keeps(f.a, "U3", "after its connection was lost", snap)
	}},
	{"DeleteSnapshot", []need{needSnapshots}, func(f *faultyCall) {
		f.fill()
		f.repeat("DeleteSnapshot", func() error { return f.c.DeleteSnapshot(f.t.ctx, f.stream, "state") })
		f.t.keepsNone(f.a, "U3", "after its connection was lost", f.stream, "state")
	}},
	{"reads", nil, func(f *faultyCall) {
		recs := f.a.fill(f.stream, 0, 3)
		f.arm()
		page, err := f.c.ReadStream(f.t.ctx, driver.StreamQuery{Stream: f.stream})
		if err == nil && len(page.Records) > 0 && page.Records[0].ID != recs[0].ID {
			f.t.broken("S1", "ReadStream with the connection lost returned %s", brief(page))
		}
		f.c.ReadAll(f.t.ctx, driver.FeedQuery{})
		f.c.Head(f.t.ctx)
		f.c.ListStreams(f.t.ctx, driver.ListQuery{})
	}},
}

// fill makes a stream of three events, with a snapshot.
func (f *faultyCall) fill() {
	f.a.fill(f.stream, 0, 3)
	if implementing[driver.SnapshotStore](f.a.s) {
		f.t.must(f.a.SaveSnapshot(f.t.ctx, snapshot(f.stream, "state", 2)))
	}
}

func (f *faultyCall) trace(name string, args any, err error) {
	f.t.trace.add(traced{f.c.n, name + " with the connection lost", args, nil, err})
}

func (f *faultyCall) append(e driver.Expected) {
	if e != driver.NoStream {
		f.a.fill(f.stream, 0, 3)
	}
	f.write(to(f.stream, e, records(f.t.batch(2))...))
}

// write makes an append once, and again if it says that it may be made again.
func (f *faultyCall) write(req driver.AppendRequest) {
	f.arm()
	res, err := f.c.s.Append(f.t.ctx, req)
	f.trace("Append", req, err)
	f.c.lookAtTransient("Append", err)
	f.c.lookAtRefusal(err, req.Parts...)
	if errors.Is(err, driver.ErrConflict) {
		f.t.broken("U2", "an append to stream %q at %v, which holds, with the connection lost: %v", f.stream, req.Parts[0].Expected, err)
	}
	if driver.IsTransient(err) {
		if res, err = f.c.Append(f.t.ctx, req); err != nil {
			f.t.broken("U4", "an append to stream %q at %v, made again after a transient error: %v", f.stream, req.Parts[0].Expected, err)
		}
	} else if err == nil {
		f.c.lookAtAppend(req, res)
	}
	f.attempts = append(f.attempts, attempt{req: req, res: res, err: err})
}

// delete closes a stream. A purge has to have erased all if it says so, or once
// it was made again.
func (f *faultyCall) delete(mode driver.DeleteMode, e driver.Expected) {
	t := f.t
	f.fill()
	d := deletion(f.stream, e, mode)
	if mode == driver.Purge {
		f.a.log.purging(f.stream)
	}
	f.arm()
	got, err := f.c.s.Delete(t.ctx, d)
	f.trace("Delete", d, err)
	f.c.lookAtTransient("Delete", err)
	f.c.lookAtRefusal(err, driver.Part{Stream: d.Stream, Expected: d.Expected, Records: []driver.Record{d.Record}})
	head := f.a.head(f.stream)
	unknown, isUnknown := errors.AsType[*driver.UnknownOutcomeError](err)
	switch {
	case err == nil:
		f.c.lookAtDelete(d, got)
	case isUnknown:
		if len(unknown.Parts) == 1 {
			d.Expected = driver.Exactly(unknown.Parts[0].Base)
		}
		if _, err = f.a.Delete(t.ctx, d); err != nil {
			t.broken("U3", "a delete of unknown outcome (%v), made again at its base: %v", unknown, err)
		}
	case head != 3:
		t.broken("U2", "a delete of stream %q, which failed with %v, took it from version 3 to %d", f.stream, err, head)
	default: // nothing was done: all of it is there
		if recs := f.a.stream(driver.StreamQuery{Stream: f.stream}); len(recs) != 3 {
			t.broken("U2", "a delete of stream %q of 3 events failed with %v, and left %s", f.stream, err, briefRecords(recs))
		}
		if _, err = f.a.Delete(t.ctx, d); err != nil {
			t.broken("U4", "a delete of stream %q, made again after it had failed: %v", f.stream, err)
		}
	}
	f.attempts = append(f.attempts, attempt{delete: &d})
	if mode == driver.Purge {
		f.erased("which had succeeded, or was made again")
		return
	}
	if recs := f.a.stream(driver.StreamQuery{Stream: f.stream, Deleted: true}); len(recs) != 4 {
		t.broken("D2", "a tombstoned stream of 3 events is %s", briefRecords(recs))
	}
}

// erased ends the check unless a purge has left nothing.
func (f *faultyCall) erased(how string) {
	t := f.t
	t.Helper()
	if left := f.a.stream(driver.StreamQuery{Stream: f.stream, Deleted: true}); len(left) != 1 || left[0].Type != driver.TypeDeleted {
		t.broken("D4", "a purge of stream %q whose connection was lost, %s, left %s", f.stream, how, briefRecords(left))
	}
	if left := ofStream(f.a.everything(), f.stream); len(left) != 1 {
		t.broken("D4", "a purge of stream %q whose connection was lost, %s, left %s in the feed", f.stream, how, briefRecords(left))
	}
	if implementing[driver.SnapshotStore](f.a.s) {
		t.keepsNone(f.a, "D8", "after a purge whose connection was lost, "+how, f.stream, "state")
	}
}

// repeat makes a call that changes no stream until it succeeds.
func (f *faultyCall) repeat(name string, call func() error) {
	f.t.Helper()
	f.arm()
	f.t.repeat(name, call)
}

// openFaulty returns a client that is well, and one of the same data whose connection
// breaks on demand.
func (t *test) openFaulty() (a, c *client, f Faulty) {
	dsn := t.data()
	a = t.open()
	f = t.cfg.Fault(t.TB, dsn)
	c = t.adopt(dsn, f.Store)
	c.faulty = true
	return a, c, f
}

// checkEachRequest breaks the connection at each of the requests of every kind
// of write: at the first, the second and so on, until the call has no more.
func checkEachRequest(t *test) {
	a, c, faulty := t.openFaulty()
	if faulty.BreakAt == nil {
		t.Skipf("for want of Faulty.BreakAt")
	}
	p := &probe{cfg: t.cfg, caps: t.caps, store: c.s}
	var attempts []attempt
	for i, w := range faultyWrites {
		if (&check{needs: w.needs}).missing(p) != "" {
			continue
		}
		for _, reply := range []bool{false, true} {
			for n := 1; n <= mostRequests; n++ {
				t.trace.add(traced{c.n, fmt.Sprintf("%s, the connection lost at request %d (reply %t)", w.name, n, reply), nil, nil, nil})
				var broke func() bool
				f := &faultyCall{t: t, a: a, c: c, stream: fmt.Sprintf("each-%d-%t-%d", i, reply, n)}
				f.arm = func() { broke = faulty.BreakAt(n, reply) }
				w.make(f)
				attempts = append(attempts, f.attempts...)
				if !broke() {
					break
				}
			}
		}
	}
	a.judge(attempts)
}
