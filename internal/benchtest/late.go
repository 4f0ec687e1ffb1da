package benchtest

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/go-es/es"
)

// Late measures how long after the call of an append its event is delivered to a
// subscriber: of an append in the same process, and in another one. It prints the
// median and what one of a hundred takes, and the median of the append itself, all
// in milliseconds. An event is appended some time after the one before.
func Late(b *testing.B, cfg Config) {
	if serve(b, &cfg) {
		return
	}
	b.Run("in-process", func(b *testing.B) {
		s := cfg.Open(b, cfg.Data(b))
		late(b, s, func() (begin, end int64, err error) {
			begin = time.Now().UnixNano()
			_, err = s.Append(b.Context(), "late", es.Any, deposit(0))
			return begin, time.Now().UnixNano(), err
		})
	})
	root := b.Name()
	b.Run("across", func(b *testing.B) {
		data := cfg.Data(b)
		s := cfg.Open(b, data)
		p := start(b, job{Root: root, ES: data})
		_, err := p.answer()
		must(b, err)
		late(b, s, func() (begin, end int64, err error) {
			must(b, p.order(order{Name: "late"}))
			a, err := p.answer()
			return a.Begin, a.End, err
		})
	})
}

// late calls write, which appends an event, and waits for that.
func late(b *testing.B, s *es.Store, write func() (begin, end int64, err error)) {
	delivered := make(chan int64, 1)
	go func() { // until the benchmark ends
		for _, err := range s.Subscribe(b.Context()) {
			if err != nil {
				return
			}
			delivered <- time.Now().UnixNano()
		}
	}()
	var took, appended []int64
	for b.Loop() {
		time.Sleep(rand.N(50 * time.Millisecond))
		begin, end, err := write()
		must(b, err)
		select {
		case at := <-delivered:
			took = append(took, at-begin)
		case <-time.After(time.Minute):
			b.Fatal("no event was delivered within a minute")
		}
		appended = append(appended, end-begin)
	}
	b.ReportMetric(0, "ns/op")
	ms := func(of []int64, part float64) float64 { return float64(quantile(of, part)) / 1e6 }
	b.ReportMetric(ms(took, 0.5), "median-ms")
	b.ReportMetric(ms(took, 0.99), "p99-ms")
	b.ReportMetric(ms(appended, 0.5), "append-ms")
}
