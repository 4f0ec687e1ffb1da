package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/go-es/es"
	"github.com/go-es/es/examples/githistory/gitlog"
)

// state is all files, rebuilt from their events, as they were after a commit.
type state struct {
	files  []gitlog.Entry // that exist, in git's order
	lines  int            // of those of which git counted all
	binary int            // those of which it did not
	events int            // that went into it
	gone   int            // files that were deleted
}

// rebuild loads every file from its own events, up to a commit: events are chosen
// by the ordinal of their commit, and never by their place in the feed.
func rebuild(ctx context.Context, store *es.Store, commit int) (state, error) {
	var s state
	files := Files.Repository(store)
	for info, err := range store.Streams(ctx, es.Prefix(filePrefix)) {
		if err != nil {
			return s, err
		}
		version, err := versionAt(ctx, store, info.Stream, commit)
		if err != nil {
			return s, err
		}
		if version == 0 {
			continue // it came later
		}
		id, _ := Files.ID(info.Stream)
		f, err := files.LoadAt(ctx, id, version)
		if err != nil {
			return s, err
		}
		if f.Wrong != "" {
			return s, fmt.Errorf("file %q: %s", f.Path, f.Wrong)
		}
		s.events += f.Changes
		switch {
		case f.Deleted:
			s.gone++
			continue
		case f.Binary:
			s.binary++
		default:
			s.lines += f.Lines
		}
		s.files = append(s.files, gitlog.Entry{Mode: f.Mode, Blob: f.Blob, Path: string(f.Path)})
	}
	slices.SortFunc(s.files, func(a, b gitlog.Entry) int { return strings.Compare(a.Path, b.Path) })
	return s, nil
}

// versionAt returns the version that a file had after a commit, 0 if it did not
// exist yet.
func versionAt(ctx context.Context, store *es.Store, stream string, commit int) (es.Version, error) {
	for rec, err := range store.Read(ctx, stream, es.Backward()) {
		if err != nil {
			return 0, err
		}
		c, _, err := decodeChange(rec)
		if err != nil {
			return 0, err
		}
		if c.Commit <= commit {
			return rec.Version, nil
		}
	}
	return 0, nil
}

// commitAt returns what is stored of a commit.
func commitAt(ctx context.Context, store *es.Store, commit int) (CommitImported, error) {
	for rec, err := range store.Read(ctx, commitsStream, es.From(es.Version(commit)), es.Limit(1)) {
		if err != nil {
			return CommitImported{}, err
		}
		return es.As[CommitImported](rec)
	}
	return CommitImported{}, fmt.Errorf("commit %d is not in the store", commit)
}

// compare returns nil if the files are those of the tree, and otherwise an error
// that names the first few that are not.
func compare(files, tree []gitlog.Entry) error {
	want := make(map[string]gitlog.Entry, len(tree))
	for _, e := range tree {
		want[e.Path] = e
	}
	var wrong []string
	for _, f := range files {
		w, ok := want[f.Path]
		switch delete(want, f.Path); {
		case !ok:
			wrong = append(wrong, fmt.Sprintf("%q is not in git's tree", f.Path))
		case w != f:
			wrong = append(wrong, fmt.Sprintf("%q is %v %s, and in git's tree %v %s", f.Path, f.Mode, f.Blob, w.Mode, w.Blob))
		}
	}
	for path := range want {
		wrong = append(wrong, fmt.Sprintf("%q is missing", path))
	}
	if len(wrong) == 0 {
		return nil
	}
	n := len(wrong)
	slices.Sort(wrong)
	return fmt.Errorf("%d differences between %d files and git's tree of %d: %s", n, len(files), len(tree), strings.Join(wrong[:min(n, 5)], "; "))
}
