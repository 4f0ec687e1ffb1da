package dynamodbtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/credentials"
	sdk "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/go-es/es/conformance"
	"github.com/go-es/es/driver"
	"github.com/go-es/es/drivers/dynamodb"
	"github.com/go-es/es/internal/cut"
	"github.com/go-es/es/internal/servers"
)

func must(t interface {
	Helper()
	Fatalf(string, ...any)
}, err error,
) {
	t.Helper()
	if err != nil {
		t.Fatalf("%v", err)
	}
}

func server(t testing.TB) string { return servers.DSN(t, "dynamodb") }

func open(ctx context.Context, dsn string) (driver.Store, error) {
	d, _ := driver.Lookup("dynamodb")
	return d.Open(ctx, dsn)
}

// with returns a data source name with parameters added, each NAME=VALUE.
func with(dsn string, params ...string) string {
	for _, p := range params {
		name, value, _ := strings.Cut(p, "=")
		sep := "?"
		if strings.Contains(dsn, "?") {
			sep = "&"
		}
		dsn += sep + name + "=" + url.QueryEscape(value)
	}
	return dsn
}

// in returns a data source name with another table.
func in(dsn, table string) string {
	u, err := url.Parse(dsn)
	if err != nil {
		panic(err)
	}
	u.Path = "/" + table
	return u.String()
}

func table(dsn string) *string {
	cfg, err := dynamodb.ParseDSN(dsn)
	if err != nil {
		panic(err)
	}
	return aws.String(cfg.Table)
}

var tables atomic.Int64

// data returns the name of an empty store on a server: a table of its own, which is
// removed at the end.
func data(t conformance.TB, server string) string {
	dsn := in(server, fmt.Sprintf("es-%x-%d", time.Now().UnixNano(), tables.Add(1)))
	t.Cleanup(func() { drop(t, dsn) })
	return dsn
}

func drop(t conformance.TB, dsn string) {
	c, end := client(dsn, nil)
	defer end()
	_, err := c.DeleteTable(context.Background(), &sdk.DeleteTableInput{TableName: table(dsn)})
	if _, missing := errors.AsType[*types.ResourceNotFoundException](err); err != nil && !missing {
		t.Errorf("%v", err)
	}
}

// client is a client of the test's for a store's server, by a transport, or one of
// its own.
func client(dsn string, via http.RoundTripper, change ...func(*sdk.Options)) (*sdk.Client, func()) {
	cfg, err := dynamodb.ParseDSN(dsn)
	if err != nil {
		panic(err)
	}
	own := http.DefaultTransport.(*http.Transport).Clone()
	own.MaxIdleConnsPerHost = 64
	if via == nil {
		via = own
	}
	return sdk.New(sdk.Options{
		Region: cfg.Region, BaseEndpoint: aws.String(cfg.Endpoint), HTTPClient: &http.Client{Transport: via},
		Credentials: credentials.NewStaticCredentialsProvider("local", "local", ""),
		Retryer: retry.NewStandard(func(o *retry.StandardOptions) { // which waits for less time
			o.Backoff = retry.NewExponentialJitterBackoff(100 * time.Millisecond)
		}),
		DisableValidateResponseChecksum: true, // DynamoDB Local sends 0 with its errors
	}, change...), own.CloseIdleConnections
}

// owned is a store of a client of the test's, which ends with it.
type owned struct {
	*dynamodb.Store
	end func() error
}

func (o *owned) Close() error { return errors.Join(o.Store.Close(), o.end()) }

// openClient opens a store with a client of the test's.
func openClient(ctx context.Context, dsn string, c *sdk.Client, end func() error) (driver.Store, error) {
	cfg, err := dynamodb.ParseDSN(dsn)
	if err != nil {
		return nil, err
	}
	cfg.Region, cfg.Endpoint = "", ""
	s, err := dynamodb.New(ctx, c, cfg)
	if err != nil {
		return nil, errors.Join(err, end())
	}
	return &owned{s, end}, nil
}

// fault opens a client whose connections are cut on demand.
func fault(t conformance.TB, dsn string) conformance.Faulty {
	line := &cut.Line{Writes: writes, Done: answered}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.DialContext = line.DialContext
	transport.MaxIdleConnsPerHost = 64
	c, _ := client(dsn, transport)
	s, err := openClient(t.Context(), dsn, c, func() error {
		transport.CloseIdleConnections()
		return line.Close()
	})
	must(t, err)
	return conformance.Faulty{
		Store:   s,
		Break:   line.Break,
		BreakAt: line.BreakAt,
		Late:    line.Late,
		Down:    func() func() { return line.Down(cut.Held) },
	}
}

// writes reports whether a request of HTTP writes.
func writes(sent []byte) bool {
	head, _, _ := bytes.Cut(sent, []byte("\r\n\r\n"))
	head = append(bytes.Clone(head), "\r\n"...) // of the last line
	for _, op := range []string{"PutItem", "UpdateItem", "DeleteItem", "TransactWriteItems"} {
		if bytes.Contains(head, []byte("DynamoDB_20120810."+op+"\r\n")) {
			return true
		}
	}
	return false
}

// answered reports whether an answer of HTTP is whole.
func answered(answer []byte) bool {
	head, body, ok := bytes.Cut(answer, []byte("\r\n\r\n"))
	if !ok {
		return false
	}
	for line := range strings.SplitSeq(string(head), "\r\n") {
		name, value, _ := strings.Cut(line, ":")
		if strings.EqualFold(name, "Content-Length") {
			n, err := strconv.Atoi(strings.TrimSpace(value))
			return err == nil && len(body) >= n
		}
	}
	return bytes.HasSuffix(body, []byte("0\r\n\r\n"))
}

// items returns all items of a table.
func items(ctx context.Context, dsn string) ([]map[string]types.AttributeValue, error) {
	c, end := client(dsn, nil)
	defer end()
	var all []map[string]types.AttributeValue
	scan := &sdk.ScanInput{TableName: table(dsn), ConsistentRead: aws.Bool(true)}
	for {
		out, err := c.Scan(ctx, scan)
		if err != nil {
			return nil, err
		}
		all = append(all, out.Items...)
		if scan.ExclusiveStartKey = out.LastEvaluatedKey; len(scan.ExclusiveStartKey) == 0 {
			return all, nil
		}
	}
}

// key returns the key of a commit.
func key(stream string, first int) map[string]types.AttributeValue {
	return map[string]types.AttributeValue{
		"pk": &types.AttributeValueMemberS{Value: "s#" + stream},
		"sk": &types.AttributeValueMemberS{Value: fmt.Sprintf("%016x", first)},
	}
}
