package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-es/es"
	"github.com/go-es/es/driver"
	"github.com/go-es/es/drivers/memory"
	"github.com/go-es/es/examples/githistory/gitlog"
	"github.com/go-es/es/internal/cgo"
)

const (
	recordedLog     = "testdata/eventsourcing-history.log.gz"
	recordedTree    = "testdata/eventsourcing-tree.txt.gz"
	recordedTree800 = "testdata/eventsourcing-tree-at-commit-800.txt.gz"
)

// TestMain lets a test start this program: the test binary is it as well.
func TestMain(m *testing.M) {
	cgo.OrExit()
	if os.Getenv("GITHISTORY_RUN") != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

func program(args ...string) *exec.Cmd {
	exe, err := os.Executable()
	if err != nil {
		panic(err)
	}
	cmd := exec.Command(exe, args...)
	cmd.Env = append(os.Environ(), "GITHISTORY_RUN=1")
	return cmd
}

// runs runs the program within this process, and fails the test if it fails.
func runs(t *testing.T, args ...string) string {
	t.Helper()
	var out bytes.Buffer
	if err := run(t.Context(), args, &out, io.Discard); err != nil {
		t.Fatalf("githistory %v: %v\n%s", args, err, out.String())
	}
	return out.String()
}

func contains(t *testing.T, out string, want ...string) {
	t.Helper()
	for _, w := range want {
		if !strings.Contains(out, w) {
			t.Errorf("the output has no %q:\n%s", w, out)
		}
	}
}

func TestRecordedHistory(t *testing.T) {
	store := "sqlite:" + filepath.Join(t.TempDir(), "history.db")
	out := runs(t, "-store", store, "-log", recordedLog, "-tree", recordedTree)
	contains(t, out,
		"imported  1644 commits with 6817 changes",
		"stored    8461 events in 551 streams",
		"rebuilt   208 files from 6817 changes at commit 1644",
		"37858 lines, 5 binary files left out",
		"PROVED    all 208 files equal git's tree")

	out = runs(t, "-store", store, "-log", recordedLog, "-tree", recordedTree800, "-at", "800")
	contains(t, out,
		"imported  0 commits with 0 changes",
		"stored    8461 events in 551 streams",
		"rebuilt   243 files",
		"at commit 800 (b0990316192e)",
		"PROVED    all 243 files equal git's tree")

	// The proof can fail: this is the tree of another commit.
	err := run(t.Context(), []string{"-store", store, "-log", recordedLog, "-tree", recordedTree800}, io.Discard, io.Discard)
	if err == nil || !strings.Contains(err.Error(), "NOT PROVED") {
		t.Errorf("compared with the wrong tree: %v", err)
	}
}

// TestKilled kills the program again and again while it imports. What it had
// done stays, and in the end nothing is missing or there twice.
func TestKilled(t *testing.T) {
	for _, extra := range [][]string{nil, {"-encrypt", filepath.Join(t.TempDir(), "keys")}} {
		args := append([]string{"-q", "-store", "sqlite:" + filepath.Join(t.TempDir(), "history.db"), "-log", recordedLog, "-tree", recordedTree}, extra...)
		killed := 0
		for {
			cmd := program(args...)
			var out bytes.Buffer
			cmd.Stdout, cmd.Stderr = &out, &out
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			if killed < 12 {
				time.AfterFunc(50*time.Millisecond+rand.N(150*time.Millisecond), func() { cmd.Process.Kill() })
			}
			err := cmd.Wait()
			if err == nil {
				contains(t, out.String(), "stored    8461 events in 551 streams", "PROVED    all 208 files")
				break
			}
			if cmd.ProcessState.Exited() {
				t.Fatalf("after %d kills: %v\n%s", killed, err, out.String())
			}
			killed++
		}
		t.Logf("killed %d times", killed)
		if killed < 3 {
			t.Errorf("killed only %d times: the import is too fast for this test", killed)
		}
		contains(t, runs(t, args...), "imported  0 commits", "PROVED    all 208 files")
	}
}

// limited is a store with limits of our choice, which fails at an append of our
// choice, before it or after.
type limited struct {
	driver.Store
	driver.CheckpointStore
	driver.SnapshotStore
	caps   driver.Caps
	left   int // appends until the failure
	after  bool
	append int // so many
}

var errStop = errors.New("stopped on purpose")

func (l *limited) Caps() driver.Caps { return l.caps }

func (l *limited) Append(ctx context.Context, req driver.AppendRequest) (driver.AppendResult, error) {
	if l.left--; l.left == 0 && !l.after {
		return driver.AppendResult{}, errStop
	}
	out, err := l.Store.Append(ctx, req)
	if l.left == 0 && err == nil {
		err = errStop
	}
	if err == nil {
		l.append++
	}
	return out, err
}

// TestAboveLimits imports commits that are too large for one append, and stops
// at each append, before it and after it: what is there already is recognised.
func TestAboveLimits(t *testing.T) {
	var history []gitlog.Commit
	for c, err := range gitlog.ParseFile(recordedLog) {
		if err != nil {
			t.Fatal(err)
		}
		if history = append(history, c); len(history) == 40 {
			break
		}
	}
	changes := 0
	for _, c := range history {
		changes += len(c.Changes)
	}
	for name, caps := range map[string]driver.Caps{
		"one stream":    {PositionOnAppend: true, FilterFeed: true},
		"three streams": {MaxStreams: 3, PositionOnAppend: true, FilterFeed: true},
		"five events":   {MaxStreams: 100, MaxAppendEvents: 5, PositionOnAppend: true, FilterFeed: true},
		"1500 bytes":    {MaxStreams: 100, MaxAppendBytes: 1500, PositionOnAppend: true, FilterFeed: true},
	} {
		t.Run(name, func(t *testing.T) {
			mem := memory.New()
			l := &limited{Store: mem, CheckpointStore: mem, SnapshotStore: mem, caps: caps}
			store, err := es.New(l)
			if err != nil {
				t.Fatal(err)
			}
			defer store.Close()
			for stop := 1; ; stop++ {
				l.left, l.after = stop/2+1, stop%2 == 0
				im, err := newImporter(t.Context(), store)
				if err == nil {
					err = im.run(t.Context(), sequence(history), func(CommitImported) {})
				}
				if err == nil {
					break
				}
				if !errors.Is(err, errStop) {
					t.Fatal(err)
				}
				if stop > 10*changes {
					t.Fatal("it does not get on")
				}
			}
			events := 0
			for _, err := range store.ReadAll(t.Context()) {
				if err != nil {
					t.Fatal(err)
				}
				events++
			}
			if events != changes+len(history) {
				t.Errorf("%d events, and there are %d changes and %d commits", events, changes, len(history))
			}
			if l.append <= len(history) {
				t.Errorf("%d appends for %d commits: no commit was above the limits", l.append, len(history))
			}
			if s, err := rebuild(t.Context(), store, len(history)); err != nil || s.events != changes {
				t.Errorf("rebuilt %d changes of %d: %v", s.events, changes, err)
			}
		})
	}
}

func sequence(commits []gitlog.Commit) iter.Seq2[gitlog.Commit, error] {
	return func(yield func(gitlog.Commit, error) bool) {
		for _, c := range commits {
			if !yield(c, nil) {
				return
			}
		}
	}
}

// repository is a git repository to play with.
type repository struct {
	t   *testing.T
	dir string
	now int
}

func newRepository(t *testing.T) *repository {
	r := &repository{t: t, dir: t.TempDir(), now: 1_700_000_000}
	r.git("init", "-q", "-b", "main")
	return r
}

func (r *repository) git(args ...string) string {
	r.t.Helper()
	r.now++
	cmd := exec.Command("git", append([]string{"-C", r.dir}, args...)...)
	date := fmt.Sprintf("%d +0000", r.now)
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1",
		"GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@example.org", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@example.org",
		"GIT_AUTHOR_DATE="+date, "GIT_COMMITTER_DATE="+date)
	out, err := cmd.CombinedOutput()
	if err != nil {
		r.t.Fatalf("git %v: %v\n%s", args, err, out)
	}
	return string(out)
}

func (r *repository) write(path, text string) {
	r.t.Helper()
	file := filepath.Join(r.dir, path)
	if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(text), 0o644)); err != nil {
		r.t.Fatal(err)
	}
}

func (r *repository) commit() {
	r.t.Helper()
	r.git("add", "-A")
	r.git("commit", "-q", "--allow-empty", "-m", "x")
}

// lines is a text that differs from others in enough lines to be told apart.
func lines(name string, n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "%s line %d\n", name, i)
	}
	return b.String()
}

func TestRepository(t *testing.T) {
	r := newRepository(t)
	long := strings.Repeat("d/", 60) + strings.Repeat("n", 200) // longer than a stream name may be
	r.write("a", lines("a", 20))
	r.write("latin1-\xe9", lines("latin", 20)) // not UTF-8
	r.write(long, lines("long", 20))
	r.write("new\nline \"quoted\"", lines("hostile", 20))
	r.commit()
	r.git("mv", "a", "b") // and in the same commit another a
	r.write("a", lines("second", 20))
	r.commit()
	r.commit() // empty
	r.git("rm", "-q", "a")
	r.commit()
	r.write("a", lines("second", 20)) // back again: another file, with the old bytes
	r.commit()
	r.git("mv", "a", "c") // they swap
	r.git("mv", "b", "a")
	r.git("mv", "c", "b")
	r.commit()
	r.git("rm", "-q", "b")
	r.write("b/inner", lines("inner", 3)) // a folder where a file was
	r.write("bytes", "\x00\x01binary\x00")
	r.commit()

	store := "sqlite:" + filepath.Join(t.TempDir(), "history.db")
	out := runs(t, "-repo", r.dir, "-store", store)
	contains(t, out, "imported  7 commits", "PROVED")
	for at := 1; at <= 7; at++ {
		out = runs(t, "-repo", r.dir, "-store", store, "-at", fmt.Sprint(at))
		contains(t, out, "imported  0 commits", fmt.Sprintf("at commit %d ", at), "PROVED")
	}

	r.git("checkout", "-q", "-b", "side")
	r.write("side", lines("side", 5))
	r.commit()
	r.git("checkout", "-q", "main")
	r.write("a", lines("other", 3))
	r.commit()
	r.git("merge", "-q", "-m", "x", "side")
	contains(t, runs(t, "-repo", r.dir, "-store", store), "imported  2 commits with 2 changes", "PROVED")

	// The history that the store has is rewritten: nothing is added to it.
	r.git("reset", "-q", "--hard", "HEAD~1")
	r.write("a", "rewritten\n")
	r.commit()
	var rewritten *gitlog.RewrittenError
	err := run(t.Context(), []string{"-repo", r.dir, "-store", store}, io.Discard, io.Discard)
	if !errors.As(err, &rewritten) {
		t.Errorf("a rewritten history: %v", err)
	}
}

func TestEncrypted(t *testing.T) {
	r := newRepository(t)
	r.write("a-telling-name", lines("a", 20))
	r.commit()
	dir := t.TempDir()
	db, key := filepath.Join(dir, "history.db"), filepath.Join(dir, "keys")
	contains(t, runs(t, "-repo", r.dir, "-store", "sqlite:"+db, "-encrypt", key, "-report", filepath.Join(dir, "report")), "PROVED")
	for _, file := range []string{db, db + "-wal"} {
		b, err := os.ReadFile(file)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
		if bytes.Contains(b, []byte("telling")) || bytes.Contains(b, []byte("100644")) || bytes.Contains(b, []byte(`"blob"`)) {
			t.Errorf("%s has plain text", file)
		}
	}
	if info, err := os.Stat(key); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file of keys: %v, %v", info.Mode(), err)
	}
	contains(t, runs(t, "-repo", r.dir, "-store", "sqlite:"+db, "-encrypt", key), "imported  0 commits", "PROVED")

	err := run(t.Context(), []string{"-repo", r.dir, "-store", "sqlite:" + db, "-encrypt", filepath.Join(dir, "other")}, io.Discard, io.Discard)
	if !errors.Is(err, es.ErrCorrupt) || !strings.Contains(fmt.Sprint(err), "decrypt") {
		t.Errorf("with another key: %v", err)
	}
	err = run(t.Context(), []string{"-repo", r.dir, "-store", "sqlite:" + db}, io.Discard, io.Discard)
	if !errors.Is(err, es.ErrNoKey) {
		t.Errorf("without a key: %v", err)
	}
}

// TestReport stops the read model at every page and goes on: it counts each
// change once, and says which files changed most.
func TestReport(t *testing.T) {
	store, err := es.Open("memory", "")
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	im, err := newImporter(t.Context(), store)
	if err != nil {
		t.Fatal(err)
	}
	if err := im.run(t.Context(), gitlog.ParseFile(recordedLog), func(CommitImported) {}); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "report")
	for {
		rep, err := loadReport(t.Context(), store, file)
		if err != nil {
			t.Fatal(err)
		}
		end := false
		for page, err := range store.Pages(t.Context(), es.Resume(rep.Feed), es.Prefixes(filePrefix), es.PageSize(500)) {
			if err != nil {
				t.Fatal(err)
			}
			for _, rec := range page.Events {
				if err := rep.add(rec); err != nil {
					t.Fatal(err)
				}
			}
			rep.Feed = page.Checkpoint(rep.Feed)
			end = page.CaughtUp
			break
		}
		if err := rep.save(t.Context(), store); err != nil {
			t.Fatal(err)
		}
		if end {
			break
		}
	}
	rep, err := loadReport(t.Context(), store, file)
	if err != nil {
		t.Fatal(err)
	}
	changes := 0
	for _, f := range rep.Files {
		changes += f.Changes
	}
	if changes != 6817 {
		t.Errorf("the report counts %d changes", changes)
	}
	top := rep.top(3)
	if !slices.IsSortedFunc(top, func(a, b *fileActivity) int { return b.Changes - a.Changes }) || top[0].Path == "" {
		t.Errorf("changed most: %+v", top)
	}

	// Two programs do not write one report.
	other, err := loadReport(t.Context(), store, file)
	if err != nil {
		t.Fatal(err)
	}
	if err := rep.save(t.Context(), store); err != nil {
		t.Fatal(err)
	}
	if err := other.save(t.Context(), store); !errors.Is(err, es.ErrCheckpointConflict) {
		t.Errorf("the second to save: %v", err)
	}
}

func TestPathJSON(t *testing.T) {
	for _, p := range []Path{"", "a/b", "\xff\xfe", "caf\xe9", "café", "a\nb\"c", "<&>", "\u2028", Path(strings.Repeat("x", 5000))} {
		b, err := json.Marshal(FileAdded{Path: p})
		if err != nil {
			t.Fatal(err)
		}
		var e FileAdded
		if err := json.Unmarshal(b, &e); err != nil || e.Path != p {
			t.Errorf("%q came back as %q from %s: %v", p, e.Path, b, err)
		}
	}
	for _, b := range []string{`1`, `{"base64":"%"}`, `null-`} {
		if err := json.Unmarshal([]byte(b), new(Path)); err == nil {
			t.Errorf("%s is taken for a path", b)
		}
	}
}

func TestBadUse(t *testing.T) {
	empty := t.TempDir()
	notes := filepath.Join(empty, "notes.txt")
	if err := os.WriteFile(notes, []byte("no history\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	db := func() string { return "sqlite:" + filepath.Join(t.TempDir(), "h.db") }
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"-store", "sqlite"}, "driver:name"},
		{[]string{"-store", "nosuch:x"}, "unknown driver"},
		{[]string{"-at", "-1"}, "not negative"},
		{[]string{"stray"}, "no option"},
		{[]string{"-tree", notes}, "goes with -log"},
		{[]string{"-repo", empty, "-store", db()}, "git repository"},
		{[]string{"-repo", filepath.Join(empty, "missing"), "-store", db()}, "missing"},
		{[]string{"-log", notes, "-store", db()}, "line 1"},
		{[]string{"-log", filepath.Join(empty, "missing"), "-store", db()}, "missing"},
		{[]string{"-log", recordedLog, "-tree", notes, "-store", db()}, "line 1"},
		{[]string{"-log", recordedLog, "-tree", recordedTree, "-store", db(), "-at", "1645"}, "commit 1645 is not in the store"},
		{[]string{"-log", recordedLog, "-store", db(), "-encrypt", notes}, "notes.txt"},
	} {
		err := run(t.Context(), c.args, io.Discard, io.Discard)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("githistory %v: %v; want %q", c.args, err, c.want)
		}
	}
}
