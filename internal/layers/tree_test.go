// Package layers holds the project to its shape: who may import whom, what a
// program that uses it drags in, that every package has an example, and that the
// README does what it says.
package layers_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/go-es/es"

// root returns the folder of go.mod.
func root(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(dir, "go.mod"))
	if err != nil || !strings.Contains(string(b), "module "+module+"\n") {
		t.Fatalf("%s is not the root of %s: %v", dir, module, err)
	}
	return dir
}

// A folder is one that holds Go files. All of them count, whatever their build
// tags say.
type folder struct {
	dir   string // relative to the root, "." for the root
	main  bool   // a program
	code  []file
	tests []file
}

type file struct {
	name    string // relative to the root
	syntax  *ast.File
	imports []string
}

// folders returns the folders below root by their name.
func folders(root string) (map[string]*folder, error) {
	all := map[string]*folder{}
	return all, filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(root, name)
		rel = filepath.ToSlash(rel)
		if d.IsDir() {
			base := d.Name()
			if rel != "." && (strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_") || base == "testdata") {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(rel, ".go") {
			return nil
		}
		syntax, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
		if err != nil {
			return err
		}
		f := file{name: rel, syntax: syntax}
		for _, spec := range syntax.Imports {
			p, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			f.imports = append(f.imports, p)
		}
		dir := path.Dir(rel)
		in := all[dir]
		if in == nil {
			in = &folder{dir: dir}
			all[dir] = in
		}
		if strings.HasSuffix(rel, "_test.go") {
			in.tests = append(in.tests, f)
		} else {
			in.code = append(in.code, f)
			in.main = in.main || syntax.Name.Name == "main"
		}
		return nil
	})
}

// own returns the folder of this module that an import path names.
func own(importPath string) (dir string, ok bool) {
	if importPath == module {
		return ".", true
	}
	return strings.CutPrefix(importPath, module+"/")
}

// within reports whether dir is top or below it.
func within(dir, top string) bool { return dir == top || strings.HasPrefix(dir, top+"/") }

// isStandard reports whether the import path is one of the standard library.
func isStandard(importPath string) bool {
	first, _, _ := strings.Cut(importPath, "/")
	return !strings.Contains(first, ".")
}

// forTests reports whether a folder is there for tests alone: nobody imports it.
func forTests(dir string) bool { return strings.HasSuffix(path.Base(dir), "test") }

// isInternal reports whether users cannot import the folder.
func isInternal(dir string) bool { return slices.Contains(strings.Split(dir, "/"), "internal") }

// isProgram reports whether the folder belongs to the programs.
func isProgram(dir string) bool { return within(dir, "cmd") || within(dir, "examples") }

// isPublic reports whether users import the folder.
func (f *folder) isPublic() bool {
	return len(f.code) > 0 && !f.main && !isInternal(f.dir) && !isProgram(f.dir) && !forTests(f.dir)
}

// public returns the folders that users import, sorted.
func public(all map[string]*folder) (out []*folder) {
	for _, f := range all {
		if f.isPublic() {
			out = append(out, f)
		}
	}
	slices.SortFunc(out, func(a, b *folder) int { return strings.Compare(a.dir, b.dir) })
	return out
}

// report fails the test with all that is wrong.
func report(t *testing.T, wrong []string, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range wrong {
		t.Error(w)
	}
}

// tree writes files, by name, below a new folder.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		name = filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// source is a Go file of a package that imports paths; "./x" is a folder of this
// module.
func source(pkg string, paths ...string) string {
	s := "package " + pkg + "\n"
	for _, p := range paths {
		if p == "." {
			p = module
		} else if rest, ok := strings.CutPrefix(p, "./"); ok {
			p = module + "/" + rest
		}
		s += fmt.Sprintf("import _ %q\n", p)
	}
	return s
}
