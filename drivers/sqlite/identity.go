package sqlite

import (
	"errors"
	"io/fs"
	"os"
	"time"
)

// identity tells a file from another one that has got its name. It only looks
// at names: closing the file would drop the locks that this process holds on it.
type identity struct {
	path string
	info os.FileInfo
}

// identify notes which file is at a path. It returns nil, of which nothing is
// checked, where there is none: the pool's driver has a file system of its own.
func identify(path string) *identity {
	info, err := os.Stat(path)
	if err != nil {
		return nil
	}
	os.SameFile(info, info) // Windows looks when it is first asked
	return &identity{path, info}
}

// check returns an error if another file, or none, is at the path now. What is
// written to the open one then goes away with it when it is closed.
func (f *identity) check() error {
	if f == nil {
		return nil
	}
	info, err := os.Stat(f.path)
	if err == nil && os.SameFile(info, f.info) || err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil // or it cannot be told
	}
	return corrupt("the file %q was removed, moved or replaced while it was open; close the store and open it again", f.path)
}

// logLook is how often the log is looked at, at most. To look at it before each
// commit makes an append a fifth slower: a file that is being written and synced
// all the time has its times brought up to date for who asks.
const logLook = 100 * time.Millisecond

// checkLog is check for the log of the writer's connection.
func (c *conn) checkLog() error {
	if c.log == nil || time.Since(c.logAt) < logLook {
		return nil
	}
	c.logAt = time.Now()
	return c.log.check()
}
