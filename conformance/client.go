package conformance

import (
	"context"
	"errors"
	"sync/atomic"

	"github.com/go-es/es/driver"
)

// client is a store as the checks call it: requests pass driver.Check, transient
// errors are tried again, and every call is traced and looked at.
type client struct {
	t   *test
	s   driver.Store
	dsn string
	n   int // its number in the trace
	log *feedLog

	closed atomic.Bool // Close was called

	// faulty says that calls may fail in ways that no sentence foresees.
	faulty bool

	inTx bool // it is in a transaction
}

// call makes one call of a store, if request passes Check.
func call[R any](ctx context.Context, c *client, name string, args any, f func() (R, error)) (result R, err error) {
	if r, ok := args.(driver.Request); ok {
		if err := driver.Check(c.t.caps, r); err != nil {
			c.t.trace.add(traced{c.n, name + " refused by Check", args, nil, err})
			return result, err
		}
	}
	err = retry(ctx, func() error {
		result, err = f()
		c.t.trace.add(traced{c.n, name, args, result, err})
		c.lookAtTransient(name, err)
		return err
	})
	c.lookAtError(ctx, name, err)
	return result, err
}

func (c *client) Append(ctx context.Context, req driver.AppendRequest) (driver.AppendResult, error) {
	w := c.log.writing(c.n, "Append", c.t.now(), req.Parts...)
	res, err := call(ctx, c, "Append", req, func() (driver.AppendResult, error) { return c.s.Append(ctx, req) })
	c.log.written(w, c.t.now(), err)
	if err == nil {
		c.lookAtAppend(req, res)
		for _, p := range req.Parts {
			if at, closed := c.log.closedBefore(p.Stream, w.begin); closed && len(p.Records) > 0 {
				c.t.wrong("D1", "a delete of stream %.60q was acknowledged at %s, and Append(%s), called after that, returned %s", p.Stream, us(at), brief(req), brief(res))
			}
		}
	}
	c.lookAtRefusal(err, req.Parts...)
	return res, err
}

func (c *client) AppendGroup(ctx context.Context, reqs []driver.AppendRequest) []driver.Outcome {
	for _, req := range reqs {
		if err := driver.Check(c.t.caps, req); err != nil {
			c.t.Fatalf("a check formed a group that Check refuses: %v", err)
		}
	}
	ws := make([]*write, len(reqs))
	for i, req := range reqs {
		ws[i] = c.log.writing(c.n, "AppendGroup", c.t.now(), req.Parts...)
	}
	outs := c.s.(driver.GroupAppender).AppendGroup(ctx, reqs)
	c.t.trace.add(traced{c.n, "AppendGroup", reqs, outs, nil})
	if len(outs) != len(reqs) {
		c.t.broken("G1", "%d outcomes for %d requests", len(outs), len(reqs))
	}
	for i, o := range outs {
		c.log.written(ws[i], c.t.now(), o.Err)
		c.lookAtError(ctx, "AppendGroup", o.Err)
		if o.Err == nil {
			c.lookAtAppend(reqs[i], o.Result)
		}
		c.lookAtRefusal(o.Err, reqs[i].Parts...)
	}
	return outs
}

func (c *client) ReadStream(ctx context.Context, q driver.StreamQuery) (driver.StreamPage, error) {
	begin := c.t.now()
	page, err := call(ctx, c, "ReadStream", q, func() (driver.StreamPage, error) { return c.s.ReadStream(ctx, q) })
	if err == nil {
		c.lookAtStream(q, page, begin)
	}
	c.lookAtRefusal(err, driver.Part{Stream: q.Stream})
	return page, err
}

func (c *client) ReadAll(ctx context.Context, q driver.FeedQuery) (driver.FeedPage, error) {
	begin := c.t.now()
	page, err := call(ctx, c, "ReadAll", q, func() (driver.FeedPage, error) { return c.s.ReadAll(ctx, q) })
	if err == nil {
		c.lookAtFeed(q, page, begin, c.t.now())
	}
	return page, err
}

func (c *client) Head(ctx context.Context) (driver.Position, error) {
	before := c.log.high.Load()
	head, err := call(ctx, c, "Head", nil, func() (driver.Position, error) { return c.s.Head(ctx) })
	if err == nil && uint64(head) < before {
		c.t.wrong("F13", "Head is %d, and before that a position or a Next of %d was returned", head, before)
	}
	return head, err
}

func (c *client) ListStreams(ctx context.Context, q driver.ListQuery) (driver.ListPage, error) {
	page, err := call(ctx, c, "ListStreams", q, func() (driver.ListPage, error) { return c.s.ListStreams(ctx, q) })
	if err == nil {
		c.lookAtList(q, page)
	}
	return page, err
}

func (c *client) Delete(ctx context.Context, req driver.DeleteRequest) (driver.Appended, error) {
	if req.Mode == driver.Purge {
		c.log.purging(req.Stream)
	}
	w := c.log.writing(c.n, "Delete", c.t.now(), driver.Part{Stream: req.Stream, Records: []driver.Record{req.Record}})
	a, err := call(ctx, c, "Delete", req, func() (driver.Appended, error) { return c.s.Delete(ctx, req) })
	c.log.written(w, c.t.now(), err)
	if err == nil {
		c.lookAtDelete(req, a)
	}
	c.lookAtRefusal(err, driver.Part{Stream: req.Stream, Expected: req.Expected, Records: []driver.Record{req.Record}})
	return a, err
}

func (c *client) Ping(ctx context.Context) error {
	_, err := call(ctx, c, "Ping", nil, func() (any, error) { return nil, c.s.Ping(ctx) })
	return err
}

func (c *client) Settled(ctx context.Context, stream string) (driver.Version, error) {
	return call(ctx, c, "Settled", stream, func() (driver.Version, error) { return driver.Settled(ctx, c.s, stream) })
}

func (c *client) LoadCheckpoint(ctx context.Context, name string) (driver.Checkpoint, error) {
	return call(ctx, c, "LoadCheckpoint", name, func() (driver.Checkpoint, error) {
		return c.s.(driver.CheckpointStore).LoadCheckpoint(ctx, name)
	})
}

func (c *client) SaveCheckpoint(ctx context.Context, cp driver.Checkpoint, prev driver.Revision) error {
	_, err := call(ctx, c, "SaveCheckpoint", cp, func() (any, error) {
		return nil, c.s.(driver.CheckpointStore).SaveCheckpoint(ctx, cp, prev)
	})
	return err
}

func (c *client) ListCheckpoints(ctx context.Context, q driver.CheckpointQuery) (driver.CheckpointPage, error) {
	return call(ctx, c, "ListCheckpoints", q, func() (driver.CheckpointPage, error) {
		return c.s.(driver.CheckpointStore).ListCheckpoints(ctx, q)
	})
}

func (c *client) DeleteCheckpoint(ctx context.Context, name string) error {
	_, err := call(ctx, c, "DeleteCheckpoint", name, func() (any, error) {
		return nil, c.s.(driver.CheckpointStore).DeleteCheckpoint(ctx, name)
	})
	return err
}

func (c *client) LoadSnapshot(ctx context.Context, stream, kind string) (driver.Snapshot, error) {
	return call(ctx, c, "LoadSnapshot", [2]string{stream, kind}, func() (driver.Snapshot, error) {
		return c.s.(driver.SnapshotStore).LoadSnapshot(ctx, stream, kind)
	})
}

func (c *client) SaveSnapshot(ctx context.Context, s driver.Snapshot) error {
	_, err := call(ctx, c, "SaveSnapshot", s, func() (any, error) {
		return nil, c.s.(driver.SnapshotStore).SaveSnapshot(ctx, s)
	})
	return err
}

func (c *client) DeleteSnapshot(ctx context.Context, stream, kind string) error {
	_, err := call(ctx, c, "DeleteSnapshot", [2]string{stream, kind}, func() (any, error) {
		return nil, c.s.(driver.SnapshotStore).DeleteSnapshot(ctx, stream, kind)
	})
	return err
}

// Close closes the store; the check asks for that in the middle.
func (c *client) Close() error {
	err := c.s.Close()
	c.closed.Store(true)
	c.t.trace.add(traced{c.n, "Close", nil, nil, err})
	return err
}

// lookAtTransient checks that an error which says that the call may be made
// again is not one that says why not.
func (c *client) lookAtTransient(name string, err error) {
	if !driver.IsTransient(err) {
		return
	}
	if c.inTx {
		c.t.wrong("K6", "%s in a transaction: an error that is transient, as if the call could be made again: %v", name, err)
	}
	for _, s := range []error{driver.ErrConflict, driver.ErrStreamNotFound, driver.ErrStreamDeleted, driver.ErrInvalid, driver.ErrTooLarge, driver.ErrCheckpointAhead, driver.ErrCheckpointConflict, driver.ErrCorrupt, driver.ErrSchema, driver.ErrClosed, errors.ErrUnsupported} {
		if errors.Is(err, s) {
			c.t.wrong("E1", "%s: an error that is transient and %q: %v", name, s, err)
		}
	}
}

// lookAtError checks an error that a store returned: that it is one of the
// contract's, in its full form.
func (c *client) lookAtError(ctx context.Context, name string, err error) {
	if err == nil || c.faulty {
		return
	}
	known := driver.IsTransient(err) ||
		errors.Is(err, context.Canceled) && ctx.Err() != nil || errors.Is(err, context.DeadlineExceeded) && ctx.Err() != nil
	for _, s := range []error{driver.ErrClosed, driver.ErrCheckpointAhead, driver.ErrCheckpointConflict, errors.ErrUnsupported} {
		known = known || errors.Is(err, s)
	}
	typed := []struct {
		sentinel error
		as       bool
	}{
		{driver.ErrConflict, is[*driver.ConflictError](err)},
		{driver.ErrStreamNotFound, is[*driver.StreamError](err)},
		{driver.ErrStreamDeleted, is[*driver.StreamError](err)},
		{driver.ErrInvalid, is[*driver.InvalidError](err)},
		{driver.ErrTooLarge, is[*driver.TooLargeError](err)},
		{driver.ErrUnknownOutcome, is[*driver.UnknownOutcomeError](err)},
		{driver.ErrSchema, is[*driver.SchemaError](err)},
		{driver.ErrCorrupt, true},
	}
	for _, k := range typed {
		if errors.Is(err, k.sentinel) {
			if !k.as {
				c.t.wrong("E1", "%s: an error that is %q, and not of its type: %T: %v", name, k.sentinel, err, err)
			}
			known = true
		}
	}
	if !known {
		c.t.wrong("E1", "%s: an error that is none of the contract's: %T: %v", name, err, err)
	}
}

func is[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}
