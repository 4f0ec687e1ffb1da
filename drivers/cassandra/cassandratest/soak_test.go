package cassandratest

import (
	"testing"
	"time"

	"github.com/go-es/es/internal/soak"
)

// Processes that write and read, and are killed: each reader gives positions.
func TestSoakKilled(t *testing.T) {
	server := server(t)
	soak.Run(t, soak.Config{
		Open: open,
		DSN:  func() string { return empty(t, server) },
		Kill: true,
		Late: 20 * time.Second, // what an index lost, the other one shows when it is some seconds old
	})
}
