package conformance

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/go-es/es/driver"
)

// trace keeps the last calls of a check: as much of them as a failure needs, for
// what they refer to belongs to the check. They are put into words only when a
// sentence is broken.
type trace struct {
	mu    sync.Mutex
	n     int
	calls [16]traced
}

type traced struct {
	client int
	name   string
	args   any
	result any
	err    error
}

func (t *trace) add(c traced) {
	c.args, c.result = freeze(c.args), freeze(c.result)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.calls[t.n%len(t.calls)] = c
	t.n++
}

// String lists the calls, the last one last.
func (t *trace) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.n == 0 {
		return "      nothing\n"
	}
	var b strings.Builder
	for i := max(0, t.n-len(t.calls)); i < t.n; i++ {
		c := t.calls[i%len(t.calls)]
		fmt.Fprintf(&b, "      %d. client %d: %s(%s) = ", i+1, c.client, c.name, inWords(c.args))
		if c.err != nil {
			fmt.Fprintf(&b, "error %v\n", c.err)
		} else {
			fmt.Fprintf(&b, "%s\n", inWords(c.result))
		}
	}
	return b.String()
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

// places says where the records are.
func (f frozenRecords) places() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d records", f.n)
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
	fmt.Fprintf(&b, "%d records", f.n)
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
