package mongo

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"sync"
	"sync/atomic"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/go-es/es/driver"
	"github.com/go-es/es/driver/sequencer"
)

// ReadAll returns a page of the feed, and gives positions to what has none yet.
func (s *Store) ReadAll(ctx context.Context, q driver.FeedQuery) (page driver.FeedPage, err error) {
	err = s.read(ctx, func(ctx context.Context) error {
		page, err = s.seq.ReadAll(ctx, q)
		return err
	})
	return page, err
}

// Head returns the last position that was given.
func (s *Store) Head(ctx context.Context) (head driver.Position, err error) {
	err = s.read(ctx, func(ctx context.Context) error {
		head, err = s.seq.Head(ctx)
		return err
	})
	return head, err
}

// Settled returns the last version of a stream that has a position. It looks through
// all commits that have none.
func (s *Store) Settled(ctx context.Context, stream string) (settled driver.Version, err error) {
	err = s.read(ctx, func(ctx context.Context) error {
		last, err := s.tail(ctx, stream)
		if err != nil || last == nil {
			return err
		}
		settled = last.last
		filter := append(between(low(stream), high(stream)), bson.E{Key: fieldDirty, Value: bson.D{{Key: "$gt", Value: int64(0)}}})
		dirty, err := oneCommit(s.commits.FindOne(ctx, filter, options.FindOne().SetSort(byField(fieldDirty, 1)).SetHint(dirtyIndex).SetProjection(withoutEvents)))
		if err == nil && dirty != nil {
			settled = min(settled, dirty.first-1)
		}
		return err
	})
	return settled, err
}

func byField(name string, order int) bson.D { return bson.D{{Key: name, Value: order}} }

// backend is what the sequencer needs of the database. What it does is causally
// ordered: each request sees what the ones before it saw, also on another primary.
// Without that, one that was elected a moment ago could list marks that were cleared.
type backend struct {
	s *Store

	mu      sync.Mutex
	at      *bson.Timestamp
	cluster bson.Raw

	size atomic.Int64 // of an average commit lately, in bytes
}

var _ sequencer.Backend = (*backend)(nil)

// do calls f with a context on which requests see what earlier ones saw. Strict
// requests see everything, and must not name a time.
func (b *backend) do(ctx context.Context, strict bool, f func(ctx context.Context) error) error {
	ses, err := b.s.client.StartSession(options.Session().SetCausalConsistency(!strict))
	if err != nil {
		return err
	}
	defer ses.EndSession(context.WithoutCancel(ctx))
	b.mu.Lock()
	if b.at != nil {
		_ = ses.AdvanceOperationTime(b.at) // fail only for a session that has ended
		_ = ses.AdvanceClusterTime(b.cluster)
	}
	b.mu.Unlock()
	err = f(mongo.NewSessionContext(ctx, ses))
	if at := ses.OperationTime(); at != nil {
		b.mu.Lock()
		if b.at == nil || at.After(*b.at) {
			b.at, b.cluster = at, ses.ClusterTime()
		}
		b.mu.Unlock()
	}
	return err
}

// write is do for what writes: it may be done again, whatever became of it.
func (b *backend) write(ctx context.Context, f func(ctx context.Context) error) error {
	err := b.do(ctx, false, f)
	if err == nil || isOurs(err) || isRefused(err) && !isTransient(err) || ctx.Err() != nil {
		return err
	}
	return driver.Transient(fail(err))
}

// The fields of a batch's document.
const (
	fieldSpans = "s"
	fieldKey   = "k"
)

func encodeBatch(batch sequencer.Batch) bson.Raw {
	b, doc := open(make([]byte, 0, 64+64*len(batch.Spans)))
	b = appendInt64(b, fieldID, int64(batch.First))
	b = appendInt64(b, fieldCount, int64(batch.Next()-batch.First))
	b = appendName(b, typeArray, fieldSpans)
	b, array := open(b)
	for i := range batch.Spans {
		sp := &batch.Spans[i]
		b = appendIndex(b, typeDoc, i)
		var at int
		b, at = open(b)
		b = appendString(b, fieldKey, key(sp.Stream, sp.First))
		b = appendInt32(b, fieldCount, int(sp.Last-sp.First+1))
		b = shut(b, at)
	}
	b = shut(b, array)
	return shut(b, doc)
}

func decodeBatch(doc bson.Raw) (sequencer.Batch, error) {
	var batch sequencer.Batch
	var first, count int64
	good := each(doc, func(e element) (ok bool) {
		switch string(e.name) {
		case fieldID:
			first, ok = e.number()
		case fieldCount:
			count, ok = e.number()
		case fieldSpans:
			ok = e.kind == typeArray && each(e.data, func(e element) bool {
				sp, ok := decodeSpan(e.data)
				batch.Spans = append(batch.Spans, sp)
				return ok && e.kind == typeDoc
			})
		default:
			ok = true
		}
		return ok
	})
	batch.First = driver.Position(first)
	if !good || first < 1 || len(batch.Spans) == 0 || int64(batch.Next()-batch.First) != count {
		return sequencer.Batch{}, corrupt("the batch of the log at position %d cannot be read", first)
	}
	return batch, nil
}

func decodeSpan(doc []byte) (sp sequencer.Span, good bool) {
	var n int64
	good = each(doc, func(e element) (ok bool) {
		switch string(e.name) {
		case fieldKey:
			var k, stream []byte
			if k, ok = e.text(); ok {
				stream, sp.First, ok = split(k)
				sp.Stream = string(stream)
			}
		case fieldCount:
			n, ok = e.number()
		default:
			ok = true
		}
		return ok
	})
	sp.Last = sp.First + driver.Version(n) - 1
	return sp, good && n > 0 && n <= math.MaxInt32 && sp.First > 0
}

// last returns the last batch whose First is not above a position.
func (b *backend) last(ctx context.Context, at driver.Position) (batch sequencer.Batch, err error) {
	err = b.do(ctx, true, func(ctx context.Context) error {
		filter := byID(bson.D{{Key: "$lte", Value: int64(at)}})
		doc, err := one(b.s.log.strict.FindOne(ctx, filter, options.FindOne().SetSort(descending)))
		if err == nil && doc != nil {
			batch, err = decodeBatch(doc)
		}
		return err
	})
	return batch, err
}

func (b *backend) Tip(ctx context.Context, _ driver.Position) (sequencer.Batch, error) {
	return b.last(ctx, math.MaxInt64)
}

func (b *backend) Find(ctx context.Context, at driver.Position) (sequencer.Batch, error) {
	batch, err := b.last(ctx, at)
	if err != nil || batch.Next() <= at {
		return sequencer.Batch{}, err
	}
	return batch, nil
}

func (b *backend) Log(ctx context.Context, first driver.Position, limit int) (batches []sequencer.Batch, err error) {
	err = b.do(ctx, false, func(ctx context.Context) error {
		filter := byID(bson.D{{Key: "$gte", Value: int64(first)}})
		cur, err := b.s.log.Find(ctx, filter, options.Find().SetSort(ascending).SetLimit(int64(limit)))
		_, err = scan(ctx, cur, err, func(doc bson.Raw) (bool, error) {
			batch, err := decodeBatch(doc)
			batches = append(batches, batch)
			return true, err
		})
		return err
	})
	return batches, err
}

func (b *backend) Put(ctx context.Context, batch sequencer.Batch) (there sequencer.Batch, put bool, err error) {
	err = b.write(ctx, func(ctx context.Context) error {
		_, err := b.s.log.InsertOne(ctx, encodeBatch(batch))
		if put = err == nil; !isDuplicate(err) {
			return err
		}
		return errTaken
	})
	if err != errTaken {
		return batch, put, err
	}
	if there, err = b.last(ctx, batch.First); err == nil && there.First != batch.First {
		// The one that was in the way is gone, with a primary that is none any more.
		err = driver.Transient(fmt.Errorf("es: mongo: another batch was put at position %d, and rolled back", batch.First))
	}
	return there, false, err
}

// most is how many marks are listed at once: they fit into one answer.
const most = 20_000

// Dirty lists commits without a position from high versions to low ones. Whoever
// sees a commit so has not passed the lower ones of its stream yet, and they are
// there.
func (b *backend) Dirty(ctx context.Context, wish int) (marks []sequencer.Mark, err error) {
	limit := min(max(wish, 1), most)
	err = b.do(ctx, false, func(ctx context.Context) error {
		marks, err = b.dirty(ctx, bson.D{{Key: "$gt", Value: int64(0)}}, -1, limit)
		if err != nil || len(marks) < limit {
			return err
		}
		// There are more, and the lowest are wanted. A cut at the high end does no
		// harm: of the commits at that version some, and then all below it.
		probe, err := b.dirty(ctx, bson.D{{Key: "$gt", Value: int64(0)}}, 1, limit)
		if err != nil || len(probe) == 0 {
			marks = nil
			return err
		}
		top := int64(probe[len(probe)-1].First)
		if marks, err = b.dirty(ctx, bson.D{{Key: "$eq", Value: top}, {Key: "$gt", Value: int64(0)}}, 1, limit); err != nil {
			return err
		}
		if top > 1 {
			below, err := b.dirty(ctx, bson.D{{Key: "$gt", Value: int64(0)}, {Key: "$lt", Value: top}}, -1, 0)
			if err != nil {
				return err
			}
			marks = append(below, marks...)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	// The lowest first: so a batch takes from many streams, and what waits longest.
	slices.SortStableFunc(marks, func(a, b sequencer.Mark) int { return cmp.Compare(a.First, b.First) })
	return marks, nil
}

var onlyMark = bson.D{{Key: fieldCount, Value: 1}, {Key: fieldDirty, Value: 1}}

// dirty lists the commits whose marks match, in an order, all of them if limit is 0.
func (b *backend) dirty(ctx context.Context, match bson.D, order, limit int) (marks []sequencer.Mark, err error) {
	opts := options.Find().SetSort(byField(fieldDirty, order)).SetHint(dirtyIndex).SetProjection(onlyMark)
	if limit > 0 {
		opts.SetLimit(int64(limit)).SetBatchSize(int32(limit + 1))
	}
	cur, err := b.s.commits.Find(ctx, bson.D{{Key: fieldDirty, Value: match}}, opts)
	_, err = scan(ctx, cur, err, func(doc bson.Raw) (bool, error) {
		m, err := decodeMark(doc)
		marks = append(marks, m)
		return true, err
	})
	return marks, err
}

func decodeMark(doc bson.Raw) (sequencer.Mark, error) {
	var k, stream []byte
	var n, dirty int64
	good := each(doc, func(e element) (ok bool) {
		switch string(e.name) {
		case fieldID:
			k, ok = e.text()
		case fieldCount:
			n, ok = e.number()
		case fieldDirty:
			dirty, ok = e.number()
		default:
			ok = true
		}
		return ok
	})
	stream, first, ok := split(k)
	if !good || !ok || n < 1 || n > math.MaxInt32 || dirty != int64(first) {
		return sequencer.Mark{}, corrupt("the commit %q cannot be read", k)
	}
	return sequencer.Mark{Stream: string(stream), First: first, Last: first + driver.Version(n) - 1}, nil
}

// Clear removes marks. The keys are sorted: two that clear the same do not wait for
// each other.
func (b *backend) Clear(ctx context.Context, marks []sequencer.Mark) error {
	keys := make([]string, len(marks))
	for i := range marks {
		keys[i] = key(marks[i].Stream, marks[i].First)
	}
	slices.Sort(keys)
	for some := range slices.Chunk(keys, 1000) {
		err := b.write(ctx, func(ctx context.Context) error {
			filter := append(byID(bson.D{{Key: "$in", Value: some}}), bson.E{Key: fieldDirty, Value: bson.D{{Key: "$gt", Value: int64(0)}}})
			_, err := b.s.commits.UpdateMany(ctx, filter, unsetDirty)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

var unsetDirty = bson.D{{Key: "$unset", Value: bson.D{{Key: fieldDirty, Value: ""}}}}

// Fetch gets the commits by key: each run lies in one.
func (b *backend) Fetch(ctx context.Context, runs []sequencer.Run) ([]sequencer.Event, error) {
	if size := b.size.Load(); size > 0 {
		runs = runs[:min(len(runs), max(1, int(pageBytes/size)))]
	}
	if run := &runs[0]; len(runs) == 1 && run.Last-run.First >= fewEvents && run.To-run.From < fewEvents {
		return b.fetchPart(ctx, run)
	}
	keys := make([]string, len(runs))
	for i := range runs {
		keys[i] = key(runs[i].Stream, runs[i].First)
	}
	there := make(map[string]*commit, len(runs))
	bytes, whole := 0, true
	err := b.do(ctx, false, func(ctx context.Context) error {
		filter := byID(bson.D{{Key: "$in", Value: keys}})
		cur, err := b.s.commits.Find(ctx, filter, options.Find().SetBatchSize(int32(len(keys)+1)))
		whole, err = scan(ctx, cur, err, func(doc bson.Raw) (bool, error) {
			c, err := decode(doc)
			if err != nil {
				return false, err
			}
			there[key(c.stream, c.first)] = c
			bytes += len(doc)
			return bytes < 2*pageBytes, nil
		})
		return err
	})
	if err != nil {
		return nil, err
	}
	if n := len(there); n > 0 {
		b.size.Store(int64(bytes/n) + 1)
	}
	var events []sequencer.Event
	for i := range runs {
		run := &runs[i]
		c := there[keys[i]]
		if c == nil {
			if !whole && i > 0 {
				break // the others are more than one page takes
			}
			if c, err = b.fetchStrict(ctx, run); err != nil {
				return nil, err
			}
		}
		if events, err = appendEvents(events, run, c); err != nil {
			return nil, err
		}
	}
	return events, nil
}

// appendEvents adds the events of a run, which its commit has.
func appendEvents(events []sequencer.Event, run *sequencer.Run, c *commit) ([]sequencer.Event, error) {
	if c.last != run.Last {
		return nil, corrupt("the log has versions %d to %d of stream %q, and the commit has %d to %d", run.First, run.Last, run.Stream, c.first, c.last)
	}
	for v := run.From; v <= run.To; v++ {
		e := sequencer.Event{Record: driver.Record{Stream: c.stream, Version: v, ID: c.ids[v-c.first]}, Purged: c.purged}
		if !c.purged {
			e.Record = c.records[v-c.records[0].Version]
		}
		events = append(events, e)
	}
	return events, nil
}

// fetchPart gets a few events of a large commit.
func (b *backend) fetchPart(ctx context.Context, run *sequencer.Run) ([]sequencer.Event, error) {
	var c *commit
	err := b.do(ctx, false, func(ctx context.Context) (err error) {
		c, err = b.s.commitPart(ctx, run.Stream, run.First, run.From, run.To)
		return err
	})
	if err == nil && c == nil {
		c, err = b.fetchStrict(ctx, run)
	}
	if err != nil {
		return nil, err
	}
	return appendEvents(nil, run, c)
}

// fetchStrict gets a commit by a read that cannot be stale.
func (b *backend) fetchStrict(ctx context.Context, run *sequencer.Run) (c *commit, err error) {
	err = b.do(ctx, true, func(ctx context.Context) error {
		doc, err := one(b.s.commits.strict.FindOne(ctx, byID(key(run.Stream, run.First))))
		if err != nil {
			return err
		}
		if doc == nil {
			return corrupt("the log has version %d of stream %q, and its commit is missing", run.First, run.Stream)
		}
		c, err = decode(doc)
		return err
	})
	return c, err
}
