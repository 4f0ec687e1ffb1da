package main

import (
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// printed is what go test prints, as far as it counts.
const printed = `server: SQLite 3.54.1
fdatasync-ms: 0.700 2.500
goos: linux
pkg: github.com/go-es/es/drivers/sqlite/sqlitetest
cpu: A Fast One
BenchmarkES/W1-2         	       1	        36.25 es-allocs/op	         1.100 es-high	         0.8000 es-low	    500000 es-ns/op	         0.8900 es-x	        19.79 raw-allocs/op	    445000 raw-ns/op
BenchmarkES/W3-2         	      75	        29.66 es-allocs/op	         5.000 es-high	         4.400 es-low	     35424 es-ns/op	         4.600 es-x	        21.21 raw-allocs/op	    162950 raw-ns/op
BenchmarkES/W4-2         	       1	        31.46 es-allocs/op	        12.27 es-high	        12.27 es-low	     30000 es-ns/op	        12.27 es-x	        76.71 raw-allocs/op	    300000 raw-ns/op	      1527 update-allocs/op	         0.6000 update-high	         0.5000 update-low	    600000 update-ns/op	         0.5500 update-x
BenchmarkES/W6-snapshot-2 	       1	        83.00 es-allocs/op	       150.0 es-high	       140.0 es-low	     30000 es-ns/op	       143.0 es-x	     23000 raw-allocs/op	   4300000 raw-ns/op
BenchmarkES/W1-followed-2        	       1
BenchmarkSealed/append/190-2      	       1	        30.00 plain-allocs/op	      5000 plain-ns/op	        35.00 zstd-allocs/op	         0.5100 zstd-high	         0.4900 zstd-low	     10000 zstd-ns/op	         0.5000 zstd-x
PASS
pkg: github.com/go-es/es/drivers/mysql/mysqltest
server: MariaDB 10.11
fdatasync-ms: 0.200 1.500
BenchmarkES/mariadb/W1-2      	       1	        36.12 es-allocs/op	         0.9100 es-high	         0.8900 es-low	    388481 es-ns/op	         0.9000 es-x	        20.34 raw-allocs/op	    345222 raw-ns/op
BenchmarkES/mariadb/W1-2      	       1	        36.12 es-allocs/op	         0.9900 es-high	         0.9300 es-low	    388481 es-ns/op	         0.9500 es-x	        20.34 raw-allocs/op	    345222 raw-ns/op
BenchmarkES/mariadb/W1-2      	       1	        36.12 es-allocs/op	         0.8600 es-high	         0.7000 es-low	    388481 es-ns/op	         0.8500 es-x	        20.34 raw-allocs/op	    345222 raw-ns/op
BenchmarkLate/mariadb/across-2            	       1	         5.487 append-ms	        22.80 median-ms	        22.80 p99-ms
--- FAIL: BenchmarkES/mysql/W2
FAIL	github.com/go-es/es/drivers/mysql/mysqltest	8.125s
left-out: mongo
pkg: github.com/go-es/es/drivers/dynamodb/dynamodbtest
BenchmarkES/W3-followed-2        	       1	        96.31 %sequenced	      1725 es-allocs/op	         0.4100 es-high	         0.4000 es-low	   4000000 es-ns/op	         0.4082 es-x	       997.2 raw-allocs/op	   1600000 raw-ns/op
`

const complaints = `
**Failed: --- FAIL: BenchmarkES/mysql/W2**

**Failed: FAIL	github.com/go-es/es/drivers/mysql/mysqltest	8.125s**

Left out, for want of a server: mongo.
`

var tables = []string{`
| driver | workload | raw | es | ratio | middle half | goal | reached | allocations: raw | es |
|---|---|--:|--:|--:|--:|--:|---|--:|--:|
| sqlite | W1: one event, new stream | 2,247/s | 2,000/s | 0.89 | 0.80 – 1.10 | ≥ 0.9 | no | 20 | 36 |
| sqlite | W3: 16 writers, own streams | 6,137/s | 28,229/s | 4.60 | 4.40 – 5.00 | ≥ 4.5 | yes | 21 | 30 |
| sqlite | W4: 16 writers, one stream | 3,333/s | 33,333/s | 12 | 12 – 12 | ≥ 1.5 | yes | 77 | 31 |
| sqlite | the same, by Repository.Update | 3,333/s | 1,667/s | 0.55 | 0.50 – 0.60 |  |  | 77 | 1,527 |
| sqlite | W6: the same, with a snapshot | 4.3 ms | 0.03 ms | 143 | 140 – 150 | ≥ 50 | yes | 23 | 0.1 |
| mariadb | W1: one event, new stream | 2,897/s | 2,574/s | 0.90 | 0.70 – 0.99 | ≥ 0.9 | yes | 20 | 36 |
| dynamodb | the same, with a feed reader | 625/s | 250/s | 0.41 | 0.40 – 0.41 | 96 % sequenced |  | 997 | 1,725 |

sqlite: SQLite 3.54.1; an fdatasync took 0.70 ms, one of a hundred 2.50 ms.
mariadb: MariaDB 10.11; an fdatasync took 0.20 ms, one of a hundred 1.50 ms.
MACHINE
`, `
| driver | benchmark |  | µs an operation | times as fast | middle half | allocations |
|---|---|---|--:|--:|--:|--:|
| sqlite | append/190 | plain | 5 |  |  | 30 |
| sqlite | append/190 | zstd | 10 | 0.50 | 0.49 – 0.51 | 35 |

MACHINE
`, `
| driver | benchmark | append-ms | median-ms | p99-ms |
|---|---|--:|--:|--:|
| mariadb | across | 5.49 | 22.8 | 22.8 |

MACHINE
`}

// thisOne is what is said of this machine.
var thisOne = regexp.MustCompile(`\d+ [A-Z][a-z]+ \d{4}, \d+ cores, (\d+ GiB of memory, )?A Fast One, \w+/\w+, go\S+\.`)

func TestTable(t *testing.T) {
	var out strings.Builder
	if err := run("", nil, strings.NewReader(printed), &out); err != nil {
		t.Fatal(err)
	}
	got, want := thisOne.ReplaceAllString(out.String(), "MACHINE"), complaints+strings.Join(tables, "")
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestDocument(t *testing.T) {
	doc := filepath.Join(t.TempDir(), "doc.md")
	text := "# One\n<!-- bench ES -->\nold\n<!-- end -->\ntwo\n<!-- bench Late -->\n<!-- end -->\n<!-- bench Sealed -->\nold\n<!-- end -->\n"
	write := func(text string) {
		if err := os.WriteFile(doc, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put := func(results string) error {
		return run(doc, nil, strings.NewReader(results), io.Discard)
	}
	read := func() string {
		text, err := os.ReadFile(doc)
		if err != nil {
			t.Fatal(err)
		}
		return thisOne.ReplaceAllString(string(text), "MACHINE")
	}
	write(text)
	if err := put(printed); err == nil || read() != text {
		t.Errorf("where a benchmark has failed, the document is (%v)\n%s", err, read())
	}
	good := regexp.MustCompile(`(?m)^(--- )?FAIL.*\n`).ReplaceAllString(printed, "")
	for range 2 {
		if err := put(good); err != nil {
			t.Fatal(err)
		}
		want := "# One\n<!-- bench ES -->" + tables[0] + "<!-- end -->\ntwo\n<!-- bench Late -->" + tables[2] + "<!-- end -->\n<!-- bench Sealed -->" + tables[1] + "<!-- end -->\n"
		if got := read(); got != want {
			t.Errorf("got\n%s\nwant\n%s", got, want)
		}
	}
	write("<!-- bench ES -->\n<!-- end -->\n")
	if err := put(good); err == nil {
		t.Error("no error for a table without a place")
	}
}

func TestNothing(t *testing.T) {
	var out strings.Builder
	if err := run("", nil, strings.NewReader("PASS\n"), &out); err == nil {
		t.Errorf("no error for no results, but\n%s", out.String())
	}
}

func TestGoals(t *testing.T) {
	for _, d := range order {
		for _, l := range workloads {
			if _, ok := goals[d][l.key]; !ok && !strings.HasSuffix(l.key, "-followed") {
				t.Errorf("%s has no goal for %s", d, l.key)
			}
		}
	}
	if len(goals) != len(order) {
		t.Errorf("there are %d drivers with goals, and %d in order", len(goals), len(order))
	}
	g := goal{ratio: 1.3, slow: 0.9}
	for flush, want := range map[float64]float64{0: 1.3, 0.4: 1.3, 0.7: 1.1, 1: 0.9, 5: 0.9} {
		if got := g.at(flush); got < want-1e-9 || got > want+1e-9 {
			t.Errorf("at %v ms the goal is %v, want %v", flush, got, want)
		}
	}
}
