package mysql

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/go-es/es/driver"
)

// An append is one INSERT. The unique key on stream and version lets one writer
// have a version; the statement asks for the event before the first one itself, so
// that no version is left out and none follows a closing record. What was refused
// is then decided by what is there.

// Append stores the records of a request with one statement.
func (s *Store) Append(ctx context.Context, req driver.AppendRequest) (driver.AppendResult, error) {
	ctx, done, err := s.gate.Begin(ctx)
	if err != nil {
		return driver.AppendResult{}, err
	}
	defer done()
	w := newWritten(req)
	s.write(ctx, []*written{w})
	return w.out.Result, w.out.Err
}

// groupMax is how many appends of a group go into one statement.
const groupMax = 100

// AppendGroup stores independent requests, up to 100 with one statement: one wait
// for the disk for all of them.
func (s *Store) AppendGroup(ctx context.Context, reqs []driver.AppendRequest) []driver.Outcome {
	out := make([]driver.Outcome, len(reqs))
	ctx, done, err := s.gate.Begin(ctx)
	if err != nil {
		for i := range out {
			out[i].Err = err
		}
		return out
	}
	defer done()
	group := make([]*written, len(reqs))
	for i := range reqs {
		group[i] = newWritten(reqs[i])
	}
	for some := range slices.Chunk(group, groupMax) {
		s.write(ctx, some)
	}
	for i, w := range group {
		out[i] = w.out
	}
	return out
}

// written is a request while it is being written.
type written struct {
	req   driver.AppendRequest
	bases []base // one a part
	look  bool   // it is to be decided by what is there
	sent  bool   // it may be stored
	done  bool
	out   driver.Outcome
}

// base is the exact version at which a part is sent.
type base struct {
	version driver.Version
	taken   bool
}

func newWritten(req driver.AppendRequest) *written {
	w := &written{req: req, bases: make([]base, len(req.Parts))}
	for i, p := range req.Parts {
		w.bases[i].version, w.bases[i].taken = p.Expected.Exact()
	}
	return w
}

// rebase lets Any and Exists take another base.
func (w *written) rebase() (rebased bool) {
	for i, p := range w.req.Parts {
		if p.Expected < 0 && w.bases[i].taken {
			w.bases[i].taken = false
			rebased = true
		}
	}
	return rebased
}

// exact returns the request as it was sent, or is to be.
func (w *written) exact() driver.AppendRequest {
	if !slices.ContainsFunc(w.req.Parts, func(p driver.Part) bool { return p.Expected < 0 }) {
		return w.req
	}
	parts := slices.Clone(w.req.Parts)
	for i := range parts {
		if w.bases[i].taken {
			parts[i].Expected = driver.Exactly(w.bases[i].version)
		}
	}
	return driver.AppendRequest{Parts: parts}
}

func (w *written) decide(result driver.AppendResult, err error) {
	if w.done = true; err != nil {
		w.out = driver.Outcome{Err: err}
		return
	}
	w.out = driver.Outcome{Result: result}
}

// fail ends a request with an error by which it was not stored, or of which that is
// not known.
func (w *written) fail(err error) {
	if w.done {
		return
	}
	if !w.sent {
		w.decide(driver.AppendResult{}, fail(err))
		return
	}
	unknown := &driver.UnknownOutcomeError{Err: err}
	for i, p := range w.req.Parts {
		if len(p.Records) > 0 {
			unknown.Parts = append(unknown.Parts, driver.UnknownPart{Stream: p.Stream, Base: w.bases[i].version})
		}
	}
	w.decide(driver.AppendResult{}, unknown)
}

// again says how often what passes by itself is waited for within one call.
const again = 3

// mostRounds bounds how often a write is refused and made again because what is
// there is not in its way any more, or has moved on.
const mostRounds = 1000

// write writes requests with one statement, if they all are as expected, and the
// others of them with further ones if some are not.
func (s *Store) write(ctx context.Context, ws []*written) {
	try := s.writing(ctx)
	defer try.end()
	for rounds := 1; ; rounds++ {
		ws = slices.DeleteFunc(slices.Clone(ws), func(w *written) bool { return w.done })
		if len(ws) == 0 {
			return
		}
		err := s.withSession(try.ctx, func(ses *session) error { return s.attempt(try.ctx, try.sending, ses, ws) })
		if err == nil && rounds < mostRounds {
			continue
		}
		if err == nil {
			err = driver.Transient(errors.New("es: mysql: others were faster each time"))
		}
		maybe := slices.ContainsFunc(ws, func(w *written) bool { return !w.done && w.sent })
		if try.again(maybe, err) {
			continue
		}
		if !maybe {
			err = endedBy(ctx, err)
		}
		if ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded) {
			err = driver.Transient(err) // the time to settle others has ended, and no context of the caller's
		}
		for _, w := range ws {
			w.fail(err)
		}
		return
	}
}

// endedBy returns the error of a context that has ended, if that broke the
// connection of a statement that writes nothing.
func endedBy(ctx context.Context, err error) error {
	if ended := endOf(ctx); ended != nil && (lost(err) || unsent(err)) {
		return ended
	}
	return err
}

// pause waits for a moment, which grows.
func pause(ctx context.Context, tries int) error {
	if tries == 1 {
		return ctx.Err()
	}
	t := time.NewTimer(time.Duration(tries)*time.Millisecond + rand.N(10*time.Millisecond))
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// attempt sends requests once. It returns an error if it did not get so far that
// each is decided, or to be sent again.
func (s *Store) attempt(ctx, sending context.Context, ses *session, ws []*written) error {
	release, err := s.line(ctx, sending, ses, ws)
	if err != nil {
		return err
	}
	defer release()
	if s.guess(ses, ws); slices.ContainsFunc(ws, func(w *written) bool { return w.look }) {
		if err := s.lookAt(ctx, ses, ws); err != nil {
			return err
		}
		if ws = slices.DeleteFunc(slices.Clone(ws), func(w *written) bool { return w.done }); len(ws) == 0 {
			return nil
		}
	}
	if err := endOf(ctx); err != nil {
		return err
	}
	err = s.insert(sending, ses, ws)
	if n := serverError(err); n != errDuplicate && n != errNotNull {
		if lost(err) {
			for _, w := range ws {
				w.sent = true
			}
		}
		return err
	}
	for _, w := range ws {
		w.look = true
		for _, p := range w.req.Parts {
			s.heads.forget(p.Stream)
		}
	}
	return s.lookAt(ctx, ses, ws)
}

// guess gives parts that expect Any or Exists the last version that the store has
// seen, and marks the requests that have to look at the database first.
func (s *Store) guess(ses *session, ws []*written) {
	var next map[string]driver.Version // of streams that an earlier one appends to
	several := len(ws) > 1
	for _, w := range ws {
		several = several || len(w.req.Parts) > 1
	}
	for _, w := range ws {
		if w.look {
			continue
		}
		for i, p := range w.req.Parts {
			b := &w.bases[i]
			if b.taken {
				k, ok := s.heads.get(p.Stream)
				switch {
				case ok && k.head > b.version && ses.tx == nil:
					w.look = true // no number is lost by a statement that would be refused
				case several && b.version > 0 && (!ok || k.head < b.version) && len(p.Records) > 0:
					// The statement takes all its numbers with the first row. The
					// event before this one has to have had its own by then.
					w.look = true
				}
				continue
			}
			head, ok := next[p.Stream]
			if !ok && ses.tx == nil {
				var k known
				if k, ok = s.heads.get(p.Stream); ok {
					head = k.head
				}
			}
			if !ok || len(p.Records) == 0 {
				w.look = true
				continue
			}
			*b = base{head, true}
			if len(ws) > 1 {
				if next == nil {
					next = make(map[string]driver.Version)
				}
				next[p.Stream] = head + driver.Version(len(p.Records))
			}
		}
	}
}

// lookAt decides requests by what is there, or gives them the versions at which
// they are to be sent.
func (s *Store) lookAt(ctx context.Context, ses *session, ws []*written) error {
	var streams []string
	for _, w := range ws {
		for _, p := range w.req.Parts {
			streams = append(streams, p.Stream)
		}
	}
	slices.Sort(streams)
	states, err := s.states(ctx, ses, slices.Compact(streams))
	if err != nil {
		return err
	}
	moved := map[string]bool{} // an earlier request will append
	var open error
	for _, w := range ws {
		w.look = false
		now := make([]driver.StreamState, len(w.req.Parts))
		was := slices.Clone(w.bases)
		for i, p := range w.req.Parts {
			if err := states[p.Stream].err; err != nil {
				w.fail(err)
			}
			now[i] = states[p.Stream].StreamState
			if moved[p.Stream] && p.Expected < 0 {
				w.bases[i].taken = false
			}
		}
		if w.done {
			continue
		}
		if !w.sent {
			w.rebase() // they recognise nothing
		}
		req := w.exact()
		found := func(part int) (driver.Position, bool, error) { return s.found(ctx, ses, &req.Parts[part]) }
		write, result, err := driver.Decide(req, now, found)
		early := w.sent && errors.Is(err, driver.ErrConflict) && driver.MayHold(req, now)
		if errors.Is(err, driver.ErrConflict) && !early && w.rebase() {
			w.sent = false // at its base there is another one now
			req = w.exact()
			write, result, err = driver.Decide(req, now, found)
		}
		switch {
		case early:
			// What was sent before may arrive when the stream has grown.
			open = fmt.Errorf("es: mysql: the answer was lost, and a stream has not reached the version that was expected: %v", err)
		case errors.Is(err, driver.ErrCorrupt):
			w.fail(err)
		case err != nil && !isOurs(err):
			return err
		case !write:
			if err := s.flushed(ctx, ses); err != nil { // what is there may not be durable yet
				return err
			}
			w.decide(result, err)
		default:
			for i, p := range w.req.Parts {
				w.bases[i] = base{now[i].Head, true}
				if n := len(p.Records); n > 0 {
					if was[i].taken && was[i].version != now[i].Head && !moved[p.Stream] {
						s.crowds.note(p.Stream)
					}
					st := states[p.Stream]
					st.Head += driver.Version(n)
					states[p.Stream] = st
					moved[p.Stream] = true
				}
			}
		}
	}
	return open
}

// place is a part that is to be inserted.
type place struct {
	w    *written
	part int
}

func (p place) of() *driver.Part { return &p.w.req.Parts[p.part] }

// insert sends requests whose parts all have bases, and sets their results. The
// rows are in the order of their streams: two statements that wait for each other
// would be a deadlock.
func (s *Store) insert(ctx context.Context, ses *session, ws []*written) error {
	var places []place
	guards := 0
	size := 0
	for _, w := range ws {
		for i := range w.req.Parts {
			places = append(places, place{w, i})
			records := w.req.Parts[i].Records
			if len(records) == 0 {
				guards++
			}
			for j := range records {
				size += 2*driver.Size(&records[j]) + 2*len(w.req.Parts[i].Stream) + 100
			}
		}
	}
	if len(places) > 1 {
		slices.SortStableFunc(places, func(a, b place) int { return strings.Compare(a.of().Stream, b.of().Stream) })
	}
	firstPosition, sent, err := s.insertAlone(ctx, ses, places)
	if !sent {
		firstPosition, err = s.insertText(ctx, ses, places, guards, size)
	}
	if err != nil {
		return err
	}
	at := driver.Position(firstPosition)
	for _, w := range ws {
		w.decide(driver.AppendResult{Parts: make([]driver.Appended, len(w.req.Parts))}, nil)
	}
	for _, p := range places {
		part, base := p.of(), p.w.bases[p.part].version
		n := len(part.Records)
		if n == 0 {
			at++
			continue
		}
		last := base + driver.Version(n)
		p.w.out.Result.Parts[p.part] = driver.Appended{First: base + 1, Last: last, Position: at + driver.Position(n) - 1}
		at += driver.Position(n)
		s.heads.put(part.Stream, last, ses)
	}
	if ses.tx == nil {
		s.hub.Wake()
	}
	return nil
}

// aloneBytes is the size of the largest event that is sent to a prepared statement.
const aloneBytes = 64 << 10

// insertAlone inserts a single event by a prepared statement, if there is nothing else
// and the event before it need not be looked at. It reports whether it did.
func (s *Store) insertAlone(ctx context.Context, ses *session, places []place) (at int64, sent bool, err error) {
	part, base := places[0].of(), places[0].w.bases[places[0].part].version
	if len(places) > 1 || len(part.Records) != 1 || driver.Size(&part.Records[0]) > aloneBytes || !s.heads.fact(part.Stream, base, ses) {
		return 0, false, nil
	}
	r := &part.Records[0]
	res, err := s.do(ctx, ses, insertOne, part.Stream, int64(base)+1, r.ID[:], r.Type, r.Encoding, driver.Micros(r.Time),
		int64(len(r.Data)+len(r.Metadata)), strings.Join(r.Tags, "\x00"), notNil(r.Metadata), notNil(r.Data))
	if err == nil {
		at, err = res.LastInsertId()
	}
	return at, true, err
}

// notNil keeps empty bytes from being NULL.
func notNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// insertText inserts all with one statement, and returns the position of its first row.
func (s *Store) insertText(ctx context.Context, ses *session, places []place, guards, size int) (at int64, err error) {
	t := make(text, 0, size+1024)
	s.insertInto(&t)
	before := ""
	for i, p := range places {
		part, base := p.of(), p.w.bases[p.part].version
		if i > 0 {
			t = append(t, ',')
		}
		checked := part.Stream == before || s.heads.fact(part.Stream, base, ses)
		before = part.Stream
		if len(part.Records) == 0 {
			s.row(&t, kindGuard, part.Stream, base, checked, &driver.Record{ID: driver.ID{1}})
		}
		for j := range part.Records {
			if j > 0 {
				t = append(t, ',')
			}
			s.row(&t, kindEvent, part.Stream, base+driver.Version(j), checked || j > 0, &part.Records[j])
		}
	}
	if guards > 0 {
		return s.insertGuarded(ctx, ses, t, places)
	}
	res, err := ses.exec(ctx, string(t))
	if err != nil {
		return 0, err
	}
	return res.LastInsertId()
}

// rollbackTime is how long the answer to a ROLLBACK is waited for.
const rollbackTime = time.Second

// insertGuarded sends a statement with guards: rows that hold the versions after
// those that are only checked, so that nobody else can write them until the
// commit. They are gone then.
func (s *Store) insertGuarded(ctx context.Context, ses *session, t text, places []place) (at int64, err error) {
	if ses.tx == nil {
		if _, err := ses.exec(ctx, "START TRANSACTION"); err != nil {
			if lost(err) {
				err = &unsentError{err}
			}
			return 0, err
		}
		defer func() {
			if err == nil {
				if _, err = ses.exec(ctx, "COMMIT"); err == nil {
					return
				}
				if !lost(err) {
					err = &lostError{err}
				}
				ses.drop = true
				return
			}
			rolling, cancel := context.WithTimeout(context.WithoutCancel(ctx), rollbackTime)
			defer cancel()
			if _, failed := ses.exec(rolling, "ROLLBACK"); failed != nil {
				ses.drop = true // and the server rolls back when it notices
			}
			if lost(err) { // it was never committed
				err = &unsentError{err}
			}
		}()
	}
	res, err := ses.exec(ctx, string(t))
	if err != nil {
		return 0, err
	}
	if at, err = res.LastInsertId(); err != nil {
		return 0, err
	}
	remove := text("DELETE FROM " + s.events + " WHERE position IN (")
	next, sep, guards := at, "", int64(0)
	for _, p := range places {
		n := len(p.of().Records)
		if n == 0 {
			remove.add(sep, next)
			sep = ","
			guards++
		}
		next += int64(max(n, 1))
	}
	remove.add(") AND kind=", kindGuard)
	if res, err = ses.exec(ctx, string(remove)); err != nil {
		return 0, err
	}
	if n, err := res.RowsAffected(); err != nil || n != guards {
		return 0, fmt.Errorf("es: mysql: the events of an append did not get successive positions: is auto_increment_increment 1 on all connections of the pool? %w", cmp.Or(err, errGuards))
	}
	return at, nil
}

var errGuards = errors.New("the rows that only check a version are elsewhere")

func (s *Store) insertInto(t *text) {
	t.add("INSERT INTO ", s.events, " (kind,stream,version,id,type,encoding,time,size,tags,metadata,data) VALUES ")
}

// row writes the row after version base of a stream. Unless that was checked
// before, the statement fails if there is no event with it, or one that closed the
// stream: the version is NULL then.
func (s *Store) row(t *text, kind int, stream string, base driver.Version, checked bool, r *driver.Record) {
	*t = append(*t, '(')
	t.int(int64(kind))
	*t = append(*t, ',')
	t.str(stream)
	*t = append(*t, ',')
	if checked || base == 0 {
		t.int(int64(base) + 1)
	} else {
		// LIMIT keeps the server from reading the table that it writes to as one
		// with it, which MySQL refuses.
		t.add("(SELECT v FROM (SELECT version+1 v FROM ", s.events, " WHERE stream=", name(stream), " AND version=", int64(base), " AND kind=0 LIMIT 1) t)")
	}
	*t = append(*t, ',')
	t.bytes(r.ID[:])
	*t = append(*t, ',')
	t.str(r.Type)
	*t = append(*t, ',')
	t.str(r.Encoding)
	*t = append(*t, ',')
	t.int(driver.Micros(r.Time))
	*t = append(*t, ',')
	t.int(int64(len(r.Data) + len(r.Metadata)))
	*t = append(*t, ',')
	t.str(strings.Join(r.Tags, "\x00"))
	*t = append(*t, ',')
	t.bytes(r.Metadata)
	*t = append(*t, ',')
	t.bytes(r.Data)
	*t = append(*t, ')')
}
