package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/go-es/es/keys"
)

// loadRing reads the keys in a file, or makes the file with a new key, for its
// owner's eyes only.
func loadRing(file string) (*keys.Ring, error) {
	text, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		key := keys.GenerateKey()
		if err := writeNew(file, key.Reveal()+"\n"); err != nil {
			return nil, err
		}
		return keys.NewRing(key)
	}
	if err != nil {
		return nil, err
	}
	ring, err := keys.ParseRing(string(text))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return ring, nil
}

// writeNew writes a file that must not exist, so that no key is overwritten.
func writeNew(file, text string) error {
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}
