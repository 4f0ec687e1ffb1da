package conformance

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/go-es/es/driver"
)

var groupChecks = []check{
	{"group/outcomes", "G1 G2", []need{needGroups, needBatch}, checkGroupOutcomes},
	{"group/single", "G1 R3", []need{needGroups}, checkGroupOfOne},
	{"group/one-stream", "G1 F7", []need{needGroups, needBatch}, checkGroupOfOneStream},
	{"group/large", "G1", []need{needGroups, needBatch}, checkLargeGroup},
	{"group/concurrent", "G1", []need{needGroups, needBatch}, checkConcurrentGroups},
}

// groupSurely appends a group and decides the members that were transient or of
// unknown outcome one by one.
func (c *client) groupSurely(reqs []driver.AppendRequest) []driver.Outcome {
	outs := c.AppendGroup(c.t.ctx, reqs)
	c.decide(reqs, outs)
	return outs
}

// decide decides what of a group was transient or of unknown outcome.
func (c *client) decide(reqs []driver.AppendRequest, outs []driver.Outcome) {
	for i, o := range outs {
		req := reqs[i]
		if e, unknown := errors.AsType[*driver.UnknownOutcomeError](o.Err); unknown {
			req = driver.Rebase(req, e.Parts)
		} else if !driver.IsTransient(o.Err) {
			continue
		}
		outs[i].Result, outs[i].Err = c.appendSurely(req)
	}
}

// checkGroupOutcomes puts members that succeed beside members that fail in every
// way.
func checkGroupOutcomes(t *test) {
	cs := t.openAll(2)
	a, b := cs[0], cs[1]
	a.fill("three", 0, 3)
	a.fill("any", 0, 1)
	a.fill("closed", 0, 1)
	a.delete("closed", driver.Tombstone)
	old := records(1)
	a.append("again", driver.NoStream, old...)
	again := a.append("again", 1, record())
	twin := record()
	members := []struct {
		name string
		req  driver.AppendRequest
		want driver.Appended
		err  error
	}{
		{"a conflict", to("three", 2, record()), driver.Appended{}, driver.ErrConflict},
		{"a new stream", to("new", driver.NoStream, record()), driver.Appended{First: 1, Last: 1}, nil},
		{"a closed stream", to("closed", driver.Any, record()), driver.Appended{}, driver.ErrStreamDeleted},
		{"any version", to("any", driver.Any, record()), driver.Appended{First: 2, Last: 2}, nil},
		{"sent again", to("again", driver.NoStream, old...), driver.Appended{First: 1, Last: 1}, nil},
		{"a missing stream", to("missing", driver.Exists, record()), driver.Appended{}, driver.ErrConflict},
		{"an exact version", to("exact", driver.NoStream, record()), driver.Appended{First: 1, Last: 1}, nil},
		{"other ids", to("four", 4, record()), driver.Appended{}, driver.ErrConflict},
		{"one id", to("one", driver.NoStream, twin), driver.Appended{First: 1, Last: 1}, nil},
		{"the id of a member to another stream", to("other", driver.Any, twin), driver.Appended{First: 1, Last: 1}, nil},
	}
	for i := range members { // each has something of its own, but what is sent again
		if r := &members[i].req.Parts[0].Records[0]; r.ID != old[0].ID {
			r.Metadata, r.Tags, r.Data = fmt.Appendf(nil, "metadata %d", i), []string{fmt.Sprint("tag ", i)}, fmt.Appendf(nil, "data %d", i)
			r.Type, r.Encoding, r.Time = fmt.Sprint("type ", i), fmt.Sprint("encoding-", i), noon.Add(time.Duration(i)*time.Second)
		}
	}
	n := t.batch(len(members))
	for begin := 0; begin < len(members); begin += n {
		group := members[begin:min(begin+n, len(members))]
		var reqs []driver.AppendRequest
		for _, m := range group {
			reqs = append(reqs, m.req)
		}
		for i, o := range b.groupSurely(reqs) {
			m := group[i]
			switch {
			case m.err == nil && o.Err != nil:
				t.broken("G2", "member %d of a group, %s, which would succeed alone: %v", i, m.name, o.Err)
			case !errors.Is(o.Err, m.err):
				t.broken("G1", "member %d of a group, %s: error %v instead of %v", i, m.name, o.Err, m.err)
			case m.err == nil && (o.Result.Parts[0].First != m.want.First || o.Result.Parts[0].Last != m.want.Last):
				t.broken("G1", "member %d of a group, %s, returned %s instead of versions %d to %d", i, m.name, brief(o.Result), m.want.First, m.want.Last)
			case m.err == nil:
				want := m.req.Parts[0].Records[0]
				want.Stream, want.Version = m.req.Parts[0].Stream, m.want.First
				got := a.stream(driver.StreamQuery{Stream: want.Stream, From: want.Version, Limit: 1})
				t.same("G1", fmt.Sprintf("member %d of a group, %s", i, m.name), []driver.Record{want}, got[:min(len(got), 1)])
			}
		}
	}
	for stream, want := range map[string]driver.Version{"three": 3, "new": 1, "closed": 2, "any": 2, "again": again.Last, "missing": 0, "exact": 1, "four": 0, "one": 1, "other": 1} {
		if got := a.head(stream); got != want {
			t.broken("G2", "after a group, stream %q is at version %d instead of %d", stream, got, want)
		}
	}
	a.whole(0)
	t.noStrangers(a)
}

func checkGroupOfOne(t *test) {
	cs := t.openAll(2)
	recs := records(t.batch(3))
	for i := range recs {
		recs[i].Metadata, recs[i].Tags = []byte("metadata"), []string{"one", "two"}
	}
	req := to("single", driver.NoStream, recs...)
	before := cloneRequest(req)
	outs := cs[0].groupSurely([]driver.AppendRequest{req})
	t.must(outs[0].Err)
	if d := requestDifference(before, req); d != "" {
		t.broken("R3", "AppendGroup changed a request: %s", d)
	}
	want := cloneRequest(req).Parts[0].Records
	scribbleRequest(req)
	for i := range want {
		want[i].Stream, want[i].Version = "single", driver.Version(i+1)
	}
	t.same("G1", "appended as a group of one", want, cs[1].stream(driver.StreamQuery{Stream: "single"}))
	if outs := cs[0].AppendGroup(t.ctx, nil); len(outs) != 0 {
		t.broken("G1", "an empty group has %d outcomes", len(outs))
	}
	cs[0].whole(0)
}

// checkGroupOfOneStream appends several members to one stream, among others.
func checkGroupOfOneStream(t *test) {
	cs := t.openAll(2)
	a, b := cs[0], cs[1]
	a.fill("one", 0, 2)
	a.fill("closed", 0, 1)
	a.delete("closed", driver.Tombstone)
	twice := record()
	var reqs []driver.AppendRequest
	events := 0
	for i, stream := range []string{"one", "new", "one", "closed", "new", "one", "closed", "one"} {
		recs := records(1 + i%2)
		if stream == "new" {
			recs = []driver.Record{twice} // an id belongs to one append
		}
		if events += len(recs); events <= t.batch(events) {
			reqs = append(reqs, to(stream, driver.Any, recs...))
		}
	}
	outs := b.AppendGroup(t.ctx, reqs)
	inOrder := !slices.ContainsFunc(outs, func(o driver.Outcome) bool {
		return driver.IsTransient(o.Err) || errors.Is(o.Err, driver.ErrUnknownOutcome)
	})
	b.decide(reqs, outs)
	stored := map[string][]driver.Record{"one": a.stream(driver.StreamQuery{Stream: "one"})}
	if len(reqs) > 1 {
		stored["new"] = a.stream(driver.StreamQuery{Stream: "new"})
	}
	last := map[string]driver.Version{"one": 2}
	for i, o := range outs {
		p := reqs[i].Parts[0]
		if p.Stream == "closed" {
			if !errors.Is(o.Err, driver.ErrStreamDeleted) {
				t.broken("G1", "member %d of a group, to a closed stream: error %v", i, o.Err)
			}
			continue
		}
		t.must(o.Err)
		got := o.Result.Parts[0]
		if inOrder && got.First != last[p.Stream]+1 {
			t.broken("G1", "member %d of a group with several to stream %q: %s, and %d was the version before it", i, p.Stream, brief(got), last[p.Stream])
		}
		last[p.Stream] = max(last[p.Stream], got.Last)
		for j, r := range p.Records {
			at := int(got.First) - 1 + j
			if at < 0 || at >= len(stored[p.Stream]) || stored[p.Stream][at].ID != r.ID {
				t.broken("G1", "member %d of a group with several to stream %q: %s, and id %v is not at version %d", i, p.Stream, brief(got), r.ID, at+1)
			}
		}
	}
	for stream, recs := range stored {
		if int(last[stream]) != len(recs) {
			t.broken("G1", "after a group stream %q has %d events instead of %d", stream, len(recs), last[stream])
		}
	}
	a.whole(0) // and the positions are those that the members were told
	t.noStrangers(a)
}

// checkLargeGroup appends as many members as one append may have events.
func checkLargeGroup(t *test) {
	cs := t.openAll(2)
	n := t.batch(200)
	for round := range 2 {
		var reqs []driver.AppendRequest
		for i := range n {
			e := driver.Any
			if i%2 == 0 {
				e = driver.Exactly(driver.Version(round))
			}
			reqs = append(reqs, to(fmt.Sprint("large-", i), e, record()))
		}
		for i, o := range cs[round].groupSurely(reqs) {
			if o.Err != nil || o.Result.Parts[0].Last != driver.Version(round+1) {
				t.broken("G1", "member %d of a group of %d: %s, error %v", i, n, brief(o.Result), o.Err)
			}
		}
	}
	for stream, recs := range perStream(cs[0].whole(0)) {
		if len(recs) != 2 {
			t.broken("G1", "two groups with a member for stream %q have written %d events to it", stream, len(recs))
		}
	}
}

// checkConcurrentGroups runs groups with streams in common, in any order.
func checkConcurrentGroups(t *test) {
	cs := t.openAll(4)
	var mu sync.Mutex
	var attempts []attempt
	deadline := time.Now().Add(t.span())
	t.together(8, func(w int) {
		c := cs[w%len(cs)]
		rng := rand.New(rand.NewPCG(uint64(w), 9))
		for k := 0; k < 60 && (k < 5 || time.Now().Before(deadline)); k++ {
			var reqs []driver.AppendRequest
			for _, s := range rng.Perm(6)[:t.batch(4)] {
				stream := fmt.Sprint("common-", s)
				e := driver.Any
				if rng.IntN(3) == 0 {
					page, err := c.ReadStream(t.ctx, driver.StreamQuery{Stream: stream, Backward: true, Limit: 1})
					if err != nil && !errors.Is(err, driver.ErrStreamNotFound) {
						t.wrong("G1", "ReadStream: %v", err)
						return
					}
					e = driver.Exactly(page.Head)
				}
				reqs = append(reqs, to(stream, e, record()))
				if e == driver.Any && rng.IntN(3) == 0 && len(reqs) < t.batch(6) {
					reqs = append(reqs, to(stream, e, record()))
				}
			}
			reqs = reqs[:t.batch(len(reqs))]
			for i, o := range c.groupSurely(reqs) {
				if o.Err != nil && (!errors.Is(o.Err, driver.ErrConflict) || reqs[i].Parts[0].Expected == driver.Any) {
					t.wrong("G1", "a member at %v of one of several groups at once: %v", reqs[i].Parts[0].Expected, o.Err)
				}
				mu.Lock()
				attempts = append(attempts, attempt{req: reqs[i], res: o.Result, err: o.Err})
				mu.Unlock()
			}
			time.Sleep(500 * time.Microsecond)
		}
	})
	cs[0].judge(attempts)
}
