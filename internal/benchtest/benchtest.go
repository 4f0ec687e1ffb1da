// Package benchtest puts package es beside hand-written code on a database's own
// client, in turns within one run, so that both meet the same machine and the
// same moods of its disk.
//
// Of each contender a benchmark prints the nanoseconds and the allocations of an
// operation (NAME-ns/op, NAME-allocs/op); and of all but the first how many times
// as fast as the first it is (NAME-x; 1: as fast), and the range in which that lay
// for the middle half of the turns (NAME-low, NAME-high). An operation is an event,
// unless the benchmark says otherwise. The program internal/benchtable makes a table
// of the output.
package benchtest

import (
	"context"
	"fmt"
	"testing"

	"github.com/go-es/es"
	"github.com/go-es/es/aggregate"
)

// Raw is what a careful programmer writes by hand on a database's client, with
// the durability that the driver has. It encodes and decodes with encoding/json,
// keeps an id, a type and a time with each event, and lets the database refuse a
// version twice. Its methods may be called concurrently.
type Raw interface {
	// Append stores events at the versions from base+1 on, and fails if one of
	// these is taken.
	Append(ctx context.Context, stream string, base int, events ...Deposited) error

	// AppendAny stores events after the last version of the stream: it reads that,
	// appends, and starts again if another was faster.
	AppendAny(ctx context.Context, stream string, events ...Deposited) error

	// ReadStream calls f with each event of a stream, in order.
	ReadStream(ctx context.Context, stream string, f func(*Deposited)) error

	// ReadAll calls f with each event of runs, in order. These are all events of
	// the store, in the order in which package es has them: a database that keeps
	// an order of its own reads its events in that one.
	ReadAll(ctx context.Context, runs []Run, f func(*Deposited)) error
}

// Run is a piece of the feed: versions of a stream that follow each other, up to
// as many as an append had.
type Run struct {
	Stream   string
	From, To int
}

// perAppend is how many events an append has that stores what is read.
const perAppend = 10

// Config says what is put side by side. All functions but Fast are required.
type Config struct {
	// Server names the server and its version.
	Server func(b *testing.B) string

	// Data returns the name of empty data, which go when b ends.
	Data func(b *testing.B) string

	// Raw opens a store by hand in data, with both its tables and its client if
	// it is to create it. Open opens the store of package es. Both close what they
	// opened with b.Cleanup, and have as many connections as each other.
	Raw  func(b *testing.B, data string, create bool) Raw
	Open func(b *testing.B, data string) *es.Store

	// Fast, if not nil, makes the raw store faster and less durable while f
	// fills it. The events that are read are stored before the clock runs.
	Fast func(b *testing.B, r Raw, f func())
}

const (
	each   = 1000 // events of a stream that is read
	amount = each * (each - 1) / 2
)

func stream(i int) string { return fmt.Sprintf("account-%06d", i) }

// must is called for each event: Helper alone would take a fifth of the time of a read.
func must(b *testing.B, err error) {
	if err != nil {
		b.Helper()
		b.Fatal(err)
	}
}

func check(b *testing.B, t total, events int, amount int64) {
	b.Helper()
	if t.Events != events || t.Amount != amount {
		b.Fatalf("%d events with %d in all, want %d with %d", t.Events, t.Amount, events, amount)
	}
}

// bench is one run of Beside.
type bench struct {
	Config
	b       *testing.B
	streams int // that are read
	filled  *filled
}

// filled is what all that read have together.
type filled struct {
	raw         Raw
	es          *es.Store
	snapshotted bool
}

// Beside runs the workloads W1 to W7, which docs/performance.md describes. W1 to W4
// are run again with a reader that follows the feed, where the position of an event
// is not known before the feed is read.
//
// With a -benchtime of 9x or less, what is read is small.
func Beside(b *testing.B, cfg Config) {
	if serve(b, &cfg) {
		return
	}
	fmt.Printf("server: %s\nfdatasync-ms: %s\n", cfg.Server(b), flushes(b))
	m := &bench{Config: cfg, b: b, streams: 100}
	if few() {
		m.streams = 2
	}
	// First: storing what is read warms up the servers that compile as they run.
	b.Run("W5", m.read)
	b.Run("W6", func(b *testing.B) { m.load(b, m.data(b), each) })
	b.Run("W7", m.feed)
	b.Run("W6-snapshot", m.loadWithSnapshot)
	for _, w := range appends {
		b.Run(w.name, func(b *testing.B) { m.append(b, w, false) })
	}
	b.Run("W3b", m.processes)
	for _, w := range appends {
		b.Run(w.name+"-followed", func(b *testing.B) { m.append(b, w, true) })
	}
}

// data stores the same events in both, those of each stream far apart.
func (m *bench) data(b *testing.B) *filled {
	b.Helper()
	if m.filled != nil {
		return m.filled
	}
	d := &filled{raw: m.Raw(m.b, m.Data(m.b), true), es: m.Open(m.b, m.Data(m.b))}
	both := func() {
		fill(b, m.streams, each/perAppend, func(i, v int, events []Deposited) error {
			return d.raw.Append(b.Context(), stream(i), v, events...)
		})
		fillStore(b, d.es, m.streams, each/perAppend)
	}
	if m.Fast != nil {
		m.Fast(b, d.raw, both)
	} else {
		both()
	}
	m.filled = d
	return d
}

func (m *bench) read(b *testing.B) {
	d := m.data(b)
	inTurns(b, calls("raw", each, func(i int) {
		m.rawStream(b, d.raw, i)
	}), calls("es", each, func(i int) {
		sum(b, d.es.Read(b.Context(), stream(i%m.streams)), each, amount)
	}))
}

func (m *bench) rawStream(b *testing.B, r Raw, i int) {
	var t total
	must(b, r.ReadStream(b.Context(), stream(i%m.streams), t.add))
	check(b, t, each, amount)
}

// sum decodes and adds what a read returns.
func sum(b *testing.B, read func(func(es.Record, error) bool), events int, amount int64) {
	var t total
	for rec, err := range read {
		must(b, err)
		e, err := es.As[Deposited](rec)
		must(b, err)
		t.add(&e)
	}
	check(b, t, events, amount)
}

func (m *bench) feed(b *testing.B) {
	d := m.data(b)
	events, amount := m.streams*each, int64(m.streams*amount)
	// Where positions come late, they are there after this.
	var runs []Run
	for rec, err := range d.es.ReadAll(b.Context()) {
		must(b, err)
		v := int(rec.Version)
		if n := len(runs) - 1; n >= 0 && runs[n].Stream == rec.Stream && runs[n].To == v-1 && v-runs[n].From < perAppend {
			runs[n].To = v
		} else {
			runs = append(runs, Run{rec.Stream, v, v})
		}
	}
	inTurns(b, calls("raw", events, func(int) {
		var t total
		must(b, d.raw.ReadAll(b.Context(), runs, t.add))
		check(b, t, events, amount)
	}), calls("es", events, func(int) {
		sum(b, d.es.ReadAll(b.Context()), events, amount)
	}))
}

// load is of whole aggregates: an operation is one.
func (m *bench) load(b *testing.B, d *filled, events int) {
	repo := accounts.Repository(d.es)
	inTurns(b, calls("raw", 1, func(i int) {
		m.rawStream(b, d.raw, i)
	}), calls("es", 1, func(i int) {
		a, err := repo.Load(b.Context(), fmt.Sprintf("%06d", i%m.streams))
		must(b, err)
		check(b, a.total, events, amount)
	}))
}

func (m *bench) loadWithSnapshot(b *testing.B) {
	d := m.data(b)
	if !d.snapshotted { // an event of 0 takes the snapshot
		repo := accounts.Repository(d.es, aggregate.SnapshotEvery(1))
		for i := range m.streams {
			_, err := repo.Update(b.Context(), fmt.Sprintf("%06d", i), func(a *account) error {
				return a.Raise(deposit(0))
			})
			must(b, err)
		}
		d.snapshotted = true
	}
	m.load(b, d, each+1)
}
