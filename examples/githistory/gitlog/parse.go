package gitlog

import (
	"bytes"
	"fmt"
	"io"
	"iter"
	"os"
	"strconv"
	"time"
)

// Parse reads the output of
//
//	git log --first-parent -m --reverse --raw --numstat --no-abbrev -M --format='@%H %ct' HEAD
//
// with or without -z, compressed with gzip or not; which of these it is shows
// at its beginning. Commits come as they are read; only one is held at a time.
//
// The sequence ends after the first error, which comes with no commit. The
// commits before it are complete and right, but not all there are. Errors are
// of type [*ParseError].
//
// Input that was cut off is such an error wherever that can be seen: within a
// line, within a commit's changes, between them and their line counts, in
// compressed input everywhere, and if there is no commit at all. It cannot be
// seen if plain input ends exactly behind a commit (or behind the first line
// of one, which then looks like a commit without changes). Who keeps such a
// log keeps it compressed, or knows its last commit; [Run] does know it.
//
// The sequence can be gone through once, as r can be read once.
func Parse(r io.Reader) iter.Seq2[Commit, error] {
	return parse(r, 1)
}

// ParseFile is [Parse] for a file, which it opens when the sequence is gone
// through and closes at its end. Errors name the file.
func ParseFile(name string) iter.Seq2[Commit, error] {
	return func(yield func(Commit, error) bool) {
		f, err := os.Open(name)
		if err != nil {
			yield(Commit{}, fmt.Errorf("gitlog: %w", err))
			return
		}
		defer f.Close()
		for c, err := range Parse(f) {
			if err != nil {
				err = fmt.Errorf("%w (in %s)", err, name)
			}
			if !yield(c, err) {
				return
			}
		}
	}
}

// parse is Parse with the ordinal of the first commit.
func parse(r io.Reader, ordinal int) iter.Seq2[Commit, error] {
	return func(yield func(Commit, error) bool) {
		p, err := newParser(r)
		for ; err == nil; ordinal++ {
			var c Commit
			if c, err = p.commit(); err == nil {
				c.Ordinal = ordinal
				if !yield(c, nil) {
					return
				}
			}
		}
		if err != io.EOF {
			yield(Commit{}, err)
		}
	}
}

// parser reads commits. Between two calls, the record in hand is the first of
// a commit, unless the input is at its end.
type parser struct {
	*records
	last string // hash of the last commit
}

// newParser finds out in which form the log is and reads its first record.
func newParser(r io.Reader) (*parser, error) {
	rs, err := newRecords(r, '\n')
	if err != nil {
		return nil, err
	}
	// The first record is short, and what ends it, ends all.
	first, err := rs.in.Peek(128)
	if i := bytes.IndexAny(first, "\x00\n"); i >= 0 {
		rs.end = first[i]
	} else if err != nil && err != io.EOF {
		return nil, rs.fail(err)
	}
	if !rs.next() {
		return nil, rs.missing("the first commit")
	}
	return &parser{records: rs}, nil
}

// commit reads one commit: its header, the changes of its files, and their
// line counts in the same order. It returns io.EOF if there is none.
func (p *parser) commit() (Commit, error) {
	if p.err != nil {
		return Commit{}, p.err
	}
	c, err := p.header()
	if err != nil {
		return Commit{}, err
	}
	// A newline separates the header from the changes, if there are any; with
	// -z it is not a record but stands before the first.
	more, promised := p.next(), false
	if more && p.end == 0 {
		p.rec, promised = bytes.CutPrefix(p.rec, []byte("\n"))
	} else if more && len(p.rec) == 0 {
		promised, more = true, p.next()
	}
	if promised && !more {
		return Commit{}, p.missing("the changes of commit " + c.Hash)
	}
	if promised && (len(p.rec) == 0 || p.rec[0] != ':') {
		return Commit{}, p.failf("want a change, which begins with ':', got %s", shown(p.rec))
	}
	for ; more && len(p.rec) > 0 && p.rec[0] == ':'; more = p.next() {
		ch, err := p.change(len(c.Hash))
		if err != nil {
			return Commit{}, err
		}
		c.Changes = append(c.Changes, ch)
	}
	for i := range c.Changes {
		if !more {
			return Commit{}, p.missing(fmt.Sprintf("the line count of %q in commit %s", c.Changes[i].Path, c.Hash))
		}
		if err := p.count(&c.Changes[i]); err != nil {
			return Commit{}, err
		}
		more = p.next()
	}
	if more && (len(p.rec) == 0 || p.rec[0] != '@') {
		return Commit{}, p.failf("want a commit, which begins with '@', got %s", shown(p.rec))
	}
	if !more && p.err != io.EOF {
		return Commit{}, p.err
	}
	p.last = c.Hash
	return c, nil
}

// header parses "@HASH SECONDS".
func (p *parser) header() (Commit, error) {
	rec, ok := bytes.CutPrefix(p.rec, []byte("@"))
	if !ok {
		return Commit{}, p.failf("want a commit, which begins with '@', got %s", shown(p.rec))
	}
	hash, seconds, ok := bytes.Cut(rec, []byte(" "))
	if !ok || !isHash(hash) {
		return Commit{}, p.failf("want '@', 40 or 64 hex digits, a blank and a time, got %s", shown(p.rec))
	}
	if p.last != "" && len(hash) != len(p.last) {
		return Commit{}, p.failf("commit %s has %d hex digits, those before have %d", hash, len(hash), len(p.last))
	}
	if string(hash) == p.last {
		return Commit{}, p.failf("commit %s is there twice in a row: was the log made without --first-parent?", hash)
	}
	t, err := committed(seconds)
	if err != nil {
		return Commit{}, p.fail(err)
	}
	return Commit{Hash: string(hash), Time: t}, nil
}

// committed parses a time in seconds. Git prints nothing if it cannot read
// the date that the commit holds, and prints the digits it finds otherwise,
// even if they make no date.
func committed(seconds []byte) (time.Time, error) {
	const year10000 = 253402300800
	for _, c := range seconds {
		if c < '0' || c > '9' {
			return time.Time{}, fmt.Errorf("want a time in seconds, got %s", shown(seconds))
		}
	}
	n, err := strconv.ParseInt(string(seconds), 10, 64)
	if err != nil || n >= year10000 {
		return time.Time{}, nil
	}
	return time.Unix(n, 0).UTC(), nil
}

// parseMode parses six octal digits.
func parseMode(s string) (Mode, error) {
	if len(s) != 6 || !octal([]byte(s)) {
		return 0, fmt.Errorf("want a mode of six octal digits, got %q", s)
	}
	n, err := strconv.ParseUint(s, 8, 32)
	return Mode(n), err
}

// isHash reports whether b is a full object name.
func isHash(b []byte) bool {
	if len(b) != 40 && len(b) != 64 {
		return false
	}
	for _, c := range b {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}
