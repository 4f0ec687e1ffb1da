package mysqltest

import (
	"context"
	"database/sql"
	"errors"
	"sync"
	"testing"
	"time"

	client "github.com/go-sql-driver/mysql"

	"github.com/go-es/es/driver"
	"github.com/go-es/es/drivers/mysql"
	"github.com/go-es/es/internal/servers"
	"github.com/go-es/es/internal/soak"
)

// Processes write and read with transactions held open, rolled back and killed,
// while a transaction in another database stays open all the time.
func TestSoak(t *testing.T) {
	onBoth(t, func(t *testing.T, server string) {
		soak.Run(t, soak.Config{
			Open:      open,
			DSN:       func() string { return newDatabase(t, server) },
			Held:      held(),
			Kill:      true,
			Meanwhile: func(ctx context.Context, dsn string) { otherTransaction(ctx, t, server) },
		})
	})
}

// The server is killed, and comes back, while they do.
func TestSoakCrashes(t *testing.T) {
	for _, name := range both {
		t.Run(name, func(t *testing.T) {
			var s *servers.Server
			soak.Run(t, soak.Config{
				Open: open,
				DSN: func() string {
					s = servers.Run(t, name)
					return newDatabase(t, at(s.DSN))
				},
				Held: held(),
				Meanwhile: func(ctx context.Context, _ string) {
					for range 3 {
						select {
						case <-ctx.Done():
							return
						case <-time.After(time.Second):
						}
						s.Kill()
						s.Start()
					}
				},
			})
		})
	}
}

// otherTransaction changes something in another database, and does not commit
// before ctx ends.
func otherTransaction(ctx context.Context, t *testing.T, server string) {
	dsn := newDatabase(t, server)
	execute(t, dsn, "CREATE TABLE other (x INT)")
	db := pool(t, dsn)
	defer db.Close()
	tx, err := db.Begin()
	must(t, err)
	defer tx.Rollback()
	_, err = tx.Exec("INSERT INTO other VALUES (1)")
	must(t, err)
	<-ctx.Done()
}

// held appends in transactions of a pool of its own.
func held() func(context.Context, string, driver.AppendRequest) (commit, rollback func() error, err error) {
	var mu sync.Mutex
	var s *mysql.Store
	var db *sql.DB
	begin := func(ctx context.Context, dsn string) (*sql.Tx, error) {
		mu.Lock()
		defer mu.Unlock()
		if s == nil {
			opened, err := openPool(ctx, dsn)
			if err != nil {
				return nil, err
			}
			s, db = opened.(pooled).Store, opened.(pooled).db
		}
		return db.BeginTx(context.WithoutCancel(ctx), &sql.TxOptions{Isolation: sql.LevelReadCommitted})
	}
	return func(ctx context.Context, dsn string, req driver.AppendRequest) (commit, rollback func() error, err error) {
		tx, err := begin(ctx, dsn)
		if err != nil {
			return nil, nil, driver.Transient(err)
		}
		if _, err := s.InTx(tx).Append(ctx, req); err != nil {
			tx.Rollback()
			var answer *client.MySQLError
			if errors.As(err, &answer) && (answer.Number == 1205 || answer.Number == 1213) || !errors.Is(err, driver.ErrConflict) && !errors.Is(err, driver.ErrStreamDeleted) && !errors.As(err, &answer) {
				err = driver.Transient(err)
			}
			return nil, nil, err
		}
		return tx.Commit, tx.Rollback, nil
	}
}
