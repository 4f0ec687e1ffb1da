package mongo

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"

	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/go-es/es/driver"
)

// Append stores the records of a request in one document.
func (s *Store) Append(ctx context.Context, req driver.AppendRequest) (driver.AppendResult, error) {
	out := s.AppendGroup(ctx, []driver.AppendRequest{req})
	return out[0].Result, out[0].Err
}

// AppendGroup stores independent requests with up to four commands at the same time:
// those to one stream in one document.
func (s *Store) AppendGroup(ctx context.Context, reqs []driver.AppendRequest) []driver.Outcome {
	members, places := gather(reqs)
	err := s.settle(ctx, func(ctx context.Context) error { return s.appendAll(ctx, members) })
	u, unsure := errors.AsType[*unsureError](err)
	if unsure {
		err = u.err
	}
	out := make([]driver.Outcome, len(reqs))
	for i := range reqs {
		m, before := places[i].m, places[i].before
		n := driver.Version(len(reqs[i].Parts[0].Records))
		first := m.base + before + 1
		switch {
		case !m.done && m.sent:
			out[i].Err = &driver.UnknownOutcomeError{Parts: []driver.UnknownPart{{Stream: m.part.Stream, Base: first - 1}}, Err: err}
		case !m.done && unsure: // by another member, or by a try that was refused
			out[i].Err = driver.Transient(err)
		case !m.done:
			out[i].Err = err
		case m.err != nil:
			out[i].Err = m.err
		default:
			out[i].Result = driver.AppendResult{Parts: []driver.Appended{{First: first, Last: first + n - 1}}}
		}
	}
	return out
}

// place is where the records of a request went: to a member, after some others.
type place struct {
	m      *member
	before driver.Version
}

// gather makes members of requests: those to one stream, which all expect Any, are
// one append.
func gather(reqs []driver.AppendRequest) ([]*member, []place) {
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
			places[i].before = driver.Version(len(m.part.Records))
			if !m.several {
				m.several, m.part = true, &driver.Part{Stream: p.Stream, Expected: p.Expected, Records: slices.Clone(m.part.Records)}
			}
			m.part.Records = append(m.part.Records, p.Records...)
		}
		places[i].m = m
	}
	// Groups that have streams in common and lock them in one order do not wait for
	// each other.
	slices.SortFunc(members, func(a, b *member) int { return cmp.Compare(a.part.Stream, b.part.Stream) })
	return members, places
}

// member is an append to one stream while it is being made.
type member struct {
	part  *driver.Part
	base  driver.Version // at which it is sent
	based bool           // base is set, and a commit that does not close the stream ends there
	sent  bool           // it was sent at base, and it is not known what became of it

	several bool // it is several requests
	done    bool
	err     error
}

// fail says that nothing of the member is stored, nor will be.
func (m *member) fail(err error) { m.done, m.err = true, err }

// appendAll makes the appends that are not done yet. Its error is of all of those.
func (s *Store) appendAll(ctx context.Context, members []*member) error {
	for {
		left := slices.DeleteFunc(slices.Clone(members), func(m *member) bool { return m.done })
		if len(left) == 0 {
			return nil
		}
		err := together(left, func(m *member) error {
			if m.based {
				return nil
			}
			return s.failLook(ctx, s.takeBase(ctx, m))
		})
		if err != nil {
			return err
		}
		left = slices.DeleteFunc(left, func(m *member) bool { return m.done || !m.based })
		taken, err := s.send(ctx, left)
		if err != nil {
			return err
		}
		err = together(taken, func(m *member) error { return s.failLook(ctx, s.decide(ctx, m)) })
		if err != nil {
			return err
		}
	}
}

// atOnce is how many reads of one call are under way at most.
const atOnce = 8

// together calls f for each of some, several at a time, and returns an error of one.
func together[T any](all []T, f func(T) error) error {
	if len(all) <= 1 {
		for _, one := range all {
			return f(one)
		}
		return nil
	}
	errs := make([]error, len(all))
	var wg sync.WaitGroup
	room := make(chan struct{}, atOnce)
	for i, one := range all {
		room <- struct{}{}
		wg.Go(func() {
			defer func() { <-room }()
			errs[i] = f(one)
		})
	}
	wg.Wait()
	return cmp.Or(errs...)
}

// takeBase sees to it that a member has a concrete version to be sent at, without
// which nobody could find out what became of it, and that a commit ends there: else
// the stream would get a hole, or an event after its last one.
func (s *Store) takeBase(ctx context.Context, m *member) error {
	p := m.part
	known, ok := s.heads.get(p.Stream)
	v, exact := p.Expected.Exact()
	switch {
	case exact && (v == 0 || ok && known == v):
		m.base, m.based = v, true
		return nil
	case !exact && ok:
		m.base, m.based = known, true
		return nil
	case exact && known > v:
		return s.decide(ctx, m)
	}
	below := high(p.Stream)
	if exact {
		below = key(p.Stream, v+1)
	}
	last, err := lastBelow(ctx, s.commits.Collection, p.Stream, below)
	if err != nil {
		return err
	}
	state := last.state()
	if state.Closed || !p.Expected.Holds(state.Head) {
		return s.decide(ctx, m)
	}
	m.base, m.based = state.Head, true
	return nil
}

// send sends the members at their bases. It returns those whose place is taken.
func (s *Store) send(ctx context.Context, members []*member) (taken []*member, err error) {
	if len(members) == 0 {
		return nil, nil
	}
	before := make([]bool, len(members)) // sent by what was before, and not answered
	docs := make([]any, len(members))
	for i, m := range members {
		docs[i] = encode(m.part.Stream, m.base, m.part.Records, false)
		before[i], m.sent = m.sent, true
	}
	// The server inserts the documents of one command one after the other: several
	// commands take several of its cores.
	n := len(members)
	refused, errs := make([]error, n), make([]error, n)
	size := max((n+commands-1)/commands, 1)
	var chunks []int
	for at := 0; at < n; at += size {
		chunks = append(chunks, at)
	}
	_ = together(chunks, func(at int) error {
		end := min(at+size, n)
		err := s.insert(ctx, docs[at:end], refused[at:end])
		for i := at; i < end; i++ {
			errs[i] = err
		}
		return nil
	})
	for i, m := range members {
		switch {
		case refused[i] == errTaken:
			m.sent = before[i]
			taken = append(taken, m)
		case refused[i] != nil:
			if why := s.failWrite(ctx, refused[i]); isUnsure(why) {
				err = why
			} else if m.sent = before[i]; !m.sent {
				m.fail(why)
			}
		case errs[i] == nil:
			m.sent, m.done = false, true
			last := m.base + driver.Version(len(m.part.Records))
			s.heads.set(m.part.Stream, last)
			s.seq.Appended(m.part.Stream, last)
		default:
			certain := s.failWrite(ctx, errs[i])
			if !isUnsure(certain) {
				m.sent = before[i]
			}
			if err == nil || !isUnsure(err) {
				err = certain
			}
		}
	}
	return taken, err
}

// commands is how many of them carry a group, at the same time.
const commands = 4

func isUnsure(err error) bool {
	_, ok := errors.AsType[*unsureError](err)
	return ok
}

// errTaken says that the _id of a document is taken.
var errTaken = errors.New("es: mongo: the place is taken")

// insert inserts documents, none of which depends on another one. It puts into
// refused which were refused. Its error is of all others.
func (s *Store) insert(ctx context.Context, docs []any, refused []error) error {
	var err error
	if len(docs) == 1 {
		_, err = s.commits.InsertOne(ctx, docs[0])
		if isDuplicate(err) {
			refused[0], err = errTaken, nil
		}
		return err
	}
	_, err = s.commits.InsertMany(ctx, docs, options.InsertMany().SetOrdered(false))
	e, ok := errors.AsType[mongo.BulkWriteException](err)
	if !ok {
		return err
	}
	for _, w := range e.WriteErrors {
		if w.Index < 0 || w.Index >= len(refused) {
			return err
		}
		refused[w.Index] = mongo.WriteException{WriteErrors: mongo.WriteErrors{w.WriteError}}
		if w.Code == duplicateKey {
			refused[w.Index] = errTaken
		}
	}
	if e.WriteConcernError != nil {
		return mongo.WriteException{WriteConcernError: e.WriteConcernError}
	}
	return nil
}

// decide finds out what became of a member whose place is taken, or whose expected
// version does not hold: it finishes it, or lets it take another base.
func (s *Store) decide(ctx context.Context, m *member) error {
	p := *m.part
	if m.sent {
		// Whoever has the place now has it for good: the member, or it never will.
		own, err := s.strictCommit(ctx, p.Stream, m.base+1)
		switch {
		case err != nil:
			return err
		case own == nil:
			return nil // it was rolled back, and is sent again
		case own.holds(p.Records):
			m.done = true
			s.seq.Appended(p.Stream, own.last)
			return nil
		}
		m.sent = false
	}
	last, err := s.strictTail(ctx, p.Stream)
	if err != nil {
		return err
	}
	state := last.state()
	write, _, err := driver.Decide(driver.AppendRequest{Parts: []driver.Part{p}}, []driver.StreamState{state}, func(int) (driver.Position, bool, error) {
		base, _ := p.Expected.Exact()
		ok, err := s.found(ctx, last, base, p.Records)
		return 0, ok, err
	})
	switch {
	case err != nil && !isDecided(err):
		return err
	case err != nil:
		m.fail(err)
	case !write:
		m.base, _ = p.Expected.Exact()
		m.done = true
	default:
		m.base, m.based = state.Head, true
	}
	if state.Closed {
		s.heads.forget(p.Stream)
	} else if state.Head > 0 {
		s.heads.set(p.Stream, state.Head)
	}
	return nil
}
