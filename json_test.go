package es_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/netip"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-es/es"
	"github.com/go-es/es/drivers/memory"
)

// The forms that types choose.
type (
	byPointer string                 // its methods are those of the pointer
	asText    string                 // its method is that of the value
	hidden    struct{ s string }     // both ways as text
	level     int                    // text one way only
	rank      int                    // JSON one way only
	shapes    []fmt.Stringer         // reads its own
	shape     struct{ fmt.Stringer } // both ways
	moment    struct{ time.Time }    // one embedded alone
	kept      struct {               // both ways, beside an embedded one
		time.Time
		N int
	}
	generic[T any] struct { // the same, generic
		time.Time
		N T
	}
	taking[T any] struct {
		generic[T]
		M int
	}
	tree struct {
		Any   any
		Left  *tree
		Nodes []tree
		By    map[string]tree
	}
	base struct{ ID string }
	sum  struct{ Amount int } // reads in its own way
	none struct{}
	//lint:ignore U1000 only its type counts
	lock struct{ mu sync.Mutex }
)

func (s *sum) UnmarshalJSON(b []byte) error {
	type plain sum
	return json.Unmarshal(b, (*plain)(s))
}

func (n *byPointer) MarshalText() ([]byte, error) { return []byte(*n), nil }
func (n *byPointer) UnmarshalText(b []byte) error { *n = byPointer(b); return nil }
func (n asText) MarshalText() ([]byte, error)     { return []byte("text:" + n), nil }
func (h hidden) MarshalText() ([]byte, error)     { return []byte(h.s), nil }
func (h *hidden) UnmarshalText(b []byte) error    { h.s = string(b); return nil }
func (l level) MarshalText() ([]byte, error) {
	return strconv.AppendInt([]byte("level "), int64(l), 10), nil
}
func (r rank) MarshalJSON() ([]byte, error)        { return json.Marshal(strings.Repeat("*", int(r))) }
func (s *shapes) UnmarshalJSON([]byte) error       { return nil }
func (shape) MarshalJSON() ([]byte, error)         { return []byte("1"), nil }
func (*shape) UnmarshalJSON([]byte) error          { return nil }
func (n kept) MarshalJSON() ([]byte, error)        { return json.Marshal(n.N) }
func (n *kept) UnmarshalJSON(b []byte) error       { return json.Unmarshal(b, &n.N) }
func (g *generic[T]) MarshalJSON() ([]byte, error) { return json.Marshal(g.N) }
func (g *generic[T]) UnmarshalJSON(b []byte) error { return json.Unmarshal(b, &g.N) }

// twoNamed has two fields of one tag, which vet would find in a plain struct.
var twoNamed = reflect.Zero(reflect.StructOf([]reflect.StructField{
	{Name: "A", Type: reflect.TypeFor[int](), Tag: `json:"x"`},
	{Name: "B", Type: reflect.TypeFor[int](), Tag: `json:"x,omitempty"`},
})).Interface()

// What encoding/json could not read back, or would leave out, is refused when the
// first value of the type comes, also if that value is one that would pass.
func TestJSONRefusesTypes(t *testing.T) {
	const never = "cannot come back from JSON: "
	iface := func(name string) string { return never + "nothing says which type the interface " + name + " holds" }
	for name, row := range map[string]struct {
		v    any
		want string // what the error says
	}{
		"interface": {struct{ S fmt.Stringer }{}, iface("fmt.Stringer")},
		"error":     {struct{ Err error }{}, "field Err of Go type struct { Err error }: " + iface("error")},
		"interface omitted": {struct {
			Err error `json:",omitempty"`
		}{}, iface("error")},
		"interface with a form": {struct{ M json.Marshaler }{}, iface("json.Marshaler")},
		"interface in a slice":  {struct{ L []error }{}, iface("error")},
		"interface in a map":    {map[string]*struct{ E error }{}, iface("error")},
		"interface deep":        {&struct{ A [2]struct{ W io.Writer } }{}, iface("io.Writer")},
		"embedded interface":    {struct{ fmt.Stringer }{}, iface("fmt.Stringer")},
		"unexported only":       {struct{ amount int }{1}, "no field of struct { amount int } is encoded"},
		"unexported within":     {struct{ B struct{ amount int } }{}, "field B of Go type"},
		"embedded, unexported":  {struct{ lock }{}, "is encoded"},
		"a pointer's form":      {struct{ N big.Int }{}, "no field of big.Int is encoded"},
		"a pointer's, in a map": {&map[string]big.Int{}, "no field of big.Int is encoded"},
		"one name, tags":        {twoNamed, `has two fields of the name "x"`},
		"one name, a tag": {struct {
			A int
			B int `json:"A"`
		}{}, `has two fields of the name "A"`},
		"one name, two embedded": {struct {
			base
			Base
		}{}, `has two fields of the name "ID"`},
		"promoted": {struct {
			time.Time
			N int
		}{time.Now(), 1}, "the method MarshalJSON of struct { time.Time; N int } is that of its embedded field Time, and leaves out the others"},
		"promoted, reading": {struct {
			sum
			N int
		}{}, "the method UnmarshalJSON of struct { es_test.sum; N int } is that of its embedded field sum, and does not read the others"},
		"promoted by a pointer": {&struct {
			*time.Time
			N int
		}{}, "is that of its embedded field Time"},
		"promoted, an interface": {struct {
			json.Marshaler
			N int
		}{}, "is that of its embedded field Marshaler"},
		"promoted text": {struct {
			netip.Addr
			N int
		}{}, "the method MarshalText of"},
		"promoted, generic": {&taking[int]{}, "is that of its embedded field generic"},
		"promoted, within": {struct {
			L []struct {
				time.Time
				N int
			}
		}{}, "is that of its embedded field Time"},
		"embedded, both": {struct {
			time.Time
			big.Int
			N int
		}{}, "is left out: its methods are not called"},
		"embedded pointer":  {struct{ *base }{}, "field ID of Go type struct { *es_test.base }: cannot come back from JSON: it stands in an embedded pointer to es_test.base, which is not exported"},
		"text one way":      {struct{ L *level }{}, never + "es_test.level has a method MarshalText and no UnmarshalText"},
		"text one way, key": {map[level]int{}, never + "the keys are of type es_test.level"},
	} {
		for range 2 {
			data, err := es.JSON.Marshal(row.v)
			var inv *es.InvalidError
			if err == nil || !strings.Contains(err.Error(), row.want) || !errors.As(err, &inv) || data != nil {
				t.Errorf("%s: %s, %v", name, data, err)
			}
		}
	}
}

type Base struct{ ID string }

// Chain embeds itself.
type Chain struct {
	*Chain
	N int
}

// quoted is written as it is where it is the key of a map.
type quoted string

func (q quoted) MarshalText() ([]byte, error) { return strconv.AppendQuote(nil, string(q)), nil }

// problem has only the one method that it needs.
type problem struct{ Err error }

func (p *problem) UnmarshalJSON([]byte) error { p.Err = io.EOF; return nil }

// What encoding/json can read back is encoded as it encodes it.
func TestJSONKeepsTypes(t *testing.T) {
	now := time.Now()
	for name, v := range map[string]any{
		"any":       struct{ A any }{map[string]any{"a": 1}},
		"raw":       struct{ R json.RawMessage }{json.RawMessage("{}")},
		"number":    struct{ N json.Number }{"1"},
		"bytes":     struct{ B []byte }{[]byte{255}},
		"recursive": tree{Left: &tree{}, Nodes: []tree{{}}, By: map[string]tree{"a": {}}},
		"pointers":  &struct{ P ***int }{},
		"embedded": struct {
			base
			N int
		}{base{"1"}, 2},
		"embedded pointer": struct {
			*Base
			N int
		}{&Base{"1"}, 2},
		"hidden by one nearer": struct {
			base
			ID string
		}{base{"1"}, "2"},
		"embedded, of a name": struct {
			base `json:"base"`
			ID   string
		}{base{"1"}, "2"},
		"embedded lock": &struct {
			lock
			N int
		}{N: 1},
		"empty":        struct{}{},
		"empty within": struct{ none }{},
		"blank":        struct{ _ int }{},
		"left out on purpose": struct {
			E error `json:"-"`
		}{errors.New("x")},
		"unexported beside": struct {
			N   int
			err error
		}{1, errors.New("x")},
		"a form, both ways":    []shape{{}},
		"reads its own":        shapes{netip.Addr{}},
		"reads its own fields": problem{},
		"embeds itself":        Chain{&Chain{nil, 1}, 2},
		"embedded alone, named": struct {
			time.Time `json:"t"`
		}{now},
		"embedded alone": moment{now},
		"embedded, and a lock": &struct {
			time.Time
			lock
		}{Time: now},
		"embedded, own form": kept{now, 1},
		"generic, own form":  &generic[int]{now, 1},
		"a form of std": struct {
			T time.Time
			A netip.Addr
			I *big.Int
		}{now, netip.Addr{}, big.NewInt(1)},
		"form of a pointer": &struct{ I big.Int }{*big.NewInt(1)},
		"keys":              map[hidden]map[int]map[asText]int{{"k"}: {1: {"a": 1}}},
		"text of strings":   []asText{"a"},
		"a func left out": struct {
			F func() `json:"-"`
			N int
		}{nil, 1},
	} {
		data, err := es.JSON.Marshal(v)
		want, err2 := json.Marshal(v)
		if err != nil || err2 != nil || !bytes.Equal(data, want) {
			t.Errorf("%s: %s, %v, want %s, %v", name, data, err, want, err2)
		}
	}
}

// Strings are looked at in the form that is stored.
func TestJSONChangesNoText(t *testing.T) {
	const bad = "a\xff"
	p := byPointer(bad)
	for name, v := range map[string]any{
		"method of a pointer, not called": struct{ N byPointer }{bad},
		"method of a pointer, called":     &struct{ N byPointer }{bad},
		"pointer":                         struct{ N *byPointer }{&p},
		"text":                            struct{ H hidden }{hidden{bad}},
		"text in any":                     []any{hidden{bad}},
		"key of its own":                  map[asText]int{bad: 1, "a\xfe": 2},
		"key that has a text":             map[quoted]int{bad: 1},
		"key as text":                     map[hidden]int{{bad}: 1},
		"quoted": struct {
			S string `json:",string"`
		}{bad},
		"in an embedded pointer": struct{ *Base }{&Base{bad}},
	} {
		data, err := es.JSON.Marshal(v)
		if err == nil || !strings.Contains(err.Error(), "is not valid UTF-8") || data != nil {
			t.Errorf("%s: %s, %v", name, data, err)
		}
	}
	for name, v := range map[string]any{
		"not encoded": struct {
			base
			ID, Other string
		}{base{bad}, "b", `\ufffd`},
		"nil": struct {
			*Base
			P *byPointer
			R json.RawMessage
		}{R: json.RawMessage(`"\ufffd"`)},
	} {
		if _, err := es.JSON.Marshal(v); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The events of a type are decoded until one of them could be; from then on the
// type is known, and costs no more.
func TestJSONReadsTheFirstBack(t *testing.T) {
	type event struct{ R *rank }
	r := rank(2)
	for i, row := range []struct {
		ev event
		ok bool
	}{{event{&r}, false}, {event{&r}, false}, {event{}, true}, {event{&r}, true}} {
		data, err := es.JSON.Marshal(row.ev)
		if (err == nil) != row.ok || err != nil && !strings.HasPrefix(err.Error(), "it cannot be read back: json: cannot unmarshal string") {
			t.Errorf("%d: %s, %v", i, data, err)
		}
	}
}

type failed struct{ Err error }

func (failed) EventType() string { return "failed" }

// An event that would poison its stream is not appended.
func TestJSONRefusesEvents(t *testing.T) {
	s := over(t, memory.New())
	_, err := s.Append(t.Context(), "s", es.Any, failed{})
	if !errors.Is(err, es.ErrInvalid) || err.Error() != `es: event 0 for stream "s": type "failed" cannot be encoded as json: field Err of Go type es_test.failed: cannot come back from JSON: nothing says which type the interface error holds` {
		t.Error(err)
	}
	if got := all(t, s.ReadAll(t.Context())); len(got) != 0 {
		t.Errorf("%v", got)
	}
}

// BenchmarkJSON is what JSON adds to encoding/json for a type that it knows.
func BenchmarkJSON(b *testing.B) {
	for name, f := range map[string]func(any) ([]byte, error){"es": es.JSON.Marshal, "encoding": json.Marshal} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, err := f(anOrder); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// Decoding does what encoding/json does also where the value is not new, or the
// data is not as the fields are.
func TestJSONUnmarshal(t *testing.T) {
	type inner struct{ A, B int }
	type outer struct {
		N  int
		In inner
		P  *inner
		L  []inner
		M  map[string]int
	}
	for _, data := range []string{
		`{"N":1,"In":{"A":2},"P":{"B":3},"L":[{"A":4}],"M":{"k":5}}`,
		`{"n":1,"IN":{"a":2},"In":{"B":3},"L":[{"A":4,"B":5}],"L":[{"A":6}],"M":{"k":5},"M":{"l":6}}`,
		`{"N":1,"In":{"A":2},"M":{"k":5},"P":"x"}`,
		`{"N":1,"In":{"A":2},"M":{"k":5},`,
		`{"N":null,"In":null,"P":null,"L":null,"M":null}`,
		`null`, `[]`, ``,
	} {
		for name, old := range map[string]func() outer{
			"new": func() outer { return outer{} },
			"used": func() outer {
				return outer{1, inner{1, 2}, &inner{3, 4}, []inner{{5, 6}}, map[string]int{"k": 7, "o": 8}}
			},
		} {
			got, want := old(), old()
			err, wantErr := es.JSON.Unmarshal([]byte(data), &got), json.Unmarshal([]byte(data), &want)
			if !reflect.DeepEqual(got, want) || fmt.Sprint(err) != fmt.Sprint(wantErr) {
				t.Errorf("%s into a %s value: %+v, %v; want %+v, %v", data, name, got, err, want, wantErr)
			}
		}
	}
	var p *outer
	for _, v := range []any{nil, outer{}, p} {
		if err := es.JSON.Unmarshal([]byte(`{}`), v); err == nil || err.Error() != fmt.Sprint(json.Unmarshal([]byte(`{}`), v)) {
			t.Errorf("%T: %v", v, err)
		}
	}
}
