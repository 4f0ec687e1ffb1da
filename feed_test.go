package es_test

import (
	"testing"

	"github.com/go-es/es"
	"github.com/go-es/es/drivers/memory"
)

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
