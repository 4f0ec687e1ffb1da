package driver_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-es/es/driver"
)

// slowStream is a stream of a store that takes a second for each commit.
type slowStream struct {
	mu      sync.Mutex
	commits [][]driver.ID
	fail    func(commit int, base driver.Version) error // nil: none fails
}

func (s *slowStream) write(ctx context.Context, p *driver.Part) (driver.Appended, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-ctx.Done():
		return driver.Appended{}, ctx.Err()
	case <-time.After(time.Second):
	}
	base := driver.Version(len(s.ids()))
	var ids []driver.ID
	for _, r := range p.Records {
		ids = append(ids, r.ID)
	}
	var err error
	if s.fail != nil {
		err = s.fail(len(s.commits), base)
	}
	s.commits = append(s.commits, ids)
	return driver.Appended{First: base + 1, Last: base + driver.Version(len(ids))}, err
}

func (s *slowStream) ids() []driver.ID { return slices.Concat(s.commits...) }

// wide returns n records, the first of which has data of some bytes.
func wide(name byte, n, bytes int) []driver.Record {
	recs := make([]driver.Record, n)
	for i := range recs {
		recs[i].ID = driver.ID{name, byte(i), byte(i >> 8)}
	}
	recs[0].Data = make([]byte, bytes)
	return recs
}

// inLine appends what each of some callers has, one after the other into a line, and
// returns what they are told.
func inLine(t *testing.T, l *driver.Lines, caps driver.Caps, s *slowStream, give func(i int) context.Context, all [][]driver.Record) ([]driver.Appended, []error) {
	t.Helper()
	done, errs := make([]driver.Appended, len(all)), make([]error, len(all))
	var wait sync.WaitGroup
	for i, recs := range all {
		wait.Go(func() {
			p := driver.Part{Stream: "s", Expected: driver.Any, Records: recs}
			done[i], errs[i] = l.Append(give(i), caps, &p, s.write)
			if len(p.Records) != len(recs) {
				t.Errorf("append %d: its part was changed", i)
			}
		})
		synctest.Wait()
	}
	wait.Wait()
	return done, errs
}

func always(t *testing.T) func(int) context.Context {
	return func(int) context.Context { return t.Context() }
}

// Those that wait become one commit, in their order, and each is told where its
// records are.
func TestLines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l driver.Lines
		s, begin := &slowStream{}, time.Now()
		var all [][]driver.Record
		for i := range 40 {
			all = append(all, wide(byte(i), 1+i%3, 0))
		}
		done, errs := inLine(t, &l, driver.Caps{}, s, always(t), all)
		ids := s.ids()
		for i, recs := range all {
			first := done[i].First
			if errs[i] != nil || done[i].Last != first+driver.Version(len(recs))-1 {
				t.Fatalf("append %d: %+v, %v", i, done[i], errs[i])
			}
			for j, r := range recs {
				if at := int(first) - 1 + j; ids[at] != r.ID {
					t.Errorf("append %d was told version %d, which is %v", i, at+1, ids[at])
				}
			}
			if i > 0 && first != done[i-1].Last+1 {
				t.Errorf("append %d is at %d, and the one before ends at %d", i, first, done[i-1].Last)
			}
		}
		if took := time.Since(begin); len(s.commits) != 2 || took != 2*time.Second {
			t.Errorf("%d commits, in %v", len(s.commits), took)
		}

		// The line is gone: the next one writes alone.
		p := driver.Part{Stream: "s", Expected: driver.Any, Records: wide(99, 1, 0)}
		if got, err := l.Append(t.Context(), driver.Caps{}, &p, s.write); err != nil || int(got.First) != len(ids)+1 {
			t.Errorf("afterwards: %+v, %v", got, err)
		}
	})
}

// Appends to another stream do not wait.
func TestLinesOfTwoStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l driver.Lines
		var wait sync.WaitGroup
		begin := time.Now()
		for _, stream := range []string{"a", "b"} {
			wait.Go(func() {
				p := driver.Part{Stream: stream, Expected: driver.Any, Records: wide(1, 1, 0)}
				if _, err := l.Append(t.Context(), driver.Caps{}, &p, new(slowStream).write); err != nil {
					t.Error(err)
				}
			})
		}
		wait.Wait()
		if took := time.Since(begin); took != time.Second {
			t.Errorf("both took %v", took)
		}
	})
}

// A commit of several is within the limits of one append.
func TestLinesLimits(t *testing.T) {
	for _, c := range []struct {
		caps driver.Caps
		want []int // records of each commit
	}{
		{driver.Caps{}, []int{3, 21}},
		{driver.Caps{MaxAppendEvents: 6}, []int{3, 6, 6, 6, 3}},
		{driver.Caps{MaxAppendEvents: 5}, []int{3, 3, 3, 3, 3, 3, 3, 3}},
		{driver.Caps{MaxAppendEvents: 2}, []int{3, 3, 3, 3, 3, 3, 3, 3}},
		{driver.Caps{MaxAppendBytes: 5000}, []int{3, 9, 12}},
	} {
		synctest.Test(t, func(t *testing.T) {
			var l driver.Lines
			s := new(slowStream)
			var all [][]driver.Record
			for i := range 8 {
				bytes := 0
				if i == 2 || i == 4 {
					bytes = 3000
				}
				all = append(all, wide(byte(i), 3, bytes))
			}
			_, errs := inLine(t, &l, c.caps, s, always(t), all)
			var got []int
			for _, ids := range s.commits {
				got = append(got, len(ids))
			}
			if err := errors.Join(errs...); err != nil || !slices.Equal(got, c.want) {
				t.Errorf("%+v: commits of %v records, want %v; %v", c.caps, got, c.want, err)
			}
		})
	}
}

// Whoever gives up takes no other along, whether it waits or is being written.
func TestLinesGivenUp(t *testing.T) {
	for _, at := range []time.Duration{time.Second / 2, 3 * time.Second / 2} {
		synctest.Test(t, func(t *testing.T) {
			var l driver.Lines
			s := new(slowStream)
			var all [][]driver.Record
			for i := range 6 {
				all = append(all, wide(byte(i), 2, 0))
			}
			ctx, cancel := context.WithTimeout(t.Context(), at)
			defer cancel()
			done, errs := inLine(t, &l, driver.Caps{}, s, func(i int) context.Context {
				if i == 1 || i == 3 {
					return ctx
				}
				return t.Context()
			}, all)
			ids := s.ids()
			for i := range all {
				if i == 1 || i == 3 {
					if !errors.Is(errs[i], context.DeadlineExceeded) || slices.Contains(ids, all[i][0].ID) {
						t.Errorf("after %v, append %d: %v", at, i, errs[i])
					}
					continue
				}
				if errs[i] != nil || ids[done[i].First-1] != all[i][0].ID {
					t.Errorf("after %v, append %d: %+v, %v", at, i, done[i], errs[i])
				}
			}
			if len(ids) != 8 {
				t.Errorf("after %v: %d events are stored", at, len(ids))
			}
		})
	}
}

// Each is told of the failure, and with an unknown outcome at which base it may be
// stored itself.
func TestLinesFail(t *testing.T) {
	cause := errors.New("the answer was lost")
	deleted := &driver.StreamError{Stream: "s", Err: driver.ErrStreamDeleted}
	for _, c := range []struct {
		fail func(base driver.Version) error
		want func(err error, i int) bool
	}{
		{func(driver.Version) error { return deleted }, func(err error, _ int) bool { return err == deleted }},
		{func(base driver.Version) error {
			return &driver.UnknownOutcomeError{Parts: []driver.UnknownPart{{Stream: "s", Base: base}}, Err: cause}
		}, func(err error, i int) bool {
			u, ok := errors.AsType[*driver.UnknownOutcomeError](err)
			return ok && u.Err == cause && fmt.Sprint(u.Parts) == fmt.Sprint([]driver.UnknownPart{{Stream: "s", Base: driver.Version(2 * i)}})
		}},
		{func(driver.Version) error { return &driver.UnknownOutcomeError{Err: context.Canceled} },
			func(err error, _ int) bool { return errors.Is(err, driver.ErrUnknownOutcome) }},
	} {
		synctest.Test(t, func(t *testing.T) {
			var l driver.Lines
			s := &slowStream{fail: func(commit int, base driver.Version) error {
				if commit == 0 {
					return nil
				}
				return c.fail(base)
			}}
			var all [][]driver.Record
			for i := range 4 {
				all = append(all, wide(byte(i), 2, 0))
			}
			_, errs := inLine(t, &l, driver.Caps{}, s, always(t), all)
			for i, err := range errs {
				if i == 0 && err != nil || i > 0 && !c.want(err, i) {
					t.Errorf("append %d: %v", i, err)
				}
			}
			if len(s.commits) != 2 {
				t.Errorf("%d commits", len(s.commits))
			}
		})
	}
}

// A write that panics takes nobody else with it: the members of its group are told
// that nobody knows, and the line goes on.
func TestLinesPanic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l driver.Lines
		var wait sync.WaitGroup
		errs := make([]error, 4)
		panics, writes := 0, 0
		var mu sync.Mutex
		write := func(_ context.Context, p *driver.Part) (driver.Appended, error) {
			time.Sleep(time.Second)
			mu.Lock()
			defer mu.Unlock()
			if writes++; writes <= 2 {
				panic("by a test")
			}
			return driver.Appended{First: 1, Last: driver.Version(len(p.Records))}, nil
		}
		add := func(i int) {
			wait.Go(func() {
				defer func() {
					if recover() != nil {
						mu.Lock()
						defer mu.Unlock()
						panics++
					}
				}()
				_, errs[i] = l.Append(t.Context(), driver.Caps{}, &driver.Part{Stream: "s", Expected: driver.Any, Records: wide(byte(i), 1, 0)}, write)
			})
			synctest.Wait()
		}
		add(0)
		add(1)
		add(2)
		time.Sleep(1500 * time.Millisecond) // the first is over, and the second two are being written
		add(3)
		wait.Wait()
		if panics != 2 || errs[1] != nil || !errors.Is(errs[2], driver.ErrUnknownOutcome) || errs[3] != nil || writes != 3 {
			t.Errorf("%d panics, %d writes: %v", panics, writes, errs)
		}
	})
}
