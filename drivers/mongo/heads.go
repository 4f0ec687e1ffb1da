package mongo

import (
	"github.com/go-es/es/driver"
	"github.com/go-es/es/internal/recent"
)

// heads remembers where streams ended lately: that a commit which does not close
// its stream ends at a version stays true for ever, and an append at it need not
// look. It is told only of what a majority of the servers has.
type heads struct{ recent.Map[driver.Version] }

// get returns a version at which a commit ends, normally the last one.
func (h *heads) get(stream string) (driver.Version, bool) { return h.Get(stream) }

// set keeps the highest version of a stream.
func (h *heads) set(stream string, v driver.Version) {
	h.Set(stream, func(was driver.Version) driver.Version { return max(was, v) })
}

// forget forgets a stream that was closed.
func (h *heads) forget(stream string) { h.Delete(stream) }
