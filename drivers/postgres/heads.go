package postgres

import (
	"github.com/go-es/es/driver"
	"github.com/go-es/es/internal/recent"
)

// heads remembers the last versions of streams that were appended to at any
// version: such an append takes a base that is likely to be right, in one round
// trip. It only saves work: a base that is wrong is refused by the database.
type heads struct{ recent.Map[driver.Version] }

func (h *heads) get(stream string) (driver.Version, bool) { return h.Get(stream) }

func (h *heads) set(stream string, v driver.Version) {
	h.Set(stream, func(driver.Version) driver.Version { return v })
}
