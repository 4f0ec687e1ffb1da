package es_test

import (
	"errors"
	"testing"
	"time"

	"github.com/go-es/es"
	"github.com/go-es/es/drivers/memory"
)

type frozen struct{ Names []string }

func (frozen) EventType() string { return "frozen" }

var foreign = es.NewType[*[]int]("foreign")

func frozenStore(t *testing.T, opts ...es.Option) *es.Store {
	t.Helper()
	s, err := es.New(memory.New(), opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func TestFreeze(t *testing.T) {
	now := time.Date(2025, 1, 2, 3, 4, 5, 6789, time.UTC)
	n := byte(0)
	s := frozenStore(t, es.WithClock(func() time.Time { return now }), es.WithIDs(func() es.ID { n++; return es.ID{15: n} }))
	ev := frozen{[]string{"a"}}
	tags := []string{"tag"}
	env, err := s.Freeze(es.Envelope{Event: ev, Tags: tags})
	if err != nil {
		t.Fatal(err)
	}
	if want := now.Truncate(time.Microsecond); env.ID != (es.ID{15: 1}) || !env.Time.Equal(want) {
		t.Errorf("id %v, time %v", env.ID, env.Time)
	}
	ev.Names[0], tags[0] = "b", "other"
	now = now.Add(time.Hour)
	for range 2 { // the second is recognised
		if res, err := s.Append(t.Context(), "s", es.NoStream, env); err != nil || res.Last != 1 {
			t.Fatal(res, err)
		}
	}
	for rec, err := range s.Read(t.Context(), "s") {
		if err != nil {
			t.Fatal(err)
		}
		got, err := es.As[frozen](rec)
		if err != nil || got.Names[0] != "a" || rec.Tags[0] != "tag" || rec.ID != env.ID || !rec.Time.Equal(env.Time) {
			t.Errorf("%+v, %+v, %v", got, rec, err)
		}
	}
	if _, err := s.Freeze(nil); !errors.Is(err, es.ErrInvalid) {
		t.Errorf("nil: %v", err)
	}
	if _, err := s.Freeze(es.NewType[func()]("f").Of(func() {})); err == nil {
		t.Error("a function was encoded")
	}
}

func TestTypeValue(t *testing.T) {
	things := es.TypeOf[frozen]()
	list := &[]int{1}
	for _, row := range []struct {
		name string
		ev   es.Event
		ok   bool
	}{
		{"a value", frozen{[]string{"a"}}, true},
		{"a pointer", &frozen{[]string{"a"}}, true},
		{"made by Of", things.Of(frozen{[]string{"a"}}), true},
		{"an envelope", es.Envelope{Event: frozen{[]string{"a"}}}, true},
		{"a pointer to one", &es.Envelope{Event: &frozen{[]string{"a"}}}, true},
		{"nil", nil, false},
		{"a nil pointer", (*frozen)(nil), false},
		{"a nil envelope", (*es.Envelope)(nil), false},
		{"an empty envelope", es.Envelope{}, false},
		{"another type", foreign.Of(list), false},
		{"another name", es.NewType[frozen]("other").Of(frozen{}), false},
		{"raw", es.Raw{Type: "frozen", Encoding: "json"}, false},
	} {
		v, ok := things.Value(row.ev)
		if ok != row.ok || ok && (len(v.Names) != 1 || v.Names[0] != "a") {
			t.Errorf("%s: %+v, %v", row.name, v, ok)
		}
	}
	if v, ok := foreign.Value(foreign.Of(list)); !ok || v != list {
		t.Errorf("foreign: %v, %v", v, ok)
	}
}

func TestBare(t *testing.T) {
	s := frozenStore(t)
	if s.Bare() || !s.With(memory.New()).Bare() {
		t.Error("only what With makes is bare")
	}
}
