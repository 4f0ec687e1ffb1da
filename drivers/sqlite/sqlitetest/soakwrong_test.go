package sqlitetest

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-es/es/driver"
	"github.com/go-es/es/drivers/sqlite"
	"github.com/go-es/es/internal/soak"
)

// recorder is a test whose failures are looked at.
type recorder struct {
	*testing.T
	mu    sync.Mutex
	lines []string
}

func (r *recorder) Errorf(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lines = append(r.lines, fmt.Sprintf(format, args...))
}

func (r *recorder) Fatalf(format string, args ...any) {
	r.Errorf(format, args...)
	runtime.Goexit()
}

// record runs f to its end and returns how it failed.
func record(t *testing.T, f func(soak.TB)) []string {
	r := &recorder{T: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		f(r)
	}()
	<-done
	return r.lines
}

// wrong is a store with a fault.
type wrong struct {
	*sqlite.Store
	fault *fault
}

// fault says what is wrong. What is nil is right.
type fault struct {
	append     func(ctx context.Context, s *sqlite.Store, req driver.AppendRequest) (driver.AppendResult, error)
	readAll    func(ctx context.Context, s *sqlite.Store, q driver.FeedQuery) (driver.FeedPage, error)
	readStream func(ctx context.Context, s *sqlite.Store, q driver.StreamQuery) (driver.StreamPage, error)
	load       func(driver.Checkpoint) driver.Checkpoint
	held       func(commit, rollback func() error) (func() error, func() error)
}

func (w wrong) Append(ctx context.Context, req driver.AppendRequest) (driver.AppendResult, error) {
	if w.fault.append == nil {
		return w.Store.Append(ctx, req)
	}
	return w.fault.append(ctx, w.Store, req)
}

func (w wrong) AppendGroup(ctx context.Context, reqs []driver.AppendRequest) (all []driver.Outcome) {
	if w.fault.append == nil {
		return w.Store.AppendGroup(ctx, reqs)
	}
	for _, req := range reqs {
		res, err := w.fault.append(ctx, w.Store, req)
		all = append(all, driver.Outcome{Result: res, Err: err})
	}
	return all
}

func (w wrong) ReadAll(ctx context.Context, q driver.FeedQuery) (driver.FeedPage, error) {
	if w.fault.readAll == nil {
		return w.Store.ReadAll(ctx, q)
	}
	return w.fault.readAll(ctx, w.Store, q)
}

func (w wrong) ReadStream(ctx context.Context, q driver.StreamQuery) (driver.StreamPage, error) {
	if w.fault.readStream == nil {
		return w.Store.ReadStream(ctx, q)
	}
	return w.fault.readStream(ctx, w.Store, q)
}

func (w wrong) LoadCheckpoint(ctx context.Context, name string) (driver.Checkpoint, error) {
	cp, err := w.Store.LoadCheckpoint(ctx, name)
	if w.fault.load != nil {
		cp = w.fault.load(cp)
	}
	return cp, err
}

// every returns what is true each n-th time, in each process: what happens at random
// may not happen at all.
func every(n int64) func() bool {
	var times atomic.Int64
	return func() bool { return times.Add(1)%n == 0 }
}

// page is a fault in each n-th of the pages of the feed that have so many records at least.
func page(n int64, least int, f func(p *driver.FeedPage)) *fault {
	now := every(n)
	return &fault{readAll: func(ctx context.Context, s *sqlite.Store, q driver.FeedQuery) (driver.FeedPage, error) {
		p, err := s.ReadAll(ctx, q)
		if err == nil && len(p.Records) >= least && now() {
			f(&p)
		}
		return p, err
	}}
}

// appendFunc is an Append of a store.
type appendFunc func(ctx context.Context, s *sqlite.Store, req driver.AppendRequest) (driver.AppendResult, error)

// nth is a fault in each n-th append of some.
func nth(n int64, some func(req driver.AppendRequest) bool, wrong appendFunc) *fault {
	now := every(n)
	return &fault{append: func(ctx context.Context, s *sqlite.Store, req driver.AppendRequest) (driver.AppendResult, error) {
		if some(req) && now() {
			return wrong(ctx, s, req)
		}
		return s.Append(ctx, req)
	}}
}

func anyAppend(driver.AppendRequest) bool { return true }

// appended is a fault in what each n-th append that succeeds returns.
func appended(n int64, f func(ctx context.Context, s *sqlite.Store, req driver.AppendRequest, res *driver.AppendResult) error) *fault {
	now := every(n)
	return &fault{append: func(ctx context.Context, s *sqlite.Store, req driver.AppendRequest) (driver.AppendResult, error) {
		res, err := s.Append(ctx, req)
		if err == nil && now() {
			err = f(ctx, s, req, &res)
		}
		return res, err
	}}
}

// late acknowledges appends to one stream at an exact version before they are
// made. Readers of the same process do not notice.
func late() *fault {
	var under sync.RWMutex
	f := &fault{append: func(ctx context.Context, s *sqlite.Store, req driver.AppendRequest) (driver.AppendResult, error) {
		p := req.Parts[0]
		base, exact := p.Expected.Exact()
		if len(req.Parts) > 1 || !exact || !strings.HasPrefix(p.Stream, "own") {
			return s.Append(ctx, req)
		}
		under.RLock()
		go func() {
			defer under.RUnlock()
			time.Sleep(5 * time.Millisecond)
			s.Append(context.Background(), req)
		}()
		return driver.AppendResult{Parts: []driver.Appended{{First: base + 1, Last: base + driver.Version(len(p.Records))}}}, nil
	}}
	f.readStream = func(ctx context.Context, s *sqlite.Store, q driver.StreamQuery) (driver.StreamPage, error) {
		under.Lock()
		defer under.Unlock()
		return s.ReadStream(ctx, q)
	}
	return f
}

// othersAt lets a part expect the last version of its stream, and waits for others to
// append to it, for a while.
func othersAt(ctx context.Context, s *sqlite.Store, p *driver.Part) {
	if strings.HasPrefix(p.Stream, "own") {
		return
	}
	for end := time.Now().Add(time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		page, err := s.ReadStream(ctx, driver.StreamQuery{Stream: p.Stream, Backward: true, Limit: 1})
		if err != nil {
			continue
		}
		base, exact := p.Expected.Exact()
		if exact && page.Head != base {
			return
		}
		p.Expected = driver.Exactly(page.Head)
	}
}

// Each fault has to be found, and to be told by the words that it ends with.
func TestSoakWrong(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a minute")
	}
	tenth, fifth := every(10), every(5)
	for _, row := range []struct {
		name  string
		kill  bool
		fault *fault
		want  string
	}{
		{"the feed skips events", false, page(1, 1, func(p *driver.FeedPage) {
			p.Records = slices.DeleteFunc(p.Records, func(r driver.Record) bool { return r.Position%200 == 100 })
		}), "which was acknowledged, is not in the feed"},
		{"a page loses its last event at times", false, page(10, 1, func(p *driver.FeedPage) {
			p.Records = p.Records[:len(p.Records)-1]
		}), "was never given event"},
		{"Next passes a gap after a pause", false, &fault{readAll: func(ctx context.Context, s *sqlite.Store, q driver.FeedQuery) (driver.FeedPage, error) {
			p, err := s.ReadAll(ctx, q)
			if err == nil && len(p.Records) > 0 && p.End {
				time.Sleep(5 * time.Millisecond)
				var head driver.Position
				head, err = s.Head(ctx)
				p.Next = min(p.Next+2, head)
			}
			return p, err
		}}, "had Next"},
		{"a page begins with what was read", false, &fault{readAll: func(ctx context.Context, s *sqlite.Store, q driver.FeedQuery) (driver.FeedPage, error) {
			p, err := s.ReadAll(ctx, q)
			if err == nil && q.After > 1 && len(p.Records) > 0 && tenth() {
				q.After, q.Seen = q.After-1, driver.Seen{}
				return s.ReadAll(ctx, q)
			}
			return p, err
		}}, "again or too late"},
		{"events change places on a page", false, page(5, 2, func(p *driver.FeedPage) {
			n := len(p.Records)
			p.Records[n-1], p.Records[n-2] = p.Records[n-2], p.Records[n-1]
		}), "was never given event"},
		{"positions change places on a page", false, page(5, 2, func(p *driver.FeedPage) {
			a, b := &p.Records[len(p.Records)-1], &p.Records[len(p.Records)-2]
			a.Position, b.Position = b.Position, a.Position
		}), "which the feed does not have there"},
		{"an append is forgotten", false, nth(20, anyAppend, func(_ context.Context, _ *sqlite.Store, req driver.AppendRequest) (driver.AppendResult, error) {
			res := driver.AppendResult{Parts: make([]driver.Appended, len(req.Parts))}
			for i, p := range req.Parts {
				res.Parts[i] = driver.Appended{First: 1, Last: driver.Version(len(p.Records))}
			}
			return res, nil
		}), "which was acknowledged, is not in the feed"},
		{"an append is acknowledged before it is stored", true, late(), "which was acknowledged, is not in the feed"},
		{"a conflict that is none", false, appended(20, func(_ context.Context, _ *sqlite.Store, req driver.AppendRequest, _ *driver.AppendResult) error {
			return &driver.ConflictError{Stream: req.Parts[0].Stream, Expected: req.Parts[0].Expected}
		}), "which failed (conflict), is stored"},
		{"a context that ends, and an append that was stored", false, &fault{append: func(ctx context.Context, s *sqlite.Store, req driver.AppendRequest) (driver.AppendResult, error) {
			if end, _ := ctx.Deadline(); ctx.Err() == nil && time.Until(end) < time.Second {
				if _, err := s.Append(context.Background(), req); err != nil {
					return driver.AppendResult{}, err
				}
				<-ctx.Done()
				return driver.AppendResult{}, ctx.Err()
			}
			return s.Append(ctx, req)
		}}, "which failed (context), is stored"},
		{"half an append", false, nth(8, func(req driver.AppendRequest) bool {
			_, exact := req.Parts[0].Expected.Exact()
			return exact && len(req.Parts[0].Records) > 1 // at any version, what is sent again is stored again
		}, func(ctx context.Context, s *sqlite.Store, req driver.AppendRequest) (driver.AppendResult, error) {
			half := req.Parts[0]
			half.Records = half.Records[:len(half.Records)/2]
			if _, err := s.Append(ctx, driver.AppendRequest{Parts: []driver.Part{half}}); err != nil {
				return driver.AppendResult{}, err
			}
			return driver.AppendResult{}, &driver.UnknownOutcomeError{}
		}), "is stored in part"},
		{"several streams one by one", false, &fault{append: func(ctx context.Context, s *sqlite.Store, req driver.AppendRequest) (res driver.AppendResult, err error) {
			for i, p := range req.Parts {
				one, err := s.Append(ctx, driver.AppendRequest{Parts: []driver.Part{p}})
				if err != nil {
					return driver.AppendResult{}, err
				}
				res.Parts = append(res.Parts, one.Parts...)
				if next := i + 1; next < len(req.Parts) {
					othersAt(ctx, s, &req.Parts[next])
				}
			}
			return res, nil
		}}, "which failed (conflict), is stored"},
		{"several streams one by one, killed", true, &fault{append: func(ctx context.Context, s *sqlite.Store, req driver.AppendRequest) (res driver.AppendResult, err error) {
			for _, p := range req.Parts {
				one, err := s.Append(ctx, driver.AppendRequest{Parts: []driver.Part{p}})
				if err != nil {
					return driver.AppendResult{}, err
				}
				time.Sleep(100 * time.Millisecond) // in which the process may be killed
				res.Parts = append(res.Parts, one.Parts...)
			}
			return res, nil
		}}, "of unknown outcome, is stored in part"},
		{"an append is stored twice", false, nth(4, func(req driver.AppendRequest) bool { return req.Parts[0].Expected == driver.Any && len(req.Parts) == 1 }, func(ctx context.Context, s *sqlite.Store, req driver.AppendRequest) (driver.AppendResult, error) {
			if _, err := s.Append(ctx, req); err != nil {
				return driver.AppendResult{}, err
			}
			return s.Append(ctx, req)
		}), "is in the feed twice"},
		{"a conflict is overwritten", false, &fault{append: func(ctx context.Context, s *sqlite.Store, req driver.AppendRequest) (driver.AppendResult, error) {
			res, err := s.Append(ctx, req)
			if _, exact := req.Parts[0].Expected.Exact(); err != nil && exact && ctx.Err() == nil {
				req.Parts[0].Expected = driver.Any
				return s.Append(ctx, req)
			}
			return res, err
		}}, "is stored from version"},
		{"a position that is another's", false, appended(20, func(_ context.Context, _ *sqlite.Store, _ driver.AppendRequest, res *driver.AppendResult) error {
			res.Parts[0].Position++
			return nil
		}), "and is at position"},
		{"a rollback that commits", false, &fault{held: func(commit, _ func() error) (func() error, func() error) { return commit, commit }}, "which failed (rolledback), is stored"},
		{"a commit that rolls back", false, &fault{held: func(_, rollback func() error) (func() error, func() error) { return rollback, rollback }}, "which was acknowledged, is not in the feed"},
		{"a checkpoint is gone", false, &fault{load: func(cp driver.Checkpoint) driver.Checkpoint {
			if fifth() {
				return driver.Checkpoint{}
			}
			return cp
		}}, "loaded its checkpoint at 0"},
		{"a checkpoint is ahead", false, &fault{load: func(cp driver.Checkpoint) driver.Checkpoint {
			if cp.Position > 0 {
				cp.Position += 40
			}
			return cp
		}}, "loaded its checkpoint at"},
		{"a stream ends early", false, &fault{readStream: func(ctx context.Context, s *sqlite.Store, q driver.StreamQuery) (driver.StreamPage, error) {
			p, err := s.ReadStream(ctx, q)
			if n := len(p.Records); n > 5 && strings.HasPrefix(q.Stream, "shared") {
				p.Records = p.Records[:n-1]
			}
			return p, err
		}}, "ends before version"},
		{"a stream has other data", false, &fault{readStream: func(ctx context.Context, s *sqlite.Store, q driver.StreamQuery) (driver.StreamPage, error) {
			p, err := s.ReadStream(ctx, q)
			for i := range p.Records {
				if d := p.Records[i].Data; len(d) > 300 {
					d[299]++
				}
			}
			return p, err
		}}, "where the feed has"},
	} {
		t.Run(row.name, func(t *testing.T) {
			right := held()
			cfg := soak.Config{
				Open: func(ctx context.Context, dsn string) (driver.Store, error) {
					cfg, err := sqlite.ParseDSN(dsn)
					if err != nil {
						return nil, err
					}
					s, err := sqlite.Open(ctx, cfg)
					if err != nil {
						return nil, err
					}
					return wrong{s, row.fault}, nil
				},
				DSN: func() string { return file(t) },
				Held: func(ctx context.Context, dsn string, req driver.AppendRequest) (commit, rollback func() error, err error) {
					commit, rollback, err = right(ctx, dsn, req)
					if err == nil && row.fault.held != nil {
						commit, rollback = row.fault.held(commit, rollback)
					}
					return commit, rollback, err
				},
				HeldFor: time.Millisecond,
				Kill:    row.kill,
				Events:  1500,
				Writers: 4,
			}
			lines := record(t, func(tb soak.TB) { soak.Run(tb, cfg) })
			if !slices.ContainsFunc(lines, func(line string) bool { return strings.Contains(line, row.want) }) {
				t.Fatalf("not found, or not told by %q; this was told:\n%s", row.want, strings.Join(lines, "\n"))
			}
			for _, line := range lines {
				if strings.Contains(line, row.want) {
					t.Log(line)
					break
				}
			}
		})
	}
}
