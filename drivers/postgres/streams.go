package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/go-es/es/driver"
)

// appendStreams appends to several streams: they are locked, looked at, and
// written in one transaction.
func (s *Store) appendStreams(ctx context.Context, req driver.AppendRequest) (driver.AppendResult, error) {
	for {
		h := held{s: s, req: req}
		err := s.settle(ctx, h.try)
		if u, ok := errors.AsType[*unsureError](err); ok {
			err = &driver.UnknownOutcomeError{Parts: h.bases, Err: u.err}
		}
		if h.based && errors.Is(err, driver.ErrConflict) {
			continue // it took a base, was not stored there, and the base is another's now
		}
		if err != nil {
			return driver.AppendResult{}, err
		}
		return h.result, nil
	}
}

// held is an append whose streams are locked while it is decided.
type held struct {
	s      *Store
	req    driver.AppendRequest
	bases  []driver.UnknownPart // at which it was sent, if that was
	based  bool                 // Any or Exists became one of them
	result driver.AppendResult

	positions []driver.Position // of the records of the only part
}

// try makes the append in a transaction of its own.
func (h *held) try(ctx context.Context, again bool) error {
	var nothing error // why nothing was committed
	err := h.s.write(ctx, again, func(wctx context.Context, ses *session) error {
		req := h.req
		if len(h.bases) > 0 {
			h.based = slices.ContainsFunc(req.Parts, func(p driver.Part) bool { return p.Expected < 0 && len(p.Records) > 0 })
			req = driver.Rebase(req, h.bases)
		}
		w := locked{ses: ses, req: req}
		write, err := w.lock(wctx, begins)
		if err != nil {
			if !isOurs(err) && unsure(err) {
				nothing = driver.Transient(fmt.Errorf("es: postgres: the connection was lost: %w", err))
				return errNothing
			}
			return err
		}
		if !write || ctx.Err() != nil {
			ses.rollback(wctx)
			if write {
				nothing = ctx.Err()
				return errNothing
			}
			if len(h.bases) > 0 && errors.Is(w.err, driver.ErrConflict) && driver.MayHold(w.req, w.states) {
				return notYet(w.err)
			}
			h.result, h.positions = w.result, w.positions
			if w.err != nil {
				return w.err
			}
			h.bases = w.bases() // it was sent before, by whomever
			return ses.confirm(wctx)
		}
		before := h.bases
		h.bases = w.bases()
		if err := w.write(wctx, ends); err != nil {
			if isOurs(err) || !unsure(err) {
				h.bases = before
			}
			return err
		}
		h.result, h.positions = w.result, w.positions
		h.s.news.appended()
		return nil
	})
	if err != errNothing {
		return err
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return nothing
}

// errNothing says that nothing was committed, whatever happened.
var errNothing = errors.New("es: postgres: nothing was committed")

// locked is an append to streams that a transaction has locked.
type locked struct {
	ses    *session
	req    driver.AppendRequest
	held   [][]byte // array of those that were made to be locked, and do not exist
	states []driver.StreamState
	result driver.AppendResult
	err    error

	positions []driver.Position // of the records of the first part
}

// lock locks the streams and decides about the append: it reports whether to
// write it. Otherwise result and err say what there is to say.
func (l *locked) lock(ctx context.Context, how around) (bool, error) {
	parts := l.req.Parts
	streams := make([]string, len(parts))
	var missing []string // perhaps
	asks := newLooking(len(parts))
	for i := range parts {
		p := &parts[i]
		streams[i] = p.Stream
		base, exact := p.Expected.Exact()
		if exact && base == 0 || p.Expected == driver.Any {
			missing = append(missing, p.Stream)
		}
		asks.add(p, base)
	}
	var calls []call
	if len(missing) > 0 {
		made := newArray(oidText, len(missing), 32*len(missing))
		n := 0
		calls = append(calls, call{hold, [][]byte{textArray(missing)}, func(row [][]byte) error {
			made.bytes(row[0])
			n++
			l.held = [][]byte{made.done()}
			return nil
		}})
	}
	calls = append(calls,
		call{lock, [][]byte{textArray(streams)}, nil},
		call{look, asks.args(), asks.row})
	if err := l.ses.together(ctx, how, calls...); err != nil {
		return false, err
	}
	if len(asks.found) != len(parts) {
		return false, corrupt("%d streams were asked for, and %d found", len(parts), len(asks.found))
	}
	for _, f := range asks.found {
		l.states = append(l.states, f.state)
	}
	var write bool
	l.positions = asks.found[0].positions
	write, l.result, l.err = driver.Decide(l.req, l.states, func(i int) (driver.Position, bool, error) {
		return asks.found[i].holds(&parts[i])
	})
	return write, nil
}

// bases returns the versions at which the records are stored, or are to be.
func (l *locked) bases() (bases []driver.UnknownPart) {
	for i, p := range l.req.Parts {
		if len(p.Records) > 0 {
			base, exact := p.Expected.Exact()
			if !exact {
				base = l.states[i].Head
			}
			bases = append(bases, driver.UnknownPart{Stream: p.Stream, Base: base})
		}
	}
	return bases
}

// write stores the records and gives back the streams that do not exist.
func (l *locked) write(ctx context.Context, how around) error {
	l.result.Parts = make([]driver.Appended, len(l.req.Parts))
	var members []*member
	var of []int
	for i := range l.req.Parts {
		if p := &l.req.Parts[i]; len(p.Records) > 0 {
			members = append(members, &member{part: p, base: l.states[i].Head})
			of = append(of, i)
		}
	}
	calls := []call{{writeHeld, groupArgs(members), answered(members)}}
	if l.held != nil {
		calls = append(calls, call{release, l.held, nil})
	}
	if err := l.ses.together(ctx, how, calls...); err != nil {
		return err
	}
	for i, m := range members {
		if err := m.committed(); err != nil {
			return err
		}
		if !m.done {
			return corrupt("stream %q was locked, and another version was written to it", m.part.Stream)
		}
		l.result.Parts[of[i]] = m.result(0, len(m.part.Records))
	}
	l.positions = members[0].positions
	return nil
}

// release gives back the streams that were made to be locked, in a transaction
// that goes on.
func (l *locked) release(ctx context.Context) error {
	if l.held == nil {
		return nil
	}
	return l.ses.together(ctx, inside, call{release, l.held, nil})
}
