//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package filestore

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/go-es/es/conformance"
	"github.com/go-es/es/driver"
)

// config has every hook that applies to a file.
func config() conformance.Config {
	d, _ := driver.Lookup("file")
	return conformance.Config{
		Open: d.Open,
		DSN:  func(t conformance.TB) string { return filepath.Join(t.TempDir(), "events.log") },
		Caps: driver.Caps{
			MaxEventBytes: 1 << 20, MaxAppendEvents: 1000, MaxAppendBytes: 16 << 20, MaxStreams: 100, MaxSnapshotBytes: 1 << 20,
			PositionOnAppend: true, Gapless: true, FilterFeed: true, SingleProcess: true,
		},
		Processes: true,
		Fault:     fault,
		Restore: func(t conformance.TB, dsn string) func() {
			backup := readFile(t, dsn)
			return func() { writeFile(t, dsn, backup) }
		},
		Malformed: []string{"", "a\x00b", os.TempDir(), filepath.Join(os.TempDir(), "no such folder", "events.log")},
		Foreign: []func(conformance.TB) (string, func() error){
			foreign([]byte("Dear diary, this is not a log of events.\n")),
			foreign(make([]byte, 4096)),
			foreign([]byte("ESFOLKS")), // nearly
		},
		Newer: func(t conformance.TB, dsn string) func() {
			const at = len("ESFILE\n") // the version
			b := readFile(t, dsn)
			b[at]++
			writeFile(t, dsn, b)
			return func() {
				b := readFile(t, dsn)
				b[at]--
				writeFile(t, dsn, b)
			}
		},
		Corrupt: []func(conformance.TB, string, string){
			func(t conformance.TB, dsn, stream string) {
				b := readFile(t, dsn)
				start, end := second(t, b, stream)
				b[(start+20+end)/2] ^= 1
				writeFile(t, dsn, b)
			},
			func(t conformance.TB, dsn, stream string) {
				b := readFile(t, dsn)
				b[first(second(t, b, stream))] ^= 0x80 // the length
				writeFile(t, dsn, b)
			},
			func(t conformance.TB, dsn, stream string) {
				b := readFile(t, dsn)
				start, end := second(t, b, stream)
				writeFile(t, dsn, append(b[:start:start], b[end:]...))
			},
		},
	}
}

func TestConformance(t *testing.T) { conformance.Run(t, config()) }

func BenchmarkDriver(b *testing.B) { conformance.Bench(b, config()) }

func first(a, _ int) int { return a }

func readFile(t conformance.TB, name string) []byte {
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatalf("%v", err)
	}
	return b
}

func writeFile(t conformance.TB, name string, b []byte) {
	if err := os.WriteFile(name, b, 0o666); err != nil {
		t.Fatalf("%v", err)
	}
}

func foreign(content []byte) func(conformance.TB) (string, func() error) {
	return func(t conformance.TB) (string, func() error) {
		name := filepath.Join(t.TempDir(), "foreign")
		writeFile(t, name, content)
		return name, func() error {
			if b, err := os.ReadFile(name); err != nil || !bytes.Equal(b, content) {
				return errors.New("the file has changed")
			}
			return nil
		}
	}
}

// second returns where the entry with the second event of a stream lies.
func second(t conformance.TB, b []byte, stream string) (start, end int) {
	seen := 0
	for start = 8; start < len(b); start = end {
		end = start + 20 + int(binary.LittleEndian.Uint32(b[start:]))
		if seen += bytes.Count(b[start:end], []byte(stream)); seen >= 2 {
			return start, end
		}
	}
	t.Fatalf("stream %q has no second event", stream)
	return 0, 0
}
