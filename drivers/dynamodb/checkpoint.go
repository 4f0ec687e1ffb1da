package dynamodb

import (
	"context"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/go-es/es/driver"
)

const (
	checkpointsKey = "c"

	attrRevision = "rev"    // B
	attrSeenAt   = "seenat" // N
	attrSeenID   = "seenid" // B
)

// highest is a string above every name.
var highest = strings.Repeat("\U0010FFFF", driver.MaxNameBytes/4+1)

// following returns the lowest name after one, or the lowest of all: names have no
// NUL.
func following(name string) string { return name + "\x01" }

// LoadCheckpoint returns a checkpoint, or the zero one.
func (s *Store) LoadCheckpoint(ctx context.Context, name string) (cp driver.Checkpoint, err error) {
	err = s.do(ctx, func(ctx context.Context) error {
		out, err := s.client.GetItem(ctx, &dynamodb.GetItemInput{TableName: s.table, Key: keyOf(checkpointsKey, name), ConsistentRead: aws.Bool(true)})
		if err != nil || len(out.Item) == 0 {
			return err
		}
		cp, err = parseCheckpoint(out.Item)
		return err
	})
	if err != nil {
		return driver.Checkpoint{}, err
	}
	return cp, nil
}

func parseCheckpoint(it item) (driver.Checkpoint, error) {
	cp := driver.Checkpoint{Name: getString(it, sk)}
	pos, err1 := getNumber(it, attrPosition)
	seen, err2 := getNumber(it, attrSeenAt)
	if err1 != nil || err2 != nil || copy(cp.Revision[:], getBytes(it, attrRevision)) != len(cp.Revision) {
		return driver.Checkpoint{}, corrupt("the checkpoint %q", cp.Name)
	}
	cp.Position, cp.SeenAt = driver.Position(pos), driver.Position(seen)
	copy(cp.SeenID[:], getBytes(it, attrSeenID))
	return cp, nil
}

// SaveCheckpoint writes a checkpoint if the revision is as it was.
func (s *Store) SaveCheckpoint(ctx context.Context, cp driver.Checkpoint, prev driver.Revision) error {
	return s.do(ctx, func(ctx context.Context) error {
		it := keyOf(checkpointsKey, cp.Name)
		it[attrPosition], it[attrSeenAt] = num(cp.Position), num(cp.SeenAt)
		it[attrSeenID], it[attrRevision] = bin(cp.SeenID[:]), bin(cp.Revision[:])
		in := &dynamodb.PutItemInput{
			TableName: s.table, Item: it, ConditionExpression: aws.String(notThere),
			ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
		}
		if !prev.IsZero() {
			in.ConditionExpression, in.ExpressionAttributeValues = aws.String("rev = :r"), item{":r": bin(prev[:])}
		}
		err := s.write(ctx, func(ctx context.Context) error {
			_, err := s.once.PutItem(ctx, in)
			return err
		})
		if r, refused := err.(*refusedError); refused {
			if len(r.items[0]) > 0 {
				if there, err := parseCheckpoint(r.items[0]); err != nil || there.Revision == cp.Revision {
					return err
				}
			}
			return driver.ErrCheckpointConflict
		}
		return unknown(err)
	})
}

// ListCheckpoints returns a page of the checkpoints.
func (s *Store) ListCheckpoints(ctx context.Context, q driver.CheckpointQuery) (page driver.CheckpointPage, err error) {
	err = s.do(ctx, func(ctx context.Context) error {
		out, err := s.client.Query(ctx, &dynamodb.QueryInput{
			TableName: s.table, ConsistentRead: aws.Bool(true), Limit: aws.Int32(limited(q.Limit)),
			KeyConditionExpression:    aws.String("pk = :p AND sk BETWEEN :low AND :high"),
			ExpressionAttributeValues: item{":p": str(checkpointsKey), ":low": str(following(q.After)), ":high": str(highest)},
		})
		if err != nil {
			return err
		}
		for _, it := range out.Items {
			cp, err := parseCheckpoint(it)
			if err != nil {
				return err
			}
			page.Checkpoints = append(page.Checkpoints, cp)
			page.Next = cp.Name
		}
		page.End = len(out.LastEvaluatedKey) == 0
		return nil
	})
	if err != nil {
		return driver.CheckpointPage{}, err
	}
	return page, nil
}

// DeleteCheckpoint removes a checkpoint, if it is there.
func (s *Store) DeleteCheckpoint(ctx context.Context, name string) error {
	return s.do(ctx, func(ctx context.Context) error {
		in := &dynamodb.DeleteItemInput{TableName: s.table, Key: keyOf(checkpointsKey, name)}
		return unknown(s.write(ctx, func(ctx context.Context) error {
			_, err := s.once.DeleteItem(ctx, in)
			return err
		}))
	})
}
