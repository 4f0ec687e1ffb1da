package sequencer

import (
	"encoding/binary"
	"fmt"

	"github.com/go-es/es/driver"
)

// encoding is the first byte of what AppendSpans appends.
const encoding = 1

// AppendSpans appends a compact form of spans to b, for a backend that stores the
// spans of a batch as bytes.
func AppendSpans(b []byte, spans []Span) []byte {
	b = append(b, encoding)
	for i := range spans {
		b = appendSpan(b, &spans[i])
	}
	return b
}

func appendSpan(b []byte, s *Span) []byte {
	b = binary.AppendUvarint(b, uint64(len(s.Stream)))
	b = append(b, s.Stream...)
	b = binary.AppendUvarint(b, uint64(s.First))
	more := uint64(s.Last-s.First) << 1
	if s.Closed {
		more |= 1
	}
	return binary.AppendUvarint(b, more)
}

// size is about what a span takes in the log.
func (s *Span) size() int { return len(s.Stream) + 12 }

// ParseSpans returns the spans of what [AppendSpans] made. Errors:
// driver.ErrCorrupt.
func ParseSpans(b []byte) ([]Span, error) {
	if len(b) == 0 || b[0] != encoding {
		return nil, fmt.Errorf("%w: a batch of the log does not begin with its format", driver.ErrCorrupt)
	}
	var spans []Span
	for b = b[1:]; len(b) > 0; {
		n, ok := uvarint(&b)
		if !ok || n == 0 || n > uint64(len(b)) {
			return nil, cut(len(spans))
		}
		s := Span{Stream: string(b[:n])}
		b = b[n:]
		first, ok1 := uvarint(&b)
		more, ok2 := uvarint(&b)
		if s.First = driver.Version(first); !ok1 || !ok2 || first == 0 || first+more>>1 < first {
			return nil, cut(len(spans))
		}
		s.Last, s.Closed = s.First+driver.Version(more>>1), more&1 == 1
		spans = append(spans, s)
	}
	if len(spans) == 0 {
		return nil, cut(0)
	}
	return spans, nil
}

func cut(n int) error {
	return fmt.Errorf("%w: span %d of a batch of the log is no span", driver.ErrCorrupt, n)
}

func uvarint(b *[]byte) (uint64, bool) {
	v, n := binary.Uvarint(*b)
	if n <= 0 {
		return 0, false
	}
	*b = (*b)[n:]
	return v, true
}
