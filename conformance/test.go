package conformance

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-es/es/driver"
)

// test is one run of one check.
type test struct {
	TB
	cfg   *Config
	check *check
	caps  driver.Caps
	ctx   context.Context
	trace trace

	dsn     string    // of the data that open opens; made when first asked for
	clients []*client // to close at the end
	wrongs  atomic.Int32
	told    sync.Map            // the sentences of which wrong has told in full
	logs    map[string]*feedLog // by data source name
}

// now is the time since the check began.
func (t *test) now() time.Duration { return time.Since(t.trace.began) }

// data returns the name of the check's own data.
func (t *test) data() string {
	if t.dsn == "" {
		t.dsn = t.cfg.DSN(t.TB)
	}
	return t.dsn
}

// open opens a client of the check's data: the first, or another one.
func (t *test) open() *client {
	t.Helper()
	c, err := t.openDSN(t.data())
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	return c
}

// openDSN opens a client on a context that ends once it is open.
func (t *test) openDSN(dsn string) (*client, error) {
	ctx, cancel := context.WithCancel(t.ctx)
	defer cancel()
	s, err := t.openStore(ctx, dsn)
	if err != nil {
		return nil, err
	}
	return t.adopt(dsn, s), nil
}

// openStore opens a store and traces it, without the name, which may hold a
// password.
func (t *test) openStore(ctx context.Context, dsn string) (driver.Store, error) {
	s, err := t.cfg.Open(ctx, dsn)
	t.trace.add(traced{0, "Open", nil, "a store", err})
	return s, err
}

// adopt makes a client of a store of some data, and closes it at the end.
func (t *test) adopt(dsn string, s driver.Store) *client {
	if t.cfg.Private {
		dsn = fmt.Sprint(dsn, "#", len(t.clients))
	}
	anew := t.cfg.Volatile // then nothing is left of what other clients did
	for _, c := range t.clients {
		anew = anew && (c.dsn != dsn || c.closed.Load())
	}
	if t.logs[dsn] == nil || anew {
		if t.logs == nil {
			t.logs = map[string]*feedLog{}
		}
		t.logs[dsn] = newFeedLog()
	}
	c := &client{t: t, s: s, dsn: dsn, n: len(t.clients) + 1, log: t.logs[dsn]}
	t.clients = append(t.clients, c)
	return c
}

// openAll returns n clients of the check's data, or n times one where there
// cannot be several.
func (t *test) openAll(n int) []*client {
	t.Helper()
	cs := make([]*client, n)
	for i := range cs {
		if i > 0 && (t.cfg.Private || t.cfg.Alone) {
			cs[i] = cs[0]
		} else {
			cs[i] = t.open()
		}
	}
	return cs
}

// other returns a second client beside c, or c where there can be none.
func (t *test) other(c *client) *client {
	t.Helper()
	if t.cfg.Private || t.cfg.Alone {
		return c
	}
	return t.open()
}

func (t *test) closeAll() {
	for _, c := range slices.Backward(t.clients) {
		if err := c.s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	}
}

// broken ends the check: it saw that a sentence does not hold. Call it on the
// goroutine of the check.
func (t *test) broken(rule, format string, args ...any) {
	t.Helper()
	t.Fatalf("%s", t.story(rule, fmt.Sprintf(format, inShort(args)...), ""))
}

// wrong is broken for any goroutine: the check goes on. What breaks the same
// sentence again is told in short.
func (t *test) wrong(rule, format string, args ...any) {
	t.Helper()
	if t.wrongs.Add(1) > 3 {
		return
	}
	seen := fmt.Sprintf(format, inShort(args)...)
	if _, again := t.told.LoadOrStore(rule, true); again {
		t.Errorf("%s: %s is broken here, too\n    seen:     %s", t.check.name, rule, noError(seen))
		return
	}
	t.Errorf("%s", t.story(rule, seen, ""))
}

// noError puts the error that there was not into words.
func noError(seen string) string { return strings.ReplaceAll(seen, "error none", "no error") }

// story is what the reader of a failure needs.
func (t *test) story(rule, seen, history string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s does not hold\n", t.check.name, rule)
	fmt.Fprintf(&b, "    promised: %s\n", sentences[rule])
	fmt.Fprintf(&b, "    seen:     %s\n", noError(seen))
	b.WriteString(history)
	last, legend := t.trace.String(), ""
	if inPlaces.MatchString(history + last) {
		legend = " (x/1@2 is version 1 of stream x at position 2)"
	}
	fmt.Fprintf(&b, "    done last%s:\n%s", legend, last)
	return b.String()
}

// inPlaces finds records as a trace names them.
var inPlaces = regexp.MustCompile(`/\d+@\d`)

// must ends the check at an error that no sentence foresees.
func (t *test) must(err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%s: unexpected error: %v\n    done last:\n%s", t.check.name, err, t.trace.String())
	}
}

// together runs f n times at once, each on its own goroutine, and waits.
func (t *test) together(n int, f func(i int)) {
	var wg sync.WaitGroup
	start := make(chan struct{})
	for i := range n {
		wg.Go(func() {
			<-start
			f(i)
		})
	}
	close(start)
	wg.Wait()
}

// eventually calls f until it returns true or the bound of the feed has passed.
func (t *test) eventually(f func() bool) bool {
	deadline := time.Now().Add(t.cfg.FeedBound)
	for pause := time.Millisecond; !f(); pause = min(2*pause, 50*time.Millisecond) {
		if time.Now().After(deadline) || t.ctx.Err() != nil {
			return false
		}
		time.Sleep(pause)
	}
	return true
}

// transientTime bounds how long one call is made again.
const transientTime = 30 * time.Second

// retry calls f again as long as it returns a transient error, as es does.
func retry(ctx context.Context, f func() error) error {
	deadline := time.Now().Add(transientTime)
	for pause := time.Millisecond; ; pause = min(2*pause, 50*time.Millisecond) {
		err := f()
		if err == nil || !driver.IsTransient(err) || errors.Is(err, driver.ErrUnknownOutcome) || ctx.Err() != nil || time.Now().After(deadline) {
			return err
		}
		time.Sleep(pause)
	}
}
