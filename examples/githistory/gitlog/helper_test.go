package gitlog

import (
	"bytes"
	"cmp"
	"fmt"
	"iter"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// TestMain keeps the user's configuration away from git, here and in Run.
func TestMain(m *testing.M) {
	for _, kv := range [][2]string{
		{"GIT_CONFIG_GLOBAL", "/dev/null"}, {"GIT_CONFIG_NOSYSTEM", "1"},
		{"GIT_AUTHOR_NAME", "a"}, {"GIT_AUTHOR_EMAIL", "a@example.org"}, {"GIT_AUTHOR_DATE", "1000000000 +0000"},
		{"GIT_COMMITTER_NAME", "c"}, {"GIT_COMMITTER_EMAIL", "c@example.org"}, {"GIT_COMMITTER_DATE", "1000000000 +0000"},
	} {
		os.Setenv(kv[0], kv[1])
	}
	os.Exit(m.Run())
}

// testRepo is a repository whose commits are made through the index alone, so
// that paths may be whatever git can hold.
type testRepo struct {
	t     *testing.T
	dir   string
	clock int
	none  string // the hash of what is not there

	written string            // directory for contents
	waiting []string          // files there that wait for hash-object
	index   [][2]string       // paths and entries that wait for update-index
	staged  map[string]string // what the index held at some time
}

func newRepo(t *testing.T, options ...string) *testRepo {
	t.Helper()
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip("there is no git")
	}
	r := &testRepo{t: t, dir: t.TempDir(), clock: 1_500_000_000, written: t.TempDir(), staged: make(map[string]string)}
	r.git(append([]string{"init", "-q", "-b", "main"}, options...)...)
	r.none = strings.Repeat("0", len(r.blob("")))
	return r
}

// git runs git in the repository and returns its output without the newline
// at its end.
func (r *testRepo) git(args ...string) string {
	r.t.Helper()
	return strings.TrimSuffix(r.pipe("", args...), "\n")
}

func (r *testRepo) pipe(stdin string, args ...string) string {
	r.t.Helper()
	cmd := exec.Command("git", append([]string{"-C", r.dir}, args...)...)
	cmd.Env = append(os.Environ(), fmt.Sprintf("GIT_COMMITTER_DATE=%d +0200", r.clock))
	cmd.Stdin = strings.NewReader(stdin)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		r.t.Fatalf("git %q: %v\n%s", args, err, &stderr)
	}
	return string(out)
}

// blob stores contents.
func (r *testRepo) blob(contents string) string {
	r.t.Helper()
	return strings.TrimSpace(r.pipe(contents, "hash-object", "-w", "--stdin"))
}

// put stages a file with the object.
func (r *testRepo) put(mode Mode, object, path string) {
	r.stage(path, fmt.Sprintf("%v %s", mode, object))
}

// write stages an ordinary file.
func (r *testRepo) write(path, contents string) {
	r.t.Helper()
	name := fmt.Sprintf("%s/%d", r.written, len(r.waiting))
	if err := os.WriteFile(name, []byte(contents), 0o600); err != nil {
		r.t.Fatal(err)
	}
	r.stage(path, name)
	r.waiting = append(r.waiting, name)
}

// remove stages that a file is gone.
func (r *testRepo) remove(path string) { r.stage(path, "0 "+r.none) }

// move stages a rename of what was committed.
func (r *testRepo) move(from, to string) {
	r.t.Helper()
	entry, ok := r.staged[from]
	if !ok {
		r.t.Fatalf("%q is not in the index", from)
	}
	r.remove(from)
	r.stage(to, entry)
}

// stage notes what to put into the index: mode and object, or the name of a
// file that holds the contents.
func (r *testRepo) stage(path, entry string) {
	r.index = append(r.index, [2]string{path, entry})
}

// flush brings the index up to date.
func (r *testRepo) flush() {
	r.t.Helper()
	if len(r.waiting) > 0 {
		hashes := strings.Fields(r.pipe(strings.Join(r.waiting, "\n")+"\n", "hash-object", "-w", "--no-filters", "--stdin-paths"))
		for i, e := range r.index {
			if n := slices.Index(r.waiting, e[1]); n >= 0 {
				r.index[i][1] = ModeFile.String() + " " + hashes[n]
			}
		}
		r.waiting = nil
	}
	if len(r.index) > 0 {
		var info strings.Builder
		for _, e := range r.index {
			fmt.Fprintf(&info, "%s\t%s\x00", e[1], e[0])
			r.staged[e[0]] = e[1]
		}
		r.pipe(info.String(), "update-index", "-z", "--index-info")
		r.index = nil
	}
}

// commit commits the index on top of HEAD, with more parents if given, and
// returns the hash.
func (r *testRepo) commit(others ...string) string {
	r.t.Helper()
	r.flush()
	args := []string{"commit-tree", r.git("write-tree"), "-m", "a message\n\n:100644 with lines\n@that look like\n1\t2\tothers"}
	if cmd := exec.Command("git", "-C", r.dir, "rev-parse", "-q", "--verify", "HEAD"); cmd.Run() == nil {
		args = append(args, "-p", "HEAD")
	}
	for _, p := range others {
		args = append(args, "-p", p)
	}
	r.clock += 10
	hash := r.git(args...)
	r.git("update-ref", "HEAD", hash)
	return hash
}

// at puts HEAD and the index to a commit, detached.
func (r *testRepo) at(hash string) {
	r.t.Helper()
	r.git("update-ref", "--no-deref", "HEAD", hash)
	r.git("read-tree", hash)
}

// log returns what the documented command prints, with more options.
func (r *testRepo) log(more ...string) string {
	r.t.Helper()
	args := []string{"log", "--first-parent", "-m", "--reverse", "--raw", "--numstat", "--no-abbrev", "-M", "--format=@%H %ct"}
	return r.pipe("", append(append(args, more...), "HEAD", "--")...)
}

// all returns all commits of a sequence that has no error.
func all(t *testing.T, seq iter.Seq2[Commit, error]) []Commit {
	t.Helper()
	commits, err := collect(seq)
	if err != nil {
		t.Fatal(err)
	}
	return commits
}

// collect returns the commits before the first error, and the error.
func collect(seq iter.Seq2[Commit, error]) (commits []Commit, err error) {
	for c, err := range seq {
		if err != nil {
			return commits, err
		}
		commits = append(commits, c)
	}
	return commits, nil
}

// file is what a replay knows about a path.
type file struct {
	Entry
	lines  int
	binary bool
}

// files is the state between two commits of a replay.
type files map[string]file

// apply applies the changes of a commit and checks that they fit.
func (fs files) apply(c Commit) error {
	olds := make([]file, len(c.Changes))
	for i, ch := range c.Changes {
		if ch.Status == Added {
			continue
		}
		old, ok := fs[ch.OldPath]
		if !ok || old.Mode != ch.OldMode || old.Blob != ch.OldBlob {
			return fmt.Errorf("commit %d: %c %q does not fit %v", c.Ordinal, ch.Status, ch.OldPath, old)
		}
		olds[i] = old
	}
	for _, ch := range c.Changes {
		if ch.Status != Added && ch.Status != Copied {
			delete(fs, ch.OldPath)
		}
	}
	for i, ch := range c.Changes {
		f := file{
			Entry:  Entry{Mode: ch.NewMode, Blob: ch.NewBlob, Path: ch.Path},
			lines:  olds[i].lines + ch.Added - ch.Removed,
			binary: olds[i].binary || ch.Binary,
		}
		if f.lines < 0 && !f.binary {
			return fmt.Errorf("commit %d: %q has %d lines", c.Ordinal, ch.Path, f.lines)
		}
		if ch.Status == Deleted {
			if f.lines != 0 && !f.binary {
				return fmt.Errorf("commit %d: %q has %d lines when it is deleted", c.Ordinal, ch.Path, f.lines)
			}
			continue
		}
		if _, ok := fs[ch.Path]; ok {
			return fmt.Errorf("commit %d: %q is there already", c.Ordinal, ch.Path)
		}
		fs[ch.Path] = f
	}
	return nil
}

// tree returns the files in git's order.
func (fs files) tree() []Entry {
	var tree []Entry
	for _, f := range fs {
		tree = append(tree, f.Entry)
	}
	slices.SortFunc(tree, func(a, b Entry) int { return cmp.Compare(a.Path, b.Path) })
	return tree
}

// printZ prints commits as git does with -z.
func printZ(commits []Commit) []byte {
	var b bytes.Buffer
	for _, c := range commits {
		fmt.Fprintf(&b, "@%s ", c.Hash)
		if !c.Time.IsZero() {
			fmt.Fprint(&b, c.Time.Unix())
		}
		b.WriteByte(0)
		for i, ch := range c.Changes {
			none := strings.Repeat("0", len(c.Hash))
			if i == 0 {
				b.WriteByte('\n')
			}
			fmt.Fprintf(&b, ":%v %v %s %s %v", ch.OldMode, ch.NewMode,
				cmp.Or(ch.OldBlob, none), cmp.Or(ch.NewBlob, none), ch.Status)
			if ch.Status == Renamed || ch.Status == Copied {
				fmt.Fprintf(&b, "%03d\x00%s", ch.Score, ch.OldPath)
			}
			fmt.Fprintf(&b, "\x00%s\x00", ch.Path)
		}
		for _, ch := range c.Changes {
			if ch.Binary {
				b.WriteString("-\t-\t")
			} else {
				fmt.Fprintf(&b, "%d\t%d\t", ch.Added, ch.Removed)
			}
			if ch.Status == Renamed || ch.Status == Copied {
				fmt.Fprintf(&b, "\x00%s\x00", ch.OldPath)
			}
			fmt.Fprintf(&b, "%s\x00", ch.Path)
		}
	}
	return b.Bytes()
}
