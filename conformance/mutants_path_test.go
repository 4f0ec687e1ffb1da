package conformance

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-es/es/driver"
)

// Mutants: stores that have several paths to the same, of which one is wrong.
var pathMutants = []mutant{
	{name: "keeps tags at exact versions alone", rules: "R1", checks: "records/bytes", with: appended(func(s *toyStore, ctx context.Context, req appendRequest) (appendResult, error) {
		req = cloneRequest(req)
		for i := range req.Parts {
			for j := range req.Parts[i].Records {
				if req.Parts[i].Expected < 0 {
					req.Parts[i].Records[j].Tags = nil
				}
			}
		}
		return s.Append(ctx, req)
	})},
	{name: "gives all members of a group the metadata of the first", rules: "G1 R1", checks: "records/bytes group/outcomes", with: grouped(func(w *wrong, ctx context.Context, reqs []appendRequest) []driver.Outcome {
		outs := make([]driver.Outcome, len(reqs))
		for i, req := range reqs {
			req = cloneRequest(req)
			for j := range req.Parts[0].Records {
				req.Parts[0].Records[j].Metadata = reqs[0].Parts[0].Records[0].Metadata
				req.Parts[0].Records[j].Tags = reqs[0].Parts[0].Records[0].Tags
			}
			outs[i].Result, outs[i].Err = w.toyStore.Append(ctx, req)
		}
		return outs
	})},
	{name: "has an id once in a group", rules: "G2 I5", checks: "group/outcomes", with: grouped(func(w *wrong, ctx context.Context, reqs []appendRequest) []driver.Outcome {
		outs := make([]driver.Outcome, len(reqs))
		used := map[driver.ID]string{}
		for i, req := range reqs {
			p := req.Parts[0]
			if s, is := used[p.Records[0].ID]; is && s != p.Stream {
				outs[i].Err = errors.New("duplicate key")
				continue
			}
			used[p.Records[0].ID] = p.Stream
			outs[i].Result, outs[i].Err = w.toyStore.Append(ctx, req)
		}
		return outs
	})},
	{name: "wakes nobody for groups", rules: "W1", checks: "wake/soon", with: func() overrides {
		return overrides{group: func(w *wrong, ctx context.Context, reqs []appendRequest) []driver.Outcome {
			w.d.mu.Lock()
			was := w.d.listeners
			w.d.listeners = map[chan struct{}]bool{}
			w.d.mu.Unlock()
			outs := w.toyStore.AppendGroup(ctx, reqs)
			w.d.mu.Lock()
			w.d.listeners = was
			w.d.mu.Unlock()
			return outs
		}}
	}},
	{name: "loses tags in a transaction", rules: "K1", checks: "tx/inside", cfg: withinAppends(func(in *toyInTx, _ *toyStore, ctx context.Context, req appendRequest) (appendResult, error) {
		req = cloneRequest(req)
		for i := range req.Parts {
			for j := range req.Parts[i].Records {
				req.Parts[i].Records[j].Tags = nil
			}
		}
		return in.Append(ctx, req)
	})},
	{name: "folds the case of streams in a transaction", rules: "K1 N1", checks: "tx/inside", cfg: within(func(in *toyInTx, _ *toyStore) inTxOverrides {
		return inTxOverrides{
			append: func(ctx context.Context, req appendRequest) (appendResult, error) {
				req = cloneRequest(req)
				for i := range req.Parts {
					req.Parts[i].Stream = strings.ToLower(req.Parts[i].Stream)
				}
				return in.Append(ctx, req)
			},
			stream: func(ctx context.Context, q streamQuery) (streamPage, error) {
				name := q.Stream
				q.Stream = strings.ToLower(q.Stream)
				p, err := in.ReadStream(ctx, q)
				for i := range p.Records {
					p.Records[i].Stream = name
				}
				return p, err
			},
		}
	})},
	{name: "cuts the data of a delete at a NUL", rules: "D1 R1", checks: "delete/closes", with: deleted(func(s *toyStore, ctx context.Context, req driver.DeleteRequest) (driver.Appended, error) {
		req.Record.Data, _, _ = bytes.Cut(req.Record.Data, []byte{0})
		return s.Delete(ctx, req)
	})},
	{name: "sorts the types of a filter where they are", rules: "R3", checks: "records/ownership", with: fed(func(s *toyStore, ctx context.Context, q feedQuery) (page, error) {
		slices.Sort(q.Filter.Types)
		slices.Sort(q.Filter.Prefixes)
		return s.ReadAll(ctx, q)
	})},
	{name: "sorts the parts of an append where they are", rules: "R3", checks: "records/ownership", with: appended(func(s *toyStore, ctx context.Context, req appendRequest) (appendResult, error) {
		slices.SortFunc(req.Parts, func(a, b driver.Part) int { return strings.Compare(a.Stream, b.Stream) })
		return s.Append(ctx, req)
	})},
	{name: "returns a page and keeps the one behind it", rules: "R3", checks: "records/ownership", with: readsAhead},
	{name: "keeps the result of an append", rules: "R3", checks: "records/ownership", with: func() overrides {
		var mu sync.Mutex
		results := map[driver.ID]appendResult{}
		return overrides{append: func(s *toyStore, ctx context.Context, req appendRequest) (appendResult, error) {
			res, err := s.Append(ctx, req)
			p := req.Parts[0]
			if _, exact := p.Expected.Exact(); err != nil || !exact || len(p.Records) == 0 {
				return res, err
			}
			mu.Lock()
			defer mu.Unlock()
			key := p.Records[0].ID
			if old, ok := results[key]; ok && len(old.Parts) == len(res.Parts) {
				return old, nil
			}
			results[key] = res
			return res, err
		}}
	}},
	{name: "deletes streams whatever their case", rules: "N1 D1", checks: "names/streams", with: deleted(func(s *toyStore, ctx context.Context, req driver.DeleteRequest) (driver.Appended, error) {
		a, err := s.Delete(ctx, req)
		s.d.mu.Lock()
		defer s.d.mu.Unlock()
		for name, st := range s.d.streams {
			if err == nil && strings.EqualFold(name, req.Stream) {
				st.closed = true
			}
		}
		return a, err
	})},
	{name: "deletes checkpoints whatever their case", rules: "N1 C6", checks: "names/checkpoints", with: func() overrides {
		return overrides{drop: func(s *toyStore, ctx context.Context, name string) error {
			s.d.mu.Lock()
			for n := range s.d.checkpoints {
				if strings.EqualFold(n, name) {
					delete(s.d.checkpoints, n)
				}
			}
			s.d.mu.Unlock()
			return s.DeleteCheckpoint(ctx, name)
		}}
	}},
	{name: "deletes snapshots whatever the case of their kind", rules: "N1 P5", checks: "names/snapshots", with: func() overrides {
		return overrides{dropSnap: func(s *toyStore, ctx context.Context, stream, kind string) error {
			s.d.mu.Lock()
			for k := range s.d.snapshots {
				if k[0] == stream && strings.EqualFold(k[1], kind) {
					delete(s.d.snapshots, k)
				}
			}
			s.d.mu.Unlock()
			return s.DeleteSnapshot(ctx, stream, kind)
		}}
	}},
	{name: "says that a stream which is there does not exist", rules: "V4", checks: "versions/expected", with: appended(func(s *toyStore, ctx context.Context, req appendRequest) (appendResult, error) {
		res, err := s.Append(ctx, req)
		if c, ok := errors.AsType[*driver.ConflictError](err); ok && c.Expected > driver.Exactly(c.Actual) {
			c.Actual = 0
		}
		return res, err
	})},
	{name: "checks the first version alone", rules: "A4", checks: "append/versions", with: appended(func(s *toyStore, ctx context.Context, req appendRequest) (appendResult, error) {
		var kept []driver.Part
		checks := 0
		for _, p := range req.Parts {
			if len(p.Records) == 0 {
				if checks++; checks > 1 {
					continue
				}
			}
			kept = append(kept, p)
		}
		res, err := s.Append(ctx, toEach(kept...))
		for len(res.Parts) > 0 && len(res.Parts) < len(req.Parts) {
			res.Parts = append(res.Parts, driver.Appended{})
		}
		return res, err
	})},
	{name: "asks that checked streams are open when sent again", rules: "I6", checks: "again/streams", with: appended(func(s *toyStore, ctx context.Context, req appendRequest) (appendResult, error) {
		for _, p := range req.Parts {
			if _, closed := headOf(s, p.Stream); len(p.Records) == 0 && closed {
				return appendResult{}, &driver.StreamError{Stream: p.Stream, Err: driver.ErrStreamDeleted}
			}
		}
		return s.Append(ctx, req)
	})},
	{name: "calls half a purge cancelled", rules: "U2", checks: "unknown/cancelled", with: deleted(func(s *toyStore, ctx context.Context, req driver.DeleteRequest) (driver.Appended, error) {
		if _, closed := headOf(s, req.Stream); closed || req.Mode != driver.Purge || ctx.Err() != nil {
			return s.Delete(ctx, req)
		}
		half := req
		half.Mode = driver.Tombstone
		if a, err := s.Delete(ctx, half); err != nil {
			return a, err
		}
		time.Sleep(50 * time.Microsecond)
		return s.Delete(ctx, req)
	})},
	{name: "passes what is being written where it filters", rules: "F2 F1", checks: "feed/held", set: func(y *toy) { y.caps.Gapless = false }, with: fed(func(s *toyStore, ctx context.Context, q feedQuery) (page, error) {
		if q.Filter.IsZero() {
			return s.ReadAll(ctx, q)
		}
		if err := s.check(ctx); err != nil {
			return page{}, err
		}
		naive := &toyStore{toy: &toy{caps: s.toy.caps, naive: true}, d: s.d}
		return naive.ReadAll(ctx, q)
	})},
	{name: "calls what it filters the end", rules: "F9", checks: "feed/held", with: fedPaged(func(q feedQuery, p *page) {
		p.End = p.End || !q.Filter.IsZero() && len(p.Records) == 0
	})},
	{name: "filters beyond the end", rules: "F11", checks: "feed/filter", with: fed(func(s *toyStore, ctx context.Context, q feedQuery) (page, error) {
		p, err := s.ReadAll(ctx, q)
		if errors.Is(err, driver.ErrCheckpointAhead) && q.Seen.Position == 0 && !q.Filter.IsZero() {
			return page{Next: q.After, End: true}, nil
		}
		return p, err
	})},
	{name: "looks for what was seen at any position", rules: "F12", checks: "feed/seen", with: fed(func(s *toyStore, ctx context.Context, q feedQuery) (page, error) {
		if q.Seen.Position > 0 {
			s.d.mu.Lock()
			there := slices.ContainsFunc(s.d.log, func(r *toyRow) bool { return r.rec.ID == q.Seen.ID })
			s.d.mu.Unlock()
			if there && ctx.Err() == nil {
				q.Seen = driver.Seen{}
			}
		}
		return s.ReadAll(ctx, q)
	})},
	{name: "filters few types", rules: "F10 E1", checks: "feed/filter", with: fed(func(s *toyStore, ctx context.Context, q feedQuery) (page, error) {
		if n := len(q.Filter.Types) + len(q.Filter.Prefixes); n > 99 {
			return page{}, fmt.Errorf("too many variables: %d", n)
		}
		return s.ReadAll(ctx, q)
	})},
	{name: "filters what is purged", rules: "D3", checks: "delete/purge", with: fed(func(s *toyStore, ctx context.Context, q feedQuery) (page, error) {
		if q.Filter.IsZero() {
			return s.ReadAll(ctx, q)
		}
		if err := s.check(ctx); err != nil {
			return page{}, err
		}
		was := s.d
		s.d.mu.Lock()
		d := s.d.clone()
		d.open = s.d.open
		s.d.mu.Unlock()
		for _, r := range d.log {
			r.purged = false
		}
		_ = was
		return (&toyStore{toy: s.toy, d: d}).ReadAll(ctx, q)
	})},
	{name: "purges the first 100 events", rules: "D3 D4", checks: "stream/large", with: deleted(func(s *toyStore, ctx context.Context, req driver.DeleteRequest) (driver.Appended, error) {
		a, err := s.Delete(ctx, req)
		if err == nil && req.Mode == driver.Purge {
			s.d.mu.Lock()
			defer s.d.mu.Unlock()
			st := s.d.streams[req.Stream]
			for _, r := range st.rows[min(100, len(st.rows)):] {
				r.purged = false
			}
		}
		return a, err
	})},
	{name: "recognises the last 500 events", rules: "I1", checks: "stream/large", with: appended(func(s *toyStore, ctx context.Context, req appendRequest) (appendResult, error) {
		p := req.Parts[0]
		v, exact := p.Expected.Exact()
		if head, closed := headOf(s, p.Stream); exact && !closed && v+500 < head {
			return recognisesNothing(s, ctx, req)
		}
		return s.Append(ctx, req)
	})},
	{name: "has a lower limit for one stream", rules: "M2", checks: "caps/limits", with: appended(func(s *toyStore, ctx context.Context, req appendRequest) (appendResult, error) {
		for _, p := range req.Parts {
			if n := len(p.Records); n > s.toy.caps.MaxAppendEvents/2 {
				return appendResult{}, &driver.TooLargeError{What: "rows", Limit: s.toy.caps.MaxAppendEvents / 2, Got: n}
			}
		}
		return s.Append(ctx, req)
	})},
	{name: "reads what it has read of a stream that was deleted", rules: "D1", checks: "delete/closes", with: keepsPages},
	{name: "keeps the pages of the feed that it has read", rules: "D3", checks: "delete/purge", with: func() overrides {
		type key struct {
			s            *toyStore
			after, limit uint64
		}
		var mu sync.Mutex
		kept := map[key]page{}
		return overrides{feed: func(s *toyStore, ctx context.Context, q feedQuery) (page, error) {
			mu.Lock()
			defer mu.Unlock()
			k := key{s, uint64(q.After), uint64(q.Limit)}
			if p, ok := kept[k]; ok && q.Filter.IsZero() && ctx.Err() == nil {
				return p, nil
			}
			p, err := s.ReadAll(ctx, q)
			if err == nil && !p.End && q.Filter.IsZero() {
				kept[k] = p
			}
			return p, err
		}}
	}},
	{name: "assigns positions for readers without a filter", rules: "F5", checks: "feed/filtered", set: lately, with: fed(func(s *toyStore, ctx context.Context, q feedQuery) (page, error) {
		if q.Filter.IsZero() {
			return s.ReadAll(ctx, q)
		}
		if err := s.check(ctx); err != nil {
			return page{}, err
		}
		return (&toyStore{toy: &toy{caps: s.toy.caps}, d: s.d}).ReadAll(ctx, q)
	})},
	{name: "sorts a group where it is", rules: "G1 G2 R3", checks: "group/outcomes", with: grouped(func(w *wrong, ctx context.Context, reqs []appendRequest) []driver.Outcome {
		slices.SortStableFunc(reqs, func(a, b appendRequest) int { return strings.Compare(a.Parts[0].Stream, b.Parts[0].Stream) })
		return w.toyStore.AppendGroup(ctx, reqs)
	})},
	{name: "wakes nobody for a delete", rules: "W1", checks: "wake/soon", with: deleted(func(s *toyStore, ctx context.Context, req driver.DeleteRequest) (driver.Appended, error) {
		s.d.mu.Lock()
		was := s.d.listeners
		s.d.listeners = map[chan struct{}]bool{}
		s.d.mu.Unlock()
		a, err := s.Delete(ctx, req)
		s.d.mu.Lock()
		s.d.listeners = was
		s.d.mu.Unlock()
		return a, err
	})},
	{name: "purges whatever the version is by then", rules: "V5 D7", checks: "versions/race", with: deleted(func(s *toyStore, ctx context.Context, req driver.DeleteRequest) (driver.Appended, error) {
		head, closed := headOf(s, req.Stream)
		if closed || req.Mode != driver.Purge || !req.Expected.Holds(head) {
			return s.Delete(ctx, req)
		}
		time.Sleep(200 * time.Microsecond)
		req.Expected = driver.Any
		return s.Delete(ctx, req)
	})},
	{name: "lists streams that have a snapshot alone", rules: "L1", checks: "snapshot/unborn", with: func() overrides {
		return overrides{list: func(s *toyStore, ctx context.Context, q driver.ListQuery) (driver.ListPage, error) {
			p, err := s.ListStreams(ctx, q)
			s.d.mu.Lock()
			defer s.d.mu.Unlock()
			for key := range s.d.snapshots {
				if err == nil && s.d.streams[key[0]].head() == 0 {
					p.Streams = append(p.Streams, driver.StreamInfo{Stream: key[0]})
				}
			}
			return p, err
		}}
	}},
	{name: "joins the stream and the kind of a snapshot", rules: "N1", checks: "names/snapshots", with: func() overrides {
		return overrides{
			saveSnap: func(s *toyStore, ctx context.Context, snap driver.Snapshot) error {
				snap.Stream, snap.Kind = snap.Stream+"/"+snap.Kind, ""
				return s.SaveSnapshot(ctx, snap)
			},
			loadSnap: func(s *toyStore, ctx context.Context, stream, kind string) (driver.Snapshot, error) {
				snap, err := s.LoadSnapshot(ctx, stream+"/"+kind, "")
				snap.Stream, snap.Kind = stream, kind
				return snap, err
			},
		}
	}},
	{name: "reads the keys that begin with a stream and a slash", rules: "S1 S3 S6", checks: "stream/forward", with: streamed(func(s *toyStore, ctx context.Context, q streamQuery) (streamPage, error) {
		p, err := s.ReadStream(ctx, q)
		s.d.mu.Lock()
		defer s.d.mu.Unlock()
		for name, st := range s.d.streams {
			if err == nil && p.End && strings.HasPrefix(name, q.Stream+"/") && !q.Backward {
				r := clone(st.rows[0].rec)
				r.Stream = q.Stream
				p.Records = append(p.Records, r)
			}
		}
		return p, err
	})},
	{name: "closes the stream that the record of a delete names", rules: "R3 E1", checks: "records/ownership", with: deleted(func(s *toyStore, ctx context.Context, req driver.DeleteRequest) (driver.Appended, error) {
		if req.Record.Stream != "" {
			req.Stream = req.Record.Stream
		}
		return s.Delete(ctx, req)
	})},
}

// readsAhead reads two pages at once and keeps the second.
func readsAhead() overrides {
	var mu sync.Mutex
	type key struct {
		s *toyStore
		q streamQuery
	}
	kept := map[key]streamPage{}
	return overrides{stream: func(s *toyStore, ctx context.Context, q streamQuery) (streamPage, error) {
		mu.Lock()
		defer mu.Unlock()
		head, _ := headOf(s, q.Stream)
		if p, ok := kept[key{s, q}]; ok && ctx.Err() == nil && p.Head == head {
			delete(kept, key{s, q})
			return p, nil
		}
		if q.Limit == 0 || q.Backward || q.Deleted {
			return s.ReadStream(ctx, q)
		}
		two := q
		two.Limit *= 2
		p, err := s.ReadStream(ctx, two)
		if err == nil && len(p.Records) > q.Limit {
			next := q
			next.From = p.Records[q.Limit].Version
			kept[key{s, next}] = streamPage{Records: p.Records[q.Limit:], Head: p.Head, End: p.End}
			p.Records, p.End = p.Records[:q.Limit], false
		}
		return p, err
	}}
}

// keepsPages keeps the pages of streams that cannot grow any more.
func keepsPages() overrides {
	type key struct {
		s *toyStore
		q streamQuery
	}
	var mu sync.Mutex
	kept := map[key]streamPage{}
	return overrides{stream: func(s *toyStore, ctx context.Context, q streamQuery) (streamPage, error) {
		mu.Lock()
		defer mu.Unlock()
		if p, ok := kept[key{s, q}]; ok && ctx.Err() == nil {
			p.Head, _ = headOf(s, q.Stream)
			return p, nil
		}
		p, err := s.ReadStream(ctx, q)
		if err == nil && !p.End && !q.Backward && !q.Deleted {
			kept[key{s, q}] = p
		}
		return p, err
	}}
}
