package mongotest

import (
	"context"
	"encoding/json"
	"math"
	"slices"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	client "go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/writeconcern"

	"github.com/go-es/es"
	"github.com/go-es/es/conformance"
	"github.com/go-es/es/driver"
	"github.com/go-es/es/drivers/mongo"
	"github.com/go-es/es/internal/benchtest"
)

// BenchmarkDriver measures the driver alone. What package es on it costs beside
// hand-written code is measured by BenchmarkES.
func BenchmarkDriver(b *testing.B) {
	server := server(b)
	conformance.Bench(b, conformance.Config{Open: open, DSN: func(t conformance.TB) string { return data(t, server) }})
}

// BenchmarkES puts package es on this driver beside hand-written code on the client.
func BenchmarkES(b *testing.B) { benchtest.Beside(b, beside(b)) }

// BenchmarkLate is how late events are delivered.
func BenchmarkLate(b *testing.B) { benchtest.Late(b, beside(b)) }

func beside(b *testing.B) benchtest.Config {
	server := server(b)
	return benchtest.Config{
		Server: func(b *testing.B) (name string) {
			must(b, use(in(server, "admin"), func(ctx context.Context, db *client.Database) error {
				var info struct {
					Version  string
					FerretDB struct{ Version string }
				}
				err := db.RunCommand(ctx, bson.D{{Key: "buildInfo", Value: 1}}).Decode(&info)
				if name = "MongoDB " + info.Version; info.FerretDB.Version != "" {
					name = "FerretDB " + info.FerretDB.Version + " as " + name
				}
				return err
			}))
			return name
		},
		Data: func(b *testing.B) string { return data(b, server) },
		Raw:  func(b *testing.B, dsn string, create bool) benchtest.Raw { return openRaw(b, dsn) },
		Open: func(b *testing.B, dsn string) *es.Store {
			s, err := es.Open("mongo", dsn)
			must(b, err)
			b.Cleanup(func() { must(b, s.Close()) })
			return s
		},
	}
}

// raw is a store written by hand on the client: a document for each event, whose _id
// is its stream and version. Several are the client's batch, which is not a
// transaction. It has no feed: it gets by key, in the order in which it is told.
type raw struct{ c *client.Collection }

type rawEvent struct {
	Key     rawKey    `bson:"_id"`
	ID      [16]byte  `bson:"id"`
	Type    string    `bson:"type"`
	Time    time.Time `bson:"time"`
	Payload []byte    `bson:"payload"`
}

// rawKey is ordered as its fields are.
type rawKey struct {
	Stream  string `bson:"s"`
	Version int    `bson:"v"`
}

// openRaw needs no tables: the first insert makes them.
func openRaw(b *testing.B, dsn string) *raw {
	cfg, err := mongo.ParseDSN(dsn)
	must(b, err)
	journal := true
	c, err := client.Connect(cfg.Client.SetWriteConcern(&writeconcern.WriteConcern{W: writeconcern.WCMajority, Journal: &journal}))
	must(b, err)
	b.Cleanup(func() { c.Disconnect(context.Background()) })
	return &raw{c.Database(cfg.Database).Collection("events")}
}

func (r *raw) Append(ctx context.Context, stream string, base int, events ...benchtest.Deposited) error {
	docs := make([]any, len(events))
	for i := range events {
		data, err := json.Marshal(events[i])
		if err != nil {
			return err
		}
		now := time.Now()
		docs[i] = rawEvent{rawKey{stream, base + 1 + i}, driver.NewID(now), events[i].EventType(), now, data}
	}
	if len(docs) == 1 {
		_, err := r.c.InsertOne(ctx, docs[0])
		return err
	}
	_, err := r.c.InsertMany(ctx, docs)
	return err
}

func (r *raw) AppendAny(ctx context.Context, stream string, events ...benchtest.Deposited) error {
	for {
		base := 0
		var last rawEvent
		err := r.c.FindOne(ctx, ofStream(stream), options.FindOne().SetSort(bson.D{{Key: "_id", Value: -1}})).Decode(&last)
		switch {
		case err == nil:
			base = last.Key.Version
		case err != client.ErrNoDocuments:
			return err
		}
		if err = r.Append(ctx, stream, base, events...); !client.IsDuplicateKeyError(err) {
			return err
		}
	}
}

func ofStream(stream string) bson.D {
	return bson.D{{Key: "_id", Value: bson.D{{Key: "$gte", Value: rawKey{stream, 0}}, {Key: "$lt", Value: rawKey{stream, math.MaxInt32}}}}}
}

func (r *raw) ReadStream(ctx context.Context, stream string, f func(*benchtest.Deposited)) error {
	return r.find(ctx, ofStream(stream), options.Find().SetSort(bson.D{{Key: "_id", Value: 1}}).SetBatchSize(1001), func(e *rawEvent) error {
		return give(e.Payload, f)
	})
}

func (r *raw) ReadAll(ctx context.Context, runs []benchtest.Run, f func(*benchtest.Deposited)) error {
	var keys []rawKey
	for _, run := range runs {
		for v := run.From; v <= run.To; v++ {
			keys = append(keys, rawKey{run.Stream, v})
		}
	}
	for some := range slices.Chunk(keys, 1000) {
		payloads := make(map[rawKey][]byte, len(some))
		err := r.find(ctx, bson.D{{Key: "_id", Value: bson.D{{Key: "$in", Value: some}}}}, options.Find().SetBatchSize(1001), func(e *rawEvent) error {
			payloads[e.Key] = e.Payload
			return nil
		})
		if err != nil {
			return err
		}
		for _, key := range some {
			if err := give(payloads[key], f); err != nil {
				return err
			}
		}
	}
	return nil
}

func (r *raw) find(ctx context.Context, filter bson.D, o *options.FindOptionsBuilder, f func(*rawEvent) error) error {
	cur, err := r.c.Find(ctx, filter, o)
	if err != nil {
		return err
	}
	defer cur.Close(ctx)
	for cur.Next(ctx) {
		var e rawEvent
		if err := cur.Decode(&e); err != nil {
			return err
		}
		if err := f(&e); err != nil {
			return err
		}
	}
	return cur.Err()
}

func give(data []byte, f func(*benchtest.Deposited)) error {
	var d benchtest.Deposited
	if err := json.Unmarshal(data, &d); err != nil {
		return err
	}
	f(&d)
	return nil
}
