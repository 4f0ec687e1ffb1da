//go:build zz

package es

import (
	_ "github.com/anishathalye/porcupine"
	_ "github.com/klauspost/compress/zstd"
	_ "github.com/mattn/go-sqlite3"
	_ "github.com/tink-crypto/tink-go/v2/aead"
	_ "google.golang.org/protobuf/proto"
	_ "modernc.org/sqlite"
	_ "pgregory.net/rapid"
)
