package sequencertest

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/go-es/es/conformance"
	"github.com/go-es/es/driver"
)

// server has databases by name.
type server struct {
	mu        sync.Mutex
	databases map[string]*database
}

func (s *server) database(name string) *database {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := s.databases[name]
	if d == nil {
		d = newDatabase()
		s.databases[name] = d
	}
	return d
}

func (s *server) open(ctx context.Context, dsn string) (driver.Store, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if dsn == "" {
		return nil, errors.New("es: sequencertest: the data source name is empty")
	}
	return newStore(s.database(dsn)), nil
}

func TestConformance(t *testing.T) {
	s := &server{databases: map[string]*database{}}
	name := func() string { return driver.NewID(time.Now()).String() }
	conformance.Run(t, conformance.Config{
		Open:      s.open,
		DSN:       func(conformance.TB) string { return name() },
		Beside:    func(conformance.TB, string) string { return name() },
		Malformed: []string{""},
		Restore: func(_ conformance.TB, dsn string) func() {
			old := s.database(dsn).clone()
			return func() {
				s.mu.Lock()
				defer s.mu.Unlock()
				s.databases[dsn] = old
			}
		},
		Fault: func(t conformance.TB, dsn string) conformance.Faulty {
			store := newStore(s.database(dsn))
			return conformance.Faulty{Store: store, Break: store.db.breakNext, BreakAt: store.db.breakAt, Down: store.db.goDown}
		},
		Corrupt: []func(conformance.TB, string, string){
			func(_ conformance.TB, dsn, stream string) {
				d := s.database(dsn)
				d.mu.Lock()
				defer d.mu.Unlock()
				for key, item := range d.items {
					if c, ok := item.(*commit); ok && c.stream == stream && c.first <= 2 && 2 <= c.last {
						damaged := *c
						damaged.records = slices.Delete(slices.Clone(c.records), int(2-c.first), int(3-c.first))
						d.items[key] = &damaged
					}
				}
			},
		},
	})
}
