package aggregate

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"time"

	"github.com/go-es/es"
)

// Root makes a struct an aggregate: embed it, by value. The aggregate is made by
// its [Definition], or by a [Repository], and must not be copied. It is for one
// goroutine at a time.
type Root struct {
	_    noCopy
	self *Root // where the definition made it: tells a copy
	core *core
}

// noCopy lets go vet find copies.
type noCopy struct{}

func (*noCopy) Lock()   {}
func (*noCopy) Unlock() {}

// Raise says that something has happened: it gives the event its id and its time
// and applies it to the aggregate, by the handler of its definition. It is stored
// by the next Save. What is stored is the event as it is now, whatever becomes of
// its value; but an aggregate that [Definition.New] made knows no store yet, and its
// events are encoded when it is saved.
//
// The event may come in an [es.Envelope] with metadata, tags, a time or an id.
//
// After an error the aggregate is as it was, and can be neither changed nor saved
// any more, so that an error that is not looked at loses no event: errors are
// mistakes of the program, such as a missing handler, or follow a conflict.
func (r *Root) Raise(ev es.Event) error {
	c, err := r.live()
	if err != nil {
		return &Error{Op: "raise", Err: err}
	}
	if c.err == nil {
		err := c.raise(ev)
		if c.err == nil { // an error of a Raise inside the handler says more
			c.err = err
		}
	}
	return c.wrap("raise", c.err)
}

// ID returns the id of the aggregate, "" if it was not made by its definition.
func (r *Root) ID() string {
	if r.core == nil {
		return ""
	}
	return r.core.id
}

// Version returns the number of events that made the aggregate what it is, those
// included that were raised and are not stored yet. In a handler it is the
// version of the event.
func (r *Root) Version() es.Version {
	if r.core == nil {
		return 0
	}
	return r.core.version
}

func (r *Root) aggregateRoot() *Root { return r }

// embedsRoot is a pointer to a struct that embeds Root.
type embedsRoot interface{ aggregateRoot() *Root }

// live returns the core of an aggregate that is used as it should be.
func (r *Root) live() (*core, error) {
	switch {
	case r.core == nil:
		return nil, invalid("aggregate", "was not made by its definition: use New or a repository")
	case r.self != r:
		return nil, invalid("aggregate", "is a copy: use the pointer that its definition or repository made")
	}
	return r.core, nil
}

// definition is a Definition of whatever type.
type definition interface {
	Category() string
	// applyValue applies an event that was just raised.
	applyValue(a any, ev es.Event, rec *es.Record) error
}

// core is what an aggregate knows of itself.
type core struct {
	def    definition
	self   any       // the pointer to the aggregate
	store  *es.Store // nil: made without one
	id     string
	stream string
	given  bool // made by Given

	stored  es.Version // known to be in the store
	version es.Version // with what is pending
	last    es.ID      // of the event at stored
	pending []raised
	sent    int             // so many of pending were sent, and may be stored or not
	sentCtx context.Context // with the values that they were sent with

	command string // events get ids derived from it
	ordinal int    // of the next such event
	tx      *Tx    // it belongs to, while that runs

	busy     bool  // a handler runs
	err      error // why it can be neither changed nor saved
	conflict bool  // that is why

	subjects subjects
	shredded bool       // of an event that was loaded the key is gone
	looked   bool       // for a snapshot, when it was loaded
	snapshot es.Version // of the last snapshot; 0: none
}

// raised is an event that is not known to be stored.
type raised struct {
	event es.Event    // the value
	env   es.Envelope // what is sent; encoded already if the aggregate has a store
}

func (c *core) wrap(op string, err error) error {
	if err == nil {
		return nil
	}
	return &Error{op, c.def.Category(), c.id, c.version, err}
}

func (c *core) raise(ev es.Event) error {
	if c.busy {
		c.err = invalid("event", "was raised inside a handler: a handler changes the state and does nothing else")
		return c.err
	}
	p, err := c.freeze(ev)
	if err != nil {
		return err
	}
	rec := es.Record{Stream: c.stream, Version: c.version + 1, ID: p.env.ID, Type: p.env.EventType(), Time: p.env.Time, Tags: p.env.Tags}
	c.version++
	c.busy = true // and stays so if the handler panics
	err = c.def.applyValue(c.self, p.event, &rec)
	c.busy = false
	if err == nil {
		err = c.err
	}
	if err != nil {
		c.version--
		return err
	}
	c.ordinal++
	c.pending = append(c.pending, p)
	return nil
}

// freeze fixes what is stored of an event.
func (c *core) freeze(ev es.Event) (p raised, err error) {
	switch e := ev.(type) {
	case nil:
		return p, invalid("event", "is nil")
	case es.Envelope:
		p.env = e
	case *es.Envelope:
		if e != nil {
			p.env = *e
		}
	default:
		p.env.Event = ev
	}
	p.event = p.env.Event
	if v := reflect.ValueOf(p.event); !v.IsValid() || v.Kind() == reflect.Pointer && v.IsNil() {
		return p, invalid("event", "is nil")
	}
	if c.command != "" {
		if !p.env.ID.IsZero() {
			return p, invalid("event", "has an id of its own, and CommandID gives it one")
		}
		p.env.ID = commandEventID(c.stream, c.command, c.ordinal)
	}
	if c.store != nil {
		p.env, err = c.store.Freeze(p.env)
		return p, err
	}
	p.env.Tags, p.env.Metadata = slices.Clone(p.env.Tags), maps.Clone(p.env.Metadata)
	if p.env.Time.IsZero() {
		p.env.Time = time.Now()
	}
	p.env.Time = time.UnixMicro(p.env.Time.UnixMicro()).UTC()
	if p.env.ID.IsZero() {
		p.env.ID = es.NewID(p.env.Time)
	}
	return p, nil
}

// bind gives an aggregate that was made without a store one.
func (c *core) bind(store *es.Store) error {
	if c.store != nil {
		return nil
	}
	if c.given {
		return invalid("aggregate", "was made by Given, which is for tests: its events are in no store")
	}
	for i := range c.pending {
		p := &c.pending[i]
		p.env.Event = p.event
		env, err := store.Freeze(p.env)
		if err != nil {
			return err
		}
		p.env = env
	}
	c.store = store
	return nil
}

// ready returns an error if the aggregate cannot be saved.
func (c *core) ready(store *es.Store) error {
	switch {
	case c.err != nil:
		return c.err
	case c.busy:
		return invalid("aggregate", "is inside a handler, or a handler panicked: load it again")
	}
	return c.bind(store)
}

// events returns the first n pending events.
func (c *core) events(n int) []es.Event {
	events := make([]es.Event, n)
	for i := range events {
		events[i] = c.pending[i].env
	}
	return events
}

// appended takes note that the first n pending events are stored.
func (c *core) appended(n int) {
	if n == 0 {
		return
	}
	c.stored += es.Version(n)
	c.last = c.pending[n-1].env.ID
	c.pending = append([]raised(nil), c.pending[n:]...)
	c.sent, c.sentCtx = 0, nil
}

// failed takes note that an append of the first n pending events failed.
func (c *core) failed(ctx context.Context, n int, err error) {
	switch {
	case !certain(err):
		if c.sent == 0 {
			c.sent, c.sentCtx = n, context.WithoutCancel(ctx)
		}
	case errors.Is(err, es.ErrConflict), errors.Is(err, es.ErrStreamDeleted):
		c.err = fmt.Errorf("es: it must be loaded again: %w", bare{err})
		c.conflict = errors.Is(err, es.ErrConflict)
	}
}

// resend is the context of an append that is sent again: it ends as the caller's
// does, and has the values, metadata among them, that it was sent with first.
type resend struct {
	context.Context
	first context.Context
}

func (c resend) Value(key any) any { return c.first.Value(key) }
