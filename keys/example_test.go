package keys_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"strings"

	"github.com/go-es/es"
	"github.com/go-es/es/drivers/memory"
	"github.com/go-es/es/keys"
)

type SignedUp struct{ Email string }

func (SignedUp) EventType() string { return "user.signed_up" }

// One ring for a whole store, kept where secrets are: in a file, a variable of
// the environment, a vault.
func ExampleRing() {
	ring, err := keys.ParseRing(`
# 2026, the primary
AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=
# 2025
ISIjJCUmJygpKissLS4vMDEyMzQ1Njc4OTo7PD0+P0A=
`)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(ring)

	store, err := es.New(memory.New(), es.Encrypt(es.SingleKey(ring), es.EncryptTypes("user.signed_up")))
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()
	ctx := context.Background()
	if _, err := store.Append(ctx, "user-1", es.NoStream, SignedUp{"ann@example.com"}); err != nil {
		log.Fatal(err)
	}
	for rec, err := range store.Read(ctx, "user-1") {
		if err != nil {
			log.Fatal(err)
		}
		ev, err := es.As[SignedUp](rec)
		fmt.Println(ev.Email, err)
	}
	// Output:
	// key ring [62b36386 baddd90a]
	// ann@example.com <nil>
}

// A new key becomes the primary one; what was encrypted before stays readable.
func ExampleRing_Rotate() {
	ring, err := keys.NewRing(keys.GenerateKey())
	if err != nil {
		log.Fatal(err)
	}
	old, err := ring.Encrypt([]byte("secret"), nil)
	if err != nil {
		log.Fatal(err)
	}
	if ring, err = ring.Rotate(keys.GenerateKey()); err != nil {
		log.Fatal(err)
	}
	plain, err := ring.Decrypt(old, nil)
	fmt.Printf("%s, %v\n", plain, err)
	fmt.Println("lines to keep:", strings.Count(ring.Reveal(), "\n"))
	// Output:
	// secret, <nil>
	// lines to keep: 2
}

// A key for each subject: when it is deleted, nobody can read the subject's data
// any more, and everything else goes on.
func ExampleMemory() {
	subjects := keys.NewMemory()
	store, err := es.New(memory.New(), es.Encrypt(subjects, es.EncryptAll()))
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()
	ctx := context.Background()
	for _, user := range []string{"ann", "bob"} {
		if _, err := store.Append(ctx, "user-"+user, es.NoStream, SignedUp{user + "@example.com"}); err != nil {
			log.Fatal(err)
		}
	}
	if err := subjects.Delete(ctx, "user-ann"); err != nil {
		log.Fatal(err)
	}
	for rec, err := range store.ReadAll(ctx) {
		if err != nil {
			log.Fatal(err)
		}
		ev, err := es.As[SignedUp](rec)
		if errors.Is(err, es.ErrShredded) {
			fmt.Println(rec.Stream, "was forgotten")
			continue
		}
		fmt.Println(rec.Stream, ev.Email, err)
	}
	_, err = store.Append(ctx, "user-ann", es.Exists, SignedUp{"ann@example.com"})
	fmt.Println(errors.Is(err, es.ErrShredded))
	// Output:
	// user-ann was forgotten
	// user-bob bob@example.com <nil>
	// true
}
