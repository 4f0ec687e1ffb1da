package conformance

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/go-es/es/driver"
)

// Mutants: groups, wake-ups and late positions.
var groupMutants = []mutant{
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
	{name: "writes the last member of a stream first", rules: "G1 A3 V1", checks: "group/one-stream", with: grouped(func(w *wrong, ctx context.Context, reqs []appendRequest) []driver.Outcome {
		outs := make([]driver.Outcome, len(reqs))
		for i, req := range slices.Backward(reqs) {
			outs[i].Result, outs[i].Err = w.toyStore.Append(ctx, req)
		}
		return outs
	})},
	{name: "takes the versions of a group once", rules: "G1 G2 E1 V4", checks: "group/one-stream", with: grouped(func(w *wrong, ctx context.Context, reqs []appendRequest) []driver.Outcome {
		outs := make([]driver.Outcome, len(reqs))
		heads := map[string]driver.Version{}
		for _, req := range reqs {
			heads[req.Parts[0].Stream], _ = headOf(w.toyStore, req.Parts[0].Stream)
		}
		for i, req := range reqs {
			stream := req.Parts[0].Stream
			if _, closed := headOf(w.toyStore, stream); !closed && req.Parts[0].Expected == driver.Any {
				req = to(stream, driver.Exactly(heads[stream]), req.Parts[0].Records...)
			}
			outs[i].Result, outs[i].Err = w.toyStore.Append(ctx, req)
		}
		return outs
	})},
	{name: "tells the members of a stream the position of the last", rules: "F7 R4 A3", checks: "group/one-stream", with: grouped(func(w *wrong, ctx context.Context, reqs []appendRequest) []driver.Outcome {
		outs := make([]driver.Outcome, len(reqs))
		last := map[string]driver.Position{}
		for i, req := range reqs {
			outs[i].Result, outs[i].Err = w.toyStore.Append(ctx, req)
			if outs[i].Err == nil {
				last[req.Parts[0].Stream] = outs[i].Result.Parts[0].Position
			}
		}
		for i, o := range outs {
			if o.Err == nil {
				o.Result.Parts[0].Position = last[reqs[i].Parts[0].Stream]
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
}

func lately(y *toy) { y.caps.PositionOnAppend, y.caps.Gapless, y.late = false, false, true }

func grouped(f func(w *wrong, ctx context.Context, reqs []appendRequest) []driver.Outcome) func() overrides {
	return func() overrides { return overrides{group: f} }
}

func settles(f func(s *toyStore, ctx context.Context, stream string) (driver.Version, error)) func() overrides {
	return func() overrides { return overrides{settled: f} }
}
