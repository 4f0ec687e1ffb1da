package conformance

import (
	"fmt"
	"slices"

	"github.com/go-es/es/driver"
)

var listChecks = []check{
	{"list/order", "L1", nil, checkListOrder},
	{"list/pages", "L2 R3", nil, checkListPages},
	{"list/versions", "L3 L1", nil, checkListVersions},
	{"list/current", "L4", nil, checkListCurrent},
}

func checkListOrder(t *test) {
	cs := t.openAll(2)
	a, b := cs[0], cs[1]
	t.listed(a, "L1", driver.ListQuery{}, nil)
	t.listed(a, "L1", driver.ListQuery{Prefix: "a", After: "b", Limit: 1}, nil)
	names := []string{"order-10", "order-2", "order-1", "order", "Order-1", "orders", "customer-1", "customer", "z", "é", "order-1-1", "order-%", "a", "A"}
	for i, name := range names {
		a.append(name, driver.Any, record())
		a.append(name, driver.Any, record())
		if i%4 == 1 {
			a.delete(name, modes[i%8/4])
		}
		a.Append(t.ctx, to("not-"+name, driver.Exists, record())) // is refused, and so no stream
	}
	slices.Sort(names)
	for _, prefix := range []string{"", "o", "order", "order-", "order-1", "order-1-1", "order-1-1-1", "Order", "customer", "é", "\u00c3", "x", "zz", "order-%", "%", "order_1"} {
		for _, after := range []string{"", "A", "a", "customer", "m", "order", "order-1", "order-10", "order-2", "zz", "\U0010FFFF"} {
			var want []string
			for _, n := range withPrefix(names, prefix) {
				if n > after {
					want = append(want, n)
				}
			}
			for _, limit := range []int{0, 1, 3} {
				t.listed(b, "L1", driver.ListQuery{Prefix: prefix, After: after, Limit: limit}, want)
			}
		}
	}
}

func checkListPages(t *test) {
	a := t.open()
	n := t.scale(60)
	var names []string
	for i := range n {
		name := fmt.Sprint("stream-", i*7919%n)
		a.append(name, driver.Any, record())
		names = append(names, name)
	}
	slices.Sort(names)
	names = slices.Compact(names)
	for _, limit := range []int{0, 1, 2, 7, len(names) - 1, len(names), len(names) + 1, 10_000} {
		t.listed(a, "L2", driver.ListQuery{Limit: limit}, names) // list and lookAtList check the pages
	}
	page, err := a.ListStreams(t.ctx, driver.ListQuery{})
	t.must(err)
	for i := range page.Streams[:cap(page.Streams)] {
		page.Streams[:cap(page.Streams)][i] = driver.StreamInfo{Stream: "overwritten"}
	}
	t.listed(a, "R3", driver.ListQuery{}, names)
}

func checkListVersions(t *test) {
	cs := t.openAll(2)
	type state struct {
		version driver.Version
		closed  bool
	}
	want := map[string]state{}
	for i := range 12 {
		name := fmt.Sprint("stream-", i)
		n := i%4 + 1
		cs[0].fill(name, 0, n)
		want[name] = state{driver.Version(n), false}
		if i%3 == 0 {
			cs[0].delete(name, modes[i%2])
			want[name] = state{driver.Version(n + 1), true}
		}
	}
	var wrong string
	same := func() bool {
		wrong = ""
		listed := cs[1].list(driver.ListQuery{Limit: 5})
		if len(listed) != len(want) {
			wrong = fmt.Sprintf("%d streams instead of %d", len(listed), len(want))
		}
		for _, s := range listed {
			w := want[s.Stream]
			if s.Closed != w.closed || s.Version != w.version && s.Version != 0 {
				wrong = fmt.Sprintf("%q at version %d, closed %t, and it is at version %d, closed %t", s.Stream, s.Version, s.Closed, w.version, w.closed)
			}
			if s.Version > w.version {
				t.broken("L3", "the listing has %+v, a version that the stream never had: it is at %d", s, w.version)
			}
		}
		return wrong == ""
	}
	if !same() && !(t.caps.ListLag && t.eventually(same)) {
		t.broken("L3", "the listing has %s", wrong)
	}
}

func checkListCurrent(t *test) {
	cs := t.openAll(3)
	var names []string
	for i := range t.scale(20) {
		name := fmt.Sprintf("stream-%03d", i)
		names = append(names, name)
		cs[i%3].append(name, driver.NoStream, record())
		for _, c := range cs {
			t.listed(c, "L4", driver.ListQuery{Prefix: "stream-"}, names)
		}
		if i%5 == 0 {
			cs[i%3].delete(name, driver.Tombstone)
			isClosed := func() bool {
				l := cs[(i+1)%3].list(driver.ListQuery{Prefix: name})
				return len(l) == 1 && l[0].Closed
			}
			if !isClosed() && !(t.caps.ListLag && t.eventually(isClosed)) {
				t.broken("L4", "stream %q was deleted, and is listed as %+v", name, cs[(i+1)%3].list(driver.ListQuery{Prefix: name}))
			}
		}
	}
}
