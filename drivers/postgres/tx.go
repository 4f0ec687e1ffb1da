package postgres

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/jackc/pgx/v5"

	"github.com/go-es/es/driver"
)

// InTx returns a store that works inside a transaction of the caller's, in the
// same database: what it appends is stored when the caller commits, together with
// whatever else the transaction changes. It implements driver.Store and no more,
// and its Close does nothing. After an error, roll back.
//
// From its first append to its end the transaction holds the feed back: readers
// get what was appended before it, and nothing that others append meanwhile. It
// locks the streams that it appends to, in the order of its calls, so that two
// such transactions can be in each other's way: PostgreSQL then ends one of them,
// after deadlock_timeout. Keep it short, and let the server end one that was
// forgotten (idle_in_transaction_session_timeout).
//
// The transaction is best READ COMMITTED. One of REPEATABLE READ or SERIALIZABLE
// fails where another has appended to a stream since it began; and its ReadAll
// does not pass a position that is missing.
func (s *Store) InTx(tx pgx.Tx) driver.Store {
	return &txStore{s: s, tx: tx}
}

type txStore struct {
	s     *Store
	tx    pgx.Tx
	mu    sync.Mutex // a transaction runs one statement at a time
	fence fenced     // what others must not build on: it sees what is not committed
}

// do calls f with the transaction's connection. Statements that are not prepared
// leave nothing behind on it.
func (t *txStore) do(ctx context.Context, f func(ses *session) error) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	// Nothing is sent for an empty batch: it only says whether this transaction is
	// open. Its connection may be in another one by now.
	if err := t.tx.SendBatch(ctx, &pgx.Batch{}).Close(); err != nil {
		return fmt.Errorf("es: postgres: the transaction has ended: %w", err)
	}
	conn := t.tx.Conn()
	if conn == nil || conn.IsClosed() {
		return errors.New("es: postgres: the transaction's connection is closed")
	}
	if conn.PgConn().TxStatus() == 'I' {
		return errors.New("es: postgres: the transaction has ended")
	}
	err := f(&session{pc: conn.PgConn(), texts: t.s.texts, inTx: true})
	if err == nil || ctx.Err() == nil {
		return inTransaction(fail(err))
	}
	return ctx.Err()
}

// inTransaction takes from an error the mark that the call may be made again: the
// transaction has failed, and only its owner can begin another.
func inTransaction(err error) error {
	if driver.IsTransient(err) {
		return &failedError{err.Error(), errors.Unwrap(err)}
	}
	return err
}

type failedError struct {
	text string
	err  error
}

func (e *failedError) Error() string { return e.text + "; roll back, and begin again" }
func (e *failedError) Unwrap() error { return e.err }

func (t *txStore) Append(ctx context.Context, req driver.AppendRequest) (driver.AppendResult, error) {
	var result driver.AppendResult
	err := t.do(ctx, func(ses *session) error {
		l := locked{ses: ses, req: req}
		write, err := l.lock(ctx, inside)
		if err != nil {
			return err
		}
		if write {
			err = l.write(ctx, inside)
		} else if err = l.release(ctx); err == nil {
			err = l.err
		}
		result = l.result
		return err
	})
	if err != nil {
		return driver.AppendResult{}, err
	}
	return result, nil
}

func (t *txStore) Delete(ctx context.Context, req driver.DeleteRequest) (driver.Appended, error) {
	d := deletion{s: t.s, req: req, inTx: true}
	err := t.do(ctx, func(ses *session) error { return d.do(ctx, ses, inside) })
	if err != nil {
		return driver.Appended{}, err
	}
	return d.result, nil
}

func (t *txStore) ReadStream(ctx context.Context, q driver.StreamQuery) (page driver.StreamPage, err error) {
	err = t.do(ctx, func(ses *session) error {
		page, err = readStream(ctx, ses, q)
		return err
	})
	return page, err
}

func (t *txStore) ReadAll(ctx context.Context, q driver.FeedQuery) (page driver.FeedPage, err error) {
	err = t.do(ctx, func(ses *session) error {
		f := feed{ses: ses, fence: &t.fence, inTx: true}
		page, err = f.read(ctx, q)
		return err
	})
	return page, err
}

func (t *txStore) Head(ctx context.Context) (pos driver.Position, err error) {
	err = t.do(ctx, func(ses *session) error {
		pos, err = lastPosition(ctx, ses)
		return err
	})
	return pos, err
}

func (t *txStore) ListStreams(ctx context.Context, q driver.ListQuery) (page driver.ListPage, err error) {
	err = t.do(ctx, func(ses *session) error {
		page, err = list(ctx, ses, q)
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
