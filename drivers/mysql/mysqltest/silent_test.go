package mysqltest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	client "github.com/go-sql-driver/mysql"

	"github.com/go-es/es/driver"
	"github.com/go-es/es/drivers/mysql"
	"github.com/go-es/es/internal/cut"
)

// patience is how long a test waits for something that would otherwise never happen.
const patience = 30 * time.Second

// inTime fails the test if f does not return.
func inTime(t *testing.T, what string, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() { f(); close(done) }()
	select {
	case <-done:
	case <-time.After(patience):
		t.Fatalf("%s: has not returned after %v", what, patience)
	}
}

// The server falls silent while calls without a deadline run: Close ends them, and
// tells the truth about what was sent.
func TestCloseSilent(t *testing.T) {
	onBoth(t, func(t *testing.T, server string) {
		for _, own := range []bool{true, false} {
			t.Run(fmt.Sprint("own=", own), func(t *testing.T) {
				dsn := newDatabase(t, server)
				line := &cut.Line{Writes: writes}
				t.Cleanup(func() { line.Close() })
				cfg, err := mysql.ParseDSN(dsn + "?settle=300ms&conns=3")
				must(t, err)
				cfg.Client.DialFunc = line.DialContext
				s := silentStore(t, cfg, own)
				ctx := context.Background()
				_, err = s.Append(ctx, to("a", driver.NoStream, record("1")))
				must(t, err)
				line.Down(cut.Held)
				calls := map[string]func() error{
					"Append":     func() error { _, err := s.Append(ctx, to("a", driver.Exactly(1), record("2"))); return err },
					"Append any": func() error { _, err := s.Append(ctx, to("b", driver.Any, record("1"))); return err },
					"ReadStream": func() error { _, err := s.ReadStream(ctx, driver.StreamQuery{Stream: "a"}); return err },
					"ReadAll":    func() error { _, err := s.ReadAll(ctx, driver.FeedQuery{}); return err },
					"Head":       func() error { _, err := s.Head(ctx); return err },
					"SaveCheckpoint": func() error {
						return s.SaveCheckpoint(ctx, driver.Checkpoint{Name: "c", Position: 1, Revision: driver.NewID(time.Now())}, driver.Revision{})
					},
					"Delete": func() error {
						gone := record("")
						gone.Type = driver.TypeDeleted
						_, err := s.Delete(ctx, driver.DeleteRequest{Stream: "a", Expected: driver.Any, Record: gone})
						return err
					},
					"Listen": func() error { return s.Listen(ctx, func() {}) },
				}
				var wg sync.WaitGroup
				for name, call := range calls {
					wg.Go(func() {
						err := call()
						if !errors.Is(err, driver.ErrClosed) && !errors.Is(err, driver.ErrUnknownOutcome) {
							t.Errorf("%s: %v, want ErrClosed or ErrUnknownOutcome", name, err)
						}
						if errors.Is(err, driver.ErrUnknownOutcome) && (name == "ReadStream" || name == "ReadAll" || name == "Head" || name == "Listen") {
							t.Errorf("%s: %v", name, err)
						}
					})
				}
				time.Sleep(200 * time.Millisecond) // some of them have a connection, others wait for one
				inTime(t, "Close", func() { must(t, s.Close()) })
				inTime(t, "the calls", wg.Wait)
			})
		}
	})
}

// silentStore opens a store with a pool of its own or of a program's.
func silentStore(t *testing.T, cfg mysql.Config, own bool) *mysql.Store {
	t.Helper()
	if own {
		s, err := mysql.Open(t.Context(), cfg)
		must(t, err)
		return s
	}
	from, err := client.NewConnector(cfg.Client)
	must(t, err)
	db := sql.OpenDB(from)
	db.SetMaxOpenConns(cfg.Conns)
	t.Cleanup(func() { db.Close() })
	cfg.Client, cfg.Conns = nil, 0
	s, err := mysql.New(t.Context(), db, cfg)
	must(t, err)
	return s
}

// Calls end with their contexts although the server is silent, also within a
// transaction of the caller's, and when it answers again the store goes on.
func TestContextSilent(t *testing.T) {
	onBoth(t, func(t *testing.T, server string) {
		dsn := newDatabase(t, server)
		line := &cut.Line{Writes: writes}
		t.Cleanup(func() { line.Close() })
		cfg, err := mysql.ParseDSN(dsn + "?settle=300ms&conns=2")
		must(t, err)
		cfg.Client.DialFunc = line.DialContext
		s := silentStore(t, cfg, true)
		t.Cleanup(func() { s.Close() })
		_, err = s.Append(t.Context(), to("a", driver.NoStream, record("1")))
		must(t, err)
		up := line.Down(cut.Lost)
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		var wg sync.WaitGroup
		second := record("2")
		var sent error
		for range 3 { // more than there are connections
			wg.Go(func() {
				if _, err := s.ReadAll(ctx, driver.FeedQuery{}); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("ReadAll: %v", err)
				}
			})
		}
		wg.Go(func() { _, sent = s.Append(ctx, to("a", driver.Exactly(1), second)) })
		inTime(t, "calls whose context ends", wg.Wait)
		if !errors.Is(sent, driver.ErrUnknownOutcome) && !errors.Is(sent, context.DeadlineExceeded) {
			t.Errorf("Append: %v", sent)
		}
		up()
		for end := time.Now().Add(patience); ; {
			_, err = s.Append(t.Context(), to("a", driver.Exactly(1), second))
			if err == nil || !driver.IsTransient(err) || time.Now().After(end) {
				break
			}
		}
		must(t, err)
		if all := feed(t, s); len(all) != 2 {
			t.Errorf("the feed has %d events", len(all))
		}
	})
}

// Who listens at the address accepts connections and says nothing.
func TestOpenSilent(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer ln.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	inTime(t, "Open", func() {
		if _, err := open(ctx, "root@tcp("+ln.Addr().String()+")/es"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Open: %v", err)
		}
	})
}
