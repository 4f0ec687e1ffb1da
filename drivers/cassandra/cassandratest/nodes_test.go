//go:build unix

package cassandratest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/go-es/es/driver"
	"github.com/go-es/es/internal/servers"
)

// Sixteen writers at QUORUM on three nodes, and two readers that give positions,
// while nodes are paused, one or two at a time, and killed and brought back. It ends
// when enough events were acknowledged and enough has gone wrong. ES_SOAK is how many
// events, 2,000 by default; of the troubles there are more then, too.
func TestThreeNodes(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes minutes")
	}
	nodes, dsn := own(t, 3)
	events := 2000
	if s := os.Getenv("ES_SOAK"); s != "" {
		n, err := strconv.Atoi(s)
		must(t, err)
		events = n
	}
	h := &history{fate: map[driver.ID]fate{}}
	// All create the tables at once, each by another node first.
	stores := make([]driver.Store, 4)
	var opening sync.WaitGroup
	for i := range stores {
		opening.Go(func() {
			settle := []string{"2s", "100ms"}[i%2] // which leaves more outcomes unknown
			err := again(func() (err error) {      // a node may take its time before it answers
				stores[i], err = open(t.Context(), with(first(dsn, i), "bucket=50", "timeout=5s", "settle="+settle))
				return err
			})
			if err != nil {
				t.Error(err)
				return
			}
			t.Cleanup(func() { stores[i].Close() })
		})
	}
	opening.Wait()
	if t.Failed() {
		return
	}

	ctx, stop := context.WithCancel(t.Context())
	reading, finish := context.WithCancel(t.Context())
	var writers, readers sync.WaitGroup
	defer func() {
		stop()
		finish()
		writers.Wait()
		readers.Wait()
	}()
	for w := range 16 {
		writers.Go(func() {
			for ctx.Err() == nil {
				h.write(t.Context(), stores[w%len(stores)], fmt.Sprint("s", rand.IntN(nodesStreams)))
			}
		})
	}
	var total atomic.Int64 // of all events, once it is known
	feeds := make([][]driver.Record, 3)
	for i := range 2 {
		readers.Go(func() { feeds[i] = follow(reading, t, stores[i], &total) })
	}

	// A node that is killed is away for as long as it takes to start.
	pauses, kills := 0, 0
	enough := func() bool {
		acked, doubt, _ := h.counts()
		return acked >= events && doubt >= 5 && kills >= 2 && pauses >= 4
	}
	for i := 0; !enough() && !t.Failed(); i++ {
		time.Sleep(time.Second)
		if i%5 == 3 {
			kills++
			nodes[i%3].Kill()
			time.Sleep(time.Second)
			nodes[i%3].Start()
			continue
		}
		pauses++
		some := []*servers.Server{nodes[i%3], nodes[(i+1)%3]}[:1+i%2]
		signal(t, some, syscall.SIGSTOP)
		time.Sleep(time.Duration(500+rand.IntN(2500)) * time.Millisecond)
		signal(t, some, syscall.SIGCONT)
	}
	stop()
	writers.Wait()

	// What is not decided yet is, one way or the other, before a last append to the
	// same stream.
	var fresh driver.Store
	must(t, again(func() (err error) {
		fresh, err = open(t.Context(), with(dsn, "settle=1m"))
		return err
	}))
	defer fresh.Close()
	for i := range nodesStreams {
		must(t, again(func() error { return appendTo(t.Context(), fresh, fmt.Sprint("s", i), driver.Any, 1) }))
	}
	stored := h.compare(t, fresh)
	total.Store(int64(len(stored)))
	feeds[2] = follow(reading, t, fresh, &total)
	readers.Wait()
	for i, feed := range feeds {
		ordered(t, fmt.Sprint("reader ", i), feed, stored)
	}
	acked, doubt, refused := h.counts()
	t.Logf("%d events acknowledged, %d stored; %d outcomes unknown, %d appends refused; nodes paused %d times, killed %d times", acked, len(stored), doubt, refused, pauses, kills)
}

// first returns a data source name that begins with another of its hosts.
func first(dsn string, host int) string {
	u, err := url.Parse(dsn)
	if err != nil {
		panic(err)
	}
	hosts, port, _ := strings.Cut(u.Host, ":")
	all := strings.Split(hosts, ",")
	n := host % len(all)
	u.Host = strings.Join(append(slices.Clone(all[n:]), all[:n]...), ",") + ":" + port
	return u.String()
}

func signal(t *testing.T, nodes []*servers.Server, s syscall.Signal) {
	t.Helper()
	for _, node := range nodes {
		must(t, syscall.Kill(node.Pid(), s))
	}
}

// fate is what a writer was told of an event.
type fate int

const (
	acknowledged fate = iota + 1
	refused           // it is not stored, and never will be
	unknown
)

// place is where an event is, or was acknowledged to be.
type place struct {
	stream string
	v      driver.Version
}

// history is what the writers did.
type history struct {
	doubt atomic.Int64 // outcomes that were unknown at first

	mu     sync.Mutex
	fate   map[driver.ID]fate
	places sync.Map // of what was acknowledged
	acked  int
	no     int
}

func (h *history) counts() (acked int, doubt int64, refused int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.acked, h.doubt.Load(), h.no
}

const nodesStreams = 24

// write makes one append and notes what became of it. Half of those of unknown
// outcome are sent again until that is known.
func (h *history) write(ctx context.Context, s driver.Store, stream string) {
	records := []driver.Record{record("added"), record("added")}[:1+rand.IntN(2)]
	part := driver.Part{Stream: stream, Expected: driver.Any, Records: records}
	if rand.IntN(4) == 0 {
		page, err := s.ReadStream(ctx, driver.StreamQuery{Stream: stream, Backward: true, Limit: 1})
		if err == nil {
			part.Expected = driver.Exactly(page.Head)
		}
	}
	req := driver.AppendRequest{Parts: []driver.Part{part}}
	res, err := s.Append(ctx, req)
	if u, ok := errors.AsType[*driver.UnknownOutcomeError](err); ok {
		h.doubt.Add(1)
		again := driver.Rebase(req, u.Parts)
		for range rand.IntN(2) * 300 {
			if res, err = s.Append(ctx, again); err == nil || errors.Is(err, driver.ErrConflict) {
				break
			}
			time.Sleep(100 * time.Millisecond)
			err = u // whatever this one says, nobody knows of those before
		}
	}
	f := acknowledged
	switch {
	case errors.Is(err, driver.ErrUnknownOutcome):
		f = unknown
	case err != nil:
		f = refused
	}
	h.mu.Lock()
	for i, r := range records {
		h.fate[r.ID] = f
		if f == acknowledged {
			h.acked++
			h.places.Store(r.ID, place{stream, res.Parts[0].First + driver.Version(i)})
		}
	}
	if f == refused {
		h.no++
	}
	h.mu.Unlock()
	if err != nil {
		time.Sleep(50 * time.Millisecond)
	}
}

// compare holds what the streams have against what the writers were told.
func (h *history) compare(t *testing.T, s driver.Store) map[place]driver.ID {
	t.Helper()
	stored := map[place]driver.ID{}
	of := map[driver.ID]place{}
	for i := range nodesStreams {
		stream := fmt.Sprint("s", i)
		for q := (driver.StreamQuery{Stream: stream, From: 1}); ; {
			var page driver.StreamPage
			err := again(func() (err error) {
				page, err = s.ReadStream(t.Context(), q)
				return err
			})
			if errors.Is(err, driver.ErrStreamNotFound) {
				break
			}
			must(t, err)
			for _, r := range page.Records {
				at := place{stream, r.Version}
				if r.Version != q.From {
					t.Fatalf("stream %s has version %d after %d", stream, r.Version, q.From-1)
				}
				if first, twice := of[r.ID]; twice {
					t.Errorf("%v is stored twice, as %v and as %v", r.ID, first, at)
				}
				stored[at], of[r.ID] = r.ID, at
				q.From++
			}
			if page.End {
				break
			}
		}
	}
	for id, f := range h.fate {
		at, there := of[id]
		delete(of, id)
		want, _ := h.places.Load(id)
		switch {
		case f == acknowledged && at != want:
			t.Errorf("%v was acknowledged as %v; stored: %t, as %v", id, want, there, at)
		case f == refused && there:
			t.Errorf("%v was refused, and is stored as %v", id, at)
		}
	}
	if len(of) != nodesStreams { // those of the last appends
		t.Errorf("%d events are stored that no writer wrote, and not %d: %v", len(of), nodesStreams, of)
	}
	return stored
}

// follow reads the feed until it has all events, or a minute has not brought what is
// missing, and returns them in the order in which they came.
func follow(ctx context.Context, t *testing.T, s driver.Store, total *atomic.Int64) (all []driver.Record) {
	var q driver.FeedQuery
	last := time.Now()
	for ctx.Err() == nil {
		q.Limit = 1 + rand.IntN(200)
		page, err := s.ReadAll(ctx, q)
		switch n := total.Load(); {
		case errors.Is(err, driver.ErrCorrupt) || errors.Is(err, driver.ErrCheckpointAhead):
			t.Errorf("ReadAll after %d: %v", q.After, err)
			return all
		case err == nil && len(page.Records) > 0:
			all = append(all, page.Records...)
			last = time.Now()
		case n > 0 && (err == nil && page.End && len(all) >= int(n) || time.Since(last) > time.Minute):
			return all
		default:
			time.Sleep(30 * time.Millisecond)
		}
		if err == nil {
			if q.After = page.Next; page.Seen.Position > 0 {
				q.Seen = page.Seen
			}
		}
	}
	return all
}

// ordered checks that a reader was given all that is stored, once, in the order of
// positions and of versions, and without gaps.
func ordered(t *testing.T, who string, feed []driver.Record, stored map[place]driver.ID) {
	t.Helper()
	last := map[string]driver.Version{}
	for i, r := range feed {
		if r.Position != driver.Position(i+1) {
			t.Fatalf("%s: position %d comes as number %d", who, r.Position, i+1)
		}
		if r.Version != last[r.Stream]+1 {
			t.Fatalf("%s: version %d of %s comes after %d", who, r.Version, r.Stream, last[r.Stream])
		}
		last[r.Stream] = r.Version
		if id := stored[place{r.Stream, r.Version}]; id != r.ID {
			t.Errorf("%s was given %v as version %d of %s; stored is %v", who, r.ID, r.Version, r.Stream, id)
		}
	}
	if len(feed) != len(stored) {
		t.Errorf("%s was given %d events, and %d are stored", who, len(feed), len(stored))
	}
}
