package cassandra

import (
	"bytes"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/go-es/es/driver"
)

func TestPack(t *testing.T) {
	records := []driver.Record{
		{ID: driver.NewID(time.Now()), Type: "one", Encoding: "json", Tags: []string{"a", "", "b"}, Data: []byte("data"), Metadata: []byte("meta"), Time: time.UnixMicro(-5)},
		{ID: driver.NewID(time.Now()), Type: "two", Encoding: "x", Time: time.UnixMicro(1 << 60)},
	}
	b := pack(records)
	got, err := unpack(bytes.Clone(b), "s", 7, new(names))
	if err != nil || len(got) != 2 {
		t.Fatal(got, err)
	}
	for i, r := range records {
		g := got[i]
		if g.ID != r.ID || g.Type != r.Type || g.Encoding != r.Encoding || !slices.Equal(g.Tags, r.Tags) || !bytes.Equal(g.Data, r.Data) ||
			!bytes.Equal(g.Metadata, r.Metadata) || !g.Time.Equal(r.Time) || g.Version != driver.Version(7+i) || g.Stream != "s" {
			t.Errorf("%+v, want %+v", g, r)
		}
	}
	for i := range b {
		damaged := bytes.Clone(b)
		damaged[i] ^= 0x40
		if _, err := unpack(damaged, "s", 7, new(names)); !errors.Is(err, driver.ErrCorrupt) {
			t.Errorf("byte %d was changed: %v", i, err)
		}
		if _, err := unpack(b[:i], "s", 7, new(names)); !errors.Is(err, driver.ErrCorrupt) {
			t.Errorf("cut at %d: %v", i, err)
		}
	}
}

func FuzzUnpack(f *testing.F) {
	f.Add([]byte{1, 0, 0, 0, 0, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		p := parser{rest: b}
		p.bytes(p.number())
		p.signed()
		unpack(b, "s", 1, new(names)) // does not panic
	})
}
