package sqlite

import (
	"bytes"
	"context"
	sqldriver "database/sql/driver"

	"github.com/go-es/es/driver"
)

// LoadSnapshot returns the snapshot, or the zero Snapshot.
func (s *Store) LoadSnapshot(ctx context.Context, stream, kind string) (snap driver.Snapshot, err error) {
	err = s.read(ctx, func(ses session) error {
		snap = driver.Snapshot{}
		return ses.query(loadSnapshot, func(row []sqldriver.Value) error {
			version, ok1 := row[0].(int64)
			id, ok2 := row[1].([]byte)
			encoding, ok3 := row[2].(string)
			data, ok4 := row[3].([]byte)
			if !ok1 || !ok2 || !ok3 || !ok4 || len(id) != len(snap.EventID) {
				return corrupt("the snapshot %q of stream %q cannot be what was stored", kind, stream)
			}
			snap = driver.Snapshot{
				Stream:   stream,
				Kind:     kind,
				Version:  driver.Version(version),
				EventID:  driver.ID(id),
				Encoding: encoding,
				Data:     bytes.Clone(data),
			}
			return errStop
		}, stream, kind)
	})
	return snap, err
}

// SaveSnapshot keeps snap unless there is a newer one or the stream is closed.
func (s *Store) SaveSnapshot(ctx context.Context, snap driver.Snapshot) error {
	return s.writeAgain(ctx, func(ses session) error {
		st, err := lookup(ses, snap.Stream)
		if err != nil {
			return err
		}
		if st.closed != open {
			return &driver.StreamError{Stream: snap.Stream, Err: driver.ErrStreamDeleted}
		}
		data := snap.Data
		if data == nil {
			data = []byte{}
		}
		_, _, err = ses.exec(saveSnapshot, snap.Stream, snap.Kind, int64(snap.Version), snap.EventID[:], snap.Encoding, data)
		return err
	})
}

// DeleteSnapshot removes a snapshot, if it is there.
func (s *Store) DeleteSnapshot(ctx context.Context, stream, kind string) error {
	return s.writeAgain(ctx, func(ses session) error {
		_, _, err := ses.exec(deleteSnapshot, stream, kind)
		return err
	})
}
