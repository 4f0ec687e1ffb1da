// Package mysql is the driver for MySQL, from 8.0 on, and MariaDB, from 10.6 on, with
// github.com/go-sql-driver/mysql. It registers itself as "mysql":
//
//	import (
//		"github.com/go-es/es"
//		_ "github.com/go-es/es/drivers/mysql"
//	)
//
//	store, err := es.Open("mysql", "user:password@tcp(127.0.0.1:3306)/shop")
//
// [ParseDSN] says what a data source name may hold, [Config] is the same as a struct
// for [Open], and [New] takes a *sql.DB of one's own.
//
// # What it claims
//
// The position of an event comes with the append, and the feed can be filtered in the
// database. Positions have gaps. Appends may go to up to 100 streams at once, a group
// of up to 100 appends is one statement, checkpoints and snapshots are stored beside
// the events.
//
// Limits: 4 MiB an event, 7 MiB and 1,000 events an append, 7 MiB a snapshot. They
// follow from max_allowed_packet, which has to be 16 MiB or more, as it is by default.
// A page ends at 2,000 records or past 4 MiB of data, whatever its limit is; without a
// limit, at 1,000 records. With a filter it looks at 10,000 positions.
//
// # What operations cost
//
// An append to one or more streams, or of a group, is one INSERT: one round trip and
// one commit. Where the store has not seen the stream a moment ago on the same server,
// the statement looks at the event before its own, too; for Any and Exists the first
// append to a stream takes a round trip more, to find its last version. What was
// refused takes one or two more to find out why, and the numbers that it took become
// fillers. An append that checks streams to which it does not append is a transaction
// of four round trips. Where several processes append to one stream at any version and
// are refused, they stand in line for as long as that goes on: GET_LOCK and RELEASE_LOCK
// of a name that begins with "es_", which decide nothing. Each waits for up to 2 seconds
// for a stream, so a statement that appends to eight such streams for up to 16; with more
// of them it does not wait.
//
// A page of a stream is one query, and a second one for the last version where the
// stream does not end with the page; a page of the feed is one. With a filter it is four,
// of which one makes sure of the last event that the reader has seen: so the first page is
// three. Next to a gap it is one more. Events above 4 KiB come with one query more. On a
// server without a binary log, a page of the feed with something new, Head, and what
// refuses a write ask how far the server's log is on the disk. Once a second a connection
// in use asks whether its server is read_only. What is run most is prepared, up to nine
// statements on each connection that the store opens, unless max_prepared_stmt_count is
// reached.
//
// # Why the feed loses nothing
//
// Positions are numbers of AUTO_INCREMENT, which are taken when a row is inserted, and
// rows become visible when they are committed: a reader can see position 12 while 11
// is still to come, or will never come. ReadAll returns events up to the first missing
// position and no further. When a row above a gap has been there for 10 ms, the
// reader decides the matter: it inserts a row of its own at the missing position, a
// filler. The primary key admits one row with that position. There are three cases.
//
//   - A writer has inserted its row and not yet committed. Then the row is locked. The
//     reader asks for the lock first, without waiting, and leaves the position alone.
//   - The writer was undone, or will never insert. The filler gets the position for good.
//   - The writer has taken the number and is about to insert its row. Then the filler
//     gets the position, and the writer's statement is refused as a whole, and made
//     again with new numbers.
//
// In each case it is decided before anybody reads past the position. Fillers are
// inserted in ascending order, up to the first position that a writer holds: so no
// writer that lives is refused without need. No clock and no time limit has a part in
// this: the 10 ms only save fillers. A transaction in another database, however long,
// is in nobody's way.
//
// That needs a right: who reads the feed needs to be allowed to INSERT, which Open
// checks. A reader that could not would wait before the first dead gap for ever. For
// the same reason a replica cannot be read from, and is refused; and a primary that
// becomes read_only is refused by the connections that it has within a second.
//
// InnoDB shows what was committed before it is on the disk, unless the server has a
// binary log. A reader would then have seen events that a crash of the server undoes.
// So on a server without a binary log what is read from the feed, a Head and a conflict
// wait until the server has written its log so far: a fraction of a millisecond while
// others append. A page of a stream does not wait: a crash of the server may undo the last
// events that it shows, unless their append has returned.
//
// # Why a stream is whole
//
// The key on stream and version lets one append have a version. The statement names
// the version itself, and finds it by the event before: where that is missing or has
// closed the stream, it is refused. There is no other table to be in step with. Where
// the store has learned within the last second that the event before is there, on the
// same server and no later than it opened the connection, it does not ask again. One
// thing could make that untrue: tables that are put back from a backup while programs
// write. End them first.
//
// An append whose answer was lost is sent again at the same version until the server
// says what became of it, for up to Config.Settle.
//
// # What the server has to have
//
// Open, and every new connection of a store made by it, refuses by name:
// auto_increment_increment other than 1; innodb_flush_log_at_trx_commit other than 1;
// sync_binlog other than 1 and binlog_format STATEMENT where log_bin is on;
// max_allowed_packet below 16 MiB; a server that is read_only; Galera (wsrep_on) and
// group replication with several primaries, where locks do not hold between nodes;
// group replication with group_replication_consistency EVENTUAL, the default before
// MySQL 8.4, with which a new primary shows an old state for a while: it has to be
// BEFORE_ON_PRIMARY_FAILOVER at least; tables of other engines than InnoDB, or
// partitioned ones; an AUTO_INCREMENT that lies behind its table; older versions; and
// TiDB, Vitess and others that speak the protocol without InnoDB's locks. And what
// would let a crash or a loss of power take events that were acknowledged:
// innodb_doublewrite OFF, DETECT_ONLY or fast; innodb_flush_method nosync
// or littlesync, and O_DIRECT_NO_FSYNC of MariaDB; innodb_checksum_algorithm none;
// innodb_log_checksums OFF; a disabled redo log; innodb_force_recovery. Where the
// storage writes pages as a whole, atomicpages=true ([Config.AtomicPages]) admits
// innodb_doublewrite OFF.
//
// A replica that takes writes is refused where the server says that it is one: MariaDB
// does, MySQL only to a user with the right REPLICATION CLIENT. The same right is needed
// to see that binlog_do_db or binlog_ignore_db leaves the database out of the binary
// log; a store that cannot see it believes that the log has its events, so give it the
// right where you use these. O_DIRECT_NO_FSYNC of MySQL is safe only while the log lies
// on the device of the data, or that has a cache with a battery.
//
// Of other settings none matters: the store's connections have READ COMMITTED, a
// strict sql_mode, a wait_timeout of 60 seconds and an innodb_lock_wait_timeout of 3.
// A proxy has to pass each connection on to one server, the primary, for as long as it
// lasts: none that shares connections among clients, or sends reads elsewhere.
//
// Rights: SELECT, INSERT, UPDATE and DELETE on the tables, and CREATE unless they are
// made from [Schema] and the store is opened with ddl=check; REPLICATION CLIENT for the
// two looks above.
//
// # A pool of one's own
//
// [New] leaves the connections of the pool as they are: they need no parameter, and
// work with parseTime, loc, clientFoundRows and the like. It refuses a session without
// strict sql_mode, without autocommit, or that reads what is not committed, and
// unique_checks, completion_type, sql_select_limit and sql_log_bin other than by
// default. While it fills a gap on MySQL it sets innodb_lock_wait_timeout to 1, and
// puts it back. Each append asks for the event before its own. Set a wait_timeout in the data source
// name, so that a program whose host vanishes in the middle of a transaction does not
// hold the feed back for eight hours.
//
// [Store.InTx] appends inside a transaction of the caller's. What it costs: from the
// first append to the end of the transaction every reader of the feed waits before its
// first event, and those who append to the same streams wait for up to their
// innodb_lock_wait_timeout. Keep it short. Events that were appended in it learn no
// listener; they are seen within a tenth of a second.
//
// # Deletion
//
// A delete stores its record with one INSERT and empties the snapshots; a purge then
// overwrites the events with nothing, up to 1,000 or 4 MiB of them in each of many
// transactions. One that breaks off is ErrUnknownOutcome: the next one finishes it, and
// until then the stream is closed and shows what is left of it only to those who read
// deleted streams. What is left of an event is its
// stream, version, position and id: a row that was removed would leave a gap, which
// would be filled. The bytes stay in the undo log until InnoDB purges it, and in
// binary logs and backups.
//
// # Failover and restores
//
// With asynchronous replication, a failover loses what the new primary had not got,
// and gives its positions to other events; so does a restore. es keeps the id of the
// event at each checkpoint beside it, so a reader that has seen what is gone fails
// with driver.ErrCheckpointAhead and skips nothing silently. Group replication with one
// primary loses nothing that was acknowledged. Nor does semi-synchronous replication with
// AFTER_SYNC, as long as it does not fall back to asynchronous: it does where no replica
// answers for rpl_semi_sync_source_timeout, which is 10 seconds by default, so set that as
// high as it goes (rpl_semi_sync_master_timeout of MariaDB and of older MySQL). And the
// replica that has everything has to become the primary.
//
// While the old primary is read-only and the new one not yet there, calls fail with
// transient errors, which package es makes again. A program that still has connections to
// the old one reads what is there for up to a second after that became read-only; so set
// read_only or super_read_only before the new one takes writes. That a checkpoint is
// ahead of the feed no call says before it has asked. Inside a transaction of the
// caller's the first write looks, and no read.
//
// To restore, end the programs that write, put all tables of a prefix back, and start
// them.
//
// # Watching it
//
// Rows of kind 1 in es_events are fillers: few, or many appends are refused or rolled
// back. A feed that stands still while SELECT MAX(position) grows waits for a
// transaction: information_schema.innodb_trx shows the oldest.
//
// # Tables
//
// With prefix=shop they are es_shop_events and so on; [Schema] prints them.
//
//	es_meta         name, value: the version of the schema
//	es_events       position, kind, stream, version, id, type, encoding,
//	                time (µs since 1970), size (of metadata and data),
//	                tags (with NUL between), metadata, data
//	es_checkpoints  name, position, seen_at, seen_id, revision
//	es_snapshots    stream, kind, version, event_id, encoding, data
//
// Kinds: 0 an event, 1 a filler, 2 a purged event, 3 the record that closed a stream,
// 4 the same of a purged one. An empty snapshot was
// deleted, and one of the highest version is that of a closed stream. The tables are for reading: where events are stored as
// JSON, data is the JSON as it is. Writing to them, or deleting a row, breaks the
// store.
package mysql
