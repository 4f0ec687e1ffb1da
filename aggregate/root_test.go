package aggregate_test

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/go-es/es"
	"github.com/go-es/es/aggregate"
)

// Odd is an aggregate whose handlers do what they should not.
type Odd struct {
	aggregate.Root
	names []string
	log   []string
	err   error
	rec   es.Record
}

type (
	Named    struct{ Names []string }
	Renamed  struct{ To string }
	Nested   struct{}
	Pointed  struct{ N int }
	Bad      struct{ F func() }
	Unknown  struct{}
	Ignored  struct{}
	Unnamed  struct{}
	Reserved struct{}
	Panics   struct{}
	Kept     struct{}
)

func (Named) EventType() string    { return "odd.named" }
func (Renamed) EventType() string  { return "odd.renamed" }
func (Nested) EventType() string   { return "odd.nested" }
func (*Pointed) EventType() string { return "odd.pointed" }
func (Bad) EventType() string      { return "odd.bad" }
func (Unknown) EventType() string  { return "odd.unknown" }
func (Ignored) EventType() string  { return "odd.ignored" }
func (Unnamed) EventType() string  { return "" }
func (Reserved) EventType() string { return "$odd" }
func (Panics) EventType() string   { return "odd.panics" }
func (Kept) EventType() string     { return "odd.kept" }

// Generic events have no method; their descriptor names them.
type Generic[T any] struct{ V T }

var Counted = es.NewType[Generic[int]]("odd.counted")

var Odds = aggregate.Define("odd",
	aggregate.On(func(o *Odd, e Named) { o.names = e.Names }), // shares the event's slice
	aggregate.On(func(o *Odd, e Renamed) { o.names[0] = e.To }),
	aggregate.On(func(o *Odd, e Nested) { o.err = o.Raise(Renamed{"x"}) }),
	aggregate.On(func(o *Odd, e *Pointed) { o.log = append(o.log, "pointed") }),
	aggregate.On(func(o *Odd, e Bad) {}),
	aggregate.On(func(o *Odd, e Panics) { panic("handler") }),
	aggregate.OnType(Counted, func(o *Odd, e Generic[int]) { o.log = append(o.log, strings.Repeat("i", e.V)) }),
	aggregate.OnRecorded(func(o *Odd, e Kept, rec es.Record) {
		o.rec = rec
		if v := o.Version(); v != rec.Version {
			o.log = append(o.log, "the version in a handler is not the event's")
		}
	}),
).Ignoring("odd.ignored")

func TestMisuse(t *testing.T) {
	store, driver := newStore(t)
	odds, accounts := Odds.Repository(store), Accounts.Repository(store)
	other := aggregate.Define("other", aggregate.On(func(o *Odd, e Named) {}))
	raise := func(ev es.Event) func() error {
		return func() error { return Odds.New("1").Raise(ev) }
	}
	stored := func(ev es.Event) func() error { // in a repository's
		return func() error {
			_, err := odds.Create(t.Context(), "1", func(o *Odd) error { return o.Raise(ev) })
			return err
		}
	}
	save := func(o *Odd) error {
		_, err := odds.Save(t.Context(), o)
		return err
	}
	copied := func() *Odd {
		o := *Odds.New("1") //nolint:govet // the mistake that is tested
		return &o
	}
	for _, row := range []struct {
		name string
		do   func() error
		is   error
		want string
	}{
		{"raise, no definition", func() error { return new(Odd).Raise(Ignored{}) }, es.ErrInvalid, "es: raise: aggregate: was not made by its definition: use New or a repository"},
		{"save, no definition", func() error { return save(new(Odd)) }, es.ErrInvalid, `es: save odd "": aggregate: was not made by its definition: use New or a repository`},
		{"save nil", func() error { return save(nil) }, es.ErrInvalid, `es: save odd "": aggregate: is nil`},
		{"raise in a copy", func() error { return copied().Raise(Ignored{}) }, es.ErrInvalid, "es: raise: aggregate: is a copy: use the pointer that its definition or repository made"},
		{"save a copy", func() error { return save(copied()) }, es.ErrInvalid, `es: save odd "": aggregate: is a copy: use the pointer that its definition or repository made`},
		{"save another definition's", func() error { return save(other.New("1")) }, es.ErrInvalid, `es: save odd "": aggregate: was made by another definition, of category "other"`},
		{"save what was given", func() error { return save(Odds.Given("1", Ignored{})) }, es.ErrInvalid, `es: save odd "1" at version 1: aggregate: was made by Given, which is for tests: its events are in no store`},
		{"raise in a handler", raise(Nested{}), es.ErrInvalid, `es: raise odd "1": event: was raised inside a handler: a handler changes the state and does nothing else`},
		{"raise in a handler, stored", stored(Nested{}), es.ErrInvalid, `es: raise odd "1": event: was raised inside a handler: a handler changes the state and does nothing else`},
		{"no handler", raise(Unknown{}), aggregate.ErrNoHandler, `es: raise odd "1": no handler for events of type "odd.unknown": give the definition one, or let it ignore the type`},
		{"no handler, stored", stored(Unknown{}), aggregate.ErrNoHandler, `es: raise odd "1": no handler for events of type "odd.unknown": give the definition one, or let it ignore the type`},
		{"another Go type", stored(es.NewType[int]("odd.named").Of(1)), es.ErrInvalid, `es: raise odd "1": event of type "odd.named": is not the aggregate_test.Named that its handler takes`},
		{"raw", stored(es.Raw{Type: "odd.named", Encoding: "json", Data: []byte("{}")}), es.ErrInvalid, `es: raise odd "1": event of type "odd.named": is not the aggregate_test.Named that its handler takes`},
		{"nil", raise(nil), es.ErrInvalid, `es: raise odd "1": event: is nil`},
		{"nil pointer", raise((*Pointed)(nil)), es.ErrInvalid, `es: raise odd "1": event: is nil`},
		{"nil pointer, stored", stored((*Named)(nil)), es.ErrInvalid, `es: raise odd "1": event: is nil`},
		{"nil envelope", raise((*es.Envelope)(nil)), es.ErrInvalid, `es: raise odd "1": event: is nil`},
		{"empty envelope", stored(es.Envelope{}), es.ErrInvalid, `es: raise odd "1": event: is nil`},
		{"unnamed", stored(Unnamed{}), es.ErrInvalid, `es: raise odd "1": the method EventType of aggregate_test.Unnamed: event type: is empty`},
		{"unnamed, no store", raise(Unnamed{}), aggregate.ErrNoHandler, `es: raise odd "1": no handler for events of type "": give the definition one, or let it ignore the type`},
		{"reserved", stored(Reserved{}), es.ErrInvalid, `es: raise odd "1": the method EventType of aggregate_test.Reserved: event type "$odd": names that begin with "$" are reserved`},
		{"cannot be encoded", stored(Bad{func() {}}), nil, `es: raise odd "1": type "odd.bad" cannot be encoded as json: json: unsupported type: func()`},
		{"cannot be encoded, no store", func() error {
			o := Odds.New("1")
			return errors.Join(o.Raise(Bad{func() {}}), save(o))
		}, nil, `es: save odd "1" at version 1: type "odd.bad" cannot be encoded as json: json: unsupported type: func()`},
		{"empty id", func() error { return Odds.New("").Raise(Ignored{}) }, es.ErrInvalid, `es: raise odd "": id: is empty`},
		{"long id", func() error { return Odds.New(strings.Repeat("x", 252)).Raise(Ignored{}) }, es.ErrInvalid, `es: raise odd "` + strings.Repeat("x", 80) + `"…: id "` + strings.Repeat("x", 40) + `": makes a name of 256 bytes, the limit is 255`},
		{"id with NUL", func() error { return Odds.New("a\x00").Raise(Ignored{}) }, es.ErrInvalid, `es: raise odd "a\x00": id "a\x00": contains a NUL byte`},
		{"id not UTF-8", func() error { return Odds.New("\xff").Raise(Ignored{}) }, es.ErrInvalid, `es: raise odd "\xff": id "\xff": is not valid UTF-8`},
		{"load an empty id", func() error { _, err := accounts.Load(t.Context(), ""); return err }, es.ErrInvalid, `es: load account "": id: is empty`},
		{"create without a function", func() error { _, err := accounts.Create(t.Context(), "1", nil); return err }, es.ErrInvalid, `es: create account "1": function: is nil`},
		{"create without events", func() error {
			_, err := accounts.Create(t.Context(), "1", func(*Account) error { return nil })
			return err
		}, es.ErrInvalid, `es: create account "1": function: raised no event, so that there is nothing to store`},
		{"nil option", func() error { _, err := accounts.Update(t.Context(), "1", deposit(1), nil); return err }, es.ErrInvalid, `es: update account "1": option: is nil`},
		{"empty command", func() error {
			_, err := accounts.Update(t.Context(), "1", deposit(1), aggregate.CommandID(""))
			return err
		}, es.ErrInvalid, `es: update account "1": CommandID: is empty`},
		{"an id of its own in a command", func() error {
			_, err := accounts.Create(t.Context(), "1", func(a *Account) error { return a.Raise(es.Envelope{Event: Opened{}, ID: es.ID{1}}) }, aggregate.CommandID("c"))
			return err
		}, es.ErrInvalid, `es: raise account "1": event: has an id of its own, and CommandID gives it one`},
	} {
		err := row.do()
		if text(err) != row.want {
			t.Errorf("%s:\n got %s\nwant %s", row.name, text(err), row.want)
		}
		if row.is != nil && !errors.Is(err, row.is) {
			t.Errorf("%s: %v is not %v", row.name, err, row.is)
		}
		if err != nil && !errors.As(err, new(*aggregate.Error)) {
			t.Errorf("%s: %T is no Error", row.name, err)
		}
	}
	if driver.appends > 0 {
		t.Errorf("%d appends were made", driver.appends)
	}
}

func TestInit(t *testing.T) {
	named := aggregate.On(func(o *Odd, e Named) { o.log = append(o.log, e.Names...) })
	store, _ := newStore(t)
	made := aggregate.Define("made", named).Init(func(o *Odd) { o.log = []string{o.ID()} })
	must[aggregate.Result](t)(made.Repository(store).Create(t.Context(), "1", func(o *Odd) error { return o.Raise(Named{[]string{"a"}}) }))
	o := must[*Odd](t)(made.Repository(store).Load(t.Context(), "1"))
	if got := strings.Join(o.log, " "); got != "1 a" {
		t.Errorf("got %s", got)
	}
	raises := aggregate.Define("raises", named).Init(func(o *Odd) { o.Raise(Named{}) })
	_, err := raises.Repository(store).Update(t.Context(), "1", func(o *Odd) error { return nil }, aggregate.OrNew())
	if !errors.Is(err, es.ErrInvalid) {
		t.Errorf("Raise in Init: %v", err)
	}
}

func TestErrorOfRaiseStays(t *testing.T) {
	store, driver := newStore(t)
	o := Odds.New("1")
	if err := o.Raise(Named{[]string{"a"}}); err != nil {
		t.Fatal(err)
	}
	first := o.Raise(Unknown{}) // a program that does not look at it
	if first == nil || o.Version() != 1 {
		t.Fatal(first, o.Version())
	}
	if err := o.Raise(Ignored{}); !errors.Is(err, aggregate.ErrNoHandler) {
		t.Errorf("raise: %v", err)
	}
	if _, err := Odds.Repository(store).Save(t.Context(), o); !errors.Is(err, aggregate.ErrNoHandler) || driver.appends > 0 {
		t.Errorf("save: %v, %d appends", err, driver.appends)
	}
	_, err := Odds.Repository(store).Update(t.Context(), "1", func(o *Odd) error {
		o.Raise(Unknown{})
		return nil
	}, aggregate.OrNew())
	if !errors.Is(err, aggregate.ErrNoHandler) || driver.appends > 0 {
		t.Errorf("update: %v, %d appends", err, driver.appends)
	}
}

func TestPanickingHandler(t *testing.T) {
	store, _ := newStore(t)
	o := Odds.New("1")
	o.Raise(Named{[]string{"a"}})
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic of a handler was lost")
			}
		}()
		o.Raise(Panics{})
	}()
	if _, err := Odds.Repository(store).Save(t.Context(), o); !errors.Is(err, es.ErrInvalid) {
		t.Errorf("an aggregate half changed was saved: %v", err)
	}
	if all := records(t, store, "odd-1"); len(all) > 0 {
		t.Errorf("%d events were stored", len(all))
	}
}

// What is stored is the event as it was raised: handlers may share its memory.
func TestRaisedEventsAreFrozen(t *testing.T) {
	store, _ := newStore(t)
	names := []string{"a", "b"}
	must[aggregate.Result](t)(Odds.Repository(store).Create(t.Context(), "1", func(o *Odd) error {
		err := errors.Join(o.Raise(Named{names}), o.Raise(Renamed{"x"}))
		names[1] = "y"
		return err
	}))
	e := must[Named](t)(es.As[Named](records(t, store, "odd-1")[0]))
	if !reflect.DeepEqual(e.Names, []string{"a", "b"}) {
		t.Errorf("stored: %v", e.Names)
	}
	o := must[*Odd](t)(Odds.Repository(store).Load(t.Context(), "1"))
	if !reflect.DeepEqual(o.names, []string{"x", "b"}) {
		t.Errorf("loaded: %v", o.names)
	}
}

func TestWhatCanBeRaised(t *testing.T) {
	store, _ := newStore(t)
	at := time.Date(2020, 1, 2, 3, 4, 5, 6789, time.FixedZone("", 3600))
	env := es.Envelope{Event: Kept{}, ID: es.ID{1}, Time: at, Metadata: map[string]string{"k": "v"}, Tags: []string{"t"}}
	env2 := env
	env2.ID = es.ID{2}
	repo := Odds.Repository(store)
	raise := func(o *Odd) error {
		return errors.Join(
			o.Raise(Named{[]string{"a"}}), o.Raise(&Named{[]string{"b"}}), o.Raise(&Pointed{1}),
			o.Raise(Counted.Of(Generic[int]{3})), o.Raise(Ignored{}), o.Raise(env), o.Raise(&env2))
	}
	check := func(what string, o *Odd) {
		t.Helper()
		if o.Version() != 7 || o.names[0] != "b" || strings.Join(o.log, " ") != "pointed iii" {
			t.Errorf("%s: %+v", what, o)
		}
		r := o.rec
		if r.Stream != "odd-1" || r.Version != 7 || r.ID != env2.ID || r.Type != "odd.kept" || r.Time != at.UTC().Truncate(time.Microsecond) || len(r.Tags) != 1 {
			t.Errorf("%s: record %+v", what, r)
		}
	}
	made := Odds.New("1") // without a store
	if err := raise(made); err != nil {
		t.Fatal(err)
	}
	check("made", made)
	if got := Odds.Pending(made); len(got) != 7 || got[6] != (Kept{}) {
		t.Errorf("pending: %v", got)
	}
	must[aggregate.Result](t)(repo.Save(t.Context(), made))
	check("saved", made)
	if got := Odds.Pending(made); len(got) > 0 {
		t.Errorf("pending after the save: %v", got)
	}
	loaded := must[*Odd](t)(repo.Load(t.Context(), "1"))
	check("loaded", loaded)
	all := records(t, store, "odd-1")
	if meta, err := all[5].Metadata(); err != nil || meta["k"] != "v" {
		t.Errorf("metadata %v, %v", meta, err)
	}
	check("given", Odds.Given("1", Named{[]string{"a"}}, &Named{[]string{"b"}}, &Pointed{1}, Counted.Of(Generic[int]{3}), Ignored{}, env, env2))
}

// The store's clock and ids reach the aggregates of its repositories.
func TestClockAndIDs(t *testing.T) {
	now := time.Date(2025, 6, 7, 8, 9, 10, 0, time.UTC)
	n := byte(0)
	store, _ := newStore(t, es.WithClock(func() time.Time { return now }), es.WithIDs(func() es.ID { n++; return es.ID{15: n} }))
	repo := Odds.Repository(store)
	var raised es.Record
	must[aggregate.Result](t)(repo.Create(t.Context(), "1", func(o *Odd) error {
		err := o.Raise(Kept{})
		raised = o.rec
		now = now.Add(time.Hour) // until the save
		return err
	}))
	stored := records(t, store, "odd-1")[0]
	want := now.Add(-time.Hour)
	if raised.ID != (es.ID{15: 1}) || raised.Time != want || stored.ID != raised.ID || stored.Time != want {
		t.Errorf("raised %v at %v, stored %v at %v", raised.ID, raised.Time, stored.ID, stored.Time)
	}
}

func TestRootPromotesLittle(t *testing.T) {
	var names []string
	for typ, i := reflect.TypeFor[*Odd](), 0; i < typ.NumMethod(); i++ {
		names = append(names, typ.Method(i).Name)
	}
	if got := strings.Join(names, " "); got != "ID Raise Version" {
		t.Errorf("a Root promotes %s", got)
	}
}

// A type may have a codec of its own; the event is stored with it and read with it.
type upper struct{}

func (upper) Name() string { return "upper" }

func (upper) Marshal(v any) ([]byte, error) { return []byte(strings.ToUpper(string(v.(word)))), nil }

func (upper) Unmarshal(data []byte, v any) error {
	*v.(*word) = word(data)
	return nil
}

type word string

func TestCodecOfAType(t *testing.T) {
	said := es.NewType[word]("said").With(upper{})
	d := aggregate.Define("speaker", aggregate.OnType(said, func(o *Odd, w word) { o.log = append(o.log, string(w)) }))
	store, _ := newStore(t)
	repo := d.Repository(store)
	must[aggregate.Result](t)(repo.Create(t.Context(), "1", func(o *Odd) error { return o.Raise(said.Of("hello")) }))
	raw := must[es.Raw](t)(records(t, store, "speaker-1")[0].Raw())
	o := must[*Odd](t)(repo.Load(t.Context(), "1"))
	if raw.Encoding != "upper" || string(raw.Data) != "HELLO" || strings.Join(o.log, " ") != "HELLO" {
		t.Errorf("stored %s %s, loaded %v", raw.Encoding, raw.Data, o.log)
	}
}
