package keys_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/go-es/es"
	"github.com/go-es/es/keys"
)

func TestMemory(t *testing.T) {
	ctx := t.Context()
	var m keys.Memory
	if _, err := m.Key(ctx, "ann", false); !errors.Is(err, es.ErrNoKey) {
		t.Errorf("the key of nobody: %v", err)
	}
	if _, err := m.Key(ctx, "ann", false); !errors.Is(err, es.ErrNoKey) {
		t.Errorf("asking made one: %v", err)
	}
	ann, err := m.Key(ctx, "ann", true)
	if err != nil {
		t.Fatal(err)
	}
	box := encrypt(t, ann, "secret", "ad")
	for _, create := range []bool{true, false} {
		again, err := m.Key(ctx, "ann", create)
		if err != nil {
			t.Fatal(err)
		}
		if plain, err := again.Decrypt(box, []byte("ad")); err != nil || string(plain) != "secret" {
			t.Errorf("create %v: %q, %v", create, plain, err)
		}
	}
	bob, err := m.Key(ctx, "bob", true)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := bob.Decrypt(box, []byte("ad")); err == nil {
		t.Error("bob reads what is ann's")
	}

	for range 2 { // again is no error
		if err := m.Delete(ctx, "ann"); err != nil {
			t.Fatal(err)
		}
	}
	for _, create := range []bool{true, false} {
		if _, err := m.Key(ctx, "ann", create); !errors.Is(err, es.ErrShredded) {
			t.Errorf("the deleted key, create %v: %v", create, err)
		}
	}
	// A key that was handed out before is gone as well.
	if _, err := ann.Decrypt(box, []byte("ad")); !errors.Is(err, es.ErrShredded) {
		t.Errorf("the deleted key decrypts: %v", err)
	}
	if _, err := ann.Encrypt(nil, nil); !errors.Is(err, es.ErrShredded) {
		t.Errorf("the deleted key encrypts: %v", err)
	}
	if _, err := bob.Encrypt(nil, nil); err != nil {
		t.Errorf("bob's key: %v", err)
	}
	// One who never had a key never gets one.
	if err := m.Delete(ctx, "eve"); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Key(ctx, "eve", true); !errors.Is(err, es.ErrShredded) {
		t.Errorf("the key of eve: %v", err)
	}
}

func TestMemoryContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	m := keys.NewMemory()
	cancel()
	if _, err := m.Key(ctx, "ann", true); !errors.Is(err, context.Canceled) {
		t.Errorf("Key: %v", err)
	}
	if err := m.Delete(ctx, "ann"); !errors.Is(err, context.Canceled) {
		t.Errorf("Delete: %v", err)
	}
	if _, err := m.Key(t.Context(), "ann", false); !errors.Is(err, es.ErrNoKey) {
		t.Errorf("after both: %v", err)
	}
}

// All who ask at once for a key that is not there get the same one, and a delete
// among them is final.
func TestMemoryConcurrently(t *testing.T) {
	m := keys.NewMemory()
	for round := range 50 {
		subject := fmt.Sprint(round)
		var wg sync.WaitGroup
		found := make([]es.AEAD, 8)
		for i := range found {
			wg.Go(func() {
				k, err := m.Key(context.Background(), subject, true)
				if err != nil {
					t.Error(err)
				}
				found[i] = k
			})
		}
		wg.Wait()
		if t.Failed() {
			return
		}
		box := encrypt(t, found[0], "x", "")
		for i, k := range found {
			if _, err := k.Decrypt(box, nil); err != nil {
				t.Fatalf("round %d: key %d is another: %v", round, i, err)
			}
		}

		late := "late" + subject
		for range 4 {
			wg.Go(func() {
				if k, err := m.Key(context.Background(), late, true); err == nil {
					k.Encrypt(nil, nil)
				} else if !errors.Is(err, es.ErrShredded) {
					t.Error(err)
				}
			})
		}
		wg.Go(func() {
			if err := m.Delete(context.Background(), late); err != nil {
				t.Error(err)
			}
		})
		wg.Wait()
		if _, err := m.Key(context.Background(), late, true); !errors.Is(err, es.ErrShredded) {
			t.Fatalf("round %d: the deleted key: %v", round, err)
		}
	}
}
