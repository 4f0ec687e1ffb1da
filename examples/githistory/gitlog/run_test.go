package gitlog

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestRunMerges(t *testing.T) {
	r := newRepo(t)
	r.write("f", "0\n")
	line := []string{r.commit()}
	var sides []string
	for i := range 8 {
		from := line[len(line)-1]
		// A branch whose commits lie in the future, then one in the past.
		r.clock += []int{100_000, -100_000}[i%2]
		r.write(fmt.Sprint("side ", i), "x\n")
		sides = append(sides, r.commit())
		r.write(fmt.Sprint("side ", i), "x\ny\n")
		sides = append(sides, r.commit())
		r.clock -= []int{100_000, -100_000}[i%2]
		r.at(from)
		if i%3 > 0 {
			r.clock -= 50
			r.write("f", fmt.Sprint(i, "\n"))
			line = append(line, r.commit())
		}
		r.write(fmt.Sprint("side ", i), "x\ny\n")
		line = append(line, r.commit(sides[len(sides)-1]))
	}

	whole := all(t, Run(t.Context(), r.dir, Options{}))
	var hashes []string
	for _, c := range whole {
		hashes = append(hashes, c.Hash)
	}
	if !slices.Equal(hashes, line) {
		t.Fatalf("got %v, want %v", hashes, line)
	}
	for i, hash := range line {
		got, err := collect(Run(t.Context(), r.dir, Options{After: hash}))
		if err != nil || len(got) != len(line)-1-i || len(got) > 0 && !reflect.DeepEqual(got, whole[i+1:]) {
			t.Errorf("after commit %d: %v, %v", i+1, got, err)
		}
	}
	for _, hash := range sides {
		r.wantRewritten(Options{After: hash}, line[len(line)-1])
	}
	r.wantRewritten(Options{After: strings.Repeat("1", 40)}, line[len(line)-1])
	r.wantRewritten(Options{After: strings.Repeat("1", 64)}, line[len(line)-1])
	r.wantRewritten(Options{After: line[4], Rev: line[3]}, line[3])
	r.wantRewritten(Options{After: line[len(line)-1], Rev: "HEAD^2"}, sides[len(sides)-1])

	got := all(t, Run(t.Context(), r.dir, Options{Rev: line[5], After: line[1]}))
	if !reflect.DeepEqual(got, whole[2:6]) {
		t.Errorf("from 3 to 6: %v", got)
	}

	// The last commit is amended.
	r.at(line[len(line)-2])
	r.write("f", "amended\n")
	r.wantRewritten(Options{After: line[len(line)-1]}, r.commit())
	// The main line is merged into a branch that becomes the main line.
	r.at(line[3])
	r.write("g", "g\n")
	r.commit()
	r.wantRewritten(Options{After: line[len(line)-1]}, r.commit(line[len(line)-1]))
}

func (r *testRepo) wantRewritten(opts Options, tip string) {
	r.t.Helper()
	commits, err := collect(Run(r.t.Context(), r.dir, opts))
	var rerr *RewrittenError
	if !errors.As(err, &rerr) || rerr.After != opts.After || rerr.Tip != tip || commits != nil {
		r.t.Errorf("%+v: %v, %v; want a RewrittenError with %s", opts, commits, err, tip)
	}
}

func TestRunRepositories(t *testing.T) {
	r := newRepo(t)
	for i := range 5 {
		r.write(fmt.Sprint(i), "x\n")
		r.commit()
	}
	whole := all(t, Run(t.Context(), r.dir, Options{}))

	t.Run("shallow", func(t *testing.T) {
		dir := t.TempDir()
		r.git("clone", "-q", "--bare", "--depth", "2", "file://"+r.dir, dir)
		got := all(t, Run(t.Context(), dir, Options{}))
		if len(got) != 2 || len(got[0].Changes) != 4 || got[0].Ordinal != 1 || got[1].Hash != whole[4].Hash || len(got[1].Changes) != 1 {
			t.Errorf("got %v", got)
		}
		_, err := collect(Run(t.Context(), dir, Options{After: whole[0].Hash}))
		var rerr *RewrittenError
		if !errors.As(err, &rerr) {
			t.Errorf("after a commit that is not there: %v", err)
		}
	})
	t.Run("worktree and submodule", func(t *testing.T) {
		super := newRepo(t)
		super.git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", r.dir, "sub")
		super.git("-C", "sub", "worktree", "add", "-q", "../tree", "HEAD~1")
		if got := all(t, Run(t.Context(), super.dir+"/sub", Options{})); !reflect.DeepEqual(got, whole) {
			t.Errorf("submodule: got %v", got)
		}
		if got := all(t, Run(t.Context(), super.dir+"/tree", Options{})); !reflect.DeepEqual(got, whole[:4]) {
			t.Errorf("worktree: got %v", got)
		}
	})
	t.Run("strange name", func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "-new\nline ")
		r.git("clone", "-q", r.dir, dir)
		t.Chdir(filepath.Dir(dir))
		if got := all(t, Run(t.Context(), filepath.Base(dir), Options{})); !reflect.DeepEqual(got, whole) {
			t.Errorf("got %v", got)
		}
	})
	t.Run("no files", func(t *testing.T) {
		r := newRepo(t)
		want := []Commit{{Ordinal: 1, Hash: r.commit(), Time: time.Unix(int64(r.clock), 0).UTC()}}
		if got := all(t, Run(t.Context(), r.dir, Options{})); !reflect.DeepEqual(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
		if tree, err := Tree(t.Context(), r.dir, ""); tree != nil || err != nil {
			t.Errorf("got %v, %v", tree, err)
		}
	})
	t.Run("bad dates", func(t *testing.T) {
		for _, date := range []string{"", " x +0000", " 99999999999999999999999 +0000"} {
			commit := fmt.Sprintf("tree %s\nparent %s\nauthor a <a@b> 1 +0000\ncommitter a <a@b>%s\n\n", r.git("rev-parse", "HEAD^{tree}"), whole[4].Hash, date)
			hash := strings.TrimSpace(r.pipe(commit, "hash-object", "-t", "commit", "--literally", "-w", "--stdin"))
			got := all(t, Run(t.Context(), r.dir, Options{Rev: hash, After: whole[4].Hash}))
			if len(got) != 1 || got[0].Hash != hash || !got[0].Time.IsZero() || got[0].Ordinal != 6 {
				t.Errorf("%q: got %v", date, got)
			}
		}
	})
}

func TestRunErrors(t *testing.T) {
	empty := newRepo(t)
	good := newRepo(t)
	good.write("f", "f\n")
	commit := good.commit()
	blob := good.blob("f\n")
	orphan := newRepo(t)
	orphan.commit()
	orphan.git("symbolic-ref", "HEAD", "refs/heads/unborn")
	broken := newRepo(t)
	broken.write("f", "f\n")
	broken.commit()
	broken.write("f", "g\n")
	object := broken.git("rev-parse", broken.commit()+":f")
	if err := os.Remove(filepath.Join(broken.dir, ".git/objects", object[:2], object[2:])); err != nil {
		t.Fatal(err)
	}
	none := t.TempDir()
	t.Setenv("GIT_CEILING_DIRECTORIES", filepath.Dir(none))

	for _, tt := range []struct {
		name, dir string
		opts      Options
		is        error
		want      string
		commits   int
		tree      bool // Tree fails in the same way
	}{
		{"empty", empty.dir, Options{}, ErrNoCommits, "no commits yet", 0, true},
		{"orphan", orphan.dir, Options{Rev: "HEAD"}, ErrNoCommits, "no commits yet", 0, true},
		{"empty, other revision", empty.dir, Options{Rev: "main"}, nil, `"main"`, 0, true},
		{"no repository", none, Options{}, ErrNoRepository, none, 0, true},
		{"no directory", filepath.Join(none, "x"), Options{}, nil, "No such file", 0, true},
		{"no revision", good.dir, Options{Rev: "nope"}, nil, `"nope"`, 0, true},
		{"option", good.dir, Options{Rev: "--all"}, nil, "looks like an option", 0, true},
		{"excluded", good.dir, Options{Rev: "^HEAD"}, nil, "not one", 0, true},
		{"range", good.dir, Options{Rev: "HEAD..HEAD"}, nil, `"HEAD..HEAD"`, 0, true},
		{"blob", good.dir, Options{Rev: blob}, nil, blob, 0, true},
		{"NUL", good.dir, Options{Rev: "HEAD\x00"}, nil, "invalid argument", 0, true},
		{"bad after", good.dir, Options{After: commit[:12]}, nil, "40 or 64 hex digits", 0, false},
		{"broken", broken.dir, Options{}, nil, "unable to read " + object, 1, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			check := func(err error) {
				t.Helper()
				if err == nil || !strings.HasPrefix(err.Error(), "gitlog: ") || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("%v; want %q", err, tt.want)
				}
				for _, typed := range []error{ErrNoCommits, ErrNoRepository} {
					if errors.Is(err, typed) != (tt.is == typed) {
						t.Errorf("%v is %v: %t", err, typed, tt.is != typed)
					}
				}
			}
			commits, err := collect(Run(t.Context(), tt.dir, tt.opts))
			check(err)
			if len(commits) > tt.commits {
				t.Errorf("%d commits, want at most %d", len(commits), tt.commits)
			}
			if tt.tree {
				tree, err := Tree(t.Context(), tt.dir, tt.opts.Rev)
				check(err)
				if tree != nil {
					t.Errorf("got %v", tree)
				}
			}
		})
	}
}
