#!/usr/bin/env bash
# What can be said of the code without running it.
. "$(dirname "$0")/lib.sh"

# Run by its version and not required in go.mod: what stands there reaches every
# program that uses this module.
staticcheck=honnef.co/go/tools/cmd/staticcheck@v0.8.2

failed=0
check() {
	printf '== %s\n' "$*"
	"$@" || failed=1
}

unformatted() {
	local files
	files=$(gofmt -l .)
	[ -z "$files" ] || { printf 'not formatted by gofmt:\n%s\n' "$files" && return 1; }
}

check unformatted
check go mod tidy -diff
check go vet ./...
check go run "$staticcheck" ./...
exit $failed
