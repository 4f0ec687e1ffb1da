package mongotest

import (
	"context"
	"strings"
	"testing"

	client "go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/go-es/es/driver"
	"github.com/go-es/es/drivers/mongo"
)

// A session of the caller's, and a transaction that it has begun, are not the store's:
// what it acknowledges would go when that is aborted.
func TestCallersSession(t *testing.T) {
	dsn := data(t, server(t))
	cfg, err := mongo.ParseDSN(dsn)
	must(t, err)
	c, err := client.Connect(cfg.Client)
	must(t, err)
	defer c.Disconnect(context.Background())
	session, err := c.StartSession()
	must(t, err)
	defer session.EndSession(context.Background())
	must(t, session.StartTransaction())
	ctx := client.NewSessionContext(t.Context(), session)

	began := func(commands *[]string) func(string) {
		return func(command string) { *commands = append(*commands, command) }
	}
	var commands []string
	s := openTold(t, dsn, began(&commands))
	_, err = s.Append(ctx, to("s", driver.NoStream, records(2)...))
	must(t, err)
	_, err = s.ReadStream(ctx, driver.StreamQuery{Stream: "s"})
	must(t, err)
	_, err = s.Delete(ctx, driver.DeleteRequest{Stream: "s", Expected: driver.Any, Mode: driver.Purge, Record: record(driver.TypeDeleted)})
	must(t, err)
	_, err = s.ListStreams(ctx, driver.ListQuery{})
	must(t, err)
	opened, err := openOwn(ctx, dsn, func(*options.ClientOptions) {}, nil)
	must(t, err)
	must(t, opened.Close())
	if len(commands) < 4 {
		t.Errorf("commands: %q", commands)
	}
	for _, command := range commands {
		if strings.Contains(command, "startTransaction") || strings.Contains(command, "autocommit") {
			t.Errorf("in the caller's transaction: %s", command)
		}
	}
	must(t, session.AbortTransaction(context.Background()))
	page, err := s.ReadStream(t.Context(), driver.StreamQuery{Stream: "s", Deleted: true})
	must(t, err)
	if page.Head != 3 {
		t.Errorf("head %d", page.Head)
	}
}
