package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/go-es/es"
)

// report is the read model: how often each file was changed. It is kept in a
// file of its own, with the place in the feed that it has come to, so that the
// two can never disagree. The checkpoint in the store shows others how far it is,
// and keeps two programs from writing one report.
type report struct {
	Feed  es.Checkpoint            `json:"feed"`
	Files map[string]*fileActivity `json:"files"` // by stream

	file  string    // "": it is kept in memory only
	saved time.Time // the last time
}

// fileActivity is one line of the report.
type fileActivity struct {
	Path    Path `json:"path"`
	Changes int  `json:"changes"`
	Lines   int  `json:"lines"` // added and removed
}

const reportCheckpoint = "githistory-report"

// loadReport reads the report, or begins one if it is not there.
func loadReport(ctx context.Context, store *es.Store, file string) (*report, error) {
	r := &report{Files: make(map[string]*fileActivity), file: file, saved: time.Now()}
	if file != "" {
		b, err := os.ReadFile(file)
		if err == nil {
			err = json.Unmarshal(b, r)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("the report %s: %w", file, err)
		}
	}
	cp, err := store.Checkpoint(ctx, reportCheckpoint)
	if err != nil {
		return nil, err
	}
	r.Feed.Name, r.Feed.Revision = cp.Name, cp.Revision
	return r, nil
}

// follow adds what the feed brings, page by page, until the context ends or,
// unless live, the end is reached.
func (r *report) follow(ctx context.Context, store *es.Store, live bool) error {
	for page, err := range store.Pages(ctx, es.Resume(r.Feed), es.Prefixes(filePrefix)) {
		if err != nil {
			return err
		}
		for _, rec := range page.Events {
			if err := r.add(rec); err != nil {
				return err
			}
		}
		r.Feed = page.Checkpoint(r.Feed)
		end := page.CaughtUp && !live
		if end || time.Since(r.saved) >= time.Second {
			if err := r.save(ctx, store); err != nil {
				return err
			}
		}
		if end {
			return nil
		}
	}
	return nil
}

func (r *report) add(rec es.Record) error {
	c, path, err := decodeChange(rec)
	if err != nil {
		return err
	}
	a := r.Files[rec.Stream]
	if a == nil {
		a = new(fileActivity)
		r.Files[rec.Stream] = a
	}
	if path != "" {
		a.Path = path
	}
	a.Changes++
	a.Lines += c.Added + c.Removed
	return nil
}

// save writes the report with the place that it has come to, and then the
// checkpoint.
func (r *report) save(ctx context.Context, store *es.Store) error {
	if r.file != "" {
		b, err := json.Marshal(r)
		if err != nil {
			return err
		}
		if err := replaceFile(r.file, b); err != nil {
			return fmt.Errorf("the report: %w", err)
		}
	}
	r.saved = time.Now()
	var err error
	r.Feed, err = store.SaveCheckpoint(ctx, r.Feed)
	return err
}

// replaceFile writes a file so that it has either its old bytes or the new.
func replaceFile(name string, b []byte) error {
	tmp, err := os.CreateTemp(filepath.Dir(name), filepath.Base(name)+".*")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(b)
	if err == nil {
		err = tmp.Sync()
	}
	if err = errors.Join(err, tmp.Close()); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), name)
}

// top returns the files that were changed most.
func (r *report) top(n int) []*fileActivity {
	all := make([]*fileActivity, 0, len(r.Files))
	for _, a := range r.Files {
		all = append(all, a)
	}
	slices.SortFunc(all, func(a, b *fileActivity) int {
		return cmp.Or(cmp.Compare(b.Changes, a.Changes), cmp.Compare(b.Lines, a.Lines), cmp.Compare(a.Path, b.Path))
	})
	return all[:min(n, len(all))]
}
