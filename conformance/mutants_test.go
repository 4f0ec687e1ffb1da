package conformance

import (
	"bytes"
	"context"
	"slices"
	"sync"

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

var mutants = slices.Concat(
	recordMutants, appendMutants, unknownMutants, streamMutants, feedMutants, deleteMutants, checkpointMutants, groupMutants,
	lifetimeMutants, knownMutants, crashMutants, txMutants, modelMutants, pathMutants,
)

func listens(f func(s *toyStore, ctx context.Context, wake func()) error) func() overrides {
	return func() overrides { return overrides{listen: f} }
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

func recognisesNothing(s *toyStore, ctx context.Context, req appendRequest) (appendResult, error) {
	for _, p := range req.Parts {
		v, exact := p.Expected.Exact()
		if head, closed := headOf(s, p.Stream); exact && !closed && v < head {
			return appendResult{}, &driver.ConflictError{Stream: p.Stream, Expected: p.Expected, Actual: head}
		}
	}
	return s.Append(ctx, req)
}
