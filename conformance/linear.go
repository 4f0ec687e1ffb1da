package conformance

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/go-es/es/driver"
)

// streamOp is one call in a concurrent history, and what it returned.
type streamOp struct {
	stream   string
	kind     byte // 'a'ppend, 'd'elete, 'r'ead
	expected driver.Expected
	ids      []driver.ID
}

type streamOutcome struct {
	kind byte // 'o'k, 'c'onflict, 'm'issing, 'x' closed, '?' unknown
	head driver.Version
	last driver.ID // of a read: the id at the head
}

// streamState is a stream as its history made it.
type streamState struct {
	head   driver.Version
	last   driver.ID
	closed bool
}

// streamModel says which histories of single streams there may be.
var streamModel = porcupine.NondeterministicModel{
	Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
		by := map[string][]porcupine.Operation{}
		for _, op := range history {
			s := op.Input.(streamOp).stream
			by[s] = append(by[s], op)
		}
		var parts [][]porcupine.Operation
		for _, p := range by {
			parts = append(parts, p)
		}
		return parts
	},
	Init: func() []any { return []any{streamState{}} },
	Step: func(state, input, output any) []any {
		return stepStream(state.(streamState), input.(streamOp), output.(streamOutcome))
	},
	Equal: func(a, b any) bool { return a == b },
	DescribeOperation: func(input, output any) string {
		return describeStreamOp(input.(streamOp), output.(streamOutcome))
	},
}

// stepStream returns the states in which an operation may leave a stream; none
// if it cannot have returned what it did.
func stepStream(s streamState, op streamOp, out streamOutcome) []any {
	stay := []any{s}
	wrote := streamState{head: s.head + driver.Version(len(op.ids)), closed: op.kind == 'd'}
	if len(op.ids) > 0 {
		wrote.last = op.ids[len(op.ids)-1]
	}
	missing := op.kind == 'd' && s.head == 0
	holds := !s.closed && !missing && op.expected.Holds(s.head)
	switch out.kind {
	case 'o':
		switch {
		case op.kind == 'r' && !s.closed && s.head == out.head && s.last == out.last && s.head > 0:
			return stay
		case op.kind != 'r' && holds && out.head == wrote.head:
			return []any{wrote}
		}
	case 'c':
		if op.kind != 'r' && !s.closed && !missing && !holds {
			return stay
		}
	case 'm':
		if s.head == 0 && op.kind != 'a' {
			return stay
		}
	case 'x':
		if s.closed {
			return stay
		}
	case '?':
		if holds {
			return []any{s, wrote}
		}
		return stay
	}
	return nil
}

func describeStreamOp(op streamOp, out streamOutcome) string {
	what := map[byte]string{'a': "append", 'd': "delete", 'r': "read"}[op.kind]
	how := map[byte]string{'o': "ok", 'c': "conflict", 'm': "not found", 'x': "deleted", '?': "unknown"}[out.kind]
	switch {
	case op.kind != 'r':
		return fmt.Sprintf("%s %d, %v: %s, head %d", what, len(op.ids), op.expected, how, out.head)
	case out.kind == 'o':
		return fmt.Sprintf("read: head %d, id %s", out.head, short(out.last))
	}
	return "read: " + how
}

// checkLinearizable lets clients append, delete and read at random, and looks
// for an order of these calls that explains what they returned.
func checkLinearizable(t *test) {
	const workers, streams = 12, 4
	cs := t.openAll(4)
	perWorker := t.scale(60)
	var mu sync.Mutex
	var history []porcupine.Operation
	begin := time.Now()
	t.together(workers, func(i int) {
		rng := rand.New(rand.NewPCG(uint64(i), uint64(begin.UnixNano())))
		known := map[string]driver.Version{} // as this worker saw them last
		for n := range perWorker {
			c := cs[rng.IntN(len(cs))]
			op := streamOp{stream: fmt.Sprint("linear-", n*streams/perWorker, "-", rng.IntN(2)), kind: 'a'}
			switch k := rng.IntN(20); {
			case k < 8:
				op.kind = 'r'
			case k < 13:
				op.expected = driver.Exactly(known[op.stream])
			case k < 16:
				op.expected = driver.Any
			case k < 17:
				op.expected = driver.Exists
			case k < 19:
				op.expected = driver.Exactly(known[op.stream] + driver.Version(rng.IntN(2)))
			case n%15 == 14:
				op.kind, op.expected = 'd', driver.Exactly(known[op.stream])
			}
			o := porcupine.Operation{ClientId: i, Call: int64(time.Since(begin))}
			out := c.perform(&op, t.batch(1+rng.IntN(2)))
			o.Return = int64(time.Since(begin))
			if out.kind == '?' {
				o.Return = math.MaxInt64 // it may still happen
			}
			o.Input, o.Output = op, out
			if out.head > 0 {
				known[op.stream] = out.head
			}
			mu.Lock()
			history = append(history, o)
			mu.Unlock()
		}
	})
	if t.Failed() {
		return
	}
	switch porcupine.CheckOperationsTimeout(streamModel.ToModel(), history, 10*time.Second) {
	case porcupine.Illegal:
		t.broken("V5", "no order of the calls explains what they returned:\n%s", unexplained(history))
	case porcupine.Unknown:
		t.Logf("the histories of %d calls could not be judged within 10 seconds", len(history))
	}
	cs[0].whole(0)
}

// perform makes the call of an operation with n fresh ids, if it writes.
func (c *client) perform(op *streamOp, n int) streamOutcome {
	ctx := c.t.ctx
	var err error
	out := streamOutcome{kind: 'o'}
	switch op.kind {
	case 'r':
		var page driver.StreamPage
		page, err = c.ReadStream(ctx, driver.StreamQuery{Stream: op.stream, Backward: true, Limit: 1})
		if err == nil && len(page.Records) > 0 {
			out.head, out.last = page.Head, page.Records[0].ID
		}
	case 'd':
		req := deletion(op.stream, op.expected, driver.Tombstone)
		op.ids = []driver.ID{req.Record.ID}
		var a driver.Appended
		a, err = c.Delete(ctx, req)
		out.head = a.Last
	default:
		recs := records(n)
		for _, r := range recs {
			op.ids = append(op.ids, r.ID)
		}
		var res driver.AppendResult
		if res, err = c.Append(ctx, to(op.stream, op.expected, recs...)); err == nil {
			out.head = res.Parts[0].Last
		}
	}
	switch {
	case err == nil:
	case errors.Is(err, driver.ErrConflict):
		out.kind = 'c'
	case errors.Is(err, driver.ErrStreamNotFound):
		out.kind = 'm'
	case errors.Is(err, driver.ErrStreamDeleted):
		out.kind = 'x'
	case errors.Is(err, driver.ErrUnknownOutcome):
		out.kind = '?'
	default:
		c.t.wrong("V5", "%s on %q: %v", describeStreamOp(*op, out), op.stream, err)
	}
	return out
}

// unexplained lists the calls on a stream whose history cannot be, up to the one
// that cannot: of several such streams the one that takes the fewest calls.
func unexplained(history []porcupine.Operation) string {
	var shortest []porcupine.Operation
	for _, part := range streamModel.Partition(history) {
		if porcupine.CheckOperations(streamModel.ToModel(), part) {
			continue
		}
		slices.SortFunc(part, func(a, b porcupine.Operation) int { return cmp.Compare(a.Call, b.Call) })
		for n := 1; n <= len(part) && (shortest == nil || n < len(shortest)); n++ {
			// A call that began later explains nothing, if it began after those had returned.
			first := part[:n]
			if n < len(part) && slices.ContainsFunc(first, func(o porcupine.Operation) bool { return o.Return > part[n].Call }) {
				continue
			}
			if !porcupine.CheckOperations(streamModel.ToModel(), first) {
				shortest = first
				break
			}
		}
	}
	const most = 30
	shown := fmt.Sprintf("      stream %q, on which nothing was done before:\n", shortest[0].Input.(streamOp).stream)
	if len(shortest) > most {
		shown = fmt.Sprintf("      stream %q, the last of %d calls; those before can be explained:\n", shortest[0].Input.(streamOp).stream, len(shortest))
		shortest = shortest[len(shortest)-most:]
	}
	for _, op := range shortest {
		shown += fmt.Sprintf("        %6dµs to %6dµs, worker %d: %s\n", op.Call/1000, op.Return/1000, op.ClientId, describeStreamOp(op.Input.(streamOp), op.Output.(streamOutcome)))
	}
	return strings.TrimRight(shown, "\n")
}
