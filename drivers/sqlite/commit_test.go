//go:build cgo

package sqlite_test

import (
	"context"
	"database/sql"
	sqldriver "database/sql/driver"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mattn/go-sqlite3"

	"github.com/go-es/es/driver"
	"github.com/go-es/es/drivers/sqlite"
)

// faults is a database whose COMMIT fails on demand.
type faults struct {
	dsn string

	mu      sync.Mutex
	plan    []fault // of the next commits; those after it work
	seen    int     // commits that were asked for
	inserts []error // of the next statements that insert events; nil works
}

// fault is what happens to one COMMIT.
type fault struct {
	done bool   // it is carried out all the same
	err  error  // what is returned
	then func() // called after it
}

func (f *faults) Connect(context.Context) (sqldriver.Conn, error) {
	c, err := f.Driver().Open(f.dsn)
	return &faultyConn{c, f}, err
}

func (f *faults) Driver() sqldriver.Driver { return new(sqlite3.SQLiteDriver) }

func (f *faults) next() (ft fault, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.seen++
	if len(f.plan) == 0 {
		return fault{}, false
	}
	ft, f.plan = f.plan[0], f.plan[1:]
	return ft, true
}

func (f *faults) commits() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.seen
}

type faultyConn struct {
	sqldriver.Conn
	f *faults
}

func (c *faultyConn) PrepareContext(ctx context.Context, text string) (sqldriver.Stmt, error) {
	s, err := c.Conn.(sqldriver.ConnPrepareContext).PrepareContext(ctx, text)
	switch {
	case err != nil:
	case text == "COMMIT":
		s = &faultyStmt{s, c}
	case strings.HasPrefix(text, "INSERT INTO es_events "):
		s = &faultyInsert{s, c.f}
	}
	return s, err
}

type faultyInsert struct {
	sqldriver.Stmt
	f *faults
}

func (s *faultyInsert) ExecContext(ctx context.Context, args []sqldriver.NamedValue) (sqldriver.Result, error) {
	s.f.mu.Lock()
	var err error
	if len(s.f.inserts) > 0 {
		err, s.f.inserts = s.f.inserts[0], s.f.inserts[1:]
	}
	s.f.mu.Unlock()
	if err != nil {
		return nil, err
	}
	return s.Stmt.(sqldriver.StmtExecContext).ExecContext(ctx, args)
}

type faultyStmt struct {
	sqldriver.Stmt
	c *faultyConn
}

func (s *faultyStmt) ExecContext(ctx context.Context, args []sqldriver.NamedValue) (sqldriver.Result, error) {
	ft, ok := s.c.f.next()
	exec := s.Stmt.(sqldriver.StmtExecContext)
	if !ok {
		return exec.ExecContext(ctx, args)
	}
	var res sqldriver.Result
	var err error
	if ft.done {
		res, err = exec.ExecContext(ctx, args)
	} else {
		rb, _ := s.c.Conn.(sqldriver.ConnPrepareContext).PrepareContext(ctx, "ROLLBACK")
		rb.(sqldriver.StmtExecContext).ExecContext(ctx, nil)
		rb.Close()
	}
	if ft.then != nil {
		ft.then()
	}
	if err == nil {
		err = ft.err
	}
	return res, err
}

var (
	errSync  = sqlite3.Error{Code: sqlite3.ErrIoErr, ExtendedCode: sqlite3.ErrIoErrFsync}
	errWrite = sqlite3.Error{Code: sqlite3.ErrIoErr, ExtendedCode: sqlite3.ErrIoErrWrite}
	errFull  = sqlite3.Error{Code: sqlite3.ErrFull, ExtendedCode: sqlite3.ErrNoExtended(sqlite3.ErrFull)}
)

func openFaulty(t *testing.T) (*sqlite.Store, *faults) {
	t.Helper()
	f := &faults{dsn: "file:" + newFile(t)}
	db := sql.OpenDB(f)
	t.Cleanup(func() { db.Close() })
	s, err := sqlite.New(ctx, db, sqlite.Config{})
	must(t, err)
	t.Cleanup(func() { must(t, s.Close()) })
	return s, f
}

// A COMMIT that failed is made again at the same base, and what was stored is
// found.
func TestSettle(t *testing.T) {
	for _, done := range []bool{false, true} {
		s, f := openFaulty(t)
		appendTo(t, s, "s", driver.NoStream, 2)
		for _, expected := range []driver.Expected{2, driver.Any, driver.Exists} {
			head := feed(t, s)[len(feed(t, s))-1].Version
			f.plan = []fault{{done: done, err: errSync}}
			if expected == 2 {
				expected = driver.Exactly(head)
			}
			got := appendTo(t, s, "s", expected, 2)
			if got.First != head+1 || got.Last != head+2 || got.Position != driver.Position(head+2) {
				t.Errorf("done %t, %v: %+v", done, expected, got)
			}
		}
		f.plan = []fault{{done: done, err: errSync}}
		del := deletion("s", driver.Purge)
		got, err := s.Delete(ctx, del)
		if err != nil || got.First != 9 || got.Position != 9 {
			t.Errorf("done %t: delete: %+v, %v", done, got, err)
		}
		if n := len(streamOf(t, s, "s")); n != 1 {
			t.Errorf("done %t: the stream has %d events left", done, n)
		}

		f.plan = []fault{{done: done, err: errSync}}
		cp := driver.Checkpoint{Name: "c", Position: 1, SeenAt: 1, SeenID: driver.ID{1}, Revision: driver.ID{2}}
		must(t, s.SaveCheckpoint(ctx, cp, driver.Revision{}))
		if loaded, err := s.LoadCheckpoint(ctx, "c"); err != nil || loaded != cp {
			t.Errorf("done %t: %+v, %v", done, loaded, err)
		}
		f.plan = []fault{{done: done, err: errSync}}
		snap := driver.Snapshot{Stream: "other", Kind: "k", Version: 1, EventID: driver.ID{1}, Encoding: "json", Data: []byte("{}")}
		must(t, s.SaveSnapshot(ctx, snap))
	}
}

func streamOf(t testing.TB, s driver.Store, stream string) []driver.Record {
	t.Helper()
	page, err := s.ReadStream(ctx, driver.StreamQuery{Stream: stream, Deleted: true})
	must(t, err)
	return page.Records
}

// While the outcome of an append is unknown, another writes at the same version:
// an exact version is a conflict, Any takes another base.
func TestSettleOvertaken(t *testing.T) {
	s, f := openFaulty(t)
	other := func() {
		w, err := sqlite.Open(ctx, sqlite.Config{Path: f.dsn[len("file:"):]})
		must(t, err)
		_, err = w.Append(ctx, one("s", driver.Any, records(1, `"other"`)...))
		must(t, err)
		must(t, w.Close())
	}
	appendTo(t, s, "s", driver.NoStream, 1)

	f.plan = []fault{{err: errSync, then: other}}
	_, err := s.Append(ctx, one("s", 1, records(1, "{}")...))
	var conflict *driver.ConflictError
	if !errors.As(err, &conflict) || conflict.Expected != 1 || conflict.Actual != 2 {
		t.Errorf("%v", err)
	}
	f.plan = []fault{{err: errSync, then: other}}
	if got := appendTo(t, s, "s", driver.Any, 1); got.First != 4 {
		t.Errorf("%+v", got)
	}
	f.plan = []fault{{err: errSync, then: other}}
	outs := s.AppendGroup(ctx, []driver.AppendRequest{
		one("s", driver.Any, records(1, "{}")...),
		one("s2", driver.NoStream, records(1, "{}")...),
		one("s3", 7, records(1, "{}")...),
	})
	if outs[0].Err != nil || outs[0].Result.Parts[0].First != 6 || outs[1].Err != nil || outs[1].Result.Parts[0].First != 1 || !errors.Is(outs[2].Err, driver.ErrConflict) {
		t.Errorf("%+v", outs)
	}
	f.plan = []fault{{err: errSync, then: other}}
	if got, err := s.Delete(ctx, deletion("s", driver.Tombstone)); err != nil || got.First != 8 {
		t.Errorf("%+v, %v", got, err)
	}
	if n := len(feed(t, s)); n != 9 {
		t.Errorf("%d events", n)
	}
}

// A member of a group that fails while the group is settled may be stored by the
// commit before: it is settled with the others.
func TestSettleGroup(t *testing.T) {
	s, f := openFaulty(t)
	a, b := one("a", driver.Any, records(1, "{}")...), one("b", driver.Any, records(1, "{}")...)
	f.plan = []fault{{err: errSync}}
	f.inserts = []error{nil, nil, nil, errWrite}
	outs := s.AppendGroup(ctx, []driver.AppendRequest{a, b})
	for i := range outs {
		if outs[i].Err != nil || outs[i].Result.Parts[0] != (driver.Appended{First: 1, Last: 1, Position: driver.Position(i + 1)}) {
			t.Errorf("%d: %+v", i, outs[i])
		}
	}
	if n := len(feed(t, s)); n != 2 {
		t.Errorf("%d events", n)
	}
}

// What cannot be settled is an unknown outcome that names its base, and the same
// request sent again at that base decides it.
func TestUnknownOutcome(t *testing.T) {
	for _, done := range []bool{false, true} {
		t.Run(fmt.Sprint(done), func(t *testing.T) {
			t.Parallel()
			s, f := openFaulty(t)
			appendTo(t, s, "s", driver.NoStream, 3)
			down := func() {
				f.mu.Lock()
				f.plan = []fault{{done: done, err: errSync}}
				for range 1000 {
					f.plan = append(f.plan, fault{err: errSync})
				}
				f.mu.Unlock()
			}
			up := func() {
				f.mu.Lock()
				f.plan = nil
				f.mu.Unlock()
			}
			down()
			short, cancel := context.WithTimeout(ctx, 500*time.Millisecond)
			defer cancel()
			start := time.Now()
			req := one("s", driver.Any, records(2, "{}")...)
			_, err := s.Append(short, req)
			var unknown *driver.UnknownOutcomeError
			if !errors.As(err, &unknown) || len(unknown.Parts) != 1 || unknown.Parts[0] != (driver.UnknownPart{Stream: "s", Base: 3}) || driver.IsTransient(err) {
				t.Fatalf("%v", err)
			}
			var cause sqlite3.Error
			if !errors.As(err, &cause) || cause.ExtendedCode != sqlite3.ErrIoErrFsync {
				t.Errorf("the cause of %v is not reachable", err)
			}
			if d := time.Since(start); d < time.Second || d > 20*time.Second {
				t.Errorf("it settled for %v", d)
			}
			up()
			req.Parts[0].Expected = 3
			res, err := s.Append(ctx, req)
			if err != nil || res.Parts[0] != (driver.Appended{First: 4, Last: 5, Position: 5}) {
				t.Errorf("%+v, %v", res, err)
			}

			down()
			outs := s.AppendGroup(ctx, []driver.AppendRequest{
				one("s", 5, records(1, "{}")...), one("t", 5, records(1, "{}")...), one("u", driver.Any, records(1, "{}")...), req,
			})
			for i, base := range map[int]driver.Version{0: 5, 2: 0} {
				if !errors.As(outs[i].Err, &unknown) || unknown.Parts[0].Base != base {
					t.Errorf("%d: %v", i, outs[i].Err)
				}
			}
			if !errors.Is(outs[1].Err, driver.ErrConflict) {
				t.Errorf("%v", outs[1].Err)
			}
			if outs[3].Err != nil || outs[3].Result.Parts[0].Last != 5 {
				t.Errorf("%+v", outs[3])
			}
			up()
		})
	}
}

// A purge of a stream that is closed already may have happened, too.
func TestUnknownPurge(t *testing.T) {
	t.Parallel()
	s, f := openFaulty(t)
	appendTo(t, s, "s", driver.NoStream, 3)
	_, err := s.Delete(ctx, deletion("s", driver.Tombstone))
	must(t, err)
	f.mu.Lock()
	for range 1000 {
		f.plan = append(f.plan, fault{err: errSync})
	}
	f.mu.Unlock()
	_, err = s.Delete(ctx, deletion("s", driver.Purge))
	var unknown *driver.UnknownOutcomeError
	if !errors.As(err, &unknown) || len(unknown.Parts) != 1 || unknown.Parts[0] != (driver.UnknownPart{Stream: "s", Base: 3}) {
		t.Errorf("%v", err)
	}
	f.mu.Lock()
	f.plan = nil
	f.mu.Unlock()
	got, err := s.Delete(ctx, deletion("s", driver.Purge))
	if err != nil || got.Last != 4 || len(streamOf(t, s, "s")) != 1 {
		t.Errorf("%+v, %v", got, err)
	}
}

// An error that tells that nothing was written is no unknown outcome, and the
// store goes on.
func TestDefiniteFailure(t *testing.T) {
	s, f := openFaulty(t)
	for _, e := range []error{errFull, errWrite} {
		f.plan = []fault{{err: e}}
		before := f.commits()
		_, err := s.Append(ctx, one("s", driver.Any, records(1, "{}")...))
		if err == nil || errors.Is(err, driver.ErrUnknownOutcome) || driver.IsTransient(err) || f.commits() != before+1 {
			t.Errorf("%v", err)
		}
	}
	if got := appendTo(t, s, "s", driver.NoStream, 1); got.Position != 1 {
		t.Errorf("%+v", got)
	}
}

// Appends to one stream that were overtaken together keep their order.
func TestSettleOvertakenTogether(t *testing.T) {
	s, f := openFaulty(t)
	f.plan = []fault{{err: errSync, then: func() {
		w, err := sqlite.Open(ctx, sqlite.Config{Path: f.dsn[len("file:"):]})
		must(t, err)
		_, err = w.Append(ctx, one("s", driver.Any, records(1, `"other"`)...))
		must(t, err)
		must(t, w.Close())
	}}}
	var reqs []driver.AppendRequest
	for _, data := range []string{"1", "2", "3"} {
		reqs = append(reqs, one("s", driver.Any, records(1, data)...))
	}
	for i, out := range s.AppendGroup(ctx, reqs) {
		if out.Err != nil || out.Result.Parts[0].First != driver.Version(i+2) {
			t.Errorf("%d: %+v", i, out)
		}
	}
	for i, r := range feed(t, s) {
		if want := []string{`"other"`, "1", "2", "3"}[i]; string(r.Data) != want {
			t.Errorf("event %d is %s, want %s", i+1, r.Data, want)
		}
	}
}

// A purge is settled although the caller's context has ended meanwhile.
func TestSettlePurge(t *testing.T) {
	s, f := openFaulty(t)
	appendTo(t, s, "s", driver.NoStream, 3)
	c, cancel := context.WithCancel(ctx)
	f.plan = []fault{{err: errSync, then: cancel}}
	if got, err := s.Delete(c, deletion("s", driver.Purge)); err != nil || got.First != 4 {
		t.Errorf("%+v, %v", got, err)
	}
}
