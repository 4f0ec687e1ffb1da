package cassandratest

import (
	"testing"

	"github.com/go-es/es/internal/soak"
)

// Processes that write and read, and are killed: each reader gives positions.
func TestSoakKilled(t *testing.T) {
	server := server(t)
	soak.Run(t, soak.Config{
		Open: open,
		DSN:  func() string { return empty(t, server) },
		Kill: true,
	})
}
