package es

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/go-es/es/driver"
)

// AEAD is authenticated encryption with associated data; a tink.AEAD is one, and
// so is keys.Ring. It is used concurrently, and must not keep or change what it
// is given.
type AEAD interface {
	Encrypt(plaintext, associatedData []byte) ([]byte, error)
	Decrypt(ciphertext, associatedData []byte) ([]byte, error)
}

// Keys finds the key of a subject: the person, customer or tenant whose data it
// protects. Subjects are names as those of streams are: valid UTF-8 without NUL,
// 1 to 255 bytes. They are stored beside the data in plain text, so they should
// be opaque ids and not personal data themselves.
//
// Keys is used concurrently, and asked for every event: an implementation that
// calls a service keeps what it was given for a while. The context carries the
// values of the caller's context; when data is decoded it does not end with it.
type Keys interface {
	// Key returns the subject's key. If there is none, it makes one if create is
	// true and otherwise returns an error that is ErrNoKey. For a key that was
	// deleted for good it returns an error that is ErrShredded, in either case.
	Key(ctx context.Context, subject string, create bool) (AEAD, error)
}

var (
	// ErrShredded says that the key of a subject was deleted, so that its data
	// can never be read again.
	ErrShredded = errors.New("es: shredded: the key of its subject was deleted")
	// ErrNoKey says that the key of a subject is not there, or that the store has
	// no keys at all.
	ErrNoKey = errors.New("es: no key")
)

// SingleKey uses one AEAD for all subjects. Rotation is the AEAD's affair.
func SingleKey(aead AEAD) Keys { return singleKey{aead} }

type singleKey struct{ aead AEAD }

func (k singleKey) Key(context.Context, string, bool) (AEAD, error) {
	if k.aead == nil {
		return nil, ErrNoKey
	}
	return k.aead, nil
}

// Rule says whether what is stored under a type in a stream is encrypted, and
// with the key of which subject. It must be a function of its arguments alone, for
// good: so choose names of streams from which the subject follows, such as one that
// begins with the customer whose data it holds.
type Rule func(stream, typ string) (subject string, ok bool)

// EncryptTypes is a [Rule] that encrypts the types named, with the stream as the
// subject.
func EncryptTypes(types ...string) Rule {
	types = slices.Clone(types)
	return func(stream, typ string) (string, bool) { return stream, slices.Contains(types, typ) }
}

// EncryptAll is a [Rule] that encrypts everything, with the stream as the
// subject.
func EncryptAll() Rule {
	return func(stream, _ string) (string, bool) { return stream, true }
}

// sealedMark is how an encoding says that data and metadata are sealed.
const sealedMark = "+aead1"

// sealedVersion is the first byte of sealed bytes: 0x01, uvarint length of the
// subject, subject, what the AEAD made.
const sealedVersion = 1

// purpose is what sealed bytes are, so that none can stand for another.
type purpose string

const (
	purposeData     purpose = "data"
	purposeMetadata purpose = "metadata"
	purposeSnapshot purpose = "snapshot"
)

// place is where sealed bytes belong: they open nowhere else.
type place struct {
	stream   string
	id       string // of the event; of a snapshot its kind, version and last event
	typ      string // of the event; of a snapshot its kind
	encoding string
}

// associated returns the associated data of sealed bytes: each part with its
// length before it, so that no two lists of parts give the same bytes.
func (p place) associated(why purpose, subject string) []byte {
	b := make([]byte, 0, 64+len(subject)+len(p.stream)+len(p.id)+len(p.typ)+len(p.encoding))
	for _, s := range [...]string{"es1", string(why), subject, p.stream, p.id, p.typ, p.encoding} {
		b = binary.AppendUvarint(b, uint64(len(s)))
		b = append(b, s...)
	}
	return b
}

func seal(key AEAD, why purpose, subject string, p place, plain []byte) ([]byte, error) {
	box, err := key.Encrypt(plain, p.associated(why, subject))
	if err != nil {
		return nil, fmt.Errorf("es: encrypting for subject %q: %w", subject, bare{err})
	}
	out := make([]byte, 0, 1+binary.MaxVarintLen16+len(subject)+len(box))
	out = append(out, sealedVersion)
	out = binary.AppendUvarint(out, uint64(len(subject)))
	out = append(out, subject...)
	return append(out, box...), nil
}

// splitSealed returns the subject and the AEAD's output of sealed bytes.
func splitSealed(sealed []byte) (subject string, box []byte, err error) {
	if len(sealed) == 0 || sealed[0] != sealedVersion {
		return "", nil, fmt.Errorf("%w: it is marked as encrypted and is not", ErrCorrupt)
	}
	n, w := binary.Uvarint(sealed[1:])
	if w > 1 && sealed[w] == 0 {
		return "", nil, fmt.Errorf("%w: the length of the subject is not in its shortest form", ErrCorrupt)
	}
	if w <= 0 || n > uint64(len(sealed)-1-w) {
		return "", nil, fmt.Errorf("%w: the encrypted bytes are cut short", ErrCorrupt)
	}
	rest := sealed[1+w:]
	if n > driver.MaxNameBytes || driver.CheckName("subject", string(rest[:n])) != nil {
		return "", nil, fmt.Errorf("%w: the subject of the encrypted bytes can be none", ErrCorrupt)
	}
	return string(rest[:n]), rest[n:], nil
}

// sealedSubject returns the subject of sealed bytes, if they are.
func sealedSubject(encoding string, sealed []byte) (string, bool) {
	if !strings.HasSuffix(encoding, sealedMark) {
		return "", false
	}
	subject, _, err := splitSealed(sealed)
	return subject, err == nil
}

func unseal(ctx context.Context, keys Keys, why purpose, p place, sealed []byte) ([]byte, error) {
	subject, box, err := splitSealed(sealed)
	if err != nil {
		return nil, err
	}
	if keys == nil {
		return nil, fmt.Errorf("%w: it is encrypted, and the store was opened without keys", ErrNoKey)
	}
	key, err := keys.Key(ctx, subject, false)
	if err != nil {
		return nil, keyError(subject, err)
	}
	if key == nil {
		return nil, keyError(subject, ErrNoKey)
	}
	plain, err := decrypt(key, box, p.associated(why, subject))
	if errors.Is(err, ErrShredded) { // meanwhile
		return nil, keyError(subject, err)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: it cannot be decrypted: the key of subject %q is another, or the bytes were changed or moved: %w", ErrCorrupt, subject, bare{err})
	}
	return plain, nil
}

func decrypt(key AEAD, box, associated []byte) (plain []byte, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("the AEAD panics: %v", r)
		}
	}()
	return key.Decrypt(box, associated)
}

func keyError(subject string, err error) error {
	return fmt.Errorf("the key of subject %q: %w", subject, bare{err})
}

// sealer is the key that a rule chose for one stream and type.
type sealer struct {
	subject string
	key     AEAD
}

// seal returns a record with its data and metadata encrypted.
func (s *sealer) seal(stream string, rec driver.Record) (driver.Record, error) {
	rec.Encoding += sealedMark
	p := eventPlace(stream, &rec)
	var err error
	if rec.Data, err = seal(s.key, purposeData, s.subject, p, rec.Data); err != nil {
		return rec, err
	}
	if len(rec.Metadata) > 0 {
		rec.Metadata, err = seal(s.key, purposeMetadata, s.subject, p, rec.Metadata)
	}
	return rec, err
}

// sealer returns nil where nothing is to be encrypted.
func (c *coder) sealer(ctx context.Context, stream, typ string) (*sealer, error) {
	if c.rule == nil {
		return nil, nil
	}
	subject, ok := c.rule(stream, typ)
	if !ok {
		return nil, nil
	}
	return c.subjectSealer(ctx, subject)
}

func (c *coder) subjectSealer(ctx context.Context, subject string) (*sealer, error) {
	if c.keys == nil {
		return nil, fmt.Errorf("%w: the store was opened without keys", ErrNoKey)
	}
	if err := driver.CheckName("subject", subject); err != nil {
		return nil, err
	}
	key, err := c.keys.Key(ctx, subject, true)
	if err != nil {
		return nil, keyError(subject, err)
	}
	if key == nil {
		return nil, keyError(subject, ErrNoKey)
	}
	return &sealer{subject, key}, nil
}
