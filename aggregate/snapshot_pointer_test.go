package aggregate_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"testing"

	"github.com/go-es/es"
	"github.com/go-es/es/aggregate"
)

// toValues is a codec as that of protobuf: it takes pointers to structs, and to nothing
// else.
type toValues struct{}

func (toValues) Name() string { return "values" }

func (toValues) Marshal(v any) ([]byte, error) {
	if t := reflect.TypeOf(v); t.Kind() == reflect.Pointer && t.Elem().Kind() != reflect.Struct {
		return nil, fmt.Errorf("%v is no message", t)
	}
	return json.Marshal(v)
}

func (toValues) Unmarshal(data []byte, v any) error {
	if t := reflect.TypeOf(v); t.Elem().Kind() != reflect.Struct {
		return fmt.Errorf("%v is no message", t)
	}
	return json.Unmarshal(data, v)
}

// A state that is a pointer is decoded into what it points to, as an event is.
func TestSnapshotOfAPointer(t *testing.T) {
	store, f := newStore(t, es.WithCodec(toValues{}))
	type counter struct {
		aggregate.Root
		sum int64
	}
	type state struct{ Sum int64 }
	repo := aggregate.Define("counter",
		aggregate.On(func(c *counter, e Deposited) { c.sum += e.Amount }),
		aggregate.Snapshot("v1",
			func(c *counter) *state { return &state{c.sum} },
			func(c *counter, s *state) { c.sum = s.Sum }),
	).Repository(store, aggregate.SnapshotEvery(2), aggregate.OnSnapshotError(func(err error) { t.Error(err) }))
	add := func(c *counter) error { return c.Raise(Deposited{1}) }
	must[aggregate.Result](t)(repo.Create(t.Context(), "1", add))
	for range 9 {
		must[aggregate.Result](t)(repo.Update(t.Context(), "1", add))
	}
	f.read = 0
	if c := must[*counter](t)(repo.Load(t.Context(), "1")); c.sum != 10 || f.read > 2 {
		t.Errorf("%d, by %d events", c.sum, f.read)
	}
}
