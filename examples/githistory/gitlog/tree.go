package gitlog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
)

// ReadTree reads the output of "git ls-tree -r" without -z, compressed with
// gzip or not, and returns all its files in the order of the input, which is
// git's: by the bytes of the path. Submodules and symbolic links are files
// like others. No input is a tree without files. Errors are of type
// [*ParseError].
func ReadTree(r io.Reader) ([]Entry, error) {
	return readTree(r, '\n')
}

// ReadTreeFile is [ReadTree] for the file. Errors name it.
func ReadTreeFile(name string) ([]Entry, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("gitlog: %w", err)
	}
	defer f.Close()
	tree, err := ReadTree(f)
	if err != nil {
		return nil, fmt.Errorf("%w (in %s)", err, name)
	}
	return tree, nil
}

// Tree returns the files at a revision of the repository, like [ReadTree].
// The revision is what git takes for one, such as the hash of a commit; ""
// stands for HEAD. It always returns the whole tree, even if dir is a
// subdirectory of the working tree. Errors are as for [Run].
func Tree(ctx context.Context, dir, rev string) ([]Entry, error) {
	repo, err := open(ctx, dir)
	if err != nil {
		return nil, err
	}
	hash, err := repo.resolve(ctx, rev, "tree")
	if err != nil {
		return nil, err
	}
	p, err := repo.start(ctx, "ls-tree", "-r", "-z", "--full-tree", hash)
	if err != nil {
		return nil, err
	}
	defer p.stop()
	return readTree(p, 0)
}

// readTree reads records that end in end; quotes are undone if that is a
// newline.
func readTree(r io.Reader, end byte) ([]Entry, error) {
	rs, err := newRecords(r, end)
	if err != nil {
		return nil, err
	}
	var tree []Entry
	for rs.next() {
		e, err := parseEntry(rs.rec, end)
		if err != nil {
			return nil, rs.failf("in the entry %s: %w", shown(rs.rec), err)
		}
		tree = append(tree, e)
	}
	if rs.err != io.EOF {
		return nil, rs.err
	}
	return tree, nil
}

// parseEntry parses "MODE TYPE BLOB TAB PATH".
func parseEntry(rec []byte, end byte) (Entry, error) {
	meta, path, ok := bytes.Cut(rec, []byte("\t"))
	f := bytes.Split(meta, []byte(" "))
	if !ok || len(f) != 3 {
		return Entry{}, errors.New("want mode, type, hash, a tab and a path")
	}
	mode, err := parseMode(string(f[0]))
	if err != nil {
		return Entry{}, err
	}
	want := "blob"
	switch mode {
	case modeTree:
		return Entry{}, errors.New("it is a directory: was the listing made without -r?")
	case ModeSubmodule:
		want = "commit"
	}
	if string(f[1]) != want {
		return Entry{}, fmt.Errorf("want type %s for mode %v, got %q", want, mode, f[1])
	}
	if !isHash(f[2]) {
		return Entry{}, fmt.Errorf("want 40 or 64 hex digits, got %q", f[2])
	}
	e := Entry{Mode: mode, Blob: string(f[2]), Path: string(path)}
	if end == '\n' {
		e.Path, err = unquote(path)
	} else if len(path) == 0 {
		err = errors.New("the path is empty")
	}
	return e, err
}
