package aggregate

import (
	"context"
	"errors"

	"github.com/go-es/es"
)

// Repository loads and saves the aggregates of one definition in one store. Its
// methods may be called concurrently; the aggregates that it gives are for one
// goroutine each. It holds nothing, and need not be closed.
type Repository[A any] struct {
	def   *Definition[A]
	store *es.Store
	set   settings
	err   error
}

// Repository returns the repository of d's aggregates in a store; with
// [es.Store.With] in a transaction of the caller's, after whose rollback what was
// loaded or saved in it must be loaded again. A setting that is wrong, or a store
// that has another definition of the category, is an error of every method.
func (d *Definition[A]) Repository(store *es.Store, options ...Setting) *Repository[A] {
	r := &Repository[A]{def: d, store: store, set: newSettings()}
	for _, o := range options {
		if r.err == nil {
			r.err = r.set.apply(o)
		}
	}
	if r.err == nil && r.set.every > 0 && d.snapshot == nil {
		r.err = invalid("SnapshotEvery", "the definition of %q has no Snapshot", d.category)
	}
	if r.err == nil {
		r.err = d.attach(store)
	}
	return r
}

// category is the key under which a store keeps the definition of one.
type category string

func (d *Definition[A]) attach(store *es.Store) error {
	if store == nil {
		return invalid("store", "is nil")
	}
	d.use()
	if other, _ := store.Attach(category(d.category), d); other != any(d) {
		return invalid("category", "%q has two definitions on this store", d.category)
	}
	return nil
}

// Result says what became of an aggregate.
type Result struct {
	Stream      string
	First, Last es.Version  // of the events appended; 0 if there were none
	Position    es.Position // of the last of them; 0 if it is not known yet
	Version     es.Version  // of the aggregate after them
	Repeated    bool        // a command was recognised: they were appended before, and nothing now
}

// Create makes an aggregate that must not exist yet: f raises its first events,
// and they are stored. If it exists, the error is [es.ErrConflict]. An error of f
// is returned as it is, and nothing is stored. After any error the aggregate that
// f got can be neither changed nor saved.
func (r *Repository[A]) Create(ctx context.Context, id string, f func(a *A) error, options ...CreateOption) (Result, error) {
	c, err := newCall(r.set, options, CreateOption.applyCreate)
	return r.change(ctx, "create", id, f, c, err)
}

// Update changes an aggregate: it is loaded, f raises events, and they are stored.
// It must exist, or see [OrNew]. If another was faster, all this is done again: f
// may be called several times, and should have no effect but on the aggregate. An
// error of f is returned as it is, and nothing is stored. After any error the
// aggregate that f got can be neither changed nor saved.
//
// If f raises no events, nothing is stored. An outcome that is unknown is settled
// by sending the same events again; if that fails, too, the error is
// [es.ErrUnknownOutcome], and a second Update is a second change, unless both have
// the same [CommandID].
func (r *Repository[A]) Update(ctx context.Context, id string, f func(a *A) error, options ...UpdateOption) (Result, error) {
	c, err := newCall(r.set, options, UpdateOption.applyUpdate)
	return r.change(ctx, "update", id, f, c, err)
}

func (r *Repository[A]) change(ctx context.Context, op, id string, f func(*A) error, call *call, err error) (Result, error) {
	if err == nil {
		err = r.check(id)
	}
	if err == nil && f == nil {
		err = invalid("function", "is nil")
	}
	if err != nil {
		return Result{}, r.wrap(op, id, err)
	}
	for b := newBackoff(r.store, r.set.retries); ; {
		res, again, err := r.try(ctx, op, id, f, call)
		if err == nil || !again || !b.wait(ctx) {
			return res, err
		}
	}
}

// try changes an aggregate once. Again is true after a conflict that may not come
// again.
func (r *Repository[A]) try(ctx context.Context, op, id string, f func(*A) error, call *call) (res Result, again bool, err error) {
	a, c, res, err := r.open(ctx, op, id, call)
	if err != nil {
		return Result{}, false, r.wrap(op, id, err)
	}
	if res.Repeated {
		return res, false, nil
	}
	c.command = call.command
	stored := false
	defer func() {
		c.command = ""
		if !stored && c.err == nil {
			c.err = invalid("aggregate", "was given to a function of %s that did not store it: load it again", op)
		}
	}()
	if err := f(a); err != nil {
		return Result{}, false, err
	}
	if op == "create" && c.err == nil && c.version == 0 {
		return Result{}, false, c.wrap(op, invalid("function", "raised no event, so that there is nothing to store"))
	}
	err = settle(ctx, r.store, func() (err error) {
		res, err = r.save(ctx, c)
		return err
	})
	stored = err == nil
	return res, err != nil && certain(err) && c.conflict && op != "create", c.wrap(op, err)
}

// open returns the aggregate to be changed, or the result of a command that was
// done before.
func (r *Repository[A]) open(ctx context.Context, op, id string, call *call) (*A, *core, Result, error) {
	create := op == "create"
	if create && call.command == "" {
		a, c := r.def.make(r.store, id)
		return a, c, Result{}, nil
	}
	a, c, res, err := r.def.load(ctx, r.store, &r.set, id, 0, call.command)
	if (create || call.orNew) && errors.Is(err, es.ErrStreamNotFound) {
		a, c = r.def.make(r.store, id)
		err = nil
	}
	if err != nil || res.Repeated {
		return nil, nil, res, err
	}
	if create && c.stored > 0 {
		err = &es.ConflictError{Stream: c.stream, Expected: es.NoStream, Actual: c.stored}
	} else {
		err = call.check(c.stream, c.stored)
	}
	return a, c, Result{}, err
}

// Load loads an aggregate. If there is none, the error is [es.ErrStreamNotFound];
// if it was deleted, [es.ErrStreamDeleted].
func (r *Repository[A]) Load(ctx context.Context, id string) (*A, error) {
	return r.loadAt(ctx, id, 0)
}

// LoadAt loads an aggregate as it was at a version. If it has never been at that
// version, the error is [es.ErrInvalid]; otherwise as for Load. Unless it is the
// last version, saving changes made to it is a conflict.
func (r *Repository[A]) LoadAt(ctx context.Context, id string, version es.Version) (*A, error) {
	if version == 0 {
		return nil, r.wrap("load", id, invalid("version", "is 0"))
	}
	return r.loadAt(ctx, id, version)
}

func (r *Repository[A]) loadAt(ctx context.Context, id string, version es.Version) (*A, error) {
	err := r.check(id)
	if err != nil {
		return nil, r.wrap("load", id, err)
	}
	a, _, _, err := r.def.load(ctx, r.store, &r.set, id, version, "")
	if err != nil {
		return nil, r.wrap("load", id, err)
	}
	return a, nil
}

// Save stores the events that an aggregate has raised, if the store has the
// aggregate as it was loaded; otherwise the error is [es.ErrConflict], and it must
// be loaded again. The aggregate may have been made by [Definition.New].
//
// Events leave the aggregate when it is certain that they are stored. After any
// other error than a conflict Save may be called again: events that may have been
// stored are sent again as they were, with the metadata of the first time, and not
// stored twice.
func (r *Repository[A]) Save(ctx context.Context, a *A, options ...SaveOption) (Result, error) {
	call, err := newCall(r.set, options, SaveOption.applySave)
	if err == nil {
		err = r.err
	}
	var c *core
	if err == nil {
		c, err = r.def.core(a)
	}
	if err != nil {
		return Result{}, r.wrap("save", "", err)
	}
	if c.tx != nil {
		return Result{}, c.wrap("save", invalid("aggregate", "belongs to Atomically, which saves it"))
	}
	if c.err == nil {
		err = call.check(c.stream, c.stored)
	}
	var res Result
	if err == nil {
		res, err = r.save(ctx, c)
	}
	return res, c.wrap("save", err)
}

func (r *Repository[A]) save(ctx context.Context, c *core) (Result, error) {
	if err := c.ready(r.store); err != nil {
		return Result{}, err
	}
	res := Result{Stream: c.stream, Version: c.stored}
	for len(c.pending) > 0 {
		if err := ctx.Err(); err != nil {
			return Result{}, err
		}
		n, ctx := len(c.pending), ctx
		if c.sent > 0 {
			n, ctx = c.sent, resend{ctx, c.sentCtx}
		}
		out, err := r.store.Append(ctx, c.stream, es.Exactly(c.stored), c.events(n)...)
		if err != nil {
			c.failed(ctx, n, err)
			return Result{}, err
		}
		c.appended(n)
		if res.First == 0 {
			res.First = out.First
		}
		res.Last, res.Version, res.Position = out.Last, c.stored, out.Position
	}
	if res.First > 0 {
		r.def.takeSnapshot(ctx, r.store, &r.set, c)
	}
	return res, nil
}

// Delete deletes an aggregate for good: see [es.Store.Delete]. It must exist.
func (r *Repository[A]) Delete(ctx context.Context, id string, mode es.DeleteMode, options ...DeleteOption) (Result, error) {
	call, err := newCall(r.set, options, DeleteOption.applyDelete)
	if err == nil {
		err = r.check(id)
	}
	if err != nil {
		return Result{}, r.wrap("delete", id, err)
	}
	expected := es.Any
	if call.version != nil {
		expected = es.Exactly(*call.version)
	}
	stream := r.def.Stream(id)
	out, err := r.store.Delete(ctx, stream, expected, mode)
	var unknown *es.UnknownOutcomeError
	if first := err; errors.As(err, &unknown) {
		err = settle(ctx, r.store, func() error {
			if err := first; err != nil {
				first = nil
				return err
			}
			all, err := unknown.Resend(ctx)
			if err == nil {
				out = all[0]
			}
			return err
		})
	}
	if err != nil {
		return Result{}, r.wrap("delete", id, err)
	}
	return Result{Stream: stream, First: out.First, Last: out.Last, Version: out.Last, Position: out.Position}, nil
}

func (r *Repository[A]) check(id string) error {
	if r.err != nil {
		return r.err
	}
	return r.def.checkID(id)
}

func (r *Repository[A]) wrap(op, id string, err error) error {
	return wrap(op, r.def.category, id, err)
}

// wrap names the aggregate in an error, unless that was done before.
func wrap(op, category, id string, err error) error {
	if err == nil {
		return nil
	}
	if e, ok := err.(*Error); ok {
		e.Op = op
		return e
	}
	return &Error{Op: op, Category: category, ID: id, Err: err}
}
