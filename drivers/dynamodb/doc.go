// Package dynamodb is the driver for Amazon DynamoDB, by the SDK of AWS (version 2).
// It registers itself as "dynamodb":
//
//	import (
//		"github.com/go-es/es"
//		_ "github.com/go-es/es/drivers/dynamodb"
//	)
//
//	store, err := es.Open("dynamodb", "dynamodb://eu-west-1/orders")
//
// [ParseDSN] says what a data source name may hold, [Config] is the same as a struct
// for [Open], and [New] takes a *dynamodb.Client of one's own. A store is a table;
// two stores have two tables. Credentials come from the environment, the shared files
// or the role of the machine.
//
// # What it claims
//
// Appends to up to 100 streams at once, checkpoints and snapshots, a feed that is
// gapless (1, 2, 3 and so on), totally ordered and complete, with filters. Positions
// come when the feed is read, not with the append, and a listing of streams follows
// the feed.
//
// Limits: 399 KiB an event, an append (to all its streams together) and a snapshot,
// 1,000 events and 100 streams an append. They are checked before anything is sent:
// what an append takes encoded in an item, keys and names included, is below its size
// in package driver plus 1 KiB, and DynamoDB takes 400 KiB.
//
// # What each call costs
//
// An append to one stream is one conditional put, if the store knows that a commit
// ends at the version expected: it remembers that of some thousand streams from their
// reads and appends. Otherwise a consistent query comes first. At es.Any it goes to
// the last version that is known, and after another process was faster to the one
// that the refusal names; while one is under way, those of the same process to the
// same stream wait, and become one commit. An append to several streams is one
// TransactWriteItems. A conflict takes a second request, which tells whether the
// stream was deleted.
//
// A page of a stream is one query of up to 1 MB, and one more for the head where it
// does not reach the end. One that begins in the middle of a stream has one more at the
// same time, for the append that it may begin inside, unless the store knows that from
// the page before it, or from the last read from there. A load of an aggregate with a
// snapshot is two requests at the same time, and three when the store sees it for the
// first time. A page of the feed is one query of the log and a
// BatchGetItem for each 100 commits, consistent, because a purge must be seen.
//
// In write units, for an append of up to 1 KB: the put 1 and its mark in the index 1;
// when the feed is read, the mark's removal 1 and 1 more in the index; the stream's
// register 1 for each batch of the log that has something of it; the log about 0.05:
// 5 at most, 4 for a stream with many appends between two reads. An append of k KB
// takes 2k units more than one of 1 KB, as DynamoDB writes the whole item again when
// the mark is removed. A transaction doubles the put. A failed condition costs what a
// put of the item does.
//
// A store at rest that is read costs two requests a look, one of the log and one of
// the index, and a process makes no more than four looks a second, however many
// readers it has: 8 requests of half a read unit. A process that does not read the
// feed asks for nothing.
//
// # Why nothing is overwritten
//
// What an append writes to a stream is one item, under the stream and the first
// version, put only if there is none: of two appends at one version, one finds the
// key taken. The key alone would let an append begin in the middle of another, or
// behind a gap; so it may only begin where a commit ends that is known to be there
// and does not close the stream. Items of commits are never removed, a purge only
// takes the events out of them; so that fact stays true, and can be remembered.
//
// A request may be carried out although its answer was lost, or arrive twice, or
// late. Each commit holds the number of the call that wrote it, and the ids of its
// events. What is refused looks at the item that stands in the way, which DynamoDB
// returns with the refusal (ALL_OLD): its own number means that it was stored by a
// request whose answer was lost; the same ids, that an earlier call of the same append
// stored it. Otherwise the key is another's for good, and nothing of the append is
// stored or will be. The client's own retries are off for these requests: what it
// returns would be the answer to the last of several. Where no answer comes, the same
// request is sent again for [Config].Settle, and then the outcome is unknown.
// Throttling, and transactions that are in the way, are tried again for a moment and
// are then transient.
//
// # Why the feed loses nothing
//
// DynamoDB has no order of all items, and clocks are no order. A commit is written
// with a mark, two attributes that put it into a sparse index. Whoever reads the feed
// lists the index, gives the commits positions in a log whose batches are chained,
// each put only if absent, and then takes the marks away: see package sequencer for
// the argument. What matters here:
//
//   - The mark is in the item of the commit: one is there exactly if the other is.
//   - The index is eventually consistent without a bound. It may show an entry late,
//     hide it for a while, or show it when it is gone; that delays and does nothing
//     else. What it shows of a commit, its first and last version, never changes. How
//     far each stream is sequenced stands in a register that is read consistently and
//     only grows.
//   - The removal of a mark has the condition that the item exists, or it could make
//     an item that blocks the stream.
//   - The times in the index only order it, so that what has waited longest comes
//     first. No decision rests on them.
//
// # The table
//
//	pk         sk               the rest
//	s#STREAM   first version    to, ids, ev, w, closed, x, pos; u and ts while it is marked
//	n#SHARD    stream           v, closed: the register; ListStreams reads these
//	l#BUCKET   first position   spans
//	c          name             a checkpoint
//	p#STREAM   kind             a snapshot; empty if it was deleted, of the highest version if the stream is closed
//	m          meta             schema, region
//
// Both keys are strings, numbers in them 16 hexadecimal digits. The index "dirty" has
// the keys u (16 values) and ts, and to and closed. The log is in partitions of 2^20
// positions. [Config.CreateTable] is what Open creates; who creates the table
// otherwise may give it tags, encryption, provisioned throughput, deletion protection
// or point-in-time recovery. Writing to the table, or removing an item, breaks the
// store: TimeToLive must be off, and Open checks that.
//
// One partition of DynamoDB takes 1,000 write units a second: a stream takes as many
// appends of up to 1 KB, the index some 8,000 commits, and the log some 20,000.
//
// # Durability, regions and restores
//
// DynamoDB acknowledges a write when two of three availability zones have it. Reads
// that decide something are consistent. A global table replicates to other regions
// later, where a condition or a consistent read says nothing of what is under way: a
// store is written and read in one region, which stands in the item meta, and Open
// refuses another one. To move to another region, stop all processes, wait until
// everything is replicated, and change the attribute region of that item.
//
// After a restore of a backup into a new table its indexes have to be the same; open
// it only when no process uses the old table. Readers that had seen more fail with
// driver.ErrCheckpointAhead.
//
// # Rights
//
// dynamodb:DescribeTable, DescribeTimeToLive, GetItem, BatchGetItem, Query, Scan,
// PutItem, UpdateItem, DeleteItem and ConditionCheckItem on the table and its index,
// for readers of the feed too, as they sequence it; CreateTable where Open is to
// create it.
//
// # What is refused at Open
//
// A table that has other keys, another index, or items and none that says that it is
// a store's; TimeToLive; another region; servers that do not know TransactWriteItems
// or do not return the item that a condition failed on, such as old imitations of
// DynamoDB.
//
// # What was not verified
//
// The tests run on DynamoDB Local, which has no throttling, no lag of the index and
// no conflicts of transactions; they inject all three, and answers that are lost. The
// figures of write units and partitions are those of DynamoDB's documentation.
// Nothing was run on AWS itself.
package dynamodb
