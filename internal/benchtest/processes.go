package benchtest

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/go-es/es"
)

// The processes of W3b, and their writers.
const (
	processes      = 4
	processWriters = 8
)

// job is what a process is for: the running test binary, started again with this
// in the environment so that it gets to the same benchmark, where serve does what
// it is asked for.
type job struct {
	Root    string // the name of the benchmark
	Process int
	Raw, ES string // the data of both, each may be empty
}

const jobEnv = "ES_BENCH_JOB"

// order is what a process is asked for, one on a line of its standard input.
type order struct {
	Name string // a contender, which is to append for some time; or "late"
	Long time.Duration
}

// answer is what it answers, one on a line, after said.
type answer struct {
	Ops        int
	Rate       float64
	Allocs     uint64
	Begin, End int64 // of one append, Unix time in ns
	Err        string
}

const said = "benchtest: "

// process is one that was started.
type process struct {
	in  io.WriteCloser
	out *bufio.Scanner
	err bytes.Buffer
}

// start starts a process, which ends with b.
func start(b *testing.B, j job) *process {
	b.Helper()
	spec, err := json.Marshal(j)
	must(b, err)
	var pattern []string
	for part := range strings.SplitSeq(j.Root, "/") {
		pattern = append(pattern, "^"+regexp.QuoteMeta(part)+"$")
	}
	p := &process{}
	cmd := exec.Command(os.Args[0], "-test.run=^$", "-test.bench="+strings.Join(pattern, "/"), "-test.benchtime=1x", "-test.timeout=0")
	cmd.Env = append(os.Environ(), jobEnv+"="+string(spec))
	cmd.Stderr = &p.err
	out, err := cmd.StdoutPipe()
	must(b, err)
	p.out = bufio.NewScanner(out)
	p.in, err = cmd.StdinPipe()
	must(b, err)
	must(b, cmd.Start())
	b.Cleanup(func() {
		p.in.Close() // which ends it
		if err := cmd.Wait(); err != nil {
			b.Errorf("a process: %v\n%s", err, p.err.String())
		}
	})
	return p
}

func (p *process) order(o order) error { return json.NewEncoder(p.in).Encode(o) }

func (p *process) answer() (a answer, err error) {
	for p.out.Scan() {
		if line, ok := strings.CutPrefix(p.out.Text(), said); ok {
			if err = json.Unmarshal([]byte(line), &a); err == nil && a.Err != "" {
				err = fmt.Errorf("a process: %s", a.Err)
			}
			return a, err
		}
	}
	return a, fmt.Errorf("a process ended\n%s", p.err.String())
}

// serve does what a process is asked for until its standard input ends, and ends
// it then, if this is one for this benchmark. Else it returns false.
func serve(b *testing.B, cfg *Config) bool {
	spec := os.Getenv(jobEnv)
	if spec == "" {
		return false
	}
	var j job
	must(b, json.Unmarshal([]byte(spec), &j))
	if j.Root != b.Name() {
		return false
	}
	ctx := b.Context()
	l := workload{events: 1, own: true}
	stores := map[string]*crowd{}
	of := func(write func(w, i int) error) *crowd {
		return newCrowd(processWriters, 1, func(w, i int) error { return write(j.Process*processWriters+w, i) })
	}
	if j.Raw != "" {
		stores["raw"] = of(l.raw(ctx, cfg.Raw(b, j.Raw, false)))
	}
	var s *es.Store
	if j.ES != "" {
		s = cfg.Open(b, j.ES)
		stores["es"] = of(l.es(ctx, s))
	}
	say := func(a answer, err error) {
		if err != nil {
			a.Err = err.Error()
		}
		line, err := json.Marshal(a)
		must(b, err)
		fmt.Printf("\n%s%s\n", said, line)
	}
	say(answer{}, nil) // it is there
	for in := json.NewDecoder(os.Stdin); ; {
		var o order
		if err := in.Decode(&o); err != nil {
			return true
		}
		if o.Name == "late" {
			begin := time.Now()
			_, err := s.Append(ctx, "late", es.Any, deposit(0))
			say(answer{Begin: begin.UnixNano(), End: time.Now().UnixNano()}, err)
			continue
		}
		t, err := stores[o.Name].run(o.Long)
		say(answer{Ops: t.ops, Rate: t.rate, Allocs: t.allocs}, err)
	}
}

// processes is W3b: several processes append at the same time, and have all
// started before.
func (m *bench) processes(b *testing.B) {
	raw, ess := m.Data(b), m.Data(b)
	m.Raw(b, raw, true)
	m.Open(b, ess)
	all := make([]*process, processes)
	for i := range all {
		all[i] = start(b, job{m.b.Name(), i, raw, ess})
	}
	for _, p := range all {
		_, err := p.answer()
		must(b, err)
	}
	contend := func(name string) *contender {
		return &contender{name: name, turn: func() (t turn) {
			for _, p := range all {
				must(b, p.order(order{name, 400 * time.Millisecond}))
			}
			for _, p := range all {
				a, err := p.answer()
				must(b, err)
				t.ops += a.Ops
				t.rate += a.Rate
				t.allocs += a.Allocs
			}
			return t
		}}
	}
	inTurns(b, contend("raw"), contend("es"))
}
