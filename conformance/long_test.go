package conformance

import (
	"context"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-es/es/driver"
)

func TestLong(t *testing.T) {
	if testing.Short() {
		t.Skip("-short wins over -es.long")
	}
	if err := flag.Set(longFlag, "true"); err != nil {
		t.Fatal(err)
	}
	defer flag.Set(longFlag, "false")
	defer func(d time.Duration) { spanTime = d }(spanTime)
	spanTime = 20 * time.Millisecond
	c := &test{}
	if n, span := c.scale(10), c.span(); n <= 10 || span != 10*spanTime || c.crowd(16) <= 16 {
		t.Errorf("scale %d, span %v, crowd %d", n, span, c.crowd(16))
	}
	// Every round has data of its own.
	y := newToy()
	cfg := y.config(time.Second)
	names := map[string]int{}
	open := cfg.Open
	cfg.Open = func(ctx context.Context, dsn string) (driver.Store, error) {
		names[dsn]++
		return open(ctx, dsn)
	}
	defer func(all []check) { checks = all }(checks)
	checks = []check{{"feed/writers", "F1", nil, checkFeedUnderWriters}}
	t.Run("suite", func(t *testing.T) { Run(t, cfg) })
	if len(names) != longRounds+1 { // and one to see what the store is
		t.Errorf("%d stores were opened in %d rounds", len(names), longRounds)
	}
	c.cfg = &Config{quick: true}
	if n, span := c.scale(10), c.span(); n >= 10 || span >= spanTime {
		t.Errorf("-short does not win: scale %d, span %v", n, span)
	}
}

// TestFlagOutsideOfTests looks for the flag in a program that imports the package
// and is no test.
func TestFlagOutsideOfTests(t *testing.T) {
	if testing.Short() {
		t.Skip("-short")
	}
	file := filepath.Join(t.TempDir(), "main.go")
	program := `package main

import (
	"flag"
	"fmt"

	_ "github.com/go-es/es/conformance"
)

func main() { fmt.Print(flag.Lookup("es.long") == nil) }
`
	if err := os.WriteFile(file, []byte(program), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("go", "run", file).CombinedOutput()
	if err != nil || strings.TrimSpace(string(out)) != "true" {
		t.Errorf("a program that is no test has the flag, or does not run: %s, %v", out, err)
	}
}
