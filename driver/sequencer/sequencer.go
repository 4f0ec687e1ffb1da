package sequencer

import (
	"context"
	"sync"
	"time"

	"github.com/go-es/es/driver"
)

// Config has the settings of a Sequencer. The zero Config is a good one.
type Config struct {
	// Rest is how long a process waits at most between two looks for something
	// new, while nothing comes; it begins with Busy and doubles. However many
	// readers poll, there are no more looks than that. 250 ms if 0.
	Rest time.Duration

	// Busy is the least time between two listings while something comes, so that
	// what many writers append goes into few batches. 10 ms if 0.
	Busy time.Duration

	// Alone is how long a Sequencer leaves the work to another one that it saw
	// at work: between once and twice that time. 100 ms if 0.
	Alone time.Duration

	// BatchSpans and BatchBytes limit a batch of the log. 500 and 100 KB if 0.
	BatchSpans, BatchBytes int

	// PageEvents limits a page of the feed. 1000 if 0.
	PageEvents int
}

func (c Config) withDefaults() Config {
	set := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	set(&c.Rest, 250*time.Millisecond)
	set(&c.Busy, 10*time.Millisecond)
	set(&c.Alone, 100*time.Millisecond)
	for _, n := range []struct {
		to *int
		v  int
	}{{&c.BatchSpans, 500}, {&c.BatchBytes, 100_000}, {&c.PageEvents, 1000}} {
		if *n.to == 0 {
			*n.to = n.v
		}
	}
	return c
}

// Sequencer reads the feed of one store and drives its sequencing. A store has
// one for each process that has it open. Its methods may be called concurrently.
// It has no goroutine that outlives a call, and nothing to close.
type Sequencer struct {
	b   Backend
	reg Register // nil: the marks are all there is
	cfg Config

	turn  chan struct{} // whoever sends to it does a round
	round round         // belongs to whoever has the turn

	mu      sync.Mutex
	end     driver.Position // the last one of the log, as far as known
	known   bool            // the log was looked at
	log     batches
	pending map[string]driver.Version // the highest version of each stream that is known to wait
	seen    seen
	begun   uint64 // rounds
	ended   uint64 // the last round that ended without an error
	next    time.Time
	last    time.Time // of the last look
	pause   time.Duration
}

// New returns a Sequencer of a backend. It makes no request.
func New(b Backend, cfg Config) *Sequencer {
	s := &Sequencer{b: b, cfg: cfg.withDefaults(), turn: make(chan struct{}, 1), pending: map[string]driver.Version{}}
	s.reg, _ = b.(Register)
	s.round.s = s
	return s
}

// Head returns the last position of the log, by a read that cannot be stale: one
// request. It does not sequence.
func (s *Sequencer) Head(ctx context.Context) (driver.Position, error) {
	tip, err := s.b.Tip(ctx, s.position())
	if err != nil {
		return 0, err
	}
	return max(s.position(), tip.end()), nil
}

// Appended tells that this process has appended to a stream, or deleted it, so that
// its last version is v at least. A driver calls it after each write that was
// acknowledged. It makes the next look come soon, and keeps ReadAll from saying End
// before the feed has reached v (of up to 10,000 streams at a time). It makes no
// request.
func (s *Sequencer) Appended(stream string, v driver.Version) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expect(stream, v)
	s.pause = 0
	if soon := s.last.Add(s.cfg.Busy); soon.Before(s.next) {
		s.next = soon
	}
}

// expect remembers that a stream goes to a version, of which the log may know nothing.
// mu is held.
func (s *Sequencer) expect(stream string, v driver.Version) {
	if last, there := s.pending[stream]; there || len(s.pending) < maxPending {
		s.pending[stream] = max(last, v)
	}
}

// maxPending bounds what is remembered of appends while nobody reads the feed.
const maxPending = 10_000

// Advance sequences until nothing more is found, within the limits of Config, so
// that it may be called often: for a listing of streams that is made of the
// registers, and follows the feed.
func (s *Sequencer) Advance(ctx context.Context) error {
	for {
		before := s.position()
		if err := s.look(ctx, before); err != nil || s.position() == before {
			return err
		}
	}
}

// look does a round, unless the log is known to go beyond a position, or another
// call did a round meanwhile that began after this call.
func (s *Sequencer) look(ctx context.Context, after driver.Position) error {
	s.mu.Lock()
	begun := s.begun
	s.mu.Unlock()
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
		return ctx.Err()
	}
	s.mu.Lock()
	if s.end > after || s.ended > begun {
		s.mu.Unlock()
		return nil
	}
	s.begun++
	n := s.begun
	s.mu.Unlock()
	err := s.round.do(ctx)
	if err == nil {
		s.mu.Lock()
		s.ended = n
		s.mu.Unlock()
	}
	return err
}

// position returns the last position of the log, as far as known.
func (s *Sequencer) position() driver.Position {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.end
}

// waits reports whether something is known to have no position yet.
func (s *Sequencer) waits() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.pending) > 0
}

// end is the last position of the batch, 0 for none.
func (b *Batch) end() driver.Position {
	if len(b.Spans) == 0 {
		return 0
	}
	return b.Next() - 1
}

// extend keeps a batch that follows the end of the log.
func (s *Sequencer) extend(b Batch) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.end = b.end()
	s.known = true
	s.log.add(b)
	for i := range b.Spans {
		s.placed(b.Spans[i].Stream, b.Spans[i].Last)
	}
}

// placed notes that a stream is in the log up to v. Call it locked.
func (s *Sequencer) placed(stream string, v driver.Version) {
	if p, waits := s.pending[stream]; waits && p <= v {
		delete(s.pending, stream)
	}
}

// due reports whether it is time for a look.
func (s *Sequencer) due(now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now.Before(s.next) {
		return false
	}
	s.last = now
	return true
}

// rest says when the next look is due: soon if something came.
func (s *Sequencer) rest(now time.Time, came bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pause = min(max(2*s.pause, s.cfg.Busy), s.cfg.Rest); came {
		s.pause = 0
	}
	s.next = now.Add(max(s.pause, s.cfg.Busy))
}

// soon lets the next look come at once.
func (s *Sequencer) soon() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.next = time.Time{}
}
