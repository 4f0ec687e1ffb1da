package es

import "context"

// ahead is the next page of a read, which is fetched while the caller is busy
// with the one before. It must be waited for or stopped.
type ahead[P any] struct {
	fetch  func(context.Context) (P, error)
	outer  context.Context // the caller's
	ctx    context.Context // which ends with stop, too
	cancel context.CancelFunc
	done   chan struct{} // closed when page and err are set; nil: fetch when it is waited for
	page   P
	err    error
	panics any // what the fetching panicked with
}

// fetchAhead begins to fetch a page. In a transaction of the caller's that waits
// until the page is wanted: only one may use it at a time.
func fetchAhead[P any](ctx context.Context, s *Store, fetch func(context.Context) (P, error)) *ahead[P] {
	a := &ahead[P]{fetch: fetch, outer: ctx}
	a.ctx, a.cancel = context.WithCancel(ctx)
	if !s.bare {
		a.done = make(chan struct{})
		go func() {
			defer close(a.done)
			defer func() { a.panics = recover() }()
			a.page, a.err = fetch(a.ctx)
		}()
	}
	return a
}

// wait returns the page, unless the caller's context has ended meanwhile. It
// panics as the fetching did.
func (a *ahead[P]) wait() (P, error) {
	if a.done == nil {
		a.page, a.err = a.fetch(a.ctx)
	} else {
		<-a.done
	}
	a.cancel()
	if a.panics != nil {
		panic(a.panics)
	}
	if err := a.outer.Err(); err != nil && a.err == nil {
		a.err = err
	}
	return a.page, a.err
}

// stop ends the fetching of a page that is not wanted; of one that was waited
// for, or of none, it does nothing.
func (a *ahead[P]) stop() {
	if a == nil {
		return
	}
	a.cancel()
	if a.done != nil {
		<-a.done
	}
}
