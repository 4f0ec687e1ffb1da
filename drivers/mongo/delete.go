package mongo

import (
	"context"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/go-es/es/driver"
)

// Delete appends the commit that closes the stream, and then erases what goes with
// it.
func (s *Store) Delete(ctx context.Context, req driver.DeleteRequest) (driver.Appended, error) {
	var done driver.Appended
	var base driver.Version // at which the commit was sent
	sent := false           // and not answered
	err := s.settle(ctx, func(ctx context.Context) error {
		for {
			last, err := s.strictTail(ctx, req.Stream)
			if err != nil {
				return s.failLook(ctx, err)
			}
			state := last.state()
			if sent && state.Head > base {
				own, err := s.strictCommit(ctx, req.Stream, base+1)
				if err != nil {
					return s.failLook(ctx, err)
				}
				sent = false
				if own != nil && own.holds([]driver.Record{req.Record}) {
					done = driver.Appended{First: own.first, Last: own.last}
					return nil
				}
			}
			write := sent // it has to be sent at the same base again
			if !sent {
				write, done, err = driver.DecideDelete(req, state, func() (driver.ID, driver.Position, error) {
					return last.ids[len(last.ids)-1], 0, nil
				})
				if err != nil {
					return &readError{err}
				}
				base = state.Head
			}
			if !write {
				return nil
			}
			unanswered := sent
			sent = true
			_, err = s.commits.InsertOne(ctx, encode(req.Stream, base, []driver.Record{req.Record}, true))
			switch {
			case err == nil:
				sent = false
				done = driver.Appended{First: base + 1, Last: base + 1}
				return nil
			case isDuplicate(err):
				sent = unanswered
			default:
				if err = s.failWrite(ctx, err); !isUnsure(err) {
					sent = unanswered
				}
				return err
			}
		}
	})
	if err != nil {
		return driver.Appended{}, unknown(err, driver.UnknownPart{Stream: req.Stream, Base: base})
	}
	s.heads.forget(req.Stream)
	s.seq.Appended(req.Stream, done.Last)
	if err := s.erase(ctx, req, done.Last); err != nil {
		return driver.Appended{}, &driver.UnknownOutcomeError{Parts: []driver.UnknownPart{{Stream: req.Stream, Base: done.Last - 1}}, Err: err}
	}
	return done, nil
}

// erase removes what goes with a stream that is closed. It may be done again. What
// is left of a commit keeps its place: a late duplicate of it is refused, and the
// log names it.
func (s *Store) erase(ctx context.Context, req driver.DeleteRequest, last driver.Version) error {
	again := func(err error) error { // a write that was in the way is no reason to stop
		if err = s.failWrite(ctx, err); driver.IsTransient(err) {
			return &unsureError{err}
		}
		return err
	}
	return s.settle(ctx, func(ctx context.Context) error {
		if err := s.endSnapshots(ctx, req.Stream); err != nil || req.Mode != driver.Purge {
			return again(err)
		}
		filter := append(between(low(req.Stream), key(req.Stream, last)), bson.E{Key: fieldEvents, Value: bson.D{{Key: "$exists", Value: true}}})
		_, err := s.commits.UpdateMany(ctx, filter, bson.D{{Key: "$unset", Value: bson.D{{Key: fieldEvents, Value: ""}}}})
		return again(err)
	})
}
