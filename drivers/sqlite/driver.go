package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/go-es/es/driver"
	"github.com/go-es/es/internal/gate"
	"github.com/go-es/es/internal/hub"
	"github.com/go-es/es/internal/opener"
)

func init() { driver.Register("sqlite", opener.Of(ParseDSN, Open)) }

// Store is an open store. Besides driver.Store it implements CheckpointStore,
// SnapshotStore, GroupAppender and Notifier.
type Store struct {
	cfg   Config
	names *strings.Replacer
	texts *texts
	file  string    // "" in memory
	self  *identity // of file, since the first connection; nil in memory
	dial  func(ctx context.Context) (*conn, error)

	writer  chan *conn // holds the connection that writes while nobody does
	readers chan *conn // those that nobody uses, nil for each that is not open; without room: the pool keeps them; nil: in memory, the writer reads
	hub     *hub.Hub
	log     logFile // guarded by having the writer
	gate    *gate.Gate
	err     error // of Close
}

var _ interface {
	driver.Store
	driver.CheckpointStore
	driver.SnapshotStore
	driver.GroupAppender
	driver.Notifier
} = (*Store)(nil)

// Open opens or creates the database file of a configuration. The context bounds
// opening only.
func Open(ctx context.Context, cfg Config) (*Store, error) {
	if err := cfg.check(); err != nil {
		return nil, invalid(err.Error())
	}
	if cfg.Path == "" {
		return nil, invalid("no file is named")
	}
	uri := memory
	if cfg.Path != memory {
		path, err := filepath.Abs(cfg.Path)
		if err != nil {
			return nil, fmt.Errorf("es: sqlite: %w", err)
		}
		if _, err := os.Stat(path); err != nil && cfg.CheckOnly {
			if errors.Is(err, fs.ErrNotExist) {
				err = &driver.SchemaError{Known: schemaVersion}
			}
			return nil, fmt.Errorf("es: sqlite: %q is not there: %w", cfg.Path, err)
		}
		if err := checkFile(path); err != nil {
			return nil, err
		}
		uri = fileURI(path)
	}
	s := newStore(cfg)
	s.dial = func(context.Context) (*conn, error) {
		uri := uri
		if s.self != nil {
			uri += "&mode=rw" // it is there: create none
		}
		raw, err := connect(uri)
		if err != nil {
			return nil, fail(err)
		}
		return &conn{raw: raw, texts: s.texts}, nil
	}
	if err := s.start(ctx, readersMax()); err != nil {
		return nil, fmt.Errorf("%w (file %q)", err, cfg.Path)
	}
	return s, nil
}

// fileURI returns the URI of an absolute path. The connection waits for no
// lock and needs no mutex: the store does both.
func fileURI(path string) string {
	path = filepath.ToSlash(path)
	if !strings.HasPrefix(path, "/") {
		path = "/" + path // C:/…
	}
	return "file:" + (&url.URL{Path: path}).EscapedPath() + "?_busy_timeout=0&_mutex=no"
}

func readersMax() int { return min(max(runtime.GOMAXPROCS(0), 4), 16) }

// New returns a store in the database of a pool of the caller's, which may be of
// mattn/go-sqlite3, of modernc.org/sqlite, or of another driver whose errors have
// a method Code() int. The store keeps one connection for itself, on which it
// sets what it needs, until it is closed, and takes more for reading; so a pool
// with a limit needs at least two. It never closes the pool; close the store
// first. A database in memory needs a limit of one connection, which the store
// then keeps.
func New(ctx context.Context, db *sql.DB, cfg Config) (*Store, error) {
	if db == nil {
		return nil, invalid("the *sql.DB is nil")
	}
	if err := cfg.check(); err != nil {
		return nil, invalid(err.Error())
	}
	if cfg.Path != "" {
		return nil, invalid(fmt.Sprintf("Config.Path is %q, but New takes the database of the pool", cfg.Path))
	}
	s := newStore(cfg)
	s.dial = func(ctx context.Context) (*conn, error) { return take(ctx, db, s.texts) }
	limit := db.Stats().MaxOpenConnections
	kept := 0
	if limit == 0 {
		kept = readersMax()
	}
	if err := s.start(ctx, kept); err != nil {
		return nil, err
	}
	if limit == 1 && s.file != "" {
		s.Close()
		return nil, errors.New("es: sqlite: the pool allows one connection, which the store would keep: allow two or more with SetMaxOpenConns")
	}
	return s, nil
}

func newStore(cfg Config) *Store {
	if cfg.Busy == 0 {
		cfg.Busy = defaultBusy
	}
	return &Store{
		cfg:    cfg,
		names:  tableNames(cfg.Prefix),
		texts:  newTexts(cfg.Prefix),
		writer: make(chan *conn, 1),
		gate:   gate.New(),
	}
}

// start opens the writing connection and prepares the database. Up to kept
// connections for reading are kept open; with 0 each read takes one of the pool.
func (s *Store) start(ctx context.Context, kept int) error {
	c, err := s.openWriter(ctx)
	if err != nil {
		return err
	}
	if s.file != "" {
		s.readers = make(chan *conn, kept)
		for range kept {
			s.readers <- nil // opened when it is needed
		}
	}
	s.hub = joinHub(s.file)
	s.writer <- c
	return nil
}

// openWriter opens the connection that writes. Another process may be creating
// the same database, or recovering it: that is waited for.
func (s *Store) openWriter(ctx context.Context) (*conn, error) {
	wait := s.wait(ctx)
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if err := s.self.check(); err != nil {
			return nil, err // and create none at that place
		}
		c, err := s.dial(ctx)
		if err == nil {
			if err = s.prepareWriter(ctx, c); err == nil {
				if s.file != "" {
					c.log = identify(s.file + "-wal")
				}
				return c, nil
			}
			c.close(true)
		}
		if !locked(err) {
			return nil, err
		}
		if err := wait(err); err != nil {
			return nil, err
		}
	}
}

func (s *Store) prepareWriter(ctx context.Context, c *conn) error {
	if _, err := c.run("SELECT es_no_such_function()"); primary(err) != codeError {
		return fmt.Errorf("es: sqlite: the errors of the pool's driver have no result codes of SQLite (%v): use mattn/go-sqlite3 or modernc.org/sqlite", err)
	}
	file, err := c.run("SELECT file FROM pragma_database_list WHERE name = 'main'")
	if err != nil {
		return err
	}
	if s.file == "" {
		s.file, _ = file.(string)
	}
	if s.file != "" {
		if err := checkFile(s.file); err != nil {
			return err
		}
		if s.self == nil {
			s.self = identify(s.file)
		} else if err := s.self.check(); err != nil {
			return err
		}
	}
	return s.prepareDatabase(ctx, c)
}

// read calls f with a connection for reading.
func (s *Store) read(ctx context.Context, f func(session) error) error {
	if err := s.gate.Enter(ctx); err != nil {
		return err
	}
	defer s.gate.Leave()
	from := s.readers
	if from == nil {
		from = s.writer
	}
	var c *conn
	if cap(from) > 0 {
		select {
		case c = <-from:
		case <-ctx.Done():
			return ctx.Err()
		case <-s.gate.Closing():
			return driver.ErrClosed
		}
		defer func() { from <- c }()
	} else {
		defer func() {
			if c != nil {
				c.close(false)
			}
		}()
	}
	wait := s.wait(ctx)
	for {
		err := s.self.check()
		if err == nil && c == nil {
			c, err = s.connectReader(ctx)
		}
		if err == nil {
			err = f(c)
		}
		if err == nil || !locked(err) {
			return err
		}
		if err := wait(err); err != nil {
			return err
		}
	}
}

// connectReader opens a connection to the file that the store was opened with.
func (s *Store) connectReader(ctx context.Context) (*conn, error) {
	c, err := s.dial(ctx)
	if moved := s.self.check(); moved != nil {
		if err == nil {
			c.close(false)
		}
		return nil, moved
	}
	return c, err
}

// Caps returns what the store claims, and its limits.
func (s *Store) Caps() driver.Caps { return caps }

var caps = driver.Caps{
	MaxEventBytes:    16 << 20,
	MaxAppendEvents:  10_000,
	MaxAppendBytes:   64 << 20,
	MaxStreams:       10_000,
	MaxSnapshotBytes: 16 << 20,
	PositionOnAppend: true,
	Gapless:          true,
	FilterFeed:       true,
}

// Ping reads from the database.
func (s *Store) Ping(ctx context.Context) error {
	_, err := s.Head(ctx)
	return err
}

// Close waits for the calls that run and closes the store's connections. The
// pool of a store made by [New] stays open.
func (s *Store) Close() error {
	s.gate.Close(0, func() {
		s.hub.Leave()
		var errs []error
		for range cap(s.readers) {
			if c := <-s.readers; c != nil {
				errs = append(errs, c.close(false))
			}
		}
		if c := <-s.writer; c != nil {
			errs = append(errs, c.close(s.file != ""))
		}
		s.err = fail(errors.Join(errs...))
	})
	return s.err
}
