package sqlite

import (
	"context"
	sqldriver "database/sql/driver"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/go-es/es/driver"
)

// schemaVersion is the version of the tables below, kept in {meta}.
const schemaVersion = 1

// In texts, {NAME} is a table with the store's prefix.

var tables = [...]string{"meta", "streams", "events", "checkpoints", "snapshots"}

// ddl creates the tables. An event holds the number of its stream and not the
// name: the index is half as large, and an append to an existing stream writes
// two pages and no third one.
var ddl = []string{
	`CREATE TABLE {meta} (key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID`,
	`CREATE TABLE {streams} (
		id INTEGER PRIMARY KEY,
		stream TEXT NOT NULL UNIQUE,
		closed INTEGER NOT NULL DEFAULT 0
	)`,
	`CREATE TABLE {events} (
		position INTEGER PRIMARY KEY,
		stream_id INTEGER NOT NULL,
		version INTEGER NOT NULL,
		id BLOB NOT NULL,
		type TEXT NOT NULL,
		encoding TEXT NOT NULL,
		time INTEGER NOT NULL,
		tags TEXT,
		metadata BLOB,
		data BLOB NOT NULL,
		UNIQUE (stream_id, version)
	)`,
	`CREATE TABLE {checkpoints} (
		name TEXT PRIMARY KEY,
		position INTEGER NOT NULL,
		seen_at INTEGER NOT NULL,
		seen_id BLOB NOT NULL,
		revision BLOB NOT NULL
	) WITHOUT ROWID`,
	`CREATE TABLE {snapshots} (
		stream TEXT NOT NULL,
		kind TEXT NOT NULL,
		version INTEGER NOT NULL,
		event_id BLOB NOT NULL,
		encoding TEXT NOT NULL,
		data BLOB NOT NULL,
		PRIMARY KEY (stream, kind)
	)`,
	`INSERT INTO {meta} VALUES ('schema', 1)`,
}

// The states of a stream, in {streams}.closed.
const (
	open       = 0
	tombstoned = 1
	purged     = 2
)

// stmt is a statement that every connection prepares once.
type stmt int

const (
	begin stmt = iota
	commit
	rollback
	streamState
	addStream
	addEvent // and those of addEvents follow
	add2Events
	add4Events
	add8Events
	add16Events
	closeStream
	foundIDs
	closingEvent
	blankEvents
	head
	readForward
	readBackward
	readFeed
	filterFeed
	countFeed
	seenID
	listStreams
	loadCheckpoint
	saveCheckpoint
	deleteCheckpoint
	listCheckpoints
	loadSnapshot
	saveSnapshot
	deleteSnapshot
	deleteSnapshots
	stmts
)

// texts are the statements of a store.
type texts [stmts]string

// header gathers the small columns of a record in one value, and is NULL where
// one of them cannot be what was stored: each column of a result costs a crossing
// into C and an allocation. See decode. That of the feed ends with the stream; a record
// may be blank there in a purged one only.
const (
	columns    = `, e.id || e.type || x'00' || e.encoding || x'00' || ifnull(e.tags, '') || x'00', NULL)`
	header     = `iif(length(e.id) = 16` + columns
	feedHeader = `iif(length(e.id) = 16 AND (e.type <> '' OR s.closed = 2)` + columns + ` || s.stream`
)

// addEvents returns the statement that stores n events of stream ?1 from version ?2
// on, in their order.
func addEvents(n int) string {
	b := []byte("INSERT INTO {events} (stream_id, version, id, type, encoding, time, tags, metadata, data) VALUES ")
	for i := range n {
		if i > 0 {
			b = append(b, ", "...)
		}
		b = fmt.Appendf(b, "(?1, ?2 + %d, ?, ?, ?, ?, ?, ?, ?)", i)
	}
	return string(b)
}

var statements = texts{
	begin:    `BEGIN IMMEDIATE`,
	commit:   `COMMIT`,
	rollback: `ROLLBACK`,

	streamState: `SELECT s.id, s.closed, (SELECT max(e.version) FROM {events} e WHERE e.stream_id = s.id)
		FROM {streams} s WHERE s.stream = ?1`,
	addStream: `INSERT INTO {streams} (stream) VALUES (?1) ON CONFLICT (stream) DO NOTHING`,
	addEvent:  addEvents(1), add2Events: addEvents(2), add4Events: addEvents(4), add8Events: addEvents(8), add16Events: addEvents(16),

	closeStream:  `UPDATE {streams} SET closed = ?2 WHERE id = ?1`,
	foundIDs:     `SELECT id, position FROM {events} WHERE stream_id = ?1 AND version BETWEEN ?2 AND ?3 ORDER BY version`,
	closingEvent: `SELECT id, position FROM {events} WHERE stream_id = ?1 AND version = ?2`,
	blankEvents: `UPDATE {events} SET type = '', encoding = '', time = 0, tags = NULL, metadata = NULL, data = x''
		WHERE stream_id = ?1 AND version BETWEEN ?2 AND ?3`,

	head: `SELECT max(position) FROM {events}`,
	readForward: `SELECT e.position, e.version, e.time, ` + header + `, e.metadata, e.data
		FROM {events} e WHERE e.stream_id = ?1 AND e.version BETWEEN ?2 AND ?3 ORDER BY e.version`,
	readBackward: `SELECT e.position, e.version, e.time, ` + header + `, e.metadata, e.data
		FROM {events} e WHERE e.stream_id = ?1 AND e.version BETWEEN ?2 AND ?3 ORDER BY e.version DESC`,
	readFeed: `SELECT e.position, e.version, e.time, ` + feedHeader + `, e.metadata, e.data
		FROM {events} e LEFT JOIN {streams} s ON s.id = e.stream_id
		WHERE e.position > ?1 AND e.position <= ?2 ORDER BY e.position`,
	// ?4 and ?5 are JSON arrays or NULL. A row whose stream is missing, or which must not
	// be blank, is let through, so that it is noticed.
	filterFeed: `WITH prefixes AS MATERIALIZED (SELECT value AS prefix FROM json_each(?5))
		SELECT e.position, e.version, e.time, ` + feedHeader + `, e.metadata, e.data
		FROM {events} e LEFT JOIN {streams} s ON s.id = e.stream_id
		WHERE e.position > ?1 AND e.position <= ?2 AND iif(e.type = '', s.closed IS NOT 2,
			(?4 IS NULL OR e.type IN (SELECT value FROM json_each(?4)))
			AND (?5 IS NULL OR s.stream IS NULL
				OR EXISTS (SELECT 1 FROM prefixes WHERE substr(s.stream, 1, length(prefix)) = prefix)))
		ORDER BY e.position LIMIT ?3`,
	countFeed: `SELECT count(*) FROM {events} WHERE position > ?1 AND position <= ?2`,
	seenID:    `SELECT id FROM {events} WHERE position = ?1`,
	listStreams: `SELECT s.stream, s.closed, (SELECT max(e.version) FROM {events} e WHERE e.stream_id = s.id)
		FROM {streams} s WHERE s.stream > ?1 AND s.stream >= ?2 ORDER BY s.stream LIMIT ?3`,

	loadCheckpoint: `SELECT name, position, seen_at, seen_id, revision FROM {checkpoints} WHERE name = ?1`,
	saveCheckpoint: `INSERT INTO {checkpoints} (name, position, seen_at, seen_id, revision) VALUES (?1, ?2, ?3, ?4, ?5)
		ON CONFLICT (name) DO UPDATE SET
			position = excluded.position, seen_at = excluded.seen_at, seen_id = excluded.seen_id, revision = excluded.revision`,
	deleteCheckpoint: `DELETE FROM {checkpoints} WHERE name = ?1`,
	listCheckpoints: `SELECT name, position, seen_at, seen_id, revision FROM {checkpoints}
		WHERE name > ?1 ORDER BY name LIMIT ?2`,

	loadSnapshot: `SELECT version, event_id, encoding, data FROM {snapshots} WHERE stream = ?1 AND kind = ?2`,
	saveSnapshot: `INSERT INTO {snapshots} (stream, kind, version, event_id, encoding, data) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
		ON CONFLICT (stream, kind) DO UPDATE SET
			version = excluded.version, event_id = excluded.event_id, encoding = excluded.encoding, data = excluded.data
		WHERE excluded.version >= version`,
	deleteSnapshot:  `DELETE FROM {snapshots} WHERE stream = ?1 AND kind = ?2`,
	deleteSnapshots: `DELETE FROM {snapshots} WHERE stream = ?1`,
}

// tableNames returns what replaces the {NAME} of a text.
func tableNames(prefix string) *strings.Replacer {
	if prefix != "" {
		prefix += "_"
	}
	var pairs []string
	for _, t := range tables {
		pairs = append(pairs, "{"+t+"}", "es_"+prefix+t)
	}
	return strings.NewReplacer(pairs...)
}

func newTexts(prefix string) *texts {
	names := tableNames(prefix)
	t := new(texts)
	for i, s := range statements {
		t[i] = names.Replace(s)
	}
	return t
}

// setting is a PRAGMA that a connection has to have.
type setting struct {
	name, want, why string
}

var required = []setting{
	{"encoding", "UTF-8", "names would not be in byte order; es needs a database of its own"},
	{"locking_mode", "normal", "nobody else could open the database; leave it at normal"},
	{"read_uncommitted", "0", "a reader could see events that are never stored; leave it at 0"},
	{"query_only", "0", "a store writes; leave it at 0"},
}

// prepareDatabase checks the database of the writer's connection c, makes of it
// what the store needs, and creates the tables that are missing. A database that
// it refuses is not changed.
func (s *Store) prepareDatabase(ctx context.Context, c *conn) error {
	for _, p := range required {
		v, err := c.run("PRAGMA " + p.name)
		if err != nil {
			return err
		}
		if got := fmt.Sprint(v); got != p.want {
			return fmt.Errorf("es: sqlite: PRAGMA %s is %s: %s", p.name, got, p.why)
		}
	}
	found, err := s.schema(c)
	if err != nil {
		return err
	}
	if found > schemaVersion || found < schemaVersion && s.cfg.CheckOnly {
		return &driver.SchemaError{Found: found, Known: schemaVersion}
	}
	if err := s.journal(c); err != nil {
		return err
	}
	for _, set := range s.settings() {
		if _, err := c.run("PRAGMA " + set); err != nil {
			return err
		}
	}
	if err := s.synced(c); err != nil {
		return err
	}
	if found < schemaVersion {
		err := s.transact(ctx, c, func(context.Context, session) error { return s.create(c) })
		if err != nil {
			return err
		}
	}
	return s.prepareAll(c)
}

// schema returns the version of the tables, or 0 if there are none.
func (s *Store) schema(c *conn) (int, error) {
	meta := s.names.Replace("{meta}")
	quoted := s.names.Replace("'{" + strings.Join(tables[:], "}', '{") + "}'")
	// One statement: another process may be creating them.
	v, err := c.run("SELECT group_concat(name, ' ') FROM sqlite_schema WHERE name IN (" + quoted + ")")
	if err != nil || v == nil {
		return 0, err
	}
	there := strings.Fields(fmt.Sprint(v))
	if !slices.Contains(there, meta) {
		return 0, fmt.Errorf("%w: the database has %s, and no %s: it is not es's; choose a prefix", driver.ErrSchema, strings.Join(there, ", "), meta)
	}
	v, err = c.run("SELECT value FROM " + meta + " WHERE key = 'schema'")
	if err != nil && primary(err) != codeError {
		return 0, err
	}
	version, ok := v.(int64)
	if !ok || version < 1 {
		return 0, errors.Join(fmt.Errorf("es: sqlite: the table %s is not es's; choose a prefix", meta), err)
	}
	return int(version), nil
}

// journal switches the database to a write-ahead log, which stays a property of
// the file.
func (s *Store) journal(c *conn) error {
	v, err := c.run("PRAGMA journal_mode")
	if err != nil || v == "wal" {
		return err
	}
	if s.file == "" {
		return nil // in memory, where there is no log
	}
	if s.cfg.CheckOnly {
		return fmt.Errorf("es: sqlite: PRAGMA journal_mode is %v: the store needs wal, and was opened to change nothing", v)
	}
	if v, err = c.run("PRAGMA journal_mode = wal"); err != nil {
		return err
	}
	if v != "wal" {
		return fmt.Errorf("es: sqlite: PRAGMA journal_mode stays at %v: the store needs wal, which this file or the VFS does not allow", v)
	}
	return nil
}

// settings are those of the writer's connection. It waits for locks itself, so
// that contexts are obeyed and no process starves.
func (s *Store) settings() []string {
	if s.file == "" {
		return []string{"secure_delete = on"}
	}
	return []string{
		"busy_timeout = 0",
		"synchronous = " + s.sync(),
		"fullfsync = on",
		"checkpoint_fullfsync = on",
		"secure_delete = on",
	}
}

func (s *Store) sync() string {
	if s.cfg.Sync == SyncNormal {
		return "normal"
	}
	return "full"
}

// runner runs statements that are not prepared ahead.
type runner interface {
	run(text string) (sqldriver.Value, error)
}

// synced returns an error if a commit on the connection would be less durable
// than the store promises.
func (s *Store) synced(r runner) error {
	if s.file == "" {
		return nil
	}
	v, err := r.run("PRAGMA synchronous")
	if err != nil {
		return err
	}
	least := int64(2)
	if s.cfg.Sync == SyncNormal {
		least = 1
	}
	if level, ok := v.(int64); !ok || level < least {
		return fmt.Errorf("es: sqlite: PRAGMA synchronous is %v on this connection: the store needs %s, or a loss of power takes acknowledged events; open the pool with _sync=%[2]s (mattn) or _pragma=synchronous(%[2]s) (modernc)", v, s.sync())
	}
	return nil
}

// create creates the tables, unless another process was faster.
func (s *Store) create(c *conn) error {
	found, err := s.schema(c)
	if err != nil || found == schemaVersion {
		return err
	}
	if found > schemaVersion {
		return &driver.SchemaError{Found: found, Known: schemaVersion}
	}
	for _, text := range ddl {
		if _, err := c.run(s.names.Replace(text)); err != nil {
			return err
		}
	}
	return nil
}

// prepareAll prepares every statement, which fails where a table or a column is
// not as the store knows it.
func (s *Store) prepareAll(c *conn) error {
	return c.do(func() error {
		for st := range stmts {
			if _, err := c.prepared(st); err != nil {
				if primary(err) == codeError {
					return fmt.Errorf("%w: the tables es_* are not those of schema version %d: %w", driver.ErrSchema, schemaVersion, err)
				}
				return fail(err)
			}
		}
		return nil
	})
}
