package es_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/go-es/es"
	"github.com/go-es/es/drivers/memory"
	"github.com/go-es/es/keys"
)

// bySubject is keys that are there already.
type bySubject map[string]es.AEAD

func (k bySubject) Key(_ context.Context, subject string, _ bool) (es.AEAD, error) {
	if key, ok := k[subject]; ok {
		return key, nil
	}
	return nil, es.ErrNoKey
}

// keyFunc is keys by a function.
type keyFunc func(ctx context.Context, subject string, create bool) (es.AEAD, error)

func (f keyFunc) Key(ctx context.Context, subject string, create bool) (es.AEAD, error) {
	return f(ctx, subject, create)
}

// What must not be on the disk, in the data, the metadata and the snapshot of
// an event.
const (
	secretData = "xyzzy-data"
	secretMeta = "xyzzy-meta"
	secretSnap = "xyzzy-snap"
)

// write appends two events of different types to each of two streams, the first
// type with secrets, and saves a snapshot of each stream as the rule says.
func write(t testing.TB, s *es.Store) {
	t.Helper()
	ctx := es.WithMetadata(t.Context(), map[string]string{"user": secretMeta})
	for _, stream := range []string{"user-1", "user-2"} {
		if _, err := s.Append(ctx, stream, es.Any, opened{Owner: secretData + strings.Repeat(" again", 30)}); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Append(t.Context(), stream, es.Any, noted("note")); err != nil {
			t.Fatal(err)
		}
		subject, encrypt := s.Subject(stream, "account.opened")
		if err := s.SaveSnapshot(t.Context(), es.Snapshot{Stream: stream, Kind: "k", Version: 2, EventID: es.ID{2}}, secretSnap, es.SnapshotSettings{Encrypt: encrypt, Subject: subject}); err != nil {
			t.Fatal(err)
		}
	}
}

// mustRead checks that all that write wrote can be read, n times over.
func mustRead(t testing.TB, s *es.Store, n int) {
	t.Helper()
	records := all(t, s.ReadAll(t.Context()))
	if len(records) != 4*n {
		t.Errorf("%d records, want %d", len(records), 4*n)
	}
	for _, r := range records {
		m, err := r.Metadata()
		if r.Type == "noted" {
			if got, err2 := es.As[noted](r); got != "note" || err2 != nil || m != nil || err != nil {
				t.Errorf("%s: %q, %v, %v, %v", r.Stream, got, err2, m, err)
			}
			continue
		}
		if got, err2 := es.As[opened](r); !strings.HasPrefix(got.Owner, secretData) || err2 != nil || !maps.Equal(m, map[string]string{"user": secretMeta}) || err != nil {
			t.Errorf("%s: %v, %v, %v, %v", r.Stream, got, err2, m, err)
		}
	}
	for _, stream := range []string{"user-1", "user-2"} {
		sn, found, err := s.LoadSnapshot(t.Context(), stream, "k")
		var state string
		if err2 := sn.Decode(&state); err != nil || err2 != nil || !found || state != secretSnap {
			t.Errorf("snapshot of %s: %q, %v, %v, %v", stream, state, found, err, err2)
		}
	}
}

func TestEncrypt(t *testing.T) {
	tenant := func(stream, typ string) (string, bool) {
		return "tenant", strings.HasPrefix(stream, "user-") && typ == "account.opened"
	}
	for _, row := range []struct {
		name      string
		rule      es.Rule
		hides     bool
		encodings string // of an opened, of a noted
		subjects  []string
	}{
		{"all", es.EncryptAll(), true, "json+aead1 json+aead1", []string{"user-1", "user-1", "user-2", "user-2"}},
		{"some", es.EncryptTypes("account.closed", "account.opened"), true, "json+aead1 json", []string{"user-1", "", "user-2", ""}},
		{"a rule", tenant, true, "json+aead1 json", []string{"tenant", "", "tenant", ""}},
		{"others", es.EncryptTypes("noted"), false, "json json+aead1", []string{"", "user-1", "", "user-2"}},
		{"none", es.EncryptTypes(), false, "json json", []string{"", "", "", ""}},
		{"no rule", nil, false, "json json", []string{"", "", "", ""}},
	} {
		for _, compress := range []bool{false, true} {
			t.Run(fmt.Sprint(row.name, ", compressed ", compress), func(t *testing.T) {
				set := []es.Option{es.Encrypt(keys.NewMemory(), row.rule)}
				encodings := row.encodings
				if compress {
					set = append(set, es.Compress(es.Zstd))
					encodings = strings.Replace(encodings, "json", "json+zstd", 1) // the first is long
				}
				s := over(t, memory.New(), set...)
				write(t, s)
				for _, secret := range []string{secretData, secretMeta, secretSnap} {
					// Compressed text is not hidden, but cannot be found so.
					if shows := showsIn(t, s.Driver(), secret); shows == row.hides && !(compress && secret == secretData) {
						t.Errorf("%s: on the disk %v, hidden %v", secret, shows, row.hides)
					}
				}
				mustRead(t, s, 1)

				disk := onDisk(t, s.Driver())
				if got := disk[0].Encoding + " " + disk[1].Encoding; got != encodings {
					t.Errorf("encodings %s, want %s", got, encodings)
				}
				var subjects []string
				for _, r := range all(t, s.ReadAll(t.Context())) {
					subject, ok := r.Subject()
					if ok != (subject != "") {
						t.Errorf("%s: subject %q, %v", r.Stream, subject, ok)
					}
					subjects = append(subjects, subject)
					if now, ok := s.Subject(r.Stream, r.Type); now != subject && ok || ok != (subject != "") {
						t.Errorf("%s, %s: its subject was %q and is %q, %v", r.Stream, r.Type, subject, now, ok)
					}
				}
				if !slices.Equal(subjects, row.subjects) {
					t.Errorf("subjects %q, want %q", subjects, row.subjects)
				}
			})
		}
	}
}

// A copy, by Raw or by Envelope, is encrypted as the store that it goes to does
// it, whatever the first did.
func TestCopiesAreEncryptedAnew(t *testing.T) {
	encrypted := func() []es.Option { return []es.Option{es.Encrypt(keys.NewMemory(), es.EncryptAll())} }
	for _, row := range []struct {
		name     string
		from, to []es.Option
		hides    bool
	}{
		{"encrypted to encrypted", encrypted(), encrypted(), true},
		{"plain to encrypted", nil, encrypted(), true},
		{"plain to encrypted and compressed", nil, append(encrypted(), es.Compress(es.Zstd)), true},
		{"encrypted to plain", encrypted(), nil, false},
	} {
		from, to := over(t, memory.New(), row.from...), over(t, memory.New(), row.to...)
		write(t, from)
		for _, r := range all(t, from.ReadAll(t.Context())) {
			env, err := r.Envelope()
			if err != nil {
				t.Fatal(err)
			}
			raw, err := r.Raw()
			if err != nil {
				t.Fatal(err)
			}
			put(t, to, r.Stream, env)
			put(t, to, "raw", raw)
			put(t, to, "enveloped", es.Envelope{Event: &raw, Metadata: env.Metadata})
		}
		for _, secret := range []string{secretData, secretMeta} {
			if shows := showsIn(t, to.Driver(), secret); shows == row.hides {
				t.Errorf("%s: %s on the disk: %v", row.name, secret, shows)
			}
		}
		for _, d := range onDisk(t, to.Driver()) {
			if strings.HasSuffix(d.Encoding, "+aead1") != row.hides {
				t.Errorf("%s: encoding %s", row.name, d.Encoding)
			}
		}
		n := 0
		for _, r := range all(t, to.ReadAll(t.Context(), es.Types("account.opened"))) {
			n++
			if got, err := es.As[opened](r); err != nil || !strings.HasPrefix(got.Owner, secretData) {
				t.Errorf("%s: %s: %v, %v", row.name, r.Stream, got, err)
			}
			if m, err := r.Metadata(); err != nil || (m["user"] == secretMeta) != (r.Stream != "raw") {
				t.Errorf("%s: %s: %v, %v", row.name, r.Stream, m, err)
			}
		}
		if n != 6 {
			t.Errorf("%s: %d copies", row.name, n)
		}
	}
}

// Old data stays readable when the rule changes, in both directions.
func TestChangedRules(t *testing.T) {
	drv := memory.New()
	k := keys.NewMemory()
	var stores []*es.Store
	for _, rule := range []es.Rule{
		nil,
		es.EncryptAll(),
		es.EncryptTypes("account.opened"),
		func(stream, typ string) (string, bool) { return "another subject", typ == "noted" },
		es.EncryptTypes(),
	} {
		s := over(t, drv, es.Encrypt(k, rule))
		write(t, s)
		stores = append(stores, s)
	}
	var encodings []string
	for _, d := range onDisk(t, drv) {
		encodings = append(encodings, strings.Replace(strings.Replace(d.Encoding, "json+aead1", "x", 1), "json", "-", 1))
	}
	if got, want := strings.Join(encodings, ""), "----"+"xxxx"+"x-x-"+"-x-x"+"----"; got != want {
		t.Errorf("encrypted %s, want %s", got, want)
	}
	for _, s := range stores {
		mustRead(t, s, len(stores))
	}
}

func TestRotatedAndWrongKeys(t *testing.T) {
	old, err := keys.NewRing(keys.GenerateKey())
	if err != nil {
		t.Fatal(err)
	}
	fresh := keys.GenerateKey()
	rotated, err := old.Rotate(fresh)
	if err != nil {
		t.Fatal(err)
	}
	onlyNew, err := keys.NewRing(fresh)
	if err != nil {
		t.Fatal(err)
	}
	drv := memory.New()
	s := over(t, drv, es.Encrypt(es.SingleKey(old), es.EncryptAll()))
	write(t, s)
	if err := s.SaveSnapshot(t.Context(), es.Snapshot{Stream: "user-2", Kind: "old", Version: 2, EventID: es.ID{2}}, secretSnap, es.SnapshotSettings{Encrypt: true, Subject: "user-2"}); err != nil {
		t.Fatal(err)
	}
	s = over(t, drv, es.Encrypt(es.SingleKey(rotated), es.EncryptAll()))
	mustRead(t, s, 1)
	for _, stream := range []string{"user-1", "user-2"} {
		if err := s.DeleteSnapshot(t.Context(), stream, "k"); err != nil {
			t.Fatal(err)
		}
	}
	write(t, s)
	mustRead(t, s, 2)

	// The new key alone reads what came after the rotation, and nothing before.
	s = over(t, drv, es.Encrypt(es.SingleKey(onlyNew), es.EncryptAll()))
	for i, r := range all(t, s.ReadAll(t.Context())) {
		_, err := r.Envelope()
		if i >= 4 {
			if err != nil {
				t.Errorf("event %d: %v", i, err)
			}
			continue
		}
		want := fmt.Sprintf(`es: event %d of stream %q (type %q, position %d): corrupt data: it cannot be decrypted: the key of subject %q is another, or the bytes were changed or moved: the key ring has no key %s`, r.Version, r.Stream, r.Type, r.Position, r.Stream, old.Keys()[0].ID())
		if !errors.Is(err, es.ErrCorrupt) || err.Error() != want {
			t.Errorf("event %d: %v, want %s", i, err, want)
		}
		if _, err := r.Metadata(); r.Type == "account.opened" && !errors.Is(err, es.ErrCorrupt) {
			t.Errorf("event %d: metadata: %v", i, err)
		}
	}
	sn, _, err := s.LoadSnapshot(t.Context(), "user-1", "k")
	if err2 := sn.Decode(new(string)); err != nil || err2 != nil {
		t.Errorf("the new snapshot: %v, %v", err, err2)
	}
	sn, _, err = s.LoadSnapshot(t.Context(), "user-2", "old")
	if err2 := sn.Decode(new(string)); err != nil || !errors.Is(err2, es.ErrCorrupt) || !strings.HasPrefix(err2.Error(), `es: the snapshot "old" of stream "user-2" at version 2: corrupt data: it cannot be decrypted: `) {
		t.Errorf("the old snapshot: %v, %v", err, err2)
	}
}

func TestWithoutKeys(t *testing.T) {
	drv := memory.New()
	write(t, over(t, drv, es.Encrypt(keys.NewMemory(), es.EncryptTypes("account.opened"))))
	for _, row := range []struct {
		name string
		opts []es.Option
		want string
	}{
		{"no keys", nil, "no key: it is encrypted, and the store was opened without keys"},
		{"keys of others", []es.Option{es.Encrypt(keys.NewMemory(), es.EncryptAll())}, `the key of subject "user-1": no key`},
		{"nil for a key", []es.Option{es.Encrypt(es.SingleKey(nil), nil)}, `the key of subject "user-1": no key`},
		{"nothing at all", []es.Option{es.Encrypt(keyFunc(func(context.Context, string, bool) (es.AEAD, error) { return nil, nil }), nil)}, `the key of subject "user-1": no key`},
	} {
		s := over(t, drv, row.opts...)
		for _, r := range all(t, s.Read(t.Context(), "user-1")) {
			if r.Type == "noted" {
				if got, err := es.As[noted](r); got != "note" || err != nil {
					t.Errorf("%s: %q, %v", row.name, got, err)
				}
				continue
			}
			_, err := es.As[opened](r)
			_, metaErr := r.Metadata()
			for _, err := range []error{err, metaErr, r.Err()} {
				if want := fmt.Sprintf(`es: event 1 of stream "user-1" (type "account.opened", position %d): %s`, r.Position, row.want); !errors.Is(err, es.ErrNoKey) || errors.Is(err, es.ErrCorrupt) || err.Error() != want {
					t.Errorf("%s: %v, want %s", row.name, err, want)
				}
			}
			if subject, ok := r.Subject(); subject != "user-1" || !ok {
				t.Errorf("%s: subject %q, %v", row.name, subject, ok)
			}
		}
		sn, _, err := s.LoadSnapshot(t.Context(), "user-1", "k")
		if err2 := sn.Decode(new(string)); err != nil || !errors.Is(err2, es.ErrNoKey) {
			t.Errorf("%s: the snapshot: %v, %v", row.name, err, err2)
		}
	}
	// Reading never makes a key.
	k := keys.NewMemory()
	for _, r := range all(t, over(t, drv, es.Encrypt(k, es.EncryptAll())).ReadAll(t.Context())) {
		_ = r.Err()
		_, _ = r.Metadata()
	}
	if got := k.String(); got != "keys of 0 subjects, in memory" {
		t.Errorf("reading made %s", got)
	}
}

func TestShreddedSubject(t *testing.T) {
	f := overMemory()
	kept := fakeKeeper{fake: f}
	k := keys.NewMemory()
	s := over(t, kept, es.Encrypt(k, es.EncryptAll()))
	write(t, s)
	before := all(t, s.Read(t.Context(), "user-1"))
	if err := k.Delete(t.Context(), "user-1"); err != nil {
		t.Fatal(err)
	}

	// For good: in records read before and after, and by a store opened later.
	later := over(t, memory.New(), es.Encrypt(k, nil)).With(kept)
	for name, records := range map[string][]es.Record{
		"read before":     before,
		"Read":            all(t, s.Read(t.Context(), "user-1")),
		"ReadAll":         all(t, s.ReadAll(t.Context(), es.Prefixes("user-1"))),
		"another store's": all(t, later.Read(t.Context(), "user-1")),
	} {
		if len(records) != 2 {
			t.Errorf("%s: %d records", name, len(records))
		}
		for _, r := range records {
			_, as := es.As[opened](r)
			if r.Type == "noted" {
				_, as = es.As[noted](r)
			}
			_, raw := r.Raw()
			_, env := r.Envelope()
			want := fmt.Sprintf(`es: event %d of stream "user-1" (type %q, position %d): the key of subject "user-1": shredded: the key of its subject was deleted`, r.Version, r.Type, r.Position)
			for what, err := range map[string]error{"As": as, "Raw": raw, "Envelope": env, "Err": r.Err()} {
				if !errors.Is(err, es.ErrShredded) || errors.Is(err, es.ErrCorrupt) || err.Error() != want {
					t.Errorf("%s: %s: %v, want %s", name, what, err, want)
				}
			}
			if _, err := r.Metadata(); r.Type == "account.opened" && !errors.Is(err, es.ErrShredded) {
				t.Errorf("%s: metadata: %v", name, err)
			}
			// An answer to it is still possible.
			if m := es.Metadata(r.Cause(t.Context())); m[es.CorrelationID] != r.ID.String() || m[es.CausationID] != r.ID.String() {
				t.Errorf("%s: an answer: %v", name, m)
			}
		}
	}
	sn, found, err := s.LoadSnapshot(t.Context(), "user-1", "k")
	if err2 := sn.Decode(new(string)); err != nil || !found || !errors.Is(err2, es.ErrShredded) {
		t.Errorf("the snapshot: %v, %v, %v", found, err, err2)
	}

	// Everything else goes on, for readers of the feed as well.
	readable := 0
	for page, err := range s.Pages(t.Context(), es.PageSize(1)) {
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range page.Events {
			switch err := r.Err(); {
			case err == nil:
				readable++
			case !errors.Is(err, es.ErrShredded) || r.Stream != "user-1":
				t.Errorf("%s: %v", r.Stream, err)
			}
		}
		if page.CaughtUp {
			break
		}
	}
	if readable != 2 {
		t.Errorf("%d records of the other subject can be read", readable)
	}
	put(t, s, "user-2", noted("more"))

	// Nothing can be written for the subject any more, nor together with it.
	calls := f.calls()
	_, err1 := s.Append(t.Context(), "user-1", es.Any, noted("x"))
	_, err2 := s.AppendAll(t.Context(), es.To("user-2", es.Any, noted("x")), es.To("user-1", es.Any, noted("x")))
	for _, err := range []error{err1, err2} {
		if !errors.Is(err, es.ErrShredded) || err.Error() != `es: event 0 for stream "user-1": the key of subject "user-1": shredded: the key of its subject was deleted` {
			t.Errorf("append: %v", err)
		}
	}
	err = s.SaveSnapshot(t.Context(), es.Snapshot{Stream: "user-1", Kind: "k", Version: 3, EventID: es.ID{3}}, "x", es.SnapshotSettings{Encrypt: true, Subject: "user-1"})
	if !errors.Is(err, es.ErrShredded) || err.Error() != `es: the snapshot "k" of stream "user-1": the key of subject "user-1": shredded: the key of its subject was deleted` {
		t.Errorf("snapshot: %v", err)
	}
	if n := f.calls(); n != calls {
		t.Errorf("the driver was called %d times", n-calls)
	}
	if n := len(onDisk(t, f.Store)); n != 5 {
		t.Errorf("%d records on the disk", n)
	}
}

// The stream of a shredded subject can be deleted; what would be encrypted of the
// delete is left out, and never stored in plain text.
func TestDeleteOfAShreddedStream(t *testing.T) {
	for _, mode := range []es.DeleteMode{es.Tombstone, es.Purge} {
		k := keys.NewMemory()
		s := over(t, memory.New(), es.Encrypt(k, es.EncryptAll()))
		write(t, s)
		if err := k.Delete(t.Context(), "user-1"); err != nil {
			t.Fatal(err)
		}
		ctx := es.WithMetadata(t.Context(), map[string]string{"by": secretMeta})
		for _, stream := range []string{"user-1", "user-2"} {
			if out, err := s.Delete(ctx, stream, es.Exactly(2), mode); err != nil || out.Last != 3 {
				t.Fatal(out, err)
			}
		}
		if showsIn(t, s.Driver(), secretMeta) {
			t.Error("the metadata of a delete is on the disk")
		}
		for _, r := range all(t, s.ReadAll(t.Context(), es.Types(es.TypeDeleted))) {
			m, err := r.Metadata()
			if r.Err() != nil || err != nil || (m["by"] == secretMeta) != (r.Stream == "user-2") {
				t.Errorf("mode %d: %s: %v, %v, %v", mode, r.Stream, r.Err(), m, err)
			}
		}
	}
	// The key may go between Key and Encrypt.
	s := over(t, memory.New(), es.Encrypt(keyFunc(func(context.Context, string, bool) (es.AEAD, error) {
		return aeadFunc{encrypt: func() ([]byte, error) { return nil, es.ErrShredded }}, nil
	}), func(stream, typ string) (string, bool) { return stream, typ == es.TypeDeleted }))
	put(t, s, "s", ann)
	if out, err := s.Delete(es.WithMetadata(t.Context(), map[string]string{"by": secretMeta}), "s", es.Any, es.Tombstone); err != nil || out.Last != 2 || showsIn(t, s.Driver(), secretMeta) {
		t.Errorf("%+v, %v", out, err)
	}
	// Other troubles with keys stop a delete.
	f := overMemory()
	put(t, over(t, f), "s", ann)
	s = over(t, f, es.Encrypt(keyFunc(func(context.Context, string, bool) (es.AEAD, error) { return nil, errBroken }), es.EncryptAll()))
	if _, err := s.Delete(t.Context(), "s", es.Any, es.Purge); !errors.Is(err, errBroken) || f.calls("delete") != 0 {
		t.Errorf("%v, %d calls", err, f.calls("delete"))
	}
}

// aeadFunc is an AEAD by two functions.
type aeadFunc struct {
	encrypt, decrypt func() ([]byte, error)
}

func (a aeadFunc) Encrypt([]byte, []byte) ([]byte, error) { return a.encrypt() }
func (a aeadFunc) Decrypt([]byte, []byte) ([]byte, error) { return a.decrypt() }

// What keys and AEADs do wrong is an error of the append, before anything is
// written, or of the record.
func TestKeysThatFail(t *testing.T) {
	fails := func() ([]byte, error) { return nil, errBroken }
	shredded := func() ([]byte, error) { return nil, es.ErrShredded }
	panics := func() ([]byte, error) { var b []byte; return b[:12], nil } // forgot to check the length
	key := func(a es.AEAD, err error) es.Keys {
		return keyFunc(func(context.Context, string, bool) (es.AEAD, error) { return a, err })
	}
	const of = `es: event 0 for stream "s": `
	for _, row := range []struct {
		name    string
		keys    es.Keys
		subject string
		write   string // the error of an append, "" for not tried
		read    string // the error of the record, "" for not tried
		is      error
	}{
		{"no answer", key(nil, errBroken), "s", of + `the key of subject "s": the connection is broken`, `the key of subject "s": the connection is broken`, errBroken},
		{"no key", key(nil, nil), "s", of + `the key of subject "s": no key`, `the key of subject "s": no key`, es.ErrNoKey},
		{"AEAD fails", key(aeadFunc{fails, fails}, nil), "s", of + `encrypting for subject "s": the connection is broken`, `corrupt data: it cannot be decrypted: the key of subject "s" is another, or the bytes were changed or moved: the connection is broken`, errBroken},
		{"AEAD panics", key(aeadFunc{nil, panics}, nil), "s", "", `corrupt data: it cannot be decrypted: the key of subject "s" is another, or the bytes were changed or moved: the AEAD panics: runtime error: slice bounds out of range [:12] with capacity 0`, es.ErrCorrupt},
		{"deleted meanwhile", key(aeadFunc{shredded, shredded}, nil), "s", of + `encrypting for subject "s": shredded: the key of its subject was deleted`, `the key of subject "s": shredded: the key of its subject was deleted`, es.ErrShredded},
		{"empty subject", keys.NewMemory(), "", of + "subject: is empty", "", es.ErrInvalid},
		{"long subject", keys.NewMemory(), strings.Repeat("n", 256), of + `subject: "` + strings.Repeat("n", 40) + `"… has 256 bytes, the limit is 255`, "", es.ErrInvalid},
		{"subject that is no UTF-8", keys.NewMemory(), "a\xff", of + `subject: "a\xff" is not valid UTF-8`, "", es.ErrInvalid},
	} {
		t.Run(row.name, func(t *testing.T) {
			f := overMemory()
			s := over(t, fakeKeeper{fake: f}, es.Encrypt(row.keys, func(string, string) (string, bool) { return row.subject, true }))
			if row.write != "" {
				if _, err := s.Append(t.Context(), "s", es.Any, ann); err == nil || err.Error() != row.write || !errors.Is(err, row.is) {
					t.Errorf("append: %v, want %s", err, row.write)
				}
				if err := s.SaveSnapshot(t.Context(), es.Snapshot{Stream: "s", Kind: "k", Version: 1, EventID: es.ID{1}}, 1, es.SnapshotSettings{Encrypt: true, Subject: row.subject}); !errors.Is(err, row.is) {
					t.Errorf("snapshot: %v", err)
				}
				if f.calls() != 0 {
					t.Errorf("the driver was called %d times", f.calls())
				}
			}
			if row.read != "" {
				put(t, over(t, f, es.Encrypt(es.SingleKey(newRing(t)), es.EncryptAll())), "s", ann)
				r := all(t, s.Read(t.Context(), "s"))[0]
				want := fmt.Sprintf(`es: event 1 of stream "s" (type "account.opened", position %d): %s`, r.Position, row.read)
				if err := r.Err(); err == nil || err.Error() != want || !errors.Is(err, row.is) {
					t.Errorf("read: %v, want %s", err, want)
				}
			}
		})
	}
}

// Keys see the values of the caller's context, and when a record is decoded not
// its end: the record may be decoded after the read.
func TestKeysSeeTheContext(t *testing.T) {
	type name struct{}
	ring := newRing(t)
	var seen []string
	k := keyFunc(func(ctx context.Context, subject string, create bool) (es.AEAD, error) {
		seen = append(seen, fmt.Sprint(ctx.Value(name{}), " ", subject, " ", create, " ", ctx.Err()))
		return ring, nil
	})
	s := over(t, memory.New(), es.Encrypt(k, es.EncryptAll()))
	ctx, cancel := context.WithCancel(context.WithValue(t.Context(), name{}, "ann's"))
	if _, err := s.Append(ctx, "s", es.Any, ann); err != nil {
		t.Fatal(err)
	}
	r := all(t, s.Read(ctx, "s"))[0]
	cancel()
	if err := r.Err(); err != nil {
		t.Error(err)
	}
	if want := []string{"ann's s true <nil>", "ann's s false <nil>"}; !slices.Equal(seen, want) {
		t.Errorf("the keys saw %q, want %q", seen, want)
	}
}

// An event that is not encrypted needs no key.
func TestOnlyWhatIsEncryptedNeedsAKey(t *testing.T) {
	asked := 0
	k := keyFunc(func(context.Context, string, bool) (es.AEAD, error) { asked++; return nil, errBroken })
	s := over(t, memory.New(), es.Encrypt(k, es.EncryptTypes("account.opened")))
	put(t, s, "s", noted("x"))
	if err := all(t, s.Read(t.Context(), "s"))[0].Err(); err != nil || asked != 0 {
		t.Errorf("%v, the keys were asked %d times", err, asked)
	}
	if err := s.SaveSnapshot(t.Context(), es.Snapshot{Stream: "s", Kind: "k", Version: 1, EventID: es.ID{1}}, 1, es.SnapshotSettings{Subject: "s"}); err != nil || asked != 0 {
		t.Errorf("%v, the keys were asked %d times", err, asked)
	}
	if _, err := s.Append(t.Context(), "s", es.Any, ann); !errors.Is(err, errBroken) || asked != 1 {
		t.Errorf("%v, the keys were asked %d times", err, asked)
	}
}
