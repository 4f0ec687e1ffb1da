package cassandra

import (
	"context"
	"errors"

	"github.com/gocql/gocql"

	"github.com/go-es/es/driver"
	"github.com/go-es/es/driver/sequencer"
)

// The log lies in partitions of so many positions. A batch lies where its first
// position does, and may reach beyond.
const logBucket = 100_000

// Where the log was when its last partition began is kept in a register too.
const (
	hintShard  = -1
	hintStream = "log"
)

func logBucketOf(p driver.Position) int64 { return int64(p / logBucket) }

// logLast returns the last batch of a partition that begins at or before a
// position.
func (b backend) logLast(ctx context.Context, bucket int64, at driver.Position) (sequencer.Batch, error) {
	var first int64
	var spans []byte
	err := b.query(ctx, b.texts.logBefore, bucket, int64(at)).Scan(&first, &spans)
	if errors.Is(err, gocql.ErrNotFound) {
		return sequencer.Batch{}, nil
	}
	if err != nil {
		return sequencer.Batch{}, err
	}
	return batchOf(first, spans)
}

func batchOf(first int64, spans []byte) (sequencer.Batch, error) {
	parsed, err := sequencer.ParseSpans(spans)
	return sequencer.Batch{First: driver.Position(first), Spans: parsed}, err
}

// Tip goes from a batch to the end of the log, from partition to partition: the
// key of what follows the last batch of one says where the next one is.
func (b backend) Tip(ctx context.Context, known driver.Position) (sequencer.Batch, error) {
	if known == 0 {
		hint, err := b.hint(ctx)
		if err != nil {
			return sequencer.Batch{}, err
		}
		known = hint
	}
	tip, err := b.Find(ctx, max(known, 1))
	for hops := 0; err == nil && len(tip.Spans) > 0; hops++ {
		var next sequencer.Batch
		at := tip.Next()
		if next, err = b.logLast(ctx, logBucketOf(at), 1<<62); err == nil && next.First < at {
			if hops > 1 {
				b.raiseHint(ctx, tip.First) // whoever began the partition could not
			}
			return tip, nil
		}
		tip = next
	}
	return tip, err
}

// Find looks in the partition of a position, and in those before.
func (b backend) Find(ctx context.Context, at driver.Position) (sequencer.Batch, error) {
	for bucket := logBucketOf(at); bucket >= 0; bucket-- {
		batch, err := b.logLast(ctx, bucket, at)
		if err != nil || len(batch.Spans) > 0 {
			if batch.Next() <= at {
				batch = sequencer.Batch{}
			}
			return batch, err
		}
	}
	return sequencer.Batch{}, nil
}

// Log reads one partition, and the next ones while there is more.
func (b backend) Log(ctx context.Context, first driver.Position, limit int) ([]sequencer.Batch, error) {
	var out []sequencer.Batch
	for bucket := logBucketOf(first); len(out) < limit; {
		it := b.query(ctx, b.texts.log, bucket, int64(first), limit-len(out)).Iter()
		var at int64
		var spans []byte
		for it.Scan(&at, &spans) {
			batch, err := batchOf(at, spans)
			if err != nil {
				it.Close()
				return nil, err
			}
			out = append(out, batch)
		}
		if err := it.Close(); err != nil {
			return nil, err
		}
		if len(out) == 0 {
			break
		}
		next := logBucketOf(out[len(out)-1].Next())
		if next == bucket {
			break
		}
		bucket = next
	}
	return out, nil
}

// Put stores a batch, unless there is one with its key.
func (b backend) Put(ctx context.Context, batch sequencer.Batch) (sequencer.Batch, bool, error) {
	bucket := logBucketOf(batch.First)
	var first *int64
	var spans *[]byte
	it := b.query(ctx, b.texts.putLog, bucket, int64(batch.First), sequencer.AppendSpans(nil, batch.Spans)).NoSkipMetadata().Iter()
	applied, err := conditional(it, columns{"first": &first, "spans": &spans})
	if err != nil {
		return sequencer.Batch{}, false, err
	}
	if applied {
		if next := logBucketOf(batch.Next()); next > bucket {
			b.raiseHint(ctx, batch.First)
		}
		return batch, true, nil
	}
	if first == nil || spans == nil {
		return sequencer.Batch{}, false, corrupt("the batch of the log at position %d has no spans", batch.First)
	}
	there, err := batchOf(*first, *spans)
	return there, false, err
}

// hint returns the position of a batch, the last one of its partition when it was
// written, or 0.
func (b backend) hint(ctx context.Context) (driver.Position, error) {
	it := b.query(ctx, b.texts.registers, hintShard, []string{hintStream}).Iter()
	var stream string
	var v, written *int64
	it.Scan(&stream, &v, &written)
	if err := it.Close(); err != nil || v == nil {
		return 0, err
	}
	at, err := register(hintStream, v, written)
	return driver.Position(at), err
}

// raiseHint saves a search through the partitions of the log to those who come
// later; if it fails, they search.
func (b backend) raiseHint(ctx context.Context, at driver.Position) {
	b.query(ctx, b.texts.raise, hintShard, hintStream, int64(at), int64(at)).Exec()
}
