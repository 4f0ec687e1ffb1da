package conformance

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/go-es/es/driver"
)

var nameChecks = []check{
	{"names/streams", "N1", nil, checkConfusableStreams},
	{"names/types", "N1", nil, checkConfusableTypes},
	{"names/filters", "N1 F10", []need{needFilter}, checkConfusableFilters},
	{"names/checkpoints", "N1 C5", []need{needCheckpoints}, checkConfusableCheckpoints},
	{"names/snapshots", "N1", []need{needSnapshots}, checkConfusableSnapshots},
	{"names/characters", "N2", nil, checkCharacters},
	{"names/long", "N2", nil, checkLongNames},
}

// confusable are names that some database takes for each other, reads as a
// pattern, or orders in its own way.
func confusable() []string {
	names := []string{
		"a", "A", "b", "B", "Z", "z", "_", "-", "a-1", "a1", "a 1", "a_1", "aa", "ab", "aB", "a-", "a%", "%", "a_", "a\\", `\`, "[a]", "a*", "a?",
		"a ", "a  ", " a", "a\t", "a\n", "\n", " ", "  ", "a\u00a0", "a\u200b", "a\u00ad", "\ufeffa", // blanks and what cannot be seen
		"\u00e9", "e\u0301", "e", "E", "\u00c9", "\u00c5", "\u212b", "A\u030a", // accents and normal forms
		"ss", "\u00df", "\u1e9e", "SS", "i", "I", "\u0131", "\u0130", "K", "\u212a", "\uff41", "\u2460", "1", "\ufb01", "fi", // folds and compatibility forms
		"\U0001F600", "\U0001F601", "\uffff", "\U00010000", "\uee00", "\ud7ff", "\U0010FFFF", // UTF-16 orders these in another way
		"\u0001", "\u007f", "\u0080", "'", `"`, "`", ";", "--", "/*", "/", "..", "a/b", "a.b", "a:b", "a,b", "null", "NULL", "0", "00", "0.0", "true",
	}
	if len(slices.Compact(slices.Sorted(slices.Values(names)))) != len(names) {
		panic("conformance: a name occurs twice")
	}
	return names
}

// separators are what a store may put between the parts of a key.
var separators = []string{"/", ":", "-", "_", ".", ",", ";", "|", "#", "@", "$", "~", "!", "+", "=", " ", "\\", "\t", "\n", "\x01", "\x1f", "\uffff"}

func checkConfusableStreams(t *test) {
	a := t.open()
	names := confusable()
	want := map[string]driver.Record{}
	for _, name := range names {
		r := record()
		r.Data = []byte(name)
		res, err := a.Append(t.ctx, to(name, driver.NoStream, r))
		if err != nil {
			t.broken("N1", "the first append to stream %q, beside names that are nearly the same: %v", name, err)
		}
		if res.Parts[0].First != 1 {
			t.broken("N1", "stream %q began at version %d", name, res.Parts[0].First)
		}
		r.Stream, r.Version = name, 1
		want[name] = r
	}
	b := t.other(a)
	for _, name := range names {
		got, err := b.tryStream(driver.StreamQuery{Stream: name})
		if err != nil {
			t.broken("N1", "ReadStream of stream %q, beside names that are nearly the same: %v", name, err)
		}
		t.same("N1", fmt.Sprintf("stream %q", name), []driver.Record{want[name]}, got)
	}
	for _, r := range b.whole(0) {
		if d := difference(want[r.Stream], r); d != "" {
			t.broken("N1", "stream %q in the feed: %s", r.Stream, d)
		}
	}
	t.deletesHalf(b, names, want)
	slices.Sort(names)
	t.listed(b, "N1", driver.ListQuery{}, names)
	for _, prefix := range names {
		t.listed(b, "N1", driver.ListQuery{Prefix: prefix}, withPrefix(names, prefix))
		i, _ := slices.BinarySearch(names, prefix)
		t.listed(b, "N1", driver.ListQuery{After: prefix, Limit: 7}, names[i+1:])
	}
}

// deletesHalf deletes every other stream: those beside it, whose names are nearly the
// same, stay. The streams have one record each.
func (t *test) deletesHalf(c *client, names []string, want map[string]driver.Record) {
	t.Helper()
	for i, name := range names {
		if i%2 == 0 {
			if _, err := c.Delete(t.ctx, deletion(name, 1, modes[i/2%2])); err != nil {
				t.broken("N1", "a delete of stream %q, beside names that are nearly the same: %v", name, err)
			}
		}
	}
	for i, name := range names {
		got, err := c.tryStream(driver.StreamQuery{Stream: name})
		switch {
		case i%2 == 0 && !errors.Is(err, driver.ErrStreamDeleted):
			t.broken("N1", "stream %q was deleted, beside names that are nearly the same: error %v", name, err)
		case i%2 == 1 && err != nil:
			t.broken("N1", "stream %q, after streams whose names are nearly the same were deleted: %v", name, err)
		case i%2 == 1:
			t.same("N1", fmt.Sprintf("stream %q, after streams whose names are nearly the same were deleted", name), []driver.Record{want[name]}, got)
		}
	}
}

func withPrefix(names []string, prefix string) []string {
	return slices.DeleteFunc(slices.Clone(names), func(s string) bool { return !strings.HasPrefix(s, prefix) })
}

// listed ends the check unless a listing has these streams, at once or, where a
// listing may lag, in bounded time.
func (t *test) listed(c *client, rule string, q driver.ListQuery, want []string) {
	t.Helper()
	var got []string
	same := func() bool {
		got = nil
		for _, s := range c.list(q) {
			got = append(got, s.Stream)
		}
		return slices.Equal(got, want)
	}
	if same() || t.caps.ListLag && t.eventually(same) {
		return
	}
	i := 0
	for i < len(got) && i < len(want) && got[i] == want[i] {
		i++
	}
	t.broken(rule, "ListStreams(%s) lists %d streams, and there are %d; from the %d. on it has %.100q, and should have %.100q", brief(q), len(got), len(want), i+1, got[i:min(i+3, len(got))], want[i:min(i+3, len(want))])
}

func checkConfusableTypes(t *test) {
	a := t.open()
	names := confusable()
	want := records(len(names))
	for i, name := range names {
		want[i].Type, want[i].Tags = name, []string{name}
	}
	a.put("types", 0, want)
	b := t.other(a)
	t.same("N1", "types and tags", want, b.stream(driver.StreamQuery{Stream: "types"}))
	t.same("N1", "types and tags in the feed", want, b.whole(0))
}

func checkConfusableFilters(t *test) {
	a := t.open()
	names := confusable()
	for _, name := range names {
		r := record()
		r.Type = name
		a.append(name, driver.NoStream, r)
	}
	feed := a.whole(0)
	for _, name := range names {
		for _, f := range []driver.Filter{{Types: []string{name}}, {Prefixes: []string{name}}} {
			got, _ := a.readFiltered(0, 0, f)
			t.same("F10", fmt.Sprintf("types %q, prefixes %q", f.Types, f.Prefixes), matching(feed, f), got)
		}
	}
}

// matching returns the records that pass a filter.
func matching(recs []driver.Record, f driver.Filter) []driver.Record {
	return slices.DeleteFunc(slices.Clone(recs), func(r driver.Record) bool { return !f.Match(&r) })
}

func checkConfusableCheckpoints(t *test) {
	a := t.open()
	names := confusable()
	for i, name := range names {
		cp := driver.Checkpoint{Name: name, Position: driver.Position(i), Revision: record().ID}
		if err := a.SaveCheckpoint(t.ctx, cp, driver.Revision{}); err != nil {
			t.broken("N1", "the first save of checkpoint %q, beside names that are nearly the same: %v", name, err)
		}
	}
	b := t.other(a)
	for i, name := range names {
		cp, err := b.LoadCheckpoint(t.ctx, name)
		t.must(err)
		if cp.Name != name || cp.Position != driver.Position(i) {
			t.broken("N1", "checkpoint %q is %q at position %d, and was saved at %d", name, cp.Name, cp.Position, i)
		}
	}
	var listed []string
	for _, cp := range b.checkpoints(0) {
		listed = append(listed, cp.Name)
	}
	if want := slices.Sorted(slices.Values(names)); !slices.Equal(listed, want) {
		t.broken("C5", "the checkpoints are listed as %.400q instead of %.400q", listed, want)
	}
	for i, name := range names { // every other one goes, and those beside it stay
		if i%2 == 0 {
			t.must(b.DeleteCheckpoint(t.ctx, name))
		}
	}
	for i, name := range names {
		cp, err := a.LoadCheckpoint(t.ctx, name)
		t.must(err)
		if there := cp.Name == name; there != (i%2 == 1) {
			t.broken("N1", "every other checkpoint was deleted, beside names that are nearly the same: checkpoint %q is %v", name, cp)
		}
	}
}

func checkConfusableSnapshots(t *test) {
	a := t.open()
	names := confusable()
	a.append("kinds", driver.NoStream, record())
	for i, name := range names {
		a.append(name, driver.NoStream, record())
		t.must(a.SaveSnapshot(t.ctx, snapshot(name, "state", driver.Version(i+1))))
		t.must(a.SaveSnapshot(t.ctx, snapshot("kinds", name, driver.Version(i+1))))
	}
	b := t.other(a)
	for i, name := range names {
		for _, key := range [][2]string{{name, "state"}, {"kinds", name}} {
			s, err := b.LoadSnapshot(t.ctx, key[0], key[1])
			t.must(err)
			if d := snapshotDifference(snapshot(key[0], key[1], driver.Version(i+1)), s); d != "" {
				t.broken("N1", "stream %q, kind %q: %s", key[0], key[1], d)
			}
		}
	}
	for _, sep := range separators { // a store may join stream and kind to one key
		snaps := []driver.Snapshot{snapshot("kinds"+sep+"x", "y", 1), snapshot("kinds", "x"+sep+"y", 2)}
		a.append(snaps[0].Stream, driver.NoStream, record())
		for _, s := range snaps {
			t.must(a.SaveSnapshot(t.ctx, s))
		}
		for _, s := range snaps {
			t.keeps(b, "N1", "beside one whose stream and kind, put together, are nearly the same", s)
		}
	}
	for i, name := range names { // every other one goes, and those beside it stay
		if i%2 == 0 {
			t.must(b.DeleteSnapshot(t.ctx, name, "state"))
			t.must(b.DeleteSnapshot(t.ctx, "kinds", name))
		}
	}
	for i, name := range names {
		for _, key := range [][2]string{{name, "state"}, {"kinds", name}} {
			s, err := a.LoadSnapshot(t.ctx, key[0], key[1])
			t.must(err)
			if there := s.Version == driver.Version(i+1); there != (i%2 == 1) {
				t.broken("N1", "every other snapshot was deleted, beside names that are nearly the same: stream %q, kind %q: %v", key[0], key[1], s)
			}
		}
	}
}

// checkCharacters tries a name of, and a name with, each character of ASCII and
// some of every plane.
func checkCharacters(t *test) {
	a := t.open()
	var runes []rune
	for r := rune(1); r < 0x80; r++ {
		runes = append(runes, r)
	}
	runes = append(runes, 0x80, 0xff, 0x100, 0x7ff, 0x800, 0x3042, 0x4e2d, 0x5d0, 0x644, 0xd7ff, 0xe000, 0xfdd0, 0xfffd, 0xfffe, 0x10000, 0x1f468, 0x2fffe, 0xe0001, 0x10ffff)
	runes = slices.DeleteFunc(runes, func(r rune) bool { return t.scale(5) < 5 && r%3 == 1 })
	var all []string
	for _, r := range runes {
		all = append(all, string(r), "x"+string(r)+"y")
	}
	all = slices.Compact(slices.Sorted(slices.Values(all)))
	for _, name := range all {
		rec := record()
		if rec.Tags = []string{name}; !strings.HasPrefix(name, "$") {
			rec.Type = name
		}
		if _, err := a.Append(t.ctx, to(name, driver.NoStream, rec)); err != nil {
			t.broken("N2", "stream %q, type %q: %v", name, rec.Type, err)
		}
		rec.Stream, rec.Version = name, 1
		t.same("N2", fmt.Sprintf("stream %q", name), []driver.Record{rec}, a.stream(driver.StreamQuery{Stream: name}))
	}
	t.listed(a, "N2", driver.ListQuery{}, all)
}

// long returns a name of exactly n bytes that ends in last.
func long(n int, unit, last string) string {
	var b strings.Builder
	for b.Len()+len(unit)+len(last) <= n {
		b.WriteString(unit)
	}
	for b.Len()+len(last) < n {
		b.WriteByte('.')
	}
	return b.String() + last
}

func checkLongNames(t *test) {
	a := t.open()
	var names []string
	for _, unit := range []string{"n", "é", "中", "\U0001F600", " ", "'", "\\", "%", "\x01", "\""} {
		for _, last := range []string{"1", "2"} {
			names = append(names, long(driver.MaxNameBytes, unit, last))
		}
		names = append(names, long(driver.MaxNameBytes-1, unit, ""))
	}
	for _, name := range names {
		r := record()
		r.Type, r.Encoding = name, strings.Repeat("e", driver.MaxEncodingBytes)
		for range driver.MaxTags {
			r.Tags = append(r.Tags, name)
			if _, err := checkedSize(t.caps, r); err != nil {
				r.Tags = r.Tags[1:]
				break
			}
		}
		if _, err := a.Append(t.ctx, to(name, driver.NoStream, r)); err != nil {
			t.broken("N2", "a stream and a type %.20q… of %d bytes: %v", name, len(name), err)
		}
		r.Stream, r.Version = name, 1
		t.same("N2", "the longest names", []driver.Record{r}, a.stream(driver.StreamQuery{Stream: name}))
		if _, ok := a.s.(driver.SnapshotStore); ok {
			t.must(a.SaveSnapshot(t.ctx, snapshot(name, name, 1)))
			s, err := a.LoadSnapshot(t.ctx, name, name)
			t.must(err)
			if d := snapshotDifference(snapshot(name, name, 1), s); d != "" {
				t.broken("N2", "a snapshot under the longest names: %s", d)
			}
		}
		if _, ok := a.s.(driver.CheckpointStore); ok {
			cp := driver.Checkpoint{Name: name, Position: 1, Revision: r.ID}
			t.must(a.SaveCheckpoint(t.ctx, cp, driver.Revision{}))
			got, err := a.LoadCheckpoint(t.ctx, name)
			t.must(err)
			if got != cp {
				t.broken("N2", "a checkpoint under the longest name is %+v, was saved as %+v", got, cp)
			}
		}
	}
	t.listed(a, "N2", driver.ListQuery{}, slices.Sorted(slices.Values(names)))
	for _, name := range names[:6] {
		a.append(name, driver.Exactly(1), record())
		a.delete(name, driver.Purge)
	}
}
