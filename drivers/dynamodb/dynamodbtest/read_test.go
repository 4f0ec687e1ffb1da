package dynamodbtest

import (
	"bytes"
	"net/http"
	"sync"
	"testing"

	"github.com/go-es/es/driver"
)

// readBeside reads a page forward while another client appends: before the tail of
// the stream is asked for, or between the two halves of a first request.
func readBeside(t *testing.T, q driver.StreamQuery, tail bool, there int, then ...int) driver.StreamPage {
	t.Helper()
	dsn := data(t, server(t))
	s, wire := openWire(t, dsn)
	other, _ := openWire(t, dsn)
	grow := func(n int) {
		_, err := other.Append(t.Context(), to(q.Stream, driver.Any, records(n)...))
		must(t, err)
	}
	if there > 0 {
		grow(there)
	}
	var once sync.Once
	below := make(chan struct{}) // closed when the first request for what begins below is answered
	wire.set(func(r *request) (*http.Response, error) {
		backward := bytes.Contains(r.body, []byte(`"ScanIndexForward":false`))
		isTail := backward && !bytes.Contains(r.body, []byte(":low"))
		switch {
		case r.op != "Query":
		case tail && isTail:
			once.Do(func() {
				for _, n := range then {
					grow(n)
				}
			})
		case !tail && backward && !isTail:
			defer once.Do(func() { close(below) })
		case !tail && !backward:
			<-below
			for _, n := range then {
				grow(n)
			}
			then = nil
		}
		return r.pass()
	})
	page, err := s.ReadStream(t.Context(), q)
	must(t, err)
	return page
}

// A page is one that the stream has had, whatever is appended between the requests
// that it is made of.
func TestReadBeside(t *testing.T) {
	check := func(what string, page driver.StreamPage, first driver.Version) {
		t.Helper()
		if len(page.Records) == 0 && !page.End || len(page.Records) > 0 && page.Records[0].Version != first {
			t.Errorf("%s: head %d, end %v: %+v", what, page.Head, page.End, page.Records)
		}
	}
	q := driver.StreamQuery{Stream: "s"}
	check("a stream that begins", readBeside(t, q, true, 0, 2), 1)
	q.From = 6
	check("after the last event", readBeside(t, q, true, 5, 2), 6)
	q.From = 7
	check("farther after the last event", readBeside(t, q, false, 5, 3, 1), 7)
}
