package es_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"testing"

	"github.com/go-es/es"
	"github.com/go-es/es/driver"
	"github.com/go-es/es/drivers/memory"
)

// infos collects a listing.
func infos(t *testing.T, seq iter.Seq2[es.StreamInfo, error]) (out []es.StreamInfo, err error) {
	t.Helper()
	for i, e := range seq {
		if err != nil {
			t.Fatalf("the listing goes on after the error %v", err)
		}
		if err = e; err == nil {
			out = append(out, i)
		} else if i != (es.StreamInfo{}) {
			t.Errorf("with the error %v comes %+v", err, i)
		}
	}
	return out, err
}

func TestStreams(t *testing.T) {
	names := []string{"A", "a", "a-1", "a-10", "a-2", "a-é", "b", "c-deleted", "c-purged", "é"} // in byte order
	for _, short := range []int{0, 1, 3} {
		f := overMemory()
		f.onList = func(ctx context.Context, q driver.ListQuery) (driver.ListPage, error) {
			if short > 0 && (q.Limit == 0 || q.Limit > short) {
				q.Limit = short
			}
			return f.Store.ListStreams(ctx, q)
		}
		s := over(t, f)
		for i := range names {
			name := names[(i+7)%len(names)]
			put(t, s, name, ticks(1, len(name))...)
			switch name {
			case "c-deleted":
				if _, err := s.Delete(t.Context(), name, es.Any, es.Tombstone); err != nil {
					t.Fatal(err)
				}
			case "c-purged":
				if _, err := s.Delete(t.Context(), name, es.Any, es.Purge); err != nil {
					t.Fatal(err)
				}
			}
		}
		for _, row := range []struct {
			name string
			opts []es.ListOption
			want []string
		}{
			{"all", nil, names},
			{"no prefix", []es.ListOption{es.Prefix("")}, names},
			{"prefix", []es.ListOption{es.Prefix("a-")}, []string{"a-1", "a-10", "a-2", "a-é"}},
			{"prefix that is a name", []es.ListOption{es.Prefix("a-1")}, []string{"a-1", "a-10"}},
			{"prefix of none", []es.ListOption{es.Prefix("z")}, nil},
			{"after", []es.ListOption{es.AfterStream("a-2")}, names[5:]},
			{"after one that is not there", []es.ListOption{es.AfterStream("a-11")}, names[4:]},
			{"after the last", []es.ListOption{es.AfterStream("é")}, nil},
			{"prefix and after", []es.ListOption{es.Prefix("a"), es.AfterStream("a-10")}, []string{"a-2", "a-é"}},
			{"limit", []es.ListOption{es.Limit(4)}, names[:4]},
			{"limit beyond the end", []es.ListOption{es.Limit(100)}, names},
			{"no limit", []es.ListOption{es.Limit(0)}, names},
			{"limit, prefix, after", []es.ListOption{es.Limit(1), es.Prefix("a"), es.AfterStream("a")}, []string{"a-1"}},
		} {
			for _, page := range []int{0, 1, 2, 4, 100} {
				got, err := infos(t, s.Streams(t.Context(), append(row.opts, es.PageSize(page))...))
				if err != nil {
					t.Fatal(err)
				}
				var want []es.StreamInfo
				for _, name := range row.want {
					closed := strings.HasPrefix(name, "c-")
					v := es.Version(len(name))
					if closed {
						v++
					}
					want = append(want, es.StreamInfo{Stream: name, Version: v, Closed: closed})
				}
				if !slices.Equal(got, want) {
					t.Errorf("%s, pages of %d and %d: %v, want %v", row.name, page, short, got, want)
				}
			}
		}
		before, n := f.calls("list"), 0
		for range s.Streams(t.Context(), es.PageSize(1)) {
			put(t, s, fmt.Sprint("new", n), tick{}) // no deadlock
			if n++; n == 3 {
				break
			}
		}
		if calls := f.calls("list") - before; calls != 3 {
			t.Errorf("a listing that was left after 3 read %d pages of 1", calls)
		}
	}
}

func TestStreamsRefuses(t *testing.T) {
	f := overMemory()
	s := over(t, f)
	put(t, s, "s", tick{})
	for name, opt := range map[string]es.ListOption{
		"nil": nil, "prefix": es.Prefix(strings.Repeat("n", 256)), "after": es.AfterStream("\xff"), "limit": es.Limit(-1), "page": es.PageSize(-1),
	} {
		got, err := infos(t, s.Streams(t.Context(), opt))
		if len(got) > 0 || !errors.Is(err, es.ErrInvalid) {
			t.Errorf("%s: %v, error %v", name, got, err)
		}
	}
	if n := f.calls("list"); n != 0 {
		t.Errorf("the driver was called %d times", n)
	}
	pages := 0
	f.onList = func(ctx context.Context, q driver.ListQuery) (driver.ListPage, error) {
		if pages++; pages == 2 {
			return driver.ListPage{}, errBroken
		}
		return driver.ListPage{Streams: []driver.StreamInfo{{Stream: "s"}}, Next: "s"}, nil
	}
	got, err := infos(t, s.Streams(t.Context()))
	is(t, "Streams", err, errBroken)
	if len(got) != 1 {
		t.Errorf("%v", got)
	}
}

func TestStreamsOfAnEmptyStore(t *testing.T) {
	if got, err := infos(t, over(t, memory.New()).Streams(t.Context())); len(got) > 0 || err != nil {
		t.Errorf("%v, error %v", got, err)
	}
}

// A driver whose listing does not go on is refused, and not asked for ever.
func TestStreamsThatDoNotGoOn(t *testing.T) {
	f := overMemory()
	s := over(t, f)
	f.onList = func(context.Context, driver.ListQuery) (driver.ListPage, error) { return driver.ListPage{}, nil }
	for _, err := range s.Streams(t.Context(), es.AfterStream("a")) {
		is(t, "Streams", err, es.ErrCorrupt)
	}
}
