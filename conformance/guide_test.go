package conformance

import (
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestGuide holds the names in docs/writing-a-driver.md against the suite: the
// checks and the sentences that it names are there, and it names every area and
// every hook. (That its code does what it says is tested in internal/layers.)
func TestGuide(t *testing.T) {
	page, err := os.ReadFile("../docs/writing-a-driver.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, wrong := range wrongNames(string(page)) {
		t.Error(wrong)
	}
	for _, f := range reflect.VisibleFields(reflect.TypeFor[Config]()) {
		if f.IsExported() && !strings.Contains(string(page), "\n| `"+f.Name+"` |") {
			t.Errorf("the table of the hooks has no row for Config.%s", f.Name)
		}
	}
	for _, c := range checks {
		if area, _, _ := strings.Cut(c.name, "/"); !strings.Contains(string(page), "`"+area+"`") {
			t.Errorf("the page does not name the area %s", area)
		}
	}
	if got := wrongNames("`feed/nothing` (F99), `nowhere` -run 'TestConformance/(feed|versons)/x' and -run 'TestConformance/(feed|list/order)'"); len(got) != 4 {
		t.Errorf("of four wrong names there were found %q", got)
	}
}

var (
	checkName = regexp.MustCompile("`([a-z]+/[a-z-]+)`")
	ruleName  = regexp.MustCompile(`[(, ]([A-Z][1-9][0-9]?)[),:.]`)
	pattern   = regexp.MustCompile(`TestConformance/([^' ` + "`" + `]+)`)
)

// wrongNames returns what a text names and the suite does not have.
func wrongNames(text string) (wrong []string) {
	for _, m := range checkName.FindAllStringSubmatch(text, -1) {
		if !slices.ContainsFunc(checks, func(c check) bool { return c.name == m[1] }) {
			wrong = append(wrong, "there is no check "+m[1])
		}
	}
	for _, m := range ruleName.FindAllStringSubmatch(text, -1) {
		if sentences[m[1]] == "" {
			wrong = append(wrong, "there is no sentence "+m[1])
		}
	}
	for _, m := range pattern.FindAllStringSubmatch(text, -1) {
		for _, p := range alternatives(m[1]) {
			if !slices.ContainsFunc(checks, func(c check) bool { return c.name == p || strings.HasPrefix(c.name, p+"/") }) {
				wrong = append(wrong, "-run TestConformance/"+m[1]+": no check is or lies below "+p)
			}
		}
	}
	return wrong
}

// alternatives returns what a pattern such as a/(b|c) stands for.
func alternatives(pattern string) []string {
	before, rest, ok := strings.Cut(pattern, "(")
	if !ok {
		return []string{pattern}
	}
	inner, _, _ := strings.Cut(rest, ")")
	var all []string
	for _, a := range strings.Split(inner, "|") {
		if strings.Contains(a, "/") {
			a = "a name of two levels: " + a // go test matches level by level
		}
		all = append(all, before+a)
	}
	return all
}
