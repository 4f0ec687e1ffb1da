package opener_test

import (
	"context"
	"errors"
	"testing"

	"github.com/go-es/es/driver"
	"github.com/go-es/es/internal/opener"
)

type store struct{ driver.Store }

// A failure gives no store, not even a nil pointer as one.
func TestOpen(t *testing.T) {
	failed := errors.New("no")
	for _, c := range []struct{ parse, open error }{{nil, nil}, {failed, nil}, {nil, failed}} {
		var got string
		d := opener.Of(
			func(dsn string) (string, error) { return "parsed " + dsn, c.parse },
			func(_ context.Context, cfg string) (*store, error) {
				got = cfg
				if c.open != nil {
					return nil, c.open
				}
				return &store{}, nil
			})
		s, err := d.Open(t.Context(), "x")
		want := errors.Join(c.parse, c.open) != nil
		if (err != nil) != want || (s == nil) != want {
			t.Errorf("%v: %v, %v", c, s, err)
		}
		if c.parse == nil && got != "parsed x" || c.parse != nil && got != "" {
			t.Errorf("%v: opened with %q", c, got)
		}
	}
}
