package dynamodb

import (
	"context"
	"math"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/go-es/es/driver"
)

const (
	attrEvent    = "event" // B: the id of the last event in a snapshot
	attrEncoding = "enc"   // S
	attrData     = "d"     // B
)

// LoadSnapshot returns a snapshot, or the zero one.
func (s *Store) LoadSnapshot(ctx context.Context, stream, kind string) (snap driver.Snapshot, err error) {
	err = s.do(ctx, func(ctx context.Context) error {
		out, err := s.client.GetItem(ctx, &dynamodb.GetItemInput{TableName: s.table, Key: keyOf(snapshotsKey(stream), kind), ConsistentRead: aws.Bool(true)})
		if err != nil || len(out.Item) == 0 {
			return err
		}
		version, err := getNumber(out.Item, attrVersion)
		if err != nil {
			return err
		}
		if version == noVersion || version == endVersion {
			return nil
		}
		snap = driver.Snapshot{
			Stream: stream, Kind: kind, Version: driver.Version(version),
			Encoding: getString(out.Item, attrEncoding), Data: getBytes(out.Item, attrData),
		}
		if snap.Encoding == "" || copy(snap.EventID[:], getBytes(out.Item, attrEvent)) != len(snap.EventID) {
			return corrupt("the snapshot %q of stream %q", kind, stream)
		}
		return nil
	})
	if err != nil {
		return driver.Snapshot{}, err
	}
	return snap, nil
}

// The versions of what stands in the place of a snapshot that is there no more, empty:
// noVersion of one that was deleted, and endVersion where its stream was closed. A
// SaveSnapshot that arrives late finds the latter, and is older. No snapshot has them.
const (
	noVersion  = 0
	endVersion = math.MaxInt64
)

// SaveSnapshot writes a snapshot unless there is a newer one, and looks then whether
// the stream is closed.
func (s *Store) SaveSnapshot(ctx context.Context, snap driver.Snapshot) error {
	return s.do(ctx, func(ctx context.Context) error {
		it := keyOf(snapshotsKey(snap.Stream), snap.Kind)
		it[attrVersion], it[attrEvent] = num(snap.Version), bin(snap.EventID[:])
		it[attrEncoding], it[attrData] = str(snap.Encoding), bin(snap.Data)
		in := &dynamodb.PutItemInput{
			TableName: s.table, Item: it, ConditionExpression: aws.String("attribute_not_exists(pk) OR v <= :v"),
			ExpressionAttributeValues: item{":v": num(snap.Version)},
		}
		err := s.write(ctx, func(ctx context.Context) error {
			_, err := s.once.PutItem(ctx, in)
			return err
		})
		if _, newer := err.(*refusedError); err != nil && !newer {
			return unknown(err)
		}
		ctx, cancel := s.outlive(ctx)
		defer cancel()
		tail, err := s.tail(ctx, snap.Stream)
		if err == nil && tail.state().Closed {
			if err = s.eraseSnapshots(ctx, snap.Stream); err == nil {
				return deleted(snap.Stream)
			}
		}
		if err != nil {
			return unknown(&unsureError{err})
		}
		return nil
	})
}

// DeleteSnapshot empties a snapshot, if it is there. Its item stays, or a Delete of the
// stream would find none to end.
func (s *Store) DeleteSnapshot(ctx context.Context, stream, kind string) error {
	return s.do(ctx, func(ctx context.Context) error {
		it := keyOf(snapshotsKey(stream), kind)
		it[attrVersion] = num(uint64(noVersion))
		in := &dynamodb.PutItemInput{
			TableName: s.table, Item: it, ConditionExpression: aws.String("v < :end"),
			ExpressionAttributeValues: item{":end": num(uint64(endVersion))},
		}
		err := s.write(ctx, func(ctx context.Context) error {
			_, err := s.once.PutItem(ctx, in)
			return err
		})
		if _, refused := err.(*refusedError); refused { // there is none, or its stream is closed
			return nil
		}
		return unknown(err)
	})
}

// eraseSnapshots empties all snapshots of a stream for good.
func (s *Store) eraseSnapshots(ctx context.Context, stream string) error {
	var after item
	for {
		out, err := s.client.Query(ctx, &dynamodb.QueryInput{
			TableName: s.table, ConsistentRead: aws.Bool(true), ExclusiveStartKey: after, ProjectionExpression: aws.String("pk, sk"),
			KeyConditionExpression: aws.String("pk = :p"), FilterExpression: aws.String("v < :end"),
			ExpressionAttributeValues: item{":p": str(snapshotsKey(stream)), ":end": num(uint64(endVersion))},
		})
		if err != nil {
			return failRead(err)
		}
		err = parallel(len(out.Items), erasing, func(i int) error {
			it := keyOf(getString(out.Items[i], pk), getString(out.Items[i], sk))
			it[attrVersion] = num(uint64(endVersion))
			_, err := s.client.PutItem(ctx, &dynamodb.PutItemInput{TableName: s.table, Item: it})
			return failRead(err)
		})
		if err != nil || len(out.LastEvaluatedKey) == 0 {
			return err
		}
		after = out.LastEvaluatedKey
	}
}
