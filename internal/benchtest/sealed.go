package benchtest

import (
	"fmt"
	"testing"

	"github.com/go-es/es"
	"github.com/go-es/es/keys"
)

// Sealed shows what compression and encryption cost: stores with them beside a
// plain one, for events of 190 bytes and of 4,000, appended one at a time and read.
// Open opens an empty store, which goes with b.
func Sealed(b *testing.B, open func(b *testing.B, opts ...es.Option) *es.Store) {
	kinds := []struct {
		name string
		opts func() []es.Option
	}{
		{"plain", func() []es.Option { return nil }},
		{"zstd", func() []es.Option { return []es.Option{es.Compress(es.Zstd)} }},
		{"sealed", func() []es.Option { return []es.Option{es.Encrypt(keys.NewMemory(), es.EncryptAll())} }},
		{"both", func() []es.Option {
			return []es.Option{es.Compress(es.Zstd), es.Encrypt(keys.NewMemory(), es.EncryptAll())}
		}},
	}
	small := deposit(0)
	large := small
	for i := 0; len(large.Note) < 3800; i++ {
		large.Note += fmt.Sprintf(" Line %d of a letter that was sent, paid with invoice %d.", i, i*i)
	}
	for _, e := range []struct {
		size  int
		event Deposited
	}{{190, small}, {4000, large}} {
		b.Run(fmt.Sprint("append/", e.size), func(b *testing.B) {
			var all []*contender
			for _, k := range kinds {
				s := open(b, k.opts()...)
				all = append(all, calls(k.name, 1, func(call int) {
					_, err := s.Append(b.Context(), stream(call), es.NoStream, e.event)
					must(b, err)
				}))
			}
			inTurns(b, all...)
		})
		b.Run(fmt.Sprint("read/", e.size), func(b *testing.B) {
			var all []*contender
			for _, k := range kinds {
				s := open(b, k.opts()...)
				events := make([]es.Event, each/10)
				for i := range events {
					events[i] = e.event
				}
				for range 10 {
					_, err := s.Append(b.Context(), "read", es.Any, events...)
					must(b, err)
				}
				all = append(all, calls(k.name, each, func(int) {
					sum(b, s.Read(b.Context(), "read"), each, 0)
				}))
			}
			inTurns(b, all...)
		})
	}
}
