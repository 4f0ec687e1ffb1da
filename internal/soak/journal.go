package soak

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"github.com/go-es/es/driver"
)

// journal is a log of lines that outlives the kill of its process.
type journal struct{ f *os.File }

// openJournal opens or makes one, to go on after the last line of which keep is
// true.
func openJournal(path string, keep func(line string) (bool, error)) (*journal, error) {
	end, err := readJournal(path, keep)
	if err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := f.Truncate(end); err != nil {
		return nil, err
	}
	_, err = f.Seek(end, io.SeekStart)
	return &journal{f}, err
}

// readJournal reads the lines; the last one may be cut and is left out then. It
// returns where the last line ends of which keep is true.
func readJournal(path string, keep func(line string) (bool, error)) (end int64, err error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	defer f.Close()
	in, at := bufio.NewReaderSize(f, 1<<16), int64(0)
	for {
		line, err := in.ReadString('\n')
		if err == io.EOF {
			return end, nil
		}
		if err != nil {
			return 0, err
		}
		at += int64(len(line))
		ok, err := keep(strings.TrimSuffix(line, "\n"))
		if err != nil {
			return 0, fmt.Errorf("%s: %q: %w", path, line, err)
		}
		if ok {
			end = at
		}
	}
}

func (j *journal) write(lines string) error {
	_, err := io.WriteString(j.f, lines+"\n")
	return err
}

// origin says which event one is.
type origin struct {
	process, writer int
	seq             int // of the append, by the writer
	index           int // in the append
}

func (o origin) String() string {
	return fmt.Sprintf("event %d of append %d of writer %d of process %d", o.index, o.seq, o.writer, o.process)
}

// id is the event's, from which it is known again.
func (o origin) id() (id driver.ID) {
	binary.BigEndian.PutUint16(id[0:], uint16(o.process+1))
	binary.BigEndian.PutUint16(id[2:], uint16(o.writer))
	binary.BigEndian.PutUint32(id[4:], uint32(o.seq))
	binary.BigEndian.PutUint16(id[8:], uint16(o.index))
	h := fnv.New64a()
	h.Write(id[:10])
	binary.BigEndian.PutUint32(id[12:], uint32(h.Sum64()))
	return id
}

func originOf(id driver.ID) (origin, bool) {
	o := origin{
		process: int(binary.BigEndian.Uint16(id[0:])) - 1,
		writer:  int(binary.BigEndian.Uint16(id[2:])),
		seq:     int(binary.BigEndian.Uint32(id[4:])),
		index:   int(binary.BigEndian.Uint16(id[8:])),
	}
	return o, o.process >= 0 && o.id() == id
}

// payload is the data of the event with an id.
func payload(id driver.ID) []byte {
	x := binary.BigEndian.Uint32(id[12:])
	data := make([]byte, x%400)
	for i := range data {
		x = x*1664525 + 1013904223
		data[i] = byte(x >> 24)
	}
	return data
}

// attempt is an append, as its writer's journal has it.
type attempt struct {
	kind       byte // of kinds
	state      byte // 'a'cknowledged, 'r'efused, 'u'nknown; 0: the writer was killed
	why        string
	begin, end int64 // Unix nanoseconds; end is 0 if the writer was killed
	parts      []part
	at         []int32 // where the events are in the feed; -1: nowhere
}

// The kinds of appends.
const (
	single = 's'
	many   = 'm' // several streams
	group  = 'g'
	held   = 'h'
)

// part is what it does to one stream.
type part struct {
	stream   int32
	expected driver.Expected
	n        int
	first    driver.Version  // 0: not told
	position driver.Position // 0: not told
}

// history is what the journal of one writer says.
type history struct {
	attempts []attempt
	errors   []string
}

// begun is the line for an append that begins.
func begun(seq int, nano int64, kind byte, req driver.AppendRequest) string {
	var b strings.Builder
	fmt.Fprintf(&b, "b %d %d %c", seq, nano, kind)
	for _, p := range req.Parts {
		fmt.Fprintf(&b, " %s,%d,%d", p.Stream, p.Expected, len(p.Records))
	}
	return b.String()
}

// acknowledged is the line for one that succeeded. The result may have no parts.
func acknowledged(seq int, nano int64, res driver.AppendResult) string {
	var b strings.Builder
	fmt.Fprintf(&b, "a %d %d", seq, nano)
	for _, p := range res.Parts {
		fmt.Fprintf(&b, " %d,%d", p.First, p.Position)
	}
	return b.String()
}

// line takes in a line. intern returns the number of a stream.
func (h *history) line(text string, intern func(stream string) int32) (bool, error) {
	if what, ok := strings.CutPrefix(text, "x "); ok {
		h.errors = append(h.errors, what)
		return true, nil
	}
	f := strings.Fields(text)
	if len(f) < 3 {
		return false, errors.New("too short")
	}
	seq, err := strconv.Atoi(f[1])
	if err != nil {
		return false, err
	}
	nano, err := strconv.ParseInt(f[2], 10, 64)
	if err != nil {
		return false, err
	}
	if f[0] == "b" {
		if seq != len(h.attempts) || len(f) < 5 {
			return false, errors.New("out of sequence")
		}
		a := attempt{kind: f[3][0], begin: nano}
		for _, text := range f[4:] {
			p := strings.Split(text, ",")
			expected, err := strconv.ParseInt(p[1], 10, 64)
			if err != nil {
				return false, err
			}
			n, err := strconv.Atoi(p[2])
			if err != nil {
				return false, err
			}
			a.parts = append(a.parts, part{stream: intern(p[0]), expected: driver.Expected(expected), n: n})
			for range n {
				a.at = append(a.at, -1)
			}
		}
		h.attempts = append(h.attempts, a)
		return true, nil
	}
	if seq >= len(h.attempts) {
		return false, errors.New("out of sequence")
	}
	a := &h.attempts[seq]
	a.state, a.end = f[0][0], nano
	switch {
	case f[0] == "r" && len(f) > 3:
		a.why = f[3]
	case f[0] == "a" && len(f) > 3:
		for i, text := range f[3:] {
			first, position, _ := strings.Cut(text, ",")
			v, err := strconv.ParseUint(first, 10, 64)
			if err != nil {
				return false, err
			}
			p, err := strconv.ParseUint(position, 10, 64)
			if err != nil {
				return false, err
			}
			a.parts[i].first, a.parts[i].position = driver.Version(v), driver.Position(p)
		}
	}
	return true, nil
}
