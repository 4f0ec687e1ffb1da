package filestore

import (
	"errors"
	"os"
	"syscall"
)

// datasync is Sync without the times of the file, which nobody reads.
func datasync(f *os.File) error {
	for {
		if err := syscall.Fdatasync(int(f.Fd())); !errors.Is(err, syscall.EINTR) {
			return os.NewSyscallError("fdatasync", err)
		}
	}
}
