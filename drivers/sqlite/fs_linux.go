package sqlite

import (
	"fmt"
	"path/filepath"
	"syscall"
)

// remote are the magic numbers of file systems whose locks and shared memory do
// not reach every machine that can open the file: the write-ahead log needs both.
var remote = map[uint32]string{
	0x6969:     "NFS",
	0x517b:     "SMB",
	0xff534d42: "CIFS",
	0xfe534d42: "SMB2",
	0x01021997: "9p",
	0x65735546: "FUSE",
	0x73757245: "Coda",
	0x5346414f: "AFS",
	0x00c36400: "Ceph",
	0x0bd00bd0: "Lustre",
	0x47504653: "GPFS",
}

// checkFile returns an error if the file lies on a network file system, or is
// there and may only be read: SQLite would leave files beside it that stand in
// the way later. It opens nothing, since closing a file drops the locks that
// other connections of this process hold on it.
func checkFile(path string) error {
	var st syscall.Statfs_t
	if err := syscall.Statfs(filepath.Dir(path), &st); err == nil {
		if name := remote[uint32(st.Type)]; name != "" {
			return fmt.Errorf("es: sqlite: %q lies on a network file system (%s), where SQLite's write-ahead log is not safe: choose a local disk", path, name)
		}
	}
	const write = 2 // W_OK
	if err := syscall.Access(path, write); err == syscall.EACCES || err == syscall.EROFS {
		return fmt.Errorf("es: sqlite: %q is read-only: %w", path, err)
	}
	return nil
}
