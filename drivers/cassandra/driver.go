package cassandra

import (
	"context"
	"time"

	"github.com/gocql/gocql"

	"github.com/go-es/es/driver"
	"github.com/go-es/es/driver/sequencer"
	"github.com/go-es/es/internal/gate"
	"github.com/go-es/es/internal/opener"
)

func init() { driver.Register("cassandra", opener.Of(ParseDSN, Open)) }

// Store is an open store. Besides driver.Store it implements CheckpointStore,
// SnapshotStore and Settler.
type Store struct {
	cfg    Config
	levels levels
	client *gocql.Session
	own    bool // the session is the store's to close
	texts  *texts
	bucket driver.Version // versions in one partition
	caps   driver.Caps

	heads       heads
	lines       driver.Lines
	generations generations
	seq         *sequencer.Sequencer
	marks       marks
	gate        *gate.Gate
}

var _ interface {
	driver.Store
	driver.CheckpointStore
	driver.SnapshotStore
	driver.Settler
} = (*Store)(nil)

// Open connects to the cluster of a configuration, checks it, and creates what is
// missing. The context bounds opening only.
func Open(ctx context.Context, cfg Config) (*Store, error) {
	if cfg.Cluster == nil {
		return nil, invalid("Config.Cluster is nil: ParseDSN sets it")
	}
	if err := cfg.check(); err != nil {
		return nil, invalid(err.Error())
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	client, err := connect(ctx, &cfg)
	if err != nil {
		return nil, err
	}
	s, err := newStore(ctx, client, cfg, true)
	if err != nil {
		client.Close()
		return nil, err
	}
	return s, nil
}

// New returns a store that works through a session of the caller's, with the same
// checks as [Open]. Consistency levels, timestamps and retries are set for each
// statement and do not depend on the session's; its timeout should be above the
// server's own. With Config.Local, the session must have been made with
// gocql.DataCentreHostFilter(Config.DC) as its HostFilter, which New cannot see: a policy
// that prefers a data centre falls back to others when none of its nodes answers.
// New never closes the session; close the store first. Config.Cluster is nil.
func New(ctx context.Context, session *gocql.Session, cfg Config) (*Store, error) {
	if session == nil {
		return nil, invalid("the *gocql.Session is nil")
	}
	if cfg.Cluster != nil {
		return nil, invalid("Config.Cluster is set, but New takes a session")
	}
	if err := cfg.check(); err != nil {
		return nil, invalid(err.Error())
	}
	return newStore(ctx, session, cfg, false)
}

// connect opens a session. gocql takes no context for that.
func connect(ctx context.Context, cfg *Config) (*gocql.Session, error) {
	cluster := *cfg.Cluster
	cluster.Keyspace = cfg.Keyspace
	if cluster.PoolConfig.HostSelectionPolicy == nil { // one for each session
		policy := gocql.RoundRobinHostPolicy()
		if cfg.DC != "" {
			policy = gocql.DCAwareRoundRobinPolicy(cfg.DC)
		}
		cluster.PoolConfig.HostSelectionPolicy = gocql.TokenAwareHostPolicy(policy)
	}
	if cfg.Local {
		// A policy prefers the nodes of a data centre, and falls back to others. Such a
		// node would take LOCAL_SERIAL for its own data centre, whose consensus knows
		// nothing of this one's.
		cluster.HostFilter = only(cfg.DC, cluster.HostFilter)
	}
	cluster.ReconnectInterval = reconnect
	if cluster.Logger == nil {
		cluster.Logger = silent{}
	}
	type opened struct {
		session *gocql.Session
		err     error
	}
	done := make(chan opened, 1)
	go func() {
		session, err := cluster.CreateSession()
		done <- opened{session, err}
	}()
	select {
	case o := <-done:
		return o.session, notConnected(cfg, o.err)
	case <-ctx.Done():
		go func() {
			if o := <-done; o.session != nil {
				o.session.Close()
			}
		}()
		return nil, ctx.Err()
	}
}

// only lets the nodes of a data centre through, of those that another filter does.
func only(dc string, other gocql.HostFilter) gocql.HostFilter {
	local := gocql.DataCentreHostFilter(dc)
	return gocql.HostFilterFunc(func(h *gocql.HostInfo) bool { return local.Accept(h) && (other == nil || other.Accept(h)) })
}

// reconnect is how often nodes that were down are tried again.
const reconnect = time.Second

// silent is a log of the client's that goes nowhere: what matters is in errors.
type silent struct{}

func (silent) Print(...any)          {}
func (silent) Printf(string, ...any) {}
func (silent) Println(...any)        {}

func newStore(ctx context.Context, client *gocql.Session, cfg Config, own bool) (*Store, error) {
	s := &Store{cfg: cfg, levels: cfg.levels(), client: client, own: own, texts: cfg.texts(), gate: gate.New()}
	if err := s.prepare(ctx); err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, fail(err)
	}
	s.caps = caps
	s.caps.MaxAppendEvents = min(caps.MaxAppendEvents, int(s.bucket)) // so that no bucket is ever empty
	s.seq = sequencer.New(backend{s}, sequencer.Config{})
	return s, nil
}

// Caps returns what the store claims, and its limits.
func (s *Store) Caps() driver.Caps { return s.caps }

var caps = driver.Caps{
	MaxEventBytes:    1 << 20,
	MaxAppendEvents:  1000, // or Config.Bucket, if that is less
	MaxAppendBytes:   1 << 20,
	MaxSnapshotBytes: 1 << 20,
	Gapless:          true,
	FilterFeed:       true,
	ListLag:          true,
}

// Ping reads from the cluster.
func (s *Store) Ping(ctx context.Context) error {
	return s.reading(ctx, func(ctx context.Context) error {
		_, err := s.readMeta(ctx)
		return err
	})
}

// Close waits for the calls that run, for the time of Config.Settle at least, and
// cancels those that run longer. The session of a store made by [New] stays open.
func (s *Store) Close() error {
	s.gate.Close(max(s.cfg.settle(), time.Second), func() {
		if s.own {
			s.client.Close()
		}
	})
	return nil
}
