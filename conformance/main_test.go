package conformance

import (
	"flag"
	"os"
	"testing"
	"time"
)

func TestMain(m *testing.M) {
	flag.Parse()
	// The suite runs here dozens of times, and often fails as it should.
	flag.Set("rapid.nofailfile", "true")
	flag.Set("rapid.shrinktime", "500ms")
	spanTime = 150 * time.Millisecond
	os.Exit(m.Run())
}
