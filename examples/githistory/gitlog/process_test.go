//go:build unix

package gitlog

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// fakeGit puts a git into the PATH that answers what Run asks and then, where
// it is asked for the log, runs the script. In the script, $0 is git, PID the
// file for its process id and LOG a file with the log of three commits.
func fakeGit(t *testing.T, script string) (pid string) {
	t.Helper()
	sh, err := exec.LookPath("sh")
	if err != nil {
		t.Skip("there is no sh")
	}
	dir := t.TempDir()
	text := strings.ReplaceAll(spell("@$A 1|@$B 2|\n:000000 100644 $0 $B A|p|1\t0\tp|@$C 3|"), "|", "\x00")
	pid = filepath.Join(dir, "pid")
	files := map[string]string{
		filepath.Join(dir, "log"): text,
		filepath.Join(dir, "git"): fmt.Sprintf(`#!%s
for a; do case $a in
--absolute-git-dir) echo /x; exit;;
--verify) echo %s; exit;;
rev-list) printf '%%s\n' %s %s %s; exit;;
esac; done
PID=%q LOG=%q; echo $$ >$PID
%s
`, sh, hashC, hashC, hashB, hashA, pid, filepath.Join(dir, "log"), script),
	}
	for name, contents := range files {
		if err := os.WriteFile(name, []byte(contents), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", dir+string(os.PathListSeparator)+os.Getenv("PATH"))
	return pid
}

// wantGone checks that the process has ended and was waited for.
func wantGone(t *testing.T, pid string) {
	t.Helper()
	b, err := os.ReadFile(pid)
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(n, 0); err == nil {
		t.Errorf("process %d is still there", n)
	}
}

// wantNoMore checks that no goroutines were left since there were n.
func wantNoMore(t *testing.T, n int) {
	t.Helper()
	for range 100 {
		if runtime.NumGoroutine() <= n {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	buf := make([]byte, 1<<16)
	t.Errorf("%d goroutines, were %d:\n%s", runtime.NumGoroutine(), n, buf[:runtime.Stack(buf, true)])
}

func TestProcess(t *testing.T) {
	for _, tt := range []struct {
		name, script string
		commits      int
		want         string // within the error
	}{
		{"well", `cat "$LOG"`, 3, ""},
		{"noise", `cat "$LOG"; yes 'warning: something' | head -n 100000 >&2`, 3, ""},
		{"exit", `cat "$LOG"; echo 'fatal: so what' >&2; exit 128`, 2, "git log: exit status 128: fatal: so what"},
		{"much noise", `yes 'much noise' | head -n 100000 >&2; echo the end >&2; exit 1`, 0, "the end"},
		{"killed", `cat "$LOG"; kill -9 $$`, 2, "git log: signal: killed"},
		{"killed within", `head -c 150 "$LOG"; kill -9 $$`, 1, "git log: signal: killed"},
		{"killed before", `kill -9 $$`, 0, "git log: signal: killed"},
		{"silent", `exit 0`, 0, "ends before the first commit"},
		{"cut", `head -c 150 "$LOG"`, 1, "ends before"},
		{"cut behind a header", `head -c 88 "$LOG"`, 2, "git ended well, but at commit 2"},
		{"other tip", `tr c d <"$LOG"`, 3, "git ended well, but at commit 3"},
		{"nonsense", `cat "$LOG"; printf 'x\0'; exec sleep 60`, 2, "want a commit"},
		{"closes its output", `cat "$LOG"; exec >&-; exit 3`, 2, "git log: exit status 3"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			before := runtime.NumGoroutine()
			pid := fakeGit(t, tt.script)
			commits, err := collect(Run(t.Context(), ".", Options{}))
			if len(commits) != tt.commits || (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%d commits, %v; want %d, %q", len(commits), err, tt.commits, tt.want)
			}
			if err != nil && len(err.Error()) > 5000 {
				t.Errorf("the error has %d bytes", len(err.Error()))
			}
			var git *GitError
			if errors.As(err, &git) != strings.Contains(tt.want, "git log") && tt.name != "much noise" {
				t.Errorf("%v is a GitError: %t", err, git != nil)
			}
			wantGone(t, pid)
			wantNoMore(t, before)
		})
	}
}

func TestProcessStops(t *testing.T) {
	const hangs = `cat "$LOG"; exec sleep 60`
	// The child holds the pipes, so that they do not close with git.
	const orphan = `cat "$LOG"; sleep 1 & wait`
	for _, script := range []string{hangs, orphan} {
		t.Run("break", func(t *testing.T) {
			before := runtime.NumGoroutine()
			pid := fakeGit(t, script)
			for c, err := range Run(t.Context(), ".", Options{}) {
				if err != nil || c.Ordinal != 1 {
					t.Error(c, err)
				}
				break
			}
			wantGone(t, pid)
			wantNoMore(t, before)
		})
		t.Run("panic", func(t *testing.T) {
			before := runtime.NumGoroutine()
			pid := fakeGit(t, script)
			func() {
				defer func() { recover() }()
				for range Run(t.Context(), ".", Options{}) {
					panic("the consumer's")
				}
			}()
			wantGone(t, pid)
			wantNoMore(t, before)
		})
		t.Run("cancel", func(t *testing.T) {
			before := runtime.NumGoroutine()
			pid := fakeGit(t, script)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			var commits int
			var err error
			for _, err = range Run(ctx, ".", Options{}) {
				if commits++; commits == 2 { // the third waits for git's end
					time.AfterFunc(50*time.Millisecond, cancel)
				}
			}
			if commits != 3 || !errors.Is(err, context.Canceled) || !strings.HasPrefix(err.Error(), "gitlog: ") {
				t.Errorf("%d commits or errors, %v", commits, err)
			}
			wantGone(t, pid)
			wantNoMore(t, before)
		})
		t.Run("cancel between", func(t *testing.T) {
			before := runtime.NumGoroutine()
			pid := fakeGit(t, script)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			var errs []error
			for _, err := range Run(ctx, ".", Options{}) {
				errs = append(errs, err)
				cancel()
			}
			if len(errs) != 2 || errs[0] != nil || !errors.Is(errs[1], context.Canceled) {
				t.Error(errs)
			}
			wantGone(t, pid)
			wantNoMore(t, before)
		})
	}
	t.Run("timeout", func(t *testing.T) {
		pid := fakeGit(t, hangs)
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		if _, err := collect(Run(ctx, ".", Options{})); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		wantGone(t, pid)
	})
	t.Run("canceled before", func(t *testing.T) {
		fakeGit(t, hangs)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if commits, err := collect(Run(ctx, ".", Options{})); !errors.Is(err, context.Canceled) || commits != nil {
			t.Error(commits, err)
		}
		if tree, err := Tree(ctx, ".", ""); !errors.Is(err, context.Canceled) || tree != nil {
			t.Error(tree, err)
		}
	})
	t.Run("not begun", func(t *testing.T) {
		before := runtime.NumGoroutine()
		Run(t.Context(), ".", Options{})
		wantNoMore(t, before)
	})
}

func TestNoGit(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	if _, err := collect(Run(t.Context(), ".", Options{})); !errors.Is(err, exec.ErrNotFound) {
		t.Error(err)
	}
	if _, err := Tree(t.Context(), ".", ""); !errors.Is(err, exec.ErrNotFound) {
		t.Error(err)
	}
}

// TestTreeFails checks that a listing cut short is not taken for a tree.
func TestTreeFails(t *testing.T) {
	fakeGit(t, `printf '100644 blob `+hashA+`\tp\0'; exit 128`)
	if tree, err := Tree(t.Context(), ".", ""); err == nil || tree != nil {
		t.Error(tree, err)
	}
}

func TestTail(t *testing.T) {
	var b tail
	for i := range 3000 {
		fmt.Fprintln(&b, i)
	}
	if s := b.String(); len(s) > 4<<10 || !strings.HasSuffix(s, "\n2998\n2999") {
		t.Errorf("%d bytes, at the end %q", len(s), s[len(s)-20:])
	}
	var _ io.Writer = &b
}
