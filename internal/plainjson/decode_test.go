package plainjson_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/go-es/es/internal/plainjson"
)

type (
	text  string // has a form of its own
	form  struct{ S string }
	Inner struct {
		ID  string `json:"id"`
		Low int8
	}
	inmost struct {
		Deep string
		//lint:ignore U1000 that it is left alone is what is tested
		deep string
	}
	Outer struct {
		Inner
		inmost
		Name string `json:"name,omitempty"`
		//lint:ignore U1000 that it is left alone is what is tested
		hidden int
		Skip   string `json:"-"`
		//lint:ignore SA5008 a field that is named "-" is what is tested
		Dash string `json:"-,"`
		A    int    `json:"a"`
		Cap  int    `json:"A"`
	}
	all struct {
		B    bool
		I    int
		I8   int8
		I16  int16
		I32  int32
		I64  int64
		U    uint
		U8   uint8
		U16  uint16
		U32  uint32
		U64  uint64
		F32  float32
		F64  float64
		S    string
		By   []byte
		P    *int
		PS   *Inner
		L    []string
		LL   [][]int
		Ls   []Inner
		M    map[string]int
		MM   map[text2]map[string]*Inner
		In   Inner
		T    time.Time
		TP   *time.Time
		Addr netip.Addr
		Raw  json.RawMessage
		Text text
		Form form
		Kids []all
		Ü    string
	}
	text2 string

	tagged struct {
		Inner `json:"inner"`
	}

	// Those that are left to encoding/json.
	withAny   struct{ A any }
	withArray struct{ A [2]int }
	quoted    struct {
		N int `json:",string"`
	}
	number struct{ N json.Number }
	twice  struct {
		A int
		B int `json:"A"`
	}
	hides struct {
		Inner
		ID int `json:"id"`
	}
	embedsPointer struct{ *Inner }
	embedsTime    struct {
		time.Time
		N int
	}
	strange struct {
		A int `json:"a b"`
	}
	keyed     struct{ M map[int]int }
	formKeyed struct{ M map[text]int }
	pointers  struct{ P **int }
	loop      *loop
	named     struct{ B []octet }
	octet     byte
	optioned  struct {
		A int `json:"a,unknown"`
	}
)

func (t *text) UnmarshalText(b []byte) error { *t = text("<" + string(b) + ">"); return nil }
func (f *form) UnmarshalJSON(b []byte) error { f.S = string(b); return nil }

// types are plain ones.
var types = []reflect.Type{
	reflect.TypeFor[all](), reflect.TypeFor[Outer](), reflect.TypeFor[*Outer](), reflect.TypeFor[[]int](), reflect.TypeFor[map[string]string](),
	reflect.TypeFor[string](), reflect.TypeFor[float64](), reflect.TypeFor[uint64](), reflect.TypeFor[bool](), reflect.TypeFor[form](), reflect.TypeFor[time.Time](),
}

// odd are not.
var odd = []reflect.Type{
	reflect.TypeFor[withAny](), reflect.TypeFor[withArray](), reflect.TypeFor[quoted](), reflect.TypeFor[number](), reflect.TypeFor[twice](), reflect.TypeFor[hides](),
	reflect.TypeFor[embedsPointer](), reflect.TypeFor[strange](), reflect.TypeFor[keyed](), reflect.TypeFor[formKeyed](), reflect.TypeFor[pointers](),
	reflect.TypeFor[loop](), reflect.TypeFor[named](), reflect.TypeFor[optioned](), reflect.TypeFor[struct{ embedsTime }](), reflect.TypeFor[any](), reflect.TypeFor[chan int](),
	reflect.TypeFor[struct{ F func() }](), reflect.TypeFor[struct{ time.Time }](), reflect.TypeFor[tagged](), manyFields(),
}

func manyFields() reflect.Type {
	var fields []reflect.StructField
	for i := range 65 {
		fields = append(fields, reflect.StructField{Name: fmt.Sprint("F", i), Type: reflect.TypeFor[int]()})
	}
	return reflect.StructOf(fields)
}

// decodes decodes into a new value of each type, and compares with encoding/json.
// It returns the types for which Decode did it.
func decodes(t *testing.T, data []byte) (into []reflect.Type) {
	t.Helper()
	before := bytes.Clone(data)
	for _, typ := range types {
		v := reflect.New(typ)
		if !plainjson.Decode(data, v.Interface()) {
			continue
		}
		into = append(into, typ)
		want := reflect.New(typ)
		if err := json.Unmarshal(data, want.Interface()); err != nil {
			t.Errorf("%s into %v: no error, and encoding/json says: %v", data, typ, err)
		} else if !reflect.DeepEqual(v.Interface(), want.Interface()) {
			t.Errorf("%s into %v:\n%#v\nwant:\n%#v", data, typ, v.Elem(), want.Elem())
		}
	}
	if !bytes.Equal(data, before) {
		t.Errorf("%s was changed to %s", before, data)
	}
	return into
}

// good is what is decoded without encoding/json, by one type at least.
var good = []string{
	`{"B":true,"I":-1,"I8":-128,"I16":32767,"I32":-2147483648,"I64":-9223372036854775808,"U":0,"U8":255,"U16":65535,"U32":4294967295,"U64":9999999999999999999}`,
	`{"I64":9223372036854775807,"F32":1.5e3,"F64":-0.25E-10,"S":"plain","By":"AQID","P":7,"PS":{"id":"x","Low":1}}`,
	`{"L":["a","b",""],"LL":[[1],[],null,[2,3]],"Ls":[{"id":"1"},{},null],"M":{"a":1,"b":2,"a":3},"MM":{"k":{"x":{"id":"y"},"n":null}},"In":{"Low":-7}}`,
	`{"T":"2024-02-29T12:30:00.123456Z","TP":"2024-02-29T12:30:00+02:00","Addr":"127.0.0.1","Raw": {"a" : [1, 2]},"Text":"x","Form":[1,"]"]}`,
	`{"Kids":[{"Kids":[{"S":"deep"}]},{"S":"b"}],"Ü":"ä","S":"\u00e4\ud83d\ude00\"\\\/\b\f\n\r\t\u0000\ufffd€"}`,
	`{"B":null,"I":null,"S":null,"By":null,"P":null,"PS":null,"L":null,"M":null,"In":null,"T":null,"TP":null,"Raw":null,"Form":null}`,
	`{"unknown":{"a":[1,2.5e1,"x",true,false,null,{}],"b":[]},"S":"x","other":-0,"by":1}`,
	"\t{ \"S\" : \"x\" ,\r\n \"L\" : [ \"a\" , \"b\" ] , \"M\" : { } , \"LL\" : [ ] } \n",
	`{"id":"x","Low":3,"Deep":"d","deep":"e","hidden":1,"name":"n","Skip":"no","-":"dash","a":1,"A":2}`,
	`{"S":"a long text of plain ASCII, so that eight bytes are looked at at once, and then some: Grüße"}`,
	`{}`, `null`, `[]`, `[1,2,3]`, `"x"`, `1`, `-1.5`, `true`, ` {"k":"v"} `, `"2024-02-29T12:30:00Z"`, `{"By":""}`,
}

// bad is left to encoding/json, into all at least.
var bad = []string{
	`{"s":"x"}`, `{"S":"a","S":"b"}`, `{"In":{"id":"a"},"In":{"Low":1}}`, // one name, about
	"{\"\u017f\":\"long s\"}",
	`{"I8":128}`, `{"I8":-129}`, `{"U8":256}`, `{"U":-1}`, `{"U":-0}`, `{"I64":9223372036854775808}`, `{"U64":18446744073709551616}`, `{"U64":28446744073709551616}`,
	`{"I":1.0}`, `{"I":1e3}`, `{"I":01}`, `{"I":-}`, `{"I":+1}`, `{"F64":1e999}`, `{"F32":1e39}`, `{"F64":01}`, `{"F64":1.}`, `{"F64":.5}`, `{"F64":1e}`,
	`{"S":1}`, `{"S":"x}`, "{\"S\":\"\x01\"}", "{\"S\":\"\xff\"}", "{\"S\":\"\\n\xff\"}", `{"S":"\x"}`, `{"S":"\u12g4"}`, `{"S":"\ud800"}`, `{"S":"\ud800\u0041"}`, `{"S":"\udc00"}`, `{"S":"\u12`, `{"S":"\`,
	"{\"S\":\"\\n\n\"}", "{\"S\":\"" + strings.Repeat("\x80", 20) + "\"}",
	`{"By":"%"}`, `{"By":[1,2]}`, `{"T":"yesterday"}`, `{"Addr":1}`, `{"Addr":null}`, `{"L":{}}`, `{"M":[]}`, `{"In":[]}`, `{"B":"true"}`, `{"B":tru}`, `{"I":nul}`,
	`{"L":["a",]}`, `{"L":["a" "b"]}`, `{"L":["a"`, `{"I":1,}`, `{,}`, `{"I" 1}`, `{"I":1 "B":true}`, `{I:1}`, `{"I":1}}`, `{"I":1} x`, `{"I":1`, `{"x":}`, `{"x":[1,]}`, `{"x":{"a"}}`, `{"x":{"a":1,}}`, `{"x":-}`,
	`{"x":` + strings.Repeat("[", 1000) + strings.Repeat("]", 1000) + `}`,
	strings.Repeat(`{"Kids":[`, 1000) + strings.Repeat(`]}`, 1000),
	``, ` `, `nul`, `nulll`, `{`, `[`, `"`, `[1 2]`,
}

func TestDecode(t *testing.T) {
	plain := make(map[reflect.Type]bool)
	for _, s := range good {
		into := decodes(t, []byte(s))
		if len(into) == 0 {
			t.Errorf("%s was left to encoding/json", s)
		}
		for _, typ := range into {
			plain[typ] = true
		}
	}
	for _, typ := range types {
		if !plain[typ] {
			t.Errorf("%v is always left to encoding/json", typ)
		}
	}
	for _, s := range bad {
		decodes(t, []byte(s))
		if plainjson.Decode([]byte(s), new(all)) {
			t.Errorf("%s was decoded", s)
		}
	}
	if plainjson.Decode([]byte(`{"NAME":"x"}`), new(Outer)) {
		t.Error("a field of a similar name was left out")
	}
}

// What is encoded comes back without encoding/json.
func TestRoundTrip(t *testing.T) {
	one, at := 1, time.Date(2024, 2, 29, 12, 30, 0, 123456000, time.UTC)
	v := all{B: true, I: -5, F64: 0.1, S: "Grüße <b>&\u2028 \"x\"\n", By: []byte{1, 2}, P: &one, PS: &Inner{"x", 1}, L: []string{"a"}, LL: [][]int{{1}, {}}, T: at, TP: &at,
		M: map[string]int{"": 1, "b": 2}, Addr: netip.MustParseAddr("::1"), Raw: json.RawMessage(`{"a":1}`), Kids: []all{{S: "kid", Raw: json.RawMessage(`1`), Addr: netip.MustParseAddr("::2")}}, Ü: "ü"}
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	var got, want all
	if err := json.Unmarshal(data, &want); err != nil {
		t.Fatal(err)
	}
	if !plainjson.Decode(data, &got) || !reflect.DeepEqual(got, want) {
		t.Errorf("%s:\n%+v\nwant:\n%+v", data, got, want)
	}
}

func TestOddTypes(t *testing.T) {
	for _, typ := range odd {
		for _, s := range []string{`{}`, `null`, `1`} {
			if plainjson.Decode([]byte(s), reflect.New(typ).Interface()) {
				t.Errorf("%s was decoded into %v", s, typ)
			}
		}
	}
	var missing *all
	if plainjson.Decode([]byte(`{}`), missing) || plainjson.Decode([]byte(`{}`), all{}) || plainjson.Decode([]byte(`{}`), nil) {
		t.Error("it decoded into nothing")
	}
}

// What was kept of data does not change with it.
func TestDecodeCopies(t *testing.T) {
	data := []byte(`{"S":"abc","By":"AQID","L":["x"],"M":{"key":1},"Raw":[1],"Text":"t"}`)
	var got, want all
	if !plainjson.Decode(data, &got) || !plainjson.Decode(bytes.Clone(data), &want) {
		t.Fatal("it was left to encoding/json")
	}
	for i := range data {
		data[i] = '#'
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%+v", got)
	}
}

// Changed at random, in ways that keep most of it.
func TestDecodeChanged(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	pieces := []string{`"`, `\`, `,`, `:`, `{`, `}`, `[`, `]`, ` `, `null`, `true`, `0`, `-`, `1e5`, `.`, `é`, "\xff", "\x00", `\u0041`, `\ud83d\ude00`, `"S"`, `"s"`, `"I":1,`}
	n := 200_000
	if testing.Short() {
		n = 20_000
	}
	decoded := 0
	for range n {
		seeds := good
		if r.IntN(4) == 0 {
			seeds = bad
		}
		b := []byte(seeds[r.IntN(len(seeds))])
		if len(b) > 500 {
			continue
		}
		for range 1 + r.IntN(2) {
			at := r.IntN(len(b) + 1)
			rest := b[min(len(b), at+r.IntN(3)):]
			b = b[:at:at]
			if r.IntN(3) > 0 {
				b = append(b, pieces[r.IntN(len(pieces))]...)
			}
			b = append(b, rest...)
		}
		decoded += len(decodes(t, b))
		if t.Failed() {
			return
		}
	}
	if decoded < n/20 {
		t.Errorf("of %d only %d were decoded", n, decoded)
	}
}

func FuzzDecode(f *testing.F) {
	for _, s := range append(good, bad...) {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) { decodes(t, data) })
}

type deposited struct {
	Account   string `json:"account"`
	Amount    int64  `json:"amount"`
	Currency  string `json:"currency"`
	Reference string `json:"reference"`
	Note      string `json:"note"`
}

func BenchmarkDecode(b *testing.B) {
	data := []byte(`{"account":"4b2c8a6e-0000","amount":117,"currency":"EUR","reference":"invoice 2024-0117","note":"abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijklm"}`)
	for name, decode := range map[string]func(data []byte, v any) bool{
		"plain": plainjson.Decode,
		"std":   func(data []byte, v any) bool { return json.Unmarshal(data, v) == nil },
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				var d deposited
				if !decode(data, &d) {
					b.Fatal("not decoded")
				}
			}
		})
	}
}
