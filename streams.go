package es

import (
	"context"
	"fmt"
	"iter"

	"github.com/go-es/es/driver"
)

// ListOption narrows [Store.Streams].
type ListOption interface{ applyList(*listSettings) }

type listSettings struct {
	query       driver.ListQuery
	limit, page int
	err         error
}

type listOption func(*listSettings)

func (o listOption) applyList(s *listSettings) { o(s) }

func (o LimitOption) applyList(s *listSettings) {
	if err := o.apply(&s.limit, &s.page); err != nil {
		s.err = err
	}
}

// Prefix lists only streams whose name begins with it.
func Prefix(prefix string) ListOption {
	return listOption(func(s *listSettings) { s.query.Prefix = prefix })
}

// AfterStream begins after a name.
func AfterStream(name string) ListOption {
	return listOption(func(s *listSettings) { s.query.After = name })
}

// Streams lists the streams in byte order of their names, deleted ones too. An
// error is the last thing that it gives.
func (s *Store) Streams(ctx context.Context, opts ...ListOption) iter.Seq2[StreamInfo, error] {
	return func(yield func(StreamInfo, error) bool) {
		if err := s.list(ctx, opts, func(i StreamInfo) bool { return yield(i, nil) }); err != nil {
			yield(StreamInfo{}, err)
		}
	}
}

func (s *Store) list(ctx context.Context, opts []ListOption, yield func(StreamInfo) bool) error {
	var set listSettings
	for _, o := range opts {
		if o == nil {
			return &InvalidError{What: "option of Streams", Reason: "is nil"}
		}
		o.applyList(&set)
	}
	if set.err != nil {
		return set.err
	}
	q := set.query
	for left := set.limit; ; {
		q.Limit = pageSize(set.page, left)
		if err := driver.Check(s.caps, q); err != nil {
			return err
		}
		var page driver.ListPage
		err := s.call(ctx, Op{Name: "list"}, func(ctx context.Context) (int, error) {
			var err error
			page, err = s.drv.ListStreams(ctx, q)
			return 0, err
		})
		if err != nil {
			return err
		}
		for _, i := range page.Streams {
			if !yield(i) {
				return nil
			}
		}
		if page.End {
			return nil
		}
		if set.limit > 0 {
			if left -= len(page.Streams); left <= 0 {
				return nil
			}
		}
		if page.Next <= q.After {
			return fmt.Errorf("%w: the listing of streams does not go on after %q", ErrCorrupt, q.After)
		}
		q.After = page.Next
	}
}
