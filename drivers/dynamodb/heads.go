package dynamodb

import (
	"github.com/go-es/es/driver"
	"github.com/go-es/es/internal/recent"
)

// heads remembers of streams a version at which a commit ends that does not close
// the stream: where a commit may begin after it. That stays true for good, so an
// append that expects that version needs no other look at the stream; only the key
// after it decides.
type heads struct{ recent.Map[driver.Version] }

func (h *heads) get(stream string) (driver.Version, bool) { return h.Get(stream) }

// note keeps the highest version of a stream.
func (h *heads) note(stream string, v driver.Version) {
	if v > 0 {
		h.Set(stream, func(was driver.Version) driver.Version { return max(was, v) })
	}
}
