// Package mongo is the driver for MongoDB 5.0 and later, as a replica set, and for
// FerretDB 2 with DocumentDB. It registers itself as "mongo":
//
//	import (
//		"github.com/go-es/es"
//		_ "github.com/go-es/es/drivers/mongo"
//	)
//
//	store, err := es.Open("mongo", "mongodb://user:password@host1,host2,host3/database?replicaSet=rs0")
//
// [ParseDSN] says what a data source name may hold, [Config] is the same as a struct
// for [Open], and [New] takes a *mongo.Client of one's own.
//
// # What it claims
//
// The feed has positions 1, 2, 3 and so on. They are given by whoever reads the feed,
// so that an append returns none. An append goes to one stream; a group of appends is
// up to four commands at the same time. Checkpoints and snapshots are stored beside the events. There are no
// wake-ups from other processes: subscriptions poll.
//
// Limits: 4 MiB an event, an append and a snapshot, 1,000 events an append. A page
// has up to 4,000 records, 1,000 without a limit, and ends after 4 MiB and the append
// that it is in.
//
// Transactions and change streams are not used.
//
// # What each call costs
//
// An append is one insert, if the store knows that the stream has ended at the
// version that is expected: from reading it, or from an append before. It remembers
// some thousand streams. Where it does not know, there is one more find. An append
// that is refused takes two or three more, to find out why, or whether it is there
// already.
//
// A page of a stream up to its end is one find. A page that ends before that has one
// more, for the stream's last version. A page that begins in the middle of a stream has
// one more at the same time, for the append that it may begin inside, unless the store
// knows that from the page before it, or from the last read from there; with a limit of
// 100 or less it has one more before. A load of an aggregate with a snapshot is two
// finds at the same time, and three when the store sees it for the first time. A listing
// of streams is one find for up to 512 appends where streams are short, one after the
// other; where they are long it is two for each stream, of which one waits for the stream
// before.
//
// A page of the feed is one find, of the commits by their keys, where the log is in
// memory, and else two. What was appended and not read costs a little more once: a
// find of the marks, an insert into the log and an update that clears the marks,
// for up to 500 appends at a time. A poll that finds nothing takes two finds, and a
// process makes no more than four such polls a second, however many subscriptions it
// has.
//
// # Why the feed loses nothing
//
// MongoDB has no order of all documents that a reader could follow: a counter
// that each append increments would make all appends wait for each other, object ids
// and times come from clocks, and what is visible first need not have begun first.
// So an append says nothing of its position. It writes one document with a mark, and
// a reader puts what is marked into a log:
//
//  1. Each document of the log has its first position as its _id, and that of the
//     next one follows from it: the log is a chain, and of several processes that put
//     the next document one succeeds. So every position is given once, and for good.
//  2. A mark is there from the moment that its events are, being in the same document,
//     and is removed only when the log has the events. So nothing is ever missed,
//     however long a writer or its request takes: what comes late comes later in
//     the log.
//  3. Before a process puts a document into the log it clears the marks of the one
//     before, and then lists marks. So it puts nothing twice.
//  4. Marks are listed from high versions to low ones. An append at version 5 can be
//     made only when that at version 4 is there; so whoever sees the one passes the
//     other afterwards, and the events of a stream come in order.
//
// Package sequencer has the argument in full, with crashes at every point. The log
// and the marks are read with read concern majority and written with write concern
// majority, so that no election takes back what a reader has seen; the requests of a
// process are causally consistent, so that a primary that was elected a moment ago
// shows it no mark that was cleared; and where the log ends is read with read
// concern linearizable.
//
// # Versions
//
// The _id of an append's document is its stream and its first version: of several
// appends at one version one is stored. The store inserts only where it knows that an
// append ends at the version before, which a majority of the servers has, and which
// does not close the stream. There is no unique index besides that of _id.
//
// # Consistency and failover
//
// Writes have w: majority and j: true, reads go to the primary with read concern
// majority; what decides whether an append was refused, whether a checkpoint was
// saved, or whether a reader is ahead of the feed is read with linearizable, and waits
// for a majority. A client's own settings do not count.
//
// While a new primary is elected, usually for ten seconds at most, an old one that
// has not noticed may answer: for that time a stream, a snapshot, a listing or what
// is settled may lack what was appended last, and the feed may still show what a purge
// has taken. Calls wait for a primary as long as
// serverSelectionTimeoutMS says, 30 seconds by default, or as their context allows.
// What was acknowledged is not lost while a majority of the servers keeps its disk.
//
// A write whose answer is lost is sent again with the same _id until it is answered:
// either it is inserted, or what is there tells by its ids whose it is. The client's own
// retries of writes are off; with those of a client that is passed to [New], more errors
// leave the outcome open, and are settled so. A session in the context of a call, and its
// transaction, are the caller's: the store does not take part in them.
//
// # What is refused at Open
//
// A mongos and a load balancer before one: a sharded collection can hold one _id
// twice. A standalone server, which shows what a crash may take back: start it as a
// replica set of one. MongoDB before 5.0, FerretDB before 2.0, Amazon DocumentDB and
// Azure Cosmos DB. Parameters that ask for less than is needed (see [ParseDSN]).
// Collections that are capped, have a collation or a validator, and indexes on them
// that are unique or let documents expire.
//
// # Deletion
//
// A delete inserts the document that closes the stream. A purge then removes the
// events from all others, and leaves their _id, number and ids: a late duplicate of
// an append is refused, and the log still names them. Backups and the oplog are out
// of reach.
//
// # Collections
//
// With prefix=shop they are es_shop_commits and so on. Open creates them, and needs
// the role readWrite on the database; with ddl=check it creates nothing.
//
//	es_commits      _id: stream, a zero byte, the first version in 16 hexadecimal digits
//	                n: how many events   i: [their ids]
//	                e: [{t: type, c: encoding, g: [tags], w: time in microseconds since
//	                    1970, d: data, m: metadata}], absent once purged
//	                u: the first version, absent once in the log; has an index
//	                x: true if it closes the stream
//	es_log          _id: first position, n: how many, s: [{k: _id of a commit, n}]
//	es_checkpoints  _id: name, p: position, a and s: position and id of the event that
//	                was seen last, r: revision
//	es_snapshots    _id: stream, a zero byte, kind; v: version, i: id of the event,
//	                c: encoding, d: data; v alone of one that was deleted: 0, or of
//	                a closed stream: the highest
//	es_meta         _id: "store", schema: 1
//
// They are for reading. Writing to them breaks the store.
//
// # Restores
//
// Stop all processes before a restore: those that run would go on where they know
// the log to end. A reader that has seen more than the backup has fails with
// driver.ErrCheckpointAhead. A backup has to be of one moment, as mongodump --oplog
// and snapshots of a volume are: one of each collection by itself may have a log
// without its events, which readers report as driver.ErrCorrupt.
//
// # What was not verified
//
// The tests run against FerretDB 2.7 with DocumentDB on PostgreSQL 18, which has one
// server and ignores read and write concerns. That a replica set keeps them, what
// happens in an election, and the speed there were not tried: the design rests on what
// MongoDB documents. Transactions, which would allow appends to several streams on
// a replica set, are not used for that reason.
package mongo
