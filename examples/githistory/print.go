package main

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"time"
)

// progress shows how far an import is, twice a second at most.
type progress struct {
	out   io.Writer // nil: nowhere
	began time.Time
	shown time.Time
}

func newProgress(out io.Writer, quiet bool) *progress {
	now := time.Now()
	p := &progress{out: out, began: now, shown: now}
	if quiet {
		p.out = nil
	}
	return p
}

func (p *progress) tell(commit, changes int) {
	if p.out == nil || time.Since(p.shown) < 500*time.Millisecond {
		return
	}
	p.shown = time.Now()
	fmt.Fprintf(p.out, "\rcommit %d, %d changes, %.0f a second ", commit, changes, float64(changes)/time.Since(p.began).Seconds())
}

func (p *progress) end() {
	if p.out != nil && p.shown != p.began {
		fmt.Fprintln(p.out)
	}
}

// diskSize returns what an SQLite database takes, with its log.
func diskSize(name string) (n int64) {
	for _, suffix := range []string{"", "-wal"} {
		if info, err := os.Stat(name + suffix); err == nil {
			n += info.Size()
		}
	}
	return n
}

// printable returns a path as it is, or quoted where a terminal might not show
// it so.
func printable(path string) string {
	for _, r := range path {
		if !strconv.IsPrint(r) || r == '\uFFFD' {
			return strconv.Quote(path)
		}
	}
	return path
}
