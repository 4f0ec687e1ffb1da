package mysqltest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"testing"

	client "github.com/go-sql-driver/mysql"

	"github.com/go-es/es/conformance"
	"github.com/go-es/es/driver"
	"github.com/go-es/es/drivers/mysql"
	"github.com/go-es/es/internal/cut"
	"github.com/go-es/es/internal/servers"
)

var caps = driver.Caps{
	MaxEventBytes:    4 << 20,
	MaxAppendEvents:  1000,
	MaxAppendBytes:   7 << 20,
	MaxStreams:       100,
	MaxSnapshotBytes: 7 << 20,
	PositionOnAppend: true,
	FilterFeed:       true,
}

func TestConformance(t *testing.T) {
	onBoth(t, func(t *testing.T, server string) { conformance.Run(t, config(t, server)) })
}

func config(t *testing.T, server string) conformance.Config {
	return conformance.Config{
		Open:      open,
		DSN:       func(t conformance.TB) string { return newDatabase(t, server) },
		Caps:      caps,
		FeedBound: servers.Bound,
		Processes: true,
		Beside:    func(t conformance.TB, dsn string) string { return dsn + "?prefix=beside" },
		Hold:      hold,
		InTx:      inTx,
		Crash: func(t conformance.TB) (string, func(), func()) {
			tt, ok := t.(testing.TB)
			if !ok {
				t.Skipf("no server of its own for %T", t)
			}
			name := "mysql"
			if strings.HasSuffix(strings.TrimSuffix(t.Name(), "/"), "mariadb") || strings.Contains(t.Name(), "/mariadb/") {
				name = "mariadb"
			}
			s := servers.Run(tt, name)
			return newDatabase(t, at(s.DSN)), s.Kill, s.Start
		},
		Restore: restore,
		Malformed: []string{
			"", "es", "/", "mysql://", "mysql://127.0.0.1/", "mysql://a:b@tcp(127.0.0.1:3306)/es", "postgres://a:b@h/es", "root@tcp(127.0.0.1:3306", "root@tcp(127.0.0.1:3306)/",
			"mysql://127.0.0.1/es?prefix=A", "mysql://127.0.0.1/es?ddl=no", "mysql://127.0.0.1/es?settle=5", "mysql://127.0.0.1/es?conns=0", "mysql://127.0.0.1/es?ddl", "mysql://127.0.0.1/es?ddl=check&ddl=create",
			"mysql://127.0.0.1/es?prefx=a", "mysql://127.0.0.1/es?sql_mode=''", "mysql://127.0.0.1/es?tx_isolation='READ-UNCOMMITTED'", "mysql://127.0.0.1/es?autocommit=0", "mysql://127.0.0.1/es?tls=no-such",
			"mysql://127.0.0.1/es?maxAllowedPacket=1000", "mysql://127.0.0.1/es?timeout=x",
		},
		Foreign: []func(conformance.TB) (string, func() error){
			foreign(server, "CREATE TABLE es_events (x INT)", "INSERT INTO es_events VALUES (1)"),
			foreign(server, "CREATE TABLE es_meta (x INT)", "INSERT INTO es_meta VALUES (1)"),
			foreign(server, "CREATE TABLE es_meta (name VARCHAR(20), value VARCHAR(20))", "INSERT INTO es_meta VALUES ('schema', 'theirs')"),
		},
		Newer: func(t conformance.TB, dsn string) func() {
			execute(t, dsn, "UPDATE es_meta SET value = 2 WHERE name = 'schema'")
			return func() { execute(t, dsn, "UPDATE es_meta SET value = 1 WHERE name = 'schema'") }
		},
		Secrets: []conformance.Secret{
			{DSN: "es:t0psecret@tcp(127.0.0.1:1)/es", Secret: "t0psecret"},
			{DSN: "mysql://es:t0psecret@127.0.0.1:1/es", Secret: "t0psecret"},
			{DSN: "mysql://es:t0psec%40ret@127.0.0.1:1/es", Secret: "ret@127"},
			{DSN: "mysql://es:t0psecret@127.0.0.1:port/es", Secret: "t0psecret"},
			{DSN: "mysql://es:t0p/secret@127.0.0.1:1/es", Secret: "secret"},
			{DSN: "mysql://es:t0p?secret@127.0.0.1:1/es", Secret: "secret"},
			{DSN: "mysql://es:t0psecret%zz@127.0.0.1:1/es", Secret: "t0psecret"},
			{DSN: "es:t0psecret@tcp(127.0.0.1:1", Secret: "t0psecret"},
			{DSN: "es:t0p/secret@tcp(127.0.0.1:1)", Secret: "secret"},
			{DSN: "es:t0psecret@127.0.0.1:1/es", Secret: "t0psecret"},
			{DSN: strings.Replace(server, "root@", "nobody:t0psecret@", 1) + "es", Secret: "t0psecret"},
		},
		Refused:   []conformance.Refused{{DSN: otherEngine(t, server), Word: "MyISAM"}},
		CheckOnly: func(dsn string) string { return dsn + "?ddl=check" },
		Corrupt: []func(conformance.TB, string, string){
			damage("UPDATE es_events SET type = ''"),
			damage("UPDATE es_events SET data = CONCAT(data, 'x')"),
		},
		Fault: fault,
	}
}

// otherEngine returns a database whose events lie in another storage engine.
func otherEngine(t *testing.T, server string) string {
	dsn := newDatabase(t, server)
	openStore(t, dsn).Close()
	execute(t, dsn, "ALTER TABLE es_events ENGINE=MyISAM")
	return dsn
}

// A pool of the program's own, as the client makes it by default; also where the
// server refuses to change what has changed since a transaction looked, as MariaDB does
// by default from 11.6 on.
func TestConformancePool(t *testing.T) {
	run := func(t *testing.T, server string) {
		conformance.Run(t, conformance.Config{
			Open:      openPool,
			DSN:       func(t conformance.TB) string { return newDatabase(t, server) },
			Caps:      caps,
			FeedBound: servers.Bound,
			Beside:    func(t conformance.TB, dsn string) string { return dsn + "?prefix=beside" },
			Hold:      hold,
			InTx:      inTx,
		})
	}
	t.Run("default", func(t *testing.T) { run(t, at(servers.DSN(t, "mariadb"))) })
	t.Run("snapshot-isolation", func(t *testing.T) {
		if testing.Short() {
			t.Skip("a second run of all")
		}
		run(t, at(servers.Run(t, "mariadb", "--innodb-snapshot-isolation=ON").DSN))
	})
}

// pooled is a store in a pool of the test's, which it closes with itself.
type pooled struct {
	*mysql.Store
	db *sql.DB
}

func (p pooled) Close() error { return errors.Join(p.Store.Close(), p.db.Close()) }

func openPool(ctx context.Context, dsn string) (driver.Store, error) {
	cfg, err := mysql.ParseDSN(dsn)
	if err != nil {
		return nil, err
	}
	from, err := client.NewConnector(cfg.Client)
	if err != nil {
		return nil, err
	}
	cfg.Client = nil
	db := sql.OpenDB(from)
	s, err := mysql.New(ctx, db, cfg)
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return pooled{s, db}, nil
}

// inTx begins a transaction as a program with a pool of its own does.
func inTx(t conformance.TB, dsn string) (store driver.Store, commit, rollback func() error) {
	s, err := openPool(t.Context(), dsn)
	must(t, err)
	t.Cleanup(func() { s.Close() })
	p := s.(pooled)
	tx, err := p.db.BeginTx(context.WithoutCancel(t.Context()), &sql.TxOptions{Isolation: sql.LevelReadCommitted})
	must(t, err)
	return p.InTx(tx), tx.Commit, tx.Rollback
}

func hold(t conformance.TB, dsn string, req driver.AppendRequest) (commit, rollback func() error) {
	s, err := open(t.Context(), dsn)
	must(t, err)
	db := pool(t, dsn)
	tx, err := db.BeginTx(context.WithoutCancel(t.Context()), &sql.TxOptions{Isolation: sql.LevelReadCommitted})
	must(t, err)
	_, err = s.(*mysql.Store).InTx(tx).Append(t.Context(), req)
	must(t, err)
	end := func(f func() error) func() error {
		return func() error { return errors.Join(f(), db.Close(), s.Close()) }
	}
	return end(tx.Commit), end(tx.Rollback)
}

// restore copies the tables, and puts the copies in their place.
func restore(t conformance.TB, dsn string) func() {
	tables := []string{"es_meta", "es_events", "es_checkpoints", "es_snapshots"}
	for _, name := range tables {
		execute(t, dsn, "CREATE TABLE backup_"+name+" LIKE "+name, "INSERT INTO backup_"+name+" SELECT * FROM "+name)
	}
	return func() {
		for _, name := range tables {
			execute(t, dsn, "DROP TABLE "+name, "RENAME TABLE backup_"+name+" TO "+name)
		}
	}
}

func foreign(server string, texts ...string) func(conformance.TB) (string, func() error) {
	return func(t conformance.TB) (string, func() error) {
		dsn := newDatabase(t, server)
		execute(t, dsn, texts...)
		before := content(t, dsn)
		return dsn, func() error {
			if after := content(t, dsn); after != before {
				return fmt.Errorf("the database was changed: before %s, after %s", before, after)
			}
			return nil
		}
	}
}

// content returns the tables of a database and what is in them.
func content(t conformance.TB, dsn string) string {
	db := pool(t, dsn)
	defer db.Close()
	rows, err := db.Query("SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE() ORDER BY 1")
	must(t, err)
	var names []string
	for rows.Next() {
		var name string
		must(t, rows.Scan(&name))
		names = append(names, name)
	}
	must(t, rows.Err())
	var b strings.Builder
	for _, name := range names {
		var n int
		must(t, db.QueryRow("SELECT COUNT(*) FROM "+name).Scan(&n))
		fmt.Fprintf(&b, "%s %d ", name, n)
	}
	return b.String()
}

func damage(text string) func(conformance.TB, string, string) {
	return func(t conformance.TB, dsn, stream string) {
		db := pool(t, dsn)
		defer db.Close()
		_, err := db.Exec(text+" WHERE version = 2 AND stream = ?", stream)
		must(t, err)
	}
}

// fault opens a client whose connections can be broken.
func fault(t conformance.TB, dsn string) conformance.Faulty {
	line := &cut.Line{Writes: writes}
	t.Cleanup(func() { line.Close() })
	cfg, err := mysql.ParseDSN(dsn)
	must(t, err)
	cfg.Client.DialFunc = line.DialContext
	s, err := mysql.Open(t.Context(), cfg)
	must(t, err)
	return conformance.Faulty{
		Store:   s,
		Break:   line.Break,
		BreakAt: line.BreakAt,
		Late:    line.Late,
		Down:    func() func() { return line.Down(cut.Lost) },
	}
}

// writes reports whether a request changes something by itself.
func writes(sent []byte) bool {
	if len(sent) < 20 {
		return false
	}
	switch sent[4] {
	case 3: // COM_QUERY
		text := string(sent[5:min(len(sent), 30)])
		for _, verb := range []string{"INSERT INTO", "UPDATE", "DELETE"} {
			if strings.HasPrefix(text, verb) {
				return true
			}
		}
	case 0x17: // COM_STMT_EXECUTE; a byte of NULLs for eight parameters, and then a 1
		return sent[14] == 0 && sent[15] == 0 && sent[16] == 1 // only an INSERT has more than eight
	}
	return false
}
