package dynamodb

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/go-es/es/driver"
)

// notThere is the condition of all that is written once.
const notThere = "attribute_not_exists(pk)"

// Append stores the records of a request: those of one stream with one conditional
// put, those of several in a transaction.
func (s *Store) Append(ctx context.Context, req driver.AppendRequest) (result driver.AppendResult, err error) {
	err = s.do(ctx, func(ctx context.Context) error {
		if len(req.Parts) > 1 {
			result, err = s.appendStreams(ctx, req)
			return err
		}
		p := &req.Parts[0]
		result.Parts = make([]driver.Appended, 1)
		if _, exact := p.Expected.Exact(); exact {
			result.Parts[0], err = s.appendAt(ctx, p)
		} else if p.Expected == driver.Any {
			result.Parts[0], err = s.lines.Append(ctx, caps, p, s.appendAny)
		} else {
			result.Parts[0], err = s.appendAny(ctx, p)
		}
		return err
	})
	if err != nil {
		return driver.AppendResult{}, err
	}
	return result, nil
}

// appendAt appends at an exact version.
func (s *Store) appendAt(ctx context.Context, p *driver.Part) (driver.Appended, error) {
	base, _ := p.Expected.Exact()
	if known, _ := s.heads.get(p.Stream); base > 0 && base != known {
		// A commit may only begin where another one ends: the key does not tell.
		tail, err := s.tail(ctx, p.Stream)
		if err != nil {
			return driver.Appended{}, err
		}
		if write, out, err := s.decide(ctx, p, tail); !write {
			return out, err
		}
	}
	c := newCommit(p.Stream, base, p.Records, newWriter())
	there, err := s.put(ctx, c)
	if err != nil {
		return driver.Appended{}, err
	}
	if there == nil {
		return driver.Appended{First: c.first, Last: c.last}, nil
	}
	// Another commit is there. It may be of an earlier call of the same append, and
	// the stream may be closed since.
	ctx, cancel := s.outlive(ctx)
	defer cancel()
	tail, err := s.tail(ctx, p.Stream)
	if err == nil {
		write, out, err := s.decide(ctx, p, tail)
		if write {
			err = corrupt("stream %q ends at version %d, and has a commit at version %d", p.Stream, base, c.first)
		}
		return out, err
	}
	if there.whole() == nil && there.id(0) == p.Records[0].ID {
		err = unknown(&unsureError{err}, driver.UnknownPart{Stream: p.Stream, Base: base})
	}
	return driver.Appended{}, err
}

// decide says what becomes of an append at an exact version to a stream whose last
// commit is tail.
func (s *Store) decide(ctx context.Context, p *driver.Part, tail *commit) (bool, driver.Appended, error) {
	base, _ := p.Expected.Exact()
	req := driver.AppendRequest{Parts: []driver.Part{*p}}
	write, result, err := driver.Decide(req, []driver.StreamState{tail.state()}, func(int) (driver.Position, bool, error) {
		ok, err := s.holds(ctx, p.Stream, base, p.Records)
		return 0, ok, err
	})
	if err != nil || write {
		return write, driver.Appended{}, err
	}
	return false, result.Parts[0], nil
}

// appendAny appends at any version, or at any but 0. It always takes an exact one,
// without which nobody could find out what became of a request.
func (s *Store) appendAny(ctx context.Context, p *driver.Part) (driver.Appended, error) {
	base, known := s.heads.get(p.Stream)
	if !known && p.Expected == driver.Exists {
		tail, err := s.tail(ctx, p.Stream)
		if err != nil {
			return driver.Appended{}, err
		}
		switch {
		case tail == nil:
			return driver.Appended{}, &driver.ConflictError{Stream: p.Stream, Expected: p.Expected}
		case tail.closes:
			return driver.Appended{}, deleted(p.Stream)
		}
		base = tail.last
	}
	w := newWriter()
	for tries := 1; ; tries++ {
		c := newCommit(p.Stream, base, p.Records, w)
		there, err := s.put(ctx, c)
		if err != nil {
			return driver.Appended{}, err
		}
		if there == nil {
			return driver.Appended{First: c.first, Last: c.last}, nil
		}
		if err := pause(ctx, tries-1); err != nil {
			return driver.Appended{}, err
		}
		if tries%2 == 0 { // it may be far behind
			if there, err = s.tail(ctx, p.Stream); err != nil {
				return driver.Appended{}, err
			}
		}
		switch {
		case there == nil:
			return driver.Appended{}, corrupt("stream %q is gone", p.Stream)
		case there.closes:
			return driver.Appended{}, deleted(p.Stream)
		}
		base = there.last
	}
}

// put writes a commit at its key, if there is none. If there is one already, it
// returns that; nil if c was stored.
func (s *Store) put(ctx context.Context, c *commit) (there *commit, err error) {
	in := &dynamodb.PutItemInput{
		TableName: s.table, Item: c.item(), ConditionExpression: aws.String(notThere),
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
	}
	err = s.write(ctx, func(ctx context.Context) error {
		_, err := s.once.PutItem(ctx, in)
		return err
	})
	if r, refused := err.(*refusedError); refused {
		if there, err = s.inTheWay(ctx, c, r.items[0]); err != nil {
			return nil, err
		}
		if there.writer != c.writer {
			return there, nil
		}
		err = nil // a request of this call was carried out, and its answer lost
	}
	if err != nil {
		return nil, unknown(err, driver.UnknownPart{Stream: c.stream, Base: c.first - 1})
	}
	s.stored(c)
	return nil, nil
}

// stored notes a commit that was stored.
func (s *Store) stored(c *commit) {
	if !c.closes {
		s.heads.note(c.stream, c.last)
	}
	s.seq.Appended(c.stream, c.last)
}

// inTheWay returns the commit that has the key of c.
func (s *Store) inTheWay(ctx context.Context, c *commit, it item) (*commit, error) {
	if len(it) == 0 {
		ctx, cancel := s.outlive(ctx)
		defer cancel()
		out, err := s.client.GetItem(ctx, &dynamodb.GetItemInput{TableName: s.table, Key: keyOf(streamKey(c.stream), ordered(uint64(c.first))), ConsistentRead: aws.Bool(true)})
		if err != nil { // it may be c
			return nil, unknown(&unsureError{err}, driver.UnknownPart{Stream: c.stream, Base: c.first - 1})
		}
		it = out.Item
	}
	return parseCommit(it)
}

// tail returns the last commit of a stream without its events, nil if the stream
// does not exist, by a read that cannot be stale.
func (s *Store) tail(ctx context.Context, stream string) (*commit, error) {
	out, err := s.client.Query(ctx, &dynamodb.QueryInput{
		TableName: s.table, ConsistentRead: aws.Bool(true), ScanIndexForward: aws.Bool(false), Limit: aws.Int32(1),
		KeyConditionExpression:    aws.String("pk = :p"),
		ExpressionAttributeValues: item{":p": str(streamKey(stream))},
		ProjectionExpression:      aws.String(projectHead), ExpressionAttributeNames: headNames,
	})
	if err != nil {
		return nil, failRead(err)
	}
	if len(out.Items) == 0 {
		return nil, nil
	}
	c, err := parseCommit(out.Items[0])
	if err != nil {
		return nil, err
	}
	if !c.closes {
		s.heads.note(stream, c.last)
	}
	return c, nil
}

// projectHead is what a commit is without its events.
const projectHead = "pk, sk, #to, #closed, ids, w, x"

var headNames = map[string]string{"#to": attrLast, "#closed": attrClosed}

// holds reports whether the versions after base have the ids of records.
func (s *Store) holds(ctx context.Context, stream string, base driver.Version, records []driver.Record) (bool, error) {
	last := base + driver.Version(len(records))
	next := base + 1
	for next <= last {
		commits, _, err := s.commits(ctx, query{stream: stream, from: next, to: last, heads: true})
		if err != nil {
			return false, err
		}
		for _, c := range commits {
			if err := c.whole(); err != nil || c.first > next {
				return false, orMissing(err, stream, next)
			}
			for ; next <= min(c.last, last); next++ {
				if c.id(int(next-c.first)) != records[next-base-1].ID {
					return false, nil
				}
			}
		}
		if len(commits) == 0 {
			return false, orMissing(nil, stream, next)
		}
	}
	return true, nil
}

func orMissing(err error, stream string, v driver.Version) error {
	if err != nil {
		return err
	}
	return corrupt("version %d of stream %q is missing", v, stream)
}
