package driver_test

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/go-es/es/driver"
)

var (
	now    = time.Date(2024, 5, 6, 7, 8, 9, 123456000, time.UTC)
	longer = strings.Repeat("n", 256)
	longN  = strings.Repeat("n", 40) // what errors show of it
)

// id returns the id whose last byte is n.
func id(n byte) driver.ID { return driver.ID{15: n} }

// rec returns a valid record of the id n, of 64+2+4+4 = 74 bytes.
func rec(n byte) driver.Record {
	return driver.Record{ID: id(n), Type: "type", Encoding: "json", Data: []byte("{}"), Time: now}
}

func recs(ns ...byte) []driver.Record {
	var out []driver.Record
	for _, n := range ns {
		out = append(out, rec(n))
	}
	return out
}

// with returns a valid record that was changed.
func with(change func(*driver.Record)) driver.Record {
	r := rec(1)
	change(&r)
	return r
}

func part(stream string, e driver.Expected, records ...driver.Record) driver.Part {
	return driver.Part{Stream: stream, Expected: e, Records: records}
}

func appendOf(parts ...driver.Part) driver.AppendRequest { return driver.AppendRequest{Parts: parts} }

func one(r driver.Record) driver.AppendRequest { return appendOf(part("s", 0, r)) }

func deletion(change func(*driver.DeleteRequest)) driver.DeleteRequest {
	r := driver.DeleteRequest{Stream: "s", Expected: driver.Any, Record: driver.Record{ID: id(1), Type: driver.TypeDeleted, Encoding: "json", Time: now}}
	change(&r)
	return r
}

func snapshot(change func(*driver.Snapshot)) driver.Snapshot {
	s := driver.Snapshot{Stream: "s", Kind: "k", Version: 3, EventID: id(3), Encoding: "json", Data: []byte("{}")}
	change(&s)
	return s
}

func checkpoint(change func(*driver.Checkpoint)) driver.Checkpoint {
	c := driver.Checkpoint{Name: "c", Position: 7, SeenAt: 5, SeenID: id(5), Revision: id(9)}
	change(&c)
	return c
}

// many returns n valid records of different ids, or with the last id again.
func many(n int, again bool) []driver.Record {
	out := make([]driver.Record, n)
	for i := range out {
		out[i] = rec(0)
		out[i].ID = driver.ID{1, 14: byte(i >> 8), 15: byte(i)}
	}
	if again {
		out[n-1].ID = out[n/2].ID
	}
	return out
}

func TestCheck(t *testing.T) {
	large := math.MaxInt32
	large++
	largeSays := "es: limit: 2147483648 is above 2^31-1"
	if large < 0 { // an int has 32 bits
		largeSays = "es: limit: -2147483648 is negative"
	}
	const max63 = math.MaxInt64
	type rows []struct {
		name string
		caps driver.Caps
		req  driver.Request
		want string // the error, or "" for none
	}
	several := driver.Caps{MaxStreams: 3}
	groups := map[string]rows{
		"append": {
			{"one event", driver.Caps{}, one(rec(1)), ""},
			{"any", driver.Caps{}, appendOf(part("s", driver.Any, rec(1))), ""},
			{"exists", driver.Caps{}, appendOf(part("s", driver.Exists, rec(1))), ""},
			{"no parts", driver.Caps{}, appendOf(), "es: append: it has no streams"},
			{"no events", driver.Caps{}, appendOf(part("s", 0)), "es: append: it has no events"},
			{"no events, any", driver.Caps{}, appendOf(part("s", driver.Any)), "es: append: it has no events"},
			{"no events in all parts", several, appendOf(part("a", 0), part("b", 3)), "es: append: it has no events"},
			{"empty stream", driver.Caps{}, appendOf(part("", 0, rec(1))), "es: stream: is empty"},
			{"long stream", driver.Caps{}, appendOf(part(longer, 0, rec(1))), `es: stream: "` + longN + `"… has 256 bytes, the limit is 255`},
			{"longest stream", driver.Caps{}, appendOf(part(longer[1:], 0, rec(1))), ""},
			{"stream of the second part", several, appendOf(part("a", 0, rec(1)), part("b\x00", 0, rec(2))), `es: stream: "b\x00" contains a NUL byte`},

			{"invalid expected", driver.Caps{}, appendOf(part("s", -3, rec(1))), `es: expected version of stream "s": -3 is neither an exact version nor NoStream, Any or Exists`},
			{"exactly too much", driver.Caps{}, appendOf(part("s", driver.Exactly(1<<63), rec(1))), `es: expected version of stream "s": -9223372036854775808 is neither an exact version nor NoStream, Any or Exists`},
			{"last version", driver.Caps{}, appendOf(part("s", max63-1, rec(1))), ""},
			{"beyond the last version", driver.Caps{}, appendOf(part("s", max63, rec(1))), `es: expected version of stream "s": 9223372036854775807 leaves no room for 1 more`},
			{"two beyond the last version", driver.Caps{}, appendOf(part("s", max63-1, recs(1, 2)...)), `es: expected version of stream "s": 9223372036854775806 leaves no room for 2 more`},

			{"two streams, none claimed", driver.Caps{}, appendOf(part("a", 0, rec(1)), part("b", 0, rec(2))), "es: append to 2 streams at once: this store appends to one: unsupported operation"},
			{"two streams, one claimed", driver.Caps{MaxStreams: 1}, appendOf(part("a", 0, rec(1)), part("b", 0, rec(2))), "es: append to 2 streams at once: this store appends to one: unsupported operation"},
			{"below the most streams", several, appendOf(part("a", 0, rec(1)), part("b", 0, rec(2))), ""},
			{"the most streams", several, appendOf(part("a", 0, rec(1)), part("b", 0, rec(2)), part("c", 0, rec(3))), ""},
			{"above the most streams", several, appendOf(part("a", 0, rec(1)), part("b", 0, rec(2)), part("c", 0, rec(3)), part("d", 0, rec(4))), "es: too large: streams of an append: 4, the limit is 3"},
			{"one stream twice", several, appendOf(part("a", 0, rec(1)), part("b", 0, rec(2)), part("a", 1, rec(3))), `es: stream "a": it occurs twice in one append`},
			{"a part that checks", several, appendOf(part("a", 0, rec(1)), part("b", 0)), ""},
			{"a part that checks for existence", several, appendOf(part("a", 0, rec(1)), part("b", driver.Exists)), ""},
			{"a part that does nothing", several, appendOf(part("a", 0, rec(1)), part("b", driver.Any)), `es: append to stream "b": it has no events, and expects any version: it would do nothing`},
			{"a part at the last version that checks", several, appendOf(part("a", 0, rec(1)), part("b", max63)), ""},

			{"one id twice", driver.Caps{}, appendOf(part("s", 0, recs(1, 2, 1)...)), "es: id 00000000-0000-0000-0000-000000000001: it occurs twice in one append"},
			{"one id twice in two streams", several, appendOf(part("a", 0, rec(7)), part("b", 0, rec(7))), "es: id 00000000-0000-0000-0000-000000000007: it occurs twice in one append"},
			{"16 ids", driver.Caps{}, appendOf(part("s", 0, many(16, false)...)), ""},
			{"16 ids, one twice", driver.Caps{}, appendOf(part("s", 0, many(16, true)...)), "es: id 01000000-0000-0000-0000-000000000008: it occurs twice in one append"},
			{"17 ids", driver.Caps{}, appendOf(part("s", 0, many(17, false)...)), ""},
			{"17 ids, one twice", driver.Caps{}, appendOf(part("s", 0, many(17, true)...)), "es: id 01000000-0000-0000-0000-000000000008: it occurs twice in one append"},
			{"1000 ids", driver.Caps{}, appendOf(part("s", 0, many(1000, false)...)), ""},
			{"1000 ids, one twice", driver.Caps{}, appendOf(part("s", 0, many(1000, true)...)), "es: id 01000000-0000-0000-0000-0000000001f4: it occurs twice in one append"},

			{"below the most events", driver.Caps{MaxAppendEvents: 3}, appendOf(part("s", 0, recs(1, 2)...)), ""},
			{"the most events", driver.Caps{MaxAppendEvents: 3}, appendOf(part("s", 0, recs(1, 2, 3)...)), ""},
			{"above the most events", driver.Caps{MaxAppendEvents: 3}, appendOf(part("s", 0, recs(1, 2, 3, 4)...)), "es: too large: events of an append: 4, the limit is 3"},
			{"above the most events in two parts", driver.Caps{MaxStreams: 2, MaxAppendEvents: 3}, appendOf(part("a", 0, recs(1, 2)...), part("b", 0, recs(3, 4)...)), "es: too large: events of an append: 4, the limit is 3"},
			{"below the most bytes", driver.Caps{MaxAppendBytes: 149}, appendOf(part("s", 0, recs(1, 2)...)), ""},
			{"the most bytes", driver.Caps{MaxAppendBytes: 148}, appendOf(part("s", 0, recs(1, 2)...)), ""},
			{"above the most bytes", driver.Caps{MaxAppendBytes: 147}, appendOf(part("s", 0, recs(1, 2)...)), "es: too large: bytes of an append: 148, the limit is 147"},
			{"above the most bytes in two parts", driver.Caps{MaxStreams: 2, MaxAppendBytes: 147}, appendOf(part("a", 0, rec(1)), part("b", 0, rec(2))), "es: too large: bytes of an append: 148, the limit is 147"},
			{"below the most bytes of an event", driver.Caps{MaxEventBytes: 75}, one(rec(1)), ""},
			{"the most bytes of an event", driver.Caps{MaxEventBytes: 74}, one(rec(1)), ""},
			{"above the most bytes of an event", driver.Caps{MaxEventBytes: 73}, one(rec(1)), `es: too large: bytes of event 0 to stream "s": 74, the limit is 73`},
		},
		"record": {
			{"stream, version and position are ignored", driver.Caps{}, one(with(func(r *driver.Record) { r.Stream, r.Version, r.Position = "\x00", 1<<63, 1<<63 })), ""},
			{"no id", driver.Caps{}, appendOf(part("s", 0, rec(1), with(func(r *driver.Record) { r.ID = driver.ID{} }))), `es: id of event 1 to stream "s": is zero`},
			{"no type", driver.Caps{}, one(with(func(r *driver.Record) { r.Type = "" })), `es: type of event 0 to stream "s": is empty`},
			{"longest type", driver.Caps{}, one(with(func(r *driver.Record) { r.Type = longer[1:] })), ""},
			{"long type", driver.Caps{}, one(with(func(r *driver.Record) { r.Type = longer })), `es: type of event 0 to stream "s": "` + longN + `"… has 256 bytes, the limit is 255`},
			{"reserved type", driver.Caps{}, one(with(func(r *driver.Record) { r.Type = driver.TypeDeleted })), `es: type "$deleted" of event 0 to stream "s": types that begin with "$" are reserved`},
			{"any reserved type", driver.Caps{}, one(with(func(r *driver.Record) { r.Type = "$" })), `es: type "$" of event 0 to stream "s": types that begin with "$" are reserved`},
			{"dollar within a type", driver.Caps{}, one(with(func(r *driver.Record) { r.Type = "a$" })), ""},
			{"no encoding", driver.Caps{}, one(with(func(r *driver.Record) { r.Encoding = "" })), `es: encoding of event 0 to stream "s": is empty`},
			{"short encoding", driver.Caps{}, one(with(func(r *driver.Record) { r.Encoding = longer[:63] })), ""},
			{"longest encoding", driver.Caps{}, one(with(func(r *driver.Record) { r.Encoding = longer[:64] })), ""},
			{"long encoding", driver.Caps{}, one(with(func(r *driver.Record) { r.Encoding = longer[:65] })), `es: encoding of event 0 to stream "s": "` + longN + `"… has 65 bytes, the limit is 64`},
			{"printable encoding", driver.Caps{}, one(with(func(r *driver.Record) { r.Encoding = "!json+zstd~" })), ""},
			{"encoding with a blank", driver.Caps{}, one(with(func(r *driver.Record) { r.Encoding = "a b" })), `es: encoding of event 0 to stream "s": "a b" is not printable ASCII`},
			{"encoding with a delete", driver.Caps{}, one(with(func(r *driver.Record) { r.Encoding = "a\x7f" })), `es: encoding of event 0 to stream "s": "a\x7f" is not printable ASCII`},
			{"encoding with an accent", driver.Caps{}, one(with(func(r *driver.Record) { r.Encoding = "é" })), `es: encoding of event 0 to stream "s": "é" is not printable ASCII`},
			{"no data", driver.Caps{}, one(with(func(r *driver.Record) { r.Data = nil })), ""},
			{"below the most tags", driver.Caps{}, one(with(func(r *driver.Record) { r.Tags = strings.Split(longer[:31], "") })), ""},
			{"the most tags", driver.Caps{}, one(with(func(r *driver.Record) { r.Tags = strings.Split(longer[:32], "") })), ""},
			{"above the most tags", driver.Caps{}, one(with(func(r *driver.Record) { r.Tags = strings.Split(longer[:33], "") })), `es: too large: tags of event 0 to stream "s": 33, the limit is 32`},
			{"empty tag", driver.Caps{}, one(with(func(r *driver.Record) { r.Tags = []string{"a", ""} })), `es: tag of event 0 to stream "s": is empty`},
			{"longest tag", driver.Caps{}, one(with(func(r *driver.Record) { r.Tags = []string{longer[1:]} })), ""},
			{"long tag", driver.Caps{}, one(with(func(r *driver.Record) { r.Tags = []string{longer} })), `es: tag of event 0 to stream "s": "` + longN + `"… has 256 bytes, the limit is 255`},
			{"no time", driver.Caps{}, one(with(func(r *driver.Record) { r.Time = time.Time{} })), `es: time of event 0 to stream "s": is zero`},
			{"a time that is zero once it is cut", driver.Caps{}, one(with(func(r *driver.Record) { r.Time = time.Time{}.Add(999) })), `es: time of event 0 to stream "s": is zero`},
			{"year 1", driver.Caps{}, one(with(func(r *driver.Record) { r.Time = time.Time{}.Add(time.Microsecond) })), ""},
			{"before year 1", driver.Caps{}, one(with(func(r *driver.Record) { r.Time = time.Time{}.Add(-1) })), `es: time of event 0 to stream "s": 0000-12-31T23:59:59Z is not within the years 1 to 9999`},
			{"year 9999", driver.Caps{}, one(with(func(r *driver.Record) { r.Time = time.Date(9999, 12, 31, 23, 59, 59, 999999999, time.UTC) })), ""},
			{"after year 9999", driver.Caps{}, one(with(func(r *driver.Record) { r.Time = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) })), `es: time of event 0 to stream "s": 10000-01-01T00:00:00Z is not within the years 1 to 9999`},
			{"year 10000 in UTC only", driver.Caps{}, one(with(func(r *driver.Record) {
				r.Time = time.Date(9999, 12, 31, 23, 0, 0, 0, time.FixedZone("", -2*3600))
			})), `es: time of event 0 to stream "s": 9999-12-31T23:00:00-02:00 is not within the years 1 to 9999`},
			{"year 9999 in UTC only", driver.Caps{}, one(with(func(r *driver.Record) { r.Time = time.Date(10000, 1, 1, 1, 0, 0, 0, time.FixedZone("", 2*3600)) })), ""},
		},
		"delete": {
			{"a tombstone", driver.Caps{}, deletion(func(*driver.DeleteRequest) {}), ""},
			{"a purge", driver.Caps{}, deletion(func(r *driver.DeleteRequest) { r.Mode = driver.Purge }), ""},
			{"no mode", driver.Caps{}, deletion(func(r *driver.DeleteRequest) { r.Mode = 2 }), "es: delete mode: 2 is neither Tombstone nor Purge"},
			{"negative mode", driver.Caps{}, deletion(func(r *driver.DeleteRequest) { r.Mode = -1 }), "es: delete mode: -1 is neither Tombstone nor Purge"},
			{"empty stream", driver.Caps{}, deletion(func(r *driver.DeleteRequest) { r.Stream = "" }), "es: stream: is empty"},
			{"invalid expected", driver.Caps{}, deletion(func(r *driver.DeleteRequest) { r.Expected = -3 }), `es: expected version of stream "s": -3 is neither an exact version nor NoStream, Any or Exists`},
			{"last version", driver.Caps{}, deletion(func(r *driver.DeleteRequest) { r.Expected = max63 - 1 }), ""},
			{"beyond the last version", driver.Caps{}, deletion(func(r *driver.DeleteRequest) { r.Expected = max63 }), `es: expected version of stream "s": 9223372036854775807 leaves no room for 1 more`},
			{"another type", driver.Caps{}, deletion(func(r *driver.DeleteRequest) { r.Record.Type = "deleted" }), `es: type "deleted" of the record of a delete: it must be $deleted`},
			{"no id", driver.Caps{}, deletion(func(r *driver.DeleteRequest) { r.Record.ID = driver.ID{} }), "es: id of the record of a delete: is zero"},
			{"no time", driver.Caps{}, deletion(func(r *driver.DeleteRequest) { r.Record.Time = time.Time{} }), "es: time of the record of a delete: is zero"},
			{"the most bytes", driver.Caps{MaxEventBytes: 76}, deletion(func(*driver.DeleteRequest) {}), ""},
			{"above the most bytes", driver.Caps{MaxEventBytes: 75}, deletion(func(*driver.DeleteRequest) {}), "es: too large: bytes of the record of a delete: 76, the limit is 75"},
			{"the most bytes of an append", driver.Caps{MaxAppendBytes: 76}, deletion(func(*driver.DeleteRequest) {}), ""},
			{"above the most bytes of an append", driver.Caps{MaxAppendBytes: 75}, deletion(func(*driver.DeleteRequest) {}), "es: too large: bytes of the record of a delete: 76, the limit is 75"},
		},
		"stream query": {
			{"all", driver.Caps{}, driver.StreamQuery{Stream: "s"}, ""},
			{"last version", driver.Caps{}, driver.StreamQuery{Stream: "s", From: max63, Limit: math.MaxInt32, Backward: true, Deleted: true}, ""},
			{"beyond the last version", driver.Caps{}, driver.StreamQuery{Stream: "s", From: max63 + 1}, "es: version to read from: 9223372036854775808 is above 2^63-1"},
			{"negative limit", driver.Caps{}, driver.StreamQuery{Stream: "s", Limit: -1}, "es: limit: -1 is negative"},
			{"large limit", driver.Caps{}, driver.StreamQuery{Stream: "s", Limit: large}, largeSays},
			{"empty stream", driver.Caps{}, driver.StreamQuery{}, "es: stream: is empty"},
		},
		"feed query": {
			{"all", driver.Caps{}, driver.FeedQuery{}, ""},
			{"last position", driver.Caps{}, driver.FeedQuery{After: max63, Seen: driver.Seen{Position: max63, ID: id(1)}}, ""},
			{"beyond the last position", driver.Caps{}, driver.FeedQuery{After: max63 + 1}, "es: position to read after: 9223372036854775808 is above 2^63-1"},
			{"seen beyond the last position", driver.Caps{}, driver.FeedQuery{After: 1, Seen: driver.Seen{Position: max63 + 1, ID: id(1)}}, "es: position seen: 9223372036854775808 is above 2^63-1"},
			{"seen without an id", driver.Caps{}, driver.FeedQuery{After: 1, Seen: driver.Seen{Position: 1}}, "es: seen: it has a position or an id, and not both"},
			{"seen without a position", driver.Caps{}, driver.FeedQuery{After: 1, Seen: driver.Seen{ID: id(1)}}, "es: seen: it has a position or an id, and not both"},
			{"seen before after", driver.Caps{}, driver.FeedQuery{After: 7, Seen: driver.Seen{Position: 6, ID: id(1)}}, ""},
			{"seen after after", driver.Caps{}, driver.FeedQuery{After: 7, Seen: driver.Seen{Position: 8, ID: id(1)}}, "es: seen: its position 8 is above the position to read after, 7"},
			{"filter, claimed", driver.Caps{FilterFeed: true}, driver.FeedQuery{Filter: driver.Filter{Types: []string{"t"}, Prefixes: []string{"p"}}}, ""},
			{"types, not claimed", driver.Caps{}, driver.FeedQuery{Filter: driver.Filter{Types: []string{"t"}}}, "es: a filter: this store does not filter the feed: unsupported operation"},
			{"prefixes, not claimed", driver.Caps{}, driver.FeedQuery{Filter: driver.Filter{Prefixes: []string{"p"}}}, "es: a filter: this store does not filter the feed: unsupported operation"},
			{"reserved type", driver.Caps{FilterFeed: true}, driver.FeedQuery{Filter: driver.Filter{Types: []string{driver.TypeDeleted}}}, ""},
			{"empty type", driver.Caps{FilterFeed: true}, driver.FeedQuery{Filter: driver.Filter{Types: []string{"t", ""}}}, "es: type of the filter: is empty"},
			{"empty prefix", driver.Caps{FilterFeed: true}, driver.FeedQuery{Filter: driver.Filter{Prefixes: []string{""}}}, "es: prefix of the filter: is empty"},
			{"negative limit", driver.Caps{}, driver.FeedQuery{Limit: -1}, "es: limit: -1 is negative"},
		},
		"list query": {
			{"all", driver.Caps{}, driver.ListQuery{}, ""},
			{"longest", driver.Caps{}, driver.ListQuery{Prefix: longer[1:], After: longer[1:], Limit: 1}, ""},
			{"long prefix", driver.Caps{}, driver.ListQuery{Prefix: longer}, `es: prefix: "` + longN + `"… has 256 bytes, the limit is 255`},
			{"invalid prefix", driver.Caps{}, driver.ListQuery{Prefix: "\xc3"}, `es: prefix: "\xc3" is not valid UTF-8`},
			{"invalid after", driver.Caps{}, driver.ListQuery{After: "\x00"}, `es: stream to list after: "\x00" contains a NUL byte`},
			{"negative limit", driver.Caps{}, driver.ListQuery{Limit: -2}, "es: limit: -2 is negative"},
		},
		"checkpoint query": {
			{"all", driver.Caps{}, driver.CheckpointQuery{}, ""},
			{"invalid after", driver.Caps{}, driver.CheckpointQuery{After: longer}, `es: checkpoint to list after: "` + longN + `"… has 256 bytes, the limit is 255`},
			{"negative limit", driver.Caps{}, driver.CheckpointQuery{Limit: -1}, "es: limit: -1 is negative"},
		},
		"checkpoint": {
			{"valid", driver.Caps{}, checkpoint(func(*driver.Checkpoint) {}), ""},
			{"at the start", driver.Caps{}, driver.Checkpoint{Name: "c", Revision: id(1)}, ""},
			{"seen at its position", driver.Caps{}, checkpoint(func(c *driver.Checkpoint) { c.SeenAt = 7 }), ""},
			{"seen after its position", driver.Caps{}, checkpoint(func(c *driver.Checkpoint) { c.SeenAt = 8 }), `es: checkpoint "c": the event seen, at 8, lies after its position 7`},
			{"seen without an id", driver.Caps{}, checkpoint(func(c *driver.Checkpoint) { c.SeenID = driver.ID{} }), `es: checkpoint "c": it has the position or the id of the event seen, and not both`},
			{"seen without a position", driver.Caps{}, checkpoint(func(c *driver.Checkpoint) { c.SeenAt = 0 }), `es: checkpoint "c": it has the position or the id of the event seen, and not both`},
			{"last position", driver.Caps{}, checkpoint(func(c *driver.Checkpoint) { c.Position, c.SeenAt = max63, max63 }), ""},
			{"beyond the last position", driver.Caps{}, checkpoint(func(c *driver.Checkpoint) { c.Position = max63 + 1 }), "es: position of the checkpoint: 9223372036854775808 is above 2^63-1"},
			{"no name", driver.Caps{}, checkpoint(func(c *driver.Checkpoint) { c.Name = "" }), "es: checkpoint: is empty"},
			{"no revision", driver.Caps{}, checkpoint(func(c *driver.Checkpoint) { c.Revision = driver.Revision{} }), `es: checkpoint "c": its revision is zero`},
		},
		"snapshot": {
			{"valid", driver.Caps{}, snapshot(func(*driver.Snapshot) {}), ""},
			{"no data", driver.Caps{}, snapshot(func(s *driver.Snapshot) { s.Data = nil }), ""},
			{"no stream", driver.Caps{}, snapshot(func(s *driver.Snapshot) { s.Stream = "" }), "es: stream: is empty"},
			{"no kind", driver.Caps{}, snapshot(func(s *driver.Snapshot) { s.Kind = "" }), "es: snapshot kind: is empty"},
			{"no version", driver.Caps{}, snapshot(func(s *driver.Snapshot) { s.Version = 0 }), `es: snapshot of stream "s": its version is 0`},
			{"last version", driver.Caps{}, snapshot(func(s *driver.Snapshot) { s.Version = max63 - 1 }), ""},
			{"beyond the last version", driver.Caps{}, snapshot(func(s *driver.Snapshot) { s.Version = max63 }), "es: version of the snapshot: 9223372036854775807 is above 2^63-2"},
			{"no event id", driver.Caps{}, snapshot(func(s *driver.Snapshot) { s.EventID = driver.ID{} }), `es: snapshot of stream "s": the id of its last event is zero`},
			{"no encoding", driver.Caps{}, snapshot(func(s *driver.Snapshot) { s.Encoding = "" }), "es: encoding: is empty"},
			{"long encoding", driver.Caps{}, snapshot(func(s *driver.Snapshot) { s.Encoding = longer[:65] }), `es: encoding: "` + longN + `"… has 65 bytes, the limit is 64`},
			{"below the most bytes", driver.Caps{MaxSnapshotBytes: 71}, snapshot(func(*driver.Snapshot) {}), ""},
			{"the most bytes", driver.Caps{MaxSnapshotBytes: 70}, snapshot(func(*driver.Snapshot) {}), ""},
			{"above the most bytes", driver.Caps{MaxSnapshotBytes: 69}, snapshot(func(*driver.Snapshot) {}), "es: too large: bytes of a snapshot: 70, the limit is 69"},
		},
	}
	for group, rows := range groups {
		for _, row := range rows {
			t.Run(group+"/"+row.name, func(t *testing.T) {
				err := driver.Check(row.caps, row.req)
				if got := text(err); got != row.want {
					t.Fatalf("got  %s\nwant %s", got, row.want)
				}
				if err != nil && kinds(err) != 1 {
					t.Errorf("%v is of %d kinds, want one of *InvalidError, *TooLargeError, errors.ErrUnsupported", err, kinds(err))
				}
			})
		}
	}
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// kinds counts the kinds of error that Check may return and err is of.
func kinds(err error) (n int) {
	var invalid *driver.InvalidError
	var large *driver.TooLargeError
	for _, is := range []bool{
		errors.As(err, &invalid) && errors.Is(err, driver.ErrInvalid),
		errors.As(err, &large) && errors.Is(err, driver.ErrTooLarge),
		errors.Is(err, errors.ErrUnsupported),
	} {
		if is {
			n++
		}
	}
	return n
}

func TestCheckName(t *testing.T) {
	good := []string{
		"a", " ", "a ", " a", "\t", "\n", "\r\n", "-", "$", "%", "*", "'", `"`, "`", `\`, "/", "../..", "a;b", "--", "a'; drop table x; --", "null", "NULL", "é", "e\u0301",
		"\u00a0", "\ufeff", "\u200b", "\u202e", "\uffff", "\ufffd", "\U0010ffff", "😀", "ß", "İ", "\x01", "\x7f", strings.Repeat("x", 255), strings.Repeat("\U0010ffff", 63) + "abc",
	}
	for _, name := range good {
		if err := driver.CheckName("stream", name); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
	bad := []struct{ name, want string }{
		{"", "es: kind: is empty"},
		{"\x00", `es: kind: "\x00" contains a NUL byte`},
		{"a\x00", `es: kind: "a\x00" contains a NUL byte`},
		{"\xff", `es: kind: "\xff" is not valid UTF-8`},
		{"a\xc3", `es: kind: "a\xc3" is not valid UTF-8`},
		{"\xc0\x80", `es: kind: "\xc0\x80" is not valid UTF-8`},                 // NUL, too long
		{"\xed\xa0\x80", `es: kind: "\xed\xa0\x80" is not valid UTF-8`},         // half of a surrogate pair
		{"\xf4\x90\x80\x80", `es: kind: "\xf4\x90\x80\x80" is not valid UTF-8`}, // above U+10FFFF
		{strings.Repeat("x", 256), `es: kind: "` + strings.Repeat("x", 40) + `"… has 256 bytes, the limit is 255`},
		{strings.Repeat("é", 128), `es: kind: "` + strings.Repeat("é", 40) + `"… has 256 bytes, the limit is 255`},
		{strings.Repeat("\x00", 256), `es: kind: "` + strings.Repeat(`\x00`, 40) + `"… has 256 bytes, the limit is 255`},
	}
	for _, row := range bad {
		err := driver.CheckName("kind", row.name)
		var invalid *driver.InvalidError
		if text(err) != row.want || !errors.As(err, &invalid) || invalid.What != "kind" {
			t.Errorf("%q:\ngot  %v\nwant %s", row.name, err, row.want)
		}
	}
}

func FuzzCheckName(f *testing.F) {
	for _, s := range []string{"", "a", "\x00", "\xff", longer, longer[1:], strings.Repeat("é", 127) + "\xc3"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, name string) {
		valid := len(name) >= 1 && len(name) <= driver.MaxNameBytes && utf8.ValidString(name) && !strings.Contains(name, "\x00")
		err := driver.CheckName("name", name)
		if (err == nil) != valid {
			t.Fatalf("valid: %v, got %v", valid, err)
		}
		if err == nil {
			return
		}
		if s := err.Error(); !errors.Is(err, driver.ErrInvalid) || !utf8.ValidString(s) || strings.ContainsAny(s, "\x00\n") || len(s) > 2000 {
			t.Fatalf("not an error to print: %q", s)
		}
	})
}

// FuzzCheck builds requests and checks that Check never panics, never changes
// the request, and that what passes it keeps every promise that a store relies on.
func FuzzCheck(f *testing.F) {
	f.Add("s", int64(0), uint8(1), "type", "json", "tag", []byte("{}"), int64(1), uint64(1), uint64(1), 3)
	f.Add("\x00", int64(-3), uint8(17), "$x", "", "", []byte(nil), int64(math.MinInt64), uint64(1<<63), uint64(0), -1)
	f.Add("", int64(math.MaxInt64), uint8(0), "", "é", "\xff", make([]byte, 300), int64(math.MaxInt64), uint64(math.MaxUint64), uint64(math.MaxUint64), 200)
	f.Fuzz(func(t *testing.T, stream string, expected int64, n uint8, typ, enc, tag string, data []byte, us int64, a, b uint64, limit int) {
		n, data = n%40, data[:min(len(data), 300)]
		r := driver.Record{ID: id(n), Type: typ, Encoding: enc, Tags: []string{tag}, Data: data, Metadata: data, Time: time.UnixMicro(us)}
		var records []driver.Record
		for i := range int(n) {
			r.ID = id(byte(i) ^ byte(a))
			records = append(records, r)
		}
		caps := driver.Caps{MaxEventBytes: limit, MaxAppendEvents: limit, MaxAppendBytes: limit, MaxStreams: limit, MaxSnapshotBytes: limit, FilterFeed: limit%2 == 0}
		filter := driver.Filter{Types: []string{typ}[:n%2], Prefixes: []string{stream}[:n/2%2]}
		for _, req := range []driver.Request{
			appendOf(part(stream, driver.Expected(expected), records...)),
			appendOf(part(stream, driver.Expected(expected), records...), part(tag, driver.Any, records[:n/2]...)),
			driver.DeleteRequest{Stream: stream, Expected: driver.Expected(expected), Mode: driver.DeleteMode(n), Record: r},
			driver.StreamQuery{Stream: stream, From: driver.Version(a), Limit: limit},
			driver.FeedQuery{After: driver.Position(a), Limit: limit, Filter: filter, Seen: driver.Seen{Position: driver.Position(b), ID: id(n)}},
			driver.ListQuery{Prefix: stream, After: typ, Limit: limit},
			driver.CheckpointQuery{After: typ, Limit: limit},
			driver.Checkpoint{Name: stream, Position: driver.Position(a), SeenAt: driver.Position(b), SeenID: id(n), Revision: r.ID},
			driver.Snapshot{Stream: stream, Kind: typ, Version: driver.Version(a), EventID: r.ID, Encoding: enc, Data: data},
		} {
			before := fmt.Sprintf("%#v", req)
			err := driver.Check(caps, req)
			if after := fmt.Sprintf("%#v", req); after != before {
				t.Fatalf("changed:\n%s\n%s", before, after)
			}
			if err == nil {
				relies(t, caps, req)
			} else if kinds(err) != 1 || !strings.HasPrefix(err.Error(), "es: ") || !utf8.ValidString(err.Error()) {
				t.Fatalf("%#v: %q of %d kinds", req, err, kinds(err))
			}
		}
	})
}

// relies fails unless what stores rely on holds for a request that passed Check.
func relies(t *testing.T, caps driver.Caps, req driver.Request) {
	t.Helper()
	name := func(s string) bool { return driver.CheckName("", s) == nil }
	limit := func(n int) bool { return n >= 0 && n <= math.MaxInt32 }
	number := func(n uint64) bool { return n <= math.MaxInt64 }
	record := func(r driver.Record) bool {
		us := driver.Micros(r.Time)
		return !r.ID.IsZero() && name(r.Type) && r.Encoding != "" && len(r.Encoding) <= 64 && len(r.Tags) <= 32 && name(r.Tags[0]) &&
			driver.FromMicros(us).Equal(r.Time.Truncate(time.Microsecond)) && (caps.MaxEventBytes <= 0 || driver.Size(&r) <= caps.MaxEventBytes)
	}
	ok := true
	switch r := req.(type) {
	case driver.AppendRequest:
		streams, ids, events, bytes := map[string]bool{}, map[driver.ID]bool{}, 0, 0
		for _, p := range r.Parts {
			streams[p.Stream] = true
			ok = ok && name(p.Stream) && p.Expected >= driver.Exists && int64(p.Expected)+int64(len(p.Records)) >= int64(p.Expected)
			for _, rec := range p.Records {
				ids[rec.ID] = true
				events, bytes = events+1, bytes+driver.Size(&rec)
				ok = ok && record(rec) && rec.Type[0] != '$'
			}
		}
		ok = ok && len(streams) == len(r.Parts) && len(ids) == events && events > 0 && len(streams) <= max(1, caps.MaxStreams) &&
			(caps.MaxAppendEvents <= 0 || events <= caps.MaxAppendEvents) && (caps.MaxAppendBytes <= 0 || bytes <= caps.MaxAppendBytes)
	case driver.DeleteRequest:
		ok = name(r.Stream) && r.Expected >= driver.Exists && r.Expected < math.MaxInt64 && r.Mode >= driver.Tombstone && r.Mode <= driver.Purge && record(r.Record) && r.Record.Type == driver.TypeDeleted
	case driver.StreamQuery:
		ok = name(r.Stream) && number(uint64(r.From)) && limit(r.Limit)
	case driver.FeedQuery:
		ok = number(uint64(r.After)) && r.Seen.Position <= r.After && (r.Seen.Position == 0) == r.Seen.ID.IsZero() && (caps.FilterFeed || r.Filter.IsZero()) && limit(r.Limit)
	case driver.ListQuery:
		ok = (r.Prefix == "" || name(r.Prefix)) && (r.After == "" || name(r.After)) && limit(r.Limit)
	case driver.CheckpointQuery:
		ok = (r.After == "" || name(r.After)) && limit(r.Limit)
	case driver.Checkpoint:
		ok = name(r.Name) && number(uint64(r.Position)) && r.SeenAt <= r.Position && (r.SeenAt == 0) == r.SeenID.IsZero() && !r.Revision.IsZero()
	case driver.Snapshot:
		ok = name(r.Stream) && name(r.Kind) && r.Version > 0 && r.Version < math.MaxInt64 && !r.EventID.IsZero() && (caps.MaxSnapshotBytes <= 0 || driver.SnapshotSize(&r) <= caps.MaxSnapshotBytes)
	default:
		t.Fatalf("no case for %T", req)
	}
	if !ok {
		t.Fatalf("passed: %#v with %#v", req, caps)
	}
}
