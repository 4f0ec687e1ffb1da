package conformance

import (
	"bytes"
	"flag"
	"fmt"
	"go/format"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write sentences.go from driver/doc.go")

// specification returns the numbered sentences of package driver.
func specification(t *testing.T) (ids []string, text map[string]string) {
	t.Helper()
	src, err := os.ReadFile("../driver/doc.go")
	if err != nil {
		t.Fatal(err)
	}
	text = map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^//\t([A-Z][0-9]+)\. (.+)$`).FindAllSubmatch(src, -1) {
		id := string(m[1])
		if text[id] != "" {
			t.Errorf("driver/doc.go has two sentences %s", id)
		}
		ids = append(ids, id)
		text[id] = id + ". " + string(m[2])
	}
	if len(ids) < 80 {
		t.Fatalf("found %d sentences in driver/doc.go", len(ids))
	}
	return ids, text
}

func TestSentencesAreThoseOfTheSpecification(t *testing.T) {
	ids, text := specification(t)
	var b bytes.Buffer
	b.WriteString("package conformance\n\n// sentences are those of package driver's documentation, for the words of a\n// failure. go test -run Sentences -update writes them anew.\nvar sentences = map[string]string{\n")
	for _, id := range ids {
		fmt.Fprintf(&b, "%q: %q,\n", id, text[id])
	}
	b.WriteString("}\n")
	want, err := format.Source(b.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile("sentences.go", want, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if got, _ := os.ReadFile("sentences.go"); !bytes.Equal(got, want) {
		t.Error("sentences.go is not what driver/doc.go says: go test ./conformance -run Sentences -update")
	}
}

func TestEverySentenceHasACheck(t *testing.T) {
	ids, text := specification(t)
	checked := map[string]bool{}
	var names []string
	for _, c := range checks {
		if slices.Contains(names, c.name) || !regexp.MustCompile(`^[a-z]+/[a-z-]+$`).MatchString(c.name) {
			t.Errorf("check %q: the name is taken, or not of the form area/what", c.name)
		}
		names = append(names, c.name)
		rules := strings.Fields(c.rules)
		if len(rules) == 0 {
			t.Errorf("check %q enforces no sentence", c.name)
		}
		for _, id := range rules {
			if text[id] == "" {
				t.Errorf("check %q enforces %s, which the specification does not have", c.name, id)
			}
			checked[id] = true
		}
	}
	for _, id := range ids {
		if !checked[id] {
			t.Errorf("no check enforces %s", text[id])
		}
	}
}
