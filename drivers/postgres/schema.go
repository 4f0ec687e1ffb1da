package postgres

import (
	"strings"

	"github.com/jackc/pgx/v5"
)

// schemaVersion is the version of the tables below, kept in {meta}.
const schemaVersion = 1

// In texts, {NAME} is a table with the store's schema and prefix, and {positions}
// the sequence.

var tables = [...]string{"meta", "streams", "events", "checkpoints", "snapshots"}

// ddl creates the tables. Names are compared and ordered byte by byte (COLLATE
// "C"), whatever the database's collation. A row of {streams} is updated by every
// append: a page that has room keeps the new one beside it, and no index changes.
// The cache of the sequence must be 1: positions of a stream would not rise.
var ddl = []string{
	`CREATE TABLE {meta} (
	key text PRIMARY KEY,
	value bigint NOT NULL
)`,
	`CREATE TABLE {streams} (
	stream text COLLATE "C" PRIMARY KEY,
	version bigint NOT NULL,
	closed smallint NOT NULL DEFAULT 0
) WITH (fillfactor = 70)`,
	`CREATE SEQUENCE {positions} CACHE 1`,
	`CREATE TABLE {events} (
	position bigint PRIMARY KEY,
	stream text COLLATE "C" NOT NULL,
	version bigint NOT NULL,
	id uuid NOT NULL,
	type text COLLATE "C" NOT NULL,
	encoding text COLLATE "C" NOT NULL,
	time timestamptz NOT NULL,
	tags text[] COLLATE "C",
	metadata bytea,
	data bytea NOT NULL,
	UNIQUE (stream, version)
)`,
	`CREATE TABLE {checkpoints} (
	name text COLLATE "C" PRIMARY KEY,
	position bigint NOT NULL,
	seen_at bigint NOT NULL,
	seen_id uuid NOT NULL,
	revision uuid NOT NULL
)`,
	`CREATE TABLE {snapshots} (
	stream text COLLATE "C" NOT NULL,
	kind text COLLATE "C" NOT NULL,
	version bigint NOT NULL,
	event_id uuid NOT NULL,
	encoding text COLLATE "C" NOT NULL,
	data bytea NOT NULL,
	PRIMARY KEY (stream, kind)
)`,
	`INSERT INTO {meta} VALUES ('schema', 1)`,
}

// The states of a stream, in {streams}.closed. A row of version 0 is a stream
// that does not exist, and is seen by the transaction alone that made it.
const (
	open       = 0
	tombstoned = 1
	purged     = 2 // its events are erased, or being erased, and are no longer read
)

// stmt is a statement that a connection prepares when it first needs it.
type stmt int

const (
	appendGuess stmt = iota
	appendNew
	appendAt
	appendFirst
	appendNext
	appendGroup
	look
	hold
	lock
	writeHeld
	release
	closeStream
	startPurge
	blankEvents
	dropSnapshots
	readForward
	readBackward
	readFeed
	filterFeed
	prefixEnd
	readLarge
	eventAt
	eventAfter
	fence
	head
	listStreams
	loadCheckpoint
	createCheckpoint
	replaceCheckpoint
	deleteCheckpoint
	listCheckpoints
	loadSnapshot
	saveSnapshot
	deleteSnapshot
	notify
	confirm
	stmts
)

// texts are the statements of a store.
type texts struct {
	of   [stmts]string
	name [stmts]string // of the prepared statement
}

// durable makes the commit of a transaction that writes wait for the disk,
// whatever was set for the role or the session since Open.
const durable = `CASE current_setting('synchronous_commit') WHEN 'off' THEN set_config('synchronous_commit', 'on', true) END`

const (
	recordColumns = `position, stream, version, id, type, encoding, time, tags, metadata, data`
	recordArrays  = `$N1::uuid[], $N2::text[], $N3::text[], $N4::timestamptz[], $N5::text[], $N6::bytea[], $N7::bytea[]`
	recordValues  = `u.id, u.type, u.encoding, u.time, u.tags::text[], u.metadata, u.data`
	recordNames   = `id, type, encoding, time, tags, metadata, data, o`
	oneRecord     = `$2::uuid, $3::text, $4::text, $5::timestamptz, $6::text::text[], $7::bytea, $8::bytea`

	// What is read of an event. A large one, with more than 4 KiB of data or 1 KiB of
	// metadata, is read by readLarge: a page of many of them would fill the memory.
	// It has a size, and the others none: each look at a length costs as much as a
	// column.
	eventRead = `, e.version, e.id, e.type, e.encoding, e.time, e.tags,
		CASE WHEN octet_length(e.metadata) <= 1024 THEN e.metadata END,
		CASE WHEN octet_length(e.data) <= 4096 THEN e.data END,
		CASE WHEN octet_length(e.data) > 4096 OR octet_length(e.metadata) > 1024
			THEN octet_length(e.data)::bigint + coalesce(octet_length(e.metadata), 0) END`
	streamRead = `e.position, NULL::text` + eventRead // all are of the stream that was asked for
	feedRead   = `e.position, e.stream` + eventRead
)

// arrays returns the arrays of records as the parameters from number n on.
func arrays(n int) string {
	s := recordArrays
	for i := 7; i >= 1; i-- {
		s = strings.ReplaceAll(s, "$N"+string(rune('0'+i)), "$"+itoa(n+i-1))
	}
	return s
}

func itoa(n int) string {
	if n >= 10 {
		return string(rune('0'+n/10)) + string(rune('0'+n%10))
	}
	return string(rune('0' + n))
}

var statements = [stmts]string{
	// Each append is one statement that compares and sets the stream's version:
	// where that is another by now, nothing is inserted and no position used. A
	// concurrent append to the same stream is waited for, and the version compared
	// with what that left.
	//
	// They return the positions of the events, a row for each, and those for several
	// streams the streams: to gather the positions of each stream costs an eighth of
	// an append of ten. Those for one event have no arrays, which is three quarters
	// of the work.
	appendNew: `WITH h AS (
			INSERT INTO {streams} (stream, version) VALUES ($1, cardinality($2::uuid[])) ON CONFLICT DO NOTHING RETURNING ` + durable + ` AS d
		)
		INSERT INTO {events} (` + recordColumns + `)
		SELECT nextval('{positions}'), $1, u.o, ` + recordValues + `
		FROM h, unnest(` + arrays(2) + `) WITH ORDINALITY AS u(` + recordNames + `) ORDER BY u.o RETURNING position`,
	appendAt: `WITH h AS (
			UPDATE {streams} s SET version = s.version + cardinality($2::uuid[])
			WHERE s.stream = $1 AND s.version = $9 AND s.closed = 0 RETURNING ` + durable + ` AS d
		)
		INSERT INTO {events} (` + recordColumns + `)
		SELECT nextval('{positions}'), $1, $9 + u.o, ` + recordValues + `
		FROM h, unnest(` + arrays(2) + `) WITH ORDINALITY AS u(` + recordNames + `) ORDER BY u.o RETURNING position`,
	appendFirst: `WITH h AS (
			INSERT INTO {streams} (stream, version) VALUES ($1, 1) ON CONFLICT DO NOTHING RETURNING ` + durable + ` AS d
		)
		INSERT INTO {events} (` + recordColumns + `) SELECT nextval('{positions}'), $1, 1, ` + oneRecord + ` FROM h RETURNING position`,
	appendNext: `WITH h AS (
			UPDATE {streams} s SET version = s.version + 1
			WHERE s.stream = $1 AND s.version = $9 AND s.closed = 0 RETURNING ` + durable + ` AS d
		)
		INSERT INTO {events} (` + recordColumns + `) SELECT nextval('{positions}'), $1, $9 + 1, ` + oneRecord + ` FROM h RETURNING position`,

	// This one tells the stream's version as well, in a last row, if it is there
	// already and nothing was stored.
	appendGuess: `WITH h AS (
			INSERT INTO {streams} (stream, version) VALUES ($1, cardinality($2::uuid[])) ON CONFLICT DO NOTHING RETURNING ` + durable + ` AS d
		), e AS (
			INSERT INTO {events} (` + recordColumns + `)
			SELECT nextval('{positions}'), $1, u.o, ` + recordValues + `
			FROM h, unnest(` + arrays(2) + `) WITH ORDINALITY AS u(` + recordNames + `) ORDER BY u.o RETURNING position
		)
		SELECT e.position, NULL::bigint FROM e
		UNION ALL SELECT NULL::bigint, s.version FROM {streams} s WHERE s.stream = $1 AND s.closed = 0 AND NOT EXISTS (SELECT FROM e)`,

	// Streams that are new are inserted in the order of their names, and then
	// those that are there are locked in the order of their names: whoever takes
	// several takes them so, and nobody waits in a circle.
	appendGroup: `WITH m AS MATERIALIZED (
			SELECT m.stream, m.base, m.n, m.o FROM unnest($1::text[], $2::bigint[], $3::bigint[]) WITH ORDINALITY AS m(stream, base, n, o)
		), i AS (
			INSERT INTO {streams} (stream, version) SELECT m.stream, m.n FROM m WHERE m.base = 0 ORDER BY m.stream COLLATE "C"
			ON CONFLICT DO NOTHING RETURNING stream, ` + durable + ` AS d
		), l AS MATERIALIZED (
			SELECT m.stream, m.base, m.n
			FROM (SELECT m.stream, m.base, m.n FROM m WHERE m.base > 0 AND (SELECT count(*) FROM i) >= 0 ORDER BY m.stream COLLATE "C") m
			CROSS JOIN LATERAL (SELECT FROM {streams} s WHERE s.stream = m.stream AND s.version = m.base AND s.closed = 0 FOR NO KEY UPDATE) s
		), w AS (
			UPDATE {streams} s SET version = s.version + l.n FROM l
			WHERE s.stream = l.stream AND s.version = l.base AND s.closed = 0 RETURNING s.stream, ` + durable + ` AS d
		)
		INSERT INTO {events} (` + recordColumns + `)
		SELECT nextval('{positions}'), m.stream, u.version, ` + recordValues + `
		FROM unnest($4::bigint[], $5::bigint[], ` + arrays(6) + `) WITH ORDINALITY AS u(part, version, ` + recordNames + `)
		JOIN m ON m.o = u.part WHERE m.stream IN (SELECT stream FROM i UNION ALL SELECT stream FROM w)
		ORDER BY u.o RETURNING stream, position`,

	// What is known of streams, and which ids stand where an append would go.
	look: `SELECT s.version, s.closed::bigint,
			CASE WHEN m.n > 0 AND s.version >= m.base + m.n THEN ARRAY(
				SELECT e.id FROM {events} e WHERE e.stream = m.stream AND e.version > m.base AND e.version <= m.base + m.n ORDER BY e.version
			) END,
			CASE WHEN m.n > 0 AND s.version >= m.base + m.n THEN ARRAY(
				SELECT e.position FROM {events} e WHERE e.stream = m.stream AND e.version > m.base AND e.version <= m.base + m.n ORDER BY e.version
			) END
		FROM unnest($1::text[], $2::bigint[], $3::bigint[]) WITH ORDINALITY AS m(stream, base, n, o)
		LEFT JOIN {streams} s ON s.stream = m.stream ORDER BY m.o`,

	// An append to several streams. hold takes the names of those that may be
	// missing, lock the rows of those that are there; see appendGroup.
	hold: `INSERT INTO {streams} (stream, version) SELECT m.stream, 0 FROM unnest($1::text[]) AS m(stream) ORDER BY m.stream COLLATE "C"
		ON CONFLICT DO NOTHING RETURNING stream`,
	lock: `SELECT s.version FROM {streams} s WHERE s.stream = ANY($1::text[]) ORDER BY s.stream FOR NO KEY UPDATE`,
	writeHeld: `WITH m AS MATERIALIZED (
			SELECT m.stream, m.base, m.n, m.o FROM unnest($1::text[], $2::bigint[], $3::bigint[]) WITH ORDINALITY AS m(stream, base, n, o)
		), w AS (
			UPDATE {streams} s SET version = m.base + m.n FROM m
			WHERE s.stream = m.stream AND s.version = m.base AND s.closed = 0 RETURNING s.stream, ` + durable + ` AS d
		)
		INSERT INTO {events} (` + recordColumns + `)
		SELECT nextval('{positions}'), m.stream, u.version, ` + recordValues + `
		FROM unnest($4::bigint[], $5::bigint[], ` + arrays(6) + `) WITH ORDINALITY AS u(part, version, ` + recordNames + `)
		JOIN m ON m.o = u.part WHERE m.stream IN (SELECT stream FROM w) ORDER BY u.o RETURNING stream, position`,
	release: `DELETE FROM {streams} WHERE stream = ANY($1::text[]) AND version = 0`,

	// FOR UPDATE waits for those who save a snapshot of the stream.
	closeStream: `WITH l AS MATERIALIZED (
			SELECT s.version FROM {streams} s WHERE s.stream = $1 AND s.version = $9 AND s.closed = 0 FOR UPDATE
		), h AS (
			UPDATE {streams} s SET version = s.version + 1, closed = $10::bigint FROM l
			WHERE s.stream = $1 AND s.version = l.version AND s.closed = 0 RETURNING ` + durable + ` AS d
		)
		INSERT INTO {events} (` + recordColumns + `)
		SELECT nextval('{positions}'), $1, $9 + u.o, ` + recordValues + `
		FROM h, unnest(` + arrays(2) + `) WITH ORDINALITY AS u(` + recordNames + `) RETURNING position`,
	startPurge: `UPDATE {streams} SET closed = 2 WHERE stream = $1 AND closed = 1 RETURNING ` + durable,
	blankEvents: `WITH b AS (
			UPDATE {events} SET type = '', encoding = '', time = '2000-01-01 00:00:00+00', tags = NULL, metadata = NULL, data = ''
			WHERE stream = $1 AND version >= $2 AND version <= $3 AND type <> '' RETURNING 1
		)
		SELECT count(*), ` + durable + ` FROM b`,
	dropSnapshots: `DELETE FROM {snapshots} WHERE stream = $1`,

	// The first row of these tells what the others are read from.
	readForward: `(SELECT s.closed::bigint, NULL::text, s.version, NULL::uuid, NULL::text, NULL::text, NULL::timestamptz, NULL::text[], NULL::bytea, NULL::bytea, NULL::bigint
			FROM {streams} s WHERE s.stream = $1 AND s.version > 0)
		UNION ALL (SELECT ` + streamRead + ` FROM {events} e
			WHERE e.stream = $1 AND e.version >= greatest($2, (SELECT CASE WHEN s.closed >= 2 THEN s.version END FROM {streams} s WHERE s.stream = $1))
			ORDER BY e.version LIMIT $3)`,
	readBackward: `(SELECT s.closed::bigint, NULL::text, s.version, NULL::uuid, NULL::text, NULL::text, NULL::timestamptz, NULL::text[], NULL::bytea, NULL::bytea, NULL::bigint
			FROM {streams} s WHERE s.stream = $1 AND s.version > 0)
		UNION ALL (SELECT ` + streamRead + ` FROM {events} e
			WHERE e.stream = $1 AND e.version <= $2 AND e.version >= coalesce((SELECT CASE WHEN s.closed >= 2 THEN s.version END FROM {streams} s WHERE s.stream = $1), 1)
			ORDER BY e.version DESC LIMIT $3)`,
	readFeed: `(SELECT coalesce((SELECT max(e.position) FROM {events} e), 0), NULL::text, pg_is_in_recovery()::int::bigint, (SELECT e.id FROM {events} e WHERE e.position = $3),
				NULL::text, NULL::text, pg_postmaster_start_time(), NULL::text[], NULL::bytea, NULL::bytea, NULL::bigint)
		UNION ALL (SELECT ` + feedRead + ` FROM {events} e WHERE e.position > $1 ORDER BY e.position LIMIT $2)`,
	// A row that is purged has no type and is left out. The id is that of the last event up to $4.
	filterFeed: `(SELECT coalesce((SELECT max(e.position) FROM {events} e), 0), NULL::text, pg_is_in_recovery()::int::bigint, (SELECT e.id FROM {events} e WHERE e.position = $3),
				NULL::text, NULL::text, pg_postmaster_start_time(), NULL::text[], NULL::bytea, NULL::bytea,
				(SELECT max(e.position) FROM {events} e WHERE e.position <= $4))
		UNION ALL (SELECT ` + feedRead + ` FROM {events} e
			WHERE e.position > $1 AND e.position <= $4 AND e.type <> ''
				AND ($5::text[] IS NULL OR e.type = ANY($5::text[]))
				AND ($6::text[] IS NULL OR EXISTS (SELECT FROM unnest($6::text[]) AS p(prefix) WHERE starts_with(e.stream, p.prefix)))
			ORDER BY e.position LIMIT $2)`,
	// How far the positions after $1 follow each other without a gap, looking at $2 of them, and the last one looked at.
	prefixEnd: `SELECT pg_is_in_recovery()::int::bigint, pg_postmaster_start_time(),
			coalesce(max(p.position) FILTER (WHERE p.position = $1 + p.n), $1), coalesce(max(p.position), $1)
		FROM (SELECT e.position, row_number() OVER (ORDER BY e.position) AS n FROM {events} e WHERE e.position > $1 ORDER BY e.position LIMIT $2) p`,
	readLarge:  `SELECT e.position, e.type, e.metadata, e.data FROM {events} e WHERE e.position = ANY($1::bigint[])`,
	eventAt:    `SELECT e.id FROM {events} e WHERE e.position = $1`,
	eventAfter: `SELECT coalesce(min(e.position), 0) FROM {events} e WHERE e.position > $1`,
	// Who may yet commit a position up to the last one: see feed.go.
	fence: `SELECT pg_is_in_recovery()::int::bigint, pg_postmaster_start_time(), coalesce((SELECT max(e.position) FROM {events} e), 0),
			ARRAY(SELECT DISTINCT l.virtualtransaction FROM pg_locks l
				WHERE l.locktype = 'relation' AND l.relation = '{events}'::regclass AND l.mode = 'RowExclusiveLock' AND l.granted
				AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
				AND (NOT $1::boolean OR l.pid IS DISTINCT FROM pg_backend_pid())),
			current_setting('transaction_isolation')`,
	head: `SELECT coalesce(max(position), 0), pg_is_in_recovery()::int::bigint FROM {events}`,

	listStreams: `SELECT stream, version, closed::bigint FROM {streams}
		WHERE stream > $1 AND stream >= $2 AND version > 0 ORDER BY stream LIMIT $3`,

	loadCheckpoint: `SELECT name, position, seen_at, seen_id, revision FROM {checkpoints} WHERE name = $1`,
	createCheckpoint: `INSERT INTO {checkpoints} AS c (name, position, seen_at, seen_id, revision) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (name) DO UPDATE SET revision = c.revision WHERE c.revision = excluded.revision RETURNING ` + durable,
	replaceCheckpoint: `UPDATE {checkpoints} SET position = $2, seen_at = $3, seen_id = $4, revision = $5
		WHERE name = $1 AND revision IN ($5, $6) RETURNING ` + durable,
	deleteCheckpoint: `DELETE FROM {checkpoints} WHERE name = $1 RETURNING ` + durable,
	listCheckpoints: `SELECT name, position, seen_at, seen_id, revision FROM {checkpoints}
		WHERE name > $1 ORDER BY name LIMIT $2`,

	loadSnapshot: `SELECT n.version, n.event_id, n.encoding, n.data FROM {snapshots} n
		WHERE n.stream = $1 AND n.kind = $2 AND NOT EXISTS (SELECT FROM {streams} s WHERE s.stream = $1 AND s.closed <> 0)`,
	// FOR KEY SHARE keeps the stream from being closed until this commits, and lets
	// appends pass.
	saveSnapshot: `WITH s AS MATERIALIZED (
			SELECT s.closed FROM {streams} s WHERE s.stream = $1 FOR KEY SHARE
		), n AS (
			INSERT INTO {snapshots} AS n (stream, kind, version, event_id, encoding, data)
			SELECT $1, $2, $3, $4, $5, $6 WHERE NOT EXISTS (SELECT FROM s WHERE s.closed <> 0)
			ON CONFLICT (stream, kind) DO UPDATE SET
				version = excluded.version, event_id = excluded.event_id, encoding = excluded.encoding, data = excluded.data
			WHERE excluded.version >= n.version RETURNING ` + durable + ` AS d
		)
		SELECT (SELECT s.closed::bigint FROM s), (SELECT count(*) FROM n)`,
	deleteSnapshot: `DELETE FROM {snapshots} WHERE stream = $1 AND kind = $2 RETURNING ` + durable,

	// A wake-up that is lost in a crash is no loss: it need not wait for the disk.
	notify: `SELECT set_config('synchronous_commit', 'off', true), pg_notify($1, '')`,

	// Something in the log, so that its commit waits for a standby: what was committed
	// before lies before it.
	confirm: `SELECT pg_logical_emit_message(true, 'es', ''), ` + durable,
}

// tableNames returns what replaces the {NAME} of a text.
func (cfg *Config) tableNames() *strings.Replacer {
	var pairs []string
	for _, t := range append(tables[:], "positions") {
		name := pgx.Identifier{cfg.schema(), cfg.table(t)}.Sanitize()
		if t == "positions" || t == "events" { // within quotes, too: a schema may have one in its name
			pairs = append(pairs, "'{"+t+"}'", "'"+strings.ReplaceAll(name, "'", "''")+"'")
		}
		pairs = append(pairs, "{"+t+"}", name)
	}
	return strings.NewReplacer(pairs...)
}

// table returns the name of a table, without its schema.
func (cfg *Config) table(name string) string {
	if cfg.Prefix != "" {
		name = cfg.Prefix + "_" + name
	}
	return "es_" + name
}

// SQL returns the statements that create what a store of this configuration
// needs, for those who apply them themselves and open the store with CheckOnly.
// They are one transaction, for psql or another client that takes several
// statements at once.
func (cfg Config) SQL() string {
	var b strings.Builder
	b.WriteString("BEGIN;\n")
	names := cfg.tableNames()
	if cfg.schema() != defaultSchema {
		b.WriteString("CREATE SCHEMA IF NOT EXISTS " + pgx.Identifier{cfg.schema()}.Sanitize() + ";\n")
	}
	for _, text := range ddl {
		b.WriteString(names.Replace(text) + ";\n")
	}
	b.WriteString("COMMIT;\n")
	return b.String()
}
