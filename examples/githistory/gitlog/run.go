package gitlog

import (
	"bufio"
	"context"
	"fmt"
	"iter"
	"strconv"
)

// Options says which part of a history [Run] reads. The zero value is all of
// HEAD's.
type Options struct {
	// Rev is the tip of the history, in any form git takes; "" is HEAD. It is
	// looked up once: commits made while Run is under way are left for the
	// next time.
	Rev string

	// After, if not "", is the full hash of the last commit that is known
	// already: Run begins with the one that follows it. Ordinals are as they
	// would be without it. If After is not on the first-parent line, Run
	// yields a [*RewrittenError] and no commits. If it is the tip, there are
	// no commits.
	After string

	// RenameLimit bounds the search for renames in commits that both remove
	// and add many files: with more than so many of each, only files that
	// moved without a change are recognized. 0 means no limit, so that what
	// is found depends on the history only; a commit that replaces tens of
	// thousands of files may then take git minutes.
	RenameLimit int
}

// RewrittenError says that the commit after which to start is not on the
// first-parent line of the tip. Either the history was rewritten (a rebase,
// an amended commit, another branch), or the tip came to have the commit on
// the side of a merge, by merging the main line into a branch and making that
// the main line. The commits read before are then not a beginning of this
// history, and nothing can be added to them.
type RewrittenError struct {
	After string // the commit after which to start
	Tip   string // the last commit of the history
}

// Error names both commits.
func (e *RewrittenError) Error() string {
	return fmt.Sprintf("commit %s is not on the first-parent line of %s: the history was rewritten", e.After, e.Tip)
}

// Run runs git on the repository to which the directory belongs and yields
// the commits of its first-parent line, oldest first. Git must be in the
// PATH; nothing newer than version 2.39 is needed. Run only reads.
//
// Commits come while git is at work, and memory holds one at a time. The
// sequence ends after the first error, which comes with no commit; the
// commits before it are complete and right. The last commit comes only after
// git has ended well, so that a sequence without an error is a complete one.
// Git has ended when the sequence has, also if the consumer stops early or
// ctx ends; the error then wraps that of ctx. Nothing runs before the sequence
// is gone through, and it can be gone through several times.
//
// What comes depends on the history only, not on the configuration of git,
// attributes in the working tree, replaced objects or the environment. (An
// exception are attributes in the repository's own info/attributes, by which
// files can be declared binary.) Renames are found at a similarity of 50 %.
//
// In a shallow clone, the oldest commit present adds all its files. Errors
// wrap [ErrNoRepository], [ErrNoCommits], [*RewrittenError] or [*GitError]
// where these apply.
func Run(ctx context.Context, dir string, opts Options) iter.Seq2[Commit, error] {
	return func(yield func(Commit, error) bool) {
		repo, err := open(ctx, dir)
		if err != nil {
			yield(Commit{}, err)
			return
		}
		tip, total, follow, err := repo.line(ctx, opts)
		if err != nil {
			yield(Commit{}, err)
			return
		}
		if follow == 0 {
			return
		}
		p, err := repo.start(ctx, logArgs(tip, follow, opts.RenameLimit)...)
		if err != nil {
			yield(Commit{}, err)
			return
		}
		defer p.stop()
		var last Commit
		for c, err := range parse(p, total-follow+1) {
			if err == nil && ctx.Err() != nil {
				err = fmt.Errorf("gitlog: %w", ctx.Err())
			}
			if err != nil {
				yield(Commit{}, err)
				return
			}
			if !yield(c, nil) {
				return
			}
			last = c
		}
		if last.Hash != tip || last.Ordinal != total {
			yield(Commit{}, fmt.Errorf("gitlog: git ended well, but at commit %d (%s), not %d (%s)",
				last.Ordinal, last.Hash, total, tip))
		}
	}
}

// line returns the tip, the length of its first-parent line, and how many
// commits on it follow opts.After.
func (r *repository) line(ctx context.Context, opts Options) (tip string, total, follow int, err error) {
	if opts.After != "" && !isHash([]byte(opts.After)) {
		return "", 0, 0, fmt.Errorf("gitlog: want 40 or 64 hex digits to start after, got %q", opts.After)
	}
	if tip, err = r.resolve(ctx, opts.Rev, "commit"); err != nil {
		return "", 0, 0, err
	}
	p, err := r.start(ctx, "rev-list", "--first-parent", tip)
	if err != nil {
		return "", 0, 0, err
	}
	defer p.stop()
	follow = -1
	hashes := bufio.NewScanner(p)
	for ; hashes.Scan(); total++ { // from the tip backwards
		if hashes.Text() == opts.After {
			follow = total
		}
	}
	switch {
	case hashes.Err() != nil:
		return "", 0, 0, fmt.Errorf("gitlog: %w", hashes.Err())
	case opts.After == "":
		follow = total
	case follow < 0:
		return "", 0, 0, fmt.Errorf("gitlog: %s: %w", r.dir, &RewrittenError{After: opts.After, Tip: tip})
	}
	return tip, total, follow, nil
}

// logArgs returns the command that prints the last n commits of the
// first-parent line of the tip. It is not "A..B": counting back from the tip
// along first parents needs no search for what A reaches, and so does not
// depend on the dates of the commits.
//
// All that a user can configure and that changes the output is set. Where the
// option came to git later than the configuration, it is set as the latter,
// which older versions ignore.
func logArgs(tip string, n, renameLimit int) []string {
	return []string{
		"-c", "log.showRoot=true",
		"-c", "log.diffMerges=separate", // what -m means
		"-c", "core.attributesFile=/dev/null",
		"-c", "attr.tree=" + emptyTree(tip),
		"-c", "core.bigFileThreshold=512m", // above it, files are binary
		"log", "-z", "--reverse", "--first-parent", "-m", "--max-count=" + strconv.Itoa(n),
		"--format=@%H %ct", "--encoding=UTF-8", "--no-show-signature", "--no-notes", "--no-color",
		"--raw", "--numstat", "--no-abbrev", "-O/dev/null",
		"-M50%", "-l" + strconv.Itoa(max(renameLimit, 0)),
		"--diff-algorithm=myers", "--no-ext-diff", "--no-textconv",
		"--submodule=short", "--ignore-submodules=none",
		tip, "--",
	}
}

// emptyTree returns the hash of a tree without files, in the kind of hash
// that the other one is. Read from there, there are no attributes.
func emptyTree(hash string) string {
	if len(hash) == 64 {
		return "6ef19b41225c5369f1c104d45d8d85efa9b057b53b14b4b9b939dd74decc5321"
	}
	return "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
}
