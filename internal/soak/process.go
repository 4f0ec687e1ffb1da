package soak

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"math/rand/v2"

	"github.com/go-es/es/driver"
)

// work is what a process is to do: the test binary, started again with this in
// the environment.
type work struct {
	Root    string // the name of the test that calls Run
	DSN     string
	Dir     string // of the logs
	Process int
	Life    int // how often it was started before
	Seed    uint64
	Events  int // that each writer is to see acknowledged
	Die     int // kill yourself at this append; 0: do not
}

const workEnv = "ES_SOAK_WORK"

// What a process says, one on a line.
const (
	said        = "soak: "
	saidWritten = "written" // its writers have ended
	saidDying   = "dying"   // it kills itself now
	saidDone    = "done"    // its readers have ended
)

// process is one that was started.
type process struct {
	cmd *exec.Cmd
	in  io.WriteCloser // when it closes, the writing is over everywhere
	out *bufio.Scanner
	err strings.Builder
}

func start(t TB, w work) (*process, error) {
	spec, err := json.Marshal(w)
	if err != nil {
		return nil, err
	}
	var pattern []string
	for _, part := range strings.Split(w.Root, "/") {
		pattern = append(pattern, "^"+regexp.QuoteMeta(part)+"$")
	}
	p := &process{cmd: exec.Command(os.Args[0], "-test.run="+strings.Join(pattern, "/"), "-test.timeout=0")}
	dir, err := os.MkdirTemp(w.Dir, "tmp") // what it leaves behind goes with the test
	if err != nil {
		return nil, err
	}
	p.cmd.Env = append(os.Environ(), workEnv+"="+string(spec), "TMPDIR="+dir, "TMP="+dir, "TEMP="+dir)
	p.cmd.Stderr = &p.err
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.out = bufio.NewScanner(out)
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	t.Cleanup(func() { p.cmd.Process.Kill() }) // an error if it has ended
	return p, nil
}

// next returns the next thing that the process says, or "" when it has ended.
func (p *process) next() string {
	for p.out.Scan() {
		if line, ok := strings.CutPrefix(p.out.Text(), said); ok {
			return line
		}
	}
	return ""
}

// worker is what a process has while it works.
type worker struct {
	work
	cfg    *Config
	store  driver.Store  // that the writers share
	other  driver.Store  // another client
	begun  atomic.Int64  // appends
	quit   chan struct{} // closed when the writing is over everywhere
	failed chan error    // takes what ends the process
}

// workIfAsked does what the environment asks for, if this process is one of this
// test's, and does not return then.
func workIfAsked(t TB, cfg *Config) {
	spec := os.Getenv(workEnv)
	if spec == "" {
		return
	}
	w := &worker{cfg: cfg, quit: make(chan struct{}), failed: make(chan error, 100)}
	if err := json.Unmarshal([]byte(spec), &w.work); err != nil {
		t.Fatalf("soak: %v", err)
	}
	if w.Root != t.Name() {
		return
	}
	if err := w.run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(said + saidDone)
	os.Exit(0)
}

func (w *worker) run() error {
	ctx := context.Background()
	var writing atomic.Bool
	writing.Store(true)
	go func() {
		io.Copy(io.Discard, os.Stdin)
		if writing.Load() {
			os.Exit(1) // the test has ended
		}
		close(w.quit)
	}()
	for _, s := range []*driver.Store{&w.store, &w.other} {
		err := retry(ctx, func() (err error) {
			*s, err = w.cfg.Open(ctx, w.DSN)
			return err
		})
		if err != nil {
			return err
		}
	}
	var writers, readers sync.WaitGroup
	begin := func(all *sync.WaitGroup, f func() error) {
		all.Go(func() {
			if err := f(); err != nil {
				w.failed <- err
			}
		})
	}
	begin(&readers, func() error { return w.follow(ctx) })
	for i := range w.cfg.Writers {
		begin(&writers, func() error { return w.write(ctx, i) })
	}
	ended := make(chan struct{})
	go func() {
		writers.Wait()
		if w.Die > 0 && w.begun.Load() >= int64(w.Die) {
			select {} // until it is dead
		}
		writing.Store(false)
		fmt.Println(said + saidWritten)
		readers.Wait()
		close(ended)
	}()
	select {
	case err := <-w.failed:
		return err
	case <-ended:
	}
	if len(w.failed) > 0 {
		return <-w.failed
	}
	if err := w.store.Close(); err != nil {
		return err
	}
	return w.other.Close()
}

// counted counts an append that begins, and kills the process if it is time.
func (w *worker) counted() {
	if w.begun.Add(1) != int64(w.Die) {
		return
	}
	go func() {
		fmt.Println(said + saidDying)
		time.Sleep(time.Duration(rand.IntN(3000)) * time.Microsecond)
		self, err := os.FindProcess(os.Getpid())
		if err == nil {
			err = self.Kill()
		}
		w.failed <- fmt.Errorf("soak: a process could not kill itself: %v", err)
	}()
}

// patience bounds each call.
const patience = time.Minute

// retry makes a call again for as long as its error is transient.
func retry(ctx context.Context, f func() error) error {
	for end, pause := time.Now().Add(patience), time.Millisecond; ; pause = min(2*pause, 50*time.Millisecond) {
		err := f()
		if !driver.IsTransient(err) || time.Now().After(end) {
			return err
		}
		time.Sleep(time.Duration(rand.Int64N(int64(pause))))
	}
}
