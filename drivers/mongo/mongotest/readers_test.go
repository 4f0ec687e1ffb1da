package mongotest

import (
	"testing"

	"github.com/go-es/es/internal/readerstest"
)

// BenchmarkReaders is several clients that give positions at the same time.
func BenchmarkReaders(b *testing.B) {
	server := server(b)
	readerstest.Bench(b, func() string { return data(b, server) }, open)
}
