package conformance

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/go-es/es/driver"
)

// Mutants: appends.
var appendMutants = []mutant{
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
	{name: "reads what was", rules: "V5 D1", checks: "versions/linearizable", with: readsOld},
	{name: "checks and then writes, linearizably", rules: "V5 V2", checks: "versions/linearizable", with: checksThenWrites},

	// Append.
	{name: "writes the first record of what it refuses", rules: "A1 V4", checks: "append/refused", with: appended(func(s *toyStore, ctx context.Context, req appendRequest) (appendResult, error) {
		res, err := s.Append(ctx, req)
		if p := req.Parts[0]; errors.Is(err, driver.ErrConflict) && len(p.Records) > 1 {
			s.Append(ctx, to(p.Stream, driver.Any, p.Records[0]))
		}
		return res, err
	})},
	{name: "writes record by record", rules: "A1 S7 A3", checks: "append/whole", with: appended(recordByRecord)},
	{name: "shows a part of an append", rules: "S7 S3", checks: "append/whole", with: func() overrides {
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
	{name: "writes stream by stream", rules: "A2", checks: "append/streams append/transfers", with: appended(streamByStream)},
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
	{name: "recognises nothing", rules: "I1 I3 I6 G1 G2", checks: "again/exact again/concurrently again/pieces again/streams group/outcomes", with: appended(recognisesNothing)},
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
	{name: "names the first part that does not hold, though another never will", rules: "I6", checks: "again/streams", with: appended(func(s *toyStore, ctx context.Context, req appendRequest) (appendResult, error) {
		res, err := s.Append(ctx, req)
		if errors.Is(err, driver.ErrConflict) {
			for _, p := range req.Parts {
				if head, _ := headOf(s, p.Stream); !p.Expected.Holds(head) {
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
}

func expecting(req appendRequest, f func(driver.Expected) driver.Expected) appendRequest {
	req.Parts = slices.Clone(req.Parts)
	for i := range req.Parts {
		req.Parts[i].Expected = f(req.Parts[i].Expected)
	}
	return req
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

func streamByStream(s *toyStore, ctx context.Context, req appendRequest) (appendResult, error) {
	var all appendResult
	for _, p := range req.Parts {
		if len(p.Records) == 0 {
			all.Parts = append(all.Parts, driver.Appended{})
			continue
		}
		res, err := s.Append(ctx, toEach(p))
		if err != nil {
			return res, err
		}
		all.Parts = append(all.Parts, res.Parts...)
	}
	return all, nil
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
