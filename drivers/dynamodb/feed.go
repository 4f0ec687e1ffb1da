package dynamodb

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/go-es/es/driver"
	"github.com/go-es/es/driver/sequencer"
)

// ReadAll returns a page of the feed. At its end it does a round of sequencing.
func (s *Store) ReadAll(ctx context.Context, q driver.FeedQuery) (page driver.FeedPage, err error) {
	err = s.do(ctx, func(ctx context.Context) error {
		page, err = s.seq.ReadAll(ctx, q)
		return err
	})
	if err != nil {
		return driver.FeedPage{}, err
	}
	return page, nil
}

// Head returns the last position of the feed.
func (s *Store) Head(ctx context.Context) (head driver.Position, err error) {
	err = s.do(ctx, func(ctx context.Context) error {
		head, err = s.seq.Head(ctx)
		return err
	})
	if err != nil {
		return 0, err
	}
	return head, nil
}

// Settled returns the last version of a stream that has a position.
func (s *Store) Settled(ctx context.Context, stream string) (v driver.Version, err error) {
	err = s.do(ctx, func(ctx context.Context) error {
		at, err := (&backend{s}).Sequenced(ctx, []string{stream})
		if err == nil {
			v = at[0]
		}
		return err
	})
	return v, err
}

// backend is what the sequencer needs. All its writes may be made twice, and late, so
// the client's own retries do no harm to them.
type backend struct{ s *Store }

var (
	_ sequencer.Backend  = (*backend)(nil)
	_ sequencer.Register = (*backend)(nil)
)

const (
	// A batch of the log has less than logBucket positions (500 commits of up to
	// 1,000 events), so that no partition of the log up to the last one is empty.
	logBucket = 1 << 20

	batchKeys = 100 // of one BatchGetItem
	working   = 32  // requests at a time that raise or clear: as many as appenders may have
	fetching  = 4   // of those that fetch events, which may be large
	pageBytes = 4 << 20
)

func bucketOf(p driver.Position) uint64 { return uint64(p) / logBucket }

func logKey(bucket uint64) string { return "l#" + ordered(bucket) }

// log queries a partition of the log: up to limit batches that begin at positions
// from low to high.
func (b *backend) log(ctx context.Context, bucket uint64, low, high driver.Position, backward bool, limit int32) ([]sequencer.Batch, error) {
	out, err := b.s.client.Query(ctx, &dynamodb.QueryInput{
		TableName: b.s.table, ScanIndexForward: aws.Bool(!backward), Limit: aws.Int32(limit),
		// Log may be late. Others look backward.
		ConsistentRead:         aws.Bool(backward),
		KeyConditionExpression: aws.String("pk = :p AND sk BETWEEN :low AND :high"),
		ExpressionAttributeValues: item{
			":p": str(logKey(bucket)), ":low": str(ordered(uint64(low))), ":high": str(ordered(uint64(high))),
		},
	})
	if err != nil {
		return nil, failRead(err)
	}
	batches := make([]sequencer.Batch, len(out.Items))
	for i, it := range out.Items {
		if batches[i], err = parseBatch(it); err != nil {
			return nil, err
		}
	}
	return batches, nil
}

const lastPosition = driver.Position(1<<63 - 1)

func parseBatch(it item) (sequencer.Batch, error) {
	first, err := strconv.ParseUint(getString(it, sk), 16, 63)
	if err != nil || first == 0 {
		return sequencer.Batch{}, corrupt("a batch of the log has the key %.100q", getString(it, sk))
	}
	spans, err := sequencer.ParseSpans(getBytes(it, attrSpans))
	return sequencer.Batch{First: driver.Position(first), Spans: spans}, err
}

// last returns the last batch of a partition of the log that begins at or below a
// position.
func (b *backend) last(ctx context.Context, bucket uint64, at driver.Position) (sequencer.Batch, error) {
	batches, err := b.log(ctx, bucket, 1, at, true, 1)
	if err != nil || len(batches) == 0 {
		return sequencer.Batch{}, err
	}
	return batches[0], nil
}

// Tip begins with the partition of the position that is known. It goes to others
// only if the log may go on there: first in growing steps, and then between what has
// batches and what has none.
func (b *backend) Tip(ctx context.Context, known driver.Position) (sequencer.Batch, error) {
	bucket := bucketOf(known)
	tip, err := b.last(ctx, bucket, lastPosition)
	if err == nil && len(tip.Spans) == 0 && bucket > 0 { // the batch that holds it begins before
		bucket--
		tip, err = b.last(ctx, bucket, lastPosition)
	}
	if err != nil || len(tip.Spans) == 0 || bucketOf(tip.Next()) == bucket {
		return tip, err
	}
	none, step := uint64(0), uint64(1)
	for none == 0 || none > bucket+1 {
		try := bucket + step
		if none > 0 {
			try = bucket + (none-bucket)/2
		}
		found, err := b.last(ctx, try, lastPosition)
		if err != nil {
			return sequencer.Batch{}, err
		}
		if len(found.Spans) == 0 {
			none = try
		} else {
			tip, bucket, step = found, try, 2*step
		}
	}
	return tip, nil
}

// Find looks in the partition of the position, and in the one before.
func (b *backend) Find(ctx context.Context, at driver.Position) (sequencer.Batch, error) {
	found, err := b.last(ctx, bucketOf(at), at)
	if err == nil && len(found.Spans) == 0 && bucketOf(at) > 0 {
		found, err = b.last(ctx, bucketOf(at)-1, at)
	}
	if err != nil || len(found.Spans) == 0 || found.Next() <= at {
		return sequencer.Batch{}, err
	}
	return found, nil
}

func (b *backend) Log(ctx context.Context, first driver.Position, limit int) ([]sequencer.Batch, error) {
	return b.log(ctx, bucketOf(first), first, lastPosition, false, int32(limit))
}

func (b *backend) Put(ctx context.Context, batch sequencer.Batch) (sequencer.Batch, bool, error) {
	it := keyOf(logKey(bucketOf(batch.First)), ordered(uint64(batch.First)))
	it[attrSpans] = bin(sequencer.AppendSpans(nil, batch.Spans))
	_, err := b.s.client.PutItem(ctx, &dynamodb.PutItemInput{
		TableName: b.s.table, Item: it, ConditionExpression: aws.String(notThere),
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
	})
	switch r, refused := refusal(err).(*refusedError); {
	case err == nil:
		return batch, true, nil
	case !refused:
		return sequencer.Batch{}, false, failRead(err)
	case len(r.items[0]) > 0:
		there, err := parseBatch(r.items[0])
		return there, false, err
	}
	there, err := b.last(ctx, bucketOf(batch.First), batch.First)
	return there, false, err
}

// Dirty scans the index, which has only what is marked: one request while that is
// little, whatever its partitions are. Where there is more, each partition is asked
// for what has waited longest.
func (b *backend) Dirty(ctx context.Context, wish int) ([]sequencer.Mark, error) {
	out, err := b.s.client.Scan(ctx, &dynamodb.ScanInput{TableName: b.s.table, IndexName: aws.String(indexName), Limit: aws.Int32(int32(wish))})
	if err != nil {
		return nil, failRead(err)
	}
	items := out.Items
	if len(out.LastEvaluatedKey) > 0 {
		var of [shards][]item
		err := parallel(shards, shards, func(i int) error {
			out, err := b.s.client.Query(ctx, &dynamodb.QueryInput{
				TableName: b.s.table, IndexName: aws.String(indexName), Limit: aws.Int32(int32(wish/shards + 1)),
				KeyConditionExpression:    aws.String("u = :u"),
				ExpressionAttributeValues: item{":u": str(marksKey + strconv.FormatInt(int64(i), 16))},
			})
			if err == nil {
				of[i] = out.Items
			}
			return failRead(err)
		})
		if err != nil {
			return nil, err
		}
		items = nil
		for i := range of {
			items = append(items, of[i]...)
		}
	}
	marks := make([]sequencer.Mark, len(items))
	for i, it := range items {
		c, err := parseCommit(it)
		if err != nil {
			return nil, err
		}
		marks[i] = sequencer.Mark{Stream: c.stream, First: c.first, Last: c.last, Closed: c.closes}
	}
	return marks, nil
}

// Clear takes commits out of the index, and notes their positions. A commit that is
// not there stays so: an item without events would block the stream for good.
func (b *backend) Clear(ctx context.Context, marks []sequencer.Mark) error {
	return parallel(len(marks), working, func(i int) error {
		m := &marks[i]
		in := &dynamodb.UpdateItemInput{
			TableName: b.s.table, Key: keyOf(streamKey(m.Stream), ordered(uint64(m.First))),
			UpdateExpression: aws.String("REMOVE u, ts"), ConditionExpression: aws.String("attribute_exists(pk)"),
		}
		if m.Position > 0 {
			in.UpdateExpression = aws.String("REMOVE u, ts SET pos = :p")
			in.ExpressionAttributeValues = item{":p": num(m.Position)}
		}
		_, err := b.s.client.UpdateItem(ctx, in)
		return done(err)
	})
}

// done is the error of an update that may be carried out at most once.
func done(err error) error {
	if _, refused := errors.AsType[*types.ConditionalCheckFailedException](err); refused {
		return nil
	}
	return failRead(err)
}

// Sequenced reads registers, 100 in a request.
func (b *backend) Sequenced(ctx context.Context, streams []string) ([]driver.Version, error) {
	keys := make([]item, len(streams))
	for i, stream := range streams {
		keys[i] = registerKey(stream)
	}
	versions := make([]driver.Version, len(streams))
	err := parallel((len(keys)+batchKeys-1)/batchKeys, fetching, func(i int) error {
		from, to := i*batchKeys, min((i+1)*batchKeys, len(keys))
		found, err := b.s.get(ctx, keys[from:to], true)
		for j := range found {
			if err == nil {
				var v uint64
				v, err = getNumber(found[j], attrVersion)
				versions[from+j] = driver.Version(v)
			}
		}
		return err
	})
	return versions, err
}

// Raise raises registers. They are the listing of streams as well.
func (b *backend) Raise(ctx context.Context, spans []sequencer.Span) error {
	return parallel(len(spans), working, func(i int) error {
		sp := &spans[i]
		in := &dynamodb.UpdateItemInput{
			TableName: b.s.table, Key: registerKey(sp.Stream),
			UpdateExpression: aws.String("SET v = :v"), ConditionExpression: aws.String("attribute_not_exists(v) OR v < :v"),
			ExpressionAttributeValues: item{":v": num(sp.Last)},
		}
		if sp.Closed {
			in.UpdateExpression = aws.String("SET v = :v, #closed = :yes")
			in.ExpressionAttributeNames = map[string]string{"#closed": attrClosed}
			in.ExpressionAttributeValues[":yes"] = yes()
		}
		_, err := b.s.client.UpdateItem(ctx, in)
		return done(err)
	})
}

// Fetch gets the commits by key: each run lies in one.
func (b *backend) Fetch(ctx context.Context, runs []sequencer.Run) ([]sequencer.Event, error) {
	keys := make([]item, len(runs))
	for i := range runs {
		keys[i] = keyOf(streamKey(runs[i].Stream), ordered(uint64(runs[i].First)))
	}
	var events []sequencer.Event
	for from, bytes := 0, 0; from < len(keys) && bytes < pageBytes; {
		n := min(len(keys)-from, b.s.window())
		commits := make([]item, n)
		err := parallel((n+batchKeys-1)/batchKeys, fetching, func(i int) error {
			low, high := i*batchKeys, min((i+1)*batchKeys, n)
			found, err := b.s.get(ctx, keys[from+low:from+high], false)
			copy(commits[low:], found)
			return err
		})
		if err != nil {
			return nil, err
		}
		size := 0
		for i, it := range commits {
			if isUnread(it) && i > 0 {
				n = i
				break
			}
			if isUnread(it) {
				found, err := b.s.get(ctx, keys[from:from+1], true)
				if err != nil {
					return nil, err
				}
				it = found[0]
			}
			if events, err = appendRun(events, &runs[from+i], it); err != nil {
				return nil, err
			}
			size += len(getBytes(it, attrEvents))
		}
		b.s.usual.Store(int64(size/n + 1))
		bytes += size
		from += n
	}
	return events, nil
}

// window is how many commits to get at once: as many as make a page, if they are as
// large as those before.
func (s *Store) window() int {
	usual := s.usual.Load()
	if usual == 0 {
		return 16 // which may have 400 KB each
	}
	return int(min(max(pageBytes/usual, 1), fetching*batchKeys))
}

// appendRun adds the events of a run, which are in the commit of an item.
func appendRun(events []sequencer.Event, run *sequencer.Run, it item) ([]sequencer.Event, error) {
	if len(it) == 0 {
		return nil, corrupt("the commit of stream %q at version %d is in the log, and is not there", run.Stream, run.First)
	}
	c, err := parseCommit(it)
	if err != nil {
		return nil, err
	}
	if c.first != run.First || c.last != run.Last {
		return nil, corrupt("the commit of stream %q at version %d ends at version %d, and at %d in the log", run.Stream, run.First, c.last, run.Last)
	}
	from, to := run.From-c.first, run.To-c.first+1
	if c.purged {
		if err := c.whole(); err != nil {
			return nil, err
		}
		for i := from; i < to; i++ {
			events = append(events, sequencer.Event{Record: driver.Record{ID: c.id(int(i))}, Purged: true})
		}
		return events, nil
	}
	records, err := c.records()
	if err != nil {
		return nil, err
	}
	for _, r := range records[from:to] {
		events = append(events, sequencer.Event{Record: r})
	}
	return events, nil
}

// unread stands for an item that DynamoDB did not return for now.
var unread = item{"": nil}

func isUnread(it item) bool { _, is := it[""]; return is }

// get gets up to 100 items by key, by a read that cannot be stale, in the order of
// the keys; nil for one that is not there. DynamoDB returns 16 MB at a time, and less
// when it is busy. Unless all are wanted, get returns unread for those that it left.
func (s *Store) get(ctx context.Context, keys []item, all bool) ([]item, error) {
	type key struct{ p, s string }
	at := make(map[key]int, len(keys))
	for i, k := range keys {
		at[key{getString(k, pk), getString(k, sk)}] = i
	}
	found := make([]item, len(keys))
	left := make([]item, 0, len(at))
	for i, k := range keys {
		if at[key{getString(k, pk), getString(k, sk)}] == i { // a key may be there twice
			left = append(left, k)
		}
	}
	for pause := busyPause; len(left) > 0; {
		out, err := s.client.BatchGetItem(ctx, &dynamodb.BatchGetItemInput{RequestItems: map[string]types.KeysAndAttributes{
			*s.table: {Keys: left, ConsistentRead: aws.Bool(true)},
		}})
		if err != nil {
			return nil, failRead(err)
		}
		n := 0
		for _, items := range out.Responses { // of the one table, whatever it is called there
			for _, it := range items {
				if i, asked := at[key{getString(it, pk), getString(it, sk)}]; asked {
					found[i] = it
					n++
				}
			}
		}
		left = nil
		for _, more := range out.UnprocessedKeys {
			left = append(left, more.Keys...)
		}
		if n > 0 && !all {
			break
		}
		if len(left) == 0 || n > 0 {
			pause = busyPause
			continue
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(pause):
		}
		if pause *= 2; pause > 100*busyPause {
			return nil, driver.Transient(errors.New("es: dynamodb: the table is too busy to be read"))
		}
	}
	for _, k := range left {
		if i, asked := at[key{getString(k, pk), getString(k, sk)}]; asked {
			found[i] = unread
		}
	}
	for i, k := range keys {
		found[i] = found[at[key{getString(k, pk), getString(k, sk)}]]
	}
	return found, nil
}
