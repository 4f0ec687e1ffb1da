package postgrestest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-es/es/driver"
	"github.com/go-es/es/drivers/postgres"
	"github.com/go-es/es/internal/cut"
)

// Where the answer is lost and the stream has not reached the version that was
// expected, the request may arrive later: that is no conflict.
func TestLostAheadOfTheStream(t *testing.T) {
	dsn := with(data(t, server(t)), "settle=200ms")
	p := protocol{texts: map[string]string{}}
	line := &cut.Line{Writes: p.writes, Done: answered}
	s, err := openPool(t.Context(), dsn, line)
	must(t, err)
	t.Cleanup(func() { s.Close() })
	line.Break(false)
	_, err = s.Append(t.Context(), to("s", 3, record("x")))
	if !errors.Is(err, driver.ErrUnknownOutcome) || errors.Is(err, driver.ErrConflict) {
		t.Errorf("it is %v", err)
	}
	if _, err = s.Append(t.Context(), to("s", 3, record("y"))); !errors.Is(err, driver.ErrConflict) || errors.Is(err, driver.ErrUnknownOutcome) {
		t.Errorf("where no answer is lost it is %v", err)
	}
}

// A schema's name that is cut within a letter, for the channel, is no reason to
// hear nothing.
func TestListenInALongSchema(t *testing.T) {
	base := server(t)
	schema := strings.Repeat("é", 30) + fmt.Sprint(time.Now().UnixNano()%1000)
	for _, sep := range []string{"", "x"} { // one of them cuts within a letter
		name := sep + schema
		name = name[:min(len(name), 63)]
		dsn := with(base, "schema="+name)
		t.Cleanup(func() { execute(context.Background(), base, `DROP SCHEMA IF EXISTS "`+name+`" CASCADE`) })
		s, err := open(t.Context(), dsn)
		must(t, err)
		t.Cleanup(func() { s.Close() })
		writer, err := open(t.Context(), dsn)
		must(t, err)
		t.Cleanup(func() { writer.Close() })
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		woken := make(chan struct{}, 100)
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			s.(driver.Notifier).Listen(ctx, func() {
				select {
				case woken <- struct{}{}:
				default:
				}
			})
		}()
		select {
		case <-woken: // it listens
			_, err = writer.Append(t.Context(), to("s", driver.Any, record("1")))
			must(t, err)
			select {
			case <-woken:
			case <-ended:
				t.Errorf("schema %s: it did not hear the append", name)
			}
		case <-ended:
			t.Errorf("schema %s: it did not listen", name)
		}
		cancel()
		<-ended
	}
}

// Connections that the server has ended between calls are no error that lasts: each
// call that fails may be made again, and soon none does.
func TestEndedConnections(t *testing.T) {
	name := fmt.Sprint("es-", time.Now().UnixNano())
	dsn := with(data(t, server(t)), "application_name="+name)
	s, err := open(t.Context(), dsn)
	must(t, err)
	t.Cleanup(func() { s.Close() })
	ctx := t.Context()
	for round := range 3 {
		held := make(chan struct{})
		for i := range 4 {
			go func() {
				defer func() { held <- struct{}{} }()
				if _, err := s.Append(ctx, to(fmt.Sprint(round, "-", i), driver.NoStream, record("x"))); err != nil {
					t.Error(err)
				}
			}()
		}
		for range 4 {
			<-held
		}
		c, err := connect(ctx, dsn)
		must(t, err)
		var ended int
		must(t, c.QueryRow(ctx, "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = $1 AND pid <> pg_backend_pid()", name).Scan(&ended))
		c.Close(ctx)
		if ended == 0 {
			t.Error("there was nothing to end")
		}
		for name, call := range map[string]func() error{
			"ReadAll": func() error { _, err := s.ReadAll(ctx, driver.FeedQuery{}); return err },
			"Append":  func() error { _, err := s.Append(ctx, to(fmt.Sprint(round, "-0"), 1, record("x"))); return err },
		} {
			for fails := 0; ; fails++ {
				err := call()
				if err == nil {
					break
				}
				if !driver.IsTransient(err) || fails > 40 {
					t.Fatalf("%s: %v", name, err)
				}
			}
		}
	}
}

// A server that falls silent in the middle of an append: the call ends some time after
// its context, or when Close waits no longer, and says that its outcome is not known.
func TestSilentServer(t *testing.T) {
	for name, end := range map[string]func(cancel context.CancelFunc, s driver.Store){
		"context": func(cancel context.CancelFunc, _ driver.Store) { cancel() },
		"Close":   func(_ context.CancelFunc, s driver.Store) { s.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			for range 20 {
				if silent(t, name, end) {
					return
				}
			}
			t.Error("no append was sent before the server fell silent")
		})
	}
}

// silent reports whether the append had been sent. It may have waited for a
// connection instead, which a notification or a ping had.
func silent(t *testing.T, name string, end func(cancel context.CancelFunc, s driver.Store)) (sent bool) {
	dsn := data(t, server(t))
	p := protocol{texts: map[string]string{}}
	line := &cut.Line{Writes: p.writes, Done: answered}
	defer line.Close()
	s, err := openPool(t.Context(), with(dsn, "settle=200ms"), line)
	must(t, err)
	defer s.Close()
	add(t, s, "s", "1")
	time.Sleep(50 * time.Millisecond) // for the notification
	up := line.Down(cut.Held)
	defer up()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	result := make(chan error, 1)
	go func() {
		_, err := s.(pooled).Store.Append(ctx, to("s", 1, record("2")))
		result <- err
	}()
	select {
	case err = <-result:
		t.Fatalf("the server is silent, and the append returned %v", err)
	case <-time.After(100 * time.Millisecond):
	}
	began := time.Now()
	go end(cancel, s.(pooled).Store)
	select {
	case err = <-result:
	case <-time.After(20 * time.Second):
		t.Fatal("the append goes on")
	}
	if !errors.Is(err, driver.ErrUnknownOutcome) {
		if want := map[string]error{"context": context.Canceled, "Close": driver.ErrClosed}[name]; !errors.Is(err, want) {
			t.Errorf("%v is not %v", err, want)
		}
		up()
		time.Sleep(100 * time.Millisecond)
		other, err := open(t.Context(), dsn)
		must(t, err)
		defer other.Close()
		page, err := other.ReadStream(t.Context(), driver.StreamQuery{Stream: "s"})
		if must(t, err); page.Head != 1 {
			t.Errorf("the append failed as if nothing was stored, and the stream has %d events", page.Head)
		}
		return false
	}
	if name == "context" && !errors.Is(err, context.Canceled) {
		t.Errorf("%v does not name the end of the context", err)
	}
	if d := time.Since(began); d < 150*time.Millisecond {
		t.Errorf("no answer was waited for: it took %v", d)
	}
	return true
}

// A network that goes dark while a connection is idle: the ping of a call that has given
// up, for which Close waits, ends soon.
func TestDarkNetwork(t *testing.T) {
	cfg, err := postgres.ParseDSN(data(t, server(t)))
	must(t, err)
	line := new(cut.Line)
	t.Cleanup(func() { line.Close() })
	var dark atomic.Bool
	ended := make(chan struct{}, 1)
	cfg.Pool.ConnConfig.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
		if dark.Load() { // pgx has ended the ping, and asks the server to cancel it
			select {
			case ended <- struct{}{}:
			default:
			}
			return nil, errors.New("dark")
		}
		return line.DialContext(ctx, network, addr)
	}
	s, err := postgres.Open(t.Context(), cfg)
	must(t, err)
	t.Cleanup(func() { s.Close() })
	time.Sleep(1100 * time.Millisecond) // the pool pings what was idle for a second
	t.Cleanup(line.Down(cut.Held))
	dark.Store(true)
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(100*time.Millisecond, cancel)
	if _, err := s.ReadAll(ctx, driver.FeedQuery{}); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	select {
	case <-ended:
	case <-time.After(20 * time.Second):
		t.Error("the ping goes on")
	}
	line.Close()
}

// A deletion whose connection breaks before anything was sent may be made again: there
// is nothing unknown.
func TestDeleteNotSent(t *testing.T) {
	line := new(cut.Line)
	s, err := openPool(t.Context(), with(data(t, server(t)), "settle=-1s", "pool_max_conns=1"), line)
	must(t, err)
	t.Cleanup(func() { s.Close() })
	add(t, s, "s", "1")
	time.Sleep(50 * time.Millisecond) // for the notification
	broke := line.BreakAt(1, false)
	tomb := record("")
	tomb.Type = driver.TypeDeleted
	_, err = s.Delete(t.Context(), driver.DeleteRequest{Stream: "s", Expected: driver.Any, Record: tomb})
	if !broke() {
		t.Fatal("nothing was broken")
	}
	if !driver.IsTransient(err) || errors.Is(err, driver.ErrUnknownOutcome) {
		t.Errorf("%v", err)
	}
}

// A stream that was remembered and is gone does not exist, also when an append to it
// has failed meanwhile.
func TestExistsAfterLoss(t *testing.T) {
	p := opened(t, data(t, server(t)))
	ctx := t.Context()
	add(t, p, "s", "1")
	_, err := p.pool.Exec(ctx, "DELETE FROM "+table(p.dsn, "streams"))
	must(t, err)
	_, err = p.pool.Exec(ctx, "DELETE FROM "+table(p.dsn, "events"))
	must(t, err)
	_, err = p.pool.Exec(ctx, "ALTER TABLE "+table(p.dsn, "events")+" ADD CONSTRAINT no CHECK (position = 0)")
	must(t, err)
	if _, err := p.Append(ctx, to("s", driver.Any, record("2"))); err == nil {
		t.Fatal("the constraint does not hold")
	}
	_, err = p.pool.Exec(ctx, "ALTER TABLE "+table(p.dsn, "events")+" DROP CONSTRAINT no")
	must(t, err)
	if _, err := p.Append(ctx, to("s", driver.Exists, record("3"))); !errors.Is(err, driver.ErrConflict) {
		t.Errorf("an append to a stream that has to exist, and does not: %v", err)
	}
}
