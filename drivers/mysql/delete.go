package mysql

import (
	"cmp"
	"context"
	sqldriver "database/sql/driver"
	"errors"

	"github.com/go-es/es/driver"
)

// A statement of a purge, which is a transaction, blanks up to so many events, and
// no more once they have so many bytes: what it overwrites is in the binary log, too.
const (
	blankAtOnce = 1000
	blankBytes  = 4 << 20
)

// Delete closes a stream. The record that closes it is stored first, with one
// statement; then the snapshots are emptied, and with a purge the events.
func (s *Store) Delete(ctx context.Context, req driver.DeleteRequest) (driver.Appended, error) {
	ctx, done, err := s.gate.Begin(ctx)
	if err != nil {
		return driver.Appended{}, err
	}
	defer done()
	d := &deletion{s: s, req: req}
	return d.settle(ctx)
}

// deletion is a request to delete while it is being carried out.
type deletion struct {
	s      *Store
	req    driver.DeleteRequest
	result driver.Appended
	base   driver.Version // at which the record was sent
	sent   bool           // the record may be stored, or is
	closed bool           // it is known that the stream is closed by the record, or was
	erased driver.Version // a purge has come so far
}

func (d *deletion) settle(ctx context.Context) (driver.Appended, error) {
	s := d.s
	try := s.writing(ctx)
	defer try.end()
	for {
		err := s.withSession(try.ctx, func(ses *session) error { return d.do(try.ctx, try.sending, ses) })
		if err == nil {
			return d.result, nil
		}
		if isOurs(err) && !d.closed && !(d.sent && errors.Is(err, driver.ErrCorrupt)) {
			return driver.Appended{}, err
		}
		if try.again(d.sent, err) {
			continue
		}
		if !d.sent {
			return driver.Appended{}, fail(endedBy(try.ctx, err))
		}
		return driver.Appended{}, &driver.UnknownOutcomeError{Parts: []driver.UnknownPart{{Stream: d.req.Stream, Base: d.base}}, Err: err}
	}
}

// do carries the request out from wherever it stands.
func (d *deletion) do(ctx, sending context.Context, ses *session) error {
	s, stream := d.s, d.req.Stream
	var st state
	for rounds := 0; ; rounds++ {
		var err error
		if st, err = s.stateOf(ctx, ses, stream); err != nil {
			return err
		}
		closing := func() (driver.ID, driver.Position, error) { return st.id, st.position, nil }
		write, result, err := driver.DecideDelete(d.req, st.StreamState, closing)
		if !write { // what is there may not be durable yet
			if err := cmp.Or(s.flushed(ctx, ses), err); err != nil {
				return err
			}
			d.result, d.closed = result, true
			if !d.sent {
				d.base = st.Head - 1
			}
			break
		}
		if err := endOf(ctx); err != nil {
			return err
		}
		var t text
		s.insertInto(&t)
		s.row(&t, kindTombstone, stream, st.Head, false, &d.req.Record)
		res, err := ses.exec(sending, string(t))
		if n := serverError(err); n == errDuplicate || n == errNotNull {
			if rounds > mostRounds {
				return err
			}
			continue // another was faster
		}
		if err != nil {
			if d.sent = d.sent || lost(err); lost(err) {
				d.base = st.Head
			}
			return err
		}
		at, err := res.LastInsertId()
		if err != nil {
			return err
		}
		d.sent, d.closed, d.base = true, true, st.Head
		d.result = driver.Appended{First: st.Head + 1, Last: st.Head + 1, Position: driver.Position(at)}
		st.Head++
		st.kind = kindTombstone
		break
	}
	s.heads.forget(stream)
	if ses.tx == nil {
		s.hub.Wake()
	}
	d.sent = true // what follows may be done in part
	return d.erase(sending, ses, st)
}

// erase empties the snapshots, and blanks the events if that was asked for.
func (d *deletion) erase(ctx context.Context, ses *session, st state) error {
	s, stream := d.s, d.req.Stream
	var t text
	s.endSnapshots(&t, stream)
	if _, err := ses.exec(ctx, string(t)); err != nil {
		return err
	}
	if d.req.Mode != driver.Purge || st.kind == kindPurge {
		return nil
	}
	for d.erased < st.Head-1 {
		first, last, err := d.chunk(ctx, ses, min(d.erased+blankAtOnce, st.Head-1))
		if err != nil {
			return err
		}
		if first > 0 {
			var t text
			t.add("UPDATE ", s.events, " SET kind=2,type='',encoding='',time=0,size=0,tags='',metadata='',data='' WHERE stream=", name(stream),
				" AND version BETWEEN ", int64(first), " AND ", int64(last), " AND kind=0")
			if _, err := ses.exec(ctx, string(t)); err != nil {
				return err
			}
		}
		d.erased = last
	}
	t = t[:0]
	t.add("UPDATE ", s.events, " SET kind=4 WHERE stream=", name(stream), " AND version=", int64(st.Head), " AND kind=3")
	_, err := ses.exec(ctx, string(t))
	return err
}

// chunk returns the first and the last version up to a given one that the next
// statement of a purge is to blank. The first is 0 if there is none. It locks what it
// reads: a transaction of the caller's may otherwise read an old state.
func (d *deletion) chunk(ctx context.Context, ses *session, most driver.Version) (first, last driver.Version, err error) {
	var t text
	t.add("SELECT version,size FROM ", d.s.events, " WHERE stream=", name(d.req.Stream), " AND version BETWEEN ", int64(d.erased)+1, " AND ", int64(most),
		" AND kind=0 ORDER BY version FOR UPDATE")
	bytes := int64(0)
	last = most
	err = ses.query(ctx, string(t), func(row []sqldriver.Value) error {
		version, size := driver.Version(integer(row[0])), max(integer(row[1]), 0)
		if bytes > 0 && bytes+size > blankBytes {
			last = version - 1
			return errStop
		}
		first, bytes = cmp.Or(first, version), bytes+size
		return nil
	})
	return first, last, err
}
