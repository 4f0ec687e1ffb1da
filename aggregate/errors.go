package aggregate

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/go-es/es"
)

// ErrNoHandler says that a definition has no handler for the type of an event,
// and does not ignore it.
var ErrNoHandler = errors.New("es: no handler")

// Error says which aggregate an operation was about. It wraps the cause, which
// errors.Is and errors.As find: [es.ErrStreamNotFound] if the aggregate does not
// exist, [es.ErrStreamDeleted] if it was deleted, [es.ErrConflict] if another was
// faster, [es.ErrUnknownOutcome] if nobody can tell now, [ErrNoHandler],
// [es.ErrInvalid] for misuse, and those of the store.
//
// What a function of the caller's returns is never wrapped.
type Error struct {
	Op       string     // "raise", "load", "create", "update", "save", "delete", "get" or "atomically"
	Category string     // empty if the aggregate was not made by a definition
	ID       string     // of the aggregate
	Version  es.Version // of the aggregate, with what was raised; 0 if it is new or was not loaded
	Err      error
}

func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("es: ")
	b.WriteString(e.Op)
	if e.Category != "" {
		fmt.Fprintf(&b, " %s %s", e.Category, shortID(e.ID))
		if e.Version > 0 {
			fmt.Fprintf(&b, " at version %d", e.Version)
		}
	}
	b.WriteString(": ")
	b.WriteString(strings.TrimPrefix(e.Err.Error(), "es: "))
	return b.String()
}

// shortID returns an id in quotes, cut if it is long: one that is refused may have
// any length.
func shortID(id string) string {
	const most = 80 // bytes
	if len(id) <= most {
		return strconv.Quote(id)
	}
	cut := most
	for cut > most-utf8.UTFMax && !utf8.RuneStart(id[cut]) {
		cut--
	}
	return strconv.Quote(id[:cut]) + "…"
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// bare is an error inside another: the prefix stands once, in front.
type bare struct{ error }

func (e bare) Error() string { return strings.TrimPrefix(e.error.Error(), "es: ") }
func (e bare) Unwrap() error { return e.error }

func invalid(what, format string, args ...any) error {
	return &es.InvalidError{What: what, Reason: fmt.Sprintf(format, args...)}
}

func noHandler(typ string) error {
	return fmt.Errorf("%w for events of type %q: give the definition one, or let it ignore the type", ErrNoHandler, typ)
}

func wrongType(typ string, takes reflect.Type) error {
	return invalid(fmt.Sprintf("event of type %q", typ), "is not the %v that its handler takes", takes)
}

// nothingSent are errors of an append after which it is certain that nothing was
// written nor will be. For all others the same append is made again.
var nothingSent = []error{
	es.ErrConflict, es.ErrStreamDeleted, es.ErrInvalid, es.ErrTooLarge, es.ErrClosed,
	es.ErrNoKey, es.ErrShredded, errors.ErrUnsupported,
}

func certain(err error) bool {
	if errors.Is(err, es.ErrUnknownOutcome) {
		return false
	}
	for _, target := range nothingSent {
		if errors.Is(err, target) {
			return true
		}
	}
	return es.IsTransient(err)
}

// settle calls send, which does the same each time, until it is known what became of it,
// or for a bounded time. Once a call may have stored something, the error of a later one
// says nothing of that, unless it tells that it never can be stored.
func settle(ctx context.Context, store *es.Store, send func() error) error {
	var open error
	for b := newBackoff(store, resends); ; {
		err := send()
		switch {
		case err == nil || open == nil && certain(err) || open != nil && refuses(err):
			return err
		case open == nil || errors.Is(err, es.ErrUnknownOutcome):
			open = err
		}
		if b.wait(ctx) {
			continue
		}
		if err == open {
			return open
		}
		return fmt.Errorf("%w; and when it was sent again: %v", open, bare{err})
	}
}

// refuses reports whether err says that what was sent before is not stored and cannot be.
func refuses(err error) bool {
	if c, ok := errors.AsType[*es.ConflictError](err); ok {
		return !c.Expected.MayHold(c.Actual)
	}
	return !errors.Is(err, es.ErrUnknownOutcome) && errors.Is(err, es.ErrStreamDeleted)
}
