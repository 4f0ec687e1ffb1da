package driver

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
)

// Driver opens stores of one kind.
type Driver interface {
	// Open connects to the data that dsn names, creates what is missing there,
	// and checks that the store can keep its promises, so that a bad password
	// or a wrong setting fails here and not at the first append. The context
	// bounds opening only.
	Open(ctx context.Context, dsn string) (Store, error)
}

// Store is an open store. Its methods may be called concurrently. Requests have
// passed [Check].
type Store interface {
	// Append stores the records of a request atomically (A1 to A6, I1 to I8,
	// V1 to V5). Errors: ConflictError, StreamError (deleted), TooLargeError,
	// UnknownOutcomeError, the context's, ErrClosed, transient ones.
	Append(ctx context.Context, req AppendRequest) (AppendResult, error)

	// ReadStream returns a page of one stream (S1 to S7). Errors: StreamError.
	ReadStream(ctx context.Context, q StreamQuery) (StreamPage, error)

	// ReadAll returns a page of the feed (F1 to F16). It does not wait for
	// events to come. Where positions are assigned after the append, ReadAll
	// itself does a step of the assigning when it finds nothing new, so that no
	// background process is needed. Errors: ErrCheckpointAhead.
	ReadAll(ctx context.Context, q FeedQuery) (FeedPage, error)

	// Head returns an upper bound of the feed (F13). Where positions come late
	// it may lie below acknowledged appends for a moment.
	Head(ctx context.Context) (Position, error)

	// ListStreams returns a page of the names of streams (L1 to L4).
	ListStreams(ctx context.Context, q ListQuery) (ListPage, error)

	// Delete closes a stream for good (D1 to D8).
	Delete(ctx context.Context, req DeleteRequest) (Appended, error)

	// Caps returns what the store claims and its limits; always the same.
	Caps() Caps

	// Ping asks the database for a sign of life.
	Ping(ctx context.Context) error

	// Close ends the store (X2 to X4). A store that was made from a client or
	// pool of the caller's does not close that one.
	Close() error
}

var registry struct {
	sync.RWMutex
	drivers map[string]Driver
}

// Register makes a driver available under a name, for es.Open. A driver
// registers itself in an init function of its package. Register panics if the
// driver is nil, the name is taken, or it has other characters than a to z and
// 0 to 9.
func Register(name string, d Driver) {
	if d == nil {
		panic("es: driver.Register: the driver is nil")
	}
	if name == "" {
		panic("es: driver.Register: the name is empty")
	}
	for _, c := range name {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			panic(fmt.Sprintf("es: driver.Register: %q has other characters than a-z and 0-9", name))
		}
	}
	registry.Lock()
	defer registry.Unlock()
	if _, taken := registry.drivers[name]; taken {
		panic("es: driver.Register: called twice for " + name)
	}
	if registry.drivers == nil {
		registry.drivers = make(map[string]Driver)
	}
	registry.drivers[name] = d
}

// Lookup returns the driver registered under a name, or false.
func Lookup(name string) (Driver, bool) {
	registry.RLock()
	defer registry.RUnlock()
	d, ok := registry.drivers[name]
	return d, ok
}

// Names returns the names of the registered drivers, sorted.
func Names() []string {
	registry.RLock()
	defer registry.RUnlock()
	return slices.Sorted(maps.Keys(registry.drivers))
}
