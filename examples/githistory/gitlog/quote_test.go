package gitlog

import (
	"strings"
	"testing"
)

func TestUnquote(t *testing.T) {
	for _, tt := range []struct {
		in, want string
		bad      bool
	}{
		{in: `plain`, want: "plain"},
		{in: ` blanks at both ends `, want: " blanks at both ends "},
		{in: `back\slash is only special in quotes`, want: `back\slash is only special in quotes`},
		{in: `it"s`, want: `it"s`},
		{in: "caf\u00e9", want: "caf\u00e9"},
		{in: "\xff", want: "\xff"},
		{in: `"caf\303\251"`, want: "caf\u00e9"},
		{in: `"\377\001"`, want: "\xff\x01"},
		{in: `"\a\b\t\n\v\f\r\"\\"`, want: "\a\b\t\n\v\f\r\"\\"},
		{in: `"\\303"`, want: `\303`},
		{in: `"\0611"`, want: "11"},
		{in: `"a => b"`, want: "a => b"},
		{in: `"` + strings.Repeat(`\\`, 300) + `"`, want: strings.Repeat(`\`, 300)},
		{in: ``, bad: true},
		{in: `"`, bad: true},
		{in: `""`, bad: true},
		{in: `"open`, bad: true},
		{in: `"open\"`, bad: true},
		{in: `"a"b"`, bad: true},
		{in: `"\x41"`, bad: true},
		{in: `"\e"`, bad: true},
		{in: `"\08"`, bad: true},
		{in: `"\08a"`, bad: true},
		{in: `"\400"`, bad: true},
		{in: `"\000"`, bad: true},
		{in: `"\1"`, bad: true},
	} {
		got, err := unquote([]byte(tt.in))
		if got != tt.want || (err != nil) != tt.bad {
			t.Errorf("unquote(%s) = %q, %v; want %q, error %t", tt.in, got, err, tt.want, tt.bad)
		}
	}
}

func TestIsRename(t *testing.T) {
	for _, tt := range []struct {
		in, from, to string
		not          bool
	}{
		{in: `a => b`, from: "a", to: "b"},
		{in: `a => b`, from: "b", to: "a", not: true},
		{in: `x/{a => b}/y`, from: "x/a/y", to: "x/b/y"},
		{in: `x/{a => b}`, from: "x/a", to: "x/b"},
		{in: `{a => b}/y`, from: "a/y", to: "b/y"},
		{in: `x/{ => b}/y`, from: "x/y", to: "x/b/y"},
		{in: `x/{b => }/y`, from: "x/b/y", to: "x/y"},
		{in: `x/x/{ => x}/x`, from: "x/x/x", to: "x/x/x/x"},
		{in: `x => y/x`, from: "x", to: "y/x"},
		{in: `abc => abd`, from: "abc", to: "abd"},
		{in: `a => b => c`, from: "a", to: "b => c"},
		{in: `a => b => c`, from: "a => b", to: "c"},
		{in: `a => b => c`, from: "a => b => c", to: "c", not: true},
		{in: `{ => }/{ =>  => x}`, from: "{ => }/{ =>", to: "x}", not: true},
		{in: `"\t" => a`, from: "\t", to: "a"},
		{in: `a => "\t"`, from: "a", to: "\t"},
		{in: `x/a => "x/\t"`, from: "x/a", to: "x/\t"},
		{in: `"\" => \"" => "\" => "`, from: `" => "`, to: `" => `},
		{in: `"\303\251" => e`, from: "\u00e9", to: "e"},
		{in: "{\u00e9 => e}/x", from: "\u00e9/x", to: "e/x"},
		{in: ``, from: "a", to: "b", not: true},
		{in: `"`, from: "a", to: "b", not: true},
		{in: `"\`, from: "a", to: "b", not: true},
		{in: `a`, from: "a", to: "b", not: true},
		{in: `a => `, from: "a", to: "b", not: true},
		{in: `a => b`, from: "a => b, and longer", to: "b", not: true},
	} {
		if got := isRename([]byte(tt.in), tt.from, tt.to); got == tt.not {
			t.Errorf("isRename(%s, %q, %q) = %t", tt.in, tt.from, tt.to, got)
		}
	}
}
