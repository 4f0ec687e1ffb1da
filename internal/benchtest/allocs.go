package benchtest

import (
	"testing"

	"github.com/go-es/es"
)

// Allocs are how many allocations an event costs at most. Counts do not depend on
// the machine; they do on the version of Go, a little.
type Allocs struct {
	Append, Append10 float64 // by itself, and among ten of an append
	Read, Feed       float64 // of a stream and of the feed, decoded
	Load             float64 // as part of an aggregate
}

// CheckAllocs fails if an event costs more in an empty store than allowed. Where a
// change is worth what it costs, or costs less, the limit is set anew: to what was
// counted, which go test -v prints, and a tenth more.
//
// The race detector makes counts differ: such tests are not built with it.
func CheckAllocs(t *testing.T, s *es.Store, limit Allocs) {
	ctx := t.Context()
	fatal := func(err error) {
		if err != nil {
			t.Helper()
			t.Fatal(err)
		}
	}
	next := 0
	appends := func(n int) float64 {
		events := make([]es.Event, n)
		for i := range events {
			events[i] = deposit(i)
		}
		return testing.AllocsPerRun(500, func() {
			next++
			_, err := s.Append(ctx, stream(next), es.NoStream, events...)
			fatal(err)
		}) / float64(n)
	}
	one, ten := appends(1), appends(10)
	events := make([]es.Event, 100)
	for i := range events {
		events[i] = deposit(i)
	}
	for range each / len(events) {
		_, err := s.Append(ctx, "account-read", es.Any, events...)
		fatal(err)
	}
	read := func(events func(func(es.Record, error) bool)) float64 {
		n := 0
		all := testing.AllocsPerRun(20, func() {
			n = 0
			for rec, err := range events {
				fatal(err)
				_, err := es.As[Deposited](rec)
				fatal(err)
				n++
			}
		})
		return all / float64(n)
	}
	repo := accounts.Repository(s)
	for _, c := range []struct {
		name           string
		counted, limit float64
	}{
		{"Append", one, limit.Append},
		{"Append10", ten, limit.Append10},
		{"Read", read(s.Read(ctx, "account-read")), limit.Read},
		{"Feed", read(s.ReadAll(ctx)), limit.Feed},
		{"Load", testing.AllocsPerRun(20, func() {
			_, err := repo.Load(ctx, "read")
			fatal(err)
		}) / each, limit.Load},
	} {
		t.Logf("%-8s %.2f allocations an event, of %.2f allowed", c.name, c.counted, c.limit)
		if c.counted > c.limit {
			t.Errorf("%s: %.2f allocations an event, at most %.2f are allowed", c.name, c.counted, c.limit)
		}
	}
}
