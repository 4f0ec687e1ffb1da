package gitlog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"
)

// GitError says that git failed. It is found in the errors of [Run] and
// [Tree] with [errors.As].
type GitError struct {
	// Args is what git was started with.
	Args []string

	// Stderr is what git wrote to its standard error, or the end of it, in
	// English.
	Stderr string

	// Err says how git ended, usually as an [*exec.ExitError]. It is
	// [exec.ErrNotFound] if there is no git.
	Err error
}

// Error names git's command, how it ended and what it said.
func (e *GitError) Error() string {
	msg := fmt.Sprintf("git %s: %v", command(e.Args), e.Err)
	if e.Stderr != "" {
		msg += ": " + e.Stderr
	}
	return msg
}

// command returns git's command among its arguments, which begin with options.
func command(args []string) string {
	for i := 0; i < len(args); i++ {
		switch {
		case args[i] == "-c" || args[i] == "-C":
			i++ // its value
		case !strings.HasPrefix(args[i], "-"):
			return args[i]
		}
	}
	return ""
}

// Unwrap returns Err.
func (e *GitError) Unwrap() error { return e.Err }

// process is a running git whose standard output is read. Reading to the end
// waits for the process; if it failed, Read returns that instead of io.EOF,
// so that output cut short never looks complete.
type process struct {
	ctx    context.Context
	cmd    *exec.Cmd
	cancel context.CancelFunc
	unhook func() bool
	out    io.ReadCloser
	stderr tail
	err    error // how reading ended
}

// start starts git with the arguments. The caller must call stop.
func start(ctx context.Context, args ...string) (*process, error) {
	p := &process{ctx: ctx}
	ctx, p.cancel = context.WithCancel(ctx)
	p.cmd = exec.CommandContext(ctx, "git", args...)
	p.cmd.Env = environment(os.Environ())
	p.cmd.Stderr = &p.stderr
	p.cmd.WaitDelay = 2 * time.Second // for children of git that outlive it
	var err error
	if p.out, err = p.cmd.StdoutPipe(); err == nil {
		err = p.cmd.Start()
	}
	if err != nil {
		p.cancel()
		return nil, p.failure(err)
	}
	// Whoever else holds the other end of the pipe, a read ends with ctx.
	p.unhook = context.AfterFunc(ctx, func() { p.out.Close() })
	return p, nil
}

// Read reads from git's standard output.
func (p *process) Read(b []byte) (int, error) {
	if p.err != nil {
		return 0, p.err
	}
	n, err := p.out.Read(b)
	if err == nil || n > 0 {
		return n, nil
	}
	p.err = io.EOF
	if werr := p.wait(); werr != nil {
		p.err = p.failure(werr)
	} else if err != io.EOF {
		p.err = p.failure(err)
	}
	return 0, p.err
}

// wait waits for the process, whose output has been read or is not wanted.
func (p *process) wait() error {
	err := p.cmd.Wait()
	p.unhook()
	p.cancel()
	return err
}

// stop ends the process if it still runs, and waits for it.
func (p *process) stop() {
	p.cancel()
	if p.err == nil {
		p.err = os.ErrClosed
		p.wait()
	}
}

// failure returns the error for a process that ended with err.
func (p *process) failure(err error) error {
	if cerr := p.ctx.Err(); cerr != nil {
		err = cerr
	}
	return &GitError{Args: p.cmd.Args[1:], Stderr: p.stderr.String(), Err: err}
}

// output runs git and returns its output without the newline at its end.
func output(ctx context.Context, args ...string) (string, error) {
	p, err := start(ctx, args...)
	if err != nil {
		return "", err
	}
	defer p.stop()
	out, err := io.ReadAll(p)
	return strings.TrimSuffix(string(out), "\n"), err
}

// tail is a writer that keeps the end of what is written to it.
type tail struct{ buf []byte }

// Write keeps the last 4 KiB.
func (t *tail) Write(b []byte) (int, error) {
	t.buf = append(t.buf, b...)
	if over := len(t.buf) - 4<<10; over > 0 {
		t.buf = t.buf[:copy(t.buf, t.buf[over:])]
	}
	return len(b), nil
}

// String returns what was kept, without blanks around it.
func (t *tail) String() string { return string(bytes.TrimSpace(t.buf)) }

// environment returns the environment for git: that of this program without
// what would point git to another repository, as it is set within a hook, or
// change what it prints.
func environment(env []string) []string {
	drop := []string{
		"GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_ATTR_SOURCE", "GIT_COMMON_DIR", "GIT_DIFF_OPTS",
		"GIT_DIR", "GIT_EXTERNAL_DIFF", "GIT_GRAFT_FILE", "GIT_IMPLICIT_WORK_TREE", "GIT_INDEX_FILE",
		"GIT_NAMESPACE", "GIT_OBJECT_DIRECTORY", "GIT_PREFIX", "GIT_REPLACE_REF_BASE", "GIT_SHALLOW_FILE",
		"GIT_WORK_TREE",
	}
	env = slices.DeleteFunc(slices.Clone(env), func(s string) bool {
		name, _, _ := strings.Cut(s, "=")
		return slices.Contains(drop, name)
	})
	return append(env,
		"LC_ALL=C",                 // messages in English
		"GIT_NO_REPLACE_OBJECTS=1", // the history that the hashes stand for
		"GIT_ATTR_NOSYSTEM=1",
		"GIT_OPTIONAL_LOCKS=0",
		"GIT_TERMINAL_PROMPT=0",
	)
}

// failed reports whether err is that git ran and failed, which some questions to
// git have for an answer.
func failed(err error) bool {
	var exit *exec.ExitError
	return errors.As(err, &exit) && exit.Exited()
}
