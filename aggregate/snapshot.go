package aggregate

import (
	"context"
	"errors"
	"fmt"
	"reflect"

	"github.com/go-es/es"
	"github.com/go-es/es/internal/recent"
)

// snapshots are how the state of an aggregate is kept beside its events.
type snapshots[A any] struct {
	kind   string
	take   func(*A) any
	decode func(es.Snapshot) (restore func(*A), err error)
}

// Snapshot lets the state of an aggregate be kept, so that not all of its events
// need be read again: to makes a value of it, which the store's codec encodes, and
// from puts it into an aggregate that is new. Version names the form of S and what
// the handlers make of events; when either changes, a new name makes the snapshots
// taken before be no snapshots. See [SnapshotEvery].
//
// Its kind in the store is the definition's category, a slash, and version.
//
// A snapshot is encrypted when any event of the aggregate is, with the key of the
// same subject. Where there is more than one subject, none is taken. One that
// cannot be decoded, that ends with another event than the stream has there, or
// that is in plain text where the store encrypts a type of the definition or an
// event that is read is encrypted, is no snapshot.
func Snapshot[A, S any](version string, to func(a *A) S, from func(a *A, state S)) Option[A] {
	if to == nil || from == nil {
		panic("es: Snapshot: a function is nil")
	}
	return func(d *Definition[A]) {
		if d.snapshot != nil {
			panic(fmt.Sprintf("es: define %q: there are two Snapshot", d.category))
		}
		kind := d.category + "/" + version
		err := checkName(fmt.Sprintf("version %.40q of the snapshot", version), kind)
		if version == "" {
			err = invalid("version of the snapshot", "is empty")
		}
		if err != nil {
			panic(err)
		}
		d.snapshot = &snapshots[A]{
			kind: kind,
			take: func(a *A) any { return to(a) },
			decode: func(snap es.Snapshot) (func(*A), error) {
				var state S
				into := any(&state)
				if t := reflect.TypeFor[S](); t.Kind() == reflect.Pointer { // as for events: no pointer to a pointer
					into = reflect.New(t.Elem()).Interface()
					state = into.(S)
				}
				if err := snap.Decode(into); err != nil {
					return nil, err
				}
				return func(a *A) { from(a, state) }, nil
			},
		}
	}
}

// subjects are whose keys encrypt the events of an aggregate.
type subjects struct {
	one  string
	some bool // there is one at least
	many bool // there are more
}

func (s *subjects) add(subject string) {
	s.many = s.many || s.some && s.one != subject
	s.one, s.some = subject, true
}

func (s *subjects) addOf(sealed interface{ Subject() (string, bool) }) {
	if subject, ok := sealed.Subject(); ok {
		s.add(subject)
	}
}

// loaded is a snapshot that could be decoded.
type loaded[A any] struct {
	es.Snapshot
	restore func(*A)
	plain   bool // not encrypted
}

// Why a snapshot is of no use.
const (
	foreign = "ends with an event that the stream does not have there"
	plain   = "is in plain text, and those of this stream are encrypted"
)

// subjectsOf returns the subjects of an aggregate, and those that the store would
// encrypt the definition's types for.
func (d *Definition[A]) subjectsOf(store *es.Store, stream string, of subjects) subjects {
	for typ := range d.handlers {
		if subject, ok := store.Subject(stream, typ); ok {
			of.add(subject)
		}
	}
	return of
}

func sealed(s interface{ Subject() (string, bool) }) bool {
	_, ok := s.Subject()
	return ok
}

// guesses are the versions at which snapshots were seen, by stream: a store keeps
// them for a definition.
type guesses struct{ recent.Map[es.Version] }

// guessesOf is the key under which it does.
type guessesOf category

func (d *Definition[A]) guesses(store *es.Store) *guesses {
	g, _ := store.Attach(guessesOf(d.category), new(guesses))
	return g.(*guesses)
}

// saw remembers at which version a snapshot is; 0: nowhere.
func (g *guesses) saw(stream string, v es.Version) {
	if was, _ := g.Get(stream); v == 0 && was > 0 {
		g.Delete(stream)
	} else if v != was {
		g.Set(stream, func(es.Version) es.Version { return v })
	}
}

// fetched is what a store has of a snapshot.
type fetched struct {
	snap es.Snapshot
	ok   bool
	err  error
}

func loadSnapshot(ctx context.Context, store *es.Store, stream, kind string) (f fetched) {
	f.snap, f.ok, f.err = store.LoadSnapshot(ctx, stream, kind)
	return f
}

// fetchSnapshot begins to load a snapshot, and returns what waits for it, and panics
// as the loading did.
func (d *Definition[A]) fetchSnapshot(ctx context.Context, store *es.Store, stream string) func() fetched {
	var f fetched
	var panics any
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() { panics = recover() }()
		f = loadSnapshot(ctx, store, stream, d.snapshot.kind)
	}()
	return func() fetched {
		<-done
		if panics != nil {
			panic(panics)
		}
		return f
	}
}

// openSnapshot returns the snapshot of a stream at a version up to most (0: any), or
// nil if there is none that can be used.
func (d *Definition[A]) openSnapshot(ctx context.Context, store *es.Store, set *settings, g *guesses, stream string, most es.Version, f fetched) *loaded[A] {
	snap, ok, err := f.snap, f.ok, f.err
	if err != nil && !errors.Is(err, errors.ErrUnsupported) {
		set.report(err)
	}
	if err == nil && most > 0 && snap.Version > most {
		return nil
	}
	var at es.Version
	defer func() { g.saw(stream, at) }()
	if err != nil || !ok {
		return nil
	}
	open := !sealed(snap)
	if open && d.subjectsOf(store, stream, subjects{}).some {
		d.dropSnapshot(ctx, store, set, snap, plain)
		return nil
	}
	restore, err := d.snapshot.decode(snap)
	if errors.Is(err, es.ErrShredded) {
		d.deleteSnapshot(ctx, store, set, snap)
	}
	if err != nil {
		set.report(err)
		return nil
	}
	at = snap.Version
	return &loaded[A]{snap, restore, open}
}

// dropSnapshot removes a snapshot that is of no use.
func (d *Definition[A]) dropSnapshot(ctx context.Context, store *es.Store, set *settings, snap es.Snapshot, why string) {
	set.report(fmt.Errorf("es: the snapshot %q of stream %q at version %d %s: it is deleted", snap.Kind, snap.Stream, snap.Version, why))
	d.deleteSnapshot(ctx, store, set, snap)
}

func (d *Definition[A]) deleteSnapshot(ctx context.Context, store *es.Store, set *settings, snap es.Snapshot) {
	if err := store.DeleteSnapshot(ctx, snap.Stream, snap.Kind); err != nil {
		set.report(err)
	}
}

// takeSnapshot keeps the state of an aggregate that was just saved, if it is time:
// the state as the stored events give it. The aggregate at hand may differ, when its
// events have parts that are not encoded, or another process has stored the same
// command's events, with the same ids, first.
func (d *Definition[A]) takeSnapshot(ctx context.Context, store *es.Store, set *settings, c *core) {
	if d.snapshot == nil || set.every == 0 || c.stored < c.snapshot+es.Version(set.every) {
		return
	}
	if store.Bare() {
		return // the caller may undo what was appended
	}
	if c.shredded || d.subjectsOf(store, c.stream, c.subjects).many {
		return // and load nothing
	}
	if c.snapshot == 0 {
		if _, _, err := store.LoadSnapshot(ctx, c.stream, d.snapshot.kind); errors.Is(err, errors.ErrUnsupported) {
			set.report(err)
			return
		}
	}
	again := *set
	if c.looked {
		again.snapshotError = nil // it was told what is wrong with the last one
	}
	a, c2, _, err := d.load(ctx, store, &again, c.id, 0, "")
	if err != nil {
		set.report(err)
		return
	}
	of := d.subjectsOf(store, c2.stream, c2.subjects)
	if of.many || c2.shredded {
		return
	}
	snap := es.Snapshot{Stream: c2.stream, Kind: d.snapshot.kind, Version: c2.stored, EventID: c2.last}
	err = store.SaveSnapshot(ctx, snap, d.snapshot.take(a), es.SnapshotSettings{Encrypt: of.some, Subject: of.one})
	if err != nil {
		set.report(err)
		return
	}
	c.snapshot = c2.stored
	d.guesses(store).saw(c2.stream, c2.stored)
}
