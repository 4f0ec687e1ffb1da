package conformance

import (
	"bytes"
	"context"
	"sync"

	"github.com/go-es/es/driver"
)

// Mutants: checkpoints and snapshots.
var checkpointMutants = []mutant{
	// Checkpoints.
	{name: "has no missing checkpoints", rules: "C1", checks: "checkpoint/missing", with: func() overrides {
		return overrides{load: func(s *toyStore, ctx context.Context, name string) (driver.Checkpoint, error) {
			cp, err := s.LoadCheckpoint(ctx, name)
			cp.Name = name
			return cp, err
		}}
	}},
	{name: "saves over any revision", rules: "C2 C3", checks: "checkpoint/conflict checkpoint/race", with: func() overrides {
		return overrides{save: func(s *toyStore, ctx context.Context, cp driver.Checkpoint, _ driver.Revision) error {
			s.d.mu.Lock()
			defer s.d.mu.Unlock()
			s.d.checkpoints[cp.Name] = cp
			return nil
		}}
	}},
	{name: "does not know its own revision", rules: "C3 C2", checks: "checkpoint/conflict checkpoint/race", with: func() overrides {
		return overrides{save: func(s *toyStore, ctx context.Context, cp driver.Checkpoint, prev driver.Revision) error {
			s.d.mu.Lock()
			defer s.d.mu.Unlock()
			if s.d.checkpoints[cp.Name].Revision != prev {
				return driver.ErrCheckpointConflict
			}
			s.d.checkpoints[cp.Name] = cp
			return nil
		}}
	}},
	{name: "keeps the highest position", rules: "C2", checks: "checkpoint/conflict", with: func() overrides {
		return overrides{save: func(s *toyStore, ctx context.Context, cp driver.Checkpoint, prev driver.Revision) error {
			if old, _ := s.LoadCheckpoint(ctx, cp.Name); old.Position > cp.Position {
				return nil
			}
			return s.SaveCheckpoint(ctx, cp, prev)
		}}
	}},
	{name: "keeps positions as floats", rules: "C4", checks: "checkpoint/values", with: func() overrides {
		return overrides{save: func(s *toyStore, ctx context.Context, cp driver.Checkpoint, prev driver.Revision) error {
			cp.Position = driver.Position(float64(cp.Position))
			return s.SaveCheckpoint(ctx, cp, prev)
		}}
	}},
	{name: "does not keep what was seen", rules: "C4", checks: "checkpoint/values", with: func() overrides {
		return overrides{save: func(s *toyStore, ctx context.Context, cp driver.Checkpoint, prev driver.Revision) error {
			cp.SeenID = driver.ID{}
			return s.SaveCheckpoint(ctx, cp, prev)
		}}
	}},
	{name: "loads an old checkpoint", rules: "C2 C4", checks: "checkpoint/values checkpoint/conflict", with: func() overrides {
		var mu sync.Mutex
		last := map[*toyStore]map[string]driver.Checkpoint{}
		return overrides{load: func(s *toyStore, ctx context.Context, name string) (driver.Checkpoint, error) {
			mu.Lock()
			defer mu.Unlock()
			cp, err := s.LoadCheckpoint(ctx, name)
			if last[s] == nil {
				last[s] = map[string]driver.Checkpoint{}
			}
			old, was := last[s][name]
			if last[s][name] = cp; was {
				return old, err
			}
			return cp, err
		}}
	}},
	{name: "lists a page of checkpoints", rules: "C5", checks: "checkpoint/list", with: func() overrides {
		return overrides{lists: func(s *toyStore, ctx context.Context, q driver.CheckpointQuery) (driver.CheckpointPage, error) {
			p, err := s.ListCheckpoints(ctx, q)
			p.End = true
			return p, err
		}}
	}},
	{name: "does not delete checkpoints", rules: "C6", checks: "checkpoint/delete", with: func() overrides {
		return overrides{drop: func(*toyStore, context.Context, string) error { return nil }}
	}},
	{name: "deletes checkpoints that are not there", rules: "C6", checks: "checkpoint/delete", with: func() overrides {
		return overrides{drop: func(s *toyStore, ctx context.Context, name string) error {
			if cp, _ := s.LoadCheckpoint(ctx, name); cp.Name == "" {
				return driver.ErrCheckpointConflict
			}
			return s.DeleteCheckpoint(ctx, name)
		}}
	}},

	// Snapshots.
	{name: "has no missing snapshots", rules: "P1", checks: "snapshot/missing", with: func() overrides {
		return overrides{loadSnap: func(s *toyStore, ctx context.Context, stream, kind string) (driver.Snapshot, error) {
			snap, err := s.LoadSnapshot(ctx, stream, kind)
			snap.Stream, snap.Kind = stream, kind
			return snap, err
		}}
	}},
	{name: "keeps the last snapshot", rules: "P2 P3", checks: "snapshot/newest snapshot/race", with: func() overrides {
		return overrides{saveSnap: func(s *toyStore, ctx context.Context, snap driver.Snapshot) error {
			s.DeleteSnapshot(ctx, snap.Stream, snap.Kind)
			return s.SaveSnapshot(ctx, snap)
		}}
	}},
	{name: "mixes two snapshots", rules: "P2", checks: "snapshot/newest", with: func() overrides {
		return overrides{saveSnap: func(s *toyStore, ctx context.Context, snap driver.Snapshot) error {
			s.d.mu.Lock()
			key := [2]string{snap.Stream, snap.Kind}
			if old := s.d.snapshots[key]; old.Version == snap.Version {
				old.Data = bytes.Clone(snap.Data)
				s.d.snapshots[key] = old
			}
			s.d.mu.Unlock()
			return s.SaveSnapshot(ctx, snap)
		}}
	}},
	{name: "refuses an older snapshot", rules: "P2", checks: "snapshot/newest", with: func() overrides {
		return overrides{saveSnap: func(s *toyStore, ctx context.Context, snap driver.Snapshot) error {
			if old, _ := s.LoadSnapshot(ctx, snap.Stream, snap.Kind); old.Version > snap.Version {
				return driver.ErrConflict
			}
			return s.SaveSnapshot(ctx, snap)
		}}
	}},
	{name: "loads an old snapshot", rules: "P3 P2", checks: "snapshot/race", with: func() overrides {
		var mu sync.Mutex
		last := map[string]driver.Snapshot{}
		return overrides{loadSnap: func(s *toyStore, ctx context.Context, stream, kind string) (driver.Snapshot, error) {
			snap, err := s.LoadSnapshot(ctx, stream, kind)
			mu.Lock()
			defer mu.Unlock()
			old, was := last[stream+kind]
			if last[stream+kind] = snap; was {
				return old, err
			}
			return snap, err
		}}
	}},
	{name: "keeps the bytes of a snapshot", rules: "P3", checks: "snapshot/values", with: func() overrides {
		return overrides{saveSnap: func(s *toyStore, ctx context.Context, snap driver.Snapshot) error {
			s.d.mu.Lock()
			defer s.d.mu.Unlock()
			s.d.snapshots[[2]string{snap.Stream, snap.Kind}] = snap
			return nil
		}}
	}},
	{name: "returns one snapshot to all", rules: "R3", checks: "snapshot/values", with: func() overrides {
		return overrides{loadSnap: func(s *toyStore, ctx context.Context, stream, kind string) (driver.Snapshot, error) {
			s.d.mu.Lock()
			defer s.d.mu.Unlock()
			return s.d.snapshots[[2]string{stream, kind}], nil
		}}
	}},
	{name: "does not delete snapshots", rules: "P5", checks: "snapshot/delete", with: func() overrides {
		return overrides{dropSnap: func(*toyStore, context.Context, string, string) error { return nil }}
	}},
	{name: "deletes snapshots of every kind", rules: "P5", checks: "snapshot/delete", with: func() overrides {
		return overrides{dropSnap: func(s *toyStore, ctx context.Context, stream, kind string) error {
			s.d.mu.Lock()
			defer s.d.mu.Unlock()
			for k := range s.d.snapshots {
				if k[0] == stream {
					delete(s.d.snapshots, k)
				}
			}
			return nil
		}}
	}},
}
