package driver

import "slices"

// StreamState is what an append must know of a stream.
type StreamState struct {
	Head   Version // the last version; 0: it does not exist
	Closed bool    // tombstoned or purged
}

// Decide says what becomes of an append, so that every store decides alike:
// with true, all expected versions hold and the records are to be written. With
// false it is decided already: the append was made before and the result is
// what it returned then, or the error says which part does not hold (I1 to I8,
// V4, D1).
//
// states has one StreamState a part, read in one atomic step with the writing.
// found is called only for parts with records and an exact expected version v:
// it reports whether the versions from v+1 on hold the ids of the part's
// records, in order, and the position of the last of them.
func Decide(req AppendRequest, states []StreamState, found func(part int) (Position, bool, error)) (bool, AppendResult, error) {
	first := -1 // the first part that does not hold
	for i := range req.Parts {
		if states[i].Closed || !req.Parts[i].Expected.Holds(states[i].Head) {
			first = i
			break
		}
	}
	if first < 0 {
		return true, AppendResult{}, nil
	}
	if result, ok, err := replay(req, states, found); ok || err != nil {
		return false, result, err
	}
	for i := range states {
		if states[i].Closed {
			return false, AppendResult{}, &StreamError{req.Parts[i].Stream, ErrStreamDeleted}
		}
	}
	for i := range states {
		if !req.Parts[i].Expected.MayHold(states[i].Head) {
			first = i // for good: this settles what became of it (U3)
			break
		}
	}
	p := &req.Parts[first]
	return false, AppendResult{}, &ConflictError{p.Stream, p.Expected, states[first].Head}
}

// MayHold reports whether an append that Decide has refused may be carried out yet,
// if it was sent before and is still on its way: no stream is closed, and those that
// are not as expected may be so once they have grown. Such a refusal does not settle
// an unknown outcome (U3).
func MayHold(req AppendRequest, states []StreamState) bool {
	for i := range req.Parts {
		if states[i].Closed || !req.Parts[i].Expected.MayHold(states[i].Head) {
			return false
		}
	}
	return true
}

func replay(req AppendRequest, states []StreamState, found func(part int) (Position, bool, error)) (AppendResult, bool, error) {
	for i, p := range req.Parts {
		if len(p.Records) == 0 {
			continue
		}
		base, exact := p.Expected.Exact()
		if !exact || states[i].Closed || states[i].Head < base+Version(len(p.Records)) {
			return AppendResult{}, false, nil
		}
	}
	result := AppendResult{Parts: make([]Appended, len(req.Parts))}
	for i, p := range req.Parts {
		if len(p.Records) == 0 {
			continue
		}
		pos, ok, err := found(i)
		if err != nil || !ok {
			return AppendResult{}, false, err
		}
		base, _ := p.Expected.Exact()
		result.Parts[i] = Appended{base + 1, base + Version(len(p.Records)), pos}
	}
	return result, true, nil
}

// DecideDelete says what becomes of a delete, so that every store decides alike:
// with true, the record is to be written as the last event of the stream. With
// false it is decided already: the stream is closed and the result is what the
// first delete returned, and a purge may have to be finished; or the error says
// what stands against it (D1, D4, D6, D7).
//
// closing is called only for a closed stream: it returns the id and the position
// of the record that closed it, which is at version state.Head.
func DecideDelete(req DeleteRequest, state StreamState, closing func() (ID, Position, error)) (bool, Appended, error) {
	switch {
	case state.Closed:
		id, pos, err := closing()
		if err == nil && id != req.Record.ID && req.Mode != Purge {
			err = &StreamError{req.Stream, ErrStreamDeleted}
		}
		if err != nil {
			return false, Appended{}, err
		}
		return false, Appended{state.Head, state.Head, pos}, nil
	case state.Head == 0:
		return false, Appended{}, &StreamError{req.Stream, ErrStreamNotFound}
	case !req.Expected.Holds(state.Head):
		return false, Appended{}, &ConflictError{req.Stream, req.Expected, state.Head}
	}
	return true, Appended{}, nil
}

// Rebase returns the request at the exact versions at which it was sent before:
// each part with records that bases names expects its Base (U3). The request
// that it was given stays as it is.
func Rebase(req AppendRequest, bases []UnknownPart) AppendRequest {
	parts := slices.Clone(req.Parts)
	for i := range parts {
		if len(parts[i].Records) == 0 {
			continue
		}
		for _, b := range bases {
			if b.Stream == parts[i].Stream {
				parts[i].Expected = Exactly(b.Base)
			}
		}
	}
	return AppendRequest{Parts: parts}
}
