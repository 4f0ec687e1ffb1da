// Package soak proves a driver beyond the conformance suite: processes that
// write and read the same data for long, with appends held open, rolled back,
// cut short, refused and repeated, and with processes that are killed. At the end
// every event that was acknowledged, refused or left in doubt is looked for in
// the feed, in its stream, and in what each reader had been given.
package soak

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/go-es/es/driver"
)

// TB is what Run uses of a test. A *testing.T is one.
type TB interface {
	Helper()
	Name() string
	Context() context.Context
	TempDir() string
	Cleanup(func())
	Logf(format string, args ...any)
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
}

// Config says what to run. Open and DSN are required.
type Config struct {
	// Open opens a client of the data. Each process opens some.
	Open func(ctx context.Context, dsn string) (driver.Store, error)

	// DSN returns the name of empty data that several processes can open. It is
	// called once, in the process of the test.
	DSN func() string

	// Held makes an append inside a transaction of its own and leaves that open,
	// after the INSERT and before the COMMIT. Exactly one of the functions is
	// called, once. An error says that nothing was written: a conflict, or one
	// that is transient, is as good as any; others fail the test. An error of
	// commit leaves open what became of it, unless it is a conflict. Nil: no
	// append is held open, and none is rolled back.
	Held func(ctx context.Context, dsn string, req driver.AppendRequest) (commit, rollback func() error, err error)

	// HeldFor is the longest that an append is held open; most are for a few
	// milliseconds, and one of a hundred for up to this. 2 seconds if 0.
	HeldFor time.Duration

	// Kill lets each process be killed at random moments, up to six times, and
	// start again.
	Kill bool

	// Late is how long a store with late positions may say End before it knows of
	// all that others have appended. 2 seconds if 0.
	Late time.Duration

	// Meanwhile runs in the process of the test while the others write, and ends
	// soon after its context, which ends with the writing: it disturbs the server.
	// It may be nil.
	Meanwhile func(ctx context.Context, dsn string)

	// Events is how many events are to be acknowledged. 0: as many as the
	// environment variable ES_SOAK says, or 4,000.
	Events int

	Processes int // 4 if 0
	Writers   int // of each process; 8 if 0
}

// lives is how often a process is killed at most, if Kill is set.
const lives = 6

// Run runs writers and readers in processes of their own, and then compares. The
// processes are the running test binary, started again so that it gets to this
// call of Run, which never returns there; what the test does before it calls Run
// it does there, too. Each process has one reader that follows the feed, with
// pages of another size each; the last process's goes back to its checkpoint all
// the time, which lies in the store if it is a driver.CheckpointStore.
func Run(t TB, cfg Config) {
	t.Helper()
	if cfg.Open == nil || cfg.DSN == nil {
		t.Fatalf("soak: Config needs Open and DSN")
	}
	if cfg.HeldFor == 0 {
		cfg.HeldFor = 2 * time.Second
	}
	if cfg.Late == 0 {
		cfg.Late = 2 * time.Second
	}
	if cfg.Processes == 0 {
		cfg.Processes = 4
	}
	if cfg.Writers == 0 {
		cfg.Writers = 8
	}
	workIfAsked(t, &cfg)
	if cfg.Events == 0 {
		cfg.Events = 4000
		if s := os.Getenv("ES_SOAK"); s != "" {
			n, err := strconv.Atoi(s)
			if err != nil || n <= 0 {
				t.Fatalf("soak: ES_SOAK=%q is no number of events", s)
			}
			cfg.Events = n
		}
	}
	dsn, dir := cfg.DSN(), t.TempDir()
	begin := time.Now()
	took, killed, err := runProcesses(t, &cfg, dsn, dir)
	if err != nil {
		t.Errorf("soak: %v", err)
	}
	c := newChecker(&cfg, dir)
	if err := c.load(); err != nil {
		t.Fatalf("soak: %v", err)
	}
	if err := c.compare(t.Context(), dsn); err != nil {
		t.Errorf("soak: %v", err)
	}
	c.report(t)
	if cfg.Kill && killed == 0 {
		t.Errorf("soak: no process was killed: more events are needed")
	}
	t.Logf("soak: %d processes × %d writers: %s, %d processes killed; written in %v (%.0f events/s), all in %v",
		cfg.Processes, cfg.Writers, c.counts(), killed, took.Round(time.Millisecond), float64(len(c.feed))/took.Seconds(), time.Since(begin).Round(time.Millisecond))
}

// runProcesses runs the processes until all have written and their readers have
// read everything. It returns how long writing took.
func runProcesses(t TB, cfg *Config, dsn, dir string) (took time.Duration, killed int, err error) {
	begin := time.Now()
	var (
		mu      sync.Mutex
		all     sync.WaitGroup
		seed    = rand.Uint64()
		running = make([]*process, cfg.Processes)
	)
	fail := func(format string, args ...any) {
		mu.Lock()
		defer mu.Unlock()
		if err == nil {
			err = fmt.Errorf(format, args...)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var aside sync.WaitGroup
	if cfg.Meanwhile != nil {
		aside.Go(func() { cfg.Meanwhile(ctx, dsn) })
	}
	perLife := max(1, cfg.Events/cfg.Processes/6/lives) // appends; they have five or six events
	for i := range running {
		all.Go(func() {
			for life := 0; ; life++ {
				w := work{Root: t.Name(), DSN: dsn, Dir: dir, Process: i, Life: life, Seed: seed, Events: (cfg.Events + cfg.Processes*cfg.Writers - 1) / (cfg.Processes * cfg.Writers)}
				if cfg.Kill && life < lives {
					w.Die = 1 + rand.IntN(2*perLife)
				}
				p, err := start(t, w)
				if err != nil {
					fail("process %d: %v", i, err)
					return
				}
				running[i] = p
				switch p.next() {
				case saidWritten:
					return
				case saidDying:
					p.cmd.Wait()
					mu.Lock()
					killed++
					mu.Unlock()
				default:
					fail("process %d ended: %v: %s", i, p.cmd.Wait(), p.err.String())
					return
				}
			}
		})
	}
	all.Wait()
	took = time.Since(begin)
	cancel()
	aside.Wait()
	// What was under way in a process that was killed, or on a connection that
	// was lost, is over by then.
	time.Sleep(500 * time.Millisecond)
	for _, p := range running {
		if p != nil {
			p.in.Close()
		}
	}
	for i, p := range running {
		if p == nil {
			continue
		}
		all.Go(func() {
			patience := 5*time.Minute + time.Duration(cfg.Events)*10*time.Millisecond // pages of a few events
			slow := time.AfterFunc(patience, func() { p.cmd.Process.Kill() })
			defer slow.Stop()
			said := p.next()
			if err := p.cmd.Wait(); err != nil || said != saidDone {
				fail("process %d, which was to read what is left and to end: %v: %s", i, err, p.err.String())
			}
		})
	}
	all.Wait()
	return took, killed, err
}

func writerLog(dir string, process, writer int) string {
	return filepath.Join(dir, fmt.Sprintf("writer-%d-%d", process, writer))
}

func readerLog(dir string, process int) string {
	return filepath.Join(dir, fmt.Sprintf("reader-%d", process))
}
