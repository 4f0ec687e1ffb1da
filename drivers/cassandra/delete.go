package cassandra

import (
	"context"
	"errors"

	"github.com/go-es/es/driver"
)

// Delete appends the event that closes the stream, as any other append in the
// bucket of its base: elsewhere it would race with the append that begins the next
// bucket, and both would succeed. A purge then erases the buckets one by one, from
// the first on.
func (s *Store) Delete(ctx context.Context, req driver.DeleteRequest) (driver.Appended, error) {
	a := attempt{s: s, stream: req.Stream, records: []driver.Record{req.Record}, closes: true}
	if exact, ok := req.Expected.Exact(); ok {
		a.base = exact
	}
	var done driver.Appended
	wrote := false // or found that it was written
	err := s.writing(ctx, func(c call) (err error) {
		if !wrote {
			if done, err = a.close(c, req); err != nil {
				return err
			}
			wrote = true
			if a.base+1 != done.Last {
				a.base = done.Last - 1
			}
		}
		if err := s.erase(c.write, req, done.Last); err != nil {
			return &unsureError{fail(err)}
		}
		return nil
	})
	return done, a.unknown(err)
}

// close closes the stream, or finds that it is closed.
func (a *attempt) close(c call, req driver.DeleteRequest) (driver.Appended, error) {
	s := a.s
	st, err := s.last(c.read, req.Stream)
	if err != nil {
		return driver.Appended{}, a.after(err)
	}
	for {
		write, done, err := driver.DecideDelete(req, st.stream(), func() (driver.ID, driver.Position, error) {
			id, err := s.closing(c.read, req.Stream, &st)
			return id, 0, a.after(err)
		})
		if err != nil || !write {
			return done, err
		}
		if a.sent && st.version() != a.base {
			a.sent = false // it was not carried out at that base, and never will be
		}
		a.base = st.version()
		there, err := a.put(c)
		if err != nil {
			return driver.Appended{}, err
		}
		if there == nil {
			return driver.Appended{First: a.base + 1, Last: a.base + 1}, nil
		}
		st = *there
		if err := c.read.Err(); err != nil {
			return driver.Appended{}, err
		}
	}
}

// closing returns the id of the event that closed a stream.
func (s *Store) closing(ctx context.Context, stream string, st *state) (driver.ID, error) {
	w := walk{s: s, stream: stream, from: st.version(), to: st.version(), start: st.version()}
	pieces, err := w.all(ctx)
	if err != nil {
		return driver.ID{}, err
	}
	if len(pieces) != 1 || len(pieces[0].records) != 1 {
		return driver.ID{}, corrupt("the event that closed stream %q is missing", stream)
	}
	return pieces[0].records[0].ID, nil
}

// erase removes the snapshots of a closed stream, and with a purge its events.
func (s *Store) erase(ctx context.Context, req driver.DeleteRequest, last driver.Version) error {
	if err := s.dropSnapshots(ctx, req.Stream); err != nil {
		return err
	}
	if req.Mode != driver.Purge {
		return nil
	}
	end := s.bucketOf(last - 1)
	for b := int64(0); b <= end; b++ {
		st, err := s.stateOf(ctx, req.Stream, b)
		if err != nil {
			return err
		}
		if st.head == 0 {
			return corrupt("bucket %d of stream %q is gone", b, req.Stream)
		}
		if st.purged {
			continue
		}
		high := int64(st.version())
		if b == end {
			high--
		}
		batch := s.batch(ctx)
		batch.Query(s.texts.purgeFlag, req.Stream, b, st.head)
		batch.Query(s.texts.purgeRows, req.Stream, b, int64(1), high)
		applied, it, err := s.client.MapExecuteBatchCAS(batch, map[string]any{})
		if it != nil {
			err = errors.Join(err, it.Close())
		}
		if err != nil {
			return err
		}
		if !applied {
			return corrupt("bucket %d of stream %q changed after it was full", b, req.Stream)
		}
	}
	return nil
}
