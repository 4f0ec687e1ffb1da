package mysql

import (
	"testing"
)

// What is no record is refused, whatever is wrong with it.
func TestUnpack(t *testing.T) {
	const id = "0123456789abcdef"
	good := "\x00\x02\x03\x04" + "7 2 -5 6 3 1 " + id + "st" + "typ" + "json" + "a\x00b" + "m" + "data!"
	r, ok := unpack([]byte(good))
	if !ok || r.position != 7 || r.version != 2 || r.micros != -5 || r.size != 6 || string(r.id[:]) != id || string(r.stream) != "st" || string(r.typ) != "typ" ||
		string(r.encoding) != "json" || string(r.tags) != "a\x00b" || string(r.metadata) != "m" || string(r.content) != "data!" {
		t.Fatalf("%+v, %v", r, ok)
	}
	for n := range good {
		if r, ok := unpack([]byte(good[:n])); ok {
			t.Errorf("its first %d bytes are %+v", n, r)
		}
	}
	for _, bad := range []string{
		good + "x", "\x06" + good[1:], "\x00\x02\x00\x07" + good[4:],
		"\x00\x02\x03\x04" + "7 2 -5 6 9223372036854775807 1 " + good[17:], "\x00\x02\x03\x04" + "7 2 -5 6 3 7 " + good[17:],
		"\x00\x02\x03\x04" + "7 2 -5 6 -3 1 " + good[17:], "\x00\x02\x03\x04" + "0 2 -5 6 3 1 " + good[17:], "\x00\x02\x03\x04" + "7 99999999999999999999 -5 6 3 1 " + good[17:],
	} {
		if r, ok := unpack([]byte(bad)); ok {
			t.Errorf("%q is %+v", bad, r)
		}
	}
	for _, v := range []any{nil, int64(1), "text"} {
		if _, ok := unpack(v); ok {
			t.Errorf("%v is a record", v)
		}
	}
	// What is larger comes with a query of its own: its data is not there.
	large := "\x00\x00\x03\x04" + "7 2 5 9000 0 1 " + id + "typ" + "json"
	if r, ok := unpack([]byte(large)); !ok || r.size != 9000 || len(r.content) > 0 {
		t.Errorf("%+v, %v", r, ok)
	}
}
