package postgres

import (
	"slices"
	"strings"
	"sync"

	"github.com/go-es/es/driver"
)

// An append takes its positions from a sequence and commits them later: a reader
// may see position 7 while 6 is still being written, or will never be. It may pass
// 6 only when it knows that nobody can commit it any more.
//
// Whoever takes a position holds ROW EXCLUSIVE on the table from before that until
// after its commit is visible, or its rollback. So: look which event m is the last
// one visible, and then who holds that lock. Who has taken a position below m does
// hold it, or has ended. When those have all ended, every position up to m that
// can ever be there is visible to a statement that begins then.
//
// The holders are known by their virtual transactions, which pg_locks shows to
// everybody. A prepared transaction keeps its own until the server restarts; then
// it is shown as -1/xid, which was in no earlier list: so as long as there is such
// a holder, nothing is known.

// fenced is what a store's readers know together of positions that are final.
type fenced struct {
	mu      sync.Mutex
	server  int64           // when the server was started: another one knows nothing of this
	final   driver.Position // nothing can appear at or below it
	waiting *writers        // nil: nothing is known of the present ones
}

// writers are those who may commit positions up to last.
type writers struct {
	last    driver.Position
	holders []string
}

// view is what a call of ReadAll builds on, taken before its statement is sent.
type view struct {
	server  int64
	final   driver.Position
	waiting *writers
}

func (f *fenced) view() view {
	f.mu.Lock()
	defer f.mu.Unlock()
	return view{f.server, f.final, f.waiting}
}

// restarted forgets everything if the server is another one, or was started anew,
// since v was taken, or if events are gone that were there: the tables were
// restored. It reports whether v does not hold any more.
func (f *fenced) restarted(v view, server int64, head driver.Position) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.server != server || head < v.final {
		f.server, f.final, f.waiting = server, 0, nil
	}
	return v.server != server || head < v.final
}

// raise notes that nothing can appear at or below a position.
func (f *fenced) raise(server int64, final driver.Position) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.server == server {
		f.final = max(f.final, final)
	}
}

// look notes who writes now: the answer to a statement that was sent when v was
// the view.
func (f *fenced) look(v view, server int64, now *writers) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.server != server || v.server != server {
		return
	}
	if len(now.holders) == 0 {
		f.final = max(f.final, now.last)
	}
	if w := v.waiting; w != nil {
		left := slices.DeleteFunc(slices.Clone(w.holders), func(h string) bool { return !slices.Contains(now.holders, h) })
		if slices.ContainsFunc(now.holders, isPrepared) {
			left = now.holders
		}
		if len(left) > 0 {
			return // those that are there now are looked at when these have ended
		}
		f.final = max(f.final, w.last)
	}
	if f.waiting == v.waiting {
		f.waiting = now
	}
}

// isPrepared reports whether a holder is a prepared transaction that has outlived
// a restart.
func isPrepared(holder string) bool { return strings.HasPrefix(holder, "-1/") }
