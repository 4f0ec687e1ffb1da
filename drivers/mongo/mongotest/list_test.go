package mongotest

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/go-es/es/driver"
)

// A listing reads short streams from one to the next, and leaves the rest of a long one
// out: whatever streams come one after the other, however long a page is and wherever
// it begins.
func TestList(t *testing.T) {
	s, commands := openCounted(t, data(t, server(t)))
	sizes := map[string]int{"a": 3, "a\x01": 2, "a\x01b": 1, "a b": 70, "aa": 1, "é": 5, "z": 1, "giant": 1200, "giants": 2}
	for i := range 150 {
		sizes[fmt.Sprintf("short-%03d", i)] = 1 + i%3
	}
	for i := range 10 {
		sizes[fmt.Sprintf("long-%d", i)] = []int{1, 3, 4, 5, 63, 64, 65, 129, 200, 90}[i]
	}
	for i := range 30 { // long and short in turn
		sizes[fmt.Sprintf("mixed-%02d", i)] = 1 + i%2*20
	}
	want := make([]driver.StreamInfo, 0, len(sizes))
	for version := driver.Version(0); ; version++ {
		var reqs []driver.AppendRequest
		for name, n := range sizes {
			if driver.Version(n) > version {
				reqs = append(reqs, to(name, driver.Expected(version), records(1)...))
			}
		}
		if len(reqs) == 0 {
			break
		}
		for _, out := range s.(driver.GroupAppender).AppendGroup(t.Context(), reqs) {
			must(t, out.Err)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(sizes)) {
		info := driver.StreamInfo{Stream: name, Version: driver.Version(sizes[name])}
		if strings.HasSuffix(name, "7") {
			mode := driver.Tombstone
			if strings.HasSuffix(name, "17") {
				mode = driver.Purge
			}
			_, err := s.Delete(t.Context(), driver.DeleteRequest{Stream: name, Expected: driver.Any, Mode: mode, Record: record(driver.TypeDeleted)})
			must(t, err)
			info.Version, info.Closed = info.Version+1, true
		}
		want = append(want, info)
	}
	for _, prefix := range []string{"", "a", "a\x01", "long-", "long-5", "mixed-", "short-", "none"} {
		of := slices.DeleteFunc(slices.Clone(want), func(i driver.StreamInfo) bool { return !strings.HasPrefix(i.Stream, prefix) })
		for _, limit := range []int{0, 1, 2, 3, 7, 64, 149, len(want)} {
			if limit == 1 && prefix == "" {
				continue
			}
			var got []driver.StreamInfo
			q := driver.ListQuery{Prefix: prefix, Limit: limit}
			for {
				page, err := s.ListStreams(t.Context(), q)
				must(t, err)
				if limit > 0 && len(page.Streams) > limit || !page.End && len(page.Streams) == 0 {
					t.Fatalf("prefix %q, limit %d: a page of %d streams, end %v", prefix, limit, len(page.Streams), page.End)
				}
				got = append(got, page.Streams...)
				if page.End || len(got) > len(of) {
					break
				}
				q.After = page.Next
			}
			if !slices.Equal(got, of) {
				t.Errorf("prefix %q, limit %d:\n%v\nwant\n%v", prefix, limit, got, of)
			}
		}
	}

	for _, c := range []struct {
		prefix string
		most   int64
	}{
		{"short-", 8}, // 300 commits, and no other request for any of them
		{"long-", 24}, // two for each of the ten, and some on the way
		{"giant", 3},
	} {
		before := commands.Load()
		_, err := s.ListStreams(t.Context(), driver.ListQuery{Prefix: c.prefix})
		must(t, err)
		if n := commands.Load() - before; n > c.most {
			t.Errorf("%d commands for the streams %s*, not %d at most", n, c.prefix, c.most)
		}
	}
}
