package aggregate

import (
	"context"
	"errors"

	"github.com/go-es/es"
)

// Tx is what the function of [Atomically] loads and makes aggregates with. It is
// for one goroutine, and ends with the function.
type Tx struct {
	ctx      context.Context
	store    *es.Store
	call     *call
	members  []*member
	repeated []Result // of the command, if it was done before
	over     bool
}

// member is an aggregate that a Tx has looked at.
type member struct {
	category, id, stream string

	a        any    // a *A; nil: there is none
	core     *core  // nil: there is none
	blind    bool   // made without looking whether there is one
	snapshot func() // takes one if it is time
}

// Atomically changes several aggregates at once, of any definitions: all events
// that f raises are stored, or none. If another was faster with one of the
// aggregates that f got, those included that it did not change and those that it
// did not find, f is called again with a new Tx: it may be called several times,
// and should have no effect but on the aggregates. An error of f is returned as it
// is, and nothing is stored.
//
// It returns a Result for each aggregate that was changed, in the order in which f
// got them. If f raises no events nothing is stored, and nothing is checked.
//
// With [CommandID], a command is recognised as done before when f gets the first of
// the aggregates that it changed: Get or GetOrNew gives f an error and no aggregate. Let f
// return it; whatever f returns then does not count. The results
// of a repeat are that aggregate's alone: one, where the first call returned one
// for each that was changed.
//
// The store must be able to append to several streams at once: see Caps.MaxStreams.
// If it is not, and f has got more than one aggregate and changed one, the error is
// errors.ErrUnsupported.
func Atomically(ctx context.Context, store *es.Store, f func(tx *Tx) error, options ...AtomicallyOption) ([]Result, error) {
	call, err := newCall(newSettings(), options, AtomicallyOption.applyAtomically)
	switch {
	case err != nil:
	case store == nil:
		err = invalid("store", "is nil")
	case f == nil:
		err = invalid("function", "is nil")
	}
	if err != nil {
		return nil, wrap("atomically", "", "", err)
	}
	for b := newBackoff(store, call.retries); ; {
		tx := &Tx{ctx: ctx, store: store, call: call}
		results, again, err := tx.run(f)
		if err == nil || !again || !b.wait(ctx) {
			return results, err
		}
	}
}

// Get loads an aggregate, once in a Tx. If there is none, the error is
// [es.ErrStreamNotFound], and should f go on, it is made sure that there is none
// when its events are stored either.
func Get[A any](tx *Tx, d *Definition[A], id string) (*A, error) {
	return get(tx, d, id, mustExist)
}

// GetOrNew is [Get], and makes an aggregate if there is none.
func GetOrNew[A any](tx *Tx, d *Definition[A], id string) (*A, error) {
	return get(tx, d, id, mayExist)
}

// New makes an aggregate that must not exist yet. If it does, the error is
// [es.ErrConflict], of New or later of Atomically.
func New[A any](tx *Tx, d *Definition[A], id string) (*A, error) {
	return get(tx, d, id, mustNotExist)
}

type existence int

const (
	mustExist existence = iota
	mayExist
	mustNotExist
)

var (
	errOver     = invalid("Tx", "is over: it ends with the function that it was given to")
	errRepeated = errors.New("es: the command was done before")
)

func get[A any](tx *Tx, d *Definition[A], id string, want existence) (*A, error) {
	m, err := find(tx, d, id, want)
	if err == nil {
		err = m.check(want)
	}
	if err != nil {
		return nil, wrap("get", d.category, id, err)
	}
	if m.core == nil {
		a, c := d.make(tx.store, id)
		join(tx, m, d, a, c)
	}
	return m.a.(*A), nil
}

// find returns the member for an aggregate, and loads that unless it was looked
// for before, or need not be.
func find[A any](tx *Tx, d *Definition[A], id string, want existence) (*member, error) {
	if tx.over {
		return nil, errOver
	}
	if len(tx.repeated) > 0 {
		return nil, errRepeated
	}
	if err := d.checkID(id); err != nil {
		return nil, err
	}
	if err := d.attach(tx.store); err != nil {
		return nil, err
	}
	stream := d.Stream(id)
	if m := tx.member(stream); m != nil {
		return m, nil
	}
	m := &member{category: d.category, id: id, stream: stream}
	if want == mustNotExist && tx.call.command == "" {
		m.blind = true
		tx.members = append(tx.members, m)
		return m, nil
	}
	a, c, found, err := d.load(tx.ctx, tx.store, &tx.call.settings, id, 0, tx.call.command)
	switch {
	case errors.Is(err, es.ErrStreamNotFound):
	case err != nil:
		return nil, err
	case found.Repeated:
		tx.repeated = append(tx.repeated, found)
		return nil, errRepeated
	default:
		join(tx, m, d, a, c)
	}
	tx.members = append(tx.members, m)
	return m, nil
}

func join[A any](tx *Tx, m *member, d *Definition[A], a *A, c *core) {
	c.tx, c.command = tx, tx.call.command
	m.a, m.core = a, c
	m.snapshot = func() { d.takeSnapshot(tx.ctx, tx.store, &tx.call.settings, c) }
}

func (m *member) check(want existence) error {
	switch {
	case want == mustExist && m.core == nil:
		return &es.StreamError{Stream: m.stream, Err: es.ErrStreamNotFound}
	case want == mustNotExist && m.core != nil && m.core.stored > 0:
		return &es.ConflictError{Stream: m.stream, Expected: es.NoStream, Actual: m.core.stored}
	case want == mustNotExist && m.core != nil:
		return invalid("aggregate", "was made in this Tx before")
	}
	return nil
}

func (tx *Tx) member(stream string) *member {
	for _, m := range tx.members {
		if m.stream == stream {
			return m
		}
	}
	return nil
}

// run calls f once and stores what it raised. Again is true after a conflict that
// may not come again.
func (tx *Tx) run(f func(*Tx) error) (results []Result, again bool, err error) {
	defer func() { tx.over = true }()
	err = f(tx)
	if len(tx.repeated) > 0 {
		err = nil
	} else if err == nil {
		results, again, err = tx.commit()
	}
	for _, m := range tx.members {
		if c := m.core; c != nil {
			c.tx, c.command = nil, ""
			if c.err == nil && (err != nil || len(c.pending) > 0) {
				c.err = invalid("aggregate", "was in an Atomically that did not store it: load it again")
			}
		}
	}
	if len(tx.repeated) > 0 {
		return tx.repeated, false, nil
	}
	return results, again, err
}

func (tx *Tx) commit() (results []Result, again bool, err error) {
	parts := make([]es.Part, len(tx.members))
	changed := 0
	for i, m := range tx.members {
		if m.core == nil {
			parts[i] = es.To(m.stream, es.NoStream)
			continue
		}
		if err := m.core.ready(tx.store); err != nil {
			return nil, false, m.core.wrap("atomically", err)
		}
		events := m.core.events(len(m.core.pending))
		parts[i] = es.To(m.stream, es.Exactly(m.core.stored), events...)
		changed += min(1, len(events))
	}
	if changed == 0 {
		return nil, false, nil
	}
	var out []es.Appended
	err = settle(tx.ctx, tx.store, func() (err error) {
		out, err = tx.store.AppendAll(tx.ctx, parts...)
		return err
	})
	if err != nil {
		again, err = tx.failed(err)
		return nil, again, err
	}
	for i, m := range tx.members {
		n := len(parts[i].Events)
		if n == 0 {
			continue
		}
		m.core.appended(n)
		results = append(results, Result{Stream: m.stream, First: out[i].First, Last: out[i].Last, Position: out[i].Position, Version: out[i].Last})
		m.snapshot()
	}
	return results, false, nil
}

// failed names the aggregate that an error is about, and says whether f may have
// more luck next time.
func (tx *Tx) failed(err error) (again bool, _ error) {
	var stream string
	var conflict *es.ConflictError
	var closed *es.StreamError
	switch {
	case errors.As(err, &conflict):
		stream = conflict.Stream
	case errors.As(err, &closed):
		stream = closed.Stream
	}
	m := tx.member(stream)
	if m == nil {
		return false, wrap("atomically", "", "", err)
	}
	again = conflict != nil && !m.blind
	if m.core != nil {
		return again, m.core.wrap("atomically", err)
	}
	return again, wrap("atomically", m.category, m.id, err)
}
