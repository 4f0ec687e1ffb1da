package sqlitetest

import (
	"os"
	"testing"

	"github.com/go-es/es/internal/cgo"
)

func TestMain(m *testing.M) {
	cgo.OrExit()
	os.Exit(m.Run())
}
