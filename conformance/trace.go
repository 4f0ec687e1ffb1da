package conformance

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-es/es/driver"
)

// trace keeps the last calls of a check: as much of them as a failure needs, for
// what they refer to belongs to the check. They are put into words only when a
// sentence is broken.
type trace struct {
	began time.Time // the zero of the clock of the check

	mu    sync.Mutex
	n     int
	calls [64]traced
	at    [64]time.Duration // when they returned
}

// mostLines is how many of them a failure lists.
const mostLines = 16

type traced struct {
	client int
	name   string
	args   any
	result any
	err    error
}

func (t *trace) add(c traced) {
	c.args, c.result = freeze(c.args), freeze(c.result)
	at := time.Since(t.began)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.calls[t.n%len(t.calls)], t.at[t.n%len(t.at)] = c, at
	t.n++
}

// String lists the calls, the last one last. Of the same call made again and again
// with the same result only the last is listed.
func (t *trace) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.n == 0 {
		return "      nothing\n"
	}
	type line struct {
		n     int
		words string
		times int
	}
	var lines []line // from the last one on
	for n := t.n; n > max(0, t.n-len(t.calls)); n-- {
		words := t.calls[(n-1)%len(t.calls)].String()
		if k := len(lines); k > 0 && lines[k-1].words == words {
			lines[k-1].times++
			continue
		}
		if len(lines) == mostLines {
			break
		}
		lines = append(lines, line{n, words, 1})
	}
	var b strings.Builder
	for _, l := range slices.Backward(lines) {
		fmt.Fprintf(&b, "      %d. at %s: %s", l.n, us(t.at[(l.n-1)%len(t.at)]), l.words)
		if l.times > 1 {
			fmt.Fprintf(&b, " (the last of %d times)", l.times)
		}
		b.WriteString("\n")
	}
	return b.String()
}

func (c traced) String() string {
	s := fmt.Sprintf("%s(%s) = ", c.name, inWords(c.args))
	if c.client > 0 {
		s = fmt.Sprintf("client %d: %s", c.client, s)
	}
	if c.err != nil {
		return s + "error " + c.err.Error()
	}
	return s + cmp.Or(inWords(c.result), "done")
}

// brief puts a request or a result into few words.
func brief(v any) string { return inWords(freeze(v)) }

// What is left of records, requests and pages in a trace.
type (
	frozenRecords struct {
		n     int
		first []seenRecord
	}
	frozenPart struct {
		stream   string
		expected driver.Expected
		records  frozenRecords
	}
	frozenAppend  []frozenPart
	frozenGroup   []frozenAppend
	frozenResults []driver.Appended
	frozenOutcome struct {
		result frozenResults
		err    error
	}
	frozenOutcomes []frozenOutcome
	frozenPage     struct {
		records frozenRecords
		end     string
	}
	frozenDelete struct {
		part frozenPart
		mode driver.DeleteMode
	}
)

const fewRecords = 8

func freezeRecords(recs []driver.Record) frozenRecords {
	f := frozenRecords{n: len(recs)}
	for _, r := range recs[:min(len(recs), fewRecords)] {
		f.first = append(f.first, seenRecord{r.Position, r.ID, place{r.Stream, r.Version}})
	}
	return f
}

func freezeAppend(req driver.AppendRequest) frozenAppend {
	var f frozenAppend
	for _, p := range req.Parts[:min(len(req.Parts), fewRecords)] {
		f = append(f, frozenPart{p.Stream, p.Expected, freezeRecords(p.Records)})
	}
	return f
}

func freezeResult(res driver.AppendResult) frozenResults {
	return slices.Clone(res.Parts[:min(len(res.Parts), fewRecords)])
}

// freeze takes what a trace needs of a request or a result.
func freeze(v any) any {
	switch v := v.(type) {
	case driver.AppendRequest:
		return freezeAppend(v)
	case []driver.AppendRequest:
		var f frozenGroup
		for _, req := range v[:min(len(v), fewRecords)] {
			f = append(f, freezeAppend(req))
		}
		return f
	case driver.AppendResult:
		return freezeResult(v)
	case []driver.Outcome:
		var f frozenOutcomes
		for _, o := range v[:min(len(v), fewRecords)] {
			f = append(f, frozenOutcome{freezeResult(o.Result), o.Err})
		}
		return f
	case driver.DeleteRequest:
		return frozenDelete{frozenPart{v.Stream, v.Expected, freezeRecords([]driver.Record{v.Record})}, v.Mode}
	case driver.StreamPage:
		return frozenPage{freezeRecords(v.Records), fmt.Sprintf("head %d, end %t", v.Head, v.End)}
	case driver.FeedPage:
		return frozenPage{freezeRecords(v.Records), fmt.Sprintf("next %d, end %t", v.Next, v.End)}
	case driver.ListPage:
		return fmt.Sprintf("%d streams, next %.40q, end %t", len(v.Streams), v.Next, v.End)
	case driver.CheckpointPage:
		return fmt.Sprintf("%d checkpoints, next %.40q, end %t", len(v.Checkpoints), v.Next, v.End)
	case driver.Snapshot:
		return fmt.Sprintf("%.40q, kind %.40q, version %d, %d bytes", v.Stream, v.Kind, v.Version, len(v.Data))
	}
	return v
}

// inWords says what is frozen.
func inWords(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	case frozenAppend:
		parts := make([]string, len(v))
		for i, p := range v {
			parts[i] = fmt.Sprintf("%.40q, %v, %s", p.stream, p.expected, p.records.ids())
		}
		return strings.Join(parts, "; ")
	case frozenGroup:
		members := make([]string, len(v))
		for i, req := range v {
			members[i] = inWords(req)
		}
		return strings.Join(members, " | ")
	case frozenResults:
		if len(v) == 0 {
			return "no result"
		}
		parts := make([]string, len(v))
		for i, a := range v {
			parts[i] = inWords(a)
		}
		return strings.Join(parts, "; ")
	case frozenOutcomes:
		members := make([]string, len(v))
		for i, o := range v {
			if members[i] = inWords(o.result); o.err != nil {
				members[i] = "error " + o.err.Error()
			}
		}
		return strings.Join(members, " | ")
	case driver.Appended:
		return fmt.Sprintf("versions %d to %d, position %d", v.First, v.Last, v.Position)
	case frozenDelete:
		mode := "tombstone"
		if v.mode == driver.Purge {
			mode = "purge"
		}
		return fmt.Sprintf("%.40q, %v, %s, %s", v.part.stream, v.part.expected, mode, v.part.records.ids())
	case driver.StreamQuery:
		s := fmt.Sprintf("%.40q, from %d, limit %d", v.Stream, v.From, v.Limit)
		if v.Backward {
			s += ", backward"
		}
		if v.Deleted {
			s += ", deleted too"
		}
		return s
	case frozenPage:
		return fmt.Sprintf("%s, %s", v.records.places(), v.end)
	case driver.FeedQuery:
		s := fmt.Sprintf("after %d, limit %d", v.After, v.Limit)
		if !v.Filter.IsZero() {
			s += fmt.Sprintf(", types %.100q, prefixes %.100q", v.Filter.Types, v.Filter.Prefixes)
		}
		if v.Seen != (driver.Seen{}) {
			s += fmt.Sprintf(", seen %v at %d", short(v.Seen.ID), v.Seen.Position)
		}
		return s
	case driver.ListQuery:
		return fmt.Sprintf("prefix %.40q, after %.40q, limit %d", v.Prefix, v.After, v.Limit)
	case driver.Checkpoint:
		return fmt.Sprintf("%.40q at %d, seen %v at %d, revision %v", v.Name, v.Position, short(v.SeenID), v.SeenAt, short(v.Revision))
	default:
		return fmt.Sprintf("%.300s", fmt.Sprintf("%+v", v))
	}
}

// counted is a number of things.
func counted(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprint(n, " ", thing, "s")
}

// places says where the records are.
func (f frozenRecords) places() string {
	var b strings.Builder
	b.WriteString(counted(f.n, "record"))
	for _, r := range f.first {
		fmt.Fprintf(&b, " %.20s/%d@%d", r.place.stream, r.place.version, r.position)
	}
	if f.n > len(f.first) {
		b.WriteString(" …")
	}
	return b.String()
}

// ids names the records.
func (f frozenRecords) ids() string {
	var b strings.Builder
	b.WriteString(counted(f.n, "record"))
	for _, r := range f.first {
		b.WriteByte(' ')
		b.WriteString(short(r.id))
	}
	if f.n > len(f.first) {
		b.WriteString(" …")
	}
	return b.String()
}

func briefRecords(recs []driver.Record) string { return freezeRecords(recs).places() }

// short is the end of an id, which tells the ids of a check apart.
func short(id driver.ID) string { return id.String()[24:] }
