// Package hub wakes the stores of one process that have the same data open, when one
// of them writes.
package hub

import "sync"

// Hub is one for all stores of the process that have the same data. Its methods may be
// called concurrently.
type Hub struct {
	key   string
	users int // guarded by hubs

	mu   sync.Mutex
	news chan struct{} // closed at the next write; nil if nobody watches
}

var hubs = struct {
	sync.Mutex
	of map[string]*Hub
}{of: make(map[string]*Hub)}

// Join returns the hub of the data that a key names, which every user leaves. With the
// key "" it is one that nobody else gets.
func Join(key string) *Hub {
	if key == "" {
		return new(Hub)
	}
	hubs.Lock()
	defer hubs.Unlock()
	h := hubs.of[key]
	if h == nil {
		h = &Hub{key: key}
		hubs.of[key] = h
	}
	h.users++
	return h
}

// Leave ends what Join began.
func (h *Hub) Leave() {
	hubs.Lock()
	defer hubs.Unlock()
	if h.users--; h.users == 0 {
		delete(hubs.of, h.key)
	}
}

// Key returns the key that Join got.
func (h *Hub) Key() string { return h.key }

// Watch returns a channel that is closed at the next write.
func (h *Hub) Watch() <-chan struct{} {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.news == nil {
		h.news = make(chan struct{})
	}
	return h.news
}

// Wake says that something was written.
func (h *Hub) Wake() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.news != nil {
		close(h.news)
		h.news = nil
	}
}
