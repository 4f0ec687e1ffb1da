package es_test

import (
	"bytes"
	"context"
	"encoding/gob"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/big"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-es/es"
	"github.com/go-es/es/driver"
	"github.com/go-es/es/drivers/memory"
)

// opened names its type by value.
type opened struct {
	Owner string
	Euros money
	From  netip.Addr // MarshalText of another package
}

func (opened) EventType() string { return "account.opened" }

// money chooses its form with MarshalJSON: "12.34".
type money struct{ cents int64 }

func (m money) MarshalJSON() ([]byte, error) {
	return fmt.Appendf(nil, `"%d.%02d"`, m.cents/100, m.cents%100), nil
}

func (m *money) UnmarshalJSON(b []byte) error {
	var euros, cents int64
	if _, err := fmt.Sscanf(string(b), `"%d.%d"`, &euros, &cents); err != nil {
		return err
	}
	m.cents = 100*euros + cents
	return nil
}

// closed names its type by pointer.
type closed struct{ Why string }

func (*closed) EventType() string { return "account.closed" }

// changed is generic, with a name for each instance.
type changed[T any] struct{ From, To T }

func (changed[T]) EventType() string { return fmt.Sprintf("changed.%v", reflect.TypeFor[T]()) }

// Events of other kinds than struct.
type (
	noted    string
	counted  int
	listed   []string
	mapped   map[string]int
	pinged   struct{}
	embedded struct {
		opened
		More int
	}
)

func (noted) EventType() string    { return "noted" }
func (counted) EventType() string  { return "counted" }
func (listed) EventType() string   { return "listed" }
func (mapped) EventType() string   { return "mapped" }
func (pinged) EventType() string   { return "pinged" }
func (embedded) EventType() string { return "embedded" }

// gobCodec is a codec of another kind than JSON.
type gobCodec struct{}

func (gobCodec) Name() string { return "gob" }

func (gobCodec) Marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	err := gob.NewEncoder(&b).Encode(v)
	return b.Bytes(), err
}

func (gobCodec) Unmarshal(data []byte, v any) error {
	return gob.NewDecoder(bytes.NewReader(data)).Decode(v)
}

// signal has a field of a type that JSON cannot encode and that is not ours.
type signal struct{ Samples []complex128 }

func (signal) EventType() string { return "signal" }

// signalCodec encodes that field itself, and leaves the rest to JSON.
type signalCodec struct{}

func (signalCodec) Name() string { return "json-complex.1" }

func (signalCodec) Marshal(v any) ([]byte, error) {
	if p, ok := v.(*signal); ok {
		v = *p
	}
	if s, ok := v.(signal); ok {
		pairs := [][2]float64{}
		for _, c := range s.Samples {
			pairs = append(pairs, [2]float64{real(c), imag(c)})
		}
		return json.Marshal(pairs)
	}
	return json.Marshal(v)
}

func (signalCodec) Unmarshal(data []byte, v any) error {
	s, ok := v.(*signal)
	if !ok {
		return json.Unmarshal(data, v)
	}
	var pairs [][2]float64
	if err := json.Unmarshal(data, &pairs); err != nil {
		return err
	}
	for _, p := range pairs {
		s.Samples = append(s.Samples, complex(p[0], p[1]))
	}
	return nil
}

var (
	ann  = opened{"Ann", money{1234}, netip.MustParseAddr("2001:db8::1")}
	annJ = `{"Owner":"Ann","Euros":"12.34","From":"2001:db8::1"}`

	lasted   = es.NewType[time.Duration]("lasted")
	computed = es.NewType[*big.Int]("computed")
	guessed  = es.NewType[any]("guessed")
	sampled  = es.NewType[signal]("sampled").With(gobCodec{})
	opening  = es.TypeOf[opened]()
	closing  = es.TypeOf[*closed]()
)

// as is es.As, and of is Type.As, with a result of any type.
func as[T es.Event](r es.Record) (any, error) { return es.As[T](r) }

func of[T any](t es.Type[T]) func(es.Record) (any, error) {
	return func(r es.Record) (any, error) { return t.As(r) }
}

func TestEventsComeBack(t *testing.T) {
	for _, row := range []struct {
		name  string
		event es.Event
		raw   es.Raw // as it is stored; Data of gob is not compared
		as    func(es.Record) (any, error)
		want  any
	}{
		{"value", ann, es.Raw{"account.opened", "json", []byte(annJ)}, as[opened], ann},
		{"value read as pointer", ann, es.Raw{"account.opened", "json", []byte(annJ)}, as[*opened], &ann},
		{"pointer", &ann, es.Raw{"account.opened", "json", []byte(annJ)}, as[opened], ann},
		{"pointer read as pointer", &ann, es.Raw{"account.opened", "json", []byte(annJ)}, as[*opened], &ann},
		{"method of the pointer", &closed{"bored"}, es.Raw{"account.closed", "json", []byte(`{"Why":"bored"}`)}, as[*closed], &closed{"bored"}},
		{"generic", changed[int]{1, 2}, es.Raw{"changed.int", "json", []byte(`{"From":1,"To":2}`)}, as[changed[int]], changed[int]{1, 2}},
		{"generic of another", &changed[money]{money{1}, money{250}}, es.Raw{"changed.es_test.money", "json", []byte(`{"From":"0.01","To":"2.50"}`)}, as[changed[money]], changed[money]{money{1}, money{250}}},
		{"string", noted("<é>"), es.Raw{"noted", "json", []byte(`"\u003cé\u003e"`)}, as[noted], noted("<é>")},
		{"number", counted(-7), es.Raw{"counted", "json", []byte(`-7`)}, as[counted], counted(-7)},
		{"slice", listed{"a", "b"}, es.Raw{"listed", "json", []byte(`["a","b"]`)}, as[listed], listed{"a", "b"}},
		{"nil slice", listed(nil), es.Raw{"listed", "json", []byte(`null`)}, as[listed], listed(nil)},
		{"map", mapped{"b": 2, "a": 1}, es.Raw{"mapped", "json", []byte(`{"a":1,"b":2}`)}, as[mapped], mapped{"a": 1, "b": 2}},
		{"empty", pinged{}, es.Raw{"pinged", "json", []byte(`{}`)}, as[pinged], pinged{}},
		{"embedded", embedded{ann, 1}, es.Raw{"embedded", "json", []byte(annJ[:len(annJ)-1] + `,"More":1}`)}, as[embedded], embedded{ann, 1}},
		{"descriptor of a method's type", opening.Of(ann), es.Raw{"account.opened", "json", []byte(annJ)}, of(opening), ann},
		{"descriptor and As", opening.Of(ann), es.Raw{"account.opened", "json", []byte(annJ)}, as[opened], ann},
		{"As and descriptor", &closed{"bored"}, es.Raw{"account.closed", "json", []byte(`{"Why":"bored"}`)}, of(closing), &closed{"bored"}},
		{"foreign", lasted.Of(time.Second), es.Raw{"lasted", "json", []byte(`1000000000`)}, of(lasted), time.Second},
		{"foreign pointer", computed.Of(big.NewInt(1).Lsh(big.NewInt(1), 70)), es.Raw{"computed", "json", []byte(`1180591620717411303424`)}, of(computed), big.NewInt(1).Lsh(big.NewInt(1), 70)},
		{"anything", guessed.Of(map[string]any{"a": "b"}), es.Raw{"guessed", "json", []byte(`{"a":"b"}`)}, of(guessed), map[string]any{"a": "b"}},
		{"codec of the type", sampled.Of(signal{[]complex128{1i}}), es.Raw{"sampled", "gob", nil}, of(sampled), signal{[]complex128{1i}}},
		{"envelope", es.Envelope{Event: ann}, es.Raw{"account.opened", "json", []byte(annJ)}, as[opened], ann},
		{"pointer to envelope", &es.Envelope{Event: lasted.Of(time.Second)}, es.Raw{"lasted", "json", []byte(`1000000000`)}, of(lasted), time.Second},
		{"raw", es.Raw{"account.opened", "json", []byte(`{"Owner": "Bob"} `)}, es.Raw{"account.opened", "json", []byte(`{"Owner": "Bob"} `)}, as[opened], opened{Owner: "Bob"}},
		{"pointer to raw", &es.Raw{"noted", "json", []byte(`"x"`)}, es.Raw{"noted", "json", []byte(`"x"`)}, as[noted], noted("x")},
		{"raw in an envelope", es.Envelope{Event: es.Raw{"noted", "json", []byte(`"x"`)}}, es.Raw{"noted", "json", []byte(`"x"`)}, as[noted], noted("x")},
	} {
		t.Run(row.name, func(t *testing.T) {
			if got := row.event.EventType(); got != row.raw.Type {
				t.Errorf("EventType: %q, want %q", got, row.raw.Type)
			}
			s := over(t, memory.New())
			put(t, s, "s", row.event)
			r := all(t, s.Read(t.Context(), "s"))[0]
			raw, err := r.Raw()
			if row.raw.Data == nil {
				raw.Data = nil
			}
			if err != nil || r.Type != row.raw.Type || !reflect.DeepEqual(raw, row.raw) {
				t.Errorf("stored as %s %s, %v, want %s", raw.Encoding, raw.Data, err, row.raw.Data)
			}
			for range 2 { // each time anew
				got, err := row.as(r)
				if err != nil || !reflect.DeepEqual(got, row.want) {
					t.Errorf("read as %#v, %v, want %#v", got, err, row.want)
				}
			}
		})
	}
}

// A value type of a package that knows neither JSON nor es goes through a codec
// of one's own.
func TestForeignTypeInAField(t *testing.T) {
	want := signal{[]complex128{1 + 2i, -3}}
	s := over(t, memory.New())
	if _, err := s.Append(t.Context(), "s", es.NoStream, want); err == nil || err.Error() != `es: event 0 for stream "s": type "signal" cannot be encoded as json: json: unsupported type: complex128` {
		t.Errorf("JSON encodes it: %v", err)
	}
	s = over(t, s.Driver(), es.WithCodec(signalCodec{}))
	put(t, s, "s", want, &want, ann)
	records := all(t, s.Read(t.Context(), "s"))
	for _, r := range records[:2] {
		if got, err := es.As[signal](r); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%v, %v", got, err)
		}
		if got, err := es.As[*signal](r); err != nil || !reflect.DeepEqual(*got, want) {
			t.Errorf("%v, %v", got, err)
		}
		if raw, err := r.Raw(); err != nil || string(raw.Data) != "[[1,2],[-3,0]]" || raw.Encoding != "json-complex.1" {
			t.Errorf("stored as %s %s, %v", raw.Encoding, raw.Data, err)
		}
	}
	if got, err := es.As[opened](records[2]); err != nil || got != ann {
		t.Errorf("%v, %v", got, err)
	}
}

func TestEnvelope(t *testing.T) {
	id := es.ID{1, 2, 3}
	at := time.Date(1815, 12, 10, 1, 2, 3, 4567, time.FixedZone("", 3600))
	s := over(t, memory.New())
	ctx := es.WithMetadata(t.Context(), map[string]string{"user": "u1", "trace": "t1"})
	out, err := s.Append(ctx, "s", es.NoStream,
		es.Envelope{Event: ann, ID: id, Time: at, Metadata: map[string]string{"user": "u2", "ip": "::1"}, Tags: []string{"b", "a", "b"}},
		es.Envelope{Event: ann},
		ann,
	)
	if err != nil || out.Last != 3 {
		t.Fatal(out, err)
	}
	records := all(t, s.ReadAll(t.Context()))
	r := records[0]
	if r.ID != id || r.Time != time.Date(1815, 12, 10, 0, 2, 3, 4000, time.UTC) || !slices.Equal(r.Tags, []string{"b", "a", "b"}) {
		t.Errorf("id %v, time %v, tags %q", r.ID, r.Time, r.Tags)
	}
	if m, err := r.Metadata(); err != nil || !maps.Equal(m, map[string]string{"user": "u2", "trace": "t1", "ip": "::1"}) {
		t.Errorf("metadata %v, %v", m, err)
	}
	for _, r := range records[1:] {
		if r.ID.IsZero() || r.ID == id || time.Since(r.Time).Abs() > time.Minute || len(r.Tags) != 0 {
			t.Errorf("id %v, time %v, tags %q", r.ID, r.Time, r.Tags)
		}
		if m, err := r.Metadata(); err != nil || !maps.Equal(m, map[string]string{"user": "u1", "trace": "t1"}) {
			t.Errorf("metadata %v, %v", m, err)
		}
	}
}

// A copy through Record.Envelope is the event itself: only stream, version and
// position are the other store's.
func TestCopyKeepsTheEvent(t *testing.T) {
	ctx := es.WithMetadata(t.Context(), map[string]string{"user": "u1"})
	for _, how := range []struct {
		name     string
		from, to []es.Option
	}{
		{"plain", nil, nil},
		{"to another codec", nil, []es.Option{es.WithCodec(gobCodec{})}},
		{"from compressed and encrypted", []es.Option{es.Compress(es.Zstd), es.Encrypt(es.SingleKey(newRing(t)), es.EncryptAll())}, nil},
		{"to compressed and encrypted", nil, []es.Option{es.Compress(es.Zstd), es.Encrypt(es.SingleKey(newRing(t)), es.EncryptAll())}},
	} {
		t.Run(how.name, func(t *testing.T) {
			from, to := over(t, memory.New(), how.from...), over(t, memory.New(), how.to...)
			long := opened{Owner: strings.Repeat("Ann ", 100)}
			if _, err := from.Append(ctx, "s", es.NoStream, es.Envelope{Event: long, Tags: []string{"t"}}, es.Envelope{Event: pinged{}, Time: time.Unix(1, 0)}); err != nil {
				t.Fatal(err)
			}
			put(t, to, "other", noted("x"))
			records := all(t, from.Read(ctx, "s"))
			for _, r := range records {
				env, err := r.Envelope()
				if err != nil {
					t.Fatal(err)
				}
				if _, err := to.Append(t.Context(), "copy", es.Any, env); err != nil {
					t.Fatal(err)
				}
			}
			copies := all(t, to.Read(t.Context(), "copy"))
			if len(copies) != len(records) {
				t.Fatalf("%d copies", len(copies))
			}
			for i, c := range copies {
				r := records[i]
				if c.ID != r.ID || c.Time != r.Time || c.Type != r.Type || !slices.Equal(c.Tags, r.Tags) || c.Version != r.Version {
					t.Errorf("%+v became %+v", r, c)
				}
				was, err1 := r.Envelope()
				is, err2 := c.Envelope()
				if err1 != nil || err2 != nil || !reflect.DeepEqual(was, is) {
					t.Errorf("%+v, %v became %+v, %v", was, err1, is, err2)
				}
			}
			if got, err := es.As[opened](copies[0]); err != nil || got != long {
				t.Errorf("%+v, %v", got, err)
			}
		})
	}
}

// Raw gives data that the caller may change.
func TestRawBelongsToTheCaller(t *testing.T) {
	s := over(t, memory.New())
	put(t, s, "s", noted("x"))
	r := all(t, s.Read(t.Context(), "s"))[0]
	raw, err := r.Raw()
	if err != nil {
		t.Fatal(err)
	}
	clear(raw.Data)
	if got, err := es.As[noted](r); err != nil || got != "x" {
		t.Errorf("%q, %v", got, err)
	}
}

// What a caller does with the bytes and tags of its events after an append of
// unknown outcome changes nothing of what Resend sends.
func TestResendSendsWhatWasAppended(t *testing.T) {
	f := overMemory()
	f.onAppend = func(context.Context, driver.AppendRequest) (driver.AppendResult, error) {
		return driver.AppendResult{}, &driver.UnknownOutcomeError{Parts: []driver.UnknownPart{{Stream: "s"}}, Err: errBroken}
	}
	s := over(t, f)
	raw := es.Raw{Type: "noted", Encoding: "json", Data: []byte(`"x"`)}
	tags := []string{"a"}
	_, err := s.Append(t.Context(), "s", es.NoStream, es.Envelope{Event: raw, Tags: tags})
	var unknown *es.UnknownOutcomeError
	if !errors.As(err, &unknown) {
		t.Fatal(err)
	}
	raw.Data[1], tags[0] = 'y', "b"
	f.onAppend = nil
	if _, err := unknown.Resend(t.Context()); err != nil {
		t.Fatal(err)
	}
	if r := onDisk(t, f)[0]; string(r.Data) != `"x"` || r.Tags[0] != "a" {
		t.Errorf("%s, %q", r.Data, r.Tags)
	}
}

func TestFreezeKeepsRaw(t *testing.T) {
	s := over(t, memory.New())
	raw := es.Raw{Type: "noted", Encoding: "json", Data: []byte(`"x"`)}
	env, err := s.Freeze(raw)
	if err != nil {
		t.Fatal(err)
	}
	raw.Data[1] = 'y'
	put(t, s, "s", env)
	if r := onDisk(t, s.Driver())[0]; string(r.Data) != `"x"` {
		t.Errorf("%s", r.Data)
	}
}

// Types with a wrong method.
type (
	nameless  struct{}
	reserved  struct{}
	longNamed struct{}
	varying   struct{ Name string }
	panicking struct{ inner *varying }
	promoted  struct{ es.Event }
	asked     func()
)

func (nameless) EventType() string    { return "" }
func (reserved) EventType() string    { return "$deleted" }
func (longNamed) EventType() string   { return strings.Repeat("n", 256) }
func (v varying) EventType() string   { return "varying" + v.Name }
func (p panicking) EventType() string { return p.inner.Name }
func (asked) EventType() string       { return "asked" }

// panicCodec panics on whatever it is given.
type panicCodec struct{}

func (panicCodec) Name() string                { return "panic" }
func (panicCodec) Marshal(any) ([]byte, error) { panic("no") }
func (panicCodec) Unmarshal([]byte, any) error { panic("no") }

var loop = func() map[string]any { m := map[string]any{}; m["m"] = m; return m }()

// Every event that cannot be stored is refused with a sentence, and the driver
// sees nothing, not even of the events before it.
func TestEventsRefused(t *testing.T) {
	var (
		nilEnvelope *es.Envelope
		nilRaw      *es.Raw
		meta        = map[string]string{"k": "v", "bad": "a\xff"}
	)
	for _, row := range []struct {
		name  string
		event es.Event
		want  string // after `es: event 1 for stream "s": `
		is    error
	}{
		{"nil", nil, "event: is nil", es.ErrInvalid},
		{"nil pointer", (*opened)(nil), "event: is a nil *es_test.opened", es.ErrInvalid},
		{"nil pointer with the method", (*closed)(nil), "event: is a nil *es_test.closed", es.ErrInvalid},
		{"nil pointer to an envelope", nilEnvelope, "event: is a nil *es.Envelope", es.ErrInvalid},
		{"nil pointer to a raw", nilRaw, "event: is a nil *es.Raw", es.ErrInvalid},
		{"empty envelope", es.Envelope{}, "event of an Envelope: is nil", es.ErrInvalid},
		{"nil pointer in an envelope", &es.Envelope{Event: (*closed)(nil)}, "event of an Envelope: is a nil *es_test.closed", es.ErrInvalid},
		{"envelope in an envelope", es.Envelope{Event: es.Envelope{Event: ann}}, "event: is an Envelope within an Envelope", es.ErrInvalid},
		{"pointer to one in one", &es.Envelope{Event: &es.Envelope{Event: ann}}, "event: is an Envelope within an Envelope", es.ErrInvalid},
		{"unnamed", nameless{}, "the method EventType of es_test.nameless: event type: is empty", es.ErrInvalid},
		{"reserved", &reserved{}, `the method EventType of *es_test.reserved: event type "$deleted": names that begin with "$" are reserved`, es.ErrInvalid},
		{"long name", longNamed{}, "the method EventType of es_test.longNamed: event type: \"" + strings.Repeat("n", 40) + "\"… has 256 bytes, the limit is 255", es.ErrInvalid},
		{"not constant", varying{"A"}, `event type "varyingA": the method EventType of es_test.varying must return a constant, and returns "varying" for a fresh value`, es.ErrInvalid},
		{"panics on a fresh value", panicking{&varying{"A"}}, "event type es_test.panicking: its method EventType must return a constant, and panics on a fresh value: runtime error: invalid memory address or nil pointer dereference", es.ErrInvalid},
		{"method of an interface", promoted{ann}, "event type es_test.promoted: its method EventType must return a constant, and panics on a fresh value: runtime error: invalid memory address or nil pointer dereference", es.ErrInvalid},
		{"zero type", es.Type[int]{}.Of(1), "event: is of a zero Type: make types with NewType", es.ErrInvalid},
		{"nil by descriptor", computed.Of(nil), `event of type "computed": is a nil *big.Int`, es.ErrInvalid},
		{"nil interface by descriptor", guessed.Of(nil), `event of type "guessed": is nil`, es.ErrInvalid},
		{"raw without encoding", es.Raw{Type: "t"}, `the encoding of a Raw event: name "" of a codec: it must have 1 to 24 characters`, es.ErrInvalid},
		{"raw that claims compression", es.Raw{Type: "t", Encoding: "json+zstd"}, `the encoding of a Raw event: name "json+zstd" of a codec: it may have a-z, 0-9, "-", "." and "_" only`, es.ErrInvalid},
		{"raw that claims encryption", &es.Raw{Type: "t", Encoding: "json+aead1"}, `the encoding of a Raw event: name "json+aead1" of a codec: it may have a-z, 0-9, "-", "." and "_" only`, es.ErrInvalid},
		{"raw in capitals", es.Raw{Type: "t", Encoding: "JSON"}, `the encoding of a Raw event: name "JSON" of a codec: it may have a-z, 0-9, "-", "." and "_" only`, es.ErrInvalid},
		{"raw without type", es.Raw{Encoding: "json"}, "event type: is empty", es.ErrInvalid},
		{"raw of a reserved type", es.Raw{Type: "$x", Encoding: "json"}, `event type "$x": names that begin with "$" are reserved`, es.ErrInvalid},
		{"raw of a type that is no UTF-8", es.Raw{Type: "\xff", Encoding: "json"}, `event type: "\xff" is not valid UTF-8`, es.ErrInvalid},
		{"channel", guessed.Of(make(chan int)), `type "guessed" cannot be encoded as json: json: unsupported type: chan int`, nil},
		{"function", asked(func() {}), `type "asked" cannot be encoded as json: json: unsupported type: es_test.asked`, nil},
		{"NaN", guessed.Of(math.NaN()), `type "guessed" cannot be encoded as json: json: unsupported value: NaN`, nil},
		{"loop", guessed.Of(loop), `type "guessed" cannot be encoded as json: json: unsupported value: encountered a cycle via map[string]interface {}`, nil},
		{"codec that panics", es.NewType[int]("p").With(panicCodec{}).Of(1), `type "p" cannot be encoded as panic: the codec panics: no`, nil},
		{"metadata that is no UTF-8", es.Envelope{Event: ann, Metadata: meta}, `metadata "bad": is not valid UTF-8`, es.ErrInvalid},
		{"name of metadata that is no UTF-8", es.Envelope{Event: ann, Metadata: map[string]string{"a\xff": ""}}, `metadata "a\xff": is not valid UTF-8`, es.ErrInvalid},
	} {
		t.Run(row.name, func(t *testing.T) {
			f := overMemory()
			s := over(t, fakeGroup{fake: f})
			_, err := s.Append(t.Context(), "s", es.Any, ann, row.event)
			if want := `es: event 1 for stream "s": ` + row.want; err == nil || err.Error() != want {
				t.Errorf("got  %v\nwant %s", err, want)
			}
			if row.is != nil && !errors.Is(err, row.is) {
				t.Errorf("%v is not %v", err, row.is)
			}
			if _, err := s.AppendAll(t.Context(), es.To("r", es.Any, ann), es.To("s", es.Any, ann, row.event)); err == nil || err.Error() != `es: event 1 for stream "s": `+row.want {
				t.Errorf("AppendAll: %v", err)
			}
			if n := f.calls(); n != 0 {
				t.Errorf("the driver was called %d times", n)
			}
		})
	}
	f := overMemory()
	_, err := over(t, f).Append(es.WithMetadata(t.Context(), meta), "s", es.Any, ann)
	if err == nil || err.Error() != `es: metadata "bad": is not valid UTF-8` || f.calls() != 0 {
		t.Errorf("metadata of the context: %v, %d calls", err, f.calls())
	}
	_, err = over(t, f).Append(t.Context(), "s", es.Any, es.Envelope{Event: ann, Time: time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)})
	if err == nil || err.Error() != `es: time of event 0 to stream "s": 10000-01-01T00:00:00Z is not within the years 1 to 9999` || f.calls() != 0 {
		t.Errorf("time: %v, %d calls", err, f.calls())
	}
	for _, far := range []time.Time{time.Unix(math.MaxInt64, 0), time.Unix(math.MinInt64, 0), time.Date(590_000, 1, 1, 0, 0, 0, 0, time.UTC)} { // as microseconds, they would be other times
		if _, err = over(t, f).Append(t.Context(), "s", es.Any, es.Envelope{Event: ann, Time: far}); !errors.Is(err, es.ErrInvalid) || f.calls() != 0 {
			t.Errorf("time %v: %v, %d calls", far, err, f.calls())
		}
	}
	_, err = over(t, f).Append(t.Context(), "s", es.Any, es.Envelope{Event: ann, Tags: []string{"a", ""}})
	if err == nil || err.Error() != `es: tag of event 0 to stream "s": is empty` || f.calls() != 0 {
		t.Errorf("tag: %v, %d calls", err, f.calls())
	}
}

// What counts against a limit is what is stored: compressed, and with what
// encryption adds.
func TestSizeIsWhatIsStored(t *testing.T) {
	caps := memory.New().Caps()
	fits := strings.Repeat("x", caps.MaxEventBytes-64-len("noted")-len("json")-2)
	for _, row := range []struct {
		name string
		opts []es.Option
		text string
		ok   bool
	}{
		{"at the limit", nil, fits, true},
		{"above it", nil, fits + "x", false},
		{"above it, compressed", []es.Option{es.Compress(es.Zstd)}, fits + fits + fits, true},
		{"at the limit, encrypted", []es.Option{es.Encrypt(es.SingleKey(newRing(t)), es.EncryptAll())}, fits, false},
	} {
		f := overMemory()
		s := over(t, f, row.opts...)
		_, err := s.Append(t.Context(), "s", es.Any, noted(row.text))
		var large *es.TooLargeError
		switch {
		case row.ok && err != nil:
			t.Errorf("%s: %v", row.name, err)
		case !row.ok && (!errors.As(err, &large) || large.What != `bytes of event 0 to stream "s"` || large.Limit != caps.MaxEventBytes || f.calls() != 0):
			t.Errorf("%s: %v, %d calls", row.name, err, f.calls())
		}
	}
}

func TestTypesRefused(t *testing.T) {
	for _, row := range []struct {
		name string
		make func()
		want string
	}{
		{"no name", func() { es.NewType[int]("") }, "es: event type: is empty"},
		{"reserved", func() { es.NewType[int]("$x") }, `es: event type "$x": names that begin with "$" are reserved`},
		{"NUL", func() { es.NewType[int]("a\x00") }, `es: event type: "a\x00" contains a NUL byte`},
		{"interface", func() { es.TypeOf[es.Event]() }, "es: event type es.Event: it is an interface: name the concrete type"},
		{"unnamed", func() { es.TypeOf[nameless]() }, "es: the method EventType of es_test.nameless: event type: is empty"},
		{"panics", func() { es.TypeOf[panicking]() }, "es: event type es_test.panicking: its method EventType must return a constant, and panics on a fresh value: runtime error: invalid memory address or nil pointer dereference"},
		{"nil codec", func() { es.NewType[int]("i").With(nil) }, "es: codec: is nil"},
		{"codec without a name", func() { es.NewType[int]("i").With(renamedCodec{gobCodec{}, ""}) }, `es: name "" of a codec: it must have 1 to 24 characters`},
	} {
		func() {
			defer func() {
				err, _ := recover().(error)
				if err == nil || err.Error() != row.want || !errors.Is(err, es.ErrInvalid) {
					t.Errorf("%s: panics with %v, want %s", row.name, err, row.want)
				}
			}()
			row.make()
		}()
	}
	r := es.Record{Type: "t"}
	if _, err := es.As[es.Event](r); !errors.Is(err, es.ErrInvalid) || err.Error() != "es: event type es.Event: it is an interface: name the concrete type" {
		t.Errorf("As of an interface: %v", err)
	}
	if _, err := es.As[nameless](r); !errors.Is(err, es.ErrInvalid) {
		t.Errorf("As of an unnamed type: %v", err)
	}
}

func TestType(t *testing.T) {
	s := over(t, memory.New())
	put(t, s, "s", ann, lasted.Of(time.Second))
	records := all(t, s.Read(t.Context(), "s"))
	if opening.Name() != "account.opened" || lasted.Name() != "lasted" || closing.Name() != "account.closed" {
		t.Errorf("names %q, %q, %q", opening.Name(), lasted.Name(), closing.Name())
	}
	if !opening.Is(records[0]) || opening.Is(records[1]) || lasted.Is(records[0]) || !lasted.Is(records[1]) {
		t.Error("Is is wrong")
	}
	var d *es.DecodeError
	if _, err := lasted.As(records[0]); !errors.As(err, &d) || d.Stream != "s" || d.Version != 1 || d.Position != records[0].Position || d.Type != "account.opened" ||
		err.Error() != fmt.Sprintf(`es: event 1 of stream "s" (type "account.opened", position %d): it is of type "account.opened", and was to be read as "lasted"`, records[0].Position) {
		t.Errorf("another type: %v", err)
	}
}

// renamedCodec is a codec under another name.
type renamedCodec struct {
	es.Codec
	name string
}

func (c renamedCodec) Name() string { return c.name }
