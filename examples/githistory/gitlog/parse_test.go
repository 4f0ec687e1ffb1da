package gitlog

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

var (
	hashA = strings.Repeat("a", 40)
	hashB = strings.Repeat("b", 40)
	hashC = strings.Repeat("c", 40)
	none  = strings.Repeat("0", 40)
)

// short is a log with one of everything; see spell for the hashes.
const short = `@$A 1440509729

:000000 100644 $0 $B A	new
:100644 000000 $B $0 D	old
:100644 100755 $B $C M	" \"quoted\"\n\303\251"
:100644 100644 $B $C R087	x/from	x/to
:100644 100644 $B $B C100	from	to
:100644 120000 $B $C T	type
12	0	new
0	3	old
-	-	" \"quoted\"\n\303\251"
4	5	x/{from => to}
0	0	from => to
1	1	type
@$B 7
@$C ` + `

:160000 160000 $A $B M	@$A 8
1	1	@$A 8
`

// spell puts hashes for their letters.
func spell(s string) string {
	return strings.NewReplacer("$A", hashA, "$B", hashB, "$C", hashC, "$0", none).Replace(s)
}

// zeroed is spell for the form with -z.
func zeroed(s string) string { return strings.ReplaceAll(spell(s), "|", "\x00") }

func TestParse(t *testing.T) {
	name := " \"quoted\"\n\u00e9"
	want := []Commit{
		{Ordinal: 1, Hash: hashA, Time: time.Date(2015, 8, 25, 13, 35, 29, 0, time.UTC), Changes: []Change{
			{Status: Added, NewMode: ModeFile, NewBlob: hashB, Path: "new", Added: 12},
			{Status: Deleted, OldMode: ModeFile, OldBlob: hashB, OldPath: "old", Path: "old", Removed: 3},
			{Status: Modified, OldMode: ModeFile, NewMode: ModeExecutable, OldBlob: hashB, NewBlob: hashC, OldPath: name, Path: name, Binary: true},
			{Status: Renamed, Score: 87, OldMode: ModeFile, NewMode: ModeFile, OldBlob: hashB, NewBlob: hashC, OldPath: "x/from", Path: "x/to", Added: 4, Removed: 5},
			{Status: Copied, Score: 100, OldMode: ModeFile, NewMode: ModeFile, OldBlob: hashB, NewBlob: hashB, OldPath: "from", Path: "to"},
			{Status: TypeChanged, OldMode: ModeFile, NewMode: ModeSymlink, OldBlob: hashB, NewBlob: hashC, OldPath: "type", Path: "type", Added: 1, Removed: 1},
		}},
		{Ordinal: 2, Hash: hashB, Time: time.Unix(7, 0).UTC()},
		{Ordinal: 3, Hash: hashC, Changes: []Change{
			{Status: Modified, OldMode: ModeSubmodule, NewMode: ModeSubmodule, OldBlob: hashA, NewBlob: hashB, OldPath: "@" + hashA + " 8", Path: "@" + hashA + " 8", Added: 1, Removed: 1},
		}},
	}
	text := spell(short)
	forms := map[string]io.Reader{
		"text":         strings.NewReader(text),
		"bytewise":     iotest.OneByteReader(strings.NewReader(text)),
		"gzip":         bytes.NewReader(zip(text)),
		"two gzips":    bytes.NewReader(append(zip(text[:300]), zip(text[300:])...)),
		"z":            bytes.NewReader(printZ(want)),
		"z, bytewise":  iotest.OneByteReader(bytes.NewReader(printZ(want))),
		"z, with gzip": bytes.NewReader(zip(string(printZ(want)))),
	}
	for form, r := range forms {
		got, err := collect(Parse(r))
		if err != nil {
			t.Errorf("%s: %v", form, err)
		} else if !reflect.DeepEqual(got, want) {
			t.Errorf("%s:\n got %v\nwant %v", form, got, want)
		}
	}

	// SHA-256.
	long := strings.NewReplacer(hashA, strings.Repeat("a", 64), hashB, strings.Repeat("b", 64),
		hashC, strings.Repeat("c", 64), none, strings.Repeat("0", 64)).Replace(text)
	if got := all(t, Parse(strings.NewReader(long))); len(got) != 3 || len(got[0].Changes[0].NewBlob) != 64 || got[0].Changes[0].OldBlob != "" {
		t.Errorf("SHA-256: %v", got)
	}
}

func zip(s string) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	io.WriteString(w, s)
	w.Close()
	return b.Bytes()
}

func TestParseTimes(t *testing.T) {
	for in, want := range map[string]time.Time{
		"":                        {},
		"0":                       time.Unix(0, 0).UTC(),
		"00012":                   time.Unix(12, 0).UTC(),
		"253402300799":            time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC),
		"253402300800":            {},
		"9223372036854775808":     {},
		"99999999999999999999999": {},
	} {
		got, err := collect(Parse(strings.NewReader("@" + hashA + " " + in + "\n")))
		if err != nil || len(got) != 1 || got[0].Time != want {
			t.Errorf("%q: %v, %v; want %v", in, got, err, want)
		}
	}
}

func TestParseErrors(t *testing.T) {
	const head = "@$A 1\n\n"
	const added = ":000000 100644 $0 $B A\tp\n"
	for _, tt := range []struct {
		in   string
		line int
		want string // within the message
	}{
		{"", 1, "ends before the first commit"},
		{"\n", 1, "want a commit"},
		{"commit $A\n", 1, "want a commit"},
		{"fatal: not a git repository\n", 1, "want a commit"},
		{"@$A\n", 1, "a blank and a time"},
		{"@abc 1\n", 1, "40 or 64 hex digits"},
		{"@" + strings.Repeat("A", 40) + " 1\n", 1, "40 or 64 hex digits"},
		{"@$A x\n", 1, `want a time in seconds, got "x"`},
		{"@$A -1\n", 1, "want a time in seconds"},
		{"@$A 1\r\n", 1, "want a time in seconds"},
		{"@$A 1\n@$A 1\n", 2, "--first-parent"},
		{"@$A 1\n@" + strings.Repeat("a", 64) + " 1\n", 2, "has 64 hex digits, those before have 40"},
		{"@$A 1", 1, "ends before the newline"},
		{"@$A 1\n\n", 3, "ends before the changes of commit " + hashA},
		{"@$A 1\n\n@$B 1\n", 3, "want a change"},
		{"@$A 1\nx\n", 2, "want a commit"},
		{head + "x\n", 3, "want a change"},
		{head + "\n", 3, "want a change"},
		{head + added, 4, `ends before the line count of "p"`},
		{head + added + "@$B 1\n", 4, `want the line count of "p"`},
		{head + added + "1\t0\tq\n", 4, `want the line count of "p"`},
		{head + added + "1\t0\n", 4, `want the line count of "p"`},
		{head + added + "1\tx\tp\n", 4, `"x" is no number of lines`},
		{head + added + "-\t0\tp\n", 4, `"-" is no number of lines`},
		{head + added + "-1\t0\tp\n", 4, `"-1" is no number of lines`},
		{head + added + "99999999999999999999\t0\tp\n", 4, "is no number of lines"},
		{head + added + "1\t0\tp\n1\t0\tp\n", 5, "want a commit"},
		{head + added + "1\t0\tp\n\n", 5, "want a commit"},
		{head + added + ":000000 100644 $0 $B A\tq\n1\t0\tq\n1\t0\tp\n", 5, `want the line count of "p"`},
		{head + ":100644 100644 $B $C R050\tp\tq\n1\t1\tq => p\n", 4, `want the line count of "q"`},
		{head + "::100644 100644 100644 $B $B $C MM\tp\n", 3, "--first-parent -m"},
		{head + ":000000 100644 $0 $B A\n", 3, "the path is empty"},
		{head + ":000000 100644 $0 $B A\t\n", 3, "the path is empty"},
		{head + ":000000 100644 $0 $B A\tp\tq\n", 3, "too many paths"},
		{head + ":000000 100644 $0 $B A\t\"p\n", 3, "closing quote"},
		{head + ":100644 100644 $B $C R050\tp\n", 3, "the path is empty"},
		{head + ":100644 100644 $B $C R050\t\\\"\n", 3, "the path is empty"},
		{head + ":100644 100644 $B $C R\tp\tq\n", 3, "no score"},
		{head + ":100644 100644 $B $C R101\tp\tq\n", 3, "no score"},
		{head + ":100644 100644 $B $C R+50\tp\tq\n", 3, "no score"},
		{head + ":100644 100644 $B $C M050\tp\n", 3, "has a score"},
		{head + ":100644 100644 $B $C U\tp\n", 3, `"U" is none of`},
		{head + ":100644 100644 $B $C \tp\n", 3, "no status"},
		{head + ":100644 100644 $B M\tp\n", 3, "want 5 fields before the path, got 4"},
		{head + ":\n", 3, "want 5 fields"},
		{head + ":100644 100644 $B bbbb... M\tp\n", 3, "want 40 hex digits"},
		{head + ":100644 10064 $B $C M\tp\n", 3, "six octal digits"},
		{head + ":100644 100648 $B $C M\tp\n", 3, "six octal digits"},
		{head + ":100644 100644 $0 $C M\tp\n", 3, "does not go with blob"},
		{head + ":100644 100644 $B $C A\tp\n", 3, "does not go with the modes"},
		{head + ":000000 100644 $0 $C M\tp\n", 3, "does not go with the modes"},
		{head + ":100644 000000 $B $0 T\tp\n", 3, "does not go with the modes"},
		{"@$A 1\n@$B " + strings.Repeat("1", 2<<20) + "\n", 2, "longer than"},

		// With -z; | stands for NUL.
		{"@$A 1|\n", 2, "ends before the NUL"},
		{"@$A 1|\n|", 2, "want a change"},
		{"@$A 1|\n@$B 1|", 2, "want a change"},
		{"@$A 1|x|", 2, "want a commit"},
		{"@$A 1||", 2, "want a commit"},
		{"@$A 1|\n:000000 100644 $0 $B A|", 3, "ends before the path of a change"},
		{"@$A 1|\n:000000 100644 $0 $B A||", 3, "the path of a change is empty"},
		{"@$A 1|\n:000000 100644 $0 $B A\tp|", 2, "there is a tab"},
		{"@$A 1|\n:000000 100644 $0 $B A|p|", 4, `ends before the line count of "p"`},
		{"@$A 1|\n:000000 100644 $0 $B A|p|1\t0\t|", 4, `want the line count of "p"`},
		{"@$A 1|\n:100644 100644 $B $C R050|p|", 4, "ends before the path of a change"},
		{"@$A 1|\n:100644 100644 $B $C R050|p|q|1\t0\tq|", 5, `want the line count of "q"`},
		{"@$A 1|\n:100644 100644 $B $C R050|p|q|1\t0\t|q|", 6, `want the line count of "q"`},
		{"@$A 1|\n:100644 100644 $B $C R050|p|q|1\t0\t|p|", 7, "ends before a path of a line count"},
		{"@$A 1|\n:100644 100644 $B $C R050|p|q|1\t0\t|p|r|", 7, `want the line count of "q"`},
	} {
		in := zeroed(tt.in)
		_, err := collect(Parse(strings.NewReader(in)))
		var perr *ParseError
		switch {
		case !errors.As(err, &perr):
			t.Errorf("%.80q: %v", tt.in, err)
			continue
		case perr.Line != tt.line || !strings.Contains(err.Error(), tt.want):
			t.Errorf("%.80q: %v\nwant line %d and %q", tt.in, err, tt.line, tt.want)
		case len(err.Error()) > 500:
			t.Errorf("%.80q: the message has %d bytes", tt.in, len(err.Error()))
		case strings.Contains(tt.want, "ends before") != errors.Is(err, io.ErrUnexpectedEOF):
			t.Errorf("%.80q: %v: is an unexpected EOF: %t", tt.in, err, errors.Is(err, io.ErrUnexpectedEOF))
		}
		// The offset is where the line begins.
		end := "\n"
		if strings.Contains(in, "\x00") {
			end = "\x00"
		}
		if lines := strings.SplitAfter(in, end); perr.Offset != int64(len(strings.Join(lines[:min(tt.line-1, len(lines))], ""))) {
			t.Errorf("%.80q: offset %d", tt.in, perr.Offset)
		}
	}
}

// TestTruncated cuts logs everywhere. No cut may give a commit that is not
// there, and all cuts but those behind a header or a commit must be seen.
func TestTruncated(t *testing.T) {
	text := spell(short)
	want := all(t, Parse(strings.NewReader(text)))
	for _, whole := range []string{text, string(printZ(want))} {
		unseen := 0
		for n := range len(whole) {
			got, err := collect(Parse(strings.NewReader(whole[:n])))
			if err != nil {
				if !errors.Is(err, io.ErrUnexpectedEOF) && n >= 128 {
					t.Errorf("%d bytes: %v", n, err)
				}
			} else {
				unseen++
				last := len(got) - 1
				if c := got[last]; c.Changes == nil {
					want := want[last]
					want.Changes = nil
					if !reflect.DeepEqual(c, want) {
						t.Errorf("%d bytes: got %v, want %v", n, c, want)
					}
					got = got[:last]
				}
			}
			if len(got) > 0 && !reflect.DeepEqual(got, want[:len(got)]) {
				t.Errorf("%d bytes: got %v", n, got)
			}
		}
		if unseen != 4 {
			t.Errorf("%d cuts were not seen, want 4: behind three headers and the first commit", unseen)
		}
		packed := zip(whole)
		for n := range len(packed) {
			if got, err := collect(Parse(bytes.NewReader(packed[:n]))); err == nil {
				t.Errorf("%d bytes of %d of gzip: %v", n, len(packed), got)
			}
		}
	}
}

func TestParseReadError(t *testing.T) {
	broken := errors.New("broken")
	text := spell(short)
	for n := range len(text) {
		got, err := collect(Parse(io.MultiReader(strings.NewReader(text[:n]), iotest.ErrReader(broken))))
		if !errors.Is(err, broken) {
			t.Fatalf("after %d bytes: %v, %v", n, got, err)
		}
	}
}

func TestParseFile(t *testing.T) {
	dir := t.TempDir()
	good, bad := filepath.Join(dir, "good"), filepath.Join(dir, "bad")
	for name, contents := range map[string][]byte{good: []byte(spell(short)), bad: zip("nonsense")} {
		if err := os.WriteFile(name, contents, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	seq := ParseFile(good)
	for range 2 {
		if got := all(t, seq); len(got) != 3 {
			t.Errorf("%d commits", len(got))
		}
	}
	for range seq {
		break
	}
	var perr *ParseError
	if _, err := collect(ParseFile(bad)); !errors.As(err, &perr) || !strings.Contains(err.Error(), bad) {
		t.Errorf("bad file: %v", err)
	}
	if _, err := collect(ParseFile(filepath.Join(dir, "none"))); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	if _, err := ReadTreeFile(filepath.Join(dir, "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(spell(short)))
	f.Add(printZ(all(&testing.T{}, Parse(strings.NewReader(spell(short))))))
	f.Add(zip(spell(short)))
	f.Add([]byte("@" + hashA + " 1\x00\n:100644 100644 " + hashB + " " + hashC + " R050\x00a => b\x00{c\x001\t0\t\x00a => b\x00{c\x00"))
	f.Fuzz(func(t *testing.T, in []byte) {
		commits, err := collect(Parse(bytes.NewReader(in)))
		if len(commits) == 0 {
			if err == nil {
				t.Error("neither commits nor an error")
			}
			return
		}
		again, err := collect(Parse(bytes.NewReader(printZ(commits))))
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(again, commits) {
			t.Errorf("got %+v, printed and parsed again %+v", commits, again)
		}
	})
}
