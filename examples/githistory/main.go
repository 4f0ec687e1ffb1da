// Githistory imports the history of a git repository into an event store, and
// proves that nothing was lost: every file, rebuilt from its events, is what git
// says it is.
//
//	go run ./examples/githistory
//	go run ./examples/githistory -repo DIR -store sqlite:history.db -at 800
//	go run ./examples/githistory -repo DIR -store 'postgres:postgres://user@localhost/db'
//	go run ./examples/githistory -log FILE -tree FILE
//
// Each tracked file is an aggregate that lives through renames; each change of it
// is an event. The changes of a commit are appended together, with an event for
// the commit itself. A second run imports only what is new, also if the first was
// killed in the middle.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"iter"
	"os"
	"os/signal"
	"strings"
	"time"

	"github.com/go-es/es"
	"github.com/go-es/es/examples/githistory/gitlog"

	_ "github.com/go-es/es/drivers/cassandra"
	_ "github.com/go-es/es/drivers/dynamodb"
	_ "github.com/go-es/es/drivers/memory"
	_ "github.com/go-es/es/drivers/mongo"
	_ "github.com/go-es/es/drivers/mysql"
	_ "github.com/go-es/es/drivers/postgres"
	_ "github.com/go-es/es/drivers/sqlite"
)

// options are what the command line says.
type options struct {
	repo, log, tree, store, encrypt, report string
	at, top                                 int
	quiet                                   bool
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			os.Exit(2)
		}
		fmt.Fprintln(os.Stderr, "githistory:", err)
		os.Exit(1)
	}
}

func parse(args []string, errOut io.Writer) (options, error) {
	var o options
	fs := flag.NewFlagSet("githistory", flag.ContinueOnError)
	fs.SetOutput(errOut)
	fs.StringVar(&o.repo, "repo", ".", "the git repository, or a folder in it")
	fs.StringVar(&o.log, "log", "", "a `file` with the output of git log instead of a repository; gzip too")
	fs.StringVar(&o.tree, "tree", "", "with -log, a `file` with the output of git ls-tree -r to compare with; gzip too")
	fs.StringVar(&o.store, "store", "sqlite:history.db", "the store: `driver:name`, one of "+strings.Join(es.Drivers(), ", "))
	fs.StringVar(&o.encrypt, "encrypt", "", "encrypt everything with the keys in `file`, which is made if it is not there")
	fs.StringVar(&o.report, "report", "", "the `file` of the read model; by default beside an SQLite store, otherwise in memory")
	fs.IntVar(&o.at, "at", 0, "prove the files as they were after this `commit`, counted from 1; 0 is the last")
	fs.IntVar(&o.top, "top", 10, "how many of the files that changed most to show")
	fs.BoolVar(&o.quiet, "q", false, "show no progress")
	if err := fs.Parse(args); err != nil {
		return o, err
	}
	switch {
	case fs.NArg() > 0:
		return o, fmt.Errorf("%q is no option", fs.Arg(0))
	case o.tree != "" && o.log == "":
		return o, errors.New("-tree goes with -log: a repository has its own trees")
	case o.at < 0 || o.top < 0:
		return o, errors.New("-at and -top are not negative")
	}
	return o, nil
}

func run(ctx context.Context, args []string, out, progress io.Writer) (err error) {
	o, err := parse(args, progress)
	if err != nil {
		return err
	}
	store, err := open(ctx, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()

	last, err := importAll(ctx, store, o, out, progress)
	if err != nil {
		return err
	}
	return prove(ctx, store, o, last, out)
}

// open opens the store that the options name.
func open(ctx context.Context, o options) (*es.Store, error) {
	name, dsn, ok := strings.Cut(o.store, ":")
	if !ok {
		return nil, fmt.Errorf("-store %q is not of the form driver:name", o.store)
	}
	var opts []es.Option
	if o.encrypt != "" {
		ring, err := loadRing(o.encrypt)
		if err != nil {
			return nil, err
		}
		opts = append(opts, es.Encrypt(es.SingleKey(ring), es.EncryptAll()))
	}
	return es.OpenContext(ctx, name, dsn, opts...)
}

// sqliteFile returns the file of an SQLite store, or "".
func sqliteFile(store string) string {
	dsn, ok := strings.CutPrefix(store, "sqlite:")
	if !ok || strings.Contains(dsn, ":memory:") {
		return ""
	}
	name, _, _ := strings.Cut(strings.TrimPrefix(dsn, "file:"), "?")
	return name
}

// importAll imports what is not there yet, while the report follows the feed,
// and says what was done. It returns the last commit of the store.
func importAll(ctx context.Context, store *es.Store, o options, out, progress io.Writer) (CommitImported, error) {
	im, err := newImporter(ctx, store)
	if err != nil {
		return CommitImported{}, err
	}
	if o.report == "" && sqliteFile(o.store) != "" {
		o.report = sqliteFile(o.store) + ".report.json"
	}
	rep, err := loadReport(ctx, store, o.report)
	if err != nil {
		return CommitImported{}, err
	}
	live, stop := context.WithCancel(ctx)
	followed := make(chan error, 1)
	go func() { followed <- rep.follow(live, store, true) }()

	began := time.Now()
	before := im.last.Commit
	changes := 0
	show := newProgress(progress, o.quiet)
	err = im.run(ctx, commits(ctx, o, im.last), func(c CommitImported) {
		changes += c.Changes
		show.tell(c.Commit, changes)
	})
	took := time.Since(began)
	show.end()
	stop()
	if ferr := <-followed; !errors.Is(ferr, context.Canceled) && err == nil {
		err = ferr
	}
	if err == nil {
		err = rep.follow(ctx, store, false)
	}
	if err != nil {
		return im.last, err
	}
	n := im.last.Commit - before
	fmt.Fprintf(out, "imported  %d commits with %d changes in %v", n, changes, took.Round(time.Millisecond))
	if n > 0 {
		fmt.Fprintf(out, ", %.0f events a second", float64(n+changes)/took.Seconds())
	}
	fmt.Fprintln(out)
	return im.last, summary(ctx, store, o, rep, out)
}

// commits returns the commits to import. Those that the store has already are
// left out where that saves work.
func commits(ctx context.Context, o options, last CommitImported) iter.Seq2[gitlog.Commit, error] {
	if o.log != "" {
		return gitlog.ParseFile(o.log)
	}
	return gitlog.Run(ctx, o.repo, gitlog.Options{After: last.Hash})
}

// summary prints what is in the store, and the report.
func summary(ctx context.Context, store *es.Store, o options, rep *report, out io.Writer) error {
	streams, events := 0, uint64(0)
	for info, err := range store.Streams(ctx) {
		if err != nil {
			return err
		}
		if info.Version == 0 { // the driver does not know it
			v, err := store.Version(ctx, info.Stream)
			if err != nil {
				return err
			}
			info.Version = v
		}
		streams++
		events += uint64(info.Version)
	}
	fmt.Fprintf(out, "stored    %d events in %d streams", events, streams)
	if name := sqliteFile(o.store); name != "" {
		if size := diskSize(name); size > 0 {
			fmt.Fprintf(out, ", %.1f MB on disk", float64(size)/1e6)
		}
	}
	fmt.Fprintln(out)
	if o.top > 0 && len(rep.Files) > 0 {
		fmt.Fprintln(out, "changed most:")
		for _, f := range rep.top(o.top) {
			fmt.Fprintf(out, "%8d changes %8d lines  %s\n", f.Changes, f.Lines, printable(string(f.Path)))
		}
	}
	return nil
}

// prove rebuilds all files from their events and compares them with git's tree.
func prove(ctx context.Context, store *es.Store, o options, last CommitImported, out io.Writer) error {
	at := last
	if o.at > 0 {
		var err error
		if at, err = commitAt(ctx, store, o.at); err != nil {
			return fmt.Errorf("-at %d: %w", o.at, err)
		}
	}
	began := time.Now()
	s, err := rebuild(ctx, store, at.Commit)
	if err != nil {
		return fmt.Errorf("NOT PROVED: %w", err)
	}
	fmt.Fprintf(out, "rebuilt   %d files from %d changes at commit %d (%.12s) in %v: %d lines, %d binary files left out\n",
		len(s.files), s.events, at.Commit, at.Hash, time.Since(began).Round(time.Millisecond), s.lines, s.binary)
	var tree []gitlog.Entry
	switch {
	case o.log == "" && at.Hash == "":
		// a repository without commits
	case o.log == "":
		tree, err = gitlog.Tree(ctx, o.repo, at.Hash)
	case o.tree != "":
		tree, err = gitlog.ReadTreeFile(o.tree)
	default:
		fmt.Fprintln(out, "NOT COMPARED: with -log, give -tree the output of git ls-tree -r")
		return nil
	}
	if err != nil {
		return err
	}
	if err := compare(s.files, tree); err != nil {
		return fmt.Errorf("NOT PROVED: %w", err)
	}
	fmt.Fprintf(out, "PROVED    all %d files equal git's tree: mode, path and blob; no line count is negative, and deleted files ended at 0\n", len(tree))
	return nil
}
