package aggregate

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/go-es/es"
)

// resends bounds how often an append of unknown outcome is sent again by the call
// that sent it first.
const resends = 3

// lastPause is the longest pause between two tries. Longer ones let those that come
// new win over those that wait: 64 goroutines that change one aggregate without end
// on SQLite fail now and then at 20 tries and 100 ms, and never at 100 and 40.
const lastPause = 40 * time.Millisecond

// backoff are the pauses before something is tried again.
type backoff struct {
	left  int
	pause time.Duration
}

func newBackoff(store *es.Store, tries int) backoff {
	if store.Bare() {
		tries = 0 // after an error the caller rolls back
	}
	return backoff{tries, time.Millisecond}
}

// wait waits, and returns false if it is not to be tried again.
func (b *backoff) wait(ctx context.Context) bool {
	if b.left == 0 || ctx.Err() != nil {
		return false
	}
	b.left--
	t := time.NewTimer(rand.N(b.pause) + 1)
	defer t.Stop()
	b.pause = min(2*b.pause, lastPause)
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
