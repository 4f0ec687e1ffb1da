package conformance

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-es/es/driver"
)

// Mutants: errors, a store's beginning and end, and what it claims.
var lifetimeMutants = []mutant{
	// Errors.
	{name: "returns errors of the database", rules: "E1", checks: "errors/types versions/expected", with: appended(func(s *toyStore, ctx context.Context, req appendRequest) (appendResult, error) {
		res, err := s.Append(ctx, req)
		if errors.Is(err, driver.ErrConflict) {
			err = errors.New("ERROR: duplicate key value (SQLSTATE 23505)")
		}
		return res, err
	})},
	{name: "returns sentinels without their types", rules: "E1 S4", checks: "errors/types", with: streamed(func(s *toyStore, ctx context.Context, q streamQuery) (streamPage, error) {
		p, err := s.ReadStream(ctx, q)
		if e, ok := errors.AsType[*driver.StreamError](err); ok {
			err = e.Err
		}
		return p, err
	})},
	{name: "names another stream", rules: "E1", checks: "errors/types", with: streamed(func(s *toyStore, ctx context.Context, q streamQuery) (streamPage, error) {
		p, err := s.ReadStream(ctx, q)
		if e, ok := errors.AsType[*driver.StreamError](err); ok {
			err = &driver.StreamError{Stream: "table_" + e.Stream, Err: e.Err}
		}
		return p, err
	})},
	{name: "calls a conflict transient", rules: "E1 V4", checks: "errors/types", with: func() overrides {
		var n atomic.Int64
		return overrides{append: func(s *toyStore, ctx context.Context, req appendRequest) (appendResult, error) {
			res, err := s.Append(ctx, req)
			if errors.Is(err, driver.ErrConflict) && n.Add(1)%2 == 1 {
				err = driver.Transient(err)
			}
			return res, err
		}}
	}},
	{name: "says its password", rules: "E2", checks: "errors/secrets", cfg: func(c *Config, y *toy) {
		c.Secrets = []Secret{{DSN: "toy://user:hunter2@host", Secret: "hunter2"}}
		open := c.Open
		c.Open = func(ctx context.Context, dsn string) (driver.Store, error) {
			if strings.Contains(dsn, "@") {
				return nil, fmt.Errorf("es: toy: cannot connect: %w", fmt.Errorf("dial %s: no such host", dsn))
			}
			return open(ctx, dsn)
		}
	}},
	{name: "skips what is damaged", rules: "E3", checks: "errors/corrupt", with: fed(func(s *toyStore, ctx context.Context, q feedQuery) (page, error) {
		s.d.mu.Lock()
		damaged := s.d.corrupt
		s.d.corrupt = map[string]bool{}
		s.d.mu.Unlock()
		p, err := s.ReadAll(ctx, q)
		s.d.mu.Lock()
		s.d.corrupt = damaged
		s.d.mu.Unlock()
		p.Records = slices.DeleteFunc(p.Records, func(r stored) bool { return damaged[r.Stream] && r.Version == 2 })
		return p, err
	})},

	// Lifetime.
	{name: "does one call at a time", rules: "X1 A5", checks: "lifetime/concurrent", with: func() overrides {
		var busy sync.Mutex
		return overrides{append: func(s *toyStore, ctx context.Context, req appendRequest) (appendResult, error) {
			if !busy.TryLock() {
				return appendResult{}, errors.New("connection busy")
			}
			defer busy.Unlock()
			time.Sleep(200 * time.Microsecond)
			return s.Append(ctx, req)
		}}
	}},
	{name: "works after Close", rules: "X2", checks: "lifetime/closed lifetime/closing", with: func() overrides {
		return overrides{close: func(*toyStore) error { return nil }}
	}},
	{name: "cannot be closed twice", rules: "X2", checks: "lifetime/closed", with: func() overrides {
		return overrides{close: func(s *toyStore) error {
			s.mu.Lock()
			closed := s.closed
			s.mu.Unlock()
			if closed {
				return driver.ErrClosed
			}
			return s.Close()
		}}
	}},
	{name: "says something else when it is closed", rules: "E1 X2 X3", checks: "lifetime/closed lifetime/closing", with: appended(func(s *toyStore, ctx context.Context, req appendRequest) (appendResult, error) {
		res, err := s.Append(ctx, req)
		if errors.Is(err, driver.ErrClosed) {
			err = errors.New("sql: database is closed")
		}
		return res, err
	})},
	{name: "leaves a goroutine", rules: "X3", checks: "lifetime/goroutines lifetime/closing", with: func() overrides {
		return overrides{close: func(s *toyStore) error {
			end := time.After(leakTime + 2*time.Second)
			go func() { <-end }()
			return s.Close()
		}}
	}},
	{name: "writes after it said that it is closed", rules: "X3", checks: "lifetime/acknowledged lifetime/acknowledged-beside", with: appended(func(s *toyStore, ctx context.Context, req appendRequest) (appendResult, error) {
		res, err := s.Append(ctx, req)
		s.mu.Lock()
		defer s.mu.Unlock()
		if err == nil && s.closed {
			return appendResult{}, driver.ErrClosed
		}
		if errors.Is(err, driver.ErrClosed) {
			(&toyStore{toy: s.toy, d: s.d}).apply(ctx, req)
		}
		return res, err
	})},
	{name: "acknowledges before it writes", rules: "X4 X3 A5", checks: "lifetime/acknowledged lifetime/acknowledged-beside", with: func() overrides {
		var mu sync.Mutex
		held := map[*toyStore][]*toyRow{}
		return overrides{
			append: func(s *toyStore, ctx context.Context, req appendRequest) (appendResult, error) {
				res, err := s.Append(ctx, req)
				mu.Lock()
				defer mu.Unlock()
				if err == nil {
					s.d.mu.Lock()
					st := s.d.streams[req.Parts[0].Stream]
					held[s] = append(held[s][max(0, len(held[s])-1):], st.rows[len(st.rows)-1])
					s.d.mu.Unlock()
				}
				return res, err
			},
			close: func(s *toyStore) error { // what was not flushed yet is gone
				err := s.Close()
				mu.Lock()
				defer mu.Unlock()
				s.d.mu.Lock()
				defer s.d.mu.Unlock()
				for _, row := range held[s] {
					row.purged = true
				}
				return err
			},
		}
	}},

	// Opening.
	{name: "takes any data source name", rules: "O1", checks: "opening/malformed", cfg: func(c *Config, y *toy) { c.Malformed = []string{"a b"} }},
	{name: "leaves a goroutine when it cannot open", rules: "O1", checks: "opening/malformed", cfg: func(c *Config, y *toy) {
		open := c.Open
		c.Open = func(ctx context.Context, dsn string) (driver.Store, error) {
			end := time.After(leakTime + 2*time.Second)
			go func() { <-end }()
			return open(ctx, dsn)
		}
	}},
	{name: "damages what it does not know", rules: "O1", checks: "opening/foreign", cfg: func(c *Config, y *toy) {
		damaged := false
		c.Foreign = []func(TB) (string, func() error){func(TB) (string, func() error) {
			return "foreign?", func() error {
				if damaged {
					return errors.New("there is a table more")
				}
				return nil
			}
		}}
		open := c.Open
		c.Open = func(ctx context.Context, dsn string) (driver.Store, error) {
			s, err := open(ctx, dsn)
			damaged = damaged || err != nil
			return s, err
		}
	}},
	{name: "opens what is not its own", rules: "O1", checks: "opening/foreign", cfg: func(c *Config, y *toy) {
		c.Foreign = []func(TB) (string, func() error){func(TB) (string, func() error) { return "foreign", func() error { return nil } }}
	}},
	{name: "lives on the context of Open", rules: "O2 E1 U2", checks: "opening/context", cfg: func(c *Config, y *toy) {
		c.Open = func(ctx context.Context, dsn string) (driver.Store, error) {
			s, err := y.Open(ctx, dsn)
			if err != nil {
				return nil, err
			}
			return &wrong{s, &overrides{append: func(s *toyStore, inner context.Context, req appendRequest) (appendResult, error) {
				if ctx.Err() != nil {
					return appendResult{}, fmt.Errorf("connection: %w", ctx.Err())
				}
				return s.Append(inner, req)
			}}}, nil
		}
	}},
	{name: "opens with a context that has ended", rules: "O1 U1", checks: "opening/context unknown/ended", cfg: func(c *Config, y *toy) {
		open := c.Open
		c.Open = func(ctx context.Context, dsn string) (driver.Store, error) {
			return open(context.WithoutCancel(ctx), dsn)
		}
	}},
	{name: "cannot be created at once", rules: "O3", checks: "opening/at-once", cfg: func(c *Config, y *toy) {
		var mu sync.Mutex
		creating := map[string]bool{}
		open := c.Open
		c.Open = func(ctx context.Context, dsn string) (driver.Store, error) {
			mu.Lock()
			busy := creating[dsn]
			creating[dsn] = true
			mu.Unlock()
			if busy {
				return nil, errors.New("ERROR: duplicate key value violates unique constraint pg_type_typname_nsp_index")
			}
			time.Sleep(time.Millisecond)
			defer func() {
				mu.Lock()
				defer mu.Unlock()
				delete(creating, dsn)
			}()
			return open(ctx, dsn)
		}
	}},
	{name: "creates what it should check", rules: "O3", checks: "opening/check-only", cfg: func(c *Config, y *toy) {
		var created sync.Map
		c.CheckOnly = func(dsn string) string { return "check " + dsn }
		open := c.Open
		c.Open = func(ctx context.Context, dsn string) (driver.Store, error) {
			name, check := strings.CutPrefix(dsn, "check ")
			if _, there := created.LoadOrStore(name, true); check && !there {
				return nil, &driver.SchemaError{Found: 0, Known: 1}
			}
			return open(ctx, name)
		}
	}},
	{name: "mixes two stores of one database", rules: "O4 V2 E1", checks: "opening/beside", cfg: func(c *Config, y *toy) {
		c.Beside = func(_ TB, dsn string) string { return dsn + "#2" }
		open := c.Open
		c.Open = func(ctx context.Context, dsn string) (driver.Store, error) {
			name, second := strings.CutSuffix(dsn, "#2")
			s, err := y.Open(ctx, dsn)
			if err != nil || !second {
				return open(ctx, dsn)
			}
			first, err := y.Open(ctx, name)
			if err != nil {
				return nil, err
			}
			return &wrong{s, &overrides{ // the checkpoints have no prefix
				load: func(_ *toyStore, ctx context.Context, name string) (driver.Checkpoint, error) {
					return first.LoadCheckpoint(ctx, name)
				},
				save: func(_ *toyStore, ctx context.Context, cp driver.Checkpoint, prev driver.Revision) error {
					return first.SaveCheckpoint(ctx, cp, prev)
				},
			}}, nil
		}
	}},
	{name: "opens newer data", rules: "O5", checks: "opening/newer", cfg: func(c *Config, y *toy) { y.schema = 99; c.Newer = func(TB, string) func() { return func() {} } }},
	{name: "calls newer data something else", rules: "O5", checks: "opening/newer", cfg: func(c *Config, y *toy) {
		open := c.Open
		c.Open = func(ctx context.Context, dsn string) (driver.Store, error) {
			s, err := open(ctx, dsn)
			if errors.Is(err, driver.ErrSchema) {
				err = errors.New("es: toy: no such column: flavour")
			}
			return s, err
		}
	}},
	{name: "accepts a setting that breaks a promise", rules: "O6", checks: "opening/refused", cfg: func(c *Config, y *toy) { c.Refused = []Refused{{DSN: "fsync=off", Word: "fsync"}} }},
	{name: "does not name the setting", rules: "O6", checks: "opening/refused", cfg: func(c *Config, y *toy) { c.Refused = []Refused{{DSN: "fsync=off?", Word: "durable"}} }},

	// Caps.
	{name: "creates the streams that are asked for", rules: "M3 S4", checks: "caps/unclaimed stream/missing", set: func(y *toy) { y.caps.MaxStreams = 1 }, with: streamed(func(s *toyStore, ctx context.Context, q streamQuery) (streamPage, error) {
		if head, _ := headOf(s, q.Stream); head == 0 {
			s.Append(ctx, to(q.Stream, driver.NoStream, record()))
		}
		return s.ReadStream(ctx, q)
	})},
}
