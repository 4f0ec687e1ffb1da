package conformance

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-es/es/driver"
)

// Mutants: a database that is killed.
var crashMutants = []mutant{
	{name: "forgets the last append when the database is killed", rules: "A6 A1 U2 F5 F9 F2 F1", checks: "crash/writers crash/rest", cfg: crashing(func(d *toyData) {
		if n := len(d.log); n > 0 {
			last := d.log[n-1]
			d.log = d.log[:n-1]
			st := d.streams[last.rec.Stream]
			st.rows = st.rows[:len(st.rows)-1]
			st.closed = false
		}
	}, nil)},
	{name: "keeps half of an append when the database is killed", rules: "A1 F2", checks: "crash/writers", with: appended(func(s *toyStore, ctx context.Context, req appendRequest) (appendResult, error) {
		res, err := s.Append(ctx, req)
		if p := req.Parts[0]; errors.Is(err, driver.ErrUnknownOutcome) && len(p.Records) > 1 {
			s.d.mu.Lock()
			defer s.d.mu.Unlock()
			st := s.d.streams[p.Stream]
			if last := st.rows[len(st.rows)-1]; last.rec.ID == p.Records[len(p.Records)-1].ID {
				st.rows = st.rows[:len(st.rows)-1]
				s.d.log = slices.DeleteFunc(s.d.log, func(r *toyRow) bool { return r == last })
			}
		}
		return res, err
	})},
	{name: "calls what a dying database did not done", rules: "U2", checks: "crash/writers", with: appended(func(s *toyStore, ctx context.Context, req appendRequest) (appendResult, error) {
		res, err := s.Append(ctx, req)
		if errors.Is(err, driver.ErrUnknownOutcome) {
			err = driver.Transient(errLost)
		}
		return res, err
	})},
	{name: "gives positions anew when the database is back", rules: "F2 F6 F1", checks: "crash/writers", set: func(y *toy) { y.caps.Gapless, y.step = false, 50 }, cfg: crashing(nil, func(d *toyData) {
		d.last = d.log[len(d.log)/2].rec.Position
	})},
	{name: "never finds the database again", rules: "X5", checks: "crash/writers crash/rest", with: neverRecovers},
	{name: "loses checkpoints when the database is killed", rules: "C4", checks: "crash/rest", cfg: crashing(func(d *toyData) { clear(d.checkpoints) }, nil)},
	{name: "loses snapshots when the database is killed", rules: "P3", checks: "crash/rest", cfg: crashing(func(d *toyData) { clear(d.snapshots) }, nil)},
	{name: "opens closed streams when the database is killed", rules: "A6 D5", checks: "crash/rest", cfg: crashing(func(d *toyData) {
		for _, st := range d.streams {
			st.closed = false
		}
	}, nil)},
	{name: "ends listening when the database is killed", rules: "W2", checks: "crash/listen", with: listens(func(s *toyStore, ctx context.Context, wake func()) error {
		ctx, cancel := context.WithCancelCause(ctx)
		go func() {
			for ctx.Err() == nil {
				if s.d.isDead() {
					cancel(errLost)
				}
				time.Sleep(time.Millisecond)
			}
		}()
		err := s.Listen(ctx, wake)
		return cmp.Or(context.Cause(ctx), err)
	})},
	{name: "listens to a connection that is dead", rules: "W2", checks: "crash/listen", with: listens(func(s *toyStore, ctx context.Context, wake func()) error {
		died := false
		return s.Listen(ctx, func() {
			if died = died || s.d.crashes() > 0; !died {
				wake()
			}
		})
	})},

	{name: "claims something else each time", rules: "M1", checks: "caps/constant lifetime/closed", with: func() overrides {
		n := 0
		var mu sync.Mutex
		return overrides{caps: func(s *toyStore) driver.Caps {
			mu.Lock()
			defer mu.Unlock()
			n++
			c := s.Caps()
			c.MaxEventBytes += n
			return c
		}}
	}},
	{name: "claims other limits than it should", rules: "M1", checks: "caps/constant", cfg: func(c *Config, y *toy) { c.Caps.MaxStreams++ }},
	{name: "cannot do what it claims", rules: "M2", checks: "caps/limits", with: appended(func(s *toyStore, ctx context.Context, req appendRequest) (appendResult, error) {
		n := 0
		for _, p := range req.Parts {
			n += len(p.Stream)
			for i := range p.Records {
				n += driver.Size(&p.Records[i])
			}
		}
		if n > s.toy.caps.MaxAppendBytes {
			return appendResult{}, &driver.TooLargeError{What: "packet", Limit: s.toy.caps.MaxAppendBytes, Got: n}
		}
		return s.Append(ctx, req)
	})},
	{name: "has late positions and no Settled", rules: "T1", checks: "caps/unclaimed", set: func(y *toy) { y.caps.PositionOnAppend, y.late, y.caps.Gapless = false, true, false }, cfg: func(c *Config, y *toy) {
		c.Open = func(ctx context.Context, dsn string) (driver.Store, error) {
			s, err := y.Open(ctx, dsn)
			return bare{s}, err
		}
	}},
}

// crashing does something to the data when its database is killed, or is back.
func crashing(killed, revived func(d *toyData)) func(c *Config, y *toy) {
	return func(c *Config, y *toy) {
		crash := c.Crash
		c.Crash = func(t TB) (string, func(), func()) {
			dsn, kill, revive := crash(t)
			with := func(do func(), f func(d *toyData)) func() {
				return func() {
					do()
					if d := y.of(dsn); f != nil {
						d.mu.Lock()
						defer d.mu.Unlock()
						f(d)
					}
				}
			}
			return dsn, with(kill, killed), with(revive, revived)
		}
	}
}

// neverRecovers fails for good once its database was away.
func neverRecovers() overrides {
	var lost atomic.Bool
	down := func(s *toyStore) error {
		if s.d.crashes() > 0 {
			lost.Store(true)
		}
		if lost.Load() {
			return driver.Transient(errLost)
		}
		return nil
	}
	return overrides{
		append: func(s *toyStore, ctx context.Context, req appendRequest) (appendResult, error) {
			if err := down(s); err != nil {
				return appendResult{}, err
			}
			return s.Append(ctx, req)
		},
		ping: func(s *toyStore, ctx context.Context) error { return cmp.Or(down(s), s.Ping(ctx)) },
	}
}
