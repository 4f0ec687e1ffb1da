package es

import (
	"fmt"
	"reflect"
	"strings"
	"sync"
	"time"

	"github.com/go-es/es/driver"
)

// Event is a value that names its type. The name is what is stored: it outlives
// renames and moves of the Go type. EventType must return the same name for
// every value of a type, a fresh one included, so that an event can be read
// back. Names are valid UTF-8, 1 to 255 bytes; those that begin with "$" are
// reserved.
//
// For types that cannot have a method (generated, generic, foreign), see
// [NewType].
type Event interface {
	EventType() string
}

// TypeDeleted is the type of the event that Delete writes into a stream.
const TypeDeleted = driver.TypeDeleted

// Type describes events of the Go type T without asking anything of T. It is
// made once, as a package variable:
//
//	var Moved = es.NewType[*pb.Moved]("account.moved")
//
//	store.Append(ctx, stream, expected, Moved.Of(msg))
//	if Moved.Is(rec) { msg, err := Moved.As(rec) }
type Type[T any] struct {
	name  string
	codec Codec
}

// NewType returns the descriptor of events of Go type T stored under a name. It
// panics if the name cannot be one.
func NewType[T any](name string) Type[T] {
	if err := checkTypeName(name); err != nil {
		panic(err)
	}
	return Type[T]{name: name}
}

// TypeOf returns the descriptor of an event type with a method. It panics if the
// type's EventType does not work on a fresh value or gives no valid name.
func TypeOf[T Event]() Type[T] {
	name, err := nameOf[T]()
	if err != nil {
		panic(err)
	}
	return Type[T]{name: name}
}

// With returns a descriptor whose events are encoded with a codec of their own,
// whatever the store's is. It panics if the codec's name cannot be one.
func (t Type[T]) With(c Codec) Type[T] {
	if err := checkCodec(c); err != nil {
		panic(err)
	}
	t.codec = c
	return t
}

// Name returns the name under which these events are stored.
func (t Type[T]) Name() string { return t.name }

// Of makes an event of a value.
func (t Type[T]) Of(v T) Event { return described{t.name, v, t.codec} }

// Is reports whether the record is of this type.
func (t Type[T]) Is(rec Record) bool { return rec.Type == t.name }

// Value returns the value of an event that Of made, or whose Go type is T or *T,
// also within an Envelope; and false for any other.
func (t Type[T]) Value(ev Event) (v T, ok bool) {
	switch e := ev.(type) {
	case Envelope:
		ev = e.Event
	case *Envelope:
		if e == nil {
			return v, false
		}
		ev = e.Event
	}
	if d, ok := ev.(described); ok {
		if d.name != t.name {
			return v, false
		}
		v, ok = d.value.(T)
		return v, ok
	}
	switch e := any(ev).(type) {
	case T:
		v = e
	case *T:
		if e == nil {
			return v, false
		}
		v = *e
	default:
		return v, false
	}
	if checkNil("event", ev) != nil || ev.EventType() != t.name {
		var zero T
		return zero, false
	}
	return v, true
}

// As decodes the record. Errors: as [As].
func (t Type[T]) As(rec Record) (T, error) { return decode[T](rec, t.name, t.codec) }

// described is an event made by a Type.
type described struct {
	name  string
	value any
	codec Codec // nil: the store's
}

func (d described) EventType() string { return d.name }

// Raw is an event as its codec encoded it, neither compressed nor encrypted. It
// is for tools that inspect and copy; appending it compresses and encrypts anew,
// as the store that it is appended to does for that type.
type Raw struct {
	Type     string
	Encoding string // the name of the codec, such as "json"
	Data     []byte
}

// EventType returns r.Type.
func (r Raw) EventType() string { return r.Type }

// Envelope is an event together with what the store otherwise chooses for it.
// What is zero here the store chooses.
type Envelope struct {
	Event    Event
	ID       ID                // otherwise a new one
	Time     time.Time         // otherwise the store's clock
	Metadata map[string]string // added to the context's; wins over it
	Tags     []string          // up to 32 of 255 bytes; stored in plain text
}

// EventType returns the type of e.Event.
func (e Envelope) EventType() string {
	if e.Event == nil {
		return ""
	}
	return e.Event.EventType()
}

func checkTypeName(name string) error {
	if strings.HasPrefix(name, "$") {
		return &InvalidError{What: fmt.Sprintf("event type %q", name), Reason: `names that begin with "$" are reserved`}
	}
	return driver.CheckName("event type", name)
}

// typeNames holds, for each Go type with a method EventType, its name or the
// error that says why it has none: map[reflect.Type]typeName.
var typeNames sync.Map

type typeName struct {
	name string
	err  error
}

// nameOf returns the name of T's events as a fresh value gives it.
func nameOf[T Event]() (string, error) { return freshName(reflect.TypeFor[T]()) }

func freshName(t reflect.Type) (string, error) {
	if n, ok := typeNames.Load(t); ok {
		return n.(typeName).name, n.(typeName).err
	}
	var n typeName
	n.name, n.err = askFresh(t)
	typeNames.Store(t, n)
	return n.name, n.err
}

func askFresh(t reflect.Type) (name string, err error) {
	if t.Kind() == reflect.Interface {
		return "", &InvalidError{What: fmt.Sprintf("event type %v", t), Reason: "it is an interface: name the concrete type"}
	}
	defer func() {
		if r := recover(); r != nil {
			name, err = "", &InvalidError{What: fmt.Sprintf("event type %v", t), Reason: fmt.Sprintf("its method EventType must return a constant, and panics on a fresh value: %v", r)}
		}
	}()
	fresh := reflect.New(t).Elem()
	if t.Kind() == reflect.Pointer {
		fresh = reflect.New(t.Elem())
	}
	name = fresh.Interface().(Event).EventType()
	if err := checkTypeName(name); err != nil {
		return "", fmt.Errorf("es: the method EventType of %v: %w", t, bare{err})
	}
	return name, nil
}

// unwrapped is an event taken apart.
type unwrapped struct {
	Envelope
	name  string
	value any
	codec Codec // nil: the store's
	raw   *Raw  // instead of value
}

func unwrap(ev Event) (u unwrapped, err error) {
	if err := checkNil("event", ev); err != nil {
		return u, err
	}
	switch e := ev.(type) {
	case Envelope:
		u.Envelope = e
	case *Envelope:
		u.Envelope = *e
	default:
		return u, u.take(ev)
	}
	if err := checkNil("event of an Envelope", u.Event); err != nil {
		return u, err
	}
	return u, u.take(u.Event)
}

func (u *unwrapped) take(ev Event) error {
	switch e := ev.(type) {
	case Envelope, *Envelope:
		return &InvalidError{What: "event", Reason: "is an Envelope within an Envelope"}
	case Raw:
		return u.takeRaw(e)
	case *Raw:
		return u.takeRaw(*e)
	case described:
		u.name, u.value, u.codec = e.name, e.value, e.codec
		if e.name == "" {
			return &InvalidError{What: "event", Reason: "is of a zero Type: make types with NewType"}
		}
		return checkNil(fmt.Sprintf("event of type %q", e.name), e.value)
	default:
		fresh, err := freshName(reflect.TypeOf(ev))
		if err != nil {
			return err
		}
		if u.name = ev.EventType(); u.name != fresh {
			return &InvalidError{What: fmt.Sprintf("event type %q", u.name), Reason: fmt.Sprintf("the method EventType of %T must return a constant, and returns %q for a fresh value", ev, fresh)}
		}
		u.value = ev
		return nil
	}
}

func (u *unwrapped) takeRaw(raw Raw) error {
	if err := checkPartName("codec", raw.Encoding); err != nil {
		return fmt.Errorf("es: the encoding of a Raw event: %w", bare{err})
	}
	u.name, u.raw = raw.Type, &raw
	return checkTypeName(raw.Type)
}

// checkNil refuses nil and nil pointers.
func checkNil(what string, v any) error {
	if v == nil {
		return &InvalidError{What: what, Reason: "is nil"}
	}
	if r := reflect.ValueOf(v); r.Kind() == reflect.Pointer && r.IsNil() {
		return &InvalidError{What: what, Reason: fmt.Sprintf("is a nil %T", v)}
	}
	return nil
}

// As decodes a record into an event type with a method; for the others see
// [Type.As]. Errors are [*DecodeError]s; one says so if the record is of another
// type.
func As[T Event](rec Record) (T, error) {
	name, err := nameOf[T]()
	if err != nil {
		var zero T
		return zero, err
	}
	return decode[T](rec, name, nil)
}

func decode[T any](rec Record, name string, codec Codec) (T, error) {
	var v T
	if rec.Type != name {
		return v, rec.fail(fmt.Errorf("it is of type %q, and was to be read as %q", rec.Type, name))
	}
	data, enc, err := rec.open()
	if err != nil {
		return v, err
	}
	if codec == nil || codec.Name() != enc {
		if codec, err = rec.dec.codecFor(enc); err != nil {
			return v, rec.fail(err)
		}
	}
	if err := unmarshal(codec, data, &v); err != nil {
		var zero T
		return zero, rec.fail(fmt.Errorf("%w: %s cannot be decoded as %v: %w", ErrCorrupt, enc, reflect.TypeFor[T](), bare{err}))
	}
	return v, nil
}

// unmarshal decodes into *v; where T is a pointer type it makes what v points
// to, so that a codec sees a pointer to a value and never a pointer to a pointer.
func unmarshal[T any](codec Codec, data []byte, v *T) error {
	if t := reflect.TypeFor[T](); t.Kind() == reflect.Pointer {
		p := reflect.New(t.Elem())
		*v = p.Interface().(T)
		return unmarshalInto(codec, data, p.Interface())
	}
	return unmarshalInto(codec, data, v)
}
