package conformance

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-es/es/driver"
)

// The drawing of a history: time runs from top to bottom, and every client that
// wrote or read has a lane.
//
//	        µs  Config.Hold       client 1 writes   client 2 reads
//	     1,034  ┌ opens 2
//	     1,041  │                 ┌ appends 3
//	     1,049  │                 └ acknowledged
//	     1,100  │                                   ┌ after 1
//	     1,131  │                                   └ past 2, Next 3
//	    35,012  │ commits
//	    35,020  └ committed

// drawn is a call in a drawing.
type drawn struct {
	lane       string
	reads      bool
	begin, end time.Duration // end 0: not yet
	words      []moment
}

// moment is a row of the drawing.
type moment struct {
	at   time.Duration
	mark string // "┌", "│" or "└"
	text string
}

const (
	drawnColumns = 100
	timeColumns  = 15
	mostLanes    = 6
	mostCalls    = 12
)

// draw draws the calls that explain the finding, the most telling ones if there
// are too many.
func (a *account) draw() string {
	calls := a.calls()
	if len(calls) == 0 {
		return ""
	}
	width := 0
	for _, c := range calls {
		for _, m := range c.words {
			width = max(width, utf8.RuneCountInString(m.text)+3)
		}
		width = max(width, utf8.RuneCountInString(c.lane)+2)
	}
	width = min(width, (drawnColumns-timeColumns)/3)
	lanes := lay(calls, min(mostLanes, (drawnColumns-timeColumns)/width))
	var rows []row
	from, to := calls[0].begin, calls[0].begin
	for i, lane := range lanes {
		for _, c := range lane {
			from = min(from, c.begin)
			for _, m := range c.words {
				rows = append(rows, row{m, i})
				to = max(to, m.at)
			}
		}
	}
	slices.SortStableFunc(rows, func(x, y row) int { return cmp.Compare(x.at, y.at) })

	var b strings.Builder
	fmt.Fprintf(&b, "    drawn, from top to bottom, in µs since the check began%s:\n", a.legend())
	times := max(2, len(thousands(to.Microseconds()))) + 2
	line := func(at string, cell func(lane int) string) {
		s := fmt.Sprintf("    %*s  ", times, at)
		for i := range lanes {
			c := []rune(cell(i))
			if len(c) >= width {
				c = append(c[:width-2], '…')
			}
			s += string(c) + strings.Repeat(" ", width-len(c))
		}
		b.WriteString(strings.TrimRight(s, " ") + "\n")
	}
	line("µs", func(i int) string { return lanes[i][0].lane })
	for n, r := range rows {
		if n > 0 && r.at-rows[n-1].at > max(time.Millisecond, (to-from)/5) {
			line("⋮", func(i int) string { return through(lanes[i], rows[n-1].at, r.at) })
		}
		line(thousands(r.at.Microseconds()), func(i int) string {
			if i == r.lane {
				return r.mark + " " + r.text
			}
			return through(lanes[i], r.at, r.at)
		})
	}
	return b.String()
}

type row struct {
	moment
	lane int
}

// through draws a call that runs on from one time to another.
func through(lane []*drawn, from, to time.Duration) string {
	for _, c := range lane {
		if c.begin <= from && (c.end >= to || c.end == 0) && (c.begin < from || c.end > to || c.end == 0) {
			return "│"
		}
	}
	return ""
}

// lay puts calls into lanes: those of one client into one, unless they overlap.
// What finds no lane is left out. The first calls choose first.
func lay(calls []*drawn, most int) [][]*drawn {
	var lanes [][]*drawn
	for _, c := range calls {
		i := slices.IndexFunc(lanes, func(lane []*drawn) bool {
			return lane[0].lane == c.lane && !slices.ContainsFunc(lane, c.overlaps)
		})
		switch {
		case i >= 0:
			lanes[i] = append(lanes[i], c)
		case len(lanes) < most:
			lanes = append(lanes, []*drawn{c})
		}
	}
	// Writers to the left, and who began first.
	slices.SortStableFunc(lanes, func(x, y []*drawn) int {
		if x[0].reads != y[0].reads {
			if x[0].reads {
				return 1
			}
			return -1
		}
		first := func(lane []*drawn) time.Duration {
			return slices.MinFunc(lane, func(x, y *drawn) int { return cmp.Compare(x.begin, y.begin) }).begin
		}
		return cmp.Compare(first(x), first(y))
	})
	return lanes
}

func (c *drawn) overlaps(o *drawn) bool {
	return (o.end == 0 || c.begin < o.end) && (c.end == 0 || o.begin < c.end)
}

func (a *account) legend() string {
	switch {
	case a.event.id.IsZero():
		return ""
	case a.event.position == 0:
		return "; the event is called \"it\""
	case !a.other.id.IsZero() && a.other.position > 0 && a.other.position != a.event.position:
		return fmt.Sprintf("; the event is at position %d, the other at %d", a.event.position, a.other.position)
	}
	return fmt.Sprintf("; the event is at position %d", a.event.position)
}

// calls chooses the calls to draw, the most telling ones first.
func (a *account) calls() (calls []*drawn) {
	writes, pages := map[*write]bool{nil: true}, map[*feedPage]bool{nil: true}
	addWrite := func(w *write) {
		if !writes[w] && len(calls) < mostCalls {
			writes[w] = true
			calls = append(calls, a.drawWrite(w))
		}
	}
	addPage := func(p *feedPage) {
		if !pages[p] && len(calls) < mostCalls {
			pages[p] = true
			calls = append(calls, a.drawPage(p))
		}
	}
	addWrite(a.write)
	addPage(a.page)
	addWrite(a.against)
	addPage(a.appeared)
	m := a.moment()
	held := func() { // open meanwhile
		n := 0
		for _, w := range a.writes {
			if w.held() && n < 3 && w.begin <= m && (w.end == 0 || a.write == nil || w.end >= a.write.begin) && !writes[w] {
				addWrite(w)
				n++
			}
		}
	}
	if a.fault == stuck {
		held()
	}
	if a.page != nil {
		// What the page returned in the event's stead.
		for _, r := range slices.Backward(a.page.records) {
			if r.position > a.event.position {
				addWrite(a.writeOf(r))
				break
			}
		}
		addPage(a.before(a.page.client, a.page.begin))
	}
	held()
	for _, w := range a.neighbours(a.event.position) {
		addWrite(w)
	}
	for client := 1; client <= 16; client++ {
		if a.page == nil || client != a.page.client {
			addPage(a.before(client, m))
		}
	}
	return calls
}

// before is the last page that a client had at some time.
func (a *account) before(client int, m time.Duration) (last *feedPage) {
	for _, p := range a.pages {
		if p.client == client && p.end <= m && (last == nil || p.end >= last.end) {
			last = p
		}
	}
	return last
}

// neighbours are the calls that wrote what lies next to a position: two below it
// and two above.
func (a *account) neighbours(p driver.Position) (ws []*write) {
	if p == 0 {
		return nil
	}
	at, _ := slices.BinarySearchFunc(a.all, p, func(r driver.Record, p driver.Position) int { return cmp.Compare(r.Position, p) })
	for _, step := range []int{1, -1} {
		found := 0
		for i := at + min(step, 0); i >= 0 && i < len(a.all) && found < 2 && max(i-at, at-i) < 50; i += step {
			r := &a.all[i]
			w := a.writeOf(seenRecord{id: r.ID, place: place{r.Stream, r.Version}})
			if w != nil && w != a.write && !slices.Contains(ws, w) {
				ws = append(ws, w)
				found++
			}
		}
	}
	return ws
}

func (a *account) drawWrite(w *write) *drawn {
	d := &drawn{lane: fmt.Sprintf("client %d writes", w.client), begin: w.begin, end: w.end}
	begins := "appends " + a.positions(w)
	if w.name == "Delete" {
		begins = "deletes, " + a.positions(w)
	}
	if w.held() {
		d.lane, begins = w.holder(), "opens "+a.positions(w)
	}
	d.words = append(d.words, moment{w.begin, "┌", begins})
	if w.settle > 0 {
		how := "commits"
		if w.back {
			how = "rolls back"
		}
		d.words = append(d.words, moment{w.settle, "│", how})
	}
	if w.end > 0 {
		d.words = append(d.words, moment{w.end, "└", w.outcome()})
	}
	return d
}

// positions says where the events of a call are in the feed.
func (a *account) positions(w *write) string {
	var lo, hi driver.Position
	for _, e := range w.events {
		p := a.at[e]
		if e == a.event.written() && p == 0 {
			p = a.event.position
		}
		if p > 0 {
			if hi = max(hi, p); lo == 0 || p < lo {
				lo = p
			}
		}
	}
	switch {
	case w == a.write && a.event.position == 0:
		return "it"
	case lo == 0 && len(w.events) == 1:
		return "1 event"
	case lo == 0:
		return fmt.Sprintf("%d events", len(w.events))
	case lo == hi:
		return fmt.Sprint(lo)
	}
	return fmt.Sprintf("%d–%d", lo, hi)
}

func (a *account) drawPage(p *feedPage) *drawn {
	ends, it := fmt.Sprintf("Next %d", p.next), fmt.Sprint(a.event.position)
	if len(it) > 9 {
		it = "it"
	}
	switch e := a.event; {
	case e.id.IsZero() || e.position == 0 && !p.has(e):
	case p.has(e) && (p == a.appeared || p == a.page):
		ends = "has " + it + ", " + ends
	case !p.has(e) && p.after < e.position && e.position <= p.next && (p == a.page || p.end >= a.moment()):
		ends = "past " + it + ", " + ends
	}
	if p.last && p == a.page && (a.fault == missing || a.fault == unreached) {
		ends += ", End"
	}
	return &drawn{
		lane: fmt.Sprintf("client %d reads", p.client), reads: true, begin: p.begin, end: p.end,
		words: []moment{{p.begin, "┌", fmt.Sprintf("after %d", p.after)}, {p.end, "└", ends}},
	}
}
