package cassandra

import (
	"github.com/go-es/es/driver"
	"github.com/go-es/es/internal/recent"
)

// head is what is known of a stream: it had this last version, which an append of
// this bucket wrote. Both stay true: an append that begins a bucket needs to know
// that the one before ended at its base.
type head struct {
	version driver.Version
	bucket  int64
	row
}

// row is what is known of the rows of a stream. Nothing depends on it but speed.
type row struct {
	bytes int // that one has, about; 0: not known
	span  int // versions that one has at most, as far as was seen; 0: nothing was
}

// heads remembers heads. It saves requests: a head that is too low is refused by
// the cluster.
type heads struct{ recent.Map[head] }

func (h *heads) get(stream string) head {
	at, _ := h.Get(stream)
	return at
}

// set remembers a head, unless a higher one is known.
func (h *heads) set(stream string, at head) {
	h.Set(stream, func(was head) head {
		if at.bytes == 0 {
			at.bytes = was.bytes
		}
		at.span = max(at.span, was.span)
		if was.version > at.version {
			at.version, at.bucket = was.version, was.bucket
		}
		return at
	})
}
