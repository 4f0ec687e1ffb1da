package es_test

import (
	"context"
	"errors"
	"iter"
	"slices"
	"sync"
	"testing"

	"github.com/go-es/es"
	"github.com/go-es/es/driver"
	"github.com/go-es/es/drivers/memory"
)

// fake is a driver store over another whose calls a test counts and replaces. It
// has none of the optional interfaces; the types below add one each.
type fake struct {
	driver.Store
	caps     func(driver.Caps) driver.Caps
	onAppend func(context.Context, driver.AppendRequest) (driver.AppendResult, error)
	onDelete func(context.Context, driver.DeleteRequest) (driver.Appended, error)
	onStream func(context.Context, driver.StreamQuery) (driver.StreamPage, error)
	onFeed   func(context.Context, driver.FeedQuery) (driver.FeedPage, error)
	onList   func(context.Context, driver.ListQuery) (driver.ListPage, error)
	onHead   func(context.Context) (driver.Position, error)
	onPing   func(context.Context) error
	onClose  func() error

	mu    sync.Mutex
	count map[string]int
}

// overMemory returns a fake over an empty store in memory.
func overMemory() *fake { return &fake{Store: memory.New()} }

func (f *fake) called(name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.count == nil {
		f.count = map[string]int{}
	}
	f.count[name]++
}

// calls returns how often the methods named were called, or all of them.
func (f *fake) calls(names ...string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := 0
	for name, c := range f.count {
		if len(names) == 0 || slices.Contains(names, name) {
			n += c
		}
	}
	return n
}

func (f *fake) Caps() driver.Caps {
	if f.caps != nil {
		return f.caps(f.Store.Caps())
	}
	return f.Store.Caps()
}

func (f *fake) Append(ctx context.Context, req driver.AppendRequest) (driver.AppendResult, error) {
	f.called("append")
	if f.onAppend != nil {
		return f.onAppend(ctx, req)
	}
	return f.Store.Append(ctx, req)
}

func (f *fake) Delete(ctx context.Context, req driver.DeleteRequest) (driver.Appended, error) {
	f.called("delete")
	if f.onDelete != nil {
		return f.onDelete(ctx, req)
	}
	return f.Store.Delete(ctx, req)
}

func (f *fake) ReadStream(ctx context.Context, q driver.StreamQuery) (driver.StreamPage, error) {
	f.called("read")
	if f.onStream != nil {
		return f.onStream(ctx, q)
	}
	return f.Store.ReadStream(ctx, q)
}

func (f *fake) ReadAll(ctx context.Context, q driver.FeedQuery) (driver.FeedPage, error) {
	f.called("feed")
	if f.onFeed != nil {
		return f.onFeed(ctx, q)
	}
	return f.Store.ReadAll(ctx, q)
}

func (f *fake) ListStreams(ctx context.Context, q driver.ListQuery) (driver.ListPage, error) {
	f.called("list")
	if f.onList != nil {
		return f.onList(ctx, q)
	}
	return f.Store.ListStreams(ctx, q)
}

func (f *fake) Head(ctx context.Context) (driver.Position, error) {
	f.called("head")
	if f.onHead != nil {
		return f.onHead(ctx)
	}
	return f.Store.Head(ctx)
}

func (f *fake) Ping(ctx context.Context) error {
	f.called("ping")
	if f.onPing != nil {
		return f.onPing(ctx)
	}
	return f.Store.Ping(ctx)
}

func (f *fake) Close() error {
	f.called("close")
	if f.onClose != nil {
		return f.onClose()
	}
	return f.Store.Close()
}

// fakeGroup is a fake that appends groups.
type fakeGroup struct {
	*fake
	onGroup func(context.Context, []driver.AppendRequest) []driver.Outcome
}

func (f fakeGroup) AppendGroup(ctx context.Context, reqs []driver.AppendRequest) []driver.Outcome {
	f.called("group")
	if f.onGroup != nil {
		return f.onGroup(ctx, reqs)
	}
	return f.Store.(driver.GroupAppender).AppendGroup(ctx, reqs)
}

// fakeNotifier is a fake that sends wake-ups.
type fakeNotifier struct {
	*fake
	onListen func(ctx context.Context, wake func()) error
}

func (f fakeNotifier) Listen(ctx context.Context, wake func()) error {
	f.called("listen")
	return f.onListen(ctx, wake)
}

// fakeKeeper is a fake that keeps checkpoints and snapshots; fail is called
// before each of its calls to the store in memory, and its error returned, and
// after it, where it may be one of unknown outcome.
type fakeKeeper struct {
	*fake
	before, after func(name string) error
	revisions     *[]driver.Revision // that were given to SaveCheckpoint
}

func (f fakeKeeper) do(name string, call func() error) error {
	f.called(name)
	if f.before != nil {
		if err := f.before(name); err != nil {
			return err
		}
	}
	err := call()
	if err == nil && f.after != nil {
		err = f.after(name)
	}
	return err
}

func (f fakeKeeper) checkpoints() driver.CheckpointStore { return f.Store.(driver.CheckpointStore) }
func (f fakeKeeper) snapshots() driver.SnapshotStore     { return f.Store.(driver.SnapshotStore) }

func (f fakeKeeper) LoadCheckpoint(ctx context.Context, name string) (cp driver.Checkpoint, err error) {
	err = f.do("load checkpoint", func() error {
		cp, err = f.checkpoints().LoadCheckpoint(ctx, name)
		return err
	})
	return cp, err
}

func (f fakeKeeper) SaveCheckpoint(ctx context.Context, cp driver.Checkpoint, prev driver.Revision) error {
	if f.revisions != nil {
		*f.revisions = append(*f.revisions, cp.Revision)
	}
	return f.do("save checkpoint", func() error { return f.checkpoints().SaveCheckpoint(ctx, cp, prev) })
}

func (f fakeKeeper) ListCheckpoints(ctx context.Context, q driver.CheckpointQuery) (page driver.CheckpointPage, err error) {
	err = f.do("list checkpoints", func() error {
		page, err = f.checkpoints().ListCheckpoints(ctx, q)
		return err
	})
	return page, err
}

func (f fakeKeeper) DeleteCheckpoint(ctx context.Context, name string) error {
	return f.do("delete checkpoint", func() error { return f.checkpoints().DeleteCheckpoint(ctx, name) })
}

func (f fakeKeeper) LoadSnapshot(ctx context.Context, stream, kind string) (s driver.Snapshot, err error) {
	err = f.do("load snapshot", func() error {
		s, err = f.snapshots().LoadSnapshot(ctx, stream, kind)
		return err
	})
	return s, err
}

func (f fakeKeeper) SaveSnapshot(ctx context.Context, s driver.Snapshot) error {
	return f.do("save snapshot", func() error { return f.snapshots().SaveSnapshot(ctx, s) })
}

func (f fakeKeeper) DeleteSnapshot(ctx context.Context, stream, kind string) error {
	return f.do("delete snapshot", func() error { return f.snapshots().DeleteSnapshot(ctx, stream, kind) })
}

// tick is the event of these tests.
type tick struct{ N int }

func (tick) EventType() string { return "tick" }

// tock is an event of another type.
type tock struct{ N int }

func (tock) EventType() string { return "tock" }

// ticks returns events of the numbers from first to last.
func ticks(first, last int) []es.Event {
	var out []es.Event
	for n := first; n <= last; n++ {
		out = append(out, tick{n})
	}
	return out
}

// over opens a store over a driver's, and closes it at the end of the test.
func over(t testing.TB, drv driver.Store, opts ...es.Option) *es.Store {
	t.Helper()
	s, err := es.New(drv, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return s
}

// put appends ticks to a stream at any version.
func put(t testing.TB, s *es.Store, stream string, events ...es.Event) es.Appended {
	t.Helper()
	out, err := s.Append(t.Context(), stream, es.Any, events...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// collect returns what a read gives, and its error. It fails the test if
// anything comes after an error, or if a record comes with one.
func collect(t testing.TB, seq iter.Seq2[es.Record, error]) (records []es.Record, err error) {
	t.Helper()
	for r, e := range seq {
		if err != nil {
			t.Fatalf("the read goes on after the error %v", err)
		}
		if err = e; err == nil {
			records = append(records, r)
		} else if r.Stream != "" || r.Version != 0 || r.Position != 0 {
			t.Errorf("with the error %v comes the record %+v", err, r)
		}
	}
	return records, err
}

// all is collect where no error may come.
func all(t testing.TB, seq iter.Seq2[es.Record, error]) []es.Record {
	t.Helper()
	records, err := collect(t, seq)
	if err != nil {
		t.Fatal(err)
	}
	return records
}

// versions returns the versions of records.
func versions(records []es.Record) []es.Version {
	out := []es.Version{}
	for _, r := range records {
		out = append(out, r.Version)
	}
	return out
}

// positions returns the positions of records.
func positions(records []es.Record) []es.Position {
	out := []es.Position{}
	for _, r := range records {
		out = append(out, r.Position)
	}
	return out
}

// span returns the numbers from first to last, up or down.
func span[T ~uint64](first, last T) []T {
	out := []T{}
	if first > last {
		for n := first; n >= last; n-- {
			out = append(out, n)
		}
		return out
	}
	for n := first; n <= last; n++ {
		out = append(out, n)
	}
	return out
}

// number returns the number of a tick or tock.
func number(t testing.TB, r es.Record) int {
	t.Helper()
	if r.Type == "tock" {
		e, err := es.As[tock](r)
		if err != nil {
			t.Fatal(err)
		}
		return e.N
	}
	e, err := es.As[tick](r)
	if err != nil {
		t.Fatal(err)
	}
	return e.N
}

var errBroken = errors.New("the connection is broken")

func is(t testing.TB, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: error %v, want %v", what, err, want)
	}
}
