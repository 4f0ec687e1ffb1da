package gitlog

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
)

func TestReadTree(t *testing.T) {
	in := "100644 blob " + hashA + "\t caf\u00e9 \n" +
		"100755 blob " + hashB + "\t\"caf\\303\\251\\n\\t\\\"\"\n" +
		"120000 blob " + hashC + "\ta => b\n" +
		"160000 commit " + hashA + "\tsub\n"
	want := []Entry{
		{ModeFile, hashA, " caf\u00e9 "},
		{ModeExecutable, hashB, "caf\u00e9\n\t\""},
		{ModeSymlink, hashC, "a => b"},
		{ModeSubmodule, hashA, "sub"},
	}
	for _, b := range [][]byte{[]byte(in), zip(in)} {
		if got, err := ReadTree(bytes.NewReader(b)); err != nil || !slices.Equal(got, want) {
			t.Errorf("got %v, %v; want %v", got, err, want)
		}
	}
	if got, err := ReadTree(strings.NewReader("")); got != nil || err != nil {
		t.Errorf("empty tree: %v, %v", got, err)
	}
}

func TestReadTreeErrors(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"\n", "want mode"},
		{"fatal: not a tree object\n", "want mode"},
		{"100644 blob " + hashA + "\n", "want mode"},
		{"100644 blob\tp\n", "want mode"},
		{"040000 tree " + hashA + "\tp\n", "without -r"},
		{"100644 commit " + hashA + "\tp\n", "want type blob"},
		{"160000 blob " + hashA + "\tp\n", "want type commit"},
		{"10064 blob " + hashA + "\tp\n", "octal"},
		{"100644 blob " + hashA[1:] + "\tp\n", "hex digits"},
		{"100644 blob " + hashA + "\t\n", "path is empty"},
		{"100644 blob " + hashA + "\t\"\\\n", "closing quote"},
		{"100644 blob " + hashA + "\tp", "ends before the newline"},
	} {
		good := "100644 blob " + hashB + "\tgood\n"
		_, err := ReadTree(strings.NewReader(good + tt.in))
		var perr *ParseError
		if !errors.As(err, &perr) || perr.Line != 2 || perr.Offset != int64(len(good)) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%q: %v, want %q", tt.in, err, tt.want)
		}
	}
	packed := zip("100644 blob " + hashA + "\tp\n")
	if _, err := ReadTree(bytes.NewReader(packed[:len(packed)-1])); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("cut gzip: %v", err)
	}
}

func FuzzReadTree(f *testing.F) {
	f.Add([]byte("100644 blob "+hashA+"\t\"\\303\"\n"), false)
	f.Add([]byte("160000 commit "+hashA+"\ta\nb\x00"), true)
	f.Fuzz(func(t *testing.T, in []byte, nul bool) {
		end := byte('\n')
		if nul {
			end = 0
		}
		tree, err := readTree(bytes.NewReader(in), end)
		for _, e := range tree {
			if err != nil || e.Path == "" || e.Mode == modeTree {
				t.Errorf("%v, %v", e, err)
			}
		}
	})
}
