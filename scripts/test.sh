#!/usr/bin/env bash
# Runs all tests with the race detector: test.sh [arguments of go test, packages].
# It prints a line for each package, what failed in full, what was skipped, and
# the counts, which also go to .cache/tests. The servers that tests need are started
# and stopped: those in SERVERS, which may be empty, or else all.
. "$(dirname "$0")/lib.sh"
need_cc
need_servers

[ $# -gt 0 ] || set -- ./...
mkdir -p .cache
rm -f .cache/tests
# In a group of its own, which ends as a whole when this script is told to: tests
# would go on when only go is killed.
set -m
(go test -race -timeout 40m -v "$@" </dev/null | awk '
	/^=== (RUN|PAUSE|CONT|NAME) / { test = $0 "\n"; next }
	/^ *--- PASS: / { passed++; next }
	/^ *--- FAIL: / { failures++ } # or what a test prints of a run that is to fail
	/^ *--- SKIP: / { skipped++; skips = skips "     skipped: " $3 ": " last "\n" }
	{ lines = lines test $0 "\n"; test = ""; last = $0; sub(/^ */, "", last) }
	/^ok  \t/ { printf "%s\n%s", $0, skips; packages++; failures = 0; lines = skips = test = ""; fflush() }
	/^\?   \t/ { lines = skips = test = "" }
	/^FAIL\t/ { printf "%s", lines; packages++; failed += failures; failures = 0; lines = skips = test = ""; fflush() }
	END {
		printf "%s", lines
		failed += failures
		line = sprintf("tests: %d passed, %d failed, %d skipped, in %d packages", passed, failed, skipped, packages)
		print line
		print line >".cache/tests"
	}') &
tests=$!
set +m
trap 'kill -INT -- -$tests; exit 130' INT
trap 'kill -TERM -- -$tests; exit 143' TERM
wait $tests
