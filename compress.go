package es

import (
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// Compression makes data smaller and gives it back. It is used concurrently.
type Compression interface {
	// Name is stored with each event and chooses what decompresses it; as
	// Codec.Name, and not beginning with "aead".
	Name() string
	// Compress returns src compressed.
	Compress(src []byte) ([]byte, error)
	// Decompress gives back what was compressed, or an error if the bytes are
	// not whole or the result would be larger than limit bytes.
	Decompress(src []byte, limit int) ([]byte, error)
}

// Zstd is Zstandard (RFC 8878) at its default level, one frame that says its size.
// Every store can read what it compressed.
var Zstd Compression = zstdCompression{}

// maxDecompressed bounds what a compressed event may become: no store takes
// larger ones, and hostile data must not exhaust the memory.
const maxDecompressed = 1 << 28

// minCompressed is the size below which compressing is not tried.
const minCompressed = 128

type zstdCompression struct{}

var zstdEncoder = sync.OnceValues(func() (*zstd.Encoder, error) {
	return zstd.NewWriter(nil, zstd.WithEncoderConcurrency(2),
		zstd.WithSingleSegment(true),            // so that each frame says its size
		zstd.WithAllLitEntropyCompression(true)) // or short events, which repeat little, stay as long as they are
})

var zstdDecoder = sync.OnceValues(func() (*zstd.Decoder, error) {
	return zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecodeAllCapLimit(true), zstd.WithDecoderMaxMemory(maxDecompressed))
})

func (zstdCompression) Name() string { return "zstd" }

func (zstdCompression) Compress(src []byte) ([]byte, error) {
	enc, err := zstdEncoder()
	if err != nil {
		return nil, err
	}
	return enc.EncodeAll(src, make([]byte, 0, len(src))), nil
}

func (zstdCompression) Decompress(src []byte, limit int) ([]byte, error) {
	var h zstd.Header
	if err := h.Decode(src); err != nil {
		return nil, err
	}
	if !h.HasFCS {
		return nil, errors.New("it does not say its size")
	}
	// A block has 3 bytes at least and becomes 128 KiB at most. What a header
	// claims beyond that is not there, and no memory is given for it.
	if most := min(uint64(limit), uint64(len(src)/3+1)<<17); h.FrameContentSize > most {
		return nil, fmt.Errorf("it claims %d bytes and can have %d at most", h.FrameContentSize, most)
	}
	dec, err := zstdDecoder()
	if err != nil {
		return nil, err
	}
	return dec.DecodeAll(src, make([]byte, 0, h.FrameContentSize))
}

func checkCompression(c Compression) error {
	if c == nil {
		return &InvalidError{What: "compression", Reason: "is nil"}
	}
	if strings.HasPrefix(c.Name(), "aead") {
		return &InvalidError{What: fmt.Sprintf("name %q of a compression", c.Name()), Reason: `names that begin with "aead" are reserved`}
	}
	return checkPartName("compression", c.Name())
}
