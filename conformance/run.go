package conformance

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-es/es/driver"
)

// A check tries to break some sentences of the specification.
type check struct {
	name  string // area/what
	rules string // the sentences that it enforces, separated by blanks
	needs []need
	run   func(t *test)
}

// checks are all, in the order of the specification.
var checks = slices.Concat(
	recordChecks, nameChecks, versionChecks, appendChecks, againChecks, unknownChecks, streamChecks, feedChecks, stormChecks,
	deleteChecks, listChecks, checkpointChecks, snapshotChecks, groupChecks, wakeChecks, errorChecks, lifetimeChecks,
	openingChecks, processChecks, crashChecks, txChecks, capsChecks, modelChecks,
)

// Run checks the store that cfg describes, each check as a subtest with data of
// its own, one after the other.
func Run(t *testing.T, cfg Config) {
	t.Helper()
	run(t, cfg, checks)
}

func run(t *testing.T, cfg Config, some []check) {
	t.Helper()
	if cfg.Open == nil || cfg.DSN == nil {
		t.Fatal("conformance: Config needs Open and DSN")
	}
	cfg = cfg.withDefaults()
	workIfAsked(t, &cfg)
	for name := range cfg.Known {
		if !slices.ContainsFunc(checks, func(c check) bool { return c.name == name }) {
			t.Errorf("conformance: Config.Known: there is no check %q", name)
		}
	}
	p, err := probeStore(t, &cfg)
	if err != nil {
		t.Fatalf("conformance: %v", err)
	}
	var ran int
	var skipped []string
	for i := range some {
		c := &some[i]
		if missing := c.missing(p); missing != "" {
			skipped = append(skipped, fmt.Sprintf("%s (%s): for want of %s", c.name, c.rules, missing))
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			ran++
			if reason, known := cfg.Known[c.name]; known {
				runKnown(t, &cfg, p, c, reason)
				return
			}
			if !isLong() {
				runCheck(t, &cfg, p, c)
				return
			}
			for round := range longRounds {
				if !t.Run(fmt.Sprint("round-", round+1), func(t *testing.T) { runCheck(t, &cfg, p, c) }) {
					return
				}
			}
		})
	}
	report := fmt.Sprintf("conformance: %d checks ran, %d were skipped", ran, len(skipped))
	t.Log(strings.Join(append([]string{report}, skipped...), "\n\t"))
}

// runKnown runs a check that is expected to fail.
func runKnown(t TB, cfg *Config, p *probe, c *check, reason string) {
	r := newRecorder(t.Context(), t.Name())
	r.run(func() { runCheck(r, cfg, p, c) })
	if r.Skipped() && !r.Failed() { // it finds out late that it lacks something
		t.Skipf("%s", r.log())
	}
	if !r.Failed() {
		t.Errorf("passes, and is in Config.Known: %s", reason)
		return
	}
	t.Skipf("known: %s\n%s", reason, r.log())
}

// runCheck runs one check on tb.
func runCheck(tb TB, cfg *Config, p *probe, c *check) {
	ctx, cancel := context.WithTimeout(tb.Context(), checkTime()+5*cfg.FeedBound)
	t := &test{TB: tb, cfg: cfg, check: c, caps: p.caps, ctx: ctx}
	t.trace.began = time.Now()
	tb.Cleanup(func() {
		t.closeAll()
		cancel()
	})
	c.run(t)
}

// missing says what the check needs and the store or the Config has not.
func (c *check) missing(p *probe) string {
	var names []string
	for _, n := range c.needs {
		if !n.has(p) {
			names = append(names, n.name)
		}
	}
	return strings.Join(names, ", ")
}

func (cfg Config) withDefaults() Config {
	if cfg.FeedBound == 0 {
		cfg.FeedBound = 10 * time.Second
	}
	return cfg
}

// probe is what there is to check.
type probe struct {
	cfg   *Config
	caps  driver.Caps
	store driver.Store // closed; only its type counts
}

func probeStore(tb TB, cfg *Config) (*probe, error) {
	s, err := cfg.Open(tb.Context(), cfg.DSN(tb))
	if err != nil {
		return nil, fmt.Errorf("at Open: %w", err)
	}
	p := &probe{cfg: cfg, caps: s.Caps(), store: s}
	if err := s.Close(); err != nil {
		return nil, fmt.Errorf("at Close: %w", err)
	}
	return p, nil
}

// need is something that a check cannot do without.
type need struct {
	name string
	has  func(*probe) bool
}

// implements is the need of an optional interface.
func implements[I any](name string) need {
	return need{name, func(p *probe) bool { return implementing[I](p.store) }}
}

// implementing reports whether a store has an optional interface.
func implementing[I any](s driver.Store) bool {
	_, ok := s.(I)
	return ok
}

// What the store claims.
var (
	needBatch       = need{"Caps.MaxAppendEvents of 2 or more", func(p *probe) bool { return p.caps.MaxAppendEvents != 1 }}
	needStreams     = need{"Caps.MaxStreams", func(p *probe) bool { return p.caps.MaxStreams > 1 && p.caps.MaxAppendEvents != 1 }}
	needPosition    = need{"Caps.PositionOnAppend", func(p *probe) bool { return p.caps.PositionOnAppend }}
	needLate        = need{"late positions", func(p *probe) bool { return !p.caps.PositionOnAppend }}
	needGapless     = need{"Caps.Gapless", func(p *probe) bool { return p.caps.Gapless }}
	needFilter      = need{"Caps.FilterFeed", func(p *probe) bool { return p.caps.FilterFeed }}
	needCheckpoints = implements[driver.CheckpointStore]("CheckpointStore")
	needSnapshots   = implements[driver.SnapshotStore]("SnapshotStore")
	needGroups      = implements[driver.GroupAppender]("GroupAppender")
	needNotifier    = implements[driver.Notifier]("Notifier")
)

// What the Config tells of.
var (
	needClients   = need{"several clients (Config.Private, Config.Alone)", func(p *probe) bool { return !p.cfg.Private && !p.cfg.Alone }}
	needLasting   = need{"data that outlives its clients (Config.Private, Config.Volatile)", func(p *probe) bool { return !p.cfg.Private && !p.cfg.Volatile }}
	needProcesses = need{"Config.Processes", func(p *probe) bool { return p.cfg.Processes }}
	needBeside    = need{"Config.Beside", func(p *probe) bool { return p.cfg.Beside != nil }}
	needHold      = need{"Config.Hold", func(p *probe) bool { return p.cfg.Hold != nil }}
	needInTx      = need{"Config.InTx", func(p *probe) bool { return p.cfg.InTx != nil }}
	needRestore   = need{"Config.Restore", func(p *probe) bool { return p.cfg.Restore != nil }}
	needMalformed = need{"Config.Malformed", func(p *probe) bool { return len(p.cfg.Malformed) > 0 }}
	needForeign   = need{"Config.Foreign", func(p *probe) bool { return len(p.cfg.Foreign) > 0 }}
	needNewer     = need{"Config.Newer", func(p *probe) bool { return p.cfg.Newer != nil }}
	needSecrets   = need{"Config.Secrets", func(p *probe) bool { return len(p.cfg.Secrets) > 0 }}
	needRefused   = need{"Config.Refused", func(p *probe) bool { return len(p.cfg.Refused) > 0 }}
	needCheckOnly = need{"Config.CheckOnly", func(p *probe) bool { return p.cfg.CheckOnly != nil }}
	needCorrupt   = need{"Config.Corrupt", func(p *probe) bool { return len(p.cfg.Corrupt) > 0 }}
	needSingle    = need{"Caps.SingleProcess", func(p *probe) bool { return p.caps.SingleProcess }}
	needFault     = need{"Config.Fault", func(p *probe) bool { return p.cfg.Fault != nil }}
)
