package aggregate_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/go-es/es"
	"github.com/go-es/es/aggregate"
)

type Hidden struct{ *aggregate.Root }

type Deep struct{ *Hidden2 }

type Hidden2 struct{ aggregate.Root }

type Wrapped struct{ Base }

type Base struct{ aggregate.Root }

func TestDefine(t *testing.T) {
	named := func() aggregate.Option[Odd] { return aggregate.On(func(o *Odd, e Named) {}) }
	snapshot := func(version string) aggregate.Option[Odd] {
		return aggregate.Snapshot(version, func(o *Odd) int { return 0 }, func(o *Odd, s int) {})
	}
	for _, row := range []struct {
		name   string
		define func()
		want   string
	}{
		{"empty category", func() { aggregate.Define[Odd]("") }, "es: category: is empty"},
		{"a dash", func() { aggregate.Define[Odd]("a-b") }, `es: category "a-b": contains "-", which ends the category in the name of a stream`},
		{"long category", func() { aggregate.Define[Odd](strings.Repeat("c", 254)) }, `es: category "` + strings.Repeat("c", 40) + `": makes a name of 256 bytes, the limit is 255`},
		{"longest category", func() { aggregate.Define[Odd](strings.Repeat("c", 253)) }, "<nil>"},
		{"no UTF-8", func() { aggregate.Define[Odd]("\xff") }, `es: category "\xff": is not valid UTF-8`},
		{"NUL", func() { aggregate.Define[Odd]("\x00") }, `es: category "\x00": contains a NUL byte`},
		{"pointer to Root", func() { aggregate.Define[Hidden]("x") }, `es: define "x": aggregate_test.Hidden embeds a pointer to a Root: embed the Root itself`},
		{"pointer to a struct with Root", func() { aggregate.Define[Deep]("x") }, `es: define "x": aggregate_test.Deep embeds a pointer to a Root: embed the Root itself`},
		{"struct with Root", func() { aggregate.Define[Wrapped]("x") }, "<nil>"},
		{"nil option", func() { aggregate.Define("x", named(), nil) }, `es: define "x": option 1 is nil`},
		{"two handlers", func() { aggregate.Define("x", named(), named()) }, `es: define "x": events of type "odd.named" have two handlers`},
		{"two handlers of two kinds", func() {
			aggregate.Define("x", named(), aggregate.OnType(es.NewType[int]("odd.named"), func(*Odd, int) {}))
		}, `es: define "x": events of type "odd.named" have two handlers`},
		{"nil handler", func() { aggregate.On[Odd, Named](nil) }, `es: On: the handler of "odd.named" is nil`},
		{"nil handler of a type", func() { aggregate.OnType[Odd](Counted, nil) }, `es: OnType: the handler of "odd.counted" is nil`},
		{"nil handler of records", func() { aggregate.OnRecorded[Odd, Named](nil) }, `es: OnRecorded: the handler of "odd.named" is nil`},
		{"zero type", func() { aggregate.OnType(es.Type[int]{}, func(*Odd, int) {}) }, `es: OnType: the type is zero: make types with es.NewType`},
		{"unnamed type", func() { aggregate.On(func(*Odd, Unnamed) {}) }, `es: the method EventType of aggregate_test.Unnamed: event type: is empty`},
		{"reserved type", func() { aggregate.On(func(*Odd, Reserved) {}) }, `es: the method EventType of aggregate_test.Reserved: event type "$odd": names that begin with "$" are reserved`},
		{"interface", func() { aggregate.On(func(*Odd, es.Event) {}) }, `es: event type es.Event: it is an interface: name the concrete type`},
		{"nil OnShredded", func() { aggregate.OnShredded[Odd](nil) }, `es: OnShredded: the function is nil`},
		{"two OnShredded", func() {
			f := aggregate.OnShredded(func(*Odd, es.Record) {})
			aggregate.Define("x", f, f)
		}, `es: define "x": there are two OnShredded`},
		{"nil Snapshot", func() { aggregate.Snapshot[Odd, int]("v1", nil, nil) }, `es: Snapshot: a function is nil`},
		{"two Snapshot", func() { aggregate.Define("x", snapshot("v1"), snapshot("v2")) }, `es: define "x": there are two Snapshot`},
		{"Snapshot without a version", func() { aggregate.Define("x", snapshot("")) }, `es: version of the snapshot: is empty`},
		{"long version", func() { aggregate.Define("x", snapshot(strings.Repeat("v", 254))) }, `es: version "` + strings.Repeat("v", 40) + `" of the snapshot: makes a name of 256 bytes, the limit is 255`},
		{"nil Init", func() { aggregate.Define("x", named()).Init(nil) }, `es: define "x": Init needs one function`},
		{"two Init", func() { aggregate.Define("x", named()).Init(func(*Odd) {}).Init(func(*Odd) {}) }, `es: define "x": Init needs one function`},
		{"ignored and handled", func() { aggregate.Define("x", named()).Ignoring("odd.named") }, `es: define "x": events of type "odd.named" have a handler and are ignored`},
		{"ignored and no name", func() { aggregate.Define("x", named()).Ignoring("$x") }, `es: event type "$x": names that begin with "$" are reserved`},
		{"Init after use", func() {
			d := aggregate.Define("x", named())
			d.New("1")
			d.Init(func(*Odd) {})
		}, `es: define "x": Init after the definition was used`},
		{"Ignoring after use", func() {
			d := aggregate.Define("x", named())
			store, _ := newStore(t)
			d.Repository(store)
			d.Ignoring("a")
		}, `es: define "x": Ignoring after the definition was used`},
		{"given what has no handler", func() { Odds.Given("1", Ignored{}, Unknown{}) }, `es: given odd "1" at version 1: no handler for events of type "odd.unknown": give the definition one, or let it ignore the type`},
	} {
		got := "<nil>"
		func() {
			defer func() {
				if r := recover(); r != nil {
					got = fmt.Sprint(r)
				}
			}()
			row.define()
		}()
		if got != row.want {
			t.Errorf("%s:\n got %s\nwant %s", row.name, got, row.want)
		}
	}
}

func TestStreams(t *testing.T) {
	for _, row := range []struct {
		stream, id string
		ok         bool
	}{
		{"odd-1", "1", true},
		{"odd-a-b", "a-b", true},
		{"odd-", "", false},
		{"odd", "", false},
		{"odder-1", "", false},
		{"Odd-1", "", false},
		{"-1", "", false},
		{"", "", false},
	} {
		id, ok := Odds.ID(row.stream)
		if id != row.id || ok != row.ok {
			t.Errorf("%q: %q, %v", row.stream, id, ok)
		}
		if ok && Odds.Stream(id) != row.stream {
			t.Errorf("%q: its stream is %q", id, Odds.Stream(id))
		}
	}
	if o := Odds.New("a-b"); o.ID() != "a-b" || o.Version() != 0 || Odds.Category() != "odd" {
		t.Errorf("id %q, version %d, category %q", o.ID(), o.Version(), Odds.Category())
	}
	var zero Odd
	if zero.ID() != "" || zero.Version() != 0 || Odds.Pending(&zero) != nil {
		t.Errorf("a zero aggregate: id %q, version %d", zero.ID(), zero.Version())
	}
}

func TestTwoDefinitionsOfACategory(t *testing.T) {
	store, _ := newStore(t)
	again := aggregate.Define("odd", aggregate.On(func(o *Odd, e Named) {}))
	for range 2 {
		if _, err := Odds.Repository(store).Create(t.Context(), fmt.Sprint(len(records(t, store, "odd-0"))), func(o *Odd) error { return o.Raise(Ignored{}) }); err != nil {
			t.Fatal(err)
		}
	}
	inTx := store.With(store.Driver())
	const want = `category: "odd" has two definitions on this store`
	for _, s := range []*es.Store{store, inTx} {
		repo := again.Repository(s)
		_, err1 := repo.Load(t.Context(), "0")
		_, err2 := repo.LoadAt(t.Context(), "0", 1)
		_, err3 := repo.Create(t.Context(), "2", func(o *Odd) error { return o.Raise(Named{}) })
		_, err4 := repo.Update(t.Context(), "0", func(o *Odd) error { return o.Raise(Named{}) })
		_, err5 := repo.Save(t.Context(), again.New("3"))
		_, err6 := repo.Delete(t.Context(), "0", es.Purge)
		_, err7 := aggregate.Atomically(t.Context(), s, func(tx *aggregate.Tx) error {
			_, err := aggregate.Get(tx, again, "0")
			return err
		})
		for i, err := range []error{err1, err2, err3, err4, err5, err6, err7} {
			if !strings.Contains(text(err), want) || !errors.Is(err, es.ErrInvalid) {
				t.Errorf("%d: %v", i+1, err)
			}
		}
	}
	elsewhere, _ := newStore(t)
	if _, err := again.Repository(elsewhere).Load(t.Context(), "0"); !errors.Is(err, es.ErrStreamNotFound) {
		t.Errorf("another store: %v", err)
	}
}

func TestSettings(t *testing.T) {
	store, _ := newStore(t)
	for _, row := range []struct {
		set  aggregate.Setting
		want string
	}{
		{aggregate.Retries(-1), `es: load odd "1": Retries: -1 is negative`},
		{aggregate.CommandWindow(-1), `es: load odd "1": CommandWindow: -1 is negative`},
		{aggregate.SnapshotEvery(0), `es: load odd "1": SnapshotEvery: 0 is not positive`},
		{aggregate.SnapshotEvery(1), `es: load odd "1": SnapshotEvery: the definition of "odd" has no Snapshot`},
		{aggregate.OnSnapshotError(nil), `es: load odd "1": OnSnapshotError: is nil`},
		{nil, `es: load odd "1": setting: is nil`},
		{aggregate.Retries(0), `es: load odd "1": stream not found: "odd-1"`},
	} {
		if _, err := Odds.Repository(store, row.set).Load(t.Context(), "1"); text(err) != row.want {
			t.Errorf("got %v, want %s", err, row.want)
		}
	}
	if _, err := Odds.Repository(nil).Load(t.Context(), "1"); text(err) != `es: load odd "1": store: is nil` {
		t.Errorf("nil store: %v", err)
	}
	for _, row := range []struct {
		do   func() error
		want string
	}{
		{func() error { _, err := aggregate.Atomically(t.Context(), nil, nil); return err }, "es: atomically: store: is nil"},
		{func() error { _, err := aggregate.Atomically(t.Context(), store, nil); return err }, "es: atomically: function: is nil"},
		{func() error {
			_, err := aggregate.Atomically(t.Context(), store, nil, aggregate.Retries(-1))
			return err
		}, "es: atomically: Retries: -1 is negative"},
	} {
		if err := row.do(); text(err) != row.want {
			t.Errorf("got %v, want %s", err, row.want)
		}
	}
}
