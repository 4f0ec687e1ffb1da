package dynamodbtest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/go-es/es/driver"
)

// Appends of one process to one stream at any version become one commit while
// another is under way, and each of them is told where its events are. One of them
// that is given up takes no other with it.
func TestLine(t *testing.T) {
	s, wire := openWire(t, data(t, server(t)))
	puts := 0
	wire.set(func(r *request) (*http.Response, error) {
		if r.op == "PutItem" {
			wire.mu.Lock()
			puts++
			wire.mu.Unlock()
			time.Sleep(100 * time.Millisecond)
		}
		return r.pass()
	})
	const n = 40
	var wait sync.WaitGroup
	recs, first, errs := make([][]driver.Record, n), make([]driver.Version, n), make([]error, n)
	for i := range n {
		recs[i] = records(1 + i%3)
		wait.Go(func() {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if i%8 == 7 {
				time.AfterFunc(time.Duration(i)*4*time.Millisecond, cancel)
			}
			res, err := s.Append(ctx, to("s", driver.Any, recs[i]...))
			if errs[i] = err; err == nil {
				first[i] = res.Parts[0].First
			}
		})
	}
	wait.Wait()
	got := ids(t, s, "s")
	stored := map[driver.ID]int{}
	for _, id := range got {
		stored[id]++
	}
	for i := range n {
		switch {
		case errs[i] == nil:
			for j, r := range recs[i] {
				if v := int(first[i]) - 1 + j; v >= len(got) || got[v] != r.ID || stored[r.ID] != 1 {
					t.Errorf("append %d was told version %d: %v is not there, once", i, first[i], r.ID)
				}
			}
		case i%8 == 7 && errors.Is(errs[i], context.Canceled) && !errors.Is(errs[i], driver.ErrUnknownOutcome):
			if stored[recs[i][0].ID] > 0 {
				t.Errorf("append %d failed with %v, and is stored", i, errs[i])
			}
		default:
			t.Errorf("append %d: %v", i, errs[i])
		}
	}
	if puts > n/3 {
		t.Errorf("%d appends took %d puts", n, puts)
	}
	if f := feed(t, s); fmt.Sprint(f) != fmt.Sprint(got) {
		t.Errorf("the feed has %v, and the stream %v", f, got)
	}
}

// Together they keep to the limits of one append.
func TestLineLimits(t *testing.T) {
	s, wire := openWire(t, data(t, server(t)))
	wire.set(func(r *request) (*http.Response, error) {
		if r.op == "PutItem" {
			time.Sleep(50 * time.Millisecond)
		}
		return r.pass()
	})
	var wait sync.WaitGroup
	for i := range 12 {
		wait.Go(func() {
			recs := records(900)
			if i%2 == 0 {
				recs = records(1)
				recs[0].Data = make([]byte, 300<<10)
			}
			if _, err := s.Append(t.Context(), to("s", driver.Any, recs...)); err != nil {
				t.Errorf("append %d: %v", i, err)
			}
		})
	}
	wait.Wait()
	if n := len(ids(t, s, "s")); n != 6*900+6 {
		t.Errorf("the stream has %d events", n)
	}
}
