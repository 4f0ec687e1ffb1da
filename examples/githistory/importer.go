package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"iter"

	"github.com/go-es/es"
	"github.com/go-es/es/examples/githistory/gitlog"
)

// importer appends the changes of commits to the streams of the files.
type importer struct {
	store *es.Store
	files map[Path]*tracked // that exist after the last commit
	last  CommitImported    // zero before the first
}

// tracked is a file that exists.
type tracked struct {
	stream  string
	version es.Version
	path    Path
}

// newImporter finds out how far an earlier import came.
func newImporter(ctx context.Context, store *es.Store) (*importer, error) {
	im := &importer{store: store, files: make(map[Path]*tracked)}
	for rec, err := range store.Read(ctx, commitsStream, es.Backward(), es.Limit(1)) {
		if errors.Is(err, es.ErrStreamNotFound) {
			return im, nil
		}
		if err != nil {
			return nil, err
		}
		if im.last, err = es.As[CommitImported](rec); err != nil {
			return nil, err
		}
	}
	live := make(map[string]*tracked)
	for rec, err := range store.ReadAll(ctx, es.Prefixes(filePrefix)) {
		if err != nil {
			return nil, err
		}
		c, path, err := decodeChange(rec)
		if err != nil {
			return nil, err
		}
		switch t := live[rec.Stream]; {
		case c.Commit > im.last.Commit:
			// Its commit was not finished, and is imported again.
		case rec.Type == FileDeleted{}.EventType():
			delete(live, rec.Stream)
		case t == nil:
			live[rec.Stream] = &tracked{rec.Stream, rec.Version, path}
		default:
			t.version = rec.Version
			if path != "" {
				t.path = path
			}
		}
	}
	for _, t := range live {
		im.files[t.path] = t
	}
	if len(im.files) != len(live) {
		return nil, fmt.Errorf("%d files lie at %d paths: this store has not been written by this program alone", len(live), len(im.files))
	}
	return im, nil
}

// decodeChange returns what a change of a file says, and the path if it has one.
func decodeChange(rec es.Record) (Content, Path, error) {
	switch rec.Type {
	case FileAdded{}.EventType():
		e, err := es.As[FileAdded](rec)
		return e.Content, e.Path, err
	case FileChanged{}.EventType():
		e, err := es.As[FileChanged](rec)
		return e.Content, "", err
	case FileRenamed{}.EventType():
		e, err := es.As[FileRenamed](rec)
		return e.Content, e.Path, err
	case FileDeleted{}.EventType():
		e, err := es.As[FileDeleted](rec)
		return e.Content, "", err
	}
	return Content{}, "", fmt.Errorf("event %d of stream %q is of type %q, which is none of this program's", rec.Version, rec.Stream, rec.Type)
}

// run imports the commits that are not there yet, in order, and tells progress
// of each.
func (im *importer) run(ctx context.Context, commits iter.Seq2[gitlog.Commit, error], progress func(CommitImported)) error {
	for c, err := range commits {
		if err != nil {
			return err
		}
		if c.Ordinal <= im.last.Commit {
			if c.Ordinal == im.last.Commit && c.Hash != im.last.Hash {
				return fmt.Errorf("commit %d is %s, and the store has %s there: this is another history, or it was rewritten", c.Ordinal, c.Hash, im.last.Hash)
			}
			continue
		}
		if err := im.add(ctx, c); err != nil {
			return fmt.Errorf("commit %d (%s): %w", c.Ordinal, c.Hash, err)
		}
		progress(im.last)
	}
	return nil
}

// add appends one commit: its changes, each to the stream of its file, and last
// the commit itself, all in one append where the store's limits allow it.
// Otherwise the changes go in several appends and the commit after them, so that
// it is there only when they all are.
//
// Whatever was appended of a commit whose import was interrupted is recognised:
// ids and expected versions are the same each time.
func (im *importer) add(ctx context.Context, c gitlog.Commit) error {
	if c.Ordinal != im.last.Commit+1 {
		return fmt.Errorf("it should be commit %d", im.last.Commit+1)
	}
	parts, after, err := im.changes(c)
	if err != nil {
		return err
	}
	done := CommitImported{Commit: c.Ordinal, Hash: c.Hash, Changes: len(c.Changes)}
	if !c.Time.IsZero() {
		done.Time = c.Time.Unix()
	}
	end := es.To(commitsStream, es.Exactly(es.Version(c.Ordinal-1)), envelope(c, -1, done))
	_, err = im.store.AppendAll(ctx, append(parts, end)...)
	if len(parts) > 0 && tooMuch(err) {
		if err = im.piecemeal(ctx, parts); err == nil {
			_, err = im.store.AppendAll(ctx, end)
		}
	}
	if err != nil {
		return err
	}
	after()
	im.last = done
	return nil
}

// tooMuch reports whether an append may succeed in pieces: it is above a limit,
// or a part of it is there already.
func tooMuch(err error) bool {
	return errors.Is(err, es.ErrTooLarge) || errors.Is(err, errors.ErrUnsupported) || errors.Is(err, es.ErrConflict)
}

// piecemeal appends parts in as few appends as the store takes.
func (im *importer) piecemeal(ctx context.Context, parts []es.Part) error {
	_, err := im.store.AppendAll(ctx, parts...)
	if n := len(parts); n > 1 && tooMuch(err) {
		if err = im.piecemeal(ctx, parts[:n/2]); err == nil {
			err = im.piecemeal(ctx, parts[n/2:])
		}
	}
	return err
}

// changes returns the parts of a commit's append, and what to do when they are
// stored. All that goes is taken away before what comes is put down: in one
// commit a path can be left by one file and taken by another.
func (im *importer) changes(c gitlog.Commit) ([]es.Part, func(), error) {
	var gone []Path
	come := make([]*tracked, 0, len(c.Changes))
	parts := make([]es.Part, 0, len(c.Changes)+1)
	for i, ch := range c.Changes {
		path := Path(ch.Path)
		content := Content{c.Ordinal, ch.NewMode, ch.NewBlob, ch.Added, ch.Removed, ch.Binary}
		var file tracked
		var event es.Event
		switch ch.Status {
		case gitlog.Added, gitlog.Copied:
			file = tracked{stream: Files.Stream(fileID(c.Hash, path)), path: path}
			event = FileAdded{content, path}
		case gitlog.Modified, gitlog.TypeChanged, gitlog.Renamed, gitlog.Deleted:
			old := im.files[Path(ch.OldPath)]
			if old == nil {
				return nil, nil, fmt.Errorf("it has a change (%v) of %q, which is not there", ch.Status, ch.OldPath)
			}
			file = *old
			file.path = path
			switch gone = append(gone, old.path); ch.Status {
			case gitlog.Renamed:
				event = FileRenamed{content, path}
			case gitlog.Deleted:
				event = FileDeleted{content}
			default:
				event = FileChanged{content}
			}
		default:
			return nil, nil, fmt.Errorf("it has a change of unknown kind %v of %q", ch.Status, ch.Path)
		}
		parts = append(parts, es.To(file.stream, es.Exactly(file.version), envelope(c, i, event)))
		if file.version++; ch.Status != gitlog.Deleted {
			come = append(come, &file)
		}
	}
	return parts, func() {
		for _, path := range gone {
			delete(im.files, path)
		}
		for _, f := range come {
			im.files[f.path] = f
		}
	}, nil
}

// fileID names a file for ever: by the commit that added it and its path there.
func fileID(commit string, path Path) string {
	sum := sha256.Sum256([]byte(commit + "\x00" + string(path)))
	return hex.EncodeToString(sum[:16])
}

// envelope gives an event the time of its commit and an id that follows from the
// commit and the number of the change (-1: the commit itself), so that importing
// the commit again repeats nothing.
func envelope(c gitlog.Commit, change int, ev es.Event) es.Envelope {
	sum := sha256.Sum256(fmt.Appendf(nil, "githistory %s %d", c.Hash, change))
	id := es.ID(sum[:16])
	id[6] = id[6]&0x0f | 0x80 // a UUID of version 8, RFC 9562
	id[8] = id[8]&0x3f | 0x80
	return es.Envelope{Event: ev, ID: id, Time: c.Time}
}
