package es_test

import (
	"errors"
	"reflect"
	"testing"

	"github.com/go-es/es"
	"github.com/go-es/es/driver"
	"github.com/go-es/es/drivers/memory"
)

// Whatever a database gives for a record, a reader gets the record, or an error
// that says which one it is and why; never a panic, and never anything else than
// what a copy then shows.
func FuzzRecord(f *testing.F) {
	ring := newRing(f)
	opts := []es.Option{es.Compress(es.Zstd), es.Encrypt(bySubject{"s": ring}, es.EncryptAll()), es.ReadCodecs(gobCodec{}), es.ReadCompressions(flateCompression{})}
	seed := over(f, memory.New(), opts...)
	for _, ev := range []es.Event{ann, noted("x"), randomText(1000), sampled.Of(signal{[]complex128{1}})} {
		if _, err := seed.Append(es.WithMetadata(f.Context(), map[string]string{"k": "v"}), "s", es.Any, ev); err != nil {
			f.Fatal(err)
		}
	}
	for _, d := range onDisk(f, seed.Driver()) {
		f.Add(d.Encoding, d.Data, d.Metadata)
	}
	f.Add("json", []byte(`{"Owner":"x","Euros":"1.00"}`), []byte(`{"k":"v"}`))
	f.Add("json+zstd", zstdFrame(1<<17, zeros(1, true)...), []byte(`null`))
	f.Add("json+flate", []byte{0x4b, 0x04, 0x00}, []byte{})
	f.Add("json+aead1+zstd", []byte{1, 1, 's'}, []byte(`[]`))
	f.Add("", []byte{}, []byte{1})

	var encoding string
	var data, meta []byte
	drv := edited{Store: memory.New(), record: func(r *driver.Record) { r.Encoding, r.Data, r.Metadata = encoding, data, meta }}
	s := over(f, drv, opts...)
	put(f, s, "s", opened{})
	f.Fuzz(func(t *testing.T, enc string, d, m []byte) {
		encoding, data, meta = enc, d, m
		r := all(t, s.Read(t.Context(), "s"))[0]
		_, err := es.As[opened](r)
		raw, rawErr := r.Raw()
		md, metaErr := r.Metadata()
		env, envErr := r.Envelope()
		for _, err := range []error{err, rawErr, metaErr, envErr, r.Err()} {
			var de *es.DecodeError
			if err != nil && (!errors.As(err, &de) || de.Version != 1 ||
				!errors.Is(err, es.ErrCorrupt) && !errors.Is(err, es.ErrNoKey) && !errors.Is(err, es.ErrUnknownEncoding)) {
				t.Errorf("%#v", err)
			}
		}
		if (envErr == nil) != (rawErr == nil && metaErr == nil) || err == nil && rawErr != nil || r.Err() == nil && envErr != nil {
			t.Errorf("As: %v, Raw: %v, Metadata: %v, Envelope: %v, Err: %v", err, rawErr, metaErr, envErr, r.Err())
		}
		if envErr == nil && (!reflect.DeepEqual(env.Event, raw) || !reflect.DeepEqual(env.Metadata, md)) {
			t.Errorf("%+v, %+v, %v", env, raw, md)
		}
		r.Subject()
		r.Cause(t.Context())
	})
}

// Sealed bytes open only if they are those that were sealed.
func FuzzSealed(f *testing.F) {
	drv, ring := known(f)
	whole := string(unhex(f, sealedData))
	f.Add([]byte(whole))
	f.Add(unhex(f, sealedMeta))
	f.Add(unhex(f, sealedSnap))
	f.Add([]byte("\x01\x03ann"))
	f.Add([]byte("\x01\x83\x00" + whole[2:]))
	f.Add([]byte("\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01ann"))
	for name, k := range map[string]es.Keys{"single": es.SingleKey(ring), "by subject": bySubject{"ann": ring, "bob": ring}} {
		s := over(f, drv, es.Encrypt(k, nil))
		drv.record = nil
		if data, err, _, _, _, _ := opens(f, s); data != `{"a":1}` || err != nil {
			f.Fatalf("%s: %q, %v", name, data, err)
		}
	}
	s := over(f, drv, es.Encrypt(bySubject{"ann": ring, "bob": ring}, nil))
	f.Fuzz(func(t *testing.T, sealed []byte) {
		drv.record = func(r *driver.Record) { r.Data = sealed }
		r := all(t, s.ReadAll(t.Context()))[0]
		raw, err := r.Raw()
		switch {
		case string(sealed) == whole:
			if err != nil || string(raw.Data) != `{"a":1}` {
				t.Errorf("%q, %v", raw.Data, err)
			}
		case !errors.Is(err, es.ErrCorrupt) && !errors.Is(err, es.ErrNoKey):
			t.Errorf("%x opens: %q, %v", sealed, raw.Data, err)
		}
		if subject, ok := r.Subject(); ok && driver.CheckName("subject", subject) != nil {
			t.Errorf("%x is of subject %q", sealed, subject)
		}
	})
}

// Decompress gives back what was compressed, and of anything else an error or at
// most what it may give.
func FuzzZstd(f *testing.F) {
	f.Add([]byte("hello, hello, hello"))
	f.Add([]byte{})
	f.Add(zstdFrame(1<<40, zeros(1, true)...))
	f.Add(zstdFrame(1<<17, zeros(1, true)...))
	f.Add(append([]byte{0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x58}, zeros(3, true)...))
	f.Fuzz(func(t *testing.T, data []byte) {
		const limit = 1 << 18
		out, err := es.Zstd.Decompress(data, limit)
		if err == nil && len(out) > limit {
			t.Errorf("%x becomes %d bytes", data, len(out))
		}
		small, err := es.Zstd.Compress(data)
		if err != nil {
			t.Fatal(err)
		}
		if out, err := es.Zstd.Decompress(small, len(data)); err != nil || string(out) != string(data) {
			t.Errorf("%x becomes %x, %v", data, out, err)
		}
		if len(data) > 0 {
			if out, err := es.Zstd.Decompress(small, len(data)-1); err == nil {
				t.Errorf("above the limit: %d bytes", len(out))
			}
		}
	})
}
