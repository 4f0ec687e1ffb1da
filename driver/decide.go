package driver

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
	p := &req.Parts[first]
	return false, AppendResult{}, &ConflictError{p.Stream, p.Expected, states[first].Head}
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
