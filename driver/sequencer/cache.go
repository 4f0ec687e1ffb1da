package sequencer

import (
	"slices"

	"github.com/go-es/es/driver"
)

// The log is kept in memory where somebody reads it: as much as several readers
// that follow its end, and one that catches up, need.
const keptBatches = 64

// batches are parts of the log, by First. The log never changes, so what is kept
// is as true as what is read.
type batches struct {
	sorted []Batch
	added  []driver.Position // their Firsts, the oldest first
}

// add keeps a batch, in place of the one that has been here the longest.
func (c *batches) add(b Batch) {
	i, there := c.index(b.First)
	if there {
		return
	}
	c.sorted = slices.Insert(c.sorted, i, b)
	c.added = append(c.added, b.First)
	if len(c.added) > keptBatches {
		i, _ := c.index(c.added[0])
		c.sorted = slices.Delete(c.sorted, i, i+1)
		c.added = slices.Delete(c.added, 0, 1)
	}
}

func (c *batches) index(first driver.Position) (int, bool) {
	return slices.BinarySearchFunc(c.sorted, first, func(b Batch, p driver.Position) int {
		switch {
		case b.First < p:
			return -1
		case b.First > p:
			return 1
		}
		return 0
	})
}

// holding returns the batch that holds a position.
func (c *batches) holding(at driver.Position) (Batch, bool) {
	i, there := c.index(at)
	if !there {
		i--
	}
	if i < 0 || c.sorted[i].Next() <= at {
		return Batch{}, false
	}
	return c.sorted[i], true
}
