package postgrestest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/go-es/es/driver"
	"github.com/go-es/es/internal/servers"
)

// Where commits wait for a standby, nothing is acknowledged that none has: neither
// what is written, whose wait ends with the context or with Close, nor the same again.
func TestStandby(t *testing.T) {
	own := servers.Run(t, "postgres")
	dsn := with(own.DSN, "schema=waits", "pool_max_conns=20")
	ctx := t.Context()
	p := opened(t, dsn)
	for _, stream := range []string{"closes", "purged"} {
		add(t, p, stream, "1")
	}
	must(t, p.SaveCheckpoint(ctx, driver.Checkpoint{Name: "gone", Revision: driver.NewID(time.Now())}, driver.Revision{}))
	must(t, p.SaveSnapshot(ctx, driver.Snapshot{Stream: "s", Kind: "gone", Version: 1, EventID: driver.NewID(time.Now()), Encoding: "json"}))
	must(t, p.Close())
	set := func(names string) {
		t.Helper()
		must(t, execute(ctx, own.DSN, "ALTER SYSTEM SET synchronous_standby_names = '"+names+"'", "SELECT pg_reload_conf()"))
		for range 500 {
			c, err := connect(ctx, own.DSN)
			must(t, err)
			var is string
			must(t, c.QueryRow(ctx, "SHOW synchronous_standby_names").Scan(&is))
			c.Close(ctx)
			if is == names && (names != "" && !waits(t, own.DSN)) {
				is = "" // the server has read it, and does not wait yet
			}
			if is == names {
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
		t.Fatal("the setting is not read")
	}
	set("nobody")
	p = opened(t, dsn)
	two := to("a", driver.NoStream, record("1"))
	two.Parts = append(two.Parts, driver.Part{Stream: "b", Records: []driver.Record{record("1")}})
	first, many := to("first", driver.NoStream, record("1")), to("many", driver.NoStream, record("1"), record("2"))
	group := []driver.AppendRequest{to("g", driver.NoStream, record("1")), to("h", driver.NoStream, record("1"))}
	remove := func(stream string, mode driver.DeleteMode) func(context.Context) error {
		tomb := record("")
		tomb.Type = driver.TypeDeleted
		return func(ctx context.Context) error {
			_, err := p.Delete(ctx, driver.DeleteRequest{Stream: stream, Expected: driver.Any, Mode: mode, Record: tomb})
			return err
		}
	}
	appends := func(req driver.AppendRequest) func(context.Context) error {
		return func(ctx context.Context) error {
			_, err := p.Append(ctx, req)
			return err
		}
	}
	cp := driver.Checkpoint{Name: "c", Revision: driver.NewID(time.Now())}
	snap := driver.Snapshot{Stream: "s", Kind: "k", Version: 2, EventID: driver.NewID(time.Now()), Encoding: "json"}
	writes := map[string]func(context.Context) error{
		"append": appends(first),
		"many":   appends(many),
		"two":    appends(two),
		"group": func(ctx context.Context) error {
			outs := p.AppendGroup(ctx, group)
			if (outs[0].Err == nil) != (outs[1].Err == nil) {
				return fmt.Errorf("of a group one is acknowledged: %v", outs)
			}
			return errors.Join(outs[0].Err, outs[1].Err)
		},
		"delete":            remove("closes", driver.Tombstone),
		"purge":             remove("purged", driver.Purge),
		"checkpoint":        func(ctx context.Context) error { return p.SaveCheckpoint(ctx, cp, driver.Revision{}) },
		"delete checkpoint": func(ctx context.Context) error { return p.DeleteCheckpoint(ctx, "gone") },
		"snapshot":          func(ctx context.Context) error { return p.SaveSnapshot(ctx, snap) },
		"delete snapshot":   func(ctx context.Context) error { return p.DeleteSnapshot(ctx, "s", "gone") },
	}
	// soon makes a call with a context that ends, until that is not for want of a
	// connection.
	soon := func(call func(context.Context) error) (err error) {
		for range 20 {
			ctx, cancel := context.WithTimeout(ctx, 500*time.Millisecond)
			err = call(ctx)
			cancel()
			if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, driver.ErrUnknownOutcome) {
				break
			}
		}
		return err
	}
	var wg sync.WaitGroup
	for name, write := range writes {
		wg.Go(func() {
			for _, which := range []string{"at first", "again"} {
				err := soon(write)
				if !errors.Is(err, driver.ErrUnknownOutcome) || !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("%s, %s: no standby has it, and the error is %v", name, which, err)
				}
			}
		})
	}
	// At any version the base is told.
	wg.Go(func() {
		err := soon(appends(to("any", driver.Any, record("1"))))
		u, ok := errors.AsType[*driver.UnknownOutcomeError](err)
		if !ok || len(u.Parts) != 1 || u.Parts[0] != (driver.UnknownPart{Stream: "any"}) {
			t.Errorf("at any version: %v", err)
		}
	})
	wg.Wait()

	// Close waits no longer.
	closing := opened(t, with(dsn, "settle=200ms"))
	result := make(chan error, 1)
	go func() {
		_, err := closing.Append(ctx, to("closing", driver.NoStream, record("1")))
		result <- err
	}()
	for range 1000 { // until it waits
		if count(t, p, "pg_stat_activity WHERE wait_event = 'SyncRep'") > 0 {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	must(t, closing.Store.Close())
	if err := <-result; !errors.Is(err, driver.ErrUnknownOutcome) {
		t.Errorf("when Close waits no longer: %v", err)
	}

	set("")
	for name, write := range writes {
		ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
		if err := write(ctx); err != nil {
			t.Errorf("%s, when nobody is waited for: %v", name, err)
		}
		cancel()
	}
	if n := count(t, p, table(dsn, "events")); n != 13 {
		t.Errorf("%d events, and not 13: something was stored twice, or not", n)
	}
}

// waits reports whether a commit waits for a standby.
func waits(t *testing.T, dsn string) bool {
	short, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancel()
	return execute(short, dsn, "SELECT pg_logical_emit_message(true, 'test', '')") != nil
}
