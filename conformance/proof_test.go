package conformance

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-es/es/driver"
)

// The proof that the suite finds what is wrong: stores with one fault each, the
// mutants, each of which certain checks have to catch; stores that are strange and
// legal, on which every check has to pass; and that no check, no mutant and no
// sentence stands outside of that.

// run runs one check on a mutant and returns what it said, if it failed.
func (m *mutant) run(t *testing.T, name string) (string, bool) {
	t.Helper()
	y := newToy()
	if m.set != nil {
		m.set(y)
	}
	cfg := y.config(300 * time.Millisecond)
	if m.with != nil {
		over := byData(m.with)
		dress := func(dsn string, s *toyStore) driver.Store { return &wrong{s, over(dsn)} }
		cfg.Open = func(ctx context.Context, dsn string) (driver.Store, error) {
			s, err := y.Open(ctx, dsn)
			if err != nil {
				return nil, err
			}
			return dress(dsn, s), nil
		}
		fault := cfg.Fault
		cfg.Fault = func(tb TB, dsn string) Faulty {
			f := fault(tb, dsn)
			s, _ := f.Store.(*toyStore)
			f.Store = dress(dsn, s)
			return f
		}
	}
	if m.cfg != nil {
		m.cfg(&cfg, y)
	}
	workIfAsked(t, &cfg)
	i := slices.IndexFunc(checks, func(c check) bool { return c.name == name })
	if i < 0 {
		t.Fatalf("there is no check %q", name)
	}
	r := newRecorder(t.Context(), t.Name()+"/"+name)
	r.run(func() {
		p, err := probeStore(r, &cfg)
		if err != nil {
			r.Fatalf("probe: %v", err)
		}
		if missing := checks[i].missing(p); missing != "" {
			r.Skipf("for want of %s", missing)
		}
		runCheck(r, &cfg, p, &checks[i])
	})
	return r.log(), r.Failed()
}

// promise is the sentence of a mutant that a check said does not hold.
func (m *mutant) promise(said string) (rule string, ok bool) {
	for rule := range strings.FieldsSeq(m.rules) {
		if strings.Contains(said, ": "+rule+" does not hold") {
			return rule, true
		}
	}
	return "", false
}

func TestMutantsAreCaught(t *testing.T) {
	if testing.Short() {
		t.Skip("with -short, the checks that depend on chance have too few chances")
	}
	settle, leak := settleTime, leakTime
	t.Cleanup(func() { settleTime, leakTime = settle, leak })
	settleTime, leakTime = 500*time.Millisecond, 200*time.Millisecond
	alone := regexp.MustCompile(`lifetime/|opening/|process/`) // what looks for goroutines, or loads the machine
	for _, m := range mutants {
		t.Run(m.name, func(t *testing.T) {
			if !alone.MatchString(m.checks) {
				t.Parallel()
			}
			for name := range strings.FieldsSeq(m.checks) {
				said, failed := m.run(t, name)
				rule, ok := m.promise(said)
				for range 4 { // some checks depend on chance, and what they say on the load
					if !failed || !ok || unclear(said) != "" {
						said, failed = m.run(t, name)
						rule, ok = m.promise(said)
					}
				}
				switch {
				case !failed:
					t.Errorf("%s passes on it: %s", name, said)
				case !ok:
					t.Errorf("%s fails on it, and does not say that one of %s does not hold:\n%s", name, m.rules, said)
				default:
					t.Logf("%q is caught by %s: %s", m.name, name, sentences[rule])
				}
				if what := unclear(said); failed && what != "" {
					t.Errorf("%s fails on it, and %s:\n%s", name, what, said)
				}
			}
		})
	}
	t.Log(counts(t))
}

// uncovered says what the proof leaves out: checks that no mutant shows to fail,
// mutants that name a check which is not there, and sentences that no mutant
// breaks under a check for them.
func uncovered(checks []check, mutants []mutant, ids []string) (left []string) {
	rules := map[string]string{}
	for _, c := range checks {
		rules[c.name] = " " + c.rules + " "
	}
	caught, broken, names := map[string]bool{}, map[string]bool{}, map[string]bool{}
	for _, m := range mutants {
		if names[m.name] {
			left = append(left, fmt.Sprintf("two mutants are called %q", m.name))
		}
		names[m.name] = true
		if m.checks == "" {
			left = append(left, fmt.Sprintf("no check has to catch the mutant %q", m.name))
		}
		for name := range strings.FieldsSeq(m.checks) {
			if _, there := rules[name]; !there {
				left = append(left, fmt.Sprintf("the mutant %q is to be caught by %s, which is not there", m.name, name))
			}
			caught[name] = true
			for rule := range strings.FieldsSeq(m.rules) {
				broken[rule] = broken[rule] || strings.Contains(rules[name], " "+rule+" ")
			}
		}
	}
	for _, c := range checks {
		if !caught[c.name] {
			left = append(left, fmt.Sprintf("no mutant shows that %s can fail", c.name))
		}
	}
	for _, id := range ids {
		if !broken[id] {
			left = append(left, fmt.Sprintf("no mutant breaks %s under a check for it", id))
		}
	}
	return left
}

func TestProofIsComplete(t *testing.T) {
	ids, _ := specification(t)
	for _, what := range uncovered(checks, mutants, ids) {
		t.Error(what)
	}
}

// TestEveryCheckIsNeeded takes each check away, and each mutant that is the only
// one of a check, and looks that the proof notices it.
func TestEveryCheckIsNeeded(t *testing.T) {
	ids, _ := specification(t)
	for i, c := range checks {
		rest := slices.Delete(slices.Clone(checks), i, i+1)
		left := uncovered(rest, mutants, ids)
		if !slices.ContainsFunc(left, func(s string) bool { return strings.Contains(s, "by "+c.name+", which is not there") }) {
			t.Errorf("without %s the proof is complete: %q", c.name, left)
		}
		without := slices.DeleteFunc(slices.Clone(mutants), func(m mutant) bool { return slices.Contains(strings.Fields(m.checks), c.name) })
		if left := uncovered(checks, without, ids); !slices.Contains(left, "no mutant shows that "+c.name+" can fail") {
			t.Errorf("without the mutants of %s the proof is complete: %q", c.name, left)
		}
	}
	t.Logf("each of %d checks was taken away in turn, and missed", len(checks))
}

// counts are the numbers that the README states.
func counts(t *testing.T) string {
	ids, _ := specification(t)
	return fmt.Sprintf("%d checks for %d promises; it is tested itself, on %d stores that each break a promise and must fail, and %d that are odd but right and must pass", len(checks), len(ids), len(mutants), len(legalStores))
}

// TestCountsAreStated holds the numbers in the README against what there is.
func TestCountsAreStated(t *testing.T) {
	page, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	want := counts(t)
	t.Log(want)
	stated := regexp.MustCompile(regexp.MustCompile(`[0-9]+`).ReplaceAllString(want, "[0-9]+"))
	if *update {
		page = stated.ReplaceAll(page, []byte(want))
		if err := os.WriteFile("../README.md", page, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got := strings.Join(strings.Fields(string(stated.Find(page))), " "); got != want {
		t.Errorf("README.md says %q, and there are %s: go test ./conformance -run Counts -update", got, want)
	}
}
