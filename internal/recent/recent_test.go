package recent_test

import (
	"fmt"
	"testing"

	"github.com/go-es/es/internal/recent"
)

func to(v int) func(int) int { return func(was int) int { return max(was, v) } }

func TestMap(t *testing.T) {
	var m recent.Map[int]
	if v, ok := m.Get("a"); ok {
		t.Errorf("an empty map has %d", v)
	}
	m.Delete("a")
	for _, v := range []int{3, 5, 4} {
		m.Set("a", to(v))
	}
	if v, ok := m.Get("a"); v != 5 || !ok {
		t.Errorf("%d, %v", v, ok)
	}
	m.Delete("a")
	if v, ok := m.Get("a"); ok {
		t.Errorf("what was deleted is %d", v)
	}
}

// The last keys are remembered, each with what it was, and old ones go.
func TestForgets(t *testing.T) {
	var m recent.Map[int]
	m.Set("often", to(7))
	for i := range 5 * recent.Kept {
		m.Set(fmt.Sprint(i), to(i+1))
		if i%(recent.Kept/2) == 0 {
			m.Set("often", to(1))
		}
	}
	if v, _ := m.Get("often"); v != 7 {
		t.Errorf("what is set often is %d", v)
	}
	there := 0
	for i := range 5 * recent.Kept {
		v, ok := m.Get(fmt.Sprint(i))
		if ok {
			there++
		}
		if recently := i >= 4*recent.Kept+10; recently && v != i+1 {
			t.Fatalf("key %d of %d is %d", i, 5*recent.Kept, v)
		}
	}
	if there > 2*recent.Kept {
		t.Errorf("%d keys are there", there)
	}
	m.Set("half", to(1))
	for i := range recent.Kept {
		m.Set(fmt.Sprint("x", i), to(1))
	}
	m.Delete("half")
	if _, ok := m.Get("half"); ok {
		t.Error("what was deleted is there")
	}
}
