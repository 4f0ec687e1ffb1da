//go:build !race

package sqlitetest

import (
	"testing"

	"github.com/go-es/es"
	"github.com/go-es/es/internal/benchtest"
)

func TestAllocs(t *testing.T) {
	s, err := es.Open("sqlite", file(t))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	benchtest.CheckAllocs(t, s, benchtest.Allocs{Append: 33, Append10: 9.9, Read: 13.2, Feed: 12.4, Load: 13.2})
}
