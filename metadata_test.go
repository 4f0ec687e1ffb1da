package es_test

import (
	"context"
	"maps"
	"testing"

	"github.com/go-es/es"
	"github.com/go-es/es/drivers/memory"
)

func metadataOf(t testing.TB, r es.Record) map[string]string {
	t.Helper()
	m, err := r.Metadata()
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestWithMetadata(t *testing.T) {
	type m = map[string]string
	bare := t.Context()
	first := m{"user": "u1", "trace": "t1"}
	outer := es.WithMetadata(bare, first)
	inner := es.WithMetadata(outer, m{"user": "u2", "ip": "::1"})
	none := es.WithMetadata(inner, nil)
	ended, cancel := context.WithCancel(es.WithMetadata(bare, m{"a": ""}))
	cancel()
	first["user"] = "changed later"

	for _, row := range []struct {
		name  string
		ctx   context.Context
		event m // of the Envelope
		want  m
	}{
		{"nothing", bare, nil, nil},
		{"empty", es.WithMetadata(bare, m{}), m{}, nil},
		{"of the context", outer, nil, m{"user": "u1", "trace": "t1"}},
		{"the new wins", inner, nil, m{"user": "u2", "trace": "t1", "ip": "::1"}},
		{"nothing added", none, nil, m{"user": "u2", "trace": "t1", "ip": "::1"}},
		{"of the event", bare, m{"user": "u3"}, m{"user": "u3"}},
		{"the event wins", inner, m{"user": "u3", "": "é\x00\"<"}, m{"user": "u3", "trace": "t1", "ip": "::1", "": "é\x00\"<"}},
		{"an empty value is one", context.WithoutCancel(ended), nil, m{"a": ""}},
	} {
		s := over(t, memory.New())
		if _, err := s.Append(row.ctx, "s", es.Any, es.Envelope{Event: ann, Metadata: row.event}, es.Envelope{Event: ann, Metadata: row.event}); err != nil {
			t.Fatalf("%s: %v", row.name, err)
		}
		for _, r := range all(t, s.Read(t.Context(), "s")) {
			if got := metadataOf(t, r); !maps.Equal(got, row.want) || (got == nil) != (row.want == nil) {
				t.Errorf("%s: %v, want %v", row.name, got, row.want)
			}
		}
		if len(row.want) == 0 && len(onDisk(t, s.Driver())[0].Metadata) != 0 {
			t.Errorf("%s: bytes are stored for it", row.name)
		}
	}

	// What Metadata returns is a copy.
	got := es.Metadata(inner)
	if !maps.Equal(got, m{"user": "u2", "trace": "t1", "ip": "::1"}) {
		t.Errorf("Metadata: %v", got)
	}
	clear(got)
	if len(es.Metadata(inner)) != 3 || len(es.Metadata(outer)) != 2 || es.Metadata(bare) != nil {
		t.Errorf("Metadata: %v, %v, %v", es.Metadata(inner), es.Metadata(outer), es.Metadata(bare))
	}
}

// Whatever comes of a first event has its correlation, and each event is caused
// by the one that it answers.
func TestCause(t *testing.T) {
	s := over(t, memory.New())
	ctx := es.WithMetadata(t.Context(), map[string]string{"user": "u1"})
	if _, err := s.Append(ctx, "s", es.Any, ann); err != nil {
		t.Fatal(err)
	}
	answer := func(to es.Record) es.Record {
		t.Helper()
		out, err := s.Append(to.Cause(ctx), "s", es.Any, ann)
		if err != nil {
			t.Fatal(err)
		}
		return all(t, s.Read(t.Context(), "s", es.From(out.Last)))[0]
	}
	first := all(t, s.Read(t.Context(), "s"))[0]
	if m := metadataOf(t, first); m[es.CorrelationID] != "" || m[es.CausationID] != "" {
		t.Errorf("the first: %v", m)
	}
	before := first
	for i := range 4 {
		next := answer(before)
		if m := metadataOf(t, next); m[es.CorrelationID] != first.ID.String() || m[es.CausationID] != before.ID.String() || m["user"] != "u1" || len(m) != 3 {
			t.Errorf("answer %d: %v, want correlation %v and causation %v", i, m, first.ID, before.ID)
		}
		before = next
	}
	// A second answer to the first event is caused by it, not by the last one.
	if m := metadataOf(t, answer(first)); m[es.CorrelationID] != first.ID.String() || m[es.CausationID] != first.ID.String() {
		t.Errorf("a second answer: %v", m)
	}
	// A correlation that came from elsewhere stays.
	if _, err := s.Append(es.WithMetadata(ctx, map[string]string{es.CorrelationID: "order-7"}), "t", es.Any, ann); err != nil {
		t.Fatal(err)
	}
	other := all(t, s.Read(t.Context(), "t"))[0]
	if m := metadataOf(t, answer(other)); m[es.CorrelationID] != "order-7" || m[es.CausationID] != other.ID.String() {
		t.Errorf("a correlation of the program's own: %v", m)
	}
	// The context of one cause replaces that of another.
	if m := es.Metadata(other.Cause(first.Cause(ctx))); m[es.CorrelationID] != "order-7" || m[es.CausationID] != other.ID.String() {
		t.Errorf("a cause within a cause: %v", m)
	}
}

// Deletes and answers to them carry metadata as well.
func TestMetadataOfADelete(t *testing.T) {
	s := over(t, memory.New())
	put(t, s, "s", ann)
	ctx := es.WithMetadata(t.Context(), map[string]string{"user": "u1"})
	if _, err := s.Delete(ctx, "s", es.Any, es.Purge); err != nil {
		t.Fatal(err)
	}
	r := all(t, s.ReadAll(t.Context()))[0]
	if m := metadataOf(t, r); r.Type != es.TypeDeleted || !maps.Equal(m, map[string]string{"user": "u1"}) {
		t.Errorf("%s: %v", r.Type, m)
	}
	if raw, err := r.Raw(); err != nil || string(raw.Data) != "{}" || raw.Encoding != "json" {
		t.Errorf("%+v, %v", raw, err)
	}
	if m := es.Metadata(r.Cause(t.Context())); m[es.CausationID] != r.ID.String() {
		t.Errorf("an answer: %v", m)
	}
}
