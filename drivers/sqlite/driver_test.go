package sqlite_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-es/es/driver"
	"github.com/go-es/es/drivers/sqlite"
)

func TestMemory(t *testing.T) {
	a, b := open(t, ":memory:"), open(t, ":memory:")
	appendTo(t, a, "s", driver.NoStream, 3)
	if n := len(feed(t, a)); n != 3 {
		t.Errorf("%d events", n)
	}
	if n := len(feed(t, b)); n != 0 {
		t.Errorf("the other one has %d events", n)
	}
}

// Data that Open refuses stays as it is, byte for byte.
func TestRefusedFiles(t *testing.T) {
	for name, c := range map[string]struct {
		make func(t *testing.T, file string)
		want string
	}{
		"text": {func(t *testing.T, file string) {
			must(t, os.WriteFile(file, []byte(strings.Repeat("not a database\n", 100)), 0o600))
		}, "no SQLite database"},
		"utf-16": {func(t *testing.T, file string) {
			execute(t, file, "PRAGMA encoding = 'UTF-16le'", "CREATE TABLE x (y)")
		}, "PRAGMA encoding is UTF-16le"},
		"other events": {func(t *testing.T, file string) {
			execute(t, file, "CREATE TABLE es_events (x)", "INSERT INTO es_events VALUES (1)")
		}, "es_events"},
		"other meta": {func(t *testing.T, file string) { execute(t, file, "CREATE TABLE es_meta (x)") }, "es_meta"},
		"empty meta": {func(t *testing.T, file string) { execute(t, file, "CREATE TABLE es_meta (key, value)") }, "es_meta"},
		"other columns": {func(t *testing.T, file string) {
			execute(t, file, "CREATE TABLE es_meta (key, value)", "INSERT INTO es_meta VALUES ('schema', 1)", "CREATE TABLE es_streams (x)", "PRAGMA journal_mode = wal")
		}, "not those of schema version 1"},
		"newer": {func(t *testing.T, file string) {
			s, err := sqlite.Open(ctx, sqlite.Config{Path: file})
			must(t, err)
			appendTo(t, s, "s", driver.NoStream, 1)
			must(t, s.Close())
			execute(t, file, "UPDATE es_meta SET value = 7 WHERE key = 'schema'", "PRAGMA journal_mode = delete")
		}, "schema version 7"},
	} {
		t.Run(name, func(t *testing.T) {
			file := newFile(t)
			c.make(t, file)
			before, err := os.ReadFile(file)
			must(t, err)
			s, err := sqlite.Open(ctx, sqlite.Config{Path: file})
			if err == nil {
				s.Close()
				t.Fatal("opened")
			}
			if !strings.HasPrefix(err.Error(), "es: ") || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v; want %q", err, c.want)
			}
			if name == "text" && !errors.Is(err, driver.ErrCorrupt) {
				t.Errorf("%#v", err)
			}
			if name == "newer" {
				var se *driver.SchemaError
				if !errors.As(err, &se) || se.Found != 7 || se.Known != 1 || !errors.Is(err, driver.ErrSchema) {
					t.Errorf("%#v", err)
				}
			}
			after, err := os.ReadFile(file)
			must(t, err)
			if !bytes.Equal(before, after) {
				t.Error("the file was changed")
			}
			if left, _ := filepath.Glob(file + "-*"); len(left) > 0 {
				t.Errorf("%v left behind", left)
			}
		})
	}
}

func TestNoSuchDirectory(t *testing.T) {
	_, err := sqlite.Open(ctx, sqlite.Config{Path: filepath.Join(t.TempDir(), "no", "es.db")})
	if err == nil || !strings.Contains(err.Error(), "directory") {
		t.Error(err)
	}
	_, err = sqlite.Open(ctx, sqlite.Config{Path: t.TempDir()})
	if err == nil || !strings.Contains(err.Error(), "cannot be opened") {
		t.Error(err)
	}
}

func TestCheckOnly(t *testing.T) {
	file := newFile(t)
	check := sqlite.Config{Path: file, CheckOnly: true}
	var se *driver.SchemaError
	if _, err := sqlite.Open(ctx, check); !errors.As(err, &se) || se.Found != 0 {
		t.Errorf("no file: %v", err)
	}
	if _, err := os.Stat(file); err == nil {
		t.Error("it made the file")
	}
	execute(t, file, "CREATE TABLE other (x)")
	if _, err := sqlite.Open(ctx, check); !errors.As(err, &se) || se.Found != 0 {
		t.Errorf("no tables: %v", err)
	}
	if v := value(t, file, "PRAGMA journal_mode"); v != "delete" {
		t.Errorf("it changed the journal mode to %v", v)
	}
	must(t, open(t, file).Close())
	s := open(t, file+"?ddl=check")
	appendTo(t, s, "s", driver.NoStream, 1)
	must(t, s.Close())

	execute(t, file, "PRAGMA journal_mode = delete")
	if _, err := sqlite.Open(ctx, check); err == nil || !strings.Contains(err.Error(), "journal_mode") {
		t.Errorf("another journal mode: %v", err)
	}
	check.Prefix = "other"
	if _, err := sqlite.Open(ctx, check); !errors.As(err, &se) {
		t.Errorf("another prefix: %v", err)
	}
}

// Several processes, each with several stores, create one database at once.
func TestCreateAtOnce(t *testing.T) {
	for range 3 {
		file := newFile(t)
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				if out, err := process(t, "write", file).Output(); err != nil {
					t.Errorf("%v: %s", err, out)
				}
			})
			wg.Go(func() {
				s, err := sqlite.Open(ctx, sqlite.Config{Path: file})
				if err != nil {
					t.Error(err)
					return
				}
				if _, err := s.Append(ctx, one("s", driver.Any, records(1, "{}")...)); err != nil {
					t.Error(err)
				}
				if err := s.Close(); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if n := len(feed(t, open(t, file))); n != 8 {
			t.Errorf("%d events of 8", n)
		}
	}
}

// Settings of a pool under which a promise would not hold.
func TestRefusedPools(t *testing.T) {
	for dsn, want := range map[string]string{
		"?_locking_mode=EXCLUSIVE": "locking_mode",
		"?_query_only=1":           "query_only",
	} {
		db := pool(t, "file:"+newFile(t)+dsn)
		if _, err := sqlite.New(ctx, db, sqlite.Config{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", dsn, err)
		}
	}
	db := pool(t, "file:"+newFile(t))
	db.SetMaxOpenConns(1)
	if _, err := sqlite.New(ctx, db, sqlite.Config{}); err == nil || !strings.Contains(err.Error(), "SetMaxOpenConns") {
		t.Errorf("one connection: %v", err)
	}
	if _, err := db.Exec("SELECT 1"); err != nil { // it was given back
		t.Error(err)
	}
	if _, err := sqlite.New(ctx, db, sqlite.Config{Path: "x"}); err == nil {
		t.Error("a path beside a pool")
	}
	if _, err := sqlite.New(ctx, nil, sqlite.Config{}); err == nil {
		t.Error("no pool")
	}
	db.Close()
	if _, err := sqlite.New(ctx, db, sqlite.Config{}); err == nil {
		t.Error("a closed pool")
	}
}

// Whatever the pool's settings are, the store's commits are durable, and the
// pool gets its connections back as they were.
func TestPool(t *testing.T) {
	for _, limit := range []int{0, 2, 5} {
		db := pool(t, "file:"+newFile(t)+"?_synchronous=OFF&_busy_timeout=77")
		db.SetMaxOpenConns(limit)
		s, err := sqlite.New(ctx, db, sqlite.Config{})
		must(t, err)
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				for v := range 10 {
					stream := fmt.Sprint(i)
					if _, err := s.Append(ctx, one(stream, driver.Exactly(driver.Version(v)), records(1, "{}")...)); err != nil {
						t.Error(err)
					}
					if _, err := s.ReadStream(ctx, driver.StreamQuery{Stream: stream}); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		if n := len(feed(t, s)); n != 80 {
			t.Errorf("%d events", n)
		}
		must(t, s.Close())
		if n := db.Stats().InUse; n != 0 {
			t.Errorf("%d connections were not given back", n)
		}
		var sync, busy int
		for range 3 {
			c, err := db.Conn(ctx)
			must(t, err)
			must(t, c.QueryRowContext(ctx, "PRAGMA synchronous").Scan(&sync))
			must(t, c.QueryRowContext(ctx, "PRAGMA busy_timeout").Scan(&busy))
			if sync != 0 || busy != 77 {
				t.Errorf("synchronous %d, busy_timeout %d", sync, busy)
			}
			defer c.Close()
			if limit == 2 {
				break
			}
		}
	}
}

func TestPoolInMemory(t *testing.T) {
	db := pool(t, ":memory:")
	db.SetMaxOpenConns(1)
	s, err := sqlite.New(ctx, db, sqlite.Config{})
	must(t, err)
	appendTo(t, s, "s", driver.NoStream, 2)
	must(t, s.Close())
	var n int
	must(t, db.QueryRow("SELECT count(*) FROM es_events").Scan(&n))
	if n != 2 {
		t.Errorf("%d events", n)
	}
}

// While another connection holds the write lock, an append waits: until its
// context ends, until the store closes, or until Config.Busy is over. Nothing of
// it is stored then or later.
func TestBusy(t *testing.T) {
	file := newFile(t)
	s := open(t, file+"?busy=150ms")
	db := pool(t, "file:"+file+"?_txlock=immediate")
	tx, err := db.Begin()
	must(t, err)

	_, err = s.Append(ctx, one("s", driver.NoStream, records(1, "{}")...))
	if !driver.IsTransient(err) {
		t.Errorf("%v is not transient", err)
	}
	short, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
	defer cancel()
	if _, err := s.Append(short, one("s", driver.NoStream, records(1, "{}")...)); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	if _, err := s.ReadAll(ctx, driver.FeedQuery{}); err != nil { // readers do not wait
		t.Error(err)
	}
	long := open(t, file)
	closed := make(chan error)
	go func() {
		_, err := long.Append(ctx, one("s", driver.NoStream, records(1, "{}")...))
		closed <- err
	}()
	time.Sleep(20 * time.Millisecond)
	must(t, long.Close())
	if err := <-closed; !errors.Is(err, driver.ErrClosed) {
		t.Error(err)
	}
	must(t, tx.Rollback())
	if got := appendTo(t, s, "s", driver.NoStream, 1); got.Position != 1 {
		t.Errorf("something was stored before: %+v", got)
	}
}

// Without a C compiler the driver compiles, and says what to do.
func TestWithoutCgo(t *testing.T) {
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("there is no go command")
	}
	exe := filepath.Join(t.TempDir(), "nocgo.test")
	build := exec.Command("go", "test", "-c", "-o", exe, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	cmd := exec.Command(exe, newFile(t))
	cmd.Env = append(os.Environ(), "SQLITE_TEST_JOB=write")
	out, err := cmd.Output()
	if strings.Count(string(out), "es: ") != 1 {
		t.Errorf("%s", out)
	}
	for _, word := range []string{"CGO_ENABLED=1", "C compiler", "modernc.org/sqlite", "sqlite.New"} {
		if err == nil || !strings.Contains(string(out), word) {
			t.Errorf("%q is missing in %s (%v)", word, out, err)
		}
	}
}

// A connection that shares its cache with uncommitted reads would show events
// that may never be stored.
func TestUncommittedReads(t *testing.T) {
	db := pool(t, "file:"+newFile(t))
	db.SetMaxOpenConns(2)
	db.SetMaxIdleConns(2)
	var conns []*sql.Conn
	for range 2 {
		c, err := db.Conn(ctx)
		must(t, err)
		_, err = c.ExecContext(ctx, "PRAGMA read_uncommitted = 1")
		must(t, err)
		conns = append(conns, c)
	}
	for _, c := range conns {
		c.Close()
	}
	if _, err := sqlite.New(ctx, db, sqlite.Config{}); err == nil || !strings.Contains(err.Error(), "read_uncommitted") {
		t.Error(err)
	}
}

// A page of the file that was overwritten is corrupt data, and no other error.
func TestOverwrittenPage(t *testing.T) {
	file := newFile(t)
	s := open(t, file)
	for range 50 {
		_, err := s.Append(ctx, one("s", driver.Any, records(10, strings.Repeat("x", 1000))...))
		must(t, err)
	}
	must(t, s.Close())
	f, err := os.OpenFile(file, os.O_RDWR, 0)
	must(t, err)
	info, err := f.Stat()
	must(t, err)
	for page := info.Size() / 4096 / 2; page < info.Size()/4096; page++ {
		_, err = f.WriteAt(bytes.Repeat([]byte{0xa5}, 4096), page*4096)
		must(t, err)
	}
	must(t, f.Close())
	s = open(t, file)
	read := 0
	for q := (driver.FeedQuery{}); ; {
		page, err := s.ReadAll(ctx, q)
		if err != nil {
			if !errors.Is(err, driver.ErrCorrupt) {
				t.Errorf("%v", err)
			}
			break
		}
		read += len(page.Records)
		if q.After = page.Next; page.End {
			t.Fatalf("%d events read, and no error", read)
		}
	}
}

// A stream that is damaged stops the requests of a group that need it, and no
// others.
func TestGroupWithDamage(t *testing.T) {
	file := newFile(t)
	s := open(t, file)
	appendTo(t, s, "damaged", driver.NoStream, 3)
	execute(t, file, "UPDATE es_events SET id = x'01' WHERE version = 2")
	outs := s.AppendGroup(ctx, []driver.AppendRequest{
		one("a", driver.NoStream, records(1, "{}")...),
		one("damaged", 1, records(1, "{}")...),
		one("b", driver.NoStream, records(1, "{}")...),
	})
	if outs[0].Err != nil || outs[2].Err != nil || !errors.Is(outs[1].Err, driver.ErrCorrupt) {
		t.Errorf("%+v", outs)
	}
	if head, err := s.Head(ctx); err != nil || head != 5 {
		t.Errorf("%d, %v", head, err)
	}
}

// Whatever number of events one append has, they are stored in order, each as it was.
func TestNumbers(t *testing.T) {
	s := open(t, ":memory:")
	var want []driver.Record
	for n := 1; n <= 50; n++ {
		recs := records(n, "")
		for i := range recs {
			r := &recs[i]
			r.Data, r.Type = fmt.Appendf(nil, "%d of %d", i, n), fmt.Sprint("type-", i)
			if i%3 == 0 {
				r.Tags, r.Metadata = []string{fmt.Sprint(i)}, []byte{byte(i)}
			}
			r.Stream, r.Version = fmt.Sprint("s-", n%7), 0
		}
		before := len(want)
		want = append(want, recs...)
		res, err := s.Append(ctx, one(recs[0].Stream, driver.Any, recs...))
		must(t, err)
		if at := res.Parts[0]; at.Position != driver.Position(before+n) || at.Last-at.First+1 != driver.Version(n) {
			t.Errorf("%d events: %+v", n, at)
		}
	}
	versions := make(map[string]driver.Version)
	for i, r := range feed(t, s) {
		w := want[i]
		versions[w.Stream]++
		if r.Stream != w.Stream || r.Version != versions[w.Stream] || r.ID != w.ID || r.Type != w.Type || r.Encoding != w.Encoding ||
			!bytes.Equal(r.Data, w.Data) || !bytes.Equal(r.Metadata, w.Metadata) || fmt.Sprint(r.Tags) != fmt.Sprint(w.Tags) || driver.Micros(r.Time) != driver.Micros(w.Time) {
			t.Errorf("position %d: %+v, want %+v", i+1, r, w)
		}
	}
}
