package postgrestest

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/go-es/es/driver"
	"github.com/go-es/es/internal/soak"
)

func soakConfig(t *testing.T) soak.Config {
	server := server(t)
	return soak.Config{
		Open: open,
		DSN:  func() string { return data(t, server) },
		Held: held(),
	}
}

// held appends in transactions of a pool of its own.
func held() func(context.Context, string, driver.AppendRequest) (commit, rollback func() error, err error) {
	var once sync.Once
	var p pooled
	var failed error
	return func(ctx context.Context, dsn string, req driver.AppendRequest) (commit, rollback func() error, err error) {
		once.Do(func() {
			var s driver.Store
			if s, failed = openPool(context.Background(), dsn, nil); failed == nil {
				p = s.(pooled)
			}
		})
		if failed != nil {
			return nil, nil, failed
		}
		ctx = context.WithoutCancel(ctx)
		tx, err := p.pool.Begin(ctx)
		if err != nil {
			return nil, nil, driver.Transient(err)
		}
		if _, err := p.InTx(tx).Append(ctx, req); err != nil {
			if err := tx.Rollback(ctx); err != nil {
				return nil, nil, driver.Transient(err)
			}
			if !errors.Is(err, driver.ErrConflict) {
				err = driver.Transient(err) // it was rolled back
			}
			return nil, nil, err
		}
		return func() error { return tx.Commit(ctx) }, func() error { return tx.Rollback(ctx) }, nil
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

// Behind a pooler, which gives each transaction another session.
func TestSoakPooler(t *testing.T) {
	cfg := soakConfig(t)
	p := startPooler(t, server(t))
	inner := cfg.DSN
	cfg.DSN = func() string { return p.dsn(inner()) }
	soak.Run(t, cfg)
}
