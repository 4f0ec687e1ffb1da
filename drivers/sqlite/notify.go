package sqlite

import (
	"context"
	"errors"
	"path/filepath"
	"sync"
	"time"

	"github.com/go-es/es/driver"
)

// listenEvery is how often Listen looks for what other processes appended.
const listenEvery = 15 * time.Millisecond

// Listen calls wake at once when a store of this process has written to the
// file, and when it sees that another process has appended: it asks for the last
// position every 15 ms while it runs.
func (s *Store) Listen(ctx context.Context, wake func()) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.calls.Done()
	var last driver.Position
	if pos, err := s.Head(ctx); err == nil {
		last = pos
	}
	damaged := false
	tick := time.NewTicker(listenEvery)
	defer tick.Stop()
	news := s.hub.watch()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-s.closing:
			return driver.ErrClosed
		case <-news:
			news = s.hub.watch()
			wake()
			continue
		case <-tick.C:
		}
		pos, err := s.Head(ctx)
		if bad := errors.Is(err, driver.ErrCorrupt); bad != damaged {
			damaged = bad
			wake() // who reads is told
		}
		if err == nil && pos != last { // an error may pass
			last = pos
			wake()
		}
	}
}

// hub wakes those who listen to one file in this process.
type hub struct {
	file  string
	users int // guarded by hubs

	mu   sync.Mutex
	news chan struct{} // closed at the next write; nil if nobody watches
}

var hubs = struct {
	sync.Mutex
	of map[string]*hub
}{of: make(map[string]*hub)}

// joinHub returns the hub of a file, which every user leaves. A database in
// memory, which has no file, has one of its own.
func joinHub(file string) *hub {
	if file == "" {
		return new(hub)
	}
	if real, err := filepath.EvalSymlinks(file); err == nil {
		file = real
	}
	hubs.Lock()
	defer hubs.Unlock()
	h := hubs.of[file]
	if h == nil {
		h = &hub{file: file}
		hubs.of[file] = h
	}
	h.users++
	return h
}

func (h *hub) leave() {
	hubs.Lock()
	defer hubs.Unlock()
	if h.users--; h.users == 0 {
		delete(hubs.of, h.file)
	}
}

// watch returns a channel that is closed at the next write.
func (h *hub) watch() <-chan struct{} {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.news == nil {
		h.news = make(chan struct{})
	}
	return h.news
}

func (h *hub) wake() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.news != nil {
		close(h.news)
		h.news = nil
	}
}
