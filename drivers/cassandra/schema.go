package cassandra

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gocql/gocql"

	"github.com/go-es/es/driver"
)

// schemaVersion is the one that this driver reads and writes.
const schemaVersion = 1

// table is a table of the store.
type table struct {
	name    string
	columns map[string]string // and their types
	create  string            // after CREATE TABLE IF NOT EXISTS NAME
	indexes []string          // columns that have one each
}

// tables are created in this order; the first one says that the others are es's.
var tables = []table{
	{"meta", map[string]string{"key": "text", "version": "int", "bucket": "int", "slots": "int", "levels": "text", "creator": "text"},
		"(key text PRIMARY KEY, version int, bucket int, slots int, levels text, creator text)", nil},
	{"events", map[string]string{"stream": "text", "bucket": "bigint", "first": "bigint", "head": "bigint", "dirty": "int", "overdue": "int", "purged": "boolean", "id": "blob", "data": "blob"},
		"(stream text, bucket bigint, first bigint, head bigint static, dirty int static, overdue int static, purged boolean static, id blob, data blob, PRIMARY KEY ((stream, bucket), first))", []string{"dirty", "overdue"}},
	{"log", map[string]string{"bucket": "bigint", "first": "bigint", "spans": "blob"},
		"(bucket bigint, first bigint, spans blob, PRIMARY KEY (bucket, first))", nil},
	{"seqv", map[string]string{"shard": "int", "stream": "text", "v": "bigint"},
		"(shard int, stream text, v bigint, PRIMARY KEY (shard, stream))", nil},
	{"checkpoints", map[string]string{"name": "text", "rev": "blob", "position": "bigint", "seen_at": "bigint", "seen_id": "blob"},
		"(name text PRIMARY KEY, rev blob, position bigint, seen_at bigint, seen_id blob)", nil},
	{"snapshots", map[string]string{"stream": "text", "kind": "text", "generation": "bigint", "data": "blob", "closed": "boolean"},
		"(stream text, kind text, generation bigint, data blob, closed boolean static, PRIMARY KEY (stream, kind, generation)) WITH CLUSTERING ORDER BY (kind ASC, generation DESC)", nil},
}

func (cfg *Config) table(name string) string {
	if cfg.Prefix != "" {
		name = cfg.Prefix + "_" + name
	}
	return "es_" + name
}

// qualified is the name of a table in a statement.
func (cfg *Config) qualified(name string) string {
	return `"` + cfg.Keyspace + `".` + cfg.table(name)
}

// creation returns the statements that create a table. The first table has an id
// that follows from its name: two nodes that create it at the same time create the
// same one. The others are created by one process alone.
func (cfg *Config) creation(i int) []string {
	t := &tables[i]
	text := "CREATE TABLE IF NOT EXISTS " + cfg.qualified(t.name) + " " + t.create
	if i == 0 {
		h := sha256.Sum256([]byte("es " + cfg.qualified(t.name)))
		h[6], h[8] = h[6]&0x0f|0x50, h[8]&0x3f|0x80
		text += fmt.Sprintf(" WITH ID = %x-%x-%x-%x-%x", h[:4], h[4:6], h[6:8], h[8:10], h[10:16])
	}
	texts := []string{text}
	for _, column := range t.indexes {
		texts = append(texts, fmt.Sprintf("CREATE INDEX IF NOT EXISTS %s ON %s (%s)", cfg.index(t, column), cfg.qualified(t.name), column))
	}
	return texts
}

func (cfg *Config) index(t *table, column string) string { return cfg.table(t.name) + "_" + column }

// CQL returns the statements that create the tables, for those who do so
// themselves, from one client, and open stores with ddl=check.
func (cfg Config) CQL() string {
	var b strings.Builder
	for i := range tables {
		for _, text := range cfg.creation(i) {
			b.WriteString(text + ";\n")
		}
	}
	m := cfg.newMeta()
	fmt.Fprintf(&b, "INSERT INTO %s (key, version, bucket, slots, levels) VALUES ('%s', %d, %d, %d, '%s') IF NOT EXISTS;\n",
		cfg.qualified("meta"), metaKey, m.version, m.bucket, m.slots, m.levels)
	return b.String()
}

// meta is what is stored with the tables, once.
type meta struct {
	version, bucket, slots int
	levels                 string
}

const (
	metaKey = "store"
	lockKey = "creating"
	slots   = 61 // a prime number of seconds: who looks once an hour, or a day, looks at another one each time

	lockFor   = 90 * time.Second // for which a creator is alone
	createFor = 60 * time.Second // for which it creates at most
)

func (cfg *Config) newMeta() meta {
	m := meta{schemaVersion, cfg.Bucket, slots, cfg.levels().name}
	if m.bucket == 0 {
		m.bucket = defaultBucket
	}
	return m
}

// readMeta returns the stored meta, or the zero one.
func (s *Store) readMeta(ctx context.Context) (meta, error) {
	var version, bucket, slots *int
	var levels *string
	err := s.query(ctx, s.texts.meta, metaKey).Scan(&version, &bucket, &slots, &levels)
	if errors.Is(err, gocql.ErrNotFound) || err == nil && version == nil {
		return meta{}, nil
	}
	if err != nil {
		return meta{}, err
	}
	if *version != schemaVersion {
		return meta{}, &driver.SchemaError{Found: *version, Known: schemaVersion}
	}
	if bucket == nil || slots == nil || levels == nil {
		return meta{}, corrupt("the row %q of %s is not whole", metaKey, s.cfg.qualified("meta"))
	}
	return meta{*version, *bucket, *slots, *levels}, nil
}

// prepare checks the cluster and the tables, and creates what is missing.
func (s *Store) prepare(ctx context.Context) error {
	if err := s.checkServer(ctx); err != nil {
		return err
	}
	found, err := s.lookAtTables(ctx)
	if err != nil {
		return err
	}
	var m meta
	if found["meta"] {
		if m, err = s.readMeta(ctx); err != nil && !isMissing(err) {
			return err
		}
	} else if len(found) > 0 {
		name := slices.Sorted(maps.Keys(found))[0]
		return fmt.Errorf("%w: there is a table %s, and none that is named %s: choose a prefix, or another keyspace", driver.ErrSchema, s.cfg.qualified(name), s.cfg.table("meta"))
	}
	if m.version == 0 || len(found) < len(tables) {
		if s.cfg.CheckOnly && m.version == 0 {
			return &driver.SchemaError{Known: schemaVersion}
		}
		if m.version > 0 { // it is written last: all others are there, unless they have gone
			if found, err = s.lookAtTables(ctx); err != nil {
				return err
			}
		}
		if m.version > 0 && len(found) < len(tables) {
			return fmt.Errorf("%w: the table %s is missing", driver.ErrSchema, s.cfg.qualified(s.missing(found)))
		}
		if m.version == 0 {
			if m, err = s.create(ctx); err != nil {
				return err
			}
		}
	}
	switch {
	case s.cfg.Bucket != 0 && m.bucket != s.cfg.Bucket:
		return fmt.Errorf("%w: the tables were created with bucket=%d, and this store has bucket=%d", driver.ErrSchema, m.bucket, s.cfg.Bucket)
	case m.levels != s.levels.name:
		return fmt.Errorf("%w: the tables were created for serial consistency %q, and this store has %q: SERIAL and LOCAL_SERIAL do not see each other's writes", driver.ErrSchema, m.levels, s.levels.name)
	case m.slots != slots || m.bucket < 1:
		return corrupt("the row %q of %s has %d slots and buckets of %d", metaKey, s.cfg.qualified("meta"), m.slots, m.bucket)
	}
	s.bucket = driver.Version(m.bucket)
	return nil
}

func (s *Store) missing(found map[string]bool) string {
	for _, t := range tables {
		if !found[t.name] {
			return t.name
		}
	}
	return ""
}

// lookAtTables returns which tables are there, and fails if one is not es's.
func (s *Store) lookAtTables(ctx context.Context) (map[string]bool, error) {
	there := map[string]map[string]string{}
	it := s.query(ctx, "SELECT table_name, column_name, type FROM system_schema.columns WHERE keyspace_name = ?", s.cfg.Keyspace).Consistency(gocql.One).Iter()
	var name, column, typ string
	for it.Scan(&name, &column, &typ) {
		if there[name] == nil {
			there[name] = map[string]string{}
		}
		there[name][column] = typ
	}
	if err := it.Close(); err != nil {
		return nil, err
	}
	indexed := map[string]bool{}
	var kind, index string
	it = s.query(ctx, "SELECT index_name, kind FROM system_schema.indexes WHERE keyspace_name = ?", s.cfg.Keyspace).Consistency(gocql.One).Iter()
	for it.Scan(&index, &kind) {
		indexed[index] = kind == "COMPOSITES" || kind == "KEYS"
	}
	if err := it.Close(); err != nil {
		return nil, err
	}
	found := map[string]bool{}
	for _, t := range tables {
		columns := there[s.cfg.table(t.name)]
		if columns == nil {
			continue
		}
		for name, typ := range t.columns {
			if columns[name] != typ {
				return nil, fmt.Errorf("%w: the table %s is not es's: its column %s is %q, and not %s: choose a prefix, or another keyspace", driver.ErrSchema, s.cfg.qualified(t.name), name, columns[name], typ)
			}
		}
		found[t.name] = !slices.ContainsFunc(t.indexes, func(column string) bool { return !indexed[s.cfg.index(&t, column)] })
	}
	maps.DeleteFunc(found, func(_ string, whole bool) bool { return !whole })
	return found, nil
}

// create creates the tables. Of several processes that do so at once, one does:
// Cassandra itself may make two tables of one name if two nodes are asked.
func (s *Store) create(ctx context.Context) (meta, error) {
	began := time.Now()
	me := driver.NewID(began).String()
	first, cancel := context.WithTimeout(ctx, createFor)
	defer cancel()
	if err := s.define(first, 0); err != nil {
		return meta{}, err
	}
	var asked time.Time // for the lock; the first time, if an answer was lost
	for pause := 20 * time.Millisecond; ; pause = min(2*pause, 500*time.Millisecond) {
		m, err := s.readMeta(ctx)
		if err == nil && m.version > 0 {
			return m, nil
		}
		if err == nil {
			if asked.IsZero() {
				asked = time.Now()
			}
			var mine bool
			if mine, err = s.lock(ctx, me); mine && err == nil {
				break
			} else if err == nil {
				asked = time.Time{}
			}
		}
		if err != nil && (fateOf(err) == wrong && !isMissing(err) || time.Since(began) > lockFor) {
			return meta{}, err
		}
		select {
		case <-ctx.Done():
			return meta{}, ctx.Err()
		case <-time.After(pause):
		}
	}
	alone, cancel := context.WithDeadline(ctx, asked.Add(createFor))
	defer cancel()
	for i := range tables {
		err := s.define(alone, i)
		if err != nil && alone.Err() != nil && ctx.Err() == nil {
			err = driver.Transient(fmt.Errorf("es: cassandra: creating the tables takes longer than %v: %w", createFor, fail(err)))
		}
		if err != nil {
			return meta{}, err
		}
	}
	m := s.cfg.newMeta()
	it := s.query(ctx, "INSERT INTO "+s.cfg.qualified("meta")+" (key, version, bucket, slots, levels) VALUES (?, ?, ?, ?, ?) IF NOT EXISTS",
		metaKey, m.version, m.bucket, m.slots, m.levels).NoSkipMetadata().Iter()
	if _, err := conditional(it, nil); err != nil {
		return meta{}, err
	}
	s.query(ctx, "DELETE FROM "+s.cfg.qualified("meta")+" WHERE key = ? IF creator = ?", lockKey, me).Exec() // or it expires
	return s.readMeta(ctx)
}

// isMissing reports whether a statement names a table that is not there. A node
// shows a new table in its system tables a moment before it knows it itself, and
// knows it a moment before it can use it.
func isMissing(err error) bool {
	e, ok := errors.AsType[gocql.RequestError](err)
	return ok && (e.Code() == gocql.ErrCodeInvalid && strings.Contains(e.Message(), "does not exist") ||
		e.Code() == gocql.ErrCodeServer && strings.Contains(e.Message(), "Unknown CF"))
}

// lock makes this process the one that creates, unless another one is.
func (s *Store) lock(ctx context.Context, me string) (bool, error) {
	var creator *string
	it := s.query(ctx, "INSERT INTO "+s.cfg.qualified("meta")+" (key, creator) VALUES (?, ?) IF NOT EXISTS USING TTL "+strconv.Itoa(int(lockFor/time.Second)), lockKey, me).NoSkipMetadata().Iter()
	applied, err := conditional(it, columns{"creator": &creator})
	return applied || creator != nil && *creator == me, err
}

// define creates a table and waits until all nodes know it, which may take longer than
// the client waits for an answer: until the context ends it asks again.
func (s *Store) define(ctx context.Context, i int) error {
	for _, text := range s.cfg.creation(i) {
		for pause := 50 * time.Millisecond; ; pause = min(2*pause, time.Second) {
			err := s.query(ctx, text).Exec()
			if err == nil {
				err = s.client.AwaitSchemaAgreement(ctx)
			}
			if err == nil {
				break
			}
			if fateOf(err) == wrong {
				return err
			}
			select {
			case <-time.After(pause):
			case <-ctx.Done():
				return err
			}
		}
	}
	return nil
}
