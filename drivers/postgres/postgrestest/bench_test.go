package postgrestest

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/go-es/es"
	"github.com/go-es/es/conformance"
	"github.com/go-es/es/driver"
	"github.com/go-es/es/drivers/postgres"
	"github.com/go-es/es/internal/benchtest"
)

// BenchmarkDriver measures the driver alone. What package es on it costs beside
// hand-written code is measured by BenchmarkES.
func BenchmarkDriver(b *testing.B) {
	server := server(b)
	conformance.Bench(b, conformance.Config{Open: open, DSN: func(t conformance.TB) string { return data(t, server) }})
}

// BenchmarkES puts package es on this driver beside hand-written code on pgx.
func BenchmarkES(b *testing.B) { benchtest.Beside(b, beside(b)) }

// BenchmarkLate is how late events are delivered.
func BenchmarkLate(b *testing.B) { benchtest.Late(b, beside(b)) }

// BenchmarkGrowth compares small stores with large ones.
func BenchmarkGrowth(b *testing.B) { benchtest.Growth(b, many(b)) }

// BenchmarkMemory is what is in memory while much is read.
func BenchmarkMemory(b *testing.B) { benchtest.Memory(b, many(b)) }

func beside(b *testing.B) benchtest.Config {
	server := server(b)
	return benchtest.Config{
		Server: func(b *testing.B) string {
			c, err := connect(b.Context(), server)
			must(b, err)
			defer c.Close(b.Context())
			return "PostgreSQL " + c.PgConn().ParameterStatus("server_version")
		},
		Data: func(b *testing.B) string { return data(b, server) },
		Raw:  func(b *testing.B, dsn string, create bool) benchtest.Raw { return openRaw(b, dsn, create) },
		Open: openES,
	}
}

func many(b *testing.B) benchtest.GrowthConfig {
	cfg := beside(b)
	return benchtest.GrowthConfig{Data: cfg.Data, Open: cfg.Open, Settle: func(b *testing.B, dsn string) {
		must(b, execute(b.Context(), dsn, "VACUUM ANALYZE "+table(dsn, "streams"), "VACUUM ANALYZE "+table(dsn, "events"), "CHECKPOINT"))
	}}
}

// poolSize is how many connections both sides have: one for each writer.
const poolSize = 16

func openES(b *testing.B, dsn string) *es.Store {
	cfg, err := postgres.ParseDSN(dsn)
	must(b, err)
	cfg.Pool.MaxConns = poolSize
	s, err := postgres.Open(b.Context(), cfg)
	must(b, err)
	store, err := es.New(s)
	must(b, err)
	b.Cleanup(func() { must(b, store.Close()) })
	return store
}

// raw is a store written by hand on pgx: a table with an index on stream and
// version, and statements that pgx prepares.
type raw struct {
	pool    *pgxpool.Pool
	insert  string
	several string
	stream  string
	last    string
	all     string
}

func openRaw(b *testing.B, dsn string, create bool) *raw {
	ctx := context.Background()
	cfg, err := postgres.ParseDSN(dsn)
	must(b, err)
	cfg.Pool.MaxConns = poolSize
	pool, err := pgxpool.NewWithConfig(ctx, cfg.Pool)
	must(b, err)
	b.Cleanup(pool.Close)
	table := cfg.Schema + ".events"
	for _, text := range []string{
		"CREATE SCHEMA " + cfg.Schema,
		"CREATE TABLE " + table + ` (
			position bigserial PRIMARY KEY,
			stream text NOT NULL,
			version bigint NOT NULL,
			id uuid NOT NULL,
			type text NOT NULL,
			time timestamptz NOT NULL,
			data bytea NOT NULL,
			UNIQUE (stream, version)
		)`,
	} {
		if create {
			_, err := pool.Exec(ctx, text)
			must(b, err)
		}
	}
	return &raw{
		pool:    pool,
		insert:  "INSERT INTO " + table + " (stream, version, id, type, time, data) VALUES ($1, $2, $3, $4, $5, $6)",
		several: "INSERT INTO " + table + " (stream, version, id, type, time, data) SELECT $1, $2 + n, id, type, time, data FROM unnest($3::uuid[], $4::text[], $5::timestamptz[], $6::bytea[]) WITH ORDINALITY AS new (id, type, time, data, n)",
		stream:  "SELECT position, version, id, type, time, data FROM " + table + " WHERE stream = $1 ORDER BY version",
		last:    "SELECT coalesce(max(version), 0) FROM " + table + " WHERE stream = $1",
		all:     "SELECT position, stream, version, id, type, time, data FROM " + table + " ORDER BY position",
	}
}

// Append stores several events by one statement, which is a little faster than a
// batch of one for each.
func (r *raw) Append(ctx context.Context, stream string, base int, events ...benchtest.Deposited) error {
	ids, types := make([][16]byte, len(events)), make([]string, len(events))
	times, datas := make([]time.Time, len(events)), make([][]byte, len(events))
	for i := range events {
		data, err := json.Marshal(events[i])
		if err != nil {
			return err
		}
		now := time.Now()
		ids[i], types[i], times[i], datas[i] = driver.NewID(now), events[i].EventType(), now, data
	}
	if len(events) == 1 {
		_, err := r.pool.Exec(ctx, r.insert, stream, base+1, ids[0], types[0], times[0], datas[0])
		return err
	}
	_, err := r.pool.Exec(ctx, r.several, stream, base, ids, types, times, datas)
	return err
}

func (r *raw) AppendAny(ctx context.Context, stream string, events ...benchtest.Deposited) error {
	for {
		var last int
		if err := r.pool.QueryRow(ctx, r.last, stream).Scan(&last); err != nil {
			return err
		}
		err := r.Append(ctx, stream, last, events...)
		var pg *pgconn.PgError
		if !errors.As(err, &pg) || pg.Code != "23505" {
			return err
		}
	}
}

type rawEvent struct {
	Position, Version int64
	Stream, Type      string
	ID                [16]byte
	Time              time.Time
	Data              []byte
}

func (r *raw) ReadStream(ctx context.Context, stream string, f func(*benchtest.Deposited)) error {
	rows, err := r.pool.Query(ctx, r.stream, stream)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var e rawEvent
		if err := rows.Scan(&e.Position, &e.Version, &e.ID, &e.Type, &e.Time, &e.Data); err != nil {
			return err
		}
		if err := give(e.Data, f); err != nil {
			return err
		}
	}
	return rows.Err()
}

func (r *raw) ReadAll(ctx context.Context, _ []benchtest.Run, f func(*benchtest.Deposited)) error {
	rows, err := r.pool.Query(ctx, r.all)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var e rawEvent
		if err := rows.Scan(&e.Position, &e.Stream, &e.Version, &e.ID, &e.Type, &e.Time, &e.Data); err != nil {
			return err
		}
		if err := give(e.Data, f); err != nil {
			return err
		}
	}
	return rows.Err()
}

func give(data []byte, f func(*benchtest.Deposited)) error {
	var d benchtest.Deposited
	if err := json.Unmarshal(data, &d); err != nil {
		return err
	}
	f(&d)
	return nil
}
