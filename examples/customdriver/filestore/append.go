package filestore

import (
	"context"

	"github.com/go-es/es/driver"
)

var _ driver.GroupAppender = (*Store)(nil)

// Append stores the records of a request.
func (s *Store) Append(ctx context.Context, req driver.AppendRequest) (driver.AppendResult, error) {
	out := s.AppendGroup(ctx, []driver.AppendRequest{req})[0]
	return out.Result, out.Err
}

// AppendGroup stores the records of several requests with one write and one sync.
func (s *Store) AppendGroup(ctx context.Context, reqs []driver.AppendRequest) []driver.Outcome {
	outs := make([]driver.Outcome, len(reqs))
	if err := s.beginWrite(ctx); err != nil {
		for i := range outs {
			outs[i].Err = err
		}
		return outs
	}
	defer s.endWrite()
	d := s.data

	// Each request is decided against the maps and the requests before it. Several
	// to one stream all expect Any, so their heads are all that must be known.
	heads := map[string]driver.Version{}
	position := driver.Position(len(d.events))
	var entries []entry
	bases := map[int][]driver.UnknownPart{} // of the requests that are written
	for i, req := range reqs {
		states := make([]driver.StreamState, len(req.Parts))
		for j, p := range req.Parts {
			states[j] = d.state(p.Stream)
			states[j].Head = max(states[j].Head, heads[p.Stream])
		}
		write, result, err := driver.Decide(req, states, func(j int) (driver.Position, bool, error) {
			return d.found(req.Parts[j])
		})
		if !write {
			outs[i] = driver.Outcome{Result: result, Err: err}
			continue
		}
		e := entry{kind: appended}
		result.Parts = make([]driver.Appended, len(req.Parts))
		for j, p := range req.Parts {
			if len(p.Records) == 0 {
				continue // it only checked the version
			}
			v := states[j].Head
			bases[i] = append(bases[i], driver.UnknownPart{Stream: p.Stream, Base: v})
			for k := range p.Records {
				v++
				position++
				e.events = append(e.events, stored(p.Stream, v, &p.Records[k]))
			}
			heads[p.Stream] = v
			result.Parts[j] = driver.Appended{First: states[j].Head + 1, Last: v, Position: position}
		}
		outs[i].Result = result
		if len(e.events) > 0 {
			entries = append(entries, e)
		}
	}
	if len(entries) == 0 {
		return outs
	}
	if err := d.write(entries...); err != nil {
		for i, parts := range bases {
			outs[i] = driver.Outcome{Err: d.failed(err, parts...)}
		}
	}
	return outs
}

// found reports whether the versions that a part would take hold the ids of its
// records, and the position of the last one.
func (d *data) found(p driver.Part) (driver.Position, bool, error) {
	base, _ := p.Expected.Exact()
	positions := d.streams[p.Stream].positions[base:]
	for i := range p.Records {
		if d.events[positions[i]-1].ID != p.Records[i].ID {
			return 0, false, nil
		}
	}
	return positions[len(p.Records)-1], true, nil
}
