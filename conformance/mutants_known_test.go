package conformance

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf16"

	"github.com/go-es/es/driver"
)

// Mutants: faults that stores are known to have had.
var knownMutants = []mutant{
	{name: "skips a gap after a wait", rules: "F2 F1", checks: "feed/held", set: func(y *toy) { y.patience, y.caps.Gapless = 10*time.Millisecond, false }},
	{name: "swallows a conflict", rules: "V2 V4 V5", checks: "versions/expected", with: appended(func(s *toyStore, ctx context.Context, req appendRequest) (appendResult, error) {
		res, err := s.Append(ctx, req)
		if c, ok := errors.AsType[*driver.ConflictError](err); ok && len(req.Parts) == 1 && c.Actual > 0 { // ON CONFLICT DO NOTHING
			v, _ := req.Parts[0].Expected.Exact()
			return appendResult{Parts: []driver.Appended{{First: v + 1, Last: v + driver.Version(len(req.Parts[0].Records)), Position: s.d.head()}}}, nil
		}
		return res, err
	})},
	{name: "lets a conflict at any version out", rules: "U4 V4", checks: "unknown/transient", with: appended(func(s *toyStore, ctx context.Context, req appendRequest) (appendResult, error) {
		head, closed := headOf(s, req.Parts[0].Stream)
		if req.Parts[0].Expected != driver.Any || closed || len(req.Parts) > 1 {
			return s.Append(ctx, req)
		}
		time.Sleep(200 * time.Microsecond)
		return s.Append(ctx, to(req.Parts[0].Stream, driver.Exactly(head), req.Parts[0].Records...))
	})},
	{name: "keeps the wall clock of the caller", rules: "R2", checks: "records/time", with: written(func(r *stored) {
		t := r.Time
		r.Time = time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), time.UTC)
	})},
	{name: "reads no metadata as null", rules: "R1", checks: "records/bytes", with: written(func(r *stored) {
		if len(r.Metadata) == 0 {
			r.Metadata = []byte("null")
		}
	})},
	{name: "cuts types at 64 bytes", rules: "N2", checks: "names/long", with: written(func(r *stored) { r.Type = r.Type[:min(len(r.Type), 64)] })},
	{name: "takes ß for ss", rules: "N1", checks: "names/streams", with: renamed(func(s string) string { return strings.ReplaceAll(s, "ß", "ss") })},
	{name: "orders names as UTF-16", rules: "N1 L1 L2", checks: "names/streams", with: listed(func(s *toyStore, ctx context.Context, q driver.ListQuery) (driver.ListPage, error) {
		p, err := s.ListStreams(ctx, q)
		slices.SortFunc(p.Streams, func(a, b driver.StreamInfo) int {
			return slices.Compare(utf16.Encode([]rune(a.Stream)), utf16.Encode([]rune(b.Stream)))
		})
		return p, err
	})},
	{name: "reads a prefix as a pattern", rules: "F10", checks: "feed/filter names/filters", with: fed(func(s *toyStore, ctx context.Context, q feedQuery) (page, error) {
		f := q.Filter
		if len(f.Prefixes) == 0 {
			return s.ReadAll(ctx, q)
		}
		q.Filter = driver.Filter{Types: f.Types}
		p, err := s.ReadAll(ctx, q)
		p.Records = slices.DeleteFunc(p.Records, func(r stored) bool {
			return !slices.ContainsFunc(f.Prefixes, func(prefix string) bool {
				rest := []rune(r.Stream)
				for i, c := range []rune(prefix) {
					if c == '%' {
						return true
					}
					if i >= len(rest) || c != '_' && c != rest[i] {
						return false
					}
				}
				return true
			})
		})
		return p, err
	})},
	{name: "says that a call which it did not make succeeded", rules: "U1 A3 S6 F13", checks: "unknown/ended", with: appended(func(s *toyStore, ctx context.Context, req appendRequest) (appendResult, error) {
		if ctx.Err() != nil {
			return appendResult{Parts: make([]driver.Appended, len(req.Parts))}, nil
		}
		return s.Append(ctx, req)
	})},
	{name: "takes an ended context for the end of the feed", rules: "U1", checks: "unknown/ended", with: fed(func(s *toyStore, ctx context.Context, q feedQuery) (page, error) {
		if ctx.Err() != nil {
			return page{Next: q.After, End: true}, nil
		}
		return s.ReadAll(ctx, q)
	})},
	{name: "reads the feed from a replica", rules: "F9 F11 F13", checks: "feed/rest feed/beyond", with: func() overrides {
		var mu sync.Mutex
		var was driver.Position
		var at time.Time
		return overrides{feed: func(s *toyStore, ctx context.Context, q feedQuery) (page, error) {
			p, err := s.ReadAll(ctx, q)
			mu.Lock()
			defer mu.Unlock()
			if time.Since(at) > 20*time.Millisecond {
				s.d.mu.Lock()
				was, at = s.d.head(), time.Now()
				s.d.mu.Unlock()
			}
			if q.After > was {
				return page{}, fmt.Errorf("%w: after %d", driver.ErrCheckpointAhead, q.After)
			}
			if p.Next > was {
				p.Records = slices.DeleteFunc(p.Records, func(r stored) bool { return r.Position > was })
				s.d.mu.Lock()
				p.Next, p.End, p.Seen = was, true, s.d.seen(was)
				s.d.mu.Unlock()
			}
			return p, err
		}}
	}},
	{name: "begins a page with the next append", rules: "F1 F2 F9", checks: "feed/pages", with: func() overrides {
		var mu sync.Mutex
		ends := map[driver.Position]driver.Position{} // of appends, by each of their positions
		return overrides{
			append: func(s *toyStore, ctx context.Context, req appendRequest) (appendResult, error) {
				res, err := s.Append(ctx, req)
				mu.Lock()
				defer mu.Unlock()
				for i, a := range res.Parts {
					for k := 1; err == nil && k < len(req.Parts[i].Records); k++ {
						ends[a.Position-driver.Position(k)] = a.Position
					}
				}
				return res, err
			},
			feed: func(s *toyStore, ctx context.Context, q feedQuery) (page, error) {
				mu.Lock()
				defer mu.Unlock()
				if end, within := ends[q.After]; within {
					q.After = end
				}
				return s.ReadAll(ctx, q)
			},
		}
	}},
	{name: "forgets that a stream was purged", rules: "D5 D1 D3", checks: "delete/taken", with: deleted(func(s *toyStore, ctx context.Context, req driver.DeleteRequest) (driver.Appended, error) {
		a, err := s.Delete(ctx, req)
		if err == nil && req.Mode == driver.Purge {
			s.d.mu.Lock()
			defer s.d.mu.Unlock()
			delete(s.d.streams, req.Stream)
		}
		return a, err
	})},
	{name: "reads purged events from their stream", rules: "D3 D4 D6", checks: "delete/purge", with: streamed(func(s *toyStore, ctx context.Context, q streamQuery) (streamPage, error) {
		p, err := s.ReadStream(ctx, q)
		s.d.mu.Lock()
		defer s.d.mu.Unlock()
		if st := s.d.streams[q.Stream]; err == nil && st != nil && st.purged && q.Deleted && q.From == 0 && !q.Backward && q.Limit == 0 {
			p.Records = append([]stored{clone(st.rows[0].rec)}, p.Records...)
		}
		return p, err
	})},
	{name: "finds a From of 0 backward before the first", rules: "S2 S3", checks: "stream/backward", with: streamed(func(s *toyStore, ctx context.Context, q streamQuery) (streamPage, error) {
		p, err := s.ReadStream(ctx, q)
		if q.Backward && q.From == 0 {
			p.Records, p.End = nil, true
		}
		return p, err
	})},
	{name: "never ends a backward read", rules: "S3", checks: "stream/backward", with: streamPaged(func(q streamQuery, p *streamPage) {
		if q.Backward && len(p.Records) > 0 {
			p.End = false
		}
	})},
	{name: "loses what does not fit into a buffer", rules: "S1 S3", checks: "stream/large", with: streamPaged(func(q streamQuery, p *streamPage) {
		size := 0
		for i := range p.Records {
			if size += len(p.Records[i].Data); size > 10_000 && !q.Backward {
				p.Records, p.End = p.Records[:i], true
				return
			}
		}
	})},
	{name: "counts events for Head", rules: "F13", checks: "feed/head", set: func(y *toy) { y.step, y.caps.Gapless = 3, false }, with: func() overrides {
		return overrides{head: func(s *toyStore, ctx context.Context) (driver.Position, error) {
			s.d.mu.Lock()
			defer s.d.mu.Unlock()
			return driver.Position(len(s.d.log)), ctx.Err()
		}}
	}},
	{name: "lists one stream more than it may", rules: "L2", checks: "list/pages", with: listed(func(s *toyStore, ctx context.Context, q driver.ListQuery) (driver.ListPage, error) {
		if q.Limit > 0 {
			q.Limit++
		}
		return s.ListStreams(ctx, q)
	})},
	{name: "does not list closed streams", rules: "L1", checks: "list/order", with: listed(func(s *toyStore, ctx context.Context, q driver.ListQuery) (driver.ListPage, error) {
		p, err := s.ListStreams(ctx, q)
		if p.End {
			p.Streams = slices.DeleteFunc(p.Streams, func(i driver.StreamInfo) bool { return i.Closed })
		}
		return p, err
	})},
	{name: "returns one listing to all", rules: "R3 L1", checks: "list/pages", with: func() overrides {
		var mu sync.Mutex
		known := map[driver.ListQuery]driver.ListPage{}
		return overrides{list: func(s *toyStore, ctx context.Context, q driver.ListQuery) (driver.ListPage, error) {
			mu.Lock()
			defer mu.Unlock()
			p, err := s.ListStreams(ctx, q)
			if old, ok := known[q]; ok && len(old.Streams) == len(p.Streams) {
				return old, nil
			}
			known[q] = p
			return p, err
		}}
	}},
	{name: "returns one listing of checkpoints to all", rules: "R3", checks: "checkpoint/list", with: func() overrides {
		var mu sync.Mutex
		var known driver.CheckpointPage
		return overrides{lists: func(s *toyStore, ctx context.Context, q driver.CheckpointQuery) (driver.CheckpointPage, error) {
			mu.Lock()
			defer mu.Unlock()
			p, err := s.ListCheckpoints(ctx, q)
			if q != (driver.CheckpointQuery{}) {
				return p, err
			}
			if !known.End || len(known.Checkpoints) != len(p.Checkpoints) {
				known = p
			}
			return known, err
		}}
	}},
	{name: "lists one checkpoint more than it may", rules: "C5", checks: "checkpoint/list", with: func() overrides {
		return overrides{lists: func(s *toyStore, ctx context.Context, q driver.CheckpointQuery) (driver.CheckpointPage, error) {
			if q.Limit > 0 {
				q.Limit++
			}
			return s.ListCheckpoints(ctx, q)
		}}
	}},
	{name: "keeps positions in 32 bits", rules: "C4", checks: "checkpoint/values", with: func() overrides {
		return overrides{save: func(s *toyStore, ctx context.Context, cp driver.Checkpoint, prev driver.Revision) error {
			cp.Position &= 1<<32 - 1
			return s.SaveCheckpoint(ctx, cp, prev)
		}}
	}},
	{name: "takes a revision that a restore took away", rules: "C2", checks: "feed/restored", with: func() overrides {
		saved := map[driver.Revision]bool{}
		var mu sync.Mutex
		return overrides{save: func(s *toyStore, ctx context.Context, cp driver.Checkpoint, prev driver.Revision) error {
			mu.Lock()
			defer mu.Unlock()
			if saved[prev] { // it was once so
				now, _ := s.LoadCheckpoint(ctx, cp.Name)
				prev = now.Revision
			}
			saved[cp.Revision] = true
			return s.SaveCheckpoint(ctx, cp, prev)
		}}
	}},
	{name: "calls a checkpoint that was saved cancelled", rules: "U2", checks: "unknown/kept", with: func() overrides {
		return overrides{save: func(s *toyStore, ctx context.Context, cp driver.Checkpoint, prev driver.Revision) error {
			err := s.SaveCheckpoint(ctx, cp, prev)
			time.Sleep(200 * time.Microsecond)
			return cmp.Or(err, ctx.Err())
		}}
	}},
	{name: "calls a snapshot that was saved cancelled", rules: "U2", checks: "unknown/kept", with: func() overrides {
		return overrides{saveSnap: func(s *toyStore, ctx context.Context, snap driver.Snapshot) error {
			err := s.SaveSnapshot(ctx, snap)
			time.Sleep(200 * time.Microsecond)
			return cmp.Or(err, ctx.Err())
		}}
	}},
	{name: "refuses snapshots of missing streams in its own words", rules: "P6 E1", checks: "snapshot/unborn", with: func() overrides {
		return overrides{saveSnap: func(s *toyStore, ctx context.Context, snap driver.Snapshot) error {
			if head, _ := headOf(s, snap.Stream); head == 0 {
				return errors.New("violates foreign key constraint")
			}
			return s.SaveSnapshot(ctx, snap)
		}}
	}},
	{name: "ignores snapshots of missing streams", rules: "P6", checks: "snapshot/unborn", with: func() overrides {
		return overrides{saveSnap: func(s *toyStore, ctx context.Context, snap driver.Snapshot) error {
			if head, _ := headOf(s, snap.Stream); head == 0 {
				return nil
			}
			return s.SaveSnapshot(ctx, snap)
		}}
	}},
	{name: "does not listen again once it was cut off", rules: "W2", checks: "wake/reconnects", with: listens(func(s *toyStore, ctx context.Context, wake func()) error {
		var cut atomic.Bool
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		go func() {
			for ctx.Err() == nil {
				s.mu.Lock()
				cut.Store(cut.Load() || s.down != nil)
				s.mu.Unlock()
				time.Sleep(time.Millisecond)
			}
		}()
		return s.Listen(ctx, func() {
			if !cut.Load() {
				wake()
			}
		})
	})},
	{name: "hides why an outcome is unknown", rules: "E1", checks: "unknown/each-request", with: deleted(func(s *toyStore, ctx context.Context, req driver.DeleteRequest) (driver.Appended, error) {
		a, err := s.Delete(ctx, req)
		if e, ok := errors.AsType[*driver.UnknownOutcomeError](err); ok {
			return a, &driver.UnknownOutcomeError{Parts: e.Parts}
		}
		return a, err
	})},
	{name: "never appends again once it was cut off", rules: "X5", checks: "unknown/down", with: func() overrides {
		var mu sync.Mutex
		lost := map[*toyStore]int{}
		return overrides{append: func(s *toyStore, ctx context.Context, req appendRequest) (appendResult, error) {
			mu.Lock()
			s.mu.Lock()
			if s.down != nil {
				lost[s]++
			}
			s.mu.Unlock()
			broken := lost[s] > 0
			mu.Unlock()
			if broken && req.Parts[0].Stream == "down-after" {
				return appendResult{}, driver.Transient(errLost)
			}
			return s.Append(ctx, req)
		}}
	}},
}
