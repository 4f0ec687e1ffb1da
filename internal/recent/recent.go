// Package recent has a map that forgets what was not set for long, for what drivers
// remember of streams.
package recent

import (
	"strings"
	"sync"
)

// Kept is how many keys a Map remembers at least; it never has more than twice as
// many.
const Kept = 8192

// Map remembers values by key. The zero Map is empty. Its methods may be called
// concurrently.
type Map[V any] struct {
	mu       sync.Mutex
	new, old map[string]V // old goes when new is full
}

// Get returns the value of a key.
func (m *Map[V]) Get(key string) (V, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	v, ok := m.new[key]
	if !ok {
		v, ok = m.old[key]
	}
	return v, ok
}

// Set gives a key the value that change makes of the one that it has, the zero
// value if it has none.
func (m *Map[V]) Set(key string, change func(was V) V) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if was, ok := m.new[key]; ok {
		m.new[key] = change(was)
		return
	}
	v := change(m.old[key])
	if m.new == nil || len(m.new) >= Kept {
		m.old, m.new = m.new, make(map[string]V)
	}
	m.new[strings.Clone(key)] = v // the caller's may be part of something large
}

// Delete forgets a key.
func (m *Map[V]) Delete(key string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.new, key)
	delete(m.old, key)
}
