package mysql

import (
	"context"
	sqldriver "database/sql/driver"
	"strconv"
	"strings"
	"time"
)

// InnoDB shows a transaction to others before its log is on the disk, unless the
// server has a binary log, to which a transaction is written and synced before that.
// Who reads in between sees what a crash of the server undoes. So what is passed on
// as stored waits until the log is written that far.

// logPlaces are the counters that say how far InnoDB's log goes, and how much of it
// is on the disk: of MariaDB and of MySQL from 8.0.30 on.
const logPlaces = "SHOW GLOBAL STATUS WHERE variable_name IN ('Innodb_lsn_current', 'Innodb_lsn_flushed', 'Innodb_redo_log_current_lsn', 'Innodb_redo_log_flushed_to_disk_lsn')"

const (
	flushWait  = 5 * time.Millisecond // for writers who flush
	flushPause = 100 * time.Microsecond
)

// flushed returns when all is durable that the session has seen.
func (s *Store) flushed(ctx context.Context, ses *session) error {
	if s.hasLog(ses) || ses.tx != nil {
		return nil
	}
	want, done, err := logOf(ctx, ses)
	if err != nil {
		return err
	}
	for start := time.Now(); want > 0 && time.Since(start) < flushWait; {
		if done >= want {
			return nil
		}
		time.Sleep(flushPause)
		if _, done, err = logOf(ctx, ses); err != nil {
			return err
		}
	}
	// Nobody flushes just now: a commit of one's own does.
	var t text
	t.add("UPDATE ", tableName(s.cfg.Prefix, "meta"), " SET value=(value+1)%1000000 WHERE name='flushed'")
	res, err := ses.exec(ctx, string(t))
	if err != nil {
		return err
	}
	if n, err := res.RowsAffected(); err != nil || n != 1 {
		return corrupt("the table %s has no row for %q", tableName(s.cfg.Prefix, "meta"), "flushed")
	}
	return nil
}

func logOf(ctx context.Context, ses *session) (current, done uint64, err error) {
	err = ses.query(ctx, logPlaces, func(row []sqldriver.Value) error {
		n, err := strconv.ParseUint(str(row[1]), 10, 64)
		if err != nil {
			return nil
		}
		if strings.Contains(strings.ToLower(str(row[0])), "flushed") {
			done = n
		} else {
			current = n
		}
		return nil
	})
	return current, done, err
}

// hasLog reports whether the session's server has a binary log.
func (s *Store) hasLog(ses *session) bool {
	if ses.own != nil {
		return ses.own.logged // there may be another server than at Open
	}
	return s.logged
}
