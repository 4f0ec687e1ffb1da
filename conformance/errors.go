package conformance

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/go-es/es/driver"
)

var errorChecks = []check{
	{"errors/types", "E1 V4", nil, checkErrorTypes},
	{"errors/secrets", "E2", []need{needSecrets}, checkSecrets},
	{"errors/corrupt", "E3", []need{needCorrupt, needLasting}, checkCorrupt},
}

// checkErrorTypes provokes every error of the contract that can be provoked
// anywhere. (Every other check looks at the errors it gets, too.)
func checkErrorTypes(t *test) {
	a := t.open()
	recs := a.fill("three", 0, 3)
	a.fill("closed", 0, 1)
	a.delete("closed", driver.Tombstone)
	a.whole(0)
	call := func(f func(*client) error) error { return f(a) }
	appends := func(stream string, e driver.Expected) func(*client) error {
		return func(c *client) error { _, err := c.Append(t.ctx, to(stream, e, record())); return err }
	}
	reads := func(stream string) func(*client) error {
		return func(c *client) error {
			_, err := c.ReadStream(t.ctx, driver.StreamQuery{Stream: stream})
			return err
		}
	}
	conflict := func(err error) string {
		e, ok := errors.AsType[*driver.ConflictError](err)
		switch {
		case !ok:
			return "it is no *driver.ConflictError"
		case e.Stream != "three" || e.Expected != 1 || e.Actual == 0 || e.Actual > 3 || e.Actual == 1:
			return fmt.Sprintf("stream %.60q, expected %v, actual %d; the append was to stream \"three\" at version 3, expected 1", e.Stream, e.Expected, e.Actual)
		}
		return ""
	}
	stream := func(name string) func(error) string {
		return func(err error) string {
			switch e, ok := errors.AsType[*driver.StreamError](err); {
			case !ok:
				return "it is no *driver.StreamError"
			case e.Stream != name:
				return fmt.Sprintf("it names stream %.60q instead of %.60q", e.Stream, name)
			}
			return ""
		}
	}
	cases := []struct {
		name     string
		do       func(*client) error
		sentinel error
		detail   func(error) string
	}{
		{"an append at a wrong version", appends("three", 1), driver.ErrConflict, conflict},
		{"a delete at a wrong version", func(c *client) error {
			_, err := c.Delete(t.ctx, deletion("three", 1, driver.Tombstone))
			return err
		}, driver.ErrConflict, conflict},
		{"an append of ids that are there, and others", func(c *client) error {
			r := recs[1]
			r.Stream, r.Version = "", 0
			_, err := c.Append(t.ctx, to("three", 1, record()))
			return err
		}, driver.ErrConflict, conflict},
		{"an append to a closed stream", appends("closed", driver.Any), driver.ErrStreamDeleted, stream("closed")},
		{"a closed stream, read", reads("closed"), driver.ErrStreamDeleted, stream("closed")},
		{"a missing stream, read", reads("missing"), driver.ErrStreamNotFound, stream("missing")},
		{"a missing stream, deleted", func(c *client) error {
			_, err := c.Delete(t.ctx, deletion("missing", driver.Any, driver.Purge))
			return err
		}, driver.ErrStreamNotFound, stream("missing")},
		{"the feed beyond its end", func(c *client) error {
			_, err := c.ReadAll(t.ctx, driver.FeedQuery{After: 1 << 60})
			return err
		}, driver.ErrCheckpointAhead, nil},
	}
	if implementing[driver.CheckpointStore](a.s) {
		t.must(a.SaveCheckpoint(t.ctx, at("c", 1), driver.Revision{}))
		cases = append(cases, struct {
			name     string
			do       func(*client) error
			sentinel error
			detail   func(error) string
		}{"a checkpoint of another revision", func(c *client) error {
			return c.SaveCheckpoint(t.ctx, at("c", 2), record().ID)
		}, driver.ErrCheckpointConflict, nil})
	}
	for _, c := range cases {
		err := call(c.do)
		if !errors.Is(err, c.sentinel) {
			t.broken("E1", "%s: %T: %v instead of %q", c.name, err, err, c.sentinel)
		}
		if c.detail != nil {
			if d := c.detail(err); d != "" {
				rule := "E1"
				if c.sentinel == driver.ErrConflict {
					rule = "V4"
				}
				t.broken(rule, "%s: the error is wrong, %s: %v", c.name, d, err)
			}
		}
		for _, other := range []error{driver.ErrConflict, driver.ErrStreamNotFound, driver.ErrStreamDeleted, driver.ErrUnknownOutcome, driver.ErrCheckpointAhead, driver.ErrCheckpointConflict, driver.ErrCorrupt, driver.ErrSchema, driver.ErrClosed} {
			if other != c.sentinel && errors.Is(err, other) {
				t.broken("E1", "%s: the error is %q and %q: %v", c.name, c.sentinel, other, err)
			}
		}
		if driver.IsTransient(err) {
			t.broken("E1", "%s: the error says that the same call may be made again: %v", c.name, err)
		}
	}
}

// checkSecrets opens what cannot be opened, and looks for passwords in all that
// is said about it.
func checkSecrets(t *test) {
	for _, s := range t.cfg.Secrets {
		if s.Secret == "" || !strings.Contains(s.DSN, s.Secret) {
			t.Fatalf("Config.Secrets: %q does not contain its secret", s.DSN)
		}
		ctx, cancel := context.WithTimeout(t.ctx, 2*time.Second)
		store, err := t.openStore(ctx, s.DSN)
		if err == nil { // some connect only when they are used
			err = store.Ping(ctx)
			store.Close()
		}
		cancel()
		if err == nil {
			t.Fatalf("Config.Secrets: a data source name that must not work can be opened")
		}
		for e := range tree(err) {
			for _, text := range []string{e.Error(), fmt.Sprintf("%+v", e), fmt.Sprintf("%#v", e), fmt.Sprintf("%q", e)} {
				if strings.Contains(text, s.Secret) {
					t.broken("E2", "an error of type %T has the secret %q in it: %s", e, s.Secret, text)
				}
			}
		}
	}
}

// tree yields an error and all that it wraps.
func tree(err error) func(yield func(error) bool) {
	return func(yield func(error) bool) { walk(err, yield) }
}

func walk(err error, yield func(error) bool) bool {
	if err == nil {
		return true
	}
	if !yield(err) {
		return false
	}
	switch e := err.(type) {
	case interface{ Unwrap() error }:
		return walk(e.Unwrap(), yield)
	case interface{ Unwrap() []error }:
		for _, inner := range e.Unwrap() {
			if !walk(inner, yield) {
				return false
			}
		}
	}
	return true
}

// checkCorrupt reads what was damaged.
func checkCorrupt(t *test) {
	for i, damage := range t.cfg.Corrupt {
		t.dsn = "" // each on data of its own
		a := t.open()
		want := a.fill("damaged", 0, 3)
		a.fill("whole", 0, 2)
		all := a.whole(0)
		t.must(a.Close())
		damage(t.TB, t.data(), "damaged")

		delete(t.logs, t.data())
		b, err := t.openDSN(t.data())
		if err != nil {
			if !errors.Is(err, driver.ErrCorrupt) {
				t.broken("E3", "damage %d of Config.Corrupt: Open has another error than ErrCorrupt: %v", i, err)
			}
			continue
		}
		b.faulty = true
		noticed := 0
		for _, read := range []struct {
			name string
			want []driver.Record
			do   func() ([]driver.Record, error)
		}{
			{"ReadAll", all, b.rawFeed},
			{"ReadStream", want, func() ([]driver.Record, error) { return b.rawStream("damaged", false) }},
			{"ReadStream backward", want, func() ([]driver.Record, error) { return b.rawStream("damaged", true) }},
		} {
			name, want := read.name, read.want
			got, err := read.do()
			switch {
			case errors.Is(err, driver.ErrCorrupt):
				noticed++
			case err != nil:
				t.broken("E3", "damage %d of Config.Corrupt: %s has neither ErrCorrupt nor what was appended, but says: %v", i, name, err)
			case len(got) != len(want):
				t.broken("E3", "damage %d of Config.Corrupt: %s has %d records of %d, and no error", i, name, len(got), len(want))
			default:
				for j := range want {
					if d := difference(want[j], got[j]); d != "" {
						t.broken("E3", "damage %d of Config.Corrupt: %s, record %d: %s, and no error", i, name, j, d)
					}
				}
			}
		}
		if noticed == 0 {
			t.Fatalf("Config.Corrupt: after damage %d everything can be read as it was", i)
		}
		if _, err := b.rawStream("whole", false); err != nil {
			t.broken("E3", "damage %d of Config.Corrupt: a stream that was not damaged: %v", i, err)
		}
		t.must(b.Close())
	}
}

// rawStream and rawFeed read without looking at the pages.
func (c *client) rawStream(stream string, backward bool) ([]driver.Record, error) {
	var all []driver.Record
	q := driver.StreamQuery{Stream: stream, Backward: backward}
	for range 100 {
		page, err := c.s.ReadStream(c.t.ctx, q)
		if err != nil {
			return nil, err
		}
		all = append(all, page.Records...)
		if page.End || len(page.Records) == 0 {
			break
		}
		last := page.Records[len(page.Records)-1].Version
		if q.From = last + 1; backward {
			if q.From = last - 1; q.From == 0 {
				break
			}
		}
	}
	if backward {
		for i, j := 0, len(all)-1; i < j; i, j = i+1, j-1 {
			all[i], all[j] = all[j], all[i]
		}
	}
	return all, nil
}

func (c *client) rawFeed() ([]driver.Record, error) {
	var all []driver.Record
	var after driver.Position
	for range 1000 {
		page, err := c.s.ReadAll(c.t.ctx, driver.FeedQuery{After: after})
		if err != nil {
			return nil, err
		}
		if page.Next == after && !page.End { // something is held back for a moment
			time.Sleep(time.Millisecond)
		}
		all, after = append(all, page.Records...), page.Next
		if page.End {
			break
		}
	}
	return all, nil
}
