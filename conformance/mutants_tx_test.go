package conformance

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/go-es/es/driver"
)

// Mutants: transactions of the caller's.
var txMutants = []mutant{
	{name: "does not see its own appends", rules: "K1 S6 S3 V5", checks: "tx/inside", cfg: within(func(in *toyInTx, beside *toyStore) inTxOverrides {
		return inTxOverrides{stream: beside.ReadStream}
	})},
	{name: "has a feed of what was committed", rules: "F9 K1", checks: "tx/inside", cfg: within(func(in *toyInTx, beside *toyStore) inTxOverrides {
		return inTxOverrides{feed: beside.ReadAll}
	})},
	{name: "lists what was committed", rules: "K1", checks: "tx/inside", cfg: within(func(in *toyInTx, beside *toyStore) inTxOverrides {
		return inTxOverrides{list: beside.ListStreams}
	})},
	{name: "overwrites in a transaction", rules: "V2 V1 A4 A3 V5 I1 K1", checks: "tx/inside", cfg: withinAppends(func(in *toyInTx, _ *toyStore, ctx context.Context, req appendRequest) (appendResult, error) {
		return in.Append(ctx, expecting(req, func(driver.Expected) driver.Expected { return driver.Any }))
	})},
	{name: "recognises nothing in a transaction", rules: "I1", checks: "tx/inside", cfg: withinAppends(func(in *toyInTx, _ *toyStore, ctx context.Context, req appendRequest) (appendResult, error) {
		p := req.Parts[0]
		v, exact := p.Expected.Exact()
		if page, err := in.ReadStream(ctx, streamQuery{Stream: p.Stream}); err == nil && exact && v < page.Head {
			return appendResult{}, &driver.ConflictError{Stream: p.Stream, Expected: p.Expected, Actual: page.Head}
		}
		return in.Append(ctx, req)
	})},
	{name: "leaves checks of versions out in a transaction", rules: "A4 A3 K1", checks: "tx/inside", cfg: withinAppends(func(in *toyInTx, _ *toyStore, ctx context.Context, req appendRequest) (appendResult, error) {
		res, err := in.Append(ctx, toEach(slices.DeleteFunc(slices.Clone(req.Parts), func(p driver.Part) bool { return len(p.Records) == 0 })...))
		for i, p := range req.Parts {
			if err == nil && len(p.Records) == 0 {
				res.Parts = slices.Insert(res.Parts, i, driver.Appended{})
			}
		}
		return res, err
	})},
	{name: "deletes twice in a transaction", rules: "D6", checks: "tx/inside", cfg: within(func(in *toyInTx, _ *toyStore) inTxOverrides {
		return inTxOverrides{delete: func(ctx context.Context, req driver.DeleteRequest) (driver.Appended, error) {
			if _, err := in.ReadStream(ctx, streamQuery{Stream: req.Stream}); errors.Is(err, driver.ErrStreamDeleted) {
				return driver.Appended{}, err
			}
			return in.Delete(ctx, req)
		}}
	})},
	{name: "purges nothing in a transaction", rules: "K1 S1 F1", checks: "tx/inside", cfg: within(func(in *toyInTx, _ *toyStore) inTxOverrides {
		return inTxOverrides{delete: func(ctx context.Context, req driver.DeleteRequest) (driver.Appended, error) {
			req.Mode = driver.Tombstone
			return in.Delete(ctx, req)
		}}
	})},
	{name: "loses what came after the first append of a transaction", rules: "K1 A5 F9 K2", checks: "tx/inside tx/outside", cfg: within(func(in *toyInTx, _ *toyStore) inTxOverrides {
		return inTxOverrides{commit: func() error {
			in.done = in.done[:1]
			return in.commit()
		}}
	})},

	{name: "commits by itself", rules: "K2 K3", checks: "tx/outside tx/rolled-back", cfg: withinAppends(commitsByItself)},
	{name: "writes new streams beside the transaction", rules: "K2 K3", checks: "tx/outside tx/rolled-back", cfg: withinAppends(func(in *toyInTx, beside *toyStore, ctx context.Context, req appendRequest) (appendResult, error) {
		if p := req.Parts[0]; p.Expected == driver.NoStream {
			if _, err := beside.Append(ctx, req); err != nil {
				return appendResult{}, err
			}
		}
		return in.Append(ctx, req)
	})},
	{name: "deletes beside the transaction", rules: "K2 K3", checks: "tx/outside tx/rolled-back", cfg: within(func(in *toyInTx, beside *toyStore) inTxOverrides {
		return inTxOverrides{delete: beside.Delete}
	})},
	{name: "deletes snapshots beside the transaction", rules: "K2 K3", checks: "tx/outside tx/rolled-back", cfg: within(func(in *toyInTx, beside *toyStore) inTxOverrides {
		return inTxOverrides{delete: func(ctx context.Context, req driver.DeleteRequest) (driver.Appended, error) {
			a, err := in.Delete(ctx, req)
			if err == nil {
				err = beside.DeleteSnapshot(ctx, req.Stream, "state")
			}
			return a, err
		}}
	})},
	{name: "takes new positions at the commit", rules: "F7 R4", checks: "tx/outside", cfg: within(func(in *toyInTx, beside *toyStore) inTxOverrides {
		return inTxOverrides{commit: func() error {
			in.d.mu.Lock()
			for i := range in.tx.positions {
				in.tx.positions[i] = beside.take() // in place: what was done has them
			}
			in.d.mu.Unlock()
			return in.commit()
		}}
	})},
	{name: "commits when it has time", rules: "A5 F9", checks: "tx/outside", cfg: within(func(in *toyInTx, _ *toyStore) inTxOverrides {
		return inTxOverrides{commit: func() error {
			time.AfterFunc(50*time.Millisecond, func() { in.commit() })
			return nil
		}}
	})},
	{name: "loses a commit when all is closed", rules: "A6", checks: "tx/outside", cfg: func(c *Config, y *toy) {
		open, inTx := c.Open, c.InTx
		lost := map[string]bool{}
		var mu sync.Mutex
		c.InTx = func(tb TB, dsn string) (driver.Store, func() error, func() error) {
			s, commit, rollback := inTx(tb, dsn)
			return s, func() error {
				mu.Lock()
				defer mu.Unlock()
				lost[dsn] = true
				return commit()
			}, rollback
		}
		opened := map[string]int{}
		c.Open = func(ctx context.Context, dsn string) (driver.Store, error) {
			mu.Lock()
			defer mu.Unlock()
			if opened[dsn]++; lost[dsn] && opened[dsn] > 5 { // two clients, three late ones
				d := y.of(dsn)
				d.mu.Lock()
				if st := d.streams["new-0"]; st != nil {
					d.log = slices.DeleteFunc(d.log, func(r *toyRow) bool { return r.rec.Stream == "new-0" })
					st.rows = nil
				}
				d.mu.Unlock()
			}
			return open(ctx, dsn)
		}
	}},
	{name: "a commit fails", rules: "K2", checks: "tx/outside", cfg: within(func(in *toyInTx, _ *toyStore) inTxOverrides {
		return inTxOverrides{commit: func() error { in.rollback(); return errLost }}
	})},

	{name: "rolls back and leaves streams closed", rules: "K3", checks: "tx/rolled-back", cfg: within(func(in *toyInTx, beside *toyStore) inTxOverrides {
		var closed []driver.DeleteRequest
		return inTxOverrides{
			delete: func(ctx context.Context, req driver.DeleteRequest) (driver.Appended, error) {
				closed = append(closed, req)
				return in.Delete(ctx, req)
			},
			rollback: func() error {
				err := in.rollback()
				for _, req := range closed {
					beside.d.mu.Lock()
					beside.d.stream(req.Stream).closed = true
					beside.d.mu.Unlock()
				}
				return err
			},
		}
	})},
	{name: "rolls back and leaves the ids taken", rules: "K3", checks: "tx/rolled-back", cfg: func(c *Config, y *toy) {
		var used sync.Map
		withinAppends(func(in *toyInTx, _ *toyStore, ctx context.Context, req appendRequest) (appendResult, error) {
			used.Store(req.Parts[0].Records[0].ID, true)
			return in.Append(ctx, req)
		})(c, y)
		c.Open = func(ctx context.Context, dsn string) (driver.Store, error) {
			s, err := y.Open(ctx, dsn)
			return &wrong{s, &overrides{append: func(s *toyStore, ctx context.Context, req appendRequest) (appendResult, error) {
				if _, is := used.Load(req.Parts[0].Records[0].ID); is {
					return appendResult{}, errors.New("duplicate key")
				}
				return s.Append(ctx, req)
			}}}, err
		}
	}},
	{name: "rolls back and leaves a gap that is never passed", rules: "F5", checks: "tx/rolled-back", set: func(y *toy) { y.stuck = true }},
	{name: "rolls back all but the last append", rules: "K3", checks: "tx/rolled-back", cfg: within(func(in *toyInTx, _ *toyStore) inTxOverrides {
		return inTxOverrides{rollback: func() error {
			if n := len(in.done); n > 1 {
				in.done = in.done[1:2]
			}
			return in.commit()
		}}
	})},

	{name: "an error ends the transaction", rules: "K6", checks: "tx/errors", cfg: within(func(in *toyInTx, _ *toyStore) inTxOverrides {
		var failed bool
		return inTxOverrides{
			append: func(ctx context.Context, req appendRequest) (res appendResult, err error) {
				if failed {
					return res, errTxEnded
				}
				res, err = in.Append(ctx, req)
				failed = err != nil
				return res, err
			},
		}
	})},
	{name: "writes the first stream of what it refuses, in a transaction", rules: "K6", checks: "tx/errors", cfg: withinAppends(func(in *toyInTx, _ *toyStore, ctx context.Context, req appendRequest) (appendResult, error) {
		res, err := in.Append(ctx, req)
		if err != nil && len(req.Parts) > 1 {
			in.Append(ctx, toEach(req.Parts[0]))
		}
		return res, err
	})},
	{name: "says that a call in a transaction can be made again", rules: "K6 E1", checks: "tx/errors", cfg: withinAppends(func(in *toyInTx, _ *toyStore, ctx context.Context, req appendRequest) (appendResult, error) {
		res, err := in.Append(ctx, req)
		if errors.Is(err, driver.ErrConflict) {
			err = driver.Transient(errors.New("deadlock"))
		}
		return res, err
	})},
	{name: "reads any position of the feed in a transaction", rules: "K6", checks: "tx/errors", cfg: within(func(in *toyInTx, _ *toyStore) inTxOverrides {
		return inTxOverrides{feed: func(ctx context.Context, q feedQuery) (page, error) {
			p, err := in.ReadAll(ctx, q)
			if errors.Is(err, driver.ErrCheckpointAhead) {
				return page{Next: q.After, End: true}, nil
			}
			return p, err
		}}
	})},

	{name: "commits at Close", rules: "K7", checks: "tx/close", cfg: within(func(in *toyInTx, _ *toyStore) inTxOverrides {
		return inTxOverrides{close: func() error { in.commit(); return nil }, commit: endsOnce(in.commit), rollback: endsOnce(in.rollback)}
	})},
	{name: "rolls back at Close", rules: "K7", checks: "tx/close", cfg: within(func(in *toyInTx, _ *toyStore) inTxOverrides {
		return inTxOverrides{close: func() error { in.rollback(); return nil }, commit: endsOnce(in.commit), rollback: endsOnce(in.rollback)}
	})},
	{name: "claims other Caps in a transaction", rules: "K7", checks: "tx/close", cfg: within(func(in *toyInTx, _ *toyStore) inTxOverrides {
		return inTxOverrides{caps: func() driver.Caps {
			return driver.Caps{PositionOnAppend: true, Gapless: true, FilterFeed: true, MaxStreams: 10}
		}}
	})},
	{name: "has groups in a transaction", rules: "K7", checks: "tx/close", cfg: func(c *Config, y *toy) {
		inTx := c.InTx
		c.InTx = func(tb TB, dsn string) (driver.Store, func() error, func() error) {
			s, commit, rollback := inTx(tb, dsn)
			return struct {
				driver.Store
				driver.GroupAppender
			}{s, &toyStore{toy: y, d: y.of(dsn), done: make(chan struct{})}}, commit, rollback
		}
	}},

	{name: "goes on beside a transaction that has ended", rules: "K8", checks: "tx/ended", cfg: withinAppends(func(in *toyInTx, beside *toyStore, ctx context.Context, req appendRequest) (appendResult, error) {
		res, err := in.Append(ctx, req)
		if err == errTxEnded {
			return beside.Append(ctx, req)
		}
		return res, err
	})},
	{name: "reads in a transaction that has ended", rules: "K8", checks: "tx/ended", cfg: within(func(in *toyInTx, beside *toyStore) inTxOverrides {
		return inTxOverrides{stream: func(ctx context.Context, q streamQuery) (streamPage, error) {
			p, err := in.ReadStream(ctx, q)
			if err == errTxEnded {
				return beside.ReadStream(ctx, q)
			}
			return p, err
		}}
	})},
	{name: "fails and writes after its transaction has ended", rules: "K8", checks: "tx/ended", cfg: withinAppends(func(in *toyInTx, beside *toyStore, ctx context.Context, req appendRequest) (appendResult, error) {
		res, err := in.Append(ctx, req)
		if err == errTxEnded {
			beside.Append(ctx, req)
		}
		return res, err
	})},

	{name: "passes what is in an open transaction", rules: "K4 F1 F2", checks: "tx/feed tx/writers", set: func(y *toy) { y.naive = true }},
	{name: "waits for a transaction for 2 ms and no longer", rules: "F1 F2", checks: "tx/feed tx/writers", set: func(y *toy) { y.patience = 2 * time.Millisecond }},
	{name: "calls the feed before an open transaction its end", rules: "F9", checks: "tx/feed", with: fedPaged(func(_ feedQuery, p *page) { p.End = true })},
	{name: "waits for good for a transaction that was rolled back among writers", rules: "F5 F1", checks: "tx/feed tx/writers", set: func(y *toy) { y.stuck = true }},

	{name: "transactions hold no streams", rules: "K5 V5 V4 F1", checks: "tx/race", cfg: within(func(in *toyInTx, _ *toyStore) inTxOverrides {
		return inTxOverrides{append: func(ctx context.Context, req appendRequest) (appendResult, error) {
			res, err := in.Append(ctx, req)
			in.d.mu.Lock()
			for st := range in.holds {
				st.holder = nil
			}
			in.d.mu.Unlock()
			return res, err
		}}
	})},
	{name: "takes an append that waited for a transaction for refused, and it was not", rules: "K5 V5 V4", checks: "tx/race", cfg: withinAppends(func(in *toyInTx, beside *toyStore, ctx context.Context, req appendRequest) (appendResult, error) {
		in.d.mu.Lock()
		st := in.d.streams[req.Parts[0].Stream]
		waits := st != nil && st.holder != nil && st.holder != in.tx
		in.d.mu.Unlock()
		res, err := in.Append(ctx, req)
		if err == nil && waits {
			in.commit()
			return res, errTxEnded
		}
		return res, err
	})},
}

// commitsByItself appends beside the transaction.
func commitsByItself(_ *toyInTx, beside *toyStore, ctx context.Context, req appendRequest) (appendResult, error) {
	return beside.Append(ctx, req)
}

// endsOnce ends a transaction that may have ended.
func endsOnce(end func() error) func() error {
	return func() error {
		if err := end(); err != errTxEnded {
			return err
		}
		return nil
	}
}
