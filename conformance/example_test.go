package conformance_test

import (
	"context"
	"flag"
	"fmt"
	"testing"

	"github.com/go-es/es/conformance"
	"github.com/go-es/es/driver"
	"github.com/go-es/es/drivers/memory"
)

// The test of a driver is one call of Run, in a function TestConformance of its
// package. Here it is called by hand, and in short, so that it has an output.
func Example() {
	testConformance := func(t *testing.T) {
		conformance.Run(t, conformance.Config{
			Open:     func(ctx context.Context, _ string) (driver.Store, error) { return memory.New(), ctx.Err() },
			DSN:      func(conformance.TB) string { return "" },
			Caps:     memory.New().Caps(),
			Private:  true, // each Open gives data of its own
			Volatile: true, // which is gone when it is closed
		})
	}

	defer set("test.short", "true")()
	defer set("test.v", "false")()
	always := func(pattern, name string) (bool, error) { return true, nil }
	ok := testing.RunTests(always, []testing.InternalTest{{Name: "TestConformance", F: testConformance}})
	fmt.Println("keeps its promises:", ok)
	// Output: keeps its promises: true
}

// set sets a flag and returns the function that sets it back.
func set(name, value string) func() {
	before := flag.Lookup(name).Value.String()
	flag.Set(name, value)
	return func() { flag.Set(name, before) }
}
