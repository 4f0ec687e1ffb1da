package conformance

import (
	"context"
	"slices"
	"sync"

	"github.com/go-es/es/driver"
)

// wrong is a toy of which some methods are other ones.
type wrong struct {
	*toyStore
	o *overrides
}

// overrides are the methods that a mutant has instead of the toy's. They get the
// toy's client, whose methods are right.
type overrides struct {
	append   func(s *toyStore, ctx context.Context, req driver.AppendRequest) (driver.AppendResult, error)
	group    func(s *wrong, ctx context.Context, reqs []driver.AppendRequest) []driver.Outcome
	stream   func(s *toyStore, ctx context.Context, q driver.StreamQuery) (driver.StreamPage, error)
	feed     func(s *toyStore, ctx context.Context, q driver.FeedQuery) (driver.FeedPage, error)
	head     func(s *toyStore, ctx context.Context) (driver.Position, error)
	list     func(s *toyStore, ctx context.Context, q driver.ListQuery) (driver.ListPage, error)
	delete   func(s *toyStore, ctx context.Context, req driver.DeleteRequest) (driver.Appended, error)
	caps     func(s *toyStore) driver.Caps
	ping     func(s *toyStore, ctx context.Context) error
	close    func(s *toyStore) error
	listen   func(s *toyStore, ctx context.Context, wake func()) error
	settled  func(s *toyStore, ctx context.Context, stream string) (driver.Version, error)
	load     func(s *toyStore, ctx context.Context, name string) (driver.Checkpoint, error)
	save     func(s *toyStore, ctx context.Context, cp driver.Checkpoint, prev driver.Revision) error
	lists    func(s *toyStore, ctx context.Context, q driver.CheckpointQuery) (driver.CheckpointPage, error)
	drop     func(s *toyStore, ctx context.Context, name string) error
	loadSnap func(s *toyStore, ctx context.Context, stream, kind string) (driver.Snapshot, error)
	saveSnap func(s *toyStore, ctx context.Context, snap driver.Snapshot) error
	dropSnap func(s *toyStore, ctx context.Context, stream, kind string) error
}

func (w *wrong) Append(ctx context.Context, req driver.AppendRequest) (driver.AppendResult, error) {
	if f := w.o.append; f != nil {
		return f(w.toyStore, ctx, req)
	}
	return w.toyStore.Append(ctx, req)
}

func (w *wrong) AppendGroup(ctx context.Context, reqs []driver.AppendRequest) []driver.Outcome {
	if f := w.o.group; f != nil {
		return f(w, ctx, reqs)
	}
	outs := make([]driver.Outcome, len(reqs))
	for i, req := range reqs {
		outs[i].Result, outs[i].Err = w.Append(ctx, req)
	}
	return outs
}

func (w *wrong) ReadStream(ctx context.Context, q driver.StreamQuery) (driver.StreamPage, error) {
	if f := w.o.stream; f != nil {
		return f(w.toyStore, ctx, q)
	}
	return w.toyStore.ReadStream(ctx, q)
}

func (w *wrong) ReadAll(ctx context.Context, q driver.FeedQuery) (driver.FeedPage, error) {
	if f := w.o.feed; f != nil {
		return f(w.toyStore, ctx, q)
	}
	return w.toyStore.ReadAll(ctx, q)
}

func (w *wrong) Head(ctx context.Context) (driver.Position, error) {
	if f := w.o.head; f != nil {
		return f(w.toyStore, ctx)
	}
	return w.toyStore.Head(ctx)
}

func (w *wrong) ListStreams(ctx context.Context, q driver.ListQuery) (driver.ListPage, error) {
	if f := w.o.list; f != nil {
		return f(w.toyStore, ctx, q)
	}
	return w.toyStore.ListStreams(ctx, q)
}

func (w *wrong) Delete(ctx context.Context, req driver.DeleteRequest) (driver.Appended, error) {
	if f := w.o.delete; f != nil {
		return f(w.toyStore, ctx, req)
	}
	return w.toyStore.Delete(ctx, req)
}

func (w *wrong) Caps() driver.Caps {
	if f := w.o.caps; f != nil {
		return f(w.toyStore)
	}
	return w.toyStore.Caps()
}

func (w *wrong) Ping(ctx context.Context) error {
	if f := w.o.ping; f != nil {
		return f(w.toyStore, ctx)
	}
	return w.toyStore.Ping(ctx)
}

func (w *wrong) Close() error {
	if f := w.o.close; f != nil {
		return f(w.toyStore)
	}
	return w.toyStore.Close()
}

func (w *wrong) Listen(ctx context.Context, wake func()) error {
	if f := w.o.listen; f != nil {
		return f(w.toyStore, ctx, wake)
	}
	return w.toyStore.Listen(ctx, wake)
}

func (w *wrong) Settled(ctx context.Context, stream string) (driver.Version, error) {
	if f := w.o.settled; f != nil {
		return f(w.toyStore, ctx, stream)
	}
	return toySettler{w.toyStore}.Settled(ctx, stream)
}

func (w *wrong) LoadCheckpoint(ctx context.Context, name string) (driver.Checkpoint, error) {
	if f := w.o.load; f != nil {
		return f(w.toyStore, ctx, name)
	}
	return w.toyStore.LoadCheckpoint(ctx, name)
}

func (w *wrong) SaveCheckpoint(ctx context.Context, cp driver.Checkpoint, prev driver.Revision) error {
	if f := w.o.save; f != nil {
		return f(w.toyStore, ctx, cp, prev)
	}
	return w.toyStore.SaveCheckpoint(ctx, cp, prev)
}

func (w *wrong) ListCheckpoints(ctx context.Context, q driver.CheckpointQuery) (driver.CheckpointPage, error) {
	if f := w.o.lists; f != nil {
		return f(w.toyStore, ctx, q)
	}
	return w.toyStore.ListCheckpoints(ctx, q)
}

func (w *wrong) DeleteCheckpoint(ctx context.Context, name string) error {
	if f := w.o.drop; f != nil {
		return f(w.toyStore, ctx, name)
	}
	return w.toyStore.DeleteCheckpoint(ctx, name)
}

func (w *wrong) LoadSnapshot(ctx context.Context, stream, kind string) (driver.Snapshot, error) {
	if f := w.o.loadSnap; f != nil {
		return f(w.toyStore, ctx, stream, kind)
	}
	return w.toyStore.LoadSnapshot(ctx, stream, kind)
}

func (w *wrong) SaveSnapshot(ctx context.Context, snap driver.Snapshot) error {
	if f := w.o.saveSnap; f != nil {
		return f(w.toyStore, ctx, snap)
	}
	return w.toyStore.SaveSnapshot(ctx, snap)
}

func (w *wrong) DeleteSnapshot(ctx context.Context, stream, kind string) error {
	if f := w.o.dropSnap; f != nil {
		return f(w.toyStore, ctx, stream, kind)
	}
	return w.toyStore.DeleteSnapshot(ctx, stream, kind)
}

// byData makes the overrides of a mutant once for each data, so that what they
// remember is shared by its clients.
func byData(with func() overrides) func(dsn string) *overrides {
	var mu sync.Mutex
	made := map[string]*overrides{}
	return func(dsn string) *overrides {
		mu.Lock()
		defer mu.Unlock()
		if made[dsn] == nil {
			o := with()
			made[dsn] = &o
		}
		return made[dsn]
	}
}

// Faults that many mutants are made of.

// written changes each record before it is stored.
func written(change func(r *driver.Record)) func() overrides {
	return func() overrides {
		return overrides{append: func(s *toyStore, ctx context.Context, req driver.AppendRequest) (driver.AppendResult, error) {
			req = cloneRequest(req)
			for i := range req.Parts {
				for j := range req.Parts[i].Records {
					change(&req.Parts[i].Records[j])
				}
			}
			return s.Append(ctx, req)
		}}
	}
}

// renamed changes the name of each stream of each request.
func renamed(name func(string) string) func() overrides {
	back := func(recs []driver.Record, stream string) {
		for i := range recs {
			recs[i].Stream = stream
		}
	}
	return func() overrides {
		return overrides{
			append: func(s *toyStore, ctx context.Context, req driver.AppendRequest) (driver.AppendResult, error) {
				req = cloneRequest(req)
				for i := range req.Parts {
					req.Parts[i].Stream = name(req.Parts[i].Stream)
				}
				return s.Append(ctx, req)
			},
			stream: func(s *toyStore, ctx context.Context, q driver.StreamQuery) (driver.StreamPage, error) {
				stream := q.Stream
				q.Stream = name(q.Stream)
				page, err := s.ReadStream(ctx, q)
				back(page.Records, stream)
				return page, err
			},
		}
	}
}

// appended has another Append.
func appended(f func(s *toyStore, ctx context.Context, req driver.AppendRequest) (driver.AppendResult, error)) func() overrides {
	return func() overrides { return overrides{append: f} }
}

// streamed has another ReadStream.
func streamed(f func(s *toyStore, ctx context.Context, q driver.StreamQuery) (driver.StreamPage, error)) func() overrides {
	return func() overrides { return overrides{stream: f} }
}

// streamPaged changes each page of a stream.
func streamPaged(f func(q driver.StreamQuery, page *driver.StreamPage)) func() overrides {
	return streamed(func(s *toyStore, ctx context.Context, q driver.StreamQuery) (driver.StreamPage, error) {
		page, err := s.ReadStream(ctx, q)
		if err == nil {
			f(q, &page)
		}
		return page, err
	})
}

// fed has another ReadAll.
func fed(f func(s *toyStore, ctx context.Context, q driver.FeedQuery) (driver.FeedPage, error)) func() overrides {
	return func() overrides { return overrides{feed: f} }
}

// fedPaged changes each page of the feed.
func fedPaged(f func(q driver.FeedQuery, page *driver.FeedPage)) func() overrides {
	return fed(func(s *toyStore, ctx context.Context, q driver.FeedQuery) (driver.FeedPage, error) {
		page, err := s.ReadAll(ctx, q)
		if err == nil {
			f(q, &page)
		}
		return page, err
	})
}

// deleted has another Delete.
func deleted(f func(s *toyStore, ctx context.Context, req driver.DeleteRequest) (driver.Appended, error)) func() overrides {
	return func() overrides { return overrides{delete: f} }
}

// listed has another ListStreams.
func listed(f func(s *toyStore, ctx context.Context, q driver.ListQuery) (driver.ListPage, error)) func() overrides {
	return func() overrides { return overrides{list: f} }
}

// headOf is the last version of a stream as the toy knows it, closed or not.
func headOf(s *toyStore, stream string) (driver.Version, bool) {
	s.d.mu.Lock()
	defer s.d.mu.Unlock()
	st := s.d.streams[stream]
	return st.head(), st != nil && st.closed
}

// hasIDs reports whether any version of a stream has one of the ids of a part.
func hasIDs(s *toyStore, p driver.Part) bool {
	s.d.mu.Lock()
	defer s.d.mu.Unlock()
	st := s.d.streams[p.Stream]
	return st != nil && slices.ContainsFunc(st.rows, func(row *toyRow) bool {
		return slices.ContainsFunc(p.Records, func(r driver.Record) bool { return r.ID == row.rec.ID })
	})
}
