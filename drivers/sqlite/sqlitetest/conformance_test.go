package sqlitetest

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/go-es/es/conformance"
	"github.com/go-es/es/driver"
	_ "github.com/go-es/es/drivers/sqlite"
)

func open(ctx context.Context, dsn string) (driver.Store, error) {
	d, _ := driver.Lookup("sqlite")
	return d.Open(ctx, dsn)
}

func TestConformance(t *testing.T) {
	conformance.Run(t, conformance.Config{
		Open: open,
		DSN:  func(t conformance.TB) string { return filepath.Join(t.TempDir(), "es.db") },
	})
}
