package dynamodbtest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	sdk "github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/go-es/es/driver"
)

// wire is a transport on which a test decides what becomes of each request.
type wire struct {
	http.RoundTripper

	mu sync.Mutex
	on func(r *request) (*http.Response, error) // nil: all pass
}

// request is one on a wire.
type request struct {
	op   string // PutItem, for instance
	body []byte
	send func(body []byte) (*http.Response, error) // to the server
}

func (w *wire) RoundTrip(req *http.Request) (*http.Response, error) {
	w.mu.Lock()
	on := w.on
	w.mu.Unlock()
	if on == nil {
		return w.RoundTripper.RoundTrip(req)
	}
	_, op, _ := strings.Cut(req.Header.Get("X-Amz-Target"), ".")
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, err
	}
	return on(&request{op, body, func(body []byte) (*http.Response, error) {
		ctx := req.Context()
		if ctx.Err() != nil {
			ctx = context.WithoutCancel(ctx) // it is sent late
		}
		again := req.Clone(ctx)
		again.Body, again.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
		return w.RoundTripper.RoundTrip(again)
	}})
}

// set says what becomes of requests from now on.
func (w *wire) set(on func(r *request) (*http.Response, error)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.on = on
}

// pass sends a request as it is.
func (r *request) pass() (*http.Response, error) { return r.send(r.body) }

// carriedOut sends a request and loses the answer.
func (r *request) carriedOut() error {
	resp, err := r.pass()
	if err == nil {
		_, err = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
	}
	return err
}

func (r *request) writes() bool {
	return strings.HasSuffix(r.op, "Item") && r.op != "GetItem" && r.op != "BatchGetItem" || r.op == "TransactWriteItems"
}

var errLost = errors.New("the answer was lost")

// answer is an error of DynamoDB's, with more members of its JSON.
func answer(status int, code string, more ...string) (*http.Response, error) {
	body := `{"__type":"com.amazonaws.dynamodb.v20120810#` + code + `","message":"by a test"` + strings.Join(more, "") + `}`
	return &http.Response{
		StatusCode: status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{"Content-Type": {"application/x-amz-json-1.0"}},
		Body:   io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body)),
	}, nil
}

// openWire opens a store of new data on a wire, with a client that may be changed.
func openWire(t *testing.T, dsn string, change ...func(*sdk.Options)) (driver.Store, *wire) {
	t.Helper()
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = 64
	w := &wire{RoundTripper: transport}
	c, _ := client(dsn, w, change...)
	s, err := openClient(context.Background(), dsn, c, func() error { transport.CloseIdleConnections(); return nil })
	must(t, err)
	t.Cleanup(func() {
		w.set(nil)
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s, w
}
