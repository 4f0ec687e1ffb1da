package mongotest

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/event"
	client "go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/go-es/es/conformance"
	"github.com/go-es/es/driver"
	"github.com/go-es/es/drivers/mongo"
	"github.com/go-es/es/internal/servers"
)

func must(t conformance.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%v", err)
	}
}

func open(ctx context.Context, dsn string) (driver.Store, error) {
	d, _ := driver.Lookup("mongo")
	return d.Open(ctx, dsn)
}

// with returns a data source name with parameters added, each NAME=VALUE.
func with(dsn string, params ...string) string {
	for _, p := range params {
		sep := "?"
		if strings.Contains(dsn, "?") {
			sep = "&"
		}
		dsn += sep + p
	}
	return dsn
}

// in returns the name of a database on a server.
func in(server, database string) string {
	start, query, _ := strings.Cut(server, "?")
	scheme, hosts, _ := strings.Cut(start, "://")
	hosts, _, _ = strings.Cut(hosts, "/")
	dsn := scheme + "://" + hosts + "/" + database
	if query != "" {
		dsn += "?" + query
	}
	return dsn
}

var databases atomic.Int64

// data returns the name of an empty store on a server: a database of its own, which
// is removed at the end.
func data(t conformance.TB, server string) string {
	dsn := in(server, fmt.Sprintf("es_%x_%d", time.Now().UnixNano(), databases.Add(1)))
	t.Cleanup(func() {
		if err := use(dsn, func(ctx context.Context, db *client.Database) error { return db.Drop(ctx) }); err != nil {
			t.Errorf("%v", err)
		}
	})
	return dsn
}

// use calls f with the database of a store, on a client of the test's.
func use(dsn string, f func(ctx context.Context, db *client.Database) error) error {
	cfg, err := mongo.ParseDSN(dsn)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	c, err := client.Connect(cfg.Client)
	if err != nil {
		return err
	}
	defer c.Disconnect(ctx)
	return f(ctx, c.Database(cfg.Database))
}

func collection(dsn, name string) string {
	cfg, err := mongo.ParseDSN(dsn)
	if err != nil {
		panic(err)
	}
	if cfg.Prefix != "" {
		name = cfg.Prefix + "_" + name
	}
	return "es_" + name
}

func server(t testing.TB) string { return servers.DSN(t, "mongo") }

// own is a store on a client of the test's, which it ends with itself.
type own struct {
	*mongo.Store
	client *client.Client
	after  func() error
}

func (o own) Close() error {
	err := o.Store.Close()
	o.client.Disconnect(context.Background())
	if o.after != nil {
		err = o.after()
	}
	return err
}

// openOwn opens a store on a client of the test's.
func openOwn(ctx context.Context, dsn string, set func(*options.ClientOptions), after func() error) (driver.Store, error) {
	cfg, err := mongo.ParseDSN(dsn)
	if err != nil {
		return nil, err
	}
	if set != nil {
		set(cfg.Client)
	}
	c, err := client.Connect(cfg.Client)
	if err != nil {
		return nil, err
	}
	cfg.Client = nil
	s, err := mongo.New(ctx, c, cfg)
	if err != nil {
		c.Disconnect(context.Background())
		return nil, err
	}
	return own{s, c, after}, nil
}

// openCounted opens a store that counts its commands.
func openCounted(t testing.TB, dsn string) (driver.Store, *atomic.Int64) {
	t.Helper()
	var count atomic.Int64
	return openTold(t, dsn, func(string) { count.Add(1) }), &count
}

// openTold opens a store that tells of its commands when they begin.
func openTold(t testing.TB, dsn string, tell func(command string)) driver.Store {
	t.Helper()
	s, err := openOwn(t.Context(), dsn, func(o *options.ClientOptions) {
		o.SetMonitor(&event.CommandMonitor{Started: func(_ context.Context, e *event.CommandStartedEvent) {
			tell(fmt.Sprint(e.CommandName, " ", e.Command))
		}})
	}, nil)
	must(t, err)
	t.Cleanup(func() { must(t, s.Close()) })
	return s
}
