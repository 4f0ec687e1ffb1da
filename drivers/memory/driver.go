package memory

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/go-es/es/driver"
)

func init() { driver.Register("memory", memoryDriver{}) }

type memoryDriver struct{}

// Open returns a store of its own for an empty name, or else a store that shares
// the data of that name.
func (memoryDriver) Open(ctx context.Context, dsn string) (driver.Store, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if dsn == "" {
		return New(), nil
	}
	if err := checkDSN(dsn); err != nil {
		return nil, err
	}
	shared.Lock()
	defer shared.Unlock()
	d := shared.data[dsn]
	if d == nil {
		d = newData()
		shared.data[dsn] = d
	}
	d.stores++
	return newStore(d, dsn), nil
}

func checkDSN(dsn string) error {
	if len(dsn) > driver.MaxNameBytes {
		return fmt.Errorf("es: memory: the data source name has %d bytes, the limit is %d", len(dsn), driver.MaxNameBytes)
	}
	for _, c := range dsn {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_', c == '.':
		default:
			return fmt.Errorf("es: memory: the data source name %q is neither empty nor a name: it contains %q", dsn, c)
		}
	}
	return nil
}

// shared is the data that has a name.
var shared = struct {
	sync.Mutex
	data map[string]*data
}{data: map[string]*data{}}

// Store is an open store. Its methods are those of package driver.
type Store struct {
	data   *data
	name   string // "": private
	closed atomic.Bool
	done   chan struct{} // closed with the store
}

var (
	_ driver.Store           = (*Store)(nil)
	_ driver.CheckpointStore = (*Store)(nil)
	_ driver.SnapshotStore   = (*Store)(nil)
	_ driver.GroupAppender   = (*Store)(nil)
	_ driver.Notifier        = (*Store)(nil)
)

// New returns an empty store with data of its own.
func New() *Store { return newStore(newData(), "") }

func newStore(d *data, name string) *Store {
	return &Store{data: d, name: name, done: make(chan struct{})}
}

// Caps returns what every store of this package claims.
func (s *Store) Caps() driver.Caps {
	return driver.Caps{
		MaxEventBytes:    1 << 20,
		MaxAppendEvents:  1000,
		MaxAppendBytes:   16 << 20,
		MaxStreams:       1000,
		MaxSnapshotBytes: 16 << 20,
		PositionOnAppend: true,
		Gapless:          true,
		FilterFeed:       true,
	}
}

// Ping fails only if the store is closed or the context has ended.
func (s *Store) Ping(ctx context.Context) error { return s.check(ctx) }

// Close ends this store. The data goes when no store has it open any more.
func (s *Store) Close() error {
	if s.closed.Swap(true) {
		return nil
	}
	close(s.done)
	if s.name == "" {
		return nil
	}
	shared.Lock()
	defer shared.Unlock()
	if s.data.stores--; s.data.stores == 0 {
		delete(shared.data, s.name)
	}
	return nil
}

// check is the first thing that every call does.
func (s *Store) check(ctx context.Context) error {
	if s.closed.Load() {
		return driver.ErrClosed
	}
	return ctx.Err()
}
