package es_test

import (
	"context"
	"errors"
	"iter"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-es/es"
	"github.com/go-es/es/driver"
	"github.com/go-es/es/drivers/memory"
)

// opener is a driver whose Open is a function.
type opener struct {
	opened atomic.Int32
	open   func(ctx context.Context, dsn string) (driver.Store, error)
}

func (o *opener) Open(ctx context.Context, dsn string) (driver.Store, error) {
	o.opened.Add(1)
	return o.open(ctx, dsn)
}

var errBadDSN = errors.New(`es: opener: "bad:" is not a data source name`)

var testOpener = &opener{open: func(ctx context.Context, dsn string) (driver.Store, error) {
	switch dsn {
	case "bad:":
		return nil, errBadDSN
	case "nothing":
		return nil, nil
	}
	return memory.New(), ctx.Err()
}}

func init() { driver.Register("opener", testOpener) }

func TestOpen(t *testing.T) {
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for _, row := range []struct {
		name, driver, dsn string
		ctx               context.Context
		opts              []es.Option
		is                error  // unless nil, what the error is
		says              string // what the error contains; "" for no error
		opened            int32
	}{
		{name: "works", driver: "opener", opened: 1},
		{name: "works with options", driver: "opener", opts: []es.Option{es.RetryFor(0), es.PollEvery(1)}, opened: 1},
		{name: "unknown driver", driver: "oracle", says: `unknown driver "oracle" (forgotten import? registered: memory, `},
		{name: "no driver", driver: "", says: `unknown driver ""`},
		{name: "case", driver: "Memory", says: `unknown driver "Memory"`},
		{name: "bad data source name", driver: "opener", dsn: "bad:", is: errBadDSN, says: errBadDSN.Error(), opened: 1},
		{name: "memory's", driver: "memory", dsn: "memory://x", says: `"memory://x" is neither empty nor a name`},
		{name: "a driver that gives nothing", driver: "opener", dsn: "nothing", says: `the driver "opener" opened no store`, opened: 1},
		{name: "nil option", driver: "opener", opts: []es.Option{es.RetryFor(0), nil}, is: es.ErrInvalid, says: "es: option: is nil"},
		{name: "bad option", driver: "opener", opts: []es.Option{es.RetryFor(-1)}, is: es.ErrInvalid, says: "es: RetryFor: -1ns is negative"},
		{name: "the context ended", driver: "opener", ctx: ended, is: context.Canceled, says: "context canceled", opened: 1},
	} {
		t.Run(row.name, func(t *testing.T) {
			before := testOpener.opened.Load()
			var s *es.Store
			var err error
			if row.ctx != nil {
				s, err = es.OpenContext(row.ctx, row.driver, row.dsn, row.opts...)
			} else {
				s, err = es.Open(row.driver, row.dsn, row.opts...)
			}
			if s != nil {
				defer s.Close()
			}
			if (err == nil) != (row.says == "") || (err == nil) != (s != nil) {
				t.Fatalf("store %v, error %v", s, err)
			}
			if err != nil && (row.is != nil && !errors.Is(err, row.is) || !strings.Contains(err.Error(), row.says)) {
				t.Errorf("error %v, want one that says %s", err, row.says)
			}
			if n := testOpener.opened.Load() - before; n != row.opened {
				t.Errorf("the driver's Open was called %d times, want %d", n, row.opened)
			}
			if s != nil {
				if err := s.Ping(t.Context()); err != nil {
					t.Errorf("Ping: %v", err)
				}
			}
		})
	}
	if names := es.Drivers(); !slices.IsSorted(names) || !slices.Contains(names, "memory") || !slices.Contains(names, "opener") {
		t.Errorf("Drivers: %q", names)
	}
}

func TestNewRefuses(t *testing.T) {
	for _, row := range []struct {
		name string
		drv  driver.Store
		opt  es.Option
		want string
	}{
		{"no store", nil, es.RetryFor(0), "es: driver store: is nil"},
		{"option", memory.New(), nil, "es: option: is nil"},
		{"codec", memory.New(), es.WithCodec(nil), "es: codec: is nil"},
		{"codecs to read", memory.New(), es.ReadCodecs(es.JSON, nil), "es: codec: is nil"},
		{"compression", memory.New(), es.Compress(nil), "es: compression: is nil"},
		{"compressions to read", memory.New(), es.ReadCompressions(nil), "es: compression: is nil"},
		{"keys", memory.New(), es.Encrypt(nil, nil), "es: keys: are nil"},
		{"clock", memory.New(), es.WithClock(nil), "es: clock: is nil"},
		{"ids", memory.New(), es.WithIDs(nil), "es: ids: are nil"},
		{"retries", memory.New(), es.RetryFor(-time.Second), "es: RetryFor: -1s is negative"},
		{"no polling", memory.New(), es.PollEvery(0), "es: PollEvery: 0s is not positive"},
		{"negative polling", memory.New(), es.PollEvery(-1), "es: PollEvery: -1ns is not positive"},
	} {
		s, err := es.New(row.drv, row.opt)
		if s != nil || err == nil || err.Error() != row.want || !errors.Is(err, es.ErrInvalid) {
			t.Errorf("%s: store %v, error %v, want %s", row.name, s, err, row.want)
		}
	}
}

func TestStoreIsItsDriverStore(t *testing.T) {
	want := driver.Caps{MaxEventBytes: 1, MaxAppendEvents: 2, MaxAppendBytes: 3, MaxStreams: 4, MaxSnapshotBytes: 5, ListLag: true}
	f := overMemory()
	f.caps = func(driver.Caps) driver.Caps { return want }
	s := over(t, f)
	if s.Driver() != f {
		t.Errorf("Driver: %v", s.Driver())
	}
	if s.Caps() != want {
		t.Errorf("Caps: %+v", s.Caps())
	}
}

func TestClockAndIDs(t *testing.T) {
	clock := time.Date(2024, 2, 29, 23, 59, 59, 999_999_999, time.FixedZone("", 3600))
	var n byte
	s := over(t, memory.New(), es.WithClock(func() time.Time { return clock }), es.WithIDs(func() es.ID { n++; return es.ID{15: n} }))
	want := time.Date(2024, 2, 29, 22, 59, 59, 999_999_000, time.UTC)
	if now := s.Now(); now != want {
		t.Errorf("Now: %v, want %v", now, want)
	}
	if id := s.NewID(); id != (es.ID{15: 1}) {
		t.Errorf("NewID: %v", id)
	}
	put(t, s, "s", tick{1}, tick{2})
	if _, err := s.Delete(t.Context(), "s", es.Exists, es.Tombstone); err != nil {
		t.Fatal(err)
	}
	for i, r := range all(t, s.Read(t.Context(), "s", es.Deleted())) {
		if r.Time != want || r.ID != (es.ID{15: byte(i + 2)}) {
			t.Errorf("event %d: time %v, id %v", i, r.Time, r.ID)
		}
	}

	def := over(t, memory.New())
	before := time.Now().Truncate(time.Microsecond)
	now := def.Now()
	if now.Before(before) || now.After(time.Now()) || now.Location() != time.UTC || now.Nanosecond()%1000 != 0 {
		t.Errorf("Now: %v", now)
	}
	if a, b := def.NewID(), def.NewID(); a == b || a.IsZero() {
		t.Errorf("ids %v and %v", a, b)
	}
}

func TestAttach(t *testing.T) {
	type key struct{ n int }
	s := over(t, memory.New())
	if v, had := s.Attach(key{1}, "a"); v != "a" || had {
		t.Errorf("the first: %v, %v", v, had)
	}
	if v, had := s.With(memory.New()).Attach(key{1}, "b"); v != "a" || !had {
		t.Errorf("a second, by With: %v, %v", v, had)
	}
	if v, had := s.Attach(key{2}, "c"); v != "c" || had {
		t.Errorf("another key: %v, %v", v, had)
	}
	if v, had := over(t, memory.New()).Attach(key{1}, "d"); v != "d" || had {
		t.Errorf("another store: %v, %v", v, had)
	}
}

// operation is one call of every method of a store that goes to its driver.
type operation struct {
	name string
	call func(ctx context.Context, s *es.Store) error
}

// operations are calls that succeed on a store with a stream "s" of two events.
var operations = []operation{
	{"append", func(ctx context.Context, s *es.Store) error {
		_, err := s.Append(ctx, "s", es.Any, tick{})
		return err
	}},
	{"append all", func(ctx context.Context, s *es.Store) error {
		_, err := s.AppendAll(ctx, es.To("s", es.Any, tick{}), es.To("t", es.Any, tick{}))
		return err
	}},
	{"read", func(ctx context.Context, s *es.Store) error { return last(s.Read(ctx, "s")) }},
	{"version", func(ctx context.Context, s *es.Store) error {
		_, err := s.Version(ctx, "s")
		return err
	}},
	{"read all", func(ctx context.Context, s *es.Store) error { return last(s.ReadAll(ctx)) }},
	{"subscribe", func(ctx context.Context, s *es.Store) error { return last(s.Subscribe(ctx, es.Limit(2))) }},
	{"pages", func(ctx context.Context, s *es.Store) error { return last(s.Pages(ctx, es.Limit(2))) }},
	{"streams", func(ctx context.Context, s *es.Store) error { return last(s.Streams(ctx)) }},
	{"head", func(ctx context.Context, s *es.Store) error {
		_, err := s.Head(ctx)
		return err
	}},
	{"settled", func(ctx context.Context, s *es.Store) error {
		_, err := s.Settled(ctx, "s")
		return err
	}},
	{"ping", func(ctx context.Context, s *es.Store) error { return s.Ping(ctx) }},
	{"load checkpoint", func(ctx context.Context, s *es.Store) error {
		_, err := s.Checkpoint(ctx, "c")
		return err
	}},
	{"save checkpoint", func(ctx context.Context, s *es.Store) error {
		_, err := s.SaveCheckpoint(ctx, es.Checkpoint{Name: "c"})
		return err
	}},
	{"list checkpoints", func(ctx context.Context, s *es.Store) error { return last(s.Checkpoints(ctx)) }},
	{"delete checkpoint", func(ctx context.Context, s *es.Store) error { return s.DeleteCheckpoint(ctx, "c") }},
	{"load snapshot", func(ctx context.Context, s *es.Store) error {
		_, _, err := s.LoadSnapshot(ctx, "s", "k")
		return err
	}},
	{"save snapshot", func(ctx context.Context, s *es.Store) error {
		return s.SaveSnapshot(ctx, es.Snapshot{Stream: "s", Kind: "k", Version: 2, EventID: es.ID{1}}, 42, es.SnapshotSettings{})
	}},
	{"delete snapshot", func(ctx context.Context, s *es.Store) error { return s.DeleteSnapshot(ctx, "s", "k") }},
	{"delete", func(ctx context.Context, s *es.Store) error {
		_, err := s.Delete(ctx, "s", es.Exists, es.Purge)
		return err
	}},
}

// last returns the error of a sequence, or that something came after it.
func last[T any](seq iter.Seq2[T, error]) (err error) {
	for _, e := range seq {
		if err != nil {
			return errors.New("a sequence goes on after its error")
		}
		err = e
	}
	return err
}

// Without this, the tests that expect errors of all operations prove little.
func TestOperationsSucceed(t *testing.T) {
	for _, op := range operations {
		s := over(t, memory.New())
		put(t, s, "s", tick{1}, tick{2})
		if err := op.call(t.Context(), s); err != nil {
			t.Errorf("%s: %v", op.name, err)
		}
	}
}

func TestClosed(t *testing.T) {
	for _, op := range operations {
		s := over(t, memory.New())
		put(t, s, "s", tick{1}, tick{2})
		for range 2 {
			if err := s.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
		}
		is(t, op.name, op.call(t.Context(), s), es.ErrClosed)
	}
}

func TestCloseReportsTheDriversError(t *testing.T) {
	f := overMemory()
	f.onClose = func() error { return errBroken }
	s, err := es.New(f)
	if err != nil {
		t.Fatal(err)
	}
	is(t, "Close", s.Close(), errBroken)
}

func TestEndedContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	f := fakeKeeper{fake: overMemory()}
	s := over(t, f)
	put(t, s, "s", tick{1}, tick{2})
	id := all(t, s.Read(t.Context(), "s"))[0].ID
	for _, op := range operations {
		is(t, op.name, op.call(ctx, s), context.Canceled)
	}
	if got := all(t, s.ReadAll(t.Context())); len(got) != 2 || got[0].ID != id {
		t.Errorf("something was written: %v", got)
	}
	if _, found, err := s.LoadSnapshot(t.Context(), "s", "k"); found || err != nil {
		t.Errorf("a snapshot was written (%v)", err)
	}
	if cp, err := s.Checkpoint(t.Context(), "c"); !cp.Revision.IsZero() || err != nil {
		t.Errorf("a checkpoint was written (%v)", err)
	}
	// A write is stopped before it is encoded, and never reaches the driver.
	if n := f.calls("append", "delete"); n != 1 {
		t.Errorf("%d writes reached the driver, want the first one only", n)
	}
}

func TestCloseWhileAllRuns(t *testing.T) {
	for range 4 {
		s, err := es.New(memory.New())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Append(t.Context(), "s", es.Any, tick{}, tick{}); err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		for _, op := range operations {
			if op.name == "delete" {
				continue
			}
			wg.Go(func() {
				for {
					err := op.call(t.Context(), s)
					if errors.Is(err, es.ErrClosed) {
						return
					}
					if err != nil && !errors.Is(err, es.ErrCheckpointConflict) {
						t.Errorf("%s: %v", op.name, err)
						return
					}
				}
			})
		}
		time.Sleep(time.Millisecond)
		for range 3 {
			wg.Go(func() {
				if err := s.Close(); err != nil {
					t.Errorf("Close: %v", err)
				}
			})
		}
		wg.Wait()
	}
}
