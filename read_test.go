package es_test

import (
	"context"
	"errors"
	"iter"
	"math"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-es/es"
	"github.com/go-es/es/driver"
	"github.com/go-es/es/drivers/memory"
)

// shortPages is a fake whose pages have at most n records, whatever is asked,
// and which notes what was asked.
func shortPages(n int) (*fake, *[]int) {
	f := overMemory()
	var limits []int
	f.onStream = func(ctx context.Context, q driver.StreamQuery) (driver.StreamPage, error) {
		limits = append(limits, q.Limit)
		if n > 0 && (q.Limit == 0 || q.Limit > n) {
			q.Limit = n
		}
		return f.Store.ReadStream(ctx, q)
	}
	return f, &limits
}

func TestRead(t *testing.T) {
	const head = 10
	type v = es.Version
	for _, row := range []struct {
		name string
		opts []es.ReadOption
		want []v
	}{
		{"all", nil, span[v](1, 10)},
		{"from 0", []es.ReadOption{es.From(0)}, span[v](1, 10)},
		{"from 1", []es.ReadOption{es.From(1)}, span[v](1, 10)},
		{"from 7", []es.ReadOption{es.From(7)}, span[v](7, 10)},
		{"from the last", []es.ReadOption{es.From(10)}, []v{10}},
		{"beyond the last", []es.ReadOption{es.From(11)}, []v{}},
		{"far beyond", []es.ReadOption{es.From(math.MaxInt64)}, []v{}},
		{"backward", []es.ReadOption{es.Backward()}, span[v](10, 1)},
		{"backward from 7", []es.ReadOption{es.Backward(), es.From(7)}, span[v](7, 1)},
		{"backward from 1", []es.ReadOption{es.From(1), es.Backward()}, []v{1}},
		{"backward from beyond the last", []es.ReadOption{es.From(99), es.Backward()}, span[v](10, 1)},
		{"limit", []es.ReadOption{es.Limit(4)}, span[v](1, 4)},
		{"limit 1", []es.ReadOption{es.Limit(1)}, []v{1}},
		{"no limit", []es.ReadOption{es.Limit(0)}, span[v](1, 10)},
		{"the last limit", []es.ReadOption{es.Limit(7), es.Limit(4)}, span[v](1, 4)},
		{"limit at the end", []es.ReadOption{es.Limit(10)}, span[v](1, 10)},
		{"limit beyond the end", []es.ReadOption{es.Limit(11)}, span[v](1, 10)},
		{"limit and from", []es.ReadOption{es.Limit(3), es.From(5)}, span[v](5, 7)},
		{"limit backward", []es.ReadOption{es.Limit(3), es.Backward()}, span[v](10, 8)},
		{"limit backward from", []es.ReadOption{es.Limit(3), es.Backward(), es.From(2)}, []v{2, 1}},
	} {
		for _, page := range []int{0, 1, 2, 3, 5, 9, 10, 11} {
			for _, short := range []int{0, 1, 4} {
				f, limits := shortPages(short)
				s := over(t, f)
				put(t, s, "other", ticks(100, 105)...)
				put(t, s, "s", ticks(1, head)...)
				got := all(t, s.Read(t.Context(), "s", append(row.opts, es.PageSize(page))...))
				if !slices.Equal(versions(got), row.want) {
					t.Errorf("%s, pages of %d and %d: versions %v, want %v", row.name, page, short, versions(got), row.want)
				}
				for _, r := range got {
					if number(t, r) != int(r.Version) || r.Stream != "s" {
						t.Errorf("%s: version %d of %s has number %d", row.name, r.Version, r.Stream, number(t, r))
					}
				}
				if page > 0 && slices.Max(*limits) > page {
					t.Errorf("%s: pages of %d were asked for as %v", row.name, page, *limits)
				}
				if most := len(row.want)/max(1, min(orMax(page), orMax(short))) + 1; len(*limits) > most {
					t.Errorf("%s, pages of %d and %d: %d pages were read, want at most %d", row.name, page, short, len(*limits), most)
				}
			}
		}
	}
}

func orMax(n int) int {
	if n == 0 {
		return math.MaxInt
	}
	return n
}

func TestReadErrors(t *testing.T) {
	for _, row := range []struct {
		name, stream string
		opts         []es.ReadOption
		want         error
	}{
		{"missing", "none", nil, es.ErrStreamNotFound},
		{"missing, deleted too", "none", []es.ReadOption{es.Deleted()}, es.ErrStreamNotFound},
		{"tombstoned", "tombstoned", nil, es.ErrStreamDeleted},
		{"tombstoned, backward", "tombstoned", []es.ReadOption{es.Backward(), es.Limit(1)}, es.ErrStreamDeleted},
		{"purged", "purged", nil, es.ErrStreamDeleted},
		{"no name", "", nil, es.ErrInvalid},
		{"nil option", "s", []es.ReadOption{nil}, es.ErrInvalid},
		{"negative limit", "s", []es.ReadOption{es.Limit(-1)}, es.ErrInvalid},
		{"negative page", "s", []es.ReadOption{es.PageSize(-1)}, es.ErrInvalid},
		{"from 2^63", "s", []es.ReadOption{es.From(1 << 63)}, es.ErrInvalid},
		{"a good option after a bad one", "s", []es.ReadOption{es.Limit(-1), es.Limit(1)}, es.ErrInvalid},
	} {
		f := overMemory()
		s := over(t, f)
		for name, mode := range map[string]es.DeleteMode{"tombstoned": es.Tombstone, "purged": es.Purge} {
			put(t, s, name, tick{})
			if _, err := s.Delete(t.Context(), name, es.Any, mode); err != nil {
				t.Fatal(err)
			}
		}
		put(t, s, "s", tick{})
		got, err := collect(t, s.Read(t.Context(), row.stream, row.opts...))
		is(t, row.name, err, row.want)
		if len(got) != 0 {
			t.Errorf("%s: %v", row.name, got)
		}
		var se *es.StreamError
		if row.want != es.ErrInvalid && (!errors.As(err, &se) || se.Stream != row.stream) {
			t.Errorf("%s: error %#v", row.name, err)
		}
		if n := f.calls("read"); row.want == es.ErrInvalid && n != 0 {
			t.Errorf("%s: the driver was called %d times", row.name, n)
		}
	}
}

func TestVersion(t *testing.T) {
	s := over(t, memory.New())
	if v, err := s.Version(t.Context(), "s"); v != 0 || err != nil {
		t.Errorf("of a missing stream: %d, error %v", v, err)
	}
	put(t, s, "s", ticks(1, 7)...)
	if v, err := s.Version(t.Context(), "s"); v != 7 || err != nil {
		t.Errorf("%d, error %v", v, err)
	}
	if _, err := s.Version(t.Context(), ""); !errors.Is(err, es.ErrInvalid) {
		t.Errorf("of no name: %v", err)
	}
	if v, err := s.Settled(t.Context(), "s"); v != 7 || err != nil {
		t.Errorf("Settled: %d, error %v", v, err)
	}
	if v, err := s.Settled(t.Context(), "none"); v != 0 || err != nil {
		t.Errorf("Settled of a missing stream: %d, error %v", v, err)
	}
}

// A read ends at the head of its first page, although the stream grows faster
// than it is read; appending within the loop blocks nothing.
func TestReadEndsWhereItBegan(t *testing.T) {
	for _, opts := range [][]es.ReadOption{
		{es.PageSize(1)}, {es.PageSize(3)}, {es.PageSize(4)}, {es.PageSize(100)}, {},
		{es.PageSize(3), es.From(4)}, {es.PageSize(3), es.Backward()}, {es.Backward()}, {es.PageSize(2), es.Limit(100)},
	} {
		s := over(t, memory.New())
		put(t, s, "s", ticks(1, 10)...)
		var want []es.Version
		for _, r := range all(t, s.Read(t.Context(), "s", opts...)) {
			want = append(want, r.Version)
		}
		var got []es.Version
		for r, err := range s.Read(t.Context(), "s", opts...) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, r.Version)
			put(t, s, "s", ticks(11, 15)...)
			if len(got) > 10 {
				t.Fatalf("%v: the read goes on with what came after it began: %v", opts, got)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("versions %v, want %v", got, want)
		}
	}
}

func TestReadFailsInTheMiddle(t *testing.T) {
	f := overMemory()
	s := over(t, f)
	put(t, s, "s", ticks(1, 10)...)
	pages := 0
	f.onStream = func(ctx context.Context, q driver.StreamQuery) (driver.StreamPage, error) {
		if pages++; pages == 3 {
			return driver.StreamPage{}, errBroken
		}
		return f.Store.ReadStream(ctx, q)
	}
	got, err := collect(t, s.Read(t.Context(), "s", es.PageSize(3)))
	is(t, "Read", err, errBroken)
	if !slices.Equal(versions(got), span[es.Version](1, 6)) {
		t.Errorf("versions %v", versions(got))
	}

	synctest.Test(t, func(t *testing.T) {
		s := over(t, memory.New())
		put(t, s, "s", ticks(1, 10)...)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		n := 0
		for _, err = range s.Read(ctx, "s", es.PageSize(3)) {
			synctest.Wait() // for a page that is read ahead
			if n++; n == 4 {
				cancel()
			}
		}
		is(t, "Read with a context that ends", err, context.Canceled)
		if n != 7 { // the page is given to its end, and none that was read ahead
			t.Errorf("%d iterations", n)
		}
	})
}

func TestLeaveAndReadAgain(t *testing.T) {
	f, limits := shortPages(0)
	s := over(t, f)
	put(t, s, "s", ticks(1, 10)...)
	read := s.Read(t.Context(), "s", es.PageSize(3))
	for range 3 {
		*limits = nil
		n := 0
		for _, err := range read {
			if err != nil {
				t.Fatal(err)
			}
			if n++; n == 4 {
				break
			}
		}
		if n := len(*limits); n != 2 && n != 3 { // one may be read ahead
			t.Errorf("%d pages were read", n)
		}
	}
	put(t, s, "s", ticks(11, 12)...)
	if got := all(t, read); !slices.Equal(versions(got), span[es.Version](1, 12)) {
		t.Errorf("read again: %v", versions(got))
	}
}

// A stream that is deleted between two pages ends the read with an error, and
// does not look like a shorter one. Where deleted streams are read as well, a
// tombstone changes nothing.
func TestDeletedBetweenTwoPages(t *testing.T) {
	type v = es.Version
	for _, row := range []struct {
		name string
		mode es.DeleteMode
		opts []es.ReadOption
		want []v // what there was; with an error only the first pages of it
		err  error
	}{
		{"tombstone", es.Tombstone, nil, span[v](1, 10), es.ErrStreamDeleted},
		{"purge", es.Purge, nil, span[v](1, 10), es.ErrStreamDeleted},
		{"purge, backward", es.Purge, []es.ReadOption{es.Backward()}, span[v](10, 1), es.ErrStreamDeleted},
		{"tombstone, deleted too", es.Tombstone, []es.ReadOption{es.Deleted()}, span[v](1, 10), nil},
		{"tombstone, deleted too, backward", es.Tombstone, []es.ReadOption{es.Deleted(), es.Backward()}, span[v](10, 1), nil},
		{"purge, deleted too", es.Purge, []es.ReadOption{es.Deleted()}, span[v](1, 10), es.ErrStreamDeleted},
		{"purge, deleted too, backward", es.Purge, []es.ReadOption{es.Deleted(), es.Backward()}, span[v](10, 1), es.ErrStreamDeleted},
		{"purge, deleted too, after the limit", es.Purge, []es.ReadOption{es.Deleted(), es.Limit(3)}, span[v](1, 3), nil},
	} {
		s := over(t, memory.New())
		put(t, s, "s", ticks(1, 10)...)
		var got []v
		var err error
		for r, e := range s.Read(t.Context(), "s", append(row.opts, es.PageSize(3))...) {
			if err = e; e != nil {
				continue
			}
			if got = append(got, r.Version); len(got) == 1 {
				if _, err := s.Delete(t.Context(), "s", es.Any, row.mode); err != nil {
					t.Fatal(err)
				}
			}
		}
		if row.err != nil { // the second page may have been read before
			if len(got) != 3 && len(got) != 6 {
				t.Errorf("%s: %d events, error %v", row.name, len(got), err)
			}
			row.want = row.want[:len(got)]
		}
		if !slices.Equal(got, row.want) || !errors.Is(err, row.err) {
			t.Errorf("%s: versions %v, error %v, want %v, %v", row.name, got, err, row.want, row.err)
		}
	}
	s := over(t, memory.New())
	put(t, s, "s", ticks(1, 10)...)
	if _, err := s.Delete(t.Context(), "s", es.Any, es.Purge); err != nil {
		t.Fatal(err)
	}
	for _, opts := range [][]es.ReadOption{{}, {es.From(5)}, {es.Backward()}, {es.PageSize(1)}} {
		if got := all(t, s.Read(t.Context(), "s", append(opts, es.Deleted())...)); !slices.Equal(versions(got), []v{11}) {
			t.Errorf("what a purge left: %v", versions(got))
		}
	}
	if got := all(t, s.Read(t.Context(), "s", es.Deleted(), es.Backward(), es.From(5))); len(got) != 0 {
		t.Errorf("what a purge left up to 5: %v", versions(got))
	}
}

// A panic in the loop's body leaves the store as it was.
func TestPanicInTheBodyOfARead(t *testing.T) {
	s := over(t, memory.New())
	put(t, s, "s", ticks(1, 3)...)
	if p := caught(func() {
		for range s.Read(t.Context(), "s") {
			panic("body")
		}
	}); p != "body" {
		t.Errorf("panic %v", p)
	}
	put(t, s, "s", tick{4})
	if got := all(t, s.Read(t.Context(), "s")); len(got) != 4 {
		t.Errorf("%v", got)
	}
}

// When a loop is left, no call of the driver is under way any more: the caller
// may close what the driver uses.
func TestNothingRunsOnAfterALoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := overMemory()
		s := over(t, f)
		put(t, s, "s", ticks(1, 10)...)
		var running, began atomic.Int32
		call := func(ctx context.Context) {
			began.Add(1)
			running.Add(1)
			defer running.Add(-1)
			<-ctx.Done()
			time.Sleep(time.Second)
		}
		f.onStream = func(ctx context.Context, q driver.StreamQuery) (driver.StreamPage, error) {
			if q.From > 1 {
				call(ctx)
			}
			return f.Store.ReadStream(ctx, q)
		}
		f.onFeed = func(ctx context.Context, q driver.FeedQuery) (driver.FeedPage, error) {
			if q.After > 0 {
				call(ctx)
			}
			return f.Store.ReadAll(ctx, q)
		}
		for name, seq := range map[string]iter.Seq2[es.Record, error]{
			"Read": s.Read(t.Context(), "s", es.PageSize(3)), "ReadAll": s.ReadAll(t.Context(), es.PageSize(3)),
		} {
			began.Store(0)
			for range seq {
				synctest.Wait()
				break
			}
			if running.Load() != 0 || began.Load() > 1 {
				t.Errorf("%s: %d calls began, %d still run", name, began.Load(), running.Load())
			}
		}
	})
}

// A driver that panics takes the reader with it and not the process, whichever
// page it is, and nobody who left before.
func TestDriverThatPanicsInARead(t *testing.T) {
	f := overMemory()
	s := over(t, f)
	put(t, s, "s", ticks(1, 10)...)
	reads := 0
	f.onStream = func(ctx context.Context, q driver.StreamQuery) (driver.StreamPage, error) {
		if reads++; reads == 2 {
			panic("read")
		}
		return f.Store.ReadStream(ctx, q)
	}
	f.onFeed = func(ctx context.Context, q driver.FeedQuery) (driver.FeedPage, error) {
		if reads++; reads == 2 {
			panic("feed")
		}
		return f.Store.ReadAll(ctx, q)
	}
	for want, seq := range map[string]iter.Seq2[es.Record, error]{"read": s.Read(t.Context(), "s", es.PageSize(3)), "feed": s.Subscribe(t.Context(), es.PageSize(3))} {
		n := 0
		reads = 0
		if p := caught(func() {
			for _, err := range seq {
				if err != nil {
					t.Error(err)
				}
				n++
			}
		}); p != want || n != 3 {
			t.Errorf("%s: panic %v after %d events", want, p, n)
		}
		reads = 0
		if p := caught(func() {
			for range seq {
				break
			}
		}); p != nil {
			t.Errorf("%s: panic %v in a loop that was left", want, p)
		}
	}
	reads = 2
	if got := all(t, s.Read(t.Context(), "s", es.PageSize(3))); len(got) != 10 {
		t.Errorf("%d events", len(got))
	}
}

// Records can be decoded after the read and its context have ended.
func TestRecordsOutliveTheirRead(t *testing.T) {
	s := over(t, memory.New())
	put(t, s, "s", tick{7})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	got := all(t, s.Read(ctx, "s"))
	cancel()
	s.Close()
	if n := number(t, got[0]); n != 7 {
		t.Errorf("%d", n)
	}
}

// A driver's page without events that is not the last one must not end a read as if
// the stream had none: an aggregate would be taken for one that is there, and empty.
func TestReadEmptyPage(t *testing.T) {
	f := overMemory()
	f.onStream = func(context.Context, driver.StreamQuery) (driver.StreamPage, error) {
		return driver.StreamPage{Head: 2}, nil
	}
	s, err := es.New(f)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var got error
	for _, err := range s.Read(t.Context(), "s") {
		got = err
	}
	if !errors.Is(got, es.ErrCorrupt) {
		t.Errorf("%v", got)
	}
}

// What is left of a purged stream may come in a page that is not the last one: backward
// the next one is empty.
func TestReadBackwardOfAPurgedStream(t *testing.T) {
	f := overMemory()
	s := over(t, f)
	for range 5 {
		put(t, s, "s", tick{})
	}
	if _, err := s.Delete(t.Context(), "s", es.Any, es.Purge); err != nil {
		t.Fatal(err)
	}
	f.onStream = func(ctx context.Context, q driver.StreamQuery) (driver.StreamPage, error) {
		page, err := f.Store.ReadStream(ctx, q)
		page.End = page.End && len(page.Records) == 0
		return page, err
	}
	got := all(t, s.Read(t.Context(), "s", es.Deleted(), es.Backward()))
	if len(got) != 1 || got[0].Version != 6 || got[0].Type != es.TypeDeleted {
		t.Errorf("%+v", got)
	}
}

// A limit is bounded by nothing, although a page is.
func TestLimitWithoutBound(t *testing.T) {
	s := over(t, overMemory())
	put(t, s, "s", tick{}, tick{})
	if n := len(all(t, s.Read(t.Context(), "s", es.Limit(math.MaxInt)))); n != 2 {
		t.Errorf("%d events", n)
	}
	if n := len(all(t, s.ReadAll(t.Context(), es.Limit(math.MaxInt)))); n != 2 {
		t.Errorf("%d events of the feed", n)
	}
}
