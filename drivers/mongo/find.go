package mongo

import (
	"context"
	"errors"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/go-es/es/driver"
)

// withoutEvents is what of a commit says where it stands.
var withoutEvents = bson.D{{Key: fieldEvents, Value: 0}}

// between is the filter of keys at or above the one and below the other.
func between(low, high string) bson.D {
	return bson.D{{Key: fieldID, Value: bson.D{{Key: "$gte", Value: low}, {Key: "$lt", Value: high}}}}
}

func byID(id any) bson.D { return bson.D{{Key: fieldID, Value: id}} }

var (
	ascending  = byID(1)
	descending = byID(-1)
)

// one returns the document that an answer has, or nil.
func one(r *mongo.SingleResult) (bson.Raw, error) {
	doc, err := r.Raw()
	if errors.Is(err, mongo.ErrNoDocuments) {
		return nil, nil
	}
	return doc, err
}

// oneCommit returns the commit that an answer has, without its events, or nil.
func oneCommit(r *mongo.SingleResult) (*commit, error) {
	doc, err := one(r)
	if err != nil || doc == nil {
		return nil, err
	}
	return decode(doc)
}

// lastBelow returns the last commit of a stream whose key is below another one,
// without its events, or nil.
func lastBelow(ctx context.Context, c *mongo.Collection, stream, below string) (*commit, error) {
	return oneCommit(c.FindOne(ctx, between(low(stream), below), options.FindOne().SetSort(descending).SetProjection(withoutEvents)))
}

// tail returns the last commit of a stream, without its events, or nil.
func (s *Store) tail(ctx context.Context, stream string) (*commit, error) {
	return lastBelow(ctx, s.commits.Collection, stream, high(stream))
}

// strictTail is tail by a read that cannot be stale.
func (s *Store) strictTail(ctx context.Context, stream string) (*commit, error) {
	return lastBelow(ctx, s.commits.strict, stream, high(stream))
}

// strictCommit returns the commit that begins at a version, without its events, or
// nil, by a read that cannot be stale.
func (s *Store) strictCommit(ctx context.Context, stream string, first driver.Version) (*commit, error) {
	return oneCommit(s.commits.strict.FindOne(ctx, byID(key(stream, first)), options.FindOne().SetProjection(withoutEvents)))
}

// fewEvents is up to how many events of a commit that has more are fetched without
// the others.
const fewEvents = 100

// commitPart returns a commit with its events of some versions only, or nil.
func (s *Store) commitPart(ctx context.Context, stream string, first, from, to driver.Version) (*commit, error) {
	skip, n := from-first, to-from+1
	some := bson.D{{Key: fieldEvents, Value: bson.D{{Key: "$slice", Value: bson.A{int64(skip), int64(n)}}}}}
	doc, err := one(s.commits.FindOne(ctx, byID(key(stream, first)), options.FindOne().SetProjection(some)))
	if err != nil || doc == nil {
		return nil, err
	}
	return decodePart(doc, skip, n)
}

// scan calls f with the documents of a cursor until it returns false or an error.
// It reports whether it came to the end.
func scan(ctx context.Context, cur *mongo.Cursor, err error, f func(doc bson.Raw) (bool, error)) (end bool, _ error) {
	if err != nil {
		return false, err
	}
	defer cur.Close(ctx)
	for cur.Next(ctx) {
		if more, err := f(cur.Current); err != nil || !more {
			return false, err
		}
	}
	return cur.Err() == nil, cur.Err()
}

// found reports whether the versions after base have the ids of records, in order.
// They are there: the stream's last commit is not below them.
func (s *Store) found(ctx context.Context, last *commit, base driver.Version, records []driver.Record) (bool, error) {
	stream, next, end := last.stream, base+1, base+driver.Version(len(records))
	same := true
	compare := func(c *commit) (bool, error) {
		if c.first > next {
			return false, corrupt("version %d of stream %q is missing", next, stream)
		}
		for ; next <= min(c.last, end); next++ {
			same = same && c.ids[next-c.first] == records[next-base-1].ID
		}
		return same, nil
	}
	if last.first <= next {
		_, err := compare(last)
		return same, err
	}
	cur, err := s.commits.Find(ctx, between(key(stream, base+1), key(stream, end+1)), options.Find().SetSort(ascending).SetProjection(withoutEvents))
	_, err = scan(ctx, cur, err, func(doc bson.Raw) (bool, error) {
		c, err := decode(doc)
		if err == nil && c.first > next && next == base+1 { // it lies in a commit that begins before it
			var before *commit
			if before, err = lastBelow(ctx, s.commits.Collection, stream, key(stream, next)); err == nil && before != nil {
				_, err = compare(before)
			}
		}
		if err != nil {
			return false, err
		}
		return compare(c)
	})
	if err == nil && same && next == base+1 { // all lie in one
		var before *commit
		if before, err = lastBelow(ctx, s.commits.Collection, stream, key(stream, next)); err == nil && before != nil {
			_, err = compare(before)
		}
	}
	if err == nil && same && next <= end {
		err = corrupt("version %d of stream %q is missing", next, stream)
	}
	return same && err == nil, err
}
