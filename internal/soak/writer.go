package soak

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/go-es/es/driver"
)

// writer is one of a process's writers. Before each append it writes down what it
// is about to do, and afterwards what it was told.
type writer struct {
	*worker
	n       int
	rng     *rand.Rand
	log     *journal
	seq     int    // the next append
	acked   int    // events
	own     string // a stream that nobody else writes to
	version driver.Version
	known   bool // version is the last one of own
	usual   time.Duration
	caps    driver.Caps
}

const sharedStreams = 6

// write appends until as many events are acknowledged as were asked for, those of
// earlier lives included.
func (w *worker) write(ctx context.Context, n int) error {
	wr := &writer{worker: w, n: n, rng: rand.New(rand.NewPCG(w.Seed, uint64(w.Life)<<32|uint64(w.Process)<<16|uint64(n))), usual: time.Millisecond, caps: w.store.Caps()}
	var h history
	log, err := openJournal(writerLog(w.Dir, w.Process, n), func(line string) (bool, error) {
		return h.line(line, func(string) int32 { return 0 })
	})
	if err != nil {
		return err
	}
	defer log.f.Close()
	wr.log, wr.seq = log, len(h.attempts)
	for _, a := range h.attempts {
		if a.state == 'a' {
			wr.acked += len(a.at)
		}
	}
	for wr.acked < w.Events {
		if err := wr.step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// strange writes down an error that no writer should get.
func (w *writer) strange(what string, err error) error {
	return w.log.write("x " + strings.ReplaceAll(fmt.Sprintf("append %d: %s: %v", w.seq-1, what, err), "\n", " "))
}

// step makes one append, or one group of them.
func (w *writer) step(ctx context.Context) error {
	if w.own == "" || w.rng.IntN(40) == 0 {
		w.own, w.version, w.known = fmt.Sprintf("own-%d-%d-%d", w.Process, w.n, w.seq), 0, true
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if w.cfg.Held != nil && w.rng.IntN(5) == 0 {
		return w.hold(ctx)
	}
	if g, ok := w.store.(driver.GroupAppender); ok && w.rng.IntN(6) == 0 {
		return w.group(ctx, g)
	}
	req, err := w.request(ctx)
	if err != nil {
		return w.strange("reading a stream's version", err)
	}
	kind := byte(single)
	if len(req.Parts) > 1 {
		kind = many
	}
	seq, err := w.begin(kind, req)
	if err != nil {
		return err
	}
	brief := w.rng.IntN(20) == 0
	if brief {
		ctx, cancel = context.WithTimeout(ctx, time.Duration(w.rng.Int64N(int64(2*w.usual))))
		defer cancel()
	}
	var res driver.AppendResult
	began := time.Now()
	err = retry(ctx, func() (err error) {
		res, err = w.store.Append(ctx, req)
		return err
	})
	if err == nil && !brief {
		w.usual = (7*w.usual + time.Since(began)) / 8
	}
	return w.outcome(seq, req, res, err, brief)
}

// records returns n records, without ids.
func (w *writer) records(n int) []driver.Record {
	if w.caps.MaxAppendEvents > 0 {
		n = min(n, w.caps.MaxAppendEvents)
	}
	return make([]driver.Record, n)
}

func (w *writer) shared() string { return fmt.Sprint("shared-", w.rng.IntN(sharedStreams)) }

// onOwn appends to the writer's own stream, at its version.
func (w *writer) onOwn(ctx context.Context, n int) (p driver.Part, err error) {
	if !w.known {
		if w.version, err = w.head(ctx, w.own); err != nil {
			return p, err
		}
	}
	w.known = false
	return driver.Part{Stream: w.own, Expected: driver.Exactly(w.version), Records: w.records(n)}, nil
}

// onShared appends to a shared stream, at the version that it had a moment ago.
func (w *writer) onShared(ctx context.Context, n int) (driver.Part, error) {
	stream := w.shared()
	v, err := w.head(ctx, stream)
	return driver.Part{Stream: stream, Expected: driver.Exactly(v), Records: w.records(n)}, err
}

// request returns an append of some kind.
func (w *writer) request(ctx context.Context) (driver.AppendRequest, error) {
	n := 1 + w.rng.IntN(10)
	var p driver.Part
	var err error
	switch k := w.rng.IntN(100); {
	case k < 40:
		p, err = w.onOwn(ctx, n)
	case k < 45:
		p, w.known = driver.Part{Stream: w.own, Expected: driver.Any, Records: w.records(n)}, false
	case k < 60:
		p = driver.Part{Stream: w.shared(), Expected: driver.Any, Records: w.records(n)}
	case k < 65:
		p = driver.Part{Stream: w.shared(), Expected: driver.Exists, Records: w.records(n)}
	case k < 75:
		p, err = w.onShared(ctx, n)
	case k < 82: // some others try the same
		p = driver.Part{Stream: fmt.Sprint("once-", w.seq/2), Expected: driver.NoStream, Records: w.records(n)}
	default:
		p, err = w.onOwn(ctx, 1+n/3)
		if err != nil || w.caps.MaxStreams < 2 || w.caps.MaxAppendEvents > 0 && w.caps.MaxAppendEvents < 10 {
			break
		}
		q := driver.Part{Stream: w.shared(), Expected: driver.Any, Records: w.records(1 + n/4)}
		if k >= 94 {
			q, err = w.onShared(ctx, 1+n/4)
		}
		parts := []driver.Part{p, q}
		if w.rng.IntN(2) == 0 {
			parts = []driver.Part{q, p}
		}
		return driver.AppendRequest{Parts: parts}, err
	}
	return driver.AppendRequest{Parts: []driver.Part{p}}, err
}

// head reads the last version of a stream.
func (w *writer) head(ctx context.Context, stream string) (v driver.Version, err error) {
	err = retry(ctx, func() error {
		page, err := w.store.ReadStream(ctx, driver.StreamQuery{Stream: stream, Backward: true, Limit: 1})
		v = page.Head
		return err
	})
	if errors.Is(err, driver.ErrStreamNotFound) {
		return 0, nil
	}
	return v, err
}

// begin gives the records of an append their ids, and writes it down.
func (w *writer) begin(kind byte, req driver.AppendRequest) (seq int, err error) {
	seq = w.seq
	w.seq++
	now := time.Now()
	o := origin{w.Process, w.n, seq, 0}
	for _, p := range req.Parts {
		for j := range p.Records {
			id := o.id()
			p.Records[j] = driver.Record{ID: id, Type: "soak", Encoding: "bytes", Data: payload(id), Time: now}
			o.index++
		}
	}
	err = w.log.write(begun(seq, now.UnixNano(), kind, req))
	w.counted()
	return seq, err
}

// outcome writes down what became of an append. What is not known is asked for
// half of the time, by sending it again.
func (w *writer) outcome(seq int, req driver.AppendRequest, res driver.AppendResult, err error, brief bool) error {
	if e, unknown := errors.AsType[*driver.UnknownOutcomeError](err); unknown {
		if err := w.log.write(fmt.Sprintf("u %d %d", seq, time.Now().UnixNano())); err != nil || w.rng.IntN(2) == 0 {
			return err
		}
		again, brief := driver.Rebase(req, e.Parts), false
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		var res driver.AppendResult
		err := retry(ctx, func() (err error) {
			res, err = w.store.Append(ctx, again)
			return err
		})
		if errors.Is(err, driver.ErrUnknownOutcome) {
			return nil
		}
		return w.outcome(seq, again, res, err, brief)
	}
	now := time.Now().UnixNano()
	switch {
	case err == nil:
		if err := w.log.write(acknowledged(seq, now, res)); err != nil {
			return err
		}
		return w.acknowledged(req, res)
	case errors.Is(err, driver.ErrConflict):
		return w.log.write(fmt.Sprintf("r %d %d conflict", seq, now))
	case brief && (errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)):
		return w.log.write(fmt.Sprintf("r %d %d context", seq, now))
	}
	if err := w.log.write(fmt.Sprintf("r %d %d error", seq, now)); err != nil {
		return err
	}
	return w.strange("Append", err)
}

// acknowledged takes in a success, and at times looks for it with another client.
func (w *writer) acknowledged(req driver.AppendRequest, res driver.AppendResult) error {
	for i, p := range req.Parts {
		w.acked += len(p.Records)
		if res.Parts == nil {
			continue // it was held, and its versions were not told
		}
		if p.Stream == w.own {
			w.version, w.known = res.Parts[i].Last, true
		}
		if w.rng.IntN(10) > 0 {
			continue
		}
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		var page driver.StreamPage
		err := retry(ctx, func() (err error) {
			page, err = w.other.ReadStream(ctx, driver.StreamQuery{Stream: p.Stream, From: res.Parts[i].Last, Limit: 1})
			return err
		})
		cancel()
		last := p.Records[len(p.Records)-1].ID
		if err == nil && (len(page.Records) == 0 || page.Records[0].ID != last) {
			err = fmt.Errorf("it is not there")
		}
		if err != nil {
			return w.strange(fmt.Sprintf("A5: another client reads version %d of stream %q, just acknowledged", res.Parts[i].Last, p.Stream), err)
		}
	}
	return nil
}

// hold makes an append in a transaction that stays open for a while. Half of them
// are rolled back, which is 8 % of all appends.
func (w *writer) hold(ctx context.Context) error {
	var hold time.Duration
	req, err := w.request(ctx)
	if k := w.rng.IntN(100); k < 1 { // for long only where nobody else waits
		hold = w.cfg.HeldFor
		req.Parts = []driver.Part{{Stream: w.own, Expected: driver.Any, Records: w.records(1 + w.rng.IntN(10))}}
		w.known = false
	} else if k < 10 {
		hold = min(w.cfg.HeldFor, 50*time.Millisecond)
	} else {
		hold = min(w.cfg.HeldFor, 3*time.Millisecond)
	}
	if err != nil {
		return w.strange("reading a stream's version", err)
	}
	seq, err := w.begin(held, req)
	if err != nil {
		return err
	}
	commit, rollback, err := w.cfg.Held(ctx, w.DSN, req)
	if err != nil {
		if driver.IsTransient(err) {
			return w.log.write(fmt.Sprintf("r %d %d transient", seq, time.Now().UnixNano()))
		}
		return w.outcome(seq, req, driver.AppendResult{}, err, false)
	}
	time.Sleep(time.Duration(w.rng.Int64N(int64(hold) + 1)))
	if w.rng.IntN(2) == 0 {
		rollback() // one that fails commits nothing either
		return w.log.write(fmt.Sprintf("r %d %d rolledback", seq, time.Now().UnixNano()))
	}
	if err := commit(); err != nil && !errors.Is(err, driver.ErrConflict) {
		return w.log.write(fmt.Sprintf("u %d %d", seq, time.Now().UnixNano()))
	} else {
		return w.outcome(seq, req, driver.AppendResult{}, err, false)
	}
}

// group makes a group of appends.
func (w *writer) group(ctx context.Context, g driver.GroupAppender) error {
	var reqs []driver.AppendRequest
	var seqs []int
	room := w.caps.MaxAppendEvents
	taken := map[string]bool{}
	for range 2 + w.rng.IntN(3) {
		req, err := w.request(ctx)
		if err != nil {
			return w.strange("reading a stream's version", err)
		}
		req.Parts = req.Parts[:1]
		p := req.Parts[0]
		if taken[p.Stream] || w.caps.MaxAppendEvents > 0 && len(p.Records) > room {
			continue
		}
		taken[p.Stream] = true
		room -= len(p.Records)
		seq, err := w.begin(group, req)
		if err != nil {
			return err
		}
		reqs, seqs = append(reqs, req), append(seqs, seq)
	}
	for i, o := range g.AppendGroup(ctx, reqs) {
		if driver.IsTransient(o.Err) {
			o.Err = retry(ctx, func() (err error) {
				o.Result, err = w.store.Append(ctx, reqs[i])
				return err
			})
		}
		if err := w.outcome(seqs[i], reqs[i], o.Result, o.Err, false); err != nil {
			return err
		}
	}
	return nil
}
