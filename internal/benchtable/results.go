package main

import (
	"bufio"
	"fmt"
	"io"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// result is one benchmark.
type result struct {
	driver string
	kind   string // the name of the function, without Benchmark
	name   string // what follows it, such as W1
	values map[string]float64
}

// machine is what a run for one driver met.
type machine struct {
	driver, server string
	flush, slow    float64 // ms that an fdatasync took: the median, one of a hundred
}

type results struct {
	all      []result
	machines []machine
	left     []string // drivers that were left out
	failed   []string // lines that say so
	cpu      string
}

var (
	line  = regexp.MustCompile(`^Benchmark(\S+?)(-\d+)?\s+\d+\s+(.*)$`)
	wrong = regexp.MustCompile(`^(--- FAIL|FAIL\t|panic:)`)
)

// read adds what one or several runs of go test printed.
func (r *results) read(in io.Reader) error {
	pkg := ""
	var m *machine // not known yet whose it is
	s := bufio.NewScanner(in)
	s.Buffer(nil, 1<<20)
	for s.Scan() {
		text := s.Text()
		key, value, _ := strings.Cut(text, ": ")
		switch key {
		case "pkg":
			pkg = value
		case "cpu":
			r.cpu = value
		case "server":
			m = &machine{server: value}
		case "fdatasync-ms":
			if m != nil {
				if _, err := fmt.Sscan(value, &m.flush, &m.slow); err != nil {
					return fmt.Errorf("%q: %w", text, err)
				}
			}
		case "left-out":
			if !slices.Contains(r.left, value) {
				r.left = append(r.left, value)
			}
		}
		if wrong.MatchString(text) {
			r.failed = append(r.failed, text)
		}
		parts := line.FindStringSubmatch(text)
		if parts == nil {
			continue
		}
		res := result{driver: strings.TrimSuffix(path.Base(pkg), "test"), values: map[string]float64{}}
		res.kind, res.name, _ = strings.Cut(parts[1], "/")
		if d, rest, _ := strings.Cut(res.name, "/"); goals[d] != nil {
			res.driver, res.name = d, rest
		}
		fields := strings.Fields(parts[3])
		for i := 0; i+1 < len(fields); i += 2 {
			v, err := strconv.ParseFloat(fields[i], 64)
			if err != nil {
				return fmt.Errorf("%q: %w", text, err)
			}
			res.values[fields[i+1]] = v
		}
		r.all = append(r.all, res)
		if m != nil {
			m.driver = res.driver
			r.machines, m = append(r.machines, *m), nil
		}
	}
	return s.Err()
}

// of returns the results of a workload: with -count there are several. The one in
// the middle stands for all, with the widest range.
func (r *results) of(driver, kind, name string) (result, bool) {
	var found []result
	for _, res := range r.all {
		if res.driver == driver && res.kind == kind && res.name == name {
			found = append(found, res)
		}
	}
	if len(found) == 0 {
		return result{}, false
	}
	slices.SortFunc(found, func(a, b result) int {
		return int(1e6 * (a.values["es-x"] - b.values["es-x"]))
	})
	mid := found[(len(found)-1)/2]
	for _, res := range found {
		for unit, v := range res.values {
			if strings.HasSuffix(unit, "-low") {
				mid.values[unit] = min(mid.values[unit], v)
			} else if strings.HasSuffix(unit, "-high") {
				mid.values[unit] = max(mid.values[unit], v)
			}
		}
	}
	return mid, true
}

// drivers returns those that have results of a kind, in the order of their goals.
func (r *results) drivers(kind string) (out []string) {
	for _, d := range order {
		if slices.ContainsFunc(r.all, func(res result) bool { return res.driver == d && res.kind == kind }) {
			out = append(out, d)
		}
	}
	return out
}

// machine returns what a driver's run met.
func (r *results) machine(driver string) machine {
	for _, m := range r.machines {
		if m.driver == driver {
			return m
		}
	}
	return machine{}
}
