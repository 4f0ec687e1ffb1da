package mongo

import (
	"context"
	"errors"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/readconcern"
	"go.mongodb.org/mongo-driver/v2/mongo/readpref"
	"go.mongodb.org/mongo-driver/v2/mongo/writeconcern"

	"github.com/go-es/es/driver"
	"github.com/go-es/es/driver/sequencer"
	"github.com/go-es/es/internal/gate"
	"github.com/go-es/es/internal/opener"
	"github.com/go-es/es/internal/recent"
)

func init() { driver.Register("mongo", opener.Of(ParseDSN, Open)) }

// Store is an open store. Besides driver.Store it implements CheckpointStore,
// SnapshotStore, GroupAppender and Settler.
type Store struct {
	cfg     Config
	client  *mongo.Client
	own     bool // the client is the store's to end
	db      *mongo.Database
	heads   heads
	entries recent.Map[entry] // of streams, into pages that begin within them
	seq     *sequencer.Sequencer
	gate    *gate.Gate

	// Reads see what a majority of the servers has. Those of strict wait until the
	// server has proved that it still is the primary: they are never stale.
	commits, log, checkpoints, snapshots, meta collection
}

type collection struct {
	*mongo.Collection
	strict *mongo.Collection
}

var _ interface {
	driver.Store
	driver.CheckpointStore
	driver.SnapshotStore
	driver.GroupAppender
	driver.Settler
} = (*Store)(nil)

// Open connects to the servers of a configuration, checks them, and creates what is
// missing. The context bounds opening only.
func Open(ctx context.Context, cfg Config) (*Store, error) {
	if cfg.Client == nil {
		return nil, invalid("Config.Client is nil: ParseDSN sets it")
	}
	if err := cfg.check(); err != nil {
		return nil, invalid(err.Error())
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	client, err := mongo.Connect(cfg.Client, ownRetries())
	if err != nil {
		return nil, invalid("the client cannot be made: " + parseReason(err))
	}
	s, err := newStore(ctx, client, cfg, true)
	if err != nil {
		disconnect(client)
		return nil, err
	}
	return s, nil
}

// ownRetries switches the client's own retries of writes off: the error of the last of
// several requests says nothing of the first. The store sends the same write again
// itself.
func ownRetries() *options.ClientOptions { return options.Client().SetRetryWrites(false) }

// New returns a store on a client of the caller's, with the same checks as [Open].
// The client's read and write concerns and its read preference do not count: the
// store has its own. It never ends the client; close the store first. Config.Client
// is nil.
func New(ctx context.Context, client *mongo.Client, cfg Config) (*Store, error) {
	if client == nil {
		return nil, invalid("the *mongo.Client is nil")
	}
	if cfg.Client != nil {
		return nil, invalid("Config.Client is set, but New takes a client")
	}
	if err := cfg.check(); err != nil {
		return nil, invalid(err.Error())
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return newStore(ctx, client, cfg, false)
}

func newStore(ctx context.Context, client *mongo.Client, cfg Config, own bool) (*Store, error) {
	ctx = apart(ctx)
	journal := true
	with := options.Database().
		SetWriteConcern(&writeconcern.WriteConcern{W: writeconcern.WCMajority, Journal: &journal}).
		SetReadConcern(readconcern.Majority()).
		SetReadPreference(readpref.Primary()).
		SetBSONOptions(&options.BSONOptions{}).
		SetRegistry(bson.NewRegistry())
	s := &Store{cfg: cfg, client: client, own: own, db: client.Database(cfg.Database, with), gate: gate.New()}
	for name, c := range map[string]*collection{"commits": &s.commits, "log": &s.log, "checkpoints": &s.checkpoints, "snapshots": &s.snapshots, "meta": &s.meta} {
		c.Collection = s.db.Collection(cfg.collection(name))
		c.strict = s.db.Collection(cfg.collection(name), options.Collection().SetReadConcern(readconcern.Linearizable()))
	}
	s.seq = sequencer.New(&backend{s: s}, sequencer.Config{})
	if err := s.prepare(ctx); err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, err
	}
	return s, nil
}

// apart returns a context without a session of the caller's: what the store
// acknowledges must not be part of a transaction that may be aborted.
func apart(ctx context.Context) context.Context { return mongo.NewSessionContext(ctx, nil) }

// read calls f, which only reads.
func (s *Store) read(ctx context.Context, f func(ctx context.Context) error) error {
	inner, leave, err := s.gate.Begin(apart(ctx))
	if err != nil {
		return err
	}
	defer leave()
	return s.failRead(ctx, f(inner))
}

// settle calls try, which writes something that is recognised when it is written
// again. Where its outcome is not known it calls it again, on a context of its own
// and for a bounded time, until that tells. What stays unknown is an unsureError.
func (s *Store) settle(ctx context.Context, try func(ctx context.Context) error) error {
	ctx = apart(ctx)
	inner, leave, err := s.gate.Begin(ctx)
	if err != nil {
		return err
	}
	defer leave()
	err = s.failWrite(ctx, try(inner))
	first, unsure := errors.AsType[*unsureError](err)
	if !unsure {
		return err
	}
	own, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.cfg.settle())
	defer cancel()
	defer context.AfterFunc(s.gate.Abort(), cancel)()
	for pause := time.Millisecond; own.Err() == nil; pause = min(2*pause, 100*time.Millisecond) {
		if err := s.failWrite(own, try(own)); err == nil || isDecided(err) {
			return err
		}
		t := time.NewTimer(pause)
		select {
		case <-own.Done():
		case <-t.C:
		}
		t.Stop()
	}
	return first
}

// Caps returns what the store claims, and its limits.
func (s *Store) Caps() driver.Caps { return caps }

// A document has at most 16 MiB, and an append is one. What the names of its fields
// take besides the events is less than half a megabyte.
var caps = driver.Caps{
	MaxEventBytes:    4 << 20,
	MaxAppendEvents:  1_000,
	MaxAppendBytes:   4 << 20,
	MaxSnapshotBytes: 4 << 20,
	Gapless:          true,
	FilterFeed:       true,
}

// Ping reads from the primary.
func (s *Store) Ping(ctx context.Context) error {
	return s.read(ctx, func(ctx context.Context) error {
		_, err := s.meta.FindOne(ctx, bson.D{{Key: fieldID, Value: metaID}}).Raw()
		if errors.Is(err, mongo.ErrNoDocuments) {
			return &driver.SchemaError{Known: schemaVersion}
		}
		return err
	})
}

// Close waits for the calls that run, for the time of Config.Settle at least, and
// cancels those that run longer. The client of a store made by [New] goes on.
func (s *Store) Close() error {
	s.gate.Close(max(s.cfg.settle(), time.Second), func() {
		if s.own {
			disconnect(s.client)
		}
	})
	return nil
}

// disconnect ends a client. Nobody uses it any more, and a server that does not
// answer is not waited for.
func disconnect(client *mongo.Client) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = client.Disconnect(ctx)
}
