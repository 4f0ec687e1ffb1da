package keys_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/go-es/es"
	"github.com/go-es/es/keys"
)

// Two keys: the bytes 1 to 32, and 33 to 64.
const (
	text1 = "AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA="
	text2 = "ISIjJCUmJygpKissLS4vMDEyMzQ1Njc4OTo7PD0+P0A="
	id1   = "62b36386" // the first 4 bytes of SHA-256("es key id" + key)
	id2   = "baddd90a"
)

func parse(t *testing.T, text string) keys.Key {
	t.Helper()
	k, err := keys.ParseKey(text)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func ring(t *testing.T, primary keys.Key, older ...keys.Key) *keys.Ring {
	t.Helper()
	r, err := keys.NewRing(primary, older...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func encrypt(t *testing.T, a es.AEAD, plain, ad string) []byte {
	t.Helper()
	box, err := a.Encrypt([]byte(plain), []byte(ad))
	if err != nil {
		t.Fatal(err)
	}
	return box
}

// What is stored must be readable for ever: the text of a ring, the ids of keys
// and the bytes of a ciphertext must not change. The ciphertext was computed with
// another implementation of AES-GCM (OpenSSL's).
func TestRingFormat(t *testing.T) {
	const box = "01" + id1 + "6465666768696a6b6c6d6e6f" + "083a1f20fe" + "05cabdb2775298736488488d89c1a733"
	r, err := keys.ParseRing(text2 + "\n" + text1 + "\n")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := r.Reveal(), text2+"\n"+text1+"\n"; got != want {
		t.Errorf("the text of the ring is %q, want %q", got, want)
	}
	var ids []string
	for _, k := range r.Keys() {
		ids = append(ids, k.ID())
	}
	if got, want := strings.Join(ids, " "), id2+" "+id1; got != want {
		t.Errorf("the ids are %s, want %s", got, want)
	}
	raw, err := hex.DecodeString(box)
	if err != nil {
		t.Fatal(err)
	}
	if plain, err := r.Decrypt(raw, []byte("place")); err != nil || string(plain) != "hello" {
		t.Errorf("the known ciphertext gives %q, %v", plain, err)
	}

	// The other way: what the ring writes is read by plain AES-GCM.
	out := encrypt(t, r, "hello", "place")
	if len(out) != 1+4+12+len("hello")+16 || out[0] != 1 || hex.EncodeToString(out[1:5]) != id2 {
		t.Fatalf("the ring writes %x", out)
	}
	var key [32]byte
	for i := range key {
		key[i] = byte(33 + i)
	}
	block, err := aes.NewCipher(key[:])
	if err != nil {
		t.Fatal(err)
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		t.Fatal(err)
	}
	if plain, err := gcm.Open(nil, out[5:17], out[17:], []byte("place")); err != nil || string(plain) != "hello" {
		t.Errorf("plain AES-GCM reads %q, %v", plain, err)
	}
}

func TestRingRotation(t *testing.T) {
	a, b, c := keys.GenerateKey(), keys.GenerateKey(), keys.GenerateKey()
	first := ring(t, a)
	old := encrypt(t, first, "secret", "ad")

	second, err := first.Rotate(b)
	if err != nil {
		t.Fatal(err)
	}
	if plain, err := second.Decrypt(old, []byte("ad")); err != nil || string(plain) != "secret" {
		t.Errorf("after the rotation old data gives %q, %v", plain, err)
	}
	fresh := encrypt(t, second, "secret", "ad")
	if _, err := first.Decrypt(fresh, []byte("ad")); err == nil || err.Error() != "es: the key ring has no key "+b.ID() {
		t.Errorf("the first ring reads data of the second: %v", err)
	}
	if plain, err := ring(t, b).Decrypt(fresh, []byte("ad")); err != nil || string(plain) != "secret" {
		t.Errorf("the new data is not the new key's: %q, %v", plain, err)
	}

	// A key that is there already becomes the primary.
	third, err := ring(t, a, b, c).Rotate(c)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := third.String(), fmt.Sprintf("key ring [%s %s %s]", c.ID(), a.ID(), b.ID()); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if _, err := third.Rotate(keys.Key{}); !errors.Is(err, es.ErrInvalid) {
		t.Errorf("rotated to no key: %v", err)
	}
}

func TestRingRefusesWhatIsNotItsOwn(t *testing.T) {
	a, b := keys.GenerateKey(), keys.GenerateKey()
	r := ring(t, a, b)
	box := encrypt(t, r, "secret", "ad")
	for i := range box {
		for _, bit := range []byte{1, 0x80, 0xff} {
			changed := bytes.Clone(box)
			changed[i] ^= bit
			if plain, err := r.Decrypt(changed, []byte("ad")); err == nil || plain != nil {
				t.Errorf("byte %d xor %#x: %q, %v", i, bit, plain, err)
			}
		}
	}
	for n := range box {
		if plain, err := r.Decrypt(box[:n], []byte("ad")); err == nil || plain != nil || (n < 33) != (err.Error() == fmt.Sprintf("es: not of a key ring: %d bytes are too few", n)) {
			t.Errorf("cut to %d bytes: %q, %v", n, plain, err)
		}
	}
	if _, err := r.Decrypt(append(bytes.Clone(box), 0), []byte("ad")); err == nil {
		t.Error("a byte more is accepted")
	}
	if _, err := r.Decrypt(box, []byte("ae")); err == nil {
		t.Error("other associated data is accepted")
	}
	// The id of the ring's other key: that one cannot open it.
	moved := bytes.Clone(box)
	copy(moved[1:5], encrypt(t, ring(t, b), "", "")[1:5])
	if _, err := r.Decrypt(moved, []byte("ad")); err == nil {
		t.Error("another key opens it")
	}
	if plain, err := r.Decrypt(box, []byte("ad")); err != nil || string(plain) != "secret" {
		t.Errorf("unchanged: %q, %v", plain, err)
	}
	var none keys.Ring
	if _, err := none.Encrypt([]byte("secret"), nil); err == nil {
		t.Error("a ring without keys encrypts")
	}
	if _, err := none.Decrypt(box, []byte("ad")); err == nil {
		t.Error("a ring without keys decrypts")
	}
}

func TestRingEncryptsAnewEachTime(t *testing.T) {
	r := ring(t, keys.GenerateKey())
	seen := map[string]bool{}
	for range 1000 {
		box := string(encrypt(t, r, "", ""))
		if len(box) != 33 {
			t.Fatalf("nothing becomes %d bytes, want 33", len(box))
		}
		if seen[box[5:17]] {
			t.Fatal("a nonce came twice")
		}
		seen[box[5:17]] = true
	}
}

func TestParseRing(t *testing.T) {
	for _, row := range []struct {
		name, text string
		want       string // of the ring, or the error
	}{
		{"one", text1, "key ring [" + id1 + "]"},
		{"two", text1 + "\n" + text2, "key ring [" + id1 + " " + id2 + "]"},
		{"comments, blanks, other line ends", "\r\n# the primary\r\n  " + text2 + "\t\r\n\n  # old\n" + text1 + "\r\n\n", "key ring [" + id2 + " " + id1 + "]"},
		{"nothing", "", "es: key ring: has no key"},
		{"comments only", "# one\n\n", "es: key ring: has no key"},
		{"no base64", text1 + "\n" + text1[:20] + "!" + text1[21:], "es: key ring, line 2: is not a key in base64"},
		{"cut", text1[:43], "es: key ring, line 1: is not a key in base64"},
		{"two on a line", text1 + " " + text2, "es: key ring, line 1: is not a key in base64"},
		{"a last digit that is none", text1[:42] + "B=", "es: key ring, line 1: is not a key in base64"},
		{"short", "\n\nAQIDBAUGBwgJCgsMDQ4PEA==", "es: key ring, line 3: has 16 bytes, and must have 32"},
		{"long", strings.TrimRight(text1, "=")[:40] + text2, "es: key ring, line 1: has 62 bytes, and must have 32"},
		{"zeros", strings.Repeat("A", 43) + "=", "es: key ring, line 1: is all zeros"},
		{"twice", text1 + "\n\n" + text2 + "\n" + text1, "es: key ring, line 4: has the id " + id1 + ", as key 1 has: it is there twice"},
	} {
		t.Run(row.name, func(t *testing.T) {
			r, err := keys.ParseRing(row.text)
			if err == nil {
				if got := r.String(); got != row.want {
					t.Errorf("got %s, want %s", got, row.want)
				}
				if again, err := keys.ParseRing(r.Reveal()); err != nil || again.Reveal() != r.Reveal() {
					t.Errorf("its own text gives %v, %v", again, err)
				}
				return
			}
			if r != nil || err.Error() != row.want || !errors.Is(err, es.ErrInvalid) {
				t.Errorf("got %v, %v, want %s", r, err, row.want)
			}
		})
	}
}

func TestNewRing(t *testing.T) {
	a, b := parse(t, text1), parse(t, text2)
	for _, row := range []struct {
		name    string
		primary keys.Key
		older   []keys.Key
		want    string
	}{
		{"no primary", keys.Key{}, nil, "es: key 1 of a ring: is none: make keys with GenerateKey, NewKey or ParseKey"},
		{"no older", a, []keys.Key{b, {}}, "es: key 3 of a ring: is none: make keys with GenerateKey, NewKey or ParseKey"},
		{"twice", a, []keys.Key{b, a}, "es: key 3 of a ring: has the id " + id1 + ", as key 1 has: it is there twice"},
	} {
		r, err := keys.NewRing(row.primary, row.older...)
		if r != nil || err == nil || err.Error() != row.want {
			t.Errorf("%s: got %v, %v, want %s", row.name, r, err, row.want)
		}
	}
}

func TestKey(t *testing.T) {
	raw := make([]byte, 32)
	for i := range raw {
		raw[i] = byte(i + 1)
	}
	k, err := keys.NewKey(raw)
	if err != nil || k.Reveal() != text1 || k.ID() != id1 {
		t.Errorf("NewKey: %s (%s), %v", k.Reveal(), k.ID(), err)
	}
	raw[0] = 99 // the key keeps nothing of what it was made of
	if k.Reveal() != text1 {
		t.Error("the key changed with the slice that it was made of")
	}
	if k := parse(t, " "+text1+"\n"); k.Reveal() != text1 {
		t.Errorf("ParseKey gives %s", k.Reveal())
	}
	if a, b := keys.GenerateKey(), keys.GenerateKey(); a.Reveal() == b.Reveal() || a.ID() == b.ID() || len(a.Reveal()) != 44 {
		t.Errorf("generated %s and %s", a.Reveal(), b.Reveal())
	}
	for _, n := range []int{0, 16, 31, 33} {
		if _, err := keys.NewKey(make([]byte, n)); err == nil || err.Error() != fmt.Sprintf("es: key: has %d bytes, and must have 32", n) {
			t.Errorf("NewKey of %d bytes: %v", n, err)
		}
	}
	if _, err := keys.NewKey(make([]byte, 32)); err == nil || err.Error() != "es: key: is all zeros" {
		t.Errorf("NewKey of zeros: %v", err)
	}
	if _, err := keys.ParseKey("hunter2"); err == nil || err.Error() != "es: key: is not a key in base64" {
		t.Errorf("ParseKey of a password: %v", err)
	}
	if k := (keys.Key{}); k.ID() != "none" || k.Reveal() != "" {
		t.Errorf("the zero key is %s, %q", k.ID(), k.Reveal())
	}
}

// No way to print, log or encode may show a byte of a key, also not of one in an
// unexported field of something else, where no method of it is called.
func TestNothingPrintsAKey(t *testing.T) {
	k := parse(t, text1)
	r := ring(t, k)
	m := keys.NewMemory()
	if _, err := m.Key(t.Context(), "subject", true); err != nil {
		t.Fatal(err)
	}
	subject, err := m.Key(t.Context(), "subject", false)
	if err != nil {
		t.Fatal(err)
	}
	type within struct {
		key  keys.Key
		ring *keys.Ring
		copy keys.Ring
		mem  *keys.Memory
		list []keys.Key
		aead es.AEAD
		Key  keys.Key
		Ring *keys.Ring
		Mem  *keys.Memory
	}
	w := within{k, r, *r, m, []keys.Key{k}, subject, k, r, m}
	shows := func(how, s string) {
		t.Helper()
		for _, secret := range []string{
			text1, text1[:12], "0102030405", "01 02 03 04", "1 2 3 4 5", "0x1, 0x2", "1, 2, 3", "1,2,3", "\x01\x02\x03\x04", `\x01\x02`, "AQIDBAUG",
		} {
			if strings.Contains(strings.ToLower(s), strings.ToLower(secret)) {
				t.Errorf("%s shows the key: %q", how, s)
			}
		}
	}
	for _, v := range []any{k, &k, r, *r, m, subject, w, &w, []any{k, r}, map[string]any{"k": k}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "% x", "%X", "%d", "%o", "%b", "%c", "%U", "%t", "%w", "%p"} {
			shows(fmt.Sprintf("%T as %s", v, verb), fmt.Sprintf(verb, v))
		}
		b, err := json.Marshal(v)
		if err != nil {
			t.Errorf("%T as JSON: %v", v, err)
		}
		shows(fmt.Sprintf("%T as JSON", v), string(b))
		var log bytes.Buffer
		slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "v", v)
		slog.New(slog.NewTextHandler(&log, nil)).Info("x", "v", v)
		shows(fmt.Sprintf("%T in a log", v), log.String())
	}
	for _, row := range []struct {
		v    any
		want string
	}{
		{k, "key " + id1}, {&k, "key " + id1}, {r, "key ring [" + id1 + "]"}, {*r, "key ring [" + id1 + "]"}, {m, "keys of 1 subjects, in memory"},
	} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x"} {
			if got := fmt.Sprintf(verb, row.v); got != row.want {
				t.Errorf("%T as %s is %q, want %q", row.v, verb, got, row.want)
			}
		}
	}
	// What is printed is no key and cannot be read as one.
	b, err := json.Marshal(k)
	//lint:ignore SA9005 that a key is not read is what is tested
	if err != nil || json.Unmarshal(b, new(keys.Key)) == nil {
		t.Errorf("JSON %s, %v is read back", b, err)
	}
}

func FuzzRingDecrypt(f *testing.F) {
	k, err := keys.ParseKey(text1)
	if err != nil {
		f.Fatal(err)
	}
	r, err := keys.NewRing(k)
	if err != nil {
		f.Fatal(err)
	}
	ad := []byte("place")
	for _, plain := range []string{"", "hello", strings.Repeat("x", 100)} {
		box, err := r.Encrypt([]byte(plain), ad)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(box)
	}
	f.Add([]byte{})
	f.Add([]byte{1})
	// With associated data of its own, nothing that exists opens.
	f.Fuzz(func(t *testing.T, box []byte) {
		in := bytes.Clone(box)
		if plain, err := r.Decrypt(box, []byte("elsewhere")); err == nil || plain != nil {
			t.Fatalf("%x opens: %q", box, plain)
		}
		if !bytes.Equal(in, box) {
			t.Fatal("Decrypt changed its input")
		}
	})
}

func FuzzParseRing(f *testing.F) {
	f.Add(text1)
	f.Add("# c\n" + text2 + "\r\n" + text1)
	f.Add("AQID")
	f.Fuzz(func(t *testing.T, text string) {
		r, err := keys.ParseRing(text)
		if err != nil {
			return
		}
		again, err := keys.ParseRing(r.Reveal())
		if err != nil || again.Reveal() != r.Reveal() {
			t.Fatalf("%q is read as %q, which is read as %v, %v", text, r.Reveal(), again, err)
		}
	})
}

func BenchmarkRing(b *testing.B) {
	k, err := keys.ParseKey(text1)
	if err != nil {
		b.Fatal(err)
	}
	r, err := keys.NewRing(k, keys.GenerateKey())
	if err != nil {
		b.Fatal(err)
	}
	for _, n := range []int{100, 10_000} {
		plain, ad := make([]byte, n), make([]byte, 100)
		box, err := r.Encrypt(plain, ad)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(fmt.Sprintf("encrypt/%d", n), func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(n))
			for b.Loop() {
				if _, err := r.Encrypt(plain, ad); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprintf("decrypt/%d", n), func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(n))
			for b.Loop() {
				if _, err := r.Decrypt(box, ad); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
