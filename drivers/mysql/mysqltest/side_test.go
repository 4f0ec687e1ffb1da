package mysqltest

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	client "github.com/go-sql-driver/mysql"

	"github.com/go-es/es"
	"github.com/go-es/es/driver"
	"github.com/go-es/es/internal/benchtest"
	"github.com/go-es/es/internal/servers"
)

// BenchmarkES puts package es on this driver beside hand-written code on the
// client's: one table, prepared statements for one event and for reads, and one
// INSERT for several.
func BenchmarkES(b *testing.B) { benchBoth(b, benchtest.Beside) }

// BenchmarkLate is how late events are delivered.
func BenchmarkLate(b *testing.B) { benchBoth(b, benchtest.Late) }

// BenchmarkGrowth compares small stores with large ones.
func BenchmarkGrowth(b *testing.B) {
	benchBoth(b, func(b *testing.B, cfg benchtest.Config) {
		benchtest.Growth(b, benchtest.GrowthConfig{Data: cfg.Data, Open: cfg.Open, Settle: func(b *testing.B, dsn string) {
			execute(b, dsn, "ANALYZE TABLE es_events")
		}})
	})
}

func benchBoth(b *testing.B, f func(*testing.B, benchtest.Config)) {
	for _, name := range both {
		b.Run(name, func(b *testing.B) {
			server := at(servers.DSN(b, name))
			f(b, benchtest.Config{
				Server: func(b *testing.B) string {
					var version string
					must(b, pool(b, server).QueryRow("SELECT VERSION()").Scan(&version))
					return map[string]string{"mariadb": "MariaDB ", "mysql": "MySQL "}[name] + version
				},
				Data: func(b *testing.B) string { return newDatabase(b, server) },
				Raw:  func(b *testing.B, dsn string, create bool) benchtest.Raw { return openRaw(b, dsn, create) },
				Open: func(b *testing.B, dsn string) *es.Store {
					s, err := es.Open("mysql", dsn)
					must(b, err)
					b.Cleanup(func() { must(b, s.Close()) })
					return s
				},
			})
		})
	}
}

type rawStore struct {
	db                                *sql.DB
	insert, last, readStream, readAll *sql.Stmt
}

const rawTable = `CREATE TABLE events (
	position BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
	stream VARBINARY(255) NOT NULL,
	version BIGINT NOT NULL,
	id BINARY(16) NOT NULL,
	type VARBINARY(255) NOT NULL,
	encoding VARBINARY(64) NOT NULL,
	time BIGINT NOT NULL,
	metadata LONGBLOB,
	data LONGBLOB NOT NULL,
	UNIQUE KEY stream_version (stream, version)
) ENGINE=InnoDB`

const rawInsert = "INSERT INTO events (stream, version, id, type, encoding, time, metadata, data) VALUES "

func openRaw(b *testing.B, dsn string, create bool) *rawStore {
	if create {
		execute(b, dsn, rawTable)
	}
	db, err := sql.Open("mysql", dsn+"?interpolateParams=true")
	must(b, err)
	b.Cleanup(func() { db.Close() })
	db.SetMaxIdleConns(32)
	r := &rawStore{db: db}
	for text, into := range map[string]**sql.Stmt{
		rawInsert + "(?,?,?,?,?,?,?,?)":                                 &r.insert,
		"SELECT COALESCE(MAX(version), 0) FROM events WHERE stream = ?": &r.last,
		"SELECT position, version, id, type, encoding, time, metadata, data FROM events WHERE stream = ? ORDER BY version":            &r.readStream,
		"SELECT position, stream, version, id, type, encoding, time, metadata, data FROM events WHERE position > ? ORDER BY position": &r.readAll,
	} {
		s, err := db.Prepare(text)
		must(b, err)
		b.Cleanup(func() { s.Close() })
		*into = s
	}
	return r
}

func (r *rawStore) Append(ctx context.Context, stream string, base int, events ...benchtest.Deposited) error {
	args := make([]any, 0, 8*len(events))
	for i, e := range events {
		data, err := json.Marshal(e)
		if err != nil {
			return err
		}
		now := time.Now()
		id := driver.NewID(now)
		args = append(args, stream, base+1+i, id[:], e.EventType(), "json", now.UnixMicro(), nil, data)
	}
	if len(events) == 1 {
		_, err := r.insert.ExecContext(ctx, args...)
		return err
	}
	_, err := r.db.ExecContext(ctx, rawInsert+strings.Repeat("(?,?,?,?,?,?,?,?),", len(events)-1)+"(?,?,?,?,?,?,?,?)", args...)
	return err
}

func (r *rawStore) AppendAny(ctx context.Context, stream string, events ...benchtest.Deposited) error {
	for {
		var base int
		if err := r.last.QueryRowContext(ctx, stream).Scan(&base); err != nil {
			return err
		}
		err := r.Append(ctx, stream, base, events...)
		var taken *client.MySQLError
		if !errors.As(err, &taken) || taken.Number != 1062 && taken.Number != 1213 {
			return err
		}
	}
}

func (r *rawStore) ReadStream(ctx context.Context, stream string, f func(*benchtest.Deposited)) error {
	rows, err := r.readStream.QueryContext(ctx, stream)
	if err != nil {
		return err
	}
	return benchtest.DecodeRows(rows, f, func(e *benchtest.SQLEvent) []any {
		return []any{&e.Position, &e.Version, &e.ID, &e.Type, &e.Encoding, &e.Time, &e.Metadata, &e.Data}
	})
}

func (r *rawStore) ReadAll(ctx context.Context, _ []benchtest.Run, f func(*benchtest.Deposited)) error {
	rows, err := r.readAll.QueryContext(ctx, 0)
	if err != nil {
		return err
	}
	return benchtest.DecodeRows(rows, f, func(e *benchtest.SQLEvent) []any {
		return []any{&e.Position, &e.Stream, &e.Version, &e.ID, &e.Type, &e.Encoding, &e.Time, &e.Metadata, &e.Data}
	})
}
