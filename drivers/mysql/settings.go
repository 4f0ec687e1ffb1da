package mysql

import (
	"context"
	sqldriver "database/sql/driver"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/go-es/es/driver"
)

// packetBytes is the max_allowed_packet that the limits of Caps need: the
// default of MariaDB, and a quarter of MySQL's.
const packetBytes = 16 << 20

// variables are those of a session and its server, by name in lower case.
type variables map[string]string

// looked names the variables that check looks at.
var looked = []string{
	"auto_increment_increment", "autocommit", "binlog_format", "binlog_storage_engine", "character_set_connection", "completion_type",
	"group_replication_consistency", "group_replication_group_name", "group_replication_single_primary_mode", "hostname",
	"innodb_checksum_algorithm", "innodb_doublewrite", "innodb_flush_log_at_trx_commit", "innodb_flush_method", "innodb_force_recovery", "innodb_log_checksums", "innodb_read_only",
	"log_bin", "max_allowed_packet", "port", "read_only",
	"server_id", "server_uuid", "sql_log_bin", "sql_mode", "sql_select_limit", "super_read_only", "sync_binlog", "tidb_version",
	"transaction_isolation", "transaction_read_only", "tx_isolation", "tx_read_only", "unique_checks", "version", "version_comment", "wsrep_on",
}

// What server finds out stands beside the variables, with values like theirs.
const (
	varRedoLog  = "innodb_redo_log_enabled" // of MySQL
	varReplicas = "slaves_running"          // of MariaDB: how many threads apply what other servers wrote
	varReplica  = "replica_running"         // of MySQL
	varFilter   = "binlog_filter"           // databases that are left out of the binary log, or the only ones that are in it
)

// server returns the variables and what else there is to know of a server. Some of
// that needs the right REPLICATION CLIENT, and is not looked at without it.
func (ses *session) server(ctx context.Context) (variables, error) {
	v, err := ses.variables(ctx)
	if err != nil {
		return v, err
	}
	err = ses.query(ctx, "SHOW GLOBAL STATUS WHERE variable_name IN ('"+varRedoLog+"', '"+varReplicas+"')", func(row []sqldriver.Value) error {
		v[strings.ToLower(str(row[0]))] = str(row[1])
		return nil
	})
	if err != nil {
		return v, err
	}
	major, minor := versionOf(v["version"])
	newer := func(a, b int) bool { return !v.maria() && (major > a || major == a && minor >= b) }
	if newer(8, 0) { // the first ones do not know it, and refuse it
		err = ses.ifAllowed(ctx, "SHOW REPLICA STATUS", func(row []sqldriver.Value) error {
			if len(row) > 11 && (on(strings.ToUpper(str(row[10]))) || on(strings.ToUpper(str(row[11])))) {
				v[varReplica] = "ON"
			}
			return nil
		})
	}
	if err == nil && on(v["log_bin"]) {
		text := "SHOW MASTER STATUS"
		if newer(8, 2) {
			text = "SHOW BINARY LOG STATUS"
		}
		err = ses.ifAllowed(ctx, text, func(row []sqldriver.Value) error {
			v[varFilter] = str(row[2]) + str(row[3])
			return nil
		})
	}
	return v, err
}

// ifAllowed is query, but for what the server refuses.
func (ses *session) ifAllowed(ctx context.Context, text string, f func(row []sqldriver.Value) error) error {
	err := ses.query(ctx, text, f)
	if n := serverError(err); n != 0 && meaningOf(n) == refused {
		return nil
	}
	return err
}

// logged reports whether the server has a binary log that has the store's events.
func (v variables) logged() bool {
	return on(v["log_bin"]) && v[varFilter] == "" && v["binlog_storage_engine"] == ""
}

func (ses *session) variables(ctx context.Context) (variables, error) {
	vars := variables{}
	err := ses.query(ctx, "SHOW VARIABLES WHERE variable_name IN ('"+strings.Join(looked, "', '")+"')", func(row []sqldriver.Value) error {
		vars[strings.ToLower(str(row[0]))] = str(row[1])
		return nil
	})
	if _, last := vars["version"]; err == nil && !last {
		err = refusing("SHOW VARIABLES returns only some of them: sql_select_limit has to be at its default")
	}
	return vars, err
}

// errRefused is what check returns: the server can be reached and must not be used.
var errRefused = errors.New("es: mysql: refused")

type refusal struct {
	text    string
	passing bool // it may be otherwise a moment later
}

var errReadOnly = &refusal{"the server is read_only: it is a replica, or takes no writes for now; who reads the feed writes too", true}

func (r *refusal) Error() string        { return "es: mysql: " + r.text }
func (r *refusal) Is(target error) bool { return target == errRefused }

// lookAlikes are servers that speak the protocol and have not the locks of
// InnoDB, on which the feed rests.
var lookAlikes = []string{"tidb", "vitess", "planetscale", "oceanbase", "singlestore", "memsql", "starrocks", "doris", "dolt", "clickhouse", "polardb-x", "databend", "matrixone"}

func on(v string) bool { return v == "ON" || v == "1" || v == "YES" }

// check returns an error that names what is in the way of a promise. Whether the
// storage writes whole pages only its owner knows.
func (v variables) check(atomicPages bool) error {
	product := strings.ToLower(v["version"] + " " + v["version_comment"])
	for _, name := range lookAlikes {
		if strings.Contains(product, name) || v["tidb_version"] != "" {
			return refusing("the server is %s (%s): it has not InnoDB's locks and AUTO_INCREMENT, without which the feed would lose events", v["version"], name)
		}
	}
	major, minor := versionOf(v["version"])
	if v.maria() && (major < 10 || major == 10 && minor < 6) {
		return refusing("the server is MariaDB %s: the oldest that will do is 10.6, before which creating tables was not atomic", v["version"])
	}
	if !v.maria() && major < 8 {
		return refusing("the server is MySQL %s: the oldest that will do is 8.0, before which AUTO_INCREMENT gave numbers again after a restart", v["version"])
	}
	switch {
	case v["auto_increment_increment"] != "1":
		return refusing("auto_increment_increment is %s: positions would have gaps that never close; it has to be 1, so a server with several primaries cannot be used", v["auto_increment_increment"])
	case v["innodb_flush_log_at_trx_commit"] != "1":
		return refusing("innodb_flush_log_at_trx_commit is %s: what was acknowledged could be lost with the power; it has to be 1", v["innodb_flush_log_at_trx_commit"])
	case on(v["log_bin"]) && v["sync_binlog"] != "1":
		return refusing("sync_binlog is %s and log_bin is on: what was acknowledged could be lost with the power; it has to be 1", v["sync_binlog"])
	case v.is("innodb_doublewrite", "OFF", "0", "DETECT_ONLY") && !atomicPages:
		return refusing("innodb_doublewrite is %s: a loss of power in the middle of a write would leave a damaged page, and what was acknowledged in it; it has to be ON, or say atomicpages=true (Config.AtomicPages) if the storage writes pages as a whole", v["innodb_doublewrite"])
	case v.is("innodb_doublewrite", "FAST"):
		return refusing("innodb_doublewrite is %s: data files are not synced, and what was acknowledged could be lost with the power; it has to be ON", v["innodb_doublewrite"])
	case v.is("innodb_flush_method", "NOSYNC", "LITTLESYNC"), v.maria() && v.is("innodb_flush_method", "O_DIRECT_NO_FSYNC"):
		return refusing("innodb_flush_method is %s: files are not synced, and what was acknowledged could be lost with the power; it has to be O_DIRECT or fsync", v["innodb_flush_method"])
	case v.is("innodb_checksum_algorithm", "NONE", "STRICT_NONE"):
		return refusing("innodb_checksum_algorithm is %s: a damaged page would not be noticed, nor mended after a crash; it has to be crc32", v["innodb_checksum_algorithm"])
	case v.is("innodb_log_checksums", "OFF"):
		return refusing("innodb_log_checksums is OFF: after a crash damaged parts of the log would be taken for events; it has to be ON")
	case v.is(varRedoLog, "OFF"):
		return refusing("the server's redo log is disabled: a crash would lose what was acknowledged; say ALTER INSTANCE ENABLE INNODB REDO_LOG")
	case v["innodb_force_recovery"] != "" && v["innodb_force_recovery"] != "0":
		return refusing("innodb_force_recovery is %s: the server passes over damage; it has to be 0", v["innodb_force_recovery"])
	case v[varReplicas] != "" && v[varReplicas] != "0", on(v[varReplica]):
		return &refusal{"the server is a replica, although it is not read_only: who reads the feed writes, too, and would be in the way of what the primary writes; use the primary", true}
	case on(v["log_bin"]) && v["binlog_format"] == "STATEMENT":
		return refusing("binlog_format is STATEMENT and log_bin is on: the server refuses writes of READ COMMITTED, and a replica could have other positions; it has to be ROW or MIXED")
	case on(v["wsrep_on"]):
		return refusing("wsrep_on is ON: in a Galera cluster a transaction that holds its locks on one node can lose at commit against another node's, and a node reads what another has written only later")
	case v["group_replication_group_name"] != "" && !on(v["group_replication_single_primary_mode"]):
		return refusing("group_replication_single_primary_mode is OFF: with several primaries locks do not hold between them; use one primary")
	case v["group_replication_group_name"] != "" && v.is("group_replication_consistency", "EVENTUAL", ""):
		return refusing("group_replication_consistency is %q: after a failover the new primary would show an old state until it has applied what the old one wrote; it has to be BEFORE_ON_PRIMARY_FAILOVER, or one that includes it", v["group_replication_consistency"])
	case on(v["innodb_read_only"]), !v.is("read_only", "OFF", "0", ""), on(v["super_read_only"]):
		return errReadOnly
	}
	if n, err := strconv.Atoi(v["max_allowed_packet"]); err != nil || n < packetBytes {
		return refusing("max_allowed_packet is %s: it has to be %d (16M) or more, for appends at the limits of Caps", v["max_allowed_packet"], packetBytes)
	}
	return nil
}

func (v variables) is(name string, values ...string) bool {
	return slices.Contains(values, strings.ToUpper(v[name]))
}

// checkSession is check for what the session of a caller's connection has.
func (v variables) checkSession() error {
	for _, mode := range []string{"ORACLE", "EMPTY_STRING_IS_NULL"} {
		if slices.Contains(strings.Split(v["sql_mode"], ","), mode) {
			return refusing("sql_mode has %s: empty bytes would become NULL", mode)
		}
	}
	isolation := v["transaction_isolation"] + v["tx_isolation"]
	readOnly := v["transaction_read_only"] + v["tx_read_only"]
	switch {
	case v.is("character_set_connection", "UCS2", "UTF16", "UTF16LE", "UTF32"):
		return refusing("character_set_connection is %s on the connections of the pool: numbers would not be read as they are stored; use utf8mb4", v["character_set_connection"])
	case !strings.Contains(v["sql_mode"], "STRICT_"):
		return refusing("sql_mode is %q: without STRICT_TRANS_TABLES or STRICT_ALL_TABLES the server stores what was not sent", v["sql_mode"])
	case !on(v["autocommit"]):
		return refusing("autocommit is %s on the connections of the pool: reads would see an old state, and appends would not be stored; leave it on", v["autocommit"])
	case !on(v["unique_checks"]):
		return refusing("unique_checks is %s on the connections of the pool: two events could get one version of a stream; leave it on", v["unique_checks"])
	case v["completion_type"] != "NO_CHAIN":
		return refusing("completion_type is %s on the connections of the pool: what follows a COMMIT would not be stored; it has to be NO_CHAIN", v["completion_type"])
	case v["sql_select_limit"] != noLimit:
		return refusing("sql_select_limit is %s on the connections of the pool: rows of the store would not be read; leave it at DEFAULT", v["sql_select_limit"])
	case on(v["log_bin"]) && !on(v["sql_log_bin"]):
		return refusing("sql_log_bin is %s on the connections of the pool: replicas and restores would lack the events, and readers could see what a crash undoes; leave it on", v["sql_log_bin"])
	case strings.Contains(isolation, "READ-UNCOMMITTED"):
		return refusing("transaction_isolation is READ-UNCOMMITTED: readers would see events that are never stored")
	case strings.Contains(readOnly, "ON"):
		return refusing("transaction_read_only is ON on the connections of the pool: a store writes")
	}
	return nil
}

func refusing(format string, args ...any) error {
	return &refusal{text: fmt.Sprintf(format, args...)}
}

func (v variables) maria() bool {
	return strings.Contains(strings.ToLower(v["version"]+v["version_comment"]), "mariadb")
}

// identity tells one server from another.
func (v variables) identity() string {
	return v["server_uuid"] + " " + v["hostname"] + " " + v["port"] + " " + v["server_id"]
}

func versionOf(v string) (major, minor int) {
	v = strings.TrimPrefix(v, "5.5.5-") // as MariaDB says to old clients
	fmt.Sscanf(v, "%d.%d", &major, &minor)
	return major, minor
}

// asError says what a refusal means to a caller: after a failover the server may
// take writes in a moment.
func asError(err error) error {
	var r *refusal
	if errors.As(err, &r) && r.passing {
		return driver.Transient(err)
	}
	return err
}
