package mongo

import (
	"context"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/go-es/es/driver"
)

// Delete appends the commit that closes the stream, and then erases what goes with
// it.
func (s *Store) Delete(ctx context.Context, req driver.DeleteRequest) (driver.Appended, error) {
	d := deletion{s: s, req: req}
	closed := false
	err := s.settle(ctx, func(ctx context.Context) (err error) {
		if !closed {
			if err := d.close(ctx); err != nil {
				return err
			}
			closed, d.base = true, d.done.Last-1
			s.heads.forget(req.Stream)
			s.seq.Appended(req.Stream, d.done.Last)
		}
		if err := s.erase(ctx, req, d.done.Last); err != nil {
			return &unsureError{fail(err)}
		}
		return nil
	})
	if err != nil {
		return driver.Appended{}, unknown(err, driver.UnknownPart{Stream: req.Stream, Base: d.base})
	}
	return d.done, nil
}

// deletion is a request to delete while it is being carried out.
type deletion struct {
	s    *Store
	req  driver.DeleteRequest
	base driver.Version // at which the commit was sent
	sent bool           // and not answered
	done driver.Appended
}

// close closes the stream, or finds that it is closed.
func (d *deletion) close(ctx context.Context) error {
	s, req := d.s, &d.req
	for {
		last, err := s.strictTail(ctx, req.Stream)
		if err != nil {
			return s.failLook(ctx, err)
		}
		state := last.state()
		if d.sent && state.Head > d.base {
			own, err := s.strictCommit(ctx, req.Stream, d.base+1)
			if err != nil {
				return s.failLook(ctx, err)
			}
			d.sent = false
			if own != nil && own.holds([]driver.Record{req.Record}) {
				d.done = driver.Appended{First: own.first, Last: own.last}
				return nil
			}
		}
		write := d.sent // it has to be sent at the same base again
		if !d.sent {
			write, d.done, err = driver.DecideDelete(*req, state, func() (driver.ID, driver.Position, error) {
				return last.ids[len(last.ids)-1], 0, nil
			})
			if err != nil {
				return &readError{err}
			}
			d.base = state.Head
		}
		if !write {
			return nil
		}
		unanswered := d.sent
		d.sent = true
		_, err = s.commits.InsertOne(ctx, encode(req.Stream, d.base, []driver.Record{req.Record}, true))
		switch {
		case err == nil:
			d.sent = false
			d.done = driver.Appended{First: d.base + 1, Last: d.base + 1}
			return nil
		case isDuplicate(err):
			d.sent = unanswered
		default:
			if err = s.failWrite(ctx, err); !isUnsure(err) {
				d.sent = unanswered
			}
			return err
		}
	}
}

// erase removes what goes with a stream that is closed. It may be done again. What
// is left of a commit keeps its place: a late duplicate of it is refused, and the
// log names it.
func (s *Store) erase(ctx context.Context, req driver.DeleteRequest, last driver.Version) error {
	if err := s.endSnapshots(ctx, req.Stream); err != nil || req.Mode != driver.Purge {
		return err
	}
	filter := append(between(low(req.Stream), key(req.Stream, last)), bson.E{Key: fieldEvents, Value: bson.D{{Key: "$exists", Value: true}}})
	_, err := s.commits.UpdateMany(ctx, filter, bson.D{{Key: "$unset", Value: bson.D{{Key: fieldEvents, Value: ""}}}})
	return err
}
