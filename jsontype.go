package es

import (
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"
	"runtime"
	"strings"
)

var (
	jsonMarshaler   = reflect.TypeFor[json.Marshaler]()
	textMarshaler   = reflect.TypeFor[encoding.TextMarshaler]()
	jsonUnmarshaler = reflect.TypeFor[json.Unmarshaler]()
	textUnmarshaler = reflect.TypeFor[encoding.TextUnmarshaler]()
)

// jsonForm returns the method that encoding/json calls to encode a value of t,
// which is no pointer, or "". It calls a pointer's only if it can take one.
func jsonForm(t reflect.Type, addressable bool) string {
	p := t
	if addressable {
		p = reflect.PointerTo(t) // has the methods of t too
	}
	switch {
	case p.Implements(jsonMarshaler):
		return "MarshalJSON"
	case p.Implements(textMarshaler):
		return "MarshalText"
	}
	return ""
}

// jsonField is a field that encoding/json encodes, with the index and the name in
// JSON.
type jsonField struct {
	reflect.StructField
	lost string // why it cannot be read back, or ""
}

// jsonFields returns the fields of a struct as encoding/json sees them: those of
// embedded structs are its own, unless hidden by one nearer. Where two of one
// level have one name, it returns the name.
func jsonFields(t reflect.Type) (fields []jsonField, twice string) {
	nearer, visited := map[string]bool{}, map[reflect.Type]bool{}
	for here := []jsonField{{StructField: reflect.StructField{Type: t}}}; len(here) > 0; {
		var deeper []jsonField
		first := len(fields)
		for _, in := range here {
			if visited[in.Type] {
				continue
			}
			for i := range in.Type.NumField() {
				f := jsonField{in.Type.Field(i), in.lost}
				f.Index = append(in.Index[:len(in.Index):len(in.Index)], i)
				tag := f.Tag.Get("json")
				name, _, _ := strings.Cut(tag, ",")
				inner := f.Type
				if inner.Kind() == reflect.Pointer {
					inner = inner.Elem()
				}
				embedded := f.Anonymous && inner.Kind() == reflect.Struct
				if tag == "-" || !f.IsExported() && !embedded {
					continue
				}
				if embedded && !f.IsExported() && f.Type != inner {
					f.lost = fmt.Sprintf("stands in an embedded pointer to %v, which is not exported", inner)
				}
				if embedded && name == "" {
					f.Type = inner
					deeper = append(deeper, f)
					continue
				}
				if name != "" {
					f.Name = name
				}
				if !nearer[f.Name] {
					fields = append(fields, f)
				}
			}
		}
		for _, f := range fields[first:] {
			if nearer[f.Name] {
				twice = f.Name
			}
			nearer[f.Name] = true
		}
		for _, in := range here {
			visited[in.Type] = true
		}
		here = deeper
	}
	return fields, twice
}

// checkJSONType returns an *InvalidError if a value of the type would not come
// back from JSON.
func checkJSONType(t reflect.Type) error {
	return jsonWalk{}.check(t, false, fmt.Sprintf("Go type %v", t))
}

// jsonWalk holds the types that were looked at, as addressable ones and others.
type jsonWalk map[jsonPlace]bool

type jsonPlace struct {
	t           reflect.Type
	addressable bool
}

func (w jsonWalk) check(t reflect.Type, addressable bool, what string) error {
	if w[jsonPlace{t, addressable}] {
		return nil
	}
	w[jsonPlace{t, addressable}] = true
	refuse := func(format string, args ...any) error {
		return &InvalidError{What: what, Reason: "cannot come back from JSON: " + fmt.Sprintf(format, args...)}
	}
	switch t.Kind() {
	case reflect.Pointer:
		return w.check(t.Elem(), true, what)
	case reflect.Interface:
		if t.NumMethod() > 0 {
			return refuse("nothing says which type the interface %v holds", t)
		}
		return nil
	}
	p := reflect.PointerTo(t)
	reads := p.Implements(jsonUnmarshaler) || p.Implements(textUnmarshaler)
	if form := jsonForm(t, addressable); form != "" {
		if f := promotes(t, form); f != "" {
			return refuse("the method %s of %v is that of its embedded field %s, and leaves out the others", form, t, f)
		}
		if form == "MarshalText" && !reads && t.Kind() != reflect.String {
			return refuse("%v has a method MarshalText and no UnmarshalText", t)
		}
	}
	if reads {
		method := "UnmarshalText"
		if p.Implements(jsonUnmarshaler) {
			method = "UnmarshalJSON"
		}
		if f := promotes(t, method); f != "" {
			return refuse("the method %s of %v is that of its embedded field %s, and does not read the others", method, t, f)
		}
	}
	if jsonForm(t, addressable) != "" {
		return nil
	}
	if reads && t.Kind() != reflect.Struct {
		return nil
	}
	switch t.Kind() {
	case reflect.Slice:
		return w.check(t.Elem(), true, what)
	case reflect.Array:
		return w.check(t.Elem(), addressable, what)
	case reflect.Map:
		k := t.Key()
		if k.Kind() != reflect.String && k.Implements(textMarshaler) && !reflect.PointerTo(k).Implements(textUnmarshaler) {
			return refuse("the keys are of type %v, which has a method MarshalText and no UnmarshalText", k)
		}
		return w.check(t.Elem(), false, what)
	case reflect.Struct:
		fields, twice := jsonFields(t)
		if twice != "" {
			return refuse("%v has two fields of the name %q", t, twice)
		}
		if len(fields) == 0 && holds(t) {
			return refuse("no field of %v is encoded: none is exported, and it has no MarshalJSON that is called", t)
		}
		for f := range t.Fields() {
			if f.Anonymous && f.Tag.Get("json") == "" && leftOut(f.Type) {
				return refuse("the embedded %v of %v is left out: its methods are not called", f.Type, t)
			}
		}
		if reads {
			return nil
		}
		for _, f := range fields {
			what := fmt.Sprintf("field %s of Go type %v", t.FieldByIndex(f.Index).Name, t)
			if f.lost != "" {
				return &InvalidError{What: what, Reason: "cannot come back from JSON: it " + f.lost}
			}
			if err := w.check(f.Type, addressable, what); err != nil {
				return err
			}
		}
	}
	return nil
}

// holds reports whether a struct has anything to store: a field that is not
// empty, and not marked as one to leave out.
func holds(t reflect.Type) bool {
	for f := range t.Fields() {
		if f.Name != "_" && f.Type.Size() > 0 && f.Tag.Get("json") != "-" {
			return true
		}
	}
	return false
}

// leftOut reports whether the type is a struct that has a form of its own and no
// fields to encode instead.
func leftOut(t reflect.Type) bool {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct || jsonForm(t, true) == "" || !holds(t) {
		return false
	}
	fields, _ := jsonFields(t)
	return len(fields) == 0
}

// promotes returns the name of the embedded field whose method, one of those that
// jsonMethod knows, the struct t has as its own, if t has other fields, which that
// method leaves out.
func promotes(t reflect.Type, method string) string {
	if t.Kind() != reflect.Struct {
		return ""
	}
	m, _ := jsonMethod(t, method)
	if !m.Func.IsValid() {
		return ""
	}
	// A method that t declares has a place in a file.
	fn := runtime.FuncForPC(m.Func.Pointer())
	if fn == nil {
		return ""
	}
	if file, _ := fn.FileLine(fn.Entry()); file != "<autogenerated>" {
		return ""
	}
	fields, _ := jsonFields(t)
	for i := range t.NumField() {
		f := t.Field(i)
		if _, has := jsonMethod(f.Type, method); !has || !f.Anonymous {
			continue
		}
		for _, other := range fields {
			if other.Index[0] != i {
				return f.Name
			}
		}
	}
	return ""
}

// jsonMethod returns a method of t, or else of its pointer. The names are
// constants for the linker: for others it would keep all methods of the program.
func jsonMethod(t reflect.Type, name string) (m reflect.Method, ok bool) {
	for _, t := range []reflect.Type{t, reflect.PointerTo(t)} {
		switch name {
		case "MarshalJSON":
			m, ok = t.MethodByName("MarshalJSON")
		case "MarshalText":
			m, ok = t.MethodByName("MarshalText")
		case "UnmarshalJSON":
			m, ok = t.MethodByName("UnmarshalJSON")
		case "UnmarshalText":
			m, ok = t.MethodByName("UnmarshalText")
		}
		if ok {
			break
		}
	}
	return m, ok
}
