package es

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/go-es/es/driver"
)

// coder is the one place where events become records and records events: codec,
// then compression, then encryption, and back. The encoding of each record says
// how it was made ("json+zstd+aead1"), so that it stays readable when the
// settings change.
type coder struct {
	codec        Codec
	codecs       map[string]Codec // all that can be read
	compression  Compression      // nil: none
	compressions map[string]Compression
	keys         Keys
	rule         Rule // nil: nothing is encrypted
}

func newCoder() coder {
	return coder{
		codec:        JSON,
		codecs:       map[string]Codec{JSON.Name(): JSON},
		compressions: map[string]Compression{Zstd.Name(): Zstd},
	}
}

// ErrUnknownEncoding says that the store was opened without the codec or the
// compression that made a record.
var ErrUnknownEncoding = errors.New("es: unknown encoding")

func (c *coder) codecFor(name string) (Codec, error) {
	if codec, ok := c.codecs[name]; ok {
		return codec, nil
	}
	return nil, fmt.Errorf("%w %q: open the store with that codec, or with ReadCodecs", ErrUnknownEncoding, name)
}

// encode makes the record of an event. Its id, time and metadata are chosen
// already; tags and the rest come from u.
func (c *coder) encode(ctx context.Context, stream string, u *unwrapped, meta []byte) (driver.Record, error) {
	rec := driver.Record{ID: u.ID, Type: u.name, Tags: u.Tags, Metadata: meta, Time: u.Time}
	var err error
	if rec.Data, rec.Encoding, err = c.marshal(u); err != nil {
		return rec, err
	}
	if rec.Data, rec.Encoding, err = c.compress(rec.Data, rec.Encoding); err != nil {
		return rec, err
	}
	s, err := c.sealer(ctx, stream, u.name)
	if u.name == TypeDeleted && errors.Is(err, ErrShredded) {
		rec.Metadata, s, err = nil, nil, nil // a stream can be deleted after its subject
	}
	if s == nil || err != nil {
		return rec, err
	}
	sealed, err := s.seal(stream, rec)
	if u.name == TypeDeleted && errors.Is(err, ErrShredded) { // meanwhile
		rec.Metadata = nil
		return rec, nil
	}
	return sealed, err
}

// marshal returns the data of an event as its codec encodes it, and the codec's
// name.
func (c *coder) marshal(u *unwrapped) ([]byte, string, error) {
	if u.raw != nil {
		return u.raw.Data, u.raw.Encoding, nil
	}
	codec := u.codec
	if codec == nil {
		codec = c.codec
	}
	data, err := marshal(codec, u.value)
	if err != nil {
		return nil, "", fmt.Errorf("es: type %q cannot be encoded as %s: %w", u.name, codec.Name(), bare{err})
	}
	return data, codec.Name(), nil
}

func eventPlace(stream string, rec *driver.Record) place {
	return place{stream, string(rec.ID[:]), rec.Type, rec.Encoding}
}

// compress returns data compressed where that is set and makes it smaller by an
// eighth at least.
func (c *coder) compress(data []byte, encoding string) ([]byte, string, error) {
	if c.compression == nil || len(data) < minCompressed || len(data) > maxDecompressed {
		return data, encoding, nil
	}
	small, err := c.compression.Compress(data)
	if err != nil {
		return nil, "", fmt.Errorf("es: compressing with %s: %w", c.compression.Name(), err)
	}
	if len(small) > len(data)-len(data)/8 {
		return data, encoding, nil
	}
	return small, encoding + "+" + c.compression.Name(), nil
}

// open undoes encryption and compression, and returns the data and the name of
// the codec that can read it.
func (c *coder) open(ctx context.Context, why purpose, p place, data []byte) ([]byte, string, error) {
	encoding := p.encoding
	if rest, sealed := strings.CutSuffix(encoding, sealedMark); sealed {
		plain, err := unseal(ctx, c.keys, why, p, data)
		if err != nil {
			return nil, "", err
		}
		data, encoding = plain, rest
	}
	codec, compression, compressed := strings.Cut(encoding, "+")
	if compressed {
		how, ok := c.compressions[compression]
		if !ok {
			return nil, "", fmt.Errorf("%w %q: open the store with that compression, or with ReadCompressions", ErrUnknownEncoding, compression)
		}
		plain, err := decompress(how, data)
		if err != nil {
			return nil, "", fmt.Errorf("%w: the compressed data cannot be read: %w", ErrCorrupt, bare{err})
		}
		data = plain
	}
	return data, codec, nil
}

func decompress(how Compression, data []byte) (plain []byte, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("the compression panics: %v", r)
		}
	}()
	return how.Decompress(data, maxDecompressed)
}

// encodeMetadata refuses what JSON would change silently.
func encodeMetadata(meta map[string]string) ([]byte, error) {
	if len(meta) == 0 {
		return nil, nil
	}
	for k, v := range meta {
		if !utf8.ValidString(k) || !utf8.ValidString(v) {
			return nil, &InvalidError{What: fmt.Sprintf("metadata %.40q", k), Reason: "is not valid UTF-8"}
		}
	}
	return json.Marshal(meta)
}

// metadata decodes a record's metadata.
func (c *coder) metadata(ctx context.Context, p place, b []byte) (map[string]string, error) {
	if len(b) == 0 {
		return nil, nil
	}
	if strings.HasSuffix(p.encoding, sealedMark) {
		plain, err := unseal(ctx, c.keys, purposeMetadata, p, b)
		if err != nil {
			return nil, err
		}
		b = plain
	}
	var m map[string]string
	if err := json.Unmarshal(b, &m); err != nil {
		return nil, fmt.Errorf("%w: the metadata is no JSON object of strings: %w", ErrCorrupt, err)
	}
	return m, nil
}
