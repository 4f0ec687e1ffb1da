package gitlog

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

var (
	// ErrNoRepository is wrapped by the errors of [Run] and [Tree] if the
	// directory is neither a git repository nor within one.
	ErrNoRepository = errors.New("not a git repository")

	// ErrNoCommits is wrapped by the errors of [Run] and [Tree] if the
	// repository's HEAD is a branch without commits, as in a new repository.
	ErrNoCommits = errors.New("the repository has no commits yet")
)

// repository is where git looks for objects.
type repository struct {
	dir    string // as the caller named it
	gitDir string // absolute
}

// open finds the repository to which dir belongs.
func open(ctx context.Context, dir string) (*repository, error) {
	gitDir, err := output(ctx, "-C", dir, "rev-parse", "--absolute-git-dir")
	var git *GitError
	if errors.As(err, &git) && strings.Contains(git.Stderr, "not a git repository") {
		return nil, fmt.Errorf("gitlog: %s: %w (%w)", dir, ErrNoRepository, err)
	}
	if err != nil {
		return nil, fmt.Errorf("gitlog: %s: %w", dir, err)
	}
	return &repository{dir: dir, gitDir: gitDir}, nil
}

// args returns the arguments for git to run a command in the repository. It
// runs within the git directory, because it would find attributes in a working
// tree around it, which is at whatever commit, and by them declare files
// binary.
func (r *repository) args(command ...string) []string {
	return append([]string{"--no-pager", "-C", r.gitDir, "--git-dir=" + r.gitDir}, command...)
}

// start starts git with a command in the repository.
func (r *repository) start(ctx context.Context, command ...string) (*process, error) {
	p, err := start(ctx, r.args(command...)...)
	if err != nil {
		return nil, fmt.Errorf("gitlog: %w", err)
	}
	return p, nil
}

// resolve returns the hash of the revision, "" for HEAD, as an object of the
// kind: commit or tree.
func (r *repository) resolve(ctx context.Context, rev, kind string) (string, error) {
	if rev == "" {
		rev = "HEAD"
	}
	if strings.HasPrefix(rev, "-") {
		return "", fmt.Errorf("gitlog: revision %q looks like an option", rev)
	}
	hash, err := output(ctx, r.args("rev-parse", "--verify", rev+"^{"+kind+"}")...)
	switch {
	case err == nil && isHash([]byte(hash)):
		return hash, nil
	case err == nil:
		return "", fmt.Errorf("gitlog: %s: revision %q is not one %s", r.dir, rev, kind)
	case failed(err) && rev == "HEAD" && r.unborn(ctx):
		return "", fmt.Errorf("gitlog: %s: %w", r.dir, ErrNoCommits)
	}
	return "", fmt.Errorf("gitlog: %s: no %s %q: %w", r.dir, kind, rev, err)
}

// unborn reports whether HEAD is a branch that does not exist yet.
func (r *repository) unborn(ctx context.Context) bool {
	branch, err := output(ctx, r.args("symbolic-ref", "--quiet", "HEAD")...)
	if err != nil {
		return false
	}
	_, err = output(ctx, r.args("rev-parse", "--verify", "--quiet", branch)...)
	return failed(err)
}
