package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/go-es/es/driver"
)

const (
	notifyEvery = 10 * time.Millisecond // at most
	notifyTime  = 2 * time.Second       // that one may take
	listenPause = 5 * time.Second       // between attempts to listen, at most
)

// channel is what the processes of a store notify and listen on.
func (cfg *Config) channel() string {
	name := cfg.table("") + "@" + cfg.schema()
	return strings.ToValidUTF8(name[:min(len(name), maxIdentifier)], "")
}

// news tells other processes that this one has appended: once in 10 ms at most, in
// a transaction of its own. A notification within the append's transaction would
// make all appends of a database commit one after the other.
type news struct {
	s     *Store
	wake  chan struct{} // something was appended
	once  sync.Once
	ended chan struct{}
}

func newNews(s *Store) *news {
	return &news{s: s, wake: make(chan struct{}, 1), ended: make(chan struct{})}
}

// appended is called after each append.
func (n *news) appended() {
	n.once.Do(func() { go n.run() })
	select {
	case n.wake <- struct{}{}:
	default:
	}
}

// end waits until nothing runs. The store is closing, and appends no more.
func (n *news) end() {
	n.once.Do(func() { close(n.ended) })
	<-n.ended
}

func (n *news) run() {
	defer close(n.ended)
	pause := time.NewTimer(0)
	defer pause.Stop()
	<-pause.C
	channel := []byte(n.s.cfg.channel())
	for {
		select {
		case <-n.wake:
		case <-n.s.gate.Closing():
			select {
			case <-n.wake: // the last one
			default:
				return
			}
		}
		ctx, cancel := context.WithTimeout(n.s.gate.Abort(), notifyTime)
		if c, ses, err := n.s.acquire(ctx); err == nil {
			ses.run(ctx, notify, nil, channel) // a wake-up may be lost
			c.Release()
		}
		cancel()
		pause.Reset(notifyEvery)
		select {
		case <-pause.C:
		case <-n.s.gate.Closing():
		}
	}
}

// Listen calls wake when a process has appended, which LISTEN tells it on a
// connection of its own. A connection pooler between, which may give each
// transaction another session, makes that impossible: Listen then returns an error
// that is errors.ErrUnsupported, and who follows the feed polls.
func (s *Store) Listen(ctx context.Context, wake func()) error {
	if err := s.gate.Enter(ctx); err != nil {
		return err
	}
	defer s.gate.Leave()
	lctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var stop sync.WaitGroup
	stop.Go(func() {
		select {
		case <-s.gate.Closing():
			cancel()
		case <-lctx.Done():
		}
	})
	defer stop.Wait()
	defer cancel()
	pause := 10 * time.Millisecond
	for {
		heard, err := s.listen(lctx, wake)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case lctx.Err() != nil:
			return driver.ErrClosed
		case errors.Is(err, errors.ErrUnsupported):
			return err
		}
		if heard {
			pause = 10 * time.Millisecond
			wake() // what came meanwhile was not heard
		}
		t := time.NewTimer(pause)
		select {
		case <-t.C:
		case <-lctx.Done():
		}
		t.Stop()
		pause = min(2*pause, listenPause)
	}
}

// listen listens until the connection breaks. heard says that it did at all.
func (s *Store) listen(ctx context.Context, wake func()) (heard bool, err error) {
	c, ses, err := s.acquire(ctx)
	if err != nil {
		return false, err
	}
	if ses.known == nil {
		c.Release()
		return false, fmt.Errorf("es: postgres: a pooler is between the store and the server, or prepared statements are off, and LISTEN may be lost there: %w", errors.ErrUnsupported)
	}
	conn := c.Hijack()
	defer func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		conn.Close(ctx)
		<-conn.PgConn().CleanupDone()
	}()
	if _, err := conn.Exec(ctx, "LISTEN "+pgx.Identifier{s.cfg.channel()}.Sanitize()); err != nil {
		return false, err
	}
	wake() // of what was appended before
	for {
		if _, err := conn.WaitForNotification(ctx); err != nil {
			return true, err
		}
		wake()
	}
}
