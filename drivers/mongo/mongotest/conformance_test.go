package mongotest

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	client "go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/go-es/es/conformance"
	"github.com/go-es/es/driver"
	"github.com/go-es/es/internal/cut"
	"github.com/go-es/es/internal/servers"
)

var caps = driver.Caps{
	MaxEventBytes:    4 << 20,
	MaxAppendEvents:  1_000,
	MaxAppendBytes:   4 << 20,
	MaxSnapshotBytes: 4 << 20,
	Gapless:          true,
	FilterFeed:       true,
}

func TestConformance(t *testing.T) {
	server := server(t)
	nobody := "mongodb://es:hunter2x@127.0.0.1:1/es?serverSelectionTimeoutMS=200"
	conformance.Run(t, conformance.Config{
		Open:      open,
		DSN:       func(t conformance.TB) string { return data(t, server) },
		Caps:      caps,
		FeedBound: servers.Bound,
		Processes: true,
		Beside:    func(t conformance.TB, dsn string) string { return with(dsn, "prefix=beside") },
		Restore:   restore,
		Malformed: []string{"", "nothing", "postgres://localhost/db", "mongodb://localhost:port/db", "mongodb://localhost", "mongodb://localhost/",
			in(server, "a b"), with(in(server, "es"), "prefix=A"), with(in(server, "es"), "prefix="+strings.Repeat("a", 25)),
			with(in(server, "es"), "ddl=no"), with(in(server, "es"), "settle=5"), with(in(server, "es"), "maxPoolSize=many")},
		Foreign: []func(conformance.TB) (string, func() error){
			foreign(server, "es_commits", bson.D{{Key: "x", Value: 1}}),
			foreign(server, "es_log", bson.D{{Key: "_id", Value: 1}}),
			foreign(server, "es_meta", bson.D{{Key: "_id", Value: "store"}}),
			foreign(server, "es_snapshots", bson.D{{Key: "_id", Value: "x"}}),
		},
		Newer: func(t conformance.TB, dsn string) func() {
			set := func(version int32) {
				must(t, use(dsn, func(ctx context.Context, db *client.Database) error {
					_, err := db.Collection(collection(dsn, "meta")).UpdateOne(ctx, bson.D{{Key: "_id", Value: "store"}},
						bson.D{{Key: "$set", Value: bson.D{{Key: "schema", Value: version}}}})
					return err
				}))
			}
			set(2)
			return func() { set(1) }
		},
		Secrets: []conformance.Secret{
			{DSN: nobody, Secret: "hunter2x"},
			{DSN: "mongodb://es:hunter2x@127.0.0.1:port/es", Secret: "hunter2x"},
			{DSN: "mongodb://es:hunter2x@[127.0.0.1/es?serverSelectionTimeoutMS=200", Secret: "hunter2x"},
			{DSN: "mongodb://es:hunter2x/@127.0.0.1/es", Secret: "hunter2x"},
			{DSN: "mongodb+srv://es:hunter2x@nothing.invalid/es", Secret: "hunter2x"},
			{DSN: with(nobody, "authMechanism=hunter2x"), Secret: "hunter2x"},
			{DSN: "es:hunter2x@tcp(127.0.0.1:1)/es", Secret: "hunter2x"},
		},
		Refused: []conformance.Refused{
			{DSN: with(in(server, "es"), "w=1"), Word: "w="},
			{DSN: with(in(server, "es"), "journal=false"), Word: "journal"},
			{DSN: with(in(server, "es"), "readConcernLevel=local"), Word: "readConcernLevel"},
			{DSN: with(in(server, "es"), "readPreference=secondaryPreferred"), Word: "readPreference"},
		},
		CheckOnly: func(dsn string) string { return with(dsn, "ddl=check") },
		Corrupt: []func(conformance.TB, string, string){
			damage(func(ctx context.Context, c *client.Collection, filter bson.D) error {
				_, err := c.UpdateOne(ctx, filter, bson.D{{Key: "$pop", Value: bson.D{{Key: "e", Value: -1}, {Key: "i", Value: -1}}}})
				return err
			}),
			damage(func(ctx context.Context, c *client.Collection, filter bson.D) error {
				_, err := c.UpdateOne(ctx, filter, bson.D{{Key: "$set", Value: bson.D{{Key: "e", Value: bson.A{}}}}})
				return err
			}),
			damage(func(ctx context.Context, c *client.Collection, filter bson.D) error {
				_, err := c.UpdateOne(ctx, filter, bson.D{{Key: "$set", Value: bson.D{{Key: "n", Value: 5}}}})
				return err
			}),
		},
		Fault: fault,
		Crash: crash,
	})
}

// A client of the caller's, with concerns of its own that must not count.
func TestConformanceOwnClient(t *testing.T) {
	server := server(t)
	conformance.Run(t, conformance.Config{
		Open: func(ctx context.Context, dsn string) (driver.Store, error) { return openOwn(ctx, dsn, nil, nil) },
		DSN: func(t conformance.TB) string {
			return with(data(t, server), "maxPoolSize=2", "retryWrites=false", "retryReads=false", "prefix=own")
		},
		Caps:      caps,
		FeedBound: servers.Bound,
		Restore:   restore,
		Fault:     fault,
	})
}

// crash makes data on a server of its own.
func crash(t conformance.TB) (dsn string, kill, revive func()) {
	tb, ok := t.(testing.TB)
	if !ok {
		t.Fatalf("%T is no testing.TB", t)
	}
	s := servers.Run(tb, "mongo")
	return in(s.DSN, "crashed"), s.Kill, s.Start
}

// damage changes the document that holds the second event of a stream.
func damage(change func(ctx context.Context, c *client.Collection, filter bson.D) error) func(conformance.TB, string, string) {
	return func(t conformance.TB, dsn, stream string) {
		must(t, use(dsn, func(ctx context.Context, db *client.Database) error {
			c := db.Collection(collection(dsn, "commits"))
			var doc struct {
				ID string `bson:"_id"`
			}
			filter := bson.D{{Key: "_id", Value: bson.D{{Key: "$gte", Value: stream + "\x00"}, {Key: "$lte", Value: stream + "\x000000000000000002"}}}}
			if err := c.FindOne(ctx, filter, options.FindOne().SetSort(bson.D{{Key: "_id", Value: -1}})).Decode(&doc); err != nil {
				return err
			}
			return change(ctx, c, bson.D{{Key: "_id", Value: doc.ID}})
		}))
	}
}

// restore copies the collections, and puts the copies in their place.
func restore(t conformance.TB, dsn string) func() {
	copies := map[string][]any{}
	must(t, use(dsn, func(ctx context.Context, db *client.Database) error {
		for _, name := range []string{"commits", "log", "checkpoints", "snapshots"} {
			name = collection(dsn, name)
			cur, err := db.Collection(name).Find(ctx, bson.D{})
			if err != nil {
				return err
			}
			var docs []bson.Raw
			if err := cur.All(ctx, &docs); err != nil {
				return err
			}
			copies[name] = nil
			for _, doc := range docs {
				copies[name] = append(copies[name], doc)
			}
		}
		return nil
	}))
	return func() {
		must(t, use(dsn, func(ctx context.Context, db *client.Database) error {
			for name, docs := range copies {
				if _, err := db.Collection(name).DeleteMany(ctx, bson.D{}); err != nil {
					return err
				}
				if len(docs) > 0 {
					if _, err := db.Collection(name).InsertMany(ctx, docs); err != nil {
						return err
					}
				}
			}
			return nil
		}))
	}
}

// foreign makes a collection that is not a store's.
func foreign(server, name string, doc bson.D) func(conformance.TB) (string, func() error) {
	return func(t conformance.TB) (string, func() error) {
		dsn := data(t, server)
		must(t, use(dsn, func(ctx context.Context, db *client.Database) error {
			_, err := db.Collection(name).InsertOne(ctx, doc)
			return err
		}))
		before := content(t, dsn)
		return dsn, func() error {
			if after := content(t, dsn); after != before {
				return fmt.Errorf("the database was changed: before %s, after %s", before, after)
			}
			return nil
		}
	}
}

// content returns what is in a database.
func content(t conformance.TB, dsn string) string {
	var b strings.Builder
	must(t, use(dsn, func(ctx context.Context, db *client.Database) error {
		names, err := db.ListCollectionNames(ctx, bson.D{})
		if err != nil {
			return err
		}
		for _, name := range names {
			cur, err := db.Collection(name).Find(ctx, bson.D{})
			if err != nil {
				return err
			}
			var docs []bson.Raw
			if err := cur.All(ctx, &docs); err != nil {
				return err
			}
			indexes, err := db.Collection(name).Indexes().ListSpecifications(ctx)
			if err != nil {
				return err
			}
			fmt.Fprintln(&b, name, docs, len(indexes))
		}
		return nil
	}))
	return b.String()
}

// fault opens a client whose connections are cut on demand.
func fault(t conformance.TB, dsn string) conformance.Faulty {
	line := &cut.Line{Writes: writes, Done: answered}
	s, err := openOwn(t.Context(), dsn, func(o *options.ClientOptions) { o.SetDialer(line) }, line.Close)
	must(t, err)
	return conformance.Faulty{
		Store:   s,
		Break:   line.Break,
		BreakAt: line.BreakAt,
		Late:    line.Late,
		Down:    func() func() { return line.Down(cut.Held) },
	}
}

// writes reports whether a request changes something: whether its command, the name
// of the first element of its document, does.
func writes(sent []byte) bool {
	const section = 16 + 4 + 1 // the head of the message, its flags, the kind of the section
	if len(sent) < section+5 || sent[section-1] != 0 {
		return false
	}
	name, _, _ := bytes.Cut(sent[section+5:], []byte{0})
	switch string(name) {
	case "insert", "update", "delete":
		return true
	}
	return false
}

// answered reports whether an answer is whole.
func answered(answer []byte) bool {
	return len(answer) >= 4 && len(answer) >= int(binary.LittleEndian.Uint32(answer))
}
