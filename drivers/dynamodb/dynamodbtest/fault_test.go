package dynamodbtest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/smithy-go/middleware"

	"github.com/go-es/es/driver"
	"github.com/go-es/es/drivers/dynamodb"
)

func record() driver.Record {
	return driver.Record{ID: driver.NewID(time.Now()), Type: "t", Encoding: "json", Data: []byte("{}"), Time: time.Now()}
}

func records(n int) (recs []driver.Record) {
	for range n {
		recs = append(recs, record())
	}
	return recs
}

func to(stream string, expected driver.Expected, recs ...driver.Record) driver.AppendRequest {
	return driver.AppendRequest{Parts: []driver.Part{{Stream: stream, Expected: expected, Records: recs}}}
}

// ids returns the ids of a stream, closed or not.
func ids(t *testing.T, s driver.Store, stream string) (out []driver.ID) {
	t.Helper()
	q := driver.StreamQuery{Stream: stream, Deleted: true}
	for {
		page, err := s.ReadStream(t.Context(), q)
		if errors.Is(err, driver.ErrStreamNotFound) {
			return nil
		}
		must(t, err)
		for _, r := range page.Records {
			out = append(out, r.ID)
			q.From = r.Version + 1
		}
		if page.End {
			return out
		}
	}
}

// writing is a write of some kind, which appends certain events to the streams "a"
// and "b", once.
type writing struct {
	name string
	a, b []driver.ID
	do   func(s driver.Store) error
}

func writings(t *testing.T) []writing {
	ctx := t.Context()
	var all []writing
	add := func(name string, a, b []driver.Record, do func(s driver.Store) error) {
		id := func(recs []driver.Record) (out []driver.ID) {
			for _, r := range recs {
				out = append(out, r.ID)
			}
			return out
		}
		all = append(all, writing{name, id(a), id(b), do})
	}
	for _, e := range []driver.Expected{driver.NoStream, driver.Any} {
		recs := records(3)
		add("append, expecting "+e.String(), recs, nil, func(s driver.Store) error {
			res, err := s.Append(ctx, to("a", e, recs...))
			if err == nil && res.Parts[0].Last != 3 {
				err = fmt.Errorf("it returned %+v", res)
			}
			return err
		})
		a, b := records(2), records(2)
		add("append to two streams, expecting "+e.String(), a, b, func(s driver.Store) error {
			res, err := s.Append(ctx, driver.AppendRequest{Parts: []driver.Part{
				{Stream: "c", Expected: driver.NoStream}, {Stream: "a", Expected: e, Records: a}, {Stream: "b", Expected: driver.NoStream, Records: b},
			}})
			if err == nil && (res.Parts[1].Last != 2 || res.Parts[2].Last != 2 || res.Parts[0].Last != 0) {
				err = fmt.Errorf("it returned %+v", res)
			}
			return err
		})
	}
	first, closing := record(), record()
	closing.Type = driver.TypeDeleted
	add("delete", []driver.Record{first, closing}, nil, func(s driver.Store) error {
		for {
			_, err := s.Append(ctx, to("a", driver.NoStream, first))
			if err == nil {
				break
			}
			if !driver.IsTransient(err) {
				return err
			}
		}
		_, err := s.Delete(ctx, driver.DeleteRequest{Stream: "a", Expected: driver.Exactly(1), Record: closing})
		return err
	})
	return all
}

// check holds what a writing said against what is stored.
func (w *writing) check(t *testing.T, s driver.Store, err error) {
	t.Helper()
	a, b := ids(t, s, "a"), ids(t, s, "b")
	if err == nil && (!slices.Equal(a, w.a) || !slices.Equal(b, w.b)) {
		t.Errorf("stored are %v and %v, want %v and %v", a, b, w.a, w.b)
	}
	if err != nil && !errors.Is(err, driver.ErrUnknownOutcome) && (len(a) == len(w.a) || len(b) > 0) {
		t.Errorf("error %v, and stored are %v and %v", err, a, b)
	}
}

// slowNetwork is the error of a connection that could not be made in time: package net
// says of it that it is one of a context.
type slowNetwork struct{}

func (slowNetwork) Error() string        { return "dial tcp: i/o timeout" }
func (slowNetwork) Timeout() bool        { return true }
func (slowNetwork) Temporary() bool      { return true }
func (slowNetwork) Is(target error) bool { return target == context.DeadlineExceeded }

// A time that is over in the network is not the end of the caller's context.
func TestSlowNetwork(t *testing.T) {
	s, wire := openWire(t, data(t, server(t)))
	wire.set(func(*request) (*http.Response, error) { return nil, slowNetwork{} })
	for name, err := range map[string]error{
		"a stream": func() error { _, err := s.ReadStream(t.Context(), driver.StreamQuery{Stream: "s"}); return err }(),
		"the feed": func() error { _, err := s.ReadAll(t.Context(), driver.FeedQuery{}); return err }(),
	} {
		if !driver.IsTransient(err) || errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: %v", name, err)
		}
	}
	wire.set(nil)
}

// Each fault is what becomes of the n-th request (from 0) that writes.
func TestFaults(t *testing.T) {
	server := server(t)
	lost := func(r *request) (*http.Response, error) {
		if err := r.carriedOut(); err != nil {
			return nil, err
		}
		return nil, errLost
	}
	unsent := func(*request) (*http.Response, error) { return nil, errLost }
	undialled := func(*request) (*http.Response, error) { return nil, slowNetwork{} }
	code := func(status int, code string) func(*request) (*http.Response, error) {
		return func(*request) (*http.Response, error) { return answer(status, code) }
	}
	cancelled := func(reason string) func(r *request) (*http.Response, error) {
		return func(r *request) (*http.Response, error) {
			if r.op != "TransactWriteItems" {
				return answer(400, "TransactionConflictException")
			}
			return answer(400, "TransactionCanceledException", `,"CancellationReasons":[{"Code":"None"},{"Code":"`+reason+`","Message":"by a test"},{"Code":"None"}]`)
		}
	}
	type fault = func(r *request) (*http.Response, error)
	for _, c := range []struct {
		name   string
		faults []fault
		ok     bool
	}{
		{"throttled", []fault{code(400, "ThrottlingException"), code(400, "ProvisionedThroughputExceededException"), code(400, "RequestLimitExceeded")}, true},
		{"in the way of a transaction", []fault{cancelled("TransactionConflict"), cancelled("ThrottlingError"), cancelled("ProvisionedThroughputExceeded")}, true},
		{"server error, not carried out", []fault{code(500, "InternalServerError")}, true},
		{"lost before", []fault{unsent, unsent}, true},
		{"no connection in time", []fault{undialled, undialled}, true},
		{"lost after", []fault{lost}, true},
		{"lost after, twice", []fault{lost, lost}, true},
		{"lost after, then throttled", []fault{lost, code(400, "ThrottlingException"), code(400, "ThrottlingException")}, true},
		{"lost after, then in progress", []fault{lost, code(400, "TransactionInProgressException")}, true},
		{"lost after, then in the way", []fault{lost, cancelled("TransactionConflict")}, true},
		{"lost after, then refused for other reasons", []fault{lost, code(400, "ValidationException"), code(400, "AccessDeniedException")}, true},
		{"lost after, then a mismatch", []fault{lost, code(400, "IdempotentParameterMismatchException")}, true},
		{"server error after", []fault{func(r *request) (*http.Response, error) {
			if err := r.carriedOut(); err != nil {
				return nil, err
			}
			return answer(500, "InternalServerError")
		}}, true},
		{"throttled for long", slices.Repeat([]fault{code(400, "ThrottlingException")}, 99), false},
		{"in the way for long", slices.Repeat([]fault{cancelled("TransactionConflict")}, 99), false},
		{"lost before, for long", slices.Repeat([]fault{unsent}, 99), false},
		{"no connection in time, for long", slices.Repeat([]fault{undialled}, 99), false},
		{"lost after, for long", slices.Repeat([]fault{lost}, 99), false},
	} {
		for _, w := range writings(t) {
			t.Run(c.name+"/"+w.name, func(t *testing.T) {
				t.Parallel()
				settle := "600ms"
				if c.ok {
					settle = "20s"
				}
				dsn := with(data(t, server), "settle="+settle)
				s, wire := openWire(t, dsn)
				n, begin := 0, time.Now()
				var bodies [][]byte
				wire.set(func(r *request) (*http.Response, error) {
					if !r.writes() {
						return r.pass()
					}
					wire.mu.Lock()
					i := n
					n++
					bodies = append(bodies, r.body)
					wire.mu.Unlock()
					if i < len(c.faults) {
						return c.faults[i](r)
					}
					return r.pass()
				})
				err := w.do(s)
				took := time.Since(begin)
				wire.set(nil)
				if c.ok && err != nil {
					t.Errorf("error %v", err)
				}
				if !c.ok && err == nil && w.name != "delete" {
					t.Error("it succeeded")
				}
				if errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("the context has not ended: %v", err)
				}
				if err != nil && !errors.Is(err, driver.ErrUnknownOutcome) && !driver.IsTransient(err) {
					t.Errorf("an error that is neither transient nor of an unknown outcome: %v", err)
				}
				if strings.HasPrefix(c.name, "lost") && !strings.HasSuffix(c.name, "mismatch") && w.name != "delete" {
					for _, b := range bodies {
						if !reflect.DeepEqual(decoded(t, b), decoded(t, bodies[0])) {
							t.Errorf("what was sent again differs:\n%s\n%s", bodies[0], b)
						}
					}
				}
				if took > 20*time.Second {
					t.Errorf("it took %v", took)
				}
				w.check(t, s, err)
			})
		}
	}
}

func decoded(t *testing.T, body []byte) (v any) {
	must(t, json.Unmarshal(body, &v))
	return v
}

// A client that sends again by itself, and tells only of the last answer: the writer
// meets its own commit. A token that DynamoDB has forgotten is like that too.
func TestHiddenRetries(t *testing.T) {
	server := server(t)
	for _, w := range writings(t) {
		t.Run(w.name, func(t *testing.T) {
			s, wire := openWire(t, data(t, server))
			wire.set(func(r *request) (*http.Response, error) {
				if !r.writes() {
					return r.pass()
				}
				if err := r.carriedOut(); err != nil {
					return nil, err
				}
				var in map[string]any
				if err := json.Unmarshal(r.body, &in); err != nil {
					return nil, err
				}
				if in["ClientRequestToken"] != nil {
					in["ClientRequestToken"] = driver.NewID(time.Now()).String()
				}
				body, err := json.Marshal(in)
				if err != nil {
					return nil, err
				}
				return r.send(body)
			})
			err := w.do(s)
			wire.set(nil)
			if err != nil {
				t.Errorf("error %v", err)
			}
			w.check(t, s, err)
		})
	}
	for _, w := range writings(t) {
		t.Run("by a middleware/"+w.name, func(t *testing.T) {
			var n atomic.Int64
			s, _ := openWire(t, data(t, server), func(o *sdk.Options) { o.APIOptions = append(o.APIOptions, twice(&n)) })
			n.Store(0)
			err := w.do(s)
			if err != nil || n.Load() == 0 {
				t.Errorf("error %v after %d writes that were sent twice", err, n.Load())
			}
			w.check(t, s, err)
		})
	}
	t.Run("checkpoint and snapshot", func(t *testing.T) {
		s, wire := openWire(t, data(t, server))
		_, err := s.Append(t.Context(), to("a", driver.Any, record()))
		must(t, err)
		wire.set(func(r *request) (*http.Response, error) {
			if r.writes() {
				if err := r.carriedOut(); err != nil {
					return nil, err
				}
			}
			return r.pass()
		})
		c, ss := s.(driver.CheckpointStore), s.(driver.SnapshotStore)
		one := driver.Checkpoint{Name: "c", Position: 1, Revision: driver.ID{1}}
		two := driver.Checkpoint{Name: "c", Position: 2, Revision: driver.ID{2}}
		must(t, c.SaveCheckpoint(t.Context(), one, driver.Revision{}))
		must(t, c.SaveCheckpoint(t.Context(), two, one.Revision))
		if err := c.SaveCheckpoint(t.Context(), two, driver.ID{3}); err != nil {
			t.Errorf("the own revision was not recognised: %v", err)
		}
		if err := c.SaveCheckpoint(t.Context(), driver.Checkpoint{Name: "c", Position: 2, Revision: driver.ID{4}}, one.Revision); !errors.Is(err, driver.ErrCheckpointConflict) {
			t.Errorf("error %v, want a conflict", err)
		}
		must(t, ss.SaveSnapshot(t.Context(), driver.Snapshot{Stream: "a", Kind: "k", Version: 1, EventID: driver.ID{1}, Encoding: "json"}))
	})
}

// twice is a middleware of a client that sends each write twice, and tells only of the
// second answer.
func twice(n *atomic.Int64) func(*middleware.Stack) error {
	return func(stack *middleware.Stack) error {
		return stack.Initialize.Add(middleware.InitializeMiddlewareFunc("twice", func(ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler) (middleware.InitializeOutput, middleware.Metadata, error) {
			switch in.Parameters.(type) {
			case *sdk.PutItemInput, *sdk.TransactWriteItemsInput, *sdk.UpdateItemInput, *sdk.DeleteItemInput:
				n.Add(1)
				if out, meta, err := next.HandleInitialize(ctx, in); err != nil {
					return out, meta, err
				}
			}
			return next.HandleInitialize(ctx, in)
		}), middleware.Before)
	}
}

// At any version an id says nothing: a second call is a second append, also where
// the writer believes the stream to be shorter than it is, and meets the first.
func TestSecondCall(t *testing.T) {
	dsn := data(t, server(t))
	a, _ := openWire(t, dsn)
	b, _ := openWire(t, dsn)
	r := record()
	for i, s := range []driver.Store{a, b, a, b} {
		res, err := s.Append(t.Context(), to("s", driver.Any, r))
		must(t, err)
		if res.Parts[0].First != driver.Version(i)+1 {
			t.Errorf("append %d went to version %d", i+1, res.Parts[0].First)
		}
	}
}

// A request that arrives when all is over finds its key taken.
func TestLateRequests(t *testing.T) {
	server := server(t)
	for _, mode := range []driver.DeleteMode{driver.Tombstone, driver.Purge} {
		s, wire := openWire(t, data(t, server))
		var late []*request
		wire.set(func(r *request) (*http.Response, error) {
			if r.op == "PutItem" || r.op == "TransactWriteItems" || r.op == "UpdateItem" {
				wire.mu.Lock()
				late = append(late, r)
				wire.mu.Unlock()
			}
			return r.pass()
		})
		recs := records(4)
		_, err := s.Append(t.Context(), to("a", driver.NoStream, recs[:2]...))
		must(t, err)
		_, err = s.Append(t.Context(), driver.AppendRequest{Parts: []driver.Part{{Stream: "a", Expected: 2, Records: recs[2:3]}, {Stream: "b", Records: recs[3:]}}})
		must(t, err)
		feed(t, s)
		closing := record()
		closing.Type = driver.TypeDeleted
		_, err = s.Delete(t.Context(), driver.DeleteRequest{Stream: "a", Expected: driver.Any, Mode: mode, Record: closing})
		must(t, err)
		before, was := ids(t, s, "a"), feed(t, s)
		wire.set(nil)
		for _, r := range late {
			if r.op == "TransactWriteItems" { // of a token that was forgotten
				r.body = bytes.Replace(r.body, []byte(`"ClientRequestToken":"`), []byte(`"ClientRequestToken":"x`), 1)
				r.body = bytes.Replace(r.body, []byte(`-`), nil, 1)
			}
			must(t, r.carriedOut())
		}
		if after := ids(t, s, "a"); !slices.Equal(after, before) {
			t.Errorf("late requests made of %v %v", before, after)
		}
		if after := feed(t, s); !slices.Equal(after, was) {
			t.Errorf("late requests made of the feed %v %v", was, after)
		}
	}
}

// feed reads the whole feed at rest.
func feed(t *testing.T, s driver.Store) (out []driver.ID) {
	t.Helper()
	q := driver.FeedQuery{}
	for end := time.Now().Add(20 * time.Second); ; {
		page, err := s.ReadAll(t.Context(), q)
		must(t, err)
		for _, r := range page.Records {
			out = append(out, r.ID)
		}
		q.After, q.Seen = page.Next, page.Seen
		if page.End {
			return out
		}
		if time.Now().After(end) {
			t.Fatalf("the feed does not end after %d events", len(out))
		}
		time.Sleep(time.Millisecond)
	}
}

// A server that is not DynamoDB is refused at Open, by what it lacks.
func TestLookAlikes(t *testing.T) {
	server := server(t)
	for name, c := range map[string]struct {
		word string
		on   func(r *request) (*http.Response, error)
	}{
		"no transactions": {"does not know", func(r *request) (*http.Response, error) { return answer(400, "UnknownOperationException") }},
		"no old items": {"ReturnValuesOnConditionCheckFailure", func(r *request) (*http.Response, error) {
			return answer(400, "TransactionCanceledException", `,"CancellationReasons":[{"Code":"ConditionalCheckFailed","Message":"by a test"}]`)
		}},
		"no conditions": {"condition does not hold", func(r *request) (*http.Response, error) {
			resp, err := answer(200, "")
			return resp, err
		}},
	} {
		t.Run(name, func(t *testing.T) {
			dsn := data(t, server)
			w := &wire{RoundTripper: http.DefaultTransport}
			w.set(func(r *request) (*http.Response, error) {
				if r.op == "TransactWriteItems" {
					return c.on(r)
				}
				return r.pass()
			})
			cl, end := client(dsn, w)
			defer end()
			s, err := dynamodb.New(t.Context(), cl, dynamodb.Config{Table: *table(dsn)})
			if err == nil {
				must(t, s.Close())
				t.Fatal("it was accepted")
			}
			if !strings.Contains(err.Error(), c.word) {
				t.Errorf("the error does not say %q: %v", c.word, err)
			}
		})
	}
}
