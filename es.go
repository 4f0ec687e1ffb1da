package es

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/go-es/es/driver"
)

// What package driver defines and every program uses.
type (
	// Version counts the events of one stream; the first has version 1.
	Version = driver.Version
	// Position is the place of an event in the one order of all events of a
	// store; 0 lies before the first.
	Position = driver.Position
	// ID identifies an event. Its text form is that of a UUID.
	ID = driver.ID
	// Expected says which version a stream must have for a write to happen.
	Expected = driver.Expected
	// Appended says where events went: their first and last version, and the
	// position of the last (0: not known yet).
	Appended = driver.Appended
	// StreamInfo is one stream of a listing.
	StreamInfo = driver.StreamInfo
	// Caps is what a store claims, and its limits.
	Caps = driver.Caps
	// DeleteMode says what Delete does with the events.
	DeleteMode = driver.DeleteMode
)

const (
	// NoStream expects that the stream does not exist.
	NoStream = driver.NoStream
	// Any expects nothing. An append that is sent twice with it is two appends.
	Any = driver.Any
	// Exists expects that the stream has at least one event.
	Exists = driver.Exists

	// Tombstone closes a stream and keeps its events.
	Tombstone = driver.Tombstone
	// Purge closes a stream and erases its events.
	Purge = driver.Purge
)

// Exactly expects the stream's last version to be v; 0 is NoStream.
func Exactly(v Version) Expected { return driver.Exactly(v) }

// ParseID reads an id in the form of a UUID.
func ParseID(s string) (ID, error) { return driver.ParseID(s) }

// NewID returns a fresh id: a UUID of version 7 of the time t.
func NewID(t time.Time) ID { return driver.NewID(t) }

// Store is an open event store. Its methods may be called concurrently. Close it
// when it is no longer needed.
type Store struct {
	*settings
	drv    driver.Store
	caps   driver.Caps
	queue  *queue    // nil: every append goes to the driver by itself
	hub    *hub      // nil: nobody is woken
	values *sync.Map // of the layers above; see Attach
	bare   bool      // made by With

	closing   chan struct{} // closed when Close begins; nil if bare
	closeOnce *sync.Once
}

// Open opens the store that dsn names with the driver registered under name. A
// driver's package registers it when it is imported:
//
//	import _ "github.com/go-es/es/drivers/sqlite"
//
// Open connects and checks, so that a wrong name, password or setting fails
// here. It may take as long as the database does; see [OpenContext].
func Open(name, dsn string, opts ...Option) (*Store, error) {
	return OpenContext(context.Background(), name, dsn, opts...)
}

// OpenContext is [Open] with a context, which bounds the opening only.
func OpenContext(ctx context.Context, name, dsn string, opts ...Option) (*Store, error) {
	d, ok := driver.Lookup(name)
	if !ok {
		known := "none is registered"
		if names := Drivers(); len(names) > 0 {
			known = "registered: " + strings.Join(names, ", ")
		}
		return nil, fmt.Errorf("es: unknown driver %q (forgotten import? %s)", name, known)
	}
	set, err := newSettings(opts)
	if err != nil {
		return nil, err
	}
	drv, err := d.Open(ctx, dsn)
	if err != nil {
		return nil, err
	}
	if drv == nil {
		return nil, fmt.Errorf("es: the driver %q opened no store and gave no error", name)
	}
	return newStore(drv, set), nil
}

// New makes a store over a driver's, which it owns from then on: Close closes
// it. Drivers have functions that make one of a typed configuration or of a
// client or pool of the caller's.
func New(drv driver.Store, opts ...Option) (*Store, error) {
	if drv == nil {
		return nil, &InvalidError{What: "driver store", Reason: "is nil"}
	}
	set, err := newSettings(opts)
	if err != nil {
		return nil, err
	}
	return newStore(drv, set), nil
}

func newStore(drv driver.Store, set *settings) *Store {
	s := &Store{settings: set, drv: drv, caps: drv.Caps(), hub: newHub(drv), values: new(sync.Map), closing: make(chan struct{}), closeOnce: new(sync.Once)}
	if g, ok := drv.(driver.GroupAppender); ok {
		s.queue = newQueue(g, drv.Append, s.caps)
	}
	return s
}

// Drivers returns the names of the registered drivers, sorted.
func Drivers() []string { return driver.Names() }

// With returns the same store, with its codec, keys and hooks, over another
// driver store: for one, over one that appends inside a transaction of the
// caller's. It gathers no groups, repeats nothing, wakes no subscriber, and its
// Close closes nothing.
func (s *Store) With(drv driver.Store) *Store {
	return &Store{settings: s.settings, drv: drv, caps: drv.Caps(), values: s.values, bare: true}
}

// Bare reports whether the store was made by With: what is written with it may
// be undone by the caller, and after an error nothing is tried again.
func (s *Store) Bare() bool { return s.bare }

// Driver returns the driver's store, for what only that one can do.
func (s *Store) Driver() driver.Store { return s.drv }

// Caps returns what the store claims, and its limits.
func (s *Store) Caps() Caps { return s.caps }

// Ping asks the database for a sign of life.
func (s *Store) Ping(ctx context.Context) error {
	return s.call(ctx, Op{Name: "ping"}, func(ctx context.Context) (int, error) { return 0, s.drv.Ping(ctx) })
}

// Close lets the appends that wait for their turn be written, for up to 2 seconds, ends
// subscriptions with [ErrClosed] and closes the driver's store: calls that run end, or
// fail with ErrClosed. Nothing is tried again from then on, and once a write fails
// because the database is busy or the like, or the time is over, the appends that still
// wait fail with ErrClosed: nothing of them was sent. Closing again is no error.
func (s *Store) Close() error {
	if s.bare {
		return nil
	}
	s.closeOnce.Do(func() { close(s.closing) })
	s.queue.close()
	s.hub.close()
	return s.drv.Close()
}

var _ io.Closer = (*Store)(nil)

// Now returns the time that the store's clock shows, in UTC and cut to the
// microsecond.
func (s *Store) Now() time.Time { return driver.FromMicros(driver.Micros(s.clock())) }

// NewID returns an id as the store gives it to new events.
func (s *Store) NewID() ID { return s.ids() }

// Attach keeps a value for a layer that is built over the store, and returns the
// one that is kept: value, or with true the one that was attached under that
// key before. Stores made by With share it. Keys are of types of the layer's own.
func (s *Store) Attach(key, value any) (any, bool) { return s.values.LoadOrStore(key, value) }
