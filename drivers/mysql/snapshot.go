package mysql

import (
	"bytes"
	"context"
	sqldriver "database/sql/driver"
	"math"

	"github.com/go-es/es/driver"
)

func (s *Store) snapshots() string { return tableName(s.cfg.Prefix, "snapshots") }

// LoadSnapshot returns the snapshot, or the zero Snapshot.
func (s *Store) LoadSnapshot(ctx context.Context, stream, kind string) (snap driver.Snapshot, err error) {
	err = s.read(ctx, func(ctx context.Context, ses *session) error {
		snap = driver.Snapshot{}
		return s.ask(ctx, ses, readSnapshot, func(row []sqldriver.Value) error {
			version := integer(row[0])
			if version == noVersion || version == endVersion {
				return nil
			}
			id, ok1 := row[1].([]byte)
			data, ok2 := row[3].([]byte)
			if !ok1 || !ok2 || version < 1 || len(id) != len(snap.EventID) {
				return corrupt("the snapshot %q of stream %q cannot be what was stored", kind, stream)
			}
			snap = driver.Snapshot{
				Stream:   stream,
				Kind:     kind,
				Version:  driver.Version(version),
				EventID:  driver.ID(id),
				Encoding: str(row[2]),
				Data:     bytes.Clone(data),
			}
			return nil
		}, stream, kind)
	})
	return snap, err
}

// The versions of what stands in the place of a snapshot that is there no more, empty:
// noVersion of one that was deleted, and endVersion where its stream was closed. A
// SaveSnapshot that arrives late finds the latter, and is older. No snapshot has them.
const (
	noVersion  = 0
	endVersion = math.MaxInt64
)

// endSnapshots appends the statement that empties the snapshots of a stream for good.
func (s *Store) endSnapshots(t *text, stream string) {
	s.empty(t, endVersion)
	t.add(" WHERE stream=", name(stream))
}

func (s *Store) empty(t *text, version int64) {
	t.add("UPDATE ", s.snapshots(), " SET version=", version, ",event_id='',encoding='',data=''")
}

// SaveSnapshot keeps snap unless there is a newer one or the stream is closed. It
// writes first and then looks whether the stream is closed, and Delete closes
// first and then empties snapshots: so none stays.
func (s *Store) SaveSnapshot(ctx context.Context, snap driver.Snapshot) error {
	t := make(text, 0, 2*len(snap.Data)+4*len(snap.Stream)+1024)
	// The columns are set in order, each from the row as it is by then: the
	// version comes last.
	t.add("INSERT INTO ", s.snapshots(), " (stream,kind,version,event_id,encoding,data) VALUES (", name(snap.Stream), ",", name(snap.Kind), ",",
		int64(snap.Version), ",", snap.EventID[:], ",", name(snap.Encoding), ",", snap.Data,
		") ON DUPLICATE KEY UPDATE event_id=IF(version<=VALUES(version),VALUES(event_id),event_id),encoding=IF(version<=VALUES(version),VALUES(encoding),encoding),"+
			"data=IF(version<=VALUES(version),VALUES(data),data),version=GREATEST(version,VALUES(version))")
	return s.change(ctx, func(ctx context.Context, ses *session) error {
		if _, err := ses.exec(ctx, string(t)); err != nil {
			return err
		}
		st, err := s.stateOf(ctx, ses, snap.Stream)
		if err != nil {
			return sentAlready(err)
		}
		if !st.Closed {
			return nil
		}
		var remove text
		s.endSnapshots(&remove, snap.Stream)
		if _, err := ses.exec(ctx, string(remove)); err != nil {
			return sentAlready(err)
		}
		return &driver.StreamError{Stream: snap.Stream, Err: driver.ErrStreamDeleted}
	})
}

// sentAlready makes an error of a later statement one of a change that was made in
// part: it is made again.
func sentAlready(err error) error {
	if isOurs(err) {
		return err
	}
	return &lostError{err}
}

// DeleteSnapshot empties a snapshot, if it is there. Its row stays, or a Delete of the
// stream would find none to end.
func (s *Store) DeleteSnapshot(ctx context.Context, stream, kind string) error {
	var t text
	s.empty(&t, noVersion)
	t.add(" WHERE stream=", name(stream), " AND kind=", name(kind), " AND version<", int64(endVersion))
	return s.change(ctx, func(ctx context.Context, ses *session) error {
		_, err := ses.exec(ctx, string(t))
		return err
	})
}
