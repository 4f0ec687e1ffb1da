package estest_test

import (
	"errors"
	"fmt"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/go-es/es"
	"github.com/go-es/es/drivers/memory"
)

// protoCodec is the codec that a program with Protocol Buffers writes.
type protoCodec struct {
	name      string
	marshal   func(proto.Message) ([]byte, error)
	unmarshal func([]byte, proto.Message) error
}

func (c protoCodec) Name() string { return c.name }

func (c protoCodec) Marshal(v any) ([]byte, error) {
	m, ok := v.(proto.Message)
	if !ok {
		return nil, fmt.Errorf("%T is no message", v)
	}
	return c.marshal(m)
}

func (c protoCodec) Unmarshal(data []byte, v any) error {
	m, ok := v.(proto.Message)
	if !ok {
		return fmt.Errorf("%T is no message", v)
	}
	return c.unmarshal(data, m)
}

var (
	binaryPB = protoCodec{"proto", proto.Marshal, proto.Unmarshal}
	jsonPB   = protoCodec{"protojson", protojson.Marshal, protojson.Unmarshal}

	due     = es.NewType[*timestamppb.Timestamp]("due")
	extra   = es.NewType[*structpb.Struct]("extra")
	renamed = es.NewType[*wrapperspb.StringValue]("renamed")
	lasted  = es.NewType[*durationpb.Duration]("lasted")
)

func messages(t *testing.T) (*timestamppb.Timestamp, *structpb.Struct, *wrapperspb.StringValue) {
	t.Helper()
	s, err := structpb.NewStruct(map[string]any{"a": 1.5, "b": []any{"x", nil}})
	if err != nil {
		t.Fatal(err)
	}
	return &timestamppb.Timestamp{Seconds: 1700000000, Nanos: 5}, s, wrapperspb.String("é")
}

func TestProtobuf(t *testing.T) {
	at, more, name := messages(t)
	for _, codec := range []protoCodec{binaryPB, jsonPB} {
		for how, row := range map[string]struct {
			opts []es.Option
			of   func() []es.Event
			as   func([]es.Record) []func() (proto.Message, error)
		}{
			"codec of the store": {
				[]es.Option{es.WithCodec(codec)},
				func() []es.Event { return []es.Event{due.Of(at), extra.Of(more), renamed.Of(name)} },
				func(r []es.Record) []func() (proto.Message, error) {
					return []func() (proto.Message, error){
						func() (proto.Message, error) { return due.As(r[0]) },
						func() (proto.Message, error) { return extra.As(r[1]) },
						func() (proto.Message, error) { return renamed.As(r[2]) },
					}
				},
			},
			"codec of the types": {
				nil,
				func() []es.Event {
					return []es.Event{due.With(codec).Of(at), extra.With(codec).Of(more), renamed.With(codec).Of(name)}
				},
				func(r []es.Record) []func() (proto.Message, error) {
					return []func() (proto.Message, error){
						func() (proto.Message, error) { return due.With(codec).As(r[0]) },
						func() (proto.Message, error) { return extra.With(codec).As(r[1]) },
						func() (proto.Message, error) { return renamed.With(codec).As(r[2]) },
					}
				},
			},
		} {
			t.Run(codec.name+", "+how, func(t *testing.T) {
				s := open(t, memory.New(), row.opts...)
				appendTo(t, s, "s", row.of()...)
				got := records(t, s)
				for i, as := range row.as(got) {
					want := []proto.Message{at, more, name}[i]
					m, err := as()
					if err != nil || !proto.Equal(m, want) {
						t.Errorf("%v, %v, want %v", m, err, want)
					}
					raw, err := got[i].Raw()
					if err != nil || raw.Encoding != codec.name {
						t.Errorf("%+v, %v", raw, err)
					}
					again := want.ProtoReflect().New().Interface()
					if err := codec.Unmarshal(raw.Data, again); err != nil || !proto.Equal(again, want) {
						t.Errorf("the bytes stored: %v, %v", again, err)
					}
				}
			})
		}
	}
}

// Messages by descriptor and events with a method share a store whose codec is
// JSON.
func TestProtobufBesideJSON(t *testing.T) {
	at, _, _ := messages(t)
	dueJSON := due.With(jsonPB)
	s := open(t, memory.New(), es.ReadCodecs(jsonPB))
	appendTo(t, s, "s", signedUp{"ann@example.com"}, dueJSON.Of(at))
	got := records(t, s)
	if ev, err := es.As[signedUp](got[0]); err != nil || ev.Email != "ann@example.com" {
		t.Errorf("%v, %v", ev, err)
	}
	if m, err := due.As(got[1]); err != nil || !proto.Equal(m, at) { // by the store's codecs
		t.Errorf("%v, %v", m, err)
	}
	if raw, err := got[1].Raw(); err != nil || string(raw.Data) != `"2023-11-14T22:13:20.000000005Z"` {
		t.Errorf("%s, %v", raw.Data, err)
	}
	for _, r := range got {
		if err := r.Err(); err != nil {
			t.Error(err)
		}
	}
}

func TestProtobufErrors(t *testing.T) {
	s := open(t, memory.New(), es.WithCodec(binaryPB))
	if _, err := s.Append(t.Context(), "s", es.Any, due.Of(nil)); !errors.Is(err, es.ErrInvalid) {
		t.Errorf("a nil message: %v", err)
	}
	if _, err := s.Append(t.Context(), "s", es.Any, renamed.Of(wrapperspb.String("\xff"))); err == nil {
		t.Error("a string that is no UTF-8 was encoded")
	}
	if _, err := s.Append(t.Context(), "s", es.Any, signedUp{}); err == nil || err.Error() != `es: event 0 for stream "s": type "user.signed_up" cannot be encoded as proto: estest_test.signedUp is no message` {
		t.Errorf("no message: %v", err)
	}
	appendTo(t, s, "s", es.Raw{Type: "due", Encoding: "proto", Data: []byte("\xff\xff")}, lasted.Of(durationpb.New(1)))
	got := records(t, s)
	if m, err := due.As(got[0]); !errors.Is(err, es.ErrCorrupt) || m != nil {
		t.Errorf("bytes of no message: %v, %v", m, err)
	}
	if m, err := due.As(got[1]); err == nil || errors.Is(err, es.ErrCorrupt) || m != nil {
		t.Errorf("another type: %v, %v", m, err)
	}
}
