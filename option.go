package es

import (
	"fmt"
	"time"

	"github.com/go-es/es/driver"
)

// Option is a setting of a store.
type Option func(*settings) error

// settings are what a store and all made of it by With have in common.
type settings struct {
	coder
	hooks    *Hooks
	clock    func() time.Time
	ids      func() ID
	retryFor time.Duration
	poll     time.Duration // 0: the default
}

func newSettings(opts []Option) (*settings, error) {
	s := &settings{coder: newCoder(), clock: time.Now, retryFor: 30 * time.Second}
	for _, opt := range opts {
		if opt == nil {
			return nil, &InvalidError{What: "option", Reason: "is nil"}
		}
		if err := opt(s); err != nil {
			return nil, err
		}
	}
	if s.ids == nil {
		s.ids = func() ID { return driver.NewID(s.clock()) }
	}
	return s, nil
}

// WithCodec sets the codec of new events; the default is [JSON]. Events written
// with JSON stay readable; for other codecs see [ReadCodecs].
func WithCodec(c Codec) Option {
	return func(s *settings) error {
		if err := s.addCodec(c); err != nil {
			return err
		}
		s.codec = c
		return nil
	}
}

// ReadCodecs adds codecs that earlier events were written with.
func ReadCodecs(codecs ...Codec) Option {
	return func(s *settings) error {
		for _, c := range codecs {
			if err := s.addCodec(c); err != nil {
				return err
			}
		}
		return nil
	}
}

func (c *coder) addCodec(codec Codec) error {
	if err := checkCodec(codec); err != nil {
		return err
	}
	c.codecs[codec.Name()] = codec
	return nil
}

// Compress compresses the data of new events, and snapshots, where it makes them
// smaller by an eighth at least; [Zstd] is ready for use. The default is not to.
// Events compressed with Zstd stay readable; for others see [ReadCompressions].
func Compress(c Compression) Option {
	return func(s *settings) error {
		if err := s.addCompression(c); err != nil {
			return err
		}
		s.compression = c
		return nil
	}
}

// ReadCompressions adds compressions that earlier events were written with.
func ReadCompressions(compressions ...Compression) Option {
	return func(s *settings) error {
		for _, c := range compressions {
			if err := s.addCompression(c); err != nil {
				return err
			}
		}
		return nil
	}
}

func (c *coder) addCompression(compression Compression) error {
	if err := checkCompression(compression); err != nil {
		return err
	}
	c.compressions[compression.Name()] = compression
	return nil
}

// Encrypt encrypts data and metadata of new events where rule says so, and the
// snapshots made of them; what is encrypted already can be read whatever the
// rule says now. Names of streams and types, ids, times, tags and subjects stay
// in plain text. A nil rule encrypts nothing new.
//
// Whoever can write to the database learns nothing of what is encrypted, and
// cannot change it or move it to another stream or event unnoticed; but can
//   - remove events, and take metadata away;
//   - reorder the events of a stream, and repeat one at another version of it:
//     what is encrypted is bound to its stream, id, type and encoding, and not to
//     its version; the copy has the same id, so that a reader who looks can tell;
//   - change times and tags;
//   - put in events in plain text, and a snapshot in plain text in place of an
//     encrypted one. Package aggregate does not use such a snapshot where the rule
//     encrypts a type of the aggregate, or where an event that it reads is encrypted.
func Encrypt(keys Keys, rule Rule) Option {
	return func(s *settings) error {
		if keys == nil {
			return &InvalidError{What: "keys", Reason: "are nil"}
		}
		s.keys, s.rule = keys, rule
		return nil
	}
}

// WithHooks sets the functions that the store calls, for tracing and metrics.
func WithHooks(h Hooks) Option {
	return func(s *settings) error {
		s.hooks = &h
		return nil
	}
}

// WithClock sets the clock that gives events their time; the default is
// time.Now. No order depends on it.
func WithClock(now func() time.Time) Option {
	return func(s *settings) error {
		if now == nil {
			return &InvalidError{What: "clock", Reason: "is nil"}
		}
		s.clock = now
		return nil
	}
}

// WithIDs sets the source of ids of events; the default gives UUIDs of version 7.
// It is called concurrently, and must never give the same id twice.
func WithIDs(next func() ID) Option {
	return func(s *settings) error {
		if next == nil {
			return &InvalidError{What: "ids", Reason: "are nil"}
		}
		s.ids = next
		return nil
	}
}

// RetryFor sets for how long a call that fails is made again where nothing was
// applied, such as after a deadlock or while a database is busy: 30 seconds by
// default, 0 for never. The end of the context ends it sooner.
func RetryFor(d time.Duration) Option {
	return func(s *settings) error {
		if d < 0 {
			return &InvalidError{What: "RetryFor", Reason: fmt.Sprintf("%v is negative", d)}
		}
		s.retryFor = d
		return nil
	}
}

// PollEvery sets how long a subscription at rest waits at most before it looks
// for events of other processes: by default half a second, and 5 seconds where
// the driver sends wake-ups. Events of this store wake it at once.
func PollEvery(d time.Duration) Option {
	return func(s *settings) error {
		if d <= 0 {
			return &InvalidError{What: "PollEvery", Reason: fmt.Sprintf("%v is not positive", d)}
		}
		s.poll = d
		return nil
	}
}
