package sqlite

import (
	"context"
	sqldriver "database/sql/driver"
	"errors"

	"github.com/go-es/es/driver"
)

// blankAtOnce is how many events a purge blanks between looks at its context.
const blankAtOnce = 1000

// Delete closes a stream. A purge blanks the stream's events in the transaction
// that closes it, so that it is whole or did not happen; other writers wait
// meanwhile.
func (s *Store) Delete(ctx context.Context, req driver.DeleteRequest) (driver.Appended, error) {
	for {
		d := deletion{req: req}
		err := s.write(ctx, d.do)
		var u *unsureError
		switch {
		case errors.As(err, &u) && d.wrote:
			err = &driver.UnknownOutcomeError{Parts: []driver.UnknownPart{{Stream: req.Stream, Base: d.base}}, Err: u.err}
		case errors.As(err, &u):
			err = nil // it had only recognised what was there before
		case d.based && errors.Is(err, driver.ErrConflict):
			continue // as in written.settled
		}
		if err != nil {
			return driver.Appended{}, err
		}
		s.hub.Wake()
		if req.Mode == driver.Purge {
			s.emptyLog(ctx)
		}
		return d.result, nil
	}
}

// deletion is a request to delete while it is being carried out.
type deletion struct {
	req    driver.DeleteRequest
	result driver.Appended
	wrote  bool           // something was, in a transaction that may have been lost
	base   driver.Version // at which its record was, or the one that closed the stream
	based  bool           // Any or Exists became that version
}

func (d *deletion) do(ctx context.Context, ses session) error {
	if d.wrote && d.req.Expected < 0 {
		d.based = true
		d.req.Expected = driver.Exactly(d.base)
	}
	st, err := lookup(ses, d.req.Stream)
	if err != nil {
		return err
	}
	write, result, err := driver.DecideDelete(d.req, st.state(), func() (driver.ID, driver.Position, error) { return closing(ses, st) })
	if err != nil {
		return err
	}
	d.result = result
	last := st.head // of the events to blank
	if write {
		d.wrote, d.base = true, st.head
		pos, err := st.add(ses, []driver.Record{d.req.Record})
		if err != nil {
			return err
		}
		d.result = driver.Appended{First: st.head + 1, Last: st.head + 1, Position: pos}
	} else {
		last--
	}
	if st.closed == purged || st.closed == tombstoned && d.req.Mode == driver.Tombstone {
		return nil
	}
	if !write { // a purge of what is closed
		d.wrote, d.base = true, last
	}
	state := int64(tombstoned)
	if d.req.Mode == driver.Purge {
		state = purged
		if err := blank(ctx, ses, st.id, last); err != nil {
			return err
		}
	}
	if _, _, err := ses.exec(closeStream, st.id, state); err != nil {
		return err
	}
	_, _, err = ses.exec(deleteSnapshots, st.name)
	return err
}

// closing returns the id and the position of the record that closed a stream.
func closing(ses session, st stream) (id driver.ID, pos driver.Position, err error) {
	ok := false
	err = ses.query(closingEvent, func(row []sqldriver.Value) error {
		b, _ := row[0].([]byte)
		at, isInt := row[1].(int64)
		ok = len(b) == len(id) && isInt
		copy(id[:], b)
		pos = driver.Position(at)
		return errStop
	}, st.id, int64(st.head))
	if err == nil && !ok {
		err = corrupt("stream %q: version %d is missing", st.name, st.head)
	}
	return id, pos, err
}

// blank erases all of the first events of a stream but stream, version, position
// and id.
func blank(ctx context.Context, ses session, id int64, last driver.Version) error {
	for v := driver.Version(1); v <= last; v += blankAtOnce {
		if err := ctx.Err(); err != nil {
			return err
		}
		if _, _, err := ses.exec(blankEvents, id, int64(v), int64(min(v+blankAtOnce-1, last))); err != nil {
			return err
		}
	}
	return nil
}

// emptyLog lets the log forget what was purged, if no reader is in the way.
func (s *Store) emptyLog(ctx context.Context) {
	if s.file == "" {
		return
	}
	s.withWriter(ctx, func(c **conn) error {
		if *c != nil {
			truncateLog(*c)
		}
		return nil
	})
}
