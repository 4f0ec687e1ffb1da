package postgres

import (
	"bytes"
	"context"

	"github.com/go-es/es/driver"
)

// LoadSnapshot returns the snapshot, or the zero Snapshot.
func (s *Store) LoadSnapshot(ctx context.Context, stream, kind string) (snap driver.Snapshot, err error) {
	err = s.read(ctx, func(ctx context.Context, ses *session) error {
		snap = driver.Snapshot{}
		return ses.run(ctx, loadSnapshot, func(row [][]byte) error {
			version, ok1 := natural(row[0])
			snap = driver.Snapshot{Stream: stream, Kind: kind, Version: driver.Version(version), Encoding: string(row[2]), Data: bytes.Clone(row[3])}
			if ok2 := copy(snap.EventID[:], row[1]) == len(snap.EventID); !ok1 || !ok2 {
				return corrupt("the snapshot %q of stream %q cannot be what was stored", kind, stream)
			}
			return nil
		}, []byte(stream), []byte(kind))
	})
	return snap, err
}

// SaveSnapshot keeps snap unless there is a newer one or the stream is closed.
func (s *Store) SaveSnapshot(ctx context.Context, snap driver.Snapshot) error {
	data := snap.Data
	if data == nil {
		data = []byte{}
	}
	args := [][]byte{[]byte(snap.Stream), []byte(snap.Kind), bigint(uint64(snap.Version)), snap.EventID[:], []byte(snap.Encoding), data}
	return s.writeAgain(ctx, func(ctx context.Context, ses *session) error {
		closed, saved := false, false
		err := ses.write(ctx, saveSnapshot, func(row [][]byte) error {
			n, _ := natural(row[0])
			written, _ := natural(row[1])
			closed, saved = n != open, written > 0
			return nil
		}, args...)
		switch {
		case err == nil && closed:
			err = deleted(snap.Stream)
		case err == nil && !saved: // there is a newer one
			err = ses.confirm(ctx)
		}
		return err
	})
}

// DeleteSnapshot removes a snapshot, if it is there.
func (s *Store) DeleteSnapshot(ctx context.Context, stream, kind string) error {
	return s.remove(ctx, deleteSnapshot, []byte(stream), []byte(kind))
}
