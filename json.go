package es

import (
	"bytes"
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"
	"sync"
	"unicode/utf8"

	"github.com/go-es/es/internal/plainjson"
)

// JSON is the codec that a store has by default: encoding/json. Types choose
// their own form with MarshalJSON or MarshalText; what MarshalJSON returns is
// taken as it is.
//
// Decoding gives what encoding/json gives. New values of most types are decoded
// several times as fast as there: structs of numbers, strings, booleans, bytes,
// pointers, slices, maps with strings as keys and types with UnmarshalJSON or
// UnmarshalText. For others, such as any and arrays, and whenever the data does not
// fit at once, encoding/json itself does it, so that UnmarshalJSON may be called
// twice, for two values.
//
// It refuses what encoding/json would change or could not read back, any excepted:
//
//   - a string that is not valid UTF-8, also one that MarshalText returns: bytes
//     that are no text belong into a []byte;
//   - with an [*InvalidError], a Go type with a field of an interface type other
//     than any, with two fields of one name at one level, with none of its fields
//     encoded, or with fields beside an embedded one whose MarshalJSON or UnmarshalJSON
//     it takes over. A type with methods of its own for both ways is free of this;
//   - the first event of a Go type, if it cannot be decoded. The later ones are
//     not decoded: what fails for some values only is for the type's tests.
//
// As ever in Go, fields that are not exported are not stored, and what is in an any
// comes back as encoding/json reads it: numbers as float64, bytes as base64 in a string.
var JSON Codec = jsonCodec{}

type jsonCodec struct{}

func (jsonCodec) Name() string { return "json" }

func (jsonCodec) Unmarshal(data []byte, v any) error {
	if p := reflect.ValueOf(v); p.Kind() == reflect.Pointer && !p.IsNil() && p.Elem().IsZero() {
		if plainjson.Decode(data, v) {
			return nil
		}
		p.Elem().SetZero()
	}
	return json.Unmarshal(data, v)
}

// jsonTypes holds the Go types that were encoded, each with the *InvalidError
// that says why it cannot be, or nil: map[reflect.Type]error.
var jsonTypes sync.Map

func (jsonCodec) Marshal(v any) ([]byte, error) {
	if v == nil {
		return []byte("null"), nil
	}
	t := reflect.TypeOf(v)
	why, known := jsonTypes.Load(t)
	if !known {
		if err := checkJSONType(t); err != nil {
			jsonTypes.Store(t, err)
			return nil, err
		}
	}
	if why != nil {
		return nil, why.(error)
	}
	data, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	// What encoding/json writes for a byte that is no UTF-8 may also have been
	// there, so only then it pays to look.
	if bytes.Contains(data, []byte(`\ufffd`)) || bytes.Contains(data, []byte("\ufffd")) {
		if s, bad := badString(reflect.ValueOf(v)); bad {
			return nil, fmt.Errorf("the string %.40q is not valid UTF-8", s)
		}
	}
	if !known {
		if err := json.Unmarshal(data, reflect.New(t).Interface()); err != nil {
			return nil, fmt.Errorf("it cannot be read back: %w", err)
		}
		jsonTypes.Store(t, nil)
	}
	return data, nil
}

// badString returns a string within v that encoding/json changes. It goes the
// ways that encoding/json goes.
func badString(v reflect.Value) (s string, bad bool) {
	if !v.IsValid() {
		return "", false
	}
	t := v.Type()
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		return badString(v.Elem())
	}
	switch jsonForm(t, v.CanAddr()) {
	case "MarshalJSON":
		return "", false
	case "MarshalText":
		if !t.Implements(textMarshaler) {
			v = v.Addr()
		}
		return badText(v)
	}
	switch v.Kind() {
	case reflect.String:
		return v.String(), !utf8.ValidString(v.String())
	case reflect.Slice, reflect.Array:
		if t.Elem().Kind() == reflect.Uint8 && jsonForm(t.Elem(), true) == "" {
			return "", false
		}
		for i := range v.Len() {
			if s, bad := badString(v.Index(i)); bad {
				return s, true
			}
		}
	case reflect.Map:
		for it := v.MapRange(); it.Next(); {
			if s, bad := badKey(it.Key()); bad {
				return s, true
			}
			if s, bad := badString(it.Value()); bad {
				return s, true
			}
		}
	case reflect.Struct:
		fields, _ := jsonFields(t)
		for _, f := range fields {
			fv, err := v.FieldByIndexErr(f.Index)
			if err != nil {
				continue // it is of an embedded pointer, which is nil
			}
			if s, bad := badString(fv); bad {
				return s, true
			}
		}
	}
	return "", false
}

// badKey is badString for the key of a map: a string is written as it is,
// whatever methods it has.
func badKey(k reflect.Value) (s string, bad bool) {
	switch {
	case k.Kind() == reflect.String:
		return k.String(), !utf8.ValidString(k.String())
	case k.Type().Implements(textMarshaler) && !(k.Kind() == reflect.Pointer && k.IsNil()):
		return badText(k)
	}
	return "", false
}

func badText(v reflect.Value) (s string, bad bool) {
	text, err := v.Interface().(encoding.TextMarshaler).MarshalText()
	return string(text), err == nil && !utf8.Valid(text)
}
