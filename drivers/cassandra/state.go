package cassandra

import (
	"context"
	"errors"

	"github.com/gocql/gocql"

	"github.com/go-es/es/driver"
)

// The versions of a stream lie in buckets, each a partition. A commit goes to the
// bucket of its base, whole: base divided by the size of a bucket. So a bucket
// whose head has reached its border is full for good, the next one begins at that
// head, and where a commit goes depends on nothing but its base. No bucket between
// the first and the last is empty, for no commit is longer than a bucket.

// state is what a partition says of itself.
type state struct {
	bucket int64
	head   int64 // the last version that was written to it; negative: of the event that closes the stream; 0: nothing is there
	purged bool
	id     driver.ID // in a refusal: of the event that stands at the base
}

func (st *state) version() driver.Version {
	if st.head < 0 {
		return driver.Version(-st.head)
	}
	return driver.Version(st.head)
}

func (st *state) closed() bool { return st.head < 0 }

func (st *state) stream() driver.StreamState {
	return driver.StreamState{Head: st.version(), Closed: st.closed()}
}

// bucketOf returns the bucket of a commit by its base.
func (s *Store) bucketOf(base driver.Version) int64 { return int64(base / s.bucket) }

// border is the first base that lies beyond a bucket.
func (s *Store) border(bucket int64) int64 { return (bucket + 1) * int64(s.bucket) }

// full reports whether the stream goes on, or may go on, in another bucket.
func (s *Store) full(st *state) bool { return st.head >= s.border(st.bucket) }

// stateOf reads the state of a bucket.
func (s *Store) stateOf(ctx context.Context, stream string, bucket int64) (state, error) {
	return s.readState(s.query(ctx, s.texts.state, stream, bucket), stream, bucket)
}

func (s *Store) readState(q *gocql.Query, stream string, bucket int64) (state, error) {
	var name string
	var c statics
	st := state{bucket: bucket}
	err := q.Scan(&name, &st.bucket, &c.head, ignored{}, ignored{}, &c.purged)
	if errors.Is(err, gocql.ErrNotFound) {
		return st, nil
	}
	if err == nil {
		err = c.set(&st, stream)
	}
	if err != nil {
		return st, err
	}
	s.learn(stream, &st, row{})
	return st, nil
}

// statesOf reads the states of buckets, in one statement.
func (s *Store) statesOf(ctx context.Context, stream string, buckets []int64) ([]state, error) {
	it := s.query(ctx, s.texts.states, stream, buckets).Iter()
	var states []state
	var name string
	var c statics
	st := state{}
	for it.Scan(&name, &st.bucket, &c.head, ignored{}, ignored{}, &c.purged) {
		if err := c.set(&st, stream); err != nil {
			it.Close()
			return nil, err
		}
		states = append(states, st)
	}
	if err := it.Close(); err != nil {
		return nil, err
	}
	for i := range states {
		s.learn(stream, &states[i], row{})
	}
	return states, nil
}

// statics are the columns that a partition has once.
type statics struct {
	head   number
	purged flag
}

// set puts them into the state of a bucket.
func (c *statics) set(st *state, stream string) error {
	if c.head == 0 {
		return corrupt("bucket %d of stream %q has rows and no head", st.bucket, stream)
	}
	st.head, st.purged = int64(c.head), bool(c.purged)
	return nil
}

// learn remembers a state, and what was seen of rows. That of a closed stream is no
// base, and above all not of the next bucket.
func (s *Store) learn(stream string, st *state, seen row) {
	if st.head > 0 {
		s.heads.set(stream, head{driver.Version(st.head), st.bucket, seen})
	}
}

// guess returns a state that the stream has had, from memory if possible.
func (s *Store) guess(ctx context.Context, stream string) (state, error) {
	if at := s.heads.get(stream); at.version > 0 {
		return state{bucket: at.bucket, head: int64(at.version)}, nil
	}
	return s.last(ctx, stream)
}

// last returns the state of the last bucket of a stream: of bucket 0, with head 0,
// if the stream does not exist. A bucket that is known to be full is not asked again:
// it has the last version unless the next one has begun.
func (s *Store) last(ctx context.Context, stream string) (state, error) {
	known := s.heads.get(stream)
	full := state{bucket: known.bucket, head: int64(known.version)}
	bucket := known.bucket
	if s.full(&full) {
		bucket++
	}
	st, err := s.stateOf(ctx, stream, bucket)
	switch {
	case err != nil:
		return st, err
	case st.head != 0:
		return s.lastFrom(ctx, stream, st)
	case s.full(&full):
		return full, nil
	case bucket > 0:
		return st, corrupt("bucket %d of stream %q is gone", bucket, stream)
	}
	return st, nil
}

// lastFrom goes from a bucket to the last one. What it returns was the last state at
// some time during the call: a bucket that was not there when it was asked about had
// not begun, and one before it that is full, whenever that was read, has not changed
// since it became so.
func (s *Store) lastFrom(ctx context.Context, stream string, st state) (state, error) {
	near, step, missing := st.bucket, int64(1), int64(-1)
	for s.full(&st) && st.bucket+1 != missing {
		var ask []int64
		if missing < 0 {
			for _, n := range []int64{1, 2, 4, 8} {
				ask = append(ask, near+n*step)
			}
			if near > st.bucket {
				ask = append(ask, near)
			}
		} else {
			n := min(missing-st.bucket, 9)
			for i := range n - 1 {
				ask = append(ask, st.bucket+(missing-st.bucket)*(i+1)/n)
			}
		}
		states, err := s.statesOf(ctx, stream, ask)
		if err != nil {
			return st, err
		}
		for i := range states {
			if states[i].bucket > st.bucket {
				st = states[i]
			}
		}
		if missing <= st.bucket {
			missing = -1
		}
		for _, b := range ask {
			if b > st.bucket && (missing < 0 || b < missing) {
				missing = b
			}
		}
		if missing < 0 {
			// It is long. The register says where it was when it was last sequenced.
			v, err := s.registers(ctx, []string{stream})
			if err != nil {
				return st, err
			}
			near, step = max(s.bucketOf(max(v[0], 1)-1)-1, st.bucket), 8*step
		}
	}
	return st, nil
}
