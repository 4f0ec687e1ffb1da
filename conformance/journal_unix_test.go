//go:build unix

package conformance

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/go-es/es/driver"
)

// A journal is a toy whose data outlives its process: a file of what was done, a
// line each, that every client does again for itself. A lock on the file is held
// during each call, or, of a journal for a single process, as long as it is open.
type journal struct {
	*toyStore
	fault journalFault
	file  *os.File
	alone bool

	mu    sync.Mutex // held during a call
	done  int64      // bytes of the file that were done here
	late  []byte     // lines that are not written yet
	lines int
}

// journalFault is what a mutant of the journal does wrong.
type journalFault int

const (
	faultless journalFault = iota
	writesLater
	writesPieces
	purgesHalf
	locksNothing
	createsOnce
	leavesItsLock
	showsLate
)

// entry is a line of a journal.
type entry struct {
	Append     *driver.AppendRequest
	Delete     *driver.DeleteRequest
	Snapshot   *driver.Snapshot
	Checkpoint *driver.Checkpoint
	Prev       driver.Revision
	Take       bool            // a position was taken, for an append that comes later
	At         driver.Position // where Append has taken one before
	Drop       []string        // a checkpoint, or a stream and a kind
}

var errHeld = errors.New("es: journal: another process has the data open: close it there")

func openJournal(ctx context.Context, path string, alone bool, fault journalFault) (driver.Store, error) {
	if fault == createsOnce {
		if _, err := os.Stat(path); err != nil {
			time.Sleep(300 * time.Millisecond) // processes begin far apart on a busy machine
			f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL, 0o600)
			if err != nil {
				return nil, err
			}
			f.Close()
		}
	}
	y := newToy()
	y.caps.SingleProcess = alone
	y.caps.Gapless = fault != showsLate
	s, err := y.Open(ctx, path)
	if err != nil {
		return nil, err
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	switch {
	case alone && fault == leavesItsLock:
		if err := os.Mkdir(path+".lock", 0o700); err != nil {
			return nil, errors.Join(errHeld, file.Close())
		}
	case alone && fault != locksNothing:
		if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
			return nil, errors.Join(errHeld, file.Close())
		}
	}
	return &journal{toyStore: s, fault: fault, file: file, alone: alone}, nil
}

func (j *journal) Close() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.file == nil {
		return nil
	}
	j.file.Write(j.late)
	if j.fault == leavesItsLock {
		os.Remove(j.file.Name() + ".lock")
	}
	err := errors.Join(j.file.Close(), j.toyStore.Close())
	j.file = nil
	return err
}

// begin locks the journal and does what others have done.
func (j *journal) begin() (end func(), err error) {
	j.mu.Lock()
	if j.file == nil {
		j.mu.Unlock()
		return nil, driver.ErrClosed
	}
	if locked := !j.alone && j.fault != locksNothing; locked {
		if err := syscall.Flock(int(j.file.Fd()), syscall.LOCK_EX); err != nil {
			j.mu.Unlock()
			return nil, err
		}
	}
	end = func() {
		if !j.alone {
			syscall.Flock(int(j.file.Fd()), syscall.LOCK_UN)
		}
		j.mu.Unlock()
	}
	if err := j.follow(); err != nil {
		end()
		return nil, err
	}
	return end, nil
}

// follow does the lines of others. One that was cut by a kill is taken away.
func (j *journal) follow() error {
	if j.fault == writesLater && len(j.late) > 0 {
		return nil
	}
	if _, err := j.file.Seek(j.done, 0); err != nil {
		return err
	}
	r := bufio.NewReader(j.file)
	for {
		line, err := r.ReadBytes('\n')
		if err != nil {
			if len(line) > 0 && j.fault != locksNothing {
				return j.file.Truncate(j.done)
			}
			return nil
		}
		var e entry
		if err := json.Unmarshal(line, &e); err != nil {
			return err
		}
		j.redo(e)
		j.done += int64(len(line))
	}
}

func (j *journal) redo(e entry) {
	ctx, s := context.Background(), j.toyStore
	switch {
	case e.Take:
		s.d.mu.Lock()
		s.d.last++
		s.d.mu.Unlock()
	case e.At > 0:
		s.Append(ctx, *e.Append)
		j.move(e.Append.Parts[0].Stream, e.At)
	case e.Append != nil:
		s.Append(ctx, *e.Append)
	case e.Delete != nil:
		s.Delete(ctx, *e.Delete)
	case e.Snapshot != nil:
		s.SaveSnapshot(ctx, *e.Snapshot)
	case e.Checkpoint != nil:
		s.SaveCheckpoint(ctx, *e.Checkpoint, e.Prev)
	case len(e.Drop) == 1:
		s.DeleteCheckpoint(ctx, e.Drop[0])
	default:
		s.DeleteSnapshot(ctx, e.Drop[0], e.Drop[1])
	}
}

// write writes a line of what was done here.
func (j *journal) write(e entry) error {
	line, err := json.Marshal(e)
	if err != nil {
		return err
	}
	line = append(line, '\n')
	j.done += int64(len(line))
	if j.late = append(j.late, line...); j.fault == writesLater {
		if j.lines++; j.lines%20 != 0 {
			return nil
		}
	}
	_, err = j.file.Write(j.late)
	j.late = nil
	return err
}

// journalled makes one call of the toy, and a line of it if it succeeded.
func journalled[R any](j *journal, e entry, f func() (R, error)) (res R, err error) {
	end, err := j.begin()
	if err != nil {
		return res, err
	}
	defer end()
	if j.fault == locksNothing {
		time.Sleep(2 * time.Millisecond) // in which others may write: processes begin far apart on a busy machine
	}
	if res, err = f(); err == nil && (e.Append != nil || e.Delete != nil || e.Snapshot != nil || e.Checkpoint != nil || e.Drop != nil || e.Take) {
		err = j.write(e)
	}
	return res, err
}

func (j *journal) Append(ctx context.Context, req driver.AppendRequest) (driver.AppendResult, error) {
	if j.fault == writesPieces && len(req.Parts[0].Records)+len(req.Parts) > 2 {
		return j.appendPieces(ctx, req)
	}
	if j.fault == showsLate && strings.HasPrefix(req.Parts[0].Stream, "own-") {
		return j.appendLate(ctx, req)
	}
	return journalled(j, entry{Append: &req}, func() (driver.AppendResult, error) { return j.toyStore.Append(ctx, req) })
}

// appendLate takes a position, and appends a moment later.
func (j *journal) appendLate(ctx context.Context, req driver.AppendRequest) (driver.AppendResult, error) {
	taken, err := journalled(j, entry{Take: true}, func() (driver.Position, error) {
		j.redo(entry{Take: true})
		return j.d.last, nil
	})
	if err != nil {
		return driver.AppendResult{}, err
	}
	time.Sleep(2 * time.Millisecond)
	return journalled(j, entry{Append: &req, At: taken}, func() (driver.AppendResult, error) {
		res, err := j.toyStore.Append(ctx, req)
		if err == nil {
			j.move(req.Parts[0].Stream, taken)
			res.Parts[0].Position = taken
		}
		return res, err
	})
}

// move gives the last event of a stream another position.
func (j *journal) move(stream string, p driver.Position) {
	j.d.mu.Lock()
	defer j.d.mu.Unlock()
	rows := j.d.streams[stream].rows
	last := rows[len(rows)-1]
	j.d.log = slices.DeleteFunc(j.d.log, func(r *toyRow) bool { return r == last })
	j.d.place(last, p)
}

// appendPieces writes a line for each record.
func (j *journal) appendPieces(ctx context.Context, req driver.AppendRequest) (all driver.AppendResult, err error) {
	end, err := j.begin()
	if err != nil {
		return all, err
	}
	defer end()
	if all, err = j.toyStore.Append(ctx, req); err != nil {
		return all, err
	}
	for _, p := range req.Parts {
		for _, r := range p.Records {
			one := to(p.Stream, driver.Any, r)
			if err := j.write(entry{Append: &one}); err != nil {
				return all, err
			}
			time.Sleep(time.Millisecond)
		}
	}
	return all, nil
}

func (j *journal) Delete(ctx context.Context, req driver.DeleteRequest) (driver.Appended, error) {
	if j.fault != purgesHalf || req.Mode != driver.Purge {
		return journalled(j, entry{Delete: &req}, func() (driver.Appended, error) { return j.toyStore.Delete(ctx, req) })
	}
	end, err := j.begin()
	if err != nil {
		return driver.Appended{}, err
	}
	defer end()
	if _, closed := headOf(j.toyStore, req.Stream); closed {
		return j.toyStore.closes(req) // there is nothing to finish
	}
	half := req
	half.Mode = driver.Tombstone
	a, err := j.toyStore.Delete(ctx, half)
	if err == nil {
		err = j.write(entry{Delete: &half})
	}
	if err != nil {
		return a, err
	}
	time.Sleep(50 * time.Millisecond) // in which the process is killed
	if a, err = j.toyStore.Delete(ctx, req); err == nil {
		err = j.write(entry{Delete: &req})
	}
	return a, err
}

func (j *journal) AppendGroup(ctx context.Context, reqs []driver.AppendRequest) []driver.Outcome {
	outs := make([]driver.Outcome, len(reqs))
	for i, req := range reqs {
		outs[i].Result, outs[i].Err = j.Append(ctx, req)
	}
	return outs
}

func (j *journal) ReadStream(ctx context.Context, q driver.StreamQuery) (driver.StreamPage, error) {
	return journalled(j, entry{}, func() (driver.StreamPage, error) { return j.toyStore.ReadStream(ctx, q) })
}

func (j *journal) ReadAll(ctx context.Context, q driver.FeedQuery) (driver.FeedPage, error) {
	return journalled(j, entry{}, func() (driver.FeedPage, error) { return j.toyStore.ReadAll(ctx, q) })
}

func (j *journal) Head(ctx context.Context) (driver.Position, error) {
	return journalled(j, entry{}, func() (driver.Position, error) { return j.toyStore.Head(ctx) })
}

func (j *journal) ListStreams(ctx context.Context, q driver.ListQuery) (driver.ListPage, error) {
	return journalled(j, entry{}, func() (driver.ListPage, error) { return j.toyStore.ListStreams(ctx, q) })
}

func (j *journal) LoadCheckpoint(ctx context.Context, name string) (driver.Checkpoint, error) {
	return journalled(j, entry{}, func() (driver.Checkpoint, error) { return j.toyStore.LoadCheckpoint(ctx, name) })
}

func (j *journal) SaveCheckpoint(ctx context.Context, cp driver.Checkpoint, prev driver.Revision) error {
	_, err := journalled(j, entry{Checkpoint: &cp, Prev: prev}, func() (any, error) { return nil, j.toyStore.SaveCheckpoint(ctx, cp, prev) })
	return err
}

func (j *journal) ListCheckpoints(ctx context.Context, q driver.CheckpointQuery) (driver.CheckpointPage, error) {
	return journalled(j, entry{}, func() (driver.CheckpointPage, error) { return j.toyStore.ListCheckpoints(ctx, q) })
}

func (j *journal) DeleteCheckpoint(ctx context.Context, name string) error {
	_, err := journalled(j, entry{Drop: []string{name}}, func() (any, error) { return nil, j.toyStore.DeleteCheckpoint(ctx, name) })
	return err
}

func (j *journal) LoadSnapshot(ctx context.Context, stream, kind string) (driver.Snapshot, error) {
	return journalled(j, entry{}, func() (driver.Snapshot, error) { return j.toyStore.LoadSnapshot(ctx, stream, kind) })
}

func (j *journal) SaveSnapshot(ctx context.Context, snap driver.Snapshot) error {
	snap.Data = bytes.Clone(snap.Data)
	_, err := journalled(j, entry{Snapshot: &snap}, func() (any, error) { return nil, j.toyStore.SaveSnapshot(ctx, snap) })
	return err
}

func (j *journal) DeleteSnapshot(ctx context.Context, stream, kind string) error {
	_, err := journalled(j, entry{Drop: []string{stream, kind}}, func() (any, error) { return nil, j.toyStore.DeleteSnapshot(ctx, stream, kind) })
	return err
}

// ofJournals is the Config of journals.
func ofJournals(alone bool, fault journalFault) Config {
	return Config{
		Open: func(ctx context.Context, dsn string) (driver.Store, error) {
			return openJournal(ctx, dsn, alone, fault)
		},
		DSN:       func(t TB) string { return filepath.Join(t.TempDir(), "journal") },
		FeedBound: 30 * time.Second,
		Processes: true,
		Alone:     alone,
		quick:     true,
	}
}

// TestJournals runs the checks of other processes on journals that are right.
func TestJournals(t *testing.T) {
	some := slices.DeleteFunc(slices.Clone(checks), func(c check) bool {
		return !strings.HasPrefix(c.name, "process/") && c.name != "append/durable" && c.name != "feed/pages"
	})
	for _, alone := range []bool{false, true} {
		t.Run(fmt.Sprint("alone=", alone), func(t *testing.T) {
			run(t, ofJournals(alone, faultless), some)
		})
	}
}

func inJournal(alone bool, fault journalFault) func(*Config, *toy) {
	return func(c *Config, _ *toy) { *c = ofJournals(alone, fault) }
}

func init() {
	mutants = append(mutants,
		mutant{name: "acknowledges before it writes to the file", rules: "A6", checks: "process/killed", cfg: inJournal(false, writesLater)},
		mutant{name: "writes an append to the file in pieces", rules: "A1", checks: "process/killed", cfg: inJournal(false, writesPieces)},
		mutant{name: "does not finish a purge that was killed", rules: "D4", checks: "process/killed-purge", cfg: inJournal(false, purgesHalf)},
		mutant{name: "does not lock the file", rules: "V5 O3 F1 F6 F9", checks: "process/at-once", cfg: inJournal(false, locksNothing)},
		mutant{name: "shows an event to other processes after a later one", rules: "F2 F1", checks: "process/at-once", cfg: inJournal(false, showsLate)},
		mutant{name: "cannot be created by several processes", rules: "O3", checks: "process/at-once", cfg: inJournal(false, createsOnce)},
		mutant{name: "lets a second process in", rules: "O7", checks: "process/alone", cfg: inJournal(true, locksNothing)},
		mutant{name: "stays locked when its process is killed", rules: "O7", checks: "process/alone", cfg: inJournal(true, leavesItsLock)},
	)
}
