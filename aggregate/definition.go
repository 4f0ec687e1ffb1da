package aggregate

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync/atomic"
	"unicode/utf8"

	"github.com/go-es/es"
)

// Definition says how events make an aggregate of type A. It is made once, by
// [Define], and may then be used concurrently.
type Definition[A any] struct {
	category string
	handlers map[string]*handler[A] // by the type as it is stored
	ignored  map[string]bool
	init     func(*A)
	shredded func(*A, es.Record)
	snapshot *snapshots[A]
	used     atomic.Bool
}

// handler is what a type of events does to an aggregate.
type handler[A any] struct {
	takes reflect.Type
	load  func(a *A, rec *es.Record) error
	raise func(a *A, ev es.Event, rec *es.Record) bool // false: ev is of another Go type
}

// Option is a part of a [Definition].
type Option[A any] func(*Definition[A])

// Define makes the definition of the aggregates of a category, as a package
// variable:
//
//	var Accounts = aggregate.Define("account",
//		aggregate.On(func(a *Account, e Opened) { a.Owner = e.Owner }),
//		aggregate.On(func(a *Account, e Deposited) { a.Balance += e.Amount }),
//	)
//
// The events of the aggregate with an id are the stream category + "-" + id. The
// category is a name without "-"; a store refuses a second definition of one.
//
// Define panics if the category or an option is wrong: that is a mistake of the
// program.
func Define[A any, P interface {
	*A
	embedsRoot
}](category string, options ...Option[A]) *Definition[A] {
	d := &Definition[A]{category: category, handlers: map[string]*handler[A]{}, ignored: map[string]bool{}}
	if err := checkCategory(category); err != nil {
		panic(err)
	}
	if hasNilRoot(P(new(A))) {
		panic(fmt.Sprintf("es: define %q: %v embeds a pointer to a Root: embed the Root itself", category, reflect.TypeFor[A]()))
	}
	for i, o := range options {
		if o == nil {
			panic(fmt.Sprintf("es: define %q: option %d is nil", category, i))
		}
		o(d)
	}
	return d
}

func checkCategory(category string) error {
	if category == "" {
		return invalid("category", "is empty")
	}
	if strings.Contains(category, "-") {
		return invalid(fmt.Sprintf("category %q", category), `contains "-", which ends the category in the name of a stream`)
	}
	return checkName(fmt.Sprintf("category %.40q", category), category+"-1")
}

const maxName = 255 // bytes, of streams and of kinds of snapshots

// checkName checks a name that what is a part of.
func checkName(what, name string) error {
	switch {
	case len(name) > maxName:
		return invalid(what, "makes a name of %d bytes, the limit is %d", len(name), maxName)
	case !utf8.ValidString(name):
		return invalid(what, "is not valid UTF-8")
	case strings.Contains(name, "\x00"):
		return invalid(what, "contains a NUL byte")
	}
	return nil
}

func hasNilRoot(r embedsRoot) (is bool) {
	defer func() { is = is || recover() != nil }() // a pointer to a struct that embeds the Root
	return r.aggregateRoot() == nil
}

// On sets the handler of an event type: it changes the aggregate, and does nothing
// else. It is called with each event that is raised and each that is loaded, and
// must not change the event. It panics if f is nil or E is no event type.
func On[A any, E es.Event](f func(a *A, e E)) Option[A] {
	return on("On", f == nil, es.TypeOf[E](), func(a *A, e E, _ *es.Record) { f(a, e) })
}

// OnType is [On] for event types that have a descriptor instead of a method. It
// panics if f is nil or the descriptor is zero.
func OnType[A, E any](t es.Type[E], f func(a *A, e E)) Option[A] {
	return on("OnType", f == nil, t, func(a *A, e E, _ *es.Record) { f(a, e) })
}

// OnRecorded is [On] for a handler that wants to know the event's time, id, version
// or tags. The record's position and metadata are not known yet when an event is
// raised: a handler must not use them.
func OnRecorded[A any, E es.Event](f func(a *A, e E, rec es.Record)) Option[A] {
	return on("OnRecorded", f == nil, es.TypeOf[E](), func(a *A, e E, rec *es.Record) { f(a, e, *rec) })
}

func on[A, E any](what string, isNil bool, t es.Type[E], f func(*A, E, *es.Record)) Option[A] {
	name := t.Name()
	if name == "" {
		panic("es: " + what + ": the type is zero: make types with es.NewType")
	}
	if isNil {
		panic(fmt.Sprintf("es: %s: the handler of %q is nil", what, name))
	}
	h := &handler[A]{
		takes: reflect.TypeFor[E](),
		load: func(a *A, rec *es.Record) error {
			e, err := t.As(*rec)
			if err == nil {
				f(a, e, rec)
			}
			return err
		},
		raise: func(a *A, ev es.Event, rec *es.Record) bool {
			e, ok := t.Value(ev)
			if ok {
				f(a, e, rec)
			}
			return ok
		},
	}
	return func(d *Definition[A]) {
		if d.handlers[name] != nil {
			panic(fmt.Sprintf("es: define %q: events of type %q have two handlers", d.category, name))
		}
		d.handlers[name] = h
	}
}

// OnShredded lets an aggregate be loaded of which some events can never be read
// again, because the key of their subject was deleted: f is called in place of
// their handlers. Without it, loading fails with [es.ErrShredded]. Of such an
// aggregate no more snapshots are taken.
func OnShredded[A any](f func(a *A, rec es.Record)) Option[A] {
	if f == nil {
		panic("es: OnShredded: the function is nil")
	}
	return func(d *Definition[A]) {
		if d.shredded != nil {
			panic(fmt.Sprintf("es: define %q: there are two OnShredded", d.category))
		}
		d.shredded = f
	}
}

// Init sets a function that each new aggregate is given to before its first event,
// to make a map for instance. It returns d, and panics if d was used before.
func (d *Definition[A]) Init(f func(a *A)) *Definition[A] {
	d.unused("Init")
	if f == nil || d.init != nil {
		panic(fmt.Sprintf("es: define %q: Init needs one function", d.category))
	}
	d.init = f
	return d
}

// Ignoring names types of events that change nothing and need no handler: old ones
// that are stored, or those that others only read. It returns d, and panics if a
// name is none or has a handler, or if d was used before.
func (d *Definition[A]) Ignoring(types ...string) *Definition[A] {
	d.unused("Ignoring")
	for _, name := range types {
		es.NewType[any](name) // panics
		if d.handlers[name] != nil {
			panic(fmt.Sprintf("es: define %q: events of type %q have a handler and are ignored", d.category, name))
		}
		d.ignored[name] = true
	}
	return d
}

func (d *Definition[A]) unused(what string) {
	if d.used.Load() {
		panic(fmt.Sprintf("es: define %q: %s after the definition was used", d.category, what))
	}
}

func (d *Definition[A]) use() {
	if !d.used.Load() {
		d.used.Store(true)
	}
}

// Category returns the category.
func (d *Definition[A]) Category() string { return d.category }

// Stream returns the stream of the aggregate with an id.
func (d *Definition[A]) Stream(id string) string { return d.category + "-" + id }

// ID returns the id of the aggregate whose events are in a stream, and false if it
// is none of this category.
func (d *Definition[A]) ID(stream string) (string, bool) {
	category, id, ok := strings.Cut(stream, "-")
	if !ok || category != d.category || id == "" {
		return "", false
	}
	return id, true
}

// New makes an aggregate without events. If the id cannot be one, Raise and Save
// say so.
func (d *Definition[A]) New(id string) *A {
	a, c := d.make(nil, id)
	if err := d.checkID(id); err != nil {
		c.err = err
	}
	return a
}

// Given makes an aggregate as these events leave it, for tests of what it does
// next. It panics if one of them cannot be applied. It cannot be saved.
func (d *Definition[A]) Given(id string, events ...es.Event) *A {
	a, c := d.make(nil, id)
	c.given = true
	for _, ev := range events {
		if err := c.raise(ev); err != nil {
			panic(c.wrap("given", err).Error())
		}
	}
	c.appended(len(c.pending))
	return a
}

// Pending returns the events that were raised and are not known to be stored, for
// tests: their values, without envelopes.
func (d *Definition[A]) Pending(a *A) []es.Event {
	c, err := d.core(a)
	if err != nil {
		return nil
	}
	events := make([]es.Event, len(c.pending))
	for i := range events {
		events[i] = c.pending[i].event
	}
	return events
}

func (d *Definition[A]) checkID(id string) error {
	if id == "" {
		return invalid("id", "is empty")
	}
	return checkName(fmt.Sprintf("id %.40q", id), d.Stream(id))
}

// make makes an aggregate without events.
func (d *Definition[A]) make(store *es.Store, id string) (*A, *core) {
	d.use()
	a := new(A)
	c := &core{def: d, self: a, store: store, id: id, stream: d.Stream(id)}
	r := any(a).(embedsRoot).aggregateRoot()
	r.self, r.core = r, c
	if d.init != nil {
		c.busy = true
		d.init(a)
		c.busy = false
	}
	return a, c
}

// core returns what an aggregate of this definition knows of itself.
func (d *Definition[A]) core(a *A) (*core, error) {
	if a == nil {
		return nil, invalid("aggregate", "is nil")
	}
	c, err := any(a).(embedsRoot).aggregateRoot().live()
	if err != nil {
		return nil, err
	}
	if c.def != definition(d) {
		return nil, invalid("aggregate", "was made by another definition, of category %q", c.def.Category())
	}
	return c, nil
}

func (d *Definition[A]) applyValue(a any, ev es.Event, rec *es.Record) error {
	h := d.handlers[rec.Type]
	if h == nil {
		if d.ignored[rec.Type] {
			return nil
		}
		return noHandler(rec.Type)
	}
	if !h.raise(a.(*A), ev, rec) {
		return wrongType(rec.Type, h.takes)
	}
	return nil
}

// applyRecord applies an event that was loaded.
func (d *Definition[A]) applyRecord(a *A, c *core, rec *es.Record) error {
	if rec.Version != c.version+1 {
		return fmt.Errorf("%w: version %d of the stream follows version %d", es.ErrCorrupt, rec.Version, c.version)
	}
	h := d.handlers[rec.Type]
	if h == nil && !d.ignored[rec.Type] {
		return noHandler(rec.Type)
	}
	c.version++
	c.stored++
	c.last = rec.ID
	if d.snapshot != nil {
		c.subjects.addOf(rec)
	}
	if h == nil {
		return nil
	}
	c.busy = true
	err := h.load(a, rec)
	if err != nil && d.shredded != nil && errors.Is(err, es.ErrShredded) {
		d.shredded(a, *rec)
		c.shredded = true
		err = nil
	}
	c.busy = false
	if err == nil {
		err = c.err
	}
	return err
}
