package hub_test

import (
	"testing"

	"github.com/go-es/es/internal/hub"
)

func woken(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func TestHub(t *testing.T) {
	a, b, other := hub.Join("data"), hub.Join("data"), hub.Join("other")
	if a != b || a == other || a.Key() != "data" {
		t.Fatal("a key has one hub, and each key its own")
	}
	news, same, elsewhere := a.Watch(), b.Watch(), other.Watch()
	if woken(news) {
		t.Error("woken without a write")
	}
	b.Wake()
	if !woken(news) || !woken(same) || woken(elsewhere) {
		t.Errorf("woken: %t, %t, elsewhere %t", woken(news), woken(same), woken(elsewhere))
	}
	if woken(a.Watch()) {
		t.Error("woken by a write before Watch")
	}
	a.Wake()
	a.Wake() // nobody watches
	a.Leave()
	if hub.Join("data") != b {
		t.Error("a hub is forgotten while a store uses it")
	}
	b.Leave()
	b.Leave()
	last := hub.Join("data")
	if last == b {
		t.Error("a hub is kept that no store uses")
	}
	last.Leave()
	other.Leave()
}

func TestOwnHub(t *testing.T) {
	a, b := hub.Join(""), hub.Join("")
	if a == b {
		t.Error("two users share a hub without a key")
	}
	a.Leave()
	b.Leave()
}
