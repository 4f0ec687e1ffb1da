package conformance

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"

	"github.com/go-es/es/driver"
)

var versionChecks = []check{
	{"versions/count", "V1", nil, checkVersionsCount},
	{"versions/expected", "V2 V3 V4", nil, checkExpectedVersions},
	{"versions/race", "V5", nil, checkVersionRace},
	{"versions/linearizable", "V5", nil, checkLinearizable},
}

func checkVersionsCount(t *test) {
	cs := t.openAll(2)
	heads := map[string]driver.Version{}
	for i, expected := range []driver.Expected{driver.NoStream, driver.Any, driver.Exists, driver.Any, driver.Exists, driver.Any} {
		for _, stream := range []string{"x", "y", "x-1"} {
			n := t.batch(1 + i%3)
			got := cs[i%2].append(stream, expected, records(n)...)
			want := heads[stream]
			if got.First != want+1 || got.Last != want+driver.Version(n) {
				t.broken("V1", "stream %q was at version %d; an append of %d, %v, returned %s", stream, want, n, expected, brief(got))
			}
			heads[stream] += driver.Version(n)
			got = cs[i%2].append(stream, driver.Exactly(heads[stream]), record())
			if heads[stream]++; got.First != heads[stream] {
				t.broken("V1", "stream %q was at version %d; an append of 1 returned %s", stream, heads[stream]-1, brief(got))
			}
		}
	}
	for stream, head := range heads {
		got := cs[0].stream(driver.StreamQuery{Stream: stream})
		if driver.Version(len(got)) != head {
			t.broken("V1", "stream %q has %d events, and %d were appended", stream, len(got), head)
		}
		for i, r := range got {
			if r.Version != driver.Version(i+1) {
				t.broken("V1", "event %d of stream %q has version %d", i+1, stream, r.Version)
			}
		}
	}
	cs[0].whole(0)
}

func checkExpectedVersions(t *test) {
	cs := t.openAll(2)
	a, b := cs[0], cs[1]
	states := []struct {
		name   string
		head   driver.Version
		closed bool
		make   func(stream string)
	}{
		{"missing", 0, false, func(string) {}},
		{"one", 1, false, func(s string) { a.append(s, driver.NoStream, record()) }},
		{"three", 3, false, func(s string) { a.fill(s, 0, 3) }},
		{"tombstoned", 2, true, func(s string) { a.fill(s, 0, 1); a.delete(s, driver.Tombstone) }},
		{"purged", 3, true, func(s string) { a.fill(s, 0, 2); a.delete(s, driver.Purge) }},
	}
	expecteds := []driver.Expected{driver.NoStream, 1, 2, 3, 4, 1 << 32, math.MaxInt64 - 8, driver.Any, driver.Exists}
	for _, st := range states {
		for _, e := range expecteds {
			for n := 1; n <= t.batch(2); n++ {
				stream := fmt.Sprintf("%s-%d-%d", st.name, e, n)
				st.make(stream)
				res, err := b.Append(t.ctx, to(stream, e, records(n)...))
				v, exact := e.Exact()
				rule, holds := "V2", exact && v == st.head
				if !exact {
					rule, holds = "V3", e == driver.Any || st.head > 0
				}
				head := st.head
				switch {
				case st.closed:
					if !errors.Is(err, driver.ErrStreamDeleted) {
						t.broken("V3", "a %s stream, expected %v: %s, error %v", st.name, e, brief(res), err)
					}
				case holds:
					if err != nil {
						t.broken(rule, "a stream at version %d, expected %v: %v", head, e, err)
					}
					if head += driver.Version(n); res.Parts[0].Last != head {
						t.broken("V1", "a stream at version %d, %d events appended: %s", st.head, n, brief(res))
					}
				default:
					if err == nil {
						t.broken(rule, "a stream at version %d, expected %v, and Append returned %s", head, e, brief(res))
					}
					c, ok := errors.AsType[*driver.ConflictError](err)
					if !ok || !errors.Is(err, driver.ErrConflict) {
						t.broken("V4", "a stream at version %d, expected %v: error %v", head, e, err)
					}
					if c.Actual > head || head > 0 && c.Actual == 0 {
						t.broken("V4", "a stream at version %d: a conflict with version %d, which it never had", head, c.Actual)
					}
				}
				if got := a.head(stream); got != head {
					t.broken("V4", "a %s stream at version %d, expected %v, error %v: now it is at version %d", st.name, st.head, e, err, got)
				}
			}
		}
	}
	a.whole(0)
	t.noStrangers(a)
}

// noStrangers ends the check if the feed has an event that was not acknowledged.
func (t *test) noStrangers(c *client) {
	t.Helper()
	acked := c.log.acknowledged()
	for _, r := range c.whole(0) {
		if _, ok := acked[place{r.Stream, r.Version}]; !ok && r.Type != driver.TypeDeleted {
			t.broken("V4", "version %d of stream %.60q, id %v, is in the feed, and no append of it succeeded", r.Version, r.Stream, r.ID)
		}
	}
}

// checkVersionRace lets 16 writers append, and some delete, at the same version.
func checkVersionRace(t *test) {
	const writers = 16
	cs := t.openAll(4)
	for round := range t.scale(30) {
		stream := fmt.Sprint("race-", round%7)
		base := cs[0].head(stream)
		deleting := round%5 == 4
		deletes := func(i int) bool { return deleting && i%4 == round%2*3 } // not always those that begin last
		mode := modes[round/10%2]
		if base == 0 && deleting {
			base = cs[0].append(stream, driver.NoStream, record()).Last
		}
		if base > 0 {
			if _, err := cs[0].tryStream(driver.StreamQuery{Stream: stream, From: base}); errors.Is(err, driver.ErrStreamDeleted) {
				stream = fmt.Sprint("race-", round%7, "-", round)
				base = cs[0].append(stream, driver.NoStream, record()).Last
			}
		}
		var mu sync.Mutex
		var won []driver.ID
		purged := map[driver.ID]bool{}
		refused := 0
		t.together(writers, func(i int) {
			c := cs[i%len(cs)]
			req := to(stream, driver.Exactly(base), records(t.batch(1+i%2))...)
			id := req.Parts[0].Records[0].ID
			var err error
			if deletes(i) {
				d := deletion(stream, driver.Exactly(base), mode)
				id = d.Record.ID
				_, err = c.deleteSurely(d)
			} else {
				_, err = c.appendSurely(req)
			}
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				won = append(won, id)
				purged[id] = deletes(i) && mode == driver.Purge
			case errors.Is(err, driver.ErrConflict), errors.Is(err, driver.ErrStreamDeleted):
				refused++
			default:
				t.wrong("V5", "one of %d writers at version %d of stream %q: %v", writers, base, stream, err)
			}
		})
		got := cs[round%len(cs)].stream(driver.StreamQuery{Stream: stream, From: base + 1, Deleted: true})
		if len(got) > 0 && got[0].Type == driver.TypeDeleted { // of several purges each succeeds
			won = slices.DeleteFunc(won, func(id driver.ID) bool { return purged[id] && id != got[0].ID })
		}
		if len(won) != 1 {
			t.broken("V5", "%d of %d concurrent writers at version %d of stream %q succeeded, %d were refused", len(won), writers, base, stream, refused)
		}
		if len(got) == 0 || got[0].ID != won[0] {
			t.broken("V5", "id %v was acknowledged as version %d of stream %q, which now has %s", won[0], base+1, stream, freezeRecords(got).ids())
		}
	}
	t.noStrangers(cs[0])
}

// appendSurely appends, and sends an append of unknown outcome again at its base
// until it is decided.
func (c *client) appendSurely(req driver.AppendRequest) (driver.AppendResult, error) {
	res, err := c.Append(c.t.ctx, req)
	for tries := 0; tries < 20; tries++ {
		e, unknown := errors.AsType[*driver.UnknownOutcomeError](err)
		if !unknown {
			break
		}
		req = driver.Rebase(req, e.Parts)
		res, err = c.Append(c.t.ctx, req)
	}
	return res, err
}

// deleteSurely deletes, and does so again as long as the outcome is unknown.
func (c *client) deleteSurely(req driver.DeleteRequest) (driver.Appended, error) {
	a, err := c.Delete(c.t.ctx, req)
	for tries := 0; tries < 20 && errors.Is(err, driver.ErrUnknownOutcome); tries++ {
		a, err = c.Delete(c.t.ctx, req)
	}
	return a, err
}
