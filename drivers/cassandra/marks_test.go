package cassandra

import (
	"fmt"
	"testing"
	"time"
)

// Whoever looks at least once in a few seconds has asked about each slot in time,
// in its own second and those after it by the index of dirty, and then by that of overdue,
// which never is asked about one that may be being written.
func TestDue(t *testing.T) {
	for _, row := range []struct {
		every     time.Duration
		old, late time.Duration // since an old slot was looked at, and one of the last seconds
	}{
		{10 * time.Millisecond, 6 * time.Second, 2 * time.Second},
		{250 * time.Millisecond, 7 * time.Second, 2500 * time.Millisecond},
		{500 * time.Millisecond, 6 * time.Second, 2500 * time.Millisecond},
		{time.Second, 6 * time.Second, 3 * time.Second},
		{2 * time.Second, 6 * time.Second, 4 * time.Second},
		{4 * time.Second, 9 * time.Second, 8 * time.Second},
		{8 * time.Second, 9 * time.Second, 9 * time.Second},
		{60 * time.Second, 61 * time.Second, 61 * time.Second},
	} {
		t.Run(fmt.Sprint(row.every), func(t *testing.T) {
			var m marks
			begin := time.Unix(1_800_000_000, 0)
			m.due(begin.Add(-row.every))
			var asked [slots]time.Time // by the index that was due then
			var overdue [slots]time.Time
			for slot := range slots {
				asked[slot], overdue[slot] = begin.Add(-1), begin.Add(-1)
			}
			asks, length := 0, 20*slots*time.Second
			for at := begin; at.Sub(begin) < length; at = at.Add(row.every) {
				now := at.Unix()
				for _, slot := range m.due(at) {
					asks++
					asked[slot] = at
					if !isFresh(slot, now) {
						overdue[slot] = at
					}
				}
				for d := int64(-1); d <= 1; d++ {
					if slot := slotOf(time.Unix(now+d, 0)); asked[slot] != at {
						t.Fatalf("at %d: nobody asked about second %d, slot %d", now, now+d, slot)
					}
				}
				for d := int64(-fresh); d <= fresh; d++ {
					if slot := slotOf(time.Unix(now+d, 0)); overdue[slot] == at {
						t.Fatalf("at %d: overdue was asked about second %d, slot %d, which may be being written", now, now+d, slot)
					}
				}
				for slot := range slots {
					switch a := time.Duration(age(slot, now)) * time.Second; {
					case a > fresh*time.Second+row.old && at.Sub(overdue[slot]) > row.old:
						t.Fatalf("at %d: overdue was not asked about slot %d for %v", now, slot, at.Sub(overdue[slot]))
					case a > row.late && isFresh(slot, now) && at.Sub(asked[slot]) > row.late:
						t.Fatalf("at %d: nobody asked about slot %d, %v old, for %v", now, slot, a, at.Sub(asked[slot]))
					}
				}
			}
			looks := int(length/row.every) + 1
			if most := 4*looks + 15*int(length/time.Second) + 1; asks > most {
				t.Errorf("%d looks ask %d times in %v, more than %d", looks, asks, length, most)
			}
		})
	}
}

// Who looks once in an hour or in a day sees all slots as old ones some time.
func TestDueSeldom(t *testing.T) {
	for _, every := range []time.Duration{time.Minute, 5 * time.Minute, time.Hour, 24 * time.Hour, 7 * 24 * time.Hour} {
		for slot := range slots {
			at, looks := time.Unix(1_800_000_000, 0), 0
			for ; isFresh(slot, at.Unix()); at = at.Add(every) {
				if looks++; looks > 20 {
					t.Fatalf("looks every %v do not see slot %d as an old one", every, slot)
				}
			}
		}
	}
}

// A clock that goes back, or a process that was stopped, does not hide the seconds that
// are being written.
func TestDueAfterJumps(t *testing.T) {
	for _, jump := range []time.Duration{-time.Hour, -5 * time.Second, 30 * time.Second, time.Hour} {
		var m marks
		at := time.Unix(1_800_000_000, 0)
		m.due(at)
		at = at.Add(jump)
		due := m.due(at)
		found := 0
		for _, slot := range due {
			if a := age(slot, at.Unix()); a >= -1 && a <= 1 {
				found++
			}
		}
		if found != 3 {
			t.Errorf("after a jump of %v, slots %v are looked at: of these seconds %d", jump, due, found)
		}
	}
}
