// Package postgres is the driver for PostgreSQL 13 and later, by pgx. It registers
// itself as "postgres":
//
//	import (
//		"github.com/go-es/es"
//		_ "github.com/go-es/es/drivers/postgres"
//	)
//
//	store, err := es.Open("postgres", "postgres://user:password@host:5432/database")
//
// [ParseDSN] says what a data source name may hold, [Config] is the same as a
// struct for [Open], [New] takes a *pgxpool.Pool of one's own, and [Store.InTx]
// appends inside a transaction of the caller's.
//
// # What it claims
//
// The position of an event comes with the append; positions have gaps, of appends
// that failed; the feed can be filtered in the database. Appends may go to several
// streams at once, groups of appends are one statement, checkpoints and snapshots
// are stored beside the events, and listeners are woken across processes.
//
// Limits: 16 MiB an event and a snapshot, 64 MiB, 10,000 events and 1,000 streams
// an append. A page has up to 4,000 records, 1,000 without a limit. Its events of more
// than 4 KiB of data or 1 KiB of metadata fill it up to 4 MiB, or one of them does; the
// others have 20 MiB at most, and names and tags come on top. With a filter it looks at
// 20,000 events at most.
//
// # What each call costs
//
// An append to one stream, or a group of appends, is one statement and one round
// trip, and one wait for the disk, which concurrent commits share. At es.Any and
// es.Exists a version has to be named too, or nobody could find out what became of
// a request whose answer was lost: the store remembers the last versions of some
// thousand streams. Where it does not know the version there is one more round trip,
// and where another process has appended since there are two. When another was faster
// twice the stream is locked first. An append to several streams is a transaction of two
// round trips. What is recognised, or refused, takes one more to look.
//
// A page of a stream or of the feed is one statement, and three with a filter. Where a
// position of the feed is missing, one more finds out whether it is still being written,
// and if it is not the page is read again: three in all, and seven with a filter. Each
// time that a page is read, large events take one more, and purged ones in the feed.
// The first use of a statement on a connection prepares it, which is a round trip too.
//
// # Why the feed loses nothing
//
// Positions come from a sequence, and events become visible when their transaction
// commits: position 7 can be there while 6 is still being written. Most event stores
// on PostgreSQL then skip 6, at once or after a while, and lose an event whenever a
// writer is slow. To know better needs proof that 6 will never come:
//
//  1. Whoever takes a position does so inside an INSERT into es_events, and
//     therefore holds the lock ROW EXCLUSIVE on that table. PostgreSQL keeps the
//     lock until the transaction has ended, and it makes a commit visible before it
//     releases the locks of it.
//  2. A reader that misses 6 notes the last position m that is visible, and then,
//     from pg_locks, who holds that lock. Position 6 was taken before m became
//     visible; so whoever took it is among the holders, or has ended.
//  3. When none of these holders is left, a statement that begins then sees every
//     position up to m that will ever be there. What is missing now is of an append
//     that failed, and is passed.
//
// There is no waiting time in it, and no transaction of another database or
// another table delays it. The reader never waits inside a call: it returns what
// comes before the gap, and asks again. What was once proved holds for all positions
// up to m, so that old gaps cost a new process one round.
//
// The edges: a transaction that was prepared (two-phase commit) keeps the lock; after
// a restart it is shown under another name, so nothing is passed while there is a
// holder of that kind. A savepoint that was rolled back releases the lock, and the
// position is indeed dead. After a restart, or on another server, what was known is
// forgotten. On a replica pg_locks shows no writers: every statement of the feed asks
// whether it runs on one, and fails there.
//
// Within a stream, positions rise with versions, because an append takes its
// positions while it holds the stream's row; the sequence must have CACHE 1.
//
// # Isolation
//
// Statements work at READ COMMITTED: each sees what was committed before it began,
// and an UPDATE that waited looks at what it waited for. Where sessions have another
// default, the store changes it on connections of its own, and begins its own
// transactions on those of a caller's pool.
//
// # Durability
//
// What was acknowledged survives the kill of the server and a loss of power, as far
// as the disk keeps its word. Open refuses fsync=off, full_page_writes=off (unless
// the data source name says no_torn_pages=true, for storage that never writes half
// a page) and synchronous_commit=off, and a store whose tables are UNLOGGED. Should
// synchronous_commit be switched off later, for the role, say, each append switches
// it on for its own transaction. A stricter one, such as remote_apply, stays.
//
// When the primary fails and an asynchronous replica takes its place, the last
// acknowledged events may be gone, and their positions are given to others: es keeps
// the id of the event at each checkpoint, so a reader that has seen such an event
// fails with driver.ErrCheckpointAhead and skips nothing silently. A restore of a
// backup is the same.
//
// With synchronous_standby_names nothing acknowledged is lost so, as long as one of
// these standbys takes the place: where the wait for them ends with the context, or with
// Close, the write is a driver.UnknownOutcomeError, and who makes it again waits again.
// It may be read meanwhile, and so be gone after a failover, as above. The store learns
// of the setting on each new connection: set it before Open. An administrator must not
// cancel such a wait (pg_cancel_backend): PostgreSQL tells the client of it as success.
//
// Name several hosts in the data source name only with
// target_session_attrs=read-write.
//
// # What is refused at Open
//
// Besides those settings: a replica; default_transaction_read_only=on; a database
// encoding or a client_encoding other than UTF8; versions before 13, which get no
// fixes any more and were not tried; CockroachDB, YugabyteDB, Redshift and whatever
// else does not show the lock of an INSERT in pg_locks; a sequence whose CACHE or
// INCREMENT is not 1, or that lies behind its table, as after logical replication or
// a restore of the data alone: other events would get positions that readers have
// passed. Sequence and settings are checked on each new connection.
//
// # Poolers
//
// The store works behind a pooler that gives each transaction another session, such
// as PgBouncer in transaction mode: it keeps nothing in a session that it depends on.
// It notices a pooler by itself (the server's process has another number than the
// client was told) and then prepares no statements; the same can be had with
// default_query_exec_mode=exec. What does not work there is LISTEN: subscriptions
// poll, and Listen returns errors.ErrUnsupported. A pooler that sends statements that
// read to replicas must not: the feed refuses to run there.
//
// # Clients that vanish
//
// A host that goes away in the middle of a transaction leaves its locks behind, and
// the feed behind them, until the server notices. The store's own transactions of
// several round trips end after 10 seconds of silence. For a statement of which
// only a part arrived, and for transactions of the caller's, set
// idle_in_transaction_session_timeout and tcp_keepalives_idle on the server: the
// latter is two hours by default.
//
// # Transactions of the caller's
//
//	tx, err := pool.Begin(ctx)
//	…
//	_, err = tx.Exec(ctx, "UPDATE accounts …")
//	_, err = store.With(pg.InTx(tx)).Append(ctx, "account-1", es.Any, event)
//	err = tx.Commit(ctx)
//
// From the append to the commit the feed is held back, for all readers: what others
// append meanwhile is delivered afterwards. Keep such transactions short, and set
// idle_in_transaction_session_timeout. Listeners are not woken by them; subscriptions
// see the events when they poll.
//
// # Deletion
//
// A purge closes the stream in one transaction and then overwrites its events with
// nothing, a thousand in each of several: a purge that was interrupted is finished
// when it is called again. What is left of an event is its stream, version, position
// and id. The old bytes are gone when the table was vacuumed and the log recycled;
// backups are out of reach.
//
// # Rights
//
// The role that opens a store needs USAGE on the schema, SELECT, INSERT, UPDATE and
// DELETE on the tables, and USAGE and SELECT on the sequence; the one that creates
// them also CREATE on the schema. [Config.SQL] prints what is created.
//
// # Tables
//
// With prefix=shop they are es_shop_events and so on, in the schema public unless
// schema=NAME says otherwise.
//
//	es_meta         key, value: the version of the schema
//	es_streams      stream, version, closed (1: tombstoned, 2: purged)
//	es_positions    the sequence
//	es_events       position, stream, version, id, type, encoding, time, tags,
//	                metadata, data
//	es_checkpoints  name, position, seen_at, seen_id, revision
//	es_snapshots    stream, kind, version, event_id, encoding, data
//
// They are for reading: where events are stored as JSON, convert_from(data, 'UTF8')
// is the JSON as it is. Writing to them, or deleting a row, breaks the store.
//
// # How to watch it
//
// The feed stands still while somebody holds the lock:
//
//	SELECT pid, virtualtransaction FROM pg_locks
//	WHERE relation = 'es_events'::regclass AND mode = 'RowExclusiveLock'
//
// Join pg_stat_activity to see since when, and pg_prepared_xacts for those without a
// pid. Every append updates a row of es_streams: autovacuum has to keep up with it.
package postgres
