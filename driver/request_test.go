package driver_test

import (
	"testing"

	"github.com/go-es/es/driver"
)

func TestSize(t *testing.T) {
	for _, row := range []struct {
		name string
		r    driver.Record
		want int
	}{
		{"nothing", driver.Record{}, 64},
		{"data", driver.Record{Data: make([]byte, 100)}, 164},
		{"metadata", driver.Record{Metadata: make([]byte, 30)}, 94},
		{"type", driver.Record{Type: "type"}, 68},
		{"encoding", driver.Record{Encoding: "json"}, 68},
		{"tags", driver.Record{Tags: []string{"a", "", "bcé"}}, 93},
		{"what does not count", driver.Record{Stream: "stream", Version: 1 << 40, Position: 1 << 40, ID: id(1), Time: now}, 64},
		{"all", driver.Record{Stream: "s", Data: []byte("1"), Metadata: []byte("22"), Type: "333", Encoding: "4444", Tags: []string{"55555"}}, 87},
	} {
		if got := driver.Size(&row.r); got != row.want {
			t.Errorf("%s: %d, want %d", row.name, got, row.want)
		}
	}
	s := driver.Snapshot{Stream: "stream", Kind: "kind", Version: 7, EventID: id(1), Encoding: "json", Data: make([]byte, 10)}
	if got := driver.SnapshotSize(&s); got != 78 {
		t.Errorf("a snapshot: %d, want 78", got)
	}
}

func TestFilter(t *testing.T) {
	type row struct {
		stream, typ string
		want        bool
	}
	for _, filter := range []struct {
		name string
		f    driver.Filter
		zero bool
		rows []row
	}{
		{"nothing", driver.Filter{}, true, []row{{"a-1", "t", true}, {"", "", true}}},
		{"empty slices", driver.Filter{Types: []string{}, Prefixes: []string{}}, true, []row{{"a-1", "t", true}}},
		{"types", driver.Filter{Types: []string{"t", "u"}}, false, []row{{"a-1", "t", true}, {"b", "u", true}, {"a-1", "T", false}, {"a-1", "t ", false}, {"a-1", "tu", false}, {"a-1", "$deleted", false}}},
		{"prefixes", driver.Filter{Prefixes: []string{"a-", "b"}}, false, []row{{"a-1", "t", true}, {"a-", "t", true}, {"b", "t", true}, {"bc", "t", true}, {"a", "t", false}, {"A-1", "t", false}, {"xa-1", "t", false}}},
		{"both", driver.Filter{Types: []string{"t"}, Prefixes: []string{"a-"}}, false, []row{{"a-1", "t", true}, {"a-1", "u", false}, {"b-1", "t", false}, {"b-1", "u", false}}},
		{"no pattern", driver.Filter{Types: []string{"%"}, Prefixes: []string{"a_"}}, false, []row{{"a_1", "%", true}, {"ab1", "%", false}, {"a_1", "t", false}}},
	} {
		if got := filter.f.IsZero(); got != filter.zero {
			t.Errorf("%s: IsZero is %v", filter.name, got)
		}
		for _, r := range filter.rows {
			if got := filter.f.Match(&driver.Record{Stream: r.stream, Type: r.typ}); got != r.want {
				t.Errorf("%s: Match(%q, %q) is %v", filter.name, r.stream, r.typ, got)
			}
		}
		if err := driver.CheckFilter(filter.f); err != nil {
			t.Errorf("%s: %v", filter.name, err)
		}
	}
	if got, want := text(driver.CheckFilter(driver.Filter{Types: []string{"\x00"}})), `es: type of the filter: "\x00" contains a NUL byte`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got, want := text(driver.CheckFilter(driver.Filter{Prefixes: []string{"a", "\xff"}})), `es: prefix of the filter: "\xff" is not valid UTF-8`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
