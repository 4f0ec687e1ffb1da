package main

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
)

// kinds returns the names of the benchmarks that there are, ES first.
func (r *results) kinds() (out []string) {
	for _, res := range r.all {
		if !slices.Contains(out, res.kind) {
			out = append(out, res.kind)
		}
	}
	if i := slices.Index(out, "ES"); i > 0 {
		out = slices.Insert(slices.Delete(out, i, i+1), 0, "ES")
	}
	return out
}

// table writes the table of a kind, and what there is to say of its run.
func (r *results) table(w io.Writer, kind string) {
	if kind == "ES" {
		r.beside(w, r.drivers(kind))
		for _, d := range order {
			if m := r.machine(d); m.server != "" {
				fmt.Fprintf(w, "%s: %s; an fdatasync took %.2f ms, one of a hundred %.2f ms.\n", d, m.server, m.flush, m.slow)
			}
		}
	} else {
		r.other(w, kind)
	}
	fmt.Fprintln(w, r.machineSize())
}

// complaints writes what is missing.
func (r *results) complaints(w io.Writer) {
	for _, text := range r.failed {
		fmt.Fprintf(w, "\n**Failed: %s**\n", text)
	}
	if len(r.left) > 0 {
		fmt.Fprintf(w, "\nLeft out, for want of a server: %s.\n", strings.Join(r.left, ", "))
	}
}

// beside writes the table of raw and es.
func (r *results) beside(w io.Writer, drivers []string) {
	io.WriteString(w, join("driver", "workload", "raw", "es", "ratio", "middle half", "goal", "reached", "allocations: raw", "es"))
	io.WriteString(w, "|---|---|--:|--:|--:|--:|--:|---|--:|--:|\n")
	for _, d := range drivers {
		for _, l := range workloads {
			res, ok := r.of(d, "ES", l.key)
			if !ok || res.values["es-x"] == 0 {
				continue
			}
			io.WriteString(w, l.row(d, l.label, "es", &res, r.machine(d).flush))
			if res.values["update-x"] != 0 {
				io.WriteString(w, l.row(d, "the same, by Repository.Update", "update", &res, 0))
			}
		}
	}
	io.WriteString(w, "\n")
}

// row is one line: a contender beside raw.
func (l *workload) row(driver, label, name string, res *result, flush float64) string {
	v := res.values
	wanted, reached := "", ""
	if g, ok := goals[driver][l.key]; ok && name == "es" {
		wanted = g.text
		if wanted == "" {
			goal := g.at(flush)
			wanted, reached = "≥ "+strconv.FormatFloat(math.Round(100*goal)/100, 'f', -1, 64), "no"
			if v["es-x"] >= goal {
				reached = "yes"
			}
		}
	} else if s, ok := v["%sequenced"]; ok {
		wanted = fmt.Sprintf("%.0f %% sequenced", s)
	}
	return join(driver, label, l.speed(v["raw-ns/op"]), l.speed(v[name+"-ns/op"]), ratio(v[name+"-x"]),
		ratio(v[name+"-low"])+" – "+ratio(v[name+"-high"]), wanted, reached,
		count(v["raw-allocs/op"]/l.events), count(v[name+"-allocs/op"]/l.events))
}

// speed is what an operation of so many nanoseconds makes.
func (l *workload) speed(ns float64) string {
	if l.rate {
		return thousands(1e9/ns) + "/s"
	}
	return fmt.Sprintf("%.3g ms", ns/1e6)
}

func ratio(x float64) string {
	if x >= 10 {
		return strconv.FormatFloat(x, 'f', 0, 64)
	}
	return strconv.FormatFloat(x, 'f', 2, 64)
}

func count(n float64) string {
	if n < 10 {
		return strconv.FormatFloat(n, 'f', 1, 64)
	}
	return thousands(n)
}

// thousands writes a number with commas, without its fraction.
func thousands(x float64) string {
	s := strconv.FormatFloat(x, 'f', 0, 64)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// other writes the table of a benchmark that is not beside raw: where there are
// contenders, a line for each; else a line for each benchmark, with its own units.
func (r *results) other(w io.Writer, kind string) {
	var units []string
	contend := false
	for _, res := range r.all {
		if res.kind != kind {
			continue
		}
		for unit := range res.values {
			contend = contend || strings.HasSuffix(unit, "-x")
			if !slices.Contains(units, unit) && (unit != "ns/op" || res.values[unit] != 0) {
				units = append(units, unit)
			}
		}
	}
	if contend {
		io.WriteString(w, join("driver", "benchmark", "", "µs an operation", "times as fast", "middle half", "allocations"))
		io.WriteString(w, "|---|---|---|--:|--:|--:|--:|\n")
	} else {
		slices.Sort(units)
		io.WriteString(w, join(append([]string{"driver", "benchmark"}, units...)...))
		io.WriteString(w, "|---|---"+strings.Repeat("|--:", len(units))+"|\n")
	}
	for _, res := range r.all {
		switch {
		case res.kind != kind:
		case contend:
			for _, name := range contenders(res.values) {
				x, half := "", ""
				if v, ok := res.values[name+"-x"]; ok {
					x, half = ratio(v), ratio(res.values[name+"-low"])+" – "+ratio(res.values[name+"-high"])
				}
				io.WriteString(w, join(res.driver, res.name, name, fmt.Sprintf("%.3g", res.values[name+"-ns/op"]/1e3), x, half, count(res.values[name+"-allocs/op"])))
			}
		default:
			cells := []string{res.driver, res.name}
			for _, unit := range units {
				cell := ""
				if v, ok := res.values[unit]; ok && v >= 1000 {
					cell = thousands(v)
				} else if ok {
					cell = fmt.Sprintf("%.3g", v)
				}
				cells = append(cells, cell)
			}
			io.WriteString(w, join(cells...))
		}
	}
	io.WriteString(w, "\n")
}

// contenders returns the names of those that a result compares: the first, to which
// the others are compared, and then by their time.
func contenders(values map[string]float64) []string {
	var names []string
	for unit := range maps.Keys(values) {
		if name, ok := strings.CutSuffix(unit, "-ns/op"); ok {
			names = append(names, name)
		}
	}
	first := func(name string) int {
		if _, compared := values[name+"-x"]; compared {
			return 1
		}
		return 0
	}
	slices.SortFunc(names, func(a, b string) int {
		return cmp.Or(cmp.Compare(first(a), first(b)), cmp.Compare(len(a), len(b)), cmp.Compare(a, b))
	})
	return names
}
