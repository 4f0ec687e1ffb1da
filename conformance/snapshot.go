package conformance

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/go-es/es/driver"
)

var snapshotChecks = []check{
	{"snapshot/missing", "P1", []need{needSnapshots}, checkSnapshotMissing},
	{"snapshot/unborn", "P6 L1", []need{needSnapshots}, checkSnapshotUnborn},
	{"snapshot/newest", "P2", []need{needSnapshots}, checkSnapshotNewest},
	{"snapshot/race", "P2 P3", []need{needSnapshots}, checkSnapshotRace},
	{"snapshot/values", "P3 R3", []need{needSnapshots}, checkSnapshotValues},
	{"snapshot/delete", "P5", []need{needSnapshots}, checkSnapshotDelete},
}

// snapshot returns a snapshot that depends on what it is of alone.
func snapshot(stream, kind string, v driver.Version) driver.Snapshot {
	data := fmt.Appendf(nil, "%s/%s at %d", stream, kind, v)
	return driver.Snapshot{
		Stream: stream, Kind: kind, Version: v, EventID: driver.ID{byte(v), 1: byte(v >> 8), 15: 1}, Encoding: "json",
		Data: data[:min(len(data), 200)],
	}
}

func snapshotDifference(want, got driver.Snapshot) string {
	if want.Stream != got.Stream || want.Kind != got.Kind || want.Version != got.Version || want.EventID != got.EventID || want.Encoding != got.Encoding || !bytes.Equal(want.Data, got.Data) {
		return fmt.Sprintf("loaded was %.40q/%.40q at %d of %v, %q, %d bytes %.60q; saved was %.40q/%.40q at %d of %v, %q, %d bytes %.60q",
			got.Stream, got.Kind, got.Version, got.EventID, got.Encoding, len(got.Data), got.Data, want.Stream, want.Kind, want.Version, want.EventID, want.Encoding, len(want.Data), want.Data)
	}
	return ""
}

// keeps ends the check unless a snapshot is loaded as the given one.
func (t *test) keeps(c *client, rule, when string, want driver.Snapshot) {
	t.Helper()
	got, err := c.LoadSnapshot(t.ctx, want.Stream, want.Kind)
	if d := snapshotDifference(want, got); err != nil || d != "" {
		t.broken(rule, "%s: %s, error %v", when, d, err)
	}
}

func (t *test) keepsNone(c *client, rule, when, stream, kind string) {
	t.Helper()
	got, err := c.LoadSnapshot(t.ctx, stream, kind)
	if d := snapshotDifference(driver.Snapshot{}, got); err != nil || d != "" {
		t.broken(rule, "%s: the snapshot is %+v, error %v", when, got, err)
	}
}

func checkSnapshotMissing(t *test) {
	a := t.open()
	a.fill("there", 0, 2)
	t.keepsNone(a, "P1", "of a stream that does not exist", "missing", "state")
	t.keepsNone(a, "P1", "of a stream without snapshots", "there", "state")
	t.must(a.SaveSnapshot(t.ctx, snapshot("there", "state", 1)))
	t.keepsNone(a, "P1", "of another kind", "there", "State")
	t.keepsNone(a, "P1", "of another stream", "there-2", "state")
}

// checkSnapshotUnborn saves a snapshot of a stream that does not exist.
func checkSnapshotUnborn(t *test) {
	cs := t.openAll(2)
	snap := snapshot("unborn", "state", 3)
	err := cs[0].SaveSnapshot(t.ctx, snap)
	for _, c := range cs {
		switch {
		case err == nil:
			t.keeps(c, "P6", "saved for a stream that does not exist", snap)
		case errors.Is(err, driver.ErrStreamNotFound):
			t.keepsNone(c, "P6", "refused for a stream that does not exist", "unborn", "state")
		default:
			t.broken("P6", "SaveSnapshot for a stream that does not exist: %v", err)
		}
	}
	if got := cs[1].head("unborn"); got != 0 {
		t.broken("P6", "SaveSnapshot for a stream that does not exist made one at version %d", got)
	}
	t.listed(cs[1], "L1", driver.ListQuery{}, nil)
	cs[1].append("unborn", driver.NoStream, record())
	t.must(cs[0].SaveSnapshot(t.ctx, snapshot("unborn", "state", 4)))
	t.keeps(cs[1], "P6", "saved once the stream exists", snapshot("unborn", "state", 4))
}

func checkSnapshotNewest(t *test) {
	cs := t.openAll(2)
	a, b := cs[0], cs[1]
	a.fill("snapped", 0, 6)
	three, five := snapshot("snapped", "state", 3), snapshot("snapped", "state", 5)
	t.must(a.SaveSnapshot(t.ctx, three))
	t.keeps(b, "P2", "the first", three)
	t.must(b.SaveSnapshot(t.ctx, five))
	t.keeps(a, "P2", "a newer one", five)
	if err := a.SaveSnapshot(t.ctx, three); err != nil {
		t.broken("P2", "an older one: %v", err)
	}
	t.keeps(b, "P2", "an older one after a newer", five)
	equal := five
	equal.Data, equal.Encoding, equal.EventID = []byte("another state, longer than the first one of this version"), "other", record().ID
	if err := a.SaveSnapshot(t.ctx, equal); err != nil {
		t.broken("P2", "one of the same version: %v", err)
	}
	got, err := b.LoadSnapshot(t.ctx, "snapped", "state")
	t.must(err)
	if snapshotDifference(five, got) != "" && snapshotDifference(equal, got) != "" {
		t.broken("P2", "of two snapshots of version 5, a mixture is kept: %+v", got)
	}
	high := snapshot("snapped", "state", 1<<62) // the store does not compare with the stream's version
	t.must(a.SaveSnapshot(t.ctx, high))
	t.keeps(b, "P2", "one of a very high version", high)
	// Kinds and streams have their own.
	other := snapshot("snapped", "other", 1)
	t.must(a.SaveSnapshot(t.ctx, other))
	t.keeps(b, "P2", "another kind", other)
	t.keeps(b, "P2", "the first kind after another", high)
	a.fill("snapped-2", 0, 1)
	second := snapshot("snapped-2", "state", 1)
	t.must(a.SaveSnapshot(t.ctx, second))
	t.keeps(b, "P2", "another stream", second)
	t.keeps(b, "P2", "the first stream after another", high)
}

func checkSnapshotRace(t *test) {
	cs := t.openAll(4)
	const savers = 12
	for round := range t.scale(20) {
		stream := fmt.Sprint("raced-", round%3)
		base := driver.Version(savers * round)
		if cs[0].head(stream) == 0 {
			cs[0].append(stream, driver.NoStream, record())
		}
		var mu sync.Mutex
		var highest driver.Version
		t.together(savers, func(i int) {
			c := cs[i%len(cs)]
			s := snapshot(stream, "state", base+driver.Version(i)+1)
			s.Data = []byte(strings.Repeat(fmt.Sprint(s.Version), 20+i))
			if err := c.SaveSnapshot(t.ctx, s); err != nil {
				t.wrong("P2", "one of %d savers at once: %v", savers, err)
				return
			}
			mu.Lock()
			highest = max(highest, s.Version)
			acked := highest
			mu.Unlock()
			got, err := c.LoadSnapshot(t.ctx, stream, "state")
			if err != nil {
				t.wrong("P3", "LoadSnapshot: %v", err)
				return
			}
			i = int(got.Version-1) % savers
			if want := strings.Repeat(fmt.Sprint(got.Version), 20+i); got.Version < acked || string(got.Data) != want {
				t.wrong("P3", "version %d was acknowledged, and version %d with data %.40q is loaded", acked, got.Version, got.Data)
			}
		})
		got, err := cs[1].LoadSnapshot(t.ctx, stream, "state")
		t.must(err)
		if got.Version != base+savers {
			t.broken("P2", "of %d snapshots saved at once, the newest of version %d, version %d is kept", savers, base+savers, got.Version)
		}
	}
}

func checkSnapshotValues(t *test) {
	cs := t.openAll(2)
	a, b := cs[0], cs[1]
	a.fill("values", 0, 1)
	for i, r := range t.awkward() {
		s := driver.Snapshot{Stream: "values", Kind: fmt.Sprint("kind-", i), Version: driver.Version(i + 1), EventID: r.ID, Encoding: r.Encoding, Data: r.Data}
		if most := t.caps.MaxSnapshotBytes; most > 0 && driver.SnapshotSize(&s) > most {
			continue
		}
		mine := s
		mine.Data = bytes.Clone(s.Data)
		t.must(a.SaveSnapshot(t.ctx, mine))
		for j := range mine.Data {
			mine.Data[j] = '#'
		}
		t.keeps(b, "P3", "after the request was overwritten", s)
		got, err := a.LoadSnapshot(t.ctx, s.Stream, s.Kind)
		t.must(err)
		data := got.Data[:cap(got.Data)]
		for j := range data {
			data[j] = '#'
		}
		t.keeps(a, "R3", "after what was loaded was overwritten", s)
	}
}

func checkSnapshotDelete(t *test) {
	cs := t.openAll(2)
	a, b := cs[0], cs[1]
	a.fill("snapped", 0, 3)
	if err := a.DeleteSnapshot(t.ctx, "missing", "state"); err != nil {
		t.broken("P5", "of a stream that does not exist: %v", err)
	}
	if err := a.DeleteSnapshot(t.ctx, "snapped", "state"); err != nil {
		t.broken("P5", "of a snapshot that does not exist: %v", err)
	}
	other := snapshot("snapped", "other", 3)
	t.must(a.SaveSnapshot(t.ctx, snapshot("snapped", "state", 3)))
	t.must(a.SaveSnapshot(t.ctx, other))
	if err := b.DeleteSnapshot(t.ctx, "snapped", "state"); err != nil {
		t.broken("P5", "DeleteSnapshot: %v", err)
	}
	for _, c := range cs {
		t.keepsNone(c, "P5", "after it was deleted", "snapped", "state")
		t.keeps(c, "P5", "of another kind than the deleted one", other)
	}
	older := snapshot("snapped", "state", 1)
	t.must(a.SaveSnapshot(t.ctx, older))
	t.keeps(b, "P5", "an older one saved after the newer was deleted", older)
}
