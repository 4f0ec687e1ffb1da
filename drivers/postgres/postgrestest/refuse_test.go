package postgrestest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-es/es/driver"
	"github.com/go-es/es/internal/servers"
)

// refuses wants Open to fail with an error that has a word in it.
func refuses(t *testing.T, dsn, word string) error {
	t.Helper()
	s, err := open(t.Context(), dsn)
	if err == nil {
		s.Close()
		t.Fatalf("Open succeeded, and was to fail for %s", word)
	}
	if !strings.Contains(err.Error(), word) {
		t.Errorf("the error does not name %s: %v", word, err)
	}
	return err
}

// What a server may be set to that would break a promise.
func TestServerRefused(t *testing.T) {
	s := servers.Run(t, "postgres")
	ctx := t.Context()
	must(t, execute(ctx, s.DSN, "CREATE DATABASE latin ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0"))
	refuses(t, strings.Replace(s.DSN, "/postgres?", "/latin?", 1), "server_encoding")
	set := func(name, value string) {
		t.Helper()
		must(t, execute(ctx, s.DSN, "ALTER SYSTEM SET "+name+" = "+value, "SELECT pg_reload_conf()"))
		for range 200 { // the server reads it when it gets to it
			c, err := connect(ctx, s.DSN)
			must(t, err)
			var is string
			must(t, c.QueryRow(ctx, "SHOW "+name).Scan(&is))
			c.Close(ctx)
			if is == value {
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
		t.Fatalf("%s is not %s", name, value)
	}
	for _, name := range []string{"fsync", "full_page_writes", "synchronous_commit"} {
		set(name, "off")
		refuses(t, s.DSN, name)
		if name == "full_page_writes" {
			store, err := open(ctx, with(s.DSN, "no_torn_pages=true"))
			must(t, err)
			must(t, store.Close())
		}
		set(name, "on")
	}
	p := opened(t, s.DSN)
	add(t, p, "a", "1")

	// A replica: what it has can be read, and not who writes on the primary.
	s.Stop()
	data := ""
	must(t, filepath.WalkDir(s.Dir, func(path string, d os.DirEntry, err error) error {
		if d.Name() == "PG_VERSION" && (data == "" || len(path) < len(data)) {
			data = path
		}
		return err
	}))
	must(t, os.WriteFile(filepath.Join(filepath.Dir(data), "standby.signal"), nil, 0o644))
	s.Start()
	if err := refuses(t, s.DSN, "replica"); driver.IsTransient(err) {
		t.Errorf("Open says that it may succeed later: %v", err)
	}
	// A store that is open waits for it to become the primary.
	for name, call := range map[string]func() error{
		"ReadAll": func() error { _, err := p.ReadAll(ctx, driver.FeedQuery{}); return err },
		"Append":  func() error { _, err := p.Append(ctx, to("a", 1, record("2"))); return err },
	} {
		told := false
		for range 200 {
			err := call()
			if err == nil {
				t.Fatalf("%s succeeds on a replica", name)
			}
			if told = strings.Contains(err.Error(), "replica"); told {
				if !driver.IsTransient(err) {
					t.Errorf("%s: it is for good: %v", name, err)
				}
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
		if !told {
			t.Errorf("%s does not say that the server is a replica", name)
		}
	}
}

// What may be wrong with the tables.
func TestTablesRefused(t *testing.T) {
	server := server(t)
	for _, test := range []struct{ name, text, word string }{
		{"cache", "ALTER SEQUENCE {positions} CACHE 20", "CACHE"},
		{"increment", "ALTER SEQUENCE {positions} INCREMENT 2", "INCREMENT"},
		{"behind", "SELECT setval('{positions}', 1)", "setval"},
		{"not called", "ALTER SEQUENCE {positions} RESTART", "setval"},
		{"unlogged", "ALTER TABLE {snapshots} SET UNLOGGED", "UNLOGGED"},
		{"column", "ALTER TABLE {events} DROP COLUMN tags", "es's"},
		{"table", "DROP TABLE {checkpoints}", "missing"},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := opened(t, data(t, server))
			add(t, p, "a", "1")
			add(t, p, "a", "2")
			must(t, p.Close())
			for _, name := range []string{"positions", "events", "snapshots", "checkpoints"} {
				test.text = strings.ReplaceAll(test.text, "{"+name+"}", table(p.dsn, name))
			}
			must(t, execute(t.Context(), p.dsn, test.text))
			err := refuses(t, p.dsn, test.word)
			if test.word == "setval" && !errors.Is(err, driver.ErrCorrupt) {
				t.Errorf("%v is not ErrCorrupt", err)
			}
		})
	}
}

// A sequence that is set back while a store is open: what comes is refused, or has
// a position of its own; nothing takes the place of another event.
func TestSequenceSetBack(t *testing.T) {
	p := opened(t, data(t, server(t)))
	ctx := t.Context()
	add(t, p, "a", "1")
	add(t, p, "a", "2")
	_, err := p.pool.Exec(ctx, "SELECT setval('"+table(p.dsn, "positions")+"', 1)")
	must(t, err)
	_, err = p.Append(ctx, to("a", 2, record("3")))
	if !errors.Is(err, driver.ErrCorrupt) {
		t.Errorf("an append at a position that is taken: %v", err)
	}
}

// A role with the rights that the package's page names, and no others.
func TestRights(t *testing.T) {
	dsn := data(t, server(t))
	ctx := t.Context()
	p := opened(t, dsn)
	role := fmt.Sprintf("es_role_%x", time.Now().UnixNano())
	schema := strings.TrimSuffix(table(dsn, ""), ".es_")
	must(t, execute(ctx, dsn, "CREATE ROLE "+role+" LOGIN",
		"GRANT USAGE ON SCHEMA "+schema+" TO "+role,
		"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA "+schema+" TO "+role,
		"GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA "+schema+" TO "+role))
	defer func() {
		must(t, execute(context.Background(), dsn, "DROP OWNED BY "+role, "DROP ROLE "+role))
	}()
	s, err := open(ctx, strings.Replace(dsn, "postgres@", role+"@", 1))
	must(t, err)
	defer s.Close()
	f := &follower{s: s}
	tx := begin(t, p, "slow", "1")
	add(t, s, "a", "2")
	f.read(t) // sees the other role's lock
	if len(f.had) != 0 {
		t.Errorf("the feed passes what another role is writing: %q", f.had)
	}
	must(t, tx.Commit(ctx))
	f.reaches(t, "1 2")
	tomb := record("")
	tomb.Type = driver.TypeDeleted
	_, err = s.Delete(ctx, driver.DeleteRequest{Stream: "a", Expected: driver.Any, Mode: driver.Purge, Record: tomb})
	must(t, err)
}

// The printed tables are those that Open creates.
func TestPrinted(t *testing.T) {
	p := opened(t, data(t, server(t)))
	cfg := p.config(t)
	dsn := data(t, server(t))
	cfg.Schema = strings.TrimSuffix(table(dsn, ""), ".es_")
	must(t, execute(t.Context(), dsn, cfg.SQL()))
	s, err := open(t.Context(), with(dsn, "ddl=check"))
	must(t, err)
	defer s.Close()
	add(t, s, "a", "1")
}
