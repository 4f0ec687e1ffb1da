package conformance

import (
	"maps"
	"runtime"
	"slices"
	"strings"
	"time"
)

// goroutines returns the stacks of all goroutines by their number.
func goroutines() map[string]string {
	buf := make([]byte, 1<<20)
	for {
		n := runtime.Stack(buf, true)
		if n < len(buf) {
			buf = buf[:n]
			break
		}
		buf = make([]byte, 2*len(buf))
	}
	all := map[string]string{}
	for stack := range strings.SplitSeq(string(buf), "\n\n") {
		if id, ok := strings.CutPrefix(stack, "goroutine "); ok {
			id, _, _ = strings.Cut(id, " ")
			all[id] = stack
		}
	}
	return all
}

// leakTime is how long goroutines may take to end: clients of databases stop
// theirs late.
var leakTime = 30 * time.Second

// leaked returns the stacks of goroutines that were not there before and do not
// end.
func leaked(before map[string]string) []string {
	deadline := time.Now().Add(leakTime)
	for pause := time.Millisecond; ; pause = min(2*pause, 100*time.Millisecond) {
		now := goroutines()
		maps.DeleteFunc(now, func(id, stack string) bool {
			_, old := before[id]
			return old || strings.Contains(stack, "runtime.runFinalizers") || strings.Contains(stack, "runtime.runCleanups")
		})
		if len(now) == 0 || time.Now().After(deadline) {
			return slices.Sorted(maps.Values(now))
		}
		time.Sleep(pause)
	}
}
