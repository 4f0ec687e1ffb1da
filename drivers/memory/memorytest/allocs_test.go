//go:build !race

package memorytest

import (
	"testing"

	"github.com/go-es/es"
	"github.com/go-es/es/drivers/memory"
	"github.com/go-es/es/internal/benchtest"
)

func TestAllocs(t *testing.T) {
	s, err := es.New(memory.New())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	benchtest.CheckAllocs(t, s, benchtest.Allocs{Append: 10, Append10: 3.7, Read: 6.7, Feed: 6.7, Load: 6.7})
}
