package gitlog

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// change parses ":OLDMODE NEWMODE OLDBLOB NEWBLOB STATUS" and the one or two
// paths behind it. Tabs separate the paths; with -z they are records.
func (p *parser) change(hashLen int) (Change, error) {
	meta, paths, _ := bytes.Cut(p.rec, []byte("\t"))
	var c Change
	var err error
	if p.end == 0 && len(meta) < len(p.rec) {
		err = errors.New("there is a tab")
	} else {
		c, err = parseMeta(meta, hashLen)
	}
	if err != nil {
		return c, p.failf("in the change %s: %w", shown(p.rec), err)
	}
	moved := c.Status == Renamed || c.Status == Copied
	if p.end == 0 {
		if moved {
			if c.OldPath, err = p.path("the old path of a change"); err != nil {
				return c, err
			}
		}
		if c.Path, err = p.path("the path of a change"); err != nil {
			return c, err
		}
	} else {
		if moved {
			var old []byte
			old, paths, _ = bytes.Cut(paths, []byte("\t"))
			if c.OldPath, err = unquote(old); err != nil {
				return c, p.failf("in the change %s: %w", shown(p.rec), err)
			}
		}
		if bytes.IndexByte(paths, '\t') >= 0 {
			err = errors.New("there are too many paths")
		} else {
			c.Path, err = unquote(paths)
		}
		if err != nil {
			return c, p.failf("in the change %s: %w", shown(p.rec), err)
		}
	}
	if !moved && c.Status != Added {
		c.OldPath = c.Path
	}
	return c, nil
}

// path reads a record that is a path.
func (p *parser) path(what string) (string, error) {
	if !p.next() {
		return "", p.missing(what)
	}
	if len(p.rec) == 0 {
		return "", p.failf("%s is empty", what)
	}
	return string(p.rec), nil
}

// parseMeta parses what stands before the paths of a change.
func parseMeta(meta []byte, hashLen int) (Change, error) {
	if bytes.HasPrefix(meta, []byte("::")) {
		return Change{}, errors.New("it is against several parents: was the log made without --first-parent -m?")
	}
	f := strings.Split(string(meta[1:]), " ")
	if len(f) != 5 {
		return Change{}, fmt.Errorf("want 5 fields before the path, got %d", len(f))
	}
	var c Change
	var err error
	if c.OldMode, c.OldBlob, err = side(f[0], f[2], hashLen); err != nil {
		return Change{}, fmt.Errorf("old side: %w", err)
	}
	if c.NewMode, c.NewBlob, err = side(f[1], f[3], hashLen); err != nil {
		return Change{}, fmt.Errorf("new side: %w", err)
	}
	if c.Status, c.Score, err = status(f[4]); err != nil {
		return Change{}, err
	}
	if (c.OldMode == 0) != (c.Status == Added) || (c.NewMode == 0) != (c.Status == Deleted) {
		return Change{}, fmt.Errorf("status %c does not go with the modes", c.Status)
	}
	return c, nil
}

// side parses the mode and the name of the contents, "" if they are absent.
func side(mode, blob string, hashLen int) (Mode, string, error) {
	m, err := parseMode(mode)
	if err != nil {
		return 0, "", err
	}
	if len(blob) != hashLen || !isHash([]byte(blob)) {
		return 0, "", fmt.Errorf("want %d hex digits like the commit's, got %q", hashLen, blob)
	}
	if none := strings.Trim(blob, "0") == ""; none != (m == 0) {
		return 0, "", fmt.Errorf("mode %v does not go with blob %s", m, blob)
	} else if none {
		blob = ""
	}
	return m, blob, nil
}

// status parses the letter and the score behind it.
func status(s string) (Status, int, error) {
	if s == "" {
		return 0, 0, errors.New("there is no status")
	}
	letter, digits := Status(s[0]), s[1:]
	var score int
	switch letter {
	case Added, Deleted, Modified, TypeChanged:
		if digits != "" {
			return 0, 0, fmt.Errorf("status %q has a score", s)
		}
	case Renamed, Copied:
		n, err := strconv.ParseUint(digits, 10, 8)
		if err != nil || n > 100 {
			return 0, 0, fmt.Errorf("status %q has no score from 0 to 100", s)
		}
		score = int(n)
	default:
		return 0, 0, fmt.Errorf("status %q is none of A, C, D, M, R, T", s)
	}
	return letter, score, nil
}

// count parses "ADDED TAB REMOVED TAB PATH" and puts it into the change to
// which it belongs by its place, provided that the path says so too.
func (p *parser) count(c *Change) error {
	f := bytes.SplitN(p.rec, []byte("\t"), 3)
	if len(f) != 3 {
		return p.failf("want the line count of %q, got %s", c.Path, shown(p.rec))
	}
	if c.Binary = string(f[0]) == "-" && string(f[1]) == "-"; !c.Binary {
		var err [2]error
		c.Added, err[0] = lines(f[0])
		c.Removed, err[1] = lines(f[1])
		if err := errors.Join(err[:]...); err != nil {
			return p.failf("in the line count %s: %w", shown(p.rec), err)
		}
	}
	moved := c.Status == Renamed || c.Status == Copied
	same := false
	switch path := f[2]; {
	case p.end == 0 && moved:
		// An empty path announces the two paths.
		same = len(path) == 0
		for _, want := range []string{c.OldPath, c.Path} {
			if same {
				path, err := p.path("a path of a line count")
				if err != nil {
					return err
				}
				same = path == want
			}
		}
	case p.end == 0:
		same = string(path) == c.Path
	case moved:
		same = isRename(path, c.OldPath, c.Path)
	default:
		same = isPath(path, c.Path)
	}
	if !same {
		return p.failf("want the line count of %q, got %s", c.Path, shown(p.rec))
	}
	return nil
}

// lines parses a number of lines.
func lines(b []byte) (int, error) {
	n, err := strconv.ParseUint(string(b), 10, strconv.IntSize-1)
	if err != nil {
		return 0, fmt.Errorf("%q is no number of lines", b)
	}
	return int(n), nil
}
