package es_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/go-es/es"
	"github.com/go-es/es/driver"
	"github.com/go-es/es/drivers/memory"
	"github.com/go-es/es/keys"
)

// One bad record never stops a reader of the others: each way to read gives all
// of them, in order, and only what is bad fails, with its place.
func TestBadRecordsStopNobody(t *testing.T) {
	subjects := keys.NewMemory()
	bad := map[es.Version]struct {
		how  func(*driver.Record)
		is   error
		data bool // the data can be read, the metadata not
	}{
		2:  {func(r *driver.Record) { r.Data = []byte("{") }, nil, false}, // only As notices
		4:  {func(r *driver.Record) { r.Encoding = "yaml" }, es.ErrUnknownEncoding, false},
		5:  {func(r *driver.Record) { r.Encoding = "json+zstd" }, es.ErrCorrupt, false},
		7:  {func(r *driver.Record) { r.Encoding = "json+aead1" }, es.ErrCorrupt, false},
		8:  {func(r *driver.Record) { r.Encoding, r.Data = "json+aead1", []byte("\x01\x03eve1234567") }, es.ErrNoKey, false},
		9:  {func(r *driver.Record) { r.Encoding, r.Data = "json+aead1", []byte("\x01\x03ann1234567") }, es.ErrShredded, false},
		11: {func(r *driver.Record) { r.Metadata = []byte("[1]") }, es.ErrCorrupt, true},
		12: {func(r *driver.Record) { r.Metadata = []byte(`{"a":1}`) }, es.ErrCorrupt, true},
	}
	if err := subjects.Delete(t.Context(), "ann"); err != nil {
		t.Fatal(err)
	}
	const last = 12
	drv := edited{Store: memory.New(), record: func(r *driver.Record) {
		if b, ok := bad[r.Version]; ok {
			b.how(r)
		}
	}}
	s := over(t, drv, es.Encrypt(subjects, nil))
	for n := range last {
		put(t, s, "s", tick{n + 1})
	}
	pages := func() (records []es.Record) {
		for page, err := range s.Pages(t.Context(), es.PageSize(5)) {
			if err != nil {
				t.Fatal(err)
			}
			records = append(records, page.Events...)
			if page.CaughtUp {
				break
			}
		}
		return records
	}
	for name, records := range map[string][]es.Record{
		"Read":          all(t, s.Read(t.Context(), "s")),
		"Read backward": all(t, s.Read(t.Context(), "s", es.Backward(), es.PageSize(3))),
		"ReadAll":       all(t, s.ReadAll(t.Context())),
		"Subscribe":     all(t, s.Subscribe(t.Context(), es.Limit(last), es.PageSize(2))),
		"Pages":         pages(),
	} {
		if name == "Read backward" {
			slices.Reverse(records)
		}
		if !slices.Equal(versions(records), span[es.Version](1, last)) {
			t.Errorf("%s gives the versions %v", name, versions(records))
			continue
		}
		for _, r := range records {
			b, isBad := bad[r.Version]
			ev, err := es.As[tick](r)
			if (err == nil) != (!isBad || b.data) || err == nil && ev.N != int(r.Version) {
				t.Errorf("%s: event %d: %v, %v", name, r.Version, ev, err)
			}
			if b.is != nil && !b.data && !errors.Is(err, b.is) {
				t.Errorf("%s: event %d: As: %v, want %v", name, r.Version, err, b.is)
			}
			if !errors.Is(r.Err(), b.is) {
				t.Errorf("%s: event %d: Err: %v, want %v", name, r.Version, r.Err(), b.is)
			}
			_, envErr := r.Envelope()
			_, metaErr := r.Metadata()
			if b.data && (!errors.Is(envErr, b.is) || !errors.Is(metaErr, b.is)) {
				t.Errorf("%s: event %d: Envelope: %v, Metadata: %v", name, r.Version, envErr, metaErr)
			}
			for _, err := range []error{err, r.Err(), envErr, metaErr} {
				var d *es.DecodeError
				if err != nil && (!errors.As(err, &d) || d.Version != r.Version || d.Stream != "s" || d.Type != "tick" || d.Position != r.Position) {
					t.Errorf("%s: event %d: %#v", name, r.Version, err)
				}
			}
		}
	}
}

func TestRecordThatWasNotRead(t *testing.T) {
	r := es.Record{Stream: "s", Type: "tick"}
	const want = `es: event 0 of stream "s" (type "tick", position 0): the record was not read from a store`
	_, as := es.As[tick](r)
	_, raw := r.Raw()
	_, env := r.Envelope()
	_, meta := r.Metadata()
	for name, err := range map[string]error{"As": as, "Raw": raw, "Envelope": env, "Metadata": meta, "Err": r.Err()} {
		if err == nil || err.Error() != want {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, ok := r.Subject(); ok {
		t.Error("it has a subject")
	}
	var sn es.Snapshot
	if err := sn.Decode(new(int)); err == nil || !strings.HasPrefix(err.Error(), "es: the snapshot ") {
		t.Errorf("a snapshot: %v", err)
	}
}

// A record is a value: it can be used by many at once, also after its store was
// closed.
func TestRecordsAreValues(t *testing.T) {
	s, err := es.New(memory.New(), es.Compress(es.Zstd), es.Encrypt(es.SingleKey(newRing(t)), es.EncryptAll()))
	if err != nil {
		t.Fatal(err)
	}
	long := noted(strings.Repeat("long ", 100))
	ctx := es.WithMetadata(t.Context(), map[string]string{"k": "v"})
	if _, err := s.Append(ctx, "s", es.Any, long); err != nil {
		t.Fatal(err)
	}
	r := all(t, s.Read(t.Context(), "s"))[0]
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	for range 4 {
		go func() {
			var err error
			for range 100 {
				got, e := es.As[noted](r)
				m, e2 := r.Metadata()
				if e != nil || e2 != nil || got != long || m["k"] != "v" {
					err = fmt.Errorf("%q, %v, %v, %v", got, e, m, e2)
				}
			}
			done <- err
		}()
	}
	for range 4 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}
