package driver

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
)

// Lines lets the appends of a process at [Any] to one stream stand in line, for a
// store on which they would refuse one another: while one is under way, others wait,
// and are then written as one commit. Appends to different streams do not wait for
// each other. It is not for a [GroupAppender], whose appends es puts together.
//
// It is for a store without Caps.PositionOnAppend: of a commit of several it tells no
// positions. The zero Lines is ready. Its methods may be called concurrently; it has no
// goroutine.
type Lines struct {
	mu sync.Mutex
	of map[string][]*inLine // a stream is here while an append to it is under way
}

// inLine is an append in a line.
type inLine struct {
	ctx   context.Context
	part  *Part
	ready chan struct{} // closed when group is set, or the append is done
	group []*inLine     // it writes for these, itself the first
	done  Appended
	err   error
}

// errAgain says that nothing was written for an append: another one's context ended.
var errAgain = errors.New("again")

// Append appends a part at Any. It calls write from the goroutine of one of its
// callers, with the part or with one that has the records of several, in order, as
// many as the limits of caps allow; an id may then occur twice in it. A call works for
// others at most once, when it writes its own records, too.
//
// write appends at Any, and keeps the promises of Append for the part that it is given
// (U1 to U5). The versions of each of several, or its base where the outcome is
// unknown, follow from those of the whole; another error is that of all. Of several,
// the context ends when that of the first does: if write returns context.Canceled then,
// and nothing was written, the others begin again.
func (l *Lines) Append(ctx context.Context, caps Caps, p *Part, write func(ctx context.Context, p *Part) (Appended, error)) (Appended, error) {
	for {
		w := &inLine{ctx: ctx, part: p, ready: make(chan struct{})}
		if !l.stand(w) {
			w.group = []*inLine{w}
		} else if err := l.wait(w); err != nil {
			return Appended{}, err
		}
		if w.group != nil {
			l.lead(w, caps, write)
		}
		if w.err != errAgain {
			return w.done, w.err
		}
	}
}

// lead writes for a group, and lets the next one do so, also if write panics.
func (l *Lines) lead(w *inLine, caps Caps, write func(ctx context.Context, p *Part) (Appended, error)) {
	defer l.next(w.part.Stream, caps)
	w.write(write)
}

// stand puts an append in line, or returns false if there is no line.
func (l *Lines) stand(w *inLine) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if line, busy := l.of[w.part.Stream]; busy {
		l.of[w.part.Stream] = append(line, w)
		return true
	}
	if l.of == nil {
		l.of = map[string][]*inLine{}
	}
	l.of[w.part.Stream] = nil
	return false
}

// wait waits for an append's turn. One that is being written ends soon after its
// context: see write.
func (l *Lines) wait(w *inLine) error {
	select {
	case <-w.ready:
		return nil
	case <-w.ctx.Done():
	}
	l.mu.Lock()
	line := l.of[w.part.Stream]
	i := slices.Index(line, w)
	if i >= 0 {
		l.of[w.part.Stream] = slices.Delete(line, i, i+1)
	}
	l.mu.Unlock()
	if i >= 0 {
		return w.ctx.Err()
	}
	<-w.ready
	return nil
}

// next lets the first in line write for as many as fit into one commit.
func (l *Lines) next(stream string, caps Caps) {
	l.mu.Lock()
	defer l.mu.Unlock()
	line := l.of[stream]
	if len(line) == 0 {
		delete(l.of, stream)
		return
	}
	n, events, bytes := 0, 0, 0
	for _, w := range line {
		events += len(w.part.Records)
		for i := range w.part.Records {
			bytes += Size(&w.part.Records[i])
		}
		over := caps.MaxAppendEvents > 0 && events > caps.MaxAppendEvents || caps.MaxAppendBytes > 0 && bytes > caps.MaxAppendBytes
		if n > 0 && over {
			break
		}
		n++
	}
	l.of[stream] = slices.Clone(line[n:])
	line[0].group = line[:n:n]
	close(line[0].ready)
}

// write writes one commit for a group. What is sent is settled although the context
// has ended, so that nobody is told that nothing was written when it was.
func (w *inLine) write(write func(ctx context.Context, p *Part) (Appended, error)) {
	if len(w.group) == 1 {
		w.done, w.err = write(w.ctx, w.part)
		return
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(w.ctx))
	defer cancel()
	all := Part{Stream: w.part.Stream, Expected: Any}
	for _, m := range w.group {
		defer context.AfterFunc(m.ctx, cancel)()
		all.Records = append(all.Records, m.part.Records...)
	}
	done, err := Appended{}, fmt.Errorf("%w of a write to %q: it panicked", ErrUnknownOutcome, all.Stream)
	defer func() { w.tell(done, err) }()
	done, err = write(ctx, &all)
}

// tell tells the members of a group what became of their commit.
func (w *inLine) tell(done Appended, err error) {
	unknown, unsure := errors.AsType[*UnknownOutcomeError](err)
	var before Version
	for _, m := range w.group {
		n := Version(len(m.part.Records))
		switch {
		case err == nil:
			m.done = Appended{First: done.First + before, Last: done.First + before + n - 1}
		case unsure && len(unknown.Parts) != 1:
			m.err = err
		case unsure:
			base := unknown.Parts[0].Base + before
			m.err = &UnknownOutcomeError{Parts: []UnknownPart{{Stream: w.part.Stream, Base: base}}, Err: unknown.Err}
		case errors.Is(err, context.Canceled) && m.ctx.Err() == nil:
			m.err = errAgain
		case errors.Is(err, context.Canceled):
			m.err = m.ctx.Err()
		default:
			m.err = err
		}
		before += n
		if m != w {
			close(m.ready)
		}
	}
}
