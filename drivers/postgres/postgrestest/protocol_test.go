package postgrestest

import (
	"bytes"
	"encoding/binary"
	"regexp"
	"strings"
)

// protocol reads what a client sends to the server.
type protocol struct {
	texts map[string]string // of prepared statements, by their names
}

var changes = regexp.MustCompile(`(INSERT INTO|UPDATE "|DELETE FROM)`)

// writes reports whether messages of a client carry out a statement that takes
// effect: one that writes, or the COMMIT of several.
func (p *protocol) writes(sent []byte) bool {
	var run []string
	for len(sent) >= 5 {
		kind, n := sent[0], int(binary.BigEndian.Uint32(sent[1:]))
		if n < 4 || n+1 > len(sent) {
			break
		}
		body := sent[5 : n+1]
		sent = sent[n+1:]
		switch kind {
		case 'P':
			f := bytes.SplitN(body, []byte{0}, 3)
			p.texts[string(f[0])] = string(f[1])
		case 'B':
			f := bytes.SplitN(body, []byte{0}, 3)
			run = append(run, p.texts[string(f[1])])
		case 'Q':
			run = append(run, strings.TrimSuffix(string(body), "\x00"))
		}
	}
	all := strings.Join(run, "; ")
	if strings.Contains(all, "BEGIN ISOLATION") || strings.Contains(all, "COMMIT") {
		return strings.Contains(all, "COMMIT")
	}
	return changes.MatchString(all)
}

// answered reports whether an answer ends with ReadyForQuery.
func answered(answer []byte) bool {
	n := len(answer)
	return n >= 6 && bytes.Equal(answer[n-6:n-1], []byte{'Z', 0, 0, 0, 5})
}
