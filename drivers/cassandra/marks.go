package cassandra

import (
	"context"
	"sync"
	"time"

	"github.com/go-es/es/driver/sequencer"
)

// A mark is a slot in each of two static columns of a bucket, dirty and overdue: they
// are written with the head and the rows, and have a secondary index each. The slot is
// the second in which it was written: an index keeps the tombstones of marks that were
// cleared until they are flushed, and each query reads those of its slot. Which slot a
// mark has says nothing else: every slot is looked at in turn.
//
// There are two because a query can damage an index. Cassandra writes the index before
// the row, and a query that meets the entry of a row that is not there yet takes it for
// an old one and deletes it. So the index of dirty is asked about the slots of these
// seconds, which are being written, and that of overdue about the others: what a query
// of the one has made it lose, the other one shows some seconds later.
func slotOf(t time.Time) int { return int(t.Unix() % slots) }

// fresh is how many seconds before and after now the slots are that may be being
// written: as far as clocks differ, and a write takes.
const fresh = 8

// age returns how many seconds ago a slot was the one that is written, or will be
// again, which is negative for the next few.
func age(slot int, now int64) int64 {
	return (now-int64(slot)+fresh)%slots - fresh
}

// isFresh reports whether a slot is one of these seconds.
func isFresh(slot int, now int64) bool { return age(slot, now) <= fresh }

// marks is what is remembered of listings.
type marks struct {
	mu     sync.Mutex
	last   int64     // the second of the last listing
	turned time.Time // when slots were looked at in turn
	recent int       // the last one of them that is fresh
	old    int       // the last one that is not
	busy   [slots]bool
}

// turnFor is the time in which, besides the slots where marks are likely, one that is
// fresh and two that are not have their turn.
const turnFor = 200 * time.Millisecond

// due returns the slots to look at. Clocks may differ, and a write may take a
// while; slots that this misses come in their turn.
func (m *marks) due(at time.Time) []int {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := at.Unix()
	var want [slots]bool
	for t := max(min(m.last, now), now-slots) - 1; t <= now+1; t++ {
		want[t%slots] = true
	}
	m.last = now
	if since := at.Sub(m.turned); since >= turnFor {
		m.turned = at
		n := int(min(since, slots*time.Second) / turnFor)
		m.recent = inTurn(&want, m.recent, n, func(slot int) bool { return age(slot, now) > 1 && isFresh(slot, now) })
		m.old = inTurn(&want, m.old, 2*n, func(slot int) bool { return !isFresh(slot, now) })
	}
	var due []int
	for slot := range want {
		if want[slot] || m.busy[slot] {
			due = append(due, slot)
		}
	}
	return due
}

// inTurn wants the next n of some slots after the last one that had its turn, which it
// returns.
func inTurn(want *[slots]bool, last, n int, some func(slot int) bool) int {
	at := last
	for i := 1; i <= slots && n > 0; i++ {
		if slot := (last + i) % slots; some(slot) {
			want[slot], at = true, slot
			n--
		}
	}
	return at
}

// handle is what Clear needs of a mark: where it is, and when it was written.
type handle struct {
	bucket, written int64
}

// Dirty lists the marks of some slots.
func (b backend) Dirty(ctx context.Context, wish int) ([]sequencer.Mark, error) {
	m := &b.Store.marks
	due := m.due(time.Now())
	found := make([][]sequencer.Mark, len(due))
	err := b.each(ctx, len(due), func(ctx context.Context, i int) error {
		text := b.texts.overdue
		if isFresh(due[i], time.Now().Unix()) {
			text = b.texts.dirty
		}
		it := b.query(ctx, text, due[i], wish).Iter()
		var stream string
		var bucket int64
		var head, written *int64
		for it.Scan(&stream, &bucket, &head, &written) {
			if head == nil || written == nil {
				continue // it was cleared, or is being written
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
