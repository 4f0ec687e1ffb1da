package sqlite_test

import (
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-es/es/driver"
	"github.com/go-es/es/drivers/sqlite"
)

func logSize(t testing.TB, file string) int64 {
	t.Helper()
	info, err := os.Stat(file + "-wal")
	must(t, err)
	return info.Size()
}

const logLimit = 16 << 20

// bulk appends events of 64 KiB, 1 MiB at a time.
func bulk(t testing.TB, s *sqlite.Store, mib int) {
	t.Helper()
	data := strings.Repeat("x", 64<<10)
	for range mib {
		if _, err := s.Append(ctx, one("bulk", driver.Any, records(16, data)...)); err != nil {
			t.Error(err)
			return
		}
	}
}

// Readers that overlap never leave SQLite a moment to begin its log anew.
func TestLogUnderReaders(t *testing.T) {
	file := newFile(t)
	s := open(t, file)
	bulk(t, s, 1)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if _, err := s.ReadStream(ctx, driver.StreamQuery{Stream: "bulk"}); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	var most int64
	for range 20 {
		bulk(t, s, 10)
		most = max(most, logSize(t, file))
		time.Sleep(30 * time.Millisecond)
	}
	close(stop)
	wg.Wait()
	if most > 9*logLimit {
		t.Errorf("after 200 MiB the log had grown to %d MiB", most>>20)
	}
}

// A reader that does not end makes the log grow, stops nobody for long, and is
// made up for when it ends.
func TestLogBehindCursor(t *testing.T) {
	file := newFile(t)
	s := open(t, file)
	bulk(t, s, 1)
	db := pool(t, "file:"+file)
	rows, err := db.Query("SELECT * FROM es_events")
	must(t, err)
	if !rows.Next() {
		t.Fatal("no rows")
	}
	start := time.Now()
	bulk(t, s, 40)
	if logSize(t, file) < 40<<20 {
		t.Errorf("the log has %d MiB: the cursor holds nothing, the test is wrong", logSize(t, file)>>20)
	}
	if d := time.Since(start); d > 2*time.Minute {
		t.Errorf("40 MiB took %v", d)
	}
	must(t, rows.Close())
	time.Sleep(600 * time.Millisecond)
	for range 40 {
		appendTo(t, s, "s", driver.Any, 1)
	}
	if n := logSize(t, file); n > logLimit {
		t.Errorf("the log still has %d MiB", n>>20)
	}
}
