package gitlog

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// hostile are paths that are hard to print, to split and to tell apart.
var hostile = []string{
	"new\nline", "tab\tbed", `quo"te`, `back\slash`, `"`, `"quoted"`, `\`, "\n", "\r", "cr\r", "bell\a\b\v\f\x1b\x7f\x01",
	"caf\u00e9/\u65e5\u672c", "latin-\xe9", "\xff\xfe", "\xc3", " leading", "trailing ", " ", "dir / file", "in/ /between",
	" => ", "a => b", "a => b => c", "{a => b}", "{a => b}/c", "x/{a => b}/y", "x/{ => b}/y", "{", "}", "{}", "x/{y", "x}/y",
	`"a" => "b"`, "=>", ":colon", ":000000 100644", "@at", "@" + strings.Repeat("a", 40) + " 1", "-", "-dash", "--", "-\t-\tx",
	"1\t2\tx", "\n:100644", "\n@at", "*.[ch]", ":(top)x", "#", "...", strings.Repeat("long", 75), strings.Repeat("d/", 200) + "deep",
}

// hostileRepo has a history with all that changes files in all ways.
func hostileRepo(t *testing.T, options ...string) *testRepo {
	r := newRepo(t, options...)
	text := func(i, lines int) string {
		var b strings.Builder
		for j := range lines {
			fmt.Fprintf(&b, "file %d line %d\n", i, j)
		}
		return b.String()
	}
	r.write("root", "root\n")
	r.commit()
	for i, path := range hostile {
		r.write(path, text(i, 5+i))
	}
	r.commit()
	r.commit()                     // nothing changes
	for i, path := range hostile { // contents and mode
		r.put([]Mode{ModeFile, ModeExecutable}[i%2], r.blob(text(i, 6+i)), path)
	}
	r.commit()
	for i, path := range hostile { // unchanged, changed, and into each other's directories
		r.move(path, hostile[(i+7)%len(hostile)]+".moved/"+path)
	}
	r.commit()
	for i, path := range hostile {
		r.remove(hostile[(i+7)%len(hostile)] + ".moved/" + path)
		r.write("moved/"+hostile[(i+11)%len(hostile)], text(i, 4+i)+"and more\n")
	}
	r.commit()
	for _, path := range hostile[:len(hostile)/2] {
		r.remove("moved/" + path)
	}
	r.commit()
	for i, path := range hostile { // added again, some with a file's old contents
		r.write("moved/"+path, text(i, 6+i))
	}
	r.commit()

	// Renames within directories, for the braces.
	base := "a/b/c/d"
	r.write(base, text(1000, 30))
	r.commit()
	for i, to := range []string{"a/c/d", "a/b/c/d", "b/c/d", "x/b/c/d", "x/b/b/c/d", "x/b/c/d", "x/b/c/d/d", "d", "a/{b => c}/d", "a/{ => b}/d", "a/d"} {
		r.remove(base)
		r.write(to, text(1000, 30+i))
		r.commit()
		base = to
	}

	// Types, binary files and the like.
	target := "text without newline"
	r.write("type", target)
	r.write("binary", "\x00\x01")
	r.write("turns", text(2000, 9))
	r.write("empty", "")
	r.write("lacks", "a\nb")
	r.put(ModeSubmodule, r.git("rev-parse", "HEAD"), "sub module")
	r.commit()
	r.put(ModeSymlink, r.blob(target), "type") // same contents
	r.write("turns", "\x00"+text(2000, 9))
	r.put(ModeExecutable, r.blob("\x00\x01"), "binary")
	r.put(ModeExecutable, r.blob(""), "empty")
	r.write("lacks", "a\nb\n")
	r.put(ModeSubmodule, r.git("rev-parse", "HEAD"), "sub module")
	r.commit()
	r.remove("type")
	r.write("type/is now/a directory", "x\n")
	r.write("turns", text(2000, 10))
	r.move("binary", "moved binary")
	r.move("empty", "moved empty")
	r.put(ModeSymlink, r.blob("elsewhere"), "sub module")
	r.commit()
	r.remove("type/is now/a directory")
	r.write("type", "a file again\n")
	r.put(ModeSubmodule, r.git("rev-parse", "HEAD"), "lacks")
	r.remove("moved empty")
	r.remove("turns")
	r.commit()

	// A merge that takes in what two commits did.
	main := r.git("rev-parse", "HEAD")
	r.move("type", "side")
	r.commit()
	r.write("side 2", "2\n")
	side := r.commit()
	r.at(main)
	r.write("main", "main\n")
	r.commit()
	r.move("type", "side")
	r.write("side 2", "2\n")
	r.commit(side)
	r.commit(main) // a merge that changes nothing

	r.pipe("", "rm", "-r", "-q", "--cached", ".")
	r.commit() // all is deleted
	r.write("last", "last\n")
	r.commit()
	return r
}

// TestHostile checks that all forms of a log give the same commits, and that
// these give the tree at each commit.
func TestHostile(t *testing.T) {
	for _, format := range []string{"sha1", "sha256"} {
		t.Run(format, func(t *testing.T) {
			r := hostileRepo(t, "--object-format="+format)
			commits := all(t, Run(t.Context(), r.dir, Options{}))
			for form, log := range map[string]string{
				"text":           r.log(),
				"text, unquoted": r.pipe("", "-c", "core.quotePath=false", "log", "--first-parent", "-m", "--reverse", "--raw", "--numstat", "--no-abbrev", "-M", "--format=@%H %ct", "HEAD"),
				"z":              r.log("-z"),
				"printed":        string(printZ(commits)),
			} {
				got, err := collect(Parse(strings.NewReader(log)))
				if err != nil {
					t.Errorf("%s: %v", form, err)
				} else if !reflect.DeepEqual(got, commits) {
					t.Errorf("%s: the commits differ", form)
				}
			}

			fs := make(files)
			counts := make(map[Status]int)
			for _, c := range commits {
				if err := fs.apply(c); err != nil {
					t.Fatal(err)
				}
				for _, ch := range c.Changes {
					counts[ch.Status]++
				}
				want, err := Tree(t.Context(), r.dir, c.Hash)
				if err != nil {
					t.Fatal(err)
				}
				if !slices.Equal(fs.tree(), want) {
					t.Fatalf("the tree at commit %d differs", c.Ordinal)
				}
				text, err := ReadTree(strings.NewReader(r.pipe("", "ls-tree", "-r", c.Hash)))
				if err != nil || !slices.Equal(text, want) {
					t.Fatalf("the tree at commit %d differs as text: %v", c.Ordinal, err)
				}
				r.checkLines(fs)
			}
			for _, s := range []Status{Added, Deleted, Modified, Renamed, TypeChanged} {
				if counts[s] < 3 {
					t.Errorf("%d changes of status %v", counts[s], s)
				}
			}
			if n := len(commits); n != 29 || len(commits[0].Changes) != 1 || commits[2].Changes != nil || commits[n-3].Changes != nil {
				t.Errorf("%d commits", n)
			}
			if at := commits[3].Time; at.Unix() != 1_500_000_040 {
				t.Errorf("the time is %v", at)
			}
		})
	}
}

// checkLines compares the lines of files with their contents.
func (r *testRepo) checkLines(fs files) {
	r.t.Helper()
	var some []file
	for _, f := range fs {
		if len(fs) < 20 && f.Mode != ModeSubmodule && !f.binary {
			some = append(some, f)
		}
	}
	var ask strings.Builder
	for _, f := range some {
		fmt.Fprintln(&ask, f.Blob)
	}
	out := r.pipe(ask.String(), "cat-file", "--batch")
	for _, f := range some {
		head, rest, _ := strings.Cut(out, "\n")
		var size int
		fmt.Sscanf(head, f.Blob+" blob %d", &size)
		text := rest[:size]
		out = rest[size+1:]
		lines := strings.Count(text, "\n")
		if text != "" && !strings.HasSuffix(text, "\n") {
			lines++
		}
		if f.lines != lines {
			r.t.Errorf("%q has %d lines, counted %d", f.Path, lines, f.lines)
		}
	}
}
