package postgrestest

import (
	"bytes"
	"testing"

	"github.com/go-es/es/driver"
)

// Events of sizes around those from which they are read by themselves come back
// whole, between small ones.
func TestSizes(t *testing.T) {
	p := opened(t, data(t, server(t)))
	var want []driver.Record
	for _, data := range []int{0, 1, 4096, 4097, 100_000} {
		for _, meta := range []int{0, 1, 1024, 1025, 4096, 4097, 100_000} {
			r := record("")
			r.Data, r.Metadata = bytes.Repeat([]byte{'d'}, data), bytes.Repeat([]byte{'m'}, meta)
			want = append(want, r)
		}
	}
	_, err := p.Append(t.Context(), to("s", 0, want...))
	must(t, err)
	check := func(what string, got []driver.Record, index func(i int) int) {
		t.Helper()
		if len(got) != len(want) {
			t.Fatalf("%s: %d events of %d", what, len(got), len(want))
		}
		for i, r := range got {
			w := want[index(i)]
			if r.Stream != "s" || r.ID != w.ID || !bytes.Equal(r.Data, w.Data) || !bytes.Equal(r.Metadata, w.Metadata) {
				t.Errorf("%s, %d: %d bytes of data and %d of metadata, want %d and %d", what, i, len(r.Data), len(r.Metadata), len(w.Data), len(w.Metadata))
			}
		}
	}
	forward := func(i int) int { return i }
	page, err := p.ReadStream(t.Context(), driver.StreamQuery{Stream: "s"})
	must(t, err)
	check("stream", page.Records, forward)
	page, err = p.ReadStream(t.Context(), driver.StreamQuery{Stream: "s", Backward: true})
	must(t, err)
	check("stream, backward", page.Records, func(i int) int { return len(want) - 1 - i })
	feed, err := p.ReadAll(t.Context(), driver.FeedQuery{})
	must(t, err)
	check("feed", feed.Records, forward)
}
