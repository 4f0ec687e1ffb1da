package postgres

import (
	"context"
	"errors"

	"github.com/go-es/es/driver"
)

// blankAtOnce is how many events a statement of a purge blanks. Each holds the
// feed back while it runs.
const blankAtOnce = 1000

// Delete closes a stream. A purge then blanks its events, some in each of several
// transactions: the stream, version, position and id of each are kept.
func (s *Store) Delete(ctx context.Context, req driver.DeleteRequest) (driver.Appended, error) {
	for {
		d := deletion{s: s, req: req}
		err := s.settle(ctx, d.try)
		if u, ok := errors.AsType[*unsureError](err); ok && !d.sent && !d.closed {
			err = driver.Transient(u.err)
			if ctx.Err() != nil {
				err = ctx.Err()
			}
		} else if ok {
			err = &driver.UnknownOutcomeError{Parts: []driver.UnknownPart{{Stream: req.Stream, Base: d.base}}, Err: u.err}
		}
		if d.based && errors.Is(err, driver.ErrConflict) {
			continue // as in appendStreams
		}
		if err != nil {
			return driver.Appended{}, err
		}
		return d.result, nil
	}
}

// deletion is a request to delete while it is being carried out.
type deletion struct {
	s      *Store
	req    driver.DeleteRequest
	base   driver.Version // of the stream, without the record that closes it
	sent   bool           // its record was, and it is not known what became of it
	based  bool           // Any or Exists became base
	closed bool           // the stream is
	known  bool           // it was before this try
	inTx   bool           // the caller's transaction
	result driver.Appended
}

// try closes the stream and carries a purge on.
func (d *deletion) try(ctx context.Context, again bool) error {
	err := d.s.write(ctx, again, func(ctx context.Context, ses *session) error { return d.do(ctx, ses, both) })
	if err != nil && d.closed && !isUnsure(err) {
		return &unsureError{fail(err)} // a purge that is not finished (D4)
	}
	return err
}

func (d *deletion) do(ctx context.Context, ses *session, how around) error {
	d.known = d.closed
	for !d.closed {
		if err := d.close(ctx, ses, how); err != nil {
			return err
		}
	}
	if d.req.Mode == driver.Purge {
		if err := d.purge(ctx, ses, how); err != nil {
			return err
		}
	}
	if d.known {
		return ses.confirm(ctx)
	}
	return nil
}

// close closes the stream, or finds out that it is closed.
func (d *deletion) close(ctx context.Context, ses *session, how around) error {
	if d.sent && d.req.Expected < 0 {
		d.req.Expected, d.based = driver.Exactly(d.base), true
	}
	state, id, pos, err := d.state(ctx, ses)
	if err != nil {
		return err
	}
	write, result, err := driver.DecideDelete(d.req, state, func() (driver.ID, driver.Position, error) { return id, pos, nil })
	if err != nil {
		if base, exact := d.req.Expected.Exact(); d.sent && exact && state.Head < base && errors.Is(err, driver.ErrConflict) {
			return notYet(err)
		}
		return err
	}
	if !write {
		d.closed, d.known, d.result, d.base = true, true, result, state.Head-1
		return nil
	}
	was, base := d.sent, d.base
	d.sent, d.base = true, state.Head
	mode := tombstoned
	if d.req.Mode == driver.Purge {
		mode = purged
	}
	args := append([][]byte{[]byte(d.req.Stream)}, newColumns(&driver.Part{Records: []driver.Record{d.req.Record}}).args()...)
	args = append(args, bigint(uint64(d.base)), bigint(uint64(mode)))
	stored := one(func(row [][]byte) bool {
		pos, ok := natural(row[0])
		d.closed = true
		d.result = driver.Appended{First: d.base + 1, Last: d.base + 1, Position: driver.Position(pos)}
		return ok
	})
	// The snapshots go in a statement of its own: it sees those that were saved
	// while the first one waited.
	err = ses.together(ctx, how, call{closeStream, args, stored}, call{dropSnapshots, [][]byte{[]byte(d.req.Stream)}, nil})
	if err != nil {
		d.closed = false
		if isOurs(err) || !unsure(err) {
			d.sent, d.base = was, base
		}
		return err
	}
	if d.closed {
		if !d.inTx {
			d.s.news.appended()
		}
	} else {
		d.sent, d.base = was, base // another was faster: look again
	}
	return nil
}

// state returns what is known of the stream, and the last record of a closed one.
func (d *deletion) state(ctx context.Context, ses *session) (state driver.StreamState, id driver.ID, pos driver.Position, err error) {
	for {
		m := &member{part: &driver.Part{Stream: d.req.Stream, Records: []driver.Record{d.req.Record}}}
		if state.Closed {
			m.base = state.Head - 1
		}
		seen, err := d.s.look(ctx, ses, []*member{m})
		if err != nil {
			return state, id, pos, err
		}
		f := seen[0]
		if f.state.Closed && !state.Closed {
			state = f.state // which does not change any more
			continue
		}
		if f.state.Closed {
			if len(f.ids) != 1 {
				return state, id, pos, corrupt("stream %q: version %d is missing", d.req.Stream, f.state.Head)
			}
			id = f.ids[0]
		}
		if len(f.positions) == 1 {
			pos = f.positions[0]
		}
		return f.state, id, pos, nil
	}
}

// purge erases the events of the stream, which is closed.
func (d *deletion) purge(ctx context.Context, ses *session, how around) error {
	stream := []byte(d.req.Stream)
	err := ses.together(ctx, how, call{startPurge, [][]byte{stream}, nil}, call{dropSnapshots, [][]byte{stream}, nil})
	if err != nil {
		return err
	}
	for v := driver.Version(1); v < d.result.Last; v += blankAtOnce {
		last := min(v+blankAtOnce, d.result.Last) - 1
		if err := ses.write(ctx, blankEvents, nil, stream, bigint(uint64(v)), bigint(uint64(last))); err != nil {
			return err
		}
	}
	return nil
}
