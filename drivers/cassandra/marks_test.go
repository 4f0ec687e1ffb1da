package cassandra

import (
	"testing"
	"time"
)

// At rest each slot is asked about by the index of overdue every few seconds, but for
// the seconds around its own; and by that of dirty in its own second.
func TestDue(t *testing.T) {
	for _, every := range []time.Duration{10 * time.Millisecond, 250 * time.Millisecond} {
		var m marks
		begin := time.Unix(1_800_000_000, 0)
		for range 40 { // it has run for some time
			m.due(begin.Add(-time.Second))
		}
		var dirty, overdue [slots]time.Time
		asks := 0
		for at := begin; at.Sub(begin) < 2*slots*time.Second; at = at.Add(every) {
			now := at.Unix()
			for _, slot := range m.due(at) {
				asks++
				if isFresh(slot, now) {
					dirty[slot] = at
					continue
				}
				for d := int64(-fresh); d <= fresh; d++ {
					if slotOf(at.Add(time.Duration(d)*time.Second)) == slot {
						t.Fatalf("at %d: overdue is asked about slot %d, which is being written", now, slot)
					}
				}
				overdue[slot] = at
			}
			if since := at.Sub(dirty[slotOf(at)]); since > 0 {
				t.Fatalf("at %v: dirty was not asked about this second for %v", at, since)
			}
			if at.Sub(begin) < slots*time.Second {
				continue
			}
			for slot := range slots {
				if since := at.Sub(overdue[slot]); since > 8*time.Second && !isFresh(slot, now) && !isFresh(slot, now-8) {
					t.Fatalf("at %v: overdue was not asked about slot %d for %v", at, slot, since)
				}
			}
		}
		if most := 2 * slots * (3*int(time.Second/every) + 12); asks > most {
			t.Errorf("looks every %v ask %d times in %d seconds, more than %d", every, asks, 2*slots, most)
		}
	}
}
