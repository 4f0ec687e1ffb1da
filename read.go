package es

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math"

	"github.com/go-es/es/driver"
)

// ReadOption narrows [Store.Read].
type ReadOption interface{ applyRead(*readSettings) }

type readSettings struct {
	query driver.StreamQuery
	limit int // 0: none
	page  int
	err   error
}

type readOption func(*readSettings)

func (o readOption) applyRead(s *readSettings) { o(s) }

// From begins at a version: the first one wanted, or with [Backward] the last.
func From(v Version) ReadOption { return readOption(func(s *readSettings) { s.query.From = v }) }

// Backward reads from the last event to the first.
func Backward() ReadOption { return readOption(func(s *readSettings) { s.query.Backward = true }) }

// Deleted reads a stream that was deleted, too: all of it after a Tombstone, and
// after a Purge its last event only. A Purge in the middle of the read ends it
// with an error.
func Deleted() ReadOption { return readOption(func(s *readSettings) { s.query.Deleted = true }) }

// LimitOption is an option of reads of streams, of the feed and of listings.
type LimitOption struct{ limit, page int }

// Limit ends a read after n; 0 is no limit.
func Limit(n int) LimitOption { return LimitOption{limit: n} }

// PageSize asks the database for at most n at a time; 0 is the driver's choice.
func PageSize(n int) LimitOption { return LimitOption{page: n} }

func (o LimitOption) apply(limit, page *int) error {
	if o.limit < 0 {
		return &InvalidError{What: "limit", Reason: fmt.Sprintf("%d is negative", o.limit)}
	}
	if o.page < 0 {
		return &InvalidError{What: "page size", Reason: fmt.Sprintf("%d is negative", o.page)}
	}
	if o.limit > 0 {
		*limit = o.limit
	}
	if o.page > 0 {
		*page = o.page
	}
	return nil
}

func (o LimitOption) applyRead(s *readSettings) {
	if err := o.apply(&s.limit, &s.page); err != nil {
		s.err = err
	}
}

// pageSize is what to ask for when left are still wanted (0: all).
func pageSize(page, left int) int {
	if page == 0 || left > 0 && left < page {
		return min(left, math.MaxInt32)
	}
	return page
}

// Read reads the events of a stream up to the last one that is there when it
// begins, each with its record; see [As]. An error is the last thing that it
// gives, with a zero record: a [*StreamError] if the stream does not exist or was
// deleted, or an error of the database or the context. A record that cannot be
// decoded is none of these: see [Record.Err].
//
// No connection is held while the loop's body runs. The loop can be left at any
// time; ranging again reads anew.
func (s *Store) Read(ctx context.Context, stream string, opts ...ReadOption) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		if err := s.read(ctx, stream, opts, func(r Record) bool { return yield(r, nil) }); err != nil {
			yield(Record{}, err)
		}
	}
}

func (s *Store) read(ctx context.Context, stream string, opts []ReadOption, yield func(Record) bool) error {
	var set readSettings
	set.query.Stream = stream
	for _, o := range opts {
		if o == nil {
			return &InvalidError{What: "option of Read", Reason: "is nil"}
		}
		o.applyRead(&set)
	}
	if set.err != nil {
		return set.err
	}
	q, left := set.query, set.limit
	q.Limit = pageSize(set.page, left)
	dec := s.decoder(ctx)
	page, err := s.streamPage(ctx, q)
	if err != nil {
		return err
	}
	head, closing := page.Head, false // closing: all that was given is the event that closed the stream
	var next *ahead[driver.StreamPage]
	defer func() { next.stop() }()
	for {
		n := len(page.Records)
		if n == 0 && !page.End { // nobody may take it for a stream without events
			return fmt.Errorf("%w: a page of stream %q has no events, and is not the last", ErrCorrupt, stream)
		}
		more := !page.End
		if set.limit > 0 {
			left -= n
			more = more && left > 0
		}
		if more {
			last := page.Records[n-1].Version
			if q.From = last + 1; q.Backward {
				q.From = last - 1
			}
			more = q.From >= 1 && q.From <= head
		}
		if more {
			q.Limit = pageSize(set.page, left)
			next = fetchAhead(ctx, s, func(ctx context.Context) (driver.StreamPage, error) { return s.streamPage(ctx, q) })
		}
		for i := range page.Records {
			r := &page.Records[i]
			if r.Version > head { // came after the read began
				return nil
			}
			if !yield(dec.record(r)) {
				return nil
			}
		}
		closing = n == 1 && page.Records[0].Version == head && page.Records[0].Type == TypeDeleted
		if !more {
			return nil
		}
		if page, err = next.wait(); err != nil {
			return err
		}
		if q.Backward && closing && len(page.Records) == 0 {
			return nil // it was purged before
		}
		if q.Deleted && (len(page.Records) == 0 || page.Records[0].Version != q.From) {
			return &StreamError{Stream: stream, Err: ErrStreamDeleted} // purged since the page before
		}
	}
}

func (s *Store) streamPage(ctx context.Context, q driver.StreamQuery) (page driver.StreamPage, err error) {
	if err := ctx.Err(); err != nil {
		return page, err
	}
	if err := driver.Check(s.caps, q); err != nil {
		return page, err
	}
	err = s.call(ctx, Op{Name: "read", Stream: q.Stream}, func(ctx context.Context) (int, error) {
		page, err = s.drv.ReadStream(ctx, q)
		return len(page.Records), err
	})
	return page, err
}

// Version returns the last version of a stream, 0 if it does not exist. The
// error of a stream that was deleted is a [*StreamError].
func (s *Store) Version(ctx context.Context, stream string) (Version, error) {
	page, err := s.streamPage(ctx, driver.StreamQuery{Stream: stream, Backward: true, Limit: 1})
	if errors.Is(err, ErrStreamNotFound) {
		return 0, nil
	}
	return page.Head, err
}
