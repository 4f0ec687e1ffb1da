// Package sqlite is the driver for SQLite: one file, no server, any number of
// processes. It registers itself as "sqlite":
//
//	import (
//		"github.com/go-es/es"
//		_ "github.com/go-es/es/drivers/sqlite"
//	)
//
//	store, err := es.Open("sqlite", "history.db")
//
// [ParseDSN] says what a data source name may hold, [Config] is the same as a
// struct for [Open], and [New] takes a *sql.DB of one's own. The SQLite is that of
// github.com/mattn/go-sqlite3, which needs a C compiler when a program is built.
// Without one (CGO_ENABLED=0) the package compiles all the same, Open says so, and
// New works with modernc.org/sqlite.
//
// # What it claims
//
// The position of an event comes with the append; positions are 1, 2, 3 and so on
// without a gap, in the order in which appends were committed; the feed can be
// filtered in the database. A gap, or a row that cannot be what was stored, is
// driver.ErrCorrupt. Appends may go to several streams at once, groups of appends
// share one commit, checkpoints and snapshots are stored beside the events.
//
// Limits: 16 MiB an event and a snapshot, 64 MiB, 10,000 events and 10,000 streams
// an append. A page ends at 10,000 records or past 4 MiB of data, whatever its limit
// is; without a limit, at 256 records. With a filter it looks at 20,000 events,
// and at fewer with more than 20 prefixes.
//
// # Durability
//
// The database has a write-ahead log (journal_mode=wal), and each commit is forced
// to disk (synchronous=full, and fullfsync on macOS): what was acknowledged
// survives the kill of the process and a loss of power, as far as the disk keeps
// its word. With sync=normal it survives the kill of the process only: after a
// loss of power the last events may be gone, and others get their positions. A
// database in memory is gone with its store.
//
// A commit that fails so that SQLite may yet find it after a crash (a failed sync)
// is made again until that tells, for up to 2 seconds. A full disk is an error by
// which nothing was stored; the store goes on when there is room again.
//
// # One writer
//
// SQLite has one writer at a time, in all processes together. A store keeps one
// connection for writing and waits for others with pauses of at most half a
// millisecond, so that processes that write all the time get their turns; after
// Config.Busy it gives up with a transient error, which package es makes again.
// Readers never wait for writers. A process that keeps a write transaction open
// holds up every other writer: keep them short.
//
// Network file systems (NFS, SMB, 9p, FUSE and others) are refused on Linux, and
// are no place for the file elsewhere: the log needs memory that all processes
// share. The same holds for one file that two machines, or a host and a container
// on a virtual machine, have open at once.
//
// Within a process, a file that is closed loses the locks that any part of the
// process holds on it. So do not read the database file while it is open
// (os.ReadFile), and do not open it by two SQLite libraries in one process (Open,
// which is mattn's, and New with modernc's): other processes could then write at
// the same time.
//
// # The log
//
// SQLite copies the log into the database every 1,000 pages. When readers
// overlap, it never gets to begin the log anew; so, when the log is longer than
// 16 MiB, the writer waits for them, for a tenth of a second at most. A reader
// that does not end, of another program, lets the log grow until it ends.
//
// # A pool of one's own
//
// [New] checks what would break a promise (locking_mode, read_uncommitted,
// query_only, a text encoding of UTF-16) and refuses it by name; it sets
// synchronous, busy_timeout, fullfsync and secure_delete on the connection that it
// keeps for writing, and lets the pool close that one in the end. The store's
// other connections are used as they are, and for reading only.
//
// [Store.InTx] appends inside a transaction of the caller's. What it costs: the
// transaction is the only writer from its first write to its end, each such append
// is a commit of its own (no groups), and listeners learn of it up to 15 ms later.
//
// # Deletion
//
// A purge overwrites the events with nothing, in the transaction that closes the
// stream, with secure_delete on, and empties the log. What is left of an event is
// its stream, version, position and id. If a reader is in the way, the bytes stay
// in the log until it is next emptied; backups and the blocks of the disk are out
// of reach.
//
// # Backups and restores
//
// Copy the file with VACUUM INTO, the command .backup, or while no process has it
// open; a copy of the file alone, made while the database is in use, lacks what is
// in the log.
//
// To restore, end every process that has the database open, remove the file,
// NAME-wal and NAME-shm, and only then put the copy in place. A log that a killed
// process has left belongs to the old file: SQLite would write it into the copy,
// and nothing tells that the result is wrong. The command .restore of sqlite3 may
// be used while the database is open. Never copy over a file that is in use: it
// stays the same file, so nobody can notice.
//
// When its file was removed, moved, or replaced by another of its name, each call
// of a store fails with driver.ErrCorrupt and nothing is stored, until the store is
// closed and opened again; what was acknowledged before went with the old file.
// When the log was removed, writes fail so a tenth of a second later.
//
// After a restore, positions that readers have passed are given to other events.
// es keeps the id of the event at each checkpoint beside it, so such a reader fails
// with driver.ErrCheckpointAhead and skips nothing silently.
//
// # Tables
//
// With prefix=shop they are es_shop_events and so on.
//
//	es_meta         key, value: the version of the schema
//	es_streams      id, stream, closed (1: tombstoned, 2: purged)
//	es_events       position, stream_id, version, id, type, encoding,
//	                time (µs since 1970), tags (JSON), metadata, data
//	es_checkpoints  name, position, seen_at, seen_id, revision
//	es_snapshots    stream, kind, version, event_id, encoding, data
//
// They are for reading: where the events are stored as JSON, data is the JSON as
// it is. Writing to them, or deleting a row, breaks the store.
package sqlite
