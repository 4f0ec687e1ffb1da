package memorytest

import (
	"strings"
	"testing"
	"time"

	"github.com/go-es/es/conformance"
	"github.com/go-es/es/driver"
	"github.com/go-es/es/drivers/memory"
)

func TestConformance(t *testing.T) {
	d, _ := driver.Lookup("memory")
	conformance.Run(t, conformance.Config{
		Open:      d.Open,
		DSN:       func(conformance.TB) string { return driver.NewID(time.Now()).String() },
		Beside:    func(conformance.TB, string) string { return driver.NewID(time.Now()).String() },
		Caps:      memory.New().Caps(),
		Volatile:  true,
		Malformed: []string{"a b", "memory://a", "a?limit=1", "é", strings.Repeat("n", 256)},
	})
}
