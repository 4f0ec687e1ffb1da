package sqlite_test

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/go-es/es/driver"
)

// A file or a directory that may only be read gives a clear error, and nothing
// is lost.
func TestReadOnly(t *testing.T) {
	dir, err := os.MkdirTemp("/tmp", "es-readonly-")
	must(t, err)
	t.Cleanup(func() {
		os.Chmod(dir, 0o755)
		os.RemoveAll(dir)
	})
	must(t, os.Chmod(dir, 0o755))
	file := filepath.Join(dir, "es.db")
	s := open(t, file)
	appendTo(t, s, "s", driver.NoStream, 2)
	must(t, s.Close())
	write := func() string {
		cmd := process(t, "write", file)
		if os.Getuid() == 0 {
			exe := filepath.Join(dir, "test") // the test's own directory may be closed to others
			if _, err := os.Stat(exe); err != nil {
				data, err := os.ReadFile(cmd.Path)
				must(t, err)
				must(t, os.WriteFile(exe, data, 0o755))
			}
			cmd.Path = exe
			cmd.Dir = "/"
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		}
		out, err := cmd.Output()
		if err == nil {
			return "written"
		}
		return string(out)
	}
	owner := func(modeDir, modeFile os.FileMode) {
		if os.Getuid() == 0 {
			write() // copies the program while the directory may be written
			must(t, os.Chown(dir, 65534, 65534))
			must(t, os.Chown(file, 65534, 65534))
		}
		must(t, os.Chmod(file, modeFile))
		must(t, os.Chmod(dir, modeDir))
	}
	owner(0o555, 0o644)
	if out := write(); !strings.HasPrefix(out, "es: ") || !strings.Contains(out, "directory") {
		t.Errorf("read-only directory: %s", out)
	}
	owner(0o755, 0o444)
	if out := write(); !strings.HasPrefix(out, "es: ") || !strings.Contains(out, "read-only") {
		t.Errorf("read-only file: %s", out)
	}
	owner(0o755, 0o644)
	if out := write(); out != "written" {
		t.Errorf("writable again: %s", out)
	}
	intact(t, file)
	if n := len(feed(t, open(t, file))); n != 3 {
		t.Errorf("%d events", n)
	}
}
