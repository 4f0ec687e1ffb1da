package layers_test

import (
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-es/es/internal/cgo"
)

// TestSQLiteOnly builds a program that uses es with SQLite and nothing else, in
// a module of its own, and looks at what that drags in.
func TestSQLiteOnly(t *testing.T) {
	cgo.OrSkip(t)
	c := newConsumer(t, `package main

import (
	"context"
	"fmt"
	"log"

	"github.com/go-es/es"
	_ "github.com/go-es/es/drivers/sqlite"
)

type Opened struct{ Owner string }

func (Opened) EventType() string { return "account.opened" }

func main() {
	ctx := context.Background()
	store, err := es.Open("sqlite", ":memory:")
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()
	if _, err := store.Append(ctx, "account-42", es.NoStream, Opened{"Ada"}); err != nil {
		log.Fatal(err)
	}
	for rec, err := range store.Read(ctx, "account-42") {
		if err != nil {
			log.Fatal(err)
		}
		e, err := es.As[Opened](rec)
		fmt.Println(rec.Version, e.Owner, err)
	}
}
`)
	if got, want := c.run(t), "1 Ada <nil>\n"; got != want {
		t.Errorf("it prints %q, want %q", got, want)
	}

	may := []string{"consumer", module, "github.com/klauspost/compress", "github.com/mattn/go-sqlite3"}
	for _, m := range strings.Fields(c.command(t, "go", "list", "-deps", "-f", "{{with .Module}}{{.Path}}{{end}}", ".")) {
		if !slices.Contains(may, m) {
			t.Errorf("a SQLite-only program compiles %s", m)
		}
	}

	sums := lines(t, filepath.Join(c.dir, "go.sum"))
	ours := lines(t, filepath.Join(root(t), "go.sum"))
	others := map[string]bool{}
	for _, line := range sums {
		if m, _, _ := strings.Cut(line, " "); !slices.Contains(may, m) {
			others[m] = true
		}
		// The checksum database was not asked; our own go.sum vouches for it.
		if !slices.Contains(ours, line) {
			t.Errorf("go.sum of the module does not know %q", line)
		}
	}
	if len(sums) == 0 || len(sums) > 10 || len(others) > 0 {
		t.Errorf("the go.sum of a SQLite-only program has %d lines, want 1 to 10, and may not name %s", len(sums), slices.Sorted(maps.Keys(others)))
	}
}

// quickstart finds the first program of the README, and what it says that it
// prints: the block after it.
var quickstart = regexp.MustCompile("(?ms)^```go\n(package main\n.*?)^```\n.*?^```text\n(.*?)^```$")

// TestQuickstart copies the quickstart of the README into an empty module and
// runs it.
func TestQuickstart(t *testing.T) {
	cgo.OrSkip(t)
	readme, err := os.ReadFile(filepath.Join(root(t), "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	code, output, ok := findQuickstart(string(readme))
	if !ok {
		t.Fatal("README.md has no block ```go with package main, followed by a block ```text with what it prints")
	}
	if n := strings.Count(code, "\n"); n >= 40 {
		t.Errorf("the quickstart has %d lines, want fewer than 40", n)
	}
	if got := newConsumer(t, code).run(t); strings.TrimSpace(got) != strings.TrimSpace(output) {
		t.Errorf("the quickstart prints\n%s\nand README.md says\n%s", got, output)
	}
}

func findQuickstart(readme string) (code, output string, ok bool) {
	m := quickstart.FindStringSubmatch(strings.ReplaceAll(readme, "\r\n", "\n"))
	if m == nil {
		return "", "", false
	}
	return m[1], m[2], true
}

func TestFindQuickstart(t *testing.T) {
	const readme = "# es\n\n```go\nstore, err := es.Open(a, b)\n```\n\n```go\npackage main\n\nfunc main() {}\n```\n\nIt prints\n\n```text\none\ntwo\n```\n\n```text\nthree\n```\n"
	code, output, ok := findQuickstart(readme)
	if code != "package main\n\nfunc main() {}\n" || output != "one\ntwo\n" || !ok {
		t.Errorf("found %q and %q, %v", code, output, ok)
	}
	for _, without := range []string{"package main\n", "```text\n"} {
		if _, _, ok := findQuickstart(strings.ReplaceAll(readme, without, "")); ok {
			t.Errorf("found without %q", without)
		}
	}
}

// A consumer is a module of its own with one program.
type consumer struct{ dir string }

// newConsumer writes the program into a new module that uses this checkout, and
// tidies it.
func newConsumer(t *testing.T, program string) consumer {
	t.Helper()
	return newModule(t, "consumer", map[string]string{"main.go": program})
}

// newModule writes files into a new module that uses this checkout, and tidies
// it.
func newModule(t *testing.T, name string, files map[string]string) consumer {
	t.Helper()
	if testing.Short() {
		t.Skip("builds a program")
	}
	var goLine string
	for _, line := range lines(t, filepath.Join(root(t), "go.mod")) {
		if strings.HasPrefix(line, "go ") {
			goLine = line
		}
	}
	all := maps.Clone(files)
	all["go.mod"] = fmt.Sprintf("module %s\n\n%s\n\nrequire %s v0.0.0\n\nreplace %s => %q\n", name, goLine, module, module, root(t))
	c := consumer{tree(t, all)}
	c.command(t, "go", "mod", "tidy")
	return c
}

// run runs the program in an empty folder and returns what it prints.
func (c consumer) run(t *testing.T) string {
	t.Helper()
	program := filepath.Join(c.dir, "program.exe")
	c.command(t, "go", "build", "-o", program, ".")
	return consumer{t.TempDir()}.command(t, program)
}

// command runs a command in the module and returns what it prints. It takes no
// module from the network that is in the module cache.
func (c consumer) command(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := c.try(t, name, args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// try is command for one that may fail: what it prints is then in the error.
func (c consumer) try(t *testing.T, name string, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = c.dir
	cmd.Env = append(os.Environ(), "GOFLAGS=-mod=mod", "GOSUMDB=off", "GOWORK=off", "GO111MODULE=on")
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("%s: %w\n%s%s", strings.Join(cmd.Args, " "), err, out, stderr.String())
	}
	return string(out), err
}

// lines returns the lines of a file that are not empty.
func lines(t *testing.T, name string) (out []string) {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if line = strings.TrimSpace(line); line != "" {
			out = append(out, line)
		}
	}
	return out
}
