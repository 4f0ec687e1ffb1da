package conformance

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/go-es/es/driver"
)

// told is a history that is made up, in microseconds.
type told struct {
	*feedLog
	all []driver.Record
}

func newTold() *told { return &told{feedLog: newFeedLog()} }

// event is the first version of a stream, at a position of the feed as it is in
// the end.
func (h *told) event(stream string, p driver.Position) driver.Record {
	r := driver.Record{ID: driver.ID{15: byte(p)}, Stream: stream, Version: 1, Position: p}
	h.all = append(h.all, r)
	slices.SortFunc(h.all, func(a, b driver.Record) int { return int(a.Position) - int(b.Position) })
	return r
}

func micros(us int) time.Duration { return time.Duration(us) * time.Microsecond }

// appends is a call of a client that is acknowledged.
func (h *told) appends(client, begin, end int, r driver.Record) {
	w := h.writing(client, "Append", micros(begin), driver.Part{Stream: r.Stream, Records: []driver.Record{r}})
	h.written(w, micros(end), nil)
	h.ack(place{r.Stream, r.Version}, r.ID)
}

// holds is an append that is open for some time.
func (h *told) holds(begin, settle, end int, back bool, r driver.Record) {
	w := h.writing(0, "Append", micros(begin), driver.Part{Stream: r.Stream, Records: []driver.Record{r}})
	h.settling(w, micros(settle), back)
	h.written(w, micros(end), nil)
}

// reads is a page that a client got.
func (h *told) reads(client, begin, end int, after, next driver.Position, last bool, recs ...driver.Record) *feedPage {
	p := &feedPage{client: client, after: after, next: next, last: last, counts: next > after, begin: micros(begin), end: micros(end)}
	for i := range recs {
		p.records = append(p.records, seen(&recs[i]))
	}
	h.pages = append(h.pages, p)
	return p
}

func TestHistories(t *testing.T) {
	position := driver.Caps{PositionOnAppend: true}
	for _, c := range []struct {
		name string
		make func(h *told) *finding
		want string
	}{
		{
			"a page passes what is being written", func(h *told) *finding {
				a, held, b := h.event("a", 1), h.event("held", 2), h.event("b", 3)
				h.appends(1, 5, 17, a)
				h.holds(20, 32_955, 32_964, false, held)
				h.appends(1, 23, 26, b)
				h.reads(2, 30, 34, 0, 3, true, a, b)
				h.reads(1, 33_000, 33_021, 0, 3, true, a, held, b)
				return h.compare(position, h.all)
			}, `
    event:    version 1 of stream "held", id 00000000-0000-0000-0000-000000000002, position 2
    written:  Config.Hold opened an append of 1 at 20 µs, and its commit took from 32,955 µs to 32,964 µs
    passed:   client 2, ReadAll(after 0, limit 0): asked at 30 µs, had at 34 µs: 2 records a/1@1 b/1@3, Next 3, End
    returned: first to client 1, ReadAll(after 0, limit 0): asked at 33,000 µs, had at 33,021 µs: 3 records a/1@1 held/1@2 b/1@3, Next 3, End
    readers:  the highest Next that each had at 34 µs: client 1: none, client 2: 3
    so:       it was being written while the page was read, and the page went past its position. Next has to stay below 2 until that append is committed or rolled back, however long it takes: later positions that are committed already do not allow to pass it.
    drawn, from top to bottom, in µs since the check began; the event is at position 2:
          µs  client 1 writes  Config.Hold      client 2 reads   client 1 reads
           5  ┌ appends 1
          17  └ acknowledged
          20                   ┌ opens 2
          23  ┌ appends 3      │
          26  └ acknowledged   │
          30                   │                ┌ after 0
          34                   │                └ past 2, Next 3
           ⋮                   │
      32,955                   │ commits
      32,964                   └ committed
      33,000                                                     ┌ after 0
      33,021                                                     └ has 2, Next 3
`,
		},
		{
			"a position below a Next", func(h *told) *finding {
				early, late := h.event("early", 51), h.event("late", 2)
				h.appends(1, 10, 20, early)
				h.reads(2, 30, 40, 0, 51, true, early)
				h.appends(3, 48, 50, late)
				return h.compare(position, h.all)
			}, `
    event:    version 1 of stream "late", id 00000000-0000-0000-0000-000000000002, position 2
    written:  client 3, Append of 1: called at 48 µs, acknowledged at 50 µs
    passed:   client 2, ReadAll(after 0, limit 0): asked at 30 µs, had at 40 µs: 1 record early/1@51, Next 51, End
    returned: by no page, up to now, at 90,000 µs
    readers:  the highest Next that each had at 40 µs: client 1: none, client 2: 51, client 3: none
    so:       its append began 8µs after the page had been returned, and got a position that readers had passed. A new position has to lie above every Next that was returned: positions handed out in blocks, or by a sequence with a cache, do not.
    drawn, from top to bottom, in µs since the check began; the event is at position 2:
      µs  client 1 writes   client 3 writes   client 2 reads
      10  ┌ appends 51
      20  └ acknowledged
      30                                      ┌ after 0
      40                                      └ past 2, Next 51
      48                    ┌ appends 2
      50                    └ acknowledged
`,
		},
		{
			"a committed event is left out", func(h *told) *finding {
				a, b := h.event("a", 1), h.event("b", 2)
				h.appends(1, 10, 20, a)
				h.appends(1, 25, 28, b)
				h.reads(1, 40, 50, 0, 2, true, b)
				return h.compare(position, h.all)
			}, `
    event:    version 1 of stream "a", id 00000000-0000-0000-0000-000000000001, position 1
    written:  client 1, Append of 1: called at 10 µs, acknowledged at 20 µs
    passed:   client 1, ReadAll(after 0, limit 0): asked at 40 µs, had at 50 µs: 1 record b/1@2, Next 2, End
    returned: by no page, up to now, at 90,000 µs
    readers:  the highest Next that each had at 50 µs: client 1: 2
    so:       it was acknowledged 20µs before the page was asked for, and the page went past it without it. Next may go no further than what was read.
    drawn, from top to bottom, in µs since the check began; the event is at position 1:
      µs  client 1 writes  client 1 reads
      10  ┌ appends 1
      20  └ acknowledged
      25  ┌ appends 2
      28  └ acknowledged
      40                   ┌ after 0
      50                   └ past 1, Next 2
`,
		},
		{
			"an event is gone", func(h *told) *finding {
				a, b := h.event("a", 1), h.event("b", 2)
				h.appends(1, 10, 20, a)
				h.reads(1, 40, 50, 0, 2, false, a, b)
				h.all = h.all[:1]
				return h.compare(position, h.all)
			}, `
    event:    version 1 of stream "b", id 00000000-0000-0000-0000-000000000002, position 2
    written:  by a call that the suite has no times of (another process, or a store beside the clients)
    returned: client 1, ReadAll(after 0, limit 0): asked at 40 µs, had at 50 µs: 2 records a/1@1 b/1@2, Next 2
    then:     the feed as it was read at 90,000 µs does not have it there
    readers:  the highest Next that each had at 50 µs: client 1: 2
    drawn, from top to bottom, in µs since the check began; the event is at position 2:
      µs  client 1 writes  client 1 reads
      10  ┌ appends 1
      20  └ acknowledged
      40                   ┌ after 0
      50                   └ has 2, Next 2
`,
		},
		{
			"a rollback holds the feed back", func(h *told) *finding {
				b := h.event("b", 2)
				h.all = nil
				h.holds(10, 40, 41, true, driver.Record{ID: driver.ID{1}, Stream: "held"})
				h.appends(1, 20, 30, b)
				h.placed(place{"b", 1}, 2)
				h.reads(1, 80_000, 80_010, 0, 0, false)
				c := &client{n: 1, log: h.feedLog}
				f := c.stuckAt(stuck, 0, "it does not move")
				return &f
			}, `
    event:    version 1 of stream "b", id 00000000-0000-0000-0000-000000000002, position 2
    written:  client 1, Append of 1: called at 20 µs, acknowledged at 30 µs
    read:     client 1, ReadAll(after 0, limit 0): asked at 80,000 µs, had at 80,010 µs: 0 records, Next 0
    returned: by no page, up to now, at 90,000 µs
    readers:  the highest Next that each had at 80,010 µs: client 1: 0
    so:       while nobody writes, the feed has to come to its end by reading alone. What was rolled back (1 appends) took positions that will never be filled: they must not hold it back.
    drawn, from top to bottom, in µs since the check began; the event is at position 2:
          µs  Config.Hold      client 1 writes  client 1 reads
          10  ┌ opens 1 event
          20  │                ┌ appends 2
          30  │                └ acknowledged
          40  │ rolls back
          41  └ rolled back
           ⋮
      80,000                                    ┌ after 0
      80,010                                    └ Next 0
`,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newTold()
			f := c.make(h)
			if f == nil {
				t.Fatal("nothing was found")
			}
			if got, want := h.tell(*f, h.all, false, micros(90_000)), c.want[1:]; got != want {
				t.Errorf("told:\n%s\nwant:\n%s", got, want)
			}
		})
	}
}

// TestDrawingFits draws a crowd: no line is too long, and the calls that matter
// are there.
func TestDrawingFits(t *testing.T) {
	h := newTold()
	var late driver.Record
	var read []driver.Record
	for i := range 200 {
		r := h.event(fmt.Sprint("stream-", i), driver.Position(i+1)<<40)
		r.ID[14] = byte(i)
		h.all[len(h.all)-1].ID = r.ID
		h.appends(1+i%9, i*10, i*10+500, r)
		if i == 100 {
			late = r
		} else {
			read = append(read, r)
		}
	}
	for i := range 12 {
		h.reads(1+i, 1600+i, 1700+i, 0, late.Position-1, false, read[:100]...)
	}
	h.reads(3, 1800, 1900, late.Position-1, read[150].Position, false, read[100:151]...)
	f := h.compare(driver.Caps{}, h.all)
	if f == nil || f.event != seen(&late) {
		t.Fatalf("found %+v", f)
	}
	got := h.tell(*f, h.all, true, time.Second)
	_, drawing, ok := strings.Cut(got, "drawn, from top to bottom")
	for _, part := range []string{"client 2 writes", "client 3 reads", fmt.Sprint("appends ", late.Position), "acknowledged", "past it"} {
		if !ok || !strings.Contains(drawing, part) {
			t.Errorf("%q is not drawn", part)
		}
	}
	for line := range strings.Lines(drawing) {
		if n := utf8.RuneCountInString(line); n > drawnColumns+1 {
			t.Errorf("a line of %d columns: %s", n, line)
		}
	}
	if t.Failed() {
		t.Log(got)
	}
}

// TestHistoryWhileItGrows tells while calls come and go.
func TestHistoryWhileItGrows(t *testing.T) {
	h := newTold()
	r := h.event("a", 1)
	var wg sync.WaitGroup
	for c := range 4 {
		wg.Go(func() {
			for i := range 50 {
				w := h.writing(c, "Append", micros(i), driver.Part{Stream: "a", Records: []driver.Record{r}})
				if c == 0 {
					h.settling(w, micros(i), i%2 == 0)
				}
				h.tell(finding{fault: missing, event: seen(&r)}, h.all, false, micros(i))
				h.written(w, micros(i+1), nil)
			}
		})
	}
	wg.Wait()
}

// TestFeedFailuresTell runs feed checks on mutants and looks for every part of the
// history.
func TestFeedFailuresTell(t *testing.T) {
	if testing.Short() {
		t.Skip("with -short, the checks that depend on chance have too few chances")
	}
	parts := func(words ...string) []string {
		return append(words, "event:", "written:", "drawn, from top to bottom", "┌ ", "└ ")
	}
	for _, c := range []struct {
		mutant, check string
		parts         []string
	}{
		{"passes what is being written", "feed/held", parts("Config.Hold opened", "its commit took", "passed:", "returned: first to", "readers:", "so:", "│ commits", "past ")},
		{"passes what is being written", "feed/held-among-writers", parts("passed:", "returned:", "readers:", "so:", "past ")},
		{"waits for what was rolled back", "feed/rolled-back", parts("read:", "by no page", "What was rolled back", "so:", "│ rolls back")},
		{"skips an event between pages", "feed/pages", parts("passed:", "by no page", "readers:", "so:", "past ")},
		{"says End too early", "feed/end", parts("read:", "acknowledged at", "readers:", "so:", ", End")},
		{"gives each client a block of positions", "feed/positions", parts("other:", "so:")},
		{"gives each client a block of positions", "feed/answers", parts("passed:", "after the page had been returned", "past ")},
		{"repeats the last event of a page", "feed/pages", parts("returned:", "so:", "has ")},
	} {
		t.Run(c.mutant+"/"+c.check, func(t *testing.T) {
			i := slices.IndexFunc(mutants, func(m mutant) bool { return m.name == c.mutant })
			if i < 0 {
				t.Fatal("there is no such mutant")
			}
			said, _ := mutants[i].run(t, c.check)
			lacks := func(part string) bool { return !strings.Contains(said, part) }
			for range 4 { // what is seen depends on chance
				if slices.ContainsFunc(c.parts, lacks) {
					said, _ = mutants[i].run(t, c.check)
				}
			}
			for _, part := range c.parts {
				if lacks(part) {
					t.Errorf("does not say %q", part)
				}
			}
			if t.Failed() {
				t.Log(said)
			}
		})
	}
}

var (
	storyHead = regexp.MustCompile(`(?m)^([a-z]+/[a-z-]+): ([A-Z][0-9]+) does not hold$`)
	storySeen = regexp.MustCompile(`(?m)^    seen:     (.*)$`)
	storyCall = regexp.MustCompile(`(?m)^    done last.*:\n      \d+\. at [0-9,]+ µs: .+$`)
	structs   = regexp.MustCompile(`<nil>|%!|\{[A-Z][A-Za-z]+:|0x[0-9a-f]{6}`)
)

// unclear says what a failure leaves out: the sentence that was promised, what was
// seen, and the calls that were made. All of a check's failures are looked at.
func unclear(said string) string {
	heads := storyHead.FindAllStringSubmatchIndex(said, -1)
	if len(heads) == 0 {
		return "no failure says which sentence does not hold"
	}
	for i, h := range heads {
		story := said[h[0]:]
		if i+1 < len(heads) {
			story = said[h[0]:heads[i+1][0]]
		}
		rule := said[h[4]:h[5]]
		found := storySeen.FindStringSubmatch(story)
		switch {
		case sentences[rule] == "" || !strings.Contains(story, "    promised: "+sentences[rule]+"\n"):
			return "the sentence " + rule + " is not quoted"
		case found == nil || len(found[1]) < 20:
			return "it does not say what was seen"
		case structs.MatchString(found[1]):
			return "what was seen is in the words of a program: " + structs.FindString(found[1])
		case !storyCall.MatchString(story):
			return "no call is listed"
		}
	}
	return ""
}

func TestTraceOfTheSameCall(t *testing.T) {
	var tr trace
	tr.began = time.Now()
	for range 3 {
		tr.add(traced{0, "Open", nil, "a store", nil})
	}
	for i := range 100 {
		tr.add(traced{1, "ReadAll", driver.FeedQuery{After: driver.Position(i / 10)}, driver.FeedPage{Next: 7}, nil})
	}
	tr.add(traced{1, "Head", nil, driver.Position(7), nil})
	got := regexp.MustCompile(`at .* µs`).ReplaceAllString(tr.String(), "at T")
	want := "      53. at T: client 1: ReadAll(after 4, limit 0) = 0 records, next 7, end false (the last of 10 times)\n"
	if n := strings.Count(got, "\n"); n != 8 || !strings.Contains(got, want) || !strings.HasSuffix(got, "104. at T: client 1: Head() = 7\n") {
		t.Errorf("%d lines:\n%s", n, got)
	}
}
