package conformance

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"

	"github.com/go-es/es/driver"
)

var checkpointChecks = []check{
	{"checkpoint/missing", "C1", []need{needCheckpoints}, checkCheckpointMissing},
	{"checkpoint/conflict", "C2 C3", []need{needCheckpoints}, checkCheckpointConflict},
	{"checkpoint/race", "C2 C3", []need{needCheckpoints}, checkCheckpointRace},
	{"checkpoint/values", "C4", []need{needCheckpoints}, checkCheckpointValues},
	{"checkpoint/list", "C5 R3", []need{needCheckpoints}, checkCheckpointList},
	{"checkpoint/delete", "C6", []need{needCheckpoints}, checkCheckpointDelete},
}

// at returns a checkpoint with a new revision.
func at(name string, p driver.Position) driver.Checkpoint {
	return driver.Checkpoint{Name: name, Position: p, Revision: record().ID}
}

// loads ends the check unless a checkpoint is loaded as the given one.
func (t *test) loads(c *client, rule, when string, want driver.Checkpoint) {
	t.Helper()
	got, err := c.LoadCheckpoint(t.ctx, want.Name)
	if err != nil || got != want {
		t.broken(rule, "%s: checkpoint %q is %+v, error %v; expected was %+v", when, want.Name, got, err, want)
	}
}

// checkpoints lists them page by page.
func (c *client) checkpoints(limit int) []driver.Checkpoint {
	t := c.t
	t.Helper()
	var all []driver.Checkpoint
	q := driver.CheckpointQuery{Limit: limit}
	for {
		page, err := c.ListCheckpoints(t.ctx, q)
		t.must(err)
		if limit > 0 && len(page.Checkpoints) > limit {
			t.broken("C5", "a page of %d checkpoints, with limit %d", len(page.Checkpoints), limit)
		}
		all = append(all, page.Checkpoints...)
		if page.End {
			return all
		}
		if n := len(page.Checkpoints); n == 0 || page.Next != page.Checkpoints[n-1].Name {
			t.broken("C5", "a page of %d checkpoints that is not the End, with Next %q", n, page.Next)
		}
		q.After = page.Next
	}
}

func checkCheckpointMissing(t *test) {
	a := t.open()
	t.must(a.SaveCheckpoint(t.ctx, at("there", 1), driver.Revision{}))
	for _, name := range []string{"missing", "There", "there ", "ther"} {
		if cp, err := a.LoadCheckpoint(t.ctx, name); err != nil || cp != (driver.Checkpoint{}) {
			t.broken("C1", "a checkpoint that does not exist is %+v, error %v", cp, err)
		}
	}
}

func checkCheckpointConflict(t *test) {
	cs := t.openAll(2)
	a, b := cs[0], cs[1]
	refused := func(when string, cp driver.Checkpoint, prev driver.Revision, kept driver.Checkpoint) {
		t.Helper()
		if err := b.SaveCheckpoint(t.ctx, cp, prev); !errors.Is(err, driver.ErrCheckpointConflict) {
			t.broken("C2", "%s: error %v", when, err)
		}
		if kept.Name != "" {
			t.loads(a, "C2", when, kept)
		} else if got, err := a.LoadCheckpoint(t.ctx, cp.Name); err != nil || got != (driver.Checkpoint{}) {
			t.broken("C2", "%s: it was saved as %+v, error %v", when, got, err)
		}
	}
	refused("a revision is given, and there is no checkpoint", at("c", 1), record().ID, driver.Checkpoint{})
	first := at("c", 10)
	t.must(a.SaveCheckpoint(t.ctx, first, driver.Revision{}))
	t.loads(b, "C2", "saved for the first time", first)
	refused("there is a checkpoint, and none is expected", at("c", 20), driver.Revision{}, first)
	refused("there is a checkpoint of another revision", at("c", 20), record().ID, first)

	again := func(when string, cp driver.Checkpoint, prev driver.Revision) {
		t.Helper()
		for _, c := range cs {
			if err := c.SaveCheckpoint(t.ctx, cp, prev); err != nil {
				t.broken("C3", "%s: %v", when, err)
			}
			t.loads(c, "C3", when, cp)
		}
	}
	again("the first save, sent again", first, driver.Revision{})
	second := at("c", 30)
	t.must(b.SaveCheckpoint(t.ctx, second, first.Revision))
	t.loads(a, "C2", "saved over its revision", second)
	again("the second save, sent again", second, first.Revision)
	refused("the first save, after another saved", first, driver.Revision{}, second)
	refused("a save over a revision that is gone", at("c", 40), first.Revision, second)
	back := at("c", 5) // a lower position is legal: a reader may start anew
	if err := a.SaveCheckpoint(t.ctx, back, second.Revision); err != nil {
		t.broken("C2", "a save over its revision, to a lower position: %v", err)
	}
	t.loads(b, "C2", "saved at a lower position", back)
	other := at("d", 1)
	t.must(a.SaveCheckpoint(t.ctx, other, driver.Revision{}))
	t.loads(b, "C2", "after another checkpoint was saved", back)
}

func checkCheckpointRace(t *test) {
	cs := t.openAll(4)
	var prev driver.Revision
	for round := range t.scale(30) {
		var mu sync.Mutex
		var won []driver.Checkpoint
		t.together(12, func(i int) {
			cp := at("raced", driver.Position(100*round+i))
			for range 2 { // the second time it must recognise its own, or the winner's
				err := cs[i%len(cs)].SaveCheckpoint(t.ctx, cp, prev)
				switch {
				case errors.Is(err, driver.ErrCheckpointConflict):
					return
				case err != nil:
					t.wrong("C2", "one of 12 savers at once: %v", err)
					return
				}
			}
			mu.Lock()
			defer mu.Unlock()
			won = append(won, cp)
		})
		if len(won) != 1 {
			t.broken("C2", "%d of 12 savers of one revision succeeded", len(won))
		}
		for _, c := range cs {
			t.loads(c, "C2", "after a race", won[0])
		}
		prev = won[0].Revision
	}
}

func checkCheckpointValues(t *test) {
	cs := t.openAll(2)
	id := driver.ID{0: 0xff, 8: 0, 15: 1}
	for i, cp := range []driver.Checkpoint{
		{Position: 0}, {Position: 1}, {Position: 5, SeenAt: 3, SeenID: id}, {Position: 5, SeenAt: 5, SeenID: driver.ID{15: 1}},
		{Position: 1 << 53}, {Position: 1<<53 + 1, SeenAt: 1<<53 + 1, SeenID: id}, {Position: math.MaxInt64}, {Position: math.MaxInt64, SeenAt: math.MaxInt64, SeenID: id}, {Position: math.MaxUint32 + 1},
	} {
		cp.Name, cp.Revision = fmt.Sprint("values-", i), driver.ID{byte(i), 7: 0, 15: 0xfe}
		t.must(cs[0].SaveCheckpoint(t.ctx, cp, driver.Revision{}))
		t.loads(cs[1], "C4", "saved anew", cp)
		over := cp
		over.Name, over.Revision = "over", record().ID
		prev, err := cs[1].LoadCheckpoint(t.ctx, "over")
		t.must(err)
		if err := cs[1].SaveCheckpoint(t.ctx, over, prev.Revision); err != nil {
			t.broken("C4", "a checkpoint was loaded with revision %v, and saving over that: %v", prev.Revision, err)
		}
		t.loads(cs[0], "C4", "saved over another", over)
	}
}

func checkCheckpointList(t *test) {
	cs := t.openAll(2)
	if got := cs[0].checkpoints(0); len(got) != 0 {
		t.broken("C5", "an empty store lists %d checkpoints", len(got))
	}
	want := map[string]driver.Checkpoint{}
	var names []string
	for i := range t.scale(25) {
		cp := at(fmt.Sprint([]string{"reader-", "Reader-", "é", "a b "}[i%4], i), driver.Position(i))
		t.must(cs[0].SaveCheckpoint(t.ctx, cp, driver.Revision{}))
		want[cp.Name] = cp
		names = append(names, cp.Name)
	}
	slices.Sort(names)
	for _, limit := range []int{0, 1, 2, len(names) - 1, len(names), len(names) + 1} {
		got := cs[1].checkpoints(limit)
		if len(got) != len(names) {
			t.broken("C5", "limit %d: %d checkpoints are listed, and there are %d", limit, len(got), len(names))
		}
		for i, cp := range got {
			if cp != want[names[i]] {
				t.broken("C5", "limit %d: checkpoint %d of the listing is %+v instead of %+v", limit, i, cp, want[names[i]])
			}
		}
	}
	page, err := cs[1].ListCheckpoints(t.ctx, driver.CheckpointQuery{})
	t.must(err)
	first := page.Checkpoints[0]
	for i := range page.Checkpoints[:cap(page.Checkpoints)] {
		page.Checkpoints[:cap(page.Checkpoints)][i] = driver.Checkpoint{Name: "overwritten"}
	}
	if got := cs[1].checkpoints(0); got[0] != first {
		t.broken("R3", "after a page of checkpoints was overwritten, the first is %+v and was %+v", got[0], first)
	}
}

func checkCheckpointDelete(t *test) {
	cs := t.openAll(2)
	a, b := cs[0], cs[1]
	if err := a.DeleteCheckpoint(t.ctx, "missing"); err != nil {
		t.broken("C6", "of a checkpoint that does not exist: %v", err)
	}
	cp, neighbour := at("gone", 3), at("gone-2", 4)
	t.must(a.SaveCheckpoint(t.ctx, cp, driver.Revision{}))
	t.must(a.SaveCheckpoint(t.ctx, neighbour, driver.Revision{}))
	if err := b.DeleteCheckpoint(t.ctx, "gone"); err != nil {
		t.broken("C6", "DeleteCheckpoint: %v", err)
	}
	for _, c := range cs {
		if got, err := c.LoadCheckpoint(t.ctx, "gone"); err != nil || got != (driver.Checkpoint{}) {
			t.broken("C6", "a deleted checkpoint is %+v, error %v", got, err)
		}
		t.loads(c, "C6", "beside a deleted one", neighbour)
	}
	if got := b.checkpoints(0); len(got) != 1 {
		t.broken("C6", "%d checkpoints are listed after one of two was deleted", len(got))
	}
	if err := a.SaveCheckpoint(t.ctx, at("gone", 5), cp.Revision); !errors.Is(err, driver.ErrCheckpointConflict) {
		t.broken("C6", "a saver that loaded a checkpoint before it was deleted: error %v", err)
	}
	if err := b.DeleteCheckpoint(t.ctx, "gone"); err != nil {
		t.broken("C6", "DeleteCheckpoint again: %v", err)
	}
	anew := at("gone", 1)
	if err := a.SaveCheckpoint(t.ctx, anew, driver.Revision{}); err != nil {
		t.broken("C6", "a checkpoint saved anew after it was deleted: %v", err)
	}
	t.loads(b, "C6", "saved anew", anew)
}
