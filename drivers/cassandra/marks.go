package cassandra

import (
	"context"
	"sync"
	"time"

	"github.com/go-es/es/driver/sequencer"
)

// A mark is the static column dirty of a bucket: it is written with the head and
// the rows, and has a secondary index. Its value is a slot, by the second in which
// it was written: an index keeps the tombstones of marks that were cleared until
// they are flushed, and each query reads those of its slot. Which slot a mark has
// says nothing else: every slot is looked at in turn.
func slotOf(t time.Time) int { return int(t.Unix() & (slots - 1)) }

// marks is what is remembered of listings.
type marks struct {
	mu   sync.Mutex
	last int64 // the second of the last listing
	turn int   // the slot that is looked at in turn
	busy [slots]bool
}

// turns is how many slots are looked at in turn, besides those where marks are
// likely.
const turns = 2

// due returns the slots to look at. Clocks may differ, and a write may take a
// while; slots that this misses come in their turn.
func (m *marks) due(now int64) []int {
	m.mu.Lock()
	defer m.mu.Unlock()
	var want [slots]bool
	for t := max(m.last, now-slots) - 1; t <= now+1; t++ {
		want[t&(slots-1)] = true
	}
	m.last = now
	for range turns {
		m.turn = (m.turn + 1) % slots
		want[m.turn] = true
	}
	var due []int
	for slot := range want {
		if want[slot] || m.busy[slot] {
			due = append(due, slot)
		}
	}
	return due
}

// handle is what Clear needs of a mark: where it is, and when it was written.
type handle struct {
	bucket, written int64
}

// Dirty lists the marks of some slots.
func (b backend) Dirty(ctx context.Context, wish int) ([]sequencer.Mark, error) {
	m := &b.Store.marks
	due := m.due(time.Now().Unix())
	found := make([][]sequencer.Mark, len(due))
	err := b.each(ctx, len(due), func(ctx context.Context, i int) error {
		it := b.query(ctx, b.texts.dirty, due[i], wish).Iter()
		var stream string
		var bucket int64
		var head, written *int64
		for it.Scan(&stream, &bucket, &head, &written) {
			if head == nil || written == nil {
				continue // it was cleared while the index was read
			}
			at := state{head: *head}
			found[i] = append(found[i], sequencer.Mark{Stream: stream, Last: at.version(), Closed: at.closed(), Handle: handle{bucket, *written}})
		}
		return it.Close()
	})
	m.mu.Lock()
	defer m.mu.Unlock()
	var all []sequencer.Mark
	for i, slot := range due {
		if err != nil {
			m.busy[slot] = true // it was not looked at
			continue
		}
		m.busy[slot] = len(found[i]) > 0
		all = append(all, found[i]...)
	}
	return all, err
}

// Clear removes marks, as of the time at which they were written: a mark that was
// written since is a later one, and stays, whatever any clock says.
func (b backend) Clear(ctx context.Context, marks []sequencer.Mark) error {
	const most = 10 // partitions of one batch
	n := (len(marks) + most - 1) / most
	return b.each(ctx, n, func(ctx context.Context, i int) error {
		batch := b.batch(ctx)
		for _, m := range marks[i*most : min((i+1)*most, len(marks))] {
			if h, ok := m.Handle.(handle); ok {
				batch.Query(b.texts.clear, h.written, m.Stream, h.bucket)
			}
		}
		return b.client.ExecuteBatch(batch)
	})
}
