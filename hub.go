package es

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-es/es/driver"
)

// hub wakes the subscriptions of a store: at once when the store itself has
// appended, and when the driver says that others have. It listens to the driver
// only while somebody subscribes.
type hub struct {
	drv  driver.Store
	deaf atomic.Bool // the driver is a Notifier that cannot listen

	mu        sync.Mutex
	news      chan struct{} // closed at the next wake
	watched   bool          // somebody holds news
	listeners int
	stop      context.CancelFunc // ends the goroutine that listens
	done      chan struct{}      // closed when it has ended
	closing   chan struct{}      // closed by close
}

func newHub(drv driver.Store) *hub {
	return &hub{drv: drv, news: make(chan struct{}), closing: make(chan struct{})}
}

// wake wakes all that watch.
func (h *hub) wake() {
	if h == nil {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.watched {
		close(h.news)
		h.news = make(chan struct{})
		h.watched = false
	}
}

// watch returns a channel that is closed at the next wake.
func (h *hub) watch() <-chan struct{} {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.watched = true
	return h.news
}

// join begins a subscription and returns the function that ends it, or ErrClosed.
func (h *hub) join() (leave func(), err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.isClosed() {
		return nil, ErrClosed
	}
	if h.listeners++; h.listeners == 1 {
		h.listen()
	}
	return h.leave, nil
}

func (h *hub) leave() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.listeners--; h.listeners == 0 && h.stop != nil {
		h.stop()
		h.stop = nil
	}
}

// listen starts listening to the driver, if it is a Notifier; called with the
// lock held. A goroutine that was stopped ends before the new one begins.
func (h *hub) listen() {
	n, ok := h.drv.(driver.Notifier)
	if !ok {
		return
	}
	ctx, stop := context.WithCancel(context.Background())
	before, done := h.done, make(chan struct{})
	h.stop, h.done = stop, done
	go func() {
		defer close(done)
		if before != nil {
			<-before
		}
		for pause := firstPause; ctx.Err() == nil; pause = min(2*pause, time.Second) {
			switch err := n.Listen(ctx, h.wake); {
			case errors.Is(err, errors.ErrUnsupported):
				h.deaf.Store(true)
				h.wake() // to wait for shorter times from now on
				return
			case errors.Is(err, ErrClosed):
				return
			}
			if sleep(ctx, pause) == nil {
				h.wake() // something may have been lost meanwhile
			}
		}
	}()
}

func (h *hub) isClosed() bool {
	select {
	case <-h.closing:
		return true
	default:
		return false
	}
}

// close ends the subscriptions and the listening.
func (h *hub) close() {
	h.mu.Lock()
	if !h.isClosed() {
		close(h.closing)
	}
	if h.stop != nil {
		h.stop()
		h.stop = nil
	}
	done := h.done
	h.mu.Unlock()
	if done != nil {
		<-done
	}
}
