package dynamodb

import (
	"context"
	"math"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/go-es/es/driver"
)

// query asks for commits of a stream.
type query struct {
	stream   string
	from, to driver.Version // commits that have versions from the one to the other, or some of these
	backward bool
	limit    int // 0: as many as DynamoDB returns, up to 1 MB
	heads    bool
}

// entry is where a read may begin that wants a version from first to last: at the
// key of first. That a commit has these versions, or begins there if it is there at
// all, stays true for ever.
type entry struct{ first, last driver.Version }

// commits returns commits in the order asked for, the one that from or to lies in
// first, and whether there may be more.
func (s *Store) commits(ctx context.Context, q query) ([]*commit, bool, error) {
	high := q.to
	if high == 0 {
		high = math.MaxInt64
	}
	if q.backward { // the commit that has q.from may begin below it: the caller stops there
		return s.keys(ctx, q, 1, high)
	}
	if q.from <= 1 {
		return s.keys(ctx, q, q.from, high)
	}
	if at, ok := s.entries.Get(q.stream); ok && at.first <= q.from && q.from <= at.last {
		commits, more, err := s.keys(ctx, q, at.first, high)
		if err != nil || len(commits) > 0 && commits[0].last >= q.from {
			return commits, more, err
		}
	}
	// A commit that begins below from may have it.
	before := q
	before.backward, before.limit = true, 1
	var commits, found []*commit
	var more bool
	err := parallel(2, 2, func(i int) (err error) {
		if i == 0 {
			commits, more, err = s.keys(ctx, q, q.from, high)
		} else {
			found, _, err = s.keys(ctx, before, 1, q.from-1)
		}
		return err
	})
	if err == nil && len(commits) > 0 && commits[0].first > q.from && (len(found) == 0 || found[0].last < q.from) {
		// One that was appended between the two, and before those that were found.
		found, _, err = s.keys(ctx, before, 1, q.from-1)
	}
	if err == nil && len(found) > 0 && found[0].last >= q.from {
		commits = slices.Insert(commits, 0, found[0])
	}
	if err == nil && len(commits) > 0 {
		s.enter(commits[0])
	}
	return commits, more, err
}

// enter remembers that the next read of a stream may begin in a commit.
func (s *Store) enter(c *commit) {
	s.entries.Set(c.stream, func(entry) entry { return entry{c.first, c.last} })
}

// keys returns the commits that begin at versions from low to high.
func (s *Store) keys(ctx context.Context, q query, low, high driver.Version) ([]*commit, bool, error) {
	in := &dynamodb.QueryInput{
		TableName: s.table, ConsistentRead: aws.Bool(true), ScanIndexForward: aws.Bool(!q.backward),
		KeyConditionExpression: aws.String("pk = :p AND sk BETWEEN :low AND :high"),
		ExpressionAttributeValues: item{
			":p": str(streamKey(q.stream)), ":low": str(ordered(uint64(low))), ":high": str(ordered(uint64(high))),
		},
	}
	if q.limit > 0 {
		in.Limit = aws.Int32(int32(q.limit))
	}
	if q.heads {
		in.ProjectionExpression, in.ExpressionAttributeNames = aws.String(projectHead), headNames
	}
	out, err := s.client.Query(ctx, in)
	if err != nil {
		return nil, false, failRead(err)
	}
	commits := make([]*commit, len(out.Items))
	for i, it := range out.Items {
		if commits[i], err = parseCommit(it); err != nil {
			return nil, false, err
		}
	}
	return commits, len(out.LastEvaluatedKey) > 0, nil
}

// ReadStream returns a page of one stream: what one request brings, up to 1 MB. A
// page that does not reach the end needs another one, for the head.
func (s *Store) ReadStream(ctx context.Context, q driver.StreamQuery) (page driver.StreamPage, err error) {
	err = s.do(ctx, func(ctx context.Context) error {
		if q.Backward {
			page, err = s.readBackward(ctx, q)
		} else {
			page, err = s.readForward(ctx, q)
		}
		return err
	})
	if err != nil {
		return driver.StreamPage{}, err
	}
	return page, nil
}

func (s *Store) readForward(ctx context.Context, q driver.StreamQuery) (driver.StreamPage, error) {
	var page driver.StreamPage
	var tail *commit
	next := max(q.From, 1)
	for tail == nil {
		commits, more, err := s.commits(ctx, query{stream: q.Stream, from: next, limit: q.Limit})
		if err != nil {
			return page, err
		}
		for _, c := range commits {
			if c.first > next || c.last < next {
				return page, orMissing(nil, q.Stream, next)
			}
			if err := c.add(&page.Records, q, next, c.last); err != nil {
				return page, err
			}
			next = c.last + 1
		}
		if q.Limit > 0 && len(page.Records) > q.Limit { // the next page begins within a commit
			at := page.Records[q.Limit].Version
			s.enter(commits[slices.IndexFunc(commits, func(c *commit) bool { return at <= c.last })])
		} else if more {
			s.entries.Set(q.Stream, func(entry) entry { return entry{next, next} })
		}
		if !more && len(commits) > 0 {
			tail = commits[len(commits)-1]
			s.noteTail(tail)
		} else if !more || len(page.Records) > 0 {
			if tail, err = s.tail(ctx, q.Stream); err != nil {
				return page, err
			}
			if tail == nil {
				return page, &driver.StreamError{Stream: q.Stream, Err: driver.ErrStreamNotFound}
			}
			if len(page.Records) == 0 && next <= tail.last {
				tail = nil // what is wanted has come since
			}
		}
	}
	return finish(page, q, tail, next > tail.last)
}

func (s *Store) readBackward(ctx context.Context, q driver.StreamQuery) (driver.StreamPage, error) {
	var page driver.StreamPage
	var tail *commit
	high := q.From
	for {
		commits, more, err := s.commits(ctx, query{stream: q.Stream, from: 1, to: high, backward: true, limit: q.Limit})
		if err != nil {
			return page, err
		}
		if len(commits) == 0 && tail == nil {
			return page, &driver.StreamError{Stream: q.Stream, Err: driver.ErrStreamNotFound}
		}
		if tail == nil {
			if tail = commits[0]; q.From > 0 && tail.last >= q.From { // or it is not the last one
				if tail, err = s.tail(ctx, q.Stream); err != nil {
					return page, err
				}
			} else {
				high = tail.last
				s.noteTail(tail)
			}
		}
		for _, c := range commits {
			if c.last < high {
				return page, orMissing(nil, q.Stream, high)
			}
			from := len(page.Records)
			if err := c.add(&page.Records, q, c.first, high); err != nil {
				return page, err
			}
			slices.Reverse(page.Records[from:])
			high = c.first - 1
		}
		if len(page.Records) > 0 || high == 0 || !more {
			break
		}
	}
	if high > 0 && len(page.Records) == 0 {
		return page, orMissing(nil, q.Stream, high)
	}
	return finish(page, q, tail, high == 0)
}

func (s *Store) noteTail(c *commit) {
	if !c.closes {
		s.heads.note(c.stream, c.last)
	}
}

// add adds the events of a commit from one version to another.
func (c *commit) add(to *[]driver.Record, q driver.StreamQuery, low, high driver.Version) error {
	if c.purged {
		if !q.Deleted {
			return deleted(q.Stream)
		}
		return c.whole()
	}
	records, err := c.records()
	if err == nil {
		*to = append(*to, records[low-c.first:min(high, c.last)-c.first+1]...)
	}
	return err
}

// finish makes a page of what was read before the tail.
func finish(page driver.StreamPage, q driver.StreamQuery, tail *commit, end bool) (driver.StreamPage, error) {
	if tail.closes && !q.Deleted {
		return driver.StreamPage{}, deleted(q.Stream)
	}
	page.Head, page.End = tail.last, end
	if q.Limit > 0 && len(page.Records) > q.Limit {
		page.Records, page.End = page.Records[:q.Limit], false
	}
	return page, nil
}
