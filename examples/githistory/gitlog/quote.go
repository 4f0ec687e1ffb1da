package gitlog

import (
	"bytes"
	"errors"
	"strings"
)

// unquote returns the path that git printed as b in a form without -z: as it
// is, or between double quotes with C's escapes if it holds a quote, a
// backslash, a control character or (unless core.quotePath is off) a byte
// above 0x7f.
func unquote(b []byte) (string, error) {
	if len(b) == 0 {
		return "", errors.New("the path is empty")
	}
	if b[0] != '"' {
		return string(b), nil
	}
	if len(b) < 3 || b[len(b)-1] != '"' {
		return "", errors.New("the quoted path is empty or has no closing quote")
	}
	b = b[1 : len(b)-1]
	path := make([]byte, 0, len(b))
	for len(b) > 0 {
		c, n := b[0], 1
		switch {
		case c == '"':
			return "", errors.New("the quoted path goes on behind its closing quote")
		case c == '\\':
			c, n = escape(b)
			if n == 0 {
				return "", errors.New("the quoted path holds an unknown escape")
			}
		}
		path = append(path, c)
		b = b[n:]
	}
	return string(path), nil
}

// escape returns the byte that the escape at the beginning of b stands for and
// the length of the escape, 0 if there is no such escape.
func escape(b []byte) (c byte, n int) {
	if len(b) < 2 {
		return 0, 0
	}
	const letters, bytes = `abtnvfr"\`, "\a\b\t\n\v\f\r\"\\"
	if i := strings.IndexByte(letters, b[1]); i >= 0 {
		return bytes[i], 2
	}
	if len(b) < 4 || b[1] > '3' || !octal(b[1:4]) {
		return 0, 0
	}
	c = (b[1]-'0')<<6 | (b[2]-'0')<<3 | (b[3] - '0')
	if c == 0 { // no path holds a NUL
		return 0, 0
	}
	return c, 4
}

// octal reports whether b holds octal digits only.
func octal(b []byte) bool {
	for _, c := range b {
		if c < '0' || c > '7' {
			return false
		}
	}
	return true
}

// isRename reports whether b, from a line count, is what git prints for the
// pair of paths. One cannot go the other way, from b to the paths: a path may
// itself hold " => " and braces.
func isRename(b []byte, from, to string) bool {
	if string(b) == rename(from, to) {
		return true
	}
	// If one of the two needs quotes, git prints both in full.
	n := len(from)
	if len(b) > 0 && b[0] == '"' {
		n = quoted(b)
	}
	if n > len(b) {
		return false
	}
	rest, ok := bytes.CutPrefix(b[n:], []byte(" => "))
	return ok && isPath(b[:n], from) && isPath(rest, to)
}

// quoted returns the length of the quoted path at the beginning of b, which
// begins with a quote.
func quoted(b []byte) int {
	for i := 1; i < len(b); i++ {
		switch b[i] {
		case '"':
			return i + 1
		case '\\':
			i++
		}
	}
	return len(b)
}

// isPath reports whether b, quoted or not, is the path.
func isPath(b []byte, path string) bool {
	p, err := unquote(b)
	return err == nil && p == path
}

// rename returns what git prints for a pair of paths of which none needs
// quotes: "from => to", with what both have in common at the beginning and at
// the end, up to slashes, outside of braces.
func rename(from, to string) string {
	prefix := 0
	for i := 0; i < len(from) && i < len(to) && from[i] == to[i]; i++ {
		if from[i] == '/' {
			prefix = i + 1
		}
	}
	// The slash at the end of the prefix may be the one at the beginning of
	// the suffix as well, so that a/c and a/b/c give a/{ => b}/c.
	low := prefix
	if prefix > 0 {
		low--
	}
	suffix := 0
	for i, j := len(from)-1, len(to)-1; i >= low && j >= low && from[i] == to[j]; i, j = i-1, j-1 {
		if from[i] == '/' {
			suffix = len(from) - i
		}
	}
	middle := func(s string) string {
		return s[prefix:max(prefix, len(s)-suffix)]
	}
	if prefix+suffix == 0 {
		return from + " => " + to
	}
	return from[:prefix] + "{" + middle(from) + " => " + middle(to) + "}" + from[len(from)-suffix:]
}
