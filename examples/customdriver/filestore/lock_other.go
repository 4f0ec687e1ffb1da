//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

package filestore

import (
	"errors"
	"os"
)

// lock refuses a system without flock: two processes would destroy the file.
func lock(*os.File) error {
	return errors.New("this system has no flock, which keeps other processes from the file")
}
