package cassandra

import (
	"context"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"math"
	"sync"

	"github.com/gocql/gocql"

	"github.com/go-es/es/driver"
)

// A snapshot is written with its version as its timestamp, so that the newest one
// stays whatever comes first, without a condition. What is deleted with the highest
// timestamp stays deleted: DeleteSnapshot therefore begins a new generation, which
// is a row of its own, and a delete of the stream ends all of them, and says so for
// ever: a deletion itself is forgotten after gc_grace.
const (
	forGood  int64 = math.MaxInt64 - 2
	evenThen int64 = math.MaxInt64 - 1
)

// generations remembers those that are not 0.
type generations struct {
	mu sync.Mutex
	of map[[2]string]int64
}

const maxGenerations = 10_000

func (g *generations) get(stream, kind string) int64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.of[[2]string{stream, kind}]
}

func (g *generations) set(stream, kind string, n int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.of == nil || len(g.of) >= maxGenerations {
		g.of = map[[2]string]int64{}
	}
	g.of[[2]string{stream, kind}] = n
}

// LoadSnapshot returns a snapshot, or the zero one.
func (s *Store) LoadSnapshot(ctx context.Context, stream, kind string) (snap driver.Snapshot, err error) {
	err = s.reading(ctx, func(ctx context.Context) error {
		_, data, err := s.snapshot(ctx, stream, kind)
		if err == nil && data != nil {
			snap, err = unpackSnapshot(data, stream, kind)
		}
		return err
	})
	return snap, err
}

func (s *Store) snapshot(ctx context.Context, stream, kind string) (generation int64, data []byte, err error) {
	var closed flag
	err = s.query(ctx, s.texts.loadSnapshot, stream, kind).Scan(&generation, &data, &closed)
	if errors.Is(err, gocql.ErrNotFound) || err == nil && bool(closed) {
		return 0, nil, nil
	}
	if generation > 0 {
		s.generations.set(stream, kind, generation)
	}
	return generation, data, err
}

// SaveSnapshot writes first, and looks then whether the stream is closed.
func (s *Store) SaveSnapshot(ctx context.Context, snap driver.Snapshot) error {
	data := packSnapshot(&snap)
	return unknownSave(s.writing(ctx, func(c call) error {
		for {
			generation := s.generations.get(snap.Stream, snap.Kind)
			err := s.query(c.write, s.texts.saveSnapshot, snap.Stream, snap.Kind, generation, data, int64(snap.Version)).Exec()
			if err != nil {
				return sent(err)
			}
			var now int64
			var st state
			err = s.each(c.write, 2, func(ctx context.Context, i int) (err error) {
				if i == 0 {
					now, _, err = s.snapshot(ctx, snap.Stream, snap.Kind)
				} else {
					st, err = s.last(ctx, snap.Stream)
				}
				return err
			})
			switch {
			case err != nil:
				return &unsureError{fail(err)}
			case st.closed():
				if err := s.dropSnapshots(c.write, snap.Stream); err != nil {
					return &unsureError{fail(err)}
				}
				return deleted(snap.Stream)
			case now <= generation:
				return nil
			}
		}
	}))
}

// DeleteSnapshot begins a new generation.
func (s *Store) DeleteSnapshot(ctx context.Context, stream, kind string) error {
	return unknownSave(s.writing(ctx, func(c call) error {
		generation, data, err := s.snapshot(c.read, stream, kind)
		if err != nil || generation == 0 && data == nil {
			return err
		}
		b := s.batch(c.write)
		b.Query(s.texts.newGeneration, stream, kind, generation+1, int64(1))
		b.Query(s.texts.dropGeneration, forGood, stream, kind, generation)
		return sent(s.client.ExecuteBatch(b))
	}))
}

// dropSnapshots removes the snapshots of a closed stream.
func (s *Store) dropSnapshots(ctx context.Context, stream string) error {
	b := s.batch(ctx)
	b.Query(s.texts.dropSnapshots, forGood, stream)
	b.Query(s.texts.closeSnapshots, evenThen, stream)
	return s.client.ExecuteBatch(b)
}

func packSnapshot(snap *driver.Snapshot) []byte {
	b := make([]byte, packHeader, packHeader+64+len(snap.Encoding)+len(snap.Data))
	b[0] = packed
	b = binary.AppendUvarint(b, uint64(snap.Version))
	b = append(b, snap.EventID[:]...)
	b = appendString(b, snap.Encoding)
	b = appendString(b, snap.Data)
	binary.LittleEndian.PutUint32(b[1:], crc32.Checksum(b[packHeader:], castagnoli))
	return b
}

func unpackSnapshot(b []byte, stream, kind string) (driver.Snapshot, error) {
	if len(b) >= packHeader && b[0] == packed && binary.LittleEndian.Uint32(b[1:]) == crc32.Checksum(b[packHeader:], castagnoli) {
		p := parser{rest: b[packHeader:]}
		snap := driver.Snapshot{Stream: stream, Kind: kind, Version: driver.Version(p.number())}
		copy(snap.EventID[:], p.bytes(uint64(len(snap.EventID))))
		snap.Encoding = string(p.bytes(p.number()))
		snap.Data = clipped(p.bytes(p.number()))
		if !p.failed && len(p.rest) == 0 {
			return snap, nil
		}
	}
	return driver.Snapshot{}, corrupt("the snapshot %q of stream %q is not what was saved", kind, stream)
}
