package benchtest

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// flushes says what a flush of 4 KiB to the disk takes, which appends have to be
// seen with: in milliseconds, the median and what one of a hundred takes.
func flushes(b *testing.B) string {
	f, err := os.Create(filepath.Join(b.TempDir(), "f"))
	must(b, err)
	defer f.Close()
	page := make([]byte, 4096)
	var took []int64
	for range 300 {
		start := time.Now()
		_, err := f.WriteAt(page, 0)
		must(b, err)
		must(b, datasync(f))
		took = append(took, int64(time.Since(start)))
	}
	ms := func(part float64) float64 { return float64(quantile(took, part)) / 1e6 }
	return fmt.Sprintf("%.3f %.3f", ms(0.5), ms(0.99))
}
