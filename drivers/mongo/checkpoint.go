package mongo

import (
	"context"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/go-es/es/driver"
)

// The fields of a checkpoint's document, beside _id, its name.
const (
	fieldPosition = "p"
	fieldSeenAt   = "a"
	fieldSeenID   = "s"
	fieldRevision = "r"
)

func uuid(id driver.ID) bson.Binary { return bson.Binary{Subtype: subtypeUUID, Data: id[:]} }

func decodeCheckpoint(doc bson.Raw) (driver.Checkpoint, error) {
	var cp driver.Checkpoint
	id := func(to *driver.ID, e element) bool {
		b, ok := e.bytes()
		return ok && copy(to[:], b) == len(to)
	}
	position := func(to *driver.Position, e element) bool {
		n, ok := e.number()
		*to = driver.Position(n)
		return ok && n >= 0
	}
	good := each(doc, func(e element) (ok bool) {
		switch string(e.name) {
		case fieldID:
			var name []byte
			name, ok = e.text()
			cp.Name = string(name)
		case fieldPosition:
			ok = position(&cp.Position, e)
		case fieldSeenAt:
			ok = position(&cp.SeenAt, e)
		case fieldSeenID:
			ok = id(&cp.SeenID, e)
		case fieldRevision:
			ok = id(&cp.Revision, e)
		default:
			ok = true
		}
		return ok
	})
	if !good || cp.Name == "" || cp.Revision.IsZero() {
		return driver.Checkpoint{}, corrupt("the checkpoint %q cannot be read", cp.Name)
	}
	return cp, nil
}

// LoadCheckpoint returns a checkpoint, or the zero one.
func (s *Store) LoadCheckpoint(ctx context.Context, name string) (cp driver.Checkpoint, err error) {
	err = s.read(ctx, func(ctx context.Context) error {
		cp, err = s.checkpoint(ctx, name)
		return err
	})
	return cp, err
}

// checkpoint returns a checkpoint by a read that cannot be stale.
func (s *Store) checkpoint(ctx context.Context, name string) (driver.Checkpoint, error) {
	doc, err := one(s.checkpoints.strict.FindOne(ctx, byID(name)))
	if err != nil || doc == nil {
		return driver.Checkpoint{}, err
	}
	return decodeCheckpoint(doc)
}

// SaveCheckpoint writes a checkpoint if the revision is as it was.
func (s *Store) SaveCheckpoint(ctx context.Context, cp driver.Checkpoint, prev driver.Revision) error {
	fields := bson.D{
		{Key: fieldPosition, Value: int64(cp.Position)},
		{Key: fieldSeenAt, Value: int64(cp.SeenAt)},
		{Key: fieldSeenID, Value: uuid(cp.SeenID)},
		{Key: fieldRevision, Value: uuid(cp.Revision)},
	}
	err := s.settle(ctx, func(ctx context.Context) error {
		var saved bool
		var err error
		if prev.IsZero() {
			_, err = s.checkpoints.InsertOne(ctx, append(byID(cp.Name), fields...))
			if saved = err == nil; isDuplicate(err) {
				err = nil
			}
		} else {
			filter := append(byID(cp.Name), bson.E{Key: fieldRevision, Value: uuid(prev)})
			r, e := s.checkpoints.UpdateOne(ctx, filter, bson.D{{Key: "$set", Value: fields}})
			err, saved = e, e == nil && r.MatchedCount > 0
		}
		if err != nil || saved {
			return err
		}
		is, err := s.checkpoint(ctx, cp.Name)
		if err != nil {
			return s.failLook(ctx, err)
		}
		if is.Revision != cp.Revision {
			return driver.ErrCheckpointConflict
		}
		return nil
	})
	return unknown(err)
}

// listCheckpoints is how many checkpoints a page has without a limit, and at most.
const listCheckpoints = 1000

// ListCheckpoints returns a page of the checkpoints.
func (s *Store) ListCheckpoints(ctx context.Context, q driver.CheckpointQuery) (driver.CheckpointPage, error) {
	limit := listCheckpoints
	if q.Limit > 0 {
		limit = min(q.Limit, listCheckpoints)
	}
	page := driver.CheckpointPage{End: true}
	err := s.read(ctx, func(ctx context.Context) error {
		opts := options.Find().SetSort(ascending).SetLimit(int64(limit) + 1).SetBatchSize(int32(limit) + 2)
		cur, err := s.checkpoints.Find(ctx, byID(bson.D{{Key: "$gt", Value: q.After}}), opts)
		_, err = scan(ctx, cur, err, func(doc bson.Raw) (bool, error) {
			if len(page.Checkpoints) == limit {
				page.End = false
				return false, nil
			}
			cp, err := decodeCheckpoint(doc)
			page.Checkpoints = append(page.Checkpoints, cp)
			page.Next = cp.Name
			return true, err
		})
		return err
	})
	if err != nil {
		return driver.CheckpointPage{}, err
	}
	return page, nil
}

// DeleteCheckpoint removes a checkpoint.
func (s *Store) DeleteCheckpoint(ctx context.Context, name string) error {
	return unknown(s.settle(ctx, func(ctx context.Context) error {
		_, err := s.checkpoints.DeleteOne(ctx, byID(name))
		return err
	}))
}
