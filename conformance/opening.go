package conformance

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/go-es/es/driver"
)

var openingChecks = []check{
	{"opening/malformed", "O1", []need{needMalformed}, checkMalformed},
	{"opening/foreign", "O1", []need{needForeign}, checkForeign},
	{"opening/context", "O1 O2", nil, checkOpenContext},
	{"opening/at-once", "O3", []need{needClients}, checkOpenAtOnce},
	{"opening/check-only", "O3", []need{needCheckOnly, needLasting}, checkCheckOnly},
	{"opening/beside", "O4", []need{needBeside}, checkBeside},
	{"opening/newer", "O5", []need{needNewer, needLasting}, checkNewer},
	{"opening/refused", "O6", []need{needRefused}, checkRefusedSettings},
}

// fails ends the check if a data source name can be opened.
func (t *test) fails(rule, what, dsn string) error {
	t.Helper()
	before := goroutines()
	ctx, cancel := context.WithTimeout(t.ctx, max(5*time.Second, t.cfg.FeedBound))
	defer cancel()
	s, err := t.openStore(ctx, dsn)
	if err == nil {
		s.Close()
		t.broken(rule, "%s, %.100q, can be opened", what, dsn)
	}
	if s != nil {
		t.broken(rule, "%s, %.100q: Open returned a store and the error %v", what, dsn, err)
	}
	if len(err.Error()) < 10 {
		t.broken(rule, "%s, %.100q: the error does not say what is wrong: %v", what, dsn, err)
	}
	if stacks := leaked(before); len(stacks) > 0 {
		t.broken(rule, "%s, %.100q: Open failed and left %d goroutines, such as:\n%s", what, dsn, len(stacks), stacks[0])
	}
	return err
}

func checkMalformed(t *test) {
	for _, dsn := range t.cfg.Malformed {
		t.fails("O1", "a malformed data source name", dsn)
	}
}

func checkForeign(t *test) {
	for i, foreign := range t.cfg.Foreign {
		dsn, intact := foreign(t.TB)
		for range 2 {
			t.fails("O1", fmt.Sprintf("data that is not the store's (%d)", i), dsn)
			if err := intact(); err != nil {
				t.broken("O1", "Open refused data that is not the store's (%d) and damaged it: %v", i, err)
			}
		}
	}
}

// checkOpenContext opens with a context that has ended, and with one that ends
// after: it bounds opening alone.
func checkOpenContext(t *test) {
	dsn := t.data()
	before := goroutines()
	ctx, cancel := context.WithCancel(t.ctx)
	cancel()
	if s, err := t.openStore(ctx, dsn); err == nil {
		s.Close()
		t.broken("O1", "Open with a context that had ended succeeded")
	} else if !errors.Is(err, context.Canceled) {
		t.broken("O1", "Open with a context that had ended: %v", err)
	}
	if stacks := leaked(before); len(stacks) > 0 {
		t.broken("O1", "Open with a context that had ended left %d goroutines, such as:\n%s", len(stacks), stacks[0])
	}
	ctx, cancel = context.WithCancel(t.ctx)
	s, err := t.openStore(ctx, dsn)
	t.must(err)
	c := t.adopt(dsn, s)
	c.append("opened", driver.NoStream, record())
	cancel()
	time.Sleep(10 * time.Millisecond)
	for i := range 3 {
		if _, err := c.Append(t.ctx, to("opened", driver.Exactly(driver.Version(i+1)), record())); err != nil {
			t.broken("O2", "an append after the context of Open has ended: %v", err)
		}
	}
	c.whole(0)
	if !t.cfg.Private && !t.cfg.Volatile {
		t.must(c.Close())
		if got := t.open().head("opened"); got != 4 {
			t.broken("O2", "opened anew, the stream is at version %d instead of 4", got)
		}
	}
}

// checkOpenAtOnce opens data that does not exist yet many times at once.
func checkOpenAtOnce(t *test) {
	for range t.scale(5) {
		dsn := t.cfg.DSN(t.TB)
		var mu sync.Mutex
		var cs []*client
		t.together(8, func(i int) {
			s, err := t.openStore(t.ctx, dsn)
			if err != nil {
				t.wrong("O3", "one of 8 clients that open new data at once: %v", err)
				return
			}
			mu.Lock()
			c := t.adopt(dsn, s)
			cs = append(cs, c)
			mu.Unlock()
			if _, err := c.appendSurely(to(fmt.Sprint("at-once-", i%3), driver.Any, record())); err != nil {
				t.wrong("O3", "an append by one of 8 clients that opened new data at once: %v", err)
			}
		})
		for _, c := range cs {
			if n := len(c.whole(0)); n != 8 {
				t.broken("O3", "8 clients opened new data at once and appended an event each; client %d sees %d", c.n, n)
			}
		}
	}
}

func checkCheckOnly(t *test) {
	dsn := t.data()
	for range 2 { // the first did not create it for the second
		if err := t.fails("O3", "empty data with ddl=check", t.cfg.CheckOnly(dsn)); !errors.Is(err, driver.ErrSchema) {
			t.broken("O3", "empty data with ddl=check: %v", err)
		}
	}
	a := t.open()
	a.append("created", driver.NoStream, record())
	t.must(a.Close())
	s, err := t.openStore(t.ctx, t.cfg.CheckOnly(dsn))
	if err != nil {
		t.broken("O3", "data that is there, with ddl=check: %v", err)
	}
	b := t.adopt(dsn, s)
	b.append("created", 1, record())
	b.whole(0)
}

// checkBeside fills two stores of one database in the same way.
func checkBeside(t *test) {
	dsns := []string{t.data(), t.cfg.Beside(t.TB, t.data())}
	var cs []*client
	for _, dsn := range dsns {
		c, err := t.openDSN(dsn)
		t.must(err)
		cs = append(cs, c)
	}
	for i, c := range cs {
		for k := range 3 {
			c.append("same", driver.Exactly(driver.Version(k)), record())
		}
		c.append(fmt.Sprint("own-", i), driver.NoStream, record())
		if implementing[driver.CheckpointStore](c.s) {
			if err := c.SaveCheckpoint(t.ctx, at("same", driver.Position(i+1)), driver.Revision{}); err != nil {
				t.broken("O4", "store %d of two in one database, which has no checkpoint: %v", i, err)
			}
		}
		if implementing[driver.SnapshotStore](c.s) {
			t.must(c.SaveSnapshot(t.ctx, snapshot("same", "state", driver.Version(3-i))))
		}
	}
	for i, c := range cs {
		all := c.whole(0)
		if len(all) != 4 {
			t.broken("O4", "4 events were appended to store %d of two in one database, and its feed has %d", i, len(all))
		}
		if t.caps.Gapless && all[3].Position != 4 {
			t.broken("O4", "the fourth event of store %d of two in one database is at position %d", i, all[3].Position)
		}
		if _, err := c.tryStream(driver.StreamQuery{Stream: fmt.Sprint("own-", 1-i)}); !errors.Is(err, driver.ErrStreamNotFound) {
			t.broken("O4", "store %d of two in one database has a stream of the other: error %v", i, err)
		}
		t.listed(c, "O4", driver.ListQuery{}, []string{fmt.Sprint("own-", i), "same"})
		if implementing[driver.CheckpointStore](c.s) {
			cp, err := c.LoadCheckpoint(t.ctx, "same")
			if err != nil || cp.Position != driver.Position(i+1) || len(c.checkpoints(0)) != 1 {
				t.broken("O4", "store %d of two in one database has the checkpoint %+v, error %v", i, cp, err)
			}
		}
		if implementing[driver.SnapshotStore](c.s) {
			if s, err := c.LoadSnapshot(t.ctx, "same", "state"); err != nil || s.Version != driver.Version(3-i) {
				t.broken("O4", "store %d of two in one database has a snapshot of version %d, error %v", i, s.Version, err)
			}
		}
	}
	cs[0].delete("same", driver.Purge)
	if got := cs[1].stream(driver.StreamQuery{Stream: "same"}); len(got) != 3 {
		t.broken("O4", "a purge in one of two stores in one database left %d of 3 events of the other", len(got))
	}
	if n := len(cs[1].whole(0)); n != 4 {
		t.broken("O4", "a purge in one of two stores in one database left %d of 4 events in the feed of the other", n)
	}
}

func checkNewer(t *test) {
	a := t.open()
	want := a.fill("kept", 0, 3)
	t.must(a.Close())
	unmark := t.cfg.Newer(t.TB, t.data())
	for range 2 {
		err := t.fails("O5", "data of a newer schema", t.data())
		if e, ok := errors.AsType[*driver.SchemaError](err); !ok || !errors.Is(err, driver.ErrSchema) || e.Found <= e.Known {
			t.broken("O5", "data of a newer schema: %T: %v", err, err)
		}
	}
	unmark()
	b := t.open()
	t.same("O5", "after data of a newer schema was refused", want, b.stream(driver.StreamQuery{Stream: "kept"}))
	b.whole(0)
}

func checkRefusedSettings(t *test) {
	for _, r := range t.cfg.Refused {
		err := t.fails("O6", "a setting under which a promise cannot be kept", r.DSN)
		if !strings.Contains(strings.ToLower(err.Error()), strings.ToLower(r.Word)) {
			t.broken("O6", "%.100q is refused, and the error does not name %q: %v", r.DSN, r.Word, err)
		}
	}
}
