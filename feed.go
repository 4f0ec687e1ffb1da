package es

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/go-es/es/driver"
)

// FeedOption narrows [Store.ReadAll], [Store.Subscribe] and [Store.Pages].
type FeedOption interface{ applyFeed(*feedSettings) }

type feedSettings struct {
	after  Position
	seen   driver.Seen
	filter driver.Filter
	limit  int // 0: none
	page   int
	err    error
}

type feedOption func(*feedSettings)

func (o feedOption) applyFeed(s *feedSettings) { o(s) }

// After begins after a position that the feed gave; 0 is the beginning. After a
// position of an append, or of [Store.Head], events that were being written at
// that time may be missed.
func After(p Position) FeedOption {
	return feedOption(func(s *feedSettings) { s.after, s.seen = p, driver.Seen{} })
}

// Resume begins where a checkpoint is. If the store no longer has the event that
// the checkpoint saw last, because it was restored, failed over or replaced, the
// read fails with [ErrCheckpointAhead], and never skips anything silently.
func Resume(cp Checkpoint) FeedOption {
	return feedOption(func(s *feedSettings) {
		s.after, s.seen = cp.Position, driver.Seen{Position: cp.SeenAt, ID: cp.SeenID}
	})
}

// Types lets only events of these types through. Several Types add up, as several
// Prefixes do; of several After and Resume the last one counts.
func Types(types ...string) FeedOption {
	return feedOption(func(s *feedSettings) {
		s.filter.Types = append(s.filter.Types, types...)
		if len(types) == 0 {
			s.err = &InvalidError{What: "Types", Reason: "has no type"}
		}
	})
}

// Prefixes lets only events of streams through whose name begins with one of
// these, such as "account-".
func Prefixes(prefixes ...string) FeedOption {
	return feedOption(func(s *feedSettings) {
		s.filter.Prefixes = append(s.filter.Prefixes, prefixes...)
		if len(prefixes) == 0 {
			s.err = &InvalidError{What: "Prefixes", Reason: "has no prefix"}
		}
	})
}

func (o LimitOption) applyFeed(s *feedSettings) {
	if err := o.apply(&s.limit, &s.page); err != nil {
		s.err = err
	}
}

// Page is a piece of the feed, and how far it goes.
type Page struct {
	Events   []Record
	Next     Position // everything up to here was read, also what a filter held back
	CaughtUp bool     // there was nothing after it

	seen driver.Seen
}

// Checkpoint returns the checkpoint cp moved to the end of the page.
func (p Page) Checkpoint(cp Checkpoint) Checkpoint {
	cp.Position = p.Next
	cp.SeenAt, cp.SeenID = p.seen.Position, p.seen.ID
	return cp
}

// ReadAll reads the feed: the events of all streams in the one order of the
// store, to its end, none left out, none twice. Within a stream they come in the
// order of their versions. An error is the last thing that it gives. See
// [Store.Read] for what holds of the loop.
//
// Without Caps.PositionOnAppend events get their positions when the feed is read, and
// the end comes after all that this process has appended. What another one has appended
// a moment ago may come after it: see [Store.Settled]. In a transaction of the caller's
// (see [Store.With]) the feed may stop before events of others that are being written,
// and a read waits for them: give it a context that ends.
func (s *Store) ReadAll(ctx context.Context, opts ...FeedOption) iter.Seq2[Record, error] {
	return s.events(ctx, opts, false)
}

// Subscribe reads the feed as [Store.ReadAll] does and goes on with what comes:
// it ends with the context's error, with ErrClosed when the store closes, or
// with an error of the database that lasts longer than [RetryFor].
func (s *Store) Subscribe(ctx context.Context, opts ...FeedOption) iter.Seq2[Record, error] {
	return s.events(ctx, opts, true)
}

func (s *Store) events(ctx context.Context, opts []FeedOption, live bool) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		dec := s.decoder(ctx)
		err := s.follow(ctx, opts, live, func(records []driver.Record, _ Page) bool {
			for i := range records {
				if !yield(dec.record(&records[i]), nil) {
					return false
				}
			}
			return true
		})
		if err != nil {
			yield(Record{}, err)
		}
	}
}

// Pages reads the feed as [Store.Subscribe] does, page by page: a batch of events
// and the checkpoint to keep with what was made of them. A page is empty only if
// Next moved, past events that a filter held back, or if CaughtUp became true.
// Leave the loop at CaughtUp to stop at the end.
func (s *Store) Pages(ctx context.Context, opts ...FeedOption) iter.Seq2[Page, error] {
	return func(yield func(Page, error) bool) {
		dec := s.decoder(ctx)
		err := s.follow(ctx, opts, true, func(records []driver.Record, page Page) bool {
			page.Events = make([]Record, len(records))
			for i := range records {
				page.Events[i] = dec.record(&records[i])
			}
			return yield(page, nil)
		})
		if err != nil {
			yield(Page{}, err)
		}
	}
}

// follow reads the feed page by page, to its end or for ever. It returns nil when
// yield returns false, when the limit is reached and, unless live, at the end.
func (s *Store) follow(ctx context.Context, opts []FeedOption, live bool, yield func([]driver.Record, Page) bool) error {
	var set feedSettings
	for _, o := range opts {
		if o == nil {
			return &InvalidError{What: "option of a feed", Reason: "is nil"}
		}
		o.applyFeed(&set)
	}
	if set.err == nil {
		set.err = driver.CheckFilter(set.filter)
	}
	if set.err != nil {
		return set.err
	}
	w := waitFeed{store: s}
	if live && s.hub != nil {
		leave, err := s.hub.join()
		if err != nil {
			return err
		}
		defer leave()
	}
	q := driver.FeedQuery{After: set.after, Seen: set.seen}
	here := !set.filter.IsZero() // filter in this process
	if s.caps.FilterFeed {
		q.Filter, here = set.filter, false
	}
	left := set.limit
	q.Limit = set.page
	if !here {
		q.Limit = pageSize(set.page, left)
	}
	caught := false
	var following *ahead[driver.FeedPage]
	defer func() { following.stop() }()
	var news <-chan struct{} // watched since before the page was read
	for {
		var page driver.FeedPage
		var err error
		if following != nil {
			page, err = following.wait()
			following = nil
		} else {
			news = w.watch(live)
			page, err = s.feedPage(ctx, q)
		}
		if err != nil {
			return err
		}
		if err := sane(&page, q.After); err != nil {
			return err
		}
		moved := page.Next > q.After
		q.After = page.Next
		n := len(page.Records)
		if page.Seen.Position > q.Seen.Position {
			q.Seen = page.Seen
		} else if n > 0 {
			q.Seen = driver.Seen{Position: page.Records[n-1].Position, ID: page.Records[n-1].ID}
		}
		next := Page{Next: page.Next, CaughtUp: page.End, seen: q.Seen}
		records := page.Records
		if here {
			records = matching(records, set.filter)
		}
		if set.limit > 0 && len(records) >= left {
			if len(records) > left { // filtered in this process: the page goes further than wanted
				records = records[:left]
				last := &records[left-1]
				next = Page{Next: last.Position, seen: driver.Seen{Position: last.Position, ID: last.ID}}
			}
			yield(records, next)
			return nil
		}
		if set.limit > 0 {
			if left -= len(records); !here {
				q.Limit = pageSize(set.page, left)
			}
		}
		if moved && !page.End {
			q := q
			news = w.watch(live)
			following = fetchAhead(ctx, s, func(ctx context.Context) (driver.FeedPage, error) { return s.feedPage(ctx, q) })
		}
		if len(records) > 0 || moved || page.End && !caught {
			if !yield(records, next) {
				return nil
			}
		}
		caught = page.End
		switch {
		case page.End && !live:
			return nil
		case page.End:
			err = w.rest(ctx, news, moved)
		case !moved:
			err = w.heldBack(ctx)
		default:
			w.idle, w.held = 0, 0
		}
		if err != nil {
			return err
		}
	}
}

// sane refuses a page that the driver must not give.
func sane(page *driver.FeedPage, after Position) error {
	if page.Seen.Position > page.Next {
		return fmt.Errorf("%w: the feed says that it was seen to position %d, and goes to %d", ErrCorrupt, page.Seen.Position, page.Next)
	}
	if page.Next < after {
		return fmt.Errorf("%w: the feed went back from position %d to %d", ErrCorrupt, after, page.Next)
	}
	if n := len(page.Records); n > 0 && (page.Records[0].Position <= after || page.Records[n-1].Position > page.Next) {
		return fmt.Errorf("%w: the feed after position %d and up to %d gave the positions %d to %d", ErrCorrupt, after, page.Next, page.Records[0].Position, page.Records[n-1].Position)
	}
	return nil
}

func matching(records []driver.Record, f driver.Filter) []driver.Record {
	out := records[:0]
	for _, r := range records {
		if f.Match(&r) {
			out = append(out, r)
		}
	}
	return out
}

func (s *Store) feedPage(ctx context.Context, q driver.FeedQuery) (page driver.FeedPage, err error) {
	if err := ctx.Err(); err != nil {
		return page, err
	}
	if err := driver.Check(s.caps, q); err != nil {
		return page, err
	}
	err = s.call(ctx, Op{Name: "feed", Position: q.After}, func(ctx context.Context) (int, error) {
		page, err = s.drv.ReadAll(ctx, q)
		return len(page.Records), err
	})
	if errors.Is(err, ErrCheckpointAhead) {
		err = fmt.Errorf("%w (the read goes on after position %d)", err, q.After)
	}
	return page, err
}

const (
	firstPoll   = 10 * time.Millisecond
	lastHeld    = 100 * time.Millisecond
	defaultPoll = 500 * time.Millisecond
	woken       = 5 * time.Second // where the driver sends wake-ups
)

// mostPoll is how long a subscription waits at most; it changes when the driver
// turns out not to send wake-ups.
func (s *Store) mostPoll() time.Duration {
	if s.poll > 0 {
		return s.poll
	}
	if _, ok := s.drv.(driver.Notifier); ok && s.hub != nil && !s.hub.deaf.Load() {
		return woken
	}
	return defaultPoll
}

// waitFeed is how a reader of the feed waits: at the end for news, or at most a
// time that doubles while nothing comes; before something held back for a
// moment that doubles as well.
type waitFeed struct {
	store      *Store
	idle, held time.Duration // the last pauses
	timer      *time.Timer
}

func (w *waitFeed) watch(live bool) <-chan struct{} {
	if w.store.hub == nil || !live {
		return nil
	}
	return w.store.hub.watch()
}

func (w *waitFeed) heldBack(ctx context.Context) error {
	w.idle = 0
	w.held = min(max(2*w.held, time.Millisecond), lastHeld)
	return sleep(ctx, w.held)
}

func (w *waitFeed) rest(ctx context.Context, news <-chan struct{}, moved bool) error {
	w.held = 0
	if moved {
		w.idle = 0
	}
	w.idle = min(max(2*w.idle, firstPoll), w.store.mostPoll())
	if w.timer == nil {
		w.timer = time.NewTimer(w.idle)
	} else {
		w.timer.Reset(w.idle)
	}
	defer w.timer.Stop()
	var closing chan struct{}
	if w.store.hub != nil {
		closing = w.store.hub.closing
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-closing:
		return ErrClosed
	case <-news:
		w.idle = 0 // what was announced may come a moment later
	case <-w.timer.C:
	}
	return nil
}

// Head returns a position at or above that of every event that was read from the
// feed or whose append returned one; reading the feed reaches it.
func (s *Store) Head(ctx context.Context) (p Position, err error) {
	err = s.call(ctx, Op{Name: "head"}, func(ctx context.Context) (int, error) {
		p, err = s.drv.Head(ctx)
		return 0, err
	})
	return p, err
}

// Settled returns up to which version the events of a stream have positions, so that a
// reader of the feed comes to them. A program that must not go on before a projection
// has what it wrote asks until Settled has reached that version, reads [Store.Head], and
// waits until the projection's checkpoint is there. Where Caps.PositionOnAppend, it is
// the stream's last version at once.
func (s *Store) Settled(ctx context.Context, stream string) (v Version, err error) {
	if err := driver.CheckName("stream", stream); err != nil {
		return 0, err
	}
	err = s.call(ctx, Op{Name: "settled", Stream: stream}, func(ctx context.Context) (int, error) {
		v, err = driver.Settled(ctx, s.drv, stream)
		return 0, err
	})
	return v, err
}
