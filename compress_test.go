package es_test

import (
	"bytes"
	"compress/flate"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/go-es/es"
	"github.com/go-es/es/driver"
	"github.com/go-es/es/drivers/memory"
)

// flateCompression is another compression.
type flateCompression struct{}

func (flateCompression) Name() string { return "flate" }

func (flateCompression) Compress(src []byte) ([]byte, error) {
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, flate.BestCompression)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(src); err != nil {
		return nil, err
	}
	err = w.Close()
	return b.Bytes(), err
}

func (flateCompression) Decompress(src []byte, limit int) ([]byte, error) {
	out, err := io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(src)), int64(limit)+1))
	if err == nil && len(out) > limit {
		err = fmt.Errorf("more than %d bytes", limit)
	}
	return out, err
}

// brokenCompression fails on what it is given, or panics.
type brokenCompression struct{ panics bool }

func (brokenCompression) Name() string { return "broken" }

func (c brokenCompression) Compress([]byte) ([]byte, error) { return nil, errBroken }

func (c brokenCompression) Decompress([]byte, int) ([]byte, error) {
	if c.panics {
		panic("no")
	}
	return nil, errBroken
}

// randomText returns text that does not get shorter.
func randomText(n int) noted {
	r := rand.New(rand.NewPCG(1, 2))
	b := make([]byte, n)
	for i := range b {
		b[i] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"[r.IntN(64)]
	}
	return noted(b)
}

func TestCompress(t *testing.T) {
	text := func(n int) noted { return noted(strings.Repeat("x", n)) }
	for _, row := range []struct {
		name     string
		event    es.Event
		encoding string
	}{
		{"nothing", pinged{}, "json"},
		{"short", text(125), "json"}, // with its quotes 127 bytes
		{"long enough", text(126), "json+zstd"},
		{"long", text(100_000), "json+zstd"},
		{"what does not get smaller", randomText(10_000), "json+zstd"}, // to 6 of 8 bits
		{"bytes that do not get smaller", es.Raw{Type: "noted", Encoding: "json", Data: randomBytes(10_000)}, "json"},
		{"raw", es.Raw{Type: "noted", Encoding: "json", Data: []byte(`"` + text(1000) + `"`)}, "json+zstd"},
		{"gob", es.NewType[string]("noted").With(gobCodec{}).Of(string(text(1000))), "gob+zstd"},
	} {
		s := over(t, memory.New(), es.Compress(es.Zstd), es.ReadCodecs(gobCodec{}))
		plain := over(t, memory.New(), es.ReadCodecs(gobCodec{}))
		put(t, s, "s", row.event)
		put(t, plain, "s", row.event)
		small, large := onDisk(t, s.Driver())[0], onDisk(t, plain.Driver())[0]
		if small.Encoding != row.encoding {
			t.Errorf("%s: encoding %s, want %s", row.name, small.Encoding, row.encoding)
		}
		if compressed := strings.HasSuffix(row.encoding, "+zstd"); compressed && len(small.Data) > len(large.Data)*7/8 || !compressed && !bytes.Equal(small.Data, large.Data) {
			t.Errorf("%s: %d bytes became %d", row.name, len(large.Data), len(small.Data))
		}
		raw1, err1 := all(t, s.ReadAll(t.Context()))[0].Raw()
		raw2, err2 := all(t, plain.ReadAll(t.Context()))[0].Raw()
		if err1 != nil || err2 != nil || !reflect.DeepEqual(raw1, raw2) {
			t.Errorf("%s: %.100v, %v, want %.100v, %v", row.name, raw1, err1, raw2, err2)
		}
	}
}

func randomBytes(n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{1}).Read(b)
	return b
}

// Metadata is not compressed: it stays plain JSON on the disk.
func TestMetadataIsNotCompressed(t *testing.T) {
	s := over(t, memory.New(), es.Compress(es.Zstd))
	value := strings.Repeat("v", 1000)
	if _, err := s.Append(es.WithMetadata(t.Context(), map[string]string{"k": value}), "s", es.Any, noted(strings.Repeat("x", 1000))); err != nil {
		t.Fatal(err)
	}
	if r := onDisk(t, s.Driver())[0]; string(r.Metadata) != `{"k":"`+value+`"}` || r.Encoding != "json+zstd" {
		t.Errorf("%s, %s", r.Encoding, r.Metadata)
	}
}

func TestReplacedCompression(t *testing.T) {
	drv := memory.New()
	text := noted(strings.Repeat("x", 1000))
	put(t, over(t, drv, es.Compress(es.Zstd)), "s", text)
	put(t, over(t, drv, es.Compress(flateCompression{})), "s", text)
	put(t, over(t, drv), "s", text)
	var encodings []string
	for _, r := range onDisk(t, drv) {
		encodings = append(encodings, r.Encoding)
	}
	if got := strings.Join(encodings, " "); got != "json+zstd json+flate json" {
		t.Errorf("encodings %s", got)
	}
	for _, row := range []struct {
		name  string
		opts  []es.Option
		flate bool // can be read
	}{
		{"none", nil, false},
		{"zstd", []es.Option{es.Compress(es.Zstd)}, false},
		{"flate", []es.Option{es.Compress(flateCompression{})}, true},
		{"flate to read", []es.Option{es.Compress(es.Zstd), es.ReadCompressions(flateCompression{})}, true},
	} {
		for _, r := range all(t, over(t, drv, row.opts...).Read(t.Context(), "s")) {
			got, err := es.As[noted](r)
			if r.Version == 2 && !row.flate {
				if !errors.Is(err, es.ErrUnknownEncoding) || !strings.Contains(err.Error(), `unknown encoding "flate": open the store with that compression, or with ReadCompressions`) {
					t.Errorf("%s: event 2: %v", row.name, err)
				}
				continue
			}
			if err != nil || got != text {
				t.Errorf("%s: event %d: %q, %v", row.name, r.Version, got, err)
			}
		}
	}
}

// shrinking makes of anything as many bytes as it says.
type shrinking int

func (shrinking) Name() string                           { return "shrinking" }
func (n shrinking) Compress([]byte) ([]byte, error)      { return make([]byte, n), nil }
func (shrinking) Decompress([]byte, int) ([]byte, error) { return nil, errBroken }

// Data stays as it is where compressing saves less than an eighth, and where it
// is larger than what a reader would decompress.
func TestWhenCompressionPays(t *testing.T) {
	for _, row := range []struct {
		size, compressed int
		encoding         string
	}{
		{127, 1, "json"},
		{128, 1, "json+shrinking"},
		{800, 700, "json+shrinking"},
		{800, 701, "json"},
		{1 << 28, 1, "json+shrinking"},
		{1<<28 + 1, 1, "json"},
	} {
		f := overMemory()
		f.caps = func(driver.Caps) driver.Caps { return driver.Caps{} }
		var got driver.Record
		f.onAppend = func(_ context.Context, req driver.AppendRequest) (driver.AppendResult, error) {
			got = req.Parts[0].Records[0]
			return driver.AppendResult{Parts: make([]driver.Appended, 1)}, nil
		}
		put(t, over(t, f, es.Compress(shrinking(row.compressed))), "s", es.Raw{Type: "t", Encoding: "json", Data: make([]byte, row.size)})
		if got.Encoding != row.encoding || len(got.Data) != row.compressed && len(got.Data) != row.size {
			t.Errorf("%d bytes, %d compressed: %s, %d", row.size, row.compressed, got.Encoding, len(got.Data))
		}
	}
}

func TestCompressionThatFails(t *testing.T) {
	f := overMemory()
	_, err := over(t, f, es.Compress(brokenCompression{})).Append(t.Context(), "s", es.Any, noted(strings.Repeat("x", 1000)))
	if !errors.Is(err, errBroken) || err.Error() != `es: event 0 for stream "s": compressing with broken: the connection is broken` || f.calls() != 0 {
		t.Errorf("%v, %d calls", err, f.calls())
	}
	for _, c := range []brokenCompression{{false}, {true}} {
		drv := edited{Store: memory.New(), record: func(r *driver.Record) { r.Encoding = "json+broken" }}
		s := over(t, drv, es.ReadCompressions(c))
		put(t, s, "s", ann)
		if err := all(t, s.Read(t.Context(), "s"))[0].Err(); !errors.Is(err, es.ErrCorrupt) {
			t.Errorf("panics %v: %v", c.panics, err)
		}
	}
}

// zstdFrame returns a frame that claims size bytes and has the given blocks.
func zstdFrame(size uint64, blocks ...byte) []byte {
	b := []byte{0x28, 0xb5, 0x2f, 0xfd, 0xe0} // magic; a content size of 8 bytes, one segment, no checksum
	return append(binary.LittleEndian.AppendUint64(b, size), blocks...)
}

// zeros is n blocks that each become 128 KiB of zeros.
func zeros(n int, last bool) (blocks []byte) {
	for i := range n {
		header := uint32(128<<10)<<3 | 1<<1 // run-length
		if last && i == n-1 {
			header |= 1
		}
		blocks = append(blocks, byte(header), byte(header>>8), byte(header>>16), 0)
	}
	return blocks
}

// Compressed data that was cut, changed, or made to exhaust the memory is an
// error of the record, at once, and gets no memory to speak of.
func TestBadCompressedData(t *testing.T) {
	var whole []byte
	{
		s := over(t, memory.New(), es.Compress(es.Zstd))
		put(t, s, "s", randomText(1000))
		r := onDisk(t, s.Driver())[0]
		if r.Encoding != "json+zstd" {
			t.Fatalf("encoding %s", r.Encoding)
		}
		whole = r.Data
	}
	var data []byte
	drv := edited{Store: memory.New(), record: func(r *driver.Record) { r.Encoding, r.Data = "json+zstd", data }}
	s := over(t, drv)
	put(t, s, "s", pinged{})
	var said string // the last error
	check := func(name string, bad []byte, most uint64) {
		t.Helper()
		data = bad
		r := all(t, s.Read(t.Context(), "s"))[0]
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		start := time.Now()
		raw, err := r.Raw()
		took := time.Since(start)
		runtime.ReadMemStats(&after)
		said = fmt.Sprint(err)
		var d *es.DecodeError
		if !errors.As(err, &d) || !errors.Is(err, es.ErrCorrupt) || !strings.Contains(err.Error(), "the compressed data cannot be read: ") {
			t.Errorf("%s: %d bytes, %v", name, len(raw.Data), err)
		}
		if n := after.TotalAlloc - before.TotalAlloc; n > most {
			t.Errorf("%s: %d bytes of memory, want %d at most", name, n, most)
		}
		if took > 30*time.Second {
			t.Errorf("%s: it took %v", name, took)
		}
	}
	data = whole
	if err := all(t, s.Read(t.Context(), "s"))[0].Err(); err != nil {
		t.Fatalf("whole: %v", err)
	}
	const little = 4 << 20
	for n := range whole {
		check(fmt.Sprintf("cut to %d bytes", n), whole[:n], little)
	}
	for i := range whole {
		bad := bytes.Clone(whole)
		bad[i] ^= 0x55
		check(fmt.Sprintf("byte %d changed", i), bad, little)
	}
	check("more bytes", append(bytes.Clone(whole), 1, 2, 3, 4, 5), little)
	check("plain JSON", []byte(`{}`), little)
	check("claims 1 TiB", zstdFrame(1<<40, zeros(1, true)...), little)
	check("claims 2^64-1", zstdFrame(1<<64-1, zeros(1, true)...), little)
	check("claims 255 MiB", zstdFrame(255<<20, zeros(1, true)...), little)
	check("claims nothing", zstdFrame(0, zeros(100, true)...), little)
	// A frame that says no size, of 1 GiB.
	unsized := append([]byte{0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x58}, zeros(8192, true)...)
	check("becomes 1 GiB and does not say so", unsized, little)
	if !strings.HasSuffix(said, "it does not say its size") {
		t.Error(said)
	}
	check("claims 1 GiB, and has it", zstdFrame(1<<30, zeros(8192, true)...), little)
	check("1 GiB behind something small", append(bytes.Clone(whole), unsized...), little)
	check("1 GiB behind nothing", append(zstdFrame(0, 1, 0, 0), zstdFrame(1<<30, zeros(8192, true)...)...), little)
}
