package dynamodb

import (
	"context"
	"errors"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/go-es/es/driver"
)

// erasing is how many items are erased at a time.
const erasing = 16

// Delete appends the commit that closes the stream, and then empties the snapshots
// and, for a purge, the events of all other commits. Their items stay, with the ids:
// their keys stay taken, and the log names them.
func (s *Store) Delete(ctx context.Context, req driver.DeleteRequest) (done driver.Appended, err error) {
	err = s.do(ctx, func(ctx context.Context) error {
		done, err = s.delete(ctx, req)
		return err
	})
	if err != nil {
		return driver.Appended{}, err
	}
	return done, nil
}

func (s *Store) delete(ctx context.Context, req driver.DeleteRequest) (driver.Appended, error) {
	w := newWriter()
	for tries := 1; ; tries++ {
		tail, err := s.tail(ctx, req.Stream)
		if err != nil {
			return driver.Appended{}, err
		}
		write, done, err := driver.DecideDelete(req, tail.state(), func() (driver.ID, driver.Position, error) {
			if err := tail.whole(); err != nil {
				return driver.ID{}, 0, err
			}
			return tail.id(tail.len() - 1), 0, nil
		})
		if err != nil {
			return driver.Appended{}, err
		}
		if write {
			c := newCommit(req.Stream, tail.last, []driver.Record{req.Record}, w)
			c.closes = true
			there, err := s.put(ctx, c)
			if err != nil {
				return driver.Appended{}, err
			}
			if there != nil { // another was faster
				if err := pause(ctx, tries); err != nil {
					return driver.Appended{}, err
				}
				continue
			}
			done = driver.Appended{First: c.first, Last: c.last}
		}
		ctx, cancel := s.outlive(ctx)
		defer cancel()
		if err := s.erase(ctx, req, done.Last); err != nil {
			return driver.Appended{}, unknown(&unsureError{err}, driver.UnknownPart{Stream: req.Stream, Base: done.Last - 1})
		}
		return done, nil
	}
}

// erase erases what goes with a stream that is closed by the event at last.
func (s *Store) erase(ctx context.Context, req driver.DeleteRequest, last driver.Version) error {
	if err := s.eraseSnapshots(ctx, req.Stream); err != nil || req.Mode != driver.Purge {
		return err
	}
	for next := driver.Version(1); next < last; {
		commits, more, err := s.keys(ctx, query{stream: req.Stream, heads: true}, next, last-1)
		if err != nil {
			return err
		}
		err = parallel(len(commits), erasing, func(i int) error {
			if commits[i].purged {
				return nil
			}
			return s.blank(ctx, commits[i])
		})
		if err != nil || !more || len(commits) == 0 {
			return err
		}
		next = commits[len(commits)-1].last + 1
	}
	return nil
}

// blank erases the events of a commit.
func (s *Store) blank(ctx context.Context, c *commit) error {
	_, err := s.client.UpdateItem(ctx, &dynamodb.UpdateItemInput{
		TableName: s.table, Key: keyOf(streamKey(c.stream), ordered(uint64(c.first))),
		UpdateExpression: aws.String("REMOVE ev SET x = :yes"), ConditionExpression: aws.String("attribute_exists(pk)"),
		ExpressionAttributeValues: item{":yes": yes()},
	})
	if _, gone := errors.AsType[*types.ConditionalCheckFailedException](err); gone {
		return corrupt("the commit of stream %q at version %d is gone", c.stream, c.first)
	}
	return failRead(err)
}
