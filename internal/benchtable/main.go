// Benchtable makes tables, in Markdown, of what the benchmarks of package
// internal/benchtest print:
//
//	go run ./internal/benchtable [-doc FILE] [FILE...]
//
// It reads the files or standard input, and prints the tables; or it puts each in its
// place in a document, between the lines <!-- bench NAME --> and <!-- end -->. make
// bench runs it.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"time"
)

func main() {
	doc := flag.String("doc", "", "the document to put the tables into")
	flag.Parse()
	if err := run(*doc, flag.Args(), os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "benchtable:", err)
		os.Exit(1)
	}
}

func run(doc string, files []string, in io.Reader, out io.Writer) error {
	var r results
	if len(files) == 0 {
		if err := r.read(in); err != nil {
			return err
		}
	}
	for _, name := range files {
		f, err := os.Open(name)
		if err == nil {
			err = errors.Join(r.read(f), f.Close())
		}
		if err != nil {
			return err
		}
	}
	if len(r.all) == 0 && len(r.left) == 0 {
		return errors.New("there is no result of a benchmark")
	}
	tables := map[string]string{}
	for _, kind := range r.kinds() {
		var b strings.Builder
		r.table(&b, kind)
		tables[kind] = b.String()
	}
	r.complaints(out)
	if doc == "" {
		for _, kind := range r.kinds() {
			fmt.Fprintf(out, "\n%s", tables[kind])
		}
		return nil
	}
	if len(r.failed) > 0 {
		return errors.New("the document stays as it is")
	}
	text, err := os.ReadFile(doc)
	if err != nil {
		return err
	}
	filled, err := fill(string(text), tables)
	if err != nil {
		return fmt.Errorf("%s: %w", doc, err)
	}
	return os.WriteFile(doc, []byte(filled), 0o644)
}

// fill puts tables into their places in a text.
func fill(text string, tables map[string]string) (string, error) {
	for kind, table := range tables {
		head, rest, ok := strings.Cut(text, "<!-- bench "+kind+" -->\n")
		_, tail, end := strings.Cut(rest, "<!-- end -->")
		if !ok || !end {
			return "", fmt.Errorf("there is no place for the table %s", kind)
		}
		text = head + "<!-- bench " + kind + " -->\n" + table + "<!-- end -->" + tail
	}
	return text, nil
}

// machineSize is the day, and the size of this machine.
func (r *results) machineSize() string {
	return fmt.Sprintf("%s, %d cores, %s%s, %s/%s, %s.", time.Now().Format("2 January 2006"), runtime.NumCPU(), memory(), r.cpu, runtime.GOOS, runtime.GOARCH, runtime.Version())
}

// memory says how much the machine has, where that is known.
func memory() string {
	text, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return ""
	}
	_, rest, _ := strings.Cut(string(text), "MemTotal:")
	var kb float64
	if n, _ := fmt.Sscanf(rest, "%f kB", &kb); n == 1 {
		return fmt.Sprintf("%.0f GiB of memory, ", kb/(1<<20))
	}
	return ""
}

func join(cells ...string) string { return "| " + strings.Join(cells, " | ") + " |\n" }
