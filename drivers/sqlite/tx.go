package sqlite

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
// driver.Store and no more, and its Close does nothing. After an error, roll back.
//
// Begin the transaction with BEGIN IMMEDIATE (mattn and modernc: _txlock=immediate
// in the data source name), or an append fails if another connection has written
// since the transaction first read. From its first write to its end no other
// connection can write to the database, this store included: an append to the
// store itself, beside the transaction and from the same goroutine, waits in vain.
// The connection has to have synchronous=FULL, which is checked at the first
// write; a purge sets its secure_delete.
func (s *Store) InTx(tx *sql.Tx) driver.Store {
	return &txStore{s: s, ses: &callers{tx: tx, texts: s.texts}}
}

type txStore struct {
	s       *Store
	mu      sync.Mutex // a transaction runs one statement at a time
	ses     *callers
	checked bool // the connection's settings
}

func (t *txStore) do(ctx context.Context, f func() error) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := t.s.self.check(); err != nil {
		return err
	}
	err := t.ended()
	if err == nil {
		err = f()
	}
	if driver.IsTransient(err) { // not in this transaction
		err = errors.Unwrap(err)
	}
	return err
}

// ended returns an error unless the transaction runs. SQLite itself ends some when a
// statement fails, as INSERT OR ROLLBACK does, and database/sql does not notice: further
// statements would each commit. BEGIN tells, and changes nothing: there is no
// transaction inside another one.
func (t *txStore) ended() error {
	_, err := t.ses.tx.ExecContext(background, "BEGIN")
	if err != nil {
		if primary(err) == codeError {
			return nil
		}
		return fail(err)
	}
	t.ses.tx.ExecContext(background, "ROLLBACK") // of what has written nothing
	return fmt.Errorf("es: sqlite: SQLite has ended the transaction, when a statement in it failed: %w", sql.ErrTxDone)
}

func (t *txStore) write(ctx context.Context, f func() error) error {
	return t.do(ctx, func() error {
		if !t.checked {
			if err := t.s.synced(t.ses); err != nil {
				return err
			}
			if _, err := t.ses.run("PRAGMA secure_delete = on"); err != nil {
				return err
			}
			t.checked = true
		}
		return f()
	})
}

func (t *txStore) Append(ctx context.Context, req driver.AppendRequest) (driver.AppendResult, error) {
	w := written{req: req}
	err := t.write(ctx, func() error { return w.append(t.ses) })
	if err != nil {
		return driver.AppendResult{}, err
	}
	return w.result, nil
}

func (t *txStore) Delete(ctx context.Context, req driver.DeleteRequest) (driver.Appended, error) {
	d := deletion{req: req}
	err := t.write(ctx, func() error { return d.do(ctx, t.ses) })
	if err != nil {
		return driver.Appended{}, err
	}
	return d.result, nil
}

func (t *txStore) ReadStream(ctx context.Context, q driver.StreamQuery) (page driver.StreamPage, err error) {
	err = t.do(ctx, func() error {
		page, err = readStream(ctx, t.ses, q)
		return err
	})
	return page, err
}

func (t *txStore) ReadAll(ctx context.Context, q driver.FeedQuery) (page driver.FeedPage, err error) {
	err = t.do(ctx, func() error {
		page, err = readAll(ctx, t.ses, q)
		return err
	})
	return page, err
}

func (t *txStore) Head(ctx context.Context) (pos driver.Position, err error) {
	err = t.do(ctx, func() error {
		pos, err = lastPosition(t.ses)
		return err
	})
	return pos, err
}

func (t *txStore) ListStreams(ctx context.Context, q driver.ListQuery) (page driver.ListPage, err error) {
	err = t.do(ctx, func() error {
		page, err = list(ctx, t.ses, q)
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
