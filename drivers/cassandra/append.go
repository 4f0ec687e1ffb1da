package cassandra

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/go-es/es/driver"
)

// Append stores the records of one part in one conditional write to one partition.
func (s *Store) Append(ctx context.Context, req driver.AppendRequest) (driver.AppendResult, error) {
	if len(req.Parts) != 1 {
		return driver.AppendResult{}, errManyStreams
	}
	var done driver.Appended
	var err error
	switch p := &req.Parts[0]; {
	case ctx.Err() != nil:
		err = ctx.Err()
	case p.Expected == driver.Any:
		done, err = s.lines.Append(ctx, s.caps, p, s.appendPart)
	default:
		done, err = s.appendPart(ctx, p)
	}
	if err != nil {
		return driver.AppendResult{}, err
	}
	return driver.AppendResult{Parts: []driver.Appended{done}}, nil
}

func (s *Store) appendPart(ctx context.Context, p *driver.Part) (driver.Appended, error) {
	a := attempt{s: s, stream: p.Stream, records: p.Records}
	var done driver.Appended
	err := s.writing(ctx, func(c call) error {
		result, err := a.append(c, driver.AppendRequest{Parts: []driver.Part{*p}})
		if err == nil {
			done = result.Parts[0]
		}
		return err
	})
	return done, a.unknown(err)
}

var errManyStreams = errors.Join(errors.New("es: cassandra: an append goes to one stream"), errors.ErrUnsupported)

// attempt is a commit that is to be written at some base, and stays at that base
// once nobody knows whether it was.
type attempt struct {
	s       *Store
	stream  string
	records []driver.Record
	closes  bool
	packed  []byte

	base driver.Version
	sent bool // at this base, and perhaps carried out
}

// unknown makes what stayed unsure the error that callers know.
func (a *attempt) unknown(err error) error {
	if u, ok := errors.AsType[*unsureError](err); ok {
		return &driver.UnknownOutcomeError{Parts: []driver.UnknownPart{{Stream: a.stream, Base: a.base}}, Err: u.err}
	}
	return err
}

// append does all that an append does once.
func (a *attempt) append(c call, req driver.AppendRequest) (driver.AppendResult, error) {
	s, p := a.s, &req.Parts[0]
	exact, isExact := p.Expected.Exact()
	if isExact {
		a.base = exact
	} else if !a.sent {
		st, err := s.guess(c.read, a.stream)
		if err != nil {
			return driver.AppendResult{}, err
		}
		if st.closed() || !p.Expected.Holds(st.version()) { // as far as is known
			if st, err = s.last(c.read, a.stream); err != nil {
				return driver.AppendResult{}, err
			}
		}
		if st.closed() || !p.Expected.Holds(st.version()) {
			_, result, err := driver.Decide(req, []driver.StreamState{st.stream()}, nil)
			return result, err
		}
		a.base = st.version()
	}
	for pause := time.Millisecond; ; pause = min(2*pause, 20*time.Millisecond) {
		there, err := a.put(c)
		if err != nil {
			return driver.AppendResult{}, err
		}
		if there == nil {
			return driver.AppendResult{Parts: []driver.Appended{{First: a.base + 1, Last: a.last()}}}, nil
		}
		if isExact {
			states := []driver.StreamState{there.stream()}
			write, result, err := driver.Decide(req, states, func(int) (driver.Position, bool, error) {
				ok, err := a.stored(c.read, there)
				return 0, ok, a.after(err)
			})
			if write { // the stream has come to the base meanwhile
				if err := a.rest(c, pause); err != nil {
					return driver.AppendResult{}, err
				}
				continue
			}
			if a.sent && errors.Is(err, driver.ErrConflict) && driver.MayHold(req, states) {
				// What was sent before may arrive when the stream has grown.
				err = &unsureError{fmt.Errorf("es: cassandra: the answer was lost, and the stream has not reached the version that was expected: %v", err)}
			}
			return result, err
		}
		// Others were faster. An earlier request at this base may have been carried
		// out too; where none was sent that is out of doubt, no one looks: the same
		// ids there are of another call.
		if a.sent {
			mine, err := a.stored(c.read, there)
			if err != nil {
				return driver.AppendResult{}, a.after(err)
			}
			if mine && !there.closed() {
				return driver.AppendResult{Parts: []driver.Appended{{First: a.base + 1, Last: a.last()}}}, nil
			}
		}
		if there.closed() || !p.Expected.Holds(there.version()) {
			_, result, err := driver.Decide(req, []driver.StreamState{there.stream()}, nil)
			return result, err
		}
		a.base, a.sent = there.version(), false
		if err := a.rest(c, pause); err != nil {
			return driver.AppendResult{}, err
		}
	}
}

// rest waits up to a pause, before another request.
func (a *attempt) rest(c call, pause time.Duration) error {
	select {
	case <-time.After(rand.N(pause)):
		return nil
	case <-c.read.Done():
		return a.after(c.read.Err())
	}
}

func (a *attempt) last() driver.Version { return a.base + driver.Version(len(a.records)) }

// put writes the commit at its base. It returns nil if it was applied, and
// otherwise the state of the stream that stood against it.
func (a *attempt) put(c call) (*state, error) {
	s := a.s
	b := s.bucketOf(a.base)
	known := s.heads.get(a.stream)
	begins := a.base == 0 || known.version == a.base && known.bucket < b
	for {
		there, err := a.put1(c, b, begins)
		switch {
		case err != nil || there == nil:
			return there, err
		case there.head > 0 && there.head >= s.border(b): // the stream goes on in the next bucket
			st, err := s.lastFrom(c.read, a.stream, *there)
			return &st, a.after(err)
		case there.head != 0:
			return there, nil
		case begins:
			return nil, corrupt("version %d of stream %q is there, and its bucket has no last version", a.base+1, a.stream)
		case b == 0: // there is nothing at all
			return there, nil
		}
		// The bucket has not begun. It may, if the one before ended at the base.
		before, err := s.stateOf(c.read, a.stream, b-1)
		if err != nil {
			return nil, a.after(err)
		}
		if before.version() != a.base || before.closed() {
			if before.head == 0 {
				before, err = s.last(c.read, a.stream)
			}
			return &before, a.after(err)
		}
		begins = true
	}
}

// after is the error of a read that was to tell what became of the commit.
func (a *attempt) after(err error) error {
	if err != nil && a.sent && fateOf(err) != wrong {
		return &unsureError{fail(err)}
	}
	return err
}

// put1 sends the statement.
func (a *attempt) put1(c call, bucket int64, begins bool) (*state, error) {
	s := a.s
	if a.packed == nil {
		a.packed = pack(a.records)
	}
	var was any // null
	if !begins {
		was = int64(a.base)
	}
	head := int64(a.last())
	if a.closes {
		head = -head
	}
	var at *int64
	var id *[]byte
	slot := slotOf(time.Now())
	it := s.query(c.write, s.texts.append, head, slot, slot, a.records[0].ID[:], a.packed, a.stream, bucket, int64(a.base)+1, was).NoSkipMetadata().Iter()
	applied, err := conditional(it, columns{"head": &at, "id": &id})
	if err != nil {
		if fateOf(err) == unsure {
			a.sent = true
		} else if a.sent && !isOurs(err) && fateOf(err) == notSent {
			err = &unsureError{fail(err)}
		}
		return nil, sent(err)
	}
	if applied {
		s.learn(a.stream, &state{bucket: bucket, head: head}, row{len(a.packed), len(a.records)})
		s.seq.Appended(a.stream, a.last())
		return nil, nil
	}
	st := &state{bucket: bucket}
	if at != nil {
		st.head = *at
		s.learn(a.stream, st, row{})
	}
	if id != nil {
		copy(st.id[:], *id)
	}
	return st, nil
}

// stored reports whether the versions after the base have the ids of the commit. A
// refusal says the id of the first event of the commit that stands there, if one
// begins there.
func (a *attempt) stored(ctx context.Context, there *state) (bool, error) {
	if there.version() < a.last() || !there.id.IsZero() && there.id != a.records[0].ID {
		return false, nil
	}
	w := walk{s: a.s, stream: a.stream, from: a.base + 1, to: a.last()}
	pieces, err := w.all(ctx)
	if err != nil {
		return false, err
	}
	for _, p := range pieces {
		for v := p.first; v <= p.last; v++ {
			if p.records == nil || p.records[v-p.first].ID != a.records[v-a.base-1].ID {
				return false, nil
			}
		}
	}
	return true, nil
}
