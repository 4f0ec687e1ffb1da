package aggregate

import "github.com/go-es/es"

// settings are how aggregates are loaded and saved.
type settings struct {
	retries       int
	window        int
	every         int // events between snapshots; 0: none are taken
	snapshotError func(error)
}

// Setting is a setting of [Definition.Repository], and of [Atomically].
type Setting func(*settings) error

func newSettings() settings { return settings{retries: 100, window: 1000} }

func (s *settings) apply(set Setting) error {
	if set == nil {
		return invalid("setting", "is nil")
	}
	return set(s)
}

// Retries sets how many times a function of the caller's is called again after a
// conflict, with the aggregate loaded anew: 100 by default, with random pauses of
// up to 40 ms, some 2 seconds in all. After that the conflict is the caller's.
// There are none on a store made by [es.Store.With].
func Retries(n int) Setting {
	return func(s *settings) error {
		if n < 0 {
			return invalid("Retries", "%d is negative", n)
		}
		s.retries = n
		return nil
	}
}

// CommandWindow sets how many events before a snapshot are searched for the
// events of a command, see [CommandID]: 1,000 by default.
func CommandWindow(n int) Setting {
	return func(s *settings) error {
		if n < 0 {
			return invalid("CommandWindow", "%d is negative", n)
		}
		s.window = n
		return nil
	}
}

// SnapshotEvery takes a snapshot after a save when the last one that could be
// used is n events old or older: the aggregate is loaded again and its state kept,
// on the caller's goroutine. A failure fails nothing, see [OnSnapshotError]. The
// definition of a repository must have a [Snapshot]. None are taken on a store made
// by [es.Store.With], whose caller may undo what was saved, and of an aggregate
// with more than one subject or with an event whose key was deleted.
func SnapshotEvery(n int) Setting {
	return func(s *settings) error {
		if n < 1 {
			return invalid("SnapshotEvery", "%d is not positive", n)
		}
		s.every = n
		return nil
	}
}

// OnSnapshotError sets a function that is told why a snapshot could not be taken,
// or was there and could not be used. It is called concurrently.
func OnSnapshotError(f func(error)) Setting {
	return func(s *settings) error {
		if f == nil {
			return invalid("OnSnapshotError", "is nil")
		}
		s.snapshotError = f
		return nil
	}
}

func (s *settings) report(err error) {
	if s.snapshotError != nil {
		s.snapshotError(err)
	}
}

// call is how one call differs from the others.
type call struct {
	command string
	version *es.Version
	orNew   bool
	settings
}

// CreateOption is an option of [Repository.Create]: [CommandID].
type CreateOption interface{ applyCreate(*call) error }

// UpdateOption is an option of [Repository.Update]: [CommandID], [IfVersion] or
// [OrNew].
type UpdateOption interface{ applyUpdate(*call) error }

// SaveOption is an option of [Repository.Save]: [IfVersion].
type SaveOption interface{ applySave(*call) error }

// DeleteOption is an option of [Repository.Delete]: [IfVersion].
type DeleteOption interface{ applyDelete(*call) error }

// AtomicallyOption is an option of [Atomically]: [CommandID] or a [Setting].
type AtomicallyOption interface{ applyAtomically(*call) error }

func (s Setting) applyAtomically(c *call) error { return c.apply(s) }

// VersionOption is made by [IfVersion].
type VersionOption struct{ version es.Version }

// IfVersion refuses, with a conflict, unless the aggregate is at this version: the
// one that a user saw, for instance. 0 expects that there is none.
func IfVersion(v es.Version) VersionOption { return VersionOption{v} }

func (o VersionOption) apply(c *call) error {
	c.version = &o.version
	return nil
}

func (o VersionOption) applyUpdate(c *call) error { return o.apply(c) }
func (o VersionOption) applySave(c *call) error   { return o.apply(c) }
func (o VersionOption) applyDelete(c *call) error { return o.apply(c) }

// check refuses another version than the one wanted.
func (c *call) check(stream string, v es.Version) error {
	if c.version == nil || *c.version == v {
		return nil
	}
	return &es.ConflictError{Stream: stream, Expected: es.Exactly(*c.version), Actual: v}
}

type orNew struct{}

// OrNew lets Update begin with a new aggregate if there is none.
func OrNew() UpdateOption { return orNew{} }

func (orNew) applyUpdate(c *call) error {
	c.orNew = true
	return nil
}

func newCall[O any](s settings, opts []O, apply func(O, *call) error) (*call, error) {
	c := &call{settings: s}
	for _, o := range opts {
		if any(o) == nil {
			return nil, invalid("option", "is nil")
		}
		if err := apply(o, c); err != nil {
			return nil, err
		}
	}
	return c, nil
}
