//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package main

import (
	"path/filepath"
	"strings"
	"testing"
)

// TestRun runs it twice on one file: the second report tells only what is new.
func TestRun(t *testing.T) {
	name := filepath.Join(t.TempDir(), "orders.log")
	const sold = `lamp: shipped; once more: conflict is true
chair: shipped; once more: conflict is true
the file now ends with a part of an entry, as after a kill
`
	for _, reported := range []string{
		"1: placed, a lamp\n2: shipped as parcel 1\n3: placed, a chair\n4: shipped as parcel 2\n",
		"5: placed, a lamp\n6: shipped as parcel 1\n7: placed, a chair\n8: shipped as parcel 2\n",
	} {
		var out strings.Builder
		if err := run(t.Context(), []string{name}, &out); err != nil {
			t.Fatal(err)
		}
		if got := out.String(); got != sold+reported {
			t.Errorf("it says\n%swant\n%s", got, sold+reported)
		}
	}
	for _, args := range [][]string{{"a", "b"}, {t.TempDir()}} {
		if err := run(t.Context(), args, t.Output()); err == nil {
			t.Errorf("%q succeeds", args)
		}
	}
}
