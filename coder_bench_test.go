package es_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/go-es/es"
	"github.com/go-es/es/driver"
	"github.com/go-es/es/drivers/memory"
	"github.com/go-es/es/keys"
)

// ordered is an event of the size that many have: 250 bytes of JSON.
type ordered struct {
	Order, Customer string
	Lines           []orderedLine
	Note            string
}

type orderedLine struct {
	SKU   string
	Count int
	Cents int64
}

func (ordered) EventType() string { return "order.placed" }

var anOrder = ordered{"0195f7c2-8f4e-7c1d-9d3b-2f6c1e0a4b58", "customer-4711", []orderedLine{{"SKU-1001", 2, 1999}, {"SKU-2002", 1, 45900}}, "Please ring twice and leave it with the neighbour."}

var encodings = []struct {
	name string
	opts func() []es.Option
	meta map[string]string
	ev   es.Event
}{
	{"json", func() []es.Option { return nil }, nil, anOrder},
	{"metadata", func() []es.Option { return nil }, map[string]string{"correlation_id": "0195f7c2-8f4e-7c1d-9d3b-2f6c1e0a4b58", "causation_id": "0195f7c2-8f4e-7c1d-9d3b-2f6c1e0a4b58"}, anOrder},
	{"zstd", func() []es.Option { return []es.Option{es.Compress(es.Zstd)} }, nil, anOrder},
	{"zstd10KB", func() []es.Option { return []es.Option{es.Compress(es.Zstd)} }, nil, ordered{Note: strings.Repeat("Please ring twice and leave it with the neighbour. ", 200)}},
	{"aead", func() []es.Option { return []es.Option{es.Encrypt(keys.NewMemory(), es.EncryptAll())} }, nil, anOrder},
	{"aead+metadata", func() []es.Option { return []es.Option{es.Encrypt(keys.NewMemory(), es.EncryptAll())} }, map[string]string{"correlation_id": "0195f7c2-8f4e-7c1d-9d3b-2f6c1e0a4b58", "causation_id": "0195f7c2-8f4e-7c1d-9d3b-2f6c1e0a4b58"}, anOrder},
	{"raw", func() []es.Option { return nil }, nil, es.Raw{Type: "order.placed", Encoding: "json", Data: []byte(`{"Order":"0195f7c2-8f4e-7c1d-9d3b-2f6c1e0a4b58"}`)}},
	{"descriptor", func() []es.Option { return nil }, nil, es.TypeOf[ordered]().Of(anOrder)},
}

// BenchmarkEncode is what es does of an append of one event, and of ten; the
// driver does nothing.
func BenchmarkEncode(b *testing.B) {
	for _, row := range encodings {
		for _, n := range []int{1, 10} {
			b.Run(fmt.Sprintf("%s/%d", row.name, n), func(b *testing.B) {
				f := overMemory()
				f.onAppend = func(_ context.Context, req driver.AppendRequest) (driver.AppendResult, error) {
					return driver.AppendResult{Parts: make([]driver.Appended, len(req.Parts))}, nil
				}
				s := over(b, f, row.opts()...)
				ctx := b.Context()
				if row.meta != nil {
					ctx = es.WithMetadata(ctx, row.meta)
				}
				events := make([]es.Event, n)
				for i := range events {
					events[i] = row.ev
				}
				b.ReportAllocs()
				for b.Loop() {
					if _, err := s.Append(ctx, "order-0195f7c2", es.Any, events...); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// BenchmarkDecode is As of a record that was read.
func BenchmarkDecode(b *testing.B) {
	for _, row := range encodings {
		b.Run(row.name, func(b *testing.B) {
			s := over(b, memory.New(), row.opts()...)
			ctx := b.Context()
			if row.meta != nil {
				ctx = es.WithMetadata(ctx, row.meta)
			}
			if _, err := s.Append(ctx, "order-0195f7c2", es.Any, row.ev); err != nil {
				b.Fatal(err)
			}
			r := all(b, s.Read(b.Context(), "order-0195f7c2"))[0]
			b.ReportAllocs()
			for b.Loop() {
				if _, err := es.As[ordered](r); err != nil {
					b.Fatal(err)
				}
				if row.meta != nil {
					if _, err := r.Metadata(); err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}
