package postgres

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/go-es/es/driver"
	"github.com/go-es/es/internal/gate"
	"github.com/go-es/es/internal/opener"
)

func init() { driver.Register("postgres", opener.Of(ParseDSN, Open)) }

// Store is an open store. Besides driver.Store it implements CheckpointStore,
// SnapshotStore, GroupAppender and Notifier.
type Store struct {
	cfg   Config
	key   string // of what the store keeps in a connection
	pool  *pgxpool.Pool
	own   bool // the pool is the store's to close
	texts *texts
	heads heads
	fence fenced
	news  *news
	gate  *gate.Gate

	writers  sync.Mutex
	writings map[*writing]struct{} // that run; guarded by writers
}

var _ interface {
	driver.Store
	driver.CheckpointStore
	driver.SnapshotStore
	driver.GroupAppender
	driver.Notifier
} = (*Store)(nil)

// pingTime is how long a connection of the store's own pool may take to show that it
// lives.
const pingTime = 5 * time.Second

// Open connects to the database of a configuration, checks it, and creates what
// is missing. The context bounds opening only.
func Open(ctx context.Context, cfg Config) (*Store, error) {
	if cfg.Pool == nil {
		return nil, invalid("Config.Pool is nil: ParseDSN sets it")
	}
	if err := cfg.check(); err != nil {
		return nil, invalid(err.Error())
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	// On a network that has gone dark a ping of the pool's would go on for a minute
	// after the call that it was for, and Close would wait for it.
	conf := cfg.Pool.Copy()
	if conf.PingTimeout == 0 {
		conf.PingTimeout = pingTime
	}
	pool, err := pgxpool.NewWithConfig(ctx, conf)
	if err != nil {
		return nil, fail(err)
	}
	s, err := newStore(ctx, pool, cfg, true)
	if err != nil {
		pool.Close()
		return nil, err
	}
	return s, nil
}

// New returns a store in the database of a pool of the caller's, with the same
// checks as [Open]. Its transactions, statements and settings of sessions stay as
// they are: what the store needs it sets for each transaction, and its prepared
// statements have names of their own. It never closes the pool; close the store
// first. Config.Pool is nil.
func New(ctx context.Context, pool *pgxpool.Pool, cfg Config) (*Store, error) {
	if pool == nil {
		return nil, invalid("the *pgxpool.Pool is nil")
	}
	if cfg.Pool != nil {
		return nil, invalid("Config.Pool is set, but New takes a pool")
	}
	if err := cfg.check(); err != nil {
		return nil, invalid(err.Error())
	}
	return newStore(ctx, pool, cfg, false)
}

func newStore(ctx context.Context, pool *pgxpool.Pool, cfg Config, own bool) (*Store, error) {
	s := &Store{
		cfg:   cfg,
		key:   "github.com/go-es/es/" + cfg.schema() + "." + cfg.table(""),
		pool:  pool,
		own:   own,
		texts: cfg.texts(),
		gate:  gate.New(),

		writings: make(map[*writing]struct{}),
	}
	context.AfterFunc(s.gate.Abort(), s.endWritings)
	s.news = newNews(s)
	if err := s.prepareDatabase(ctx); err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if pg, ok := errors.AsType[*pgconn.PgError](err); ok && pg.Code == "25006" {
			err = fmt.Errorf("es: postgres: %s: %w", readOnly, pg) // which passes for a store that is open
		}
		return nil, err
	}
	return s, nil
}

func (cfg *Config) texts() *texts {
	names := cfg.tableNames()
	t := new(texts)
	for i, text := range statements {
		t.of[i] = names.Replace(text)
		h := fnv.New64a()
		h.Write([]byte(t.of[i]))
		t.name[i] = fmt.Sprintf("es_%016x", h.Sum64())
	}
	return t
}

// connected is what the store knows of a connection: it stays with it.
type connected struct {
	known  [stmts]*pgconn.StatementDescription
	pooler bool // the server is behind one that may give each transaction another session
	begin  bool // transactions are not of READ COMMITTED by default
	waits  bool // commits wait for a standby
}

// acquire takes a connection of the pool, and checks one that the store has not
// had before.
func (s *Store) acquire(ctx context.Context) (*pgxpool.Conn, *session, error) {
	c, err := s.pool.Acquire(ctx)
	if err != nil {
		return nil, nil, notSent(ctx, err)
	}
	ses, err := s.session(ctx, c.Conn())
	if err != nil {
		c.Release()
		return nil, nil, notSent(ctx, err)
	}
	return c, ses, nil
}

// notSent returns the error of a call that did not get as far as to send
// anything: it may be made again if the server was not there.
func notSent(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if errors.Is(err, errReplica) {
		return driver.Transient(err) // it will be the primary, or another one will answer
	}
	if isOurs(err) {
		return err
	}
	if errors.Is(err, context.Canceled) { // the pool's, which was closed
		return fmt.Errorf("es: postgres: the pool is closed: %w", withoutConfig(err))
	}
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		return fail(pg)
	}
	return driver.Transient(fmt.Errorf("es: postgres: no connection: %w", withoutConfig(err)))
}

func (s *Store) session(ctx context.Context, conn *pgx.Conn) (*session, error) {
	pc := conn.PgConn()
	ses := &session{pc: pc, texts: s.texts}
	is, ok := pc.CustomData()[s.key].(*connected)
	if !ok {
		is = new(connected)
		if err := s.checkConnection(ctx, conn, is); err != nil {
			return nil, err
		}
		pc.CustomData()[s.key] = is
	}
	ses.begin, ses.waits = is.begin, is.waits
	if !is.pooler {
		ses.known = &is.known
	}
	return ses, nil
}

// read calls f with a connection, for statements that only read.
func (s *Store) read(ctx context.Context, f func(ctx context.Context, ses *session) error) error {
	rctx, end, err := s.gate.Begin(ctx)
	if err != nil {
		return err
	}
	defer end()
	c, ses, err := s.acquire(rctx)
	if err == nil {
		err = f(rctx, ses)
		c.Release()
	}
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case s.gate.Aborted():
		return driver.ErrClosed
	case errors.Is(err, errReplica):
		return driver.Transient(err)
	}
	return failRead(err)
}

// write calls f with a connection, for statements that write. When the context
// ends, what runs is cancelled, and its answer waited for: that tells what became
// of it. An unsureError says that there was none, or that the wait for a standby was
// cancelled, which PostgreSQL answers with success: the session is doubtful then, and
// so is what has succeeded in it. bounded is for a try that is to find out about an
// earlier one: its context has a deadline, and nothing more is waited for.
func (s *Store) write(ctx context.Context, bounded bool, f func(ctx context.Context, ses *session) error) error {
	w := s.begin(ctx)
	defer w.finish()
	c, ses, err := s.acquire(w)
	if err == nil {
		defer c.Release()
		wait := s.cfg.settle()
		if bounded {
			wait = 0
		}
		err = w.sends(ses.pc, wait)
	}
	switch {
	case err == nil:
	case ctx.Err() != nil:
		return ctx.Err()
	case s.gate.Aborted():
		return driver.ErrClosed
	default:
		return err
	}
	err = f(context.WithoutCancel(ctx), ses)
	if w.answered() && ses.waits {
		ses.doubtful = true
		if err == nil {
			err = &unsureError{errNoStandby}
		}
	}
	if err == nil || isOurs(err) && !isUnsure(err) {
		return err
	}
	switch {
	case isUnsure(err) && ctx.Err() != nil:
		return &unsureError{fmt.Errorf("%w: %w", ctx.Err(), err)}
	case isUnsure(err):
		return err
	case unsure(err) && ctx.Err() != nil:
		return &unsureError{fmt.Errorf("%w: %w", ctx.Err(), fail(err))}
	case unsure(err):
		return &unsureError{fail(err)}
	case ctx.Err() != nil:
		return ctx.Err() // and nothing was stored
	case s.gate.Aborted():
		return driver.ErrClosed
	case isLost(err):
		return driver.Transient(fail(err)) // before it was sent
	}
	return fail(err)
}

var errNoStandby = errors.New("es: postgres: it was committed, and the wait for a standby was cancelled")

func isUnsure(err error) bool {
	_, ok := errors.AsType[*unsureError](err)
	return ok
}

// settle calls try, which writes something that is recognised when it is written
// again. Where its outcome is not known it calls it again, on a context of its own
// and for a bounded time, until that tells.
func (s *Store) settle(ctx context.Context, try func(ctx context.Context, again bool) error) error {
	if err := s.gate.Enter(ctx); err != nil {
		return err
	}
	defer s.gate.Leave()
	err := try(ctx, false)
	first, ok := errors.AsType[*unsureError](err)
	if !ok {
		return err
	}
	if ctx.Err() != nil || s.cfg.settle() == 0 {
		return first // it has been waited for
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.cfg.settle())
	defer cancel()
	pause := time.Millisecond
	for {
		if err := try(ctx, true); err == nil || decided(err) {
			return err
		}
		t := time.NewTimer(pause)
		pause = min(2*pause, 100*time.Millisecond)
		select {
		case <-ctx.Done():
			t.Stop()
			return first
		case <-s.gate.Abort().Done():
			t.Stop()
			return first
		case <-t.C:
		}
	}
}

// Caps returns what the store claims, and its limits.
func (s *Store) Caps() driver.Caps { return caps }

var caps = driver.Caps{
	MaxEventBytes:    16 << 20,
	MaxAppendEvents:  10_000,
	MaxAppendBytes:   64 << 20,
	MaxStreams:       1_000,
	MaxSnapshotBytes: 16 << 20,
	PositionOnAppend: true,
	FilterFeed:       true,
}

// Ping reads from the database.
func (s *Store) Ping(ctx context.Context) error {
	_, err := s.Head(ctx)
	return err
}

// Close waits for the calls that run, for the time of Config.Settle at least, and
// cancels those that run longer. The pool of a store made by [New] stays open.
func (s *Store) Close() error {
	s.gate.Close(max(s.cfg.settle(), time.Second), func() {
		s.news.end()
		if s.own {
			s.pool.Close()
		}
	})
	return nil
}
