package cassandratest

import (
	"context"
	"crypto/md5"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gocql/gocql"

	"github.com/go-es/es/driver"
	"github.com/go-es/es/drivers/cassandra"
)

// wire stands between a session and the cluster. It counts the statements that are
// sent, can keep the answers back until a number of them was sent, and can keep
// statements of a text back.
type wire struct {
	mu       sync.Mutex
	cond     *sync.Cond
	keyspace string
	texts    map[string]string // of prepared statements, by id
	sent     []string
	call     int
	want     int    // answers to statements wait until so many were sent
	delay    string // a part of a text
	delayed  int
	release  chan struct{}
}

func newWire(keyspace string) *wire {
	w := &wire{keyspace: keyspace, texts: map[string]string{}}
	w.cond = sync.NewCond(&w.mu)
	return w
}

func (w *wire) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	return &wiretap{Conn: c, w: w}, nil
}

type wiretap struct {
	net.Conn
	w    *wire
	call int // that sent a statement here last
}

// Write gets one frame: requests do not wait for each other.
func (c *wiretap) Write(p []byte) (int, error) {
	const header = 9
	w := c.w
	w.mu.Lock()
	defer w.mu.Unlock()
	switch body := p[header:]; p[4] {
	case 0x09: // PREPARE
		text := string(body[4 : 4+binary.BigEndian.Uint32(body)])
		for _, of := range []string{text, w.keyspace + text} {
			id := md5.Sum([]byte(of))
			w.texts[string(id[:])] = text
		}
	case 0x0A: // EXECUTE
		text := w.texts[string(body[2:2+binary.BigEndian.Uint16(body)])]
		w.sent = append(w.sent, text)
		c.call = w.call
		w.cond.Broadcast()
		if w.delay != "" && strings.Contains(text, w.delay) {
			w.delayed++
			p, release := append([]byte(nil), p...), w.release
			go func() {
				<-release
				c.Conn.Write(p)
			}()
			return len(p), nil
		}
	}
	return c.Conn.Write(p)
}

func (c *wiretap) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	w := c.w
	w.mu.Lock()
	defer w.mu.Unlock()
	for c.call == w.call && len(w.sent) < w.want {
		w.cond.Wait()
	}
	return n, err
}

// during returns the statements that a call sends. Answers are kept back until so
// many were sent as are to be sent together; if they are not, that is an error.
func (w *wire) during(t *testing.T, name string, together int, call func()) []string {
	t.Helper()
	w.mu.Lock()
	w.call++
	w.sent, w.want = nil, together
	w.mu.Unlock()
	tooFew := time.AfterFunc(20*time.Second, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		t.Errorf("%s: %d statements are on their way at once, want %d: %q", name, len(w.sent), together, w.sent)
		w.want = 0
		w.cond.Broadcast()
	})
	call()
	tooFew.Stop()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.want = 0
	return w.sent
}

func openWire(t *testing.T, dsn string) (*cassandra.Store, *wire) {
	cfg, err := cassandra.ParseDSN(dsn)
	must(t, err)
	w := newWire(cfg.Keyspace)
	cfg.Cluster.Dialer = w
	cfg.Cluster.NumConns = 8
	s, err := cassandra.Open(t.Context(), cfg)
	must(t, err)
	t.Cleanup(func() { s.Close() })
	return s, w
}

// Reads send as few statements as they can, and those that do not need each other's
// answers together.
func TestReadStatements(t *testing.T) {
	const bucket = 16
	dsn := with(data(t, keyspace(t, server(t), 1)), fmt.Sprint("bucket=", bucket))
	ctx := t.Context()
	warm, warmWire := openWire(t, dsn)
	for stream, commits := range map[string][]int{
		"short": {3, 4, 3},
		"full":  {8, 8},
		"two":   {8, 8, 3, 3},
		"long":  {16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 3},
	} {
		v := 0
		for _, n := range commits {
			must(t, appendTo(ctx, warm, stream, driver.Exactly(driver.Version(v)), n))
			v += n
		}
	}
	must(t, warm.SaveSnapshot(ctx, driver.Snapshot{Stream: "short", Kind: "k", Version: 10, EventID: driver.NewID(time.Now()), Encoding: "json", Data: []byte("{}")}))
	load := func(s *cassandra.Store) {
		_, err := s.LoadSnapshot(ctx, "short", "k")
		must(t, err)
	}
	load(warm)
	for _, test := range []struct {
		name            string
		fresh           bool // nothing is known of the stream
		q               driver.StreamQuery
		sent, together  int
		first, last, of int // versions and how many records
	}{
		{"whole", false, driver.StreamQuery{Stream: "short"}, 1, 1, 1, 10, 10},
		{"whole", true, driver.StreamQuery{Stream: "short"}, 1, 1, 1, 10, 10},
		{"beyond the end", false, driver.StreamQuery{Stream: "short", From: 11}, 1, 1, 0, 0, 0},
		{"the last of a commit", false, driver.StreamQuery{Stream: "short", From: 10}, 1, 1, 10, 10, 1},
		{"the last of a commit", true, driver.StreamQuery{Stream: "short", From: 10}, 3, 2, 10, 10, 1},
		{"inside a commit", true, driver.StreamQuery{Stream: "short", From: 5}, 2, 2, 5, 10, 6},
		{"backward", true, driver.StreamQuery{Stream: "short", Backward: true}, 1, 1, 10, 1, 10},
		{"a full bucket", false, driver.StreamQuery{Stream: "full"}, 2, 2, 1, 16, 16},
		{"a full bucket", true, driver.StreamQuery{Stream: "full"}, 2, 1, 1, 16, 16},
		{"the last of a full bucket", false, driver.StreamQuery{Stream: "full", Backward: true, Limit: 1}, 2, 2, 16, 16, 1},
		{"the first page of two buckets", false, driver.StreamQuery{Stream: "two", Limit: 8}, 2, 2, 1, 8, 8},
		{"two buckets", false, driver.StreamQuery{Stream: "two"}, 3, 2, 1, 22, 22},
		{"two buckets backward", false, driver.StreamQuery{Stream: "two", Backward: true}, 2, 1, 22, 1, 22},
		{"the end of many buckets", false, driver.StreamQuery{Stream: "long", From: 321}, 1, 1, 321, 323, 3},
		{"the middle of many buckets", false, driver.StreamQuery{Stream: "long", From: 161, Limit: 16}, 2, 2, 161, 176, 16},
		{"the middle of many buckets, backward", false, driver.StreamQuery{Stream: "long", From: 160, Backward: true, Limit: 16}, 2, 2, 160, 145, 16},
		// The rows, four buckets after it, the register, some buckets between, twice.
		{"the end of many buckets", true, driver.StreamQuery{Stream: "long", Backward: true, Limit: 1}, 6, 1, 323, 323, 1},
	} {
		s, w := warm, warmWire
		if test.fresh {
			s, w = openWire(t, dsn)
			load(s)
		}
		var page driver.StreamPage
		var err error
		sent := w.during(t, test.name, test.together, func() { page, err = s.ReadStream(ctx, test.q) })
		must(t, err)
		if len(page.Records) != test.of || test.of > 0 && (page.Records[0].Version != driver.Version(test.first) || page.Records[test.of-1].Version != driver.Version(test.last)) {
			t.Errorf("%s: %d records, want %d from %d to %d", test.name, len(page.Records), test.of, test.first, test.last)
		}
		if len(sent) > test.sent {
			t.Errorf("%s, fresh: %t: %d statements, want %d:\n%s", test.name, test.fresh, len(sent), test.sent, strings.Join(sent, "\n"))
		}
	}
	if sent := warmWire.during(t, "a snapshot", 1, func() { load(warm) }); len(sent) != 1 {
		t.Errorf("a snapshot: %q", sent)
	}
}

// The next page begins with a row, however the commits lie to the borders of buckets.
func TestPagesBeginWithCommits(t *testing.T) {
	dsn := data(t, keyspace(t, server(t), 1)) // with buckets as large as a page
	ctx := t.Context()
	s, w := openWire(t, dsn)
	const events, n = 3300, 33
	for v := 0; v < events; v += n {
		must(t, appendTo(ctx, s, "s", driver.Exactly(driver.Version(v)), n))
	}
	statements := 0
	next := driver.Version(1)
	for end := false; !end; {
		var page driver.StreamPage
		var err error
		statements += len(w.during(t, fmt.Sprint("from ", next), 1, func() {
			page, err = s.ReadStream(ctx, driver.StreamQuery{Stream: "s", From: next})
		}))
		must(t, err)
		for i := range page.Records {
			if page.Records[i].Version != next {
				t.Fatalf("version %d, want %d", page.Records[i].Version, next)
			}
			next++
		}
		if end = page.End; !end && (next-1)%n != 0 {
			t.Errorf("a page ends at %d, inside a commit", next-1)
		}
	}
	if next != events+1 {
		t.Errorf("it ends at %d", next-1)
	}
	// Four pages: rows and, but for the last one, the last bucket; rows before all
	// but the first one, for a commit is too long to be read in vain.
	if statements > 4+3+3 {
		t.Errorf("%d statements", statements)
	}
}

// Who knows nothing of a stream asks for few rows first: they may be a MiB each.
func TestFirstRows(t *testing.T) {
	dsn := data(t, keyspace(t, server(t), 1))
	ctx := t.Context()
	writer, err := open(ctx, dsn)
	must(t, err)
	defer writer.Close()
	const events = 300 // more than are asked for first
	for v := range events {
		must(t, appendTo(ctx, writer, "s", driver.Exactly(driver.Version(v)), 1))
	}
	for _, backward := range []bool{false, true} {
		s, w := openWire(t, dsn)
		for _, want := range []int{2, 1} {
			var page driver.StreamPage
			sent := w.during(t, "all", 1, func() {
				page, err = s.ReadStream(ctx, driver.StreamQuery{Stream: "s", Backward: backward})
			})
			must(t, err)
			for i := range page.Records {
				v := driver.Version(i + 1)
				if backward {
					v = driver.Version(events - i)
				}
				if page.Records[i].Version != v {
					t.Fatalf("version %d, want %d", page.Records[i].Version, v)
				}
			}
			if len(page.Records) != events || !page.End || len(sent) != want {
				t.Errorf("backward: %t: %d records by %d statements, want %d by %d", backward, len(page.Records), len(sent), events, want)
			}
		}
	}
}

// A client that knows nothing finds the last bucket, however many there are.
func TestLastBucket(t *testing.T) {
	const bucket = 16
	dsn := with(data(t, keyspace(t, server(t), 1)), fmt.Sprint("bucket=", bucket))
	ctx := t.Context()
	cfg, err := cassandra.ParseDSN(dsn)
	must(t, err)
	session, err := cfg.Cluster.CreateSession()
	must(t, err)
	defer session.Close()
	cfg.Cluster = nil
	writer, err := open(ctx, dsn)
	must(t, err)
	defer writer.Close()
	for v := 0; v < 45*bucket; v += bucket / 2 {
		must(t, appendTo(ctx, writer, "s", driver.Exactly(driver.Version(v)), bucket/2))
		if v == 30*bucket { // from here on a register helps, and is behind
			for end := false; !end; {
				page, err := writer.ReadAll(ctx, driver.FeedQuery{After: driver.Position(0)})
				must(t, err)
				end = page.End || page.Next > 0
			}
		}
		fresh, err := cassandra.New(ctx, session, cfg)
		must(t, err)
		page, err := fresh.ReadStream(ctx, driver.StreamQuery{Stream: "s", Limit: 1})
		must(t, err)
		if want := driver.Version(v + bucket/2); page.Head != want {
			t.Errorf("the head is %d, want %d", page.Head, want)
		}
		must(t, fresh.Close())
	}
}

// A reader that looks at the end of a stream first and then at its rows sees one
// moment all the same: not the rows of a purged stream that was open.
func TestPurgedBetween(t *testing.T) {
	const bucket = 16
	dsn := with(data(t, keyspace(t, server(t), 1)), fmt.Sprint("bucket=", bucket))
	ctx := t.Context()
	reader, w := openWire(t, dsn)
	writer, err := open(ctx, dsn)
	must(t, err)
	defer writer.Close()
	for i, test := range []struct {
		backward bool
		from     driver.Version
		delay    string
		events   int // 16: the next bucket has not begun; 20: it has
	}{
		{false, 1, "ORDER BY first ASC", 16},
		{false, 1, "ORDER BY first ASC", 20},
		{true, 16, "ORDER BY first DESC", 16},
		{true, 16, "ORDER BY first DESC", 20},
	} {
		for _, withDeleted := range []bool{true, false} {
			stream := fmt.Sprint("s", i, withDeleted)
			for v := 0; v < test.events; v += 4 {
				must(t, appendTo(ctx, writer, stream, driver.Exactly(driver.Version(v)), 4))
			}
			_, err := reader.ReadStream(ctx, driver.StreamQuery{Stream: stream})
			must(t, err)

			w.mu.Lock()
			w.sent, w.delay, w.delayed, w.release = nil, test.delay, 0, make(chan struct{})
			w.mu.Unlock()
			type result struct {
				page driver.StreamPage
				err  error
			}
			done := make(chan result)
			go func() {
				page, err := reader.ReadStream(ctx, driver.StreamQuery{Stream: stream, From: test.from, Backward: test.backward, Deleted: withDeleted})
				done <- result{page, err}
			}()
			for end := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
				w.mu.Lock()
				both := w.delayed > 0 && len(w.sent) > w.delayed
				w.mu.Unlock()
				if both {
					break
				}
				if time.Now().After(end) {
					t.Fatalf("the rows and the state of %s are not asked for at once", stream)
				}
			}
			time.Sleep(50 * time.Millisecond) // the answer comes; if it came later, the test would see less
			_, err = writer.Delete(ctx, driver.DeleteRequest{Stream: stream, Expected: driver.Any, Mode: driver.Purge, Record: record(driver.TypeDeleted)})
			must(t, err)
			w.mu.Lock()
			w.delay = ""
			close(w.release)
			w.mu.Unlock()
			r := <-done
			switch {
			case !withDeleted:
				if !errors.Is(r.err, driver.ErrStreamDeleted) {
					t.Errorf("%s: %d records, %v", stream, len(r.page.Records), r.err)
				}
			case r.err != nil:
				t.Errorf("%s: %v", stream, r.err)
			case r.page.Head != driver.Version(test.events+1) || !r.page.End:
				t.Errorf("%s: the head is %d, end: %t", stream, r.page.Head, r.page.End)
			case !test.backward && (len(r.page.Records) != 1 || r.page.Records[0].Type != driver.TypeDeleted):
				t.Errorf("%s: %d records", stream, len(r.page.Records))
			case test.backward && len(r.page.Records) != 0:
				t.Errorf("%s: %d records", stream, len(r.page.Records))
			}
		}
	}
}

var _ gocql.Dialer = (*wire)(nil)
