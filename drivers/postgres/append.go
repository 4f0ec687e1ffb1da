package postgres

import (
	"context"
	"errors"
	"slices"

	"github.com/go-es/es/driver"
)

// Append stores the records of a request: those of one stream in one statement,
// those of several in a short transaction of two round trips.
func (s *Store) Append(ctx context.Context, req driver.AppendRequest) (driver.AppendResult, error) {
	if len(req.Parts) == 1 {
		out := s.AppendGroup(ctx, []driver.AppendRequest{req})
		return out[0].Result, out[0].Err
	}
	return s.appendStreams(ctx, req)
}

// AppendGroup stores independent requests in one statement: one wait for the disk
// for all of them.
func (s *Store) AppendGroup(ctx context.Context, reqs []driver.AppendRequest) []driver.Outcome {
	members, places := gather(reqs)
	err := s.settle(ctx, func(ctx context.Context, again bool) error { return s.appendAll(ctx, again, members) })
	u, unknown := errors.AsType[*unsureError](err)
	if unknown {
		err = u.err
	}
	out := make([]driver.Outcome, len(reqs))
	for i := range reqs {
		m, before := places[i].m, places[i].before
		switch {
		case !m.done && m.sent:
			out[i].Err = &driver.UnknownOutcomeError{Parts: []driver.UnknownPart{{Stream: m.part.Stream, Base: m.base + driver.Version(before)}}, Err: err}
		case !m.done && unknown && ctx.Err() != nil:
			out[i].Err = ctx.Err()
		case !m.done && unknown: // by another member, or by a try that was refused
			out[i].Err = driver.Transient(err)
		case !m.done:
			out[i].Err = err
		case m.err != nil:
			out[i].Err = m.err
		default:
			r := m.result(before, len(reqs[i].Parts[0].Records))
			out[i].Result = driver.AppendResult{Parts: []driver.Appended{r}}
		}
	}
	return out
}

// place is where the records of a request went: to a member, after some others.
type place struct {
	m      *member
	before int
}

// gather makes members of requests: those to one stream, which all expect Any, are
// one append.
func gather(reqs []driver.AppendRequest) ([]*member, []place) {
	if len(reqs) == 1 {
		one := new(struct {
			m       member
			members [1]*member
			places  [1]place
		})
		one.m.part = &reqs[0].Parts[0]
		one.members[0], one.places[0].m = &one.m, &one.m
		return one.members[:], one.places[:]
	}
	members, places := make([]*member, 0, len(reqs)), make([]place, len(reqs))
	of := make(map[string]*member, len(reqs))
	for i := range reqs {
		p := &reqs[i].Parts[0]
		m := of[p.Stream]
		if m == nil {
			m = &member{part: p}
			of[p.Stream] = m
			members = append(members, m)
		} else {
			places[i].before = len(m.part.Records)
			if !m.several {
				m.several, m.part = true, &driver.Part{Stream: p.Stream, Expected: p.Expected, Records: slices.Clone(m.part.Records)}
			}
			m.part.Records = append(m.part.Records, p.Records...)
		}
		places[i].m = m
	}
	return members, places
}

// member is an append to one stream while it is being made.
type member struct {
	part  *driver.Part
	base  driver.Version // at which it is sent
	based bool           // base is set
	guess bool           // nothing is known of the stream
	sent  bool           // it was sent at base, and it is not known what became of it
	again bool           // it was already, before it was sent now
	found driver.Version // the stream's version, if appendGuess told it
	lost  int            // how often another was faster

	several   bool // it is several requests
	done      bool
	positions []driver.Position // of its records
	err       error
}

// fail says that nothing of the member is stored, nor will be.
func (m *member) fail(err error) { m.done, m.err = true, err }

// stored says that the member is stored at its base.
func (m *member) stored(positions []driver.Position) { m.done, m.positions = true, positions }

// result returns what an append of n of the member's records, after some others,
// returns.
func (m *member) result(before, n int) driver.Appended {
	first := m.base + driver.Version(before) + 1
	return driver.Appended{First: first, Last: first + driver.Version(n) - 1, Position: m.positions[before+n-1]}
}

// answered returns what reads the rows of a statement that appends for several
// members. What they say is true once the statement has been committed.
func answered(members []*member) func([][]byte) error {
	of := make(map[string]*member, len(members))
	for _, m := range members {
		of[m.part.Stream] = m
	}
	return func(row [][]byte) error {
		m := of[string(row[0])]
		if m == nil {
			return corrupt("the server stored an event that was not sent")
		}
		return m.position(row[1:])
	}
}

// position reads a row of a statement that appends for one member: there is one for
// each of its records. See answered.
func (m *member) position(row [][]byte) error {
	pos, ok := natural(row[0])
	if !ok || pos == 0 || len(m.positions) == len(m.part.Records) {
		return corrupt("what the server returned of an append cannot be")
	}
	if m.positions == nil {
		m.positions = make([]driver.Position, 0, len(m.part.Records))
	}
	m.positions = append(m.positions, driver.Position(pos))
	return nil
}

// guessed is position for appendGuess, which tells the stream's version where it
// stores nothing.
func (m *member) guessed(row [][]byte) error {
	if row[1] == nil {
		return m.position(row)
	}
	found, ok := natural(row[1])
	m.found = driver.Version(found)
	if !ok {
		return corrupt("what the server returned of a stream cannot be")
	}
	return nil
}

// committed says that a statement that appends for the member has been committed. It
// has stored all the records, and then the member is stored, or none.
func (m *member) committed() error {
	switch len(m.positions) {
	case 0:
		return nil
	case len(m.part.Records):
		m.done = true
		return nil
	}
	return corrupt("stream %q: of %d events %d were stored", m.part.Stream, len(m.part.Records), len(m.positions))
}

func toPositions(b []byte, to *[]driver.Position) bool {
	return elements(b, func(b []byte) bool {
		pos, ok := natural(b)
		*to = append(*to, driver.Position(pos))
		return ok && pos > 0
	})
}

// tries is how often a part that expects no exact version is sent at a version
// that was seen, before its stream is locked for it.
const tries = 2

// appendAll makes the appends that are not done yet. Its error is that of a
// statement, which is of all of those.
func (s *Store) appendAll(ctx context.Context, again bool, members []*member) error {
	for {
		left := undone(members)
		if len(left) == 0 {
			return nil
		}
		if i := slices.IndexFunc(left, func(m *member) bool { return m.lost >= tries && !m.sent }); i >= 0 {
			if err := s.appendHeld(ctx, again, left[i]); err != nil {
				return err
			}
			continue
		}
		var used *session
		err := s.write(ctx, again, func(ctx context.Context, ses *session) error {
			used = ses
			if err := s.takeBases(ctx, ses, left); err != nil {
				return err
			}
			left := undone(left)
			if len(left) == 0 {
				return nil
			}
			for _, m := range left {
				m.again, m.sent = m.sent, true
			}
			if err := s.send(ctx, ses, left); err != nil {
				if isOurs(err) || !unsure(err) {
					for _, m := range left {
						m.sent = m.again
					}
				}
				return err
			}
			var missed []*member
			for _, m := range left {
				m.sent = m.again && !m.done // what was sent now was stored or refused
				switch {
				case m.done:
				case m.found > 0 && !m.sent && m.part.Expected < 0: // others have made the stream
					m.base = m.found
				default:
					missed = append(missed, m)
				}
			}
			if len(missed) == 0 {
				return nil
			}
			return s.decide(ctx, ses, missed)
		})
		if used != nil && used.doubtful {
			for _, m := range left {
				if m.done && m.err == nil {
					m.done, m.sent = false, true
				}
			}
		}
		if err != nil {
			return err
		}
	}
}

// undone returns the members that are not done.
func undone(members []*member) []*member {
	if !slices.ContainsFunc(members, func(m *member) bool { return m.done }) {
		return members
	}
	return slices.DeleteFunc(slices.Clone(members), func(m *member) bool { return m.done })
}

// appendHeld appends with the stream locked, where others were always faster.
func (s *Store) appendHeld(ctx context.Context, again bool, m *member) error {
	h := held{s: s, req: driver.AppendRequest{Parts: []driver.Part{*m.part}}}
	err := h.try(ctx, again)
	switch {
	case isUnsure(err):
		m.base, m.sent, m.lost = h.bases[0].Base, true, 0
		return err
	case err == nil:
		m.base = h.result.Parts[0].First - 1
		m.stored(h.positions)
		s.heads.set(m.part.Stream, h.result.Parts[0].Last)
		return nil
	case decided(err):
		m.fail(err)
		return nil
	}
	return err
}

// takeBases sees to it that each member has a concrete version to be sent at:
// without one nobody could find out what became of it.
func (s *Store) takeBases(ctx context.Context, ses *session, members []*member) error {
	var unknown []*member
	for _, m := range members {
		if m.based {
			continue
		}
		if v, exact := m.part.Expected.Exact(); exact {
			m.base, m.based = v, true
		} else if v, ok := s.heads.get(m.part.Stream); ok && v > 0 { // at 0 it would be made, also where it has to exist
			m.base, m.based = v, true
		} else if m.part.Expected == driver.Any && len(members) == 1 {
			m.base, m.based, m.guess = 0, true, true // the answer of appendGuess tells if it is there already
		} else {
			unknown = append(unknown, m)
		}
	}
	if len(unknown) == 0 {
		return nil
	}
	found, err := s.look(ctx, ses, unknown)
	if err != nil {
		return err
	}
	for i, m := range unknown {
		m.based = true
		m.base = found[i].state.Head
		if found[i].state.Closed {
			m.fail(deleted(m.part.Stream))
		} else if !m.part.Expected.Holds(m.base) {
			m.fail(&driver.ConflictError{Stream: m.part.Stream, Expected: m.part.Expected})
		}
	}
	return nil
}

// send sends the members at their bases, and finishes those that were stored.
func (s *Store) send(ctx context.Context, ses *session, members []*member) error {
	for _, m := range members {
		m.positions, m.found = nil, 0
	}
	var err error
	if len(members) > 1 {
		err = ses.write(ctx, appendGroup, answered(members), groupArgs(members)...)
	} else {
		err = sendOne(ctx, ses, members[0])
	}
	if err != nil {
		return err
	}
	for _, m := range members {
		if err := m.committed(); err != nil {
			return err
		}
		if !m.done {
			continue
		}
		if m.part.Expected < 0 {
			s.heads.set(m.part.Stream, m.base+driver.Version(len(m.part.Records)))
		}
		s.news.appended()
	}
	return nil
}

func sendOne(ctx context.Context, ses *session, m *member) error {
	if m.guess && m.base == 0 {
		return ses.write(ctx, appendGuess, m.guessed, append([][]byte{[]byte(m.part.Stream)}, newColumns(m.part).args()...)...)
	}
	first, next := appendNew, appendAt
	var args [][]byte // the last one is the base
	if len(m.part.Records) == 1 {
		first, next = appendFirst, appendNext
		args = recordArgs(m.part.Stream, &m.part.Records[0], m.base)
	} else {
		args = append([][]byte{[]byte(m.part.Stream)}, append(newColumns(m.part).args(), bigint(uint64(m.base)))...)
	}
	if m.base == 0 {
		return ses.write(ctx, first, m.position, args[:len(args)-1]...)
	}
	return ses.write(ctx, next, m.position, args...)
}

// groupArgs returns the parameters of appendGroup and writeHeld.
func groupArgs(members []*member) [][]byte {
	n, size, events := len(members), 0, 0
	parts := make([]*driver.Part, n)
	for i, m := range members {
		parts[i] = m.part
		size += len(m.part.Stream)
		events += len(m.part.Records)
	}
	streams, bases, counts := newArray(oidText, n, size), newArray(oidBigint, n, 8*n), newArray(oidBigint, n, 8*n)
	of, versions := newArray(oidBigint, events, 8*events), newArray(oidBigint, events, 8*events)
	for i, m := range members {
		streams.text(m.part.Stream)
		bases.bigint(int64(m.base))
		counts.bigint(int64(len(m.part.Records)))
		for j := range m.part.Records {
			of.bigint(int64(i) + 1)
			versions.bigint(int64(m.base) + int64(j) + 1)
		}
	}
	return append([][]byte{streams.done(), bases.done(), counts.done(), of.done(), versions.done()}, newColumns(parts...).args()...)
}

// decide finds out what became of members that were not stored: it finishes them,
// or gives them another base.
func (s *Store) decide(ctx context.Context, ses *session, members []*member) error {
	found, err := s.look(ctx, ses, members)
	if err != nil {
		return err
	}
	var open, bad error
	var known []*member // to be stored already
	for i, m := range members {
		f := &found[i]
		p := *m.part
		if m.sent {
			p.Expected = driver.Exactly(m.base)
		}
		_, exact := p.Expected.Exact()
		write, _, err := driver.Decide(driver.AppendRequest{Parts: []driver.Part{p}}, []driver.StreamState{f.state}, func(int) (driver.Position, bool, error) { return f.holds(&p) })
		switch {
		case errors.Is(err, driver.ErrConflict) && m.sent && f.state.Head < m.base:
			open = notYet(err)
		case errors.Is(err, driver.ErrConflict) && m.sent && m.part.Expected < 0:
			m.sent, m.base = false, f.state.Head // it was not stored, and cannot be any more
		case err != nil && !decided(err):
			bad = err
		case err != nil:
			m.fail(err)
		case !write:
			m.stored(f.positions)
			known = append(known, m)
		default:
			m.lost++
			if !exact {
				m.base = f.state.Head
				s.heads.set(p.Stream, m.base)
			}
		}
	}
	if len(known) > 0 {
		if err := ses.confirm(ctx); err != nil {
			for _, m := range known {
				m.done, m.sent = false, true
			}
			return err
		}
	}
	if bad != nil {
		return bad
	}
	return open
}

// found is what look finds of a stream. The state and the ids are of one moment.
// Ids that are read later than the state would do, since the versions of a stream
// keep their ids for good; ids that are read earlier would not.
type found struct {
	state     driver.StreamState
	ids       []driver.ID       // at the versions that the append would take, if all are there
	positions []driver.Position // of these
}

// holds reports whether the ids are those of a part.
func (f *found) holds(p *driver.Part) (driver.Position, bool, error) {
	base, _ := p.Expected.Exact()
	if len(f.ids) != len(p.Records) || len(f.positions) != len(f.ids) {
		return 0, false, corrupt("stream %q: of the versions from %d to %d there are %d", p.Stream, base+1, base+driver.Version(len(p.Records)), len(f.ids))
	}
	for i := range f.ids {
		if f.ids[i] != p.Records[i].ID {
			return 0, false, nil
		}
	}
	return f.positions[len(f.positions)-1], true, nil
}

// look looks at the streams of members.
func (s *Store) look(ctx context.Context, ses *session, members []*member) ([]found, error) {
	l := newLooking(len(members))
	for _, m := range members {
		l.add(m.part, m.base)
	}
	err := ses.run(ctx, look, l.row, l.args()...)
	return l.found, err
}

// looking is the statement look while it is built and answered.
type looking struct {
	streams, bases, counts *array
	found                  []found
}

func newLooking(n int) *looking {
	return &looking{newArray(oidText, n, 32*n), newArray(oidBigint, n, 8*n), newArray(oidBigint, n, 8*n), make([]found, 0, n)}
}

// add asks for a part's stream, and for the ids from the version after base on.
func (l *looking) add(p *driver.Part, base driver.Version) {
	l.streams.text(p.Stream)
	l.bases.bigint(int64(base))
	l.counts.bigint(int64(len(p.Records)))
}

func (l *looking) args() [][]byte {
	return [][]byte{l.streams.done(), l.bases.done(), l.counts.done()}
}

func (l *looking) row(row [][]byte) error {
	var f found
	if row[0] != nil {
		head, ok1 := natural(row[0])
		closed, ok2 := natural(row[1])
		ok3 := row[2] == nil || elements(row[2], func(b []byte) bool {
			var id driver.ID
			f.ids = append(f.ids, id)
			return copy(f.ids[len(f.ids)-1][:], b) == len(id)
		})
		ok4 := row[3] == nil || toPositions(row[3], &f.positions)
		if !ok1 || !ok2 || !ok3 || !ok4 {
			return corrupt("what the server returned of a stream cannot be")
		}
		f.state = driver.StreamState{Head: driver.Version(head), Closed: closed != open}
	}
	l.found = append(l.found, f)
	return nil
}
