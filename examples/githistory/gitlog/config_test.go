package gitlog

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// TestRunConfig checks that nothing a user can configure changes the result.
func TestRunConfig(t *testing.T) {
	r := hostileRepo(t)
	want := all(t, Run(t.Context(), r.dir, Options{}))
	wantTree, err := Tree(t.Context(), r.dir, "HEAD~2")
	if err != nil {
		t.Fatal(err)
	}

	dir := t.TempDir()
	config, attributes := filepath.Join(dir, "config"), filepath.Join(dir, "attributes")
	write := func(name, contents string) {
		t.Helper()
		if err := os.WriteFile(name, []byte(contents), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(filepath.Join(dir, "order"), "*z*\n*a*\n")
	write(attributes, "* -diff\n")
	write(filepath.Join(r.dir, ".gitattributes"), "* binary\n")
	r.git("read-tree", "HEAD")
	r.git("add", ".gitattributes") // git takes them from the index as well
	write(config, `
[diff]
	renames = copies
	renameLimit = 1
	algorithm = patience
	external = false
	noprefix = true
	relative = true
	submodule = log
	ignoreSubmodules = all
	orderFile = `+filepath.Join(dir, "order")+`
	mnemonicPrefix = true
	context = 0
	dirstat = lines
	colorMoved = zebra
	suppressBlankEmpty = true
	statGraphWidth = 3
[diff "odd"]
	textconv = false
	command = false
	binary = true
[log]
	showRoot = false
	showSignature = true
	diffMerges = combined
	abbrevCommit = true
	date = iso
	decorate = full
	follow = true
	mailmap = true
[core]
	quotePath = false
	abbrev = 5
	attributesFile = `+attributes+`
	bigFileThreshold = 3
	pager = false
[color]
	ui = always
	diff = always
[format]
	pretty = fuller
[notes]
	displayRef = *
[i18n]
	logOutputEncoding = UTF-16
[submodule "sub module"]
	path = sub module
	ignore = all
`)
	other := newRepo(t) // what the environment points to
	other.commit()
	for k, v := range map[string]string{
		"GIT_CONFIG_GLOBAL": config, "GIT_DIR": other.dir + "/.git", "GIT_WORK_TREE": other.dir, "GIT_INDEX_FILE": "none",
		"GIT_EXTERNAL_DIFF": "false", "GIT_DIFF_OPTS": "-u0", "GIT_OBJECT_DIRECTORY": "none", "GIT_NAMESPACE": "x", "GIT_PREFIX": "x",
	} {
		t.Setenv(k, v)
	}
	t.Chdir(r.dir) // where git would look for attributes
	got := all(t, Run(t.Context(), ".", Options{}))
	if !reflect.DeepEqual(got, want) {
		t.Error("the commits differ")
		for i := range min(len(got), len(want)) {
			if !reflect.DeepEqual(got[i], want[i]) {
				t.Fatalf("commit %d:\n got %v\nwant %v", i+1, got[i], want[i])
			}
		}
	}
	sub := filepath.Join(r.dir, "sub")
	if err := os.Mkdir(sub, 0o700); err != nil {
		t.Fatal(err)
	}
	if got := all(t, Run(t.Context(), sub, Options{})); !reflect.DeepEqual(got, want) {
		t.Error("the commits differ in a subdirectory")
	}
	if got, err := Tree(t.Context(), sub, "HEAD~2"); err != nil || !slices.Equal(got, wantTree) {
		t.Errorf("the tree differs: %v", err)
	}
}

func TestRunReplaced(t *testing.T) {
	r := newRepo(t)
	r.write("f", "1\n")
	first := r.commit()
	r.write("f", "2\n")
	second := r.commit()
	r.git("replace", second, first)
	got := all(t, Run(t.Context(), r.dir, Options{}))
	if len(got) != 2 || got[0].Hash != first || got[1].Hash != second {
		t.Errorf("got %v", got)
	}
}

func TestRunRenameLimit(t *testing.T) {
	r := newRepo(t)
	const n = 30
	contents := func(i int) string { return strings.Repeat(fmt.Sprint("file ", i, "\n"), 20) }
	for i := range n {
		r.write(fmt.Sprint("from/", i), contents(i))
	}
	r.commit()
	for i := range n {
		r.remove(fmt.Sprint("from/", i))
		r.write(fmt.Sprint("to/", i+n), contents(i)+"more\n")
	}
	r.commit()
	for limit, want := range map[int]int{0: n, n: n, -1: n, 2: 2 * n} {
		got := all(t, Run(t.Context(), r.dir, Options{RenameLimit: limit}))
		if len(got) != 2 || len(got[1].Changes) != want {
			t.Errorf("limit %d: %d changes, want %d", limit, len(got[1].Changes), want)
		}
	}
}
