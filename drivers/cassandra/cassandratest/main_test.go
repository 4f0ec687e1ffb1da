package cassandratest

import (
	"fmt"
	"os"
	"testing"
)

func TestMain(m *testing.M) {
	code := m.Run()
	for _, drop := range shared.drops {
		if err := drop(); err != nil {
			fmt.Println(err)
			code = 1
		}
	}
	for _, s := range admins.of {
		s.Close()
	}
	os.Exit(code)
}
