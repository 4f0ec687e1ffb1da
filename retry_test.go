package es_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-es/es"
	"github.com/go-es/es/driver"
)

var errBusy = driver.Transient(fmt.Errorf("the database is busy: %w", errBroken))

// failing returns a driver store whose every call fails with what fail returns,
// unless that is nil. It has all optional interfaces but groups and wake-ups.
func failing(fail func(name string) error) fakeKeeper {
	f := fakeKeeper{fake: overMemory(), before: fail}
	f.onAppend = func(ctx context.Context, req driver.AppendRequest) (out driver.AppendResult, err error) {
		err = f.do("append", func() error { out, err = f.Store.Append(ctx, req); return err })
		return out, err
	}
	f.onDelete = func(ctx context.Context, req driver.DeleteRequest) (out driver.Appended, err error) {
		err = f.do("delete", func() error { out, err = f.Store.Delete(ctx, req); return err })
		return out, err
	}
	f.onStream = func(ctx context.Context, q driver.StreamQuery) (page driver.StreamPage, err error) {
		err = f.do("read", func() error { page, err = f.Store.ReadStream(ctx, q); return err })
		return page, err
	}
	f.onFeed = func(ctx context.Context, q driver.FeedQuery) (page driver.FeedPage, err error) {
		err = f.do("feed", func() error { page, err = f.Store.ReadAll(ctx, q); return err })
		return page, err
	}
	f.onList = func(ctx context.Context, q driver.ListQuery) (page driver.ListPage, err error) {
		err = f.do("list", func() error { page, err = f.Store.ListStreams(ctx, q); return err })
		return page, err
	}
	f.onHead = func(ctx context.Context) (p driver.Position, err error) {
		err = f.do("head", func() error { p, err = f.Store.Head(ctx); return err })
		return p, err
	}
	f.onPing = func(ctx context.Context) error {
		return f.do("ping", func() error { return f.Store.Ping(ctx) })
	}
	return f
}

// troubled is a store over a failing one, whose stream "s" has two events, and
// the number of calls of the driver since.
func troubled(t *testing.T, fail func(name string) error, opts ...es.Option) (*es.Store, *int) {
	t.Helper()
	calls, on := 0, false
	s := over(t, failing(func(name string) error {
		if !on {
			return nil
		}
		calls++
		return fail(name)
	}), opts...)
	put(t, s, "s", tick{1}, tick{2})
	on = true
	return s, &calls
}

// Every operation is made again after transient errors, with growing pauses.
func TestRetries(t *testing.T) {
	for _, op := range operations {
		synctest.Test(t, func(t *testing.T) {
			var at []time.Time
			var hooks []int
			s, _ := troubled(t, func(string) error {
				at = append(at, time.Now())
				if len(at) <= 12 {
					return errBusy
				}
				return nil
			}, es.WithHooks(es.Hooks{Retry: func(ctx context.Context, o es.Op, attempt int, err error) {
				if !errors.Is(err, errBroken) || o.Name == "" {
					t.Errorf("%s: the hook was called with %q, error %v", op.name, o.Name, err)
				}
				hooks = append(hooks, attempt)
			}}))
			if err := op.call(t.Context(), s); err != nil {
				t.Errorf("%s: %v", op.name, err)
			}
			if len(at) < 13 || !slices.Equal(hooks, []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}) {
				t.Fatalf("%s: %d calls, the hook was called with %v", op.name, len(at), hooks)
			}
			for i, want := 0, time.Millisecond; i < 12; i++ {
				pause := at[i+1].Sub(at[i])
				if pause < want/2 || pause > want*3/2 {
					t.Errorf("%s: pause %d is %v, want about %v", op.name, i, pause, want)
				}
				want = min(2*want, 250*time.Millisecond)
			}
		})
	}
}

func TestWhatIsNeverRetried(t *testing.T) {
	for _, err := range []error{
		errBroken,
		fmt.Errorf("wrapped: %w", es.ErrConflict),
		&es.ConflictError{Stream: "s"},
		es.ErrClosed,
		context.DeadlineExceeded, // the driver's own
		es.ErrCheckpointConflict,
		es.ErrCheckpointAhead,
		errors.ErrUnsupported,
	} {
		for _, op := range operations {
			synctest.Test(t, func(t *testing.T) {
				s, calls := troubled(t, func(string) error { return err })
				start := time.Now()
				is(t, op.name, op.call(t.Context(), s), err)
				if *calls != 1 || time.Since(start) != 0 {
					t.Errorf("%s: error %v: %d calls in %v", op.name, err, *calls, time.Since(start))
				}
			})
		}
	}
}

func TestRetryEndsWithTheContext(t *testing.T) {
	for _, op := range operations {
		synctest.Test(t, func(t *testing.T) {
			s, _ := troubled(t, func(string) error { return errBusy })
			ctx, cancel := context.WithTimeout(t.Context(), 1234*time.Millisecond)
			defer cancel()
			start := time.Now()
			err := op.call(ctx, s)
			is(t, op.name, err, context.DeadlineExceeded)
			is(t, op.name, err, errBroken)
			if d := time.Since(start); d != 1234*time.Millisecond {
				t.Errorf("%s: it took %v", op.name, d)
			}
			if err != nil && !strings.HasPrefix(err.Error(), "es: ") {
				t.Errorf("%s: error %v", op.name, err)
			}
		})
	}
}

// A context that ends while the call that fails is running is noticed before the
// next one, and without a pause.
func TestRetryNoticesTheContextAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		s, calls := troubled(t, func(string) error { cancel(); return errBusy })
		start := time.Now()
		_, err := s.Append(ctx, "s", es.Any, tick{})
		is(t, "Append", err, context.Canceled)
		is(t, "Append", err, errBroken)
		if *calls != 1 || time.Since(start) != 0 {
			t.Errorf("%d calls in %v", *calls, time.Since(start))
		}
	})
}

// A store that closes tries nothing again, and says what the error was.
func TestRetryEndsWithTheStore(t *testing.T) {
	for _, op := range operations {
		synctest.Test(t, func(t *testing.T) {
			s, calls := troubled(t, func(string) error { return errBusy })
			start := time.Now()
			time.AfterFunc(1234*time.Millisecond, func() { s.Close() })
			err := op.call(t.Context(), s)
			is(t, op.name, err, es.ErrClosed)
			is(t, op.name, err, errBroken)
			if d := time.Since(start); d != 1234*time.Millisecond || *calls < 3 {
				t.Errorf("%s: %d calls in %v", op.name, *calls, d)
			}
			if err != nil && (!strings.HasPrefix(err.Error(), "es: ") || strings.Count(err.Error(), "es: ") > 1) {
				t.Errorf("%s: error %v", op.name, err)
			}
		})
	}
}

func TestRetryFor(t *testing.T) {
	for _, row := range []struct {
		opts []es.Option
		most time.Duration
	}{
		{[]es.Option{es.RetryFor(0)}, 0},
		{[]es.Option{es.RetryFor(time.Microsecond)}, 0},
		{[]es.Option{es.RetryFor(time.Second)}, time.Second},
		{[]es.Option{es.RetryFor(5 * time.Minute)}, 5 * time.Minute},
		{nil, 30 * time.Second},
	} {
		for _, op := range operations {
			synctest.Test(t, func(t *testing.T) {
				s, calls := troubled(t, func(string) error { return errBusy }, row.opts...)
				start := time.Now()
				err := op.call(t.Context(), s)
				is(t, op.name, err, errBroken)
				if !es.IsTransient(err) {
					t.Errorf("%s: the error is no longer transient", op.name)
				}
				d := time.Since(start)
				if d > row.most || d < row.most-375*time.Millisecond {
					t.Errorf("%s: it was tried for %v, want %v", op.name, d, row.most)
				}
				if row.most == 0 && *calls != 1 || row.most > 0 && *calls < 3 {
					t.Errorf("%s: %d calls", op.name, *calls)
				}
			})
		}
	}
}

// The time of calls counts as well.
func TestRetryForCountsSlowCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, calls := troubled(t, func(string) error { time.Sleep(time.Second); return errBusy }, es.RetryFor(10*time.Second))
		_, err := s.Append(t.Context(), "s", es.Any, tick{})
		is(t, "Append", err, errBroken)
		if *calls < 8 || *calls > 11 {
			t.Errorf("%d calls", *calls)
		}
	})
}

func unknown() error { return &driver.UnknownOutcomeError{Err: errBroken} }

// What has the same effect however often it is done is done again after an
// unknown outcome: applied or not, it ends well, and a checkpoint is sent with
// the same revision.
func TestUnknownOutcomesThatAreRepeated(t *testing.T) {
	for _, applied := range []bool{false, true} {
		for _, op := range operations {
			switch op.name {
			case "save checkpoint", "delete checkpoint", "save snapshot", "delete snapshot":
			default:
				continue
			}
			synctest.Test(t, func(t *testing.T) {
				n := 0
				fail := func(string) error {
					if n++; n <= 3 {
						return unknown()
					}
					return nil
				}
				var revisions []driver.Revision
				f := fakeKeeper{fake: overMemory(), revisions: &revisions}
				s := over(t, f)
				put(t, s, "s", tick{1}, tick{2})
				if f.before = fail; applied {
					f.before, f.after = nil, fail
				}
				s = over(t, f)
				if err := op.call(t.Context(), s); err != nil {
					t.Errorf("%s, applied %v: %v", op.name, applied, err)
				}
				if n != 4 {
					t.Errorf("%s, applied %v: %d calls", op.name, applied, n)
				}
				if op.name == "save checkpoint" {
					if len(revisions) != 4 || len(slices.Compact(revisions)) != 1 {
						t.Errorf("revisions %v", revisions)
					}
					if cp, err := s.Checkpoint(t.Context(), "c"); err != nil || cp.Revision != revisions[0] {
						t.Errorf("it is at revision %v, error %v", cp.Revision, err)
					}
				}
			})
		}
	}
}

// An outcome that stays unknown is reported as such, with the cause; and what
// another has saved in between is a conflict.
func TestUnknownOutcomesThatLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := troubled(t, func(string) error { return unknown() }, es.RetryFor(time.Second))
		start := time.Now()
		cp, err := s.SaveCheckpoint(t.Context(), es.Checkpoint{Name: "c", Position: 7})
		is(t, "SaveCheckpoint", err, es.ErrUnknownOutcome)
		is(t, "SaveCheckpoint", err, errBroken)
		if es.IsTransient(err) {
			t.Error("it is transient")
		}
		if !cp.Revision.IsZero() || cp.Position != 7 {
			t.Errorf("it returns %+v", cp)
		}
		if d := time.Since(start); d < time.Second/2 || d > time.Second {
			t.Errorf("it was tried for %v", d)
		}
	})
	// And one that is followed by errors of which each would mean that nothing was saved.
	for _, then := range []error{driver.Transient(errBroken), es.ErrClosed, context.Canceled} {
		synctest.Test(t, func(t *testing.T) {
			n := 0
			s, _ := troubled(t, func(string) error {
				if n++; n == 1 {
					return unknown()
				}
				return then
			}, es.RetryFor(time.Second))
			_, err := s.SaveCheckpoint(t.Context(), es.Checkpoint{Name: "c", Position: 7})
			if is(t, "SaveCheckpoint", err, es.ErrUnknownOutcome); es.IsTransient(err) || n < 2 {
				t.Errorf("after %v: %v (%d calls)", then, err, n)
			}
		})
	}
	synctest.Test(t, func(t *testing.T) {
		var s *es.Store
		n := 0
		s, calls := troubled(t, func(string) error {
			if n++; n == 1 {
				other := driver.Checkpoint{Name: "c", Position: 1, Revision: driver.Revision{1}}
				if err := s.Driver().(fakeKeeper).checkpoints().SaveCheckpoint(context.Background(), other, driver.Revision{}); err != nil {
					t.Error(err)
				}
				return unknown()
			}
			return nil
		})
		_, err := s.SaveCheckpoint(t.Context(), es.Checkpoint{Name: "c", Position: 7})
		is(t, "SaveCheckpoint", err, es.ErrCheckpointConflict)
		if *calls != 2 {
			t.Errorf("%d calls", *calls)
		}
	})
}

// An append of unknown outcome is never repeated by the store itself, not even if
// the driver calls its cause transient.
func TestUnknownAppendsAreNotRepeated(t *testing.T) {
	lost := &driver.UnknownOutcomeError{Parts: []driver.UnknownPart{{Stream: "s", Base: 2}}, Err: errBusy}
	for _, err := range []error{lost, driver.Transient(lost), es.ErrUnknownOutcome} {
		for _, op := range operations {
			if op.name != "append" && op.name != "append all" && op.name != "delete" {
				continue
			}
			s, calls := troubled(t, func(string) error { return err })
			got := op.call(t.Context(), s)
			is(t, op.name, got, es.ErrUnknownOutcome)
			var u *es.UnknownOutcomeError
			if errors.As(err, new(*driver.UnknownOutcomeError)) != errors.As(got, &u) {
				t.Errorf("%s: error %T", op.name, got)
			}
			if *calls != 1 {
				t.Errorf("%s: %d calls", op.name, *calls)
			}
		}
	}
}

// Two writers wait for a database that is busy, and both get through.
func TestRetriesOfManyWriters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		n := 0
		f := fakeGroup{fake: overMemory()}
		fail := func() bool {
			mu.Lock()
			defer mu.Unlock()
			n++
			return n%3 != 0
		}
		f.onAppend = func(ctx context.Context, req driver.AppendRequest) (driver.AppendResult, error) {
			time.Sleep(time.Millisecond)
			if fail() {
				return driver.AppendResult{}, errBusy
			}
			return f.Store.Append(ctx, req)
		}
		f.onGroup = func(ctx context.Context, reqs []driver.AppendRequest) []driver.Outcome {
			time.Sleep(time.Millisecond)
			outs := make([]driver.Outcome, len(reqs))
			for i := range reqs { // each for itself
				if fail() {
					outs[i].Err = errBusy
				} else {
					outs[i].Result, outs[i].Err = f.Store.Append(ctx, reqs[i])
				}
			}
			return outs
		}
		s := over(t, f)
		var wg sync.WaitGroup
		for w := range 16 {
			wg.Go(func() {
				for i := range 5 {
					if _, err := s.Append(t.Context(), fmt.Sprint("s", w), es.Exactly(es.Version(i)), tick{i}); err != nil {
						t.Errorf("writer %d: %v", w, err)
					}
				}
			})
		}
		wg.Wait()
		if got := len(all(t, s.ReadAll(t.Context()))); got != 16*5 {
			t.Errorf("%d events", got)
		}
	})
}

func TestIsTransient(t *testing.T) {
	for _, row := range []struct {
		err  error
		want bool
	}{
		{nil, false},
		{errBroken, false},
		{errBusy, true},
		{fmt.Errorf("wrapped: %w", errBusy), true},
		{&es.UnknownOutcomeError{Err: errBusy}, false},
	} {
		if got := es.IsTransient(row.err); got != row.want {
			t.Errorf("IsTransient(%v) is %v", row.err, got)
		}
	}
}
