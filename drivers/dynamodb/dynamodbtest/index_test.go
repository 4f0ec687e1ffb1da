package dynamodbtest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go/middleware"

	"github.com/go-es/es"
	"github.com/go-es/es/conformance"
	"github.com/go-es/es/driver"
	"github.com/go-es/es/driver/sequencer"
	"github.com/go-es/es/internal/servers"
	"github.com/go-es/es/internal/snapshottest"
	"github.com/go-es/es/internal/soak"
)

// late makes the index of a client what it is on AWS at its worst: entries are shown
// late, and are hidden now and then; some that are gone come back. The other answers
// are cut short as DynamoDB does when it is busy: keys are left unprocessed.
type late struct {
	mu    sync.Mutex
	seen  map[string]time.Time
	items []map[string]types.AttributeValue // that were shown
}

// lateFor is how late an entry is shown at most.
const lateFor = 50 * time.Millisecond

func (l *late) options(o *sdk.Options) {
	o.APIOptions = append(o.APIOptions, func(stack *middleware.Stack) error {
		return stack.Initialize.Add(middleware.InitializeMiddlewareFunc("late", func(ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler) (middleware.InitializeOutput, middleware.Metadata, error) {
			out, meta, err := next.HandleInitialize(ctx, in)
			if err != nil {
				return out, meta, err
			}
			switch result := out.Result.(type) {
			case *sdk.ScanOutput:
				if in.Parameters.(*sdk.ScanInput).IndexName != nil {
					result.Items = l.index(result.Items)
				}
			case *sdk.QueryOutput:
				if in.Parameters.(*sdk.QueryInput).IndexName != nil {
					result.Items = l.index(result.Items)
				}
			case *sdk.BatchGetItemOutput:
				unprocessed(in.Parameters.(*sdk.BatchGetItemInput), result)
			}
			return out, meta, nil
		}), middleware.Before)
	})
}

func (l *late) index(items []map[string]types.AttributeValue) (out []map[string]types.AttributeValue) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	for _, it := range items {
		name := fmt.Sprint(it["pk"].(*types.AttributeValueMemberS).Value, it["sk"].(*types.AttributeValueMemberS).Value)
		if l.seen[name].IsZero() {
			l.seen[name] = now.Add(rand.N(lateFor))
		}
		if now.Before(l.seen[name]) || rand.IntN(10) < 3 {
			continue
		}
		out = append(out, it)
		if l.items = append(l.items, it); len(l.items) > 50 {
			l.items = l.items[1:]
		}
	}
	for _, it := range l.items {
		if rand.IntN(10) == 0 {
			out = append(out, it)
		}
	}
	return out
}

// unprocessed takes some items out of an answer, as if there had been no time, and
// sometimes all.
func unprocessed(in *sdk.BatchGetItemInput, out *sdk.BatchGetItemOutput) {
	if rand.IntN(3) > 0 {
		return
	}
	for name, items := range out.Responses {
		keep := rand.IntN(len(items) + 1)
		left := types.KeysAndAttributes{ConsistentRead: in.RequestItems[name].ConsistentRead}
		for _, it := range items[keep:] {
			left.Keys = append(left.Keys, map[string]types.AttributeValue{"pk": it["pk"], "sk": it["sk"]})
		}
		out.Responses[name] = items[:keep]
		if len(left.Keys) > 0 {
			out.UnprocessedKeys = map[string]types.KeysAndAttributes{name: left}
		}
	}
}

// openLate opens a store whose index is late.
func openLate(ctx context.Context, dsn string) (driver.Store, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = 64
	l := &late{seen: map[string]time.Time{}}
	c, _ := client(dsn, transport, l.options)
	return openClient(ctx, dsn, c, func() error { transport.CloseIdleConnections(); return nil })
}

func TestConformanceLate(t *testing.T) {
	server := server(t)
	conformance.Run(t, conformance.Config{
		Open: openLate,
		DSN:  func(t conformance.TB) string { return data(t, server) },
		Caps: caps,

		FeedBound: servers.Bound,
	})
}

func TestSoak(t *testing.T) {
	server := server(t)
	soak.Run(t, soak.Config{Open: open, DSN: func() string { return data(t, server) }, Kill: true})
}

func TestSoakLate(t *testing.T) {
	server := server(t)
	soak.Run(t, soak.Config{Open: openLate, DSN: func() string { return data(t, server) }, Kill: true})
}

// A store at rest costs two requests a look, and no more than four looks a second,
// however many readers poll. A closed store costs nothing.
func TestRest(t *testing.T) {
	s, wire := openWire(t, data(t, server(t)))
	for i := range 20 {
		_, err := s.Append(t.Context(), to(fmt.Sprint("s", i), driver.Any, record()))
		must(t, err)
	}
	if n := len(feed(t, s)); n != 20 {
		t.Fatalf("the feed has %d events", n)
	}
	for end := time.Now().Add(time.Second); time.Now().Before(end); { // until it has come to rest
		_, err := s.ReadAll(t.Context(), driver.FeedQuery{After: 20})
		must(t, err)
		time.Sleep(10 * time.Millisecond)
	}
	var n atomic.Int64
	wire.set(func(r *request) (*http.Response, error) {
		n.Add(1)
		return r.pass()
	})
	var wait sync.WaitGroup
	begin := time.Now()
	for range 8 {
		wait.Go(func() {
			for time.Since(begin) < 3*time.Second {
				if _, err := s.ReadAll(t.Context(), driver.FeedQuery{After: 20}); err != nil {
					t.Error(err)
				}
				time.Sleep(10 * time.Millisecond)
			}
		})
	}
	wait.Wait()
	took := time.Since(begin)
	t.Logf("%d requests in %v", n.Load(), took)
	if most := int64(took.Seconds()*4+3) * 2; n.Load() > most || n.Load() == 0 {
		t.Errorf("%d requests in %v, want at most %d", n.Load(), took, most)
	}
}

// One conditional put is all that an append costs, and an append at any version, once
// the stream is known. An append to several streams is one transaction.
func TestRequests(t *testing.T) {
	dsn := data(t, server(t))
	s, wire := openWire(t, dsn)
	other, _ := openWire(t, dsn)
	var ops []string
	wire.set(func(r *request) (*http.Response, error) {
		wire.mu.Lock()
		ops = append(ops, r.op)
		wire.mu.Unlock()
		return r.pass()
	})
	expect := func(what, want string) {
		t.Helper()
		if got := strings.Join(ops, " "); got != want {
			t.Errorf("%s took %s, want %s", what, got, want)
		}
		ops = nil
	}
	do := func(req driver.AppendRequest) {
		t.Helper()
		_, err := s.Append(t.Context(), req)
		must(t, err)
	}
	do(to("a", driver.NoStream, record()))
	expect("the first append", "PutItem")
	do(to("a", 1, records(3)...))
	expect("the second append", "PutItem")
	do(to("a", driver.Any, record()))
	expect("an append at any version", "PutItem")
	_, err := other.Append(t.Context(), to("a", 5, record()))
	must(t, err)
	do(to("a", driver.Any, record()))
	expect("an append at any version, behind one of another", "PutItem PutItem")
	do(driver.AppendRequest{Parts: []driver.Part{{Stream: "a", Expected: 7, Records: records(1)}, {Stream: "b", Records: records(1)}}})
	expect("an append to two streams", "TransactWriteItems")
	_, err = other.Append(t.Context(), to("c", driver.NoStream, records(5)...))
	must(t, err)
	page, err := s.ReadStream(t.Context(), driver.StreamQuery{Stream: "c"})
	must(t, err)
	if len(page.Records) != 5 || !page.End {
		t.Errorf("read %d records, end %v", len(page.Records), page.End)
	}
	do(to("c", 5, record()))
	expect("a read and an append", "Query PutItem")
	if _, err := other.Append(t.Context(), to("d", driver.NoStream, record())); err != nil {
		t.Fatal(err)
	}
	do(to("d", 1, record()))
	expect("an append to a stream that was not read", "Query PutItem")
}

// A stream of more than 1 MB takes several requests, whatever its commits are.
func TestLarge(t *testing.T) {
	s, _ := openWire(t, data(t, server(t)))
	var want []driver.ID
	for i := range 8 {
		r := record()
		r.Data = make([]byte, 390<<10)
		for j := range r.Data {
			r.Data[j] = byte(i * j)
		}
		want = append(want, r.ID)
		_, err := s.Append(t.Context(), to("s", driver.Any, r))
		must(t, err)
	}
	if got := ids(t, s, "s"); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("read %v, want %v", got, want)
	}
	if got := feed(t, s); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("the feed has %v, want %v", got, want)
	}
	var back []driver.ID
	for q := (driver.StreamQuery{Stream: "s", Backward: true}); ; {
		page, err := s.ReadStream(t.Context(), q)
		must(t, err)
		for _, r := range page.Records {
			back = append([]driver.ID{r.ID}, back...)
			q.From = r.Version - 1
		}
		if page.End {
			break
		}
	}
	if fmt.Sprint(back) != fmt.Sprint(want) {
		t.Errorf("read backward %v, want %v", back, want)
	}
}

// The log lies in partitions of 2^20 positions. Whoever comes to it knows none of
// them.
func TestLog(t *testing.T) {
	const batch, partition = 500_000, 1 << 20
	for _, n := range []int{1, 2, 3, 4, 5, 9, 40} {
		dsn := data(t, server(t))
		s, _ := openWire(t, dsn)
		c, end := client(dsn, nil)
		first := 1
		for i := range n {
			spans := sequencer.AppendSpans(nil, []sequencer.Span{{Stream: "s", First: driver.Version(i*batch + 1), Last: driver.Version((i + 1) * batch)}})
			_, err := c.PutItem(t.Context(), &sdk.PutItemInput{TableName: table(dsn), Item: map[string]types.AttributeValue{
				"pk":    &types.AttributeValueMemberS{Value: fmt.Sprintf("l#%016x", first/partition)},
				"sk":    &types.AttributeValueMemberS{Value: fmt.Sprintf("%016x", first)},
				"spans": &types.AttributeValueMemberB{Value: spans},
			}})
			must(t, err)
			first += batch
			if i%3 == 1 { // one that has seen a part
				head, err := s.Head(t.Context())
				must(t, err)
				if head != driver.Position(first-1) {
					t.Errorf("%d batches: Head is %d, want %d", i+1, head, first-1)
				}
			}
		}
		end()
		fresh, _ := openWire(t, dsn)
		for _, s := range []driver.Store{s, fresh} {
			head, err := s.Head(t.Context())
			must(t, err)
			if head != driver.Position(first-1) {
				t.Errorf("%d batches: Head is %d, want %d", n, head, first-1)
			}
			page, err := s.ReadAll(t.Context(), driver.FeedQuery{After: head})
			must(t, err)
			if page.Next != head || !page.End {
				t.Errorf("%d batches: the end of the feed is %+v", n, page)
			}
		}
		// What lies before is found, and its event is not there.
		_, err := fresh.ReadAll(t.Context(), driver.FeedQuery{After: driver.Position(first / 2), Limit: 1})
		if err == nil || !strings.Contains(err.Error(), "is not there") {
			t.Errorf("%d batches: an event that is not there: %v", n, err)
		}
	}
}

// A load with a snapshot is two requests at the same time.
func TestSnapshotLoad(t *testing.T) {
	dsn := data(t, server(t))
	var r snapshottest.Requests
	s, _ := openWire(t, dsn)
	writer, err := es.New(s)
	must(t, err)
	s, wire := openWire(t, dsn)
	reader, err := es.New(s)
	must(t, err)
	wire.set(func(req *request) (*http.Response, error) {
		r.Begin(req.op)
		return req.pass()
	})
	snapshottest.Run(t, &r, writer, reader)
}
