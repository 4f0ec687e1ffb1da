package conformance

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-es/es/driver"
)

// The calls that wrote events and read the feed, and when: as little as a failure
// needs to tell, put into words only when there is one. Times are since the check
// began.

// write is a call that appends.
type write struct {
	client int // 0: it was held open
	name   string
	events []writtenEvent
	begin  time.Duration
	settle time.Duration // of a held append: its commit or its rollback was called
	end    time.Duration // 0: not yet
	back   bool          // of a held append: rolled back
	inTx   bool          // by Config.InTx, and not by Config.Hold
	err    error
}

type writtenEvent struct {
	stream string
	id     driver.ID
}

func (w *write) held() bool { return w.client == 0 }

// holder is the hook that held an append open.
func (w *write) holder() string {
	if w.inTx {
		return "Config.InTx"
	}
	return "Config.Hold"
}

// stored reports whether the call said that its events are stored.
func (w *write) stored() bool { return w.end > 0 && w.err == nil && !w.back }

func (w *write) has(e writtenEvent) bool {
	for _, o := range w.events {
		if o == e {
			return true
		}
	}
	return false
}

// writing notes that a call begins to write.
func (l *feedLog) writing(client int, name string, now time.Duration, parts ...driver.Part) *write {
	w := &write{client: client, name: name, begin: now}
	for _, p := range parts {
		for i := range p.Records {
			w.events = append(w.events, writtenEvent{p.Stream, p.Records[i].ID})
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.writes = append(l.writes, w)
	return w
}

// settling notes that a held append is about to be committed or rolled back.
func (l *feedLog) settling(w *write, now time.Duration, back bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	w.settle, w.back = now, back
}

// written notes the end of a call that wrote.
func (l *feedLog) written(w *write, now time.Duration, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	w.end, w.err = max(now, 1), err
}

// fault is what a reader of the feed suffers.
type fault int

const (
	passed    fault = iota // a page went past an event, which was there later
	vanished               // a page had an event that was not there later
	missing                // an event was not returned before the End
	stuck                  // the feed does not move
	unreached              // reading does not get to the head
	repeated               // an event was returned twice
	moved                  // two events are in the wrong order
	elsewhere              // a call said another position
)

// finding is a sentence that the feed breaks, and the event that shows it.
type finding struct {
	rule, seen string
	fault      fault
	event      seenRecord // its position is 0 where it is not known; zero: none
	other      seenRecord // the event that it is held against; zero: none
	page       *feedPage  // that passed the event, had it, or was the End
}

// exposed ends the check with a finding and the history of the calls around it.
// All is the feed as it is now, as far as it was read.
func (t *test) exposed(l *feedLog, all []driver.Record, f finding) {
	t.Helper()
	t.Fatalf("%s", t.story(f.rule, f.seen, l.tell(f, all, !t.caps.PositionOnAppend, t.now())))
}

// exposes is exposed for any goroutine: the check goes on.
func (t *test) exposes(l *feedLog, all []driver.Record, f finding) {
	t.Helper()
	switch n := t.wrongs.Add(1); {
	case n == 1:
		t.Errorf("%s", t.story(f.rule, f.seen, l.tell(f, all, !t.caps.PositionOnAppend, t.now())))
	case n <= 3: // the history of one is enough
		t.Errorf("%s", t.story(f.rule, f.seen, ""))
	}
}

// account is a finding with the calls that it is explained by.
type account struct {
	finding
	late     bool // positions are given after the append
	now      time.Duration
	at       map[writtenEvent]driver.Position
	write    *write    // of the event
	against  *write    // of the other event
	appeared *feedPage // the first page that had the event
	writes   []*write
	pages    []*feedPage
	all      []driver.Record
}

// tell puts the history of a finding into words, and draws it.
func (l *feedLog) tell(f finding, all []driver.Record, late bool, now time.Duration) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	a := &account{finding: f, late: late, now: now, at: map[writtenEvent]driver.Position{}, writes: l.writes, pages: l.pages, all: all}
	for i := range all {
		a.at[writtenEvent{all[i].Stream, all[i].ID}] = all[i].Position
	}
	for _, p := range a.pages {
		for _, r := range p.records {
			if _, ok := a.at[r.written()]; !ok {
				a.at[r.written()] = r.position
			}
		}
	}
	for p, pos := range l.positions {
		if e := (writtenEvent{p.stream, l.acked[p]}); a.at[e] == 0 {
			a.at[e] = pos
		}
	}
	if a.event.position == 0 {
		a.event.position = a.at[a.event.written()]
	}
	a.write, a.against = a.writeOf(a.event), a.writeOf(a.other)
	for _, p := range a.pages {
		if p.has(a.event) && (a.appeared == nil || p.end < a.appeared.end) && (a.fault != passed || a.page == nil || p.end > a.page.begin) {
			a.appeared = p
		}
	}
	var b strings.Builder
	line := func(what, format string, args ...any) {
		fmt.Fprintf(&b, "    %-9s %s\n", what+":", fmt.Sprintf(format, args...))
	}
	if !a.event.id.IsZero() {
		line("event", "%s", a.event)
		line("written", "%s", a.writeInWords(a.write))
	}
	if !a.other.id.IsZero() {
		line("other", "%s", a.other)
		line("written", "%s", a.writeInWords(a.against))
	}
	if a.page != nil {
		what := "returned"
		switch a.fault {
		case passed:
			what = "passed"
		case missing, stuck, unreached:
			what = "read"
		}
		line(what, "%s", a.inWords(a.page))
	}
	switch {
	case a.event.id.IsZero():
	case a.fault == vanished:
		line("then", "the feed as it was read at %s does not have it there", us(a.now))
	case a.appeared == nil && a.fault < repeated:
		line("returned", "by no page, up to now, at %s", us(a.now))
	case a.appeared != a.page && a.fault < repeated:
		line("returned", "first to %s", a.inWords(a.appeared))
	}
	if m := a.moment(); m > 0 && a.fault < repeated {
		line("readers", "the highest Next that each had at %s: %s", us(m), a.readers(m))
	}
	if so := a.so(); so != "" {
		line("so", "%s", so)
	}
	b.WriteString(a.draw())
	return b.String()
}

// writeOf is the call that wrote an event: the one that was acknowledged, if any.
func (a *account) writeOf(r seenRecord) (found *write) {
	if r.id.IsZero() {
		return nil
	}
	for _, w := range a.writes {
		if w.has(r.written()) && (found == nil || w.stored() && !found.stored()) {
			found = w
		}
	}
	return found
}

func (a *account) writeInWords(w *write) string {
	var b strings.Builder
	switch {
	case w == nil:
		return "by a call that the suite has no times of (another process, or a store beside the clients)"
	case w.held():
		fmt.Fprintf(&b, "%s opened an append of %d at %s", w.holder(), len(w.events), us(w.begin))
		switch {
		case w.settle == 0:
			b.WriteString(", and it is open still")
		case w.back:
			fmt.Fprintf(&b, ", and its rollback took from %s to %s", us(w.settle), us(w.end))
		default:
			fmt.Fprintf(&b, ", and its commit took from %s to %s", us(w.settle), us(w.end))
		}
		return b.String()
	}
	fmt.Fprintf(&b, "client %d, %s of %d: called at %s", w.client, w.name, len(w.events), us(w.begin))
	switch {
	case w.end == 0:
		b.WriteString(", and it runs still")
	case w.err != nil:
		fmt.Fprintf(&b, ", failed at %s: %v", us(w.end), w.err)
	default:
		fmt.Fprintf(&b, ", acknowledged at %s", us(w.end))
	}
	return b.String()
}

// moment is when it went wrong, as far as a reader can see it.
func (a *account) moment() time.Duration {
	switch {
	case a.page != nil:
		return a.page.end
	case a.write != nil:
		return a.write.end
	}
	return 0
}

// readers says how far each client had read.
func (a *account) readers(m time.Duration) string {
	next := map[int]driver.Position{}
	most := 0
	for _, p := range a.pages {
		most = max(most, p.client)
		if p.end <= m {
			next[p.client] = max(next[p.client], p.next)
		}
	}
	for _, w := range a.writes {
		most = max(most, w.client)
	}
	var words []string
	for n := 1; n <= most; n++ {
		if p, ok := next[n]; ok {
			words = append(words, fmt.Sprintf("client %d: %d", n, p))
		} else {
			words = append(words, fmt.Sprintf("client %d: none", n))
		}
	}
	return strings.Join(words, ", ")
}

// so says what the times mean.
func (a *account) so() string {
	w, p := a.write, a.page
	switch {
	case a.fault == stuck:
		n := 0
		for _, w := range a.writes {
			if w.back {
				n++
			}
		}
		given := "A position that was taken and given up, by a rollback or a conflict, must not hold it back for good."
		if n > 0 {
			given = fmt.Sprintf("What was rolled back (%d appends) took positions that will never be filled: they must not hold it back.", n)
		}
		return "while nobody writes, the feed has to come to its end by reading alone. " + given
	case a.fault == unreached:
		return "either something holds the feed back although nobody writes, or Head is above all that there is to read."
	case a.fault == repeated:
		return "a reader goes on from Next. Next may not lie below a record that the page has, nor a page have a record at or below After."
	case a.fault == moved && a.event.place.stream == a.other.place.stream:
		return "who reads the feed applies the later version first. The position has to be taken where the version is taken, under the same lock or in the same statement, so that both are in one order."
	case a.fault == moved:
		return "the one was appended when the other was known already, and readers see them the other way round. Positions have to be taken from one place, in the order of commits."
	case w == nil || p == nil:
		return ""
	case a.fault == passed && !w.stored():
		return "the call that wrote it did not say that it is stored; if it is, it has to lie above every Next that was returned before it could be read."
	case a.fault == passed && w.end <= p.begin:
		also := "."
		if a.late {
			also = ", and a position that is given after the append has to lie above every Next that was returned."
		}
		return fmt.Sprintf("it was acknowledged %s before the page was asked for, and the page went past it without it. Next may go no further than what was read%s", lasting(p.begin-w.end), also)
	case a.fault == passed && w.begin < p.end:
		return fmt.Sprintf("it was being written while the page was read, and the page went past its position. Next has to stay below %d until that append is committed or rolled back, however long it takes: later positions that are committed already do not allow to pass it.", a.event.position)
	case a.fault == passed:
		return fmt.Sprintf("its append began %s after the page had been returned, and got a position that readers had passed. A new position has to lie above every Next that was returned: positions handed out in blocks, or by a sequence with a cache, do not.", lasting(w.begin-p.end))
	case a.fault == missing && w.stored() && w.end <= p.begin:
		if p.last {
			return fmt.Sprintf("it was acknowledged %s before the last page was asked for, which says End. End means that nothing is held back; and no page may go past an event and leave it out.", lasting(p.begin-w.end))
		}
		return fmt.Sprintf("it was acknowledged %s before the last page was asked for, and the feed does not get to it.", lasting(p.begin-w.end))
	}
	return ""
}

func (r seenRecord) written() writtenEvent { return writtenEvent{r.place.stream, r.id} }

func (r seenRecord) String() string {
	s := fmt.Sprintf("version %d of stream %.60q, id %v", r.place.version, r.place.stream, r.id)
	if r.position > 0 {
		s += fmt.Sprintf(", position %d", r.position)
	}
	return s
}

// has reports whether a page has an event, wherever.
func (p *feedPage) has(e seenRecord) bool {
	for i := range p.records {
		if p.records[i].id == e.id && p.records[i].place == e.place {
			return true
		}
	}
	return false
}

// inWords says who asked for a page, and when, and what it was.
func (a *account) inWords(p *feedPage) string {
	end := ""
	if p.last {
		end = ", End"
	}
	return fmt.Sprintf("client %d, ReadAll(%s): asked at %s, had at %s: %s, Next %d%s",
		p.client, brief(driver.FeedQuery{After: p.after, Limit: p.limit, Filter: p.filter}), us(p.begin), us(p.end), p.around(a.event.position), p.next, end)
}

// around names the records of a page that lie next to a position.
func (p *feedPage) around(at driver.Position) string {
	i, _ := slices.BinarySearchFunc(p.records, at, func(r seenRecord, at driver.Position) int { return cmp.Compare(r.position, at) })
	from := max(0, min(i-fewRecords/2, len(p.records)-fewRecords))
	to := min(from+fewRecords, len(p.records))
	words := counted(len(p.records), "record")
	if from > 0 {
		words += " …"
	}
	for _, r := range p.records[from:to] {
		words += fmt.Sprintf(" %.20s/%d@%d", r.place.stream, r.place.version, r.position)
	}
	if to < len(p.records) {
		words += " …"
	}
	return words
}

// us is a time in microseconds, with its thousands set apart.
func us(d time.Duration) string { return thousands(d.Microseconds()) + " µs" }

// lasting is how long something took.
func lasting(d time.Duration) string { return d.Round(time.Microsecond).String() }

func thousands(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// outcome is the end of a call in one or two words.
func (w *write) outcome() string {
	switch err := w.err; {
	case w.back:
		return "rolled back"
	case err == nil && w.held():
		return "committed"
	case err == nil:
		return "acknowledged"
	case errors.Is(err, driver.ErrConflict):
		return "conflict"
	case errors.Is(err, driver.ErrUnknownOutcome):
		return "unknown"
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return "cancelled"
	case errors.Is(err, driver.ErrStreamDeleted):
		return "closed"
	}
	return "failed"
}
