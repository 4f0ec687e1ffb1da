package sqlite

import (
	"os"
	"time"
)

// logFile keeps the write-ahead log short. SQLite copies it into the database
// every 1,000 pages, but begins it anew only at a moment when nobody reads, which
// readers that overlap never leave; so past a length the writer waits for them.
type logFile struct {
	commits int
	last    time.Time // of the last attempt
}

const (
	logMax    = 16 << 20               // bytes
	logPeriod = 16                     // commits between looks at the length
	logWait   = "100"                  // ms to wait for readers
	logPause  = 500 * time.Millisecond // between attempts
)

// checkpoint empties the log if it has become too long. A reader that does not
// end is left alone, and the next attempt is made later.
func (l *logFile) checkpoint(c *conn, file string) {
	if l.commits++; file == "" || l.commits%logPeriod != 0 {
		return
	}
	info, err := os.Stat(file + "-wal")
	if err != nil || info.Size() <= logMax || time.Since(l.last) < logPause {
		return
	}
	truncateLog(c)
	l.last = time.Now()
}

// truncateLog copies the log into the database and empties it. An error loses
// nothing: the log stays as it is.
func truncateLog(c *conn) {
	c.run("PRAGMA busy_timeout = " + logWait)
	c.run("PRAGMA wal_checkpoint(TRUNCATE)")
	c.run("PRAGMA busy_timeout = 0")
}
