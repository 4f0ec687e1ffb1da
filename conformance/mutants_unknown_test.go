package conformance

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/go-es/es/driver"
)

// Mutants: outcomes that a caller cannot know.
var unknownMutants = []mutant{
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
		lost, reply := s.fault(true)
		if lost && !reply {
			return appendResult{}, driver.Transient(errLost)
		}
		res, err := s.Append(ctx, req)
		if lost && err == nil {
			return appendResult{}, driver.Transient(errLost)
		}
		return res, err
	})},
	{name: "has a Break that breaks nothing", rules: "U2", checks: "unknown/lost", cfg: func(c *Config, _ *toy) {
		fault := c.Fault
		c.Fault = func(t TB, dsn string) Faulty {
			f := fault(t, dsn)
			f.Break = func(bool) func() bool { return func() bool { return false } }
			return f
		}
	}},
	{name: "sends a lost Any again at Any", rules: "U2", checks: "unknown/lost", with: appended(func(s *toyStore, ctx context.Context, req appendRequest) (appendResult, error) {
		lost, reply := s.fault(true)
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

	{name: "says that half a purge is all", rules: "D4", checks: "unknown/each-request", with: deleted(func(s *toyStore, ctx context.Context, req driver.DeleteRequest) (driver.Appended, error) {
		a, err := s.Delete(ctx, req)
		if errors.Is(err, driver.ErrUnknownOutcome) {
			head, _ := headOf(s, req.Stream)
			return driver.Appended{First: head, Last: head, Position: s.d.head()}, nil
		}
		return a, err
	})},
	{name: "says that half a purge is nothing", rules: "U2", checks: "unknown/each-request", with: deleted(func(s *toyStore, ctx context.Context, req driver.DeleteRequest) (driver.Appended, error) {
		a, err := s.Delete(ctx, req)
		if errors.Is(err, driver.ErrUnknownOutcome) {
			return a, driver.Transient(errLost)
		}
		return a, err
	})},
	{name: "does not finish a purge that is sent again", rules: "D4", checks: "unknown/each-request", with: deleted(func(s *toyStore, ctx context.Context, req driver.DeleteRequest) (driver.Appended, error) {
		if _, closed := headOf(s, req.Stream); closed {
			return s.closes(req)
		}
		return s.Delete(ctx, req)
	})},
	{name: "leaves the first streams when the connection breaks", rules: "U2 U4 A2", checks: "unknown/each-request", with: appended(streamByStream)},
	{name: "loses what a delete said", rules: "U2", checks: "unknown/each-request", with: deleted(func(s *toyStore, ctx context.Context, req driver.DeleteRequest) (driver.Appended, error) {
		s.mu.Lock()
		lost := s.broken.n == 1 && s.broken.reply
		s.mu.Unlock()
		a, err := s.Delete(ctx, req)
		if lost && err == nil {
			return a, driver.Transient(errLost)
		}
		return a, err
	})},

	// What arrives late.
	{name: "takes what did not arrive for never sent", rules: "U2", checks: "unknown/late", with: appended(func(s *toyStore, ctx context.Context, req appendRequest) (appendResult, error) {
		if s.sends(func() { s.apply(context.Background(), req) }) {
			return appendResult{}, driver.Transient(errLost)
		}
		return s.Append(ctx, req)
	})},
	{name: "takes a version that is not there yet for one that never will be", rules: "U2", checks: "unknown/late", with: appended(func(s *toyStore, ctx context.Context, req appendRequest) (appendResult, error) {
		res, err := s.Append(ctx, req)
		for _, p := range req.Parts {
			if head, _ := headOf(s, p.Stream); len(p.Records) == 0 && !p.Expected.Holds(head) && s.isHeld() {
				return appendResult{}, &driver.ConflictError{Stream: p.Stream, Expected: p.Expected, Actual: head}
			}
		}
		return res, err
	})},
	{name: "compares no version when a request arrives late", rules: "U2", checks: "unknown/late", with: appended(func(s *toyStore, ctx context.Context, req appendRequest) (appendResult, error) {
		res, err := s.Append(ctx, req)
		late := cloneRequest(req)
		s.instead(func() {
			for i := range late.Parts {
				late.Parts[i].Expected = driver.Any
			}
			s.apply(context.Background(), late)
		})
		return res, err
	})},
	{name: "opens a closed stream for what arrives late", rules: "D5", checks: "unknown/late", with: appended(func(s *toyStore, ctx context.Context, req appendRequest) (appendResult, error) {
		res, err := s.Append(ctx, req)
		p := cloneRequest(req).Parts[0]
		s.instead(func() {
			if _, closed := headOf(s, p.Stream); closed {
				s.d.mu.Lock()
				defer s.d.mu.Unlock()
				s.d.place(s.d.add(p.Stream, p.Records[0]), s.take())
			}
		})
		return res, err
	})},
	{name: "closes a stream again when a delete arrives late", rules: "D4", checks: "unknown/late", with: deleted(func(s *toyStore, ctx context.Context, req driver.DeleteRequest) (driver.Appended, error) {
		a, err := s.Delete(ctx, req)
		s.instead(func() {
			s.d.mu.Lock()
			defer s.d.mu.Unlock()
			s.d.place(s.d.add(req.Stream, req.Record), s.take())
		})
		return a, err
	})},
	{name: "saves a checkpoint that arrives late over any other", rules: "C2", checks: "unknown/late", with: func() overrides {
		return overrides{save: func(s *toyStore, ctx context.Context, cp driver.Checkpoint, prev driver.Revision) error {
			err := s.SaveCheckpoint(ctx, cp, prev)
			s.instead(func() {
				now, _ := s.LoadCheckpoint(context.Background(), cp.Name)
				s.save(cp, now.Revision)
			})
			return err
		}}
	}},
	{name: "saves a checkpoint that arrives late although there is none", rules: "C6", checks: "unknown/late", with: func() overrides {
		return overrides{save: func(s *toyStore, ctx context.Context, cp driver.Checkpoint, prev driver.Revision) error {
			err := s.SaveCheckpoint(ctx, cp, prev)
			s.instead(func() { s.save(cp, driver.Revision{}) })
			return err
		}}
	}},
	{name: "replaces a newer snapshot by one that arrives late", rules: "P2", checks: "unknown/late", with: func() overrides {
		return overrides{saveSnap: func(s *toyStore, ctx context.Context, snap driver.Snapshot) error {
			err := s.SaveSnapshot(ctx, snap)
			s.instead(func() {
				s.DeleteSnapshot(context.Background(), snap.Stream, snap.Kind)
				s.keep(snap)
			})
			return err
		}}
	}},
	{name: "keeps a snapshot of a closed stream that arrives late, if it was deleted before", rules: "P4", checks: "unknown/late", with: func() overrides {
		return overrides{
			dropSnap: func(s *toyStore, ctx context.Context, stream, kind string) error {
				dropped.Store(droppedSnapshot{s.d, stream, kind}, true)
				return s.DeleteSnapshot(ctx, stream, kind)
			},
			saveSnap: func(s *toyStore, ctx context.Context, snap driver.Snapshot) error {
				err := s.SaveSnapshot(ctx, snap)
				s.instead(func() {
					if _, gone := dropped.Load(droppedSnapshot{s.d, snap.Stream, snap.Kind}); !gone {
						s.keep(snap)
						return
					}
					s.d.mu.Lock()
					defer s.d.mu.Unlock()
					s.d.snapshots[[2]string{snap.Stream, snap.Kind}] = snap
				})
				return err
			},
		}
	}},
	{name: "keeps a snapshot of a closed stream that arrives late", rules: "P4", checks: "unknown/late", with: func() overrides {
		return overrides{saveSnap: func(s *toyStore, ctx context.Context, snap driver.Snapshot) error {
			err := s.SaveSnapshot(ctx, snap)
			s.instead(func() {
				s.d.mu.Lock()
				defer s.d.mu.Unlock()
				key := [2]string{snap.Stream, snap.Kind}
				if snap.Version > s.d.snapshots[key].Version {
					s.d.snapshots[key] = snap
				}
			})
			return err
		}}
	}},
}

// dropped has the snapshots that were deleted, of the mutant that forgets their place.
var dropped sync.Map

type droppedSnapshot struct {
	d            *toyData
	stream, kind string
}
