package mysqltest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/go-es/es/driver"
	"github.com/go-es/es/drivers/mysql"
	"github.com/go-es/es/internal/cut"
)

// An append to several streams takes its positions at once, and may then wait. The
// version that it expects of another stream must not come meanwhile: that would have
// a higher position.
func TestPositionsRise(t *testing.T) {
	onBoth(t, func(t *testing.T, server string) {
		dsn := newDatabase(t, server)
		s, other := openStore(t, dsn), openStore(t, dsn)
		ctx := t.Context()
		_, err := s.Append(ctx, to("z", driver.NoStream, record("1")))
		must(t, err)
		db := pool(t, dsn)
		tx, err := db.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelReadCommitted})
		must(t, err)
		defer tx.Rollback()
		_, err = s.InTx(tx).Append(ctx, to("a", driver.NoStream, record("x")))
		must(t, err)
		done := make(chan error)
		go func() {
			req := to("a", driver.NoStream, record("a")) // waits for the transaction
			req.Parts = append(req.Parts, to("z", driver.Exactly(2), record("3")).Parts...)
			_, err := other.Append(ctx, req)
			done <- err
		}()
		time.Sleep(200 * time.Millisecond)
		_, err = s.Append(ctx, to("z", driver.Exactly(1), record("2")))
		must(t, err)
		must(t, tx.Rollback())
		if err := <-done; err != nil && !errors.Is(err, driver.ErrConflict) {
			t.Error(err)
		}
		last := driver.Version(0)
		for _, rec := range feed(t, s) {
			if rec.Stream == "z" && rec.Version <= last {
				t.Errorf("version %d of the stream comes after version %d in the feed", rec.Version, last)
			} else if rec.Stream == "z" {
				last = rec.Version
			}
		}
	})
}

// Many stores that append to one stream at any version get on, none starves, and
// few positions are lost.
func TestCrowd(t *testing.T) {
	onBoth(t, func(t *testing.T, server string) {
		dsn := newDatabase(t, server)
		const stores, each, rounds = 4, 4, 10
		var wg sync.WaitGroup
		for range stores {
			s := openStore(t, dsn)
			for range each {
				wg.Go(func() {
					for range rounds {
						if _, err := s.Append(t.Context(), to("crowded", driver.Any, record("x"))); err != nil {
							t.Error(err)
						}
					}
				})
			}
		}
		wg.Wait()
		s := openStore(t, dsn)
		all := feed(t, s)
		if len(all) != stores*each*rounds {
			t.Errorf("%d events of %d", len(all), stores*each*rounds)
		}
		last, err := s.Head(t.Context())
		must(t, err)
		// Without a line it is four to nine times as many.
		if most := driver.Position(3 * len(all)); last > most {
			t.Errorf("%d events took %d positions, more than %d", len(all), last, most)
		}
		var held sql.NullInt64
		must(t, pool(t, dsn).QueryRow("SELECT COUNT(*) FROM performance_schema.metadata_locks WHERE object_type='USER LEVEL LOCK'").Scan(&held))
		if held.Int64 != 0 {
			t.Errorf("%d named locks were left", held.Int64)
		}
	})
}

// Where the answer is lost and the stream has not reached the version that was
// expected, the request may arrive later: that is no conflict.
func TestLostAheadOfTheStream(t *testing.T) {
	onBoth(t, func(t *testing.T, server string) {
		dsn := newDatabase(t, server)
		line := &cut.Line{Writes: writes}
		t.Cleanup(func() { line.Close() })
		cfg, err := mysql.ParseDSN(dsn + "?settle=200ms")
		must(t, err)
		cfg.Client.DialFunc = line.DialContext
		s, err := mysql.Open(t.Context(), cfg)
		must(t, err)
		t.Cleanup(func() { s.Close() })
		line.Break(false)
		_, err = s.Append(t.Context(), to("s", driver.Exactly(3), record("x")))
		if !errors.Is(err, driver.ErrUnknownOutcome) || errors.Is(err, driver.ErrConflict) {
			t.Errorf("it is %v", err)
		}
		if _, err = s.Append(t.Context(), to("s", driver.Exactly(3), record("y"))); !errors.Is(err, driver.ErrConflict) {
			t.Errorf("where no answer is lost it is %v", err)
		}
	})
}

// Connections that the server has ended between calls are no error of the next one.
func TestEndedConnections(t *testing.T) {
	onBoth(t, func(t *testing.T, server string) {
		dsn := newDatabase(t, server)
		s := openStore(t, dsn)
		ctx := context.Background()
		cp := driver.Checkpoint{Name: "c", Position: 1}
		for round := range 4 {
			var wg sync.WaitGroup
			for i := range 8 {
				wg.Go(func() {
					if _, err := s.Append(ctx, to(fmt.Sprint(round, "-", i), driver.NoStream, record("x"))); err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			db := pool(t, dsn)
			rows, err := db.Query("SELECT CONCAT('KILL ', id) FROM information_schema.processlist WHERE db = DATABASE() AND id <> CONNECTION_ID()")
			must(t, err)
			var kills []string
			for rows.Next() {
				var kill string
				must(t, rows.Scan(&kill))
				kills = append(kills, kill)
			}
			must(t, rows.Err())
			if len(kills) == 0 {
				t.Error("there was nothing to end")
			}
			for _, kill := range kills {
				db.Exec(kill)
			}
			db.Close()
			prev := cp.Revision
			cp.Revision[0]++
			for name, call := range map[string]func() error{
				"ReadAll":        func() error { _, err := s.ReadAll(ctx, driver.FeedQuery{}); return err },
				"Append":         func() error { _, err := s.Append(ctx, to(fmt.Sprint(round, "-0"), 1, record("x"))); return err },
				"SaveCheckpoint": func() error { return s.SaveCheckpoint(ctx, cp, prev) },
			} {
				if err := call(); err != nil {
					t.Errorf("%s: %v", name, err)
				}
			}
		}
	})
}

// An append that also checks a version leaves nothing behind that only did that, also
// where the session numbers rows in another way than it did when the store was opened.
func TestGuardsGo(t *testing.T) {
	onBoth(t, func(t *testing.T, server string) {
		dsn := newDatabase(t, server)
		db := pool(t, dsn)
		db.SetMaxOpenConns(1)
		s, err := mysql.New(t.Context(), db, mysql.Config{})
		must(t, err)
		defer s.Close()
		_, err = s.Append(t.Context(), to("s", driver.NoStream, record("1")))
		must(t, err)
		req := to("a", driver.NoStream, record("1"))
		req.Parts = append(req.Parts, driver.Part{Stream: "s", Expected: driver.Exactly(1)})
		for _, increment := range []int{2, 1} {
			_, err = db.Exec(fmt.Sprint("SET SESSION auto_increment_increment=", increment))
			must(t, err)
			if _, err = s.Append(t.Context(), req); (err == nil) != (increment == 1) || driver.IsTransient(err) || errors.Is(err, driver.ErrUnknownOutcome) {
				t.Errorf("auto_increment_increment %d: %v", increment, err)
			}
			if n := ofKind(t, dsn, 5); n != 0 {
				t.Errorf("%d rows are left that only checked a version", n)
			}
		}
		if n := len(feed(t, s)); n != 2 {
			t.Errorf("%d events", n)
		}
	})
}
