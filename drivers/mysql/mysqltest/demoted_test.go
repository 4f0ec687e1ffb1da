package mysqltest

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-es/es/driver"
	"github.com/go-es/es/drivers/mysql"
	"github.com/go-es/es/internal/servers"
)

// A primary that was replaced keeps its connections. What reads from it is stale by and
// by: a moment later reads fail, as if the server was away, until it takes writes again.
func TestDemoted(t *testing.T) {
	for _, name := range both {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dsn := newDatabase(t, at(servers.Run(t, name).DSN))
			db := pool(t, dsn)
			own := openStore(t, dsn)
			theirs, err := mysql.New(t.Context(), pool(t, dsn), mysql.Config{})
			must(t, err)
			t.Cleanup(func() { theirs.Close() })
			ctx := t.Context()
			_, err = own.Append(ctx, to("a", driver.NoStream, record("1")))
			must(t, err)
			for kind, s := range map[string]driver.Store{"Open": own, "New": theirs} {
				calls := map[string]func() error{
					"ReadStream": func() error { _, err := s.ReadStream(ctx, driver.StreamQuery{Stream: "a"}); return err },
					"ReadAll":    func() error { _, err := s.ReadAll(ctx, driver.FeedQuery{}); return err },
					"Head":       func() error { _, err := s.Head(ctx); return err },
					"Load":       func() error { _, err := s.(driver.CheckpointStore).LoadCheckpoint(ctx, "c"); return err },
				}
				ahead := func() error { _, err := s.ReadAll(ctx, driver.FeedQuery{After: 1000}); return err }
				if err := ahead(); !errors.Is(err, driver.ErrCheckpointAhead) {
					t.Errorf("%s: a position that was never given is %v", kind, err)
				}
				for _, call := range calls {
					must(t, call())
				}
				_, err = db.Exec("SET GLOBAL read_only = 1")
				must(t, err)
				if err := ahead(); !driver.IsTransient(err) || errors.Is(err, driver.ErrCheckpointAhead) {
					t.Errorf("%s: at once a position that the server may not have yet is %v", kind, err)
				}
				time.Sleep(1100 * time.Millisecond)
				for what, call := range calls {
					if err := call(); !driver.IsTransient(err) || !strings.Contains(err.Error(), "read_only") {
						t.Errorf("%s: %s of a server that is read_only: %v", kind, what, err)
					}
				}
				_, err = db.Exec("SET GLOBAL read_only = 0")
				must(t, err)
				for what, call := range calls {
					if err := call(); err != nil {
						t.Errorf("%s: %s of a server that is not read_only any more: %v", kind, what, err)
					}
				}
			}
		})
	}
}

// A write that the old primary refuses is made on another connection at once, which may
// lead to the new one.
func TestWritesAfterDemotion(t *testing.T) {
	for _, name := range both {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dsn := newDatabase(t, at(servers.Run(t, name).DSN))
			user := databaseOf(dsn)
			db := pool(t, dsn)
			execute(t, dsn, "CREATE USER 'plain'@'%' IDENTIFIED BY 'x'", "GRANT ALL ON "+user+".* TO 'plain'@'%'")
			cfg, err := mysql.ParseDSN(strings.Replace(dsn, "root@", "plain:x@", 1))
			must(t, err)
			cfg.Conns = 1
			var replaced atomic.Bool
			cfg.Client.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
				if replaced.Swap(false) { // the new primary takes writes
					if _, err := db.ExecContext(ctx, "SET GLOBAL read_only = 0"); err != nil {
						return nil, err
					}
				}
				return (&net.Dialer{}).DialContext(ctx, network, address)
			}
			s, err := mysql.Open(t.Context(), cfg)
			must(t, err)
			t.Cleanup(func() { s.Close() })
			ctx := t.Context()
			gone := record("")
			gone.Type = driver.TypeDeleted
			for what, call := range map[string]func() error{
				"Append": func() error { _, err := s.Append(ctx, to("b", driver.NoStream, record("1"))); return err },
				"SaveCheckpoint": func() error {
					return s.SaveCheckpoint(ctx, driver.Checkpoint{Name: "c", Revision: driver.NewID(time.Now())}, driver.Revision{})
				},
				"Delete": func() error {
					_, err := s.Delete(ctx, driver.DeleteRequest{Stream: "a", Expected: driver.Any, Record: gone})
					return err
				},
			} {
				_, err = s.Append(ctx, to("a", driver.NoStream, record("1")))
				if err != nil && !errors.Is(err, driver.ErrConflict) && !errors.Is(err, driver.ErrStreamDeleted) {
					t.Fatal(err)
				}
				_, err = db.Exec("SET GLOBAL read_only = 1")
				must(t, err)
				replaced.Store(true)
				if err := call(); err != nil {
					t.Errorf("%s: %v", what, err)
				}
				_, err = db.Exec("SET GLOBAL read_only = 0")
				must(t, err)
			}
		})
	}
}
