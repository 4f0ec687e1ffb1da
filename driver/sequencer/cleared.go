package sequencer

import (
	"time"

	"github.com/go-es/es/driver"
)

// cleared remembers which marks were cleared lately: an index goes on showing them
// for a while, and clearing costs a write.
type cleared struct {
	now, before map[clearedMark]bool
	since       time.Time
}

type clearedMark struct {
	stream string
	last   driver.Version
}

// clearedFor is how long a mark is remembered at least; one that is shown after
// twice that time is cleared again.
const clearedFor = 5 * time.Second

func (c *cleared) add(marks []Mark) {
	if now := time.Now(); c.now == nil || now.Sub(c.since) > clearedFor {
		c.before, c.now, c.since = c.now, make(map[clearedMark]bool, len(marks)), now
	}
	for _, m := range marks {
		c.now[clearedMark{m.Stream, m.Last}] = true
	}
}

func (c *cleared) has(m Mark) bool {
	key := clearedMark{m.Stream, m.Last}
	since := time.Since(c.since)
	return since < 2*clearedFor && c.now[key] || since < clearedFor && c.before[key]
}
