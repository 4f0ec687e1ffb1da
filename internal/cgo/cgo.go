// Package cgo keeps tests that need mattn's SQLite from failing where there is no
// C compiler to build it with: they are skipped, or with CI=true they fail.
package cgo

import (
	"fmt"
	"os"
	"testing"
)

const skipped = "skipped: built without cgo, and so without SQLite: install a C compiler and set CGO_ENABLED=1"

func inCI() bool { return os.Getenv("CI") == "true" }

// OrExit ends a test binary, from TestMain, that was built without cgo.
func OrExit() {
	if enabled {
		return
	}
	fmt.Println(skipped)
	if inCI() {
		os.Exit(1)
	}
	os.Exit(0)
}

// OrSkip skips a test that was built without cgo.
func OrSkip(t testing.TB) {
	t.Helper()
	if enabled {
		return
	}
	if inCI() {
		t.Fatal(skipped)
	}
	t.Skip(skipped)
}
