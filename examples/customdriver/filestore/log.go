package filestore

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"

	"github.com/go-es/es/driver"
)

// The file begins with a magic word and the version of the format. Entries follow,
// each in a frame:
//
//	4 bytes  how long the content is
//	8 bytes  the number of the entry: 1, 2, 3 and so on
//	4 bytes  the checksum of the content
//	4 bytes  the checksum of the 16 bytes before
//	         the content
//
// The number shows that an entry is missing. The second checksum tells a frame from
// other bytes without a look at what it says is its content.
const (
	magic   = "ESFILE\n"
	version = 1
	header  = magic + string(rune(version))
	frame   = 20
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// disk is what a log needs of its file, so that tests can let it fail.
type disk interface {
	io.WriterAt
	Truncate(size int64) error
	Sync() error
	Close() error
}

type file struct{ *os.File }

// Sync returns once the disk has what was written.
func (f file) Sync() error { return datasync(f.File) }

// log is the file, open and locked. One goroutine at a time may use it.
type log struct {
	disk   disk
	path   string
	info   os.FileInfo // of the file when it was opened
	size   int64       // where the next entry goes
	number uint64      // of the last entry
	broken error       // why nobody knows what the file has from size on
}

// openLog opens, locks and reads a file, or creates it. It calls apply with the
// content of each entry. The contents share memory with nothing else.
func openLog(path string, apply func([]byte) error) (_ *log, err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			f.Close() // and gives the lock back
		}
	}()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("not a regular file")
	}
	if err := lock(f); err != nil {
		return nil, err
	}
	b, err := io.ReadAll(f)
	if err != nil {
		return nil, err
	}
	l := &log{disk: file{f}, path: path, info: info, size: int64(len(header))}
	switch {
	case len(b) < len(header) && bytes.HasPrefix([]byte(header), b): // new, or its first Open was killed
		_, err = f.WriteAt([]byte(header), 0)
	case !bytes.HasPrefix(b, []byte(magic)) || len(b) < len(header):
		err = fmt.Errorf("not a file of this driver: it begins with %.16q", b)
	case b[len(magic)] > version:
		err = &driver.SchemaError{Found: int(b[len(magic)]), Known: version}
	case b[len(magic)] != version:
		err = fmt.Errorf("%w: the file's format has version %d", driver.ErrCorrupt, b[len(magic)])
	default:
		err = l.load(b, apply)
	}
	if err != nil {
		return nil, err
	}
	// What the last process wrote, and could not sync, is shown from now on: the
	// entries, and the file itself.
	return l, errors.Join(l.disk.Sync(), syncDir(filepath.Dir(path)))
}

func syncDir(name string) error {
	dir, err := os.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// load reads the entries of b, the whole file, and cuts off what a write that did
// not end has left behind them.
func (l *log) load(b []byte, apply func([]byte) error) error {
	for {
		number, content, ok := parse(b[l.size:])
		if !ok {
			break
		}
		if number != l.number+1 {
			return fmt.Errorf("%w: entry %d follows entry %d", driver.ErrCorrupt, number, l.number)
		}
		if err := apply(content); err != nil {
			return fmt.Errorf("%w: entry %d, at byte %d: %w", driver.ErrCorrupt, number, l.size, err)
		}
		l.number = number
		l.size += int64(frame + len(content))
	}
	tail := b[l.size:]
	for i := 1; i < len(tail); i++ {
		if number, _, ok := parse(tail[i:]); ok {
			// A write that did not end is the last: this is damage.
			return fmt.Errorf("%w: the entry at byte %d does not hold, and entry %d follows it", driver.ErrCorrupt, l.size, number)
		}
	}
	if len(tail) > 0 {
		return l.disk.Truncate(l.size)
	}
	return nil
}

// parse returns the entry at the beginning of b, or false if there is none that
// holds.
func parse(b []byte) (number uint64, content []byte, ok bool) {
	if len(b) < frame || crc32.Checksum(b[:16], castagnoli) != binary.LittleEndian.Uint32(b[16:]) {
		return 0, nil, false
	}
	n := uint64(binary.LittleEndian.Uint32(b))
	if n > uint64(len(b)-frame) {
		return 0, nil, false
	}
	content = b[frame : frame+n : frame+n]
	return binary.LittleEndian.Uint64(b[4:]), content, crc32.Checksum(content, castagnoli) == binary.LittleEndian.Uint32(b[12:])
}

// append writes entries in one write and syncs once. After an error nothing of
// them is stored, unless the log is broken.
func (l *log) append(contents ...[]byte) error {
	if l.broken != nil {
		return l.broken
	}
	// What is written to a file that was removed, or replaced by a backup, is gone.
	if info, err := os.Stat(l.path); err != nil || !os.SameFile(info, l.info) {
		return fmt.Errorf("%w: the file was removed or replaced while it was open; close the store and open it again", driver.ErrCorrupt)
	}
	var b []byte
	for i, c := range contents {
		start := len(b)
		b = binary.LittleEndian.AppendUint32(b, uint32(len(c)))
		b = binary.LittleEndian.AppendUint64(b, l.number+uint64(i)+1)
		b = binary.LittleEndian.AppendUint32(b, crc32.Checksum(c, castagnoli))
		b = binary.LittleEndian.AppendUint32(b, crc32.Checksum(b[start:], castagnoli))
		b = append(b, c...)
	}
	_, err := l.disk.WriteAt(b, l.size)
	if err == nil {
		err = l.disk.Sync()
	}
	if err != nil {
		// Once the file is durably as long as before, nothing of it can come back.
		if undo := errors.Join(l.disk.Truncate(l.size), l.disk.Sync()); undo != nil {
			l.broken = fmt.Errorf("es: filestore: a write failed and could not be taken back; close the store and open it again: %w", errors.Join(err, undo))
			return l.broken
		}
		return fmt.Errorf("es: filestore: %w", err)
	}
	l.size += int64(len(b))
	l.number += uint64(len(contents))
	return nil
}
