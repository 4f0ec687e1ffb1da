package driver_test

import (
	"bytes"
	"encoding/json"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-es/es/driver"
)

func TestExpected(t *testing.T) {
	const last = math.MaxInt64
	heads := []driver.Version{0, 1, 7, last}
	for _, row := range []struct {
		e      driver.Expected
		text   string
		exact  bool
		v      driver.Version
		holdAt []driver.Version // of heads
	}{
		{driver.NoStream, "no stream", true, 0, heads[:1]},
		{driver.Expected(0), "no stream", true, 0, heads[:1]},
		{driver.Any, "any", false, 0, heads},
		{driver.Exists, "exists", false, 0, heads[1:]},
		{driver.Exactly(0), "no stream", true, 0, heads[:1]},
		{driver.Exactly(1), "version 1", true, 1, heads[1:2]},
		{driver.Exactly(7), "version 7", true, 7, heads[2:3]},
		{driver.Exactly(last), "version 9223372036854775807", true, last, heads[3:]},
		{driver.Exactly(last + 1), "invalid (-9223372036854775808)", false, 0, nil},
		{driver.Exactly(math.MaxUint64), "invalid (-9223372036854775808)", false, 0, nil},
		{driver.Expected(-3), "invalid (-3)", false, 0, nil},
	} {
		if got := row.e.String(); got != row.text {
			t.Errorf("String of %d: %q, want %q", int64(row.e), got, row.text)
		}
		if v, ok := row.e.Exact(); v != row.v || ok != row.exact {
			t.Errorf("%v: Exact is %d, %v, want %d, %v", row.e, v, ok, row.v, row.exact)
		}
		for _, head := range heads {
			if got, want := row.e.Holds(head), slices.Contains(row.holdAt, head); got != want {
				t.Errorf("%v: Holds(%d) is %v", row.e, head, got)
			}
		}
	}
	var zero driver.Expected
	if zero != driver.NoStream {
		t.Error("the zero value is not NoStream")
	}
}

func TestNewID(t *testing.T) {
	at := time.Date(2024, 5, 6, 7, 8, 9, 123_999_999, time.UTC)
	seen := map[driver.ID]bool{}
	var ones, zeros driver.ID // bits that were 1, or 0, in some id
	for range 1000 {
		id := driver.NewID(at)
		if seen[id] {
			t.Fatalf("%v twice", id)
		}
		seen[id] = true
		// RFC 9562, 5.7: unix_ts_ms (48 bits), ver (4), rand_a (12), var (2), rand_b (62)
		var ms int64
		for _, b := range id[:6] {
			ms = ms<<8 | int64(b)
		}
		if want := at.UnixMilli(); ms != want {
			t.Fatalf("%v holds the time %d, want %d", id, ms, want)
		}
		if id[6]>>4 != 7 || id[8]>>6 != 2 {
			t.Fatalf("%v has version %d and variant %b, want 7 and 10", id, id[6]>>4, id[8]>>6)
		}
		for i, b := range id {
			ones[i] |= b
			zeros[i] |= ^b
		}
	}
	random := driver.ID{6: 0x0f, 0xff, 0x3f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
	for i := range random {
		if b := ones[i] & zeros[i]; b != random[i] {
			t.Errorf("byte %d: the bits %08b vary, want %08b", i, b, random[i])
		}
	}
}

func TestNewIDOrder(t *testing.T) {
	var last driver.ID
	for _, at := range []time.Time{
		time.Unix(0, 0), time.UnixMilli(1), time.UnixMilli(255), time.UnixMilli(256), time.Date(1999, 12, 31, 23, 59, 59, 999e6, time.UTC), time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC),
		now, now.Add(time.Millisecond), now.Add(time.Hour), time.Date(9999, 12, 31, 23, 59, 59, 999e6, time.UTC),
	} {
		id := driver.NewID(at)
		if bytes.Compare(last[:], id[:]) >= 0 || last.String() >= id.String() {
			t.Errorf("%v of %v is not above %v", id, at, last)
		}
		last = id
	}
}

func TestID(t *testing.T) {
	const s = "01234567-89ab-cdef-0123-456789abcdef"
	want := driver.ID{0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef, 0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef}
	for _, form := range []string{s, strings.ToUpper(s)} {
		if got, err := driver.ParseID(form); got != want || err != nil {
			t.Errorf("ParseID(%q) is %v, %v", form, got, err)
		}
	}
	if got := want.String(); got != s {
		t.Errorf("String is %q, want %q", got, s)
	}
	if (driver.ID{}).IsZero() != true || want.IsZero() || (driver.ID{15: 1}).IsZero() {
		t.Error("IsZero")
	}

	b, err := json.Marshal(map[driver.ID]driver.ID{want: want})
	if err != nil || string(b) != `{"`+s+`":"`+s+`"}` {
		t.Errorf("JSON is %s, %v", b, err)
	}
	var back map[driver.ID]driver.ID
	if err := json.Unmarshal(b, &back); err != nil || back[want] != want {
		t.Errorf("from JSON: %v, %v", back, err)
	}
	kept := want
	if err := kept.UnmarshalText([]byte("x")); err == nil || kept != want {
		t.Errorf("UnmarshalText of nonsense: %v, %v; want an error and the id as it was", kept, err)
	}
}

func TestParseIDErrors(t *testing.T) {
	const form = " is not an id of the form xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx"
	for _, row := range []struct{ in, want string }{
		{"", `es: ""` + form},
		{"0123456789abcdef0123456789abcdef", `es: "0123456789abcdef0123456789abcdef"` + form},
		{"01234567-89ab-cdef-0123-456789abcde", `es: "01234567-89ab-cdef-0123-456789abcde"` + form},
		{"01234567-89ab-cdef-0123-456789abcdef0", `es: "01234567-89ab-cdef-0123-456789abcdef0"` + form},
		{"{01234567-89ab-cdef-0123-456789abcdef}", `es: "{01234567-89ab-cdef-0123-456789abcdef}"` + form},
		{"012345678-9ab-cdef-0123-456789abcdef", `es: "012345678-9ab-cdef-0123-456789abcdef"` + form},
		{"01234567-89abc-def-0123-456789abcdef", `es: "01234567-89abc-def-0123-456789abcdef"` + form},
		{"01234567-89ab-cdef0-123-456789abcdef", `es: "01234567-89ab-cdef0-123-456789abcdef"` + form},
		{"01234567-89ab-cdef-01234-56789abcdef", `es: "01234567-89ab-cdef-01234-56789abcdef"` + form},
		{"01234567-89ab-cdef-0123-456789abcdeg", `es: "01234567-89ab-cdef-0123-456789abcdeg" is not an id: encoding/hex: invalid byte: U+0067 'g'`},
		{"01234567-89ab-cdef-0123--56789abcdef", `es: "01234567-89ab-cdef-0123--56789abcdef" is not an id: encoding/hex: invalid byte: U+002D '-'`},
		{"01234567-89ab-cdef-0123-4567\xff9abcdef", `es: "01234567-89ab-cdef-0123-4567\xff9abcdef" is not an id: encoding/hex: invalid byte: U+00FF 'ÿ'`},
		{strings.Repeat("x", 1000), `es: "` + strings.Repeat("x", 64) + `"` + form},
	} {
		got, err := driver.ParseID(row.in)
		if text(err) != row.want || !got.IsZero() {
			t.Errorf("ParseID(%q):\ngot  %v, %v\nwant %s", row.in, got, err, row.want)
		}
	}
}

func FuzzParseID(f *testing.F) {
	for _, s := range []string{"", "01234567-89ab-cdef-0123-456789abcdef", "01234567-89AB-CDEF-0123-456789ABCDEF", "----------------------------------é", "zzzzzzzz-zzzz-zzzz-zzzz-zzzzzzzzzzzz"} {
		f.Add(s, []byte(s))
	}
	f.Fuzz(func(t *testing.T, s string, b []byte) {
		got, err := driver.ParseID(s)
		switch {
		case err != nil:
			if !got.IsZero() || !strings.HasPrefix(err.Error(), "es: ") {
				t.Fatalf("%q: %v, %v", s, got, err)
			}
		case got.String() != strings.ToLower(s):
			t.Fatalf("%q became %q", s, got)
		}
		var id driver.ID
		copy(id[:], b)
		if back, err := driver.ParseID(id.String()); err != nil || back != id {
			t.Fatalf("% x became %q, and that % x, %v", id[:], id, back[:], err)
		}
	})
}

func TestMicros(t *testing.T) {
	zone := time.FixedZone("", 5*3600+1800)
	for _, row := range []struct {
		in     time.Time
		micros int64
		out    time.Time
	}{
		{time.Unix(0, 0), 0, time.Date(1970, 1, 1, 0, 0, 0, 0, time.UTC)},
		{time.Unix(0, 999), 0, time.Date(1970, 1, 1, 0, 0, 0, 0, time.UTC)},
		{time.Unix(0, 1000), 1, time.Date(1970, 1, 1, 0, 0, 0, 1000, time.UTC)},
		{time.Unix(0, -1), -1, time.Date(1969, 12, 31, 23, 59, 59, 999999000, time.UTC)},
		{time.Unix(0, -1000), -1, time.Date(1969, 12, 31, 23, 59, 59, 999999000, time.UTC)},
		{time.Unix(0, -1001), -2, time.Date(1969, 12, 31, 23, 59, 59, 999998000, time.UTC)},
		{time.Unix(-5, 999_999_999), -4_000_001, time.Date(1969, 12, 31, 23, 59, 55, 999999000, time.UTC)},
		{time.Date(2024, 5, 6, 7, 8, 9, 123456789, zone), 1714959489123456, time.Date(2024, 5, 6, 1, 38, 9, 123456000, time.UTC)},
		{time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC), -62135596800000000, time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC)},
		{time.Date(9999, 12, 31, 23, 59, 59, 999999999, time.UTC), 253402300799999999, time.Date(9999, 12, 31, 23, 59, 59, 999999000, time.UTC)},
	} {
		us := driver.Micros(row.in)
		if us != row.micros {
			t.Errorf("Micros(%v) is %d, want %d", row.in, us, row.micros)
		}
		if got := driver.FromMicros(us); got != row.out { // == : the location is UTC too
			t.Errorf("FromMicros(%d) is %v, want %v", us, got, row.out)
		}
	}
	if u := driver.FromMicros(driver.Micros(time.Now())); strings.Contains(u.String(), "m=") || u.Location() != time.UTC {
		t.Errorf("%v has a monotonic reading or a zone", u)
	}
}
