package sqlite

import (
	"cmp"
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/go-es/es/driver"
)

// settleTime bounds how long a write whose outcome is unknown is sent again.
const settleTime = 2 * time.Second

// withWriter calls f with the connection that writes, which f may replace; it is
// nil if it broke.
func (s *Store) withWriter(ctx context.Context, f func(c **conn) error) error {
	if err := s.gate.Enter(ctx); err != nil {
		return err
	}
	defer s.gate.Leave()
	var c *conn
	select {
	case c = <-s.writer:
	case <-ctx.Done():
		return ctx.Err()
	case <-s.gate.Closing():
		return driver.ErrClosed
	}
	defer func() { s.writer <- c }()
	return f(&c)
}

// write calls f inside a write transaction, and commits it if f succeeds. Where
// the COMMIT fails and may yet be found after a crash, f is called again in
// another one, on a context of its own, until that tells: f has to recognise what it
// wrote. What could not be settled is an unsureError.
func (s *Store) write(ctx context.Context, f func(context.Context, session) error) error {
	return s.withWriter(ctx, func(c **conn) error {
		err := s.transactOn(ctx, c, f)
		var first *unsureError
		if !errors.As(err, &first) {
			return err
		}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTime)
		defer cancel()
		for {
			if err := s.transactOn(ctx, c, f); err == nil || decided(err) {
				return err
			}
			select {
			case <-ctx.Done():
				return first
			case <-s.gate.Closing():
				return first
			case <-time.After(10 * time.Millisecond):
			}
		}
	})
}

// transactOn is transact on a connection that is replaced if it broke.
func (s *Store) transactOn(ctx context.Context, c **conn, f func(context.Context, session) error) error {
	if *c == nil {
		fresh, err := s.openWriter(ctx)
		if err != nil {
			return err
		}
		*c = fresh
	}
	err := s.transact(ctx, *c, f)
	if err == nil {
		s.log.checkpoint(*c, s.file)
	} else if (*c).broken && s.file != "" {
		(*c).close(true)
		*c = nil
	}
	return err
}

// transact calls f inside one write transaction.
func (s *Store) transact(ctx context.Context, c *conn, f func(context.Context, session) error) error {
	if err := s.begin(ctx, c); err != nil {
		return err
	}
	err := f(ctx, c)
	if moved := cmp.Or(s.self.check(), c.checkLog()); moved != nil {
		err = moved // what f found is not what others see
	} else if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		c.rollback()
		return err
	}
	if _, _, err := c.exec(commit); err != nil {
		c.rollback()
		if unsure(err) {
			return &unsureError{err}
		}
		return err
	}
	return nil
}

// begin takes the write lock, which is of the whole database.
func (s *Store) begin(ctx context.Context, c *conn) error {
	wait := s.wait(ctx)
	for {
		_, _, err := c.exec(begin)
		if err == nil {
			return nil
		}
		if !locked(err) {
			c.rollback() // a BEGIN that failed must not leave the connection in a transaction
			return err
		}
		if err := wait(err); err != nil {
			return err
		}
	}
}

// wait returns a function that waits a little because another connection is in
// the way, which cause says. It returns an error when the context ends, the store
// closes, or it has been too long. SQLite's lock has no queue, and a process that
// writes all the time leaves it free for microseconds: the shorter the waits, the
// sooner another one meets such a moment. With half a millisecond at most, four
// processes that do nothing but append wait for 0.15 s at worst, where
// SQLite's own busy handler makes them wait for seconds.
func (s *Store) wait(ctx context.Context) func(cause error) error {
	var start time.Time
	pause := 50 * time.Microsecond
	return func(cause error) error {
		now := time.Now()
		if start.IsZero() {
			start = now
		} else if now.Sub(start) > s.cfg.Busy {
			return cause
		}
		t := time.NewTimer(pause/2 + rand.N(pause/2))
		defer t.Stop()
		pause = min(2*pause, 500*time.Microsecond)
		select {
		case <-t.C:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		case <-s.gate.Closing():
			return driver.ErrClosed
		}
	}
}
