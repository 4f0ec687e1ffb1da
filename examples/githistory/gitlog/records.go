package gitlog

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
)

// maxRecord bounds the length of one line. It is far above the longest path
// any system can check out; it keeps hostile input from filling the memory.
const maxRecord = 1 << 20

// ParseError says where input could not be parsed or read, and why. If the
// input ends too early, the error wraps [io.ErrUnexpectedEOF]; if reading it
// failed, the error wraps what the reader returned.
type ParseError struct {
	// Line counts the lines from 1; in the form with -z, it counts the
	// records that end in NUL.
	Line int

	// Offset is the byte at which the line begins, counted from 0, after
	// decompression.
	Offset int64

	// Err says what is wrong.
	Err error

	nul bool
}

// Error names the line, the byte offset and the reason.
func (e *ParseError) Error() string {
	unit := "line"
	if e.nul {
		unit = "record"
	}
	return fmt.Sprintf("gitlog: %s %d (byte %d): %v", unit, e.Line, e.Offset, e.Err)
}

// Unwrap returns Err.
func (e *ParseError) Unwrap() error { return e.Err }

// errTruncated is the error for input that ends where more must come.
func errTruncated(missing string) error {
	return fmt.Errorf("%w: the input ends before %s", io.ErrUnexpectedEOF, missing)
}

// records splits input into records that end in a newline or in NUL, and
// knows where it is.
type records struct {
	in     *bufio.Reader
	end    byte // what ends a record
	rec    []byte
	long   []byte // holds a record that is longer than in's buffer
	line   int    // of rec
	offset int64  // of rec
	after  int64  // offset behind rec and its end
	err    error  // what ended the input
}

// newRecords reads from r, decompressing it if it begins like a gzip file.
func newRecords(r io.Reader, end byte) (*records, error) {
	rs := &records{in: bufio.NewReaderSize(r, 64<<10), end: end}
	magic, err := rs.in.Peek(2)
	if err != nil && err != io.EOF {
		return rs, rs.fail(err)
	}
	if bytes.Equal(magic, []byte{0x1f, 0x8b}) {
		z, err := gzip.NewReader(rs.in)
		if err != nil {
			return rs, rs.fail(noEOF(err))
		}
		rs.in = bufio.NewReaderSize(z, 64<<10)
	}
	return rs, nil
}

// next reads one record into rec, without its end, and reports whether there
// is one. rec is valid until the next call. If there is none, err is io.EOF
// or says why.
func (rs *records) next() bool {
	if rs.err != nil {
		return false
	}
	rs.line++
	rs.offset = rs.after
	part, err := rs.in.ReadSlice(rs.end)
	rs.rec = part
	if err == bufio.ErrBufferFull {
		rs.long = append(rs.long[:0], part...)
		for err == bufio.ErrBufferFull && len(rs.long) <= maxRecord {
			part, err = rs.in.ReadSlice(rs.end)
			rs.long = append(rs.long, part...)
		}
		rs.rec = rs.long
	}
	rs.after += int64(len(rs.rec))
	switch {
	case err == nil:
		rs.rec = rs.rec[:len(rs.rec)-1]
	case err == bufio.ErrBufferFull:
		rs.err = rs.failf("longer than %d bytes", maxRecord)
	case err == io.EOF && len(rs.rec) > 0 && rs.end == 0:
		rs.err = rs.fail(errTruncated("the NUL that ends the record"))
	case err == io.EOF && len(rs.rec) > 0:
		rs.err = rs.fail(errTruncated("the newline that ends the line"))
	case err == io.EOF:
		rs.err = io.EOF
	default:
		rs.err = rs.fail(err)
	}
	if rs.err != nil {
		rs.rec = nil
	}
	return rs.err == nil
}

// fail returns err with the place of the current record.
func (rs *records) fail(err error) error {
	return &ParseError{Line: max(rs.line, 1), Offset: rs.offset, Err: err, nul: rs.end == 0}
}

// failf is fail with a formatted reason.
func (rs *records) failf(format string, args ...any) error {
	return rs.fail(fmt.Errorf(format, args...))
}

// missing returns the error for a record that is needed and not there.
func (rs *records) missing(what string) error {
	if rs.err == io.EOF {
		return rs.fail(errTruncated(what))
	}
	return rs.err
}

// noEOF turns the end of the input into an unexpected one.
func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// shown quotes a record for an error message, cut to a readable length.
func shown(rec []byte) string {
	const most = 120
	if len(rec) > most {
		return fmt.Sprintf("%q…", rec[:most])
	}
	return fmt.Sprintf("%q", rec)
}
