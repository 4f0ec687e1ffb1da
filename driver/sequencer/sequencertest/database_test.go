package sequencertest

import (
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"
)

// A database keeps items by key. What it can do, it does with one item at a time.
// Items are never changed once they are written, but replaced.
type database struct {
	mu    sync.Mutex
	items map[string]any
	keys  []string // sorted
	index map[string]entry
}

// entry is an item in the index of what is marked. It is shown some time after the
// item was marked, and until some time after it was cleared.
type entry struct {
	shown, gone time.Time
}

// marked is an item that the index may have.
type marked interface{ isMarked() bool }

const indexLag = 20 * time.Millisecond

func newDatabase() *database {
	return &database{items: map[string]any{}, index: map[string]entry{}}
}

// get returns an item, or nil.
func (d *database) get(key string) any {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.items[key]
}

// update replaces an item by what change makes of it (nil is an absent one), and
// returns the item that is there then. If change returns false, it stays as it is.
func (d *database) update(key string, change func(old any) (item any, ok bool)) (item any, ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	old := d.items[key]
	if item, ok = change(old); !ok {
		return old, false
	}
	i, _ := slices.BinarySearch(d.keys, key)
	switch {
	case old == nil && item != nil:
		d.keys = slices.Insert(d.keys, i, key)
	case old != nil && item == nil:
		d.keys = slices.Delete(d.keys, i, i+1)
	}
	if d.items[key] = item; item == nil {
		delete(d.items, key)
	}
	d.mark(key, old, item)
	return item, true
}

func (d *database) mark(key string, old, item any) {
	is := func(item any) bool { m, ok := item.(marked); return ok && m.isMarked() }
	now := time.Now()
	switch {
	case is(item) && !is(old):
		d.index[key] = entry{shown: now.Add(rand.N(indexLag))}
	case is(old) && !is(item):
		d.index[key] = entry{d.index[key].shown, now.Add(rand.N(indexLag))}
	}
}

// putIfAbsent writes an item, unless there is one, and returns the one there is.
func (d *database) putIfAbsent(key string, item any) (there any, put bool) {
	return d.update(key, func(old any) (any, bool) { return item, old == nil })
}

// query returns items with keys from low up to high, in order or backwards.
func (d *database) query(low, high string, backward bool, limit int) (items []any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	from, _ := slices.BinarySearch(d.keys, low)
	to, there := slices.BinarySearch(d.keys, high)
	if there {
		to++
	}
	for i := range max(0, to-from) {
		key := d.keys[min(from+i, len(d.keys)-1)]
		if backward {
			key = d.keys[to-1-i]
		}
		if len(items) == limit {
			break
		}
		items = append(items, d.items[key])
	}
	return items
}

// listMarked asks the index. What it shows may be late, and hide things.
func (d *database) listMarked(limit int) (keys []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := time.Now()
	for key, e := range d.index {
		switch {
		case now.Before(e.shown), rand.IntN(10) == 0:
		case !e.gone.IsZero() && now.After(e.gone):
			delete(d.index, key)
		case len(keys) < limit:
			keys = append(keys, key)
		}
	}
	return keys
}

// removeAll removes all items whose keys begin with prefix.
func (d *database) removeAll(prefix string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.keys = slices.DeleteFunc(d.keys, func(key string) bool {
		if strings.HasPrefix(key, prefix) {
			delete(d.items, key)
			return true
		}
		return false
	})
}

func (d *database) clone() *database {
	d.mu.Lock()
	defer d.mu.Unlock()
	return &database{items: maps.Clone(d.items), keys: slices.Clone(d.keys), index: maps.Clone(d.index)}
}
