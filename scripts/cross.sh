#!/usr/bin/env bash
# Everything compiles without a C compiler, and on other systems.
. "$(dirname "$0")/lib.sh"
export CGO_ENABLED=0
# linux/386: an int has 32 bits
for platform in linux/amd64 linux/386 linux/arm64 darwin/arm64 windows/amd64; do
	printf '== go vet for %s without cgo\n' "$platform"
	GOOS=${platform%/*} GOARCH=${platform#*/} go vet ./...
done
