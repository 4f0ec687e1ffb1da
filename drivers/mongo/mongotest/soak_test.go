package mongotest

import (
	"testing"

	"github.com/go-es/es/internal/soak"
)

// Each process writes, reads the feed, and gives positions.
func soakConfig(t *testing.T) soak.Config {
	server := server(t)
	return soak.Config{
		Open: open,
		DSN:  func() string { return data(t, server) },
	}
}

func TestSoak(t *testing.T) {
	soak.Run(t, soakConfig(t))
}

func TestSoakKilled(t *testing.T) {
	cfg := soakConfig(t)
	cfg.Kill = true
	soak.Run(t, cfg)
}
