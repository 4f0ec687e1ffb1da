package plainjson

import (
	"encoding"
	"encoding/json"
	"reflect"
	"strings"
	"sync"
)

// plan says how a Go type is decoded.
type plan struct {
	kind   kind
	bits   int   // of a number
	elem   *plan // of a pointer, a slice or a map
	fields []field
}

type kind int

const (
	asBool kind = iota
	asInt
	asUint
	asFloat
	asString
	asBytes
	asPointer
	asSlice
	asMap // its keys are strings
	asStruct
	asJSON // by its method UnmarshalJSON
	asText // by its method UnmarshalText
)

// field is a field of a struct.
type field struct {
	name  string // in JSON
	index []int  // the way to it, through embedded structs
	plan  *plan
}

// mostFields is how many fields a struct may have.
const mostFields = 64

var (
	jsonUnmarshaler = reflect.TypeFor[json.Unmarshaler]()
	textUnmarshaler = reflect.TypeFor[encoding.TextUnmarshaler]()
	jsonNumber      = reflect.TypeFor[json.Number]()
)

// plans holds those of the types that were met, nil for types that are not plain:
// map[reflect.Type]*plan.
var plans sync.Map

// planOf returns nil for a type that is not plain.
func planOf(t reflect.Type) *plan {
	if p, ok := plans.Load(t); ok {
		return p.(*plan)
	}
	p, ok := planner{}.plan(t)
	if !ok {
		p = nil
	}
	plans.Store(t, p)
	return p
}

// planner makes plans; it holds those that it has begun, since types can contain
// themselves.
type planner map[reflect.Type]*plan

func (m planner) plan(t reflect.Type) (*plan, bool) {
	if p, ok := m[t]; ok {
		return p, true
	}
	p := new(plan)
	m[t] = p
	return p, m.make(p, t)
}

func (m planner) make(p *plan, t reflect.Type) (ok bool) {
	if has := reflect.PointerTo(t); t.Kind() != reflect.Pointer && (has.Implements(jsonUnmarshaler) || has.Implements(textUnmarshaler)) {
		if t.Name() == "" || t.Kind() == reflect.Interface {
			return false
		}
		if p.kind = asText; has.Implements(jsonUnmarshaler) {
			p.kind = asJSON
		}
		return true
	}
	switch t.Kind() {
	case reflect.Bool:
		p.kind = asBool
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		p.kind, p.bits = asInt, t.Bits()
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		p.kind, p.bits = asUint, t.Bits()
	case reflect.Float32, reflect.Float64:
		p.kind, p.bits = asFloat, t.Bits()
	case reflect.String:
		p.kind = asString
		return t != jsonNumber
	case reflect.Pointer:
		p.kind = asPointer
		p.elem, ok = m.plan(t.Elem())
		return ok && t.Elem().Kind() != reflect.Pointer
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 {
			p.kind = asBytes
			return t.Elem() == reflect.TypeFor[byte]()
		}
		p.kind = asSlice
		p.elem, ok = m.plan(t.Elem())
		return ok
	case reflect.Map:
		if t.Key().Kind() != reflect.String || t.Key() == jsonNumber || reflect.PointerTo(t.Key()).Implements(textUnmarshaler) {
			return false
		}
		p.kind = asMap
		p.elem, ok = m.plan(t.Elem())
		return ok
	case reflect.Struct:
		p.kind = asStruct
		if !m.fields(p, t, nil) || len(p.fields) > mostFields {
			return false
		}
		names := make(map[string]bool)
		for _, f := range p.fields {
			names[f.name] = true
		}
		return len(names) == len(p.fields) // else one hides the other, or both are left out
	default:
		return false
	}
	return true
}

// fields adds the fields of a struct that lies within the plan's.
func (m planner) fields(p *plan, t reflect.Type, index []int) (ok bool) {
	for i := range t.NumField() {
		f := t.Field(i)
		tag := f.Tag.Get("json")
		if tag == "-" {
			continue
		}
		name, options, _ := strings.Cut(tag, ",")
		at := append(index[:len(index):len(index)], i)
		if f.Anonymous {
			if has := reflect.PointerTo(f.Type); tag != "" || f.Type.Kind() != reflect.Struct ||
				has.Implements(jsonUnmarshaler) || has.Implements(textUnmarshaler) || !m.fields(p, f.Type, at) {
				return false
			}
			continue
		}
		if !f.IsExported() {
			continue
		}
		for option := range strings.SplitSeq(options, ",") {
			if option != "" && option != "omitempty" && option != "omitzero" {
				return false
			}
		}
		if strings.ContainsFunc(name, func(r rune) bool {
			return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '_' && r != '-' && r != '.'
		}) {
			return false
		}
		if name == "" {
			name = f.Name
		}
		is, ok := m.plan(f.Type)
		if !ok {
			return false
		}
		p.fields = append(p.fields, field{name, at, is})
	}
	return true
}
