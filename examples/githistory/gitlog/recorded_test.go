package gitlog

import (
	"bytes"
	"reflect"
	"slices"
	"testing"
)

// TestRecorded replays a real history and compares it with the trees that git
// printed of it.
func TestRecorded(t *testing.T) {
	at800, err := ReadTreeFile("../testdata/eventsourcing-tree-at-commit-800.txt.gz")
	if err != nil {
		t.Fatal(err)
	}
	head, err := ReadTreeFile("../testdata/eventsourcing-tree.txt.gz")
	if err != nil {
		t.Fatal(err)
	}
	if len(at800) != 243 || len(head) != 208 {
		t.Fatalf("trees of %d and %d files, want 243 and 208", len(at800), len(head))
	}

	fs := make(files)
	counts := make(map[Status]int)
	commits := all(t, ParseFile("../testdata/eventsourcing-history.log.gz"))
	for i, c := range commits {
		if c.Ordinal != i+1 {
			t.Fatalf("commit %d has ordinal %d", i+1, c.Ordinal)
		}
		if err := fs.apply(c); err != nil {
			t.Fatal(err)
		}
		for _, ch := range c.Changes {
			counts[ch.Status]++
		}
		if c.Ordinal == 800 {
			if c.Hash != "b0990316192e6bddc25171c5e830fdacc9311060" {
				t.Errorf("commit 800 is %s", c.Hash)
			}
			if !slices.Equal(fs.tree(), at800) {
				t.Error("the tree at commit 800 differs")
			}
		}
	}
	if !slices.Equal(fs.tree(), head) {
		t.Error("the tree at the last commit differs")
	}
	if len(commits) != 1644 {
		t.Errorf("%d commits, want 1644", len(commits))
	}
	want := map[Status]int{Added: 550, Deleted: 342, Renamed: 258, Modified: 5666, TypeChanged: 1}
	if !reflect.DeepEqual(counts, want) {
		t.Errorf("changes %v, want %v", counts, want)
	}
	var lines, binary int
	for _, f := range fs {
		if f.binary {
			binary++
		} else {
			lines += f.lines
		}
	}
	if lines != 37858 || binary != 5 {
		t.Errorf("%d lines without %d binary files, want 37858 without 5", lines, binary)
	}

	again := all(t, Parse(bytes.NewReader(printZ(commits))))
	if !reflect.DeepEqual(again, commits) {
		t.Error("the log with -z differs")
	}
}

func BenchmarkParse(b *testing.B) {
	for b.Loop() {
		for _, err := range ParseFile("../testdata/eventsourcing-history.log.gz") {
			if err != nil {
				b.Fatal(err)
			}
		}
	}
}
