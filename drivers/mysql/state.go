package mysql

import (
	"cmp"
	"context"
	sqldriver "database/sql/driver"
	"strconv"

	"github.com/go-es/es/driver"
)

// state is what the database knows of a stream: its last row.
type state struct {
	driver.StreamState
	kind     int64
	id       driver.ID
	position driver.Position
	err      error // the row cannot be what was stored
}

const stateColumns = "version, kind, position, id"

// statesMax is how many streams are looked up with one query.
const statesMax = 100

// states returns the states of streams.
func (s *Store) states(ctx context.Context, ses *session, streams []string) (map[string]state, error) {
	states := make(map[string]state, len(streams))
	most := statesMax
	suffix := ""
	if ses.locks {
		most, suffix = 1, " LOCK IN SHARE MODE"
	}
	for len(streams) > 0 {
		some := streams[:min(most, len(streams))]
		streams = streams[len(some):]
		take := func(i int, row []sqldriver.Value) { states[some[i]] = toState(some[i], row) }
		var err error
		if len(some) == 1 && suffix == "" {
			err = s.ask(ctx, ses, readState, func(row []sqldriver.Value) error {
				take(0, row)
				return nil
			}, some[0])
		} else {
			err = s.lookUp(ctx, ses, some, suffix, take)
		}
		if err != nil {
			return nil, err
		}
		for _, stream := range some {
			if st := states[stream]; st.Head > 0 && !st.Closed {
				s.heads.put(stream, st.Head, ses)
			}
		}
	}
	return states, nil
}

// lookUp reads the last rows of streams with one query.
func (s *Store) lookUp(ctx context.Context, ses *session, some []string, suffix string, take func(i int, row []sqldriver.Value)) error {
	var t text
	for i, stream := range some {
		if len(some) > 1 {
			if i > 0 {
				t.add(" UNION ALL ")
			}
			t.add("(")
		}
		t.add("SELECT ", i, " i, "+stateColumns+" FROM ", s.events, " WHERE stream=", name(stream), " ORDER BY version DESC LIMIT 1", suffix)
		if len(some) > 1 {
			t.add(")")
		}
	}
	return ses.query(ctx, string(t), func(row []sqldriver.Value) error {
		i := integer(row[0])
		if i < 0 || i >= int64(len(some)) {
			return corrupt("the state of a stream is %v", row)
		}
		take(int(i), row[1:])
		return nil
	})
}

func toState(stream string, row []sqldriver.Value) (st state) {
	version, kind, position := integer(row[0]), integer(row[1]), integer(row[2])
	id, ok := row[3].([]byte)
	if version < 1 || position < 1 || !ok || len(id) != len(st.id) || kind != kindEvent && kind != kindTombstone && kind != kindPurge {
		st.err = corrupt("stream %q: its last event cannot be what was stored", stream)
		return st
	}
	st.Head = driver.Version(version)
	st.kind = kind
	st.Closed = kind != kindEvent
	st.id = driver.ID(id)
	st.position = driver.Position(position)
	return st
}

// stateOf returns the state of one stream.
func (s *Store) stateOf(ctx context.Context, ses *session, stream string) (state, error) {
	states, err := s.states(ctx, ses, []string{stream})
	return states[stream], cmp.Or(err, states[stream].err)
}

// found reports whether the versions that a part would take hold its ids, and the
// position of the last.
func (s *Store) found(ctx context.Context, ses *session, p *driver.Part) (pos driver.Position, all bool, err error) {
	base, _ := p.Expected.Exact()
	n := 0
	all = true
	var t text
	t.add("SELECT id, position FROM ", s.events, " WHERE stream=", name(p.Stream), " AND version BETWEEN ", int64(base)+1, " AND ", int64(base)+int64(len(p.Records)), " ORDER BY version")
	if ses.tx != nil {
		t.add(" LOCK IN SHARE MODE")
	}
	err = ses.query(ctx, string(t), func(row []sqldriver.Value) error {
		id, ok := row[0].([]byte)
		if !ok || len(id) != len(driver.ID{}) {
			return corrupt("stream %q, version %d: its id is %v", p.Stream, base+driver.Version(n)+1, row[0])
		}
		if driver.ID(id) != p.Records[n].ID {
			all = false
			return errStop
		}
		n++
		pos = driver.Position(integer(row[1]))
		return nil
	})
	if err == nil && all && n < len(p.Records) {
		err = corrupt("stream %q: version %d is missing", p.Stream, base+driver.Version(n)+1)
	}
	return pos, all, err
}

// lastPosition returns the highest position, 0 in an empty store.
func (s *Store) lastPosition(ctx context.Context, ses *session) (pos driver.Position, err error) {
	err = ses.query(ctx, "SELECT MAX(position) FROM "+s.events, func(row []sqldriver.Value) error {
		if row[0] != nil {
			pos = driver.Position(integer(row[0]))
		}
		return nil
	})
	return pos, err
}

// list writes numbers, with commas between.
func (t *text) list(numbers []driver.Position) {
	for i, n := range numbers {
		if i > 0 {
			*t = append(*t, ',')
		}
		*t = strconv.AppendUint(*t, uint64(n), 10)
	}
}
