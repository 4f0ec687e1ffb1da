package mysql

import (
	"encoding/hex"
	"strconv"
)

// text is the text of a statement while it is being written. Bytes are written in
// hexadecimal, which no sql_mode and no character set reads in another way; a
// statement without parameters takes one round trip on every connection.
type text []byte

// add writes pieces: strings as they are, bytes as a literal, and numbers.
func (t *text) add(pieces ...any) {
	for _, p := range pieces {
		switch p := p.(type) {
		case string:
			*t = append(*t, p...)
		case name:
			t.literal(len(p))
			*t = hexed(*t, string(p))
		case []byte:
			t.bytes(p)
		case int:
			t.int(int64(p))
		case int64:
			t.int(p)
		default:
			panic("es: mysql: no literal for this type")
		}
	}
}

// name is a string that add writes as a literal.
type name string

func (t *text) int(n int64) { *t = strconv.AppendInt(*t, n, 10) }

func (t *text) bytes(b []byte) {
	t.literal(len(b))
	*t = hex.AppendEncode(*t, b)
	*t = append(*t, '\'')
}

func (t *text) str(s string) {
	t.literal(len(s))
	*t = hexed(*t, s)
}

func (t *text) literal(n int) {
	if free := cap(*t) - len(*t); free < 2*n+3 {
		grown := make(text, len(*t), 2*cap(*t)+2*n+256)
		copy(grown, *t)
		*t = grown
	}
	*t = append(*t, 'x', '\'')
}

const digits = "0123456789abcdef"

func hexed(t text, s string) text {
	for i := range len(s) {
		t = append(t, digits[s[i]>>4], digits[s[i]&15])
	}
	return append(t, '\'')
}
