package es_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/go-es/es"
	"github.com/go-es/es/driver"
	"github.com/go-es/es/drivers/memory"
)

// All that was ever written stays readable when the codec is replaced.
func TestReplacedCodec(t *testing.T) {
	drv := memory.New()
	old := over(t, drv)
	put(t, old, "s", noted("json"))
	gobs := over(t, drv, es.WithCodec(gobCodec{}))
	put(t, gobs, "s", noted("gob"))
	other := over(t, drv, es.WithCodec(renamedCodec{es.JSON, "json.2"}), es.ReadCodecs(gobCodec{}))
	put(t, other, "s", noted("json.2"))

	for _, row := range []struct {
		name  string
		store *es.Store
		read  string // of the codecs above, those that it reads
	}{
		{"the first", old, "json"},
		{"the second", gobs, "json gob"},
		{"the third", other, "json gob json.2"},
		{"one that reads all", over(t, drv, es.ReadCodecs(gobCodec{}, renamedCodec{es.JSON, "json.2"})), "json gob json.2"},
	} {
		for _, r := range all(t, row.store.Read(t.Context(), "s")) {
			codec := []string{"json", "gob", "json.2"}[r.Version-1]
			got, err := es.As[noted](r)
			if strings.Contains(" "+row.read+" ", " "+codec+" ") {
				if err != nil || string(got) != codec || r.Err() != nil {
					t.Errorf("%s reads %s: %q, %v, %v", row.name, codec, got, err, r.Err())
				}
				continue
			}
			want := fmt.Sprintf(`es: event %d of stream "s" (type "noted", position %d): unknown encoding %q: open the store with that codec, or with ReadCodecs`, r.Version, r.Position, codec)
			if !errors.Is(err, es.ErrUnknownEncoding) || err.Error() != want || got != "" {
				t.Errorf("%s reads %s: %q, %v, want %s", row.name, codec, got, err, want)
			}
			if r.Err() == nil || r.Err().Error() != want {
				t.Errorf("%s: Err: %v", row.name, r.Err())
			}
			// What cannot be decoded can still be copied.
			if raw, err := r.Raw(); err != nil || raw.Encoding != codec || len(raw.Data) == 0 {
				t.Errorf("%s: Raw: %+v, %v", row.name, raw, err)
			}
		}
	}
}

// The codec of a type writes and reads its events in every store; where it is
// not the one that wrote them, the store's is taken.
func TestCodecOfAType(t *testing.T) {
	plain := es.NewType[int]("n")
	gobs := plain.With(gobCodec{})
	s := over(t, memory.New(), es.ReadCodecs(gobCodec{}))
	put(t, s, "s", plain.Of(1), gobs.Of(2))
	for i, r := range all(t, s.Read(t.Context(), "s")) {
		for _, typ := range []es.Type[int]{plain, gobs} {
			if got, err := typ.As(r); err != nil || got != i+1 {
				t.Errorf("event %d: %d, %v", i, got, err)
			}
		}
	}
}

func TestCodecNames(t *testing.T) {
	for name, ok := range map[string]bool{
		"json": true, "a": true, "0": true, "json-2.v_1": true, strings.Repeat("c", 24): true, "aead1": true,
		"": false, strings.Repeat("c", 25): false, "JSON": false, "a+b": false, "a b": false, "é": false, "a\n": false, "a/b": false,
	} {
		for what, opt := range map[string]es.Option{
			"WithCodec":         es.WithCodec(renamedCodec{es.JSON, name}),
			"ReadCodecs":        es.ReadCodecs(renamedCodec{es.JSON, name}),
			"Compress":          es.Compress(renamedCompression{es.Zstd, name}),
			"ReadCompressions ": es.ReadCompressions(renamedCompression{es.Zstd, name}),
		} {
			ok := ok && (name != "aead1" || strings.HasSuffix(what, "Codec") || strings.HasSuffix(what, "Codecs"))
			s, err := es.New(memory.New(), opt)
			if (err == nil) != ok || err != nil && !errors.Is(err, es.ErrInvalid) {
				t.Errorf("%s(%q): %v", what, name, err)
			}
			if s != nil {
				s.Close()
			}
		}
	}
}

// Bytes that are none of the codec's, and a codec that panics on them, are an
// error of the record.
func TestCorruptData(t *testing.T) {
	for _, row := range []struct {
		name, encoding, data string
		want                 string // after the record
		is                   error
	}{
		{"cut", "json", `{"Owner":"An`, "corrupt data: json cannot be decoded as es_test.opened: unexpected end of JSON input", es.ErrCorrupt},
		{"nothing", "json", ``, "corrupt data: json cannot be decoded as es_test.opened: unexpected end of JSON input", es.ErrCorrupt},
		{"more", "json", `{}{}`, "corrupt data: json cannot be decoded as es_test.opened: invalid character '{' after top-level value", es.ErrCorrupt},
		{"deep", "json", strings.Repeat("[", 100_000), "corrupt data: json cannot be decoded as es_test.opened: ", es.ErrCorrupt},
		{"another form", "json", `{"Owner":1}`, "corrupt data: json cannot be decoded as es_test.opened: ", es.ErrCorrupt},
		{"a value type's error", "json", `{"Euros":"x"}`, "corrupt data: json cannot be decoded as es_test.opened: ", es.ErrCorrupt},
		{"a codec's error", "gob", "\xff\xff\xff", "corrupt data: gob cannot be decoded as es_test.opened: ", es.ErrCorrupt},
		{"a codec that panics", "panic", "x", "corrupt data: panic cannot be decoded as es_test.opened: the codec panics: no", es.ErrCorrupt},
		{"unknown codec", "yaml", "", `unknown encoding "yaml": open the store with that codec, or with ReadCodecs`, es.ErrUnknownEncoding},
		{"unknown compression", "json+lzma", "{}", `unknown encoding "lzma": open the store with that compression, or with ReadCompressions`, es.ErrUnknownEncoding},
		{"unknown encryption", "json+aead2", "{}", `unknown encoding "aead2": open the store with that compression, or with ReadCompressions`, es.ErrUnknownEncoding},
		{"a step too many", "json+zstd+zstd", "{}", `unknown encoding "zstd+zstd": open the store with that compression, or with ReadCompressions`, es.ErrUnknownEncoding},
		{"no codec", "+", "{}", `unknown encoding "": open the store with that compression, or with ReadCompressions`, es.ErrUnknownEncoding},
		{"encrypted, without keys", "json+aead1", "\x01\x01sxxxx", "no key: it is encrypted, and the store was opened without keys", es.ErrNoKey},
		{"encrypted, and is not", "json+aead1", "{}", "corrupt data: it is marked as encrypted and is not", es.ErrCorrupt},
	} {
		t.Run(row.name, func(t *testing.T) {
			drv := edited{Store: memory.New(), record: func(r *driver.Record) {
				if r.Version == 2 {
					r.Encoding, r.Data = row.encoding, []byte(row.data)
				}
			}}
			s := over(t, drv, es.ReadCodecs(gobCodec{}, panicCodec{}))
			put(t, s, "s", ann, ann, ann)
			for _, r := range all(t, s.ReadAll(t.Context())) {
				got, err := es.As[opened](r)
				if r.Version != 2 {
					if err != nil || got != ann {
						t.Errorf("event %d: %v, %v", r.Version, got, err)
					}
					continue
				}
				want := fmt.Sprintf(`es: event 2 of stream "s" (type "account.opened", position %d): %s`, r.Position, row.want)
				if err == nil || !strings.HasPrefix(err.Error(), want) || !errors.Is(err, row.is) || got != (opened{}) {
					t.Errorf("got  %v, %.500v\nwant %s", got, err, want)
				}
				if strings.Count(fmt.Sprint(err), "es: ") != 1 {
					t.Errorf("the prefix stands in it again: %v", err)
				}
				var d *es.DecodeError
				if !errors.As(err, &d) || d.Stream != "s" || d.Version != 2 || d.Position != r.Position || d.Type != "account.opened" {
					t.Errorf("%#v", d)
				}
				if _, err := opening.As(r); err == nil || !errors.Is(err, row.is) {
					t.Errorf("Type.As: %v", err)
				}
			}
		})
	}
}

// JSON refuses what encoding/json would silently change, wherever it stands, and
// nothing that has a form of its own or only looks alike.
func TestJSONChangesNoString(t *testing.T) {
	type inner struct{ S string }
	type part struct{ T string }
	type outer struct {
		S       string
		P       *string
		Any     any
		List    []inner
		Map     map[string]inner
		Own     money
		Hidden  string `json:"-"`
		Bytes   []byte
		private string
		part
	}
	bad, ok := "a\xff", "\ufffd \\ufffd"
	for name, v := range map[string]any{
		"string":                bad,
		"field":                 outer{S: bad},
		"pointer":               &outer{P: &bad},
		"interface":             outer{Any: []any{1, bad}},
		"element":               outer{List: []inner{{ok}, {bad}}},
		"value of a map":        outer{Map: map[string]inner{"k": {bad}}},
		"key of a map":          map[string]int{bad: 1},
		"array":                 [2]string{ok, bad},
		"embedded":              outer{part: part{bad}},
		"named type":            noted(bad),
		"with one that is good": outer{S: ok, P: &bad},
	} {
		data, err := es.JSON.Marshal(v)
		if err == nil || err.Error() != `the string "a\xff" is not valid UTF-8` || data != nil {
			t.Errorf("%s: %s, %v", name, data, err)
		}
	}
	for name, v := range map[string]any{
		"nil":               nil,
		"good":              outer{S: ok, P: &ok, Any: ok, List: []inner{{ok}}, Map: map[string]inner{ok: {ok}}},
		"not encoded":       outer{S: ok, Hidden: bad, private: bad},
		"bytes":             outer{S: ok, Bytes: []byte(bad)},
		"a form of its own": outer{S: ok, Any: json.RawMessage(`"\ufffd"`)},
		"text of its own":   []any{ok, netip.MustParseAddr("::1")},
	} {
		data, err := es.JSON.Marshal(v)
		want, err2 := json.Marshal(v)
		if err != nil || err2 != nil || !bytes.Equal(data, want) {
			t.Errorf("%s: %s, %v, want %s, %v", name, data, err, want, err2)
		}
	}
	f := overMemory()
	_, err := over(t, f).Append(t.Context(), "s", es.Any, opened{Owner: bad})
	if err == nil || err.Error() != `es: event 0 for stream "s": type "account.opened" cannot be encoded as json: the string "a\xff" is not valid UTF-8` || f.calls() != 0 {
		t.Errorf("%v, %d calls", err, f.calls())
	}
}
