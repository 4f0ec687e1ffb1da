package layers_test

import (
	"fmt"
	"go/ast"
	"go/doc"
	"maps"
	"path"
	"slices"
	"strings"
	"testing"
)

func TestExamples(t *testing.T) {
	all, err := folders(root(t))
	report(t, withoutExample(all), err)
}

// cannotRun are the packages whose examples need not have an output: nothing of
// the suite runs without a test.
var cannotRun = []string{"conformance"}

// withoutExample returns the packages that users import and that have no example
// with an output that go test compares.
func withoutExample(all map[string]*folder) (wrong []string) {
	for _, f := range public(all) {
		var files []*ast.File
		for _, file := range f.tests {
			files = append(files, file.syntax)
		}
		runs := func(e *doc.Example) bool {
			return e.Output != "" || e.EmptyOutput || slices.Contains(cannotRun, f.dir)
		}
		if !slices.ContainsFunc(doc.Examples(files...), runs) {
			wrong = append(wrong, fmt.Sprintf("%s has no runnable example: no func Example… with // Output", path.Join(module, f.dir)))
		}
	}
	return wrong
}

func TestExamplesAreChecked(t *testing.T) {
	example := "package x_test\n\nimport \"fmt\"\n\nfunc Example() {\n\tfmt.Println(1)\n\t// Output: 1\n}\n"
	good := map[string]string{
		"es.go":              source("es"),
		"example_test.go":    example,
		"internal/x/x.go":    source("x"),
		"internal/y/y.go":    source("y"),
		"examples/x/main.go": source("main"),
		"examples/x/y/y.go":  source("y"),
		"a/atest/x.go":       source("atest"),
		"a/only_test.go":     source("a_test"),
	}
	for _, row := range []struct {
		name    string
		files   map[string]string
		missing []string
	}{
		{"all there", nil, nil},
		{"none", map[string]string{"aggregate/a.go": source("aggregate")}, []string{"aggregate"}},
		{"none in two", map[string]string{"aggregate/a.go": source("aggregate"), "keys/x.go": source("keys")}, []string{"aggregate", "keys"}},
		{"one that does not run", map[string]string{"a/a.go": source("a"), "a/a_test.go": strings.Replace(example, "// Output: 1", "", 1)}, []string{"a"}},
		{"one that cannot run", map[string]string{"conformance/a.go": source("conformance"), "conformance/a_test.go": strings.Replace(example, "// Output: 1", "", 1)}, nil},
		{"one that is missing", map[string]string{"conformance/a.go": source("conformance")}, []string{"conformance"}},
		{"one in a file that is no test", map[string]string{"a/a.go": strings.Replace(example, "x_test", "a", 1)}, []string{"a"}},
		{"one that prints nothing", map[string]string{"a/a.go": source("a"), "a/a_test.go": "package a_test\n\nfunc ExampleX() {\n\t// Output:\n}\n"}, nil},
	} {
		files := maps.Clone(good)
		maps.Copy(files, row.files)
		all, err := folders(tree(t, files))
		if err != nil {
			t.Fatal(err)
		}
		var want []string
		for _, dir := range row.missing {
			want = append(want, module+"/"+dir+" has no runnable example: no func Example… with // Output")
		}
		if got := withoutExample(all); !slices.Equal(got, want) {
			t.Errorf("%s: got %q, want %q", row.name, got, want)
		}
	}
}
