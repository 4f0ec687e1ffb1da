package es

import (
	"bytes"
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"
	"unicode/utf8"
)

// JSON is the codec that a store has by default: encoding/json. Types choose
// their own form with MarshalJSON or MarshalText. A string that is not valid
// UTF-8 is an error, where encoding/json would store another one: bytes that are
// no text belong into a []byte.
var JSON Codec = jsonCodec{}

type jsonCodec struct{}

func (jsonCodec) Name() string                       { return "json" }
func (jsonCodec) Unmarshal(data []byte, v any) error { return json.Unmarshal(data, v) }

func (jsonCodec) Marshal(v any) ([]byte, error) {
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
	return data, nil
}

var (
	jsonMarshaler = reflect.TypeFor[json.Marshaler]()
	textMarshaler = reflect.TypeFor[encoding.TextMarshaler]()
)

// badString returns a string within v that encoding/json would change. What has
// a form of its own is not looked into.
func badString(v reflect.Value) (s string, bad bool) {
	if !v.IsValid() {
		return "", false
	}
	t := v.Type()
	if own := reflect.PointerTo(t); own.Implements(jsonMarshaler) || own.Implements(textMarshaler) {
		return "", false
	}
	switch v.Kind() {
	case reflect.String:
		return v.String(), !utf8.ValidString(v.String())
	case reflect.Pointer, reflect.Interface:
		return badString(v.Elem())
	case reflect.Slice, reflect.Array:
		if t.Elem().Kind() == reflect.Uint8 {
			return "", false
		}
		for i := range v.Len() {
			if s, bad := badString(v.Index(i)); bad {
				return s, true
			}
		}
	case reflect.Map:
		for it := v.MapRange(); it.Next(); {
			if s, bad := badString(it.Key()); bad {
				return s, true
			}
			if s, bad := badString(it.Value()); bad {
				return s, true
			}
		}
	case reflect.Struct:
		for i := range t.NumField() {
			if f := t.Field(i); (f.IsExported() || f.Anonymous) && f.Tag.Get("json") != "-" {
				if s, bad := badString(v.Field(i)); bad {
					return s, true
				}
			}
		}
	}
	return "", false
}
