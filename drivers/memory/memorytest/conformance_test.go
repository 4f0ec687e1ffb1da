package memorytest

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/go-es/es/conformance"
	"github.com/go-es/es/driver"
	"github.com/go-es/es/drivers/memory"
	"github.com/go-es/es/internal/servers"
)

func open(ctx context.Context, dsn string) (driver.Store, error) {
	d, _ := driver.Lookup("memory")
	return d.Open(ctx, dsn)
}

// name is the name of data that stays as long as the test runs, because a store
// of it is open.
func name(t conformance.TB) string {
	dsn := driver.NewID(time.Now()).String()
	s, err := open(t.Context(), dsn)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	t.Cleanup(func() { s.Close() })
	return dsn
}

func TestConformance(t *testing.T) {
	conformance.Run(t, conformance.Config{
		Open:      open,
		DSN:       name,
		FeedBound: servers.Bound,
		Beside:    func(t conformance.TB, _ string) string { return name(t) },
		Caps:      memory.New().Caps(),
		Malformed: []string{"a b", "memory://a", "a?limit=1", "é", strings.Repeat("n", 256)},
	})
}

func TestConformanceOfNew(t *testing.T) {
	conformance.Run(t, conformance.Config{
		Open: func(ctx context.Context, _ string) (driver.Store, error) {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			return memory.New(), nil
		},
		DSN:       func(conformance.TB) string { return "" },
		FeedBound: servers.Bound,
		Caps:      memory.New().Caps(),
		Private:   true,
		Volatile:  true,
	})
}
