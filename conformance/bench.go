package conformance

import (
	"context"
	"flag"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-es/es"
	"github.com/go-es/es/driver"
)

// Bench measures the store that cfg describes, by what it does for package es:
// with requests that passed driver.Check, and again where an error is transient.
// Events have 250 bytes of data. Of cfg it needs Open and DSN. The author of a
// driver writes
//
//	func BenchmarkDriver(b *testing.B) { conformance.Bench(b, config()) }
//
// beside the test that calls [Run], with the same Config. Its sub-benchmarks are
// these; one that the store cannot do is skipped:
//
//	append/1                     an append of one event to a new stream, by one writer
//	append/10                    an append of ten events to a new stream, by one writer
//	writers/own-streams          an append of one event at an exact version, by one of 16 writers with a stream each
//	writers/own-streams-grouped  the same through the queue of package es, which forms groups; for a GroupAppender
//	writers/one-stream           an append of one event at any version, by one of 16 writers of one stream
//	read/1000                    a read of a stream of 1,000 events, in pages of 100
//	feed/100000                  a read of a feed of 100,000 events of 100 streams, in pages of the store's size
//	filter/100000                the same for one of the 100 streams; where Caps.FilterFeed
//	checkpoint/save              a save of one checkpoint after another, by name
//	snapshot/save                a save of a snapshot of 1,000 bytes, newer than the last
//	snapshot/load                a load of it
//
// ns/op, B/op and allocs/op are for one such append, read, save or load. All but
// the last three also tell events/s, how many events were written or read in a
// second, and allocs/event, the allocations for one; for filter/100000 these are
// the events that are looked at. Where a store's memory is not that of
// the process, allocations are those of its client alone.
//
// What is read is stored once for all, before the clock runs. With -short, or a
// -benchtime of 9x or less, it is a feed of 2,000 events of two streams, and the
// names say 2000.
func Bench(b *testing.B, cfg Config) {
	if cfg.Open == nil || cfg.DSN == nil {
		b.Fatal("conformance: Config needs Open and DSN")
	}
	cfg = cfg.withDefaults()
	p, err := probeStore(b, &cfg)
	if err != nil {
		b.Fatalf("conformance: %v", err)
	}
	m := &bench{b: b, cfg: &cfg, probe: p, streams: 100}
	if few() {
		m.streams = 2
	}
	b.Run("append/1", func(b *testing.B) { m.append(b, 1) })
	b.Run("append/10", func(b *testing.B) { m.append(b, 10) })
	b.Run("writers/own-streams", m.ownStreams)
	b.Run("writers/own-streams-grouped", m.grouped)
	b.Run("writers/one-stream", m.oneStream)
	b.Run(fmt.Sprint("read/", benchStream), m.read)
	b.Run(fmt.Sprint("feed/", m.total()), func(b *testing.B) { m.feed(b, driver.Filter{}, m.total()) })
	b.Run(fmt.Sprint("filter/", m.total()), m.filter)
	b.Run("checkpoint/save", m.saveCheckpoint)
	b.Run("snapshot/save", m.saveSnapshot)
	b.Run("snapshot/load", m.loadSnapshot)
}

const (
	benchWriters = 16
	benchStream  = 1000 // events of a stream that is read
)

// few reports whether the benchmarks only show that they work.
func few() bool {
	f := flag.Lookup("test.benchtime")
	return testing.Short() || f != nil && len(f.Value.String()) == 2 && strings.HasSuffix(f.Value.String(), "x")
}

// bench is one run of Bench.
type bench struct {
	b       *testing.B
	cfg     *Config
	probe   *probe
	streams int          // to read
	filled  driver.Store // has what is read; nil until it is asked for
}

// total is how many events there are to read.
func (m *bench) total() int { return m.streams * benchStream }

// must ends a benchmark at an error. Call it on the goroutine of the benchmark.
func must(b *testing.B, err error) {
	if err != nil {
		b.Helper()
		b.Fatal(err)
	}
}

// open opens new data for a benchmark, until it ends.
func (m *bench) open(b *testing.B) driver.Store {
	b.Helper()
	return m.openUntil(b, b)
}

// openUntil opens new data for b, until another benchmark ends.
func (m *bench) openUntil(end, b *testing.B) driver.Store {
	b.Helper()
	s, err := m.cfg.Open(b.Context(), m.cfg.DSN(end))
	must(b, err)
	end.Cleanup(func() {
		if err := s.Close(); err != nil {
			end.Errorf("Close: %v", err)
		}
	})
	return s
}

// need skips a benchmark that the store cannot do.
func (m *bench) need(b *testing.B, n need) {
	b.Helper()
	if !n.has(m.probe) {
		b.Skipf("for want of %s", n.name)
	}
}

// metrics measures the events of a benchmark: call it when the clock is about to
// run, and what it returns when it has stopped.
func metrics(b *testing.B) (report func(eventsPerOp int)) {
	b.ReportAllocs()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	return func(eventsPerOp int) {
		runtime.ReadMemStats(&after)
		events := float64(b.N) * float64(eventsPerOp)
		b.ReportMetric(events/b.Elapsed().Seconds(), "events/s")
		b.ReportMetric(float64(after.Mallocs-before.Mallocs)/events, "allocs/event")
	}
}

// A load is a request that is made again and again. The store keeps nothing of
// it, so only what must differ is made anew, and the request costs next to
// nothing.
type load struct {
	s    driver.Store
	caps driver.Caps
	req  driver.AppendRequest
}

// newLoad returns an append of n events, of the largest number below it that
// the limits allow.
func (m *bench) newLoad(s driver.Store, stream string, n int) *load {
	r := record()
	r.Data = []byte(`{"note":"` + strings.Repeat("n", 239) + `"}`)
	if most := m.probe.caps.MaxAppendEvents; most > 0 {
		n = min(n, most)
	}
	if most := m.probe.caps.MaxAppendBytes; most > 0 {
		n = min(n, most/driver.Size(&r))
	}
	recs := make([]driver.Record, n)
	for i := range recs {
		recs[i] = r
	}
	return &load{s, m.probe.caps, to(stream, driver.NoStream, recs...)}
}

// append makes the append with fresh ids.
func (l *load) append(ctx context.Context) error {
	now := time.Now()
	for i := range l.req.Parts {
		for j := range l.req.Parts[i].Records {
			l.req.Parts[i].Records[j].ID = driver.NewID(now)
		}
	}
	if err := driver.Check(l.caps, l.req); err != nil {
		return err
	}
	return retry(ctx, func() error { _, err := l.s.Append(ctx, l.req); return err })
}

func (m *bench) append(b *testing.B, n int) {
	l := m.newLoad(nil, "", n)
	part := &l.req.Parts[0]
	if len(part.Records) < n {
		b.Skipf("for want of an append of %d events", n)
	}
	l.s = m.open(b)
	ctx := b.Context()
	report := metrics(b)
	for i := 0; b.Loop(); i++ {
		part.Stream = fmt.Sprint("new-", i)
		must(b, l.append(ctx))
	}
	report(n)
}

// together lets all writers append, b.N times in all. write returns what one
// writer does b.N times or fewer.
func together(b *testing.B, write func(w int) func() error) {
	writers := make([]func() error, benchWriters)
	for w := range writers {
		writers[w] = write(w)
	}
	errs := make([]error, benchWriters)
	var next atomic.Int64
	var wg sync.WaitGroup
	report := metrics(b)
	b.ResetTimer() // b.Loop is for one goroutine
	for w, one := range writers {
		wg.Go(func() {
			for errs[w] == nil && next.Add(1) <= int64(b.N) {
				errs[w] = one()
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	for _, err := range errs {
		must(b, err)
	}
	report(1)
}

func (m *bench) ownStreams(b *testing.B) {
	s := m.open(b)
	together(b, func(w int) func() error {
		l := m.newLoad(s, fmt.Sprint("own-", w), 1)
		return func() error {
			err := l.append(b.Context())
			l.req.Parts[0].Expected++
			return err
		}
	})
}

func (m *bench) grouped(b *testing.B) {
	m.need(b, needGroups)
	s, err := es.New(m.open(b))
	must(b, err)
	b.Cleanup(func() { s.Close() })
	together(b, func(w int) func() error {
		stream, version := fmt.Sprint("own-", w), es.NoStream
		r := m.newLoad(nil, stream, 1).req.Parts[0].Records[0]
		event := es.Raw{Type: r.Type, Encoding: r.Encoding, Data: r.Data}
		return func() error {
			_, err := s.Append(b.Context(), stream, version, event)
			version++
			return err
		}
	})
}

func (m *bench) oneStream(b *testing.B) {
	s := m.open(b)
	together(b, func(int) func() error {
		l := m.newLoad(s, "one", 1)
		l.req.Parts[0].Expected = driver.Any
		return func() error { return l.append(b.Context()) }
	})
}

func readStream(i int) string { return fmt.Sprintf("read-%03d", i) }

// data returns a store with all that is read: streams of the same length, whose
// events lie far apart, as many writers leave them.
func (m *bench) data(b *testing.B) driver.Store {
	b.Helper()
	if m.filled == nil {
		m.filled = m.openUntil(m.b, b)
		must(b, m.fill(b.Context(), m.filled))
		n, err := m.readFeed(b.Context(), driver.Filter{}, m.total()) // where positions come late, they are there then
		if must(b, err); n != m.total() {
			b.Fatalf("%d of %d events are in the feed", n, m.total())
		}
	}
	return m.filled
}

// fill stores what is read, with as few appends as the limits allow.
func (m *bench) fill(ctx context.Context, s driver.Store) error {
	l := m.newLoad(s, "", 1000)
	recs := l.req.Parts[0].Records
	at := min(m.streams, max(m.probe.caps.MaxStreams, 1), len(recs)) // streams of one append
	each := min(len(recs)/at, 100)                                   // events of each
	for done := 0; done < benchStream; done += each {
		each = min(each, benchStream-done)
		for i := 0; i < m.streams; i += at {
			l.req.Parts = nil
			for j := range min(at, m.streams-i) {
				l.req.Parts = append(l.req.Parts, driver.Part{Stream: readStream(i + j), Expected: driver.Exactly(driver.Version(done)), Records: recs[j*each : (j+1)*each]})
			}
			if err := l.append(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

func (m *bench) read(b *testing.B) {
	s := m.data(b)
	ctx := b.Context()
	report := metrics(b)
	for i := 0; b.Loop(); i++ {
		q, n := driver.StreamQuery{Stream: readStream(i % m.streams), Limit: 100}, 0
		for {
			page, err := s.ReadStream(ctx, q)
			must(b, err)
			n += len(page.Records)
			if page.End || len(page.Records) == 0 {
				break
			}
			q.From = page.Records[len(page.Records)-1].Version + 1
		}
		if n != benchStream {
			b.Fatalf("%d of %d events of a stream", n, benchStream)
		}
	}
	report(benchStream)
}

// readFeed reads the feed to its End, and where positions come late until there
// are want events, and returns how many there were.
func (m *bench) readFeed(ctx context.Context, f driver.Filter, want int) (n int, err error) {
	deadline := time.Now().Add(m.cfg.FeedBound)
	for q := (driver.FeedQuery{Filter: f}); ; {
		page, err := m.filled.ReadAll(ctx, q)
		if err != nil {
			return n, err
		}
		n += len(page.Records)
		switch {
		case page.End && (n >= want || m.probe.caps.PositionOnAppend):
			return n, nil
		case page.Next > q.After:
			deadline = time.Now().Add(m.cfg.FeedBound)
		case time.Now().After(deadline):
			return n, fmt.Errorf("nothing new for %v at position %d, after %d of %d events", m.cfg.FeedBound, q.After, n, want)
		default:
			time.Sleep(time.Millisecond)
		}
		q.After = page.Next
	}
}

func (m *bench) feed(b *testing.B, f driver.Filter, want int) {
	m.data(b)
	report := metrics(b)
	for b.Loop() {
		n, err := m.readFeed(b.Context(), f, want)
		if must(b, err); n != want {
			b.Fatalf("%d of %d events of the feed", n, want)
		}
	}
	report(m.total())
}

func (m *bench) filter(b *testing.B) {
	m.need(b, needFilter)
	m.feed(b, driver.Filter{Prefixes: []string{readStream(1)}}, benchStream)
}

func (m *bench) saveCheckpoint(b *testing.B) {
	m.need(b, needCheckpoints)
	s := m.open(b).(driver.CheckpointStore)
	cp := driver.Checkpoint{Name: "reader"}
	b.ReportAllocs()
	for b.Loop() {
		prev := cp.Revision
		cp.Position++
		cp.Revision = driver.NewID(time.Now())
		must(b, retry(b.Context(), func() error { return s.SaveCheckpoint(b.Context(), cp, prev) }))
	}
}

// snapshotOf is a snapshot of 1,000 bytes, or of what the limits allow.
func (m *bench) snapshotOf(stream string) driver.Snapshot {
	s := driver.Snapshot{Stream: stream, Kind: "state", Version: 1, EventID: record().ID, Encoding: "json"}
	n := 1000
	if most := m.probe.caps.MaxSnapshotBytes; most > 0 {
		n = min(n, most-driver.SnapshotSize(&s))
	}
	s.Data = make([]byte, n)
	return s
}

func (m *bench) saveSnapshot(b *testing.B) {
	m.need(b, needSnapshots)
	s := m.open(b).(driver.SnapshotStore)
	snap := m.snapshotOf("saved")
	b.ReportAllocs()
	for b.Loop() {
		must(b, retry(b.Context(), func() error { return s.SaveSnapshot(b.Context(), snap) }))
		snap.Version++
	}
}

func (m *bench) loadSnapshot(b *testing.B) {
	m.need(b, needSnapshots)
	s := m.open(b).(driver.SnapshotStore)
	snap := m.snapshotOf("loaded")
	must(b, retry(b.Context(), func() error { return s.SaveSnapshot(b.Context(), snap) }))
	b.ReportAllocs()
	for b.Loop() {
		got, err := s.LoadSnapshot(b.Context(), snap.Stream, snap.Kind)
		if must(b, err); len(got.Data) != len(snap.Data) {
			b.Fatalf("a snapshot of %d bytes was loaded with %d", len(snap.Data), len(got.Data))
		}
	}
}
