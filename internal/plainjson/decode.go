// Package plainjson decodes JSON into new Go values as encoding/json does, some
// four times as fast, and only where there is no doubt what that would do: plain
// Go types, and JSON that fits them. For everything else it says so, and the
// caller asks encoding/json.
package plainjson

import (
	"encoding"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"math/bits"
	"reflect"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// Decode decodes data into the value that v points to, which must be zero. If it
// returns true, the value and data are such that json.Unmarshal would have
// returned nil and the same value. If it returns false the value is undefined,
// and nothing is said about data.
func Decode(data []byte, v any) bool {
	p := reflect.ValueOf(v)
	if p.Kind() != reflect.Pointer || p.IsNil() {
		return false
	}
	pl := planOf(p.Type().Elem())
	if pl == nil {
		return false
	}
	d := decoder{data: data}
	d.space()
	if !d.value(pl, p.Elem()) {
		return false
	}
	d.space()
	return d.at == len(data)
}

// deepest bounds how deep values lie within each other.
const deepest = 500

// decoder reads data from an index on. Its methods return false to give up.
type decoder struct {
	data []byte
	at   int
	deep int
}

// peek returns the next byte, 0 at the end.
func (d *decoder) peek() byte {
	if d.at < len(d.data) {
		return d.data[d.at]
	}
	return 0
}

// take takes the next byte if it is c.
func (d *decoder) take(c byte) bool {
	if d.at < len(d.data) && d.data[d.at] == c {
		d.at++
		return true
	}
	return false
}

func (d *decoder) space() {
	for d.at < len(d.data) {
		switch d.data[d.at] {
		case ' ', '\t', '\r', '\n':
			d.at++
		default:
			return
		}
	}
}

func (d *decoder) literal(s string) bool {
	if len(d.data)-d.at < len(s) || string(d.data[d.at:d.at+len(s)]) != s {
		return false
	}
	d.at += len(s)
	return true
}

// value decodes the value that comes next into v, which is zero and addressable.
func (d *decoder) value(p *plan, v reflect.Value) bool {
	switch p.kind {
	case asJSON:
		from := d.at
		return d.skip() && v.Addr().Interface().(json.Unmarshaler).UnmarshalJSON(d.data[from:d.at:d.at]) == nil
	case asText:
		if d.peek() == 'n' {
			return false
		}
		s, ok := d.text()
		return ok && v.Addr().Interface().(encoding.TextUnmarshaler).UnmarshalText(s) == nil
	}
	if d.peek() == 'n' { // null leaves a value as it is, or makes it nil
		return d.literal("null")
	}
	switch p.kind {
	case asString:
		s, ok := d.text()
		if ok {
			v.SetString(string(s))
		}
		return ok
	case asInt:
		n, minus, ok := d.integer()
		if !ok || n > 1<<(p.bits-1) || n == 1<<(p.bits-1) && !minus {
			return false
		}
		if minus {
			n = -n
		}
		v.SetInt(int64(n))
	case asUint:
		n, minus, ok := d.integer()
		if !ok || minus || bits.Len64(n) > p.bits {
			return false
		}
		v.SetUint(n)
	case asFloat:
		from := d.at
		if !d.number() {
			return false
		}
		f, err := strconv.ParseFloat(string(d.data[from:d.at]), p.bits)
		if err != nil {
			return false
		}
		v.SetFloat(f)
	case asBool:
		switch {
		case d.literal("true"):
			v.SetBool(true)
		case !d.literal("false"):
			return false
		}
	case asBytes:
		s, ok := d.text()
		if !ok {
			return false
		}
		b := make([]byte, base64.StdEncoding.DecodedLen(len(s)))
		n, err := base64.StdEncoding.Decode(b, s)
		if err != nil {
			return false
		}
		v.SetBytes(b[:n])
	case asPointer:
		to := reflect.New(v.Type().Elem())
		if !d.value(p.elem, to.Elem()) {
			return false
		}
		v.Set(to)
	default:
		if d.deep++; d.deep > deepest {
			return false
		}
		ok := false
		switch p.kind {
		case asStruct:
			ok = d.object(p, v)
		case asSlice:
			ok = d.array(p, v)
		case asMap:
			ok = d.entries(p, v)
		}
		d.deep--
		return ok
	}
	return true
}

func (d *decoder) object(p *plan, v reflect.Value) bool {
	if !d.take('{') {
		return false
	}
	var seen uint64
	next := 0 // the field that follows in the Go type, and mostly in JSON
	for more := d.more('}', true); more; more = d.more('}', false) {
		name, ok := d.text()
		if !ok || !d.colon() {
			return false
		}
		if next >= len(p.fields) || string(name) != p.fields[next].name {
			if next, ok = p.find(name); !ok {
				return false
			}
		}
		if next < 0 {
			next = 0
			if !d.skip() {
				return false
			}
			continue
		}
		f := &p.fields[next]
		if seen&(1<<next) != 0 { // the second is decoded into the first
			return false
		}
		seen |= 1 << next
		to := v
		for _, i := range f.index {
			to = to.Field(i)
		}
		if !d.value(f.plan, to) {
			return false
		}
		next++
	}
	return d.take('}')
}

// find returns the field of a name, -1 if there is none, and false if
// encoding/json could find one of a similar name.
func (p *plan) find(name []byte) (int, bool) {
	for i := range p.fields {
		if string(name) == p.fields[i].name {
			return i, true
		}
	}
	for i := range p.fields {
		if strings.EqualFold(string(name), p.fields[i].name) {
			return 0, false
		}
	}
	return -1, true
}

func (d *decoder) array(p *plan, v reflect.Value) bool {
	if !d.take('[') {
		return false
	}
	n := 0
	for more := d.more(']', true); more; more = d.more(']', false) {
		if n >= v.Cap() {
			v.Grow(1)
		}
		v.SetLen(n + 1)
		if !d.value(p.elem, v.Index(n)) {
			return false
		}
		n++
	}
	if n == 0 {
		v.Set(reflect.MakeSlice(v.Type(), 0, 0))
	}
	return d.take(']')
}

func (d *decoder) entries(p *plan, v reflect.Value) bool {
	if !d.take('{') {
		return false
	}
	t := v.Type()
	v.Set(reflect.MakeMap(t))
	key, elem := reflect.New(t.Key()).Elem(), reflect.New(t.Elem()).Elem()
	for more := d.more('}', true); more; more = d.more('}', false) {
		name, ok := d.text()
		if !ok || !d.colon() {
			return false
		}
		key.SetString(string(name))
		elem.SetZero()
		if !d.value(p.elem, elem) {
			return false
		}
		v.SetMapIndex(key, elem)
	}
	return d.take('}')
}

// more reports whether another element of an array or an object begins, and reads
// up to it. Otherwise the byte that ends them comes next, unless the data is wrong.
func (d *decoder) more(end byte, first bool) bool {
	d.space()
	if d.peek() == end {
		return false
	}
	if first {
		return true
	}
	if !d.take(',') {
		d.at = len(d.data)
		return false
	}
	d.space()
	return true
}

func (d *decoder) colon() bool {
	d.space()
	if !d.take(':') {
		return false
	}
	d.space()
	return true
}

const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
)

// text returns the bytes of a string, which may be those of data.
func (d *decoder) text() ([]byte, bool) {
	if !d.take('"') {
		return nil, false
	}
	data, i := d.data, d.at
	var high byte
	for {
		// Eight bytes at once, if all are plain ASCII: each term has the highest bit
		// of some bytes that are not, and together they have those of all.
		for i+8 <= len(data) {
			x := binary.LittleEndian.Uint64(data[i:])
			if ((x-' '*ones)|(x^'"'*ones-ones)|(x^'\\'*ones-ones))&highs != 0 {
				break
			}
			i += 8
		}
		if i >= len(data) {
			return nil, false
		}
		c := data[i]
		switch {
		case c == '"':
			s := data[d.at:i:i]
			d.at = i + 1
			return s, high < utf8.RuneSelf || utf8.Valid(s)
		case c == '\\':
			return d.escaped(i)
		case c < ' ':
			return nil, false
		}
		high |= c
		i++
	}
}

// escaped is text for a string in which the byte at i is the first that is a
// backslash.
func (d *decoder) escaped(i int) ([]byte, bool) {
	data := d.data
	s := append(make([]byte, 0, i-d.at+64), data[d.at:i]...)
	for i < len(data) {
		c := data[i]
		i++
		switch {
		case c == '"':
			d.at = i
			return s, utf8.Valid(s)
		case c < ' ':
			return nil, false
		case c != '\\':
			s = append(s, c)
			continue
		}
		if i >= len(data) {
			return nil, false
		}
		c = data[i]
		i++
		switch c {
		case '"', '\\', '/':
		case 'b':
			c = '\b'
		case 'f':
			c = '\f'
		case 'n':
			c = '\n'
		case 'r':
			c = '\r'
		case 't':
			c = '\t'
		case 'u':
			r, ok := hex4(data[i:])
			i += 4
			if ok && utf16.IsSurrogate(r) {
				if i+6 > len(data) || data[i] != '\\' || data[i+1] != 'u' {
					return nil, false
				}
				var low rune
				low, ok = hex4(data[i+2:])
				i += 6
				if r = utf16.DecodeRune(r, low); r == utf8.RuneError {
					return nil, false
				}
			}
			if !ok {
				return nil, false
			}
			s = utf8.AppendRune(s, r)
			continue
		default:
			return nil, false
		}
		s = append(s, c)
	}
	return nil, false
}

func hex4(b []byte) (r rune, ok bool) {
	if len(b) < 4 {
		return 0, false
	}
	for _, c := range b[:4] {
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c && c <= 'f':
			c -= 'a' - 10
		case 'A' <= c && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}

// integer reads a number of at most 19 digits, and no further: what has a fraction
// or an exponent is no integer, and neither can follow one.
func (d *decoder) integer() (n uint64, minus, ok bool) {
	minus = d.take('-')
	from := d.at
	for d.at < len(d.data) {
		c := d.data[d.at] - '0'
		if c > 9 {
			break
		}
		n = n*10 + uint64(c)
		d.at++
	}
	digits := d.at - from
	if digits == 0 || digits > 19 || digits > 1 && d.data[from] == '0' {
		return 0, false, false
	}
	return n, minus, true
}

// number reads a number.
func (d *decoder) number() bool {
	d.take('-')
	if !d.take('0') && !d.digits() {
		return false
	}
	if d.take('.') && !d.digits() {
		return false
	}
	if d.take('e') || d.take('E') {
		if !d.take('+') {
			d.take('-')
		}
		return d.digits()
	}
	return true
}

// digits reads one digit or more.
func (d *decoder) digits() bool {
	from := d.at
	for d.at < len(d.data) && d.data[d.at]-'0' <= 9 {
		d.at++
	}
	return d.at > from
}

// skip reads a value of any kind.
func (d *decoder) skip() bool {
	switch c := d.peek(); c {
	case '"':
		_, ok := d.text()
		return ok
	case 't':
		return d.literal("true")
	case 'f':
		return d.literal("false")
	case 'n':
		return d.literal("null")
	case '{', '[':
		if d.deep++; d.deep > deepest {
			return false
		}
		d.at++
		end := c + 2 // } or ]
		for more := d.more(end, true); more; more = d.more(end, false) {
			if c == '{' {
				if _, ok := d.text(); !ok || !d.colon() {
					return false
				}
			}
			if !d.skip() {
				return false
			}
		}
		d.deep--
		return d.take(end)
	}
	return d.number()
}
