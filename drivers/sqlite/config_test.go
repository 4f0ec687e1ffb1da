package sqlite_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-es/es/driver"
	"github.com/go-es/es/drivers/sqlite"
)

func TestParseDSN(t *testing.T) {
	for dsn, want := range map[string]sqlite.Config{
		"history.db":                              {Path: "history.db"},
		"/var/lib/es.db":                          {Path: "/var/lib/es.db"},
		"a b%20c#d.db":                            {Path: "a b%20c#d.db"},
		`C:\data\es.db`:                           {Path: `C:\data\es.db`},
		":memory:":                                {Path: ":memory:"},
		":memory:?prefix=x":                       {Path: ":memory:", Prefix: "x"},
		"file:es.db":                              {Path: "es.db"},
		"file::memory:":                           {Path: ":memory:"},
		"file:dir/a%3Fb%23.db":                    {Path: "dir/a?b#.db"},
		"file:/var/es.db?":                        {Path: "/var/es.db"},
		"file:///var/es.db":                       {Path: "/var/es.db"},
		"file://localhost/es.db":                  {Path: "/es.db"},
		"es.db?prefix=shop_2":                     {Path: "es.db", Prefix: "shop_2"},
		"es.db?ddl=check":                         {Path: "es.db", CheckOnly: true},
		"es.db?ddl=create":                        {Path: "es.db"},
		"es.db?sync=full":                         {Path: "es.db"},
		"es.db?sync=normal":                       {Path: "es.db", Sync: sqlite.SyncNormal},
		"es.db?busy=1m":                           {Path: "es.db", Busy: time.Minute},
		"es.db?busy=1s&prefix=x_":                 {Path: "es.db", Prefix: "x_", Busy: time.Second},
		"es.db?prefix=" + strings.Repeat("p", 24): {Path: "es.db", Prefix: strings.Repeat("p", 24)},
	} {
		if got, err := sqlite.ParseDSN(dsn); err != nil || got != want {
			t.Errorf("ParseDSN(%q) = %+v, %v", dsn, got, err)
		}
	}
}

// malformed are data source names with a part of the error that they give.
var malformed = map[string]string{
	"":                              "names no file",
	"?prefix=x":                     "names no file",
	"file:":                         "names no file",
	"sqlite:x.db":                   `leave out "sqlite:"`,
	"sqlite3:x.db?prefix=a":         `leave out "sqlite3:"`,
	"sqlite:///x.db":                `leave out "sqlite:"`,
	"mysql://h/db":                  "another database",
	"file:es.db#x":                  "%23",
	"file:es%zz.db":                 "%zz",
	"file://host/es.db":             "names a host",
	"a\x00b.db":                     "NUL",
	"es.db?mode=ro":                 `unknown parameter "mode"`,
	"es.db?_journal_mode=WAL":       `unknown parameter "_journal_mode"`,
	"es.db?_synchronous=OFF":        `unknown parameter "_synchronous"`,
	"es.db?cache=shared":            `unknown parameter "cache"`,
	"es.db?prefix":                  "",
	"es.db?prefix=A":                `prefix "A"`,
	"es.db?prefix=a-b":              `prefix "a-b"`,
	"es.db?prefix=x&prefix=y":       "2 times",
	"es.db?ddl=maybe":               "ddl=maybe",
	"es.db?sync=off":                "sync=off",
	"es.db?busy=5":                  "busy=5",
	"es.db?busy=-1s":                "busy=-1s",
	"es.db?busy=0s":                 "busy=0s",
	"es.db?%zz":                     "%zz",
	"es.db?prefix=" + longPrefix[:]: "24",
}

const longPrefix = "ppppppppppppppppppppppppp"

func TestParseDSNMalformed(t *testing.T) {
	t.Chdir(t.TempDir())
	d, _ := driver.Lookup("sqlite")
	for dsn, want := range malformed {
		if dsn == "es.db?prefix" {
			continue // an empty prefix is none
		}
		s, err := d.Open(ctx, dsn)
		if err == nil {
			t.Errorf("%q: opened", dsn)
			s.Close()
		} else if !strings.HasPrefix(err.Error(), "es: ") || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v; want %q in it", dsn, err, want)
		}
		if bad := (*driver.InvalidError)(nil); !errors.As(err, &bad) || !errors.Is(err, driver.ErrInvalid) {
			t.Errorf("%q: %v is no InvalidError", dsn, err)
		}
		if s != nil {
			t.Errorf("%q: a store beside the error", dsn)
		}
	}
	if left, _ := filepath.Glob("*"); len(left) > 0 {
		t.Errorf("malformed names left %v behind", left)
	}
}

// What another database's address holds does not come out in the error.
func TestSecrets(t *testing.T) {
	t.Chdir(t.TempDir())
	d, _ := driver.Lookup("sqlite")
	for _, dsn := range []string{
		"postgres://u:hunter2@h/db?sslmode=off",
		"postgres://u:a@b/c?d#hunter2@h/db",
		"postgres://h/db?user=u&password=hunter2",
		"sqlite://u:hunter2@h/db",
		"file://u:hunter2@h/db",
		"file://u:hunter2@h/db?mode=ro",
		"file://u:hunter2/@h/db",
		"file://u:hunter2?@h/db",
	} {
		s, err := d.Open(ctx, dsn)
		if err == nil {
			s.Close()
			t.Errorf("%q: opened", dsn)
		} else if strings.Contains(err.Error(), "hunter2") || !errors.Is(err, driver.ErrInvalid) {
			t.Errorf("%q: %v", dsn, err)
		}
	}
	if left, _ := filepath.Glob("*"); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// Every character that a file name may have reaches the file system.
func TestFileNames(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, name := range []string{"plain.db", "a b.db", "a%20b.db", "a#b.db", "a&b=c.db", "ä+é.db", "%zz.db", "file.db", "a;b'\"c.db", "-x.db"} {
		s := open(t, name)
		appendTo(t, s, "s", driver.NoStream, 1)
		if _, err := os.Stat(name); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
	open(t, "file:a%3Fb.db")
	if _, err := os.Stat("a?b.db"); err != nil {
		t.Error(err)
	}
}

// A relative path means what it meant when the store was opened.
func TestChdir(t *testing.T) {
	t.Chdir(t.TempDir())
	s := open(t, "es.db")
	t.Chdir(t.TempDir())
	appendTo(t, s, "s", driver.NoStream, 1)
	if got := feed(t, s); len(got) != 1 {
		t.Errorf("%d events", len(got))
	}
}

func TestOpenConfig(t *testing.T) {
	for want, cfg := range map[string]sqlite.Config{
		"no file":                         {},
		"NUL":                             {Path: "a\x00"},
		"prefix":                          {Path: ":memory:", Prefix: "-"},
		"neither SyncFull nor SyncNormal": {Path: ":memory:", Sync: 2},
		"negative":                        {Path: ":memory:", Busy: -1},
	} {
		if _, err := sqlite.Open(ctx, cfg); !errors.Is(err, driver.ErrInvalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v; want %q", cfg, err, want)
		}
	}
}
