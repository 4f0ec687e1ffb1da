package conformance

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-es/es/driver"
)

// A toy is a store in memory that keeps the contract in ways that no database
// here does, as its settings say. The suite has to pass on it. Mutants are toys
// with one fault.
type toy struct {
	caps  driver.Caps
	step  int           // positions rise by 1 to step
	late  bool          // positions come when the feed is read
	page  int           // the most that a page has; 0: no limit
	idle  bool          // every other page of the feed is empty where it can be
	slow  time.Duration // before each call does something, and after
	flaky bool          // some calls fail with a transient error
	lag   time.Duration // of listings

	singly  bool // late positions come one event at a time, of streams in any order
	based   bool // Any and Exists take a base and then append there
	older   bool // conflicts name a version before the last
	blind   bool // reading streams tells no positions
	forgets bool // a purge erases ids
	coy     bool // a page with records is no End where it need not be
	equal   bool // of two snapshots of one version the second stays
	strict  bool // there are no snapshots of streams that do not exist
	unsure  bool // listings know no versions

	patience time.Duration // the feed waits that long for what is being written; 0: as long as it takes

	naive  bool // the feed passes what is still being written
	stuck  bool // the feed waits for what was rolled back
	blocks bool // each client takes positions from a block of its own
	schema int  // the version that the driver knows
	mu     sync.Mutex
	data   map[string]*toyData
}

type toyData struct {
	toy *toy

	mu          sync.Mutex
	last        driver.Position // the last one that was taken
	log         []*toyRow       // what has a position and is committed, by position
	streams     map[string]*toyStream
	open        []*toyTx // appends that are held open
	checkpoints map[string]driver.Checkpoint
	snapshots   map[[2]string]driver.Snapshot
	listeners   map[chan struct{}]bool
	reads       int
	schema      int
	corrupt     map[string]bool // streams that were damaged
	born        map[string]time.Time
	dead        bool
	deaths      int
	gasps       int // appends that a dying database still does; nobody hears of them
}

type toyRow struct {
	rec    driver.Record
	purged bool
}

type toyStream struct {
	rows           []*toyRow
	closed, purged bool
	holder         *toyTx
}

type toyTx struct {
	began     time.Time
	stream    string
	positions []driver.Position
}

func (st *toyStream) head() driver.Version {
	if st == nil {
		return 0
	}
	return driver.Version(len(st.rows))
}

func newToy() *toy {
	return &toy{
		caps: driver.Caps{MaxEventBytes: 64 << 10, MaxAppendEvents: 100, MaxAppendBytes: 256 << 10, MaxStreams: 10, MaxSnapshotBytes: 64 << 10, PositionOnAppend: true, Gapless: true, FilterFeed: true},
		data: map[string]*toyData{}, schema: 1,
	}
}

func (d *toyData) clone() *toyData {
	c := &toyData{toy: d.toy, last: d.last, streams: map[string]*toyStream{}, checkpoints: maps.Clone(d.checkpoints), snapshots: maps.Clone(d.snapshots), listeners: map[chan struct{}]bool{}, schema: d.schema, corrupt: map[string]bool{}, born: maps.Clone(d.born)}
	rows := map[*toyRow]*toyRow{}
	for name, st := range d.streams {
		n := &toyStream{closed: st.closed, purged: st.purged}
		for _, r := range st.rows {
			row := *r
			rows[r] = &row
			n.rows = append(n.rows, &row)
		}
		c.streams[name] = n
	}
	for _, r := range d.log {
		c.log = append(c.log, rows[r])
	}
	return c
}

// of returns the data of a name, and makes it if there is none.
func (y *toy) of(dsn string) *toyData {
	y.mu.Lock()
	defer y.mu.Unlock()
	d := y.data[dsn]
	if d == nil {
		d = &toyData{toy: y, streams: map[string]*toyStream{}, checkpoints: map[string]driver.Checkpoint{}, snapshots: map[[2]string]driver.Snapshot{}, listeners: map[chan struct{}]bool{}, schema: y.schema, corrupt: map[string]bool{}, born: map[string]time.Time{}}
		y.data[dsn] = d
	}
	return d
}

func (y *toy) Open(ctx context.Context, dsn string) (*toyStore, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if strings.Contains(dsn, "?") {
		return nil, fmt.Errorf("es: toy: %q has parameters, and there are none", dsn)
	}
	d := y.of(dsn)
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.schema > y.schema {
		return nil, &driver.SchemaError{Found: d.schema, Known: y.schema}
	}
	return &toyStore{toy: y, d: d, done: make(chan struct{})}, nil
}

// config returns what the suite needs of a toy.
func (y *toy) config(bound time.Duration) Config {
	return Config{
		Open: func(ctx context.Context, dsn string) (driver.Store, error) {
			s, err := y.Open(ctx, dsn)
			if err != nil {
				return nil, err
			}
			return y.dress(s), nil
		},
		DSN:       func(TB) string { return driver.NewID(time.Now()).String() },
		Beside:    func(TB, string) string { return driver.NewID(time.Now()).String() },
		Caps:      y.caps,
		FeedBound: bound,
		Hold:      y.hold,
		InTx:      y.inTx,
		Restore: func(_ TB, dsn string) func() {
			d := y.of(dsn)
			old := d.clone()
			return func() {
				y.mu.Lock()
				defer y.mu.Unlock()
				y.data[dsn] = old
			}
		},
		Crash: func(TB) (string, func(), func()) {
			dsn := driver.NewID(time.Now()).String()
			kill := func() {
				d := y.of(dsn)
				d.mu.Lock()
				defer d.mu.Unlock()
				d.dead, d.gasps = true, 3
				d.deaths++
			}
			revive := func() {
				d := y.of(dsn)
				d.mu.Lock()
				defer d.mu.Unlock()
				d.dead = false
			}
			return dsn, kill, revive
		},
		Malformed: []string{"a?b"},
		Newer: func(_ TB, dsn string) func() {
			d := y.of(dsn)
			d.schema++
			return func() { d.schema-- }
		},
		Corrupt: []func(TB, string, string){func(_ TB, dsn, stream string) { y.of(dsn).corrupt[stream] = true }},
		Fault: func(tb TB, dsn string) Faulty {
			s, err := y.Open(context.Background(), dsn)
			if err != nil {
				tb.Fatalf("Open: %v", err)
			}
			return Faulty{Store: y.dress(s), Break: s.breakNext, BreakAt: s.breakAt, Late: s.holdAt, Down: s.goDown}
		},
	}
}

func (d *toyData) isDead() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.dead
}

// crashes is how often the database was killed.
func (d *toyData) crashes() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.deaths
}

// dress hides what the toy's settings say it cannot do.
func (y *toy) dress(s *toyStore) driver.Store {
	if y.late {
		return struct {
			*toyStore
			driver.Settler
		}{s, toySettler{s}}
	}
	return s
}

type toySettler struct{ s *toyStore }

func (t toySettler) Settled(ctx context.Context, stream string) (driver.Version, error) {
	s := t.s
	if err := s.check(ctx); err != nil {
		return 0, err
	}
	s.d.mu.Lock()
	defer s.d.mu.Unlock()
	v := driver.Version(0)
	if st := s.d.streams[stream]; st != nil {
		for _, r := range st.rows {
			if r.rec.Position == 0 {
				break
			}
			v = r.rec.Version
		}
	}
	return v, nil
}

// toyStore is a client.
type toyStore struct {
	toy *toy
	d   *toyData

	mu       sync.Mutex
	closed   bool
	done     chan struct{}
	broken   toyFault
	armed    int           // the n-th request that writes is held back; 0: none
	held     func()        // it arrives
	down     chan struct{} // closed when the database is up again
	from, to driver.Position
}

func (s *toyStore) check(ctx context.Context) error {
	s.mu.Lock()
	closed, down := s.closed, s.down
	s.mu.Unlock()
	if closed {
		return driver.ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if down != nil {
		select {
		case <-down:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if s.toy.slow > 0 {
		time.Sleep(s.toy.slow)
	}
	s.d.mu.Lock()
	dead := s.d.dead && s.d.gasps == 0
	s.d.mu.Unlock()
	if dead {
		return driver.Transient(errLost)
	}
	return ctx.Err()
}

var errLost = errors.New("connection lost")

// toyFault is a request that breaks.
type toyFault struct {
	n      int  // 1: the next one; 0: none
	writes bool // only those that write count
	reply  bool
	broke  int // how often it has
}

// fault says what breaks at this request.
func (s *toyStore) fault(write bool) (lost, reply bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := &s.broken
	if f.n == 0 || f.writes && !write {
		return false, false
	}
	if f.n--; f.n > 0 {
		return false, false
	}
	f.broke++
	return true, f.reply
}

// begin is check, and a request that only reads.
func (s *toyStore) begin(ctx context.Context) error {
	if err := s.check(ctx); err != nil {
		return err
	}
	return s.asks()
}

// asks is a request that only reads.
func (s *toyStore) asks() error {
	if lost, _ := s.fault(false); lost {
		return driver.Transient(errLost)
	}
	return nil
}

func (s *toyStore) breakNext(reply bool) (broke func() bool) { return s.breaks(1, true, reply) }

func (s *toyStore) breakAt(n int, reply bool) (broke func() bool) { return s.breaks(n, false, reply) }

func (s *toyStore) breaks(n int, writes, reply bool) (broke func() bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.broken.broke
	s.broken.n, s.broken.writes, s.broken.reply = n, writes, reply
	return func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.broken.n = 0
		return s.broken.broke > before
	}
}

// holdAt holds the n-th request that writes back until it is delivered. The store sends
// it again at once.
func (s *toyStore) holdAt(n int) (deliver func() bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.armed, s.held = n, nil
	return func() bool {
		s.mu.Lock()
		arrives := s.held
		s.armed, s.held = 0, nil
		s.mu.Unlock()
		if arrives == nil {
			return false
		}
		arrives()
		return true
	}
}

// sends sends a request that writes, which is held back if that was asked for.
func (s *toyStore) sends(request func()) (held bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.armed == 0 {
		return false
	}
	if s.armed--; s.armed > 0 {
		return false
	}
	s.held = request
	return true
}

// instead lets another request arrive than the one that is held back, if there is one.
func (s *toyStore) instead(request func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.held != nil {
		s.held = request
	}
}

func (s *toyStore) isHeld() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.held != nil
}

// appendLate appends with the first request held back: what is sent again, at the same
// bases, decides, unless it is refused and may hold yet.
func (s *toyStore) appendLate(ctx context.Context, req driver.AppendRequest) (driver.AppendResult, error, bool) {
	again := cloneRequest(req)
	states := make([]driver.StreamState, len(req.Parts))
	unknown := &driver.UnknownOutcomeError{Err: errLost}
	for i, p := range req.Parts {
		states[i].Head, states[i].Closed = headOf(s, p.Stream)
		if len(p.Records) == 0 {
			continue
		}
		if p.Expected < 0 && p.Expected.Holds(states[i].Head) {
			again.Parts[i].Expected = driver.Exactly(states[i].Head)
		}
		v, _ := again.Parts[i].Expected.Exact()
		unknown.Parts = append(unknown.Parts, driver.UnknownPart{Stream: p.Stream, Base: v})
	}
	if !s.sends(func() { s.apply(context.Background(), again) }) {
		return driver.AppendResult{}, nil, false
	}
	res, err := s.apply(ctx, again)
	if errors.Is(err, driver.ErrConflict) && driver.MayHold(again, states) {
		return driver.AppendResult{}, unknown, true
	}
	return res, err, true
}

func (s *toyStore) goDown() (up func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	down := make(chan struct{})
	s.down = down
	return func() {
		s.mu.Lock()
		s.down = nil
		s.mu.Unlock()
		close(down)
		time.Sleep(5 * time.Millisecond) // what was sent late arrives
	}
}

func (s *toyStore) Caps() driver.Caps              { return s.toy.caps }
func (s *toyStore) Ping(ctx context.Context) error { return s.check(ctx) }

func (s *toyStore) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.closed = true
		close(s.done)
	}
	return nil
}

func (s *toyStore) Append(ctx context.Context, req driver.AppendRequest) (driver.AppendResult, error) {
	if res, err, sent := s.sendLate(ctx, req); sent {
		return res, err
	}
	if err := s.check(ctx); err != nil {
		return driver.AppendResult{}, err
	}
	if s.toy.flaky && rand.IntN(4) == 0 {
		return driver.AppendResult{}, driver.Transient(errors.New("busy"))
	}
	if slices.ContainsFunc(req.Parts, func(p driver.Part) bool { return p.Expected < 0 }) { // it asks for a base
		if err := s.asks(); err != nil {
			return driver.AppendResult{}, err
		}
	}
	if res, err, held := s.appendLate(ctx, req); held {
		return res, err
	}
	lost, reply := s.fault(true)
	if lost && !reply {
		return driver.AppendResult{}, driver.Transient(errLost)
	}
	res, err := s.apply(ctx, req)
	if lost && err == nil { // the reply is lost: settle it at its base
		again := cloneRequest(req)
		for i, a := range res.Parts {
			if a.First > 0 {
				again.Parts[i].Expected = driver.Exactly(a.First - 1)
			}
		}
		return s.apply(ctx, again)
	}
	return res, err
}

// sendLate sends an exact append while the database is cut off: it arrives when
// that is over.
func (s *toyStore) sendLate(ctx context.Context, req driver.AppendRequest) (driver.AppendResult, error, bool) {
	s.mu.Lock()
	down := s.down
	s.mu.Unlock()
	v, exact := req.Parts[0].Expected.Exact()
	if down == nil || !exact || len(req.Parts) > 1 || ctx.Err() != nil {
		return driver.AppendResult{}, nil, false
	}
	<-ctx.Done()
	late := cloneRequest(req)
	go func() {
		<-down
		s.apply(context.Background(), late)
	}()
	return driver.AppendResult{}, &driver.UnknownOutcomeError{Parts: []driver.UnknownPart{{Stream: req.Parts[0].Stream, Base: v}}, Err: ctx.Err()}, true
}

// apply appends, where Any and Exists take a base first as often as it takes.
func (s *toyStore) apply(ctx context.Context, req driver.AppendRequest) (driver.AppendResult, error) {
	for s.toy.based {
		based := cloneRequest(req)
		var taken bool
		for i, p := range based.Parts {
			head, closed := headOf(s, p.Stream)
			if p.Expected < 0 && !closed && len(p.Records) > 0 && (p.Expected == driver.Any || head > 0) {
				based.Parts[i].Expected, taken = driver.Exactly(head), true
			}
		}
		if !taken {
			break
		}
		time.Sleep(100 * time.Microsecond)
		res, err := s.settle(ctx, based)
		c, conflict := errors.AsType[*driver.ConflictError](err)
		if !conflict {
			return res, err
		}
		i := slices.IndexFunc(req.Parts, func(p driver.Part) bool { return p.Stream == c.Stream })
		if req.Parts[i].Expected == based.Parts[i].Expected { // it is not for the base
			return res, err
		}
	}
	return s.settle(ctx, req)
}

// settle waits for the streams of a request and appends.
func (s *toyStore) settle(ctx context.Context, req driver.AppendRequest) (driver.AppendResult, error) {
	d := s.d
	var streams []string
	for _, p := range req.Parts {
		streams = append(streams, p.Stream)
	}
	if err := d.free(ctx, nil, streams); err != nil {
		return driver.AppendResult{}, err
	}
	defer d.mu.Unlock()
	if !d.dead {
		return s.write(req)
	}
	if d.gasps == 0 {
		return driver.AppendResult{}, driver.Transient(errLost)
	}
	d.gasps--
	res, err := s.write(req)
	if err != nil {
		return res, err
	}
	unknown := &driver.UnknownOutcomeError{Err: errLost}
	for i, a := range res.Parts {
		if a.First > 0 {
			unknown.Parts = append(unknown.Parts, driver.UnknownPart{Stream: req.Parts[i].Stream, Base: a.First - 1})
		}
	}
	return driver.AppendResult{}, unknown
}

func (s *toyStore) write(req driver.AppendRequest) (driver.AppendResult, error) {
	d := s.d
	states := make([]driver.StreamState, len(req.Parts))
	for i, p := range req.Parts {
		if st := d.streams[p.Stream]; st != nil {
			states[i] = driver.StreamState{Head: st.head(), Closed: st.closed}
		}
	}
	ok, res, err := driver.Decide(req, states, func(i int) (driver.Position, bool, error) {
		p := req.Parts[i]
		base, _ := p.Expected.Exact()
		rows := d.streams[p.Stream].rows[base:]
		for j := range p.Records {
			if rows[j].rec.ID != p.Records[j].ID {
				return 0, false, nil
			}
		}
		return rows[len(p.Records)-1].rec.Position, true, nil
	})
	if c, conflict := errors.AsType[*driver.ConflictError](err); conflict && s.toy.older {
		if v, exact := c.Expected.Exact(); exact && v+1 < c.Actual {
			c.Actual = v + 1
		}
	}
	if !ok {
		return res, err
	}
	res.Parts = make([]driver.Appended, len(req.Parts))
	for i, p := range req.Parts {
		for _, r := range p.Records {
			row := d.add(p.Stream, r)
			if !s.toy.late {
				d.place(row, s.take())
			}
			if a := &res.Parts[i]; true {
				if a.First == 0 {
					a.First = row.rec.Version
				}
				a.Last, a.Position = row.rec.Version, row.rec.Position
			}
		}
	}
	d.wake()
	return res, nil
}

// add appends a row to a stream.
func (d *toyData) add(stream string, r driver.Record) *toyRow {
	st := d.stream(stream)
	if len(st.rows) == 0 {
		d.born[stream] = time.Now()
	}
	r = clone(r)
	r.Stream, r.Version, r.Position = stream, st.head()+1, 0
	r.Time = driver.FromMicros(driver.Micros(r.Time))
	row := &toyRow{rec: r}
	st.rows = append(st.rows, row)
	return row
}

func (d *toyData) stream(name string) *toyStream {
	st := d.streams[name]
	if st == nil {
		st = &toyStream{}
		d.streams[name] = st
	}
	return st
}

// take returns the next position.
func (s *toyStore) take() driver.Position {
	d := s.d
	if s.toy.blocks {
		if s.from == s.to {
			s.from, s.to = d.last, d.last+50
			d.last = s.to
		}
		s.from++
		return s.from
	}
	d.last++
	if s.toy.step > 1 {
		d.last += driver.Position(rand.IntN(s.toy.step))
	}
	return d.last
}

// place puts a row into the log.
func (d *toyData) place(row *toyRow, p driver.Position) {
	row.rec.Position = p
	i, _ := d.find(p)
	d.log = slices.Insert(d.log, i, row)
}

func (d *toyData) wake() {
	for c := range d.listeners {
		select {
		case c <- struct{}{}:
		default:
		}
	}
}

// hold is Config.Hold.
func (y *toy) hold(tb TB, dsn string, req driver.AppendRequest) (commit, rollback func() error) {
	d := y.of(dsn)
	s := &toyStore{toy: y, d: d, done: make(chan struct{})}
	d.mu.Lock()
	defer d.mu.Unlock()
	p := req.Parts[0]
	st := d.stream(p.Stream)
	if v, _ := p.Expected.Exact(); v != st.head() || st.holder != nil {
		tb.Fatalf("a held append does not fit")
	}
	tx := &toyTx{stream: p.Stream, began: time.Now()}
	for range p.Records {
		tx.positions = append(tx.positions, s.take())
	}
	st.holder = tx
	d.open = append(d.open, tx)
	end := func(commit bool) error {
		d.mu.Lock()
		defer d.mu.Unlock()
		st.holder = nil
		if commit || !y.stuck {
			d.open = slices.DeleteFunc(d.open, func(o *toyTx) bool { return o == tx })
		}
		if commit {
			for i, r := range p.Records {
				d.place(d.add(p.Stream, r), tx.positions[i])
			}
			d.wake()
		}
		return nil
	}
	return func() error { return end(true) }, func() error { return end(false) }
}

func (s *toyStore) AppendGroup(ctx context.Context, reqs []driver.AppendRequest) []driver.Outcome {
	outs := make([]driver.Outcome, len(reqs))
	for i, req := range reqs {
		outs[i].Result, outs[i].Err = s.Append(ctx, req)
	}
	return outs
}

func (s *toyStore) limit(n int) int {
	if s.toy.page > 0 && (n == 0 || n > s.toy.page) {
		return s.toy.page
	}
	if n == 0 {
		return math.MaxInt
	}
	return n
}

func (s *toyStore) ReadStream(ctx context.Context, q driver.StreamQuery) (driver.StreamPage, error) {
	if err := s.begin(ctx); err != nil {
		return driver.StreamPage{}, err
	}
	d := s.d
	d.mu.Lock()
	defer d.mu.Unlock()
	st := d.streams[q.Stream]
	switch {
	case st.head() == 0:
		return driver.StreamPage{}, &driver.StreamError{Stream: q.Stream, Err: driver.ErrStreamNotFound}
	case d.corrupt[q.Stream]:
		return driver.StreamPage{}, fmt.Errorf("%w: stream %q", driver.ErrCorrupt, q.Stream)
	case st.closed && !q.Deleted:
		return driver.StreamPage{}, &driver.StreamError{Stream: q.Stream, Err: driver.ErrStreamDeleted}
	}
	page := driver.StreamPage{Head: st.head(), End: true}
	rows := slices.Clone(st.rows)
	if q.Backward {
		slices.Reverse(rows)
	}
	for _, r := range rows {
		v := r.rec.Version
		if r.purged || !q.Backward && v < q.From || q.Backward && q.From > 0 && v > q.From {
			continue
		}
		if len(page.Records) == s.limit(q.Limit) {
			page.End = false
			break
		}
		rec := clone(r.rec)
		if s.toy.blind {
			rec.Position = 0
		}
		page.Records = append(page.Records, rec)
	}
	if s.toy.coy && !q.Backward && len(page.Records) > 0 {
		page.End = false
	}
	return page, nil
}

func (s *toyStore) ReadAll(ctx context.Context, q driver.FeedQuery) (driver.FeedPage, error) {
	if err := s.begin(ctx); err != nil {
		return driver.FeedPage{}, err
	}
	d := s.d
	d.mu.Lock()
	defer d.mu.Unlock()
	if q.After > d.head() {
		return driver.FeedPage{}, fmt.Errorf("%w: after %d", driver.ErrCheckpointAhead, q.After)
	}
	if i, ok := d.find(q.Seen.Position); q.Seen.Position > 0 && (!ok || d.log[i].rec.ID != q.Seen.ID && !(s.toy.forgets && d.log[i].purged)) {
		return driver.FeedPage{}, fmt.Errorf("%w: seen at %d", driver.ErrCheckpointAhead, q.Seen.Position)
	}
	if s.toy.late && q.After == d.head() {
		d.sequence()
	}
	horizon := driver.Position(math.MaxUint64)
	if !s.toy.naive {
		for _, tx := range d.open {
			if w := s.toy.patience; w == 0 || time.Since(tx.began) < w {
				horizon = min(horizon, tx.positions[0])
			}
		}
	}
	page := driver.FeedPage{Next: q.After, End: true}
	i, _ := d.find(q.After + 1)
	if d.reads++; s.toy.idle && d.reads%2 == 0 && i < len(d.log) {
		page.End = false
		if p := min(d.log[i].rec.Position, horizon) - 1; p > q.After {
			page.Next = p
			page.Seen = d.seen(p)
		}
		return page, nil
	}
	for _, r := range d.log[i:] {
		if r.rec.Position > horizon || len(page.Records) == s.limit(q.Limit) {
			page.End = false
			break
		}
		if d.corrupt[r.rec.Stream] {
			return driver.FeedPage{}, fmt.Errorf("%w: position %d", driver.ErrCorrupt, r.rec.Position)
		}
		if page.Next = r.rec.Position; !r.purged && q.Filter.Match(&r.rec) {
			page.Records = append(page.Records, clone(r.rec))
		}
	}
	page.Seen = d.seen(page.Next)
	if s.toy.coy && page.Next > q.After {
		page.End = false
	}
	return page, nil
}

// find returns where the log has a position, or the next one.
func (d *toyData) find(p driver.Position) (int, bool) {
	return slices.BinarySearchFunc(d.log, p, func(r *toyRow, p driver.Position) int { return cmp.Compare(r.rec.Position, p) })
}

// seen is the last event at or below a position.
func (d *toyData) seen(p driver.Position) driver.Seen {
	i, _ := d.find(p + 1)
	for i > 0 && d.toy.forgets && d.log[i-1].purged {
		i--
	}
	if i == 0 {
		return driver.Seen{}
	}
	return driver.Seen{Position: d.log[i-1].rec.Position, ID: d.log[i-1].rec.ID}
}

// sequence gives positions to a few events, of streams in any order.
func (d *toyData) sequence() {
	names := slices.Collect(maps.Keys(d.streams))
	rand.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
	n := 0
	for _, name := range names {
		for _, r := range d.streams[name].rows {
			if r.rec.Position == 0 && (n < 7 && !d.toy.singly || n < 1) {
				d.last += driver.Position(1 + rand.IntN(max(d.toy.step, 1)))
				d.place(r, d.last)
				n++
			}
		}
	}
}

func (d *toyData) head() driver.Position {
	if len(d.log) == 0 {
		return 0
	}
	return d.log[len(d.log)-1].rec.Position
}

func (s *toyStore) Head(ctx context.Context) (driver.Position, error) {
	if err := s.begin(ctx); err != nil {
		return 0, err
	}
	s.d.mu.Lock()
	defer s.d.mu.Unlock()
	return s.d.head(), nil
}

func (s *toyStore) ListStreams(ctx context.Context, q driver.ListQuery) (driver.ListPage, error) {
	if err := s.begin(ctx); err != nil {
		return driver.ListPage{}, err
	}
	d := s.d
	d.mu.Lock()
	defer d.mu.Unlock()
	page := driver.ListPage{End: true}
	for _, name := range slices.Sorted(maps.Keys(d.streams)) {
		st := d.streams[name]
		if st.head() == 0 || name <= q.After || !strings.HasPrefix(name, q.Prefix) || s.toy.lag > 0 && time.Since(d.born[name]) < s.toy.lag {
			continue
		}
		if len(page.Streams) == s.limit(q.Limit) {
			page.End = false
			break
		}
		info := driver.StreamInfo{Stream: name, Version: st.head(), Closed: st.closed}
		if s.toy.lag > 0 || s.toy.unsure {
			info.Version = 0
		}
		page.Streams = append(page.Streams, info)
		page.Next = name
	}
	if s.toy.coy && len(page.Streams) > 0 {
		page.End = false
	}
	return page, nil
}

// Delete takes two requests for a purge: the record, and the rest.
func (s *toyStore) Delete(ctx context.Context, req driver.DeleteRequest) (driver.Appended, error) {
	if err := s.check(ctx); err != nil {
		return driver.Appended{}, err
	}
	lost, reply := s.fault(true)
	if lost && !reply {
		return driver.Appended{}, driver.Transient(errLost)
	}
	s.sends(func() { s.closes(req) })
	a, err := s.closes(req)
	if err != nil || req.Mode != driver.Purge {
		return a, err
	}
	if lost, reply := s.fault(true); lost {
		if reply {
			s.erase(req.Stream)
		}
		return driver.Appended{}, &driver.UnknownOutcomeError{Parts: []driver.UnknownPart{{Stream: req.Stream, Base: a.First - 1}}, Err: errLost}
	}
	s.erase(req.Stream)
	return a, nil
}

func (s *toyStore) closes(req driver.DeleteRequest) (driver.Appended, error) {
	d := s.d
	d.mu.Lock()
	defer d.mu.Unlock()
	st := d.streams[req.Stream]
	write, _, err := driver.DecideDelete(req, driver.StreamState{Head: st.head(), Closed: st != nil && st.closed}, func() (driver.ID, driver.Position, error) {
		last := st.rows[len(st.rows)-1].rec
		return last.ID, last.Position, nil
	})
	if err != nil {
		return driver.Appended{}, err
	}
	if write {
		row := d.add(req.Stream, req.Record)
		if !s.toy.late {
			d.place(row, s.take())
		}
		st.closed = true
		maps.DeleteFunc(d.snapshots, func(key [2]string, _ driver.Snapshot) bool { return key[0] == req.Stream })
		d.wake()
	}
	last := st.rows[len(st.rows)-1].rec
	return driver.Appended{First: last.Version, Last: last.Version, Position: last.Position}, nil
}

// erase purges a closed stream.
func (s *toyStore) erase(stream string) {
	d := s.d
	d.mu.Lock()
	defer d.mu.Unlock()
	st := d.streams[stream]
	st.purged = true
	for _, r := range st.rows[:len(st.rows)-1] {
		r.purged = true
	}
}

func (s *toyStore) LoadCheckpoint(ctx context.Context, name string) (driver.Checkpoint, error) {
	if err := s.begin(ctx); err != nil {
		return driver.Checkpoint{}, err
	}
	s.d.mu.Lock()
	defer s.d.mu.Unlock()
	return s.d.checkpoints[name], nil
}

func (s *toyStore) SaveCheckpoint(ctx context.Context, cp driver.Checkpoint, prev driver.Revision) error {
	if err := s.check(ctx); err != nil {
		return err
	}
	lost, reply := s.fault(true)
	if lost && !reply {
		return driver.Transient(errLost)
	}
	s.sends(func() { s.save(cp, prev) })
	err := s.save(cp, prev)
	if lost && err == nil {
		return &driver.UnknownOutcomeError{Err: errLost}
	}
	return err
}

func (s *toyStore) save(cp driver.Checkpoint, prev driver.Revision) error {
	d := s.d
	d.mu.Lock()
	defer d.mu.Unlock()
	if now := d.checkpoints[cp.Name].Revision; now == prev {
		d.checkpoints[cp.Name] = cp
	} else if now != cp.Revision {
		return driver.ErrCheckpointConflict
	}
	return nil
}

func (s *toyStore) ListCheckpoints(ctx context.Context, q driver.CheckpointQuery) (driver.CheckpointPage, error) {
	if err := s.begin(ctx); err != nil {
		return driver.CheckpointPage{}, err
	}
	s.d.mu.Lock()
	defer s.d.mu.Unlock()
	page := driver.CheckpointPage{End: true}
	for _, name := range slices.Sorted(maps.Keys(s.d.checkpoints)) {
		if name <= q.After {
			continue
		}
		if len(page.Checkpoints) == s.limit(q.Limit) {
			page.End = false
			break
		}
		page.Checkpoints = append(page.Checkpoints, s.d.checkpoints[name])
		page.Next = name
	}
	return page, nil
}

func (s *toyStore) DeleteCheckpoint(ctx context.Context, name string) error {
	if err := s.check(ctx); err != nil {
		return err
	}
	lost, reply := s.fault(true)
	if lost && !reply {
		return driver.Transient(errLost)
	}
	drop := func() {
		s.d.mu.Lock()
		defer s.d.mu.Unlock()
		delete(s.d.checkpoints, name)
	}
	s.sends(drop)
	drop()
	if lost {
		return &driver.UnknownOutcomeError{Err: errLost}
	}
	return nil
}

func (s *toyStore) LoadSnapshot(ctx context.Context, stream, kind string) (driver.Snapshot, error) {
	if err := s.begin(ctx); err != nil {
		return driver.Snapshot{}, err
	}
	s.d.mu.Lock()
	defer s.d.mu.Unlock()
	snap := s.d.snapshots[[2]string{stream, kind}]
	snap.Data = bytes.Clone(snap.Data)
	return snap, nil
}

func (s *toyStore) SaveSnapshot(ctx context.Context, snap driver.Snapshot) error {
	if err := s.check(ctx); err != nil {
		return err
	}
	lost, reply := s.fault(true)
	if lost && !reply {
		return driver.Transient(errLost)
	}
	snap.Data = bytes.Clone(snap.Data)
	s.sends(func() { s.keep(snap) })
	err := s.keep(snap)
	if lost && err == nil {
		return &driver.UnknownOutcomeError{Err: errLost}
	}
	return err
}

func (s *toyStore) keep(snap driver.Snapshot) error {
	d := s.d
	d.mu.Lock()
	defer d.mu.Unlock()
	if st := d.streams[snap.Stream]; st != nil && st.closed {
		return &driver.StreamError{Stream: snap.Stream, Err: driver.ErrStreamDeleted}
	}
	if s.toy.strict && d.streams[snap.Stream].head() == 0 {
		return &driver.StreamError{Stream: snap.Stream, Err: driver.ErrStreamNotFound}
	}
	key := [2]string{snap.Stream, snap.Kind}
	if old := d.snapshots[key].Version; snap.Version > old || snap.Version == old && s.toy.equal {
		d.snapshots[key] = snap
	}
	return nil
}

func (s *toyStore) DeleteSnapshot(ctx context.Context, stream, kind string) error {
	if err := s.check(ctx); err != nil {
		return err
	}
	lost, reply := s.fault(true)
	if lost && !reply {
		return driver.Transient(errLost)
	}
	drop := func() {
		s.d.mu.Lock()
		defer s.d.mu.Unlock()
		delete(s.d.snapshots, [2]string{stream, kind})
	}
	s.sends(drop)
	drop()
	if lost {
		return &driver.UnknownOutcomeError{Err: errLost}
	}
	return nil
}

func (s *toyStore) Listen(ctx context.Context, wake func()) error {
	if err := s.check(ctx); err != nil {
		return err
	}
	c := make(chan struct{}, 1)
	s.d.mu.Lock()
	s.d.listeners[c] = true
	s.d.mu.Unlock()
	defer func() {
		s.d.mu.Lock()
		defer s.d.mu.Unlock()
		delete(s.d.listeners, c)
	}()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-s.done:
			return driver.ErrClosed
		case <-c:
			wake()
		}
	}
}
