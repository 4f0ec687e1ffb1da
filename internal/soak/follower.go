package soak

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"time"

	"github.com/go-es/es/driver"
)

// pageSizes are those of the readers, by process; the last process's goes back to
// its checkpoint all the time.
var pageSizes = []int{100, 7, 0}

const restarterPage = 23

func pageSize(process, processes int) int {
	if process == processes-1 {
		return restarterPage
	}
	return pageSizes[process%len(pageSizes)]
}

// follower reads the feed. It writes each page down before it asks for the next.
type follower struct {
	*worker
	s     driver.Store
	log   *journal
	limit int
	after driver.Position
	seen  driver.Seen
}

// pageLine ends the lines of a page; those before it are "e position version id".
func pageLine(after driver.Position, p *driver.FeedPage) string {
	return fmt.Sprintf("p %d %d %d %t %d %d %v", after, p.Next, len(p.Records), p.End, time.Now().UnixNano(), p.Seen.Position, p.Seen.ID)
}

// follow follows the feed until the writing is over everywhere and the end is
// reached.
func (w *worker) follow(ctx context.Context) error {
	f := &follower{worker: w, s: w.other, limit: pageSize(w.Process, w.cfg.Processes)}
	var err error
	f.log, err = openJournal(readerLog(w.Dir, w.Process), func(line string) (bool, error) {
		if !strings.HasPrefix(line, "p ") {
			return line[0] != 'e', nil // events count with their page
		}
		var after, n, nano uint64
		var end bool
		var id string
		if _, err := fmt.Sscanf(line, "p %d %d %d %t %d %d %s", &after, &f.after, &n, &end, &nano, &f.seen.Position, &id); err != nil {
			return false, err
		}
		var err error
		f.seen.ID, err = driver.ParseID(id)
		return true, err
	})
	if err != nil {
		return err
	}
	defer f.log.f.Close()
	if w.Process == w.cfg.Processes-1 {
		err = f.restarts(ctx)
	} else {
		err = f.reads(ctx, 0)
	}
	if err != nil {
		return f.log.write("x " + strings.ReplaceAll(err.Error(), "\n", " "))
	}
	return nil
}

// over reports whether the writing is over everywhere.
func (f *follower) over() bool {
	select {
	case <-f.quit:
		return true
	default:
		return false
	}
}

// reads reads so many pages, or with 0 until the end of everything.
func (f *follower) reads(ctx context.Context, pages int) error {
	var idle time.Time // since when nothing comes after the end of the writing
	for n := 0; pages == 0 || n < pages; {
		over := f.over()
		page, err := f.read(ctx)
		if err != nil {
			return err
		}
		if page.Next > f.after {
			n++
			f.after, idle = page.Next, time.Time{}
			if page.Seen.Position > 0 {
				f.seen = page.Seen
			}
			continue
		}
		if over {
			if idle.IsZero() {
				idle = time.Now()
			}
			if page.End && (f.s.Caps().PositionOnAppend || time.Since(idle) > f.cfg.Late) {
				return nil
			}
			if !page.End && time.Since(idle) > patience {
				return fmt.Errorf("F5: %v after the last append, reading after position %d gives neither events nor the End", patience, f.after)
			}
		}
		if n > 0 && pages > 0 && page.End {
			return nil
		}
		time.Sleep(time.Duration(rand.IntN(10)) * time.Millisecond)
	}
	return nil
}

// read reads a page, looks at it, and writes it down.
func (f *follower) read(ctx context.Context) (page driver.FeedPage, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	q := driver.FeedQuery{After: f.after, Limit: f.limit, Seen: f.seen}
	err = retry(ctx, func() error {
		page, err = f.s.ReadAll(ctx, q)
		return err
	})
	if err != nil {
		return page, fmt.Errorf("ReadAll %+v: %w", q, err)
	}
	switch {
	case page.Next < f.after, page.Next == f.after && len(page.Records) > 0:
		return page, fmt.Errorf("F3: ReadAll after %d returned %d events and Next %d", f.after, len(page.Records), page.Next)
	case page.Next == f.after:
		return page, nil
	}
	var b strings.Builder
	for i := range page.Records {
		r := &page.Records[i]
		if !bytes.Equal(r.Data, payload(r.ID)) {
			return page, fmt.Errorf("R1: the event at position %d has %d bytes of data that nobody wrote", r.Position, len(r.Data))
		}
		fmt.Fprintf(&b, "e %d %d %v\n", r.Position, r.Version, r.ID)
	}
	return page, f.log.write(b.String() + pageLine(f.after, &page))
}

const checkpointName = "soak"

// restarts reads some pages, with a checkpoint saved after some of them, and then
// begins anew at the checkpoint, again and again.
func (f *follower) restarts(ctx context.Context) error {
	defer func() {
		if f.s != f.other {
			f.s.Close()
		}
	}()
	for {
		over := f.over()
		cp, err := f.load(ctx)
		if err != nil {
			return err
		}
		f.after, f.seen = cp.Position, driver.Seen{Position: cp.SeenAt, ID: cp.SeenID}
		if err := f.log.write(fmt.Sprintf("f %d", f.after)); err != nil {
			return err
		}
		if over {
			return f.reads(ctx, 0)
		}
		for range 1 + rand.IntN(4) {
			if err := f.reads(ctx, 1+rand.IntN(3)); err != nil {
				return err
			}
			next := driver.Checkpoint{Name: checkpointName, Position: f.after, SeenAt: f.seen.Position, SeenID: f.seen.ID, Revision: driver.NewID(time.Now())}
			if next.Position == cp.Position {
				continue
			}
			if err := f.save(ctx, next, cp.Revision); err != nil {
				return err
			}
			cp = next
			if err := f.log.write(fmt.Sprintf("s %d", cp.Position)); err != nil {
				return err
			}
		}
		// What is read after the checkpoint is read again.
		if err := f.reads(ctx, 1); err != nil {
			return err
		}
		if rand.IntN(5) == 0 {
			var s driver.Store
			if err := retry(ctx, func() (err error) {
				s, err = f.cfg.Open(ctx, f.DSN)
				return err
			}); err != nil {
				return fmt.Errorf("opening a client: %w", err)
			}
			if f.s != f.other {
				f.s.Close()
			}
			f.s = s
		}
	}
}

// load loads the checkpoint, from a file if the store keeps none.
func (f *follower) load(ctx context.Context) (cp driver.Checkpoint, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if cs, ok := f.s.(driver.CheckpointStore); ok {
		err = retry(ctx, func() error {
			cp, err = cs.LoadCheckpoint(ctx, checkpointName)
			return err
		})
	} else {
		var b []byte
		b, err = os.ReadFile(readerLog(f.Dir, f.Process) + "-checkpoint")
		if errors.Is(err, os.ErrNotExist) {
			return cp, nil
		}
		if err == nil {
			err = json.Unmarshal(b, &cp)
		}
	}
	if err != nil {
		err = fmt.Errorf("loading the checkpoint: %w", err)
	}
	return cp, err
}

func (f *follower) save(ctx context.Context, cp driver.Checkpoint, prev driver.Revision) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var err error
	if cs, ok := f.s.(driver.CheckpointStore); ok {
		for range 10 {
			err = retry(ctx, func() error { return cs.SaveCheckpoint(ctx, cp, prev) })
			if !errors.Is(err, driver.ErrUnknownOutcome) {
				break
			}
		}
	} else {
		path := readerLog(f.Dir, f.Process) + "-checkpoint"
		var b []byte
		b, err = json.Marshal(cp)
		if err == nil {
			err = os.WriteFile(path+"-new", b, 0o600)
		}
		if err == nil {
			err = os.Rename(path+"-new", path)
		}
	}
	if err != nil {
		return fmt.Errorf("saving the checkpoint: %w", err)
	}
	return nil
}
