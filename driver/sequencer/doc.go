// Package sequencer gives a totally ordered, gapless feed that loses nothing to
// databases that have no order of their own, such as Cassandra, DynamoDB and
// MongoDB. It is for authors of drivers.
//
// A driver writes each commit (what one append writes to one stream) together
// with a mark, in one atomic step, and gives the commit no position. Whoever reads
// the feed gives positions to what is marked: there is no process that must live,
// no goroutine that nobody asked for, and what a short-lived program has appended
// is found by the next reader, wherever it runs. Any number of processes may do so
// at once. No decision depends on a clock.
//
// The few operations that this needs are a [Backend]. A [Sequencer] has the ReadAll
// and the Head of a driver.Store on top of it:
//
//	s.seq = sequencer.New(backend{...}, sequencer.Config{})
//	...
//	func (s *Store) ReadAll(ctx context.Context, q driver.FeedQuery) (driver.FeedPage, error) {
//		return s.seq.ReadAll(ctx, q)
//	}
//
// The folder sequencertest has a whole driver like that, which passes the suite.
//
// # What is stored
//
// The log is a chain of batches. A [Batch] names the spans that take the positions
// from its First on; the batch after it has the key Next. Batches are only ever
// added, and only put if absent. Events stay where they are, in their streams; the
// log says in which order they are delivered.
//
// A mark lives from the append until the log names its commit. Where the database
// can list marks only as of some time ago, or not all of them, it also keeps a
// register for each stream ([Register]): up to which version it has been
// sequenced. Where the list can be exact (MongoDB), the marks are enough.
//
// # A round
//
// A process does one round at a time, when a reader is at the end of the log.
//
//  1. Read the log after the tip n, the last batch that is known. If there is
//     something, deliver it, and leave the work to whoever is at it for a moment.
//  2. List marks. If there are none, all is done.
//  3. Redo: unless this process knows that it was done, raise the registers to what
//     batch n says. Without registers: clear the marks of batch n.
//  4. For each stream take from the register what it has in the log: its base.
//     Marks up to the base are old, and cleared. Those that follow the base without
//     a hole are put into the next batch; what lies behind a hole waits. Without
//     registers the base is where the lowest mark begins.
//  5. Put batch n+1 if absent. If another one is there, learn it and leave the work
//     to its writer for a moment.
//  6. Raise the registers to what the batch says, and then clear its marks. The raising
//     has to succeed before this process puts another batch (without registers: the
//     clearing). The batch is delivered before that: the log is what counts. The
//     next call does it, or whoever redoes the batch. Where there are registers, others
//     leave the marks to who put the batch, and clear those that they still see some
//     seconds later.
//
// # Why nothing is lost, doubled or out of order
//
// Gapless. The key of a batch is computed only from a batch that exists, and put
// only if absent: each batch has exactly one successor, and positions are 1, 2, 3
// and so on. A request that arrives late, or twice, finds its key taken; or it is
// the first there, while n is still the last batch, and then what it says is as
// right as it was when it was sent.
//
// Nothing twice, and in order. Write L(n, s) for the last version of stream s in the
// batches up to n.
//
//   - That batch k+1 exists proves that its writer had raised the registers to batch
//     k, and been told so. Registers only grow. So whoever has redone batch n, and
//     reads the register of s after that, gets a base between L(n, s) and L(m, s),
//     where m is the last batch at that moment.
//   - If his put of n+1 is carried out, then n was still the last batch, and the base
//     is exactly L(n, s). The span begins at the version after it.
//   - Reading the base from memory is as good: the same bounds hold for what the
//     process learnt from the log, if it learnt all batches in order up to n. A tip
//     that it did not get to in this way makes it forget.
//   - Without registers: the marks of the batches below n are cleared when the list
//     begins, by the same argument, and batch n itself is known. If n is still the last
//     batch at the put, all else that is listed is in no batch. It is a whole run of
//     versions, because the list has with a commit all lower ones that are in no batch.
//   - What is left of a list stays right for the batch after one's own. After a batch
//     of another it is forgotten.
//
// Nothing is lost. A mark is there from the moment that its commit is. It is cleared
// only if its commit is in the log: at or below a base, or in a batch that was put.
// A mark that a store keeps for a stream, and not for a commit, is cleared only if
// it is still the one that was listed (by the write time that was read beside it). So
// what is not in the log has a mark; every mark is listed some time; and a commit
// that is listed and follows its base is put. A list that is late, incomplete or out
// of order delays, and does nothing else: what it says of commits is true for ever.
//
// Crashes. Between 5 and 6 the batch is there and its registers are not: the next
// writer redoes it first. Its marks are there too, so that at rest somebody does. Anywhere
// else nothing has happened that would count.
// An error says nothing: whether a put was carried out shows in the log; a raise or
// a clearing that comes late changes nothing that is true.
//
// For a reader the log never changes, so that Next is a promise (F2 of package
// driver). A page may end anywhere, also inside a commit: the next one begins with
// the batch that holds the position after it.
//
// # What it does not survive
//
// Everything above rests on what was acknowledged being there later. A database
// that is restored from a backup, or rolled back, under running processes breaks
// the log, since they go on where they know it to end. Stop all processes before;
// those that start then read what there is. Readers that have seen more get
// driver.ErrCheckpointAhead.
//
// # Cost
//
// A look at the end of the log that finds nothing takes two requests, one of the log
// and one of the marks (each as many as the backend makes of it). A process does no
// more than four a second of them on a store at rest, however many readers it has,
// and 100 listings a second on a busy one. One event takes the log, the marks, its
// register (unless this process saw the stream lately), the put and the fetch, one
// after the other, and it is delivered; raising and clearing follow.
//
// Several processes that read get along: one puts the batches, and the others see
// that and follow. In simulations with the latencies that were measured on servers,
// two and four processes sequence a backlog 0.98 to 1.2 times as fast as one, and with
// 16 writers the median lag of the feed stays within 37 to 43 ms (Cassandra), 42 to 64
// (DynamoDB) and 10 to 13 (MongoDB). See TestManySequencers and TestLag. On servers, with
// which they share two processors, two clients that read a backlog take 1.1 (DynamoDB
// Local), 1.4 (FerretDB) and 1.5 times (Cassandra) as long as one, although each reads all
// events: see BenchmarkReaders of the drivers, and BenchmarkSequence of Cassandra's.
package sequencer
