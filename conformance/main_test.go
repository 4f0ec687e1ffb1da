package conformance

import (
	"flag"
	"os"
	"runtime"
	"strconv"
	"testing"
	"time"
)

func TestMain(m *testing.M) {
	flag.Parse()
	if flag.Lookup("test.parallel").Value.String() == strconv.Itoa(runtime.GOMAXPROCS(0)) {
		flag.Set("test.parallel", "8") // what runs in parallel sleeps most of the time
	}
	// The suite runs here dozens of times, and often fails as it should.
	flag.Set("rapid.nofailfile", "true")
	flag.Set("rapid.shrinktime", "500ms")
	spanTime = 150 * time.Millisecond
	os.Exit(m.Run())
}
