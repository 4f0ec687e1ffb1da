package sqlite

import (
	"context"
	sqldriver "database/sql/driver"
	"encoding/json"
	"errors"
	"slices"

	"github.com/go-es/es/driver"
)

// Append stores the records of a request in one transaction.
func (s *Store) Append(ctx context.Context, req driver.AppendRequest) (driver.AppendResult, error) {
	for {
		w := written{req: req}
		err := s.write(ctx, func(_ context.Context, ses session) error { return w.append(ses) })
		if again := w.settled(&err); !again {
			if err == nil {
				s.hub.Wake()
			}
			return w.result, err
		}
	}
}

// AppendGroup stores independent requests in one transaction: one wait for the
// disk for all of them.
func (s *Store) AppendGroup(ctx context.Context, reqs []driver.AppendRequest) []driver.Outcome {
	out := make([]driver.Outcome, len(reqs))
	group := make([]written, len(reqs))
	for i, req := range reqs {
		group[i].req = req
	}
	overtaken := map[string]error{} // streams in which another was faster while the outcome was unknown
	err := s.write(ctx, func(_ context.Context, ses session) error {
		for i := range group {
			w := &group[i]
			if out[i].Err != nil {
				continue // decided before: it had no part in what is settled now
			}
			stream := reqs[i].Parts[0].Stream
			if err := overtaken[stream]; err != nil {
				out[i].Err, w.based = err, true // it comes after that one, as before
				continue
			}
			err := w.append(ses)
			if w.based && errors.Is(err, driver.ErrConflict) {
				overtaken[stream] = err
			}
			if err != nil && !w.alone(err) {
				return err // of all, and decides nothing: this may be done again
			}
			out[i].Err = err
		}
		return nil
	})
	if err == nil {
		s.hub.Wake()
	}
	for i := range group {
		w := &group[i]
		if err != nil && !w.alone(out[i].Err) {
			out[i].Err = err
		}
		if again := w.settled(&out[i].Err); again {
			w.result, out[i].Err = s.Append(ctx, reqs[i])
		}
		if out[i].Err == nil {
			out[i].Result = w.result
		}
	}
	return out
}

// written is a request while it is being written.
type written struct {
	req     driver.AppendRequest
	result  driver.AppendResult
	streams []stream
	states  []driver.StreamState
	bases   []driver.UnknownPart // where its records went, once it was written
	based   bool                 // Any or Exists became an exact version
	touched bool                 // a statement wrote for it, or may have
}

// append decides about the request and stores its records.
func (w *written) append(ses session) error {
	if len(w.bases) > 0 { // it expects what it found when it was written before
		w.based = slices.ContainsFunc(w.req.Parts, func(p driver.Part) bool { return p.Expected < 0 && len(p.Records) > 0 }) || w.based
		w.req = driver.Rebase(w.req, w.bases)
	}
	parts := w.req.Parts
	w.streams, w.states = w.streams[:0], w.states[:0]
	for i := range parts {
		st, err := w.find(ses, &parts[i])
		if err != nil {
			return err
		}
		w.streams = append(w.streams, st)
		w.states = append(w.states, st.state())
	}
	write, result, err := driver.Decide(w.req, w.states, func(part int) (driver.Position, bool, error) {
		return found(ses, w.streams[part], &parts[part])
	})
	w.result = result
	if !write || err != nil {
		return err
	}
	w.result.Parts = make([]driver.Appended, len(parts))
	w.bases = w.bases[:0]
	for i := range parts {
		p, st := &parts[i], &w.streams[i]
		if len(p.Records) == 0 {
			continue
		}
		w.bases = append(w.bases, driver.UnknownPart{Stream: p.Stream, Base: st.head})
		pos, err := st.add(ses, p.Records)
		if err != nil {
			return err
		}
		w.result.Parts[i] = driver.Appended{First: st.head + 1, Last: st.head + driver.Version(len(p.Records)), Position: pos}
	}
	return nil
}

// find returns the state of a part's stream. Where all depends on there being none, it
// makes the stream at once: the row that makes it also says whether there was one.
func (w *written) find(ses session, p *driver.Part) (stream, error) {
	if base, exact := p.Expected.Exact(); exact && base == 0 && len(p.Records) > 0 && len(w.req.Parts) == 1 {
		id, made, err := ses.exec(addStream, p.Stream)
		w.touched = err != nil || made > 0
		if err != nil || made > 0 {
			return stream{name: p.Stream, id: id}, err
		}
	}
	return lookup(ses, p.Stream)
}

// alone reports whether err is the request's own, and nothing of it was written
// before: it does not stop the others of its group.
func (w *written) alone(err error) bool {
	return decided(err) || errors.Is(err, driver.ErrCorrupt) && len(w.bases) == 0 && !w.touched
}

// settled makes the error of a write the caller's. It reports whether the
// request has to be made again: Any or Exists took a base, whether it was stored
// there was not known, it was not, and meanwhile the base is another's.
func (w *written) settled(err *error) (again bool) {
	var u *unsureError
	if errors.As(*err, &u) {
		*err = nil // it had only recognised what was there before
		if len(w.bases) > 0 {
			*err = &driver.UnknownOutcomeError{Parts: w.bases, Err: u.err}
		}
	}
	return w.based && errors.Is(*err, driver.ErrConflict)
}

// stream is what the database knows of a stream.
type stream struct {
	name   string
	id     int64 // 0: it does not exist
	closed int64
	head   driver.Version
}

func (st stream) state() driver.StreamState {
	return driver.StreamState{Head: st.head, Closed: st.closed != open}
}

// lookup returns the state of a stream, whether it exists or not.
func lookup(ses session, name string) (stream, error) {
	st := stream{name: name}
	err := ses.query(streamState, func(row []sqldriver.Value) error {
		var ok [3]bool
		st.id, ok[0] = row[0].(int64)
		st.closed, ok[1] = row[1].(int64)
		head, last := row[2].(int64)
		st.head, ok[2] = driver.Version(head), last
		if !ok[0] || !ok[1] || !ok[2] {
			return corrupt("stream %q: its row is %v", name, row)
		}
		return errStop
	}, name)
	return st, err
}

// found reports whether the versions that a part would take hold its ids, and
// the position of the last.
func found(ses session, st stream, p *driver.Part) (pos driver.Position, all bool, err error) {
	base, _ := p.Expected.Exact()
	n := 0
	all = true
	err = ses.query(foundIDs, func(row []sqldriver.Value) error {
		id, ok := row[0].([]byte)
		last, isInt := row[1].(int64)
		if !ok || !isInt || len(id) != len(driver.ID{}) {
			return corrupt("stream %q, version %d: its id is %v", p.Stream, base+driver.Version(n)+1, row[0])
		}
		if n == len(p.Records) {
			return corrupt("stream %q has more events from version %d on than versions", p.Stream, base+1)
		}
		if driver.ID(id) != p.Records[n].ID {
			all = false
			return errStop
		}
		n++
		pos = driver.Position(last)
		return nil
	}, st.id, int64(base)+1, int64(base)+int64(len(p.Records)))
	if err == nil && all && n < len(p.Records) {
		err = corrupt("stream %q: version %d is missing", p.Stream, base+driver.Version(n)+1)
	}
	return pos, all, err
}

// add stores records after the stream's head, and makes the stream if it does
// not exist. It returns the position of the last.
func (st *stream) add(ses session, records []driver.Record) (pos driver.Position, err error) {
	if st.id == 0 {
		if st.id, _, err = ses.exec(addStream, st.name); err != nil {
			return 0, err
		}
	}
	var last int64
	version := int64(st.head) + 1
	for len(records) > 0 {
		insert, n := add16Events, 16
		for n > len(records) {
			insert, n = insert-1, n/2
		}
		args := append(make([]sqldriver.Value, 0, 2+7*n), st.id, version)
		for i := range records[:n] {
			if args, err = appendValues(args, &records[i]); err != nil {
				return 0, err
			}
		}
		if last, _, err = ses.exec(insert, args...); err != nil {
			return 0, err
		}
		records, version = records[n:], version+int64(n)
	}
	return driver.Position(last), nil
}

// appendValues appends the columns of a record, in the order of addEvents.
func appendValues(args []sqldriver.Value, r *driver.Record) ([]sqldriver.Value, error) {
	var tags, metadata sqldriver.Value
	if len(r.Tags) > 0 {
		text, err := json.Marshal(r.Tags)
		if err != nil {
			return nil, err
		}
		tags = string(text)
	}
	if len(r.Metadata) > 0 {
		metadata = r.Metadata
	}
	data := r.Data
	if data == nil {
		data = []byte{}
	}
	return append(args, r.ID[:], r.Type, r.Encoding, driver.Micros(r.Time), tags, metadata, data), nil
}
