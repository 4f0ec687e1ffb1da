package mysql

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/go-es/es/driver"
)

// A position without a row is one that a writer has taken and not yet inserted, or
// whose transaction is not committed, or was undone. Who reads the feed cannot
// tell which; but it can take the position itself, with a row that is a filler. The
// primary key lets one row have it. If a writer holds it, its row is there and
// locked, and the position is left alone. If the writer has not come to insert
// it, it will be refused, and appends with new positions. Either way it is
// decided before anybody reads on.

const (
	gapAge    = 10 * time.Millisecond // before a gap is filled; most close by themselves
	fillMost  = 500                   // with one statement; a list of 1000 MariaDB makes a table of
	gapMost   = 10_000_000            // more are no gap: somebody has changed AUTO_INCREMENT
	marksKept = 64
)

// gaps remembers how far the feed went at some moments. Who took a position below
// the last row of such a moment had taken it by then: so all gaps below it are at
// least as old, also those that a reader has not come to yet.
type gaps struct {
	mu    sync.Mutex
	old   driver.Position // below it every gap is old enough
	marks []mark          // later ones, both parts of which rise
}

type mark struct {
	last driver.Position
	at   time.Time
}

// aged reports whether a gap below a position has been there for a while, and if
// not, whether a mark will say so.
func (g *gaps) aged(above driver.Position) (old, marked bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for len(g.marks) > 0 && time.Since(g.marks[0].at) >= gapAge {
		g.old = max(g.old, g.marks[0].last)
		g.marks = g.marks[1:]
	}
	n := len(g.marks)
	return above <= g.old, n == marksKept || n > 0 && above <= g.marks[n-1].last
}

// mark notes that the feed goes up to a position now.
func (g *gaps) mark(last driver.Position) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if n := len(g.marks); n < marksKept && (n == 0 || last > g.marks[n-1].last) {
		g.marks = append(g.marks, mark{last, time.Now()})
	}
}

// wait reports whether a gap below a position is too young to be filled.
func (s *Store) wait(ctx context.Context, ses *session, above driver.Position) (bool, error) {
	old, marked := s.gaps.aged(above)
	if old || marked {
		return !old, nil
	}
	last, err := s.lastPosition(ctx, ses)
	if err == nil {
		s.gaps.mark(max(last, above))
	}
	return true, err
}

// fill fills a gap in ascending order, up to the first position that a writer
// holds. It reports whether there may be something new to read.
func (s *Store) fill(ctx context.Context, ses *session, g gap) (bool, error) {
	if ses.tx != nil {
		return false, nil
	}
	if young, err := s.wait(ctx, ses, g.to); err != nil || young {
		return false, err
	}
	if g.to-g.from > gapMost {
		return false, fmt.Errorf("es: mysql: there are no events at the positions %d to %d, and one above: was AUTO_INCREMENT of %s changed? The feed cannot go on", g.from, g.to-1, s.events)
	}
	restore, err := s.hasten(ctx, ses)
	if err != nil {
		return false, err
	}
	defer restore()
	moved := false
	for n := driver.Position(fillMost); g.from < g.to; {
		n = min(n, g.to-g.from)
		err := s.claim(ctx, ses, g.from, g.from+n)
		switch serverError(err) {
		case 0:
			if err != nil {
				return false, err
			}
			moved = true
			g.from += n
		case errDuplicate:
			return true, nil // another reader, or the writer, was faster
		case errDeadlock:
			return moved, nil // other readers are at it
		case errLockWait, errNoWait:
			if n == 1 {
				return moved, nil
			}
			n /= 2 // up to the one that is held
		default:
			return false, err
		}
	}
	return moved, nil
}

// hasten lets fillers wait for a second at most, where a writer comes between: they
// hold the positions before it meanwhile. MariaDB can say so in the statement. The
// function that it returns puts the session's own time back.
func (s *Store) hasten(ctx context.Context, ses *session) (func(), error) {
	if s.maria {
		return func() {}, nil
	}
	own := lockWait
	if ses.own == nil {
		if err := ses.query(ctx, "SELECT CAST(@@SESSION.innodb_lock_wait_timeout AS CHAR)", first(&own)); err != nil {
			return nil, err
		}
	}
	const set = "SET SESSION innodb_lock_wait_timeout="
	if _, err := ses.exec(ctx, set+"1"); err != nil {
		return nil, err
	}
	return func() {
		if _, err := ses.exec(ctx, set+own); err != nil {
			ses.drop = true
		}
	}, nil
}

// claim inserts fillers at the positions from one up to another. First it looks
// whether somebody holds one of them, since the statement itself would wait. It asks for
// each by its key: a look at a range, or at all rows, would also ask for the lock of the
// event above the gap, which a transaction that appends behind that one holds. The
// column is one that is not in the key: else the server may read the key as a whole.
func (s *Store) claim(ctx context.Context, ses *session, from, to driver.Position) error {
	missing := make([]driver.Position, 0, fillMost)
	for p := from; p < to; p++ {
		missing = append(missing, p)
	}
	t := make(text, 0, 1024+64*len(missing))
	t.add("SELECT kind FROM ", s.events, " FORCE INDEX (PRIMARY) WHERE position IN (")
	t.list(missing)
	t.add(") FOR UPDATE NOWAIT")
	if err := ses.query(ctx, string(t), discard); err != nil {
		return err
	}
	t = t[:0]
	if s.maria {
		t.add("SET STATEMENT innodb_lock_wait_timeout=0 FOR ")
	}
	t.add("INSERT INTO ", s.events, " (position,kind,stream,version,id,type,encoding,time,size,tags,metadata,data) VALUES ")
	for i, p := range missing {
		if i > 0 {
			t.add(",")
		}
		t.add("(", int64(p), ",1,'',", int64(p), ",'','','',0,0,'','','')")
	}
	_, err := ses.exec(ctx, string(t))
	return err
}
