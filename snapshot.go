package es

import (
	"context"
	"encoding/binary"
	"fmt"
	"reflect"

	"github.com/go-es/es/driver"
)

// Snapshot is a state that was computed from a stream, so that not all of its
// events need be read again. Package aggregate takes and uses them; a program
// rarely does so itself.
type Snapshot struct {
	Stream  string
	Kind    string  // what the state is of; the store keeps one snapshot for each
	Version Version // of the last event that went into it
	EventID ID      // of that event: if the stream has another there, its history was replaced

	encoding string
	data     []byte
	dec      *decoder
}

// SnapshotSettings is how a snapshot is saved.
type SnapshotSettings struct {
	Encrypt bool   // with the key of Subject
	Subject string // whose data the state has
}

// SaveSnapshot saves a state, encoded with the store's codec, unless there is a
// newer one of its stream and kind. The error is errors.ErrUnsupported where the
// driver keeps none.
func (s *Store) SaveSnapshot(ctx context.Context, snap Snapshot, state any, set SnapshotSettings) error {
	st, err := driver.Snapshots(s.drv)
	if err != nil {
		return err
	}
	data, err := marshal(s.codec, state)
	if err != nil {
		return fmt.Errorf("es: the snapshot %q of stream %q cannot be encoded as %s: %w", snap.Kind, snap.Stream, s.codec.Name(), bare{err})
	}
	out := driver.Snapshot{Stream: snap.Stream, Kind: snap.Kind, Version: snap.Version, EventID: snap.EventID}
	if out.Data, out.Encoding, err = s.compress(data, s.codec.Name()); err != nil {
		return err
	}
	if set.Encrypt {
		key, err := s.subjectSealer(ctx, set.Subject)
		if err != nil {
			return fmt.Errorf("es: the snapshot %q of stream %q: %w", snap.Kind, snap.Stream, bare{err})
		}
		out.Encoding += sealedMark
		if out.Data, err = seal(key.key, purposeSnapshot, key.subject, snapshotPlace(&out), out.Data); err != nil {
			return err
		}
	}
	if err := driver.Check(s.caps, out); err != nil {
		return err
	}
	return s.call(ctx, Op{Name: "save snapshot", Stream: snap.Stream}, func(ctx context.Context) (int, error) {
		return 0, idempotent(st.SaveSnapshot(ctx, out))
	})
}

// snapshotPlace binds a sealed snapshot to its stream, kind, version and event.
func snapshotPlace(s *driver.Snapshot) place {
	id := binary.BigEndian.AppendUint64(nil, uint64(s.Version))
	return place{s.Stream, string(append(id, s.EventID[:]...)), s.Kind, s.Encoding}
}

// LoadSnapshot loads the snapshot of a stream and kind, and returns false if
// there is none.
func (s *Store) LoadSnapshot(ctx context.Context, stream, kind string) (Snapshot, bool, error) {
	st, err := driver.Snapshots(s.drv)
	if err != nil {
		return Snapshot{}, false, err
	}
	if err := driver.CheckName("stream", stream); err != nil {
		return Snapshot{}, false, err
	}
	if err := driver.CheckName("snapshot kind", kind); err != nil {
		return Snapshot{}, false, err
	}
	var found driver.Snapshot
	err = s.call(ctx, Op{Name: "load snapshot", Stream: stream}, func(ctx context.Context) (int, error) {
		found, err = st.LoadSnapshot(ctx, stream, kind)
		return 0, err
	})
	if err != nil || found.Version == 0 {
		return Snapshot{}, false, err
	}
	return Snapshot{found.Stream, found.Kind, found.Version, found.EventID, found.Encoding, found.Data, s.decoder(ctx)}, true, nil
}

// Decode decodes the state into what v points to.
func (sn Snapshot) Decode(v any) error {
	err := sn.decode(v)
	if err != nil {
		return fmt.Errorf("es: the snapshot %q of stream %q at version %d: %w", sn.Kind, sn.Stream, sn.Version, bare{err})
	}
	return nil
}

func (sn Snapshot) decode(v any) error {
	if sn.dec == nil {
		return errNotRead
	}
	if p := reflect.ValueOf(v); p.Kind() != reflect.Pointer || p.IsNil() {
		return &InvalidError{What: "what a snapshot is decoded into", Reason: fmt.Sprintf("%T is no pointer to a value", v)}
	}
	d := driver.Snapshot{Stream: sn.Stream, Kind: sn.Kind, Version: sn.Version, EventID: sn.EventID, Encoding: sn.encoding}
	data, name, err := sn.dec.open(sn.dec.ctx, purposeSnapshot, snapshotPlace(&d), sn.data)
	if err != nil {
		return err
	}
	codec, err := sn.dec.codecFor(name)
	if err != nil {
		return err
	}
	if err := unmarshalInto(codec, data, v); err != nil {
		return fmt.Errorf("%w: %s cannot be decoded as %T: %w", ErrCorrupt, name, v, bare{err})
	}
	return nil
}

// Subject returns the subject whose key the snapshot is encrypted with, and false
// if it is not encrypted.
func (sn Snapshot) Subject() (string, bool) { return sealedSubject(sn.encoding, sn.data) }

// DeleteSnapshot removes the snapshot of a stream and kind, if it is there.
func (s *Store) DeleteSnapshot(ctx context.Context, stream, kind string) error {
	st, err := driver.Snapshots(s.drv)
	if err != nil {
		return err
	}
	if err := driver.CheckName("stream", stream); err != nil {
		return err
	}
	if err := driver.CheckName("snapshot kind", kind); err != nil {
		return err
	}
	return s.call(ctx, Op{Name: "delete snapshot", Stream: stream}, func(ctx context.Context) (int, error) {
		return 0, idempotent(st.DeleteSnapshot(ctx, stream, kind))
	})
}

// Subject returns with whose key what is stored under a type in a stream is
// encrypted from now on, and false if it is not.
func (s *Store) Subject(stream, typ string) (string, bool) {
	if s.rule == nil {
		return "", false
	}
	return s.rule(stream, typ)
}
