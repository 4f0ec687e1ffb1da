package dynamodb

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/go-es/es/driver"
	"github.com/go-es/es/driver/sequencer"
	"github.com/go-es/es/internal/gate"
	"github.com/go-es/es/internal/opener"
	"github.com/go-es/es/internal/recent"
)

func init() { driver.Register("dynamodb", opener.Of(ParseDSN, Open)) }

// Store is an open store. Besides driver.Store it implements CheckpointStore,
// SnapshotStore and Settler.
type Store struct {
	cfg     Config
	table   *string
	client  *dynamodb.Client // as the caller has it, with its retries
	once    *dynamodb.Client // without retries, for writes that must know what became of them
	idle    func()           // closes connections of the store's own
	heads   heads
	entries recent.Map[entry] // of streams, into pages that begin within them
	lines   driver.Lines
	seq     *sequencer.Sequencer
	usual   atomic.Int64 // bytes of the commits that the feed had last, on average
	traces  atomic.Bool  // the client's transport tells how far a request has come
	gate    *gate.Gate
}

var _ interface {
	driver.Store
	driver.CheckpointStore
	driver.SnapshotStore
	driver.Settler
} = (*Store)(nil)

// connections is how many connections are kept to be used again: as many as there
// may be requests at once, as new ones cost several round trips.
const connections = 256

// readTries is how often a request that may be made twice is made, where the
// environment does not say.
const readTries = 4

// backoff is how long the client waits before it makes a request again. DynamoDB
// answers in some ms: the SDK would wait for up to a second first.
func backoff(try int, _ error) (time.Duration, error) {
	return rand.N(min(25*time.Millisecond<<min(try, 6), time.Second)), nil
}

// Open connects to the table of a configuration, checks it, and creates it where it
// is missing. Credentials come from where the SDK of AWS finds them. The context
// bounds opening only.
func Open(ctx context.Context, cfg Config) (*Store, error) {
	if err := cfg.check(); err != nil {
		return nil, invalid(err.Error())
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	// Credentials are seldom fetched: their connections are not kept, and none is left.
	seldom := awshttp.NewBuildableClient().WithTransportOptions(func(t *http.Transport) { t.DisableKeepAlives = true })
	options := []func(*config.LoadOptions) error{config.WithHTTPClient(seldom)}
	if cfg.Region != "" {
		options = append(options, config.WithRegion(cfg.Region))
	}
	if cfg.Profile != "" {
		options = append(options, config.WithSharedConfigProfile(cfg.Profile))
	}
	if cfg.Region == localRegion {
		options = append(options, config.WithCredentialsProvider(credentials.NewStaticCredentialsProvider("local", "local", "")))
	}
	loaded, err := config.LoadDefaultConfig(ctx, options...)
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, fail(err)
	}
	if b, ok := loaded.HTTPClient.(*awshttp.BuildableClient); ok {
		seldom = b // with what AWS_CA_BUNDLE names
	}
	transport := seldom.GetTransport()
	transport.DisableKeepAlives = false
	transport.ResponseHeaderTimeout = 2 * answerWithin // of reads: a write has less
	transport.MaxIdleConns, transport.MaxIdleConnsPerHost = connections, connections
	client := dynamodb.NewFromConfig(loaded, func(o *dynamodb.Options) {
		if cfg.Endpoint != "" {
			o.BaseEndpoint = aws.String(cfg.Endpoint)
		}
		o.HTTPClient = &http.Client{
			Transport:     transport,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		}
		if loaded.Retryer == nil && loaded.RetryMode == "" && loaded.RetryMaxAttempts == 0 {
			o.Retryer = retry.NewStandard(func(o *retry.StandardOptions) {
				o.MaxAttempts, o.Backoff = readTries, retry.BackoffDelayerFunc(backoff)
			})
		}
		// DynamoDB Local sends 0 as the checksum of its errors.
		o.DisableValidateResponseChecksum = cfg.Region == localRegion
	})
	s, err := newStore(ctx, client, cfg, transport.CloseIdleConnections)
	if err != nil {
		transport.CloseIdleConnections()
		return nil, err
	}
	return s, nil
}

// New returns a store in a table of a client of the caller's, with the same checks
// as [Open]. Config.Region, Endpoint and Profile are empty: the client has them. Its
// transport should keep a connection for each request that may run at a time; that of
// the SDK keeps ten. Its middlewares must not send a request again by themselves: the
// client's retries, which the store leaves out where they would hide what became of
// a write, are the place for that. Close does nothing to the client.
func New(ctx context.Context, client *dynamodb.Client, cfg Config) (*Store, error) {
	switch {
	case client == nil:
		return nil, invalid("the *dynamodb.Client is nil")
	case cfg.Region != "" || cfg.Endpoint != "" || cfg.Profile != "":
		return nil, invalid("Config has a region, an endpoint or a profile, but New takes a client")
	}
	if err := cfg.check(); err != nil {
		return nil, invalid(err.Error())
	}
	return newStore(ctx, client, cfg, func() {})
}

func newStore(ctx context.Context, client *dynamodb.Client, cfg Config, idle func()) (*Store, error) {
	options := client.Options()
	if options.Region == "" {
		return nil, invalid("there is no region: name it in the data source name, as in dynamodb://eu-west-1/table, or in AWS_REGION")
	}
	s := &Store{
		cfg:    cfg,
		table:  aws.String(cfg.table()),
		client: client,
		once: dynamodb.New(options, func(o *dynamodb.Options) {
			o.Retryer, o.RetryMaxAttempts = aws.NopRetryer{}, 0
		}),
		idle: idle,
		gate: gate.New(),
	}
	s.seq = sequencer.New(&backend{s}, sequencer.Config{})
	if err := s.prepare(ctx, options.Region); err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, failRead(err)
	}
	return s, nil
}

// do makes a call of a Store.
func (s *Store) do(ctx context.Context, f func(ctx context.Context) error) error {
	inner, end, err := s.gate.Begin(ctx)
	if err != nil {
		return err
	}
	defer end()
	err = f(inner)
	if err == nil {
		return nil
	}
	ended := errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, driver.ErrClosed)
	if ended && !errors.Is(err, driver.ErrUnknownOutcome) {
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case s.gate.Aborted():
			return driver.ErrClosed
		}
	}
	return failRead(err)
}

// Caps returns what the store claims, and its limits.
func (s *Store) Caps() driver.Caps { return caps }

// DynamoDB takes items of up to 400 KB, names of attributes and keys included. What
// an append takes in an item is less than its driver.Size and itemOverhead, whatever
// the names are.
const (
	itemBytes    = 400 << 10
	itemOverhead = 1 << 10
)

var caps = driver.Caps{
	MaxEventBytes:    itemBytes - itemOverhead,
	MaxAppendEvents:  1000,
	MaxAppendBytes:   itemBytes - itemOverhead,
	MaxStreams:       100, // actions of a transaction
	MaxSnapshotBytes: itemBytes - itemOverhead,
	Gapless:          true,
	FilterFeed:       true,
	ListLag:          true,
}

// Ping reads from the table.
func (s *Store) Ping(ctx context.Context) error {
	return s.do(ctx, func(ctx context.Context) error {
		_, err := s.getMeta(ctx)
		return err
	})
}

// Close waits for the calls that run, for the time of Config.Settle at least, and
// cancels those that run longer. The client of a store made by [New] stays as it is.
func (s *Store) Close() error {
	s.gate.Close(max(s.cfg.settle(), time.Second), s.idle)
	return nil
}

// parallel calls f with 0 to n-1, some at a time, and returns the first error.
func parallel(n, width int, f func(i int) error) error {
	if n == 1 {
		return f(0)
	}
	var next atomic.Int64
	var wait sync.WaitGroup
	var once sync.Once
	var first error
	for range min(n, width) {
		wait.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				if err := f(i); err != nil {
					once.Do(func() { first = err })
					next.Store(int64(n))
				}
			}
		})
	}
	wait.Wait()
	return first
}
