#!/usr/bin/env bash
# Everything compiles without a C compiler, and on other systems.
. "$(dirname "$0")/lib.sh"
export CGO_ENABLED=0
for platform in linux/amd64 linux/arm64 darwin/arm64 windows/amd64; do
	printf '== go vet for %s without cgo\n' "$platform"
	GOOS=${platform%/*} GOARCH=${platform#*/} go vet ./...
done
printf '== go build for linux/386\n' # where an int has 32 bits
GOOS=linux GOARCH=386 go build ./...
