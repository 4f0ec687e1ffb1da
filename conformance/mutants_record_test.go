package conformance

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-es/es/driver"
)

// Mutants: records and names.
var recordMutants = []mutant{
	// Records.
	{name: "loses metadata", rules: "R1", checks: "records/bytes", with: written(func(r *stored) { r.Metadata = nil })},
	{name: "cuts data at a NUL", rules: "R1", checks: "records/bytes", with: written(func(r *stored) { r.Data, _, _ = bytes.Cut(r.Data, []byte{0}) })},
	{name: "cuts data at 64 KiB", rules: "R1 S1", checks: "records/bytes", set: noLimits, with: written(func(r *stored) { r.Data = r.Data[:min(len(r.Data), 1<<16-1)] })},
	{name: "rewrites JSON", rules: "R1", checks: "records/bytes", with: written(func(r *stored) { r.Data = bytes.ReplaceAll(r.Data, []byte(": "), []byte(":")) })},
	{name: "sorts tags", rules: "R1", checks: "records/bytes", with: written(func(r *stored) { slices.Sort(r.Tags) })},
	{name: "removes tags that occur twice", rules: "R1", checks: "records/bytes", with: written(func(r *stored) { r.Tags = slices.Compact(r.Tags) })},
	{name: "keeps milliseconds", rules: "R2", checks: "records/time", with: written(func(r *stored) { r.Time = r.Time.Truncate(time.Millisecond) })},
	{name: "rounds to the microsecond", rules: "R2", checks: "records/time", with: written(func(r *stored) { r.Time = r.Time.Round(time.Microsecond) })},
	{name: "keeps times as 64 bits of nanoseconds", rules: "R2", checks: "records/time", with: written(func(r *stored) { r.Time = time.Unix(0, r.Time.UnixNano()) })},
	{name: "returns times in another zone", rules: "R2", checks: "records/time", with: streamPaged(func(_ streamQuery, p *streamPage) {
		for i := range p.Records {
			p.Records[i].Time = p.Records[i].Time.In(time.FixedZone("east", 3600))
		}
	})},
	{name: "keeps the bytes of a request", rules: "R3", checks: "records/ownership", with: keepsRequest},
	{name: "sets versions in the request", rules: "R3", checks: "records/ownership", with: appended(func(s *toyStore, ctx context.Context, req appendRequest) (appendResult, error) {
		for i := range req.Parts {
			for j := range req.Parts[i].Records {
				req.Parts[i].Records[j].Version = driver.Version(j + 1)
			}
		}
		return s.Append(ctx, req)
	})},
	{name: "returns one buffer to all", rules: "R3", checks: "records/ownership", with: sharesPages(false)},
	{name: "returns slices that share capacity", rules: "R3", checks: "records/ownership", with: streamPaged(func(_ streamQuery, p *streamPage) {
		for i := range p.Records {
			r := &p.Records[i]
			all := append(bytes.Clone(r.Data), r.Metadata...)
			r.Data, r.Metadata = all[:len(r.Data)], all[len(r.Data):]
		}
	})},
	{name: "returns one buffer to concurrent readers", rules: "R3", checks: "records/concurrent-ownership", with: sharesPages(true)},
	{name: "returns other positions from streams", rules: "R4 F7", checks: "records/place", with: streamPaged(func(_ streamQuery, p *streamPage) {
		for i := range p.Records {
			p.Records[i].Position += 7
		}
	})},
	{name: "returns no positions from streams", rules: "R4", checks: "records/place", with: streamPaged(func(_ streamQuery, p *streamPage) {
		for i := range p.Records {
			p.Records[i].Position = 0
		}
	})},

	// Names.
	{name: "folds the case of streams", rules: "N1", checks: "names/streams", with: renamed(strings.ToLower)},
	{name: "trims streams", rules: "N1", checks: "names/streams", with: renamed(func(s string) string { return "." + strings.TrimRight(s, " ") })},
	{name: "folds the case of types", rules: "N1", checks: "names/types", with: written(func(r *stored) { r.Type = strings.ToLower(r.Type) })},
	{name: "trims tags", rules: "N1", checks: "names/types", with: written(func(r *stored) {
		for i := range r.Tags {
			r.Tags[i] = "." + strings.TrimSpace(r.Tags[i])
		}
	})},
	{name: "folds the case of filters", rules: "F10", checks: "names/filters", with: fed(func(s *toyStore, ctx context.Context, q feedQuery) (page, error) {
		f := q.Filter
		q.Filter = driver.Filter{}
		p, err := s.ReadAll(ctx, q)
		p.Records = slices.DeleteFunc(p.Records, func(r stored) bool {
			return len(f.Types) > 0 && !slices.ContainsFunc(f.Types, func(t string) bool { return strings.EqualFold(t, r.Type) }) ||
				len(f.Prefixes) > 0 && !slices.ContainsFunc(f.Prefixes, func(p string) bool { return strings.HasPrefix(r.Stream, p) })
		})
		return p, err
	})},
	{name: "folds the case of checkpoints", rules: "N1 C2", checks: "names/checkpoints", with: func() overrides {
		return overrides{
			save: func(s *toyStore, ctx context.Context, cp driver.Checkpoint, prev driver.Revision) error {
				cp.Name = strings.ToLower(cp.Name)
				return s.SaveCheckpoint(ctx, cp, prev)
			},
			load: func(s *toyStore, ctx context.Context, name string) (driver.Checkpoint, error) {
				cp, err := s.LoadCheckpoint(ctx, strings.ToLower(name))
				cp.Name = name
				return cp, err
			},
		}
	}},
	{name: "folds the case of snapshot kinds", rules: "N1", checks: "names/snapshots", with: func() overrides {
		return overrides{
			saveSnap: func(s *toyStore, ctx context.Context, snap driver.Snapshot) error {
				snap.Kind = strings.ToLower(snap.Kind)
				return s.SaveSnapshot(ctx, snap)
			},
			loadSnap: func(s *toyStore, ctx context.Context, stream, kind string) (driver.Snapshot, error) {
				snap, err := s.LoadSnapshot(ctx, stream, strings.ToLower(kind))
				snap.Kind = kind
				return snap, err
			},
		}
	}},
	{name: "cannot do control characters", rules: "N2", checks: "names/characters", with: appended(func(s *toyStore, ctx context.Context, req appendRequest) (appendResult, error) {
		if strings.ContainsFunc(req.Parts[0].Stream, func(r rune) bool { return r < ' ' }) {
			return appendResult{}, errors.New("invalid character")
		}
		return s.Append(ctx, req)
	})},
	{name: "cuts streams at 250 bytes", rules: "N2 V2", checks: "names/long", with: renamed(func(s string) string { return s[:min(len(s), 250)] })},
	{name: "cannot do long streams with long types", rules: "N2", checks: "names/long", with: appended(func(s *toyStore, ctx context.Context, req appendRequest) (appendResult, error) {
		if p := req.Parts[0]; len(p.Stream)+len(p.Records[0].Type) > 500 {
			return appendResult{}, errors.New("index row size exceeded")
		}
		return s.Append(ctx, req)
	})},
}

func noLimits(y *toy) { y.caps.MaxEventBytes, y.caps.MaxAppendBytes = 0, 0 }

// sharesPages returns the same bytes to all who read a record. For concurrent
// readers it takes what they overwrote under a lock of its own, as a store that
// decodes into a buffer does; that is no race to the detector.
func sharesPages(concurrent bool) func() overrides {
	return func() overrides {
		var mu sync.Mutex
		kept := map[driver.ID][]byte{}
		return overrides{stream: func(s *toyStore, ctx context.Context, q streamQuery) (streamPage, error) {
			p, err := s.ReadStream(ctx, q)
			mu.Lock()
			defer mu.Unlock()
			for i := range p.Records {
				r := &p.Records[i]
				if concurrent {
					if n := len(kept); n > 2 { // what another reader did to it
						r.Data = bytes.Repeat([]byte("#"), len(r.Data))
					}
					kept[record().ID] = nil
					continue
				}
				if kept[r.ID] == nil {
					kept[r.ID] = r.Data
				}
				r.Data = kept[r.ID]
			}
			return p, err
		}}
	}
}
