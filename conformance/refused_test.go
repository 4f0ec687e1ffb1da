package conformance

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-es/es/driver"
)

// TestNothingRefusedArrives looks that the suite, as es does, sends a store no
// request that driver.Check refuses.
func TestNothingRefusedArrives(t *testing.T) {
	cfg := newToy().config(time.Second)
	p, err := probeStore(t, &cfg)
	if err != nil {
		t.Fatal(err)
	}
	runCheck(t, &cfg, p, &check{name: "refused", run: checkNothingRefusedArrives})
}

// counting counts the calls that reach a store.
type counting struct {
	driver.Store
	calls atomic.Int64
}

func (s *counting) Append(ctx context.Context, req driver.AppendRequest) (driver.AppendResult, error) {
	s.calls.Add(1)
	return s.Store.Append(ctx, req)
}

func (s *counting) ReadStream(ctx context.Context, q driver.StreamQuery) (driver.StreamPage, error) {
	s.calls.Add(1)
	return s.Store.ReadStream(ctx, q)
}

func (s *counting) ReadAll(ctx context.Context, q driver.FeedQuery) (driver.FeedPage, error) {
	s.calls.Add(1)
	return s.Store.ReadAll(ctx, q)
}

func (s *counting) Delete(ctx context.Context, req driver.DeleteRequest) (driver.Appended, error) {
	s.calls.Add(1)
	return s.Store.Delete(ctx, req)
}

// checkNothingRefusedArrives makes requests that Check refuses, and looks that
// none reaches the store.
func checkNothingRefusedArrives(t *test) {
	s, err := t.openStore(t.ctx, t.data())
	t.must(err)
	spy := &counting{Store: s}
	a := t.adopt(t.data(), spy)
	a.append("there", driver.NoStream, record())
	before := spy.calls.Load()
	change := func(f func(*driver.Record)) driver.AppendRequest {
		r := record()
		f(&r)
		return to("there", 1, r)
	}
	twice := records(2)
	twice[1].ID = twice[0].ID
	bad := map[string]driver.AppendRequest{
		"no parts":               {},
		"no events":              to("there", 1),
		"no stream":              to("", driver.Any, record()),
		"a long stream":          to(strings.Repeat("s", driver.MaxNameBytes+1), driver.Any, record()),
		"a NUL in the stream":    to("a\x00b", driver.Any, record()),
		"not UTF-8":              to("a\xff", driver.Any, record()),
		"an expected version":    to("there", -3, record()),
		"no id":                  change(func(r *driver.Record) { r.ID = driver.ID{} }),
		"no type":                change(func(r *driver.Record) { r.Type = "" }),
		"a reserved type":        change(func(r *driver.Record) { r.Type = driver.TypeDeleted }),
		"no encoding":            change(func(r *driver.Record) { r.Encoding = "" }),
		"a long encoding":        change(func(r *driver.Record) { r.Encoding = strings.Repeat("e", driver.MaxEncodingBytes+1) }),
		"no tag":                 change(func(r *driver.Record) { r.Tags = []string{""} }),
		"too many tags":          change(func(r *driver.Record) { r.Tags = make([]string, driver.MaxTags+1) }),
		"no time":                change(func(r *driver.Record) { r.Time = r.Time.AddDate(-3000, 0, 0) }),
		"an id twice":            to("there", 1, twice...),
		"an event that is large": change(func(r *driver.Record) { r.Data = make([]byte, 1+max(t.caps.MaxEventBytes, t.caps.MaxAppendBytes)) }),
	}
	if t.caps.MaxEventBytes == 0 && t.caps.MaxAppendBytes == 0 {
		delete(bad, "an event that is large")
	}
	if most := t.caps.MaxAppendEvents; most > 0 {
		bad["too many events"] = to("there", 1, records(most+1)...)
	}
	for name, req := range bad {
		if _, err := a.Append(t.ctx, req); !errors.Is(err, driver.ErrInvalid) && !errors.Is(err, driver.ErrTooLarge) {
			t.broken("M3", "an append with %s: error %v", name, err)
		}
	}
	_, err = a.ReadStream(t.ctx, driver.StreamQuery{Stream: "there", Limit: -1})
	_, err2 := a.ReadAll(t.ctx, driver.FeedQuery{After: 1 << 63})
	_, err3 := a.Delete(t.ctx, driver.DeleteRequest{Stream: "there", Record: record()})
	for _, err := range []error{err, err2, err3} {
		if !errors.Is(err, driver.ErrInvalid) {
			t.broken("M3", "a request that Check refuses: error %v", err)
		}
	}
	if n := spy.calls.Load() - before; n != 0 {
		t.broken("M3", "%d requests that Check refuses reached the store", n)
	}
	if got := a.head("there"); got != 1 {
		t.broken("M3", "requests that Check refuses took the stream from version 1 to %d", got)
	}
}
