package layers_test

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"testing"
)

// mayImport says which folders of this module the code of a folder, and of those
// below it, may import, besides what lies within the same folder and internal
// ones. A new layer gets a line here.
var mayImport = map[string][]string{
	"driver":      {},
	"drivers":     {"driver", "driver/sequencer"},
	".":           {"driver"},
	"internal":    {"driver"},
	"keys":        {"."},
	"aggregate":   {"."},
	"conformance": {"driver", "."},
}

// mayRequire says which modules a package that users import may import, tests
// included: all of them end in the go.sum of every user of that package. A
// folder that is not named needs the standard library only. What else a test
// needs goes into a folder named …test, or into internal/, which nobody imports.
var mayRequire = map[string][]string{
	".":                 {"github.com/klauspost/compress"},
	"drivers/cassandra": {"github.com/gocql/gocql"},
	"drivers/dynamodb":  {"github.com/aws/aws-sdk-go-v2", "github.com/aws/smithy-go"},
	"drivers/mongo":     {"go.mongodb.org/mongo-driver/v2"},
	"drivers/mysql":     {"github.com/go-sql-driver/mysql"},
	"drivers/postgres":  {"github.com/jackc/pgx/v5"},
	"drivers/sqlite":    {"github.com/mattn/go-sqlite3"},
	"conformance":       {"github.com/anishathalye/porcupine", "pgregory.net/rapid"},
}

func TestImports(t *testing.T) {
	all, err := folders(root(t))
	report(t, wrongImports(all), err)
	if len(public(all)) < 2 {
		t.Errorf("only %d packages were found", len(public(all)))
	}
}

// layer returns the line of mayImport that holds for a folder.
func layer(dir string) string {
	if isInternal(dir) {
		return "internal"
	}
	top, _, _ := strings.Cut(dir, "/")
	return top
}

// wrongImports returns the imports that break a rule, each with the rule.
func wrongImports(all map[string]*folder) (wrong []string) {
	for _, dir := range slices.Sorted(maps.Keys(all)) {
		f := all[dir]
		for _, file := range f.code {
			for _, imp := range file.imports {
				if to, ok := own(imp); ok {
					if why := wrongArrow(dir, to); why != "" {
						wrong = append(wrong, fmt.Sprintf("%s imports %s: %s", file.name, imp, why))
					}
				} else if !isStandard(imp) && !isProgram(dir) && !forTests(dir) && !f.main && !required(imp, dir) {
					wrong = append(wrong, fmt.Sprintf("%s imports %s: %s may not", file.name, imp, title(dir)))
				}
			}
		}
		for _, file := range f.tests {
			for _, imp := range file.imports {
				if to, ok := own(imp); ok && isProgram(to) && !sameUnit(dir, to) {
					wrong = append(wrong, fmt.Sprintf("%s imports %s: nothing imports a program", file.name, imp))
				}
			}
		}
	}
	return append(wrong, leaks(all)...)
}

// wrongArrow returns why the code of one folder may not import another, if so.
func wrongArrow(from, to string) string {
	switch {
	case isProgram(to):
		if sameUnit(from, to) {
			return ""
		}
		return "nothing imports a program"
	case forTests(to) && !forTests(from):
		return "only tests import what is for tests"
	case isProgram(from), forTests(from):
		return ""
	}
	l := layer(from)
	may, ok := mayImport[l]
	switch {
	case !ok:
		return fmt.Sprintf("%s is no layer yet: give it a line in mayImport", l)
	case isInternal(to), slices.Contains(may, to):
		return ""
	case l == "drivers" && sameUnit(from, to):
		return ""
	case l != "drivers" && l != "." && within(to, l):
		return ""
	}
	names := []string{"internal"}
	for _, m := range may {
		names = append(names, title(m))
	}
	return fmt.Sprintf("%s may import %s only", title(l), strings.Join(names, ", "))
}

// sameUnit reports whether both lie within one folder of drivers, cmd or
// examples.
func sameUnit(a, b string) bool {
	x, y := strings.SplitN(a, "/", 3), strings.SplitN(b, "/", 3)
	return len(x) >= 2 && len(y) >= 2 && slices.Equal(x[:2], y[:2])
}

// title is the name of a folder in a complaint.
func title(dir string) string {
	if dir == "." {
		return "es"
	}
	return dir
}

// required reports whether a folder may import a package of another module.
func required(imp, dir string) bool {
	return slices.ContainsFunc(mayRequire[dir], func(m string) bool { return within(imp, m) })
}

// leaks returns what the tests of packages that users import would drag into
// the go.sum of users: go mod tidy resolves the tests of each package imported.
func leaks(all map[string]*folder) (wrong []string) {
	for _, user := range public(all) {
		// es itself is there wherever a package of it is used.
		may := func(imp string) bool { return required(imp, user.dir) || required(imp, ".") }
		needed := closure(all, user.dir)
		for _, dir := range needed {
			for _, file := range all[dir].tests {
				for _, imp := range file.imports {
					if to, ok := own(imp); ok && slices.Contains(needed, to) {
						continue // there without the test
					}
					if why := dragged(all, imp, func(imp string) bool { return may(imp) || required(imp, dir) }); why != "" {
						wrong = append(wrong, fmt.Sprintf("%s imports %s, and who uses %s gets %s with it", file.name, imp, path.Join(module, user.dir), why))
					}
				}
			}
		}
	}
	return wrong
}

// dragged returns a package of another module that imp brings and that may not
// be, if any.
func dragged(all map[string]*folder, imp string, may func(string) bool) string {
	to, ok := own(imp)
	if !ok {
		if isStandard(imp) || may(imp) {
			return ""
		}
		return imp
	}
	for _, dir := range closure(all, to) {
		for _, file := range all[dir].code {
			for _, imp := range file.imports {
				if _, ok := own(imp); !ok && !isStandard(imp) && !may(imp) {
					return imp
				}
			}
		}
	}
	return ""
}

// closure returns a folder and those of this module that its code needs, sorted.
func closure(all map[string]*folder, dir string) []string {
	seen := map[string]bool{}
	var visit func(string)
	visit = func(dir string) {
		if seen[dir] || all[dir] == nil {
			return
		}
		seen[dir] = true
		for _, file := range all[dir].code {
			for _, imp := range file.imports {
				if to, ok := own(imp); ok {
					visit(to)
				}
			}
		}
	}
	visit(dir)
	return slices.Sorted(maps.Keys(seen))
}

func TestImportsAreChecked(t *testing.T) {
	const (
		sqlite = "github.com/mattn/go-sqlite3"
		rapid  = "pgregory.net/rapid"
		zstd   = "github.com/klauspost/compress/zstd"
	)
	good := map[string]string{
		"es.go":                            source("es", "context", "./driver", "./internal/x", zstd),
		"es_test.go":                       source("es_test", ".", "./drivers/memory", "./internal/x"),
		"internal/x/x.go":                  source("x", "./driver"),
		"internal/estest/x_test.go":        source("estest", ".", rapid, "./conformance", "./drivers/sqlite"),
		"driver/driver.go":                 source("driver", "context"),
		"driver/sequencer/sequencer.go":    source("sequencer", "./driver"),
		"drivers/dynamodb/dynamodb.go":     source("dynamodb", "./driver", "./driver/sequencer"),
		"conformance/run.go":               source("conformance", "testing", "./driver", ".", rapid),
		"conformance/run_test.go":          source("conformance_test", "./drivers/memory"),
		"drivers/memory/memory.go":         source("memory", "./driver"),
		"drivers/sqlite/sqlite.go":         source("sqlite", "./driver", "./drivers/sqlite/sql"),
		"drivers/sqlite/cgo.go":            "//go:build cgo\n\n" + source("sqlite", sqlite),
		"drivers/sqlite/sql/sql.go":        source("sql"),
		"drivers/sqlite/sqlite_test.go":    source("sqlite_test", ".", sqlite),
		"drivers/sqlite/sqlitetest/x.go":   source("sqlitetest", "./conformance", "./drivers/sqlite"),
		"aggregate/aggregate.go":           source("aggregate", "."),
		"aggregate/aggregate_test.go":      source("aggregate_test", "./drivers/memory", "."),
		"cmd/es/main.go":                   source("main", ".", "./drivers/sqlite", "example.com/flags"),
		"examples/bank/main.go":            source("main", ".", "./drivers/sqlite", "./examples/bank/ledger"),
		"examples/bank/ledger/ledger.go":   source("ledger", "."),
		"testdata/x.go":                    source("x", "./cmd/es"),
		".cache/x.go":                      source("x", "./cmd/es"),
		"drivers/sqlite/testdata/a/b/c.go": source("c", rapid),
	}
	for _, row := range []struct {
		name, file, content string
		want                string // the first complaint; "" for none
	}{
		{"as it should be", "README.md", "", ""},
		{"es imports a driver", "open.go", source("es", "./drivers/sqlite"), "open.go imports github.com/go-es/es/drivers/sqlite: es may import internal, driver only"},
		{"es imports a driver behind a tag", "open.go", "//go:build x\n\n" + source("es", "./drivers/memory"), "open.go imports github.com/go-es/es/drivers/memory: es may import internal, driver only"},
		{"es imports what is above it", "open.go", source("es", "./aggregate"), "open.go imports github.com/go-es/es/aggregate: es may import internal, driver only"},
		{"driver imports es", "driver/x.go", source("driver", "."), "driver/x.go imports github.com/go-es/es: driver may import internal only"},
		{"a driver imports es", "drivers/memory/x.go", source("memory", "."), "drivers/memory/x.go imports github.com/go-es/es: drivers may import internal, driver, driver/sequencer only"},
		{"a driver imports another", "drivers/memory/x.go", source("memory", "./drivers/sqlite"), "drivers/memory/x.go imports github.com/go-es/es/drivers/sqlite: drivers may import internal, driver, driver/sequencer only"},
		{"a driver imports the suite", "drivers/memory/x.go", source("memory", "./conformance"), "drivers/memory/x.go imports github.com/go-es/es/conformance: drivers may import internal, driver, driver/sequencer only"},
		{"internal imports es", "internal/x/y.go", source("x", "."), "internal/x/y.go imports github.com/go-es/es: internal may import internal, driver only"},
		{"the suite imports a driver", "conformance/x.go", source("conformance", "./drivers/memory"), "conformance/x.go imports github.com/go-es/es/drivers/memory: conformance may import internal, driver, es only"},
		{"aggregate looks below es", "aggregate/x.go", source("aggregate", "./driver"), "aggregate/x.go imports github.com/go-es/es/driver: aggregate may import internal, es only"},
		{"a new layer", "relay/relay.go", source("relay", "."), "relay/relay.go imports github.com/go-es/es: relay is no layer yet: give it a line in mayImport"},
		{"a program is imported", "x.go", source("es", "./cmd/es"), "x.go imports github.com/go-es/es/cmd/es: nothing imports a program"},
		{"an example is imported", "aggregate/x_test.go", source("aggregate_test", "./examples/bank/ledger"), "aggregate/x_test.go imports github.com/go-es/es/examples/bank/ledger: nothing imports a program"},
		{"an example imports another", "examples/shop/main.go", source("main", "./examples/bank/ledger"), "examples/shop/main.go imports github.com/go-es/es/examples/bank/ledger: nothing imports a program"},
		{"what is for tests is imported", "drivers/sqlite/x.go", source("sqlite", "./drivers/sqlite/sqlitetest"), "drivers/sqlite/x.go imports github.com/go-es/es/drivers/sqlite/sqlitetest: only tests import what is for tests"},
		{"a new dependency", "x.go", source("es", "example.com/x"), "x.go imports example.com/x: es may not"},
		{"a new dependency of a driver", "drivers/memory/x.go", source("memory", sqlite), "drivers/memory/x.go imports " + sqlite + ": drivers/memory may not"},
		{"a new dependency inside", "internal/x/y.go", source("x", "example.com/x"), "internal/x/y.go imports example.com/x: internal/x may not"},
		{"a test drags a module in", "x_test.go", source("es_test", rapid), "x_test.go imports " + rapid + ", and who uses github.com/go-es/es gets " + rapid + " with it"},
		{"a test drags a driver in", "x_test.go", source("es_test", "./drivers/sqlite"), "x_test.go imports github.com/go-es/es/drivers/sqlite, and who uses github.com/go-es/es gets " + sqlite + " with it"},
		{"a driver's test drags the suite in", "drivers/sqlite/x_test.go", source("sqlite_test", "./conformance"), "drivers/sqlite/x_test.go imports github.com/go-es/es/conformance, and who uses github.com/go-es/es/drivers/sqlite gets " + rapid + " with it"},
		{"a driver's test drags another client in", "drivers/sqlite/x_test.go", "//go:build !cgo\n\n" + source("sqlite_test", "modernc.org/sqlite"), "drivers/sqlite/x_test.go imports modernc.org/sqlite, and who uses github.com/go-es/es/drivers/sqlite gets modernc.org/sqlite with it"},
		{"an internal test drags a module in", "internal/x/x_test.go", source("x_test", rapid), "internal/x/x_test.go imports " + rapid + ", and who uses github.com/go-es/es gets " + rapid + " with it"},
		{"an internal test that nobody needs", "internal/y/y_test.go", source("y_test", rapid), ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			files := maps.Clone(good)
			if _, there := files[row.file]; there {
				t.Fatalf("%s is there already", row.file)
			}
			files[row.file] = row.content
			all, err := folders(tree(t, files))
			if err != nil {
				t.Fatal(err)
			}
			wrong := wrongImports(all)
			if row.want == "" && len(wrong) > 0 || row.want != "" && !slices.Contains(wrong, row.want) {
				t.Errorf("got  %s\nwant %s", strings.Join(wrong, "\n     "), row.want)
			}
		})
	}
}
