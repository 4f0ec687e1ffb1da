//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package filestore

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/go-es/es/conformance"
	"github.com/go-es/es/driver"
)

type mistake struct {
	name  string
	check string
	says  []string // none if the suite cannot see it
	open  func(s *Store) driver.Store
}

// mistakes are stores that are wrong, with what the suite says of them, as
// docs/writing-a-driver.md has it.
var mistakes = []mistake{
	{
		"answered before the write", "process/killed", []string{"A6 does not hold", "was acknowledged before the process was killed; nothing is stored there: it was answered before it had left the process"},
		func(s *Store) driver.Store { return on(s, func(d disk) disk { return &lazy{disk: d} }) },
	},
	{
		"answered before the sync", "process/killed", nil,
		func(s *Store) driver.Store { return on(s, func(d disk) disk { return unsynced{d} }) },
	},
	{
		"no lock on the file", "process/alone", []string{"O7 does not hold", "another process can open the data while this one has it open"},
		func(s *Store) driver.Store {
			if f, ok := s.data.log.disk.(file); ok {
				syscall.Flock(int(f.Fd()), syscall.LOCK_UN)
			}
			return s
		},
	},
	{
		"the head is read in a step of its own", "versions/race", []string{"V2 does not hold", "it was written behind another head than the one that was compared"},
		func(s *Store) driver.Store { return twoSteps{s} },
	},
	{
		"no ids are compared when an append comes again", "again/partly", []string{"V5 does not hold", "was acknowledged with id", "and again with id", "I4 does not hold", "another id, at version 0 of a stream at version 4: no error"},
		func(s *Store) driver.Store { return anyIDs{s} },
	},
	{
		"a conflict is swallowed", "versions/expected", []string{"V2 does not hold", "a stream at version 0, expected version 1, and Append returned versions"},
		func(s *Store) driver.Store { return swallows{s} },
	},
	{
		"records share memory with the store", "records/ownership", []string{"R3 does not hold", "after what was read before was overwritten"},
		func(s *Store) driver.Store { return shares{s} },
	},
	{
		"the feed is ordered by time", "records/time", []string{"F1 does not hold", "position 12 comes after position 16"},
		func(s *Store) driver.Store { return byTime{s} },
	},
	{
		"the feed passes a gap", "feed/writers", []string{"F2 does not hold", "it was being written while the page was read, and the page went past its position"},
		func(s *Store) driver.Store { return gaps{s} },
	},
	{
		"a snapshot goes back", "snapshot/newest", []string{"P2 does not hold", "an older one after a newer"},
		func(s *Store) driver.Store { return lastSnapshot{s} },
	},
	{
		"a purge erases nothing", "delete/purge", []string{"D3 does not hold", "of a purged stream: 13 records instead of 1"},
		func(s *Store) driver.Store { return keeps{s} },
	},
	{
		"a conflict ends its group", "group/outcomes", []string{"G2 does not hold", "a new stream, which would succeed alone"},
		func(s *Store) driver.Store { return together{s} },
	},
	{
		"damage is cut off as a torn tail is", "errors/corrupt", []string{"E3 does not hold", "damage 0 of Config.Corrupt: ReadAll has 0 records of 5, and no error"},
		nil, // see openMistake
	},
}

// wrongEnv is the mistake that TestMistake makes.
const wrongEnv = "FILESTORE_MISTAKE"

// TestMistakes runs the suite on each, in a process of its own.
func TestMistakes(t *testing.T) {
	page := string(readFile(t, "../../../docs/writing-a-driver.md"))
	for _, m := range mistakes {
		t.Run(strings.ReplaceAll(m.name, " ", "-"), func(t *testing.T) {
			t.Parallel()
			var out string
			var err error
			var failed *exec.ExitError
			for range 5 { // a kill may come just after what was kept was written
				cmd := exec.Command(os.Args[0], "-test.short", "-test.v", "-test.run=^TestMistake$/^"+strings.Replace(m.check, "/", "$/^", 1)+"$")
				cmd.Env = append(os.Environ(), wrongEnv+"="+m.name)
				var b []byte
				b, err = cmd.CombinedOutput()
				if out = string(b); m.says == nil || errors.As(err, &failed) {
					break
				}
			}
			t.Logf("%s", out)
			if !strings.Contains(out, "conformance: 1 checks ran") {
				t.Errorf("the check %s did not run", m.check)
			}
			if got := failed != nil; got != (m.says != nil) {
				t.Errorf("it ended with %v", err)
			}
			for _, say := range m.says {
				if !strings.Contains(out, say) {
					t.Errorf("it does not say %q", say)
				}
				if _, rule := strings.CutSuffix(say, " does not hold"); !rule && !strings.Contains(page, say) {
					t.Errorf("the page does not say %q", say)
				}
			}
		})
	}
}

// TestMistake is the suite on one of them.
func TestMistake(t *testing.T) {
	name := os.Getenv(wrongEnv)
	if name == "" {
		t.Skip("for TestMistakes")
	}
	cfg := config()
	cfg.Open = func(ctx context.Context, dsn string) (driver.Store, error) { return openMistake(ctx, name, dsn) }
	conformance.Run(t, cfg)
}

func openMistake(ctx context.Context, name, dsn string) (driver.Store, error) {
	m := mistakes[slices.IndexFunc(mistakes, func(m mistake) bool { return m.name == name })]
	s, err := fileDriver{}.Open(ctx, dsn)
	if m.open == nil && errors.Is(err, driver.ErrCorrupt) {
		if err := cutDamage(dsn); err != nil {
			return nil, err
		}
		return fileDriver{}.Open(ctx, dsn)
	}
	if err != nil || m.open == nil {
		return s, err
	}
	return m.open(s.(*Store)), nil
}

// lazy keeps what was written until it is much, or the file is closed.
type lazy struct {
	disk
	at   int64
	kept []byte
}

func (l *lazy) WriteAt(b []byte, at int64) (int, error) {
	if l.kept == nil {
		l.at = at
	}
	if l.kept = append(l.kept, b...); len(l.kept) < 4096 {
		return len(b), nil
	}
	return len(b), l.flush()
}

func (l *lazy) flush() error {
	_, err := l.disk.WriteAt(l.kept, l.at)
	l.kept = nil
	return err
}

func (l *lazy) Close() error { return errors.Join(l.flush(), l.disk.Close()) }

type unsynced struct{ disk }

func (unsynced) Sync() error { return nil }

type twoSteps struct{ *Store }

func (s twoSteps) Append(ctx context.Context, req driver.AppendRequest) (driver.AppendResult, error) {
	if len(req.Parts) != 1 {
		return s.Store.Append(ctx, req)
	}
	p := req.Parts[0]
	page, err := s.ReadStream(ctx, driver.StreamQuery{Stream: p.Stream, Limit: 1})
	if head := page.Head; (err == nil || errors.Is(err, driver.ErrStreamNotFound)) && p.Expected == driver.Exactly(head) {
		p.Expected = driver.Any
		return s.Store.Append(ctx, driver.AppendRequest{Parts: []driver.Part{p}})
	}
	return s.Store.Append(ctx, req)
}

type anyIDs struct{ *Store }

func (s anyIDs) Append(ctx context.Context, req driver.AppendRequest) (driver.AppendResult, error) {
	result, err := s.Store.Append(ctx, req)
	var conflict *driver.ConflictError
	if len(req.Parts) == 1 && errors.As(err, &conflict) {
		base, exact := conflict.Expected.Exact()
		if last := base + driver.Version(len(req.Parts[0].Records)); exact && conflict.Actual >= last {
			return driver.AppendResult{Parts: []driver.Appended{{First: base + 1, Last: last}}}, nil
		}
	}
	return result, err
}

type swallows struct{ *Store }

func (s swallows) Append(ctx context.Context, req driver.AppendRequest) (driver.AppendResult, error) {
	result, err := s.Store.Append(ctx, req)
	var conflict *driver.ConflictError
	if errors.As(err, &conflict) {
		return driver.AppendResult{Parts: make([]driver.Appended, len(req.Parts))}, nil
	}
	return result, err
}

type shares struct{ *Store }

func (s shares) ReadStream(ctx context.Context, q driver.StreamQuery) (driver.StreamPage, error) {
	page, err := s.Store.ReadStream(ctx, q)
	s.data.mu.RLock()
	defer s.data.mu.RUnlock()
	for i := range page.Records {
		page.Records[i] = s.data.event(q.Stream, page.Records[i].Version).Record
	}
	return page, err
}

type byTime struct{ *Store }

func (s byTime) ReadAll(ctx context.Context, q driver.FeedQuery) (driver.FeedPage, error) {
	page, err := s.Store.ReadAll(ctx, q)
	slices.SortStableFunc(page.Records, func(a, b driver.Record) int { return a.Time.Compare(b.Time) })
	return page, err
}

// gaps takes the positions of an append first, and commits it a moment later: a
// reader meets later positions before that.
type gaps struct{ *Store }

var uncommitted sync.Map // ids of events

func (s gaps) Append(ctx context.Context, req driver.AppendRequest) (driver.AppendResult, error) {
	id := req.Parts[0].Records[0].ID
	uncommitted.Store(id, true)
	defer uncommitted.Delete(id)
	defer time.Sleep(time.Millisecond)
	return s.Store.Append(ctx, req)
}

func (s gaps) ReadAll(ctx context.Context, q driver.FeedQuery) (driver.FeedPage, error) {
	page, err := s.Store.ReadAll(ctx, q)
	page.Records = slices.DeleteFunc(page.Records, func(r driver.Record) bool {
		_, ok := uncommitted.Load(r.ID)
		return ok
	})
	return page, err
}

type lastSnapshot struct{ *Store }

func (s lastSnapshot) SaveSnapshot(ctx context.Context, snap driver.Snapshot) error {
	if err := s.DeleteSnapshot(ctx, snap.Stream, snap.Kind); err != nil {
		return err
	}
	return s.Store.SaveSnapshot(ctx, snap)
}

type keeps struct{ *Store }

func (s keeps) Delete(ctx context.Context, req driver.DeleteRequest) (driver.Appended, error) {
	req.Mode = driver.Tombstone
	return s.Store.Delete(ctx, req)
}

type together struct{ *Store }

func (s together) AppendGroup(ctx context.Context, reqs []driver.AppendRequest) []driver.Outcome {
	outs := make([]driver.Outcome, len(reqs))
	for i, req := range reqs {
		if outs[i].Result, outs[i].Err = s.Append(ctx, req); outs[i].Err != nil {
			for j := range outs {
				outs[j] = driver.Outcome{Err: outs[i].Err}
			}
			break
		}
	}
	return outs
}

// cutDamage cuts a file off before the first entry that does not hold.
func cutDamage(name string) error {
	b, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	at := len(header)
	for number := uint64(1); ; number++ {
		got, content, ok := parse(b[at:])
		if !ok || got != number {
			return os.Truncate(name, int64(at))
		}
		at += frame + len(content)
	}
}
