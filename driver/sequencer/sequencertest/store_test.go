package sequencertest

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/go-es/es/driver"
	"github.com/go-es/es/driver/sequencer"
)

// The items, by key:
//
//	s STREAM 0 hex(first version)   commit
//	l hex(first position)           sequencer.Batch
//	r STREAM                        register
//	c NAME                          driver.Checkpoint
//	p STREAM 0 KIND                 driver.Snapshot

// commit is what one append wrote.
type commit struct {
	stream      string
	first, last driver.Version
	records     []driver.Record // of a purged one only the ids count
	closes      bool            // last is the event that closes the stream
	purged      bool
	mark        bool // it has no position yet
}

func (c *commit) isMarked() bool { return c.mark }

// register is how far a stream has been sequenced. It is also its line in the
// listing of streams.
type register struct {
	stream  string
	version driver.Version
	closed  bool
}

// whole reports whether the commit is what was stored.
func (c *commit) whole() bool { return driver.Version(len(c.records)) == c.last-c.first+1 }

func commitKey(stream string, first driver.Version) string {
	return fmt.Sprintf("s%s\x00%016x", stream, uint64(first))
}

func batchKey(first driver.Position) string { return fmt.Sprintf("l%016x", uint64(first)) }

// Store is an open store.
type Store struct {
	db     *link
	seq    *sequencer.Sequencer
	closed atomic.Bool
}

var (
	_ driver.Store           = (*Store)(nil)
	_ driver.Settler         = (*Store)(nil)
	_ driver.CheckpointStore = (*Store)(nil)
	_ driver.SnapshotStore   = (*Store)(nil)
)

func newStore(db *database) *Store {
	l := &link{db: db}
	return &Store{db: l, seq: sequencer.New(&backend{l}, sequencer.Config{})}
}

// Caps claims no PositionOnAppend: positions come when the feed is read.
func (s *Store) Caps() driver.Caps {
	return driver.Caps{
		MaxEventBytes: 64 << 10, MaxAppendEvents: 100, MaxAppendBytes: 256 << 10, MaxSnapshotBytes: 64 << 10,
		Gapless: true, FilterFeed: true, ListLag: true,
	}
}

// Append puts one commit behind the last one of the stream. Only its key decides:
// who finds it taken looks again.
func (s *Store) Append(ctx context.Context, req driver.AppendRequest) (driver.AppendResult, error) {
	p := req.Parts[0]
	for {
		tail, err := s.tail(ctx, p.Stream)
		if err != nil {
			return driver.AppendResult{}, err
		}
		write, result, err := driver.Decide(req, []driver.StreamState{tail.state()}, func(int) (driver.Position, bool, error) {
			base, _ := p.Expected.Exact()
			ok, err := s.holds(ctx, p.Stream, base, p.Records)
			return 0, ok, err
		})
		if !write {
			return result, err
		}
		c := newCommit(p.Stream, tail.last, p.Records)
		put, err := s.put(ctx, c)
		if err != nil {
			return driver.AppendResult{}, err
		}
		if put {
			return driver.AppendResult{Parts: []driver.Appended{{First: c.first, Last: c.last}}}, nil
		}
	}
}

// put writes a commit and its mark, in one step. Sent again, it knows the commit by
// its ids.
func (s *Store) put(ctx context.Context, c *commit) (put bool, err error) {
	base := []driver.UnknownPart{{Stream: c.stream, Base: c.first - 1}}
	err = settle(ctx, base, func(ctx context.Context) error {
		there, ok, err := s.db.putIfAbsent(ctx, commitKey(c.stream, c.first), c)
		if err == nil {
			put = ok || c.same(there.(*commit))
		}
		return err
	})
	if put {
		s.seq.Appended(c.stream, c.last)
	}
	return put, err
}

func (c *commit) same(d *commit) bool {
	return slices.EqualFunc(c.records, d.records, func(a, b driver.Record) bool { return a.ID == b.ID })
}

func newCommit(stream string, base driver.Version, records []driver.Record) *commit {
	c := &commit{stream: stream, first: base + 1, last: base + driver.Version(len(records)), mark: true}
	for i := range records {
		r := clone(&records[i])
		r.Stream, r.Version, r.Position = stream, c.first+driver.Version(i), 0
		r.Time = driver.FromMicros(driver.Micros(r.Time))
		c.records = append(c.records, r)
	}
	return c
}

func clone(r *driver.Record) driver.Record {
	c := *r
	c.Tags, c.Data, c.Metadata = slices.Clone(r.Tags), bytes.Clone(r.Data), bytes.Clone(r.Metadata)
	return c
}

// tail returns the last commit of a stream, or an empty one.
func (s *Store) tail(ctx context.Context, stream string) (*commit, error) {
	if err := s.check(ctx); err != nil {
		return nil, err
	}
	last, err := s.db.query(ctx, commitKey(stream, 1), commitKey(stream, 1<<63), true, 1)
	if err != nil || len(last) == 0 {
		return &commit{stream: stream}, err
	}
	return last[0].(*commit), nil
}

func (c *commit) state() driver.StreamState {
	return driver.StreamState{Head: c.last, Closed: c.closes}
}

// holds reports whether the versions after base have the ids of records.
func (s *Store) holds(ctx context.Context, stream string, base driver.Version, records []driver.Record) (bool, error) {
	commits, err := s.commits(ctx, stream, base+1, base+driver.Version(len(records)))
	for _, item := range commits {
		for _, r := range item.(*commit).records {
			if i := int64(r.Version) - int64(base) - 1; i >= 0 && i < int64(len(records)) && r.ID != records[i].ID {
				return false, nil
			}
		}
	}
	return err == nil, err
}

// commits returns the commits that hold the versions from low to high.
func (s *Store) commits(ctx context.Context, stream string, low, high driver.Version) ([]any, error) {
	first := commitKey(stream, low)
	before, err := s.db.query(ctx, commitKey(stream, 1), first, true, 1)
	if err != nil {
		return nil, err
	}
	if len(before) > 0 { // low may lie in a commit
		first = commitKey(stream, before[0].(*commit).first)
	}
	return s.db.query(ctx, first, commitKey(stream, high), false, int(high-low)+1)
}

// ReadStream reads the head first, and what lies at or below it then.
func (s *Store) ReadStream(ctx context.Context, q driver.StreamQuery) (driver.StreamPage, error) {
	tail, err := s.tail(ctx, q.Stream)
	switch {
	case err != nil:
		return driver.StreamPage{}, err
	case tail.last == 0:
		return driver.StreamPage{}, &driver.StreamError{Stream: q.Stream, Err: driver.ErrStreamNotFound}
	case tail.closes && !q.Deleted:
		return driver.StreamPage{}, &driver.StreamError{Stream: q.Stream, Err: driver.ErrStreamDeleted}
	}
	page := driver.StreamPage{Head: tail.last, End: true}
	low, high := max(q.From, 1), tail.last
	if q.Backward {
		if low = 1; q.From > 0 {
			high = min(q.From, high)
		}
	}
	if low > high {
		return page, nil
	}
	records, err := s.records(ctx, q, low, high)
	if err != nil {
		return driver.StreamPage{}, err
	}
	if q.Backward {
		slices.Reverse(records)
	}
	if limit := limited(q.Limit); len(records) > limit {
		records, page.End = records[:limit], false
	}
	page.Records = records
	return page, nil
}

// records returns what is left of the versions from low to high.
func (s *Store) records(ctx context.Context, q driver.StreamQuery, low, high driver.Version) ([]driver.Record, error) {
	commits, err := s.commits(ctx, q.Stream, low, high)
	if err != nil {
		return nil, err
	}
	var records []driver.Record
	next := low
	for _, item := range commits {
		c := item.(*commit)
		if c.purged && !q.Deleted { // it was closed meanwhile
			return nil, &driver.StreamError{Stream: q.Stream, Err: driver.ErrStreamDeleted}
		}
		if c.first > next || !c.whole() {
			break
		}
		for i := range c.records {
			if r := &c.records[i]; !c.purged && r.Version >= low && r.Version <= high {
				records = append(records, clone(r))
			}
		}
		next = c.last + 1
	}
	if next <= high {
		return nil, fmt.Errorf("%w: version %d of stream %q is missing", driver.ErrCorrupt, next, q.Stream)
	}
	return records, nil
}

const pageSize = 1000

func limited(n int) int {
	if n == 0 {
		return pageSize
	}
	return min(n, pageSize)
}

// ReadAll, Head and Settled are the sequencer's.
func (s *Store) ReadAll(ctx context.Context, q driver.FeedQuery) (driver.FeedPage, error) {
	if err := s.check(ctx); err != nil {
		return driver.FeedPage{}, err
	}
	return s.seq.ReadAll(ctx, q)
}

func (s *Store) Head(ctx context.Context) (driver.Position, error) {
	if err := s.check(ctx); err != nil {
		return 0, err
	}
	return s.seq.Head(ctx)
}

func (s *Store) Settled(ctx context.Context, stream string) (driver.Version, error) {
	if err := s.check(ctx); err != nil {
		return 0, err
	}
	item, err := s.db.get(ctx, "r"+stream)
	r, _ := item.(register)
	return r.version, err
}

// ListStreams lists the registers, which follow the feed.
func (s *Store) ListStreams(ctx context.Context, q driver.ListQuery) (driver.ListPage, error) {
	if err := s.check(ctx); err != nil {
		return driver.ListPage{}, err
	}
	if err := s.seq.Advance(ctx); err != nil {
		return driver.ListPage{}, err
	}
	low := max("r"+q.Prefix, "r"+q.After+"\x00")
	items, err := s.db.query(ctx, low, "s", false, limited(q.Limit)+1)
	if err != nil {
		return driver.ListPage{}, err
	}
	page := driver.ListPage{End: true}
	for _, item := range items {
		r, ok := item.(register)
		if !ok || !strings.HasPrefix(r.stream, q.Prefix) {
			break
		}
		if len(page.Streams) == limited(q.Limit) {
			page.End = false
			break
		}
		page.Streams = append(page.Streams, driver.StreamInfo{Stream: r.stream, Version: r.version, Closed: r.closed})
		page.Next = r.stream
	}
	return page, nil
}

// Delete appends the commit that closes the stream. A purge blanks the others, and
// keeps them, with their ids: their keys stay taken, and the log names them.
func (s *Store) Delete(ctx context.Context, req driver.DeleteRequest) (driver.Appended, error) {
	for {
		tail, err := s.tail(ctx, req.Stream)
		if err != nil {
			return driver.Appended{}, err
		}
		write, done, err := driver.DecideDelete(req, tail.state(), func() (driver.ID, driver.Position, error) {
			return tail.records[0].ID, 0, nil
		})
		if err != nil {
			return driver.Appended{}, err
		}
		if write {
			c := newCommit(req.Stream, tail.last, []driver.Record{req.Record})
			c.closes = true
			put, err := s.put(ctx, c)
			if err != nil {
				return driver.Appended{}, err
			}
			if !put {
				continue
			}
			done = driver.Appended{First: c.first, Last: c.last}
		}
		if err := s.erase(ctx, req, done.Last); err != nil {
			base := []driver.UnknownPart{{Stream: req.Stream, Base: done.Last - 1}}
			return driver.Appended{}, &driver.UnknownOutcomeError{Parts: base, Err: err}
		}
		return done, nil
	}
}

// erase removes what goes with a stream that is closed. It may be done again.
func (s *Store) erase(ctx context.Context, req driver.DeleteRequest, last driver.Version) error {
	return settle(ctx, nil, func(ctx context.Context) error {
		if err := s.db.removeAll(ctx, "p"+req.Stream+"\x00"); err != nil || req.Mode != driver.Purge {
			return err
		}
		commits, err := s.db.query(ctx, commitKey(req.Stream, 1), commitKey(req.Stream, last-1), false, int(last))
		for _, item := range commits {
			if _, _, err := s.db.update(ctx, commitKey(req.Stream, item.(*commit).first), blank); err != nil {
				return err
			}
		}
		return err
	})
}

// blank makes of a commit a purged one.
func blank(old any) (any, bool) {
	c := *old.(*commit)
	c.purged, c.records = true, slices.Clone(c.records)
	for i := range c.records {
		c.records[i] = driver.Record{ID: c.records[i].ID, Version: c.records[i].Version}
	}
	return &c, true
}

// Ping fails only if the store is closed or the context has ended.
func (s *Store) Ping(ctx context.Context) error { return s.check(ctx) }

// Close ends the store.
func (s *Store) Close() error {
	s.closed.Store(true)
	return nil
}

func (s *Store) check(ctx context.Context) error {
	if s.closed.Load() {
		return driver.ErrClosed
	}
	return ctx.Err()
}
