//go:build !linux

package benchtest

import "os"

func datasync(f *os.File) error { return f.Sync() }
