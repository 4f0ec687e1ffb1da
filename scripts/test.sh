#!/usr/bin/env bash
# Runs all tests with the race detector: test.sh [arguments of go test, packages].
# It prints a line for each package, what failed in full, what was skipped, and
# the counts, which also go to .cache/tests.
. "$(dirname "$0")/lib.sh"
need_cc

# Servers that tests need are started here, and stopped by a trap on EXIT.

[ $# -gt 0 ] || set -- ./...
mkdir -p .cache
rm -f .cache/tests
go test -race -timeout 20m -v "$@" | awk '
	/^=== (RUN|PAUSE|CONT|NAME) / { test = $0 "\n"; next }
	/^ *--- PASS: / { passed++; next }
	/^ *--- FAIL: / { failed++ }
	/^ *--- SKIP: / { skipped++; skips = skips "     skipped: " $3 ": " last "\n" }
	{ lines = lines test $0 "\n"; test = ""; last = $0; sub(/^ */, "", last) }
	/^ok  \t/ { printf "%s\n%s", $0, skips; packages++; lines = skips = test = "" }
	/^\?   \t/ { lines = skips = test = "" }
	/^FAIL\t/ { printf "%s", lines; packages++; lines = skips = test = "" }
	END {
		printf "%s", lines
		line = sprintf("tests: %d passed, %d failed, %d skipped, in %d packages", passed, failed, skipped, packages)
		print line
		print line >".cache/tests"
	}'
