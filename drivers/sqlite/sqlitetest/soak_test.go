package sqlitetest

import (
	"context"
	"errors"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/go-es/es/driver"
	"github.com/go-es/es/internal/soak"
)

func soakConfig(t *testing.T) soak.Config {
	return soak.Config{
		Open:    open,
		DSN:     func() string { return filepath.Join(t.TempDir(), "es.db") },
		Held:    held(),
		HeldFor: 50 * time.Millisecond, // all others wait
	}
}

// held appends in transactions of a pool of its own.
func held() func(context.Context, string, driver.AppendRequest) (commit, rollback func() error, err error) {
	var once sync.Once
	var s pooled
	var failed error
	return func(ctx context.Context, dsn string, req driver.AppendRequest) (commit, rollback func() error, err error) {
		once.Do(func() {
			var opened driver.Store
			opened, failed = openPool("sqlite3", "?_txlock=immediate&_busy_timeout=20000&_synchronous=FULL", 0)(context.Background(), dsn)
			s, _ = opened.(pooled)
		})
		if failed != nil {
			return nil, nil, failed
		}
		tx, err := s.db.Begin()
		if err != nil {
			return nil, nil, driver.Transient(err)
		}
		if _, err := s.InTx(tx).Append(ctx, req); err != nil {
			return nil, nil, errors.Join(err, tx.Rollback())
		}
		return tx.Commit, tx.Rollback, nil
	}
}

func TestSoak(t *testing.T) {
	soak.Run(t, soakConfig(t))
}

func TestSoakKilled(t *testing.T) {
	cfg := soakConfig(t)
	cfg.Kill = true
	soak.Run(t, cfg)
}

// A store with none of the optional interfaces, whose readers keep their
// checkpoints elsewhere.
func TestSoakPlain(t *testing.T) {
	cfg := soakConfig(t)
	cfg.Kill = true
	cfg.Open = func(ctx context.Context, dsn string) (driver.Store, error) {
		s, err := open(ctx, dsn)
		return struct{ driver.Store }{s}, err
	}
	soak.Run(t, cfg)
}
