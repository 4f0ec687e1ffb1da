package conformance

import (
	"flag"
	"testing"
	"time"
)

// The flag -es.long. A flag of a package is defined in every program that imports
// it: this one only in test binaries, and not where it is there already, as it is
// with a second copy of this package, of another major version.
func init() {
	if testing.Testing() && flag.Lookup(longFlag) == nil {
		flag.Bool(longFlag, false, "package conformance: run each check several times, with more writers and data, for longer; set -timeout as well")
	}
}

const longFlag = "es.long"

// isLong reports whether the checks are to run for a night. -short wins.
func isLong() bool {
	f := flag.Lookup(longFlag)
	return f != nil && f.Value.String() == "true" && !testing.Short()
}

func (t *test) isShort() bool { return testing.Short() || t.cfg != nil && t.cfg.quick }

// longRounds is how often each check runs with -es.long, each time with new data.
const longRounds = 5

// scale returns n, a fifth of it with -short, or a multiple with -es.long.
func (t *test) scale(n int) int {
	switch {
	case t.isShort():
		return max(n/5, 2)
	case isLong():
		return 4 * n
	}
	return n
}

// crowd is how many of n clients at work there are: more with -es.long.
func (t *test) crowd(n int) int {
	if isLong() {
		return 2 * n
	}
	return n
}

// spanTime is how long a check that depends on chance goes on trying.
var spanTime = time.Second

func (t *test) span() time.Duration {
	switch {
	case t.isShort():
		return spanTime / 10
	case isLong():
		return 10 * spanTime
	}
	return spanTime
}

// checkTime bounds one check, so that a store that hangs is told by name.
func checkTime() time.Duration {
	if isLong() {
		return 15 * time.Minute
	}
	return 2 * time.Minute
}

// modelTime bounds the check of random sequences on slow stores; with -es.long it
// is how long that goes on.
func modelTime() time.Duration {
	if isLong() {
		return time.Minute
	}
	return 10 * time.Second
}
