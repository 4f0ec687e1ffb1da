package keys

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/go-es/es"
)

// Memory keeps a key for each subject, in memory: they are gone with the
// process, and so is what they encrypted. It is for tests and for stores that are
// in memory themselves. It is an [es.Keys], and safe for concurrent use; the zero
// Memory is empty and ready.
type Memory struct {
	mu       sync.RWMutex
	subjects map[string]*subjectKey
}

// NewMemory returns an empty Memory.
func NewMemory() *Memory { return new(Memory) }

// Key returns the key of a subject, and makes one if there is none and create is
// true; see [es.Keys].
func (m *Memory) Key(ctx context.Context, subject string, create bool) (es.AEAD, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	m.mu.RLock()
	k := m.subjects[subject]
	m.mu.RUnlock()
	if k == nil && create {
		ring, err := NewRing(GenerateKey())
		if err != nil {
			return nil, err
		}
		k = m.put(subject, ring)
	}
	switch {
	case k == nil:
		return nil, es.ErrNoKey
	case k.ring.Load() == nil:
		return nil, es.ErrShredded
	}
	return k, nil
}

// put returns the subject's key, which is the ring's unless there was one.
func (m *Memory) put(subject string, ring *Ring) *subjectKey {
	m.mu.Lock()
	defer m.mu.Unlock()
	k := m.subjects[subject]
	if k == nil {
		if m.subjects == nil {
			m.subjects = make(map[string]*subjectKey)
		}
		k = new(subjectKey)
		k.ring.Store(ring)
		m.subjects[subject] = k
	}
	return k
}

// Delete deletes the key of a subject for good: what it encrypted can never be
// read again, and nothing can be encrypted for the subject any more. That holds
// for a subject that had no key, too, and for keys that were handed out before.
// To delete again is no error; the error is the context's.
func (m *Memory) Delete(ctx context.Context, subject string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m.put(subject, nil).ring.Store(nil)
	return nil
}

// String returns how many subjects there are, deleted ones included; so do all
// other ways to print a Memory.
func (m *Memory) String() string {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return fmt.Sprintf("keys of %d subjects, in memory", len(m.subjects))
}

// GoString returns what String does.
func (m *Memory) GoString() string { return m.String() }

// Format writes what String returns, whatever the verb.
func (m *Memory) Format(f fmt.State, _ rune) { fmt.Fprint(f, m.String()) }

var _ es.Keys = (*Memory)(nil)

// subjectKey is the key of one subject. Deleted, it stays as a tombstone.
type subjectKey struct {
	ring atomic.Pointer[Ring] // nil once deleted
}

func (k *subjectKey) Encrypt(plaintext, associatedData []byte) ([]byte, error) {
	ring := k.ring.Load()
	if ring == nil {
		return nil, es.ErrShredded
	}
	return ring.Encrypt(plaintext, associatedData)
}

func (k *subjectKey) Decrypt(ciphertext, associatedData []byte) ([]byte, error) {
	ring := k.ring.Load()
	if ring == nil {
		return nil, es.ErrShredded
	}
	return ring.Decrypt(ciphertext, associatedData)
}
