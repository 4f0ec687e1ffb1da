package memorytest

import (
	"testing"

	"github.com/go-es/es/conformance"
)

func BenchmarkDriver(b *testing.B) {
	conformance.Bench(b, conformance.Config{Open: open, DSN: name})
}
