package conformance

import (
	"fmt"
	"reflect"
	"strings"

	"github.com/go-es/es/driver"
)

// inShort puts what a failure has seen into words that need no struct to be read.
func inShort(args []any) []any {
	words := make([]any, len(args))
	for i, arg := range args {
		switch v := arg.(type) {
		case nil: // an error, that there was not
			words[i] = "none"
		case driver.Record:
			words[i] = fmt.Sprintf("version %d of stream %.60q at position %d, id %v, type %.60q, encoding %q, tags %.100q, data %.100q, metadata %.100q, time %v",
				v.Version, v.Stream, v.Position, v.ID, v.Type, v.Encoding, v.Tags, v.Data, v.Metadata, v.Time.Round(0))
		case driver.Checkpoint:
			words[i] = fmt.Sprintf("(%.60q at position %d, seen %v at %d, revision %v)", v.Name, v.Position, v.SeenID, v.SeenAt, v.Revision)
			if v == (driver.Checkpoint{}) {
				words[i] = "the zero Checkpoint"
			}
		case driver.Snapshot:
			words[i] = fmt.Sprintf("(%.60q of %.60q at version %d, event %v, encoding %q, data %.100q)", v.Kind, v.Stream, v.Version, v.EventID, v.Encoding, v.Data)
			if v.Stream == "" && v.Version == 0 {
				words[i] = "the zero Snapshot"
			}
		case driver.Caps:
			words[i] = inFull(v)
		case driver.StreamInfo:
			words[i] = fmt.Sprintf("(%.60q at version %d, closed %t)", v.Stream, v.Version, v.Closed)
		default:
			words[i] = arg
		}
	}
	return words
}

// inFull names the fields of Caps that are not zero.
func inFull(c driver.Caps) string {
	var words []string
	for i, f := range fieldsOf(c) {
		if v := reflect.ValueOf(c).Field(i); !v.IsZero() {
			words = append(words, fmt.Sprint(f.Name, " ", v))
		}
	}
	return "Caps with " + strings.Join(words, ", ")
}

// capsDifference names the fields that differ.
func capsDifference(got, want driver.Caps) string {
	var words []string
	for i, f := range fieldsOf(got) {
		if g, w := reflect.ValueOf(got).Field(i), reflect.ValueOf(want).Field(i); !g.Equal(w) {
			words = append(words, fmt.Sprintf("%s is %v instead of %v", f.Name, g, w))
		}
	}
	return strings.Join(words, ", ")
}

func fieldsOf(c driver.Caps) []reflect.StructField { return reflect.VisibleFields(reflect.TypeOf(c)) }

func (p place) String() string { return fmt.Sprintf("version %d of %.60q", p.version, p.stream) }
