package mysql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/go-es/es/driver"
	"github.com/go-es/es/internal/gate"
	"github.com/go-es/es/internal/hub"
	"github.com/go-es/es/internal/opener"
)

func init() { driver.Register("mysql", opener.Of(ParseDSN, Open)) }

// Store is an open store. Besides driver.Store it implements CheckpointStore,
// SnapshotStore, GroupAppender and Notifier.
type Store struct {
	cfg    Config
	names  *strings.Replacer
	events string // the name of the table
	texts  [stmts]string
	settle time.Duration
	db     *sql.DB
	own    bool // db is the store's
	maria  bool // the server is MariaDB
	logged bool // variables.logged
	heads  heads
	looks  looks
	crowds crowds
	gaps   gaps
	safe   atomic.Uint64 // up to this position the feed is durable
	hub    *hub.Hub
	gate   *gate.Gate
}

var _ interface {
	driver.Store
	driver.CheckpointStore
	driver.SnapshotStore
	driver.GroupAppender
	driver.Notifier
} = (*Store)(nil)

// Open connects to the server of a configuration, with a pool of the store's own.
// The context bounds opening only.
func Open(ctx context.Context, cfg Config) (*Store, error) {
	if cfg.Client == nil {
		return nil, invalid("Config.Client is nil: it says how to reach the server")
	}
	if err := cfg.check(); err != nil {
		return nil, invalid(err.Error())
	}
	from, err := newConnector(cfg)
	if err != nil {
		return nil, invalid("Config.Client cannot be used; are its address and its TLS configuration right?")
	}
	conns := cfg.Conns
	if conns == 0 {
		conns = defaultConns
	}
	db := sql.OpenDB(from)
	db.SetMaxOpenConns(conns)
	db.SetMaxIdleConns(conns)
	db.SetConnMaxIdleTime(idleTime * time.Second)
	s := newStore(db, cfg)
	s.own = true
	if err := s.start(ctx); err != nil {
		db.Close()
		return nil, err
	}
	return s, nil
}

// New returns a store in the database of a pool of the caller's, of
// github.com/go-sql-driver/mysql or a wrapper of it. It makes the same checks as
// [Open], and refuses sessions with which a promise cannot be kept: without strict
// sql_mode or autocommit, or that read what is not committed. It changes no setting of
// a connection, and never closes the pool; close the store first.
func New(ctx context.Context, db *sql.DB, cfg Config) (*Store, error) {
	if db == nil {
		return nil, invalid("the *sql.DB is nil")
	}
	if cfg.Client != nil || cfg.Conns != 0 {
		return nil, invalid("Config.Client and Config.Conns are for Open: New takes the connections of the pool")
	}
	if err := cfg.check(); err != nil {
		return nil, invalid(err.Error())
	}
	s := newStore(db, cfg)
	if err := s.start(ctx); err != nil {
		return nil, err
	}
	return s, nil
}

func newStore(db *sql.DB, cfg Config) *Store {
	s := &Store{
		cfg:    cfg,
		names:  tableNames(cfg.Prefix),
		events: tableName(cfg.Prefix, "events"),
		settle: cfg.Settle,
		db:     db,
		gate:   gate.New(),
	}
	if s.settle == 0 {
		s.settle = defaultSettle
	}
	for st, text := range stmtTexts {
		s.texts[st] = s.names.Replace(text)
	}
	return s
}

// start looks at the server and prepares the database.
func (s *Store) start(ctx context.Context) error {
	key := ""
	err := s.reading(ctx, func(ses *session) error {
		vars, err := ses.server(ctx)
		if err != nil {
			return err
		}
		if err := errors.Join(vars.check(s.cfg.AtomicPages), vars.checkSession()); err != nil {
			return asError(err)
		}
		s.maria = vars.maria()
		s.logged = vars.logged()
		database := ""
		if err := ses.query(ctx, "SELECT DATABASE()", first(&database)); err != nil {
			return err
		}
		if database == "" {
			return invalid("the connection has no database: name one")
		}
		key = vars.identity() + " " + database + " " + s.cfg.Prefix
		if err := s.prepareDatabase(ctx, ses); err != nil {
			return err
		}
		return s.checkRights(ctx, ses)
	})
	if err != nil {
		if ended := ctx.Err(); ended != nil {
			return ended
		}
		return fail(asError(err))
	}
	s.hub = hub.Join(key)
	return nil
}

// checkRights returns an error if the user may not do what a store does. Who only
// reads the feed writes too: a position that nobody will ever write has to be
// filled, or nobody could pass it.
func (s *Store) checkRights(ctx context.Context, ses *session) error {
	for _, text := range []string{
		"EXPLAIN INSERT INTO {events} (kind, stream, version, id, type, encoding, time, size, tags, metadata, data) VALUES (1, '', 1, '', '', '', 0, 0, '', '', '')",
		"EXPLAIN UPDATE {events} SET kind = 2 WHERE position = 0",
		"EXPLAIN DELETE FROM {events} WHERE position = 0",
	} {
		if err := ses.query(ctx, s.names.Replace(text), discard); err != nil {
			if serverError(err) == 1142 || serverError(err) == 1143 {
				return fmt.Errorf("es: mysql: the user needs the rights SELECT, INSERT, UPDATE and DELETE on %s, also to read the feed: %w", s.events, err)
			}
			return err
		}
	}
	return nil
}

// Caps returns what the store claims, and its limits.
func (s *Store) Caps() driver.Caps { return caps }

// A statement has two bytes for each byte of a record, and up to 2 KiB for each
// record and each stream beside it: all together fits into packetBytes.
var caps = driver.Caps{
	MaxEventBytes:    4 << 20,
	MaxAppendEvents:  1000,
	MaxAppendBytes:   7 << 20,
	MaxStreams:       100,
	MaxSnapshotBytes: 7 << 20,
	PositionOnAppend: true,
	FilterFeed:       true,
}

// Ping reads from the database.
func (s *Store) Ping(ctx context.Context) error {
	_, err := s.Head(ctx)
	return err
}

// Close waits for the calls that run, for the time of Config.Settle and a second at
// least, and cancels those that run longer. It closes the connections of a store
// made by [Open]; the pool of one made by [New] stays open.
func (s *Store) Close() error {
	s.gate.Close(max(s.settle, time.Second), func() {
		s.hub.Leave()
		if s.own {
			s.db.Close() // errors are those of connections that are gone
		}
	})
	return nil
}
