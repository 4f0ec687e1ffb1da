package conformance

import (
	"fmt"
	"strings"
	"sync"

	"github.com/go-es/es/driver"
)

// trace keeps the last calls of a check. They are put into words only when a
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
		fmt.Fprintf(&b, "      %d. client %d: %s(%s) = ", i+1, c.client, c.name, brief(c.args))
		if c.err != nil {
			fmt.Fprintf(&b, "error %v\n", c.err)
		} else {
			fmt.Fprintf(&b, "%s\n", brief(c.result))
		}
	}
	return b.String()
}

// brief puts a request or a result into few words.
func brief(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case driver.AppendRequest:
		parts := make([]string, len(v.Parts))
		for i, p := range v.Parts {
			parts[i] = fmt.Sprintf("%.40q, %v, %s", p.Stream, p.Expected, ids(p.Records))
		}
		return strings.Join(parts, "; ")
	case driver.AppendResult:
		return briefAppended(v.Parts...)
	case driver.Appended:
		return briefAppended(v)
	case driver.DeleteRequest:
		mode := "tombstone"
		if v.Mode == driver.Purge {
			mode = "purge"
		}
		return fmt.Sprintf("%.40q, %v, %s, %s", v.Stream, v.Expected, mode, ids([]driver.Record{v.Record}))
	case driver.StreamQuery:
		s := fmt.Sprintf("%.40q, from %d, limit %d", v.Stream, v.From, v.Limit)
		if v.Backward {
			s += ", backward"
		}
		if v.Deleted {
			s += ", deleted too"
		}
		return s
	case driver.StreamPage:
		return fmt.Sprintf("%s, head %d, end %t", briefRecords(v.Records), v.Head, v.End)
	case driver.FeedQuery:
		s := fmt.Sprintf("after %d, limit %d", v.After, v.Limit)
		if !v.Filter.IsZero() {
			s += fmt.Sprintf(", types %.100q, prefixes %.100q", v.Filter.Types, v.Filter.Prefixes)
		}
		if v.Seen != (driver.Seen{}) {
			s += fmt.Sprintf(", seen %v at %d", short(v.Seen.ID), v.Seen.Position)
		}
		return s
	case driver.FeedPage:
		return fmt.Sprintf("%s, next %d, end %t", briefRecords(v.Records), v.Next, v.End)
	case []driver.AppendRequest:
		members := make([]string, min(len(v), 6))
		for i := range members {
			members[i] = brief(v[i])
		}
		return fmt.Sprintf("%d: %s", len(v), strings.Join(members, " | "))
	case []driver.Outcome:
		members := make([]string, min(len(v), 6))
		for i := range members {
			if members[i] = brief(v[i].Result); v[i].Err != nil {
				members[i] = "error " + v[i].Err.Error()
			}
		}
		return fmt.Sprintf("%d: %s", len(v), strings.Join(members, " | "))
	case driver.Checkpoint:
		return fmt.Sprintf("%.40q at %d, seen %v at %d, revision %v", v.Name, v.Position, short(v.SeenID), v.SeenAt, short(v.Revision))
	case driver.Snapshot:
		return fmt.Sprintf("%.40q, kind %.40q, version %d, %d bytes", v.Stream, v.Kind, v.Version, len(v.Data))
	case driver.ListQuery:
		return fmt.Sprintf("prefix %.40q, after %.40q, limit %d", v.Prefix, v.After, v.Limit)
	case driver.ListPage:
		return fmt.Sprintf("%d streams, next %.40q, end %t", len(v.Streams), v.Next, v.End)
	default:
		return fmt.Sprintf("%.300s", fmt.Sprintf("%+v", v))
	}
}

func briefAppended(parts ...driver.Appended) string {
	var b strings.Builder
	for i, a := range parts {
		if i > 0 {
			b.WriteString("; ")
		}
		fmt.Fprintf(&b, "versions %d to %d, position %d", a.First, a.Last, a.Position)
	}
	return b.String()
}

// briefRecords names the first records of a page.
func briefRecords(recs []driver.Record) string {
	const most = 12
	var b strings.Builder
	fmt.Fprintf(&b, "%d records", len(recs))
	for i, r := range recs {
		if i == most {
			b.WriteString(" …")
			break
		}
		fmt.Fprintf(&b, " %.20s/%d@%d", r.Stream, r.Version, r.Position)
	}
	return b.String()
}

// ids names the first ids of some records.
func ids(recs []driver.Record) string {
	const most = 6
	var b strings.Builder
	fmt.Fprintf(&b, "%d records", len(recs))
	for i, r := range recs {
		if i == most {
			b.WriteString(" …")
			break
		}
		b.WriteByte(' ')
		b.WriteString(short(r.ID))
	}
	return b.String()
}

// short is the end of an id, which tells the ids of a check apart.
func short(id driver.ID) string { return id.String()[24:] }
