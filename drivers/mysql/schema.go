package mysql

import (
	"context"
	sqldriver "database/sql/driver"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/go-es/es/driver"
)

// schemaVersion is the version of the tables below, kept in {meta}.
const schemaVersion = 1

// In texts, {NAME} is a table with the store's prefix.

var tables = [...]string{"meta", "events", "checkpoints", "snapshots"}

// ddl creates the tables. All text is in binary columns, which have no collation.
// The unique key on stream and version decides every append: there is no table
// of streams.
var ddl = [...]string{
	`CREATE TABLE IF NOT EXISTS {meta} (
	name VARBINARY(64) NOT NULL PRIMARY KEY,
	value BIGINT NOT NULL
) ENGINE=InnoDB`,
	`CREATE TABLE IF NOT EXISTS {events} (
	position BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
	kind TINYINT NOT NULL,
	stream VARBINARY(255) NOT NULL,
	version BIGINT NOT NULL,
	id BINARY(16) NOT NULL,
	type VARBINARY(255) NOT NULL,
	encoding VARBINARY(64) NOT NULL,
	time BIGINT NOT NULL,
	size INT NOT NULL,
	tags BLOB NOT NULL,
	metadata LONGBLOB NOT NULL,
	data LONGBLOB NOT NULL,
	UNIQUE KEY stream_version (stream, version)
) ENGINE=InnoDB`,
	`CREATE TABLE IF NOT EXISTS {checkpoints} (
	name VARBINARY(255) NOT NULL PRIMARY KEY,
	position BIGINT NOT NULL,
	seen_at BIGINT NOT NULL,
	seen_id BINARY(16) NOT NULL,
	revision BINARY(16) NOT NULL
) ENGINE=InnoDB`,
	`CREATE TABLE IF NOT EXISTS {snapshots} (
	stream VARBINARY(255) NOT NULL,
	kind VARBINARY(255) NOT NULL,
	version BIGINT NOT NULL,
	event_id BINARY(16) NOT NULL,
	encoding VARBINARY(64) NOT NULL,
	data LONGBLOB NOT NULL,
	PRIMARY KEY (stream, kind)
) ENGINE=InnoDB`,
	`INSERT IGNORE INTO {meta} (name, value) VALUES ('schema', 1), ('flushed', 0)`,
}

// columns of the tables, by which Open knows them.
var columns = map[string]string{
	"meta":        "name, value",
	"events":      "position, kind, stream, version, id, type, encoding, time, size, tags, metadata, data",
	"checkpoints": "name, position, seen_at, seen_id, revision",
	"snapshots":   "stream, kind, version, event_id, encoding, data",
}

// The kinds of rows in {events}.
const (
	kindEvent     = 0
	kindFiller    = 1 // a position that no event will ever have; its stream is empty and its version the position
	kindPurged    = 2 // an event that was purged
	kindTombstone = 3 // the record that closed a stream
	kindPurge     = 4 // the record that closed a stream whose events are all purged
	kindGuard     = 5 // holds a version while a transaction checks it; removed in the same one
)

// Schema returns the statements that create the tables of a prefix, for those who
// run them themselves and open the store with ddl=check. The prefix is as in
// [Config]; an error is a *driver.InvalidError.
func Schema(prefix string) (string, error) {
	cfg := Config{Prefix: prefix}
	if err := cfg.check(); err != nil {
		return "", invalid(err.Error())
	}
	return tableNames(prefix).Replace(strings.Join(ddl[:], ";\n\n")) + ";\n", nil
}

// tableNames returns what replaces the {NAME} of a text.
func tableNames(prefix string) *strings.Replacer {
	var pairs []string
	for _, t := range tables {
		pairs = append(pairs, "{"+t+"}", tableName(prefix, t))
	}
	return strings.NewReplacer(pairs...)
}

func tableName(prefix, table string) string {
	if prefix != "" {
		prefix += "_"
	}
	return "es_" + prefix + table
}

// prepareDatabase creates the tables that are missing and checks those that are
// there. A database that it refuses is not changed.
func (s *Store) prepareDatabase(ctx context.Context, ses *session) error {
	there, err := s.existing(ctx, ses)
	if err != nil {
		return err
	}
	found := 0
	if len(there) > 0 {
		if found, err = s.schema(ctx, ses, there); err != nil {
			return err
		}
	}
	complete := found > 0 && len(there) == len(tables)
	if found > schemaVersion || !complete && s.cfg.CheckOnly {
		return &driver.SchemaError{Found: min(found, len(there)), Known: schemaVersion}
	}
	if !complete {
		for _, text := range ddl {
			if _, err := ses.exec(ctx, s.names.Replace(text)); err != nil {
				return err
			}
		}
	}
	return s.checkTables(ctx, ses)
}

// existing returns which of the tables are there.
func (s *Store) existing(ctx context.Context, ses *session) (there []string, err error) {
	var quoted []string
	for _, t := range tables {
		quoted = append(quoted, "'"+tableName(s.cfg.Prefix, t)+"'")
	}
	err = ses.query(ctx, "SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name IN ("+strings.Join(quoted, ", ")+")",
		func(row []sqldriver.Value) error {
			there = append(there, str(row[0]))
			return nil
		})
	return there, err
}

// schema returns the version of the tables that are there, or 0 while another
// process creates them.
func (s *Store) schema(ctx context.Context, ses *session, there []string) (int, error) {
	meta := tableName(s.cfg.Prefix, "meta")
	if !slices.Contains(there, meta) {
		return 0, fmt.Errorf("es: mysql: the database has %s, and no %s: it is not es's; choose a prefix", strings.Join(there, ", "), meta)
	}
	version, rows := int64(0), false
	err := ses.query(ctx, "SELECT value, name = 'schema' FROM "+meta+" ORDER BY 2 DESC LIMIT 1", func(row []sqldriver.Value) error {
		rows = true
		if v, ok := row[0].(int64); ok && integer(row[1]) == 1 {
			version = v
		}
		return nil
	})
	if err != nil || rows && version < 1 {
		if serverError(err) == 0 && err != nil {
			return 0, err
		}
		return 0, errors.Join(fmt.Errorf("es: mysql: the table %s is not es's; choose a prefix", meta), err)
	}
	return int(version), nil
}

// checkTables returns an error where a table is not as the store knows it.
func (s *Store) checkTables(ctx context.Context, ses *session) error {
	for _, t := range tables {
		table := tableName(s.cfg.Prefix, t)
		err := ses.query(ctx, "SELECT "+columns[t]+" FROM "+table+" LIMIT 0", func([]sqldriver.Value) error { return nil })
		if serverError(err) == errUnknownColumn || serverError(err) == errNoTable {
			return fmt.Errorf("es: mysql: the table %s is not that of schema version %d: %w", table, schemaVersion, err)
		}
		if err != nil {
			return err
		}
		if err := s.checkEngine(ctx, ses, table); err != nil {
			return err
		}
	}
	return s.checkCounter(ctx, ses)
}

func (s *Store) checkEngine(ctx context.Context, ses *session, table string) error {
	engine, options := "", ""
	err := ses.query(ctx, "SELECT engine, create_options FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name = '"+table+"'",
		func(row []sqldriver.Value) error {
			engine, options = str(row[0]), str(row[1])
			return nil
		})
	if err != nil {
		return err
	}
	if engine != "InnoDB" {
		return fmt.Errorf("es: mysql: the table %s has the storage engine %s: the store needs InnoDB, whose commits are atomic and durable", table, engine)
	}
	if strings.Contains(options, "partitioned") {
		return fmt.Errorf("es: mysql: the table %s is partitioned: its keys would not be unique in the whole table", table)
	}
	return nil
}

// checkCounter returns an error if AUTO_INCREMENT lies behind its table, and if
// the key that decides appends is not there.
func (s *Store) checkCounter(ctx context.Context, ses *session) error {
	last, err := s.lastPosition(ctx, ses)
	if err != nil {
		return err
	}
	create := ""
	err = ses.query(ctx, s.names.Replace("SHOW CREATE TABLE {events}"), func(row []sqldriver.Value) error {
		create = str(row[1])
		return nil
	})
	if err != nil {
		return err
	}
	for _, key := range []string{"PRIMARY KEY (`position`)", "UNIQUE KEY `stream_version` (`stream`,`version`)"} {
		if !strings.Contains(create, key) {
			return fmt.Errorf("es: mysql: the table %s has no %s", tableName(s.cfg.Prefix, "events"), key)
		}
	}
	next := int64(0)
	if _, after, ok := strings.Cut(create, " AUTO_INCREMENT="); ok {
		fmt.Sscan(after, &next)
	}
	if last > 0 && next > 0 && next <= int64(last) {
		return corrupt("AUTO_INCREMENT of %s is %d, and there is an event at position %d: set it higher", tableName(s.cfg.Prefix, "events"), next, last)
	}
	return nil
}
