package mysql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"

	"github.com/go-es/es/driver"
)

// InTx returns a store that works inside a transaction of the caller's, on any
// connection to the same database: what it appends is stored when the caller
// commits, together with whatever else the transaction changes. It implements
// driver.Store and no more, and its Close does nothing. After an error, roll back:
// after the first one that may have ended the transaction, every further call
// fails with it.
//
// Begin the transaction with READ COMMITTED (sql.TxOptions{Isolation:
// sql.LevelReadCommitted}): with the server's own default, REPEATABLE READ, it reads
// a state that gets old, its locks keep others from new streams, and of two such
// transactions that append to one stream, or to new ones, the server may break one off
// (a deadlock). From its first
// append to its end the feed is held back at the positions that it has taken, and
// others who append to the same streams wait. Its session has to have a strict
// sql_mode and autocommit, which is checked at the first write. ReadAll within it
// fills no gap.
func (s *Store) InTx(tx *sql.Tx) driver.Store {
	return &txStore{s: s, ses: &session{tx: tx}}
}

type txStore struct {
	s       *Store
	mu      sync.Mutex // a transaction runs one statement at a time
	ses     *session
	checked bool  // the session's settings
	broken  error // the transaction may have ended
}

func (t *txStore) do(ctx context.Context, f func() error) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.broken != nil {
		return fmt.Errorf("es: mysql: the transaction may have ended, roll it back: %w", t.broken)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	err := f()
	switch {
	case err == nil, isOurs(err):
		return err
	case ctx.Err() != nil:
		err = ctx.Err()
	case errors.Is(err, sql.ErrTxDone):
		err = fmt.Errorf("es: mysql: %w", sql.ErrTxDone)
	default:
		err = plain(err)
	}
	t.broken = err
	return err
}

// plain is fail without the mark by which a call would be made again: the
// transaction cannot be.
func plain(err error) error {
	err = fail(err)
	if driver.IsTransient(err) {
		err = errors.Unwrap(err)
	}
	return err
}

func (t *txStore) write(ctx context.Context, f func() error) error {
	return t.do(ctx, func() error {
		if !t.checked {
			vars, err := t.ses.variables(ctx)
			if err == nil {
				err = errors.Join(vars.check(t.s.cfg.AtomicPages), vars.checkSession())
			}
			if err != nil {
				return err
			}
			t.checked = true
		}
		// With REPEATABLE READ a plain read is of the state at the transaction's first
		// one, which would be a conflict that is none, or a stream that is missing.
		t.ses.locks = true
		defer func() { t.ses.locks = false }()
		return f()
	})
}

func (t *txStore) Append(ctx context.Context, req driver.AppendRequest) (driver.AppendResult, error) {
	w := newWritten(req)
	err := t.write(ctx, func() error {
		for rounds := 0; !w.done; rounds++ {
			if rounds == mostRounds {
				return errors.New("es: mysql: the append was refused again and again, although nothing is in its way")
			}
			if err := t.s.attempt(ctx, ctx, t.ses, []*written{w}); err != nil {
				return err
			}
		}
		return w.out.Err
	})
	if err != nil {
		return driver.AppendResult{}, err
	}
	return w.out.Result, nil
}

func (t *txStore) Delete(ctx context.Context, req driver.DeleteRequest) (driver.Appended, error) {
	d := &deletion{s: t.s, req: req}
	err := t.write(ctx, func() error { return d.do(ctx, ctx, t.ses) })
	if err != nil {
		return driver.Appended{}, err
	}
	return d.result, nil
}

func (t *txStore) ReadStream(ctx context.Context, q driver.StreamQuery) (page driver.StreamPage, err error) {
	err = t.do(ctx, func() error {
		page, err = t.s.readStream(ctx, t.ses, q)
		return err
	})
	return page, err
}

func (t *txStore) ReadAll(ctx context.Context, q driver.FeedQuery) (page driver.FeedPage, err error) {
	err = t.do(ctx, func() error {
		page, err = t.s.readAll(ctx, t.ses, q)
		return err
	})
	return page, err
}

func (t *txStore) Head(ctx context.Context) (pos driver.Position, err error) {
	err = t.do(ctx, func() error {
		pos, err = t.s.lastPosition(ctx, t.ses)
		return err
	})
	return pos, err
}

func (t *txStore) ListStreams(ctx context.Context, q driver.ListQuery) (page driver.ListPage, err error) {
	err = t.do(ctx, func() error {
		page, err = t.s.list(ctx, t.ses, q)
		return err
	})
	return page, err
}

func (t *txStore) Caps() driver.Caps { return t.s.Caps() }

func (t *txStore) Ping(ctx context.Context) error {
	_, err := t.Head(ctx)
	return err
}

func (t *txStore) Close() error { return nil }
