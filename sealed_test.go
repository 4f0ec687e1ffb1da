package es_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-es/es"
	"github.com/go-es/es/driver"
	"github.com/go-es/es/drivers/memory"
	"github.com/go-es/es/keys"
)

// What follows is on disks and must stay readable for ever: 0x01, the length of
// the subject, the subject, what the AEAD made of plain text and associated data;
// and the associated data. All hexadecimal numbers were computed by another
// program, in another language.
const (
	sealedKey    = "AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA="
	sealedStream = "user-1"
	sealedType   = "user.signed_up"
	sealedKind   = "state.1"

	sealedData = "0103616e6e" + "0162b363866465666768696a6b6c6d6e6f" + "1b7d126eabb3c127b51c5e0f46ce23ae8859f22b06e37c"
	sealedMeta = "0103616e6e" + "0162b363866465666768696a6b6c6d6e6f" + "1b7d186eaba0ca5b855135b4f080e2ebec87e6ba9294e259d4"
	sealedSnap = "0103616e6e" + "0162b363866465666768696a6b6c6d6e6f" + "546d56046f178b97bb98bf81a46396b8783b"

	// "es1", purpose, subject, stream, id, type, encoding, each after its length.
	// The id of a snapshot is its version, in 8 bytes, and the id of its last
	// event; its type is its kind.
	associatedData = "03657331" + "0464617461" + "03616e6e" + "06757365722d31" + "100102030405060708090a0b0c0d0e0f10" + "0e757365722e7369676e65645f7570" + "0a6a736f6e2b6165616431"
	associatedMeta = "03657331" + "086d65746164617461" + "03616e6e" + "06757365722d31" + "100102030405060708090a0b0c0d0e0f10" + "0e757365722e7369676e65645f7570" + "0a6a736f6e2b6165616431"
	associatedSnap = "03657331" + "08736e617073686f74" + "03616e6e" + "06757365722d31" + "1800000000000000070102030405060708090a0b0c0d0e0f10" + "0773746174652e31" + "0a6a736f6e2b6165616431"
)

var sealedID = es.ID{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// witness is an AEAD that encrypts nothing and keeps what it was asked to.
type witness struct{ plain, associated []string }

func (w *witness) Encrypt(plain, associated []byte) ([]byte, error) {
	w.plain = append(w.plain, string(plain))
	w.associated = append(w.associated, hex.EncodeToString(associated))
	return []byte("box"), nil
}

func (w *witness) Decrypt([]byte, []byte) ([]byte, error) { return nil, errBroken }

func TestSealedFormatIsWritten(t *testing.T) {
	w := new(witness)
	subject := "ann"
	s := over(t, memory.New(), es.Encrypt(es.SingleKey(w), func(string, string) (string, bool) { return subject, true }))
	write := func() {
		t.Helper()
		ev := es.Envelope{Event: es.Raw{Type: sealedType, Encoding: "json", Data: []byte(`{"a":1}`)}, ID: sealedID, Metadata: map[string]string{"k": "v"}}
		put(t, s, sealedStream, ev)
		if err := s.SaveSnapshot(t.Context(), es.Snapshot{Stream: sealedStream, Kind: sealedKind, Version: 7, EventID: sealedID}, 42, es.SnapshotSettings{Encrypt: true, Subject: subject}); err != nil {
			t.Fatal(err)
		}
	}
	write()
	if want := []string{`{"a":1}`, `{"k":"v"}`, `42`}; !slices.Equal(w.plain, want) {
		t.Errorf("plain texts %q", w.plain)
	}
	if want := []string{associatedData, associatedMeta, associatedSnap}; !slices.Equal(w.associated, want) {
		t.Errorf("associated data\n%s, want\n%s", strings.Join(w.associated, "\n"), strings.Join(want, "\n"))
	}
	r := onDisk(t, s.Driver())[0]
	const box = "\x01\x03annbox"
	if string(r.Data) != box || string(r.Metadata) != box || r.Encoding != "json+aead1" {
		t.Errorf("the record is %q, %q, %s", r.Data, r.Metadata, r.Encoding)
	}
	if sn := snapshotOnDisk(t, s.Driver(), sealedStream, sealedKind); string(sn.Data) != box || sn.Encoding != "json+aead1" {
		t.Errorf("the snapshot is %q, %s", sn.Data, sn.Encoding)
	}

	// Lengths from 128 on have two bytes.
	subject = strings.Repeat("s", 200)
	*w = witness{}
	write()
	if want := strings.Replace(associatedData, "03616e6e", "c801"+strings.Repeat("73", 200), 1); w.associated[0] != want {
		t.Errorf("associated data\n%s, want\n%s", w.associated[0], want)
	}
	if r := onDisk(t, s.Driver())[1]; string(r.Data) != "\x01\xc8\x01"+subject+"box" {
		t.Errorf("the record is %q", r.Data)
	}
}

// The same in Go, for every field: the length of a field is part of what is
// authenticated, so that no two lists of fields give the same bytes.
func TestSealedFormatOfOddNames(t *testing.T) {
	w := new(witness)
	s := over(t, memory.New(), es.Compress(es.Zstd), es.Encrypt(es.SingleKey(w), es.EncryptAll()))
	for _, name := range []string{"s", strings.Repeat("é", 127), "a\x01b", strings.Repeat("x", 255)} {
		*w = witness{}
		id := s.NewID()
		put(t, s, name, es.Envelope{Event: es.Raw{Type: name, Encoding: "json", Data: bytes.Repeat([]byte("x"), 200)}, ID: id})
		var want []byte
		for _, field := range []string{"es1", "data", name, name, string(id[:]), name, "json+zstd+aead1"} {
			want = binary.AppendUvarint(want, uint64(len(field)))
			want = append(want, field...)
		}
		if got := []string{hex.EncodeToString(want)}; !slices.Equal(w.associated, got) {
			t.Errorf("%q: associated data %s, want %s", name, w.associated, got)
		}
	}
}

// known is a driver store with one record and one snapshot that are sealed as the
// constants say.
func known(t testing.TB) (drv *edited, ring *keys.Ring) {
	t.Helper()
	ring, err := keys.ParseRing(sealedKey)
	if err != nil {
		t.Fatal(err)
	}
	mem := memory.New()
	rec := driver.Record{ID: sealedID, Type: sealedType, Encoding: "json+aead1", Time: time.Unix(1, 0), Data: unhex(t, sealedData), Metadata: unhex(t, sealedMeta)}
	if _, err := mem.Append(t.Context(), driver.AppendRequest{Parts: []driver.Part{{Stream: sealedStream, Records: []driver.Record{rec}}}}); err != nil {
		t.Fatal(err)
	}
	if err := mem.SaveSnapshot(t.Context(), driver.Snapshot{Stream: sealedStream, Kind: sealedKind, Version: 7, EventID: sealedID, Encoding: "json+aead1", Data: unhex(t, sealedSnap)}); err != nil {
		t.Fatal(err)
	}
	return &edited{Store: mem}, ring
}

// opens returns what becomes of the known record and snapshot.
func opens(t testing.TB, s *es.Store) (data string, dataErr error, meta map[string]string, metaErr error, state int, stateErr error) {
	t.Helper()
	r := all(t, s.ReadAll(t.Context()))[0]
	raw, dataErr := r.Raw()
	meta, metaErr = r.Metadata()
	sn, found, err := s.LoadSnapshot(t.Context(), sealedStream, sealedKind)
	if err != nil || !found {
		t.Fatal(found, err)
	}
	stateErr = sn.Decode(&state)
	return string(raw.Data), dataErr, meta, metaErr, state, stateErr
}

func TestSealedFormatIsRead(t *testing.T) {
	drv, ring := known(t)
	s := over(t, drv, es.Encrypt(es.SingleKey(ring), nil))
	data, err1, meta, err2, state, err3 := opens(t, s)
	if data != `{"a":1}` || !maps.Equal(meta, map[string]string{"k": "v"}) || state != 42 || err1 != nil || err2 != nil || err3 != nil {
		t.Errorf("%s, %v, %v, %v, %v, %v", data, err1, meta, err2, state, err3)
	}
	r := all(t, s.ReadAll(t.Context()))[0]
	if subject, ok := r.Subject(); subject != "ann" || !ok {
		t.Errorf("subject %q, %v", subject, ok)
	}
	sn, _, err := s.LoadSnapshot(t.Context(), sealedStream, sealedKind)
	if subject, ok := sn.Subject(); subject != "ann" || !ok || err != nil {
		t.Errorf("subject of the snapshot %q, %v, %v", subject, ok, err)
	}
}

// No byte of what is sealed, and nothing that says where it belongs, can be
// changed without notice.
func TestTampered(t *testing.T) {
	drv, ring := known(t)
	s := over(t, drv, es.Encrypt(es.SingleKey(ring), nil), es.ReadCodecs(renamedCodec{es.JSON, "json.2"}))
	corrupt := func(what string, err error) {
		t.Helper()
		if !errors.Is(err, es.ErrCorrupt) {
			t.Errorf("%s: %v", what, err)
		}
	}
	data, meta, snap := unhex(t, sealedData), unhex(t, sealedMeta), unhex(t, sealedSnap)
	changes := func(b []byte) (out map[string][]byte) {
		out = map[string][]byte{
			"a byte more":               append(bytes.Clone(b), 0),
			"a byte more in front":      append([]byte{1}, b...),
			"twice":                     append(bytes.Clone(b), b...),
			"a longer form":             slices.Concat([]byte{1, 0x83, 0}, b[2:]),
			"another length of subject": slices.Concat([]byte{1, 0xff, 0xff, 0xff, 0xff, 0x0f}, b[2:]),
			"a length above 64 bits":    slices.Concat([]byte{1}, bytes.Repeat([]byte{0xff}, 10), b[1:]),
			"a length without its end":  {1, 0x80},
			"no subject":                slices.Concat([]byte{1, 0}, b[5:]),
			"another subject":           slices.Concat([]byte{1, 3}, []byte("bob"), b[5:]),
			"a subject with NUL":        slices.Concat([]byte{1, 3, 0, 0, 0}, b[5:]),
			"a subject of 256 bytes":    slices.Concat([]byte{1, 0x80, 2}, bytes.Repeat([]byte("s"), 256), b[5:]),
		}
		for i := range b {
			for _, x := range []byte{1, 0x10, 0x80, 0xff} {
				changed := bytes.Clone(b)
				changed[i] ^= x
				out[fmt.Sprintf("byte %d xor %#x", i, x)] = changed
			}
			out[fmt.Sprintf("cut to %d bytes", i)] = b[:i]
		}
		return out
	}
	for what, bad := range changes(data) {
		drv.record = func(r *driver.Record) { r.Data = bad }
		_, err, _, metaErr, _, _ := opens(t, s)
		corrupt("data: "+what, err)
		if metaErr != nil {
			t.Errorf("data: %s: the metadata: %v", what, metaErr)
		}
	}
	for what, bad := range changes(meta) {
		if len(bad) == 0 {
			continue // no metadata
		}
		drv.record = func(r *driver.Record) { r.Metadata = bad }
		_, dataErr, _, err, _, _ := opens(t, s)
		corrupt("metadata: "+what, err)
		if dataErr != nil {
			t.Errorf("metadata: %s: the data: %v", what, dataErr)
		}
	}
	drv.record = nil
	for what, bad := range changes(snap) {
		drv.snapshot = func(sn *driver.Snapshot) { sn.Data = bad }
		_, _, _, _, _, err := opens(t, s)
		corrupt("snapshot: "+what, err)
	}
	drv.snapshot = nil

	for what, edit := range map[string]func(*driver.Record){
		"another stream":             func(r *driver.Record) { r.Stream = "user-2" },
		"another id":                 func(r *driver.Record) { r.ID[15]++ },
		"another type":               func(r *driver.Record) { r.Type = "user.renamed" },
		"another codec":              func(r *driver.Record) { r.Encoding = "json.2+aead1" },
		"compressed":                 func(r *driver.Record) { r.Encoding = "json+zstd+aead1" },
		"sealed twice":               func(r *driver.Record) { r.Encoding = "json+aead1+aead1" },
		"a byte of stream to type":   func(r *driver.Record) { r.Stream, r.Type = "user-", "1user.signed_up" },
		"a byte of type to encoding": func(r *driver.Record) { r.Type, r.Encoding = "user.signed_u", "pjson+aead1" },
		"data and metadata swapped":  func(r *driver.Record) { r.Data, r.Metadata = r.Metadata, r.Data },
		"the data as both":           func(r *driver.Record) { r.Metadata = r.Data; r.Data = r.Data[:0] },
		"the metadata as both":       func(r *driver.Record) { r.Data = r.Metadata; r.Metadata = r.Metadata[:6] },
		"the snapshot as both":       func(r *driver.Record) { r.Data, r.Metadata = snap, snap },
		"a snapshot as a record": func(r *driver.Record) {
			r.Data, r.Metadata, r.Type = snap, snap, sealedKind
		},
	} {
		drv.record = edit
		_, err1, _, err2, _, _ := opens(t, s)
		corrupt(what+": data", err1)
		corrupt(what+": metadata", err2)
	}
	drv.record = nil
	for what, edit := range map[string]func(*driver.Snapshot){
		"another stream":      func(sn *driver.Snapshot) { sn.Stream = "user-2" },
		"another kind":        func(sn *driver.Snapshot) { sn.Kind = "state.2" },
		"another version":     func(sn *driver.Snapshot) { sn.Version++ },
		"another event":       func(sn *driver.Snapshot) { sn.EventID[0]++ },
		"another codec":       func(sn *driver.Snapshot) { sn.Encoding = "json.2+aead1" },
		"compressed":          func(sn *driver.Snapshot) { sn.Encoding = "json+zstd+aead1" },
		"the data of a event": func(sn *driver.Snapshot) { sn.Data = data },
		"an event as a whole": func(sn *driver.Snapshot) { sn.Data, sn.Kind = data, sealedType },
	} {
		drv.snapshot = edit
		_, _, _, _, _, err := opens(t, s)
		corrupt("snapshot: "+what, err)
	}
	drv.snapshot = nil
	if data, err1, _, err2, state, err3 := opens(t, s); data != `{"a":1}` || state != 42 || err1 != nil || err2 != nil || err3 != nil {
		t.Errorf("unchanged: %s, %v, %v, %v, %v", data, err1, err2, state, err3)
	}

	// With keys by subject, another subject is one without a key: nothing opens.
	// What can be no subject is never asked for.
	s = over(t, drv, es.Encrypt(keyFunc(func(ctx context.Context, subject string, create bool) (es.AEAD, error) {
		if err := driver.CheckName("subject", subject); err != nil || create {
			t.Errorf("the keys are asked for %q, create %v", subject, create)
		}
		return bySubject{"ann": ring}.Key(ctx, subject, create)
	}), nil))
	for what, bad := range changes(data) {
		drv.record = func(r *driver.Record) { r.Data = bad }
		if _, err, _, _, _, _ := opens(t, s); !errors.Is(err, es.ErrCorrupt) && !errors.Is(err, es.ErrNoKey) {
			t.Errorf("keys by subject: %s: %v", what, err)
		}
	}
}
