package mongo

import (
	"bytes"
	"context"
	"math"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/go-es/es/driver"
)

// The fields of a snapshot's document, beside _id, which is its stream and its kind
// with a zero byte between them; the encoding and the data are named as an event's.
const (
	fieldVersion = "v"
	fieldEventID = "i"
)

func snapshotKey(stream, kind string) string { return stream + "\x00" + kind }

// LoadSnapshot returns a snapshot, or the zero one.
func (s *Store) LoadSnapshot(ctx context.Context, stream, kind string) (driver.Snapshot, error) {
	var snap driver.Snapshot
	err := s.read(ctx, func(ctx context.Context) error {
		doc, err := one(s.snapshots.FindOne(ctx, byID(snapshotKey(stream, kind))))
		if err != nil || doc == nil {
			return err
		}
		snap = driver.Snapshot{Stream: stream, Kind: kind}
		good := each(doc, func(e element) (ok bool) {
			ok = true
			var b []byte
			switch string(e.name) {
			case fieldVersion:
				var n int64
				n, ok = e.number()
				snap.Version = driver.Version(n)
			case fieldEventID:
				b, ok = e.bytes()
				ok = ok && copy(snap.EventID[:], b) == len(snap.EventID)
			case fieldEncoding:
				b, ok = e.text()
				snap.Encoding = string(b)
			case fieldData:
				b, ok = e.bytes()
				snap.Data = bytes.Clone(b)
			}
			return ok
		})
		if good && (snap.Version == noVersion || snap.Version == endVersion) {
			snap = driver.Snapshot{}
			return nil
		}
		if !good || snap.Encoding == "" || snap.EventID.IsZero() {
			return corrupt("the snapshot %q of stream %q cannot be read", kind, stream)
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

// empty is the update that empties snapshots.
func empty(version int64) bson.D {
	return bson.D{
		{Key: "$set", Value: bson.D{{Key: fieldVersion, Value: version}}},
		{Key: "$unset", Value: bson.D{{Key: fieldEventID, Value: ""}, {Key: fieldEncoding, Value: ""}, {Key: fieldData, Value: ""}}},
	}
}

// endSnapshots empties the snapshots of a stream for good.
func (s *Store) endSnapshots(ctx context.Context, stream string) error {
	_, err := s.snapshots.UpdateMany(ctx, between(low(stream), high(stream)), empty(endVersion))
	return err
}

// SaveSnapshot writes first, and looks then whether the stream is closed.
func (s *Store) SaveSnapshot(ctx context.Context, snap driver.Snapshot) error {
	id := snapshotKey(snap.Stream, snap.Kind)
	fields := bson.D{
		{Key: fieldVersion, Value: int64(snap.Version)},
		{Key: fieldEventID, Value: uuid(snap.EventID)},
		{Key: fieldEncoding, Value: snap.Encoding},
		{Key: fieldData, Value: bson.Binary{Data: snap.Data}},
	}
	return unknown(s.settle(ctx, func(ctx context.Context) error {
		if err := s.keepSnapshot(ctx, id, int64(snap.Version), fields); err != nil {
			return err
		}
		last, err := s.strictTail(ctx, snap.Stream)
		if err != nil {
			return &unsureError{s.failRead(ctx, err)}
		}
		if !last.state().Closed {
			return nil
		}
		if err := s.endSnapshots(ctx, snap.Stream); err != nil {
			return &unsureError{fail(err)}
		}
		return deleted(snap.Stream)
	}))
}

// keepSnapshot writes a snapshot unless there is a newer one. It never asks for an
// upsert: of two of these at once, servers have lost one.
func (s *Store) keepSnapshot(ctx context.Context, id string, version int64, fields bson.D) error {
	older := append(byID(id), bson.E{Key: fieldVersion, Value: bson.D{{Key: "$lte", Value: version}}})
	for {
		r, err := s.snapshots.UpdateOne(ctx, older, bson.D{{Key: "$set", Value: fields}})
		if err != nil || r.MatchedCount > 0 {
			return err
		}
		_, err = s.snapshots.InsertOne(ctx, append(byID(id), fields...))
		if !isDuplicate(err) {
			return err
		}
		// One is there, which may be newer, or have come just now.
		r, err = s.snapshots.UpdateOne(ctx, older, bson.D{{Key: "$set", Value: fields}})
		if err != nil || r.MatchedCount > 0 {
			return err
		}
		doc, err := one(s.snapshots.strict.FindOne(ctx, append(byID(id), bson.E{Key: fieldVersion, Value: bson.D{{Key: "$gt", Value: version}}})))
		if err != nil {
			return &unsureError{s.failRead(ctx, err)}
		}
		if doc != nil {
			return nil
		}
	}
}

// DeleteSnapshot empties a snapshot. Its document stays, or a Delete of the stream
// would find none to end.
func (s *Store) DeleteSnapshot(ctx context.Context, stream, kind string) error {
	return unknown(s.settle(ctx, func(ctx context.Context) error {
		open := append(byID(snapshotKey(stream, kind)), bson.E{Key: fieldVersion, Value: bson.D{{Key: "$lt", Value: int64(endVersion)}}})
		_, err := s.snapshots.UpdateOne(ctx, open, empty(noVersion))
		return err
	}))
}
