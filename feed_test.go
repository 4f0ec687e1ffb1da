package es_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-es/es"
	"github.com/go-es/es/driver"
	"github.com/go-es/es/drivers/memory"
)

// beyond returns 2^31 and what an error says of it; where an int has 32 bits, it
// wraps.
func beyond() (limit int, says string) {
	limit = math.MaxInt32
	if limit++; limit < 0 {
		return limit, "is negative"
	}
	return limit, "above 2^31-1"
}

// Without a limit the number of pages does not matter.
func TestFeedOfManyPages(t *testing.T) {
	s := over(t, memory.New())
	const n = 2500 // the driver's pages have 1,000
	for i := 0; i < n; i += 500 {
		put(t, s, "s", ticks(i, i+499)...)
	}
	if got := all(t, s.ReadAll(t.Context())); len(got) != n {
		t.Errorf("%d events, want %d", len(got), n)
	}
	if got := all(t, s.Read(t.Context(), "s")); len(got) != n {
		t.Errorf("%d events of the stream, want %d", len(got), n)
	}
	if got := all(t, s.Subscribe(t.Context(), es.Limit(n-1))); len(got) != n-1 {
		t.Errorf("%d events with a limit, want %d", len(got), n-1)
	}
}

// feedKinds are stores in memory whose feeds work differently.
var feedKinds = []struct {
	name   string
	filter bool // in the driver
	short  int  // records of a page, if above 0
}{
	{"filtered by the driver", true, 0},
	{"filtered by the driver, short pages", true, 3},
	{"filtered here", false, 0},
	{"filtered here, short pages", false, 3},
}

// feedStore returns a store with 60 events in five streams, one of them purged,
// and the events that its feed has.
func feedStore(t *testing.T, kind int) (*es.Store, []es.Record) {
	t.Helper()
	k := feedKinds[kind]
	f := overMemory()
	f.caps = func(c driver.Caps) driver.Caps { c.FilterFeed = k.filter; return c }
	f.onFeed = func(ctx context.Context, q driver.FeedQuery) (driver.FeedPage, error) {
		if !k.filter && !q.Filter.IsZero() {
			t.Errorf("%s: the driver was asked to filter", k.name)
		}
		if k.short > 0 && (q.Limit == 0 || q.Limit > k.short) {
			q.Limit = k.short
		}
		return f.Store.ReadAll(ctx, q)
	}
	s := over(t, f)
	rnd := rand.New(rand.NewPCG(1, 2))
	for i := range 60 {
		stream := []string{"a-1", "a-2", "b-1", "c", "gone"}[rnd.IntN(5)]
		if rnd.IntN(3) == 0 {
			put(t, s, stream, tock{i})
		} else {
			put(t, s, stream, tick{i})
		}
	}
	if _, err := s.Delete(t.Context(), "gone", es.Any, es.Purge); err != nil {
		t.Fatal(err)
	}
	put(t, s, "c", tick{61}, tick{62})
	records := all(t, s.ReadAll(t.Context()))
	if len(records) < 40 || len(records) > 60 {
		t.Fatalf("%d records", len(records))
	}
	return s, records
}

// filters are options and what they let through.
var filters = []struct {
	name string
	opts []es.FeedOption
	lets func(es.Record) bool
}{
	{"all", nil, func(es.Record) bool { return true }},
	{"a type", []es.FeedOption{es.Types("tock")}, func(r es.Record) bool { return r.Type == "tock" }},
	{"a prefix", []es.FeedOption{es.Prefixes("a-")}, func(r es.Record) bool { return strings.HasPrefix(r.Stream, "a-") }},
	{"two prefixes", []es.FeedOption{es.Prefixes("b"), es.Prefixes("c")}, func(r es.Record) bool { return r.Stream == "b-1" || r.Stream == "c" }},
	{"both", []es.FeedOption{es.Types("tick", "none"), es.Prefixes("a-2")}, func(r es.Record) bool { return r.Type == "tick" && r.Stream == "a-2" }},
	{"deletions", []es.FeedOption{es.Types(es.TypeDeleted)}, func(r es.Record) bool { return r.Type == es.TypeDeleted }},
	{"nothing", []es.FeedOption{es.Types("none")}, func(es.Record) bool { return false }},
}

func only(records []es.Record, lets func(es.Record) bool) []es.Record {
	return slices.DeleteFunc(slices.Clone(records), func(r es.Record) bool { return !lets(r) })
}

func TestReadAll(t *testing.T) {
	for kind := range feedKinds {
		s, records := feedStore(t, kind)
		for _, f := range filters {
			for _, after := range []int{0, 1, 17, len(records) - 1, len(records)} {
				begin := es.Position(0)
				if after > 0 {
					begin = records[after-1].Position
				}
				for _, limit := range []int{0, 1, 2, 7, 1000} {
					for _, page := range []int{0, 1, 5, 1000} {
						want := only(records[after:], f.lets)
						if limit > 0 && limit < len(want) {
							want = want[:limit]
						}
						opts := append(slices.Clone(f.opts), es.After(begin), es.Limit(limit), es.PageSize(page))
						got := all(t, s.ReadAll(t.Context(), opts...))
						if !slices.Equal(positions(got), positions(want)) {
							t.Errorf("%s: %s after %d, limit %d, pages of %d: %v, want %v", feedKinds[kind].name, f.name, begin, limit, page, positions(got), positions(want))
						}
					}
				}
			}
		}
	}
}

// A reader that stops and resumes, however it limits and filters, gets
// everything once: by the checkpoint of pages, by that of records, and by
// positions.
func TestResume(t *testing.T) {
	byPages := func(t *testing.T, s *es.Store, cp es.Checkpoint, opts []es.FeedOption) ([]es.Record, es.Checkpoint, bool) {
		var got []es.Record
		end := false
		for page, err := range s.Pages(t.Context(), append(opts, es.Resume(cp))...) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, page.Events...)
			if page.Next < cp.Position {
				t.Fatalf("the page goes back from %d to %d", cp.Position, page.Next)
			}
			if n := len(page.Events); n > 0 && (page.Events[0].Position <= cp.Position || page.Events[n-1].Position > page.Next) {
				t.Fatalf("a page after %d up to %d has the positions %v", cp.Position, page.Next, positions(page.Events))
			}
			cp = page.Checkpoint(cp)
			if end = page.CaughtUp; end {
				break
			}
		}
		return got, cp, end
	}
	byRecords := func(t *testing.T, s *es.Store, cp es.Checkpoint, opts []es.FeedOption) ([]es.Record, es.Checkpoint, bool) {
		got := all(t, s.ReadAll(t.Context(), append(opts, es.Resume(cp))...))
		for _, r := range got {
			cp = r.Seen(cp)
		}
		return got, cp, len(got) == 0
	}
	byPosition := func(t *testing.T, s *es.Store, cp es.Checkpoint, opts []es.FeedOption) ([]es.Record, es.Checkpoint, bool) {
		got := all(t, s.ReadAll(t.Context(), append(opts, es.After(cp.Position))...))
		if len(got) > 0 {
			cp.Position = got[len(got)-1].Position
		}
		return got, cp, len(got) == 0
	}
	for kind := range feedKinds {
		s, records := feedStore(t, kind)
		for _, f := range filters {
			want := only(records, f.lets)
			for _, limit := range []int{0, 1, 2, 5, 100} {
				for _, page := range []int{0, 1, 4} {
					for how, read := range []func(*testing.T, *es.Store, es.Checkpoint, []es.FeedOption) ([]es.Record, es.Checkpoint, bool){byPages, byRecords, byPosition} {
						name := fmt.Sprintf("%s: %s, limit %d, pages of %d, way %d", feedKinds[kind].name, f.name, limit, page, how)
						cpName := fmt.Sprintf("%s %d %d %d", f.name, limit, page, how)
						cp := es.Checkpoint{Name: cpName}
						var got []es.Record
						for n := 0; ; n++ {
							opts := append(slices.Clone(f.opts), es.Limit(limit), es.PageSize(page))
							some, next, end := read(t, s, cp, opts)
							if limit > 0 && len(some) > limit {
								t.Errorf("%s: a read gave %d", name, len(some))
							}
							got = append(got, some...)
							// What is written to a checkpoint is a valid one.
							if how < 2 {
								if _, err := over(t, fakeKeeper{fake: overMemory()}).SaveCheckpoint(t.Context(), next); err != nil {
									t.Fatalf("%s: %v", name, err)
								}
							}
							if cp = next; end {
								break
							}
							if n > 200 {
								t.Fatalf("%s: it does not end", name)
							}
						}
						if !slices.Equal(positions(got), positions(want)) {
							t.Errorf("%s: %v, want %v", name, positions(got), positions(want))
						}
						if head, _ := s.Head(t.Context()); how == 0 && cp.Position != head {
							t.Errorf("%s: the checkpoint ends at %d of %d", name, cp.Position, head)
						}
					}
				}
			}
		}
	}
}

func TestFeedRefuses(t *testing.T) {
	long := strings.Repeat("n", 256)
	large, largeSays := beyond()
	for _, row := range []struct {
		name string
		opt  es.FeedOption
		is   error
		says string
	}{
		{"nil", nil, es.ErrInvalid, "es: option of a feed: is nil"},
		{"no types", es.Types(), es.ErrInvalid, "es: Types: has no type"},
		{"no prefixes", es.Prefixes(), es.ErrInvalid, "es: Prefixes: has no prefix"},
		{"empty type", es.Types("a", ""), es.ErrInvalid, "es: type of the filter: is empty"},
		{"empty prefix", es.Prefixes(""), es.ErrInvalid, "es: prefix of the filter: is empty"},
		{"long type", es.Types(long), es.ErrInvalid, "the limit is 255"},
		{"long prefix", es.Prefixes(long), es.ErrInvalid, "the limit is 255"},
		{"negative limit", es.Limit(-1), es.ErrInvalid, "es: limit: -1 is negative"},
		{"negative page", es.PageSize(-1), es.ErrInvalid, "es: page size: -1 is negative"},
		{"page above 2^31-1", es.PageSize(large), es.ErrInvalid, largeSays},
		{"after 2^63", es.After(1 << 63), es.ErrInvalid, "above 2^63-1"},
		{"seen after the position", es.Resume(es.Checkpoint{Position: 1, SeenAt: 2, SeenID: es.ID{1}}), es.ErrInvalid, "is above the position to read after"},
		{"seen without an id", es.Resume(es.Checkpoint{Position: 1, SeenAt: 1}), es.ErrInvalid, "not both"},
		{"beyond the head", es.After(3), es.ErrCheckpointAhead, "last event is at position 2 (the read goes on after position 3)"},
	} {
		for _, filter := range []bool{true, false} {
			f := overMemory()
			f.caps = func(c driver.Caps) driver.Caps { c.FilterFeed = filter; return c }
			s := over(t, f)
			put(t, s, "s", tick{1}, tick{2})
			for way, read := range map[string]func() error{
				"ReadAll":   func() error { return last(s.ReadAll(t.Context(), row.opt)) },
				"Subscribe": func() error { return last(s.Subscribe(t.Context(), row.opt)) },
				"Pages":     func() error { return last(s.Pages(t.Context(), row.opt)) },
			} {
				err := read()
				if !errors.Is(err, row.is) || !strings.Contains(err.Error(), row.says) {
					t.Errorf("%s: %s: error %v, want one that says %s", row.name, way, err, row.says)
				}
			}
			if n := f.calls("feed"); row.is == es.ErrInvalid && n != 0 {
				t.Errorf("%s: the driver was called %d times", row.name, n)
			}
		}
	}
}

// The last of several beginnings counts.
func TestLastBeginningCounts(t *testing.T) {
	s := over(t, memory.New())
	put(t, s, "s", ticks(1, 5)...)
	bad := es.Checkpoint{Position: 3, SeenAt: 3, SeenID: es.ID{1}}
	if got := all(t, s.ReadAll(t.Context(), es.Resume(bad), es.After(2))); !slices.Equal(positions(got), span[es.Position](3, 5)) {
		t.Errorf("%v", positions(got))
	}
	if _, err := collect(t, s.ReadAll(t.Context(), es.After(2), es.Resume(bad))); !errors.Is(err, es.ErrCheckpointAhead) {
		t.Errorf("error %v", err)
	}
}

// script is a fake whose feed gives these pages, one after the other, and the
// last one for ever.
func script(pages ...driver.FeedPage) (*fake, *[]time.Time) {
	f := overMemory()
	var at []time.Time
	f.onFeed = func(ctx context.Context, q driver.FeedQuery) (driver.FeedPage, error) {
		at = append(at, time.Now())
		page := pages[min(len(at), len(pages))-1]
		page.Records = slices.Clone(page.Records)
		return page, ctx.Err()
	}
	return f, &at
}

// page makes a page of a feed with ticks at these positions.
func page(next driver.Position, end bool, at ...driver.Position) driver.FeedPage {
	p := driver.FeedPage{Next: next, End: end}
	for _, pos := range at {
		p.Records = append(p.Records, driver.Record{
			Stream: "s", Version: driver.Version(pos), Position: pos, ID: driver.ID{15: byte(pos)},
			Type: "tick", Encoding: "json", Data: fmt.Appendf(nil, `{"N":%d}`, pos), Time: time.Unix(1, 0),
		})
	}
	return p
}

// Pages gives a page if it has events, if Next moved or if CaughtUp became true,
// and no other.
func TestPagesThatAreGiven(t *testing.T) {
	type given struct {
		next   es.Position
		events int
		caught bool
	}
	for _, row := range []struct {
		name  string
		pages []driver.FeedPage
		opts  []es.FeedOption
		want  []given
	}{
		{"an empty store", []driver.FeedPage{page(0, true)}, nil, []given{{0, 0, true}}},
		{"at rest", []driver.FeedPage{page(2, true, 1, 2), page(2, true), page(2, true)}, nil, []given{{2, 2, true}}},
		{"caught up without moving", []driver.FeedPage{page(2, false, 1, 2), page(2, true)}, nil, []given{{2, 2, false}, {2, 0, true}}},
		{"news", []driver.FeedPage{page(1, true, 1), page(1, true), page(2, true, 2), page(2, true)}, nil, []given{{1, 1, true}, {2, 1, true}}},
		{"a dead gap", []driver.FeedPage{page(1, true, 1), page(9, true), page(9, true)}, nil, []given{{1, 1, true}, {9, 0, true}}},
		{"gaps on the way", []driver.FeedPage{page(5, false), page(6, false, 6), page(9, false), page(9, true)}, nil, []given{{5, 0, false}, {6, 1, false}, {9, 0, false}, {9, 0, true}}},
		{"held back", []driver.FeedPage{page(0, false), page(0, false), page(1, true, 1), page(1, true)}, nil, []given{{1, 1, true}}},
		{"held back, and nothing comes", []driver.FeedPage{page(1, true, 1), page(1, false), page(1, false), page(1, true)}, nil, []given{{1, 1, true}, {1, 0, true}}},
		{"filtered", []driver.FeedPage{page(2, false, 1, 2), page(4, true, 3, 4), page(4, true), page(5, true, 5), page(5, true)}, []es.FeedOption{es.Types("tock")}, []given{{2, 0, false}, {4, 0, true}, {5, 0, true}}},
	} {
		synctest.Test(t, func(t *testing.T) {
			f, _ := script(row.pages...)
			f.caps = func(c driver.Caps) driver.Caps { c.FilterFeed = false; return c }
			s := over(t, f)
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			var got []given
			var err error
			for p, e := range s.Pages(ctx, row.opts...) {
				if err = e; err == nil {
					got = append(got, given{p.Next, len(p.Events), p.CaughtUp})
				}
			}
			is(t, row.name, err, context.DeadlineExceeded)
			if !slices.Equal(got, row.want) {
				t.Errorf("%s: %+v, want %+v", row.name, got, row.want)
			}
		})
	}
}

func TestReadAllEndsAtTheFirstEnd(t *testing.T) {
	for _, row := range []struct {
		name  string
		pages []driver.FeedPage
		want  []es.Position
	}{
		{"at once", []driver.FeedPage{page(0, true), page(1, true, 1)}, []es.Position{}},
		{"with events", []driver.FeedPage{page(2, true, 1, 2), page(3, true, 3)}, []es.Position{1, 2}},
		{"empty pages before", []driver.FeedPage{page(5, false), page(7, false), page(8, false, 8), page(8, true), page(9, true, 9)}, []es.Position{8}},
		{"held back", []driver.FeedPage{page(2, false, 1, 2), page(2, false), page(2, false), page(3, true, 3), page(4, true, 4)}, []es.Position{1, 2, 3}},
	} {
		synctest.Test(t, func(t *testing.T) {
			f, at := script(row.pages...)
			s := over(t, f)
			got := all(t, s.ReadAll(t.Context()))
			if !slices.Equal(positions(got), row.want) {
				t.Errorf("%s: %v, want %v", row.name, positions(got), row.want)
			}
			ends := slices.IndexFunc(row.pages, func(p driver.FeedPage) bool { return p.End })
			if len(*at) != ends+1 {
				t.Errorf("%s: %d pages were read, want %d", row.name, len(*at), ends+1)
			}
		})
	}
}

// Before something that is held back a reader asks again after 1 ms, 2 ms and so
// on to 100 ms; every time anew, whatever it waited for before.
func TestHeldBack(t *testing.T) {
	ms := func(ns ...time.Duration) (out []time.Duration) {
		for _, n := range ns {
			out = append(out, n*time.Millisecond)
		}
		return out
	}
	pauses := func(at []time.Time) (out []time.Duration) {
		for i := 1; i < len(at); i++ {
			out = append(out, at[i].Sub(at[i-1]))
		}
		return out
	}
	held := page(1, false)
	var nine []driver.FeedPage
	for range 9 {
		nine = append(nine, held)
	}
	synctest.Test(t, func(t *testing.T) {
		f, at := script(slices.Concat([]driver.FeedPage{page(1, false, 1)}, nine, []driver.FeedPage{page(2, false, 2), page(2, false), page(2, false), page(3, true, 3)})...)
		all(t, over(t, f).ReadAll(t.Context()))
		if got, want := pauses(*at), ms(0, 1, 2, 4, 8, 16, 32, 64, 100, 100, 0, 1, 2); !slices.Equal(got, want) {
			t.Errorf("pauses %v, want %v", got, want)
		}
	})
	// After a long rest as well: another's append is under way.
	synctest.Test(t, func(t *testing.T) {
		rest := slices.Repeat([]driver.FeedPage{page(1, true)}, 8)
		f, at := script(slices.Concat([]driver.FeedPage{page(1, true, 1)}, rest, []driver.FeedPage{held, held, held, page(1, true), page(1, true), held, held, page(2, true, 2), page(2, true)})...)
		s := over(t, f)
		for r, err := range s.Subscribe(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			if r.Position == 2 {
				break
			}
		}
		if got, want := pauses(*at), ms(10, 20, 40, 80, 160, 320, 500, 500, 500, 1, 2, 4, 10, 20, 1, 2); !slices.Equal(got, want) {
			t.Errorf("pauses %v, want %v", got, want)
		}
	})
	// What is held back ends with the context.
	synctest.Test(t, func(t *testing.T) {
		f, _ := script(page(0, false))
		ctx, cancel := context.WithTimeout(t.Context(), 1234*time.Millisecond)
		defer cancel()
		start := time.Now()
		is(t, "ReadAll", last(over(t, f).ReadAll(ctx)), context.DeadlineExceeded)
		if d := time.Since(start); d != 1234*time.Millisecond {
			t.Errorf("it took %v", d)
		}
	})
}

// A driver that gives what cannot be is stopped, before anybody sees it.
func TestFeedThatCannotBe(t *testing.T) {
	for _, row := range []struct {
		name string
		page driver.FeedPage
	}{
		{"going back", page(4, false)},
		{"going back, at the end", page(4, true)},
		{"an event again", page(7, true, 5, 6, 7)},
		{"an event again, without moving", page(5, true, 5)},
		{"an event beyond the page", page(6, true, 6, 7)},
	} {
		for way, read := range map[string]func(*es.Store) iter.Seq2[es.Record, error]{
			"ReadAll":   func(s *es.Store) iter.Seq2[es.Record, error] { return s.ReadAll(t.Context(), es.After(3)) },
			"Subscribe": func(s *es.Store) iter.Seq2[es.Record, error] { return s.Subscribe(t.Context(), es.After(3)) },
		} {
			f, _ := script(page(5, false, 4, 5), row.page)
			got, err := collect(t, read(over(t, f)))
			is(t, row.name+": "+way, err, es.ErrCorrupt)
			if !slices.Equal(positions(got), []es.Position{4, 5}) {
				t.Errorf("%s: %s: %v", row.name, way, positions(got))
			}
		}
	}
}

// A page that cannot be read stops the feed, once, and after what came before.
func TestFeedFailsInTheMiddle(t *testing.T) {
	f := overMemory()
	s := over(t, f)
	put(t, s, "s", ticks(1, 10)...)
	pages := 0
	f.onFeed = func(ctx context.Context, q driver.FeedQuery) (driver.FeedPage, error) {
		if pages++; pages == 3 {
			return driver.FeedPage{}, errBroken
		}
		return f.Store.ReadAll(ctx, q)
	}
	got, err := collect(t, s.ReadAll(t.Context(), es.PageSize(3)))
	is(t, "ReadAll", err, errBroken)
	if !slices.Equal(positions(got), span[es.Position](1, 6)) {
		t.Errorf("positions %v", positions(got))
	}
}

// A reader tells the driver the last event that it saw, so that a store that was
// restored while it reads is noticed.
func TestFeedTellsWhatItSaw(t *testing.T) {
	for kind := range feedKinds {
		s, records := feedStore(t, kind)
		f := s.Driver().(*fake)
		own := f.onFeed
		f.onFeed = func(ctx context.Context, q driver.FeedQuery) (driver.FeedPage, error) {
			i := slices.IndexFunc(records, func(r es.Record) bool { return r.Position == q.Seen.Position })
			passed := slices.ContainsFunc(records, func(r es.Record) bool { return r.Position <= q.After && r.Position > q.Seen.Position })
			if q.After > 0 && (passed || i >= 0 && records[i].ID != q.Seen.ID) { // or a purged one
				t.Errorf("%s: after %d the reader says that it saw %+v", feedKinds[kind].name, q.After, q.Seen)
			}
			return own(ctx, q)
		}
		for _, filter := range filters[:3] {
			all(t, s.ReadAll(t.Context(), append(filter.opts, es.PageSize(2))...))
		}
	}
}

// A checkpoint of one store is refused by another in its place, at once and
// never by skipping.
func TestRestoredStore(t *testing.T) {
	ids := func(first byte) es.Option {
		return es.WithIDs(func() es.ID { first++; return es.ID{15: first} })
	}
	old := over(t, memory.New(), ids(0))
	put(t, old, "s", ticks(1, 5)...)
	var byPage, byRecord es.Checkpoint
	for p, err := range old.Pages(t.Context(), es.Limit(3)) {
		if err != nil {
			t.Fatal(err)
		}
		byPage = p.Checkpoint(byPage)
		byRecord = p.Events[len(p.Events)-1].Seen(byRecord)
	}
	if byPage != byRecord || byPage.Position != 3 || byPage.SeenAt != 3 || byPage.SeenID != (es.ID{15: 3}) {
		t.Fatalf("checkpoints %+v and %+v", byPage, byRecord)
	}
	for _, row := range []struct {
		name   string
		first  byte
		events int
		want   error
	}{
		{"the same", 0, 5, nil},
		{"restored, and grown since", 100, 5, es.ErrCheckpointAhead},
		{"restored, shorter", 0, 2, es.ErrCheckpointAhead},
		{"restored to exactly here", 0, 3, nil},
		{"empty", 0, 0, es.ErrCheckpointAhead},
	} {
		s := over(t, memory.New(), ids(row.first))
		if row.events > 0 {
			put(t, s, "s", ticks(1, row.events)...)
		}
		for way, read := range map[string]func() error{
			"ReadAll":   func() error { return last(s.ReadAll(t.Context(), es.Resume(byPage))) },
			"filtered":  func() error { return last(s.ReadAll(t.Context(), es.Resume(byPage), es.Types("none"))) },
			"Subscribe": func() error { return first(s.Subscribe(t.Context(), es.Resume(byPage), es.Limit(1))) },
			"Pages":     func() error { return first(s.Pages(t.Context(), es.Resume(byPage))) },
		} {
			if row.want == nil && way == "Subscribe" && row.events == 3 {
				continue // it would wait for ever
			}
			if err := read(); !errors.Is(err, row.want) {
				t.Errorf("%s: %s: error %v, want %v", row.name, way, err, row.want)
			}
		}
	}
}

// first returns the error of the first of a sequence, and leaves it.
func first[T any](seq iter.Seq2[T, error]) error {
	for _, err := range seq {
		return err
	}
	return nil
}

// A purge leaves a hole that readers pass, and a checkpoint on a purged event
// still counts.
func TestCheckpointOnAPurgedEvent(t *testing.T) {
	s := over(t, memory.New())
	put(t, s, "s", ticks(1, 3)...)
	put(t, s, "t", ticks(4, 6)...)
	cp := all(t, s.ReadAll(t.Context(), es.Limit(2)))[1].Seen(es.Checkpoint{})
	if _, err := s.Delete(t.Context(), "s", es.Any, es.Purge); err != nil {
		t.Fatal(err)
	}
	if got := all(t, s.ReadAll(t.Context(), es.Resume(cp), es.PageSize(1))); !slices.Equal(positions(got), span[es.Position](4, 7)) {
		t.Errorf("%v", positions(got))
	}
}

func TestLeaveAFeed(t *testing.T) {
	f := overMemory()
	s := over(t, f)
	put(t, s, "s", ticks(1, 10)...)
	for _, seq := range []iter.Seq2[es.Record, error]{s.ReadAll(t.Context(), es.PageSize(3)), s.Subscribe(t.Context(), es.PageSize(3))} {
		for range 2 { // ranging again reads anew
			before, n := f.calls("feed"), 0
			for r, err := range seq {
				if err != nil {
					t.Fatal(err)
				}
				if n++; number(t, r) != n {
					t.Errorf("event %d is %d", n, number(t, r))
				}
				put(t, s, "other", tick{}) // no deadlock
				if n == 4 {
					break
				}
			}
			if calls := f.calls("feed") - before; calls < 2 || calls > 3 { // two, and one ahead
				t.Errorf("%d pages were read", calls)
			}
		}
	}
	pages := 0
	for _, err := range s.Pages(t.Context(), es.PageSize(3)) {
		if err != nil {
			t.Fatal(err)
		}
		pages++
		break
	}
	if pages != 1 {
		t.Errorf("%d pages", pages)
	}
}
