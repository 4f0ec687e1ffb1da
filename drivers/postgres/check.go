package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/go-es/es/driver"
)

// oldest is the first version of the server that is supported: those before it
// get no fixes any more, and were not tried.
const oldest = 13

// setting is one that a session has to have.
type setting struct {
	name, want, why string
}

var required = []setting{
	{"fsync", "on", "a crash of the machine would take acknowledged events, or the database"},
	{"full_page_writes", "on", "a crash of the machine could leave half a page; where the storage cannot, say no_torn_pages=true"},
	{"synchronous_commit", "", "a crash would take acknowledged events; leave it at on"},
	{"server_encoding", "UTF8", "names would be converted, or refused; es needs a database with the encoding UTF8"},
	{"client_encoding", "UTF8", "names would be converted; leave it at UTF8"},
	{"default_transaction_read_only", "off", "a store writes"},
	{"standard_conforming_strings", "on", "no server has had it off since 2010"},
}

// query runs a text in the simple protocol, which every pooler lets through, and
// returns its rows as text.
func query(ctx context.Context, pc *pgconn.PgConn, text string) ([][]string, error) {
	results, err := pc.Exec(ctx, text).ReadAll()
	if err != nil {
		return nil, err
	}
	var rows [][]string
	for _, r := range results {
		if r.Err != nil {
			return nil, r.Err
		}
		rows = nil
		for _, row := range r.Rows {
			texts := make([]string, len(row))
			for i, v := range row {
				texts[i] = string(v)
			}
			rows = append(rows, texts)
		}
	}
	return rows, nil
}

// checkServer returns an error if the session is not on a server, and with the
// settings, with which the store can keep its promises.
func (s *Store) checkServer(ctx context.Context, pc *pgconn.PgConn, is *connected) error {
	rows, err := query(ctx, pc, "SELECT version()")
	if err != nil {
		return err
	}
	if len(rows) != 1 {
		return errors.New("es: postgres: the server does not say what it is")
	}
	is.pooler = false
	version := rows[0][0]
	for _, other := range []struct{ sign, name string }{{"CockroachDB", "CockroachDB"}, {"-YB-", "YugabyteDB"}, {"Redshift", "Redshift"}, {"Greenplum", "Greenplum"}, {"Materialize", "Materialize"}} {
		if strings.Contains(version, other.sign) {
			return fmt.Errorf("es: postgres: the server is %s: it speaks the protocol of PostgreSQL without its locks, by which the feed tells whether an event is still being written; use PostgreSQL", other.name)
		}
	}
	if !strings.HasPrefix(version, "PostgreSQL ") && !strings.Contains(version, "EnterpriseDB") {
		return fmt.Errorf("es: postgres: the server is %.60q, and not PostgreSQL", version)
	}
	text := "SELECT current_setting('server_version_num')::int / 10000, pg_is_in_recovery(), pg_backend_pid(), current_setting('default_transaction_isolation')" +
		", current_setting('synchronous_standby_names') <> '' AND current_setting('synchronous_commit') <> 'local'"
	for _, r := range required {
		text += ", current_setting('" + r.name + "')"
	}
	if rows, err = query(ctx, pc, text); err != nil {
		return err
	}
	row := rows[0]
	if major := row[0]; len(major) < 2 || len(major) == 2 && major < itoa(oldest) {
		return fmt.Errorf("es: postgres: the server is PostgreSQL %s: the oldest version that is supported is %d", major, oldest)
	}
	if row[1] == "t" {
		return errReplica
	}
	is.pooler = row[2] != fmt.Sprint(pc.PID())
	is.begin = row[3] != "read committed"
	is.waits = row[4] == "t"
	for i, r := range required {
		got := row[5+i]
		if r.name == "full_page_writes" && s.cfg.NoTornPages || got == r.want || r.want == "" && got != "off" {
			continue
		}
		return fmt.Errorf("es: postgres: %s is %s: %s", r.name, got, r.why)
	}
	return nil
}

var errReplica = errors.New("es: postgres: the server is a replica (in recovery): es needs the primary; add target_session_attrs=read-write")

// checkConnection checks a connection that the store has not had before.
func (s *Store) checkConnection(ctx context.Context, conn *pgx.Conn, is *connected) error {
	pc := conn.PgConn()
	if err := s.checkServer(ctx, pc, is); err != nil {
		return err
	}
	switch conn.Config().DefaultQueryExecMode {
	case pgx.QueryExecModeCacheStatement:
	default:
		is.pooler = true // or something else that wants no prepared statements
	}
	if is.begin && s.own && !is.pooler {
		if _, err := query(ctx, pc, "SET default_transaction_isolation = 'read committed'"); err != nil {
			return err
		}
		is.begin = false
	}
	return s.checkPositions(ctx, pc)
}

// checkPositions returns an error if the sequence may give a position that is
// taken, or that lies below others of its stream.
func (s *Store) checkPositions(ctx context.Context, pc *pgconn.PgConn) error {
	names := s.cfg.tableNames()
	rows, err := query(ctx, pc, names.Replace(`SELECT q.seqcache, q.seqincrement, q.seqcycle, p.last_value, p.is_called, m.max,
			m.max > 0 AND (p.last_value < m.max OR NOT p.is_called)
		FROM pg_sequence q, {positions} p, (SELECT coalesce(max(position), 0) AS max FROM {events}) m WHERE q.seqrelid = '{positions}'::regclass`))
	if err != nil {
		return err
	}
	if len(rows) != 1 {
		return corrupt("the sequence %s is missing", names.Replace("{positions}"))
	}
	r := rows[0]
	switch name := names.Replace("{positions}"); {
	case r[0] != "1":
		return fmt.Errorf("es: postgres: the sequence %s has CACHE %s: positions of a stream would not rise; ALTER SEQUENCE %[1]s CACHE 1", name, r[0])
	case r[1] != "1" || r[2] != "f":
		return fmt.Errorf("es: postgres: the sequence %s has INCREMENT %s, CYCLE %s: es needs 1 and f", name, r[1], r[2])
	case r[6] != "f":
		return corrupt("the sequence %s is at %s and lies behind its table, whose last position is %s: it was set back, or not restored with the table; look at why, then SELECT setval('%[1]s', %[3]s)", name, r[3], r[5])
	}
	return nil
}

// prepareDatabase checks the database, creates what is missing, and checks that
// every statement fits the tables.
func (s *Store) prepareDatabase(ctx context.Context) error {
	c, err := s.pool.Acquire(ctx)
	if err != nil {
		return notSent(ctx, err)
	}
	defer c.Release()
	pc := c.Conn().PgConn()
	if err := s.checkServer(ctx, pc, new(connected)); err != nil {
		return failRead(err)
	}
	found, err := s.schemaVersion(ctx, pc)
	if err != nil {
		return failRead(err)
	}
	if found == 0 && !s.cfg.CheckOnly {
		if found, err = s.create(ctx, pc); err != nil {
			return failRead(err)
		}
	}
	if found != schemaVersion {
		return &driver.SchemaError{Found: found, Known: schemaVersion}
	}
	delete(pc.CustomData(), s.key)
	ses, err := s.session(ctx, c.Conn())
	if err != nil {
		return failRead(err)
	}
	return s.checkTables(ctx, ses)
}

// schemaVersion returns the version of the tables, or 0 if there are none.
func (s *Store) schemaVersion(ctx context.Context, pc *pgconn.PgConn) (int, error) {
	var quoted []string
	for _, t := range append(tables[:], "positions") {
		quoted = append(quoted, "'"+s.cfg.table(t)+"'")
	}
	rows, err := query(ctx, pc, "SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = '"+
		strings.ReplaceAll(s.cfg.schema(), "'", "''")+"' AND c.relname IN ("+strings.Join(quoted, ", ")+")")
	if err != nil || len(rows) == 0 {
		return 0, err
	}
	there, meta := make([]string, len(rows)), false
	for i, r := range rows {
		there[i] = r[0]
		meta = meta || r[0] == s.cfg.table("meta")
	}
	if !meta {
		return 0, fmt.Errorf("es: postgres: the schema %s has %s, and no %s: it is not es's; choose a prefix or a schema", s.cfg.schema(), strings.Join(there, ", "), s.cfg.table("meta"))
	}
	rows, err = query(ctx, pc, s.cfg.tableNames().Replace("SELECT value::text FROM {meta} WHERE key::text = 'schema'"))
	pg, _ := errors.AsType[*pgconn.PgError](err)
	if err != nil && (pg == nil || !strings.HasPrefix(pg.Code, "42") || pg.Code == "42501") {
		return 0, err
	}
	version := 0
	if err == nil && len(rows) == 1 {
		fmt.Sscan(rows[0][0], &version)
	}
	if version < 1 {
		return 0, errors.Join(fmt.Errorf("es: postgres: the table %s is not es's; choose a prefix or a schema", s.cfg.table("meta")), err)
	}
	return version, nil
}

// create creates the tables, unless another process was faster, and returns the
// version that is there then. Processes wait for each other: CREATE IF NOT EXISTS
// fails when it runs twice at once.
func (s *Store) create(ctx context.Context, pc *pgconn.PgConn) (version int, err error) {
	if _, err := query(ctx, pc, beginText); err != nil {
		return 0, err
	}
	defer func() {
		if err != nil && !pc.IsClosed() {
			query(context.WithoutCancel(ctx), pc, "ROLLBACK")
		}
	}()
	if _, err := query(ctx, pc, "SELECT pg_advisory_xact_lock(7306080163)"); err != nil {
		return 0, err
	}
	if version, err = s.schemaVersion(ctx, pc); err != nil {
		return 0, err
	}
	if version == 0 {
		names := s.cfg.tableNames()
		schema := pgx.Identifier{s.cfg.schema()}.Sanitize()
		rows, err := query(ctx, pc, "SELECT 1 FROM pg_namespace WHERE nspname = '"+strings.ReplaceAll(s.cfg.schema(), "'", "''")+"'")
		if err != nil {
			return 0, err
		}
		if len(rows) == 0 {
			if _, err := query(ctx, pc, "CREATE SCHEMA "+schema); err != nil {
				return 0, err
			}
		}
		for _, text := range ddl {
			if _, err := query(ctx, pc, names.Replace(text)); err != nil {
				return 0, err
			}
		}
		version = schemaVersion
	}
	_, err = query(ctx, pc, "COMMIT")
	return version, err
}

// checkTables checks that the server has the locks that the feed is built on,
// that the tables survive a crash, and that every statement fits them.
func (s *Store) checkTables(ctx context.Context, ses *session) error {
	names := s.cfg.tableNames()
	rows, err := query(ctx, ses.pc, names.Replace(`WITH i AS (
			INSERT INTO {events} (`+recordColumns+`) SELECT 1, '', 1, NULL, '', '', NULL, NULL, NULL, NULL WHERE false RETURNING 1
		)
		SELECT count(*) FROM pg_locks l WHERE l.locktype = 'relation' AND l.relation = '{events}'::regclass AND l.mode = 'RowExclusiveLock' AND l.granted
			AND l.pid = pg_backend_pid() AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database()) AND (SELECT count(*) FROM i) = 0`))
	if err != nil {
		return failRead(err)
	}
	if len(rows) != 1 || rows[0][0] != "1" {
		return errors.New("es: postgres: pg_locks does not show the lock of an INSERT that runs, by which the feed tells whether an event is still being written: the server is not PostgreSQL, or something between hides it")
	}
	var quoted []string
	for _, t := range append(tables[:], "positions") {
		quoted = append(quoted, "'"+strings.ReplaceAll(names.Replace("{"+t+"}"), "'", "''")+"'::regclass")
	}
	rows, err = query(ctx, ses.pc, "SELECT relname FROM pg_class WHERE relpersistence <> 'p' AND oid IN ("+strings.Join(quoted, ", ")+")")
	if err != nil {
		return failRead(err)
	}
	if len(rows) > 0 {
		return fmt.Errorf("es: postgres: the table %s is UNLOGGED: a crash would empty it", rows[0][0])
	}
	for st := range stmts {
		if ses.known != nil {
			_, err = ses.prepare(ctx, st)
		} else {
			_, err = ses.pc.Prepare(ctx, "", s.texts.of[st], nil)
		}
		if err != nil {
			return failRead(err)
		}
	}
	return nil
}
