package sqlitetest

import (
	"testing"

	"github.com/go-es/es/conformance"
)

// BenchmarkDriver measures the driver alone. What package es on it costs beside
// hand-written code is measured by BenchmarkES.
func BenchmarkDriver(b *testing.B) {
	conformance.Bench(b, conformance.Config{Open: open, DSN: file})
}
