package keys

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"

	"github.com/go-es/es"
)

// Size is the number of bytes of a key.
const Size = 32

// Key is a key for AES-256-GCM. The zero Key is none: make one with
// [GenerateKey], [NewKey] or [ParseKey].
type Key struct {
	id    keyID
	bytes func() [Size]byte // a function, because fmt reads unexported fields and follows pointers
}

// keyID names a key in what was encrypted with it. It is made of the key, so
// that two keys never go by one name, and it says nothing about it.
type keyID [4]byte

// GenerateKey returns a new random key.
func GenerateKey() Key {
	var b [Size]byte
	rand.Read(b[:]) // never fails: see crypto/rand
	return newKey(b)
}

// NewKey returns the key that has these 32 bytes. They must be random: a
// password is no key.
func NewKey(b []byte) (Key, error) {
	if len(b) != Size {
		return Key{}, invalid("key", "has %d bytes, and must have %d", len(b), Size)
	}
	if [Size]byte(b) == [Size]byte{} {
		return Key{}, invalid("key", "is all zeros")
	}
	return newKey([Size]byte(b)), nil
}

// ParseKey reads a key as [Key.Reveal] writes it, in standard base64, such as
// the output of "openssl rand -base64 32". Blanks around it are ignored.
func ParseKey(text string) (Key, error) { return parseKey("key", text) }

func newKey(b [Size]byte) Key {
	h := sha256.New()
	h.Write([]byte("es key id"))
	h.Write(b[:])
	return Key{keyID(h.Sum(nil)), func() [Size]byte { return b }}
}

func (k Key) exists() bool { return k.bytes != nil }

// ID returns the name by which data says with which key it was encrypted: 8
// hexadecimal digits, which tell nothing about the key.
func (k Key) ID() string {
	if !k.exists() {
		return "none"
	}
	return hex.EncodeToString(k.id[:])
}

// Reveal returns the key itself, in base64, to be kept where secrets are.
func (k Key) Reveal() string {
	if !k.exists() {
		return ""
	}
	b := k.bytes()
	return base64.StdEncoding.EncodeToString(b[:])
}

// String returns "key" and the key's id, never its bytes; so do all other ways
// to print a key.
func (k Key) String() string { return "key " + k.ID() }

// GoString returns what String does.
func (k Key) GoString() string { return k.String() }

// Format writes what String returns, whatever the verb.
func (k Key) Format(f fmt.State, _ rune) { fmt.Fprint(f, k.String()) }

// MarshalText returns what String does: a key cannot be kept in this form.
func (k Key) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

func invalid(what, reason string, args ...any) error {
	return &es.InvalidError{What: what, Reason: fmt.Sprintf(reason, args...)}
}
