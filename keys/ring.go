package keys

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"github.com/go-es/es"
)

// Ring is several keys: the primary one encrypts, all decrypt. It is an
// [es.AEAD], safe for concurrent use, and never changes.
//
// Rotation is a new ring with a new primary key; what the older keys encrypted
// stays readable for as long as they are in the ring. Where several processes
// share the data, first give all of them the new key as an older one, and only
// then make it the primary, so that nobody meets a key that it does not have.
//
// The nonce of each message is random, of 96 bits, so one key must not encrypt
// more than 2^32 messages (NIST SP 800-38D, 8.3): the data of an event is one, its
// metadata another, a snapshot one. Rotate well before that.
type Ring struct {
	r *ring
}

type ring struct {
	keys []member // the primary first
}

type member struct {
	key  Key
	aead cipher.AEAD
}

// What the ring makes: 0x01, 4 bytes of key id, 12 of nonce, the ciphertext, 16
// of tag.
const (
	ringVersion  = 1
	ringPrefix   = 1 + len(keyID{})
	ringOverhead = ringPrefix + 12 + 16
)

// NewRing returns a ring of a primary key, which encrypts, and of older ones.
func NewRing(primary Key, older ...Key) (*Ring, error) {
	r := &ring{}
	for i, k := range append([]Key{primary}, older...) {
		if err := r.add(fmt.Sprintf("key %d of a ring", i+1), k); err != nil {
			return nil, err
		}
	}
	return &Ring{r}, nil
}

// ParseRing reads a ring from text: one key a line, in base64, as [ParseKey]
// reads it; the primary key first. Empty lines, and lines that begin with "#",
// are ignored. No error shows anything of a key.
func ParseRing(text string) (*Ring, error) {
	r := &ring{}
	n := 0
	for line := range strings.Lines(text) {
		n++
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		what := fmt.Sprintf("key ring, line %d", n)
		k, err := parseKey(what, line)
		if err != nil {
			return nil, err
		}
		if err := r.add(what, k); err != nil {
			return nil, err
		}
	}
	if len(r.keys) == 0 {
		return nil, invalid("key ring", "has no key")
	}
	return &Ring{r}, nil
}

func parseKey(what, text string) (Key, error) {
	b, err := base64.StdEncoding.Strict().DecodeString(strings.TrimSpace(text))
	if err != nil {
		return Key{}, invalid(what, "is not a key in base64")
	}
	k, err := NewKey(b)
	var e *es.InvalidError
	if errors.As(err, &e) {
		e.What = what
	}
	return k, err
}

func (r *ring) add(what string, k Key) error {
	if !k.exists() {
		return invalid(what, "is none: make keys with GenerateKey, NewKey or ParseKey")
	}
	for i, m := range r.keys {
		if m.key.id == k.id {
			return invalid(what, "has the id %s, as key %d has: it is there twice", k.ID(), i+1)
		}
	}
	b := k.bytes()
	block, err := aes.NewCipher(b[:])
	if err != nil {
		return fmt.Errorf("es: %s: %w", what, err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return fmt.Errorf("es: %s: %w", what, err)
	}
	r.keys = append(r.keys, member{k, aead})
	return nil
}

// Rotate returns a ring whose primary key is the given one and that decrypts all
// that r does. If the key is in r already, it becomes the primary.
func (r *Ring) Rotate(primary Key) (*Ring, error) {
	var older []Key
	for _, k := range r.Keys() {
		if !primary.exists() || k.id != primary.id {
			older = append(older, k)
		}
	}
	return NewRing(primary, older...)
}

// Keys returns the keys of the ring, the primary one first.
func (r *Ring) Keys() []Key {
	var keys []Key
	for _, m := range r.members() {
		keys = append(keys, m.key)
	}
	return keys
}

// Reveal returns the ring with its keys, as [ParseRing] reads it, to be kept
// where secrets are.
func (r *Ring) Reveal() string {
	var b strings.Builder
	for _, m := range r.members() {
		b.WriteString(m.key.Reveal())
		b.WriteByte('\n')
	}
	return b.String()
}

// Encrypt encrypts with the primary key; see [es.AEAD].
func (r *Ring) Encrypt(plaintext, associatedData []byte) ([]byte, error) {
	keys := r.members()
	if len(keys) == 0 {
		return nil, errors.New("es: the key ring has no key")
	}
	out := make([]byte, 0, ringOverhead+len(plaintext))
	out = append(out, ringVersion)
	out = append(out, keys[0].key.id[:]...)
	return keys[0].aead.Seal(out, nil, plaintext, associatedData), nil
}

// Decrypt decrypts what any key of the ring encrypted; see [es.AEAD].
func (r *Ring) Decrypt(ciphertext, associatedData []byte) ([]byte, error) {
	if len(ciphertext) < ringOverhead {
		return nil, fmt.Errorf("es: not of a key ring: %d bytes are too few", len(ciphertext))
	}
	if ciphertext[0] != ringVersion {
		return nil, fmt.Errorf("es: not of a key ring: it begins with %#02x", ciphertext[0])
	}
	id := keyID(ciphertext[1:ringPrefix])
	for _, m := range r.members() {
		if m.key.id == id {
			return m.aead.Open(nil, nil, ciphertext[ringPrefix:], associatedData)
		}
	}
	return nil, fmt.Errorf("es: the key ring has no key %x", id)
}

func (r *Ring) members() []member {
	if r == nil || r.r == nil {
		return nil
	}
	return r.r.keys
}

// String returns the ids of the keys, never their bytes; so do all other ways to
// print a ring.
func (r Ring) String() string {
	var ids []string
	for _, k := range r.Keys() {
		ids = append(ids, k.ID())
	}
	return "key ring [" + strings.Join(ids, " ") + "]"
}

// GoString returns what String does.
func (r Ring) GoString() string { return r.String() }

// Format writes what String returns, whatever the verb.
func (r Ring) Format(f fmt.State, _ rune) { fmt.Fprint(f, r.String()) }

// MarshalText returns what String does: a ring cannot be kept in this form.
func (r Ring) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

var _ es.AEAD = (*Ring)(nil)
