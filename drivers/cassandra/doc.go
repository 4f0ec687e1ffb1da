// Package cassandra is the driver for Apache Cassandra 4.0 and later, by gocql. It
// registers itself as "cassandra":
//
//	import (
//		"github.com/go-es/es"
//		_ "github.com/go-es/es/drivers/cassandra"
//	)
//
//	store, err := es.Open("cassandra", "cassandra://user:password@host1,host2:9042/keyspace")
//
// [ParseDSN] says what a data source name may hold, [Config] is the same as a
// struct for [Open], [New] takes a *gocql.Session of one's own. The keyspace has to
// exist, with the replication that the data needs; three replicas are usual.
//
// # What it claims
//
// A totally ordered feed without gaps, of all events of all streams, with any number
// of processes that write and read. Positions come when the feed is read. An append
// goes to one stream: Cassandra has no condition over two partitions. Listings of
// streams follow the feed. Checkpoints and snapshots are stored beside the events.
//
// Limits: 1 MiB an event, an append and a snapshot, 1,000 events an append
// (Config.Bucket, if that is less). A page has some 1,000 records, or some 4 MiB: it
// ends where a commit does, unless StreamQuery.Limit ends it before.
//
// # What is stored
//
//	es_events       a partition for each stream and bucket: a row for each commit (what
//	                one append wrote) and, once for all rows, head, dirty, overdue and purged
//	es_log          the order of the feed, in batches: spans of versions of streams
//	es_seqv         up to where each stream is in the log; also the listing of streams
//	es_checkpoints  what readers save
//	es_snapshots    what programs save of streams
//	es_meta         the version of the schema, the size of a bucket, consistency levels
//
// A commit goes whole to the bucket of its base: the version before it, divided by
// the size of a bucket (1,000). So a bucket whose head has reached its border is full
// for good; the next one begins at that head; and a request that comes late, or
// twice, finds its bucket taken. The event that closes a stream obeys the same rule.
//
// Never write to these tables by other means. A plain UPDATE, a TTL or a DELETE with
// a clock's time in es_events or es_log can make later conditional writes succeed
// without effect; in es_seqv it would let events come twice, which is found out by the
// time of the write and reported as driver.ErrCorrupt.
//
// # What each call costs
//
// An append is one conditional write (LWT) to one partition, one round trip of the
// client. At es.Any and es.Exists the store takes the last version that it knows of the
// stream; if that is not the last one, the refusal names it, and there is a second one.
// Those of one process to one stream at es.Any that come while another is under way
// become one commit. The first time, and after an exact version of which nothing is
// known at the border of a bucket, there are one or two reads before it. A delete is a
// read, an append and a write that ends the snapshots; a purge has a read and a
// conditional write more a bucket.
//
// A page of a stream is one query of rows, which have the head of the stream with them
// if it is in their bucket. If the store knows that the stream goes on, it asks for the
// last bucket at the same time; if it finds that out, afterwards: one query more, or up
// to five for streams of many buckets. A From inside a commit takes no query more where
// commits of the stream have been seen and are short, and otherwise one at the same
// time.
//
// gocql gathers requests for 200 microseconds before it sends them, which takes a
// millisecond in a process that has nothing else to do. The store's own sessions do
// not; in a session for [New], set ClusterConfig.WriteCoalesceWaitTime to 0.
//
// A look at the end of the feed that finds nothing is one query of the log and some
// six of the indexes, at the same time; a process makes at most four such looks a
// second, however many readers it has, and none if nobody reads. On a busy store a
// batch of some hundred commits takes a read of the registers of streams that were
// not seen lately, one conditional write, and a plain write a commit for each of the
// register and the mark, in batches.
//
// # Why the feed loses nothing
//
// Cassandra has no order across partitions, so the order is made: package sequencer
// has the argument why its log has each event once, in the order of its stream,
// without gaps, whoever crashes when. It needs of the database that what is committed
// is marked, in one step, that a mark stays until the log has its commit, that the log
// is a chain of batches, each put only if absent, and registers that only grow.
//
//  1. The mark, the static columns dirty and overdue, is written in the same conditional
//     statement as the row and the head, to the same partition: it is one mutation,
//     which a replica applies whole, together with its local secondary indexes on the two.
//     A replica that shows the event has the mark.
//  2. What was acknowledged is applied on a quorum, and the indexes are asked at QUORUM:
//     one of those asked has it. What was decided and not applied, because the
//     coordinator died, is neither readable nor marked; whoever finishes it (the next
//     conditional write of the partition, or a read at SERIAL) makes it both at once.
//     Reads of rows ask for head, dirty and overdue too, so that a read repair carries them
//     along.
//  3. A mark is cleared by a plain DELETE with the time at which it was written, as it
//     was read beside the head that the log has. A commit that was made since has a
//     later time, by its ballot, and its mark survives. No clock of a client takes part.
//  4. The log is written by INSERT IF NOT EXISTS; a refusal returns the batch that is
//     there. A register is written with its value as its timestamp: the highest stays.
//
// A row that the log names and a quorum does not show is read again at SERIAL; what is
// not there then either, and not purged, is driver.ErrCorrupt. It is never skipped.
//
// A mark is one of 61 slots, by the second: an index keeps the tombstones of marks that
// were cleared until they are flushed to disk, and a query of one slot passes only
// those. A look asks for the slots since the last look, one second before and ahead,
// those where there was something, and the others in turn, up to fifteen a second: no
// mark depends on anybody's clock to be found. What a slow write, or a writer whose
// clock is some seconds late, has marked comes within some three seconds.
//
// There are two indexes because a query can damage one. Cassandra writes the index
// before the row, and a query that comes between takes the entry for one of a row that
// is gone, and deletes it; under load that happens to one append in some ten thousand.
// So the index of dirty is asked about the slots within eight seconds of now, and that
// of overdue about the others. An event whose entry the one has lost comes by the other,
// within some 15 seconds if somebody looks once a second or more often; until then a
// process that has appended it, and reads, is not told End. Where the clock of a writer
// is wrong by more than eight seconds, it is the other way round, and comes within some
// 70.
//
// Both are lost if one query of each meets the same write between its index and its row,
// more than eight seconds apart by the clocks of who asks, on a majority of the
// replicas. That time is microseconds, or as long as a node stands still at that very
// place, as one may that waits for memory. No such loss was seen. The event is in its
// stream, and in the feed with the next one that is appended to it. A scan finds it: see
// To watch.
//
// # Outcomes
//
// Cassandra answers with a timeout of the read, of the write or of the consensus, or
// says that too few replicas are there, also when a write was decided already. So all
// errors but those of syntax, of an invalid statement and of rights count as unknown,
// and the same statement is sent again, at the same base, until a refusal or a success
// tells. A statement that is refused without such an error before it was not carried
// out. gocql's retry policy and speculative execution are off for all statements of
// the store, also in a session of the caller's.
//
// # Consistency, and data centres
//
// All reads and writes are at QUORUM, conditional ones with SERIAL. With
// consistency=local_quorum and serial=local_serial they stay in one data centre, and
// then all who use the data have to work there: consensus in one data centre knows
// nothing of another's. A store of [Open] then asks no node of another data centre, also
// when it reaches none of its own; with [New] the session has to be made so. The choice is
// stored in es_meta when the tables are created, and Open refuses another one. Do not change the replication of the keyspace without
// a full repair.
//
// With replicas that agree in time, a majority of them has to be there: one of three
// may be down, paused or cut off.
//
// # Durability
//
// What was acknowledged is on a quorum of replicas. Whether it is on their disks is up
// to commitlog_sync, which the store cannot change: with periodic, Cassandra's default,
// a replica acknowledges up to 10 seconds before its disk has it. The kill of a process
// loses nothing, and the loss of one machine nothing that others have; if all replicas
// lose power within that time, acknowledged events may be gone and their positions be
// given to others. Set commitlog_sync: batch, or group, where that matters. Open
// refuses a keyspace with durable_writes = false.
//
// Consensus relies on the state of system.paxos for at least three hours, and on clocks
// of the nodes that are not further apart than that.
//
// Stop all processes before a backup is restored: those that run know a feed that is
// not there any more. Restore all tables of one moment; a snapshot of each node is not
// one moment unless nothing writes. Readers that have seen more get
// driver.ErrCheckpointAhead.
//
// # What a purge leaves
//
// Purged rows are deleted, and their bucket is marked, as are the snapshots of a closed
// stream: readers go by the mark, so rows that a replica brings back after gc_grace stay
// invisible. Of other deletes, of a checkpoint or a snapshot, Cassandra forgets after
// gc_grace: repair the tables more often than that, as it asks for, or what was deleted
// may come back. The bytes stay in SSTables
// until these are compacted after gc_grace, and in snapshots and backups.
//
// # Rights
//
// SELECT and MODIFY on the tables, and SELECT on system and system_schema; CREATE on
// the keyspace for who creates the tables. [Config.CQL] prints the statements, for
// ddl=check. Of several processes that open an empty store at once, one creates, and
// the others wait: Cassandra can make two tables of one name if two nodes are asked.
// If that process dies meanwhile, the others wait for a minute and a half.
//
// # What is refused at Open
//
// ScyllaDB, whose secondary indexes are tables of their own and are written later;
// Amazon Keyspaces, which has none; Azure Cosmos DB and YugabyteDB; Cassandra before
// 4.0; durable_writes = false; tables of those names that are not es's; other
// consistency levels, or another size of buckets, than the data has.
//
// # To watch
//
// The feed's lag is how far a reader's position is behind the events that were written;
// SELECT DISTINCT stream, bucket, dirty, overdue FROM es_events reads all partitions,
// and shows in which of them something waits. What waits there for minutes, while the
// feed is read, has lost its entries of both indexes: an event that is appended to the
// stream takes it along. Timeouts of conditional writes (ClientRequest metrics of
// CASWrite) say that a stream is contended or a node is slow.
//
// # What was verified
//
// The whole suite, on one node that was killed with writers at work, too. On three nodes
// at QUORUM, with 16 writers and two readers that give positions: nodes paused, one or
// two at a time, killed and brought back, thousands of events with more than a hundred
// outcomes that were unknown at first. Four processes of eight writers, killed at
// random, all of them giving positions. After each, every answer was held against what
// is stored, and the feed against the streams.
//
// # Not verified
//
// More than three nodes, virtual nodes, nodes that join or leave while events are
// written, several data centres, the loss of the data of two of three nodes,
// snapshots of nodes that are restored, paxos_variant other than v1, and versions
// other than 5.0.5.
package cassandra
