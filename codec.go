package es

import "fmt"

// Codec turns the values of events into bytes and back. It is used concurrently.
type Codec interface {
	// Name is stored with each event and chooses the codec that reads it: 1 to 24
	// characters of a-z, 0-9, "-", "." and "_". It must change when the format does.
	Name() string
	// Marshal encodes a value. It is an error if the codec knows that Unmarshal
	// would fail or give another value: what was stored stays.
	Marshal(v any) ([]byte, error)
	// Unmarshal decodes into the value that v points to. It must not keep data.
	Unmarshal(data []byte, v any) error
}

const maxPartName = 24 // of a codec or a compression, so that all fit into an encoding

func checkPartName(what, name string) error {
	if name == "" || len(name) > maxPartName {
		return &InvalidError{What: fmt.Sprintf("name %q of a %s", name, what), Reason: fmt.Sprintf("it must have 1 to %d characters", maxPartName)}
	}
	for _, c := range []byte(name) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '.' && c != '_' {
			return &InvalidError{What: fmt.Sprintf("name %q of a %s", name, what), Reason: `it may have a-z, 0-9, "-", "." and "_" only`}
		}
	}
	return nil
}

func checkCodec(c Codec) error {
	if c == nil {
		return &InvalidError{What: "codec", Reason: "is nil"}
	}
	return checkPartName("codec", c.Name())
}

func marshal(codec Codec, v any) (data []byte, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("the codec panics: %v", r)
		}
	}()
	return codec.Marshal(v)
}

func unmarshalInto(codec Codec, data []byte, v any) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("the codec panics: %v", r)
		}
	}()
	return codec.Unmarshal(data, v)
}
