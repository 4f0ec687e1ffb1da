package dynamodb

import (
	"context"
	"errors"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/go-es/es/driver"
)

// several is an append to several streams.
type several struct {
	s       *Store
	req     driver.AppendRequest
	bases   []driver.Version // at which each part is sent
	writer  writer
	commits []*commit // of the parts with records, nil for the others
}

// appendStreams appends to several streams in one transaction, at exact versions. A
// part without records is a condition that nothing follows its version.
func (s *Store) appendStreams(ctx context.Context, req driver.AppendRequest) (driver.AppendResult, error) {
	a := &several{s: s, req: req, bases: make([]driver.Version, len(req.Parts)), writer: newWriter()}
	if !a.guess() {
		if done, result, err := a.look(ctx); done {
			return result, err
		}
	}
	for tries := 1; ; tries++ {
		done, err := a.send(ctx)
		if err != nil {
			return driver.AppendResult{}, err
		}
		if done {
			return a.result(), nil
		}
		// From here on, no request that was sent can be carried out any more. An
		// earlier call of the same append may have been.
		lctx, cancel := s.outlive(ctx)
		done, result, err := a.look(lctx)
		cancel()
		if done {
			if err != nil && !decided(err) {
				err = a.unknown(&unsureError{err})
			}
			return result, err
		}
		if err := pause(ctx, tries); err != nil {
			return driver.AppendResult{}, err
		}
	}
}

// guess takes the versions to send at from what is known already.
func (a *several) guess() bool {
	for i := range a.req.Parts {
		p := &a.req.Parts[i]
		known, ok := a.s.heads.get(p.Stream)
		v, exact := p.Expected.Exact()
		switch {
		case exact && (v == 0 || v == known):
			a.bases[i] = v
		case !exact && ok:
			a.bases[i] = known
		default:
			return false
		}
	}
	return true
}

// look reads the last commits of all streams, and says whether the append is decided
// by them. If not, it has the versions to send at.
func (a *several) look(ctx context.Context) (done bool, result driver.AppendResult, err error) {
	states := make([]driver.StreamState, len(a.req.Parts))
	err = parallel(len(states), 16, func(i int) error {
		tail, err := a.s.tail(ctx, a.req.Parts[i].Stream)
		states[i] = tail.state()
		return err
	})
	if err != nil {
		return true, result, err
	}
	write, result, err := driver.Decide(a.req, states, func(i int) (driver.Position, bool, error) {
		p := &a.req.Parts[i]
		base, _ := p.Expected.Exact()
		ok, err := a.s.holds(ctx, p.Stream, base, p.Records)
		return 0, ok, err
	})
	for i := range states {
		a.bases[i] = states[i].Head
	}
	return !write || err != nil, result, err
}

// send sends the transaction. It returns false if it was refused for good.
func (a *several) send(ctx context.Context) (bool, error) {
	// The request is built once: with the same token, it must not differ. DynamoDB
	// remembers a token for ten minutes.
	in := &dynamodb.TransactWriteItemsInput{ClientRequestToken: newToken()}
	a.commits = make([]*commit, len(a.req.Parts))
	for i := range a.req.Parts {
		p := &a.req.Parts[i]
		if len(p.Records) == 0 {
			in.TransactItems = append(in.TransactItems, types.TransactWriteItem{ConditionCheck: &types.ConditionCheck{
				TableName: a.s.table, ConditionExpression: aws.String(notThere),
				Key: keyOf(streamKey(p.Stream), ordered(uint64(a.bases[i]+1))),
			}})
			continue
		}
		c := newCommit(p.Stream, a.bases[i], p.Records, a.writer)
		a.commits[i] = c
		in.TransactItems = append(in.TransactItems, types.TransactWriteItem{Put: &types.Put{
			TableName: a.s.table, Item: c.item(), ConditionExpression: aws.String(notThere),
			ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
		}})
	}
	err := a.s.write(ctx, func(ctx context.Context) error {
		_, err := a.s.once.TransactWriteItems(ctx, in)
		if _, differs := errors.AsType[*types.IdempotentParameterMismatchException](err); differs {
			// Whatever it takes for a difference: the conditions do without a token.
			in.ClientRequestToken = newToken()
		}
		return err
	})
	if r, refused := err.(*refusedError); refused {
		if err = a.own(ctx, r); err == errOther {
			return false, nil
		}
	}
	if err != nil {
		return false, a.unknown(err)
	}
	for _, c := range a.commits {
		if c != nil {
			a.s.stored(c)
		}
	}
	return true, nil
}

func newToken() *string { return aws.String(driver.ID(newWriter()).String()) }

// errOther says that a transaction was not carried out, by any request.
var errOther = &refusedError{err: driver.ErrConflict}

// own returns nil if what stood in the way of a transaction was written by itself:
// by a request whose answer was lost. It looks at the first commit: all of them are
// there, or none.
func (a *several) own(ctx context.Context, r *refusedError) error {
	for i, c := range a.commits {
		if c == nil {
			continue
		}
		var it item
		if i < len(r.items) {
			it = r.items[i]
		}
		if len(it) == 0 { // another condition failed, and this one may not have been looked at
			ctx, cancel := a.s.outlive(ctx)
			defer cancel()
			out, err := a.s.client.GetItem(ctx, &dynamodb.GetItemInput{TableName: a.s.table, Key: keyOf(streamKey(c.stream), ordered(uint64(c.first))), ConsistentRead: aws.Bool(true)})
			if err != nil {
				return &unsureError{err}
			}
			if it = out.Item; len(it) == 0 {
				return errOther
			}
		}
		there, err := parseCommit(it)
		if err != nil {
			return err
		}
		if there.writer != c.writer {
			return errOther
		}
		return nil
	}
	return errOther
}

// unknown is unknown for all parts that have records.
func (a *several) unknown(err error) error {
	var parts []driver.UnknownPart
	for i := range a.req.Parts {
		if p := &a.req.Parts[i]; len(p.Records) > 0 {
			parts = append(parts, driver.UnknownPart{Stream: p.Stream, Base: a.bases[i]})
		}
	}
	return unknown(err, parts...)
}

func (a *several) result() driver.AppendResult {
	result := driver.AppendResult{Parts: make([]driver.Appended, len(a.commits))}
	for i, c := range a.commits {
		if c != nil {
			result.Parts[i] = driver.Appended{First: c.first, Last: c.last}
		}
	}
	return result
}
