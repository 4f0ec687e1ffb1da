package conformance

import (
	"context"
	"testing"
	"time"

	"github.com/go-es/es/driver"
)

// Config tells [Run] how to reach the stores of one driver. Open and DSN are
// required; everything else may be left out. A hook that is nil skips the checks
// that need it, and the report at the end of a run names them.
type Config struct {
	// Open opens a client of the data that a data source name names, as
	// driver.Driver.Open does: a registered driver's own method will do. Opened
	// twice with one name, it returns two clients of the same data, unless
	// Private is set. The suite closes what it opens; a pool of the caller's
	// must end with the store's Close here (the suite looks for goroutines that
	// stay behind).
	Open func(ctx context.Context, dsn string) (driver.Store, error)

	// DSN returns the name of data that does not exist yet or is empty, another
	// one at each call. What it makes is to be removed with t.Cleanup, or lies in
	// t.TempDir(). It is called once or more for each check.
	DSN func(t TB) string

	// Private says that Open twice with one name gives two stores and not two
	// clients of one, as of a database in memory. Checks that need a second
	// client, or the data again after Close, are skipped.
	Private bool

	// Alone says that the data can be open only once at a time, also within one
	// process: checks with several clients use one.
	Alone bool

	// Volatile says that the data is gone when its last client closes, or when
	// the process ends. Checks that look for it afterwards are skipped.
	Volatile bool

	// Caps is what the store has to claim. The zero value compares nothing.
	Caps driver.Caps

	// FeedBound is how long a store may take until the feed, a listing that may
	// lag (Caps.ListLag) or a wake-up shows what was appended. 10 seconds if 0.
	FeedBound time.Duration

	// Known names checks that are known to fail, with the reason. Such a check
	// is run, its failure is reported as skipped, and its success is an error.
	Known map[string]string

	// Processes says that other processes may open the data. The suite then
	// starts the running test binary again, so that it gets to the same call of
	// Run, which works there on the data and never returns. Some of these
	// processes are killed. What a test does before it calls Run it does there,
	// too. Where Caps.SingleProcess, they run one at a time, while no client of
	// the suite's is open.
	Processes bool

	// Beside returns the name of another empty store that lies in the same
	// database as that of dsn, told apart by a prefix or a schema.
	Beside func(t TB, dsn string) string

	// Hold starts an append on a connection of its own and leaves it open at the
	// latest point before it takes effect: in SQL, after the INSERT and before
	// the COMMIT. Exactly one of commit and rollback is called, once, and
	// perhaps on another goroutine. Appends to other streams must be possible
	// meanwhile; a database with one writer at a time has no Hold.
	Hold func(t TB, dsn string, req driver.AppendRequest) (commit, rollback func() error)

	// InTx begins a transaction on a client of its own, as a program would, and
	// returns the driver's store inside it. Exactly one of commit and rollback is
	// called, once, and perhaps on another goroutine. The client stays open after
	// that, until t.Cleanup. Where there is no Hold, the suite has one transaction
	// open at a time, and writes nothing beside it.
	InTx func(t TB, dsn string) (store driver.Store, commit, rollback func() error)

	// Crash makes new data, as DSN does, on a database that may be killed. kill
	// ends the database and not its clients, as SIGKILL of its process does, and
	// returns when it is dead; revive starts it again and returns when it can be
	// reached under the same name. The suite calls them in turn, several times.
	Crash func(t TB) (dsn string, kill, revive func())

	// Restore takes a backup of the data and returns a function that puts it
	// back. The suite calls either while no client is open.
	Restore func(t TB, dsn string) (put func())

	// Malformed are data source names that Open has to refuse for what they are.
	Malformed []string

	// Foreign makes data that is not a store's, such as a file with text in it,
	// or another program's tables under the names that the driver uses. Open of
	// dsn has to fail; intact then returns an error if that did damage.
	Foreign []func(t TB) (dsn string, intact func() error)

	// Newer marks the data as written by a newer release: it has a schema version
	// that the driver does not know. It returns a function that takes the mark
	// away. The suite calls either while no client is open.
	Newer func(t TB, dsn string) (unmark func())

	// Secrets are data source names that cannot be opened, or not be reached,
	// with the password or token in them that no error may show.
	Secrets []Secret

	// Refused are data source names that are well formed, and under whose
	// settings, or on whose server, a promise cannot be kept: Open has to refuse
	// them and to name what is wrong.
	Refused []Refused

	// CheckOnly returns dsn with the parameter that keeps Open from creating
	// anything, ddl=check.
	CheckOnly func(dsn string) string

	// Corrupt damages the second event of a stream so that it cannot be what was
	// stored: a row is gone, a byte is another. The suite calls each while no
	// client is open.
	Corrupt []func(t TB, dsn, stream string)

	// Fault opens a client of the data whose connection breaks on demand.
	Fault func(t TB, dsn string) Faulty

	quick bool // runs as with -short
}

// Secret is a data source name that fails, and the part of it that must not be
// seen in an error.
type Secret struct {
	DSN    string
	Secret string
}

// Refused is a data source name that Open refuses, and the word that its error
// has to have: the setting or the server.
type Refused struct {
	DSN  string
	Word string
}

// Faulty is a client of some data, and what breaks its connection.
type Faulty struct {
	// Store is the client. The suite closes it.
	Store driver.Store

	// Break lets the connection break once, at the next request that writes:
	// before the request has reached the database (reply false), or after the
	// database carried it out and before the client has heard of it (reply
	// true). What the client sends after that passes. broke takes the fault back if
	// it has not happened yet, and reports whether it has: a check fails where it
	// never does, for nothing was tried then. Break may be nil where BreakAt is not.
	Break func(reply bool) (broke func() bool)

	// BreakAt is Break at the n-th request from now (1 is the next one), whatever
	// it does: each statement, or each piece that the client sends and waits for
	// an answer to. The suite breaks every request of a call in turn, so that a
	// purge, say, fails half-way. It may be nil.
	BreakAt func(n int, reply bool) (broke func() bool)

	// Late lets the connection break once, at the n-th request from now that writes (1
	// is the next one), as Break(false) does, and keeps the request: it reaches the
	// database when deliver is called, as one does that was under way in a proxy or a
	// queue. deliver returns when the database has carried it out, or refused it, or
	// has ended the connection; it reports whether there was a request to deliver, and
	// takes the fault back if it has not happened. What the client sends after the
	// break passes. It may be nil.
	Late func(n int) (deliver func() bool)

	// Down cuts the database off for the client, until the function that it
	// returns is called: requests that are sent meanwhile are lost, or reach the
	// database when it is called. It may be nil.
	Down func() (up func())
}

// TB is what the suite uses of a test. A *testing.T is one; so is what the suite
// proves itself with on stores that are wrong on purpose.
type TB interface {
	Helper()
	Name() string
	Context() context.Context
	TempDir() string
	Cleanup(func())
	Logf(format string, args ...any)
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
	Skipf(format string, args ...any)
	Failed() bool
}

var _ TB = (*testing.T)(nil)
