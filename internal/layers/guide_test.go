package layers_test

import (
	"fmt"
	"go/ast"
	"go/format"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
)

// TestGuide does what docs/writing-a-driver.md says, from an empty folder on: it
// writes the files that the page shows, and runs the page's commands between.
func TestGuide(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile(filepath.Join(root(t), "docs", "writing-a-driver.md"))
	if err != nil {
		t.Fatal(err)
	}
	steps, err := guide(string(page))
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{} // as they are at the end
	var commands int
	for _, s := range steps {
		if s.file != "" {
			files[s.file] = s.code
		} else {
			commands++
		}
	}
	for _, link := range link.FindAllStringSubmatch(string(page), -1) {
		if !slices.Contains(anchors(string(page)), link[1]) {
			t.Errorf("a link leads to #%s, and there is no such heading", link[1])
		}
	}
	if len(files) < 10 || commands < 10 {
		t.Fatalf("the page has only %d files and %d commands", len(files), commands)
	}
	if n := strings.Count(firstTest(steps), "\n"); n > 20 {
		t.Errorf("the first test file has %d lines, want 20 at most", n)
	}
	files = todo(files)
	m := newModule(t, "example.com/mapstore", files)
	for name := range files {
		if err := os.Remove(filepath.Join(m.dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	files = map[string]string{}
	for len(steps) > 0 {
		s := steps[0]
		if s.file != "" {
			files[s.file] = s.code
			steps = steps[1:]
			continue
		}
		left := todo(files)
		for name := range files {
			file := filepath.Join(m.dir, name)
			if left[name] == "" {
				os.Remove(file)
			} else if err := os.WriteFile(file, []byte(left[name]), 0o666); err != nil {
				t.Fatal(err)
			}
		}
		// What changes no file runs at once: the suite waits more than it works.
		var all sync.WaitGroup
		for n := 0; len(steps) > 0 && steps[0].file == "" && (n == 0 || s.tests() && steps[0].tests()); n++ {
			s := steps[0]
			steps = steps[1:]
			all.Go(func() {
				out, err := m.try(t, s.command[0], s.command[1:]...)
				switch {
				case s.fails && err == nil:
					t.Errorf("%q succeeds, and the page says that it fails", s.command)
				case !s.fails && err != nil:
					t.Errorf("%v", err)
				case strings.Contains(out, "no tests to run"), strings.Contains(out, "conformance: 0 checks ran"):
					t.Errorf("%q runs no test:\n%s", s.command, out)
				}
			})
		}
		all.Wait()
	}
}

// mistakes are some of those that the page warns of, made in its example: what
// to write instead of what, and what the suite says then, as the page has it.
var mistakes = []struct{ file, right, wrong, check, says string }{
	{"data.go", "driver.FromMicros(driver.Micros(r.Time))", "r.Time", "records/time", `record 0 ("times", version 1): time is `},
	{"read.go", "clone(&e.Record)", "e.Record", "records/ownership", `tags are ["overwritten" "overwritten"], appended were ["one" "two"]`},
	{"append.go", "if d.log[positions[i]-1].ID != p.Records[i].ID {", "if i > len(positions) {", "versions/expected", `version 1 of stream "one-0-1" was acknowledged with id `},
	{"append.go", "	for i, p := range req.Parts {\n		if len", "	d.mu.Unlock()\n	time.Sleep(100 * time.Microsecond)\n	d.mu.Lock()\n	for i, p := range req.Parts {\n		if len", "versions/race", ` of stream "race-0" was acknowledged with id `},
	{"append.go", "return s.data.append(req)", "res, err := s.data.append(req)\n	time.Sleep(200 * time.Microsecond)\n	if ctx.Err() != nil {\n		err = ctx.Err()\n	}\n	return res, err", "unknown/cancelled", `which failed with context canceled, is stored at `},
	{"read.go", "	page.End = page.Next == head\n	if", "	page.End = page.Next == head\n	if n := len(page.Records); n > 0 {\n		page.Next = page.Records[n-1].Position\n	}\n	if", "feed/filter", "and the last event, which does not match, is at "},
	{"list.go", "name <= q.After", "strings.ToLower(name) <= strings.ToLower(q.After)", "list/order", `on it has ["order-1-1" "order-10" `},
	{"delete.go", "driver.Record{ID: e.ID}", "driver.Record{}", "feed/seen", `of stream "purged", as the reader saw it; after 15`},
	{"delete.go", "k.stream == req.Stream", "false", "delete/purge-closed", "the snapshot of a purged stream is still there"},
}

// TestGuideMistakes makes mistakes that the page warns of and compares what the
// suite says.
func TestGuideMistakes(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile(filepath.Join(root(t), "docs", "writing-a-driver.md"))
	if err != nil {
		t.Fatal(err)
	}
	steps, err := guide(string(page))
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for _, s := range steps {
		if s.file != "" {
			files[s.file] = s.code
		}
	}
	files = todo(files)
	m := newModule(t, "example.com/mapstore", files)
	for _, row := range mistakes {
		t.Run(row.check, func(t *testing.T) {
			if !strings.Contains(string(page), row.says) {
				t.Errorf("the page does not say %q", row.says)
			}
			right := files[row.file]
			wrong := strings.ReplaceAll(right, row.right, row.wrong)
			if wrong == right {
				t.Fatalf("%s does not contain %q", row.file, row.right)
			}
			if strings.Contains(row.wrong, "time.Sleep") {
				wrong = strings.Replace(wrong, `"context"`, "\"context\"\n\t\"time\"", 1)
			}
			name := filepath.Join(m.dir, row.file)
			if err := os.WriteFile(name, []byte(wrong), 0o666); err != nil {
				t.Fatal(err)
			}
			defer os.WriteFile(name, []byte(right), 0o666)
			_, err := m.try(t, "go", "test", "-vet=off", "-run", "TestConformance/"+row.check, ".")
			if err == nil {
				t.Fatal("the suite passes")
			}
			if !strings.Contains(err.Error(), row.says) {
				t.Errorf("the suite does not say %q:\n%v", row.says, err)
			}
		})
	}
}

// A step of the guide is a file to write or a command to run.
type step struct {
	file, code string
	command    []string
	fails      bool // as the page says
}

// tests reports whether the step is a command that changes no file.
func (s step) tests() bool {
	return len(s.command) > 1 && s.command[0] == "go" && (s.command[1] == "test" || s.command[1] == "vet")
}

var (
	block    = regexp.MustCompile("(?ms)^```(go|sh)\n(.*?)^```$")
	fileName = regexp.MustCompile(`^// ([a-z_]+\.go)\n\n`)
	link     = regexp.MustCompile(`\]\(#([^)]*)\)`)
	heading  = regexp.MustCompile(`(?m)^##+ (.*)$`)
	word     = regexp.MustCompile(`'[^']*'|\S+`)
)

// anchors returns what links to the headings of a page look like.
func anchors(page string) (all []string) {
	for _, m := range heading.FindAllStringSubmatch(page, -1) {
		all = append(all, strings.ReplaceAll(strings.ReplaceAll(strings.ToLower(m[1]), ",", ""), " ", "-"))
	}
	return all
}

// guide returns the steps of the page, in order. A block of Go begins with the
// name of its file; commands are those of the go tool that test.
func guide(page string) (steps []step, err error) {
	for _, m := range block.FindAllStringSubmatch(strings.ReplaceAll(page, "\r\n", "\n"), -1) {
		if m[1] == "go" {
			name := fileName.FindStringSubmatch(m[2])
			if name == nil {
				return nil, fmt.Errorf("a block of Go does not begin with the name of its file and an empty line:\n%s", m[2])
			}
			if nice, err := format.Source([]byte(m[2])); err != nil || string(nice) != m[2] {
				return nil, fmt.Errorf("%s is not formatted by gofmt: %v", name[1], err)
			}
			steps = append(steps, step{file: name[1], code: strings.TrimPrefix(m[2], name[0])})
			continue
		}
		for line := range strings.Lines(m[2]) {
			line, comment, _ := strings.Cut(strings.TrimSpace(line), " # ")
			if !strings.HasPrefix(line, "go test ") && !strings.HasPrefix(line, "go vet ") {
				continue
			}
			s := step{fails: comment == "fails"}
			for _, w := range word.FindAllString(line, -1) {
				// The race detector needs a C compiler, and there is no time.
				if w != "-race" && w != "-short" && !strings.HasPrefix(w, "-count=") {
					s.command = append(s.command, strings.Trim(w, "'"))
				}
			}
			if s.command[1] == "test" {
				s.command = slices.Insert(s.command, 2, "-short", "-v")
			}
			steps = append(steps, s)
		}
	}
	return steps, nil
}

// firstTest is the first test file of the guide.
func firstTest(steps []step) string {
	for _, s := range steps {
		if strings.HasSuffix(s.file, "_test.go") {
			return s.code
		}
	}
	return ""
}

// todo returns the files without what todo.go stands in for: its methods that
// another file has, and todo.go itself once it has none.
func todo(files map[string]string) map[string]string {
	const name = "todo.go"
	written := map[string]bool{}
	for file, code := range files {
		if file != name {
			for _, f := range methods(code) {
				written[f.Name.Name] = true
			}
		}
	}
	code, left := files[name], false
	for _, f := range slices.Backward(methods(code)) { // positions of a file begin at 1
		if written[f.Name.Name] {
			code = code[:f.Pos()-1] + code[f.End()-1:]
		} else {
			left = true
		}
	}
	rest := maps.Clone(files)
	if rest[name] = code; !left {
		delete(rest, name)
	}
	return rest
}

// methods returns the methods that a file declares.
func methods(code string) (all []*ast.FuncDecl) {
	syntax, err := parser.ParseFile(token.NewFileSet(), "", code, 0)
	if err != nil {
		return nil
	}
	for _, d := range syntax.Decls {
		if f, ok := d.(*ast.FuncDecl); ok && f.Recv != nil {
			all = append(all, f)
		}
	}
	return all
}

func TestGuideIsRead(t *testing.T) {
	const page = "# x\n\n```go\n// a.go\n\npackage a\n```\n\n```text\ngo test .\n```\n\n```sh\nmkdir a\ngo test -short -run 'A/(b|c)' . # fails\n```\n"
	steps, err := guide(page)
	want := []step{{file: "a.go", code: "package a\n"}, {command: []string{"go", "test", "-short", "-v", "-run", "A/(b|c)", "."}, fails: true}}
	if err != nil || fmt.Sprint(steps) != fmt.Sprint(want) {
		t.Errorf("steps %v, error %v, want %v", steps, err, want)
	}
	for _, wrong := range []string{"```go\npackage a\n```\n", "```go\n// a.go\n\npackage  a\n```\n", "```go\n// a.go\n\npackage a {\n```\n"} {
		if steps, err := guide(wrong); err == nil {
			t.Errorf("%q has the steps %v", wrong, steps)
		}
	}

	files := map[string]string{
		"a.go":    "package a\n\ntype T int\n\nfunc (T) A() {}\n",
		"todo.go": "package a\n\nfunc (T) A() {}\n\nfunc (T) B() {}\n",
	}
	if got, want := todo(files)["todo.go"], "package a\n\n\n\nfunc (T) B() {}\n"; got != want {
		t.Errorf("todo.go is %q, want %q", got, want)
	}
	files["a.go"] += "\nfunc (T) B() {}\n"
	if got := todo(files); len(got) != 1 {
		t.Errorf("files are left: %v", got)
	}
}
