//go:build cgo

package cgo

const enabled = true
