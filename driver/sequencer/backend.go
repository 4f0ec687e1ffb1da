package sequencer

import (
	"context"

	"github.com/go-es/es/driver"
)

// Backend is what a Sequencer needs of a database. Its methods may be called
// concurrently. Their errors reach the callers of the driver as they are.
//
// A commit is what one append wrote to one stream: it has its versions for good,
// whatever becomes of its events. A store writes each commit together with a mark,
// in one atomic step; the mark says that the commit has no position yet.
//
// What Tip, Find, Log and Put say of the log must be durable: a batch that a new
// primary may not have is not there yet (MongoDB: read concern majority).
//
// A write that fails may have happened or not, or may happen later; a Sequencer
// bears all three.
type Backend interface {
	// Tip returns the last batch of the log, or the zero Batch if there is none,
	// by a read that cannot be stale. A batch that holds position known exists,
	// where known is not 0: a place to search from.
	Tip(ctx context.Context, known driver.Position) (Batch, error)

	// Find returns the batch that holds the position, or the zero Batch if there
	// is none, by a read that cannot be stale. It is the last one whose First is
	// not above the position.
	Find(ctx context.Context, at driver.Position) (Batch, error)

	// Log returns up to limit batches whose First is at or above first, in
	// ascending order; fewer, if that is simpler, but none only if it sees none.
	// What others wrote a moment ago may still be missing.
	Log(ctx context.Context, first driver.Position, limit int) ([]Batch, error)

	// Put stores a batch, unless there is one with its First already: a
	// conditional write, which no time and no cache decides. It reports whether
	// b was put by this call, and returns the batch that has its First now.
	Put(ctx context.Context, b Batch) (there Batch, put bool, err error)

	// Dirty lists marks, about as many as wished for; fewer say that it showed
	// all it knows. Where the Backend is a Register, what it returns may be late,
	// incomplete, in any order, and cleared long ago, as long as each mark tells
	// of what was committed, and each one that is not cleared is listed some time.
	// (Some indexes lose an entry for good when they are asked while it is written:
	// see the driver for Cassandra.)
	// Elsewhere the list is exact, and the wish does not cut it: see Register.
	Dirty(ctx context.Context, wish int) ([]Mark, error)

	// Clear removes marks. What is not there, or was written after the mark was
	// listed, stays as it is; nothing is created.
	Clear(ctx context.Context, marks []Mark) error

	// Fetch returns the events of runs, in order, one for each version: the first
	// one at least, all of them unless that is too much for one page. An event
	// that was purged is an Event that says so. The log names only what is
	// stored: what a read does not show is read again more strongly, and what is
	// not there then is driver.ErrCorrupt.
	Fetch(ctx context.Context, runs []Run) ([]Event, error)
}

// Register is a [Backend] that keeps for each stream up to which version it has
// been sequenced, in a register that only grows.
//
// A Backend that is none keeps nothing but the marks, and its Dirty must be exact:
// it never returns a mark whose Clear had returned before Dirty was called, and
// with a commit it returns all commits of the stream below it that are not in the
// log. A snapshot is exact; so is a scan that goes from high versions to low ones,
// because the lower commit was there before the higher one was seen. An ascending
// scan is not, nor is a scan that was cut anywhere else than at its end.
type Register interface {
	// Sequenced returns the register of each stream, 0 for one that has none, by
	// a read that cannot be stale.
	Sequenced(ctx context.Context, streams []string) ([]driver.Version, error)

	// Raise raises the register of the stream of each span to at least Last. It
	// never lowers one, however late it is carried out. No stream occurs twice.
	Raise(ctx context.Context, spans []Span) error
}

// Span is a run of versions of one stream that have successive positions.
type Span struct {
	Stream      string
	First, Last driver.Version
	Closed      bool // Last is the event that closes the stream
}

// Batch is an entry of the log: spans that take the positions from First on, one
// after the other. The zero Batch is none.
type Batch struct {
	First driver.Position
	Spans []Span
}

// Next is the position after the last one of the batch: the First of the batch
// that follows it.
func (b *Batch) Next() driver.Position {
	next := b.First
	for i := range b.Spans {
		next += driver.Position(b.Spans[i].Last - b.Spans[i].First + 1)
	}
	return next
}

// Mark says that versions of a stream are committed and may have no position yet.
type Mark struct {
	Stream string

	// First and Last are the versions of one commit. A First of 0 says that all
	// versions of the stream up to Last are committed; only a Register may do so.
	First, Last driver.Version

	// Closed says that Last is the event that closes the stream. The span has it
	// then, and with it Raise.
	Closed bool

	// Position is set for Clear: of the event at First, or 0 if not known.
	Position driver.Position

	// Handle is what Clear needs to know the mark again, such as the time at
	// which it was written. It is nil in a mark that was made from the log.
	Handle any
}

// Run asks for successive events of one stream, those of From to To. Position is
// that of From. First and Last are those of the span that they lie in, which is a
// commit if the marks were (a mark with a First makes a span of its own).
type Run struct {
	Stream      string
	First, Last driver.Version
	From, To    driver.Version
	Position    driver.Position
}

// Event is an event of the feed. The Record of one that was purged has its ID, if
// the store kept that, and nothing else that counts.
type Event struct {
	Record driver.Record // Position is set by the Sequencer
	Purged bool
}
