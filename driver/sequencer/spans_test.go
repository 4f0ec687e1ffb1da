package sequencer_test

import (
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/go-es/es/driver"
	"github.com/go-es/es/driver/sequencer"
)

var someSpans = []sequencer.Span{
	{Stream: "a", First: 1, Last: 1},
	{Stream: strings.Repeat("n", 255), First: 7, Last: 300, Closed: true},
	{Stream: "a", First: 2, Last: math.MaxInt64},
	{Stream: "é", First: math.MaxInt64, Last: math.MaxInt64, Closed: true},
}

func TestSpans(t *testing.T) {
	for n := 1; n <= len(someSpans); n++ {
		b := sequencer.AppendSpans([]byte("before"), someSpans[:n])
		got, err := sequencer.ParseSpans(b[len("before"):])
		if err != nil || !slices.Equal(got, someSpans[:n]) {
			t.Errorf("%v came back as %v, %v", someSpans[:n], got, err)
		}
	}
	whole := sequencer.AppendSpans(nil, someSpans)
	ends := map[int]bool{}
	for n := 1; n <= len(someSpans); n++ {
		ends[len(sequencer.AppendSpans(nil, someSpans[:n]))] = true
	}
	for i := range whole {
		if _, err := sequencer.ParseSpans(whole[:i]); !ends[i] && !errors.Is(err, driver.ErrCorrupt) {
			t.Errorf("cut after %d bytes: %v", i, err)
		}
	}
	for _, b := range [][]byte{nil, {0}, {1}, {2, 1, 'a', 1, 0}, {1, 1, 'a', 0, 0}, {1, 0, 1, 0}, append([]byte{1, 1, 'a', 255, 255, 255, 255, 255, 255, 255, 255, 255, 1}, 2)} {
		if _, err := sequencer.ParseSpans(b); !errors.Is(err, driver.ErrCorrupt) {
			t.Errorf("%v: error %v", b, err)
		}
	}
}

func FuzzParseSpans(f *testing.F) {
	f.Add(sequencer.AppendSpans(nil, someSpans))
	f.Fuzz(func(t *testing.T, b []byte) {
		spans, err := sequencer.ParseSpans(b)
		if err != nil {
			return
		}
		again, err := sequencer.ParseSpans(sequencer.AppendSpans(nil, spans))
		if err != nil || !slices.Equal(spans, again) {
			t.Errorf("%v came back as %v, %v", spans, again, err)
		}
	})
}

func TestNext(t *testing.T) {
	for _, row := range []struct {
		spans []sequencer.Span
		next  driver.Position
	}{
		{nil, 5}, {[]sequencer.Span{{First: 3, Last: 3}}, 6}, {[]sequencer.Span{{First: 3, Last: 5}, {First: 1, Last: 2}}, 10},
	} {
		b := sequencer.Batch{First: 5, Spans: row.spans}
		if got := b.Next(); got != row.next {
			t.Errorf("%v: Next is %d, want %d", row.spans, got, row.next)
		}
	}
}
