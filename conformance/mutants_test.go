package conformance

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-es/es/driver"
)

// A mutant is a store with one fault. Each of its checks has to fail on it, and
// to say that one of its sentences does not hold.
type mutant struct {
	name   string
	rules  string
	checks string
	with   func() overrides
	set    func(*toy)
	cfg    func(*Config, *toy)
}

type (
	appendRequest = driver.AppendRequest
	appendResult  = driver.AppendResult
	streamQuery   = driver.StreamQuery
	streamPage    = driver.StreamPage
	feedQuery     = driver.FeedQuery
	page          = driver.FeedPage
	stored        = driver.Record
)

var mutants = []mutant{
	// Records.
	{name: "loses metadata", rules: "R1", checks: "records/bytes", with: written(func(r *stored) { r.Metadata = nil })},
	{name: "cuts data at a NUL", rules: "R1", checks: "records/bytes", with: written(func(r *stored) { r.Data, _, _ = bytes.Cut(r.Data, []byte{0}) })},
	{name: "cuts data at 64 KiB", rules: "R1 S1", checks: "records/bytes", set: noLimits, with: written(func(r *stored) { r.Data = r.Data[:min(len(r.Data), 1<<16-1)] })},
	{name: "rewrites JSON", rules: "R1", checks: "records/bytes", with: written(func(r *stored) { r.Data = bytes.ReplaceAll(r.Data, []byte(": "), []byte(":")) })},
	{name: "sorts tags", rules: "R1", checks: "records/bytes", with: written(func(r *stored) { slices.Sort(r.Tags) })},
	{name: "removes tags that occur twice", rules: "R1", checks: "records/bytes", with: written(func(r *stored) { r.Tags = slices.Compact(r.Tags) })},
	{name: "keeps milliseconds", rules: "R2", checks: "records/time", with: written(func(r *stored) { r.Time = r.Time.Truncate(time.Millisecond) })},
	{name: "rounds to the microsecond", rules: "R2", checks: "records/time", with: written(func(r *stored) { r.Time = r.Time.Round(time.Microsecond) })},
	{name: "keeps times as 64 bits of nanoseconds", rules: "R2", checks: "records/time", with: written(func(r *stored) { r.Time = time.Unix(0, r.Time.UnixNano()) })},
	{name: "returns times in another zone", rules: "R2", checks: "records/time", with: streamPaged(func(_ streamQuery, p *streamPage) {
		for i := range p.Records {
			p.Records[i].Time = p.Records[i].Time.In(time.FixedZone("east", 3600))
		}
	})},
	{name: "keeps the bytes of a request", rules: "R3", checks: "records/ownership", with: keepsRequest},
	{name: "sets versions in the request", rules: "R3", checks: "records/ownership", with: appended(func(s *toyStore, ctx context.Context, req appendRequest) (appendResult, error) {
		for i := range req.Parts {
			for j := range req.Parts[i].Records {
				req.Parts[i].Records[j].Version = driver.Version(j + 1)
			}
		}
		return s.Append(ctx, req)
	})},
	{name: "returns one buffer to all", rules: "R3", checks: "records/ownership", with: sharesPages(false)},
	{name: "returns slices that share capacity", rules: "R3", checks: "records/ownership", with: streamPaged(func(_ streamQuery, p *streamPage) {
		for i := range p.Records {
			r := &p.Records[i]
			all := append(bytes.Clone(r.Data), r.Metadata...)
			r.Data, r.Metadata = all[:len(r.Data)], all[len(r.Data):]
		}
	})},
	{name: "returns one buffer to concurrent readers", rules: "R3", checks: "records/concurrent-ownership", with: sharesPages(true)},
	{name: "returns other positions from streams", rules: "R4 F7", checks: "records/place", with: streamPaged(func(_ streamQuery, p *streamPage) {
		for i := range p.Records {
			p.Records[i].Position += 7
		}
	})},
	{name: "returns no positions from streams", rules: "R4", checks: "records/place", with: streamPaged(func(_ streamQuery, p *streamPage) {
		for i := range p.Records {
			p.Records[i].Position = 0
		}
	})},

	// Names.
	{name: "folds the case of streams", rules: "N1", checks: "names/streams", with: renamed(strings.ToLower)},
	{name: "trims streams", rules: "N1", checks: "names/streams", with: renamed(func(s string) string { return "." + strings.TrimRight(s, " ") })},
	{name: "folds the case of types", rules: "N1", checks: "names/types", with: written(func(r *stored) { r.Type = strings.ToLower(r.Type) })},
	{name: "trims tags", rules: "N1", checks: "names/types", with: written(func(r *stored) {
		for i := range r.Tags {
			r.Tags[i] = "." + strings.TrimSpace(r.Tags[i])
		}
	})},
	{name: "folds the case of filters", rules: "F10", checks: "names/filters", with: fed(func(s *toyStore, ctx context.Context, q feedQuery) (page, error) {
		f := q.Filter
		q.Filter = driver.Filter{}
		p, err := s.ReadAll(ctx, q)
		p.Records = slices.DeleteFunc(p.Records, func(r stored) bool {
			return len(f.Types) > 0 && !slices.ContainsFunc(f.Types, func(t string) bool { return strings.EqualFold(t, r.Type) }) ||
				len(f.Prefixes) > 0 && !slices.ContainsFunc(f.Prefixes, func(p string) bool { return strings.HasPrefix(r.Stream, p) })
		})
		return p, err
	})},
	{name: "folds the case of checkpoints", rules: "N1 C2", checks: "names/checkpoints", with: func() overrides {
		return overrides{
			save: func(s *toyStore, ctx context.Context, cp driver.Checkpoint, prev driver.Revision) error {
				cp.Name = strings.ToLower(cp.Name)
				return s.SaveCheckpoint(ctx, cp, prev)
			},
			load: func(s *toyStore, ctx context.Context, name string) (driver.Checkpoint, error) {
				cp, err := s.LoadCheckpoint(ctx, strings.ToLower(name))
				cp.Name = name
				return cp, err
			},
		}
	}},
	{name: "folds the case of snapshot kinds", rules: "N1", checks: "names/snapshots", with: func() overrides {
		return overrides{
			saveSnap: func(s *toyStore, ctx context.Context, snap driver.Snapshot) error {
				snap.Kind = strings.ToLower(snap.Kind)
				return s.SaveSnapshot(ctx, snap)
			},
			loadSnap: func(s *toyStore, ctx context.Context, stream, kind string) (driver.Snapshot, error) {
				snap, err := s.LoadSnapshot(ctx, stream, strings.ToLower(kind))
				snap.Kind = kind
				return snap, err
			},
		}
	}},
	{name: "cannot do control characters", rules: "N2", checks: "names/characters", with: appended(func(s *toyStore, ctx context.Context, req appendRequest) (appendResult, error) {
		if strings.ContainsFunc(req.Parts[0].Stream, func(r rune) bool { return r < ' ' }) {
			return appendResult{}, errors.New("invalid character")
		}
		return s.Append(ctx, req)
	})},
	{name: "cuts streams at 250 bytes", rules: "N2 V2", checks: "names/long", with: renamed(func(s string) string { return s[:min(len(s), 250)] })},
	{name: "cannot do long streams with long types", rules: "N2", checks: "names/long", with: appended(func(s *toyStore, ctx context.Context, req appendRequest) (appendResult, error) {
		if p := req.Parts[0]; len(p.Stream)+len(p.Records[0].Type) > 500 {
			return appendResult{}, errors.New("index row size exceeded")
		}
		return s.Append(ctx, req)
	})},

	// Versions.
	{name: "returns the version before", rules: "V1", checks: "versions/count", with: appended(func(s *toyStore, ctx context.Context, req appendRequest) (appendResult, error) {
		res, err := s.Append(ctx, req)
		for i := range res.Parts {
			res.Parts[i].First--
			res.Parts[i].Last--
		}
		return res, err
	})},
	{name: "takes Exists for Any", rules: "V3", checks: "versions/expected", with: appended(func(s *toyStore, ctx context.Context, req appendRequest) (appendResult, error) {
		return s.Append(ctx, expecting(req, func(e driver.Expected) driver.Expected {
			if e == driver.Exists {
				return driver.Any
			}
			return e
		}))
	})},
	{name: "accepts a version above the head", rules: "V2", checks: "versions/expected", with: appended(func(s *toyStore, ctx context.Context, req appendRequest) (appendResult, error) {
		v, exact := req.Parts[0].Expected.Exact()
		if head, closed := headOf(s, req.Parts[0].Stream); exact && !closed && v > head {
			req.Parts = slices.Clone(req.Parts)
			req.Parts[0].Expected = driver.Any
		}
		return s.Append(ctx, req)
	})},
	{name: "conflicts with a version that never was", rules: "V4", checks: "versions/expected errors/types", with: appended(func(s *toyStore, ctx context.Context, req appendRequest) (appendResult, error) {
		res, err := s.Append(ctx, req)
		if c, ok := errors.AsType[*driver.ConflictError](err); ok {
			c.Actual += 5
		}
		return res, err
	})},
	{name: "writes although it conflicts", rules: "V4", checks: "versions/expected", with: appended(func(s *toyStore, ctx context.Context, req appendRequest) (appendResult, error) {
		res, err := s.Append(ctx, req)
		if errors.Is(err, driver.ErrConflict) && len(req.Parts) == 1 {
			s.Append(ctx, to(req.Parts[0].Stream, driver.Any, req.Parts[0].Records...))
		}
		return res, err
	})},
	{name: "checks and then writes", rules: "V5 I1", checks: "versions/race", with: checksThenWrites},
	{name: "reads what was", rules: "V5", checks: "versions/linearizable", with: readsOld},
	{name: "checks and then writes, linearizably", rules: "V5 V1", checks: "versions/linearizable", with: checksThenWrites},

	// Append.
	{name: "writes the first record of what it refuses", rules: "A1 V4", checks: "append/refused", with: appended(func(s *toyStore, ctx context.Context, req appendRequest) (appendResult, error) {
		res, err := s.Append(ctx, req)
		if p := req.Parts[0]; errors.Is(err, driver.ErrConflict) && len(p.Records) > 1 {
			s.Append(ctx, to(p.Stream, driver.Any, p.Records[0]))
		}
		return res, err
	})},
	{name: "writes record by record", rules: "A1 S7 A3", checks: "append/whole", with: appended(recordByRecord)},
	{name: "shows a part of an append", rules: "S7", checks: "append/whole", with: func() overrides {
		return overrides{stream: func(s *toyStore, ctx context.Context, q streamQuery) (streamPage, error) {
			// As of a page that was read before the append and one that was not.
			if !q.Backward && q.From > 0 && q.Limit == 0 {
				if head, _ := headOf(s, q.Stream); q.From > head-5 && head > 5 {
					return streamPage{Head: head, End: true}, nil
				}
			}
			return s.ReadStream(ctx, q)
		}}
	}},
	{name: "writes stream by stream", rules: "A2", checks: "append/streams append/transfers", with: appended(func(s *toyStore, ctx context.Context, req appendRequest) (appendResult, error) {
		var all appendResult
		for i, p := range req.Parts {
			if len(p.Records) == 0 {
				all.Parts = append(all.Parts, driver.Appended{})
				continue
			}
			res, err := s.Append(ctx, toEach(req.Parts[i]))
			if err != nil {
				return res, err
			}
			all.Parts = append(all.Parts, res.Parts...)
		}
		return all, nil
	})},
	{name: "returns the position of the first record", rules: "A3 F7", checks: "append/result", with: appended(func(s *toyStore, ctx context.Context, req appendRequest) (appendResult, error) {
		res, err := s.Append(ctx, req)
		for i := range res.Parts {
			res.Parts[i].Position -= driver.Position(len(req.Parts[i].Records)) - 1
		}
		return res, err
	})},
	{name: "returns parts in the order of their streams", rules: "A3 V1 V5", checks: "append/result", with: appended(func(s *toyStore, ctx context.Context, req appendRequest) (appendResult, error) {
		req.Parts = slices.Clone(req.Parts)
		slices.SortFunc(req.Parts, func(a, b driver.Part) int { return cmp.Compare(a.Stream, b.Stream) })
		return s.Append(ctx, req)
	})},
	{name: "leaves parts without records out", rules: "A3 A4", checks: "append/versions", with: appended(func(s *toyStore, ctx context.Context, req appendRequest) (appendResult, error) {
		kept := slices.DeleteFunc(slices.Clone(req.Parts), func(p driver.Part) bool { return len(p.Records) == 0 })
		res, err := s.Append(ctx, toEach(kept...))
		out := appendResult{Parts: make([]driver.Appended, len(req.Parts))}
		for i, p := range req.Parts {
			if len(p.Records) > 0 && len(res.Parts) > 0 {
				out.Parts[i], res.Parts = res.Parts[0], res.Parts[1:]
			}
		}
		return out, err
	})},
	{name: "checks versions before it writes", rules: "A4", checks: "append/skew", with: appended(func(s *toyStore, ctx context.Context, req appendRequest) (appendResult, error) {
		out := appendResult{Parts: make([]driver.Appended, len(req.Parts))}
		for i, p := range req.Parts {
			if head, closed := headOf(s, p.Stream); len(p.Records) == 0 && (closed || !p.Expected.Holds(head)) {
				return out, &driver.ConflictError{Stream: req.Parts[i].Stream, Expected: p.Expected, Actual: head}
			}
		}
		time.Sleep(time.Millisecond)
		for i, p := range req.Parts {
			if len(p.Records) > 0 {
				res, err := s.Append(ctx, toEach(p))
				if err != nil {
					return out, err
				}
				out.Parts[i] = res.Parts[0]
			}
		}
		return out, nil
	})},
	{name: "lets other clients wait for an append", rules: "A5", checks: "append/visible", with: readsOld},
	{name: "forgets the last append when all is closed", rules: "A6", checks: "append/durable", with: func() overrides {
		return overrides{close: func(s *toyStore) error {
			s.d.mu.Lock()
			defer s.d.mu.Unlock()
			if st := s.d.streams["lasting"]; st.head() > 3 {
				s.d.log = slices.DeleteFunc(s.d.log, func(r *toyRow) bool { return r == st.rows[len(st.rows)-1] })
				st.rows = st.rows[:len(st.rows)-1]
			}
			return s.Close()
		}}
	}},
	{name: "keeps checkpoints in the client", rules: "O2", checks: "append/durable", with: func() overrides {
		var mu sync.Mutex
		kept := map[*toyStore]driver.Checkpoint{}
		return overrides{
			save: func(s *toyStore, _ context.Context, cp driver.Checkpoint, _ driver.Revision) error {
				mu.Lock()
				defer mu.Unlock()
				kept[s] = cp
				return nil
			},
			load: func(s *toyStore, _ context.Context, name string) (driver.Checkpoint, error) {
				mu.Lock()
				defer mu.Unlock()
				return kept[s], nil
			},
		}
	}},

	// The same append again.
	{name: "recognises nothing", rules: "I1 I3 I6 G1", checks: "again/exact again/concurrently again/pieces again/streams group/outcomes", with: appended(recognisesNothing)},
	{name: "compares payloads", rules: "I2", checks: "again/exact", with: appended(func(s *toyStore, ctx context.Context, req appendRequest) (appendResult, error) {
		if req.Parts[0].Records != nil && req.Parts[0].Records[0].Type == "other" {
			return recognisesNothing(s, ctx, req)
		}
		return s.Append(ctx, req)
	})},
	{name: "returns the head when sent again", rules: "I1 A3 V1 V5 R4", checks: "again/exact", with: appended(func(s *toyStore, ctx context.Context, req appendRequest) (appendResult, error) {
		before, _ := headOf(s, req.Parts[0].Stream)
		res, err := s.Append(ctx, req)
		if err == nil && res.Parts[0].Last <= before && len(req.Parts) == 1 {
			n := driver.Version(len(req.Parts[0].Records))
			res.Parts[0].First, res.Parts[0].Last = before-n+1, before
		}
		return res, err
	})},
	{name: "recognises an append only at the head", rules: "I1", checks: "again/exact", with: appended(func(s *toyStore, ctx context.Context, req appendRequest) (appendResult, error) {
		p := req.Parts[0]
		v, exact := p.Expected.Exact()
		if head, closed := headOf(s, p.Stream); exact && !closed && v+driver.Version(len(p.Records)) < head {
			return recognisesNothing(s, ctx, req)
		}
		return s.Append(ctx, req)
	})},
	{name: "recognises whole appends only", rules: "I3", checks: "again/pieces", with: recognisesWhole},
	{name: "recognises the first id", rules: "I4 A3 V5 I6", checks: "again/partly", with: appended(func(s *toyStore, ctx context.Context, req appendRequest) (appendResult, error) {
		p := req.Parts[0]
		if v, exact := p.Expected.Exact(); exact && len(req.Parts) == 1 {
			first := to(p.Stream, p.Expected, p.Records[0])
			if head, closed := headOf(s, p.Stream); v < head && !closed {
				res, err := s.Append(ctx, first)
				if err == nil {
					res.Parts[0].Last = v + driver.Version(len(p.Records))
				}
				return res, err
			}
		}
		return s.Append(ctx, req)
	})},
	{name: "recognises ids in any order", rules: "I4 V5", checks: "again/partly", with: appended(func(s *toyStore, ctx context.Context, req appendRequest) (appendResult, error) {
		res, err := s.Append(ctx, req)
		if p := req.Parts[0]; errors.Is(err, driver.ErrConflict) && len(p.Records) == 2 {
			turned := slices.Clone(p.Records)
			slices.Reverse(turned)
			return s.Append(ctx, to(p.Stream, p.Expected, turned...))
		}
		return res, err
	})},
	{name: "recognises ids at any version", rules: "I4 V1 V5", checks: "again/partly", with: appended(func(s *toyStore, ctx context.Context, req appendRequest) (appendResult, error) {
		res, err := s.Append(ctx, req)
		if p := req.Parts[0]; errors.Is(err, driver.ErrConflict) && len(req.Parts) == 1 && hasIDs(s, p) {
			v := driver.Version(max(p.Expected, 0))
			return appendResult{Parts: []driver.Appended{{First: v + 1, Last: v + driver.Version(len(p.Records)), Position: 1}}}, nil
		}
		return res, err
	})},
	{name: "has unique ids", rules: "I5", checks: "again/ids", with: uniqueIDs(func(p driver.Part) bool { return true })},
	{name: "recognises one stream of several", rules: "I6", checks: "again/streams", with: appended(func(s *toyStore, ctx context.Context, req appendRequest) (appendResult, error) {
		res, err := s.Append(ctx, req)
		if errors.Is(err, driver.ErrConflict) && len(req.Parts) == 2 && slices.ContainsFunc(req.Parts, func(p driver.Part) bool { return hasIDs(s, p) }) {
			out := appendResult{Parts: make([]driver.Appended, 2)}
			for i, p := range req.Parts {
				if n := driver.Version(len(p.Records)); n > 0 {
					v := driver.Version(max(p.Expected, 0))
					out.Parts[i] = driver.Appended{First: v + 1, Last: v + n, Position: 1}
				}
			}
			return out, nil
		}
		return res, err
	})},
	{name: "asks that checks hold when sent again", rules: "I6", checks: "again/streams", with: appended(func(s *toyStore, ctx context.Context, req appendRequest) (appendResult, error) {
		for _, p := range req.Parts {
			if head, closed := headOf(s, p.Stream); len(p.Records) == 0 && !closed && !p.Expected.Holds(head) {
				return appendResult{}, &driver.ConflictError{Stream: p.Stream, Expected: p.Expected, Actual: head}
			}
		}
		return s.Append(ctx, req)
	})},
	{name: "lets a conflict decide before a closed stream", rules: "I6", checks: "again/streams", with: appended(func(s *toyStore, ctx context.Context, req appendRequest) (appendResult, error) {
		res, err := s.Append(ctx, req)
		if errors.Is(err, driver.ErrStreamDeleted) {
			for _, p := range req.Parts {
				if head, closed := headOf(s, p.Stream); !closed && !p.Expected.Holds(head) {
					return res, &driver.ConflictError{Stream: p.Stream, Expected: p.Expected, Actual: head}
				}
			}
		}
		return res, err
	})},
	{name: "recognises ids at Any", rules: "I7", checks: "again/any", with: uniqueIDs(func(p driver.Part) bool { return p.Expected < 0 })},
	{name: "recognises appends to closed streams", rules: "I8 D5", checks: "again/closed delete/taken", with: appended(func(s *toyStore, ctx context.Context, req appendRequest) (appendResult, error) {
		res, err := s.Append(ctx, req)
		if p := req.Parts[0]; errors.Is(err, driver.ErrStreamDeleted) && hasIDs(s, p) {
			v := driver.Version(max(p.Expected, 0))
			return appendResult{Parts: []driver.Appended{{First: v + 1, Last: v + driver.Version(len(p.Records)), Position: 1}}}, nil
		}
		return res, err
	})},

	// Unknown outcomes.
	{name: "ignores a context that has ended", rules: "U1", checks: "unknown/ended", with: appended(func(s *toyStore, ctx context.Context, req appendRequest) (appendResult, error) {
		return s.Append(context.WithoutCancel(ctx), req)
	})},
	{name: "writes after it said that the context ended", rules: "U1", checks: "unknown/ended", with: appended(func(s *toyStore, ctx context.Context, req appendRequest) (appendResult, error) {
		if err := ctx.Err(); err != nil {
			late := cloneRequest(req)
			time.AfterFunc(5*time.Millisecond, func() { s.Append(context.Background(), late) })
			return appendResult{}, err
		}
		return s.Append(ctx, req)
	})},
	{name: "calls what was stored cancelled", rules: "U2", checks: "unknown/cancelled", with: appended(func(s *toyStore, ctx context.Context, req appendRequest) (appendResult, error) {
		if err := ctx.Err(); err != nil {
			return appendResult{}, err
		}
		res, err := s.Append(context.WithoutCancel(ctx), req)
		if time.Sleep(50 * time.Microsecond); ctx.Err() != nil {
			return appendResult{}, ctx.Err()
		}
		return res, err
	})},
	{name: "decides by a look", rules: "U2", checks: "unknown/cancelled", with: appended(func(s *toyStore, ctx context.Context, req appendRequest) (appendResult, error) {
		if err := ctx.Err(); err != nil {
			return appendResult{}, err
		}
		if len(req.Parts) == 1 && rand.IntN(2) == 0 { // the request is queued when the look is taken
			late := cloneRequest(req)
			done := make(chan appendResult, 1)
			var lateErr error
			go func() {
				time.Sleep(100 * time.Microsecond)
				var res appendResult
				res, lateErr = s.Append(context.Background(), late)
				done <- res
			}()
			select {
			case res := <-done:
				return res, lateErr
			case <-ctx.Done():
				return appendResult{}, ctx.Err()
			}
		}
		return s.Append(ctx, req)
	})},
	{name: "says an unknown outcome with a wrong base", rules: "U3 U2", checks: "unknown/cancelled", with: appended(func(s *toyStore, ctx context.Context, req appendRequest) (appendResult, error) {
		res, err := s.Append(ctx, req)
		if err == nil && len(req.Parts) == 1 && req.Parts[0].Expected < 0 && len(req.Parts[0].Records) > 1 && rand.IntN(3) == 0 {
			p := req.Parts[0]
			return appendResult{}, &driver.UnknownOutcomeError{Parts: []driver.UnknownPart{{Stream: p.Stream, Base: res.Parts[0].Last}}, Err: errLost}
		}
		return res, err
	})},
	{name: "calls what was stored transient", rules: "U4 U2 F1", checks: "unknown/transient", with: appended(func(s *toyStore, ctx context.Context, req appendRequest) (appendResult, error) {
		res, err := s.Append(ctx, req)
		if err == nil && rand.IntN(5) == 0 {
			return res, driver.Transient(errors.New("deadlock"))
		}
		return res, err
	})},
	{name: "reads on after the context ended", rules: "U5", checks: "unknown/soon", with: streamed(func(s *toyStore, ctx context.Context, q streamQuery) (streamPage, error) {
		p, err := s.ReadStream(ctx, q)
		if ctx.Err() != nil || rand.IntN(4) == 0 {
			time.Sleep(settleTime + 100*time.Millisecond)
		}
		return p, err
	})},
	{name: "reads say something else when the context ends", rules: "U5 E1", checks: "unknown/soon", with: fed(func(s *toyStore, ctx context.Context, q feedQuery) (page, error) {
		time.Sleep(200 * time.Microsecond)
		p, err := s.ReadAll(ctx, q)
		if err != nil && ctx.Err() != nil {
			return p, driver.ErrClosed
		}
		return p, err
	})},
	{name: "waits for another append without end", rules: "U5", checks: "unknown/blocked", with: appended(func(s *toyStore, ctx context.Context, req appendRequest) (appendResult, error) {
		if ctx.Err() != nil {
			return appendResult{}, ctx.Err()
		}
		late, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTime+50*time.Millisecond)
		defer cancel()
		return s.Append(late, req)
	})},
	{name: "does not settle a lost reply", rules: "U2 U4", checks: "unknown/lost", with: appended(func(s *toyStore, ctx context.Context, req appendRequest) (appendResult, error) {
		lost, reply := s.fault()
		if lost && !reply {
			return appendResult{}, driver.Transient(errLost)
		}
		res, err := s.Append(ctx, req)
		if lost && err == nil {
			return appendResult{}, driver.Transient(errLost)
		}
		return res, err
	})},
	{name: "sends a lost Any again at Any", rules: "U2", checks: "unknown/lost", with: appended(func(s *toyStore, ctx context.Context, req appendRequest) (appendResult, error) {
		lost, reply := s.fault()
		res, err := s.Append(ctx, req)
		if lost && reply && err == nil {
			return s.Append(ctx, req)
		}
		return res, err
	})},
	{name: "says that nothing was sent", rules: "U2", checks: "unknown/down", with: appended(func(s *toyStore, ctx context.Context, req appendRequest) (appendResult, error) {
		res, err := s.Append(ctx, req)
		if e, ok := errors.AsType[*driver.UnknownOutcomeError](err); ok {
			return res, e.Err
		}
		return res, err
	})},

	// Reading a stream.
	{name: "reads from one later", rules: "S1", checks: "stream/forward", with: streamed(func(s *toyStore, ctx context.Context, q streamQuery) (streamPage, error) {
		if !q.Backward && q.From > 1 {
			q.From++
		}
		return s.ReadStream(ctx, q)
	})},
	{name: "takes a full page for the end", rules: "S3", checks: "stream/forward", with: streamPaged(func(q streamQuery, p *streamPage) {
		p.End = p.End || len(p.Records) == 2
	})},
	{name: "ignores limits", rules: "S3", checks: "stream/forward stream/backward", with: streamed(func(s *toyStore, ctx context.Context, q streamQuery) (streamPage, error) {
		q.Limit = 0
		return s.ReadStream(ctx, q)
	})},
	{name: "reads backward below From", rules: "S2", checks: "stream/backward", with: streamed(func(s *toyStore, ctx context.Context, q streamQuery) (streamPage, error) {
		if q.Backward && q.From > 1 {
			q.From--
		}
		return s.ReadStream(ctx, q)
	})},
	{name: "reads pages of a backward read forward", rules: "S2", checks: "stream/backward", with: streamPaged(func(q streamQuery, p *streamPage) {
		if q.Backward {
			slices.Reverse(p.Records)
		}
	})},
	{name: "has no missing streams", rules: "S4", checks: "stream/missing", with: streamed(func(s *toyStore, ctx context.Context, q streamQuery) (streamPage, error) {
		p, err := s.ReadStream(ctx, q)
		if errors.Is(err, driver.ErrStreamNotFound) {
			return streamPage{End: true}, nil
		}
		return p, err
	})},
	{name: "finds nothing beyond the end", rules: "S5", checks: "stream/beyond", with: streamed(func(s *toyStore, ctx context.Context, q streamQuery) (streamPage, error) {
		p, err := s.ReadStream(ctx, q)
		if err == nil && len(p.Records) == 0 {
			return streamPage{}, &driver.StreamError{Stream: q.Stream, Err: driver.ErrStreamNotFound}
		}
		return p, err
	})},
	{name: "takes the last record of the page for the head", rules: "S6 S2 S5", checks: "stream/head stream/beyond", with: streamPaged(func(q streamQuery, p *streamPage) {
		p.Head = 0
		for _, r := range p.Records {
			p.Head = max(p.Head, r.Version)
		}
	})},
	{name: "pages by number", rules: "S1", checks: "stream/growing stream/large", with: streamed(func(s *toyStore, ctx context.Context, q streamQuery) (streamPage, error) {
		p, err := s.ReadStream(ctx, q)
		if err == nil && q.From > 2 && !q.Backward && len(p.Records) > 1 {
			p.Records = p.Records[1:]
		}
		return p, err
	})},
	{name: "loses what does not fit into a page", rules: "S1 S2 S3", checks: "stream/large", set: func(y *toy) { y.page = 100 }, with: streamPaged(func(q streamQuery, p *streamPage) {
		p.End = p.End || len(p.Records) == 100
	})},

	// The feed.
	{name: "skips an event between pages", rules: "F1 F2 F9 F3", checks: "feed/pages feed/large", with: fedPaged(func(q feedQuery, p *page) {
		if !p.End && q.Limit > 0 {
			p.Next++
		}
	})},
	{name: "repeats the last event of a page", rules: "F1 F3", checks: "feed/pages", with: fedPaged(func(q feedQuery, p *page) {
		if !p.End && len(p.Records) > 1 {
			p.Next = p.Records[len(p.Records)-2].Position
		}
	})},
	{name: "returns more than the limit", rules: "F4", checks: "feed/pages", with: fed(func(s *toyStore, ctx context.Context, q feedQuery) (page, error) {
		if q.Limit > 0 && q.Limit < 1000 {
			q.Limit++
		}
		return s.ReadAll(ctx, q)
	})},
	{name: "returns After again", rules: "F3 F1", checks: "feed/pages", with: fed(func(s *toyStore, ctx context.Context, q feedQuery) (page, error) {
		p, err := s.ReadAll(ctx, q)
		if q.After > 0 && err == nil {
			before, _ := s.ReadAll(ctx, feedQuery{After: q.After - 1, Limit: 1})
			p.Records = append(before.Records, p.Records...)
			p.Records = p.Records[:max(0, min(len(p.Records), cmp.Or(q.Limit, 1000)))]
		}
		return p, err
	})},
	{name: "goes back", rules: "F3", checks: "feed/pages", with: fedPaged(func(q feedQuery, p *page) {
		if len(p.Records) == 0 {
			p.Next = 0
		}
	})},
	{name: "never says End", rules: "F5", checks: "feed/rest", with: fedPaged(func(q feedQuery, p *page) { p.End = false })},
	{name: "says End too early", rules: "F9", checks: "feed/rest feed/end", with: fedPaged(func(q feedQuery, p *page) { p.End = len(p.Records) < 4 || p.End })},
	{name: "returns other positions from Append", rules: "F7 R4", checks: "feed/positions", with: appended(func(s *toyStore, ctx context.Context, req appendRequest) (appendResult, error) {
		res, err := s.Append(ctx, req)
		for i := range res.Parts {
			res.Parts[i].Position++
		}
		return res, err
	})},
	{name: "gives each client a block of positions", rules: "F2 F6 F7 F8", checks: "feed/positions feed/answers feed/order feed/writers", set: func(y *toy) { y.blocks, y.caps.Gapless = true, false }},
	{name: "puts what comes late first", rules: "F2 F8", checks: "feed/answers", set: func(y *toy) {
		y.blocks, y.caps.Gapless, y.caps.PositionOnAppend = true, false, false
	}, with: func() overrides {
		return overrides{append: func(s *toyStore, ctx context.Context, req appendRequest) (appendResult, error) {
			res, err := s.Append(ctx, req)
			for i := range res.Parts {
				res.Parts[i].Position = 0
			}
			return res, err
		}}
	}},
	{name: "filters by a part of the stream's name", rules: "F10", checks: "feed/filter", with: fed(func(s *toyStore, ctx context.Context, q feedQuery) (page, error) {
		f := q.Filter
		q.Filter = driver.Filter{Types: f.Types}
		p, err := s.ReadAll(ctx, q)
		p.Records = slices.DeleteFunc(p.Records, func(r stored) bool {
			return len(f.Prefixes) > 0 && !slices.ContainsFunc(f.Prefixes, func(p string) bool { return strings.Contains(r.Stream, p) })
		})
		return p, err
	})},
	{name: "looks at the first type alone", rules: "F10", checks: "feed/filter", with: fed(func(s *toyStore, ctx context.Context, q feedQuery) (page, error) {
		q.Filter.Types = q.Filter.Types[:min(len(q.Filter.Types), 1)]
		return s.ReadAll(ctx, q)
	})},
	{name: "stays at the last match", rules: "F10 F5", checks: "feed/filter", with: fedPaged(func(q feedQuery, p *page) {
		if p.Next = q.After; len(p.Records) > 0 {
			p.Next = p.Records[len(p.Records)-1].Position
		}
	})},
	{name: "reads beyond the end", rules: "F11", checks: "feed/beyond", with: fed(func(s *toyStore, ctx context.Context, q feedQuery) (page, error) {
		p, err := s.ReadAll(ctx, q)
		if errors.Is(err, driver.ErrCheckpointAhead) && q.Seen.Position == 0 {
			return page{Next: q.After, End: true}, nil
		}
		return p, err
	})},
	{name: "knows its end late", rules: "F11", checks: "feed/beyond", with: func() overrides {
		var mu sync.Mutex
		known := map[*toyStore]driver.Position{}
		return overrides{feed: func(s *toyStore, ctx context.Context, q feedQuery) (page, error) {
			mu.Lock()
			defer mu.Unlock()
			if q.After > known[s] && known[s] > 0 {
				known[s], _ = s.Head(ctx) // a replica: the next call knows more
				return page{}, driver.ErrCheckpointAhead
			}
			p, err := s.ReadAll(ctx, q)
			known[s] = max(known[s], p.Next)
			return p, err
		}}
	}},
	{name: "does not look at what was seen", rules: "F12", checks: "feed/seen feed/restored", with: fed(func(s *toyStore, ctx context.Context, q feedQuery) (page, error) {
		q.Seen = driver.Seen{}
		return s.ReadAll(ctx, q)
	})},
	{name: "says that the last match was seen last", rules: "F16", checks: "feed/page-seen", with: fed(func(s *toyStore, ctx context.Context, q feedQuery) (page, error) {
		p, err := s.ReadAll(ctx, q)
		if p.Seen = q.Seen; len(p.Records) > 0 {
			last := p.Records[len(p.Records)-1]
			p.Seen = driver.Seen{Position: last.Position, ID: last.ID}
		}
		return p, err
	})},
	{name: "says that another event was seen last", rules: "F16", checks: "feed/page-seen", with: fed(func(s *toyStore, ctx context.Context, q feedQuery) (page, error) {
		p, err := s.ReadAll(ctx, q)
		p.Seen.ID[0]++
		return p, err
	})},
	{name: "looks at what was seen through the filter", rules: "F12", checks: "feed/seen", with: fed(func(s *toyStore, ctx context.Context, q feedQuery) (page, error) {
		if q.Seen.Position > 0 {
			p, err := s.ReadAll(ctx, feedQuery{After: q.Seen.Position - 1, Limit: 1, Filter: q.Filter})
			if err != nil || len(p.Records) == 0 || p.Records[0].ID != q.Seen.ID {
				return page{}, driver.ErrCheckpointAhead
			}
		}
		return s.ReadAll(ctx, q)
	})},
	{name: "begins Head at 1", rules: "F13", checks: "feed/head", with: func() overrides {
		return overrides{head: func(s *toyStore, ctx context.Context) (driver.Position, error) {
			p, err := s.Head(ctx)
			return max(p, 1), err
		}}
	}},
	{name: "has a Head that is behind", rules: "F13", checks: "feed/head", with: func() overrides {
		return overrides{head: func(s *toyStore, ctx context.Context) (driver.Position, error) {
			p, err := s.Head(ctx)
			return p - min(p, 1), err
		}}
	}},
	{name: "has a Head that is out of reach", rules: "F13", checks: "feed/head", with: func() overrides {
		return overrides{head: func(s *toyStore, ctx context.Context) (driver.Position, error) {
			p, err := s.Head(ctx)
			if p > 0 {
				p += 3
			}
			return p, err
		}}
	}},
	{name: "has gaps", rules: "F14", checks: "feed/gapless", set: func(y *toy) { y.step = 3 }},
	{name: "takes a position for what it refuses", rules: "F14 R4 F7", checks: "feed/gapless feed/order", with: appended(func(s *toyStore, ctx context.Context, req appendRequest) (appendResult, error) {
		res, err := s.Append(ctx, req)
		if errors.Is(err, driver.ErrConflict) {
			s.d.mu.Lock()
			defer s.d.mu.Unlock()
			s.d.last++
		}
		return res, err
	})},
	{name: "turns the events of an append around", rules: "F15 F6 F1", checks: "feed/pieces", with: fedPaged(func(q feedQuery, p *page) {
		for i := 1; i < len(p.Records); i++ {
			a, b := &p.Records[i-1], &p.Records[i]
			if a.Stream == b.Stream && i%2 == 1 {
				*a, *b = *b, *a
				a.Position, b.Position = b.Position, a.Position
			}
		}
	})},
	{name: "passes what is being written", rules: "F2 F1 F5 F9", checks: "feed/held feed/held-among-writers", set: func(y *toy) { y.naive, y.caps.Gapless = true, false }},
	{name: "waits for what was rolled back", rules: "F5", checks: "feed/rolled-back feed/held-among-writers", set: func(y *toy) { y.stuck, y.caps.Gapless = true, false }},

	// Deletion.
	{name: "leaves a deleted stream open", rules: "D1", checks: "delete/closes", with: deleted(func(s *toyStore, ctx context.Context, req driver.DeleteRequest) (driver.Appended, error) {
		a, err := s.Delete(ctx, req)
		if err == nil {
			s.d.mu.Lock()
			defer s.d.mu.Unlock()
			s.d.streams[req.Stream].closed = false
		}
		return a, err
	})},
	{name: "leaves the record of a delete out of the feed", rules: "D1 F5 F9", checks: "delete/closes", with: fedPaged(func(q feedQuery, p *page) {
		p.Records = slices.DeleteFunc(p.Records, func(r stored) bool { return r.Type == driver.TypeDeleted })
	})},
	{name: "writes a record of its own", rules: "D1", checks: "delete/closes", with: deleted(func(s *toyStore, ctx context.Context, req driver.DeleteRequest) (driver.Appended, error) {
		req.Record.Data, req.Record.Metadata, req.Record.Tags = nil, nil, nil
		return s.Delete(ctx, req)
	})},
	{name: "finds out late that a stream is closed", rules: "D1", checks: "delete/closes", with: streamed(func(s *toyStore, ctx context.Context, q streamQuery) (streamPage, error) {
		p, err := s.ReadStream(ctx, q)
		if errors.Is(err, driver.ErrStreamDeleted) && q.Limit == 1 {
			q.Deleted = true
			return s.ReadStream(ctx, q)
		}
		return p, err
	})},
	{name: "deletes the streams that begin so", rules: "D1", checks: "delete/closes", with: deleted(func(s *toyStore, ctx context.Context, req driver.DeleteRequest) (driver.Appended, error) {
		a, err := s.Delete(ctx, req)
		s.d.mu.Lock()
		defer s.d.mu.Unlock()
		for name, st := range s.d.streams {
			if err == nil && strings.HasPrefix(name, req.Stream) {
				st.closed = true
			}
		}
		return a, err
	})},
	{name: "never reads a deleted stream", rules: "D1 D2", checks: "delete/read", with: streamed(func(s *toyStore, ctx context.Context, q streamQuery) (streamPage, error) {
		if _, closed := headOf(s, q.Stream); q.Deleted && closed && q.Limit != 1 {
			q.Deleted = false
		}
		return s.ReadStream(ctx, q)
	})},
	{name: "leaves the last record of a deleted stream out", rules: "D2 S3", checks: "delete/read", with: streamPaged(func(q streamQuery, p *streamPage) {
		p.Records = slices.DeleteFunc(p.Records, func(r stored) bool { return r.Type == driver.TypeDeleted })
	})},
	{name: "takes a purge for a tombstone", rules: "D3 D4 D6", checks: "delete/purge delete/purge-closed delete/again", with: deleted(func(s *toyStore, ctx context.Context, req driver.DeleteRequest) (driver.Appended, error) {
		a, err := s.Delete(ctx, req)
		if err == nil && req.Mode == driver.Purge {
			s.d.mu.Lock()
			defer s.d.mu.Unlock()
			st := s.d.streams[req.Stream]
			st.purged = false
			for _, r := range st.rows {
				r.purged = false
			}
		}
		return a, err
	})},
	{name: "returns purged events blank", rules: "D3 F1", checks: "delete/purge delete/readers", with: blankPurged},
	{name: "does not purge a closed stream", rules: "D4", checks: "delete/purge-closed", with: deleted(func(s *toyStore, ctx context.Context, req driver.DeleteRequest) (driver.Appended, error) {
		if _, closed := headOf(s, req.Stream); closed {
			req.Mode = driver.Tombstone
		}
		return s.Delete(ctx, req)
	})},
	{name: "asks what a purge of a closed stream expects", rules: "D4 D6", checks: "delete/purge-closed delete/again", with: deleted(func(s *toyStore, ctx context.Context, req driver.DeleteRequest) (driver.Appended, error) {
		if head, closed := headOf(s, req.Stream); closed && !req.Expected.Holds(head) {
			return driver.Appended{}, &driver.ConflictError{Stream: req.Stream, Expected: req.Expected, Actual: head}
		}
		return s.Delete(ctx, req)
	})},
	{name: "gives the versions of a purged stream away", rules: "D5", checks: "delete/taken", with: appended(func(s *toyStore, ctx context.Context, req appendRequest) (appendResult, error) {
		if _, closed := headOf(s, req.Parts[0].Stream); closed && req.Parts[0].Expected == driver.NoStream {
			s.d.mu.Lock()
			st := s.d.streams[req.Parts[0].Stream]
			if st.purged {
				delete(s.d.streams, req.Parts[0].Stream)
			}
			s.d.mu.Unlock()
		}
		return s.Append(ctx, req)
	})},
	{name: "does not know its own delete", rules: "D6", checks: "delete/again", with: deleted(func(s *toyStore, ctx context.Context, req driver.DeleteRequest) (driver.Appended, error) {
		if _, closed := headOf(s, req.Stream); closed && req.Mode == driver.Tombstone {
			return driver.Appended{}, &driver.StreamError{Stream: req.Stream, Err: driver.ErrStreamDeleted}
		}
		return s.Delete(ctx, req)
	})},
	{name: "deletes what is not there", rules: "D7 D1", checks: "delete/expected", with: deleted(func(s *toyStore, ctx context.Context, req driver.DeleteRequest) (driver.Appended, error) {
		a, err := s.Delete(ctx, req)
		if errors.Is(err, driver.ErrStreamNotFound) {
			return driver.Appended{}, nil
		}
		return a, err
	})},
	{name: "conflicts on a missing stream", rules: "D7", checks: "delete/expected", with: deleted(func(s *toyStore, ctx context.Context, req driver.DeleteRequest) (driver.Appended, error) {
		if head, _ := headOf(s, req.Stream); head == 0 && req.Expected > 0 {
			return driver.Appended{}, &driver.ConflictError{Stream: req.Stream, Expected: req.Expected}
		}
		return s.Delete(ctx, req)
	})},
	{name: "does not look at what a delete expects", rules: "D7", checks: "delete/expected", with: deleted(func(s *toyStore, ctx context.Context, req driver.DeleteRequest) (driver.Appended, error) {
		req.Expected = driver.Any
		return s.Delete(ctx, req)
	})},
	{name: "leaves snapshots of deleted streams", rules: "D8", checks: "delete/snapshots", with: func() overrides {
		return overrides{delete: func(s *toyStore, ctx context.Context, req driver.DeleteRequest) (driver.Appended, error) {
			s.d.mu.Lock()
			kept := map[[2]string]driver.Snapshot{}
			for k, v := range s.d.snapshots {
				kept[k] = v
			}
			s.d.mu.Unlock()
			a, err := s.Delete(ctx, req)
			s.d.mu.Lock()
			s.d.snapshots = kept
			s.d.mu.Unlock()
			return a, err
		}}
	}},
	{name: "saves a snapshot beside a delete", rules: "P4 D8", checks: "delete/snapshots", with: func() overrides {
		return overrides{saveSnap: func(s *toyStore, ctx context.Context, snap driver.Snapshot) error {
			if _, closed := headOf(s, snap.Stream); closed {
				return &driver.StreamError{Stream: snap.Stream, Err: driver.ErrStreamDeleted}
			}
			time.Sleep(100 * time.Microsecond)
			s.d.mu.Lock()
			defer s.d.mu.Unlock()
			s.d.snapshots[[2]string{snap.Stream, snap.Kind}] = snap
			return nil
		}}
	}},
	{name: "appends beside a delete", rules: "D1 D3 V5 F1", checks: "delete/race", with: appended(func(s *toyStore, ctx context.Context, req appendRequest) (appendResult, error) {
		if _, closed := headOf(s, req.Parts[0].Stream); closed {
			return s.Append(ctx, req)
		}
		time.Sleep(200 * time.Microsecond)
		s.d.mu.Lock()
		st := s.d.stream(req.Parts[0].Stream)
		was := st.closed
		st.closed = false
		defer func() { st.closed = was; s.d.mu.Unlock() }()
		return s.write(req)
	})},

	// Listing.
	{name: "lists in an order of its own", rules: "L1 L2", checks: "list/order names/streams", with: listed(func(s *toyStore, ctx context.Context, q driver.ListQuery) (driver.ListPage, error) {
		p, err := s.ListStreams(ctx, q)
		slices.SortFunc(p.Streams, func(a, b driver.StreamInfo) int {
			return cmp.Or(cmp.Compare(strings.ToLower(a.Stream), strings.ToLower(b.Stream)), cmp.Compare(a.Stream, b.Stream))
		})
		return p, err
	})},
	{name: "lists prefixes as patterns", rules: "L1", checks: "list/order", with: listed(func(s *toyStore, ctx context.Context, q driver.ListQuery) (driver.ListPage, error) {
		if before, _, found := strings.Cut(q.Prefix, "%"); found {
			q.Prefix = before
		}
		return s.ListStreams(ctx, q)
	})},
	{name: "lists After again", rules: "L1 L2", checks: "list/order list/pages", with: listed(func(s *toyStore, ctx context.Context, q driver.ListQuery) (driver.ListPage, error) {
		after := q.After
		if q.After != "" {
			q.After = q.After[:len(q.After)-1]
		}
		p, err := s.ListStreams(ctx, q)
		p.Streams = slices.DeleteFunc(p.Streams, func(i driver.StreamInfo) bool { return i.Stream < after })
		return p, err
	})},
	{name: "lists streams that were never born", rules: "L1 L2", checks: "list/order", with: func() overrides {
		var mu sync.Mutex
		tried := map[string]bool{}
		return overrides{
			append: func(s *toyStore, ctx context.Context, req appendRequest) (appendResult, error) {
				mu.Lock()
				tried[req.Parts[0].Stream] = true
				mu.Unlock()
				return s.Append(ctx, req)
			},
			list: func(s *toyStore, ctx context.Context, q driver.ListQuery) (driver.ListPage, error) {
				mu.Lock()
				defer mu.Unlock()
				page := driver.ListPage{End: true}
				for name := range tried {
					if strings.HasPrefix(name, q.Prefix) && name > q.After {
						page.Streams = append(page.Streams, driver.StreamInfo{Stream: name})
					}
				}
				slices.SortFunc(page.Streams, func(a, b driver.StreamInfo) int { return cmp.Compare(a.Stream, b.Stream) })
				return page, nil
			},
		}
	}},
	{name: "takes a full page of a listing for the end", rules: "L2", checks: "list/pages", with: listed(func(s *toyStore, ctx context.Context, q driver.ListQuery) (driver.ListPage, error) {
		p, err := s.ListStreams(ctx, q)
		p.End = p.End || len(p.Streams) == 7
		return p, err
	})},
	{name: "skips a stream between pages", rules: "L2", checks: "list/pages", with: listed(func(s *toyStore, ctx context.Context, q driver.ListQuery) (driver.ListPage, error) {
		p, err := s.ListStreams(ctx, q)
		if !p.End {
			p.Next += "0"
		}
		return p, err
	})},
	{name: "lists a version too many", rules: "L3", checks: "list/versions", with: listed(func(s *toyStore, ctx context.Context, q driver.ListQuery) (driver.ListPage, error) {
		p, err := s.ListStreams(ctx, q)
		for i := range p.Streams {
			p.Streams[i].Version++
		}
		return p, err
	})},
	{name: "does not list that streams are closed", rules: "L3", checks: "list/versions", with: listed(func(s *toyStore, ctx context.Context, q driver.ListQuery) (driver.ListPage, error) {
		p, err := s.ListStreams(ctx, q)
		for i := range p.Streams {
			p.Streams[i].Closed = false
		}
		return p, err
	})},
	{name: "lists what was", rules: "L4", checks: "list/current", set: func(y *toy) { y.lag = 5 * time.Millisecond }},
	{name: "lags for ever", rules: "L4", checks: "list/current", set: func(y *toy) { y.caps.ListLag, y.lag = true, time.Hour }},

	// Checkpoints.
	{name: "has no missing checkpoints", rules: "C1", checks: "checkpoint/missing", with: func() overrides {
		return overrides{load: func(s *toyStore, ctx context.Context, name string) (driver.Checkpoint, error) {
			cp, err := s.LoadCheckpoint(ctx, name)
			cp.Name = name
			return cp, err
		}}
	}},
	{name: "saves over any revision", rules: "C2 C3", checks: "checkpoint/conflict checkpoint/race", with: func() overrides {
		return overrides{save: func(s *toyStore, ctx context.Context, cp driver.Checkpoint, _ driver.Revision) error {
			s.d.mu.Lock()
			defer s.d.mu.Unlock()
			s.d.checkpoints[cp.Name] = cp
			return nil
		}}
	}},
	{name: "does not know its own revision", rules: "C3 C2", checks: "checkpoint/conflict checkpoint/race", with: func() overrides {
		return overrides{save: func(s *toyStore, ctx context.Context, cp driver.Checkpoint, prev driver.Revision) error {
			s.d.mu.Lock()
			defer s.d.mu.Unlock()
			if s.d.checkpoints[cp.Name].Revision != prev {
				return driver.ErrCheckpointConflict
			}
			s.d.checkpoints[cp.Name] = cp
			return nil
		}}
	}},
	{name: "keeps the highest position", rules: "C2", checks: "checkpoint/conflict", with: func() overrides {
		return overrides{save: func(s *toyStore, ctx context.Context, cp driver.Checkpoint, prev driver.Revision) error {
			if old, _ := s.LoadCheckpoint(ctx, cp.Name); old.Position > cp.Position {
				return nil
			}
			return s.SaveCheckpoint(ctx, cp, prev)
		}}
	}},
	{name: "keeps positions as floats", rules: "C4", checks: "checkpoint/values", with: func() overrides {
		return overrides{save: func(s *toyStore, ctx context.Context, cp driver.Checkpoint, prev driver.Revision) error {
			cp.Position = driver.Position(float64(cp.Position))
			return s.SaveCheckpoint(ctx, cp, prev)
		}}
	}},
	{name: "does not keep what was seen", rules: "C4", checks: "checkpoint/values", with: func() overrides {
		return overrides{save: func(s *toyStore, ctx context.Context, cp driver.Checkpoint, prev driver.Revision) error {
			cp.SeenID = driver.ID{}
			return s.SaveCheckpoint(ctx, cp, prev)
		}}
	}},
	{name: "loads an old checkpoint", rules: "C2 C4", checks: "checkpoint/values checkpoint/conflict", with: func() overrides {
		var mu sync.Mutex
		last := map[*toyStore]map[string]driver.Checkpoint{}
		return overrides{load: func(s *toyStore, ctx context.Context, name string) (driver.Checkpoint, error) {
			mu.Lock()
			defer mu.Unlock()
			cp, err := s.LoadCheckpoint(ctx, name)
			if last[s] == nil {
				last[s] = map[string]driver.Checkpoint{}
			}
			old, was := last[s][name]
			if last[s][name] = cp; was {
				return old, err
			}
			return cp, err
		}}
	}},
	{name: "lists a page of checkpoints", rules: "C5", checks: "checkpoint/list", with: func() overrides {
		return overrides{lists: func(s *toyStore, ctx context.Context, q driver.CheckpointQuery) (driver.CheckpointPage, error) {
			p, err := s.ListCheckpoints(ctx, q)
			p.End = true
			return p, err
		}}
	}},
	{name: "does not delete checkpoints", rules: "C6", checks: "checkpoint/delete", with: func() overrides {
		return overrides{drop: func(*toyStore, context.Context, string) error { return nil }}
	}},
	{name: "deletes checkpoints that are not there", rules: "C6", checks: "checkpoint/delete", with: func() overrides {
		return overrides{drop: func(s *toyStore, ctx context.Context, name string) error {
			if cp, _ := s.LoadCheckpoint(ctx, name); cp.Name == "" {
				return driver.ErrCheckpointConflict
			}
			return s.DeleteCheckpoint(ctx, name)
		}}
	}},

	// Snapshots.
	{name: "has no missing snapshots", rules: "P1", checks: "snapshot/missing", with: func() overrides {
		return overrides{loadSnap: func(s *toyStore, ctx context.Context, stream, kind string) (driver.Snapshot, error) {
			snap, err := s.LoadSnapshot(ctx, stream, kind)
			snap.Stream, snap.Kind = stream, kind
			return snap, err
		}}
	}},
	{name: "keeps the last snapshot", rules: "P2 P3", checks: "snapshot/newest snapshot/race", with: func() overrides {
		return overrides{saveSnap: func(s *toyStore, ctx context.Context, snap driver.Snapshot) error {
			s.DeleteSnapshot(ctx, snap.Stream, snap.Kind)
			return s.SaveSnapshot(ctx, snap)
		}}
	}},
	{name: "mixes two snapshots", rules: "P2", checks: "snapshot/newest", with: func() overrides {
		return overrides{saveSnap: func(s *toyStore, ctx context.Context, snap driver.Snapshot) error {
			s.d.mu.Lock()
			key := [2]string{snap.Stream, snap.Kind}
			if old := s.d.snapshots[key]; old.Version == snap.Version {
				old.Data = bytes.Clone(snap.Data)
				s.d.snapshots[key] = old
			}
			s.d.mu.Unlock()
			return s.SaveSnapshot(ctx, snap)
		}}
	}},
	{name: "refuses an older snapshot", rules: "P2", checks: "snapshot/newest", with: func() overrides {
		return overrides{saveSnap: func(s *toyStore, ctx context.Context, snap driver.Snapshot) error {
			if old, _ := s.LoadSnapshot(ctx, snap.Stream, snap.Kind); old.Version > snap.Version {
				return driver.ErrConflict
			}
			return s.SaveSnapshot(ctx, snap)
		}}
	}},
	{name: "loads an old snapshot", rules: "P3 P2", checks: "snapshot/race", with: func() overrides {
		var mu sync.Mutex
		last := map[string]driver.Snapshot{}
		return overrides{loadSnap: func(s *toyStore, ctx context.Context, stream, kind string) (driver.Snapshot, error) {
			snap, err := s.LoadSnapshot(ctx, stream, kind)
			mu.Lock()
			defer mu.Unlock()
			old, was := last[stream+kind]
			if last[stream+kind] = snap; was {
				return old, err
			}
			return snap, err
		}}
	}},
	{name: "keeps the bytes of a snapshot", rules: "P3", checks: "snapshot/values", with: func() overrides {
		return overrides{saveSnap: func(s *toyStore, ctx context.Context, snap driver.Snapshot) error {
			s.d.mu.Lock()
			defer s.d.mu.Unlock()
			s.d.snapshots[[2]string{snap.Stream, snap.Kind}] = snap
			return nil
		}}
	}},
	{name: "returns one snapshot to all", rules: "R3", checks: "snapshot/values", with: func() overrides {
		return overrides{loadSnap: func(s *toyStore, ctx context.Context, stream, kind string) (driver.Snapshot, error) {
			s.d.mu.Lock()
			defer s.d.mu.Unlock()
			return s.d.snapshots[[2]string{stream, kind}], nil
		}}
	}},
	{name: "does not delete snapshots", rules: "P5", checks: "snapshot/delete", with: func() overrides {
		return overrides{dropSnap: func(*toyStore, context.Context, string, string) error { return nil }}
	}},
	{name: "deletes snapshots of every kind", rules: "P5", checks: "snapshot/delete", with: func() overrides {
		return overrides{dropSnap: func(s *toyStore, ctx context.Context, stream, kind string) error {
			s.d.mu.Lock()
			defer s.d.mu.Unlock()
			for k := range s.d.snapshots {
				if k[0] == stream {
					delete(s.d.snapshots, k)
				}
			}
			return nil
		}}
	}},

	// Groups.
	{name: "returns outcomes in another order", rules: "G1 A3 V1 V4 E1 G2 V5 F7 R4", checks: "group/outcomes", with: grouped(func(w *wrong, ctx context.Context, reqs []appendRequest) []driver.Outcome {
		turned := slices.Clone(reqs)
		slices.Reverse(turned)
		var outs []driver.Outcome
		for _, r := range turned {
			res, err := w.Append(ctx, r)
			outs = append(outs, driver.Outcome{Result: res, Err: err})
		}
		return outs
	})},
	{name: "stops a group at the first that fails", rules: "G1 G2 E1 V4", checks: "group/outcomes", with: grouped(func(w *wrong, ctx context.Context, reqs []appendRequest) []driver.Outcome {
		outs := make([]driver.Outcome, len(reqs))
		var failed error
		for i, r := range reqs {
			if failed == nil {
				outs[i].Result, outs[i].Err = w.Append(ctx, r)
				failed = outs[i].Err
			} else {
				outs[i].Err = failed
			}
		}
		return outs
	})},
	{name: "keeps the bytes of a group", rules: "G1 R3", checks: "group/single", with: keepsRequest},
	{name: "loses the end of a large group", rules: "G1 M2", checks: "group/large caps/group", with: grouped(func(w *wrong, ctx context.Context, reqs []appendRequest) []driver.Outcome {
		outs := make([]driver.Outcome, len(reqs))
		for i, r := range reqs {
			if i >= 50 {
				outs[i].Err = driver.ErrTooLarge
				continue
			}
			outs[i].Result, outs[i].Err = w.Append(ctx, r)
		}
		return outs
	})},
	{name: "calls members of other groups conflicts", rules: "G1 V4", checks: "group/concurrent", with: func() overrides {
		var busy sync.Mutex
		return overrides{group: func(w *wrong, ctx context.Context, reqs []appendRequest) []driver.Outcome {
			outs := make([]driver.Outcome, len(reqs))
			mine := busy.TryLock()
			if mine {
				defer busy.Unlock()
				time.Sleep(200 * time.Microsecond)
			}
			for i, r := range reqs {
				if p := r.Parts[0]; !mine {
					outs[i].Err = &driver.ConflictError{Stream: p.Stream, Expected: p.Expected}
					continue
				}
				outs[i].Result, outs[i].Err = w.Append(ctx, r)
			}
			return outs
		}}
	}},

	// Wake-ups and late positions.
	{name: "never wakes", rules: "W1", checks: "wake/soon", with: listens(func(s *toyStore, ctx context.Context, wake func()) error {
		return s.Listen(ctx, func() {})
	})},
	{name: "wakes after the end", rules: "W2", checks: "wake/soon wake/ends", with: listens(func(s *toyStore, ctx context.Context, wake func()) error {
		err := s.Listen(ctx, wake)
		go func() {
			for range 5 {
				time.Sleep(5 * time.Millisecond)
				wake()
			}
		}()
		return err
	})},
	{name: "listens on when it is closed", rules: "W2", checks: "wake/ends", with: listens(func(s *toyStore, ctx context.Context, wake func()) error {
		err := s.Listen(ctx, wake)
		if errors.Is(err, driver.ErrClosed) {
			<-ctx.Done()
		}
		return err
	})},
	{name: "ends without an error", rules: "W2", checks: "wake/ends", with: listens(func(s *toyStore, ctx context.Context, wake func()) error {
		s.Listen(ctx, wake)
		return nil
	})},
	{name: "calls everything settled", rules: "T1", checks: "settle/reaches settle/writers", set: lately, with: settles(func(s *toyStore, ctx context.Context, stream string) (driver.Version, error) {
		head, _ := headOf(s, stream)
		return head, nil
	})},
	{name: "calls nothing settled", rules: "T1", checks: "settle/reaches settle/writers", set: lately, with: settles(func(s *toyStore, ctx context.Context, stream string) (driver.Version, error) {
		return 0, nil
	})},
	{name: "does not find closed streams settled", rules: "T1", checks: "settle/reaches", set: lately, with: settles(func(s *toyStore, ctx context.Context, stream string) (driver.Version, error) {
		if _, closed := headOf(s, stream); closed {
			return 0, nil
		}
		return toySettler{s}.Settled(ctx, stream)
	})},

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

	// The model finds what single checks find, too.
	{name: "recognises nothing, at random", rules: "V4 A3", checks: "model/random", with: appended(recognisesNothing)},
	{name: "reads one too many backward", rules: "S2 S1", checks: "model/random", with: streamed(func(s *toyStore, ctx context.Context, q streamQuery) (streamPage, error) {
		if q.Backward && q.From > 1 {
			q.From--
		}
		return s.ReadStream(ctx, q)
	})},
	{name: "does not look at what a delete expects, at random", rules: "E1 D1", checks: "model/random", with: deleted(func(s *toyStore, ctx context.Context, req driver.DeleteRequest) (driver.Appended, error) {
		req.Expected = driver.Any
		return s.Delete(ctx, req)
	})},
}

// Checks without a mutant, and why.
var withoutMutant = map[string]string{
	"process/killed":       "needs data outside of this process",
	"process/killed-purge": "needs data outside of this process",
	"process/at-once":      "needs data outside of this process",
	"process/alone":        "needs data outside of this process",
	"caps/refused":         "checks the suite itself, and driver.Check",
}

func noLimits(y *toy) { y.caps.MaxEventBytes, y.caps.MaxAppendBytes = 0, 0 }

func lately(y *toy) { y.caps.PositionOnAppend, y.caps.Gapless, y.late = false, false, true }

func grouped(f func(w *wrong, ctx context.Context, reqs []appendRequest) []driver.Outcome) func() overrides {
	return func() overrides { return overrides{group: f} }
}

func listens(f func(s *toyStore, ctx context.Context, wake func()) error) func() overrides {
	return func() overrides { return overrides{listen: f} }
}

func settles(f func(s *toyStore, ctx context.Context, stream string) (driver.Version, error)) func() overrides {
	return func() overrides { return overrides{settled: f} }
}

func expecting(req appendRequest, f func(driver.Expected) driver.Expected) appendRequest {
	req.Parts = slices.Clone(req.Parts)
	for i := range req.Parts {
		req.Parts[i].Expected = f(req.Parts[i].Expected)
	}
	return req
}

// keepsRequest reads the data of a record where the request has it.
func keepsRequest() overrides {
	var mu sync.Mutex
	kept := map[driver.ID][]byte{}
	return overrides{
		append: func(s *toyStore, ctx context.Context, req appendRequest) (appendResult, error) {
			mu.Lock()
			defer mu.Unlock()
			for _, p := range req.Parts {
				for _, r := range p.Records {
					kept[r.ID] = r.Data
				}
			}
			return s.Append(ctx, req)
		},
		stream: func(s *toyStore, ctx context.Context, q streamQuery) (streamPage, error) {
			mu.Lock()
			defer mu.Unlock()
			p, err := s.ReadStream(ctx, q)
			for i := range p.Records {
				p.Records[i].Data = bytes.Clone(kept[p.Records[i].ID])
			}
			return p, err
		},
	}
}

// sharesPages returns the same bytes to all who read a record. For concurrent
// readers it takes what they overwrote under a lock of its own, as a store that
// decodes into a buffer does; that is no race to the detector.
func sharesPages(concurrent bool) func() overrides {
	return func() overrides {
		var mu sync.Mutex
		kept := map[driver.ID][]byte{}
		return overrides{stream: func(s *toyStore, ctx context.Context, q streamQuery) (streamPage, error) {
			p, err := s.ReadStream(ctx, q)
			mu.Lock()
			defer mu.Unlock()
			for i := range p.Records {
				r := &p.Records[i]
				if concurrent {
					if n := len(kept); n > 2 { // what another reader did to it
						r.Data = bytes.Repeat([]byte("#"), len(r.Data))
					}
					kept[record().ID] = nil
					continue
				}
				if kept[r.ID] == nil {
					kept[r.ID] = r.Data
				}
				r.Data = kept[r.ID]
			}
			return p, err
		}}
	}
}

func checksThenWrites() overrides {
	return overrides{append: func(s *toyStore, ctx context.Context, req appendRequest) (appendResult, error) {
		if len(req.Parts) > 1 {
			return s.Append(ctx, req)
		}
		p := req.Parts[0]
		if head, closed := headOf(s, p.Stream); closed || !p.Expected.Holds(head) {
			return s.Append(ctx, req)
		}
		time.Sleep(200 * time.Microsecond)
		return s.Append(ctx, to(p.Stream, driver.Any, p.Records...))
	}}
}

// readsOld reads streams, from the second client on, as they were a moment ago.
func readsOld() overrides {
	var mu sync.Mutex
	var first *toyStore
	type key struct {
		s *toyStore
		q streamQuery
	}
	type answer struct {
		page streamPage
		err  error
		at   time.Time
	}
	known := map[key]answer{}
	return overrides{stream: func(s *toyStore, ctx context.Context, q streamQuery) (streamPage, error) {
		mu.Lock()
		defer mu.Unlock()
		if first == nil {
			first = s
		}
		k := key{s, q}
		k.q.From = 0
		if old, ok := known[k]; ok && time.Since(old.at) < 5*time.Millisecond && s != first {
			return old.page, old.err
		}
		p, err := s.ReadStream(ctx, q)
		known[k] = answer{p, err, time.Now()}
		return p, err
	}}
}

func recordByRecord(s *toyStore, ctx context.Context, req appendRequest) (appendResult, error) {
	if len(req.Parts) > 1 || req.Parts[0].Expected != driver.Any {
		return s.Append(ctx, req)
	}
	var all appendResult
	for _, r := range req.Parts[0].Records {
		res, err := s.Append(ctx, to(req.Parts[0].Stream, driver.Any, r))
		if err != nil {
			return all, err
		}
		if all.Parts == nil {
			all = res
		}
		all.Parts[0].Last, all.Parts[0].Position = all.Parts[0].First+driver.Version(len(req.Parts[0].Records))-1, res.Parts[0].Position
		runtime.Gosched()
	}
	return all, nil
}

func recognisesNothing(s *toyStore, ctx context.Context, req appendRequest) (appendResult, error) {
	for _, p := range req.Parts {
		v, exact := p.Expected.Exact()
		if head, closed := headOf(s, p.Stream); exact && !closed && v < head {
			return appendResult{}, &driver.ConflictError{Stream: p.Stream, Expected: p.Expected, Actual: head}
		}
	}
	return s.Append(ctx, req)
}

// recognisesWhole remembers the ids of each append.
func recognisesWhole() overrides {
	var mu sync.Mutex
	made := map[string]bool{}
	return overrides{append: func(s *toyStore, ctx context.Context, req appendRequest) (appendResult, error) {
		mu.Lock()
		defer mu.Unlock()
		key := fmt.Sprint(req.Parts[0].Stream, req.Parts[0].Expected)
		for _, r := range req.Parts[0].Records {
			key += r.ID.String()
		}
		if !made[key] {
			made[key] = true
			return recognisesNothing(s, ctx, req)
		}
		return s.Append(ctx, req)
	}}
}

// uniqueIDs takes an id that some stream has for an append that was made.
func uniqueIDs(applies func(driver.Part) bool) func() overrides {
	return func() overrides {
		var mu sync.Mutex
		used := map[driver.ID]appendResult{}
		return overrides{append: func(s *toyStore, ctx context.Context, req appendRequest) (appendResult, error) {
			mu.Lock()
			defer mu.Unlock()
			for _, p := range req.Parts {
				for _, r := range p.Records {
					res, is := used[r.ID]
					if !is || !applies(p) {
						continue
					}
					if p.Expected < 0 {
						return res, nil
					}
					return appendResult{}, &driver.ConflictError{Stream: p.Stream, Expected: p.Expected, Actual: driver.Version(p.Expected) + 1}
				}
			}
			res, err := s.Append(ctx, req)
			for _, p := range req.Parts {
				for _, r := range p.Records {
					if err == nil {
						used[r.ID] = res
					}
				}
			}
			return res, err
		}}
	}
}

// blankPurged returns what was purged, without its contents.
func blankPurged() overrides {
	return overrides{feed: func(s *toyStore, ctx context.Context, q feedQuery) (page, error) {
		s.d.mu.Lock()
		var purged []*toyRow
		for _, r := range s.d.log {
			if r.purged {
				purged = append(purged, r)
				r.purged = false
			}
		}
		// Nobody else may see them.
		rows := map[driver.ID]bool{}
		for _, r := range purged {
			rows[r.rec.ID] = true
		}
		p := page{Next: q.After, End: true}
		for _, r := range s.d.log {
			if r.rec.Position <= q.After || !q.Filter.Match(&r.rec) {
				continue
			}
			if len(p.Records) == s.limit(q.Limit) {
				p.End = false
				break
			}
			rec := clone(r.rec)
			if rows[rec.ID] {
				rec.Type, rec.Data = "", nil
			}
			p.Records = append(p.Records, rec)
			p.Next = rec.Position
		}
		for _, r := range purged {
			r.purged = true
		}
		p.Seen = s.d.seen(p.Next)
		s.d.mu.Unlock()
		return p, s.check(ctx)
	}}
}

// run runs one check on a mutant and returns what it said, if it failed.
func (m *mutant) run(t *testing.T, name string) (string, bool) {
	t.Helper()
	y := newToy()
	if m.set != nil {
		m.set(y)
	}
	cfg := y.config(300 * time.Millisecond)
	if m.with != nil {
		over := byData(m.with)
		dress := func(dsn string, s *toyStore) driver.Store { return &wrong{s, over(dsn)} }
		cfg.Open = func(ctx context.Context, dsn string) (driver.Store, error) {
			s, err := y.Open(ctx, dsn)
			if err != nil {
				return nil, err
			}
			return dress(dsn, s), nil
		}
		fault := cfg.Fault
		cfg.Fault = func(tb TB, dsn string) Faulty {
			f := fault(tb, dsn)
			s, _ := f.Store.(*toyStore)
			f.Store = dress(dsn, s)
			return f
		}
	}
	if m.cfg != nil {
		m.cfg(&cfg, y)
	}
	i := slices.IndexFunc(checks, func(c check) bool { return c.name == name })
	if i < 0 {
		t.Fatalf("there is no check %q", name)
	}
	r := newRecorder(t.Context(), t.Name()+"/"+name)
	r.run(func() {
		p, err := probeStore(r, &cfg)
		if err != nil {
			r.Fatalf("probe: %v", err)
		}
		if missing := checks[i].missing(p); missing != "" {
			r.Skipf("for want of %s", missing)
		}
		runCheck(r, &cfg, p, &checks[i])
	})
	return r.log(), r.Failed()
}

func TestMutantsAreCaught(t *testing.T) {
	if testing.Short() {
		t.Skip("with -short, the checks that depend on chance have too few chances")
	}
	defer func(d, l time.Duration) { settleTime, leakTime = d, l }(settleTime, leakTime)
	settleTime, leakTime = 300*time.Millisecond, 200*time.Millisecond
	for _, m := range mutants {
		for name := range strings.FieldsSeq(m.checks) {
			t.Run(m.name+"/"+name, func(t *testing.T) {
				said, failed := m.run(t, name)
				for range 4 { // some checks depend on chance, and on the load
					if !failed {
						said, failed = m.run(t, name)
					}
				}
				if !failed {
					t.Fatalf("the check passes on it: %s", said)
				}
				for rule := range strings.FieldsSeq(m.rules) {
					if strings.Contains(said, ": "+rule+" does not hold") {
						return
					}
				}
				t.Errorf("the check fails, and does not say that one of %s does not hold:\n%s", m.rules, said)
			})
		}
	}
}

func TestEveryCheckHasAMutant(t *testing.T) {
	caught := map[string]bool{}
	names := map[string]bool{}
	for _, m := range mutants {
		if names[m.name] {
			t.Errorf("two mutants are called %q", m.name)
		}
		names[m.name] = true
		for name := range strings.FieldsSeq(m.checks) {
			caught[name] = true
		}
	}
	for _, c := range checks {
		switch why := withoutMutant[c.name]; {
		case !caught[c.name] && why == "":
			t.Errorf("no mutant shows that check %q can fail", c.name)
		case caught[c.name] && why != "":
			t.Errorf("check %q has a mutant, and is said to have none: %s", c.name, why)
		}
	}
}
