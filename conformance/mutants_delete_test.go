package conformance

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/go-es/es/driver"
)

// Mutants: deletion.
var deleteMutants = []mutant{
	{name: "leaves a deleted stream open", rules: "D1", checks: "delete/closes", with: deleted(func(s *toyStore, ctx context.Context, req driver.DeleteRequest) (driver.Appended, error) {
		a, err := s.Delete(ctx, req)
		if err == nil {
			s.d.mu.Lock()
			defer s.d.mu.Unlock()
			s.d.streams[req.Stream].closed = false
		}
		return a, err
	})},
	{name: "leaves the record of a delete out of the feed", rules: "D1 F5 F9", checks: "delete/closes", with: fedPaged(func(q feedQuery, p *page) {
		p.Records = slices.DeleteFunc(p.Records, func(r stored) bool { return r.Type == driver.TypeDeleted })
	})},
	{name: "writes a record of its own", rules: "D1", checks: "delete/closes", with: deleted(func(s *toyStore, ctx context.Context, req driver.DeleteRequest) (driver.Appended, error) {
		req.Record.Data, req.Record.Metadata, req.Record.Tags = nil, nil, nil
		return s.Delete(ctx, req)
	})},
	{name: "finds out late that a stream is closed", rules: "D1", checks: "delete/closes", with: streamed(func(s *toyStore, ctx context.Context, q streamQuery) (streamPage, error) {
		p, err := s.ReadStream(ctx, q)
		if errors.Is(err, driver.ErrStreamDeleted) && q.Limit == 1 {
			q.Deleted = true
			return s.ReadStream(ctx, q)
		}
		return p, err
	})},
	{name: "deletes the streams that begin so", rules: "D1", checks: "delete/closes", with: deleted(func(s *toyStore, ctx context.Context, req driver.DeleteRequest) (driver.Appended, error) {
		a, err := s.Delete(ctx, req)
		s.d.mu.Lock()
		defer s.d.mu.Unlock()
		for name, st := range s.d.streams {
			if err == nil && strings.HasPrefix(name, req.Stream) {
				st.closed = true
			}
		}
		return a, err
	})},
	{name: "never reads a deleted stream", rules: "D1 D2", checks: "delete/read", with: streamed(func(s *toyStore, ctx context.Context, q streamQuery) (streamPage, error) {
		if _, closed := headOf(s, q.Stream); q.Deleted && closed && q.Limit != 1 {
			q.Deleted = false
		}
		return s.ReadStream(ctx, q)
	})},
	{name: "leaves the last record of a deleted stream out", rules: "D2 S3", checks: "delete/read", with: streamPaged(func(q streamQuery, p *streamPage) {
		p.Records = slices.DeleteFunc(p.Records, func(r stored) bool { return r.Type == driver.TypeDeleted })
	})},
	{name: "takes a purge for a tombstone", rules: "D3 D4 D6", checks: "delete/purge delete/purge-closed delete/again", with: deleted(func(s *toyStore, ctx context.Context, req driver.DeleteRequest) (driver.Appended, error) {
		a, err := s.Delete(ctx, req)
		if err == nil && req.Mode == driver.Purge {
			s.d.mu.Lock()
			defer s.d.mu.Unlock()
			st := s.d.streams[req.Stream]
			st.purged = false
			for _, r := range st.rows {
				r.purged = false
			}
		}
		return a, err
	})},
	{name: "returns purged events blank", rules: "D3 F1", checks: "delete/purge delete/readers", with: blankPurged},
	{name: "does not purge a closed stream", rules: "D4", checks: "delete/purge-closed", with: deleted(func(s *toyStore, ctx context.Context, req driver.DeleteRequest) (driver.Appended, error) {
		if _, closed := headOf(s, req.Stream); closed {
			req.Mode = driver.Tombstone
		}
		return s.Delete(ctx, req)
	})},
	{name: "asks what a purge of a closed stream expects", rules: "D4 D6", checks: "delete/purge-closed delete/again", with: deleted(func(s *toyStore, ctx context.Context, req driver.DeleteRequest) (driver.Appended, error) {
		if head, closed := headOf(s, req.Stream); closed && !req.Expected.Holds(head) {
			return driver.Appended{}, &driver.ConflictError{Stream: req.Stream, Expected: req.Expected, Actual: head}
		}
		return s.Delete(ctx, req)
	})},
	{name: "gives the versions of a purged stream away", rules: "D5", checks: "delete/taken", with: appended(func(s *toyStore, ctx context.Context, req appendRequest) (appendResult, error) {
		if _, closed := headOf(s, req.Parts[0].Stream); closed && req.Parts[0].Expected == driver.NoStream {
			s.d.mu.Lock()
			st := s.d.streams[req.Parts[0].Stream]
			if st.purged {
				delete(s.d.streams, req.Parts[0].Stream)
			}
			s.d.mu.Unlock()
		}
		return s.Append(ctx, req)
	})},
	{name: "does not know its own delete", rules: "D6", checks: "delete/again", with: deleted(func(s *toyStore, ctx context.Context, req driver.DeleteRequest) (driver.Appended, error) {
		if _, closed := headOf(s, req.Stream); closed && req.Mode == driver.Tombstone {
			return driver.Appended{}, &driver.StreamError{Stream: req.Stream, Err: driver.ErrStreamDeleted}
		}
		return s.Delete(ctx, req)
	})},
	{name: "deletes what is not there", rules: "D7 D1", checks: "delete/expected", with: deleted(func(s *toyStore, ctx context.Context, req driver.DeleteRequest) (driver.Appended, error) {
		a, err := s.Delete(ctx, req)
		if errors.Is(err, driver.ErrStreamNotFound) {
			return driver.Appended{}, nil
		}
		return a, err
	})},
	{name: "conflicts on a missing stream", rules: "D7", checks: "delete/expected", with: deleted(func(s *toyStore, ctx context.Context, req driver.DeleteRequest) (driver.Appended, error) {
		if head, _ := headOf(s, req.Stream); head == 0 && req.Expected > 0 {
			return driver.Appended{}, &driver.ConflictError{Stream: req.Stream, Expected: req.Expected}
		}
		return s.Delete(ctx, req)
	})},
	{name: "does not look at what a delete expects", rules: "D7", checks: "delete/expected", with: deleted(func(s *toyStore, ctx context.Context, req driver.DeleteRequest) (driver.Appended, error) {
		req.Expected = driver.Any
		return s.Delete(ctx, req)
	})},
	{name: "leaves snapshots of deleted streams", rules: "D8", checks: "delete/snapshots", with: func() overrides {
		return overrides{delete: func(s *toyStore, ctx context.Context, req driver.DeleteRequest) (driver.Appended, error) {
			s.d.mu.Lock()
			kept := map[[2]string]driver.Snapshot{}
			for k, v := range s.d.snapshots {
				kept[k] = v
			}
			s.d.mu.Unlock()
			a, err := s.Delete(ctx, req)
			s.d.mu.Lock()
			s.d.snapshots = kept
			s.d.mu.Unlock()
			return a, err
		}}
	}},
	{name: "saves a snapshot beside a delete", rules: "P4 D8", checks: "delete/snapshots", with: func() overrides {
		return overrides{saveSnap: func(s *toyStore, ctx context.Context, snap driver.Snapshot) error {
			if _, closed := headOf(s, snap.Stream); closed {
				return &driver.StreamError{Stream: snap.Stream, Err: driver.ErrStreamDeleted}
			}
			time.Sleep(100 * time.Microsecond)
			s.d.mu.Lock()
			defer s.d.mu.Unlock()
			s.d.snapshots[[2]string{snap.Stream, snap.Kind}] = snap
			return nil
		}}
	}},
	{name: "appends beside a delete", rules: "D1 D3 V5 F1", checks: "delete/race", with: appended(func(s *toyStore, ctx context.Context, req appendRequest) (appendResult, error) {
		if _, closed := headOf(s, req.Parts[0].Stream); closed {
			return s.Append(ctx, req)
		}
		time.Sleep(200 * time.Microsecond)
		s.d.mu.Lock()
		st := s.d.stream(req.Parts[0].Stream)
		was := st.closed
		st.closed = false
		defer func() { st.closed = was; s.d.mu.Unlock() }()
		return s.write(req)
	})},
}

// blankPurged returns what was purged, without its contents.
func blankPurged() overrides {
	return overrides{feed: func(s *toyStore, ctx context.Context, q feedQuery) (page, error) {
		s.d.mu.Lock()
		var purged []*toyRow
		for _, r := range s.d.log {
			if r.purged {
				purged = append(purged, r)
				r.purged = false
			}
		}
		// Nobody else may see them.
		rows := map[driver.ID]bool{}
		for _, r := range purged {
			rows[r.rec.ID] = true
		}
		p := page{Next: q.After, End: true}
		for _, r := range s.d.log {
			if r.rec.Position <= q.After || !q.Filter.Match(&r.rec) {
				continue
			}
			if len(p.Records) == s.limit(q.Limit) {
				p.End = false
				break
			}
			rec := clone(r.rec)
			if rows[rec.ID] {
				rec.Type, rec.Data = "", nil
			}
			p.Records = append(p.Records, rec)
			p.Next = rec.Position
		}
		for _, r := range purged {
			r.purged = true
		}
		p.Seen = s.d.seen(p.Next)
		s.d.mu.Unlock()
		return p, s.check(ctx)
	}}
}
