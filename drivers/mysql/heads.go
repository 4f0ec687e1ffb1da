package mysql

import (
	"time"

	"github.com/go-es/es/driver"
	"github.com/go-es/es/internal/recent"
)

// heads remembers the last versions of streams that the store has seen, none of
// them closed. It is a guess that saves a round trip for Any and Exists.
//
// And it is a fact that saves a look at the event before those of an append, on
// connections to the server that it was learned from that are older than it: had
// that server crashed since, these would be broken. What was seen may not have been
// durable. A fact becomes untrue in one other case, that the tables are put back
// while their clients run; so it is one for a moment only.
type heads struct{ recent.Map[known] }

type known struct {
	head   driver.Version
	server string    // "" where it is not known
	at     time.Time // before it was learned
}

const factTime = time.Second

// put remembers what a session has learned.
func (h *heads) put(stream string, head driver.Version, ses *session) {
	if ses.tx != nil {
		return // it may be undone
	}
	k := known{head: head, at: ses.since}
	if ses.own != nil {
		k.server = ses.own.server
	}
	h.Set(stream, func(was known) known {
		if was.head > head && was.server == k.server {
			return was // learned from a read that was overtaken
		}
		return k
	})
}

func (h *heads) get(stream string) (known, bool) { return h.Get(stream) }

func (h *heads) forget(stream string) { h.Delete(stream) }

// fact reports whether the event before an append at base is known to be there,
// and not to close its stream.
func (h *heads) fact(stream string, base driver.Version, ses *session) bool {
	if base == 0 {
		return true
	}
	if ses.own == nil {
		return false
	}
	k, ok := h.get(stream)
	return ok && k.head == base && k.server == ses.own.server && ses.own.opened.Before(k.at) && time.Since(k.at) < factTime
}
