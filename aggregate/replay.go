package aggregate

import (
	"context"
	"errors"
	"math"

	"github.com/go-es/es"
)

// load loads an aggregate, at a version if that is not 0, or finds the result of a
// command that was done before.
func (d *Definition[A]) load(ctx context.Context, store *es.Store, set *settings, id string, at es.Version, command string) (*A, *core, Result, error) {
	stream := d.Stream(id)
	var snap *loaded[A]
	if d.snapshot != nil {
		g := d.guesses(store)
		open := func(f fetched) { snap = d.openSnapshot(ctx, store, set, g, stream, at, f) }
		guess, _ := g.Get(stream)
		if guess == 0 || at > 0 && guess > at || store.Bare() {
			open(loadSnapshot(ctx, store, stream, d.snapshot.kind))
		} else {
			// The snapshot and the events after the one that was seen last are read at
			// the same time.
			got, asked := d.fetchSnapshot(ctx, store, stream), false
			a, c, found, err := d.replay(ctx, store, set, id, at, command, guess, func() *loaded[A] {
				asked = true
				open(got())
				return snap
			})
			if !asked {
				open(got())
			}
			if err != errUseless {
				return a, c, found, err
			}
		}
	}
	if snap != nil {
		a, c, found, err := d.replay(ctx, store, set, id, at, command, 0, func() *loaded[A] { return snap })
		if err != errUseless {
			return a, c, found, err
		}
	}
	return d.replay(ctx, store, set, id, at, command, 0, nil)
}

// errUseless says that the events show that a snapshot is not to be used.
var errUseless = errors.New("es: the snapshot cannot be used")

// muchLater is by how many versions a snapshot may be after the one that was guessed,
// so that the events that were read are not too many.
const muchLater = 200

// replay loads an aggregate from its events, those up to the snapshot left out. The
// event that the snapshot ends with is read as well, and compared.
//
// With a guess it reads from that version on, and asks for the snapshot when it has
// the first event. If they do not go together it returns errUseless, and the caller
// finds out why.
func (d *Definition[A]) replay(ctx context.Context, store *es.Store, set *settings, id string, at es.Version, command string, guess es.Version, get func() *loaded[A]) (*A, *core, Result, error) {
	a, c := d.make(store, id)
	c.looked = true
	look := newSearch(c.stream, command)
	options := make([]es.ReadOption, 0, 2)
	from := es.Version(1)
	var snap *loaded[A]
	if get != nil {
		if from = guess; guess == 0 {
			snap = get()
			from = snap.Version
		}
		if command != "" {
			from = max(1, from-min(from, es.Version(set.window)))
		}
		options = append(options, es.From(from))
	}
	if at > 0 && at-from < math.MaxInt32 {
		options = append(options, es.Limit(int(at-from)+1))
	}
	fail := func(err error) (*A, *core, Result, error) {
		return nil, nil, Result{}, c.wrap("load", err)
	}
	var rec es.Record // one variable for all: handlers are given a pointer
	for r, err := range store.Read(ctx, c.stream, options...) {
		if err != nil {
			if guess > 0 && errors.Is(err, es.ErrStreamNotFound) {
				return nil, nil, Result{}, errUseless
			}
			if snap != nil && errors.Is(err, es.ErrStreamNotFound) {
				d.dropSnapshot(ctx, store, set, snap.Snapshot, foreign)
			}
			return fail(err)
		}
		rec = r
		if guess > 0 && snap == nil {
			if snap = get(); snap == nil || snap.Version < guess || snap.Version > guess+muchLater {
				return nil, nil, Result{}, errUseless
			}
		}
		if at > 0 && rec.Version > at || look.see(&rec) {
			break
		}
		if look.n > 0 {
			continue
		}
		if snap != nil && snap.plain && sealed(&rec) {
			if guess > 0 {
				return nil, nil, Result{}, errUseless
			}
			d.dropSnapshot(ctx, store, set, snap.Snapshot, plain)
			return nil, nil, Result{}, errUseless
		}
		if snap != nil && rec.Version < snap.Version {
			continue
		}
		if snap != nil && rec.Version == snap.Version {
			if rec.ID != snap.EventID {
				break
			}
			d.restore(a, c, snap)
			continue
		}
		if err := d.applyRecord(a, c, &rec); err != nil {
			return fail(err)
		}
	}
	switch {
	case look.n > 0:
		return nil, nil, look.found, nil
	case guess > 0 && c.snapshot == 0:
		return nil, nil, Result{}, errUseless
	case snap != nil && c.snapshot == 0:
		d.dropSnapshot(ctx, store, set, snap.Snapshot, foreign)
		return nil, nil, Result{}, errUseless
	case at > 0 && c.version < at:
		return fail(invalid("version", "%d is wanted, and the aggregate is at version %d", at, c.version))
	}
	return a, c, Result{}, nil
}

// restore puts a snapshot into a new aggregate.
func (d *Definition[A]) restore(a *A, c *core, snap *loaded[A]) {
	c.stored, c.version, c.last, c.snapshot = snap.Version, snap.Version, snap.EventID, snap.Version
	c.subjects.addOf(snap)
	c.busy = true
	snap.restore(a)
	c.busy = false
}
