package sequencertest

import (
	"context"
	"errors"
	"fmt"

	"github.com/go-es/es/driver"
	"github.com/go-es/es/driver/sequencer"
)

// backend is what the sequencer needs of the database. Its errors are transient for
// who reads the feed, since he may ask again, whatever became of what was sent.
type backend struct{ db *link }

var (
	_ sequencer.Backend  = (*backend)(nil)
	_ sequencer.Register = (*backend)(nil)
)

func transient(err error) error {
	if _, sent := errors.AsType[*sentError](err); sent {
		return driver.Transient(err)
	}
	return err
}

// last returns the last batch whose First is not above a position.
func (b *backend) last(ctx context.Context, at driver.Position) (sequencer.Batch, error) {
	items, err := b.db.query(ctx, batchKey(1), batchKey(at), true, 1)
	if err != nil || len(items) == 0 {
		return sequencer.Batch{}, err
	}
	return items[0].(sequencer.Batch), nil
}

func (b *backend) Tip(ctx context.Context, known driver.Position) (sequencer.Batch, error) {
	return b.last(ctx, 1<<63)
}

func (b *backend) Find(ctx context.Context, at driver.Position) (sequencer.Batch, error) {
	batch, err := b.last(ctx, at)
	if batch.Next() <= at {
		return sequencer.Batch{}, err
	}
	return batch, err
}

func (b *backend) Log(ctx context.Context, first driver.Position, limit int) ([]sequencer.Batch, error) {
	items, err := b.db.query(ctx, batchKey(first), batchKey(1<<63), false, limit)
	batches := make([]sequencer.Batch, len(items))
	for i := range items {
		batches[i] = items[i].(sequencer.Batch)
	}
	return batches, err
}

func (b *backend) Put(ctx context.Context, batch sequencer.Batch) (sequencer.Batch, bool, error) {
	there, put, err := b.db.putIfAbsent(ctx, batchKey(batch.First), batch)
	if err != nil {
		return sequencer.Batch{}, false, transient(err)
	}
	return there.(sequencer.Batch), put, nil
}

// Dirty lists commits. An index entry has the versions beside the key, which is
// all that a mark needs.
func (b *backend) Dirty(ctx context.Context, wish int) ([]sequencer.Mark, error) {
	keys, err := b.db.listMarked(ctx, wish)
	var marks []sequencer.Mark
	for _, key := range keys {
		c := b.db.db.get(key).(*commit) // part of the entry
		marks = append(marks, sequencer.Mark{Stream: c.stream, First: c.first, Last: c.last, Closed: c.closes})
	}
	return marks, err
}

func (b *backend) Clear(ctx context.Context, marks []sequencer.Mark) error {
	for _, m := range marks {
		if _, _, err := b.db.update(ctx, commitKey(m.Stream, m.First), clearMark); err != nil {
			return transient(err)
		}
	}
	return nil
}

func clearMark(old any) (any, bool) {
	c, there := old.(*commit)
	if !there || !c.mark {
		return nil, false
	}
	cleared := *c
	cleared.mark = false
	return &cleared, true
}

func (b *backend) Sequenced(ctx context.Context, streams []string) ([]driver.Version, error) {
	versions := make([]driver.Version, len(streams))
	for i, stream := range streams {
		item, err := b.db.get(ctx, "r"+stream)
		if err != nil {
			return nil, err
		}
		if r, there := item.(register); there {
			versions[i] = r.version
		}
	}
	return versions, nil
}

func (b *backend) Raise(ctx context.Context, spans []sequencer.Span) error {
	for _, sp := range spans {
		_, _, err := b.db.update(ctx, "r"+sp.Stream, func(old any) (any, bool) {
			r, _ := old.(register)
			return register{sp.Stream, sp.Last, sp.Closed}, r.version < sp.Last
		})
		if err != nil {
			return transient(err)
		}
	}
	return nil
}

// Fetch gets the commits by key: each run lies in one.
func (b *backend) Fetch(ctx context.Context, runs []sequencer.Run) ([]sequencer.Event, error) {
	var events []sequencer.Event
	size := 0
	for _, run := range runs {
		if size > 1<<20 {
			break
		}
		item, err := b.db.get(ctx, commitKey(run.Stream, run.First))
		if err != nil {
			return nil, err
		}
		c, there := item.(*commit)
		if !there || !c.whole() {
			return nil, fmt.Errorf("%w: the commit of stream %q at version %d", driver.ErrCorrupt, run.Stream, run.First)
		}
		for _, r := range c.records[run.From-run.First : run.To-run.First+1] {
			events = append(events, sequencer.Event{Record: clone(&r), Purged: c.purged})
			size += driver.Size(&r)
		}
	}
	return events, nil
}
