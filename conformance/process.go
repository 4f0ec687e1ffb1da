package conformance

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-es/es/driver"
)

var processChecks = []check{
	{"process/killed", "A1 A6 A2", []need{needProcesses, needLasting}, checkKilled},
	{"process/killed-purge", "D4 D8", []need{needProcesses, needLasting}, checkKilledPurge},
	{"process/at-once", "O3 V5 F1 F2", []need{needProcesses, needLasting, needShared}, checkProcessesAtOnce},
	{"process/alone", "O7", []need{needProcesses, needLasting, needSingle}, checkSingleProcess},
}

var needShared = need{"data for several processes (Caps.SingleProcess)", func(p *probe) bool { return !p.caps.SingleProcess }}

// A worker is this test binary, started again with these variables set. Run then
// works on the data instead of checking.
const (
	workEnv = "ES_CONFORMANCE_WORK" // what to do, and the name of the test that calls Run
	dsnEnv  = "ES_CONFORMANCE_DSN"
	said    = "conformance: " // begins each line that a worker writes for the check
)

// worker is another process that works on the data.
type worker struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when its output has ended

	mu    sync.Mutex
	lines []string
	first chan struct{} // closed at the first line
	err   strings.Builder
}

// startWorker starts one.
func (t *test) startWorker(work string) *worker {
	t.Helper()
	// The check runs in a subtest below the test that called Run, and perhaps in rounds.
	root := t.Name()[:strings.LastIndex(t.Name()+"/", "/"+t.check.name+"/")]
	var pattern []string
	for _, part := range strings.Split(root, "/") {
		pattern = append(pattern, "^"+regexp.QuoteMeta(part)+"$")
	}
	w := &worker{cmd: exec.Command(os.Args[0], "-test.run="+strings.Join(pattern, "/"), "-test.timeout=5m"), done: make(chan struct{}), first: make(chan struct{})}
	w.cmd.Env = append(os.Environ(), workEnv+"="+work+" "+root, dsnEnv+"="+t.data())
	dir := t.TempDir() // what it leaves behind goes with the test
	w.cmd.Env = append(w.cmd.Env, "TMPDIR="+dir, "TMP="+dir, "TEMP="+dir)
	w.cmd.Stderr = &w.err
	out, err := w.cmd.StdoutPipe()
	t.must(err)
	t.must(w.cmd.Start())
	t.trace.add(traced{0, "start a process to", work, nil, nil})
	t.Cleanup(w.kill)
	go w.read(out)
	return w
}

func (w *worker) read(out io.Reader) {
	defer close(w.done)
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		line, ok := strings.CutPrefix(lines.Text(), said)
		if !ok {
			continue
		}
		w.mu.Lock()
		w.lines = append(w.lines, line)
		if len(w.lines) == 1 {
			close(w.first)
		}
		w.mu.Unlock()
	}
}

// kill kills the process, as kill -9 does, and waits for it. What it wrote
// before counts. The last line may be cut; it is left out then.
func (w *worker) kill() {
	w.cmd.Process.Kill()
	<-w.done
	w.cmd.Wait()
}

// wait waits for the process to end by itself.
func (w *worker) wait() error {
	<-w.done
	return w.cmd.Wait()
}

// works reports whether the process has not ended.
func (w *worker) works() bool {
	select {
	case <-w.done:
		return false
	default:
		return true
	}
}

func (w *worker) said() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]string(nil), w.lines...)
}

// begun waits until the worker has written its first line.
func (t *test) begun(w *worker) {
	t.Helper()
	select {
	case <-w.first:
	case <-w.done:
		err := w.cmd.Wait()
		t.Fatalf("a process of the suite ended (%v) before it said anything: %s", err, w.err.String())
	case <-time.After(2 * time.Minute):
		t.Fatalf("a process of the suite said nothing for 2 minutes: %s", w.err.String())
	}
}

// workIfAsked does what the environment asks for, if this process is a worker of
// this test, and does not return then.
func workIfAsked(t *testing.T, cfg *Config) {
	work, root, _ := strings.Cut(os.Getenv(workEnv), " ")
	if work == "" || root != t.Name() {
		return
	}
	err := doWork(work, cfg, os.Getenv(dsnEnv))
	if err != nil {
		fmt.Printf("%sfailed %v\n", said, err)
		os.Exit(1)
	}
	fmt.Printf("%sdone\n", said)
	os.Exit(0)
}

func doWork(work string, cfg *Config, dsn string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 4*time.Minute)
	defer cancel()
	s, err := cfg.Open(ctx, dsn)
	if err != nil {
		return err
	}
	defer s.Close()
	switch work {
	case "append":
		return workAppend(ctx, s)
	case "purge":
		return workPurge(ctx, s)
	case "race":
		return workRace(ctx, s)
	case "hold":
		fmt.Printf("%sopen\n", said)
		<-ctx.Done()
		return nil
	}
	return fmt.Errorf("there is no work %q", work)
}

// workAppend appends until it is killed, and writes what was acknowledged.
func workAppend(ctx context.Context, s driver.Store) error {
	t := &test{caps: s.Caps()}
	for k := 0; ; k++ {
		n := t.batch(1 + k%5)
		recs := batchOf(n)
		for i := range recs {
			recs[i].Metadata = fmt.Appendf(nil, "%v %d", recs[0].ID, n)
			recs[i].Data = make([]byte, k%7*100)
		}
		req := to(fmt.Sprint("killed-", k%3), driver.Any, recs...)
		if n > 1 && t.caps.MaxStreams > 1 && k%2 == 0 {
			req = toEach(driver.Part{Stream: "killed-0", Expected: driver.Any, Records: recs[:1]}, driver.Part{Stream: "killed-1", Expected: driver.Any, Records: recs[1:]})
		}
		var res driver.AppendResult
		err := retry(ctx, func() (err error) {
			res, err = s.Append(ctx, req)
			return err
		})
		if errors.Is(err, driver.ErrUnknownOutcome) {
			continue
		}
		if err != nil {
			return err
		}
		for i, p := range req.Parts {
			for j, r := range p.Records {
				fmt.Printf("%sack %s %d %v\n", said, p.Stream, res.Parts[i].First+driver.Version(j), r.ID)
			}
		}
	}
}

// checkKilled kills writing processes at random moments.
func checkKilled(t *test) {
	for round := range t.scale(10) {
		w := t.startWorker("append")
		t.begun(w)
		time.Sleep(time.Duration(round*round) * 3 * time.Millisecond)
		w.kill()
		a := t.open()
		for _, line := range w.said() {
			f := strings.Fields(line)
			if len(f) != 4 || f[0] != "ack" {
				t.Fatalf("a process that appends said %q", line)
			}
			v, _ := strconv.ParseUint(f[2], 10, 64)
			id, err := driver.ParseID(f[3])
			if err != nil {
				continue // the line was cut by the kill
			}
			a.acknowledge(place{f[1], driver.Version(v)}, id)
		}
		groups := map[string]int{}
		stored := map[place]driver.ID{}
		for _, r := range a.everything() {
			groups[string(r.Metadata)]++
			stored[place{r.Stream, r.Version}] = r.ID
		}
		for p, id := range a.log.acknowledged() {
			if stored[p] != id {
				there := "nothing is stored there: it was answered before it had left the process"
				if other := stored[p]; !other.IsZero() {
					there = fmt.Sprintf("stored there is %v", other)
				}
				t.broken("A6", "round %d: version %d of stream %q, id %v, was acknowledged before the process was killed; %s", round, p.version, p.stream, id, there)
			}
		}
		for meta, n := range groups {
			_, want, _ := strings.Cut(meta, " ")
			if fmt.Sprint(n) != want {
				t.broken("A1", "round %d: after the process was killed, %d of the %s events of an append are stored", round, n, want)
			}
		}
		for stream, recs := range perStream(a.whole(0)) {
			t.same("A1", "a stream after a kill, and as the feed has it", recs, a.stream(driver.StreamQuery{Stream: stream}))
		}
		t.must(a.Close())
	}
}

const purgedEvents = 20

// workPurge fills streams and purges them.
func workPurge(ctx context.Context, s driver.Store) error {
	t := &test{caps: s.Caps()}
	for k := 0; ; k++ {
		stream := fmt.Sprint("purged-", driver.NewID(time.Now()))
		for v := 0; v < purgedEvents; {
			n := t.batch(purgedEvents - v)
			recs := records(n)
			if err := retry(ctx, func() error {
				_, err := s.Append(ctx, to(stream, driver.Exactly(driver.Version(v)), recs...))
				return err
			}); err != nil {
				return err
			}
			v += n
		}
		if ss, ok := s.(driver.SnapshotStore); ok {
			if err := ss.SaveSnapshot(ctx, snapshot(stream, "state", 3)); err != nil {
				return err
			}
		}
		fmt.Printf("%spurging %s\n", said, stream)
		d := deletion(stream, driver.Any, driver.Purge)
		if err := retry(ctx, func() error { _, err := s.Delete(ctx, d); return err }); err != nil {
			return err
		}
	}
}

// checkKilledPurge kills processes that purge, and purges again.
func checkKilledPurge(t *test) {
	for round := range t.scale(5) {
		w := t.startWorker("purge")
		t.begun(w)
		time.Sleep(time.Duration(round*5) * time.Millisecond)
		w.kill()
		a := t.open()
		for _, line := range w.said() {
			_, stream, _ := strings.Cut(line, " ")
			if len(stream) != len("purged-")+36 {
				continue // the line was cut by the kill
			}
			a.log.purging(stream) // it may have been purged whole
			first := a.head(stream)
			got := a.delete(stream, driver.Purge)
			if got.Last != purgedEvents+1 || first != purgedEvents && first != got.Last {
				t.broken("D4", "round %d: a stream of %d events, whose purge was killed at head %d, was purged again with %s", round, purgedEvents, first, brief(got))
			}
			if left := a.stream(driver.StreamQuery{Stream: stream, Deleted: true}); len(left) != 1 || left[0].Type != driver.TypeDeleted {
				t.broken("D4", "round %d: a purge that was killed, and finished later, left %s", round, briefRecords(left))
			}
			if left := ofStream(a.whole(0), stream); len(left) != 1 {
				t.broken("D4", "round %d: a purge that was killed, and finished later, left %s in the feed", round, briefRecords(left))
			}
			if implementing[driver.SnapshotStore](a.s) {
				if s, err := a.LoadSnapshot(t.ctx, stream, "state"); err != nil || s.Version != 0 {
					t.broken("D8", "round %d: a purge that was killed, and finished later, left a snapshot: %+v, error %v", round, s, err)
				}
			}
		}
		t.must(a.Close())
	}
}

// workRace appends at exact versions that other processes append at as well, and to
// a stream of its own.
func workRace(ctx context.Context, s driver.Store) error {
	fmt.Printf("%sopen\n", said)
	for k := range 30 {
		stream := fmt.Sprint("raced-", k%2)
		page, err := s.ReadStream(ctx, driver.StreamQuery{Stream: stream, Backward: true, Limit: 1})
		if err != nil && !errors.Is(err, driver.ErrStreamNotFound) {
			return err
		}
		rec := record()
		var res driver.AppendResult
		err = retry(ctx, func() (err error) {
			res, err = s.Append(ctx, to(stream, driver.Exactly(page.Head), rec))
			return err
		})
		switch {
		case err == nil:
			fmt.Printf("%sack %s %d %v\n", said, stream, res.Parts[0].First, rec.ID)
		case !errors.Is(err, driver.ErrConflict):
			return err
		}
		own, rec := fmt.Sprint("own-", os.Getpid()), record()
		if err := retry(ctx, func() (err error) {
			res, err = s.Append(ctx, to(own, driver.Any, rec))
			return err
		}); err != nil {
			return err
		}
		fmt.Printf("%sack %s %d %v\n", said, own, res.Parts[0].First, rec.ID)
	}
	return nil
}

// checkProcessesAtOnce lets processes create the data at once and then append to
// the same streams, while this one follows the feed.
func checkProcessesAtOnce(t *test) {
	for range t.scale(3) {
		t.dsn = ""
		ws := make([]*worker, 4)
		for i := range ws {
			ws[i] = t.startWorker("race")
		}
		var fs []*follower
		if !t.cfg.Alone {
			select { // so that they create it
			case <-ws[0].first:
			case <-ws[0].done:
			}
			b := t.open()
			fs = []*follower{{c: b}, {c: b, limit: 3}}
			for slices.ContainsFunc(ws, (*worker).works) {
				for _, f := range fs {
					_, err := f.step()
					t.must(err)
				}
			}
		}
		for i, w := range ws {
			if err := w.wait(); err != nil {
				lines := w.said()
				t.broken("O3", "process %d of %d that open new data at once: %v: %s %s", i, len(ws), err, strings.Join(lines[max(0, len(lines)-1):], ""), w.err.String())
			}
		}
		a := t.open()
		for _, w := range ws {
			for _, line := range w.said() {
				if f := strings.Fields(line); f[0] == "ack" {
					v, _ := strconv.ParseUint(f[2], 10, 64)
					id, err := driver.ParseID(f[3])
					t.must(err)
					a.acknowledge(place{f[1], driver.Version(v)}, id) // V5, if it is there already
				}
			}
		}
		t.agree(a, fs)
		t.noStrangers(a)
		t.must(a.Close())
	}
}

// checkSingleProcess opens data that another process has open.
func checkSingleProcess(t *test) {
	for _, kill := range []bool{false, true} {
		var release func()
		if kill {
			w := t.startWorker("hold")
			t.begun(w)
			release = w.kill
			ctx, cancel := context.WithTimeout(t.ctx, 20*time.Second)
			s, err := t.cfg.Open(ctx, t.data())
			cancel()
			if err == nil {
				s.Close()
				t.broken("O7", "Open succeeds while another process has the data open")
			}
			if errors.Is(err, context.DeadlineExceeded) || len(err.Error()) < 10 {
				t.broken("O7", "Open while another process has the data open does not say so: %v", err)
			}
		} else {
			a := t.open()
			w := t.startWorker("race")
			if err := w.wait(); err == nil {
				t.broken("O7", "another process can open the data while this one has it open")
			}
			release = func() { t.must(a.Close()) }
		}
		release()
		b, err := t.openDSN(t.data())
		if err != nil {
			t.broken("O7", "Open after the process that had the data open has ended (killed %t): %v", kill, err)
		}
		b.append("alone", driver.Any, record())
		b.whole(0)
		t.must(b.Close())
	}
}
