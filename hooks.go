package es

import (
	"context"
	"time"
)

// Hooks are called by a store, for tracing and metrics. Any may be nil. They are
// called concurrently, on the goroutine of the caller or of a read that is ahead
// of it, and delay the store by what they take.
type Hooks struct {
	// Start is called before an operation begins; the operation goes on with the
	// context that it returns.
	Start func(ctx context.Context, op Op) context.Context
	// End is called when it has ended, with the context that Start returned.
	End func(ctx context.Context, op Op, out OpResult)
	// Retry is called before an operation is tried again; attempt is 1 for the
	// first repetition.
	Retry func(ctx context.Context, op Op, attempt int, err error)
}

// Op is an operation of a store. Each page of a read is one.
type Op struct {
	Name     string   // "append", "read", "feed", "list", "delete", "head", "load checkpoint", …
	Stream   string   // of the first part of an append; empty where there is none
	Streams  int      // parts of an append
	Events   int      // to be appended
	Bytes    int      // to be appended, in driver.Size
	Position Position // of a feed page: after which position
}

// OpResult is how an operation ended.
type OpResult struct {
	Err      error
	Events   int           // appended or read
	Retries  int           // repetitions
	Duration time.Duration // from Start to End
}

// call runs f as an operation: hooks around it, and again what is transient.
// f returns the number of events.
func (s *Store) call(ctx context.Context, op Op, f func(ctx context.Context) (int, error)) error {
	h := s.hooks
	if h == nil {
		_, _, err := s.retry(ctx, op, f)
		return err
	}
	start := time.Now()
	if h.Start != nil {
		ctx = h.Start(ctx, op)
	}
	events, retries, err := s.retry(ctx, op, f)
	if h.End != nil {
		h.End(ctx, op, OpResult{err, events, retries, time.Since(start)})
	}
	return err
}
