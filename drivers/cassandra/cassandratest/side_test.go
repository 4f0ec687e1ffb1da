package cassandratest

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/gocql/gocql"

	"github.com/go-es/es"
	"github.com/go-es/es/conformance"
	"github.com/go-es/es/driver"
	"github.com/go-es/es/internal/benchtest"
)

// BenchmarkDriver measures the driver alone. What package es on it costs beside
// hand-written code is measured by BenchmarkES.
func BenchmarkDriver(b *testing.B) {
	server := server(b)
	conformance.Bench(b, conformance.Config{Open: open, DSN: func(t conformance.TB) string { return data(t, keyspace(t, server, 1)) }})
}

// BenchmarkES puts package es on this driver beside hand-written code on gocql.
func BenchmarkES(b *testing.B) { benchtest.Beside(b, beside(b)) }

// BenchmarkLate is how late events are delivered.
func BenchmarkLate(b *testing.B) { benchtest.Late(b, beside(b)) }

func beside(b *testing.B) benchtest.Config {
	server := server(b)
	return benchtest.Config{
		Server: func(b *testing.B) (version string) {
			must(b, admin(b, server).Query("SELECT release_version FROM system.local").Scan(&version))
			return "Cassandra " + version
		},
		Data: func(b *testing.B) string { return data(b, keyspace(b, server, 1)) },
		Raw:  func(b *testing.B, dsn string, create bool) benchtest.Raw { return openRaw(b, dsn, create) },
		Open: func(b *testing.B, dsn string) *es.Store {
			s, err := es.Open("cassandra", dsn)
			must(b, err)
			b.Cleanup(func() { must(b, s.Close()) })
			return s
		},
	}
}

// rawStore keeps events as a careful programmer does on gocql: a row for each, which
// a condition keeps from being written twice. Several are the client's batch. It has
// no feed: it makes the same requests as package es, for the versions of a stream
// that lie beside each other in the feed, as many at a time.
type rawStore struct {
	session *gocql.Session
	table   string
}

func openRaw(b *testing.B, dsn string, create bool) *rawStore {
	c := cluster(b, dsn)
	session, err := c.CreateSession()
	must(b, err)
	b.Cleanup(session.Close)
	r := &rawStore{session: session, table: table(dsn, "raw")}
	if create {
		execute(b, dsn, "CREATE TABLE "+r.table+" (stream text, version int, id blob, type text, encoding text, time bigint, metadata blob, data blob, PRIMARY KEY (stream, version))")
	}
	return r
}

var errTaken = errors.New("the version is taken")

func (r *rawStore) Append(ctx context.Context, stream string, base int, events ...benchtest.Deposited) error {
	insert := "INSERT INTO " + r.table + " (stream, version, id, type, encoding, time, data) VALUES (?, ?, ?, ?, ?, ?, ?) IF NOT EXISTS"
	batch := r.session.NewBatch(gocql.LoggedBatch).WithContext(ctx)
	for i, e := range events {
		data, err := json.Marshal(e)
		if err != nil {
			return err
		}
		now := time.Now()
		id := driver.NewID(now)
		args := []any{stream, base + 1 + i, id[:], e.EventType(), "json", now.UnixMicro(), data}
		if len(events) == 1 {
			applied, err := r.session.Query(insert, args...).WithContext(ctx).Consistency(gocql.Quorum).MapScanCAS(map[string]any{})
			if err == nil && !applied {
				err = errTaken
			}
			return err
		}
		batch.Query(insert, args...)
	}
	applied, it, err := r.session.MapExecuteBatchCAS(batch, map[string]any{})
	if it != nil {
		err = errors.Join(err, it.Close())
	}
	if err == nil && !applied {
		err = errTaken
	}
	return err
}

func (r *rawStore) AppendAny(ctx context.Context, stream string, events ...benchtest.Deposited) error {
	for {
		var base *int
		err := r.session.Query("SELECT max(version) FROM "+r.table+" WHERE stream = ?", stream).WithContext(ctx).Consistency(gocql.Quorum).Scan(&base)
		if err != nil {
			return err
		}
		if base == nil {
			base = new(int)
		}
		var timeout *gocql.RequestErrWriteTimeout
		err = r.Append(ctx, stream, *base, events...)
		if err == nil || !errors.Is(err, errTaken) && !errors.As(err, &timeout) {
			return err
		}
	}
}

func (r *rawStore) ReadStream(ctx context.Context, stream string, f func(*benchtest.Deposited)) error {
	return r.read(ctx, benchtest.Run{Stream: stream, From: 1, To: math.MaxInt32}, f)
}

func (r *rawStore) read(ctx context.Context, run benchtest.Run, f func(*benchtest.Deposited)) error {
	it := r.session.Query("SELECT version, id, type, encoding, time, metadata, data FROM "+r.table+" WHERE stream = ? AND version >= ? AND version <= ?", run.Stream, run.From, run.To).
		WithContext(ctx).Consistency(gocql.Quorum).Iter()
	var version int
	var id, metadata, data []byte
	var kind, encoding string
	var at int64
	for it.Scan(&version, &id, &kind, &encoding, &at, &metadata, &data) {
		var d benchtest.Deposited
		if err := json.Unmarshal(data, &d); err != nil {
			return errors.Join(err, it.Close())
		}
		f(&d)
	}
	return it.Close()
}

func (r *rawStore) ReadAll(ctx context.Context, runs []benchtest.Run, f func(*benchtest.Deposited)) error {
	const most = 16 // requests at a time
	for some := range slices.Chunk(joined(runs), most) {
		var all sync.WaitGroup
		events, errs := make([][]benchtest.Deposited, len(some)), make([]error, len(some))
		for i, run := range some {
			all.Go(func() {
				errs[i] = r.read(ctx, run, func(d *benchtest.Deposited) { events[i] = append(events[i], *d) })
			})
		}
		all.Wait()
		if err := errors.Join(errs...); err != nil {
			return err
		}
		for i := range events {
			for j := range events[i] {
				f(&events[i][j])
			}
		}
	}
	return nil
}

// joined joins runs that follow each other in a stream: one request reads them.
func joined(runs []benchtest.Run) (out []benchtest.Run) {
	for _, run := range runs {
		if n := len(out) - 1; n >= 0 && out[n].Stream == run.Stream && out[n].To == run.From-1 {
			out[n].To = run.To
		} else {
			out = append(out, run)
		}
	}
	return out
}
