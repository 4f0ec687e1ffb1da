package estest_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/tink"

	"github.com/go-es/es"
	"github.com/go-es/es/driver"
	"github.com/go-es/es/drivers/memory"
)

// An AEAD of Tink is one of es.
var _ es.AEAD = tink.AEAD(nil)

type signedUp struct{ Email string }

func (signedUp) EventType() string { return "user.signed_up" }

func open(t *testing.T, drv driver.Store, opts ...es.Option) *es.Store {
	t.Helper()
	s, err := es.New(drv, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func records(t *testing.T, s *es.Store) (out []es.Record) {
	t.Helper()
	for r, err := range s.ReadAll(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, r)
	}
	return out
}

func appendTo(t *testing.T, s *es.Store, stream string, events ...es.Event) {
	t.Helper()
	ctx := es.WithMetadata(t.Context(), map[string]string{"ip": "198.51.100.7"})
	if _, err := s.Append(ctx, stream, es.Any, events...); err != nil {
		t.Fatal(err)
	}
}

func primitive(t *testing.T, h *keyset.Handle) tink.AEAD {
	t.Helper()
	a, err := aead.New(h)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// readable counts the records whose data and metadata come back.
func readable(t *testing.T, s *es.Store) (n int) {
	t.Helper()
	for _, r := range records(t, s) {
		ev, err := es.As[signedUp](r)
		m, metaErr := r.Metadata()
		switch {
		case err == nil && metaErr == nil && ev.Email == "ann@example.com" && m["ip"] == "198.51.100.7":
			n++
		case !errors.Is(err, es.ErrCorrupt) || !errors.Is(metaErr, es.ErrCorrupt):
			t.Errorf("%v, %v, %v, %v", ev, err, m, metaErr)
		}
	}
	return n
}

func TestTink(t *testing.T) {
	for name, template := range map[string]func() (*keyset.Handle, error){
		"AES-GCM":            func() (*keyset.Handle, error) { return keyset.NewHandle(aead.AES256GCMKeyTemplate()) },
		"AES-GCM-SIV":        func() (*keyset.Handle, error) { return keyset.NewHandle(aead.AES256GCMSIVKeyTemplate()) },
		"AES-CTR-HMAC":       func() (*keyset.Handle, error) { return keyset.NewHandle(aead.AES256CTRHMACSHA256KeyTemplate()) },
		"XChaCha20-Poly1305": func() (*keyset.Handle, error) { return keyset.NewHandle(aead.XChaCha20Poly1305KeyTemplate()) },
	} {
		t.Run(name, func(t *testing.T) {
			handle, err := template()
			if err != nil {
				t.Fatal(err)
			}
			drv := memory.New()
			s := open(t, drv, es.Encrypt(es.SingleKey(primitive(t, handle)), es.EncryptAll()), es.Compress(es.Zstd))
			appendTo(t, s, "user-1", signedUp{"ann@example.com"})
			if n := readable(t, s); n != 1 {
				t.Errorf("%d records can be read", n)
			}
			page, err := drv.ReadAll(t.Context(), driver.FeedQuery{})
			if err != nil {
				t.Fatal(err)
			}
			rec := page.Records[0]
			if all := string(rec.Data) + string(rec.Metadata); rec.Encoding != "json+aead1" || strings.Contains(all, "ann@") || strings.Contains(all, "198.51") {
				t.Errorf("on the disk: %s, %q", rec.Encoding, all)
			}

			other, err := template()
			if err != nil {
				t.Fatal(err)
			}
			if n := readable(t, open(t, drv, es.Encrypt(es.SingleKey(primitive(t, other)), nil))); n != 0 {
				t.Errorf("another key reads %d records", n)
			}
		})
	}
}

// Rotation is Tink's affair: a keyset with a new primary key reads what the old
// one encrypted, and the old one not what the new one did.
func TestTinkRotation(t *testing.T) {
	manager := keyset.NewManager()
	first, err := manager.Add(aead.AES256GCMKeyTemplate())
	if err != nil {
		t.Fatal(err)
	}
	if err := manager.SetPrimary(first); err != nil {
		t.Fatal(err)
	}
	handle := func() *keyset.Handle {
		t.Helper()
		h, err := manager.Handle()
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	drv := memory.New()
	before := open(t, drv, es.Encrypt(es.SingleKey(primitive(t, handle())), es.EncryptAll()))
	appendTo(t, before, "user-1", signedUp{"ann@example.com"})

	second, err := manager.Add(aead.AES256GCMKeyTemplate())
	if err != nil {
		t.Fatal(err)
	}
	if err := manager.SetPrimary(second); err != nil {
		t.Fatal(err)
	}
	after := open(t, drv, es.Encrypt(es.SingleKey(primitive(t, handle())), es.EncryptAll()))
	appendTo(t, after, "user-1", signedUp{"ann@example.com"})
	if n := readable(t, after); n != 2 {
		t.Errorf("after the rotation %d records can be read", n)
	}
	if n := readable(t, before); n != 1 {
		t.Errorf("the first keyset reads %d records", n)
	}
}

// tinkKeys is a keyset for each subject, as a program would keep it.
type tinkKeys map[string]*keyset.Handle

func (k tinkKeys) Key(_ context.Context, subject string, create bool) (es.AEAD, error) {
	h, ok := k[subject]
	if !ok {
		if !create {
			return nil, es.ErrNoKey
		}
		var err error
		if h, err = keyset.NewHandle(aead.AES256GCMKeyTemplate()); err != nil {
			return nil, err
		}
		k[subject] = h
	}
	if h == nil {
		return nil, es.ErrShredded
	}
	return aead.New(h)
}

func TestTinkBySubject(t *testing.T) {
	k := tinkKeys{}
	s := open(t, memory.New(), es.Encrypt(k, es.EncryptTypes("user.signed_up")))
	appendTo(t, s, "user-1", signedUp{"ann@example.com"})
	appendTo(t, s, "user-2", signedUp{"ann@example.com"})
	k["user-1"] = nil
	got := records(t, s)
	if _, err := es.As[signedUp](got[0]); !errors.Is(err, es.ErrShredded) {
		t.Errorf("the shredded one: %v", err)
	}
	if ev, err := es.As[signedUp](got[1]); err != nil || ev.Email != "ann@example.com" {
		t.Errorf("the other one: %v, %v", ev, err)
	}
}
