package mongo

import (
	"context"
	"fmt"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/go-es/es/driver"
)

// schemaVersion is the version of the collections, kept in the one document of meta.
const schemaVersion = 1

const (
	metaID     = "store"
	metaSchema = "schema"
	dirtyIndex = fieldDirty + "_1"
)

// createIndex creates the one index that the commits have besides that of _id: of what
// is not in the log.
func (s *Store) createIndex(ctx context.Context) error {
	marked := bson.D{{Key: fieldDirty, Value: bson.D{{Key: "$gt", Value: int64(0)}}}}
	_, err := s.commits.Indexes().CreateOne(ctx, mongo.IndexModel{
		Keys:    byField(fieldDirty, 1),
		Options: options.Index().SetName(dirtyIndex).SetPartialFilterExpression(marked),
	})
	return err
}

// prepare checks the servers and what is in the database, and creates what is
// missing.
func (s *Store) prepare(ctx context.Context) error {
	for pause := 10 * time.Millisecond; ; pause *= 2 {
		err := s.prepareOnce(ctx)
		if err == nil || isOurs(err) {
			return err
		}
		m, known := meaningOf(err)
		if !known && pause < time.Second {
			// Several processes that create the same may be in each other's way.
			if _, answered := codeOf(err); answered && ctx.Err() == nil {
				time.Sleep(pause)
				continue
			}
		}
		if known && !m.transient {
			return fail(err)
		}
		return driver.Transient(fail(err))
	}
}

func (s *Store) prepareOnce(ctx context.Context) error {
	if err := s.checkServer(ctx); err != nil {
		return err
	}
	if err := s.checkCollections(ctx); err != nil {
		return err
	}
	there, err := s.checkMeta(ctx)
	if err != nil {
		return err
	}
	if there {
		return s.checkIndexes(ctx)
	}
	if s.cfg.CheckOnly {
		return &driver.SchemaError{Known: schemaVersion}
	}
	if err := s.checkEmpty(ctx); err != nil {
		return err
	}
	if err := s.createIndex(ctx); err != nil {
		return err
	}
	_, err = s.meta.InsertOne(ctx, bson.D{{Key: fieldID, Value: metaID}, {Key: metaSchema, Value: int32(schemaVersion)}})
	if err != nil && !isDuplicate(err) {
		return err
	}
	if _, err = s.checkMeta(ctx); err != nil {
		return err
	}
	return s.checkIndexes(ctx)
}

// all are the store's collections.
func (s *Store) all() []*collection {
	return []*collection{&s.commits, &s.log, &s.checkpoints, &s.snapshots, &s.meta}
}

// checkCollections refuses collections in which a promise cannot be kept.
func (s *Store) checkCollections(ctx context.Context) error {
	cur, err := s.db.ListCollections(ctx, bson.D{})
	_, err = scan(ctx, cur, err, func(doc bson.Raw) (bool, error) {
		e, _ := lookup(doc, "name")
		name, ours := textOf(e), false
		for _, c := range s.all() {
			ours = ours || c.Name() == name
		}
		if !ours {
			return true, nil
		}
		if kind, _ := lookup(doc, "type"); textOf(kind) != "collection" {
			return false, refused(fmt.Sprintf("%s is a %s and not a collection: choose a prefix", name, textOf(kind)))
		}
		opts, _ := lookup(doc, "options")
		var err error
		each(opts.data, func(e element) bool {
			switch string(e.name) {
			case "capped", "collation", "timeseries", "expireAfterSeconds", "validator", "clusteredIndex", "viewOn":
				if e.kind != typeBoolean || e.data[0] != 0 {
					err = refused(fmt.Sprintf("the collection %s was created with %s: let the store create it, or choose a prefix", name, e.name))
				}
			}
			return err == nil
		})
		return err == nil, err
	})
	return err
}

// checkMeta reports whether there is a store, which this driver knows.
func (s *Store) checkMeta(ctx context.Context) (bool, error) {
	doc, err := one(s.meta.strict.FindOne(ctx, byID(metaID)))
	if err != nil || doc == nil {
		return false, err
	}
	e, _ := lookup(doc, metaSchema)
	version, ok := e.number()
	if !ok {
		return false, refused(fmt.Sprintf("the collection %s is not a store's: choose a prefix", s.meta.Name()))
	}
	if version != schemaVersion {
		return false, &driver.SchemaError{Found: int(version), Known: schemaVersion}
	}
	return true, nil
}

// checkEmpty refuses collections that have something in them and belong to no
// store. A store that was created meanwhile is one.
func (s *Store) checkEmpty(ctx context.Context) error {
	for _, c := range s.all() {
		doc, err := one(c.FindOne(ctx, bson.D{}, options.FindOne().SetProjection(byField(fieldID, 1))))
		if err != nil {
			return err
		}
		if doc == nil {
			continue
		}
		if there, err := s.checkMeta(ctx); err != nil || there {
			return err
		}
		return refused(fmt.Sprintf("the collection %s has documents, and there is no store: choose a prefix", c.Name()))
	}
	return nil
}

// checkIndexes creates what is missing, and refuses what must not be.
func (s *Store) checkIndexes(ctx context.Context) error {
	marks := false
	for _, c := range s.all() {
		cur, err := c.Indexes().List(ctx)
		_, err = scan(ctx, cur, err, func(doc bson.Raw) (bool, error) {
			e, _ := lookup(doc, "name")
			name := textOf(e)
			marks = marks || c == &s.commits && name == dirtyIndex
			unique, _ := lookup(doc, "unique")
			if name != "_id_" && unique.kind == typeBoolean && unique.data[0] != 0 {
				return false, refused(fmt.Sprintf("the index %s of the collection %s is unique: it may refuse what has to be stored; drop it", name, c.Name()))
			}
			if _, ttl := lookup(doc, "expireAfterSeconds"); ttl {
				return false, refused(fmt.Sprintf("the index %s of the collection %s lets documents expire: drop it", name, c.Name()))
			}
			return true, nil
		})
		if code, _ := codeOf(err); err != nil && code != 26 { // the collection is not there yet
			return err
		}
	}
	if marks {
		return nil
	}
	if s.cfg.CheckOnly {
		return &driver.SchemaError{Known: schemaVersion}
	}
	return s.createIndex(ctx)
}
