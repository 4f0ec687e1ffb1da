package driver_test

import (
	"context"
	"errors"
	"reflect"
	"testing"

	"github.com/go-es/es/driver"
)

// A plain store has nothing optional; it answers ReadStream with page and err.
type plain struct {
	driver.Store
	caps  driver.Caps
	page  driver.StreamPage
	err   error
	asked *driver.StreamQuery
}

func (p plain) Caps() driver.Caps { return p.caps }

func (p plain) ReadStream(_ context.Context, q driver.StreamQuery) (driver.StreamPage, error) {
	if p.asked != nil {
		*p.asked = q
	}
	return p.page, p.err
}

// A rich store has what is optional.
type rich struct {
	plain
	driver.CheckpointStore
	driver.SnapshotStore
	settled driver.Version
	err     error
}

func (r *rich) Listen(_ context.Context, wake func()) error {
	wake()
	return r.err
}

func (r *rich) Settled(_ context.Context, stream string) (driver.Version, error) {
	return r.settled + driver.Version(len(stream)), r.err
}

func TestOptional(t *testing.T) {
	ctx := t.Context()
	var p driver.Store = plain{}
	none := func() { t.Error("woken by a store that sends no wake-ups") }
	_, err1 := driver.Checkpoints(p)
	_, err2 := driver.Snapshots(p)
	_, err3 := driver.Settled(ctx, p, "s")
	for _, row := range []struct {
		err  error
		want string
	}{
		{err1, "es: this store keeps no checkpoints: unsupported operation"},
		{err2, "es: this store keeps no snapshots: unsupported operation"},
		{err3, "es: this store has late positions and no Settled: unsupported operation"},
		{driver.Listen(ctx, p, none), "es: this store sends no wake-ups: unsupported operation"},
	} {
		if text(row.err) != row.want || !errors.Is(row.err, errors.ErrUnsupported) {
			t.Errorf("got %v, want %s", row.err, row.want)
		}
	}

	failed := errors.New("disk on fire")
	var r driver.Store = &rich{settled: 3, err: failed}
	if c, err := driver.Checkpoints(r); err != nil || any(c) != any(r) {
		t.Errorf("Checkpoints: %v, %v", c, err)
	}
	if s, err := driver.Snapshots(r); err != nil || any(s) != any(r) {
		t.Errorf("Snapshots: %v, %v", s, err)
	}
	woken := 0
	if err := driver.Listen(ctx, r, func() { woken++ }); err != failed || woken != 1 {
		t.Errorf("Listen: %v, woken %d times", err, woken)
	}
	if v, err := driver.Settled(ctx, r, "stream"); v != 9 || err != failed {
		t.Errorf("Settled: %v, %v", v, err)
	}
}

func TestSettledOfAStoreWithPositions(t *testing.T) {
	caps := driver.Caps{PositionOnAppend: true}
	failed := errors.New("disk on fire")
	for _, row := range []struct {
		name  string
		store plain
		want  driver.Version
		err   error
	}{
		{"a stream", plain{caps: caps, page: driver.StreamPage{Head: 7}}, 7, nil},
		{"no stream", plain{caps: caps, err: &driver.StreamError{Stream: "s", Err: driver.ErrStreamNotFound}}, 0, nil},
		{"a failure", plain{caps: caps, err: failed}, 0, failed},
	} {
		var asked driver.StreamQuery
		row.store.asked = &asked
		if v, err := driver.Settled(t.Context(), row.store, "s"); v != row.want || err != row.err {
			t.Errorf("%s: %d, %v, want %d, %v", row.name, v, err, row.want, row.err)
		}
		// One record is enough, and a closed stream has a head too.
		if want := (driver.StreamQuery{Stream: "s", Backward: true, Limit: 1, Deleted: true}); !reflect.DeepEqual(asked, want) {
			t.Errorf("%s: asked for %+v, want %+v", row.name, asked, want)
		}
	}
}
