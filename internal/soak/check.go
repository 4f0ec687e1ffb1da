package soak

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/go-es/es/driver"
)

// checker compares what the journals say with what is stored.
type checker struct {
	cfg      *Config
	dir      string
	streams  []string
	number   map[string]int32
	writers  []history // by process and writer
	feed     []event
	readers  []reader
	failures []failure
	hidden   int // failures beyond those
}

// event is one of the feed.
type event struct {
	position driver.Position
	version  driver.Version
	origin   origin
	stream   int32
}

// reader is what one reader was given.
type reader struct {
	pages    []page
	restarts int
}

type page struct {
	after, next driver.Position
	n           int
	end         bool
	nano        int64
}

// failure is a promise that was broken, at about some moment.
type failure struct {
	text string
	nano int64
}

func newChecker(cfg *Config, dir string) *checker {
	return &checker{cfg: cfg, dir: dir, number: map[string]int32{}}
}

// broken notes what was seen, with the rules of package driver that it breaks.
func (c *checker) broken(rules string, nano int64, format string, args ...any) {
	if len(c.failures) == 20 {
		c.hidden++
		return
	}
	c.failures = append(c.failures, failure{rules + ": " + fmt.Sprintf(format, args...), nano})
}

func (c *checker) intern(stream string) int32 {
	n, ok := c.number[stream]
	if !ok {
		n = int32(len(c.streams))
		c.number[stream] = n
		c.streams = append(c.streams, stream)
	}
	return n
}

// load reads the writers' journals.
func (c *checker) load() error {
	for p := range c.cfg.Processes {
		for w := range c.cfg.Writers {
			var h history
			_, err := readJournal(writerLog(c.dir, p, w), func(line string) (bool, error) { return h.line(line, c.intern) })
			if err != nil {
				return err
			}
			for _, e := range h.errors {
				c.broken("writer "+fmt.Sprint(w)+" of process "+fmt.Sprint(p), 0, "%s", e)
			}
			c.writers = append(c.writers, h)
		}
	}
	return nil
}

// attempt returns the append that an event came with; nil if nobody made it.
func (c *checker) attempt(o origin) *attempt {
	if o.process >= c.cfg.Processes || o.writer >= c.cfg.Writers {
		return nil
	}
	h := c.writers[o.process*c.cfg.Writers+o.writer].attempts
	if o.seq >= len(h) || o.index >= len(h[o.seq].at) {
		return nil
	}
	return &h[o.seq]
}

// each calls f with every append.
func (c *checker) each(f func(o origin, a *attempt)) {
	for i := range c.writers {
		for seq := range c.writers[i].attempts {
			f(origin{i / c.cfg.Writers, i % c.cfg.Writers, seq, 0}, &c.writers[i].attempts[seq])
		}
	}
}

// compare compares everything.
func (c *checker) compare(ctx context.Context, dsn string) error {
	s, err := c.cfg.Open(ctx, dsn)
	if err != nil {
		return err
	}
	defer s.Close()
	if err := c.readFeed(ctx, s); err != nil {
		return err
	}
	for p := range c.cfg.Processes {
		if err := c.readReader(p); err != nil {
			return err
		}
	}
	c.each(c.judge)
	if s.Caps().PositionOnAppend {
		c.order()
	}
	return c.readStreams(ctx, s)
}

// readFeed reads the whole feed.
func (c *checker) readFeed(ctx context.Context, s driver.Store) error {
	heads := make([]driver.Version, len(c.streams))
	var after, last driver.Position
	var seen driver.Seen
	for end := time.Now().Add(patience); ; {
		var p driver.FeedPage
		err := retry(ctx, func() (err error) {
			p, err = s.ReadAll(ctx, driver.FeedQuery{After: after, Limit: 500, Seen: seen})
			return err
		})
		if err != nil {
			return fmt.Errorf("ReadAll after %d, at rest: %w", after, err)
		}
		for i := range p.Records {
			r := &p.Records[i]
			o, ok := originOf(r.ID)
			a := c.attempt(o)
			stream, known := c.number[r.Stream]
			if !ok || a == nil || !known {
				c.broken("A1", 0, "position %d of the feed, stream %q, has the event %v, which nobody wrote", r.Position, r.Stream, r.ID)
				continue
			}
			if r.Position <= last || r.Position > p.Next {
				c.broken("F1 F3", a.end, "%v is at position %d of the feed, on a page that ends at %d, after one at %d", o, r.Position, p.Next, last)
			}
			if r.Version != heads[stream]+1 {
				c.broken("V1 F6", a.end, "the feed has version %d of stream %q (%v, position %d) after version %d", r.Version, r.Stream, o, r.Position, heads[stream])
			}
			if a.at[o.index] >= 0 {
				first := c.feed[a.at[o.index]]
				c.broken("F1", a.end, "%v is in the feed twice: at position %d, version %d of stream %q, and at position %d, version %d of stream %q", o, first.position, first.version, c.streams[first.stream], r.Position, r.Version, r.Stream)
			}
			if !bytes.Equal(r.Data, payload(r.ID)) {
				c.broken("R1", a.end, "%v, at position %d, has %d bytes of data that nobody wrote", o, r.Position, len(r.Data))
			}
			last, heads[stream] = max(last, r.Position), r.Version
			a.at[o.index] = int32(len(c.feed))
			c.feed = append(c.feed, event{r.Position, r.Version, o, stream})
		}
		if p.Next > after {
			after, end = p.Next, time.Now().Add(patience)
			if p.Seen.Position > 0 {
				seen = p.Seen
			}
			continue
		}
		if p.End {
			return nil
		}
		if time.Now().After(end) {
			return fmt.Errorf("F5: at rest, ReadAll after %d gives neither events nor the End", after)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// judge holds what a writer was told of an append against what is stored.
func (c *checker) judge(o origin, a *attempt) {
	found := 0
	for i, at := range a.at {
		if at >= 0 {
			found++
			continue
		}
		if a.state == 'a' {
			o.index = i
			c.broken("F1 A6", a.end, "%s, which was acknowledged, is not in the feed", c.tell(o, a))
			break
		}
	}
	switch {
	case found > 0 && a.state == 'r':
		c.broken("U2 A1", a.end, "%s, which failed (%s), is stored: %d of %d events", c.tell(o, a), a.why, found, len(a.at))
	case found > 0 && found < len(a.at) && a.state != 'a':
		c.broken("A1", a.begin, "%s, of unknown outcome, is stored in part: %d of %d events", c.tell(o, a), found, len(a.at))
	}
	if found < len(a.at) {
		return
	}
	i := 0
	for _, p := range a.parts {
		first := c.feed[a.at[i]]
		if base, exact := p.expected.Exact(); exact && first.version != base+1 {
			c.broken("V2", a.end, "%s, which expected version %d of stream %q, is stored from version %d on", c.tell(o, a), base, c.streams[p.stream], first.version)
		}
		if p.first > 0 && first.version != p.first {
			c.broken("A3", a.end, "%s was acknowledged from version %d of stream %q on, and is stored from version %d on", c.tell(o, a), p.first, c.streams[p.stream], first.version)
		}
		for j := range p.n {
			e := c.feed[a.at[i+j]]
			if e.stream != p.stream || e.version != first.version+driver.Version(j) {
				c.broken("A1", a.end, "%s to stream %q: its event %d is version %d of stream %q, its first version %d", c.tell(o, a), c.streams[p.stream], i+j, e.version, c.streams[e.stream], first.version)
				break
			}
		}
		i += p.n
		if last := c.feed[a.at[i-1]]; p.position > 0 && last.position != p.position {
			c.broken("F7", a.end, "%s was acknowledged at position %d, and is at position %d", c.tell(o, a), p.position, last.position)
		}
	}
}

// tell says what an append was, and when.
func (c *checker) tell(o origin, a *attempt) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%v (id %v; of %d events to", o, o.id(), len(a.at))
	for i, p := range a.parts {
		if i > 0 {
			b.WriteString(" and")
		}
		fmt.Fprintf(&b, " stream %q at %v", c.streams[p.stream], p.expected)
		if p.position > 0 {
			fmt.Fprintf(&b, ", position %d", p.position)
		}
	}
	switch kinds := map[byte]string{group: ", in a group", held: ", held open"}; {
	case a.state == 'a':
		fmt.Fprintf(&b, "%s; begun %s, acknowledged %s)", kinds[a.kind], clock(a.begin), clock(a.end))
	default:
		fmt.Fprintf(&b, "%s; begun %s, never acknowledged)", kinds[a.kind], clock(a.begin))
	}
	return b.String()
}

func clock(nano int64) string { return time.Unix(0, nano).Format("15:04:05.000000") }

// order checks that an append that began after another was acknowledged has a
// higher position.
func (c *checker) order() {
	type ended struct {
		nano     int64
		position driver.Position
		o        origin
	}
	var ends []ended
	var begins []origin
	c.each(func(o origin, a *attempt) {
		if slices.Contains(a.at, -1) {
			return
		}
		begins = append(begins, o)
		if a.state == 'a' {
			ends = append(ends, ended{a.end, c.last(a), o})
		}
	})
	sort.Slice(ends, func(i, j int) bool { return ends[i].nano < ends[j].nano })
	sort.Slice(begins, func(i, j int) bool { return c.attempt(begins[i]).begin < c.attempt(begins[j]).begin })
	var highest ended
	i := 0
	for _, o := range begins {
		a := c.attempt(o)
		for ; i < len(ends) && ends[i].nano < a.begin; i++ {
			if ends[i].position > highest.position {
				highest = ends[i]
			}
		}
		if p := c.last(a); p <= highest.position && highest.o != o {
			c.broken("F7", a.begin, "%s is at position %d; %s was at %d before it began", c.tell(o, a), p, c.tell(highest.o, c.attempt(highest.o)), highest.position)
		}
	}
}

// last returns the highest position of an append that is stored.
func (c *checker) last(a *attempt) (p driver.Position) {
	for _, at := range a.at {
		p = max(p, c.feed[at].position)
	}
	return p
}

// readStreams reads every stream whole.
func (c *checker) readStreams(ctx context.Context, s driver.Store) error {
	of := make([][]int32, len(c.streams))
	for i, e := range c.feed {
		of[e.stream] = append(of[e.stream], int32(i))
	}
	for n, in := range of {
		stream := c.streams[n]
		var got int
		for q := (driver.StreamQuery{Stream: stream}); ; {
			var p driver.StreamPage
			err := retry(ctx, func() (err error) {
				p, err = s.ReadStream(ctx, q)
				return err
			})
			if errors.Is(err, driver.ErrStreamNotFound) {
				break
			}
			if err != nil {
				return fmt.Errorf("ReadStream %+v, at rest: %w", q, err)
			}
			for i := range p.Records {
				r := &p.Records[i]
				if got >= len(in) {
					c.broken("F1", 0, "stream %q has version %d, event %v; in the feed it ends at version %d", stream, r.Version, r.ID, len(in))
					break
				}
				e := c.feed[in[got]]
				if r.ID != e.origin.id() || r.Version != e.version || r.Position != e.position && r.Position != 0 || !bytes.Equal(r.Data, payload(r.ID)) {
					c.broken("S1 R4", c.attempt(e.origin).end, "stream %q has event %v as version %d at position %d, where the feed has %v, version %d, position %d", stream, r.ID, r.Version, r.Position, e.origin.id(), e.version, e.position)
				}
				got++
			}
			if p.End {
				break
			}
			if len(p.Records) == 0 {
				return fmt.Errorf("S3: ReadStream %+v: an empty page that is not the End", q)
			}
			q.From = p.Records[len(p.Records)-1].Version + 1
		}
		if got < len(in) {
			e := c.feed[in[got]]
			a := c.attempt(e.origin)
			c.broken("S1", a.end, "stream %q ends before version %d: %s is missing, which the feed has at position %d", stream, e.version, c.tell(e.origin, a), e.position)
		}
	}
	return nil
}

// readReader holds what a reader was given against the feed.
func (c *checker) readReader(process int) error {
	var r reader
	name := c.readerName(process)
	i := 0                        // of the feed: what comes next
	var reached, saved, at uint64 // the highest Next, the checkpoint, the Next now
	after := func(p uint64) int {
		return sort.Search(len(c.feed), func(i int) bool { return uint64(c.feed[i].position) > p })
	}
	missed := func(from, to int, format string, args ...any) {
		e := c.feed[from]
		a := c.attempt(e.origin)
		c.broken("F1 F2", a.end, "%s was never given %s, at position %d (and %d more): %s", name, c.tell(e.origin, a), e.position, to-from-1, fmt.Sprintf(format, args...))
	}
	_, err := readJournal(readerLog(c.dir, process), func(line string) (bool, error) {
		switch line[0] {
		case 'x':
			c.broken(name, 0, "%s", line[2:])
		case 'f':
			if _, err := fmt.Sscanf(line, "f %d", &at); err != nil {
				return false, err
			}
			if at < saved || at > reached {
				c.broken("C4", 0, "%s loaded its checkpoint at %d; it had saved one at %d and read up to %d", name, at, saved, reached)
			}
			i = after(at)
			r.restarts++
		case 's':
			if _, err := fmt.Sscanf(line, "s %d", &saved); err != nil {
				return false, err
			}
		case 'e':
			var position, version uint64
			var text string
			if _, err := fmt.Sscanf(line, "e %d %d %s", &position, &version, &text); err != nil {
				return false, err
			}
			j := after(position - 1)
			switch {
			case j == len(c.feed) || uint64(c.feed[j].position) != position || uint64(c.feed[j].version) != version || c.feed[j].origin.id().String() != text:
				c.broken("F1", 0, "%s was given event %s as version %d at position %d, which the feed does not have there", name, text, version, position)
				return true, nil
			case j < i:
				c.broken("F1", 0, "%s was given %v, at position %d, again or too late", name, c.feed[j].origin, position)
				return true, nil
			case j > i:
				missed(i, j, "after position %d it was given %d", at, position)
			}
			i = j + 1
		case 'p':
			var p page
			if _, err := fmt.Sscanf(line, "p %d %d %d %t %d", &p.after, &p.next, &p.n, &p.end, &p.nano); err != nil {
				return false, err
			}
			r.pages = append(r.pages, p)
			if j := after(uint64(p.next)); j > i {
				missed(i, j, "its page after %d had Next %d, at %s", p.after, p.next, clock(p.nano))
				i = j
			} else if j < i {
				c.broken("F3", p.nano, "%s had a page after %d with Next %d, and an event above that", name, p.after, p.next)
			}
			at, reached = uint64(p.next), max(reached, uint64(p.next))
		}
		return true, nil
	})
	for ; err == nil && i < len(c.feed); i++ {
		// An append of unknown outcome may have come after the end.
		if a := c.attempt(c.feed[i].origin); a.state == 'a' {
			missed(i, len(c.feed), "it was at the End, at position %d", at)
			break
		}
	}
	c.readers = append(c.readers, r)
	return err
}

func (c *checker) readerName(process int) string {
	size := fmt.Sprintf("pages of %d", pageSize(process, c.cfg.Processes))
	if pageSize(process, c.cfg.Processes) == 0 {
		size = "pages of the store's choice"
	}
	if process == c.cfg.Processes-1 {
		size += ", from its checkpoint again and again"
	}
	return fmt.Sprintf("the reader of process %d (%s)", process, size)
}

// report reports the failures, with what the readers were given around them.
func (c *checker) report(t TB) {
	t.Helper()
	for n, f := range c.failures {
		var b strings.Builder
		if f.nano > 0 && n < 5 {
			for p := range c.readers {
				pages := c.readers[p].pages
				i := sort.Search(len(pages), func(i int) bool { return pages[i].nano >= f.nano })
				fmt.Fprintf(&b, "\n\t%s, around %s:", c.readerName(p), clock(f.nano))
				for _, p := range pages[max(0, i-3):min(len(pages), i+3)] {
					fmt.Fprintf(&b, "\n\t\t%s after %d: %d events, Next %d, End %t", clock(p.nano), p.after, p.n, p.next, p.end)
				}
			}
		}
		t.Errorf("soak: %s%s", f.text, b.String())
	}
	if c.hidden > 0 {
		t.Errorf("soak: and %d more", c.hidden)
	}
}

// counts says what there was.
func (c *checker) counts() string {
	var appends, unknown, cut int
	kinds, whys := map[byte]int{}, map[string]int{}
	c.each(func(_ origin, a *attempt) {
		appends++
		kinds[a.kind]++
		switch a.state {
		case 'r':
			whys[a.why]++
		case 'u':
			unknown++
		case 0:
			cut++
		}
	})
	var pages, restarts int
	for _, r := range c.readers {
		pages += len(r.pages)
		restarts += r.restarts
	}
	return fmt.Sprintf("%d events of %d appends (%d to several streams, %d in groups, %d held open); %d conflicts, %d rolled back, %d contexts ended, %d unknown, %d cut by a kill, %d failed; %d streams; %d readers with %d pages and %d restarts from a checkpoint",
		len(c.feed), appends, kinds[many], kinds[group], kinds[held], whys["conflict"], whys["rolledback"], whys["context"], unknown, cut, whys["error"]+whys["transient"], len(c.streams), len(c.readers), pages, restarts)
}
